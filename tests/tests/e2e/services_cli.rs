//! The command line as a new user meets it: exit codes, and what is printed where.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, RUN_DIR};

use crate::harness::Test;
use crate::pair::{Conf, FILE, ms, script, stderr, stdout, until, xvrrp};

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::XvrrpRfc]);
    vec![
        test("cli::help_is_complete", help),
        test("cli::check_gives_its_verdict", check),
        test("cli::without_a_daemon", no_daemon),
        test("cli::with_a_daemon", daemon),
        test("cli::two_daemons", two_daemons),
    ]
}

/// Exit code, standard output and standard error.
fn run(host: &Host, arguments: &[&str]) -> Result<(i32, String, String)> {
    let output = xvrrp(host, arguments)?;
    let code = output.status.code().with_context(|| format!("{arguments:?}: {}", output.status))?;
    Ok((code, stdout(&output), stderr(&output)))
}

fn help(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let (code, text, _) = run(r1, &["--help"])?;
    ensure!(code == 0, "{text}");
    for command in ["run", "check", "explain", "status", "ready", "counters", "reload"] {
        ensure!(text.contains(&format!("  {command} ")), "{command} is missing in\n{text}");
        let (code, text, _) = run(r1, &[command, "--help"])?;
        ensure!(code == 0 && text.contains(&format!("Usage: xvrrp {command}")), "{text}");
        // Each option has its words; each directory and file its default.
        for option in text.lines().filter(|line| line.trim_start().starts_with('-')) {
            ensure!(
                option.trim().split("  ").count() > 1 || option.trim().len() > 24,
                "bare option: {option}"
            );
        }
    }
    let (_, text, _) = run(r1, &["check", "--help"])?;
    ensure!(
        ["0  good", "4  cannot run", "5  runs", "6  runs"].iter().all(|part| text.contains(part)),
        "{text}"
    );
    let (_, text, _) = run(r1, &["run", "--help"])?;
    ensure!(text.contains("HUP         reload") && text.contains("4  the configuration"), "{text}");
    let (_, text, _) = run(r1, &["reload", "--help"])?;
    ensure!(text.contains("Exit code 1"), "{text}");
    let (code, text, _) = run(r1, &["--version"])?;
    ensure!(code == 0 && text.starts_with("xvrrp "), "{text}");
    let (code, _, said) = run(r1, &["chekc"])?;
    ensure!(code == 2 && said.contains("similar subcommand") && said.contains("'check'"), "{said}");
    Ok(())
}

fn check(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let good = Conf::new(150).text();
    let tracked = Conf::new(150).with("track_script {").with("    chk").with("}").text();
    let unprotected =
        (script("") + &tracked).replace("    enable_script_security\n", "").replace("0.02", "1");
    let missing =
        (script("") + &tracked).replace("/usr/bin/test", "/usr/bin/no-such-check").replace("0.02", "1");
    let cases = [
        (good.clone(), 0, "good: 1 instance, 0 scripts; 0 errors, 0 warnings, 0 notes"),
        (good.replace("priority", "priorty"), 5, "did you mean `priority`"),
        (good.replace("ens160", "ens161"), 5, "ens161"),
        (good.replace("vrrp_instance VI_1 {", "vrrp_instance {"), 5, "name"),
        (good.replace("priority 150", "priority"), 4, "cannot run: "),
        (unprotected, 6, "enable_script_security"),
        (missing, 5, "/usr/bin/no-such-check"),
    ];
    for (text, wanted, words) in cases {
        r1.write(FILE, &text, 0o644)?;
        // By position, by keepalived's option, by default.
        for arguments in [vec!["check", FILE], vec!["check", "-f", FILE], vec!["check"]] {
            let (code, out, said) = run(r1, &arguments)?;
            ensure!(
                code == wanted && said.contains(words),
                "{code}, wanted {wanted} and `{words}`\n{said}\n{text}"
            );
            ensure!(out.is_empty(), "on standard output: {out}");
        }
    }
    // Notify scripts too, and those that somebody else could change.
    r1.write("/etc/open.sh", "#!/bin/sh\n", 0o777)?;
    let told = Conf::new(150).with("notify_master /usr/bin/no-such").with("notify /etc/open.sh").text();
    r1.write(FILE, script("") + &told, 0o644)?;
    let (_, _, said) = run(r1, &["check"])?;
    for words in [
        "warning[XV0604]: `/usr/bin/no-such` would not run",
        "/etc/open.sh can be changed by everybody",
        "help: run: chmod go-w /etc/open.sh",
    ] {
        ensure!(said.contains(words), "`{words}` is missing in\n{said}");
    }
    let (code, out, _) = run(r1, &["explain", "xv0604"])?;
    ensure!(code == 0 && out.starts_with("XV0604: ") && out.contains("\nFix: "), "{out}");
    let (code, out, _) = run(r1, &["explain"])?;
    ensure!(code == 0 && out.lines().count() > 60, "{out}");
    let (code, _, said) = run(r1, &["explain", "XV9999"])?;
    ensure!(code == 1 && said.contains("no code 'XV9999'"), "{said}");
    let (code, _, said) = run(r1, &["check", "/etc/nothing.conf"])?;
    ensure!(
        code == 4 && said.contains("/etc/nothing.conf cannot be read") && said.contains("No such file"),
        "{code} {said}"
    );
    let (code, _, said) = run(r1, &["check", "/etc"])?;
    ensure!(code == 4 && said.contains("/etc"), "{code} {said}");
    let (code, _, said) = run(r1, &["check", FILE, "-f", FILE])?;
    ensure!(code == 2 && said.contains("cannot be used with"), "{code} {said}");
    Ok(())
}

