//! The story of a move: which change of a virtual router's state somebody asks about, what came before and after it,
//! and for how long clients had no answer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;

/// What happened so long before a move may be its cause.
const BEFORE: u64 = 10_000_000;
/// What happened so long after it may follow from it.
const AFTER: u64 = 2_000_000;
/// Lines of each, the nearest.
const MOST: usize = 12;

/// A change of state, and what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Story {
    /// The change.
    pub change: Event,
    /// What came before it, oldest first.
    pub before: Vec<Event>,
    /// What came with it and after it.
    pub after: Vec<Event>,
    /// The next change of that virtual router.
    pub next: Option<Event>,
    /// What it meant for clients.
    pub outage: Outage,
}

/// For how long nobody answered for the addresses, as far as this host can know.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outage {
    /// The change moved no address to or from this host.
    None,
    /// The role was handed over: the old master answered until the new one did.
    HandedOver,
    /// The old master was silent; from its last sign of life until the addresses were here.
    About {
        /// In milliseconds.
        ms: f64,
    },
    /// The old master's adverts were dropped here: it may have answered all the time, and may still.
    Unheard,
    /// Nobody was known to be master before.
    Unknown,
    /// The addresses are gone from here; whoever took over knows the rest.
    AskTheOther,
}

/// Finds the change of `instance` that `at` is about: the nearest one, or the latest move of its addresses, or else the
/// latest change. `events` are oldest first.
#[must_use]
pub fn story(events: &[Event], instance: &str, at: Option<SystemTime>) -> Option<Story> {
    let changes = || {
        let of =
            move |event: &&Event| event.kind == "transition" && event.instance.as_deref() == Some(instance);
        events.iter().filter(of)
    };
    let change = match at {
        Some(at) => {
            let at = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros();
            changes().min_by_key(|event| u128::from(event.unix_us).abs_diff(at))
        }
        None => changes().rfind(|event| moves(event)).or_else(|| changes().next_back()),
    }?;
    let place = events.iter().position(|event| std::ptr::eq(event, change))?;
    let near = |event: &&Event| concerns(event, change);
    let (earlier, rest) = events.split_at(place);
    let later = rest.get(1..).unwrap_or_default();
    let mut before: Vec<Event> = earlier
        .iter()
        .rev()
        .take_while(|event| event.unix_us + BEFORE >= change.unix_us)
        .filter(near)
        .take(MOST)
        .cloned()
        .collect();
    before.reverse();
    let after: Vec<Event> = later
        .iter()
        .take_while(|event| event.unix_us <= change.unix_us + AFTER)
        .filter(near)
        .take(MOST)
        .cloned()
        .collect();
    let next = changes().find(|event| event.unix_us > change.unix_us && moves(event)).cloned();
    let outage = outage(change, &before, &after);
    Some(Story { change: change.clone(), before, after, next, outage })
}

/// Whether addresses came or went.
fn moves(event: &Event) -> bool {
    let master = |state: &Option<String>| matches!(state.as_deref(), Some("MASTER" | "LEAVING"));
    master(&event.from) != master(&event.to)
}

/// Whether an event may have to do with a change.
fn concerns(event: &Event, change: &Event) -> bool {
    match event.kind.as_str() {
        "transition" | "priority" | "resumed" | "rejected" | "neighbour" if event.instance.is_some() => {
            event.instance == change.instance
        }
        "peer" | "link" | "stall" | "fence" | "rejected" => {
            event.interface.is_none() || event.interface == change.interface
        }
        "tracker" | "configuration" | "start" | "stop" | "group" | "installed" | "lost" | "address" => true,
        _ => false,
    }
}

