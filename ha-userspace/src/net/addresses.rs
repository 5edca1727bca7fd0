//! Adds and removes virtual addresses: the takeover path, synchronous, one system call for all of them.
//!
//! Every address that the daemon adds carries [`MARK`] in `IFA_PROTO` (Linux 5.18), so that leftovers of an earlier
//! run are known after kill -9, and nothing is removed that another program added. Older kernels ignore the mark; there
//! what was added is remembered on file (`memory`). Which of the two it is, the kernel's own list tells: one that keeps
//! marks has one on the loopback address, or else on the first address of ours.
//!
//! Removing an IPv4 address that came first in its subnet makes the kernel drop the others of that subnet too, unless
//! `promote_secondaries` is set. Whatever is not meant to go is put back in the same system call. What is lost are
//! routes that name such an address as their source; where there are some, set `promote_secondaries`.

mod memory;
mod wire;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use nix::errno::Errno;

use crate::config::model::Vip;
use memory::Memory;
pub use wire::Batch;
use wire::Held;

use super::error::{SocketError, interface_name};
use super::netlink::{Answer, Socket, said};

/// Owner mark of the addresses that the daemon adds (`IFA_PROTO`): VRRP's protocol number.
pub const MARK: u8 = 112;

/// An address on an interface, with all that netlink is told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSpec {
    /// Interface.
    pub ifindex: u32,
    /// Address.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix: u8,
    /// Broadcast address, IPv4 only.
    pub broadcast: Option<Ipv4Addr>,
    /// Scope (rtnetlink(7)): 0 global, 253 link, 254 host. The kernel derives it itself for IPv6.
    pub scope: u8,
    /// Label, IPv4 only.
    pub label: Option<String>,
    /// No route for the prefix.
    pub noprefixroute: bool,
    /// Seconds for which it is used as a source of new connections, zero for never; `None` for ever.
    pub preferred: Option<u32>,
    /// The other end of a point-to-point link; `prefix` is that of its address.
    pub peer: Option<IpAddr>,
    /// Flags of the configuration: `home`, `mngtmpaddr`, `autojoin`.
    pub flags: Flags,
}

/// Flags of an address that the configuration may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `IFA_F_HOMEADDRESS`.
    pub home: bool,
    /// `IFA_F_MANAGETEMPADDR`.
    pub mngtmpaddr: bool,
    /// `IFA_F_MCAUTOJOIN`.
    pub autojoin: bool,
}

impl AddressSpec {
    /// The virtual address as the configuration has it, on the interface that its device is at the moment.
    #[must_use]
    pub fn new(ifindex: u32, vip: &Vip) -> Self {
        Self {
            ifindex,
            address: vip.address,
            prefix: vip.peer.map_or(vip.prefix, |(_, prefix)| prefix),
            broadcast: vip.broadcast,
            scope: vip.scope,
            label: vip.label.clone(),
            noprefixroute: vip.noprefixroute,
            preferred: vip.preferred_lft,
            peer: vip.peer.map(|(peer, _)| peer),
            flags: Flags { home: vip.home, mngtmpaddr: vip.mngtmpaddr, autojoin: vip.autojoin },
        }
    }

    /// What makes it the same address to the kernel.
    pub(crate) fn key(&self) -> Key {
        (self.ifindex, self.address, self.prefix)
    }
}

pub(crate) type Key = (u32, IpAddr, u8);

/// What became of an address that was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressOutcome {
    /// It is there, and ours.
    Added,
    /// It was there before.
    AlreadyThere {
        /// The daemon added it, now or in an earlier run; otherwise somebody else did, and it stays at the stop.
        ours: bool,
    },
    /// It is not there.
    Failed(AddressError),
}

/// What became of an address that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// It was not there.
    NotThere,
    /// Somebody else's: left alone.
    Foreign,
    /// It is still there.
    Failed(AddressError),
}

/// Why the kernel did not do as it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {verb} {address}/{prefix} on interface {interface}: {}{}{}", errno.desc(), said(.message), hint(*errno))]
pub struct AddressError {
    /// "add" or "remove".
    pub verb: &'static str,
    /// Name of the interface, or its number when it is gone.
    pub interface: String,
    /// Address.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix: u8,
    /// The kernel's answer.
    pub errno: Errno,
    /// The kernel's own words, where it has some.
    pub message: Option<String>,
}

fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM => "; run as root or give the daemon CAP_NET_ADMIN",
        Errno::EACCES => "; IPv6 is switched off there, see sysctl net.ipv6.conf.*.disable_ipv6",
        Errno::ENODEV => "; the interface is gone",
        Errno::EINVAL | Errno::ERANGE => {
            "; check prefix, scope, broadcast address and label in the configuration"
        }
        Errno::ENOBUFS | Errno::ENOMEM => "; the kernel is short of memory",
        Errno::ETIMEDOUT => "; the kernel did not answer in time",
        _ => "",
    }
}

