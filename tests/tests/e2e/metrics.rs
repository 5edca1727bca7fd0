//! Metrics as a scraper gets them: of a pair while addresses move, over reloads, and under scrapers that misbehave.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, Wire, wait_for};

use crate::harness::Test;
use crate::pair::{Conf, VIP, adverts, held_by, ms, reload, until};
use crate::punctual::steady;

/// Where the daemons of these tests serve.
const AT: &str = "127.0.0.1:9650";
/// In the file of the daemons, and nowhere in their metrics.
const SECRETS: [&str; 2] = ["hushhush", "00112233445566aa"];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("metrics::they_follow_a_failover_and_tell_no_secret", failover).needs([Daemon::Xvrrp]),
        Test::new("metrics::a_reload_moves_them", moves).needs([Daemon::Xvrrp]),
        Test::new("metrics::scrapers_delay_no_advert", scrapers).needs([Daemon::Xvrrp]).timing(),
        Test::new("metrics::dashboards_are_answered", dashboards).needs([Daemon::Xvrrp]),
        Test::new("metrics::promtool_takes_them", promtool).needs([Daemon::Xvrrp]).needs_tool("promtool"),
        Test::new("metrics::alert_rules_do_what_they_say", rules).needs_tool("promtool"),
    ]
}

fn connect(host: &Host, at: &str) -> Result<TcpStream> {
    let at = at.to_owned();
    let stream = host.inside(move || TcpStream::connect(at))?.context("nobody listens")?;
    stream.set_read_timeout(Some(ms(10_000)))?;
    stream.set_write_timeout(Some(ms(1_000)))?;
    Ok(stream)
}

/// The body of an answer of 200.
fn scrape_at(host: &Host, at: &str, accept: &str) -> Result<String> {
    let mut stream = connect(host, at)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {at}\r\nAccept: {accept}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    Ok(body.to_owned())
}

fn scrape(host: &Host) -> Result<String> {
    scrape_at(host, AT, "text/plain")
}

/// Waits until a sample of a scrape is as wanted.
fn shows(host: &Host, samples: &[&str]) -> Result<String> {
    let mut latest = String::new();
    let found = wait_for(ms(10_000), || {
        std::thread::sleep(ms(20));
        latest = scrape(host).unwrap_or_else(|error| format!("{error:#}"));
        samples.iter().all(|sample| latest.lines().any(|line| line == *sample)).then_some(())
    });
    found.with_context(|| format!("{}: not all of {samples:?} in\n{latest}", host.name()))?;
    Ok(latest)
}

fn global(lines: &str) -> String {
    format!("global_defs {{\n    script_user root\n    enable_script_security\n{lines}}}\n")
}

/// Of VRRPv2, so that there is a password.
fn file(priority: u8) -> String {
    let [password, key] = SECRETS;
    let script =
        "vrrp_script chk {\n    script \"/usr/bin/test ! -e /run/bad\"\n    interval 1\n    weight -20\n}\n";
    let settings = global(&format!("    @xvrrp metrics {AT}\n    @xvrrp fast_key {key}\n"));
    let conf = Conf::new(priority)
        .every("1")
        .with(&format!("authentication {{\n auth_type PASS\n auth_pass {password}\n }}"))
        .with("track_script {\n chk\n }");
    settings + script + &conf.text().replace("version 3", "version 2")
}

fn failover(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let _first = r1.start(Daemon::Xvrrp, &file(101))?;
    held_by(&addresses, VIP, &["r1"], ms(10_000))?;
    let _second = r2.start(Daemon::Xvrrp, &file(99))?;
    let router = "iname=\"VI_1\",intf=\"ens160\",vrid=\"25\"";
    let state = |n: u8| format!("keepalived_vrrp_state{{{router},ip_address=\"{VIP}/32\"}} {n}");
    let present = |n: u8| format!("xvrrp_address_present{{{router},ip_address=\"{VIP}/32\"}} {n}");
    let ready = format!("xvrrp_instance_standby_ready{{{router}}} 1");
    shows(r1, &[&state(2), &present(1), &ready, "xvrrp_fence{intf=\"ens160\",state=\"open\"} 1"])?;
    shows(r2, &[&state(1), &present(0), &format!("keepalived_become_master_total{{{router}}} 0")])?;
    shows(r2, &["xvrrp_peer_fast{intf=\"ens160\",peer=\"172.16.1.1\"} 1"])?;

    lab.switch().unplug("r1")?;
    held_by(&addresses, VIP, &["r2"], ms(10_000))?;
    let reason = "from=\"BACKUP\",to=\"MASTER\",reason=\"master unreachable\"";
    let moved = format!("xvrrp_instance_transitions_total{{{router},{reason}}} 1");
    let after = shows(
        r2,
        &[&state(2), &present(1), &moved, &format!("keepalived_become_master_total{{{router}}} 1")],
    )?;
    ensure!(after.contains("xvrrp_peer_verdicts_total{intf=\"ens160\",peer=\"172.16.1.1\"} 1"), "{after}");
    let open = scrape_at(r2, AT, "application/openmetrics-text")?;
    ensure!(open.ends_with("# EOF\n"), "{open}");
    for text in [&after, &open, &scrape(r1)?] {
        ensure!(!SECRETS.iter().any(|secret| text.contains(secret)), "a secret is in\n{text}");
    }
    Ok(())
}

