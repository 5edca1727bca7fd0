//! What is watched and what it does to a priority: scripts, checks, files, processes, BFD sessions, interfaces.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Place, ScriptUser};

/// A `vrrp_script`.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// Name that `track_script` refers to.
    pub name: String,
    /// Program and arguments; never run through a shell of our own making.
    pub argv: Vec<OsString>,
    /// Time from one start to the next.
    pub interval: Duration,
    /// After this the script is killed and counts as failed.
    pub timeout: Duration,
    /// Default weight of trackers that give none.
    pub weight: Weight,
    /// Successes in a row that make it good.
    pub rise: u32,
    /// Failures in a row that make it bad.
    pub fall: u32,
    /// `user`; the global `script_user` where absent.
    pub user: Option<ScriptUser>,
    /// `init_fail`: bad until the first success.
    pub init_fail: bool,
    /// Where the script was defined, for messages.
    pub place: Place,
}

/// What a tracker does to the priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// -253..=253 (-254..=254 for processes); zero means FAULT on failure. Positive adds while good, negative
    /// subtracts while bad.
    pub value: i16,
    /// `reverse`: the sign of what is added turns round; with zero, good and bad change places.
    pub reverse: bool,
}

/// One line of `track_script` that names a [`Script`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackScript {
    /// Name of the script.
    pub script: String,
    /// Weight of this tracker, or else the script's.
    pub weight: Weight,
}

/// One line of `track_interface`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackInterface {
    /// Interface.
    pub interface: String,
    /// Weight; zero means FAULT while it is down.
    pub weight: Weight,
}

/// One line of `track_process`, `track_bfd` or `track_check`, or of `track_script` where it names a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Name of what is tracked; it is known to exist.
    pub name: String,
    /// Weight of this tracker, or else that of the thing.
    pub weight: Weight,
    /// Where it was written, for messages.
    pub place: Place,
}

/// One line of `track_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackFileRef {
    /// Name of the [`TrackFile`]; it is known to exist.
    pub name: String,
    /// Weight of this tracker, or else that of the file.
    pub weight: FileWeight,
    /// Where it was written, for messages.
    pub place: Place,
}

/// What a file's value is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileWeight {
    /// Zero: any value but zero is a FAULT. Otherwise value times weight is added to the priority, and a product
    /// below -253 is a FAULT.
    pub value: i32,
    /// The sign of what is added turns round; with zero, good and bad change places.
    pub reverse: bool,
}

impl Default for FileWeight {
    /// The manual's default of a `track_file` block.
    fn default() -> Self {
        Self { value: 1, reverse: false }
    }
}

/// A `track_file` block (`vrrp_track_file` is the same).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackFile {
    /// Name that `track_file` in an instance refers to.
    pub name: String,
    /// `file`.
    pub path: PathBuf,
    /// Default weight of trackers that give none.
    pub weight: FileWeight,
    /// `init_file`: what to write into the file at start.
    pub init: Option<InitFile>,
    /// Where it was defined, for messages.
    pub place: Place,
}

/// `init_file [VALUE] [overwrite]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InitFile {
    /// What is written, default 0.
    pub value: i64,
    /// Also where the file exists.
    pub overwrite: bool,
}

/// A `vrrp_track_process` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackProcess {
    /// Name that `track_process` refers to.
    pub name: String,
    /// `process`: the name that the process must have.
    pub process: String,
    /// Parameters behind it.
    pub parameters: Vec<String>,
    /// How the parameters are compared; [`ParamMatch::Exact`] where the file says nothing.
    pub param_match: ParamMatch,
    /// `full_command`, or parameters to compare: the command line is compared instead of the process's name.
    pub full_command: bool,
    /// Default weight of trackers that give none; the manual's default is 1.
    pub weight: Weight,
    /// Processes needed, default 1.
    pub quorum: u32,
    /// More than this are a failure too. `Some(0)`: none may run.
    pub quorum_max: Option<u32>,
    /// `fork_delay`: good only this long after the quorum was reached.
    pub fork_delay: Duration,
    /// `terminate_delay`: bad only this long after the quorum was lost.
    pub terminate_delay: Duration,
    /// Where it was defined, for messages.
    pub place: Place,
}

