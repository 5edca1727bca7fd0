//! The loop of the BFD thread: hear, judge, send.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::sync::mpsc::TryRecvError;

use ha_common::bfd::session::{Session, Settings};
use ha_common::bfd::{Packet, State, TTL};
use ha_common::time::{Span, Time};
use nix::poll::{PollFd, PollFlags, ppoll};
use socket2::Socket;

use super::socket::{self, Datagram, Listener};
use super::{BfdOrder, GRACE, key};
use crate::config::model::Bfd;
use crate::net::clock;
use crate::realtime;
use crate::track::Seen;
use crate::track::board::Board;
use crate::worker::Inbox;

/// After this a socket that could not be opened, or a packet that could not be sent, is tried again.
const RETRY: Span = Span::SECOND;
/// Datagrams read before sessions are served, so that a flood does not silence this side.
const MOST_DATAGRAMS: usize = 256;

/// Everything that the thread owns.
#[derive(Debug)]
pub(super) struct Speaker {
    board: Board,
    peers: Vec<Peer>,
    listeners: [Option<Listener>; 2],
    /// When listeners that are missing are tried again.
    retry: Time,
    refused: Option<String>,
    random: RandomState,
    drawn: u64,
}

/// One session with its socket.
#[derive(Debug)]
pub(super) struct Peer {
    spec: Bfd,
    session: Session,
    socket: Option<Socket>,
    retry: Time,
    since: Time,
    been_up: bool,
    /// What was told last, with the detection time.
    told: Option<(State, Seen, Option<Span>)>,
    failure: Option<String>,
}

impl Speaker {
    pub(super) fn new(board: Board) -> Self {
        Self {
            board,
            peers: Vec::new(),
            listeners: [None, None],
            retry: Time::default(),
            refused: None,
            random: RandomState::new(),
            drawn: 0,
        }
    }

    /// Runs until the channel is closed.
    pub(super) fn run(mut self, orders: &Inbox<BfdOrder>) {
        // Each refusal is said once, in the main loop's words; this thread then runs as it is.
        let _ = realtime::exact_timers();
        let mut scheduled = None;
        loop {
            match orders.take() {
                Ok((specs, priority)) => {
                    if scheduled.replace(priority) != Some(priority) {
                        let _ = realtime::set_priority(priority);
                    }
                    self.apply(specs);
                }
                Err(TryRecvError::Empty) => {
                    let next = self.turn();
                    self.wait(orders, next);
                }
                Err(TryRecvError::Disconnected) => return self.apply(Vec::new()),
            }
        }
    }

    fn apply(&mut self, specs: Vec<Bfd>) {
        let now = clock::now();
        let mut old = std::mem::take(&mut self.peers);
        for spec in specs {
            let known = old.iter().position(|peer| {
                peer.spec.name == spec.name
                    && (peer.spec.neighbor, peer.spec.source, peer.spec.ttl)
                        == (spec.neighbor, spec.source, spec.ttl)
            });
            let peer = match known.map(|at| old.swap_remove(at)) {
                Some(mut peer) => {
                    peer.session.configure(settings(&spec));
                    peer.spec = spec;
                    peer
                }
                None => {
                    let mine = self.discriminator();
                    Peer::new(spec, mine, now)
                }
            };
            self.peers.push(peer);
        }
        for mut peer in old {
            peer.leave(now);
        }
        let families =
            [true, false].map(|v4| self.peers.iter().any(|peer| peer.spec.neighbor.is_ipv4() == v4));
        for (listener, wanted) in self.listeners.iter_mut().zip(families) {
            if !wanted {
                *listener = None;
            }
        }
        self.retry = now;
    }

    /// Does everything that is due now; returns when to come back.
    fn turn(&mut self) -> Time {
        let now = clock::now();
        if self.retry <= now {
            self.listen(now);
        }
        // Deadlines are judged at a time before the sockets are read: whatever stalls this turn, a packet that came in
        // time is heard. Where there is more to read nobody is judged yet.
        let emptied = self.hear();
        let mut next = self.retry;
        for at in 0..self.peers.len() {
            let jitter = self.draw();
            let peer = &mut self.peers[at];
            if emptied {
                peer.session.handle_timeout(now);
            }
            if peer.socket.is_none() && peer.retry <= now {
                let random = u16::from_ne_bytes([jitter.to_ne_bytes()[1], jitter.to_ne_bytes()[2]]);
                peer.open(now, random);
            }
            peer.send(now, jitter.to_ne_bytes()[0]);
            peer.tell(&self.board, self.refused.as_deref(), now);
            next = next.min(peer.next(now));
        }
        if emptied { next } else { now }
    }

