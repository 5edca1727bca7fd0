//! The daemon's side of the control socket: reads requests, asks the main loop, writes its answers.
//!
//! Whoever connects is hostile until the kernel says that it is root. Lines, clients, waiting requests and time are
//! all bounded. It runs on a thread of its own ([`super::thread`]): whatever a client does, and whatever is waited for to
//! answer it, the main loop only hands out a copy of its state ([`super::asker`]).

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::stat::{Mode, fchmod};
use nix::unistd::Uid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::asker::{Asker, Call, refuse};
use super::protocol::{Request, Response};
use super::socket_path;

/// A request is a few words.
const LONGEST_REQUEST: usize = 1024;
/// Clients that are served at the same time; further ones wait in the kernel's queue.
const CLIENTS: usize = 16;
/// Connections that the kernel queues.
const BACKLOG: i32 = 32;
/// For a client to write its request, and to read its answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);
/// For clients whose answer is on its way when the main loop has ended. One that does not read may not hold up a
/// restart.
const LAST_PATIENCE: Duration = Duration::from_millis(50);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the control socket {}: {source}; is the run directory writable?", path.display())]
pub struct BindError {
    path: PathBuf,
    source: io::Error,
}

/// The listening socket; dropping it removes it from the run directory.
#[derive(Debug)]
pub struct Server {
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
}

impl Server {
    /// Makes the socket in `run_dir`, for root (and the daemon's own user) only.
    ///
    /// Needs the lock of [`super::runlock`]: a socket that is there is then a leftover and is replaced. Clients may connect
    /// from now on, and wait.
    ///
    /// # Errors
    /// The file cannot be made, or something that is not a socket is in its place.
    pub fn bind(run_dir: &Path) -> Result<Self, BindError> {
        let path = socket_path(run_dir);
        match Self::listen(&path) {
            Ok(listener) => Ok(Self { listener, path }),
            Err(source) => Err(BindError { path, source }),
        }
    }

    fn listen(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
        match std::fs::symlink_metadata(path) {
            Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else has that name"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM.nonblocking(), None)?;
        // On an unbound socket this sets the mode that bind(2) then creates the file with: no moment at which others
        // can connect, and no process-wide umask to change.
        fchmod(socket.as_fd(), Mode::from_bits_truncate(0o600))?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        socket.listen(BACKLOG)?;
        Ok(std::os::fd::OwnedFd::from(socket).into())
    }

    /// Calls go to the receiver that this returns, those of others that have the asker too; serving is the future. It ends
    /// when the receiver is dropped. Must be called inside the tokio runtime that runs it.
    ///
    /// # Errors
    /// The runtime cannot wait for the socket.
    pub fn serve(
        self,
    ) -> io::Result<(Arc<Asker>, mpsc::Receiver<Call>, impl Future<Output = ()> + Send + 'static)> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let (asker, receiver) = Asker::new();
        let asker = Arc::new(asker);
        Ok((Arc::clone(&asker), receiver, self.accept(listener, asker)))
    }

    async fn accept(self, listener: UnixListener, asker: Arc<Asker>) {
        let slots = Arc::new(Semaphore::new(CLIENTS));
        let mut clients = tokio::task::JoinSet::new();
        loop {
            while clients.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = accept(&listener, &slots) => accepted,
                () = asker.closed() => break,
            };
            match accepted {
                Ok((stream, slot)) => {
                    let asker = Arc::clone(&asker);
                    clients.spawn(async move {
                        // A client that goes away or is too slow only harms itself.
                        let _ = client(stream, &asker).await;
                        drop(slot);
                    });
                }
                // Out of descriptors: the queue keeps, try again soon.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        // Who finds no socket knows that the daemon has gone.
        drop(self);
        drop(listener);
        let _ = timeout(LAST_PATIENCE, async { while clients.join_next().await.is_some() {} }).await;
    }
}

/// The next client, once there is room for one.
async fn accept(
    listener: &UnixListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves one client: any number of requests, one after the other, until the main loop has ended.
async fn client(mut stream: UnixStream, asker: &Asker) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != Uid::effective().as_raw() {
        return answer(&mut stream, &refuse("only root may talk to the daemon")).await;
    }
    let mut buffer = Vec::with_capacity(256);
    loop {
        let line = tokio::select! {
            line = timeout(CLIENT_PATIENCE, read_line(&mut stream, &mut buffer)) => line,
            () = asker.closed() => return Ok(()),
        };
        let line = match line {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                return answer(
                    &mut stream,
                    &refuse(format!("a request has at most {LONGEST_REQUEST} bytes")),
                )
                .await;
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => return answer(&mut stream, &refuse("no request came in time")).await,
        };
        let response = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => asker.ask(request).await,
            Err(error) => Arc::new(refuse(format!("not a request: {error}"))),
        };
        answer(&mut stream, &response).await?;
    }
}

/// The next line without its end; `None` at the end of the stream. What follows the line stays in `buffer`.
async fn read_line(stream: &mut UnixStream, buffer: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = buffer.drain(..=end).collect();
            line.pop();
            return Ok(Some(line));
        }
        if buffer.len() > LONGEST_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut chunk = [0; 512];
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(&chunk[..length]);
    }
}

async fn answer(stream: &mut UnixStream, response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    timeout(CLIENT_PATIENCE, stream.write_all(&line))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
