//! Attaching the program in traffic control, at the interface's ingress: where another XDP program has the interface,
//! or where XDP would not see the tags of VLANs.
//!
//! A tcx link (Linux 6.6) is like an XDP link: it is pinned, its program is replaced in it, it goes with its last
//! holder. Before, there are the filters of clsact. They have no holder and stay until somebody removes them, also
//! when the daemon dies. What is ours among them is known by handle and name, and nothing else is touched; the maps
//! of an earlier run are those that are pinned.

use std::io;

use aya::programs::links::FdLink;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle as AyaHandle, qdisc_add_clsact,
};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, loaded_programs};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};
use nix::net::if_::if_indextoname;

use super::loader::Variant;
use crate::net::netlink::Socket;

/// The handle of our filter among those of a priority: protocol 112.
const HANDLE: u32 = 112;
/// Priorities that are tried; where the first is taken by filters of another kind, the next is as good.
const PRIORITIES: std::ops::RangeInclusive<u16> = 1..=8;

const INGRESS: TcHandle = TcHandle { major: u16::MAX, minor: TcHandle::MIN_INGRESS };
const EGRESS: TcHandle = TcHandle { major: u16::MAX, minor: TcHandle::MIN_EGRESS };

/// What keeps a program in traffic control.
#[derive(Debug)]
pub(super) enum Attachment {
    /// A tcx link.
    Link(FdLink),
    /// A filter of clsact.
    Filter(Filter),
}

/// Our filter on an interface, removed when dropped.
#[derive(Debug)]
pub(super) struct Filter {
    ifindex: u32,
    /// Id of its program.
    program: u32,
    /// We made the qdisc that it needs, so that it goes with the filter.
    pub(super) made_qdisc: bool,
}

impl Filter {
    /// Leaves it where it is.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }

    /// The question whether it is still there.
    pub(super) fn is_there(&self) -> impl FnOnce() -> bool + Send + use<> {
        let (ifindex, program) = (self.ifindex, self.program);
        move || find(ifindex).is_some_and(|found| found.program == program)
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        if find(self.ifindex).is_some_and(|found| found.program == self.program) {
            remove(self.ifindex, self.made_qdisc);
        }
    }
}

/// Attaches at the ingress of an interface, before what is there. `tcx`: links are tried first.
pub(super) fn attach(
    program: &mut SchedClassifier,
    name: &str,
    ifindex: u32,
    tcx: bool,
) -> Result<Attachment, ProgramError> {
    if tcx {
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        match program.attach_with_options(name, TcAttachType::Ingress, options) {
            Ok(id) => return link(program.take_link(id)?).map(Attachment::Link),
            // Before 6.6 the kernel does not know what is wanted.
            Err(error) if errno(&error) != Some(libc::EINVAL) => return Err(error),
            Err(_) => {}
        }
    }
    // What a run without pins left there is nobody's.
    remove(ifindex, false);
    let made_qdisc = match qdisc_add_clsact(name) {
        Ok(()) => true,
        Err(error) if errno_of(&error) == Some(libc::EEXIST) => false,
        Err(error) => return Err(error.into()),
    };
    let id = program.info()?.id();
    let mut last = None;
    for priority in PRIORITIES {
        let options = NlOptions { priority, handle: AyaHandle::from(HANDLE), ..NlOptions::default() };
        match program.attach_with_options(name, TcAttachType::Ingress, TcAttachOptions::Netlink(options)) {
            Ok(attached) => {
                std::mem::forget(program.take_link(attached)?);
                return Ok(Attachment::Filter(Filter { ifindex, program: id, made_qdisc }));
            }
            // Filters of another kind or for one protocol have this priority.
            Err(error) if matches!(errno(&error), Some(libc::EINVAL | libc::EEXIST | libc::ENOENT)) => {
                last = Some(error);
            }
            Err(error) => {
                last = Some(error);
                break;
            }
        }
    }
    if made_qdisc {
        remove_qdisc(ifindex);
    }
    Err(last.unwrap_or(ProgramError::NotLoaded))
}

/// Puts the program in the place of the one that an earlier run left in a link, without a moment between them.
pub(super) fn replace_link(program: &mut SchedClassifier, old: FdLink) -> Result<FdLink, ProgramError> {
    let old = SchedClassifierLink::try_from(old).map_err(io::Error::other).map_err(TcError::IoError)?;
    let id = program.attach_to_link(old)?;
    link(program.take_link(id)?)
}

/// The same for a filter.
pub(super) fn replace_filter(
    program: &mut SchedClassifier,
    name: &str,
    ifindex: u32,
    made_qdisc: bool,
) -> Result<Filter, ProgramError> {
    let old = find(ifindex).ok_or_else(|| TcError::IoError(io::ErrorKind::NotFound.into()))?;
    let id = program.attach_to_link(old.link(name).map_err(TcError::IoError)?)?;
    std::mem::forget(program.take_link(id)?);
    Ok(Filter { ifindex, program: program.info()?.id(), made_qdisc })
}

fn link(link: SchedClassifierLink) -> Result<FdLink, ProgramError> {
    FdLink::try_from(link).map_err(io::Error::other).map_err(|error| TcError::IoError(error).into())
}

