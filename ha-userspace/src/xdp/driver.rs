//! What kind of interface is it? Asked of the driver, which answers in the caller's network namespace whatever
//! `/sys` shows.

use std::io;

/// What matters of an interface for XDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Driver {
    /// The driver's name, empty where it has none (loopback).
    pub(super) name: String,
    /// Frames start with an Ethernet header.
    pub(super) ethernet: bool,
    /// The hardware takes VLAN tags off received frames before XDP sees them.
    pub(super) hides_vlan_tags: bool,
}

/// Drivers whose native XDP does not exist or cannot be relied on. (veth has it, but loses what the program sends
/// back unless the other end runs a program too.)
const GENERIC_ONLY: [&str; 9] =
    ["", "veth", "macvlan", "ipvlan", "bridge", "802.1Q VLAN Support", "tun", "dummy", "team"];

impl Driver {
    /// Whether native mode is worth trying.
    pub(super) fn native_is_sensible(&self) -> bool {
        !GENERIC_ONLY.contains(&self.name.as_str())
    }
}

/// Asks the kernel about the interface.
pub(super) fn query(interface: &str) -> io::Result<Driver> {
    request::query(interface)
}

#[expect(unsafe_code, reason = "ioctl takes structures by pointer")]
mod request {
    use std::ffi::{CStr, c_char};
    use std::io;
    use std::os::fd::AsRawFd;

    use super::Driver;

    const ETHTOOL_GDRVINFO: u32 = 0x0000_0003;
    const ETHTOOL_GFLAGS: u32 = 0x0000_0025;
    const ETH_FLAG_RXVLAN: u32 = 1 << 8;

    /// `struct ethtool_drvinfo`.
    #[repr(C)]
    struct DriverInfo {
        cmd: u32,
        driver: [u8; 32],
        /// Four more strings, 12 reserved bytes and five numbers.
        rest: [u8; 4 * 32 + 12 + 5 * 4],
    }

    /// `struct ethtool_value`.
    #[repr(C)]
    struct Value {
        cmd: u32,
        data: u32,
    }

    pub(super) fn query(interface: &str) -> io::Result<Driver> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")
            .or_else(|_| std::net::UdpSocket::bind("[::1]:0"))
            .or_else(|_| std::net::UdpSocket::bind("0.0.0.0:0"))?;

        let mut request = request(interface)?;
        ioctl(&socket, libc::SIOCGIFHWADDR, &mut request)?;
        // SAFETY: the kernel has filled this member.
        let kind = unsafe { request.ifr_ifru.ifru_hwaddr.sa_family };
        let ethernet = kind == libc::ARPHRD_ETHER || kind == libc::ARPHRD_LOOPBACK;

        let mut info = DriverInfo { cmd: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; _] };
        request.ifr_ifru.ifru_data = (&raw mut info).cast();
        let name = match ioctl(&socket, libc::SIOCETHTOOL, &mut request) {
            Ok(()) => CStr::from_bytes_until_nul(&info.driver)
                .map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned()),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => String::new(),
            Err(error) => return Err(error),
        };

        let mut flags = Value { cmd: ETHTOOL_GFLAGS, data: 0 };
        request.ifr_ifru.ifru_data = (&raw mut flags).cast();
        let hides_vlan_tags =
            ioctl(&socket, libc::SIOCETHTOOL, &mut request).is_ok() && flags.data & ETH_FLAG_RXVLAN != 0;
        Ok(Driver { name, ethernet, hides_vlan_tags })
    }

    fn request(interface: &str) -> io::Result<libc::ifreq> {
        // SAFETY: all-zero bytes are a valid value of this structure of integers and pointers.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if interface.len() >= request.ifr_name.len() {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
            *to = c_char::from_ne_bytes([from]);
        }
        Ok(request)
    }

    fn ioctl(socket: &impl AsRawFd, number: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: `request` is the structure that each of these requests takes, and the structure that it may
        // point to is alive in the caller and as large as the kernel's.
        match unsafe { libc::ioctl(socket.as_raw_fd(), number as _, &raw mut *request) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
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
}
