//! QEMU: which one, what it can do, and a guest's command line.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use super::fetch::Image;
use super::name::Arch;
use crate::sys;

/// Network cards that the routers can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Card {
    /// Para-virtual, of KVM and the clouds.
    Virtio,
    /// Intel's gigabit card for servers.
    Igb,
    /// VMware's: `ens160`.
    Vmxnet3,
    /// Intel's gigabit card for desktops.
    E1000e,
}

impl Card {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Virtio => "virtio",
            Self::Igb => "igb",
            Self::Vmxnet3 => "vmxnet3",
            Self::E1000e => "e1000e",
        }
    }

    /// QEMU's device.
    fn device(self) -> &'static str {
        match self {
            Self::Virtio => "virtio-net-pci",
            other => other.name(),
        }
    }
}

/// How guests are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// Hardware.
    Kvm,
    /// Translation, with a clock that counts instructions: a slow machine looks like a slow processor and not like one
    /// that stalls.
    TcgCounted,
    /// Translation by the machine's clock: for guests that talk to each other.
    Tcg,
}

impl Accelerator {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::TcgCounted => "TCG, instruction clock",
            Self::Tcg => "TCG",
        }
    }
}

/// An installed QEMU for one architecture.
#[derive(Clone, Debug)]
pub(crate) struct Qemu {
    program: PathBuf,
    arch: Arch,
}

/// A guest to be.
#[derive(Debug)]
pub(crate) struct Guest<'a> {
    /// Its kernel and modules.
    pub(crate) image: &'a Image,
    /// The whole initramfs.
    pub(crate) initramfs: &'a Path,
    /// Where its console goes.
    pub(crate) console: &'a Path,
    /// How it runs.
    pub(crate) accelerator: Accelerator,
    /// Cards and other devices.
    pub(crate) devices: Vec<String>,
    /// Words for `/init`.
    pub(crate) words: Vec<String>,
}

/// Version of QEMU that boots everything here.
const OLDEST: u32 = 8;

/// MAC addresses of the routers' cards: those of the lab's hosts r1 and r2.
pub(crate) const ROUTER_MACS: [&str; 2] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
/// MAC addresses of the cards that are the switch's ports of them.
pub(crate) const PORT_MACS: [&str; 2] = ["52:54:00:00:00:11", "52:54:00:00:00:12"];

