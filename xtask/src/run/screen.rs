//! The terminal: one line that is refreshed in place, or plain lines where the output is not a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Where the live timeline goes.
#[derive(Debug)]
pub(super) struct Screen {
    start: Instant,
    terminal: bool,
    colour: bool,
    last: Option<(Instant, String)>,
}

/// Without a terminal an unchanged line is repeated this rarely.
const QUIET: Duration = Duration::from_secs(1);

impl Screen {
    pub(super) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        Self { start: Instant::now(), terminal, colour, last: None }
    }

    /// Shows the present. `key` is the part whose change matters; `text` is all of it.
    pub(super) fn live(&mut self, key: &str, text: &str) {
        let now = Instant::now();
        let line = format!("{:7.2} s  {text}", self.start.elapsed().as_secs_f64());
        if self.terminal {
            // Without wrapping, so that a narrow terminal still refreshes one line.
            print!("\r\x1b[K\x1b[?7l{}\x1b[?7h", self.paint(&line));
            let _terminal_gone = std::io::stdout().flush();
        } else if self.last.as_ref().is_none_or(|(at, old)| old != key || now - *at >= QUIET) {
            println!("{line}");
            self.last = Some((now, key.to_owned()));
        }
    }

    /// Says something that stays.
    pub(super) fn say(&mut self, text: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let bold = if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        println!("{clear}{:7.2} s  {}{text}{}", self.start.elapsed().as_secs_f64(), bold.0, bold.1);
        self.last = None;
    }

    fn paint(&self, line: &str) -> String {
        if !self.colour {
            return line.to_owned();
        }
        [("MASTER", 32), ("BACKUP", 36), ("FAULT", 31), ("lost", 31), ("nobody", 31)]
            .iter()
            .fold(line.to_owned(), |text, (word, code)| {
                text.replace(word, &format!("\x1b[{code}m{word}\x1b[0m"))
            })
    }
}
