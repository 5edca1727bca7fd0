//! What instances want of their interfaces besides addresses: debouncing, kernel parameters, further announcements.

use anyhow::{Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment};

use crate::harness::Test;
use crate::pair::{Conf, adverts, garps, instance, ms, until};
use crate::punctual::within;

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::XvrrpRfc]);
    vec![
        test("interfaces::up_down_delays", delays),
        test("interfaces::promote_secondaries", promote),
        test("interfaces::garp_extra_if", extra).needs_tool("tcpdump"),
        test("interfaces::garp_group_spaces_announcements", group),
    ]
}

fn delays(lab: &Lab) -> Result<()> {
    let (r1, wire) = (lab.host("r1")?, lab.switch().watch()?);
    let text =
        format!("interface_up_down_delays {{\n    ens160 0.6 0.4\n}}\n{}", Conf::new(150).every("1").text());
    let _daemon = r1.start(Daemon::XvrrpRfc, &text)?;
    until(r1, "VI_1", "MASTER", ms(6_000))?;
    let since = instance(r1, "VI_1")?;
    // A bounce is none.
    r1.output(&["ip", "link", "set", "ens160", "down"])?;
    std::thread::sleep(ms(250));
    let during = instance(r1, "VI_1")?;
    ensure!(during.state == "MASTER", "{during:?}");
    r1.output(&["ip", "link", "set", "ens160", "up"])?;
    std::thread::sleep(ms(1_000));
    let after = instance(r1, "VI_1")?;
    ensure!(after.state == "MASTER" && after.since_ms > since.since_ms, "{after:?}");
    // A lasting change counts once it has lasted.
    let down = Moment::now();
    r1.output(&["ip", "link", "set", "ens160", "down"])?;
    until(r1, "VI_1", "FAULT", ms(2_000))?;
    let took = within("FAULT", down, Moment::now(), ms(600) * 2)?;
    ensure!(took >= ms(550), "FAULT after {took:?}");
    let up = Moment::now();
    r1.output(&["ip", "link", "set", "ens160", "up"])?;
    until(r1, "VI_1", "BACKUP", ms(2_000))?;
    let took = within("BACKUP", up, Moment::now(), ms(400) * 3)?;
    ensure!(took >= ms(350), "BACKUP after {took:?}");
    ensure!(!adverts(&wire, "r1", 25, Moment::from_boot()).is_empty(), "no adverts");
    Ok(())
}

fn promote(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let name = "net.ipv4.conf.ens160.promote_secondaries";
    r1.sysctl(name, "0")?;
    let read = || r1.output(&["sysctl", "-n", name]).map(|text| text.trim().to_owned());
    let mut daemon = r1.start(Daemon::XvrrpRfc, &Conf::new(150).with("promote_secondaries").text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    ensure!(read()? == "1", "not set");
    // Of a killed run too.
    daemon.kill9()?;
    daemon = r1.start(Daemon::XvrrpRfc, &Conf::new(150).with("promote_secondaries").text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    daemon.stop()?;
    ensure!(read()? == "0", "not restored");
    Ok(())
}

fn extra(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.output(&["ip", "link", "add", "in0", "type", "veth", "peer", "name", "in1"])?;
    for end in ["in0", "in1"] {
        r1.output(&["ip", "link", "set", end, "up"])?;
    }
    let count = |lines: &[&str]| -> Result<usize> {
        let conf =
            lines.iter().fold(Conf::new(150).with("garp_master_delay 0"), |conf, line| conf.with(line));
        let vips = ["172.16.1.25", "10.9.0.1/24 dev in0"];
        let mut daemon = r1.start(Daemon::XvrrpRfc, &conf.vips(vips).text())?;
        until(r1, "VI_1", "MASTER", ms(4_000))?;
        std::thread::sleep(ms(200));
        let seen = r1.run(&["timeout", "2.5", "tcpdump", "-nnl", "-i", "in1", "arp and host 10.9.0.1"])?;
        daemon.stop()?;
        Ok(String::from_utf8_lossy(&seen.stdout).lines().filter(|line| line.contains("10.9.0.1")).count())
    };
    let (all, none) = (count(&["garp_extra_if all 1"])?, count(&["garp_extra_if 1"])?);
    ensure!((2..=3).contains(&all), "{all} announcements in 2.5 s, one a second was wanted");
    ensure!(none == 0, "{none} announcements on an interface without a virtual MAC address");
    Ok(())
}

/// Two instances on one interface, each with two addresses: every message keeps its distance from every other.
fn group(lab: &Lab) -> Result<()> {
    let (r1, wire) = (lab.host("r1")?, lab.switch().watch()?);
    let vips = [["172.16.1.25", "172.16.1.26"], ["172.16.1.27", "172.16.1.28"]];
    let conf = |name: &str, vrid, vips: [&str; 2]| {
        let conf = Conf::new(150).named(name, vrid).vips(vips);
        conf.with("garp_master_repeat 2").with("garp_master_delay 0").text()
    };
    let instances = conf("VI_1", 25, vips[0]) + &conf("VI_2", 26, vips[1]);
    let settings = [
        "global_defs {\n vrrp_garp_interval 0.1\n}\n",
        "global_defs {\n vrrp_garp_interval 5\n}\ngarp_group {\n garp_interval 0.1\n interfaces {\n eth7\n ens160\n }\n}\n",
    ];
    for settings in settings {
        let begin = Moment::now();
        let mut daemon = r1.start(Daemon::XvrrpRfc, &(settings.to_owned() + &instances))?;
        until(r1, "VI_2", "MASTER", ms(4_000))?;
        std::thread::sleep(ms(1_100));
        let mut seen = Vec::new();
        for vip in vips.into_iter().flatten() {
            let sent = garps(&wire, "r1", vip.parse()?, begin);
            let forms: Vec<_> = sent.iter().map(|(_, operation)| *operation).collect();
            // One of each form, which take turns.
            ensure!(forms == [1, 2], "{vip}: {forms:?}");
            seen.extend(sent.into_iter().map(|(at, _)| at));
        }
        seen.sort();
        let distances: Vec<_> = seen.windows(2).map(|two| two[1].ms_after(two[0])).collect();
        ensure!(distances.iter().all(|distance| (97.0..200.0).contains(distance)), "{distances:?}");
        daemon.stop()?;
    }
    Ok(())
}
