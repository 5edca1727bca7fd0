//! `auth_type AH` between xvrrp and keepalived, in both roles, through XDP and through sockets.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment, wait_for};

use crate::harness::Test;
use crate::hostile::{VIP, ms};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (name, daemons, mode) in [
        ("xvrrp_master_keepalived_backup", [Daemon::Xvrrp, Daemon::Keepalived], "auto"),
        ("keepalived_master_xvrrp_backup", [Daemon::Keepalived, Daemon::Xvrrp], "auto"),
        ("keepalived_master_xvrrp_sockets", [Daemon::Keepalived, Daemon::Xvrrp], "off"),
        ("xvrrp_and_xvrrp", [Daemon::Xvrrp, Daemon::Xvrrp], "auto"),
    ] {
        let body = move |lab: &Lab| both_roles(lab, daemons, mode);
        tests.push(Test::new(format!("ah::{name}"), body).needs(daemons).needs_tool("tcpdump").long());
    }
    tests
}

fn config(daemon: Daemon, priority: u8, mode: &str, password: &str) -> String {
    let mode =
        if daemon == Daemon::Xvrrp { format!("global_defs {{ xdp_mode {mode} }}\n") } else { String::new() };
    format!(
        "{mode}vrrp_instance V1 {{\n interface ens160\n virtual_router_id 51\n priority {priority}\n advert_int 1\n \
         authentication {{\n auth_type AH\n auth_pass {password}\n }}\n virtual_ipaddress {{\n {VIP}\n }}\n}}\n"
    )
}

fn both_roles(lab: &Lab, daemons: [Daemon; 2], mode: &str) -> Result<()> {
    let hosts = [lab.host("r1")?, lab.host("r2")?];
    let addresses = lab.watch_addresses()?;
    let holds = |host: &str| {
        wait_for(ms(9_000), || (addresses.holders(VIP) == [host]).then_some(()))
            .with_context(|| format!("not on {host}: {:?}", addresses.holders(VIP)))
    };
    let configs = [150, 100].map(|priority| (priority, "secret7x"));
    let start = |which: usize| {
        let (priority, password) = configs[which];
        hosts[which].start(daemons[which], &config(daemons[which], priority, mode, password))
    };
    let capture = lab.host("client")?.capture("ip proto 51", false)?;
    let mut routers = [start(0)?, start(1)?];
    holds("r1")?;
    // Three times a backup's patience: its adverts are accepted.
    let quiet = Moment::now();
    std::thread::sleep(ms(8_000));
    ensure!(
        addresses.history().iter().all(|change| change.at < quiet || change.host == "r1"),
        "r2 does not believe r1: {:?}",
        addresses.history()
    );
    routers[0].kill9()?;
    hosts[0].output(&["sh", "-c", &format!("ip addr del {VIP}/32 dev ens160 2>/dev/null; true")])?;
    holds("r2").context("after the death of r1")?;
    // A restarted router is believed again, by whoever followed it and the one that took over.
    routers[0] = start(0)?;
    holds("r1").context("after the return of r1")?;
    std::thread::sleep(ms(4_500));
    holds("r1").context("some time after the return of r1")?;
    routers[0].stop()?.context("killed")?;
    holds("r2").context("after the stop of r1")?;
    routers[1].check_alive()?;
    let text = capture.stop()?;
    ensure!(text.contains("spi=0xac100101") && text.contains("authtype ah"), "tcpdump:\n{text}");
    for router in &routers {
        for word in ["bad password", "panicked"] {
            ensure!(!router.log().contains(word), "{}", router.log());
        }
    }
    Ok(())
}
