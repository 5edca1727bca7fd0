//! Which metrics there are. docs/metrics.md is compared with this table.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// A metric: one name, some labels.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// Labels of a virtual router, as the usual exporter for keepalived has them.
const ROUTER: &[&str] = &["iname", "intf", "vrid"];
const ADDRESS: &[&str] = &["iname", "intf", "vrid", "ip_address"];
const PEER: &[&str] = &["intf", "peer"];
const TRACKER: &[&str] = &["kind", "name"];

macro_rules! families {
    ($($constant:ident = $name:literal, $kind:ident, $labels:expr, $help:literal;)+) => {
        $(pub(super) static $constant: Family =
            Family { name: $name, kind: Kind::$kind, labels: $labels, help: $help };)+

        /// All, in the order of the page.
        #[cfg(test)]
        pub(super) static ALL: &[&Family] = &[$(&$constant),+];
    };
}

families! {
    UP = "keepalived_up", Gauge, &[], "The daemon runs.";
    EXPORTER = "keepalived_exporter_build_info", Gauge, &["version"], "The same as xvrrp_build_info, for dashboards that look for it.";
    STATE = "keepalived_vrrp_state", Gauge, ADDRESS, "State of the virtual router: 0 init, 1 backup, 2 master, 3 fault.";
    EXCLUDED_STATE = "keepalived_vrrp_excluded_state", Gauge, ADDRESS, "The same for each address of virtual_ipaddress_excluded.";
    ADVERTS_RECEIVED = "keepalived_advertisements_received_total", Counter, ROUTER, "Adverts received.";
    ADVERTS_SENT = "keepalived_advertisements_sent_total", Counter, ROUTER, "Adverts sent.";
    BECOME_MASTER = "keepalived_become_master_total", Counter, ROUTER, "Times that this node became master.";
    RELEASE_MASTER = "keepalived_release_master_total", Counter, ROUTER, "Times that this node was master no more.";
    LENGTH_ERRORS = "keepalived_packet_length_errors_total", Counter, ROUTER, "Adverts of a wrong length.";
    INTERVAL_ERRORS = "keepalived_advertisements_interval_errors_total", Counter, ROUTER, "Adverts with another interval.";
    TTL_ERRORS = "keepalived_ip_ttl_errors_total", Counter, ROUTER, "Adverts with a TTL that is not 255.";
    TYPE_ERRORS = "keepalived_invalid_type_received_total", Counter, ROUTER, "Adverts of an unknown type.";
    LIST_ERRORS = "keepalived_address_list_errors_total", Counter, ROUTER, "Adverts with other addresses.";
    AUTH_INVALID = "keepalived_authentication_invalid_total", Counter, ROUTER, "Adverts with an unknown kind of authentication.";
    AUTH_MISMATCH = "keepalived_authentication_mismatch_total", Counter, ROUTER, "Adverts with another kind of authentication.";
    AUTH_FAILURE = "keepalived_authentication_failure_total", Counter, ROUTER, "Adverts with another password.";
    ZERO_RECEIVED = "keepalived_priority_zero_received_total", Counter, ROUTER, "Adverts of priority 0 received: a master resigned.";
    ZERO_SENT = "keepalived_priority_zero_sent_total", Counter, ROUTER, "Adverts of priority 0 sent.";
    GARP_DELAY = "keepalived_gratuitous_arp_delay_total", Counter, ROUTER, "garp_master_delay in seconds; a setting, whatever its name says.";
    SCRIPT_STATUS = "keepalived_script_status", Gauge, &["name"], "A tracked script succeeds (1) or not (0).";
    SCRIPT_STATE = "keepalived_script_state", Gauge, &["name"], "A run of a tracked script goes on (1) or not (0).";

    BUILD = "xvrrp_build_info", Gauge, &["version"], "Version of the daemon; always 1.";
    START = "xvrrp_start_time_seconds", Gauge, &[], "When the daemon started, in seconds since 1970.";
    REALTIME = "xvrrp_realtime", Gauge, &[], "The main loop has real-time priority.";
    VERDICT = "xvrrp_verdict", Gauge, &[], "What xvrrp status says: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.";
    FINDINGS = "xvrrp_findings", Gauge, &["severity", "code"], "Findings of xvrrp status, by their code (docs/status.md).";
    EVENTS_LOST = "xvrrp_events_lost_total", Counter, &[], "Events that could not be written to the flight recorder.";
    TURNS = "xvrrp_loop_turn_seconds", Histogram, &[], "How long turns of the main loop took.";
    LONGEST_TURN = "xvrrp_loop_turn_longest_seconds", Gauge, &[], "The longest of them.";

    INSTANCE_STATE = "xvrrp_instance_state", Gauge, &["iname", "intf", "vrid", "state"], "1 for the state that the virtual router is in, 0 for the others.";
    STATE_TIME = "xvrrp_instance_state_time_seconds", Gauge, ROUTER, "When it entered that state, in seconds since 1970.";
    TRANSITIONS = "xvrrp_instance_transitions_total", Counter, &["iname", "intf", "vrid", "from", "to", "reason"], "Changes of its state, by reason, since the daemon started.";
    PRIORITY = "xvrrp_instance_priority", Gauge, ROUTER, "Priority with what trackers make of it.";
    PRIORITY_CONFIGURED = "xvrrp_instance_priority_configured", Gauge, ROUTER, "Priority of the file.";
    HELD = "xvrrp_instance_held", Gauge, &["iname", "intf", "vrid", "kind"], "1 for what an operator holds it to: resigned, preferred, frozen.";
    STANDBY_READY = "xvrrp_instance_standby_ready", Gauge, ROUTER, "On a master: a standby would take over (1), or none (0). Absent where nobody can know, as backups of the RFC do not speak.";
    STANDBY_ABSENT = "xvrrp_instance_standby_absent_seconds", Gauge, ROUTER, "On a master: for how long there has been no standby.";
    HOT_STANDBY = "xvrrp_instance_hot_standby", Gauge, ROUTER, "1 where hot standby works: the addresses are here behind the fence, or will be as soon as it is backup. 0 where it is impossible; the warnings of `status` say why. Only with hot_standby.";
    TAKEOVER = "xvrrp_instance_takeover_seconds", Gauge, ROUTER, "Within what time it would take over from a master that answers its probes.";
    WINDOW = "xvrrp_instance_window_seconds", Gauge, ROUTER, "fast_window: the most that the window of a master may be.";
    MASTER_DOWN = "xvrrp_instance_master_down_seconds", Gauge, ROUTER, "After so long without an advert it would take over, by the RFC.";
    ADVERT_AGE = "xvrrp_instance_master_last_advert_seconds", Gauge, ROUTER, "On a backup: age of the master's last advert.";
    COMPETING = "xvrrp_instance_competing_masters", Gauge, ROUTER, "Routers that advertise the same virtual router and do not get along with this one.";
    FOREIGN = "xvrrp_instance_foreign_routers", Gauge, ROUTER, "Other virtual routers that advertise an address of this one.";
    PRESENT = "xvrrp_address_present", Gauge, ADDRESS, "A virtual address is on this host.";
    MISPLACED = "xvrrp_address_misplaced", Gauge, ADDRESS, "A virtual address is missing on a master, or is there although this node is not master.";
    HMAC_REJECTED = "xvrrp_instance_hmac_rejected_total", Counter, &["iname", "intf", "vrid", "reason"], "Adverts that auth_hmac has refused.";
    UNSIGNED = "xvrrp_instance_unsigned_total", Counter, ROUTER, "Adverts that were accepted although nobody signed them.";
    GROUP_STATE = "xvrrp_group_state", Gauge, &["group", "state"], "1 for the state that the sync group is in, 0 for the others.";

    INTERFACE_UP = "xvrrp_interface_up", Gauge, &["intf"], "The interface is up and has carrier.";
    XDP_MODE = "xvrrp_interface_xdp", Gauge, &["intf", "mode"], "1 for how adverts are read there: native, generic, tc or none.";
    LACKS = "xvrrp_interface_lost", Gauge, &["intf", "what"], "1 for what is lost there for lack of something that the host could have.";
    FENCE_ARMED = "xvrrp_fence_armed", Gauge, &["intf"], "The fence outlives the daemon.";
    FENCE = "xvrrp_fence", Gauge, &["intf", "state"], "1 for what the fence is now: open, closed, superseded or handing over.";
    LEASE = "xvrrp_lease_left_seconds", Gauge, &["intf"], "On a master: what is left of the lease.";
    FRAMES = "xvrrp_frames_total", Counter, &["intf", "counter"], "Frames, by the counters of xvrrp counters.";
    FAST = "xvrrp_peer_fast", Gauge, PEER, "The peer is followed and answers, so that its death is noticed within milliseconds.";
    PAUSED = "xvrrp_peer_paused_seconds", Gauge, PEER, "After a wrong verdict: for how long only the RFC's timers count for the peer; 0 otherwise.";
    PROBES_SENT = "xvrrp_peer_probes_sent_total", Counter, PEER, "Probes sent.";
    PROBES_ANSWERED = "xvrrp_peer_probes_answered_total", Counter, PEER, "Replies read; of several between two readings only the latest is.";
    VERDICTS = "xvrrp_peer_verdicts_total", Counter, PEER, "Verdicts on the peer.";
    WRONG = "xvrrp_peer_wrong_verdicts_total", Counter, PEER, "Verdicts that a sign of life refuted.";
    STALLS = "xvrrp_peer_stalls_total", Counter, PEER, "Times that this host ran late and dropped its evidence.";
    PEER_WINDOW = "xvrrp_peer_window_seconds", Gauge, PEER, "The window in force: no verdict on the peer sooner than this after its last reply.";
    ROUND_TRIP = "xvrrp_peer_round_trip_seconds", Summary, &["intf", "peer", "quantile"], "Round trips of the recent probes.";
    LONGEST_ROUND_TRIP = "xvrrp_peer_round_trip_longest_seconds", Gauge, PEER, "The longest ever.";
    LATENESS = "xvrrp_peer_lateness_seconds", Summary, &["intf", "peer", "quantile"], "How long after their time the recent probes went out.";
    TRACKER_GOOD = "xvrrp_tracker_good", Gauge, TRACKER, "What is tracked is well (1) or not (0); absent while nobody knows.";
    TRACKER_VALUE = "xvrrp_tracker_value", Gauge, TRACKER, "The number in a tracked file.";
    TRACKER_RUNS = "xvrrp_tracker_runs_total", Counter, TRACKER, "Runs of a script, probes of a check.";
    TRACKER_FAILURES = "xvrrp_tracker_failures_total", Counter, TRACKER, "Those of them that failed.";
}
