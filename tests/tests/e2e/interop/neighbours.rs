//! Neighbours on the same VRID that are configured differently: what is dropped, what is learned, what is said.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Addresses, Change, Daemon, Lab, Moment, wait_for};

use super::dialect::{Dialect, NAME, instance, password};
use super::router::{Router, last_heard, off};
use crate::harness::Test;
use crate::punctual::allowance;

const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 16, 1, 25));
const THEIRS: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 16, 1, 26));
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn tests() -> Vec<Test> {
    let test = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("interop::{name}"), body).needs([Daemon::Xvrrp, Daemon::Keepalived])
    };
    vec![
        test("s16_neighbour_with_another_password", other_password),
        test("s05_neighbour_with_another_interval_v2", other_interval_v2),
        test("s04_neighbour_with_another_interval_v3_is_master", slow_master),
        test("s04_neighbour_with_another_interval_v3_is_backup", slow_backup),
    ]
}

/// Somebody else's virtual router with our VRID. Neither believes the other, so both are master, each with its own
/// addresses: by design, as nobody without the password may take a virtual address away.
fn other_password(lab: &Lab) -> Result<()> {
    let theirs = instance(200, SECOND, &password("2222"), &[THEIRS]);
    let ours = instance(99, SECOND * 2, &password("1111"), &[OURS]);
    strangers(lab, theirs, ours, "auth_failure", "invalid passwd")
}

/// VRRPv2 drops adverts with another interval (RFC 3768 section 7.1), both ways.
fn other_interval_v2(lab: &Lab) -> Result<()> {
    let theirs = instance(200, SECOND, &password("1111"), &[THEIRS]);
    let ours = instance(99, SECOND * 2, &password("1111"), &[OURS]);
    strangers(lab, theirs, ours, "interval_mismatch", "interval mismatch")
}

/// A worse xvrrp beside a better keepalived, which do not accept each other's adverts: `word` is our counter, and
/// `complaint` what keepalived says.
///
/// xvrrp has the longer interval: keepalived 2.2 starts its advert timer anew at every advert that it refuses, so
/// that beside a faster neighbour it never advertises again.
fn strangers(lab: &Lab, theirs: String, ours: String, word: &str, complaint: &str) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let keepalived = Router::start(lab, "r1", Daemon::Keepalived, Dialect::V2Multicast, theirs)?;
    let xvrrp = Router::start(lab, "r2", Daemon::Xvrrp, Dialect::V2Multicast, ours)?;
    let each = || (addresses.holders(OURS) == ["r2"] && addresses.holders(THEIRS) == ["r1"]).then_some(());
    wait_for(SECOND * 12, each).context("they are not both master")?;
    std::thread::sleep(SECOND * 4);
    each().context("they are not both master any more")?;
    let moves = |address| changes(&addresses, address);
    ensure!(moves(OURS) == 1 && moves(THEIRS) == 1, "addresses moved: {:?}", addresses.history());
    let counters = xvrrp.counters()?;
    let rejected = counters.get(word).copied().unwrap_or_default();
    ensure!(rejected >= 2, "{word} is counted {rejected} times: {counters:?}");
    ensure!(
        counters.keys().all(|name| name == word || name == "to_user"),
        "counters beside {word}: {counters:?}"
    );
    let said = xvrrp.complaints();
    ensure!(said.len() == 1 && said[0].contains(word), "xvrrp says {said:?}, wanted {word} once");
    let said = keepalived.complaints();
    ensure!(said.iter().all(|line| line.contains(complaint)) && !said.is_empty(), "keepalived says {said:?}");
    Ok(())
}

/// A VRRPv3 backup follows the interval of its master, which is slower than its own.
fn slow_master(lab: &Lab) -> Result<()> {
    learned(lab, [Daemon::Keepalived, Daemon::Xvrrp], ms(400), ms(200))
}

/// The same with keepalived as the backup: it learns what we send.
fn slow_backup(lab: &Lab) -> Result<()> {
    learned(lab, [Daemon::Xvrrp, Daemon::Keepalived], ms(400), ms(200))
}

fn learned(lab: &Lab, daemons: [Daemon; 2], masters: Duration, backups: Duration) -> Result<()> {
    let dialect = Dialect::V3Ipv4;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let config = |priority, interval| instance(priority, interval, "    version 3\n", &[OURS]);
    let mut master = Router::start(lab, "r1", daemons[0], dialect, config(101, masters))?;
    let only = |name: &str| (addresses.holders(OURS) == [name]).then_some(());
    wait_for(ms(6_000), || only("r1")).context("r1 is not master")?;
    let backup = Router::start(lab, "r2", daemons[1], dialect, config(99, backups))?;
    // Longer than the backup's own master-down interval with its own interval.
    std::thread::sleep(masters * 5);
    only("r1").context("the backup does not wait as long as its master asks for")?;
    ensure!(changes(&addresses, OURS) == 1, "the address moved: {:?}", addresses.history());
    if backup.daemon == Daemon::Xvrrp {
        let status = backup.host.xvrrp_status()?;
        let seen =
            status.instance(NAME).and_then(|one| one.master.clone()).context("no master in the status")?;
        ensure!((seen.interval_ms - 400.0).abs() < 0.1, "the master's interval is {} ms", seen.interval_ms);
        let log = backup.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("400 ms")).collect();
        ensure!(lines.len() == 1, "the interval is logged {} times:\n{log}", lines.len());
        ensure!(backup.complaints().is_empty(), "xvrrp warns:\n{}", backup.complaints().join("\n"));
    }
    let died = Moment::now();
    master.die()?;
    let took = wait_for(ms(4_000), || backup.took(&wire, &addresses, died)).context("no takeover")?;
    let last = last_heard(&wire, "r2", took, |_| true).context("r2 has heard no advert")?;
    let wanted = dialect.master_down(99, masters);
    let late = off(took, last, wanted);
    println!("figures: {} takes over {late:+.1} ms off {wanted:?}", backup.daemon.name());
    // A tenth of an interval; a peer that has no priority over other tests gets the time of a busy machine.
    let grain = if backup.daemon == Daemon::Xvrrp { masters / 10 } else { masters / 2 };
    let bound = (grain + allowance(last.plus(wanted), took)).as_secs_f64() * 1e3;
    ensure!((-1.0..bound).contains(&late), "takeover is {late:+.1} ms off {wanted:?}");
    Ok(())
}

/// How often `address` came or went anywhere.
fn changes(addresses: &Addresses, address: IpAddr) -> usize {
    let of = |change: Change| change == Change::Added(address) || change == Change::Removed(address);
    addresses.history().iter().filter(|entry| of(entry.change)).count()
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}
