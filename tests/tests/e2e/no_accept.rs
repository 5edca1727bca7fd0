//! `no_accept`: the address can be found and routed through, but takes no packets for itself.

use std::net::Ipv6Addr;

use anyhow::{Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, wait_for};

use crate::harness::Test;
use crate::pair::{Conf, VIP, ms, reload, until, xvrrp};

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::Xvrrp]);
    vec![
        test("no_accept::dropped_in_xdp", in_xdp),
        test("no_accept::dropped_by_nftables", by_nftables).needs_tool("nft"),
        test("no_accept::strict_mode_and_owner", strict),
    ]
}

const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, 0x25);

/// Whether the client is answered, and whether it knows the MAC address.
fn reached(client: &Host, vip: &str) -> Result<(bool, bool)> {
    client.output(&["ip", "neigh", "flush", "dev", "ens160"])?;
    client.output(&["ip", "-6", "neigh", "flush", "dev", "ens160"])?;
    let answered = client.run(&["ping", "-c", "2", "-i", "0.1", "-W", "1", vip])?.status.success();
    let neighbour = client.output(&["ip", "neigh", "show", "to", vip])?;
    Ok((answered, neighbour.contains("lladdr")))
}

fn expect(lab: &Lab, accepted: bool) -> Result<()> {
    let client = lab.host("client")?;
    for vip in [VIP.to_string(), VIP6.to_string()] {
        let found = reached(client, &vip)?;
        ensure!(found == (accepted, true), "{vip}: answered, resolved: {found:?}");
    }
    // The host's own addresses are not concerned.
    ensure!(reached(client, "172.16.1.1")? == (true, true), "the router's own address");
    Ok(())
}

fn conf(priority: u8, line: &str, xdp: &str) -> String {
    format!(
        "global_defs {{\n    xdp_mode {xdp}\n    nftables_counters\n}}\n{}",
        Conf::new(priority)
            .with(line)
            .with("virtual_ipaddress_excluded {\n        fd00:16::25/64\n    }")
            .text()
    )
}

fn table(host: &Host) -> Result<String> {
    host.output(&["nft", "list", "ruleset"])
}

fn in_xdp(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let mut master = r1.start(Daemon::Xvrrp, &conf(150, "no_accept", "generic"))?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    expect(lab, false)?;
    let counters = xvrrp(r1, &["counters", "--run-dir", ha_tests::lab::RUN_DIR])?;
    let text = String::from_utf8_lossy(&counters.stdout).into_owned();
    let refused = text.lines().find(|line| line.contains("refused")).unwrap_or_default();
    ensure!(refused.chars().any(|c| ('1'..='9').contains(&c)), "not dropped in XDP: {refused:?}\n{text}");
    // The successor drops them too; whoever has no addresses lets them pass.
    let _backup = r2.start(Daemon::Xvrrp, &conf(100, "no_accept", "generic"))?;
    until(r2, "VI_1", "BACKUP", ms(4_000))?;
    master.stop()?;
    until(r2, "VI_1", "MASTER", ms(4_000))?;
    let found = reached(lab.host("client")?, &VIP.to_string())?;
    ensure!(found == (false, true), "r2: {found:?}");
    // A reload accepts them.
    reload(r2, &conf(100, "accept", "generic"))?;
    let accepted =
        wait_for(ms(3_000), || reached(lab.host("client").ok()?, &VIP.to_string()).ok()?.0.then_some(()));
    ensure!(accepted.is_some(), "not accepted after the reload");
    Ok(())
}

fn by_nftables(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.output(&["nft", "add table inet theirs"])?;
    let mut daemon = r1.start(Daemon::Xvrrp, &conf(150, "no_accept", "off"))?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    ensure!(wait_for(ms(2_000), || table(r1).ok()?.contains("172.16.1.25").then_some(())).is_some());
    expect(lab, false)?;
    daemon.kill9()?;
    ensure!(table(r1)?.contains("table inet keepalived"), "{}", table(r1)?);
    // Not in the configuration any more: what the killed run has left goes.
    let mut daemon = r1.start(Daemon::Xvrrp, &conf(150, "accept", "off"))?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    ensure!(wait_for(ms(2_000), || (!table(r1).ok()?.contains("keepalived")).then_some(())).is_some());
    expect(lab, true)?;
    reload(r1, &conf(150, "no_accept", "off"))?;
    ensure!(wait_for(ms(2_000), || table(r1).ok()?.contains("172.16.1.25").then_some(())).is_some());
    expect(lab, false)?;
    daemon.stop()?;
    let after = table(r1)?;
    ensure!(!after.contains("keepalived") && after.contains("table inet theirs"), "{after}");
    Ok(())
}

fn strict(lab: &Lab) -> Result<()> {
    let (r1, client) = (lab.host("r1")?, lab.host("client")?);
    let strict = |priority: u8, state| Conf::new(priority).starts(state).with("strict_mode on").text();
    let mut daemon = r1.start(Daemon::Xvrrp, &strict(150, "BACKUP"))?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    let found = reached(client, &VIP.to_string())?;
    ensure!(found == (false, true), "strict: {found:?}");
    daemon.stop()?;
    let _owner = r1.start(Daemon::Xvrrp, &strict(255, "MASTER"))?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    let found = reached(client, &VIP.to_string())?;
    ensure!(found == (true, true), "the owner: {found:?}");
    Ok(())
}
