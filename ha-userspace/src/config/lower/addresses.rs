//! Addresses of an instance: families, numbers, sources, peers.

use std::net::IpAddr;

use ha_common::types::{ADVERT_TTL, Family};

use super::context::Context;
use super::draft::{Draft, Placed};
use super::global::Globals;
use super::unicast;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::model::{Unicast, Vip};
use crate::config::source::Span;

/// Most addresses in an advert: the count is a byte (RFC 9568 section 5.2.5).
const MAX_V4: usize = 255;
/// Most IPv6 addresses in an advert of 1500 bytes: (1500 - 40 - 8) / 16, less one, as keepalived counts.
const MAX_V6: usize = 89;

/// The family of the first virtual address; without one, that of the other hints.
pub(super) fn family(draft: &Draft) -> Family {
    let of = |address: IpAddr| if address.is_ipv4() { Family::V4 } else { Family::V6 };
    // Whichever stands first, as keepalived reads it.
    match (draft.vips.first(), draft.native_ipv6) {
        (Some((_, first)), Some(native)) if native.file == first.file && native.start < first.start => {
            Family::V6
        }
        (Some((vip, _)), _) => of(vip.address),
        (None, Some(_)) => Family::V6,
        (None, None) => hinted(draft, of),
    }
}

fn hinted(draft: &Draft, of: impl Fn(IpAddr) -> Family) -> Family {
    draft.mcast_source.or(draft.unicast_source).map_or(Family::V4, |(address, _)| of(address))
}

fn matches(address: IpAddr, family: Family) -> bool {
    address.is_ipv4() == (family == Family::V4)
}

/// Virtual addresses of one family, as many as an advert holds.
pub(super) fn check(draft: &mut Draft, family: Family, name: &str, at: Span, cx: &mut Context) {
    draft.vips.retain(|(vip, span)| {
        let fits = matches(vip.address, family);
        if !fits {
            let message = format!("{} is of another family than the addresses above", vip.address);
            cx.push(
                Diagnostic::error(codes::MIXED_FAMILIES, *span, message)
                    .label("ignored: one instance advertises one family")
                    .help("write it into virtual_ipaddress_excluded, or into an instance of its own"),
            );
        }
        fits
    });
    if let Some(span) = draft.native_ipv6
        && family == Family::V4
    {
        let message = "native_ipv6 with IPv4 addresses";
        cx.push(Diagnostic::error(codes::MIXED_FAMILIES, span, message).label("native_ipv6 is ignored"));
    }
    if draft.vips.is_empty() {
        let message = format!("instance `{name}` has no virtual address");
        cx.push(
            Diagnostic::warning(codes::NO_VIP, at, message)
                .label("it elects a master, which then has nothing to serve")
                .help("add a virtual_ipaddress block"),
        );
    }
    overflow(draft, if family == Family::V4 { MAX_V4 } else { MAX_V6 }, cx);
}

fn overflow(draft: &mut Draft, most: usize, cx: &mut Context) {
    if draft.vips.iter().map(|(vip, _)| vip.lines).sum::<usize>() > most {
        // Addresses that stand twice must not take the room of others.
        draft.vips.iter_mut().for_each(|(vip, _)| vip.lines = 1);
    }
    if draft.vips.len() <= most {
        return;
    }
    let rest: Vec<Placed<Vip>> = draft.vips.split_off(most);
    if let Some((_, span)) = rest.first() {
        let message = format!("an advert holds {most} addresses, and these are {}", most + rest.len());
        cx.push(
            Diagnostic::warning(codes::TOO_MANY_VIPS, *span, message)
                .label("from here on they are treated as virtual_ipaddress_excluded")
                .help("move them there; they are added and removed just the same"),
        );
    }
    draft.excluded.splice(0..0, rest);
}

/// The peers of the instance's family; `None` for multicast.
pub(super) fn unicast(
    draft: &mut Draft,
    family: Family,
    globals: &Globals,
    cx: &mut Context,
) -> Option<Unicast> {
    let keyword = draft.unicast_keyword?;
    draft.peers.retain(|(peer, span)| {
        let fits = matches(peer.address, family);
        if !fits {
            unicast::wrong_family("unicast peer", peer.address, *span, "this peer is not used", cx);
        }
        fits
    });
    if draft.peers.is_empty() && draft.fault_without_peers {
        let message = "a unicast keyword without a unicast peer";
        cx.push(
            Diagnostic::note(codes::UNICAST_WITHOUT_PEER, keyword, message)
                .label("the instance stays in FAULT, as unicast_fault_no_peer says")
                .help("add a unicast_peer block with the other routers' addresses"),
        );
        return None;
    }
    if draft.peers.is_empty() {
        cx.push(
            Diagnostic::warning(
                codes::UNICAST_WITHOUT_PEER,
                keyword,
                "a unicast keyword without a unicast peer",
            )
            .label("the instance uses multicast, as keepalived does")
            .help("add a unicast_peer block with the other routers' addresses"),
        );
        return None;
    }
    let limits = draft.peers.iter().any(|(peer, _)| peer.min_ttl.is_some() || peer.max_ttl.is_some());
    Some(Unicast {
        peers: draft.peers.iter().map(|(peer, _)| *peer).collect(),
        // Limits are per peer, so the peer has to be known (keepalived.conf(5), unicast_peer).
        check_source: draft.check_source || globals.check_unicast_src || limits,
        ttl: draft.unicast_ttl.unwrap_or(ADVERT_TTL),
    })
}

/// `check_source`: those of the instance's family. Empty for an instance with peers, which has `check_unicast_src`.
///
/// # Errors
/// It names nobody that could be heard: everybody would be master, or everybody heard.
pub(super) fn check_source(
    draft: &mut Draft,
    family: Family,
    unicast: bool,
    name: &str,
    cx: &mut Context,
) -> Result<Vec<IpAddr>, ()> {
    let (keyword, mut sources) = std::mem::take(&mut draft.sources);
    let Some(keyword) = keyword else { return Ok(Vec::new()) };
    if unicast {
        cx.push(
            Diagnostic::note(codes::NOT_NEEDED, keyword, "`check_source` has no effect beside unicast_peer")
                .label("it is for instances that use multicast")
                .help("write check_unicast_src"),
        );
        return Ok(Vec::new());
    }
    sources.retain(|(address, span)| {
        let fits = matches(*address, family);
        if !fits {
            unicast::wrong_family("source", *address, *span, "it is not among those that are heard", cx);
        }
        fits
    });
    if sources.is_empty() {
        cx.push(
            Diagnostic::error(
                codes::BAD_ADDRESS,
                keyword,
                format!("`check_source` of `{name}` names no router"),
            )
            .label("the instance does not run: it would hear nobody and be master beside others")
            .help("write the addresses that the other routers send adverts from"),
        );
        return Err(());
    }
    Ok(sources.into_iter().map(|(address, _)| address).collect())
}

/// The source address: the one that belongs to the way of sending comes first.
pub(super) fn source(draft: &Draft, family: Family, unicast: bool, cx: &mut Context) -> Option<IpAddr> {
    let (first, second) = if unicast {
        (draft.unicast_source, draft.mcast_source)
    } else {
        (draft.mcast_source, draft.unicast_source)
    };
    let mut found = None;
    for (address, span) in first.into_iter().chain(second) {
        if matches(address, family) {
            found = found.or(Some(address));
        } else {
            unicast::wrong_family("source", address, span, "the interface's address is used", cx);
        }
    }
    found
}
