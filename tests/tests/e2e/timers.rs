//! Priorities, timers and elections of live daemons, on short intervals: what decides, and how soon.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Change, Daemon, Host, Lab, Moment, PingReport, Running, wait_for};

use crate::harness::Test;
use crate::pair::{
    Conf, INTERVAL, MASTER_DOWN, VIP, adverts, await_advert, held_by, instance, ms, reload, script, until,
};
use crate::punctual::{allowance, on_time, steady, within};

const MASTER: &str = include_str!("../../inputs/two-node/master.conf");
const BACKUP: &str = include_str!("../../inputs/two-node/backup.conf");

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::XvrrpRfc]);
    let mut tests = vec![
        test("timers::s08_next_advert_has_the_new_priority_and_interval", s08),
        test("timers::nopreempt", nopreempt),
        test("timers::preempt_delay", preempt_delay),
        test("timers::s28_preempt_delay_does_not_hold_up_a_takeover", s28),
        test("timers::tracked_interface_with_weight", interface_weight),
        test("timers::tracked_interface_without_weight", interface_fault),
        test("timers::tracked_script_with_weight", script_weight),
        test("timers::fractional_interval", fractional),
        test("timers::s27_owner", owner),
        test("timers::s25_equal_priority", equal_priority),
        test("timers::s31_state_master_is_a_hint", hint),
        test("timers::s22_priority_zero_leaves_the_skew_time", priority_zero),
        test("timers::s29_interface_down_and_up", interface_down),
    ];
    for (name, files) in [("v2_1s", None), ("v3_100ms", Some(()))] {
        let body = move |lab: &Lab| match files {
            None => graceful_stop(lab, [MASTER, BACKUP], "Router"),
            Some(()) => graceful_stop(lab, [&Conf::new(150).text(), &Conf::new(100).text()], "VI_1"),
        };
        let name = format!("timers::graceful_stop_and_failback_lose_nothing_{name}");
        tests.push(Test::new(name, body).needs([Daemon::XvrrpRfc]).long());
    }
    tests
}

fn routers(lab: &Lab) -> Result<[&Host; 2]> {
    Ok([lab.host("r1")?, lab.host("r2")?])
}

fn s08(lab: &Lab) -> Result<()> {
    let [r1, _] = routers(lab)?;
    let wire = lab.switch().watch()?;
    let mut daemon = r1.start(Daemon::XvrrpRfc, &Conf::new(100).text())?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    for priority in [140, 90, 200] {
        let before = Moment::now();
        reload(r1, &Conf::new(priority).text())?;
        let after = Moment::now();
        let first = await_advert(&wire, "r1", 25, after, |_| true)?;
        ensure!(first.priority == priority, "first advert after the reload: {first:?}, wanted {priority}");
        wait_for(ms(1_000), || (adverts(&wire, "r1", 25, before).len() >= 2).then_some(()));
        let times: Vec<_> = adverts(&wire, "r1", 25, before).iter().map(|a| a.at).collect();
        steady("an advert around the reload", &times, INTERVAL * 5 / 4)?;
    }
    let before = Moment::now();
    reload(r1, &Conf::new(200).every("0.2").text())?;
    let first = await_advert(&wire, "r1", 25, Moment::now(), |_| true)?;
    ensure!(first.interval == 20, "first advert after the reload: {first:?}");
    let told = await_advert(&wire, "r1", 25, before, |advert| advert.interval == 20)?;
    within("the longer interval is announced", before, told.at, INTERVAL)?;
    daemon.check_alive()
}

