//! What is compared, and the configuration files that it runs with.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use clap::ValueEnum;
use ha_tests::lab::Daemon;
use serde::{Deserialize, Serialize};

/// A daemon with a set of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
pub(super) enum Peer {
    /// xvrrp with the tutorial's files, unmodified.
    Xvrrp,
    /// The same, where another XDP program has the interface: through traffic control.
    XvrrpTc,
    /// The same as `Xvrrp` with `hot_standby on`: the addresses are on the backup beforehand.
    XvrrpHot,
    /// The same as `Xvrrp` with four probes a millisecond.
    #[value(name = "xvrrp-250us")]
    Xvrrp250us,
    /// The same as `Xvrrp` with a window that does not adapt.
    XvrrpFixed,
    /// The distribution's keepalived with the same files.
    Keepalived,
    /// The same keepalived, tuned to detect a failure as fast as its manual page allows.
    KeepalivedTuned,
}

/// Which of the two routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Master,
    Backup,
}

const TUTORIAL: [&str; 2] = [
    include_str!("../../../tests/inputs/two-node/master.conf"),
    include_str!("../../../tests/inputs/two-node/backup.conf"),
];

/// The virtual address of the tutorial.
pub(super) const VIP: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 25);

/// VRRPv3 takes intervals down to 10 ms (and no authentication). The rest keeps the process scheduled: real-time
/// priority, memory locked, and a limit of real-time CPU that a burst of 255 takeovers does not reach.
const TUNED_GLOBAL: &str = "global_defs {
    vrrp_version 3
    vrrp_rt_priority 50
    vrrp_no_swap
    vrrp_rlimit_rttime 1000000
}
";

impl Peer {
    /// What is compared unless something else is asked for.
    pub(super) const USUAL: [Self; 3] = [Self::Xvrrp, Self::Keepalived, Self::KeepalivedTuned];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Xvrrp => "xvrrp",
            Self::XvrrpTc => "xvrrp-tc",
            Self::XvrrpHot => "xvrrp-hot",
            Self::Xvrrp250us => "xvrrp-250us",
            Self::XvrrpFixed => "xvrrp-fixed",
            Self::Keepalived => "keepalived",
            Self::KeepalivedTuned => "keepalived-tuned",
        }
    }

    pub(super) const fn daemon(self) -> Daemon {
        match self {
            Self::Xvrrp | Self::XvrrpTc | Self::XvrrpHot | Self::Xvrrp250us | Self::XvrrpFixed => {
                Daemon::Xvrrp
            }
            Self::Keepalived | Self::KeepalivedTuned => Daemon::Keepalived,
        }
    }

    /// The line that it adds to each instance of the tutorial's files.
    pub(super) const fn line(self) -> Option<&'static str> {
        match self {
            Self::XvrrpHot => Some("hot_standby on"),
            Self::Xvrrp250us => Some("fast_probe_interval 250us"),
            Self::XvrrpFixed => Some("fast_window 2.5ms fixed"),
            Self::Xvrrp | Self::XvrrpTc | Self::Keepalived | Self::KeepalivedTuned => None,
        }
    }

    pub(super) fn is_ours(self) -> bool {
        self.daemon() == Daemon::Xvrrp
    }

    /// How long its backup watches the master before a failover, where ours do for `learn`: others have nothing to learn.
    pub(super) fn learning(self, learn: Duration) -> Duration {
        if self.is_ours() { learn } else { Duration::ZERO }
    }

    /// The file of one router with one virtual address, [`VIP`].
    pub(super) fn config(self, role: Role) -> String {
        if self == Self::KeepalivedTuned {
            return format!("{TUNED_GLOBAL}{}", self.instance(role, 9, VIP));
        }
        let file = TUTORIAL[role as usize];
        match self.line() {
            Some(line) => file.replace("advert_int", &format!("{line}\n    advert_int")),
            None => file.to_owned(),
        }
    }

    /// The tutorial's instance, once for each of `count` virtual router ids with an address of its own.
    pub(super) fn config_of(self, role: Role, count: u8) -> String {
        let mut text = String::new();
        if self == Self::KeepalivedTuned {
            text.push_str(TUNED_GLOBAL);
        }
        for (vrid, vip) in (1..=count).zip(vips(count)) {
            text.push_str(&self.instance(role, vrid, vip));
        }
        text
    }

    fn instance(self, role: Role, vrid: u8, vip: Ipv4Addr) -> String {
        let (state, priority) = match role {
            Role::Master => ("MASTER", 101),
            Role::Backup => ("BACKUP", 99),
        };
        let (interval, authentication) = if self == Self::KeepalivedTuned {
            ("0.01", "")
        } else {
            ("1", "    authentication {\n        auth_type PASS\n        auth_pass 1111\n    }\n")
        };
        let line = self.line().map_or_else(String::new, |line| format!("    {line}\n"));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "vrrp_instance VI_{vrid} {{\n    state {state}\n    interface ens160\n    virtual_router_id {vrid}\n    \
             priority {priority}\n    advert_int {interval}\n{line}{authentication}    virtual_ipaddress {{\n        \
             {vip}\n    }}\n}}\n"
        );
        text
    }
}

/// The addresses of [`Peer::config_of`], in a network of their own: the client needs a route there.
pub(super) fn vips(count: u8) -> Vec<Ipv4Addr> {
    (1..=count).map(|host| Ipv4Addr::new(10, 16, 1, host)).collect()
}

/// What the client routes to its interface to reach [`vips`].
pub(super) const VIPS_NETWORK: &str = "10.16.1.0/24";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_instances_differ_in_id_and_address() {
        let text = Peer::KeepalivedTuned.config_of(Role::Master, 255);
        assert_eq!(text.matches("vrrp_instance").count(), 255);
        assert!(text.contains("virtual_router_id 255\n") && text.contains("10.16.1.255\n"));
        assert_eq!(text.matches("global_defs").count(), 1);
        assert!(!text.contains("auth_pass"));
        assert!(Peer::Xvrrp.config_of(Role::Backup, 2).contains("auth_pass 1111"));
        for peer in [Peer::XvrrpHot, Peer::Xvrrp250us, Peer::XvrrpFixed] {
            let line = peer.line().unwrap();
            assert_eq!(peer.config_of(Role::Backup, 2).matches(line).count(), 2, "{line}");
            assert_eq!(peer.config(Role::Master).matches(line).count(), 1, "{line}");
        }
    }
}
