//! A new configuration for a running daemon: what changed changes, and nothing else is touched.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Addresses, Change, Daemon, Host, Lab, Moment, RUN_DIR, Wire, wait_for};
use nix::sys::signal::Signal;

use crate::harness::Test;
use crate::pair::{
    Conf, FILE, INTERVAL, MASTER_DOWN, VIP, VIP2, adverts, await_advert, garps, held_by, instance, ms,
    reload, script, stderr, stdout, until, xvrrp,
};
use crate::punctual::{steady, within};

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::XvrrpRfc]);
    vec![
        test("reload::nothing_changes_nothing", nothing),
        test("reload::priority_moves_the_address", priority),
        test("reload::addresses_come_and_go", addresses),
        test("reload::a_backup_has_none_of_the_addresses_that_come_and_go", of_a_backup),
        test("reload::instances_come_and_go", instances),
        test("reload::renaming_keeps_the_state", renaming),
        test("reload::an_address_moves_between_instances", moved),
        test("reload::password_on_both_sides", password),
        test("reload::s18_what_fails_now_refreshes_nothing", judged_again),
        test("reload::a_new_script_has_no_say_before_its_first_result", new_script),
        test("reload::unusable_file_changes_nothing", unusable),
        test("reload::a_mistake_in_what_runs_stops_nothing_unasked", mistake),
        test("reload::at_the_time_that_a_file_says", at_a_time),
        test("reload::a_file_goes_when_the_configuration_is_read", until_read),
        Test::new("reload::an_instance_that_comes_back_has_no_role_of_the_run_before", comes_back)
            .needs([Daemon::Xvrrp]),
    ]
}

fn routers(lab: &Lab) -> Result<[&Host; 2]> {
    Ok([lab.host("r1")?, lab.host("r2")?])
}

/// Two instances: `VI_1` with `VIP`, `VI_2` with `VIP2`.
fn two(priority: u8) -> [Conf; 2] {
    [Conf::new(priority), Conf::new(priority).named("VI_2", 26).vips([VIP2])]
}

fn text(instances: &[Conf]) -> String {
    instances.iter().map(Conf::text).collect()
}

/// Since `from`, `host` has sent its adverts for `vrid` without a pause, announced nothing, and has kept `vip`.
fn untouched(
    wire: &Wire,
    addresses: &Addresses,
    host: &str,
    vrid: u8,
    vip: IpAddr,
    from: Moment,
) -> Result<()> {
    let times: Vec<_> = adverts(wire, host, vrid, from).iter().map(|advert| advert.at).collect();
    steady(&format!("adverts of VRID {vrid}"), &times, INTERVAL * 4 / 3)?;
    if let IpAddr::V4(v4) = vip {
        let announced = garps(wire, host, v4, from);
        ensure!(announced.is_empty(), "{vip} was announced: {announced:?}");
    }
    for change in [Change::Added(vip), Change::Removed(vip)] {
        ensure!(addresses.first(host, change, from).is_none(), "{change:?} on {host}");
    }
    Ok(())
}

fn nothing(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    // No second burst, whose time would come during the test.
    let config = |priority| script("") + &text(&two(priority).map(|conf| conf.with("garp_master_delay 0")));
    let mut one = r1.start(Daemon::XvrrpRfc, &config(150))?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    let mut two = r2.start(Daemon::XvrrpRfc, &config(100))?;
    until(r2, "VI_2", "BACKUP", ms(3_000))?;
    let before = (instance(r1, "VI_1")?, instance(r2, "VI_1")?);
    let from = Moment::now();
    for round in 0..5 {
        // A comment more moves every place in the file.
        for (host, priority) in [(r1, 150), (r2, 100)] {
            let said = reload(host, &format!("{}{}", "# more\n".repeat(round), config(priority)))?;
            ensure!(said == "reloaded: nothing changed\n", "{said}");
        }
        for daemon in [&one, &two] {
            daemon.signal(Signal::SIGHUP)?;
        }
        std::thread::sleep(ms(40));
    }
    let log =
        wait_for(ms(2_000), || Some(one.log()).filter(|log| log.matches("reload: nothing").count() == 10));
    ensure!(log.is_some(), "ten reloads wanted in\n{}", one.log());
    std::thread::sleep(ms(300));
    untouched(&wire, &addresses, "r1", 25, VIP.into(), from)?;
    untouched(&wire, &addresses, "r1", 26, VIP2.into(), from)?;
    let passed = u64::try_from(Moment::now().since(from).as_millis())?;
    for (host, before) in [(r1, &before.0), (r2, &before.1)] {
        let after = instance(host, "VI_1")?;
        ensure!(after.state == before.state, "{before:?} {after:?}");
        ensure!(after.since_ms >= before.since_ms + passed, "the state began anew: {before:?} {after:?}");
    }
    ensure!(adverts(&wire, "r2", 25, from).is_empty(), "the backup sent adverts");
    one.check_alive()?;
    two.check_alive()
}

