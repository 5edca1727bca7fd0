//! Settings of the daemon itself, in `global_defs` and at the top: names, scheduling, dumps, reloads, the firewall.

use std::net::SocketAddr;
use std::time::Duration;

use super::context::Context;
use super::notify;
use super::unsigned::parse_unsigned;
use super::value;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::{self, Anywhere, Daemon, Dumps, Nftables};
use crate::config::lexer::Word;
use crate::config::model::{Dump, Firewall, Global, MetricsAt, Process};
use crate::config::tree::Statement;

/// Longest `vrrp_startup_delay` and `vrrp_delay_after_boot` in microseconds.
const MAX_DELAY: u64 = 4_294_967_295;
/// Processors that can be named.
const MAX_CPU: i64 = 4095;
/// Of a socket in the file system (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;
/// More is no name.
const MAX_NAME: usize = 64;

/// Names, delays, reloads.
pub(super) fn daemon(keyword: Daemon, stmt: &Statement, global: &mut Global, cx: &mut Context) {
    match keyword {
        Daemon::DefaultInterface => global.default_interface = interface(stmt, cx),
        Daemon::VmacPrefix => global.vmac_prefix = prefix(stmt, cx),
        Daemon::VmacAddrPrefix => global.vmac_addr_prefix = prefix(stmt, cx),
        Daemon::DisableLocalIgmp => {
            value::flag(stmt, cx);
            global.disable_local_igmp = true;
        }
        Daemon::LogUnknownVrids => {
            value::flag(stmt, cx);
            global.log_unknown_vrids = true;
        }
        Daemon::VrrpStartupDelay => {
            global.startup_delay = delay(stmt, cx).unwrap_or(global.startup_delay);
        }
        Daemon::VrrpDelayAfterBoot => {
            global.delay_after_boot = delay(stmt, cx).unwrap_or(global.delay_after_boot);
        }
        Daemon::IprouteEtcDir => global.iproute_etc = notify::path(stmt, cx),
        Daemon::IprouteUsrDir => global.iproute_usr = notify::path(stmt, cx),
        Daemon::ReloadTimeFile => global.reload.time_file = notify::path(stmt, cx),
        Daemon::ReloadRepeat => {
            value::flag(stmt, cx);
            global.reload.repeat = true;
        }
        Daemon::ReloadFile => {
            value::no_block(stmt, cx);
            value::extra(stmt, 1, cx);
            global.reload.file = match stmt.args().first() {
                Some(word) => value::absolute(word, "ignored", cx),
                None => Some(std::path::PathBuf::new()),
            };
        }
    }
}

/// Dumps on signals.
pub(super) fn dumps(keyword: Dumps, stmt: &Statement, dump: &mut Dump, cx: &mut Context) {
    match keyword {
        Dumps::JsonVersion => {
            let Some(word) = value::one(stmt, cx) else { return };
            dump.json_version = value::small(word, "json_version", 1..=2, "1 is used", cx);
        }
        Dumps::StateDumpFile => dump.state_file = notify::path(stmt, cx),
        Dumps::StatsDumpFile | Dumps::StatsFile => dump.stats_file = notify::path(stmt, cx),
        Dumps::JsonDumpFile => dump.json_file = notify::path(stmt, cx),
        Dumps::DataUseInstance => dump.use_instance = value::boolean(stmt, cx).unwrap_or(false),
        Dumps::UseSymlinkPaths => dump.use_symlink_paths = value::boolean(stmt, cx).unwrap_or(false),
    }
}

/// The firewall.
pub(super) fn nftables(keyword: Nftables, stmt: &Statement, firewall: &mut Firewall, cx: &mut Context) {
    match keyword {
        Nftables::Table => {
            value::no_block(stmt, cx);
            value::extra(stmt, 1, cx);
            if let Some(word) = stmt.args().first() {
                firewall.table = word.text().chars().take(MAX_NAME).collect();
            }
        }
        Nftables::Priority => {
            let Some(word) = value::one(stmt, cx) else { return };
            let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
            let priority = value::small(word, "nftables_priority", range, "-1 is used", cx);
            firewall.priority = priority.unwrap_or(-1);
        }
        Nftables::Counters => {
            value::flag(stmt, cx);
            firewall.counters = true;
        }
    }
}

/// `net_namespace`.
pub(super) fn net_namespace(stmt: &Statement, global: &mut Global, cx: &mut Context) {
    global.net_namespace = name(stmt, cx).or(global.net_namespace.take());
}

/// What may stand at the top and in `global_defs`.
pub(super) fn anywhere(keyword: Anywhere, stmt: &Statement, global: &mut Global, cx: &mut Context) {
    match keyword {
        Anywhere::Instance => global.instance = name(stmt, cx).or(global.instance.take()),
        Anywhere::UsePidDir => {
            value::flag(stmt, cx);
            global.use_pid_dir = true;
        }
        // The reader has done it.
        Anywhere::IncludeCheck => {}
    }
}

