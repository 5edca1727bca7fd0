//! Real scripts under the real watchers, with intervals of milliseconds.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ha_userspace::config::model::{Config, Global, Place, Script, ScriptUser, Weight};
use ha_userspace::track::Seen::{self, Bad, Good, Ignored, Pending};
use ha_userspace::track::board::TrackerKind;
use ha_userspace::track::watch::Watchers;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use tokio::time::timeout;

/// Nothing here takes longer on a machine that works at all.
const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    dir: tempfile::TempDir,
    watchers: Watchers,
    global: Global,
    /// What each script was when it was looked at last.
    known: BTreeMap<String, Seen>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let watchers = Watchers::start().unwrap();
        // Scripts run as the user of the test, whether or not a `keepalived_script` exists.
        let user = User::from_uid(Uid::effective()).unwrap().unwrap().name;
        let global = Global { script_user: Some(ScriptUser { user, group: None }), ..Global::default() };
        Self { dir, watchers, global, known: BTreeMap::new() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Writes a shell script; `DIR` in it is the directory. Replaces the file at once, as package managers do.
    fn write(&self, name: &str, body: &str) -> PathBuf {
        let path = self.file(name);
        let new = self.file(&format!("{name}.new"));
        let body = body.replace("DIR", &self.dir.path().display().to_string());
        std::fs::write(&new, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&new, &path).unwrap();
        path
    }

    fn apply(&mut self, scripts: &[Script]) {
        for script in scripts {
            let start = if script.init_fail { Bad } else { Pending };
            self.known.entry(script.name.clone()).or_insert(start);
        }
        let (scripts, global) = (scripts.to_vec(), self.global.clone());
        self.watchers.apply(&Config { scripts, global, ..Config::default() });
    }

    fn seen(&self, name: &str) -> Seen {
        self.watchers.seen(TrackerKind::Script, name)
    }

    /// The next change: whose it is, to what, and why.
    async fn event(&mut self) -> (String, Seen, String) {
        loop {
            let changed = self.watchers.scripts().into_iter().find_map(|status| {
                let seen =
                    [Pending, Good, Bad, Ignored].into_iter().find(|seen| seen.word() == status.state)?;
                (self.known[&status.name] != seen).then_some((status.name, seen, status.last_result?))
            });
            if let Some((name, seen, cause)) = changed {
                self.known.insert(name.clone(), seen);
                return (name, seen, cause);
            }
            timeout(PATIENCE, self.watchers.changed()).await.expect("an event in time");
        }
    }

    async fn state(&mut self) -> Seen {
        self.event().await.1
    }

    /// Whether the main loop would be woken now.
    async fn wakes(&self) -> bool {
        timeout(Duration::ZERO, self.watchers.changed()).await.is_ok()
    }

    fn runs(&self) -> u64 {
        self.watchers.scripts().first().map_or(0, |status| status.runs)
    }

    async fn until(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < PATIENCE, "never: {what}; {:?}", self.watchers.scripts());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn script(name: &str, program: &Path) -> Script {
    Script {
        name: name.to_owned(),
        argv: vec![program.into()],
        interval: Duration::from_millis(30),
        timeout: Duration::from_secs(5),
        weight: Weight::default(),
        rise: 1,
        fall: 1,
        user: None,
        init_fail: false,
        place: Place::default(),
    }
}

#[tokio::test]
async fn exit_codes_and_signals_decide_and_only_changes_are_told() {
    let mut bench = Bench::new();
    let program = bench.write("chk", "exit 0");
    bench.apply(&[script("chk", &program)]);
    assert_eq!(bench.seen("chk"), Pending);
    assert_eq!(bench.event().await, ("chk".to_owned(), Good, "exit 0".to_owned()));
    let before = bench.runs();
    bench.until("another run", |bench| bench.runs() > before).await;
    // The wake-up for the change, which was seen already.
    bench.wakes().await;
    bench.until("three more runs", |bench| bench.runs() >= before + 4).await;
    assert!(!bench.wakes().await, "a run that changes nothing wakes the main loop");
    // Changed while it runs: the next run has the new program.
    bench.write("chk", "exit 7");
    assert_eq!(bench.event().await, ("chk".to_owned(), Bad, "exit 7".to_owned()));
    bench.write("chk", "exit 0");
    assert_eq!(bench.state().await, Good);
    bench.write("chk", "kill -9 $$");
    assert_eq!(bench.event().await, ("chk".to_owned(), Bad, "signal 9 (SIGKILL)".to_owned()));
    let status = bench.watchers.scripts().remove(0);
    assert_eq!((status.state.as_str(), status.last_result.as_deref()), ("bad", Some("signal 9 (SIGKILL)")));
    assert!(
        status.failures >= 2 && status.runs > status.failures && status.last_duration_ms.is_some(),
        "{status:?}"
    );
}

#[tokio::test]
async fn rise_and_fall_are_counted_over_real_runs() {
    let mut bench = Bench::new();
    // Succeeds, fails twice, succeeds, fails three times, then succeeds for good.
    let program = bench.write(
        "chk",
        "n=$(cat DIR/n 2>/dev/null || echo 0); n=$((n+1)); echo $n > DIR/n\ncase $n in 2|3|5|6|7) exit 1;; esac",
    );
    bench.apply(&[Script { fall: 3, rise: 2, ..script("chk", &program) }]);
    assert_eq!(bench.state().await, Good);
    assert_eq!(bench.state().await, Bad);
    assert_eq!(bench.runs(), 7);
    assert_eq!(bench.state().await, Good);
    assert!(bench.runs() >= 9);
}

#[tokio::test]
async fn init_fail_is_bad_until_the_first_success() {
    let mut bench = Bench::new();
    let program = bench.write("chk", "test -e DIR/go");
    bench.apply(&[Script { init_fail: true, ..script("chk", &program) }]);
    assert_eq!(bench.seen("chk"), Bad);
    bench.until("two runs", |bench| bench.runs() >= 2).await;
    std::fs::write(bench.file("go"), "").unwrap();
    assert_eq!(bench.state().await, Good);
}

#[tokio::test]
async fn a_script_that_hangs_is_killed_with_its_children_and_never_runs_twice() {
    let mut bench = Bench::new();
    // Ignores SIGTERM, has a child in its group, and notices when another one of its kind runs.
    let program = bench.write(
        "chk",
        "trap '' TERM\nread old < DIR/pid && kill -0 $old && touch DIR/overlap\necho $$ > DIR/pid\n\
         sleep 600 & echo $! >> DIR/children\nwait\nsleep 600",
    );
    bench.apply(&[Script { timeout: Duration::from_millis(300), ..script("chk", &program) }]);
    assert_eq!(bench.event().await, ("chk".to_owned(), Bad, "timeout after 300ms".to_owned()));
    bench.until("a second run", |bench| bench.runs() >= 2).await;
    let child: i32 = bench.read("children").lines().next().unwrap().parse().unwrap();
    let gone = |pid: i32| match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    bench.until("the child is gone", |_| gone(child)).await;
    assert!(!bench.file("overlap").exists(), "two runs at once");
    let status = bench.watchers.scripts().remove(0);
    assert!(status.skipped >= 10, "{status:?}");
    bench.watchers.stop();
}

#[tokio::test]
async fn children_that_outlive_their_script_are_left_alone() {
    let mut bench = Bench::new();
    let program = bench.write("chk", "test -e DIR/child || { sleep 600 & echo $! > DIR/child; }");
    bench.apply(&[script("chk", &program)]);
    assert_eq!(bench.state().await, Good);
    bench.until("two runs", |bench| bench.runs() >= 2).await;
    let child = Pid::from_raw(bench.read("child").trim().parse().unwrap());
    assert_eq!(kill(child, None), Ok(()), "a service that a check script started was killed");
    kill(child, Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_gigabyte_of_output_costs_nothing() {
    let mut bench = Bench::new();
    let program = bench.write("chk", "head -c 1G /dev/zero; head -c 1M /dev/zero >&2");
    bench.apply(&[script("chk", &program)]);
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let before = resident();
    assert_eq!(bench.state().await, Good);
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {grown} bytes");
}

#[tokio::test]
async fn what_cannot_run_is_disabled_with_a_reason() {
    let mut bench = Bench::new();
    let plain = bench.write("plain", "exit 0");
    std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644)).unwrap();
    let missing = bench.file("missing");
    let directory = bench.dir.path().to_owned();
    let stranger = Some(ScriptUser { user: "no-such-user-here".to_owned(), group: None });
    let good = bench.write("good", "exit 0");
    let scripts = [
        script("plain", &plain),
        script("missing", &missing),
        script("directory", &directory),
        Script { user: stranger, ..script("stranger", &good) },
        Script { argv: Vec::new(), ..script("empty", &good) },
    ];
    bench.apply(&scripts);
    let mut told = BTreeMap::new();
    for _ in &scripts {
        let (name, state, cause) = bench.event().await;
        assert_eq!((state, bench.seen(&name)), (Ignored, Ignored), "{name}: {cause}");
        told.insert(name, cause);
    }
    let part = |name: &str, part: &str| assert!(told[name].contains(part), "{name}: {}", told[name]);
    part("plain", "mode 0644; run: chmod");
    part("missing", "/missing: No such file");
    part("directory", "is not a regular file");
    part("stranger", "no user 'no-such-user-here'");
    part("empty", "no program");
}

#[tokio::test]
async fn a_disabled_script_that_is_repaired_runs_without_a_reload() {
    let mut bench = Bench::new();
    let program = bench.file("chk");
    bench.apply(&[Script { init_fail: true, fall: 3, ..script("chk", &program) }]);
    assert_eq!(bench.state().await, Ignored);
    bench.write("chk", "exit 1");
    // Ignored until the result is there, and the first result decides.
    assert_eq!(bench.event().await, ("chk".to_owned(), Bad, "exit 1".to_owned()));
    assert_eq!(bench.runs(), 1);
}

#[tokio::test]
async fn a_script_that_vanishes_later_fails() {
    let mut bench = Bench::new();
    let program = bench.write("chk", "exit 0");
    bench.apply(&[script("chk", &program)]);
    assert_eq!(bench.state().await, Good);
    std::fs::remove_file(&program).unwrap();
    let (_, state, cause) = bench.event().await;
    assert!(state == Bad && cause.contains("No such file"), "{state:?} {cause}");
    // A file that the kernel cannot execute fails as well.
    std::fs::write(bench.file("new"), "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(bench.file("new"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(bench.file("new"), &program).unwrap();
    let last = |bench: &Bench| bench.watchers.scripts()[0].last_result.clone().unwrap_or_default();
    bench.until("an exec error", |bench| last(bench).contains("cannot be started")).await;
}

#[tokio::test]
async fn with_security_a_root_script_that_others_can_change_is_not_run() {
    if !Uid::effective().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let mut bench = Bench::new();
    let open = bench.file("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let program = bench.write("open/chk", "touch DIR/ran");
    bench.global.script_security = true;
    bench.apply(&[script("chk", &program)]);
    let (_, state, cause) = bench.event().await;
    assert_eq!(state, Ignored);
    assert!(cause.contains(&format!("{} can be changed by everybody (mode 0777", open.display())), "{cause}");
    assert!(cause.ends_with(&format!("run: chmod go-w {}", open.display())), "{cause}");
    assert!(!bench.file("ran").exists());
    // Safe, then unsafe while it runs: from then on it fails instead of running.
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    bench.apply(&[Script { fall: 2, ..script("chk", &program) }]);
    assert_eq!(bench.state().await, Good);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(bench.state().await, Bad);
}

#[tokio::test]
async fn a_script_gets_a_clean_process() {
    if !Uid::effective().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    // The daemon's supplementary groups are not its scripts'.
    nix::unistd::setgroups(&[0, 54_321].map(nix::unistd::Gid::from_raw)).unwrap();
    let mut bench = Bench::new();
    // An inheritable descriptor, as a careless library leaves it.
    let careless = std::fs::File::open("/dev/zero").unwrap();
    nix::fcntl::fcntl(&careless, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let out = bench.file("out");
    std::fs::create_dir(&out).unwrap();
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o777)).unwrap();
    let program = bench.write(
        "chk",
        "{ pwd; umask; id -un; id -G; grep -E 'SigBlk|SigIgn' /proc/self/status; \
         awk '{print \"session\", $1 == $6, \"group\", $1 == $5}' /proc/$$/stat; \
         for fd in /proc/$$/fd/*; do readlink $fd; done; ulimit -n; \
         echo arguments: \"$@\"; } > DIR/out/all.new 2>&1\nmv DIR/out/all.new DIR/out/all",
    );
    let user = Some(ScriptUser { user: "nobody".to_owned(), group: None });
    let mut chk = Script { user, ..script("chk", &program) };
    chk.argv.extend(["a b".into(), "$HOME;reboot".into()]);
    bench.apply(&[chk]);
    assert_eq!(bench.state().await, Good);
    let all = bench.read("out/all");
    drop(careless);
    assert!(all.starts_with("/\n0077\nnobody\n65534\n"), "{all}");
    // Signal 32 belongs to the C library, which ignores it in what posix_spawn(3) starts.
    let all = all.replace("SigIgn:\t0000000080000000", "SigIgn:\t0000000000000000");
    assert!(all.contains("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"), "{all}");
    assert!(all.contains("session 1 group 1\n"), "{all}");
    assert!(all.contains("/dev/null\n") && !all.contains("/dev/zero") && !all.contains("socket:"), "{all}");
    assert!(all.contains("\n1024\n"), "{all}");
    assert!(all.contains("arguments: a b $HOME;reboot\n"), "{all}");
    // Its change of user leaves no trace in this process.
    let dumpable = || nix::sys::prctl::get_dumpable().unwrap();
    bench.until("this process can be dumped", |_| dumpable()).await;
}

#[tokio::test]
async fn a_file_that_names_no_interpreter_is_the_shells() {
    let mut bench = Bench::new();
    let program = bench.write("chk", "");
    std::fs::write(bench.file("bare"), format!("test \"$0 $1\" = '{} a b' && exit 7", program.display()))
        .unwrap();
    std::fs::set_permissions(bench.file("bare"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(bench.file("bare"), &program).unwrap();
    let mut chk = script("chk", &program);
    chk.argv.push("a b".into());
    bench.apply(&[chk]);
    assert_eq!(bench.event().await, ("chk".to_owned(), Bad, "exit 7".to_owned()));
}

/// What `fork` would do to the other threads: their memory is copied when they write to it next, and that needs the
/// lock which `fork` holds.
#[tokio::test]
async fn starting_a_script_costs_other_threads_no_page_fault() {
    let mut bench = Bench::new();
    let program = bench.write("chk", "exit 0");
    bench.apply(&[script("chk", &program)]);
    assert_eq!(bench.state().await, Good);
    let mut memory = vec![0_u8; 16 << 20];
    let mut touch = || memory.chunks_mut(4096).for_each(|page| page[0] = page[0].wrapping_add(1));
    touch();
    let faults = || getrusage(UsageWho::RUSAGE_THREAD).unwrap().minor_page_faults();
    let (before, runs) = (faults(), bench.runs());
    while bench.runs() < runs + 5 {
        touch();
    }
    let more = faults() - before;
    // Other memory of this process is in use meanwhile; the 16 MiB alone are 4096 pages.
    assert!(more < 1_000, "{more} page faults beside five runs");
}

#[tokio::test]
async fn a_reload_keeps_what_did_not_change() {
    let mut bench = Bench::new();
    let one = bench.write("one", "echo >> DIR/one.runs");
    let two = bench.write("two", "exit 0");
    let mut slow = script("one", &one);
    slow.interval = Duration::from_secs(3600);
    bench.apply(&[slow.clone(), script("two", &two)]);
    for _ in 0..2 {
        assert_eq!(bench.state().await, Good);
    }
    // `one` differs only in what does not concern its runs; `two` changes; `three` is new.
    slow.weight.value = 9;
    slow.place.line = 99;
    let three = bench.write("three", "exit 0");
    let changed = Script { fall: 9, argv: vec!["false".into()], ..script("two", &two) };
    bench.apply(&[script("three", &three), slow.clone(), changed]);
    assert_eq!((bench.seen("one"), bench.seen("three")), (Good, Pending));
    let mut told = [bench.event().await, bench.event().await].map(|event| (event.0, event.1));
    told.sort_by(|a, b| a.0.cmp(&b.0));
    // The first result of the new definition of `two` decides.
    assert_eq!(told, [("three".to_owned(), Good), ("two".to_owned(), Bad)]);
    assert_eq!(bench.read("one.runs").len(), 1, "the timer of an unchanged script was reset");
    let names: Vec<String> = bench.watchers.scripts().into_iter().map(|status| status.name).collect();
    assert_eq!(names, ["three", "one", "two"]);
    bench.apply(&[slow]);
    assert_eq!(bench.seen("two"), Ignored);
    assert_eq!(bench.watchers.scripts().len(), 1);
}

#[tokio::test]
async fn a_run_of_the_definition_before_is_not_shown_as_running() {
    let mut bench = Bench::new();
    let program = bench.write("chk", "exec sleep 600");
    let timeout = Duration::from_secs(600);
    bench.apply(&[Script { timeout, ..script("chk", &program) }]);
    bench.until("it runs", |bench| bench.watchers.scripts()[0].running).await;
    bench.apply(&[script("chk", &bench.file("missing"))]);
    assert_eq!(bench.state().await, Ignored);
    assert!(!bench.watchers.scripts()[0].running);
}

#[tokio::test]
async fn stop_ends_running_scripts_and_takes_bounded_time() {
    let mut bench = Bench::new();
    let program = bench.write(
        "chk",
        "trap '' TERM; echo $$ > DIR/pid.new; mv DIR/pid.new DIR/pid; while :; do sleep 1; done",
    );
    let timeout = Duration::from_secs(600);
    bench.apply(&[Script { timeout, ..script("chk", &program) }]);
    bench.until("it runs", |bench| bench.file("pid").exists()).await;
    let pid = Pid::from_raw(bench.read("pid").trim().parse().unwrap());
    let start = Instant::now();
    bench.watchers.stop();
    // Not until its timeout.
    assert!(start.elapsed() < timeout / 10);
    assert_eq!(kill(pid, None), Err(nix::errno::Errno::ESRCH));
}
