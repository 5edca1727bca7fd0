//! `vrrp_instance`: what its lines mean together.

use std::net::IpAddr;
use std::time::Duration;

use ha_common::packet::{Auth, ChecksumForm};
use ha_common::types::{Centis, Family, Priority, Version, Vrid};

use super::context::Context;
use super::draft::{Draft, Placed};
use super::global::Globals;
use super::track::{Known, TrackDraft};
use super::{addresses, auth, fast, garp, hmac, value};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::model::{HmacSetting, Instance, NotifyScript, Place, Unicast};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// An instance, and where its parts stand.
#[derive(Debug)]
pub(super) struct Lowered {
    pub(super) instance: Instance,
    /// The block's name.
    pub(super) name: Span,
    /// The VRID's number.
    pub(super) vrid: Span,
    /// The interface's name.
    pub(super) interface: Span,
    /// Devices of addresses that name one.
    pub(super) devices: Vec<Placed<String>>,
    /// Its addresses and the interfaces that they are on.
    pub(super) addresses: Vec<Placed<(IpAddr, String)>>,
    /// `strict_mode on` of its own.
    pub(super) own_strict: Option<Span>,
    /// Strict mode drops packets to the addresses, and the file says neither `accept` nor `no_accept`.
    pub(super) unasked: bool,
    /// Where the trackers stand.
    pub(super) trackers: TrackDraft,
    /// The notify scripts with their lines.
    pub(super) notify: Vec<Placed<NotifyScript>>,
}

/// Read one block; `None` where the instance cannot run, which has been reported.
pub(super) fn lower(stmt: &Statement, globals: &Globals, known: &Known, cx: &mut Context) -> Option<Lowered> {
    let name = value::name(stmt, cx)?;
    let statements = value::block(stmt, cx)?;
    let draft = Draft::read(statements, known, cx);
    finish(name.text().into_owned(), name.span, draft, globals, cx)
}

/// What the lines of an instance agree on.
struct Agreed {
    strict: Option<Span>,
    family: Family,
    version: Version,
    interval: Centis,
    auth: Auth,
    hmac: HmacSetting,
    unicast: Option<Unicast>,
    source: Option<IpAddr>,
    check_source: Vec<IpAddr>,
    preempt_delay: Duration,
}

/// Hold the lines against each other; `None` where the instance cannot run.
fn agree(name: &str, at: Span, draft: &mut Draft, globals: &Globals, cx: &mut Context) -> Option<Agreed> {
    let strict = match draft.strict {
        Some((on, span)) => on.then_some(span),
        None => globals.strict,
    };
    let family = addresses::family(draft);
    let version = version(draft, family, globals, at, cx);
    let interval = interval(draft, version, cx);
    let auth = auth::finish(draft, version, strict, name, cx);
    let hmac = hmac::finish(draft.hmac.take(), interval, strict, name, cx);
    addresses::check(draft, family, name, at, cx);
    let unicast = addresses::unicast(draft, family, globals, cx);
    let source = addresses::source(draft, family, unicast.is_some(), cx);
    if let Some(strict) = strict {
        strictly(draft, strict, cx);
    }
    let check_source = addresses::check_source(draft, family, unicast.is_some(), name, cx);
    draft.broken |= check_source.is_err();
    if unicast.is_none() {
        multicast(draft, family, globals, name, cx);
    }
    let preempt_delay = preemption(draft, cx);
    owner(draft, cx);
    identity(draft, name, at, cx);
    if draft.broken {
        return None;
    }
    let check_source = check_source.unwrap_or_default();
    // Where there is no `auth`, that has been reported.
    let auth = auth?;
    Some(Agreed {
        strict,
        family,
        version,
        interval,
        auth,
        hmac,
        unicast,
        source,
        check_source,
        preempt_delay,
    })
}

