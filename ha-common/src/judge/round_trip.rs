//! Times, of round trips or of late probes, in a small histogram: no allocation, old ones fade.

use crate::time::Span;

/// Buckets of an octave.
const STEPS: u32 = 4;
/// Everything below 2^10 ns (1 µs) is in the first bucket.
const FIRST_OCTAVE: u32 = 10;
/// Everything from 2^31 ns (2 s) on is in the last.
const OCTAVES: u32 = 21;
const BUCKETS: usize = (OCTAVES * STEPS + 1) as usize;
/// When so many have been counted, all counts are halved.
const FADE: u32 = 8192;

/// What `status` shows of such times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Of all so far.
    pub count: u64,
    /// Of the recent ones, at most a fifth too high.
    pub median: Span,
    /// Of the recent ones, at most a fifth too high.
    pub p99: Span,
    /// Of all so far, exact.
    pub max: Span,
}

/// The histogram.
#[derive(Clone, Debug)]
pub(super) struct RoundTrips {
    counts: [u32; BUCKETS],
    recent: u32,
    count: u64,
    max: Span,
    /// Kept up to date, because every decision needs it.
    p99: Span,
}

impl RoundTrips {
    pub(super) const fn new() -> Self {
        Self { counts: [0; BUCKETS], recent: 0, count: 0, max: Span::ZERO, p99: Span::ZERO }
    }

    pub(super) fn record(&mut self, round_trip: Span) {
        if self.recent >= FADE {
            for count in &mut self.counts {
                *count /= 2;
            }
            self.recent = self.counts.iter().sum();
        }
        if let Some(count) = self.counts.get_mut(bucket(round_trip)) {
            *count += 1;
            self.recent += 1;
        }
        self.count = self.count.saturating_add(1);
        self.max = self.max.max(round_trip);
        self.p99 = self.quantile(99);
    }

    pub(super) const fn p99(&self) -> Span {
        self.p99
    }

    pub(super) fn summary(&self) -> Summary {
        Summary { count: self.count, median: self.quantile(50), p99: self.p99, max: self.max }
    }

    /// The end of the bucket below which `percent` of the recent ones lie.
    fn quantile(&self, percent: u32) -> Span {
        let wanted = (self.recent * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return end(bucket).min(self.max);
            }
        }
        Span::ZERO
    }
}

/// Where a round trip is counted.
fn bucket(Span(ns): Span) -> usize {
    let octave = ns.max(1).ilog2();
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let octave_index = octave - FIRST_OCTAVE;
    let step = (ns >> (octave - 2)) & 3;
    let index = u64::from(octave_index * STEPS) + step + 1;
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The first round trip above a bucket.
fn end(bucket: usize) -> Span {
    let Some(index) = u32::try_from(bucket).ok().and_then(|bucket| bucket.checked_sub(1)) else {
        return Span(1 << FIRST_OCTAVE);
    };
    let octave = FIRST_OCTAVE + index / STEPS;
    Span(u64::from(STEPS + index % STEPS + 1) << (octave - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_their_values_closely() {
        for exponent in 10..31 {
            for step in 0..16u64 {
                let ns = (1u64 << exponent) + (step << exponent) / 16;
                let end = end(bucket(Span(ns))).0;
                assert!(end > ns && end <= ns + ns / 4 + 1, "{ns} ends at {end}");
            }
        }
        assert_eq!(bucket(Span(0)), 0);
        assert_eq!(bucket(Span(u64::MAX)), BUCKETS - 1);
    }

    #[test]
    fn quantiles_follow_what_is_recent() {
        let mut trips = RoundTrips::new();
        for _ in 0..990 {
            trips.record(Span::from_micros(12));
        }
        for _ in 0..10 {
            trips.record(Span::from_micros(700));
        }
        let summary = trips.summary();
        assert_eq!((summary.count, summary.max), (1000, Span::from_micros(700)));
        assert!(summary.median >= Span::from_micros(12) && summary.median < Span::from_micros(15));
        assert!(summary.p99 < Span::from_micros(15));
        trips.record(Span::from_micros(700));
        assert!(trips.p99() >= Span::from_micros(600), "{:?}", trips.p99());
        for _ in 0..100_000 {
            trips.record(Span::from_micros(12));
        }
        assert!(trips.p99() < Span::from_micros(15));
        assert_eq!(trips.summary().max, Span::from_micros(700));
    }

    #[test]
    fn a_single_round_trip_is_everything() {
        let mut trips = RoundTrips::new();
        assert_eq!(trips.summary(), Summary::default());
        trips.record(Span(40_000));
        let all = Span(40_000);
        assert_eq!(trips.summary(), Summary { count: 1, median: all, p99: all, max: all });
    }
}
