//! What the machine must offer. Asked before a lab is built, so that a test says what is missing instead
//! of failing half way.

/// Why no lab can be built here, with the way out; `None` if it can.
#[must_use]
pub fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root: network namespaces are made (try sudo)".to_owned());
    }
    ["ip", "bridge", "mount", "sh"].into_iter().find_map(missing_tool)
}

/// A sentence that names `tool` and how to get it, if it is not in `PATH`.
#[must_use]
pub fn missing_tool(tool: &str) -> Option<String> {
    let package = match tool {
        "ip" | "bridge" => "iproute2",
        "mount" | "nsenter" => "util-linux",
        "promtool" => "prometheus",
        other => other,
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(tool).is_file());
    (!found).then(|| format!("`{tool}` is missing: install {package}, or run `cargo xtask setup`"))
}
