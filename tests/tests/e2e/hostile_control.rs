//! Clients and readers that misbehave: the control socket, a log that nobody reads.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, Process, RUN_DIR, wait_for};

use super::{MASTER, VIP, ms, reach, sound, state, text, xvrrp};
use crate::harness::Test;
use crate::punctual::steady;

/// A hundred adverts a second; the peer's patience is three of them and the skew.
const FAST: &str = "vrrp_instance VI_1 {\n interface ens160\n version 3\n virtual_router_id 9\n priority 200\n \
                    advert_int 0.01\n virtual_ipaddress { 172.16.1.25 }\n}\n";
const PATIENCE: Duration = ms(30);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("hostile::control_clients", clients).needs([Daemon::XvrrpRfc]).long(),
        Test::new("hostile::control_is_for_root_alone", root_alone).needs([Daemon::XvrrpRfc]),
        Test::new("hostile::log_is_closed", log_closed).needs([Daemon::XvrrpRfc]),
        Test::new("hostile::log_is_a_pipe_that_broke", log_broken).needs([Daemon::XvrrpRfc]),
        Test::new("hostile::log_is_a_pipe_that_is_full", log_full).needs([Daemon::XvrrpRfc]),
    ]
}

fn socket(host: &Host) -> Result<std::path::PathBuf> {
    let names = std::fs::read_dir(host.path(RUN_DIR))?;
    let found =
        names.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "sock"));
    found.context("no control socket in the run directory")
}

/// Garbage, silence, and far too much of everything, while adverts go out every 10 ms.
fn clients(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let mut backup = r2.start(Daemon::XvrrpRfc, &FAST.replace("200", "90"))?;
    let mut master = r1.start(Daemon::XvrrpRfc, FAST)?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    reach(r2, "VI_1", "BACKUP", ms(2_000))?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let begin = Moment::now();
    let path = socket(r1)?;
    let connect = || -> Result<UnixStream> {
        let stream = UnixStream::connect(&path)?;
        stream.set_write_timeout(Some(ms(200)))?;
        stream.set_read_timeout(Some(ms(200)))?;
        Ok(stream)
    };
    let mut deep = b"[".repeat(100_000);
    deep.push(b'\n');
    let garbage: [&[u8]; 7] = [
        b"\n\n\n\n",
        b"{\n",
        b"\xff\xfe\0\0\n",
        b"{\"request\":\"format the disk\"}\n",
        &deep,
        &[b'x'; 1 << 20],
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for round in 0..20 {
        for bytes in garbage {
            let mut stream = connect()?;
            // The daemon may hang up before it has heard all of it.
            let _refused = stream.write_all(bytes);
            let _answer = stream.read(&mut [0; 4096]);
            if round % 4 == 0 {
                drop(stream);
            }
        }
    }
    // Clients that say nothing take all places; they lose them after five seconds.
    let silent: Vec<_> = (0..40).map(|_| connect()).filter_map(Result::ok).collect();
    ensure!(silent.len() >= 16, "{} connections", silent.len());
    std::thread::sleep(ms(1_000));
    let patience = Moment::now();
    wait_for(ms(20_000), || (state(r1, "VI_1") == "MASTER").then_some(()))
        .context("no answer behind silent clients")?;
    println!("answered {:?} behind {} silent clients", Moment::now().since(patience), silent.len());
    drop(silent);

    let adverts = wire.filter(|s| s.is_advert_from("r1") && s.at > begin);
    let times: Vec<_> = adverts.iter().map(|seen| seen.at).collect();
    let gap = steady("adverts of the master", &times, PATIENCE)?;
    println!("longest pause between two of {} adverts: {gap:?}", adverts.len());
    let changes: Vec<_> = addresses.history().into_iter().filter(|change| change.at > begin).collect();
    ensure!(changes.is_empty(), "{changes:?}");
    sound(&mut master, 60)?;
    sound(&mut backup, 60)
}

fn root_alone(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let mut master = r1.start(Daemon::XvrrpRfc, MASTER)?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    // The binary itself may lie where others cannot reach it.
    r1.install(&ha_tests::lab::xvrrp_binary()?, "/run/xvrrp-copy")?;
    r1.output(&["chmod", "755", "/run"])?;
    for (command, code) in [("status", 3), ("reload", 1)] {
        let output = r1.run(&[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "/run/xvrrp-copy",
            command,
            "--run-dir",
            RUN_DIR,
        ])?;
        let said = text(&output);
        ensure!(output.status.code() == Some(code), "{command}: {:?}: {said}", output.status);
        ensure!(said.contains("ermission denied") && said.contains("root"), "{command}: {said}");
    }
    sound(&mut master, 30)
}

fn start(host: &Host, output: impl Fn() -> Result<Stdio>) -> Result<Process> {
    host.write("/etc/keepalived/keepalived.conf", MASTER, 0o644)?;
    let mut command = host.xvrrp(&["run", "--run-dir", RUN_DIR])?;
    command.stdin(Stdio::null()).stdout(output()?).stderr(output()?);
    host.spawn(command)
}

/// It becomes master, logs as much as it likes, and stops when it is told to.
fn lives(host: &Host, mut daemon: Process) -> Result<()> {
    reach(host, "VI_1", "MASTER", ms(8_000))?;
    for _ in 0..200 {
        let output = xvrrp(host, &["reload", "--run-dir", RUN_DIR])?;
        ensure!(output.status.success(), "{}", text(&output));
    }
    ensure!(state(host, "VI_1") == "MASTER" && host.holds(VIP)?, "no longer master");
    let begin = Moment::now();
    let status = daemon.stop(ms(5_000))?.context("it does not stop")?;
    ensure!(status.success(), "{status}");
    println!("stopped in {:?}", Moment::now().since(begin));
    ensure!(!host.holds(VIP)?, "the address is left");
    Ok(())
}

fn log_closed(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    host.write("/etc/keepalived/keepalived.conf", MASTER, 0o644)?;
    let inner = host.xvrrp(&[])?;
    let binary = inner.get_program().to_str().context("path")?.to_owned();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("exec {binary} run --run-dir {RUN_DIR} <&- >&- 2>&-")]);
    lives(host, host.spawn(command)?)
}

fn log_broken(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    let daemon = start(host, || {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        Ok(writer.into())
    })?;
    lives(host, daemon)
}

/// A reader that is alive and does not read: whoever waits for it waits for ever.
fn log_full(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    let readers = std::sync::Mutex::new(Vec::new());
    let daemon = start(host, || {
        let (reader, mut writer) = std::io::pipe()?;
        // The smallest pipe, full from the start.
        nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096))?;
        writer.write_all(&[b'\n'; 4096])?;
        readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(reader);
        Ok(writer.into())
    })?;
    lives(host, daemon)
}
