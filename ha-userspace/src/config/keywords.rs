//! Every keyword of keepalived's manual page (up to 2.3) on the VRRP side, with its block and what becomes of it.
//!
//! The lowering files match on the words that are [`Status::Implemented`]; a test keeps the two in step.

/// The block that a keyword stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Outside all blocks.
    Top,
    /// `global_defs`.
    Global,
    /// `vrrp_script`.
    Script,
    /// `vrrp_instance`.
    Instance,
    /// `authentication` of an instance.
    Authentication,
    /// `vrrp_sync_group`.
    SyncGroup,
    /// `track_file` at the top.
    TrackFile,
    /// `vrrp_track_process`.
    TrackProcess,
    /// `bfd_instance`.
    Bfd,
    /// `garp_group`.
    GarpGroup,
    /// `track_group`.
    TrackGroup,
    /// `vrrp_check`.
    Check,
}

impl Context {
    /// The block's name, as the operator writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Top => "the top level",
            Self::Global => "global_defs",
            Self::Script => "vrrp_script",
            Self::Instance => "vrrp_instance",
            Self::Authentication => "authentication",
            Self::SyncGroup => "vrrp_sync_group",
            Self::TrackFile => "track_file",
            Self::TrackProcess => "vrrp_track_process",
            Self::Bfd => "bfd_instance",
            Self::GarpGroup => "garp_group",
            Self::TrackGroup => "track_group",
            Self::Check => "vrrp_check",
        }
    }
}

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is understood; what this build does not do with it is in [`super::pending`].
    Implemented,
    /// It does nothing, and VRRP runs the same without it; the text says why.
    NoEffect(&'static str),
    /// Load balancing: out of scope.
    Lvs,
}

const LVS: Status = Status::NoEffect("it belongs to load balancing (LVS), which is out of scope");
const PROC: Status = Status::NoEffect("it is about keepalived's processes and buffers");
const SNMP: Status = Status::NoEffect("SNMP is not implemented yet");
const DBUS: Status = Status::NoEffect("D-Bus is not implemented yet");
const FW: Status =
    Status::NoEffect("it is about firewall rules and virtual MACs, which are not implemented yet");
const DYN: Status = Status::NoEffect("interfaces may always come and go");
const FILES: Status = Status::NoEffect("it is about keepalived's own files");
const LINK: Status = Status::NoEffect("link state is always read from netlink");
const CSUM: Status = Status::NoEffect("both checksum forms are always accepted");
const DEBUG: Status = Status::NoEffect("keepalived ignores it too");

use Status::{Implemented, Lvs};

const TOP: &[(&str, Status)] = &[
    ("SSL", Lvs),
    ("bfd_instance", Implemented),
    ("child_wait_time", PROC),
    ("garp_group", Implemented),
    ("global_defs", Implemented),
    ("include_check", Implemented),
    ("instance", Implemented),
    ("interface_up_down_delays", Implemented),
    ("linkbeat_interfaces", LINK),
    ("linkbeat_use_polling", LINK),
    ("namespace_with_ipsets", FW),
    ("net_namespace", Implemented),
    ("net_namespace_ipvs", LVS),
    ("static_ipaddress", Implemented),
    ("static_routes", Implemented),
    ("static_rules", Implemented),
    ("track_file", Implemented),
    ("track_group", Implemented),
    ("use_pid_dir", Implemented),
    ("virtual_server", Lvs),
    ("virtual_server_group", Lvs),
    ("vrrp_check", Implemented),
    ("vrrp_instance", Implemented),
    ("vrrp_script", Implemented),
    ("vrrp_sync_group", Implemented),
    ("vrrp_track_file", Implemented),
    ("vrrp_track_process", Implemented),
];

