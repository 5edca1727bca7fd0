//! An unprivileged user of the host who was there first: what he put in the way is neither followed nor removed, and
//! keeps nobody from working.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Process, RUN_DIR, wait_for};
use serde_json::json;

use super::{MASTER, json, logged, ms, reach, sound, text, xvrrp};
use crate::harness::Test;

/// Runs what follows as `nobody`.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const VICTIM: &str = "/run/victim";

pub(crate) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("hostile::{name}"), body).needs([Daemon::Xvrrp]).needs_tool("setpriv")
    };
    vec![
        new("link_in_place_of_the_pins", link),
        new("run_directory_through_anothers_link", run_directory),
        new("claim_that_nobody_listens_at", bound).needs_tool("perl"),
    ]
}

fn as_nobody(host: &Host, words: &[&str]) -> Result<()> {
    host.output(&[&NOBODY[..], words].concat()).map(drop)
}

/// Two levels of directories, as below the pins, each with a file.
fn victim(host: &Host) -> Result<()> {
    for file in ["www/data/file", "v3/ens160/link", "v3/ens192/HA_LEASE"] {
        host.write(format!("{VICTIM}/{file}"), "precious", 0o644)?;
    }
    Ok(())
}

fn is_whole(host: &Host, what: &str) -> Result<()> {
    for file in ["www/data/file", "v3/ens160/link", "v3/ens192/HA_LEASE"] {
        let read = host.read(format!("{VICTIM}/{file}")).with_context(|| what.to_owned())?;
        ensure!(read == "precious", "{what}: {file} has been changed");
    }
    Ok(())
}

/// A BPF file system as the kernel makes it is for everybody, like /tmp.
fn link(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    victim(host)?;
    host.output(&["chmod", "1777", "/sys/fs/bpf"])?;
    for what in ["a link", "a directory"] {
        if what == "a link" {
            as_nobody(host, &["ln", "-s", VICTIM, "/sys/fs/bpf/xvrrp"])?;
        } else {
            as_nobody(host, &["mkdir", "-p", "/sys/fs/bpf/xvrrp"])?;
            as_nobody(host, &["ln", "-s", &format!("{VICTIM}/v3"), "/sys/fs/bpf/xvrrp/v3"])?;
        }
        let detached = xvrrp(host, &["detach", "--run-dir", RUN_DIR])?;
        let said = text(&detached);
        ensure!(!detached.status.success() && said.contains("belongs to another user"), "{what}: {said}");
        is_whole(host, what)?;
        let mut daemon = host.start(Daemon::Xvrrp, MASTER)?;
        reach(host, "VI_1", "MASTER", ms(6_000))?;
        logged(
            &daemon,
            &["WARN", "/sys/fs/bpf/xvrrp belongs to another user", "remove it", "nothing is pinned"],
        )?;
        ensure!(json(host, "status")?["interfaces"][0]["lost"] == json!(["fence_after_death"]), "{what}");
        sound(&mut daemon, 60)?;
        daemon.stop()?;
        is_whole(host, what)?;
        host.output(&["rm", "-rf", "/sys/fs/bpf/xvrrp"])?;
    }
    Ok(())
}

fn run_directory(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    victim(host)?;
    host.write("/run/shared/ours", "", 0o644)?;
    std::fs::set_permissions(host.path("/run/shared"), std::fs::Permissions::from_mode(0o1777))?;
    as_nobody(host, &["ln", "-s", VICTIM, "/run/shared/xvrrp"])?;
    host.write("/etc/keepalived/keepalived.conf", MASTER, 0o644)?;
    for command in [&["run"][..], &["detach"]] {
        let output = xvrrp(host, &[command, &["--run-dir", "/run/shared/xvrrp"]].concat())?;
        let said = text(&output);
        ensure!(!output.status.success(), "{command:?} runs: {said}");
        ensure!(said.contains("/run/shared/xvrrp") && said.contains("owner 65534"), "{command:?}: {said}");
    }
    let made = std::fs::read_dir(host.path(VICTIM))?.count();
    ensure!(made == 2, "{made} things in the directory that the link leads to");
    is_whole(host, "run directory")
}

/// Binds the name of the interface's claim; with a queue, fills it.
const BINDS: &str = r#"
use Socket;
$| = 1;
my $name = sockaddr_un("\0xvrrp/interface/ens160");
socket(my $holder, AF_UNIX, SOCK_STREAM, 0) or die $!;
bind($holder, $name) or die $!;
my @kept;
if ($ARGV[0] eq "full") {
    listen($holder, 0);
    while (1) {
        socket(my $client, AF_UNIX, SOCK_STREAM | Socket::SOCK_NONBLOCK(), 0) or die $!;
        connect($client, $name) or last;
        push @kept, $client;
    }
}
print "bound\n";
sleep 60;
"#;

fn binds(host: &Host, how: &str) -> Result<Process> {
    host.write("/run/binds.pl", BINDS, 0o644)?;
    host.write("/run/bound", "", 0o666)?;
    let mut command = std::process::Command::new(NOBODY[0]);
    command.args(&NOBODY[1..]).args(["perl", "/run/binds.pl", how]);
    command.stdin(std::process::Stdio::null()).stdout(std::fs::File::create(host.path("/run/bound"))?);
    let process = host.spawn(command)?;
    wait_for(ms(5_000), || host.read("/run/bound").ok()?.contains("bound").then_some(()))
        .context("nobody has bound the name")?;
    Ok(process)
}

fn bound(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    for how in ["bound", "full"] {
        let mut holder = binds(host, how)?;
        let mut daemon = host.start(Daemon::Xvrrp, MASTER)?;
        reach(host, "VI_1", "MASTER", ms(6_000))?;
        let status = json(host, "status")?;
        ensure!(status["interfaces"][0]["lost"] == json!([]), "{how}: {}", daemon.log());
        sound(&mut daemon, 60)?;
        daemon.stop()?;
        holder.stop(ms(1_000))?;
    }
    Ok(())
}
