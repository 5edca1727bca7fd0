//! The lines of a `vrrp_instance`, read one by one. What they mean together is [`super::instance`]'s job.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ha_common::types::{Priority, Version, Vrid};

use super::context::Context;
use super::fast::{self, FastDraft};
use super::garp::{self, GarpDraft};
use super::hmac::{self, HmacDraft};
use super::keyword;
use super::link::{self, LinkDraft};
use super::notify::NotifyDraft;
use super::track::{Known, TrackDraft};
use super::{global, route, rule, unicast, value, vip};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::{Addresses, Adverts, Authentication, Election, Instance as Keyword};
use crate::config::lexer::Word;
use crate::config::model::{GarpExtra, Route, Rule, UnicastPeer, Vip, XdpMode};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// An address with its place.
pub(super) type Placed<T> = (T, Span);

/// What was written, checked line by line.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) master: bool,
    pub(super) state_at: Option<Span>,
    pub(super) interface: Option<Placed<String>>,
    /// A bad interface or VRID was written, and has been reported.
    pub(super) broken: bool,
    pub(super) vrid: Option<Placed<Vrid>>,
    pub(super) priority: Option<Placed<Priority>>,
    pub(super) interval: Option<Placed<Duration>>,
    pub(super) auth_type: Option<Word>,
    pub(super) auth_pass: Option<Word>,
    pub(super) auth: Option<Span>,
    pub(super) hmac: Option<HmacDraft>,
    pub(super) vips: Vec<Placed<Vip>>,
    pub(super) excluded: Vec<Placed<Vip>>,
    pub(super) mcast_source: Option<Placed<IpAddr>>,
    pub(super) unicast_source: Option<Placed<IpAddr>>,
    pub(super) unicast_keyword: Option<Span>,
    pub(super) peers: Vec<Placed<UnicastPeer>>,
    pub(super) unicast_ttl: Option<u8>,
    pub(super) check_source: bool,
    /// `check_source { … }`, with the keyword.
    pub(super) sources: (Option<Span>, Vec<Placed<IpAddr>>),
    pub(super) nopreempt: Option<Span>,
    pub(super) preempt_delay: Option<Placed<Duration>>,
    pub(super) version: Option<Version>,
    pub(super) native_ipv6: Option<Span>,
    pub(super) dont_track_primary: bool,
    pub(super) trackers: TrackDraft,
    pub(super) notify: NotifyDraft,
    pub(super) link: LinkDraft,
    pub(super) routes: Vec<Placed<Route>>,
    pub(super) rules: Vec<Placed<Rule>>,
    /// `accept` (true) or `no_accept`.
    pub(super) accept: Option<(bool, Span)>,
    pub(super) hot_standby: bool,
    pub(super) track_source: Option<Span>,
    pub(super) vrf: Option<Placed<String>>,
    pub(super) promote_secondaries: bool,
    pub(super) fault_without_peers: bool,
    pub(super) garp_extra: Option<Option<GarpExtra>>,
    pub(super) owner_ignore_adverts: Option<bool>,
    pub(super) skip_check_adv_addr: Option<bool>,
    pub(super) garp: GarpDraft,
    pub(super) fast: FastDraft,
    pub(super) lower_prio_no_advert: Option<bool>,
    pub(super) higher_prio_send_advert: Option<bool>,
    pub(super) higher_prio_at: Option<Span>,
    pub(super) down_timer_adverts: Option<u8>,
    pub(super) xdp_mode: Option<XdpMode>,
    pub(super) checksum_as_v2: bool,
    pub(super) strict: Option<(bool, Span)>,
    pub(super) group: Option<Span>,
}

/// Keywords that have one value: a second one is worth a note.
fn single(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::Interface
            | Keyword::Election(
                Election::State
                    | Election::VirtualRouterId
                    | Election::Priority
                    | Election::AdvertInt
                    | Election::PreemptDelay
            )
            | Keyword::Adverts(
                Adverts::Version | Adverts::McastSrcIp | Adverts::UnicastSrcIp | Adverts::UnicastTtl
            )
    )
}

/// Longest interval that keepalived reads, in microseconds.
const MAX_INTERVAL: u64 = 255_000_000;

