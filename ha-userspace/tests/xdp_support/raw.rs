//! Programs written by hand, to measure with.

use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_TEST_RUN: i32 = 10;
const BPF_LINK_CREATE: i32 = 28;
const BPF_MAP_TYPE_PROG_ARRAY: u32 = 3;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// The attach type that aya loads with: programs that call one another must have the same.
const BPF_XDP: u32 = 37;
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;

/// Calls bpf(2). The attributes are whole words of the kernel's union.
#[expect(unsafe_code, reason = "a system call that takes a structure")]
fn bpf<const N: usize>(command: i32, attributes: &mut [u64; N]) -> i32 {
    // SAFETY: the attributes are as long as said, and what they point to outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(attributes)) };
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    i32::try_from(result).expect("a descriptor")
}

#[expect(unsafe_code, reason = "the kernel has just made the descriptor")]
fn own(descriptor: i32) -> OwnedFd {
    // SAFETY: nobody else has it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | (u64::from(high) << 32)
}

/// One instruction.
fn instruction(code: u8, target: u8, source: u8, offset: u16, immediate: u32) -> u64 {
    u64::from(code)
        | (u64::from(target) << 8)
        | (u64::from(source) << 12)
        | (u64::from(offset) << 16)
        | (u64::from(immediate) << 32)
}

/// A program.
pub(crate) struct Raw {
    program: OwnedFd,
    _called: Option<OwnedFd>,
}

impl Raw {
    fn load(instructions: &[u64]) -> OwnedFd {
        let count = u32::try_from(instructions.len()).expect("short");
        let mut attributes = [
            pair(BPF_PROG_TYPE_XDP, count),
            instructions.as_ptr() as u64,
            c"GPL".as_ptr() as u64,
            0,
            0,
            pair(0, BPF_F_XDP_HAS_FRAGS),
            0,
            0,
            pair(0, BPF_XDP),
        ];
        own(bpf(BPF_PROG_LOAD, &mut attributes))
    }

    /// Passes every frame and does nothing else.
    pub(crate) fn empty() -> Self {
        // r0 = XDP_PASS; exit.
        let program = Self::load(&[instruction(0xb7, 0, 0, 0, 2), instruction(0x95, 0, 0, 0, 0)]);
        Self { program, _called: None }
    }

    /// Attaches it to an interface in generic mode, until the descriptor is closed.
    pub(crate) fn attach(&self, ifindex: u32) -> OwnedFd {
        const GENERIC: u32 = 1 << 1;
        let program = self.program.as_raw_fd().cast_unsigned();
        own(bpf(BPF_LINK_CREATE, &mut [pair(program, ifindex), pair(BPF_XDP, GENERIC)]))
    }

    /// A descriptor of the program.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    /// Makes the frame what it was, as far as turning a probe over IPv4 round changes it, and calls `program`.
    pub(crate) fn renewing(frame: &[u8], program: BorrowedFd<'_>) -> Self {
        let mut attributes = [pair(BPF_MAP_TYPE_PROG_ARRAY, 4), pair(4, 1), 0];
        let array = own(bpf(BPF_MAP_CREATE, &mut attributes));
        let (key, value) = (0_u32, program.as_raw_fd().cast_unsigned());
        let map = pair(array.as_raw_fd().cast_unsigned(), 0);
        bpf(BPF_MAP_UPDATE_ELEM, &mut [map, (&raw const key) as u64, (&raw const value) as u64, 0]);

        // MAC addresses, IP addresses, type and flags, responder to tag.
        let offsets: Vec<u16> = [0, 4, 8, 26, 30, 34].into_iter().chain((58..114).step_by(4)).collect();
        let stores = u16::try_from(offsets.len()).expect("few");
        let mut instructions = vec![
            instruction(0xbf, 6, 1, 0, 0),          // r6 = context
            instruction(0x61, 2, 1, 0, 0),          // r2 = data
            instruction(0x61, 3, 1, 4, 0),          // r3 = data_end
            instruction(0xbf, 4, 2, 0, 0),          // r4 = r2
            instruction(0x07, 4, 0, 0, 114),        // r4 += 114
            instruction(0x2d, 4, 3, stores + 5, 0), // if r4 > r3 goto end
        ];
        for at in offsets {
            let word = frame[usize::from(at)..].first_chunk().expect("inside");
            instructions.push(instruction(0x62, 2, 0, at, u32::from_le_bytes(*word)));
        }
        instructions.extend([
            instruction(0xbf, 1, 6, 0, 0),                                 // r1 = context
            instruction(0x18, 2, 1, 0, array.as_raw_fd().cast_unsigned()), // r2 = array
            instruction(0, 0, 0, 0, 0),
            instruction(0xb7, 3, 0, 0, 0),  // r3 = 0
            instruction(0x85, 0, 0, 0, 12), // tail call
            instruction(0xb7, 0, 0, 0, 0),  // end: r0 = XDP_ABORTED
            instruction(0x95, 0, 0, 0, 0),
        ]);
        Self { program: Self::load(&instructions), _called: Some(array) }
    }

    /// What it decides, and the mean time of a run in nanoseconds.
    pub(crate) fn time(&self, frame: &[u8], repeat: u32) -> (u32, u64) {
        let len = u32::try_from(frame.len()).expect("short");
        let program = self.program.as_raw_fd().cast_unsigned();
        let mut attributes = [pair(program, 0), pair(len, 0), frame.as_ptr() as u64, 0, pair(repeat, 0)];
        bpf(BPF_PROG_TEST_RUN, &mut attributes);
        let result = u32::try_from(attributes[0] >> 32).expect("half a word");
        (result, attributes[4] >> 32)
    }
}
