//! keepalived's command line (keepalived(8), 2.2.7 to 2.3): the options, their forms, and what was asked for.
//!
//! As `getopt_long` has it: clusters (`-nlD`), values attached or apart, long names cut short where that is
//! unambiguous. The table is also the help text, so that no option can be accepted and not be listed.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opt {
    UseFile,
    Vrrp,
    Check,
    NoBfd,
    All,
    LogConsole,
    LogDetail,
    LogFacility,
    LogFile,
    FlushLogFile,
    NoSyslog,
    Umask,
    ReleaseVips,
    DontReleaseVrrp,
    DontReleaseIpvs,
    DontRespawn,
    DontFork,
    DumpConf,
    Pid,
    VrrpPid,
    Genhash,
    CheckersPid,
    AddressMonitoring,
    BfdPid,
    Snmp,
    SnmpSocket,
    Namespace,
    CoreDump,
    CorePattern,
    AllConfig,
    ConfigId,
    Signum,
    ConfigTest,
    Perf,
    Debug,
    NoMemCheck,
    Version,
    Help,
}

/// What an option is followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    No,
    Needed(&'static str),
    /// Only attached: `-tFILE`, `--config-test=FILE`.
    Maybe(&'static str),
}

struct Spec {
    opt: Opt,
    short: Option<char>,
    long: &'static str,
    value: Value,
    help: &'static str,
}

const fn spec(opt: Opt, short: Option<char>, long: &'static str, value: Value, help: &'static str) -> Spec {
    Spec { opt, short, long, value, help }
}

#[rustfmt::skip]
const TABLE: &[Spec] = &[
    spec(Opt::UseFile, Some('f'), "use-file", Value::Needed("FILE"), "Configuration file [/etc/keepalived/keepalived.conf]"),
    spec(Opt::Vrrp, Some('P'), "vrrp", Value::No, "Run VRRP only; there is nothing else here"),
    spec(Opt::Check, Some('C'), "check", Value::No, "Run the health checker only: refused, there is none"),
    spec(Opt::NoBfd, Some('B'), "no_bfd", Value::No, "Run no BFD sessions; what tracks one counts it as down"),
    spec(Opt::All, None, "all", Value::No, "No effect: there is one process"),
    spec(Opt::LogConsole, Some('l'), "log-console", Value::No, "Log to the terminal instead of syslog"),
    spec(Opt::LogDetail, Some('D'), "log-detail", Value::No, "No effect: the log always has its details"),
    spec(Opt::LogFacility, Some('S'), "log-facility", Value::Needed("0-7|local0-7|user|daemon"), "Syslog facility [daemon]"),
    spec(Opt::LogFile, Some('g'), "log-file", Value::Needed("FILE"), "Log into FILE as well"),
    spec(Opt::FlushLogFile, None, "flush-log-file", Value::No, "No effect: every line is written at once"),
    spec(Opt::NoSyslog, Some('G'), "no-syslog", Value::No, "Do not log to syslog"),
    spec(Opt::Umask, Some('u'), "umask", Value::Needed("MASK"), "umask(2) for new files and scripts: 077 octal, 63 or 0x3f"),
    spec(Opt::ReleaseVips, Some('X'), "release-vips", Value::No, "No effect: addresses are always released at a transition"),
    spec(Opt::DontReleaseVrrp, Some('V'), "dont-release-vrrp", Value::No, "Not done: a stop hands the addresses over"),
    spec(Opt::DontReleaseIpvs, Some('I'), "dont-release-ipvs", Value::No, "No effect: there is no IPVS"),
    spec(Opt::DontRespawn, Some('R'), "dont-respawn", Value::No, "No effect: there is one process"),
    spec(Opt::DontFork, Some('n'), "dont-fork", Value::No, "Stay in the foreground"),
    spec(Opt::DumpConf, Some('d'), "dump-conf", Value::No, "Log the configuration"),
    spec(Opt::Pid, Some('p'), "pid", Value::Needed("FILE"), "Pid file [/run/keepalived.pid]"),
    spec(Opt::VrrpPid, Some('r'), "vrrp_pid", Value::Needed("FILE"), "Pid file of the VRRP process, which is the same [/run/vrrp.pid]"),
    spec(Opt::Genhash, Some('T'), "genhash", Value::No, "Refused: there is no genhash"),
    spec(Opt::CheckersPid, Some('c'), "checkers_pid", Value::Needed("FILE"), "No effect: there is no such process"),
    spec(Opt::AddressMonitoring, Some('a'), "address-monitoring", Value::No, "Not done: changes of other addresses are not logged"),
    spec(Opt::BfdPid, Some('b'), "bfd_pid", Value::Needed("FILE"), "No effect: there is no such process"),
    spec(Opt::Snmp, Some('x'), "snmp", Value::No, "Not done: there is no SNMP"),
    spec(Opt::SnmpSocket, Some('A'), "snmp-agent-socket", Value::Needed("FILE"), "Not done: there is no SNMP"),
    spec(Opt::Namespace, Some('s'), "namespace", Value::Needed("NAME"), "Run in network namespace NAME"),
    spec(Opt::CoreDump, Some('m'), "core-dump", Value::No, "Allow core dumps"),
    spec(Opt::CorePattern, Some('M'), "core-dump-pattern", Value::Maybe("PATTERN"), "Also set the machine's core_pattern [core]"),
    spec(Opt::AllConfig, Some('e'), "all-config", Value::No, "Refuse a configuration with a file missing"),
    spec(Opt::ConfigId, Some('i'), "config-id", Value::Needed("ID"), "Configuration id for @id lines [short host name]"),
    spec(Opt::Signum, None, "signum", Value::Needed("NAME"), "Print the number of signal STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON"),
    spec(Opt::ConfigTest, Some('t'), "config-test", Value::Maybe("FILE"), "Check the configuration; findings go to FILE or standard error"),
    spec(Opt::Perf, None, "perf", Value::Maybe("all|run|end"), "Not done: run `perf record -p PID`"),
    spec(Opt::Debug, None, "debug", Value::Maybe("OPTIONS"), "Log at level debug"),
    spec(Opt::NoMemCheck, None, "no-mem-check", Value::No, "No effect: there is nothing to check"),
    spec(Opt::Version, Some('v'), "version", Value::No, "Print the version"),
    spec(Opt::Help, Some('h'), "help", Value::No, "Print this text"),
];

/// A bad command line, in keepalived's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    #[error("Unknown option {0}")]
    Unknown(String),
    #[error("Missing parameter for option {0}")]
    Missing(String),
    #[error("Option --{0} takes no parameter")]
    Unwanted(String),
}