    /// Opens the listeners that are missing.
    fn listen(&mut self, now: Time) {
        self.retry = Time::NEVER;
        let mut refused = None;
        for (listener, v4) in self.listeners.iter_mut().zip([true, false]) {
            if listener.is_some() || !self.peers.iter().any(|peer| peer.spec.neighbor.is_ipv4() == v4) {
                continue;
            }
            match Listener::open(v4) {
                Ok(opened) => *listener = Some(opened),
                Err(error) => {
                    refused = Some(format!("UDP port {} cannot be used: {error}", ha_common::bfd::PORT));
                    self.retry = now.after(RETRY);
                }
            }
        }
        if refused != self.refused {
            if let Some(why) = &refused {
                tracing::error!("BFD: {why}; stop the other BFD daemon of this host");
            }
            self.refused = refused;
        }
    }

    /// Reads the sockets; true where nothing is left.
    fn hear(&mut self) -> bool {
        let mut emptied = true;
        for listener in self.listeners.iter_mut().flatten() {
            let mut read = 0;
            while let Some(datagram) = listener.receive() {
                hand_over(&mut self.peers, &datagram);
                read += 1;
                if read == MOST_DATAGRAMS {
                    emptied = false;
                    break;
                }
            }
        }
        emptied
    }

    fn wait(&self, orders: &Inbox<BfdOrder>, next: Time) {
        let mut fds = vec![PollFd::new(orders.as_fd(), PollFlags::POLLIN)];
        let listeners = self.listeners.iter().flatten();
        fds.extend(listeners.map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
        let timeout = (next != Time::NEVER).then(|| {
            let left = next.span_since(clock::now());
            clock::to_timespec(Time(left.0))
        });
        // Interrupted or refused: whatever is due is done by the next turn.
        let _ = ppoll(&mut fds, timeout, None);
    }

    fn discriminator(&mut self) -> NonZeroU32 {
        loop {
            let [a, b, c, d, ..] = self.draw().to_ne_bytes();
            let drawn = NonZeroU32::new(u32::from_ne_bytes([a, b, c, d]));
            let free = |one: &NonZeroU32| self.peers.iter().all(|peer| peer.session.discriminator() != *one);
            if let Some(drawn) = drawn.filter(free) {
                return drawn;
            }
        }
    }

    /// A random number: good enough for jitter, and for discriminators that a restart does not repeat.
    fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut hasher = self.random.build_hasher();
        hasher.write_u64(self.drawn);
        hasher.finish()
    }
}

/// Finds the session that a datagram is for (RFC 5880, section 6.8.6; RFC 5881, section 5). What is not acceptable is
/// dropped without a word: anybody can send it.
pub(super) fn hand_over(peers: &mut [Peer], datagram: &Datagram) {
    let Ok(packet) = Packet::parse(datagram.payload()) else { return };
    // Also where the discriminator tells which session is meant: a neighbour is known by its address.
    let found = peers.iter_mut().find(|peer| {
        peer.spec.neighbor == datagram.source
            && (packet.yours == 0 || packet.yours == peer.session.discriminator().get())
    });
    let Some(peer) = found else { return };
    let lowest = TTL.saturating_sub(peer.spec.max_hops);
    if datagram.ttl.is_some_and(|ttl| ttl >= lowest) || peer.spec.max_hops == u8::MAX {
        peer.session.receive(&packet, datagram.at);
    }
}

impl Peer {
    pub(super) fn new(spec: Bfd, mine: NonZeroU32, now: Time) -> Self {
        Self {
            session: Session::new(settings(&spec), mine, now),
            spec,
            socket: None,
            retry: now,
            since: now,
            been_up: false,
            told: None,
            failure: None,
        }
    }

