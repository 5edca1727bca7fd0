//! Which results are drawn, and how they are called.

use clap::ValueEnum as _;

use super::footprint;
use super::peer::Peer;
use super::plot::{Group, Plot, Series};
use super::results::Results;
use super::scenario::Failover;
use super::table::figure;

/// File names of the pictures.
pub(super) const GAP: &str = "bench-gap.svg";
pub(super) const DOUBLE: &str = "bench-double.svg";
pub(super) const CPU: &str = "bench-cpu.svg";

/// The failovers of which there are results.
pub(super) fn failovers(results: &Results) -> Vec<Failover> {
    Failover::value_variants().iter().copied().filter(|failover| results.has(failover.name())).collect()
}

/// All pictures, with their file names.
pub(super) fn pictures(results: &Results) -> Vec<(&'static str, Plot)> {
    let dots = "a dot for each run, a line and a figure for the median; logarithmic";
    vec![
        (
            GAP,
            Plot {
                title: "How long the client gets no answer".to_owned(),
                subtitle: format!("Gap in the answers to a 250 µs ping stream: {dots}"),
                unit: "ms",
                groups: gaps(results),
            },
        ),
        (
            DOUBLE,
            Plot {
                title: "How long two machines answer for the address".to_owned(),
                subtitle: format!("ARP asked every millisecond, until 0.3 s after the takeover: {dots}"),
                unit: "ms",
                groups: doubles(results),
            },
        ),
        (
            CPU,
            Plot {
                title: "What a healthy pair costs".to_owned(),
                subtitle: "Processor time of the daemon, percent of one processor; logarithmic".to_owned(),
                unit: "%",
                groups: costs(results),
            },
        ),
    ]
}

/// What the peers have to show for one metric; peers without a value are left out.
fn series(results: &Results, scenario: &str, metric: &str, note: impl Fn(Peer) -> String) -> Vec<Series> {
    let of = |&peer: &Peer| Series { peer, values: results.series(scenario, peer, metric), note: note(peer) };
    results.peers.iter().map(of).filter(|series| !series.values.is_empty()).collect()
}

fn gaps(results: &Results) -> Vec<Group> {
    let group = |failover: Failover| {
        let scenario = failover.name();
        let two_answer = |peer| {
            let double = double(results, scenario, peer);
            double.map_or(String::new(), |time| format!("two machines answer{time}"))
        };
        Group { title: failover.title().to_owned(), series: series(results, scenario, "gap ms", two_answer) }
    };
    failovers(results).into_iter().map(group).collect()
}

/// Whether and for how long two machines answered in most of the runs; nothing is said of a time that only ended
/// with the observation.
pub(super) fn double(results: &Results, scenario: &str, peer: Peer) -> Option<String> {
    let median = results.stats(scenario, peer, DOUBLE_METRIC)?.median;
    let to_the_end = median >= 200.0;
    (median > 0.0).then(|| if to_the_end { String::new() } else { format!(" for {} ms", figure(median)) })
}

const DOUBLE_METRIC: &str = "two answering ms";

/// Only what happened to somebody.
fn doubles(results: &Results) -> Vec<Group> {
    let group = |failover: Failover| {
        let series = series(results, failover.name(), DOUBLE_METRIC, |_| String::new());
        Group { title: failover.title().to_owned(), series }
    };
    let groups = failovers(results).into_iter().map(group);
    groups.filter(|group| group.series.iter().flat_map(|s| &s.values).any(|value| *value > 0.0)).collect()
}

fn costs(results: &Results) -> Vec<Group> {
    let each = footprint::COUNTS.into_iter().flat_map(|count| ["master", "backup"].map(|role| (count, role)));
    let groups = each.map(|(count, role)| Group {
        title: format!("{count} VRID, {role}"),
        series: series(results, &footprint::name(count), &format!("{role} cpu %"), |_| String::new()),
    });
    groups.filter(|group| !group.series.is_empty()).collect()
}
