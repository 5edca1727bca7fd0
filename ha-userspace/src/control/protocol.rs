//! What travels over the control socket: one JSON object per line, one answer per request.
//!
//! These types are also what `xvrrp status --json` prints, so a field is added, never renamed or given another
//! meaning, without raising [`FORMAT`]. All ages are in milliseconds and relative to the moment at which the answer was
//! put together, which is after the request had come, so that no reader has to share a clock with the daemon.

mod interface;
mod measured;
mod observed;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use interface::{FenceStatus, InterfaceStatus, PeerStatus};
pub use measured::{Histogram, InstanceMeasured, TransitionCount};
pub use observed::{
    CompetitorStatus, Finding, ForeignStatus, HeardRouter, Severity, StandbyRouter, StandbyStatus, Verdict,
};

/// Version of the JSON that [`Status`] and [`Counters`] have.
pub const FORMAT: u32 = 1;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
pub enum Request {
    /// The whole state, for people and for monitoring.
    Status,
    /// The XDP program's and the receiver's counters, per interface.
    Counters,
    /// Read the configuration again and apply what changed.
    Reload {
        /// Even where an error in it stops something that runs.
        #[serde(default)]
        force: bool,
        /// Only say what would change.
        #[serde(default)]
        dry_run: bool,
    },
    /// Hold instances for some time, or let them go.
    Hold(HoldRequest),
    /// Stop gracefully: the virtual addresses go to the other router.
    Stop,
    /// Run the program anew, with the same arguments and the same role.
    Restart,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Counters`].
    Counters(Counters),
    /// To [`Request::Reload`], where the new configuration is in force.
    Reloaded(Reloaded),
    /// To [`Request::Reload`] with `dry_run`.
    Preview(Preview),
    /// To [`Request::Hold`]: what became of each instance.
    Held(Held),
    /// To [`Request::Stop`]; the daemon ends after this.
    Stopping,
    /// To [`Request::Restart`]; the daemon starts anew after this.
    Restarting,
    /// The request could not be carried out; nothing changed.
    Error(Failure),
}

/// What instances are to be held to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HoldRequest {
    /// Which; none for all. With a member of a sync group come all of its members.
    pub instances: Vec<String>,
    /// `resigned`, `preferred` or `frozen`; `None` to let them go.
    pub kind: Option<String>,
    /// For how long.
    pub seconds: u64,
    /// A master that resigns sends priority 0, whether or not anybody takes over.
    pub force: bool,
}

/// What was done to instances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Held {
    /// Those that were meant, in file order.
    pub instances: Vec<HeldInstance>,
}

/// An instance that was held or let go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HeldInstance {
    /// Name in the configuration.
    pub name: String,
    /// Its state then: as [`InstanceStatus::state`].
    pub state: String,
    /// Why it was not done; empty where it was.
    pub refused: String,
}

/// What an operator holds an instance to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HoldStatus {
    /// `resigned`: whoever else can takes over; `preferred`: it takes over; `frozen`: no change of roles but for a death.
    pub kind: String,
    /// What is left of it.
    pub left_ms: u64,
    /// Its end, RFC 3339.
    pub until: String,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Failure {
    /// What kind of failure: `not_running`, `permission_denied`, `frozen`, `no_answer`, `refused`, `no_files`, `not_found`,
    /// `not_done`. From a daemon empty, which is `refused`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// Rendered diagnostics of a configuration that was refused, each of one or more lines.
    pub diagnostics: Vec<String>,
}

impl Failure {
    /// A failure without diagnostics.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Reloaded {
    /// One sentence per thing that changed; empty where the files say what they said before.
    pub changes: Vec<String>,
    /// Rendered warnings of the new configuration.
    pub diagnostics: Vec<String>,
}

/// What a reload would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Preview {
    /// Why it would be refused.
    pub refused: Option<String>,
    /// One sentence per thing that would change.
    pub changes: Vec<String>,
    /// One sentence per virtual router of which addresses might move.
    pub moves: Vec<String>,
    /// Rendered warnings of the new configuration.
    pub diagnostics: Vec<String>,
}

/// The whole state of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Status {
    /// [`FORMAT`] of the daemon.
    pub format: u32,
    /// Version of the daemon.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// When this was put together, by the clock of the host: RFC 3339.
    pub at: String,
    /// Time since the daemon started.
    pub started_ms_ago: u64,
    /// When that was, RFC 3339.
    pub started: String,
    /// What it all amounts to; made by whoever shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The main loop has real-time priority.
    pub realtime: Option<bool>,
    /// Configuration file in force.
    pub config: String,
    /// The longest turn of the main loop: from when something woke it until it waited again.
    pub longest_turn_ms: f64,
    /// Time since that turn ended.
    pub longest_turn_ms_ago: u64,
    /// How long all turns took; for metrics.
    #[serde(skip)]
    pub turns: Histogram,
    /// Virtual routers, in file order.
    pub instances: Vec<InstanceStatus>,
    /// Sync groups, in file order.
    pub groups: Vec<GroupStatus>,
    /// Interfaces that virtual routers use.
    pub interfaces: Vec<InterfaceStatus>,
    /// Tracked scripts, in file order.
    pub scripts: Vec<ScriptStatus>,
    /// Everything else that is tracked: checks, processes, files, BFD sessions in file order, then interfaces.
    pub trackers: Vec<TrackerStatus>,
    /// What an operator should know: degraded XDP, disabled scripts, dropped log lines.
    pub warnings: Vec<String>,
}

/// One virtual router.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InstanceStatus {
    /// Name in the configuration.
    pub name: String,
    /// Interface.
    pub interface: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// 2 or 3.
    pub vrrp_version: u8,
    /// `INIT`, `FAULT`, `BACKUP`, `MASTER` or `LEAVING`.
    pub state: String,
    /// Time in that state.
    pub since_ms: u64,
    /// Since when, RFC 3339.
    pub since: String,
    /// Why it is in that state.
    pub reason: String,
    /// The priority and what makes it.
    pub priority: PriorityStatus,
    /// What holds the instance in FAULT; empty where nothing does.
    pub fault: Vec<String>,
    /// What an operator holds it to.
    pub hold: Option<HoldStatus>,
    /// The master that this virtual router follows.
    pub master: Option<MasterStatus>,
    /// Interval of its own adverts.
    pub interval_ms: u64,
    /// After so long without an advert it would take over, by the RFC.
    pub master_down_ms: f64,
    /// Within what time it would take over from a master that answers its probes; `None` without fast failover.
    pub fast_takeover_ms: Option<f64>,
    /// It takes part in fast failover.
    pub fast: bool,
    /// Routers of `unicast_peer`.
    pub unicast_peers: Vec<String>,
    /// Virtual addresses with prefix, those of `virtual_ipaddress_excluded` last.
    pub vips: Vec<String>,
    /// Virtual addresses that are not on the host although this node is master.
    pub missing: Vec<String>,
    /// Virtual addresses that are on the host although this node is not master.
    pub held: Vec<String>,
    /// `hot_standby`: `standby` while the addresses are here behind the fence, `master` while they answer, `off` in other
    /// states, `impossible` where `warnings` says why; null where it is not configured.
    pub hot_standby: Option<String>,
    /// Routers that advertise the same virtual router, and do not get along with this one.
    pub competing: Vec<CompetitorStatus>,
    /// Other virtual routers that advertise an address of this one.
    pub foreign: Vec<ForeignStatus>,
    /// Who would take over; `None` while this node is not master.
    pub standby: Option<StandbyStatus>,
    /// How adverts are received: `native`, `generic` or `raw-socket`.
    pub receive: String,
    /// `auth_hmac`; `None` where the instance has none.
    pub hmac: Option<HmacStatus>,
    /// keepalived's statistics.
    pub stats: InstanceStats,
    /// For metrics.
    #[serde(skip)]
    pub measured: InstanceMeasured,
}

impl InstanceStats {
    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            advert_rcvd: self.advert_rcvd.saturating_add(other.advert_rcvd),
            advert_sent: self.advert_sent.saturating_add(other.advert_sent),
            become_master: self.become_master.saturating_add(other.become_master),
            release_master: self.release_master.saturating_add(other.release_master),
            packet_len_err: self.packet_len_err.saturating_add(other.packet_len_err),
            advert_interval_err: self.advert_interval_err.saturating_add(other.advert_interval_err),
            ip_ttl_err: self.ip_ttl_err.saturating_add(other.ip_ttl_err),
            invalid_type_rcvd: self.invalid_type_rcvd.saturating_add(other.invalid_type_rcvd),
            addr_list_err: self.addr_list_err.saturating_add(other.addr_list_err),
            invalid_authtype: self.invalid_authtype.saturating_add(other.invalid_authtype),
            authtype_mismatch: self.authtype_mismatch.saturating_add(other.authtype_mismatch),
            auth_failure: self.auth_failure.saturating_add(other.auth_failure),
            auth_ext_missing: self.auth_ext_missing.saturating_add(other.auth_ext_missing),
            auth_ext_malformed: self.auth_ext_malformed.saturating_add(other.auth_ext_malformed),
            auth_ext_unknown_key: self.auth_ext_unknown_key.saturating_add(other.auth_ext_unknown_key),
            auth_ext_invalid_hmac: self.auth_ext_invalid_hmac.saturating_add(other.auth_ext_invalid_hmac),
            auth_ext_stale: self.auth_ext_stale.saturating_add(other.auth_ext_stale),
            auth_ext_replay: self.auth_ext_replay.saturating_add(other.auth_ext_replay),
            pri_zero_rcvd: self.pri_zero_rcvd.saturating_add(other.pri_zero_rcvd),
            pri_zero_sent: self.pri_zero_sent.saturating_add(other.pri_zero_sent),
        }
    }
}

/// How adverts are signed, without the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HmacStatus {
    /// `enforce`, `permissive` or `receive-only`.
    pub mode: String,
    /// Number of the key that adverts go out under.
    pub active_key: u8,
    /// Numbers of all keys that are believed.
    pub keys: Vec<u8>,
    /// `time` or `monotonic`.
    pub anti_replay: String,
    /// `time_window` in seconds; `None` with `monotonic`.
    pub time_window_s: Option<u16>,
    /// Adverts that were accepted although nobody signed them.
    pub unsigned: u64,
}

/// One sync group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GroupStatus {
    /// Name in the configuration.
    pub name: String,
    /// The state that its members have or, while they differ, had last: as [`InstanceStatus::state`].
    pub state: String,
    /// Its members, in file order.
    pub members: Vec<MemberStatus>,
    /// What holds it in FAULT, with the member that has it; empty where nothing does.
    pub fault: Vec<String>,
}

/// A member of a sync group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MemberStatus {
    /// Name of the instance.
    pub name: String,
    /// As [`InstanceStatus::state`].
    pub state: String,
}

/// A priority and what makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PriorityStatus {
    /// What the adverts carry.
    pub effective: u8,
    /// What the file says.
    pub configured: u8,
    /// Trackers that make the difference.
    pub changes: Vec<PriorityChange>,
}

/// A tracker that changes a priority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PriorityChange {
    /// `script NAME`, `interface NAME`, `check NAME`, `process NAME`, `file NAME` or `bfd NAME`.
    pub by: String,
    /// What it adds now.
    pub weight: i32,
}

/// The master that a backup follows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MasterStatus {
    /// Source address of its adverts.
    pub address: String,
    /// Priority in its adverts.
    pub priority: u8,
    /// Interval that its adverts are expected at.
    pub interval_ms: u64,
    /// Age of its last accepted advert, from the kernel's stamp.
    pub last_advert_age_ms: f64,
}

/// keepalived's statistics of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are those of keepalived's statistics")]
pub struct InstanceStats {
    pub advert_rcvd: u64,
    pub advert_sent: u64,
    pub become_master: u64,
    pub release_master: u64,
    pub packet_len_err: u64,
    pub advert_interval_err: u64,
    pub ip_ttl_err: u64,
    pub invalid_type_rcvd: u64,
    pub addr_list_err: u64,
    pub invalid_authtype: u64,
    pub authtype_mismatch: u64,
    pub auth_failure: u64,
    pub auth_ext_missing: u64,
    pub auth_ext_malformed: u64,
    pub auth_ext_unknown_key: u64,
    pub auth_ext_invalid_hmac: u64,
    pub auth_ext_stale: u64,
    pub auth_ext_replay: u64,
    pub pri_zero_rcvd: u64,
    pub pri_zero_sent: u64,
}

/// One tracked script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ScriptStatus {
    /// Name in the configuration.
    pub name: String,
    /// `pending`, `good`, `bad` or `disabled`.
    pub state: String,
    /// How the last run ended: `exit 0`, `signal 9`, `timeout`, or why it could not run.
    pub last_result: Option<String>,
    /// How long the last run took.
    pub last_duration_ms: Option<u64>,
    /// Time since the last run began.
    pub last_run_ms_ago: Option<u64>,
    /// Runs that ended.
    pub runs: u64,
    /// Runs of those that failed.
    pub failures: u64,
    /// Starts that were left out because the run before was still going.
    pub skipped: u64,
    /// Whether a run is going on.
    pub running: bool,
}

/// One tracked thing that is no script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TrackerStatus {
    /// `check`, `process`, `file`, `bfd` or `interface`.
    pub kind: String,
    /// Name in the configuration.
    pub name: String,
    /// `pending`, `good`, `bad`, `disabled`, or `value` for a file.
    pub state: String,
    /// The number in a file.
    pub value: Option<i32>,
    /// Why it is in that state: the last answer, the number of processes.
    pub detail: String,
    /// Time in that state.
    pub since_ms: u64,
    /// How long the last probe of a check took.
    pub last_duration_ms: Option<u64>,
    /// Time since the last probe began.
    pub last_run_ms_ago: Option<u64>,
    /// Probes that ended.
    pub runs: u64,
    /// Probes of those that failed.
    pub failures: u64,
}

/// Counters of all interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Counters {
    /// [`FORMAT`] of the daemon.
    pub format: u32,
    /// One entry per interface.
    pub interfaces: Vec<InterfaceCounters>,
}

/// Counters of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InterfaceCounters {
    /// Name of the interface.
    pub interface: String,
    /// Every counter, in the order of `HA_COUNTERS`.
    pub counters: Vec<CounterValue>,
}

/// One counter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CounterValue {
    /// Word of [`ha_common::counter::Counter`].
    pub name: String,
    /// Frames since the program was loaded.
    pub value: u64,
}
