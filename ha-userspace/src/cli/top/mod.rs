//! `xvrrp top`: roles, round trips and events, live on a terminal.
//!
//! A thread asks the daemon at every interval, and goes on asking where none answers. `view` turns what is known into a
//! picture and knows neither daemon nor terminal; `screen` has the terminal, and gives it back.

mod history;
mod picture;
mod screen;
mod view;

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::events::Place;
use super::output::print;
use super::status::{look, seconds};
use super::terminal;
use crate::colour;
use crate::control::protocol::{Status, Verdict};
use crate::events::{self, Tail};
use view::View;

/// What is looked at for `--once`: enough for a curve, and soon over.
const SAMPLES: usize = 24;
const PAUSE: Duration = Duration::from_millis(50);
/// Where nobody says how large the screen is.
const SIZE: (u16, u16) = (80, 24);

/// Options of `xvrrp top`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "q or Ctrl-C ends it. Where standard output is no terminal, or a dumb one, a picture follows the \
    other. Exit code of --once: as that of xvrrp status."
)]
pub struct Args {
    /// Instances to show; all where none is named.
    #[arg(value_name = "INSTANCE")]
    instances: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Time between two looks.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// Look for about a second, print the picture as text, and end.
    #[arg(long)]
    once: bool,
}

/// What a look at the daemon came to.
type Answer = Result<Status, Verdict>;

/// Shows it until somebody has seen enough.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let mut view = View::new(colour::is_wanted(terminal::is_able()));
    let directory = args.place.directory();
    let mut tail = Tail::from_end(&directory);
    // Without a file there is nothing to show yet.
    view.add_events(events::read(&directory).unwrap_or_default().events);
    if args.once {
        return once(args, &mut view, &mut tail);
    }
    let answers = ask(args);
    if !terminal::is_able() {
        return one_after_the_other(&answers, &mut view, &mut tail);
    }
    match screen::run(&answers, &mut view, &mut tail) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xvrrp: the terminal cannot be used: {error}; xvrrp top --once prints a picture");
            ExitCode::FAILURE
        }
    }
}

fn once(args: &Args, view: &mut View, tail: &mut Tail) -> ExitCode {
    for left in (0..SAMPLES).rev() {
        let answer = look(args.place.run_dir(), patience(args), &args.instances);
        let answered = answer.is_ok();
        view.add(answer);
        if !answered {
            break;
        }
        if left > 0 {
            std::thread::sleep(PAUSE);
        }
    }
    view.add_events(tail.more());
    let _ = print(&picture::text(view, size()));
    ExitCode::from(view.severity().exit_code())
}

fn one_after_the_other(answers: &Receiver<Answer>, view: &mut View, tail: &mut Tail) -> ExitCode {
    while let Ok(answer) = answers.recv() {
        view.add(answer);
        view.add_events(tail.more());
        // A picture is as high as it is; the next begins below an empty line.
        if print(&(picture::text(view, size()) + "\n")) != ExitCode::SUCCESS {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// How large the picture is to be: the terminal, or what the environment says of it.
fn size() -> (u16, u16) {
    let named = |name: &str| std::env::var(name).ok()?.parse().ok().filter(|size| (20..=500).contains(size));
    let (columns, lines) =
        if terminal::is_able() { crossterm::terminal::size().unwrap_or(SIZE) } else { SIZE };
    (named("COLUMNS").unwrap_or(columns), named("LINES").unwrap_or(lines))
}

/// A daemon that has not answered for so long is frozen.
fn patience(args: &Args) -> Duration {
    args.interval.clamp(Duration::from_millis(500), Duration::from_secs(2))
}

/// Starts the thread that asks. It ends with the process, or when nobody listens.
fn ask(args: &Args) -> Receiver<Answer> {
    // One is enough: who does not keep up gets fewer.
    let (tell, answers) = sync_channel(1);
    let (run_dir, instances) = (args.place.run_dir().to_owned(), args.instances.clone());
    let (interval, patience) = (args.interval, patience(args));
    std::thread::spawn(move || asking(&tell, &run_dir, &instances, interval, patience));
    answers
}

fn asking(
    tell: &SyncSender<Answer>,
    run_dir: &Path,
    instances: &[String],
    interval: Duration,
    patience: Duration,
) {
    loop {
        let began = Instant::now();
        if tell.send(look(run_dir, patience, instances)).is_err() {
            return;
        }
        std::thread::sleep(interval.saturating_sub(began.elapsed()));
    }
}
