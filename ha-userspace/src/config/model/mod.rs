//! The typed configuration: what the rest of the daemon sees. Invalid values cannot be expressed.
//!
//! Built once by the lowering pass from the parsed file; all times and addresses are final, defaults filled in.
//! What has no runtime in this build is [`super::keywords::Status::NotYet`].

mod global;
mod group;
mod instance;
mod notify;
mod routes;
mod track;

use std::path::PathBuf;

pub use global::*;
pub use group::*;
pub use instance::*;
pub use notify::*;
pub use routes::*;
pub use track::*;

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `global_defs`.
    pub global: Global,
    /// `vrrp_script` blocks that are well-formed, in file order.
    pub scripts: Vec<Script>,
    /// `vrrp_check` blocks that are well-formed, in file order.
    pub checks: Vec<Check>,
    /// `track_file` blocks, in file order.
    pub track_files: Vec<TrackFile>,
    /// `vrrp_track_process` blocks, in file order.
    pub track_processes: Vec<TrackProcess>,
    /// `bfd_instance` blocks, in file order.
    pub bfd: Vec<Bfd>,
    /// `vrrp_instance` blocks that can run, in file order.
    pub instances: Vec<Instance>,
    /// `vrrp_sync_group` blocks with members that run, in file order.
    pub sync_groups: Vec<SyncGroup>,
    /// `static_ipaddress`, each with its device.
    pub static_addresses: Vec<Vip>,
    /// `static_routes`.
    pub static_routes: Vec<Route>,
    /// `static_rules`.
    pub static_rules: Vec<Rule>,
    /// `track_group` blocks, in file order.
    pub track_groups: Vec<TrackGroup>,
    /// `garp_group` blocks, in file order.
    pub garp_groups: Vec<GarpGroup>,
    /// `interface_up_down_delays`.
    pub interface_delays: Vec<InterfaceDelay>,
}

/// file:line:column, all counted from 1.
///
/// Two places are always equal, and hash to nothing: where something was written is no part of what it means, and a
/// comment more in the file must not look like a change. So two configurations are compared as they are.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// File as named by the user or by an include.
    pub file: PathBuf,
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

impl std::hash::Hash for Place {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}
