//! The names of sync groups, and what the node calls them.

use ha_common::node::GroupId;

/// The names of groups, and what the node calls them. A group that a reload keeps keeps its id.
#[derive(Debug, Default)]
pub(super) struct GroupNames(Vec<String>);

impl GroupNames {
    pub(super) fn id(&mut self, name: &str) -> GroupId {
        let at = self.0.iter().position(|known| known == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        GroupId(u32::try_from(at).unwrap_or(u32::MAX))
    }

    pub(super) fn name(&self, id: GroupId) -> Option<&str> {
        self.0.get(id.0 as usize).map(String::as_str)
    }
}
