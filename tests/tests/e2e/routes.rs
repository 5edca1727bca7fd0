//! Virtual and static routes, rules and addresses: there exactly when they should be, put back, never doubled, and
//! never somebody else's.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, wait_for};

use crate::harness::Test;
use crate::pair::{Conf, VIP, adverts, garps, held_by, ms, reload, until};

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::XvrrpRfc]);
    vec![
        test("routes::s36_virtual_routes_and_rules_follow_the_state", follow),
        test("routes::s36_leftovers_are_not_doubled", leftovers),
        test("routes::leftovers_of_another_protocol_are_found", unmarked),
        test("routes::static_addresses_routes_and_rules", statics),
        test("routes::a_route_waits_for_its_interface", interface),
    ]
}

const VIRTUAL: &str = "virtual_routes {
        10.20.0.0/24 via 172.16.1.100 dev ens160
        src 172.16.1.25 to 10.21.0.0/24 via 172.16.1.100 dev ens160 metric 7
        10.22.0.0/24 dev ens160 table 77 no_track
        blackhole 10.23.0.0/24
        2001:db8:20::/64 via fd00:16::100 dev ens160
    }
    virtual_rules {
        from 10.20.0.0/24 table 77 priority 500
        to 10.22.0.0/24 table 77 priority 501 no_track
        from 2001:db8:20::/64 table 77 priority 502
    }";

/// One word of each route and rule of [`VIRTUAL`].
const WORDS: [&str; 8] = [
    "10.20.0.0/24 via 172.16.1.100",
    "10.21.0.0/24 via 172.16.1.100",
    "10.22.0.0/24 dev ens160 table 77",
    "blackhole 10.23.0.0/24",
    "2001:db8:20::/64 via fd00:16::100",
    "500:",
    "501:",
    "502:",
];

/// All routes and rules, in single-spaced lines.
fn shown(host: &Host) -> Result<String> {
    let mut text = String::new();
    for family in ["-4", "-6"] {
        // One family after the other: asked for all tables, iproute2 shows IPv6 routes with the IPv4 ones too.
        for table in ["main", "77"] {
            let output = host.run(&["ip", family, "route", "show", "table", table])?;
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let end = if table == "77" { " table 77" } else { "" };
                let words: Vec<_> = line.split_whitespace().collect();
                // Where iproute2 says it: behind the device.
                let at = words.iter().position(|word| *word == "proto").unwrap_or(words.len());
                text += &format!("{}{end} {}\n", words[..at].join(" "), words[at..].join(" "));
            }
        }
        for line in host.output(&["ip", family, "rule", "show"])?.lines() {
            text += &(line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n");
        }
    }
    Ok(text)
}

fn count(host: &Host, word: &str) -> Result<usize> {
    Ok(shown(host)?.lines().filter(|line| line.starts_with(word)).count())
}

fn all(host: &Host, times: usize) -> Result<()> {
    for word in WORDS {
        let found = count(host, word)?;
        ensure!(found == times, "{}: {word}: {found} times, wanted {times}\n{}", host.name(), shown(host)?);
    }
    Ok(())
}

fn soon(host: &Host, word: &str, times: usize) -> Result<()> {
    wait_for(ms(2_000), || (count(host, word).ok()? == times).then_some(())).with_context(|| {
        format!("{}: {word} is not there {times} times\n{}", host.name(), shown(host).unwrap_or_default())
    })
}

