//! Boots guests, one after another or several at a time, and prints what they say as they say it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ha_tests::guest::Line;

use super::apt::Apt;
use super::fetch::{self, Image};
use super::initramfs::{self, Ours};
use super::name::{Arch, Wanted};
use super::outcome::{Outcome, Outcomes};
use super::pair;
use super::plan::{self, Job};
use super::qemu::{self, Accelerator, Guest, Qemu};
use super::watch::{self, Running};
use crate::dist::Target;

/// What all guests of a run share.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `target/kernels`.
    pub(crate) top: PathBuf,
    /// The programs, by what they are built for.
    pub(crate) binaries: BTreeMap<Target, Ours>,
    /// A guest that takes longer is given up.
    pub(crate) limit: Duration,
    /// Leave out what follows from the rest, mostly.
    pub(crate) short: bool,
    /// Which test of the guest's.
    pub(crate) test: &'static str,
}

/// What a machine is booted with, and where its console goes. The initramfs vanishes with it.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Kernel and modules.
    pub(crate) image: Image,
    /// The whole initramfs.
    pub(crate) initramfs: PathBuf,
    /// The console.
    pub(crate) console: PathBuf,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.initramfs);
    }
}

/// Longer takes no guest for its first words, where KVM works.
const KVM_PROBE: Duration = Duration::from_secs(20);

/// A guest is booted so often at most.
const ATTEMPTS: usize = 3;

