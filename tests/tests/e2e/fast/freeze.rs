//! Frozen daemons: another one takes over when the lease has run out, and the frozen one never knows better.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment};

use super::cluster::{PING, answered, backup_again, files, outage, pair, stream, summary};
use crate::harness::Test;
use crate::pair::{INTERVAL, VIP, adverts, garps, held_by, ms};
use crate::punctual::within;

/// How often.
const FREEZES: usize = 3;
/// `fast_lease`.
const LEASE: Duration = ms(100);

pub(super) fn tests() -> Vec<Test> {
    vec![Test::new("fast::s39_frozen_daemon", frozen).needs([Daemon::Xvrrp]).timing()]
}

/// After the thaw the former master steps down before it says anything, and becomes master again by the RFC's rules.
fn frozen(lab: &Lab) -> Result<()> {
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let [r1, r2] = pair(lab, files())?;
    let census = lab.arp_census("client", VIP, ms(1))?;
    let pinger = stream(lab, PING)?;
    let (begin, mut gaps, mut preemptions) = (Moment::now(), Vec::new(), Vec::new());
    for round in 1..=FREEZES {
        backup_again(&r2, round)?;
        answered(&pinger)?;
        let froze = Moment::now();
        r1.running.freeze()?;
        let outage = outage(&pinger, froze, ms(2_000)).context("nobody took over")?;
        let until = outage.gap.end.context("no end")?;
        outage.print(&format!("SIGSTOP, served by r2 after {:.1} ms", until.ms_after(froze)));
        // The RFC's timers are up two and a half intervals later at the earliest.
        within("served by r2 after SIGSTOP", froze, until, LEASE + INTERVAL)?;
        gaps.push(outage.length);
        std::thread::sleep(ms(300));
        let thawed = Moment::now();
        r1.running.thaw()?;
        held_by(&addresses, VIP, &["r2"], ms(200)).context("r1 does not let go")?;
        let left = addresses
            .first("r1", ha_tests::lab::Change::Removed(IpAddr::V4(VIP)), thawed)
            .context("r1 did not remove the address")?;
        held_by(&addresses, VIP, &["r1"], ms(3_000)).context("r1 is not master again")?;
        let again = addresses
            .first("r1", ha_tests::lab::Change::Added(IpAddr::V4(VIP)), left)
            .context("r1 did not add the address")?;
        let claimed = adverts(&wire, "r1", 25, left).first().context("no advert of r1")?.at;
        let yielded = addresses
            .first("r2", ha_tests::lab::Change::Removed(IpAddr::V4(VIP)), claimed)
            .context("r2 did not remove the address")?;
        preemptions.push((claimed, yielded));
        println!(
            "SIGCONT: address left after {:.1} ms, back after {:.1} ms",
            left.ms_after(thawed),
            again.ms_after(thawed)
        );
        // The netlink witness may be told a moment late; the first advert comes before the address.
        let said = adverts(&wire, "r1", 25, thawed);
        let early: Vec<_> = said.iter().filter(|a| a.at < left.plus(ms(200)) && a.priority != 0).collect();
        ensure!(early.is_empty(), "r1 advertises after the thaw: {early:?}");
        let early: Vec<_> =
            garps(&wire, "r1", VIP, thawed).into_iter().filter(|(at, _)| *at < left.plus(ms(200))).collect();
        ensure!(early.is_empty(), "r1 announces the address after the thaw: {early:?}");
        let answers: Vec<_> = census
            .samples()
            .into_iter()
            .filter(|s| s.asked >= froze.plus(ms(150)) && s.asked < left.plus(ms(200)))
            .filter(|s| s.answers.iter().any(|who| who == "r1"))
            .collect();
        ensure!(answers.is_empty(), "r1 answers for the address while it is r2's: {answers:?}");
    }
    // Of two that live, both answer for as long as the advert of the one needs to the main loop of the other.
    let preempts = |at: Moment| preemptions.iter().any(|(from, to)| at.plus(ms(1)) >= *from && at <= *to);
    let mut doubles = census.double_answers(begin);
    doubles.retain(|sample| !preempts(sample.asked));
    ensure!(
        doubles.is_empty(),
        "{} questions with two answers, such as {:?}; preemptions {preemptions:?}",
        doubles.len(),
        doubles[0]
    );
    let (least, median, most) = summary(&gaps);
    println!(
        "client gap after SIGSTOP: {least:.2} / {median:.2} / {most:.2} ms (min, median, max of {FREEZES})"
    );
    Ok(())
}
