//! Interfaces and addresses that are not there yet, go away, come back, or change their names.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Change, Daemon, Host, Lab, Moment, Running, wait_for};

use super::{config, fault, pair, settled, takeover};
use crate::harness::Test;
use crate::hostile::{VIP, json, ms, reach, sound, state};
use crate::punctual::within;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    let mut add = |name: &str, body: fn(&Lab) -> Result<()>| {
        tests.push(Test::new(format!("degraded::{name}"), body).needs([Daemon::XvrrpRfc]));
    };
    add("interface_comes_later", comes_later);
    add("interface_of_the_master_is_made_anew", made_anew_under_the_master);
    add("interface_of_the_backup_is_made_anew", made_anew_under_the_backup);
    add("interface_goes_down_and_up", down_and_up);
    add("interface_gets_another_name", renamed);
    add("address_of_the_interface_goes_and_returns", address_goes);
    add("s36_virtual_address_removed_by_hand_is_put_back", put_back);
    add("ipv6_is_switched_off_and_on", ipv6_off);
    add("device_of_the_virtual_address_comes_and_goes", other_device);
    for (word, host) in [("backup", "r2"), ("master", "r1")] {
        let body = move |lab: &Lab| program_detached(lab, host);
        let test = Test::new(format!("degraded::program_of_the_{word}_is_detached"), body);
        tests.push(test.needs([Daemon::Xvrrp]).needs_tool("bpftool"));
    }
    tests
}

/// Somebody detaches the XDP program of `victim`. A backup then hears nothing, and a master answers no probes and hears
/// no other master; each finds out before it does harm, or at the latest within a second.
fn program_detached(lab: &Lab, victim: &str) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let mut master = r1.start(Daemon::Xvrrp, &config(200))?;
    reach(r1, "VI_1", "MASTER", ms(4_000))?;
    let mut backup = r2.start(Daemon::Xvrrp, &config(100))?;
    wait_for(ms(4_000), || backup.log().contains("answers probes").then_some(()))
        .context("r2 does not probe its master")?;
    let host = lab.host(victim)?;
    let link = format!("/sys/fs/bpf/xvrrp/v{}/ens160/link", ha_common::layout::ABI_VERSION);
    let detached = Moment::now();
    host.output(&["bpftool", "link", "detach", "pinned", &link])?;
    let again = |log: String| log.contains("somebody has detached the XDP program").then_some(());
    wait_for(ms(3_000), || again(if victim == "r1" { master.log() } else { backup.log() }))
        .context("nobody notices")?;
    std::thread::sleep(ms(1_500));
    let taken = addresses.first("r2", Change::Added(VIP), detached);
    if victim == "r2" {
        ensure!(taken.is_none(), "the backup took over from a master that lives");
    }
    ensure!(addresses.holders(VIP) == ["r1"], "the address is at {:?}", addresses.holders(VIP));
    ensure!(json(host, "status")?["instances"][0]["receive"] == "generic", "{}", json(host, "status")?);
    answered(lab)?;
    sound(&mut master, 60)?;
    sound(&mut backup, 60)
}

pub(super) fn delete(host: &Host) -> Result<()> {
    host.output(&["ip", "link", "del", host.interface()]).map(drop)
}

/// The interface as the lab made it, with another index.
pub(super) fn make(lab: &Lab, host: &Host) -> Result<()> {
    let (name, interface, pid) = (host.name(), host.interface(), host.holder_pid().to_string());
    let mac = host.spec().mac.map(|byte| format!("{byte:02x}")).join(":");
    lab.switch().output(&[
        "ip", "link", "add", name, "type", "veth", "peer", "name", interface, "address", &mac, "netns", &pid,
    ])?;
    lab.switch().output(&["ip", "link", "set", name, "master", "br0", "up"])?;
    let (v4, v6) = (host.spec().v4, host.spec().v6);
    host.batch(format!(
        "addr add {v4}/24 dev {interface}\naddr add {v6}/64 dev {interface} nodad\nlink set {interface} up\n"
    ))
}

fn descriptors(daemon: &Running) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{}/fd", daemon.pid()))?.count())
}

/// Waits until adverts come in through XDP: loading a program takes a tenth of a second, and nothing waits for it.
pub(super) fn through_xdp(host: &Host) -> Result<()> {
    let attached = || (json(host, "status").ok()?["instances"][0]["receive"] == "generic").then_some(());
    wait_for(ms(3_000), attached).with_context(|| format!("{} does not use XDP", host.name()))
}

