//! `xvrrp reload`: read the configuration again, and say what that changed.

use std::path::PathBuf;
use std::process::ExitCode;

use super::ask::{ask, unexpected};
use super::json::{Form, Versioned};
use super::output::{print, print_json};
use crate::control::DEFAULT_RUN_DIR;
use crate::control::protocol::{Preview, Reloaded, Request, Response};

/// Options of `xvrrp reload`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Prints what changed. Exit code 1 where no daemon answers, or where it refuses the new\n\
    configuration: then everything stays as it was. A file in which an error would stop a virtual\n\
    router that runs is refused."
)]
pub struct Args {
    /// Run directory of the daemon.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    pub run_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Only say what would change, and whether addresses might move.
    #[arg(long, conflicts_with = "force")]
    pub dry_run: bool,
    /// Even if an error in the file stops a virtual router that runs.
    #[arg(long)]
    pub force: bool,
}

/// Asks for a reload. Prints the changes, or the diagnostics of a configuration that the daemon refuses (exit code
/// 1; the old configuration then stays in force).
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let request = Request::Reload { force: args.force, dry_run: args.dry_run };
    let form = Form::of(args.json);
    match ask(&args.run_dir, request, form) {
        Ok(Response::Reloaded(reloaded)) if args.json => print_json(&Versioned::new(&reloaded)),
        Ok(Response::Reloaded(reloaded)) => {
            complain(&reloaded.diagnostics);
            print(&render(&reloaded))
        }
        Ok(Response::Preview(preview)) => {
            let printed = if args.json {
                print_json(&Versioned::new(&preview))
            } else {
                complain(&preview.diagnostics);
                print(&preview_text(&preview))
            };
            if preview.refused.is_some() { ExitCode::FAILURE } else { printed }
        }
        Ok(other) => unexpected(other, form),
        Err(code) => code,
    }
}

fn complain(diagnostics: &[String]) {
    for diagnostic in diagnostics {
        eprintln!("{}", diagnostic.trim_end());
    }
}

fn preview_text(preview: &Preview) -> String {
    let list = |title: &str, lines: &[String], none: &str| match lines {
        [] => format!("{none}\n"),
        lines => {
            let lines = lines.iter().map(|line| format!("  {line}\n"));
            std::iter::once(format!("{title}\n")).chain(lines).collect()
        }
    };
    let mut text = list("would change:", &preview.changes, "nothing would change");
    text += &list("might move:", &preview.moves, "no address would move");
    if let Some(why) = &preview.refused {
        text += &format!("would be refused: {why}\n");
    }
    text
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

    #[test]
    fn a_preview_says_what_might_move_and_whether_it_would_be_refused() {
        let nothing = preview_text(&Preview::default());
        assert_eq!(nothing, "nothing would change\nno address would move\n");
        let preview = Preview {
            refused: Some("an error".to_owned()),
            changes: vec!["(VI_1) is stopped".to_owned()],
            moves: vec!["(VI_1) is master here: 10.0.0.1 would go".to_owned()],
            diagnostics: Vec::new(),
        };
        let lines = [
            "would change:",
            "  (VI_1) is stopped",
            "might move:",
            "  (VI_1) is master here: 10.0.0.1 would go",
            "would be refused: an error\n",
        ];
        assert_eq!(preview_text(&preview), lines.join("\n"));
    }
}
