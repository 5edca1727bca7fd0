//! Death of the master's host, and of its daemon alone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Direction, Frame, Lab, Moment, Sighting, Topology, wait_for};

use super::cluster::{Outage, PING, Router, answered, backup_again, files, outage, pair, stream, summary};
use crate::harness::Test;
use crate::pair::{INTERVAL, VIP, held_by, ms};
use crate::punctual::{allowance, within};

const MASTER: &str = include_str!("../../../inputs/two-node/master.conf");
const BACKUP: &str = include_str!("../../../inputs/two-node/backup.conf");
const MASTER_UNICAST: &str = include_str!("../../../inputs/two-node/master-unicast.conf");
const BACKUP_UNICAST: &str = include_str!("../../../inputs/two-node/backup-unicast.conf");

/// Each must be noticed by probes; docs/benchmarks.md has how soon.
const DEATHS: usize = 3;

pub(super) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| Test::new(format!("fast::{name}"), body);
    vec![
        new("multicast_host_death", |_| host_deaths([MASTER, BACKUP])),
        new("unicast_host_death", |_| host_deaths([MASTER_UNICAST, BACKUP_UNICAST])),
        new("virtual_mac_host_death", |_| {
            let files = [MASTER, BACKUP].map(virtual_mac);
            host_deaths([&files[0], &files[1]])
        }),
        new("virtual_mac_killed_daemon", virtual_mac_killed),
        new("s39_killed_daemon", killed),
    ]
    .into_iter()
    .map(|test| test.needs([Daemon::Xvrrp]).timing())
    .collect()
}

/// A lab with its daemons, which end before it does.
struct Started {
    routers: [Router; 2],
    lab: Lab,
}

/// The tutorial's files, verbatim. Each measurement has a lab of its own; they are started one after the other, and
/// by the time that a master of the RFC's timers is there, it is its turn to die.
fn host_deaths(files: [&str; 2]) -> Result<()> {
    let mut started = Vec::new();
    for _ in 0..DEATHS {
        let lab = Lab::new(Topology::two_node())?;
        let routers = [Router::start(&lab, "r1", files[0])?, Router::start(&lab, "r2", files[1])?];
        started.push(Started { routers, lab });
        std::thread::sleep(ms(400));
    }
    let mut gaps = Vec::new();
    for Started { routers, lab } in &started {
        gaps.push(host_death(lab, routers).with_context(|| lab.dossier())?);
    }
    // Less than an interval of the tutorial's files.
    judge("host death", &gaps, ms(1_000))
}

fn host_death(lab: &Lab, routers: &[Router; 2]) -> Result<Outage> {
    routers[1].probes()?;
    let pinger = stream(lab, PING)?;
    let died = Moment::now();
    lab.switch().silence("r1")?;
    let outage = outage(&pinger, died, ms(6_000)).context("nobody took over")?;
    outage.print("host death");
    Ok(outage)
}

/// Adverts tell nobody anything within an interval: whoever takes over sooner has asked.
fn judge(what: &str, gaps: &[Outage], interval: Duration) -> Result<()> {
    let (least, median, most) = summary(&gaps.iter().map(|gap| gap.length).collect::<Vec<_>>());
    println!(
        "client gap after {what}: {least:.2} / {median:.2} / {most:.2} ms (min, median, max of {})",
        gaps.len()
    );
    for Outage { gap, length, .. } in gaps {
        within(&format!("the gap after {what}"), gap.start, gap.start.plus(*length), interval)?;
    }
    Ok(())
}

/// The file with `use_vmac`.
fn virtual_mac(file: &str) -> String {
    file.replacen("virtual_ipaddress {", "use_vmac\n    virtual_ipaddress {", 1)
}