/// A netlink socket for addresses.
#[derive(Debug)]
pub struct Addresses {
    socket: Socket,
    marks: Marks,
    /// The kernel keeps `IFA_PROTO`, as far as is known.
    keeps_marks: bool,
    /// Added by this process, or by an earlier one: consulted only where the kernel keeps no marks.
    added: HashSet<Key>,
    /// Found to be somebody else's; likewise.
    foreign: HashSet<Key>,
    memory: Option<Memory>,
}

/// Whether addresses are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// Where the kernel keeps marks.
    Used,
    /// Never, as on a kernel before 5.18: for tests.
    Withheld,
}

impl Addresses {
    /// Opens the socket and finds out whether the kernel keeps marks. Where it does not, leftovers of an earlier run are
    /// not known.
    ///
    /// # Errors
    /// No netlink.
    pub fn open() -> Result<Self, SocketError> {
        Ok(Self {
            socket: Socket::open("setting addresses")?,
            marks: Marks::Used,
            keeps_marks: false,
            added: HashSet::new(),
            foreign: HashSet::new(),
            memory: None,
        }
        .informed())
    }

    /// The same with a memory of what is ours in `file`, where the kernel keeps no marks.
    ///
    /// # Errors
    /// No netlink.
    pub fn open_remembering(file: PathBuf, marks: Marks) -> Result<Self, SocketError> {
        let mut addresses = Self { marks, keeps_marks: false, ..Self::open()? }.informed();
        if addresses.keeps_marks {
            // Of an older kernel.
            let _ = std::fs::remove_file(&file);
            return Ok(addresses);
        }
        match Memory::open(file) {
            Ok((known, memory)) => {
                addresses.foreign.retain(|key| !known.contains(key));
                addresses.added = known;
                addresses.memory = Some(memory);
            }
            Err(error) => {
                tracing::warn!(
                    "no thread to remember which addresses are ours: {error}; they stay after a crash"
                );
            }
        }
        Ok(addresses)
    }

    /// Looks at what is there before anything is added.
    fn informed(mut self) -> Self {
        let held = self.held().unwrap_or_default();
        self.foreign = held.iter().filter(|held| !self.is_ours(held)).map(|held| held.spec.key()).collect();
        self
    }

    /// Adds all addresses; the outcomes are in the order of `specs`.
    pub fn add(&mut self, specs: &[AddressSpec]) -> Vec<AddressOutcome> {
        self.run(&Batch::prepare_marked(specs, self.marks == Marks::Used))
    }

    /// Adds all addresses of a batch that was prepared beforehand; the outcomes are in its order.
    ///
    /// An address that is there with another broadcast address, label or lifetime is left as it is: remove before
    /// adding anew.
    ///
    /// Returns when the kernel has done it; only another process that changes the network configuration at the same
    /// moment can hold it up. One sendmsg for up to 1024 addresses, and one answer where all went well. Only when an address was there
    /// already is the kernel asked once more, whose it is.
    pub fn run(&mut self, batch: &Batch) -> Vec<AddressOutcome> {
        if !self.keeps_marks {
            self.remember(batch.specs());
        }
        let answers = self.socket.exchange(batch.chunks());
        let existing = answers.iter().any(|answer| answer.errno() == Some(Errno::EEXIST));
        let held = if existing { self.held().unwrap_or_default() } else { Vec::new() };
        let mut outcomes = Vec::with_capacity(answers.len());
        for (spec, answer) in batch.specs().iter().zip(answers) {
            outcomes.push(match answer {
                Answer::Done => {
                    if !self.keeps_marks {
                        self.added.insert(spec.key());
                        self.foreign.remove(&spec.key());
                    }
                    AddressOutcome::Added
                }
                Answer::Refused { errno: Errno::EEXIST, .. } => {
                    let same = |held: &&Held| {
                        (held.spec.ifindex, held.spec.address) == (spec.ifindex, spec.address)
                            // To IPv4 the prefix is part of the address; an IPv6 address exists once.
                            && (spec.address.is_ipv6() || held.spec.prefix == spec.prefix)
                    };
                    let ours = held.iter().find(same).is_some_and(|held| self.is_ours(held));
                    if !ours && !self.keeps_marks {
                        self.foreign.insert(spec.key());
                    }
                    AddressOutcome::AlreadyThere { ours }
                }
                Answer::Refused { errno, message } => {
                    AddressOutcome::Failed(failure("add", spec, errno, message))
                }
            });
        }
        self.remember(&[]);
        outcomes
    }

