//! Where metrics are asked for: the listening socket, and how many connections there may be.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use nix::sys::stat::{Mode, fchmod};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use super::http::{self, Site};
use super::{Complaint, Place};
use crate::config::model::MetricsAt;
use crate::trust;

/// Connections at the same time. One more ends the oldest, so that whoever holds connections open keeps nobody out.
const CONNECTIONS: usize = 16;
/// Connections that the kernel queues.
const BACKLOG: i32 = 32;
/// A place that cannot be had is tried again after this.
const RETRY: Duration = Duration::from_secs(5);
/// For the system to have descriptors again.
const PAUSE: Duration = Duration::from_millis(100);

enum Listener {
    Tcp(TcpListener),
    Unix { socket: UnixListener, _file: SocketFile },
}

/// Removed when nobody listens any more.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Serves until it is dropped. As long as the place cannot be had, it says so, and tries again.
pub(super) async fn run(place: Place, site: Arc<Site>, complaint: Complaint) {
    let say = |text: Option<String>| *complaint.lock().unwrap_or_else(PoisonError::into_inner) = text;
    let mut told = String::new();
    let listener = loop {
        match Listener::bind(&place).await {
            Ok(listener) => break listener,
            Err(error) => {
                let text = format!(
                    "metrics {}: cannot listen: {error}; it is tried again every {} s. Is the place taken, or missing?",
                    place.at,
                    RETRY.as_secs()
                );
                if told != text {
                    tracing::warn!("{text}");
                    say(Some(text.clone()));
                    told = text;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    say(None);
    tracing::info!("metrics are served at {}", place.at);
    accept(&listener, &site).await;
}

impl Listener {
    async fn bind(place: &Place) -> io::Result<Self> {
        match &place.at {
            MetricsAt::Address(address) => TcpListener::bind(address).await.map(Self::Tcp),
            MetricsAt::Path(path) => {
                let socket = unix(path, place.mode)?;
                Ok(Self::Unix { socket, _file: SocketFile(path.clone()) })
            }
        }
    }
}

/// A socket in the file system. What a daemon left there that runs no more is replaced; what others could have put there, or
/// made the path lead to, is left alone.
fn unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    trust::way(path).map_err(io::Error::other)?;
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)?;
        }
        Ok(_) => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else has that name"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM.nonblocking(), None)?;
    // bind(2) makes the file with the mode of the unbound socket.
    fchmod(socket.as_fd(), Mode::from_bits_truncate(mode))?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(std::os::fd::OwnedFd::from(socket).into())
}

async fn accept(listener: &Listener, site: &Arc<Site>) {
    let mut connections = JoinSet::new();
    let mut ages = VecDeque::new();
    loop {
        while connections.try_join_next().is_some() {}
        let site = Arc::clone(site);
        let accepted = match listener {
            Listener::Tcp(tcp) => {
                tcp.accept().await.map(|(stream, _)| connections.spawn(http::serve(stream, site)))
            }
            Listener::Unix { socket, .. } => {
                socket.accept().await.map(|(stream, _)| connections.spawn(http::serve(stream, site)))
            }
        };
        let Ok(handle) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        ages.retain(|older: &tokio::task::AbortHandle| !older.is_finished());
        ages.push_back(handle);
        if ages.len() > CONNECTIONS
            && let Some(oldest) = ages.pop_front()
        {
            oldest.abort();
        }
    }
}
