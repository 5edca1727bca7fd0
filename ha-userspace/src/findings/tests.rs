//! One row for each finding: a healthy status, one thing changed, and what is said of it.

use super::*;
use crate::control::protocol::{
    CompetitorStatus, FenceStatus, ForeignStatus, InstanceStatus, InterfaceStatus, MasterStatus, PeerStatus,
    PriorityStatus, ScriptStatus, StandbyStatus, TrackerStatus,
};

fn master() -> InstanceStatus {
    InstanceStatus {
        name: "VI_1".to_owned(),
        interface: "ens160".to_owned(),
        vrid: 51,
        family: "ipv4".to_owned(),
        state: "MASTER".to_owned(),
        since_ms: 600_000,
        interval_ms: 1_000,
        master_down_ms: 3_609.0,
        fast_takeover_ms: Some(4.0),
        fast: true,
        priority: PriorityStatus { effective: 100, configured: 100, changes: Vec::new() },
        standby: Some(StandbyStatus { state: "ready".to_owned(), ..StandbyStatus::default() }),
        ..InstanceStatus::default()
    }
}

fn backup() -> InstanceStatus {
    InstanceStatus {
        name: "VI_2".to_owned(),
        state: "BACKUP".to_owned(),
        standby: None,
        master: Some(MasterStatus {
            address: "172.16.1.1".to_owned(),
            priority: 150,
            interval_ms: 1_000,
            last_advert_age_ms: 412.0,
        }),
        ..master()
    }
}

pub(super) fn healthy() -> Status {
    Status {
        started_ms_ago: 3_600_000,
        instances: vec![master(), backup()],
        interfaces: vec![InterfaceStatus {
            name: "ens160".to_owned(),
            up: true,
            xdp: "native".to_owned(),
            fence: Some(FenceStatus {
                state: "armed".to_owned(),
                now: "open".to_owned(),
                ..FenceStatus::default()
            }),
            peers: vec![PeerStatus { address: "172.16.1.1".to_owned(), fast: true, ..PeerStatus::default() }],
            ..InterfaceStatus::default()
        }],
        scripts: vec![ScriptStatus {
            name: "web".to_owned(),
            state: "good".to_owned(),
            runs: 30,
            ..ScriptStatus::default()
        }],
        ..Status::default()
    }
}

fn competitor(problem: &str) -> CompetitorStatus {
    CompetitorStatus {
        address: "172.16.1.9".to_owned(),
        priority: 100,
        problem: problem.to_owned(),
        count: 3,
        last_ms_ago: 400.0,
        every_ms: Some(1_000.0),
        ..CompetitorStatus::default()
    }
}

fn tracker(state: &str) -> TrackerStatus {
    TrackerStatus {
        kind: "check".to_owned(),
        name: "web".to_owned(),
        state: state.to_owned(),
        detail: "status 502".to_owned(),
        ..TrackerStatus::default()
    }
}

/// Codes and severities of a status in which one thing was changed.
fn found(change: impl FnOnce(&mut Status)) -> Vec<(Severity, String)> {
    let mut status = healthy();
    change(&mut status);
    verdict(&status).findings.into_iter().map(|finding| (finding.severity, finding.code)).collect()
}

type Change = fn(&mut Status);