/// A command line, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) options: Vec<(Opt, Option<OsString>)>,
    /// Words that belong to no option.
    pub(super) unexpected: Vec<String>,
}

impl CommandLine {
    /// Reads arguments, without the program's name.
    pub(super) fn read<I>(arguments: I) -> Result<Self, Bad>
    where
        I: IntoIterator<Item = OsString>,
    {
        let mut line = Self::default();
        let mut parser = lexopt::Parser::from_args(arguments);
        loop {
            let (spec, written) = match parser.next() {
                Ok(None) => return Ok(line),
                Ok(Some(lexopt::Arg::Value(word))) => {
                    line.unexpected.push(word.to_string_lossy().into_owned());
                    continue;
                }
                Ok(Some(lexopt::Arg::Short(letter))) => {
                    let found = TABLE.iter().find(|spec| spec.short == Some(letter));
                    (found.ok_or_else(|| Bad::Unknown(format!("-{letter}")))?, format!("-{letter}"))
                }
                Ok(Some(lexopt::Arg::Long(name))) => {
                    (long(name).ok_or_else(|| Bad::Unknown(format!("--{name}")))?, format!("--{name}"))
                }
                Err(lexopt::Error::UnexpectedValue { option, .. }) => {
                    return Err(Bad::Unwanted(option.trim_start_matches('-').to_owned()));
                }
                Err(error) => return Err(Bad::Unknown(error.to_string())),
            };
            let value = match spec.value {
                Value::No => None,
                Value::Needed(_) => Some(parser.value().map_err(|_| Bad::Missing(written))?),
                Value::Maybe(_) => parser.optional_value(),
            };
            line.options.push((spec.opt, value));
        }
    }

    /// Whether an option stands there.
    pub(super) fn has(&self, opt: Opt) -> bool {
        self.options.iter().any(|(given, _)| *given == opt)
    }

    /// The last value of an option.
    pub(super) fn value(&self, opt: Opt) -> Option<&OsStr> {
        self.options.iter().rev().find(|(given, _)| *given == opt).and_then(|(_, value)| value.as_deref())
    }

    /// The last value of an option as text.
    pub(super) fn text(&self, opt: Opt) -> Option<String> {
        self.value(opt).map(|value| value.to_string_lossy().into_owned())
    }

