//! Host death while the machine has other work: what container hosts and routers with many routes do to the kernel's
//! lock of the network configuration (RTNL), and what starves a daemon.
//!
//! All hosts of the lab share the processors: what keeps those busy keeps them busy for both routers.

use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use ha_tests::lab::{Host, Pinger, Process, Stress};

use super::peer::Peer;
use super::progress::Progress;
use super::results::Results;
use super::scenario::Failover;
use super::stage::Stage;

/// What goes on while the master's host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Busy {
    /// Nothing.
    Quiet,
    /// Another process makes network namespaces with veth pairs and deletes them, without a pause.
    Namespaces,
    /// 50,000 routes of the backup come and go, without a pause.
    Routes,
    /// Threads that never sleep.
    CpuHogs,
    /// Real-time threads that leave a fifth of the processors.
    FifoHogs,
    /// A flood of pings to the backup's own address.
    PingFlood,
    /// Threads that never sleep, until the moment of the death.
    CpuHogsBefore,
    /// Real-time threads, until the moment of the death.
    FifoHogsBefore,
    /// A flood of pings to the master's own address, until the moment of the death.
    PingFloodBefore,
}

impl Busy {
    pub(super) const ALL: [Self; 9] = [
        Self::Quiet,
        Self::Namespaces,
        Self::Routes,
        Self::CpuHogs,
        Self::FifoHogs,
        Self::PingFlood,
        Self::CpuHogsBefore,
        Self::FifoHogsBefore,
        Self::PingFloodBefore,
    ];

    /// Key of its results.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "busy quiet",
            Self::Namespaces => "busy namespaces",
            Self::Routes => "busy routes",
            Self::CpuHogs => "busy cpu-hogs",
            Self::FifoHogs => "busy fifo-hogs",
            Self::PingFlood => "busy ping-flood",
            Self::CpuHogsBefore => "busy cpu-hogs-before",
            Self::FifoHogsBefore => "busy fifo-hogs-before",
            Self::PingFloodBefore => "busy ping-flood-before",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Quiet => "nothing",
            Self::Namespaces => "namespaces come and go",
            Self::Routes => "50,000 routes come and go",
            Self::CpuHogs => "CPU hogs",
            Self::FifoHogs => "SCHED_FIFO hogs",
            Self::PingFlood => "ping flood on the backup",
            Self::CpuHogsBefore => "CPU hogs until then",
            Self::FifoHogsBefore => "SCHED_FIFO hogs until then",
            Self::PingFloodBefore => "ping flood on the master until then",
        }
    }

    /// Whether it ends when the master does.
    const fn ends_with_the_master(self) -> bool {
        matches!(self, Self::CpuHogsBefore | Self::FifoHogsBefore | Self::PingFloodBefore)
    }

    fn start(self, stage: &Stage) -> Result<Work> {
        let (r2, witness) = (stage.lab.host("r2")?, stage.lab.host("witness")?);
        let flood = |router: &str| -> Result<Work> {
            let target = IpAddr::V4(stage.lab.host(router)?.spec().v4);
            Ok(Work::Flood(witness.ping(target, FLOOD, LONGEST)?))
        };
        Ok(match self {
            Self::Quiet => Work::None,
            Self::Namespaces => Work::Program(shell(witness, NAMESPACES)?),
            Self::Routes => {
                r2.output(&["ip", "link", "add", "many0", "type", "veth", "peer", "name", "many1"])?;
                for end in ["many0", "many1"] {
                    r2.output(&["ip", "link", "set", end, "up"])?;
                }
                for verb in ["add", "del"] {
                    r2.write(format!("/run/lab/{verb}.routes"), routes(verb), 0o644)?;
                }
                Work::Program(shell(r2, ROUTES)?)
            }
            Self::CpuHogs | Self::CpuHogsBefore => Work::Stress(Stress::cpu_hogs()?),
            Self::FifoHogs | Self::FifoHogsBefore => Work::Stress(Stress::fifo_hogs()?),
            Self::PingFlood => flood("r2")?,
            Self::PingFloodBefore => flood("r1")?,
        })
    }
}

/// What goes on; ends when dropped.
#[derive(Debug)]
enum Work {
    None,
    Program(#[expect(dead_code, reason = "held until it is over")] Process),
    Stress(#[expect(dead_code, reason = "held until it is over")] Stress),
    Flood(#[expect(dead_code, reason = "held until it is over")] Pinger),
}

/// Between packets of the flood.
const FLOOD: Duration = Duration::from_micros(50);
/// Whatever happens, it is over by then.
const LONGEST: Duration = Duration::from_secs(60);
/// How long it goes on before the master dies.
const BEFORE: Duration = Duration::from_secs(2);

const NAMESPACES: &str = "\
    while :; do \
        ip netns add one; ip link add here0 type veth peer name there0 netns one; \
        ip link set here0 up; ip -n one link set there0 up; ip -n one addr add 192.0.2.1/24 dev there0; \
        ip netns del one; \
    done";
const ROUTES: &str = "while :; do ip -batch /run/lab/add.routes; ip -batch /run/lab/del.routes; done";

/// 50,000 lines for ip(8).
fn routes(verb: &str) -> String {
    let line = |number: u32| {
        let [_, high, middle, low] = number.to_be_bytes();
        format!("route {verb} 100.{}.{middle}.{low}/32 dev many0\n", 64 + high)
    };
    (0..50_000).map(line).collect()
}

fn shell(host: &Host, script: &str) -> Result<Process> {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    host.spawn(command)
}

/// Each of `works`, `runs` times, with all peers in turn.
pub(super) fn run(results: &mut Results, works: &[Busy], runs: usize, progress: &mut Progress) {
    for run in 1..=runs {
        for &work in works {
            for peer in results.peers.clone() {
                match measure(peer, work, results.learn) {
                    Ok(outcome) => {
                        for (metric, value) in outcome {
                            results.add(work.name(), peer, metric, value);
                        }
                    }
                    Err(error) => {
                        results.fail(work.name(), peer, &error, progress);
                        continue;
                    }
                }
                let last = results.series(work.name(), peer, "gap ms").pop().unwrap_or(0.0);
                let median = results.stats(work.name(), peer, "gap ms").map_or(0.0, |stats| stats.median);
                progress.line(
                    &format!("{run}/{runs}"),
                    peer.name(),
                    work.title(),
                    &format!("gap {last:9.2} ms (median {median:9.2})"),
                );
            }
        }
    }
}

fn measure(peer: Peer, busy: Busy, learn: Duration) -> Result<super::scenario::Outcome> {
    // What keeps the machine busy is no part of what is learned: nobody knows that it will come.
    let mut stage = Stage::learned(peer, true, learn)?;
    let mut work = Some(busy.start(&stage).with_context(|| busy.title())?);
    std::thread::sleep(BEFORE);
    let gate = Mutex::new(());
    let outcome = Failover::HostDeath.measure_as(&mut stage, &gate, |stage| {
        if busy.ends_with_the_master() {
            work = None;
        }
        stage.lab.switch().silence("r1")
    });
    // Before the lab goes.
    drop(work);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_as_many_as_is_said_and_differ() {
        let text = routes("add");
        let lines: std::collections::BTreeSet<_> = text.lines().collect();
        assert_eq!(lines.len(), 50_000);
        assert!(lines.contains("route add 100.64.195.79/32 dev many0"), "the last one is not there");
    }
}
