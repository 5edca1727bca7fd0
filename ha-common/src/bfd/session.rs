//! One BFD session (RFC 5880, sections 6.2 and 6.8): a value that is told what arrived and what time it is.
//!
//! Contract: call [`Session::receive`] for every acceptable packet of the neighbour, with the time at which the
//! kernel received it; when [`Session::next_deadline`] has passed, first hand in everything that is queued, then call
//! [`Session::handle_timeout`] with the present; then take packets from [`Session::poll_transmit`] until there is
//! none. So a stall of this side's own is never taken for the neighbour's death. Times of packets may be earlier than
//! times handed in before; a timeout that comes early does nothing.

use core::num::NonZeroU32;

use super::packet::{Diagnostic, Packet, State};
use crate::time::{Span, Time};

/// While a session is not up, packets are sent no more often (RFC 5880, section 6.8.3).
const SLOWEST_START: Span = Span::SECOND;
/// Answers and changes of state are told at once, but no more often than this, whatever a neighbour sends.
const URGENT: Span = Span::from_millis(1);

/// What the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often to send while the session is up.
    pub desired_min_tx: Span,
    /// How often the neighbour may send.
    pub required_min_rx: Span,
    /// How often to send while the session is not up; one second at least.
    pub idle_tx: Span,
    /// Packets that the neighbour may miss before it calls this side dead; not zero.
    pub multiplier: u8,
    /// Say nothing before the neighbour does.
    pub passive: bool,
}

/// A session. See the module for the order of calls.
#[derive(Clone, Debug)]
pub struct Session {
    settings: Settings,
    mine: NonZeroU32,
    state: State,
    diagnostic: Diagnostic,
    /// The neighbour's discriminator; zero while nothing is known of it.
    yours: u32,
    remote_state: State,
    remote_demand: bool,
    remote_min_rx: Span,
    remote_min_tx: Span,
    remote_multiplier: u8,
    /// In use. While a poll is under way, see section 6.8.3: a longer transmit interval and a shorter receive interval
    /// wait for its end.
    tx: Span,
    rx: Span,
    polling: bool,
    heard: Option<Time>,
    sent: Option<Time>,
    next_tx: Time,
    urgent: bool,
    answer: bool,
}

