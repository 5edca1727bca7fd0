//! Routes and rules, virtual and static, in the terms of ip-route(8) and ip-rule(8).
//!
//! Names of tables, protocols, scopes and the like are numbers here: they have been looked up.

use std::net::IpAddr;

use ha_common::types::Family;

use super::Place;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `unicast` where the line says nothing.
    pub kind: RouteKind,
    /// Family of the destination.
    pub family: Family,
    /// `to`; `default` is the prefix of length 0.
    pub to: Prefix,
    /// `from`: source prefix, IPv6 only.
    pub from: Option<Prefix>,
    /// `src`: address that this host uses as source.
    pub source: Option<IpAddr>,
    /// The ways that the packets may go. One unless `nexthop` or `or` says more; none for `blackhole` and its like.
    pub hops: Vec<NextHop>,
    /// `table`: main where absent, or the table of `vrf`.
    pub table: Option<u32>,
    /// `vrf`: the table of this device.
    pub vrf: Option<String>,
    /// `metric` (also `priority`, `preference`).
    pub metric: Option<u32>,
    /// `scope`, as netlink wants it: 0 global, 200 site, 253 link, 254 host, 255 nowhere.
    pub scope: Option<u8>,
    /// `proto`: keepalived's own (18) where absent.
    pub protocol: Option<u8>,
    /// `tos` (also `dsfield`).
    pub tos: u8,
    /// `pref`: router preference, IPv6 only (0 medium, 1 high, 3 low).
    pub preference: Option<u8>,
    /// `expires`, seconds, IPv6 only.
    pub expires: Option<u32>,
    /// `ttl-propagate`.
    pub ttl_propagate: Option<bool>,
    /// Path metrics.
    pub metrics: RouteMetrics,
    /// `realms`: the upper half is the source's realm.
    pub realms: Option<u32>,
    /// `append`: behind routes of the same kind instead of before them.
    pub append: bool,
    /// `no_track`: its disappearance is nobody's business.
    pub no_track: bool,
    /// `track_group`, static routes only.
    pub track_group: Option<String>,
    /// Where it was written, for messages.
    pub place: Place,
}

/// Type of a route, `RTN_…` of rtnetlink(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of ip-route(8)")]
pub enum RouteKind {
    #[default]
    Unicast,
    Local,
    Broadcast,
    Anycast,
    Multicast,
    Blackhole,
    Unreachable,
    Prohibit,
    Throw,
    Nat,
}

impl RouteKind {
    /// The number in netlink.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Unicast => 1,
            Self::Local => 2,
            Self::Broadcast => 3,
            Self::Anycast => 4,
            Self::Multicast => 5,
            Self::Blackhole => 6,
            Self::Unreachable => 7,
            Self::Prohibit => 8,
            Self::Throw => 9,
            Self::Nat => 10,
        }
    }
}

/// Address and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Address; host bits are as written.
    pub address: IpAddr,
    /// At most 32 or 128.
    pub length: u8,
}

/// One way of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextHop {
    /// `via` (also `gw`); may be of another family than the route (`via inet6`).
    pub via: Option<IpAddr>,
    /// `dev`; the instance's interface where both `via` and `dev` are absent, is the runtime's choice.
    pub device: Option<String>,
    /// `onlink`.
    pub onlink: bool,
    /// `pervasive`.
    pub pervasive: bool,
    /// `weight`, 1 to 256; 1 where absent.
    pub weight: u16,
    /// `realms` of this way.
    pub realms: Option<u32>,
    /// `encap`.
    pub encap: Option<Encap>,
}

/// `encap`: what is put round the packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encap {
    /// `encap mpls LABEL[/LABEL…] [ttl N]`.
    Mpls {
        /// Labels, outermost first, 20 bits each.
        labels: Vec<u32>,
        /// TTL, where given.
        ttl: Option<u8>,
    },
    /// `encap ip id N dst ADDRESS [src ADDRESS] [tos N] [ttl N]`, or `encap ip6 … [hoplimit N]`.
    Ip {
        /// Tunnel id.
        id: Option<u64>,
        /// Destination; its family is the tunnel's.
        destination: Option<IpAddr>,
        /// Source.
        source: Option<IpAddr>,
        /// TOS or traffic class.
        tos: Option<u8>,
        /// TTL or hop limit.
        ttl: Option<u8>,
        /// `ip6`, even where there is no address.
        v6: bool,
    },
    /// `encap ila LOCATOR`.
    Ila {
        /// The 64-bit locator.
        locator: u64,
    },
}

