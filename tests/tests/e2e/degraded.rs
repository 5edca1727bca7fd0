//! What the machine withholds or takes away: interfaces, addresses, rights, BPF, a previous life. The daemon
//! says what it lacks, is in a defined state, and goes on with what it has.

#[path = "degraded_bpf.rs"]
mod bpf;
#[path = "degraded_interfaces.rs"]
mod interfaces;
#[path = "degraded_pins.rs"]
mod pins;
#[path = "degraded_restart.rs"]
mod restart;
#[path = "degraded_rights.rs"]
mod rights;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Addresses, Change, Daemon, Host, Lab, Moment, Running, Wire, wait_for};

use crate::harness::Test;
use crate::hostile::{VIP, json, ms, reach, state};
use crate::punctual::on_time;
pub(crate) use rights::start_without;

pub(crate) fn tests() -> Vec<Test> {
    [interfaces::tests(), rights::tests(), bpf::tests(), pins::tests(), restart::tests()]
        .into_iter()
        .flatten()
        .collect()
}

pub(crate) const FILE: &str = "/etc/keepalived/keepalived.conf";

/// Five adverts a second.
pub(crate) fn config(priority: u8) -> String {
    format!(
        "vrrp_instance VI_1 {{\n interface ens160\n version 3\n virtual_router_id 9\n priority {priority}\n \
         advert_int 0.2\n virtual_ipaddress {{ {VIP} }}\n}}\n"
    )
}

/// Three intervals and the skew of priority 100: (256 − 100) × 0.2 s / 256.
const MASTER_DOWN: Duration = Duration::from_micros(600_000 + 121_875);

/// r1 as master and r2 as backup.
pub(crate) fn pair(lab: &Lab) -> Result<[Running; 2]> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let running = [r1.start(Daemon::XvrrpRfc, &config(200))?, r2.start(Daemon::XvrrpRfc, &config(100))?];
    settled(r1, r2)?;
    Ok(running)
}

/// `master` has the address and `backup` hears it.
pub(crate) fn settled(master: &Host, backup: &Host) -> Result<()> {
    reach(master, "VI_1", "MASTER", ms(6_000))?;
    reach(backup, "VI_1", "BACKUP", ms(3_000))?;
    let heard = || (!json(backup, "status").ok()?["instances"][0]["master"].is_null()).then_some(());
    wait_for(ms(3_000), heard).with_context(|| format!("{} hears no master", backup.name()))?;
    ensure!(master.holds(VIP)? && !backup.holds(VIP)?, "the address is not on {} alone", master.name());
    Ok(())
}

/// Why the first instance is in FAULT, and that it has no address.
pub(crate) fn fault(host: &Host) -> Result<String> {
    reach(host, "VI_1", "FAULT", ms(3_000))?;
    ensure!(!host.holds(VIP)?, "{} is in FAULT and has the address", host.name());
    Ok(json(host, "status")?["instances"][0]["fault"].to_string())
}

/// r1's host dies; r2 takes the address a master down time after its last advert, give or take a tenth of an interval.
pub(crate) fn takeover(lab: &Lab, wire: &Wire, addresses: &Addresses, r1: &mut Running) -> Result<()> {
    let mac = lab.host("r1")?.spec().mac;
    let heard = || wire.last_advert_delivered(mac, "r2", Moment::now());
    wait_for(ms(1_000), heard).context("r1 sends no adverts")?;
    let died = Moment::now();
    lab.switch().silence("r1")?;
    r1.kill9()?;
    let moved =
        wait_for(ms(4_000), || addresses.taken(wire, "r2", VIP, died)).context("r2 does not take over")?;
    let last = wire.last_advert_delivered(mac, "r2", moved).context("no advert")?;
    println!("takeover {:.1} ms after the last advert", moved.ms_after(last));
    on_time("takeover after the last advert", last, moved, MASTER_DOWN, ms(200) / 10)?;
    ensure!(state(lab.host("r2")?, "VI_1") == "MASTER");
    ensure!(addresses.first("r2", Change::Removed(VIP), moved).is_none(), "r2 lost the address again");
    Ok(())
}
