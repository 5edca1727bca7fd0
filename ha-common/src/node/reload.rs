//! A new configuration: which virtual routers go on, which are taken out, which are new.
//!
//! What a virtual router *is* decides, not what it is set to: interface, VRID, family and version. As long as they stay, it
//! keeps its state, its timers and its addresses, whatever else changes.

use alloc::vec::Vec;

use super::Node;
use super::io::RouterId;
use super::router::Settings;
use crate::time::Time;

/// What becomes of a virtual router that a new configuration has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on, as it was.
    Unchanged(RouterId),
    /// It goes on, with new settings.
    Configured(RouterId),
    /// It is new.
    Added(RouterId),
}

impl Fate {
    /// Whose fate it is.
    #[must_use]
    pub const fn id(self) -> RouterId {
        match self {
            Self::Unchanged(id) | Self::Configured(id) | Self::Added(id) => id,
        }
    }
}

/// What a new configuration has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Those that the new configuration does not have. They leave gracefully.
    pub retired: Vec<RouterId>,
    /// For each that it has, in its order.
    pub fates: Vec<Fate>,
}

impl Settings {
    /// Whether these are settings of the same virtual router.
    #[must_use]
    pub fn is_same_router(&self, other: &Self) -> bool {
        let identity = |of: &Self| (of.interface, of.params.vrid, of.params.family, of.params.version);
        identity(self) == identity(other)
    }
}

impl Node {
    /// The virtual router that goes on with these settings, if there is one.
    #[must_use]
    pub fn running(&self, settings: &Settings) -> Option<RouterId> {
        let goes_on = |router: &&super::Router| !router.retired && router.settings.is_same_router(settings);
        self.routers.iter().find(goes_on).map(|router| router.id)
    }

    /// Puts a new configuration into force, at start as well as later. `differs` says for the n-th of `wanted` whether what
    /// the node does not see of it (a password, addresses) is another than that of the virtual router that goes on as it.
    ///
    /// [`Node::regroup`] follows. Those that are new start when they are fit.
    pub fn reload(
        &mut self,
        wanted: &[Settings],
        differs: impl Fn(usize, RouterId) -> bool,
        now: Time,
    ) -> Reload {
        let gone = |router: &&super::Router| {
            !router.retired && !wanted.iter().any(|settings| settings.is_same_router(&router.settings))
        };
        let retired: Vec<_> = self.routers.iter().filter(gone).map(|router| router.id).collect();
        for id in &retired {
            self.retire(*id, now);
        }
        let mut fates = Vec::with_capacity(wanted.len());
        for (n, settings) in wanted.iter().enumerate() {
            fates.push(match self.running(settings) {
                None => Fate::Added(self.add(*settings, now)),
                Some(id) if self[id].settings != *settings || differs(n, id) => {
                    self.configure(id, *settings, now);
                    Fate::Configured(id)
                }
                Some(id) => Fate::Unchanged(id),
            });
        }
        Reload { retired, fates }
    }
}
