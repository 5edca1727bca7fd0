//! One run for every pair: start, host death of the master, its return, and its graceful stop.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{
    Addresses, Change, Daemon, Direction, Frame, Lab, Moment, PingReport, Pinger, Sighting, Wire,
    tcpdump_complaints, wait_for,
};

use super::dialect::{Dialect, PRIORITIES};
use super::router::{Router, last_heard, off};
use crate::harness::Test;
use crate::punctual::{allowance, within};

/// How far from the RFC's time a daemon may take over.
#[derive(Clone, Copy)]
struct Tolerance {
    early: Duration,
    late: Duration,
}

/// When a router took over, in milliseconds.
struct Times {
    /// From the RFC's time to the first sign: its advert, or its announcement of the address.
    off: f64,
    /// From there to the address.
    usable: f64,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:+.1} ms, address {:.1} ms later", self.off, self.usable)
    }
}

const FILTER: &str = "ip proto 112 or ip6 proto 112 or arp or icmp6";

pub(super) fn tests() -> Vec<Test> {
    use Dialect::{V2Multicast, V2Unicast, V3Ipv4, V3Ipv6};
    let peers = [
        (Daemon::Keepalived, &[V2Multicast, V2Unicast, V3Ipv4, V3Ipv6][..]),
        (Daemon::FrrVrrpd, &[V3Ipv4, V3Ipv6]),
    ];
    let mut tests = Vec::new();
    for (peer, dialects) in peers {
        for &dialect in dialects {
            for (role, daemons) in [("higher", [Daemon::Xvrrp, peer]), ("lower", [peer, Daemon::Xvrrp])] {
                let name = format!("interop::{}_{}_{role}", peer.name(), dialect.name());
                let test = Test::new(name, move |lab: &Lab| Run::new(lab, daemons, dialect)?.all());
                let test = test.needs(daemons).needs_tool("tcpdump");
                // Our own takeovers are judged strictly.
                tests.push(test.long());
            }
        }
    }
    tests
}

/// How far a daemon's takeover may be off, besides what the machine was held up. Peers have no priority over other tests,
/// so that they get the time of a busy machine, but less than an interval, by which they would be off if they misunderstood our adverts. vrrpd counts whole
/// centiseconds and cuts fractions of them.
fn tolerance(daemon: Daemon, dialect: Dialect) -> Tolerance {
    let busy = dialect.interval() * 3 / 4;
    match daemon {
        Daemon::Xvrrp | Daemon::XvrrpRfc => Tolerance { early: ms(1), late: dialect.interval() / 10 },
        Daemon::Keepalived | Daemon::Keepalived24 => Tolerance { early: ms(1), late: busy },
        Daemon::FrrVrrpd => Tolerance { early: ms(20), late: busy },
    }
}

struct Run<'a> {
    lab: &'a Lab,
    dialect: Dialect,
    wire: Wire,
    addresses: Addresses,
    routers: [Router<'a>; 2],
    captures: Vec<ha_tests::lab::Capture>,
    /// Everything that xvrrp's host said about its IPv6 addresses.
    monitor: Option<ha_tests::lab::Process>,
}

impl<'a> Run<'a> {
    fn new(lab: &'a Lab, daemons: [Daemon; 2], dialect: Dialect) -> Result<Self> {
        let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
        let names = ["r1", "r2"];
        let mut monitor = None;
        if dialect.vip().is_ipv6() {
            let host = lab.host(names[usize::from(daemons[1] == Daemon::Xvrrp)])?;
            // Elsewhere in the lab duplicate addresses are not looked for, so an address is never tentative.
            host.sysctl("net.ipv6.conf.all.accept_dad", "1")?;
            host.sysctl(&format!("net.ipv6.conf.{}.accept_dad", host.interface()), "1")?;
            let mut command = std::process::Command::new("sh");
            command.args(["-c", &format!("exec ip -6 -o monitor address > {MONITOR}")]);
            monitor = Some(host.spawn(command)?);
        }
        let captures =
            names.iter().map(|name| lab.host(name)?.capture(FILTER, false)).collect::<Result<Vec<_>>>()?;
        let sources = [lab.host("r1")?, lab.host("r2")?].map(|host| IpAddr::V4(host.spec().v4));
        let router = |which: usize| {
            let config = dialect.config(daemons[which], daemons[1 - which], which, sources);
            Router::start(lab, names[which], daemons[which], dialect, config)
        };
        let routers = [router(0)?, router(1)?];
        Ok(Self { lab, dialect, wire, addresses, routers, captures, monitor })
    }

