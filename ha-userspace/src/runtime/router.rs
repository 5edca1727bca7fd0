//! One virtual router as the daemon has it: its configuration, the bytes of its adverts, its statistics.
//!
//! No I/O happens here. What it decides is [`ha_common::node`]'s.

use std::net::{IpAddr, Ipv4Addr};

use ha_common::counter::Counter;
use ha_common::layout::CLAIM_PEER_SLOTS;
use ha_common::machine::{Reason, State};
use ha_common::node::{InterfaceId, Mark, RouterId};
use ha_common::packet::hmac::{self, Receiver, Sender};
use ha_common::packet::{Advert, Auth, Endpoints, ah};
use ha_common::time::Time;
use ha_common::types::ADVERT_TTL;
use ha_common::validate::{Judged, Meta, Peer, Rules, Transport, standard_group, validate_with_trailer};

use super::devices;
use super::noted::Noted;
use super::others::Others;
use super::receive::Frame;
use super::refusal::Refusal;
use super::routes::RouteSet;
use super::standby::Standby;
use crate::config::model::{HmacSetting, Instance, Trackers};
use crate::control::protocol::{InstanceStats, TransitionCount};
use crate::net::clock;
use crate::track::priority::Effective;
use crate::xdp::{Adverts, ClaimRule, Slot, Travel};

/// The longest PDU, VRRPv3 with 255 IPv6 addresses, and a trailer behind it.
pub(super) const MAX_PDU: usize = 8 + 255 * 16 + hmac::LEN;

/// The longest VRRPv2 packet with an authentication header: 255 IPv4 addresses.
const MAX_AH_PACKET: usize = 20 + ah::LEN + 8 + 255 * 4 + 8;

/// An advert on its way out.
pub(super) enum Outgoing<'a> {
    /// The IP header is the sender's to write.
    Pdu { endpoints: Endpoints, ttl: u8, pdu: &'a [u8] },
    /// A whole IPv4 packet.
    Packet { destination: Ipv4Addr, packet: &'a [u8] },
}

fn seconds_since_1970() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}

/// A virtual router of the configuration, running.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) id: RouterId,
    pub(super) config: Instance,
    /// Position of the interface in the daemon's list.
    pub(super) interface: usize,
    /// Its own trackers and its group's.
    pub(super) trackers: Trackers,
    /// Trackers' work; recomputed when one of them changes.
    pub(super) effective: Effective,
    /// Source of our adverts, once the interface has an address of the family.
    pub(super) source: Option<IpAddr>,
    /// Virtual MAC address that adverts are sent from.
    pub(super) virtual_mac: Option<[u8; 6]>,
    /// When its addresses were last added, and which of them, on which interface, the kernel has not told of since.
    pub(super) installed_at: Time,
    pub(super) untold: Vec<(u32, IpAddr)>,
    /// All that were added then.
    pub(super) placed: Vec<(u32, IpAddr)>,
    /// Those of them that somebody has removed since, to be put back.
    pub(super) lost: Vec<(u32, IpAddr)>,
    /// Why its addresses cannot be here while it is backup.
    pub(super) no_standby: Option<String>,
    /// The kernel takes none of its addresses.
    pub(super) refusal: Refusal,
    /// Its routes and rules.
    pub(super) routes: RouteSet,
    /// `garp_extra_if`: when the next round on other interfaces is due.
    pub(super) extra: Option<Time>,
    pub(super) stats: InstanceStats,
    pub(super) transitions: Vec<TransitionCount>,
    /// Adverts that XDP had counted when the statistics were cleared.
    pub(super) stamped_before: u64,
    pub(super) noted: Noted,
    pub(super) others: Others,
    pub(super) standby: Standby,
    /// Its state in the run before, and since when: until it is another one.
    pub(super) before: Option<(State, Time)>,
    addresses: Vec<IpAddr>,
    peers: Vec<Peer>,
    /// Whose adverts were accepted, the newest first.
    known: Vec<IpAddr>,
    /// Highest sequence number of an authentication header, heard or sent.
    ah_latest: u32,
    /// Sequences of authentication trailers, sent and heard.
    hmac_sender: Sender,
    hmac_receiver: Receiver,
    /// Adverts that were taken without a trailer.
    pub(super) unsigned: u64,
}

