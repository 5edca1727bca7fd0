//! The window of one peer: how long it may be silent before it is taken for dead, from the silences that it has shown.
//!
//! What lives here: the rule under "The window" of `docs/liveness.md`. A silence is measured as a verdict measures it
//! ([`super::PeerJudge`]), so that the two are of the same kind. No clock: time passes by the silences themselves.

use crate::time::Span;

/// What a window may be at least.
pub const FLOOR: Span = Span::from_micros(500);

/// How long nothing that was seen makes the window as small as it would, by default: it falls evenly from the ceiling
/// meanwhile.
pub const LEARNING: Span = Span::from_secs(60);

/// A silence longer than this is an outage, and no window tells it from a death.
pub const OUTAGE: Span = Span::SECOND;

/// Time that one of the kept periods covers.
const PERIOD: Span = Span::from_secs(60);

/// Periods that are kept: a hiccup is remembered for nine to ten minutes of probing.
const PERIODS: usize = 10;

/// The logarithm to base 2 of the number of probes among which one false verdict is expected: 10^8 and a bit more.
const TARGET_LOG2: u64 = 27;

/// What a window may be, and whether it follows what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSettings {
    /// `fast_window`: the most it may be.
    pub ceiling: Span,
    /// It is always that.
    pub fixed: bool,
    /// How long the peer has to be watched before what was seen counts in full.
    pub learning: Span,
}

impl Default for WindowSettings {
    fn default() -> Self {
        Self { ceiling: Span::from_millis(10), fixed: false, learning: LEARNING }
    }
}

impl WindowSettings {
    /// A window that is always the same.
    #[must_use]
    pub const fn fixed(window: Span) -> Self {
        Self { ceiling: window, fixed: true, learning: LEARNING }
    }
}

/// What is kept of a period.
#[derive(Clone, Copy, Debug, Default)]
struct Period {
    count: u64,
    /// By how much the longest silence exceeded a probe interval.
    longest: Span,
}

/// Why a window is what it is, for `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// In force.
    pub span: Span,
    /// The most that it may be.
    pub ceiling: Span,
    /// It does not follow what was seen.
    pub fixed: bool,
    /// By how much the longest remembered silence of a peer that lives exceeded a probe interval.
    pub longest: Span,
    /// How many silences are remembered.
    pub count: u64,
    /// How long the peer has still to be watched before what was seen counts in full.
    pub learning: Span,
}

/// The silences of a peer, and what follows from them.
#[derive(Clone, Debug)]
pub(super) struct Silences {
    settings: WindowSettings,
    interval: Span,
    periods: [Period; PERIODS],
    current: usize,
    /// How much of the current period is over.
    elapsed: Span,
    /// How long the peer has been watched.
    watched: Span,
    /// Kept up to date, because every decision needs it.
    in_force: Window,
}

impl Silences {
    pub(super) fn new(settings: WindowSettings, interval: Span) -> Self {
        let in_force = Window {
            span: settings.ceiling,
            ceiling: settings.ceiling,
            fixed: settings.fixed,
            longest: Span::ZERO,
            count: 0,
            learning: settings.learning,
        };
        let periods = [Period::default(); PERIODS];
        Self { settings, interval, periods, current: 0, elapsed: Span::ZERO, watched: Span::ZERO, in_force }
    }

    /// What was seen still counts.
    pub(super) fn reconfigure(&mut self, settings: WindowSettings, interval: Span) {
        (self.settings, self.interval) = (settings, interval);
        self.in_force = self.judge();
    }

    pub(super) const fn window(&self) -> &Window {
        &self.in_force
    }

    /// A silence of a peer that then answered.
    pub(super) fn ended(&mut self, silence: Span) {
        if silence > OUTAGE {
            return;
        }
        self.watched = self.watched.plus(silence);
        self.elapsed = self.elapsed.plus(silence);
        if self.elapsed >= PERIOD {
            self.elapsed = Span::ZERO;
            self.current = (self.current + 1) % PERIODS;
            if let Some(period) = self.periods.get_mut(self.current) {
                *period = Period::default();
            }
        }
        let excess = Span(silence.0.saturating_sub(self.interval.0));
        if let Some(period) = self.periods.get_mut(self.current) {
            period.count += 1;
            period.longest = period.longest.max(excess);
        }
        self.in_force = self.judge();
    }

