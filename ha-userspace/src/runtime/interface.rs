//! One interface that virtual routers use: how adverts come in and go out through it.
//!
//! Receives through XDP where it can be attached, else through raw sockets, and says which. The daemon drains what
//! arrived and judges it; nothing is judged here.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use ha_common::layout::Contender;
use ha_common::probe::Keys;
use ha_common::rank::{CONTENDERS, Standing, bid, take_down};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

use super::foreign::Foreign;
use super::inspector::{Inspector, Pending};
use super::loading::{AttachPlan, Loader, Loading, Rise};
use super::receive::Receive;
use super::senders::Senders;
use crate::config::model::XdpMode;
use crate::lost::{self, Lost};
use crate::net::error::SocketError;
use crate::net::monitor::Link;
use crate::xdp::{AttachError, Attached, Variant, XdpInterface};

/// How long it is believed that the program is attached: from a peer's first missed probe to the verdict.
const FORESIGHT: Span = Span::from_millis(10);

/// An interface of the configuration, whether or not it exists.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    /// Index while it exists.
    pub(super) index: Option<u32>,
    /// Up with carrier.
    pub(super) up: bool,
    pub(super) mac: Option<[u8; 6]>,
    /// Addresses on it that are no virtual addresses: whoever else sends from one of them has a problem.
    pub(super) own: Vec<IpAddr>,
    /// Why adverts are not received through XDP in native mode; empty where they are.
    pub(super) why: String,
    /// Some of its virtual routers want fast failover.
    fast: bool,
    /// What the host does not give here, though nobody chose to go without.
    lost: Vec<Lost>,
    /// The line that said so.
    complaint: String,
    pub(super) receive: Receive,
    /// The program that is to take the sockets' place.
    loading: Option<Loading>,
    /// Its program is on the way from traffic control to XDP.
    rising: Option<Receiver<Rise>>,
    /// Frames of VRRP that were counted before the program was attached, and whether it was said that none came since.
    before: u64,
    said_deaf: bool,
    /// It has just been attached: nothing of the configuration is in its maps yet.
    fresh: bool,
    /// What tags of probes are under, once that is known.
    pub(super) keys: Option<Keys>,
    /// Who would take over, by family, where no program takes it down.
    contenders: [[Contender; CONTENDERS]; 2],
    pub(super) senders: Senders,
    /// When it was last asked whether the program is still attached.
    asked: Time,
    /// The answer to that, while it is on its way.
    inspection: Option<Pending>,
    /// VRIDs that are not configured here and were heard.
    pub(super) unknown: HashSet<(Family, Vrid)>,
    /// Those of them that advertise an address of ours.
    pub(super) foreign: Foreign,
}

