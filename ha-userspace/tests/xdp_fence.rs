//! What the loaded program lets through while its fence is open, and while it is closed.

mod xdp_support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;

use ha_common::fence::PROBED_NS;
use ha_common::probe::{Probe, ProbeFrame};
use ha_common::time::{Span, Time};
use ha_userspace::net::clock;
use xdp_support::program::{DROP, Loaded, OWN_MAC, PASS, PEER_MAC, TX, priority_tag};
use xdp_support::{advert, ethernet, ipv4};

fn main() -> ExitCode {
    xdp_support::main(&[
        ("s39_a_closed_fence_drops_what_is_for_a_vip_and_nothing_else", what),
        ("s39_the_fence_closes_when_nobody_vouches_for_the_node", when),
        ("s39_the_fence_closes_within_the_tick", to_the_nanosecond),
        ("the_fence_of_a_vlan_leaves_other_vlans_alone", vlan),
        ("virtual_addresses_are_replaced_as_a_set", vips),
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
    let probe = Probe { slot: 0, sequence: 1, prober: 1 };
    let ips = (IpAddr::V4(PEER), IpAddr::V4(OWN));
    ProbeFrame::new((PEER_MAC, OWN_MAC), ips, probe, None).expect("one family").bytes().to_vec()
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
        ("advert", ethernet(&[], 0x0800, &ipv4(2, 112, &[], &advert(51, 100)))),
        ("another protocol", ethernet(&[], 0x88cc, &[0; 50])),
        ("cut off", arp(1, VIP)[..40].to_vec()),
        ("in a VLAN", [&arp(1, VIP)[..12], &[0x81, 0, 0, 7], &arp(1, VIP)[12..]].concat()),
    ]
}

fn loaded(vlan: u16) -> Loaded {
    let mut loaded = Loaded::new(vlan);
    loaded.vips.set([IpAddr::V4(VIP), IpAddr::V6(VIP6)]).expect("room");
    loaded
}

fn what() {
    let mut loaded = loaded(0);
    for (name, frame) in protected().iter().chain(&free()) {
        assert_eq!(loaded.run(frame).0, PASS, "{name}: nobody probes");
    }
    loaded.lease.renew(clock::now().after(Span::from_secs(60)));
    assert_eq!(loaded.run(&probe()).0, TX);
    for (name, frame) in protected().iter().chain(&free()) {
        assert_eq!(loaded.run(frame).0, PASS, "{name}: the daemon lives");
    }

    loaded.orphan();
    for (name, frame) in protected() {
        for frame in [priority_tag(&frame), frame] {
            assert_eq!(loaded.run(&probe()).0, TX);
            assert_eq!(loaded.run(&frame).0, DROP, "{name}");
        }
    }
    for (name, frame) in free() {
        assert_eq!(loaded.run(&probe()).0, TX);
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
    loaded.run(&probe());
    assert!(is_closed(&loaded), "nobody has ever vouched for it");
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
    loaded.run(&probe());
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

fn vlan() {
    let mut loaded = loaded(7);
    let tagged = |frame: &[u8], vid: u8| [&frame[..12], &[0x81, 0, 0, vid], &frame[12..]].concat();
    assert_eq!(loaded.run(&probe()).0, PASS);
    assert_eq!(loaded.run(&tagged(&probe(), 7)).0, TX);
    loaded.orphan_in(7);
    assert_eq!(loaded.run(&tagged(&arp(1, VIP), 7)).0, DROP);
    assert_eq!(loaded.run(&tagged(&arp(1, VIP), 8)).0, PASS);
    assert_eq!(loaded.run(&arp(1, VIP)).0, PASS);
}

fn vips() {
    let mut loaded = loaded(0);
    loaded.run(&probe());
    let other = Ipv4Addr::new(172, 16, 1, 26);
    assert_eq!((loaded.run(&arp(1, VIP)).0, loaded.run(&arp(1, other)).0), (DROP, PASS));
    loaded.vips.set([IpAddr::V4(other)]).expect("room");
    assert_eq!(loaded.vips.iter().collect::<Vec<_>>(), [IpAddr::V4(other)]);
    assert_eq!((loaded.run(&arp(1, VIP)).0, loaded.run(&arp(1, other)).0), (PASS, DROP));
    assert_eq!(loaded.run(&neighbour(135, VIP6)).0, PASS);
    loaded.vips.set([]).expect("smaller");
    assert_eq!(loaded.run(&arp(1, other)).0, PASS);
}
