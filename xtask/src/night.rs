//! `cargo xtask night`: a bad night in the lab, and what the flight recorders of both routers tell of it afterwards, when no
//! daemon runs any more. Writes docs/operate.md.

mod page;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ha_tests::lab::{self, Addresses, Daemon, Host, Lab, Process, RUN_DIR, Running, Topology, wait_for};

use crate::run;
use page::{Chapter, Told};

/// Arguments of `cargo xtask night`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only print it, and leave docs/operate.md as it is
    #[arg(long)]
    print: bool,
}

const VIP: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(172, 16, 1, 25));
const FILE: &str = "/etc/keepalived/keepalived.conf";
/// VRRPv2 with an advert each second needs 3.6 s for a first start, and a preemption as long.
const PATIENCE: Duration = Duration::from_secs(15);

/// Plays it, and writes what is told of it.
pub(crate) fn main(args: &Args) -> Result<()> {
    run::build()?;
    if let Some(missing) = lab::missing() {
        bail!("{missing}");
    }
    ctrlc::set_handler(|| {
        eprintln!("\ninterrupted; the lab is gone");
        std::process::exit(130);
    })?;
    let lab = Lab::new(Topology::two_node())?;
    let page = page::render(&Night::begin(&lab)?.play()?);
    if args.print {
        print!("{page}");
        return Ok(());
    }
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate.md"));
    std::fs::write(path, page).with_context(|| format!("writing {}", path.display()))?;
    println!("wrote docs/operate.md");
    Ok(())
}

struct Night<'a> {
    lab: &'a Lab,
    addresses: Addresses,
    routers: Vec<Running>,
    proxy: Process,
    /// Serves on r2, until the end.
    _other: Process,
}

/// The tutorial's routers; `r1` is the better one by 2.
fn config(state: &str, priority: u8, password: &str) -> String {
    format!(
        "global_defs {{\n    script_user root\n    enable_script_security\n}}\n\
         vrrp_script check_nginx {{\n    script \"/usr/bin/curl -sSf -m 1 -o /dev/null http://127.0.0.1/\"\n    \
         interval 1\n    weight -20\n}}\n\
         vrrp_instance VI_1 {{\n    state {state}\n    interface ens160\n    virtual_router_id 51\n    priority {priority}\n    \
         advert_int 1\n    authentication {{\n        auth_type PASS\n        auth_pass {password}\n    }}\n    \
         virtual_ipaddress {{\n        172.16.1.25/24\n    }}\n    track_script {{\n        check_nginx\n    }}\n}}\n"
    )
}

fn nginx(host: &Host) -> Result<Process> {
    host.nginx("proxy", 80, &format!("return 200 \"{}\\n\";", host.name()))
}

impl<'a> Night<'a> {
    /// r1 has the address, and r2 probes it.
    fn begin(lab: &'a Lab) -> Result<Self> {
        let addresses = lab.watch_addresses()?;
        let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
        let proxy = nginx(r1)?;
        let other = nginx(r2)?;
        println!("the evening: r1 and r2 start");
        let first = r1.start(Daemon::Xvrrp, &config("MASTER", 101, "12345"))?;
        let mut night = Self { lab, addresses, routers: vec![first], proxy, _other: other };
        night.held_by(&["r1"])?;
        night.routers.push(r2.start(Daemon::Xvrrp, &config("BACKUP", 99, "12345"))?);
        let log = |host: &Host| host.read("/run/lab/xvrrp.log").unwrap_or_default();
        wait_for(PATIENCE, || log(r2).contains("answers probes").then_some(()))
            .context("r2 does not probe")?;
        Ok(night)
    }

    fn held_by(&self, hosts: &[&str]) -> Result<()> {
        let holders = || {
            let mut list = self.addresses.holders(VIP);
            list.sort();
            list
        };
        wait_for(PATIENCE, || (holders() == hosts).then_some(()))
            .with_context(|| format!("the address is on {:?}, not on {hosts:?}", holders()))?;
        // Moves that are told apart by the second, and a stretch of calm between them.
        std::thread::sleep(Duration::from_secs(3));
        Ok(())
    }

