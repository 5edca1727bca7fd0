//! What a client sees of an event: the longest gap in a stream of pings, and who answers ARP.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Result;

use crate::lab::{ArpCensus, Lab, Moment, PingReport, Pinger};

/// The virtual address of the tutorial's files.
pub(super) const VIP: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 25);

const PING: Duration = Duration::from_millis(1);
/// Of the reference: a router's own address, which no event touches.
const REFERENCE: Duration = Duration::from_millis(10);
const CENSUS: Duration = Duration::from_millis(20);
/// The answers of this long at the end count as "who answers afterwards".
const LAST: Duration = Duration::from_millis(500);
/// Before the event: the stream runs.
const BEFORE: Duration = Duration::from_millis(300);

/// A machine that stands still for longer may cause any event by itself: it is several of the prober's windows, and less
/// than any bound here.
pub(super) const STOOD: Duration = Duration::from_millis(20);

/// A client that watches.
pub(super) struct Watch {
    pinger: Pinger,
    reference: Pinger,
    census: ArpCensus,
    begin: Moment,
}

/// What it saw.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    /// The longest time without an answer; of the whole rest, if nobody answered any more.
    pub(super) longest: Duration,
    /// Pings without an answer.
    pub(super) lost: usize,
    /// Pings.
    pub(super) sent: usize,
    /// Who answered ARP at the end, each once.
    pub(super) answers: Vec<String>,
    /// For how long questions had two different answers, all such times added up.
    pub(super) two: Duration,
    /// For how long at most the machine itself stood still: the client sent nothing, or r2's own address, which no event
    /// touches, did not answer.
    pub(super) stood: Duration,
}

impl Watch {
    /// Starts to watch, and lets the stream run a little before the event.
    pub(super) fn start(lab: &Lab, longest: Duration) -> Result<Self> {
        let client = lab.host("client")?;
        let pinger = client.ping(IpAddr::V4(VIP), PING, longest)?;
        let reference = client.ping(lab.host("r2")?.spec().v4.into(), REFERENCE, longest)?;
        let census = lab.arp_census("client", VIP, CENSUS)?;
        std::thread::sleep(BEFORE);
        Ok(Self { pinger, reference, census, begin: Moment::now() })
    }

    /// Ends `after` from now.
    pub(super) fn end(self, after: Duration) -> Outage {
        std::thread::sleep(after);
        let end = Moment::now();
        let samples = self.census.samples();
        let mut answers: Vec<String> = samples
            .iter()
            .filter(|sample| end.since(sample.asked) <= LAST)
            .flat_map(|sample| sample.answers.iter().cloned())
            .collect();
        answers.sort_unstable();
        answers.dedup();
        let doubles = self.census.double_answers(self.begin).len();
        let two = CENSUS * u32::try_from(doubles).unwrap_or(u32::MAX);
        let reference = self.reference.stop();
        let report = self.pinger.stop();
        let longest_of = |report: &PingReport| {
            let gaps = report.gaps();
            let length = |gap: &crate::lab::Gap| gap.length().unwrap_or_else(|| end.since(gap.start));
            gaps.iter().filter(|gap| gap.start >= self.begin).map(length).max().unwrap_or_default()
        };
        let longest = longest_of(&report);
        let stood = report.longest_stall().max(reference.longest_stall()).max(longest_of(&reference));
        let lost = report.lost_between(self.begin, end);
        let sent = report.echoes().iter().filter(|echo| echo.sent >= self.begin && echo.sent < end).count();
        Outage { longest, lost, sent, answers, two, stood }
    }
}

impl Outage {
    /// For the report.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "gap {:.1} ms, {} of {} lost, {} answers",
            self.longest.as_secs_f64() * 1e3,
            self.lost,
            self.sent,
            if self.answers.is_empty() { "nobody".to_owned() } else { self.answers.join(" and ") }
        );
        if !self.two.is_zero() {
            text += &format!(", two answered for {} ms", self.two.as_millis());
        }
        if self.stood > STOOD {
            text += &format!(", the machine itself stood still for {} ms", self.stood.as_millis());
        }
        text
    }

    /// The longest gap in milliseconds, for the table.
    pub(super) fn gap(&self) -> String {
        format!("{:.1}", self.longest.as_secs_f64() * 1e3)
    }
}
