//! The typed configuration: what the rest of the daemon sees. Invalid values cannot be expressed.
//!
//! Built once by the lowering pass from the parsed file; all times and addresses are final, defaults filled in.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ha_common::packet::{Auth, ChecksumForm};
use ha_common::types::{Centis, Family, Priority, Version, Vrid};

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `global_defs`.
    pub global: Global,
    /// `vrrp_script` blocks that are well-formed, in file order.
    pub scripts: Vec<Script>,
    /// `vrrp_instance` blocks that can run, in file order.
    pub instances: Vec<Instance>,
}

/// `global_defs`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Global {
    /// `router_id`: for logs only; VRRP does not carry it.
    pub router_id: Option<String>,
    /// `enable_script_security`: refuse scripts whose path a non-root user can write.
    pub script_security: bool,
    /// `script_user USER [GROUP]`.
    pub script_user: Option<ScriptUser>,
    /// `xdp_mode`.
    pub xdp_mode: XdpMode,
}

/// How the XDP program is to be attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// Native where it is known to work, else generic, else none.
    #[default]
    Auto,
    /// Native or fail over to no XDP.
    Native,
    /// Generic (SKB).
    Generic,
    /// Raw sockets only.
    Off,
}

/// Liveness probes and the fence (docs/liveness.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast {
    /// `fast_failover`: probe masters and answer for the fence; default on.
    pub enabled: bool,
    /// `fast_probe_interval`: 100 µs to 1 s, default 1 ms.
    pub probe_interval: Duration,
    /// `fast_probe_misses`: 1 to 20, default 3.
    pub probe_misses: u8,
    /// `fast_window`: no verdict sooner than this after the last answered probe; 200 µs to 10 s, default 2.5 ms.
    pub window: Duration,
    /// `fast_lease`: how long a frozen daemon may still be answered for; 10 ms to 10 s, default 100 ms.
    pub lease: Duration,
    /// `fast_key`: probes are authenticated with it.
    pub key: Option<FastKey>,
}

impl Default for Fast {
    fn default() -> Self {
        Self {
            enabled: true,
            probe_interval: Duration::from_millis(1),
            probe_misses: 3,
            window: Duration::from_micros(2500),
            lease: Duration::from_millis(100),
            key: None,
        }
    }
}

/// A secret of 128 bits, the two words of a SipHash key; never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FastKey(pub [u64; 2]);

impl std::fmt::Debug for FastKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FastKey(…)")
    }
}

/// Whom a script runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptUser {
    /// User name, as written.
    pub user: String,
    /// Group name, as written; the user's primary group where absent.
    pub group: Option<String>,
}

/// A `vrrp_script`.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// Name that `track_script` refers to.
    pub name: String,
    /// Program and arguments; never run through a shell of our own making.
    pub argv: Vec<String>,
    /// Time from one start to the next.
    pub interval: Duration,
    /// After this the script is killed and counts as failed.
    pub timeout: Duration,
    /// Default weight of trackers that give none.
    pub weight: Weight,
    /// Successes in a row that make it good.
    pub rise: u32,
    /// Failures in a row that make it bad.
    pub fall: u32,
    /// `user`; the global `script_user` where absent.
    pub user: Option<ScriptUser>,
    /// `init_fail`: bad until the first success.
    pub init_fail: bool,
    /// Where the script was defined, for messages.
    pub place: Place,
}

/// What a tracker does to the priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// -253..=253; zero means FAULT on failure. Positive adds while good, negative subtracts while bad.
    pub value: i16,
    /// `reverse`: the sign of what is added turns round; with zero, good and bad change places.
    pub reverse: bool,
}

