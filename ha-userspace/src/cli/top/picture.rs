//! The picture as text: for `--once`, for terminals that only know lines, and for tests.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::view::View;

/// So many columns and lines, without the blanks and empty lines at the ends.
pub(super) fn text(view: &View, (columns, lines): (u16, u16)) -> String {
    // Drawing into memory does not fail.
    let Ok(mut terminal) = Terminal::new(TestBackend::new(columns, lines));
    let Ok(_) = terminal.draw(|frame| view.draw(frame));
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in buffer.content().chunks(usize::from(columns.max(1))) {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}
