//! Every word, set by set.

use std::sync::LazyLock;

use super::declare::{blocks, words};
use super::{Keywords, Kind, Row, Status, Words, sorted};
use crate::config::model;

const LVS: &str = "load balancing (LVS) is not done; run `keepalived --check` beside xvrrp for it";
const WAIT: &str = "there is one process, and a stop waits for what it has to";
const BFD_PROC: &str = "BFD runs inside the daemon; the vrrp_ setting of the same name counts";
const BUFFERS: &str = "the daemon sizes its socket buffers itself and never loses its view of the links";
const AUTO: &str = "the daemon is real-time from the start, where the system lets it";
const RTTIME: &str = "a daemon that is killed for running long hands nothing over; one whose loop hangs loses its lease instead";
const SNMP: &str = "SNMP is not done; `metrics ADDRESS:PORT` and `xvrrp status --json` have the numbers";
const DBUS: &str = "D-Bus is not done; use notify scripts, a FIFO or `xvrrp status --json`";
const IPTABLES: &str = "no iptables chain or ipset is needed: no_accept works in XDP, else through nftables";
const IFINDEX: &str = "nftables rules name interfaces by index where that is safe";
const DYN: &str = "interfaces may always come and go";
const FILES: &str = "the configuration is read once and kept in memory";
const CHECKED: &str = "a file that cannot run never replaces the running one";
const LINK: &str = "link state is always read from netlink";
const CSUM: &str = "both checksum forms are always accepted";
const LATE: &str =
    "a router that runs late judges first what it missed, and steps down where another has taken over";
const DEBUG: &str = "keepalived ignores it too";

