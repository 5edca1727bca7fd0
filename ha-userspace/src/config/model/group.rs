//! What joins instances and interfaces: sync groups, track groups, GARP groups, delays.

use std::time::Duration;

use super::{Notify, Place, Track, TrackFileRef, TrackInterface, TrackScript};

/// A `vrrp_sync_group`: its members fail over together.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncGroup {
    /// Name.
    pub name: String,
    /// Names of the members, in the file's order; they exist, and are in no other group.
    pub members: Vec<String>,
    /// What is told of the group's state, with `GROUP` for `INSTANCE`.
    pub notify: Notify,
    /// What the group tracks counts for all members.
    pub trackers: Trackers,
    /// `sync_group_tracking_weight`: members keep the weights of their own trackers, which are otherwise zero.
    pub tracking_weight: bool,
    /// `global_tracking` (deprecated): what one member tracks counts for all.
    pub global_tracking: bool,
    /// Where it was defined, for messages.
    pub place: Place,
}

/// Everything that an instance or a sync group tracks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trackers {
    /// `track_script`, where it names a script.
    pub scripts: Vec<TrackScript>,
    /// `track_interface`.
    pub interfaces: Vec<TrackInterface>,
    /// `track_file`.
    pub files: Vec<TrackFileRef>,
    /// `track_process`.
    pub processes: Vec<Track>,
    /// `track_bfd`.
    pub bfd: Vec<Track>,
    /// `track_check`, and `track_script` where it names a check.
    pub checks: Vec<Track>,
}

/// A `track_group`: instances that fail when a static address, route or rule of the group is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackGroup {
    /// Name that `track_group` on a static line refers to.
    pub name: String,
    /// Names of instances that exist.
    pub members: Vec<String>,
    /// Where it was defined, for messages.
    pub place: Place,
}

/// A `garp_group`: messages to these interfaces keep a distance, counted over all of them together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GarpGroup {
    /// `interface` or `interfaces`; none is in two groups.
    pub interfaces: Vec<String>,
    /// `garp_interval`; the global one where absent.
    pub arp_interval: Option<Duration>,
    /// `gna_interval`; the global one where absent.
    pub na_interval: Option<Duration>,
    /// Where it was defined, for messages.
    pub place: Place,
}

/// One line of `interface_up_down_delays`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceDelay {
    /// Interface.
    pub interface: String,
    /// Down only after this long, 0 to 255 s.
    pub down: Duration,
    /// Up again only after this long; as `down` where the line gives one number.
    pub up: Duration,
    /// Where it was written, for messages.
    pub place: Place,
}
