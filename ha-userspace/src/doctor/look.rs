//! Asks the host, and changes nothing on it: what is loaded, locked or mounted for a trial is gone at the end.
//!
//! What a trial would leave behind is not tried: tables of the firewall are not read where that would load modules of
//! the kernel, and mounting is tried in a mount namespace of a thread that ends.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aya::programs::{SchedClassifier, TcAttachType};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcMessage};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use nix::unistd::{AccessFlags, access};

use ha_common::types::Family;

use super::expect::Found;
use super::kernel::{BpfFs, Kernel};
use super::netfilter::{Ruleset, iptables, nft};
use super::network::{Rules, Surroundings};
use super::rights::Rights;
use crate::config::model::Process;
use crate::lost::Lost;
use crate::net::addresses::Addresses;
use crate::net::netlink::Socket;
use crate::net::sysctl;
use crate::realtime;
use crate::xdp::facts::{DeviceKind, Facts};
use crate::xdp::{Features, Program, Variant};

/// No program that prints the firewall's rules takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// No rules of a sane host are longer, in bytes.
const LONGEST: u64 = 256 << 20;

/// Asks the kernel. `bpffs`: mount point of the BPF file system.
#[must_use]
pub fn kernel(bpffs: &Path) -> Kernel {
    // Maps count against the limit in older kernels; the daemon raises it as well.
    let _ = realtime::raise_memlock();
    let features = Features::probe();
    let program = features.xdp.is_ok().then(|| match Program::load(0, [0; 2], None) {
        Ok(program) if program.variant() == Variant::Linear => Ok(vec![Lost::MultiBuffer]),
        Ok(_) => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    });
    Kernel {
        program,
        features,
        jit_enable: text("/proc/sys/net/core/bpf_jit_enable"),
        unprivileged: text("/proc/sys/kernel/unprivileged_bpf_disabled"),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        lockdown: text("/sys/kernel/security/lockdown").as_deref().and_then(chosen).map(str::to_owned),
        bpffs: bpf_file_system(bpffs),
        clock: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        marks: Addresses::open().ok().and_then(|mut addresses| {
            addresses.ours().ok()?;
            Some(addresses.keeps_marks())
        }),
    }
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `none [integrity] confidentiality`: the one in brackets.
fn chosen(text: &str) -> Option<&str> {
    text.split_once('[')?.1.split_once(']').map(|(word, _)| word)
}

fn bpf_file_system(path: &Path) -> BpfFs {
    let shown = path.display();
    if statfs(path).is_ok_and(|status| status.filesystem_type() == BPF_FS_MAGIC) {
        return match access(path, AccessFlags::W_OK) {
            Ok(()) => BpfFs::Mounted,
            Err(error) => {
                BpfFs::ReadOnly(format!("the BPF file system on {shown} may not be written to: {error}"))
            }
        };
    }
    let refused = |error: nix::Error| {
        BpfFs::Refused(format!("the BPF file system is not mounted on {shown}, and cannot be: {error}"))
    };
    // The daemon makes the directory where there is none.
    let Some(place) = path.ancestors().find(|path| path.exists()) else { return refused(nix::Error::ENOENT) };
    if place != path
        && let Err(error) = access(place, AccessFlags::W_OK)
    {
        return refused(error);
    }
    let place = place.to_owned();
    match thread::spawn(move || mount_for_nobody(&place)).join() {
        Ok(Ok(())) => BpfFs::Mountable,
        Ok(Err(error)) => refused(error),
        Err(_) => refused(nix::Error::UnknownErrno),
    }
}

/// Mounts it where only the calling thread sees it, which has to end then.
fn mount_for_nobody(path: &Path) -> nix::Result<()> {
    const NOTHING: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)?;
    mount(Some("bpf"), path, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
}

/// Asks what this process may do, with the settings of the configuration.
#[must_use]
pub fn rights(settings: &Process) -> Rights {
    let priority = settings.loop_priority();
    let realtime = thread::spawn(move || realtime::set_priority(priority)).join();
    let locked = realtime::lock_memory();
    let _ = nix::sys::mman::munlockall();
    Rights {
        root: nix::unistd::geteuid().is_root(),
        capabilities: realtime::capabilities(),
        no_realtime: realtime.ok().and_then(Result::err).map(|error| error.to_string()),
        rt_runtime: text("/proc/sys/kernel/sched_rt_runtime_us").and_then(|text| text.parse().ok()),
        no_locked_memory: locked.err().map(|error| error.to_string()),
        memlock: match getrlimit(Resource::RLIMIT_MEMLOCK) {
            Ok((soft, _)) if soft != RLIM_INFINITY => Some(soft),
            _ => None,
        },
    }
}

/// Asks about an interface.
#[must_use]
pub fn interface(name: &str) -> Found {
    match Facts::of(name) {
        Ok(facts) => Found::There(Box::new(facts)),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
            Found::Missing(format!("there is no interface {name}; `ip link` lists them"))
        }
        Err(error) => Found::Missing(format!("{name} cannot be asked about: {error}")),
    }
}

