//! Hot standby: the addresses are on the backup beforehand, and silent.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{ArpCensus, Daemon, Host, Lab, Moment, Pinger, RUN_DIR, Topology, XDP_PASS, wait_for};

use super::cluster::{PING, Router, answered, outage, pair, stream};
use crate::harness::Test;
use crate::pair::{Conf, VIP, VIP2, ms, stdout, xvrrp};
use crate::punctual::{allowance, within};

const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, 0x25);

pub(super) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("hot_standby::{name}"), body).needs([Daemon::Xvrrp])
    };
    vec![
        new("host_death", host_death).timing(),
        new("host_death_of_an_ipv6_master", host_death_v6).timing(),
        new("host_death_through_tc", host_death_through_tc).timing(),
        new("planned", planned).timing(),
        new("a_killed_standby_is_silent", killed),
        new("nothing_is_said_of_them", unsaid).needs_tool("tcpdump"),
        new("program_detached", detached).needs_tool("bpftool"),
        new("pins_removed", unpinned),
        new("reload", reload),
        new("somebody_elses", somebody_elses),
        new("detach", detach),
        new("busy_kernel", busy).timing().long(),
    ]
}

fn conf(priority: u8) -> Conf {
    // A verdict does not wait for the next advert of a master that advertises so seldom.
    Conf::new(priority).every("1").with("hot_standby on")
}

fn hot(lab: &Lab) -> Result<[Router; 2]> {
    let files = [conf(101).text(), conf(99).text()];
    let routers = pair(lab, [&files[0], &files[1]])?;
    stands_by(lab.host("r2")?)?;
    Ok(routers)
}

fn holds(host: &Host, there: bool) -> Result<()> {
    wait_for(ms(3_000), || (host.holds(IpAddr::V4(VIP)).ok()? == there).then_some(()))
        .with_context(|| format!("{} has the address: {}, not {there}", host.name(), !there))
}

fn stands_by(host: &Host) -> Result<()> {
    holds(host, true)?;
    wait_for(ms(2_000), || (word(host).ok()?.as_deref() == Some("standby")).then_some(()))
        .with_context(|| format!("{}: hot_standby is {:?}", host.name(), word(host)))
}

/// What the status says.
fn word(host: &Host) -> Result<Option<String>> {
    let text = stdout(&xvrrp(host, &["status", "--json", "--run-dir", RUN_DIR])?);
    let status: serde_json::Value = serde_json::from_str(&text)?;
    Ok(status["instances"][0]["hot_standby"].as_str().map(str::to_owned))
}

fn no_doubles(census: &ArpCensus, from: Moment) -> Result<()> {
    let doubles = census.double_answers(from);
    ensure!(doubles.is_empty(), "{} questions with two answers: {:?}", doubles.len(), doubles.first());
    Ok(())
}

/// Whoever answers the client's questions by ARP since then.
fn only(census: &ArpCensus, host: &str, from: Moment) -> Result<()> {
    let samples = census.samples();
    let others: Vec<_> = samples
        .iter()
        .filter(|sample| sample.asked >= from && sample.answers.iter().any(|name| name != host))
        .collect();
    ensure!(others.is_empty(), "not by {host} alone: {:?}", others.first());
    ensure!(samples.iter().any(|sample| sample.answers.contains(&host.to_owned())), "{host} never answers");
    Ok(())
}

fn host_death(lab: &Lab) -> Result<()> {
    silent_until_it_dies(lab, &hot(lab)?)
}

/// The standby answers nothing before, and serves after.
fn silent_until_it_dies(lab: &Lab, routers: &[Router; 2]) -> Result<()> {
    let census = lab.arp_census("client", VIP, ms(5))?;
    let begin = Moment::now();
    let pinger = stream(lab, PING)?;
    std::thread::sleep(ms(300));
    only(&census, "r1", begin)?;
    dies(lab, routers, &pinger)
}

/// The host of r1 dies: r2 serves soon, and nobody touches an address for that.
fn dies(lab: &Lab, [_, r2]: &[Router; 2], pinger: &Pinger) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let died = Moment::now();
    lab.switch().silence("r1")?;
    let gap = outage(pinger, died, ms(6_000)).context("nobody took over")?;
    gap.print("host death with hot standby");
    within("the gap after host death", gap.gap.start, gap.gap.start.plus(gap.length), ms(100))?;
    r2.says("-> MASTER", ms(500))?;
    let moved: Vec<_> = addresses.history().into_iter().filter(|change| change.at > died).collect();
    ensure!(moved.is_empty(), "the takeover touched addresses: {moved:?}");
    ensure!(word(lab.host("r2")?)?.as_deref() == Some("master"), "{:?}", word(lab.host("r2")?));
    Ok(())
}

