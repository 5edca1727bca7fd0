//! `xvrrp status --watch`: the same again and again, in its place on a terminal, else one below the other.

use std::process::ExitCode;
use std::time::Duration;

use super::{Args, once, print};
use crate::cli::terminal;

/// To the upper left, and everything from there on is erased.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Until it is interrupted, or nobody reads any more.
pub(super) fn run(args: &Args, pause: Duration) -> ExitCode {
    let able = terminal::is_able() && !args.json;
    loop {
        if able && print(CLEAR) != ExitCode::SUCCESS {
            return ExitCode::FAILURE;
        }
        let (printed, code) = once(args);
        if !printed {
            return code;
        }
        std::thread::sleep(pause);
        if !able && !args.json {
            let _ = print("\n");
        }
    }
}
