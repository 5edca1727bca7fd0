//! The words of instances and sync groups, and those which these share with `global_defs`.

use super::declare::words;
use super::reasons::{BUFFERS, CSUM, DEBUG, LATE, LINK, LVS};
use super::{Row, Status, ValueKind, Words, gather};
use crate::config::model;

words! {
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
            NotifyStandby = "notify_standby": Command => Notify.standby;
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
            HotStandby = "hot_standby": Boolean => Instance.hot_standby;
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

    /// Liveness probes and the fence, the same in `global_defs` and in an instance.
    Fast {
        done {
            Failover = "fast_failover": Boolean => Fast.enabled;
            ProbeInterval = "fast_probe_interval": Time => Fast.probe_interval;
            ProbeMisses = "fast_probe_misses": Number => Fast.probe_misses;
            Window = "fast_window": Several => Fast.window, Fast.window_fixed;
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
            Webhook = "notify_webhook": Text => Notify.webhook;
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
}
