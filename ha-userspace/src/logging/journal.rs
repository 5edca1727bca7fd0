//! Records for the journal with fields (systemd.journal-fields(7)), by its own protocol: one datagram for each.
//!
//! `journalctl INSTANCE=VI_1 REASON="master unreachable"`, or `MESSAGE_ID=` for one kind of event; docs/events.md has the
//! fields and the numbers.

use super::record::Record;
use super::sink::severity;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// A number for each kind of event, for good.
pub(super) const MESSAGE_IDS: [(&str, &str); 14] = [
    ("transition", "ec1693fa27d64187b11b87aa076bce41"),
    ("peer", "a3702ba7b16b4f1f8402f8340ac0e870"),
    ("installed", "a7ec0a5f1324427589e111e39dda7b52"),
    ("priority", "d65575e9fbb54912b361c75452197f43"),
    ("tracker", "57a08581189049f4a12fadd2be4b076e"),
    ("link", "04802a92d19848fd8d9e690587601639"),
    ("rejected", "d656010ca6a541d09cd5682a58ad45d7"),
    ("group", "9cff1d92fcc64c1d8911260437097fcd"),
    ("hold", "5d5dd5a70f824e0d9446af8b5ded9431"),
    ("resumed", "b6a1ab689886445a91b8ea2c1ae0ae79"),
    ("stall", "aaf272d6a2f545bbaef80c7b1e552272"),
    ("configuration", "45b268ebab34422a8f6f2f916d4bba9b"),
    ("start", "afb52a2b1e4b477dbd9ca918f57f115a"),
    ("stop", "1e926002a2ba444bab1ae64a40cc9dcf"),
];

/// Fields of an event under the journal's names.
const FIELDS: [(&str, &str); 11] = [
    ("kind", "XVRRP_KIND"),
    ("instance", "INSTANCE"),
    ("interface", "INTERFACE"),
    ("peer", "PEER"),
    ("reason", "REASON"),
    ("why", "WHY"),
    ("from", "STATE_FROM"),
    ("to", "STATE_TO"),
    ("priority", "VRRP_PRIORITY"),
    ("addresses", "VIP"),
    ("silent_ms", "SILENT_MS"),
];

/// One record in the journal's form.
pub(super) fn datagram(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, "MESSAGE", &record.text);
    field(&mut out, "PRIORITY", &severity(record.level).to_string());
    field(&mut out, "SYSLOG_IDENTIFIER", "xvrrp");
    field(&mut out, "SYSLOG_PID", &std::process::id().to_string());
    for (name, journal) in FIELDS {
        match record.fields.get(name) {
            Some(serde_json::Value::String(text)) => field(&mut out, journal, text),
            Some(value) => field(&mut out, journal, &value.to_string()),
            None => {}
        }
    }
    let kind = record.fields.get("kind").and_then(|kind| kind.as_str());
    if let Some((_, id)) = MESSAGE_IDS.iter().find(|(known, _)| Some(*known) == kind) {
        field(&mut out, "MESSAGE_ID", id);
    }
    out
}

/// `NAME=value`, or with the length of a value that has several lines.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::SystemTime;

    use serde_json::{Map, Value};
    use tracing::Level;

    use super::*;

    #[test]
    fn fields_and_lines() {
        let fields = Map::from_iter([
            ("kind".to_owned(), Value::from("transition")),
            ("instance".to_owned(), Value::from("VI_1")),
            ("priority".to_owned(), Value::from(99)),
            ("why".to_owned(), Value::from("one\ntwo")),
        ]);
        let record = Record { at: SystemTime::now(), level: Level::WARN, text: "moved".to_owned(), fields };
        let sent = datagram(&record);
        let text = String::from_utf8_lossy(&sent);
        for line in [
            "MESSAGE=moved\n",
            "PRIORITY=4\n",
            "INSTANCE=VI_1\n",
            "VRRP_PRIORITY=99\n",
            "XVRRP_KIND=transition\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(text.contains(&format!("MESSAGE_ID={}\n", MESSAGE_IDS[0].1)));
        let binary = b"WHY\n\x07\0\0\0\0\0\0\0one\ntwo\n";
        assert!(sent.windows(binary.len()).any(|part| part == binary));
    }

    #[test]
    fn each_kind_has_a_number_of_its_own_and_the_page_says_which() {
        let ids: BTreeSet<_> = MESSAGE_IDS.iter().map(|(_, id)| *id).collect();
        assert_eq!(ids.len(), MESSAGE_IDS.len());
        let page = include_str!("../../../docs/events.md");
        for (kind, id) in MESSAGE_IDS {
            assert!(page.contains(&format!("| `{kind}` | `{id}` |")), "{kind} {id}");
        }
    }
}