impl Draft {
    /// Read all lines of an instance.
    pub(super) fn read(statements: &[Statement], known: &Known, cx: &mut Context) -> Self {
        let mut draft = Self::default();
        let mut seen: HashMap<Keyword, Span> = HashMap::new();
        for stmt in statements {
            let Some(keyword) = keyword::known(stmt, cx) else { continue };
            let word = stmt.keyword();
            if single(keyword)
                && let Some(first) = seen.insert(keyword, word.span)
            {
                value::repeated(&word.text(), word.span, first, cx);
            }
            draft.line(keyword, stmt, known, cx);
        }
        dedupe(&mut draft.vips, cx);
        dedupe(&mut draft.excluded, cx);
        draft
    }

    fn line(&mut self, keyword: Keyword, stmt: &Statement, known: &Known, cx: &mut Context) {
        match keyword {
            Keyword::Election(keyword) => self.election(keyword, stmt, cx),
            Keyword::Adverts(keyword) => self.adverts(keyword, stmt, cx),
            Keyword::Addresses(keyword) => self.addresses(keyword, stmt, cx),
            Keyword::Fast(keyword) => fast::setting(keyword, stmt, &mut self.fast, cx),
            Keyword::Garp(keyword) => garp::setting(keyword, stmt, &mut self.garp, cx),
            Keyword::Link(keyword) => link::setting(keyword, stmt, &mut self.link, cx),
            Keyword::Notify(keyword) => self.notify.setting(keyword, stmt, cx),
            Keyword::Track(keyword) => self.trackers.setting(keyword, stmt, known, cx),
            Keyword::Interface => {
                let Some(word) = value::one(stmt, cx) else { return };
                let name = value::interface(word, cx).filter(|name| !loopback(name, word, cx));
                self.broken |= name.is_none();
                self.interface = name.map(|name| (name, word.span));
            }
            Keyword::Authentication => self.authentication(stmt, cx),
            Keyword::AuthHmac => hmac::block(stmt, &mut self.hmac, cx),
            Keyword::StrictMode => {
                if let Some(on) = value::boolean(stmt, cx) {
                    self.strict = Some((on, stmt.keyword().span));
                }
            }
            Keyword::DontTrackPrimary => {
                value::flag(stmt, cx);
                self.dont_track_primary = true;
            }
            Keyword::TrackSrcIp => {
                value::flag(stmt, cx);
                self.track_source = Some(stmt.keyword().span);
            }
            Keyword::NotifyMasterRxLowerPri => self.notify.master_rx_lower_pri(stmt, cx),
            Keyword::NotifyStandby => self.notify.standby(stmt, cx),
            Keyword::GarpExtraIf => self.garp_extra = garp::extra(stmt, cx).or(self.garp_extra),
            Keyword::PromoteSecondaries => {
                value::flag(stmt, cx);
                self.promote_secondaries = true;
            }
            Keyword::Vrf => {
                let Some(word) = value::one(stmt, cx) else { return };
                self.vrf = value::interface(word, cx).map(|name| (name, word.span));
            }
            Keyword::XdpMode => self.xdp_mode = global::xdp_mode(stmt, cx).or(self.xdp_mode),
        }
    }

