//! A thread with orders, a wake-up and a bounded stop.
//!
//! Whatever may wait for a disk, a program, a lock or a peer does so on a thread that takes orders from another one,
//! which waits for nothing. What lives here: how such a thread starts, hears of its orders and ends. What must not:
//! what any of them does. Its priority is its body's business too, first of all.
//!
//! A thread is told to end by the end of its orders, which come out before it: it finishes what it was told, and no flag
//! says whether it should.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longer names are cut by the kernel.
const LONGEST_NAME: usize = 15;
/// Threads beside one that runs tasks, for what can hang as long as the system lets it: names, files.
const LOOKUPS: usize = 32;
/// How often a stop looks whether the thread has ended: joining has no bound.
const LOOK: Duration = Duration::from_millis(1);

/// A thread that takes orders of one type. Dropping it tells the thread to end, without waiting for that.
pub(crate) struct Worker<T> {
    /// `None` once the thread has been told to end.
    orders: Option<Orders<T>>,
    thread: Option<JoinHandle<()>>,
}

/// The near end of the orders.
enum Orders<T> {
    Queue(mpsc::Sender<T>),
    Polled(mpsc::Sender<T>, Arc<EventFd>),
    Tasks(UnboundedSender<T>),
}

/// The far end for a thread that sits in poll(2). Its descriptor is readable when there are new orders, or their end.
pub(crate) struct Inbox<T> {
    orders: mpsc::Receiver<T>,
    wake: Arc<EventFd>,
}

impl<T> Inbox<T> {
    /// The next order, if there is one. [`TryRecvError::Disconnected`] tells the thread to end.
    pub(crate) fn take(&self) -> Result<T, TryRecvError> {
        // First, so that an order which comes after the look wakes the thread again.
        let _ = self.wake.read();
        self.orders.try_recv()
    }
}

impl<T> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl<T: Send + 'static> Worker<T> {
    /// Starts a thread that waits for its orders. `name` is the whole name, `xvrrp-…`, of at most 15 bytes.
    ///
    /// # Errors
    /// No thread is to be had.
    pub(crate) fn start(
        name: &str,
        body: impl FnOnce(mpsc::Receiver<T>) + Send + 'static,
    ) -> io::Result<Self> {
        let (orders, taken) = mpsc::channel();
        Self::spawn(name, Orders::Queue(orders), move || body(taken))
    }

    /// Starts a thread that waits in poll(2), for orders among other things.
    ///
    /// # Errors
    /// No thread or no descriptor is to be had.
    pub(crate) fn start_polling(
        name: &str,
        body: impl FnOnce(Inbox<T>) + Send + 'static,
    ) -> io::Result<Self> {
        let (orders, taken) = mpsc::channel();
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let inbox = Inbox { orders: taken, wake: Arc::clone(&wake) };
        Self::spawn(name, Orders::Polled(orders, wake), move || body(inbox))
    }

    /// Starts a thread that runs tasks. What it has others look up does not hold up its end.
    ///
    /// # Errors
    /// No thread or no event loop is to be had.
    pub(crate) fn start_tasks<F: Future<Output = ()>>(
        name: &str,
        body: impl FnOnce(UnboundedReceiver<T>) -> F + Send + 'static,
    ) -> io::Result<Self> {
        let (orders, taken) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUPS)
            .thread_name("xvrrp-lookup")
            .build()?;
        Self::spawn(name, Orders::Tasks(orders), move || {
            runtime.block_on(body(taken));
            runtime.shutdown_background();
        })
    }

    fn spawn(name: &str, orders: Orders<T>, body: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        debug_assert!(name.starts_with("xvrrp-") && name.len() <= LONGEST_NAME, "{name}");
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }
}

impl<T> Worker<T> {
    /// Gives an order, and never waits. False where the thread has ended, or was told to.
    pub(crate) fn tell(&self, order: T) -> bool {
        match &self.orders {
            Some(Orders::Queue(orders)) => orders.send(order).is_ok(),
            Some(Orders::Polled(orders, wake)) => {
                let heard = orders.send(order).is_ok();
                // It can only fail because the thread has 2^64 wake-ups to read already.
                let _ = wake.write(1);
                heard
            }
            Some(Orders::Tasks(orders)) => orders.send(order).is_ok(),
            None => false,
        }
    }

    /// Whether the thread has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Tells the thread to end, and does not wait.
    pub(crate) fn dismiss(&mut self) {
        match self.orders.take() {
            Some(Orders::Polled(orders, wake)) => {
                drop(orders);
                let _ = wake.write(1);
            }
            Some(Orders::Queue(_) | Orders::Tasks(_)) | None => {}
        }
    }

    /// Tells the thread to end and waits until it has, at most as long as `patience`. Whether it has ended; one that
    /// hangs is left behind.
    pub(crate) fn stop(&mut self, patience: Duration) -> bool {
        self.dismiss();
        let until = Instant::now() + patience;
        while self.is_running() && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
        !self.is_running()
    }

    /// Tells the thread to end and waits until it has, however long that takes: for work that must not be left half done.
    pub(crate) fn finish(&mut self) {
        self.dismiss();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl<T> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.thread.as_ref().and_then(|thread| thread.thread().name());
        write!(f, "worker {}", name.unwrap_or("that has ended"))
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.dismiss();
    }
}

#[cfg(test)]
mod tests;