fn follow(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let mut master = r1.start(Daemon::XvrrpRfc, &Conf::new(150).with(VIRTUAL).text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    soon(r1, "502:", 1)?;
    all(r1, 1)?;
    let _backup = r2.start(Daemon::XvrrpRfc, &Conf::new(100).with(VIRTUAL).text())?;
    until(r2, "VI_1", "BACKUP", ms(4_000))?;
    all(r2, 0)?;

    // What somebody removes is back, without a change of roles; `no_track` is not.
    let before = Moment::now();
    for removal in ["route del 10.20.0.0/24", "-6 route del 2001:db8:20::/64", "rule del priority 500"] {
        let words: Vec<_> = std::iter::once("ip").chain(removal.split(' ')).collect();
        r1.output(&words)?;
    }
    for word in [WORDS[0], WORDS[4], WORDS[5]] {
        soon(r1, word, 1)?;
    }
    r1.output(&["ip", "route", "del", "10.22.0.0/24", "table", "77"])?;
    r1.output(&["ip", "rule", "del", "priority", "501"])?;
    r1.output(&["ip", "route", "del", "10.21.0.0/24"])?;
    soon(r1, WORDS[1], 1)?;
    ensure!(count(r1, WORDS[2])? == 0 && count(r1, "501:")? == 0, "no_track is put back:\n{}", shown(r1)?);
    ensure!(adverts(&wire, "r1", 25, before).iter().all(|advert| advert.priority == 150), "r1 resigned");
    ensure!(master.log().contains("was removed by somebody"), "nothing is said:\n{}", master.log());

    // The kernel drops IPv4 routes of a port that goes down without a word.
    let foreign = ["ip", "route", "add", "10.30.0.0/24", "via", "172.16.1.100"];
    r1.output(&foreign)?;
    r2.output(&foreign)?;
    let stopped = Moment::now();
    master.stop()?;
    held_by(&addresses, VIP, &["r2"], ms(4_000))?;
    soon(r2, "502:", 1)?;
    all(r2, 1)?;
    all(r1, 0)?;
    let announced = garps(&wire, "r2", VIP, stopped).first().map(|(at, _)| *at);
    ensure!(announced.is_some(), "r2 announces nothing");
    r2.output(&["ip", "link", "set", "ens160", "down"])?;
    until(r2, "VI_1", "FAULT", ms(2_000))?;
    soon(r2, "502:", 0)?;
    r2.output(&["ip", "link", "set", "ens160", "up"])?;
    until(r2, "VI_1", "MASTER", ms(4_000))?;
    soon(r2, WORDS[0], 1)?;
    ensure!(count(r1, "10.30.0.0/24")? == 1, "a foreign route is gone");
    Ok(())
}

fn leftovers(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let fixed = "static_routes {\n10.40.0.0/24 via 172.16.1.100 dev ens160\n}\n\
        static_rules {\nfrom 10.40.0.0/24 table 77 priority 510\n}\n\
        static_ipaddress {\n10.41.0.1/24 dev ens160\n}\n";
    let config = Conf::new(150).with(VIRTUAL).text() + fixed;
    r1.output(&["ip", "route", "add", "10.30.0.0/24", "via", "172.16.1.100"])?;
    r1.output(&["ip", "rule", "add", "from", "10.30.0.0/24", "table", "77", "priority", "499"])?;
    for _ in 0..2 {
        let mut killed = r1.start(Daemon::XvrrpRfc, &config)?;
        until(r1, "VI_1", "MASTER", ms(4_000))?;
        soon(r1, "502:", 1)?;
        killed.kill9()?;
    }
    all(r1, 1)?;
    // Started with another role, it removes them; what is static is there once.
    let backup =
        Conf::new(150).with("track_interface {\nlo weight 0 reverse\n}").with(VIRTUAL).text() + fixed;
    let mut last = r1.start(Daemon::XvrrpRfc, &backup)?;
    until(r1, "VI_1", "FAULT", ms(4_000))?;
    all(r1, 0)?;
    for word in ["10.40.0.0/24", "510:", "10.30.0.0/24", "499:"] {
        soon(r1, word, 1)?;
    }
    ensure!(r1.holds("10.41.0.1".parse()?)?, "the static address is gone");
    last.stop()?;
    for (word, times) in [("10.40.0.0/24", 0), ("510:", 0), ("10.30.0.0/24", 1), ("499:", 1)] {
        ensure!(count(r1, word)? == times, "{word} after the stop:\n{}", shown(r1)?);
    }
    ensure!(!r1.holds("10.41.0.1".parse()?)?, "the static address stays after the stop");
    Ok(())
}

/// Nothing but a file of the killed run tells these from the operator's own.
fn unmarked(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let set = "virtual_routes {\n10.24.0.0/24 via 172.16.1.100 dev ens160 protocol 77 no_track\n}\n\
        virtual_rules {\nto 10.24.0.0/24 table 77 priority 503 protocol 77 no_track\n}";
    let words = ["10.24.0.0/24", "503:"];
    r1.output(&["ip", "route", "add", "10.30.0.0/24", "via", "172.16.1.100", "proto", "77"])?;
    let mut killed = r1.start(Daemon::XvrrpRfc, &Conf::new(150).with(set).text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    for word in words {
        soon(r1, word, 1)?;
    }
    ensure!(shown(r1)?.contains("10.24.0.0/24 via 172.16.1.100 dev ens160 proto 77"), "{}", shown(r1)?);
    killed.kill9()?;
    let backup = Conf::new(150).with("track_interface {\nlo weight 0 reverse\n}").with(set).text();
    let mut last = r1.start(Daemon::XvrrpRfc, &backup)?;
    until(r1, "VI_1", "FAULT", ms(4_000))?;
    for word in words {
        soon(r1, word, 0)?;
    }
    ensure!(
        last.log().contains("10.24.0.0/24") && last.log().contains("left by an earlier run"),
        "{}",
        last.log()
    );
    last.stop()?;
    ensure!(count(r1, "10.30.0.0/24")? == 1, "a foreign route is gone");
    Ok(())
}

fn statics(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let config = |route: &str| {
        format!(
            "track_group G {{\ngroup {{\nVI_1\n}}\n}}\n\
             static_ipaddress {{\n10.41.0.1/24 dev ens160\n172.16.1.1/24 dev ens160\n}}\n\
             static_routes {{\n{route}\n}}\nstatic_rules {{\nfrom 10.40.0.0/24 table 77\n}}\n{}",
            Conf::new(150).text()
        )
    };
    let mut daemon =
        r1.start(Daemon::XvrrpRfc, &config("10.40.0.0/24 via 10.41.0.9 dev ens160 track_group G"))?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    soon(r1, "10.40.0.0/24 via 10.41.0.9", 1)?;
    soon(r1, "16384: from 10.40.0.0/24 lookup 77", 1)?;
    // Removed by hand, they are back.
    r1.output(&["ip", "addr", "del", "10.41.0.1/24", "dev", "ens160"])?;
    wait_for(ms(2_000), || r1.holds("10.41.0.1".parse().ok()?).ok()?.then_some(())).context("the address")?;
    soon(r1, "10.40.0.0/24 via 10.41.0.9", 1)?;
    r1.output(&["ip", "rule", "del", "priority", "16384"])?;
    soon(r1, "16384:", 1)?;
    // What cannot be there takes the instances of its track group along.
    reload(r1, &config("10.40.0.0/24 via 192.0.2.9 dev ens160 track_group G"))?;
    until(r1, "VI_1", "FAULT", ms(2_000))?;
    soon(r1, "10.40.0.0/24", 0)?;
    reload(r1, &config("10.40.0.0/24 via 10.41.0.8 dev ens160 track_group G"))?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    soon(r1, "10.40.0.0/24 via 10.41.0.8", 1)?;
    daemon.stop()?;
    ensure!(count(r1, "10.40.0.0/24")? == 0 && count(r1, "16384:")? == 0, "left:\n{}", shown(r1)?);
    ensure!(!r1.holds("10.41.0.1".parse()?)?, "the address is left");
    ensure!(r1.holds("172.16.1.1".parse()?)?, "the operator's own address is gone");
    Ok(())
}

fn interface(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let route = "virtual_routes {\n10.50.0.0/24 dev later0\n10.51.0.0/24 dev later1 no_track\n}";
    let _daemon = r1.start(Daemon::XvrrpRfc, &Conf::new(150).with(route).text())?;
    until(r1, "VI_1", "FAULT", ms(4_000))?;
    r1.output(&["ip", "link", "add", "later0", "type", "veth", "peer", "name", "later1"])?;
    r1.output(&["ip", "link", "set", "later1", "up"])?;
    std::thread::sleep(ms(300));
    until(r1, "VI_1", "FAULT", ms(10))?;
    r1.output(&["ip", "link", "set", "later0", "up"])?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    soon(r1, "10.50.0.0/24 dev later0", 1)?;
    soon(r1, "10.51.0.0/24 dev later1", 1)?;
    r1.output(&["ip", "link", "set", "later0", "down"])?;
    until(r1, "VI_1", "FAULT", ms(2_000))?;
    r1.output(&["ip", "link", "set", "later0", "up"])?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    soon(r1, "10.50.0.0/24 dev later0", 1)?;
    Ok(())
}
