//! keepalived and xvrrp go through the same events, each in a lab of its own; the calls of their scripts, the lines in
//! their FIFOs and their letters are compared.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Error, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Running, Topology};
use nix::sys::signal::Signal;

use super::advert;
use super::sink::{Manner, Sink};
use crate::harness::Test;
use crate::hostile::ms;

const DIR: &str = "/etc/keepalived";

/// One line for each call. The process id tells in which order scripts were started.
const RECORD: &str = r#"#!/bin/sh
line=""
for word in "$@"; do line="$line [$word]"; done
printf '%s%s uid=%s:%s umask=%s env=%s\n' "$$" "$line" "$(id -u)" "$(id -g)" "$(umask)" \
    "$(env | grep -Ev '^(PWD|OLDPWD|SHLVL|_)=' | LC_ALL=C sort | tr '\n' ' ')" >> /run/lab/calls
"#;

pub(super) fn tests() -> Vec<Test> {
    let both = [Daemon::Keepalived, Daemon::XvrrpRfc];
    vec![Test::new("notify::calls_lines_and_letters_are_keepalived_s", equal).needs(both).timing()]
}

/// `V1` and `V2` in group `G1`, and `third`, which tracks a script.
fn config(third: (&str, u8)) -> String {
    let mut text =
        "global_defs {\n router_id R\n script_user root\n vrrp_version 3\n notify_fifo /run/all\n \
        vrrp_notify_fifo /run/vrrp nobody\n vrrp_notify_priority_changes on\n \
        notification_email { ops@example.org\n }\n notification_email_from vrrp@example.org\n \
        smtp_server 172.16.1.100 2525\n smtp_alert on\n}\n\
        vrrp_script chk {\n script \"/usr/bin/test -e /run/ok\"\n interval 1\n weight 10\n}\n"
            .to_owned();
    let hooks = |kind: &str, name: &str, more: &[&str]| {
        let mut hooks = String::new();
        for hook in ["master", "backup", "fault", "stop"].iter().chain(more) {
            let _ = writeln!(hooks, "notify_{hook} \"{DIR}/record {kind} {hook} {name}\"");
        }
        hooks + &format!("notify \"{DIR}/record {kind} any 'a b' {name}\" nobody\n")
    };
    let _ =
        writeln!(text, "vrrp_sync_group G1 {{\n group {{\n V1\n V2\n }}\n{}}}", hooks("group", "G1", &[]));
    for (name, vrid, track) in
        [("V1", 51, ""), ("V2", 52, ""), (third.0, third.1, "track_script {\n chk\n }")]
    {
        let _ = writeln!(
            text,
            "vrrp_instance {name} {{\n interface ens160\n virtual_router_id {vrid}\n priority 100\n \
             advert_int 0.3\n virtual_ipaddress {{\n {}\n }}\n {track}\n{}}}",
            vip(vrid),
            hooks("instance", name, &["deleted", "master_rx_lower_pri"])
        );
    }
    text
}

fn vip(vrid: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(172, 16, 1, 100 + vrid))
}

/// What a daemon was seen to do in each step.
#[derive(Debug, PartialEq)]
struct Story {
    calls: Vec<(String, Vec<String>)>,
    lines: Vec<(String, Vec<String>)>,
    letters: Vec<(String, String)>,
    headers: Vec<String>,
    fifos: String,
    /// What scripts run as, and with which variables.
    environments: BTreeSet<String>,
}

fn equal(lab: &Lab) -> Result<()> {
    let other = Lab::new(Topology::two_node())?;
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| story(&other, Daemon::Keepalived));
        let ours = story(lab, Daemon::XvrrpRfc);
        (theirs.join(), ours)
    });
    let theirs = theirs.map_err(|_| Error::msg("the thread of keepalived's story panicked"))?;
    let (theirs, ours) = (theirs.with_context(|| other.dossier())?, ours?);
    for (step, calls) in &ours.calls {
        println!("{step}: {} calls", calls.len());
    }
    for (theirs, ours) in theirs.calls.iter().zip(&ours.calls) {
        ensure!(theirs == ours, "calls differ: keepalived {theirs:#?}\nxvrrp {ours:#?}");
    }
    for (theirs, ours) in theirs.lines.iter().zip(&ours.lines) {
        ensure!(theirs == ours, "FIFO lines differ: keepalived {theirs:#?}\nxvrrp {ours:#?}");
    }
    ensure!(theirs == ours, "keepalived {theirs:#?}\nxvrrp {ours:#?}");
    ensure!(ours.calls.iter().map(|step| step.1.len()).sum::<usize>() > 40, "too few calls: {ours:#?}");
    ensure!(ours.letters.len() > 10, "too few letters: {:#?}", ours.letters);
    Ok(())
}

struct Run<'a> {
    host: &'a Host,
    daemon: Running,
    steps: Vec<String>,
}

