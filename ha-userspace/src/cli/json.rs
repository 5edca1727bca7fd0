//! What `--json` prints beside the answers themselves: their version, and failures. `schema` says what they are made of.

use std::process::ExitCode;

use schemars::JsonSchema;
use serde::Serialize;

use super::output::print_json;
use crate::control::protocol::{FORMAT, Failure, Verdict};

/// An answer with the version of its form.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Versioned<T> {
    /// Raised when a field gets another meaning or goes; new fields are added without.
    format: u32,
    #[serde(flatten)]
    answer: T,
}

impl<T> Versioned<T> {
    pub(super) const fn new(answer: T) -> Self {
        Self { format: FORMAT, answer }
    }
}

/// Instead of a status or of readiness, where no daemon answers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
// With instances it is a real answer, and has to be a whole one.
#[schemars(extend("not" = { "required": ["instances"] }))]
pub(super) struct Unknown {
    /// As that of an answer.
    format: u32,
    /// `unknown`, where readiness was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// Why.
    verdict: Verdict,
    /// What programs of the daemon that is gone still do, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
}

impl Unknown {
    pub(super) const fn new(state: Option<&'static str>, verdict: Verdict) -> Self {
        Self { format: FORMAT, state, verdict, left: Vec::new() }
    }

    /// With what is left in the kernel.
    pub(super) fn leaving(self, left: Vec<String>) -> Self {
        Self { left, ..self }
    }
}

/// Instead of any other answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Failed {
    /// What went wrong.
    error: Failure,
}

impl Failed {
    pub(super) const fn of(error: Failure) -> Self {
        Self { error }
    }
}

/// How somebody wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// On standard error, in words.
    Text,
    /// On standard output, for programs.
    Json,
}

impl Form {
    /// As the flag says.
    pub(super) const fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }

    /// Tells of a failure of that kind, which ends the command with that code.
    pub(super) fn fail(self, code: &str, message: &str, exit: u8) -> ExitCode {
        self.tell(Failure { code: code.to_owned(), ..Failure::new(message) });
        ExitCode::from(exit)
    }

    /// Tells of a failure.
    pub(super) fn tell(self, failure: Failure) {
        if self == Self::Json {
            let _ = print_json(&Versioned::new(Failed::of(failure)));
            return;
        }
        for diagnostic in &failure.diagnostics {
            eprintln!("{}", diagnostic.trim_end());
        }
        eprintln!("xvrrp: {}", failure.message);
    }
}
