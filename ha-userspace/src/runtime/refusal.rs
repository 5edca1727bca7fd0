//! An instance none of whose addresses the kernel takes: it must not claim them. It is in FAULT, and tries again later.

use ha_common::time::{Span, Time};

/// First pause before the next attempt; each further one is twice as long.
const FIRST: Span = Span::from_secs(10);
/// The longest.
const LONGEST: Span = Span::from_secs(600);

/// Whether the kernel has refused an instance's addresses, and why.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    why: Option<String>,
    until: Time,
    pause: Span,
    news: bool,
}

impl Refusal {
    /// It has, all of them.
    pub(super) fn refused(&mut self, why: String, now: Time) {
        self.pause = if self.pause == Span::ZERO { FIRST } else { self.pause.times(2).min(LONGEST) };
        self.until = now.after(self.pause);
        self.why = Some(why);
        self.news = true;
    }

    /// It has taken some.
    pub(super) fn accepted(&mut self) {
        *self = Self::default();
    }

    /// Why, as long as it counts.
    pub(super) fn standing(&self, now: Time) -> Option<&str> {
        self.why.as_deref().filter(|_| now < self.until)
    }

    /// When it counts no longer.
    pub(super) fn next(&self, now: Time) -> Option<Time> {
        self.standing(now).map(|_| self.until)
    }

    /// Whether it has been refused, or is to try again, since this was asked last.
    pub(super) fn take_news(&mut self, now: Time) -> bool {
        let over = self.why.is_some() && now >= self.until;
        if over {
            self.why = None;
        }
        std::mem::take(&mut self.news) || over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_until_one_succeeds() {
        let at = |seconds: u64| Time(seconds * 1_000_000_000);
        let mut refusal = Refusal::default();
        assert!(!refusal.take_news(at(0)));
        refusal.refused("no room".to_owned(), at(0));
        assert!(refusal.take_news(at(0)));
        assert!(!refusal.take_news(at(1)));
        assert_eq!((refusal.standing(at(9)), refusal.next(at(9))), (Some("no room"), Some(at(10))));
        assert_eq!(refusal.standing(at(10)), None);
        assert!(refusal.take_news(at(10)));
        assert!(!refusal.take_news(at(11)));
        refusal.refused("no room".to_owned(), at(20));
        assert_eq!(refusal.next(at(20)), Some(at(40)));
        refusal.accepted();
        refusal.refused("no room".to_owned(), at(50));
        assert_eq!(refusal.next(at(50)), Some(at(60)));
    }
}
