//! The interfaces of the configuration, and the threads that load their programs and look after them.
//!
//! An interface keeps its position, which is the node's id for it: the list only grows.

use std::ops::{Index, IndexMut};
use std::task::{Context, Poll};
use std::time::Duration;

use ha_common::node::InterfaceId;
use ha_common::time::Time;
use ha_common::types::{Family, Vrid};

use super::inspector::Inspector;
use super::interface::Interface;
use super::loading::{AttachPlan, Loader, Setup};
use super::receive::Frame;
use crate::config::model::XdpMode;
use crate::xdp::{Slot, Travel};

/// All of them.
#[derive(Debug)]
pub(super) struct Interfaces {
    list: Vec<Interface>,
    pub(super) setup: Setup,
    loader: Loader,
    inspector: Inspector,
    /// Those whose program somebody has detached.
    deaf: Vec<InterfaceId>,
    /// What one of them has received; kept for its memory.
    frames: Vec<Frame>,
}

impl Interfaces {
    /// None yet.
    pub(super) const fn new(setup: Setup, loader: Loader, inspector: Inspector) -> Self {
        Self { list: Vec::new(), setup, loader, inspector, deaf: Vec::new(), frames: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Interface> {
        self.list.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Interface> {
        self.list.get_mut(at)
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Interface> {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Interface> {
        self.list.iter_mut()
    }

    /// Position of the interface of this name, which is put into the list if it is not there yet.
    pub(super) fn named(&mut self, name: &str) -> usize {
        self.list.iter().position(|interface| interface.name == name).unwrap_or_else(|| {
            self.list.push(Interface::new(name));
            self.list.len() - 1
        })
    }

    /// Position of the interface that has this index in the kernel.
    pub(super) fn with_index(&self, ifindex: u32) -> Option<usize> {
        self.list.iter().position(|interface| interface.index == Some(ifindex))
    }

    /// Ready when there may be something to drain.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut ready = false;
        // All are asked: each must know whom to wake.
        for interface in &self.list {
            ready |= interface.receive.poll_readable(context).is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until a program has been loaded, or cannot be.
    pub(super) fn loaded(&self) -> impl Future<Output = ()> + use<'_> {
        self.loader.done()
    }

    /// Takes all packets that are queued on one of them, oldest first. They go back to [`Interfaces::done_with`].
    pub(super) fn drain(&mut self, at: usize) -> Vec<Frame> {
        let mut frames = std::mem::take(&mut self.frames);
        self.list[at].receive.drain(&mut frames);
        frames
    }

    /// The packets have been looked at.
    pub(super) fn done_with(&mut self, mut frames: Vec<Frame>) {
        frames.clear();
        self.frames = frames;
    }

    /// Begins with an interface that exists by now, and orders its program. `routers` run on it, and the run before has
    /// left `roles`. Must be called inside a tokio runtime.
    pub(super) fn begin(
        &mut self,
        at: usize,
        ifindex: u32,
        plan: AttachPlan,
        routers: Vec<(Slot, Travel)>,
        roles: Vec<(Family, Vrid)>,
    ) {
        let Self { list, loader, setup, .. } = self;
        let interface = &mut list[at];
        // What has its name is detached before.
        interface.close(loader);
        let name = interface.name.clone();
        let program = loader.attach(name, ifindex, plan, routers, roles, setup.clone());
        interface.begin(ifindex, program, plan);
    }

    /// Gives everything back that was opened on an interface.
    pub(super) fn close(&mut self, at: usize) {
        self.list[at].close(&self.loader);
    }

    /// Whether somebody has detached the program of an interface on which a virtual router sends adverts.
    pub(super) fn is_deaf(
        &mut self,
        on: InterfaceId,
        urgent: bool,
        listen: Option<Duration>,
        now: Time,
    ) -> bool {
        let Some(interface) = self.list.get_mut(on.0 as usize) else { return false };
        if !urgent {
            interface.say_deaf();
        }
        interface.lost_program(&self.inspector, urgent, listen, now)
    }

    /// A peer there has missed a probe: what a takeover will want to know is asked for now.
    pub(super) fn foresee_loss(&mut self, ifindex: u32, now: Time) {
        if let Some(at) = self.with_index(ifindex) {
            self.list[at].inspect(&self.inspector, now);
        }
    }

    /// Somebody has detached the program of an interface.
    pub(super) fn found_deaf(&mut self, on: InterfaceId) {
        self.deaf.push(on);
    }

    /// Where somebody has detached programs, they are attached anew, or sockets take their place, once the interfaces have
    /// been looked at again. Whether there was any.
    pub(super) fn attach_again(&mut self) -> bool {
        let deaf = std::mem::take(&mut self.deaf);
        for InterfaceId(at) in &deaf {
            let Some(interface) = self.list.get_mut(*at as usize) else { continue };
            tracing::error!(
                "{}: somebody has detached the XDP program; it is attached again",
                interface.name
            );
            interface.close(&self.loader);
        }
        !deaf.is_empty()
    }

    /// Begins to go from traffic control to XDP on an interface, if the program is there.
    pub(super) fn rise(&mut self, at: usize, mode: XdpMode) {
        self.list[at].rise(&self.loader, mode);
    }

    /// Detaches all programs. Dropping the loader that this returns waits for what it was told to detach.
    pub(super) fn stop(self) -> Loader {
        drop(self.list);
        self.loader
    }

    /// Leaves all programs attached for the next run.
    pub(super) fn leave(self) {
        self.list.into_iter().for_each(Interface::leave);
    }
}

impl Index<usize> for Interfaces {
    type Output = Interface;

    fn index(&self, at: usize) -> &Interface {
        &self.list[at]
    }
}

impl IndexMut<usize> for Interfaces {
    fn index_mut(&mut self, at: usize) -> &mut Interface {
        &mut self.list[at]
    }
}

impl<'a> IntoIterator for &'a Interfaces {
    type Item = &'a Interface;
    type IntoIter = std::slice::Iter<'a, Interface>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Interfaces {
    type Item = &'a mut Interface;
    type IntoIter = std::slice::IterMut<'a, Interface>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
