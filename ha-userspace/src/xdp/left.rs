//! What the programs of a daemon that is gone still do, read from their pins: for `xvrrp status` without a daemon, and for
//! the first lines of the next run.

use std::net::IpAddr;
use std::path::Path;

use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

use super::Lease;
use super::pins::{left_lease, left_vips, pinned};

/// A program that nobody runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftProgram {
    /// On which interface.
    pub interface: String,
    /// Since when nobody vouches for it.
    pub over_for: Span,
    /// Replies say that this node is master for these.
    pub masters: Vec<(Family, Vrid)>,
    /// Of these, another router has taken over.
    pub superseded: Vec<(Family, Vrid)>,
    /// The fence is closed: a router that probes takes the addresses for free.
    pub closed: bool,
    /// Since when nobody has probed; `None` for never.
    pub probed: Option<Span>,
}

/// A virtual address that a backup had behind its fence (`hot_standby`), and the program keeps silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftStandby {
    /// On which interface.
    pub interface: String,
    /// Index of that.
    pub ifindex: u32,
    /// Whose it is.
    pub router: (Family, Vrid),
    /// The address.
    pub address: IpAddr,
}

impl LeftStandby {
    /// The index of the interface, and the address.
    #[must_use]
    pub const fn place(&self) -> (u32, IpAddr) {
        (self.ifindex, self.address)
    }
}

/// The addresses that only programs keep silent which are pinned for interfaces of this network namespace. Whoever detaches
/// one removes them first.
#[must_use]
pub fn left_standbys(bpffs: &Path) -> Vec<LeftStandby> {
    let mut found = Vec::new();
    for interface in pinned(bpffs) {
        let Ok(ifindex) = nix::net::if_::if_nametoindex(interface.as_str()) else { continue };
        let Some(lease) = left_lease(bpffs, &interface).filter(Lease::any_standby) else { continue };
        let Some(vips) = left_vips(bpffs, &interface) else { continue };
        for (address, slot) in vips.iter() {
            let Some(vrid) = Vrid::new(slot.vrid) else { continue };
            let router = (slot.family(), vrid);
            if lease.is_standby(router.0, router.1) {
                found.push(LeftStandby { interface: interface.clone(), ifindex, router, address });
            }
        }
    }
    found
}

/// The programs that are pinned for interfaces of this network namespace, whose lease has run out. Nothing is changed.
#[must_use]
pub fn left(bpffs: &Path, now: Time) -> Vec<LeftProgram> {
    let here = |name: &String| nix::net::if_::if_nametoindex(name.as_str()).is_ok();
    let names: Vec<String> = pinned(bpffs).into_iter().filter(here).collect();
    let lease = |name: String| left_lease(bpffs, &name).map(|lease| (name, lease));
    names.into_iter().filter_map(lease).filter_map(|(name, lease)| look(name, &lease, now)).collect()
}

fn look(interface: String, lease: &Lease, now: Time) -> Option<LeftProgram> {
    let until = lease.until();
    if until == Time(0) || until > now {
        return None;
    }
    let all = || {
        let vrids = (1..=u8::MAX).filter_map(Vrid::new);
        vrids.flat_map(|vrid| [(Family::V4, vrid), (Family::V6, vrid)])
    };
    Some(LeftProgram {
        interface,
        over_for: now.span_since(until),
        masters: all().filter(|(family, vrid)| lease.is_master(*family, *vrid)).collect(),
        superseded: all().filter(|(family, vrid)| lease.is_superseded(*family, *vrid)).collect(),
        closed: lease.guard().closed(now.0),
        probed: lease.last_probe().map(|at| now.span_since(at)),
    })
}

impl std::fmt::Display for LeftProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = |span: Span| std::time::Duration::from_nanos(span.0).as_secs_f64();
        write!(
            f,
            "{}: nobody has vouched for its program for {:.1} s",
            self.interface,
            seconds(self.over_for)
        )?;
        let list = |of: &[(Family, Vrid)]| {
            let name = |(family, vrid): &(Family, Vrid)| match family {
                Family::V4 => format!("VRID {vrid}"),
                Family::V6 => format!("VRID {vrid} (IPv6)"),
            };
            of.iter().map(name).collect::<Vec<_>>().join(", ")
        };
        if !self.masters.is_empty() {
            write!(f, "; it was master of {}", list(&self.masters))?;
        }
        write!(f, "; the fence is {}", if self.closed { "closed" } else { "open" })?;
        match self.probed {
            Some(ago) => write!(f, ", last probed {:.1} s ago", seconds(ago))?,
            None => f.write_str(", never probed")?,
        }
        if !self.superseded.is_empty() {
            write!(f, "; another router has taken over {}", list(&self.superseded))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_left_is_told_in_a_sentence() {
        let vrid = |n: u8| Vrid::new(n).expect("not zero");
        let left = LeftProgram {
            interface: "ens160".to_owned(),
            over_for: Span::from_millis(12_340),
            masters: vec![(Family::V4, vrid(51)), (Family::V6, vrid(52))],
            superseded: vec![(Family::V4, vrid(51))],
            closed: true,
            probed: Some(Span::from_millis(200)),
        };
        assert_eq!(
            left.to_string(),
            "ens160: nobody has vouched for its program for 12.3 s; it was master of VRID 51, VRID 52 (IPv6); the fence \
             is closed, last probed 0.2 s ago; another router has taken over VRID 51"
        );
    }
}
