//! Twenty checks and four scripts that hang, babble or talk nonsense, and adverts every 10 ms that none of them delays; a check of a
//! good server is not disturbed either.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment};

use super::{becomes, tracker};
use crate::harness::Test;
use crate::hostile::{VIP, json, ms, reach, sound};
use crate::punctual::{allowance, within};

/// For how long adverts are watched, with and without what hangs.
const WATCH: Duration = ms(4_000);
/// Between two adverts.
const INTERVAL: Duration = ms(10);

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("track::twenty_that_hang_delay_no_advert", hang).needs([Daemon::XvrrpRfc]).timing()]
}

/// Servers on the host, by port, that live until this is dropped.
struct Servers(Arc<AtomicBool>);

impl Drop for Servers {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a server does with a connection.
type Manners = fn(TcpStream, &AtomicBool);

const SERVERS: [(&str, u16, Manners); 6] = [
    ("silent", 8001, |stream, ended| {
        while !ended.load(Ordering::Relaxed) {
            std::thread::sleep(ms(20));
            // Until the other side gives up.
            if stream.set_nonblocking(true).is_err() || matches!((&stream).read(&mut [0; 512]), Ok(0)) {
                return;
            }
        }
    }),
    ("closes", 8002, |stream, _| drop(stream)),
    ("garbage", 8003, |mut stream, _| {
        let _ = stream.write_all(&[0xff; 4096]);
    }),
    ("endless", 8004, |mut stream, ended| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while !ended.load(Ordering::Relaxed) && stream.write_all(&[b'x'; 65_536]).is_ok() {}
    }),
    ("endless head", 8005, |mut stream, ended| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while !ended.load(Ordering::Relaxed) && stream.write_all(b"X-More: and more, and more\r\n").is_ok() {}
    }),
    ("drips", 8006, |mut stream, ended| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while !ended.load(Ordering::Relaxed) && stream.write_all(b"x").is_ok() {
            std::thread::sleep(ms(5));
        }
    }),
];

fn serve(host: &Host) -> Result<Servers> {
    let servers = Servers(Arc::new(AtomicBool::new(false)));
    let mut list: Vec<(u16, Manners)> = SERVERS.iter().map(|(_, port, manners)| (*port, *manners)).collect();
    list.push((8000, |mut stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nfine\n");
    }));
    for (port, manners) in list {
        let listener = host.inside(move || TcpListener::bind(("127.0.0.1", port)))??;
        let ended = Arc::clone(&servers.0);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let ended = Arc::clone(&ended);
                std::thread::spawn(move || {
                    // Every server reads what it is asked.
                    let _ = stream.read(&mut [0; 2048]);
                    manners(stream, &ended);
                });
            }
        });
    }
    Ok(servers)
}

/// Twenty trackers, none of which is well: name, block.
fn bad(count: usize) -> Vec<(String, String)> {
    let timing = "interval 50ms\n timeout 50ms";
    let mut list: Vec<(String, String)> = Vec::new();
    for (at, (name, port, _)) in SERVERS.iter().enumerate() {
        for twin in 0..2 {
            let check = format!("bad{at}{twin}");
            list.push((
                check.clone(),
                format!("vrrp_check {check} {{\n # {name}\n http http://127.0.0.1:{port}/\n {timing}\n}}\n"),
            ));
        }
    }
    let probes = [
        // Nobody is there, and nobody says so.
        "tcp 172.16.1.77:80",
        "http http://172.16.1.77/",
        // Its name server is not there either.
        "tcp nobody.example.invalid:80",
        "http http://nowhere.example.invalid/",
        "unix /run/nobody.sock",
        "http https://127.0.0.1:8001/",
        "http https://127.0.0.1:8003/",
        "http https://127.0.0.1:8004/",
    ];
    for (at, probe) in probes.iter().enumerate() {
        let check = format!("other{at}");
        list.push((check.clone(), format!("vrrp_check {check} {{\n {probe}\n {timing}\n}}\n")));
    }
    list.truncate(count);
    list
}