    #[cfg(test)]
    pub(super) fn state(&self) -> State {
        self.session.state()
    }

    fn open(&mut self, now: Time, random: u16) {
        match socket::sender(self.spec.source, self.spec.neighbor, self.spec.ttl, random) {
            Ok(socket) => self.socket = Some(socket),
            Err(error) => self.fail(now, &error),
        }
    }

    fn fail(&mut self, now: Time, error: &std::io::Error) {
        self.retry = now.after(RETRY);
        let failure = error.to_string();
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(
                "bfd {}: nothing can be sent to {}: {failure}",
                self.spec.name,
                self.spec.neighbor
            );
        }
        self.failure = Some(failure);
    }

    fn send(&mut self, now: Time, jitter: u8) {
        while let Some(packet) = self.session.poll_transmit(now, jitter) {
            let Some(socket) = &self.socket else { continue };
            let (bytes, to) = (packet.emit(), socket::destination(self.spec.neighbor));
            let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
            // An ICMP message about an earlier packet, of when the neighbour did not listen: this one was not sent.
            let sent = match socket.send_to(&bytes, &to) {
                Err(error) if refused(&error) => socket.send_to(&bytes, &to),
                sent => sent,
            };
            match sent {
                Ok(_) => self.failure = None,
                Err(error) if refused(&error) => {}
                Err(error) => self.fail(now, &error),
            }
        }
    }

    /// The session ends, which is no failure. Nobody will be here to say so again if the packet is lost (RFC 5880 section
    /// 6.8.16 has it sent for a detection time), so it goes out as often as the neighbour may miss one.
    fn leave(&mut self, now: Time) {
        for _ in 0..self.spec.multiplier.max(1) {
            self.session.disable();
            self.send(now, 0);
        }
    }

    fn next(&self, now: Time) -> Time {
        let grace = if self.been_up { Time::NEVER } else { self.since.after(grace()) };
        let grace = if grace <= now { Time::NEVER } else { grace };
        let open = if self.socket.is_none() { self.retry } else { Time::NEVER };
        self.session.next_deadline().min(grace).min(open)
    }

    /// Writes what it is to the board, and says a change.
    fn tell(&mut self, board: &Board, refused: Option<&str>, now: Time) {
        let state = self.session.state();
        self.been_up |= state == State::Up;
        let seen = match state {
            State::Up => Seen::Good,
            _ if !self.been_up && now < self.since.after(grace()) => Seen::Pending,
            _ => Seen::Bad,
        };
        let now_told = (state, seen, self.session.detection_time().filter(|_| state == State::Up));
        let before = self.told.replace(now_told);
        if before == Some(now_told) {
            return;
        }
        let name = &self.spec.name;
        let detail = match (state, refused) {
            (_, Some(refused)) => refused.to_owned(),
            (State::Up, None) => {
                let time = self.session.detection_time().unwrap_or(Span::ZERO);
                format!("{} is up, its death is noticed within {} ms", self.spec.neighbor, time.0 / 1_000_000)
            }
            (_, None) => {
                format!("{} is {}: {}", self.spec.neighbor, state.word(), self.session.diagnostic().word())
            }
        };
        board.set(&key(&self.spec), seen, &detail);
        match (before.map(|(state, ..)| state), state) {
            (Some(State::Up), State::Up) => {}
            (_, State::Up) => tracing::info!(kind = "tracker", "bfd {name}: {detail}"),
            (Some(State::Up), _) => tracing::warn!(kind = "tracker", "bfd {name}: {detail}"),
            _ if seen == Seen::Bad && before.is_some_and(|(_, seen, _)| seen == Seen::Pending) => {
                tracing::warn!(kind = "tracker", "bfd {name}: {detail}");
            }
            _ => {}
        }
    }
}

fn grace() -> Span {
    GRACE.into()
}

fn settings(spec: &Bfd) -> Settings {
    Settings {
        desired_min_tx: spec.min_tx.into(),
        required_min_rx: spec.min_rx.into(),
        idle_tx: spec.idle_tx.into(),
        multiplier: spec.multiplier.max(1),
        passive: spec.passive,
    }
}
