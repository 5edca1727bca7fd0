//! BPF that is refused: by a system call filter, by the verifier, in a container, without the BPF file system. The
//! daemon runs, says in one line what is lost, why, and what to do, and lists it in `status`.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{BPF_PROG_LOAD, Daemon, Host, Lab, Process, RUN_DIR, refuse_bpf, wait_for};
use nix::errno::Errno;
use serde_json::{Value, json};

use super::{FILE, config};
use crate::harness::{Body, Test};
use crate::hostile::{self, VIP, ms, reach, sound};

const LOG: &str = "/run/lab/refused.log";
const NO_XDP: &str = "no fast failover, no fence";
const NO_PINS: &str = "no fence when the daemon dies";

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    let mut add = |name: String, body: Body| {
        tests.push(Test::new(format!("degraded::{name}"), body).needs([Daemon::Xvrrp]));
    };
    for errno in [Errno::EPERM, Errno::ENOSYS] {
        let name = format!("bpf_is_filtered_with_{errno:?}").to_lowercase();
        add(name, Box::new(move |lab| filtered(lab, None, errno)));
    }
    for errno in [Errno::EACCES, Errno::EINVAL] {
        let name = format!("the_verifier_says_{errno:?}").to_lowercase();
        add(name, Box::new(move |lab| filtered(lab, Some(BPF_PROG_LOAD), errno)));
    }
    add("container_with_net_admin_only".to_owned(), Box::new(container));
    add("sysfs_is_read_only".to_owned(), Box::new(|lab| read_only(lab, true)));
    add("sysfs_is_read_only_and_nothing_can_be_mounted".to_owned(), Box::new(|lab| read_only(lab, false)));
    add("interface_goes_while_the_program_is_loaded".to_owned(), Box::new(goes_while_loading));
    tests
}

/// What the daemon is started with.
#[derive(Clone, Copy, Default)]
struct Start {
    /// Which commands of bpf(2) fail, and how.
    refused: Option<(Option<u32>, Errno)>,
    /// As setpriv takes them.
    rights: Option<&'static str>,
}

fn start(host: &Host, with: Start) -> Result<Process> {
    host.write(FILE, config(200), 0o644)?;
    let daemon = host.xvrrp(&["run", "-f", FILE, "--run-dir", RUN_DIR])?;
    let mut command = match with.rights {
        None => daemon,
        Some(rights) => {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set", rights, "--inh-caps", rights]).arg(daemon.get_program());
            command.args(daemon.get_args());
            command
        }
    };
    if let Some((only, errno)) = with.refused {
        refuse_bpf(&mut command, only, errno)?;
    }
    host.write(LOG, "", 0o644)?;
    let file = std::fs::File::options().append(true).open(host.path(LOG))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    host.spawn(command)
}

/// The daemon is master, has told once what it lacks, and lists that; the line.
fn lacks(host: &Host, words: &str, lost: &Value) -> Result<String> {
    reach(host, "VI_1", "MASTER", ms(6_000))?;
    let line = |log: &str| log.lines().find(|line| line.contains(words)).map(str::to_owned);
    let log = || host.read(LOG).unwrap_or_default();
    let found = wait_for(ms(3_000), || line(&log())).with_context(log)?;
    let warnings: Vec<_> = log().lines().filter(|line| about(line)).map(str::to_owned).collect();
    ensure!(warnings.len() == 1, "told more than once:\n{}", log());
    ensure!(found.contains("WARN") && found.contains("ens160: "), "{found}");
    let status = hostile::json(host, "status")?;
    let listed = status["warnings"].as_array().context("no warnings")?;
    let listed: Vec<_> = listed.iter().filter(|line| about(line.as_str().unwrap_or_default())).collect();
    ensure!(listed.len() == 1 && found.contains(listed[0].as_str().unwrap_or("?")), "{listed:?}: {found}");
    ensure!(status["interfaces"][0]["lost"] == *lost, "{}", status["interfaces"][0]);
    println!("{found}");
    Ok(found)
}

/// Whether a line is about BPF.
fn about(line: &str) -> bool {
    ["fence", "XDP", "BPF", "bpf"].iter().any(|word| line.contains(word)) && !line.contains("INFO")
}

