//! Everything that was measured, and what is said about a series of values. Kept as JSON, so that a report
//! can be written again without measuring again.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::peer::Peer;
use super::progress::Progress;

/// One measured value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sample {
    /// Name of the scenario.
    pub(super) scenario: String,
    pub(super) peer: Peer,
    /// What was measured, with its unit as the last word.
    pub(super) metric: String,
    pub(super) value: f64,
}

/// A run that did not come to an end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) scenario: String,
    pub(super) peer: Peer,
    pub(super) text: String,
}

/// Cost of one path through the XDP program, in nanoseconds a packet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PathCost {
    /// What the frame is and what happens to it.
    pub(super) name: String,
    /// Nanoseconds a packet, one figure for each batch.
    pub(super) ns: Vec<f64>,
}

/// All of a run of the benchmark, or of several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) peers: Vec<Peer>,
    pub(super) runs: usize,
    /// How long a backup of ours has watched its master before a failover.
    #[serde(default)]
    pub(super) learn: Duration,
    /// The command line that repeats it.
    pub(super) command: String,
    /// Minutes it took.
    pub(super) minutes: f64,
    pub(super) samples: Vec<Sample>,
    pub(super) failures: Vec<Failure>,
    pub(super) xdp: Vec<PathCost>,
}

impl Results {
    pub(super) fn add(&mut self, scenario: &str, peer: Peer, metric: &str, value: f64) {
        let (scenario, metric) = (scenario.to_owned(), metric.to_owned());
        self.samples.push(Sample { scenario, peer, metric, value });
    }

    /// Takes down a run that failed, and says so.
    pub(super) fn fail(&mut self, scenario: &str, peer: Peer, error: &anyhow::Error, progress: &Progress) {
        let text = format!("{error:#}");
        progress.failed(scenario, peer, &text);
        self.failures.push(Failure { scenario: scenario.to_owned(), peer, text });
    }

    /// All values of one series, in the order in which they were measured.
    pub(super) fn series(&self, scenario: &str, peer: Peer, metric: &str) -> Vec<f64> {
        let wanted = |s: &&Sample| s.scenario == scenario && s.peer == peer && s.metric == metric;
        self.samples.iter().filter(wanted).map(|sample| sample.value).collect()
    }

    pub(super) fn stats(&self, scenario: &str, peer: Peer, metric: &str) -> Option<Stats> {
        Stats::of(&self.series(scenario, peer, metric))
    }

    /// Runs of a scenario that failed.
    pub(super) fn failed(&self, scenario: &str, peer: Peer) -> usize {
        self.failures.iter().filter(|f| f.scenario == scenario && f.peer == peer).count()
    }

    pub(super) fn has(&self, scenario: &str) -> bool {
        self.samples.iter().any(|sample| sample.scenario == scenario)
            || self.failures.iter().any(|failure| failure.scenario == scenario)
    }

    /// Puts another run's measurements beside these. A scenario that both have keeps those of both.
    pub(super) fn append(&mut self, other: Self) {
        self.minutes += other.minutes;
        self.command += &format!("\n{}", other.command);
        if other.machine.xvrrp != self.machine.xvrrp {
            self.command += &format!("    # {}", other.machine.xvrrp);
        }
        for peer in other.peers {
            if !self.peers.contains(&peer) {
                self.peers.push(peer);
            }
        }
        self.samples.extend(other.samples);
        self.failures.extend(other.failures);
        self.xdp.extend(other.xdp);
    }

    pub(super) fn save(&self, file: &Path) -> Result<()> {
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let text = serde_json::to_string(self)?;
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }

    pub(super) fn load(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not of this version", file.display()))
    }
}

/// What is said about a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stats {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) p95: f64,
    pub(super) max: f64,
    pub(super) count: usize,
}

impl Stats {
    /// `None` for no values.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let last = count.checked_sub(1)?;
        // The smallest value that at least 95 of 100 do not exceed.
        let p95 = (count * 95).div_ceil(100).max(1) - 1;
        let median = (sorted[last / 2] + sorted[count / 2]) / 2.0;
        Some(Self { min: sorted[0], median, p95: sorted[p95], max: sorted[last], count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_a_series() {
        let stats = Stats::of(&(1..=20).map(f64::from).collect::<Vec<_>>());
        assert_eq!(stats, Some(Stats { min: 1.0, median: 10.5, p95: 19.0, max: 20.0, count: 20 }));
        assert_eq!(Stats::of(&[3.0, 1.0, 2.0]).map(|stats| (stats.median, stats.p95)), Some((2.0, 3.0)));
        assert_eq!(Stats::of(&[]), None);
    }
}
