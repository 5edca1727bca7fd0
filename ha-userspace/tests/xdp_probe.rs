//! The loaded program turns probes round byte by byte as `ha_common::probe` does, and believes the right replies.

mod xdp_support;

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::process::ExitCode;

use ha_common::counter::XdpCounters;
use ha_common::layout::RATE_PROBES;
use ha_common::probe::{
    AT_FLAGS, AT_LEASE, AT_RANK, AT_SEQUENCE, Addresses, Answer, Body, EXPIRED, FAREWELL, FORMAT, Key, Keys,
    Masters, ORPHANED, Probe, ProbeFrame, RANKED, RESTARTING, Reply, Secret, TAKES_NO_PART, is_sealed,
    number, reflect, seal,
};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};
use ha_userspace::net::clock;
use ha_userspace::xdp::PeerIndex;
use xdp_support::program::{DROP, Loaded, OWN_MAC, PASS, PEER_MAC, TX, priority_tag};

fn main() -> ExitCode {
    xdp_support::main_for_variants(&[
        ("probes_are_reflected_as_the_host_does_it", reflected),
        ("probes_to_virtual_mac_addresses_are_for_the_master", virtual_macs),
        ("replies_say_what_the_lease_says", flags),
        ("what_is_no_probe_of_ours_is_not_answered", not_answered),
        ("probes_are_answered_within_limits", rate_limit),
        ("a_replayed_probe_is_dropped_and_uses_up_no_budget", replayed),
        ("two_keys_count_for_a_while", two_keys),
        ("probers_are_ranked", ranked),
        ("replies_are_believed_once", believed),
        ("forged_replies_are_not_believed", forged),
        ("without_a_daemon_probes_are_answered_as_orphaned", orphaned),
    ])
}

const KEY: Key = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
const PROBE: Probe = Probe {
    slot: 0x0203,
    sequence: 7,
    prober: 0xaaaa_bbbb_cccc_dddd,
    format: FORMAT,
    wanted: Masters::ALL,
    priority: 0,
};

fn ips(family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => ([172, 16, 1, 2].into(), [172, 16, 1, 1].into()),
        Family::V6 => ([0xfe80, 0, 0, 0, 0, 0, 0, 2].into(), [0xfe80, 0, 0, 0, 0xbeef, 0, 0, 1].into()),
    }
}

fn addresses(family: Family) -> Addresses {
    match ips(family) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Addresses::V4 { source: source.octets(), destination: destination.octets() }
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Addresses::V6 { source: source.octets(), destination: destination.octets() }
        }
        _ => unreachable!("both of one family"),
    }
}

fn probe(family: Family, key: Option<Key>) -> Vec<u8> {
    let frame = ProbeFrame::new((PEER_MAC, OWN_MAC), ips(family), PROBE, key).expect("one family");
    frame.bytes().to_vec()
}

/// Offset of the body in an untagged frame.
const fn body_at(family: Family) -> usize {
    match family {
        Family::V4 => 34,
        Family::V6 => 54,
    }
}

fn body(frame: &[u8], family: Family) -> Body {
    Body::from(*frame[body_at(family)..].first_chunk().expect("whole"))
}

/// A frame of the peer's that carries `body`, with a tag under `key`.
fn with_body(family: Family, mut body: Body, key: Option<Key>) -> Vec<u8> {
    let mut frame = probe(family, key);
    seal(&mut body, key, &addresses(family));
    frame[body_at(family)..].copy_from_slice(&*body);
    frame
}

/// What the host makes of the probe.
fn host_reply(probe: &[u8], family: Family, key: Option<Key>, answer: &Answer) -> Vec<u8> {
    let mut frame = probe.to_vec();
    frame[..12].rotate_left(6);
    match family {
        Family::V4 => frame[26..34].rotate_left(4),
        Family::V6 => frame[22..54].rotate_left(16),
    }
    let mut body = body(&frame, family);
    reflect(&mut body, answer);
    seal(&mut body, key, &addresses(family).swapped());
    frame[body_at(family)..].copy_from_slice(&*body);
    frame
}

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

