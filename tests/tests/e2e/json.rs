//! What `--json` prints, held against the schema that the same program prints of it.

use anyhow::{Context, Result, anyhow, ensure};
use boon::{Compiler, Schemas};
use ha_tests::lab::{Daemon, Host, Lab, RUN_DIR};
use serde_json::Value;

use crate::harness::Test;
use crate::pair::{Conf, ms, script, stderr, stdout, until, xvrrp};

pub(crate) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("json::{name}"), body).needs([Daemon::Xvrrp])
    };
    vec![new("answers_are_what_the_schemas_say", answers), new("failures_are_json_too", failures)]
}

/// Holds a value against the schema of a command.
pub(crate) fn fits(host: &Host, name: &str, value: &Value) -> Result<()> {
    let schema = serde_json::from_str(&stdout(&xvrrp(host, &["schema", name])?))?;
    let mut compiler = Compiler::new();
    compiler.add_resource("schema.json", schema).map_err(|error| anyhow!("{name}: {error}"))?;
    let mut schemas = Schemas::new();
    let index = compiler.compile("schema.json", &mut schemas).map_err(|error| anyhow!("{name}: {error}"))?;
    schemas.validate(value, index).map_err(|error| anyhow!("{name}: {error:#}\n{value:#}"))
}

/// What a command prints, which is nothing but JSON, and its exit code.
fn ask(host: &Host, arguments: &[&str]) -> Result<(i32, Value)> {
    let output = xvrrp(host, &[arguments, &["--json", "--run-dir", RUN_DIR]].concat())?;
    let text = stdout(&output);
    let value =
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}\n{}", stderr(&output)))?;
    Ok((output.status.code().context("it was killed")?, value))
}

fn answers(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let file = |priority| script("weight -20") + &Conf::new(priority).with("track_script {\n chk\n }").text();
    let _first = r1.start(Daemon::Xvrrp, &file(101))?;
    until(r1, "VI_1", "MASTER", ms(8_000))?;
    let _second = r2.start(Daemon::Xvrrp, &file(100))?;
    until(r2, "VI_1", "BACKUP", ms(8_000))?;
    lab.switch().unplug("r1")?;
    until(r2, "VI_1", "MASTER", ms(8_000))?;
    lab.switch().plug("r1")?;
    until(r1, "VI_1", "MASTER", ms(8_000))?;
    for host in [r1, r2] {
        for (name, arguments) in [
            ("status", &["status"][..]),
            ("ready", &["ready"]),
            ("counters", &["counters"]),
            ("why", &["why", "VI_1"]),
            ("reload", &["reload", "--dry-run"]),
            ("reload", &["reload"]),
            ("hold", &["freeze", "--all", "--for", "1m"]),
            ("hold", &["release", "--all"]),
        ] {
            let (_, value) = ask(host, arguments)?;
            ensure!(value.get("error").is_none(), "{arguments:?}: {value:#}");
            fits(host, name, &value)?;
        }
        let events = stdout(&xvrrp(host, &["events", "--json", "--run-dir", RUN_DIR])?);
        ensure!(events.lines().count() > 5, "{events}");
        for line in events.lines() {
            fits(host, "events", &serde_json::from_str(line)?)?;
        }
    }
    Ok(())
}

fn failures(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let commands: [(&str, &[&str]); 5] = [
        ("counters", &["counters"]),
        ("reload", &["reload"]),
        ("hold", &["resign", "--all"]),
        ("events", &["events"]),
        ("why", &["why"]),
    ];
    for (name, arguments) in commands {
        let (code, value) = ask(r1, arguments)?;
        let wanted = if matches!(name, "events" | "why") { "no_files" } else { "not_running" };
        ensure!(code == 1 && value["error"]["code"] == wanted, "{arguments:?}: {code}, {value:#}");
        fits(r1, name, &value)?;
    }
    let (code, value) = ask(r1, &["status"])?;
    ensure!(code == 3 && value["verdict"]["findings"][0]["code"] == "not_running", "{code}: {value:#}");
    fits(r1, "status", &value)?;

    let daemon = r1.start(Daemon::Xvrrp, &Conf::new(100).text())?;
    until(r1, "VI_1", "MASTER", ms(8_000))?;
    let (code, value) = ask(r1, &["resign", "NOBODY"])?;
    ensure!(code == 1 && value["error"]["code"] == "refused", "{code}: {value:#}");
    fits(r1, "hold", &value)?;
    daemon.freeze()?;
    let (code, value) = ask(r1, &["ready", "--timeout", "0.3"])?;
    ensure!(code == 3 && value["state"] == "unknown", "{code}: {value:#}");
    fits(r1, "ready", &value)?;
    // There is a picture of a frozen daemon, too, with the code of what is wrong.
    let output = xvrrp(r1, &["top", "--once", "--run-dir", RUN_DIR])?;
    let picture = stdout(&output);
    ensure!(output.status.code() == Some(3) && picture.contains("[frozen]"), "{picture}");
    daemon.thaw()?;
    let picture = stdout(&xvrrp(r1, &["top", "--once", "--run-dir", RUN_DIR])?);
    ensure!(picture.contains("VI_1 ") && picture.contains("EVENTS"), "{picture}");
    Ok(())
}
