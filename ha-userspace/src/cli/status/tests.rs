//! The page that people read.

use super::page::*;
use super::*;
use crate::control::protocol::{FenceStatus, MasterStatus, MemberStatus, PriorityChange};
use crate::control::protocol::{
    GroupStatus, HmacStatus, InstanceStats, InstanceStatus, InterfaceStatus, PeerStatus, PriorityStatus,
    ScriptStatus, TrackerStatus,
};

fn sample() -> Status {
    let backup = InstanceStatus {
        name: "VI_1".to_owned(),
        interface: "ens160".to_owned(),
        vrid: 51,
        family: "ipv4".to_owned(),
        vrrp_version: 2,
        state: "BACKUP".to_owned(),
        since_ms: 3_723_000,
        reason: "172.16.1.21 has priority 101".to_owned(),
        priority: PriorityStatus {
            effective: 98,
            configured: 100,
            changes: vec![PriorityChange { by: "script check_web".to_owned(), weight: -2 }],
        },
        master: Some(MasterStatus {
            address: "172.16.1.21".to_owned(),
            priority: 101,
            interval_ms: 1000,
            last_advert_age_ms: 412.04,
        }),
        vips: vec!["172.16.1.25/24".to_owned(), "172.16.1.26/24".to_owned()],
        receive: "native".to_owned(),
        ..InstanceStatus::default()
    };
    let fault = InstanceStatus {
        name: "VI_2".to_owned(),
        state: "FAULT".to_owned(),
        fault: vec!["interface eth1 is down".to_owned()],
        priority: PriorityStatus { effective: 150, configured: 150, changes: Vec::new() },
        ..backup.clone()
    };
    let fault = InstanceStatus { master: None, vips: Vec::new(), since_ms: 900, ..fault };
    Status {
        format: 1,
        version: "0.1.0".to_owned(),
        pid: 4242,
        started_ms_ago: 90_061_000,
        config: "/etc/keepalived/keepalived.conf".to_owned(),
        longest_turn_ms: 3.21,
        longest_turn_ms_ago: 312_000,
        instances: vec![backup, fault],
        groups: vec![GroupStatus {
            name: "G1".to_owned(),
            state: "FAULT".to_owned(),
            members: ["VI_1", "VI_2"]
                .map(|name| MemberStatus { name: name.to_owned(), state: "FAULT".to_owned() })
                .to_vec(),
            fault: vec!["VI_2: interface eth1 is down".to_owned()],
        }],
        interfaces: vec![InterfaceStatus {
            name: "ens160".to_owned(),
            index: 2,
            up: true,
            xdp: "generic".to_owned(),
            xdp_reason: "the driver (veth) loses XDP_TX".to_owned(),
            lost: Vec::new(),
            improvable: false,
            fence: Some(FenceStatus {
                state: "armed".to_owned(),
                now: "open".to_owned(),
                lease_left_ms: None,
                probed_ms_ago: Some(0.42),
            }),
            peers: vec![PeerStatus {
                address: "172.16.1.21".to_owned(),
                fast: true,
                sent: 40_000,
                answered: 39_998,
                verdicts: 1,
                last_reply_ms_ago: Some(0.31),
                rtt_median_us: 12.2,
                rtt_p99_us: 48.0,
                rtt_max_us: 702.0,
                late_median_us: 21.0,
                late_p99_us: 94.0,
                late_max_us: 3_104.0,
                window_ms: 1.52,
                window_most_ms: 10.0,
                longest_silence_ms: 0.14,
                learning_ms: 12_000,
                stalls: 2,
                ..PeerStatus::default()
            }],
        }],
        scripts: vec![ScriptStatus {
            name: "check_web".to_owned(),
            state: "bad".to_owned(),
            last_result: Some("exit 1".to_owned()),
            last_duration_ms: Some(12),
            last_run_ms_ago: Some(1_500),
            runs: 30,
            failures: 4,
            skipped: 0,
            running: false,
        }],
        trackers: vec![
            TrackerStatus {
                kind: "check".to_owned(),
                name: "web".to_owned(),
                state: "good".to_owned(),
                detail: "status 200".to_owned(),
                since_ms: 61_000,
                last_duration_ms: Some(1),
                last_run_ms_ago: Some(20),
                runs: 1220,
                failures: 3,
                ..TrackerStatus::default()
            },
            TrackerStatus {
                kind: "file".to_owned(),
                name: "load".to_owned(),
                state: "value".to_owned(),
                value: Some(-3),
                detail: "-3".to_owned(),
                ..TrackerStatus::default()
            },
        ],
        warnings: vec!["bpffs is not mounted".to_owned()],
        ..Status::default()
    }
}

