//! The thread that serves the control socket, `xvrrp-control`.
//!
//! It has no real-time priority and an event loop of its own.

use std::io;
use std::pin::Pin;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use super::asker::Call;
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
    /// Starts the thread; it does not serve yet. Calls go to the receiver.
    ///
    /// # Errors
    /// The thread or its event loop could not be made.
    pub fn start(server: Server) -> io::Result<(Self, mpsc::Receiver<Call>)> {
        let (begin, begins) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = Builder::new().name("xvrrp-control".to_owned()).spawn(move || {
            realtime::prefer_this_thread();
            match prepare(server) {
                Ok((runtime, calls, serving)) => {
                    let _ = tell.send(Ok(calls));
                    runtime.block_on(async {
                        if begins.await.is_ok() {
                            serving.await;
                        }
                    });
                }
                Err(error) => _ = tell.send(Err(error)),
            }
        })?;
        let calls = told.recv().map_err(io::Error::other)??;
        Ok((Self { begin: Some(begin), thread: Some(thread) }, calls))
    }

    /// The main loop answers from now on. Whoever connected before has waited.
    pub fn serve(&mut self) {
        if let Some(begin) = self.begin.take() {
            let _ = begin.send(());
        }
    }
}

type Serving = (Runtime, mpsc::Receiver<Call>, Pin<Box<dyn Future<Output = ()>>>);

/// The event loop, and what it is for.
fn prepare(server: Server) -> io::Result<Serving> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let inside = runtime.enter();
    let (calls, serving) = server.serve()?;
    drop(inside);
    Ok((runtime, calls, Box::pin(serving)))
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
