//! Programs of the distribution that the lab and the tests run: what is missing, and apt for it.
//!
//! Missing is judged by program, so that any distribution will do; only getting them is Debian's business.
//! A service that a package brings must not start here: a second router on the developer's network is no
//! test equipment.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};

use super::{Need, backports, print_row};
use crate::sys;

/// A program, the Debian package that has it, and who runs it.
struct Program {
    name: &'static str,
    package: &'static str,
    need: Need,
    use_: &'static str,
}

const PROGRAMS: [Program; 13] = [
    Program { name: "ip", package: "iproute2", need: Need::Lab, use_: "namespaces, links, addresses" },
    Program { name: "nsenter", package: "util-linux", need: Need::Lab, use_: "programs inside a namespace" },
    Program { name: "ping", package: "iputils-ping", need: Need::Lab, use_: "the client" },
    Program {
        name: "arping",
        package: "iputils-arping",
        need: Need::Test,
        use_: "who answers for an address",
    },
    Program { name: "keepalived", package: "keepalived", need: Need::Test, use_: "a real VRRP peer" },
    Program { name: "/usr/lib/frr/vrrpd", package: "frr", need: Need::Test, use_: "another real VRRP peer" },
    Program { name: "bpftool", package: "bpftool", need: Need::Test, use_: "maps as an operator sees them" },
    Program { name: "tcpdump", package: "tcpdump", need: Need::Test, use_: "packets as others decode them" },
    Program { name: "nginx", package: "nginx", need: Need::Test, use_: "a service to be checked" },
    Program { name: "nft", package: "nftables", need: Need::Test, use_: "cutting a network in two" },
    Program {
        name: "ethtool",
        package: "ethtool",
        need: Need::Kernels,
        use_: "drivers of the cards in a guest",
    },
    Program {
        name: "qemu-system-x86_64",
        package: "qemu-system-x86",
        need: Need::Kernels,
        use_: "virtual machines for other kernels",
    },
    Program {
        name: "qemu-system-aarch64",
        package: "qemu-system-arm",
        need: Need::Kernels,
        use_: "the same for arm64",
    },
];

/// Packages whose service would start on installation, or at the next boot.
const SERVICES: [&str; 3] = ["keepalived", "frr", "nginx"];

/// Debian's switch for "may this package start its service now?".
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// First words of a [`POLICY`] that is ours.
const POLICY_MARK: &str = "# Temporary, by `cargo xtask setup`";
/// No installation takes longer; after it, a policy that was left behind by a crash forbids nothing.
const POLICY_LIFE: Duration = Duration::from_secs(30 * 60);

/// Prints one line for each program.
pub(super) fn print_status() {
    for program in &PROGRAMS {
        let found = sys::find(program.name).map(|path| format!("{} ({})", path.display(), program.use_));
        let label = program.name.rsplit('/').next().unwrap_or(program.name);
        let why = || format!("Debian package {} ({})", program.package, program.use_);
        print_row(label, &found.ok_or_else(why));
    }
}

