//! Planned switches: a graceful stop hands over, a restart keeps the role. No packet of the client is lost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment, RUN_DIR, Running, wait_for};
use nix::sys::signal::Signal;

use super::cluster::{Router, files, pair, stream};
use crate::harness::Test;
use crate::pair::{INTERVAL, VIP, adverts, garps, held_by, ms, stderr, until, xvrrp};
use crate::punctual::within;

/// For restarts: a start must fit into a backup's patience, also on a machine with other work.
fn slow() -> [String; 2] {
    files().map(|text| text.replace("advert_int 0.1", "advert_int 0.5"))
}

/// Longer than a backup of those is patient: three intervals and the skew time.
const PATIENCE: Duration = ms(1_900);

/// What a restart of r1 must not disturb.
struct Quiet<'a> {
    lab: &'a Lab,
    /// Whether r1 may announce its addresses: without XDP it cannot know whether somebody else has.
    announces: bool,
    wire: ha_tests::lab::Wire,
    addresses: ha_tests::lab::Addresses,
    pinger: ha_tests::lab::Pinger,
}

pub(super) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| Test::new(format!("fast::{name}"), body);
    vec![
        new("graceful_stop", graceful_stop).needs([Daemon::Xvrrp]).timing(),
        new("planned_restarts", planned_restarts).needs([Daemon::Xvrrp]).timing(),
        new("stopped_while_it_starts", stopped_while_it_starts).needs([Daemon::Xvrrp]),
        new("restarts_across_versions", across_versions).needs([Daemon::Xvrrp]).timing(),
        new("restarts_beside_keepalived", |lab| restarts_beside_keepalived(lab, true))
            .needs([Daemon::Xvrrp, Daemon::Keepalived])
            .long(),
        new("restarts_without_fast_failover", |lab| restarts_beside_keepalived(lab, false))
            .needs([Daemon::Xvrrp, Daemon::Keepalived])
            .long(),
        new("slow_restart", |lab| slow_restart(lab, Daemon::Xvrrp)).needs([Daemon::Xvrrp]).timing().long(),
        new("slow_restart_beside_keepalived", |lab| slow_restart(lab, Daemon::Keepalived))
            .needs([Daemon::Xvrrp, Daemon::Keepalived])
            .timing()
            .long(),
        new("restarts_without_xdp", |lab| restarts_without_xdp(lab, Daemon::Xvrrp))
            .needs([Daemon::Xvrrp])
            .timing(),
        new("restarts_without_xdp_beside_keepalived", |lab| restarts_without_xdp(lab, Daemon::Keepalived))
            .needs([Daemon::Xvrrp, Daemon::Keepalived])
            .timing(),
    ]
}

/// The backup takes over when it sees that the master resigns, not after the skew time (61 ms here), and the master
/// keeps the address until then.
fn graceful_stop(lab: &Lab) -> Result<()> {
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let [mut r1, _r2] = pair(lab, files())?;
    let census = lab.arp_census("client", VIP, ms(1))?;
    let pinger = stream(lab, ms(1))?;
    let begin = Moment::now();
    let status = r1.running.stop()?;
    ensure!(status.is_some_and(|status| status.success()), "r1 ended with {status:?}");
    held_by(&addresses, VIP, &["r2"], ms(1_000))?;
    std::thread::sleep(ms(200));
    let zero = adverts(&wire, "r1", 25, begin).into_iter().find(|advert| advert.priority == 0);
    let zero = zero.context("no advert of priority 0")?.at;
    let first = wire.first_advert_from("r2", begin).context("no advert from r2")?;
    let took = first.ms_after(zero);
    let report = pinger.stop();
    let lost = report.lost_between(begin, Moment::now());
    println!(
        "r2 is master {took:.2} ms after the advert of priority 0; {lost} of a 1 ms stream lost (held up {:?})",
        report.longest_stall()
    );
    let doubles = census.double_answers(begin);
    println!("ARP questions with two answers: {}", doubles.len());
    ensure!(doubles.is_empty(), "two answer: {doubles:?}");
    // The skew time of priority 99.
    within("r2 takes over", zero, first, INTERVAL * (256 - 99) / 256)?;
    ensure!(lost == 0, "{lost} packets lost");
    Ok(())
}

/// Told to stop while it starts, a run takes away what the one before has left for it, or leaves it to the next.
fn stopped_while_it_starts(lab: &Lab) -> Result<()> {
    let files = slow();
    let [mut r1, _r2] = pair(lab, [&files[0], &files[1]])?;
    let host = lab.host("r1")?;
    for after in [0, 10, 40, 100, 250] {
        r1.running.leave_for_restart()?;
        ensure!(wait_for_end(&mut r1.running)?, "r1 does not leave");
        ensure!(host.holds(VIP.into())?, "r1 has left without its address");
        let mut next = host.start(Daemon::Xvrrp, &files[0])?;
        std::thread::sleep(ms(after));
        next.stop()?.context("it did not end")?;
        let left = host.run(&["test", "-e", &format!("{RUN_DIR}/restart")])?.status.success();
        let held = host.holds(VIP.into())?;
        println!("stopped after {after} ms: address there: {held}; left for the next run: {left}");
        ensure!(left || !held, "stopped after {after} ms, it leaves the address for nobody:\n{}", next.log());
        r1 = Router::start(lab, "r1", &files[0])?;
        until(host, "VI_1", "MASTER", ms(8_000))?;
    }
    Ok(())
}