fn outage(change: &Event, before: &[Event], after: &[Event]) -> Outage {
    if !moves(change) {
        return Outage::None;
    }
    if change.to.as_deref() != Some("MASTER") {
        return Outage::AskTheOther;
    }
    let dropped =
        |event: &Event| event.kind == "rejected" && event.peer.is_some() && event.peer == change.peer;
    if change.reason.as_deref() == Some("master down") && before.iter().any(dropped) {
        return Outage::Unheard;
    }
    match (change.reason.as_deref(), change.silent_ms) {
        (
            Some("master unreachable" | "master orphaned" | "master's lease expired" | "master down"),
            Some(silent),
        ) => {
            let took = after.iter().find(|event| event.kind == "installed").and_then(|event| event.took_us);
            let took = took.map_or(Duration::ZERO, Duration::from_micros);
            Outage::About { ms: silent + took.as_secs_f64() * 1000.0 }
        }
        (Some("preempted a lower master" | "master lowered its priority" | "master resigned"), _) => {
            Outage::HandedOver
        }
        _ => Outage::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: u64, kind: &str, instance: Option<&str>) -> Event {
        Event {
            format: 1,
            unix_us: second * 1_000_000,
            kind: kind.to_owned(),
            instance: instance.map(str::to_owned),
            interface: Some("ens160".to_owned()),
            text: format!("{kind} at {second}"),
            ..Event::default()
        }
    }

    fn change(second: u64, from: &str, to: &str, reason: &str, silent_ms: Option<f64>) -> Event {
        let (from, to) = (Some(from.to_owned()), Some(to.to_owned()));
        Event {
            from,
            to,
            reason: Some(reason.to_owned()),
            silent_ms,
            ..event(second, "transition", Some("VI_1"))
        }
    }

    fn night() -> Vec<Event> {
        vec![
            event(900, "peer", None),
            change(1000, "BACKUP", "MASTER", "no master heard", None),
            event(1995, "link", None),
            Event { instance: Some("VI_2".to_owned()), ..change(1999, "BACKUP", "MASTER", "owner", None) },
            event(1999, "peer", None),
            change(2000, "BACKUP", "MASTER", "master unreachable", Some(2.5)),
            Event { took_us: Some(500), ..event(2000, "installed", None) },
            change(3000, "MASTER", "BACKUP", "higher priority heard", None),
            change(3600, "BACKUP", "FAULT", "not ready", None),
        ]
    }

    #[test]
    fn the_latest_move_or_the_one_that_is_asked_for() {
        let told = |at: Option<u64>| {
            let at = at.map(|second| UNIX_EPOCH + Duration::from_secs(second));
            story(&night(), "VI_1", at).map(|story| (story.change.unix_us / 1_000_000, story.outage))
        };
        assert_eq!(told(None), Some((3000, Outage::AskTheOther)));
        assert_eq!(told(Some(2100)), Some((2000, Outage::About { ms: 3.0 })));
        assert_eq!(told(Some(0)), Some((1000, Outage::Unknown)));
        assert_eq!(told(Some(9999)), Some((3600, Outage::None)));
        assert!(story(&night(), "VI_3", None).is_none());
    }

    #[test]
    fn a_master_whose_adverts_were_dropped_may_have_answered() {
        let peer = Some("172.16.1.1".to_owned());
        let rejected = Event { peer: peer.clone(), ..event(1997, "rejected", Some("VI_1")) };
        let moved = Event { peer, ..change(2000, "BACKUP", "MASTER", "master down", Some(3600.0)) };
        let told = story(&[rejected, moved.clone()], "VI_1", None).map(|story| story.outage);
        assert_eq!(told, Some(Outage::Unheard));
        assert_eq!(
            story(&[moved], "VI_1", None).map(|story| story.outage),
            Some(Outage::About { ms: 3600.0 })
        );
    }

    #[test]
    fn what_came_before_and_after_belongs_to_it() {
        let at = Some(UNIX_EPOCH + Duration::from_secs(2000));
        let told = story(&night(), "VI_1", at).expect("a story");
        let texts = |events: &[Event]| events.iter().map(|event| event.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&told.before), ["link at 1995", "peer at 1999"]);
        assert_eq!(texts(&told.after), ["installed at 2000"]);
        assert_eq!(told.next.map(|next| next.unix_us), Some(3_000_000_000));
    }
}
