//! How metrics are written: the text form of Prometheus (version 0.0.4), and `OpenMetrics` 1.0.0.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::families::{Family, Kind};
use crate::control::protocol::Histogram;

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    OpenMetrics,
}

impl Form {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What has been written so far.
#[derive(Debug)]
pub(super) struct Page {
    form: Form,
    text: String,
}

/// A family whose samples are being written.
#[derive(Debug)]
pub(super) struct Samples<'a> {
    page: &'a mut Page,
    family: &'static Family,
    /// Two samples with the same labels would make a scraper refuse the whole page.
    seen: BTreeSet<String>,
}

impl Page {
    pub(super) const fn new(form: Form) -> Self {
        Self { form, text: String::new() }
    }

    /// Begins a family; each once.
    pub(super) fn family(&mut self, family: &'static Family) -> Samples<'_> {
        let name = match self.form {
            Form::Text => family.name,
            Form::OpenMetrics => family.name.strip_suffix("_total").unwrap_or(family.name),
        };
        let _ = writeln!(self.text, "# HELP {name} {}", family.help);
        let _ = writeln!(self.text, "# TYPE {name} {}", family.kind.word());
        Samples { page: self, family, seen: BTreeSet::new() }
    }

    /// One family without labels.
    pub(super) fn single(&mut self, family: &'static Family, value: f64) {
        self.family(family).put(&[], value);
    }

    pub(super) fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Samples<'_> {
    /// One sample; the labels' values are in the order of the family's labels.
    pub(super) fn put(&mut self, values: &[&str], value: f64) {
        let labels = labels(self.family.labels, values);
        if self.seen.insert(labels.clone()) {
            self.write("", &labels, value);
        }
    }

    /// A whole histogram without labels.
    pub(super) fn histogram(&mut self, histogram: &Histogram) {
        debug_assert_eq!(self.family.kind, Kind::Histogram, "{}", self.family.name);
        let mut count = 0;
        for (bound, more) in &histogram.buckets {
            count += more;
            self.write("_bucket", &format!("{{le=\"{bound:?}\"}}"), float(count));
        }
        count += histogram.beyond;
        self.write("_bucket", "{le=\"+Inf\"}", float(count));
        self.write("_sum", "", histogram.sum_s);
        self.write("_count", "", float(count));
    }

    fn write(&mut self, suffix: &str, labels: &str, value: f64) {
        let _ = writeln!(self.page.text, "{}{suffix}{labels} {value}", self.family.name);
    }
}

/// A count as metrics have it; beyond 2^53 it loses its last digits.
#[expect(clippy::cast_precision_loss, reason = "a scraper reads it as a float anyway")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

fn labels(names: &[&str], values: &[&str]) -> String {
    debug_assert_eq!(names.len(), values.len(), "{names:?} {values:?}");
    if names.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> =
        names.iter().zip(values).map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