fn nopreempt(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &Conf::new(100).text())?;
    held_by(&addresses, VIP, &["r2"], ms(3_000))?;
    let _r1 = r1.start(Daemon::XvrrpRfc, &Conf::new(150).with("nopreempt").text())?;
    until(r1, "VI_1", "BACKUP", ms(3_000))?;
    std::thread::sleep(MASTER_DOWN * 3);
    let backup = instance(r1, "VI_1")?;
    ensure!(backup.state == "BACKUP" && backup.master.is_some_and(|m| m.priority == 100));
    ensure!(addresses.first("r1", Change::Added(VIP.into()), Moment::from_boot()).is_none(), "it preempted");
    let before = Moment::now();
    lab.switch().silence("r2")?;
    let silent = Moment::now();
    let taken = wait_for(ms(2_000), || addresses.first("r1", Change::Added(VIP.into()), before));
    let taken = taken.context("r1 does not take over from a dead master")?;
    within("takeover", silent, taken, MASTER_DOWN + INTERVAL)?;
    Ok(())
}

fn preempt_delay(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let _r2 = r2.start(Daemon::XvrrpRfc, &Conf::new(100).text())?;
    held_by(&addresses, VIP, &["r2"], ms(3_000))?;
    let _r1 = r1.start(Daemon::XvrrpRfc, &Conf::new(150).with("preempt_delay 1").text())?;
    until(r1, "VI_1", "BACKUP", ms(3_000))?;
    let heard = Moment::now();
    let taken = await_advert(&wire, "r1", 25, heard, |_| true)?;
    let after = taken.at.since(heard);
    println!("preempted {after:?} after the start with preempt_delay 1");
    // At most what had passed before the first look, then the delay, then what is left of the down timer.
    ensure!(after > ms(900), "preempted after {after:?}");
    within("preempted", heard, taken.at, ms(1_000) + MASTER_DOWN + INTERVAL)?;
    held_by(&addresses, VIP, &["r1"], ms(1_000)).map(drop)
}

fn s28(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &Conf::new(100).text())?;
    held_by(&addresses, VIP, &["r2"], ms(3_000))?;
    let _r1 = r1.start(Daemon::XvrrpRfc, &Conf::new(150).with("preempt_delay 30").text())?;
    until(r1, "VI_1", "BACKUP", ms(3_000))?;
    std::thread::sleep(INTERVAL * 3);
    let before = Moment::now();
    lab.switch().silence("r2")?;
    let silent = Moment::now();
    let taken = wait_for(ms(2_000), || addresses.first("r1", Change::Added(VIP.into()), before));
    let taken = taken.context("preempt_delay keeps r1 from taking over from a dead master")?;
    within("takeover", silent, taken, MASTER_DOWN + INTERVAL)?;
    Ok(())
}

/// An interface of `r1` whose other end the test holds.
fn tracked_interface(r1: &Host) -> Result<()> {
    for command in ["link add up0 type veth peer name up1", "link set up0 up", "link set up1 up"] {
        let words: Vec<_> = std::iter::once("ip").chain(command.split(' ')).collect();
        r1.output(&words)?;
    }
    Ok(())
}

fn interface_weight(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    tracked_interface(r1)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let tracked = Conf::new(150).with("track_interface {").with("    up0 weight -60").with("}");
    let _r1 = r1.start(Daemon::XvrrpRfc, &tracked.text())?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &Conf::new(100).text())?;
    until(r2, "VI_1", "BACKUP", ms(3_000))?;
    let down = Moment::now();
    r1.output(&["ip", "link", "set", "up1", "down"])?;
    let is_down = Moment::now();
    let lowered = await_advert(&wire, "r1", 25, down, |advert| advert.priority == 90)?;
    // With the next advert, or the one after it.
    within("told", is_down, lowered.at, INTERVAL * 2)?;
    held_by(&addresses, VIP, &["r2"], MASTER_DOWN + ms(300))?;
    let status = instance(r1, "VI_1")?;
    let change = status.priority.changes.first().context("status does not say why")?;
    ensure!((change.by.as_str(), change.weight) == ("interface up0", -60), "{status:?}");
    r1.output(&["ip", "link", "set", "up1", "up"])?;
    held_by(&addresses, VIP, &["r1"], MASTER_DOWN + ms(500)).map(drop)
}

