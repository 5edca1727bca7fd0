//! Not written yet.

pub mod counters;
pub mod reload;
pub mod status;

/// Parse the command line and run.
#[must_use]
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
