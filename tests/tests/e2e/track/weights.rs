//! Every kind of tracker in one instance, on xvrrp and on keepalived: whatever the things are, both advertise the same
//! priority, and the address is with the one that has the higher.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Frame, Host, Lab, Moment, Process, Wire, wait_for};

use super::{becomes, tracker};
use crate::harness::Test;
use crate::hostile::{VIP, ms, reach, sound};
use crate::punctual::within;

/// Sooner than by looking again and again: the most frequent look is at processes, every 500 ms.
const LOOK: Duration = ms(500);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("track::weights_add_up_as_keepalived_adds_them", sums)
            .needs([Daemon::XvrrpRfc, Daemon::Keepalived]),
        Test::new("track::file_and_process_move_the_address_beside_keepalived", mixed)
            .needs([Daemon::XvrrpRfc, Daemon::Keepalived]),
    ]
}

/// keepalived has neither checks nor, in a namespace, processes: what they add is left to xvrrp.
const SHARED: &str = "global_defs {\n script_user root\n}\n\
    vrrp_script up {\n script \"/usr/bin/test -e /run/up\"\n interval 1\n weight 5\n}\n\
    vrrp_script down {\n script \"/usr/bin/test -e /run/down\"\n interval 1\n weight -7\n}\n\
    track_file plain {\n file /run/plain\n weight 1\n}\n\
    track_file twice {\n file /run/twice\n weight 2 reverse\n}\n";

const LINK: &str = " track_interface {\n  dummy1 weight 11\n }\n";

fn config(vrid: u8, priority: u8, more: &str, tracked: &str) -> String {
    format!(
        "{SHARED}{more}vrrp_instance VI_1 {{\n state BACKUP\n interface ens160\n version 3\n virtual_router_id {vrid}\n \
         priority {priority}\n advert_int 0.1\n virtual_ipaddress {{ 172.16.1.{} }}\n track_script {{\n  up\n  down\n }}\n \
         track_file {{\n  plain\n  twice\n }}\n{tracked}}}\n",
        100 + vrid
    )
}

/// Priority in the newest advert that the host sent since `from`.
fn advertised(wire: &Wire, host: &Host, from: Moment) -> Option<u8> {
    let seen = wire.last(|seen| seen.is_advert_from(host.name()) && seen.at > from)?;
    match seen.frame {
        Frame::Advert { priority, .. } => Some(priority),
        _ => None,
    }
}

/// The same things on both hosts: files by name and content (`None`: no such file), and whether dummy1 is up.
struct Things<'a> {
    files: &'a [(&'a str, Option<&'a str>)],
    link: bool,
    expected: u8,
}

fn sums(lab: &Lab) -> Result<()> {
    let (r1, r2, wire) = (lab.host("r1")?, lab.host("r2")?, lab.switch().watch()?);
    for host in [r1, r2] {
        host.output(&["ip", "link", "add", "dummy1", "type", "veth", "peer", "name", "dummy2"])?;
        host.output(&["ip", "link", "set", "dummy2", "up"])?;
    }
    let mut ours = r1.start(Daemon::XvrrpRfc, &config(9, 100, "", LINK))?;
    let mut theirs = r2.start(Daemon::Keepalived, &config(10, 100, "", LINK))?;
    let table = [
        Things { files: &[("down", Some(""))], link: false, expected: 100 },
        Things { files: &[("up", Some(""))], link: false, expected: 105 },
        Things { files: &[("down", None)], link: true, expected: 109 },
        Things { files: &[("plain", Some("20\n"))], link: true, expected: 129 },
        Things { files: &[("twice", Some("15"))], link: true, expected: 99 },
        // The sum is cut, not each part.
        Things { files: &[("plain", Some("200"))], link: true, expected: 254 },
        Things { files: &[("twice", Some("0x7e"))], link: true, expected: 57 },
        Things { files: &[("plain", Some("garbage"))], link: true, expected: 1 },
        Things { files: &[("twice", None), ("plain", Some("-3"))], link: false, expected: 95 },
    ];
    for things in &table {
        for host in [r1, r2] {
            for (name, content) in things.files {
                let path = format!("/run/{name}");
                match content {
                    Some(content) => host.write(&path, content, 0o644)?,
                    None => drop(host.output(&["rm", "-f", &path])?),
                }
            }
            host.output(&["ip", "link", "set", "dummy1", if things.link { "up" } else { "down" }])?;
        }
        let from = Moment::now();
        for host in [r1, r2] {
            let there = || advertised(&wire, host, from).filter(|priority| *priority == things.expected);
            wait_for(ms(6_000), there).with_context(|| {
                format!(
                    "{}: {:?} up {}: {:?}, wanted {}",
                    host.name(),
                    things.files,
                    things.link,
                    advertised(&wire, host, from),
                    things.expected
                )
            })?;
        }
    }
    let interface = tracker(r1, "interface", "dummy1").context("the interface is not in status")?;
    ensure!(interface["state"] == "bad", "{interface}");
    sound(&mut ours, 80)?;
    theirs.check_alive()
}