#[test]
fn nothing_is_said_of_what_is_well() {
    let well = verdict(&healthy());
    assert_eq!(well.line, "OK: 2 instances, 1 MASTER, 1 BACKUP");
    assert_eq!((well.severity, well.findings), (Severity::Ok, Vec::new()));
    let harmless: [(&str, Change); 9] = [
        ("one advert may have been damaged", |s| {
            s.instances[0].competing = vec![CompetitorStatus { count: 1, ..competitor("bad_checksum") }];
        }),
        ("it has stopped", |s| {
            s.instances[0].competing =
                vec![CompetitorStatus { last_ms_ago: 3_100.0, ..competitor("auth_failure") }];
        }),
        ("two are master for a moment while one yields", |s| {
            s.instances[0].since_ms = 100;
            s.instances[0].competing = vec![competitor("accepted")];
        }),
        ("a backup hears its master", |s| s.instances[1].competing = vec![competitor("accepted")]),
        ("a standby is restarted", |s| {
            let since_ms = Some(900);
            s.instances[0].standby =
                Some(StandbyStatus { state: "none".to_owned(), since_ms, ..StandbyStatus::default() });
        }),
        ("backups of the RFC do not speak", |s| {
            s.instances[0].standby =
                Some(StandbyStatus { state: "unknown".to_owned(), ..StandbyStatus::default() });
        }),
        ("a start", |s| {
            s.started_ms_ago = 500;
            s.scripts[0] = ScriptStatus { state: "pending".to_owned(), ..ScriptStatus::default() };
            s.trackers = vec![tracker("pending")];
            s.instances[1].since_ms = 500;
            s.instances[1].master = None;
        }),
        ("a leaving master", |s| s.instances[0].state = "LEAVING".to_owned()),
        ("large frames without native mode", |s| s.interfaces[0].lost = vec!["multi_buffer".to_owned()]),
    ];
    for (what, change) in harmless {
        assert_eq!(found(change), [], "{what}");
    }
}

#[test]
fn what_keeps_clients_from_being_served_is_critical() {
    let table: [(&str, Change); 9] = [
        ("fault", |s| s.instances[1].state = "FAULT".to_owned()),
        ("competing_master", |s| s.instances[0].competing = vec![competitor("auth_failure")]),
        ("competing_master", |s| s.instances[0].competing = vec![competitor("bad_version")]),
        ("competing_master", |s| s.instances[0].competing = vec![competitor("interval_mismatch")]),
        ("competing_master", |s| s.instances[0].competing = vec![competitor("bad_checksum")]),
        ("competing_master", |s| s.instances[0].competing = vec![competitor("accepted")]),
        ("foreign_vrid", |s| s.instances[0].foreign = vec![foreign(52, "ipv4")]),
        ("address_missing", |s| s.instances[0].missing = vec!["172.16.1.25/24 on ens160".to_owned()]),
        ("address_held", |s| s.instances[1].held = vec!["172.16.1.25/24 on ens160".to_owned()]),
    ];
    for (code, change) in table {
        assert_eq!(found(change), [(Severity::Critical, code.to_owned())]);
    }
}

fn foreign(vrid: u8, family: &str) -> ForeignStatus {
    ForeignStatus {
        vrid,
        family: family.to_owned(),
        source: "172.16.1.9".to_owned(),
        address: "172.16.1.25".to_owned(),
        count: 7,
        last_ms_ago: 300.0,
    }
}

#[test]
fn what_is_lost_while_clients_are_served_is_a_warning() {
    let table: [(&str, Change); 18] = [
        ("rejected_adverts", |s| s.instances[1].competing = vec![competitor("auth_failure")]),
        ("rejected_adverts", |s| s.instances[0].competing = vec![competitor("own_packet")]),
        ("foreign_vrid", |s| s.instances[1].foreign = vec![foreign(51, "ipv6")]),
        ("no_standby", |s| {
            let since_ms = Some(61_000);
            s.instances[0].standby =
                Some(StandbyStatus { state: "none".to_owned(), since_ms, ..StandbyStatus::default() });
        }),
        ("no_master", |s| s.instances[1].master = None),
        ("no_master", |s| {
            s.instances[1].master =
                Some(MasterStatus { last_advert_age_ms: 9_000.0, ..MasterStatus::default() });
        }),
        ("no_instances", |s| s.instances.clear()),
        ("no_fast_failover", |s| s.interfaces[0].lost = vec!["fast_failover".to_owned()]),
        ("no_fence", |s| s.interfaces[0].lost = vec!["fence".to_owned()]),
        ("no_fence", |s| s.interfaces[0].lost = vec!["fence_after_death".to_owned()]),
        ("xdp_mode", |s| s.interfaces[0].improvable = true),
        ("fence_closed", |s| {
            s.interfaces[0].fence = Some(FenceStatus { now: "closed".to_owned(), ..FenceStatus::default() });
        }),
        ("fast_failover_paused", |s| s.interfaces[0].peers[0].paused_ms = Some(9_900)),
        ("script_disabled", |s| s.scripts[0].state = "disabled".to_owned()),
        ("script_bad", |s| s.scripts[0].state = "bad".to_owned()),
        ("script_not_run", |s| {
            s.scripts[0] = ScriptStatus { state: "pending".to_owned(), ..ScriptStatus::default() };
        }),
        ("tracker_bad", |s| s.trackers = vec![tracker("bad")]),
        ("warning", |s| s.warnings = vec!["nice -10 is refused".to_owned()]),
    ];
    for (code, change) in table {
        assert_eq!(found(change), [(Severity::Warning, code.to_owned())]);
    }
    assert_eq!(found(|s| s.trackers = vec![tracker("disabled"), tracker("pending")]).len(), 2);
}

