//! `notify_webhook`: what a receiver is told, and what becomes of it where there is none.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, wait_for};
use serde_json::{Value, json};

use super::inbox::Inbox;
use crate::harness::Test;
use crate::hostile::{json as ask, logged, ms, reach};
use crate::json::fits;
use crate::pair::Conf;

const URL: &str = "notify_webhook http://172.16.1.100:8080/hidden";

pub(super) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("notify::{name}"), body).needs([Daemon::Xvrrp])
    };
    vec![
        new("a_webhook_is_told_who_what_and_why", told),
        new("a_webhook_that_is_not_there_is_said_once_and_told_later", absent),
    ]
}

/// The first document that `is` wanted.
fn find(inbox: &Inbox, host: &str, event: &str) -> Result<Value> {
    let wanted = |document: &Value| document["host"] == host && document["event"] == event;
    wait_for(ms(8_000), || inbox.documents().into_iter().find(wanted))
        .with_context(|| format!("no {event} of {host} in {:#?}", inbox.documents()))
}

fn told(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let inbox = Inbox::start(lab.host("client")?, 8080)?;
    let file = |priority| format!("global_defs {{\n {URL}\n}}\n") + &Conf::new(priority).text();
    let mut first = r1.start(Daemon::Xvrrp, &file(101))?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    let _second = r2.start(Daemon::Xvrrp, &file(99))?;
    reach(r2, "VI_1", "BACKUP", ms(8_000))?;
    first.stop()?;
    reach(r2, "VI_1", "MASTER", ms(8_000))?;

    let hosts = [r1, r2].map(|host| host.output(&["hostname"]).map(|name| name.trim().to_owned()));
    let [r1_name, r2_name] = hosts;
    let (r1_name, r2_name) = (r1_name?, r2_name?);
    let taken = wait_for(ms(8_000), || {
        let all = inbox.documents();
        let last = all.iter().rev().find(|document| document["event"] == "MASTER")?;
        (last["priority"] == 99).then(|| last.clone())
    });
    let taken = taken.with_context(|| format!("r2 did not tell: {:#?}", inbox.documents()))?;
    ensure!(taken["host"] == *r2_name, "{taken:#}");
    for (field, value) in [
        ("format", json!(1)),
        ("instance", json!("VI_1")),
        ("vrid", json!(25)),
        ("interface", json!("ens160")),
        ("from", json!("BACKUP")),
        ("to", json!("MASTER")),
        ("reason", json!("master resigned")),
        ("addresses", json!(["172.16.1.25/32"])),
        ("lost", json!(0)),
    ] {
        ensure!(taken[field] == value, "{field} is not {value}: {taken:#}");
    }
    ensure!(taken["why"].as_str().is_some_and(|why| !why.is_empty()), "it does not say why: {taken:#}");
    let stopped = find(&inbox, &r1_name, "STOP")?;
    ensure!(stopped["from"] == "MASTER" && stopped["priority"] == 101, "{stopped:#}");
    for document in inbox.documents() {
        fits(r2, "webhook", &document)?;
    }
    Ok(())
}

fn absent(lab: &Lab) -> Result<()> {
    let (r1, client) = (lab.host("r1")?, lab.host("client")?);
    let file = |priority| Conf::new(priority).with(URL).with("notify_priority_changes on").text();
    let mut daemon = r1.start(Daemon::Xvrrp, &file(100))?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    let counted = || {
        let status = ask(r1, "status").ok()?;
        let warnings: Vec<_> = status["warnings"].as_array()?.iter().filter_map(Value::as_str).collect();
        let of = |line: &&&str| line.starts_with("notify_webhook http://172.16.1.100:8080/…: ");
        warnings.iter().find(of).map(|line| (*line).to_owned())
    };
    // After the attempts, which take five seconds of pauses.
    let line = wait_for(ms(20_000), counted).context("status does not count what is lost")?;
    ensure!(line.contains("not delivered") && line.contains("refused"), "{line}");
    let said = logged(&daemon, &["notify_webhook", "not delivered", "further ones are counted"])?;
    ensure!(!daemon.log().contains("hidden"), "the log has the path: {said}");
    let inbox = Inbox::start(client, 8080)?;
    r1.write("/etc/keepalived/keepalived.conf", file(110), 0o644)?;
    daemon.signal(nix::sys::signal::Signal::SIGHUP)?;
    let first = wait_for(ms(20_000), || inbox.documents().into_iter().next()).context("nothing arrives")?;
    ensure!(first["lost"].as_u64() > Some(0), "{first:#}");
    wait_for(ms(8_000), || counted().is_none().then_some(())).context("status still counts")?;
    let log = daemon.log();
    ensure!(log.matches("further ones are counted").count() == 1, "said more than once:\n{log}");
    ensure!(log.contains("delivered again"), "{log}");
    daemon.stop()?;
    Ok(())
}
