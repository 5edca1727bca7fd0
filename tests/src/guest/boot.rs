//! Process 1 of the virtual machine: file systems, modules, the tests in a process of their own, power off.

use std::ffi::CStr;
use std::fs;
use std::process::Command;

use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};

use super::Line;

/// Brings the machine up, runs the tests with `words`, and switches the machine off. Returns only where that is not
/// possible.
pub(super) fn machine(words: &[String]) {
    let none = MsFlags::empty();
    let file_systems = [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
        ("bpf", "/sys/fs/bpf"),
        ("tracefs", "/sys/kernel/tracing"),
    ];
    for (kind, at) in file_systems {
        if let Err(error) = mount(Some(kind), at, Some(kind), none, None::<&str>) {
            Line::Result("mount".into(), format!("{at} {error}")).print();
        }
    }
    load_modules();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let _name_is_cosmetic = fs::write("/proc/sys/kernel/hostname", "guest");
    Line::Booted(release.trim().to_owned()).print();

    // A process of its own: whatever becomes of it, the machine is switched off.
    let mut tests = Command::new("/proc/self/exe");
    tests
        .args(words)
        .env("PATH", "/bin")
        .env("XVRRP_BIN", "/bin/xvrrp")
        .env("HOME", "/root")
        .current_dir("/");
    match tests.status() {
        Ok(status) if status.code().is_some() => {}
        Ok(status) => Line::check("test", false, &format!("the tests ended with {status}")).print(),
        Err(error) => Line::check("test", false, &format!("the tests do not start: {error}")).print(),
    }
    Line::Result("uptime_s".into(), uptime()).print();
    Line::End.print();
    nix::unistd::sync();
    let Err(error) = reboot(RebootMode::RB_POWER_OFF);
    println!("cannot switch off: {error}");
}

/// In the order that xtask has found; one that the kernel refuses is told, and missed by the test that needs it.
fn load_modules() {
    let order = fs::read_to_string("/modules.order").unwrap_or_default();
    for name in order.lines().filter(|name| !name.is_empty()) {
        let load = || -> anyhow::Result<()> {
            let file = fs::File::open(format!("/modules/{name}.ko"))?;
            let no_parameters: &CStr = c"";
            Ok(finit_module(&file, no_parameters, ModuleInitFlags::empty())?)
        };
        if let Err(error) = load() {
            Line::Result("module".into(), format!("{name} {error:#}")).print();
        }
    }
}

fn uptime() -> String {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}
