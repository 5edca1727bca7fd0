//! The daemon's side of the control socket: reads requests, hands them to the main loop, writes its answers.
//!
//! Whoever connects is hostile until the kernel says that it is root. Lines, clients, waiting requests and time are
//! all bounded; nothing that a client does holds up the main loop.

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
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::protocol::{Failure, Request, Response};
use super::socket_path;

/// A request is a few words.
const LONGEST_REQUEST: usize = 1024;
/// Clients that are served at the same time; further ones wait in the kernel's queue.
const CLIENTS: usize = 16;
/// Connections that the kernel queues.
const BACKLOG: i32 = 32;
/// Requests that the main loop has not looked at yet.
const REQUESTS: usize = 16;
/// For a client to write its request, and to read its answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);
/// For the main loop to answer; a reload of a large configuration takes a while.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// A request, and where its answer goes. Dropping the sender tells the client that there is none.
pub type Call = (Request, oneshot::Sender<Response>);

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
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Makes the socket in `run_dir`, for root (and the daemon's own user) only.
    ///
    /// Needs a tokio runtime with I/O, and the lock of [`super::runlock`]: a socket that is there is then a leftover
    /// and is replaced.
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

    fn listen(path: &Path) -> io::Result<UnixListener> {
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
        UnixListener::from_std(std::os::fd::OwnedFd::from(socket).into())
    }

    /// Requests go to the receiver that this returns; serving is the future, to be spawned. It ends when the
    /// receiver is dropped.
    pub fn serve(self) -> (mpsc::Receiver<Call>, impl Future<Output = ()> + Send + 'static) {
        let (calls, receiver) = mpsc::channel(REQUESTS);
        (receiver, self.accept(calls))
    }

    async fn accept(self, calls: mpsc::Sender<Call>) {
        let slots = Arc::new(Semaphore::new(CLIENTS));
        let mut clients = tokio::task::JoinSet::new();
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            while clients.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = calls.closed() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let calls = calls.clone();
                    clients.spawn(async move {
                        // A client that goes away or is too slow only harms itself.
                        let _ = client(stream, calls).await;
                        drop(slot);
                    });
                }
                // Out of descriptors: the queue keeps, try again soon.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves one client: any number of requests, one after the other.
async fn client(mut stream: UnixStream, calls: mpsc::Sender<Call>) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != Uid::effective().as_raw() {
        return answer(&mut stream, &refuse("only root may talk to the daemon")).await;
    }
    let mut buffer = Vec::with_capacity(256);
    loop {
        let line = match timeout(CLIENT_PATIENCE, read_line(&mut stream, &mut buffer)).await {
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
            Ok(request) => ask(request, &calls).await,
            Err(error) => refuse(format!("not a request: {error}")),
        };
        answer(&mut stream, &response).await?;
    }
}

/// Hands a request to the main loop and waits for its answer.
async fn ask(request: Request, calls: &mpsc::Sender<Call>) -> Response {
    let (sender, receiver) = oneshot::channel();
    let exchange = async {
        calls.send((request, sender)).await.ok()?;
        receiver.await.ok()
    };
    match timeout(ANSWER_PATIENCE, exchange).await {
        Ok(Some(response)) => response,
        Ok(None) => refuse("the daemon is stopping"),
        Err(_) => refuse("the daemon did not answer in time"),
    }
}

fn refuse(message: impl Into<String>) -> Response {
    Response::Error(Failure::new(message))
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
