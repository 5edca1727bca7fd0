//! `vrrp_instance`, with the defaults of `global_defs` filled in.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ha_common::packet::hmac::{AntiReplay, Mode, Numbered};
use ha_common::packet::{Auth, ChecksumForm};
use ha_common::types::{Centis, Family, Priority, Version, Vrid};

use super::{
    Fast, Notify, Place, Route, Rule, Track, TrackFileRef, TrackInterface, TrackScript, Trackers, XdpMode,
};

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
    /// `auth_hmac`.
    pub hmac: HmacSetting,
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
    /// `track_script`; names are known to exist in [`super::Config::scripts`].
    pub track_scripts: Vec<TrackScript>,
    /// `track_interface`.
    pub track_interfaces: Vec<TrackInterface>,
    /// Liveness probes and the fence.
    pub fast: Fast,
    /// `track_file`.
    pub track_files: Vec<TrackFileRef>,
    /// `track_process`.
    pub track_processes: Vec<Track>,
    /// `track_bfd`.
    pub track_bfd: Vec<Track>,
    /// `track_check`, and lines of `track_script` that name a check.
    pub track_checks: Vec<Track>,
    /// `track_src_ip`, and wherever adverts go to `unicast_peer`s: FAULT while `source` is not on this host.
    pub track_source: bool,
    /// `virtual_routes`.
    pub routes: Vec<Route>,
    /// `virtual_rules`.
    pub rules: Vec<Rule>,
    /// Scripts, mail, priority changes.
    pub notify: Notify,
    /// False for `no_accept` (and for strict mode without `accept`): packets to the virtual addresses are dropped,
    /// unless the priority is 255.
    pub accept: bool,
    /// `hot_standby`: as backup it has the addresses on the interface, behind the fence.
    pub hot_standby: bool,
    /// `strict_mode`, or else `vrrp_strict`.
    pub strict: bool,
    /// `use_vmac` or `use_ipvlan`: the interface that the addresses are put on.
    pub link: Option<VirtualLink>,
    /// `use_vmac_addr`: addresses on other devices, or of the other family, get a virtual MAC interface as well.
    pub vmac_addresses: bool,
    /// `vrf`: the VRF to work in.
    pub vrf: Option<String>,
    /// `promote_secondaries`: set that flag on the interface.
    pub promote_secondaries: bool,
    /// Unicast was asked for, no peer is left, and `unicast_fault_no_peer` is set: the instance stays in FAULT.
    pub fault_without_peers: bool,
    /// `garp_extra_if`, or else `vrrp_garp_extra_if`.
    pub garp_extra: Option<GarpExtra>,
    /// `owner_ignore_adverts`, or else `vrrp_owner_ignore_adverts`: with priority 255, adverts of others are ignored.
    pub owner_ignore_adverts: bool,
    /// `skip_check_adv_addr`, or else `vrrp_skip_check_adv_addr`.
    pub skip_check_adv_addr: bool,
    /// `check_source`: adverts of others are dropped; empty where everybody on the link is heard. Multicast only.
    pub check_source: Vec<IpAddr>,
    /// `xdp_mode` of the instance, or else the global one. Instances of one interface share one program.
    pub xdp_mode: XdpMode,
    /// Where the instance was defined, for messages.
    pub place: Place,
}

impl Instance {
    /// The interface that one of its addresses is on.
    #[must_use]
    pub fn device_of<'a>(&'a self, vip: &'a Vip) -> &'a str {
        vip.device.as_deref().unwrap_or(&self.interface)
    }

    /// Track these things and nothing else.
    pub fn track(&mut self, trackers: Trackers) {
        let Trackers { scripts, interfaces, files, processes, bfd, checks } = trackers;
        (self.track_scripts, self.track_interfaces, self.track_files) = (scripts, interfaces, files);
        (self.track_processes, self.track_bfd, self.track_checks) = (processes, bfd, checks);
    }
}

/// What `auth_hmac` comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HmacSetting {
    /// The instance has none.
    #[default]
    Off,
    /// It has one that cannot be used, which was reported: no key, or none with the number of `active_key`. As in
    /// keepalived, such an instance starts without; one that runs with keys keeps them.
    Unusable,
    /// It is used.
    On(Hmac),
}

