//! The program on one interface, from attaching to detaching.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ha_common::layout::LeaseSlot;
use ha_common::probe::{Keys, Masters};
use ha_common::time::Time;
use ha_common::types::{Family, Vrid};

use super::attach::{AttachError, attach_in_order, no_driver, refusal, replace};
use super::attached::Attached;
use super::bpf::PinnedLink;
use super::claim::Claim;
use super::events::Events;
use super::facts::Facts;
use super::fence::{Lease, Vips};
use super::loader::{Alive, LoadError, Program, Variant};
use super::log::BpfLog;
use super::maps::{Adverts, Counters, Judged, Slot, Travel};
use super::occupant;
use super::peers::{Peers, Probers};
use super::pins::{self, Left, Leftover, PinError, Pins};
use super::prospect::{Prospect, prospect};
use super::tc::{self, Attachment};
use crate::config::model::XdpMode;
use crate::lost::Lost;
use crate::net::clock;

/// Settings of [`XdpInterface::attach`].
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// VLAN tag that the interface's frames carry: zero, unless the interface is the parent of the VLAN that is meant.
    pub vlan: u16,
    /// Key of the fingerprints, random per run.
    pub fingerprint_key: [u64; 2],
    /// Random id of this run for liveness probes and replies; zero where probes are not answered here.
    pub incarnation: u64,
    /// None of the virtual routers takes part in fast failover, which replies say.
    pub apart: bool,
    /// What tags of probes and replies are under.
    pub probe_keys: Keys,
    /// Mount point of the BPF file system, or `None` for no pins: then there is no fence for a daemon that dies.
    pub bpffs: Option<&'a Path>,
    /// Level of the program's own messages (`--bpf-log`).
    pub bpf_log: Option<aya_log::Level>,
    /// Traffic control may be used by tcx links; otherwise by filters of clsact, as on kernels before 6.6.
    pub tcx: bool,
    /// The virtual routers of the interface, so that no advert for them finds a program that does not know them.
    pub routers: &'a [(Slot, Travel)],
    /// Those that an earlier run was master for when it left for a restart, as far as it wrote that down: for a program of
    /// another version, whose maps say it in words that are not understood.
    pub roles: &'a [(Family, Vrid)],
}

/// The program on an interface, and its maps. Dropping it detaches the program and removes the pins.
#[derive(Debug)]
pub struct XdpInterface {
    pub(super) name: String,
    pub(super) ifindex: u32,
    pub(super) attached: Attached,
    pub(super) notes: Vec<String>,
    unpinned: Option<String>,
    pub(super) variant: Variant,
    pub(super) vlan: u16,
    pub(super) key: [u64; 2],
    /// The XDP program that sees frames before ours.
    pub(super) behind: Option<String>,
    /// Whether that had gone when it was looked for last.
    xdp_free: Arc<AtomicBool>,
    pub(super) pins: Option<Pins>,
    /// Keeps the program attached.
    pub(super) attachment: Attachment,
    /// The same, where it is pinned.
    pub(super) pinned: Option<Arc<PinnedLink>>,
    /// Nobody else uses the interface's program and pins.
    _claim: Option<Claim>,
    /// Keeps the program's live half connected.
    pub(super) alive: Alive,
    inherited: Option<Inherited>,
    /// What replies say, and until when the daemon vouches for this node. To be cloned for other threads.
    pub lease: Lease,
    /// The virtual addresses that the fence is about.
    pub vips: Vips,
    /// The routers that are probed. To be cloned for other threads.
    pub peers: Peers,
    /// The routers that probe us.
    pub probers: Probers,
    /// The virtual routers' slots.
    pub adverts: Adverts,
    /// Frames to be judged. Those from before [`Inherited::at`] came while an earlier run ended: their fingerprints mean
    /// nothing.
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

