//! Reading `/proc`: which processes there are, and what they are called.

use std::fs::{self, File};
use std::io::Read;

use super::matching;

/// No command line is looked at beyond this.
const LONGEST_COMMAND_LINE: u64 = 64 << 10;

/// All process ids.
pub(super) fn ids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Name of a process; `None` where it is gone.
pub(super) fn name(process: i32) -> Option<Vec<u8>> {
    let mut name = read(process, "comm", 64)?;
    if name.last() == Some(&b'\n') {
        name.pop();
    }
    Some(name)
}

/// Command line of a process; empty for a kernel thread and for one that is gone.
pub(super) fn command_line(process: i32) -> Vec<Vec<u8>> {
    read(process, "cmdline", LONGEST_COMMAND_LINE)
        .map_or_else(Vec::new, |content| matching::arguments(&content))
}

/// It has ended, but nobody has asked for its exit status yet.
pub(super) fn is_zombie(process: i32) -> bool {
    let stat = read(process, "stat", 4096).unwrap_or_default();
    // The name stands in parentheses and may contain anything; the state follows the last one.
    let state = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
    matches!(state, Some(b'Z' | b'X') | None)
}

fn read(process: i32, what: &str, most: u64) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    File::open(format!("/proc/{process}/{what}")).ok()?.take(most).read_to_end(&mut content).ok()?;
    Some(content)
}