fn sleeper(host: &Host, seconds: &str) -> Result<Process> {
    let mut command = std::process::Command::new("sleep");
    command.arg(seconds);
    host.spawn(command)
}

/// A file and a process decide who of the two is master. That a process has ended is known at once.
fn mixed(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let watched = "vrrp_track_process service {\n process sleep 7777\n quorum 2\n weight 0\n}\n\
                   vrrp_check awake {\n process sleep\n}\n";
    let tracked = " track_process {\n  service\n }\n track_check {\n  awake weight 1\n }\n";
    let ours = config(9, 100, watched, tracked).replace("172.16.1.109", &VIP.to_string());
    let theirs = config(9, 90, "", "").replace("172.16.1.109", &VIP.to_string());
    // One exists before the daemon, one comes later.
    let (mut first, other) = (sleeper(r1, "7777")?, sleeper(r1, "8888")?);
    r1.write("/run/down", "", 0o644)?;
    r2.write("/run/down", "", 0o644)?;
    let mut keepalived = r2.start(Daemon::Keepalived, &theirs)?;
    let mut xvrrp = r1.start(Daemon::XvrrpRfc, &ours)?;
    becomes(r1, "process", "service", "bad", ms(3_000))?;
    becomes(r1, "check", "awake", "good", ms(3_000))?;
    reach(r1, "VI_1", "FAULT", ms(2_000))?;
    let second = sleeper(r1, "7777")?;
    becomes(r1, "process", "service", "good", ms(2_000))?;
    reach(r1, "VI_1", "MASTER", ms(4_000))?;
    let on = |state: &str, patience: Duration| {
        wait_for(patience, || (keepalived.keepalived_state() == state).then_some(()))
            .with_context(|| format!("keepalived is {}, not {state}", keepalived.keepalived_state()))
    };
    on("BACKUP", ms(2_000))?;
    // The file takes more than the difference.
    let written = Moment::now();
    r1.write("/run/plain", "-30", 0o644)?;
    let lowered = || xvrrp.log().contains("file plain contains -30").then(Moment::now);
    let noticed = wait_for(ms(2_000), lowered).context("a new value is not noticed")?;
    println!("a new value in a file was noticed within {:?}", noticed.since(written));
    within("a new value is noticed", written, noticed, LOOK)?;
    reach(r1, "VI_1", "BACKUP", ms(3_000))?;
    on("MASTER", ms(2_000))?;
    // Replaced by a rename.
    r1.write("/run/new", "30", 0o644)?;
    r1.output(&["mv", "/run/new", "/run/plain"])?;
    reach(r1, "VI_1", "MASTER", ms(3_000))?;
    ensure!(
        r1.xvrrp_status()?.instances[0].priority.effective == 131,
        "{:?}",
        r1.xvrrp_status()?.instances[0]
    );

    let died = Moment::now();
    first.signal(nix::sys::signal::Signal::SIGKILL)?;
    let fault = || xvrrp.log().contains("MASTER -> FAULT").then(Moment::now);
    let noticed = wait_for(ms(2_000), fault).context("a killed process is not noticed")?;
    println!("a killed process led to FAULT within {:?}", noticed.since(died));
    within("a killed process is noticed", died, noticed, LOOK)?;
    on("MASTER", ms(2_000))?;
    first.wait(ms(1_000))?;
    let _third = sleeper(r1, "7777")?;
    reach(r1, "VI_1", "MASTER", ms(4_000))?;
    drop((second, other));
    sound(&mut xvrrp, 80)?;
    keepalived.check_alive()
}