    /// The tail of what exceeds an interval is taken to fall off by a constant factor from one span to the next, as far as
    /// the longest of `count` silences shows; then the longest of a greater number is longer in the ratio of the logarithms.
    fn judge(&self) -> Window {
        let WindowSettings { ceiling, fixed, learning } = self.settings;
        let (mut count, mut longest) = (0, Span::ZERO);
        for period in &self.periods {
            count += period.count;
            longest = longest.max(period.longest);
        }
        let left = Span(learning.0.saturating_sub(self.watched.0));
        let span = if fixed {
            ceiling
        } else {
            let seen_log2 = u64::from(count.max(2).ilog2());
            let tail = Span(longest.times(TARGET_LOG2).0 / seen_log2.min(TARGET_LOG2));
            // A stall that begins within an interval shows itself shorter than it is, by up to an interval.
            let hidden = tail.min(self.interval);
            let enough = self.interval.plus(tail).plus(hidden).max(FLOOR).min(ceiling);
            // As much of the way up to the ceiling as is left of the time to learn, in thousandths.
            let share = left.times(1_000).0 / learning.0.max(1);
            enough.plus(Span(Span(ceiling.0 - enough.0).times(share).0 / 1_000))
        };
        Window { span, ceiling, fixed, longest, count, learning: left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Span = Span::from_millis(1);

    fn watch(silences: &mut Silences, seconds: u64, excess: Span) {
        for _ in 0..seconds * 1_000 {
            silences.ended(INTERVAL.plus(excess));
        }
    }

    #[test]
    fn nothing_is_known_at_first_and_a_quiet_peer_is_known_after_a_minute() {
        let mut silences = Silences::new(WindowSettings::default(), INTERVAL);
        assert_eq!(silences.window().span, Span::from_millis(10));
        watch(&mut silences, 1, Span::from_micros(20));
        assert!(silences.window().span > Span::from_micros(9_800), "{:?}", silences.window());
        watch(&mut silences, 29, Span::from_micros(20));
        let half = silences.window().span;
        assert!(half > Span::from_micros(5_000) && half < Span::from_micros(6_000), "{half:?}");
        watch(&mut silences, 31, Span::from_micros(20));
        let known = silences.window();
        assert!(known.span < Span::from_micros(1_080), "{known:?}");
        assert_eq!(known.learning, Span::ZERO);
    }

    #[test]
    fn a_hiccup_widens_it_at_once_and_is_forgotten_in_minutes() {
        let mut silences = Silences::new(WindowSettings::default(), INTERVAL);
        watch(&mut silences, 120, Span::ZERO);
        let quiet = silences.window().span;
        silences.ended(Span::from_millis(4));
        let wide = silences.window().span;
        assert!(wide > Span::from_micros(6_500) && wide <= Span::from_millis(10), "{wide:?}");
        watch(&mut silences, 8 * 60, Span::ZERO);
        assert!(silences.window().span > Span::from_millis(4));
        watch(&mut silences, 3 * 60, Span::ZERO);
        assert_eq!(silences.window().span, quiet);
    }

    #[test]
    fn it_stays_between_floor_and_ceiling() {
        let interval = Span::from_micros(100);
        let mut silences = Silences::new(WindowSettings::default(), interval);
        for _ in 0..700_000 {
            silences.ended(interval);
        }
        assert_eq!(silences.window().span, FLOOR);
        silences.ended(Span::from_millis(700));
        assert_eq!(silences.window().span, Span::from_millis(10));
        let narrow = WindowSettings { ceiling: Span::from_micros(200), ..WindowSettings::default() };
        silences.reconfigure(narrow, interval);
        assert_eq!(silences.window().span, Span::from_micros(200), "the ceiling is the user's word");
    }

    #[test]
    fn a_fixed_one_is_what_it_is() {
        let mut silences = Silences::new(WindowSettings::fixed(Span::from_micros(2_500)), INTERVAL);
        silences.ended(Span::from_millis(8));
        assert_eq!(silences.window().span, Span::from_micros(2_500));
        silences.reconfigure(WindowSettings::default(), INTERVAL);
        assert_eq!(silences.window().span, Span::from_millis(10), "what was seen meanwhile is known");
    }

    #[test]
    fn an_outage_teaches_nothing() {
        let mut silences = Silences::new(WindowSettings::default(), INTERVAL);
        watch(&mut silences, 61, Span::ZERO);
        let before = *silences.window();
        silences.ended(Span::from_secs(5));
        assert_eq!(*silences.window(), before);
    }

    #[test]
    fn no_silence_is_too_long_or_too_many_for_the_arithmetic() {
        let mut silences = Silences::new(WindowSettings::fixed(Span::from_secs(10)), Span::SECOND);
        for silence in [0, 1, u64::MAX, OUTAGE.0, OUTAGE.0 - 1] {
            silences.ended(Span(silence));
        }
        silences.reconfigure(
            WindowSettings { ceiling: Span::from_secs(10), ..WindowSettings::default() },
            Span::SECOND,
        );
        assert!(silences.window().span <= Span::from_secs(10));
    }
}