/// A VRID that is mistyped takes its instance out of the configuration. A reload says so beforehand, refuses it, and does it
/// when it is told to; so does a restart.
fn mistake(lab: &Lab) -> Result<()> {
    let [r1, _] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let good = text(&two(150));
    let bad = good.replace("virtual_router_id 26", "virtual_router_id 260");
    let daemon = r1.start(Daemon::XvrrpRfc, &good)?;
    held_by(&addresses, VIP2, &["r1"], ms(5_000))?;
    r1.write(FILE, &bad, 0o644)?;
    let ask = |words: &[&str]| {
        let mut words = words.to_vec();
        words.extend(["--run-dir", RUN_DIR]);
        xvrrp(r1, &words)
    };
    let preview = ask(&["reload", "--dry-run"])?;
    let page = stdout(&preview);
    let said = ["(VI_2) is stopped", "(VI_2) is master here: 172.16.1.26 would go", "would be refused"];
    ensure!(!preview.status.success() && said.iter().all(|said| page.contains(said)), "{page}");
    for words in [&["reload"][..], &["restart"]] {
        let refused = ask(words)?;
        let why = stderr(&refused);
        ensure!(!refused.status.success(), "{words:?} is not refused");
        ensure!(why.contains("(VI_2) would stop") && why.contains("xvrrp reload --force"), "{why}");
    }
    let json = ask(&["reload", "--json"])?;
    ensure!(stdout(&json).contains("\"message\"") && !json.status.success(), "{}", stdout(&json));
    daemon.signal(Signal::SIGHUP)?;
    wait_for(ms(3_000), || (daemon.log().matches("(VI_2) would stop").count() >= 4).then_some(()))
        .with_context(|| daemon.log())?;
    ensure!(addresses.holders(VIP2.into()) == ["r1"], "an address went with a refused file");
    let forced = ask(&["reload", "--force"])?;
    ensure!(forced.status.success() && stdout(&forced).contains("(VI_2) is stopped"), "{}", stderr(&forced));
    held_by(&addresses, VIP2, &[], ms(3_000))?;
    held_by(&addresses, VIP, &["r1"], ms(100))?;
    r1.write(FILE, &good, 0o644)?;
    let preview = ask(&["reload", "--dry-run"])?;
    ensure!(preview.status.success(), "{}", stderr(&preview));
    let page = stdout(&preview);
    ensure!(page == "would change:\n  (VI_2) is started\nno address would move\n", "{page}");
    ensure!(addresses.holders(VIP2.into()).is_empty(), "a preview started something");
    Ok(())
}

/// A role of the run before is taken up at the start or never: an instance that a reload brings back starts like any other,
/// and gets its address.
fn comes_back(lab: &Lab) -> Result<()> {
    let [r1, _] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let [one, other] = two(150);
    let both = text(&[one.clone(), other]);
    let mut first = r1.start(Daemon::Xvrrp, &both)?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    held_by(&addresses, VIP2, &["r1"], ms(5_000))?;
    first.leave_for_restart()?;
    wait_for(ms(3_000), || first.check_alive().is_err().then_some(())).context("it does not leave")?;
    let second = r1.start(Daemon::Xvrrp, &both)?;
    wait_for(ms(5_000), || second.log().contains("(VI_2) is still MASTER").then_some(()))
        .with_context(|| format!("the role does not go on:\n{}", second.log()))?;
    reload(r1, &one.text())?;
    held_by(&addresses, VIP2, &[], ms(3_000)).context("out of the file, and still there")?;
    reload(r1, &both)?;
    held_by(&addresses, VIP2, &["r1"], ms(5_000)).with_context(|| second.log())?;
    let count = second.log().matches("(VI_2) is still MASTER").count();
    ensure!(count == 1, "a role that was given up goes on:\n{}", second.log());
    held_by(&addresses, VIP, &["r1"], ms(100)).map(drop)
}

