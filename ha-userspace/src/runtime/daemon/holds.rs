//! What an operator holds instances to: orders of the control socket, and what outlives a reload and a restart.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use ha_common::node::{Hold, HoldKind, RouterId};
use ha_common::time::Time;

use super::Daemon;
use crate::control::protocol::{Failure, Held, HeldInstance, HoldRequest, HoldStatus, Response};
use crate::logging::clock::second;
use crate::net::clock;
use crate::runtime::holds;
use crate::runtime::router::Router;

impl Daemon {
    /// Holds instances or lets them go.
    pub(super) fn hold(&mut self, request: &HoldRequest) -> Response {
        let kind = match request.kind.as_deref().map(|word| (word, holds::kind(word))) {
            None => None,
            Some((_, Some(kind))) => Some(kind),
            Some((word, None)) => {
                return Response::Error(Failure::new(format!("'{word}' is no kind of hold")));
            }
        };
        let wanted = match self.meant(&request.instances) {
            Ok(wanted) => wanted,
            Err(message) => return Response::Error(Failure::new(message)),
        };
        let length = Duration::from_secs(request.seconds).min(holds::LONGEST);
        let order: Vec<RouterId> = self.in_file_order().into_iter().map(|router| router.id).collect();
        let mut held = Held::default();
        for id in order.into_iter().filter(|id| wanted.contains(id)) {
            held.instances.push(self.hold_one(id, kind, length, request.force));
        }
        Response::Held(held)
    }

    /// The instances of these names, and the other members of their sync groups; all where there is no name.
    fn meant(&self, names: &[String]) -> Result<BTreeSet<RouterId>, String> {
        let live = || self.routers.iter().filter(|router| !self.node[router.id].is_retired());
        if names.is_empty() {
            return Ok(live().map(|router| router.id).collect());
        }
        let mut meant = BTreeSet::new();
        for name in names {
            let Some(found) = live().find(|router| router.config.name == *name) else {
                let all: Vec<_> = live().map(|router| router.config.name.as_str()).collect();
                return Err(format!("there is no instance {name}; there are {}", all.join(", ")));
            };
            let group = self.node[found.id].group();
            let together = |router: &&Router| {
                router.id == found.id || (group.is_some() && self.node[router.id].group() == group)
            };
            meant.extend(live().filter(together).map(|router| router.id));
        }
        Ok(meant)
    }

    fn hold_one(
        &mut self,
        id: RouterId,
        kind: Option<HoldKind>,
        length: Duration,
        force: bool,
    ) -> HeldInstance {
        let now = clock::now();
        let name = self.routers[id].config.name.clone();
        let state = self.node[id].machine().state().word().to_owned();
        let mut answer = HeldInstance { name, state, refused: String::new() };
        let hold = kind.map(|kind| Hold { kind, until: now.after(length.into()) });
        if !self.with_kernel(|node, kernel| node.hold(id, hold, now, kernel)) {
            "priority 255: the addresses are its own, and no other router may have them"
                .clone_into(&mut answer.refused);
            return answer;
        }
        let (wall, name) = (SystemTime::now(), &answer.name);
        match kind {
            Some(kind) => {
                self.life.holds.put(name, kind, length, wall);
                let end = second(wall + length);
                let word = kind.word();
                tracing::info!(
                    kind = "hold",
                    instance = name,
                    reason = word,
                    "({name}) is {word} by the operator until {end}"
                );
            }
            None => {
                if self.life.holds.remove(name) {
                    tracing::info!(
                        kind = "hold",
                        instance = name,
                        reason = "released",
                        "({name}) is held no longer, by the operator"
                    );
                }
            }
        }
        self.perform();
        if kind == Some(HoldKind::Resigned) && force {
            self.node.give_away(id, now);
            self.perform();
        }
        answer
    }

    /// After a start or a reload: instances that are held and do not know it yet.
    pub(super) fn restore_holds(&mut self) {
        let (now, wall) = (clock::now(), SystemTime::now());
        for id in self.routers.ids() {
            let kept = self.life.holds.of(&self.routers[id].config.name);
            let Some((kind, left)) = kept.and_then(|kept| Some((kept.kind()?, kept.left(wall)))) else {
                continue;
            };
            if self.node[id].hold().is_none() && !self.node[id].is_retired() && !left.is_zero() {
                let hold = Some(Hold { kind, until: now.after(left.into()) });
                self.with_kernel(|node, kernel| node.hold(id, hold, now, kernel));
            }
        }
        self.perform();
    }

    /// For `status`.
    pub(super) fn hold_status(&self, router: &Router, now: Time) -> Option<HoldStatus> {
        let hold = self.node[router.id].hold()?;
        let kept = self.life.holds.of(&router.config.name)?;
        Some(HoldStatus {
            kind: hold.kind.word().to_owned(),
            left_ms: hold.until.span_since(now).0 / 1_000_000,
            until: crate::logging::clock::rfc3339(kept.until()),
        })
    }
}