/// All Ethernet interfaces, by name.
#[must_use]
pub fn ethernet_interfaces() -> Vec<String> {
    let all = nix::net::if_::if_nameindex();
    let names = all.iter().flat_map(nix::net::if_::Interfaces::iter);
    let mut names: Vec<_> = names
        .filter_map(|interface| Some(interface.name().to_str().ok()?.to_owned()))
        .filter(|name| {
            Facts::of(name).is_ok_and(|facts| facts.ethernet && facts.kind != DeviceKind::Loopback)
        })
        .collect();
    names.sort();
    names
}

/// Asks what else there is around an interface.
#[must_use]
pub fn surroundings(name: &str) -> Surroundings {
    let parameter = |parameter: &str| {
        let of = |interface: &str| -> Option<u8> {
            sysctl::read(Path::new(&format!("ipv4/conf/{interface}/{parameter}"))).ok()?.parse().ok()
        };
        Some(of(name)?.max(of("all")?))
    };
    let programs = SchedClassifier::query_tcx(name, TcAttachType::Ingress).ok().map(|(_, programs)| {
        let name = |program: &aya::programs::ProgramInfo| match program.name_as_str() {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => format!("id {}", program.id()),
        };
        programs.iter().map(name).collect()
    });
    Surroundings {
        tc_programs: programs,
        clsact: nix::net::if_::if_nametoindex(name).is_ok_and(has_ingress_qdisc),
        rp_filter: parameter("rp_filter"),
        arp_ignore: parameter("arp_ignore"),
        arp_announce: parameter("arp_announce"),
        bridge_nf: sysctl::read(Path::new("bridge/bridge-nf-call-iptables")).ok().map(|value| value == "1"),
    }
}

fn has_ingress_qdisc(index: u32) -> bool {
    let Ok(mut socket) = Socket::open("the list of qdiscs") else { return false };
    let request = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
    let there = socket.dump(&request, |message| match message {
        RouteNetlinkMessage::NewQueueDiscipline(qdisc)
            if i64::from(qdisc.header.index) == i64::from(index) =>
        {
            let kind = qdisc.attributes.iter().find_map(|attribute| match attribute {
                TcAttribute::Kind(kind) => Some(kind.as_str()),
                _ => None,
            });
            matches!(kind, Some("clsact" | "ingress")).then_some(())
        }
        _ => None,
    });
    there.is_ok_and(|found| !found.is_empty())
}