fn priority(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let [first, second] = two(150);
    let calm = |conf: &Conf| conf.clone().with("garp_master_delay 0");
    let _r1 = r1.start(Daemon::XvrrpRfc, &text(&[calm(&first), calm(&second)]))?;
    held_by(&addresses, VIP2, &["r1"], ms(3_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &text(&two(100)))?;
    until(r2, "VI_2", "BACKUP", ms(3_000))?;
    let from = Moment::now();
    let said = reload(r1, &text(&[calm(&Conf::new(90)), calm(&second)]))?;
    ensure!(said == "reloaded:\n  (VI_1) priority 150 -> 90\n", "{said}");
    held_by(&addresses, VIP, &["r2"], MASTER_DOWN + ms(300))?;
    let said = reload(r1, &text(&[calm(&Conf::new(120).every("0.05")), calm(&second)]))?;
    ensure!(said == "reloaded:\n  (VI_1) priority 90 -> 120, advert_int 100 ms -> 50 ms\n", "{said}");
    held_by(&addresses, VIP, &["r1"], MASTER_DOWN + ms(500))?;
    await_advert(&wire, "r1", 25, from, |advert| advert.priority == 120 && advert.interval == 5)?;
    untouched(&wire, &addresses, "r1", 26, VIP2.into(), from)
}

fn addresses(lab: &Lab) -> Result<()> {
    let [r1, _] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let conf = |vips: &[&str]| Conf::new(150).with("garp_master_delay 0").vips(vips).text();
    let _r1 = r1.start(Daemon::XvrrpRfc, &conf(&["172.16.1.25", "172.16.1.26"]))?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    std::thread::sleep(ms(100));
    let from = Moment::now();
    let before = instance(r1, "VI_1")?;
    let said = reload(r1, &conf(&["172.16.1.25", "172.16.1.27/24"]))?;
    ensure!(said == "reloaded:\n  (VI_1) 172.16.1.26/32 removed, 172.16.1.27/24 added\n", "{said}");
    held_by(&addresses, VIP2, &[], ms(300))?;
    held_by(&addresses, "172.16.1.27".parse()?, &["r1"], ms(300))?;
    for change in [Change::Added(VIP.into()), Change::Removed(VIP.into())] {
        ensure!(addresses.first("r1", change, from).is_none(), "{change:?} of an address that stays");
    }
    let new = "172.16.1.27".parse()?;
    wait_for(ms(1_000), || (garps(&wire, "r1", new, from).len() >= 10).then_some(()));
    let announced = garps(&wire, "r1", new, from);
    ensure!(announced.len() == 10, "the new address is announced {} times", announced.len());
    let after = instance(r1, "VI_1")?;
    ensure!(after.state == "MASTER" && after.since_ms >= before.since_ms, "{before:?} {after:?}");
    ensure!(after.vips == ["172.16.1.25/32", "172.16.1.27/24"], "{:?}", after.vips);
    wait_for(ms(1_000), || (adverts(&wire, "r1", 25, from).len() >= 3).then_some(()));
    let times: Vec<_> = adverts(&wire, "r1", 25, from).iter().map(|advert| advert.at).collect();
    steady("adverts", &times, INTERVAL * 4 / 3).map(drop)
}

fn of_a_backup(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let conf = |priority, vips: &[&str]| Conf::new(priority).vips(vips).text();
    let _r1 = r1.start(Daemon::XvrrpRfc, &conf(150, &["172.16.1.25"]))?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &conf(100, &["172.16.1.25"]))?;
    until(r2, "VI_1", "BACKUP", ms(3_000))?;
    let from = Moment::now();
    let said = reload(r2, &conf(100, &["172.16.1.25", "172.16.1.26"]))?;
    ensure!(said == "reloaded:\n  (VI_1) 172.16.1.26/32 added\n", "{said}");
    let said = reload(r2, &conf(100, &["172.16.1.26"]))?;
    ensure!(said == "reloaded:\n  (VI_1) 172.16.1.25/32 removed\n", "{said}");
    let said = reload(r2, &conf(100, &["172.16.1.25"]))?;
    ensure!(said == "reloaded:\n  (VI_1) 172.16.1.26/32 removed, 172.16.1.25/32 added\n", "{said}");
    std::thread::sleep(ms(200));
    until(r2, "VI_1", "BACKUP", ms(100))?;
    let changed = addresses.history().into_iter().filter(|change| change.at > from).collect::<Vec<_>>();
    ensure!(changed.is_empty(), "{changed:?}");
    Ok(())
}

