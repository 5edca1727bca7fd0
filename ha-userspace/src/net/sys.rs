//! The few system calls that neither nix nor socket2 wraps. The only `unsafe` of the network modules.

#![expect(
    unsafe_code,
    reason = "system calls that no safe wrapper offers: sendmmsg with one address per packet, getsockopt of SO_MEMINFO"
)]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use socket2::{SockAddr, SockAddrStorage};

/// The kernel takes no more messages than this in one call (`UIO_MAXIOV`); it silently cuts the rest.
const MAX_MESSAGES: usize = 1024;

/// One packet of [`send_each`]: bytes and destination.
pub(super) type Message<'a> = (&'a [u8], &'a SockAddr);

/// Sends all messages with as few sendmmsg(2) calls as possible and without ever blocking.
///
/// The kernel stops at the first packet that it refuses and reports the reason only when that packet is the
/// first of a call; so each refusal costs one more call. `failed` gets position and reason of each.
pub(super) fn send_each(fd: BorrowedFd<'_>, messages: &[Message<'_>], mut failed: impl FnMut(usize, Errno)) {
    let mut vectors: Vec<libc::iovec> = messages
        .iter()
        .map(|(bytes, _)| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = messages
        .iter()
        .zip(vectors.iter_mut())
        .map(|((_, address), vector)| {
            // SAFETY: msghdr is plain data for which all zeros mean "no name, no data, no control messages".
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_name = address.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = address.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header
        })
        .collect();

    let mut next = 0;
    while let Some(rest) = headers.get_mut(next..).filter(|rest| !rest.is_empty()) {
        let count = u32::try_from(rest.len().min(MAX_MESSAGES)).unwrap_or(1);
        // Not sendmmsg(3): musl's makes one call for each message.
        // SAFETY: `rest` has at least `count` headers of the kernel's layout (where musl's differs in type, it has
        // padding, which is zero); each points at a vector and an address that outlive the call, and the kernel only
        // reads through these pointers. It writes `msg_len` of each header.
        let sent = unsafe {
            libc::syscall(libc::SYS_sendmmsg, fd.as_raw_fd(), rest.as_mut_ptr(), count, libc::MSG_DONTWAIT)
        };
        match usize::try_from(sent) {
            // Zero cannot happen for a non-zero count; do not loop should it.
            Ok(0) => break,
            Ok(sent) => next += sent,
            Err(_) => match Errno::last() {
                Errno::EINTR => {}
                errno => {
                    failed(next, errno);
                    next += 1;
                }
            },
        }
    }
}

/// Packets that the kernel threw away for want of room in this socket, ever; it wraps (`SO_MEMINFO`, Linux 4.12).
pub(super) fn dropped(fd: BorrowedFd<'_>) -> nix::Result<u32> {
    const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
    let mut values = [0_u32; DROPS + 1];
    let mut length = libc::socklen_t::try_from(size_of_val(&values)).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` bytes to `values`, both of which outlive the call.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(result).map(|_| values[DROPS])
}

/// A link-layer destination for packet(7) sockets: only the interface matters for a `SOCK_RAW` one.
pub(super) fn link_address(ifindex: u32) -> SockAddr {
    link(ifindex, 0)
}

/// A link-layer address to bind a packet(7) socket to: all protocols of one interface.
pub(super) fn link_source(ifindex: u32) -> SockAddr {
    link(ifindex, (libc::ETH_P_ALL as u16).to_be())
}

fn link(ifindex: u32, protocol: u16) -> SockAddr {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::sa_family_t,
        sll_protocol: protocol,
        sll_ifindex: ifindex.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the address types that sockaddr_storage can hold.
    unsafe { *storage.view_as::<libc::sockaddr_ll>() = address };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
    // SAFETY: the storage holds a sockaddr_ll with its family set, and `length` is its size.
    unsafe { SockAddr::new(storage, length) }
}
