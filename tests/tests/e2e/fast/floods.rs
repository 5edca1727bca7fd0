//! Floods of VRRP frames beside probes: nothing changes hands, the master's death is still noticed, and the daemons
//! take a small part of what the senders take.
//!
//! Each lasts 2 s, or `XVRRP_FLOOD_SECONDS`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_common::packet::Endpoints;
use ha_common::types::MULTICAST_V4;
use ha_tests::lab::{Change, Daemon, Flood, Lab, Moment, Usage};

use super::cluster::{PING, Router, outage, stream};
use crate::harness::Test;
use crate::hostile::frames::{Genuine, Packet};
use crate::hostile::{BACKUP, MASTER};
use crate::pair::{VIP, ms};
use crate::punctual::within;

/// What is asked of the senders, to both routers together; the machine gives what it can.
const PER_SECOND: u64 = 150_000;
/// Less would be no flood: ten times the most that the program hands up of one virtual router, which is
/// 48 frames in 100 ms.
const FLOOD: f64 = 4_800.0;
/// What a daemon may use of the processor time that the senders use, beside what it uses without a flood.
const SHARE: f64 = 0.1;

pub(super) fn tests() -> Vec<Test> {
    vec![Test::new("fast::floods", floods).needs([Daemon::Xvrrp]).timing()]
}

fn floods(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let r1 = Router::start(lab, "r1", MASTER)?;
    r1.says("-> MASTER", ms(6_000))?;
    let r2 = Router::start(lab, "r2", BACKUP)?;
    r2.probes()?;
    let begin = Moment::now();
    let usage = || -> Result<[Usage; 2]> { Ok([r1.running.usage()?, r2.running.usage()?]) };
    let percent =
        |before: &[Usage; 2], after: &[Usage; 2]| [0, 1].map(|at| after[at].percent_since(&before[at]));
    let before = usage()?;
    std::thread::sleep(length());
    let calm = percent(&before, &usage()?);
    for (name, frames) in kinds(lab)? {
        let before = usage()?;
        let start = Moment::now();
        let floods = [start_flood(lab, "r1", &frames)?, start_flood(lab, "r2", &frames)?];
        std::thread::sleep(length());
        let (used, seconds) = (percent(&before, &usage()?), Moment::now().since(start).as_secs_f64());
        let rate = floods.iter().map(Flood::sent).sum::<u64>() as f64 / seconds;
        let senders = floods.iter().map(Flood::cpu).sum::<Duration>().as_secs_f64() / seconds * 100.0;
        drop(floods);
        println!(
            "{name}: {rate:.0} frames a second; of a processor, the senders use {senders:.2} %, the master {:.2} % \
             ({:.2} % before), the backup {:.2} % ({:.2} %)",
            used[0], calm[0], used[1], calm[1]
        );
        ensure!(rate > FLOOD, "{name}: only {rate:.0} frames a second");
        for (at, router) in ["master", "backup"].into_iter().enumerate() {
            let more = used[at] - calm[at];
            ensure!(
                more <= SHARE * senders,
                "{name}: the {router} uses {more:.2} % more, the senders {senders:.2} %"
            );
        }
        let status = lab.host("r2")?.xvrrp_status()?;
        let peer = status.interfaces.iter().flat_map(|i| &i.peers).next().context("r2 knows no peer")?;
        ensure!(peer.fast && peer.verdicts == 0, "{name}: {peer:?}");
    }
    let moved = |change: &Change| matches!(change, Change::Added(ip) | Change::Removed(ip) if *ip == VIP);
    let moves: Vec<_> =
        addresses.history().into_iter().filter(|entry| entry.at > begin && moved(&entry.change)).collect();
    ensure!(moves.is_empty(), "the address moved: {moves:?}");

    // The master dies in the worst of them.
    let (name, frames) = kinds(lab)?.pop().context("no flood")?;
    let pinger = stream(lab, PING)?;
    let flood = start_flood(lab, "r2", &frames)?;
    std::thread::sleep(ms(300));
    let died = Moment::now();
    lab.switch().silence("r1")?;
    let outage = outage(&pinger, died, ms(3_000)).context("the client noticed nothing")?;
    drop(flood);
    outage.print(&format!("death of the master during {name}"));
    // An interval of the tutorial's files.
    let start = outage.gap.start;
    within("the client is served again", start, start.plus(outage.length), ms(1_000)).map(drop)
}

fn start_flood(lab: &Lab, victim: &str, frames: &[Vec<u8>]) -> Result<Flood> {
    lab.switch().injector(victim)?.flood(frames.to_vec(), PER_SECOND / 2)
}

fn length() -> Duration {
    let seconds = std::env::var("XVRRP_FLOOD_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}

/// A name, and frames to be sent in turn.
type Kind = (&'static str, Vec<Vec<u8>>);

/// Frames of a neighbour that are the master's but for what the name says.
fn kinds(lab: &Lab) -> Result<Vec<Kind>> {
    let (r1, r2) = (lab.host("r1")?.spec(), lab.host("r2")?.spec());
    let IpAddr::V6(link_local) = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x77]) else { unreachable!() };
    let genuine = Genuine::new(r1, r2, link_local, 101)?.v2;
    let stranger = Packet {
        source_mac: [2, 0, 0, 0, 0, 0x77],
        endpoints: Endpoints::V4 { source: Ipv4Addr::new(172, 16, 1, 0x77), destination: MULTICAST_V4 },
        ..genuine.clone()
    };
    let mut bad_checksum = stranger.clone();
    bad_checksum.pdu[7] ^= 1;
    let low_ttl = Packet { ttl: 64, ..stranger.clone() };
    let unknown = (100..200).map(|vrid| stranger.content(|pdu| pdu[1] = vrid).bytes()).collect();
    Ok(vec![
        ("a flood of unknown VRIDs", unknown),
        ("a flood of wrong checksums", vec![bad_checksum.bytes()]),
        ("a flood of TTL 64", vec![low_ttl.bytes()]),
        ("a flood of valid adverts of priority 1", vec![stranger.content(|pdu| pdu[2] = 1).bytes()]),
    ])
}