/// The client is answered by whoever has the address.
fn answered(lab: &Lab) -> Result<()> {
    let pinger = lab.host("client")?.ping(VIP, ms(10), ms(3_000))?;
    wait_for(ms(3_000), || pinger.is_answered(ms(100)).then_some(())).context("the client is not answered")
}

fn comes_later(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    delete(r1)?;
    let mut master = r1.start(Daemon::XvrrpRfc, &config(200))?;
    let why = fault(r1)?;
    ensure!(why.contains("interface ens160 does not exist"), "why: {why}");
    let mut backup = r2.start(Daemon::XvrrpRfc, &config(100))?;
    reach(r2, "VI_1", "MASTER", ms(4_000))?;
    make(lab, r1)?;
    settled(r1, r2)?;
    answered(lab)?;
    through_xdp(r1)?;
    sound(&mut master, 30)?;
    sound(&mut backup, 30)
}

fn made_anew_under_the_master(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let [mut master, mut backup] = pair(lab)?;
    let before = descriptors(&master)?;
    for _ in 0..3 {
        delete(r1)?;
        let why = fault(r1)?;
        ensure!(why.contains("does not exist"), "why: {why}");
        reach(r2, "VI_1", "MASTER", ms(2_000))?;
        make(lab, r1)?;
        settled(r1, r2)?;
        answered(lab)?;
    }
    through_xdp(r1)?;
    ensure!(descriptors(&master)? <= before, "{before} descriptors before, {} now", descriptors(&master)?);
    sound(&mut master, 60)?;
    sound(&mut backup, 60)
}

fn made_anew_under_the_backup(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let [mut master, mut backup] = pair(lab)?;
    let before = descriptors(&backup)?;
    let addresses = lab.watch_addresses()?;
    let begin = Moment::now();
    for _ in 0..3 {
        delete(r2)?;
        fault(r2)?;
        make(lab, r2)?;
        settled(r1, r2)?;
    }
    through_xdp(r2)?;
    ensure!(addresses.first("r2", Change::Added(VIP), begin).is_none(), "the backup took the address");
    ensure!(descriptors(&backup)? <= before, "{before} descriptors before, {} now", descriptors(&backup)?);
    // It hears through the new interface, and notices when there is nothing more to hear.
    master.kill9()?;
    reach(r2, "VI_1", "MASTER", ms(2_000))?;
    ensure!(r2.holds(VIP)?, "r2 has no address");
    sound(&mut backup, 60)
}

fn down_and_up(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let [mut master, mut backup] = pair(lab)?;
    r1.output(&["ip", "link", "set", "ens160", "down"])?;
    let why = fault(r1)?;
    ensure!(why.contains("interface ens160 is down"), "why: {why}");
    reach(r2, "VI_1", "MASTER", ms(2_000))?;
    r1.output(&["ip", "link", "set", "ens160", "up"])?;
    settled(r1, r2)?;
    answered(lab)?;
    // In quick succession, more often than anything can be finished.
    let script = "link set ens160 down\nlink set ens160 up\n".repeat(50);
    r1.batch(script)?;
    settled(r1, r2)?;
    answered(lab)?;
    sound(&mut master, 400)?;
    sound(&mut backup, 100)
}

/// The configuration speaks of ens160, so a virtual address has no business on what is called lan0 now.
fn renamed(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let [mut master, mut backup] = pair(lab)?;
    r1.output(&["ip", "link", "set", "ens160", "name", "lan0"])?;
    let why = fault(r1)?;
    ensure!(why.contains("does not exist"), "why: {why}");
    reach(r2, "VI_1", "MASTER", ms(2_000))?;
    r1.output(&["ip", "link", "set", "lan0", "name", "ens160"])?;
    settled(r1, r2)?;
    answered(lab)?;
    sound(&mut master, 40)?;
    sound(&mut backup, 40)
}

