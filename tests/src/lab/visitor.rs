//! A stream of HTTP requests to a virtual address: which server answers, and when.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use nix::sched::{CloneFlags, setns};

use super::{Host, Moment, sys};

/// No request takes longer.
const PATIENCE: Duration = Duration::from_millis(30);
/// Pause between the end of a request and the next one.
const PAUSE: Duration = Duration::from_millis(2);

/// One request.
#[derive(Clone, Debug)]
pub struct Visit {
    /// When it was sent.
    pub sent: Moment,
    /// When its answer was complete, or it failed.
    pub ended: Moment,
    /// The body of an answer with status 200, without white space around it.
    pub served: Option<String>,
}

/// A running stream; ends when dropped.
#[derive(Debug)]
pub struct Visitor {
    visits: Arc<Mutex<Vec<Visit>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Starts to ask `server` for `/`, one request after the other, each on a connection of its own.
    pub fn visit(&self, server: IpAddr) -> Result<Visitor> {
        let (visits, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let network = File::open(format!("/proc/{}/ns/net", self.holder_pid()))?;
        let (list, ended) = (Arc::clone(&visits), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("lab-visitor".to_owned()).spawn(move || {
            if setns(network, CloneFlags::CLONE_NEWNET).is_err() {
                return;
            }
            let _ordinary = sys::realtime_thread(20);
            let server = SocketAddr::new(server, 80);
            while !ended.load(Ordering::Relaxed) {
                let sent = Moment::now();
                let served = ask(server).ok().flatten();
                let visit = Visit { sent, ended: Moment::now(), served };
                list.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
                std::thread::sleep(PAUSE);
            }
        })?;
        Ok(Visitor { visits, stop, thread: Some(thread) })
    }
}

impl Visitor {
    /// When the first answer of `server` to a request sent at or after `from` was complete.
    #[must_use]
    pub fn served_by(&self, server: &str, from: Moment) -> Option<Moment> {
        let visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        let start = visits.partition_point(|visit| visit.sent < from);
        visits[start..].iter().find(|visit| visit.served.as_deref() == Some(server)).map(|visit| visit.ended)
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// One request; the body of an answer with status 200.
fn ask(server: SocketAddr) -> std::io::Result<Option<String>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    // An address that moves takes no half-closed connections with it.
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: service\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let good = answer.split(' ').nth(1) == Some("200");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned());
    Ok(body.filter(|_| good))
}
