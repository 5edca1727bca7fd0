//! What the kernel complained about.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

/// Words that no healthy kernel says.
const COMPLAINTS: [&str; 9] = [
    "BUG:",
    "WARNING:",
    "Oops",
    "Call Trace",
    "general protection",
    "blocked for more than",
    "self-detected stall",
    "detected stalls",
    "RT throttling activated",
];

/// The lines of the kernel's log that hold a complaint, in order.
pub(super) fn complaints() -> std::io::Result<Vec<String>> {
    let mut log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    let mut found = Vec::new();
    let mut record = [0; 8192];
    // One record a read; at the end of the log the read would block.
    while let Ok(length) = log.read(&mut record) {
        let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default()).into_owned();
        if let Some(line) = message(&text).filter(|line| is_complaint(line)) {
            found.push(line.to_owned());
        }
        if length == 0 {
            break;
        }
    }
    Ok(found)
}

/// `6,1234,5678,-;text` and further lines.
fn message(record: &str) -> Option<&str> {
    record.split_once(';')?.1.lines().next()
}

fn is_complaint(line: &str) -> bool {
    COMPLAINTS.iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_from_chatter() {
        assert_eq!(message("4,10,20,-;WARNING: CPU: 0\n SUBSYSTEM=x\n"), Some("WARNING: CPU: 0"));
        assert!(is_complaint("BUG: scheduling while atomic"));
        assert!(!is_complaint("ens160: link becomes ready"));
        assert_eq!(message("nonsense"), None);
    }
}
