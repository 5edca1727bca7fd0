//! Smaller settings, one test each.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, Running, wait_for};
use nix::sys::signal::Signal;

use super::advert;
use crate::harness::Test;
use crate::hostile::{VIP, json, logged, ms, reach, state};

pub(super) fn tests() -> Vec<Test> {
    let test = |name: &str, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::XvrrpRfc]);
    vec![
        test("notify::startup_delay_holds_instances_back", startup_delay),
        test("notify::unknown_vrids_are_logged_once", unknown_vrids),
        test("notify::owner_ignores_adverts", owner_ignores),
        test("notify::unicast_without_peers_is_a_fault", no_peers),
        test("notify::a_reload_writes_the_states", states_on_reload),
        test("notify::fifo_scripts_are_kept_running", fifo_script),
        test("notify::startup_and_shutdown_scripts_have_a_limit", once),
        test("notify::unsafe_scripts_are_not_run", unsafe_script),
        test("notify::umask_is_keepalived_s", masks).needs([Daemon::Keepalived]),
    ]
}

fn config(global: &str, priority: u8, more: &str) -> String {
    format!(
        "global_defs {{\n script_user root\n vrrp_version 3\n {global}\n}}\n\
         vrrp_instance V1 {{\n interface ens160\n virtual_router_id 51\n priority {priority}\n advert_int 0.1\n \
         virtual_ipaddress {{\n {VIP}\n }}\n {more}\n}}\n"
    )
}

fn start(host: &Host, config: &str) -> Result<Running> {
    host.start(Daemon::XvrrpRfc, config)
}

fn startup_delay(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let (wire, begin) = (lab.switch().watch()?, Moment::now());
    let mut daemon = start(r1, &config("vrrp_startup_delay 2.5", 255, ""))?;
    reach(r1, "V1", "INIT", ms(2_000))?;
    reach(r1, "V1", "MASTER", ms(6_000))?;
    let first = wire.first_advert_from("r1", begin).context("no advert")?;
    println!("first advert {:.0} ms after the start of the process", first.ms_after(begin));
    ensure!(first.since(begin) >= ms(2_500), "the owner advertises after {:?}", first.since(begin));
    daemon.check_alive()
}

fn unknown_vrids(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    // The log goes on from one run to the next.
    for (mode, wanted) in [("auto", 1), ("off", 2)] {
        let mut daemon = start(r1, &config(&format!("log_unknown_vrids\n xdp_mode {mode}"), 100, ""))?;
        reach(r1, "V1", "MASTER", ms(5_000))?;
        let injector = r2.injector()?;
        for _ in 0..3 {
            injector.send(&advert(r2.spec(), 77, 50, VIP)?)?;
            std::thread::sleep(ms(50));
        }
        logged(&daemon, &["172.16.1.2", "VRID 77", "not configured"])?;
        std::thread::sleep(ms(200));
        let count = daemon.log().matches("VRID 77").count();
        ensure!(count == wanted, "{mode}: said {count} times:\n{}", daemon.log());
        daemon.stop()?;
    }
    Ok(())
}

fn owner_ignores(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let injector = r2.injector()?;
    for (global, wanted) in [("", "BACKUP"), ("vrrp_owner_ignore_adverts", "MASTER")] {
        let mut daemon = start(r1, &config(global, 255, ""))?;
        reach(r1, "V1", "MASTER", ms(5_000))?;
        // The same priority from a higher address.
        injector.send(&advert(r2.spec(), 51, 255, VIP)?)?;
        std::thread::sleep(ms(100));
        let found = state(r1, "V1");
        ensure!(found == wanted, "'{global}': {found}, not {wanted}");
        daemon.stop()?;
    }
    Ok(())
}

fn no_peers(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let mut daemon = start(r1, &config("", 100, "unicast_peer {\n }\n unicast_fault_no_peer"))?;
    reach(r1, "V1", "FAULT", ms(5_000))?;
    let fault = json(r1, "status")?["instances"][0]["fault"].to_string();
    ensure!(fault.contains("unicast peer"), "{fault}");
    daemon.check_alive()
}

fn states_on_reload(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let group = "vrrp_sync_group G {\n group {\n V1\n }\n}\n";
    let config = config("notify_fifo /run/fifo\n fifo_write_vrrp_states_on_reload", 100, "") + group;
    let mut daemon = start(r1, &config)?;
    reach(r1, "V1", "MASTER", ms(5_000))?;
    r1.output(&["timeout", "1", "sh", "-c", "cat <> /run/fifo > /run/before; true"]).ok();
    daemon.signal(Signal::SIGHUP)?;
    std::thread::sleep(ms(500));
    r1.output(&["sh", "-c", "timeout 1 cat <> /run/fifo > /run/after; true"])?;
    let lines = r1.read("/run/after")?;
    ensure!(lines == "INSTANCE \"V1\" MASTER 100\nGROUP \"G\" MASTER 0\n", "{lines}");
    daemon.check_alive()
}

