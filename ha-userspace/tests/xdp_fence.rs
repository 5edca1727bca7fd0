//! What the loaded program lets through while its fence is open, and while it is closed.

mod xdp_support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;

use ha_common::fence::{KNOWN, PROBED_NS};
use ha_common::layout::VipSlot;
use ha_common::probe::{FORMAT, Masters, ORPHANED, Probe, ProbeFrame, RESTARTING, Secret};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Priority, Version, Vrid};
use ha_userspace::net::clock;
use ha_userspace::xdp::{ClaimRule, Slot, Travel};
use xdp_support::program::{DROP, Loaded, OWN_MAC, PASS, PEER_MAC, TX, priority_tag};
use xdp_support::{advert, ethernet, ipv4};

fn main() -> ExitCode {
    xdp_support::main_for_variants(&[
        ("s39_a_closed_fence_drops_what_is_for_a_vip_and_nothing_else", what),
        ("s39_the_fence_closes_when_nobody_vouches_for_the_node", when),
        ("s39_the_fence_closes_within_the_tick", to_the_nanosecond),
        ("s39_an_advert_of_another_router_closes_the_fence_of_a_headless_one", superseded),
        ("s39_what_says_nothing_about_a_successor_closes_no_fence", not_superseded),
        ("s39_over_ipv6_too", superseded_over_ipv6),
        ("s39_unicast_adverts_count_where_adverts_are_unicast", superseded_by_unicast),
        ("a_suppressed_router_serves_and_leaves_solicitations_to_its_successor", suppressed),
        ("the_fence_of_a_vlan_leaves_other_vlans_alone", vlan),
        ("virtual_addresses_are_replaced_as_a_set", vips),
        ("strangers_close_no_fence", strangers),
        ("s39_what_the_daemon_left_behind_decides_over_adverts", claims),
        ("only_what_somebody_would_take_over_is_fenced", wanted),
        ("a_probe_must_be_sent_to_where_our_adverts_come_from", elsewhere),
    ])
}

const VIP: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 25);
const OWN: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 2);
const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, 0x25);
const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, 1);

fn arp(operation: u8, target: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
    packet.extend(PEER_MAC);
    packet.extend(PEER.octets());
    packet.extend([0; 6]);
    packet.extend(target.octets());
    packet.extend([0; 18]);
    ethernet(&[], 0x0806, &packet)
}

fn udp(destination: Ipv4Addr) -> Vec<u8> {
    let mut packet = ipv4(2, 17, &[], &[0; 20]);
    packet[16..20].copy_from_slice(&destination.octets());
    ethernet(&[], 0x0800, &packet)
}

fn ipv6(next: u8, destination: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, u8::try_from(payload.len()).expect("short"), next, 255];
    packet.extend(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2).octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    ethernet(&[], 0x86dd, &packet)
}

/// Neighbour discovery to the solicited-node group of the targets here.
fn neighbour(kind: u8, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend([1, 1, 2, 0, 0, 0, 0, 2]);
    ipv6(58, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x25), &message)
}

fn probe() -> Vec<u8> {
    probe_for(Family::V4, Masters::ALL)
}

fn probe_for(family: Family, wanted: Masters) -> Vec<u8> {
    let probe = Probe { slot: 0, sequence: 1, prober: 1, format: FORMAT, wanted, priority: 0 };
    let ips = match family {
        Family::V4 => (IpAddr::V4(PEER), IpAddr::V4(OWN)),
        Family::V6 => (IpAddr::V6(OWN6), IpAddr::V6(OWN6)),
    };
    ProbeFrame::new((PEER_MAC, OWN_MAC), ips, probe, None).expect("one family").bytes().to_vec()
}

/// Of both families.
fn probe_all(loaded: &Loaded) {
    for family in [Family::V4, Family::V6] {
        assert_eq!(loaded.run(&probe_for(family, Masters::ALL)).0, TX);
    }
}

fn introduce(loaded: &Loaded) {
    loaded.introduce(&[Family::V4, Family::V6].map(|family| probe_for(family, Masters::ALL)));
}

