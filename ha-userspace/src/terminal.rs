//! What the terminal wants.

/// Whether standard error or output may be coloured, where it is a terminal: not with `NO_COLOR` (no-color.org) or
/// `TERM=dumb`.
#[must_use]
pub fn colours() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