fn address_goes(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let [mut master, mut backup] = pair(lab)?;
    r1.output(&["ip", "addr", "del", "172.16.1.1/24", "dev", "ens160"])?;
    let why = fault(r1)?;
    ensure!(why.contains("no IPv4 address"), "why: {why}");
    reach(r2, "VI_1", "MASTER", ms(2_000))?;
    r1.output(&["ip", "addr", "add", "172.16.1.1/24", "dev", "ens160"])?;
    settled(r1, r2)?;
    answered(lab)?;
    // Another one takes its place: adverts come from that, and nobody takes over.
    let (addresses, begin) = (lab.watch_addresses()?, Moment::now());
    r1.batch("addr add 172.16.1.11/24 dev ens160\naddr add 172.16.1.11/25 dev ens160\n".to_owned())?;
    r1.output(&["ip", "addr", "del", "172.16.1.1/24", "dev", "ens160"])?;
    let heard = || {
        let status = json(r2, "status").ok()?;
        (status["instances"][0]["master"]["address"] == "172.16.1.11").then_some(())
    };
    wait_for(ms(3_000), heard)
        .with_context(|| format!("r2 hears {}", json(r2, "status").unwrap_or_default()))?;
    ensure!(state(r1, "VI_1") == "MASTER" && r1.holds(VIP)?, "r1 is {}", state(r1, "VI_1"));
    ensure!(addresses.first("r2", Change::Added(VIP), begin).is_none(), "r2 took the address");
    sound(&mut master, 40)?;
    sound(&mut backup, 40)
}

fn put_back(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let [mut master, mut backup] = pair(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    for _ in 0..3 {
        let removed = Moment::now();
        r1.output(&["ip", "addr", "del", "172.16.1.25/32", "dev", "ens160"])?;
        let back = wait_for(ms(2_000), || addresses.first("r1", Change::Added(VIP), removed));
        let back = back.context("the address is not put back")?;
        // Not from the start of the command, which takes its time on a busy machine.
        let gone =
            addresses.first("r1", Change::Removed(VIP), removed).context("the address was not removed")?;
        println!("put back {:?} after the command", back.since(removed));
        within("put back, before the next advert is missing", gone, back, ms(200))?;
        // Hosts that asked in between, and got no answer, are told.
        let told = || wire.first_announcement("r1", VIP, removed);
        wait_for(ms(1_000), told).context("not announced")?;
    }
    answered(lab)?;
    let takeovers = addresses.first("r2", Change::Added(VIP), Moment::from_boot());
    ensure!(takeovers.is_none(), "r2 took the address");
    takeover(lab, &wire, &addresses, &mut master)?;
    sound(&mut backup, 40)
}

/// The kernel takes all IPv6 addresses away, the virtual one too.
fn ipv6_off(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let vip = "fe80::25".parse()?;
    let config = config(200).replace("172.16.1.25", "fe80::25");
    let mut master = r1.start(Daemon::XvrrpRfc, &config)?;
    for _ in 0..2 {
        reach(r1, "VI_1", "MASTER", ms(6_000))?;
        let there = || r1.holds(vip).ok()?.then_some(());
        wait_for(ms(1_000), there).context("the address is not there")?;
        r1.sysctl("net.ipv6.conf.ens160.disable_ipv6", "1")?;
        reach(r1, "VI_1", "FAULT", ms(3_000))?;
        let why = json(r1, "status")?["instances"][0]["fault"].to_string();
        ensure!(why.contains("no usable IPv6 address"), "why: {why}");
        r1.sysctl("net.ipv6.conf.ens160.disable_ipv6", "0")?;
    }
    reach(r1, "VI_1", "MASTER", ms(6_000))?;
    sound(&mut master, 60)
}

/// The virtual address belongs on another interface than the adverts.
fn other_device(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let with_device = |priority| config(priority).replace("172.16.1.25", "172.16.1.25 dev inside0");
    let mut master = r1.start(Daemon::XvrrpRfc, &with_device(200))?;
    let mut backup = r2.start(Daemon::XvrrpRfc, &with_device(100))?;
    reach(r1, "VI_1", "FAULT", ms(6_000))?;
    crate::hostile::logged(&master, &["interface inside0 does not exist"])?;
    for _ in 0..3 {
        r1.output(&["ip", "link", "add", "inside0", "type", "veth", "peer", "name", "inside1"])?;
        r1.output(&["ip", "link", "set", "inside1", "up"])?;
        r1.output(&["ip", "link", "set", "inside0", "up"])?;
        reach(r1, "VI_1", "MASTER", ms(6_000))?;
        let there = || r1.holds(VIP).ok()?.then_some(());
        wait_for(ms(2_000), there).context("the address is not put on the device that came")?;
        r1.output(&["ip", "link", "del", "inside0"])?;
        ensure!(!r1.holds(VIP)?, "the address is elsewhere");
        reach(r1, "VI_1", "FAULT", ms(2_000))?;
    }
    ensure!(state(r2, "VI_1") == "FAULT");
    sound(&mut master, 40)?;
    sound(&mut backup, 40)
}
