//! What sends gratuitous ARPs and neighbour advertisements, at once or in their distance ([`super::pacers`]).

use ha_common::time::Time;
use nix::errno::Errno;

use super::note::Note;
use super::pacers::Pacers;
use crate::net::announce::{Announcer, Burst};
use crate::net::error::SocketError;

/// Sends announcements, now or when their distance allows it.
#[derive(Debug)]
pub(super) struct Announcements {
    announcer: Announcer,
    pub(super) pacers: Pacers,
    /// The latest refusal, which is noted once.
    failure: Option<Errno>,
}

impl Announcements {
    /// With nothing to send.
    ///
    /// # Errors
    /// As [`Announcer::open`].
    pub(super) fn open() -> Result<Self, SocketError> {
        Ok(Self { announcer: Announcer::open()?, pacers: Pacers::default(), failure: None })
    }

    /// When something is due that keeps a distance.
    pub(super) fn next(&self) -> Option<Time> {
        self.pacers.next()
    }

    /// Sends bursts; a refusal that is new is noted.
    pub(super) fn send(&mut self, bursts: &[(u32, Burst)], notes: &mut Vec<Note>) {
        if bursts.is_empty() {
            return;
        }
        for failure in self.announcer.send(bursts.iter().map(|(_, burst)| burst)) {
            if self.failure.replace(failure.errno) != Some(failure.errno) {
                notes.push(Note::AnnounceFailure { failure });
            }
        }
    }
}
