//! What is remembered of a virtual router's standbys, and when a master that has none says so.

use std::time::Duration;

use ha_common::time::{Span, Time};

/// `standby_warn` where the file does not say, for a master that had a standby.
const DEFAULT: Duration = Duration::from_secs(60);

/// For one virtual router.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standby {
    /// When a router that would take over was last seen to probe.
    pub(super) seen: Option<Time>,
    /// It was said that there is none.
    warned: bool,
}

/// How a master stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Successor {
    /// Somebody would take over; the latest probe came then.
    Ready(Time),
    /// Nobody, since then.
    Nobody(Time),
    /// Nobody here could know.
    Unknown,
}

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// There has been nobody for so long.
    Alone(Span),
    /// There is somebody again.
    Relieved,
}

/// When masters are looked at: in turns of the main loop that happen anyway, but not in all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks {
    latest: Time,
    /// When something is to be said at the earliest.
    pub(super) next: Option<Time>,
}

/// Between two looks of which nothing is expected.
const PACE: Span = Span::from_millis(100);

impl Looks {
    /// Whether it is time to look.
    pub(super) fn are_due(&self, now: Time) -> bool {
        now.span_since(self.latest) >= PACE || self.next.is_some_and(|next| next <= now)
    }

    /// All were looked at.
    pub(super) fn done(&mut self, now: Time, next: Option<Time>) {
        *self = Self { latest: now, next };
    }
}

impl Standby {
    /// Looks at a master; what is to be said, and when to look again. `wanted` is `standby_warn`: where the file does not
    /// say, a master whose standbys nobody could know says nothing.
    pub(super) fn look(
        &mut self,
        successor: Successor,
        master_since: Time,
        wanted: Option<Duration>,
        now: Time,
    ) -> (Option<News>, Option<Time>) {
        let limit: Span = wanted.unwrap_or(DEFAULT).into();
        if limit == Span::ZERO {
            return (None, None);
        }
        let since = match successor {
            Successor::Ready(probed) => {
                let relieved = std::mem::take(&mut self.warned).then_some(News::Relieved);
                return (relieved, Some(probed.after(limit)));
            }
            Successor::Nobody(since) => since,
            Successor::Unknown if wanted.is_some() => master_since,
            Successor::Unknown => return (None, None),
        };
        let due = since.after(limit);
        if now < due {
            return (None, Some(due));
        }
        let news = (!std::mem::replace(&mut self.warned, true)).then(|| News::Alone(now.span_since(since)));
        // Whether somebody has come is looked for as often.
        (news, Some(now.after(limit.min(Span::from_secs(1)))))
    }

    /// It is no master any more: the next one begins anew.
    pub(super) fn forget_warning(&mut self) {
        self.warned = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(seconds * 1_000_000_000)
    }

    #[test]
    fn a_master_without_a_standby_says_so_once_and_again_when_there_is_one() {
        let mut standby = Standby::default();
        let limit = Some(Duration::from_secs(5));
        let mut look = |successor, now| standby.look(successor, at(0), limit, at(now));
        assert_eq!(look(Successor::Ready(at(10)), 10), (None, Some(at(15))));
        assert_eq!(look(Successor::Nobody(at(11)), 15), (None, Some(at(16))));
        assert_eq!(
            look(Successor::Nobody(at(11)), 16),
            (Some(News::Alone(Span::from_secs(5))), Some(at(17)))
        );
        assert_eq!(look(Successor::Nobody(at(11)), 17), (None, Some(at(18))));
        assert_eq!(look(Successor::Ready(at(18)), 18), (Some(News::Relieved), Some(at(23))));
        assert_eq!(look(Successor::Ready(at(19)), 19), (None, Some(at(24))));
    }

    #[test]
    fn looks_keep_a_pace_and_are_in_time() {
        let mut looks = Looks::default();
        let at = |ms: u64| Time(1_000_000_000 + ms * 1_000_000);
        assert!(looks.are_due(at(0)));
        looks.done(at(0), Some(at(30)));
        assert_eq!([10, 30, 110].map(|ms| looks.are_due(at(ms))), [false, true, true]);
        looks.done(at(110), None);
        assert_eq!([120, 209, 210].map(|ms| looks.are_due(at(ms))), [false, false, true]);
    }

    #[test]
    fn what_nobody_could_know_is_said_only_where_the_file_wants_it() {
        let look = |limit, now| Standby::default().look(Successor::Unknown, at(100), limit, at(now));
        assert_eq!(look(None, 900), (None, None));
        let five = Some(Duration::from_secs(5));
        assert_eq!(look(five, 104), (None, Some(at(105))));
        assert_eq!(look(five, 105).0, Some(News::Alone(Span::from_secs(5))));
        let never = Standby::default().look(Successor::Nobody(at(0)), at(0), Some(Duration::ZERO), at(900));
        assert_eq!(never, (None, None));
        let default = Standby::default().look(Successor::Nobody(at(0)), at(0), None, at(60));
        assert_eq!(default.0, Some(News::Alone(Span::from_secs(60))));
    }
}
