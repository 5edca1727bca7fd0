//! s21: the two checksum forms of VRRPv3 over IPv4. RFC 9568 covers the message alone, keepalived and FRR add a
//! pseudo-header; xvrrp receives both and sends what `v3_checksum_as_v2` says.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment, tcpdump_complaints, wait_for};

use super::dialect::{Dialect, PRIORITIES, instance, named_instance};
use super::router::{Router, last_heard, off};
use crate::harness::Test;

const INTERVAL: Duration = Duration::from_millis(200);
const MESSAGE_ONLY: &str = "    version 3\n    v3_checksum_as_v2\n";
const PSEUDO_HEADER: &str = "    version 3\n";

/// VRID, the form that `r1` sends, and the form that `r2` sends.
const FORMS: [(u8, &str, &str); 4] = [
    (1, PSEUDO_HEADER, PSEUDO_HEADER),
    (2, PSEUDO_HEADER, MESSAGE_ONLY),
    (3, MESSAGE_ONLY, PSEUDO_HEADER),
    (4, MESSAGE_ONLY, MESSAGE_ONLY),
];

pub(super) fn tests() -> Vec<Test> {
    let both = [Daemon::XvrrpRfc, Daemon::Keepalived];
    vec![
        Test::new("interop::s21_both_checksum_forms_are_understood", both_forms)
            .needs([Daemon::XvrrpRfc])
            .needs_tool("tcpdump"),
        Test::new("interop::s21_keepalived_is_heard_by_a_message_only_router", keepalived_is_heard)
            .needs(both),
        Test::new("interop::s21_keepalived_does_not_hear_message_only", keepalived_is_deaf).needs(both),
        Test::new("interop::s21_vrrpd_does_not_hear_message_only", vrrpd_is_deaf)
            .needs([Daemon::XvrrpRfc, Daemon::FrrVrrpd]),
    ]
}

fn vip(vrid: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(172, 16, 1, 30 + vrid))
}

/// Two xvrrp, all four pairs of forms at once. The worse router follows the better one, and takes over.
fn both_forms(lab: &Lab) -> Result<()> {
    let config = |which: usize| -> String {
        let one = |(vrid, first, second): &(u8, &str, &str)| {
            let form = [first, second][which];
            named_instance(&format!("V{vrid}"), *vrid, PRIORITIES[which], INTERVAL, form, &[vip(*vrid)])
        };
        FORMS.iter().map(one).collect()
    };
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let capture = lab.host("client")?.capture("ip proto 112", false)?;
    let start = |which: usize| {
        Router::start(lab, ["r1", "r2"][which], Daemon::XvrrpRfc, Dialect::V3Ipv4, config(which))
    };
    let (mut first, second) = (start(0)?, start(1)?);
    let all_on = |name: &str| FORMS.iter().all(|(vrid, ..)| addresses.holders(vip(*vrid)) == [name]);
    wait_for(ms(5_000), || all_on("r1").then_some(())).context("r1 is not master of all")?;
    std::thread::sleep(INTERVAL * 5);
    ensure!(all_on("r1"), "r2 does not follow r1");
    second.check_counters()?;
    let asked = Moment::now();
    first.stop()?;
    wait_for(ms(3_000), || all_on("r2").then_some(())).context("r2 is not master of all")?;
    // What r2 sends now is what its own form says; r1, back again as the better router, hears it as a master that
    // is worse, and takes over.
    std::thread::sleep(INTERVAL * 2);
    ensure!(wire.first_advert_from("r2", asked).is_some(), "r2 sends no adverts");
    let text = capture.stop()?;
    for (vrid, first, second) in FORMS {
        for (source, form) in [("172.16.1.1", first), ("172.16.1.2", second)] {
            let what = format!("{source} > 224.0.0.18: VRRPv3, Advertisement");
            let lines: Vec<_> = text
                .lines()
                .filter(|line| line.contains(&what) && line.contains(&format!("vrid {vrid},")))
                .collect();
            ensure!(!lines.is_empty(), "tcpdump saw no advert of {source} for VRID {vrid}:\n{text}");
            // tcpdump knows the form with the pseudo-header only.
            let bad = lines.iter().filter(|line| line.contains("bad vrrp cksum")).count();
            let wanted = if form == MESSAGE_ONLY { lines.len() } else { 0 };
            ensure!(bad == wanted, "VRID {vrid} of {source}: tcpdump calls {bad} of {} bad", lines.len());
        }
    }
    let other: Vec<_> =
        tcpdump_complaints(&text).into_iter().filter(|line| !line.contains("bad vrrp cksum")).collect();
    ensure!(other.is_empty(), "tcpdump complains:\n{}", other.join("\n"));
    ensure!(second.complaints().is_empty(), "r2 complains:\n{}", second.complaints().join("\n"));
    ensure!(first.complaints().is_empty(), "r1 complains:\n{}", first.complaints().join("\n"));
    Ok(())
}

