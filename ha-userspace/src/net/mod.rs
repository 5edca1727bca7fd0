//! Everything that talks to the kernel's network stack, and the clock and the timer next to it.
//!
//! What lives here: link and address monitoring ([`monitor`]), the takeover batch of addresses ([`addresses`]), that of
//! routes and rules ([`routing`]),
//! sockets that send and receive adverts ([`advert_tx`], [`advert_rx`]), the sender of gratuitous ARP and
//! unsolicited NA frames ([`announce`]), the clock ([`clock`]) and the one deadline timer ([`timer`]).
//!
//! What must not: a decision of the protocol, or a BPF map. The runtime calls everything here; nothing here
//! calls back.

pub mod addresses;
pub mod advert_rx;
pub mod advert_tx;
pub mod announce;
pub mod clock;
pub mod error;
pub mod firewall;
mod links;
pub mod monitor;
pub mod neighbours;
pub(crate) mod netlink;
pub mod place;
pub mod probe_tx;
pub mod routing;
mod sys;
pub mod sysctl;
pub mod timer;

pub mod vmac;
