//! What the process may do: capabilities, scheduling, memory. Pure: [`super::look`] asks.

use crate::lost::{self, Lost};

use super::{Finding, Group, Level};

/// What the process may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Effective user 0.
    pub root: bool,
    /// The effective set of capabilities, a bit for each.
    pub capabilities: u64,
    /// Why SCHED_FIFO is refused, where it is.
    pub no_realtime: Option<String>,
    /// `kernel.sched_rt_runtime_us`.
    pub rt_runtime: Option<i64>,
    /// Why memory cannot be locked, where it cannot.
    pub no_locked_memory: Option<String>,
    /// RLIMIT_MEMLOCK in bytes, after the process has raised it as far as it may; `None` for no limit.
    pub memlock: Option<u64>,
}

/// A capability that the daemon uses.
struct Capability {
    name: &'static str,
    bit: u32,
    level: Level,
    /// What does not work without it.
    without: &'static str,
    lost: &'static [Lost],
}

const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;

const CAPABILITIES: [Capability; 7] = [
    Capability {
        name: "CAP_NET_ADMIN",
        bit: NET_ADMIN,
        level: Level::Fail,
        without: "no address can be added",
        lost: &[],
    },
    Capability {
        name: "CAP_NET_RAW",
        bit: 13,
        level: Level::Fail,
        without: "no advert can be sent or received",
        lost: &[],
    },
    Capability {
        name: "CAP_BPF",
        bit: 39,
        level: Level::Warn,
        without: "no program can be loaded",
        lost: &lost::WITHOUT_XDP,
    },
    Capability {
        name: "CAP_PERFMON",
        bit: 38,
        level: Level::Warn,
        without: "the kernel may refuse the program",
        lost: &lost::WITHOUT_XDP,
    },
    Capability {
        name: "CAP_SYS_ADMIN",
        bit: SYS_ADMIN,
        level: Level::Ok,
        without: "the daemon neither mounts the BPF file system nor enters network namespaces",
        lost: &[],
    },
    Capability {
        name: "CAP_SYS_NICE",
        bit: 23,
        level: Level::Warn,
        without: "no real-time scheduling",
        lost: &[],
    },
    Capability {
        name: "CAP_IPC_LOCK",
        bit: 14,
        level: Level::Note,
        without: "memory is locked up to the limit only",
        lost: &[],
    },
];

/// Why a process with these capabilities can add no address, if it cannot.
#[must_use]
pub fn without_addresses(capabilities: u64) -> Option<String> {
    let missing = capabilities >> NET_ADMIN & 1 == 0;
    missing.then(|| {
        "CAP_NET_ADMIN is missing, so no address can be added: run as root, or grant it (CapabilityBoundingSet= and \
         AmbientCapabilities= of the service, cap_add of the container)"
            .to_owned()
    })
}

impl Rights {
    fn has(&self, bit: u32) -> bool {
        self.capabilities >> bit & 1 == 1
    }

    /// Whether what is refused would be refused to the daemon too, which runs as root or with rights of its own.
    #[must_use]
    pub fn privileged(&self) -> bool {
        self.root || self.has(NET_ADMIN)
    }
}

/// The findings. `counted`: maps count against RLIMIT_MEMLOCK; `None` where that was not found out.
#[must_use]
pub fn findings(rights: &Rights, counted: Option<bool>) -> Vec<Finding> {
    if !rights.privileged() {
        let text = "not root: what the daemon would be allowed, and much of the rest, was not found out";
        return vec![line(Level::Warn, "root", text).fix("run this as root, or as the daemon runs")];
    }
    let mut findings = vec![capabilities(rights)];
    findings.extend(missing(rights));
    findings.push(realtime(rights));
    findings.extend(throttling(rights));
    findings.push(match &rights.no_locked_memory {
        None => line(Level::Ok, "memory", "memory can be locked"),
        Some(reason) => line(Level::Note, "memory", reason.clone()),
    });
    findings.extend(memlock(rights, counted));
    findings
}

fn line(level: Level, what: &'static str, text: impl Into<String>) -> Finding {
    Finding::new(Group::Rights, level, what, text)
}

/// What is there.
fn capabilities(rights: &Rights) -> Finding {
    let there = CAPABILITIES.iter().filter(|capability| rights.has(capability.bit));
    let names: Vec<_> = there.map(|capability| capability.name).collect();
    if names.is_empty() {
        line(Level::Ok, "capabilities", "none")
    } else {
        line(Level::Ok, "capabilities", names.join(", "))
    }
}

