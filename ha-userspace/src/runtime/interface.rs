//! One interface that virtual routers use: how adverts come in and go out through it.
//!
//! Receives through XDP where it can be attached, else through raw sockets, and says which. The daemon drains what
//! arrived and judges it; nothing is judged here.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::task::{Context, Poll};
use std::time::Duration;

use ha_common::classify::{Origin, parse_ip_packet};
use ha_common::counter::{Counter, JudgedCounters, XdpCounters};
use ha_common::layout::Contender;
use ha_common::packet::Endpoints;
use ha_common::probe::Keys;
use ha_common::rank::{CONTENDERS, bid, take_down};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

use super::inspector::{Inspector, Pending};
use super::loading::{Loader, Loading, Rise};
use crate::config::model::XdpMode;
use crate::lost::{self, Lost};
use crate::net::advert_rx::{AdvertRx, Membership};
use crate::net::advert_tx::AdvertTx;
use crate::net::error::SendFailure;
use crate::net::monitor::Link;
use crate::xdp::{AttachError, Attached, Variant, XdpInterface};

/// Frames that are taken from one interface in one go. More than the ring of the XDP program holds.
const DRAIN_LIMIT: usize = 8192;

/// What the daemon was started with, as far as interfaces care.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) fingerprint_key: [u64; 2],
    pub(super) incarnation: u64,
    pub(super) bpffs: Option<PathBuf>,
    pub(super) bpf_log: Option<aya_log::Level>,
    pub(super) tcx: bool,
}

/// How the configuration wants an interface's XDP program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) mode: XdpMode,
    pub(super) probe_keys: Keys,
    /// Sockets must see frames from virtual MAC addresses that interfaces on this one have too.
    pub(super) tap: bool,
    /// Some of its routers have `auth_type AH`.
    pub(super) authenticated: bool,
    /// Some of its routers have `fast_failover`.
    pub(super) fast: bool,
}

/// A packet to be judged, from either way of receiving.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) at: Time,
    /// Zero where it came through a socket.
    pub(super) fingerprint: u64,
    pub(super) endpoints: Endpoints,
    pub(super) ttl: u8,
    pub(super) pdu: Vec<u8>,
    /// `None` where it came through a socket.
    pub(super) source_mac: Option<[u8; 6]>,
    /// The whole IP packet, where an authentication header that nobody has checked precedes the PDU. The fingerprint
    /// does not cover that header, and is zero.
    pub(super) authenticated: Option<Vec<u8>>,
    /// It came before this run had the program, and the run before did not look at it any more.
    pub(super) unheard: bool,
}

impl Frame {
    /// Virtual router that the packet claims to be for.
    pub(super) fn router(&self) -> Option<(Family, Vrid)> {
        Some((self.endpoints.family(), Vrid::new(*self.pdu.get(1)?)?))
    }
}

