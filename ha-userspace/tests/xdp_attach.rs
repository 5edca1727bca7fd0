//! The XDP program on a real interface: stamps, events, limits, counters, and what `bpftool` shows.

mod xdp_support;

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ha_common::layout::{RATE_OTHERS, RATE_TRACKED};
use ha_common::probe::Keys;
use ha_common::time::Time;
use ha_common::types::{Family, Vrid};
use ha_userspace::config::model::XdpMode;
use ha_userspace::xdp::{
    AttachError, Attached, Options, Program, Slot, Travel, Variant, XdpInterface, detach_everything,
    remove_leftovers,
};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use xdp_support::{Sender, advert, ethernet, ipv4, run, veth};

fn main() -> ExitCode {
    xdp_support::main(&[
        ("the_tracked_advert_is_stamped_and_wakes_nobody", tracked_is_stamped),
        ("s18_other_frames_refresh_nothing", others_refresh_nothing),
        ("a_flood_does_not_hide_the_tracked_source", flood),
        ("bpftool_shows_named_fields_that_move", bpftool),
        ("another_program_is_named_and_left_alone", busy),
        ("another_program_leaves_traffic_control_by_tcx", || traffic_control(true)),
        ("another_program_leaves_traffic_control_by_clsact", || traffic_control(false)),
        ("modes_follow_the_driver_and_the_configuration", modes),
        ("stale_pins_are_replaced_and_pins_go_with_the_interface", pins),
        ("messages_come_when_asked_for", messages),
        ("signals_do_not_keep_a_program_from_loading", signals),
    ])
}

const OPTIONS: Options<'_> = Options {
    vlan: 0,
    fingerprint_key: [1, 2],
    incarnation: 0,
    apart: false,
    probe_keys: Keys::NONE,
    bpffs: None,
    bpf_log: None,
    tcx: true,
    routers: &[],
    roles: &[],
};

fn slot() -> Slot {
    Slot::of(Family::V4, Vrid::new(51).expect("not zero"))
}

fn frame(host: u8, vrid: u8, priority: u8) -> Vec<u8> {
    ethernet(&[], 0x0800, &ipv4(host, 112, &[], &advert(vrid, priority)))
}

fn now() -> Time {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock");
    Time(Duration::from(now).as_nanos().try_into().expect("fits for centuries"))
}

/// Runs a test's body inside a runtime.
fn block_on<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(body)
}

fn attach(ifindex: u32, options: Options<'_>) -> XdpInterface {
    XdpInterface::attach("ens160", ifindex, XdpMode::Auto, options).unwrap_or_else(|error| panic!("{error}"))
}

/// The fingerprints of all queued events. veth delivers before the sender's system call returns, or soon after.
async fn fingerprints(xdp: &mut XdpInterface) -> Vec<u64> {
    let mut fingerprints = Vec::new();
    while tokio::time::timeout(Duration::from_millis(200), xdp.events.readable()).await.is_ok() {
        xdp.events.drain(7, |event| {
            assert_eq!((event.slot, event.source_mac), (slot(), [0, 0, 0x5e, 0, 1, 0x33]));
            assert!(now().since(event.at) >= 0 && now().since(event.at) < 5_000_000_000);
            fingerprints.push(event.fingerprint);
        });
    }
    fingerprints
}

/// Sends the advert of 172.16.1.1 once and tracks it.
async fn track(xdp: &mut XdpInterface, sender: &Sender) {
    xdp.adverts.configure(slot(), Some(Travel::Multicast));
    sender.send(&frame(1, 51, 100));
    let fingerprints = fingerprints(xdp).await;
    assert_eq!(fingerprints.len(), 1);
    xdp.adverts.track(slot(), fingerprints[0], Time(5), IpAddr::from([172, 16, 1, 1]));
}

