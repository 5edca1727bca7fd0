//! Things among the pins that this build did not put there: of other versions, of other types, of others.

use anyhow::{Context, Result, ensure};
use ha_common::layout::ABI_VERSION;
use ha_tests::lab::{Daemon, Host, Lab, Running, wait_for};
use serde_json::{Value, json};

use super::config;
use crate::harness::{Body, Test};
use crate::hostile::{self, VIP, logged, ms, reach, sound};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    let mut add = |name: String, body: Body| {
        let test = Test::new(format!("degraded::{name}"), body);
        tests.push(test.needs([Daemon::Xvrrp]).needs_tool("bpftool"));
    };
    add("pins_that_do_not_fit_are_replaced".to_owned(), Box::new(replaced));
    add("pins_that_cannot_be_used_are_named".to_owned(), Box::new(unusable));
    add("the_link_of_another_interface_among_the_pins".to_owned(), Box::new(of_another_interface));
    tests
}

const ROOT: &str = "/sys/fs/bpf/xvrrp";

fn version() -> String {
    format!("{ROOT}/v{ABI_VERSION}")
}

fn pins() -> String {
    format!("{}/ens160", version())
}

fn interface(host: &Host) -> Result<Value> {
    Ok(hostile::json(host, "status")?["interfaces"][0].clone())
}

/// r1 runs as master with the program attached.
fn runs(host: &Host) -> Result<Running> {
    let daemon = host.start(Daemon::Xvrrp, &config(200))?;
    reach(host, "VI_1", "MASTER", ms(6_000))?;
    wait_for(ms(3_000), || (interface(host).ok()?["xdp"] == "generic").then_some(()))
        .with_context(|| format!("no XDP: {}", daemon.log()))?;
    Ok(daemon)
}

fn shell(host: &Host, script: &str) -> Result<()> {
    host.output(&["sh", "-ec", script]).map(drop)
}

/// A map of its own.
fn map(path: &str, kind: &str, entries: u32) -> String {
    format!("bpftool map create {path} type {kind} key 4 value 4 entries {entries} name other")
}

/// What an earlier run, of this version or another, may have left: each is replaced, nothing is lost and nothing stays.
fn replaced(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    let (pins, version) = (pins(), version());
    let cases = [
        (
            "a map in place of the link",
            format!("rm {pins}/link; {}", map(&format!("{pins}/link"), "array", 1)),
        ),
        // The kernel's number of this type is that of links of XDP.
        ("such a map", format!("rm {pins}/link; {}", map(&format!("{pins}/link"), "percpu_array", 1))),
        ("a directory in place of the link", format!("rm {pins}/link; mkdir -p {pins}/link/deep")),
        ("no link", format!("rm {pins}/link")),
        (
            "a map of another type",
            format!("rm {pins}/HA_VIPS; {}", map(&format!("{pins}/HA_VIPS"), "array", 1)),
        ),
        ("a map that cannot be mapped", foreign_peers(&pins)),
        ("a directory in place of a map", format!("rm {pins}/HA_PEERS; mkdir {pins}/HA_PEERS")),
        ("a map is missing", format!("rm {pins}/HA_ADVERTS")),
        ("one map more", map(&format!("{pins}/HA_OTHER"), "array", 1)),
        ("an older version", format!("mv {version} {ROOT}/v2")),
        ("a newer version", format!("mv {version} {ROOT}/v99")),
        ("a truncated newer version", format!("mv {version} {ROOT}/v99; rm {ROOT}/v99/ens160/HA_*")),
        ("a version that is none", format!("mkdir -p {ROOT}/vX/ens160; rm -r {pins}")),
    ];
    for (what, script) in cases {
        runs(host)?.kill9()?;
        shell(host, &script).with_context(|| what.to_owned())?;
        let mut daemon = runs(host).with_context(|| what.to_owned())?;
        ensure!(interface(host)?["lost"] == json!([]), "{what}: {}", daemon.log());
        sound(&mut daemon, 400).with_context(|| what.to_owned())?;
        daemon.stop()?;
        let left = host.run(&["find", ROOT, "-mindepth", "1"])?;
        ensure!(left.stdout.is_empty(), "{what}: left: {}", String::from_utf8_lossy(&left.stdout));
        let link = host.output(&["ip", "link", "show", "ens160"])?;
        ensure!(!link.contains("xdp"), "{what}: still attached: {link}");
        ensure!(!host.holds(VIP)?, "{what}: the address is left");
    }
    Ok(())
}