fn finish(name: String, at: Span, mut draft: Draft, globals: &Globals, cx: &mut Context) -> Option<Lowered> {
    let agreed = agree(&name, at, &mut draft, globals, cx)?;
    // Both are there, or else it has been reported.
    let ((interface, interface_span), (vrid, vrid_span)) = (draft.interface.take()?, draft.vrid?);
    let link = std::mem::take(&mut draft.link);
    let vmac_addresses = link.addresses.is_some();
    let link = link.finish(agreed.family, vrid, agreed.unicast.is_some(), &name, cx).ok()?;
    own_interface(&mut draft.trackers, &interface, cx);
    let notify = std::mem::take(&mut draft.notify.scripts);
    let trackers = std::mem::take(&mut draft.trackers);
    let own_strict = draft.strict.map(|(_, span)| span);
    let unasked = agreed.strict.is_some() && draft.accept.is_none();
    let spans: Vec<Span> = draft.vips.iter().chain(&draft.excluded).map(|(_, span)| *span).collect();
    let identity = Identity { name, interface, vrid, place: cx.place(at) };
    let mut instance = instance(identity, draft, agreed, globals);
    (instance.link, instance.vmac_addresses) = (link, vmac_addresses);
    instance.track(trackers.model());
    let vips = || instance.vips.iter().chain(&instance.excluded).zip(spans.iter().copied());
    let devices = vips().filter_map(|(vip, span)| Some((vip.device.clone()?, span))).collect();
    let addresses =
        vips().map(|(vip, span)| ((vip.address, instance.device_of(vip).to_owned()), span)).collect();
    Some(Lowered {
        name: at,
        vrid: vrid_span,
        interface: interface_span,
        devices,
        addresses,
        own_strict,
        unasked,
        trackers,
        notify,
        instance,
    })
}

/// What an instance is known by.
struct Identity {
    name: String,
    interface: String,
    vrid: Vrid,
    place: Place,
}

/// The instance with all defaults, without its link and its trackers.
fn instance(identity: Identity, draft: Draft, agreed: Agreed, globals: &Globals) -> Instance {
    let Identity { name, interface, vrid, place } = identity;
    let strict = agreed.strict.is_some();
    let has_peers = agreed.unicast.is_some();
    Instance {
        name,
        interface,
        vrid,
        family: agreed.family,
        version: agreed.version,
        priority: draft.priority.map_or(Priority::DEFAULT, |(priority, _)| priority),
        starts_as_master: draft.master,
        interval: agreed.interval,
        auth: agreed.auth,
        hmac: agreed.hmac,
        checksum: if draft.checksum_as_v2 { ChecksumForm::MessageOnly } else { ChecksumForm::PseudoHeader },
        vips: strip(draft.vips),
        excluded: strip(draft.excluded),
        source: agreed.source,
        unicast: agreed.unicast,
        preempt: draft.nopreempt.is_none(),
        preempt_delay: agreed.preempt_delay,
        track_primary: !draft.dont_track_primary,
        lower_prio_no_advert: draft.lower_prio_no_advert.or(globals.lower_prio_no_advert).unwrap_or(strict),
        higher_prio_send_advert: draft.higher_prio_send_advert.unwrap_or(globals.higher_prio_send_advert),
        down_timer_adverts: draft.down_timer_adverts.or(globals.down_timer_adverts).unwrap_or(3),
        garp: garp::finish(&draft.garp, &globals.garp, strict),
        fast: fast::finish(&draft.fast, &globals.fast),
        track_scripts: Vec::new(),
        track_interfaces: Vec::new(),
        track_files: Vec::new(),
        track_processes: Vec::new(),
        track_bfd: Vec::new(),
        track_checks: Vec::new(),
        // keepalived cannot bind to an address of peers that is not here, and stays in FAULT (2.2.7, tried).
        track_source: draft.track_source.is_some() || has_peers,
        routes: strip(draft.routes),
        rules: strip(draft.rules),
        notify: draft.notify.finish(&globals.notify),
        // keepalived.conf(5): accept mode is off in strict mode unless the file says otherwise.
        hot_standby: draft.hot_standby,
        accept: draft.accept.map_or(!strict, |(accept, _)| accept),
        strict,
        link: None,
        vmac_addresses: false,
        vrf: draft.vrf.map(|(name, _)| name),
        promote_secondaries: draft.promote_secondaries,
        fault_without_peers: draft.fault_without_peers && draft.unicast_keyword.is_some() && !has_peers,
        garp_extra: draft.garp_extra.unwrap_or(globals.garp_extra),
        owner_ignore_adverts: draft.owner_ignore_adverts.unwrap_or(globals.owner_ignore_adverts),
        skip_check_adv_addr: draft.skip_check_adv_addr.unwrap_or(globals.skip_check_adv_addr),
        check_source: agreed.check_source,
        xdp_mode: draft.xdp_mode.unwrap_or(globals.global.xdp_mode),
        place,
    }
}

