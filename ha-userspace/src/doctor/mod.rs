//! What this host can do for VRRP, and what each interface can be expected to reach: the findings of `xvrrp doctor`.
//!
//! [`look`] asks the host and changes nothing on it; [`kernel`], [`rights`], [`expect`], [`network`] and [`netfilter`]
//! turn answers into findings and are pure; [`report`] prints them. [`crate::cli::doctor`] calls them in this order.

pub mod expect;
pub mod kernel;
pub mod look;
pub mod netfilter;
pub mod network;
pub mod report;
pub mod rights;

use schemars::JsonSchema;
use serde::Serialize;

use crate::lost::Lost;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// To be known; nothing is lost.
    Note,
    /// Something is lost.
    Warn,
    /// The daemon cannot work.
    Fail,
}

impl Level {
    /// The word, which is as long as the others or shorter.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// The file.
    Configuration,
    /// The kernel, for everybody.
    Kernel,
    /// What this process may do.
    Rights,
    /// One interface.
    Interface,
    /// Rules for packets.
    Firewall,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What it is about.
    pub group: Group,
    /// Which interface, where it is about one.
    pub interface: Option<String>,
    /// How good it is.
    pub level: Level,
    /// What was looked at: a word that stays the same.
    pub what: &'static str,
    /// What was found, one sentence without a full stop.
    pub text: String,
    /// What to do, where something can be done.
    pub fix: Option<String>,
    /// What is lost by it.
    #[serde(serialize_with = "words")]
    #[schemars(with = "Vec<String>")]
    pub lost: Vec<Lost>,
}

fn words<S: serde::Serializer>(lost: &[Lost], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(lost.iter().map(|lost| lost.word()))
}

impl Finding {
    pub(crate) fn new(group: Group, level: Level, what: &'static str, text: impl Into<String>) -> Self {
        Self { group, interface: None, level, what, text: text.into(), fix: None, lost: Vec::new() }
    }

    fn on(mut self, interface: &str) -> Self {
        self.interface = Some(interface.to_owned());
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    fn losing(mut self, lost: &[Lost]) -> Self {
        self.lost = lost.to_vec();
        self
    }
}

/// How it looks on the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Fast failover and fence can be had on every interface.
    Good = 0,
    /// It works, with less.
    Degraded = 1,
    /// It cannot run.
    CannotRun = 2,
}

impl Verdict {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Degraded => 1,
            Self::CannotRun => 2,
        }
    }

    /// The sentence for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Good => "good: fast failover and fence can be had on every interface",
            Self::Degraded => "degraded: it runs, with what the lines above say",
            Self::CannotRun => "cannot run",
        }
    }

    /// Of what was found. Where some interfaces work and others do not, the daemon runs.
    #[must_use]
    pub fn of(findings: &[Finding], expected: &[expect::Expectation]) -> Self {
        let host = findings.iter().filter(|finding| finding.interface.is_none());
        let host = host.map(|finding| finding.level).max().unwrap_or(Level::Ok);
        let on = |name: &str| {
            let on = findings.iter().filter(|finding| finding.interface.as_deref() == Some(name));
            on.map(|finding| finding.level).max().unwrap_or(Level::Ok)
        };
        let interfaces: Vec<_> =
            expected.iter().map(|expected| expected.level.max(on(&expected.interface))).collect();
        let none_works = interfaces.iter().min() == Some(&Level::Fail);
        let worst = interfaces.iter().copied().max().unwrap_or(Level::Ok);
        match host.max(worst) {
            _ if host == Level::Fail || none_works => Self::CannotRun,
            Level::Warn | Level::Fail => Self::Degraded,
            Level::Ok | Level::Note => Self::Good,
        }
    }
}

#[cfg(test)]
mod tests;