/// What [`Router::judge`] adds to an accepted advert.
pub(super) struct Accepted {
    pub(super) judged: Judged,
    /// It had no trailer, and `auth_hmac` is in a mode for migration.
    pub(super) unsigned: bool,
    /// Seconds that the sender's clock is ahead of ours, where that is more than half of `time_window`.
    pub(super) skew: Option<i32>,
}

impl Router {
    pub(super) fn new(id: RouterId, config: Instance, interface: usize) -> Self {
        let effective = Effective { priority: config.priority, changes: Vec::new(), fault: None };
        let mut router = Self {
            id,
            effective,
            interface,
            trackers: Trackers::default(),
            source: None,
            virtual_mac: devices::advert_mac(&config),
            installed_at: Time(0),
            untold: Vec::new(),
            placed: Vec::new(),
            lost: Vec::new(),
            no_standby: None,
            refusal: Refusal::default(),
            routes: RouteSet::default(),
            extra: None,
            stats: InstanceStats::default(),
            transitions: Vec::new(),
            stamped_before: 0,
            before: None,
            noted: Noted::default(),
            others: Others::default(),
            standby: Standby::default(),
            addresses: Vec::new(),
            peers: Vec::new(),
            known: Vec::new(),
            ah_latest: 0,
            hmac_sender: Sender::default(),
            hmac_receiver: Receiver::default(),
            unsigned: 0,
            config,
        };
        router.derive();
        router
    }

    /// Takes new settings, keeping statistics. The caller tells the node.
    pub(super) fn configure(&mut self, mut config: Instance) {
        // Without a key that can be used, those that are in use are better than none.
        if config.hmac == HmacSetting::Unusable && self.config.hmac.on().is_some() {
            config.hmac = self.config.hmac.clone();
        }
        self.noted = Noted { fault: std::mem::take(&mut self.noted.fault), ..Noted::default() };
        self.refusal.accepted();
        self.routes.forget();
        self.virtual_mac = devices::advert_mac(&config);
        self.config = config;
        self.derive();
    }

    fn derive(&mut self) {
        self.addresses.clear();
        for vip in &self.config.vips {
            self.addresses.extend(std::iter::repeat_n(vip.address, vip.lines));
        }
        self.peers = self.config.unicast.as_ref().map_or_else(Vec::new, |unicast| {
            let peer = |peer: &crate::config::model::UnicastPeer| Peer {
                address: peer.address,
                min_ttl: peer.min_ttl.unwrap_or(0),
                max_ttl: peer.max_ttl.unwrap_or(u8::MAX),
            };
            unicast.peers.iter().map(peer).collect()
        });
    }

    /// Index of this virtual router's entry in `HA_ADVERTS`.
    pub(super) fn slot(&self) -> Slot {
        Slot::of(self.config.family, self.config.vrid)
    }

    /// Tells the program what it needs to know of this virtual router's adverts.
    pub(super) fn describe(&self, adverts: &Adverts) {
        let slot = self.slot();
        adverts.configure(slot, Some(self.travel()));
        let auth = match self.config.auth {
            Auth::None => Some((0, [0; 8])),
            Auth::Password(password) => Some((1, password)),
            // What comes with an authentication header is another protocol.
            Auth::Header(_) => None,
        };
        // Configured: the peers of unicast, or `check_source`.
        let listed: Vec<_> = match &self.config.unicast {
            Some(_) => self.peers.iter().map(|peer| peer.address).collect(),
            None => self.config.check_source.clone(),
        };
        let strict = match &self.config.unicast {
            Some(unicast) => unicast.check_source,
            None => !listed.is_empty(),
        };
        let peers_only = strict && listed.len() <= CLAIM_PEER_SLOTS;
        adverts.judge_claims(
            slot,
            &ClaimRule {
                version: self.config.version,
                auth,
                priority: self.effective.priority,
                peers_only,
                addresses: !self.config.skip_check_adv_addr,
            },
        );
        adverts.know(slot, if listed.is_empty() { &self.known } else { &listed });
    }