/// Reads the firewall's rules.
#[must_use]
pub fn rules() -> Rules {
    let mut all = Ruleset::default();
    let mut any = false;
    if has_nftables() {
        match run(&["nft", "/usr/sbin/nft"], &["-j", "list", "ruleset"]).map(|text| nft::read(&text)) {
            Ok(Ok(rules)) => {
                any |= !rules.0.is_empty();
                all.0.extend(rules.0);
            }
            Ok(Err(error)) => return Rules::Unknown(format!("the output of nft is not understood: {error}")),
            Err(error) => return Rules::Unknown(format!("nft: {error}")),
        }
    }
    for (tables, names, family) in [
        ("/proc/net/ip_tables_names", ["iptables-legacy-save", "iptables-save"], Family::V4),
        ("/proc/net/ip6_tables_names", ["ip6tables-legacy-save", "ip6tables-save"], Family::V6),
    ] {
        // Where no table is loaded there is no rule, and asking would load one.
        match fs::read_to_string(tables) {
            Ok(list) if list.trim().is_empty() => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Rules::Unknown(format!("{tables}: {error}")),
            Ok(_) => {}
        }
        match run(&names, &[]) {
            Ok(text) => all.0.extend(iptables::read(&text, family).0),
            Err(error) => return Rules::Unknown(format!("{}: {error}", names[1])),
        }
        any = true;
    }
    if any { Rules::Read(all) } else { Rules::None }
}

/// Whether the kernel has nftables at the moment. Calling `nft` would load it.
fn has_nftables() -> bool {
    let built_in = || {
        let symbols = fs::read("/proc/kallsyms").unwrap_or_default();
        symbols.split(|byte| *byte == b'\n').any(|line| {
            line.split(|byte| *byte == b' ').nth(2).is_some_and(|name| name.starts_with(b"nft_do_chain"))
        })
    };
    Path::new("/sys/module/nf_tables").exists() || built_in()
}

/// What a program prints, under the first name that is there.
fn run(names: &[&str], arguments: &[&str]) -> io::Result<String> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for name in names {
        match run_one(name, arguments) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => failure = error,
            done => return done,
        }
    }
    Err(failure)
}

fn run_one(name: &str, arguments: &[&str]) -> io::Result<String> {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let reader = |pipe: Option<Box<dyn io::Read + Send>>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            pipe.map_or(Ok(0), |pipe| pipe.take(LONGEST).read_to_end(&mut text)).map(|_| text)
        })
    };
    let out = reader(child.stdout.take().map(|pipe| Box::new(pipe) as Box<_>));
    let errors = reader(child.stderr.take().map(|pipe| Box::new(pipe) as Box<_>));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    let text = |thread: thread::JoinHandle<io::Result<Vec<u8>>>| {
        thread.join().ok().and_then(Result::ok).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let (out, errors) = (text(out).unwrap_or_default(), text(errors).unwrap_or_default());
    if status.success() {
        return Ok(out);
    }
    let said = errors.lines().next().unwrap_or_default().trim();
    Err(io::Error::other(if said.is_empty() { status.to_string() } else { said.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_lockdown_is_the_one_in_brackets() {
        assert_eq!(chosen("none [integrity] confidentiality"), Some("integrity"));
        assert_eq!(chosen("[none] integrity confidentiality"), Some("none"));
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn nothing_stays_mounted() {
        let directory = tempfile::tempdir().expect("a directory");
        let before = fs::read_to_string("/proc/self/mounts").expect("readable");
        match bpf_file_system(directory.path()) {
            BpfFs::Mountable => {}
            BpfFs::Refused(reason) => assert!(reason.contains("cannot be"), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read_to_string("/proc/self/mounts").expect("readable"), before);
    }

    #[test]
    fn what_a_program_says_of_its_failure_is_the_reason() {
        let failure =
            run(&["no-such-program", "sh"], &["-c", "echo no rights >&2; exit 3"]).expect_err("it fails");
        assert_eq!(failure.to_string(), "no rights");
        assert_eq!(run(&["sh"], &["-c", "echo rules"]).expect("it works"), "rules\n");
        assert_eq!(run(&["no-such-program"], &[]).expect_err("none").kind(), io::ErrorKind::NotFound);
    }
}
