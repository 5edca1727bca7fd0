//! Two virtual machines, each with one router and a kernel of its own: r1 alone in one, everything else in the other.
//! A machine that its host freezes whole is the test of a paused hypervisor.
//!
//! The machines have no clock in common, and a stall of the host is a stall of theirs; so no gap is judged here, only
//! who has the address in the end and for how long two answered.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::orders::{self, Officer};
use super::outage::{Outage, VIP, Watch};
use super::router::Router;
use super::smoke::{result, say, step};
use super::{Line, Words};
use crate::lab::{Addresses, Change, Lab, Switch, Topology};

const MASTER: &str = include_str!("../../inputs/two-node/master.conf");
const BACKUP: &str = include_str!("../../inputs/two-node/backup.conf");

const R1: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 1);
/// Wide, because the machines run at the mercy of a busy host: below the shortest freeze all the same.
const WINDOW: &str = "fast_window 25ms";
const FREEZES_MS: [u64; 4] = [50, 200, 700, 3_000];
const WATCH: Duration = Duration::from_secs(120);
/// Two machines of which one is slower to boot.
const CONTACT: Duration = Duration::from_secs(240);
const ORDER: Duration = Duration::from_secs(30);
/// After a thaw: the frozen one hears an advert, which come every second, and yields or is yielded to.
const TWO: Duration = Duration::from_millis(1_500);

fn config(file: &str, more: &str) -> String {
    format!("global_defs {{\n    {WINDOW}\n    {more}\n}}\n{file}")
}

/// The machine with r1, which obeys.
pub(super) fn first(words: &Words) -> Result<()> {
    let mut topology = Topology::two_node();
    topology.hosts.retain(|host| host.name == "r1");
    let lab = Lab::new(topology)?;
    let card = Switch::card_of_machine("02:00:00:00:00:01").context("this machine has no card")?;
    lab.switch().output(&["ip", "link", "del", "r1"])?;
    lab.host("r1")?.use_card(&card)?;
    let more = if words.raw { "xdp_mode off" } else { "" };
    let addresses = lab.watch_addresses()?;
    let mut router: Option<Router<'_>> = None;
    let text = config(MASTER, more);
    orders::obey(lab.host("r1")?, |word| {
        println!("order: {word}");
        let answer = obey(&lab, &text, &mut router, word);
        (word != "end").then(|| answer.unwrap_or_else(|error| format!("error: {error:#}")))
    })?;
    for change in addresses.history() {
        Line::Log("r1".into(), format!("address: {change:?}")).print();
    }
    for line in
        router.iter().flat_map(|router| router.daemon.log().lines().map(str::to_owned).collect::<Vec<_>>())
    {
        Line::Log("r1".into(), line).print();
    }
    Ok(())
}

fn obey<'a>(lab: &'a Lab, config: &str, router: &mut Option<Router<'a>>, word: &str) -> Result<String> {
    match (word, router.as_mut()) {
        ("start", None) => *router = Some(Router::start(lab, "r1", config)?),
        ("start", Some(router)) => router.start_again()?,
        ("kill", Some(router)) => router.daemon.kill9()?,
        ("stop", Some(router)) => drop(router.daemon.stop()?.context("it had to be killed")?),
        ("mode", Some(router)) => return Ok(router.interface()?.xdp.unwrap_or_else(|| "none".to_owned())),
        ("release", _) => {
            return Ok(std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned());
        }
        ("end", _) => {}
        _ => bail!("cannot {word} now"),
    }
    Ok("done".to_owned())
}

/// The machine with r2, the client and the switch.
pub(super) fn second(_words: &Words) -> Result<()> {
    step("lab");
    let mut topology = Topology::two_node();
    topology.hosts.retain(|host| host.name != "r1");
    let mut lab = Lab::new(topology)?;
    let port = Switch::card_of_machine("52:54:00:00:00:11").context("this machine has no card")?;
    lab.add_port("r1", &port)?;
    let mut officer = Officer::new(lab.host("client")?, R1)?;
    step("contact");
    result("other.kernel", &officer.order("release", CONTACT)?);
    step("start");
    let r2 = Router::start(&lab, "r2", &config(BACKUP, ""))?;
    officer.order("start", ORDER)?;
    let addresses = lab.watch_addresses()?;
    let mut pair = Pair { lab: &lab, r2, officer, addresses, raw: false };
    say("attach", pair.attach());
    say("discovery", pair.discovery());
    for ms in FREEZES_MS {
        step(&format!("freeze-{ms}"));
        say(&format!("freeze-{ms}"), pair.freeze(ms));
    }
    say("kill", pair.kill());
    say("start-again", pair.start_again());
    say("stop", pair.stop());
    let _it_may_be_gone = pair.officer.order("end", ORDER);
    for line in pair.r2.daemon.log().lines() {
        Line::Log("r2".into(), line.to_owned()).print();
    }
    Ok(())
}