fn fifo_script(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.write(
        "/etc/keepalived/reads",
        "#!/bin/sh\necho \"$$ $*\" >> /run/starts\nexec cat < \"$2\" >> /run/lines\n",
        0o755,
    )?;
    let global = "notify_fifo /run/fifo\n notify_fifo_script \"/etc/keepalived/reads first\"";
    let mut daemon = start(r1, &config(global, 100, ""))?;
    let starts = || r1.read("/run/starts").unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    wait_for(ms(3_000), || (starts().len() == 1).then_some(())).context("the script is not started")?;
    ensure!(starts()[0].ends_with(" first /run/fifo"), "{:?}", starts());
    let wanted = "INSTANCE \"V1\" BACKUP 100\nINSTANCE \"V1\" MASTER 100\n";
    let lines = || r1.read("/run/lines").ok();
    wait_for(ms(3_000), || lines().filter(|lines| lines == wanted))
        .with_context(|| format!("{:?}", lines()))?;
    let pid = starts()[0].split(' ').next().unwrap_or_default().to_owned();
    r1.output(&["kill", "-9", &pid])?;
    wait_for(ms(4_000), || (starts().len() == 2).then_some(())).context("the script is not started again")?;
    daemon.signal(Signal::SIGHUP)?;
    std::thread::sleep(ms(500));
    ensure!(starts().len() == 2, "a reload that changes nothing started it anew: {:?}", starts());
    daemon.stop()?.context("killed")?;
    let lines = lines().unwrap_or_default();
    ensure!(lines.ends_with("INSTANCE \"V1\" STOP 100\n"), "the last line did not come: {lines}");
    ensure!(r1.run(&["test", "-e", "/run/fifo"])?.status.code() == Some(1), "the FIFO is left behind");
    Ok(())
}

fn once(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let script = "#!/bin/sh\necho $1 >> /run/once\n[ $1 = down ] || exec sleep 100\n";
    r1.write("/etc/keepalived/once", script, 0o755)?;
    let global = "startup_script \"/etc/keepalived/once up\"\n startup_script_timeout 1\n \
        shutdown_script \"/etc/keepalived/once down\"";
    let begin = Moment::now();
    let mut daemon = start(r1, &config(global, 100, ""))?;
    reach(r1, "V1", "MASTER", ms(6_000))?;
    ensure!(Moment::now().since(begin) >= ms(1_000), "the start did not wait for its script");
    logged(&daemon, &["startup_script", "timeout"])?;
    ensure!(r1.read("/run/once")? == "up\n", "{}", r1.read("/run/once")?);
    daemon.stop()?.context("killed")?;
    ensure!(r1.read("/run/once")? == "up\ndown\n", "{}", r1.read("/run/once")?);
    Ok(())
}

fn unsafe_script(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.write("/etc/keepalived/open", "#!/bin/sh\ntouch /run/ran\n", 0o755)?;
    r1.output(&["chmod", "777", "/etc/keepalived/open"])?;
    let mut daemon = start(r1, &config("enable_script_security", 100, "notify_master /etc/keepalived/open"))?;
    let line = logged(&daemon, &["notify_master", "/etc/keepalived/open", "can be changed by"])?;
    println!("{line}");
    reach(r1, "V1", "MASTER", ms(5_000))?;
    std::thread::sleep(ms(300));
    ensure!(r1.run(&["test", "-e", "/run/ran"])?.status.code() == Some(1), "it was run");
    daemon.check_alive()
}

/// What scripts have as umask, and with what mode things are made; lines that are the same for both daemons.
fn masks(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    host.write("/etc/keepalived/told", "#!/bin/sh\n(umask; cd /run/made; touch told) > /run/told\n", 0o755)?;
    host.write(
        "/etc/keepalived/looks",
        "#!/bin/sh\n(umask; cd /run/made; touch looks) > /run/looks\n",
        0o755,
    )?;
    let tracked = "vrrp_script looks {\n script /etc/keepalived/looks\n interval 60\n}\n";
    let ask = |daemon: Daemon, global: &str, arguments: &[&str]| -> Result<String> {
        host.output(&["sh", "-c", "rm -rf /run/made /tmp/keepalived.* /run/fifo; mkdir /run/made"])?;
        let more = "notify_master /etc/keepalived/told\n track_script {\n looks\n }";
        let text = tracked.to_owned() + &config(&format!("{global}\n notify_fifo /run/fifo"), 100, more);
        let mut running = host.start_with(daemon, &text, arguments)?;
        let told = wait_for(ms(5_000), || host.read("/run/made/told").ok());
        told.with_context(|| format!("no script was run:\n{}", running.log()))?;
        running.signal(Signal::SIGUSR1)?;
        wait_for(ms(3_000), || host.read("/tmp/keepalived.data").ok().filter(|text| text.ends_with('\n')))
            .context("no dump")?;
        let asked = "stat -c '%a %n' /run/made/* /run/fifo /tmp/keepalived.data; cat /run/told /run/looks";
        let answer = host.output(&["sh", "-c", asked])?;
        running.stop()?;
        Ok(answer)
    };
    for global in ["umask 027", "umask IXUSR|IWGRP|IROTH|IWOTH|IXOTH"] {
        let [theirs, ours] = [ask(Daemon::Keepalived, global, &[])?, ask(Daemon::XvrrpRfc, global, &[])?];
        ensure!(theirs == ours, "{global}: keepalived\n{theirs}xvrrp\n{ours}");
    }
    // Without the keyword, only the umask of scripts that look differs.
    let [theirs, ours] = [ask(Daemon::Keepalived, "", &[])?, ask(Daemon::XvrrpRfc, "", &[])?];
    let theirs = theirs.strip_suffix("0177\n").context("keepalived has another umask")?;
    ensure!(ours.strip_suffix("0077\n") == Some(theirs), "keepalived\n{theirs}xvrrp\n{ours}");
    Ok(())
}