impl HmacSetting {
    /// The settings, where there are some to use.
    #[must_use]
    pub const fn on(&self) -> Option<&Hmac> {
        match self {
            Self::On(hmac) => Some(hmac),
            Self::Off | Self::Unusable => None,
        }
    }
}

/// `auth_hmac`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hmac {
    /// Every `key`: what comes under any of them is believed.
    pub keys: Vec<Numbered>,
    /// The one that `active_key` names: what goes out is under it.
    pub active: Numbered,
    /// `anti_replay`, with `time_window`.
    pub anti_replay: AntiReplay,
    /// `mode`.
    pub mode: Mode,
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
    pub broadcast: Option<Ipv4Addr>,
    /// `scope`, as the number that netlink wants (0 global, 253 link, 254 host).
    pub scope: u8,
    /// `label`: `DEVICE:SOMETHING`, at most 15 bytes.
    pub label: Option<String>,
    /// `noprefixroute`: no route to the prefix. (`-nodad`: IPv6 addresses are always added without DAD.)
    pub noprefixroute: bool,
    /// `peer`, with the prefix of its address.
    pub peer: Option<(IpAddr, u8)>,
    /// `home`: `IFA_F_HOMEADDRESS`, IPv6 only.
    pub home: bool,
    /// `mngtmpaddr`: `IFA_F_MANAGETEMPADDR`, IPv6 only.
    pub mngtmpaddr: bool,
    /// `autojoin`: `IFA_F_MCAUTOJOIN`.
    pub autojoin: bool,
    /// `preferred_lft`: seconds, zero for deprecated, `None` for ever. Where the file says nothing, an IPv6 address
    /// of length 128 is deprecated and all others are preferred for ever.
    pub preferred_lft: Option<u32>,
    /// `use_vmac` on the address: it gets a virtual MAC interface on its device.
    pub vmac: bool,
    /// `no_track`: its disappearance is nobody's business, and it is not put back.
    pub no_track: bool,
    /// `track_group`, static addresses only.
    pub track_group: Option<String>,
    /// Lines that say this address. The kernel has it once, but adverts carry it as often: keepalived counts, and does
    /// not hear a master that says fewer.
    pub lines: usize,
    /// Where the address was written, for messages.
    pub place: Place,
}

impl Vip {
    /// An address without options, on the instance's interface.
    #[must_use]
    pub fn plain(address: IpAddr, prefix: u8) -> Self {
        Self {
            address,
            prefix,
            device: None,
            broadcast: None,
            scope: 0,
            label: None,
            noprefixroute: false,
            peer: None,
            home: false,
            mngtmpaddr: false,
            autojoin: false,
            preferred_lft: None,
            vmac: false,
            no_track: false,
            track_group: None,
            lines: 1,
            place: Place::default(),
        }
    }
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

/// An interface that the daemon makes for the virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VirtualLink {
    /// `use_vmac`: macvlan with a virtual MAC address.
    Vmac(Vmac),
    /// `use_ipvlan`: ipvlan in mode L2.
    Ipvlan(Ipvlan),
}

/// `use_vmac [NAME] [MAC]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmac {
    /// Name of the interface; made from `vmac_prefix` and the VRID where absent.
    pub name: Option<String>,
    /// MAC address: the RFC's 00-00-5E-00-01-VRID (IPv4) or -02-VRID (IPv6) where the file gives none. Five octets
    /// in the file got the VRID as the sixth.
    pub mac: [u8; 6],
    /// `vmac_xmit_base`: adverts go out of, and are heard on, the interface below.
    pub xmit_base: bool,
}

/// `use_ipvlan [NAME] [ADDRESS] [MODE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipvlan {
    /// Name of the interface; made from `vmac_prefix` and the VRID where absent.
    pub name: Option<String>,
    /// Its own address, the source of adverts; IPv4 needs one.
    pub address: Option<(IpAddr, u8)>,
    /// `bridge` (default), `private` or `vepa`.
    pub mode: IpvlanMode,
}

/// Who may talk to whom below one ipvlan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of ip-link(8)")]
pub enum IpvlanMode {
    #[default]
    Bridge,
    Private,
    Vepa,
}

/// `garp_extra_if [all] SECONDS`: gratuitous messages on the interfaces of addresses that are not the instance's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GarpExtra {
    /// Time between them, more than zero, at most a day.
    pub interval: Duration,
    /// On all such interfaces, not only on virtual MAC ones.
    pub all: bool,
}