    /// Hands what is ours, and what will be in a moment, to whoever writes it down.
    fn remember(&self, soon: &[AddressSpec]) {
        let Some(memory) = &self.memory else { return };
        if self.keeps_marks {
            // The kernel remembers, as has turned out.
            return memory.note([]);
        }
        let soon = soon.iter().map(AddressSpec::key).filter(|key| !self.foreign.contains(key));
        memory.note(self.added.iter().copied().chain(soon));
    }

    /// Removes those of the addresses that are ours; the results are in the order of `specs`.
    pub fn remove(&mut self, specs: &[AddressSpec]) -> Vec<Removal> {
        let held = match self.held() {
            Ok(held) => held,
            Err(errno) => {
                return specs
                    .iter()
                    .map(|spec| Removal::Failed(failure("remove", spec, errno, None)))
                    .collect();
            }
        };
        let mut results = vec![Removal::NotThere; specs.len()];
        let mut going = Vec::new();
        for (position, (spec, result)) in specs.iter().zip(&mut results).enumerate() {
            match held.iter().find(|held| held.spec.key() == spec.key()) {
                Some(held) if self.is_ours(held) => going.push((position, held)),
                Some(_) => *result = Removal::Foreign,
                None => {}
            }
        }
        let staying = wire::dropped_along(&held, going.iter().map(|(_, held)| *held));
        let batch = wire::removal(going.iter().map(|(_, held)| *held), &staying);
        let answers = self.socket.exchange(batch.chunks());
        for ((position, held), answer) in going.iter().zip(&answers) {
            self.added.remove(&held.spec.key());
            let Some(result) = results.get_mut(*position) else { continue };
            *result = match answer {
                // Gone along with the first address of its subnet, a moment ago.
                Answer::Done | Answer::Refused { errno: Errno::EADDRNOTAVAIL, .. } => Removal::Removed,
                Answer::Refused { errno, message } => {
                    Removal::Failed(failure("remove", &held.spec, *errno, message.clone()))
                }
            };
        }
        for (held, answer) in staying.iter().zip(answers.get(going.len()..).unwrap_or(&[])) {
            match answer.errno() {
                // The kernel kept it, because promote_secondaries is set.
                None | Some(Errno::EEXIST) => {}
                Some(errno) => {
                    tracing::error!("{}", failure("put back", &held.spec, errno, None));
                }
            }
        }
        if !going.is_empty() {
            self.remember(&[]);
        }
        results
    }

    /// All addresses that are ours: what an earlier run left behind, or what this one has added.
    ///
    /// On kernels that keep no marks that takes a memory ([`Addresses::open_remembering`]).
    ///
    /// # Errors
    /// The kernel cannot list its addresses.
    pub fn ours(&mut self) -> nix::Result<Vec<AddressSpec>> {
        let held = self.held()?;
        // What went with its interface, or was removed by somebody while nobody looked.
        let there: HashSet<Key> = held.iter().map(|held| held.spec.key()).collect();
        self.added.retain(|key| there.contains(key));
        self.remember(&[]);
        Ok(held.into_iter().filter(|held| self.is_ours(held)).map(|held| held.spec).collect())
    }

    /// Removes what is ours of these, before the program goes that keeps it silent.
    pub fn remove_left(&mut self, left: &[(u32, IpAddr)]) {
        if left.is_empty() {
            return;
        }
        let ours = self.ours().unwrap_or_default();
        let exposed: Vec<_> =
            ours.into_iter().filter(|spec| left.contains(&(spec.ifindex, spec.address))).collect();
        for removal in self.remove(&exposed) {
            if let Removal::Failed(error) = removal {
                tracing::error!("{error}; it is on this host, and nothing keeps it silent");
            }
        }
    }

    /// Whether the kernel is known to keep marks (Linux 5.18, or what a distribution has made of an older one).
    #[must_use]
    pub fn keeps_marks(&self) -> bool {
        self.keeps_marks
    }

    /// Whether this daemon or an earlier run added an address, where the kernel keeps no marks.
    #[must_use]
    pub fn has_added(&self, ifindex: u32, address: IpAddr) -> bool {
        !self.keeps_marks && self.added.iter().any(|key| (key.0, key.1) == (ifindex, address))
    }

    fn is_ours(&self, held: &Held) -> bool {
        (held.protocol == MARK && self.marks == Marks::Used)
            || (!self.keeps_marks && self.added.contains(&held.spec.key()))
    }

    fn held(&mut self) -> nix::Result<Vec<Held>> {
        let held = self.socket.dump(&wire::request(), Held::take)?;
        self.keeps_marks |= self.marks == Marks::Used && held.iter().any(|held| held.protocol != 0);
        Ok(held)
    }
}

fn failure(verb: &'static str, spec: &AddressSpec, errno: Errno, message: Option<String>) -> AddressError {
    let AddressSpec { ifindex, address, prefix, .. } = *spec;
    AddressError { verb, interface: interface_name(ifindex), address, prefix, errno, message }
}

#[cfg(test)]
mod tests;
