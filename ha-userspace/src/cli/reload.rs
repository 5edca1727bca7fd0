//! `xvrrp reload`: read the configuration again, and say what that changed.

use std::path::PathBuf;
use std::process::ExitCode;

use super::status::{ask, print, print_json, unexpected};
use crate::control::DEFAULT_RUN_DIR;
use crate::control::protocol::{Reloaded, Request, Response};

/// Options of `xvrrp reload`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Prints what changed. Exit code 1 where no daemon answers, or where it refuses the new\n\
    configuration: then everything stays as it was."
)]
pub struct Args {
    /// Run directory of the daemon.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    pub run_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Asks for a reload. Prints the changes, or the diagnostics of a configuration that the daemon refuses (exit code
/// 1; the old configuration then stays in force).
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match ask(&args.run_dir, Request::Reload) {
        Ok(Response::Reloaded(reloaded)) if args.json => print_json(&reloaded),
        Ok(Response::Reloaded(reloaded)) => {
            for diagnostic in &reloaded.diagnostics {
                eprintln!("{}", diagnostic.trim_end());
            }
            print(&render(&reloaded))
        }
        Ok(other) => unexpected(other),
        Err(code) => code,
    }
}

fn render(reloaded: &Reloaded) -> String {
    match reloaded.changes.as_slice() {
        [] => "reloaded: nothing changed\n".to_owned(),
        changes => std::iter::once("reloaded:\n".to_owned())
            .chain(changes.iter().map(|change| format!("  {change}\n")))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_listed() {
        let reloaded =
            Reloaded { changes: vec!["VI_1: priority 100 -> 90".to_owned()], diagnostics: Vec::new() };
        assert_eq!(render(&reloaded), "reloaded:\n  VI_1: priority 100 -> 90\n");
        assert_eq!(render(&Reloaded::default()), "reloaded: nothing changed\n");
    }
}
