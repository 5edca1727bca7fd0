//! What a terminal can show: colour and cleared screens, where somebody looks and wants them.

use std::io::IsTerminal;

use crate::control::protocol::Severity;

/// Whether standard output is a terminal that understands more than lines.
pub(super) fn is_able() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether colours are wanted there: <https://no-color.org>.
pub(super) fn has_colour() -> bool {
    is_able() && crate::terminal::colours()
}

/// A line that begins with the word of a severity, the word in its colour.
pub(super) fn severity(line: &str, severity: Severity) -> String {
    if has_colour() { coloured(line, severity) } else { line.to_owned() }
}

fn coloured(line: &str, severity: Severity) -> String {
    let colour = match severity {
        Severity::Ok => 32,
        Severity::Warning => 33,
        Severity::Critical => 31,
        Severity::Unknown => 35,
    };
    let word = severity.word();
    line.strip_prefix(word)
        .map_or_else(|| line.to_owned(), |rest| format!("\x1b[1;{colour}m{word}\x1b[0m{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_alone_is_coloured() {
        assert_eq!(coloured("OK: 1 instance", Severity::Ok), "\x1b[1;32mOK\x1b[0m: 1 instance");
        assert_eq!(coloured("WARNING VI_1: x", Severity::Warning), "\x1b[1;33mWARNING\x1b[0m VI_1: x");
        assert_eq!(coloured("something else", Severity::Ok), "something else");
    }
}
