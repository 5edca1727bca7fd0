//! When to repeat gratuitous ARPs and neighbour advertisements.
//!
//! Pure: told about transitions and asked at a time, it answers whether a round is due. One round is one message
//! of each form for every address. Words and defaults are keepalived's (`garp_master_*`, keepalived.conf(5)).
//!
//! Rounds follow each other at once; a distance between messages is [`super::lanes`]'s. They are still asked for one by
//! one: 255 virtual routers have thousands of
//! messages to send, and adverts and addresses that become due meanwhile must not wait for the last of them.

use ha_common::time::{Span, Time};

/// Settings of one kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Rounds in a burst.
    pub(super) repeat: u32,
    /// A second burst this long after the first; zero for none.
    pub(super) delay: Span,
    /// A refresh this often; zero for never.
    pub(super) refresh: Span,
    /// Rounds in a refresh.
    pub(super) refresh_repeat: u32,
}

/// The schedule of one kind of message for one virtual router.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bursts {
    settings: Settings,
    /// Rounds left of the burst under way, and when the next one is due.
    under_way: Option<(u32, Time)>,
    /// A burst that starts later, and its rounds.
    later: Option<(u32, Time)>,
    /// A burst after whoever claimed the addresses has had time to let go, and its rounds.
    settled: Option<(u32, Time)>,
    refresh_at: Option<Time>,
    /// When a claim of another router was last answered at once.
    answered: Option<Time>,
}

/// Claims that follow each other faster are answered by one burst: somebody may send a great many of them.
const ANSWER_EVERY: Span = Span::from_millis(100);

/// Whoever claims the addresses sends its advert first and announces them a moment later, perhaps after our answer. By
/// then it has heard that answer, and let go.
const SETTLED: Span = Span::from_millis(50);

impl Bursts {
    /// A schedule on which nothing is due.
    #[must_use]
    pub(super) const fn new(settings: Settings) -> Self {
        Self { settings, under_way: None, later: None, settled: None, refresh_at: None, answered: None }
    }

    /// New settings after a reload; a burst under way goes on with them.
    pub(super) const fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The router became master: a burst now, another after `delay`, and the refresh from now on.
    pub(super) fn start(&mut self, now: Time) {
        self.burst(now, self.settings.repeat);
        let delay = self.settings.delay;
        self.later = (delay > Span::ZERO).then(|| (self.settings.repeat, now.after(delay)));
        let refresh = self.settings.refresh;
        self.refresh_at = (refresh > Span::ZERO).then(|| now.after(refresh));
    }

    /// Another router claimed the addresses: a burst of `repeat` rounds now and one when it has let go, because hosts may
    /// have learned its MAC address, and a last one `after` from now; zero for none.
    pub(super) fn contested(&mut self, now: Time, after: Span, repeat: u32) {
        if self.answered.is_none_or(|last| last.after(ANSWER_EVERY) <= now) {
            self.answered = Some(now);
            self.burst(now, repeat);
            self.settled = (repeat > 0).then(|| (repeat, now.after(SETTLED)));
        }
        if after > Span::ZERO {
            self.again(now, after, repeat);
        }
    }

    /// A burst of `repeat` rounds `after` from now, unless one is due sooner.
    pub(super) fn again(&mut self, now: Time, after: Span, repeat: u32) {
        let at = now.after(after);
        if repeat > 0 && self.later.is_none_or(|(_, due)| due > at) {
            self.later = Some((repeat, at));
        }
    }

    /// The router is master no more.
    pub(super) const fn stop(&mut self) {
        self.under_way = None;
        self.later = None;
        self.settled = None;
        self.refresh_at = None;
    }

    /// When [`Bursts::due`] is next true; `None` for never.
    #[must_use]
    pub(super) fn next(&self) -> Option<Time> {
        let bursts = [self.under_way, self.settled, self.later].map(|burst| burst.map(|(_, at)| at));
        bursts.into_iter().chain([self.refresh_at]).flatten().min()
    }

    /// Whether a round is due at `now`. Asked twice, it is due once, unless the next one is due at once.
    pub(super) fn due(&mut self, now: Time) -> bool {
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
        let delay = Span::from_secs(2);
        bursts.contested(at(6_000), delay, 3);
        assert_eq!(rounds(&mut bursts, at(6_000)), 3);
        // A flood of claims is answered ten times a second, each time with one burst more when the claimant has let go,
        // and does not push the last burst back.
        for ms in 6_001..=6_100 {
            bursts.contested(at(ms), delay, 3);
            assert_eq!(rounds(&mut bursts, at(ms)), if [6_050, 6_100].contains(&ms) { 3 } else { 0 });
        }
        assert_eq!(rounds(&mut bursts, at(6_149)), 0);
        assert_eq!(rounds(&mut bursts, at(6_150)), 3);
        assert_eq!(rounds(&mut bursts, at(7_999)), 0);
        assert_eq!(rounds(&mut bursts, at(8_000)), 3);
        assert_eq!(bursts.next(), None);
        bursts.contested(at(9_000), delay, 0);
        assert_eq!(bursts.next(), None, "no repeat, no burst");
        bursts.contested(at(10_000), Span::ZERO, 1);
        assert_eq!(rounds(&mut bursts, at(10_000)), 1);
        assert_eq!(rounds(&mut bursts, at(10_050)), 1);
        assert_eq!(bursts.next(), None, "no delay, no last burst");
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
