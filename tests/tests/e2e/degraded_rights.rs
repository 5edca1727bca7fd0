//! Rights and facilities that are missing: root, BPF, the BPF file system, the XDP hook, the run directory.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Process, RUN_DIR, wait_for};
use serde_json::Value;

use super::{FILE, config, pair, settled, takeover};
use crate::harness::Test;
use crate::hostile::{VIP, json, ms, reach, sound, text, xvrrp};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    let mut add = |name: &str, body: fn(&Lab) -> Result<()>| {
        tests.push(Test::new(format!("degraded::{name}"), body).needs([Daemon::XvrrpRfc]));
    };
    add("no_permission", no_permission);
    add("bpffs_is_missing", bpffs_missing);
    add("bpffs_cannot_be_mounted", bpffs_impossible);
    add("lost_without_bpf", lost_without_bpf);
    add("lost_without_pins", lost_without_pins);
    add("started_twice", started_twice);
    add("no_right_to_add_addresses", no_net_admin);
    add("addresses_that_the_kernel_refuses", refused_addresses);
    tests.push(Test::new("degraded::no_bpf_fails_over", no_bpf).needs([Daemon::XvrrpRfc]));
    tests.push(Test::new("degraded::another_xdp_program_fails_over", occupied).needs([Daemon::XvrrpRfc]));
    tests
}

/// A copy of the binary that everybody in the host can run.
pub(super) fn public_binary(host: &Host) -> Result<&'static str> {
    host.install(&ha_tests::lab::xvrrp_binary()?, "/run/xvrrp-copy")?;
    host.output(&["chmod", "755", "/run"])?;
    Ok("/run/xvrrp-copy")
}

fn no_permission(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    host.write(FILE, config(200), 0o644)?;
    let binary = public_binary(host)?;
    host.output(&["install", "-d", "-o", "nobody", "/run/own"])?;
    for (run_dir, words) in
        [(RUN_DIR, &["/run/xvrrp", "ermission denied"][..]), ("/run/own", &["root", "CAP_NET"])]
    {
        let output = host.run(&[
            "timeout",
            "5",
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            binary,
            "run",
            "-f",
            FILE,
            "--run-dir",
            run_dir,
        ])?;
        let said = text(&output);
        println!("{:?}: {said}", output.status.code());
        ensure!(output.status.code() == Some(1), "{run_dir}: {:?}: {said}", output.status);
        let errors: Vec<_> = said.lines().filter(|line| line.contains("ERROR")).collect();
        ensure!(errors.len() == 1, "{run_dir}: {} errors: {said}", errors.len());
        ensure!(words.iter().all(|word| errors[0].contains(word)), "{run_dir}: {said}");
        ensure!(errors[0].matches("os error").count() == 1, "told twice: {said}");
        ensure!(!said.contains("panicked"), "{said}");
    }
    Ok(())
}

/// Starts the daemon with rights taken away; it logs where [`Host::start`] logs.
pub(crate) fn start_without(host: &Host, bounding: &str, arguments: &[&str], log: &str) -> Result<Process> {
    let daemon = host.xvrrp(&[])?;
    let mut command = std::process::Command::new("setpriv");
    command.args(["--bounding-set", bounding, "--inh-caps", bounding]).arg(daemon.get_program());
    command.args(["run", "-f", FILE]).args(arguments);
    let file = std::fs::File::create(host.path(log))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    host.spawn(command)
}

fn interface(host: &Host, run_dir: &str) -> Result<(Value, Value)> {
    let output = xvrrp(host, &["status", "--json", "--run-dir", run_dir])?;
    let status: Value = serde_json::from_slice(&output.stdout).with_context(|| text(&output))?;
    Ok((status["instances"][0].clone(), status["interfaces"][0].clone()))
}

/// Without the right to load programs: sockets, said once, and failover as good as ever.
fn no_bpf(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let mut master = r1.start(Daemon::XvrrpRfc, &config(200))?;
    r2.write(FILE, config(100), 0o644)?;
    r2.write("/run/lab/nobpf.log", "", 0o644)?;
    let rights = "-bpf,-sys_admin,-perfmon";
    let mut backup = start_without(r2, rights, &["--run-dir", RUN_DIR], "/run/lab/nobpf.log")?;
    settled(r1, r2)?;
    let (instance, on) = interface(r2, RUN_DIR)?;
    ensure!(instance["receive"] == "raw-socket" && on["xdp"] == "none", "{instance} {on}");
    ensure!(on["xdp_reason"].as_str().is_some_and(|why| why.contains("CAP_BPF")), "{on}");
    let log = r2.read("/run/lab/nobpf.log")?;
    ensure!(log.matches("raw sockets instead").count() == 1, "{log}");
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    takeover(lab, &wire, &addresses, &mut master)?;
    ensure!(backup.stop(ms(5_000))?.is_some_and(|status| status.success()), "it does not stop");
    ensure!(!r2.holds(VIP)?, "the address is left");
    Ok(())
}

