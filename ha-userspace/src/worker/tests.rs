//! How threads start, hear and end.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;

/// Nothing here takes longer on a machine that works at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// A worker of each kind that passes its orders on, and says when it was told to end.
fn parrots(heard: &Sender<Option<u32>>) -> [Worker<u32>; 3] {
    let (plain, polling, tasks) = (heard.clone(), heard.clone(), heard.clone());
    let plain = Worker::start("xvrrp-plain", move |orders| {
        orders.iter().for_each(|order| plain.send(Some(order)).expect("a listener"));
        plain.send(None).expect("a listener");
    });
    let polling = Worker::start_polling("xvrrp-polling", move |inbox: Inbox<u32>| {
        loop {
            match inbox.take() {
                Ok(order) => polling.send(Some(order)).expect("a listener"),
                Err(TryRecvError::Empty) => {
                    poll(&mut [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)
                        .expect("an answer");
                }
                Err(TryRecvError::Disconnected) => return polling.send(None).expect("a listener"),
            }
        }
    });
    let tasks = Worker::start_tasks("xvrrp-tasks", async move |mut orders: UnboundedReceiver<u32>| {
        while let Some(order) = orders.recv().await {
            tasks.send(Some(order)).expect("a listener");
        }
        tasks.send(None).expect("a listener");
    });
    [plain, polling, tasks].map(|worker| worker.expect("a thread"))
}

fn next(heard: &Receiver<Option<u32>>) -> Option<u32> {
    heard.recv_timeout(PATIENCE).expect("something in time")
}

/// A worker that hangs until the sender is dropped.
fn hanging() -> (Worker<Infallible>, Sender<Infallible>) {
    let (gate, opens) = channel::<Infallible>();
    let worker = Worker::start("xvrrp-hanging", move |_| assert!(opens.recv().is_err())).expect("a thread");
    (worker, gate)
}

#[test]
fn an_order_wakes_a_thread_that_waits() {
    let (told, heard) = channel();
    for mut worker in parrots(&told) {
        for order in 1..=3 {
            assert!(worker.tell(order));
            assert_eq!(next(&heard), Some(order));
        }
        assert!(worker.stop(PATIENCE));
        assert_eq!(next(&heard), None);
        assert!(!worker.tell(4) && !worker.is_running());
    }
}

#[test]
fn what_was_ordered_before_the_end_is_done() {
    let (told, heard) = channel();
    for mut worker in parrots(&told) {
        for order in 1..=1000 {
            worker.tell(order);
        }
        worker.finish();
        let done: Vec<_> = heard.try_iter().collect();
        assert_eq!(done.len(), 1001);
        assert!(done.into_iter().eq((1..=1000).map(Some).chain([None])));
    }
}

#[test]
fn dropping_tells_the_thread_to_end() {
    let (told, heard) = channel();
    for worker in parrots(&told) {
        drop(worker);
        assert_eq!(next(&heard), None);
    }
}

#[test]
fn orders_and_their_end_wake_a_thread_in_poll() {
    let (told, heard) = channel();
    let worker = Worker::start_polling("xvrrp-polling", move |inbox: Inbox<u32>| {
        for _ in 0..2 {
            // Whatever is told from here on, there is nothing now.
            assert_eq!(inbox.take(), Err(TryRecvError::Empty));
            told.send(None).expect("a listener");
            poll(&mut [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).expect("an answer");
            told.send(Some(inbox.take())).expect("a listener");
        }
    })
    .expect("a thread");
    let next = || heard.recv_timeout(PATIENCE).expect("something in time");
    assert_eq!(next(), None);
    worker.tell(7);
    assert_eq!((next(), next()), (Some(Ok(7)), None));
    drop(worker);
    assert_eq!(next(), Some(Err(TryRecvError::Disconnected)));
}

#[test]
fn a_thread_that_hangs_is_waited_for_as_long_as_was_said() {
    let (mut worker, gate) = hanging();
    let (start, patience) = (Instant::now(), Duration::from_millis(30));
    assert!(!worker.stop(patience));
    assert!(start.elapsed() >= patience);
    assert!(worker.is_running());
    drop(gate);
    assert!(worker.stop(PATIENCE));
}

#[test]
fn dropping_does_not_wait() {
    let (worker, gate) = hanging();
    // Never returns otherwise.
    drop(worker);
    drop(gate);
}

#[test]
fn a_lookup_that_hangs_does_not_hold_up_the_end() {
    let (gate, opens) = channel::<Infallible>();
    let (told, heard) = channel();
    let mut worker = Worker::<Infallible>::start_tasks("xvrrp-tasks", async move |mut orders| {
        tokio::task::spawn_blocking(move || {
            told.send(comm()).expect("a listener");
            opens.recv()
        });
        assert_eq!(orders.recv().await, None);
    })
    .expect("a thread");
    assert_eq!(heard.recv_timeout(PATIENCE).expect("something in time"), "xvrrp-lookup");
    assert!(worker.stop(PATIENCE));
    drop(gate);
}

#[test]
fn an_order_to_a_thread_that_has_ended_is_not_heard() {
    let mut worker = Worker::<()>::start("xvrrp-short", drop).expect("a thread");
    let start = Instant::now();
    while worker.is_running() {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(LOOK);
    }
    assert!(!worker.tell(()));
    assert!(worker.stop(Duration::ZERO));
}

#[test]
fn the_kernel_knows_the_name() {
    let (told, heard) = channel();
    let longest = "xvrrp-123456789";
    let worker = Worker::<Infallible>::start(longest, move |_| told.send(comm()).expect("a listener"));
    assert_eq!(heard.recv_timeout(PATIENCE).expect("something in time"), longest);
    drop(worker);
}

fn comm() -> String {
    std::fs::read_to_string("/proc/thread-self/comm").expect("a name").trim().to_owned()
}
