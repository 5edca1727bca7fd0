//! What the kernel can do with BPF, found out by trying and never by its version.
//!
//! Everything that is made for a trial is closed again, and nothing is attached: a link is asked for where the kernel
//! has to refuse it, and says by the error whether it knows such links. Called by `xvrrp doctor`.

#![expect(unsafe_code, reason = "system calls that take structures; each block says why it is sound")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported};

use super::bpf::bpf;

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_LINK_CREATE: libc::c_int = 28;

const PROGRAM_SCHED_CLS: u32 = 3;
const PROGRAM_XDP: u32 = 6;
const MAP_ARRAY: u32 = 2;
const MAP_MAPPABLE: u32 = 1 << 10;
const HAS_FRAGS: u32 = 1 << 5;
const ATTACH_XDP: u32 = 37;
const ATTACH_TCX_INGRESS: u32 = 46;
/// Attach in the driver.
const DRIVER_MODE: u32 = 1 << 2;

/// What was found out. `None`: that could not be found out.
#[derive(Debug)]
pub struct Features {
    /// Whether the simplest XDP program can be loaded, and else what the kernel says.
    pub xdp: io::Result<()>,
    /// The program is turned into machine code.
    pub jit: Option<bool>,
    /// XDP programs that take frames of several buffers.
    pub frags: Option<bool>,
    /// `bpf_xdp_load_bytes`.
    pub load_bytes: Option<bool>,
    /// Ring buffers.
    pub ring: Option<bool>,
    /// Arrays that user space maps into its memory.
    pub mappable: Option<bool>,
    /// Program arrays, and tail calls through them.
    pub tail_call: Option<bool>,
    /// XDP programs that are attached by links, which can be pinned.
    pub link: Option<bool>,
    /// TC programs that are attached by links.
    pub tcx: Option<bool>,
    /// Maps count as memory of the control group, and RLIMIT_MEMLOCK does not matter to them.
    pub counted_by_cgroup: Option<bool>,
}

impl Features {
    /// Tries everything.
    #[must_use]
    pub fn probe() -> Self {
        let helper = |helper| is_helper_supported(ProgramType::Xdp, helper).ok();
        let program = load(PROGRAM_XDP, 0);
        let usable = program.is_ok();
        let only_if = |answer: Option<bool>| answer.filter(|_| usable);
        Self {
            jit: program.as_ref().ok().and_then(|program| is_jited(program).ok()),
            frags: only_if(known(load(PROGRAM_XDP, HAS_FRAGS))),
            load_bytes: only_if(helper(BpfHelper::BPF_FUNC_xdp_load_bytes)),
            ring: only_if(is_map_supported(MapType::RingBuf).ok()),
            mappable: only_if(known(array(MAP_MAPPABLE))),
            tail_call: only_if(both(
                is_map_supported(MapType::ProgramArray).ok(),
                helper(BpfHelper::BPF_FUNC_tail_call),
            )),
            link: program.as_ref().ok().and_then(|program| {
                // The loopback device has no driver that could run a program.
                let loopback = nix::net::if_::if_nametoindex("lo").unwrap_or(1);
                knows(link(program, loopback, ATTACH_XDP, DRIVER_MODE))
            }),
            tcx: load(PROGRAM_SCHED_CLS, 0).ok().and_then(|program| {
                // No interface has this number.
                knows(link(&program, u32::MAX >> 1, ATTACH_TCX_INGRESS, 0))
            }),
            counted_by_cgroup: only_if(helper(BpfHelper::BPF_FUNC_ktime_get_coarse_ns)),
            xdp: program.map(drop),
        }
    }
}

/// Whether the kernel knows what it was asked to make.
fn known<T>(made: io::Result<T>) -> Option<bool> {
    match made {
        Ok(_) => Some(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Some(false),
        Err(_) => None,
    }
}

/// Whether it knows such a link, which it cannot make: another error than for what it does not know.
fn knows(made: io::Result<OwnedFd>) -> Option<bool> {
    match made.map_err(|error| error.raw_os_error()) {
        Ok(_) | Err(Some(libc::EOPNOTSUPP | libc::ENODEV | libc::EBUSY | libc::EEXIST)) => Some(true),
        Err(Some(libc::EINVAL)) => Some(false),
        Err(_) => None,
    }
}

fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    Some(a? && b?)
}

/// `struct bpf_insn`.
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    value: i32,
}

/// The part of `union bpf_attr` for loading programs.
#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
}

/// The part of `union bpf_attr` for making maps.
#[repr(C)]
struct MapAttributes {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
}

/// The part of `union bpf_attr` for making links.
#[repr(C)]
struct LinkAttributes {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// The part of `union bpf_attr` for information.
#[repr(C)]
struct InfoAttributes {
    descriptor: u32,
    len: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    machine_code: u32,
    translated: u32,
}

/// Loads the program that returns 2, which is `XDP_PASS` and harmless in TC.
fn load(kind: u32, flags: u32) -> io::Result<OwnedFd> {
    const MOVE: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    let instructions = [
        Instruction { code: MOVE, registers: 0, offset: 0, value: 2 },
        Instruction { code: EXIT, registers: 0, offset: 0, value: 0 },
    ];
    let license = c"GPL";
    let attributes = LoadAttributes {
        kind,
        count: u32::try_from(instructions.len()).unwrap_or(0),
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        flags,
        attach_type: if kind == PROGRAM_XDP { ATTACH_XDP } else { 0 },
        ..LoadAttributes::default()
    };
    // SAFETY: instructions and licence outlive the call, which only reads them, and makes a descriptor.
    unsafe { make(BPF_PROG_LOAD, &attributes) }
}

fn array(flags: u32) -> io::Result<OwnedFd> {
    let attributes = MapAttributes { kind: MAP_ARRAY, key: 4, value: 8, entries: 1, flags };
    // SAFETY: no pointer is passed, and a descriptor is made.
    unsafe { make(BPF_MAP_CREATE, &attributes) }
}

fn link(program: &OwnedFd, target: u32, attach_type: u32, flags: u32) -> io::Result<OwnedFd> {
    let program = program.as_raw_fd().cast_unsigned();
    // SAFETY: no pointer is passed, and a descriptor is made.
    unsafe { make(BPF_LINK_CREATE, &LinkAttributes { program, target, attach_type, flags }) }
}

fn is_jited(program: &OwnedFd) -> io::Result<bool> {
    let mut info = ProgramInfo::default();
    let attributes = InfoAttributes {
        descriptor: program.as_raw_fd().cast_unsigned(),
        len: u32::try_from(size_of::<ProgramInfo>()).unwrap_or(0),
        info: (&raw mut info) as u64,
    };
    // SAFETY: the kernel writes `len` bytes at most to `info`, which outlives the call.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes) }?;
    Ok(info.machine_code > 0)
}

/// Runs a command that makes a descriptor.
///
/// # Safety
///
/// As for [`bpf`]; and the command returns a new descriptor, which nobody else closes.
unsafe fn make<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: for the structure, the caller answers.
    let descriptor = unsafe { bpf(command, attributes) }?;
    // SAFETY: the kernel has just made it for us, says the caller.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_is_not_found_out() {
        let features = Features::probe();
        match &features.xdp {
            Ok(()) => {
                // Older than anything else that is asked for.
                assert_eq!(features.mappable, Some(true));
                assert_eq!(features.tail_call, Some(true));
                assert!(features.link.is_some() && features.tcx.is_some(), "{features:?}");
            }
            Err(_) => assert_eq!((features.mappable, features.link, features.jit), (None, None, None)),
        }
    }
}
