//! The story of `cargo xtask run`: start, cable out, takeover, cable in, failback. Every figure comes from
//! the kernel's packet timestamps, its address notifications, or the client's ping stream.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ha_tests::lab::{Addresses, Change, Daemon, Lab, Moment, PingReport, Pinger, Running, Wire};

use super::lanes::{Event, Lane, Picture};
use super::screen::Screen;

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 16, 1, 25));

struct Stage<'a> {
    lab: &'a Lab,
    screen: Screen,
    wire: Wire,
    addresses: Addresses,
    pinger: Pinger,
    routers: [Running; 2],
    /// State as the routers say it, and the age of the last advert as the backup reads it from its map.
    told: [Told; 2],
    asked: Instant,
}

#[derive(Clone, Debug, Default)]
struct Told {
    state: String,
    priority: Option<u8>,
    advert_age_ms: Option<f64>,
}

/// Runs it. An error says which part of the story did not happen.
pub(super) fn failover(lab: &Lab, daemons: [Daemon; 2], files: [&str; 2], svg: Option<&Path>) -> Result<()> {
    let mut screen = Screen::new();
    screen.say(&format!("lab: r1 {}, r2 {}, client, one switch", daemons[0].name(), daemons[1].name()));
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let routers =
        [lab.host("r1")?.start(daemons[0], files[0])?, lab.host("r2")?.start(daemons[1], files[1])?];
    let pinger = lab.host("client")?.ping(VIP, Duration::from_millis(1), Duration::from_secs(120))?;
    let asked = Instant::now();
    let mut stage = Stage { lab, screen, wire, addresses, pinger, routers, told: Default::default(), asked };
    // The line that is being refreshed stays readable above an error.
    let times = stage.play().inspect_err(|_| println!())?;
    stage.finish(&times, svg)
}

/// The moments of the story.
struct Times {
    out: Moment,
    moved: Moment,
    answered: Moment,
    back: Moment,
    returned: Moment,
    end: Moment,
}

