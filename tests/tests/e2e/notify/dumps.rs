//! The files that signals make: keepalived's labels, and nothing written through a link.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, wait_for};
use serde_json::Value;

use crate::harness::Test;
use crate::hostile::ms;

pub(super) fn tests() -> Vec<Test> {
    let both = [Daemon::Keepalived, Daemon::XvrrpRfc];
    vec![Test::new("notify::dumps_have_keepalived_s_labels", dumps).needs(both)]
}

const CONFIG: &str = "global_defs {\n router_id R\n script_user root\n enable_script_security\n}\n\
    vrrp_script chk {\n script \"/usr/bin/test -e /\"\n interval 1\n timeout 1\n weight 3\n}\n\
    vrrp_sync_group G1 {\n group {\n V1\n V2\n }\n}\n\
    vrrp_instance V1 {\n interface ens160\n virtual_router_id 51\n priority 100\n advert_int 1\n \
    authentication {\n auth_type PASS\n auth_pass secret7x\n }\n virtual_ipaddress {\n 172.16.1.25\n }\n}\n\
    vrrp_instance V2 {\n interface ens160\n virtual_router_id 52\n priority 90\n advert_int 1\n \
    virtual_ipaddress {\n 172.16.1.26/24\n }\n}\n\
    vrrp_instance V3 {\n interface ens160\n virtual_router_id 53\n priority 90\n advert_int 1\n \
    track_script {\n chk\n }\n track_interface {\n other weight 5\n }\n virtual_ipaddress {\n \
    172.16.1.27/24 label ens160:x brd 172.16.1.255\n 172.16.1.28/24 noprefixroute no_track\n \
    172.16.1.29/24 home\n }\n \
    virtual_ipaddress_excluded {\n 172.16.2.1/24\n fd00:16::25/64\n fd00:16::26/64 preferred_lft 0\n }\n}\n\
    vrrp_instance V4 {\n interface ens160\n virtual_router_id 54\n priority 90\n version 3\n advert_int 0.5\n \
    use_vmac\n virtual_ipaddress {\n 172.16.1.30/24\n }\n}\n";

/// The three files.
struct Files {
    data: String,
    statistics: String,
    json: Value,
}

fn dump(host: &Host, daemon: Daemon) -> Result<Files> {
    if daemon == Daemon::Keepalived {
        host.output(&["ip", "link", "add", "other", "type", "veth", "peer", "name", "other2"])?;
        host.output(&["ip", "link", "set", "other2", "up"])?;
        host.output(&["ip", "link", "set", "other", "up"])?;
    }
    let mut running = host.start(daemon, CONFIG)?;
    std::thread::sleep(ms(4_500));
    host.output(&["sh", "-c", "rm -rf /tmp/keepalived.*; echo precious > /tmp/precious"])?;
    host.output(&["ln", "-s", "/tmp/precious", "/tmp/keepalived.stats"])?;
    let json = libc::SIGRTMIN() + 2;
    for signal in ["USR1".to_owned(), "USR2".to_owned(), json.to_string()] {
        let script = format!("kill -{signal} {}", running.pid());
        ensure!(std::process::Command::new("sh").args(["-c", &script]).status()?.success(), "{script}");
    }
    let read = |name: &str| {
        let path = format!("/tmp/keepalived.{name}");
        wait_for(ms(3_000), || host.read(&path).ok().filter(|text| text.ends_with(['\n', ']'])))
            .with_context(|| format!("no {path}"))
    };
    let (data, statistics, json) = (read("data")?, read("stats"), read("json")?);
    let statistics = match daemon {
        Daemon::Keepalived => statistics.or_else(|_| host.read("/tmp/precious"))?,
        _ => statistics?,
    };
    running.stop()?;
    Ok(Files { data, statistics, json: serde_json::from_str(&json).with_context(|| json.clone())? })
}

/// Text without the numbers.
fn labels(text: &str) -> Vec<String> {
    let label = |line: &str| line.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    text.lines().map(label).collect()
}

fn dumps(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    let theirs = dump(host, Daemon::Keepalived)?;
    let ours = dump(host, Daemon::XvrrpRfc)?;
    ensure!(host.read("/tmp/precious")?.trim() == "precious", "written through a link");
    let mode = host.output(&["stat", "-c", "%F %U %a", "/tmp/keepalived.stats"])?;
    ensure!(mode.trim() == "regular file root 600", "{mode}");

    ensure!(!ours.statistics.contains("Sent: 0\n  Became"), "no adverts are counted:\n{}", ours.statistics);
    if theirs.statistics.contains("VRRP Instance") {
        let (theirs, ours) = (labels(&theirs.statistics), labels(&ours.statistics));
        ensure!(theirs == ours, "keepalived {theirs:#?}\nxvrrp {ours:#?}");
    }
    ensure!(ours.statistics.lines().next() == Some("VRRP Instance: V1"), "{}", ours.statistics);

    // Every line of the topology that keepalived has of these instances, apart from its own workings.
    let own = [
        "Flags",
        "Number of",
        "Read timeout",
        "Master down timer",
        "Multicast address",
        "Total priority",
        "fd_in",
        "Last transition",
        // Ours is for people who mail it.
        "Password",
        "Num member",
        "Use VMAC",
        "Result",
        "Insecure",
        "Init state",
        "Script uid",
        "VRRP instances",
    ];
    let section = |text: &str, heading: &str| -> BTreeSet<String> {
        let begin = text.lines().skip_while(|line| !line.contains(heading)).skip(1);
        let lines = begin.take_while(|line| !line.starts_with("------<"));
        let kept = lines.filter(|line| !own.iter().any(|word| line.trim_start().starts_with(word)));
        kept.map(str::to_owned).collect()
    };
    for heading in ["VRRP Topology", "VRRP Sync groups", "VRRP Scripts"] {
        let (theirs, ours) = (section(&theirs.data, heading), section(&ours.data, heading));
        let missing: Vec<_> = theirs.difference(&ours).collect();
        ensure!(missing.is_empty(), "{heading}: keepalived has {missing:#?} too; xvrrp {ours:#?}");
    }
    ensure!(!ours.data.contains("secret7x"), "the password is in the dump");

    let list = |json: &Value| json.as_array().cloned().unwrap_or_default();
    ensure!(list(&ours.json).len() == 4, "{}", ours.json);
    for (theirs, ours) in list(&theirs.json).iter().zip(&list(&ours.json)) {
        for part in ["data", "stats"] {
            let (theirs, ours) = (theirs[part].as_object(), ours[part].as_object());
            let (theirs, ours) = (theirs.context("no object")?, ours.context("no object")?);
            // Ours has no passwords.
            for (key, value) in theirs.iter().filter(|(key, _)| *key != "auth_data") {
                let found = ours.get(key).with_context(|| format!("{part} has no {key}"))?;
                let counts = ["advert_rcvd", "advert_sent", "last_transition"].contains(&key.as_str());
                // A whole number is one: programs read these into integers.
                ensure!(found == value || counts, "{part}.{key}: keepalived {value}, xvrrp {found}");
            }
        }
    }
    Ok(())
}
