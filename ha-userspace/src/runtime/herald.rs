//! Adverts of a role that is being resumed, while its program is still being loaded.
//!
//! A processor that takes seconds for the verifier would use up the patience of peers that know the RFC's timers only.
//! The run before has said which roles it left ([`super::handover`]); a thread advertises them as it did, from when the
//! interfaces are known until the machines do it themselves. It says nothing for a virtual router that another one has
//! advertised for meanwhile, as the program of the run before has taken down, nor for one whose time is up.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use ha_common::packet::Endpoints;
use ha_common::packet::hmac::{self, AntiReplay, Numbered, Sequence};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

use crate::net::advert_tx::AdvertTx;
use crate::net::clock;
use crate::realtime;
use crate::xdp::Lease;

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Herald {
    /// `None` only while it is being dropped.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What is said for one virtual router.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) family: Family,
    pub(super) vrid: Vrid,
    /// Nobody asks which of its packets were refused.
    pub(super) sender: AdvertTx<()>,
    /// PDUs without the trailer that each of them gets when it goes out.
    pub(super) adverts: Vec<(Endpoints, u8, Vec<u8>)>,
    pub(super) signer: Option<Signer>,
    pub(super) interval: Span,
    pub(super) due: Time,
    /// Of the program that the run before left.
    pub(super) lease: Option<Lease>,
}

/// `auth_hmac`: every advert is signed anew, by the clock, which is what the machine's next one goes on from.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) key: Numbered,
    pub(super) rule: AntiReplay,
    pub(super) sequences: hmac::Sender,
}

impl Signer {
    fn next(&mut self) -> (Numbered, Sequence) {
        (self.key, self.sequences.next(self.rule, clock::realtime_ns()))
    }
}

impl Voice {
    fn speak(&mut self, now: Time) {
        self.due = now.after(self.interval);
        let superseded =
            |lease: &Lease| lease.is_superseded(self.family, self.vrid) || lease.restart_until() <= now;
        if self.lease.as_ref().is_some_and(superseded) {
            return;
        }
        let signed = self.signer.as_mut().map(Signer::next);
        for (endpoints, ttl, pdu) in &self.adverts {
            let mut sealed = pdu.clone();
            if let Some((key, sequence)) = &signed {
                sealed.resize(pdu.len() + hmac::LEN, 0);
                // There is room: it was just made.
                let _ = hmac::seal(key, *sequence, endpoints, &mut sealed, pdu.len());
            }
            // The family fits, and no advert is longer than an IP packet.
            let _ = self.sender.queue((), *endpoints, *ttl, &sealed);
        }
        // What goes wrong here goes wrong for the machine too, which says so.
        self.sender.flush();
    }
}

impl Herald {
    pub(super) fn start(mut voices: Vec<Voice>) -> std::io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        // The first words cannot wait for a thread.
        let now = clock::now();
        voices.iter_mut().for_each(|voice| voice.speak(now));
        let thread = Builder::new().name("xvrrp-herald".to_owned()).spawn(move || {
            realtime::prefer_this_thread();
            loop {
                let next = voices.iter().map(|voice| voice.due).min().unwrap_or(Time::NEVER);
                let wait = Duration::from_nanos(next.span_since(clock::now()).0);
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                let now = clock::now();
                voices.iter_mut().filter(|voice| voice.due <= now).for_each(|voice| voice.speak(now));
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Herald {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