/// file:line:column, all counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// File as named by the user or by an include.
    pub file: PathBuf,
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A `vrrp_instance`.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Name.
    pub name: String,
    /// Interface that adverts travel on.
    pub interface: String,
    /// Virtual router.
    pub vrid: Vrid,
    /// Family: that of the first virtual address, or `native_ipv6`.
    pub family: Family,
    /// Protocol version; IPv6 is always VRRPv3.
    pub version: Version,
    /// Configured priority.
    pub priority: Priority,
    /// `state MASTER`: a hint only.
    pub starts_as_master: bool,
    /// Advertisement interval; whole seconds in VRRPv2.
    pub interval: Centis,
    /// VRRPv2 authentication.
    pub auth: Auth,
    /// Checksum form of VRRPv3 over IPv4.
    pub checksum: ChecksumForm,
    /// `virtual_ipaddress`: in the adverts and on the interface.
    pub vips: Vec<Vip>,
    /// `virtual_ipaddress_excluded`: on the interface only; any family.
    pub excluded: Vec<Vip>,
    /// `mcast_src_ip` or `unicast_src_ip`: source of the adverts.
    pub source: Option<IpAddr>,
    /// `unicast_peer`; multicast where absent.
    pub unicast: Option<Unicast>,
    /// False for `nopreempt`.
    pub preempt: bool,
    /// `preempt_delay`.
    pub preempt_delay: Duration,
    /// `dont_track_primary`: the instance's own interface going down is no FAULT.
    pub track_primary: bool,
    /// `lower_prio_no_advert`.
    pub lower_prio_no_advert: bool,
    /// `higher_prio_send_advert`.
    pub higher_prio_send_advert: bool,
    /// `down_timer_adverts`.
    pub down_timer_adverts: u8,
    /// Gratuitous ARP and unsolicited NA settings.
    pub garp: Garp,
    /// `track_script`; names are known to exist in [`Config::scripts`].
    pub track_scripts: Vec<TrackScript>,
    /// `track_interface`.
    pub track_interfaces: Vec<TrackInterface>,
    /// Liveness probes and the fence.
    pub fast: Fast,
    /// `xdp_mode` of the instance, or else the global one. Instances of one interface share one program.
    pub xdp_mode: XdpMode,
    /// Where the instance was defined, for messages.
    pub place: Place,
}

/// A virtual address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vip {
    /// Address.
    pub address: IpAddr,
    /// Prefix length; 32 or 128 where the file gives none.
    pub prefix: u8,
    /// `dev`: the instance's interface where absent.
    pub device: Option<String>,
    /// `brd ADDRESS`; `brd +` and `brd -` are resolved from the prefix.
    pub broadcast: Option<std::net::Ipv4Addr>,
    /// `scope`, as the number that netlink wants (0 global, 253 link, 254 host).
    pub scope: u8,
    /// `label`: `DEVICE:SOMETHING`, at most 15 bytes.
    pub label: Option<String>,
    /// `-nodad` and friends: IPv6 addresses are always added without DAD.
    pub noprefixroute: bool,
    /// Where the address was written, for messages.
    pub place: Place,
}

/// `unicast_peer` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unicast {
    /// Peers, with their TTL limits.
    pub peers: Vec<UnicastPeer>,
    /// `check_unicast_src`: drop adverts of others.
    pub check_source: bool,
    /// `unicast_ttl`: TTL of the adverts that we send.
    pub ttl: u8,
}

/// One line of `unicast_peer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnicastPeer {
    /// Address.
    pub address: IpAddr,
    /// `min_ttl`: adverts of this peer with less are dropped.
    pub min_ttl: Option<u8>,
    /// `max_ttl`: adverts of this peer with more are dropped.
    pub max_ttl: Option<u8>,
}

/// Gratuitous ARP and unsolicited NA settings (keepalived's names and defaults).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garp {
    /// `garp_master_delay`: second burst after this; default 5 s, zero for none.
    pub delay: Duration,
    /// `garp_master_repeat`: messages in a burst at a transition, default 5.
    pub repeat: u32,
    /// `garp_master_refresh`: repeat while master; zero for never (default).
    pub refresh: Duration,
    /// `garp_master_refresh_repeat`: messages in each refresh, default 1.
    pub refresh_repeat: u32,
    /// `garp_lower_prio_delay`: second burst this long after a lower-priority advert was heard while master; the
    /// first is sent at once.
    pub lower_prio_delay: Duration,
    /// `garp_lower_prio_repeat`: messages in that burst.
    pub lower_prio_repeat: u32,
    /// `garp_interval`: pause between two ARP messages of a burst.
    pub arp_interval: Duration,
    /// `gna_interval`: pause between two NA messages of a burst.
    pub na_interval: Duration,
}

/// One line of `track_script`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackScript {
    /// Name of the script.
    pub script: String,
    /// Weight of this tracker, or else the script's.
    pub weight: Weight,
}

/// One line of `track_interface`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackInterface {
    /// Interface.
    pub interface: String,
    /// Weight; zero means FAULT while it is down.
    pub weight: Weight,
}
