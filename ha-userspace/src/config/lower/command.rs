//! The command line of a script, wherever one stands.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::context::Context;
use super::shell;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::lexer::Word;
use crate::config::lexer::command::{Flaw, parts};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// Program and arguments of a command line, whose first word is read once more. `None` after an error, and `Some(None)`
/// where the command is empty.
pub(super) fn read(stmt: &Statement, cx: &mut Context) -> Option<Option<(Vec<OsString>, Span)>> {
    let word = stmt.args().first()?;
    // A quote `"` that is open at the end of the line was reported with the line, and ends there.
    let flaw = |flaw: &Flaw| *flaw != Flaw::Quote(b'"');
    if let Some(open) = stmt.args().last().filter(|word| word.flaw.as_ref().is_some_and(flaw)) {
        unfinished(stmt, open, open.flaw, "`{`, `}`, `#` and `!` count outside `\"` even between `'`", cx);
        return None;
    }
    let (parts, flaw) = parts(&word.bytes);
    if flaw.is_some() {
        unfinished(
            stmt,
            word,
            flaw,
            "the command in the quotes is split once more, and there it is open",
            cx,
        );
        return None;
    }
    let argv: Vec<_> = parts.into_iter().map(|part| OsString::from_vec(part.bytes)).collect();
    if argv.first().is_none_or(|program| program.is_empty()) {
        return Some(None);
    }
    shell::check(&argv, word.span, cx);
    Some(Some((argv, word.span)))
}

/// Say that a quote or an escape of a command has no end.
fn unfinished(stmt: &Statement, word: &Word, flaw: Option<Flaw>, why: &str, cx: &mut Context) {
    let keyword = stmt.keyword().text();
    let (message, help) = match flaw {
        Some(Flaw::Quote(quote)) => {
            let literal = if quote == b'"' { r#"\\\""# } else { r"\\'" };
            (
                format!("a {} in the command of `{keyword}` is not closed", char::from(quote)),
                format!("close it; one that is to reach the script is written {literal} within \"…\""),
            )
        }
        _ => (
            format!("the command of `{keyword}` ends with a backslash"),
            r"remove it; one that is to reach the script is written \\\\ within quotes".to_owned(),
        ),
    };
    cx.push(
        Diagnostic::error(codes::QUOTE_OPEN, word.span, message)
            .label(format!("the command is not run: {why}"))
            .help(help),
    );
}
