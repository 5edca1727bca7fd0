//! What the tests of the XDP program share: the permission check, throwaway namespaces, frames.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod program;
pub(crate) mod raw;

use std::cell::Cell;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, ExitCode};

use ha_common::checksum::Sum;
use ha_userspace::xdp::{LoadError, Program, Variant};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// A test by name. It runs in a thread, a network namespace and a mount namespace of its own.
pub(crate) type Test = (&'static str, fn());

thread_local! {
    static VARIANT: Cell<Variant> = const { Cell::new(Variant::MultiBuffer) };
}

/// The build of the program that the test which runs in this thread is about.
pub(crate) fn variant() -> Variant {
    VARIANT.get()
}

/// Runs the tests; without the rights for them, each is reported as ignored with the reason.
pub(crate) fn main(tests: &[Test]) -> ExitCode {
    run_all(tests.iter().map(|&(name, test)| (name.to_owned(), Variant::MultiBuffer, test)))
}

/// The same for every build of the program, which a test gets from [`variant`].
pub(crate) fn main_for_variants(tests: &[Test]) -> ExitCode {
    run_all(Variant::ALL.iter().flat_map(|&variant| {
        tests.iter().map(move |&(name, test)| (format!("{}::{name}", variant.word()), variant, test))
    }))
}

fn run_all(tests: impl Iterator<Item = (String, Variant, fn())>) -> ExitCode {
    let missing = missing();
    let trials = tests
        .map(|(name, variant, test)| {
            let trial = Trial::test(name, move || isolated(variant, test));
            match &missing {
                None => trial,
                Some(reason) => trial.with_ignored_flag(true).with_kind(reason.clone()),
            }
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Why the tests cannot run here.
fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    // Any other refusal is a failure, and the tests show it.
    match Program::load(0, [0, 0], None) {
        Err(error @ LoadError::Permission) => Some(error.to_string()),
        _ => None,
    }
}

/// Runs a test in new namespaces, which end with its thread.
fn isolated(variant: Variant, test: fn()) -> Result<(), Failed> {
    let run = move || {
        VARIANT.set(variant);
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("new namespaces");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .expect("mounts stay here");
        test();
    };
    std::thread::spawn(run).join().map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failed::from(text.unwrap_or_default())
    })
}

/// Runs a command to its end and returns its output.
pub(crate) fn run(command: &str) -> String {
    let mut words = command.split(' ');
    let program = words.next().expect("a program");
    let output =
        Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes a veth pair `ens160` and `far`, both up and silent.
pub(crate) fn veth() -> u32 {
    run("ip link add ens160 type veth peer name far");
    // Neighbour discovery would send frames of its own.
    for name in ["ens160", "far"] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").expect("no IPv6");
        run(&format!("ip link set {name} up"));
    }
    nix::net::if_::if_nametoindex("ens160").expect("just made")
}

/// A packet socket that sends frames from one interface.
pub(crate) struct Sender(OwnedFd);

impl Sender {
    /// For the interface `name`.
    #[expect(unsafe_code, reason = "packet sockets have no safe interface")]
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let name = CString::new(name)?;
        // SAFETY: plain system calls; the structure is all zeros but for the fields set, and as long as said.
        unsafe {
            let descriptor = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            let socket = OwnedFd::from_raw_fd(descriptor);
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            address.sll_family = u16::try_from(libc::AF_PACKET).expect("a small constant");
            address.sll_ifindex = libc::if_nametoindex(name.as_ptr()).cast_signed();
            let length = u32::try_from(size_of_val(&address)).expect("a small structure");
            if libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self(socket))
        }
    }

    /// From now on the socket receives what comes in on the interface.
    #[expect(unsafe_code, reason = "packet sockets have no safe interface")]
    pub(crate) fn receive_all(&self) {
        let protocol = u16::try_from(libc::ETH_P_ALL).expect("a small constant").to_be();
        let timeout = libc::timeval { tv_sec: 0, tv_usec: 5_000 };
        // SAFETY: plain system calls; the structures are as long as said.
        unsafe {
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            let mut length = u32::try_from(size_of_val(&address)).expect("a small structure");
            let socket = self.0.as_raw_fd();
            assert_eq!(libc::getsockname(socket, (&raw mut address).cast(), &raw mut length), 0);
            address.sll_protocol = protocol;
            let length = u32::try_from(size_of_val(&address)).expect("a small structure");
            assert_eq!(libc::bind(socket, (&raw const address).cast(), length), 0);
            let length = u32::try_from(size_of_val(&timeout)).expect("a small structure");
            let option = (&raw const timeout).cast();
            assert_eq!(libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, option, length), 0);
        }
    }

    /// The next frame, `None` where there is none within some milliseconds.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 2048];
        let len = nix::unistd::read(&self.0, &mut frame).ok()?;
        frame.truncate(len);
        Some(frame)
    }

    /// Sends one frame.
    pub(crate) fn send(&self, frame: &[u8]) {
        assert_eq!(nix::unistd::write(&self.0, frame), Ok(frame.len()));
    }
}

/// An Ethernet frame to the multicast address of VRRP.
pub(crate) fn ethernet(tags: &[(u16, u16)], ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x01, 0x00, 0x5e, 0x00, 0x00, 0x12, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x33];
    for (tag, vid) in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend(vid.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(packet);
    frame
}

/// An IPv4 packet from 172.16.1.`host` to 224.0.0.18.
pub(crate) fn ipv4(host: u8, protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let [high, low] = u16::try_from(header_len + payload.len()).expect("fits").to_be_bytes();
    let first = 0x40 | u8::try_from(header_len / 4).expect("fits");
    let mut packet = vec![first, 0xc0, high, low, 0, 1, 0, 0, 255, protocol, 0, 0, 172, 16, 1, host];
    packet.extend([224, 0, 0, 18]);
    packet.extend(options);
    let sum = Sum::new().with(&packet).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// An IPv6 packet from fe80::1 to ff02::12.
pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).expect("fits").to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, next, 255];
    packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12]);
    packet.extend(payload);
    packet
}

/// A VRRPv3 advert, as a PDU without a checksum.
pub(crate) fn advert(vrid: u8, priority: u8) -> Vec<u8> {
    vec![0x31, vrid, priority, 1, 0, 100, 0, 0, 172, 16, 1, 25]
}