fn tracked_is_stamped() {
    let ifindex = veth();
    block_on(async {
        let mut xdp = attach(ifindex, OPTIONS);
        let sender = Sender::new("far").expect("a socket");
        sender.send(&frame(1, 51, 100));
        assert!(fingerprints(&mut xdp).await.is_empty(), "not configured yet");

        track(&mut xdp, &sender).await;
        let seen = xdp.adverts.last_seen(slot());
        assert_eq!((seen.at, seen.count), (Time(5), 0));

        let before = now();
        for _ in 0..5 {
            sender.send(&frame(1, 51, 100));
        }
        assert!(fingerprints(&mut xdp).await.is_empty());
        let seen = xdp.adverts.last_seen(slot());
        assert_eq!(seen.count, 5);
        assert!(seen.at >= before && seen.at <= now());
        let counters = xdp.counters.read().expect("readable");
        assert_eq!((counters.unknown_vrid, counters.to_user, counters.stamped), (1, 1, 5));

        xdp.adverts.untrack(slot());
        sender.send(&frame(1, 51, 100));
        assert_eq!(fingerprints(&mut xdp).await.len(), 1);
    });
}

fn others_refresh_nothing() {
    let ifindex = veth();
    block_on(async {
        let mut xdp = attach(ifindex, OPTIONS);
        let sender = Sender::new("far").expect("a socket");
        track(&mut xdp, &sender).await;
        let others = [
            frame(2, 51, 100),
            frame(1, 51, 101),
            frame(1, 52, 100),
            ethernet(&[(0x8100, 5)], 0x0800, &ipv4(1, 112, &[], &advert(51, 100))),
            ethernet(&[], 0x0800, &ipv4(1, 17, &[], &advert(51, 100))),
            frame(1, 51, 100)[..45].to_vec(),
        ];
        for other in &others {
            sender.send(other);
        }
        assert_eq!(fingerprints(&mut xdp).await.len(), 2, "two adverts for VRID 51 to be judged");
        let seen = xdp.adverts.last_seen(slot());
        assert_eq!((seen.at, seen.count), (Time(5), 0));
        let counters = xdp.counters.read().expect("readable");
        assert_eq!((counters.unknown_vrid, counters.truncated, counters.to_user), (1, 1, 3));
    });
}

fn flood() {
    let ifindex = veth();
    block_on(async {
        let mut xdp = attach(ifindex, OPTIONS);
        let sender = Sender::new("far").expect("a socket");
        track(&mut xdp, &sender).await;
        let flood = 40 * u64::from(RATE_OTHERS);
        let start = now();
        for _ in 0..flood {
            sender.send(&frame(66, 51, 255));
        }
        for priority in 1..=5 {
            sender.send(&frame(1, 51, priority));
        }
        // A window may end during the flood.
        let windows = now().span_since(start).0 / ha_common::layout::RATE_WINDOW_NS + 2;
        let mut fingerprints = fingerprints(&mut xdp).await;
        let admitted = fingerprints.len() as u64;
        assert!(admitted <= windows * u64::from(RATE_OTHERS) + 5, "{admitted} in {windows} windows");
        assert!(admitted < flood);
        fingerprints.sort_unstable();
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), 1 + 5, "the flood's, and each of the tracked source's");
        let counters = xdp.counters.read().expect("readable");
        assert_eq!(counters.rate_limited + admitted, flood + 5);
        const { assert!(RATE_TRACKED >= 5) };
    });
}

