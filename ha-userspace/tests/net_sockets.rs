//! Sockets that send and receive adverts and announcements, on both ends of a cable.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ha_common::packet::Endpoints;
use ha_common::types::{ADVERT_TTL, Family, MULTICAST_V4, MULTICAST_V6};
use ha_userspace::net::advert_rx::{AdvertRx, Membership};
use ha_userspace::net::advert_tx::{AdvertTx, QueueError};
use ha_userspace::net::announce::{Announcer, Burst};
use ha_userspace::net::clock;
use nix::errno::Errno;

mod net_lab;
use net_lab::{Namespace, best, ip, until};

fn main() -> std::process::ExitCode {
    net_lab::main(
        tests![
            adverts_arrive_byte_for_byte_v4,
            adverts_arrive_byte_for_byte_v6,
            unicast_adverts_arrive,
            a_sender_does_not_hear_itself,
            a_refused_packet_is_told_and_stops_no_other,
            a_firewall_rule_is_named_as_the_cause,
            the_fallback_receives_with_kernel_time,
            without_membership_a_unicast_advert_is_answered_with_icmp,
            membership_drops_silently_and_keeps_icmp_away,
            membership_and_receiver_outlive_down_and_up,
            announcements_arrive_byte_for_byte,
            announcements_through_a_dead_interface_are_told,
            how_long_510_announcements_take,
        ],
        tests![the_fallback_tells_what_it_lost],
    )
}

const A4: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 1);
const B4: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 2);
const A6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xa);
const B6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb);

/// Two hosts on one cable.
fn pair() -> (Namespace, Namespace) {
    let (a, b) = (Namespace::new(), Namespace::new());
    a.cable("ens160", &b);
    for (host, v4, v6) in [(&a, A4, A6), (&b, B4, B6)] {
        host.ip(&format!("addr add {v4}/24 dev ens160"));
        host.ip(&format!("addr add {v6}/64 dev ens160 nodad"));
    }
    // Neighbour discovery would now and then hold a packet back for a second.
    for (host, peer, v4, v6) in [(&a, &b, B4, B6), (&b, &a, A4, A6)] {
        let text = peer.ip("-j link show dev ens160");
        let link: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let mac = link[0]["address"].as_str().expect("a MAC");
        host.ip(&format!("neigh replace {v4} lladdr {mac} dev ens160 nud permanent"));
        host.ip(&format!("neigh replace {v6} lladdr {mac} dev ens160 nud permanent"));
    }
    (a, b)
}

fn multicast(family: Family) -> Endpoints {
    match family {
        Family::V4 => Endpoints::V4 { source: A4, destination: MULTICAST_V4 },
        Family::V6 => Endpoints::V6 { source: A6, destination: MULTICAST_V6 },
    }
}

fn unicast(family: Family) -> Endpoints {
    match family {
        Family::V4 => Endpoints::V4 { source: A4, destination: B4 },
        Family::V6 => Endpoints::V6 { source: A6, destination: B6 },
    }
}

/// Protocol and IP packet of a frame.
fn packet(frame: &[u8]) -> (u16, &[u8]) {
    (u16::from_be_bytes([frame[12], frame[13]]), &frame[14..])
}

fn is_vrrp(frame: &[u8]) -> bool {
    match packet(frame) {
        (0x0800, packet) => packet[9] == 112,
        (0x86dd, packet) => packet[6] == 112,
        _ => false,
    }
}

fn is_icmp_error(frame: &[u8]) -> bool {
    match packet(frame) {
        (0x0800, packet) => packet[9] == 1 && packet[20] == 3,
        (0x86dd, packet) => packet[6] == 58 && packet[40] < 128,
        _ => false,
    }
}

/// Sends `count` adverts from `host`; each PDU is its number, and then some bytes of which none may change.
fn send(host: &Namespace, family: Family, endpoints: Endpoints, count: u8) {
    let index = host.index("ens160");
    host.run(move || {
        let mut sender = AdvertTx::open(index, family).expect("root");
        for number in 0..count {
            sender.queue(usize::from(number), endpoints, ADVERT_TTL, &pdu(number)).expect("fits");
        }
        assert_eq!(sender.flush(), []);
        assert_eq!(sender.flush(), [], "the queue is empty");
    });
}

fn pdu(number: u8) -> Vec<u8> {
    (0..20_u8).map(|position| number.wrapping_mul(31).wrapping_add(position)).collect()
}

