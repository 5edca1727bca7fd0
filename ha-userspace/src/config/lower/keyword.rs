//! Keywords are looked up before their parameters are.

use super::context::Context;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::{self, Block, Keywords, Status};
use crate::config::lookalike;
use crate::config::tree::Statement;

/// What a statement's keyword says, where it is one to lower. Any other has been reported, and so has one that is
/// understood and does nothing.
pub(super) fn known<Set: Keywords>(stmt: &Statement, cx: &mut Context) -> Option<Set> {
    let keyword = stmt.keyword();
    let text = keyword.text();
    match keywords::status(Set::BLOCK, &keyword.bytes) {
        Some(Status::Implemented(_)) => return Set::parse(&text),
        Some(Status::NotYet(_, label)) => {
            let message = format!("`{text}` is understood, but this build does not do it");
            cx.push(Diagnostic::warning(codes::NOT_IMPLEMENTED, stmt.span(), message).label(label));
            return Set::parse(&text);
        }
        Some(Status::NoEffect(why)) => {
            let message = format!("`{text}` has no effect");
            cx.push(Diagnostic::note(codes::NOT_NEEDED, stmt.span(), message).label(why));
        }
        Some(Status::Lvs) => {
            if cx.diags.first_lvs() {
                let message = format!("`{text}` is load balancing (LVS), which xvrrp does not do");
                cx.push(
                    Diagnostic::warning(codes::LVS, stmt.span(), message)
                        .label("this block and its like are skipped; the rest of the file works")
                        .help("leave it to `keepalived --check` beside xvrrp, or to ipvsadm"),
                );
            }
        }
        None => unknown(Set::BLOCK, stmt, cx),
    }
    None
}

fn unknown(block: Block, stmt: &Statement, cx: &mut Context) {
    let keyword = stmt.keyword();
    let text = keyword.text();
    let shown: String = text.chars().take(60).collect();
    let what = if stmt.block.is_some() { "the block is skipped" } else { "the line is ignored" };
    let homes = keywords::homes(&keyword.bytes);
    if !homes.is_empty() {
        let names: Vec<_> = homes.iter().map(|home| home.name()).collect();
        let message = format!("`{shown}` does not belong in {}", block.name());
        let near = if cx.is_full() { None } else { keywords::nearest(block, &text) };
        let help = if let Some(near) = near {
            format!("did you mean `{near}`?")
        } else if homes.contains(&Block::Top) {
            "a `}` is missing above this line, or one is left over".to_owned()
        } else {
            format!("move it into {}", names.join(" or "))
        };
        cx.push(Diagnostic::warning(codes::MISPLACED_KEYWORD, keyword.span, message).label(what).help(help));
        return;
    }
    let near = if cx.is_full() { None } else { keywords::nearest(block, &text) };
    let odd = lookalike::first(&keyword.bytes).and_then(|(_, character)| lookalike::name(character));
    let help = match (odd, near) {
        (Some(odd), _) => Some(format!("there is a {odd} in it")),
        (None, near) => near.map(|near| format!("did you mean `{near}`?")),
    };
    let message = format!("unknown keyword `{shown}`");
    cx.push(Diagnostic::warning(codes::UNKNOWN_KEYWORD, keyword.span, message).label(what).maybe_help(help));
}