/// It stops, and leaves nothing.
fn ends(host: &Host, mut daemon: Process) -> Result<()> {
    let log = host.read(LOG)?;
    ensure!(!log.contains("panicked"), "{log}");
    ensure!(daemon.stop(ms(5_000))?.is_some_and(|status| status.success()), "it does not stop: {log}");
    ensure!(!host.holds(VIP)?, "the address is left");
    let pins = host.path("/sys/fs/bpf/xvrrp");
    ensure!(!pins.exists(), "pins are left");
    Ok(())
}

fn filtered(lab: &Lab, only: Option<u32>, errno: Errno) -> Result<()> {
    let host = lab.host("r1")?;
    let daemon = start(host, Start { refused: Some((only, errno)), ..Start::default() })?;
    let line = lacks(host, NO_XDP, &json!(["fast_failover", "fence"]))?;
    ensure!(line.contains("raw sockets instead"), "{line}");
    ensure!(!line.contains("needs a kernel"), "a guess: {line}");
    ends(host, daemon)
}

/// What a container runtime gives with `--cap-add NET_ADMIN`: /sys is read-only, without the BPF file system, and its
/// filter refuses bpf(2).
fn container(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    host.output(&["umount", "/sys/fs/bpf"])?;
    host.output(&["mount", "-o", "remount,ro,bind", "/sys"])?;
    let rights = "-all,+net_admin,+net_raw,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,\
                  +net_bind_service,+sys_chroot,+mknod,+audit_write,+setfcap";
    for refused in [Some((None, Errno::EPERM)), None] {
        let daemon = start(host, Start { refused, rights: Some(rights) })?;
        let line = lacks(host, NO_XDP, &json!(["fast_failover", "fence"]))?;
        ensure!(line.contains("CAP_BPF"), "{line}");
        ends(host, daemon)?;
    }
    Ok(())
}

/// The BPF file system can be mounted on a read-only /sys by whoever may mount.
fn read_only(lab: &Lab, may_mount: bool) -> Result<()> {
    let host = lab.host("r1")?;
    host.output(&["umount", "/sys/fs/bpf"])?;
    host.output(&["mount", "-o", "remount,ro,bind", "/sys"])?;
    if may_mount {
        let mut daemon = host.start(Daemon::Xvrrp, &config(200))?;
        reach(host, "VI_1", "MASTER", ms(6_000))?;
        let on = || Some(hostile::json(host, "status").ok()?["interfaces"][0].clone());
        wait_for(ms(3_000), || on().filter(|on| on["xdp"] == "generic")).context("no XDP")?;
        ensure!(on().is_some_and(|on| on["lost"] == json!([])), "{:?}", on());
        return sound(&mut daemon, 30);
    }
    let rights = "-sys_admin";
    let daemon = start(host, Start { rights: Some(rights), ..Start::default() })?;
    let line = lacks(host, NO_PINS, &json!(["fence_after_death"]))?;
    ensure!(line.contains("/sys/fs/bpf") && line.contains("mount -t bpf"), "{line}");
    ensure!(hostile::json(host, "status")?["interfaces"][0]["xdp"] == "generic");
    ends(host, daemon)
}

/// Loading takes a tenth of a second; whenever the interface goes in that time, it is used again when it is back.
fn goes_while_loading(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    let daemon = start(host, Start::default())?;
    reach(host, "VI_1", "MASTER", ms(6_000))?;
    for pause in (0..200).step_by(15) {
        super::interfaces::delete(host)?;
        super::interfaces::make(lab, host)?;
        std::thread::sleep(ms(pause));
    }
    super::interfaces::through_xdp(host)?;
    reach(host, "VI_1", "MASTER", ms(6_000))?;
    let log = host.read(LOG)?;
    ensure!(
        !log.contains("WARN") || !log.contains("no fence"),
        "an interface that has gone lacks nothing: {log}"
    );
    let status = hostile::json(host, "status")?;
    ensure!(status["interfaces"][0]["lost"] == json!([]), "{status}");
    ends(host, daemon)
}
