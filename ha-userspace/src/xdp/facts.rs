//! What an interface is, as far as it matters for XDP: asked of the kernel and the driver, which answer in the caller's
//! network namespace whatever `/sys` shows.
//!
//! Nothing here judges; that is [`super::prospect`]'s job.

use std::num::NonZeroUsize;
use std::{fs, io, thread};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BondMode, InfoBond, InfoData, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use super::genl;
use super::occupant::{self, Occupant};
use super::sys::DriverRequest;
use crate::net::netlink::Socket;

/// What is known of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub interface: String,
    /// What kind of device it is.
    pub kind: DeviceKind,
    /// The driver's name as `ethtool -i` shows it; empty where it has none (loopback).
    pub driver: String,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Frames start with an Ethernet header.
    pub ethernet: bool,
    /// The device that it is a port or member of.
    pub controller: Option<Controller>,
    /// The members of a bond or team.
    pub members: Vec<Member>,
    /// Mode of a bond.
    pub bond_mode: Option<BondMode>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// With carrier; a device that is down has none.
    pub carrier: bool,
    /// The VLAN interfaces on it, by name.
    pub vlans: Vec<String>,
    /// Offloads.
    pub offloads: Offloads,
    /// Queues; `None` where the driver does not tell.
    pub queues: Option<QueueCounts>,
    /// Processors that may run the driver.
    pub processors: u32,
    /// XDP programs that are attached.
    pub programs: Vec<Occupant>,
    /// What the driver does for XDP, at the moment; `None` where the kernel does not tell (before Linux 6.3).
    pub features: Option<Features>,
}

/// The kind of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A card, real or a hypervisor's.
    Physical,
    /// `lo`.
    Loopback,
    /// One end of a cable between network namespaces.
    Veth,
    /// A bridge itself.
    Bridge,
    /// A bond itself.
    Bond,
    /// A team itself.
    Team,
    /// A VLAN on another device.
    Vlan,
    /// A macvlan or macvtap.
    Macvlan,
    /// An ipvlan or ipvtap.
    Ipvlan,
    /// A tun or tap device.
    Tun,
    /// Any other device without hardware.
    Virtual,
}

impl DeviceKind {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Physical => "card",
            Self::Loopback => "loopback device",
            Self::Veth => "veth",
            Self::Bridge => "bridge",
            Self::Bond => "bond",
            Self::Team => "team",
            Self::Vlan => "VLAN",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Tun => "tap device",
            Self::Virtual => "virtual device",
        }
    }
}

/// The device that another one is a port or member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Its kind.
    pub kind: DeviceKind,
    /// Its name.
    pub name: String,
}

/// A member of a bond or team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
}

/// An offload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// It is on.
    pub on: bool,
    /// `ethtool -K` cannot change it.
    pub fixed: bool,
}

/// The offloads that matter; `None` where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// VLAN tags are taken off received frames (`rx-vlan-offload`).
    pub rx_vlan: Option<Offload>,
    /// Large receive offload.
    pub lro: Option<Offload>,
    /// GRO by the hardware (`rx-gro-hw`).
    pub gro_hw: Option<Offload>,
}

/// Queues as `ethtool -l` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Combined channels that the device can have.
    pub max_combined: u32,
    /// Combined channels in use.
    pub combined: u32,
    /// Receive-only channels in use.
    pub rx: u32,
    /// Transmit-only channels in use.
    pub tx: u32,
}

/// What a driver does for XDP: `enum netdev_xdp_act` of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(pub u64);

impl Features {
    /// Native mode: pass, drop, abort and transmit.
    pub const BASIC: Self = Self(1);
    /// Frames of several buffers are received.
    pub const RX_SG: Self = Self(32);

    /// Whether all of `other` are there.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Where the kernel lists VLAN interfaces, of the caller's network namespace.
const VLANS: &str = "/proc/net/vlan/config";

impl Facts {
    /// Asks the kernel about the interface of this name.
    ///
    /// # Errors
    ///
    /// `ENODEV` where there is none; no socket can be had.
    pub fn of(interface: &str) -> io::Result<Self> {
        let mut request = DriverRequest::new(interface)?;
        let (hardware, mac) = request.hardware_address()?;
        let driver = driver(&mut request)?;
        let links = links();
        let link = links.iter().find(|link| name(link) == Some(interface));
        let ifindex = link.map_or(0, |link| link.header.index);
        let flags = link.map_or(LinkFlags::Up | LinkFlags::LowerUp, |link| link.header.flags);
        let kind = match link {
            _ if hardware == libc::ARPHRD_LOOPBACK => DeviceKind::Loopback,
            Some(link) => kind(link),
            // A link that cannot be read: what the driver is called has to do.
            None => kind_of_driver(&driver),
        };
        let mut offloads = genl::offloads(ifindex);
        if offloads.rx_vlan.is_none() {
            // A kernel without the netlink side of ethtool.
            let on = request.strips_vlan_tags().ok();
            offloads.rx_vlan = on.map(|on| Offload { on, fixed: false });
        }
        // There is no such file where the kernel knows no VLANs.
        let vlans = fs::read_to_string(VLANS).map_or_else(|_| Vec::new(), |list| vlans_of(&list, interface));
        Ok(Self {
            interface: interface.to_owned(),
            kind,
            driver,
            mac,
            ethernet: hardware == libc::ARPHRD_ETHER || hardware == libc::ARPHRD_LOOPBACK,
            controller: link.and_then(controller).and_then(|index| {
                let link = links.iter().find(|link| link.header.index == index)?;
                Some(Controller { kind: self::kind(link), name: name(link)?.to_owned() })
            }),
            members: members(&links, kind, ifindex),
            bond_mode: link.and_then(bond_mode),
            mtu: link.and_then(mtu).unwrap_or(0),
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
            vlans,
            offloads,
            queues: genl::queues(ifindex),
            processors: thread::available_parallelism()
                .map_or(1, NonZeroUsize::get)
                .try_into()
                .unwrap_or(u32::MAX),
            programs: link.map_or_else(Vec::new, occupant::all),
            features: genl::xdp_features(ifindex),
        })
    }
}

fn driver(request: &mut DriverRequest) -> io::Result<String> {
    match request.driver() {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(String::new()),
        driver => driver,
    }
}

/// All links; none where netlink is not to be had.
fn links() -> Vec<LinkMessage> {
    let Ok(mut socket) = Socket::open("the list of links") else { return Vec::new() };
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let links = socket.dump(&request, |message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    });
    links.unwrap_or_default()
}

