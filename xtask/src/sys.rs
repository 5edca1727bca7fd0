//! Running other programs and talking to the person at the terminal.
//!
//! Every subcommand announces a step, streams the child's own output and says how long it took. What the
//! steps are is decided by the callers (`setup`, `test`, `ci`); nothing here knows about VRRP or BPF.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// The root of the workspace.
pub(crate) fn workspace_root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Cargo's target directory for this workspace, as cargo itself sees it (`CARGO_TARGET_DIR` included).
pub(crate) fn target_dir() -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let json: serde_json::Value = serde_json::from_str(&output(&mut command)?)?;
    let dir = json["target_directory"].as_str().context("cargo metadata names no target_directory")?;
    Ok(PathBuf::from(dir))
}

/// The cargo that runs this xtask, working in the workspace root.
pub(crate) fn cargo() -> Command {
    let mut command = tool(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What `cargo run` told xtask about itself must not reach the build scripts of other packages.
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&key);
        }
    }
    command
}

/// A program that works in the workspace root, with nothing on its standard input.
pub(crate) fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace_root()).stdin(Stdio::null());
    command
}

/// Whether this process runs as root, in the sense of apt and of network namespaces.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether a person watches: colours and progress bars are for them only.
pub(crate) fn on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Where `program` is: on PATH, in cargo's own bin directory (rustup puts it on the PATH of the programs
/// it starts) or in one of the sbin directories that a user's PATH often lacks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(cargo_bin())
        .chain(more)
        .map(|dir| dir.join(program))
        .find(|file| nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok() && file.is_file())
}

/// The directory into which `cargo install` puts programs, unless it was told otherwise.
pub(crate) fn cargo_bin() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))?;
    Some(home.join("bin"))
}

/// Runs a program quietly and returns what it printed.
///
/// # Errors
/// When it cannot be started, or fails; then with what it said on standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let text = show(command);
    let out = command.output().with_context(|| format!("cannot start `{text}`"))?;
    if !out.status.success() {
        bail!("`{text}` failed ({}): {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Announces a command, runs it with its output streamed, and says how long it took.
///
/// # Errors
/// When it cannot be started, or fails.
pub(crate) fn run(title: &str, command: &mut Command) -> Result<Duration> {
    let text = show(command);
    announce(title, &text);
    let start = Instant::now();
    let status = command.status().with_context(|| format!("cannot start `{text}`"))?;
    let took = start.elapsed();
    if !status.success() {
        bail!("{title}: `{text}` failed ({status}) after {}", seconds(took));
    }
    println!("    done in {}", seconds(took));
    Ok(took)
}

/// The line that precedes a step: what happens, and the command that does it.
pub(crate) fn announce(title: &str, command: &str) {
    if on_terminal() {
        println!("\x1b[1;36m==>\x1b[0m \x1b[1m{title}\x1b[0m\n    $ {command}");
    } else {
        println!("==> {title}\n    $ {command}");
    }
}

/// A command as a person would type it, with the environment variables that it sets.
pub(crate) fn show(command: &Command) -> String {
    let mut text = String::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(text, "{}={} ", key.to_string_lossy(), quote(&value.to_string_lossy()));
        }
    }
    let program = Path::new(command.get_program());
    // The full path of the toolchain's cargo says nothing to a reader.
    text.push_str(&program.file_name().unwrap_or(program.as_os_str()).to_string_lossy());
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&quote(&arg.to_string_lossy()));
    }
    text
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A duration for people: `0.4 s`, `32.1 s`, `3 min 05 s`.
pub(crate) fn seconds(took: Duration) -> String {
    if took < Duration::from_secs(60) {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        format!("{} min {:02} s", took.as_secs() / 60, took.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/opt/toolchain/bin/cargo");
        command.env("RUSTC_BOOTSTRAP", "1").args(["test", "--", "a b", "it's", ""]);
        assert_eq!(show(&command), r"RUSTC_BOOTSTRAP=1 cargo test -- 'a b' 'it'\''s' ''");
    }

    #[test]
    fn durations_are_readable() {
        assert_eq!(seconds(Duration::from_millis(432)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 05 s");
    }

    #[test]
    fn programs_are_found_and_directories_are_not_programs() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program-anywhere"), None);
        assert_eq!(find("."), None);
    }

    #[test]
    fn a_failing_program_is_quoted_with_its_complaint() {
        let error = output(Command::new("sh").args(["-c", "echo sour >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("sour"), "{error}");
    }
}
