//! Two virtual machines with a cable between them, so that each router has a kernel of its own, and so that one of them
//! can be frozen whole, as a hypervisor does.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ha_tests::guest::Line;

use super::outcome::Outcome;
use super::qemu::{Accelerator, Guest, PORT_MACS, Qemu, ROUTER_MACS};
use super::run::{Machine, Settings};
use super::watch::{self, Running};

/// QEMU's first steps, on a busy machine.
const START: Duration = Duration::from_secs(30);
/// The first machine switches itself off when it is told to.
const END: Duration = Duration::from_secs(60);

/// Files that vanish with this value.
struct Sockets {
    cable: PathBuf,
    monitor: PathBuf,
}

impl Sockets {
    fn new() -> Self {
        // Not below the target directory, whose path may be longer than that of a socket can be.
        let path = |what: &str| std::env::temp_dir().join(format!("xvrrp-{}-{what}", std::process::id()));
        let sockets = Self { cable: path("cable"), monitor: path("monitor") };
        sockets.remove();
        sockets
    }

    fn remove(&self) {
        for path in [&self.cable, &self.monitor] {
            let _absent = fs::remove_file(path);
        }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Boots both machines and follows the second, which asks for freezes of the first.
///
/// # Errors
/// When one does not come to its end.
pub(crate) fn boot(
    settings: &Settings,
    machines: [&Machine; 2],
    raw: bool,
    outcome: &mut Outcome,
    say: &dyn Fn(&str),
) -> Result<()> {
    let sockets = Sockets::new();
    let [first, second] = machines;
    let raw = if raw { "raw=yes" } else { "raw=no" };
    let mut devices =
        card(&format!("server=on,addr.type=unix,addr.path={}", sockets.cable.display()), ROUTER_MACS[0]);
    devices.extend(["-qmp".to_owned(), format!("unix:{},server=on,wait=off", sockets.monitor.display())]);
    let mut one = start(first, devices, &["test=pair-first", raw])?;
    let mut monitor = Monitor::connect(&sockets.monitor, &mut one)?;
    let devices =
        card(&format!("server=off,addr.type=unix,addr.path={}", sockets.cable.display()), PORT_MACS[0]);
    let mut other = start(second, devices, &["test=pair-second"])?;
    say(&format!(
        "booting {} and {} ({})",
        first.image.kernel.name(),
        second.image.kernel.name(),
        Accelerator::Tcg.name()
    ));
    let result = follow(settings, &mut one, &mut other, &mut monitor, outcome, say);
    outcome.seconds = other.elapsed().as_secs_f64();
    if result.is_err() {
        print!("{}{}", watch::tail(&first.console, 15), watch::tail(&second.console, 15));
    }
    result
}

fn card(wire: &str, mac: &str) -> Vec<String> {
    [
        "-netdev",
        &format!("stream,id=cable,{wire}"),
        "-device",
        &format!("virtio-net-pci,romfile=,netdev=cable,mac={mac}"),
    ]
    .map(str::to_owned)
    .to_vec()
}

fn start(machine: &Machine, devices: Vec<String>, words: &[&str]) -> Result<Running> {
    let guest = Guest {
        image: &machine.image,
        initramfs: &machine.initramfs,
        console: &machine.console,
        accelerator: Accelerator::Tcg,
        devices,
        words: words.iter().map(|&word| word.to_owned()).collect(),
    };
    Running::start(Qemu::find(machine.image.kernel.arch())?.command(&guest), &machine.console)
}

fn follow(
    settings: &Settings,
    one: &mut Running,
    other: &mut Running,
    monitor: &mut Monitor,
    outcome: &mut Outcome,
    say: &dyn Fn(&str),
) -> Result<()> {
    let mut ended = false;
    while let Some(lines) = other.lines(settings.limit)? {
        for line in lines.iter().filter_map(|line| Line::parse(line)) {
            outcome.take(&line);
            let seconds = other.elapsed().as_secs_f64();
            match &line {
                Line::Booted(release) => say(&format!("{seconds:5.1} s  booted {release}")),
                Line::Check { name, passed, found } => {
                    let verdict = if *passed { "ok    " } else { "FAILED" };
                    say(&format!("{seconds:5.1} s  {verdict} {name}: {found}"));
                }
                Line::Order(order) => monitor.freeze(order)?,
                Line::End => ended = true,
                _ => {}
            }
        }
    }
    if !ended {
        bail!("the second machine ended before its tests did");
    }
    let begin = Instant::now();
    while one.lines(settings.limit)?.is_some() {
        if begin.elapsed() > END {
            bail!("the first machine does not end");
        }
    }
    Ok(())
}

/// QEMU's monitor, by its protocol: lines of JSON.
struct Monitor {
    reader: BufReader<UnixStream>,
}

impl Monitor {
    fn connect(path: &Path, machine: &mut Running) -> Result<Self> {
        let begin = Instant::now();
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if begin.elapsed() > START => return Err(error).context("QEMU's monitor"),
                // An early end of QEMU says why.
                Err(_) => drop(machine.lines(START)?),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        stream.set_read_timeout(Some(START))?;
        let mut monitor = Self { reader: BufReader::new(stream) };
        monitor.execute("qmp_capabilities")?;
        Ok(monitor)
    }

    fn execute(&mut self, command: &str) -> Result<()> {
        self.reader.get_mut().write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes())?;
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).with_context(|| format!("{command}: no answer of QEMU"))? == 0
            {
                bail!("{command}: QEMU has ended");
            }
            let answer: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if answer.get("return").is_some() {
                return Ok(());
            }
            if let Some(error) = answer.get("error") {
                bail!("{command}: {error}");
            }
        }
    }

    /// `freeze MILLISECONDS`: stops the machine whole for that long.
    fn freeze(&mut self, order: &str) -> Result<()> {
        let ms = order.strip_prefix("freeze ").and_then(|ms| ms.parse().ok());
        let ms =
            ms.with_context(|| format!("the guest asks for `{order}`, which is nothing that can be done"))?;
        self.execute("stop")?;
        std::thread::sleep(Duration::from_millis(ms));
        self.execute("cont")
    }
}
