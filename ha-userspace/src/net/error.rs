//! What an operator is told when the kernel refuses something: thing, place, cause, next step.

use nix::errno::Errno;

/// The interface's name at the moment, or its number when it is gone: for messages only.
pub(super) fn interface_name(ifindex: u32) -> String {
    match nix::net::if_::if_indextoname(ifindex) {
        Ok(name) if !name.is_empty() => name.to_string_lossy().into_owned(),
        // nix 0.31 says an empty name where the interface is gone.
        _ => format!("number {ifindex}"),
    }
}

/// A socket that could not be made ready.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} for {thing}: {source}{}", hint(.source))]
pub struct SocketError {
    /// What the socket is for, with its interface.
    pub thing: String,
    /// The step that failed.
    pub step: &'static str,
    /// The kernel's answer.
    #[source]
    pub source: std::io::Error,
}

impl SocketError {
    /// For `map_err`: names the step once the thing is known.
    pub(super) fn at<E: Into<std::io::Error>>(thing: &str, step: &'static str) -> impl FnOnce(E) -> Self {
        let thing = thing.to_owned();
        move |source| Self { thing, step, source: source.into() }
    }

    /// The kernel's error number.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.source.raw_os_error().map(Errno::from_raw)
    }
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => {
            "; run as root or give the daemon CAP_NET_RAW and CAP_NET_ADMIN"
        }
        Some(Errno::ENODEV | Errno::ENXIO) => {
            "; the interface is gone, the socket is made again when it is back"
        }
        Some(Errno::EMFILE | Errno::ENFILE) => {
            "; raise the limit of open files (LimitNOFILE= of the service)"
        }
        Some(Errno::EAFNOSUPPORT) => "; the kernel has this address family switched off",
        Some(Errno::ENOBUFS) => {
            "; too many multicast groups or too little memory (net.ipv4.igmp_max_memberships)"
        }
        _ => "",
    }
}

/// A packet that the kernel did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packet not sent: {}{}", errno.desc(), send_hint(*errno))]
pub struct SendFailure<T> {
    /// What the caller queued the packet as.
    pub tag: T,
    /// The kernel's answer.
    pub errno: Errno,
}

fn send_hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM => "; a local firewall rule (nftables OUTPUT) drops it, allow protocol 112",
        Errno::ENETDOWN | Errno::ENXIO | Errno::ENODEV => "; the interface is down or gone",
        Errno::ENETUNREACH | Errno::EHOSTUNREACH => {
            "; there is no route to the peer through this interface, or no address of this family on it"
        }
        Errno::ENOBUFS | Errno::EAGAIN => "; the interface's queue is full (ip -s link, tc -s qdisc)",
        Errno::EMSGSIZE => "; it is longer than the MTU, move addresses to virtual_ipaddress_excluded",
        Errno::EADDRNOTAVAIL | Errno::EINVAL => "; the source address does not suit the interface",
        _ => "",
    }
}
