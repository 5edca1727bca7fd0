//! What the kernel's process connector says (linux/cn_proc.h): bounds-checked decoding, nothing else.

/// A change of a process that can make it one that is tracked. Ends are seen through pidfds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// `child` was forked from `parent` and has its name.
    Fork {
        /// Process id of the parent.
        parent: i32,
        /// Process id of the child.
        child: i32,
    },
    /// The process runs another program, or has another name.
    Changed(i32),
}

const NETLINK_HEADER: usize = 16;
const CONNECTOR_HEADER: usize = 20;
const EVENT_HEADER: usize = 16;

/// `PROC_EVENT_…`
const FORK: u32 = 0x1;
const EXEC: u32 = 0x2;
const COMM: u32 = 0x200;
/// `CN_IDX_PROC`, `CN_VAL_PROC`.
pub(super) const CONNECTOR: (u32, u32) = (1, 1);
/// The events that are wanted, for kernels that can leave out the others (6.6).
pub(super) const WANTED: u32 = FORK | EXEC | COMM;

/// Reads one datagram. `None` for everything that is of no interest, threads included.
pub(super) fn decode(datagram: &[u8]) -> Option<Event> {
    let connector = datagram.get(NETLINK_HEADER..)?;
    if (word(connector, 0)?, word(connector, 4)?) != CONNECTOR {
        return None;
    }
    let event = connector.get(CONNECTOR_HEADER..)?;
    let data = event.get(EVENT_HEADER..)?;
    let id = |at: usize| word(data, at).and_then(|id| i32::try_from(id).ok()).filter(|id| *id > 0);
    match word(event, 0)? {
        FORK => {
            let (parent, child_thread, child) = (id(4)?, id(8)?, id(12)?);
            (child_thread == child).then_some(Event::Fork { parent, child })
        }
        // The name of a thread that is not the first is none of the process's.
        EXEC | COMM => {
            let (thread, process) = (id(0)?, id(4)?);
            (thread == process).then_some(Event::Changed(process))
        }
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(what: u32, data: &[u32]) -> Vec<u8> {
        let mut words = vec![0_u32; 4];
        words.extend([1, 1, 0, 0, 40]);
        words.extend([what, 0, 0, 0]);
        words.extend(data);
        words.into_iter().flat_map(u32::to_ne_bytes).collect()
    }

    #[test]
    fn processes_are_told_from_threads() {
        let table = [
            (datagram(FORK, &[7, 7, 9, 9]), Some(Event::Fork { parent: 7, child: 9 })),
            (datagram(FORK, &[7, 7, 9, 7]), None),
            (datagram(EXEC, &[9, 9]), Some(Event::Changed(9))),
            (datagram(COMM, &[9, 9, 0, 0, 0, 0]), Some(Event::Changed(9))),
            (datagram(COMM, &[10, 9, 0, 0, 0, 0]), None),
            (datagram(0x8000_0000, &[9, 9, 0, 0]), None),
            (datagram(EXEC, &[0, 0]), None),
            (datagram(EXEC, &[u32::MAX, u32::MAX]), None),
        ];
        for (bytes, expected) in table {
            assert_eq!(decode(&bytes), expected);
        }
    }

    #[test]
    fn a_datagram_that_was_cut_says_nothing() {
        let whole = datagram(FORK, &[7, 7, 9, 9]);
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length]), None, "{length} bytes");
        }
        let mut other = whole;
        other[16] = 9;
        assert_eq!(decode(&other), None);
    }
}
