//! `bpftool map dump` shows named fields that move.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab};
use serde_json::Value;

use super::routers::{Routers, pair};
use crate::harness::Test;

const COUNT: u8 = 3;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("load::maps_have_named_fields_that_move", maps)
            .needs([Daemon::XvrrpRfc])
            .needs_tool("bpftool"),
    ]
}

/// What the dumps say, summed.
#[derive(Debug)]
struct Seen {
    stamps: Vec<u64>,
    counts: Vec<u64>,
    stamped: u64,
}

fn maps(lab: &Lab) -> Result<()> {
    let master = Routers { count: COUNT, interval: "0.1", priority: 200, xdp: Some("generic") };
    let _running = pair(lab, &master.config(), &Routers { priority: 100, ..master }.config())?;
    let backup = lab.host("r2")?;
    std::thread::sleep(Duration::from_millis(500));
    let before = look(backup)?;
    std::thread::sleep(Duration::from_secs(1));
    let after = look(backup)?;
    println!("before {before:?}\nafter {after:?}");
    for n in 0..usize::from(COUNT) {
        // However long it takes to look: an interval for each advert.
        let counted = after.counts[n] - before.counts[n];
        let moved = Duration::from_nanos(after.stamps[n] - before.stamps[n]);
        let each = moved / u32::try_from(counted)?.max(1);
        ensure!(counted >= 5, "VRID {}: {counted} adverts in a second, wanted about 10", n + 1);
        ensure!(
            (90..=115).contains(&each.as_millis()),
            "VRID {}: its stamp moved by {moved:?} for {counted} adverts",
            n + 1
        );
    }
    // Dumped a moment after the stamps.
    let sum: u64 = (0..usize::from(COUNT)).map(|n| after.counts[n] - before.counts[n]).sum();
    let counted = after.stamped - before.stamped;
    ensure!(
        (sum / 2..=sum * 2).contains(&counted),
        "{counted} adverts counted as stamped, {sum} in the slots"
    );
    Ok(())
}

fn look(host: &Host) -> Result<Seen> {
    let adverts = dump(host, "HA_ADVERTS")?;
    let mut seen = Seen { stamps: Vec::new(), counts: Vec::new(), stamped: 0 };
    for vrid in 1..=u64::from(COUNT) {
        let slot = adverts
            .iter()
            .find(|entry| entry["formatted"]["key"] == vrid)
            .with_context(|| format!("no entry for VRID {vrid}"))?;
        let value = &slot["formatted"]["value"];
        let field = |name: &str| value[name].as_u64().with_context(|| format!("no field {name} in {value}"));
        ensure!(field("configured")? == 1 && field("fingerprint")? != 0, "not tracked: {value}");
        let source = value["source"].as_array().context("no field source")?;
        ensure!(source.starts_with(&[172.into(), 16.into(), 1.into(), 1.into()]), "source: {value}");
        seen.stamps.push(field("last_seen_ns")?);
        seen.counts.push(field("count")?);
    }
    let counters = dump(host, "HA_COUNTERS")?;
    let per_cpu = counters[0]["formatted"]["values"].as_array().context("no values per CPU")?;
    for cpu in per_cpu {
        let stamped = cpu["value"]["stamped"].as_u64();
        seen.stamped += stamped.with_context(|| format!("no field stamped in {cpu}"))?;
    }
    Ok(seen)
}

/// The host's own map of that name.
fn dump(host: &Host, name: &str) -> Result<Vec<Value>> {
    let pinned = format!("bpftool -j map show pinned /sys/fs/bpf/xvrrp/v*/ens160/{name}");
    let own: Value = serde_json::from_str(&host.output(&["sh", "-c", &pinned])?)?;
    let text = host.output(&["bpftool", "-j", "map", "dump", "id", &own["id"].to_string()])?;
    serde_json::from_str(&text).with_context(|| format!("reading what bpftool says of {name}:\n{text}"))
}
