//! Adverts of a role that is being resumed, while its program is still being loaded.
//!
//! A processor that takes seconds for the verifier would use up the patience of peers that know the RFC's timers only.
//! The run before has said which roles it left ([`super::handover`]); a thread advertises them as it did, from when the
//! interfaces are known until the machines do it themselves. It says nothing for a virtual router that another one has
//! advertised for meanwhile, as the program of the run before has taken down, nor for one whose time is up.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use ha_common::node::patience;
use ha_common::packet::hmac::{self, AntiReplay, Numbered, Sequence};
use ha_common::packet::{Auth, Endpoints};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

use super::daemon::Daemon;
use super::router::Outgoing;
use super::settings::params;
use super::source;
use crate::net::advert_tx::AdvertTx;
use crate::net::clock;
use crate::realtime;
use crate::xdp::{self, Lease};

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Herald {
    /// `None` only while it is being dropped.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What is said for one virtual router.
#[derive(Debug)]
struct Voice {
    family: Family,
    vrid: Vrid,
    /// Nobody asks which of its packets were refused.
    sender: AdvertTx<()>,
    /// PDUs without the trailer that each of them gets when it goes out.
    adverts: Vec<(Endpoints, u8, Vec<u8>)>,
    signer: Option<Signer>,
    interval: Span,
    due: Time,
    /// Of the program that the run before left.
    lease: Option<Lease>,
}

/// `auth_hmac`: every advert is signed anew, by the clock, which is what the machine's next one goes on from.
#[derive(Debug)]
struct Signer {
    key: Numbered,
    rule: AntiReplay,
    sequences: hmac::Sender,
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
    fn start(mut voices: Vec<Voice>) -> std::io::Result<Self> {
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

impl Daemon {
    /// Speaks for the roles that the run before left, where it may still be done.
    pub(super) fn herald(&mut self) -> Option<Herald> {
        let left = self.life.handover.as_ref()?;
        let virtual_addresses = self.routers.virtual_addresses();
        let now = clock::now();
        let mut voices = Vec::new();
        for router in &mut self.routers {
            let (family, vrid) = (router.config.family, router.config.vrid);
            let Some(role) = left.role(&router.config.interface, family, vrid) else { continue };
            let Some(link) = self.host.links().by_name(&router.config.interface) else { continue };
            router.source = source::of(&router.config, link, &virtual_addresses);
            let lease =
                self.interfaces.setup.bpffs.as_ref().and_then(|bpffs| xdp::left_lease(bpffs, &link.name));
            let late = lease.is_none() && now >= left.left_at().after(patience(&params(&router.config)));
            // The sequence numbers of authentication headers are the machine's alone.
            if late || router.source.is_none() || matches!(router.config.auth, Auth::Header(_)) {
                continue;
            }
            let sender = match router.virtual_mac {
                Some(mac) => AdvertTx::open_link(link.index, family, mac),
                None => AdvertTx::open(link.index, family),
            };
            let Ok(sender) = sender else { continue };
            let mut adverts = Vec::new();
            let signs = router.config.hmac.on().filter(|hmac| hmac.mode.signs());
            let signer = signs.map(|hmac| Signer {
                key: hmac.active,
                rule: hmac.anti_replay,
                sequences: hmac::Sender::default(),
            });
            let trailer = if signer.is_some() { hmac::LEN } else { 0 };
            router.adverts(role.priority, |advert| {
                if let Outgoing::Pdu { endpoints, ttl, pdu } = advert {
                    adverts.push((endpoints, ttl, pdu[..pdu.len() - trailer].to_vec()));
                }
            });
            let interval = router.config.interval.span();
            voices.push(Voice { family, vrid, sender, adverts, signer, interval, due: now, lease });
        }
        if voices.is_empty() {
            return None;
        }
        Herald::start(voices)
            .map_err(|error| tracing::warn!("no thread for adverts while XDP programs are loaded: {error}"))
            .ok()
    }
}
