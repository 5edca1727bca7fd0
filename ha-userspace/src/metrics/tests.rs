//! The page against a made-up status, the documentation against the table, and the listener against bad clients.

mod served;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::facts;
use super::families::ALL;
use super::page::Form;
use crate::control::protocol::{
    CompetitorStatus, CounterValue, Counters, FenceStatus, GroupStatus, Histogram, HmacStatus, HoldStatus,
    InstanceMeasured, InstanceStats, InstanceStatus, InterfaceCounters, InterfaceStatus, MasterStatus,
    PeerStatus, PriorityStatus, ScriptStatus, StandbyStatus, Status, TrackerStatus, TransitionCount,
};

fn master() -> InstanceStatus {
    InstanceStatus {
        name: "VI_1".to_owned(),
        interface: "ens160".to_owned(),
        vrid: 51,
        state: "MASTER".to_owned(),
        since_ms: 5_000,
        priority: PriorityStatus { effective: 100, configured: 120, changes: Vec::new() },
        hold: Some(HoldStatus { kind: "frozen".to_owned(), ..HoldStatus::default() }),
        standby: Some(StandbyStatus {
            state: "none".to_owned(),
            since_ms: Some(2_500),
            ..StandbyStatus::default()
        }),
        fast: true,
        fast_takeover_ms: Some(4.0),
        hot_standby: Some("impossible".to_owned()),
        master_down_ms: 3_609.0,
        vips: vec!["192.0.2.10/24".to_owned(), "192.0.2.11/24".to_owned(), "198.51.100.1/32".to_owned()],
        missing: vec!["192.0.2.11/24".to_owned()],
        competing: vec![CompetitorStatus::default()],
        hmac: Some(HmacStatus { unsigned: 2, ..HmacStatus::default() }),
        stats: InstanceStats { advert_sent: 7, become_master: 1, ..InstanceStats::default() },
        measured: InstanceMeasured {
            excluded: 1,
            garp_delay_s: 5.0,
            window_s: 0.0025,
            transitions: vec![TransitionCount {
                from: "BACKUP",
                to: "MASTER",
                reason: "master down",
                count: 3,
            }],
        },
        ..InstanceStatus::default()
    }
}

fn backup() -> InstanceStatus {
    InstanceStatus {
        name: "say \"\\no\"\n".to_owned(),
        interface: "ens160".to_owned(),
        vrid: 52,
        state: "BACKUP".to_owned(),
        master: Some(MasterStatus { last_advert_age_ms: 250.0, ..MasterStatus::default() }),
        vips: vec!["192.0.2.20/24".to_owned()],
        held: vec!["192.0.2.20".to_owned()],
        ..InstanceStatus::default()
    }
}

fn interface() -> InterfaceStatus {
    let peer = PeerStatus {
        address: "192.0.2.2".to_owned(),
        fast: true,
        sent: 9,
        answered: 8,
        verdicts: 2,
        wrong: 1,
        rtt_median_us: 80.0,
        ..PeerStatus::default()
    };
    InterfaceStatus {
        name: "ens160".to_owned(),
        up: true,
        xdp: "native".to_owned(),
        lost: vec!["fence".to_owned()],
        fence: Some(FenceStatus {
            state: "armed".to_owned(),
            now: "open".to_owned(),
            lease_left_ms: Some(80.0),
            probed_ms_ago: None,
        }),
        // Twice the same: a page that has a sample twice is refused as a whole.
        peers: vec![peer.clone(), peer],
        ..InterfaceStatus::default()
    }
}

fn status() -> Status {
    let file = TrackerStatus { kind: "file".to_owned(), value: Some(-3), ..TrackerStatus::default() };
    Status {
        version: "1.2.3".to_owned(),
        realtime: Some(true),
        started_ms_ago: 60_000,
        turns: Histogram { buckets: vec![(0.000_05, 3), (0.01, 1)], beyond: 1, sum_s: 0.5 },
        instances: vec![master(), backup()],
        groups: vec![GroupStatus {
            name: "G".to_owned(),
            state: "MASTER".to_owned(),
            ..GroupStatus::default()
        }],
        interfaces: vec![interface()],
        scripts: vec![ScriptStatus {
            name: "web".to_owned(),
            state: "bad".to_owned(),
            runs: 4,
            failures: 1,
            ..ScriptStatus::default()
        }],
        trackers: vec![file],
        ..Status::default()
    }
}

fn counters() -> Counters {
    let counters = vec![CounterValue { name: "accepted".to_owned(), value: 12 }];
    let interfaces = vec![InterfaceCounters { interface: "ens160".to_owned(), counters }];
    Counters { interfaces, ..Counters::default() }
}

fn page(form: Form) -> String {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    facts::page(&status(), &counters(), 5, now, form)
}