/// Without a weight the tracked interface decides whether the router runs at all. It says so with priority 0.
fn interface_fault(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    tracked_interface(r1)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let slow = |priority| Conf::new(priority).every("1");
    let tracked = slow(150).with("track_interface {").with("    up0").with("}");
    let _r1 = r1.start(Daemon::XvrrpRfc, &tracked.text())?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &slow(200).with("nopreempt").text())?;
    let follows = || instance(r2, "VI_1").ok().filter(|i| i.state == "BACKUP" && i.master.is_some());
    wait_for(ms(3_000), follows).context("r2 does not follow r1")?;
    let down = Moment::now();
    r1.output(&["ip", "link", "set", "up1", "down"])?;
    let is_down = Moment::now();
    let taken = held_by(&addresses, VIP, &["r2"], ms(3_000))?;
    // The skew time of priority 200 at one second is 219 ms; waiting for silence would take 2.2 s at least.
    println!("takeover {:?} after a tracked interface went down", taken.since(down));
    within("takeover", is_down, taken, ms(219) * 2)?;
    let zeros = adverts(&wire, "r1", 25, down).iter().filter(|advert| advert.priority == 0).count();
    ensure!(zeros == 1, "{zeros} adverts with priority 0");
    let status = until(r1, "VI_1", "FAULT", ms(500))?;
    ensure!(status.reason == "not ready", "{status:?}");
    std::thread::sleep(ms(1_200));
    let more = adverts(&wire, "r1", 25, taken).len();
    ensure!(more == 0, "{more} adverts in FAULT");
    r1.output(&["ip", "link", "set", "up1", "up"])?;
    until(r1, "VI_1", "BACKUP", ms(1_000)).map(drop)
}

fn script_weight(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let tracked = Conf::new(150).with("track_script {").with("    chk").with("}");
    let _r1 = r1.start(Daemon::XvrrpRfc, &(script("weight -60") + &tracked.text()))?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &Conf::new(100).text())?;
    until(r2, "VI_1", "BACKUP", ms(3_000))?;
    let failed = Moment::now();
    r1.write("/run/bad", "", 0o644)?;
    let lowered = await_advert(&wire, "r1", 25, failed, |advert| advert.priority == 90)?;
    println!("a script every 20 ms: told {:?} after the failure", lowered.at.since(failed));
    // The script's interval, its run, and one more advert than is due: scripts have no priority over anything else.
    within("told", failed, lowered.at, ms(20) + INTERVAL * 2)?;
    held_by(&addresses, VIP, &["r2"], MASTER_DOWN + ms(300))?;
    r1.output(&["rm", "/run/bad"])?;
    held_by(&addresses, VIP, &["r1"], MASTER_DOWN + ms(500)).map(drop)
}

fn fractional(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let wire = lab.switch().watch()?;
    let _r1 = r1.start(Daemon::XvrrpRfc, &Conf::new(150).every("0.05").text())?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    // A backup of another interval follows the master's.
    let _r2 = r2.start(Daemon::XvrrpRfc, &Conf::new(100).every("1.5").text())?;
    let since = Moment::now();
    std::thread::sleep(ms(1_000));
    let sent = adverts(&wire, "r1", 25, since);
    ensure!(sent.iter().all(|advert| advert.interval == 5), "{sent:?}");
    let (first, last) = (sent.first().context("no adverts")?.at, sent.last().context("no adverts")?.at);
    let each = last.since(first) / u32::try_from(sent.len() - 1)?;
    let times: Vec<_> = sent.iter().map(|advert| advert.at).collect();
    let worst = steady("adverts of 50 ms", &times, ms(50) * 7 / 5)?;
    println!("50 ms: {} adverts, {each:?} apart, longest pause {worst:?}", sent.len());
    // It is not rounded: to 40 or 60 ms, say.
    let more = allowance(first, last) / u32::try_from(sent.len() - 1)?;
    ensure!(each >= ms(48) && each <= ms(52) + more, "adverts are {each:?} apart");
    let master = instance(r2, "VI_1")?.master.context("r2 follows nobody")?;
    ensure!((master.interval_ms - 50.0).abs() < 0.5, "{master:?}");
    Ok(())
}