impl<'a> Quiet<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
        Ok(Self { lab, announces: false, wire, addresses, pinger: stream(lab, ms(1))? })
    }

    /// r1 is master as before `begin`: nothing was lost, nothing announced, the address never left, r2 did nothing.
    fn undisturbed(&self, what: &str, begin: Moment) -> Result<()> {
        let done = Moment::now();
        // Longer than any backup is patient.
        std::thread::sleep(PATIENCE);
        until(self.lab.host("r1")?, "VI_1", "MASTER", ms(1_000)).context(what.to_owned())?;
        let now = Moment::now();
        let report = self.pinger.report();
        let lost = report.lost_between(begin, done.plus(PATIENCE - ms(50)));
        let announced = garps(&self.wire, "r1", VIP, begin).len();
        let changes: Vec<_> =
            self.addresses.history().into_iter().filter(|change| change.at >= begin).collect();
        let said = adverts(&self.wire, "r1", 25, begin);
        let longest = said.windows(2).map(|pair| pair[1].at.since(pair[0].at)).max().unwrap_or_default();
        println!(
            "{what}: {lost} of a 1 ms stream lost, {announced} gratuitous ARPs, {} adverts in {:.0} ms, longest pause \
             {longest:?}",
            said.len(),
            now.ms_after(begin)
        );
        ensure!(lost == 0, "{what}: {lost} packets lost");
        ensure!(changes.is_empty(), "{what}: addresses changed: {changes:?}");
        ensure!(self.announces || announced == 0, "{what}: {announced} gratuitous ARPs");
        ensure!(said.iter().all(|advert| advert.priority == 101), "{what}: r1 sent {said:?}");
        let others = adverts(&self.wire, "r2", 25, begin);
        ensure!(others.is_empty(), "{what}: r2 sent {others:?}");
        Ok(())
    }

    fn exec(&self) -> Result<()> {
        let begin = Moment::now();
        let output = xvrrp(self.lab.host("r1")?, &["restart", "--run-dir", RUN_DIR])?;
        ensure!(output.status.success(), "restart: {}", stderr(&output));
        self.undisturbed("xvrrp restart", begin)
    }

    /// As systemd does with RestartKillSignal.
    fn leave_and_start(&self, r1: &mut Router, config: &str) -> Result<()> {
        let begin = Moment::now();
        r1.running.leave_for_restart()?;
        let ended = wait_for_end(&mut r1.running)?;
        ensure!(ended, "r1 does not end on SIGRTMIN+1");
        *r1 = Router::start(self.lab, "r1", config)?;
        self.undisturbed("SIGRTMIN+1 and start", begin)
    }
}

fn wait_for_end(running: &mut Running) -> Result<bool> {
    Ok(wait_for(ms(2_000), || running.check_alive().is_err().then_some(())).is_some())
}

/// The peer probes, is told to wait, and waits.
fn planned_restarts(lab: &Lab) -> Result<()> {
    let files = slow();
    let [mut r1, r2] = pair(lab, [&files[0], &files[1]])?;
    let quiet = Quiet::new(lab)?;
    quiet.exec()?;
    quiet.leave_and_start(&mut r1, &files[0])?;
    quiet.exec()?;
    ensure!(!r2.log().contains("BACKUP -> "), "r2 left BACKUP:\n{}", r2.log());
    // The peers go on as before: the next death is noticed fast.
    r2.probes()?;
    let died = Moment::now();
    r1.running.kill9()?;
    let taken = wait_for(ms(3_000), || quiet.wire.first_advert_from("r2", died))
        .context("r2 does not take over after restarts")?;
    println!("killed after the restarts: r2 takes over after {:.1} ms", taken.ms_after(died));
    within("r2 takes over after kill -9", died, taken, ms(500)).map(drop)
}

/// An upgrade or a downgrade to a program with another version of the maps: what the maps say is not understood, and the
/// peer goes on waiting all the same.
fn across_versions(lab: &Lab) -> Result<()> {
    let files = slow();
    let [mut r1, r2] = pair(lab, [&files[0], &files[1]])?;
    let quiet = Quiet { announces: true, ..Quiet::new(lab)? };
    for other in ["v2", "v99"] {
        let begin = Moment::now();
        r1.running.leave_for_restart()?;
        ensure!(wait_for_end(&mut r1.running)?, "r1 does not end on SIGRTMIN+1");
        let root = "/sys/fs/bpf/xvrrp";
        let own = format!("{root}/v{}", ha_common::layout::ABI_VERSION);
        lab.host("r1")?.output(&["mv", &own, &format!("{root}/{other}")])?;
        r1 = Router::start(lab, "r1", &files[0])?;
        quiet.undisturbed(&format!("SIGRTMIN+1, and the maps are those of {other}"), begin)?;
        ensure!(r1.log().contains("is still MASTER"), "the role does not go on:\n{}", r1.log());
        ensure!(!r2.log().contains("has resigned"), "r2 was told of a resignation:\n{}", r2.log());
    }
    Ok(())
}

