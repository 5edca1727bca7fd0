//! `xvrrp completions`: what a shell needs to complete the command line.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use super::output::print;

/// Options of `xvrrp completions`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Such as: xvrrp completions bash >/etc/bash_completion.d/xvrrp\n\
    The packages bring those of bash, fish and zsh.")]
pub struct Args {
    /// Whose.
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// Prints them.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    print(&script(args.shell))
}

fn script(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "xvrrp", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in Shell::value_variants() {
            let text = script(*shell);
            for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(text.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
