//! Dots on a logarithmic scale, one for each run, as SVG. Only drawing; `report` says what is drawn.

use std::fmt::Write as _;

use super::peer::Peer;
use super::results::Stats;
use super::table::figure;

/// A picture of series below one another.
#[derive(Debug)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) subtitle: String,
    /// Unit of the axis.
    pub(super) unit: &'static str,
    pub(super) groups: Vec<Group>,
}

/// Series that belong together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) title: String,
    pub(super) series: Vec<Series>,
}

/// A row of dots.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) peer: Peer,
    pub(super) values: Vec<f64>,
    /// What a reader must know beside the dots; may be empty.
    pub(super) note: String,
}

const WIDTH: f64 = 860.0;
const LEFT: f64 = 265.0;
const RIGHT: f64 = 770.0;
const TOP: f64 = 92.0;
const ROW: f64 = 22.0;
const BETWEEN: f64 = 16.0;
/// Zero has no place on a logarithmic scale, so it gets one left of it.
const ZERO: f64 = 46.0;

const fn colour(peer: Peer) -> &'static str {
    match peer {
        Peer::Xvrrp => "#0b6bcb",
        Peer::XvrrpTc => "#6d28d9",
        Peer::XvrrpHot => "#0f766e",
        Peer::Xvrrp250us => "#a21caf",
        Peer::XvrrpFixed => "#475569",
        Peer::Keepalived => "#c2410c",
        Peer::KeepalivedTuned => "#7c6f16",
    }
}

/// Decades from the smallest to the largest value.
struct Scale {
    low: i32,
    high: i32,
}

impl Scale {
    fn of<'a>(values: impl Iterator<Item = &'a f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for &value in values.filter(|value| **value > 0.0) {
            low = low.min(value.log10());
            high = high.max(value.log10());
        }
        if low > high {
            return Self { low: 0, high: 1 };
        }
        #[expect(clippy::cast_possible_truncation, reason = "decades of measured values are few")]
        let (low, high) = (low.floor() as i32, high.ceil() as i32);
        Self { low, high: high.max(low + 1) }
    }

    fn x(&self, value: f64) -> f64 {
        if value <= 0.0 {
            return LEFT;
        }
        let share = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        LEFT + ZERO + share * (RIGHT - LEFT - ZERO)
    }
}

impl Plot {
    /// The picture, or `None` if there is nothing to draw.
    pub(super) fn svg(&self) -> Option<String> {
        let rows: usize = self.groups.iter().map(|group| group.series.len()).sum();
        if rows == 0 {
            return None;
        }
        let values = self.groups.iter().flat_map(|group| &group.series).flat_map(|series| &series.values);
        let scale = Scale::of(values);
        let bottom = TOP + rows as f64 * ROW + self.groups.len() as f64 * BETWEEN;
        let height = bottom + 46.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"13\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"24\" y=\"32\" font-size=\"18\" font-weight=\"600\" fill=\"#1a1a1a\">{}</text>\n\
             <text x=\"24\" y=\"54\" fill=\"#555555\">{}</text>\n",
            escape(&self.title),
            escape(&self.subtitle)
        );
        self.axis(&mut svg, &scale, bottom);
        let mut y = TOP + BETWEEN / 2.0;
        for group in &self.groups {
            self.group(&mut svg, &scale, group, y);
            y += group.series.len() as f64 * ROW + BETWEEN;
        }
        svg += "</svg>\n";
        Some(svg)
    }

    fn axis(&self, svg: &mut String, scale: &Scale, bottom: f64) {
        // Writing to a string does not fail, here and below.
        let mut tick = |x: f64, label: &str| {
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{label}</text>",
                bottom + 20.0
            );
        };
        tick(LEFT, "0");
        for decade in scale.low..=scale.high {
            tick(scale.x(10_f64.powi(decade)), &self.label(decade));
        }
    }

    fn label(&self, decade: i32) -> String {
        if self.unit == "ms" && decade >= 3 {
            return format!("{} s", 10_f64.powi(decade - 3));
        }
        format!("{} {}", 10_f64.powi(decade), self.unit)
    }

    fn group(&self, svg: &mut String, scale: &Scale, group: &Group, top: f64) {
        let _ = writeln!(
            svg,
            "<text x=\"24\" y=\"{:.1}\" font-weight=\"600\" fill=\"#1a1a1a\">{}</text>\
             <line x1=\"24\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#eeeeee\"/>",
            top + ROW / 2.0 + 4.5,
            escape(&group.title),
            top - BETWEEN / 2.0,
            WIDTH - 24.0,
            top - BETWEEN / 2.0
        );
        for (number, Series { peer, values, note }) in group.series.iter().enumerate() {
            let y = top + (number as f64 + 0.5) * ROW;
            let colour = colour(*peer);
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
                LEFT - 14.0,
                y + 4.5,
                peer.name()
            );
            for (n, value) in values.iter().enumerate() {
                // Dots of equal values lie beside one another rather than on top.
                let offset = ((n * 7) % 11) as f64 - 5.0;
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.6\" fill=\"{colour}\" fill-opacity=\"0.45\"/>",
                    scale.x(*value),
                    y + offset
                );
            }
            if let Some(stats) = Stats::of(values) {
                let x = scale.x(stats.median);
                let _ = writeln!(
                    svg,
                    "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" \
                     stroke-width=\"2.5\"/>\
                     <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\" font-weight=\"600\">{}</text>",
                    y - 8.0,
                    y + 8.0,
                    RIGHT + 14.0,
                    y + 4.5,
                    self.median(stats.median)
                );
                let last = scale.x(stats.max);
                // Where there is room: behind the dots, or before them.
                let (x, anchor) = if last < (LEFT + RIGHT) / 2.0 {
                    (last + 12.0, "start")
                } else {
                    (scale.x(stats.min) - 12.0, "end")
                };
                let _ = writeln!(
                    svg,
                    "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" font-size=\"11.5\" \
                     fill=\"#777777\">{}</text>",
                    y + 4.0,
                    escape(note)
                );
            }
        }
    }

    fn median(&self, value: f64) -> String {
        if self.unit == "ms" && value >= 1000.0 {
            return format!("{:.2} s", value / 1e3);
        }
        format!("{} {}", figure(value), self.unit)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_have_equal_width_and_zero_a_place() {
        let scale = Scale::of([0.0, 0.5, 3_600.0].iter());
        assert_eq!((scale.low, scale.high), (-1, 4));
        let step = scale.x(1.0) - scale.x(0.1);
        assert!((scale.x(1_000.0) - scale.x(100.0) - step).abs() < 1e-9);
        assert!((scale.x(0.0) - LEFT).abs() < 1e-9 && scale.x(0.1) > LEFT);
    }

    #[test]
    fn every_run_is_a_dot() {
        let of = |peer, values| Series { peer, values, note: String::new() };
        let series = vec![of(Peer::Xvrrp, vec![0.0, 1.0, 2.0]), of(Peer::Keepalived, vec![3_600.0])];
        let group = Group { title: "a < b".to_owned(), series };
        let plot = Plot { title: String::new(), subtitle: String::new(), unit: "ms", groups: vec![group] };
        let svg = plot.svg().unwrap_or_default();
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("a &lt; b") && svg.contains("3.60 s"));
        assert_eq!(Plot { groups: Vec::new(), ..plot }.svg(), None);
    }
}
