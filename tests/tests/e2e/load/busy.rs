//! A hundred virtual routers at 10 ms beside a hog on every core.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ha_tests::lab::{Daemon, Lab, wait_for};

use super::meter::{Hogs, Spent, Usage};
use super::routers::{Routers, States, pair};
use crate::harness::Test;

const MASTER: Routers = Routers { count: 100, interval: "0.01", priority: 200, xdp: None };
const BACKUP: Routers = Routers { priority: 100, ..MASTER };

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    if std::env::var_os("XVRRP_COMPARE").is_some() {
        tests.push(
            Test::new("load::keepalived_100_at_10ms_beside_hogs", keepalived).needs([Daemon::Keepalived]),
        );
        tests.push(Test::new("load::s41_100_at_10ms_through_sockets", sockets).needs([Daemon::XvrrpRfc]));
    }
    tests.push(Test::new("load::s41_100_at_10ms_beside_hogs", xdp).needs([Daemon::XvrrpRfc]));
    tests.into_iter().map(|test| test.needs_tool("tcpdump").timing()).collect()
}

fn xdp(lab: &Lab) -> Result<()> {
    let seconds = std::env::var("XVRRP_LOAD_SECONDS").ok().and_then(|text| text.parse().ok());
    let Outcome { spent: [master, backup], received, seconds, .. } =
        beside_hogs(lab, None, seconds.unwrap_or(10))?;
    // Most adverts wake nobody, and to hear them is nothing compared with sending them.
    let each = backup.wakeups() * seconds as f64 / received as f64;
    ensure!(each < 0.01, "the backup woke up {each:.4} times for each of {received} adverts: {backup}");
    ensure!(backup.percent() < master.percent() / 5.0, "the backup used {backup}; the master {master}");
    Ok(())
}

/// What it costs without XDP, where every advert wakes the backup.
fn sockets(lab: &Lab) -> Result<()> {
    beside_hogs(lab, Some("off"), 18).map(drop)
}

/// What master and backup use; an error if either changes state.
///
/// A virtual machine may itself stand still for half a second on one of its cores. A backup that takes over from a
/// master that ran there is right, so such an attempt is worth nothing and is repeated.
fn beside_hogs(lab: &Lab, xdp: Option<&'static str>, seconds: u64) -> Result<Outcome> {
    for attempt in 1..=ATTEMPTS {
        let outcome = attempt_beside_hogs(lab, xdp, seconds)?;
        match outcome.changed {
            None => return Ok(Outcome { changed: None, ..outcome }),
            Some(change) if outcome.silence < INTERVAL * 3 || attempt == ATTEMPTS => {
                return Err(
                    change.context(format!("the master was silent for {:?} at most", outcome.silence))
                );
            }
            Some(_) => println!("once more: the machine kept the master silent for {:?}", outcome.silence),
        }
    }
    bail!("no attempt")
}

const ATTEMPTS: u32 = 3;
const INTERVAL: Duration = Duration::from_millis(10);

struct Outcome {
    spent: [Spent; 2],
    /// Who was in a wrong state, at any time.
    changed: Option<anyhow::Error>,
    /// Longest time without an advert of VRID 1, as the client saw it.
    silence: Duration,
    /// Adverts that the backup accepted in so many seconds.
    received: u64,
    seconds: u64,
}

fn attempt_beside_hogs(lab: &Lab, xdp: Option<&'static str>, seconds: u64) -> Result<Outcome> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    // The client sees whatever the backup sends, and the master's adverts of VRID 1.
    let filter = "ip proto 112 and (src host 172.16.1.2 or (src host 172.16.1.1 and ip[21] = 1))";
    let capture = lab.host("client")?.capture(filter, false)?;
    let [mut master, mut backup] = pair(lab, &MASTER.config(), &Routers { xdp, ..BACKUP }.config())?;
    std::thread::sleep(Duration::from_secs(2));
    let before = [States::read(r1)?, States::read(r2)?];
    let hogs = Hogs::start()?;
    let usage = [Usage::of(master.pid())?, Usage::of(backup.pid())?];
    std::thread::sleep(Duration::from_secs(seconds));
    let spent = [usage[0].spent(master.pid())?, usage[1].spent(backup.pid())?];
    drop(hogs);
    let (seen, after) = (capture.stop()?, [States::read(r1)?, States::read(r2)?]);
    let sent = after[0].adverts_sent() - before[0].adverts_sent();
    let received = after[1].adverts_received() - before[1].adverts_received();
    let silence = longest_silence(&seen).context("the client has seen no adverts")?;
    println!(
        "xvrrp, 100 virtual routers at 10 ms beside hogs, {seconds} s, xdp_mode {}",
        xdp.unwrap_or("auto")
    );
    println!("  master: {}, {sent} adverts sent", spent[0]);
    println!("  backup: {}, {received} adverts received", spent[1]);
    println!("  the client saw VRID 1 silent for at most {:.1} ms", silence.as_secs_f64() * 1e3);
    master.check_alive()?;
    backup.check_alive()?;
    ensure!(after[0].all("MASTER") && after[0].times_master() == 100, "the master changed state");
    let changed = after[1].never_master().err();
    ensure!(changed.is_some() || !seen.contains("172.16.1.2 >"), "the backup sent adverts:\n{seen}");
    // A master that sends no adverts would make the rest cheap.
    let due = 10_000 * seconds;
    ensure!(changed.is_some() || sent > due / 2, "only {sent} of {due} adverts in {seconds} s");
    backup.stop()?;
    master.stop()?;
    Ok(Outcome { spent, changed, silence, received, seconds })
}

/// Longest time between two packets of r1 that tcpdump printed.
fn longest_silence(text: &str) -> Option<Duration> {
    let own = text.lines().filter(|line| line.contains(" 02:00:00:00:00:01 > "));
    let times: Vec<Duration> = own.filter_map(time_of_day).collect();
    // Midnight is no silence.
    times.windows(2).filter_map(|pair| pair[1].checked_sub(pair[0])).max()
}

/// `HH:MM:SS.ffffff` at the start of a line.
fn time_of_day(line: &str) -> Option<Duration> {
    let mut parts = line.split_whitespace().next()?.splitn(3, ':');
    let (hours, minutes): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds: f64 = parts.next()?.parse().ok()?;
    Some(Duration::from_secs(hours * 3600 + minutes * 60) + Duration::try_from_secs_f64(seconds).ok()?)
}

/// The same with keepalived for a shorter time, for comparison; nothing is demanded of it.
fn keepalived(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let master = r1.start(Daemon::Keepalived, &MASTER.config())?;
    let entered = |log: String| log.matches("Entering MASTER STATE").count();
    wait_for(Duration::from_secs(20), || (entered(master.log()) == 100).then_some(()))
        .context("no master")?;
    let backup = r2.start(Daemon::Keepalived, &BACKUP.config())?;
    std::thread::sleep(Duration::from_secs(4));
    let before = backup.log().matches(" STATE").count();
    let hogs = Hogs::start()?;
    let usage = [Usage::of(master.pid())?, Usage::of(backup.pid())?];
    std::thread::sleep(Duration::from_secs(18));
    let spent = [usage[0].spent(master.pid())?, usage[1].spent(backup.pid())?];
    drop(hogs);
    println!("keepalived, 100 virtual routers at 10 ms beside hogs, 18 s");
    println!("  master: {}", spent[0]);
    println!("  backup: {}, {} changes of state", spent[1], backup.log().matches(" STATE").count() - before);
    Ok(())
}
