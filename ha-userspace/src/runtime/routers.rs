//! The daemon's virtual routers, by the ids that the node gave them.

use std::ops::{Index, IndexMut};

use ha_common::node::RouterId;

use super::router::Router;

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Routers(Vec<Router>);

impl Routers {
    pub(super) fn push(&mut self, router: Router) {
        self.0.push(router);
    }

    /// Forgets these.
    pub(super) fn forget(&mut self, gone: &[RouterId]) {
        self.0.retain(|router| !gone.contains(&router.id));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn ids(&self) -> Vec<RouterId> {
        self.0.iter().map(|router| router.id).collect()
    }

    pub(super) fn get(&self, id: RouterId) -> Option<&Router> {
        self.position(id).map(|at| &self.0[at])
    }

    pub(super) fn get_mut(&mut self, id: RouterId) -> Option<&mut Router> {
        self.position(id).map(|at| &mut self.0[at])
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Router> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Router> {
        self.0.iter_mut()
    }

    /// Ids only grow.
    fn position(&self, id: RouterId) -> Option<usize> {
        self.0.binary_search_by_key(&id, |router| router.id).ok()
    }
}

impl Index<RouterId> for Routers {
    type Output = Router;

    /// For ids that are in use: the node forgets a router and the daemon does in the same step.
    fn index(&self, id: RouterId) -> &Router {
        self.get(id).expect("a router that is in use")
    }
}

impl IndexMut<RouterId> for Routers {
    fn index_mut(&mut self, id: RouterId) -> &mut Router {
        self.get_mut(id).expect("a router that is in use")
    }
}

impl<'a> IntoIterator for &'a Routers {
    type Item = &'a Router;
    type IntoIter = std::slice::Iter<'a, Router>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Routers {
    type Item = &'a mut Router;
    type IntoIter = std::slice::IterMut<'a, Router>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