/// Neighbour solicitations and traffic for an IPv6 address are dropped by the standby, and answered after the takeover.
fn host_death_v6(lab: &Lab) -> Result<()> {
    let file = |priority: u8| conf(priority).named("VI_6", 26).vips([format!("{V6}/128")]).text();
    let routers = pair(lab, [&file(101), &file(99)])?;
    let (r2, client) = (lab.host("r2")?, lab.host("client")?);
    wait_for(ms(3_000), || r2.holds(IpAddr::V6(V6)).ok()?.then_some(())).context("no IPv6 address on r2")?;
    ensure!(word(r2)?.as_deref() == Some("standby"), "{:?}", word(r2)?);
    // Asked anew, the client learns of one host only; told of the other, it gets no answer.
    let mac_of = |host: &Host| host.output(&["cat", "/sys/class/net/ens160/address"]);
    let known = || client.output(&["ip", "-6", "neigh", "show", &V6.to_string()]);
    let ping = ["ping", "-6", "-c", "2", "-i", "0.2", "-W", "1", &V6.to_string()].map(str::to_owned);
    let ping: Vec<_> = ping.iter().map(String::as_str).collect();
    client.output(&ping)?;
    let (r1_mac, r2_mac) = (mac_of(lab.host("r1")?)?, mac_of(r2)?);
    ensure!(known()?.contains(r1_mac.trim()), "the client knows {}", known()?);
    client.output(&[
        "ip",
        "-6",
        "neigh",
        "replace",
        &V6.to_string(),
        "lladdr",
        r2_mac.trim(),
        "dev",
        "ens160",
    ])?;
    ensure!(!client.run(&ping)?.status.success(), "the standby answers a packet");
    client.output(&["ip", "-6", "neigh", "del", &V6.to_string(), "dev", "ens160"])?;
    let pinger = client.ping(IpAddr::V6(V6), PING, std::time::Duration::from_secs(60))?;
    answered(&pinger)?;
    std::thread::sleep(ms(300));
    dies(lab, &routers, &pinger)
}

/// The same where another program has XDP.
fn host_death_through_tc(lab: &Lab) -> Result<()> {
    for name in ["r1", "r2"] {
        lab.host(name)?.occupy_xdp(XDP_PASS)?;
    }
    let routers = hot(lab)?;
    let status = lab.host("r2")?.xvrrp_status()?;
    let through: Vec<_> = status.interfaces.iter().map(|interface| interface.xdp.as_deref()).collect();
    ensure!(through == [Some("tc")], "{through:?}");
    silent_until_it_dies(lab, &routers)
}

/// A stop and a failback lose nothing, and nobody answers twice.
fn planned(lab: &Lab) -> Result<()> {
    let [mut r1, r2] = hot(lab)?;
    let census = lab.arp_census("client", VIP, ms(5))?;
    let pinger = stream(lab, PING)?;
    let begin = Moment::now();
    r1.running.stop()?;
    r2.says("-> MASTER", ms(2_000))?;
    holds(lab.host("r1")?, false)?;
    std::thread::sleep(ms(500));
    let r1 = Router::start(lab, "r1", &conf(101).text())?;
    r1.says("-> MASTER", ms(5_000))?;
    r2.says("MASTER -> BACKUP", ms(1_000))?;
    stands_by(lab.host("r2")?)?;
    answered(&pinger)?;
    std::thread::sleep(ms(300));
    let end = Moment::now();
    no_doubles(&census, begin)?;
    let lost = pinger.report().lost_between(begin, end);
    let allowed = allowance(begin, end).as_nanos() / PING.as_nanos();
    ensure!(
        lost as u128 <= allowed,
        "{lost} packets lost by a stop and a failback, {allowed} are the machine's"
    );
    Ok(())
}

