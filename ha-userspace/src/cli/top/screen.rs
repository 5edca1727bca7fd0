//! The terminal while the picture is on it: keys, sizes, and the way back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;
use signal_hook::consts::{SIGHUP, SIGTERM};

use super::Answer;
use super::view::View;
use crate::events::Tail;

/// How long a key or an answer may wait.
const TURN: Duration = Duration::from_millis(50);

/// Shows the picture until somebody ends it. The terminal is as it was afterwards, also after a panic.
///
/// # Errors
/// The terminal does not do what it is told.
pub(super) fn run(answers: &Receiver<Answer>, view: &mut View, tail: &mut Tail) -> io::Result<()> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ended))?;
    }
    // It has a hook for panics that gives the terminal back.
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, answers, view, tail, &ended);
    let restored = ratatui::try_restore();
    shown.and(restored)
}

fn show(
    terminal: &mut DefaultTerminal,
    answers: &Receiver<Answer>,
    view: &mut View,
    tail: &mut Tail,
    ended: &AtomicBool,
) -> io::Result<()> {
    let mut changed = true;
    while !ended.load(Ordering::Relaxed) {
        if changed {
            terminal.draw(|frame| view.draw(frame))?;
        }
        changed = false;
        if event::poll(TURN)? {
            match event::read()? {
                Event::Key(key) if ends(key) => return Ok(()),
                _ => changed = true,
            }
        }
        match answers.try_recv() {
            Ok(answer) => {
                view.add(answer);
                view.add_events(tail.more());
                changed = true;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
    Ok(())
}

fn ends(key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
            KeyCode::Char('c' | 'd') => control,
            _ => false,
        }
}
