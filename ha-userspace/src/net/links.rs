//! The table of links and addresses, and how a netlink message changes it. Pure: no socket, no clock.
//!
//! [`super::monitor`] feeds it; the runtime reads it through the re-exports there.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoVrf, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::addresses::MARK;
use crate::words;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index: never used again for another interface while the machine runs.
    pub index: u32,
    /// Name; it can change.
    pub name: String,
    /// `veth`, `vlan`, `macvlan`, `bridge`, `bond`, … as `ip -d link` shows it; empty for real hardware and `lo`.
    pub kind: String,
    /// Administratively up, with carrier, and operational.
    pub up: bool,
    /// Ethernet address; `None` where the device has none of six bytes.
    pub mac: Option<[u8; 6]>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Table of a VRF.
    pub table: Option<u32>,
    /// `alias` of ip-link(8); empty where there is none.
    pub alias: String,
    /// The device below (VLAN, macvlan) or the other end (veth), where it is in this network namespace.
    pub lower: Option<u32>,
    /// The bond or bridge that this is a port of.
    pub controller: Option<u32>,
    /// IPv4 addresses in the kernel's order of arrival.
    pub v4: Vec<AddressV4>,
    /// IPv6 addresses in the kernel's order of arrival.
    pub v6: Vec<AddressV6>,
}

/// An IPv4 address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressV4 {
    /// Address.
    pub address: Ipv4Addr,
    /// Prefix length.
    pub prefix: u8,
    /// Scope (rtnetlink(7)): 0 global, 253 link, 254 host.
    pub scope: u8,
    /// Another address of the same subnet came before it.
    pub secondary: bool,
    /// Carries the daemon's mark.
    pub ours: bool,
}

/// An IPv6 address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressV6 {
    /// Address.
    pub address: Ipv6Addr,
    /// Prefix length.
    pub prefix: u8,
    /// Scope (rtnetlink(7)): 0 global, 253 link, 254 host.
    pub scope: u8,
    /// Duplicate address detection is still running: the kernel does not use it as a source.
    pub tentative: bool,
    /// Duplicate address detection found another holder: the address is dead.
    pub dad_failed: bool,
    /// Carries the daemon's mark.
    pub ours: bool,
}

impl Link {
    /// Whether it has this address.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.v4.iter().any(|held| held.address == v4),
            IpAddr::V6(v6) => self.v6.iter().any(|held| held.address == v6),
        }
    }

    /// The address that adverts are sent from: the first that is neither ours nor in `exclude`, primary ones first.
    #[must_use]
    pub fn primary_v4(&self, exclude: &[Ipv4Addr]) -> Option<Ipv4Addr> {
        let usable = |held: &&AddressV4| !held.ours && !exclude.contains(&held.address);
        let first = |secondary: bool| self.v4.iter().filter(usable).find(|held| held.secondary == secondary);
        first(false).or_else(|| first(true)).map(|held| held.address)
    }

    /// The link-local address that adverts are sent from (RFC 9568 section 5.1.2.1); `None` until duplicate address
    /// detection is over.
    #[must_use]
    pub fn link_local_v6(&self, exclude: &[Ipv6Addr]) -> Option<Ipv6Addr> {
        self.v6
            .iter()
            .filter(|held| !held.ours && !exclude.contains(&held.address))
            .find(|held| held.address.is_unicast_link_local() && !held.tentative && !held.dad_failed)
            .map(|held| held.address)
    }
}

/// Something about a link that is now different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Index of the link.
    pub index: u32,
    /// Its name, after the change.
    pub name: String,
    /// What changed.
    pub what: What,
}

/// What changed about a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is new. Up and addresses are read from the table; no [`What::Up`] follows.
    Appeared,
    /// It is gone, with all its addresses.
    Gone,
    /// It has another name now.
    Renamed {
        /// The name before.
        from: String,
    },
    /// It can carry packets now.
    Up,
    /// It cannot carry packets now.
    Down,
    /// Its Ethernet address is another one.
    Mac,
    /// Its MTU is another one.
    Mtu,
    /// Its addresses are different, or the state of one of them.
    Addresses,
}

