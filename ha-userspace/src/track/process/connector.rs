//! The kernel's process connector: a netlink socket that tells of every fork, exec and change of a name.
//!
//! It exists in the first network namespace only, and speaks to processes of the first PID namespace only. A daemon
//! in a network namespace of its own opens the socket through that of the first processes; one in a container has none, and
//! its processes are looked for at intervals instead (see [`super`]).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use super::event::{self, CONNECTOR, Event};

/// NETLINK_CONNECTOR (linux/netlink.h).
const PROTOCOL: isize = 11;
/// Room for a burst of some ten thousand forks.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Network namespaces of init and of the kernel's own first thread.
const FIRST_PROCESSES: [&str; 2] = ["/proc/1/ns/net", "/proc/2/ns/net"];
/// NLMSG_DONE, PROC_CN_MCAST_LISTEN.
const DONE: u16 = 3;
const LISTEN: u32 = 1;
/// Longer datagrams are none of the kernel's.
const LONGEST: usize = 256;

/// An open connector, not blocking.
#[derive(Debug)]
pub(super) struct Connector {
    socket: Socket,
}

/// What there is to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Event(Event),
    /// Something of no interest.
    Other,
    /// The socket overflowed: everything is to be looked at anew.
    Lost,
    /// Nothing more for now.
    Nothing,
}

impl AsFd for Connector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Connector {
    /// Opens it, in this network namespace or in the first.
    ///
    /// # Errors
    /// The kernel has none, or none for this process: no root, or a container.
    pub(super) fn open() -> io::Result<Self> {
        match Self::here(RECEIVE_BUFFER) {
            Err(error) if is_elsewhere(&error) => {
                // A thread of its own: it cannot go back without a right that it may not have.
                let thread = std::thread::Builder::new().name("xvrrp-netns".to_owned()).spawn(|| {
                    let first = FIRST_PROCESSES.iter().find_map(|path| File::open(path).ok());
                    setns(first.ok_or(io::ErrorKind::PermissionDenied)?, CloneFlags::CLONE_NEWNET)?;
                    Self::here(RECEIVE_BUFFER)
                })?;
                thread.join().unwrap_or(Err(error))
            }
            opened => opened,
        }
    }

    /// Opens it in this network namespace.
    pub(super) fn here(receive_buffer: usize) -> io::Result<Self> {
        let mut socket = Socket::new(PROTOCOL)?;
        socket.set_non_blocking(true)?;
        let option = socket2::SockRef::from(&socket);
        // Beyond the system's limit where that is allowed.
        let forced =
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &receive_buffer);
        if forced.is_err() {
            option.set_recv_buffer_size(receive_buffer)?;
        }
        socket.bind(&SocketAddr::new(0, CONNECTOR.0))?;
        let kernel = SocketAddr::new(0, 0);
        // Kernels before 6.6 do not know the second form, and ignore it.
        for words in [&[LISTEN][..], &[LISTEN, event::WANTED]] {
            socket.send_to(&request(words), &kernel, 0)?;
        }
        Ok(Self { socket })
    }

    /// Reads one datagram.
    ///
    /// # Errors
    /// The socket is of no use any more.
    pub(super) fn read(&self) -> io::Result<Heard> {
        let mut buffer = Vec::with_capacity(LONGEST);
        match self.socket.recv_from(&mut buffer, 0) {
            // Whoever may send to this group may do worse; but it is the kernel that is asked.
            Ok((_, from)) if from.port_number() != 0 => Ok(Heard::Other),
            Ok(_) => Ok(event::decode(&buffer).map_or(Heard::Other, Heard::Event)),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EAGAIN | Errno::EINTR) => Ok(Heard::Nothing),
                Some(Errno::ENOBUFS) => Ok(Heard::Lost),
                _ => Err(error),
            },
        }
    }
}

fn is_elsewhere(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ECONNREFUSED | Errno::EPROTONOSUPPORT))
}

/// A netlink message with a connector message with words for the process connector.
fn request(words: &[u32]) -> Vec<u8> {
    let body = words.len() * 4;
    let body_length = u16::try_from(body).unwrap_or(0);
    let total = u32::try_from(16 + 20 + body).unwrap_or(0);
    let mut message = Vec::new();
    message.extend(total.to_ne_bytes());
    message.extend(DONE.to_ne_bytes());
    message.extend([0; 10]);
    message.extend(CONNECTOR.0.to_ne_bytes());
    message.extend(CONNECTOR.1.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body_length.to_ne_bytes());
    message.extend([0; 2]);
    message.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    message
}