fn bpftool() {
    let ifindex = veth();
    let bpffs = tempfile::tempdir().expect("a directory");
    block_on(async {
        let mut xdp = attach(ifindex, Options { bpffs: Some(bpffs.path()), ..OPTIONS });
        assert_eq!(xdp.notes(), &[] as &[String]);
        let sender = Sender::new("far").expect("a socket");
        track(&mut xdp, &sender).await;
        xdp.judged.count(ha_common::counter::Counter::BadChecksum);
        let directory = xdp.pin_directory().expect("pinned").to_owned();
        let dump = |map: &str| -> Value {
            let output = run(&format!("bpftool -j map dump pinned {}/{map}", directory.display()));
            serde_json::from_str(&output).expect("JSON")
        };

        let adverts = |dump: &Value| -> Value { dump[51]["formatted"]["value"].clone() };
        let before = adverts(&dump("HA_ADVERTS"));
        assert_eq!((&before["configured"], &before["count"]), (&Value::from(1), &Value::from(0)));
        assert_eq!(before["source"][0], 172, "{before}");
        sender.send(&frame(1, 51, 100));
        assert!(fingerprints(&mut xdp).await.is_empty());
        let after = adverts(&dump("HA_ADVERTS"));
        assert_eq!(after["count"], 1);
        assert!(after["last_seen_ns"].as_u64() > before["last_seen_ns"].as_u64());
        assert_eq!(after["fingerprint"], before["fingerprint"]);

        let counters = dump("HA_COUNTERS");
        let cpus = counters[0]["formatted"]["values"].as_array().expect("a value for each CPU").clone();
        let stamped: u64 = cpus.iter().filter_map(|cpu| cpu["value"]["stamped"].as_u64()).sum();
        assert_eq!(stamped, 1, "{counters}");
        let judged = dump("HA_JUDGED");
        assert_eq!(judged[0]["formatted"]["value"]["bad_checksum"], 1, "{judged}");
        let config = dump("HA_CONFIG");
        assert_eq!(config[0]["formatted"]["value"]["vlan"], 0, "{config}");
    });
}