/// An instance's own interface is tracked anyway; keepalived ignores it in `track_interface` (2.2.7, tried).
fn own_interface(trackers: &mut TrackDraft, interface: &str, cx: &mut Context) {
    trackers.interfaces.retain(|(track, span)| {
        let own = track.interface == interface;
        if own {
            let message = format!("`{interface}` is the instance's own interface");
            cx.push(
                Diagnostic::warning(codes::NOT_TRACKED, *span, message)
                    .label("ignored in track_interface, as in keepalived: it is tracked anyway")
                    .help("remove it; with dont_track_primary it is not tracked at all"),
            );
        }
        !own
    });
}

fn strip<T>(list: Vec<Placed<T>>) -> Vec<T> {
    list.into_iter().map(|(value, _)| value).collect()
}

/// Interface and VRID must be there. keepalived takes unicast instances without an interface; not yet here.
fn identity(draft: &Draft, name: &str, at: Span, cx: &mut Context) {
    if draft.interface.is_none() && !draft.broken {
        let message = format!("instance `{name}` has no interface");
        cx.push(
            Diagnostic::error(codes::NO_INTERFACE, at, message)
                .label("it does not run")
                .help("add a line such as: interface eth0"),
        );
    }
    if draft.vrid.is_none() && !draft.broken {
        let message = format!("instance `{name}` has no virtual_router_id");
        cx.push(
            Diagnostic::error(codes::NO_VRID, at, message)
                .label("it does not run")
                .help("add a line such as: virtual_router_id 51, the same on all routers"),
        );
    }
}

/// Another group is not implemented yet. Peers that use it are not heard: running would make two masters.
fn multicast(draft: &mut Draft, family: Family, globals: &Globals, name: &str, cx: &mut Context) {
    let global = if family == Family::V4 { globals.group4 } else { globals.group6 };
    let Some(span) = draft.group.or(global) else { return };
    draft.broken = true;
    let message = "a multicast group of one's own is not implemented yet";
    cx.push(
        Diagnostic::error(codes::OTHER_GROUP, span, message)
            .label(format!("instance `{name}` does not run: it would not hear its peers"))
            .help("use the standard group on all routers, or unicast_peer"),
    );
}

fn version(draft: &Draft, family: Family, globals: &Globals, at: Span, cx: &mut Context) -> Version {
    if family == Family::V6 {
        if draft.version == Some(Version::V2) {
            let message = "IPv6 always uses VRRP version 3";
            cx.push(Diagnostic::note(codes::NOT_NEEDED, at, message).label("version 2 is ignored"));
        }
        return Version::V3;
    }
    draft.version.or(globals.version).unwrap_or(Version::V2)
}

