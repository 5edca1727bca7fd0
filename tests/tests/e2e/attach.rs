//! Where the XDP program is attached, and that it stays there: devices above the cable, ports of a bridge, changes of
//! role. VLANs, bonds and cards need another kernel than the lab's.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, wait_for};

use crate::degraded::{config, settled};
use crate::harness::Test;
use crate::hostile::{VIP, json, ms, reach, sound, state, text, xvrrp};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (kind, upper) in [
        (
            "bridge",
            "link add ens160 address MAC type bridge mcast_snooping 0\nlink set port0 master ens160\n",
        ),
        // It cannot have the address of what is below it.
        ("macvlan", "link add ens160 link port0 type macvlan mode bridge\n"),
    ] {
        let body = move |lab: &Lab| on_top(lab, kind, upper);
        tests.push(Test::new(format!("attach::on_a_{kind}"), body).needs([Daemon::Xvrrp]));
    }
    tests.push(Test::new("attach::on_a_port_of_a_bridge", on_a_port).needs([Daemon::Xvrrp]));
    tests.push(Test::new("attach::on_a_tap_device", on_a_tap).needs([Daemon::Xvrrp]));
    let lasting = Test::new("attach::changes_of_role_leave_the_program_alone", lasting);
    tests.push(lasting.needs([Daemon::Xvrrp]).needs_tool("bpftool"));
    tests.push(
        Test::new("attach::an_interface_that_goes_while_the_program_loads", fleeting).needs([Daemon::Xvrrp]),
    );
    tests
}

/// Puts a device in the place of the host's interface, which becomes `port0` below it.
fn put_on_top(host: &Host, upper: &str) -> Result<()> {
    let mac = host.spec().mac.map(|byte| format!("{byte:02x}")).join(":");
    let (v4, v6, upper) = (host.spec().v4, host.spec().v6, upper.replace("MAC", &mac));
    host.batch(format!(
        "link set ens160 down\nlink set ens160 name port0\naddr flush dev port0\n{upper}link set port0 up\n\
         link set ens160 up\naddr add {v4}/24 dev ens160\naddr add {v6}/64 dev ens160 nodad\n"
    ))
}

fn on(host: &Host) -> Result<(String, String)> {
    let status = json(host, "status")?;
    let word = |key: &str| status["interfaces"][0][key].as_str().unwrap_or_default().to_owned();
    Ok((word("xdp"), word("xdp_reason")))
}

/// Generic mode on the device itself, with everything that goes with it.
fn on_top(lab: &Lab, kind: &str, upper: &str) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    for host in [r1, r2] {
        put_on_top(host, upper)?;
    }
    let mut master = r1.start(Daemon::Xvrrp, &config(200))?;
    let mut backup = r2.start(Daemon::Xvrrp, &config(100))?;
    settled(r1, r2)?;
    for host in [r1, r2] {
        wait_for(ms(3_000), || on(host).is_ok_and(|(mode, _)| mode == "generic").then_some(()))
            .with_context(|| format!("{} on a {kind}: {:?}", host.name(), on(host)))?;
    }
    wait_for(ms(5_000), || backup.log().contains("answers probes").then_some(()))
        .context("r1 does not answer probes")?;
    std::thread::sleep(ms(300));
    // Its program answers that nobody is home.
    master.kill9()?;
    reach(r2, "VI_1", "MASTER", ms(2_000))?;
    let log = backup.log();
    ensure!(log.contains("orphaned") || log.contains("no daemon"), "{log}");
    sound(&mut backup, 60)
}

/// The frames go to the bridge; it works as far as the program sees them, and the operator is told.
fn on_a_port(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.batch("link add br0 type bridge\nlink set ens160 master br0\nlink set br0 up\n".to_owned())?;
    r1.write("/etc/keepalived/port.conf", config(200), 0o644)?;
    let output = xvrrp(r1, &["check", "/etc/keepalived/port.conf"])?;
    let said = text(&output);
    ensure!(said.contains("XV0809") && said.contains("a port of the bridge br0"), "{said}");
    ensure!(output.status.code() == Some(0), "{:?}: {said}", output.status);
    let mut daemon = r1.start(Daemon::Xvrrp, &config(200))?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    let (mode, why) = on(r1)?;
    ensure!(mode == "generic" && why.contains("VRRP belong on br0"), "{mode}: {why}");
    sound(&mut daemon, 60)
}

