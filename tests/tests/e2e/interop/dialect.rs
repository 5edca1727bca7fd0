//! The ways of speaking VRRP that two daemons have in common, as configuration texts and expected times.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ha_tests::lab::Daemon;

/// Virtual router id in all files here.
pub(super) const VRID: u8 = 9;

/// Priorities of `r1` and `r2`.
pub(super) const PRIORITIES: [u8; 2] = [101, 99];

/// The instance's name in keepalived's and our files.
pub(super) const NAME: &str = "VI_1";

/// Version, family and way of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// VRRPv2 with a password, multicast.
    V2Multicast,
    /// VRRPv2 with a password, unicast.
    V2Unicast,
    /// VRRPv3 over IPv4, multicast. The checksum has the pseudo-header.
    V3Ipv4,
    /// VRRPv3 over IPv6, multicast.
    V3Ipv6,
}

impl Dialect {
    /// Its name in tests.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V2Multicast => "v2_multicast",
            Self::V2Unicast => "v2_unicast",
            Self::V3Ipv4 => "v3_ipv4",
            Self::V3Ipv6 => "v3_ipv6",
        }
    }

    /// The virtual address.
    pub(super) fn vip(self) -> IpAddr {
        match self {
            Self::V3Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, 0x25)),
            _ => IpAddr::V4(Ipv4Addr::new(172, 16, 1, 25)),
        }
    }

    /// All addresses where no vrrpd takes part. "The first address MUST be the IPv6 link-local address" (RFC 9568
    /// section 5.2.9); keepalived complains about a configuration without.
    pub(super) fn vips(self) -> Vec<IpAddr> {
        let link_local =
            self.vip().is_ipv6().then(|| IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 9, 0x25)));
        link_local.into_iter().chain([self.vip()]).collect()
    }

    /// Advertisement interval: as short as a peer and a noisy machine bear.
    pub(super) fn interval(self) -> Duration {
        match self {
            Self::V2Multicast | Self::V2Unicast => Duration::from_secs(1),
            Self::V3Ipv4 | Self::V3Ipv6 => Duration::from_millis(200),
        }
    }

    /// Skew time of a router with `priority` behind a master with `interval`: of a second in VRRPv2.
    pub(super) fn skew(self, priority: u8, interval: Duration) -> Duration {
        let whole = match self {
            Self::V2Multicast | Self::V2Unicast => Duration::from_secs(1),
            Self::V3Ipv4 | Self::V3Ipv6 => interval,
        };
        whole * (256 - u32::from(priority)) / 256
    }

    /// Master-down interval of a router with `priority` behind a master with `interval`.
    pub(super) fn master_down(self, priority: u8, interval: Duration) -> Duration {
        interval * 3 + self.skew(priority, interval)
    }

    /// The configuration of `daemon` on the first (`0`) or second (`1`) of `routers`.
    pub(super) fn config(self, daemon: Daemon, peer: Daemon, which: usize, routers: [IpAddr; 2]) -> String {
        if daemon == Daemon::FrrVrrpd {
            return self.frr(PRIORITIES[which]);
        }
        let more = match self {
            Self::V2Multicast => password("1111"),
            Self::V2Unicast => {
                format!("{}    unicast_peer {{\n        {}\n    }}\n", password("1111"), routers[1 - which])
            }
            Self::V3Ipv4 | Self::V3Ipv6 => "    version 3\n".to_owned(),
        };
        let mut vips = self.vips();
        if peer == Daemon::FrrVrrpd {
            // vrrpd's link-local address is that of its device; it lists the configured ones only.
            vips.retain(|vip| *vip == self.vip());
        }
        instance(PRIORITIES[which], self.interval(), &more, &vips)
    }

    fn frr(self, priority: u8) -> String {
        let family = if self.vip().is_ipv6() { "ipv6" } else { "ip" };
        format!(
            "debug vrrp\ninterface ens160\n vrrp {VRID} version 3\n vrrp {VRID} priority {priority}\n \
             vrrp {VRID} advertisement-interval {}\n vrrp {VRID} {family} {}\n",
            self.interval().as_millis(),
            self.vip()
        )
    }
}

/// One instance in keepalived's language, with `more` lines in it.
pub(super) fn instance(priority: u8, interval: Duration, more: &str, vips: &[IpAddr]) -> String {
    named_instance(NAME, VRID, priority, interval, more, vips)
}

/// Like [`instance`], for files with several.
pub(super) fn named_instance(
    name: &str,
    vrid: u8,
    priority: u8,
    interval: Duration,
    more: &str,
    vips: &[IpAddr],
) -> String {
    let vips: String = vips.iter().map(|vip| format!("        {vip}\n")).collect();
    format!(
        "vrrp_instance {name} {{\n    state BACKUP\n    interface ens160\n    virtual_router_id {vrid}\n    \
         priority {priority}\n    advert_int {}\n{more}    virtual_ipaddress {{\n{vips}    }}\n}}\n",
        interval.as_secs_f64()
    )
}

/// An `authentication` block.
pub(super) fn password(password: &str) -> String {
    format!("    authentication {{\n        auth_type PASS\n        auth_pass {password}\n    }}\n")
}
