//! What was measured, as text: the page `docs/benchmarks.md`, of which the tables are printed as well.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::footprint;
use super::many;
use super::peer::Peer;
use super::pictures::{CPU, DOUBLE, GAP, failovers, pictures};
use super::results::{Results, Stats};
use super::scenario::Failover;
use super::steady::Load;
use super::table::{Table, cells, figure, ratio};

/// Writes the page and its pictures into `directory`.
pub(super) fn write(results: &Results, directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let put = |name: &str, text: &str| {
        let file = directory.join(name);
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
    };
    let pictures: Vec<_> =
        pictures(results).into_iter().filter_map(|(name, plot)| Some((name, plot.svg()?))).collect();
    for (name, svg) in &pictures {
        put(name, svg)?;
    }
    put("benchmarks.md", &page(results, |name| pictures.iter().any(|(there, _)| *there == name)))
}

/// The tables alone.
pub(super) fn tables(results: &Results) -> String {
    sections(results, |_| false)
        .into_iter()
        .map(|(title, _, tables)| format!("{title}\n\n{tables}"))
        .collect()
}

fn page(results: &Results, drawn: impl Fn(&str) -> bool) -> String {
    let machine = &results.machine;
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `cargo xtask bench`; do not edit. How to read it is said at each table.\n\n",
    );
    let _ = write!(
        text,
        "- **xvrrp** {}: the tutorial's files ([master](../tests/inputs/two-node/master.conf), \
         [backup](../tests/inputs/two-node/backup.conf)), unmodified.\n\
         - **keepalived**: {} as the distribution ships it, with the same files.\n\
         - **keepalived-tuned**: the same program, tuned to detect a failure as fast as its manual page allows: VRRPv3 \
         with `advert_int 0.01`, `vrrp_rt_priority 50`, `vrrp_no_swap`.\n\n",
        machine.xvrrp, machine.keepalived
    );
    let _ = write!(
        text,
        "Machine: {}, {}, Linux {}, load average before the run {}. {}. Hosts are network namespaces on one bridge, XDP \
         runs in generic mode. Absolute figures of such a machine are noisy; the peers take turns within each run, so \
         that the ratios are fair.\n\n\
         To reproduce (as root, {:.0} minutes):\n\n```\n{}\n```\n\n",
        machine.kind,
        machine.processors,
        machine.kernel,
        machine.load,
        machine.date,
        results.minutes.max(1.0),
        results.command
    );
    for (title, prose, tables) in sections(results, drawn) {
        let _ = write!(text, "## {title}\n\n{prose}{tables}");
    }
    text.trim_end().to_owned() + "\n"
}

/// Title, prose and tables of each section that has something to say.
fn sections(results: &Results, drawn: impl Fn(&str) -> bool) -> Vec<(&'static str, String, String)> {
    let picture =
        |name: &str, what: &str| if drawn(name) { format!("![{what}]({name})\n\n") } else { String::new() };
    let all = [
        (
            "At a glance",
            "The median gap that the client sees, in milliseconds; *(two answer)* where two machines answered for the \
             address at once in at least half of the runs.\n\n"
                .to_owned(),
            glance(results),
        ),
        (
            "What the client sees",
            format!(
                "{}The client pings the virtual address every 250 µs. The gap is the time from sending the first packet \
                 that was lost to the answer of the first that was answered again; of several gaps the longest \
                 counts. Lost pings are those of a 1 ms stream. All times in milliseconds.\n\n\
                 A gap of zero is no praise by itself: a killed or frozen daemon leaves its kernel answering, and then \
                 *two* machines answer; see the next table.\n\n",
                picture(GAP, "Gap of each run on a logarithmic scale")
            ),
            gaps(results),
        ),
        (
            "Who answers for the address",
            format!(
                "{}A witness asks by ARP every millisecond. *Two at once* counts the runs in which two machines answered \
                 the same question, and for how long: it asks until 0.4 s after the takeover (and the thaw), but the machine \
                 of a killed daemon goes on until somebody removes the address. *Thawed*: how long a frozen machine answered when it woke up \
                 again, and how long the client was not answered because of it.\n\n",
                picture(DOUBLE, "Time with two machines answering")
            ),
            answering(results),
        ),
        (
            "Parts of a takeover",
            "Medians in milliseconds. *Sign of life*: the last advert or reply that the backup got. *Address*: the kernel \
             has it. *Announcement*: the first gratuitous ARP is on the wire.\n\n"
                .to_owned(),
            parts(results),
        ),
        (
            "False failovers",
            "Healthy pairs of all peers at the same time. An address change is an addition or a removal of the \
             virtual address anywhere; none is right. Lost pings are those of a 1 ms stream.\n\n"
                .to_owned(),
            steady(results),
        ),
        (
            "Cost of a healthy pair",
            format!(
                "{}Percent of one processor and context switches a second, all processes and threads of the daemon; \
                 memory is the proportional set size. What softirqs do is in nobody's account: see the cost per \
                 packet.\n\n",
                picture(CPU, "Processor time of master and backup")
            ),
            costs(results),
        ),
        (
            "Host death with 255 virtual routers",
            "Times from the silence of the port, in milliseconds; the client asks one address after the other, \
             every 50 µs.\n\n"
                .to_owned(),
            many(results),
        ),
        (
            "Cost per packet in XDP",
            "Nanoseconds a packet, from `BPF_PROG_TEST_RUN`. *Net* is the median without that of a program that does \
             nothing, which is what an ordinary packet pays.\n\n"
                .to_owned(),
            xdp(results),
        ),
        ("Runs that failed", String::new(), failures(results)),
    ];
    all.into_iter().filter(|(_, _, tables)| !tables.is_empty()).collect()
}

