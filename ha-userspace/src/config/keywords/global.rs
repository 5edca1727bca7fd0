//! The words outside all blocks and in `global_defs`.

use super::declare::words;
use super::reasons::{
    AUTO, BFD_PROC, BUFFERS, CHECKED, DBUS, DYN, FILES, IFINDEX, IPTABLES, LINK, LVS, RTTIME, SNMP, WAIT,
};
use super::{Fast, Garp, GarpPause, Row, Status, ValueKind, Words, gather};
use crate::config::model;

words! {
    /// Outside all blocks.
    Top {
        with {
            Tracked;
            Anywhere;
        }
        done {
            GarpGroup = "garp_group": Block => Config.garp_groups;
            GlobalDefs = "global_defs": Block => Config.global;
            InterfaceUpDownDelays = "interface_up_down_delays": Block => Config.interface_delays;
            NetNamespace = "net_namespace": Text => Global.net_namespace;
            StaticIpaddress = "static_ipaddress": Block => Config.static_addresses;
            StaticRoutes = "static_routes": Block => Config.static_routes;
            StaticRules = "static_rules": Block => Config.static_rules;
            TrackGroup = "track_group": Named => Config.track_groups;
            VrrpInstance = "vrrp_instance": Named => Config.instances;
            VrrpSyncGroup = "vrrp_sync_group": Named => Config.sync_groups;
        }
        no_effect {
            "child_wait_time": WAIT;
            "linkbeat_interfaces": LINK;
            "linkbeat_use_polling": LINK;
            "namespace_with_ipsets": IPTABLES;
            "net_namespace_ipvs": LVS;
        }
        lvs {
            "SSL";
            "virtual_server";
            "virtual_server_group";
        }
    }

    /// Blocks that trackers refer to.
    Tracked {
        done {
            BfdInstance = "bfd_instance": Named => Config.bfd;
            TrackFile = "track_file": Named => Config.track_files;
            VrrpCheck = "vrrp_check": Named => Config.checks;
            VrrpScript = "vrrp_script": Named => Config.scripts;
            VrrpTrackFile = "vrrp_track_file": Named => Config.track_files;
            VrrpTrackProcess = "vrrp_track_process": Named => Config.track_processes;
        }
    }

    /// What may stand at the top as well as in `global_defs`.
    Anywhere {
        done {
            IncludeCheck = "include_check": Reader;
            Instance = "instance": Text => Global.instance;
            UsePidDir = "use_pid_dir": Flag => Global.use_pid_dir;
        }
    }

    /// `global_defs`.
    Global {
        with {
            Anywhere;
            Daemon;
            Defaults;
            Dumps;
            Fast;
            Fifo;
            Garp "vrrp_";
            GarpPause "vrrp_";
            Mail;
            Nftables;
            Process;
        }
        done {
            EnableScriptSecurity = "enable_script_security": Flag => Global.script_security;
            FastKey = "fast_key": Text => Fast.key;
            FastLease = "fast_lease": Time => Fast.lease;
            MaxAutoPriority = "max_auto_priority": Optional;
            Metrics = "metrics": Text => Global.metrics;
            RandomSeed = "random_seed": Reader;
            RouterId = "router_id": Optional => Global.router_id;
            ScriptUser = "script_user": Several => Global.script_user;
            ShutdownScript = "shutdown_script": Command => Global.shutdown;
            ShutdownScriptTimeout = "shutdown_script_timeout": Number => OnceScript.timeout;
            StandbyWarn = "standby_warn": Number => Global.standby_warn;
            StartupScript = "startup_script": Command => Global.startup;
            StartupScriptTimeout = "startup_script_timeout": Number => OnceScript.timeout;
        }
        no_effect {
            "bfd_cpu_affinity": BFD_PROC;
            "bfd_no_swap": BFD_PROC;
            "bfd_priority": BFD_PROC;
            "bfd_process_name": BFD_PROC;
            "bfd_rlimit_rttime": BFD_PROC;
            "bfd_rt_priority": BFD_PROC;
            "checker_cpu_affinity": LVS;
            "checker_log_all_failures": LVS;
            "checker_no_swap": LVS;
            "checker_priority": LVS;
            "checker_process_name": LVS;
            "checker_rlimit_rttime": LVS;
            "checker_rt_priority": LVS;
            "config_save_dir": FILES;
            "dbus_no_interface_name": DBUS;
            "dbus_service_name": DBUS;
            "dynamic_interfaces": DYN;
            "enable_dbus": DBUS;
            "enable_snmp_checker": SNMP;
            "enable_snmp_keepalived": SNMP;
            "enable_snmp_rfc": SNMP;
            "enable_snmp_rfcv2": SNMP;
            "enable_snmp_rfcv3": SNMP;
            "enable_snmp_vrrp": SNMP;
            "enable_traps": SNMP;
            "linkbeat_use_polling": LINK;
            "lvs_flush": LVS;
            "lvs_flush_on_stop": LVS;
            "lvs_flush_onstop": LVS;
            "lvs_netlink_cmd_rcv_bufs": LVS;
            "lvs_netlink_cmd_rcv_bufs_force": LVS;
            "lvs_netlink_monitor_rcv_bufs": LVS;
            "lvs_netlink_monitor_rcv_bufs_force": LVS;
            "lvs_notify_fifo": LVS;
            "lvs_notify_fifo_script": LVS;
            "lvs_sync_daemon": LVS;
            "lvs_sync_daemon_interface": LVS;
            "lvs_timeouts": LVS;
            "min_auto_priority_delay": AUTO;
            "nftables_ifindex": IFINDEX;
            "nftables_ipvs": LVS;
            "nftables_ipvs_priority": LVS;
            "nftables_ipvs_start_fwmark": LVS;
            "no_checker_emails": LVS;
            "process_monitor_rcv_bufs": BUFFERS;
            "process_monitor_rcv_bufs_force": BUFFERS;
            "reload_check_config": CHECKED;
            "rs_init_notifies": LVS;
            "smtp_alert_checker": LVS;
            "snmp_rs_stats_update_interval": SNMP;
            "snmp_socket": SNMP;
            "snmp_vrrp_state": SNMP;
            "tmp_config_directory": FILES;
            "vrrp_ipsets": IPTABLES;
            "vrrp_iptables": IPTABLES;
            "vrrp_netlink_cmd_rcv_bufs": BUFFERS;
            "vrrp_netlink_cmd_rcv_bufs_force": BUFFERS;
            "vrrp_netlink_monitor_rcv_bufs": BUFFERS;
            "vrrp_netlink_monitor_rcv_bufs_force": BUFFERS;
            "vrrp_rlimit_rttime": RTTIME;
            "vrrp_rx_bufs_multiplier": BUFFERS;
            "vrrp_rx_bufs_policy": BUFFERS;
        }
    }

    /// `global_defs`: what an instance has where it says nothing of its own.
    Defaults {
        done {
            NotifyWebhook = "notify_webhook": Text => Notify.webhook;
            SmtpAlert = "smtp_alert": Boolean => Notify.smtp_alert;
            SmtpAlertVrrp = "smtp_alert_vrrp": Boolean => Notify.smtp_alert;
            VrrpCheckUnicastSrc = "vrrp_check_unicast_src": Flag => Unicast.check_source;
            VrrpDownTimerAdverts = "vrrp_down_timer_adverts": Number => Instance.down_timer_adverts;
            VrrpGarpExtraIf = "vrrp_garp_extra_if": Several => Instance.garp_extra;
            VrrpHigherPrioSendAdvert = "vrrp_higher_prio_send_advert": Boolean => Instance.higher_prio_send_advert;
            VrrpLowerPrioNoAdvert = "vrrp_lower_prio_no_advert": Boolean => Instance.lower_prio_no_advert;
            VrrpMcastGroup4 = "vrrp_mcast_group4": Address;
            VrrpMcastGroup6 = "vrrp_mcast_group6": Address;
            VrrpMinGarp = "vrrp_min_garp": Boolean => Garp.repeat, Garp.delay;
            VrrpNotifyPriorityChanges = "vrrp_notify_priority_changes": Boolean => Notify.priority_changes;
            VrrpOwnerIgnoreAdverts = "vrrp_owner_ignore_adverts": Boolean => Instance.owner_ignore_adverts;
            VrrpSkipCheckAdvAddr = "vrrp_skip_check_adv_addr": Boolean => Instance.skip_check_adv_addr;
            VrrpStrict = "vrrp_strict": Flag => Instance.strict;
            VrrpVersion = "vrrp_version": Number => Instance.version;
            XdpMode = "xdp_mode": Text => Global.xdp_mode;
        }
    }

    /// `global_defs`: the daemon itself, its names and its reloads.
    Daemon {
        done {
            DefaultInterface = "default_interface": Interface => Global.default_interface;
            DisableLocalIgmp = "disable_local_igmp": Flag => Global.disable_local_igmp;
            IprouteEtcDir = "iproute_etc_dir": Path => Global.iproute_etc;
            IprouteUsrDir = "iproute_usr_dir": Path => Global.iproute_usr;
            LogUnknownVrids = "log_unknown_vrids": Flag => Global.log_unknown_vrids;
            ReloadFile = "reload_file": Optional => Reload.file;
            ReloadRepeat = "reload_repeat": Flag => Reload.repeat;
            ReloadTimeFile = "reload_time_file": Path => Reload.time_file;
            VmacAddrPrefix = "vmac_addr_prefix": Interface => Global.vmac_addr_prefix;
            VmacPrefix = "vmac_prefix": Interface => Global.vmac_prefix;
            VrrpDelayAfterBoot = "vrrp_delay_after_boot": Time => Global.delay_after_boot;
            VrrpStartupDelay = "vrrp_startup_delay": Time => Global.startup_delay;
        }
    }

    /// `global_defs`: what is written on signals.
    Dumps {
        done {
            DataUseInstance = "data_use_instance": Boolean => Dump.use_instance;
            JsonDumpFile = "json_dump_file": Path => Dump.json_file;
            JsonVersion = "json_version": Number => Dump.json_version;
            StateDumpFile = "state_dump_file": Path => Dump.state_file;
            StatsDumpFile = "stats_dump_file": Path => Dump.stats_file;
            StatsFile = "stats_file": Path => Dump.stats_file;
            UseSymlinkPaths = "use_symlink_paths": Boolean => Dump.use_symlink_paths;
        }
    }

    /// `global_defs`: the firewall.
    Nftables {
        done {
            Table = "nftables": Optional => Firewall.table;
            Counters = "nftables_counters": Flag => Firewall.counters;
            Priority = "nftables_priority": Number => Firewall.priority;
        }
    }

    /// `global_defs`: scheduling and memory.
    Process {
        done {
            ProcessName = "process_name": Text => Process.name;
            ProcessNames = "process_names": Flag;
            Umask = "umask": Number => Process.umask;
            VrrpCpuAffinity = "vrrp_cpu_affinity": Several => Process.cpus;
            VrrpNoSwap = "vrrp_no_swap": Flag => Process.no_swap;
            VrrpPriority = "vrrp_priority": Number => Process.nice;
            VrrpProcessName = "vrrp_process_name": Text => Process.name;
            VrrpRtPriority = "vrrp_rt_priority": Number => Process.rt_priority;
        }
    }

    /// `global_defs`: mail.
    Mail {
        done {
            EmailFaults = "email_faults": Flag => Mail.faults;
            NoEmailFaults = "no_email_faults": Flag => Mail.faults;
            NotificationEmail = "notification_email": Block => Mail.to;
            NotificationEmailFrom = "notification_email_from": Text => Mail.from;
            SmtpConnectTimeout = "smtp_connect_timeout": Time => Mail.timeout;
            SmtpHeloName = "smtp_helo_name": Text => Mail.helo;
            SmtpServer = "smtp_server": Several => Mail.server;
        }
    }

    /// `global_defs`: the FIFOs.
    Fifo {
        done {
            FifoWriteVrrpStatesOnReload = "fifo_write_vrrp_states_on_reload": Flag => Fifos.states_on_reload;
            NotifyFifo = "notify_fifo": Several => Fifos.all;
            NotifyFifoScript = "notify_fifo_script": Command => Fifo.script;
            VrrpNotifyFifo = "vrrp_notify_fifo": Several => Fifos.vrrp;
            VrrpNotifyFifoScript = "vrrp_notify_fifo_script": Command => Fifo.script;
        }
    }
}