/// All links of the network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    by_index: BTreeMap<u32, Link>,
}

impl Links {
    /// The link with this index.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<&Link> {
        self.by_index.get(&index)
    }

    /// The link with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Link> {
        self.iter().find(|link| link.name == name)
    }

    /// `interface eth9 does not exist; there are eth0 and eth1`.
    #[must_use]
    pub fn missing(&self, name: &str) -> String {
        let there = self.iter().map(|link| link.name.as_str());
        format!("interface {name} does not exist; {}", words::interfaces_like(name, there))
    }

    /// Whether one of the links has this address.
    #[must_use]
    pub fn hold(&self, address: IpAddr) -> bool {
        self.iter().any(|link| link.holds(address))
    }

    /// All links, by index.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.by_index.values()
    }

    /// Another opinion of whether a link can carry packets.
    pub fn set_up(&mut self, index: u32, up: bool) {
        if let Some(link) = self.by_index.get_mut(&index) {
            link.up = up;
        }
    }

    /// Takes a link that this process has made: the kernel tells of it a little later.
    pub(crate) fn learn(&mut self, link: Link) {
        self.by_index.entry(link.index).or_insert(link);
    }

    /// Takes a notification or an entry of a dump, and adds what it changes to `changes`.
    pub(super) fn apply(&mut self, message: &RouteNetlinkMessage, changes: &mut Vec<Change>) {
        match message {
            // A bridge speaks of its ports in the same words; a port that leaves is not a link that is gone.
            RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link)
                if link.header.interface_family != AddressFamily::Unspec => {}
            RouteNetlinkMessage::NewLink(link) => self.set_link(link, changes),
            RouteNetlinkMessage::DelLink(link) => {
                if let Some(link) = self.by_index.remove(&link.header.index) {
                    changes.push(Change { index: link.index, name: link.name, what: What::Gone });
                }
            }
            RouteNetlinkMessage::NewAddress(address) => self.set_address(address, true, changes),
            RouteNetlinkMessage::DelAddress(address) => self.set_address(address, false, changes),
            _ => {}
        }
    }

    fn set_link(&mut self, message: &LinkMessage, changes: &mut Vec<Change>) {
        // Wireless drivers report events in messages of this kind that describe nothing else.
        if !message.attributes.iter().any(|attribute| matches!(attribute, LinkAttribute::IfName(_))) {
            return;
        }
        let index = message.header.index;
        let Some(link) = self.by_index.get_mut(&index) else {
            let mut link = Link {
                index,
                name: String::new(),
                kind: String::new(),
                up: false,
                mac: None,
                mtu: 0,
                alias: String::new(),
                table: None,
                lower: None,
                controller: None,
                v4: Vec::new(),
                v6: Vec::new(),
            };
            update(&mut link, message);
            changes.push(Change { index, name: link.name.clone(), what: What::Appeared });
            self.by_index.insert(index, link);
            return;
        };
        let before = link.clone();
        update(link, message);
        compare(&before, link, changes);
    }

    fn set_address(&mut self, message: &AddressMessage, present: bool, changes: &mut Vec<Change>) {
        let Some(link) = self.by_index.get_mut(&message.header.index) else { return };
        let changed = match held(message) {
            Some(Held::V4(held)) => {
                put(&mut link.v4, held, present, |a, b| (a.address, a.prefix) == (b.address, b.prefix))
            }
            Some(Held::V6(held)) => put(&mut link.v6, held, present, |a, b| a.address == b.address),
            None => false,
        };
        if changed {
            addresses_changed(link, changes);
        }
    }

    /// What is different in `newer`, a table that was read afresh.
    pub(super) fn replace(&mut self, newer: Self, changes: &mut Vec<Change>) {
        let older = std::mem::replace(self, newer);
        for link in older.iter().filter(|link| self.get(link.index).is_none()) {
            changes.push(Change { index: link.index, name: link.name.clone(), what: What::Gone });
        }
        for link in self.iter() {
            match older.get(link.index) {
                Some(before) => compare(before, link, changes),
                None => {
                    changes.push(Change { index: link.index, name: link.name.clone(), what: What::Appeared });
                }
            }
        }
    }
}

