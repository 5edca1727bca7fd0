//! One line of `virtual_ipaddress` or `virtual_ipaddress_excluded`.

use std::net::{IpAddr, Ipv4Addr};

use super::value;
use super::words::prefixed;
use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::keywords;
use crate::config::lexer::Word;
use crate::config::model::Vip;
use crate::config::pending;
use crate::config::tree::Statement;

/// Read one address line; `None` where there is no usable address on it.
///
/// `fixed` for static addresses, which belong to no instance.
pub(super) fn lower(stmt: &Statement, fixed: bool, diags: &mut Diagnostics) -> Option<Vip> {
    value::no_block(stmt, diags);
    let first = stmt.keyword();
    let (address, prefix) = prefixed(first, "192.0.2.1/24", diags)?;
    let mut vip = Vip {
        scope: default_scope(address),
        preferred_lft: (address.is_ipv6() && prefix == 128).then_some(0),
        place: diags.sources.place(first.span),
        ..Vip::plain(address, prefix)
    };
    let mut words = stmt.args().iter();
    while let Some(word) = words.next() {
        pending::option(word, diags);
        option(word, &mut words, &mut vip, fixed, diags)?;
    }
    Some(vip)
}

/// IPv4 addresses are global, also loopback ones, as in keepalived; the kernel gives IPv6 addresses their scope.
fn default_scope(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 0,
        IpAddr::V6(address) if address.is_loopback() => 254,
        IpAddr::V6(address) if address.is_unicast_link_local() => 253,
        IpAddr::V6(_) => 0,
    }
}

/// One option; `None` where the address has to be given up.
fn option<'a>(
    word: &'a Word,
    rest: &mut impl Iterator<Item = &'a Word>,
    vip: &mut Vip,
    fixed: bool,
    diags: &mut Diagnostics,
) -> Option<()> {
    let mut argument = |diags: &mut Diagnostics| {
        let next = rest.next();
        if next.is_none() {
            let message = format!("`{}` lacks its parameter", word.text());
            let finding = Diagnostic::error(codes::MISSING_PARAMETER, word.span, message);
            diags.push(finding.cause("the address is not used"));
        }
        next
    };
    match &*word.bytes {
        b"dev" => {
            vip.device = value::interface(argument(diags)?, diags);
            // An address on the wrong interface is worse than none.
            vip.device.as_ref()?;
        }
        b"brd" | b"broadcast" => {
            vip.broadcast = broadcast(argument(diags)?, vip, diags);
        }
        b"scope" => {
            let word = argument(diags)?;
            if vip.address.is_ipv6() {
                let message = "the kernel gives IPv6 addresses their scope";
                diags.push(Diagnostic::warning(codes::NOT_NEEDED, word.span, message).cause("ignored"));
            } else {
                vip.scope = scope(word, diags).unwrap_or(vip.scope);
            }
        }
        b"label" => {
            vip.label = Some(label(argument(diags)?, diags)?);
        }
        b"noprefixroute" => vip.noprefixroute = true,
        // IPv6 addresses are always added without DAD.
        b"-nodad" => {}
        b"preferred_lft" => {
            let word = argument(diags)?;
            let seconds = value::parse_number(&word.bytes).and_then(|n| u32::try_from(n).ok());
            match seconds {
                Some(seconds) => vip.preferred_lft = Some(seconds),
                None if word.is("forever") => vip.preferred_lft = None,
                None => value::bad_word(word, &["forever", "0"], "the default is used", diags),
            }
        }
        b"home" => vip.home = true,
        b"mngtmpaddr" => vip.mngtmpaddr = true,
        b"autojoin" => vip.autojoin = true,
        b"no_track" => vip.no_track = true,
        b"use_vmac" if !fixed => vip.vmac = true,
        b"track_group" if fixed => {
            vip.track_group = Some(argument(diags)?.text().into_owned());
        }
        b"peer" => {
            {
                let word = argument(diags)?;
                let (address, own) = prefixed(word, "192.0.2.1/24", diags)?;
                // keepalived takes no length here: the address's own is that of the peer's network.
                let prefix = if word.bytes.contains(&b'/') { own } else { vip.prefix };
                if address.is_ipv4() == vip.address.is_ipv4() {
                    vip.peer = Some((address, prefix));
                } else {
                    let message = format!("peer {address} is of another family than the address");
                    let finding = Diagnostic::error(codes::BAD_ADDRESS, word.span, message);
                    diags.push(finding.cause("the address is not used"));
                    return None;
                }
            }
        }
        _ => {
            let another = word.text().split('/').next().is_some_and(|text| text.parse::<IpAddr>().is_ok());
            if another {
                let message = format!("a second address `{}` on the line", word.text());
                diags.push(
                    Diagnostic::warning(codes::EXTRA_WORDS, word.span, message)
                        .cause("ignored")
                        .help("write one address on a line"),
                );
            } else {
                let mut finding = Diagnostic::warning(
                    codes::UNKNOWN_KEYWORD,
                    word.span,
                    format!("unknown address option `{}`", word.text()),
                )
                .cause("ignored");
                if let Some(near) = keywords::closest(&word.text(), keywords::ADDRESS_OPTIONS.iter().copied())
                {
                    finding = finding.help(format!("did you mean `{near}`?"));
                }
                diags.push(finding);
            }
        }
    }
    Some(())
}

fn broadcast(word: &Word, vip: &Vip, diags: &mut Diagnostics) -> Option<Ipv4Addr> {
    let IpAddr::V4(address) = vip.address else {
        let message = "IPv6 has no broadcast address";
        diags.push(Diagnostic::warning(codes::BAD_ADDRESS, word.span, message).cause("ignored"));
        return None;
    };
    let hosts = u32::MAX.checked_shr(u32::from(vip.prefix)).unwrap_or(0);
    match &*word.bytes {
        b"+" => Some(Ipv4Addr::from_bits(address.to_bits() | hosts)),
        b"-" => Some(Ipv4Addr::from_bits(address.to_bits() & !hosts)),
        _ => match value::address(word, "no broadcast address is set", diags)? {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => {
                let message = "an IPv4 address has an IPv4 broadcast address";
                diags.push(Diagnostic::error(codes::BAD_ADDRESS, word.span, message).cause("ignored"));
                None
            }
        },
    }
}

fn scope(word: &Word, diags: &mut Diagnostics) -> Option<u8> {
    Some(match &*word.bytes {
        b"global" => 0,
        b"site" => 200,
        b"link" => 253,
        b"host" => 254,
        b"nowhere" => 255,
        other => match value::parse_number(other).and_then(|number| u8::try_from(number).ok()) {
            Some(number) => number,
            None => {
                value::bad_word(word, &["global", "site", "link", "host", "nowhere"], "ignored", diags);
                return None;
            }
        },
    })
}

/// keepalived removes an address whose label is too long, because the kernel would refuse it.
fn label(word: &Word, diags: &mut Diagnostics) -> Option<String> {
    if word.bytes.len() > value::MAX_IFNAME {
        let message = format!("label `{}` is too long", word.text());
        diags.push(
            Diagnostic::error(codes::NAME_TOO_LONG, word.span, message)
                .cause("the address is not used")
                .help(format!("a label has at most {} bytes", value::MAX_IFNAME)),
        );
        return None;
    }
    Some(word.text().into_owned())
}