/// The interval in units that the version can send.
fn interval(draft: &Draft, version: Version, cx: &mut Context) -> Centis {
    let Some((wanted, span)) = draft.interval else { return Centis::DEFAULT };
    let micros = u64::try_from(wanted.as_micros()).unwrap_or(u64::MAX);
    let (unit, longest) = match version {
        Version::V2 => (100, Centis::MAX_V2),
        Version::V3 => (1, Centis::MAX_V3),
    };
    let steps =
        (micros / 10_000 / unit).saturating_add(u64::from(micros % (10_000 * unit) * 2 >= 10_000 * unit));
    let centis = u16::try_from(steps.max(1) * unit)
        .ok()
        .and_then(Centis::new)
        .map_or(longest, |centis| centis.min(longest));
    if u64::from(centis.get()) * 10_000 != micros {
        let (message, help) = match version {
            Version::V2 => (
                "VRRP version 2 advertises in whole seconds up to 255 s",
                "use version 3 for fractions of a second",
            ),
            Version::V3 => {
                ("VRRP version 3 advertises in steps of 0.01 s up to 40.95 s", "write such a step")
            }
        };
        let used = f64::from(centis.get()) / 100.0;
        cx.push(
            Diagnostic::warning(codes::ROUNDED, span, message)
                .label(format!("{} s becomes {used} s", wanted.as_secs_f64()))
                .help(help),
        );
    }
    centis
}

/// What strict mode overrides, besides authentication (keepalived.conf(5), `vrrp_strict`).
fn strictly(draft: &mut Draft, strict: Span, cx: &mut Context) {
    let mut reset = |span: Span, keyword: &str| {
        let message = format!("{keyword} is reset by strict mode");
        cx.push(
            Diagnostic::warning(codes::STRICT_RESETS, span, message)
                .label("ignored")
                .related(strict, "strict mode is set at"),
        );
    };
    let owner = draft.priority.is_some_and(|(priority, _)| priority == Priority::OWNER);
    if draft.master && !owner {
        draft.master = false;
        reset(draft.state_at.unwrap_or(strict), "state MASTER");
    }
    if let Some((_, span)) = draft.preempt_delay.take_if(|(delay, _)| !delay.is_zero()) {
        reset(span, "preempt_delay");
    }
    if let Some(span) = draft.higher_prio_at.filter(|_| draft.higher_prio_send_advert == Some(true)) {
        reset(span, "higher_prio_send_advert");
        draft.higher_prio_send_advert = Some(false);
    }
}

/// `nopreempt` and `preempt_delay` against `state MASTER` and each other, as keepalived resolves them.
fn preemption(draft: &mut Draft, cx: &mut Context) -> Duration {
    if draft.master {
        let mut refuse = |span: Span, keyword: &str| {
            let message = format!("{keyword} does not work with state MASTER");
            cx.push(
                Diagnostic::error(codes::PREEMPT_CONFLICT, span, message)
                    .label(format!("{keyword} is cleared"))
                    .help("write state BACKUP on all routers; priorities decide who becomes master"),
            );
        };
        if let Some(span) = draft.nopreempt.take() {
            refuse(span, "nopreempt");
        }
        if let Some((_, span)) = draft.preempt_delay.take_if(|(delay, _)| !delay.is_zero()) {
            refuse(span, "preempt_delay");
        }
    }
    if draft.nopreempt.is_some()
        && let Some((_, span)) = draft.preempt_delay.take_if(|(delay, _)| !delay.is_zero())
    {
        cx.push(
            Diagnostic::warning(codes::PREEMPT_CONFLICT, span, "preempt_delay means nothing with nopreempt")
                .label("preempt_delay is cleared"),
        );
    }
    draft.preempt_delay.map_or(Duration::ZERO, |(delay, _)| delay)
}

/// Priority 255 claims the addresses as this router's own.
fn owner(draft: &Draft, cx: &mut Context) {
    let Some((priority, span)) = draft.priority else { return };
    if priority != Priority::OWNER {
        return;
    }
    cx.push(
        Diagnostic::note(
            codes::OWNER_PRIORITY,
            span,
            "priority 255 is for the router that owns the addresses",
        )
        .label("it becomes master at once, and trackers do not change its priority")
        .help("use at most 254 unless the virtual address is this router's real one"),
    );
}