    fn play(mut self) -> Result<Vec<Chapter>> {
        let (r1, r2) = (self.lab.host("r1")?, self.lab.host("r2")?);
        let mut chapters = Vec::new();
        let mut chapter = |night: &Self, title: &str, holder: &str| -> Result<()> {
            println!("{title}");
            night.held_by(&[holder])?;
            chapters.push(Chapter::new(title, last_move(r1)?, last_move(r2)?));
            Ok(())
        };

        self.proxy.signal_tree(nix::sys::signal::Signal::SIGKILL)?;
        chapter(&self, "nginx on r1 is killed", "r2")?;
        self.proxy = nginx(r1)?;
        self.held_by(&["r1"])?;

        self.lab.switch().unplug("r1")?;
        chapter(&self, "the cable of r1 is pulled", "r2")?;
        self.lab.switch().plug("r1")?;
        self.held_by(&["r1"])?;

        self.routers.remove(0).kill9()?;
        println!("the daemon on r1 is killed with signal 9");
        // The address is left on r1, behind its fence.
        self.held_by(&["r1", "r2"])?;
        chapters.push(Chapter::new(
            "the daemon on r1 is killed with signal 9",
            last_move(r1)?,
            last_move(r2)?,
        ));
        self.routers.insert(0, r1.start(Daemon::Xvrrp, &config("MASTER", 101, "12345"))?);
        self.held_by(&["r1"])?;

        reload(r1, &config("MASTER", 90, "12345"))?;
        let mut chapter = |night: &Self, title: &str, holder: &str| -> Result<()> {
            println!("{title}");
            night.held_by(&[holder])?;
            chapters.push(Chapter::new(title, last_move(r1)?, last_move(r2)?));
            Ok(())
        };
        chapter(&self, "somebody reloads r1 with priority 90 instead of 101", "r2")?;
        reload(r1, &config("MASTER", 101, "12345"))?;
        self.held_by(&["r1"])?;

        println!("somebody changes the password of r2 alone");
        reload(r2, &config("BACKUP", 99, "54321"))?;
        self.held_by(&["r1", "r2"])?;
        let statuses = [status(r1)?, status(r2)?];
        chapters.push(
            Chapter::new("somebody changes the password of r2 alone", last_move(r1)?, last_move(r2)?)
                .with(statuses),
        );
        reload(r2, &config("BACKUP", 99, "12345"))?;
        self.held_by(&["r1"])?;

        for daemon in &mut self.routers {
            daemon.stop()?;
        }
        println!("morning: both daemons are stopped; now the files are asked");
        page::keep_news(&mut chapters);
        for chapter in &mut chapters {
            chapter.tell(|host, at| why(self.lab.host(host)?, at))?;
        }
        Ok(chapters)
    }
}

fn reload(host: &Host, config: &str) -> Result<()> {
    host.write(FILE, config, 0o644)?;
    xvrrp(host, &["reload", "--run-dir", RUN_DIR]).map(drop)
}

fn xvrrp(host: &Host, words: &[&str]) -> Result<String> {
    let output = host.run_xvrrp(words)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // `status` ends with what it has found.
    ensure!(!text.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

fn status(host: &Host) -> Result<Told> {
    let text = xvrrp(host, &["status", "--run-dir", RUN_DIR])?;
    let verdict: Vec<&str> = text.lines().take(2).collect();
    Ok(Told { command: format!("{}# xvrrp status | head -2", host.name()), text: verdict.join("\n") })
}

/// The time of the latest change, as `--at` takes it; `None` where there was none.
fn last_move(host: &Host) -> Result<Option<String>> {
    let events = xvrrp(host, &["events", "--json", "--kind", "transition", "--run-dir", RUN_DIR])?;
    let last: Option<serde_json::Value> =
        events.lines().next_back().and_then(|line| serde_json::from_str(line).ok());
    let at = last.as_ref().and_then(|event| event["at"].as_str());
    Ok(at.map(|at| at.chars().take("2026-11-30T03:12:44".len()).collect::<String>().replace('T', " ")))
}

fn why(host: &Host, at: &str) -> Result<Told> {
    let text = xvrrp(host, &["why", "VI_1", "--at", at, "--run-dir", RUN_DIR])?;
    Ok(Told { command: format!("{}# xvrrp why VI_1 --at '{at}'", host.name()), text })
}
