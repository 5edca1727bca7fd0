//! One daemon per interface: who has an interface's program, pins and fence holds its claim.
//!
//! The claim is a listening socket with an abstract name. Such names belong to the network namespace, as interfaces
//! do, and go with the process that holds them, however it ends; a file would do neither. The pins cannot tell a
//! daemon that died from one that runs with another run directory, so without a claim a second daemon would take
//! over the program of the first.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

/// The claim to an interface; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    /// `None` where a process without privileges has taken the name, which must not keep anybody from using XDP.
    _socket: Option<UnixListener>,
}

impl Claim {
    /// Claims `interface`; `None` where another daemon has it.
    pub(super) fn of(interface: &str) -> io::Result<Option<Self>> {
        let name = SocketAddr::from_abstract_name(format!("xvrrp/interface/{interface}"))?;
        match UnixListener::bind_addr(&name) {
            Ok(socket) => Ok(Some(Self { _socket: Some(socket) })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Ok((!is_privileged(&name)).then_some(Self { _socket: None }))
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the holder of the name is root, or runs as we do.
fn is_privileged(name: &SocketAddr) -> bool {
    let holder =
        UnixStream::connect_addr(name).and_then(|stream| Ok(getsockopt(&stream, PeerCredentials)?.uid()));
    match holder {
        Ok(uid) => uid == 0 || uid == nix::unistd::geteuid().as_raw(),
        // It does not accept: too many have asked. Nobody else would ask.
        Err(_) => true,
    }
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
}
