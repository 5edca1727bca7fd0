//! When to repeat gratuitous ARPs and neighbour advertisements.
//!
//! Pure: told about transitions and asked at a time, it answers whether a round is due. One round is one message
//! of each form for every address. Words and defaults are keepalived's (`garp_master_*`, keepalived.conf(5)).
//!
//! Rounds follow each other at once; a distance between messages is somebody else's. They are still asked for one by one:
//! 255 virtual routers have thousands of messages to send, and adverts and addresses that become due meanwhile must not
//! wait for the last of them.
//!
//! An announcement that hosts need is never dropped: claims that come faster than they are answered are answered later.

use crate::time::{Span, Time};

/// Settings of one kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Rounds in a burst.
    pub repeat: u32,
    /// A second burst this long after the first; zero for none.
    pub delay: Span,
    /// A refresh this often; zero for never.
    pub refresh: Span,
    /// Rounds in a refresh.
    pub refresh_repeat: u32,
}

/// The schedule of one kind of message for one virtual router.
#[derive(Clone, Copy, Debug)]
pub struct Bursts {
    settings: Settings,
    /// Rounds left of the burst under way, and when the next one is due.
    under_way: Option<(u32, Time)>,
    /// A burst that starts later, and its rounds.
    later: Option<(u32, Time)>,
    /// A burst after whoever claimed the addresses has had time to let go, and its rounds.
    settled: Option<(u32, Time)>,
    refresh_at: Option<Time>,
    /// Until when the answers so far last, at [`ANSWER_EVERY`] for each: answers in advance have been used up when it is
    /// [`ANSWERS`] of them ahead.
    answered_until: Time,
    /// The answer to claims for which there was none left, and its rounds.
    owed: Option<(u32, Time)>,
}

/// Claims that go on faster than this are answered together, this often: somebody may send a great many of them.
const ANSWER_EVERY: Span = Span::from_millis(100);

/// So many claims are answered at once, however fast they come: routers that disagree for a moment send a few.
const ANSWERS: u64 = 5;

/// Whoever claims the addresses sends its advert first and announces them a moment later, perhaps after our answer. By
/// then it has heard that answer, and let go.
const SETTLED: Span = Span::from_millis(50);

