//! Sequences: what a sender writes next, and what a receiver has heard.

use core::net::IpAddr;

use super::Refused;

/// Senders that a receiver remembers; more routers than that share no VRID.
const SENDERS: usize = 16;

/// Bytes 4 to 11 of the trailer: seconds since 1970, 1/65536 s, and a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The sequence of a moment, in nanoseconds since 1970.
    #[must_use]
    pub const fn at(unix_ns: u64) -> Self {
        const NS: u64 = 1_000_000_000;
        let (seconds, rest) = (unix_ns / NS, unix_ns % NS);
        let fraction = (rest << 16) / NS;
        Self((seconds & 0xffff_ffff) << 32 | fraction << 16)
    }

    /// RFC 1982: whether this one comes after `other`.
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        0 < self.0.wrapping_sub(other.0).cast_signed()
    }

    /// Whole seconds by which this one is ahead of `other`; negative where it is behind.
    #[must_use]
    pub const fn seconds_ahead_of(self, other: Self) -> i32 {
        self.seconds().wrapping_sub(other.seconds()).cast_signed()
    }

    const fn seconds(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// How old adverts are told from new ones (`anti_replay`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AntiReplay {
    /// Sequences grow, and are at most this many whole seconds (`time_window`) from the receiver's clock.
    Time(u16),
    /// Sequences grow.
    Monotonic,
}

impl AntiReplay {
    /// Whether a difference between two clocks uses up more than half of the window: time to look after them.
    #[must_use]
    pub const fn is_near_edge(self, skew_s: i32) -> bool {
        match self {
            Self::Time(window) => skew_s.unsigned_abs() * 2 > window as u32,
            Self::Monotonic => false,
        }
    }

    /// Whether a sequence is within the window of the moment `now`.
    const fn covers(self, sequence: Sequence, now: Sequence) -> bool {
        match self {
            Self::Time(window) => sequence.seconds_ahead_of(now).unsigned_abs() <= window as u32,
            Self::Monotonic => true,
        }
    }
}

/// What a router has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    latest: Option<Sequence>,
}

impl Sender {
    /// The sequence of the advert that goes out at `unix_ns`.
    ///
    /// It is greater than all before. The exception is a clock that was set back by more than the window: what it said
    /// before is stale for everybody, and the sequence begins anew with the clock.
    pub fn next(&mut self, rule: AntiReplay, unix_ns: u64) -> Sequence {
        let now = Sequence::at(unix_ns);
        let next = match self.latest {
            Some(latest) if !now.is_after(latest) && rule.covers(latest, now) => {
                Sequence(latest.0.wrapping_add(1))
            }
            _ => now,
        };
        self.latest = Some(next);
        next
    }
}

/// What a router has heard from each sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receiver {
    heard: [Option<(IpAddr, Sequence)>; SENDERS],
}

impl Receiver {
    /// Takes the sequence of an advert whose HMAC is right, and that arrived at `unix_ns`. Returns by how many seconds
    /// the sender's clock is ahead of ours.
    ///
    /// A remembered sequence that is outside the window counts for nothing any more: its sender's clock has been put
    /// right since. Where there are more senders than there is room for, the oldest is forgotten.
    ///
    /// # Errors
    /// [`Refused::Stale`] or [`Refused::Replay`].
    pub fn accept(
        &mut self,
        rule: AntiReplay,
        source: IpAddr,
        sequence: Sequence,
        unix_ns: u64,
    ) -> Result<i32, Refused> {
        let now = Sequence::at(unix_ns);
        if !rule.covers(sequence, now) {
            return Err(Refused::Stale);
        }
        let place = match self.heard.iter().position(|heard| heard.is_some_and(|(from, _)| from == source)) {
            Some(place) => place,
            None => self.room(),
        };
        let Some(heard) = self.heard.get_mut(place) else { return Err(Refused::Replay) };
        if let Some((from, latest)) = *heard
            && from == source
            && rule.covers(latest, now)
            && !sequence.is_after(latest)
        {
            return Err(Refused::Replay);
        }
        *heard = Some((source, sequence));
        Ok(sequence.seconds_ahead_of(now))
    }

    /// A free place, or else that of the oldest.
    fn room(&self) -> usize {
        let mut oldest = (0, None::<Sequence>);
        for (place, heard) in self.heard.iter().enumerate() {
            let Some((_, sequence)) = *heard else { return place };
            if oldest.1.is_none_or(|before| before.is_after(sequence)) {
                oldest = (place, Some(sequence));
            }
        }
        oldest.0
    }
}