fn config(priority: u8, bad: &[(String, String)]) -> String {
    let scripts = ["one", "two", "three", "four"];
    let hanging = |name: &&str| {
        format!(
            "vrrp_script {name} {{\n script \"/bin/sleep 1000\"\n interval 1\n timeout 1\n weight -1\n}}\n"
        )
    };
    let blocks: String = scripts.iter().filter(|_| !bad.is_empty()).map(hanging).collect();
    let more: String = bad.iter().map(|(_, block)| block.as_str()).collect();
    let lines: String = bad.iter().map(|(name, _)| format!("  {name} weight -1\n")).collect();
    let tracked =
        if bad.is_empty() { String::new() } else { format!(" track_script {{ {} }}\n", scripts.join("\n")) };
    format!(
        "vrrp_check good {{\n http http://127.0.0.1:8000/\n body fine\n interval 200ms\n}}\n\
         track_file pipe {{\n file /run/pipe\n}}\n{blocks}{more}vrrp_instance VI_1 {{\n interface ens160\n version 3\n \
         virtual_router_id 9\n priority {priority}\n advert_int 0.01\n virtual_ipaddress {{ {VIP} }}\n \
         track_file {{ pipe }}\n{tracked} track_check {{\n  good weight 10\n{lines} }}\n}}\n"
    )
}

fn hang(lab: &Lab) -> Result<()> {
    let (r1, wire) = (lab.host("r1")?, lab.switch().watch()?);
    r1.write("/etc/resolv.conf", "nameserver 172.16.1.77\noptions timeout:30 attempts:5\n", 0o644)?;
    r1.output(&["mkfifo", "/run/pipe"])?;
    let _servers = serve(r1)?;
    let bad = bad(20);
    ensure!(bad.len() == 20);
    let longest = |from: Moment, until: Moment| {
        let adverts = wire.filter(|seen| seen.is_advert_from("r1") && seen.at > from && seen.at < until);
        // Without what the machine took.
        let pause = |from: Moment, to: Moment| to.since(from).saturating_sub(allowance(from, to));
        let pauses = adverts.windows(2).map(|pair| pause(pair[0].at, pair[1].at));
        pauses.max().with_context(|| format!("{} adverts", adverts.len()))
    };

    let mut daemon = r1.start(Daemon::XvrrpRfc, &config(200, &[]))?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    let failures = || -> Result<u64> {
        tracker(r1, "check", "good").context("no check")?["failures"].as_u64().context("no failures")
    };
    let (from, before) = (Moment::now(), failures()?);
    std::thread::sleep(WATCH);
    let alone = longest(from, Moment::now())?;
    let failed_alone = failures()? - before;

    r1.write("/etc/keepalived/keepalived.conf", config(200, &bad), 0o644)?;
    daemon.signal(nix::sys::signal::Signal::SIGHUP)?;
    for (name, _) in &bad {
        becomes(r1, "check", name, "bad", ms(5_000))?;
    }
    let (from, before) = (Moment::now(), tracker(r1, "check", "good").context("no check")?);
    std::thread::sleep(WATCH);
    let beside = longest(from, Moment::now())?;
    let after = tracker(r1, "check", "good").context("no check")?;
    let runs = |entry: &serde_json::Value| entry["runs"].as_u64().unwrap_or(0);
    println!(
        "longest pause between adverts of 10 ms: {alone:?} alone, {beside:?} beside 20 checks that hang; the good \
         check was made {} times in {WATCH:?}",
        runs(&after) - runs(&before)
    );
    // Half of what makes a backup take over, beside what it is without them.
    ensure!(
        beside < alone + INTERVAL * 3 / 2,
        "an advert was {beside:?} after the one before; alone {alone:?}"
    );
    // A busy machine may keep its server from answering, then as now.
    let failed = after["failures"].as_u64().unwrap_or(0) - before["failures"].as_u64().unwrap_or(0);
    ensure!(failed <= failed_alone, "the good check was disturbed: {after}, alone {failed_alone} times");
    // Every 200 ms; once in a second would be the pace of those that hang.
    ensure!(runs(&after) - runs(&before) >= 10, "the good check was held up: {before} {after}");
    let details = json(r1, "status")?;
    for entry in details["trackers"].as_array().into_iter().flatten() {
        println!("  {} {}: {}", entry["name"], entry["state"], entry["detail"]);
    }
    sound(&mut daemon, 120)?;
    // A lookup that hangs does not hold up the stop.
    let begin = Moment::now();
    daemon.stop()?.context("the daemon had to be killed")?;
    // Not the thirty seconds of a lookup.
    let took = within("the stop", begin, Moment::now(), ms(30_000) / 10)?;
    println!("stopped within {took:?}");
    Ok(())
}
