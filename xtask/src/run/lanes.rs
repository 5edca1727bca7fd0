//! The timeline at the end: what held when, one lane per fact, as text and as SVG. Pure.

use std::fmt::Write as _;

/// One row of the timeline. Times are in seconds on the axis of the picture.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) label: String,
    /// When it held.
    pub(super) spans: Vec<(f64, f64)>,
    /// When something happened, such as an advert being sent.
    pub(super) marks: Vec<f64>,
}

/// A vertical line with a name.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: f64,
    pub(super) name: String,
}

/// The whole picture, from `from` to `to`.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) lanes: Vec<Lane>,
    pub(super) events: Vec<Event>,
}

impl Picture {
    /// Text, `columns` wide without the labels.
    pub(super) fn text(&self, columns: usize) -> String {
        let label = self.lanes.iter().map(|lane| lane.label.len()).max().unwrap_or(0);
        let step = (self.to - self.from) / columns as f64;
        let column = |at: f64| (0..columns).rev().find(|n| self.from + *n as f64 * step <= at).unwrap_or(0);
        let mut out = String::new();
        let row = |cells: Vec<char>| cells.into_iter().collect::<String>().trim_end().to_owned();
        for head in heads(self.events.iter().map(|event| (column(event.at), event.name.as_str())).collect()) {
            let _infallible = writeln!(out, "{:label$} {head}", "");
        }
        for lane in &self.lanes {
            let mut cells = vec!['.'; columns];
            for (n, cell) in cells.iter_mut().enumerate() {
                let (start, end) = (self.from + n as f64 * step, self.from + (n + 1) as f64 * step);
                // A cell shows the fact only if it held throughout: a short loss must stay visible.
                if lane.spans.iter().any(|(from, to)| *from <= start && *to >= end) {
                    *cell = '=';
                }
            }
            if lane.spans.is_empty() {
                cells.fill(' ');
            }
            for mark in lane.marks.iter().filter(|mark| **mark >= self.from && **mark <= self.to) {
                if let Some(cell) = cells.get_mut(column(*mark)) {
                    *cell = '|';
                }
            }
            let _infallible = writeln!(out, "{:label$} {}", lane.label, row(cells));
        }
        let mut axis = vec![' '; columns + 6];
        for second in self.whole_seconds() {
            for (cell, letter) in axis.iter_mut().skip(column(second)).zip(format!("{second:.0}").chars()) {
                *cell = letter;
            }
        }
        let _infallible = writeln!(out, "{:label$} {}", "seconds", row(axis));
        out
    }

    /// An SVG document.
    pub(super) fn svg(&self) -> String {
        let (left, width, row, top) = (170.0, 900.0, 26.0, 46.0);
        let x = |at: f64| left + (at.clamp(self.from, self.to) - self.from) / (self.to - self.from) * width;
        let bottom = top + self.lanes.len() as f64 * row;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
            left + width + 30.0,
            bottom + 30.0
        );
        for (n, lane) in self.lanes.iter().enumerate() {
            let y = top + n as f64 * row;
            let _infallible =
                writeln!(out, "<text x=\"8\" y=\"{}\">{}</text>", y + 16.0, escape(&lane.label));
            for (from, to) in lane.spans.iter().filter(|(from, to)| *to > self.from && *from < self.to) {
                let (from, to) = (x(*from), x(*to));
                let _infallible = writeln!(
                    out,
                    "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" fill=\"#4a90c2\"/>",
                    y + 5.0,
                    to - from
                );
            }
            for mark in lane.marks.iter().filter(|mark| **mark >= self.from && **mark <= self.to) {
                let at = x(*mark);
                let _infallible = writeln!(
                    out,
                    "<path d=\"M{at:.1} {:.1}v14\" stroke=\"#c2564a\" stroke-width=\"2\"/>",
                    y + 5.0
                );
            }
        }
        for (n, event) in self.events.iter().enumerate() {
            let (at, y) = (x(event.at), 14.0 + (n % 2) as f64 * 15.0);
            let _infallible = writeln!(
                out,
                "<path d=\"M{at:.1} {y:.1}V{bottom:.1}\" stroke=\"#888\" stroke-dasharray=\"3 3\"/>\
                 <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                at + 3.0,
                escape(&event.name)
            );
        }
        for second in self.whole_seconds() {
            let _infallible = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{second:.0} s</text>",
                x(second),
                bottom + 18.0
            );
        }
        out.push_str("</svg>\n");
        out
    }

    fn whole_seconds(&self) -> Vec<f64> {
        let mut seconds = Vec::new();
        let mut second = self.from.ceil();
        while second < self.to && seconds.len() < 100 {
            seconds.push(second);
            second += 1.0;
        }
        seconds
    }
}

/// The names of events above their columns, in as many lines as it takes that none runs into another. The rightmost is
/// in the lowest line: no name crosses the line of another event.
fn heads(mut events: Vec<(usize, &str)>) -> Vec<String> {
    events.sort_by_key(|(at, _)| *at);
    let mut placed: Vec<(usize, usize, &str)> = Vec::new();
    for (at, name) in events.into_iter().rev() {
        let end = at + 1 + name.chars().count();
        // Those that it would run into; its own line is above all of theirs.
        let near = placed.iter().filter(|(_, other, _)| *other <= end).map(|(height, ..)| *height + 1);
        placed.push((near.max().unwrap_or(0), at, name));
    }
    let top = placed.iter().map(|(height, ..)| *height).max().unwrap_or(0);
    (0..=top).rev().map(|height| line(&placed, height)).collect()
}

/// One of these lines: names of this height, and the lines of the events whose names are above.
fn line(placed: &[(usize, usize, &str)], height: usize) -> String {
    let mut cells: Vec<char> = Vec::new();
    for (own, at, name) in placed.iter().rev().filter(|(own, ..)| *own >= height) {
        let text = if *own == height { format!("|{name}") } else { "|".to_owned() };
        cells.resize(cells.len().max(at + text.chars().count()), ' ');
        for (cell, letter) in cells.iter_mut().skip(*at).zip(text.chars()) {
            *cell = letter;
        }
    }
    cells.into_iter().collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        Picture {
            from: -1.0,
            to: 3.0,
            lanes: vec![
                Lane { label: "on r1".into(), spans: vec![(-5.0, 0.0), (2.0, 9.0)], marks: vec![] },
                Lane { label: "adverts".into(), spans: vec![], marks: vec![-0.9, 9.0] },
            ],
            events: vec![Event { at: 0.0, name: "out".into() }],
        }
    }

    #[test]
    fn a_lane_is_drawn_where_it_held_throughout() {
        // Eight columns of half a second; the axis starts at -1.
        let wanted = ["          |out", "on r1   ==....==", "adverts |", "seconds -10 1 2"];
        assert_eq!(picture().text(8).lines().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn names_that_are_close_are_above_each_other() {
        let events = vec![(2, "cable out"), (5, "takeover"), (20, "cable in"), (22, "failback"), (40, "end")];
        let wanted = ["  |cable out        |cable in", "  |  |takeover      | |failback         |end"];
        assert_eq!(heads(events), wanted);
        assert_eq!(heads(Vec::new()), [""]);
    }

    #[test]
    fn the_svg_is_closed_and_escaped() {
        let mut picture = picture();
        picture.lanes[0].label = "a<b&c".into();
        let svg = picture.svg();
        assert!(svg.contains("a&lt;b&amp;c") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<rect x").count(), 2);
    }
}
