//! Many clients, one main loop: paused time, so that nothing depends on how fast the machine is.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::control::protocol::Status;

/// A main loop that numbers its snapshots: `pid` is the number.
fn numbering(mut calls: mpsc::Receiver<Call>) -> Arc<AtomicU64> {
    let handed_out = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&handed_out);
    tokio::spawn(async move {
        while let Some(call) = calls.recv().await {
            let Call::Status(reply) = call else { continue };
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            let known = Status { started_ms_ago: number, ..Status::default() };
            let rest = Box::new(|status: &mut Status| status.warnings.push("completed".to_owned()));
            let _ = reply.send(Arc::new(Snapshot::new(known, rest)));
        }
    });
    handed_out
}

fn number(response: &Arc<Response>) -> u64 {
    let Response::Status(status) = &**response else { panic!("{response:?}") };
    assert_eq!(status.warnings, ["completed"]);
    status.started_ms_ago
}

fn message(response: &Arc<Response>) -> &str {
    let Response::Error(failure) = &**response else { panic!("{response:?}") };
    &failure.message
}

#[tokio::test(start_paused = true)]
async fn clients_in_a_tight_loop_cost_the_main_loop_a_snapshot_in_a_while() {
    let (asker, calls) = Asker::new();
    let handed_out = numbering(calls);
    let asker = Arc::new(asker);
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..10 {
        let asker = Arc::clone(&asker);
        clients.spawn(async move {
            let mut latest = 0;
            for _ in 0..100 {
                let number = number(&asker.ask(Request::Status).await);
                assert!(number > latest, "an answer from before the request: {number} after {latest}");
                latest = number;
            }
        });
    }
    clients.join_all().await;
    let periods = began.elapsed().as_millis() / EVERY.as_millis();
    let handed_out = u128::from(handed_out.load(Ordering::Relaxed));
    assert!(handed_out <= periods + 1, "{handed_out} in {periods} periods");
    // A thousand requests, and each client still got a hundred different answers.
    assert!((100..200).contains(&handed_out), "{handed_out}");
}

#[tokio::test(start_paused = true)]
async fn one_request_does_not_wait() {
    let (asker, calls) = Asker::new();
    numbering(calls);
    for n in 1..5 {
        let began = Instant::now();
        assert_eq!(number(&asker.ask(Request::Status).await), n);
        assert_eq!(began.elapsed(), Duration::ZERO);
        tokio::time::sleep(EVERY).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_main_loop_is_an_error_that_says_for_how_long() {
    let (asker, mut calls) = Asker::new();
    let asker = Arc::new(asker);
    let mut clients = JoinSet::new();
    // More than there is room for in the queue.
    for _ in 0..3 * CALLS {
        let asker = Arc::clone(&asker);
        clients.spawn(async move { asker.ask(Request::Status).await });
    }
    let began = Instant::now();
    for response in clients.join_all().await {
        assert!(message(&response).contains("has not answered for 1.0 s: it is frozen"), "{response:?}");
    }
    assert_eq!(began.elapsed(), PATIENCE);
    let later = asker.ask(Request::Counters).await;
    assert!(message(&later).contains("for 2.0 s"), "{later:?}");

    // It goes on: nobody waits for the old calls, and what is asked now is answered.
    while let Ok(call) = calls.try_recv() {
        match call {
            Call::Status(reply) => assert!(reply.is_closed()),
            Call::Counters(reply) => assert!(reply.is_closed()),
            Call::Order(..) => panic!("nobody gave an order"),
        }
    }
    numbering(calls);
    assert_eq!(number(&asker.ask(Request::Status).await), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_may_take_longer_and_says_nothing_about_the_main_loop() {
    let (asker, mut calls) = Asker::new();
    let asker = Arc::new(asker);
    let ordering = Arc::clone(&asker);
    let order =
        tokio::spawn(async move { ordering.ask(Request::Reload { force: false, dry_run: false }).await });
    let Some(Call::Order(Order::Reload { .. }, reply)) = calls.recv().await else { panic!("a reload") };
    tokio::time::sleep(5 * PATIENCE).await;
    let frozen = asker.ask(Request::Status).await;
    assert!(message(&frozen).contains("for 1.0 s"), "{frozen:?}");
    reply.send(Response::Stopping).expect("it waits");
    assert_eq!(*order.await.expect("no panic"), Response::Stopping);
}

#[tokio::test]
async fn a_main_loop_that_has_ended_is_told_apart() {
    let (asker, calls) = Asker::new();
    drop(calls);
    for request in [Request::Status, Request::Counters, Request::Stop] {
        assert_eq!(message(&asker.ask(request).await), "the daemon is stopping");
    }
}
