//! The ways in which a program is on an interface.

use aya::programs::XdpMode as AyaMode;

/// How the program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// In the driver.
    Native,
    /// In the kernel's stack, on any driver.
    Generic,
    /// In traffic control, behind another XDP program.
    Tc,
}

impl Attached {
    /// The word for logs and `status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
        }
    }

    /// How aya calls the modes of XDP.
    pub(super) const fn aya(self) -> AyaMode {
        match self {
            Self::Native => AyaMode::Driver,
            Self::Generic | Self::Tc => AyaMode::Skb,
        }
    }
}