/// A router that sends the RFC's form hears keepalived, follows it and takes over from it.
fn keepalived_is_heard(lab: &Lab) -> Result<()> {
    let dialect = Dialect::V3Ipv4;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let configs = [
        instance(PRIORITIES[0], INTERVAL, PSEUDO_HEADER, &dialect.vips()),
        instance(PRIORITIES[1], INTERVAL, MESSAGE_ONLY, &dialect.vips()),
    ];
    let [first, second] = configs;
    let mut keepalived = Router::start(lab, "r1", Daemon::Keepalived, dialect, first)?;
    let xvrrp = Router::start(lab, "r2", Daemon::XvrrpRfc, dialect, second)?;
    let only = |name: &str| (addresses.holders(dialect.vip()) == [name]).then_some(());
    wait_for(ms(5_000), || only("r1")).context("keepalived is not the only master")?;
    std::thread::sleep(INTERVAL * 5);
    only("r1").context("xvrrp does not follow keepalived")?;
    xvrrp.check_counters()?;
    let died = Moment::now();
    keepalived.die()?;
    let taken =
        wait_for(ms(3_000), || xvrrp.took(&wire, &addresses, died)).context("xvrrp does not take over")?;
    let last = last_heard(&wire, "r2", taken, |_| true).context("r2 has heard no advert")?;
    let late = off(taken, last, dialect.master_down(PRIORITIES[1], INTERVAL));
    ensure!((-1.0..20.0).contains(&late), "takeover is {late:+.1} ms off");
    Ok(())
}

/// keepalived 2.2 calls the RFC's form invalid, whatever it sends itself: that is why ours is not the default. What
/// follows is two masters, each with its own address, until the forms agree.
fn keepalived_is_deaf(lab: &Lab) -> Result<()> {
    let version = lab.host("r2")?.run(&["keepalived", "--version"])?;
    if !String::from_utf8_lossy(&version.stderr).contains("Keepalived v2.2.") {
        println!("another keepalived than 2.2, which may have v3_checksum_as_v2 itself: not judged");
        return Ok(());
    }
    let config = instance(PRIORITIES[1], INTERVAL, PSEUDO_HEADER, &Dialect::V3Ipv4.vips());
    deaf(lab, Daemon::Keepalived, config, "Invalid VRRPv3 checksum")
}

/// The same with vrrpd.
fn vrrpd_is_deaf(lab: &Lab) -> Result<()> {
    let config =
        Dialect::V3Ipv4.config(Daemon::FrrVrrpd, Daemon::XvrrpRfc, 1, [Ipv4Addr::UNSPECIFIED.into(); 2]);
    deaf(lab, Daemon::FrrVrrpd, config, "Bad VRRP checksum")
}

fn deaf(lab: &Lab, peer: Daemon, config: String, complaint: &str) -> Result<()> {
    let dialect = Dialect::V3Ipv4;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let ours = instance(PRIORITIES[0], INTERVAL, MESSAGE_ONLY, &dialect.vips());
    let xvrrp = Router::start(lab, "r1", Daemon::XvrrpRfc, dialect, ours)?;
    let peer = Router::start(lab, "r2", peer, dialect, config)?;
    let holds = |router: &Router<'_>| router.holds(&wire, &addresses).unwrap_or_default();
    let both = || (holds(&xvrrp) && holds(&peer)).then_some(());
    wait_for(ms(5_000), both).context("they are not both master")?;
    std::thread::sleep(INTERVAL * 5);
    both().context("they are not both master any more")?;
    let complaints = peer.complaints();
    ensure!(
        complaints.iter().all(|line| line.contains(complaint)) && complaints.len() > 3,
        "the peer says: {complaints:?}"
    );
    // xvrrp hears a lower-priority master, which is as it should be.
    xvrrp.check_counters()
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}