fn vrid(n: u8) -> Vrid {
    Vrid::new(n).expect("not zero")
}

fn reflected() {
    let loaded = Loaded::new(0);
    loaded.introduce(&FAMILIES.map(|family| probe(family, None)));
    let introduced = loaded.counters().probe_answered;
    let lease = &loaded.lease;
    for (family, vrids) in [(Family::V4, [1, 51, 255]), (Family::V6, [7, 64, 128])] {
        for n in vrids {
            lease.set_master(family, vrid(n), true);
        }
    }
    for family in FAMILIES {
        let mut masters = Masters::NONE;
        for n in 1..=255 {
            masters.set(vrid(n), lease.is_master(family, vrid(n)));
        }
        for key in [None, Some(KEY)] {
            lease.set_key(key.map(Secret::Configured));
            lease.renew(clock::now().after(Span::SECOND));
            let probe = probe(family, key);
            let before = clock::now();
            let (action, frame) = loaded.run(&probe);
            assert_eq!(action, TX);
            let left = number(&body(&frame, family), AT_LEASE);
            let most = lease.until().span_since(before).0;
            assert!(left <= most && left + 500_000_000 > most, "{left} of {most}");
            let answer =
                Answer { flags: 0, responder: lease.incarnation(), lease_ns: left, masters, rank: 0 };
            assert_eq!(frame, host_reply(&probe, family, key, &answer));
            assert!(lease.last_probe().is_some_and(|at| at >= before));

            // The tag of the frame stays where it is.
            let mut next = body(&probe, family);
            next[AT_SEQUENCE + 7] += 1;
            let probe = with_body(family, next, key);
            let (action, tagged) = loaded.run(&priority_tag(&probe));
            assert_eq!(action, TX);
            let left = number(&body(&[&tagged[..12], &tagged[16..]].concat(), family), AT_LEASE);
            let answer = Answer { lease_ns: left, ..answer };
            assert_eq!(tagged, priority_tag(&host_reply(&probe, family, key, &answer)));
        }
    }
    let counters = loaded.counters();
    let answered = 8 + introduced;
    assert_eq!((counters.probe_answered, counters.probe_rejected, counters.probe_tag), (answered, 0, 0));
    let mut probers = loaded.probers.read().expect("readable");
    probers.sort_by_key(|prober| prober.address);
    assert_eq!(probers.iter().map(|p| p.address).collect::<Vec<_>>(), FAMILIES.map(|family| ips(family).0));
    assert!(probers.iter().all(|prober| prober.count == answered / 2 && prober.last.0 > 0), "{probers:?}");
}

/// `use_vmac`: adverts come from the virtual MAC address, so probes go there.
fn virtual_macs() {
    let loaded = Loaded::new(0);
    let lease = &loaded.lease;
    for (family, n, mac) in [
        (Family::V4, 51, [0, 0, 0x5e, 0, 1, 51]),
        (Family::V6, 64, [0, 0, 0x5e, 0, 2, 64]),
        (Family::V4, 255, [0, 0, 0x5e, 0, 1, 255]),
        (Family::V4, 128, [0, 0, 0x5e, 0, 1, 128]),
    ] {
        let mut frame = probe(family, None);
        frame[..6].copy_from_slice(&mac);
        assert_eq!(loaded.run(&frame).0, PASS, "not master");
        lease.set_master(family, vrid(n), true);
        let (action, reply) = loaded.run(&frame);
        assert_eq!((action, &reply[..6], &reply[6..12]), (TX, &PEER_MAC[..], &mac[..]));
        let mut other = frame.clone();
        other[5] ^= 1;
        assert_eq!(loaded.run(&other).0, PASS, "another router's");
        other[5] ^= 1;
        other[4] ^= 3;
        assert_eq!(loaded.run(&other).0, PASS, "the other family's");
        lease.clear_masters();
        assert_eq!(loaded.run(&frame).0, PASS);
    }
}