fn moves(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let conf = Conf::new(100).text();
    let at = |place: &str| global(&format!("    @xvrrp metrics {place}\n")) + &conf;
    let _daemon = r1.start(Daemon::Xvrrp, &conf)?;
    until(r1, "VI_1", "MASTER", ms(8_000))?;
    ensure!(connect(r1, AT).is_err(), "somebody listens unasked");
    reload(r1, &at(AT))?;
    shows(r1, &["keepalived_up 1"])?;

    let taken = r1.inside(|| std::net::TcpListener::bind("127.0.0.1:9651"))??;
    reload(r1, &at("127.0.0.1:9651"))?;
    let warned = wait_for(ms(10_000), || {
        let status = r1.xvrrp_status().ok()?;
        status
            .warnings
            .iter()
            .any(|text| text.contains("metrics 127.0.0.1:9651: cannot listen: "))
            .then_some(())
    });
    warned.context("nobody says that the port is taken")?;
    ensure!(connect(r1, AT).is_err(), "it listens still where it did");
    drop(taken);
    let back = wait_for(ms(20_000), || scrape_at(r1, "127.0.0.1:9651", "*/*").ok());
    back.context("the port is free, and nobody listens")?;
    ensure!(r1.xvrrp_status()?.warnings.iter().all(|text| !text.contains("metrics")), "warned still");
    let state = until(r1, "VI_1", "MASTER", ms(1_000))?;
    ensure!(state.state == "MASTER", "{state:?}");
    reload(r1, &conf)?;
    let gone = wait_for(ms(5_000), || connect(r1, "127.0.0.1:9651").is_err().then_some(()));
    gone.context("it listens still")
}

/// Times between two adverts of r1 from `begin` on.
fn pauses(wire: &Wire, begin: Moment) -> Result<Vec<Duration>> {
    let times: Vec<_> = adverts(wire, "r1", 25, begin).into_iter().map(|advert| advert.at).collect();
    // Three intervals and the skew: nobody takes over for less.
    steady("adverts of the master", &times, ms(30))?;
    Ok(times.windows(2).map(|pair| pair[1].since(pair[0])).collect())
}

fn scrapers(lab: &Lab) -> Result<()> {
    let (r1, wire) = (lab.host("r1")?, lab.switch().watch()?);
    let settings = global(&format!("    @xvrrp metrics {AT}\n"));
    let _daemon = r1.start(Daemon::Xvrrp, &(settings + &Conf::new(200).every("0.01").text()))?;
    until(r1, "VI_1", "MASTER", ms(8_000))?;
    shows(r1, &["keepalived_up 1"])?;
    let begin = Moment::now();
    std::thread::sleep(ms(3_000));
    let alone = pauses(&wire, begin)?;

    let begin = Moment::now();
    let mut slow = Vec::new();
    let garbage: [&[u8]; 4] =
        [b"\x16\x03\x01\0\0", b"\r\n\r\n\0\0", b"GET / HTTP/9\r\n\r\n", &[b'x'; 1 << 18]];
    while Moment::now().since(begin) < ms(3_000) {
        for _ in 0..20 {
            let mut stream = connect(r1, AT)?;
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ");
            slow.push(stream);
        }
        for bytes in garbage {
            let _ = connect(r1, AT)?.write_all(bytes);
        }
        // One that goes on byte after byte.
        for stream in slow.iter_mut().rev().take(10) {
            let _ = stream.write_all(b"y");
        }
        scrape(r1).context("a good scraper beside bad ones")?;
        slow.truncate(200);
    }
    let beside = pauses(&wire, begin)?;
    // Later than half an interval: in a hundred, so that a moment of the machine's does not count for much.
    let late =
        |pauses: &[Duration]| pauses.iter().filter(|pause| **pause > ms(15)).count() * 100 / pauses.len();
    println!("of 100 adverts {} are late, beside scrapers {}", late(&alone), late(&beside));
    ensure!(
        late(&beside) <= late(&alone) * 2 + 4,
        "of 100 adverts {} are late by half an interval or more, without scrapers {}",
        late(&beside),
        late(&alone)
    );
    Ok(())
}

