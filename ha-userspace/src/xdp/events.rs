//! The ring of frames that the XDP program hands up to be judged.

use std::io;
use std::task::{Context, Poll, ready};

use aya::maps::{MapData, RingBuf};
use ha_common::layout::EventHeader;
use ha_common::time::Time;
use tokio::io::unix::AsyncFd;

use super::maps::Slot;
use crate::descriptor::{Owned, watch_readable};

/// A frame for a configured virtual router, as it came: judged by nobody.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The virtual router.
    pub slot: Slot,
    /// When it arrived.
    pub at: Time,
    /// Its fingerprint, for [`super::Adverts::track`] once it has been accepted.
    pub fingerprint: u64,
    /// MAC address that it came from, where probes to its sender go.
    pub source_mac: [u8; 6],
    /// The IP packet from its header on, without Ethernet padding, for
    /// [`ha_common::classify::parse_ip_packet`] with [`ha_common::classify::Origin::Xdp`].
    pub packet: &'a [u8],
}

/// The reading end of `HA_EVENTS`.
#[derive(Debug)]
pub struct Events {
    ring: AsyncFd<Owned<RingBuf<MapData>>>,
    /// The last [`Events::drain`] ended before the ring was empty, so the kernel will not report it again.
    more: bool,
}

impl Events {
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        // The ring may hold frames already, which epoll reports at once.
        Ok(Self { ring: watch_readable(ring)?, more: false })
    }

    /// Waits until there may be something to drain. Can be cancelled at any time.
    ///
    /// # Errors
    ///
    /// What tokio's reactor says; it does not recover.
    pub async fn readable(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_readable(context)).await
    }

    /// [`Events::readable`] for loops that watch several rings. Only the latest caller's waker is kept.
    ///
    /// # Errors
    ///
    /// What tokio's reactor says; it does not recover.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.more {
            return Poll::Ready(Ok(()));
        }
        // Cleared before the ring is drained: a frame that comes meanwhile makes it ready again.
        ready!(self.ring.poll_read_ready(context))?.clear_ready();
        Poll::Ready(Ok(()))
    }

    /// Hands over up to `limit` frames, oldest first, and returns how many there were. Does not wait; may be called
    /// at any time, also without [`Events::readable`].
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(Event<'_>)) -> usize {
        let ring = &mut **self.ring.get_mut();
        for drained in 0..limit {
            let Some(record) = ring.next() else {
                self.more = false;
                return drained;
            };
            if let Some(event) = parse(&record) {
                each(event);
            }
        }
        self.more = true;
        limit
    }

    /// Whether the last [`Events::drain`] left frames behind.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        self.more
    }
}

/// Takes a record apart. The program of this build writes no other; `None` for anything else.
fn parse(record: &[u8]) -> Option<Event<'_>> {
    let (header, rest) = record.split_first_chunk::<{ size_of::<EventHeader>() }>()?;
    let header: EventHeader = bytemuck::pod_read_unaligned(header);
    let packet = rest.get(..usize::try_from(header.len).ok()?)?;
    let slot = Slot::from_index(header.slot)?;
    let EventHeader { ktime_ns, fingerprint, source_mac, .. } = header;
    Some(Event { slot, at: Time(ktime_ns), fingerprint, source_mac, packet })
}