/// The warnings in `status`, of all interfaces.
fn warnings(host: &Host) -> Result<String> {
    Ok(json(host, "status")?["warnings"].to_string())
}

/// Who wants fast failover is told at WARN, and in `status` for as long as it lasts, what does not work.
fn lost_without_bpf(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    host.write(FILE, config(200), 0o644)?;
    let log_file = "/run/lab/nobpf.log";
    host.write(log_file, "", 0o644)?;
    let rights = "-bpf,-sys_admin,-perfmon";
    let mut daemon = start_without(host, rights, &["--run-dir", RUN_DIR], log_file)?;
    reach(host, "VI_1", "MASTER", ms(4_000))?;
    let words = "no fast failover, no fence";
    let log = host.read(log_file)?;
    let told: Vec<_> = log.lines().filter(|line| line.contains(words)).collect();
    ensure!(told.len() == 1 && told[0].contains("WARN") && told[0].contains("CAP_BPF"), "{log}");
    ensure!(warnings(host)?.contains(words), "{}", warnings(host)?);
    let (_, on) = interface(host, RUN_DIR)?;
    ensure!(on["lost"] == serde_json::json!(["fast_failover", "fence"]), "{on}");
    let page = text(&xvrrp(host, &["status", "--run-dir", RUN_DIR])?);
    ensure!(page.contains(words), "{page}");
    // Who goes without by choice is not warned.
    host.write(FILE, format!("global_defs {{\n xdp_mode off\n}}\n{}", config(200)), 0o644)?;
    ensure!(daemon.stop(ms(5_000))?.is_some_and(|status| status.success()), "it does not stop");
    let mut daemon = start_without(host, rights, &["--run-dir", RUN_DIR], log_file)?;
    reach(host, "VI_1", "MASTER", ms(4_000))?;
    let log = host.read(log_file)?;
    let told: Vec<_> = log.lines().filter(|line| line.contains(words)).collect();
    ensure!(told.len() == 1 && told[0].contains("INFO"), "{log}");
    ensure!(!warnings(host)?.contains(words), "{}", warnings(host)?);
    ensure!(daemon.stop(ms(5_000))?.is_some_and(|status| status.success()), "it does not stop");
    Ok(())
}

/// Another daemon has the interface.
fn occupied(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let other = config(50).replace("router_id 9", "router_id 77").replace("172.16.1.25", "172.16.1.77");
    r2.write("/etc/keepalived/other.conf", other, 0o644)?;
    let mut command = r2.xvrrp(&["run", "-f", "/etc/keepalived/other.conf", "--run-dir", "/run/other"])?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _first = r2.spawn(command)?;
    wait_for(ms(4_000), || (interface(r2, "/run/other").ok()?.0["receive"] == "generic").then_some(()))
        .context("the first daemon does not use XDP")?;
    let mut master = r1.start(Daemon::XvrrpRfc, &config(200))?;
    let mut backup = r2.start(Daemon::XvrrpRfc, &config(100))?;
    settled(r1, r2)?;
    let (instance, on) = interface(r2, RUN_DIR)?;
    ensure!(instance["receive"] == "raw-socket", "{instance} {on}");
    let why = on["xdp_reason"].as_str().unwrap_or_default();
    ensure!(why.contains("another xvrrp uses this interface"), "{on}");
    ensure!(backup.log().matches("raw sockets instead").count() == 1, "{}", backup.log());
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    takeover(lab, &wire, &addresses, &mut master)?;
    ensure!(interface(r2, "/run/other")?.0["state"] == "MASTER", "the first daemon suffers");
    sound(&mut backup, 30)
}

fn pinned(host: &Host) -> bool {
    host.path("/sys/fs/bpf/xvrrp/v5/ens160/HA_ADVERTS").exists()
}

/// It is mounted, as bpftool would.
fn bpffs_missing(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    r1.output(&["umount", "/sys/fs/bpf"])?;
    let [mut master, mut backup] = pair(lab)?;
    ensure!(pinned(r1) && pinned(r2), "no pins on r1: {}", master.log());
    ensure!(json(r1, "status")?["instances"][0]["receive"] == "generic");
    master.stop()?;
    ensure!(!pinned(r1), "pins are left after the stop");
    sound(&mut backup, 30)
}

/// No pins, said once; adverts are read through XDP all the same.
fn bpffs_impossible(lab: &Lab) -> Result<()> {
    let r2 = lab.host("r2")?;
    r2.output(&["umount", "/sys/fs/bpf"])?;
    // Somebody put an empty file there: nothing can be mounted on it.
    r2.output(&["mount", "-t", "tmpfs", "-o", "ro,size=4k", "none", "/sys/fs"])?;
    let [mut master, mut backup] = pair(lab)?;
    let log = backup.log();
    ensure!(log.matches("nothing is pinned").count() == 1, "{log}");
    // With the RFC's timers alone nobody misses the fence.
    ensure!(!log.contains("no fence") && !warnings(r2)?.contains("no fence"), "{log}");
    let (instance, on) = interface(r2, RUN_DIR)?;
    ensure!(instance["receive"] == "generic", "{instance} {on}");
    ensure!(on["xdp_reason"].as_str().is_some_and(|why| why.contains("/sys/fs/bpf")), "{on}");
    sound(&mut master, 30)?;
    master.kill9()?;
    reach(r2, "VI_1", "MASTER", ms(2_000))?;
    sound(&mut backup, 30)
}