#[test]
fn the_page_has_what_the_status_has() {
    let page = page(Form::Text);
    let router = "iname=\"VI_1\",intf=\"ens160\",vrid=\"51\"";
    for line in [
        "keepalived_up 1".to_owned(),
        format!("keepalived_vrrp_state{{{router},ip_address=\"192.0.2.10/24\"}} 2"),
        format!("keepalived_vrrp_excluded_state{{{router},ip_address=\"198.51.100.1/32\"}} 2"),
        format!("keepalived_advertisements_sent_total{{{router}}} 7"),
        format!("keepalived_become_master_total{{{router}}} 1"),
        format!("keepalived_gratuitous_arp_delay_total{{{router}}} 5"),
        "keepalived_script_status{name=\"web\"} 0".to_owned(),
        "xvrrp_build_info{version=\"1.2.3\"} 1".to_owned(),
        "xvrrp_start_time_seconds 940".to_owned(),
        "xvrrp_verdict 2".to_owned(),
        "xvrrp_findings{severity=\"CRITICAL\",code=\"address_missing\"} 1".to_owned(),
        "xvrrp_events_lost_total 5".to_owned(),
        "xvrrp_loop_turn_seconds_bucket{le=\"0.01\"} 4".to_owned(),
        "xvrrp_loop_turn_seconds_bucket{le=\"+Inf\"} 5".to_owned(),
        "xvrrp_loop_turn_seconds_count 5".to_owned(),
        format!("xvrrp_instance_state{{{router},state=\"MASTER\"}} 1"),
        format!("xvrrp_instance_state{{{router},state=\"BACKUP\"}} 0"),
        format!(
            "xvrrp_instance_transitions_total{{{router},from=\"BACKUP\",to=\"MASTER\",reason=\"master down\"}} 3"
        ),
        format!("xvrrp_instance_held{{{router},kind=\"frozen\"}} 1"),
        format!("xvrrp_instance_standby_ready{{{router}}} 0"),
        format!("xvrrp_instance_standby_absent_seconds{{{router}}} 2.5"),
        format!("xvrrp_instance_competing_masters{{{router}}} 1"),
        format!("xvrrp_instance_hot_standby{{{router}}} 0"),
        format!("xvrrp_instance_window_seconds{{{router}}} 0.0025"),
        format!("xvrrp_address_present{{{router},ip_address=\"192.0.2.10/24\"}} 1"),
        format!("xvrrp_address_present{{{router},ip_address=\"192.0.2.11/24\"}} 0"),
        format!("xvrrp_address_misplaced{{{router},ip_address=\"192.0.2.11/24\"}} 1"),
        "xvrrp_lease_left_seconds{intf=\"ens160\"} 0.08".to_owned(),
        "xvrrp_peer_wrong_verdicts_total{intf=\"ens160\",peer=\"192.0.2.2\"} 1".to_owned(),
        "xvrrp_peer_round_trip_seconds{intf=\"ens160\",peer=\"192.0.2.2\",quantile=\"0.5\"} 0.00008"
            .to_owned(),
        "xvrrp_frames_total{intf=\"ens160\",counter=\"accepted\"} 12".to_owned(),
        "xvrrp_tracker_value{kind=\"file\",name=\"\"} -3".to_owned(),
    ] {
        assert!(page.lines().any(|have| have == line), "no {line} in\n{page}");
    }
    let odd = "iname=\"say \\\"\\\\no\\\"\\n\",intf=\"ens160\",vrid=\"52\",ip_address=\"192.0.2.20/24\"";
    assert!(page.contains(&format!("xvrrp_address_misplaced{{{odd}}} 1\n")), "{page}");
    assert!(!page.contains("# EOF"), "{page}");
}

#[test]
fn no_sample_is_there_twice_and_every_metric_is_used() {
    for form in [Form::Text, Form::OpenMetrics] {
        let page = page(form);
        let mut seen = BTreeSet::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (sample, _) = line.rsplit_once(' ').expect("a value");
            assert!(seen.insert(sample), "twice: {sample}");
        }
        for family in ALL {
            let has = |sample: &&str| {
                sample.strip_prefix(family.name).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('{') || rest.starts_with("_bucket{")
                })
            };
            assert!(seen.iter().any(has), "no sample of {}", family.name);
        }
        let types = page.lines().filter(|line| line.starts_with("# TYPE ")).count();
        assert_eq!(types, ALL.len());
    }
}

#[test]
fn openmetrics_ends_and_names_counters_without_their_suffix() {
    let page = page(Form::OpenMetrics);
    assert!(page.ends_with("\n# EOF\n"), "{page}");
    assert!(page.contains("# TYPE keepalived_become_master counter\n"), "{page}");
    assert!(page.contains("\nkeepalived_become_master_total{"), "{page}");
}

#[test]
fn the_documentation_has_every_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(&path).expect("docs/metrics.md");
    let rows: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("| `keepalived_") || line.starts_with("| `xvrrp_"))
        .collect();
    let wanted: Vec<_> = ALL
        .iter()
        .map(|family| {
            let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = labels.join(", ");
            format!("| `{}` | {} | {labels} | {} |", family.name, family.kind.word(), family.help)
        })
        .collect();
    if std::env::var_os("XVRRP_BLESS").is_some() {
        let mut next = wanted.iter();
        let mut blessed: Vec<String> = Vec::new();
        let (head, tail) = text.split_once("<!-- metrics -->\n").expect("a place for them");
        let (_, tail) = tail.split_once("<!-- end -->").expect("its end");
        blessed.push("| Metric | Kind | Labels | Meaning |\n|---|---|---|---|".to_owned());
        blessed.extend(next.by_ref().cloned());
        let table = blessed.join("\n");
        std::fs::write(&path, format!("{head}<!-- metrics -->\n{table}\n<!-- end -->{tail}"))
            .expect("written");
        return;
    }
    assert_eq!(rows, wanted, "XVRRP_BLESS=1 writes the table into docs/metrics.md");
}