/// Frames that a closed fence drops.
fn protected() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("ARP request", arp(1, VIP)),
        ("solicitation", neighbour(135, VIP6)),
        ("IPv4", udp(VIP)),
        ("IPv6", ipv6(17, VIP6, &[0; 20])),
        ("ICMPv6 echo", ipv6(58, VIP6, &[128, 0, 0, 0])),
        ("advertisement to it", ipv6(58, VIP6, &[136, 0, 0, 0])),
    ]
}

/// Frames that it lets through.
fn free() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("ARP request for us", arp(1, OWN)),
        ("ARP reply", arp(2, VIP)),
        ("solicitation of us", neighbour(135, OWN6)),
        ("advertisement", neighbour(136, VIP6)),
        ("IPv4 to us", udp(OWN)),
        ("IPv6 to us", ipv6(17, OWN6, &[0; 20])),
        ("advert", from(2, 52, 100)),
        ("another protocol", ethernet(&[], 0x88cc, &[0; 50])),
        ("cut off", arp(1, VIP)[..40].to_vec()),
        ("in a VLAN", [&arp(1, VIP)[..12], &[0x81, 0, 0, 7], &arp(1, VIP)[12..]].concat()),
    ]
}

/// The virtual router that the addresses belong to.
fn vrid() -> Vrid {
    Vrid::new(51).expect("not zero")
}

fn slot(family: Family) -> VipSlot {
    VipSlot::of(family, vrid())
}

fn loaded(vlan: u16) -> Loaded {
    let mut loaded = Loaded::new(vlan);
    loaded
        .vips
        .set([(IpAddr::V4(VIP), slot(Family::V4)), (IpAddr::V6(VIP6), slot(Family::V6))])
        .expect("room");
    loaded
}

fn what() {
    let mut loaded = loaded(0);
    for (name, frame) in protected().iter().chain(&free()) {
        assert_eq!(loaded.run(frame).0, PASS, "{name}: nobody probes");
    }
    introduce(&loaded);
    loaded.lease.renew(clock::now().after(Span::from_secs(60)));
    probe_all(&loaded);
    for (name, frame) in protected().iter().chain(&free()) {
        assert_eq!(loaded.run(frame).0, PASS, "{name}: the daemon lives");
    }

    loaded.orphan();
    for (name, frame) in protected() {
        for frame in [priority_tag(&frame), frame] {
            probe_all(&loaded);
            assert_eq!(loaded.run(&frame).0, DROP, "{name}");
        }
    }
    for (name, frame) in free() {
        probe_all(&loaded);
        assert_eq!(loaded.run(&frame), (PASS, frame), "{name}");
    }
    assert_eq!(loaded.counters().fenced, 2 * protected().len() as u64);
}

