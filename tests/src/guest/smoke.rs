//! Everything that is tried on each kernel, with two routers that run the daemon, in the order of a bad day.
//!
//! A step that fails is told and the next one is tried all the same: a table of what works is worth more than the
//! first failure.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::judge::{BY_LEASE, BY_PROBE, BY_TIMER, PLANNED, judged, judged_after_two};
use super::outage::{Outage, STOOD, Watch};
use super::router::{Router, until};
use super::{Line, STOOD_STILL, Words, cards, kernel_log};
use crate::lab::Lab;

const MASTER: &str = include_str!("../../inputs/two-node/master.conf");
const BACKUP: &str = include_str!("../../inputs/two-node/backup.conf");

/// No watch lasts longer.
const WATCH: Duration = Duration::from_secs(60);
/// A host that comes back sooner than this after the verdict makes that look wrong, which pauses fast failover.
const DEAD: Duration = Duration::from_millis(10_500);
/// How long a client goes on watching after an event that was over when its function returned.
const AFTER: Duration = Duration::from_millis(1_000);
/// A start on a slow processor.
const RESTART: Duration = Duration::from_millis(3_500);
/// How long a daemon is frozen.
const FREEZE: Duration = Duration::from_secs(2);

/// The routers on their lab.
struct Smoke<'a> {
    lab: &'a Lab,
    r1: Router<'a>,
    r2: Router<'a>,
    /// Both routers have XDP: deaths are noticed by probes, and the dead are fenced.
    fast: bool,
    /// For how long at most the machine itself stood still in this step.
    stood: Duration,
}

pub(super) fn run(words: &Words) -> Result<()> {
    step("lab");
    let lab = cards::lab(words.card.as_deref())?;
    result("driver", &cards::driver(&lab, "r1").unwrap_or_else(|error| format!("unknown ({error:#})")));
    step("start");
    let file = |text: &str| match words.card.as_deref() {
        // By itself the daemon takes generic mode where native mode costs the link for a moment.
        Some("igb") => format!("global_defs {{\n    xdp_mode native\n}}\n{text}"),
        _ => text.to_owned(),
    };
    let r2 = Router::start(&lab, "r2", &file(BACKUP))?;
    let r1 = Router::start(&lab, "r1", &file(MASTER))?;
    let mut smoke = Smoke { lab: &lab, r1, r2, fast: false, stood: Duration::ZERO };
    let up = smoke.attach(&words.modes);
    let usable = up.is_ok() || smoke.r1.holds().unwrap_or(false);
    say("attach", up);
    if usable {
        smoke.steps(words.short);
    }
    for router in [&smoke.r1, &smoke.r2] {
        let name = router.host.name().to_owned();
        for line in router.daemon.log().lines() {
            Line::Log(name.clone(), line.to_owned()).print();
        }
    }
    Ok(())
}

/// What `status` says in place of a reason while a program is on its way.
fn is_loading(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| reason.contains("being loaded"))
}