impl Bursts {
    /// A schedule on which nothing is due.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            under_way: None,
            later: None,
            settled: None,
            refresh_at: None,
            answered_until: Time(0),
            owed: None,
        }
    }

    /// New settings after a reload; a burst under way goes on with them.
    pub const fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The router became master: a burst now, another after `delay`, and the refresh from now on.
    pub fn start(&mut self, now: Time) {
        self.burst(now, self.settings.repeat);
        let delay = self.settings.delay;
        self.later = (delay > Span::ZERO).then(|| (self.settings.repeat, now.after(delay)));
        let refresh = self.settings.refresh;
        self.refresh_at = (refresh > Span::ZERO).then(|| now.after(refresh));
    }

    /// Another router claimed the addresses: a burst of `repeat` rounds now and one when it has let go, because hosts may
    /// have learned its MAC address, and a last one `after` from now; zero for none.
    pub fn contested(&mut self, now: Time, after: Span, repeat: u32) {
        let ahead = Span(ANSWER_EVERY.0 * (ANSWERS - 1));
        if self.owed.is_none() {
            let from = self.answered_until.max(now);
            self.answered_until = from.after(ANSWER_EVERY);
            // Now, or as soon as the answers are no more than that ahead.
            let late = from.span_since(now.after(ahead));
            if late == Span::ZERO {
                self.answer(now, repeat);
            } else {
                self.owed = (repeat > 0).then(|| (repeat, now.after(late)));
            }
        }
        if after > Span::ZERO {
            self.again(now, after, repeat);
        }
    }

    /// A burst now, and one when the other has let go.
    fn answer(&mut self, now: Time, repeat: u32) {
        self.burst(now, repeat);
        self.settled = (repeat > 0).then(|| (repeat, now.after(SETTLED)));
    }

    /// A burst of `repeat` rounds `after` from now, unless one is due sooner.
    pub fn again(&mut self, now: Time, after: Span, repeat: u32) {
        let at = now.after(after);
        if repeat > 0 && self.later.is_none_or(|(_, due)| due > at) {
            self.later = Some((repeat, at));
        }
    }

    /// The router is master no more.
    pub const fn stop(&mut self) {
        self.under_way = None;
        self.later = None;
        self.settled = None;
        self.owed = None;
        self.refresh_at = None;
    }

    /// When [`Bursts::due`] is next true; `None` for never.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        let bursts =
            [self.under_way, self.settled, self.owed, self.later].map(|burst| burst.map(|(_, at)| at));
        bursts.into_iter().chain([self.refresh_at]).flatten().min()
    }

    /// Whether a round is due at `now`. Asked twice, it is due once, unless the next one is due at once.
    pub fn due(&mut self, now: Time) -> bool {
        if let Some((repeat, _)) = self.owed.take_if(|(_, at)| *at <= now) {
            self.answer(now, repeat);
        }
        for burst in [&mut self.settled, &mut self.later] {
            if let Some((repeat, _)) = burst.take_if(|(_, at)| *at <= now)
                && repeat > 0
            {
                self.under_way = Some((repeat, now));
            }
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = Some(now.after(self.settings.refresh));
            if self.under_way.is_none() {
                self.burst(now, self.settings.refresh_repeat);
            }
        }
        let Some((left, _)) = self.under_way.take_if(|(_, at)| *at <= now) else { return false };
        if left > 1 {
            self.under_way = Some((left - 1, now));
        }
        true
    }

    fn burst(&mut self, now: Time, rounds: u32) {
        if rounds > 0 {
            self.under_way = Some((rounds, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings =
        Settings { repeat: 5, delay: Span::from_secs(5), refresh: Span::ZERO, refresh_repeat: 1 };

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    /// Rounds at one time.
    fn rounds(bursts: &mut Bursts, now: Time) -> u32 {
        (0..100).take_while(|_| bursts.due(now)).map(|_| 1).sum()
    }

    #[test]
    fn s33_burst_at_once_and_again_after_the_delay() {
        let mut bursts = Bursts::new(SETTINGS);
        assert_eq!(bursts.next(), None);
        bursts.start(at(10));
        assert!(bursts.due(at(10)));
        assert_eq!(bursts.next(), Some(at(10)), "the second round is due at once, after what else is due");
        assert_eq!(rounds(&mut bursts, at(10)), 4);
        assert_eq!(bursts.next(), Some(at(5010)));
        assert_eq!(rounds(&mut bursts, at(5009)), 0);
        assert_eq!(rounds(&mut bursts, at(5010)), 5);
        assert_eq!(bursts.next(), None);
    }

    #[test]
    fn s33_refresh_goes_on_until_the_stop() {
        let mut bursts = Bursts::new(Settings {
            refresh: Span::from_secs(10),
            refresh_repeat: 2,
            delay: Span::ZERO,
            ..SETTINGS
        });
        bursts.start(at(0));
        assert_eq!(rounds(&mut bursts, at(0)), 5);
        assert_eq!(bursts.next(), Some(at(10_000)));
        assert_eq!(rounds(&mut bursts, at(10_000)), 2);
        assert_eq!(bursts.next(), Some(at(20_000)));
        bursts.stop();
        assert_eq!(bursts.next(), None);
        assert_eq!(rounds(&mut bursts, at(60_000)), 0);
    }

    #[test]
    fn a_competing_claim_is_answered_at_once_and_after_the_delay() {
        let mut bursts = Bursts::new(SETTINGS);
        bursts.start(at(0));
        assert_eq!(rounds(&mut bursts, at(0)), 5);
        assert_eq!(rounds(&mut bursts, at(5_000)), 5);
        bursts.contested(at(6_000), Span::from_secs(2), 3);
        assert_eq!(rounds(&mut bursts, at(6_000)), 3);
        assert_eq!(rounds(&mut bursts, at(6_049)), 0);
        assert_eq!(rounds(&mut bursts, at(6_050)), 3);
        assert_eq!(rounds(&mut bursts, at(7_999)), 0);
        assert_eq!(rounds(&mut bursts, at(8_000)), 3);
        assert_eq!(bursts.next(), None);
        bursts.contested(at(9_000), Span::from_secs(2), 0);
        assert_eq!(bursts.next(), None, "no repeat, no burst");
        bursts.contested(at(10_000), Span::ZERO, 1);
        assert_eq!(rounds(&mut bursts, at(10_000)), 1);
        assert_eq!(rounds(&mut bursts, at(10_050)), 1);
        assert_eq!(bursts.next(), None, "no delay, no last burst");
    }

    #[test]
    fn each_of_a_few_claims_is_answered_at_once() {
        for apart in [0, 1, 20, 60, 99, 150] {
            let mut bursts = Bursts::new(Settings { delay: Span::ZERO, ..SETTINGS });
            for claim in 0..5 {
                let now = at(1_000 + claim * apart);
                bursts.contested(now, Span::ZERO, 3);
                assert!(rounds(&mut bursts, now) >= 3, "claim {claim}, {apart} ms apart");
            }
            assert_eq!(rounds(&mut bursts, at(1_000 + 4 * apart + 50)), 3, "{apart} ms apart");
            assert_eq!(bursts.next(), None);
        }
    }

    /// What the last claim did to the hosts is mended within the pause between two answers, whenever it came.
    #[test]
    fn a_flood_of_claims_is_answered_ten_times_a_second_and_the_last_one_as_well() {
        for end in 2_000..2_120 {
            let mut bursts = Bursts::new(Settings { delay: Span::ZERO, ..SETTINGS });
            let mut answered = 0;
            for ms in 1_000..=end {
                bursts.contested(at(ms), Span::ZERO, 1);
                answered += rounds(&mut bursts, at(ms));
            }
            assert!((18..=32).contains(&answered), "{answered} of {}", end - 1_000);
            let mut last = None;
            for ms in end..end + 1_000 {
                if rounds(&mut bursts, at(ms)) > 0 {
                    last = Some(ms);
                }
            }
            assert!(last.is_some_and(|ms| (end + 1..=end + 151).contains(&ms)), "{end}: {last:?}");
            assert_eq!(bursts.next(), None);
        }
    }

    #[test]
    fn a_further_burst_is_never_put_off() {
        let mut bursts = Bursts::new(Settings { delay: Span::ZERO, ..SETTINGS });
        bursts.again(at(100), Span::from_millis(50), 3);
        bursts.again(at(100), Span::from_millis(500), 9);
        assert_eq!(rounds(&mut bursts, at(149)), 0);
        assert_eq!(rounds(&mut bursts, at(150)), 3);
        assert_eq!(bursts.next(), None);
    }
}
