//! The program called as `keepalived`: what a service manager and an operator's scripts see; and `xvrrp check`
//! against the link and a network namespace.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, Process, xvrrp_binary};
use nix::sys::signal::Signal;

use crate::harness::Test;
use crate::pair::{Conf, FILE, instance, ms, stderr, stdout, until, xvrrp};

/// Where the symbolic link is.
const KEEPALIVED: &str = "/run/bin/keepalived";
const PID_FILE: &str = "/run/keepalived.pid";

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::XvrrpRfc]);
    vec![
        test("dropin::answers_as_keepalived_does", answers).needs([Daemon::Keepalived]),
        test("dropin::in_the_foreground_as_a_service", foreground),
        test("dropin::in_the_background", background),
        test("dropin::in_a_network_namespace", namespace),
        test("dropin::check_listens_to_the_link", listen),
        test("dropin::no_bfd_counts_sessions_as_down", no_bfd).needs([Daemon::Keepalived]),
    ]
}

fn install(host: &Host) -> Result<()> {
    let binary = host.path_of_machine(xvrrp_binary()?);
    host.output(&["mkdir", "-p", "/run/bin"])?;
    host.output(&["ln", "-sf", binary.to_str().context("the path of xvrrp is not UTF-8")?, KEEPALIVED])?;
    Ok(())
}

