//! From a number of processes to good or bad: quorum, its maximum, and the delays. No clock.

use std::time::{Duration, Instant};

/// What is wanted of the number of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuorumSettings {
    pub(super) least: u32,
    pub(super) most: Option<u32>,
    pub(super) fork_delay: Duration,
    pub(super) terminate_delay: Duration,
}

/// A number of processes over time. Feed [`Quorum::count`] with every change, and with the same number again when
/// [`Quorum::deadline`] has passed.
#[derive(Clone, Debug)]
pub(super) struct Quorum {
    wanted: QuorumSettings,
    count: u32,
    good: Option<bool>,
    due: Option<Instant>,
}

impl Quorum {
    pub(super) const fn new(wanted: QuorumSettings) -> Self {
        Self { wanted, count: 0, good: None, due: None }
    }

    /// The first number decides at once; later changes wait for `fork_delay` where processes were added, and for
    /// `terminate_delay` where they ended.
    pub(super) fn count(&mut self, count: u32, now: Instant) -> bool {
        let more = count >= self.count;
        let same = count == self.count;
        self.count = count;
        let fits = count >= self.wanted.least && self.wanted.most.is_none_or(|most| count <= most);
        match self.good {
            None => self.good = Some(fits),
            Some(good) if good == fits => self.due = None,
            Some(_) => {
                let delay = if more { self.wanted.fork_delay } else { self.wanted.terminate_delay };
                let due = match self.due {
                    Some(due) if same => due,
                    _ => now.checked_add(delay).unwrap_or(now),
                };
                if due <= now {
                    self.good = Some(fits);
                    self.due = None;
                } else {
                    self.due = Some(due);
                }
            }
        }
        self.good == Some(true)
    }

    /// When the number decides unless it changes again.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The number now.
    pub(super) const fn number(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum(least: u32, most: Option<u32>, fork_ms: u64, terminate_ms: u64) -> Quorum {
        let (fork_delay, terminate_delay) =
            (Duration::from_millis(fork_ms), Duration::from_millis(terminate_ms));
        Quorum::new(QuorumSettings { least, most, fork_delay, terminate_delay })
    }

    /// Feeds `(at in ms, count)` and says good (+) or bad (-) after each.
    fn run(mut quorum: Quorum, counts: &[(u64, u32)]) -> String {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        counts.iter().map(|(ms, count)| if quorum.count(*count, at(*ms)) { '+' } else { '-' }).collect()
    }

    #[test]
    fn quorum_and_maximum_bound_the_number() {
        assert_eq!(run(quorum(1, None, 0, 0), &[(0, 0), (1, 1), (2, 9), (3, 0)]), "-++-");
        assert_eq!(run(quorum(2, Some(3), 0, 0), &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 3)]), "-++-+");
        assert_eq!(run(quorum(0, Some(0), 0, 0), &[(0, 0), (1, 1), (2, 0)]), "+-+");
    }

    #[test]
    fn a_change_waits_for_its_delay_and_is_called_off_by_the_opposite() {
        // The first count decides at once.
        assert_eq!(run(quorum(1, None, 100, 50), &[(0, 1), (10, 0), (59, 0), (60, 0)]), "+++-");
        // Down and up again within the delay: a restart of the service.
        assert_eq!(run(quorum(1, None, 100, 50), &[(0, 1), (10, 0), (40, 1), (200, 1)]), "++++");
        assert_eq!(run(quorum(1, None, 100, 50), &[(0, 0), (10, 1), (109, 1), (110, 1)]), "---+");
        // A flapping number starts its delay anew.
        assert_eq!(
            run(quorum(2, None, 100, 0), &[(0, 0), (0, 2), (50, 1), (60, 2), (110, 2), (160, 2)]),
            "-----+"
        );
    }

    #[test]
    fn the_deadline_is_told_while_a_change_waits() {
        let now = Instant::now();
        let mut quorum = quorum(1, None, 0, 50);
        quorum.count(1, now);
        assert_eq!(quorum.deadline(), None);
        quorum.count(0, now);
        assert_eq!(quorum.deadline(), Some(now + Duration::from_millis(50)));
        assert!(!quorum.count(0, now + Duration::from_millis(50)));
        assert_eq!((quorum.deadline(), quorum.number()), (None, 0));
    }
}
