//! Tables of the failovers.

use std::fmt::Write as _;

use super::versus;
use crate::bench::busy::Busy;
use crate::bench::peer::Peer;
use crate::bench::pictures::{double, failovers};
use crate::bench::results::{Results, Stats};
use crate::bench::scenario::Failover;
use crate::bench::table::{Table, cells, figure};

pub(super) fn glance(results: &Results) -> String {
    let failovers = failovers(results);
    if failovers.is_empty() {
        return String::new();
    }
    let mut head = vec![""];
    head.extend(results.peers.iter().map(|peer| peer.name()));
    head.push("xvrrp against keepalived");
    let mut table = Table::new(1, &head);
    for failover in failovers {
        let name = failover.name();
        let mut row = vec![failover.title().to_owned()];
        for &peer in &results.peers {
            let gap =
                results.stats(name, peer, "gap ms").map_or("–".to_owned(), |stats| figure(stats.median));
            let double = double(results, name, peer).map(|time| format!(" (two answer{time})"));
            row.push(gap + &double.unwrap_or_default());
        }
        row.push(versus(results, Peer::Xvrrp, name, "gap ms"));
        table.row(row);
    }
    table.text()
}

pub(super) fn gaps(results: &Results) -> String {
    let mut text = String::new();
    for failover in failovers(results) {
        let name = failover.name();
        let head = format!("{}, gap in ms", failover.title());
        let mut table = Table::new(
            1,
            &[
                &head,
                "min",
                "median",
                "p95",
                "max",
                "runs",
                "against keepalived",
                "lost pings, median",
                "max",
            ],
        );
        for &peer in &results.peers {
            let lost = results.stats(name, peer, "lost pings");
            let [min, median, p95, max, runs] = cells(results.stats(name, peer, "gap ms"));
            let failed = results.failed(name, peer);
            let runs = if failed > 0 { format!("{runs} + {failed} failed") } else { runs };
            let of_lost = |pick: fn(Stats) -> f64| lost.map_or("–".to_owned(), |stats| figure(pick(stats)));
            table.row([
                peer.name().to_owned(),
                min,
                median,
                p95,
                max,
                runs,
                versus(results, peer, name, "gap ms"),
                of_lost(|stats| stats.median),
                of_lost(|stats| stats.max),
            ]);
        }
        text += &table.text();
    }
    text
}

/// Host death beside other work: a table for each kind of work.
pub(super) fn busy(results: &Results) -> String {
    let mut text = String::new();
    for work in Busy::ALL.into_iter().filter(|work| results.has(work.name())) {
        let name = work.name();
        let head = ["min", "median", "p95", "max", "runs", "against keepalived", "lost pings, median"];
        let mut table = Table::new(1, &[&[work.title()][..], &head].concat());
        for &peer in &results.peers {
            let mut row = vec![peer.name().to_owned()];
            row.extend(cells(results.stats(name, peer, "gap ms")));
            row.push(versus(results, peer, name, "gap ms"));
            row.push(results.stats(name, peer, "lost pings").map_or("–".to_owned(), |s| figure(s.median)));
            table.row(row);
        }
        text += &table.text();
    }
    text
}

pub(super) fn answering(results: &Results) -> String {
    let failovers = failovers(results);
    if failovers.is_empty() {
        return String::new();
    }
    let mut table = Table::new(
        2,
        &["", "", "two at once", "median ms", "max ms", "thawed: answers, max ms", "gap, max ms"],
    );
    for failover in failovers {
        for &peer in &results.peers {
            let name = failover.name();
            let most = results.series(name, peer, "machines answering");
            let two = most.iter().filter(|most| **most > 1.0).count();
            let double = results.stats(name, peer, "two answering ms");
            let cell = |stats: Option<Stats>, pick: fn(Stats) -> f64| {
                stats.map_or(String::new(), |s| figure(pick(s)))
            };
            table.row([
                failover.title().to_owned(),
                peer.name().to_owned(),
                format!("{two} of {} runs", most.len()),
                cell(double, |stats| stats.median),
                cell(double, |stats| stats.max),
                cell(results.stats(name, peer, "thawed answers ms"), |stats| stats.max),
                cell(results.stats(name, peer, "gap after thaw ms"), |stats| stats.max),
            ]);
        }
    }
    let mut text = table.text();
    let restart = Failover::Restart.name();
    let takeovers = |&peer: &Peer| {
        let over = results.series(restart, peer, "peer took over");
        let took = over.iter().filter(|took| **took > 0.0).count();
        (!over.is_empty()).then(|| format!("{} {took} of {}", peer.name(), over.len()))
    };
    let takeovers: Vec<_> = results.peers.iter().filter_map(takeovers).collect();
    if !takeovers.is_empty() {
        let _ = write!(text, "Restarts in which the other router took over: {}.\n\n", takeovers.join(", "));
    }
    text
}

pub(super) fn parts(results: &Results) -> String {
    let mut table = Table::new(
        2,
        &["", "", "advert → address", "gap start (or event) → address", "→ announcement", "→ answered ping"],
    );
    let mut any = false;
    for failover in failovers(results) {
        for &peer in &results.peers {
            let median =
                |metric: &str| results.stats(failover.name(), peer, metric).map(|stats| stats.median);
            let Some(address) = median("gap start to address ms") else { continue };
            any = true;
            let cell = |metric| median(metric).map_or(String::new(), figure);
            table.row([
                failover.title().to_owned(),
                peer.name().to_owned(),
                cell("last sign to address ms"),
                figure(address),
                cell("address to announcement ms"),
                cell("announcement to answer ms"),
            ]);
        }
    }
    if any { table.text() } else { String::new() }
}