fn adverts_arrive_byte_for_byte_v4() {
    let (a, b) = pair();
    let wire = b.capture("ens160");
    send(&a, Family::V4, multicast(Family::V4), 255);
    let frames = wire.wait_for(255, is_vrrp);
    for (number, frame) in (0..u8::MAX).zip(&frames) {
        assert_eq!(frame[..6], [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]);
        let (_, packet) = packet(frame);
        assert_eq!(packet[..4], [0x45, 0xc0, 0, 40]);
        assert_eq!((packet[8], packet[9]), (255, 112));
        assert_eq!(packet[12..20], [172, 16, 1, 1, 224, 0, 0, 18]);
        let sum: u32 =
            packet[..20].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "header checksum");
        assert_eq!(packet[20..], pdu(number));
    }
    assert_eq!(frames.len(), 255);
}

fn adverts_arrive_byte_for_byte_v6() {
    let (a, b) = pair();
    let wire = b.capture("ens160");
    send(&a, Family::V6, multicast(Family::V6), 255);
    let frames = wire.wait_for(255, is_vrrp);
    for (number, frame) in (0..u8::MAX).zip(&frames) {
        assert_eq!(frame[..6], [0x33, 0x33, 0x00, 0x00, 0x00, 0x12]);
        let (_, packet) = packet(frame);
        assert_eq!(packet[..8], [0x6c, 0, 0, 0, 0, 20, 112, 255]);
        assert_eq!(packet[8..24], A6.octets());
        assert_eq!(packet[24..40], MULTICAST_V6.octets());
        assert_eq!(packet[40..], pdu(number), "the kernel puts no checksum in");
    }
    assert_eq!(frames.len(), 255);
}

fn unicast_adverts_arrive() {
    for family in [Family::V4, Family::V6] {
        let (a, b) = pair();
        let wire = b.capture("ens160");
        send(&a, family, unicast(family), 3);
        assert_eq!(wire.wait_for(3, is_vrrp).len(), 3, "{family:?}");
    }
}

fn a_sender_does_not_hear_itself() {
    for family in [Family::V4, Family::V6] {
        let (a, b) = pair();
        let (wire, index) = (b.capture("ens160"), a.index("ens160"));
        a.block_on(move || async move {
            let mut receiver = AdvertRx::open(index, family).expect("root");
            let mut own = AdvertTx::open(index, family).expect("root");
            own.queue(0, multicast(family), 255, &pdu(1)).expect("fits");
            assert_eq!(own.flush(), []);
            assert_eq!(receiver.try_recv().expect("read"), None, "{family:?}");
        });
        assert_eq!(wire.wait_for(1, is_vrrp).len(), 1);
    }
}

fn a_refused_packet_is_told_and_stops_no_other() {
    let (a, b) = pair();
    let (wire, index) = (b.capture("ens160"), a.index("ens160"));
    let down = a.run(move || {
        let mut sender = AdvertTx::open(index, Family::V4).expect("root");
        let good = multicast(Family::V4);
        assert_eq!(sender.queue(0, multicast(Family::V6), 255, b""), Err(QueueError::Family));
        assert_eq!(sender.queue(0, good, 255, &[0; 65_536]), Err(QueueError::TooLong));
        sender.queue(10, good, 255, &pdu(0)).expect("fits");
        sender.queue(11, good, 255, &[0; 2000]).expect("fits an IP packet");
        sender.queue(12, good, 255, &pdu(1)).expect("fits");
        let failures = sender.flush();
        assert_eq!(failures.iter().map(|f| (f.tag, f.errno)).collect::<Vec<_>>(), [(11, Errno::EMSGSIZE)]);
        assert!(failures[0].to_string().contains("virtual_ipaddress_excluded"), "{}", failures[0]);

        ip("link set ens160 down");
        sender.queue(20, good, 255, &pdu(0)).expect("fits");
        sender.queue(21, good, 255, &pdu(0)).expect("fits");
        sender.flush()
    });
    assert_eq!(wire.wait_for(2, is_vrrp).len(), 2);
    assert_eq!(down.iter().map(|f| f.tag).collect::<Vec<_>>(), [20, 21]);
    assert!(
        down.iter().all(|f| matches!(f.errno, Errno::ENETDOWN | Errno::ENETUNREACH | Errno::ENODEV)),
        "{down:?}"
    );
}

