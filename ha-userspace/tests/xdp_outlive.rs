//! The program outlives its daemon: a child process attaches it and is killed, and somebody else probes the node.

mod xdp_support;

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ha_common::fence::KNOWN;
use ha_common::layout::VipSlot;
use ha_common::probe::{Body, FORMAT, Keys, Masters, ORPHANED, Probe, ProbeFrame, RESTARTING, Reply};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};
use ha_userspace::config::model::XdpMode;
use ha_userspace::net::clock;
use ha_userspace::xdp::{
    Attached, Options, PeerIndex, Slot, Travel, XdpInterface, detach_everything, remove_leftovers,
};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use xdp_support::{Sender, run, veth};

/// Set in the child: the BPF file system.
const CHILD: &str = "XVRRP_TEST_CHILD";

fn main() -> ExitCode {
    if let Some(bpffs) = std::env::var_os(CHILD) {
        child(Path::new(&bpffs));
    }
    xdp_support::main(&[
        ("s39_a_killed_daemon_stops_answering_while_it_is_probed", killed),
        ("a_planned_restart_keeps_the_fence_open", restarted),
        ("an_upgrade_across_versions_of_the_maps_is_a_restart_too", upgraded),
        ("leftovers_that_do_not_fit_are_replaced", replaced),
        ("everything_can_be_detached_by_hand", detached),
        ("pins_of_another_namespace_are_left_alone", foreign),
    ])
}

const VIP: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 25);
const OWN: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 2);

fn vip() -> (IpAddr, VipSlot) {
    (IpAddr::V4(VIP), VipSlot::of(Family::V4, vrid()))
}

fn vrid() -> Vrid {
    Vrid::new(51).expect("not zero")
}

fn options(bpffs: &Path, incarnation: u64) -> Options<'_> {
    Options {
        vlan: 0,
        fingerprint_key: [incarnation, 2],
        incarnation,
        apart: false,
        probe_keys: Keys::NONE,
        bpffs: Some(bpffs),
        bpf_log: None,
        tcx: true,
        routers: &[],
        roles: &[],
    }
}

fn attach(bpffs: &Path, incarnation: u64) -> XdpInterface {
    let ifindex = nix::net::if_::if_nametoindex("ens160").expect("there");
    XdpInterface::attach("ens160", ifindex, XdpMode::Auto, options(bpffs, incarnation))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A daemon that is master, and then waits for its end.
fn child(bpffs: &Path) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let mut xdp = attach(bpffs, 1);
    xdp.vips.set([vip()]).expect("room");
    xdp.lease.set_master(Family::V4, vrid(), true);
    xdp.lease.renew(clock::now().after(Span::from_secs(60)));
    xdp.adverts.configure(Slot::of(Family::V4, vrid()), Some(Travel::Multicast));
    xdp.adverts.track(Slot::of(Family::V4, vrid()), 99, Time(5), IpAddr::V4(PEER));
    let first = PeerIndex::new(0).expect("a slot");
    xdp.peers.configure(first, IpAddr::V4(PEER), NonZeroU64::new(1).expect("not zero"));
    println!("ready");
    loop {
        std::thread::park();
    }
}

/// Two ends of a veth pair, the VIP on one, and a socket on the other.
struct Lab {
    bpffs: tempfile::TempDir,
    far: Sender,
    macs: ([u8; 6], [u8; 6]),
    sequence: std::cell::Cell<u64>,
}

impl Lab {
    fn new() -> Self {
        veth();
        run("ip address add 172.16.1.1/24 dev ens160");
        run("ip address add 172.16.1.25/32 dev ens160");
        let mac = |name: &str| {
            let link: Value = serde_json::from_str(&run(&format!("ip -j link show {name}"))).expect("JSON");
            let text = link[0]["address"].as_str().expect("an address").to_owned();
            let bytes: Vec<u8> =
                text.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect();
            bytes.try_into().expect("six bytes")
        };
        let far = Sender::new("far").expect("a socket");
        far.receive_all();
        Self {
            bpffs: tempfile::tempdir().expect("a directory"),
            far,
            macs: (mac("far"), mac("ens160")),
            sequence: 0.into(),
        }
    }

