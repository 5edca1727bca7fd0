//! A cluster whose timers are the RFC's: hosts with virtual routers on two interfaces, the wires between them, and a virtual
//! clock. Nobody probes.
//!
//! A `host` drives the real node as the daemon does, with the kernel around it, which runs on while the daemon is frozen or
//! dead; the `world` has the wires and the clock; `faults` befall it. [`rfc`](super::rfc) and
//! [`groups`](super::groups) tell stories of such clusters.
//!
//! # What always holds
//!
//! - *25*: a master yields to an advert of a better one, to its group or to its operator, and to nothing else.
//! - *29*: without a link there is no other state than FAULT.
//! - *36*: addresses follow the states, and transitions add up to them.
//! - *39*: the fence knows of addresses before they are there and until they are gone; it keeps those of a standby silent.
//! - *40*: after a turn the next deadline lies ahead; the same calls give the same effects.
//! - *41*: no timer makes a backup master before the silence that its card witnessed was long enough.
//! - Only a master advertises; the members of a group that once agreed go on to agree; whoever is in the file before and after
//!   a reload keeps its state; a role goes on after a restart only where the silence was short enough.

mod agenda;
mod check;
mod faults;
mod file;
mod host;
mod log;
mod perform;
mod turn;
mod wire;
mod world;

pub(super) use check::Expect;
pub(super) use faults::{Change, Fault, Tracked, Weather};
pub(super) use file::Instance;
pub(super) use host::Host;
pub(super) use world::World;