fn a_firewall_rule_is_named_as_the_cause() {
    let (a, _b) = pair();
    let index = a.index("ens160");
    let failures = a.run(move || {
        let rules = "add table ip t; add chain ip t o { type filter hook output priority 0; }; \
                     add rule ip t o ip protocol 112 drop";
        let status = std::process::Command::new("nft").arg(rules).status().expect("nftables is installed");
        assert!(status.success());
        let mut sender = AdvertTx::open(index, Family::V4).expect("root");
        sender.queue(7, multicast(Family::V4), 255, &pdu(0)).expect("fits");
        sender.flush()
    });
    assert_eq!((failures.len(), failures[0].tag, failures[0].errno), (1, 7, Errno::EPERM));
    assert!(failures[0].to_string().contains("nftables"), "{}", failures[0]);
}

fn the_fallback_receives_with_kernel_time() {
    for family in [Family::V4, Family::V6] {
        let (a, b) = pair();
        let (a, index) = (Arc::new(a), b.index("ens160"));
        b.block_on(move || async move {
            let mut receiver = AdvertRx::open(index, family).expect("root");
            // The kernel switches stamping on in the background; until then the time of reading stands in.
            until(|| {
                let sent = clock::now();
                send(&a, family, multicast(family), 1);
                std::thread::sleep(Duration::from_millis(30));
                let received = receiver.try_recv().expect("read").expect("arrived");
                (received.at.since(sent) < 25_000_000).then_some(())
            });
            for endpoints in [multicast(family), unicast(family)] {
                let before = clock::now();
                send(&a, family, endpoints, 3);
                let after = clock::now();
                // A daemon that reads late must not believe that the adverts came late.
                std::thread::sleep(Duration::from_millis(30));
                for number in 0..3 {
                    let received = tokio::time::timeout(Duration::from_secs(5), receiver.recv())
                        .await
                        .expect("soon")
                        .expect("read");
                    assert_eq!(
                        (received.endpoints, received.ttl, received.pdu),
                        (endpoints, 255, pdu(number))
                    );
                    assert!(
                        received.at.since(before) >= -1_000_000 && received.at.since(after) <= 1_000_000,
                        "{:?} is not within {before:?} to {after:?}",
                        received.at
                    );
                }
            }
            assert_eq!(receiver.try_recv().expect("read"), None);
            send(&a, family, multicast(family), 1);
            assert!(receiver.try_recv().expect("read").is_some());
            assert_eq!(receiver.take_lost(), 0);
        });
    }
}

fn the_fallback_tells_what_it_lost() {
    let (a, b) = pair();
    let (a, index) = (Arc::new(a), b.index("ens160"));
    b.block_on(move || async move {
        let mut receiver = AdvertRx::open(index, Family::V4).expect("root");
        let (mut sent, mut lost) = (0_u32, 0);
        // The receiver sleeps until its buffer has run over; then it reads, and each of the others is accounted for.
        while lost == 0 {
            assert!(sent < 4_000_000, "all {sent} fitted");
            send(&a, Family::V4, multicast(Family::V4), 255);
            sent += 255;
            lost = receiver.take_lost();
        }
        send(&a, Family::V4, multicast(Family::V4), 255);
        sent += 255;
        let mut read = 0;
        while receiver.try_recv().expect("read").is_some() {
            read += 1;
        }
        // Not only with the next packet: there may be none.
        lost += receiver.take_lost();
        assert_eq!(read + lost, sent);
        assert_eq!(receiver.take_lost(), 0);
        println!("{read} of {sent} read");
    });
}

fn without_membership_a_unicast_advert_is_answered_with_icmp() {
    for family in [Family::V4, Family::V6] {
        let (a, b) = pair();
        let answers = a.capture("ens160");
        send(&a, family, unicast(family), 1);
        assert_eq!(answers.wait_for(1, is_icmp_error).len(), 1, "{family:?}");
        drop(b);
    }
}

fn membership_drops_silently_and_keeps_icmp_away() {
    for (family, group, table) in [(Family::V4, "224.0.0.18", "raw"), (Family::V6, "ff02::12", "raw6")] {
        let (a, b) = pair();
        let (wire, answers, index) = (b.capture("ens160"), a.capture("ens160"), b.index("ens160"));
        let membership = b.run(move || Membership::join(index, family).expect("root"));
        assert!(b.ip("maddr show dev ens160").contains(group));
        send(&a, family, unicast(family), 5);
        send(&a, family, multicast(family), 5);
        wire.wait_for(10, is_vrrp);
        // An answer would have been sent before the frame was delivered to the capture of its sender.
        std::thread::sleep(Duration::from_millis(50));
        let errors = answers.frames().into_iter().filter(|frame| is_icmp_error(frame)).count();
        assert_eq!(errors, 0, "{family:?}");
        let queued = b
            .run(move || std::fs::read_to_string(format!("/proc/thread-self/net/{table}")))
            .expect("readable");
        let line =
            queued.lines().find(|line| line.contains(":0070")).expect("the socket is listed").to_owned();
        assert!(line.contains(" 00000000:00000000 "), "nothing waits to be read: {line}");
        drop(membership);
        // Not quite at once: a child that another test is starting holds the socket until it executes its program.
        until(|| (!b.ip("maddr show dev ens160").contains(group)).then_some(()));
    }
}

