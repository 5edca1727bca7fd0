//! Attaching the program: the modes, the order in which they are tried, and what can go wrong.

use std::io;

use aya::programs::links::FdLink;
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, XdpError};

use super::attached::Attached;
use super::facts::Facts;
use super::loader::{LoadError, Program};
use super::occupant;
use super::pins::Leftover;
use super::prospect::{Finding, Prospect, Why};
use super::tc::{self, Attachment};

/// There is no XDP on this interface; the caller receives through sockets.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Another xvrrp uses it.
    #[error(
        "{interface}: another xvrrp uses this interface (ps shows its --run-dir); one daemon can run both \
         configurations"
    )]
    Claimed {
        /// Interface.
        interface: String,
    },
    /// The configuration says so.
    #[error("{interface}: XDP is switched off by xdp_mode")]
    Off {
        /// Interface.
        interface: String,
    },
    /// The interface has gone.
    #[error("{interface}: no such interface")]
    NoInterface {
        /// Interface.
        interface: String,
    },
    /// Frames without Ethernet headers.
    #[error("{interface}: not an Ethernet interface, XDP is not used on it")]
    NotEthernet {
        /// Interface.
        interface: String,
    },
    /// XDP would see the wrong frames there.
    #[error("{interface}: {finding}; XDP is not used on it")]
    Unsuitable {
        /// Interface.
        interface: String,
        /// What it is about, and what to do.
        finding: Box<Finding>,
    },
    /// Another program is there.
    #[error(
        "{interface}: {occupant} is attached already and is left alone; detach it with `ip link set dev {interface} \
         xdp off` (or `bpftool link detach`), or set `xdp_mode off` to silence this message"
    )]
    Busy {
        /// Interface.
        interface: String,
        /// What is known of the other program.
        occupant: String,
    },
    /// The kernel lets us load programs, but not attach them.
    #[error("{interface}: no permission to attach a program; run as root or with CAP_BPF and CAP_NET_ADMIN")]
    Permission {
        /// Interface.
        interface: String,
    },
    /// The program cannot be loaded.
    #[error("{interface}: {source}")]
    Load {
        /// Interface.
        interface: String,
        /// Why.
        source: Box<LoadError>,
    },
    /// The kernel or the driver refuses.
    #[error("{interface}: cannot attach the program in {mode} mode: {reason}", mode = mode.word())]
    Refused {
        /// Interface.
        interface: String,
        /// In which mode.
        mode: Attached,
        /// What the kernel says.
        reason: String,
    },
}

/// Why XDP is not even tried, where it is not.
pub(super) fn refusal(facts: &Facts, prospect: &Prospect) -> Option<AttachError> {
    let finding = prospect.refusal()?;
    let interface = facts.interface.clone();
    Some(match finding.why {
        Why::Off => AttachError::Off { interface },
        Why::NotEthernet => AttachError::NotEthernet { interface },
        Why::Busy => AttachError::Busy {
            interface,
            occupant: facts
                .programs
                .iter()
                .find(|program| !program.is_ours())
                .map_or_else(|| "another XDP program".to_owned(), ToString::to_string),
        },
        _ => AttachError::Unsuitable { interface, finding: Box::new(finding.clone()) },
    })
}

pub(super) fn no_driver(name: &str, error: &io::Error) -> AttachError {
    match error.raw_os_error() {
        Some(libc::ENODEV) => AttachError::NoInterface { interface: name.to_owned() },
        _ => AttachError::Refused {
            interface: name.to_owned(),
            mode: Attached::Generic,
            reason: format!("its driver cannot be asked: {error}"),
        },
    }
}

/// Attaches in the first mode that works. The reasons against the others go to `notes`.
pub(super) fn attach_in_order(
    name: &str,
    ifindex: u32,
    attempts: &[Attached],
    tcx: bool,
    program: &mut Program,
    notes: &mut Vec<String>,
) -> Result<(Attached, Attachment), AttachError> {
    let mut last = AttachError::Off { interface: name.to_owned() };
    for &mode in attempts {
        let before = occupant::carrier(ifindex);
        let attached = match mode {
            Attached::Tc => attach_tc(name, ifindex, tcx, program),
            Attached::Native | Attached::Generic => attach_once(name, ifindex, mode, program),
        };
        match attached {
            Ok(link) => {
                notes.extend(cost(before, occupant::carrier(ifindex)).map(|cost| format!("{name}: {cost}")));
                return Ok((mode, link));
            }
            // The other mode would meet the same.
            Err(
                error @ (AttachError::Busy { .. }
                | AttachError::Permission { .. }
                | AttachError::NoInterface { .. }),
            ) => {
                return Err(error);
            }
            Err(error) => {
                if attempts.len() > 1 && mode == Attached::Native {
                    notes.push(error.to_string());
                }
                last = error;
            }
        }
    }
    Err(last)
}