/// `RTAX_…`: path metrics of a route. `None` is the kernel's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteMetrics {
    /// Value and the bits of `lock`, by netlink's number (`RTAX_MTU` is 2), in the order of those numbers.
    pub values: Vec<(RouteMetric, u32)>,
    /// Metrics that are locked.
    pub locked: Vec<RouteMetric>,
    /// `features ecn`.
    pub ecn: bool,
    /// `congctl NAME`.
    pub congctl: Option<String>,
}

/// A path metric; the discriminant is netlink's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum RouteMetric {
    /// `mtu`, bytes.
    Mtu = 2,
    /// `window`, bytes.
    Window = 3,
    /// `rtt`, in eighths of a millisecond as the kernel keeps it.
    Rtt = 4,
    /// `rttvar`, in quarters of a millisecond as the kernel keeps it.
    RttVar = 5,
    /// `ssthresh`.
    Ssthresh = 6,
    /// `cwnd`.
    Cwnd = 7,
    /// `advmss`, bytes.
    Advmss = 8,
    /// `reordering`.
    Reordering = 9,
    /// `hoplimit`.
    Hoplimit = 10,
    /// `initcwnd`.
    Initcwnd = 11,
    /// `rto_min`, milliseconds.
    RtoMin = 13,
    /// `initrwnd`.
    Initrwnd = 14,
    /// `quickack`.
    Quickack = 15,
    /// `fastopen_no_cookie`.
    FastopenNoCookie = 17,
}

/// A rule of the routing policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Family.
    pub family: Family,
    /// `not`.
    pub invert: bool,
    /// `from`.
    pub from: Option<Prefix>,
    /// `to`.
    pub to: Option<Prefix>,
    /// `iif` (also `dev`).
    pub iif: Option<String>,
    /// `oif`.
    pub oif: Option<String>,
    /// `tos` (also `dsfield`).
    pub tos: Option<u8>,
    /// `fwmark MARK[/MASK]`; the mask is all ones where absent.
    pub fwmark: Option<(u32, u32)>,
    /// `priority` (also `preference`, `order`). Without one the kernel chooses.
    pub priority: Option<u32>,
    /// `realms`: the upper half is the source's realm.
    pub realms: Option<u32>,
    /// `suppress_prefixlength`.
    pub suppress_prefixlength: Option<u32>,
    /// `suppress_ifgroup`.
    pub suppress_ifgroup: Option<u32>,
    /// `tun_id`.
    pub tun_id: Option<u64>,
    /// `uidrange FIRST-LAST`.
    pub uidrange: Option<(u32, u32)>,
    /// `l3mdev`: the table is that of the packet's VRF.
    pub l3mdev: bool,
    /// `protocol`: who made the rule; keepalived's own (18) where absent.
    pub protocol: Option<u8>,
    /// `ip_proto` (also `ipproto`).
    pub ip_proto: Option<u8>,
    /// `sport FIRST[-LAST]`.
    pub sport: Option<(u16, u16)>,
    /// `dport FIRST[-LAST]`.
    pub dport: Option<(u16, u16)>,
    /// What is done.
    pub action: RuleAction,
    /// `no_track`: its disappearance is nobody's business.
    pub no_track: bool,
    /// `track_group`, static rules only.
    pub track_group: Option<String>,
    /// Where it was written, for messages.
    pub place: Place,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// `table` (also `lookup`); the main table (254) where the line names none. With `l3mdev`, 0.
    Table(u32),
    /// `goto PRIORITY`.
    Goto(u32),
    /// `nop`.
    Nop,
    /// `blackhole`.
    Blackhole,
    /// `unreachable`.
    Unreachable,
    /// `prohibit`.
    Prohibit,
}
