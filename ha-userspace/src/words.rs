//! Sentences for operators that several parts need: an error with its causes, names like the one that there is not, text
//! that somebody else has written.

use std::fmt::Write as _;

/// An error and its causes in one sentence. Many of our errors name their cause themselves; nothing is said twice.
pub(crate) fn whole(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            // Writing to a string does not fail.
            let _ = write!(text, ": {cause}");
        }
    }
    text
}

/// Text that a terminal does not obey: control characters, but for those named, are replaced.
pub(crate) fn printable(text: &str, but: &[char]) -> String {
    text.chars().map(|c| if c.is_control() && !but.contains(&c) { '\u{fffd}' } else { c }).collect()
}

/// So many names are enough to see which one was meant.
const NAMED: usize = 6;

/// `there are eth0, eth1 and 12 more`, those first that are most like `name`; the loopback interface is none that anybody
/// means.
pub(crate) fn interfaces_like(name: &str, there: impl Iterator<Item = impl Into<String>>) -> String {
    let mut there: Vec<String> = there.map(Into::into).filter(|other| other != "lo").collect();
    let wanted = name.to_lowercase();
    there.sort_by_cached_key(|other| {
        (strsim::damerau_levenshtein(&wanted, &other.to_lowercase()), other.clone())
    });
    let more = there.len().saturating_sub(NAMED);
    there.truncate(NAMED);
    match (there.as_slice(), more) {
        ([], _) => "there is none but lo".to_owned(),
        ([only], _) => format!("there is {only}"),
        ([others @ .., last], 0) => format!("there are {} and {last}", others.join(", ")),
        (names, more) => format!("there are {} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_that_was_named_is_not_named_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open a socket: {source}; run as root")]
        struct Socket {
            source: std::io::Error,
        }
        let source = std::io::Error::from_raw_os_error(1);
        let error = anyhow::Error::from(Socket { source });
        assert_eq!(whole(&error), "cannot open a socket: Operation not permitted (os error 1); run as root");
        let error = Err::<(), _>(std::io::Error::from_raw_os_error(2)).context("no file").unwrap_err();
        assert_eq!(whole(&error), "no file: No such file or directory (os error 2)");
    }

    #[test]
    fn the_nearest_come_first() {
        let there = ["wlan0", "lo", "ens161", "eth0"];
        assert_eq!(interfaces_like("ens160", there.into_iter()), "there are ens161, eth0 and wlan0");
        assert_eq!(interfaces_like("x", ["lo", "eth0"].into_iter()), "there is eth0");
        assert_eq!(interfaces_like("x", ["lo"].into_iter()), "there is none but lo");
        let many = (0..20).map(|n| format!("eth{n}"));
        assert_eq!(
            interfaces_like("eth3", many),
            "there are eth3, eth0, eth1, eth13, eth2, eth4 and 14 more"
        );
    }
}
