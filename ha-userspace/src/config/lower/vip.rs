//! One line of `virtual_ipaddress` or `virtual_ipaddress_excluded`.

use std::net::{IpAddr, Ipv4Addr};

use super::context::Context;
use super::value;
use super::words::prefixed;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::{self, Address, Words as _};
use crate::config::lexer::Word;
use crate::config::model::Vip;
use crate::config::tree::Statement;

/// Read one address line; `None` where there is no usable address on it.
///
/// `fixed` for static addresses, which belong to no instance.
pub(super) fn lower(stmt: &Statement, fixed: bool, cx: &mut Context) -> Option<Vip> {
    value::no_block(stmt, cx);
    let first = stmt.keyword();
    let (address, prefix) = prefixed(first, "192.0.2.1/24", cx)?;
    let mut vip = Vip {
        scope: default_scope(address),
        preferred_lft: (address.is_ipv6() && prefix == 128).then_some(0),
        place: cx.place(first.span),
        ..Vip::plain(address, prefix)
    };
    let mut words = stmt.args().iter();
    while let Some(word) = words.next() {
        option(word, &mut words, &mut vip, fixed, cx)?;
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
    cx: &mut Context,
) -> Option<()> {
    let mut argument = |cx: &mut Context| {
        let next = rest.next();
        if next.is_none() {
            let message = format!("`{}` lacks its parameter", word.text());
            let finding = Diagnostic::error(codes::MISSING_PARAMETER, word.span, message);
            cx.push(finding.label("the address is not used"));
        }
        next
    };
    let option = Address::parse(&word.text()).filter(|option| match option {
        Address::UseVmac => !fixed,
        Address::TrackGroup => fixed,
        _ => true,
    });
    let Some(option) = option else {
        unknown(word, cx);
        return Some(());
    };
    match option {
        Address::Dev => {
            vip.device = value::interface(argument(cx)?, cx);
            // An address on the wrong interface is worse than none.
            vip.device.as_ref()?;
        }
        Address::Brd | Address::Broadcast => vip.broadcast = broadcast(argument(cx)?, vip, cx),
        Address::Scope => set_scope(argument(cx)?, vip, cx),
        Address::Label => vip.label = Some(label(argument(cx)?, cx)?),
        Address::Noprefixroute => vip.noprefixroute = true,
        // IPv6 addresses are always added without DAD.
        Address::Nodad => {}
        Address::PreferredLft => set_lifetime(argument(cx)?, vip, cx),
        Address::Home => vip.home = true,
        Address::Mngtmpaddr => vip.mngtmpaddr = true,
        Address::Autojoin => vip.autojoin = true,
        Address::NoTrack => vip.no_track = true,
        Address::UseVmac => vip.vmac = true,
        Address::TrackGroup => vip.track_group = Some(argument(cx)?.text().into_owned()),
        Address::Peer => vip.peer = Some(peer(argument(cx)?, vip, cx)?),
    }
    Some(())
}

fn set_scope(word: &Word, vip: &mut Vip, cx: &mut Context) {
    if vip.address.is_ipv6() {
        let message = "the kernel gives IPv6 addresses their scope";
        cx.push(Diagnostic::warning(codes::NOT_NEEDED, word.span, message).label("ignored"));
    } else {
        vip.scope = scope(word, cx).unwrap_or(vip.scope);
    }
}

fn set_lifetime(word: &Word, vip: &mut Vip, cx: &mut Context) {
    let seconds = value::parse_number(&word.bytes).and_then(|n| u32::try_from(n).ok());
    match seconds {
        Some(seconds) => vip.preferred_lft = Some(seconds),
        None if word.is("forever") => vip.preferred_lft = None,
        None => value::bad_word(word, &["forever", "0"], "the default is used", cx),
    }
}

/// The address at the other end of a link; without it, the line is given up.
fn peer(word: &Word, vip: &Vip, cx: &mut Context) -> Option<(IpAddr, u8)> {
    let (address, own) = prefixed(word, "192.0.2.1/24", cx)?;
    if address.is_ipv4() != vip.address.is_ipv4() {
        let message = format!("peer {address} is of another family than the address");
        let finding = Diagnostic::error(codes::BAD_ADDRESS, word.span, message);
        cx.push(finding.label("the address is not used"));
        return None;
    }
    // keepalived takes no length here: the address's own is that of the peer's network.
    Some((address, if word.bytes.contains(&b'/') { own } else { vip.prefix }))
}

fn unknown(word: &Word, cx: &mut Context) {
    let another = word.text().split('/').next().is_some_and(|text| text.parse::<IpAddr>().is_ok());
    if another {
        let message = format!("a second address `{}` on the line", word.text());
        cx.push(
            Diagnostic::warning(codes::EXTRA_WORDS, word.span, message)
                .label("ignored")
                .help("write one address on a line"),
        );
        return;
    }
    let known = keywords::ADDRESS_OPTIONS.iter().map(|row| row.word.as_str());
    let near = keywords::closest(&word.text(), known);
    let message = format!("unknown address option `{}`", word.text());
    cx.push(
        Diagnostic::warning(codes::UNKNOWN_KEYWORD, word.span, message)
            .label("ignored")
            .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
    );
}

fn broadcast(word: &Word, vip: &Vip, cx: &mut Context) -> Option<Ipv4Addr> {
    let IpAddr::V4(address) = vip.address else {
        let message = "IPv6 has no broadcast address";
        cx.push(Diagnostic::warning(codes::BAD_ADDRESS, word.span, message).label("ignored"));
        return None;
    };
    let hosts = u32::MAX.checked_shr(u32::from(vip.prefix)).unwrap_or(0);
    match &*word.bytes {
        b"+" => Some(Ipv4Addr::from_bits(address.to_bits() | hosts)),
        b"-" => Some(Ipv4Addr::from_bits(address.to_bits() & !hosts)),
        _ => match value::address(word, "no broadcast address is set", cx)? {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => {
                let message = "an IPv4 address has an IPv4 broadcast address";
                cx.push(Diagnostic::error(codes::BAD_ADDRESS, word.span, message).label("ignored"));
                None
            }
        },
    }
}

fn scope(word: &Word, cx: &mut Context) -> Option<u8> {
    Some(match &*word.bytes {
        b"global" => 0,
        b"site" => 200,
        b"link" => 253,
        b"host" => 254,
        b"nowhere" => 255,
        other => match value::parse_number(other).and_then(|number| u8::try_from(number).ok()) {
            Some(number) => number,
            None => {
                value::bad_word(word, &["global", "site", "link", "host", "nowhere"], "ignored", cx);
                return None;
            }
        },
    })
}

/// keepalived removes an address whose label is too long, because the kernel would refuse it.
fn label(word: &Word, cx: &mut Context) -> Option<String> {
    if word.bytes.len() > value::MAX_IFNAME {
        let message = format!("label `{}` is too long", word.text());
        cx.push(
            Diagnostic::error(codes::NAME_TOO_LONG, word.span, message)
                .label("the address is not used")
                .help(format!("a label has at most {} bytes", value::MAX_IFNAME)),
        );
        return None;
    }
    Some(word.text().into_owned())
}
