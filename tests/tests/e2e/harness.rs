//! How end-to-end tests are listed, skipped with a reason, serialised, and explained when they fail.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use anyhow::{Error, Result};
use ha_tests::lab::{self, Daemon, Lab, Moment, Topology};
use libtest_mimic::{Arguments, Failed, Trial};

/// What a test does.
pub(crate) type Body = Box<dyn Fn(&Lab) -> Result<()> + Send>;

/// One end-to-end test.
pub(crate) struct Test {
    name: String,
    daemons: Vec<Daemon>,
    tools: Vec<&'static str>,
    timing: bool,
    long: bool,
    topology: fn() -> Topology,
    body: Body,
}

impl Test {
    /// A test called `name` that gets a fresh two-node lab.
    pub(crate) fn new(name: impl Into<String>, body: impl Fn(&Lab) -> Result<()> + Send + 'static) -> Self {
        Self {
            name: name.into(),
            daemons: Vec::new(),
            tools: Vec::new(),
            timing: false,
            long: false,
            topology: Topology::two_node,
            body: Box::new(body),
        }
    }

    /// It is skipped where one of `daemons` cannot run.
    pub(crate) fn needs(mut self, daemons: impl IntoIterator<Item = Daemon>) -> Self {
        self.daemons.extend(daemons);
        self
    }

    /// It is skipped where `tool` is not installed.
    pub(crate) fn needs_tool(mut self, tool: &'static str) -> Self {
        self.tools.push(tool);
        self
    }

    /// It keeps the processors busy, or compares what they do, or must not be disturbed for a millisecond: no other test
    /// runs beside it. A test of the RFC's timers needs this not: see `punctual`.
    pub(crate) fn timing(mut self) -> Self {
        self.timing = true;
        self
    }

    /// It takes more than a quarter of a minute, most of which it waits: it begins before the others, so that it does not
    /// end long after them.
    pub(crate) fn long(mut self) -> Self {
        self.long = true;
        self
    }

    /// Whether it runs alone.
    fn is_timing(&self) -> bool {
        self.timing
    }

    /// Another topology than two nodes.
    pub(crate) fn on(mut self, topology: fn() -> Topology) -> Self {
        self.topology = topology;
        self
    }

    fn missing(&self) -> Option<String> {
        lab::missing()
            .or_else(|| self.daemons.iter().find_map(|daemon| daemon.missing()))
            .or_else(|| self.tools.iter().find_map(|tool| lab::missing_tool(tool)))
    }

    /// Runs the test, beside others unless it wants the machine alone. An attempt that fails while the machine itself
    /// stopped, or had no processor for ordinary work, is void: it is told in full, and repeated with nothing beside it.
    /// One that fails beside others is told in full as well, and is judged by another one alone: what else is tested at
    /// that moment is no part of what a test shows. So is one of a few that fail alone: a machine is shared with others that
    /// nobody sees. There are few of both in a run, or it fails.
    fn run(&self) -> Result<()> {
        let mut beside = !self.timing;
        for number in 1..=ATTEMPTS {
            let _turn = Turn::take(!beside);
            lab::forget_stalls();
            let start = Moment::now();
            let result = self.attempt();
            let end = Moment::now();
            TOOK.lock().unwrap_or_else(PoisonError::into_inner).push((end.since(start), self.name.clone()));
            match (result, excuse(start, end)) {
                (Err(error), Some(excuse)) if number < ATTEMPTS => {
                    println!("void: {}: {excuse}: {:#}", self.name, error.root_cause());
                }
                (Err(error), None)
                    if beside && DISTURBED.fetch_add(1, Ordering::Relaxed) < MOST_DISTURBED =>
                {
                    println!("beside others: {}: {:#}\n{error}", self.name, error.root_cause());
                }
                (Err(error), None)
                    if !beside && number < ATTEMPTS && AGAIN.fetch_add(1, Ordering::Relaxed) < MOST_AGAIN =>
                {
                    println!("alone: {}: {:#}\n{error}", self.name, error.root_cause());
                }
                (result, _) => return result,
            }
            beside = false;
        }
        Ok(())
    }

