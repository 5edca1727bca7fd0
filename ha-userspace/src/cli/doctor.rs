//! `xvrrp doctor`: what this host can do, before anyone relies on it.
//!
//! Asks the host and prints what [`crate::doctor`] makes of the answers. The daemon need not run, and nothing is
//! changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::json::Form;
use super::start::namespace;
use super::{DEFAULT_BPFFS, DEFAULT_CONFIG, check, output, status};
use crate::config::diag::Severity;
use crate::config::{self, Loaded};
use crate::doctor::expect::{self, Expectation, Expected, Found};
use crate::doctor::network::Rules;
use crate::doctor::report::Report;
use crate::doctor::{Finding, Group, Level, kernel, look, network, rights};

/// Options of `xvrrp doctor`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Changes nothing. Run it as root, or as the daemon runs; other users are told less. Exit codes:\n  \
    0  good: fast failover and fence can be had on every interface\n  \
    1  degraded: it runs, with less\n  \
    2  cannot run"
)]
pub struct Args {
    /// Interfaces to look at [default: those of the configuration, else all Ethernet interfaces]
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Configuration file [default: /etc/keepalived/keepalived.conf, where there is one]
    #[arg(short = 'f', long = "use-file", value_name = "FILE")]
    pub use_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Mount point of the BPF file system
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    pub bpffs: PathBuf,
    /// Network namespace to look at [default: net_namespace of the file]
    #[arg(short = 's', long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Configuration id for `@id` lines [default: the short host name]
    #[arg(short = 'i', long = "config-id", value_name = "ID")]
    pub config_id: Option<String>,
}

/// Looks, and prints.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let (file, loaded) = configuration(args);
    let wanted = args.namespace.clone().or_else(|| loaded.as_ref()?.config.global.net_namespace.clone());
    if let Some(name) = wanted
        && let Err(error) = namespace::enter(&name)
    {
        return Form::of(args.json).fail("not_done", &error.to_string(), 2);
    }
    let report = examine(args, file, loaded.as_ref());
    if args.json {
        let _ = output::print_json(&report);
    } else {
        let _ = output::print(&render(&report));
    }
    ExitCode::from(report.exit_code)
}

/// The file, and what is in it; nothing where none was named and there is none.
fn configuration(args: &Args) -> (Option<String>, Option<Loaded>) {
    let file = match &args.use_file {
        Some(file) => file.as_path(),
        None if Path::new(DEFAULT_CONFIG).exists() => Path::new(DEFAULT_CONFIG),
        None => return (None, None),
    };
    let loaded = config::load(file, &check::options(args.config_id.as_deref()));
    (Some(file.display().to_string()), Some(loaded))
}

fn examine(args: &Args, file: Option<String>, loaded: Option<&Loaded>) -> Report {
    let default = config::model::Config::default();
    let config = loaded.map_or(&default, |loaded| &loaded.config);
    let mut findings = vec![about_the_file(file.as_deref(), loaded)];

    let kernel = look::kernel(&args.bpffs);
    let rights = look::rights(&config.global.process);
    let privileged = rights.privileged();
    findings.extend(kernel::findings(&kernel, privileged));
    findings.extend(rights::findings(&rights, kernel.features.counted_by_cgroup.map(|by_cgroup| !by_cgroup)));

    let rules = look::rules();
    findings.extend(about_rules(&rules, privileged));
    let mut interfaces = Vec::new();
    for wanted in wanted(args, config) {
        let found = look::interface(&wanted.interface);
        let around = match &found {
            Found::There(_) => look::surroundings(&wanted.interface),
            Found::Missing(_) => network::Surroundings::default(),
        };
        findings.extend(network::findings(&wanted, &found, &around));
        let expected = expect::expect(&wanted, &found, &kernel, privileged);
        if let (Rules::Read(rules), Found::There(_)) = (&rules, &found) {
            findings.extend(network::firewall(&wanted, &expected, rules));
        }
        interfaces.push(expected);
    }
    Report::new(file, findings, interfaces)
}

