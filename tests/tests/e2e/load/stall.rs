//! A backup that gets no CPU does not become master while the master's adverts arrive.
//!
//! A takeover is judged by the witness at the switch: it is wrong where the master was heard at the backup's port
//! within three intervals before. A virtual machine may itself stand still for half a second on one of its cores;
//! a master that runs there is silent, and taking over from it is right.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Direction, Frame, Lab, Moment, Running, Topology, Wire};
use nix::sys::signal::Signal;

use super::routers::{States, instance, reach};
use crate::harness::Test;
use crate::punctual::allowance;

/// Receives adverts through XDP, or from a socket.
const BACKUPS: [(&str, &str, &str); 2] = [("r2", "generic", "generic"), ("r3", "off", "raw-socket")];

/// The first ten virtual routers have an interval of 10 ms, the other ten of 1 s.
const FAST: u8 = 10;
const ALL: u8 = 20;
/// What a claim takes from the decision to the switch.
const ON_ITS_WAY: Duration = Duration::from_millis(1);

pub(crate) fn tests() -> Vec<Test> {
    let test = |name: &str, stall: Stall| {
        Test::new(name, move |lab: &Lab| stalled(lab, stall))
            .needs([Daemon::XvrrpRfc])
            .on(|| Topology::routers(3))
            .long()
    };
    vec![test("load::s41_stalls_of_50ms", often), test("load::s41_stall_of_10s", once)]
}

type Stall = fn(&[Running], &mut Judge<'_>) -> Result<()>;

fn config(mode: &str, priority: u8) -> String {
    let mut text = format!("global_defs {{\n    vrrp_version 3\n    xdp_mode {mode}\n}}\n");
    for vrid in 1..=ALL {
        text += &instance(vrid, if vrid <= FAST { "0.01" } else { "1" }, priority);
    }
    text
}

fn stalled(lab: &Lab, stall: Stall) -> Result<()> {
    let r1 = lab.host("r1")?;
    let mut master = r1.start(Daemon::XvrrpRfc, &config("auto", 200))?;
    reach(r1, "MASTER")?;
    let wire = lab.switch().watch()?;
    let mut backups = Vec::new();
    for (priority, (host, mode, _)) in (100..).zip(BACKUPS) {
        backups.push(lab.host(host)?.start(Daemon::XvrrpRfc, &config(mode, priority))?);
    }
    for (host, _, receives) in BACKUPS {
        reach(lab.host(host)?, "BACKUP")?;
        let states = States::read(lab.host(host)?)?;
        ensure!(
            states.instances.iter().all(|i| i.receive == receives),
            "{host} does not receive by {receives}"
        );
    }
    std::thread::sleep(Duration::from_millis(500));
    let (start, before) = (Moment::now(), States::read(r1)?.adverts_sent());
    let mut judge = Judge {
        wire: &wire,
        master: r1.spec().mac,
        from: Moment::from_boot(),
        claims: BTreeMap::new(),
        right: 0,
    };
    stall(&backups, &mut judge)?;
    // A wrong takeover would come within one master-down interval.
    std::thread::sleep(Duration::from_secs(4));
    judge.look()?;
    let (sent, took) = (States::read(r1)?.adverts_sent() - before, Moment::now().since(start).as_secs_f64());
    println!("{sent} adverts in {took:.1} s, {} takeovers from a silent master", judge.right);
    master.check_alive()?;
    ensure!(States::read(r1)?.times_master() == u64::from(ALL), "the master changed state");
    ensure!(sent as f64 > 0.5 * 1_010.0 * took, "{sent} adverts in {took:.1} s: that proves nothing");
    let mut times = 0;
    for ((host, _, _), backup) in BACKUPS.into_iter().zip(&mut backups) {
        backup.check_alive()?;
        let states = States::read(lab.host(host)?)?;
        times += states.times_master();
        if judge.right == 0 {
            states.never_master().context(host)?;
        }
    }
    ensure!(times <= judge.right, "{times} takeovers, and only {} of them from a silent master", judge.right);
    Ok(())
}

fn once(backups: &[Running], judge: &mut Judge<'_>) -> Result<()> {
    backups.iter().try_for_each(|backup| backup.signal(Signal::SIGSTOP))?;
    std::thread::sleep(Duration::from_secs(10));
    backups.iter().try_for_each(|backup| backup.signal(Signal::SIGCONT))?;
    std::thread::sleep(Duration::from_millis(500));
    judge.look()
}

/// 50 ms of every 200 ms, for a minute.
fn often(backups: &[Running], judge: &mut Judge<'_>) -> Result<()> {
    for n in 0..300 {
        backups.iter().try_for_each(|backup| backup.signal(Signal::SIGSTOP))?;
        std::thread::sleep(Duration::from_millis(50));
        backups.iter().try_for_each(|backup| backup.signal(Signal::SIGCONT))?;
        std::thread::sleep(Duration::from_millis(150));
        if n % 10 == 9 {
            judge.look()?;
        }
    }
    Ok(())
}

/// Looks at the adverts of backups.
struct Judge<'a> {
    wire: &'a Wire,
    master: [u8; 6],
    /// What was sent before has been judged.
    from: Moment,
    /// The latest advert of each backup and virtual router.
    claims: BTreeMap<(String, u8), Moment>,
    /// Takeovers from a silent master.
    right: u64,
}

impl Judge<'_> {
    /// An error for a takeover from a master that was heard.
    fn look(&mut self) -> Result<()> {
        let claims = self.wire.filter(|s| {
            s.at > self.from
                && s.source_mac != self.master
                && s.direction == Direction::Sent
                && advert(&s.frame).is_some()
        });
        for claim in claims {
            let Some(vrid) = advert(&claim.frame) else { continue };
            self.from = self.from.max(claim.at);
            let interval = Duration::from_millis(if vrid <= FAST { 10 } else { 1_000 });
            let previous = self.claims.insert((claim.host.clone(), vrid), claim.at);
            // It was master already, for all its stalls.
            if previous.is_some_and(|previous| claim.at.since(previous) < interval * 20) {
                continue;
            }
            // What came in while the claim was on its way came too late to keep it back.
            let on_its_way = ON_ITS_WAY + allowance(claim.at.minus(interval), claim.at);
            let heard = self.wire.last(|s| {
                claim.at.since(s.at) > on_its_way
                    && s.host == claim.host
                    && s.direction == Direction::Delivered
                    && s.source_mac == self.master
                    && advert(&s.frame) == Some(vrid)
            });
            let heard = heard.context("the master was never heard")?.at;
            let silence = claim.at.since(heard);
            ensure!(
                silence >= interval * 3,
                "{} became master of VRID {vrid} although it heard the master {silence:?} before",
                claim.host
            );
            self.right += 1;
        }
        Ok(())
    }
}

fn advert(frame: &Frame) -> Option<u8> {
    if let Frame::Advert { vrid, .. } = frame { Some(*vrid) } else { None }
}