fn busy() {
    let ifindex = veth();
    block_on(async {
        // Ours too, but attached by hand, as somebody else's would be.
        let mut other = Program::load(0, [1, 2], None).expect("loaded");
        let xdp = other.xdp().expect("in the object");
        let link = xdp.attach("ens160", aya::programs::XdpMode::Skb).expect("attached");
        let error = XdpInterface::attach("ens160", ifindex, XdpMode::Native, OPTIONS).expect_err("taken");
        assert!(matches!(error, AttachError::Busy { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("ens160") && text.contains("the XDP program ha_xdp (id "), "{text}");
        other.xdp().expect("in the object").detach(link).expect("detached");

        let first = attach(ifindex, OPTIONS);
        let error = XdpInterface::attach("ens160", ifindex, XdpMode::Generic, OPTIONS).expect_err("claimed");
        assert!(matches!(error, AttachError::Claimed { .. }), "{error}");
        drop(first);
        assert!(!run("ip link show ens160").contains("xdp"));
        attach(ifindex, OPTIONS);
    });
}

/// Somebody has XDP: adverts are stamped in traffic control, from run to run, until XDP is free.
fn traffic_control(tcx: bool) {
    let ifindex = veth();
    let bpffs = tempfile::tempdir().expect("a directory");
    let options = Options { bpffs: Some(bpffs.path()), tcx, ..OPTIONS };
    block_on(async {
        let mut other = Program::load_variant(Variant::Linear, 0, [1, 2]).expect("loaded");
        let xdp = other.xdp().expect("in the object");
        let link = xdp.attach("ens160", aya::programs::XdpMode::Skb).expect("attached");

        let mut first = attach(ifindex, options);
        assert_eq!(first.attached(), Attached::Tc);
        assert!(first.notes()[0].contains("the XDP program ha_xdp_linear (id "), "{:?}", first.notes());
        let sender = Sender::new("far").expect("a socket");
        track(&mut first, &sender).await;
        sender.send(&frame(1, 51, 100));
        assert!(fingerprints(&mut first).await.is_empty());
        assert_eq!(first.adverts.last_seen(slot()).count, 1);
        let attachment = || first.attachment().expect("something to ask")();
        assert!(attachment());
        assert_eq!(run("tc filter show dev ens160 ingress").contains("ha_tc"), !tcx);

        // The next run puts its program into the same place, with the same maps.
        first.leave();
        let second = attach(ifindex, options);
        assert_eq!((second.attached(), second.inherited().is_some()), (Attached::Tc, true));
        assert_eq!(second.counters.read().expect("readable").stamped, 1);
        assert!(second.attachment().expect("something to ask")());
        assert_eq!(
            run("tc filter show dev ens160 ingress").matches("handle 0x70").count(),
            usize::from(!tcx)
        );
        second.leave();

        // XDP is free: the third goes there, and nothing is left behind.
        other.xdp().expect("in the object").detach(link).expect("detached");
        let third = attach(ifindex, options);
        assert_eq!((third.attached(), third.inherited().is_some()), (Attached::Generic, true));
        assert_eq!(third.counters.read().expect("readable").stamped, 1);
        assert!(!run("tc qdisc show dev ens160").contains("clsact"));
        third.leave();

        // And back, because somebody wants it so.
        let fourth = XdpInterface::attach("ens160", ifindex, XdpMode::Tc, options).expect("attached");
        assert_eq!((fourth.attached(), fourth.inherited().is_some()), (Attached::Tc, true));
        assert!(!run("ip link show ens160").contains("xdp"));

        // Pins that belong to another network namespace stay, whatever keeps the program there.
        fourth.leave();
        std::thread::scope(|scope| {
            let elsewhere = || {
                unshare(CloneFlags::CLONE_NEWNET).expect("another namespace");
                let ifindex = veth();
                block_on(async {
                    remove_leftovers(bpffs.path(), &[]);
                    let xdp =
                        XdpInterface::attach("ens160", ifindex, XdpMode::Tc, options).expect("attached");
                    assert!(xdp.pin_directory().is_none());
                    let unpinned = xdp.unpinned().expect("the pins are others'").to_owned();
                    assert!(unpinned.contains("another network namespace"), "{unpinned}");
                });
                assert!(!run("tc qdisc show dev ens160").contains("clsact"));
                assert_eq!(detach_everything(bpffs.path()).is_err(), !tcx);
            };
            scope.spawn(elsewhere).join().expect("no panic");
        });
        if !tcx {
            assert!(run("tc filter show dev ens160 ingress").contains("ha_tc"));
        }
        detach_everything(bpffs.path()).expect("removable");
        assert!(!run("tc qdisc show dev ens160").contains("clsact"));
    });
    nix::mount::umount(bpffs.path()).expect("mounted by the first");
}

fn modes() {
    let ifindex = veth();
    block_on(async {
        assert_eq!(attach(ifindex, OPTIONS).attached(), Attached::Generic);
        let attach = |name: &str, ifindex, mode| XdpInterface::attach(name, ifindex, mode, OPTIONS);
        let native = attach("ens160", ifindex, XdpMode::Native).expect("veth can");
        assert_eq!(native.attached(), Attached::Native);
        // veth then receives in the background, unlike in generic mode.
        Sender::new("far").expect("a socket").send(&frame(1, 51, 100));
        let mut looks = 0;
        while native.counters.read().expect("readable").unknown_vrid == 0 {
            looks += 1;
            assert!(looks < 1000, "the frame does not arrive");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        drop(native);
        assert!(matches!(attach("ens160", ifindex, XdpMode::Off), Err(AttachError::Off { .. })));
        assert!(matches!(attach("ens161", 4711, XdpMode::Auto), Err(AttachError::NoInterface { .. })));

        run("ip link set lo up");
        assert_eq!(attach("lo", 1, XdpMode::Auto).expect("generic").attached(), Attached::Generic);
        let refused = attach("lo", 1, XdpMode::Native).expect_err("no native mode on loopback");
        assert!(refused.to_string().contains("native mode: the driver does not support it"), "{refused}");

        run("ip tuntap add name tun0 mode tun");
        let tun = nix::net::if_::if_nametoindex("tun0").expect("just made");
        assert!(matches!(attach("tun0", tun, XdpMode::Auto), Err(AttachError::NotEthernet { .. })));
    });
}

fn pins() {
    let ifindex = veth();
    run("ip link add ens160.7 type veth");
    let dotted = nix::net::if_::if_nametoindex("ens160.7").expect("just made");
    let bpffs = tempfile::tempdir().expect("a directory");
    let options = Options { bpffs: Some(bpffs.path()), ..OPTIONS };
    block_on(async {
        let first = attach(ifindex, options);
        let directory = first.pin_directory().expect("pinned").to_owned();
        assert!(directory.ends_with("xvrrp/v5/ens160"), "{}", directory.display());

        // As a crash leaves them, and as an older version left them.
        let xvrrp = bpffs.path().join("xvrrp");
        std::fs::create_dir_all(xvrrp.join("v0/ens160")).expect("writable");
        std::fs::hard_link(directory.join("HA_ADVERTS"), xvrrp.join("v0/ens160/HA_OLD")).expect("linkable");
        std::fs::rename(&directory, xvrrp.join("v5/kept")).expect("movable");
        drop(first);
        std::fs::rename(xvrrp.join("v5/kept"), &directory).expect("movable");

        let second = attach(ifindex, options);
        assert_eq!(second.notes(), &[] as &[String]);
        assert!(!xvrrp.join("v0/ens160").exists());
        let third = XdpInterface::attach("ens160.7", dotted, XdpMode::Auto, options).expect("attachable");
        let names = |path: &Path| {
            let entries = std::fs::read_dir(path).expect("readable");
            let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        let expected = [
            "HA_ADVERTS",
            "HA_CONFIG",
            "HA_COUNTERS",
            "HA_EVENTS",
            "HA_JUDGED",
            "HA_LEASE",
            "HA_PEERS",
            "HA_PROBERS",
            "HA_VIPS",
            "link",
        ];
        assert_eq!(names(&directory), expected);
        assert_eq!(names(third.pin_directory().expect("pinned")), expected);
        drop(second);
        assert!(!directory.exists());
        drop(third);
        assert!(!xvrrp.join("v5").exists());

        // Of an interface that is not used any more.
        std::fs::create_dir_all(xvrrp.join("v5/eth9")).expect("writable");
        remove_leftovers(bpffs.path(), &[]);
        assert!(!xvrrp.exists());

        // Without a BPF file system everything else works.
        let nowhere = attach(ifindex, Options { bpffs: Some(Path::new("/proc/nowhere")), ..OPTIONS });
        assert!(
            nowhere.unpinned().is_some_and(|why| why.contains("/proc/nowhere")),
            "{:?}",
            nowhere.unpinned()
        );
    });
    nix::mount::umount(bpffs.path()).expect("mounted by the first");
}

fn messages() {
    static SEEN: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    struct Logger;
    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            SEEN.lock().expect("no panic").push(record.args().to_string());
        }
        fn flush(&self) {}
    }

    log::set_logger(&Logger).expect("the only logger");
    log::set_max_level(log::LevelFilter::Trace);
    let ifindex = veth();
    block_on(async {
        let mut xdp = attach(ifindex, Options { bpf_log: Some(aya_log::Level::Trace), ..OPTIONS });
        let sender = Sender::new("far").expect("a socket");
        sender.send(&frame(1, 52, 100));
        sender.send(&frame(1, 52, 100)[..45]);
        let forward = xdp.log.take().expect("asked for").forward();
        let _ = tokio::time::timeout(Duration::from_millis(300), forward).await;
    });
    let seen = SEEN.lock().expect("no panic").clone();
    assert!(seen.iter().any(|line| line.contains("VRID 52")), "{seen:?}");
    assert!(seen.iter().any(|line| line.contains("truncated")), "{seen:?}");
}

/// Children end while the verifier is at work, and somebody handles SIGCHLD: each end is a signal for this thread.
fn signals() {
    block_on(async {
        let mut ended =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child()).expect("allowed");
        for _ in 0..3 {
            let sleepers: Vec<_> = (0..60)
                .map(|n| {
                    std::process::Command::new("sleep")
                        .arg(format!("{}", 0.02 + 0.001 * f64::from(n)))
                        .spawn()
                })
                .collect();
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_millis(100) {
                Program::load(0, [1, 2], None).unwrap_or_else(|error| panic!("{error}"));
            }
            for sleeper in sleepers {
                sleeper.and_then(|mut sleeper| sleeper.wait()).expect("a child");
            }
            assert_eq!(ended.recv().await, Some(()), "no signal came");
        }
    });
}
