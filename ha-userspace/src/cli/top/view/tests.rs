//! The picture, as text.

use super::*;
use crate::cli::top::picture;
use crate::control::protocol::{
    FenceStatus, Finding, InstanceStats, InterfaceStatus, MasterStatus, PriorityStatus, StandbyRouter,
    StandbyStatus,
};

fn master(name: &str) -> InstanceStatus {
    InstanceStatus {
        name: name.to_owned(),
        interface: "ens160".to_owned(),
        state: "MASTER".to_owned(),
        since_ms: 7_384_000,
        priority: PriorityStatus { effective: 101, configured: 101, changes: Vec::new() },
        stats: InstanceStats { advert_sent: 7_385, ..InstanceStats::default() },
        standby: Some(StandbyStatus {
            state: "ready".to_owned(),
            routers: vec![StandbyRouter {
                address: "172.16.1.2".to_owned(),
                priority: 100,
                probed_ms_ago: 0.8,
                takes_over_ms: 4.0,
            }],
            ..StandbyStatus::default()
        }),
        receive: "native".to_owned(),
        ..InstanceStatus::default()
    }
}

fn backup(name: &str) -> InstanceStatus {
    InstanceStatus {
        state: "BACKUP".to_owned(),
        priority: PriorityStatus { effective: 100, configured: 100, changes: Vec::new() },
        master: Some(MasterStatus {
            address: "172.16.1.2".to_owned(),
            priority: 101,
            interval_ms: 1000,
            last_advert_age_ms: 412.0,
        }),
        master_down_ms: 3609.4,
        fast_takeover_ms: Some(4.0),
        fast: true,
        standby: None,
        ..master(name)
    }
}

fn status(rtt: f64) -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 4242,
        at: "2026-11-30T03:12:44.123+00:00".to_owned(),
        started_ms_ago: 7_400_000,
        instances: vec![master("VI_1"), backup("VI_2")],
        interfaces: vec![InterfaceStatus {
            name: "ens160".to_owned(),
            index: 2,
            up: true,
            xdp: "native".to_owned(),
            fence: Some(FenceStatus {
                state: "armed".to_owned(),
                now: "open".to_owned(),
                lease_left_ms: Some(18.0),
                probed_ms_ago: Some(0.8),
            }),
            peers: vec![PeerStatus {
                address: "172.16.1.2".to_owned(),
                fast: true,
                sent: 4000,
                answered: 3999,
                rtt_median_us: rtt,
                rtt_p99_us: 88.0,
                ..PeerStatus::default()
            }],
            ..InterfaceStatus::default()
        }],
        verdict: Some(Verdict {
            severity: Severity::Ok,
            line: "OK: 2 instances".to_owned(),
            findings: Vec::new(),
        }),
        ..Status::default()
    }
}

fn event(level: &str, text: &str) -> Event {
    Event {
        format: 1,
        at: "2026-11-30T03:11:02.250000+00:00".to_owned(),
        level: level.to_owned(),
        kind: "transition".to_owned(),
        text: text.to_owned(),
        ..Event::default()
    }
}

fn view() -> View {
    let mut view = View::new(false);
    for rtt in [40.0, 20.0, 80.0, 60.0, 0.0, 80.0] {
        view.add(Ok(status(rtt)));
    }
    view.add_events(vec![
        event("info", "(VI_1) BACKUP -> MASTER: first start, no master heard for 3.6 s"),
        event("warning", "(VI_2) MASTER -> BACKUP: preempted by 172.16.1.2 (101 > 100); priority 100"),
    ]);
    view
}

const PICTURE: &str = "\
OK: 2 instances
xvrrp 0.1.0, pid 4242, up 2h03m; 03:12:44

INSTANCE     STATE   SINCE   PRIO MASTER          ADVERTS   TAKEOVER
VI_1         MASTER  2h03m   101  this host       7385 sent 172.16.1.2 in 4.0 ms
VI_2         BACKUP  2h03m   100  172.16.1.2      0.4 s ago this host in 4.0 ms

ROUND TRIPS of probes, and the fence
172.16.1.2 on ens160        80 us  p99    88 us     ▄▂█▆ █
fence of ens160: armed, open, lease 18 ms, probed 0.8 ms ago

EVENTS
03:11:02 (VI_1) BACKUP -> MASTER: first start, no master heard for 3.6 s
03:11:02 warning: (VI_2) MASTER -> BACKUP: preempted by 172.16.1.2 (101 > 100);
  priority 100
";

#[test]
fn all_of_it_is_on_a_small_terminal() {
    assert_eq!(picture::text(&view(), (80, 24)), PICTURE);
}

#[test]
fn a_frozen_daemon_is_told_and_what_was_known_stays() {
    let mut view = view();
    view.add(Err(crate::findings::without_status(
        "frozen",
        "the daemon has not answered for 2 s: it is frozen",
    )));
    let text = picture::text(&view, (80, 24));
    assert!(text.starts_with("UNKNOWN: the daemon has not answered for 2 s: it is frozen\n"), "{text}");
    assert!(text.contains("last answer 03:12:44") && text.contains("VI_1"), "{text}");
    view.add(Ok(status(40.0)));
    assert!(picture::text(&view, (80, 24)).starts_with("OK: 2 instances\n"));
}

#[test]
fn no_daemon_and_no_events_are_a_picture_too() {
    let mut view = View::new(false);
    view.add(Err(crate::findings::without_status("not_running", "no xvrrp is running")));
    let text = picture::text(&view, (80, 24));
    assert!(text.contains("no xvrrp is running") && text.contains("none is recorded"), "{text}");
}

#[test]
fn of_many_instances_those_with_trouble_are_shown() {
    let mut many = status(40.0);
    many.instances = (0..100).map(|n| backup(&format!("VI_{n}"))).collect();
    let finding = Finding {
        severity: Severity::Critical,
        code: "x".to_owned(),
        subject: "VI_77".to_owned(),
        message: "bad".to_owned(),
        advice: "mend it".to_owned(),
    };
    let line = "CRITICAL VI_77: bad".to_owned();
    many.verdict = Some(Verdict { severity: Severity::Critical, line, findings: vec![finding] });
    let mut view = view();
    view.add(Ok(many));
    let text = picture::text(&view, (80, 24));
    assert!(text.lines().any(|line| line.starts_with("VI_77")), "{text}");
    assert!(text.contains("172.16.1.2 on ens160") && text.contains("EVENTS"), "{text}");
}

#[test]
fn a_long_verdict_goes_on_below() {
    let text = |text: &str, width| {
        let lines = wrapped(vec![Span::raw("UNKNOWN"), Span::raw(text.to_owned())], width);
        lines.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(text(": it is frozen", 80), ["UNKNOWN: it is frozen"]);
    assert_eq!(text(": it is frozen", 14), ["UNKNOWN: it is", "  frozen"]);
    assert_eq!(
        text(": it is frozen, says who asked", 14),
        ["UNKNOWN: it is", "  frozen, says", "  who asked"]
    );
    assert_eq!(text(": äöüäöüäöü", 12), ["UNKNOWN:", "  äöüäöüäöü"]);
    assert_eq!(text(": äöüäöüäöüäöü", 12), ["UNKNOWN:", "  äöüäöüäöüä", "  öü"]);
}

#[test]
fn no_size_is_too_small() {
    let view = view();
    for size in [(1, 1), (20, 3), (79, 7), (3, 40), (500, 200)] {
        let text = picture::text(&view, size);
        assert!(text.lines().count() <= usize::from(size.1), "{size:?}: {text}");
    }
}