    /// An advert of this virtual router was accepted. Whether that is news.
    pub(super) fn know(&mut self, source: IpAddr) -> bool {
        if self.known.contains(&source) {
            return false;
        }
        self.known.insert(0, source);
        self.known.truncate(CLAIM_PEER_SLOTS);
        true
    }

    /// How its adverts travel.
    pub(super) const fn travel(&self) -> Travel {
        if self.config.unicast.is_some() { Travel::Unicast } else { Travel::Multicast }
    }

    /// How the XDP program knows an advert like this one again.
    pub(super) fn mark(&self, frame: &Frame) -> Mark {
        if frame.source_mac.is_none() {
            return Mark::None;
        }
        // Two signed adverts are never alike, and what looks like one before is a replay: the program has nothing to compare.
        if self.config.hmac.on().is_some() || frame.authenticated.is_some() {
            Mark::Sender
        } else if frame.fingerprint != 0 {
            Mark::Fingerprint(frame.fingerprint)
        } else {
            Mark::None
        }
    }

    /// Judges a packet that is for this VRID and family. `own` are the addresses of the interface; `authenticated` is
    /// [`Frame::authenticated`]. `arrived_unix_ns` tells when it arrived, in nanoseconds since 1970;
    /// it is asked only where there is a trailer.
    pub(super) fn judge(
        &mut self,
        meta: &Meta,
        pdu: &[u8],
        own: &[IpAddr],
        authenticated: Option<&[u8]>,
        arrived_unix_ns: impl FnOnce() -> u64,
    ) -> Result<Accepted, Counter> {
        let rules = rules(&self.config, &self.peers, &self.addresses, own);
        // Whoever has no keys takes no trailer for one: the advert is too long, as for any router without the extension.
        let hmac = self.config.hmac.on();
        let (pdu, trailer) = match hmac {
            Some(_) => hmac::split(pdu, self.config.family),
            None => (pdu, None),
        };
        let covered: &[u8] = trailer.map_or(&[], |trailer| trailer.as_slice());
        let latest = self.ah_latest;
        let receiver = &mut self.hmac_receiver;
        let judged = validate_with_trailer(&rules, meta, pdu, covered).and_then(|judged| {
            let latest = match (self.config.auth, authenticated) {
                (Auth::Header(key), Some(packet)) => {
                    ah::check(&key, packet, latest).map_err(|_| Counter::AuthFailure)?
                }
                (Auth::Header(_), None) => return Err(Counter::AuthTypeMismatch),
                (_, Some(_)) => return Err(Counter::AuthFailure),
                (_, None) => latest,
            };
            let (unsigned, skew) = match (hmac, trailer) {
                (None, _) => (false, None),
                (Some(hmac), None) if hmac.mode.wants_trailer() => return Err(Counter::HmacMissing),
                (Some(_), None) => (true, None),
                (Some(hmac), Some(trailer)) => {
                    let sequence = hmac::check(&hmac.keys, judged.source, pdu, trailer)?;
                    let rule = hmac.anti_replay;
                    let skew = receiver.accept(rule, judged.source, sequence, arrived_unix_ns())?;
                    (false, rule.is_near_edge(skew).then_some(skew))
                }
            };
            Ok((Accepted { judged, unsigned, skew }, latest))
        });
        let judged = judged.map(|(judged, latest)| {
            self.ah_latest = latest;
            judged
        });
        match &judged {
            Ok(Accepted { judged, .. }) => {
                self.stats.advert_rcvd += 1;
                self.stats.addr_list_err += u64::from(!judged.addresses_match);
                self.stats.pri_zero_rcvd += u64::from(judged.advert.priority == 0);
            }
            Err(reason) => self.count_reject(*reason),
        }
        judged
    }

