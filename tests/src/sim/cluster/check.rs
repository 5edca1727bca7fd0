//! The invariants. Written from the statements and the RFC's formulas, not from the machine's code.

use ha_common::machine::Params;
use ha_common::time::{Span, Time};
use ha_common::types::Version;

use crate::sim::letter::Letter;
use crate::sim::millis;

/// What a network card told a router, whether or not its daemon ever ran: the witness for statement 41.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Witness {
    /// Since when the router has been waiting as a backup, if it came from INIT or FAULT.
    started: Time,
    /// Latest arrival of an advert that a backup must respect.
    heard: Option<Heard>,
    /// First resignation of that master since.
    resigned: Option<Time>,
    /// Shortest interval of a lower-priority master that a preemption delay protects.
    taught: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Time,
    /// Nobody whose resignation is waited for, if it yielded to nobody.
    from: Option<u8>,
    priority: u8,
    interval: Span,
}

impl Witness {
    /// The router begins to watch; what was said before does not concern it.
    pub(super) const fn start(&mut self, now: Time) {
        *self = Self { started: now, heard: None, resigned: None, taught: None };
    }

    /// The router is no longer master, and knows of no other: whoever resigns now is believed.
    pub(super) fn yields_to_nobody(&mut self) {
        if let Some(heard) = &mut self.heard {
            heard.from = None;
        }
    }

    /// An advert arrived. `lost` where the queue had no room for it: it is evidence, but teaches no interval.
    pub(super) fn arrived(&mut self, letter: &Letter, at: Time, lost: bool, ours: (u8, Params)) {
        let (own_priority, params) = ours;
        let (from, priority, interval) = (letter.source, letter.priority, letter.interval.span());
        if priority == 0 {
            // A router whose priority has risen above its master's watches nobody in particular, and one that
            // holds back its preemption may watch somebody whom it need not respect.
            let delays = params.preempt_delay > Span::ZERO;
            let free = |heard: &Heard| params.preempt && (heard.priority < own_priority || delays);
            let about = |heard: Heard| heard.from.is_none_or(|of| of == from) || free(&heard);
            if self.heard.is_none_or(about) && !lost {
                self.resigned.get_or_insert(at);
            }
        } else if priority >= own_priority || !params.preempt {
            let known = self.heard.map_or(params.interval, |heard| heard.interval);
            self.heard =
                Some(Heard { at, from: Some(from), priority, interval: if lost { known } else { interval } });
            self.resigned = None;
            self.taught = None;
        } else if params.preempt_delay > Span::ZERO {
            // A router that holds back its preemption listens to this one too, and may learn its interval.
            self.taught = Some(self.taught.map_or(interval, |known| known.min(interval)));
        }
    }

    /// Statement 41: why a backup may not take over now, or `None` if it may.
    pub(super) fn objection(&self, priority: u8, params: &Params, now: Time) -> Option<String> {
        let interval = match params.version {
            Version::V2 => params.interval,
            Version::V3 => {
                let interval = self.heard.map_or(params.interval, |heard| heard.interval);
                self.taught.map_or(interval, |taught| taught.min(interval))
            }
        };
        let base = match params.version {
            Version::V2 => 1_000_000_000,
            Version::V3 => interval.0,
        };
        let skew = (256 - u64::from(priority)) * base / 256;
        if self.resigned.is_some_and(|at| now >= at.after(Span(skew))) {
            return None;
        }
        let since = self.heard.map_or(self.started, |heard| heard.at.max(self.started));
        let needed = 3 * interval.0 + skew;
        let silent = now.span_since(since);
        (silent.0 < needed).then(|| {
            format!("took over after {} ms of silence, {} ms needed", millis(silent), millis(Span(needed)))
        })
    }
}

/// What the world must look like at the moment, beyond what always holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Expect {
    /// Trouble, or just after it.
    Anything,
    /// Statement 38: a master at every instant, two only while an advert is under way.
    OneMaster,
    /// The same, and nothing changes its state.
    Unchanged,
    /// Somebody answers for the addresses at every instant.
    Answered,
}
