//! Makes and removes the interfaces of virtual routers: macvlans with a virtual MAC address, ipvlans.
//!
//! Each carries [`MARK`] as its alias (`ip link` shows it), so that leftovers of a killed run are known. One that is
//! there already and looks the same is taken over, whoever made it.
//!
//! A virtual MAC interface must say nothing while the router is backup: one frame from it and the switch sends the
//! master's traffic here. It therefore has no IPv6 until an IPv6 address is put on it ([`set_ipv6`]): with IPv6 the
//! kernel sends multicast reports and router solicitations of its own accord.

use std::path::Path;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoIpVlan, InfoKind, InfoMacVlan, IpVlanFlags,
    IpVlanMode, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use nix::errno::Errno;

use super::error::SocketError;
use super::netlink::{Answer, Socket, said, write};
use super::sysctl;
use crate::config::model::IpvlanMode;

/// Alias of the interfaces that the daemon makes.
pub const MARK: &str = "xvrrp";

/// What an interface is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmacSpec {
    /// Name.
    pub name: String,
    /// Index of the interface below.
    pub parent: u32,
    /// What it is.
    pub kind: LinkKind,
}

/// Kinds of interfaces on interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A macvlan in private mode with this MAC address.
    Macvlan([u8; 6]),
    /// An ipvlan in mode L2, with the MAC address of the interface below.
    Ipvlan(IpvlanMode),
}

impl LinkKind {
    /// As `ip -d link` shows it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(_) => "ipvlan",
        }
    }
}

/// Why the kernel did not do as it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {verb} interface {name}: {}{}{}", errno.desc(), said(.message), hint(*errno))]
pub struct VmacError {
    /// "make" or "remove".
    pub verb: &'static str,
    /// Name.
    pub name: String,
    /// The kernel's answer.
    pub errno: Errno,
    /// The kernel's own words, where it has some.
    pub message: Option<String>,
}

fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM => "; run as root or give the daemon CAP_NET_ADMIN",
        Errno::EOPNOTSUPP => "; this kernel has no such interfaces (CONFIG_MACVLAN, CONFIG_IPVLAN)",
        Errno::EEXIST => "; another interface has this name",
        Errno::EBUSY | Errno::EINVAL => {
            "; the interface below may be a bridge port or carry interfaces of another kind"
        }
        _ => "",
    }
}

/// A netlink socket for interfaces.
#[derive(Debug)]
pub struct Vmacs {
    socket: Socket,
}

impl Vmacs {
    /// Opens the socket.
    ///
    /// # Errors
    /// No netlink.
    pub fn open() -> Result<Self, SocketError> {
        Ok(Self { socket: Socket::open("making interfaces")? })
    }

    /// Makes an interface, silent and up. Returns its index.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn make(&mut self, spec: &VmacSpec) -> Result<u32, VmacError> {
        let messages = [(RouteNetlinkMessage::NewLink(new(spec)), NLM_F_CREATE | NLM_F_EXCL)];
        self.exchange("make", &spec.name, messages)?;
        self.adopt(spec, [false; 2])
    }

    /// Makes an interface that is there already one of ours and up, and silent unless it has addresses that stay.
    /// Returns its index.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn adopt(&mut self, spec: &VmacSpec, [has_ipv4, has_ipv6]: [bool; 2]) -> Result<u32, VmacError> {
        // Before it is up for the first time, so that not even a first packet is sent.
        silence(spec, [has_ipv4, has_ipv6]);
        self.exchange("make", &spec.name, [(RouteNetlinkMessage::SetLink(set_up(spec)), 0)])?;
        let failure = |errno| VmacError { verb: "make", name: spec.name.clone(), errno, message: None };
        nix::net::if_::if_nametoindex(spec.name.as_str()).map_err(failure)
    }

    /// Removes an interface.
    ///
    /// # Errors
    /// The kernel refuses it. That it is gone already is none.
    pub fn remove(&mut self, name: &str) -> Result<(), VmacError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.exchange("remove", name, [(RouteNetlinkMessage::DelLink(message), 0)]) {
            Err(error) if error.errno == Errno::ENODEV => Ok(()),
            result => result,
        }
    }

    fn exchange<const N: usize>(
        &mut self,
        verb: &'static str,
        name: &str,
        messages: [(RouteNetlinkMessage, u16); N],
    ) -> Result<(), VmacError> {
        for answer in self.socket.exchange(&write(messages.into_iter())) {
            if let Answer::Refused { errno, message } = answer {
                return Err(VmacError { verb, name: name.to_owned(), errno, message });
            }
        }
        Ok(())
    }
}