struct Pair<'a> {
    lab: &'a Lab,
    r2: Router<'a>,
    officer: Officer,
    addresses: Addresses,
    /// r1 runs without XDP.
    raw: bool,
}

impl Pair<'_> {
    fn attach(&mut self) -> Result<String> {
        std::thread::sleep(Duration::from_secs(8));
        self.r2.until_holds(false)?;
        let first = self.officer.order("mode", ORDER)?;
        let second = self.r2.interface()?.xdp.unwrap_or_else(|| "none".to_owned());
        self.raw = first != "native" && first != "generic";
        result("r1.mode", &first);
        result("r2.mode", &second);
        ensure!(matches!(second.as_str(), "native" | "generic"), "r1 {first}, r2 {second}");
        Ok(format!("r1 {first}, r2 {second}"))
    }

    fn discovery(&mut self) -> Result<String> {
        let interface = self.r2.until_probes()?;
        let peer = interface.peers.first().context("no peer")?;
        Ok(format!("{} answers: {} of {} probes", peer.address, peer.answered, peer.sent))
    }

    /// Watches while `event` happens and for `after` from then; with how often r2 took over.
    fn watch(
        &mut self,
        key: &str,
        after: Duration,
        event: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<(Outage, String)> {
        let before = self.addresses.history().len();
        let watch = Watch::start(self.lab, WATCH)?;
        event(self)?;
        let outage = watch.end(after);
        result(&format!("{key}.gap"), &outage.gap());
        let taken = |change: &crate::lab::ChangeAt| matches!(&change.change, Change::Added(address) if *address == IpAddr::V4(VIP));
        let takeovers = self.addresses.history().into_iter().skip(before).filter(taken).count();
        result(&format!("{key}.takeovers"), &takeovers.to_string());
        // The other machine's router is no host of this lab.
        let text =
            format!("{}, r2 took over {takeovers} times", outage.text()).replace("02:00:00:00:00:01", "r1");
        Ok((outage, text))
    }

    /// The host of r1 stops it whole, and lets it go on.
    fn freeze(&mut self, ms: u64) -> Result<String> {
        let key = format!("freeze-{ms}");
        let after = Duration::from_millis(ms + 7_000);
        let (outage, text) = self.watch(&key, after, |_| {
            Line::Order(format!("freeze {ms}")).print();
            Ok(())
        })?;
        ensure!(outage.answers.len() == 1, "{text}; one alone should answer");
        ensure!(outage.two <= TWO, "{text}; at most {} ms were expected", TWO.as_millis());
        Ok(text)
    }

    fn kill(&mut self) -> Result<String> {
        let (outage, text) =
            self.watch("kill", Duration::from_secs(6), |pair| pair.officer.order("kill", ORDER).map(drop))?;
        if self.raw {
            return Ok(format!("{text}; there is no fence without XDP"));
        }
        ensure!(outage.answers == ["r2"], "{text}; r2 alone should answer");
        Ok(text)
    }

    fn start_again(&mut self) -> Result<String> {
        let (outage, text) = self.watch("start-again", Duration::from_secs(12), |pair| {
            pair.officer.order("start", ORDER).map(drop)
        })?;
        ensure!(outage.answers == ["02:00:00:00:00:01"], "{text}; r1 alone should answer");
        Ok(text)
    }

    fn stop(&mut self) -> Result<String> {
        let (outage, text) =
            self.watch("stop", Duration::from_secs(4), |pair| pair.officer.order("stop", ORDER).map(drop))?;
        ensure!(outage.answers == ["r2"], "{text}; r2 alone should answer");
        Ok(text)
    }
}
