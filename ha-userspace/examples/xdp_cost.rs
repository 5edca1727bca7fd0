//! What each path through the XDP program costs: nanoseconds a packet, from `BPF_PROG_TEST_RUN`, as JSON lines
//! `{"name": …, "ns": [one figure for each batch], "once": …}`. `cargo xtask bench` runs it and prints the result.
//!
//! The figures contain the kernel's own loop, which the first line, a program that only returns, shows.
//! Generic mode adds what the kernel does to build the context, native mode next to nothing.

#[path = "../tests/xdp_support/mod.rs"]
mod xdp_support;

mod bare {
    //! The shortest program there is, through bpf(2): aya loads objects only.
    #![expect(unsafe_code, reason = "bpf(2) has no safe interface")]

    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_TEST_RUN: libc::c_int = 10;
    const BPF_PROG_TYPE_XDP: u32 = 6;
    /// `r0 = 2; exit`: XDP_PASS.
    static PROGRAM: [u8; 16] = [0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    static LICENSE: [u8; 4] = *b"GPL\0";

    /// The start of `union bpf_attr` for BPF_PROG_LOAD.
    #[repr(C)]
    struct Load {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
    }

    /// The same for BPF_PROG_TEST_RUN.
    #[repr(C)]
    #[derive(Default)]
    struct TestRun {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }

    fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
        // SAFETY: the structures are laid out as the kernel's, as long as said, and the addresses in them are
        // of memory that outlives the call.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
    }

    /// Loads it.
    pub(super) fn load() -> io::Result<OwnedFd> {
        let mut attributes = Load {
            prog_type: BPF_PROG_TYPE_XDP,
            insn_cnt: 2,
            insns: PROGRAM.as_ptr() as u64,
            license: LICENSE.as_ptr() as u64,
        };
        let descriptor = bpf(BPF_PROG_LOAD, &mut attributes)?;
        // SAFETY: the kernel has just made it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    /// Runs it `repeat` times over a frame; nanoseconds a run.
    pub(super) fn run(program: &OwnedFd, frame: &[u8], repeat: u32) -> io::Result<u32> {
        let mut attributes = TestRun {
            prog_fd: program.as_raw_fd().cast_unsigned(),
            data_size_in: u32::try_from(frame.len()).map_err(io::Error::other)?,
            data_in: frame.as_ptr() as u64,
            repeat,
            ..TestRun::default()
        };
        bpf(BPF_PROG_TEST_RUN, &mut attributes)?;
        Ok(attributes.duration)
    }
}

use std::net::IpAddr;

use anyhow::{Context, Result};
use aya::{TestRun as _, TestRunOptions};
use ha_common::classify::{Verdict, classify, fingerprint};
use ha_common::time::Time;
use ha_common::types::{Family, Vrid};
use ha_userspace::xdp::{Adverts, Program, Slot, Travel};
use xdp_support::{advert, ethernet, ipv4, ipv6};

/// Frames for one path, and what must be in the maps for it.
struct Path {
    name: &'static str,
    frame: Vec<u8>,
    /// Whether the frame is the advert of the master that is followed.
    followed: bool,
    /// Whether the program changes the frame, so that each run needs a new one.
    once: bool,
}

fn paths() -> Vec<Path> {
    let v4 = |packet: &[u8]| ethernet(&[], 0x0800, packet);
    let v6 = |packet: &[u8]| ethernet(&[], 0x86dd, packet);
    let path = |name, frame| Path { name, frame, followed: false, once: false };
    let followed = |name, frame| Path { followed: true, ..path(name, frame) };
    // RFC 3768 with a password, as the tutorial's: 20 bytes.
    let mut v2 = advert(51, 100);
    v2[0] = 0x21;
    v2.extend(*b"1111\0\0\0\0");
    let long = [&advert(51, 100)[..], &[7; 254 * 4]].concat();
    vec![
        path("ordinary IPv4 frame (TCP, 1500 bytes)", v4(&ipv4(1, 6, &[], &[0; 1480]))),
        path("ordinary IPv6 frame (TCP, 1500 bytes)", v6(&ipv6(6, &[0; 1460]))),
        path("ARP", ethernet(&[], 0x0806, &[0; 46])),
        followed("advert of the followed master, stamped (v2, password)", v4(&ipv4(1, 112, &[], &v2))),
        followed("advert of the followed master, stamped (v3)", v4(&ipv4(1, 112, &[], &advert(51, 100)))),
        followed("advert of the followed master, stamped (v3, IPv6)", v6(&ipv6(112, &advert(51, 100)))),
        followed("advert with 255 addresses, stamped", v4(&ipv4(1, 112, &[], &long))),
        path("advert of an unknown virtual router", v4(&ipv4(1, 112, &[], &advert(99, 100)))),
        path("another advert: to user space, or over its limit", v4(&ipv4(1, 112, &[], &advert(52, 100)))),
    ]
}

const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
/// The frame of reference for paths that are run once for each frame: it contains reading the clock twice.
const NO_WORK_ONCE: &str = "no work, one run for each frame";
/// VRID 99 is left out.
const CONFIGURED: [u8; 2] = [51, 52];
const BATCHES: usize = 25;
const BATCH: u32 = 20_000;
/// Of runs with a new frame each. Few, because what answers frames does so within limits.
const BATCH_OF_ONES: u32 = 500;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let bare = bare::load().context("loading a BPF program: needs root")?;
    let frame = ethernet(&[], 0x0800, &ipv4(1, 6, &[], &[0; 1480]));
    for (name, once) in [("no work: a program that only returns", false), (NO_WORK_ONCE, true)] {
        print(name, once, &batches(once, |repeat| Ok(f64::from(bare::run(&bare, &frame, repeat)?)))?);
    }

