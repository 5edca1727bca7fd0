use std::time::Duration;

use ha_common::time::Span;

use super::*;

const A_MOMENT: Duration = Duration::from_millis(20);

async fn fires(timer: &mut Timer, within: Duration) -> bool {
    tokio::time::timeout(within, timer.expired()).await.is_ok_and(|result| result.is_ok())
}

#[tokio::test]
async fn a_deadline_in_the_past_fires_at_once() {
    let mut timer = Timer::new().expect("a timer");
    for past in [Time(0), Time(1), clock::now()] {
        timer.arm(Some(past)).expect("armed");
        assert!(fires(&mut timer, Duration::from_secs(5)).await, "{past:?}");
        assert_eq!(timer.armed(), None);
    }
}

#[tokio::test]
async fn a_deadline_fires_when_it_is_due_and_not_before() {
    let mut timer = Timer::new().expect("a timer");
    let deadline = clock::now().after(Span::from_millis(30));
    timer.arm(Some(deadline)).expect("armed");
    assert!(fires(&mut timer, Duration::from_secs(5)).await);
    assert!(clock::now() >= deadline);
}

#[tokio::test]
async fn a_timer_that_is_not_armed_never_fires() {
    let mut timer = Timer::new().expect("a timer");
    assert!(!fires(&mut timer, A_MOMENT).await);
    timer.arm(Some(Time(1))).expect("armed");
    for never in [None, Some(Time::NEVER)] {
        timer.arm(never).expect("disarmed");
        assert_eq!(timer.armed(), None);
        assert!(!fires(&mut timer, A_MOMENT).await, "{never:?}");
    }
    timer.arm(Some(Time(u64::MAX - 1))).expect("armed");
    assert!(!fires(&mut timer, A_MOMENT).await);
}

#[tokio::test]
async fn an_expiry_is_told_once_and_survives_cancelling() {
    let mut timer = Timer::new().expect("a timer");
    timer.arm(Some(clock::now().after(Span::from_millis(5)))).expect("armed");
    assert!(!fires(&mut timer, Duration::ZERO).await);
    std::thread::sleep(A_MOMENT);
    // The same deadline again must not start the timer anew.
    timer.arm(timer.armed()).expect("armed");
    assert!(fires(&mut timer, Duration::from_secs(5)).await);
    assert!(!fires(&mut timer, A_MOMENT).await);
    // The same point in time again is a new wish, once it has fired.
    timer.arm(Some(Time(1))).expect("armed");
    assert!(fires(&mut timer, Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_later_deadline_replaces_an_expiry_that_nobody_waited_for() {
    let mut timer = Timer::new().expect("a timer");
    timer.arm(Some(Time(1))).expect("armed");
    timer.arm(Some(clock::now().after(Span::from_secs(60)))).expect("armed");
    assert!(!fires(&mut timer, A_MOMENT).await);
}

#[tokio::test]
async fn deadlines_are_met_as_by_sleeping() {
    let mut timer = Timer::new().expect("a timer");
    let (mut lateness, mut slept): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let deadline = clock::now().after(Span::from_micros(1_700));
        timer.arm(Some(deadline)).expect("armed");
        timer.expired().await.expect("fires");
        lateness.push(clock::now().since(deadline));
        // The reference: what the kernel makes of a plain sleep here and now.
        let deadline = clock::now().after(Span::from_micros(1_700));
        std::thread::sleep(Duration::from_micros(1_700));
        slept.push(clock::now().since(deadline));
    }
    // The best of each, because the machine may be busy; a timer that counts milliseconds is late by 300 µs at its best.
    let best = |times: &[i64]| times.iter().copied().min().unwrap_or(i64::MAX);
    let (late, reference) = (best(&lateness), best(&slept));
    assert!((0..reference + 250_000).contains(&late), "{lateness:?}, slept {slept:?}");
}