fn when() {
    let mut loaded = loaded(0);
    let arp = arp(1, VIP);
    let is_closed = |loaded: &Loaded| loaded.run(&arp).0 == DROP;
    let second = || clock::now().after(Span::SECOND);

    assert!(!is_closed(&loaded), "never probed");
    introduce(&loaded);
    assert!(is_closed(&loaded), "nobody vouches for it any more");
    loaded.lease.renew(clock::now().after(Span::from_millis(200)));
    assert!(!is_closed(&loaded));
    std::thread::sleep(std::time::Duration::from_millis(201));
    assert!(is_closed(&loaded), "the lease has run out, and nobody needed to tell");
    loaded.lease.open_restart_window(second());
    assert!(!is_closed(&loaded), "a planned restart");
    loaded.lease.open_restart_window(Time(0));
    assert!(is_closed(&loaded));

    loaded.lease.renew(clock::now().after(Span::from_secs(60)));
    loaded.orphan();
    loaded.run(&probe());
    assert!(is_closed(&loaded), "orphaned, whatever the lease says");
    loaded.lease.open_restart_window(clock::now().after(Span::from_millis(100)));
    assert!(!is_closed(&loaded));
    std::thread::sleep(std::time::Duration::from_millis(101));
    assert!(is_closed(&loaded), "the window ends by itself");

    let last = loaded.lease.last_probe().expect("probed");
    while is_closed(&loaded) {
        assert!(clock::now().span_since(last).0 < PROBED_NS + 1_000_000_000, "nobody has probed for long");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let open_after = clock::now().span_since(last).0;
    assert!(open_after + 12_000_000 > PROBED_NS, "open after {open_after} ns");
    loaded.run(&probe());
    assert!(is_closed(&loaded), "somebody is there again");
}

/// What ordinary traffic found in a tick of the kernel's clock must not outlive the lease.
fn to_the_nanosecond() {
    let loaded = loaded(0);
    let arp = arp(1, VIP);
    introduce(&loaded);
    for round in 0..10 {
        let until = clock::now().after(Span::from_millis(25));
        loaded.lease.renew(until);
        assert_eq!(loaded.run(&arp).0, PASS, "{round}");
        while clock::now().since(until) < 0 {
            loaded.run(&arp);
        }
        assert_eq!(loaded.run(&arp).0, DROP, "{round}: the lease has run out");
    }
}

/// An advert from 172.16.1.`host`.
fn from(host: u8, vrid: u8, priority: u8) -> Vec<u8> {
    ethernet(&[], 0x0800, &ipv4(host, 112, &[], &advert(vrid, priority)))
}

/// Holds the addresses as VRID 51 with adverts from `OWN`, vouched for until then. Nobody probes.
fn master(lease: Time) -> Loaded {
    let loaded = loaded(0);
    for family in [Family::V4, Family::V6] {
        loaded.lease.set_held(family, vrid(), true);
        loaded.adverts.configure(Slot::of(family, vrid()), Some(Travel::Multicast));
    }
    loaded.adverts.own(Slot::of(Family::V4, vrid()), IpAddr::V4(OWN));
    loaded.lease.renew(lease);
    loaded
}

fn far() -> Time {
    clock::now().after(Span::from_secs(60))
}

fn is_superseded(loaded: &Loaded) -> bool {
    let marked = loaded.lease.is_superseded(Family::V4, vrid());
    assert_eq!(loaded.lease.any_superseded(), marked);
    for (name, frame) in protected() {
        let of_v4 = !name.contains("6") && name != "solicitation" && name != "advertisement to it";
        let action = if marked && of_v4 { DROP } else { PASS };
        assert_eq!(loaded.run(&frame).0, action, "{name}");
    }
    for (name, frame) in free() {
        assert_eq!(loaded.run(&frame), (PASS, frame), "{name}");
    }
    marked
}

fn superseded() {
    // Frozen: the live half of the program sees the advert.
    let mut loaded = master(Time(0));
    loaded.lease.renew(clock::now().after(Span::from_millis(50)));
    assert_eq!(loaded.run(&from(2, 51, 100)).0, PASS);
    assert!(!is_superseded(&loaded), "somebody vouches for this node, and judges the advert");
    std::thread::sleep(std::time::Duration::from_millis(51));
    assert!(!is_superseded(&loaded), "nobody has taken over yet");
    let count = loaded.counters().superseded;
    assert_eq!(loaded.run(&from(2, 51, 1)).0, PASS);
    assert!(is_superseded(&loaded));
    loaded.run(&from(3, 51, 1));
    assert_eq!(loaded.counters().superseded, count + 1, "once is enough");
    loaded.lease.renew(far());
    assert!(is_superseded(&loaded), "until the addresses are gone, whoever vouches");
    loaded.lease.clear_superseded(Family::V4, vrid());
    assert!(!is_superseded(&loaded));

    // Dead.
    loaded.orphan();
    assert!(!is_superseded(&loaded));
    loaded.lease.open_restart_window(far());
    loaded.run(&from(2, 51, 0));
    assert!(!is_superseded(&loaded), "a planned restart, and a resignation");
    loaded.run(&from(2, 51, 100));
    assert!(is_superseded(&loaded), "a planned restart, and somebody who has not waited");
    assert_eq!(loaded.run(&arp(1, VIP)).0, DROP);
    loaded.lease.open_restart_window(Time(0));
    loaded.lease.clear_superseded(Family::V4, vrid());
    loaded.run(&from(2, 51, 100));
    assert!(is_superseded(&loaded));
    // Probes are answered as ever.
    assert_eq!(loaded.run(&probe()).0, TX);
}

fn not_superseded() {
    let mut loaded = master(far());
    loaded.orphan();
    let cut = from(2, 51, 100)[..40].to_vec();
    let mut far_away = ipv4(2, 112, &[], &advert(51, 100));
    far_away[8] = 254;
    let mut carp = advert(51, 0);
    carp[0] = 0x21;
    carp[2] = 100;
    carp[3] = 7;
    carp.resize(36, 0);
    let silent = [
        ("our own, come back", from(1, 51, 100)),
        ("a resignation", from(2, 51, 0)),
        ("another virtual router's", from(2, 52, 100)),
        ("from off the link", ethernet(&[], 0x0800, &far_away)),
        ("cut off", cut),
        ("CARP", ethernet(&[], 0x0800, &ipv4(2, 112, &[], &carp))),
        ("over IPv6", ethernet(&[], 0x86dd, &xdp_support::ipv6(112, &advert6(51, 0)))),
        ("in a VLAN", ethernet(&[(0x8100, 7)], 0x0800, &ipv4(2, 112, &[], &advert(51, 100)))),
        ("to this host alone", unicast(51)),
    ];
    for (name, frame) in &silent {
        loaded.run(frame);
        assert!(!is_superseded(&loaded), "{name}");
    }
    loaded.lease.set_held(Family::V4, vrid(), false);
    loaded.run(&from(2, 51, 100));
    assert!(!is_superseded(&loaded), "its addresses are elsewhere anyway");
    assert_eq!(loaded.counters().superseded, 0);
}

/// A VRRPv3 advert with one IPv6 address.
fn advert6(vrid: u8, priority: u8) -> Vec<u8> {
    [&[0x31, vrid, priority, 1, 0, 100, 0, 0][..], &VIP6.octets()].concat()
}

/// An advert to `OWN` alone.
fn unicast(vrid: u8) -> Vec<u8> {
    let mut packet = ipv4(2, 112, &[], &advert(vrid, 100));
    packet[16..20].copy_from_slice(&OWN.octets());
    // The checksum of the header is the kernel's to judge, later.
    ethernet(&[], 0x0800, &packet)
}

fn superseded_over_ipv6() {
    let mut loaded = master(far());
    loaded.orphan();
    let frame = ethernet(&[], 0x86dd, &xdp_support::ipv6(112, &advert6(51, 100)));
    let own = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    loaded.adverts.own(Slot::of(Family::V6, vrid()), IpAddr::V6(own));
    loaded.run(&frame);
    assert!(!loaded.lease.any_superseded(), "our own");
    let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 1);
    loaded.adverts.own(Slot::of(Family::V6, vrid()), IpAddr::V6(other));
    loaded.run(&frame);
    assert!(loaded.lease.is_superseded(Family::V6, vrid()));
    assert!(!loaded.lease.is_superseded(Family::V4, vrid()));
    assert_eq!(loaded.run(&neighbour(135, VIP6)).0, DROP);
    assert_eq!(loaded.run(&ipv6(17, VIP6, &[0; 20])).0, DROP);
    assert_eq!(loaded.run(&arp(1, VIP)).0, PASS, "the address of another virtual router");
}