fn members(links: &[LinkMessage], kind: DeviceKind, ifindex: u32) -> Vec<Member> {
    if !matches!(kind, DeviceKind::Bond | DeviceKind::Team) {
        return Vec::new();
    }
    let of_it = links.iter().filter(|link| controller(link) == Some(ifindex));
    of_it
        .filter_map(name)
        .map(|name| Member {
            name: name.to_owned(),
            driver: DriverRequest::new(name).and_then(|mut request| driver(&mut request)).unwrap_or_default(),
        })
        .collect()
}

fn name(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

fn mtu(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    })
}

fn controller(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) => Some(*index),
        _ => None,
    })
}

fn infos(link: &LinkMessage) -> impl Iterator<Item = &LinkInfo> {
    link.attributes.iter().flat_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.as_slice(),
        _ => &[],
    })
}

fn bond_mode(link: &LinkMessage) -> Option<BondMode> {
    infos(link).find_map(|info| match info {
        LinkInfo::Data(InfoData::Bond(data)) => data.iter().find_map(|entry| match entry {
            InfoBond::Mode(mode) => Some(*mode),
            _ => None,
        }),
        _ => None,
    })
}

/// Hardware has no kind in the kernel's words.
fn kind(link: &LinkMessage) -> DeviceKind {
    infos(link)
        .find_map(|info| match info {
            LinkInfo::Kind(kind) => Some(kind),
            _ => None,
        })
        .map_or(DeviceKind::Physical, |kind| match kind {
            InfoKind::Veth => DeviceKind::Veth,
            InfoKind::Bridge => DeviceKind::Bridge,
            InfoKind::Bond => DeviceKind::Bond,
            InfoKind::Team => DeviceKind::Team,
            InfoKind::Vlan => DeviceKind::Vlan,
            InfoKind::MacVlan | InfoKind::MacVtap => DeviceKind::Macvlan,
            InfoKind::IpVlan | InfoKind::IpVtap => DeviceKind::Ipvlan,
            InfoKind::Tun => DeviceKind::Tun,
            _ => DeviceKind::Virtual,
        })
}

fn kind_of_driver(driver: &str) -> DeviceKind {
    match driver {
        "" | "dummy" => DeviceKind::Virtual,
        "veth" => DeviceKind::Veth,
        "bridge" => DeviceKind::Bridge,
        "bonding" => DeviceKind::Bond,
        "team" => DeviceKind::Team,
        "802.1Q VLAN Support" => DeviceKind::Vlan,
        "macvlan" => DeviceKind::Macvlan,
        "ipvlan" => DeviceKind::Ipvlan,
        "tun" => DeviceKind::Tun,
        _ => DeviceKind::Physical,
    }
}

/// The VLANs on the interface, of the kernel's list (`name | VID | parent`).
fn vlans_of(list: &str, interface: &str) -> Vec<String> {
    let fields = list.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    fields
        .filter_map(|fields| match fields.as_slice() {
            [name, _, parent] if *parent == interface => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_no_driver() {
        let facts = Facts::of("lo").unwrap();
        assert!(facts.ethernet);
        assert_eq!((facts.kind, facts.driver.as_str()), (DeviceKind::Loopback, ""));
        assert_eq!(facts.mtu, 65536);
        assert!(facts.processors > 0);
    }

    #[test]
    fn an_interface_that_does_not_exist_is_an_error() {
        assert_eq!(Facts::of("nosuchinterface").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert!(Facts::of("a name that is longer than any interface's").is_err());
    }

    #[test]
    fn vlans_are_found_by_their_parent() {
        let list = "VLAN Dev name\t | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n\
                    eth0.100       | 100  | eth0\nstorage        | 7    | eth1\n";
        assert_eq!(vlans_of(list, "eth0"), ["eth0.100"]);
        assert_eq!(vlans_of(list, "eth1"), ["storage"]);
        assert!(vlans_of(list, "eth0.100").is_empty());
        assert!(vlans_of(list, "eth2").is_empty());
    }
}
