//! A master's daemon that dies or freezes beside a stock keepalived, which does not probe; and the death of a
//! lower-priority master that another router waits to preempt.

use anyhow::{Context, Result, ensure};
use ha_common::arp::{self, Form};
use ha_tests::lab::{ArpCensus, Daemon, Lab, Moment, Running, wait_for};

use super::cluster::{PING, Router, answered, files, outage, pair, stream};
use crate::harness::Test;
use crate::hostile::frames::{Genuine, V3};
use crate::pair::{Conf, VIP, VIP2, garps, held_by, ms};
use crate::punctual::within;

const MASTER: &str = include_str!("../../../inputs/two-node/master.conf");
const BACKUP: &str = include_str!("../../../inputs/two-node/backup.conf");

pub(super) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("fast::{name}"), body).needs([Daemon::Xvrrp])
    };
    vec![
        new("s39_killed_beside_keepalived", killed).needs([Daemon::Xvrrp, Daemon::Keepalived]).long(),
        new("s39_frozen_beside_keepalived", frozen).needs([Daemon::Xvrrp, Daemon::Keepalived]).long(),
        new("ignored_master_dies", ignored).timing(),
        new("s43_claimed_while_nobody_listened", unheard),
    ]
}

/// The tutorial's files: xvrrp is master, keepalived its backup.
fn beside_keepalived(lab: &Lab) -> Result<(Router, Running)> {
    let r1 = Router::start(lab, "r1", MASTER)?;
    r1.says("-> MASTER", ms(8_000))?;
    let r2 = lab.host("r2")?.start(Daemon::Keepalived, BACKUP)?;
    wait_for(ms(3_000), || (r2.keepalived_state() == "BACKUP").then_some(())).context("r2 is not BACKUP")?;
    Ok((r1, r2))
}

/// Who answered when: never two, r1 until keepalived's first advert, nobody but r2 after its first answer.
fn one_after_the_other(census: &ArpCensus, begin: Moment, what: &str) -> Result<()> {
    let doubles = census.double_answers(begin);
    ensure!(doubles.is_empty(), "{} questions with two answers, such as {:?}", doubles.len(), doubles[0]);
    let samples = census.samples();
    let by = |host: &str| {
        let host = host.to_owned();
        samples
            .iter()
            .filter(|s| s.asked >= begin)
            .filter(move |s| s.answers.contains(&host))
            .collect::<Vec<_>>()
    };
    let (first, second) = (by("r1"), by("r2"));
    let last = first.last().context("r1 does not answer")?.asked;
    let next = second.first().context("r2 does not answer")?.asked;
    println!(
        "{what}: {} questions answered by r1, the last after {:.0} ms, {} by r2, the first after {:.0} ms",
        first.len(),
        last.ms_after(begin),
        second.len(),
        next.ms_after(begin)
    );
    ensure!(last < next, "r1 answers after r2");
    ensure!(last.since(begin) > ms(2_000), "r1 is not served until somebody takes over");
    Ok(())
}

fn killed(lab: &Lab) -> Result<()> {
    let (mut r1, _r2) = beside_keepalived(lab)?;
    let addresses = lab.watch_addresses()?;
    let census = lab.arp_census("client", VIP, ms(1))?;
    let begin = Moment::now();
    r1.running.kill9()?;
    held_by(&addresses, VIP, &["r1", "r2"], ms(6_000))?;
    // Nobody probes, at any time.
    std::thread::sleep(ms(2_000));
    one_after_the_other(&census, begin, "kill -9")
}

