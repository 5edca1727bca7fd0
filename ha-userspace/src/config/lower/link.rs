//! `use_vmac`, `use_ipvlan` and what belongs to them.

use std::net::IpAddr;

use ha_common::types::{Family, Vrid};

use super::context::Context;
use super::value;
use super::words;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::Link as Keyword;
use crate::config::lexer::Word;
use crate::config::model::{Ipvlan, IpvlanMode, VirtualLink, Vmac};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// What was written.
#[derive(Debug, Default)]
pub(super) struct LinkDraft {
    vmac: Option<(VmacDraft, Span)>,
    ipvlan: Option<(Ipvlan, Span)>,
    pub(super) xmit_base: Option<Span>,
    pub(super) addresses: Option<Span>,
}

#[derive(Debug, Default)]
struct VmacDraft {
    name: Option<String>,
    mac: Option<Mac>,
}

#[derive(Clone, Copy, Debug)]
enum Mac {
    Five([u8; 5]),
    Six([u8; 6]),
}

/// Read one keyword.
pub(super) fn setting(keyword: Keyword, stmt: &Statement, draft: &mut LinkDraft, cx: &mut Context) {
    match keyword {
        Keyword::UseVmac => draft.vmac = Some((vmac(stmt, cx), stmt.span())),
        Keyword::UseIpvlan => draft.ipvlan = Some((ipvlan(stmt, cx), stmt.span())),
        Keyword::UseVmacAddr => {
            value::flag(stmt, cx);
            draft.addresses = Some(stmt.keyword().span);
        }
        Keyword::VmacXmitBase => {
            value::flag(stmt, cx);
            draft.xmit_base = Some(stmt.keyword().span);
        }
    }
}

fn vmac(stmt: &Statement, cx: &mut Context) -> VmacDraft {
    value::no_block(stmt, cx);
    value::extra(stmt, 2, cx);
    let mut draft = VmacDraft::default();
    for word in stmt.args().iter().take(2) {
        if let Some(mac) = mac(word) {
            let (Mac::Five([a, b, c, d, e]) | Mac::Six([a, b, c, d, e, _])) = mac;
            if matches!([a, b, c, d, e], [0, 0, 0x5e, 0, 1 | 2]) {
                let message = format!("`{}` is a virtual router's own address", word.text());
                cx.push(
                    Diagnostic::warning(codes::LINK_CONFLICT, word.span, message)
                        .label("the one that belongs to virtual_router_id is used")
                        .help("leave it out, or write an address of your own such as 02:00:00:00:01"),
                );
            } else {
                draft.mac = Some(mac);
            }
        } else if word.bytes.iter().filter(|byte| **byte == b':').count() >= 4 {
            let message = format!("`{}` is not a MAC address", word.text());
            cx.push(
                Diagnostic::error(codes::BAD_ADDRESS, word.span, message)
                    .label("the virtual router's own is used")
                    .help("write a unicast address of five or six octets, such as 02:00:5e:00:01"),
            );
        } else {
            draft.name = value::interface(word, cx).or(draft.name);
        }
    }
    draft
}

fn mac(word: &Word) -> Option<Mac> {
    let text = std::str::from_utf8(&word.bytes).ok()?;
    let octets: Option<Vec<u8>> = text
        .split(':')
        .map(|part| {
            Some(part)
                .filter(|part| (1..=2).contains(&part.len()))
                .and_then(|p| u8::from_str_radix(p, 16).ok())
        })
        .collect();
    let octets = octets?;
    // A group address cannot be an interface's.
    if octets.first()? & 1 == 1 || text.contains('+') {
        return None;
    }
    match octets.len() {
        5 => octets.try_into().ok().map(Mac::Five),
        6 => octets.try_into().ok().map(Mac::Six),
        _ => None,
    }
}

fn ipvlan(stmt: &Statement, cx: &mut Context) -> Ipvlan {
    value::no_block(stmt, cx);
    value::extra(stmt, 3, cx);
    let mut link = Ipvlan { name: None, address: None, mode: IpvlanMode::Bridge };
    for word in stmt.args().iter().take(3) {
        match &*word.bytes {
            b"bridge" => link.mode = IpvlanMode::Bridge,
            b"private" => link.mode = IpvlanMode::Private,
            b"vepa" => link.mode = IpvlanMode::Vepa,
            _ => {
                let text = word.text();
                // A name may have points, but is no address.
                let address = text.split('/').next().unwrap_or_default().parse::<IpAddr>().is_ok();
                if address || text.contains('/') {
                    let prefix = words::prefix(word, None, cx);
                    link.address = prefix.map(|prefix| (prefix.address, prefix.length));
                } else {
                    link.name = value::interface(word, cx).or(link.name);
                }
            }
        }
    }
    link
}

/// RFC 9568 section 7.3.
fn rfc(family: Family, vrid: Vrid) -> [u8; 6] {
    [0, 0, 0x5e, 0, if family == Family::V4 { 1 } else { 2 }, vrid.get()]
}

impl LinkDraft {
    /// The interface that the instance gets, and whether it may run.
    pub(super) fn finish(
        self,
        family: Family,
        vrid: Vrid,
        unicast: bool,
        name: &str,
        cx: &mut Context,
    ) -> Result<Option<VirtualLink>, ()> {
        if let (Some((_, first)), Some((_, span))) = (&self.vmac, &self.ipvlan) {
            let message = format!("instance `{name}` has both use_vmac and use_ipvlan");
            cx.push(
                Diagnostic::error(codes::LINK_CONFLICT, *span, message)
                    .label("use_ipvlan is ignored")
                    .related(*first, "use_vmac stands at"),
            );
        }
        if let Some((draft, span)) = self.vmac {
            let mac = match draft.mac {
                None => rfc(family, vrid),
                Some(Mac::Six(mac)) => mac,
                Some(Mac::Five([a, b, c, d, e])) => [a, b, c, d, e, vrid.get()],
            };
            let asked = self.xmit_base.is_some();
            if unicast && !asked {
                from_base(span, cx);
            }
            return Ok(Some(VirtualLink::Vmac(Vmac { name: draft.name, mac, xmit_base: asked || unicast })));
        }
        if let Some(span) = self.xmit_base {
            let message = "vmac_xmit_base without use_vmac";
            cx.push(Diagnostic::warning(codes::NOT_NEEDED, span, message).label("ignored"));
        }
        let Some((link, span)) = self.ipvlan else { return Ok(None) };
        let of_family = |address: IpAddr| address.is_ipv4() == (family == Family::V4);
        if let Some((address, _)) = link.address.filter(|(address, _)| !of_family(*address)) {
            let message = format!("{address} is of another family than the instance");
            cx.push(
                Diagnostic::error(codes::BAD_ADDRESS, span, message).label(format!("`{name}` does not run")),
            );
            return Err(());
        }
        if family == Family::V4 && link.address.is_none() {
            let message = "use_ipvlan needs an address for IPv4";
            cx.push(
                Diagnostic::error(codes::LINK_CONFLICT, span, message)
                    .label(format!("`{name}` does not run"))
                    .help("write use_ipvlan NAME ADDRESS/LENGTH, with an address that only this router has"),
            );
            return Err(());
        }
        Ok(Some(VirtualLink::Ipvlan(link)))
    }
}

/// Adverts to peers do not leave a virtual MAC interface.
fn from_base(span: Span, cx: &mut Context) {
    let message = "use_vmac with unicast peers sends from the base interface";
    cx.push(
        Diagnostic::warning(codes::LINK_CONFLICT, span, message)
            .label("vmac_xmit_base is set, as keepalived wants it")
            .help("write vmac_xmit_base"),
    );
}