/// Installs the packages of the programs that `need` lacks.
///
/// # Errors
/// Without root or apt: a message with the commands to run by hand.
pub(super) fn ensure(need: Need) -> Result<()> {
    let wanted = PROGRAMS.iter().filter(|program| program.need <= need && sys::find(program.name).is_none());
    let mut missing: Vec<&str> = wanted.map(|program| program.package).collect();
    let qemu = missing.iter().any(|package| backports::PACKAGES.contains(package));
    if need >= Need::Kernels && (qemu || backports::is_old()) {
        match backports::install() {
            Ok(()) => missing.retain(|package| !backports::PACKAGES.contains(package)),
            Err(error) => {
                println!("    no QEMU from the backports: {error:#}\n    going on with the release's")
            }
        }
    }
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// Installs the packages of programs that are missing; each is called as its package.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn ensure_programs(programs: &[&str]) -> Result<()> {
    let missing: Vec<&str> = programs.iter().copied().filter(|name| sys::find(name).is_none()).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// Those of `packages` that dpkg does not have.
pub(super) fn not_installed(packages: &[&'static str]) -> Vec<&'static str> {
    let has = |package: &&str| {
        let mut query = sys::tool("dpkg-query");
        query.args(["-W", "-f", "${db:Status-Status}", package]);
        sys::output(&mut query).is_ok_and(|status| status == "installed")
    };
    packages.iter().copied().filter(|package| !has(package)).collect()
}

/// Installs packages with apt, their services neither started nor enabled.
///
/// # Errors
/// Without root or apt, with a foreign policy that lets services start, or when apt fails. Each message
/// holds the commands to run by hand.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let Some(apt) = sys::find("apt-get") else {
        bail!(
            "missing: {}.\nThere is no apt-get here; install your distribution's packages of these names \
             (Debian's) or the same programs from elsewhere, and run `cargo xtask setup` again.",
            packages.join(" ")
        );
    };
    let by_hand = by_hand(packages);
    if !sys::is_root() {
        bail!("missing: {}.\nInstalling them needs root:\n{by_hand}", packages.join(" "));
    }
    let services: Vec<&str> = SERVICES.into_iter().filter(|name| packages.contains(name)).collect();
    let policy = if services.is_empty() { None } else { Policy::forbid(&services, &by_hand)? };

    let mut update = sys::tool(&apt);
    update.args(["update", "-q"]);
    if let Err(error) = sys::run("Refreshing the package lists", &mut update) {
        println!("    {error:#}\n    going on with the lists that are here");
    }
    let mut install = sys::tool(&apt);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["install", "-y", "-q", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"]).args(packages);
    let title = format!("Installing {}", packages.join(", "));
    sys::run(&title, &mut install).with_context(|| format!("install them by hand:\n{by_hand}"))?;
    drop(policy);

    for service in services {
        let mut disable = if sys::find("systemctl").is_some() {
            let mut systemctl = sys::tool("systemctl");
            systemctl.args(["disable", service]);
            systemctl
        } else {
            let mut update_rc = sys::tool(sys::find("update-rc.d").unwrap_or_else(|| "update-rc.d".into()));
            update_rc.args([service, "disable"]);
            update_rc
        };
        if let Err(error) = sys::run(&format!("Keeping {service} from starting at boot"), &mut disable) {
            println!("    {error:#}");
        }
    }
    Ok(())
}

fn by_hand(packages: &[&str]) -> String {
    let mut text = format!(
        "    sudo apt-get update\n    sudo apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    let services: Vec<&str> = SERVICES.into_iter().filter(|name| packages.contains(name)).collect();
    if !services.is_empty() {
        text += &format!("\n    sudo systemctl disable --now {}", services.join(" "));
    }
    text
}

/// While it lives, no package starts a service; it never replaces somebody else's policy.
struct Policy;

impl Policy {
    /// # Errors
    /// When a foreign policy lets one of `services` start, or the file cannot be written.
    fn forbid(services: &[&str], by_hand: &str) -> Result<Option<Self>> {
        let path = Path::new(POLICY);
        match fs::read(path) {
            Ok(text) if is_ours(&text) => fs::remove_file(path)?,
            Ok(_) => {
                for service in services {
                    let mut ask = sys::tool(path);
                    // 101: forbidden. Anything else, "do as you think" included, would start it.
                    if ask.args([service, "start"]).status().ok().and_then(|status| status.code())
                        != Some(101)
                    {
                        bail!(
                            "{POLICY} exists here and lets {service} start when it is installed; this setup does not \
                             change it. Install by hand:\n{by_hand}"
                        );
                    }
                }
                return Ok(None);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {POLICY}")),
        }
        println!("{POLICY}: forbids starting {} until the packages are installed", services.join(" and "));
        let until = SystemTime::now() + POLICY_LIFE;
        let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(path)?;
            file.write_all(policy_text(until).as_bytes())?;
            file.set_permissions(Permissions::from_mode(0o755))
        };
        write().with_context(|| format!("cannot write {POLICY}"))?;
        Ok(Some(Self))
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        let ours = fs::read(POLICY).is_ok_and(|text| is_ours(&text));
        if ours && let Err(error) = fs::remove_file(POLICY) {
            println!("cannot remove {POLICY}: {error}; remove it by hand");
        }
    }
}

fn is_ours(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).contains(POLICY_MARK)
}

/// The script forbids by the clock, so that one left behind by a crash does no harm.
fn policy_text(until: u64) -> String {
    format!("#!/bin/sh\n{POLICY_MARK}\n[ \"$(date +%s)\" -ge {until} ] || exit 101\nexit 0\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn verdict(until: u64) -> Option<i32> {
        let script = policy_text(until);
        Command::new("sh").args(["-c", &script]).status().unwrap().code()
    }

    #[test]
    fn the_policy_forbids_until_its_time_is_over() {
        assert_eq!(verdict(u64::from(u32::MAX)), Some(101));
        assert_eq!(verdict(1), Some(0));
        assert!(is_ours(policy_text(1).as_bytes()));
        assert!(!is_ours(b"#!/bin/sh\nexit 101\n"));
    }

    #[test]
    fn the_commands_for_by_hand_stop_the_services() {
        let text = by_hand(&["tcpdump", "keepalived"]);
        assert!(text.contains("install --no-install-recommends tcpdump keepalived"), "{text}");
        assert!(text.contains("disable --now keepalived") && !text.contains("frr"), "{text}");
        assert!(!by_hand(&["tcpdump"]).contains("systemctl"));
    }

    #[test]
    fn the_lab_needs_less_than_the_tests() {
        assert!(PROGRAMS.iter().any(|program| program.need == Need::Lab));
        assert!(Need::Lab < Need::Test && Need::Build < Need::Lab);
    }
}
