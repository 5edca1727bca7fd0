//! The program on one interface, from attaching to detaching.

use std::io;
use std::num::NonZeroU64;
use std::path::Path;

use aya::programs::links::FdLink;
use aya::programs::{ProgramError, XdpError, XdpMode as AyaMode};

use ha_common::layout::LeaseSlot;
use ha_common::probe::Masters;
use ha_common::time::Time;
use ha_common::types::{Family, Vrid};

use super::driver::{self, Driver};
use super::events::Events;
use super::fence::{Lease, Vips};
use super::loader::{Alive, LoadError, Program};
use super::log::BpfLog;
use super::maps::{Adverts, Counters, Judged};
use super::occupant;
use super::peers::Peers;
use super::pins::Pins;
use crate::config::model::XdpMode;

/// Settings of [`XdpInterface::attach`].
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// VLAN tag that the interface's frames carry: zero, unless the interface is the parent of the VLAN that is meant.
    pub vlan: u16,
    /// Key of the fingerprints, random per run.
    pub fingerprint_key: [u64; 2],
    /// Random id of this run for liveness probes and replies; zero where probes are not answered here.
    pub incarnation: u64,
    /// Key of the tags of probes and replies ([`ha_common::probe::key`]).
    pub probe_key: Option<[u64; 2]>,
    /// Mount point of the BPF file system, or `None` for no pins: then there is no fence for a daemon that dies.
    pub bpffs: Option<&'a Path>,
    /// Level of the program's own messages (`--bpf-log`).
    pub bpf_log: Option<aya_log::Level>,
}

/// How the program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// In the driver.
    Native,
    /// In the kernel's stack, on any driver.
    Generic,
}

impl Attached {
    /// The word for logs and `status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    const fn aya(self) -> AyaMode {
        match self {
            Self::Native => AyaMode::Driver,
            Self::Generic => AyaMode::Skb,
        }
    }
}

/// There is no XDP on this interface; the caller receives through sockets.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
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
    /// Adverts from VLANs of this interface would be taken for its own.
    #[error("{text}; XDP is not used on it")]
    HiddenVlans {
        /// What it is about, and what to do.
        text: String,
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
    #[error(
        "{interface}: no permission to attach an XDP program; run as root or with CAP_BPF and CAP_NET_ADMIN"
    )]
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
    #[error("{interface}: cannot attach the XDP program in {mode} mode: {reason}", mode = mode.word())]
    Refused {
        /// Interface.
        interface: String,
        /// In which mode.
        mode: Attached,
        /// What the kernel says.
        reason: String,
    },
}

/// The program on an interface, and its maps. Dropping it detaches the program and removes the pins.
#[derive(Debug)]
pub struct XdpInterface {
    name: String,
    ifindex: u32,
    attached: Attached,
    notes: Vec<String>,
    pins: Option<Pins>,
    /// Keeps the program attached. A kernel link, so that it can be pinned.
    _link: FdLink,
    /// Keeps the program's live half connected.
    _alive: Alive,
    inherited: Option<Inherited>,
    /// What replies say, and until when the daemon vouches for this node. To be cloned for other threads.
    pub lease: Lease,
    /// The virtual addresses that the fence is about.
    pub vips: Vips,
    /// The routers that are probed. To be cloned for other threads.
    pub peers: Peers,
    /// The virtual routers' slots.
    pub adverts: Adverts,
    /// Frames to be judged.
    pub events: Events,
    /// What the program decided.
    pub counters: Counters,
    /// What user space decided.
    pub judged: Judged,
    /// The program's messages, where they were asked for: to be taken and forwarded by a task.
    pub log: Option<BpfLog>,
}

/// What an earlier run left: the program stayed attached, and its maps have been taken over as they were.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    /// `HA_LEASE` as it was found: for which VRIDs the earlier run was master, until when its lease ran, whether it
    /// announced a restart.
    pub lease: LeaseSlot,
    /// When it was found.
    pub at: Time,
}

impl Inherited {
    /// Whether replies said all the time, until now, that this node is master: the lease has not run out, or the
    /// restart was announced and its window is still open. Otherwise somebody else may have taken over.
    #[must_use]
    pub const fn is_unbroken(&self) -> bool {
        self.lease.restart_until_ns > self.at.0
            || (self.lease.orphaned == 0 && self.lease.lease_until_ns > self.at.0)
    }

    /// Whether the earlier run was master.
    #[must_use]
    pub fn was_master(&self, family: Family, vrid: Vrid) -> bool {
        let words = match family {
            Family::V4 => self.lease.masters_v4,
            Family::V6 => self.lease.masters_v6,
        };
        Masters(bytemuck::cast(words)).has(vrid)
    }
}

