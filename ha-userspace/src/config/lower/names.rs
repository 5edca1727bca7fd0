//! Names that stand for numbers: tables, protocols, scopes and the like, as iproute2 has them.
//!
//! The well-known ones are built in; the rest comes from the files that ip-route(8) reads. They are read once for a
//! load, bounded, and only when a name is not built in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::unsigned::parse_unsigned;
use crate::config::lexer::Word;
use crate::config::model::Global;

/// Longer files are no lists of names.
const MAX_BYTES: u64 = 1 << 18;
/// Where iproute2 keeps its files; the first that has a name counts.
const DIRECTORIES: &[&str] = &["/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2"];

/// A list of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum List {
    /// Routing tables.
    Tables,
    /// Who made a route.
    Protocols,
    /// Scopes.
    Scopes,
    /// Types of service.
    Dsfield,
    /// Realms.
    Realms,
    /// Interface groups.
    Groups,
    /// IP protocols, from /etc/protocols.
    IpProtocols,
}

impl List {
    fn built_in(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::Tables => &[("unspec", 0), ("default", 253), ("main", 254), ("local", 255)],
            Self::Protocols => &[
                ("unspec", 0),
                ("redirect", 1),
                ("kernel", 2),
                ("boot", 3),
                ("static", 4),
                ("gated", 8),
                ("ra", 9),
                ("mrt", 10),
                ("zebra", 11),
                ("bird", 12),
                ("dnrouted", 13),
                ("xorp", 14),
                ("ntk", 15),
                ("dhcp", 16),
                ("keepalived", 18),
                ("babel", 42),
                ("bgp", 186),
                ("isis", 187),
                ("ospf", 188),
                ("rip", 189),
                ("eigrp", 192),
            ],
            Self::Scopes => &[
                ("global", 0),
                ("universe", 0),
                ("site", 200),
                ("link", 253),
                ("host", 254),
                ("nowhere", 255),
            ],
            Self::Dsfield => &[("default", 0)],
            Self::Realms => &[("cosmos", 0)],
            Self::Groups => &[("default", 0)],
            Self::IpProtocols => &[
                ("icmp", 1),
                ("igmp", 2),
                ("tcp", 6),
                ("udp", 17),
                ("gre", 47),
                ("esp", 50),
                ("ah", 51),
                ("icmpv6", 58),
                ("ipv6-icmp", 58),
                ("ospf", 89),
                ("vrrp", 112),
                ("sctp", 132),
                ("udplite", 136),
            ],
        }
    }

    fn file(self) -> Option<&'static str> {
        match self {
            Self::Tables => Some("rt_tables"),
            Self::Protocols => Some("rt_protos"),
            Self::Scopes => Some("rt_scopes"),
            Self::Dsfield => Some("rt_dsfield"),
            Self::Realms => Some("rt_realms"),
            Self::Groups => Some("group"),
            Self::IpProtocols => None,
        }
    }

    fn most(self) -> u32 {
        match self {
            Self::Tables | Self::Groups => u32::MAX,
            Self::Realms => 0xffff,
            Self::Protocols | Self::Scopes | Self::Dsfield | Self::IpProtocols => 255,
        }
    }
}

/// Looks names up.
#[derive(Debug, Default)]
pub(super) struct Names {
    directories: Vec<PathBuf>,
    read: HashMap<List, HashMap<String, u32>>,
}

impl Names {
    /// Looks into the directories that the file names, or else into the usual ones.
    pub(super) fn new(global: &Global) -> Self {
        let usual =
            |from: usize, to: usize| DIRECTORIES.get(from..to).unwrap_or_default().iter().map(PathBuf::from);
        let mut directories = Vec::new();
        match &global.iproute_etc {
            Some(path) => directories.push(path.clone()),
            None => directories.extend(usual(0, 1)),
        }
        match &global.iproute_usr {
            Some(path) => directories.push(path.clone()),
            None => directories.extend(usual(1, DIRECTORIES.len())),
        }
        Self { directories, read: HashMap::new() }
    }

    /// The number that a word stands for: written as one, or by name.
    pub(super) fn find(&mut self, list: List, word: &Word) -> Option<u32> {
        if let Some(number) = parse_unsigned(&word.bytes) {
            return u32::try_from(number).ok().filter(|number| *number <= list.most());
        }
        let text = word.text().to_ascii_lowercase();
        if let Some((_, number)) = list.built_in().iter().find(|(name, _)| *name == text) {
            return Some(*number);
        }
        self.read.entry(list).or_insert_with(|| read(list, &self.directories)).get(&text).copied()
    }
}

fn read(list: List, directories: &[PathBuf]) -> HashMap<String, u32> {
    let mut found = HashMap::new();
    match list.file() {
        Some(name) => {
            for directory in directories {
                // NUMBER NAME
                for (number, name) in pairs(&directory.join(name)) {
                    add(&mut found, &name, &number, list.most());
                }
            }
        }
        // NAME NUMBER, see protocols(5).
        None => {
            for (name, number) in pairs(Path::new("/etc/protocols")) {
                add(&mut found, &name, &number, list.most());
            }
        }
    }
    found
}

fn add(found: &mut HashMap<String, u32>, name: &str, number: &str, most: u32) {
    let number = parse_unsigned(number.as_bytes()).and_then(|number| u32::try_from(number).ok());
    if let Some(number) = number.filter(|number| *number <= most) {
        found.entry(name.to_ascii_lowercase()).or_insert(number);
    }
}

/// The first two words of each line.
fn pairs(path: &Path) -> Vec<(String, String)> {
    use std::io::Read;
    let mut text = String::new();
    let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
    if !file.metadata().is_ok_and(|meta| meta.is_file())
        || file.take(MAX_BYTES).read_to_string(&mut text).is_err()
    {
        return Vec::new();
    }
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .collect()
}