fn packaged(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The metrics of these prefixes that a text speaks of.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("keepalived_") || word.starts_with("xvrrp_"));
    ours.map(str::to_owned).collect()
}

/// Every metric that the dashboard, the alert rules and the list of common queries ask for is there.
fn dashboards(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let addresses = lab.watch_addresses()?;
    let _first = r1.start(Daemon::Xvrrp, &file(101))?;
    held_by(&addresses, VIP, &["r1"], ms(10_000))?;
    let _second = r2.start(Daemon::Xvrrp, &file(99))?;
    let probed = "xvrrp_peer_fast{intf=\"ens160\",peer=\"172.16.1.1\"} 1";
    let master = shows(r1, &["xvrrp_instance_standby_ready{iname=\"VI_1\",intf=\"ens160\",vrid=\"25\"} 1"])?;
    let backup = shows(r2, &[probed, "keepalived_script_status{name=\"chk\"} 1"])?;
    // With a finding, so that there is one to be counted.
    r1.write("/run/bad", "", 0o644)?;
    let script = "xvrrp_findings{severity=\"WARNING\",code=\"script_bad\"} 1";
    let failing = shows(r1, &[script])?;
    let samples = [master, backup, failing].join("\n");
    let samples = samples.lines().filter(|line| !line.starts_with('#'));
    let there: BTreeSet<_> =
        samples.map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned()).collect();

    let page = std::fs::read_to_string(packaged("docs/metrics.md"))?;
    let (_, queries) = page.split_once("<!-- queries -->").context("no list of queries")?;
    let (queries, _) = queries.split_once("<!-- end of queries -->").context("no end of the list")?;
    let dashboard: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(packaged("packaging/grafana/xvrrp.json"))?)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let asked: Vec<_> = targets.filter_map(|target| target["expr"].as_str()).collect();
    ensure!(asked.len() > 15, "{asked:?}");
    let variables = dashboard["templating"].to_string();
    let rules = std::fs::read_to_string(packaged("packaging/prometheus/xvrrp.rules.yml"))?;
    let rules: String =
        rules.split("expr:").skip(1).filter_map(|rule| rule.split("labels:").next()).collect();
    for (what, text) in [
        ("docs/metrics.md", queries),
        ("the dashboard", &asked.join("\n")),
        ("the dashboard's variables", &variables),
        ("the alert rules", &rules),
    ] {
        let names = names(text);
        ensure!(!names.is_empty(), "{what} asks for nothing");
        let missing: Vec<_> = names.difference(&there).collect();
        ensure!(missing.is_empty(), "{what}: not in a scrape: {missing:?}");
    }
    Ok(())
}

fn promtool(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let _first = r1.start(Daemon::Xvrrp, &file(101))?;
    until(r1, "VI_1", "MASTER", ms(10_000))?;
    let _second = r2.start(Daemon::Xvrrp, &file(99))?;
    shows(r2, &["xvrrp_peer_fast{intf=\"ens160\",peer=\"172.16.1.1\"} 1"])?;
    for host in [r1, r2] {
        host.write("/run/scrape", scrape(host)?, 0o644)?;
        let file = std::fs::File::open(host.path("/run/scrape"))?;
        let output = Command::new("promtool").args(["check", "metrics"]).stdin(file).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success() && said.is_empty(), "{}: {}\n{said}", host.name(), output.status);
    }
    Ok(())
}

fn rules(_: &Lab) -> Result<()> {
    for words in [["check", "rules", "xvrrp.rules.yml"], ["test", "rules", "xvrrp.rules.test.yml"]] {
        let output =
            Command::new("promtool").args(words).current_dir(packaged("packaging/prometheus")).output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "promtool {}: {said}", words.join(" "));
    }
    Ok(())
}
