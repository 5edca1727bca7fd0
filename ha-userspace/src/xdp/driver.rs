//! What kind of interface is it? Asked of the driver, which answers in the caller's network namespace whatever
//! `/sys` shows.

use std::{fs, io};

use super::sys::DriverRequest;

/// What matters of an interface for XDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Driver {
    /// The driver's name, empty where it has none (loopback).
    pub(super) name: String,
    /// Its MAC address.
    pub(super) mac: [u8; 6],
    /// Frames start with an Ethernet header.
    pub(super) ethernet: bool,
    /// There are VLANs on the interface, and their frames have lost the tag before XDP sees them.
    pub(super) hides_vlans: bool,
}

/// Drivers whose native XDP does not exist or cannot be relied on. (veth has it, but loses what the program sends
/// back unless the other end runs a program too.)
const GENERIC_ONLY: [&str; 9] =
    ["", "veth", "macvlan", "ipvlan", "bridge", "802.1Q VLAN Support", "tun", "dummy", "team"];

/// Where the kernel lists VLAN interfaces, of the caller's network namespace.
const VLANS: &str = "/proc/net/vlan/config";

impl Driver {
    /// Whether native mode is worth trying.
    pub(super) fn native_is_sensible(&self) -> bool {
        !GENERIC_ONLY.contains(&self.name.as_str())
    }
}

/// Asks the kernel about the interface.
pub(super) fn query(interface: &str) -> io::Result<Driver> {
    let mut request = DriverRequest::new(interface)?;
    let (kind, mac) = request.hardware_address()?;
    let name = match request.driver() {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => String::new(),
        name => name?,
    };
    // There is no such file where the kernel knows no VLANs.
    let has_vlans = || fs::read_to_string(VLANS).is_ok_and(|list| lists_vlan_of(&list, interface));
    Ok(Driver {
        name,
        mac,
        ethernet: kind == libc::ARPHRD_ETHER || kind == libc::ARPHRD_LOOPBACK,
        hides_vlans: request.strips_vlan_tags().unwrap_or(false) && has_vlans(),
    })
}

/// Whether the kernel's list (`name | VID | parent`) has a VLAN on the interface.
fn lists_vlan_of(list: &str, interface: &str) -> bool {
    list.lines().any(|line| line.split('|').nth(2).is_some_and(|parent| parent.trim() == interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_no_driver_and_gets_generic_mode() {
        let driver = query("lo").unwrap();
        assert!(driver.ethernet);
        assert!(!driver.native_is_sensible());
    }

    #[test]
    fn an_interface_that_does_not_exist_is_an_error() {
        assert_eq!(query("nosuchinterface").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert!(query("a name that is longer than any interface's").is_err());
    }

    #[test]
    fn vlans_are_found_by_their_parent() {
        let list = "VLAN Dev name\t | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n\
                    eth0.100       | 100  | eth0\nstorage        | 7    | eth1\n";
        assert!(lists_vlan_of(list, "eth0"));
        assert!(lists_vlan_of(list, "eth1"));
        assert!(!lists_vlan_of(list, "eth0.100"));
        assert!(!lists_vlan_of(list, "eth2"));
    }
}
