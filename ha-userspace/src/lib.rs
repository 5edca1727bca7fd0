//! The library behind `xvrrp`: everything that touches the outside world.
//!
//! Protocol decisions live in `ha-common`; this crate reads the configuration, owns sockets, netlink, BPF maps,
//! scripts and the control socket, and drives one state machine per virtual router from one loop.

pub mod cli;
mod colour;
pub mod config;
pub mod control;
mod descriptor;
pub mod doctor;
pub mod events;
pub mod findings;
pub mod liveness;
pub mod logging;
pub mod lost;
mod metrics;
pub mod net;
pub mod notify;
pub mod program;
pub mod realtime;
pub mod runtime;
mod service_manager;
mod signals;
mod tls;
pub mod track;
pub mod trust;
mod words;
mod worker;
pub mod xdp;