fn frozen(lab: &Lab) -> Result<()> {
    let (r1, _r2) = beside_keepalived(lab)?;
    let addresses = lab.watch_addresses()?;
    let census = lab.arp_census("client", VIP, ms(1))?;
    let begin = Moment::now();
    r1.running.freeze()?;
    held_by(&addresses, VIP, &["r1", "r2"], ms(6_000))?;
    std::thread::sleep(ms(2_000));
    let thawed = Moment::now();
    r1.running.thaw()?;
    held_by(&addresses, VIP, &["r2"], ms(500)).context("r1 does not let go")?;
    r1.says("another router has taken over", ms(500))?;
    // Shorter than it waits to preempt.
    std::thread::sleep(ms(1_000));
    one_after_the_other(&census, begin, "SIGSTOP and SIGCONT")?;
    let silent = census.samples().into_iter().filter(|s| s.asked >= thawed && s.answers.is_empty()).count();
    println!("{silent} questions without an answer since SIGCONT");
    Ok(())
}

/// r1 has come back and waits to preempt r2; then r2's host dies.
fn ignored(lab: &Lab) -> Result<()> {
    let slow = files().map(|text| text.replace("advert_int 0.1", "advert_int 1"));
    ensure!(slow[0].contains("advert_int 1\n"), "another interval than expected: {}", slow[0]);
    let [mut r1, _r2] = pair(lab, [&slow[0], &slow[1]])?;
    let pinger = stream(lab, PING)?;
    r1.running.stop()?;
    answered(&pinger)?;
    let r1 = Router::start(lab, "r1", &slow[0])?;
    r1.says("172.16.1.2 answers probes", ms(3_000))?;
    std::thread::sleep(ms(200));
    ensure!(!r1.log().contains("-> MASTER"), "r1 did not wait");
    answered(&pinger)?;
    let died = Moment::now();
    lab.switch().silence("r2")?;
    let outage = outage(&pinger, died, ms(6_000)).context("nobody took over")?;
    outage.print("death of a master that was to be preempted");
    let start = outage.gap.start;
    within("the client is served again within an interval", start, start.plus(outage.length), ms(1_000))
        .map(drop)
}

/// Another router claims the address while r1's daemon stands still and its lease still runs, and lets go again. Nobody
/// judged its advert. The next run goes on with the role, and tells the client where the address is.
fn unheard(lab: &Lab) -> Result<()> {
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let config = Conf::new(101).named("VI_3", V3).every("1").vips([VIP2]).text();
    let mut r1 = Router::start(lab, "r1", &config)?;
    held_by(&addresses, VIP2, &["r1"], ms(8_000))?;
    let client = lab.host("client")?;
    let knows = |mac: &str| {
        let neighbour = client.output(&["ip", "neigh", "show", &VIP2.to_string()])?;
        anyhow::Ok(neighbour.contains(mac))
    };
    client.output(&["ping", "-c", "1", "-W", "2", &VIP2.to_string()])?;
    ensure!(knows("02:00:00:00:00:01")?, "the client does not know the address of r1");
    // Bursts of its own start are over.
    std::thread::sleep(ms(5_500));

    let (one, two) = (lab.host("r1")?.spec(), lab.host("r2")?.spec());
    let claim = Genuine::new(two, one, "fe80::2".parse()?, 50)?.v3.bytes();
    let (to_router, to_client) = (lab.switch().injector("r1")?, lab.switch().injector("client")?);
    r1.running.freeze()?;
    to_router.send(&claim)?;
    for form in [Form::Request, Form::Reply] {
        to_client.send(&arp::gratuitous(form, two.mac, VIP2))?;
    }
    std::thread::sleep(ms(20));
    r1.running.kill9()?;
    ensure!(knows("02:00:00:00:00:02")?, "the client has not learned the other address");
    let again = Moment::now();
    let r1 = Router::start(lab, "r1", &config)?;
    r1.says("is still MASTER", ms(5_000))?;
    wait_for(ms(3_000), || (!garps(&wire, "r1", VIP2, again).is_empty()).then_some(()))
        .context("r1 does not announce its address")?;
    wait_for(ms(1_000), || knows("02:00:00:00:00:01").ok()?.then_some(()))
        .context("the client still believes the other router")?;
    ensure!(!r1.log().contains("-> BACKUP"), "r1 left its role:\n{}", r1.log());
    Ok(())
}