/// What attaching did to the link, from its losses of carrier and its carrier before and after.
fn cost(before: Option<(u32, bool)>, after: Option<(u32, bool)>) -> Option<&'static str> {
    match (before?, after?) {
        ((before, true), (after, up)) if after != before => Some(if up {
            "attaching took its carrier away for an instant"
        } else {
            "attaching took its link down; `xdp_mode generic` avoids that"
        }),
        _ => None,
    }
}

fn attach_once(
    name: &str,
    ifindex: u32,
    mode: Attached,
    program: &mut Program,
) -> Result<Attachment, AttachError> {
    let interface = || name.to_owned();
    let refused = |reason| AttachError::Refused { interface: interface(), mode, reason };
    let xdp = program
        .xdp()
        .map_err(|error| AttachError::Load { interface: interface(), source: Box::new(error) })?;
    let link =
        xdp.attach_to_if_index(ifindex, mode.aya()).and_then(|id| xdp.take_link(id)).map_err(|error| {
            match os_error(&error) {
                Some(libc::EBUSY | libc::EEXIST) => AttachError::Busy {
                    interface: interface(),
                    occupant: occupant::find(ifindex)
                        .map_or_else(|| "another XDP program".to_owned(), |occupant| occupant.to_string()),
                },
                Some(libc::EPERM | libc::EACCES) => AttachError::Permission { interface: interface() },
                // To make a link on a card that has gone is EINVAL.
                _ if is_gone(ifindex) => AttachError::NoInterface { interface: interface() },
                Some(libc::EOPNOTSUPP) => refused("the driver does not support it".to_owned()),
                _ => refused(error.to_string()),
            }
        })?;
    FdLink::try_from(link).map(Attachment::Link).map_err(|error| refused(error.to_string()))
}

/// Into traffic control.
fn attach_tc(name: &str, ifindex: u32, tcx: bool, program: &mut Program) -> Result<Attachment, AttachError> {
    let interface = || name.to_owned();
    let classifier = program
        .tc()
        .map_err(|error| AttachError::Load { interface: interface(), source: Box::new(error) })?;
    tc::attach(classifier, name, ifindex, tcx).map_err(|error| match tc::errno(&error) {
        Some(libc::EPERM | libc::EACCES) => AttachError::Permission { interface: interface() },
        Some(libc::ENODEV) => AttachError::NoInterface { interface: interface() },
        _ => AttachError::Refused { interface: interface(), mode: Attached::Tc, reason: error.to_string() },
    })
}

fn is_gone(ifindex: u32) -> bool {
    // nix 0.31 says an empty name where the interface is gone.
    nix::net::if_::if_indextoname(ifindex).map_or(true, |name| name.is_empty())
}

fn os_error(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::XdpError(XdpError::NetlinkError(error)) => error.raw_os_error(),
        _ => None,
    }
}

/// Puts the program in the place of the one that an earlier run left, without a moment between them.
pub(super) fn replace(
    name: &str,
    ifindex: u32,
    program: &mut Program,
    leftover: Leftover,
) -> Result<Attachment, AttachError> {
    let interface = || name.to_owned();
    let refused = |mode, reason| AttachError::Refused { interface: interface(), mode, reason };
    let in_xdp = |reason: String| refused(Attached::Generic, reason);
    let in_tc = |error: ProgramError| refused(Attached::Tc, error.to_string());
    let missing = |error| AttachError::Load { interface: interface(), source: Box::new(error) };
    match leftover {
        Leftover::Xdp(link) => {
            let xdp = program.xdp().map_err(missing)?;
            let link = XdpLink::try_from(link).map_err(|error| in_xdp(error.to_string()))?;
            let link = xdp
                .attach_to_link(link)
                .and_then(|id| xdp.take_link(id))
                .map_err(|error| in_xdp(error.to_string()))?;
            FdLink::try_from(link).map(Attachment::Link).map_err(|error| in_xdp(error.to_string()))
        }
        Leftover::Tcx(link) => {
            tc::replace_link(program.tc().map_err(missing)?, link).map(Attachment::Link).map_err(in_tc)
        }
        Leftover::Filter { made_qdisc } => {
            tc::replace_filter(program.tc().map_err(missing)?, name, ifindex, made_qdisc)
                .map(Attachment::Filter)
                .map_err(in_tc)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_has_gone_is_known() {
        assert!(is_gone(u32::MAX / 2));
        assert!(!is_gone(nix::net::if_::if_nametoindex("lo").unwrap()));
    }

    #[test]
    fn what_attaching_costs_is_seen_from_the_carrier() {
        assert_eq!(cost(Some((3, true)), Some((3, true))), None);
        assert!(cost(Some((3, true)), Some((4, false))).is_some_and(|cost| cost.contains("link down")));
        assert!(cost(Some((3, true)), Some((4, true))).is_some_and(|cost| cost.contains("instant")));
        // It was down before; the kernel does not tell.
        assert_eq!(cost(Some((3, false)), Some((4, false))), None);
        assert_eq!(cost(None, Some((4, false))), None);
    }
}
