//! What a host's file says.

use ha_common::machine::Params;
use ha_common::node::{InterfaceId, Settings};
use ha_common::packet::Auth;
use ha_common::time::Span;
use ha_common::types::Priority;
use ha_common::{announce, judge};

use crate::sim::letter::{OURS, Terms};
use crate::sim::place::Place;

/// How long a host vouches for itself.
pub(super) const LEASE: Span = Span::from_millis(100);

/// A virtual router as the file of a host has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Instance {
    pub(in crate::sim) on: InterfaceId,
    pub(in crate::sim) params: Params,
    pub(in crate::sim) priority: Priority,
    pub(in crate::sim) fast: bool,
    pub(in crate::sim) virtual_mac: bool,
    pub(in crate::sim) hot_standby: bool,
    /// Its sync group.
    pub(in crate::sim) group: Option<u32>,
    /// Which of several virtual addresses it has: adverts with another one are not accepted.
    pub(in crate::sim) address: u8,
}

impl Instance {
    pub(in crate::sim) const fn place(&self) -> Place {
        (self.on, self.params.family, self.params.vrid)
    }

    /// How it speaks, and what it accepts.
    pub(super) const fn terms(&self) -> Terms {
        Terms {
            place: self.place(),
            version: self.params.version,
            interval: self.params.interval,
            auth: Auth::None,
            listed: false,
            address: OURS + self.address,
        }
    }

    /// What the node is told.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            interface: self.on,
            params: self.params,
            priority: self.priority,
            fast: self.fast,
            judge: judge::Settings::default(),
            lease: LEASE,
            announce: announce::Settings {
                repeat: 1,
                delay: Span::ZERO,
                refresh: Span::from_millis(700),
                refresh_repeat: 1,
            },
            again: (Span::ZERO, 1),
            virtual_mac: self.virtual_mac,
            hot_standby: self.hot_standby,
            owner_ignores_adverts: false,
        }
    }
}
