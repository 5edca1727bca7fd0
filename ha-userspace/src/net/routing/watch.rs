//! Hears when somebody removes a route or a rule that may be ours.
//!
//! A host may have a million routes that change all the time; the filter in the kernel lets only removals through
//! that bear our mark, so that nothing else ever wakes the loop.

use std::os::fd::AsFd;

use netlink_sys::protocols::NETLINK_ROUTE;
use socket2::{SockFilter, SockRef};
use tokio::io::unix::AsyncFd;

use super::MARK;
use crate::descriptor::{Owned, watch_readable};
use crate::net::error::SocketError;

/// `RTM_DELROUTE` and `RTM_DELRULE`, as a 16-bit load of a classic BPF program reads the header's host-endian field.
const DELETED_ROUTE: u32 = 25_u16.to_be() as u32;
const DELETED_RULE: u32 = 33_u16.to_be() as u32;
/// Offsets of `nlmsg_type`, and of `rtm_protocol` behind the header of 16 bytes.
const TYPE: u32 = 4;
const PROTOCOL: u32 = 16 + 5;
const WHOLE: u32 = u32::MAX;
/// rtnetlink(7): `RTNLGRP_IPV4_ROUTE`, `_IPV4_RULE`, `_IPV6_ROUTE`, `_IPV6_RULE`.
const GROUPS: [u32; 4] = [7, 8, 11, 19];

/// Notices of removals.
#[derive(Debug)]
pub struct Watch {
    socket: AsyncFd<Owned<netlink_sys::Socket>>,
}

impl Watch {
    /// Subscribes. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// No netlink.
    pub fn open() -> Result<Self, SocketError> {
        let at = |step| SocketError::at("watching routes", step);
        let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE).map_err(at("open a netlink socket"))?;
        SockRef::from(&socket.as_fd()).attach_filter(&filter()).map_err(at("attach a filter"))?;
        socket.bind_auto().map_err(at("bind the netlink socket"))?;
        for group in GROUPS {
            socket.add_membership(group).map_err(at("subscribe to routes"))?;
        }
        socket.set_non_blocking(true).map_err(at("set the options"))?;
        let socket = watch_readable(socket).map_err(at("watch the socket"))?;
        Ok(Self { socket })
    }

    /// Waits until something was removed that may have been ours, or notices were lost. Cancel-safe.
    pub async fn removed(&self) {
        loop {
            let Ok(mut guard) = self.socket.readable().await else { return std::future::pending().await };
            let mut heard = false;
            let mut buffer = [0_u8; 256];
            // Bounded: whatever is behind is read in the next turn.
            for _ in 0..1024 {
                match guard.get_inner().recv(&mut &mut buffer[..], 0) {
                    Ok(_) => heard = true,
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => heard = true,
                    Err(_) => {
                        guard.clear_ready();
                        break;
                    }
                }
            }
            if heard {
                return;
            }
        }
    }
}

/// Removed rules, which are few, and removed routes with our mark.
fn filter() -> [SockFilter; 7] {
    const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    [
        SockFilter::new(LOAD_HALF, 0, 0, TYPE),
        SockFilter::new(EQUAL, 3, 0, DELETED_RULE),
        SockFilter::new(EQUAL, 0, 3, DELETED_ROUTE),
        SockFilter::new(LOAD_BYTE, 0, 0, PROTOCOL),
        SockFilter::new(EQUAL, 0, 1, MARK as u32),
        SockFilter::new(RETURN, 0, 0, WHOLE),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}
