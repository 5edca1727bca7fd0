//! Routes and rules without the mark, on file: after kill -9 nothing else tells them from somebody else's.
//!
//! Only `protocol` together with `no_track` makes such entries. The file is written before they are added, so it may
//! name one that never came to be; it never lacks one.

use std::fmt::Write as _;
use std::path::PathBuf;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;

use super::{Entry, Message, route, rule};
use crate::net::netlink::write;

/// Unmarked entries that may be there, and the file that says so.
#[derive(Debug)]
pub struct Remembered {
    file: PathBuf,
    /// Of an earlier run, and not looked at yet.
    earlier: Vec<Entry>,
    written: String,
}

impl Remembered {
    /// What an earlier run has added, according to `file`. Lines that cannot be read are dropped.
    #[must_use]
    pub fn load(file: PathBuf) -> Self {
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        Self { file, earlier: written.lines().filter_map(decode).collect(), written }
    }

    /// What an earlier run has added; the caller looks after it from now on.
    pub fn take_earlier(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.earlier)
    }

    /// Of these entries, the unmarked ones are there, or will be in a moment.
    pub fn note<'a>(&mut self, there: impl Iterator<Item = &'a Entry>) {
        let mut text = String::new();
        let earlier = self.earlier.iter().map(encode);
        for line in earlier.chain(there.filter(|entry| !entry.is_marked()).map(encode)) {
            if !text.contains(&line) {
                text += &line;
            }
        }
        if text == self.written {
            return;
        }
        let result = if text.is_empty() {
            std::fs::remove_file(&self.file)
        } else {
            // A kill in the middle must not cost the old one.
            let new = self.file.with_added_extension("new");
            std::fs::write(&new, &text).and_then(|()| std::fs::rename(&new, &self.file))
        };
        if let Err(error) = result {
            let file = self.file.display();
            tracing::warn!(
                "{file}: {error}; routes and rules with `protocol` and `no_track` stay after a crash"
            );
        }
        self.written = text;
    }
}

/// The message that adds it, in hexadecimal digits, and its words for the reader.
fn encode(entry: &Entry) -> String {
    let mut line = String::new();
    for byte in write(std::iter::once(entry.add())).iter().flat_map(|chunk| &chunk.bytes) {
        // Writing to a string cannot fail.
        let _ = write!(line, "{byte:02x}");
    }
    line + " " + &entry.name() + "\n"
}

fn decode(line: &str) -> Option<Entry> {
    let (digits, _) = line.split_once(' ')?;
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let bytes =
        digits.as_bytes().chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?));
    let message =
        NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes.collect::<Option<Vec<_>>>()?).ok()?;
    let NetlinkPayload::InnerMessage(message) = message.payload else { return None };
    let (message, name) = match message {
        RouteNetlinkMessage::NewRoute(message) => {
            let name = route::held_words(&message);
            (Message::Route(message), name)
        }
        RouteNetlinkMessage::NewRule(message) => {
            let name = rule::held_words(&message);
            (Message::Rule(message), name)
        }
        _ => return None,
    };
    Some(Entry { message, append: false, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, load_str};

    /// An unmarked route and an unmarked rule, and a marked route.
    fn entries() -> Vec<Entry> {
        let text = "static_routes {\n10.2.0.0/24 via 10.1.0.9 dev eth0 metric 7 protocol 77 no_track\n\
            10.3.0.0/24 dev eth0 protocol 77\n}\n\
            static_rules {\nfrom 10.2.0.0/24 table 77 priority 500 protocol 77 no_track\n}\n";
        let options = LoadOptions {
            config_id: "test".to_owned(),
            random_seed: 1,
            script_check: None,
            interface_check: None,
        };
        let config = load_str("test.conf", text.as_bytes(), &options).config;
        let routes = config.static_routes.iter().map(|route| Entry::route(route, None, |_| Some(9)));
        let routes = routes.map(|entry| entry.expect("its device exists"));
        routes.chain(config.static_rules.iter().map(Entry::rule)).collect()
    }

    #[test]
    fn what_is_remembered_is_the_same_in_the_next_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("routes");
        let entries = entries();
        Remembered::load(file.clone()).note(entries.iter().chain(&entries));
        let mut next = Remembered::load(file.clone());
        // It stays on file for as long as nobody has looked after it.
        next.note(std::iter::empty());
        assert!(file.exists());
        let earlier = next.take_earlier();
        let unmarked: Vec<&Entry> = entries.iter().filter(|entry| !entry.is_marked()).collect();
        assert_eq!((unmarked.len(), earlier.len()), (2, 2), "{earlier:?}");
        assert!(earlier.iter().zip(unmarked).all(|(earlier, entry)| earlier.same(entry)), "{earlier:?}");
        next.note(std::iter::empty());
        assert!(!file.exists());
    }

    #[test]
    fn nonsense_on_file_is_dropped() {
        for line in
            ["", "zz route", "0 x", "00 x", "é route", "ffffffff route", &format!("{} x", "00".repeat(64))]
        {
            assert_eq!(decode(line), None, "{line}");
        }
    }
}
