//! XDP programs that have been loaded are put to use, and those in traffic control go to XDP where that is free.
//!
//! How they are loaded: [`crate::runtime::loading`].

use super::Daemon;
use crate::net::clock;
use crate::runtime::router::interface_id;

impl Daemon {
    /// A reload: programs in traffic control go to XDP where that is free by now.
    pub(super) fn raise_programs(&mut self) {
        for at in 0..self.interfaces.len() {
            let mode = self.xdp_mode(at);
            self.interfaces.rise(at, mode);
        }
    }

    /// Puts programs to use that have been attached meanwhile.
    pub(super) fn programs_loaded(&mut self) {
        let now = clock::now();
        // What the sockets still hold would go with them.
        self.judge_frames(now);
        for interface in &mut self.interfaces {
            interface.take_rise();
        }
        let taken: Vec<_> =
            (0..self.interfaces.len()).filter(|&at| self.interfaces[at].take_program(None)).collect();
        if taken.is_empty() {
            return;
        }
        // The fence knows of the addresses before anything else is done about them.
        for at in taken {
            self.node.attached(interface_id(at), now);
        }
        self.perform();
        self.reconsider();
    }
}