/// Starts it; the log goes into a file.
fn spawn(host: &Host, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Process> {
    let log = std::fs::File::create(host.path("/run/log"))?;
    let mut command = Command::new(KEEPALIVED);
    command.args(arguments).envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    host.spawn(command)
}

/// Waits until a file of the host has, or has not, these words in it; a file that is not there has none.
fn await_text(host: &Host, file: &str, words: &str, wanted: bool) -> Result<()> {
    let end = Moment::now().plus(ms(5_000));
    loop {
        let text = host.read(file).unwrap_or_default();
        if text.contains(words) == wanted {
            return Ok(());
        }
        ensure!(Moment::now() < end, "`{words}` in {file} should be {wanted}:\n{text}");
        std::thread::sleep(ms(10));
    }
}

fn pid(host: &Host, file: &str) -> Result<String> {
    await_text(host, file, "\n", true)?;
    Ok(host.read(file)?.trim().to_owned())
}

/// Exit code, standard output and standard error of a command line, with either program.
fn both(host: &Host, arguments: &[&str]) -> Result<[(i32, String, String); 2]> {
    let mut answers = Vec::new();
    for program in [KEEPALIVED, "/usr/sbin/keepalived"] {
        let output = host.run(&[&[program], arguments].concat())?;
        let code = output.status.code().context("killed")?;
        answers.push((code, stdout(&output), stderr(&output)));
    }
    answers.try_into().ok().context("two answers")
}

fn answers(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    install(r1)?;
    let good = Conf::new(150).text();
    r1.write(FILE, &good, 0o644)?;
    r1.write("/run/complaints.conf", good.replace("priority", "priorty"), 0o644)?;
    r1.write(
        "/run/insecure.conf",
        format!("vrrp_script chk {{\n    script \"/bin/true\"\n}}\n{good}"),
        0o644,
    )?;
    r1.write("/run/self.conf", format!("includer self.conf\n{good}"), 0o644)?;
    for name in ["STOP", "RELOAD", "DATA", "STATS", "STATS_CLEAR", "JSON", "FOO", "data"] {
        let [ours, theirs] = both(r1, &[&format!("--signum={name}")])?;
        ensure!(ours == theirs, "--signum={name}: {ours:?}, keepalived {theirs:?}");
    }
    for arguments in [
        &["--bogus"][..],
        &["-i"],
        &["--signum"],
        &["--conf"],
        &["--help"],
        &["-h"],
        &["--version"],
        &["-t", "-f", FILE],
        &["--config-test", "--use-file", "/run/complaints.conf", "-l", "-D", "-P", "-R"],
        &["-t", "-f", "/run/insecure.conf"],
        &["-t", "-f", FILE, "word"],
        // Their file descriptors are many here, and reading it takes a while.
        &["-tout", "-f", "/run/complaints.conf"],
        &["-n", "-l", "-f", "/nonexistent.conf"],
        &["-t", "-e", "-f", "/nonexistent.conf"],
    ] {
        let [ours, theirs] = both(r1, arguments)?;
        ensure!(ours.0 == theirs.0, "{arguments:?}: {ours:?}, keepalived {theirs:?}");
        ensure!(
            (ours.1.is_empty(), ours.2.is_empty()) == (theirs.1.is_empty(), theirs.2.is_empty()),
            "{arguments:?}: {ours:?}, keepalived {theirs:?}"
        );
    }
    // Scripts take the version out of the first line.
    let [ours, theirs] = both(r1, &["-v"])?;
    let shape = |text: &str| -> Option<(String, usize)> {
        let (name, rest) = text.lines().next()?.split_once(" v")?;
        let (version, rest) = rest.split_once(' ')?;
        Some((name.to_owned(), version.split('.').count())).filter(|_| rest.starts_with('('))
    };
    ensure!(shape(&ours.2).is_some() && shape(&ours.2) == shape(&theirs.2), "{} {}", ours.2, theirs.2);
    Ok(())
}

fn foreground(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    install(r1)?;
    r1.write(FILE, Conf::new(150).text(), 0o644)?;
    let manager = UnixDatagram::bind(r1.path("/run/notify"))?;
    manager.set_read_timeout(Some(ms(10_000)))?;
    // Debian's unit, with DAEMON_ARGS as people have them.
    let arguments = ["--dont-fork", "-l", "-D", "-P", "-x", "-f", FILE];
    let mut daemon = spawn(r1, &arguments, &[("NOTIFY_SOCKET", "/run/notify")])?;
    let mut buffer = [0; 64];
    let length = manager.recv(&mut buffer).context("nobody told the service manager")?;
    ensure!(buffer[..length].starts_with(b"READY=1"), "{:?}", &buffer[..length]);
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    let number = pid(r1, PID_FILE)?;
    ensure!(pid(r1, "/run/vrrp.pid")? == number, "one process, two numbers");
    await_text(r1, "/run/log", "accepted without effect: --snmp", true)?;
    // A second one is refused as keepalived refuses it.
    let second = r1.run(&[KEEPALIVED, "-n", "-l", "-f", FILE])?;
    let said = stdout(&second) + &stderr(&second);
    ensure!(second.status.code() == Some(0) && said.contains("daemon is already running"), "{second:?}");
    ensure!(pid(r1, PID_FILE)? == number, "the second one has taken the pid file");
    // What scripts do with signals.
    for (name, words) in [("STATS_CLEAR", ""), ("JSON", ""), ("RELOAD", "reload: nothing changed")] {
        let signal = r1.output(&[KEEPALIVED, &format!("--signum={name}")])?;
        r1.output(&["kill", &format!("-{}", signal.trim()), &number])?;
        await_text(r1, "/run/log", words, true)?;
    }
    r1.write(FILE, Conf::new(140).text(), 0o644)?;
    daemon.signal(Signal::SIGHUP)?;
    await_text(r1, "/run/log", "140", true)?;
    daemon.signal(Signal::SIGTERM)?;
    let status = daemon.wait(ms(5_000))?;
    ensure!(status.is_some_and(|status| status.success()), "{status:?}\n{}", r1.read("/run/log")?);
    for file in [PID_FILE, "/run/vrrp.pid"] {
        ensure!(r1.read(file).is_err(), "{file} is still there");
    }
    Ok(())
}

fn background(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    install(r1)?;
    r1.write("/run/own.conf", Conf::new(150).text(), 0o644)?;
    // A stale file, whose number belongs to somebody else now.
    r1.write("/run/my.pid", "1\n", 0o644)?;
    let arguments = ["-D", "-p", "/run/my.pid", "-r", "/run/my-vrrp.pid", "-g", "/run/log"];
    // Relative to a directory that the daemon leaves.
    let script = format!("cd /run && exec {KEEPALIVED} {} -f own.conf", arguments.join(" "));
    let started = r1.run(&["sh", "-c", &script])?;
    ensure!(started.status.success(), "{started:?}");
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    let number = pid(r1, "/run/my.pid")?;
    ensure!(number != "1" && pid(r1, "/run/my-vrrp.pid")? == number, "{number}");
    // Nothing holds the caller's terminal or directory.
    let descriptors =
        r1.output(&["readlink", &format!("/proc/{number}/fd/0"), &format!("/proc/{number}/cwd")])?;
    ensure!(descriptors == "/dev/null\n/\n", "{descriptors}");
    r1.output(&["kill", "-HUP", &number])?;
    await_text(r1, "/run/log", "reload: nothing changed", true)?;
    // Its own restart stays in the background, under the same number.
    let restarted = xvrrp(r1, &["restart"])?;
    ensure!(restarted.status.success(), "{}", stderr(&restarted));
    await_text(r1, "/run/log", "restarting", true)?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    ensure!(pid(r1, "/run/my.pid")? == number, "another number after the restart");
    r1.output(&["kill", &number])?;
    await_text(r1, "/run/my.pid", "\n", false)?;
    await_text(r1, "/run/log", "stopped", true)
}

fn namespace(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    install(r1)?;
    for line in [
        "ip netns add inner",
        "ip link add ens200 type veth peer name ens160 netns inner",
        "ip link set ens200 up",
        "ip -n inner link set ens160 up",
        "ip -n inner address add 172.16.1.7/24 dev ens160",
    ] {
        r1.output(&line.split(' ').collect::<Vec<_>>())?;
    }
    // The file asks for it, and the name of the instance is a part of the names.
    let text = format!("net_namespace inner\ninstance one\n{}", Conf::new(150).text());
    r1.write(FILE, &text, 0o644)?;
    let run_dir = "/run/xvrrp/netns-inner/instance-one";
    let mut daemon = spawn(r1, &["-n", "-l", "-f", FILE], &[])?;
    pid(r1, "/run/keepalived/inner/keepalived_one.pid")?;
    let end = Moment::now().plus(ms(3_000));
    loop {
        let status = stdout(&xvrrp(r1, &["status", "--json", "--run-dir", run_dir])?);
        if status.contains("\"state\": \"MASTER\"") {
            break;
        }
        ensure!(Moment::now() < end, "{status}\n{}", r1.read("/run/log")?);
        std::thread::sleep(ms(20));
    }
    let inside = r1.output(&["ip", "-n", "inner", "address", "show", "dev", "ens160"])?;
    let outside = r1.output(&["ip", "address", "show", "dev", "ens160"])?;
    ensure!(inside.contains("172.16.1.25/32") && !outside.contains("172.16.1.25/32"), "{inside}\n{outside}");
    // `check` looks at the interfaces of that namespace: outside, ens160 has another address.
    let checked = xvrrp(r1, &["check", FILE])?;
    ensure!(checked.status.code() == Some(0), "{}", stderr(&checked));
    daemon.signal(Signal::SIGTERM)?;
    ensure!(daemon.wait(ms(5_000))?.is_some_and(|status| status.success()), "{}", r1.read("/run/log")?);
    // One that is not there; -s goes before the file.
    let refused = r1.run(&[KEEPALIVED, "-n", "-l", "-s", "nowhere", "-f", FILE])?;
    let said = stdout(&refused) + &stderr(&refused);
    ensure!(
        refused.status.code() == Some(1) && said.contains("'nowhere'") && said.contains("/run/netns/nowhere"),
        "{refused:?}"
    );
    Ok(())
}

fn listen(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let mut daemon = r2.start(Daemon::XvrrpRfc, &Conf::new(100).text())?;
    until(r2, "VI_1", "MASTER", ms(3_000))?;
    let heard = |text: String| -> Result<(Option<i32>, String)> {
        r1.write(FILE, text, 0o644)?;
        let output = xvrrp(r1, &["check", "--listen", "400ms"])?;
        Ok((output.status.code(), stderr(&output)))
    };
    for (text, code, words) in [
        (Conf::new(150).text(), 0, "note[XV1004]: 172.16.1.2 sends VRID 25 on ens160 with priority 100"),
        (Conf::new(100).text(), 5, "warning[XV1003]"),
        (Conf::new(150).vips(["172.16.1.99"]).text(), 5, "warning[XV1001]: 172.16.1.2 sends VRID 25"),
        (
            Conf::new(150).text().replace("version 3", "version 2").replace("advert_int 0.1", "advert_int 1"),
            5,
            "`VI_1` would drop it: bad version",
        ),
        (Conf::new(150).named("VI_1", 26).text(), 0, "note[XV1005]: nobody was heard for `VI_1`"),
    ] {
        let (got, said) = heard(text)?;
        ensure!(got == Some(code) && said.contains(words), "wanted {code} and `{words}`: {got:?}\n{said}");
    }
    let output = xvrrp(r1, &["check", "--listen", "100ms", "--json"])?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(report["schema"] == 1 && report["findings"][0]["code"] == "XV1005", "{report}");
    // The router itself hears nobody but itself, which is nobody.
    let own = xvrrp(r2, &["check", "--listen", "300ms"])?;
    ensure!(stderr(&own).contains("XV1005"), "{}", stderr(&own));
    daemon.check_alive()
}

/// Without the BFD part, as under keepalived: what tracks a session is without it, from the start.
fn no_bfd(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    install(r1)?;
    let config = |weight: &str| {
        let bfd = "bfd_instance n {\n neighbor_ip 172.16.1.2\n source_ip 172.16.1.1\n}\n";
        let track = Conf::new(100).with("track_bfd {").with(&format!("    n {weight}")).with("}");
        bfd.to_owned() + &track.text()
    };
    let arguments = ["-n", "-l", "-D", "-P", "--no_bfd", "-f", FILE];
    for (weight, state, priority, said) in [
        ("", "FAULT", 100, "(VI_1) entering FAULT state"),
        ("weight -10", "MASTER", 90, "(VI_1) Changing effective priority from 100 to 90"),
        ("weight 10", "MASTER", 100, "(VI_1) Entering MASTER STATE"),
    ] {
        r1.write(FILE, config(weight), 0o644)?;
        let log = std::fs::File::create(r1.path("/run/theirs"))?;
        let mut command = Command::new("/usr/sbin/keepalived");
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut theirs = r1.spawn(command)?;
        await_text(r1, "/run/theirs", said, true).context("keepalived")?;
        theirs.stop(ms(5_000))?;
        let mut ours = spawn(r1, &arguments, &[])?;
        until(r1, "VI_1", state, ms(5_000))?;
        let found = instance(r1, "VI_1")?;
        ensure!(found.priority.effective == priority, "{found:?}");
        let sockets = r1.output(&["ss", "-Hlnu", "sport", "=", ":3784"])?;
        ensure!(sockets.is_empty(), "BFD is listened to: {sockets}");
        ours.stop(ms(5_000))?;
    }
    Ok(())
}