const GLOBAL: &[(&str, Status)] = &[
    ("bfd_cpu_affinity", PROC),
    ("bfd_no_swap", PROC),
    ("bfd_priority", PROC),
    ("bfd_process_name", PROC),
    ("bfd_rlimit_rttime", PROC),
    ("bfd_rt_priority", PROC),
    ("checker_cpu_affinity", LVS),
    ("checker_log_all_failures", LVS),
    ("checker_no_swap", LVS),
    ("checker_priority", LVS),
    ("checker_process_name", LVS),
    ("checker_rlimit_rttime", LVS),
    ("checker_rt_priority", LVS),
    ("config_save_dir", FILES),
    ("data_use_instance", Implemented),
    ("dbus_no_interface_name", DBUS),
    ("dbus_service_name", DBUS),
    ("default_interface", Implemented),
    ("disable_local_igmp", Implemented),
    ("dynamic_interfaces", DYN),
    ("email_faults", Implemented),
    ("enable_dbus", DBUS),
    ("enable_script_security", Implemented),
    ("enable_snmp_checker", SNMP),
    ("enable_snmp_keepalived", SNMP),
    ("enable_snmp_rfc", SNMP),
    ("enable_snmp_rfcv2", SNMP),
    ("enable_snmp_rfcv3", SNMP),
    ("enable_snmp_vrrp", SNMP),
    ("enable_traps", SNMP),
    ("fast_failover", Implemented),
    ("fast_key", Implemented),
    ("fast_lease", Implemented),
    ("fast_probe_interval", Implemented),
    ("fast_probe_misses", Implemented),
    ("fast_window", Implemented),
    ("fifo_write_vrrp_states_on_reload", Implemented),
    ("include_check", Implemented),
    ("instance", Implemented),
    ("json_dump_file", Implemented),
    ("json_version", Implemented),
    ("linkbeat_use_polling", LINK),
    ("log_unknown_vrids", Implemented),
    ("lvs_flush", LVS),
    ("lvs_flush_on_stop", LVS),
    ("lvs_flush_onstop", LVS),
    ("lvs_netlink_cmd_rcv_bufs", LVS),
    ("lvs_netlink_cmd_rcv_bufs_force", LVS),
    ("lvs_netlink_monitor_rcv_bufs", LVS),
    ("lvs_netlink_monitor_rcv_bufs_force", LVS),
    ("lvs_notify_fifo", LVS),
    ("lvs_notify_fifo_script", LVS),
    ("lvs_sync_daemon", LVS),
    ("lvs_sync_daemon_interface", LVS),
    ("lvs_timeouts", LVS),
    ("max_auto_priority", Implemented),
    ("metrics", Implemented),
    ("min_auto_priority_delay", PROC),
    ("nftables", Implemented),
    ("nftables_counters", Implemented),
    ("nftables_ifindex", FW),
    ("nftables_ipvs", LVS),
    ("nftables_ipvs_priority", LVS),
    ("nftables_ipvs_start_fwmark", LVS),
    ("nftables_priority", Implemented),
    ("no_checker_emails", LVS),
    ("no_email_faults", Implemented),
    ("notification_email", Implemented),
    ("notification_email_from", Implemented),
    ("notify_fifo", Implemented),
    ("notify_fifo_script", Implemented),
    ("process_monitor_rcv_bufs", PROC),
    ("process_monitor_rcv_bufs_force", PROC),
    ("process_name", Implemented),
    ("process_names", Implemented),
    ("random_seed", FILES),
    ("reload_check_config", FILES),
    ("reload_file", Implemented),
    ("reload_repeat", Implemented),
    ("reload_time_file", Implemented),
    ("router_id", Implemented),
    ("rs_init_notifies", LVS),
    ("script_user", Implemented),
    ("shutdown_script", Implemented),
    ("shutdown_script_timeout", Implemented),
    ("smtp_alert", Implemented),
    ("smtp_alert_checker", LVS),
    ("smtp_alert_vrrp", Implemented),
    ("smtp_connect_timeout", Implemented),
    ("smtp_helo_name", Implemented),
    ("smtp_server", Implemented),
    ("snmp_rs_stats_update_interval", SNMP),
    ("snmp_socket", SNMP),
    ("snmp_vrrp_state", SNMP),
    ("startup_script", Implemented),
    ("startup_script_timeout", Implemented),
    ("state_dump_file", Implemented),
    ("stats_file", Implemented),
    ("tmp_config_directory", FILES),
    ("umask", Implemented),
    ("use_pid_dir", Implemented),
    ("use_symlink_paths", Implemented),
    ("vmac_addr_prefix", Implemented),
    ("vmac_prefix", Implemented),
    ("vrrp_check_unicast_src", Implemented),
    ("vrrp_cpu_affinity", Implemented),
    ("vrrp_down_timer_adverts", Implemented),
    ("vrrp_garp_extra_if", Implemented),
    ("vrrp_garp_interval", Implemented),
    ("vrrp_garp_lower_prio_delay", Implemented),
    ("vrrp_garp_lower_prio_repeat", Implemented),
    ("vrrp_garp_master_delay", Implemented),
    ("vrrp_garp_master_refresh", Implemented),
    ("vrrp_garp_master_refresh_repeat", Implemented),
    ("vrrp_garp_master_repeat", Implemented),
    ("vrrp_gna_interval", Implemented),
    ("vrrp_higher_prio_send_advert", Implemented),
    ("vrrp_ipsets", FW),
    ("vrrp_iptables", FW),
    ("vrrp_lower_prio_no_advert", Implemented),
    ("vrrp_mcast_group4", Implemented),
    ("vrrp_mcast_group6", Implemented),
    ("vrrp_min_garp", Implemented),
    ("vrrp_netlink_cmd_rcv_bufs", PROC),
    ("vrrp_netlink_cmd_rcv_bufs_force", PROC),
    ("vrrp_netlink_monitor_rcv_bufs", PROC),
    ("vrrp_netlink_monitor_rcv_bufs_force", PROC),
    ("vrrp_no_swap", Implemented),
    ("vrrp_notify_fifo", Implemented),
    ("vrrp_notify_fifo_script", Implemented),
    ("vrrp_notify_priority_changes", Implemented),
    ("vrrp_owner_ignore_adverts", Implemented),
    ("vrrp_priority", Implemented),
    ("vrrp_process_name", Implemented),
    ("vrrp_rlimit_rttime", Implemented),
    ("vrrp_rt_priority", Implemented),
    ("vrrp_rx_bufs_multiplier", PROC),
    ("vrrp_rx_bufs_policy", PROC),
    ("vrrp_skip_check_adv_addr", Implemented),
    ("vrrp_startup_delay", Implemented),
    ("vrrp_strict", Implemented),
    ("vrrp_version", Implemented),
    ("xdp_mode", Implemented),
];

