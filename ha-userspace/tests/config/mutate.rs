//! Broken files: nothing panics or hangs, every finding has a place, and what is left can run.

use std::time::{Duration, Instant};

use ha_common::types::Family;
use ha_userspace::config::model::Config;
use ha_userspace::config::{self, Loaded, report};
use libtest_mimic::{Failed, Trial};

use super::{files, options};

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
        match random.below(9) {
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

fn mutated() -> Result<(), Failed> {
    let corpus: Vec<Vec<u8>> = files().iter().map(|path| std::fs::read(path).expect("readable")).collect();
    let options = options();
    let mut fatal = 0;
    for case in 0..CASES {
        let mut random = Random(case);
        let (a, b) = (random.below(corpus.len()), random.below(corpus.len()));
        let bytes = mutate(&corpus[a], &corpus[b], &mut random);
        let start = Instant::now();
        let loaded = config::load_str("/nonexistent/mutated.conf", &bytes, &options);
        if start.elapsed() > Duration::from_secs(5) {
            return Err(format!("case {case} took {:?}", start.elapsed()).into());
        }
        let problem = places(&loaded).or_else(|| sound(&loaded.config));
        if let Some(problem) = problem {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return Err(format!("case {case}: {problem}\n{text}").into());
        }
        fatal += u32::from(loaded.fatal);
        if case % 32 == 0 {
            assert!(!report::text(&loaded, case % 64 == 0).is_empty());
        }
    }
    // The test would be worthless if almost nothing were read to the end.
    assert!(u64::from(fatal) < CASES / 2, "{fatal} of {CASES} could not be read");
    Ok(())
}

fn places(loaded: &Loaded) -> Option<String> {
    for finding in &loaded.diagnostics {
        let place = loaded.diagnostics.sources.place(finding.span);
        let file = loaded.diagnostics.sources.file(finding.span.file)?;
        let lines = file.bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        if place.line == 0 || place.column == 0 || usize::try_from(place.line).expect("fits") > lines {
            return Some(format!("{} has no place: {place}", finding.code));
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
        ];
        if let Some((_, problem)) = checks.iter().find(|(good, _)| !good) {
            return Some(format!("`{}` has {problem}", instance.name));
        }
    }
    config
        .scripts
        .iter()
        .find(|s| s.argv.is_empty() || s.rise == 0 || s.fall == 0 || s.interval.is_zero())
        .map(|s| format!("script `{}` cannot run", s.name))
}