/// Scheduling and memory.
pub(super) fn process(keyword: keywords::Process, stmt: &Statement, process: &mut Process, cx: &mut Context) {
    use keywords::Process as Keyword;
    match keyword {
        Keyword::ProcessNames => value::flag(stmt, cx),
        Keyword::ProcessName | Keyword::VrrpProcessName => {
            process.name = name(stmt, cx).or(process.name.take());
        }
        Keyword::VrrpPriority => {
            let Some(word) = value::one(stmt, cx) else { return };
            process.nice = value::small(word, "vrrp_priority", -20..=19, "ignored", cx);
        }
        Keyword::VrrpRtPriority => {
            let Some(word) = value::one(stmt, cx) else { return };
            process.rt_priority = value::small(word, "vrrp_rt_priority", 1..=99, "ignored", cx);
            judge_priority(word, process, cx);
        }
        Keyword::VrrpNoSwap => {
            value::flag(stmt, cx);
            process.no_swap = true;
        }
        Keyword::VrrpCpuAffinity => {
            value::no_block(stmt, cx);
            if stmt.args().is_empty() {
                value::missing(stmt, cx);
            }
            for word in stmt.args() {
                let cpu = value::small(word, "vrrp_cpu_affinity", 0..=MAX_CPU, "ignored", cx);
                if let Some(cpu) = cpu.filter(|cpu| !process.cpus.contains(cpu)) {
                    process.cpus.push(cpu);
                }
            }
        }
        Keyword::Umask => {
            let Some(word) = value::one(stmt, cx) else { return };
            process.umask = umask(word, cx).or(process.umask);
        }
    }
}

fn delay(stmt: &Statement, cx: &mut Context) -> Option<Duration> {
    let word = value::one(stmt, cx)?;
    value::seconds(word, &stmt.keyword().text(), 0..=MAX_DELAY, "ignored", cx)
}

/// Says so where a real-time priority has its price.
fn judge_priority(word: &Word, process: &Process, cx: &mut Context) {
    let (message, label, help) = match process.rt_priority {
        Some(1..=50) => (
            format!("vrrp_rt_priority {} is not above interrupt threads, which have 50", word.text()),
            "under a flood of packets adverts go out late, and the other router may take over",
            "write 51 or more, or leave it out",
        ),
        Some(99) => (
            "the main loop gets 98, not 99".to_owned(),
            "the threads that probe masters and renew the lease need a priority above it",
            "write 98 or less",
        ),
        _ => return,
    };
    cx.push(Diagnostic::note(codes::REALTIME_PRIORITY, word.span, message).label(label).help(help));
}

fn interface(stmt: &Statement, cx: &mut Context) -> Option<String> {
    value::one(stmt, cx).and_then(|word| value::interface(word, cx))
}

/// The beginning of an interface's name; a VRID and a dot still have to fit.
fn prefix(stmt: &Statement, cx: &mut Context) -> Option<String> {
    let word = value::one(stmt, cx)?;
    let name = value::interface(word, cx)?;
    if name.len() <= value::MAX_IFNAME - 4 {
        return Some(name);
    }
    let message = format!("`{name}` leaves no room for a VRID");
    cx.push(Diagnostic::error(codes::NAME_TOO_LONG, word.span, message).label("ignored"));
    None
}

/// A name that becomes part of a path.
fn name(stmt: &Statement, cx: &mut Context) -> Option<String> {
    let word = value::one(stmt, cx)?;
    let text = word.text().into_owned();
    let good = |c: char| !c.is_control() && !c.is_whitespace() && c != '/';
    if !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(good) && !text.starts_with('.') {
        return Some(text);
    }
    let message = format!("`{text}` cannot be a name");
    cx.push(Diagnostic::error(codes::BAD_WORD, word.span, message).label("ignored"));
    None
}

/// `metrics ADDRESS:PORT|unix:PATH`.
pub(super) fn metrics(stmt: &Statement, cx: &mut Context) -> Option<MetricsAt> {
    let word = value::one(stmt, cx)?;
    let text = word.text();
    let at = match text.strip_prefix("unix:") {
        Some(path) => {
            let absolute = path.starts_with('/') && path.len() <= LONGEST_SOCKET_PATH;
            absolute.then(|| MetricsAt::Path(path.into()))
        }
        // The scraper has to know the port.
        None => text.parse().ok().filter(|at: &SocketAddr| at.port() != 0).map(MetricsAt::Address),
    };
    if at.is_none() {
        let message = format!("`{text}` is neither ADDRESS:PORT nor unix:PATH");
        cx.push(
            Diagnostic::error(codes::BAD_ADDRESS, word.span, message).label("no metrics are served").help(
                "write such as 127.0.0.1:9650, [::1]:9650 or unix:/run/xvrrp/metrics.sock (from the root, at most \
                 107 bytes)",
            ),
        );
    }
    at
}

/// A number (octal with a leading zero, hexadecimal with `0x`), or `IRGRP|IWGRP|…`.
fn umask(word: &Word, cx: &mut Context) -> Option<u32> {
    let text = word.text();
    let number = match text.strip_prefix('0').filter(|rest| !rest.is_empty() && !rest.starts_with(['x', 'X']))
    {
        Some(octal) => u64::from_str_radix(octal, 8).ok(),
        None => parse_unsigned(text.as_bytes()),
    };
    let bit = |name: &str| {
        let shift = match name.get(2..)? {
            "USR" => 6,
            "GRP" => 3,
            "OTH" => 0,
            _ => return None,
        };
        let bit = match name.get(..2)? {
            "IR" => 4,
            "IW" => 2,
            "IX" => 1,
            _ => return None,
        };
        Some(bit << shift)
    };
    let bits = || text.split('|').try_fold(0_u64, |sum, name| Some(sum | bit(name.trim())?));
    let found = number.or_else(bits).filter(|mask| *mask <= 0o777);
    if found.is_none() {
        let message = format!("`{text}` is not a umask");
        cx.push(
            Diagnostic::error(codes::BAD_NUMBER, word.span, message)
                .label("ignored")
                .help("write such as 022 or IWGRP|IWOTH"),
        );
    }
    found.and_then(|mask| u32::try_from(mask).ok())
}
