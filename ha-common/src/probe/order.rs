//! Which probes are new: those of a router that has the key, in the order in which it sends them.
//!
//! Without a key anybody can send any number in any router's name, and to believe it would silence that router: there
//! every probe is answered.

use crate::fence::PROBED_NS;

/// What is remembered of a router whose probes have tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latest {
    /// Its incarnation id; 0 before its first probe. Later runs have greater ones.
    pub prober: u64,
    /// The sequence number of its latest probe.
    pub sequence: u64,
    /// Its incarnation id became smaller: its clock was set back, or somebody sends what was recorded long ago. It has to
    /// be known by its steadiness, as a router without the key.
    pub doubtful: bool,
}

impl Latest {
    /// What is remembered after a probe that came `pause_ns` after the one before; `None` where that is a replay.
    #[must_use]
    #[inline(always)]
    pub const fn followed_by(self, prober: u64, sequence: u64, pause_ns: u64) -> Option<Self> {
        if prober == self.prober {
            return if sequence > self.sequence { Some(Self { sequence, ..self }) } else { None };
        }
        let older = prober < self.prober;
        if older && pause_ns < PROBED_NS {
            return None;
        }
        Some(Self { prober, sequence, doubtful: older })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_new_once() {
        let latest = Latest::default().followed_by(9, 1, 0).expect("the first");
        let latest = latest.followed_by(9, 3, 0).expect("a later one");
        assert_eq!(latest.followed_by(9, 3, 0), None);
        assert_eq!(latest.followed_by(9, 2, u64::MAX), None, "however long ago");
    }

    #[test]
    fn a_later_run_begins_anew_and_an_earlier_one_has_to_wait() {
        let latest = Latest { prober: 9, sequence: 50, doubtful: false };
        assert_eq!(latest.followed_by(10, 1, 0), Some(Latest { prober: 10, sequence: 1, doubtful: false }));
        assert_eq!(latest.followed_by(8, 99, PROBED_NS - 1), None);
        let doubtful = Some(Latest { prober: 8, sequence: 99, doubtful: true });
        assert_eq!(latest.followed_by(8, 99, PROBED_NS), doubtful);
        assert_eq!(doubtful.and_then(|it| it.followed_by(9, 51, 0)).map(|it| it.doubtful), Some(false));
    }
}