    /// The last value of an option as a path.
    pub(super) fn path(&self, opt: Opt) -> Option<PathBuf> {
        self.value(opt).map(PathBuf::from)
    }
}

/// The option of that name, or the only one whose name starts like that.
fn long(name: &str) -> Option<&'static Spec> {
    let exact = TABLE.iter().find(|spec| spec.long == name);
    let mut started = TABLE.iter().filter(|spec| spec.long.starts_with(name));
    exact.or_else(|| match (started.next(), started.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    })
}

/// The text of `--help`.
pub(super) fn help(program: &str) -> String {
    let mut text = format!("Usage: {program} [OPTION...]\n");
    for spec in TABLE {
        let short = spec.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
        let value = match spec.value {
            Value::No => String::new(),
            Value::Needed(name) => format!("={name}"),
            Value::Maybe(name) => format!("[={name}]"),
        };
        let head = format!("  {short}--{}{value}", spec.long);
        if head.len() < 36 {
            text.push_str(&format!("{head:36}{}\n", spec.help));
        } else {
            text.push_str(&format!("{head}\n{:36}{}\n", "", spec.help));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<CommandLine, Bad> {
        CommandLine::read(words.split_whitespace().map(OsString::from))
    }

    #[test]
    fn forms_of_getopt() {
        let line = read("-nlD -f a.conf -fb.conf --use-file=c.conf --use-file d.conf").expect("good");
        let options: Vec<_> = line.options.iter().map(|(opt, _)| *opt).collect();
        assert_eq!(options[..3], [Opt::DontFork, Opt::LogConsole, Opt::LogDetail]);
        let files: Vec<_> = line.options[3..].iter().filter_map(|(_, value)| value.clone()).collect();
        assert_eq!(files, ["a.conf", "b.conf", "c.conf", "d.conf"]);
        assert_eq!(line.path(Opt::UseFile), Some(PathBuf::from("d.conf")));
        // Where a value may be missing, the next word is none.
        let line = read("-t -f x -M --config-test=out -tout2 -t=out3").expect("good");
        assert_eq!(line.text(Opt::ConfigTest).as_deref(), Some("out3"));
        assert!(line.has(Opt::CorePattern) && line.value(Opt::CorePattern).is_none());
        assert_eq!(read("--vers").expect("good").options, [(Opt::Version, None)]);
        assert_eq!(read("-P extra words").expect("good").unexpected, ["extra", "words"]);
    }

    #[test]
    fn bad_lines_are_told_in_keepalived_s_words() {
        for (words, said) in [
            ("--bogus", "Unknown option --bogus"),
            ("-Z", "Unknown option -Z"),
            ("-i", "Missing parameter for option -i"),
            ("--signum", "Missing parameter for option --signum"),
            // Both --config-id and --config-test start like that.
            ("--conf x", "Unknown option --conf"),
            ("--vrrp=x", "Option --vrrp takes no parameter"),
        ] {
            assert_eq!(read(words).expect_err(words).to_string(), said);
        }
    }

    #[test]
    fn every_option_of_the_manual_is_known_and_has_its_help() {
        // keepalived(8) of 2.2.7, and the options that keepalived.conf(5)'s newer versions name.
        let shorts = "fPCBlDSgGXVIRndprTcabsei xAumMtvh";
        for letter in shorts.chars().filter(|letter| *letter != ' ') {
            assert!(TABLE.iter().any(|spec| spec.short == Some(letter)), "-{letter}");
        }
        for name in [
            "use-file",
            "vrrp",
            "check",
            "no_bfd",
            "all",
            "log-console",
            "log-detail",
            "log-facility",
            "log-file",
            "flush-log-file",
            "no-syslog",
            "release-vips",
            "dont-release-vrrp",
            "dont-release-ipvs",
            "dont-respawn",
            "dont-fork",
            "dump-conf",
            "pid",
            "vrrp_pid",
            "genhash",
            "checkers_pid",
            "address-monitoring",
            "bfd_pid",
            "namespace",
            "all-config",
            "config-id",
            "snmp",
            "snmp-agent-socket",
            "umask",
            "core-dump",
            "core-dump-pattern",
            "signum",
            "config-test",
            "perf",
            "debug",
            "no-mem-check",
            "version",
            "help",
        ] {
            assert!(long(name).is_some_and(|spec| spec.long == name), "--{name}");
            assert!(help("keepalived").contains(&format!("--{name}")), "--{name}");
        }
        assert!(TABLE.iter().all(|spec| !spec.help.is_empty()));
    }
}
