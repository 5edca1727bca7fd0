//! The thread that serves the control socket, `xvrrp-control`.
//!
//! It has no real-time priority and an event loop of its own.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::asker::{Asker, Call};
use super::server::Server;
use crate::realtime;

/// How long its end is waited for: a little longer than it lets its last clients have.
const PATIENCE: Duration = Duration::from_millis(100);

/// The thread's handle. Dropping it, after the receiver of the calls, waits until the last answers are written, for a
/// while.
#[derive(Debug)]
pub struct Control {
    /// `None` once it serves.
    begin: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Starts the thread; it does not serve yet. Calls go to the receiver, those of others that have the asker too. Must
    /// not be called inside a tokio runtime.
    ///
    /// # Errors
    /// The thread or its event loop could not be made.
    pub fn start(server: Server) -> io::Result<(Self, Arc<Asker>, mpsc::Receiver<Call>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let (asker, calls, serving) = server.serve()?;
        drop(inside);
        let (begin, begins) = oneshot::channel();
        let thread = Builder::new().name("xvrrp-control".to_owned()).spawn(move || {
            realtime::prefer_this_thread();
            runtime.block_on(async {
                if begins.await.is_ok() {
                    serving.await;
                }
            });
        })?;
        Ok((Self { begin: Some(begin), thread: Some(thread) }, asker, calls))
    }

    /// The main loop answers from now on. Whoever connected before has waited.
    pub fn serve(&mut self) {
        if let Some(begin) = self.begin.take() {
            let _ = begin.send(());
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.begin = None;
        let Some(thread) = self.thread.take() else { return };
        let patience = Instant::now() + PATIENCE;
        while !thread.is_finished() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
