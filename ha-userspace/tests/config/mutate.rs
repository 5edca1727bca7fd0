//! Broken files: nothing panics or hangs, every finding has a place, and what is left can run.
//!
//! `XVRRP_MUTATIONS` says how many, `XVRRP_MUTATIONS_FROM` which is the first: a case is its number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ha_common::types::Family;
use ha_userspace::config::keywords::blocks;
use ha_userspace::config::model::Config;
use ha_userspace::config::{self, Loaded, report};
use libtest_mimic::{Failed, Trial};

use super::{files, options};

/// Enough for every change; `XVRRP_MUTATIONS=100000` is for those of the parser.
const CASES: u64 = 20_000;

pub(super) fn trials() -> Vec<Trial> {
    vec![Trial::test("mutated_files_are_survived", mutated)]
}

/// SplitMix64: a case is its number, so a failure names all there is to repeat it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).expect("fits")).expect("fits")
    }
}

const SPLICES: &[&[u8]] = &[
    b"99999999999999999999999999",
    b"-1",
    b"0",
    b"256",
    b"\xff\xfe",
    b"\xc3",
    b"{",
    b"}",
    b"{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{",
    b"}}}}",
    b"\"",
    b"'",
    b"\\",
    b"$",
    b"${",
    b"$A=",
    b"$A= \\\n",
    b"${A}",
    b"$A=${A}\n$A\n",
    b"~SEQ(",
    b"~SEQ(A,1,9) ",
    b"~LST({A,B},{1,2}) ",
    b"@",
    b"@^",
    b"@host ",
    b"include /nonexistent\n",
    b"include *\n",
    b"include {a,b\n",
    b"#",
    b"!",
    b"\r\n",
    b"\n",
    b" ",
    b"\t",
    b"\0",
    b"<<<<<<< x\n",
    b"=======\n",
    b"weight 1 reverse",
    b"1.2.3.4/99",
    b"::1",
    b"::/0",
    b"${_RANDOM 5 1}",
    b"${_ENV X=Y}",
    b"${_PWD}",
    b"4294967296",
    b"0.0000001",
    b"40.96",
    b"\xe2\x80\xa8",
    b"\x1b[31m",
];

fn mutate(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let lines = || bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        match random.below(12) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, SPLICES[random.below(SPLICES.len())].iter().copied())),
            2 => {
                let end = (at + random.below(12)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let mut lines = lines();
                lines.remove(random.below(lines.len()));
                bytes = lines.join(&b'\n');
            }
            4 => {
                let mut lines = lines();
                let line = lines[random.below(lines.len())].clone();
                let to = random.below(lines.len());
                lines.insert(to, line);
                bytes = lines.join(&b'\n');
            }
            5 => {
                let mut lines = lines();
                let (a, b) = (random.below(lines.len()), random.below(lines.len()));
                lines.swap(a, b);
                bytes = lines.join(&b'\n');
            }
            6 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            7 => {
                let cut = random.below(other.len() + 1);
                bytes.splice(at..at, other[cut..].iter().copied());
            }
            8 => swap_type(&mut bytes, at, random),
            9 => {
                let deep = random.below(60);
                let end = (at + random.below(200)).min(bytes.len());
                bytes.splice(end..end, b"\n}".repeat(deep));
                bytes.splice(at..at, b"vrrp_instance x {\n".repeat(deep));
            }
            10 => {
                // A keyword of another block.
                let (_, table) = &blocks()[random.below(blocks().len())];
                let word = &table[random.below(table.len())].word;
                let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                bytes.splice(start..start, format!("{word} {}\n", random.next() % 300).into_bytes());
            }
            _ => {
                let repeated: Vec<u8> =
                    bytes[at..(at + random.below(40)).min(bytes.len())].repeat(random.below(50));
                bytes.splice(at..at, repeated);
            }
        }
        bytes.truncate(20_000);
    }
    bytes
}