/// `param_match`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParamMatch {
    /// Parameters, where there are any, are all compared and must be equal.
    #[default]
    Exact,
    /// `partial`: the first parameters must be equal, more may follow.
    Partial,
    /// `initial`: as `partial`, and the last one needs only begin as written.
    Initial,
    /// `param_match` without parameters: the process must have none.
    None,
}

/// A `bfd_instance` block (RFC 5880, RFC 5881).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bfd {
    /// Name that `track_bfd` refers to.
    pub name: String,
    /// `neighbor_ip`.
    pub neighbor: IpAddr,
    /// `source_ip`, of the same family.
    pub source: Option<IpAddr>,
    /// `min_rx`, default 10 ms.
    pub min_rx: Duration,
    /// `min_tx`, default 10 ms.
    pub min_tx: Duration,
    /// `idle_tx`, default 1 s.
    pub idle_tx: Duration,
    /// `multiplier`, 1 to 255, default 5.
    pub multiplier: u8,
    /// `passive`: say nothing before the neighbour does.
    pub passive: bool,
    /// `ttl` or `hoplimit` of what is sent; 255 where the file says nothing (RFC 5881; keepalived has 64 for IPv6).
    pub ttl: u8,
    /// `max_hops`: received packets may have lost this much of 255; 255 means that nothing is checked.
    pub max_hops: u8,
    /// Default weight of trackers that give none.
    pub weight: Weight,
    /// Where it was defined, for messages.
    pub place: Place,
}

/// A `vrrp_check` block: a health check that the daemon makes itself, without a process for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Name that `track_check` and `track_script` refer to. Scripts and checks have one name space.
    pub name: String,
    /// What is done.
    pub probe: Probe,
    /// Time from one start to the next, 10 ms to 1 h, default 1 s.
    pub interval: Duration,
    /// A probe that takes longer has failed; 1 ms to `interval`, default `interval`.
    pub timeout: Duration,
    /// Successes in a row that make it good, default 1.
    pub rise: u32,
    /// Failures in a row that make it bad, default 1.
    pub fall: u32,
    /// Default weight of trackers that give none.
    pub weight: Weight,
    /// `init_fail`: bad until the first success.
    pub init_fail: bool,
    /// Where it was defined, for messages.
    pub place: Place,
}

/// What a [`Check`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `tcp HOST:PORT`: the connection is accepted.
    Tcp(HostPort),
    /// `http URL`: the answer is as wanted.
    Http(Box<HttpProbe>),
    /// `unix PATH`: the connection to the socket is accepted.
    Unix(PathBuf),
    /// `process NAME`: a process of this name (as in /proc/PID/comm, at most 15 bytes) runs and is no zombie.
    Process(String),
}

/// A host, by address or by name, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Address without brackets, or a name that has yet to be resolved.
    pub host: String,
    /// Port, not zero.
    pub port: u16,
}

/// `http URL` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProbe {
    /// `https`.
    pub tls: Option<Tls>,
    /// Where to connect to.
    pub server: HostPort,
    /// `Host:` header: as in the URL, or `host NAME`.
    pub host_header: String,
    /// Path with the query, starting with `/`.
    pub path: String,
    /// Accepted status codes, 100 to 599, first to last; 200 to 399 where the file says nothing.
    pub status: Vec<(u16, u16)>,
    /// Text that the body must contain.
    pub body: Option<String>,
}

/// TLS towards a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `tls_verify`: the certificate must be good. Default on.
    pub verify: bool,
    /// `tls_name`: the name in the certificate and in SNI; the URL's host where absent.
    pub name: Option<String>,
    /// `tls_ca`: trust the certificates in this PEM file instead of the system's.
    pub ca: Option<PathBuf>,
}
