//! The configuration in force, and the one that is being read to take its place.

use std::path::PathBuf;
use std::sync::Arc;

use ha_common::node::GroupId;
use tokio::sync::oneshot;

use super::group_names::GroupNames;
use super::reload_file::ReloadFile;
use super::reload_time::ReloadTime;
use crate::config::Loaded;
use crate::config::analysis::alone;
use crate::config::model::{Config, Instance, SyncGroup};
use crate::control::protocol::Response;

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Reload {
        /// Even where an error in it stops something that runs.
        force: bool,
    },
    /// To say what it would change.
    Preview,
    /// To make sure that the next run will not refuse it.
    Restart,
}

/// Reads a configuration; runs on another thread.
pub(super) type Read = Arc<dyn Fn() -> Loaded + Send + Sync>;

/// A configuration that is being read, why, and who asked for it.
#[derive(Debug)]
pub(super) struct Reading {
    task: tokio::task::JoinHandle<Loaded>,
    pub(super) purpose: Purpose,
    pub(super) reply: Option<oneshot::Sender<Response>>,
}

/// What the daemon was told to be.
pub(super) struct Configuration {
    pub(super) file: PathBuf,
    pub(super) in_force: Config,
    pub(super) group_names: GroupNames,
    /// What was refused at start and at reloads, for `status`.
    pub(super) warnings: Vec<String>,
    /// Addresses that have no fence, as sentences.
    pub(super) unfenced: Vec<String>,
    read: Read,
    reading: Option<Reading>,
    reload_time: Option<ReloadTime>,
}

impl Configuration {
    /// Nothing is in force yet but what the threads were told already.
    pub(super) fn begin(file: PathBuf, read: Read, config: &Config, warnings: Vec<String>) -> Self {
        let in_force = Config {
            scripts: config.scripts.clone(),
            checks: config.checks.clone(),
            track_files: config.track_files.clone(),
            track_processes: config.track_processes.clone(),
            bfd: config.bfd.clone(),
            global: config.global.clone(),
            ..Config::default()
        };
        let group_names = GroupNames::default();
        Self {
            file,
            in_force,
            group_names,
            warnings,
            unfenced: Vec::new(),
            read,
            reading: None,
            reload_time: None,
        }
    }

    /// Starts to read the file, on another thread: a large one must not delay an advert. Must be called inside a tokio
    /// runtime.
    pub(super) fn start_reading(&mut self, purpose: Purpose, reply: Option<oneshot::Sender<Response>>) {
        let read = Arc::clone(&self.read);
        let global = self.in_force.global.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _there = ReloadFile::make(&global);
            read()
        });
        self.reading = Some(Reading { task, purpose, reply });
    }

    /// Whether one is being read.
    pub(super) const fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Waits for what is being read; `None` where its reader failed.
    pub(super) async fn loaded(&mut self) -> Option<Loaded> {
        match &mut self.reading {
            Some(reading) => (&mut reading.task).await.ok(),
            None => std::future::pending().await,
        }
    }

    /// It has been read.
    pub(super) const fn take_reading(&mut self) -> Option<Reading> {
        self.reading.take()
    }

    /// Follows the `reload_time_file` of what is in force.
    pub(super) fn follow_reload_time(&mut self) {
        self.reload_time = ReloadTime::follow(&self.in_force.global.reload);
    }

    /// Finds out which addresses have no fence. `below` is the interface on which packets for an interface come in.
    pub(super) fn find_unfenced<'a>(&'a mut self, below: impl Fn(&'a str) -> &'a str) {
        let instances = &self.in_force.instances;
        let of = |instance: &'a Instance| {
            let found = alone::unfenced(instances, instance, &below);
            found.into_iter().map(|(address, device)| {
                format!(
                    "({}) {address} on {device}: no fence, because no virtual router with fast failover runs there; \
                     this host goes on answering for it when the daemon dies",
                    instance.name
                )
            })
        };
        self.unfenced = instances.iter().flat_map(of).collect();
    }

    /// A sync group's configuration.
    pub(super) fn group(&self, id: GroupId) -> Option<&SyncGroup> {
        let name = self.group_names.name(id)?;
        self.in_force.sync_groups.iter().find(|group| group.name == name)
    }
}
