//! What has been said of a virtual router, so that it is not said again with every advert.

use std::net::IpAddr;

use ha_common::counter::Counter;
use ha_common::time::{Span, Time};

use crate::logging::limit::Limiter;

/// What has been logged and is not logged again until it changes.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) addresses_differ: Option<IpAddr>,
    pub(super) interval_differs: Option<(IpAddr, u16)>,
    /// Whose adverts come without a trailer, and whose clock is off.
    pub(super) unsigned: Option<IpAddr>,
    pub(super) skewed: Option<IpAddr>,
    pub(super) duplicate: bool,
    /// Rejected packets: at most a few lines a minute, whatever arrives.
    pub(super) rejected: Option<(IpAddr, Counter)>,
    pub(super) rejections: Limiter,
    pub(super) send_failure: Option<nix::errno::Errno>,
    pub(super) fault: Vec<String>,
    pub(super) no_standby: Option<String>,
    /// It is fit itself: another member of its sync group is not.
    pub(super) held_back: bool,
    /// When a lower-priority advert was last told of.
    pub(super) lower_priority: Option<Time>,
}

impl Default for Noted {
    fn default() -> Self {
        Self {
            addresses_differ: None,
            interval_differs: None,
            unsigned: None,
            skewed: None,
            duplicate: false,
            rejected: None,
            rejections: Limiter::new(5, Span::from_secs(60)),
            send_failure: None,
            fault: Vec::new(),
            no_standby: None,
            held_back: false,
            lower_priority: None,
        }
    }
}