/// Of the right type and sizes, but without memory that can be shared.
fn foreign_peers(pins: &str) -> String {
    let size = size_of::<ha_common::layout::PeerSlot>();
    let entries = ha_common::layout::PEER_SLOTS;
    format!(
        "rm {pins}/HA_PEERS; bpftool map create {pins}/HA_PEERS type array key 4 value {size} entries {entries} name \
         other"
    )
}

/// Where nothing can be pinned, that is said in one line, with the place and what to do; adverts come through XDP.
fn unusable(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    let (pins, version) = (pins(), version());
    let cases = [
        (pins.clone(), format!("mkdir -p {version}; {}", map(&pins, "array", 1))),
        (version.clone(), format!("mkdir -p {ROOT}; {}", map(&version, "array", 1))),
        (ROOT.to_owned(), map(ROOT, "array", 1)),
    ];
    for (n, (place, script)) in cases.into_iter().enumerate() {
        shell(host, &script)?;
        let mut daemon = runs(host)?;
        let words = ["WARN", &place, "remove it", "nothing is pinned", "no fence when the daemon dies"];
        let line = logged(&daemon, &words)?;
        println!("{line}");
        // The log goes on with each run.
        ensure!(daemon.log().matches("nothing is pinned").count() == n + 1, "{}", daemon.log());
        ensure!(interface(host)?["lost"] == json!(["fence_after_death"]), "{}", interface(host)?);
        sound(&mut daemon, 40)?;
        daemon.stop()?;
        shell(host, &format!("rm -rf {ROOT}"))?;
    }
    // With that out of the way, all is well.
    let mut daemon = runs(host)?;
    ensure!(interface(host)?["lost"] == json!([]), "{}", interface(host)?);
    daemon.stop().map(drop)
}

/// Somebody has pinned the link of another interface here, on which another daemon runs: that one keeps its program.
fn of_another_interface(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    host.batch(
        "link add other0 type veth peer name other1\nlink set other1 up\nlink set other0 up\n\
         addr add 172.16.2.1/24 dev other0\n"
            .to_owned(),
    )?;
    let other = config(50).replace("ens160", "other0").replace("172.16.1.25", "172.16.2.25");
    host.write("/etc/keepalived/other.conf", other, 0o644)?;
    let mut command = host.xvrrp(&["run", "-f", "/etc/keepalived/other.conf", "--run-dir", "/run/other"])?;
    command.stdin(std::process::Stdio::null());
    let _first = host.spawn(command)?;
    let link = || host.output(&["ip", "link", "show", "other0"]);
    wait_for(ms(5_000), || link().ok()?.contains("xdp").then_some(())).context("the first has no program")?;
    let there = format!("{}/other0/link", version());
    wait_for(ms(2_000), || host.path(&there).exists().then_some(())).context("the first has no pins")?;
    shell(host, &format!("mkdir -p {0}; bpftool link pin pinned {there} {0}/link", pins()))?;
    let mut daemon = runs(host)?;
    ensure!(link()?.contains("xdp"), "the first daemon has lost its program");
    ensure!(interface(host)?["lost"] == json!([]), "{}", daemon.log());
    sound(&mut daemon, 40)?;
    daemon.stop()?;
    ensure!(link()?.contains("xdp"), "the first daemon has lost its program");
    Ok(())
}