/// How adverts come in.
#[derive(Debug)]
enum Receive {
    /// Not at all: the interface does not exist, or sockets failed too.
    Nothing,
    Xdp(Box<XdpInterface>),
    Sockets(Vec<AdvertRx>),
}

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
    /// Some of its routers want fast failover.
    fast: bool,
    /// What the host does not give here, though nobody chose to go without.
    lost: Vec<Lost>,
    /// The line that said so.
    complaint: String,
    receive: Receive,
    /// The program that is to take the sockets' place.
    loading: Option<Loading>,
    /// Its program is on the way from traffic control to XDP.
    rising: Option<Receiver<Rise>>,
    /// Frames of VRRP that were counted before the program was attached, and whether it was said that none came since.
    before: u64,
    said_deaf: bool,
    /// It has just been attached: nothing of the configuration is in its maps yet.
    fresh: bool,
    members: Vec<(Family, Membership)>,
    member_authenticated: Option<Membership>,
    /// What tags of probes are under, once that is known.
    pub(super) keys: Option<Keys>,
    /// Who would take over, by family, where no program takes it down.
    contenders: [[Contender; CONTENDERS]; 2],
    senders: Vec<AdvertTx>,
    /// Packets that the sockets lost.
    socket_losses: u64,
    /// What was decided about frames while there is no map to count in, by [`Counter::index`].
    counted: [u64; Counter::COUNT],
    /// When it was last asked whether the program is still attached.
    asked: Time,
    /// The answer to that, while it is on its way.
    inspection: Option<Pending>,
    /// VRIDs that are not configured here and have been logged.
    pub(super) unknown: HashSet<(Family, Vrid)>,
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
            receive: Receive::Nothing,
            loading: None,
            rising: None,
            before: 0,
            said_deaf: false,
            fresh: false,
            members: Vec::new(),
            member_authenticated: None,
            keys: None,
            contenders: Default::default(),
            senders: Vec::new(),
            socket_losses: 0,
            asked: Time(0),
            inspection: None,
            unknown: HashSet::new(),
            counted: [0; Counter::COUNT],
        }
    }

    /// Begins with an interface that exists, which will receive through sockets until it has the program.
    pub(super) fn begin(&mut self, index: u32, program: Loading, plan: Plan) {
        self.index = Some(index);
        self.fast = plan.fast;
        self.loading = Some(program);
        self.why = "the XDP program is being loaded".to_owned();
        self.receive = Receive::Sockets(Vec::new());
    }

    /// Opens what is needed on it. Each string returned is a line for the log.
    pub(super) fn open(&mut self, link: &Link, plan: Plan, families: &[Family]) -> Vec<String> {
        self.fast = plan.fast;
        let mut lines = Vec::new();
        for &family in families {
            if !self.senders.iter().any(|sender| sender.family() == family && sender.mac().is_none()) {
                match AdvertTx::open(link.index, family) {
                    Ok(sender) => self.senders.push(sender),
                    Err(error) => lines.push(format!("{}: {error}", self.name)),
                }
            }
            if let Err(error) = self.listen(link.index, family, plan.tap) {
                lines.push(format!("{}: {error}", self.name));
            }
        }
        if plan.authenticated
            && let Err(error) = self.listen_authenticated(link.index)
        {
            lines.push(format!("{}: {error}", self.name));
        }
        lines
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
            Some(Ok(Ok(mut interface))) => {
                let unpinned =
                    interface.unpinned().map(|reason| format!("{}: {reason}; nothing is pinned", self.name));
                let notes: Vec<_> = interface.notes().iter().chain(&unpinned).cloned().collect();
                self.why = notes.join("; ");
                let mode = interface.attached().word();
                let place = if interface.attached() == Attached::Tc { "traffic control" } else { "XDP" };
                tracing::info!("{}: adverts are read through {place} ({mode})", self.name);
                for note in interface.notes() {
                    tracing::info!("{note}");
                }
                if let Some(reason) = unpinned {
                    self.lose(reason, &[Lost::FenceAfterDeath], false);
                }
                // Nobody is warned of that: where it matters, native mode is refused, and that is said.
                if interface.variant() == Variant::Linear {
                    self.lost.push(Lost::MultiBuffer);
                }
                if let Some(log) = interface.log.take() {
                    tokio::spawn(log.forward());
                }
                self.receive = Receive::Xdp(Box::new(interface));
                self.fresh = true;
                self.before = self.heard();
                self.said_deaf = false;
            }
            Some(Ok(Err(error))) => {
                self.why = error.to_string();
                let chosen = matches!(error, AttachError::Off { .. });
                let reason = format!("{error}; adverts are received through raw sockets instead");
                self.lose(reason, &lost::WITHOUT_XDP, chosen);
            }
        }
        self.fresh
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
        match (outcome, &mut self.receive) {
            (Ok(Ok(Some(raised))), Receive::Xdp(interface)) => {
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

    /// Frames of VRRP that were heard, ever.
    fn heard(&self) -> u64 {
        self.counters().into_iter().map(|(_, value)| value).sum()
    }

    /// The XDP program that may keep VRRP from us: ours is behind it and has heard nothing.
    pub(super) fn deafened_by(&self) -> Option<String> {
        let program = self.xdp()?.behind()?;
        (self.heard() == self.before).then(|| {
            format!(
                "{}: nothing of VRRP has been heard since the start; {program} runs first and may drop it (IP protocol \
                 112 must pass)",
                self.name
            )
        })
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

    /// What is lost that some router wants, in the words of the log; `None` where all is well.
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

    fn listen(
        &mut self,
        index: u32,
        family: Family,
        tap: bool,
    ) -> Result<(), crate::net::error::SocketError> {
        match &mut self.receive {
            Receive::Nothing => {}
            Receive::Xdp(_) => {
                if !self.members.iter().any(|(joined, _)| *joined == family) {
                    self.members.push((family, Membership::join(index, family)?));
                }
            }
            Receive::Sockets(sockets) => {
                let plain = |socket: &AdvertRx| socket.family() == family && !socket.is_authenticated();
                if !sockets.iter().any(|socket| plain(socket) && socket.is_tap() == tap) {
                    sockets.retain(|socket| !plain(socket));
                    sockets.push(if tap {
                        AdvertRx::open_tap(index, family)?
                    } else {
                        AdvertRx::open(index, family)?
                    });
                }
                if tap && !self.members.iter().any(|(joined, _)| *joined == family) {
                    self.members.push((family, Membership::join(index, family)?));
                }
            }
        }
        Ok(())
    }

    /// The same for adverts behind an authentication header. XDP hands those up as it does others.
    fn listen_authenticated(&mut self, index: u32) -> Result<(), crate::net::error::SocketError> {
        match &mut self.receive {
            Receive::Nothing => {}
            Receive::Xdp(_) if self.member_authenticated.is_none() => {
                self.member_authenticated = Some(Membership::join_authenticated(index)?);
            }
            Receive::Xdp(_) => {}
            Receive::Sockets(sockets) => {
                if !sockets.iter().any(AdvertRx::is_authenticated) {
                    sockets.push(AdvertRx::open_authenticated(index)?);
                }
            }
        }
        Ok(())
    }

    /// Gives everything back: the interface is gone, or no virtual router uses it any more.
    pub(super) fn close(&mut self, loader: &Loader) {
        let closed = std::mem::replace(self, Self::new(&self.name));
        if let Receive::Xdp(interface) = closed.receive {
            loader.detach(interface);
        }
    }

    /// Leaves the XDP program attached for the next run.
    pub(super) fn leave(self) {
        if let Receive::Xdp(interface) = self.receive {
            interface.leave();
        }
    }

    /// The word for `status`: how adverts are received.
    pub(super) fn receives(&self) -> &'static str {
        match &self.receive {
            Receive::Nothing => "nothing",
            Receive::Xdp(interface) => interface.attached().word(),
            Receive::Sockets(_) => "raw-socket",
        }
    }

    /// The XDP program's memory, where there is one.
    pub(super) fn xdp(&self) -> Option<&XdpInterface> {
        match &self.receive {
            Receive::Xdp(interface) => Some(interface),
            Receive::Nothing | Receive::Sockets(_) => None,
        }
    }

    /// The same, to change its maps.
    pub(super) fn xdp_mut(&mut self) -> Option<&mut XdpInterface> {
        match &mut self.receive {
            Receive::Xdp(interface) => Some(interface),
            Receive::Nothing | Receive::Sockets(_) => None,
        }
    }

    /// Ready when there may be something to drain.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut ready = false;
        match &self.receive {
            Receive::Nothing => {}
            Receive::Xdp(interface) => ready |= interface.events.poll_readable(context).is_ready(),
            Receive::Sockets(sockets) => {
                for socket in sockets {
                    ready |= socket.poll_readable(context).is_ready();
                }
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes all packets that are queued, oldest first.
    pub(super) fn drain(&mut self, frames: &mut Vec<Frame>) {
        match &mut self.receive {
            Receive::Nothing => {}
            Receive::Xdp(interface) => {
                let begin = interface.inherited().map_or(Time(0), |inherited| inherited.at);
                let XdpInterface { events, judged, .. } = &mut **interface;
                events.drain(DRAIN_LIMIT, |event| match parse_ip_packet(event.packet, Origin::Xdp) {
                    Ok(packet) => {
                        let whole = event.packet.get(..packet.packet.ip_len).unwrap_or_default();
                        let authenticated = packet.packet.authenticated.then(|| whole.to_vec());
                        // The fingerprint is one under the key of the run before.
                        let unheard = event.at < begin;
                        frames.push(Frame {
                            at: event.at,
                            fingerprint: if unheard || authenticated.is_some() {
                                0
                            } else {
                                event.fingerprint
                            },
                            unheard,
                            endpoints: packet.endpoints,
                            ttl: packet.packet.ttl,
                            pdu: packet.pdu.to_vec(),
                            source_mac: Some(event.source_mac),
                            authenticated,
                        });
                    }
                    Err(reason) => judged.count(reason),
                });
            }
            Receive::Sockets(sockets) => {
                for socket in sockets {
                    for _ in 0..DRAIN_LIMIT {
                        let Ok(Some(received)) = socket.try_recv() else { break };
                        frames.push(Frame {
                            at: received.at,
                            fingerprint: 0,
                            endpoints: received.endpoints,
                            ttl: received.ttl,
                            pdu: received.pdu,
                            source_mac: None,
                            authenticated: received.authenticated,
                            unheard: false,
                        });
                    }
                }
            }
        }
    }

    /// Whether somebody else has detached the program, which then sees no adverts and answers no probes. Asked at most
    /// once a second, unless it is `urgent`.
    pub(super) fn lost_program(&mut self, inspector: &Inspector, urgent: bool, now: Time) -> bool {
        // Its place changes just now.
        if self.rising.is_some() {
            return false;
        }
        if self.inspection.is_none() && (urgent || now.span_since(self.asked) >= Span::SECOND) {
            self.asked = now;
            self.inspection = self.xdp().and_then(|xdp| inspector.ask(xdp));
        }
        match self.inspection.take().map(|pending| pending.answer(urgent)) {
            Some(Ok(attached)) => !attached,
            Some(Err(pending)) => {
                self.inspection = pending;
                false
            }
            None => false,
        }
    }

    /// How many frames were lost on the way to user space, ever. Costs a system call.
    pub(super) fn lost_frames(&mut self) -> u64 {
        match &mut self.receive {
            Receive::Nothing => 0,
            Receive::Xdp(interface) => interface.counters.read().map_or(0, |counters| counters.ring_full),
            Receive::Sockets(sockets) => {
                self.socket_losses +=
                    sockets.iter_mut().map(|socket| u64::from(socket.take_lost())).sum::<u64>();
                self.socket_losses
            }
        }
    }

    /// Counts what user space decided about a frame.
    pub(super) fn count(&mut self, counter: Counter) {
        match (&self.receive, self.counted.get_mut(counter.index() as usize)) {
            (Receive::Xdp(interface), _) => interface.judged.count(counter),
            (_, Some(count)) => *count += 1,
            (_, None) => {}
        }
    }

    /// Every counter with its value.
    pub(super) fn counters(&self) -> Vec<(Counter, u64)> {
        let Some(interface) = self.xdp() else {
            return Counter::ALL.iter().copied().zip(self.counted).collect();
        };
        let decided: [u64; XdpCounters::ALL.len()] =
            bytemuck::cast(interface.counters.read().unwrap_or_default());
        let judged: [u64; JudgedCounters::ALL.len()] = bytemuck::cast(interface.judged.read());
        let both = XdpCounters::ALL.iter().zip(decided).chain(JudgedCounters::ALL.iter().zip(judged));
        both.map(|(counter, value)| (*counter, value)).collect()
    }

    /// Takes down that a router would take over with this priority, and counts those that go before it.
    pub(super) fn rank(&mut self, router: IpAddr, priority: u8, now: Time) -> u8 {
        let (family, end) = match router {
            IpAddr::V4(address) => (0, u32::from(address)),
            IpAddr::V6(address) => (1, u128::from(address) as u32),
        };
        take_down(&mut self.contenders[family], bid(priority, end), true, now.0)
    }

    /// Makes sure that adverts can be sent from a virtual MAC address.
    pub(super) fn open_sender(
        &mut self,
        family: Family,
        mac: [u8; 6],
    ) -> Result<(), crate::net::error::SocketError> {
        let Some(index) = self.index else { return Ok(()) };
        if !self.senders.iter().any(|sender| (sender.family(), sender.mac()) == (family, Some(mac))) {
            self.senders.push(AdvertTx::open_link(index, family, mac)?);
        }
        Ok(())
    }

    /// Queues an advert; `tag` comes back with a failure. `mac`: the virtual MAC address that it is to come from.
    pub(super) fn queue(
        &mut self,
        tag: usize,
        mac: Option<[u8; 6]>,
        endpoints: Endpoints,
        ttl: u8,
        pdu: &[u8],
    ) {
        let wanted = |sender: &&mut AdvertTx| (sender.family(), sender.mac()) == (endpoints.family(), mac);
        if let Some(sender) = self.senders.iter_mut().find(wanted) {
            // The family fits, and no advert is longer than an IP packet.
            let _ = sender.queue(tag, endpoints, ttl, pdu);
        }
    }

    /// The same for an IPv4 packet that is complete with its header.
    pub(super) fn queue_packet(&mut self, tag: usize, destination: Ipv4Addr, packet: &[u8]) {
        if let Some(sender) = self.senders.iter_mut().find(|sender| sender.family() == Family::V4) {
            let _ = sender.queue_packet(tag, destination, packet);
        }
    }

    /// Sends all queued adverts with one system call for each family.
    pub(super) fn flush(&mut self) -> Vec<SendFailure> {
        self.senders.iter_mut().flat_map(AdvertTx::flush).collect()
    }
}