impl Qemu {
    /// The installed one.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn find(arch: Arch) -> Result<Self> {
        let (name, package) = match arch {
            Arch::Amd64 => ("qemu-system-x86_64", "qemu-system-x86"),
            Arch::Arm64 => ("qemu-system-aarch64", "qemu-system-arm"),
        };
        let program = sys::find(name).with_context(|| format!("`{name}` is missing: install {package}"))?;
        Ok(Self { program, arch })
    }

    /// Refuses one in which some kernels hang before their first words.
    ///
    /// # Errors
    /// When there is none, or it is too old: a message with the way to a newer one.
    pub(crate) fn check(arch: Arch) -> Result<()> {
        let qemu = Self::find(arch)?;
        let version = qemu.version();
        ensure!(
            !qemu.is_old(),
            "QEMU {version} is too old: the kernels 5.10 and 6.1 hang in it, and it has no igb. Install version \
             {OLDEST} or later; on Debian 12, with bookworm-backports in apt's sources:\n    \
             apt-get install -t bookworm-backports qemu-system-x86 qemu-system-arm"
        );
        Ok(())
    }

    /// Whether some kernels hang in it.
    pub(crate) fn is_old(&self) -> bool {
        major(&self.version()).is_some_and(|major| major < OLDEST)
    }

    /// Its version, as it says it.
    pub(crate) fn version(&self) -> String {
        let text = sys::output(sys::tool(&self.program).arg("--version")).unwrap_or_default();
        version(&text).to_owned()
    }

    /// Whether it has `card`.
    pub(crate) fn has(&self, card: Card) -> bool {
        let help = sys::output(sys::tool(&self.program).args(["-device", "help"])).unwrap_or_default();
        help.contains(&format!("name \"{}\"", card.device()))
    }

    /// The command that runs `guest` until it switches itself off.
    pub(crate) fn command(&self, guest: &Guest<'_>) -> Command {
        let mut command = sys::tool(&self.program);
        let machine = match self.arch {
            Arch::Amd64 => "q35",
            Arch::Arm64 => "virt",
        };
        let processor = match (guest.accelerator, self.arch) {
            (Accelerator::Kvm, _) => "host",
            // x2apic and rdrand: without them kernels wait long for interrupts and randomness.
            (_, Arch::Amd64) => "qemu64,+x2apic,+rdrand",
            (_, Arch::Arm64) => "cortex-a57",
        };
        command.args(["-machine", machine, "-cpu", processor]);
        match guest.accelerator {
            Accelerator::Kvm => command.args(["-accel", "kvm"]),
            Accelerator::TcgCounted => command.args(["-accel", "tcg", "-icount", "shift=1,sleep=off"]),
            Accelerator::Tcg => command.args(["-accel", "tcg"]),
        };
        command.args([
            "-smp",
            "2",
            "-m",
            "768",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        command.arg("-serial").arg(file_option("file:", guest.console));
        command.arg("-kernel").arg(&guest.image.vmlinuz).arg("-initrd").arg(guest.initramfs);
        command.args(&guest.devices);
        command.arg("-append").arg(self.kernel_line(guest));
        command
    }

    fn kernel_line(&self, guest: &Guest<'_>) -> String {
        let (console, more) = match (self.arch, guest.accelerator) {
            (Arch::Arm64, _) => ("ttyAMA0", ""),
            (Arch::Amd64, Accelerator::Kvm) => ("ttyS0", ""),
            // The counted clock is a good one, but kernels that measure it do not think so.
            (Arch::Amd64, _) => ("ttyS0", " tsc=reliable clocksource=tsc no_timer_check"),
        };
        format!(
            "console={console} quiet loglevel=4 panic=-1 mitigations=off nokaslr net.ifnames=0 audit=0 apparmor=0 \
             selinux=0 random.trust_cpu=on{more} -- {}",
            guest.words.join(" ")
        )
    }
}

/// Cards for both routers, each joined with a port of the switch by a hub of QEMU's.
pub(crate) fn joined_cards(card: Card) -> Vec<String> {
    let mut options = Vec::new();
    let device = card.device();
    for (n, (router, port)) in ROUTER_MACS.iter().zip(PORT_MACS).enumerate() {
        let mut add = |device: &str, id: &str, mac: &str| {
            options.extend(["-netdev".to_owned(), format!("hubport,hubid={n},id={id}{n}")]);
            options.extend(["-device".to_owned(), format!("{device},romfile=,netdev={id}{n},mac={mac}")]);
        };
        add(device, "router", router);
        add("virtio-net-pci", "port", port);
    }
    options
}

/// `7.2.17` of `QEMU emulator version 7.2.17 (Debian …)`.
fn version(text: &str) -> &str {
    let mut words = text.split_whitespace().skip_while(|word| *word != "version");
    words.nth(1).unwrap_or("of unknown version")
}

/// `10` of `10.0.2`.
fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

fn file_option(kind: &str, path: &Path) -> OsString {
    let mut option = OsString::from(kind);
    option.push(path);
    option
}

/// What earlier probes found about KVM on this boot of this machine.
pub(crate) fn kvm_verdict(top: &Path) -> Option<bool> {
    let text = fs::read_to_string(top.join("kvm")).ok()?;
    let (boot, works) = text.trim().split_once(' ')?;
    (boot == boot_id()).then_some(works == "works")
}

/// Remembers whether a guest boots with KVM.
pub(crate) fn remember_kvm(top: &Path, works: bool) {
    let word = if works { "works" } else { "fails" };
    // If it cannot be written, it is found out again.
    let _again = fs::write(top.join("kvm"), format!("{} {word}\n", boot_id()));
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_qemu_are_compared_as_numbers() {
        assert_eq!(major("10.0.2"), Some(10));
        assert_eq!(major("7.2.22"), Some(7));
        assert_eq!(major("of unknown version"), None);
        let said = |text| major(version(text));
        assert_eq!(said("QEMU emulator version 7.2.17 (Debian 1:7.2+dfsg-7)\nCopyright"), Some(7));
        assert_eq!(said("QEMU emulator version 10.0.2"), Some(10));
        assert_eq!(said("something else"), None);
    }
}
