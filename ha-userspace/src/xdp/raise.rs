//! From traffic control to XDP while the daemon runs: where the program that had the interface has gone, a reload
//! brings ours there.
//!
//! The build for XDP gets the maps that are pinned, so nothing changes for whoever uses them. It is attached before
//! traffic control is left; both are live in between.

use std::path::PathBuf;
use std::sync::Arc;

use super::attach::attach_in_order;
use super::attached::Attached;
use super::facts::Facts;
use super::interface::XdpInterface;
use super::loader::{Alive, Program, Variant};
use super::pins::{self, Pins};
use super::prospect::prospect;
use super::tc::Attachment;
use crate::config::model::XdpMode;

/// What is needed to go to XDP: for another thread, because loading takes long.
#[derive(Debug)]
pub struct Raise {
    name: String,
    ifindex: u32,
    mode: XdpMode,
    vlan: u16,
    key: [u64; 2],
    directory: PathBuf,
}

/// The program in XDP, with the same maps as before.
#[derive(Debug)]
pub struct Raised {
    alive: Alive,
    attachment: Attachment,
    attached: Attached,
    variant: Variant,
    notes: Vec<String>,
}

impl Raise {
    /// Goes to XDP. `Ok(None)`: that is not possible now.
    ///
    /// # Errors
    ///
    /// One line that says what failed; the program in traffic control is where it was.
    pub fn attempt(self) -> Result<Option<Raised>, String> {
        let Self { name, ifindex, mode, vlan, key, directory } = self;
        let failed = |reason: String| format!("{name}: stays in traffic control: {reason}");
        let facts = Facts::of(&name).map_err(|error| failed(error.to_string()))?;
        let prospect = prospect(&facts, mode);
        if prospect.attempts.is_empty() || prospect.attempts.contains(&Attached::Tc) {
            return Ok(None);
        }
        let mut program = Program::load_pinned(Variant::XDP, vlan, key, None, Some(&directory))
            .map_err(|error| failed(error.to_string()))?;
        let alive = program.alive().map_err(|error| failed(error.to_string()))?;
        let mut notes = Vec::new();
        let attempts = &prospect.attempts;
        let (attached, attachment) =
            attach_in_order(&name, ifindex, attempts, false, &mut program, &mut notes)
                .map_err(|error| failed(error.to_string()))?;
        let attachment = match attachment {
            Attachment::Link(link) => pins::pin(&directory, link)
                .map(Attachment::Link)
                .map_err(|error| failed(error.to_string()))?,
            filter @ Attachment::Filter(_) => filter,
        };
        notes.extend(prospect.notes(attached).iter().map(|note| format!("{name}: {note}")));
        Ok(Some(Raised { alive, attachment, attached, variant: program.variant(), notes }))
    }
}

impl XdpInterface {
    /// What is needed to go from traffic control to XDP under `xdp_mode` `mode`; `None` where it is there, or has no
    /// pins through which another program could get its maps.
    #[must_use]
    pub fn raise(&self, mode: XdpMode) -> Option<Raise> {
        (self.attached == Attached::Tc).then_some(())?;
        Some(Raise {
            name: self.name.clone(),
            ifindex: self.ifindex,
            mode,
            vlan: self.vlan,
            key: self.key,
            directory: self.pins.as_ref().map(Pins::directory)?.to_owned(),
        })
    }

    /// Goes on with the program in XDP.
    pub fn install(&mut self, raised: Raised) {
        let Raised { alive, attachment, attached, variant, notes } = raised;
        self.alive = alive;
        self.attachment = attachment;
        self.attached = attached;
        self.variant = variant;
        self.notes = notes;
        self.behind = None;
        self.pinned = self.pins.as_ref().and_then(|pins| pins.link().ok()).map(Arc::new);
    }
}
