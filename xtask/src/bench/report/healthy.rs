//! Tables of healthy pairs, of 255 routers, and of the cost per packet.

use super::versus;
use crate::bench::footprint;
use crate::bench::many as takeovers;
use crate::bench::results::{Results, Stats};
use crate::bench::stalls;
use crate::bench::steady::{self, Load};
use crate::bench::table::{Table, cells, figure};

pub(super) fn steady(results: &Results) -> String {
    let loads: Vec<_> = Load::ALL.into_iter().filter(|load| results.has(load.name())).collect();
    if loads.is_empty() {
        return String::new();
    }
    let head = ["", "", "seconds", "address changes", "lost pings", "longest stall of the stream, ms"];
    let mut table = Table::new(2, &head);
    for load in loads {
        for &peer in &results.peers {
            let sum = |metric: &str| results.series(load.name(), peer, metric).iter().sum::<f64>();
            let stall = results.stats(load.name(), peer, "stream stall ms").map_or(0.0, |stats| stats.max);
            table.row([
                load.title().to_owned(),
                peer.name().to_owned(),
                format!("{:.0}", sum("seconds")),
                figure_of_count(sum("address changes")),
                figure_of_count(sum("lost pings")),
                figure(stall),
            ]);
        }
    }
    table.text() + &probes(results)
}

/// How the prober fared, which is a thread like any other.
fn probes(results: &Results) -> String {
    let [sent, verdicts, median, p99, max, stalls] = steady::PROBES;
    let head =
        ["the prober", "", "probes", "verdicts", "late µs, median", "p99", "max, ms", "above 1 ms, times"];
    let mut table = Table::new(2, &head);
    let mut any = false;
    for load in Load::ALL {
        for &peer in results.peers.iter().filter(|peer| peer.is_ours()) {
            let value = |metric: &str| results.series(load.name(), peer, metric).pop();
            let Some(probes) = value(sent) else { continue };
            any = true;
            let count = |metric: &str| value(metric).map_or(String::new(), figure_of_count);
            let number = |metric: &str| value(metric).map_or(String::new(), figure);
            table.row([
                load.title().to_owned(),
                peer.name().to_owned(),
                figure_of_count(probes),
                count(verdicts),
                number(median),
                number(p99),
                number(max),
                count(stalls),
            ]);
        }
    }
    if any { table.text() } else { String::new() }
}

fn figure_of_count(count: f64) -> String {
    format!("{count:.0}")
}

pub(super) fn costs(results: &Results) -> String {
    let head = [
        "virtual routers",
        "",
        "",
        "CPU %",
        "against keepalived",
        "switches/s",
        "against keepalived",
        "memory MiB",
    ];
    let mut table = Table::new(3, &head);
    let mut any = false;
    for count in footprint::COUNTS {
        let name = footprint::name(count);
        for role in ["master", "backup"] {
            for &peer in &results.peers {
                let metric = |what: &str| format!("{role} {what}");
                let value = |what: &str| results.stats(&name, peer, &metric(what)).map(|stats| stats.median);
                let Some(cpu) = value("cpu %") else { continue };
                any = true;
                table.row([
                    count.to_string(),
                    role.to_owned(),
                    peer.name().to_owned(),
                    format!("{cpu:.3}"),
                    versus(results, peer, &name, &metric("cpu %")),
                    value("switches/s").map_or(String::new(), figure),
                    versus(results, peer, &name, &metric("switches/s")),
                    value("memory MiB").map_or(String::new(), figure),
                ]);
            }
        }
    }
    let of_sleepers = |count| {
        let stats = |&peer| results.stats(&footprint::name(count), peer, footprint::SLEEPER);
        results.peers.iter().find_map(stats).map(|stats| stats.median)
    };
    let sleeper = footprint::COUNTS.into_iter().find_map(of_sleepers).map_or(String::new(), |percent| {
        format!(
            "\nFor comparison: on this machine a thread that does nothing but sleep for a millisecond at a time costs \
             {percent:.2} % of a processor.\n"
        )
    });
    if any { table.text() + &sleeper + &round_trips(results) } else { String::new() }
}

/// Ordinary pings to the master's own address: through the program, and without it at keepalived.
fn round_trips(results: &Results) -> String {
    let name = footprint::name(1);
    let [(median, _), (p99, _)] = footprint::ROUND_TRIPS;
    let mut table = Table::new(1, &["ordinary ping to the master's host, µs", "median", "p99"]);
    let mut any = false;
    for &peer in &results.peers {
        let value = |metric: &str| results.stats(&name, peer, metric).map(|stats| figure(stats.median));
        if let (Some(median), Some(p99)) = (value(median), value(p99)) {
            any = true;
            table.row([peer.name().to_owned(), median, p99]);
        }
    }
    if any { table.text() } else { String::new() }
}

pub(super) fn many(results: &Results) -> String {
    if !results.has(takeovers::NAME) {
        return String::new();
    }
    let mut text = String::new();
    for metric in takeovers::METRICS {
        let head = metric.trim_end_matches(" ms");
        let mut table = Table::new(1, &[head, "min", "median", "p95", "max", "runs", "against keepalived"]);
        for &peer in &results.peers {
            let mut row = vec![peer.name().to_owned()];
            row.extend(cells(results.stats(takeovers::NAME, peer, metric)));
            row.push(versus(results, peer, takeovers::NAME, metric));
            table.row(row);
        }
        text += &table.text();
    }
    text
}

pub(super) fn xdp(results: &Results) -> String {
    if results.xdp.is_empty() {
        return String::new();
    }
    let median = |ns: &[f64]| Stats::of(ns).map_or(0.0, |stats| stats.median);
    // The floor is measured before the paths that are compared with it.
    let floor = results.xdp.first().map_or(0.0, |path| median(&path.ns));
    let mut table = Table::new(1, &["", "net", "min", "median", "p95", "max", "batches"]);
    for path in &results.xdp {
        let net = (median(&path.ns) - floor).max(0.0);
        let mut row = vec![path.name.clone(), format!("{net:.0}")];
        row.extend(cells(Stats::of(&path.ns)));
        table.row(row);
    }
    table.text()
}

pub(super) fn stalls(results: &Results) -> String {
    if !results.has(stalls::NAME) {
        return String::new();
    }
    let head = ["", "excess: min", "median", "p95", "max", "stalls", "above 50 ms", "addresses moved"];
    let mut table = Table::new(1, &head);
    for &peer in &results.peers {
        let series = |metric| results.series(stalls::NAME, peer, metric);
        let [excess, _, moved] = stalls::METRICS;
        let long = series(excess).iter().filter(|excess| **excess > 50.0).count();
        let mut row = vec![peer.name().to_owned()];
        row.extend(cells(results.stats(stalls::NAME, peer, excess)));
        row.push(long.to_string());
        row.push(figure_of_count(series(moved).iter().sum()));
        table.row(row);
    }
    table.text()
}
