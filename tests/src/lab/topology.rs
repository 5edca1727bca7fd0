//! What a lab looks like before it exists: hosts, their addresses, the name of their interface.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// A set of hosts on one switch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Topology {
    /// Name of the interface that every host has, as the configuration files under test call it.
    pub interface: String,
    /// The hosts, in the order of their switch ports.
    pub hosts: Vec<HostSpec>,
    /// Prefix length of the IPv4 addresses.
    pub prefix_v4: u8,
    /// Prefix length of the IPv6 addresses.
    pub prefix_v6: u8,
}

/// One host of a [`Topology`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostSpec {
    /// Name, at most 12 bytes: it also names the switch port.
    pub name: String,
    /// IPv4 address of the interface.
    pub v4: Ipv4Addr,
    /// IPv6 address of the interface.
    pub v6: Ipv6Addr,
    /// Ethernet address of the interface; fixed, so that captures can be read.
    pub mac: [u8; 6],
}

impl Topology {
    /// Routers `r1` and `r2` and a `client` on `ens160`: 172.16.1.{1,2,100}/24, fd00:16::{1,2,100}/64.
    #[must_use]
    pub fn two_node() -> Self {
        Self::routers(2)
    }

    /// Like [`Topology::two_node`] with routers `r1` … `r<count>` (at most 50).
    #[must_use]
    pub fn routers(count: u8) -> Self {
        let net = |last: u8| {
            let v6 = format!("fd00:16::{last}").parse().unwrap_or(Ipv6Addr::UNSPECIFIED);
            (Ipv4Addr::new(172, 16, 1, last), v6)
        };
        Self::build("ens160", count.min(50), net)
    }

    /// Routers `r1` and `r2` and a `client` on `eth0`: 192.168.1.{1,2,200}/24, fd00:168::/64.
    /// (192.168.1.100 and .101 are the virtual addresses there.)
    #[must_use]
    pub fn multi_service() -> Self {
        let net = |last: u8| {
            let last = if last == 100 { 200 } else { last };
            let v6 = format!("fd00:168::{last}").parse().unwrap_or(Ipv6Addr::UNSPECIFIED);
            (Ipv4Addr::new(192, 168, 1, last), v6)
        };
        Self::build("eth0", 2, net)
    }

    fn build(interface: &str, routers: u8, net: impl Fn(u8) -> (Ipv4Addr, Ipv6Addr)) -> Self {
        let host = |name: String, last: u8| {
            let (v4, v6) = net(last);
            HostSpec { name, v4, v6, mac: [2, 0, 0, 0, 0, last] }
        };
        let mut hosts: Vec<HostSpec> = (1..=routers).map(|n| host(format!("r{n}"), n)).collect();
        hosts.push(host("client".to_owned(), 100));
        Self { interface: interface.to_owned(), hosts, prefix_v4: 24, prefix_v6: 64 }
    }
}
