//! Which Debian mirror this machine uses: its apt sources, both formats, read but never changed.

use std::fs;
use std::path::Path;

/// Where packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// The archive.
    pub(crate) main: String,
    /// Security updates; the archive's older releases have their last kernels there.
    pub(crate) security: Option<String>,
    /// Keys that it is signed with; apt's own, if the sources name none.
    pub(crate) signed_by: Option<String>,
}

/// An entry of the sources.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    signed_by: Option<String>,
}

/// Debian's releases; a repository of somebody else has suites of other names, mostly.
const RELEASES: [&str; 8] = ["bullseye", "bookworm", "trixie", "forky", "duke", "sid", "stable", "testing"];

impl Mirror {
    /// The mirror of this machine's apt; none where its sources are not Debian's.
    pub(crate) fn of_this_machine() -> Option<Self> {
        let mut files: Vec<_> = fs::read_dir("/etc/apt/sources.list.d")
            .map(|dir| dir.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.push(Path::new("/etc/apt/sources.list").to_owned());
        files.sort();
        let mut entries = Vec::new();
        for file in files {
            let text = fs::read_to_string(&file).unwrap_or_default();
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("sources") => entries.extend(deb822(&text)),
                Some("list") => entries.extend(one_line(&text)),
                _ => {}
            }
        }
        choose(&entries)
    }

    /// A line of apt's sources for a suite at `uri`, signed with this mirror's keys where they are here.
    pub(crate) fn entry(&self, uri: &str, suite: &str) -> String {
        let signed = self.signed_by.as_deref().filter(|key| Path::new(key).exists());
        let options = signed.map(|key| format!("[signed-by={key}] ")).unwrap_or_default();
        format!("deb {options}{uri} {suite} main\n")
    }
}

fn choose(entries: &[Entry]) -> Option<Mirror> {
    let debian = |entry: &&Entry| {
        entry.suites.iter().any(|suite| {
            let suite = suite.split(['-', '/']).next().unwrap_or(suite);
            RELEASES.contains(&suite)
        })
    };
    let is_security = |entry: &Entry| entry.suites.iter().any(|suite| suite.contains("security"));
    let main = entries.iter().filter(debian).find(|entry| !is_security(entry) && !entry.uris.is_empty())?;
    let security = entries.iter().filter(debian).find(|entry| is_security(entry));
    Some(Mirror {
        main: main.uris.first()?.clone(),
        security: security.and_then(|entry| entry.uris.first().cloned()),
        signed_by: main.signed_by.clone(),
    })
}

/// `*.sources`: paragraphs of fields, which may go on in indented lines.
fn deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let words =
            |name: &str| field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let off = field("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
        let binary = field("types").is_some_and(|types| types.split_whitespace().any(|kind| kind == "deb"));
        if binary && !off {
            // A key may stand in the file itself; apt's own keys then have to do.
            let signed_by = field("signed-by").filter(|value| value.starts_with('/')).map(str::to_owned);
            entries.push(Entry { uris: words("uris"), suites: words("suites"), signed_by });
        }
    }
    entries
}

/// `*.list`: `deb [options] URI SUITE COMPONENT…`.
fn one_line(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let mut rest = line.trim().strip_prefix("deb")?;
        if !rest.starts_with([' ', '\t']) {
            return None;
        }
        rest = rest.trim_start();
        let mut signed_by = None;
        if let Some(inner) = rest.strip_prefix('[') {
            let (options, after) = inner.split_once(']')?;
            let key = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
            signed_by = key.filter(|key| key.starts_with('/')).map(str::to_owned);
            rest = after;
        }
        let mut words = rest.split_whitespace().map(str::to_owned);
        Some(Entry { uris: vec![words.next()?], suites: vec![words.next()?], signed_by })
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: &str = "\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs:
 http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: sid
";

    #[test]
    fn the_mirror_is_found_in_both_formats() {
        let entries = deb822(SOURCES);
        assert_eq!(entries.len(), 2);
        let mirror = choose(&entries).unwrap();
        assert_eq!(mirror.main, "http://mirror.example/debian");
        assert_eq!(mirror.security.as_deref(), Some("http://mirror.example/debian-security"));
        assert_eq!(mirror.signed_by.as_deref(), Some("/usr/share/keyrings/debian-archive-keyring.gpg"));

        let list = "# deb http://old.example/debian sid main\n\
                    deb https://packages.example/tool tool-bookworm main\n\
                    deb-src http://mirror.example/debian trixie main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian trixie main\n\
                    deb http://mirror.example/security trixie-security main\n";
        let mirror = choose(&one_line(list)).unwrap();
        assert_eq!(
            (mirror.main.as_str(), mirror.signed_by.as_deref()),
            ("http://mirror.example/debian", Some("/k.gpg"))
        );
        assert_eq!(mirror.security.as_deref(), Some("http://mirror.example/security"));
    }

    #[test]
    fn sources_of_others_are_no_mirror() {
        assert_eq!(
            choose(&one_line("deb http://a.example/ubuntu noble main\ndeb [oops http://b.example x\n")),
            None
        );
        assert_eq!(choose(&deb822("nonsense\n: :\n\n\n")), None);
    }
}