fn flags() {
    let mut loaded = Loaded::new(0);
    let flags = |loaded: &Loaded| {
        let (action, frame) = loaded.run(&probe(Family::V4, None));
        assert_eq!(action, TX);
        let reply = Reply::parse(&body(&frame, Family::V4)).expect("a reply");
        assert_eq!((reply.slot, reply.sequence, reply.prober), (0x0203, 7, PROBE.prober));
        (reply.flags, reply.lease.0 > 0)
    };
    assert_eq!(flags(&loaded), (RESTARTING, false), "never renewed; nothing that a stranger would act on");
    loaded.introduce(&[probe(Family::V4, None)]);
    assert_eq!(flags(&loaded), (EXPIRED, false));
    loaded.lease.renew(clock::now().after(Span::SECOND));
    assert_eq!(flags(&loaded), (0, true));
    loaded.lease.open_restart_window(clock::now().after(Span::from_secs(2)));
    assert_eq!(flags(&loaded), (0, true), "still running");
    loaded.orphan();
    assert_eq!(flags(&loaded), (RESTARTING, true));
    loaded.lease.open_restart_window(Time(0));
    assert_eq!(flags(&loaded), (ORPHANED, true));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(flags(&loaded), (ORPHANED | EXPIRED, false));
    loaded.lease.open_restart_window(clock::now().after(Span::SECOND));
    assert_eq!(flags(&loaded), (RESTARTING, false));
    loaded.lease.set_apart(true);
    assert_eq!(flags(&loaded), (TAKES_NO_PART, false), "whatever else is true");
    loaded.lease.set_apart(false);
    assert_eq!(flags(&loaded), (RESTARTING, false));
}

fn not_answered() {
    let loaded = Loaded::new(0);
    let same = |frame: Vec<u8>, what: &str| {
        assert_eq!(loaded.run(&frame), (PASS, frame), "{what}");
    };
    for family in FAMILIES {
        let good = probe(family, None);
        assert_eq!(loaded.run(&good).0, TX);
        let at = body_at(family);
        let changed = |at: usize, to: u8| {
            let mut frame = good.clone();
            frame[at] = to;
            frame
        };
        same(changed(5, OWN_MAC[5] ^ 1), "another MAC");
        let (ttl, length) = if family == Family::V4 { (22, 17) } else { (21, 19) };
        same(changed(ttl, 254), "hop limit");
        for wrong in [good[length] - 1, good[length] + 1] {
            let mut frame = changed(length, wrong);
            frame.push(0);
            same(frame, "length");
        }
        same(changed(at, 0x3d), "type");
        same(changed(at, 0x2e), "version");
        same(changed(at + 1, 1), "VRID");
        same(changed(at + 2, 3), "format");
        same(changed(at + 2, 1), "wishes, which the first format has not");
        same(changed(at + 3, 1), "flags");
        same(changed(at + 7, 1), "rank");
        same(changed(at + 24, 1), "responder");
        same(changed(at + 39, 1), "lease");
        same(changed(at + 79, 1), "tag");
        let mut zero = body(&good, family);
        zero[AT_SEQUENCE..AT_SEQUENCE + 8].fill(0);
        same(with_body(family, zero, None), "sequence");
        let mut nobody = body(&good, family);
        nobody[16..24].fill(0);
        same(with_body(family, nobody, None), "prober");
        if family == Family::V4 {
            same(changed(20, 0x20), "fragment");
        }
        for cut in [1, 40, 79] {
            same(good[..good.len() - cut].to_vec(), "cut off");
        }

        loaded.lease.set_key(Some(Secret::Configured(KEY)));
        same(good.clone(), "no tag");
        same(with_body(family, body(&good, family), Some([KEY[0], KEY[1] ^ 1])), "another key");
        assert_eq!(loaded.run(&probe(family, Some(KEY))).0, TX);
        loaded.lease.set_key(None);
        same(probe(family, Some(KEY)), "an unexpected tag");
    }
    let counters = loaded.counters();
    assert_eq!((counters.probe_answered, counters.probe_tag), (4, 8), "{counters:?}");
    loaded.lease.set_incarnation(None);
    same(probe(Family::V4, None), "switched off");
}

