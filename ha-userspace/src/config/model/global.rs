//! `global_defs`, apart from what is only a default for instances, which carry it themselves.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Fifos, Mail, OnceScript};

/// `global_defs`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Global {
    /// `router_id`: for logs and mail; VRRP does not carry it.
    pub router_id: Option<String>,
    /// `enable_script_security`: refuse scripts whose path a non-root user can write.
    pub script_security: bool,
    /// `script_user USER [GROUP]`.
    pub script_user: Option<ScriptUser>,
    /// `xdp_mode`.
    pub xdp_mode: XdpMode,
    /// Mail.
    pub mail: Mail,
    /// FIFOs.
    pub fifos: Fifos,
    /// `startup_script`.
    pub startup: Option<OnceScript>,
    /// `shutdown_script`.
    pub shutdown: Option<OnceScript>,
    /// `default_interface`; `eth0` where absent.
    pub default_interface: Option<String>,
    /// `net_namespace` outside `global_defs`: the namespace that the daemon works in.
    pub net_namespace: Option<String>,
    /// `instance` outside `global_defs`: a name that tells several daemons of one host apart.
    pub instance: Option<String>,
    /// `use_pid_dir`.
    pub use_pid_dir: bool,
    /// `vrrp_startup_delay`: no instance starts sooner after the daemon's start.
    pub startup_delay: Duration,
    /// `vrrp_delay_after_boot`: no instance starts sooner after the machine's.
    pub delay_after_boot: Duration,
    /// `log_unknown_vrids`.
    pub log_unknown_vrids: bool,
    /// `standby_warn`: a master that has had no standby for so long says so; zero for never. Where `None`, one that had a
    /// standby does, after a minute.
    pub standby_warn: Option<Duration>,
    /// `vmac_prefix`: names of virtual MAC interfaces that have none of their own; `vrrp` where absent.
    pub vmac_prefix: Option<String>,
    /// `vmac_addr_prefix`: the same for addresses on other interfaces; `vmac_prefix` where absent.
    pub vmac_addr_prefix: Option<String>,
    /// `disable_local_igmp`.
    pub disable_local_igmp: bool,
    /// `nftables` and its like.
    pub firewall: Firewall,
    /// `reload_…`.
    pub reload: Reload,
    /// Where and how data and statistics are dumped on signals.
    pub dump: Dump,
    /// Scheduling and memory.
    pub process: Process,
    /// `--no_bfd` of the command line: no session runs, and each counts as down.
    pub no_bfd: bool,
    /// `metrics`: where they are asked for; nowhere where `None`.
    pub metrics: Option<MetricsAt>,
    /// `iproute_etc_dir`: where the names of tables, protocols and so on are looked up first.
    pub iproute_etc: Option<PathBuf>,
    /// `iproute_usr_dir`: where they are looked up next.
    pub iproute_usr: Option<PathBuf>,
}

impl Global {
    /// How long instances wait at the start of the daemon, and the word of the file that makes them: the longer of
    /// `vrrp_startup_delay` and what is left of `vrrp_delay_after_boot` after `uptime` of the machine.
    #[must_use]
    pub fn start_delay(&self, uptime: Duration) -> (Duration, &'static str) {
        let after_boot = self.delay_after_boot.saturating_sub(uptime);
        if after_boot > self.startup_delay {
            (after_boot, "vrrp_delay_after_boot")
        } else {
            (self.startup_delay, "vrrp_startup_delay")
        }
    }
}

/// Where metrics are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsAt {
    /// `ADDRESS:PORT` or `[ADDRESS]:PORT`.
    Address(SocketAddr),
    /// `unix:PATH`.
    Path(PathBuf),
}

impl fmt::Display for MetricsAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Path(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `nftables [TABLE]`, `nftables_priority` and `nftables_counters`: how `no_accept` is done where XDP is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firewall {
    /// Name of the table, `keepalived` where the file gives none.
    pub table: String,
    /// Priority of the chains, default -1.
    pub priority: i32,
    /// Rules have counters.
    pub counters: bool,
}

impl Default for Firewall {
    fn default() -> Self {
        Self { table: "keepalived".to_owned(), priority: -1, counters: false }
    }
}

/// How and when the configuration is read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// `reload_time_file`: a file that says when.
    pub time_file: Option<PathBuf>,
    /// `reload_repeat`: the file is kept, and a time without a date means every day.
    pub repeat: bool,
    /// `reload_file`: there while the configuration is read. An empty path is the default name in the run directory.
    pub file: Option<PathBuf>,
}