    fn bpffs(&self) -> &Path {
        self.bpffs.path()
    }

    fn directory(&self) -> PathBuf {
        self.bpffs().join("xvrrp/v5/ens160")
    }

    fn spawn(&self) -> Daemon {
        let binary = std::env::current_exe().expect("this one");
        let mut child = Command::new(binary)
            .env(CHILD, self.bpffs())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("text");
        assert_eq!(line, "ready\n");
        // From now on this router is known, and its probes count.
        for _ in 0..KNOWN + KNOWN / 2 {
            self.probe();
        }
        Daemon(child)
    }

    /// The frames that match, until one does or the time is over.
    fn wait<T>(&self, time: Duration, mut matches: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            if let Some(found) = self.far.receive().and_then(|frame| matches(&frame)) {
                return Some(found);
            }
        }
        None
    }

    /// Probes once.
    fn probe(&self) -> Option<Reply> {
        let sequence = self.sequence.get() + 1;
        self.sequence.set(sequence);
        let probe =
            Probe { slot: 9, sequence, prober: 77, format: FORMAT, wanted: Masters::ALL, priority: 0 };
        let frame = ProbeFrame::new(self.macs, (PEER.into(), OWN.into()), probe, None).expect("one family");
        self.far.send(frame.bytes());
        self.wait(Duration::from_millis(100), |frame| {
            let reply = Reply::parse(&Body::from(*frame.get(34..)?.first_chunk()?))?;
            (reply.sequence == sequence).then_some(reply)
        })
    }

    /// Whether somebody answers an ARP request for the virtual address.
    fn is_answered(&self) -> bool {
        let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
        packet.extend(self.macs.0);
        packet.extend(PEER.octets());
        packet.extend([0; 6]);
        packet.extend(VIP.octets());
        let frame = [&[0xff; 6], &self.macs.0[..], &[0x08, 0x06], &packet].concat();
        self.far.send(&frame);
        self.wait(Duration::from_millis(100), |frame| {
            let arp = frame.get(12..32)?;
            (arp.starts_with(&[0x08, 0x06]) && arp[9] == 2 && arp[16..20] == VIP.octets()).then_some(())
        })
        .is_some()
    }

    fn is_attached(&self) -> bool {
        run("ip link show ens160").contains("xdp")
    }

    fn link_id(&self) -> u64 {
        let link = run(&format!("bpftool -j link show pinned {}/link", self.directory().display()));
        let link: Value = serde_json::from_str(&link).expect("JSON");
        link["id"].as_u64().expect("a number")
    }

    /// Probes every millisecond until the reply has other flags, and returns the time.
    fn wait_for_flags(&self, flags: u8) -> Duration {
        let start = Instant::now();
        while self.probe().map(|reply| reply.flags) != Some(flags) {
            assert!(start.elapsed() < Duration::from_secs(60), "no reply with flags {flags}");
            std::thread::sleep(Duration::from_millis(1));
        }
        start.elapsed()
    }

    /// Ends the mount that the first program made.
    fn unmount(&self) {
        nix::mount::umount(self.bpffs()).expect("mounted by the first");
    }
}

/// A child that is killed at the latest when the test ends.
struct Daemon(Child);