fn owner(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let slow = |priority| Conf::new(priority).every("1");
    let tracked = slow(255).starts("MASTER").with("track_script {").with("    chk").with("}");
    let _r2 = r2.start(Daemon::XvrrpRfc, &slow(254).text())?;
    held_by(&addresses, VIP, &["r2"], ms(5_000))?;
    let started = Moment::now();
    r1.write("/run/bad", "", 0o644)?;
    let _r1 = r1.start(Daemon::XvrrpRfc, &(script("weight -50") + &tracked.text()))?;
    let taken = held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    println!("an owner has its address {:?} after its daemon was started", taken.since(started));
    // Less than the down timer of one second's adverts: it does not wait.
    let down = Duration::from_secs(3);
    ensure!(taken.since(started) < down, "an owner waited for {:?}", taken.since(started));
    let status = wait_for(ms(2_000), || {
        let status = r1.xvrrp_status().ok()?.instance("VI_1").cloned()?;
        (status.state == "MASTER").then_some(status)
    });
    ensure!(status.is_some_and(|status| status.priority.effective == 255), "a weight changed 255");
    std::thread::sleep(ms(1_100));
    let sent = adverts(&wire, "r1", 25, started);
    ensure!(sent.len() > 1 && sent.iter().all(|advert| advert.priority == 255), "{sent:?}");
    // The others stay below.
    drop(_r1);
    r1.output(&["rm", "/run/bad"])?;
    let raised = slow(200).with("track_script {").with("    chk").with("}");
    let _r1 = r1.start(Daemon::XvrrpRfc, &(script("weight 100") + &raised.text()))?;
    let reached =
        wait_for(ms(3_000), || (instance(r1, "VI_1").ok()?.priority.effective == 254).then_some(()));
    reached.context("200 + 100 is not 254")
}

fn equal_priority(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let conf = Conf::new(100).text();
    let _r1 = r1.start(Daemon::XvrrpRfc, &conf)?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &conf)?;
    until(r2, "VI_1", "BACKUP", ms(3_000))?;
    std::thread::sleep(MASTER_DOWN * 2);
    // While backup, an equal priority is the master's, whatever the addresses.
    held_by(&addresses, VIP, &["r1"], ms(10))?;
    lab.switch().silence("r1")?;
    held_by(&addresses, VIP, &["r1", "r2"], ms(2_000))?;
    lab.switch().restore("r1")?;
    // 172.16.1.2 is the higher address.
    held_by(&addresses, VIP, &["r2"], ms(2_000))?;
    std::thread::sleep(MASTER_DOWN * 2);
    held_by(&addresses, VIP, &["r2"], ms(10))?;
    let loser = instance(r1, "VI_1")?;
    ensure!(loser.state == "BACKUP" && loser.reason == "higher address heard", "{loser:?}");
    Ok(())
}

fn hint(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let _r1 = r1.start(Daemon::XvrrpRfc, &Conf::new(150).text())?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &Conf::new(100).starts("MASTER").text())?;
    until(r2, "VI_1", "BACKUP", ms(3_000))?;
    std::thread::sleep(MASTER_DOWN * 2);
    let never = addresses.first("r2", Change::Added(VIP.into()), Moment::from_boot());
    ensure!(never.is_none(), "state MASTER made the lower priority master");
    Ok(())
}

fn priority_zero(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let wire = lab.switch().watch()?;
    let mut first = r1.start(Daemon::XvrrpRfc, &Conf::new(150).every("0.5").text())?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &Conf::new(100).every("0.5").text())?;
    until(r2, "VI_1", "BACKUP", ms(3_000))?;
    std::thread::sleep(ms(600));
    let stopped = Moment::now();
    first.stop()?;
    let zero = await_advert(&wire, "r1", 25, stopped, |advert| advert.priority == 0)?;
    let taken = await_advert(&wire, "r2", 25, stopped, |_| true)?;
    let skew = ms(500) * (256 - 100) / 256;
    println!("priority 0: takeover {:.1} ms later, skew time {skew:?}", taken.at.ms_after(zero.at));
    on_time("takeover after priority 0", zero.at, taken.at, skew, ms(500) / 25)
}

