//! What is known, and the picture of it: a pure function of what was added.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Sparkline, Table};

use super::Answer;
use super::history::History;
use crate::control::protocol::{InstanceStatus, PeerStatus, Severity, Status, Verdict};
use crate::events::Event;
use crate::findings::age;
use crate::findings::ready::{InstanceReady, ready};
use crate::words::printable;

/// More than fit on a screen.
const EVENTS: usize = 100;
/// The head of the events and three of them.
const EVENTS_LEAST: u16 = 4;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct View {
    colour: bool,
    status: Option<Status>,
    verdict: Verdict,
    /// Why the latest look came to nothing; the status is an earlier one.
    silent: bool,
    history: History,
    events: VecDeque<Event>,
}

impl View {
    /// Nothing is known yet.
    pub(super) fn new(colour: bool) -> Self {
        let verdict = Verdict { line: "asking the daemon".to_owned(), ..Verdict::default() };
        Self { colour, verdict, ..Self::default() }
    }

    /// A look at the daemon.
    pub(super) fn add(&mut self, answer: Answer) {
        self.silent = answer.is_err();
        match answer {
            Ok(status) => {
                self.history.add(&status);
                self.verdict = status.verdict.clone().unwrap_or_default();
                self.status = Some(status);
            }
            Err(verdict) => {
                self.history.gap();
                self.verdict = verdict;
            }
        }
    }

    /// What has happened, oldest first.
    pub(super) fn add_events(&mut self, events: Vec<Event>) {
        let skip = events.len().saturating_sub(EVENTS);
        self.events.extend(events.into_iter().skip(skip));
        let more = self.events.len().saturating_sub(EVENTS);
        drop(self.events.drain(..more));
    }

    /// How bad it is.
    pub(super) fn severity(&self) -> Severity {
        self.verdict.severity
    }

    /// The picture.
    pub(super) fn draw(&self, frame: &mut Frame) {
        let area = frame.area();
        let none = Status::default();
        let status = self.status.as_ref().unwrap_or(&none);
        let head = self.head(status, area.width);
        let lines = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        let top = lines(head.len());
        let links: usize =
            status.interfaces.iter().map(|one| one.peers.len() + usize::from(one.fence.is_some())).sum();
        let [instances, links] = shares(
            area.height.saturating_sub(top + 2 + EVENTS_LEAST),
            lines(status.instances.len() + 1),
            if links == 0 { 0 } else { lines(links + 1) },
        );
        let gap = u16::from(links > 0);
        let [top, instances, _, links, _, events] = Layout::vertical([
            Constraint::Length(top),
            Constraint::Length(instances),
            Constraint::Length(gap),
            Constraint::Length(links),
            Constraint::Length(1),
            Constraint::Min(0),
        ])
        .areas(area);
        frame.render_widget(Paragraph::new(head), top);
        if self.status.is_some() {
            self.draw_instances(frame, instances, status);
        }
        self.draw_links(frame, links, status);
        self.draw_events(frame, events);
    }

