//! Another XDP program has the interface: adverts, probes and the fence go through traffic control.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Change, Daemon, Host, Lab, Moment, RUN_DIR, Running, XDP_PASS, bpf_object, wait_for};

use crate::degraded::{config, settled};
use crate::harness::Test;
use crate::hostile::{VIP, json, ms, reach, sound, state, text, xvrrp};
use crate::pair;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (kind, arguments) in [("tcx", &[][..]), ("clsact", &["--no-tcx"][..])] {
        let mut add = |name: &str, body: fn(&Lab, &'static [&'static str]) -> Result<()>| {
            let test = Test::new(format!("tc::{kind}_{name}"), move |lab| body(lab, arguments));
            tests.push(test.needs([Daemon::Xvrrp]).needs_tool("bpftool").needs_tool("tc"));
        };
        add("takeover_and_fence", takeover);
        add("restart_keeps_the_role", restarted);
        add("frozen_master_is_replaced", frozen);
        add("detached_by_hand_is_noticed", detached);
        add("leftovers_go_and_others_stay", leftovers);
        add("xdp_is_used_once_it_is_free", freed);
    }
    tests.push(Test::new("tc::dropped_adverts_are_noticed", dropped).needs([Daemon::Xvrrp]));
    tests
}

/// `r0 = TC_ACT_UNSPEC; exit`.
const CONTINUE: &[u8] = &[0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// Drops IPv4 packets of protocol 112, as a firewall might, and passes everything else.
const DROP_VRRP: &[u8] = &[
    0x61, 0x12, 0, 0, 0, 0, 0, 0, // r2 = data
    0x61, 0x13, 4, 0, 0, 0, 0, 0, // r3 = data_end
    0xb7, 0, 0, 0, 2, 0, 0, 0, // r0 = XDP_PASS
    0xbf, 0x24, 0, 0, 0, 0, 0, 0, // r4 = r2
    0x07, 0x04, 0, 0, 34, 0, 0, 0, // r4 += 34
    0x2d, 0x34, 5, 0, 0, 0, 0, 0, // beyond the end?
    0x69, 0x24, 12, 0, 0, 0, 0, 0, // r4 = type
    0x55, 0x04, 3, 0, 8, 0, 0, 0, // no IPv4?
    0x71, 0x24, 23, 0, 0, 0, 0, 0, // r4 = protocol
    0x55, 0x04, 1, 0, 112, 0, 0, 0, // no VRRP?
    0xb7, 0, 0, 0, 1, 0, 0, 0, // r0 = XDP_DROP
    0x95, 0, 0, 0, 0, 0, 0, 0, // exit
];

fn link() -> String {
    format!("/sys/fs/bpf/xvrrp/v{}/ens160/link", ha_common::layout::ABI_VERSION)
}

/// What is attached to the interface. Not every bpftool knows tcx, but all show a link.
fn programs(host: &Host) -> Result<String> {
    let link = host.run(&["bpftool", "link", "show", "pinned", &link()])?;
    let kind = if link.status.success() { "ha_tc or ha_xdp by " } else { "no link: " };
    Ok(host.output(&["bpftool", "net", "show", "dev", "ens160"])? + kind + &text(&link))
}

/// How an interface receives, and why not better.
fn receives(host: &Host) -> Result<(String, String)> {
    let status = json(host, "status")?;
    let word = |key: &str| status["interfaces"][0][key].as_str().unwrap_or_default().to_owned();
    Ok((word("xdp"), word("xdp_reason")))
}

fn through(host: &Host, mode: &str) -> Result<()> {
    wait_for(ms(4_000), || receives(host).is_ok_and(|(now, _)| now == mode).then_some(()))
        .with_context(|| format!("{} does not receive through {mode}: {:?}", host.name(), receives(host)))
}

/// r1 as master and r2 as backup that probes it.
fn routers(lab: &Lab, arguments: &[&str]) -> Result<[Running; 2]> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    for host in [r1, r2] {
        host.occupy_xdp(XDP_PASS)?;
    }
    let start = |host: &Host, priority| host.start_with(Daemon::Xvrrp, &config(priority), arguments);
    let running = [start(r1, 200)?, start(r2, 100)?];
    settled(r1, r2)?;
    through(r1, "tc")?;
    through(r2, "tc")?;
    probing(&running[1], 1)?;
    Ok(running)
}

/// Waits until the backup's probes are answered for the `times`th time, and count.
fn probing(backup: &Running, times: usize) -> Result<()> {
    let answered = || (backup.log().matches("answers probes").count() >= times).then_some(());
    wait_for(ms(5_000), answered).with_context(|| format!("no probe is answered:\n{}", backup.log()))?;
    std::thread::sleep(ms(300));
    Ok(())
}

