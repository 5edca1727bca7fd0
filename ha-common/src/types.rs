//! Values of the protocol that cannot be built invalid.

use core::net::{Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU8;

use crate::time::Span;

/// Virtual router identifier, 1 to 255 (RFC 9568 section 5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vrid(NonZeroU8);

impl Vrid {
    /// `None` for zero, which no router may use.
    #[must_use]
    pub const fn new(value: u8) -> Option<Self> {
        match NonZeroU8::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl core::fmt::Display for Vrid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Priority of a router for a virtual router, 1 to 255 (RFC 9568 section 5.2.4).
///
/// Zero is not a priority but the word for "I stop being Active"; see [`crate::packet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(NonZeroU8);

impl Priority {
    /// The router that owns the addresses.
    pub const OWNER: Self = Self(NonZeroU8::MAX);
    /// The highest that a router has that does not own the addresses.
    pub const HIGHEST: Self = Self(NonZeroU8::new(254).expect("254 is not zero"));
    /// The lowest.
    pub const LOWEST: Self = Self(NonZeroU8::MIN);
    /// RFC 9568 section 5.2.4: the default for a router that does not own the addresses.
    pub const DEFAULT: Self = Self(NonZeroU8::new(100).expect("100 is not zero"));

    /// `None` for zero.
    #[must_use]
    pub const fn new(value: u8) -> Option<Self> {
        match NonZeroU8::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// This priority changed by the sum of the trackers' weights.
    ///
    /// The owner's priority does not move, and no other priority reaches 255 or falls below 1 (keepalived.conf(5)).
    #[must_use]
    pub fn weighted(self, weight: i32) -> Self {
        if self == Self::OWNER {
            return self;
        }
        let value = i32::from(self.get()).saturating_add(weight).clamp(1, 254);
        u8::try_from(value).ok().and_then(Self::new).unwrap_or(self)
    }
}

impl core::fmt::Display for Priority {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Advertisement interval in centiseconds, 1 to 25,500.
///
/// VRRPv3 carries up to [`Centis::MAX_V3`] (RFC 9568 section 5.2.7: twelve bits), VRRPv2 whole seconds up to
/// [`Centis::MAX_V2`] (RFC 3768 section 5.3.7: eight bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Centis(u16);

impl Centis {
    /// One second.
    pub const DEFAULT: Self = Self(100);
    /// The longest interval of VRRPv3, 40.95 s.
    pub const MAX_V3: Self = Self(4095);
    /// The longest interval of VRRPv2, 255 s.
    pub const MAX_V2: Self = Self(25_500);

    /// `None` for zero or more than any version carries.
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        if value == 0 || value > Self::MAX_V2.0 { None } else { Some(Self(value)) }
    }

    /// The number of centiseconds.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The same length in nanoseconds.
    #[must_use]
    pub const fn span(self) -> Span {
        Span(self.0 as u64 * 10_000_000)
    }
}

/// Version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 3768, IPv4 only, whole seconds.
    V2,
    /// RFC 9568, IPv4 and IPv6, centiseconds.
    V3,
}

impl Version {
    /// The number in the upper four bits of the first byte.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// Address family of a virtual router. The two families of one VRID are two virtual routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, adverts to 224.0.0.18.
    V4,
    /// IPv6, adverts to ff02::12.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: core::net::IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// 224.0.0.18 (RFC 9568 section 5.1.1.2).
pub const MULTICAST_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// ff02::12 (RFC 9568 section 5.1.2.2).
pub const MULTICAST_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// IP protocol number of VRRP (and, by squatting, of CARP).
pub const IPPROTO_VRRP: u8 = 112;
/// The only TTL or hop limit of a multicast advert (RFC 9568 section 5.1.1.3).
pub const ADVERT_TTL: u8 = 255;