    /// Builds the advert that goes out now, once for each destination, and hands each to `send`.
    pub(super) fn adverts(&mut self, priority: u8, mut send: impl FnMut(Outgoing<'_>)) {
        let Some(source) = self.source else { return };
        if matches!(self.config.auth, Auth::Header(_)) {
            // Ahead of what an earlier run of this daemon can have used: adverts are a second apart.
            self.ah_latest = self.ah_latest.saturating_add(1).max(seconds_since_1970());
        }
        // One sequence for all copies of an advert, as in keepalived: they are one advert.
        let signed = self
            .config
            .hmac
            .on()
            .filter(|hmac| hmac.mode.signs())
            .map(|hmac| (hmac.active, self.hmac_sender.next(hmac.anti_replay, clock::realtime_ns())));
        let advert = Advert {
            vrid: self.config.vrid,
            priority,
            interval: self.config.interval,
            version: self.config.version,
            family: self.config.family,
        };
        let mut buffer = [0; MAX_PDU];
        let mut emit = |destination: IpAddr, ttl: u8| {
            let Some(endpoints) = Endpoints::new(source, destination) else { return };
            let (auth, form) = (self.config.auth, self.config.checksum);
            // A configuration that was checked never leads to an error here, and there is nobody to tell in this path.
            if let Ok(len) = advert.emit(&self.addresses, auth, form, &endpoints, &mut buffer) {
                let len = match &signed {
                    Some((key, sequence)) => hmac::seal(key, *sequence, &endpoints, &mut buffer, len),
                    None => Some(len),
                };
                let Some(len) = len else { return };
                let pdu = &buffer[..len];
                match (auth, endpoints) {
                    (Auth::Header(key), Endpoints::V4 { source, destination }) => {
                        let mut packet = [0; MAX_AH_PACKET];
                        let between = (source, destination);
                        if let Some(len) = ah::emit(&key, between, ttl, self.ah_latest, pdu, &mut packet) {
                            send(Outgoing::Packet { destination, packet: &packet[..len] });
                        }
                    }
                    _ => send(Outgoing::Pdu { endpoints, ttl, pdu }),
                }
            }
        };
        match &self.config.unicast {
            Some(unicast) => unicast.peers.iter().for_each(|peer| emit(peer.address, unicast.ttl)),
            None => emit(standard_group(self.config.family), ADVERT_TTL),
        }
        self.stats.advert_sent += 1;
        self.stats.pri_zero_sent += u64::from(priority == 0);
    }

    /// Statistics of a transition.
    pub(super) fn count_transition(&mut self, from: State, to: State, reason: Reason) {
        self.stats.become_master += u64::from(to == State::Master);
        self.stats.release_master += u64::from(from == State::Master);
        let (was, is, reason) = (from.word(), to.word(), reason.word());
        let same = |known: &&mut TransitionCount| (known.from, known.to, known.reason) == (was, is, reason);
        match self.transitions.iter_mut().find(same) {
            Some(known) => known.count += 1,
            None => self.transitions.push(TransitionCount { from: was, to: is, reason, count: 1 }),
        }
        // The start itself leads to the state of before, if nothing has changed.
        self.before = self.before.filter(|(before, _)| from == State::Init && to == *before);
    }
}

/// What makes an advert one of this virtual router.
fn rules<'a>(
    config: &'a Instance,
    peers: &'a [Peer],
    addresses: &'a [IpAddr],
    own: &'a [IpAddr],
) -> Rules<'a> {
    let transport = match &config.unicast {
        Some(unicast) => Transport::Unicast { peers, check_source: unicast.check_source },
        None => Transport::Multicast { group: standard_group(config.family), sources: &config.check_source },
    };
    Rules {
        vrid: config.vrid,
        family: config.family,
        version: config.version,
        interval: config.interval,
        auth: config.auth,
        transport,
        addresses,
        any_addresses: config.skip_check_adv_addr,
        own_addresses: own,
    }
}

/// The node's name of the interface at this position in the daemon's list, which only grows.
pub(super) fn interface_id(position: usize) -> InterfaceId {
    InterfaceId(u32::try_from(position).unwrap_or(u32::MAX))
}
