//! `xvrrp man`: the manual pages of the command line, one for the program and one for each subcommand.
//!
//! Hidden: packages bring the pages. `cargo xtask` asks for them, which must not depend on this crate.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{Cli, DEFAULT_CONFIG, DEFAULT_RUN_DIR};

/// For commands of the administrator.
const SECTION: &str = "8";

/// Options of `xvrrp man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the pages are put.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Writes the pages.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match write(&args.dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xvrrp: cannot write manual pages to {}: {error}", args.dir.display());
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path) -> io::Result<()> {
    for (name, page) in pages()? {
        std::fs::write(directory.join(name), page)?;
    }
    Ok(())
}

/// The pages with the names of their files.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let shown: Vec<Command> =
        program.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let names: Vec<&str> = shown.iter().map(Command::get_name).collect();
    let mut pages = vec![page(&program, &names)?];
    for command in &shown {
        let others: Vec<&str> = names.iter().copied().filter(|name| *name != command.get_name()).collect();
        pages.push(page(command, &others)?);
    }
    Ok(pages)
}

fn page(command: &Command, others: &[&str]) -> io::Result<(String, Vec<u8>)> {
    let man = Man::new(command.clone())
        .section(SECTION)
        .source(concat!("xvrrp ", env!("CARGO_PKG_VERSION")))
        .manual("xvrrp");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let program = command.has_subcommands();
    if program {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(help) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        page.write_all(notes(&help.to_string()).render().as_bytes())?;
    }
    if program {
        page.write_all(files().render().as_bytes())?;
    }
    page.write_all(see_also(program, others).render().as_bytes())?;
    Ok((man.get_filename(), page))
}

/// What follows the options in the help: line by line, because it has tables.
fn notes(help: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]).control("nf", []);
    for line in help.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

fn files() -> Roff {
    let files = [
        (DEFAULT_CONFIG, "The configuration, see xvrrp.conf(5)."),
        ("/etc/default/xvrrp", "Options for the daemon, read by the systemd unit."),
        (DEFAULT_RUN_DIR, "Control socket, lock, and what the next run must know of this one."),
        (
            "/sys/fs/bpf/xvrrp",
            "XDP programs and maps, by interface. They outlive the daemon; `xvrrp detach` removes them.",
        ),
    ];
    let mut roff = Roff::new();
    roff.control("SH", ["FILES"]);
    for (path, what) in files {
        roff.control("TP", []).text([roman(path)]).text([roman(what)]);
    }
    roff
}

fn see_also(program: bool, others: &[&str]) -> Roff {
    let mut list = if program { String::new() } else { "xvrrp(8), ".to_owned() };
    for name in others {
        let _ = write!(list, "xvrrp-{name}({SECTION}), ");
    }
    list += "xvrrp.conf(5), keepalived.conf(5)";
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]).text([roman(list)]);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_shown_has_a_page_with_its_options() {
        let pages = pages().expect("memory only");
        let page = |name: &str| {
            let found = pages.iter().find(|(file, _)| file == name);
            String::from_utf8_lossy(&found.unwrap_or_else(|| panic!("no {name}")).1).into_owned()
        };
        let program = page("xvrrp.8");
        for command in Cli::command().get_subcommands() {
            let name = format!("xvrrp-{}", command.get_name());
            if command.is_hide_set() {
                assert!(!program.contains(&name.replace('-', "\\-")), "{name}");
                continue;
            }
            assert!(program.contains(&name.replace('-', "\\-")), "{name}");
            let own = page(&format!("{name}.8"));
            for option in command.get_arguments().filter(|option| !option.is_hide_set()) {
                let long = option.get_long().unwrap_or_default().replace('-', "\\-");
                assert!(own.contains(&long), "{name}: {long}");
            }
        }
    }

    #[test]
    fn tables_stay_tables() {
        let page = notes("Exit codes:\n  0  stopped\n  1  not").render();
        assert!(page.contains(".nf\n") && page.contains("\n  0  stopped\n  1  not\n.fi"), "{page}");
    }
}
