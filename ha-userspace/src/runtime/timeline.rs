//! How long a start takes, and what of it: at debug level, and for the window of the next restart.

use ha_common::time::{Span, Time};

use crate::net::clock;

/// The steps of a start.
#[derive(Debug)]
pub(super) struct Timeline {
    began: Time,
    latest: Time,
}

impl Timeline {
    pub(super) const fn new(began: Time) -> Self {
        Self { began, latest: began }
    }

    /// A step is done.
    pub(super) fn mark(&mut self, step: &str) {
        let now = clock::now();
        let us = |span: Span| span.0 / 1_000;
        let (took, total) = (us(now.span_since(self.latest)), us(now.span_since(self.began)));
        tracing::debug!("start: {step}: {took} µs, {total} µs since the beginning");
        self.latest = now;
    }

    /// From the beginning until now.
    pub(super) fn total(&self) -> Span {
        clock::now().span_since(self.began)
    }
}
