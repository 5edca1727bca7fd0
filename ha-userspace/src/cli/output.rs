//! Standard output: text, and values as JSON.

use std::io::Write as _;
use std::process::ExitCode;

/// Prints text. A reader that went away (`| head`) is no failure.
pub(super) fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A value as JSON on one line.
pub(super) fn json_line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Prints a value as JSON.
pub(super) fn print_json(value: &impl serde::Serialize) -> ExitCode {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => {
            eprintln!("xvrrp: {error}");
            ExitCode::FAILURE
        }
    }
}