impl Daemon {
    fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a test's body inside a runtime, which the program's event ring wants.
fn inside_runtime(body: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    body();
}

fn killed() {
    let lab = Lab::new();
    let mut daemon = lab.spawn();
    let reply = lab.probe().expect("answered");
    assert_eq!((reply.flags, reply.responder, reply.slot, reply.prober), (0, 1, 9, 77));
    assert!(reply.masters.has(vrid()) && reply.lease.0 > 50_000_000_000);
    assert!(lab.is_answered());
    let link = lab.link_id();

    daemon.0.kill().expect("running");
    let noticed = lab.wait_for_flags(ORPHANED);
    println!("orphaned {noticed:?} after kill -9");
    daemon.kill();
    assert!(lab.is_attached(), "the link is pinned");
    let reply = lab.probe().expect("answered");
    assert_eq!((reply.flags, reply.responder), (ORPHANED, 1));
    assert!(reply.masters.has(vrid()));
    for _ in 0..5 {
        assert!(!lab.is_answered(), "somebody who probes can take over");
        assert!(lab.probe().is_some());
    }
    std::thread::sleep(Duration::from_millis(1050));
    assert!(lab.is_answered(), "nobody else is there");
    assert!(lab.probe().is_some());
    assert!(!lab.is_answered());

    inside_runtime(|| {
        let mut xdp = attach(lab.bpffs(), 2);
        assert_eq!(xdp.notes(), &[] as &[String]);
        assert_eq!((lab.link_id(), xdp.attached()), (link, Attached::Generic), "the same link");
        let inherited = xdp.inherited().expect("something was left");
        assert!(inherited.was_master(Family::V4, vrid()) && !inherited.was_master(Family::V6, vrid()));
        assert!(!inherited.is_unbroken(), "somebody may have taken over");
        assert_eq!(xdp.vips.iter().collect::<Vec<_>>(), [vip()]);
        assert!(!xdp.lease.is_master(Family::V4, vrid()), "to be claimed anew");
        assert_eq!(xdp.adverts.snapshot(Slot::of(Family::V4, vrid())).configured, 0);
        assert_eq!(xdp.peers.address(PeerIndex::new(0).expect("a slot")), None);
        assert!(xdp.probers.read().expect("readable").iter().any(|prober| prober.address == PEER));
        assert!(xdp.counters.read().expect("readable").fenced >= 6, "the counters go on");

        let reply = lab.probe().expect("answered");
        assert_eq!((reply.flags, reply.responder), (0, 2), "the lease still runs");
        assert!(lab.is_answered());
        xdp.vips.set([]).expect("smaller");
        drop(xdp);
    });
    assert!(!lab.is_attached() && !lab.bpffs().join("xvrrp").exists(), "a graceful end leaves nothing");
    assert!(lab.is_answered());
    lab.unmount();
}

fn restarted() {
    let lab = Lab::new();
    inside_runtime(|| {
        let mut xdp = attach(lab.bpffs(), 1);
        xdp.vips.set([vip()]).expect("room");
        xdp.lease.set_master(Family::V4, vrid(), true);
        xdp.lease.renew(clock::now().after(Span::from_millis(100)));
        xdp.lease.open_restart_window(clock::now().after(Span::from_secs(20)));
        xdp.leave();
        lab.wait_for_flags(RESTARTING);
        std::thread::sleep(Duration::from_millis(150));
        let reply = lab.probe().expect("answered");
        assert!(reply.flags == RESTARTING && reply.masters.has(vrid()));
        assert!(lab.is_answered(), "the fence is open");

        let xdp = attach(lab.bpffs(), 2);
        let inherited = xdp.inherited().expect("something was left");
        assert!(inherited.is_unbroken() && inherited.was_master(Family::V4, vrid()));
        assert!(xdp.lease.is_master(Family::V4, vrid()), "nobody else thinks that he is");
        let reply = lab.probe().expect("answered");
        assert_eq!((reply.flags, reply.responder), (RESTARTING, 2), "not vouched for yet");
        xdp.lease.renew(clock::now().after(Span::from_secs(60)));
        xdp.lease.open_restart_window(Time(0));
        let reply = lab.probe().expect("answered");
        assert!(reply.flags == 0 && reply.masters.has(vrid()));
        assert!(lab.is_answered());
    });
    assert!(!lab.is_attached());
    lab.unmount();
}

fn upgraded() {
    let lab = Lab::new();
    let version = |name: &str| lab.bpffs().join("xvrrp").join(name);
    let link = || {
        let shown = run(&format!("bpftool -j link show pinned {}", lab.directory().join("link").display()));
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        shown.get("id").or_else(|| shown[0].get("id")).expect("an id").clone()
    };
    inside_runtime(|| {
        let mut xdp = attach(lab.bpffs(), 1);
        xdp.vips.set([vip()]).expect("room");
        xdp.lease.set_master(Family::V4, vrid(), true);
        let until = clock::now().after(Span::from_secs(20));
        xdp.lease.open_restart_window(until);
        xdp.leave();
        let before = link();
        std::fs::rename(version("v5"), version("v4")).expect("movable");

        let xdp = attach(lab.bpffs(), 2);
        assert!(xdp.inherited().is_none(), "maps of another version are not understood");
        assert_eq!(link(), before, "the program was replaced, and never missing");
        assert!(!version("v4").exists());
        assert_eq!(xdp.lease.restart_until(), until);
        let reply = lab.probe().expect("answered");
        assert_eq!((reply.flags, reply.responder), (RESTARTING, 2), "peers go on waiting");
        assert!(lab.is_answered(), "the fence is open");
    });
    assert!(!lab.is_attached());
    lab.unmount();
}

fn replaced() {
    let lab = Lab::new();
    let version = |name: &str| lab.bpffs().join("xvrrp").join(name);
    inside_runtime(|| {
        // Of another version.
        lab.spawn().kill();
        std::fs::rename(version("v5"), version("v4")).expect("movable");
        let xdp = attach(lab.bpffs(), 2);
        assert!(xdp.inherited().is_none() && xdp.notes().is_empty(), "{:?}", xdp.notes());
        assert!(lab.directory().join("link").exists() && !version("v4").exists());
        assert_eq!(lab.probe().expect("answered").responder, 2);
        drop(xdp);

        // With a map of another layout.
        lab.spawn().kill();
        std::fs::remove_file(lab.directory().join("HA_LEASE")).expect("removable");
        std::fs::rename(lab.directory().join("HA_PEERS"), lab.directory().join("HA_LEASE")).expect("movable");
        let xdp = attach(lab.bpffs(), 3);
        assert!(xdp.inherited().is_none() && xdp.notes().is_empty(), "{:?}", xdp.notes());
        assert_eq!(lab.probe().expect("answered").responder, 3);
        drop(xdp);

        // In another mode, and not wanted at all.
        let index = nix::net::if_::if_nametoindex("ens160").expect("there");
        lab.spawn().kill();
        let native = XdpInterface::attach("ens160", index, XdpMode::Native, options(lab.bpffs(), 4))
            .expect("veth can");
        assert_eq!(native.attached(), Attached::Native);
        assert!(native.inherited().is_none());
        assert!(native.notes()[0].contains("generic mode"), "{:?}", native.notes());
        drop(native);
        lab.spawn().kill();
        assert!(XdpInterface::attach("ens160", index, XdpMode::Off, options(lab.bpffs(), 5)).is_err());
        assert!(!lab.is_attached());

        // Of an interface that has gone.
        lab.spawn().kill();
        run("ip link delete ens160");
        veth();
        let xdp = attach(lab.bpffs(), 6);
        assert!(xdp.inherited().is_none() && xdp.notes().is_empty(), "{:?}", xdp.notes());
    });
    lab.unmount();
}

fn detached() {
    let lab = Lab::new();
    let daemon = lab.spawn();
    assert_eq!(detach_everything(lab.bpffs()).expect("removable"), [lab.directory()]);
    assert!(!lab.is_attached(), "although the daemon holds the link");
    daemon.kill();

    lab.spawn().kill();
    remove_leftovers(lab.bpffs(), &["ens160"]);
    assert!(lab.is_attached());
    remove_leftovers(lab.bpffs(), &["eth0"]);
    assert!(!lab.is_attached() && !lab.bpffs().join("xvrrp").exists());
    assert_eq!(detach_everything(lab.bpffs()).expect("nothing to do"), [] as [PathBuf; 0]);
    assert_eq!(detach_everything(Path::new("/proc")).expect("nothing to do"), [] as [PathBuf; 0]);
    lab.unmount();
}

fn foreign() {
    let lab = Lab::new();
    let _daemon = lab.spawn();
    unshare(CloneFlags::CLONE_NEWNET).expect("another namespace");
    veth();
    inside_runtime(|| {
        remove_leftovers(lab.bpffs(), &[]);
        let xdp = attach(lab.bpffs(), 2);
        assert!(xdp.pin_directory().is_none());
        let why = xdp.unpinned().expect("a reason");
        assert!(why.contains("another network namespace"), "{why}");
        assert!(lab.directory().join("link").exists(), "the other's");
    });
    assert_eq!(detach_everything(lab.bpffs()).expect("removable"), [lab.directory()]);
    lab.unmount();
}