fn compare(before: &Link, now: &Link, changes: &mut Vec<Change>) {
    let mut push = |what| changes.push(Change { index: now.index, name: now.name.clone(), what });
    if before.name != now.name {
        push(What::Renamed { from: before.name.clone() });
    }
    if before.mac != now.mac {
        push(What::Mac);
    }
    if before.mtu != now.mtu {
        push(What::Mtu);
    }
    match (before.up, now.up) {
        (false, true) => push(What::Up),
        (true, false) => push(What::Down),
        _ => {}
    }
    if (&before.v4, &before.v6) != (&now.v4, &now.v6) {
        addresses_changed(now, changes);
    }
}

/// One notice per link and burst: 255 virtual addresses come in as 255 messages.
fn addresses_changed(link: &Link, changes: &mut Vec<Change>) {
    let known = changes.iter().any(|change| change.index == link.index && change.what == What::Addresses);
    if !known {
        changes.push(Change { index: link.index, name: link.name.clone(), what: What::Addresses });
    }
}

fn update(link: &mut Link, message: &LinkMessage) {
    // RUNNING alone stays set on a device of operational state "unknown" that has lost its carrier.
    link.up = message.header.flags.contains(LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp);
    (link.controller, link.lower) = (None, None);
    let mut elsewhere = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(mac) => link.mac = mac.as_slice().try_into().ok(),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::IfAlias(alias) => link.alias.clone_from(alias),
            LinkAttribute::Link(lower) => link.lower = Some(*lower).filter(|&lower| lower != 0),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::Controller(controller) => link.controller = Some(*controller),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => link.kind = kind.to_string(),
                        LinkInfo::Data(InfoData::Vrf(data)) => {
                            link.table = data.iter().find_map(|entry| match entry {
                                InfoVrf::TableId(table) => Some(*table),
                                _ => None,
                            });
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    // An index of another network namespace says nothing here.
    if elsewhere {
        link.lower = None;
    }
}

enum Held {
    V4(AddressV4),
    V6(AddressV6),
}

fn held(message: &AddressMessage) -> Option<Held> {
    let prefix = message.header.prefix_len;
    let scope = u8::from(message.header.scope);
    // IFA_FLAGS has all 32 bits, the header only eight.
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let (mut address, mut local, mut ours) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::Protocol(protocol) => ours = u8::from(*protocol) == MARK,
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL ours (rtnetlink(7)).
    Some(match local.or(address)? {
        IpAddr::V4(address) => {
            let secondary = flags.contains(AddressFlags::Secondary);
            Held::V4(AddressV4 { address, prefix, scope, secondary, ours })
        }
        IpAddr::V6(address) => Held::V6(AddressV6 {
            address,
            prefix,
            scope,
            tentative: flags.contains(AddressFlags::Tentative),
            dad_failed: flags.contains(AddressFlags::Dadfailed),
            ours,
        }),
    })
}

/// Sets or removes one entry; true when the list is different afterwards.
fn put<T: PartialEq>(list: &mut Vec<T>, entry: T, present: bool, same: impl Fn(&T, &T) -> bool) -> bool {
    let position = list.iter().position(|held| same(held, &entry));
    match (position.and_then(|position| list.get_mut(position)), position, present) {
        (Some(held), _, true) => {
            let changed = *held != entry;
            *held = entry;
            changed
        }
        (_, Some(position), false) => {
            list.remove(position);
            true
        }
        (_, None, true) => {
            list.push(entry);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
