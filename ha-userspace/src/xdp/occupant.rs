//! Whose program holds an interface, and what became of its link?

use aya::programs::loaded_programs;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, LinkXdp};

use super::attached::Attached;
use super::loader::Variant;
use crate::net::netlink::Socket;

/// A program that is attached to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// The program's number in the kernel (`bpftool prog show id`).
    pub id: u32,
    /// Its name, where it has one and we may know it.
    pub name: Option<String>,
    /// How it is attached.
    pub attached: Attached,
}

impl Occupant {
    /// Whether it looks like one of ours: a running daemon's, or what a killed one left.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.name.as_deref().is_some_and(is_ours)
    }
}

impl std::fmt::Display for Occupant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "the XDP program {name} (id {})", self.id),
            None => write!(f, "an XDP program with id {}", self.id),
        }
    }
}

/// The attached program, as far as it can be found out.
pub(super) fn find(ifindex: u32) -> Option<Occupant> {
    all(&link(ifindex)?).into_iter().next()
}

/// The programs that are attached to a link.
pub(super) fn all(link: &LinkMessage) -> Vec<Occupant> {
    programs(link).map(|(id, attached)| Occupant { id, name: name(id), attached }).collect()
}

/// The id of the attached program, and how it is attached.
pub(super) fn program(ifindex: u32) -> Option<(u32, Attached)> {
    programs(&link(ifindex)?).next()
}

/// How often a link has lost its carrier, and whether it has one; `None` where the kernel does not tell.
pub(super) fn carrier(ifindex: u32) -> Option<(u32, bool)> {
    let link = link(ifindex)?;
    let losses = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::CarrierDownCount(count) => Some(*count),
        _ => None,
    });
    Some((losses?, link.header.flags.contains(LinkFlags::LowerUp)))
}

/// Whether a program of this name is one of ours.
pub(super) fn is_ours(name: &str) -> bool {
    Variant::ALL.iter().any(|variant| name == variant.program())
}

/// The name of a program; `None` where it has none, or where we may not know it.
pub(super) fn name(id: u32) -> Option<String> {
    loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
        .filter(|name| !name.is_empty())
}

fn link(ifindex: u32) -> Option<LinkMessage> {
    let mut request = LinkMessage::default();
    request.header.index = ifindex;
    Socket::open("a link").ok()?.get(RouteNetlinkMessage::GetLink(request), |message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    })
}

fn programs(link: &LinkMessage) -> impl Iterator<Item = (u32, Attached)> {
    link.attributes
        .iter()
        .flat_map(|attribute| match attribute {
            LinkAttribute::Xdp(attributes) => attributes.as_slice(),
            _ => &[],
        })
        .filter_map(|attribute| match attribute {
            LinkXdp::SkbProgId(id) => Some((*id, Attached::Generic)),
            LinkXdp::DrvProgId(id) | LinkXdp::HwProgId(id) => Some((*id, Attached::Native)),
            _ => None,
        })
}