fn instances(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let [first, second] = two(150).map(|conf| conf.with("garp_master_delay 0"));
    let mut one = r1.start(Daemon::XvrrpRfc, &text(std::slice::from_ref(&first)))?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    std::thread::sleep(ms(100));
    let from = Moment::now();
    let both = text(&[second.clone(), first.clone()]);
    let said = reload(r1, &both)?;
    ensure!(said == "reloaded:\n  (VI_2) is started\n", "{said}");
    held_by(&addresses, VIP2, &["r1"], ms(2_000))?;
    let names: Vec<_> = r1.xvrrp_status()?.instances.into_iter().map(|i| i.name).collect();
    ensure!(names == ["VI_2", "VI_1"], "in the order of the file: {names:?}");
    // Taken out, it says so: the other router need not wait for its silence.
    let _r2 = r2.start(Daemon::XvrrpRfc, &text(std::slice::from_ref(&second)))?;
    until(r2, "VI_2", "BACKUP", ms(3_000))?;
    let removed = Moment::now();
    let said = reload(r1, &text(std::slice::from_ref(&first)))?;
    ensure!(said == "reloaded:\n  (VI_2) is stopped\n", "{said}");
    await_advert(&wire, "r1", 26, removed, |advert| advert.priority == 0)?;
    held_by(&addresses, VIP2, &["r2"], ms(1_000))?;
    ensure!(instance(r1, "VI_2").is_err(), "status still shows it");
    // The same VRID with another number: one is stopped, one is started.
    let renumbered = Conf { vrid: 77, ..first.clone() };
    untouched(&wire, &addresses, "r1", 25, VIP.into(), from)?;
    let said = reload(r1, &renumbered.text())?;
    ensure!(said == "reloaded:\n  (VI_1) is stopped\n  (VI_1) is started\n", "{said}");
    let changed = Moment::now();
    await_advert(&wire, "r1", 77, changed, |advert| advert.priority == 150)?;
    held_by(&addresses, VIP, &["r1"], ms(1_000))?;
    one.check_alive()
}

fn renaming(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let calm = |priority| Conf::new(priority).with("garp_master_delay 0");
    let _r1 = r1.start(Daemon::XvrrpRfc, &calm(150).text())?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &calm(100).text())?;
    until(r2, "VI_1", "BACKUP", ms(3_000))?;
    std::thread::sleep(ms(200));
    let before = [instance(r1, "VI_1")?, instance(r2, "VI_1")?];
    let from = Moment::now();
    for (host, priority) in [(r1, 150), (r2, 100)] {
        let said = reload(host, &calm(priority).named("Other", 25).text())?;
        ensure!(said == "reloaded:\n  (Other) was called VI_1\n", "{said}");
    }
    std::thread::sleep(ms(500));
    untouched(&wire, &addresses, "r1", 25, VIP.into(), from)?;
    for (host, before) in [r1, r2].into_iter().zip(before) {
        let after = instance(host, "Other")?;
        ensure!(after.state == before.state && after.since_ms > before.since_ms, "{before:?} {after:?}");
    }
    let master = instance(r2, "Other")?.master.context("r2 follows nobody")?;
    // It heard those after the reload too.
    let age = Duration::try_from_secs_f64(master.last_advert_age_ms / 1e3)?;
    within("the last advert is heard", from, from.plus(age), Moment::now().since(from) / 2)?;
    Ok(())
}

fn moved(lab: &Lab) -> Result<()> {
    let [r1, _] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let conf = |first: &[&str], second: &[&str]| {
        text(&[Conf::new(150).vips(first), Conf::new(150).named("VI_2", 26).vips(second)])
    };
    let _r1 = r1.start(Daemon::XvrrpRfc, &conf(&["172.16.1.25", "172.16.1.26"], &["172.16.1.27"]))?;
    held_by(&addresses, "172.16.1.27".parse()?, &["r1"], ms(3_000))?;
    held_by(&addresses, VIP2, &["r1"], ms(1_000))?;
    for (first, second) in [
        (vec!["172.16.1.25"], vec!["172.16.1.26", "172.16.1.27"]),
        (vec!["172.16.1.25", "172.16.1.26"], vec!["172.16.1.27"]),
    ] {
        let from = Moment::now();
        reload(r1, &conf(&first, &second))?;
        std::thread::sleep(ms(250));
        held_by(&addresses, VIP2, &["r1"], ms(10))?;
        let removed = addresses.first("r1", Change::Removed(VIP2.into()), from);
        ensure!(removed.is_none(), "it was away for a moment");
    }
    Ok(())
}

