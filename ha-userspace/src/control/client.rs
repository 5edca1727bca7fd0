//! The command line's side of the control socket: blocking, one request, one answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{Request, Response};
use super::socket_path;

/// For what is read from a snapshot. The server itself says so if the main loop alone stands still; and clients that say
/// nothing can keep others out for half of this.
const LOOK: Duration = Duration::from_secs(10);
/// For an order, which the main loop may take its time over: longer than the server waits for it.
const ORDER: Duration = Duration::from_secs(35);
/// 255 instances with many addresses take less than a tenth of this.
const LONGEST_ANSWER: u64 = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No socket, or nobody behind it.
    #[error("no xvrrp is running with run directory {}{}; start it with 'xvrrp run', or name its directory with \
             --run-dir", run_dir.display(), if *stale { " (a stale socket is there)" } else { "" })]
    NotRunning {
        /// Run directory that was looked into.
        run_dir: PathBuf,
        /// A socket file is there but nobody listens.
        stale: bool,
    },
    /// Not root.
    #[error("{}: permission denied; run this as root", path.display())]
    PermissionDenied {
        /// The socket.
        path: PathBuf,
    },
    /// The daemon is there but says nothing.
    #[error("the daemon behind {} has not answered for {:.0?}: it is frozen; `ps -C xvrrp -o pid,stat,wchan` says whether \
             somebody has stopped it (T) or what it waits for", path.display(), waited)]
    Frozen {
        /// The socket.
        path: PathBuf,
        /// For how long it was waited for.
        waited: Duration,
    },
    /// The daemon went away.
    #[error("the daemon behind {} ended without an answer", path.display())]
    Ended {
        /// The socket.
        path: PathBuf,
    },
    /// The answer cannot be read, as between versions that do not fit.
    #[error("the daemon behind {} gave an answer that this xvrrp cannot read: {source}; are both of one version?",
            path.display())]
    Garbled {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Anything else that went wrong with the socket.
    #[error("{}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ClientError {
    /// The word that stays what it is, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotRunning { .. } => "not_running",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::Frozen { .. } => "frozen",
            Self::Ended { .. } | Self::Garbled { .. } | Self::Io { .. } => "no_answer",
        }
    }
}

/// Sends one request to the daemon of this run directory and waits for the answer.
///
/// # Errors
/// See [`ClientError`]; that the daemon refuses is an answer ([`Response::Error`]), not an error.
pub fn request(run_dir: &Path, request: Request) -> Result<Response, ClientError> {
    let patience = match request {
        Request::Status | Request::Counters => LOOK,
        Request::Reload { .. } | Request::Hold(_) | Request::Stop | Request::Restart => ORDER,
    };
    request_within(run_dir, request, patience)
}

/// The same with a patience of the caller's own.
///
/// # Errors
/// As [`request`].
pub fn request_within(run_dir: &Path, request: Request, waited: Duration) -> Result<Response, ClientError> {
    let path = socket_path(run_dir);
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            ClientError::Frozen { path: path.clone(), waited }
        }
        _ => ClientError::Io { path: path.clone(), source },
    };
    let mut stream = UnixStream::connect(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ClientError::NotRunning { run_dir: run_dir.to_owned(), stale: false },
        io::ErrorKind::ConnectionRefused => {
            ClientError::NotRunning { run_dir: run_dir.to_owned(), stale: true }
        }
        io::ErrorKind::PermissionDenied => ClientError::PermissionDenied { path: path.clone() },
        _ => io(source),
    })?;
    stream.set_read_timeout(Some(waited)).map_err(io)?;
    stream.set_write_timeout(Some(waited)).map_err(io)?;
    let garbled = |source| ClientError::Garbled { path: path.clone(), source };
    let mut line = serde_json::to_vec(&request).map_err(garbled)?;
    line.push(b'\n');
    match stream.write_all(&line) {
        // The daemon refused before it read: its answer says why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(io)?,
    }
    let mut answer = Vec::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_until(b'\n', &mut answer).map_err(io)?;
    if answer.is_empty() {
        return Err(ClientError::Ended { path });
    }
    serde_json::from_slice(&answer).map_err(garbled)
}