/// What is not, a line for each. CAP_SYS_ADMIN includes what was taken out of it in Linux 5.8.
fn missing(rights: &Rights) -> impl Iterator<Item = Finding> {
    let included = |bit| matches!(bit, 38 | 39) && rights.has(SYS_ADMIN);
    CAPABILITIES
        .iter()
        .filter(move |capability| !rights.has(capability.bit) && !included(capability.bit))
        .map(|capability| {
            let text = format!("{} is missing: {}", capability.name, capability.without);
            let finding = line(capability.level, "capabilities", text).losing(capability.lost);
            if capability.level == Level::Ok {
                finding
            } else {
                finding
                    .fix(format!("run as root, or grant {} to the service or the container", capability.name))
            }
        })
}

fn realtime(rights: &Rights) -> Finding {
    match &rights.no_realtime {
        None => line(Level::Ok, "realtime", "real-time scheduling (SCHED_FIFO) can be had"),
        Some(reason) => line(Level::Warn, "realtime", reason.clone()),
    }
}

fn throttling(rights: &Rights) -> Option<Finding> {
    Some(match rights.rt_runtime? {
        0 => {
            line(Level::Warn, "throttling", "real-time threads get no time (kernel.sched_rt_runtime_us is 0)")
                .fix("`sysctl kernel.sched_rt_runtime_us=950000`")
        }
        -1 => line(Level::Ok, "throttling", "real-time threads are never throttled"),
        runtime => line(
            Level::Ok,
            "throttling",
            format!("real-time threads share {runtime} us of a period, which only a runaway one uses up"),
        ),
    })
}

fn memlock(rights: &Rights, counted: Option<bool>) -> Option<Finding> {
    /// More than the maps of a few interfaces.
    const ENOUGH: u64 = 64 << 20;
    let text = |bytes: u64| format!("BPF maps count against RLIMIT_MEMLOCK, which is {} KiB", bytes >> 10);
    Some(match (counted?, rights.memlock) {
        (false, _) => line(Level::Ok, "memlock", "BPF maps do not count against RLIMIT_MEMLOCK"),
        (true, None) => line(Level::Ok, "memlock", "RLIMIT_MEMLOCK is no limit"),
        (true, Some(bytes)) if bytes >= ENOUGH => line(Level::Ok, "memlock", text(bytes)),
        (true, Some(bytes)) => line(Level::Warn, "memlock", text(bytes))
            .fix("LimitMEMLOCK=infinity of the service, or `ulimit -l unlimited`")
            .losing(&lost::WITHOUT_XDP),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Rights {
        Rights { root: true, capabilities: u64::MAX, rt_runtime: Some(950_000), ..Rights::default() }
    }

    fn worst(rights: &Rights, counted: bool) -> Level {
        findings(rights, Some(counted)).iter().map(|finding| finding.level).max().unwrap()
    }

    #[test]
    fn root_lacks_nothing() {
        assert_eq!(worst(&all(), false), Level::Ok);
        assert_eq!(worst(&all(), true), Level::Ok);
    }

    #[test]
    fn each_missing_capability_says_what_does_not_work() {
        let without = |bit: u32| Rights { capabilities: !(1 << bit) & !(1 << SYS_ADMIN), ..all() };
        for (bit, level, word) in [
            (NET_ADMIN, Level::Fail, "CAP_NET_ADMIN is missing: no address"),
            (13, Level::Fail, "CAP_NET_RAW is missing: no advert"),
            (39, Level::Warn, "CAP_BPF is missing"),
            (23, Level::Warn, "CAP_SYS_NICE is missing"),
            (14, Level::Note, "CAP_IPC_LOCK is missing"),
            (SYS_ADMIN, Level::Ok, "CAP_SYS_ADMIN is missing"),
        ] {
            let found = findings(&without(bit), Some(false));
            let finding = found.iter().find(|finding| finding.text.contains(word)).expect(word);
            assert_eq!(finding.level, level, "{word}");
            assert_eq!(finding.fix.is_some(), level > Level::Ok, "{word}");
        }
        let bpf = findings(&without(39), Some(false));
        assert!(bpf.iter().any(|finding| finding.lost == lost::WITHOUT_XDP));
    }

    #[test]
    fn cap_sys_admin_includes_cap_bpf() {
        let rights = Rights { capabilities: !(3 << 38), ..all() };
        assert_eq!(worst(&rights, false), Level::Ok);
    }

    #[test]
    fn who_has_no_rights_is_told_that_little_was_found_out() {
        let found = findings(&Rights { no_realtime: Some("refused".to_owned()), ..Rights::default() }, None);
        assert_eq!(found.len(), 1);
        assert!(found[0].level == Level::Warn && found[0].text.contains("not root"), "{found:?}");
    }

    #[test]
    fn the_memory_limit_counts_only_where_maps_count() {
        let small = Rights { memlock: Some(64 << 10), ..all() };
        assert_eq!(worst(&small, false), Level::Ok);
        assert_eq!(worst(&small, true), Level::Warn);
        assert_eq!(worst(&Rights { rt_runtime: Some(0), ..all() }, false), Level::Warn);
    }
}