    let mut program = Program::load(0, KEY, None)?;
    let adverts = program.adverts()?;
    let _events = program.events()?;
    for vrid in CONFIGURED.into_iter().filter_map(Vrid::new) {
        for family in [Family::V4, Family::V6] {
            adverts.configure(Slot::of(family, vrid), Some(Travel::Multicast));
        }
    }
    for path in paths() {
        let followed = if path.followed { Some(follow(&adverts, &path.frame)?) } else { None };
        let ns = batches(path.once, |repeat| {
            let mut options = TestRunOptions::new();
            options.data_in = Some(&path.frame);
            options.repeat = repeat;
            // The kernel reports the average of the runs.
            Ok(program.xdp()?.test_run(options)?.duration.as_nanos() as f64)
        })?;
        print(path.name, path.once, &ns);
        if let Some(slot) = followed {
            adverts.untrack(slot);
        }
    }
    Ok(())
}

/// The average of each batch. `run` does as many runs over one frame as it is told, and returns their average.
fn batches(once: bool, mut run: impl FnMut(u32) -> Result<f64>) -> Result<Vec<f64>> {
    let mut batch = || {
        if !once {
            return run(BATCH);
        }
        let total = (0..BATCH_OF_ONES).map(|_| run(1)).sum::<Result<f64>>()?;
        Ok((total / f64::from(BATCH_OF_ONES)).round())
    };
    (0..BATCHES).map(|_| batch()).collect()
}

/// Makes the program take `frame` for the advert of the master that is followed.
fn follow(adverts: &Adverts, frame: &[u8]) -> Result<Slot> {
    let Verdict::Vrrp(packet) = classify(frame, 0) else { anyhow::bail!("not an advert") };
    let slot = Slot::of(packet.family, packet.vrid);
    let ip = frame.get(packet.ip_at..packet.ip_at + packet.ip_len).context("no packet")?;
    adverts.track(slot, fingerprint(KEY, &packet, ip), Time(1), IpAddr::from([172, 16, 1, 1]));
    Ok(slot)
}

fn print(name: &str, once: bool, ns: &[f64]) {
    println!("{}", serde_json::json!({ "name": name, "ns": ns, "once": once }));
}
