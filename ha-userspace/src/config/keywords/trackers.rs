//! The words of what is tracked, and of the groups of addresses and interfaces.

use super::declare::words;
use super::{GarpPause, Row, Status, ValueKind, Words, gather};
use crate::config::model;

words! {
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

    /// `track_group`.
    TrackGroup {
        done {
            Group = "group": Block => TrackGroup.members;
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
}