fn rate_limit() {
    let loaded = Loaded::new(0);
    let start = clock::now();
    let frame = probe(Family::V4, None);
    let runs = 3 * u64::from(RATE_PROBES);
    for _ in 0..runs {
        assert!(matches!(loaded.run(&frame), (TX | DROP, _)));
    }
    let windows = clock::now().span_since(start).0 / ha_common::layout::RATE_WINDOW_NS + 2;
    let counters = loaded.counters();
    assert_eq!(counters.probe_answered + counters.probe_rate_limited, runs);
    assert!(counters.probe_rate_limited > 0, "too slow a machine for this test: {windows} windows");
    assert!(counters.probe_answered <= windows * u64::from(RATE_PROBES), "{counters:?}");
    // Another prober has a budget of its own.
    assert_eq!(loaded.run(&probe(Family::V6, None)).0, TX);
}

fn numbered(family: Family, prober: u64, sequence: u64, key: Option<Key>) -> Vec<u8> {
    let body = Probe { prober, sequence, ..PROBE }.emit(None, &addresses(family));
    with_body(family, body, key)
}

fn replayed() {
    let loaded = Loaded::new(0);
    loaded.lease.renew(clock::now().after(Span::from_secs(60)));
    loaded.lease.set_key(Some(Secret::Configured(KEY)));
    for family in FAMILIES {
        let run = |prober, sequence| loaded.run(&numbered(family, prober, sequence, Some(KEY))).0;
        assert_eq!([run(500, 1), run(500, 2), run(500, 9)], [TX; 3]);
        for _ in 0..2 * RATE_PROBES {
            assert_eq!([run(500, 9), run(500, 3), run(499, 10)], [DROP; 3], "replays, and an earlier run's");
        }
        // Its own next one is answered all the same, and so is a later run.
        assert_eq!([run(500, 10), run(501, 1), run(500, 11)], [TX, TX, DROP]);
    }
    let counters = loaded.counters();
    assert_eq!(counters.probe_replayed, 2 * (3 * 2 * u64::from(RATE_PROBES) + 1), "{counters:?}");
    assert_eq!((counters.probe_answered, counters.probe_rate_limited), (10, 0), "{counters:?}");
    // Without a key anybody could silence a router with one great number.
    loaded.lease.set_key(None);
    let run = |prober, sequence| loaded.run(&numbered(Family::V4, prober, sequence, None)).0;
    assert_eq!([run(u64::MAX, u64::MAX), run(7, 1), run(7, 1)], [TX; 3]);
}

fn two_keys() {
    let other = [KEY[0] ^ 1, KEY[1]];
    let loaded = Loaded::new(0);
    let index = PeerIndex::new(3).expect("a slot");
    for family in FAMILIES {
        let secret = |key| Some(Secret::Configured(key));
        let before = clock::now();
        loaded.lease.renew(before.after(Span::from_secs(60)));
        let keys = Keys::new(secret(other), None).followed_by(Keys::new(secret(KEY), None), before);
        loaded.lease.set_keys(&keys);
        assert_eq!(loaded.lease.keys(), Some(keys));
        let mut sequence = 0;
        let mut ask = |key| {
            sequence += 1;
            let probe = numbered(family, 7, sequence, Some(key));
            let (action, frame) = loaded.run(&probe);
            (action, if action == TX { Some(body(&frame, family)) } else { None })
        };
        for key in [KEY, other, KEY] {
            let (action, reply) = ask(key);
            let reply = reply.expect("answered");
            assert_eq!((action, reply[AT_FLAGS]), (TX, 0));
            assert!(is_sealed(&reply, Some(key), &addresses(family).swapped()), "under the same key");
        }
        assert_eq!(ask([9, 9]).0, PASS, "a third key");
        // Replies under either are believed, and it is known which it was.
        loaded.peers.configure(index, ips(family).0, NonZeroU64::new(99).expect("not zero"));
        loaded.peers.set_sent(index, 5);
        assert_eq!(loaded.run(&reply(family, 1, Some(other))).0, DROP);
        assert_eq!(loaded.peers.answered_under_current_key(index), 0);
        assert_eq!(loaded.run(&reply(family, 2, Some(KEY))).0, DROP);
        assert_eq!(loaded.peers.answered_under_current_key(index), 2);
        // Towards the end who uses the old one is told so; then it is over.
        let now = clock::now();
        let ending = Keys { other: Some((secret(other), now.after(FAREWELL))), ..keys };
        loaded.lease.set_keys(&ending);
        assert_eq!(ask(other).1.map(|reply| reply[AT_FLAGS]), Some(TAKES_NO_PART));
        assert_eq!(ask(KEY).1.map(|reply| reply[AT_FLAGS]), Some(0));
        loaded.lease.set_keys(&Keys { other: Some((secret(other), now)), ..keys });
        assert_eq!(ask(other).0, PASS);
        assert_eq!(ask(KEY).0, TX);
    }
    // A key may be introduced where there was none.
    loaded.lease.set_keys(
        &Keys::new(None, None).followed_by(Keys::new(Some(Secret::Derived(KEY)), None), clock::now()),
    );
    assert_eq!(loaded.run(&numbered(Family::V4, 8, 1, None)).0, TX);
    assert_eq!(loaded.run(&numbered(Family::V4, 9, 1, Some(KEY))).0, TX);
}

