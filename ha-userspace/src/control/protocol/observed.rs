//! What the daemon has seen of others: competing masters, foreign virtual routers, who would take over. And the verdict
//! that is made of a whole [`super::Status`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A router whose adverts for this virtual router are rejected, or come although this node is master.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CompetitorStatus {
    /// Source of its adverts.
    pub address: String,
    /// Priority in the latest one.
    pub priority: u8,
    /// Why they are rejected: a word of [`ha_common::counter::Counter`]. `accepted` where nothing is wrong with them, but
    /// this node is master and goes on.
    pub problem: String,
    /// The same in a sentence, with what to do; empty for `accepted`.
    pub explanation: String,
    /// How many have come, one after the other without a pause of a minute.
    pub count: u64,
    /// Age of the latest.
    pub last_ms_ago: f64,
    /// Time between the latest two; `None` while there was only one.
    pub every_ms: Option<f64>,
}

/// A VRID that is not configured here, and whose adverts list an address of ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ForeignStatus {
    /// Its number.
    pub vrid: u8,
    /// `ipv4` or `ipv6`: how its adverts travel.
    pub family: String,
    /// Source of the adverts.
    pub source: String,
    /// The address that is ours too.
    pub address: String,
    /// How many adverts were looked at.
    pub count: u64,
    /// Age of the latest.
    pub last_ms_ago: f64,
}

/// Who would take over from this node, for a virtual router of which it is master.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StandbyStatus {
    /// `ready`: a router probes this node and would take over; `none`: there was one, or should be one, and there is none;
    /// `unknown`: nobody here could know, because backups of the RFC do not speak.
    pub state: String,
    /// Routers that probe and would take over, those that go first in front.
    pub routers: Vec<StandbyRouter>,
    /// Time since there is none; `None` unless it is known.
    pub since_ms: Option<u64>,
    /// The same as a time of day, RFC 3339.
    pub since: Option<String>,
    /// Routers that have sent adverts while they were master, with a lower priority than this node's.
    pub heard: Vec<HeardRouter>,
}

/// A router that probes this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StandbyRouter {
    /// Its address.
    pub address: String,
    /// The priority with which it would take over.
    pub priority: u8,
    /// Time since its latest probe.
    pub probed_ms_ago: f64,
    /// Within what time it would have taken over after the death of this node, as its settings are ours: window and wait.
    pub takes_over_ms: f64,
}

/// A router that was master once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HeardRouter {
    /// Source of its adverts.
    pub address: String,
    /// Priority in its latest advert.
    pub priority: u8,
    /// Age of that.
    pub last_ms_ago: f64,
    /// Its master down interval by the RFC.
    pub takes_over_ms: f64,
}

/// How bad something is, as monitoring plugins have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// All is well.
    #[default]
    Ok,
    /// Nobody can say.
    Unknown,
    /// Clients are served, but something is lost that was there, or wanted.
    Warning,
    /// Clients are not served, or will not be.
    Critical,
}

impl Severity {
    /// The word in front of the line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Unknown => "UNKNOWN",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }

    /// The exit code of a monitoring plugin.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

/// What a whole [`super::Status`] amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Verdict {
    /// The worst of the findings.
    pub severity: Severity,
    /// The first line of `xvrrp status`.
    pub line: String,
    /// The worst first.
    pub findings: Vec<Finding>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A word that stays what it is: docs/status.md has them all.
    pub code: String,
    /// The instance, interface, script or tracker that it is about; empty for the daemon as a whole.
    pub subject: String,
    /// One sentence.
    pub message: String,
    /// What to do.
    pub advice: String,
}
