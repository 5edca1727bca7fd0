//! Everything that was found, as `xvrrp doctor --json` prints it (docs/doctor.md).
//!
//! Fields are only ever added; a change of meaning raises [`VERSION`].

use schemars::JsonSchema;
use serde::Serialize;

use super::expect::Expectation;
use super::{Finding, Verdict};

/// Version of the schema.
pub const VERSION: u32 = 1;

/// All that `xvrrp doctor` has to say.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// [`VERSION`].
    pub schema: u32,
    /// Version of the program.
    pub version: &'static str,
    /// The configuration that was read; `None` where there is none.
    pub configuration: Option<String>,
    /// How it looks on the whole.
    pub verdict: Verdict,
    /// The exit code that belongs to it.
    pub exit_code: u8,
    /// Everything that was looked at.
    pub findings: Vec<Finding>,
    /// What each interface can be expected to reach.
    pub interfaces: Vec<Expectation>,
}

impl Report {
    /// The report on what was found.
    #[must_use]
    pub fn new(configuration: Option<String>, findings: Vec<Finding>, interfaces: Vec<Expectation>) -> Self {
        let verdict = Verdict::of(&findings, &interfaces);
        Self {
            schema: VERSION,
            version: env!("CARGO_PKG_VERSION"),
            configuration,
            verdict,
            exit_code: verdict.code(),
            findings,
            interfaces,
        }
    }
}