/// VRRPv2 with a password.
fn with_password(priority: u8, password: &str) -> String {
    let conf = Conf::new(priority).every("1").with("authentication {");
    let conf = conf.with("    auth_type PASS").with(&format!("    auth_pass {password}")).with("}");
    conf.text().replace("version 3", "version 2")
}

fn password(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let _r1 = r1.start(Daemon::XvrrpRfc, &with_password(150, "old"))?;
    held_by(&addresses, VIP, &["r1"], ms(6_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &with_password(100, "old"))?;
    let follows = || instance(r2, "VI_1").ok()?.master;
    wait_for(ms(3_000), follows).context("r2 does not follow r1")?;
    let from = Moment::now();
    // The backup first, then, within its patience, the master.
    let said = reload(r2, &with_password(100, "new"))?;
    ensure!(said == "reloaded:\n  (VI_1) authentication\n", "{said}");
    std::thread::sleep(ms(1_500));
    reload(r1, &with_password(150, "new"))?;
    std::thread::sleep(ms(3_000));
    ensure!(adverts(&wire, "r2", 25, from).is_empty(), "r2 became master");
    held_by(&addresses, VIP, &["r1"], ms(10))?;
    let master = follows().context("r2 follows nobody")?;
    // Of the three since its change.
    ensure!(master.last_advert_age_ms < 2_000.0, "the new password's adverts are not accepted: {master:?}");
    Ok(())
}

/// The password changes on the backup only: what XDP recognised before is not good any more.
fn judged_again(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let _r1 = r1.start(Daemon::XvrrpRfc, &with_password(150, "old"))?;
    held_by(&addresses, VIP, &["r1"], ms(6_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &with_password(100, "old"))?;
    wait_for(ms(3_000), || instance(r2, "VI_1").ok()?.master).context("r2 does not follow r1")?;
    std::thread::sleep(ms(1_200));
    let changed = Moment::now();
    reload(r2, &with_password(100, "new"))?;
    let taken = held_by(&addresses, VIP, &["r1", "r2"], ms(5_000))?;
    ensure!(taken.since(changed) > ms(2_400), "its patience was cut short: {:?}", taken.since(changed));
    let log = r2.read("/run/lab/xvrrp.log")?;
    ensure!(log.contains("auth_failure"), "the log does not say why\n{log}");
    Ok(())
}

fn new_script(lab: &Lab) -> Result<()> {
    let [r1, _] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let calm = Conf::new(150).with("garp_master_delay 0");
    let mut daemon = r1.start(Daemon::XvrrpRfc, &calm.text())?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    std::thread::sleep(ms(100));
    let from = Moment::now();
    r1.write("/etc/keepalived/slow.sh", "#!/bin/sh\nsleep 0.4\n", 0o755)?;
    let tracked = calm.with("track_script {").with("    chk").with("}");
    let slow = script("").replace("/usr/bin/test ! -e /run/bad", "/etc/keepalived/slow.sh");
    let said = reload(r1, &(slow + &tracked.text()))?;
    let wanted = "reloaded:\n  script chk is added\n  global settings\n  (VI_1) track_script\n";
    ensure!(said == wanted, "{said}");
    let good = wait_for(ms(2_000), || daemon.log().contains("script chk succeeds").then(Moment::now));
    let good = good.context("the script has no result")?;
    ensure!(good.since(from) > ms(300), "it was not slow");
    untouched(&wire, &addresses, "r1", 25, VIP.into(), from)?;
    ensure!(instance(r1, "VI_1")?.state == "MASTER");
    daemon.check_alive()
}

fn unusable(lab: &Lab) -> Result<()> {
    let [r1, _] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let conf = Conf::new(150).with("garp_master_delay 0").text();
    let mut daemon = r1.start(Daemon::XvrrpRfc, &conf)?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    std::thread::sleep(ms(100));
    let from = Moment::now();
    r1.write(FILE, conf.replace("priority 150", "priority"), 0o644)?;
    let output = xvrrp(r1, &["reload", "--run-dir", RUN_DIR])?;
    let said = stderr(&output);
    ensure!(output.status.code() == Some(1), "{}", output.status);
    ensure!(said.contains("keepalived.conf:6:5") && said.contains("lacks its parameter"), "{said}");
    ensure!(
        said.contains("xvrrp: the new configuration cannot be used; the old one stays in force"),
        "{said}"
    );
    r1.output(&["rm", FILE])?;
    daemon.signal(Signal::SIGHUP)?;
    wait_for(ms(1_000), || (daemon.log().matches("the old one stays in force").count() == 2).then_some(()))
        .with_context(|| format!("SIGHUP without a file\n{}", daemon.log()))?;
    std::thread::sleep(ms(300));
    untouched(&wire, &addresses, "r1", 25, VIP.into(), from)?;
    daemon.check_alive()
}

/// A wall clock some seconds from now, as date(1) writes it.
fn clock(host: &Host, seconds: u32, format: &str) -> Result<String> {
    host.output(&["date", "-d", &format!("+{seconds} seconds"), format])
}

fn at_a_time(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let conf = |more: &str, priority| format!("global_defs {{\n{more}\n}}\n{}", Conf::new(priority).text());
    let timed = "reload_time_file /run/when";
    let mut daemon = r1.start(Daemon::XvrrpRfc, &conf(timed, 150))?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    let priority = || instance(r1, "VI_1").map(|found| found.priority.effective).unwrap_or_default();
    let reloaded = |wanted: u8| wait_for(ms(4_000), || (priority() == wanted).then_some(()));
    let there = || r1.read("/run/when").is_ok();

    r1.write(FILE, conf(timed, 140), 0o644)?;
    for nonsense in ["12:00", " 12:00:00", "2020-01-01 12:00:00Z"] {
        r1.write("/run/when", nonsense, 0o644)?;
        let refused = || daemon.log().contains(&format!("`{nonsense}` is"));
        wait_for(ms(2_000), || refused().then_some(())).with_context(|| daemon.log())?;
    }
    r1.write("/run/when", clock(r1, 2, "+%F %T")?, 0o644)?;
    std::thread::sleep(ms(700));
    ensure!(priority() == 150 && there(), "it reloaded before its time");
    reloaded(140).with_context(|| daemon.log())?;
    ensure!(!there(), "the file is still there: it would come again tomorrow");

    // With reload_repeat the file stays.
    let repeated = "reload_time_file /run/when\nreload_repeat";
    reload(r1, &conf(repeated, 140))?;
    r1.write(FILE, conf(repeated, 130), 0o644)?;
    r1.write("/run/when", clock(r1, 2, "+%T")?, 0o644)?;
    reloaded(130).with_context(|| daemon.log())?;
    ensure!(there(), "reload_repeat did not keep the file");
    wait_for(ms(1_000), || (daemon.log().matches("a reload is scheduled for").count() == 3).then_some(()))
        .with_context(|| format!("not scheduled for tomorrow:\n{}", daemon.log()))?;
    r1.output(&["rm", "/run/when"])?;
    wait_for(ms(1_000), || daemon.log().contains("is cancelled").then_some(()))
        .with_context(|| daemon.log())?;
    daemon.check_alive()
}

fn until_read(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let conf = |file: &str| format!("global_defs {{\nreload_file{file}\n}}\n{}", Conf::new(150).text());
    let there = |path: &str| r1.read(path).is_ok();
    let touch = |path: &str| r1.write(path, "x", 0o644);
    touch("/run/keepalived.reload")?;
    let mut daemon = r1.start(Daemon::XvrrpRfc, &conf(""))?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    ensure!(!there("/run/keepalived.reload"), "start-up has left it");
    touch("/run/keepalived.reload")?;
    reload(r1, &conf(" /run/reading"))?;
    ensure!(!there("/run/keepalived.reload"), "the reload has left it");
    // What cannot be used has been read as well.
    touch("/run/reading")?;
    r1.write(FILE, "vrrp_instance {", 0o644)?;
    let refused = xvrrp(r1, &["reload", "--run-dir", RUN_DIR])?;
    ensure!(!refused.status.success() && !there("/run/reading"), "{}", stderr(&refused));
    daemon.check_alive()
}
