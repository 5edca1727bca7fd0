//! Would a takeover succeed now? On a master: who would take over, and within what time. On a backup: whether this host
//! could.

use schemars::JsonSchema;
use serde::Serialize;

use super::age;
use crate::control::protocol::{InstanceStatus, InterfaceStatus, StandbyStatus, Status};

/// The answer for all instances that were asked about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Ready {
    /// `ready`, `not_ready` or `unknown`: the worst of the instances.
    pub state: String,
    /// One for each, in the order of the file.
    pub instances: Vec<InstanceReady>,
}

/// The answer for one instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct InstanceReady {
    /// Its name.
    pub name: String,
    /// Its state.
    pub role: String,
    /// `ready`, `not_ready` or `unknown`.
    pub state: String,
    /// Who would take over: another router from a master, `this host` from another one.
    pub successor: Option<String>,
    /// Within what time after the death of the master.
    pub within_ms: Option<f64>,
    /// How that would be noticed: `probes` or `rfc`.
    pub by: Option<String>,
    /// On a master without a standby: since when, RFC 3339.
    pub since: Option<String>,
    /// The same as an age.
    pub since_ms: Option<u64>,
    /// What stands in the way.
    pub obstacles: Vec<String>,
    /// What makes it slower, or less sure.
    pub notes: Vec<String>,
}

const READY: &str = "ready";
const NOT_READY: &str = "not_ready";
const UNKNOWN: &str = "unknown";

impl Ready {
    /// 0 ready, 1 not ready, 3 unknown.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.state.as_str() {
            READY => 0,
            NOT_READY => 1,
            _ => 3,
        }
    }
}

/// Looks at all instances of a status.
#[must_use]
pub fn ready(status: &Status) -> Ready {
    let instances: Vec<_> = status.instances.iter().map(|instance| of_instance(status, instance)).collect();
    let any = |state: &str| instances.iter().any(|instance| instance.state == state);
    let state = match () {
        () if any(NOT_READY) => NOT_READY,
        () if any(UNKNOWN) || instances.is_empty() => UNKNOWN,
        () => READY,
    };
    Ready { state: state.to_owned(), instances }
}

fn of_instance(status: &Status, instance: &InstanceStatus) -> InstanceReady {
    let begun = InstanceReady {
        name: instance.name.clone(),
        role: instance.state.clone(),
        ..InstanceReady::default()
    };
    match (instance.state.as_str(), &instance.standby) {
        ("MASTER", Some(standby)) => of_master(begun, instance, standby),
        ("MASTER", None) => InstanceReady {
            state: UNKNOWN.to_owned(),
            notes: vec!["the daemon is of an older version and does not say".to_owned()],
            ..begun
        },
        _ => of_backup(begun, status, instance),
    }
}

fn of_master(begun: InstanceReady, instance: &InstanceStatus, standby: &StandbyStatus) -> InstanceReady {
    let heard = standby.heard.iter().map(|router| {
        #[expect(clippy::cast_precision_loss, reason = "an age")]
        let master_for = instance.since_ms as f64;
        let gone = router.last_ms_ago > master_for;
        format!(
            "{} (priority {}) was master {}{} ago; if it is still there, it takes over after {}",
            router.address,
            router.priority,
            if gone { "before this host, " } else { "" },
            age(router.last_ms_ago),
            age(router.takes_over_ms)
        )
    });
    match (standby.state.as_str(), standby.routers.first()) {
        ("ready", Some(first)) => InstanceReady {
            state: READY.to_owned(),
            successor: Some(first.address.clone()),
            within_ms: Some(first.takes_over_ms),
            by: Some("probes".to_owned()),
            notes: standby.routers.iter().skip(1).map(|next| format!("then {}", next.address)).collect(),
            ..begun
        },
        ("none", _) => InstanceReady {
            state: NOT_READY.to_owned(),
            since: standby.since.clone(),
            since_ms: standby.since_ms,
            obstacles: vec!["nobody probes this host to take over".to_owned()],
            notes: heard.collect(),
            ..begun
        },
        _ => InstanceReady {
            state: UNKNOWN.to_owned(),
            notes: std::iter::once("RFC backups do not speak".to_owned()).chain(heard).collect(),
            ..begun
        },
    }
}

fn of_backup(begun: InstanceReady, status: &Status, instance: &InstanceStatus) -> InstanceReady {
    let interface = status.interfaces.iter().find(|interface| interface.name == instance.interface);
    let obstacles = obstacles(instance, interface);
    let (by, within) = fastest(instance, interface);
    let able = obstacles.is_empty();
    InstanceReady {
        state: if able { READY } else { NOT_READY }.to_owned(),
        successor: able.then(|| "this host".to_owned()),
        within_ms: able.then_some(within),
        by: able.then(|| by.to_owned()),
        obstacles,
        notes: notes(status, instance, interface, by),
        ..begun
    }
}

/// How soon this host would take over, and how it would notice.
fn fastest(instance: &InstanceStatus, interface: Option<&InterfaceStatus>) -> (&'static str, f64) {
    let master = instance.master.as_ref().map(|master| &master.address);
    let mut peers = interface.into_iter().flat_map(|interface| &interface.peers);
    let probed = peers.any(|peer| Some(&peer.address) == master && peer.fast && peer.paused_ms.is_none());
    match instance.fast_takeover_ms.filter(|_| probed) {
        Some(within) => ("probes", within),
        None => ("rfc", instance.master_down_ms),
    }
}

fn obstacles(instance: &InstanceStatus, interface: Option<&InterfaceStatus>) -> Vec<String> {
    let mut obstacles: Vec<String> = instance.fault.clone();
    if instance.state != "BACKUP" && obstacles.is_empty() {
        obstacles.push(format!("it is in {}: {}", instance.state, instance.reason));
    }
    if instance.priority.effective == 0 {
        obstacles.push("its priority is 0".to_owned());
    }
    match interface {
        Some(interface) if !interface.up && instance.fault.is_empty() => {
            obstacles.push(format!("interface {} is down", interface.name));
        }
        _ => {}
    }
    obstacles.extend(instance.held.iter().map(|held| format!("{held} is on this host already")));
    obstacles
}

fn notes(
    status: &Status,
    instance: &InstanceStatus,
    interface: Option<&InterfaceStatus>,
    by: &str,
) -> Vec<String> {
    let mut notes = Vec::new();
    if instance.fast && by == "rfc" {
        let no_xdp = interface.is_some_and(|interface| interface.xdp == "none");
        notes.push(if no_xdp {
            "without XDP, only the RFC's timers notice a dead master".to_owned()
        } else {
            "the master answers no probes now, so only the RFC's timers notice its death".to_owned()
        });
    }
    if status.realtime == Some(false) {
        notes.push("the main loop has no real-time priority: deadlines are met late under load".to_owned());
    }
    let lowered = instance.priority.changes.iter().filter(|change| change.weight < 0);
    notes.extend(lowered.map(|change| format!("{} lowers its priority by {}", change.by, -change.weight)));
    if instance.master.is_none() && instance.state == "BACKUP" {
        notes.push("no master is known".to_owned());
    }
    notes
}