fn superseded_by_unicast() {
    let mut loaded = master(far());
    loaded.adverts.configure(Slot::of(Family::V4, vrid()), Some(Travel::Unicast));
    loaded.orphan();
    loaded.run(&from(2, 51, 100));
    assert!(!is_superseded(&loaded), "multicast is not for this router");
    loaded.run(&unicast(51));
    assert!(is_superseded(&loaded));
}

fn suppressed() {
    let loaded = master(far());
    loaded.lease.set_suppressed(Family::V4, vrid(), true);
    assert_eq!(loaded.run(&arp(1, VIP)).0, DROP);
    assert_eq!(loaded.run(&udp(VIP)).0, PASS, "served all the same");
    assert_eq!(loaded.run(&arp(1, OWN)).0, PASS);
    assert_eq!(loaded.run(&neighbour(135, VIP6)).0, PASS, "another virtual router's");
    assert_eq!((loaded.counters().suppressed, loaded.counters().fenced), (1, 0));
    loaded.lease.set_suppressed(Family::V6, vrid(), true);
    assert_eq!(loaded.run(&neighbour(135, VIP6)).0, DROP);
    assert_eq!(loaded.run(&ipv6(58, VIP6, &[128, 0, 0, 0])).0, PASS);
    loaded.lease.set_suppressed(Family::V4, vrid(), false);
    assert_eq!(loaded.run(&arp(1, VIP)).0, PASS);
    assert_eq!(loaded.run(&neighbour(135, VIP6)).0, DROP);
    loaded.lease.set_suppressed(Family::V6, vrid(), false);
    for (name, frame) in protected() {
        assert_eq!(loaded.run(&frame).0, PASS, "{name}");
    }
}

