//! Names become addresses in the background: a name server that hangs delays no probe and fails none by itself.
//!
//! A name that has been resolved keeps its addresses until it is resolved again. A lookup runs on a thread that may
//! hang; there is never more than one per check.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::{Failure, written};
use crate::config::model::HostPort;

/// How old addresses may become; after failed probes they are looked up again sooner.
const FRESH: Duration = Duration::from_secs(30);
/// Pause between two lookups while there is no address, or the addresses do not answer.
const RETRY: Duration = Duration::from_secs(1);
/// More addresses than these are not tried within one probe.
const MOST: usize = 8;

type Lookup = JoinHandle<std::io::Result<Vec<SocketAddr>>>;

/// The addresses of one server.
#[derive(Debug)]
pub(super) struct Resolver {
    server: HostPort,
    literal: bool,
    known: Vec<SocketAddr>,
    failure: String,
    pending: Option<Lookup>,
    asked: Option<Instant>,
    dirty: bool,
}

impl Resolver {
    pub(super) fn new(server: HostPort) -> Self {
        let literal = server.host.parse::<IpAddr>().ok();
        Self {
            known: literal.map(|address| SocketAddr::new(address, server.port)).into_iter().collect(),
            literal: literal.is_some(),
            server,
            failure: String::new(),
            pending: None,
            asked: None,
            dirty: false,
        }
    }

    /// The server as the operator wrote it.
    pub(super) fn server(&self) -> &HostPort {
        &self.server
    }

    /// Addresses to try, in order. Waits only while there is none.
    pub(super) async fn addresses(&mut self) -> Result<Vec<SocketAddr>, Failure> {
        if !self.literal {
            self.refresh();
            let finished = self.pending.as_ref().is_some_and(JoinHandle::is_finished);
            if (finished || self.known.is_empty())
                && let Some(pending) = &mut self.pending
            {
                let found = pending.await;
                self.pending = None;
                self.learn(found.unwrap_or_else(|_| Err(std::io::Error::other("the lookup failed"))));
            }
            if self.known.is_empty() {
                return Err(Failure::Unresolved(written(&self.server), self.failure.clone()));
            }
        }
        Ok(self.known.clone())
    }

    /// None of the addresses answers: they may be out of date.
    pub(super) fn mark_dirty(&mut self) {
        self.dirty = true;
    }

    /// The address that answered is tried first from now on.
    pub(super) fn prefer(&mut self, address: SocketAddr) {
        self.dirty = false;
        if let Some(at) = self.known.iter().position(|known| *known == address) {
            self.known.swap(0, at);
        }
    }

    fn refresh(&mut self) {
        let patience = if self.known.is_empty() || self.dirty { RETRY } else { FRESH };
        if self.pending.is_some() || self.asked.is_some_and(|asked| asked.elapsed() < patience) {
            return;
        }
        self.asked = Some(Instant::now());
        let (host, port) = (self.server.host.clone(), self.server.port);
        self.pending = Some(tokio::task::spawn_blocking(move || {
            use std::net::ToSocketAddrs;
            (host.as_str(), port).to_socket_addrs().map(|list| list.take(MOST).collect())
        }));
    }

    fn learn(&mut self, found: std::io::Result<Vec<SocketAddr>>) {
        match found {
            // What answered stays first.
            Ok(found) => {
                let first = self.known.first().copied().filter(|known| found.contains(known));
                let rest = found.into_iter().filter(|address| Some(*address) != first);
                self.known = first.into_iter().chain(rest).collect();
                "the name service knows none".clone_into(&mut self.failure);
            }
            // Old addresses are better than none.
            Err(error) => self.failure = error.to_string(),
        }
    }
}
