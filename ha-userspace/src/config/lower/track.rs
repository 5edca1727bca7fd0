//! `weight`, `track_script` and `track_interface`.

use std::collections::HashMap;

use super::script;
use super::value;
use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::keywords;
use crate::config::lexer::Word;
use crate::config::model::{TrackInterface, TrackScript, Weight};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// Names that are compared with a misspelt one.
const MAX_GUESSES: usize = 200;
/// Trackers of one kind in an instance.
const MAX_TRACKERS: usize = 256;

/// The keyword `weight NUMBER [reverse]` on a line of its own.
pub(super) fn weight(stmt: &Statement, diags: &mut Diagnostics) -> Option<Weight> {
    value::no_block(stmt, diags);
    if stmt.args().is_empty() {
        value::missing(stmt, diags);
        return None;
    }
    let mut words = stmt.args().iter().peekable();
    parse(&mut words, "ignored", diags).inspect(|_| {
        value::extra(stmt, stmt.args().len() - words.len(), diags);
    })
}

fn parse<'a>(
    words: &mut std::iter::Peekable<impl Iterator<Item = &'a Word>>,
    instead: &str,
    diags: &mut Diagnostics,
) -> Option<Weight> {
    let value = value::small(words.next()?, "weight", -253..=253, instead, diags)?;
    let reverse = words.next_if(|word| word.is("reverse")).is_some();
    if !reverse {
        words.next_if(|word| word.is("noreverse") || word.is("no_reverse"));
    }
    Some(Weight { value, reverse })
}

/// `NAME [weight NUMBER [reverse]]`.
fn tracker(stmt: &Statement, diags: &mut Diagnostics) -> Option<Weight> {
    value::no_block(stmt, diags);
    let mut found = None;
    let mut words = stmt.args().iter().peekable();
    while let Some(word) = words.next() {
        if !word.is("weight") {
            let help = word.is("reverse").then(|| "write weight NUMBER reverse".to_owned());
            let message = format!("unknown tracking option `{}`", word.text());
            diags.push(
                Diagnostic::warning(codes::EXTRA_WORDS, word.span, message)
                    .cause("ignored")
                    .maybe_help(help.or_else(|| Some("write one name on a line".to_owned()))),
            );
            continue;
        }
        if words.peek().is_none() {
            let message = "`weight` lacks its number";
            diags.push(Diagnostic::error(codes::MISSING_PARAMETER, word.span, message).cause("ignored"));
            break;
        }
        found = parse(&mut words, "the default weight is used", diags);
    }
    found
}

/// `track_script`: trackers of scripts that exist, with the place of each.
pub(super) fn scripts(
    stmt: &Statement,
    known: &HashMap<String, script::Lowered>,
    out: &mut Vec<(TrackScript, Span)>,
    diags: &mut Diagnostics,
) {
    value::extra(stmt, 0, diags);
    let Some(statements) = value::block(stmt, diags) else { return };
    for stmt in statements {
        let word = stmt.keyword();
        let name = word.text().into_owned();
        let weight = tracker(stmt, diags);
        let Some(script) = known.get(&name) else {
            let guesses = if diags.is_full() { 0 } else { MAX_GUESSES };
            let help = match keywords::closest(&name, known.keys().take(guesses).map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a vrrp_script {name} block"),
            };
            let message = format!("there is no script `{name}`");
            diags.push(
                Diagnostic::error(codes::SCRIPT_UNKNOWN, word.span, message).cause("not tracked").help(help),
            );
            continue;
        };
        if let Some((_, first)) = out.iter().find(|(other, _)| other.script == name) {
            twice(word, *first, diags);
            continue;
        }
        if too_many(word, out.len(), diags) {
            break;
        }
        let weight = weight.unwrap_or(script.script.weight);
        out.push((TrackScript { script: name, weight }, stmt.span()));
    }
}

/// `track_interface`.
pub(super) fn interfaces(stmt: &Statement, out: &mut Vec<(TrackInterface, Span)>, diags: &mut Diagnostics) {
    value::extra(stmt, 0, diags);
    let Some(statements) = value::block(stmt, diags) else { return };
    for stmt in statements {
        let word = stmt.keyword();
        let weight = tracker(stmt, diags).unwrap_or_default();
        let Some(interface) = value::interface(word, diags) else { continue };
        if let Some((_, first)) = out.iter().find(|(other, _)| other.interface == interface) {
            twice(word, *first, diags);
            continue;
        }
        if too_many(word, out.len(), diags) {
            break;
        }
        out.push((TrackInterface { interface, weight }, stmt.span()));
    }
}

fn twice(word: &Word, first: Span, diags: &mut Diagnostics) {
    let message = format!("`{}` is tracked twice", word.text());
    diags.push(
        Diagnostic::warning(codes::TRACKER_TWICE, word.span, message)
            .cause("this one is ignored")
            .related(first, "the first one stands at"),
    );
}

fn too_many(word: &Word, count: usize, diags: &mut Diagnostics) -> bool {
    if count < MAX_TRACKERS {
        return false;
    }
    let message = format!("more than {MAX_TRACKERS} trackers in a block");
    diags.push(Diagnostic::error(codes::TRACKER_TWICE, word.span, message).cause("the rest is ignored"));
    true
}