#[test]
fn what_an_interface_lacks_is_told_once() {
    let told = found(|s| {
        s.interfaces[0].lost = vec!["fast_failover".to_owned(), "fence".to_owned()];
        s.warnings = vec!["ens160: no right to load programs: no fast failover, no fence".to_owned()];
    });
    let codes: Vec<_> = told.iter().map(|(_, code)| code.as_str()).collect();
    assert_eq!(codes, ["no_fast_failover", "no_fence"]);
}

#[test]
fn the_first_line_is_the_worst_and_says_how_many_more_there_are() {
    let mut status = healthy();
    status.scripts[0].state = "disabled".to_owned();
    status.instances[0].competing = vec![competitor("auth_failure")];
    let said = verdict(&status);
    assert_eq!(
        said.line,
        "CRITICAL VI_1: 172.16.1.9 is master too (its password differs: 3 adverts, last 0.4 s ago) (and 1 more)"
    );
    assert_eq!(said.severity.exit_code(), 2);
    let frozen = without_status("frozen", "the daemon has not answered for 2 s");
    assert_eq!(frozen.line, "UNKNOWN: the daemon has not answered for 2 s");
    assert_eq!(frozen.severity.exit_code(), 3);
}

#[test]
fn every_finding_says_what_to_do() {
    let mut status = healthy();
    let words = ha_common::counter::JudgedCounters::ALL.iter().map(|counter| competitor(counter.word()));
    status.instances[0].competing = words.collect();
    status.instances[1].state = "FAULT".to_owned();
    for finding in verdict(&status).findings {
        assert!(!finding.advice.is_empty() && !finding.message.is_empty(), "{finding:?}");
    }
}

#[test]
fn the_run_book_has_every_code() {
    let book = include_str!("../../../docs/status.md");
    let codes = [
        "fault",
        "competing_master",
        "foreign_vrid",
        "address_missing",
        "address_held",
        "rejected_adverts",
        "no_standby",
        "no_master",
        "no_instances",
        "no_fast_failover",
        "no_fence",
        "xdp_mode",
        "fence_closed",
        "fast_failover_paused",
        "script_disabled",
        "script_bad",
        "script_not_run",
        "tracker_disabled",
        "tracker_bad",
        "tracker_pending",
        "warning",
        "not_running",
        "frozen",
        "no_answer",
        "permission_denied",
        "no_such_instance",
    ];
    for code in codes {
        assert!(book.contains(&format!("`{code}`")), "{code} is not in docs/status.md");
    }
}

mod readiness {
    use super::super::ready::{Ready, ready};
    use super::*;
    use crate::control::protocol::{HeardRouter, PriorityChange, StandbyRouter};

    fn of(change: impl FnOnce(&mut Status)) -> Ready {
        let mut status = healthy();
        change(&mut status);
        ready(&status)
    }

    fn standby(state: &str) -> StandbyStatus {
        StandbyStatus { state: state.to_owned(), ..StandbyStatus::default() }
    }