/// Runs `jobs`, `at_a_time`.
///
/// # Errors
/// When nothing can be run, or on Ctrl-C; a guest that fails is a row of the outcome.
pub(crate) fn all(settings: &Settings, apt: &Apt, jobs: Vec<Job>, at_a_time: usize) -> Result<Outcomes> {
    let packages = apt.names("linux-image-")?;
    for (target, ours) in &settings.binaries {
        initramfs::write(&settings.top, Arch::of(*target), ours, &settings.base(*target))?;
    }
    let mut queue: Vec<_> = jobs.into_iter().map(|job| (plan::place(&job.name()), job)).collect();
    queue.reverse();
    let (queue, done) = (Mutex::new(queue), Mutex::new(Outcomes::default()));
    let locked = |error| anyhow::anyhow!("a guest's thread panicked: {error}");
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..at_a_time {
            workers.push(scope.spawn(|| -> Result<()> {
                loop {
                    let next = queue.lock().map_err(|error| locked(error.to_string()))?.pop();
                    let Some((order, job)) = next else { return Ok(()) };
                    let mut outcome = attempts(settings, apt, &packages, &job);
                    if watch::INTERRUPTED.load(Ordering::Relaxed) {
                        bail!("interrupted");
                    }
                    outcome.order = order;
                    let mut done = done.lock().map_err(|error| locked(error.to_string()))?;
                    done.rows.push(outcome);
                }
            }));
        }
        for worker in workers {
            worker.join().map_err(|_| locked("see above".to_owned()))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let mut outcomes = done.into_inner().map_err(|error| locked(error.to_string()))?;
    outcomes.rows.sort_by_key(|row| row.order);
    Ok(outcomes)
}

/// Boots a guest, and once more where this machine kept the guest from running as it failed. The last attempt counts.
fn attempts(settings: &Settings, apt: &Apt, packages: &[String], job: &Job) -> Outcome {
    let mut outcome = one(settings, apt, packages, job);
    for _ in 1..ATTEMPTS {
        if !outcome.is_void() || watch::INTERRUPTED.load(Ordering::Relaxed) {
            break;
        }
        println!("{:<24} void: the machine stood still meanwhile; once more", job.name());
        outcome = one(settings, apt, packages, job);
    }
    outcome
}

/// Boots one guest. Whatever goes wrong is in the row.
fn one(settings: &Settings, apt: &Apt, packages: &[String], job: &Job) -> Outcome {
    let mut outcome = Outcome {
        name: job.name(),
        arch: job.wanted.arch().debian().to_owned(),
        card: match (&job.second, job.card) {
            (Some(_), _) => "two machines",
            (None, None) => "veth",
            (None, Some(card)) => card.name(),
        }
        .to_owned(),
        ..Outcome::default()
    };
    let say = |text: &str| println!("{:<24} {text}", job.name());
    match boot(settings, apt, packages, job, &mut outcome, &say) {
        Ok(()) => {}
        Err(error) => {
            let text = format!("{error:#}");
            say(&format!("FAILED: {text}"));
            outcome.trouble = Some(text);
        }
    }
    say(&format!("{} after {:.0} s", outcome.verdict(), outcome.seconds));
    outcome
}

fn boot(
    settings: &Settings,
    apt: &Apt,
    packages: &[String],
    job: &Job,
    outcome: &mut Outcome,
    say: &dyn Fn(&str),
) -> Result<()> {
    let qemu = Qemu::find(job.wanted.arch())?;
    outcome.qemu = qemu.version();
    if let Some(card) = job.card
        && !qemu.has(card)
    {
        bail!("QEMU {} has no {}; version 8 and later have all cards", outcome.qemu, card.name());
    }
    let machine = settings.machine(apt, packages, &job.wanted, &job.name(), say)?;
    if let Some(second) = &job.second {
        Accelerator::Tcg.name().clone_into(&mut outcome.accelerator);
        let other =
            settings.machine(apt, packages, &second.wanted, &format!("{} second", job.name()), say)?;
        return pair::boot(settings, [&machine, &other], second.raw, outcome, say);
    }
    let accelerator = settings.accelerator(&qemu, job, &machine, say)?;
    accelerator.name().clone_into(&mut outcome.accelerator);
    let Machine { image, initramfs, console } = &machine;
    say(&format!("booting {} ({})", image.kernel.name(), accelerator.name()));

    let mut words = vec![format!("test={}", settings.test), format!("modes={}", job.modes().join(","))];
    if settings.short {
        words.push("short=yes".to_owned());
    }
    words.extend(job.card.map(|card| format!("card={}", card.name())));
    let devices = job.card.map(qemu::joined_cards).unwrap_or_default();
    let guest = Guest { image, initramfs, console, accelerator, devices, words };
    let mut running = Running::start(qemu.command(&guest), console)?;
    let result = follow(&mut running, settings.limit, outcome, say);
    outcome.seconds = running.elapsed().as_secs_f64();
    drop(running);
    if let Err(error) = result {
        print!("{}", watch::tail(console, 20));
        return Err(error.context(format!("the console is in {}", console.display())));
    }
    Ok(())
}

/// Reads the console until the guest ends.
fn follow(running: &mut Running, limit: Duration, outcome: &mut Outcome, say: &dyn Fn(&str)) -> Result<()> {
    let mut ended = false;
    while let Some(lines) = running.lines(limit)? {
        for line in lines.iter().filter_map(|line| Line::parse(line)) {
            outcome.take(&line);
            let seconds = running.elapsed().as_secs_f64();
            match &line {
                Line::Booted(release) => say(&format!("{seconds:5.1} s  booted {release}")),
                Line::Check { name, passed, found } => {
                    let verdict = if *passed { "ok    " } else { "FAILED" };
                    say(&format!("{seconds:5.1} s  {verdict} {name}: {found}"));
                }
                Line::Result(key, value) if value.contains(' ') => {
                    say(&format!("{seconds:5.1} s         {key}: {value}"));
                }
                Line::End => ended = true,
                _ => {}
            }
        }
    }
    if !ended {
        bail!("the guest ended before its tests did");
    }
    Ok(())
}

impl Settings {
    fn base(&self, target: Target) -> PathBuf {
        self.top.join(format!("base-{}.cpio", target.triple()))
    }

    /// Kernel, initramfs and console of a machine called `name`.
    fn machine(
        &self,
        apt: &Apt,
        packages: &[String],
        wanted: &Wanted,
        name: &str,
        say: &dyn Fn(&str),
    ) -> Result<Machine> {
        let image = fetch::image(apt, &self.top, wanted, packages, say)?;
        let directory = self.top.join("run");
        fs::create_dir_all(&directory)?;
        let file = |extension: &str| directory.join(format!("{}.{extension}", name.replace([' ', '+'], "-")));
        let machine = Machine { image, initramfs: file("initramfs"), console: file("console") };
        let base = self.base(wanted.target());
        let mut bytes = fs::read(&base).with_context(|| format!("reading {}", base.display()))?;
        let modules = &machine.image.modules;
        bytes.extend(fs::read(modules).with_context(|| format!("reading {}", modules.display()))?);
        fs::write(&machine.initramfs, bytes)
            .with_context(|| format!("writing {}", machine.initramfs.display()))?;
        Ok(machine)
    }

    /// KVM where a guest really boots with it, which is tried once on each boot of this machine.
    fn accelerator(
        &self,
        qemu: &Qemu,
        job: &Job,
        machine: &Machine,
        say: &dyn Fn(&str),
    ) -> Result<Accelerator> {
        if Arch::host() != Some(job.wanted.arch()) || !Path::new("/dev/kvm").exists() {
            return Ok(Accelerator::TcgCounted);
        }
        static ONE: Mutex<()> = Mutex::new(());
        let _one_at_a_time = ONE.lock();
        let works = match qemu::kvm_verdict(&self.top) {
            Some(works) => works,
            None => {
                say("trying KVM");
                let console = self.top.join("run/kvm.console");
                let guest = Guest {
                    image: &machine.image,
                    initramfs: &machine.initramfs,
                    console: &console,
                    accelerator: Accelerator::Kvm,
                    devices: Vec::new(),
                    words: vec!["test=boot".to_owned()],
                };
                let works = boots(Running::start(qemu.command(&guest), &console)?)?;
                say(if works { "a guest boots with KVM" } else { "no guest boots with KVM here" });
                qemu::remember_kvm(&self.top, works);
                works
            }
        };
        Ok(if works { Accelerator::Kvm } else { Accelerator::TcgCounted })
    }
}

/// Whether a guest says that it has booted.
fn boots(mut running: Running) -> Result<bool> {
    loop {
        match running.lines(KVM_PROBE) {
            Ok(Some(lines)) => {
                if lines.iter().any(|line| matches!(Line::parse(line), Some(Line::Booted(_)))) {
                    return Ok(true);
                }
            }
            Ok(None) => return Ok(false),
            Err(error) if watch::INTERRUPTED.load(Ordering::Relaxed) => return Err(error),
            Err(_) => return Ok(false),
        }
    }
}