fn with_fast(on: bool) -> String {
    format!("global_defs {{\n    fast_failover {}\n}}\n{}", if on { "on" } else { "off" }, slow()[0])
}

/// keepalived waits for three intervals and the skew time, whatever kind of restart it is. Planned restarts are the
/// same without fast failover; a crash is not, since nobody renews a lease then.
fn restarts_beside_keepalived(lab: &Lab, fast: bool) -> Result<()> {
    let config = with_fast(fast);
    let mut r1 = Router::start(lab, "r1", &config)?;
    r1.says("-> MASTER", ms(5_000))?;
    let mut r2 = lab.host("r2")?.start(Daemon::Keepalived, &slow()[1])?;
    wait_for(ms(3_000), || (r2.keepalived_state() == "BACKUP").then_some(()))
        .context("keepalived is not BACKUP")?;
    let quiet = Quiet::new(lab)?;
    let before = r2.log().len();
    quiet.exec()?;
    quiet.leave_and_start(&mut r1, &config)?;
    if fast {
        let begin = Moment::now();
        r1.running.signal(Signal::SIGKILL)?;
        ensure!(wait_for_end(&mut r1.running)?, "r1 does not end");
        r1 = Router::start(lab, "r1", &config)?;
        quiet.undisturbed("crash and start", begin)?;
    }
    ensure!(r1.log().contains("is still MASTER"), "the role does not go on:\n{}", r1.log());
    r2.check_alive()?;
    let log = r2.log();
    let said = log.get(before..).unwrap_or_default();
    ensure!(said.trim().is_empty(), "keepalived noticed:\n{said}");
    Ok(())
}

/// Nothing of r1 is left in the kernel but the addresses: the role goes on by what the run before wrote down. The peer
/// with XDP probes, and is told that there will be no answers for a while.
fn restarts_without_xdp(lab: &Lab, peer: Daemon) -> Result<()> {
    let config = format!("global_defs {{\n    xdp_mode off\n}}\n{}", files()[0]);
    let mut r1 = Router::start(lab, "r1", &config)?;
    r1.says("-> MASTER", ms(5_000))?;
    let r2 = lab.host("r2")?.start(peer, files()[1])?;
    let ready = || match peer {
        Daemon::Keepalived => r2.keepalived_state() == "BACKUP",
        _ => r2.log().contains("answers probes"),
    };
    wait_for(ms(5_000), || ready().then_some(())).context("r2 does not follow r1")?;
    let quiet = Quiet { announces: true, ..Quiet::new(lab)? };
    std::thread::sleep(ms(200));
    let before = r2.log().len();
    quiet.exec()?;
    quiet.leave_and_start(&mut r1, &config)?;
    quiet.exec()?;
    ensure!(r1.log().contains("is still MASTER"), "the role does not go on:\n{}", r1.log());
    ensure!(lab.host("r1")?.read("/run/xvrrp/restart").is_err(), "the file is still there");
    let log = r2.log();
    let said = log.get(before..).unwrap_or_default();
    ensure!(!said.contains("MASTER") && !said.contains("unreachable"), "r2 noticed:\n{said}");

    // A crash is no restart: nobody knows what has happened meanwhile.
    r1.running.signal(Signal::SIGKILL)?;
    ensure!(wait_for_end(&mut r1.running)?, "r1 does not end");
    let r1 = Router::start(lab, "r1", &config)?;
    r1.says("left by an earlier run", ms(3_000))?;
    Ok(())
}

/// A processor takes longer for the verifier than the shortest restart window, and ten times as long as the peer is
/// patient by the RFC's timers. The window follows the start, and somebody advertises meanwhile.
fn slow_restart(lab: &Lab, peer: Daemon) -> Result<()> {
    let host = lab.host("r1")?;
    let _r1 = host.start_in(Daemon::Xvrrp, files()[0], &[], &[("XVRRP_TEST_SLOW_LOADING", "3500")])?;
    until(host, "VI_1", "MASTER", ms(10_000))?;
    let r2 = lab.host("r2")?.start(peer, files()[1])?;
    let ready = || match peer {
        Daemon::Keepalived => r2.keepalived_state() == "BACKUP",
        _ => r2.log().contains("answers probes"),
    };
    wait_for(ms(5_000), || ready().then_some(())).context("r2 does not follow r1")?;
    let quiet = Quiet::new(lab)?;
    std::thread::sleep(ms(200));
    let begin = Moment::now();
    let output = xvrrp(host, &["restart", "--run-dir", RUN_DIR])?;
    ensure!(output.status.success(), "restart: {}", stderr(&output));
    wait_for(ms(20_000), || {
        host.read("/run/lab/xvrrp.log").is_ok_and(|log| log.contains("is still MASTER")).then_some(())
    })
    .context("r1 does not go on with its role")?;
    println!("resumed after {:.0} ms", Moment::now().ms_after(begin));
    quiet.undisturbed("slow restart", begin)
}