    fn all(mut self) -> Result<()> {
        self.start()?;
        let pinger = self.lab.host("client")?.ping(self.dialect.vip(), ms(1), Duration::from_secs(60))?;
        wait_for(ms(2_000), || pinger.is_answered(ms(50)).then_some(()))
            .context("the client is not answered")?;
        let death = self.death(&pinger)?;
        let failback = self.failback(&pinger)?;
        let stop = self.stop(&pinger)?;
        println!(
            "figures: {} -> {} {} | takeover {death} | failback lost {failback} | priority 0 {}, lost {}",
            self.routers[0].daemon.name(),
            self.routers[1].daemon.name(),
            self.dialect.name(),
            stop.0,
            stop.1
        );
        self.end()
    }

    /// Waits until the virtual address is on router `which` and not on the other, and stays there; since when.
    fn alone(&mut self, which: usize) -> Result<Moment> {
        let patience = self.dialect.master_down(PRIORITIES[0], self.dialect.interval()) + ms(6_000);
        let alone = |run: &Self| -> Result<bool> {
            let holds = |which: usize| run.routers[which].holds(&run.wire, &run.addresses);
            Ok(holds(which)? && !holds(1 - which)?)
        };
        let came = wait_for(patience, || match alone(self) {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        });
        let name = self.routers[which].name();
        came.with_context(|| format!("the address is not on {name} alone within {patience:?}"))??;
        let since = Moment::now();
        std::thread::sleep(self.dialect.interval() + ms(300));
        for router in &mut self.routers {
            router.check_alive()?;
        }
        ensure!(alone(self)?, "the address does not stay on {name} alone");
        Ok(since)
    }

    fn start(&mut self) -> Result<()> {
        let since = self.alone(0)?;
        // A host whose daemon was not up yet rightly refused unicast adverts.
        let refused: Vec<_> = self.wire.unreachables().into_iter().filter(|seen| seen.at > since).collect();
        ensure!(refused.is_empty(), "ICMP unreachable: {refused:?}");
        self.check_answers()?;
        self.check_adverts()?;
        self.routers.iter().try_for_each(Router::check_counters)
    }

    /// Only one host answers ARP for the address.
    fn check_answers(&self) -> Result<()> {
        let IpAddr::V4(vip) = self.dialect.vip() else { return Ok(()) };
        let from = Moment::now();
        let census = self.lab.arp_census("client", vip, ms(40))?;
        let samples = wait_for(ms(2_000), || Some(census.samples()).filter(|samples| samples.len() >= 3))
            .context("no census")?;
        let doubles = census.double_answers(from);
        ensure!(doubles.is_empty(), "two hosts answer ARP: {doubles:?}");
        ensure!(samples.iter().any(|sample| !sample.answers.is_empty()), "nobody answers ARP: {samples:?}");
        Ok(())
    }

