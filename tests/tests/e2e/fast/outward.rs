//! What leaves a host whose daemon is dead, and what it answers for on other interfaces.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, RUN_DIR, wait_for};

use super::cluster::{Router, files, pair};
use crate::harness::Test;
use crate::pair::{Conf, VIP, VIP2, held_by, ms, stderr, stdout, xvrrp};

const PARAMETER: &str = "/proc/sys/net/ipv4/conf/ens160/arp_announce";

pub(super) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("fast::{name}"), body).needs([Daemon::Xvrrp])
    };
    vec![
        new("s47_dead_host_asks_in_its_own_name", own_name),
        new("addresses_on_other_interfaces", elsewhere).needs_tool("arping"),
    ]
}

fn announces(host: &Host) -> Result<String> {
    Ok(host.output(&["cat", PARAMETER])?.trim().to_owned())
}

/// The MAC address that the client has for an address.
fn client_has(lab: &Lab, address: &str) -> Result<String> {
    let line = lab.host("client")?.output(&["ip", "neigh", "show", address])?;
    Ok(line.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).unwrap_or("nothing").to_owned())
}

fn mac(host: &Host) -> Result<String> {
    Ok(host.output(&["cat", "/sys/class/net/ens160/address"])?.trim().to_owned())
}

/// A process on the host of a dead daemon goes on sending from the virtual address. The host asks for the client's MAC
/// address then, and the client believes what the question says of its sender.
fn own_name(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let (host, client) = (lab.host("r1")?, lab.host("client")?);
    ensure!(announces(host)? == "0", "the lab has another default");
    let [mut r1, _r2] = pair(lab, files())?;
    ensure!(announces(host)? == "2", "arp_announce is {}", announces(host)?);
    client.output(&["ping", "-c", "1", "-W", "1", &VIP.to_string()])?;
    r1.running.kill9()?;
    held_by(&addresses, VIP, &["r1", "r2"], ms(1_000))?;
    let right = mac(lab.host("r2")?)?;
    let has = || client_has(lab, &VIP.to_string());
    wait_for(ms(2_000), || (has().ok()? == right).then_some(())).context("the client does not know r2")?;
    host.output(&["ip", "neigh", "flush", "dev", "ens160"])?;
    let target = client.spec().v4.to_string();
    // Nobody listens; what matters is the question before it.
    let _ = host.run(&["ping", "-c", "1", "-W", "1", "-I", &VIP.to_string(), &target])?;
    ensure!(has()? == right, "the client has {} for the address, r2 is {right}", has()?);
    // The next run knows what it was before, and the end restores it.
    let mut r1 = Router::start(lab, "r1", files()[0])?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    ensure!(announces(host)? == "2", "arp_announce is {} after a restart", announces(host)?);
    r1.running.stop()?;
    ensure!(announces(host)? == "0", "arp_announce is {} after the end", announces(host)?);
    ensure!(host.read(format!("{RUN_DIR}/sysctls")).is_err(), "the file is left");
    Ok(())
}

/// An address on `lo` also answers on the router's interface, and is fenced there. One on an interface without a virtual
/// router is not, which is said.
fn elsewhere(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let hosts = [lab.host("r1")?, lab.host("r2")?];
    for host in hosts {
        host.output(&["ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1"])?;
        for end in ["other0", "other1"] {
            host.output(&["ip", "link", "set", end, "up"])?;
        }
    }
    let file = |priority| {
        let vips = [VIP.to_string(), format!("{VIP2} dev lo"), "10.7.0.25/24 dev other0".to_owned()];
        Conf::new(priority).vips(vips).text()
    };
    let [mut r1, _r2] = pair(lab, [&file(101), &file(99)])?;
    let check = xvrrp(hosts[0], &["check", "-f", crate::pair::FILE])?;
    let said = format!("{}{}", stdout(&check), stderr(&check));
    ensure!(said.contains("XV0705") && said.contains("10.7.0.25"), "check: {said}");
    ensure!(!said.contains(&format!("{VIP2} of")), "check speaks of what is fenced: {said}");
    let status = stdout(&xvrrp(hosts[0], &["status", "--run-dir", RUN_DIR])?);
    ensure!(status.contains("10.7.0.25 on other0: no fence"), "status: {status}");
    r1.running.kill9()?;
    held_by(&addresses, VIP, &["r1", "r2"], ms(1_000))?;
    let right = mac(hosts[1])?;
    for address in [VIP, VIP2] {
        let asked =
            ["arping", "-b", "-c", "2", "-w", "2", "-I", "ens160", &address.to_string()].map(str::to_owned);
        let answers = stdout(&lab.host("client")?.run(&asked)?).to_lowercase();
        ensure!(answers.contains(&right), "{address}: r2 does not answer: {answers}");
        ensure!(!answers.contains(&mac(hosts[0])?), "{address}: the dead one answers too: {answers}");
    }
    Ok(())
}
