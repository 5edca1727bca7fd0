//! Whose program holds an interface?

use aya::programs::loaded_programs;
use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::attach::Attached;

/// A program that is attached to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Occupant {
    pub(super) id: u32,
    pub(super) name: Option<String>,
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
    let (id, _) = program(ifindex)?;
    let name = loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
        .filter(|name| !name.is_empty());
    Some(Occupant { id, name })
}

/// The id of the attached program, and how it is attached.
pub(super) fn program(ifindex: u32) -> Option<(u32, Attached)> {
    let mut socket = Socket::new(NETLINK_ROUTE).ok()?;
    socket.bind_auto().ok()?;
    socket.connect(&SocketAddr::new(0, 0)).ok()?;

    let mut link = LinkMessage::default();
    link.header.index = ifindex;
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(link));
    request.header.flags = NLM_F_REQUEST;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0).ok()?;

    let (bytes, _) = socket.recv_from_full().ok()?;
    let reply = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes).ok()?;
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = reply.payload else {
        return None;
    };
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(attributes) => attributes.iter().find_map(|attribute| match attribute {
            LinkXdp::SkbProgId(id) => Some((*id, Attached::Generic)),
            LinkXdp::DrvProgId(id) | LinkXdp::HwProgId(id) => Some((*id, Attached::Native)),
            _ => None,
        }),
        _ => None,
    })
}
