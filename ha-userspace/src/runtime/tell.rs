//! From what happened in a turn to what others are told: which notes are events for scripts, FIFOs and mail.

use ha_common::machine::{Reason, State};
use ha_common::node::RouterId;
use ha_common::time::{Span, Time};

use super::note::{Note, Scene};
use super::router::Router;
use super::vips::vips;
use crate::notify::webhook::Details;
use crate::notify::{Event, What};

/// A master that is claimed against by every advert of a flood does not start a script for each.
const LOWER_PRIORITY_EVERY: Span = Span::from_millis(100);

/// The event that a note is, if it is one.
pub(super) fn event(note: &Note, scene: Scene<'_>) -> Option<Event> {
    let Scene { routers, node, .. } = scene;
    let instance = |id: RouterId, what: What| {
        let router = routers.get(id)?;
        let priority = node.router(id)?.machine().priority().get();
        let details = details(router, note, scene);
        Some(Event { details, ..Event::of_instance(router.config.name.clone(), what, priority) })
    };
    match note {
        Note::Transition { router: n, from, to, .. } => {
            let core = node.router(*n)?;
            let what = match (from, to) {
                (_, State::Master) => What::Master,
                (_, State::Backup) => What::Backup,
                // Its scripts have not answered yet: nobody knows whether it is a fault.
                (State::Init, State::Fault) if core.awaits_trackers() => return None,
                (_, State::Fault) => What::Fault,
                // That it leaves was told when it began.
                (State::Leaving, State::Init) => return None,
                (_, State::Leaving | State::Init) if core.is_retired() => What::Deleted,
                (_, State::Leaving | State::Init) => What::Stop,
            };
            instance(*n, what)
        }
        Note::Resumed { router } => instance(*router, What::Master),
        Note::FaultAfterAll { router } => instance(*router, What::Fault),
        Note::LowerPriority { router } => instance(*router, What::MasterRxLowerPri),
        Note::Priority { router: n } => {
            let master = node.router(*n)?.machine().state() == State::Master;
            instance(*n, if master { What::MasterPriority } else { What::BackupPriority })
        }
        Note::GroupState { group, state } => {
            let what = match state {
                State::Master => What::Master,
                State::Backup => What::Backup,
                State::Fault => What::Fault,
                State::Init | State::Leaving => What::Stop,
            };
            Some(Event::of_group(group.clone(), what))
        }
        _ => None,
    }
}

/// What a webhook is told of an instance besides, where it has one.
pub(super) fn instance_details(router: &Router) -> Option<Box<Details>> {
    let config = &router.config;
    config.notify.webhook.as_ref()?;
    Some(Box::new(Details {
        interface: config.interface.clone(),
        vrid: config.vrid.get(),
        addresses: vips(config).map(|vip| format!("{}/{}", vip.address, vip.prefix)).collect(),
        ..Details::default()
    }))
}

/// The same, with what happened to it.
fn details(router: &Router, note: &Note, scene: Scene<'_>) -> Option<Box<Details>> {
    let mut details = instance_details(router)?;
    match note {
        Note::Transition { from, to, reason, .. } => {
            details.moved = Some((from.word(), to.word()));
            details.reason = Some(reason.word());
            details.why = note.why(scene);
        }
        Note::Resumed { .. } => details.reason = Some("resumed"),
        Note::FaultAfterAll { .. } => {
            details.reason = Some(Reason::NotReady.word());
            details.why = Some(router.noted.fault.join("; "));
        }
        _ => {}
    }
    Some(details)
}

/// Whether a lower-priority advert at `now` is told of.
pub(super) fn lower_priority(router: &mut Router, now: Time) -> bool {
    let due = router.noted.lower_priority.is_none_or(|last| last.after(LOWER_PRIORITY_EVERY) <= now);
    if due {
        router.noted.lower_priority = Some(now);
    }
    due
}
