//! Asks the main loop on behalf of all clients, so that it does not matter to the main loop how many there are.
//!
//! However fast clients ask, the main loop hands out its state once in 20 ms: a request that comes sooner waits, and
//! all that wait get the same answer. It was always taken after the request had come, so whoever has just changed
//! something sees the change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::protocol::{Counters, Failure, HoldRequest, Request, Response};
use super::snapshot::Snapshot;

/// Calls that the main loop has not looked at yet.
const CALLS: usize = 16;
/// Between two snapshots.
const EVERY: Duration = Duration::from_millis(20);
/// For the main loop to hand out its state. It has nothing to wait for.
const PATIENCE: Duration = Duration::from_secs(1);
/// For the main loop to carry out an order; a reload of a large configuration takes a while.
const ORDER_PATIENCE: Duration = Duration::from_secs(30);

/// What the main loop is asked for, and where its answer goes. Dropping the sender tells the client that there is none.
#[derive(Debug)]
pub enum Call {
    /// A copy of the state. The main loop keeps one as well, so that the memory is freed by whoever allocated it.
    Status(oneshot::Sender<Arc<Snapshot>>),
    /// All counters. The main loop keeps them as well.
    Counters(oneshot::Sender<Arc<Counters>>),
    /// To do something.
    Order(Order, oneshot::Sender<Response>),
}

/// What the main loop is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// [`Request::Reload`].
    Reload {
        /// Even where an error stops something that runs.
        force: bool,
        /// Only say what would change.
        dry_run: bool,
    },
    /// [`Request::Hold`].
    Hold(HoldRequest),
    /// [`Request::Restart`].
    Restart,
    /// [`Request::Stop`].
    Stop,
}

/// Asks. Whoever has an `Arc` of it may, on any thread but that of the main loop.
#[derive(Debug)]
pub struct Asker {
    calls: mpsc::Sender<Call>,
    status: Recent,
    counters: Recent,
    /// When the main loop was asked for the first time of those that it has not answered.
    asked: Mutex<Option<Instant>>,
}

/// The latest answer to one kind of request, and when it was asked for. Whoever has the lock is asking.
#[derive(Debug, Default)]
struct Recent(tokio::sync::Mutex<Option<(Instant, Arc<Response>)>>);

impl Asker {
    /// Calls go to the receiver.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Call>) {
        let (calls, receiver) = mpsc::channel(CALLS);
        let (status, counters, asked) = Default::default();
        (Self { calls, status, counters, asked }, receiver)
    }

    /// Returns when the main loop takes no calls any more.
    pub(super) async fn closed(&self) {
        self.calls.closed().await;
    }

    /// The answer to a request.
    pub(crate) async fn ask(&self, request: Request) -> Arc<Response> {
        let order = match request {
            Request::Status => return self.share(&self.status, self.ask_status()).await,
            Request::Counters => return self.share(&self.counters, self.ask_counters()).await,
            Request::Reload { force, dry_run } => Order::Reload { force, dry_run },
            Request::Hold(request) => Order::Hold(request),
            Request::Restart => Order::Restart,
            Request::Stop => Order::Stop,
        };
        let answer = timeout(ORDER_PATIENCE, self.call(|reply| Call::Order(order, reply))).await;
        Arc::new(match answer {
            Ok(Some(response)) => response,
            Ok(None) => stopping(),
            Err(_) => refuse("the daemon did not answer in time"),
        })
    }

    async fn ask_status(&self) -> Option<Response> {
        let snapshot = self.copy(Call::Status).await?;
        Some(Response::Status(Box::new(snapshot.complete())))
    }

    async fn ask_counters(&self) -> Option<Response> {
        let counters = self.copy(Call::Counters).await?;
        Some(Response::Counters(Counters::clone(&counters)))
    }

    /// Has the main loop hand out something, and takes notice of whether it does.
    async fn copy<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Option<T> {
        self.asked().get_or_insert_with(Instant::now);
        let answer = self.call(call).await;
        *self.asked() = None;
        answer
    }

    /// What `fetch` gets, or what it got for somebody else after this request had come.
    async fn share(&self, recent: &Recent, fetch: impl Future<Output = Option<Response>>) -> Arc<Response> {
        let came = Instant::now();
        let answer = async {
            let mut latest = recent.0.lock().await;
            if let Some((asked, response)) = &*latest {
                if *asked > came {
                    return Some(Arc::clone(response));
                }
                // Whoever comes meanwhile waits for the lock, and gets the same answer.
                sleep_until(*asked + EVERY).await;
            }
            let asked = Instant::now();
            let response = Arc::new(fetch.await?);
            *latest = Some((asked, Arc::clone(&response)));
            Some(response)
        };
        match timeout(PATIENCE, answer).await {
            Ok(Some(response)) => response,
            Ok(None) => Arc::new(stopping()),
            Err(_) => Arc::new(self.frozen(came)),
        }
    }

    /// Hands a call to the main loop and waits for its answer; `None` where it takes none any more.
    async fn call<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(call(reply)).await.ok()?;
        answer.await.ok()
    }

    fn frozen(&self, came: Instant) -> Response {
        let since = self.asked().unwrap_or(came);
        refuse(format!(
            "the main loop has not answered for {:.1} s: it is frozen, and nobody else knows the state",
            since.elapsed().as_secs_f64()
        ))
    }

    fn asked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stopping() -> Response {
    refuse("the daemon is stopping")
}

/// An answer that says why there is no other.
pub(super) fn refuse(message: impl Into<String>) -> Response {
    Response::Error(Failure::new(message))
}

#[cfg(test)]
mod tests;