/// The daemon of the master dies: its program says so, and answers no question for the address any more.
fn takeover(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let [mut master, mut backup] = routers(lab, arguments)?;
    let (_, why) = receives(r1)?;
    ensure!(why.contains("the XDP program other (id "), "{why}");
    let addresses = lab.watch_addresses()?;
    let census = lab.arp_census("client", pair::VIP, ms(2))?;
    let died = Moment::now();
    master.kill9()?;
    let taken = wait_for(ms(3_000), || addresses.first("r2", Change::Added(VIP), died))
        .with_context(|| format!("nobody takes over:\n{}", backup.log()))?;
    println!("taken over {:.1} ms after kill -9", taken.ms_after(died));
    // On a busy machine the kernel takes longer over the end of a process than its lease lasts.
    let said = ["orphaned", "no daemon", "lease expired"];
    ensure!(said.iter().any(|said| backup.log().contains(said)), "{}", backup.log());
    ensure!(r1.holds(VIP)?, "the killed router does not have its address any more");
    std::thread::sleep(ms(1_500));
    let doubles = census.double_answers(taken.plus(ms(20)));
    ensure!(doubles.is_empty(), "{} questions with two answers: {:?}", doubles.len(), doubles[0]);
    // The next run takes the program over.
    let mut master = r1.start_with(Daemon::Xvrrp, &config(200), arguments)?;
    settled(r1, r2)?;
    through(r1, "tc")?;
    master.stop()?;
    reach(r2, "VI_1", "MASTER", ms(3_000))?;
    ensure!(!programs(r1)?.contains("ha_tc"), "{}", programs(r1)?);
    ensure!(state(r2, "VI_1") == "MASTER");
    sound(&mut backup, 60)
}

/// A planned restart: the next run's program is in the place of the old one, and nobody takes over.
fn restarted(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let [mut master, mut backup] = routers(lab, arguments)?;
    let (addresses, before) = (lab.watch_addresses()?, programs(r1)?);
    let begin = Moment::now();
    let output = xvrrp(r1, &["restart", "--run-dir", RUN_DIR])?;
    ensure!(output.status.success(), "{}", text(&output));
    wait_for(ms(4_000), || programs(r1).is_ok_and(|now| now != before).then_some(()))
        .context("no new program")?;
    settled(r1, r2)?;
    through(r1, "tc")?;
    probing(&backup, 1)?;
    ensure!(programs(r1)?.matches("ha_tc").count() == 1, "{}", programs(r1)?);
    ensure!(addresses.first("r2", Change::Added(VIP), begin).is_none(), "r2 took the address");
    ensure!(addresses.first("r1", Change::Removed(VIP), begin).is_none(), "r1 lost the address");
    sound(&mut master, 120)?;
    sound(&mut backup, 60)
}

/// A master that is stopped loses its role when its lease has run out, and yields when it goes on.
fn frozen(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let [mut master, mut backup] = routers(lab, arguments)?;
    let addresses = lab.watch_addresses()?;
    let census = lab.arp_census("client", pair::VIP, ms(2))?;
    let begin = Moment::now();
    master.freeze()?;
    let taken = wait_for(ms(3_000), || addresses.first("r2", Change::Added(VIP), begin))
        .with_context(|| format!("nobody takes over:\n{}", backup.log()))?;
    ensure!(backup.log().contains("expired"), "{}", backup.log());
    std::thread::sleep(ms(500));
    let doubles = census.double_answers(taken.plus(ms(20)));
    ensure!(doubles.is_empty(), "{} questions with two answers: {:?}", doubles.len(), doubles[0]);
    master.thaw()?;
    settled(r1, r2)?;
    sound(&mut master, 80)?;
    sound(&mut backup, 80)
}

/// Somebody takes our program away: it is put back, a backup's before its deafness is taken for the master's silence.
fn detached(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let [mut master, mut backup] = routers(lab, arguments)?;
    let addresses = lab.watch_addresses()?;
    let mut begin = Moment::now();
    for (host, log) in [(r1, &master), (r2, &backup)] {
        settled(r1, r2)?;
        begin = Moment::now();
        if arguments.is_empty() {
            host.output(&["bpftool", "link", "detach", "pinned", &link()])?;
        } else {
            host.output(&["tc", "filter", "del", "dev", "ens160", "ingress"])?;
        }
        wait_for(ms(3_000), || log.log().contains("somebody has detached").then_some(()))
            .with_context(|| format!("{} does not notice:\n{}", host.name(), log.log()))?;
        through(host, "tc")?;
        ensure!(programs(host)?.contains("ha_tc"), "{}", programs(host)?);
    }
    std::thread::sleep(ms(1_000));
    ensure!(addresses.first("r2", Change::Added(VIP), begin).is_none(), "the backup took over");
    sound(&mut master, 60)?;
    sound(&mut backup, 60)
}

