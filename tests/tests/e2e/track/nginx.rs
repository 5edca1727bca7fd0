//! The tutorial's two nginx proxies. The active one is killed, frozen, or left without its backend (so that it answers
//! 502): each moves the virtual address, and the client is served by the other. Beside it keepalived with the usual
//! script: curl, once a second.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, Process, Running, Visitor, wait_for};
use nix::sys::signal::Signal;

use crate::harness::Test;
use crate::hostile::{VIP, ms};

const CHECK: &str = "vrrp_check nginx {\n http http://127.0.0.1/\n status 200\n interval 50ms\n}\n";
const SCRIPT: &str = "vrrp_script nginx {\n script \"/usr/bin/curl -sf -m 1 -o /dev/null http://127.0.0.1/\"\n \
                      interval 1\n timeout 2\n}\n";
/// Until the client is served by the other router: sooner than a script of keepalived, whose shortest interval is a
/// second, is run again.
const LIMIT: Duration = ms(1_000);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("track::nginx_killed_frozen_502", |lab: &Lab| move_away(lab, Daemon::Xvrrp, 3))
            .needs([Daemon::Xvrrp])
            .needs_tool("nginx")
            .long(),
        Test::new("track::nginx_beside_keepalived_with_curl", |lab: &Lab| {
            move_away(lab, Daemon::Keepalived, 1)
        })
        .needs([Daemon::Keepalived])
        .needs_tool("nginx")
        .needs_tool("curl")
        .long(),
    ]
}

fn config(daemon: Daemon, state: &str, priority: u8) -> String {
    let (check, track) = match daemon {
        Daemon::Keepalived => (SCRIPT, "track_script"),
        _ => (CHECK, "track_check"),
    };
    format!(
        "global_defs {{\n script_user root\n}}\n{check}vrrp_instance VI_1 {{\n state {state}\n interface ens160\n \
         virtual_router_id 9\n priority {priority}\n advert_int 1\n authentication {{\n auth_type PASS\n auth_pass \
         12345\n }}\n virtual_ipaddress {{ {VIP} }}\n {track} {{ nginx }}\n}}\n"
    )
}

/// A router with its service: a proxy, and the backend that the proxy asks.
struct Site<'a> {
    host: &'a Host,
    proxy: Process,
    backend: Process,
    daemon: Running,
}

impl<'a> Site<'a> {
    fn start(lab: &'a Lab, name: &str, daemon: Daemon, state: &str, priority: u8) -> Result<Self> {
        let host = lab.host(name)?;
        let (backend, proxy) = (backend(host)?, proxy(host)?);
        let daemon = host.start(daemon, &config(daemon, state, priority))?;
        Ok(Self { host, proxy, backend, daemon })
    }
}

fn backend(host: &Host) -> Result<Process> {
    host.nginx("backend", 8080, &format!("return 200 \"{}\\n\";", host.name()))
}

fn proxy(host: &Host) -> Result<Process> {
    host.nginx("proxy", 80, "proxy_pass http://127.0.0.1:8080;")
}

/// Kills a service as the out-of-memory killer would, and reaps it.
fn kill(service: &mut Process) -> Result<()> {
    service.signal_tree(Signal::SIGKILL)?;
    service.wait(ms(2_000))?;
    Ok(())
}

fn move_away(lab: &Lab, daemon: Daemon, rounds: usize) -> Result<()> {
    let r2 = Site::start(lab, "r2", daemon, "BACKUP", 100)?;
    let mut r1 = Site::start(lab, "r1", daemon, "MASTER", 101)?;
    let addresses = lab.watch_addresses()?;
    let visitor = lab.host("client")?.visit(VIP)?;
    let name = daemon.name();
    for fault in ["killed", "frozen", "502"] {
        let mut times = Vec::new();
        for round in 0..rounds {
            served(&visitor, "r1", Moment::now(), ms(15_000))?;
            wait_for(ms(5_000), || (addresses.holders(VIP) == ["r1"]).then_some(()))
                .context("two masters")?;
            // Not always in the same part of an interval.
            std::thread::sleep(ms(1_000 + 37 * round as u64));
            let began = Moment::now();
            match fault {
                "killed" => kill(&mut r1.proxy)?,
                "frozen" => r1.proxy.signal_tree(Signal::SIGSTOP)?,
                _ => kill(&mut r1.backend)?,
            }
            times.push(served(&visitor, "r2", began, ms(15_000))?.since(began));
            match fault {
                "killed" => r1.proxy = proxy(r1.host)?,
                "frozen" => r1.proxy.signal_tree(Signal::SIGCONT)?,
                _ => r1.backend = backend(r1.host)?,
            }
        }
        times.sort();
        let list: Vec<_> = times.iter().map(|time| format!("{:.0} ms", time.as_secs_f64() * 1e3)).collect();
        println!("{name}: nginx {fault}: the other router serves the client after {}", list.join(", "));
        let longest = times.last().copied().unwrap_or_default();
        ensure!(
            daemon == Daemon::Keepalived || longest <= LIMIT,
            "nginx {fault}: {longest:?} until the other router serves, wanted {LIMIT:?}"
        );
    }
    r1.daemon.check_alive()?;
    let mut r2 = r2;
    r2.daemon.check_alive()
}

fn served(visitor: &Visitor, server: &str, from: Moment, patience: Duration) -> Result<Moment> {
    wait_for(patience, || visitor.served_by(server, from)).with_context(|| format!("{server} does not serve"))
}