blocks! {
    /// Outside all blocks.
    Top = "the top level";
    /// `global_defs`.
    Global = "global_defs";
    /// `vrrp_script`.
    Script = "vrrp_script";
    /// `vrrp_instance`.
    Instance = "vrrp_instance";
    /// `authentication` of an instance.
    Authentication = "authentication";
    /// `auth_hmac` of an instance.
    AuthHmac = "auth_hmac";
    /// `vrrp_sync_group`.
    SyncGroup = "vrrp_sync_group";
    /// `track_file` at the top.
    TrackFile = "track_file";
    /// `vrrp_track_process`.
    TrackProcess = "vrrp_track_process";
    /// `bfd_instance`.
    Bfd = "bfd_instance";
    /// `garp_group`.
    GarpGroup = "garp_group";
    /// `track_group`.
    TrackGroup = "track_group";
    /// `vrrp_check`.
    Check = "vrrp_check";
}

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
            RandomSeed = "random_seed": Reader;
            RouterId = "router_id": Optional => Global.router_id;
            ScriptUser = "script_user": Several => Global.script_user;
            ShutdownScript = "shutdown_script": Command => Global.shutdown;
            ShutdownScriptTimeout = "shutdown_script_timeout": Number => OnceScript.timeout;
            StartupScript = "startup_script": Command => Global.startup;
            StartupScriptTimeout = "startup_script_timeout": Number => OnceScript.timeout;
        }
        not_yet {
            Metrics = "metrics": Address => Global.metrics,
                "no listener serves metrics; `xvrrp status --json` and `xvrrp counters --json` have the numbers";
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

    /// Liveness probes and the fence, the same in `global_defs` and in an instance.
    Fast {
        done {
            Failover = "fast_failover": Boolean => Fast.enabled;
            ProbeInterval = "fast_probe_interval": Time => Fast.probe_interval;
            ProbeMisses = "fast_probe_misses": Number => Fast.probe_misses;
            Window = "fast_window": Time => Fast.window;
        }
    }

    /// Gratuitous ARP and unsolicited NA, in an instance and as `vrrp_garp_…` in `global_defs`.
    Garp {
        done {
            LowerPrioDelay = "garp_lower_prio_delay": Number => Garp.lower_prio_delay;
            LowerPrioRepeat = "garp_lower_prio_repeat": Number => Garp.lower_prio_repeat;
            MasterDelay = "garp_master_delay": Number => Garp.delay;
            MasterRefresh = "garp_master_refresh": Number => Garp.refresh;
            MasterRefreshRepeat = "garp_master_refresh_repeat": Number => Garp.refresh_repeat;
            MasterRepeat = "garp_master_repeat": Number => Garp.repeat;
        }
    }

    /// Pauses between messages, in a `garp_group` and as `vrrp_garp_interval` and `vrrp_gna_interval` in `global_defs`.
    GarpPause {
        done {
            Arp = "garp_interval": Time => Garp.arp_interval, GarpGroup.arp_interval;
            Na = "gna_interval": Time => Garp.na_interval, GarpGroup.na_interval;
        }
    }

    /// `vrrp_script`.
    Script {
        done {
            Fall = "fall": Number => Script.fall;
            InitFail = "init_fail": Flag => Script.init_fail;
            Interval = "interval": Time => Script.interval;
            Rise = "rise": Number => Script.rise;
            Script = "script": Command => Script.argv;
            Timeout = "timeout": Time => Script.timeout;
            User = "user": Several => Script.user;
            Weight = "weight": Several => Script.weight;
        }
    }

    /// `vrrp_instance`.
    Instance {
        with {
            Addresses;
            Adverts;
            Election;
            Fast;
            Garp;
            Link;
            Notify;
            Track;
        }
        done {
            AuthHmac = "auth_hmac": Block => Instance.hmac;
            Authentication = "authentication": Block => Instance.auth;
            DontTrackPrimary = "dont_track_primary": Flag => Instance.track_primary;
            GarpExtraIf = "garp_extra_if": Several => Instance.garp_extra;
            Interface = "interface": Interface => Instance.interface;
            NotifyMasterRxLowerPri = "notify_master_rx_lower_pri": Command => Notify.master_rx_lower_pri;
            PromoteSecondaries = "promote_secondaries": Flag => Instance.promote_secondaries;
            StrictMode = "strict_mode": Boolean => Instance.strict;
            TrackSrcIp = "track_src_ip": Flag => Instance.track_source;
            XdpMode = "xdp_mode": Text => Instance.xdp_mode;
        }
        not_yet {
            Vrf = "vrf": Interface => Instance.vrf,
                "it is for unicast without an interface, which is not done; an instance works in the VRF of its interface";
        }
        no_effect {
            "debug": DEBUG;
            "kernel_rx_buf_size": BUFFERS;
            "linkbeat_use_polling": LINK;
            "lvs_sync_daemon_interface": LVS;
            "old_unicast_checksum": CSUM;
            "timer_expired_backup": LATE;
        }
    }

    /// `vrrp_instance`: who becomes master, and when.
    Election {
        done {
            AdvertInt = "advert_int": Time => Instance.interval;
            DownTimerAdverts = "down_timer_adverts": Number => Instance.down_timer_adverts;
            HigherPrioSendAdvert = "higher_prio_send_advert": Boolean => Instance.higher_prio_send_advert;
            LowerPrioNoAdvert = "lower_prio_no_advert": Boolean => Instance.lower_prio_no_advert;
            Nopreempt = "nopreempt": Flag => Instance.preempt;
            OwnerIgnoreAdverts = "owner_ignore_adverts": Boolean => Instance.owner_ignore_adverts;
            Preempt = "preempt": Flag => Instance.preempt;
            PreemptDelay = "preempt_delay": Time => Instance.preempt_delay;
            Priority = "priority": Number => Instance.priority;
            State = "state": Text => Instance.starts_as_master;
            VirtualRouterId = "virtual_router_id": Number => Instance.vrid;
        }
    }

    /// `vrrp_instance`: how adverts are sent, and whose are heard.
    Adverts {
        done {
            CheckSource = "check_source": Block => Instance.check_source;
            CheckUnicastSrc = "check_unicast_src": Flag => Unicast.check_source;
            McastDstIp = "mcast_dst_ip": Address;
            McastSrcIp = "mcast_src_ip": Address => Instance.source;
            SkipCheckAdvAddr = "skip_check_adv_addr": Boolean => Instance.skip_check_adv_addr;
            UnicastFaultNoPeer = "unicast_fault_no_peer": Flag => Instance.fault_without_peers;
            UnicastPeer = "unicast_peer": Block => Unicast.peers;
            UnicastSrcIp = "unicast_src_ip": Address => Instance.source;
            UnicastTtl = "unicast_ttl": Number => Unicast.ttl;
            V3ChecksumAsV2 = "v3_checksum_as_v2": Boolean => Instance.checksum;
            Version = "version": Number => Instance.version;
        }
    }

    /// `vrrp_instance`: what its master holds.
    Addresses {
        done {
            Accept = "accept": Flag => Instance.accept;
            NativeIpv6 = "native_ipv6": Flag => Instance.family;
            NoAccept = "no_accept": Flag => Instance.accept;
            VirtualIpaddress = "virtual_ipaddress": Block => Instance.vips;
            VirtualIpaddressExcluded = "virtual_ipaddress_excluded": Block => Instance.excluded;
            VirtualRoutes = "virtual_routes": Block => Instance.routes;
            VirtualRules = "virtual_rules": Block => Instance.rules;
        }
    }

    /// `vrrp_instance`: an interface of its own.
    Link {
        done {
            UseIpvlan = "use_ipvlan": Optional => Instance.link;
            UseVmac = "use_vmac": Optional => Instance.link;
            UseVmacAddr = "use_vmac_addr": Flag => Instance.vmac_addresses;
            VmacXmitBase = "vmac_xmit_base": Flag => Vmac.xmit_base;
        }
    }

    /// What an instance or a sync group tells of.
    Notify {
        done {
            Any = "notify": Command => Notify.any;
            Backup = "notify_backup": Command => Notify.backup;
            Deleted = "notify_deleted": Command => Notify.deleted, Notify.tells_deleted;
            Fault = "notify_fault": Command => Notify.fault;
            Master = "notify_master": Command => Notify.master;
            PriorityChanges = "notify_priority_changes": Boolean => Notify.priority_changes;
            SmtpAlert = "smtp_alert": Boolean => Notify.smtp_alert;
            Stop = "notify_stop": Command => Notify.stop;
        }
    }

    /// What an instance or a sync group tracks.
    Track {
        done {
            Bfd = "track_bfd": Block => Trackers.bfd;
            Check = "track_check": Block => Trackers.checks;
            File = "track_file": Block => Trackers.files;
            Interface = "track_interface": Block => Trackers.interfaces;
            Process = "track_process": Block => Trackers.processes;
            Script = "track_script": Block => Trackers.scripts, Trackers.checks;
        }
    }

    /// `authentication` of an instance.
    Authentication {
        done {
            Pass = "auth_pass": Text => Instance.auth;
            Type = "auth_type": Text => Instance.auth;
        }
    }

    /// `auth_hmac` of an instance.
    AuthHmac {
        done {
            ActiveKey = "active_key": Number => Hmac.active;
            AntiReplay = "anti_replay": Text => Hmac.anti_replay;
            Key = "key": Several => Hmac.keys;
            Mode = "mode": Text => Hmac.mode;
            TimeWindow = "time_window": Number => Hmac.anti_replay;
        }
    }

    /// `vrrp_sync_group`.
    SyncGroup {
        with {
            Notify;
            Track;
        }
        done {
            GlobalTracking = "global_tracking": Flag => SyncGroup.global_tracking;
            Group = "group": Block => SyncGroup.members;
            SyncGroupTrackingWeight = "sync_group_tracking_weight": Flag => SyncGroup.tracking_weight;
        }
    }

    /// `track_file` at the top.
    TrackFile {
        done {
            File = "file": Path => TrackFile.path;
            InitFile = "init_file": Optional => TrackFile.init;
            Weight = "weight": Several => TrackFile.weight;
        }
    }

    /// `vrrp_track_process`.
    TrackProcess {
        done {
            Delay = "delay": Time => TrackProcess.fork_delay, TrackProcess.terminate_delay;
            ForkDelay = "fork_delay": Time => TrackProcess.fork_delay;
            FullCommand = "full_command": Flag => TrackProcess.full_command;
            ParamMatch = "param_match": Optional => TrackProcess.param_match;
            Process = "process": Several => TrackProcess.process, TrackProcess.parameters;
            Quorum = "quorum": Number => TrackProcess.quorum;
            QuorumMax = "quorum_max": Number => TrackProcess.quorum_max;
            TerminateDelay = "terminate_delay": Time => TrackProcess.terminate_delay;
            Weight = "weight": Several => TrackProcess.weight;
        }
    }

    /// `bfd_instance`. `checker` and `vrrp` say who uses the session, which is skipped where VRRP does not.
    Bfd {
        done {
            Checker = "checker": Flag;
            Hoplimit = "hoplimit": Number => Bfd.ttl;
            IdleTx = "idle_tx": Time => Bfd.idle_tx;
            MaxHops = "max_hops": Number => Bfd.max_hops;
            MinRx = "min_rx": Time => Bfd.min_rx;
            MinTx = "min_tx": Time => Bfd.min_tx;
            Multiplier = "multiplier": Number => Bfd.multiplier;
            NeighborIp = "neighbor_ip": Address => Bfd.neighbor;
            NeighbourIp = "neighbour_ip": Address => Bfd.neighbor;
            Passive = "passive": Flag => Bfd.passive;
            SourceIp = "source_ip": Address => Bfd.source;
            Ttl = "ttl": Number => Bfd.ttl;
            Vrrp = "vrrp": Flag;
            Weight = "weight": Several => Bfd.weight;
        }
    }

    /// `garp_group`.
    GarpGroup {
        with {
            GarpPause;
        }
        done {
            Interface = "interface": Interface => GarpGroup.interfaces;
            Interfaces = "interfaces": Block => GarpGroup.interfaces;
        }
    }

    /// `track_group`.
    TrackGroup {
        done {
            Group = "group": Block => TrackGroup.members;
        }
    }

    /// `vrrp_check`: xvrrp's own block, in which several words may share a line.
    Check {
        with {
            HttpOnly;
        }
        done {
            Fall = "fall": Number => Check.fall;
            Http = "http": Text => Check.probe;
            InitFail = "init_fail": Flag => Check.init_fail;
            Interval = "interval": Time => Check.interval;
            Process = "process": Text => Check.probe;
            Rise = "rise": Number => Check.rise;
            Tcp = "tcp": Text => Check.probe;
            Timeout = "timeout": Time => Check.timeout;
            Unix = "unix": Path => Check.probe;
            Weight = "weight": Number => Check.weight;
        }
    }

    /// `vrrp_check`: what belongs to `http`.
    HttpOnly {
        done {
            Body = "body": Text => HttpProbe.body;
            Host = "host": Text => HttpProbe.host_header;
            Status = "status": Several => HttpProbe.status;
            TlsCa = "tls_ca": Path => Tls.ca;
            TlsName = "tls_name": Text => Tls.name;
            TlsVerify = "tls_verify": Text => Tls.verify;
        }
    }
}