    #[test]
    fn a_master_says_who_would_take_over() {
        let router = |address: &str, takes_over_ms| StandbyRouter {
            address: address.to_owned(),
            priority: 99,
            probed_ms_ago: 0.4,
            takes_over_ms,
        };
        let routers = vec![router("172.16.1.2", 4.0), router("172.16.1.3", 6.0)];
        let found = of(|s| s.instances[0].standby = Some(StandbyStatus { routers, ..standby("ready") }));
        assert_eq!((found.state.as_str(), found.exit_code()), ("ready", 0));
        let first = &found.instances[0];
        assert_eq!(first.successor.as_deref(), Some("172.16.1.2"));
        assert_eq!((first.within_ms, first.by.as_deref()), (Some(4.0), Some("probes")));
        assert_eq!(first.notes, ["then 172.16.1.3"]);

        let none = StandbyStatus {
            since: Some("2026-11-24T03:12:00+01:00".to_owned()),
            since_ms: Some(60_000),
            ..standby("none")
        };
        let found = of(|s| s.instances[0].standby = Some(none));
        assert_eq!((found.state.as_str(), found.exit_code()), ("not_ready", 1));
        assert_eq!(found.instances[0].since.as_deref(), Some("2026-11-24T03:12:00+01:00"));

        let heard = vec![HeardRouter {
            address: "172.16.1.2".to_owned(),
            priority: 99,
            last_ms_ago: 900_000.0,
            takes_over_ms: 3_613.0,
        }];
        let found = of(|s| s.instances[0].standby = Some(StandbyStatus { heard, ..standby("unknown") }));
        assert_eq!((found.state.as_str(), found.exit_code()), ("unknown", 3));
        assert_eq!(
            found.instances[0].notes,
            [
                "RFC backups do not speak",
                "172.16.1.2 (priority 99) was master before this host, 15m00s ago; if it is still there, it takes over \
                 after 3.6 s"
            ]
        );
    }

    #[test]
    fn a_backup_says_whether_it_could() {
        let backup = |change: Change| {
            let mut status = healthy();
            status.instances.remove(0);
            change(&mut status);
            let mut found = ready(&status);
            found.instances.remove(0)
        };
        let able = backup(|_| {});
        assert_eq!(
            (able.state.as_str(), able.within_ms, able.by.as_deref()),
            ("ready", Some(4.0), Some("probes"))
        );
        assert_eq!(able.notes, [""; 0]);
        let slow = backup(|s| s.interfaces[0].peers.clear());
        assert_eq!(
            (slow.state.as_str(), slow.within_ms, slow.by.as_deref()),
            ("ready", Some(3_609.0), Some("rfc"))
        );
        assert_eq!(slow.notes.len(), 1);
        let unable: [(&str, Change); 5] = [
            ("interface ens160 is down", |s| s.interfaces[0].up = false),
            ("script web", |s| {
                s.instances[0].state = "FAULT".to_owned();
                s.instances[0].fault = vec!["script web".to_owned()];
            }),
            ("it is in INIT: ", |s| s.instances[0].state = "INIT".to_owned()),
            ("its priority is 0", |s| s.instances[0].priority.effective = 0),
            ("172.16.1.25/24 on ens160 is on this host already", |s| {
                s.instances[0].held = vec!["172.16.1.25/24 on ens160".to_owned()];
            }),
        ];
        for (obstacle, change) in unable {
            let found = backup(change);
            assert_eq!((found.state.as_str(), found.obstacles), ("not_ready", vec![obstacle.to_owned()]));
        }
        let lowered = backup(|s| {
            s.realtime = Some(false);
            s.instances[0].priority.changes =
                vec![PriorityChange { by: "script web".to_owned(), weight: -20 }];
        });
        assert_eq!(lowered.state, "ready");
        assert_eq!(lowered.notes.len(), 2, "{:?}", lowered.notes);
    }

    #[test]
    fn the_worst_instance_decides() {
        assert_eq!(ready(&Status::default()).exit_code(), 3);
        let found = of(|s| {
            s.instances[0].standby = Some(standby("unknown"));
            s.interfaces[0].up = false;
        });
        assert_eq!(found.exit_code(), 1);
    }
}
