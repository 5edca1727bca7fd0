//! What the guest says on its console, one line each, and how xtask reads it there among the kernel's lines.

use std::fmt;
use std::io::Write as _;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The kernel is up: its release.
    Booted(String),
    /// What is tried next.
    Step(String),
    /// A figure or a fact: key, value.
    Result(String, String),
    /// A check: name, whether it passed, what was found.
    Check {
        /// Its name.
        name: String,
        /// Whether it passed.
        passed: bool,
        /// What was found.
        found: String,
    },
    /// Of a log, for the case that something failed: whose, the line.
    Log(String, String),
    /// What the one who runs the virtual machine is asked to do.
    Order(String),
    /// Everything was tried.
    End,
}

impl Line {
    /// A check.
    #[must_use]
    pub fn check(name: &str, passed: bool, found: &str) -> Self {
        // One line of the console, whatever an error has to say.
        let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
        Self::Check { name: name.to_owned(), passed, found }
    }

    /// Writes it to the console.
    pub fn print(&self) {
        let mut out = std::io::stdout().lock();
        // Without a console nobody can be told.
        let _nobody = writeln!(out, "{self}");
        let _nobody = out.flush();
    }

    /// Reads a line of a console; none if it is somebody else's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end();
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let pair = || rest.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        Some(match word {
            "BOOTED" => Self::Booted(rest.to_owned()),
            "STEP" => Self::Step(rest.to_owned()),
            "RESULT" => pair().map(|(key, value)| Self::Result(key, value))?,
            "CHECK" => {
                let (verdict, rest) = rest.split_once(' ')?;
                let (name, found) = rest.split_once(": ")?;
                let passed = match verdict {
                    "ok" => true,
                    "FAILED" => false,
                    _ => return None,
                };
                Self::Check { name: name.to_owned(), passed, found: found.to_owned() }
            }
            "LOG" => pair().map(|(whose, line)| Self::Log(whose, line))?,
            "ORDER" => Self::Order(rest.to_owned()),
            "END" if rest.is_empty() => Self::End,
            _ => return None,
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booted(release) => write!(f, "BOOTED {release}"),
            Self::Step(name) => write!(f, "STEP {name}"),
            Self::Result(key, value) => write!(f, "RESULT {key} {value}"),
            Self::Check { name, passed, found } => {
                write!(f, "CHECK {} {name}: {found}", if *passed { "ok" } else { "FAILED" })
            }
            Self::Log(whose, line) => write!(f, "LOG {whose} {line}"),
            Self::Order(what) => write!(f, "ORDER {what}"),
            Self::End => f.write_str("END"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        let lines = [
            Line::Booted("6.1.0-56-cloud-amd64".into()),
            Line::Step("kill -9".into()),
            Line::Result("r1.rss".into(), "8.1 MB".into()),
            Line::check("cable", false, "a gap of\n 3 s"),
            Line::Log("r1".into(), "INFO  started".into()),
            Line::Order("freeze 50".into()),
            Line::End,
        ];
        for line in lines {
            assert_eq!(Line::parse(&line.to_string()).as_ref(), Some(&line));
        }
    }

    #[test]
    fn other_lines_are_not_ours() {
        for text in ["", "[    0.1] Booted", "CHECK", "CHECK maybe x: y", "RESULT key", "END of it"] {
            assert_eq!(Line::parse(text), None, "{text}");
        }
    }
}