fn vlan() {
    let mut loaded = loaded(7);
    let tagged = |frame: &[u8], vid: u8| [&frame[..12], &[0x81, 0, 0, vid], &frame[12..]].concat();
    assert_eq!(loaded.run(&probe()).0, PASS);
    loaded.introduce(&[tagged(&probe(), 7)]);
    loaded.orphan_in(7);
    assert_eq!(loaded.run(&tagged(&arp(1, VIP), 7)).0, DROP);
    assert_eq!(loaded.run(&tagged(&arp(1, VIP), 8)).0, PASS);
    assert_eq!(loaded.run(&arp(1, VIP)).0, PASS);
}

/// Whoever first turns up when nobody runs the node, or probes now and then, closes nothing, and is not told to take
/// over.
fn strangers() {
    let mut loaded = loaded(0);
    let flags = |frame: &[u8]| frame[34 + 3];
    loaded.lease.renew(clock::now().after(Span::from_secs(60)));
    assert_eq!(loaded.run(&probe()).0, TX);
    loaded.orphan();
    for _ in 0..3 * KNOWN {
        let (action, frame) = loaded.run(&probe());
        assert_eq!((action, flags(&frame)), (TX, RESTARTING));
    }
    assert_eq!(loaded.run(&arp(1, VIP)).0, PASS);
    // With the key it is no stranger.
    loaded.lease.set_key(Some(Secret::Configured([1, 2])));
    let sealed = {
        let probe =
            Probe { slot: 0, sequence: 1, prober: 1, format: FORMAT, wanted: Masters::ALL, priority: 0 };
        let ips = (IpAddr::V4(PEER), IpAddr::V4(OWN));
        ProbeFrame::new((PEER_MAC, OWN_MAC), ips, probe, Some([1, 2])).expect("one family").bytes().to_vec()
    };
    let (action, frame) = loaded.run(&sealed);
    assert_eq!((action, flags(&frame)), (TX, ORPHANED));
    assert_eq!(loaded.run(&arp(1, VIP)).0, DROP);
}

/// What the daemon has left behind decides over adverts that nobody judges.
fn claims() {
    let mut loaded = master(far());
    let slot = Slot::of(Family::V4, vrid());
    loaded.orphan();
    let version = |version| ClaimRule {
        version,
        auth: Some((1, *b"secret\0\0")),
        priority: Priority::new(101).expect("in range"),
        peers_only: false,
        addresses: true,
    };
    let v2 = |host: u8, priority, address: Ipv4Addr, auth: u8, password: &[u8; 8]| {
        let [a, b, c, d] = address.octets();
        let mut pdu = vec![0x21, 51, priority, 1, auth, 1, 0, 0, a, b, c, d];
        pdu.extend(password);
        ethernet(&[], 0x0800, &ipv4(host, 112, &[], &pdu))
    };
    let taken = |frame: &[u8], loaded: &Loaded| {
        loaded.run(frame);
        let taken = loaded.lease.is_superseded(Family::V4, vrid());
        loaded.lease.clear_superseded(Family::V4, vrid());
        taken
    };
    let right = v2(2, 50, VIP, 1, b"secret\0\0");
    loaded.adverts.judge_claims(slot, &version(Version::V3));
    assert!(taken(&from(2, 51, 50), &loaded) && !taken(&right, &loaded), "VRRPv3 here");
    loaded.adverts.judge_claims(slot, &version(Version::V2));
    assert!(taken(&right, &loaded) && !taken(&from(2, 51, 50), &loaded), "VRRPv2 here");
    assert!(!taken(&v2(2, 50, VIP, 1, b"wrong\0\0\0"), &loaded), "password");
    assert!(!taken(&v2(2, 50, VIP, 0, b"secret\0\0"), &loaded), "authentication type");
    assert!(!taken(&v2(2, 50, PEER, 1, b"secret\0\0"), &loaded), "none of our addresses");
    loaded.adverts.judge_claims(slot, &ClaimRule { addresses: false, ..version(Version::V2) });
    assert!(taken(&v2(2, 50, PEER, 1, b"secret\0\0"), &loaded), "skip_check_adv_addr");

    let strict = ClaimRule { peers_only: true, ..version(Version::V2) };
    loaded.adverts.judge_claims(slot, &strict);
    loaded.adverts.know(slot, &[IpAddr::V4(PEER)]);
    assert!(taken(&right, &loaded) && !taken(&v2(3, 50, VIP, 1, b"secret\0\0"), &loaded), "no peer");

    loaded.adverts.judge_claims(slot, &version(Version::V2));
    loaded.lease.open_restart_window(clock::now().after(Span::from_secs(60)));
    assert!(taken(&right, &loaded), "a peer has not waited");
    assert!(!taken(&v2(3, 100, VIP, 1, b"secret\0\0"), &loaded), "a stranger who would yield");
    assert!(taken(&v2(3, 101, VIP, 1, b"secret\0\0"), &loaded), "a stranger who would not");
}