/// Nobody runs the program of the backup, and the address stays silent: also for what goes there without asking.
fn killed(lab: &Lab) -> Result<()> {
    let [_r1, mut r2] = hot(lab)?;
    let census = lab.arp_census("client", VIP, ms(5))?;
    let begin = Moment::now();
    r2.running.kill9()?;
    std::thread::sleep(ms(2_500));
    only(&census, "r1", begin)?;
    no_doubles(&census, begin)?;
    let host = lab.host("r2")?;
    ensure!(host.holds(IpAddr::V4(VIP))?, "the address of the killed standby is gone");
    let client = lab.host("client")?;
    let mac = host.output(&["cat", "/sys/class/net/ens160/address"])?;
    client.output(&["ip", "neigh", "replace", &VIP.to_string(), "lladdr", mac.trim(), "dev", "ens160"])?;
    let asked = client.run(&["ping", "-c", "2", "-W", "1", &VIP.to_string()])?;
    ensure!(!asked.status.success(), "a packet to the killed standby is answered");
    // The next run finds it there, and keeps it silent.
    let addresses = lab.watch_addresses()?;
    let again = Moment::now();
    let r2 = Router::start(lab, "r2", &conf(99).text())?;
    r2.says("-> BACKUP", ms(3_000))?;
    stands_by(host)?;
    std::thread::sleep(ms(300));
    only(&census, "r1", begin)?;
    let moved: Vec<_> =
        addresses.history().into_iter().filter(|change| change.at > again && change.host == "r2").collect();
    ensure!(moved.is_empty(), "a start takes the address away meanwhile: {moved:?}");
    Ok(())
}

/// The kernel announces nothing, asks nothing in their name, and looks for no duplicate.
fn unsaid(lab: &Lab) -> Result<()> {
    let file = |priority: u8| {
        let more = conf(priority).named("VI_6", 26).vips([format!("{V6}/128")]).text();
        format!("{}{more}", conf(priority).text())
    };
    let r1 = Router::start(lab, "r1", &file(101))?;
    r1.says("-> MASTER", ms(5_000))?;
    std::thread::sleep(ms(1_000));
    let host = lab.host("r2")?;
    let capture = host.capture("arp or icmp6", true)?;
    let r2 = Router::start(lab, "r2", &file(99))?;
    r2.probes()?;
    stands_by(host)?;
    wait_for(ms(2_000), || host.holds(IpAddr::V6(V6)).ok()?.then_some(())).context("no IPv6 address")?;
    std::thread::sleep(ms(1_500));
    let text = capture.stop()?;
    let mac = host.output(&["cat", "/sys/class/net/ens160/address"])?;
    let sent = text.lines().filter(|line| line.contains(&format!("{} >", mac.trim())));
    let of_them = |line: &&str| line.contains(&VIP.to_string()) || line.contains(&V6.to_string());
    let said: Vec<_> = sent.filter(of_them).collect();
    ensure!(said.is_empty(), "the standby speaks: {said:#?}");
    Ok(())
}

fn link_of(host: &Host) -> Result<String> {
    let found = host.output(&["find", "/sys/fs/bpf/xvrrp", "-name", "link"])?;
    Ok(found.lines().next().context("no pinned link")?.trim().to_owned())
}

/// Beside a program that somebody has taken off, the address goes; with the next program it is back.
fn detached(lab: &Lab) -> Result<()> {
    let [_r1, r2] = hot(lab)?;
    let host = lab.host("r2")?;
    let addresses = lab.watch_addresses()?;
    let census = lab.arp_census("client", VIP, ms(5))?;
    let begin = Moment::now();
    host.output(&["bpftool", "link", "detach", "pinned", &link_of(host)?])?;
    r2.says("somebody has detached the XDP program", ms(5_000))?;
    let gone = wait_for(ms(3_000), || {
        addresses.history().into_iter().find(|change| change.at > begin && change.host == "r2")
    })
    .context("the address stays")?;
    println!("gone after {:.1} ms", gone.at.ms_after(begin));
    stands_by(host)?;
    let later = Moment::now();
    std::thread::sleep(ms(500));
    only(&census, "r1", later)?;
    ensure!(!r2.log().contains("-> MASTER"), "r2 took over: {}", r2.log());
    Ok(())
}

fn unpinned(lab: &Lab) -> Result<()> {
    let [_r1, r2] = hot(lab)?;
    let host = lab.host("r2")?;
    host.output(&["rm", "-rf", "/sys/fs/bpf/xvrrp"])?;
    r2.says("no hot standby: the XDP program is not pinned", ms(5_000))?;
    holds(host, false)?;
    ensure!(word(host)?.as_deref() == Some("impossible"), "{:?}", word(host)?);
    let status = stdout(&xvrrp(host, &["status", "--run-dir", RUN_DIR])?);
    ensure!(status.contains("no hot standby"), "status: {status}");
    Ok(())
}