fn new(spec: &VmacSpec) -> LinkMessage {
    let mut message = LinkMessage::default();
    let (kind, data) = match spec.kind {
        LinkKind::Macvlan(mac) => {
            message.attributes.push(LinkAttribute::Address(mac.to_vec()));
            (InfoKind::MacVlan, InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Private)]))
        }
        LinkKind::Ipvlan(mode) => {
            let flags = match mode {
                IpvlanMode::Bridge => IpVlanFlags::empty(),
                IpvlanMode::Private => IpVlanFlags::Private,
                IpvlanMode::Vepa => IpVlanFlags::Vepa,
            };
            let data = vec![InfoIpVlan::Mode(IpVlanMode::L2), InfoIpVlan::Flags(flags)];
            (InfoKind::IpVlan, InfoData::IpVlan(data))
        }
    };
    message.attributes.extend([
        LinkAttribute::IfName(spec.name.clone()),
        LinkAttribute::Link(spec.parent),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]),
    ]);
    message
}

/// Named, without link-local address of its own, and up.
fn set_up(spec: &VmacSpec) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
        .attributes
        .extend([LinkAttribute::IfName(spec.name.clone()), LinkAttribute::IfAlias(MARK.to_owned())]);
    if matches!(spec.kind, LinkKind::Macvlan(_)) {
        let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![none])]));
    }
    message
}

/// Kernel parameters of an interface that has virtual addresses, as keepalived sets them, and silence of IPv6.
fn silence(spec: &VmacSpec, [has_ipv4, has_ipv6]: [bool; 2]) {
    let LinkKind::Macvlan(_) = spec.kind else { return };
    let name = &spec.name;
    for (path, value) in [
        // Answers for its own addresses only, and takes packets whose way back leads through the interface below.
        (
            "ipv4/conf",
            &[("arp_ignore", "1"), ("accept_local", "1"), ("rp_filter", "0"), ("promote_secondaries", "1")][..],
        ),
        ("ipv6/conf", &[("accept_ra", "0"), ("autoconf", "0")][..]),
    ] {
        for (key, value) in value {
            // A kernel without IPv6 has nothing to silence; anything else is seen when the address is set.
            let _ = sysctl::write(&Path::new(path).join(name).join(key), value);
        }
    }
    if !has_ipv4 {
        let _ = set_forwarding(name, false);
    }
    if !has_ipv6 {
        let _ = set_ipv6(name, false);
    }
}

/// Passes IPv4 packets on that come in on an interface, or does not: packets for the virtual MAC address are the master's
/// (RFC 9568 section 6.4.2). IPv6 is off while there is no address.
///
/// # Errors
/// The kernel parameter cannot be written.
pub fn set_forwarding(name: &str, on: bool) -> std::io::Result<()> {
    sysctl::write(&Path::new("ipv4/conf").join(name).join("forwarding"), if on { "1" } else { "0" })
}

/// Switches IPv6 on an interface on or off: on before an IPv6 address is added, off once the last one is gone.
///
/// # Errors
/// The kernel parameter cannot be written.
pub fn set_ipv6(name: &str, on: bool) -> std::io::Result<()> {
    let path = Path::new("ipv6/conf").join(name).join("disable_ipv6");
    sysctl::write(&path, if on { "0" } else { "1" })
}
