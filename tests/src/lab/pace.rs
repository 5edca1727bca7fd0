//! A reference for times: how long the machine holds up what every router has to do.
//!
//! A machine with other work, or one that its host stops now and then, delays the best daemon. A bound that allows
//! for the worst machine shows nothing on a good one. So a thread does once a millisecond what a takeover does, in a
//! network namespace of its own: it wakes up, changes an address through netlink, sends a packet and receives it. It
//! has a higher priority than any daemon, so that no daemon can excuse itself. What it needs beyond the usual is what
//! the machine took, and what a test may add to the time that it expects.
//!
//! Another thread does the same for ordinary work, which starting a program, a script and most of a test are: it only
//! wakes up, with no priority.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

use super::{Moment, sys};

/// Above the daemons (51 and 52), below [`super::stall`]'s watchers.
const PRIORITY: i32 = 55;
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(1);
/// A round takes some tens of microseconds. One that takes longer than this was held up, for all of its time.
const USUAL: Duration = Duration::from_micros(500);
/// So many of the newest rounds that were held up are remembered: minutes on a very busy machine.
const MEMORY: usize = 100_000;
/// Without an answer for so long, nothing more is measured.
const PATIENCE: Duration = Duration::from_secs(5);

/// A thread without priority that wakes up later than this waits behind other work.
const WAITS: Duration = Duration::from_millis(10);

/// When a round was due and when it ended.
type Rounds = Mutex<VecDeque<(Moment, Moment)>>;

/// Rounds that were held up, oldest first.
static HELD_UP: Rounds = Mutex::new(VecDeque::new());
/// The same of ordinary work.
static STARVED: Rounds = Mutex::new(VecDeque::new());
static START: Once = Once::new();

/// Whether times are judged here: peers that only play a part then have the processor before ordinary work.
pub(super) fn is_watched() -> bool {
    START.is_completed()
}

/// Starts to measure, if that has not been done. Where it cannot be (no root), nothing is ever held up.
pub fn watch_pace() {
    START.call_once(|| {
        let thread = std::thread::Builder::new().name("lab-pace".to_owned());
        let _no_reference = thread.spawn(|| {
            if let Err(error) = measure() {
                eprintln!("note: nothing is known of this machine's pace: {error:#}");
            }
        });
        let thread = std::thread::Builder::new().name("lab-ordinary".to_owned());
        let _no_reference = thread.spawn(|| {
            loop {
                let due = Moment::now().plus(PAUSE);
                std::thread::sleep(PAUSE);
                remember(&STARVED, due, Moment::now(), WAITS);
            }
        });
    });
}

fn remember(rounds: &Rounds, due: Moment, end: Moment, usual: Duration) {
    if end.since(due) > usual {
        let mut rounds = rounds.lock().unwrap_or_else(PoisonError::into_inner);
        rounds.push_back((due, end));
        if rounds.len() > MEMORY {
            rounds.pop_front();
        }
    }
}

/// How much of the time between two moments the machine held up whoever had something to do.
#[must_use]
pub fn held_up(from: Moment, to: Moment) -> Duration {
    let rounds = HELD_UP.lock().unwrap_or_else(PoisonError::into_inner);
    overlap(rounds.iter().rev(), from, to)
}

/// How much of the time between two moments ordinary work waited for a processor.
#[must_use]
pub fn starved(from: Moment, to: Moment) -> Duration {
    let rounds = STARVED.lock().unwrap_or_else(PoisonError::into_inner);
    overlap(rounds.iter().rev(), from, to)
}

/// The part of `from` to `to` that the rounds, newest first, cover.
fn overlap<'a>(rounds: impl Iterator<Item = &'a (Moment, Moment)>, from: Moment, to: Moment) -> Duration {
    rounds.take_while(|(_, end)| *end > from).map(|(due, end)| (*end).min(to).since((*due).max(from))).sum()
}

