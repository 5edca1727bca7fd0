//! Tables that are read on a terminal as they are and are Markdown as well; and figures in them.

use super::results::Stats;

/// A table with aligned columns: names to the left, figures to the right.
#[derive(Debug)]
pub(super) struct Table {
    /// How many columns are names.
    names: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(names: usize, head: &[&str]) -> Self {
        Self { names, rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub(super) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Lines of Markdown, and an empty one.
    pub(super) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, &width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                text += &if column < self.names {
                    format!("| {cell:<width$} ")
                } else {
                    format!("| {cell:>width$} ")
                };
            }
            text += "|\n";
            if number == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    let dashes = "-".repeat(width);
                    text +=
                        &if column < self.names { format!("|-{dashes}-") } else { format!("|-{dashes}:") };
                }
                text += "|\n";
            }
        }
        text + "\n"
    }
}

/// A figure with three digits that matter.
pub(super) fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.1 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Minimum, median, 95th percentile, maximum and count as cells.
pub(super) fn cells(stats: Option<Stats>) -> [String; 5] {
    stats.map_or_else(
        || std::array::from_fn(|_| "–".to_owned()),
        |s| [figure(s.min), figure(s.median), figure(s.p95), figure(s.max), s.count.to_string()],
    )
}

/// How much less `ours` is than `theirs`.
pub(super) fn ratio(ours: Option<f64>, theirs: Option<f64>) -> String {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if ours > 0.0 && theirs > 0.0 => {
            let (times, word) =
                if theirs >= ours { (theirs / ours, "less") } else { (ours / theirs, "more") };
            format!("{} × {word}", figure(times))
        }
        (Some(ours), Some(theirs)) if ours == theirs => "same".to_owned(),
        (Some(_), Some(theirs)) if theirs > 0.0 => "none left".to_owned(),
        (Some(_), Some(_)) => "keepalived has none".to_owned(),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(1, &["", "ms"]);
        table.row(["a", "1"]);
        table.row(["long", "1000"]);
        let text = table.text();
        assert_eq!(text, "|      |   ms |\n|------|-----:|\n| a    |    1 |\n| long | 1000 |\n\n");
    }

    #[test]
    fn ratios_say_which_way() {
        assert_eq!(ratio(Some(3.5), Some(3500.0)), "1000 × less");
        assert_eq!(ratio(Some(4.0), Some(2.0)), "2.00 × more");
        assert_eq!(ratio(Some(0.0), Some(2.0)), "none left");
        assert_eq!(ratio(Some(2.0), Some(0.0)), "keepalived has none");
        assert_eq!(ratio(None, Some(2.0)), "–");
    }
}