const SCRIPT: &[(&str, Status)] = &[
    ("fall", Implemented),
    ("init_fail", Implemented),
    ("interval", Implemented),
    ("rise", Implemented),
    ("script", Implemented),
    ("timeout", Implemented),
    ("user", Implemented),
    ("weight", Implemented),
];

const INSTANCE: &[(&str, Status)] = &[
    ("accept", Implemented),
    ("advert_int", Implemented),
    ("authentication", Implemented),
    ("check_unicast_src", Implemented),
    ("debug", DEBUG),
    ("dont_track_primary", Implemented),
    ("down_timer_adverts", Implemented),
    ("fast_failover", Implemented),
    ("fast_probe_interval", Implemented),
    ("fast_probe_misses", Implemented),
    ("fast_window", Implemented),
    ("garp_extra_if", Implemented),
    ("garp_lower_prio_delay", Implemented),
    ("garp_lower_prio_repeat", Implemented),
    ("garp_master_delay", Implemented),
    ("garp_master_refresh", Implemented),
    ("garp_master_refresh_repeat", Implemented),
    ("garp_master_repeat", Implemented),
    ("higher_prio_send_advert", Implemented),
    ("interface", Implemented),
    ("kernel_rx_buf_size", PROC),
    ("linkbeat_use_polling", LINK),
    ("lower_prio_no_advert", Implemented),
    ("lvs_sync_daemon_interface", LVS),
    ("mcast_dst_ip", Implemented),
    ("mcast_src_ip", Implemented),
    ("native_ipv6", Implemented),
    ("no_accept", Implemented),
    ("nopreempt", Implemented),
    ("notify", Implemented),
    ("notify_backup", Implemented),
    ("notify_deleted", Implemented),
    ("notify_fault", Implemented),
    ("notify_master", Implemented),
    ("notify_master_rx_lower_pri", Implemented),
    ("notify_priority_changes", Implemented),
    ("notify_stop", Implemented),
    ("old_unicast_checksum", CSUM),
    ("owner_ignore_adverts", Implemented),
    ("preempt", Implemented),
    ("preempt_delay", Implemented),
    ("priority", Implemented),
    ("promote_secondaries", Implemented),
    ("skip_check_adv_addr", Implemented),
    ("smtp_alert", Implemented),
    ("state", Implemented),
    ("strict_mode", Implemented),
    ("track_bfd", Implemented),
    ("track_check", Implemented),
    ("track_file", Implemented),
    ("track_interface", Implemented),
    ("track_process", Implemented),
    ("track_script", Implemented),
    ("track_src_ip", Implemented),
    ("unicast_fault_no_peer", Implemented),
    ("unicast_peer", Implemented),
    ("unicast_src_ip", Implemented),
    ("unicast_ttl", Implemented),
    ("use_ipvlan", Implemented),
    ("use_vmac", Implemented),
    ("use_vmac_addr", Implemented),
    ("v3_checksum_as_v2", Implemented),
    ("version", Implemented),
    ("virtual_ipaddress", Implemented),
    ("virtual_ipaddress_excluded", Implemented),
    ("virtual_router_id", Implemented),
    ("virtual_routes", Implemented),
    ("virtual_rules", Implemented),
    ("vmac_xmit_base", Implemented),
    ("vrf", Implemented),
    ("xdp_mode", Implemented),
];

const AUTHENTICATION: &[(&str, Status)] = &[("auth_pass", Implemented), ("auth_type", Implemented)];