impl Session {
    /// A session in state Down, with a discriminator that is unique on this host.
    #[must_use]
    pub fn new(settings: Settings, mine: NonZeroU32, now: Time) -> Self {
        let mut session = Self {
            settings,
            mine,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            yours: 0,
            remote_state: State::Down,
            remote_demand: false,
            remote_min_rx: Span::from_micros(1),
            remote_min_tx: Span::ZERO,
            remote_multiplier: 0,
            tx: Span::ZERO,
            rx: settings.required_min_rx,
            polling: false,
            heard: None,
            sent: None,
            next_tx: now,
            urgent: false,
            answer: false,
        };
        session.tx = session.desired_min_tx();
        session
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Why it went down last.
    #[must_use]
    pub const fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// The own discriminator.
    #[must_use]
    pub const fn discriminator(&self) -> NonZeroU32 {
        self.mine
    }

    /// For how long the neighbour may be silent: none is known before it was heard.
    #[must_use]
    pub fn detection_time(&self) -> Option<Span> {
        let longest = self.rx.max(self.remote_min_tx);
        self.heard.map(|_| longest.times(u64::from(self.remote_multiplier)))
    }

    /// How often packets are sent, before jitter; `None` where the neighbour wants none.
    #[must_use]
    pub fn transmit_interval(&self) -> Option<Span> {
        (self.remote_min_rx != Span::ZERO).then(|| self.tx.max(self.remote_min_rx))
    }

    /// Other settings. The session stays as it is; the neighbour is told by a poll.
    pub fn configure(&mut self, settings: Settings) {
        let before = self.desired_min_tx();
        let (rx, multiplier) = (self.settings.required_min_rx, self.settings.multiplier);
        self.settings = settings;
        let after = self.desired_min_tx();
        if (before, rx, multiplier) == (after, settings.required_min_rx, settings.multiplier) {
            return;
        }
        if self.state == State::Up {
            // "the actual transmission interval used MUST NOT change until the Poll Sequence has terminated", where it
            // is increased; the same for a receive interval that is reduced.
            self.tx = self.tx.min(after);
            self.rx = self.rx.max(settings.required_min_rx);
            self.polling = true;
            self.urgent = true;
        } else {
            self.tx = after;
            self.rx = settings.required_min_rx;
        }
    }

    /// Holds the session down until [`Session::enable`]: the neighbour is told that this is no failure, at once however
    /// short ago the last packet was, since there may be no later; and again at each call.
    pub fn disable(&mut self) {
        self.diagnostic = Diagnostic::ADMINISTRATIVE;
        self.go(State::AdminDown);
        self.urgent = true;
        self.sent = None;
    }

    /// Lets the session come up again.
    pub fn enable(&mut self) {
        if self.state == State::AdminDown {
            self.go(State::Down);
        }
    }

    /// Takes a packet of the neighbour, which the kernel received at `at`.
    pub fn receive(&mut self, packet: &Packet, at: Time) {
        // A packet for another discriminator is for an earlier life of this session.
        if packet.yours != 0 && packet.yours != self.mine.get() {
            return;
        }
        self.yours = packet.mine.get();
        self.remote_state = packet.state;
        self.remote_demand = packet.demand;
        self.remote_min_rx = micros(packet.required_min_rx);
        self.remote_min_tx = micros(packet.desired_min_tx);
        self.remote_multiplier = packet.multiplier;
        if packet.last && self.polling {
            self.polling = false;
            self.tx = self.desired_min_tx();
            self.rx = self.settings.required_min_rx;
        }
        self.heard = Some(self.heard.map_or(at, |heard| heard.max(at)));
        self.hasten();
        self.answer |= packet.poll;
        match (self.state, packet.state) {
            (State::AdminDown, _) => self.answer = false,
            (State::Down, State::AdminDown) => {}
            (_, State::AdminDown) | (State::Up, State::Down) => {
                self.diagnostic = Diagnostic::NEIGHBOR;
                self.go(State::Down);
            }
            (State::Down, State::Down) => self.go(State::Init),
            (State::Down | State::Init, State::Init) | (State::Init, State::Up) => self.go(State::Up),
            (State::Down, State::Up) | (State::Init, State::Down) | (State::Up, State::Init | State::Up) => {}
        }
    }

    /// Notices a neighbour that has been silent for the detection time.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.detection_deadline() > now {
            return;
        }
        // "bfd.RemoteDiscr [...] MUST be set to zero if a period of a Detection Time passes without the receipt of a
        // valid, authenticated BFD packet from the remote system." (section 6.8.1)
        self.yours = 0;
        self.heard = None;
        self.remote_state = State::Down;
        self.remote_demand = false;
        self.remote_min_rx = Span::from_micros(1);
        self.polling = false;
        if matches!(self.state, State::Init | State::Up) {
            self.diagnostic = Diagnostic::EXPIRED;
            self.go(State::Down);
        }
    }

    /// The packet that is to be sent now, if one is; call again until there is none.
    ///
    /// `jitter` (0 to 255) is a random number that no other packet had: intervals are shortened by up to a quarter.
    pub fn poll_transmit(&mut self, now: Time, jitter: u8) -> Option<Packet> {
        let periodic = self.next_tx <= now && self.sends();
        let urgent = (self.answer || self.urgent) && self.sends_when_urgent() && self.urgent_at() <= now;
        if !periodic && !urgent {
            return None;
        }
        let answer = core::mem::take(&mut self.answer);
        self.urgent = false;
        self.sent = Some(now);
        if let Some(interval) = self.transmit_interval() {
            self.next_tx = now.after(jittered(interval, self.settings.multiplier, jitter));
        }
        Some(Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            // "a system MUST NOT set both": the answer goes first, the next packet asks.
            poll: self.polling && !answer,
            last: answer,
            control_plane_independent: false,
            demand: false,
            multiplier: self.settings.multiplier,
            mine: self.mine,
            yours: self.yours,
            desired_min_tx: to_micros(self.desired_min_tx()),
            required_min_rx: to_micros(self.settings.required_min_rx),
            required_min_echo_rx: 0,
        })
    }

    /// The earliest time at which [`Session::handle_timeout`] or [`Session::poll_transmit`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        let periodic = if self.sends() { self.next_tx } else { Time::NEVER };
        let urgent = if (self.answer || self.urgent) && self.sends_when_urgent() {
            self.urgent_at()
        } else {
            Time::NEVER
        };
        periodic.min(urgent).min(self.detection_deadline())
    }

    fn detection_deadline(&self) -> Time {
        match (self.heard, self.detection_time()) {
            (Some(heard), Some(time)) => heard.after(time),
            _ => Time::NEVER,
        }
    }

    fn urgent_at(&self) -> Time {
        self.sent.map_or(Time::default(), |sent| sent.after(URGENT))
    }

    /// Periodic packets are sent (section 6.8.7).
    fn sends(&self) -> bool {
        let quiet =
            self.remote_demand && self.state == State::Up && self.remote_state == State::Up && !self.polling;
        self.sends_when_urgent() && self.remote_min_rx != Span::ZERO && !quiet
    }

    fn sends_when_urgent(&self) -> bool {
        !(self.settings.passive && self.yours == 0)
    }

    fn desired_min_tx(&self) -> Span {
        match self.state {
            State::Up => self.settings.desired_min_tx,
            _ => self.settings.idle_tx.max(SLOWEST_START),
        }
    }

    /// The neighbour may want packets sooner than was planned.
    fn hasten(&mut self) {
        if let (Some(interval), Some(sent)) = (self.transmit_interval(), self.sent) {
            self.next_tx = self.next_tx.min(sent.after(interval));
        }
    }

    fn go(&mut self, to: State) {
        if to == self.state {
            return;
        }
        self.state = to;
        if to == State::Up {
            self.diagnostic = Diagnostic::NONE;
        }
        self.tx = self.desired_min_tx();
        self.rx = self.settings.required_min_rx;
        // Up, packets are sent faster than announced before.
        self.polling = to == State::Up;
        self.urgent = true;
        self.hasten();
    }
}

/// Shortened by 0 to 25 %, with a multiplier of 1 by 10 to 25 % (section 6.8.7).
fn jittered(interval: Span, multiplier: u8, jitter: u8) -> Span {
    let least = if multiplier == 1 { 10 } else { 0 };
    let permille = 10 * least + u64::from(jitter) * (250 - 10 * least) / 255;
    Span(interval.0 - interval.0.saturating_mul(permille) / 1000)
}

fn micros(value: u32) -> Span {
    Span::from_micros(u64::from(value))
}

fn to_micros(span: Span) -> u32 {
    u32::try_from(span.0 / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
