//! Metrics for Prometheus, over HTTP, where `metrics` of `global_defs` says.
//!
//! Whoever connects is hostile: connections, their requests and their time are bounded, and all that the main loop sees of
//! any number of them is the question for its state, as from the control socket ([`crate::control::asker`]). It runs on a
//! thread of its own, `xvrrp-metrics`. What lives here: which metrics there are ([`families`]), what they are of a status
//! ([`facts`], pure), how they are written ([`page`]) and served. docs/metrics.md has them all.

mod facts;
mod families;
mod http;
mod listener;
mod page;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::config::model::{Global, MetricsAt};
use crate::control::asker::Asker;
use crate::realtime;
use crate::worker::Worker;
use http::Site;

/// How long the end of the thread is waited for: it waits for nothing itself.
const PATIENCE: Duration = Duration::from_millis(50);

/// Where metrics are served, and the mode of the socket where that is a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    at: MetricsAt,
    mode: u32,
}

enum Order {
    Ask(Arc<Asker>),
    Serve(Option<Place>),
}

/// Why nothing is served although it should be.
type Complaint = Arc<Mutex<Option<String>>>;

/// The thread's handle.
#[derive(Debug)]
pub(crate) struct Metrics {
    worker: Worker<Order>,
    place: Option<Place>,
    complaint: Complaint,
}

impl Metrics {
    /// Starts the thread, which must not have real-time priority. It serves nothing yet.
    ///
    /// # Errors
    /// No thread or no event loop is to be had.
    pub(crate) fn start() -> io::Result<Self> {
        let complaint = Complaint::default();
        let told = Arc::clone(&complaint);
        let worker = Worker::start_tasks("xvrrp-metrics", |orders| run(orders, told))?;
        Ok(Self { worker, place: None, complaint })
    }

    /// Whom to ask from now on.
    pub(crate) fn ask(&self, asker: Arc<Asker>) {
        self.worker.tell(Order::Ask(asker));
    }

    /// Serves where this configuration says, and nowhere else. Never waits.
    pub(crate) fn serve(&mut self, global: &Global) {
        let mode = global.process.file_mode();
        let place = global.metrics.clone().map(|at| Place { at, mode });
        if self.place != place {
            self.place.clone_from(&place);
            self.worker.tell(Order::Serve(place));
        }
    }

    /// Tells why nothing is served although it should be; for another thread to find out.
    pub(crate) fn complaint(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let complaint = Arc::clone(&self.complaint);
        move || complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the thread.
    pub(crate) fn stop(mut self) {
        self.worker.stop(PATIENCE);
    }
}

async fn run(mut orders: UnboundedReceiver<Order>, complaint: Complaint) {
    realtime::prefer_this_thread();
    let (mut site, mut place) = (None, None);
    let mut serving: Option<JoinHandle<()>> = None;
    while let Some(order) = orders.recv().await {
        match order {
            Order::Ask(asker) => site = Some(Arc::new(Site::new(asker))),
            Order::Serve(other) => place = other,
        }
        end(serving.take()).await;
        *complaint.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let (Some(site), Some(place)) = (&site, &place) {
            let (site, place) = (Arc::clone(site), place.clone());
            serving = Some(tokio::spawn(listener::run(place, site, Arc::clone(&complaint))));
        }
    }
    end(serving).await;
}

/// Ends a listener and its connections, so that its place is free for the next.
async fn end(serving: Option<JoinHandle<()>>) {
    if let Some(serving) = serving {
        serving.abort();
        let _ = serving.await;
    }
}