    /// Adverts of IPv6 come from a link-local address (RFC 9568 section 5.1.2.1).
    fn check_adverts(&self) -> Result<()> {
        if !self.dialect.vip().is_ipv6() {
            return Ok(());
        }
        let odd = self.wire.filter(|seen| match seen.frame {
            Frame::Advert { source: IpAddr::V6(source), destination, ttl, .. } => {
                let group: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12));
                !source.is_unicast_link_local() || destination != group || ttl != 255
            }
            Frame::Advert { .. } => true,
            _ => false,
        });
        ensure!(odd.is_empty(), "adverts from, to or with a hop limit that is wrong: {odd:?}");
        Ok(())
    }

    /// The host of the master dies.
    fn death(&mut self, pinger: &Pinger) -> Result<Times> {
        // Half an interval after an advert, so that none is on its way.
        let last = self.wire.last_advert_from("r1", Moment::now()).context("r1 sends no adverts")?;
        wait_for(ms(3_000), || self.wire.last_advert_from("r1", Moment::now()).filter(|at| *at > last))
            .context("r1 has stopped sending adverts")?;
        std::thread::sleep(self.dialect.interval() / 2);
        let died = Moment::now();
        self.routers[0].die()?;
        let wanted = self.dialect.master_down(PRIORITIES[1], self.dialect.interval());
        let took = self.second_takes_over(wanted + ms(2_000), died)?;
        let last = last_heard(&self.wire, "r2", took, |_| true).context("r2 has heard no advert")?;
        let late = self.check_time(took, last, wanted)?;
        wait_for(ms(3_000), || pinger.first_answer(took)).context("the client is not answered by r2")?;
        Ok(late)
    }

    fn failback(&mut self, pinger: &Pinger) -> Result<usize> {
        let returned = Moment::now();
        self.routers[0].revive()?;
        self.alone(0)?;
        wait_for(ms(1_000), || pinger.is_answered(ms(50)).then_some(()))
            .context("the client is not answered after the failback")?;
        self.check_answers()?;
        self.check_adverts()?;
        self.routers.iter().try_for_each(Router::check_counters)?;
        self.check_announcement(0, returned)?;
        let report = pinger.report();
        let advert = self.wire.first_advert_from("r1", returned).context("r1 sends no adverts")?;
        println!("failback: {}; {}", self.handover(0, advert), gaps(&report, returned));
        Ok(report.lost_between(returned, Moment::now()))
    }

    /// What happened when after `from`, in milliseconds, when router `to` took the address from the other one.
    fn handover(&self, to: usize, from: Moment) -> String {
        let (old, new, vip) = (self.routers[1 - to].name(), self.routers[to].name(), self.dialect.vip());
        let ms = |at: Option<Moment>| at.map_or("-".to_owned(), |at| format!("{:.1}", at.ms_after(from)));
        format!(
            "{new} advertises {}, has the address {}, announces it {}, {old} lets go {}",
            ms(self.wire.first_advert_from(new, from)),
            ms(self.addresses.first(new, Change::Added(vip), from)),
            ms(self.wire.first_announcement(new, vip, from)),
            ms(self.addresses.first(old, Change::Removed(vip), from)),
        )
    }

    /// Graceful stop of the master; the takeover, and echo requests lost.
    fn stop(&mut self, pinger: &Pinger) -> Result<(Times, usize)> {
        let asked = Moment::now();
        self.routers[0].stop()?;
        let wanted = self.dialect.skew(PRIORITIES[1], self.dialect.interval());
        let took = self.second_takes_over(wanted + ms(2_000), asked)?;
        let goodbye = |seen: &Sighting| matches!(seen.frame, Frame::Advert { priority: 0, .. });
        let resigned = last_heard(&self.wire, "r2", took, goodbye)
            .filter(|at| *at > asked)
            .context("no advert of priority 0 reached r2")?;
        let late = self.check_time(took, resigned, wanted)?;
        std::thread::sleep(ms(500));
        wait_for(ms(1_000), || pinger.is_answered(ms(50)).then_some(()))
            .context("the client is not answered after the stop")?;
        let report = pinger.report();
        // The newest may still be answered.
        let lost = report.lost_between(asked, took.plus(ms(300)));
        println!("after priority 0: {}; {}", self.handover(1, resigned), gaps(&report, asked));
        if self.routers[0].daemon == Daemon::Xvrrp {
            let again = self.wire.first_announcement("r1", self.dialect.vip(), resigned);
            ensure!(again.is_none(), "r1 announces the address after it has resigned");
            // Make before break: it serves the address until the successor has announced it. What is lost after that
            // is the successor's: keepalived may announce an address that its kernel has not got ready yet.
            let before = report.lost_between(asked, took);
            let more = allowance(asked, took).as_millis();
            ensure!(
                before as u128 <= more,
                "the planned switch lost {before} of a 1 ms stream: {}",
                gaps(&report, asked)
            );
        }
        Ok((late, lost))
    }

    fn second_takes_over(&self, patience: Duration, from: Moment) -> Result<Moment> {
        let took = wait_for(patience, || self.routers[1].took(&self.wire, &self.addresses, from))
            .with_context(|| format!("r2 has not taken the address within {patience:?}"))?;
        self.check_announcement(1, from)?;
        Ok(took)
    }

    /// Judges a takeover `wanted` after `from`.
    fn check_time(&self, took: Moment, from: Moment, wanted: Duration) -> Result<Times> {
        let daemon = self.routers[1].daemon;
        let Tolerance { early, late } = tolerance(daemon, self.dialect);
        let decided = self.wire.first_advert_from("r2", from).map_or(took, |advert| advert.min(took));
        let late = late + allowance(from.plus(wanted), decided);
        let times = Times { off: off(decided, from, wanted), usable: took.ms_after(decided) };
        ensure!(
            times.off <= late.as_secs_f64() * 1e3 && times.off >= -early.as_secs_f64() * 1e3,
            "{} took over {:.1} ms after the advert, wanted {wanted:?} - {early:?} + {late:?}",
            daemon.name(),
            decided.ms_after(from)
        );
        // Before the next advert.
        if daemon == Daemon::Xvrrp {
            within("the address comes after the advert", decided, took, self.dialect.interval() / 2)?;
        }
        Ok(times)
    }

    /// s34: a neighbour advertisement of xvrrp has Router and Override set, Solicited not, and goes to all nodes.
    fn check_announcement(&self, which: usize, from: Moment) -> Result<()> {
        let (IpAddr::V6(vip), Daemon::Xvrrp) = (self.dialect.vip(), self.routers[which].daemon) else {
            return Ok(());
        };
        let name = self.routers[which].name();
        let advertises = |seen: &Sighting| {
            let sent = seen.direction == Direction::Sent && seen.host == name;
            sent && matches!(seen.frame, Frame::NeighbourAdvert { target, .. } if target == vip)
        };
        let first = wait_for(ms(1_000), || self.wire.first_since(from, advertises));
        let first = first.context("xvrrp sends no neighbour advertisement")?;
        let all_nodes = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        let wanted = Frame::NeighbourAdvert { target: vip, flags: 0xa0, destination: all_nodes };
        ensure!(first.frame == wanted, "{:?}, wanted {wanted:?}", first.frame);
        Ok(())
    }

    /// What is left, and what everybody says about it.
    fn end(mut self) -> Result<()> {
        self.alone_at_the_end()?;
        for router in &self.routers {
            router.check_counters()?;
            let complaints = router.complaints();
            ensure!(complaints.is_empty(), "{} complains:\n{}", router.daemon.name(), complaints.join("\n"));
        }
        for capture in std::mem::take(&mut self.captures) {
            let text = capture.stop()?;
            ensure!(text.contains("Advertisement, vrid 9"), "tcpdump saw no advert:\n{text}");
            let complaints = tcpdump_complaints(&text);
            ensure!(complaints.is_empty(), "tcpdump complains:\n{}", complaints.join("\n"));
        }
        self.check_never_tentative()
    }

    fn alone_at_the_end(&mut self) -> Result<()> {
        self.alone(1)?;
        let vip = self.dialect.vip();
        // vrrpd's address stays on its device, which is down.
        let left = self.routers[0].host.holds(vip)? && self.routers[0].daemon != Daemon::FrrVrrpd;
        ensure!(!left, "r1 was stopped and has the address still");
        Ok(())
    }

    /// s34: an IPv6 address is added without looking for duplicates.
    fn check_never_tentative(&mut self) -> Result<()> {
        let Some(mut monitor) = self.monitor.take() else { return Ok(()) };
        monitor.stop(ms(1_000))?;
        let which = usize::from(self.routers[1].daemon == Daemon::Xvrrp);
        let text = self.routers[which].host.read(MONITOR)?;
        let vip = self.dialect.vip();
        let lines: Vec<_> = text.lines().filter(|line| line.contains(&format!(" {vip}/"))).collect();
        let added = self.addresses.first(self.routers[which].name(), Change::Added(vip), Moment::from_boot());
        ensure!(added.is_some() && !lines.is_empty(), "the monitor saw nothing:\n{text}");
        ensure!(!lines.iter().any(|line| line.contains("tentative")), "tentative:\n{}", lines.join("\n"));
        Ok(())
    }
}

const MONITOR: &str = "/run/lab/monitor.txt";

fn gaps(report: &PingReport, origin: Moment) -> String {
    let one = |gap: ha_tests::lab::Gap| {
        format!("{} lost from {:.1} ms on ({:?})", gap.lost, gap.start.ms_after(origin), gap.length())
    };
    let late = |gap: &ha_tests::lab::Gap| gap.start >= origin;
    report.gaps().into_iter().filter(late).map(one).collect::<Vec<_>>().join(", ")
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}