    /// Who becomes master, and when.
    fn election(&mut self, keyword: Election, stmt: &Statement, cx: &mut Context) {
        match keyword {
            Election::State => self.state(stmt, cx),
            Election::VirtualRouterId => {
                let Some(word) = value::one(stmt, cx) else { return };
                let id = value::small(word, "virtual_router_id", 1..=255, "the instance does not run", cx);
                self.vrid = id.and_then(Vrid::new).map(|id| (id, word.span));
                self.broken |= self.vrid.is_none();
            }
            Election::Priority => {
                let Some(word) = value::one(stmt, cx) else { return };
                let value = value::small(word, "priority", 1..=255, "the default 100 is used", cx);
                let value = value.and_then(Priority::new).unwrap_or(Priority::DEFAULT);
                self.priority = Some((value, word.span));
            }
            Election::AdvertInt => {
                let Some(word) = value::one(stmt, cx) else { return };
                let range = 10_000..=MAX_INTERVAL;
                let value = value::seconds(word, "advert_int", range, "the default 1 s is used", cx);
                self.interval = value.map(|value| (value, word.span));
            }
            Election::DownTimerAdverts => {
                let Some(word) = value::one(stmt, cx) else { return };
                self.down_timer_adverts =
                    value::small(word, "down_timer_adverts", 1..=100, "the default is used", cx);
            }
            Election::Nopreempt => {
                value::flag(stmt, cx);
                self.nopreempt = Some(stmt.keyword().span);
            }
            Election::Preempt => {
                value::flag(stmt, cx);
                self.nopreempt = None;
            }
            Election::PreemptDelay => {
                let Some(word) = value::one(stmt, cx) else { return };
                let value = value::seconds(word, "preempt_delay", 0..=1_000_000_000, "ignored", cx);
                self.preempt_delay = value.map(|value| (value, word.span));
            }
            Election::LowerPrioNoAdvert => {
                self.lower_prio_no_advert = value::boolean(stmt, cx).or(self.lower_prio_no_advert);
            }
            Election::HigherPrioSendAdvert => {
                self.higher_prio_at = Some(stmt.keyword().span);
                self.higher_prio_send_advert = value::boolean(stmt, cx).or(self.higher_prio_send_advert);
            }
            Election::OwnerIgnoreAdverts => {
                self.owner_ignore_adverts = value::boolean(stmt, cx).or(self.owner_ignore_adverts);
            }
        }
    }

    /// How adverts are sent, and whose are heard.
    fn adverts(&mut self, keyword: Adverts, stmt: &Statement, cx: &mut Context) {
        let at = stmt.keyword().span;
        match keyword {
            Adverts::Version => self.version = global::version(stmt, cx).or(self.version),
            Adverts::V3ChecksumAsV2 => {
                self.checksum_as_v2 = value::boolean(stmt, cx).unwrap_or(false);
            }
            Adverts::McastDstIp => self.group = global::other_group(stmt, cx),
            Adverts::McastSrcIp => self.mcast_source = unicast::source(stmt, cx).or(self.mcast_source),
            Adverts::UnicastSrcIp => {
                self.unicast_keyword.get_or_insert(at);
                self.unicast_source = unicast::source(stmt, cx).or(self.unicast_source);
            }
            Adverts::UnicastPeer => {
                self.unicast_keyword = Some(at);
                unicast::peers(stmt, &mut self.peers, cx);
            }
            Adverts::UnicastTtl => {
                self.unicast_keyword.get_or_insert(at);
                let Some(word) = value::one(stmt, cx) else { return };
                self.unicast_ttl = value::small(word, "unicast_ttl", 0..=255, "255 is used", cx);
            }
            Adverts::CheckUnicastSrc => {
                value::flag(stmt, cx);
                self.unicast_keyword.get_or_insert(at);
                self.check_source = true;
            }
            Adverts::UnicastFaultNoPeer => {
                value::flag(stmt, cx);
                self.fault_without_peers = true;
            }
            Adverts::CheckSource => {
                self.sources.0 = Some(at);
                sources(stmt, &mut self.sources.1, cx);
            }
            Adverts::SkipCheckAdvAddr => {
                self.skip_check_adv_addr = value::boolean(stmt, cx).or(self.skip_check_adv_addr);
            }
        }
    }

    /// What the master holds.
    fn addresses(&mut self, keyword: Addresses, stmt: &Statement, cx: &mut Context) {
        match keyword {
            Addresses::VirtualIpaddress => vips(stmt, &mut self.vips, cx),
            Addresses::VirtualIpaddressExcluded => vips(stmt, &mut self.excluded, cx),
            Addresses::VirtualRoutes => routes(stmt, &mut self.routes, cx),
            Addresses::VirtualRules => rules(stmt, &mut self.rules, cx),
            Addresses::HotStandby => {
                self.hot_standby = value::boolean(stmt, cx).unwrap_or(self.hot_standby);
            }
            Addresses::NativeIpv6 => {
                value::flag(stmt, cx);
                self.native_ipv6 = Some(stmt.keyword().span);
            }
            Addresses::Accept | Addresses::NoAccept => {
                value::flag(stmt, cx);
                self.accept = Some((keyword == Addresses::Accept, stmt.keyword().span));
            }
        }
    }

