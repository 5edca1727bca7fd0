//! The VRRP protocol without I/O, shared by the daemon, the XDP program and the simulated cluster.
//!
//! What lives here: wire formats, packet classification, the layout of the BPF maps, and the state machine.
//! What must not: a clock, a socket, a random source; outside of [`node`], an allocation. Every function is a pure function of its
//! arguments, which is what lets the cluster simulation replay a failure from its seed and lets the same
//! decoder run in softirq. CI builds the crate for `bpfel-unknown-none` to prove it.
//!
//! RFC 9568 is VRRPv3, RFC 3768 is VRRPv2, RFC 2338 had VRRPv2 authentication.

#![no_std]

#[cfg(feature = "node")]
extern crate alloc;

pub mod announce;
pub mod arp;
pub mod bfd;
pub mod checksum;
pub mod classify;
pub mod counter;
pub mod fence;
pub mod frame;
pub mod group;
pub mod judge;
pub mod layout;
pub mod machine;
pub mod ndp;
#[cfg(feature = "node")]
pub mod node;
pub mod packet;
pub mod probe;
pub mod rank;
pub mod rate;
pub mod siphash;
pub mod time;
pub mod types;
pub mod validate;