impl Interface {
    /// An interface of which nothing is known yet.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            index: None,
            up: false,
            mac: None,
            own: Vec::new(),
            why: String::new(),
            fast: false,
            lost: Vec::new(),
            complaint: String::new(),
            receive: Receive::nothing(),
            loading: None,
            rising: None,
            before: 0,
            said_deaf: false,
            fresh: false,
            keys: None,
            contenders: Default::default(),
            senders: Senders::default(),
            asked: Time(0),
            inspection: None,
            unknown: HashSet::new(),
            foreign: Foreign::default(),
        }
    }

    /// Begins with an interface that exists, which will receive through sockets until it has the program.
    pub(super) fn begin(&mut self, index: u32, program: Loading, plan: AttachPlan) {
        self.index = Some(index);
        self.fast = plan.fast;
        self.loading = Some(program);
        self.why = "the XDP program is being loaded".to_owned();
        self.receive.use_sockets();
    }

    /// Opens what is needed on it. Each string returned is a line for the log.
    pub(super) fn open(&mut self, link: &Link, plan: AttachPlan, families: &[Family]) -> Vec<String> {
        self.fast = plan.fast;
        let mut lines = Vec::new();
        for &family in families {
            let sends = self.senders.open(link.index, family, None);
            let listens = self.receive.listen(link.index, family, plan.tap);
            let errors = [sends, listens].into_iter().filter_map(Result::err);
            lines.extend(errors.map(|error| format!("{}: {error}", self.name)));
        }
        if plan.authenticated
            && let Err(error) = self.receive.listen_authenticated(link.index)
        {
            lines.push(format!("{}: {error}", self.name));
        }
        lines
    }

    /// Takes what its link is now. `virtual_addresses` are nobody's own.
    pub(super) fn follow(&mut self, link: &Link, virtual_addresses: &[IpAddr]) {
        self.up = link.up;
        self.mac = link.mac;
        if let (Some(mac), Some(xdp)) = (link.mac, self.xdp()) {
            xdp.lease.set_mac(mac);
        }
        let v4 = link.v4.iter().map(|held| IpAddr::V4(held.address));
        let v6 = link.v6.iter().map(|held| IpAddr::V6(held.address));
        self.own = v4.chain(v6).filter(|address| !virtual_addresses.contains(address)).collect();
    }

    /// Tells the program where probes are sent: to where our adverts come from. Several addresses are taken for any.
    pub(super) fn tell_sources(&self, sources: impl Iterator<Item = IpAddr> + Clone) {
        let Some(xdp) = self.xdp() else { return };
        let only = |family: Family| {
            let mut of_family = sources.clone().filter(|address| Family::of(*address) == family);
            let first = of_family.next()?;
            of_family.all(|other| other == first).then_some(first)
        };
        let v4 = match only(Family::V4) {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        };
        let v6 = match only(Family::V6) {
            Some(IpAddr::V6(address)) => Some(address),
            _ => None,
        };
        xdp.lease.set_own(v4, v6);
    }

    /// Puts the program into the place of the sockets, where it is there by now or after `wait`, and says whether it
    /// is.
    pub(super) fn take_program(&mut self, wait: Option<Duration>) -> bool {
        match self.loading.take().map(|loading| loading.outcome(wait)) {
            None => return false,
            Some(Err(loading)) => {
                self.loading = loading;
                return false;
            }
            Some(Ok(Ok(program))) => self.use_program(program),
            Some(Ok(Err(error))) => {
                self.why = error.to_string();
                let chosen = matches!(error, AttachError::Off { .. });
                let reason = format!("{error}; adverts are received through raw sockets instead");
                self.lose(reason, &lost::WITHOUT_XDP, chosen);
            }
        }
        self.fresh
    }

    fn use_program(&mut self, mut program: XdpInterface) {
        let unpinned = program.unpinned().map(|reason| format!("{}: {reason}; nothing is pinned", self.name));
        let notes: Vec<_> = program.notes().iter().chain(&unpinned).cloned().collect();
        self.why = notes.join("; ");
        let mode = program.attached().word();
        let place = if program.attached() == Attached::Tc { "traffic control" } else { "XDP" };
        tracing::info!("{}: adverts are read through {place} ({mode})", self.name);
        for note in program.notes() {
            tracing::info!("{note}");
        }
        if let Some(reason) = unpinned {
            self.lose(reason, &[Lost::FenceAfterDeath], false);
        }
        // Nobody is warned of that: where it matters, native mode is refused, and that is said.
        if program.variant() == Variant::Linear {
            self.lost.push(Lost::MultiBuffer);
        }
        if let Some(log) = program.log.take() {
            tokio::spawn(log.forward());
        }
        self.receive.use_program(program);
        self.fresh = true;
        self.before = self.receive.heard();
        self.said_deaf = false;
    }

    /// Begins to go from traffic control to XDP, if the program is there.
    pub(super) fn rise(&mut self, loader: &Loader, mode: XdpMode) {
        if self.rising.is_none() {
            self.rising = self.xdp().and_then(|xdp| xdp.raise(mode)).map(|raise| loader.raise(raise));
        }
    }

    /// Goes on with the program in XDP, where it is there by now.
    pub(super) fn take_rise(&mut self) {
        let outcome = match self.rising.as_ref().map(Receiver::try_recv) {
            None | Some(Err(TryRecvError::Empty)) => return,
            Some(outcome) => outcome,
        };
        self.rising = None;
        match (outcome, self.receive.xdp_mut()) {
            (Ok(Ok(Some(raised))), Some(interface)) => {
                interface.install(raised);
                self.why = interface.notes().join("; ");
                // It is about the program that has gone.
                self.inspection = None;
                let mode = interface.attached().word();
                tracing::info!("{}: XDP is free: adverts are read through it ({mode})", self.name);
            }
            (Ok(Err(reason)), _) => tracing::info!("{reason}"),
            _ => {}
        }
    }

    /// The XDP program that may keep VRRP from us: ours is behind it and has heard nothing.
    pub(super) fn deafened_by(&self) -> Option<String> {
        let program = self.xdp()?.behind()?;
        (self.receive.heard() == self.before).then(|| {
            format!(
                "{}: nothing of VRRP has been heard since the start; {program} runs first and may drop it (IP protocol \
                 112 must pass)",
                self.name
            )
        })
    }

    /// Whether its program is on the way.
    pub(super) const fn is_loading(&self) -> bool {
        self.loading.is_some() || self.rising.is_some()
    }

    /// Says that, once.
    pub(super) fn say_deaf(&mut self) {
        if !self.said_deaf
            && let Some(warning) = self.deafened_by()
        {
            tracing::warn!("{warning}");
            self.said_deaf = true;
        }
    }

    /// Why adverts are not received through XDP in native mode, for `status`.
    pub(super) fn reason(&self) -> String {
        match self.xdp() {
            Some(xdp) if xdp.is_xdp_free() => {
                format!("{}; that program has gone: `xvrrp reload` brings ours to XDP", self.why)
            }
            _ => self.why.clone(),
        }
    }

    /// Whether something better is possible, as [`Interface::reason`] says.
    pub(super) fn is_improvable(&self) -> bool {
        self.xdp().is_some_and(|xdp| {
            xdp.is_xdp_free() || xdp.attached() == Attached::Generic && !self.why.is_empty()
        })
    }

    /// Says what is lost and why. Where nobody wants it, or somebody `chose` to go without, it is no complaint.
    fn lose(&mut self, reason: String, lost: &[Lost], chosen: bool) {
        self.complaint = format!("{reason}: {}", lost::list(lost));
        match (self.fast, chosen) {
            (true, false) => tracing::warn!("{}", self.complaint),
            (true, true) => tracing::info!("{}", self.complaint),
            (false, _) => tracing::info!("{reason}"),
        }
        self.lost = if chosen { Vec::new() } else { lost.to_vec() };
    }

    /// What is lost that some virtual router wants, in the words of the log; `None` where all is well.
    pub(super) fn complaint(&self) -> Option<&str> {
        (self.fast && !self.lost.is_empty() && !self.complaint.is_empty()).then_some(&*self.complaint)
    }

    /// The same as a list.
    pub(super) fn lost(&self) -> &[Lost] {
        if self.fast { &self.lost } else { &[] }
    }

    /// Whether the program has been attached since this was asked last.
    pub(super) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    /// Gives everything back: the interface is gone, or no virtual router uses it any more.
    pub(super) fn close(&mut self, loader: &Loader) {
        let closed = std::mem::replace(self, Self::new(&self.name));
        if let Some(program) = closed.receive.into_program() {
            loader.detach(program);
        }
    }

    /// Leaves the XDP program attached for the next run.
    pub(super) fn leave(self) {
        if let Some(program) = self.receive.into_program() {
            program.leave();
        }
    }

    /// The XDP program's memory, where there is one.
    pub(super) fn xdp(&self) -> Option<&XdpInterface> {
        self.receive.xdp()
    }

    /// The same, to change its maps.
    pub(super) fn xdp_mut(&mut self) -> Option<&mut XdpInterface> {
        self.receive.xdp_mut()
    }

    /// Whether somebody else has detached the program, which then sees no adverts and answers no probes. Asked at most
    /// once a second, unless it is `urgent`. The kernel answers under its lock of links. Who cannot wait for that may
    /// `listen` instead, for as long as some probes take: where the program is gone, their replies reach the stack, and
    /// where the peer is, there are none.
    pub(super) fn lost_program(
        &mut self,
        inspector: &Inspector,
        urgent: bool,
        listen: Option<Duration>,
        now: Time,
    ) -> bool {
        if self.rising.is_some() {
            return false;
        }
        let age = now.span_since(self.asked);
        if urgent && let Some(pending) = self.inspection.take() {
            // An answer to an earlier question is of an earlier moment: good news is believed while it is new.
            match pending.answer(false) {
                Ok(attached) if !attached || age <= FORESIGHT => return !attached,
                Err(pending) if age <= FORESIGHT => self.inspection = pending,
                Ok(_) | Err(_) => {}
            }
        }
        if self.inspection.is_none() && (urgent || age >= Span::SECOND) {
            self.inspect(inspector, now);
        }
        let mut answer = match (self.inspection.take(), listen) {
            (Some(pending), Some(_)) if urgent => Some(pending.answer_soon()),
            (pending, _) => pending.map(|pending| pending.answer(urgent)),
        };
        if let (Some(Err(pending @ Some(_))), Some(listen)) = (&mut answer, listen.filter(|_| urgent)) {
            self.receive.heard_replies();
            std::thread::sleep(listen);
            if self.receive.heard_replies() {
                answer = pending.take().map(|pending| pending.answer(true));
            }
        }
        match answer {
            Some(Ok(attached)) => !attached,
            Some(Err(pending)) => {
                self.inspection = pending;
                false
            }
            None => false,
        }
    }

    /// Asks whether the program is still attached.
    pub(super) fn inspect(&mut self, inspector: &Inspector, now: Time) {
        // Its place changes just now.
        if self.rising.is_some() {
            return;
        }
        self.asked = now;
        self.inspection = self.xdp().and_then(|xdp| inspector.ask(xdp));
    }

    /// Takes down that a router would take over with this priority, and counts those that go before it.
    pub(super) fn rank(&mut self, router: IpAddr, priority: u8, now: Time) -> Standing {
        let (family, end) = match router {
            IpAddr::V4(address) => (0, u32::from(address)),
            IpAddr::V6(address) => (1, u128::from(address) as u32),
        };
        take_down(&mut self.contenders[family], bid(priority, end), true, now.0)
    }

    /// Makes sure that adverts can be sent from a virtual MAC address.
    pub(super) fn open_sender(&mut self, family: Family, mac: [u8; 6]) -> Result<(), SocketError> {
        let Some(index) = self.index else { return Ok(()) };
        self.senders.open(index, family, Some(mac))
    }
}
