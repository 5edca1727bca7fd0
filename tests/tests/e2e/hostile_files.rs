//! Files that cannot be used: `check` and `run` say which and why, and a reload keeps what runs.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, RUN_DIR, wait_for};

use super::{BACKUP, MASTER, VIP, ms, reach, sound, state, text, xvrrp};
use crate::harness::Test;
use crate::punctual::steady;

const FILE: &str = "/etc/keepalived/keepalived.conf";
/// A file that nobody can use must not take longer to refuse than so many good ones to check.
const QUICK: u32 = 50;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("hostile::files_that_cannot_be_used", unusable).needs([Daemon::XvrrpRfc]),
        Test::new("hostile::files_that_are_odd", odd).needs([Daemon::XvrrpRfc]),
        Test::new("hostile::reload_of_an_unusable_file_changes_nothing", reload).needs([Daemon::XvrrpRfc]),
    ]
}

/// Makes a bad file in place of [`FILE`].
type Spoil = fn(&Host) -> Result<()>;

/// Name, how to make it, and what the message says besides the path.
const UNUSABLE: [(&str, Spoil, &str); 7] = [
    ("missing", |host| fresh(host), "No such file"),
    ("a directory", |host| Ok(std::fs::create_dir(fresh_path(host)?)?), "directory"),
    ("a FIFO", |host| host.output(&["mkfifo", remove(host)?]).map(drop), "a pipe, socket or device"),
    (
        "a device",
        |host| host.output(&["ln", "-s", "/dev/zero", remove(host)?]).map(drop),
        "a pipe, socket or device",
    ),
    ("empty", |host| put(host, b""), ""),
    ("binary", |host| put(host, &noise(64 * 1024)), ""),
    ("includes itself", |host| put(host, b"include /etc/keepalived/keepalived.conf\n"), ":1"),
];

fn fresh(host: &Host) -> Result<()> {
    remove(host).map(drop)
}

/// Removes the file; its name.
fn remove(host: &Host) -> Result<&'static str> {
    host.output(&["rm", "-rf", FILE])?;
    host.output(&["mkdir", "-p", "/etc/keepalived"])?;
    Ok(FILE)
}

fn fresh_path(host: &Host) -> Result<std::path::PathBuf> {
    remove(host)?;
    Ok(host.path(FILE))
}

fn put(host: &Host, content: &[u8]) -> Result<()> {
    remove(host)?;
    host.write(FILE, content, 0o644)
}

/// Bytes of all values in no order.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn unusable(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    put(host, MASTER.as_bytes())?;
    let start = Instant::now();
    ensure!(xvrrp(host, &["check", "-f", FILE])?.status.success(), "a good file is refused");
    let good = start.elapsed();
    for (name, spoil, words) in UNUSABLE {
        spoil(host)?;
        for command in [&["check", "-f", FILE][..], &["run", "-f", FILE, "--run-dir", RUN_DIR]] {
            // These two are no reason not to run; whatever else the files say would be in force.
            let code = match name {
                "empty" => 0,
                "includes itself" => 5,
                _ => 4,
            };
            if code != 4 && command[0] == "run" {
                continue;
            }
            let start = Instant::now();
            let output = xvrrp(host, command)?;
            let said = text(&output);
            println!(
                "{name}: {command:?}: {:?}: {}",
                output.status.code(),
                said.lines().next().unwrap_or("(nothing)")
            );
            ensure!(!said.contains("panicked"), "{name}: {said}");
            let took = start.elapsed();
            ensure!(took < good * QUICK, "{name}: {command:?} took {took:?}, a good file {good:?}");
            ensure!(said.contains(FILE) && said.contains(words), "{name}: {command:?} says {said:?}");
            ensure!(
                output.status.code() == Some(code),
                "{name}: {command:?} ends with {:?}: {said}",
                output.status
            );
            ensure!(said.len() < 16 * 1024, "{name}: {command:?} says {} bytes", said.len());
        }
    }
    Ok(())
}

/// What is usable after all: the rest of the file counts.
fn odd(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    let comment = "# as much prose as ever was in a configuration file\n".repeat(10 * 1024 * 1024 / 51);
    let many = {
        let vip = |n: usize| format!("  10.{}.{}.{}\n", n >> 16 & 255, n >> 8 & 255, n & 255);
        let list: String = (1..100_000).map(vip).collect();
        MASTER.replace("172.16.1.25", &format!("172.16.1.25\n{list}"))
    };
    let cases = [
        ("10 MB of comments", format!("{comment}{MASTER}"), 0..=0),
        ("10 MB on one line", format!("{MASTER}\n# {}", "x".repeat(10 * 1024 * 1024)), 0..=0),
        ("100,000 addresses", many, 4..=5),
        ("100,000 open braces", format!("{MASTER}{}", "a {\n".repeat(100_000)), 4..=5),
        ("windows", MASTER.replace('\n', "\r\n"), 0..=5),
        ("NUL bytes", MASTER.replace('#', "\0#"), 0..=5),
    ];
    for (name, content, codes) in cases {
        put(host, content.as_bytes())?;
        let start = Instant::now();
        let output = xvrrp(host, &["check", "-f", FILE])?;
        let said = text(&output);
        println!("{name}: {:?} in {:?}, {} bytes of text", output.status.code(), start.elapsed(), said.len());
        ensure!(!said.contains("panicked"), "{name}: {said}");
        ensure!(
            output.status.code().is_some_and(|code| codes.contains(&code)),
            "{name}: {:?}: {said:.2000}",
            output.status
        );
        ensure!(said.len() < 256 * 1024, "{name}: {} bytes of text", said.len());
    }
    Ok(())
}

fn reload(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let mut backup = r2.start(Daemon::XvrrpRfc, BACKUP)?;
    let mut master = r1.start(Daemon::XvrrpRfc, MASTER)?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    for (name, spoil, words) in UNUSABLE {
        spoil(r1)?;
        let start = Instant::now();
        let output = xvrrp(r1, &["reload", "--run-dir", RUN_DIR])?;
        let said = text(&output);
        println!(
            "{name}: {:?} in {:?}: {}",
            output.status.code(),
            start.elapsed(),
            said.lines().next().unwrap_or("(nothing)")
        );
        ensure!(output.status.code() == Some(1), "{name}: {:?}: {said}", output.status);
        ensure!(
            said.contains(FILE) && said.contains(words) && said.contains("stays in force"),
            "{name}: {said}"
        );
        ensure!(state(r1, "VI_1") == "MASTER" && r1.holds(VIP)?, "{name}: no longer master");
    }
    // And once more by signal.
    master.signal(nix::sys::signal::Signal::SIGHUP)?;
    put(r1, MASTER.as_bytes())?;
    let reloaded = || {
        let output = xvrrp(r1, &["reload", "--run-dir", RUN_DIR]).ok()?;
        output.status.success().then_some(())
    };
    wait_for(ms(3_000), reloaded).context("a good file is not taken any more")?;
    let adverts = || wire.filter(|s| s.is_advert_from("r1"));
    wait_for(ms(3_000), || (adverts().len() >= 2).then_some(()));
    let times: Vec<_> = adverts().iter().map(|seen| seen.at).collect();
    steady("adverts of the master", &times, ms(1_000) * 6 / 5)?;
    let moves: Vec<_> = addresses.history().into_iter().filter(|change| change.host == "r2").collect();
    ensure!(state(r2, "VI_1") == "BACKUP", "r2: {moves:?}");
    sound(&mut backup, 30)?;
    sound(&mut master, 100)
}