fn reload(lab: &Lab) -> Result<()> {
    let [r1, r2] = hot(lab)?;
    let census = lab.arp_census("client", VIP, ms(5))?;
    let begin = Moment::now();
    let pinger = stream(lab, PING)?;
    let put = |router: &Router, text: String| -> Result<()> {
        let host = lab.host(router.name)?;
        host.write(crate::pair::FILE, text, 0o644)?;
        xvrrp(host, &["reload", "--run-dir", RUN_DIR]).map(drop)
    };
    for (router, priority) in [(&r1, 101), (&r2, 99)] {
        put(router, Conf::new(priority).text())?;
    }
    holds(lab.host("r2")?, false)?;
    ensure!(word(lab.host("r2")?)?.is_none(), "it is off");
    for (router, priority) in [(&r1, 101), (&r2, 99)] {
        put(router, conf(priority).text())?;
    }
    stands_by(lab.host("r2")?)?;
    // Another address, and the first no more.
    put(&r2, conf(99).vips([VIP, VIP2]).text())?;
    wait_for(ms(2_000), || lab.host("r2").ok()?.holds(IpAddr::V4(VIP2)).ok()?.then_some(()))
        .context("the new address is not there")?;
    put(&r2, conf(99).text())?;
    wait_for(ms(2_000), || (!lab.host("r2").ok()?.holds(IpAddr::V4(VIP2)).ok()?).then_some(()))
        .context("the old address stays")?;
    let end = Moment::now();
    only(&census, "r1", begin)?;
    ensure!(!r2.log().contains("BACKUP -> MASTER"), "{}", r2.log());
    let lost = pinger.report().lost_between(begin, end.minus(ms(50)));
    let allowed = allowance(begin, end).as_nanos() / PING.as_nanos();
    ensure!(lost as u128 <= allowed, "{lost} packets lost by reloads");
    Ok(())
}

/// What the operator has put there is named, and stays as it is.
fn somebody_elses(lab: &Lab) -> Result<()> {
    let host = lab.host("r2")?;
    host.output(&["ip", "addr", "add", &format!("{VIP}/32"), "dev", "ens160"])?;
    let r1 = Router::start(lab, "r1", &conf(101).text())?;
    r1.says("-> MASTER", ms(5_000))?;
    let mut r2 = Router::start(lab, "r2", &conf(99).text())?;
    r2.says(&format!("no hot standby: {VIP} is on ens160 by somebody else's hand"), ms(5_000))?;
    ensure!(word(host)?.as_deref() == Some("impossible"), "{:?}", word(host)?);
    // Without it, the daemon has its own.
    host.output(&["ip", "addr", "del", &format!("{VIP}/32"), "dev", "ens160"])?;
    stands_by(host)?;
    r2.running.stop()?;
    holds(host, false)
}

/// What nobody runs any more is taken away by hand, the silent addresses first.
fn detach(lab: &Lab) -> Result<()> {
    let [_r1, mut r2] = hot(lab)?;
    let host = lab.host("r2")?;
    let census = lab.arp_census("client", VIP, ms(1))?;
    let begin = Moment::now();
    r2.running.kill9()?;
    xvrrp(host, &["detach", "--run-dir", RUN_DIR])?;
    holds(host, false)?;
    std::thread::sleep(ms(300));
    only(&census, "r1", begin)
}

/// A takeover waits for nobody who holds the kernel's lock of links, as container hosts do.
fn busy(lab: &Lab) -> Result<()> {
    let gap = |file: fn(u8) -> String| -> Result<std::time::Duration> {
        let lab = Lab::new(Topology::two_node())?;
        let files = [file(101), file(99)];
        let _routers = pair(&lab, [&files[0], &files[1]])?;
        let churn = "for n in 1 2 3 4; do while :; do \
                     unshare -n sh -c 'for i in 1 2 3 4; do ip link add a$i type veth peer name b$i; done'; done & done; wait";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", churn]);
        let _churn = lab.host("client")?.spawn(command)?;
        std::thread::sleep(ms(500));
        let pinger = stream(&lab, PING)?;
        let died = Moment::now();
        lab.switch().silence("r1")?;
        let gap = outage(&pinger, died, ms(6_000)).context("nobody took over")?;
        gap.print("host death under a busy kernel");
        Ok(gap.length)
    };
    let _ = lab;
    let sum = |file: fn(u8) -> String| -> Result<f64> {
        (0..4).map(|_| gap(file).map(|gap| gap.as_secs_f64())).sum()
    };
    let (standby, without) =
        (sum(|priority| conf(priority).text())?, sum(|priority| Conf::new(priority).every("1").text())?);
    println!("client gaps: {:.2} ms with hot standby, {:.2} ms without", standby * 250.0, without * 250.0);
    ensure!(standby < without * 1.2, "hot standby waits for the kernel: {standby} s, without {without} s");
    Ok(())
}
