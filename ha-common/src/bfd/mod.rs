//! Bidirectional Forwarding Detection (RFC 5880), asynchronous mode on a single hop (RFC 5881): the packet and the
//! session, without a socket and without a clock.
//!
//! What is left out: echo, authentication, demand mode of our own. A neighbour that wants demand mode gets it.

pub mod packet;
pub mod session;

pub use packet::{Diagnostic, Packet, Reject, State};
pub use session::{Session, Settings};

/// UDP port of control packets (RFC 5881, section 4).
pub const PORT: u16 = 3784;
/// TTL or hop limit of every control packet on a single hop (RFC 5881, section 5).
pub const TTL: u8 = 255;
/// First of the source ports that a session may use (RFC 5881, section 4).
pub const FIRST_SOURCE_PORT: u16 = 49152;