fn ranked() {
    let loaded = Loaded::new(0);
    let probe = |family, last: u8, priority| {
        let mut frame = probe(family, None);
        let body = Probe { priority, ..PROBE }.emit(None, &addresses(family));
        frame[body_at(family)..].copy_from_slice(&*body);
        match family {
            // The checksum of the header is no business of the program's.
            Family::V4 => frame[29] = last,
            Family::V6 => frame[37] = last,
        }
        frame
    };
    let rank = |family, last, priority| {
        let (action, frame) = loaded.run(&probe(family, last, priority));
        assert_eq!(action, TX);
        let body = body(&frame, family);
        let told = body[AT_FLAGS] & RANKED != 0;
        assert_eq!(told, priority != 0 && last != 77, "whose rank counts: {last}");
        body[AT_RANK]
    };
    for family in FAMILIES {
        let routers = [(2, 100), (3, 150), (4, 100), (5, 0)];
        loaded.introduce(&routers.map(|(last, priority)| probe(family, last, priority)));
        loaded.lease.renew(clock::now().after(Span::from_secs(60)));
        let ranks = || routers.map(|(last, priority)| rank(family, last, priority));
        ranks();
        assert_eq!(ranks(), [2, 0, 1, 0], "by priority, then by address; who takes nothing over has none");
        assert_eq!(rank(family, 2, 200), 0);
        assert_eq!(rank(family, 3, 150), 1);
        // Whoever is not known yet pushes nobody back.
        assert_eq!(rank(family, 77, 255), 0);
        assert_eq!(rank(family, 2, 200), 0);
    }
}

/// The peer's reply to our probe `sequence`.
fn reply(family: Family, sequence: u64, key: Option<Key>) -> Vec<u8> {
    let mut masters = Masters::NONE;
    masters.set(vrid(51), true);
    let reply = Reply {
        slot: 3,
        sequence,
        prober: 99,
        format: FORMAT,
        flags: EXPIRED,
        responder: 55,
        lease: Span(1234),
        masters,
        rank: 0,
    };
    with_body(family, reply.emit(None, &addresses(family)), key)
}

