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
        }
    }
}

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does what the manual page says.
    Implemented,
    /// It does nothing yet, and the operator has to know: the network behaves differently without it.
    NotYet,
    /// It does nothing, and VRRP runs the same without it; the text says why.
    NoEffect(&'static str),
    /// Load balancing: out of scope.
    Lvs,
}

const MAIL: Status = Status::NoEffect("mail is not implemented yet; no notification is sent");
const LVS: Status = Status::NoEffect("it belongs to load balancing (LVS), which is out of scope");
const PROC: Status = Status::NoEffect("it is about keepalived's processes and buffers");
const SNMP: Status = Status::NoEffect("SNMP is not implemented yet");
const DBUS: Status = Status::NoEffect("D-Bus is not implemented yet");
const FW: Status =
    Status::NoEffect("it is about firewall rules and virtual MACs, which are not implemented yet");
const DYN: Status = Status::NoEffect("interfaces may always come and go");
const FILES: Status = Status::NoEffect("it is about keepalived's own files");
const LINK: Status = Status::NoEffect("link state is always read from netlink");
const PIDF: Status = Status::NoEffect("use --run-dir instead");
const CSUM: Status = Status::NoEffect("both checksum forms are always accepted");
const SKIP: Status = Status::NoEffect("adverts of a known master are not compared again anyway");
const DEBUG: Status = Status::NoEffect("keepalived ignores it too");

use Status::{Implemented, Lvs, NotYet};

const TOP: &[(&str, Status)] = &[
    ("SSL", Lvs),
    ("bfd_instance", NotYet),
    ("child_wait_time", PROC),
    ("garp_group", NotYet),
    ("global_defs", Implemented),
    ("include_check", Implemented),
    ("instance", PIDF),
    ("interface_up_down_delays", NotYet),
    ("linkbeat_interfaces", NotYet),
    ("linkbeat_use_polling", LINK),
    ("namespace_with_ipsets", FW),
    ("net_namespace", NotYet),
    ("net_namespace_ipvs", LVS),
    ("static_ipaddress", NotYet),
    ("static_routes", NotYet),
    ("static_rules", NotYet),
    ("track_file", NotYet),
    ("track_group", NotYet),
    ("use_pid_dir", PIDF),
    ("virtual_server", Lvs),
    ("virtual_server_group", Lvs),
    ("vrrp_instance", Implemented),
    ("vrrp_script", Implemented),
    ("vrrp_sync_group", NotYet),
    ("vrrp_track_file", NotYet),
    ("vrrp_track_process", NotYet),
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
    ("data_use_instance", FILES),
    ("dbus_no_interface_name", DBUS),
    ("dbus_service_name", DBUS),
    ("default_interface", NotYet),
    ("disable_local_igmp", FW),
    ("dynamic_interfaces", DYN),
    ("email_faults", MAIL),
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
    ("fifo_write_vrrp_states_on_reload", NotYet),
    ("include_check", Implemented),
    ("instance", PIDF),
    ("json_version", FILES),
    ("linkbeat_use_polling", LINK),
    ("log_unknown_vrids", NotYet),
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
    ("metrics", NotYet),
    ("min_auto_priority_delay", PROC),
    ("nftables", FW),
    ("nftables_counters", FW),
    ("nftables_ifindex", FW),
    ("nftables_ipvs", LVS),
    ("nftables_ipvs_priority", LVS),
    ("nftables_ipvs_start_fwmark", LVS),
    ("nftables_priority", FW),
    ("no_checker_emails", MAIL),
    ("no_email_faults", MAIL),
    ("notification_email", MAIL),
    ("notification_email_from", MAIL),
    ("notify_fifo", NotYet),
    ("notify_fifo_script", NotYet),
    ("process_monitor_rcv_bufs", PROC),
    ("process_monitor_rcv_bufs_force", PROC),
    ("process_name", PROC),
    ("process_names", PROC),
    ("random_seed", FILES),
    ("reload_check_config", FILES),
    ("reload_file", FILES),
    ("reload_repeat", NotYet),
    ("reload_time_file", NotYet),
    ("router_id", Implemented),
    ("rs_init_notifies", LVS),
    ("script_user", Implemented),
    ("shutdown_script", NotYet),
    ("shutdown_script_timeout", NotYet),
    ("smtp_alert", MAIL),
    ("smtp_alert_checker", MAIL),
    ("smtp_alert_vrrp", MAIL),
    ("smtp_connect_timeout", MAIL),
    ("smtp_helo_name", MAIL),
    ("smtp_server", MAIL),
    ("snmp_rs_stats_update_interval", SNMP),
    ("snmp_socket", SNMP),
    ("snmp_vrrp_state", SNMP),
    ("startup_script", NotYet),
    ("startup_script_timeout", NotYet),
    ("state_dump_file", FILES),
    ("stats_file", FILES),
    ("tmp_config_directory", FILES),
    ("umask", PROC),
    ("use_pid_dir", PIDF),
    ("use_symlink_paths", FILES),
    ("vmac_addr_prefix", FW),
    ("vmac_prefix", FW),
    ("vrrp_check_unicast_src", Implemented),
    ("vrrp_cpu_affinity", PROC),
    ("vrrp_down_timer_adverts", Implemented),
    ("vrrp_garp_extra_if", NotYet),
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
    ("vrrp_no_swap", PROC),
    ("vrrp_notify_fifo", NotYet),
    ("vrrp_notify_fifo_script", NotYet),
    ("vrrp_notify_priority_changes", NotYet),
    ("vrrp_owner_ignore_adverts", NotYet),
    ("vrrp_priority", PROC),
    ("vrrp_process_name", PROC),
    ("vrrp_rlimit_rttime", PROC),
    ("vrrp_rt_priority", PROC),
    ("vrrp_rx_bufs_multiplier", PROC),
    ("vrrp_rx_bufs_policy", PROC),
    ("vrrp_skip_check_adv_addr", SKIP),
    ("vrrp_startup_delay", NotYet),
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
    ("garp_extra_if", NotYet),
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
    ("no_accept", NotYet),
    ("nopreempt", Implemented),
    ("notify", NotYet),
    ("notify_backup", NotYet),
    ("notify_deleted", NotYet),
    ("notify_fault", NotYet),
    ("notify_master", NotYet),
    ("notify_master_rx_lower_pri", NotYet),
    ("notify_priority_changes", NotYet),
    ("notify_stop", NotYet),
    ("old_unicast_checksum", CSUM),
    ("owner_ignore_adverts", NotYet),
    ("preempt", Implemented),
    ("preempt_delay", Implemented),
    ("priority", Implemented),
    ("promote_secondaries", NotYet),
    ("skip_check_adv_addr", SKIP),
    ("smtp_alert", MAIL),
    ("state", Implemented),
    ("strict_mode", Implemented),
    ("track_bfd", NotYet),
    ("track_file", NotYet),
    ("track_interface", Implemented),
    ("track_process", NotYet),
    ("track_script", Implemented),
    ("track_src_ip", NotYet),
    ("unicast_fault_no_peer", NotYet),
    ("unicast_peer", Implemented),
    ("unicast_src_ip", Implemented),
    ("unicast_ttl", Implemented),
    ("use_ipvlan", NotYet),
    ("use_vmac", NotYet),
    ("use_vmac_addr", NotYet),
    ("v3_checksum_as_v2", Implemented),
    ("version", Implemented),
    ("virtual_ipaddress", Implemented),
    ("virtual_ipaddress_excluded", Implemented),
    ("virtual_router_id", Implemented),
    ("virtual_routes", NotYet),
    ("virtual_rules", NotYet),
    ("vmac_xmit_base", NotYet),
    ("vrf", NotYet),
    ("xdp_mode", Implemented),
];

