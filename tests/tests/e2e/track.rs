//! Trackers that need no script: health checks, processes, files, BFD sessions; each moves a virtual address, and
//! none delays an advert.

#[path = "track/bfd.rs"]
mod bfd;
#[path = "track/hang.rs"]
mod hang;
#[path = "track/nginx.rs"]
mod nginx;
#[path = "track/weights.rs"]
mod weights;

use std::time::Duration;

use anyhow::{Context, Result};
use ha_tests::lab::{Host, wait_for};
use serde_json::Value;

use crate::harness::Test;
use crate::hostile::json;

pub(crate) fn tests() -> Vec<Test> {
    [nginx::tests(), weights::tests(), bfd::tests(), hang::tests()].into_iter().flatten().collect()
}

/// What `status` says of a tracked thing.
fn tracker(host: &Host, kind: &str, name: &str) -> Option<Value> {
    let status = json(host, "status").ok()?;
    let entry = |entry: &&Value| entry["kind"] == kind && entry["name"] == name;
    status["trackers"].as_array()?.iter().find(entry).cloned()
}

/// Waits until a tracked thing is in `wanted`; its entry.
fn becomes(host: &Host, kind: &str, name: &str, wanted: &str, patience: Duration) -> Result<Value> {
    wait_for(patience, || tracker(host, kind, name).filter(|entry| entry["state"] == wanted))
        .with_context(|| format!("{kind} {name} is {:?}, not {wanted}", tracker(host, kind, name)))
}
