//! How end-to-end tests are listed, skipped with a reason, serialised, and explained when they fail.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use ha_tests::lab::{self, Daemon, Lab, Topology};
use libtest_mimic::{Arguments, Failed, Trial};

type Body = Box<dyn Fn(&Lab) -> Result<()> + Send>;

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

    fn run_timed(self) -> Result<()> {
        let (name, start) = (self.name.clone(), Instant::now());
        let result = self.run();
        TOOK.lock().unwrap_or_else(PoisonError::into_inner).push((start.elapsed(), name));
        result
    }

    /// Runs the test. An attempt that fails while the machine itself stopped for longer than [`STOPPED`] is void: it is
    /// told in full, and repeated.
    fn run(self) -> Result<()> {
        for _ in 1..ATTEMPTS {
            lab::forget_stalls();
            let result = self.attempt();
            let stall = lab::longest_stall();
            match result {
                Err(error) if stall > STOPPED => {
                    println!(
                        "void: {}: the machine stopped for {stall:?}: {:#}",
                        self.name,
                        error.root_cause()
                    );
                }
                result => return result,
            }
        }
        self.attempt()
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

/// Timing tests hold it alone, the others share it.
static QUIET: RwLock<()> = RwLock::new(());

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
    let (name, timing) = (test.name.clone(), test.timing);
    if let Some(reason) = &missing {
        eprintln!("ignored: {name}: {reason}");
    }
    let told = name.clone();
    let trial = Trial::test(name, move || {
        let result = if timing {
            let _alone = QUIET.write().unwrap_or_else(PoisonError::into_inner);
            test.run_timed()
        } else {
            let _shared = QUIET.read().unwrap_or_else(PoisonError::into_inner);
            test.run_timed()
        };
        if let Err(error) = &result {
            // At once; what else there is to say comes at the end.
            println!("failed: {told}: {:#}", error.root_cause());
        }
        result.map_err(|error| Failed::from(format!("{:#}\n\n{error}", error.root_cause())))
    });
    trial.with_ignored_flag(missing.is_some())
}