/// The word at `at` becomes one of another type.
fn swap_type(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    const VALUES: &[&[u8]] = &[
        b"on",
        b"off",
        b"7",
        b"-7",
        b"0.5",
        b"1e9",
        b"word",
        b"192.0.2.1",
        b"2001:db8::1/64",
        b"eth0",
        b"\"q q\"",
        b"{ }",
        b"default",
        b"18446744073709551616",
        b"0x7fffffff",
        b"100ms",
        b"/tmp/x",
        b"",
    ];
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    let start = bytes[..at].iter().rposition(blank).map_or(0, |start| start + 1);
    let end = bytes[at..].iter().position(blank).map_or(bytes.len(), |length| at + length);
    bytes.splice(start..end, VALUES[random.below(VALUES.len())].iter().copied());
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn mutated() -> Result<(), Failed> {
    let corpus: Vec<Vec<u8>> = files().iter().map(|path| std::fs::read(path).expect("readable")).collect();
    let (cases, from) = (number("XVRRP_MUTATIONS", CASES), number("XVRRP_MUTATIONS_FROM", 0));
    let (next, fatal) = (AtomicU64::new(from), AtomicU64::new(0));
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(8));
    // No file may take longer to read than all of the corpus, of which it is a small part.
    let start = used().map_err(|error| error.to_string())?;
    for bytes in &corpus {
        let _loaded = config::load_str("/nonexistent/whole.conf", bytes, &options());
    }
    // Sequences multiply what a file says, but not to more than all files together say several times over.
    let most = 20 * used().map_err(|error| error.to_string())?.saturating_sub(start);
    let worker = || -> Result<Duration, String> {
        let mut slowest = Duration::ZERO;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= from + cases {
                return Ok(slowest);
            }
            slowest = slowest.max(case(number, &corpus, most, &fatal)?);
        }
    };
    let results: Vec<Result<Duration, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        threads
            .into_iter()
            .map(|t| t.join().unwrap_or_else(|_| Err("a worker panicked".to_owned())))
            .collect()
    });
    let mut slowest = Duration::ZERO;
    for result in results {
        slowest = slowest.max(result?);
    }
    println!("{cases} cases, the slowest took {slowest:?}");
    // The test would be worthless if almost nothing were read to the end.
    let fatal = fatal.into_inner();
    assert!(fatal < cases / 2, "{fatal} of {cases} could not be read");
    Ok(())
}

/// Processor time of this thread so far.
fn used() -> nix::Result<Duration> {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from)
}

/// One case, and the processor time that it took, `most` at most. Other work on the machine does not count.
fn case(number: u64, corpus: &[Vec<u8>], most: Duration, fatal: &AtomicU64) -> Result<Duration, String> {
    let mut random = Random(number);
    let (a, b) = (random.below(corpus.len()), random.below(corpus.len()));
    let bytes = mutate(&corpus[a], &corpus[b], &mut random);
    let show = || String::from_utf8_lossy(&bytes).into_owned();
    let start = used().map_err(|error| error.to_string())?;
    let loaded =
        std::panic::catch_unwind(|| config::load_str("/nonexistent/mutated.conf", &bytes, &options()))
            .map_err(|_| format!("case {number} panicked\n{}", show()))?;
    let took = used().map_err(|error| error.to_string())?.saturating_sub(start);
    if took > most {
        return Err(format!(
            "case {number} took {took:?}, more than {most:?}, which is the whole corpus twenty times over,\n{}",
            show()
        ));
    }
    if let Some(problem) = places(&loaded).or_else(|| sound(&loaded.config)) {
        return Err(format!("case {number}: {problem}\n{}", show()));
    }
    fatal.fetch_add(u64::from(loaded.fatal), Ordering::Relaxed);
    if number.is_multiple_of(32) {
        assert!(!report::text(&loaded, number.is_multiple_of(64), None).is_empty());
    }
    Ok(took)
}

