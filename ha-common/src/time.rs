//! Points and spans of time in integer nanoseconds.
//!
//! All times are readings of `CLOCK_MONOTONIC`, which is also what `bpf_ktime_get_ns` returns, so a stamp that
//! the XDP program wrote can be compared with a reading of the daemon's. Nothing here reads a clock.

/// A reading of `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

/// A length of time in nanoseconds, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u64);

impl Time {
    /// The latest point that can be expressed; a timer set to it never fires.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `span` later, saturating at [`Time::NEVER`].
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// Signed nanoseconds from `earlier` to `self`.
    ///
    /// Signed because a stamp of the XDP program may be newer than the `now` that it is compared with.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        // Two readings of one clock never lie 2^63 ns (292 years) apart, so the wrapped difference is the signed one.
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// The time from `earlier` to `self`, zero where `earlier` is later.
    #[must_use]
    pub const fn span_since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl From<core::time::Duration> for Span {
    /// Saturating: 584 years are as good as for ever.
    fn from(duration: core::time::Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// One second.
    pub const SECOND: Self = Self(1_000_000_000);

    /// `n` seconds.
    #[must_use]
    pub const fn from_secs(n: u64) -> Self {
        Self(n.saturating_mul(1_000_000_000))
    }

    /// `n` milliseconds.
    #[must_use]
    pub const fn from_millis(n: u64) -> Self {
        Self(n.saturating_mul(1_000_000))
    }

    /// `n` microseconds.
    #[must_use]
    pub const fn from_micros(n: u64) -> Self {
        Self(n.saturating_mul(1_000))
    }

    /// `self` taken `n` times, saturating.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }

    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn durations_are_spans_and_too_long_ones_the_longest() {
        assert_eq!(Span::from(Duration::from_millis(20)), Span::from_millis(20));
        assert_eq!(Span::from(Duration::MAX), Span(u64::MAX));
    }
}
