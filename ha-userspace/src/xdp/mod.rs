//! The XDP program on an interface: loaded, attached, its maps mapped and pinned.
//!
//! What lives here: everything that touches BPF. What must not: any judgement of what a frame says; frames are
//! handed on as they came. The runtime calls this once per interface and keeps the [`XdpInterface`] for as long as
//! it uses the interface; dropping it detaches the program and removes the pins. A daemon that dies leaves them: its
//! program goes on answering for it (docs/liveness.md), and the next run takes them over.
//!
//! The object has the program in several builds ([`Variant`]); the first that the kernel takes is used. Where it takes
//! none, or the permission or the driver is missing, [`XdpInterface::attach`] says so and the caller receives through
//! sockets.

mod attach;
mod attached;
mod bpf;
mod claim;
mod driver;
mod events;
pub mod facts;
mod features;
mod fence;
mod genl;
mod interface;
mod left;
mod loader;
mod log;
mod maps;
mod occupant;
mod peers;
mod pins;
pub mod prospect;
mod raise;
mod sys;
mod tc;

pub use attach::AttachError;
pub use attached::Attached;
pub use driver::LinkCost;
pub use events::{Event, Events};
pub use features::Features;
pub use fence::{Lease, Vips};
pub use interface::{Inherited, Options, XdpInterface};
pub use left::{LeftProgram, LeftStandby, left, left_standbys};
pub use loader::{Alive, LoadError, Program, Variant};
pub use log::BpfLog;
pub use maps::{Adverts, ClaimRule, Counters, Judged, Seen, Slot, Travel};
pub use occupant::Occupant;
pub use peers::{LastReply, PeerIndex, Peers, Prober, Probers};
pub use pins::{PinError, detach_everything, left_lease, remove_leftovers};
pub use raise::{Raise, Raised};
pub use tc::remove_filters;
