//! What is static: addresses, routes and rules that are there from start to stop, whoever is master.

use super::routes::{Lack, RouteSet};
use crate::net::addresses::AddressSpec;

/// What is static, and how much of it is there.
#[derive(Debug, Default)]
pub(super) struct Statics {
    pub(super) routes: RouteSet,
    /// Addresses that were added by us.
    pub(super) there: Vec<AddressSpec>,
    /// Addresses that were there before.
    pub(super) foreign: Vec<AddressSpec>,
    pub(super) complete: bool,
    pub(super) lacking: Vec<Lack>,
    /// What was lacking when the machines were last told of it.
    told: Vec<Lack>,
}

impl Statics {
    /// Something may have been removed, or devices or configuration changed.
    pub(super) fn mark_dirty(&mut self) {
        self.complete = false;
    }

    /// Whether more or less is lacking than at the last call.
    pub(super) fn take_news(&mut self) -> bool {
        let lacking: Vec<Lack> = self.lacking.iter().chain(self.routes.lacking()).cloned().collect();
        let news = self.told != lacking;
        self.told = lacking;
        news
    }

    /// What of a `track_group` is not there, as sentences.
    pub(super) fn lacking<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.lacking.iter().chain(self.routes.lacking());
        all.filter(move |lack| lack.track_group.as_deref() == Some(group)).map(|lack| lack.text.as_str())
    }
}