    /// Whether a router that probed would have taken it over.
    #[must_use]
    pub fn was_wanted(&self, family: Family, vrid: Vrid) -> bool {
        let words = match family {
            Family::V4 => [self.lease.wanted_v4, self.lease.earlier_v4],
            Family::V6 => [self.lease.wanted_v6, self.lease.earlier_v6],
        };
        words.into_iter().any(|words| Masters(bytemuck::cast(words)).has(vrid))
    }
}

impl XdpInterface {
    /// Loads the program and attaches it. Must be called inside a tokio runtime.
    ///
    /// In mode `auto` the attempts are native, where the driver is known to be good for it, then generic; where another
    /// program has XDP, traffic control.
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
        match Claim::of(name) {
            Ok(Some(claim)) => {
                let mut interface = Self::attach_claimed(name, ifindex, mode, options)?;
                interface._claim = Some(claim);
                Ok(interface)
            }
            // A process that may not make sockets may not use XDP either.
            Ok(None) | Err(_) => Err(AttachError::Claimed { interface: name.to_owned() }),
        }
    }

    fn attach_claimed(
        name: &str,
        ifindex: u32,
        mode: XdpMode,
        options: Options<'_>,
    ) -> Result<Self, AttachError> {
        // What an earlier run left does not stay where XDP is not used any more.
        let unused = |error| {
            if let Some(bpffs) = options.bpffs {
                pins::discard(bpffs, name);
            }
            tc::remove(ifindex, false);
            Err(error)
        };
        let facts = Facts::of(name).map_err(|error| no_driver(name, &error))?;
        let prospect = prospect(&facts, mode);
        if let Some(error) = refusal(&facts, &prospect) {
            return unused(error);
        }

        let mut notes = Notes::default();
        let pins = options.bpffs.and_then(|bpffs| {
            Pins::prepare(bpffs, name, ifindex).map_err(|error| notes.unpinned = Some(error.to_string())).ok()
        });
        let wanted = Attempt { name, ifindex, mode, options, facts: &facts, prospect: &prospect };
        let Some((pins, left)) = pins else {
            return wanted.fresh(None, notes);
        };
        if let Some(left) = left {
            match wanted.take_over(&prospect.attempts, &pins, left, &mut notes) {
                Ok(taken) => return taken.finish(wanted, Some(pins), notes),
                Err(reason) => {
                    notes.lines.push(format!("{name}: what an earlier run left is replaced: {reason}"));
                    if let Err(error) = pins.clear() {
                        notes.unpinned = Some(error.to_string());
                        return wanted.fresh(None, notes);
                    }
                }
            }
        }
        wanted.fresh(Some(pins), notes)
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

    /// What to tell the operator, such as why a better mode was not reached. Each starts with the interface's name.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Why nothing is pinned, so that program and fence go with the daemon; `None` where they are pinned, or nobody
    /// wanted that.
    #[must_use]
    pub fn unpinned(&self) -> Option<&str> {
        self.unpinned.as_deref()
    }

    /// Whether the program would outlive the daemon, also as somebody has left the pins.
    #[must_use]
    pub fn outlives(&self) -> bool {
        let Some(pins) = &self.pins else { return false };
        self.unpinned.is_none() && (matches!(self.attachment, Attachment::Filter(_)) || pins.has_link())
    }

    /// Which build of the program it is.
    #[must_use]
    pub const fn variant(&self) -> Variant {
        self.variant
    }

    /// What an earlier run left for this interface, if it left anything: it crashed, or is being restarted.
    #[must_use]
    pub const fn inherited(&self) -> Option<&Inherited> {
        self.inherited.as_ref()
    }

    /// Ends this run's part, but leaves the program attached and the pins in place for the next run: for a planned
    /// restart, after [`Lease::open_restart_window`].
    pub fn leave(self) {
        let Self { pins, attachment, .. } = self;
        if let Some(pins) = pins {
            pins.keep();
            if let Attachment::Filter(filter) = attachment {
                filter.keep();
            }
        }
    }

    /// A question for another thread: it says false once somebody else has detached the program (`bpftool link
    /// detach`, `tc filter del`), of which the kernel tells nobody. The kernel answers under its lock of links, which
    /// may take long. `None` for a link that is not pinned.
    #[must_use]
    pub fn attachment(&self) -> Option<Box<dyn FnOnce() -> bool + Send>> {
        let (free, ifindex) = (Arc::clone(&self.xdp_free), self.ifindex);
        let behind = self.behind.is_some();
        let look = move || free.store(behind && occupant::program(ifindex).is_none(), Ordering::Relaxed);
        if let Attachment::Filter(filter) = &self.attachment {
            let is_there = filter.is_there();
            return Some(Box::new(move || {
                look();
                is_there()
            }));
        }
        let pinned = Arc::clone(self.pinned.as_ref()?);
        Some(Box::new(move || {
            look();
            pinned.info().is_ok_and(|info| info.ifindex == ifindex)
        }))
    }

    /// The XDP program that had the interface, where ours is in traffic control behind it.
    #[must_use]
    pub fn behind(&self) -> Option<&str> {
        self.behind.as_deref()
    }

    /// Whether that program had gone when [`Self::attachment`] was asked last.
    #[must_use]
    pub fn is_xdp_free(&self) -> bool {
        self.xdp_free.load(Ordering::Relaxed)
    }

    /// Where link and maps are pinned.
    #[must_use]
    pub fn pin_directory(&self) -> Option<&Path> {
        self.pins.as_ref().map(Pins::directory)
    }
}