fn places(loaded: &Loaded) -> Option<String> {
    for finding in &loaded.diagnostics {
        let place = loaded.diagnostics.sources.place(finding.span);
        let file = loaded.diagnostics.sources.file(finding.span.file)?;
        let lines = file.bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        if place.line == 0 || place.column == 0 || usize::try_from(place.line).expect("fits") > lines {
            return Some(format!("{} has no place: {place}", finding.code));
        }
        if let Some((span, _)) = finding.related
            && loaded.diagnostics.sources.place(span).line == 0
        {
            return Some(format!("{} points nowhere", finding.code));
        }
        if finding.message.is_empty() {
            return Some(format!("{} says nothing", finding.code));
        }
    }
    (loaded.fatal && loaded.diagnostics.iter().next().is_none()).then(|| "fatal without a finding".to_owned())
}

/// What the rest of the daemon relies on.
fn sound(config: &Config) -> Option<String> {
    for instance in &config.instances {
        let v4 = instance.family == Family::V4;
        let of_family = |address: std::net::IpAddr| address.is_ipv4() == v4;
        let checks = [
            (instance.vips.iter().all(|vip| of_family(vip.address)), "a VIP of another family"),
            (instance.vips.len() <= 255, "too many VIPs"),
            (instance.source.is_none_or(of_family), "a source of another family"),
            (
                instance
                    .unicast
                    .as_ref()
                    .is_none_or(|u| !u.peers.is_empty() && u.peers.iter().all(|p| of_family(p.address))),
                "a peer of another family",
            ),
            (
                instance.track_scripts.iter().all(|t| config.scripts.iter().any(|s| s.name == t.script)),
                "an unknown script",
            ),
            (
                instance.version.number() == 3 || (v4 && instance.interval.get().is_multiple_of(100)),
                "a version that cannot be",
            ),
            (instance.preempt || instance.preempt_delay.is_zero(), "a delay without preemption"),
            (!instance.starts_as_master || instance.preempt, "MASTER with nopreempt"),
            ((1..=15).contains(&instance.interface.len()), "an impossible interface"),
            (
                instance.notify.scripts().all(|(_, script)| !script.argv.is_empty()),
                "a notify script of nothing",
            ),
            (
                instance.track_files.iter().all(|t| config.track_files.iter().any(|f| f.name == t.name)),
                "an unknown file",
            ),
            (
                instance
                    .track_processes
                    .iter()
                    .all(|t| config.track_processes.iter().any(|p| p.name == t.name)),
                "an unknown process",
            ),
            (
                instance.track_bfd.iter().all(|t| config.bfd.iter().any(|b| b.name == t.name)),
                "an unknown session",
            ),
            (
                instance.track_checks.iter().all(|t| config.checks.iter().any(|c| c.name == t.name)),
                "an unknown check",
            ),
            (instance.routes.iter().all(|route| route.to.length <= 128), "a route that cannot be"),
            (instance.rules.iter().all(|rule| rule.priority.is_some()), "a rule without a preference"),
        ];
        if let Some((_, problem)) = checks.iter().find(|(good, _)| !good) {
            return Some(format!("`{}` has {problem}", instance.name));
        }
    }
    for group in &config.sync_groups {
        let runs = |member: &String| config.instances.iter().any(|instance| instance.name == *member);
        if group.members.is_empty() || !group.members.iter().all(runs) {
            return Some(format!("group `{}` has a member that does not run", group.name));
        }
    }
    if let Some(check) =
        config.checks.iter().find(|c| c.interval.is_zero() || c.timeout > c.interval || c.rise == 0)
    {
        return Some(format!("check `{}` cannot run", check.name));
    }
    config
        .scripts
        .iter()
        .find(|s| s.argv.is_empty() || s.rise == 0 || s.fall == 0 || s.interval.is_zero())
        .map(|s| format!("script `{}` cannot run", s.name))
}
