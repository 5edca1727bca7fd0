//! The daemon: what it owns. What it does lies in the files below, one for each job, and nobody imports them; its parts,
//! beside this folder, know nothing of it.

mod announce;
mod fence;
mod groups;
mod hearing;
mod holds;
mod hot_standby;
mod links;
mod liveness;
mod observe;
mod preview;
mod probes;
mod programs;
mod reload;
mod report;
mod resume;
mod run;
mod standby;
mod start;
mod turn;

use ha_common::node::Node;

use super::announcements::Announcements;
use super::configuration::Configuration;
use super::fast::Fast;
use super::host::Host;
use super::interfaces::Interfaces;
use super::lifecycle::Lifecycle;
use super::note::Note;
use super::routers::Routers;
use super::shown::Shown;
use super::workers::Workers;
use crate::net::timer::Timer;

/// Everything that the daemon owns.
pub(super) struct Daemon {
    /// What is decided.
    pub(super) node: Node,
    pub(super) routers: Routers,
    pub(super) interfaces: Interfaces,
    pub(super) host: Host,
    pub(super) announcements: Announcements,
    pub(super) fast: Fast,
    pub(super) workers: Workers,
    pub(super) configuration: Configuration,
    pub(super) life: Lifecycle,
    pub(super) timer: Timer,
    pub(super) shown: Shown,
    /// What happened in the turn that is under way, for the log.
    pub(super) notes: Vec<Note>,
}
