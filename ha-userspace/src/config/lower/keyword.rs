//! What to do with a statement before its parameters are looked at.

use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::keywords::{self, Context, Status};
use crate::config::lookalike;
use crate::config::pending;
use crate::config::tree::Statement;

/// What to do with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Read its parameters.
    Lower,
    /// It was reported; go on with the next.
    Skip,
}

/// Look the keyword up and report what is not implemented, misplaced or unknown.
pub(super) fn check(context: Context, stmt: &Statement, diags: &mut Diagnostics) -> Action {
    let keyword = stmt.keyword();
    let text = keyword.text();
    match keywords::status(context, &keyword.bytes) {
        Some(Status::Implemented) => {
            pending::keyword(context, stmt, diags);
            return Action::Lower;
        }
        Some(Status::NoEffect(why)) => {
            let message = format!("`{text}` has no effect");
            diags.push(Diagnostic::note(codes::NOT_NEEDED, stmt.span(), message).cause(why));
        }
        Some(Status::Lvs) => {
            if diags.first_lvs() {
                let message = format!("`{text}` is load balancing (LVS), which xvrrp does not do");
                diags.push(
                    Diagnostic::warning(codes::LVS, stmt.span(), message)
                        .cause("this block and its like are skipped; the rest of the file works")
                        .help("leave it to `keepalived --check` beside xvrrp, or to ipvsadm"),
                );
            }
        }
        None => unknown(context, stmt, diags),
    }
    Action::Skip
}

fn unknown(context: Context, stmt: &Statement, diags: &mut Diagnostics) {
    let keyword = stmt.keyword();
    let text = keyword.text();
    let shown: String = text.chars().take(60).collect();
    let what = if stmt.block.is_some() { "the block is skipped" } else { "the line is ignored" };
    let homes = keywords::homes(&keyword.bytes);
    if !homes.is_empty() {
        let names: Vec<_> = homes.iter().map(|home| home.name()).collect();
        let message = format!("`{shown}` does not belong in {}", context.name());
        let near = if diags.is_full() { None } else { keywords::nearest(context, &text) };
        let help = if let Some(near) = near {
            format!("did you mean `{near}`?")
        } else if homes.contains(&Context::Top) {
            "a `}` is missing above this line, or one is left over".to_owned()
        } else {
            format!("move it into {}", names.join(" or "))
        };
        diags.push(
            Diagnostic::warning(codes::MISPLACED_KEYWORD, keyword.span, message).cause(what).help(help),
        );
        return;
    }
    let near = if diags.is_full() { None } else { keywords::nearest(context, &text) };
    let odd = lookalike::first(&keyword.bytes).and_then(|(_, character)| lookalike::name(character));
    let help = match (odd, near) {
        (Some(odd), _) => Some(format!("there is a {odd} in it")),
        (None, near) => near.map(|near| format!("did you mean `{near}`?")),
    };
    let message = format!("unknown keyword `{shown}`");
    diags.push(
        Diagnostic::warning(codes::UNKNOWN_KEYWORD, keyword.span, message).cause(what).maybe_help(help),
    );
}
