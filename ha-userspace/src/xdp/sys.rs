//! System calls that have no safe interface: shared map memory, driver requests, descriptors for tokio.
//!
//! All of the crate's `unsafe` that has to do with XDP is here.

#![expect(unsafe_code, reason = "the one place for it; each block says why it is sound")]

use std::ffi::{CStr, c_char, c_void};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use log::Log;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::descriptor::Owner;

/// Shared memory of a map that was made with `BPF_F_MMAPABLE`. Only accessed atomically.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<c_void>,
    bytes: NonZeroUsize,
}

// SAFETY: all access to the memory is atomic, and the mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` of a map.
    pub(super) fn new(map: impl AsFd, bytes: usize) -> io::Result<Self> {
        let bytes = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice. The kernel refuses more bytes than the map
        // has pages for, and keeps the map for as long as it is mapped.
        let start = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, map, 0)? };
        Ok(Self { start, bytes })
    }

    /// The eight bytes at `at`, which is aligned and inside.
    pub(super) fn u64(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.bytes.get(), "inside the map");
        // SAFETY: aligned, inside the mapping (both just checked), alive as long as `self`, and only used atomically.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().cast::<u8>().add(at).cast()) }
    }

    /// The byte at `at`, which is inside.
    pub(super) fn u8(&self, at: usize) -> &AtomicU8 {
        assert!(at < self.bytes.get(), "inside the map");
        // SAFETY: as for `u64`.
        unsafe { AtomicU8::from_ptr(self.start.as_ptr().cast::<u8>().add(at)) }
    }

    /// The four bytes at `at`, which is aligned and inside. No field is accessed in both widths.
    pub(super) fn u32(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.bytes.get(), "inside the map");
        // SAFETY: as for `u64`.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().cast::<u8>().add(at).cast()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and references to it do not outlive `self`.
        let _ = unsafe { munmap(self.start, self.bytes.get()) };
    }
}

// SAFETY: it owns the descriptor of its map, which nothing replaces.
unsafe impl Owner for RingBuf<MapData> {
    fn descriptor(&self) -> RawFd {
        self.as_raw_fd()
    }
}

// SAFETY: it owns a ring as above.
unsafe impl Owner for EbpfLogger<&'static dyn Log> {
    fn descriptor(&self) -> RawFd {
        self.as_raw_fd()
    }
}

/// Gives memory that was freed back to the system, where the C library can be told to.
pub(super) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no conditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

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

/// Asks the driver of an interface.
pub(super) struct DriverRequest {
    socket: std::net::UdpSocket,
    request: libc::ifreq,
}

impl DriverRequest {
    /// For the interface `name` in the caller's network namespace.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        // Any socket will do.
        let socket =
            std::net::UdpSocket::bind("0.0.0.0:0").or_else(|_| std::net::UdpSocket::bind("[::]:0"))?;
        // SAFETY: all-zero bytes are a valid value of this structure of integers and pointers.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.len() >= request.ifr_name.len() {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = c_char::from_ne_bytes([from]);
        }
        Ok(Self { socket, request })
    }

    /// The type of link-layer header, `ARPHRD_*`, and the first bytes of the address.
    pub(super) fn hardware_address(&mut self) -> io::Result<(u16, [u8; 6])> {
        // SAFETY: this request fills the structure and follows no pointer.
        unsafe { self.ioctl(libc::SIOCGIFHWADDR)? };
        // SAFETY: the kernel has just filled this member.
        let address = unsafe { self.request.ifr_ifru.ifru_hwaddr };
        let mut mac = [0; 6];
        for (to, from) in mac.iter_mut().zip(address.sa_data) {
            *to = from.to_ne_bytes()[0];
        }
        Ok((address.sa_family, mac))
    }

    /// The driver's name.
    pub(super) fn driver(&mut self) -> io::Result<String> {
        let mut info = DriverInfo { cmd: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; _] };
        self.request.ifr_ifru.ifru_data = (&raw mut info).cast();
        // SAFETY: the structure pointed to is alive and has the kernel's size.
        unsafe { self.ioctl(libc::SIOCETHTOOL)? };
        let name = CStr::from_bytes_until_nul(&info.driver);
        Ok(name.map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned()))
    }

    /// Whether VLAN tags are taken off received frames.
    pub(super) fn strips_vlan_tags(&mut self) -> io::Result<bool> {
        let mut flags = Value { cmd: ETHTOOL_GFLAGS, data: 0 };
        self.request.ifr_ifru.ifru_data = (&raw mut flags).cast();
        // SAFETY: the structure pointed to is alive and has the kernel's size.
        unsafe { self.ioctl(libc::SIOCETHTOOL)? };
        Ok(flags.data & ETH_FLAG_RXVLAN != 0)
    }

    /// # Safety
    ///
    /// Where the request follows the pointer in the structure, it points to what the request expects.
    unsafe fn ioctl(&mut self, number: libc::c_ulong) -> io::Result<()> {
        // SAFETY: the requests used here take this structure; for the rest the caller answers.
        match unsafe { libc::ioctl(self.socket.as_raw_fd(), number as _, &raw mut self.request) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
