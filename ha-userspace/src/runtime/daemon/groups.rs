//! Sync groups of the configuration: who is in which, and what is tracked for it.
//!
//! What the members must do is [`ha_common::node`]'s.

use ha_common::node::{GroupId, RouterId};
use ha_common::time::Time;

use super::Daemon;
use crate::config::model::{SyncGroup, Trackers, Weight};
use crate::runtime::configuration::Configuration;
use crate::runtime::router::Router;
use crate::runtime::trackers;

impl Daemon {
    /// After a configuration has come into force: who is in which group, and what is tracked.
    pub(super) fn regroup(&mut self, now: Time) {
        let Self { configuration, routers, node, .. } = self;
        let Configuration { in_force: config, group_names, .. } = configuration;
        let mut groups = Vec::new();
        for group in &config.sync_groups {
            let find = |name: &String| {
                let there = |router: &&Router| router.config.name == *name && !node[router.id].is_retired();
                routers.iter().find(there).map(|router| router.id)
            };
            let members: Vec<RouterId> = group.members.iter().filter_map(find).collect();
            groups.push((group_names.id(&group.name), members));
        }
        for router in routers.iter_mut() {
            let member = |(_, members): &&(GroupId, Vec<RouterId>)| members.contains(&router.id);
            // One virtual router is in one group, the first that names it.
            let at = groups.iter().position(|group| member(&group));
            router.trackers = tracked(router, at.and_then(|at| config.sync_groups.get(at)));
        }
        node.regroup(groups, now);
        self.perform();
    }

    /// What keeps another member of the group from running, which keeps this one from it too.
    pub(super) fn held_back(&self, id: RouterId) -> Option<String> {
        let (other, _) = self.node.held_back(id)?;
        let group = self.configuration.group(self.node[id].group()?)?;
        let other = self.routers.get(other)?;
        let why = other.noted.fault.first().map_or("it cannot run", String::as_str);
        Some(format!("sync group {}, {}: {why}", group.name, other.config.name))
    }
}

/// What is tracked for an instance: its own and its group's. Members of a group must not differ in what they lose, so
/// their own weights are zero unless the group says otherwise (keepalived.conf(5), vrrp_sync_group).
fn tracked(router: &Router, group: Option<&SyncGroup>) -> Trackers {
    let mut own = trackers::of(&router.config);
    let Some(group) = group else { return own };
    if !group.tracking_weight {
        let plain = |weight: &mut Weight| weight.value = 0;
        own.scripts.iter_mut().for_each(|tracker| plain(&mut tracker.weight));
        own.interfaces.iter_mut().for_each(|tracker| plain(&mut tracker.weight));
        own.files.iter_mut().for_each(|tracker| tracker.weight.value = 0);
        for tracker in own.processes.iter_mut().chain(&mut own.bfd).chain(&mut own.checks) {
            plain(&mut tracker.weight);
        }
    }
    let shared = group.trackers.clone();
    own.scripts.extend(shared.scripts);
    own.interfaces.extend(shared.interfaces);
    own.files.extend(shared.files);
    own.processes.extend(shared.processes);
    own.bfd.extend(shared.bfd);
    own.checks.extend(shared.checks);
    own
}
