//! `xvrrp status --json` as the tests read it. Written against the documented output, not shared with the
//! daemon's code, so that a change of the output is noticed.

use std::net::IpAddr;

use serde::Deserialize;

/// The whole answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process id, inside its host.
    pub pid: u32,
    /// All instances, in the order of the configuration.
    pub instances: Vec<InstanceStatus>,
    /// All interfaces that are used.
    pub interfaces: Vec<InterfaceStatus>,
    /// Sync groups, in the order of the configuration.
    pub groups: Vec<GroupStatus>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// One `vrrp_sync_group`.
#[derive(Clone, Debug, Deserialize)]
pub struct GroupStatus {
    /// Name in the configuration.
    pub name: String,
    /// The state that all members have or had last.
    pub state: String,
    /// Members with their states.
    pub members: Vec<GroupMember>,
    /// What holds it in FAULT.
    pub fault: Vec<String>,
}

/// A member of a sync group.
#[derive(Clone, Debug, Deserialize)]
pub struct GroupMember {
    /// Name of the instance.
    pub name: String,
    /// Its state.
    pub state: String,
}

/// One `vrrp_instance`.
#[derive(Clone, Debug, Deserialize)]
pub struct InstanceStatus {
    /// Name in the configuration.
    pub name: String,
    /// Interface name.
    pub interface: String,
    /// Virtual router id.
    pub vrid: u8,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// 2 or 3.
    pub vrrp_version: u8,
    /// `INIT`, `FAULT`, `BACKUP`, `MASTER` or `LEAVING`.
    pub state: String,
    /// Milliseconds in this state.
    pub since_ms: u64,
    /// Why it is in this state.
    pub reason: String,
    /// Priority and what changed it.
    pub priority: PriorityStatus,
    /// The master whose adverts were accepted last; none while this router is master.
    pub master: Option<MasterStatus>,
    /// Virtual addresses.
    pub vips: Vec<String>,
    /// `native`, `generic` or `raw-socket`.
    pub receive: String,
    /// `auth_hmac`.
    pub hmac: Option<HmacStatus>,
}

/// How adverts are signed.
#[derive(Clone, Debug, Deserialize)]
pub struct HmacStatus {
    /// `enforce`, `permissive` or `receive-only`.
    pub mode: String,
    /// Number of the key that adverts go out under.
    pub active_key: u8,
    /// Adverts that were accepted without a trailer.
    pub unsigned: u64,
}

/// Priority of an instance.
#[derive(Clone, Debug, Deserialize)]
pub struct PriorityStatus {
    /// What is advertised.
    pub effective: u8,
    /// What the configuration says.
    pub configured: u8,
    /// What makes the difference.
    pub changes: Vec<PriorityChange>,
}

/// One reason for a changed priority.
#[derive(Clone, Debug, Deserialize)]
pub struct PriorityChange {
    /// Name of the tracked object.
    pub by: String,
    /// What it adds.
    pub weight: i16,
}

/// The other side's master.
#[derive(Clone, Debug, Deserialize)]
pub struct MasterStatus {
    /// Source of its adverts.
    pub address: IpAddr,
    /// Its priority.
    pub priority: u8,
    /// Its advertisement interval in milliseconds.
    pub interval_ms: f64,
    /// Age of its last advert in milliseconds, read from the map.
    pub last_advert_age_ms: f64,
}

/// One interface.
#[derive(Clone, Debug, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Whether it can carry packets.
    pub up: bool,
    /// XDP mode, or how packets are received without.
    pub xdp: Option<String>,
    /// Why it is that mode.
    pub xdp_reason: Option<String>,
    /// Routers that are probed.
    #[serde(default)]
    pub peers: Vec<ProbedStatus>,
}

/// A router that is probed.
#[derive(Clone, Debug, Deserialize)]
pub struct ProbedStatus {
    /// Its address.
    pub address: IpAddr,
    /// Whether its death would be noticed within milliseconds.
    pub fast: bool,
    /// Probes sent.
    pub sent: u64,
    /// Replies read.
    pub answered: u64,
    /// Verdicts on it.
    pub verdicts: u64,
    /// Verdicts that a sign of life refuted.
    pub wrong: u64,
    /// How late probes went out, in microseconds.
    pub late_median_us: f64,
    /// The same, 99 of 100 are below.
    pub late_p99_us: f64,
    /// The latest ever.
    pub late_max_us: f64,
    /// Times that the prober ran more than a millisecond late.
    pub stalls: u64,
}

impl Status {
    /// The instance called `name`.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&InstanceStatus> {
        self.instances.iter().find(|instance| instance.name == name)
    }
}