/// What there is to say of an attached program.
#[derive(Default)]
struct Notes {
    /// [`XdpInterface::notes`].
    lines: Vec<String>,
    /// [`XdpInterface::unpinned`].
    unpinned: Option<String>,
}

/// What [`XdpInterface::attach`] was asked for.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    name: &'a str,
    ifindex: u32,
    mode: XdpMode,
    options: Options<'a>,
    facts: &'a Facts,
    prospect: &'a Prospect,
}

/// A program that is attached.
struct Running {
    program: Program,
    alive: Alive,
    lease: Lease,
    attachment: Attachment,
    attached: Attached,
    inherited: Option<Inherited>,
    /// What keeps it attached is pinned already.
    pinned: bool,
}

impl Attempt<'_> {
    fn failed(&self, error: LoadError) -> AttachError {
        AttachError::Load { interface: self.name.to_owned(), source: Box::new(error) }
    }

    fn load(&self, attempts: &[Attached], pins: Option<&Pins>) -> Result<(Program, Alive, Lease), LoadError> {
        let Options { vlan, fingerprint_key, bpf_log, .. } = self.options;
        let variants = if attempts.contains(&Attached::Tc) { &[Variant::Tc] } else { Variant::XDP };
        let mut program =
            Program::load_pinned(variants, vlan, fingerprint_key, bpf_log, pins.map(Pins::directory))?;
        let alive = program.alive()?;
        let lease = program.lease()?;
        Ok((program, alive, lease))
    }

    fn configure(&self, lease: &Lease) {
        lease.set_mac(self.facts.mac);
        // A program that an earlier run left has the key of that run, which its peers may still use.
        let wanted = self.options.probe_keys;
        lease.set_keys(&lease.keys().map_or(wanted, |keys| keys.followed_by(wanted, clock::now())));
        lease.set_apart(self.options.apart);
        lease.set_incarnation(NonZeroU64::new(self.options.incarnation));
    }

    /// To be called before the program is attached, and after what an earlier run followed has been forgotten.
    fn introduce(&self, program: &mut Program) -> Result<(), LoadError> {
        let adverts = program.adverts()?;
        for &(slot, travel) in self.options.routers {
            adverts.configure(slot, Some(travel));
        }
        Ok(())
    }

    /// Attaches a program with maps of its own, pinned where `pins` says so.
    fn fresh(self, pins: Option<Pins>, mut notes: Notes) -> Result<XdpInterface, AttachError> {
        let attempts = &self.prospect.attempts;
        let (running, pins) = match self.attach_fresh(attempts, pins, &mut notes) {
            // Somebody was faster.
            (Err(AttachError::Busy { occupant, .. }), pins) if self.mode == XdpMode::Auto => {
                notes.lines.push(format!("{}: {occupant} has been attached meanwhile", self.name));
                self.attach_fresh(&[Attached::Tc], pins, &mut notes)
            }
            result => result,
        };
        running?.finish(self, pins, notes)
    }

    /// The same in one of these modes. The pins come back.
    fn attach_fresh(
        &self,
        attempts: &[Attached],
        pins: Option<Pins>,
        notes: &mut Notes,
    ) -> (Result<Running, AttachError>, Option<Pins>) {
        let (mut program, alive, lease) = match self.load(attempts, pins.as_ref()) {
            Err(LoadError::Object(error)) if pins.is_some() => {
                // A file system that takes no pins is no reason to go without XDP.
                notes.unpinned = Some(error.to_string());
                drop(pins);
                return self.attach_fresh(attempts, None, notes);
            }
            Err(error) => return (Err(self.failed(error)), pins),
            Ok(loaded) => loaded,
        };
        self.configure(&lease);
        let attached = self
            .introduce(&mut program)
            .map_err(|error| self.failed(error))
            .and_then(|()| self.attach_program(attempts, &mut program, notes));
        let running = attached.map(|(attached, attachment)| Running {
            program,
            alive,
            lease,
            attachment,
            attached,
            inherited: None,
            pinned: false,
        });
        (running, pins)
    }

    fn attach_program(
        &self,
        attempts: &[Attached],
        program: &mut Program,
        notes: &mut Notes,
    ) -> Result<(Attached, Attachment), AttachError> {
        attach_in_order(self.name, self.ifindex, attempts, self.options.tcx, program, &mut notes.lines)
    }

    /// Puts a program with the maps of an earlier run into the place of that run's. Where it belongs elsewhere now, from
    /// traffic control to XDP or back, it is attached there first.
    fn take_over(
        &self,
        attempts: &[Attached],
        pins: &Pins,
        left: Left,
        notes: &mut Notes,
    ) -> Result<Running, String> {
        let Left { attached: leftover, of_other_version } = left;
        let (attached, stays) = self.place_of(&leftover, attempts)?;
        let (mut program, alive, lease) =
            self.load(attempts, Some(pins)).map_err(|error| error.to_string())?;
        let inherited = self.inherit(&lease, of_other_version);
        // The new run knows none of the adverts that the old one followed, and answers to none of its probes.
        program.adverts().map_err(|error| error.to_string())?.reset();
        program.peers().map_err(|error| error.to_string())?.reset();
        self.configure(&lease);
        self.introduce(&mut program).map_err(|error| error.to_string())?;
        let placed = if stays {
            replace(self.name, self.ifindex, &mut program, leftover).map(|new| (attached, new))
        } else {
            match self.attach_program(attempts, &mut program, notes) {
                // Somebody was faster; what is in traffic control stays there.
                Err(AttachError::Busy { .. }) if self.mode == XdpMode::Auto && attached == Attached::Tc => {
                    let left = Left { attached: leftover, of_other_version };
                    return self.take_over(&[Attached::Tc], pins, left, notes);
                }
                placed => placed,
            }
        };
        let (attached, attachment) = placed.map_err(|error| error.to_string())?;
        Ok(Running { program, alive, lease, attachment, attached, inherited, pinned: stays })
    }

    /// Where the program of an earlier run is attached, and whether this run's belongs there too.
    fn place_of(&self, leftover: &Leftover, attempts: &[Attached]) -> Result<(Attached, bool), String> {
        let attached = match leftover {
            Leftover::Xdp(_) => occupant::program(self.ifindex).map(|(_, attached)| attached),
            Leftover::Tcx(_) | Leftover::Filter { .. } => Some(Attached::Tc),
        };
        let Some(attached) = attached else {
            return Err("its program is not attached any more".to_owned());
        };
        let stays = attempts.contains(&Attached::Tc) == (attached == Attached::Tc);
        let unwanted = stays
            && match self.mode {
                XdpMode::Native => attached != Attached::Native,
                XdpMode::Generic => attached != Attached::Generic,
                XdpMode::Auto | XdpMode::Tc | XdpMode::Off => false,
            };
        if unwanted {
            return Err(format!("it is attached in {} mode", attached.word()));
        }
        Ok((attached, stays))
    }

    /// What the lease of an earlier run says. `of_other_version`: when the restart window ends that a program of another
    /// version left.
    fn inherit(&self, lease: &Lease, of_other_version: Option<Time>) -> Option<Inherited> {
        let inherited = match of_other_version {
            None => Some(Inherited { lease: lease.snapshot(), at: clock::now() }),
            // These maps are new. Peers that wait for a restart go on waiting, until it is known what becomes of the roles.
            Some(until) => {
                lease.open_restart_window(until);
                // Whoever probes would take a reply without them for a resignation.
                if until > clock::now() {
                    self.options
                        .roles
                        .iter()
                        .for_each(|&(family, vrid)| lease.set_master(family, vrid, true));
                }
                None
            }
        };
        // Nobody is sure of being master any more, unless the peers were told to wait.
        if inherited.as_ref().is_some_and(|inherited| !inherited.is_unbroken()) {
            lease.clear_masters();
        }
        inherited
    }
}

