//! One daemon per interface: who has an interface's program, pins and fence holds its claim.
//!
//! The claim is a listening socket with an abstract name. Such names belong to the network namespace, as interfaces
//! do, and go with the process that holds them, however it ends; a file would do neither. The pins cannot tell a
//! daemon that died from one that runs with another run directory, so without a claim a second daemon would take
//! over the program of the first.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

/// What comes before the interface in a name.
const PREFIX: &str = "xvrrp/interface/";
/// How often, and how long apart, it is looked whether the holder of a name listens.
const ATTEMPTS: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(1);

/// The claim to an interface; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    /// `None` where somebody else than a daemon has taken the name, which must not keep anybody from using XDP.
    _socket: Option<UnixListener>,
}

impl Claim {
    /// Claims `interface`; `None` where another daemon has it.
    pub(super) fn of(interface: &str) -> io::Result<Option<Self>> {
        let name = SocketAddr::from_abstract_name(format!("{PREFIX}{interface}"))?;
        match UnixListener::bind_addr(&name) {
            Ok(socket) => Ok(Some(Self { _socket: Some(socket) })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Ok((!is_daemon(&name, interface)).then_some(Self { _socket: None }))
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the holder of the name is another daemon: it listens, and is root or runs as we do. Whoever has merely bound
/// the name does not listen; whoever listens may have a full queue, so that nobody is asked who cannot be.
fn is_daemon(name: &SocketAddr, interface: &str) -> bool {
    let asked = || -> io::Result<u32> {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM.nonblocking(), None)?;
        socket.connect(&socket2::SockAddr::unix(abstract_path(name))?)?;
        Ok(getsockopt(&socket, PeerCredentials)?.uid())
    };
    for _ in 0..ATTEMPTS {
        match asked() {
            Ok(uid) => return is_trusted(uid),
            // Nobody listens; a daemon that has bound its name a moment ago will.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::thread::sleep(BETWEEN);
            }
            // Too many have asked, and it never accepts.
            Err(_) => return holders(interface).is_none_or(|uids| uids.into_iter().any(is_trusted)),
        }
    }
    false
}

/// In the form of socket2: an abstract name begins with a zero byte.
fn abstract_path(name: &SocketAddr) -> OsString {
    let mut bytes = vec![0];
    bytes.extend_from_slice(name.as_abstract_name().unwrap_or_default());
    OsString::from_vec(bytes)
}

fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

/// The users whose processes have the socket of the name open, by /proc; `None` where none is found: it is in another
/// PID namespace.
fn holders(interface: &str) -> Option<Vec<u32>> {
    let sockets = fs::read_to_string("/proc/thread-self/net/unix").ok()?;
    let name = format!("@{PREFIX}{interface}");
    // `Num RefCount Protocol Flags Type St Inode Path`; the queue's connections have the name as well.
    let of_name = sockets.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        (words.get(7) == Some(&name.as_str())).then(|| PathBuf::from(format!("socket:[{}]", words[6])))
    });
    let of_name: Vec<_> = of_name.collect();
    let processes = fs::read_dir("/proc").ok()?.flatten().filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let holds = |process: &Path| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| of_name.contains(&target))
    };
    let uids: Vec<_> = processes
        .filter(|process| holds(&process.path()))
        .filter_map(|process| Some(process.metadata().ok()?.uid()))
        .collect();
    (!uids.is_empty()).then_some(uids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_one_claim_at_a_time() {
        let name = format!("test-{}", std::process::id());
        let first = Claim::of(&name).unwrap();
        assert!(first.is_some());
        assert!(Claim::of(&name).unwrap().is_none());
        assert!(Claim::of(&format!("{name}-other")).unwrap().is_some());
        drop(first);
        assert!(Claim::of(&name).unwrap().is_some());
    }

    fn address(interface: &str) -> SocketAddr {
        SocketAddr::from_abstract_name(format!("{PREFIX}{interface}")).unwrap()
    }

    #[test]
    fn a_name_that_is_bound_and_not_listened_to_is_no_claim() {
        let name = format!("bound-{}", std::process::id());
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(abstract_path(&address(&name))).unwrap()).unwrap();
        assert!(Claim::of(&name).unwrap().is_some());
    }

    #[test]
    fn a_full_queue_keeps_nobody_waiting() {
        let name = format!("full-{}", std::process::id());
        let to = socket2::SockAddr::unix(abstract_path(&address(&name))).unwrap();
        let new = || socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM.nonblocking(), None);
        let holder = new().unwrap();
        holder.bind(&to).unwrap();
        holder.listen(0).unwrap();
        while new().unwrap().connect(&to).is_ok() {}
        // This process runs as we do.
        assert!(Claim::of(&name).unwrap().is_none());
        assert_eq!(holders(&name), Some(vec![nix::unistd::geteuid().as_raw()]));
        drop(holder);
        assert_eq!(holders(&name), None);
    }
}