fn believed() {
    let loaded = Loaded::new(0);
    let index = PeerIndex::new(3).expect("a slot");
    for family in FAMILIES {
        for key in [None, Some(KEY)] {
            loaded.lease.set_key(key.map(Secret::Configured));
            loaded.peers.configure(index, ips(family).0, NonZeroU64::new(99).expect("not zero"));
            assert_eq!(loaded.peers.address(index), Some(ips(family).0));
            let run = |sequence| loaded.run(&reply(family, sequence, key)).0;
            assert_eq!(run(1), PASS, "nothing has been sent");
            assert_eq!(loaded.peers.last_reply(index), None);
            loaded.peers.set_sent(index, 5);
            let before = clock::now();
            assert_eq!(run(2), DROP);
            let last = loaded.peers.last_reply(index).expect("believed");
            assert!(last.at >= before && last.at <= clock::now());
            assert_eq!(last.count, 1);
            assert_eq!(Some(last.reply), Reply::parse(&body(&reply(family, 2, key), family)));
            for (sequence, action) in [(2, PASS), (1, PASS), (6, PASS), (5, DROP), (5, PASS), (3, PASS)] {
                assert_eq!(run(sequence), action, "{sequence}");
            }
            assert_eq!(loaded.peers.answered(index), 5);
            assert_eq!(loaded.peers.last_reply(index).map(|last| last.count), Some(2));
        }
    }
    let counters = loaded.counters();
    assert_eq!((counters.reply_believed, counters.reply_ignored), (8, 4 * 6), "{counters:?}");
    assert_eq!(counters.probe_answered, 0, "a reply is never answered");
    loaded.peers.clear(index);
    assert_eq!((loaded.peers.address(index), loaded.peers.last_reply(index)), (None, None));
    assert_eq!(loaded.run(&reply(Family::V6, 5, Some(KEY))).0, PASS);
}

fn forged() {
    let loaded = Loaded::new(0);
    let index = PeerIndex::new(3).expect("a slot");
    let family = Family::V4;
    loaded.peers.configure(index, ips(family).0, NonZeroU64::new(99).expect("not zero"));
    loaded.peers.set_sent(index, u64::MAX);
    let good = body(&reply(family, 5, None), family);
    let changed = |at: usize, to: u8| {
        let mut body = good;
        body[at] = to;
        with_body(family, body, None)
    };
    let mut frames = vec![
        (changed(5, 4), "another slot"),
        (changed(5, 64), "no slot"),
        (changed(4, 0xff), "no slot at all"),
        (changed(23, 98), "another prober"),
        (changed(31, 0), "no responder"),
        (changed(2, 3), "format"),
    ];
    for (at, to, what) in [(29, 9, "source"), (5, 9, "MAC"), (22, 254, "hop limit"), (113, 1, "tag")] {
        let mut frame = with_body(family, good, None);
        frame[at] = to;
        frames.push((frame, what));
    }
    for (frame, what) in frames {
        assert_eq!(loaded.run(&frame).0, PASS, "{what}");
        assert_eq!(loaded.peers.last_reply(index), None, "{what}");
    }
    assert_eq!(loaded.run(&with_body(family, good, None)).0, DROP, "the original is believed");
}

fn orphaned() {
    let mut loaded = Loaded::new(0);
    loaded.introduce(&FAMILIES.map(|family| probe(family, None)));
    let introduced = loaded.counters().probe_answered;
    loaded.lease.renew(clock::now().after(Span::from_secs(60)));
    let index = PeerIndex::new(3).expect("a slot");
    loaded.peers.configure(index, ips(Family::V4).0, NonZeroU64::new(99).expect("not zero"));
    loaded.peers.set_sent(index, 9);
    assert_eq!(loaded.run(&reply(Family::V4, 1, None)).0, DROP);
    loaded.orphan();
    for family in FAMILIES {
        for key in [None, Some(KEY)] {
            loaded.lease.set_key(key.map(Secret::Configured));
            let probe = probe(family, key);
            let (action, frame) = loaded.run(&probe);
            assert_eq!(action, TX);
            let lease_ns = number(&body(&frame, family), AT_LEASE);
            let responder = loaded.lease.incarnation();
            let answer = Answer { flags: ORPHANED, responder, lease_ns, masters: Masters::NONE, rank: 0 };
            assert_eq!(frame, host_reply(&probe, family, key, &answer));
        }
    }
    loaded.lease.set_key(None);
    assert_eq!(loaded.run(&reply(Family::V4, 2, None)).0, PASS, "for nobody");
    let XdpCounters { probe_answered, unattended, .. } = loaded.counters();
    assert_eq!((probe_answered - introduced, unattended), (4, 1));
}