const SYNC_GROUP: &[(&str, Status)] = &[
    ("global_tracking", Implemented),
    ("group", Implemented),
    ("notify", Implemented),
    ("notify_backup", Implemented),
    ("notify_deleted", Implemented),
    ("notify_fault", Implemented),
    ("notify_master", Implemented),
    ("notify_priority_changes", Implemented),
    ("notify_stop", Implemented),
    ("smtp_alert", Implemented),
    ("sync_group_tracking_weight", Implemented),
    ("track_bfd", Implemented),
    ("track_check", Implemented),
    ("track_file", Implemented),
    ("track_interface", Implemented),
    ("track_process", Implemented),
    ("track_script", Implemented),
];

const TRACK_FILE: &[(&str, Status)] =
    &[("file", Implemented), ("init_file", Implemented), ("weight", Implemented)];

const TRACK_PROCESS: &[(&str, Status)] = &[
    ("delay", Implemented),
    ("fork_delay", Implemented),
    ("full_command", Implemented),
    ("param_match", Implemented),
    ("process", Implemented),
    ("quorum", Implemented),
    ("quorum_max", Implemented),
    ("terminate_delay", Implemented),
    ("weight", Implemented),
];

const BFD: &[(&str, Status)] = &[
    ("checker", LVS),
    ("hoplimit", Implemented),
    ("idle_tx", Implemented),
    ("max_hops", Implemented),
    ("min_rx", Implemented),
    ("min_tx", Implemented),
    ("multiplier", Implemented),
    ("neighbor_ip", Implemented),
    ("neighbour_ip", Implemented),
    ("passive", Implemented),
    ("source_ip", Implemented),
    ("ttl", Implemented),
    ("vrrp", Implemented),
    ("weight", Implemented),
];

const GARP_GROUP: &[(&str, Status)] = &[
    ("garp_interval", Implemented),
    ("gna_interval", Implemented),
    ("interface", Implemented),
    ("interfaces", Implemented),
];

const TRACK_GROUP: &[(&str, Status)] = &[("group", Implemented)];

const CHECK: &[(&str, Status)] = &[
    ("body", Implemented),
    ("fall", Implemented),
    ("host", Implemented),
    ("http", Implemented),
    ("init_fail", Implemented),
    ("interval", Implemented),
    ("process", Implemented),
    ("rise", Implemented),
    ("status", Implemented),
    ("tcp", Implemented),
    ("timeout", Implemented),
    ("tls_ca", Implemented),
    ("tls_name", Implemented),
    ("tls_verify", Implemented),
    ("unix", Implemented),
    ("weight", Implemented),
];

/// All tables.
pub const CONTEXTS: &[(Context, &[(&str, Status)])] = &[
    (Context::Top, TOP),
    (Context::Global, GLOBAL),
    (Context::Script, SCRIPT),
    (Context::Instance, INSTANCE),
    (Context::Authentication, AUTHENTICATION),
    (Context::SyncGroup, SYNC_GROUP),
    (Context::TrackFile, TRACK_FILE),
    (Context::TrackProcess, TRACK_PROCESS),
    (Context::Bfd, BFD),
    (Context::GarpGroup, GARP_GROUP),
    (Context::TrackGroup, TRACK_GROUP),
    (Context::Check, CHECK),
];

fn table(context: Context) -> &'static [(&'static str, Status)] {
    CONTEXTS.iter().find(|(of, _)| *of == context).map_or(&[], |(_, table)| table)
}

/// What becomes of `word` in `context`; `None` where it is unknown there.
#[must_use]
pub fn status(context: Context, word: &[u8]) -> Option<Status> {
    let table = table(context);
    let index = table.binary_search_by(|(name, _)| name.as_bytes().cmp(word)).ok()?;
    table.get(index).map(|(_, status)| *status)
}

/// The blocks in which `word` is known.
#[must_use]
pub fn homes(word: &[u8]) -> Vec<Context> {
    CONTEXTS.iter().map(|(context, _)| *context).filter(|context| status(*context, word).is_some()).collect()
}

/// The known word that was probably meant.
#[must_use]
pub fn nearest(context: Context, word: &str) -> Option<&'static str> {
    closest(word, table(context).iter().map(|(name, _)| *name))
}

/// The candidate that is most like `word`, where one is like it at all.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are no misspelt keywords, and the distance takes time in proportion to the length.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let most = word.chars().count().max(3) / 3;
    // The distance is at least the difference of the lengths: most candidates need no closer look.
    let near = candidates.filter(|name| name.len().abs_diff(word.len()) <= most);
    let scored = near.map(|name| (strsim::damerau_levenshtein(&word, &name.to_ascii_lowercase()), name));
    scored
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
