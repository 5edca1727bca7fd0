//! From what happened in a turn to what others are told: which notes are events for scripts, FIFOs and mail.

use ha_common::machine::State;
use ha_common::node::{Node, RouterId};
use ha_common::time::{Span, Time};

use super::note::Note;
use super::router::Router;
use super::routers::Routers;
use crate::notify::{Event, Subject, What};

/// A master that is claimed against by every advert of a flood does not start a script for each.
const LOWER_PRIORITY_EVERY: Span = Span::from_millis(100);

/// The event that a note is, if it is one.
pub(super) fn event(note: &Note, routers: &Routers, node: &Node) -> Option<Event> {
    let instance = |id: RouterId, what: What| {
        let name = routers.get(id)?.config.name.clone();
        let priority = node.router(id)?.machine().priority().get();
        Some(Event { kind: Subject::Instance, name, what, priority })
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
            Some(Event { kind: Subject::Group, name: group.clone(), what, priority: 0 })
        }
        _ => None,
    }
}

/// Whether a lower-priority advert at `now` is told of.
pub(super) fn lower_priority(router: &mut Router, now: Time) -> bool {
    let due = router.noted.lower_priority.is_none_or(|last| last.after(LOWER_PRIORITY_EVERY) <= now);
    if due {
        router.noted.lower_priority = Some(now);
    }
    due
}
