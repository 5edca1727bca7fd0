//! What a service manager hears of the daemon (sd_notify(3)), from a socket such as systemd's.

use std::collections::VecDeque;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, RUN_DIR, wait_for};

use crate::harness::Test;
use crate::pair::{Conf, FILE, ms, reload, stderr, until, xvrrp};

const SOCKET: &str = "/run/notify";
/// `WatchdogSec`; a frozen daemon is watched for several times as long.
const WATCHDOG: Duration = ms(1_000);

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::XvrrpRfc]);
    vec![
        test("service_manager::hears_of_roles_reloads_and_the_stop", life),
        test("service_manager::misses_a_frozen_loop", watchdog),
    ]
}

/// The manager's end.
struct Manager {
    socket: UnixDatagram,
    heard: VecDeque<String>,
}

impl Manager {
    fn on(host: &Host) -> Result<Self> {
        let socket = UnixDatagram::bind(host.path(SOCKET)).context("binding the manager's socket")?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, heard: VecDeque::new() })
    }

    fn read(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.heard.extend(text.lines().map(str::to_owned));
        }
    }

    /// Skips everything up to a line that begins so, which must come.
    fn hears(&mut self, start: &str) -> Result<String> {
        let mut skipped = Vec::new();
        let line = wait_for(ms(10_000), || {
            self.read();
            while let Some(line) = self.heard.pop_front() {
                if line.starts_with(start) {
                    return Some(line);
                }
                skipped.push(line);
            }
            None
        });
        line.with_context(|| format!("no `{start}` after {skipped:?}"))
    }

    /// How often the watchdog was fed since it was last asked.
    fn fed(&mut self) -> usize {
        self.read();
        self.heard.drain(..).filter(|line| line == "WATCHDOG=1").count()
    }
}

fn life(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let mut manager = Manager::on(r1)?;
    let text = Conf::new(150).text();
    let mut daemon = r1.start_in(Daemon::XvrrpRfc, &text, &[], &[("NOTIFY_SOCKET", SOCKET)])?;
    manager.hears("READY=1")?;
    manager.hears("STATUS=1 BACKUP")?;
    manager.hears("STATUS=1 MASTER")?;

    reload(r1, &Conf::new(140).text())?;
    manager.hears("RELOADING=1")?;
    manager.hears("MONOTONIC_USEC=")?;
    manager.hears("READY=1")?;

    // Whoever waits for the end of a reload must not wait for ever where it is refused.
    r1.write(FILE, text.replace("virtual_router_id 25", "virtual_router_id 300"), 0o644)?;
    let output = xvrrp(r1, &["reload", "--run-dir", RUN_DIR])?;
    ensure!(output.status.code() == Some(1), "{}: {}", output.status, stderr(&output));
    manager.hears("RELOADING=1")?;
    manager.hears("READY=1")?;
    manager.hears("STATUS=1 MASTER, the latest reload was refused")?;
    r1.write(FILE, &text, 0o644)?;
    daemon.signal(nix::sys::signal::Signal::SIGHUP)?;
    manager.hears("RELOADING=1")?;
    manager.hears("READY=1")?;
    let line = manager.hears("STATUS=1 MASTER")?;
    ensure!(line == "STATUS=1 MASTER", "{line}");

    // The same process, which is ready once more.
    let output = xvrrp(r1, &["restart", "--run-dir", RUN_DIR])?;
    ensure!(output.status.success(), "{}", stderr(&output));
    manager.hears("READY=1")?;
    manager.hears("STATUS=1 MASTER")?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    daemon.stop()?;
    manager.hears("STOPPING=1").map(drop)
}

fn watchdog(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let mut manager = Manager::on(r1)?;
    let limit = WATCHDOG.as_micros().to_string();
    let variables = [("NOTIFY_SOCKET", SOCKET), ("WATCHDOG_USEC", limit.as_str())];
    // Seldom does anything else wake this one.
    let text = Conf::new(150).every("20").text();
    let daemon = r1.start_in(Daemon::XvrrpRfc, &text, &[], &variables)?;
    for _ in 0..3 {
        manager.hears("WATCHDOG=1")?;
    }
    daemon.freeze()?;
    manager.fed();
    std::thread::sleep(WATCHDOG * 3);
    let fed = manager.fed();
    ensure!(fed == 0, "fed {fed} times while it was frozen");
    daemon.thaw()?;
    manager.hears("WATCHDOG=1")?;
    manager.hears("WATCHDOG=1").map(drop)
}