#[test]
fn the_page_says_who_is_what_and_why_within_80_columns() {
    let page = render(&sample());
    let expected = "\
xvrrp 0.1.0, pid 4242, up 1d01h, /etc/keepalived/keepalived.conf
longest turn of the main loop: 3.2 ms, 5m12s ago

INSTANCE  STATE   SINCE   PRIO  MASTER       ADVERT    VIP
VI_1      BACKUP  1h02m   98    172.16.1.21  412.0 ms  172.16.1.25/24 +1
VI_2      FAULT   900 ms  150   -            -         -

VI_1: VRRPv2 ipv4 vrid 51 on ens160, receives by native
  state     BACKUP for 1h02m: 172.16.1.21 has priority 101
  priority  98 = 100 configured, -2 script check_web
  master    172.16.1.21 priority 101, adverts every 1000 ms, last 412.0 ms ago
  vips      172.16.1.25/24
            172.16.1.26/24
  adverts   0 received, 0 sent; became master 0 times, gave it up 0 times

VI_2: VRRPv2 ipv4 vrid 51 on ens160, receives by native
  state     FAULT for 900 ms: 172.16.1.21 has priority 101
  priority  150
  fault     interface eth1 is down
  adverts   0 received, 0 sent; became master 0 times, gave it up 0 times

sync group G1: FAULT
  members   VI_1 FAULT
            VI_2 FAULT
  fault     VI_2: interface eth1 is down

INTERFACE  INDEX  LINK  XDP
ens160     2      up    generic  the driver (veth) loses XDP_TX

fence of ens160: armed, open, no lease, probed 0.4 ms ago

peer 172.16.1.21 on ens160: fast, last reply 0.3 ms ago
  probes    40000 sent, 39998 answered; verdicts 1, of them wrong 0
  rtt       12 us median, 48 us p99, 702 us max
  sent late 21 us median, 94 us p99, 3104 us max; above 1 ms 2 times
  window    1.5 ms of 10.0; longest hiccup 0.14 ms; learns for 12.0 s more

SCRIPT     STATE  RUNS  FAILED  LAST
check_web  bad    30    4       exit 1, took 12 ms, 1.5 s ago

TRACKED  NAME  STATE  SINCE  RUNS  FAILED
check    web   good   1m01s  1220  3       status 200, took 1 ms, 20 ms ago
file     load  value  0 ms   -     -       -3

warnings
  bpffs is not mounted
";
    assert_eq!(page, expected);
    for line in page.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn the_json_is_read_back_and_unknown_or_missing_fields_do_no_harm() {
    let status = sample();
    let text = serde_json::to_string(&Response::Status(Box::new(status.clone()))).expect("serializable");
    assert!(text.starts_with(r#"{"answer":"status","format":1,"version":"0.1.0","pid":4242"#), "{text}");
    assert_eq!(serde_json::from_str::<Response>(&text).ok(), Some(Response::Status(Box::new(status))));
    let newer = r#"{"answer":"status","pid":7,"colour":"blue"}"#;
    let read = serde_json::from_str::<Response>(newer).ok();
    assert_eq!(read, Some(Response::Status(Box::new(Status { pid: 7, ..Status::default() }))));
}

#[test]
fn spans_have_at_most_two_units() {
    let table = [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1.0 s"),
        (59_999, "59.9 s"),
        (60_000, "1m00s"),
        (3_599_999, "59m59s"),
        (3_600_000, "1h00m"),
        (86_400_000, "1d00h"),
        (u64::MAX, "213503982334d14h"),
    ];
    for (ms, text) in table {
        assert_eq!(span(ms), text);
    }
}

#[test]
fn the_page_says_how_the_death_of_a_peer_would_be_noticed() {
    let peer = |change: fn(&mut PeerStatus)| {
        let mut peer = PeerStatus { answered: 1, ..PeerStatus::default() };
        change(&mut peer);
        liveness(&peer)
    };
    assert_eq!(peer(|peer| peer.fast = true), "fast");
    assert_eq!(peer(|peer| (peer.fast, peer.user_space) = (true, true)), "fast, answers from user space");
    assert_eq!(peer(|peer| peer.answered = 0), "RFC timers, answers no probes");
    assert_eq!(peer(|peer| peer.verdict = Some("orphaned".to_owned())), "orphaned");
    assert_eq!(peer(|peer| peer.paused_ms = Some(9_900)), "RFC timers for 9.9 s, after a wrong verdict");
    assert_eq!(peer(|_| {}), "not our master");
}

#[test]
fn auth_hmac_is_shown_without_its_keys() {
    let stats = InstanceStats { auth_ext_replay: 2, auth_ext_stale: 1, ..InstanceStats::default() };
    let mut hmac = HmacStatus {
        mode: "enforce".to_owned(),
        active_key: 2,
        keys: vec![1, 2],
        anti_replay: "time".to_owned(),
        time_window_s: Some(5),
        unsigned: 0,
    };
    assert_eq!(
        authentication(&hmac, &stats),
        "enforce, signs with key 2 of 1, 2; window 5 s; refused 3 (1 stale, 2 replay)"
    );
    hmac = HmacStatus {
        mode: "receive-only".to_owned(),
        anti_replay: "monotonic".to_owned(),
        time_window_s: None,
        unsigned: 7,
        ..hmac
    };
    assert_eq!(
        authentication(&hmac, &InstanceStats::default()),
        "receive-only, would sign with key 2 of 1, 2; monotonic; refused 0; accepted unsigned 7"
    );
}