/// Dumps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// `json_version 1|2`; 1 where absent.
    pub json_version: Option<u8>,
    /// `state_dump_file`.
    pub state_file: Option<PathBuf>,
    /// `stats_file`.
    pub stats_file: Option<PathBuf>,
    /// `json_dump_file`.
    pub json_file: Option<PathBuf>,
    /// `data_use_instance`: the names have instance and network namespace in them.
    pub use_instance: bool,
    /// `use_symlink_paths`: paths are shown as written, with symbolic links unresolved.
    pub use_symlink_paths: bool,
}

/// Scheduling and memory of the daemon. Where `None`, the daemon's own choice stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// `process_name` or `vrrp_process_name`: the name in ps(1), at most 15 bytes.
    pub name: Option<String>,
    /// `vrrp_priority`: nice value of the main loop, -20 to 19. It counts where that has no real-time priority.
    pub nice: Option<i8>,
    /// `vrrp_rt_priority`: SCHED_FIFO priority of the main loop, 1 to 99.
    pub rt_priority: Option<u8>,
    /// `vrrp_no_swap`: memory is locked (it always is, as far as the rights go).
    pub no_swap: bool,
    /// `vrrp_cpu_affinity`: processors that the daemon may use; all where empty.
    pub cpus: Vec<u16>,
    /// `umask`, or what the command line has instead: of files that the daemon makes for others, and of its scripts.
    pub umask: Option<u32>,
}

impl Process {
    /// umask(2) of scripts that tell of something. Where none is set, what they make is its user's alone, as under
    /// keepalived, whatever the manual says of a default.
    #[must_use]
    pub fn script_mask(&self) -> u32 {
        self.umask.unwrap_or(0o177)
    }

    /// Mode of dumps, FIFOs and the like.
    #[must_use]
    pub fn file_mode(&self) -> u32 {
        0o666 & !self.script_mask()
    }

    /// SCHED_FIFO priority of the main loop and of BFD.
    ///
    /// By default above interrupt threads (50), so that a packet flood does not delay an advert. Never 99, because
    /// the threads that probe and vouch have one more.
    #[must_use]
    pub fn loop_priority(&self) -> u8 {
        self.rt_priority.unwrap_or(51).clamp(1, 98)
    }
}

/// How the XDP program is to be attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// Native where it is known to work, else generic, else none.
    #[default]
    Auto,
    /// Native or fail over to no XDP.
    Native,
    /// Generic (SKB).
    Generic,
    /// Traffic control, whether or not XDP is free.
    Tc,
    /// Raw sockets only.
    Off,
}

/// Liveness probes and the fence (docs/liveness.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast {
    /// `fast_failover`: probe masters and answer for the fence; default on.
    pub enabled: bool,
    /// `fast_probe_interval`: 100 µs to 1 s, default 1 ms.
    pub probe_interval: Duration,
    /// `fast_probe_misses`: 1 to 20, default 3.
    pub probe_misses: u8,
    /// `fast_window`: the most that the window may be, within which silence is no verdict; 200 µs to 10 s, default 10 ms.
    pub window: Duration,
    /// `fast_window … fixed`: it is always that.
    pub window_fixed: bool,
    /// `fast_lease`: how long a frozen daemon may still be answered for; 10 ms to 10 s, default 100 ms.
    pub lease: Duration,
    /// `fast_key`: probes are authenticated with it.
    pub key: Option<FastKey>,
}

impl Default for Fast {
    fn default() -> Self {
        Self {
            enabled: true,
            probe_interval: Duration::from_millis(1),
            probe_misses: 3,
            window: Duration::from_millis(10),
            window_fixed: false,
            lease: Duration::from_millis(100),
            key: None,
        }
    }
}

/// A secret of 128 bits, the two words of a SipHash key; never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FastKey(pub [u64; 2]);

impl fmt::Debug for FastKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FastKey(…)")
    }
}

/// Whom a script runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptUser {
    /// User name, as written.
    pub user: String,
    /// Group name, as written; the user's primary group where absent.
    pub group: Option<String>,
}
