//! How many frames of one virtual router the XDP program hands to user space, and how many probes it answers.
//!
//! Called by `ha-ebpf` only; it lives here to be tested on the host.

use crate::layout::{RATE_OTHERS, RATE_PROBES, RATE_TRACKED, RATE_WINDOW_NS};

/// The state of one limit, as it lies in [`crate::layout::AdvertSlot`] or [`crate::layout::ProberSlot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Start of the current window, `CLOCK_MONOTONIC`.
    pub start_ns: u64,
    /// Frames let through: from the tracked source in the low 16 bits, from all others in the high ones.
    pub used: u32,
}

impl Window {
    /// The window after one more frame at `now_ns`, or `None` where the sender's budget is used up.
    ///
    /// The tracked source has a budget of its own, so that a flood under other addresses cannot hide a change in
    /// what the real master says.
    #[must_use]
    #[inline(always)]
    pub const fn admit(self, now_ns: u64, tracked: bool) -> Option<Self> {
        let Self { start_ns, used } = self.at(now_ns);
        let (shift, budget) = if tracked { (0, RATE_TRACKED) } else { (16, RATE_OTHERS) };
        if (used >> shift) & 0xffff >= budget {
            return None;
        }
        Some(Self { start_ns, used: used.wrapping_add(1 << shift) })
    }

    /// The same for a router that probes us, where `used` is one number.
    #[must_use]
    #[inline(always)]
    pub const fn admit_probe(self, now_ns: u64) -> Option<Self> {
        let Self { start_ns, used } = self.at(now_ns);
        if used >= RATE_PROBES {
            return None;
        }
        Some(Self { start_ns, used: used + 1 })
    }

    /// This window, or a new one where it is over.
    #[inline(always)]
    const fn at(self, now_ns: u64) -> Self {
        // Signed, because another CPU may have opened the window a little later than `now_ns` was read.
        let age = now_ns.wrapping_sub(self.start_ns).cast_signed();
        if age >= RATE_WINDOW_NS.cast_signed() || age < -RATE_WINDOW_NS.cast_signed() {
            Self { start_ns: now_ns, used: 0 }
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets frames in until the budget is used up.
    fn exhaust(mut window: Window, now_ns: u64, tracked: bool) -> (Window, u32) {
        let mut admitted = 0;
        while let Some(next) = window.admit(now_ns, tracked) {
            window = next;
            admitted += 1;
        }
        (window, admitted)
    }

    #[test]
    fn a_flood_leaves_the_tracked_source_its_budget() {
        let now = 5 * RATE_WINDOW_NS;
        let (window, others) = exhaust(Window { start_ns: 0, used: 0 }, now, false);
        assert_eq!(others, RATE_OTHERS);
        let (window, tracked) = exhaust(window, now + RATE_WINDOW_NS - 1, true);
        assert_eq!(tracked, RATE_TRACKED);
        assert_eq!(window.admit(now + RATE_WINDOW_NS - 1, false), None);
        assert!(window.admit(now + RATE_WINDOW_NS, false).is_some());
    }

    #[test]
    fn probes_have_a_budget_per_window() {
        let mut window = Window { start_ns: 0, used: 0 };
        let now = 5 * RATE_WINDOW_NS;
        for _ in 0..RATE_PROBES {
            window = window.admit_probe(now).expect("within the budget");
        }
        assert_eq!(window.admit_probe(now + RATE_WINDOW_NS - 1), None);
        assert!(window.admit_probe(now + RATE_WINDOW_NS).is_some());
    }

    #[test]
    fn a_window_from_the_near_future_counts() {
        let (window, _) = exhaust(Window { start_ns: 0, used: 0 }, 5 * RATE_WINDOW_NS, false);
        assert_eq!(window.admit(5 * RATE_WINDOW_NS - 100, false), None);
    }
}