    fn style(&self, severity: Severity) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        if !self.colour {
            return bold;
        }
        bold.fg(match severity {
            Severity::Ok => Color::Green,
            Severity::Warning => Color::Yellow,
            Severity::Critical => Color::Red,
            Severity::Unknown => Color::Magenta,
        })
    }

    /// The verdict, what to do, and whose it is; an empty line.
    fn head(&self, status: &Status, width: u16) -> Vec<Line<'_>> {
        let severity = self.severity();
        let text = self.verdict.line.as_str();
        let first = match text.strip_prefix(severity.word()) {
            Some(rest) => vec![Span::styled(severity.word(), self.style(severity)), Span::raw(rest)],
            None => vec![Span::raw(text)],
        };
        let mut lines = wrapped(first, width);
        if let Some(finding) = self.verdict.findings.first() {
            let more = match self.verdict.findings.len() - 1 {
                0 => String::new(),
                more => format!("; {more} more: xvrrp status"),
            };
            let advice =
                if finding.advice.is_empty() { String::new() } else { format!("{} ", finding.advice) };
            let text = format!("  {advice}[{}]{more}", finding.code);
            lines.extend(wrapped(vec![Span::raw(""), Span::raw(text)], width));
        }
        if self.status.is_some() {
            #[expect(clippy::cast_precision_loss, reason = "an age")]
            let up = age(status.started_ms_ago as f64);
            let then = if self.silent { "last answer " } else { "" };
            let text =
                format!("xvrrp {}, pid {}, up {up}; {then}{}", status.version, status.pid, clock(&status.at));
            lines.push(Line::raw(text));
        }
        lines.push(Line::default());
        lines
    }

    fn draw_instances(&self, frame: &mut Frame, area: Rect, status: &Status) {
        let room = usize::from(area.height.saturating_sub(1));
        let ready = ready(status);
        let mut all: Vec<(&InstanceStatus, Option<&InstanceReady>)> = status
            .instances
            .iter()
            .map(|instance| (instance, ready.instances.iter().find(|one| one.name == instance.name)))
            .collect();
        if all.len() > room {
            // Those with trouble are what somebody looks for.
            all.sort_by_key(|(instance, _)| std::cmp::Reverse(self.worst(&instance.name)));
        }
        let head = ["INSTANCE", "STATE", "SINCE", "PRIO", "MASTER", "ADVERTS", "TAKEOVER"];
        let rows = all.iter().take(room).map(|(instance, ready)| {
            let severity = self.worst(&instance.name);
            let [name, state, rest @ ..] = instance_cells(instance, *ready);
            let state = Cell::new(Span::styled(state, self.style(severity)));
            Row::new([Cell::new(name), state].into_iter().chain(rest.map(Cell::new)))
        });
        let widths = [12, 7, 7, 4, 15, 9].map(Constraint::Length);
        let widths = widths.into_iter().chain([Constraint::Min(16)]);
        frame.render_widget(Table::new(rows, widths).header(bold(head)), area);
    }

    /// How bad the worst is that was found about an instance.
    fn worst(&self, name: &str) -> Severity {
        let findings = self.verdict.findings.iter().filter(|finding| finding.subject == name);
        findings.map(|finding| finding.severity).max().unwrap_or(Severity::Ok)
    }

    fn draw_links(&self, frame: &mut Frame, area: Rect, status: &Status) {
        let mut rest = area;
        let mut next = |height: u16| {
            let line = Rect { height: height.min(rest.height), ..rest };
            rest = Rect { y: rest.y + line.height, height: rest.height - line.height, ..rest };
            line
        };
        let head = "ROUND TRIPS of probes, and the fence";
        frame.render_widget(Line::styled(head, Modifier::BOLD), next(1));
        for interface in &status.interfaces {
            for peer in &interface.peers {
                let [text, curve] =
                    Layout::horizontal([Constraint::Length(52), Constraint::Min(0)]).areas(next(1));
                frame.render_widget(Line::raw(peer_line(&interface.name, peer)), text);
                if let Some(values) = self.history.round_trips(&interface.name, &peer.address) {
                    // The latest are at the right end.
                    let skip = values.len().saturating_sub(usize::from(curve.width));
                    let values: Vec<Option<u64>> = values.iter().skip(skip).copied().collect();
                    frame.render_widget(Sparkline::default().data(values).absent_value_symbol(" "), curve);
                }
            }
            if let Some(fence) = &interface.fence {
                let lease =
                    fence.lease_left_ms.map_or("no lease".to_owned(), |ms| format!("lease {ms:.0} ms"));
                let probed = match fence.probed_ms_ago {
                    Some(ms) if ms < 1000.0 => format!("probed {ms:.1} ms ago"),
                    Some(ms) => format!("probed {} ago", age(ms)),
                    None => "never probed".to_owned(),
                };
                let text =
                    format!("fence of {}: {}, {}, {lease}, {probed}", interface.name, fence.state, fence.now);
                frame.render_widget(Line::raw(text), next(1));
            }
        }
    }

    fn draw_events(&self, frame: &mut Frame, area: Rect) {
        let room = usize::from(area.height.saturating_sub(1));
        let mut lines: VecDeque<Line> = VecDeque::new();
        // The latest are at the end, and none is shown without its beginning.
        for event in self.events.iter().rev() {
            let style = match event.level.as_str() {
                "error" => self.style(Severity::Critical),
                "warning" => self.style(Severity::Warning),
                _ => Style::new(),
            };
            let more = wrapped(vec![Span::raw(""), Span::raw(short(event))], area.width);
            if lines.len() + more.len() > room {
                break;
            }
            more.into_iter().rev().for_each(|line| lines.push_front(line.style(style)));
        }
        if self.events.is_empty() {
            lines.push_back(Line::raw("none is recorded"));
        }
        lines.push_front(Line::styled("EVENTS", Modifier::BOLD));
        frame.render_widget(Paragraph::new(Vec::from(lines)), area);
    }
}