/// What keepalived does with the same files, for the ratio.
fn reference(results: &Results, scenario: &str, metric: &str) -> Option<f64> {
    results.stats(scenario, Peer::Keepalived, metric).map(|stats| stats.median)
}

fn versus(results: &Results, peer: Peer, scenario: &str, metric: &str) -> String {
    if peer == Peer::Keepalived {
        return String::new();
    }
    let ours = results.stats(scenario, peer, metric).map(|stats| stats.median);
    ratio(ours, reference(results, scenario, metric))
}

fn glance(results: &Results) -> String {
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
            let double =
                results.stats(name, peer, "two answering ms").is_some_and(|stats| stats.median > 0.0);
            row.push(if double { format!("{gap} (two answer)") } else { gap });
        }
        row.push(versus(results, Peer::Xvrrp, name, "gap ms"));
        table.row(row);
    }
    table.text()
}

fn gaps(results: &Results) -> String {
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

fn answering(results: &Results) -> String {
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

fn parts(results: &Results) -> String {
    let mut table = Table::new(
        2,
        &[
            "",
            "",
            "sign of life → address",
            "gap start (or event) → address",
            "→ announcement",
            "→ answered ping",
        ],
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

fn steady(results: &Results) -> String {
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
    table.text()
}

fn figure_of_count(count: f64) -> String {
    format!("{count:.0}")
}

fn costs(results: &Results) -> String {
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
    if any { table.text() } else { String::new() }
}

fn many(results: &Results) -> String {
    if !results.has(many::NAME) {
        return String::new();
    }
    let mut text = String::new();
    for metric in many::METRICS {
        let head = metric.trim_end_matches(" ms");
        let mut table = Table::new(1, &[head, "min", "median", "p95", "max", "runs", "against keepalived"]);
        for &peer in &results.peers {
            let mut row = vec![peer.name().to_owned()];
            row.extend(cells(results.stats(many::NAME, peer, metric)));
            row.push(versus(results, peer, many::NAME, metric));
            table.row(row);
        }
        text += &table.text();
    }
    text
}

fn xdp(results: &Results) -> String {
    if results.xdp.is_empty() {
        return String::new();
    }
    let median = |ns: &[f64]| Stats::of(ns).map_or(0.0, |stats| stats.median);
    // Each floor is measured before the paths that are compared with it.
    let floor = |once: bool| {
        let name = if once { "no work, one run" } else { "no work:" };
        results.xdp.iter().find(|path| path.name.starts_with(name)).map_or(0.0, |path| median(&path.ns))
    };
    let mut table = Table::new(1, &["", "net", "min", "median", "p95", "max", "batches"]);
    for path in &results.xdp {
        let net = (median(&path.ns) - floor(path.once)).max(0.0);
        let mut row = vec![path.name.clone(), format!("{net:.0}")];
        row.extend(cells(Stats::of(&path.ns)));
        table.row(row);
    }
    table.text()
}

fn failures(results: &Results) -> String {
    let mut text = String::new();
    for failure in &results.failures {
        let first = failure.text.lines().next().unwrap_or_default();
        let _ = writeln!(text, "- {}, {}: {first}", failure.scenario, failure.peer.name());
    }
    text
}
