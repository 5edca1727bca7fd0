//! The first process of a virtual machine that tries xvrrp on a kernel, and the tests that it runs there.
//!
//! `cargo xtask kernels` boots the machine with the program `xvrrp-guest` as `/init`. As process 1 it mounts what the
//! lab needs, loads modules (`boot`), runs itself again for the tests, and switches the machine off. The tests use the
//! lab as every other test does; what they find goes to the console as lines ([`Line`]), which xtask reads there.

mod boot;
mod cards;
mod judge;
mod kernel_log;
mod line;
mod orders;
mod outage;
mod pair;
mod router;
mod smoke;
mod timers;

use std::process::ExitCode;

pub use line::Line;

/// Behind a check's name and a dot, the key of a figure: for how many milliseconds the machine itself stood still meanwhile.
/// Without it, it did not.
pub const STOOD_STILL: &str = "stood-still";

/// What the program was told on the kernel's command line, behind `--`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Which test.
    pub test: String,
    /// The kind of the routers' cards; none for veth.
    pub card: Option<String>,
    /// XDP modes that are right, in the daemon's words.
    pub modes: Vec<String>,
    /// The router runs without XDP.
    pub raw: bool,
    /// Only what most of the others follow from.
    pub short: bool,
}

impl Words {
    /// Reads `test=… card=… modes=a,b`; other words are the kernel's.
    #[must_use]
    pub fn parse<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Self {
        let mut read = Self::default();
        for word in words {
            match word.as_ref().split_once('=') {
                Some(("test", value)) => value.clone_into(&mut read.test),
                Some(("card", value)) => read.card = Some(value.to_owned()),
                Some(("short", value)) => read.short = value == "yes",
                Some(("raw", value)) => read.raw = value == "yes",
                Some(("modes", value)) => read.modes = value.split(',').map(str::to_owned).collect(),
                _ => {}
            }
        }
        read
    }
}

/// Runs the program: as process 1 the whole machine, else the tests.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if std::process::id() == 1 {
        boot::machine(&words);
        return ExitCode::FAILURE;
    }
    let words = Words::parse(words);
    let result = match words.test.as_str() {
        "boot" => Ok(()),
        "smoke" => smoke::run(&words),
        "timers" => timers::run(),
        "pair-first" => pair::first(&words),
        "pair-second" => pair::second(&words),
        other => Err(anyhow::anyhow!("there is no test `{other}`")),
    };
    match result {
        Ok(()) => {
            Line::check("test", true, "came to its end").print();
            ExitCode::SUCCESS
        }
        Err(error) => {
            Line::check("test", false, &format!("{error:#}")).print();
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_kernel_are_passed_over() {
        let words = Words::parse(["splash", "test=smoke", "card=igb", "modes=native,generic", "a=b"]);
        assert_eq!((words.test.as_str(), words.card.as_deref()), ("smoke", Some("igb")));
        assert_eq!(words.modes, ["native", "generic"]);
    }
}
