use netlink_packet_route::address::{AddressHeaderFlags, AddressProtocol, AddressScope};
use netlink_packet_route::link::InfoKind;

use super::*;

const UP: LinkFlags = LinkFlags::Up.union(LinkFlags::Running).union(LinkFlags::LowerUp);

fn link(index: u32, name: &str, flags: LinkFlags) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = flags;
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
        LinkAttribute::Mtu(1500),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
    ];
    RouteNetlinkMessage::NewLink(message)
}

fn address(ip: &str, flags: AddressFlags, protocol: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = 2;
    message.header.prefix_len = 24;
    message.header.scope = AddressScope::Universe;
    message.header.flags = AddressHeaderFlags::empty();
    message.attributes = vec![
        AddressAttribute::Address(ip.parse().expect("an address")),
        AddressAttribute::Flags(flags),
        AddressAttribute::Protocol(AddressProtocol::Other(protocol)),
    ];
    message
}

fn table(messages: &[RouteNetlinkMessage]) -> (Links, Vec<What>) {
    let mut links = Links::default();
    let mut changes = Vec::new();
    for message in messages {
        links.apply(message, &mut changes);
    }
    (links, changes.into_iter().map(|change| change.what).collect())
}

#[test]
fn up_needs_all_three_flags() {
    for missing in [LinkFlags::Up, LinkFlags::Running, LinkFlags::LowerUp] {
        let (links, _) = table(&[link(2, "ens160", UP - missing)]);
        assert!(!links.by_name("ens160").expect("there").up, "without {missing:?}");
    }
    let (links, _) = table(&[link(2, "ens160", UP)]);
    assert!(links.by_name("ens160").expect("there").up);
}

#[test]
fn a_message_that_says_nothing_new_is_no_change() {
    let held = RouteNetlinkMessage::NewAddress(address("10.0.0.1", AddressFlags::empty(), 0));
    let twice = [link(2, "ens160", UP), held.clone(), link(2, "ens160", UP), held];
    assert_eq!(table(&twice).1, [What::Appeared, What::Addresses]);
}

#[test]
fn a_message_about_nothing_but_an_event_is_ignored() {
    let mut event = LinkMessage::default();
    event.header.index = 2;
    let event = RouteNetlinkMessage::NewLink(event);
    let (links, changes) = table(&[event.clone(), link(2, "ens160", UP), event]);
    assert_eq!(changes, [What::Appeared]);
    assert!(links.by_name("ens160").expect("there").up);
}

#[test]
fn an_address_of_a_link_that_is_not_known_is_ignored() {
    let held = RouteNetlinkMessage::NewAddress(address("10.0.0.1", AddressFlags::empty(), 0));
    let (links, changes) = table(&[held]);
    assert_eq!((links.iter().count(), changes), (0, vec![]));
}

#[test]
fn a_table_read_afresh_tells_every_difference() {
    let (mut links, _) = table(&[link(1, "lo", UP), link(2, "ens160", UP), link(3, "ens192", UP)]);
    let (newer, _) = table(&[
        link(1, "lo", UP),
        link(2, "lan0", LinkFlags::Up),
        RouteNetlinkMessage::NewAddress(address("10.0.0.1", AddressFlags::empty(), 0)),
        link(4, "ens192", UP),
    ]);
    let mut changes = Vec::new();
    links.replace(newer.clone(), &mut changes);
    let change = |index, name: &str, what| Change { index, name: name.to_owned(), what };
    assert_eq!(
        changes,
        [
            change(3, "ens192", What::Gone),
            change(2, "lan0", What::Renamed { from: "ens160".to_owned() }),
            change(2, "lan0", What::Down),
            change(2, "lan0", What::Addresses),
            change(4, "ens192", What::Appeared),
        ]
    );
    assert_eq!(links, newer);
}

#[test]
fn the_source_of_adverts_is_a_primary_address_that_is_not_virtual() {
    let of = |ip, flags, protocol| RouteNetlinkMessage::NewAddress(address(ip, flags, protocol));
    let (links, _) = table(&[
        link(2, "ens160", UP),
        of("10.0.0.9", AddressFlags::empty(), MARK),
        of("10.0.0.8", AddressFlags::Secondary, 0),
        of("10.0.0.7", AddressFlags::empty(), 0),
    ]);
    let link = links.get(2).expect("there");
    let ip = |last| Ipv4Addr::new(10, 0, 0, last);
    assert_eq!(link.primary_v4(&[]), Some(ip(7)));
    assert_eq!(link.primary_v4(&[ip(7)]), Some(ip(8)));
    assert_eq!(link.primary_v4(&[ip(7), ip(8)]), None);
}

#[test]
fn on_a_point_to_point_link_the_local_end_counts() {
    let mut peer = address("10.0.0.2", AddressFlags::empty(), 0);
    peer.attributes.push(AddressAttribute::Local("10.0.0.1".parse().expect("an address")));
    let (links, _) = table(&[link(2, "ppp0", UP), RouteNetlinkMessage::NewAddress(peer)]);
    assert_eq!(links.get(2).expect("there").primary_v4(&[]), Some(Ipv4Addr::new(10, 0, 0, 1)));
}