/// How many lines instances and links get of those that there are.
fn shares(room: u16, instances: u16, links: u16) -> [u16; 2] {
    // A third is for the links, and what one does not need is the other's.
    let links_least = links.min((room / 3).max(2)).min(room);
    let instances = instances.min(room - links_least);
    [instances, links.min(room - instances)]
}

fn bold<const N: usize>(words: [&'static str; N]) -> Row<'static> {
    Row::new(words).style(Modifier::BOLD)
}

fn instance_cells(instance: &InstanceStatus, ready: Option<&InstanceReady>) -> [String; 7] {
    #[expect(clippy::cast_precision_loss, reason = "an age")]
    let since = age(instance.since_ms as f64);
    let (master, adverts) = match (&instance.master, instance.state.as_str()) {
        (_, "MASTER") => ("this host".to_owned(), sent(instance.stats.advert_sent)),
        (Some(master), _) => {
            (master.address.clone(), format!("{:.1} s ago", master.last_advert_age_ms / 1000.0))
        }
        (None, _) => ("-".to_owned(), "-".to_owned()),
    };
    [
        instance.name.clone(),
        instance.state.clone(),
        since,
        instance.priority.effective.to_string(),
        master,
        adverts,
        ready.map_or_else(String::new, takeover),
    ]
}

/// What fits into the column.
fn sent(adverts: u64) -> String {
    if adverts < 10_000 { format!("{adverts} sent") } else { adverts.to_string() }
}

/// Who would take over, and how soon.
fn takeover(ready: &InstanceReady) -> String {
    let within = |ms: f64| if ms < 1000.0 { format!("{ms:.1} ms") } else { age(ms) };
    match (ready.state.as_str(), &ready.successor, ready.within_ms) {
        ("ready", Some(successor), Some(ms)) => format!("{successor} in {}", within(ms)),
        ("ready", Some(successor), None) => successor.clone(),
        ("not_ready", ..) if ready.role == "MASTER" => "NOBODY".to_owned(),
        ("not_ready", ..) => ready.obstacles.first().cloned().unwrap_or_else(|| "not this host".to_owned()),
        _ => "unknown".to_owned(),
    }
}

fn peer_line(interface: &str, peer: &PeerStatus) -> String {
    let who = format!("{} on {interface}", peer.address);
    if let Some(verdict) = &peer.verdict {
        return format!("{who:<24} {verdict}");
    }
    if peer.answered == 0 || !peer.fast {
        let why = if peer.answered == 0 { "answers no probes" } else { "is not our master" };
        return format!("{who:<24} {why}");
    }
    format!("{who:<24} {:>5.0} us  p99 {:>5.0} us ", peer.rtt_median_us, peer.rtt_p99_us)
}

/// `03:12:44 (VI_1) BACKUP -> MASTER …`: what is shown is recent, and mostly of level info.
fn short(event: &Event) -> String {
    let text = printable(&event.text, &[]);
    let level = match event.level.as_str() {
        "info" => String::new(),
        level => format!("{level}: "),
    };
    format!("{} {level}{text}", clock(&event.at))
}

/// `03:12:44` of an RFC 3339 time.
fn clock(at: &str) -> &str {
    at.get("2026-11-30T".len().."2026-11-30T03:12:44".len()).unwrap_or(at)
}

/// More lines of one text than this say nothing new.
const LINES: usize = 4;

/// A line that is too long goes on below, at blanks where there are some. Its first span is a word in its own style.
fn wrapped(spans: Vec<Span<'_>>, width: u16) -> Vec<Line<'_>> {
    let mut spans = spans.into_iter();
    let first = spans.next().unwrap_or_default();
    let mut rest: String = spans.map(|span| span.content).collect();
    let mut room = usize::from(width).saturating_sub(first.width());
    let mut lines = Vec::new();
    let mut line = Line::from(first);
    while lines.len() + 1 < LINES && rest.chars().count() > room {
        let fitting = || rest.char_indices().take(room + 1);
        let blank = fitting().filter(|(at, letter)| *at > 0 && *letter == ' ').last();
        let Some((cut, _)) = blank.or_else(|| fitting().last().filter(|(at, _)| *at > 0)) else { break };
        let below = rest.split_off(cut);
        line.push_span(Span::raw(std::mem::replace(&mut rest, below.trim_start().to_owned())));
        lines.push(std::mem::replace(&mut line, Line::raw("  ")));
        room = usize::from(width).saturating_sub(2);
    }
    line.push_span(Span::raw(rest));
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests;
