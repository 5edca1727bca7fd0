//! What windows make of networks: false verdicts, and how soon a death is found.
//!
//! One [`PeerJudge`] as the daemon drives it, and a peer behind a network that hiccups in some way for ten minutes and goes
//! on to do so while the peer dies twenty times. `cargo xtask sim --windows` prints the table of docs/liveness.md.

use std::fmt::Write as _;

use ha_common::judge::{Answered, Event, PeerJudge, Settings, Verdict, WindowSettings};
use ha_common::probe::Masters;
use ha_common::time::{Span, Time};
use ha_common::types::Vrid;

use crate::rng::Rng;

const MS: Span = Span::from_millis(1);
const TRIP: Span = Span::from_micros(20);
const WATCHED: Span = Span::from_secs(600);
const DEATHS: usize = 20;

/// A network, or a host, in one of its moods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Replies come at once.
    Clean,
    /// Every two seconds or so nothing gets through for this long, and what was sent comes late.
    Microbursts(Span),
    /// Round trips grow to 3 ms within five minutes, and become short again.
    Drift,
    /// Round trips are anything up to 2 ms, so that replies overtake each other.
    Reordering,
    /// Every minute the peer's host stands still, for 5 to 700 ms.
    Pauses,
    /// Once in ten minutes a switch lets nothing through for 30 s.
    Blocking,
}

impl Network {
    /// All that the table has.
    pub const ALL: [Self; 8] = [
        Self::Clean,
        Self::Microbursts(MS),
        Self::Microbursts(Span::from_millis(3)),
        Self::Microbursts(Span::from_millis(8)),
        Self::Drift,
        Self::Reordering,
        Self::Pauses,
        Self::Blocking,
    ];

    /// In the table.
    #[must_use]
    pub fn title(self) -> String {
        match self {
            Self::Clean => "clean".to_owned(),
            Self::Microbursts(span) => format!("stalls of {} ms every 2 s", span.0 / MS.0),
            Self::Drift => "round trips drift up to 3 ms".to_owned(),
            Self::Reordering => "round trips of 0 to 2 ms, reordered".to_owned(),
            Self::Pauses => "host paused for 5 to 700 ms every minute".to_owned(),
            Self::Blocking => "switch blocks for 30 s, once".to_owned(),
        }
    }
}

/// What came of one window on one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Verdicts on a peer that was alive.
    pub wrong: u64,
    /// Of these, those of the first minute.
    pub early: u64,
    /// From a death to the verdict, ascending.
    pub found: Vec<Span>,
}