impl XdpInterface {
    /// Loads the program and attaches it. Must be called inside a tokio runtime.
    ///
    /// In mode `auto` the attempts are native, where the driver is known to be good for it, then generic.
    ///
    /// # Errors
    ///
    /// See [`AttachError`]. Nothing stays attached or pinned then.
    pub fn attach(
        name: &str,
        ifindex: u32,
        mode: XdpMode,
        options: Options<'_>,
    ) -> Result<Self, AttachError> {
        let interface = || name.to_owned();
        let failed = |error| AttachError::Load { interface: interface(), source: Box::new(error) };
        if mode == XdpMode::Off {
            return Err(AttachError::Off { interface: interface() });
        }
        let driver = driver::query(name).map_err(|error| no_driver(name, &error))?;
        if !driver.ethernet {
            return Err(AttachError::NotEthernet { interface: interface() });
        }
        if driver.hides_vlans && mode == XdpMode::Auto {
            return Err(AttachError::HiddenVlans { text: hidden_vlans(name) });
        }

        let mut program = Program::load_pinned(options.vlan, options.fingerprint_key, options.bpf_log, None)
            .map_err(failed)?;
        let mut notes = Vec::new();
        let (attached, link) =
            attach_in_order(name, ifindex, attempts(mode, &driver), &mut program, &mut notes)?;
        if driver.hides_vlans {
            notes.push(hidden_vlans(name));
        }

        let pins = None;
        let alive = program.alive().map_err(failed)?;
        let lease = program.lease().map_err(failed)?;
        lease.set_mac(driver.mac);
        lease.set_key(options.probe_key);
        lease.set_incarnation(NonZeroU64::new(options.incarnation));
        Ok(Self {
            name: interface(),
            ifindex,
            attached,
            notes,
            pins,
            _link: link,
            _alive: alive,
            inherited: None,
            lease,
            vips: program.vips().map_err(failed)?,
            peers: program.peers().map_err(failed)?,
            adverts: program.adverts().map_err(failed)?,
            judged: program.judged().map_err(failed)?,
            counters: program.counters().map_err(failed)?,
            events: program.events().map_err(failed)?,
            log: options.bpf_log.map(|_| program.log()).transpose().map_err(failed)?,
        })
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The interface's index.
    #[must_use]
    pub const fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The mode that was reached.
    #[must_use]
    pub const fn attached(&self) -> Attached {
        self.attached
    }

    /// What to tell the operator: why a better mode was not reached, why nothing is pinned. Each starts with the
    /// interface's name.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What an earlier run left for this interface, if it left anything: it crashed, or is being restarted.
    #[must_use]
    pub const fn inherited(&self) -> Option<&Inherited> {
        self.inherited.as_ref()
    }

    /// Ends this run's part, but leaves the program attached and the pins in place for the next run: for a planned
    /// restart, after [`Lease::open_restart_window`].
    pub fn leave(mut self) {
        if let Some(pins) = self.pins.take() {
            pins.keep();
        }
    }

    /// Where link and maps are pinned.
    #[must_use]
    pub fn pin_directory(&self) -> Option<&Path> {
        self.pins.as_ref().map(Pins::directory)
    }
}

fn hidden_vlans(name: &str) -> String {
    format!(
        "{name}: there are VLANs on it, and its driver takes their tags off before XDP sees the frames, so that \
         adverts from a VLAN look like its own; `ethtool -K {name} rxvlan off` leaves them on"
    )
}

fn no_driver(name: &str, error: &io::Error) -> AttachError {
    match error.raw_os_error() {
        Some(libc::ENODEV) => AttachError::NoInterface { interface: name.to_owned() },
        _ => AttachError::Refused {
            interface: name.to_owned(),
            mode: Attached::Generic,
            reason: format!("its driver cannot be asked: {error}"),
        },
    }
}

/// The modes to try, in this order.
fn attempts(mode: XdpMode, driver: &Driver) -> &'static [Attached] {
    match mode {
        XdpMode::Off => &[],
        XdpMode::Native => &[Attached::Native],
        XdpMode::Generic => &[Attached::Generic],
        XdpMode::Auto if driver.native_is_sensible() => &[Attached::Native, Attached::Generic],
        XdpMode::Auto => &[Attached::Generic],
    }
}

/// Attaches in the first mode that works. The reasons against the others go to `notes`.
fn attach_in_order(
    name: &str,
    ifindex: u32,
    attempts: &[Attached],
    program: &mut Program,
    notes: &mut Vec<String>,
) -> Result<(Attached, FdLink), AttachError> {
    let mut last = AttachError::Off { interface: name.to_owned() };
    for &mode in attempts {
        match attach_once(name, ifindex, mode, program) {
            Ok(link) => return Ok((mode, link)),
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

fn attach_once(
    name: &str,
    ifindex: u32,
    mode: Attached,
    program: &mut Program,
) -> Result<FdLink, AttachError> {
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
                Some(libc::ENODEV) => AttachError::NoInterface { interface: interface() },
                Some(libc::EOPNOTSUPP) => refused("the driver does not support it".to_owned()),
                _ => refused(error.to_string()),
            }
        })?;
    FdLink::try_from(link).map_err(|error| refused(error.to_string()))
}

fn os_error(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::XdpError(XdpError::NetlinkError(error)) => error.raw_os_error(),
        _ => None,
    }
}