fn measure() -> Result<()> {
    // This thread alone.
    unshare(CloneFlags::CLONE_NEWNET).context("a network namespace")?;
    let netlink = Netlink::open()?;
    netlink.ask(&link_up())?;
    let packets = UdpSocket::bind("127.0.0.1:0").context("a socket on the loopback interface")?;
    packets.connect(packets.local_addr()?)?;
    packets.set_read_timeout(Some(PATIENCE))?;
    sys::realtime_thread(PRIORITY).context("real-time scheduling")?;
    loop {
        let due = Moment::now().plus(PAUSE);
        std::thread::sleep(PAUSE);
        netlink.ask(&address())?;
        packets.send(&[0])?;
        packets.recv(&mut [0])?;
        remember(&HELD_UP, due, Moment::now(), USUAL);
    }
}

/// A route netlink socket (rtnetlink(7)).
struct Netlink(OwnedFd);

impl Netlink {
    fn open() -> Result<Self> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).context("binding a netlink socket")?;
        Ok(Self(fd))
    }

    /// Sends a request and waits for the kernel's word on it.
    fn ask(&self, request: &[u8]) -> Result<()> {
        send(self.0.as_raw_fd(), request, MsgFlags::empty())?;
        let mut answer = [0; 1024];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // NLMSG_ERROR: a header of 16 bytes, then a negative error number or 0.
        let error = answer.get(16..20).filter(|_| length >= 20).and_then(|bytes| bytes.try_into().ok());
        let error = i32::from_ne_bytes(error.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?);
        ensure!(error == 0, "netlink: {}", Error::from_raw_os_error(-error));
        Ok(())
    }
}

/// `ip link set lo up`: RTM_NEWLINK with struct ifinfomsg.
fn link_up() -> Vec<u8> {
    let up = libc::IFF_UP.to_ne_bytes();
    let body = [&[0; 4][..], &LOOPBACK.to_ne_bytes(), &up, &up].concat();
    message(libc::RTM_NEWLINK, 0, &body)
}

/// `ip addr replace 127.9.9.9/32 dev lo`: RTM_NEWADDR with struct ifaddrmsg and IFA_LOCAL.
fn address() -> Vec<u8> {
    const IFA_LOCAL: u16 = libc::IFA_LOCAL;
    let family = u8::try_from(libc::AF_INET).unwrap_or(0);
    let attribute = [&8_u16.to_ne_bytes()[..], &IFA_LOCAL.to_ne_bytes(), &[127, 9, 9, 9]].concat();
    let body = [&[family, 32, 0, 0][..], &LOOPBACK.to_ne_bytes(), &attribute].concat();
    message(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body)
}

/// The loopback interface's index is 1 in every network namespace.
const LOOPBACK: i32 = 1;

/// A request with its header (netlink(7)) that is to be acknowledged.
fn message(kind: u16, flags: libc::c_int, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap_or(0);
    let flags = u16::try_from(flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK).unwrap_or(0);
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_the_moments_counts() {
        let at = |ms| Moment::from_boot().plus(Duration::from_millis(ms));
        let rounds = [(at(10), at(20)), (at(30), at(31)), (at(40), at(50))];
        let between = |from, to| overlap(rounds.iter().rev(), at(from), at(to)).as_millis();
        assert_eq!(between(0, 100), 21);
        assert_eq!(between(15, 45), 11);
        assert_eq!(between(12, 14), 2);
        assert_eq!(between(20, 30), 0);
        assert_eq!(between(60, 70), 0);
    }

    #[test]
    fn requests_are_what_the_kernel_reads() {
        let length =
            |bytes: &[u8]| usize::try_from(u32::from_ne_bytes(bytes[..4].try_into().unwrap())).unwrap();
        for (request, wanted) in [(link_up(), 32), (address(), 32)] {
            assert_eq!((length(&request), request.len()), (wanted, wanted));
        }
    }
}