/// The settings that are compared.
#[must_use]
pub fn windows() -> [(&'static str, WindowSettings); 3] {
    [
        ("adapts", WindowSettings::default()),
        ("2.5 ms", WindowSettings::fixed(Span::from_micros(2_500))),
        ("10 ms", WindowSettings::fixed(Span::from_millis(10))),
    ]
}

/// When nothing gets through.
struct Stalls {
    rng: Rng,
    network: Network,
    /// The one that comes or is.
    from: Time,
    to: Time,
}

impl Stalls {
    fn new(network: Network, begin: Time) -> Self {
        let mut stalls = Self { rng: Rng::new(12), network, from: begin, to: begin };
        stalls.next();
        stalls
    }

    fn next(&mut self) {
        let rng = &mut self.rng;
        let (gap, length) = match self.network {
            Network::Microbursts(span) => {
                (rng.span(Span::from_millis(1_500), Span::from_millis(2_500)), span)
            }
            Network::Pauses => {
                (rng.span(Span::from_secs(50), Span::from_secs(70)), rng.span(MS.times(5), MS.times(700)))
            }
            Network::Blocking => (Span::from_secs(400), Span::from_secs(30)),
            Network::Clean | Network::Drift | Network::Reordering => (Span::from_secs(1 << 30), Span::ZERO),
        };
        self.from = self.to.after(gap);
        self.to = self.from.after(length);
    }

    /// When something that is sent now gets through.
    fn through(&mut self, at: Time) -> Time {
        while self.to <= at {
            self.next();
        }
        if self.from <= at { self.to } else { at }
    }
}

struct Rig {
    now: Time,
    begin: Time,
    judge: PeerJudge,
    stalls: Stalls,
    rng: Rng,
    alive: bool,
    responder: u64,
    /// On their way.
    replies: Vec<Answered>,
    verdicts: Vec<Time>,
}

impl Rig {
    fn new(network: Network, window: WindowSettings) -> Self {
        let now = Time(Span::SECOND.0);
        let mut judge = PeerJudge::new(Settings { window, ..Settings::default() }, now);
        judge.follow(true, now);
        Self {
            now,
            begin: now,
            judge,
            stalls: Stalls::new(network, now),
            rng: Rng::new(7),
            alive: true,
            responder: 1,
            replies: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    fn trip(&mut self) -> Span {
        match self.stalls.network {
            Network::Drift => {
                let half = Span::from_secs(300).0;
                let phase = self.now.span_since(self.begin).0 % (2 * half);
                let share = phase.min(2 * half - phase);
                TRIP.plus(Span(MS.0 * 3 * (share / 1_000) / (half / 1_000)))
            }
            Network::Reordering => self.rng.span(TRIP, MS.times(2)),
            _ => self.rng.span(TRIP, TRIP.times(3)),
        }
    }

    /// What the map has by now: a reply that comes after a later one is ignored.
    fn read(&mut self) {
        let now = self.now;
        let come = |reply: &Answered| reply.at <= now;
        let mut come: Vec<_> = self.replies.extract_if(.., |reply| come(reply)).collect();
        come.sort_by_key(|reply| reply.at);
        for reply in come {
            self.judge.answered(&reply, now);
        }
    }

    fn pass(&mut self, span: Span) {
        let end = self.now.after(span);
        while self.judge.next_deadline() <= end {
            self.now = self.judge.next_deadline().max(self.now);
            self.read();
            if let Some(sequence) = self.judge.tick(self.now) {
                let trip = self.trip();
                if self.alive {
                    let at = self.stalls.through(self.now).after(trip);
                    self.replies.push(answer(sequence, at, self.responder));
                }
                self.judge.sent(sequence, self.now);
            }
            while let Some(event) = self.judge.poll_event() {
                if let Event::Lost { verdict: Verdict::Unreachable, at, affirmed } = event
                    && at == affirmed
                {
                    self.verdicts.push(at);
                }
            }
        }
        self.now = end;
    }
}

fn answer(sequence: u64, at: Time, responder: u64) -> Answered {
    let mut masters = Masters::NONE;
    if let Some(vrid) = Vrid::new(51) {
        masters.set(vrid, true);
    }
    Answered { sequence, at, flags: 0, responder, lease: MS.times(90), masters, rank: 0 }
}

/// Ten minutes of a network, and then the deaths.
#[must_use]
pub fn try_window(network: Network, window: WindowSettings) -> Outcome {
    let mut rig = Rig::new(network, window);
    rig.pass(Span::from_secs(60));
    let early = rig.judge.counts().verdicts;
    rig.pass(Span(WATCHED.0 - Span::from_secs(60).0));
    let wrong = rig.judge.counts().verdicts;
    let mut found = Vec::new();
    for _ in 0..DEATHS * 4 {
        // Not within a stall, which would be a death of its own, and not in a pause of verdicts.
        let phase = rig.rng.span(MS.times(900), MS.times(1_100));
        rig.pass(phase);
        if rig.judge.paused_until(rig.now).is_some() || !rig.judge.is_fast() {
            continue;
        }
        let died = rig.now;
        rig.verdicts.clear();
        rig.alive = false;
        rig.pass(MS.times(100));
        if let Some(at) = rig.verdicts.first()
            && *at > died
        {
            found.push(at.span_since(died));
        }
        (rig.alive, rig.responder) = (true, rig.responder + 1);
        rig.pass(Span::from_secs(11));
        if found.len() == DEATHS {
            break;
        }
    }
    found.sort();
    Outcome { wrong, early, found }
}

/// The table of docs/liveness.md.
#[must_use]
pub fn table() -> String {
    let mut out = String::from(
        "| network | window | false verdicts in 10 min | of them in the first | death found after, ms: min / median / max (count) |\n\
         |---|---|---:|---:|---|\n",
    );
    for network in Network::ALL {
        for (name, window) in windows() {
            let Outcome { wrong, early, found } = try_window(network, window);
            let ms = |span: Option<&Span>| {
                span.map_or("–".to_owned(), |span| format!("{:.2}", span.0 as f64 / MS.0 as f64))
            };
            let (least, middle, most) = (ms(found.first()), ms(found.get(found.len() / 2)), ms(found.last()));
            let _ = writeln!(
                out,
                "| {} | {name} | {wrong} | {early} | {least} / {middle} / {most} ({}) |",
                network.title(),
                found.len()
            );
        }
    }
    out
}
