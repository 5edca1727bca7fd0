//! The BFD control packet (RFC 5880, section 4.1), without authentication.

use core::num::NonZeroU32;

/// Length of a packet without authentication.
pub const LENGTH: usize = 24;

/// State of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Held down by the operator.
    AdminDown,
    /// Nothing is heard, or the other side hears nothing.
    Down,
    /// The other side is heard.
    Init,
    /// Each side hears the other.
    Up,
}

impl State {
    /// The word in logs and in `xvrrp status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AdminDown => "admin down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }
}

/// Why a session left the state Up: a diagnostic code, 0 to 31.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// None.
    pub const NONE: Self = Self(0);
    /// Nothing was heard for the detection time.
    pub const EXPIRED: Self = Self(1);
    /// The neighbour said that the session is down.
    pub const NEIGHBOR: Self = Self(3);
    /// The operator wants it so.
    pub const ADMINISTRATIVE: Self = Self(7);

    /// The code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// In words (RFC 5880, section 4.1).
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbour signalled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            _ => "reserved diagnostic",
        }
    }
}

/// A control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session went down last.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// P: the sender wants an answer with F.
    pub poll: bool,
    /// F: this is that answer.
    pub last: bool,
    /// C: the sender's session survives its control plane.
    pub control_plane_independent: bool,
    /// D: the sender wants no periodic packets while the session is up.
    pub demand: bool,
    /// Packets that may be missed, not zero.
    pub multiplier: u8,
    /// The sender's discriminator.
    pub mine: NonZeroU32,
    /// The receiver's discriminator as the sender knows it; zero while it does not.
    pub yours: u32,
    /// How often the sender would like to send, in microseconds.
    pub desired_min_tx: u32,
    /// How often the sender can bear to receive, in microseconds; zero for never.
    pub required_min_rx: u32,
    /// The same for echo packets; zero for never.
    pub required_min_echo_rx: u32,
}

/// Why bytes are no acceptable control packet (RFC 5880, section 6.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Shorter than a packet, or than it says.
    Length,
    /// Not version 1.
    Version,
    /// It is authenticated, and this side is not.
    Authenticated,
    /// For a multipoint session.
    Multipoint,
    /// Multiplier zero.
    Multiplier,
    /// The sender's discriminator is zero.
    Mine,
    /// The receiver's discriminator is zero in a state that needs it.
    Yours,
    /// Poll and Final at once.
    PollFinal,
}

impl Packet {
    /// Reads the payload of a UDP datagram.
    ///
    /// # Errors
    /// See [`Reject`]. Bytes behind the packet's own length are ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, Reject> {
        let Some(packet) = bytes.first_chunk::<LENGTH>() else { return Err(Reject::Length) };
        let [first, flags, multiplier, length, ..] = *packet;
        if first >> 5 != 1 {
            return Err(Reject::Version);
        }
        let length = usize::from(length);
        if length < LENGTH || length > bytes.len() {
            return Err(Reject::Length);
        }
        let bit = |value: u8| flags & value != 0;
        if bit(0x04) {
            return Err(Reject::Authenticated);
        }
        if bit(0x01) {
            return Err(Reject::Multipoint);
        }
        if multiplier == 0 {
            return Err(Reject::Multiplier);
        }
        let word =
            |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
        let mine = NonZeroU32::new(word(4)).ok_or(Reject::Mine)?;
        let (state, yours) = (State::from_bits(flags >> 6), word(8));
        if yours == 0 && !matches!(state, State::Down | State::AdminDown) {
            return Err(Reject::Yours);
        }
        if bit(0x20) && bit(0x10) {
            return Err(Reject::PollFinal);
        }
        Ok(Self {
            diagnostic: Diagnostic(first & 0x1f),
            state,
            poll: bit(0x20),
            last: bit(0x10),
            control_plane_independent: bit(0x08),
            demand: bit(0x02),
            multiplier,
            mine,
            yours,
            desired_min_tx: word(12),
            required_min_rx: word(16),
            required_min_echo_rx: word(20),
        })
    }

    /// Writes the packet.
    #[must_use]
    pub fn emit(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let flag = |set: bool, value: u8| if set { value } else { 0 };
        bytes[0] = 1 << 5 | self.diagnostic.0;
        bytes[1] = self.state.bits() << 6
            | flag(self.poll, 0x20)
            | flag(self.last, 0x10)
            | flag(self.control_plane_independent, 0x08)
            | flag(self.demand, 0x02);
        bytes[2] = self.multiplier;
        bytes[3] = 24;
        let words = [
            self.mine.get(),
            self.yours,
            self.desired_min_tx,
            self.required_min_rx,
            self.required_min_echo_rx,
        ];
        for (place, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As FRR's bfdd 8.4 sends it.
    const FROM_FRR: [u8; 24] = [
        0x20, 0x40, 3, 24, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0x04, 0x93, 0xe0, 0,
        0, 0xc3, 0x50,
    ];

    #[test]
    fn a_packet_of_frr_is_read_and_written_as_it_was() {
        let packet = Packet::parse(&FROM_FRR).expect("good");
        assert_eq!((packet.state, packet.multiplier, packet.mine.get()), (State::Down, 3, 0x1234_5678));
        let times = (packet.desired_min_tx, packet.required_min_rx, packet.required_min_echo_rx);
        assert_eq!(times, (1_000_000, 300_000, 50_000));
        assert_eq!(packet.emit(), FROM_FRR);
    }

    #[test]
    fn each_rule_of_section_6_8_6_has_its_reason() {
        let with = |at: usize, value: u8| {
            let mut bytes = FROM_FRR;
            bytes[at] = value;
            Packet::parse(&bytes)
        };
        assert_eq!(with(0, 0x40), Err(Reject::Version));
        assert_eq!(with(3, 23), Err(Reject::Length));
        assert_eq!(with(3, 25), Err(Reject::Length));
        assert_eq!(with(1, 0x44), Err(Reject::Authenticated));
        assert_eq!(with(1, 0x41), Err(Reject::Multipoint));
        assert_eq!(with(2, 0), Err(Reject::Multiplier));
        assert_eq!(with(1, 0xc0), Err(Reject::Yours));
        assert_eq!(with(1, 0x80), Err(Reject::Yours));
        assert_eq!(with(1, 0x70), Err(Reject::PollFinal));
        let mut nobody = FROM_FRR;
        nobody[4..8].fill(0);
        assert_eq!(Packet::parse(&nobody), Err(Reject::Mine));
        for length in 0..24 {
            assert_eq!(Packet::parse(&FROM_FRR[..length]), Err(Reject::Length));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_written_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..40), fix: bool) {
            let mut bytes = bytes;
            if fix && bytes.len() >= 24 {
                bytes[0] = bytes[0] & 0x1f | 0x20;
                bytes[1] &= !0x15;
                bytes[3] = 24;
            }
            if let Ok(packet) = Packet::parse(&bytes) {
                let mut expected = [0; 24];
                expected.copy_from_slice(&bytes[..24]);
                expected[3] = 24;
                prop_assert_eq!(packet.emit(), expected);
                prop_assert_eq!(Packet::parse(&packet.emit()), Ok(packet));
            }
        }
    }
}
