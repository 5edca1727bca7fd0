//! Whether XDP programs are still attached: asked on a thread of its own, and what follows where one is not.
//!
//! The kernel answers under the lock that every change of links and addresses takes; on a host that makes and removes
//! namespaces it can be held for a tenth of a second. The main loop must not wait for it: its adverts and its lease
//! would be late.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use crate::worker::Worker;
use crate::xdp::XdpInterface;

/// A question, with where the answer goes.
type Question = (Box<dyn FnOnce() -> bool + Send>, Sender<bool>);

/// How long a takeover waits for the answer, which comes within a few microseconds where nobody holds the lock. Where
/// somebody does, adding the addresses would wait as well: detaching itself holds it for some 20 ms.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long one waits for it that adds no addresses.
const IMPATIENCE: Duration = Duration::from_micros(300);

/// The thread's handle. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Inspector {
    worker: Worker<Question>,
}

/// An answer that is on its way.
#[derive(Debug)]
pub(super) struct Pending(Receiver<bool>);

impl Inspector {
    /// Starts the thread, which must not have real-time priority.
    pub(super) fn start() -> io::Result<Self> {
        let worker = Worker::start("xvrrp-inspect", |asked: Receiver<Question>| {
            for (question, answer) in asked {
                // Whoever asked may have closed the interface meanwhile.
                let _ = answer.send(question());
            }
        })?;
        Ok(Self { worker })
    }

    /// Asks; `None` where nothing can be asked.
    pub(super) fn ask(&self, interface: &XdpInterface) -> Option<Pending> {
        let question = interface.attachment()?;
        let (answer, pending) = channel();
        self.worker.tell((Box::new(question), answer)).then_some(Pending(pending))
    }
}

impl Pending {
    /// Whether the program is attached, where that is known by now. `urgent`: it is waited for, a little.
    pub(super) fn answer(self, urgent: bool) -> Result<bool, Option<Self>> {
        self.answer_within(urgent.then_some(PATIENCE))
    }

    /// The same by a takeover that needs nothing that waits for the kernel's lock: it gives up soon.
    pub(super) fn answer_soon(self) -> Result<bool, Option<Self>> {
        self.answer_within(Some(IMPATIENCE))
    }

    fn answer_within(self, patience: Option<Duration>) -> Result<bool, Option<Self>> {
        if let Some(patience) = patience {
            match self.0.recv_timeout(patience) {
                Ok(attached) => Ok(attached),
                Err(RecvTimeoutError::Timeout) => Err(Some(self)),
                Err(RecvTimeoutError::Disconnected) => Err(None),
            }
        } else {
            match self.0.try_recv() {
                Ok(attached) => Ok(attached),
                Err(TryRecvError::Empty) => Err(Some(self)),
                Err(TryRecvError::Disconnected) => Err(None),
            }
        }
    }
}