impl Stage<'_> {
    fn play(&mut self) -> Result<Times> {
        self.until(15, "r1 alone has the virtual address and answers the client", |stage| {
            let alone = stage.addresses.holders(VIP) == ["r1"];
            (alone && stage.pinger.is_answered(Duration::from_millis(20))).then_some(())
        })?;
        self.watch(Duration::from_millis(2_500))?;

        let out = Moment::now();
        self.lab.switch().unplug("r1")?;
        self.screen.say("the cable of r1 is out");
        let noticed =
            self.until(15, "r2 notices that r1 is dead", |s| s.wire.first_advert_from("r2", out))?;
        let moved =
            self.until(5, "r2 has the virtual address", |s| s.addresses.taken(&s.wire, "r2", VIP, out))?;
        let answered = self.until(5, "the client is answered again", |s| s.pinger.first_answer(moved))?;
        self.screen.say(&format!("r2 noticed            {:8.1} ms after the pull", noticed.ms_after(out)));
        self.screen.say(&format!("r2 had {VIP}    {:8.1} ms", moved.ms_after(out)));
        self.screen.say(&format!("client answered again {:8.1} ms", answered.ms_after(out)));
        self.watch(Duration::from_millis(1_500))?;

        let back = Moment::now();
        self.lab.switch().plug("r1")?;
        self.screen.say("the cable of r1 is in again");
        let returned = self.until(15, "r1 takes the virtual address back", |stage| {
            stage.addresses.taken(&stage.wire, "r1", VIP, back)
        })?;
        self.until(5, "r1 alone has the virtual address", |stage| {
            (stage.addresses.holders(VIP) == ["r1"]).then_some(())
        })?;
        self.watch(Duration::from_millis(1_500))?;
        if !self.pinger.is_answered(Duration::from_millis(100)) {
            bail!("after the failback the client is not answered\n{}", self.lab.dossier());
        }
        Ok(Times { out, moved, answered, back, returned, end: Moment::now() })
    }

    fn finish(mut self, times: &Times, svg: Option<&Path>) -> Result<()> {
        let report = self.pinger.report();
        let lost = report.lost_between(times.back, times.end);
        self.screen.say(&format!(
            "failback: r1 had it again {:.1} ms after the cable, {lost} pings of a 1 ms stream lost",
            times.returned.ms_after(times.back)
        ));
        let picture = self.picture(times, &report);
        println!("\n{}", picture.text(72));
        if let Some(age) = self.last_advert_before(times) {
            println!(
                "r2 had the address {:.1} ms after r1's last advert; the client {:.1} ms later.",
                times.moved.ms_after(age),
                times.answered.ms_after(times.moved)
            );
        }
        println!(
            "pings: {} sent, round trip {} median, stream held up by the machine at most {:.1} ms",
            report.sent(),
            report.round_trip(50).map_or("-".to_owned(), |rtt| format!("{:.0} us", rtt.as_secs_f64() * 1e6)),
            report.longest_stall().as_secs_f64() * 1e3
        );
        if let Some(file) = svg {
            std::fs::write(file, picture.svg()).with_context(|| format!("writing {}", file.display()))?;
            println!("timeline drawn into {}", file.display());
        }
        Ok(())
    }

    fn last_advert_before(&self, times: &Times) -> Option<Moment> {
        let mac = self.lab.host("r1").ok()?.spec().mac;
        self.wire.last_advert_delivered(mac, "r2", times.moved)
    }

    /// Shows the live line until `done`, at most `seconds`.
    fn until<T>(&mut self, seconds: u64, what: &str, done: impl Fn(&Self) -> Option<T>) -> Result<T> {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(value) = done(self) {
                return Ok(value);
            }
            if Instant::now() >= end {
                bail!("this did not happen within {seconds} s: {what}\n{}", self.lab.dossier());
            }
            self.refresh()?;
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn watch(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.refresh()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn refresh(&mut self) -> Result<()> {
        self.routers.iter_mut().try_for_each(Running::check_alive)?;
        // Asking starts a program; four times a second does not disturb what is measured.
        if self.asked.elapsed() >= Duration::from_millis(250) {
            self.asked = Instant::now();
            for (router, told) in self.routers.iter().zip(&mut self.told) {
                *told = ask(self.lab, router).unwrap_or_default();
            }
        }
        let now = Moment::now();
        let holders = self.addresses.holders(VIP);
        let holder = if holders.is_empty() { "nobody".to_owned() } else { holders.join(" and ") };
        let ping = if self.pinger.is_answered(Duration::from_millis(20)) { "answered" } else { "lost" };
        let state = |told: &Told| {
            let priority = told.priority.map_or(String::new(), |priority| format!(" {priority}"));
            format!("{:<10}", format!("{}{priority}", told.state))
        };
        let key = format!(
            "r1 {} r2 {} {VIP} on {holder:<10} ping {ping:<9}",
            state(&self.told[0]),
            state(&self.told[1])
        );
        // It was read when the routers were asked last.
        let since = self.asked.elapsed().as_secs_f64() * 1e3;
        let in_map = self.told[1].advert_age_ms.map(|age| format!("advert {:.0} ms ago (map)", age + since));
        let on_wire = || {
            let newest = ["r1", "r2"].iter().filter_map(|host| self.wire.last_advert_from(host, now)).max();
            newest.map(|at| format!("advert {:.0} ms ago", now.ms_after(at)))
        };
        let age = in_map.or_else(on_wire).unwrap_or_default();
        self.screen.live(&key, &format!("{key} {age}"));
        Ok(())
    }

    fn picture(&self, times: &Times, report: &PingReport) -> Picture {
        let second = |at: Moment| at.ms_after(times.out) / 1e3;
        let (from, to) = (-2.0, second(times.end));
        let history = self.addresses.history();
        let holder = |host: &str| {
            let mut spans = Vec::new();
            let mut since = None;
            for entry in history.iter().filter(|entry| entry.host == host) {
                match entry.change {
                    Change::Added(ip) if ip == VIP => since = since.or(Some(second(entry.at))),
                    Change::Removed(ip) if ip == VIP => {
                        spans.extend(since.take().map(|from| (from, second(entry.at))));
                    }
                    _ => {}
                }
            }
            spans.extend(since.map(|from| (from, to)));
            Lane { label: format!("{VIP} on {host}"), spans, marks: Vec::new() }
        };
        let adverts = |host: &str| {
            let seen = self.wire.filter(|sighting| sighting.is_advert_from(host));
            let marks = seen.iter().map(|sighting| second(sighting.at)).collect();
            Lane { label: format!("{host} advertises"), spans: Vec::new(), marks }
        };
        let mut answered = Vec::new();
        let mut since = report.echoes().first().map_or(from, |echo| second(echo.sent));
        for gap in report.gaps() {
            answered.push((since, second(gap.start)));
            since = gap.end.map_or(to, second);
        }
        answered.push((since, to));
        let client = Lane { label: "client answered".to_owned(), spans: answered, marks: Vec::new() };
        let event = |at, name: &str| Event { at: second(at), name: name.to_owned() };
        Picture {
            from,
            to,
            lanes: vec![adverts("r1"), adverts("r2"), holder("r1"), holder("r2"), client],
            events: vec![
                event(times.out, "cable out"),
                event(times.moved, "takeover"),
                event(times.back, "cable in"),
                event(times.returned, "failback"),
            ],
        }
    }
}

fn ask(lab: &Lab, router: &Running) -> Result<Told> {
    if router.daemon() != Daemon::Xvrrp {
        return Ok(Told { state: router.keepalived_state(), ..Told::default() });
    }
    let host = lab.hosts().iter().find(|host| router.runs_on(host)).context("a router without a host")?;
    let status = host.xvrrp_status()?;
    let instance = status.instances.first().context("no instance")?;
    Ok(Told {
        state: instance.state.clone(),
        priority: Some(instance.priority.effective),
        advert_age_ms: instance.master.as_ref().map(|master| master.last_advert_age_ms),
    })
}
