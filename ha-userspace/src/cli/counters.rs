//! `xvrrp counters`: what happened to received frames, per interface.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::ask::{ask, unexpected};
use super::json::Form;
use super::output::print_json;
use crate::control::DEFAULT_RUN_DIR;
use crate::control::protocol::{Counters, Request, Response};

/// Options of `xvrrp counters`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit code 1 where no daemon answers. The XDP program's own map is HA_COUNTERS:\n  \
    bpftool map dump name HA_COUNTERS")]
pub struct Args {
    /// Run directory of the daemon.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    pub run_dir: PathBuf,
    /// Print JSON, always with every counter.
    #[arg(long)]
    pub json: bool,
    /// Print counters that are zero too.
    #[arg(long)]
    pub all: bool,
}

/// Prints the counters. Fails where the daemon does not answer.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let form = Form::of(args.json);
    match ask(&args.run_dir, Request::Counters, form) {
        Ok(Response::Counters(counters)) if args.json => print_json(&counters),
        Ok(Response::Counters(counters)) => super::output::print(&render(&counters, args.all)),
        Ok(other) => unexpected(other, form),
        Err(code) => code,
    }
}

/// One line per counter below each interface, numbers aligned.
fn render(counters: &Counters, all: bool) -> String {
    let mut out = String::new();
    for interface in &counters.interfaces {
        let _ = writeln!(out, "{}", interface.interface);
        let shown: Vec<_> = interface.counters.iter().filter(|counter| all || counter.value > 0).collect();
        let name = shown.iter().map(|counter| counter.name.len()).max().unwrap_or(0);
        let value = shown.iter().map(|counter| counter.value.to_string().len()).max().unwrap_or(0);
        for counter in &shown {
            let _ = writeln!(out, "  {:<name$}  {:>value$}", counter.name, counter.value);
        }
        if shown.is_empty() {
            out.push_str("  all counters are zero\n");
        }
    }
    if counters.interfaces.is_empty() {
        out.push_str("no interface is used\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{CounterValue, InterfaceCounters};

    #[test]
    fn zeros_are_left_out_unless_all_are_wanted() {
        let value = |name: &str, value| CounterValue { name: name.to_owned(), value };
        let counters = Counters {
            format: 1,
            interfaces: vec![
                InterfaceCounters {
                    interface: "eth0".to_owned(),
                    counters: vec![value("stamped", 12_345), value("bad_ttl", 0), value("carp", 7)],
                },
                InterfaceCounters { interface: "eth1".to_owned(), counters: vec![value("carp", 0)] },
            ],
        };
        assert_eq!(
            render(&counters, false),
            "eth0\n  stamped  12345\n  carp         7\neth1\n  all counters are zero\n"
        );
        assert!(render(&counters, true).contains("  bad_ttl      0\n"));
        assert_eq!(render(&Counters::default(), false), "no interface is used\n");
    }
}
