//! The program called as `keepalived`: keepalived's options, its exit codes and its manners.
//!
//! It goes to the background unless `-n` is there, logs to syslog unless `-l` is, writes keepalived's pid files and
//! refuses to run beside another daemon that they name. Options that have no meaning here are accepted and said once.
//! What differs from keepalived is listed in docs/check.md.

mod options;

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::stat::{Mode, umask};

use super::start::core_dump::{self, CorePattern};
use super::start::{self, Service, StartOutcome, StartPlan};
use super::{DEFAULT_CONFIG, check};
use crate::config::{self, report};
use crate::logging;
use crate::signals;
use options::{CommandLine, Opt};

/// The version of keepalived whose options and configuration are understood.
const KEEPALIVED: &str = "2.3.0";

/// keepalived's exit codes, as 2.2.7 was seen to use them.
mod code {
    /// A bad command line.
    pub(super) const USAGE: u8 = 1;
    /// The configuration cannot be used.
    pub(super) const CONFIG: u8 = 2;
    /// The configuration file is missing.
    pub(super) const NO_CONFIG: u8 = 6;
}

/// Whether the program was called by keepalived's name.
pub(super) fn is_called(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()) == Some(OsStr::new("keepalived"))
}

/// Does what the arguments say, the program's name not among them.
pub(super) fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::read(arguments) {
        Ok(line) => line,
        Err(bad) => {
            eprintln!("{bad}");
            return ExitCode::from(code::USAGE);
        }
    };
    if !line.unexpected.is_empty() {
        super::output::print(&format!("Unexpected argument(s): {}\n", line.unexpected.join(" ")));
    }
    // Whichever comes first is answered.
    let answer = line.options.iter().find_map(|(opt, value)| match opt {
        Opt::Version => Some(version()),
        Opt::Help => Some(help()),
        Opt::Signum => Some(signum(&value.as_deref().unwrap_or_default().to_string_lossy())),
        Opt::Genhash => {
            eprintln!("genhash is part of LVS, which is not done here");
            Some(ExitCode::from(code::USAGE))
        }
        _ => None,
    });
    if let Some(code) = answer {
        return code;
    }
    if line.has(Opt::ConfigTest) {
        return config_test(&line);
    }
    run(&line)
}

fn version() -> ExitCode {
    eprintln!("Keepalived v{KEEPALIVED} (xvrrp {})", env!("CARGO_PKG_VERSION"));
    eprintln!("\nThis is xvrrp, which takes keepalived's options and configuration; see `xvrrp --help`.");
    ExitCode::SUCCESS
}

fn help() -> ExitCode {
    eprint!("{}", options::help("keepalived"));
    ExitCode::SUCCESS
}

/// `kill -s $(keepalived --signum=STOP) …`
fn signum(name: &str) -> ExitCode {
    let number = match name {
        "STOP" => libc::SIGTERM,
        "RELOAD" => libc::SIGHUP,
        "DATA" => libc::SIGUSR1,
        "STATS" => libc::SIGUSR2,
        "STATS_CLEAR" => signals::clear(),
        "JSON" => signals::JSON,
        _ => {
            eprintln!("Unknown sigfunc {name}");
            return ExitCode::from(code::USAGE);
        }
    };
    super::output::print(&format!("{number}\n"))
}

/// `-t`: the exit codes are those of `xvrrp check`.
fn config_test(line: &CommandLine) -> ExitCode {
    let options = check::options(line.text(Opt::ConfigId).as_deref());
    let mut loaded = config::load(&config_file(line), &options);
    if line.has(Opt::AllConfig) {
        start::require_all(&mut loaded);
    }
    // Nothing to say, nothing said: cron sends mail for less.
    let silent = loaded.diagnostics.worst().is_none();
    let text = if silent { String::new() } else { report::text(&loaded, false, None) };
    let written = match line.path(Opt::ConfigTest) {
        Some(path) => OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| eprintln!("{}: {error}", path.display())),
        None => {
            // A closed pipe must not change the verdict.
            let _ = std::io::stderr().write_all(text.as_bytes());
            Ok(())
        }
    };
    match written {
        Ok(()) => ExitCode::from(report::verdict(&loaded).code()),
        Err(()) => ExitCode::from(code::USAGE),
    }
}

fn config_file(line: &CommandLine) -> PathBuf {
    line.path(Opt::UseFile).unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG))
}

fn run(line: &CommandLine) -> ExitCode {
    if line.has(Opt::Check) && !line.has(Opt::Vrrp) {
        eprintln!("--check asks for the LVS health checker alone, which is not done here; nothing to run");
        return ExitCode::from(code::USAGE);
    }
    let mut remarks = remarks(line);
    let own_mask = set_umask(line, &mut remarks);
    let pattern = allow_core_dumps(line, &mut remarks);
    let background = !line.has(Opt::DontFork);
    // In the background there is no terminal.
    let console = line.has(Opt::LogConsole) && !background;
    let facility = line.text(Opt::LogFacility);
    let number = facility.as_deref().map(facility_number);
    if let (Some(text), Some(None)) = (&facility, number) {
        remarks.push(format!("Invalid log facility '{text}'"));
    }
    let outcome = start::start(StartPlan {
        config_file: config_file(line),
        config_id: line.text(Opt::ConfigId),
        namespace: line.text(Opt::Namespace),
        run_dir: None,
        bpffs: None,
        bpf_log: None,
        tcx: true,
        log: logging::Options {
            level: line.has(Opt::Debug).then(|| "debug".to_owned()),
            syslog: !console,
            facility: number.flatten(),
            file: line.path(Opt::LogFile).map(|path| std::path::absolute(&path).unwrap_or(path)),
            quiet: !console && line.has(Opt::NoSyslog),
            ..logging::Options::default()
        },
        state_dir: None,
        rfc_timers: false,
        all_files: line.has(Opt::AllConfig),
        umask: own_mask.map(|mask| mask.bits()),
        no_bfd: line.has(Opt::NoBfd),
        service: Some(Service {
            background,
            pid_files: [line.path(Opt::Pid), line.path(Opt::VrrpPid)],
            remarks,
            dump: line.has(Opt::DumpConf),
        }),
    });
    drop(pattern);
    match outcome {
        // As keepalived: whoever wanted it to run has what he wanted.
        StartOutcome::Stopped | StartOutcome::Running => ExitCode::SUCCESS,
        StartOutcome::Unusable => ExitCode::from(code::CONFIG),
        StartOutcome::Missing => ExitCode::from(code::NO_CONFIG),
        StartOutcome::Failed => ExitCode::FAILURE,
    }
}

