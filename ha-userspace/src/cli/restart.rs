//! `xvrrp restart`: the daemon runs its program anew, with the same arguments and the same role.

use std::path::PathBuf;
use std::process::ExitCode;

use super::DEFAULT_RUN_DIR;
use super::ask::{ask, unexpected};
use super::json::Form;
use super::output::print;
use crate::control::protocol::{Request, Response};

/// Options of `xvrrp restart`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run directory of the daemon.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    run_dir: PathBuf,
}

/// Asks for the restart. It happens after the answer; `xvrrp status` shows the new run.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match ask(&args.run_dir, Request::Restart, Form::Text) {
        Ok(Response::Restarting) => print("restarting; roles and addresses stay where they are\n"),
        Ok(other) => unexpected(other, Form::Text),
        Err(code) => code,
    }
}