/// `xvrrp detach` takes away what a killed run left, and neither the XDP program nor a filter of somebody else.
fn leftovers(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.occupy_xdp(XDP_PASS)?;
    let others = !arguments.is_empty();
    if others {
        r1.output(&["tc", "qdisc", "add", "dev", "ens160", "clsact"])?;
        r1.write("/run/lab/filter.o", bpf_object("tc", CONTINUE)?, 0o644)?;
        let filter = "tc filter add dev ens160 ingress prio 1 handle 9 bpf da obj /run/lab/filter.o sec tc";
        r1.output(&filter.split(' ').collect::<Vec<_>>())?;
    }
    let mut daemon = r1.start_with(Daemon::Xvrrp, &config(200), arguments)?;
    reach(r1, "VI_1", "MASTER", ms(4_000))?;
    through(r1, "tc")?;
    daemon.kill9()?;
    ensure!(programs(r1)?.contains("ha_tc"), "nothing is left of a killed run: {}", programs(r1)?);
    let output = xvrrp(r1, &["detach", "--run-dir", RUN_DIR, "--bpffs", "/sys/fs/bpf"])?;
    ensure!(output.status.success(), "{}", text(&output));
    let left = programs(r1)?;
    ensure!(!left.contains("ha_tc") && left.contains("generic id"), "{left}");
    let qdiscs = r1.output(&["tc", "qdisc", "show", "dev", "ens160"])?;
    let filters = r1.output(&["tc", "filter", "show", "dev", "ens160", "ingress"])?;
    ensure!(
        qdiscs.contains("clsact") == others && filters.contains("handle 0x9") == others,
        "{qdiscs}{filters}"
    );
    // The qdisc that a run makes goes with it.
    if others {
        r1.output(&["tc", "qdisc", "del", "dev", "ens160", "clsact"])?;
    }
    let mut daemon = r1.start_with(Daemon::Xvrrp, &config(200), arguments)?;
    through(r1, "tc")?;
    daemon.stop()?;
    let qdiscs = r1.output(&["tc", "qdisc", "show", "dev", "ens160"])?;
    ensure!(!qdiscs.contains("clsact") && !programs(r1)?.contains("ha_tc"), "{qdiscs}{}", programs(r1)?);
    Ok(())
}

/// The other program goes: our own stays where it is, says so, and goes to XDP with the next reload (the master) or
/// restart (the backup). Nobody notices anything.
fn freed(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let [mut master, mut backup] = routers(lab, arguments)?;
    let (addresses, begin) = (lab.watch_addresses()?, Moment::now());
    for host in [r1, r2] {
        host.output(&["ip", "link", "set", "ens160", "xdpgeneric", "off"])?;
    }
    let said =
        || receives(r1).is_ok_and(|(mode, why)| mode == "tc" && why.contains("has gone")).then_some(());
    wait_for(ms(4_000), said).with_context(|| format!("{:?}", receives(r1)))?;
    for (host, command) in [(r1, "reload"), (r2, "restart")] {
        let output = xvrrp(host, &[command, "--run-dir", RUN_DIR])?;
        ensure!(output.status.success(), "{}", text(&output));
        through(host, "generic")?;
        let left = host.output(&["tc", "filter", "show", "dev", "ens160", "ingress"])?;
        ensure!(left.is_empty(), "{left}");
    }
    settled(r1, r2)?;
    probing(&backup, 2)?;
    let word = |word: &str| backup.log().contains(word);
    ensure!(!word("unreachable") && !word("orphaned") && !word("expired"), "{}", backup.log());
    ensure!(addresses.first("r2", Change::Added(VIP), begin).is_none(), "the backup took over");
    // What is in XDP now outlives its daemon as ever.
    let died = Moment::now();
    master.kill9()?;
    wait_for(ms(3_000), || addresses.first("r2", Change::Added(VIP), died)).context("nobody takes over")?;
    // On a busy machine the kernel takes longer over the end of a process than its lease lasts.
    let said = ["orphaned", "no daemon", "lease expired"];
    ensure!(said.iter().any(|said| backup.log().contains(said)), "{}", backup.log());
    sound(&mut backup, 120)
}

/// The other program drops adverts before anybody sees them: both become master, and say what may be wrong.
fn dropped(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    r2.occupy_xdp(DROP_VRRP)?;
    let mut master = r1.start(Daemon::Xvrrp, &config(200))?;
    reach(r1, "VI_1", "MASTER", ms(4_000))?;
    let mut other = r2.start(Daemon::Xvrrp, &config(100))?;
    reach(r2, "VI_1", "MASTER", ms(4_000))?;
    crate::hostile::logged(&other, &["nothing of VRRP has been heard", "the XDP program other (id "])?;
    let warnings = json(r2, "status")?["warnings"].to_string();
    ensure!(warnings.contains("runs first and may drop it"), "{warnings}");
    let warnings = json(r1, "status")?["warnings"].to_string();
    ensure!(!warnings.contains("runs first"), "{warnings}");
    // It stops doing that.
    r2.output(&["ip", "link", "set", "ens160", "xdpgeneric", "off"])?;
    reach(r2, "VI_1", "BACKUP", ms(4_000))?;
    let warnings = json(r2, "status")?["warnings"].to_string();
    ensure!(!warnings.contains("runs first"), "{warnings}");
    sound(&mut master, 60)?;
    sound(&mut other, 60)
}
