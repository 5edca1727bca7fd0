//! The daemon's virtual routers, by the ids that the node gave them.

use std::net::IpAddr;
use std::ops::{Index, IndexMut};

use ha_common::node::RouterId;
use ha_common::types::Family;

use super::router::Router;
use super::vips::vips;

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

    /// Those that run on an interface.
    pub(super) fn on(&self, interface: usize) -> impl Iterator<Item = &Router> + Clone {
        self.0.iter().filter(move |router| router.interface == interface)
    }

    /// Whether any virtual router runs on an interface. One that a reload has taken out does until its addresses are
    /// gone.
    pub(super) fn use_interface(&self, interface: usize) -> bool {
        self.on(interface).next().is_some()
    }

    /// Families of those on an interface.
    pub(super) fn families(&self, interface: usize) -> Vec<Family> {
        let mut families = Vec::new();
        for router in self.on(interface) {
            if !families.contains(&router.config.family) {
                families.push(router.config.family);
            }
        }
        families
    }

    /// All virtual addresses: none of them is a source of adverts.
    pub(super) fn virtual_addresses(&self) -> Vec<IpAddr> {
        self.0.iter().flat_map(|router| vips(&router.config)).map(|vip| vip.address).collect()
    }

    /// Ids only grow.
    fn position(&self, id: RouterId) -> Option<usize> {
        self.0.binary_search_by_key(&id, |router| router.id).ok()
    }
}

impl Index<RouterId> for Routers {
    type Output = Router;

    /// For ids that are in use: the node forgets a virtual router and the daemon does in the same step.
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
