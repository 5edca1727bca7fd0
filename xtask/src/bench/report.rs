//! What was measured, as text: the page `docs/benchmarks.md`, of which the tables are printed as well.

mod healthy;
mod outages;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::peer::Peer;
use super::pictures::{CPU, DOUBLE, GAP, pictures};
use super::results::Results;
use super::table::ratio;

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
         with `advert_int 0.01`, `vrrp_rt_priority 50`, `vrrp_no_swap`.\n",
        machine.xvrrp, machine.keepalived
    );
    if results.peers.contains(&Peer::XvrrpTc) {
        text += "- **xvrrp-tc**: xvrrp where another XDP program has the interface of both routers, so that it reads through \
                 traffic control.\n";
    }
    for (peer, line) in results.peers.iter().filter_map(|peer| Some((peer, peer.line()?))) {
        let _ = writeln!(text, "- **{}**: xvrrp with `{line}` added to both files.", peer.name());
    }
    text.push('\n');
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
            outages::glance(results),
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
            outages::gaps(results),
        ),
        (
            "Who answers for the address",
            format!(
                "{}A witness asks by ARP every millisecond. *Two at once* counts the runs in which two machines answered \
                 the same question, and for how long: it asks until 0.3 s after the takeover (and the thaw), but the machine \
                 of a killed daemon goes on until somebody removes the address. *Thawed*: how long a frozen machine answered when it woke up \
                 again, and how long the client was not answered because of it.\n\n",
                picture(DOUBLE, "Time with two machines answering")
            ),
            outages::answering(results),
        ),
        (
            "Parts of a takeover",
            "Medians in milliseconds. *Advert*: the last one that the backup got, for which xvrrp does not wait. *Address*: \
             the kernel has it. *Announcement*: the first gratuitous ARP is on the wire.\n\n"
                .to_owned(),
            outages::parts(results),
        ),
        (
            "Host death while the machine is busy",
            "The gap that the client sees, in milliseconds. All hosts share the two processors, so what keeps those busy \
             starves both routers; *until then* ends when the master dies. Namespaces that come and go, each with a veth \
             pair, hold the lock that an address waits for, as they do on a container host.\n\n"
                .to_owned(),
            outages::busy(results),
        ),
        (
            "Stalls",
            "The master's port stands still for 1 ms to 1 s (of each order of magnitude the same number), at any time of its \
             interval, one way or both ways, and the client pings every millisecond. *Excess* is the longest gap less the \
             stall, in milliseconds; an address is moved where a router takes it. Each backup is started anew before \
             each stall, so that none remembers a wrong verdict. The peers suffer the same stalls at the same time.\n\n"
                .to_owned(),
            healthy::stalls(results),
        ),
        (
            "False failovers",
            "Healthy pairs of all peers at the same time. An address change is an addition or a removal of the \
             virtual address anywhere; none is right. Lost pings are those of a 1 ms stream. The second table is \
             what the backup says of its probes: how long after their time they went out, and how often it came so \
             late that it dropped its evidence.\n\n"
                .to_owned(),
            healthy::steady(results),
        ),
        (
            "Cost of a healthy pair",
            format!(
                "{}Percent of one processor and context switches a second, all processes and threads of the daemon; \
                 memory is the proportional set size. What softirqs do is in nobody's account: see the cost per \
                 packet.\n\n",
                picture(CPU, "Processor time of master and backup")
            ),
            healthy::costs(results),
        ),
        (
            "Host death with 255 virtual routers",
            "Times from the silence of the port, in milliseconds. The client asks all addresses at once, again and again \
             those that have not answered; *asked again* is the longest time between two questions to one address, and \
             an answer is known that well. *There*: the kernel has the address.\n\n"
                .to_owned(),
            healthy::many(results),
        ),
        (
            "Cost per packet in XDP",
            "Nanoseconds a packet, from `BPF_PROG_TEST_RUN`. *Net* is the median without that of a program that does \
             nothing, which is what an ordinary packet pays.\n\n"
                .to_owned(),
            healthy::xdp(results),
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

fn failures(results: &Results) -> String {
    let mut text = String::new();
    for failure in &results.failures {
        let first = failure.text.lines().next().unwrap_or_default();
        let _ = writeln!(text, "- {}, {}: {first}", failure.scenario, failure.peer.name());
    }
    text
}