/// `--umask`: what it is now, if it was changed.
fn set_umask(line: &CommandLine, remarks: &mut Vec<String>) -> Option<Mode> {
    let given = line.text(Opt::Umask);
    let own_mask = given.as_deref().and_then(mask);
    match (given, own_mask) {
        (_, Some(mask)) => drop(umask(mask)),
        (Some(text), None) => remarks.push(format!("Invalid --umask option {text}")),
        (None, None) => {}
    }
    own_mask
}

/// `--core-dump` and `--core-dump-pattern`: dropping what this returns restores the pattern that was there.
fn allow_core_dumps(line: &CommandLine, remarks: &mut Vec<String>) -> Option<CorePattern> {
    if (line.has(Opt::CoreDump) || line.has(Opt::CorePattern))
        && let Err(error) = core_dump::allow()
    {
        remarks.push(format!("core dumps: {error}"));
    }
    let pattern =
        line.has(Opt::CorePattern).then(|| line.text(Opt::CorePattern).unwrap_or("core".to_owned()));
    pattern.and_then(|pattern| {
        core_dump::set_pattern(&pattern)
            .map_err(|error| remarks.push(format!("core pattern {pattern}: {error}")))
            .ok()
    })
}

/// One line about everything that was asked for and is not done. What makes no difference is not mentioned.
fn remarks(line: &CommandLine) -> Vec<String> {
    let table: &[(Opt, &str)] = &[
        (Opt::Snmp, "--snmp (there is no SNMP)"),
        (Opt::SnmpSocket, "--snmp-agent-socket (there is no SNMP)"),
        (
            Opt::DontReleaseVrrp,
            "--dont-release-vrrp (a stop hands the addresses over; `xvrrp restart` keeps them)",
        ),
        (Opt::AddressMonitoring, "--address-monitoring (`ip monitor address` shows them)"),
        (Opt::CheckersPid, "--checkers_pid (there is no such process)"),
        (Opt::BfdPid, "--bfd_pid (there is no such process)"),
        (Opt::Perf, "--perf (`perf record -p PID` does it)"),
    ];
    let named: Vec<_> = table.iter().filter(|(opt, _)| line.has(*opt)).map(|(_, text)| *text).collect();
    if named.is_empty() { Vec::new() } else { vec![format!("accepted without effect: {}", named.join(", "))] }
}

/// Facilities as keepalived names them (syslog(3), RFC 5424 section 6.2.1).
fn facility_number(text: &str) -> Option<u8> {
    match text {
        "user" => Some(1),
        "daemon" => Some(3),
        local => match local.strip_prefix("local").unwrap_or(local).as_bytes() {
            [digit @ b'0'..=b'7'] => Some(16 + (digit - b'0')),
            _ => None,
        },
    }
}

/// A number as C writes it: octal, decimal or hexadecimal.
fn mask(text: &str) -> Option<Mode> {
    let number = if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        u32::from_str_radix(digits, 16)
    } else if text.starts_with('0') {
        u32::from_str_radix(text, 8)
    } else {
        text.parse()
    };
    number.ok().filter(|number| *number <= 0o777).and_then(Mode::from_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        for (name, called) in
            [("keepalived", true), ("/usr/sbin/keepalived", true), ("xvrrp", false), ("./keepalived2", false)]
        {
            assert_eq!(is_called(Some(OsStr::new(name))), called, "{name}");
        }
        assert!(!is_called(None));
    }

    #[test]
    fn facilities_and_masks() {
        assert_eq!(
            ["daemon", "user", "0", "local7"].map(facility_number),
            [Some(3), Some(1), Some(16), Some(23)]
        );
        assert_eq!(["8", "local", "local08", "kern", ""].map(facility_number), [None; 5]);
        assert_eq!(["077", "63", "0x3F"].map(mask), [Some(Mode::from_bits_truncate(0o077)); 3]);
        assert_eq!(["999", "0999", "x", "", "01000"].map(mask), [None; 5]);
    }

    #[test]
    fn what_is_not_done_is_said_in_one_line() {
        let read =
            |words: &str| CommandLine::read(words.split_whitespace().map(OsString::from)).expect("good");
        assert!(remarks(&read("-n -l -D -P -R -I -X")).is_empty());
        let said = remarks(&read("-x -A sock -V"));
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("--snmp (") && said[0].contains("--dont-release-vrrp ("), "{said:?}");
    }
}