fn interface_down(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let mut daemon = r1.start(Daemon::XvrrpRfc, &Conf::new(150).text())?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &Conf::new(100).text())?;
    until(r2, "VI_1", "BACKUP", ms(3_000))?;
    r1.output(&["ip", "link", "set", "ens160", "down"])?;
    let down = Moment::now();
    let fault = until(r1, "VI_1", "FAULT", ms(500))?;
    ensure!(fault.reason == "not ready", "{fault:?}");
    held_by(&addresses, VIP, &["r2"], MASTER_DOWN + ms(300))?;
    ensure!(adverts(&wire, "r1", 25, down).is_empty(), "it sends while it is down");
    let before = Moment::now();
    r1.output(&["ip", "link", "set", "ens160", "up"])?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    let up = addresses.first("r1", Change::CarrierUp, before).context("no carrier")?;
    let first = await_advert(&wire, "r1", 25, up, |_| true)?;
    // It starts as backup, so it listens for a while before it sends.
    ensure!(first.at.since(up) > ms(250), "master {:?} after the link was up", first.at.since(up));
    ensure!(!daemon.log().contains("panicked"));
    daemon.check_alive()
}

fn graceful_stop(lab: &Lab, files: [&str; 2], what: &str) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let mut first = r1.start(Daemon::XvrrpRfc, files[0])?;
    held_by(&addresses, "172.16.1.25".parse()?, &["r1"], ms(8_000))?;
    let mut second = r2.start(Daemon::XvrrpRfc, files[1])?;
    let follows = || {
        let instances = r2.xvrrp_status().ok()?.instances;
        instances.iter().all(|i| i.state == "BACKUP" && i.master.is_some()).then_some(())
    };
    wait_for(ms(5_000), follows).with_context(|| format!("r2 does not follow r1 ({what})"))?;
    let pinger = lab.host("client")?.ping(VIP.into(), ms(1), Duration::from_secs(60))?;
    wait_for(ms(2_000), || pinger.is_answered(ms(50)).then_some(())).context("the client is not answered")?;
    let stopped = Moment::now();
    let status = first.stop()?;
    ensure!(status.is_some_and(|status| status.success()), "it ended with {status:?}");
    let gone = Moment::now();
    held_by(&addresses, VIP, &["r2"], ms(3_000))?;
    std::thread::sleep(ms(300));
    let returned = Moment::now();
    let mut first = r1.start(Daemon::XvrrpRfc, files[0])?;
    held_by(&addresses, VIP, &["r1"], ms(10_000))?;
    std::thread::sleep(ms(300));
    let (end, report) = (Moment::now(), pinger.stop());
    let (stop, back) = (report.lost_between(stopped, returned), report.lost_between(returned, end));
    println!(
        "graceful stop took {:.0} ms and lost {stop}, failback lost {back} of a 1 ms stream; {}",
        gone.ms_after(stopped),
        gaps(&report, stopped)
    );
    ensure!(stop == 0, "the planned switch lost {stop}: {}", gaps(&report, stopped));
    // Of a stream with one packet each millisecond.
    let more = allowance(returned, end).as_millis();
    ensure!(back as u128 <= 2 + more, "the failback lost {back}: {}", gaps(&report, returned));
    [&mut first, &mut second].into_iter().try_for_each(Running::check_alive)
}

fn gaps(report: &PingReport, origin: Moment) -> String {
    let list = report
        .gaps()
        .into_iter()
        .map(|gap| format!("{} lost at {:.1} ms", gap.lost, gap.start.ms_after(origin)));
    format!("gaps: {:?}, longest stall {:?}", list.collect::<Vec<_>>(), report.longest_stall())
}