/// What to look at, and what is wanted of it.
fn wanted(args: &Args, config: &config::model::Config) -> Vec<Expected> {
    let configured = Expected::of(config);
    let plain = |name: &String| Expected::plain(name, &config.global);
    if args.interfaces.is_empty() {
        if configured.is_empty() {
            return look::ethernet_interfaces().iter().map(plain).collect();
        }
        return configured;
    }
    let named = |name: &String| {
        configured.iter().find(|wanted| wanted.interface == *name).cloned().unwrap_or_else(|| plain(name))
    };
    args.interfaces.iter().map(named).collect()
}

fn about_the_file(file: Option<&str>, loaded: Option<&Loaded>) -> Finding {
    let line = |level, text: String| Finding::new(Group::Configuration, level, "configuration", text);
    let (Some(file), Some(loaded)) = (file, loaded) else {
        return line(Level::Note, format!("no {DEFAULT_CONFIG}: defaults are assumed"));
    };
    let explain = format!("`xvrrp check {file}` explains");
    if loaded.fatal {
        return line(Level::Fail, format!("{file} cannot be used")).fix(explain);
    }
    let instances = loaded.config.instances.len();
    if instances == 0 {
        return line(Level::Warn, format!("{file} has no instance that runs")).fix(explain);
    }
    let text = format!("{file}: {instances} instance{}", if instances == 1 { "" } else { "s" });
    match loaded.diagnostics.worst() {
        Some(Severity::Error | Severity::Warning) => {
            line(Level::Note, format!("{text}, with complaints")).fix(explain)
        }
        _ => line(Level::Ok, text),
    }
}

fn about_rules(rules: &Rules, privileged: bool) -> Option<Finding> {
    let line = |level, text: String| Finding::new(Group::Firewall, level, "rules", text);
    match rules {
        Rules::Read(_) => None,
        Rules::None => Some(line(Level::Ok, "there are none".to_owned())),
        Rules::Unknown(reason) if !privileged => {
            Some(line(Level::Note, format!("not found out: {reason}")).fix("run this as root"))
        }
        Rules::Unknown(reason) => Some(
            line(Level::Note, format!("not found out: {reason}"))
                .fix("make sure that they let protocol 112 through"),
        ),
    }
}

/// The page for people.
fn render(report: &Report) -> String {
    let file = report.configuration.as_deref().unwrap_or("no configuration");
    let mut out = format!("xvrrp {}, {file}\n", report.version);
    let mut section = |title: &str, rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            let _ = write!(out, "\n{title}\n{}", status::table(&rows));
        }
    };
    let of = |group: Group, interface: Option<&str>| {
        let of_group = report.findings.iter().filter(move |finding| finding.group == group);
        let wanted =
            of_group.filter(|finding| interface.is_none() || finding.interface.as_deref() == interface);
        wanted.map(|finding| row(finding, interface.is_none())).collect::<Vec<_>>()
    };
    section("CONFIGURATION", of(Group::Configuration, None));
    section("KERNEL", of(Group::Kernel, None));
    section("RIGHTS", of(Group::Rights, None));
    for expected in &report.interfaces {
        let title = format!("INTERFACE {}", expected.interface);
        section(&title, of(Group::Interface, Some(&expected.interface)));
    }
    section("FIREWALL", of(Group::Firewall, None));
    section("EXPECTED", report.interfaces.iter().map(expectation).collect());
    let _ = writeln!(out, "\n{}", report.verdict.text());
    out
}

fn row(finding: &Finding, with_interface: bool) -> Vec<String> {
    let mut text = match &finding.interface {
        Some(interface) if with_interface => format!("{interface}: {}", finding.text),
        _ => finding.text.clone(),
    };
    let lost: Vec<_> = finding.lost.iter().filter(|lost| !text.contains(lost.text())).copied().collect();
    if !lost.is_empty() {
        text = format!("{text}: {}", crate::lost::list(&lost));
    }
    if let Some(fix) = &finding.fix {
        text = format!("{text}; {fix}");
    }
    vec![finding.level.word().to_owned(), finding.what.to_owned(), text]
}

fn expectation(expected: &Expectation) -> Vec<String> {
    vec![expected.level.word().to_owned(), expected.interface.clone(), expected.text()]
}

#[cfg(test)]
mod tests;
