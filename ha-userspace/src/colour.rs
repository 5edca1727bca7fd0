//! Whether colours are wanted, the same for logs, findings and pages.

/// On a terminal, unless `NO_COLOR` is set (<https://no-color.org>) or the terminal is a dumb one.
pub(crate) fn is_wanted(terminal: bool) -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    terminal && !no_colour && !is_dumb()
}

/// Whether the terminal understands nothing but lines.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
