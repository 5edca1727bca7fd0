//! Which processes a tracker means: pure comparison of names and command lines.
//!
//! As in keepalived.conf(5), "VRRP track processes": exact comparison, no regular expressions.

use crate::config::model::{ParamMatch, TrackProcess};

/// The kernel cuts process names (`/proc/PID/comm`) to this.
const LONGEST_NAME: usize = 15;

/// What is to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    process: Vec<u8>,
    parameters: Vec<Vec<u8>>,
    how: ParamMatch,
    command_line: bool,
}

impl Pattern {
    pub(super) fn new(spec: &TrackProcess) -> Self {
        Self {
            process: spec.process.as_bytes().to_vec(),
            parameters: spec.parameters.iter().map(|word| word.as_bytes().to_vec()).collect(),
            how: spec.param_match,
            command_line: spec.full_command
                || !spec.parameters.is_empty()
                || spec.param_match == ParamMatch::None,
        }
    }

    /// A process by its name.
    pub(super) fn by_name(name: &str) -> Self {
        Self {
            process: name.as_bytes().to_vec(),
            parameters: Vec::new(),
            how: ParamMatch::Exact,
            command_line: false,
        }
    }

    /// The command line is needed besides the name.
    pub(super) const fn wants_command_line(&self) -> bool {
        self.command_line
    }

    /// Whether a process is meant. `name` is the content of `/proc/PID/comm`, `arguments` that of
    /// `/proc/PID/cmdline`; a kernel thread has none.
    pub(super) fn matches(&self, name: &[u8], arguments: &[Vec<u8>]) -> bool {
        if !self.command_line {
            return name == &self.process[..self.process.len().min(LONGEST_NAME)];
        }
        let Some((command, given)) = arguments.split_first() else { return false };
        if *command != self.process {
            return false;
        }
        match (self.how, self.parameters.as_slice()) {
            (ParamMatch::None, _) => given.is_empty(),
            // `full_command` alone compares the command, whatever its parameters.
            (_, []) => true,
            (ParamMatch::Exact, wanted) => given == wanted,
            (ParamMatch::Partial, wanted) => given.starts_with(wanted),
            (ParamMatch::Initial, [wanted @ .., last]) => {
                given.len() == wanted.len() + 1
                    && given.starts_with(wanted)
                    && given.last().is_some_and(|word| word.starts_with(last))
            }
        }
    }
}

/// Splits the content of `/proc/PID/cmdline`.
pub(super) fn arguments(content: &[u8]) -> Vec<Vec<u8>> {
    let content = content.strip_suffix(&[0]).unwrap_or(content);
    if content.is_empty() {
        return Vec::new();
    }
    content.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(process: &str, parameters: &str, how: ParamMatch, command_line: bool) -> Pattern {
        let words = parameters.split_whitespace().map(|word| word.as_bytes().to_vec());
        let parameters: Vec<_> = words.collect();
        let command_line = command_line || !parameters.is_empty() || how == ParamMatch::None;
        Pattern { process: process.as_bytes().to_vec(), parameters, how, command_line }
    }

    #[test]
    fn names_and_command_lines_are_compared_exactly() {
        use ParamMatch::{Exact, Initial, None, Partial};
        let table = [
            (pattern("nginx", "", Exact, false), "nginx", "/usr/sbin/nginx -g x", true),
            (pattern("ngin", "", Exact, false), "nginx", "nginx", false),
            (pattern("a-name-of-more-than-15", "", Exact, false), "a-name-of-more-", "x", true),
            (pattern("/usr/sbin/nginx", "", Exact, true), "nginx", "/usr/sbin/nginx -g x", true),
            (pattern("nginx", "", Exact, true), "nginx", "/usr/sbin/nginx", false),
            (pattern("sleep", "10", Exact, false), "sleep", "sleep 10", true),
            (pattern("sleep", "10", Exact, false), "sleep", "sleep 10 20", false),
            (pattern("sleep", "10", Partial, false), "sleep", "sleep 10 20", true),
            (pattern("sleep", "20", Partial, false), "sleep", "sleep 10 20", false),
            (pattern("sleep", "10", Initial, false), "sleep", "sleep 100", true),
            (pattern("sleep", "10", Initial, false), "sleep", "sleep 2", false),
            (pattern("sleep", "10", Initial, false), "sleep", "sleep", false),
            (pattern("sleep", "", None, false), "sleep", "sleep 10", false),
            (pattern("sleep", "", None, false), "sleep", "sleep", true),
            (pattern("kthread", "", Exact, true), "kthread", "", false),
        ];
        for (pattern, name, line, expected) in table {
            let arguments = arguments(line.replace(' ', "\0").as_bytes());
            assert_eq!(pattern.matches(name.as_bytes(), &arguments), expected, "{pattern:?} {name} {line}");
        }
    }

    #[test]
    fn a_command_line_is_split_at_zeros() {
        assert_eq!(arguments(b""), Vec::<Vec<u8>>::new());
        assert_eq!(arguments(b"a\0\0b\0"), [b"a".to_vec(), Vec::new(), b"b".to_vec()]);
        assert_eq!(arguments(b"nginx: master process"), [b"nginx: master process".to_vec()]);
    }
}
