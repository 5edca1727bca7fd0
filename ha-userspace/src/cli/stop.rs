//! `xvrrp stop`: the daemon hands its addresses over and ends.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::DEFAULT_RUN_DIR;
use super::ask::{ask, unexpected};
use super::json::Form;
use super::output::print;
use crate::control::client::{ClientError, request};
use crate::control::protocol::{Request, Response};

/// How long the end is waited for: a successor is given some seconds, and so are scripts.
const PATIENCE: Duration = Duration::from_secs(20);

/// Options of `xvrrp stop`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 1 where no daemon answers, or where it has not ended within 20 s. Under systemd, use\n\
    systemctl stop xvrrp: what ends by itself may be started again."
)]
pub struct Args {
    /// Run directory of the daemon.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    run_dir: PathBuf,
}

/// Asks for the stop and waits for it.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match ask(&args.run_dir, Request::Stop, Form::Text) {
        Ok(Response::Stopping) => {}
        Ok(other) => return unexpected(other, Form::Text),
        Err(code) => return code,
    }
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if matches!(request(&args.run_dir, Request::Status), Err(ClientError::NotRunning { .. })) {
            return print("stopped\n");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    eprintln!("xvrrp: the daemon has not ended within {} s; xvrrp status may say why", PATIENCE.as_secs());
    ExitCode::FAILURE
}
