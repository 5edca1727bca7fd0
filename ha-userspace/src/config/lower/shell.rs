//! Commands that were written for a shell: pipes, redirections, variables, patterns. No shell reads them, in keepalived
//! neither, so the script gets them as they stand.

use std::ffi::OsString;

use super::context::Context;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::source::Span;

/// Programs that read their arguments as a shell does, some of them behind `-c`.
const SHELLS: [&str; 9] = ["sh", "bash", "dash", "ash", "ksh", "zsh", "fish", "busybox", "eval"];

/// Say so where an argument means something to a shell only.
pub(super) fn check(argv: &[OsString], span: Span, cx: &mut Context) {
    let words: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
    let Some((program, arguments)) = words.split_first() else { return };
    if SHELLS.contains(&program.rsplit('/').next().unwrap_or_default()) {
        return;
    }
    let assigned = program.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    });
    let found = if assigned {
        Some((&**program, "assigns a variable"))
    } else {
        words.iter().find_map(|word| Some((&**word, meaning(word)?)))
    };
    let Some((word, what)) = found else { return };
    let line = std::iter::once(program).chain(arguments).map(|word| &**word).collect::<Vec<_>>().join(" ");
    // Only bash makes connections of files.
    let shell = if line.contains("/dev/tcp/") || line.contains("/dev/udp/") { "bash" } else { "sh" };
    let line = if line.contains(['\'', '"', '\\']) { "COMMANDS" } else { &line };
    cx.push(
        Diagnostic::note(
            codes::SCRIPT_SHELL,
            span,
            format!("`{word}` {what} in a shell only, and none reads this"),
        )
        .label("it is passed to the script as it stands, as in keepalived")
        .help(format!("write \"/bin/{shell} -c '{line}'\", or a vrrp_check, or a script of your own")),
    );
}

/// What a word does in a shell, as far as it is plain that it was meant for one.
fn meaning(word: &str) -> Option<&'static str> {
    let redirection = word.trim_start_matches(|byte: char| byte.is_ascii_digit() || byte == '&');
    match word {
        "|" | "||" | "|&" | "&&" | ";" | "&" | "!" => return Some("joins commands"),
        _ if redirection.starts_with('>') || redirection.starts_with('<') => return Some("redirects"),
        _ if word.ends_with(';') || word.ends_with("&&") || word.ends_with('|') => {
            return Some("joins commands");
        }
        _ => {}
    }
    let name = |rest: &str| rest.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic());
    if word.contains("$(") || word.contains('`') {
        Some("stands for a command's output")
    } else if word.split('$').skip(1).any(|rest| name(rest) || rest.starts_with('{')) {
        Some("stands for a variable")
    } else if word.starts_with("~/") {
        Some("stands for a home directory")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_shell_understands_is_known() {
        for word in
            ["|", "&&", "||", ";", "&", ">", ">>", "2>&1", ">/dev/null", "</x", "&>/x", "x;", "$(x)", "`x`"]
        {
            assert!(meaning(word).is_some(), "{word}");
        }
        for word in ["$HOME", "a${X}b", "~/x", "2>/dev/null", "<<<x"] {
            assert!(meaning(word).is_some(), "{word}");
        }
        for word in
            ["", "a", "-c", "http://x/?a=1&b=2", "a|b", "$", "$1", "100%", "a;b", "*.pid", "a=b", "!x", "~"]
        {
            assert_eq!(meaning(word), None, "{word}");
        }
    }
}
