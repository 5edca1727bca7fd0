//! The threads that watch, run scripts and tell others, as the loop uses them.

use super::trackers;
use crate::config::model::{Config, Trackers};
use crate::control::protocol::{ScriptStatus, TrackerStatus};
use crate::metrics::Metrics;
use crate::net::monitor::Links;
use crate::notify::{Event, Notifier};
use crate::track::Seen;
use crate::track::priority::Tracker;
use crate::track::watch::Watchers;

/// Their handles.
#[derive(Debug)]
pub(super) struct Workers {
    pub(super) watchers: Watchers,
    pub(super) notifier: Notifier,
    pub(super) metrics: Metrics,
}

impl Workers {
    /// Watches what this configuration tracks.
    pub(super) fn watch(&mut self, config: &Config) {
        self.watchers.apply(config);
    }

    /// Everything that is tracked, with what is known of it. Interfaces count as `links` has them.
    pub(super) fn seen<'a>(
        &'a self,
        tracked: &'a Trackers,
        links: &'a Links,
    ) -> impl Iterator<Item = Tracker<'a>> {
        trackers::all(
            tracked,
            |interface| match links.by_name(interface) {
                Some(link) if link.up => Seen::Good,
                Some(_) => Seen::Bad,
                None => Seen::Absent,
            },
            |kind, name| self.watchers.seen(kind, name),
        )
    }

    /// What scripts and watched things are, for another thread to find out.
    pub(super) fn statuses(
        &self,
    ) -> impl Fn() -> (Vec<ScriptStatus>, Vec<TrackerStatus>) + Send + Sync + use<> {
        self.watchers.statuses()
    }

    /// What notifications and metrics lack, for another thread to find out.
    pub(super) fn complaints(&self) -> impl Fn() -> Vec<String> + Send + Sync + use<> {
        let (metrics, notifier) = (self.metrics.complaint(), self.notifier.complaints());
        move || metrics().into_iter().chain(notifier()).collect()
    }

    /// Tells others of an event.
    pub(super) fn tell(&mut self, event: Event) {
        self.notifier.tell(event);
    }

    /// Ends the threads.
    ///
    /// Blocks: call it last, when no advert is left to send.
    pub(super) fn stop(self) {
        self.watchers.stop();
        self.notifier.stop();
        self.metrics.stop();
    }
}