/// Lets what keeps a program attached outlive this process.
fn pin(attachment: Attachment, pins: &Pins, ifindex: u32) -> Result<Attachment, PinError> {
    Ok(match attachment {
        Attachment::Link(link) => Attachment::Link(pins.pin(link)?),
        Attachment::Filter(filter) => {
            pins.mark(ifindex, filter.made_qdisc)?;
            Attachment::Filter(filter)
        }
    })
}

impl Running {
    fn finish(
        self,
        wanted: Attempt<'_>,
        pins: Option<Pins>,
        mut notes: Notes,
    ) -> Result<XdpInterface, AttachError> {
        let Self { mut program, alive, lease, attachment, attached, inherited, pinned } = self;
        let failed = |error| wanted.failed(error);
        let about = wanted.prospect.notes(attached);
        notes.lines.extend(about.iter().map(|note| format!("{}: {note}", wanted.name)));
        let variant = program.variant();
        if variant == Variant::Linear {
            notes.lines.push(format!(
                "{}: {}: the kernel refuses that build",
                wanted.name,
                Lost::MultiBuffer.text()
            ));
        }
        let attachment = match pins.as_ref().filter(|_| !pinned) {
            Some(pins) => pin(attachment, pins, wanted.ifindex).map_err(|error| AttachError::Refused {
                interface: wanted.name.to_owned(),
                mode: attached,
                reason: error.to_string(),
            })?,
            None => attachment,
        };
        let pinned = pins.as_ref().and_then(|pins| pins.link().ok()).map(Arc::new);
        // What an earlier run has not taken out any more is older than `inherited`, and was hashed under its key.
        let events = program.events().map_err(failed)?;
        Ok(XdpInterface {
            name: wanted.name.to_owned(),
            ifindex: wanted.ifindex,
            attached,
            notes: notes.lines,
            variant,
            unpinned: notes.unpinned,
            pins,
            attachment,
            pinned,
            vips: program.vips().map_err(failed)?,
            peers: program.peers().map_err(failed)?,
            probers: program.probers().map_err(failed)?,
            adverts: program.adverts().map_err(failed)?,
            judged: program.judged().map_err(failed)?,
            counters: program.counters().map_err(failed)?,
            events,
            log: wanted.options.bpf_log.map(|_| program.log()).transpose().map_err(failed)?,
            alive,
            vlan: wanted.options.vlan,
            key: wanted.options.fingerprint_key,
            behind: (attached == Attached::Tc)
                .then(|| occupant::find(wanted.ifindex))
                .flatten()
                .map(|occupant| occupant.to_string()),
            xdp_free: Arc::new(AtomicBool::new(false)),
            _claim: None,
            inherited,
            lease,
        })
    }
}