impl Smoke<'_> {
    fn steps(&mut self, short: bool) {
        let mut one = |name: &str, long: bool, what: fn(&mut Self) -> Result<String>| {
            if !(long && short) {
                step(name);
                self.stood = Duration::ZERO;
                let found = what(self);
                if self.stood > STOOD {
                    result(&format!("{name}.{STOOD_STILL}"), &self.stood.as_millis().to_string());
                }
                say(name, found);
            }
        };
        one("discovery", false, Self::discovery);
        one("memory", false, Self::memory);
        one("host-death", false, Self::host_death);
        one("host-back", false, |smoke| smoke.back(true));
        one("cable", true, Self::cable);
        one("cable-back", true, |smoke| smoke.back(false));
        one("kill", false, Self::kill);
        one("start-again", false, Self::start_again);
        one("freeze", false, Self::freeze);
        one("restart-exec", false, Self::restart_exec);
        one("restart-signal", true, Self::restart_signal);
        one("upgrade", true, |smoke| smoke.other_version(-1));
        one("downgrade", true, |smoke| smoke.other_version(1));
        one("bpftool", false, Self::bpftool);
        one("stop", false, Self::stop);
        if short {
            one("last-stop", false, Self::last_stop);
        } else {
            one("detach", false, Self::detach);
        }
        one("leftovers", false, Self::leftovers);
        one("kernel-log", false, Self::kernel_log);
    }

    fn attach(&mut self, modes: &[String]) -> Result<String> {
        self.r1.until_holds(true)?;
        self.r2.until_holds(false)?;
        let mut texts = Vec::new();
        let mut wrong = false;
        for router in [&self.r1, &self.r2] {
            // A slow processor takes seconds for the verifier, and the daemon runs meanwhile.
            let loaded = || router.interface().ok().filter(|on| !is_loading(on.xdp_reason.as_deref()));
            let interface = until(loaded).context("the program is being loaded and never comes")?;
            let mode = interface.xdp.unwrap_or_else(|| "none".to_owned());
            let reason = interface.xdp_reason.filter(|why| !why.is_empty());
            let reason = reason.map(|why| format!(" ({why})")).unwrap_or_default();
            wrong |= !modes.is_empty() && !modes.contains(&mode);
            result(&format!("{}.mode", router.host.name()), &mode);
            self.fast = matches!(mode.as_str(), "native" | "generic");
            texts.push(format!("{} {mode}{reason}", router.host.name()));
        }
        let text = texts.join(", ");
        ensure!(!wrong, "{text}; expected: {}", modes.join(" or "));
        Ok(text)
    }

    fn discovery(&mut self) -> Result<String> {
        let interface = self.r2.until_probes()?;
        let peer = interface.peers.first().context("no peer")?;
        Ok(format!("{} answers: {} of {} probes", peer.address, peer.answered, peer.sent))
    }

    fn memory(&mut self) -> Result<String> {
        let mut texts = Vec::new();
        for router in [&self.r1, &self.r2] {
            let [resident, anonymous, locked] = router.memory()?.map(|kb| kb as f64 / 1e3);
            let name = router.host.name();
            result(&format!("{name}.rss"), &format!("{resident:.1}"));
            texts.push(format!(
                "{name} {resident:.1} MB resident ({anonymous:.1} anonymous, {locked:.1} locked)"
            ));
        }
        Ok(texts.join(", "))
    }

    /// Runs `event` under the eyes of a client, which goes on watching for `after`.
    fn watch(
        &mut self,
        key: &str,
        after: Duration,
        event: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Outage> {
        let watch = Watch::start(self.lab, WATCH)?;
        event(self)?;
        let outage = watch.end(after);
        self.stood = self.stood.max(outage.stood);
        result(&format!("{key}.gap"), &outage.gap());
        result(&format!("{key}.lost"), &outage.lost.to_string());
        Ok(outage)
    }

    /// What a takeover may take here.
    fn bound(&self, with_probes: Duration) -> Duration {
        if self.fast { with_probes } else { BY_TIMER }
    }

    /// How long a death is watched.
    fn patience(&self) -> Duration {
        if self.fast { AFTER } else { BY_TIMER }
    }

    fn host_death(&mut self) -> Result<String> {
        self.ready()?;
        let outage = self.watch("host-death", self.patience(), |s| s.lab.switch().silence("r1"))?;
        self.r2.until_holds(true)?;
        std::thread::sleep(DEAD);
        judged(&outage, self.bound(BY_PROBE), "r2")
    }

    fn cable(&mut self) -> Result<String> {
        self.ready()?;
        let outage = self.watch("cable", self.patience(), |s| s.lab.switch().unplug("r1"))?;
        self.r2.until_holds(true)?;
        std::thread::sleep(DEAD);
        judged(&outage, self.bound(BY_PROBE), "r2")
    }

    /// The host comes back: the better router takes over again, and one of them answers.
    fn back(&mut self, silenced: bool) -> Result<String> {
        let key = if silenced { "host-back" } else { "cable-back" };
        let outage = self.watch(key, AFTER, |s| {
            if silenced {
                s.lab.switch().restore("r1")?
            } else {
                s.lab.switch().plug("r1")?
            }
            s.r1.until_holds(true)?;
            s.r2.until_holds(false)
        })?;
        judged_after_two(&outage, BY_PROBE, "r1")
    }

    /// A verdict that was wrong pauses fast failover for a while; the next event waits for the end of it.
    fn ready(&mut self) -> Result<()> {
        if self.fast {
            self.r2.until_probes()?;
        }
        Ok(())
    }

    fn kill(&mut self) -> Result<String> {
        self.ready()?;
        let outage = self.watch("kill", self.patience(), |s| s.r1.daemon.kill9())?;
        if !self.fast {
            // Nothing fences it, and nobody says otherwise.
            return Ok(format!("{}; there is no fence without XDP", outage.text()));
        }
        self.r2.until_holds(true)?;
        ensure!(
            self.r1.holds()?,
            "the address of the killed daemon is gone, so this says nothing of the fence"
        );
        judged(&outage, BY_PROBE, "r2")
    }

    fn start_again(&mut self) -> Result<String> {
        let outage = self.watch("start-again", AFTER, |s| {
            s.r1.start_again()?;
            s.r2.until_holds(false)?;
            s.r1.until_holds(true)
        })?;
        let judge = if self.fast { judged } else { judged_after_two };
        judge(&outage, self.bound(BY_PROBE), "r1")
    }

    fn freeze(&mut self) -> Result<String> {
        self.ready()?;
        let outage = self.watch("freeze", FREEZE, |s| s.r1.daemon.freeze())?;
        let frozen = if self.fast { judged(&outage, BY_LEASE, "r2") } else { Ok(outage.text()) };
        let thawed = self.watch("thaw", AFTER, |s| {
            s.r1.daemon.thaw()?;
            // It steps down first, and then is the better one again.
            std::thread::sleep(AFTER);
            s.r2.until_holds(false)?;
            s.r1.until_holds(true)
        })?;
        let thawed = judged(&thawed, self.bound(BY_PROBE), "r1");
        Ok(format!("frozen: {}; thawed: {}", frozen?, thawed?))
    }

    /// A planned restart: the role stays, nothing is lost.
    fn restarted(&mut self, key: &str, event: impl FnOnce(&mut Self) -> Result<()>) -> Result<String> {
        self.ready()?;
        let addresses = self.lab.watch_addresses()?;
        let before = addresses.history().len();
        let outage = self.watch(key, RESTART, event)?;
        self.r1.daemon.check_alive()?;
        let changes: Vec<_> = addresses.history().split_off(before);
        ensure!(changes.is_empty(), "{}; addresses changed: {changes:?}", outage.text());
        judged(&outage, PLANNED, "r1")
    }

    fn restart_exec(&mut self) -> Result<String> {
        self.restarted("restart-exec", |s| s.r1.order("restart").map(drop))
    }

    fn restart_signal(&mut self) -> Result<String> {
        self.restarted("restart-signal", |s| {
            s.r1.daemon.leave_for_restart()?;
            s.r1.ended()?;
            s.r1.start_again()
        })
    }

    /// A restart between which the pins became those of another version of the maps: it goes on without them, and
    /// leaves none behind. Whose role it is meanwhile is not promised; that one of them has it is.
    fn other_version(&mut self, by: i32) -> Result<String> {
        self.ready()?;
        let key = if by < 0 { "upgrade" } else { "downgrade" };
        let mut which = String::new();
        let outage = self.watch(key, AFTER, |s| {
            s.r1.daemon.leave_for_restart()?;
            s.r1.ended()?;
            which = s.r1.other_version(by)?;
            s.r1.start_again()?;
            s.r1.until_holds(true)?;
            s.r2.until_holds(false)
        })?;
        let versions = self.r1.versions();
        ensure!(versions.len() == 1, "{which}: pins of {versions:?} are there");
        let mode = self.r1.interface()?.xdp.unwrap_or_default();
        ensure!(matches!(mode.as_str(), "native" | "generic"), "{which}: XDP is {mode} afterwards");
        let text = judged(&outage, BY_TIMER, "r1")?;
        Ok(format!("maps of {which}: {text}"))
    }

    fn bpftool(&mut self) -> Result<String> {
        let fields =
            [("HA_ADVERTS", "last_seen_ns"), ("HA_COUNTERS", "stamped"), ("HA_LEASE", "lease_until_ns")];
        for (map, field) in fields {
            let dump = self.r2.dump(map)?;
            ensure!(dump.contains(&format!("\"{field}\"")), "the dump of {map} does not name {field}");
        }
        Ok("maps are shown with the names of their fields".to_owned())
    }

    fn stop(&mut self) -> Result<String> {
        self.ready()?;
        let outage = self.watch("stop", AFTER, |s| {
            let status = s.r1.daemon.stop()?.context("it had to be killed")?;
            ensure!(status.success(), "it ended with {status}");
            Ok(())
        })?;
        judged(&outage, self.bound(PLANNED), "r2")
    }

    /// Nobody is left to take over.
    fn last_stop(&mut self) -> Result<String> {
        self.r2.daemon.stop()?.context("it had to be killed")?;
        Ok("stopped".to_owned())
    }

    fn detach(&mut self) -> Result<String> {
        self.r2.daemon.kill9()?;
        let pins = self.r2.pins().len();
        let said = self.r2.order("detach")?;
        let left = self.r2.pins().len();
        ensure!(left == 0, "{left} of {pins} pins are left: {said}");
        let links = self.r2.host.output(&["ip", "-d", "link"])?;
        ensure!(!links.contains("xdp"), "the XDP program is still there: {said}");
        // A start and a stop remove the address, which `detach` leaves to the operator.
        self.r2.start_again()?;
        until(|| self.r2.host.xvrrp_status().ok()).context("no status")?;
        self.r2.daemon.stop()?.context("it had to be killed")?;
        Ok(format!("{pins} pins removed"))
    }

    fn leftovers(&mut self) -> Result<String> {
        self.r1.nothing_left()?;
        self.r2.nothing_left()?;
        let mut processes = Vec::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            if comm.trim() == "xvrrp" {
                processes.push(entry.file_name());
            }
        }
        ensure!(processes.is_empty(), "processes: {processes:?}");
        Ok("no address, no pin, no program, no process".to_owned())
    }

    fn kernel_log(&mut self) -> Result<String> {
        let complaints = kernel_log::complaints().context("reading the kernel's log")?;
        ensure!(complaints.is_empty(), "{}", complaints.join(" | "));
        Ok("no complaint".to_owned())
    }
}

pub(super) fn step(name: &str) {
    Line::Step(name.to_owned()).print();
}

pub(super) fn result(key: &str, value: &str) {
    Line::Result(key.to_owned(), value.to_owned()).print();
}

pub(super) fn say(name: &str, found: Result<String>) {
    match found {
        Ok(text) => Line::check(name, true, &text).print(),
        Err(error) => Line::check(name, false, &format!("{error:#}")).print(),
    }
}