/// Only what somebody would take over is fenced.
fn wanted() {
    let mut loaded = loaded(0);
    let mut others = Masters::NONE;
    for n in (1..=u8::MAX).filter(|n| *n != vrid().get()) {
        others.set(Vrid::new(n).expect("not zero"), true);
    }
    let mut this = Masters::NONE;
    this.set(vrid(), true);
    let probes = |wanted| [Family::V4, Family::V6].map(|family| probe_for(family, wanted));
    loaded.introduce(&probes(others));
    loaded.orphan();
    for probe in probes(others) {
        assert_eq!(loaded.run(&probe).0, TX);
    }
    for (name, frame) in protected() {
        assert_eq!(loaded.run(&frame).0, PASS, "{name}: nobody would take it over");
    }
    // Over IPv4 alone.
    loaded.run(&probe_for(Family::V4, this));
    for (name, frame) in protected() {
        let v6 = frame[12..14] == [0x86, 0xdd];
        assert_eq!(loaded.run(&frame).0, if v6 { PASS } else { DROP }, "{name}");
    }
    loaded.run(&probe_for(Family::V6, this));
    for (name, frame) in protected() {
        assert_eq!(loaded.run(&frame).0, DROP, "{name}");
    }
    // It changes its mind, and is believed within two seconds.
    let start = clock::now();
    while loaded.run(&arp(1, VIP)).0 == DROP {
        loaded.run(&probe_for(Family::V4, others));
        assert!(clock::now().span_since(start) < Span::from_secs(4), "still closed");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A probe is for where our adverts come from.
fn elsewhere() {
    let loaded = loaded(0);
    loaded.lease.set_own(Some(OWN), Some(OWN6));
    for family in [Family::V4, Family::V6] {
        assert_eq!(loaded.run(&probe_for(family, Masters::ALL)).0, TX);
    }
    loaded.lease.set_own(Some(PEER), Some(VIP6));
    for family in [Family::V4, Family::V6] {
        assert_eq!(loaded.run(&probe_for(family, Masters::ALL)).0, PASS);
    }
}

fn vips() {
    let mut loaded = loaded(0);
    introduce(&loaded);
    let other = Ipv4Addr::new(172, 16, 1, 26);
    assert_eq!((loaded.run(&arp(1, VIP)).0, loaded.run(&arp(1, other)).0), (DROP, PASS));
    loaded.vips.set([(IpAddr::V4(other), slot(Family::V4))]).expect("room");
    assert_eq!(loaded.vips.iter().collect::<Vec<_>>(), [(IpAddr::V4(other), slot(Family::V4))]);
    assert_eq!((loaded.run(&arp(1, VIP)).0, loaded.run(&arp(1, other)).0), (PASS, DROP));
    assert_eq!(loaded.run(&neighbour(135, VIP6)).0, PASS);
    loaded.vips.set([]).expect("smaller");
    assert_eq!(loaded.run(&arp(1, other)).0, PASS);
}