/// With one MAC address for both, the killed one's fence is closed by the probes that go to its own.
fn virtual_mac_killed(lab: &Lab) -> Result<()> {
    let files = files().map(virtual_mac);
    let [mut r1, r2] = pair(lab, [&files[0], &files[1]])?;
    let (pinger, census) = (stream(lab, PING)?, lab.arp_census("client", VIP, ms(5))?);
    let wire = lab.switch().watch_probes()?;
    let died = Moment::now();
    r1.running.kill9()?;
    let gap = outage(&pinger, died, ms(2_000)).context("nobody took over")?;
    gap.print("kill -9");
    // Longer than its fence stays closed without probes.
    std::thread::sleep(ms(2_000));
    let late = Moment::now();
    std::thread::sleep(ms(500));
    // The switch brings what is for the virtual MAC address to r2 by now.
    let probe = |seen: &Sighting| matches!(seen.frame, Frame::OtherVrrp { .. });
    let reaches = |seen: &Sighting| seen.host == "r1" && seen.direction == Direction::Delivered;
    let probes = wire.filter(|seen| seen.at > late && reaches(seen) && probe(seen)).len();
    println!("{probes} probes reach the killed router in half a second");
    ensure!(probes > 0, "no probe reaches the killed router");
    let (end, now) = (gap.gap.end.context("no end")?, Moment::now());
    let later = pinger.report().lost_between(end, now);
    let more = allowance(end, now).as_nanos() / PING.as_nanos();
    ensure!(later as u128 <= 20 + more, "{later} packets lost after the takeover: both answer");
    // Their answers look alike, but a question has one only.
    let doubles: Vec<_> = census.samples().into_iter().filter(|sample| sample.answers.len() > 1).collect();
    ensure!(doubles.is_empty(), "questions with two answers, killed at {died}: {doubles:?}");
    r2.says("-> MASTER", ms(100))?;
    judge("kill -9 with a virtual MAC address", &[gap], INTERVAL)
}

/// The master's daemon is killed, again and again. Nobody else answers ARP at any moment; the killed one comes back
/// as backup without the address, and preempts as usual.
fn killed(lab: &Lab) -> Result<()> {
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let [mut r1, r2] = pair(lab, files())?;
    let census = lab.arp_census("client", VIP, ms(1))?;
    let pinger = stream(lab, PING)?;
    let begin = Moment::now();
    let (mut gaps, mut dead) = (Vec::new(), Vec::new());
    while gaps.len() < DEATHS {
        backup_again(&r2, gaps.len() + 1)?;
        answered(&pinger)?;
        let died = Moment::now();
        r1.running.kill9()?;
        let outage = outage(&pinger, died, ms(2_000)).context("nobody took over")?;
        outage.print("kill -9");
        gaps.push(outage);
        // Both have the address now; the fence makes the dead one's a matter of its own.
        held_by(&addresses, VIP, &["r1", "r2"], ms(200))?;
        let back = Moment::now();
        r1 = Router::start(lab, "r1", files()[0])?;
        r1.says("left by an earlier run", ms(3_000))?;
        held_by(&addresses, VIP, &["r2"], ms(500))?;
        dead.push((died, Moment::now()));
        held_by(&addresses, VIP, &["r1"], ms(3_000))?;
        ensure!(
            !r1.log().contains("is still MASTER"),
            "the killed daemon claims its old role:\n{}",
            r1.log()
        );
        let lost = pinger.report().lost_between(back, Moment::now());
        println!("return and failback: {lost} packets of {PING:?} lost");
    }
    std::thread::sleep(ms(200));
    let doubles = census.double_answers(begin);
    // A failback is VRRP's: both answer for as long as the old master needs to hear the new one's advert.
    let (wrong, failback): (Vec<_>, Vec<_>) = doubles
        .iter()
        .partition(|sample| dead.iter().any(|(died, back)| (*died..=*back).contains(&sample.asked)));
    ensure!(wrong.is_empty(), "{} questions with two answers, such as {:?}", wrong.len(), wrong[0]);
    let more: Duration = dead.iter().map(|(died, back)| allowance(*died, *back)).sum();
    ensure!(
        failback.len() as u128 <= dead.len() as u128 + more.as_millis(),
        "two answer for long in a failback: {failback:?}"
    );
    let (asked, silent) =
        (census.samples().len(), census.samples().iter().filter(|s| s.answers.is_empty()).count());
    println!(
        "{asked} ARP questions, {silent} without an answer, {} with two in {} failbacks",
        failback.len(),
        dead.len()
    );
    let heard = wait_for(ms(500), || wire.last_advert_from("r1", Moment::now()));
    ensure!(heard.is_some(), "r1 sends no adverts");
    judge("kill -9", &gaps, INTERVAL)
}