fn no_daemon(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let none = "no xvrrp is running with run directory /run/elsewhere; start it with 'xvrrp run'";
    for command in ["status", "ready"] {
        // As monitoring plugins have it.
        let (code, out, said) = run(r1, &[command, "--run-dir", "/run/elsewhere"])?;
        ensure!(
            code == 3 && out.starts_with(&format!("UNKNOWN: {none}")) && said.is_empty(),
            "{code} {out}{said}"
        );
        let (code, out, _) = run(r1, &[command, "--run-dir", "/run/elsewhere", "--json"])?;
        let value: serde_json::Value = serde_json::from_str(&out)?;
        ensure!(code == 3 && value["verdict"]["findings"][0]["code"] == "not_running", "{code} {out}");
    }
    for command in ["counters", "reload"] {
        let (code, out, said) = run(r1, &[command, "--run-dir", "/run/elsewhere"])?;
        let wanted = format!("xvrrp: {none}");
        ensure!(code == 1 && out.is_empty() && said.starts_with(&wanted), "{command}: {code} {out} {said}");
        let (code, out, said) = run(r1, &[command, "--run-dir", "/run/elsewhere", "--json"])?;
        let value: serde_json::Value = serde_json::from_str(&out)?;
        let told = value["error"]["message"].as_str().is_some_and(|message| message.starts_with(none));
        ensure!(code == 1 && said.is_empty() && told, "{command} --json: {code} {out} {said}");
    }
    let (code, out, said) = run(r1, &["run", "-f", "/etc/nothing.conf"])?;
    let log = out + &said;
    ensure!(code == 4 && log.contains("/etc/nothing.conf") && log.contains("xvrrp check"), "{code} {log}");
    Ok(())
}

fn daemon(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let tracked = Conf::new(150).with("track_script {").with("    chk").with("}").text();
    let mut daemon = r1.start(Daemon::XvrrpRfc, &(script("weight 10") + &tracked))?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    // The run directory is also the default.
    for place in [&["--run-dir", RUN_DIR][..], &[]] {
        let (code, out, said) = run(r1, &[&["status"], place].concat())?;
        ensure!(code == 0 && said.is_empty(), "{code} {said}");
        let wanted = [
            "INSTANCE  STATE",
            "VI_1      MASTER",
            "this host",
            "172.16.1.25/32",
            "VRRPv3 ipv4 vrid 25 on ens160, receives by generic",
            "160 = 150 configured, +10 script chk",
            "INTERFACE  INDEX",
            "SCRIPT  STATE",
            "chk     good",
            FILE,
        ];
        ensure!(wanted.iter().all(|part| out.contains(part)), "wanted {wanted:?} in\n{out}");
    }
    let (code, out, said) = run(r1, &["status", "--json"])?;
    let value: serde_json::Value = serde_json::from_str(&out)?;
    ensure!(code == 0 && said.is_empty() && value["instances"][0]["state"] == "MASTER", "{out}");
    ensure!(value["format"] == 1 && value["scripts"][0]["state"] == "good", "{out}");
    let (code, out, _) = run(r1, &["counters", "--all"])?;
    ensure!(code == 0 && out.starts_with("ens160\n") && out.contains("bad_ttl"), "{out}");
    let (code, out, _) = run(r1, &["counters", "--json"])?;
    let value: serde_json::Value = serde_json::from_str(&out)?;
    ensure!(code == 0 && value["interfaces"][0]["interface"] == "ens160", "{out}");
    let (code, out, said) = run(r1, &["reload"])?;
    // The fraction is a warning each time.
    ensure!(
        code == 0 && out == "reloaded: nothing changed\n" && said.contains("0.02"),
        "{code} {out} {said}"
    );
    let (code, out, _) = run(r1, &["reload", "--json"])?;
    let value: serde_json::Value = serde_json::from_str(&out)?;
    ensure!(code == 0 && value["changes"].as_array().is_some_and(Vec::is_empty), "{out}");
    daemon.check_alive()?;
    let status = daemon.stop()?;
    ensure!(status.is_some_and(|status| status.success()), "{status:?}");
    ensure!(r1.output(&["ls", "-A", RUN_DIR])?.is_empty(), "the run directory is not empty");
    Ok(())
}

fn two_daemons(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let mut daemon = r1.start(Daemon::XvrrpRfc, &Conf::new(150).text())?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    let (code, out, said) = run(r1, &["run"])?;
    let log = out + &said;
    ensure!(code == 1 && log.contains("xvrrp is already running as pid"), "{code} {log}");
    ensure!(log.contains("--run-dir"), "{log}");
    until(r1, "VI_1", "MASTER", ms(100))?;
    daemon.check_alive()
}