fn on_a_tap(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.batch("tuntap add dev tap0 mode tap\nlink set tap0 up\naddr add 10.9.9.1/24 dev tap0\n".to_owned())?;
    let mut daemon = r1.start(Daemon::Xvrrp, &config(200).replace("ens160", "tap0"))?;
    // Nobody holds the other end, so there is no carrier.
    reach(r1, "VI_1", "FAULT", ms(4_000))?;
    let generic = || on(r1).is_ok_and(|(mode, _)| mode == "generic").then_some(());
    wait_for(ms(3_000), generic).with_context(|| format!("{:?}", on(r1)))?;
    sound(&mut daemon, 60)
}

/// The kernel's numbers of the link and of the program in it.
fn numbers(host: &Host) -> Result<(u64, u64)> {
    let link = format!("/sys/fs/bpf/xvrrp/v{}/ens160/link", ha_common::layout::ABI_VERSION);
    let shown = host.output(&["bpftool", "--json", "link", "show", "pinned", &link])?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    let number = |key: &str| shown[key].as_u64().with_context(|| format!("no {key} in {shown}"));
    Ok((number("id")?, number("prog_id")?))
}

/// Some drivers restart their link when a program is attached: that happens once.
fn lasting(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let mut backup = r2.start(Daemon::Xvrrp, &config(100))?;
    reach(r2, "VI_1", "MASTER", ms(4_000))?;
    let before = numbers(r2)?;
    for _ in 0..2 {
        let mut master = r1.start(Daemon::Xvrrp, &config(200))?;
        settled(r1, r2)?;
        ensure!(numbers(r2)? == before, "attached anew as backup: {before:?}, {:?}", numbers(r2)?);
        master.kill9()?;
        reach(r2, "VI_1", "MASTER", ms(4_000))?;
        ensure!(numbers(r2)? == before, "attached anew as master: {before:?}, {:?}", numbers(r2)?);
    }
    // A reload changes nothing about it either.
    r2.write("/etc/keepalived/keepalived.conf", config(150), 0o644)?;
    xvrrp(r2, &["reload"])?;
    ensure!(numbers(r2)? == before, "attached anew by a reload: {before:?}, {:?}", numbers(r2)?);
    // A restart puts another program into the same link.
    xvrrp(r2, &["restart"])?;
    reach(r2, "VI_1", "MASTER", ms(4_000))?;
    wait_for(ms(4_000), || numbers(r2).is_ok_and(|now| now.1 != before.1).then_some(()))
        .context("no new program")?;
    ensure!(numbers(r2)?.0 == before.0, "attached anew by a restart: {before:?}, {:?}", numbers(r2)?);
    ensure!(state(r2, "VI_1") == "MASTER" && r2.holds(VIP)?);
    sound(&mut backup, 120)
}

/// Whatever the loader has come to when the interface goes, it says so and goes on.
fn fleeting(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let make = "link add ens161 type veth peer name other\nlink set other up\nlink set ens161 up\n\
                addr add 10.8.8.1/24 dev ens161\n";
    let mut daemon = r1.start(Daemon::Xvrrp, &config(200).replace("ens160", "ens161"))?;
    for round in 0..12 {
        r1.batch(make.to_owned())?;
        std::thread::sleep(ms(round * 15));
        r1.output(&["ip", "link", "del", "ens161"])?;
    }
    reach(r1, "VI_1", "FAULT", ms(4_000))?;
    r1.batch(make.to_owned())?;
    reach(r1, "VI_1", "MASTER", ms(6_000))?;
    let generic = || on(r1).is_ok_and(|(mode, _)| mode == "generic").then_some(());
    wait_for(ms(4_000), generic).with_context(|| format!("{:?}", on(r1)))?;
    let log = daemon.log();
    ensure!(!log.contains("panicked"), "{log}");
    sound(&mut daemon, 400)
}