const AUTHENTICATION: &[(&str, Status)] = &[("auth_pass", Implemented), ("auth_type", Implemented)];

const SYNC_GROUP: &[(&str, Status)] = &[
    ("global_tracking", NotYet),
    ("group", NotYet),
    ("notify", NotYet),
    ("notify_backup", NotYet),
    ("notify_deleted", NotYet),
    ("notify_fault", NotYet),
    ("notify_master", NotYet),
    ("notify_priority_changes", NotYet),
    ("notify_stop", NotYet),
    ("smtp_alert", NotYet),
    ("sync_group_tracking_weight", NotYet),
    ("track_bfd", NotYet),
    ("track_file", NotYet),
    ("track_interface", NotYet),
    ("track_process", NotYet),
    ("track_script", NotYet),
];

const TRACK_FILE: &[(&str, Status)] = &[("file", NotYet), ("init_file", NotYet), ("weight", NotYet)];

const TRACK_PROCESS: &[(&str, Status)] = &[
    ("delay", NotYet),
    ("fork_delay", NotYet),
    ("full_command", NotYet),
    ("param_match", NotYet),
    ("process", NotYet),
    ("quorum", NotYet),
    ("quorum_max", NotYet),
    ("terminate_delay", NotYet),
    ("weight", NotYet),
];

const BFD: &[(&str, Status)] = &[
    ("checker", NotYet),
    ("hoplimit", NotYet),
    ("idle_tx", NotYet),
    ("max_hops", NotYet),
    ("min_rx", NotYet),
    ("min_tx", NotYet),
    ("multiplier", NotYet),
    ("neighbor_ip", NotYet),
    ("neighbour_ip", NotYet),
    ("passive", NotYet),
    ("source_ip", NotYet),
    ("ttl", NotYet),
    ("vrrp", NotYet),
    ("weight", NotYet),
];

const GARP_GROUP: &[(&str, Status)] =
    &[("garp_interval", NotYet), ("gna_interval", NotYet), ("interface", NotYet), ("interfaces", NotYet)];

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
