//! Keeping the network out of the log: pure helpers for messages that somebody else can cause.

use ha_common::time::{Span, Time};

/// Lets a few messages through, then counts: a token bucket for one kind of message.
///
/// Ask before formatting the message. What was kept quiet is told with the next message that is let through.
#[derive(Clone, Debug)]
pub struct Limiter {
    burst: u32,
    per: Span,
    tokens: u32,
    refilled: Option<Time>,
    quiet: u64,
}

impl Limiter {
    /// At most `burst` messages at once and, in the long run, one per `per`.
    #[must_use]
    pub const fn new(burst: u32, per: Span) -> Self {
        Self { burst, per, tokens: burst, refilled: None, quiet: 0 }
    }

    /// `Some(n)`: say it, and that `n` were kept quiet before it. `None`: say nothing.
    pub fn allow(&mut self, now: Time) -> Option<u64> {
        let last = *self.refilled.get_or_insert(now);
        if self.per == Span::ZERO {
            self.tokens = self.burst;
        } else {
            let gained = now.span_since(last).0 / self.per.0;
            if gained > 0 {
                let gained32 = u32::try_from(gained).unwrap_or(u32::MAX);
                self.tokens = self.tokens.saturating_add(gained32).min(self.burst);
                self.refilled = Some(last.after(self.per.times(gained)));
            }
        }
        if self.tokens == 0 {
            self.quiet = self.quiet.saturating_add(1);
            return None;
        }
        self.tokens -= 1;
        Some(std::mem::take(&mut self.quiet))
    }
}

/// Says a thing once until it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OncePerChange<T>(Option<T>);

impl<T: PartialEq> OncePerChange<T> {
    /// Nothing said yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// True where this differs from the last time, and the first time.
    pub fn changed(&mut self, value: T) -> bool {
        let changed = self.0.as_ref() != Some(&value);
        if changed {
            self.0 = Some(value);
        }
        changed
    }

    /// The next value counts as changed.
    pub fn forget(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Time {
        Time(n * 1_000_000)
    }

    #[test]
    fn a_flood_gives_a_burst_and_then_one_per_period_with_the_count() {
        let mut limiter = Limiter::new(3, Span::SECOND);
        let said: Vec<(u64, u64)> = (0..100_000_u64)
            .filter_map(|i| limiter.allow(Time(i * 30_000)).map(|quiet| (i, quiet)))
            .collect();
        // 100,000 messages in 3 s.
        let quiet: Vec<u64> = said.iter().map(|entry| entry.1).collect();
        assert_eq!(quiet, [0, 0, 0, 33_331, 33_332]);
    }

    #[test]
    fn quiet_times_refill_the_burst_but_not_more() {
        let mut limiter = Limiter::new(2, Span::SECOND);
        assert_eq!(
            [limiter.allow(ms(0)), limiter.allow(ms(0)), limiter.allow(ms(1))],
            [Some(0), Some(0), None]
        );
        let later = ms(3_600_000);
        assert_eq!(
            [limiter.allow(later), limiter.allow(later), limiter.allow(later)],
            [Some(1), Some(0), None]
        );
        // A clock that seems to go back changes nothing.
        assert_eq!(limiter.allow(ms(0)), None);
        assert_eq!(limiter.allow(Time::NEVER), Some(2));
    }

    #[test]
    fn a_change_is_said_once() {
        let mut said = OncePerChange::new();
        assert_eq!(
            ["a", "a", "b", "b", "a"].map(|value| said.changed(value)),
            [true, false, true, false, true]
        );
        said.forget();
        assert!(said.changed("a"));
    }
}
