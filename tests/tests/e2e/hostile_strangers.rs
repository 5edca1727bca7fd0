//! Somebody on the link who speaks VRRP: what moves a role, and what it takes to be believed. docs/security.md has the
//! table.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Change, Daemon, Frame, Lab, Moment, wait_for};

use super::frames::{Genuine, V3};
use super::packets::Pair;
use super::{counters, ms, reach, sound, state};
use crate::harness::Test;

/// Address of the instance that has no authentication.
const VIP_V3: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 16, 1, 26));

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (word, mode) in [("generic", "generic"), ("sockets", "off")] {
        let mut add = |name: &str, body: fn(&Lab, &'static str) -> Result<()>| {
            let test = Test::new(format!("hostile::{name}_{word}"), move |lab| body(lab, mode));
            tests.push(test.needs([Daemon::XvrrpRfc]));
        };
        add("a_stranger_moves_a_role_that_has_no_password", open);
        add("who_knows_the_password_moves_the_role", password);
    }
    tests
}

/// What the client says in its own name, as good as the master: its address is the higher one.
fn rival(lab: &Lab) -> Result<Genuine> {
    let [client, r1] = [lab.host("client")?, lab.host("r1")?].map(|host| host.spec());
    Genuine::new(client, r1, "fe80::64".parse()?, 255)
}

fn open(lab: &Lab, mode: &'static str) -> Result<()> {
    let mut pair = Pair::start(lab, mode)?;
    let (r1, client) = (lab.host("r1")?, lab.host("client")?);
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);

    // Priority 0 in the master's name, just after an advert of its: the next one comes after the skew time.
    let resigned = pair.genuine.v3.content(|pdu| pdu[2] = 0);
    let started = Moment::now();
    let advert = || {
        let of_v3 = |frame: &Frame| matches!(frame, Frame::Advert { vrid: V3, .. });
        wire.first_since(started, |s| s.is_advert_from("r1") && of_v3(&s.frame))
    };
    wait_for(ms(3_000), advert).context("r1 does not advertise")?;
    lab.switch().injector("r2")?.send(&resigned.bytes())?;
    let taken = || addresses.first("r2", Change::Added(VIP_V3), started);
    wait_for(ms(3_000), taken).context("r2 does not believe the resignation")?;
    ensure!(state(r1, "VI_3") == "MASTER", "r1 has heard of it: {}", state(r1, "VI_3"));
    reach(lab.host("r2")?, "VI_3", "BACKUP", ms(3_000))?;

    client.injector()?.send(&rival(lab)?.v3.bytes())?;
    reach(r1, "VI_3", "BACKUP", ms(1_000))?;
    for other in ["VI_2", "VI_U", "VI_6"] {
        ensure!(state(r1, other) == "MASTER", "{other} is {}", state(r1, other));
    }
    sound(&mut pair.r1, 60)?;
    sound(&mut pair.r2, 60)
}

fn password(lab: &Lab, mode: &'static str) -> Result<()> {
    let mut pair = Pair::start(lab, mode)?;
    let (r1, client) = (lab.host("r1")?, lab.host("client")?);
    let (rival, injector) = (rival(lab)?, client.injector()?);
    for (wrong, counter) in [(&b"2222\0\0\0\0"[..], "auth_failure"), (&b"1111\0\0\0\x01"[..], "auth_failure")]
    {
        let before = counters(r1)?;
        injector.send(&rival.v2.content(|pdu| pdu[12..20].copy_from_slice(wrong)).bytes())?;
        let counted = || (counters(r1).ok()?.get(counter)? > before.get(counter)?).then_some(());
        wait_for(ms(1_000), counted).with_context(|| format!("{wrong:?} is not counted as {counter}"))?;
        ensure!(state(r1, "VI_2") == "MASTER", "{wrong:?}: {}", state(r1, "VI_2"));
    }
    injector.send(&rival.v2.bytes())?;
    reach(r1, "VI_2", "BACKUP", ms(1_000))?;
    sound(&mut pair.r1, 60)?;
    sound(&mut pair.r2, 60)
}