fn membership_and_receiver_outlive_down_and_up() {
    for (family, group) in [(Family::V4, "224.0.0.18"), (Family::V6, "ff02::12")] {
        let (a, b) = pair();
        let (far, index) = (Arc::new(a), b.index("ens160"));
        b.block_on(move || async move {
            let _membership = Membership::join(index, family).expect("root");
            let mut receiver = AdvertRx::open(index, family).expect("root");
            ip("link set ens160 down");
            ip("link set ens160 up");
            until(|| ip("-o link show ens160").contains("LOWER_UP").then_some(()));
            assert!(ip("maddr show dev ens160").contains(group));
            until(|| {
                send(&far, family, multicast(family), 1);
                receiver.try_recv().expect("read")
            });
        });
    }
}

fn frame(number: u16) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x08, 0x06]);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(number.to_be_bytes());
    frame.resize(42, 0xa5);
    frame
}

fn is_arp(frame: &[u8]) -> bool {
    packet(frame).0 == 0x0806
}

fn announcements_arrive_byte_for_byte() {
    let (a, b) = pair();
    // The addresses live on another device than the adverts travel on.
    a.cable("ens192", &b);
    let (first, second) = (b.capture("ens160"), b.capture("ens192"));
    let indices = ["ens160", "ens192"].map(|name| a.index(name));
    a.run(move || {
        let mut bursts = indices.map(Burst::new);
        for number in 0..510 {
            bursts[usize::from(number % 2)].push(&frame(number));
        }
        assert_eq!((bursts[0].len(), bursts[1].is_empty()), (255, false));
        assert_eq!(Announcer::open().expect("root").send(&bursts), []);
    });
    let even: Vec<_> = (0..510).step_by(2).map(frame).collect();
    let odd: Vec<_> = (1..510).step_by(2).map(frame).collect();
    assert_eq!(first.wait_for(255, is_arp), even);
    assert_eq!(second.wait_for(255, is_arp), odd);
}

fn announcements_through_a_dead_interface_are_told() {
    let (a, b) = pair();
    a.cable("ens192", &b);
    a.ip("link set ens160 down");
    let wire = b.capture("ens192");
    let indices = ["ens192", "ens160", "ens192"].map(|name| a.index(name));
    let failures = a.run(move || {
        let mut bursts = indices.map(Burst::new).to_vec();
        bursts.push(Burst::new(4711));
        for burst in &mut bursts {
            burst.push(&frame(1));
            burst.push(&frame(2));
        }
        Announcer::open().expect("root").send(&bursts)
    });
    let told: Vec<_> = failures.iter().map(|failure| (failure.tag, failure.errno)).collect();
    assert_eq!(told, [(2, Errno::ENETDOWN), (3, Errno::ENETDOWN), (6, Errno::ENXIO), (7, Errno::ENXIO)]);
    assert_eq!(wire.wait_for(4, is_arp).len(), 4);
}

fn how_long_510_announcements_take() {
    let (a, b) = pair();
    let (wire, index) = (b.capture("ens160"), a.index("ens160"));
    let [together, one_by_one] = a.run(move || {
        let announcer = Announcer::open().expect("root");
        let mut burst = Burst::new(index);
        for number in 0..510 {
            burst.push(&frame(number));
        }
        best(|| {
            let start = Instant::now();
            assert_eq!(announcer.send([&burst]), []);
            let together = start.elapsed();
            let start = Instant::now();
            for number in 0..510 {
                let mut burst = Burst::new(index);
                burst.push(&frame(number));
                assert_eq!(announcer.send([&burst]), []);
            }
            let one_by_one = start.elapsed();
            assert_eq!(wire.wait_for(1020, is_arp).len(), 1020);
            [together, one_by_one]
        })
    });
    println!("510 frames: {together:?} together, {one_by_one:?} one by one");
    assert!(together < one_by_one, "{together:?}, {one_by_one:?}");
}