    fn attempt(&self) -> Result<()> {
        let lab = Lab::new((self.topology)())?;
        // In one sentence, so that what stands above the dossier has the outer causes as well.
        (self.body)(&lab).map_err(|error| Error::msg(format!("{error:#}")).context(lab.dossier()))
    }
}

/// Tests at a time, for each processor.
const LANES: usize = 5;
/// A thread of the highest priority that wakes up later than this was not let run by the machine's host.
/// Interrupts of a flood stay well below.
const STOPPED: Duration = Duration::from_millis(5);
/// The last one counts, whatever the machine does.
const ATTEMPTS: usize = 3;
/// So many failures beside others are looked at once more: one in twenty tests, as on a machine that does other work too.
const MOST_DISTURBED: usize = 16;
static DISTURBED: AtomicUsize = AtomicUsize::new(0);
/// So many failures alone are.
const MOST_AGAIN: usize = 4;
static AGAIN: AtomicUsize = AtomicUsize::new(0);
/// Where ordinary work waited for this part of an attempt, programs start seconds late.
const STARVED: f64 = 0.25;

/// What the machine did to an attempt, if that makes it void.
fn excuse(start: Moment, end: Moment) -> Option<String> {
    let (stall, took) = (lab::longest_stall(), end.since(start));
    let starved = lab::starved(start, end);
    if stall > STOPPED {
        return Some(format!("the machine stopped for {stall:?}"));
    }
    let void = starved.as_secs_f64() > STARVED * took.as_secs_f64();
    void.then(|| format!("ordinary work waited for {starved:?} of {took:?}"))
}

/// Tests that want the machine alone hold it alone, the others share it.
static QUIET: RwLock<()> = RwLock::new(());

/// A place on the machine.
enum Turn {
    Alone { _lock: RwLockWriteGuard<'static, ()> },
    Beside { _lock: RwLockReadGuard<'static, ()> },
}

impl Turn {
    fn take(alone: bool) -> Self {
        if alone {
            Self::Alone { _lock: QUIET.write().unwrap_or_else(PoisonError::into_inner) }
        } else {
            Self::Beside { _lock: QUIET.read().unwrap_or_else(PoisonError::into_inner) }
        }
    }
}

/// Runs all tests that the command line asks for.
pub(crate) fn main(groups: impl IntoIterator<Item = Vec<Test>>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most of them wait most of the time, and what they take from each other is allowed for (see `punctual`).
    arguments.test_threads.get_or_insert(LANES * std::thread::available_parallelism().map_or(1, usize::from));
    // An ignored test lacks something; running it nevertheless could only fail.
    arguments.include_ignored = false;
    // Those that share the machine first: one that wants it alone would wait for all that have begun.
    let (alone, mut beside): (Vec<_>, Vec<_>) = groups.into_iter().flatten().partition(Test::is_timing);
    beside.sort_by_key(|test| !test.long);
    let trials = beside.into_iter().chain(alone).map(trial).collect();
    lab::watch_pace();
    let conclusion = libtest_mimic::run(&arguments, trials);
    print_slowest();
    conclusion.exit_code()
}

/// How long each test took that was run, without the time it waited for its turn.
static TOOK: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());
/// So many of the slowest tests are listed after a run, `XVRRP_SLOWEST=n` lists more. `cargo xtask test` reads the lines.
const SLOWEST: usize = 10;

fn print_slowest() {
    let mut took = std::mem::take(&mut *TOOK.lock().unwrap_or_else(PoisonError::into_inner));
    took.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
    let wanted = std::env::var("XVRRP_SLOWEST").ok().and_then(|count| count.parse().ok());
    for (took, name) in took.iter().take(wanted.unwrap_or(SLOWEST)) {
        println!("took {:.1} s: {name}", took.as_secs_f64());
    }
}

fn trial(test: Test) -> Trial {
    let missing = test.missing();
    let name = test.name.clone();
    if let Some(reason) = &missing {
        eprintln!("ignored: {name}: {reason}");
    }
    let told = name.clone();
    let trial = Trial::test(name, move || {
        let result = test.run();
        if let Err(error) = &result {
            // At once; what else there is to say comes at the end.
            println!("failed: {told}: {:#}", error.root_cause());
        }
        result.map_err(|error| Failed::from(format!("{:#}\n\n{error}", error.root_cause())))
    });
    trial.with_ignored_flag(missing.is_some())
}