    fn state(&mut self, stmt: &Statement, cx: &mut Context) {
        let Some(word) = value::one(stmt, cx) else { return };
        self.state_at = Some(word.span);
        match &*word.bytes {
            b"MASTER" => self.master = true,
            b"BACKUP" => self.master = false,
            _ => {
                self.master = false;
                value::bad_word(word, &["MASTER", "BACKUP"], "the instance starts as BACKUP", cx);
            }
        }
    }

    fn authentication(&mut self, stmt: &Statement, cx: &mut Context) {
        let Some(statements) = value::bare_block(stmt, cx) else { return };
        self.auth = Some(stmt.keyword().span);
        for stmt in statements {
            let Some(keyword) = keyword::known(stmt, cx) else { continue };
            let Some(word) = value::one(stmt, cx) else { continue };
            match keyword {
                Authentication::Type => self.auth_type = Some(word.clone()),
                Authentication::Pass => self.auth_pass = Some(word.clone()),
            }
        }
    }
}

/// keepalived refuses it, too (2.2.7, tried).
fn loopback(name: &str, word: &Word, cx: &mut Context) -> bool {
    if name == "lo" {
        cx.push(
            Diagnostic::error(codes::NO_INTERFACE, word.span, "`lo` cannot carry VRRP")
                .label("the instance does not run: no other router is behind the loopback interface")
                .help("write the interface that the other routers are on; `dev lo` behind an address puts it on lo"),
        );
    }
    name == "lo"
}

/// The routers that an instance hears, where not everybody on the link; xvrrp's own keyword.
fn sources(stmt: &Statement, out: &mut Vec<Placed<IpAddr>>, cx: &mut Context) {
    for stmt in value::bare_block(stmt, cx).unwrap_or_default() {
        value::flag(stmt, cx);
        let word = stmt.keyword();
        let address = value::host(word, "adverts from it are dropped", cx);
        out.extend(address.map(|address| (address, word.span)));
    }
}

fn vips(stmt: &Statement, out: &mut Vec<Placed<Vip>>, cx: &mut Context) {
    let Some(statements) = value::bare_block(stmt, cx) else { return };
    for stmt in statements {
        let Some(vip) = vip::lower(stmt, false, cx) else { continue };
        out.push((vip, stmt.keyword().span));
    }
}

fn routes(stmt: &Statement, out: &mut Vec<Placed<Route>>, cx: &mut Context) {
    for stmt in value::bare_block(stmt, cx).unwrap_or_default() {
        out.extend(route::lower(stmt, false, cx).map(|route| (route, stmt.span())));
    }
}

fn rules(stmt: &Statement, out: &mut Vec<Placed<Rule>>, cx: &mut Context) {
    for stmt in value::bare_block(stmt, cx).unwrap_or_default() {
        let rule = rule::lower(stmt, false, cx);
        out.extend(rule.map(|rule| (rule, stmt.span())));
    }
}

/// The kernel holds an address once per interface.
fn dedupe(list: &mut Vec<Placed<Vip>>, cx: &mut Context) {
    let mut first: HashMap<(IpAddr, Option<String>), (Span, usize)> = HashMap::new();
    list.retain(|(vip, span)| {
        let key = (vip.address, vip.device.clone());
        match first.get_mut(&key) {
            Some((earlier, lines)) => {
                *lines += 1;
                let message = format!("{} stands twice", vip.address);
                cx.push(
                    Diagnostic::note(codes::DUPLICATE_VIP, *span, message)
                        .label("it is added once; adverts carry it as often as it stands here, as keepalived's do")
                        .related(*earlier, "the first one stands at"),
                );
                false
            }
            None => {
                first.insert(key, (*span, 1));
                true
            }
        }
    });
    for (vip, _) in list {
        vip.lines = first.get(&(vip.address, vip.device.clone())).map_or(1, |(_, lines)| *lines);
    }
}
