//! The calls of `bpf(2)` on pinned links that aya does not offer.

#![expect(unsafe_code, reason = "a system call that takes a structure; each block says why it is sound")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const BPF_OBJ_GET: libc::c_int = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_LINK_DETACH: libc::c_int = 34;

/// `BPF_LINK_TYPE_XDP`.
const LINK_TYPE_XDP: u32 = 6;
/// `BPF_LINK_TYPE_TCX`.
const LINK_TYPE_TCX: u32 = 11;

/// A link that is pinned somewhere.
#[derive(Debug)]
pub(super) struct PinnedLink(OwnedFd);

/// What the kernel says of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkInfo {
    /// It is a tcx link, and not one of XDP.
    pub(super) tcx: bool,
    /// Id of the attached program.
    pub(super) program: u32,
    /// Index of the interface, in whatever network namespace it is; 0 once the interface has gone.
    pub(super) ifindex: u32,
}

/// The part of `union bpf_attr` for pinned objects.
#[repr(C)]
struct ObjectAttributes {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// The part of `union bpf_attr` for information.
#[repr(C)]
struct InfoAttributes {
    descriptor: u32,
    len: u32,
    info: u64,
}

/// The part of `union bpf_attr` for detaching.
#[repr(C)]
struct DetachAttributes {
    descriptor: u32,
}

/// `struct bpf_link_info` as far as it concerns XDP and tcx, which have the interface in the same place.
#[repr(C)]
#[derive(Default)]
struct RawLinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    padding: u32,
    ifindex: u32,
    padding_2: u32,
}

impl PinnedLink {
    /// Opens the link that is pinned at `path`; an error where something else is.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let attributes = ObjectAttributes { path: path.as_ptr() as u64, descriptor: 0, flags: 0 };
        // SAFETY: the path outlives the call, which only reads.
        let descriptor = unsafe { bpf(BPF_OBJ_GET, &attributes) }?;
        // SAFETY: the kernel has just made it for us.
        let object = unsafe { OwnedFd::from_raw_fd(descriptor) };
        // What the kernel says of maps and programs begins with numbers of other lists, which would be taken for those
        // of links.
        let about = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"))?;
        if about.lines().any(|line| line.starts_with("link_type:")) {
            Ok(Self(object))
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// Asks about the link; an error where it is none, or none of XDP and tcx.
    pub(super) fn info(&self) -> io::Result<LinkInfo> {
        let mut info = RawLinkInfo::default();
        let attributes = InfoAttributes {
            descriptor: self.0.as_raw_fd().cast_unsigned(),
            len: u32::try_from(size_of::<RawLinkInfo>()).expect("small"),
            info: (&raw mut info) as u64,
        };
        // SAFETY: the kernel writes `len` bytes at most to `info`, which outlives the call.
        unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes) }?;
        if info.kind != LINK_TYPE_XDP && info.kind != LINK_TYPE_TCX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(LinkInfo { tcx: info.kind == LINK_TYPE_TCX, program: info.program, ifindex: info.ifindex })
    }

    /// Detaches the program, whoever else holds the link.
    pub(super) fn detach(&self) -> io::Result<()> {
        let attributes = DetachAttributes { descriptor: self.0.as_raw_fd().cast_unsigned() };
        // SAFETY: no pointer is passed.
        unsafe { bpf(BPF_LINK_DETACH, &attributes) }.map(drop)
    }
}

/// # Safety
///
/// What pointers in `attributes` point to must be valid for what the command does with it.
pub(super) unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the structure is as long as said; for the rest the caller answers.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    match libc::c_int::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_pinned_is_an_error() {
        assert!(PinnedLink::open(Path::new("/proc/self/exe")).is_err());
        assert!(PinnedLink::open(Path::new("/no/such/file")).is_err());
    }
}
