//! Which keys count on an interface: the one in force, and for a while the one before.
//!
//! Two routers never take a new key at the same moment. Whoever has the new one goes on believing what comes under the
//! old, and probes under both until the peer has answered under the new.

use super::{Key, Secret};
use crate::time::{Span, Time};

/// How long the former key still counts.
pub const GRACE: Span = Span::from_secs(600);

/// At the end of it, those who still probe under the former key are told for so long that there will be no answers
/// ([`super::APART`]), so that they judge no silence.
pub const FAREWELL: Span = Span::SECOND;

/// What tags are made and checked with; a secret of `None` means tags of zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What is in force.
    pub current: Option<Secret>,
    /// What else counts, and until when; [`Time::NEVER`] where the configuration has both.
    pub other: Option<(Option<Secret>, Time)>,
}

impl Keys {
    /// Tags of zero.
    pub const NONE: Self = Self { current: None, other: None };

    /// Those of a configuration. `second`: what it has besides.
    #[must_use]
    pub const fn new(current: Option<Secret>, second: Option<Option<Secret>>) -> Self {
        let other = match second {
            Some(second) => Some((second, Time::NEVER)),
            None => None,
        };
        Self { current, other }
    }

    /// Takes those of a new configuration. What was in force counts for [`GRACE`] longer.
    #[must_use]
    pub fn followed_by(self, wanted: Self, now: Time) -> Self {
        let leaving = Some((self.current, now.after(GRACE))).filter(|_| wanted.current != self.current);
        let kept = self.other.map(|(secret, until)| (secret, until.min(now.after(GRACE))));
        let former = leaving.or(kept).filter(|(secret, until)| *until > now && *secret != wanted.current);
        Self { current: wanted.current, other: wanted.other.or(former) }
    }

    /// The keys that a packet of a format may be under, the one in force first; the second one only while it counts. A
    /// key of `None` means a tag of zero.
    #[must_use]
    pub fn of_format(&self, format: u8, now: Time) -> (Option<Key>, Option<Option<Key>>) {
        let key = |secret: Option<Secret>| secret.and_then(|secret| secret.key(format));
        let other = self.other.filter(|(_, until)| now < *until).map(|(secret, _)| key(secret));
        (key(self.current), other)
    }

    /// Whether whoever still uses the other key is told that it will be over.
    #[must_use]
    pub fn is_farewell(&self, now: Time) -> bool {
        self.other.is_some_and(|(_, until)| until != Time::NEVER && now.after(FAREWELL) >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{FIRST_FORMAT, FORMAT};

    const A: Option<Secret> = Some(Secret::Configured([1, 2]));
    const B: Option<Secret> = Some(Secret::Configured([3, 4]));
    const C: Option<Secret> = Some(Secret::Derived([5, 6]));
    const NOW: Time = Time(1_000_000_000_000);

    #[test]
    fn the_former_key_counts_for_ten_minutes() {
        let keys = Keys::new(A, None).followed_by(Keys::new(B, None), NOW);
        assert_eq!(keys, Keys { current: B, other: Some((A, NOW.after(GRACE))) });
        assert_eq!(keys.of_format(FORMAT, NOW), (Some([3, 4]), Some(Some([1, 2]))));
        let end = NOW.after(GRACE);
        assert!(!keys.is_farewell(NOW) && keys.is_farewell(Time(end.0 - 1)));
        assert_eq!(keys.of_format(FORMAT, end), (Some([3, 4]), None));
        assert_eq!(keys.followed_by(Keys::new(B, None), end).other, None);
    }

    #[test]
    fn the_same_key_again_changes_nothing() {
        let keys = Keys::new(A, None).followed_by(Keys::new(B, None), NOW);
        assert_eq!(keys.followed_by(Keys::new(B, None), NOW.after(Span::SECOND)), keys);
    }

    #[test]
    fn having_no_key_is_followed_by_one_and_the_other_way_round() {
        let keys = Keys::new(None, None).followed_by(Keys::new(C, None), NOW);
        assert_eq!(keys.other, Some((None, NOW.after(GRACE))));
        // Tags of the first format are zero under a derived key.
        assert_eq!(keys.of_format(FIRST_FORMAT, NOW), (None, Some(None)));
        assert_eq!(keys.of_format(FORMAT, NOW), (Some([5, 6]), Some(None)));
        assert_eq!(keys.followed_by(Keys::new(None, None), NOW).other, Some((C, NOW.after(GRACE))));
    }

    #[test]
    fn a_configuration_may_have_two_which_change_places() {
        let keys = Keys::new(A, Some(B));
        assert_eq!(keys.other, Some((B, Time::NEVER)));
        assert!(!keys.is_farewell(NOW));
        let turned = keys.followed_by(Keys::new(B, Some(A)), NOW);
        assert_eq!(turned, Keys { current: B, other: Some((A, Time::NEVER)) });
        // The one that is taken out counts for a while.
        assert_eq!(turned.followed_by(Keys::new(B, None), NOW).other, Some((A, NOW.after(GRACE))));
    }

    #[test]
    fn a_key_that_comes_back_is_not_its_own_predecessor() {
        let keys =
            Keys::new(A, None).followed_by(Keys::new(B, None), NOW).followed_by(Keys::new(A, None), NOW);
        assert_eq!(keys, Keys { current: A, other: Some((B, NOW.after(GRACE))) });
    }
}