fn lost_without_pins(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    host.output(&["umount", "/sys/fs/bpf"])?;
    host.output(&["mount", "-t", "tmpfs", "-o", "ro,size=4k", "none", "/sys/fs"])?;
    let mut daemon = host.start(Daemon::Xvrrp, &config(200))?;
    reach(host, "VI_1", "MASTER", ms(4_000))?;
    let (log, words) = (daemon.log(), "no fence when the daemon dies");
    let told: Vec<_> = log.lines().filter(|line| line.contains(words)).collect();
    ensure!(told.len() == 1 && told[0].contains("WARN") && told[0].contains("/sys/fs/bpf"), "{log}");
    ensure!(warnings(host)?.contains(words), "{}", warnings(host)?);
    let (_, on) = interface(host, RUN_DIR)?;
    ensure!(on["lost"] == serde_json::json!(["fence_after_death"]) && on["xdp"] == "generic", "{on}");
    sound(&mut daemon, 30)
}

fn started_twice(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let [mut master, mut backup] = pair(lab)?;
    let addresses = lab.watch_addresses()?;
    let output = r1.run(&[
        "timeout",
        "5",
        r1.path_of_machine(ha_tests::lab::xvrrp_binary()?).to_str().context("path")?,
        "run",
        "-f",
        FILE,
        "--run-dir",
        RUN_DIR,
    ])?;
    let said = text(&output);
    ensure!(output.status.code() == Some(1), "{:?}: {said}", output.status);
    let pid = json(r1, "status")?["pid"].clone();
    ensure!(said.contains(&format!("already running as pid {pid}")) && said.contains(RUN_DIR), "{said}");
    std::thread::sleep(ms(1_000));
    let changes: Vec<_> =
        addresses.history().into_iter().filter(|c| c.change == ha_tests::lab::Change::Removed(VIP)).collect();
    ensure!(changes.is_empty(), "{changes:?}");
    ensure!(pinned(r1) && r1.holds(VIP)?, "the second one took something away from the first");
    sound(&mut master, 30)?;
    sound(&mut backup, 30)
}

/// Whoever may add no address claims none: FAULT with its reason, and a warning that names what is missing.
fn no_net_admin(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    host.write(FILE, config(200), 0o644)?;
    host.write("/run/lab/noadmin.log", "", 0o644)?;
    let wire = lab.switch().watch()?;
    let _daemon = start_without(host, "-net_admin", &["--run-dir", RUN_DIR], "/run/lab/noadmin.log")?;
    let state = || Some(interface(host, RUN_DIR).ok()?.0).filter(|instance| instance["state"] == "FAULT");
    let instance =
        wait_for(ms(5_000), state).with_context(|| host.read("/run/lab/noadmin.log").unwrap_or_default())?;
    ensure!(instance["fault"].to_string().contains("CAP_NET_ADMIN is missing"), "{instance}");
    std::thread::sleep(ms(4_500));
    ensure!(
        wire.filter(|seen| seen.is_advert_from("r1")).is_empty(),
        "it advertises addresses that it cannot have"
    );
    let warnings = warnings(host)?;
    ensure!(warnings.contains("CAP_NET_ADMIN") && warnings.contains("AmbientCapabilities"), "{warnings}");
    Ok(())
}

/// An instance none of whose addresses the kernel takes is in FAULT with its reason, and others take over. A reload tries
/// again.
fn refused_addresses(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    // IPv4 wants a larger MTU of a device.
    r1.output(&["ip", "link", "set", "lo", "mtu", "60"])?;
    let file = |priority: u8, device: &str| {
        format!(
            "vrrp_instance VI_1 {{\n interface ens160\n virtual_router_id 26\n version 3\n priority {priority}\n \
             advert_int 0.1\n virtual_ipaddress {{ {VIP}{device} }}\n}}\n"
        )
    };
    let _master = r1.start(Daemon::XvrrpRfc, &file(200, " dev lo"))?;
    let _backup = r2.start(Daemon::XvrrpRfc, &file(100, ""))?;
    let fault = || Some(interface(r1, RUN_DIR).ok()?.0).filter(|instance| instance["state"] == "FAULT");
    let instance = wait_for(ms(5_000), fault).context("r1 is not in FAULT")?;
    ensure!(instance["fault"].to_string().contains("172.16.1.25"), "{instance}");
    wait_for(ms(5_000), || r2.holds(VIP).ok()?.then_some(())).context("r2 does not take over")?;
    r1.output(&["ip", "link", "set", "lo", "mtu", "65536"])?;
    crate::pair::reload(r1, &file(201, " dev lo"))?;
    wait_for(ms(5_000), || r1.holds(VIP).ok()?.then_some(())).context("r1 does not try again")?;
    Ok(())
}