fn story(lab: &Lab, daemon: Daemon) -> Result<Story> {
    let host = lab.host("r1")?;
    let sink = Sink::start(lab.host("client")?, 2525, Manner::Proper)?;
    host.write(format!("{DIR}/record"), RECORD, 0o755)?;
    for file in ["/run/lab/calls", "/run/lab/lines", "/run/lab/lines2"] {
        host.write(file, "", 0o666)?;
        // Whatever the umask was.
        host.output(&["chmod", "666", file])?;
    }
    let running = host.start(daemon, &config(("V3", 53)))?;
    let readers = [read_fifo(host, "/run/all", "lines")?, read_fifo(host, "/run/vrrp", "lines2")?];
    let mut run = Run { host, daemon: running, steps: Vec::new() };
    let peer = lab.host("r2")?;
    let injector = peer.injector()?;
    let send = |vrid, priority| injector.send(&advert(peer.spec(), vrid, priority, vip(vrid))?);

    run.step("start", 2_500)?;
    let fifos = host.output(&["stat", "-c", "%F %U:%G %a %n", "/run/all", "/run/vrrp"])?;
    run.host.write("/run/ok", "", 0o644)?;
    run.step("priority", 2_000)?;
    send(51, 50)?;
    send(53, 50)?;
    run.step("lower priority", 700)?;
    lab.switch().unplug("r1")?;
    run.step("link down", 900)?;
    lab.switch().plug("r1")?;
    run.step("link up", 3_000)?;
    send(51, 150)?;
    run.step("higher priority", 3_000)?;
    host.write("/etc/keepalived/keepalived.conf", config(("V4", 54)), 0o644)?;
    run.daemon.signal(Signal::SIGHUP)?;
    run.step("reload", 3_000)?;
    run.daemon.stop()?;
    run.step("stop", 800)?;
    drop(readers);
    host.output(&["rm", "-f", "/run/ok"])?;
    let Run { steps, .. } = run;
    let recorded = host.read("/run/lab/calls")?;
    let calls = cut(&recorded, &steps, call);
    let environments =
        recorded.lines().filter_map(|line| Some(line.split_once(" uid=")?.1.to_owned())).collect();
    let lines = cut(&host.read("/run/lab/lines")?, &steps, |line| Some((0, line.to_owned())));
    let also = cut(&host.read("/run/lab/lines2")?, &steps, |line| Some((0, line.to_owned())));
    ensure!(lines == also, "the two FIFOs differ: {lines:#?}\n{also:#?}");
    Ok(Story { calls, lines, letters: sink.letters(), headers: sink.headers(), fifos, environments })
}

/// Reads a FIFO, which the daemon makes, into a file, however often it is made anew.
fn read_fifo(host: &Host, fifo: &str, file: &str) -> Result<ha_tests::lab::Process> {
    let mut command = std::process::Command::new("sh");
    // A FIFO that is opened for reading and writing has no end.
    let script = format!(
        "while :; do until [ -p {fifo} ]; do sleep 0.01; done; inode=$(stat -c %i {fifo}); \
         cat <> {fifo} >> /run/lab/{file} & \
         while [ \"$(stat -c %i {fifo} 2>/dev/null)\" = \"$inode\" ]; do sleep 0.05; done; sleep 0.3; kill $!; done"
    );
    command.args(["-c", &script]);
    host.spawn(command)
}

impl Run<'_> {
    /// Lets what was begun come to its end, and marks the place in all files.
    fn step(&mut self, name: &str, patience: u64) -> Result<()> {
        std::thread::sleep(ms(patience));
        if name != "stop" {
            self.daemon.check_alive()?;
        }
        for file in ["calls", "lines", "lines2"] {
            let script = format!("echo '--- {name}' >> /run/lab/{file}");
            self.host.output(&["sh", "-c", &script])?;
        }
        self.steps.push(name.to_owned());
        Ok(())
    }
}

/// A recorded call: its process id and its arguments.
fn call(line: &str) -> Option<(u32, String)> {
    let (pid, rest) = line.split_once(' ')?;
    let (arguments, _) = rest.split_once(" uid=")?;
    Some((pid.parse().ok()?, arguments.to_owned()))
}

/// Cuts a file at its marks. Within a step, what was started first comes first. The members of the group are compared
/// twice: all together without their names, since it is no matter which of two equals leads, and each by itself.
fn cut(
    text: &str,
    steps: &[String],
    read: impl Fn(&str) -> Option<(u32, String)>,
) -> Vec<(String, Vec<String>)> {
    let mut parts = Vec::new();
    let mut part: Vec<(u32, String)> = Vec::new();
    for line in text.lines() {
        let Some(step) = line.strip_prefix("--- ") else {
            part.extend(read(line));
            continue;
        };
        part.sort_by_key(|(order, _)| *order);
        let lines: Vec<String> = part.drain(..).map(|(_, text)| text).collect();
        let about = |names: &[&str]| -> Vec<String> {
            let is_about = |line: &&String| names.iter().any(|name| line.contains(name));
            lines.iter().filter(is_about).cloned().collect()
        };
        let unnamed = |line: String| line.replace("V1", "V_").replace("V2", "V_");
        let mut both: Vec<String> = about(&["G1", "V1", "V2"]).into_iter().map(unnamed).collect();
        both.extend([["V1"], ["V2"], ["V3"], ["V4"]].iter().flat_map(|names| about(names)));
        parts.push((step.to_owned(), both));
    }
    assert_eq!(parts.len(), steps.len(), "marks are missing in\n{text}");
    parts
}