/// A filter of ours, as the kernel lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    priority: u16,
    /// Id of its program.
    pub(super) program: u32,
}

impl Found {
    fn link(self, name: &str) -> io::Result<SchedClassifierLink> {
        let handle = AyaHandle::from(HANDLE);
        SchedClassifierLink::attached(name, TcAttachType::Ingress, self.priority, handle, None)
    }
}

/// Our filter on an interface.
pub(super) fn find(ifindex: u32) -> Option<Found> {
    filters(ifindex, INGRESS).iter().find_map(ours)
}

/// Whether a program with this id is among the tcx programs of an interface.
pub(super) fn has_tcx(ifindex: u32, program: u32) -> bool {
    let Some(name) = interface_name(ifindex) else { return false };
    SchedClassifier::query_tcx(&name, TcAttachType::Ingress)
        .is_ok_and(|(_, programs)| programs.iter().any(|found| found.id() == program))
}

/// The ids of the loaded programs that use the map with this id.
pub(super) fn users(map: u32) -> Vec<u32> {
    let uses = |ids: Option<Vec<u32>>| ids.is_some_and(|ids| ids.contains(&map));
    loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| program.map_ids().is_ok_and(uses))
        .map(|program| program.id())
        .collect()
}

/// Removes our filter from an interface, and the qdisc where we made it and nobody else uses it by now.
pub(super) fn remove(ifindex: u32, made_qdisc: bool) {
    if let (Some(found), Some(name)) = (find(ifindex), interface_name(ifindex)) {
        // Dropping it detaches it.
        drop(found.link(&name));
    }
    if made_qdisc && filters(ifindex, INGRESS).is_empty() && filters(ifindex, EGRESS).is_empty() {
        remove_qdisc(ifindex);
    }
}

/// Removes our filters of clsact from all interfaces of this network namespace: for `xvrrp detach`, after what is pinned
/// has gone. Returns the names of the interfaces.
#[must_use]
pub fn remove_filters() -> Vec<String> {
    let Ok(mut socket) = Socket::open("links") else { return Vec::new() };
    let links = socket.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()), |message| match message {
        RouteNetlinkMessage::NewLink(link) => Some((link.header.index, name_of(&link)?)),
        _ => None,
    });
    let mut gone = Vec::new();
    for (ifindex, name) in links.unwrap_or_default() {
        if find(ifindex).is_some() {
            remove(ifindex, false);
            gone.push(name);
        }
    }
    gone
}

fn interface_name(ifindex: u32) -> Option<String> {
    let name = if_indextoname(ifindex).ok()?.into_string().ok()?;
    // nix 0.31 says an empty name where the interface is gone.
    (!name.is_empty()).then_some(name)
}

fn name_of(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

fn ours(filter: &TcMessage) -> Option<Found> {
    let options = filter.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    })?;
    let named = options.iter().any(|option| {
        matches!(option, TcOption::Bpf(TcFilterBpfOption::ProgName(name)) if name == Variant::Tc.program())
    });
    let program = options.iter().find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
        _ => None,
    })?;
    let priority = u16::try_from(filter.header.info >> 16).ok()?;
    (named && u32::from(filter.header.handle) == HANDLE).then_some(Found { priority, program })
}

/// The filters at one side of an interface; none where there is no qdisc for them.
fn filters(ifindex: u32, parent: TcHandle) -> Vec<TcMessage> {
    let Some(mut request) = message(ifindex) else { return Vec::new() };
    request.header.parent = parent;
    let Ok(mut socket) = Socket::open("filters") else { return Vec::new() };
    socket
        .dump(&RouteNetlinkMessage::GetTrafficFilter(request), |message| match message {
            // Each priority has an entry of its own without a handle, before its filters.
            RouteNetlinkMessage::NewTrafficFilter(filter) if filter.header.handle != TcHandle::UNSPEC => {
                Some(filter)
            }
            _ => None,
        })
        .unwrap_or_default()
}

fn remove_qdisc(ifindex: u32) {
    let Some(mut request) = message(ifindex) else { return };
    request.header.parent = TcHandle::CLSACT;
    request.header.handle = TcHandle { major: u16::MAX, minor: 0 };
    request.attributes.push(TcAttribute::Kind("clsact".to_owned()));
    if let Ok(mut socket) = Socket::open("a qdisc") {
        // Where it stays, it costs nothing.
        let _ = socket.order(RouteNetlinkMessage::DelQueueDiscipline(request));
    }
}

fn message(ifindex: u32) -> Option<TcMessage> {
    i32::try_from(ifindex).ok().map(TcMessage::with_index)
}

/// The number of the kernel's refusal.
pub(super) fn errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::TcError(error) => errno_of(error),
        ProgramError::NetlinkError(error) => error.raw_os_error(),
        _ => None,
    }
}

fn errno_of(error: &TcError) -> Option<i32> {
    match error {
        TcError::NetlinkError(error) => error.raw_os_error(),
        TcError::IoError(error) => error.raw_os_error(),
        _ => None,
    }
}
