//! `no_accept` in nftables: packets for virtual addresses that this host would take for itself are dropped.
//!
//! The rules concern local delivery only, so they may stand while the addresses are elsewhere: they are loaded at start
//! and at a reload, and a takeover has nothing to do with them. Where XDP is attached it drops the same packets earlier,
//! but only those that come in through that interface.
//!
//! `nft` is called rather than a library: the libraries that speak nftables' netlink are either bound to C libraries or
//! under the GPL, and `nft -f -` replaces a whole table at once. A thread of its own does that, because nothing may
//! wait for a program on the main loop.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;

use crate::worker::Worker;

/// What is to be dropped, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the table, in the family `inet`.
    pub table: String,
    /// Priority of the chains.
    pub priority: i32,
    /// Rules have counters.
    pub counters: bool,
    /// Addresses with the interface that they are on; link-local ones are refused there only.
    pub addresses: Vec<(String, IpAddr)>,
}

impl Refusal {
    /// The table in nft(8)'s language; it replaces the one that is there.
    #[must_use]
    pub fn ruleset(&self) -> String {
        let Self { table, priority, counters, addresses } = self;
        let counter = if *counters { "counter " } else { "" };
        let (mut v4, mut v6, mut local) = (Vec::new(), Vec::new(), Vec::new());
        for (interface, address) in addresses {
            match address {
                IpAddr::V4(address) => v4.push(address.to_string()),
                IpAddr::V6(address) if address.is_unicast_link_local() => {
                    local.push(format!("\"{interface}\" . {address}"));
                }
                IpAddr::V6(address) => v6.push(address.to_string()),
            }
        }
        let mut text = remove(table);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "table inet {table} {{");
        for (name, kind, list) in [
            ("vips", "ipv4_addr", &v4),
            ("vips6", "ipv6_addr", &v6),
            ("local6", "ifname . ipv6_addr", &local),
        ] {
            let elements =
                if list.is_empty() { String::new() } else { format!("elements = {{ {} }}", list.join(", ")) };
            let _ = write!(text, "  set {name} {{ type {kind}; {elements}\n  }}\n");
        }
        for (chain, hook, side, end) in
            [("in", "input", "iifname", "daddr"), ("out", "output", "oifname", "saddr")]
        {
            let _ = write!(
                text,
                "  chain {chain} {{\n    type filter hook {hook} priority {priority}; policy accept;\n    \
                 icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept\n    \
                 ip {end} @vips {counter}drop\n    ip6 {end} @vips6 {counter}drop\n    \
                 {side} . ip6 {end} @local6 {counter}drop\n  }}\n"
            );
        }
        text + "}\n"
    }
}

/// Commands that remove a table whether or not it is there.
fn remove(table: &str) -> String {
    format!("table inet {table}\ndelete table inet {table}\n")
}

/// The thread that calls `nft`.
#[derive(Debug)]
pub struct Firewall {
    /// Once there is something to do.
    worker: Option<Worker<Job>>,
    loaded: Refusal,
    /// Says which table is loaded, for the run after a killed one.
    file: PathBuf,
}

#[derive(Debug)]
struct Job {
    ruleset: String,
    /// What it means if that fails.
    consequence: &'static str,
}

impl Firewall {
    /// Nothing is loaded, except what a killed run has left according to `file`.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        let left = std::fs::read_to_string(&file).ok();
        // nft's own rule for names, so that nothing else gets into its language.
        let name = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        };
        let table = left.map(|text| text.trim().to_owned()).filter(|text| name(text)).unwrap_or_default();
        Self { worker: None, loaded: Refusal { table, ..Refusal::default() }, file }
    }

    /// Loads a table, or removes what is loaded where there is nothing to refuse. Returns at once.
    pub fn apply(&mut self, wanted: Refusal) {
        if wanted == self.loaded || (wanted.addresses.is_empty() && self.loaded.table.is_empty()) {
            return;
        }
        let mut ruleset = String::new();
        if !self.loaded.table.is_empty() && self.loaded.table != wanted.table {
            ruleset += &remove(&self.loaded.table);
        }
        if wanted.addresses.is_empty() {
            if self.loaded.table == wanted.table {
                ruleset += &remove(&wanted.table);
            }
            let _ = std::fs::remove_file(&self.file);
            self.send(ruleset, "packets for addresses with no_accept stay dropped");
            self.loaded = Refusal::default();
        } else {
            if let Err(error) = std::fs::write(&self.file, &wanted.table) {
                tracing::warn!("{}: {error}; the rules stay if the daemon is killed", self.file.display());
            }
            ruleset += &wanted.ruleset();
            self.send(ruleset, "no_accept: packets that do not come in through XDP are accepted");
            self.loaded = wanted;
        }
    }

    /// Removes what is loaded and waits until that is done.
    pub fn stop(mut self) {
        self.apply(Refusal::default());
        if let Some(mut worker) = self.worker {
            worker.finish();
        }
    }

    fn send(&mut self, ruleset: String, consequence: &'static str) {
        if self.worker.is_none() {
            let started = Worker::start("xvrrp-firewall", |jobs: Receiver<Job>| {
                crate::realtime::prefer_this_thread();
                jobs.iter().for_each(|job| run(&job));
            });
            match started {
                Ok(worker) => self.worker = Some(worker),
                Err(error) => tracing::error!("{consequence}: no thread: {error}"),
            }
        }
        if let Some(worker) = &self.worker {
            worker.tell(Job { ruleset, consequence });
        }
    }
}

fn run(job: &Job) {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let result = command.spawn().and_then(|mut child| {
        if let Some(mut input) = child.stdin.take() {
            input.write_all(job.ruleset.as_bytes())?;
        }
        child.wait_with_output()
    });
    match result {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or_default();
            tracing::error!("{}: nft: {}: {said}", job.consequence, output.status);
        }
        Err(error) => tracing::error!("{}: nft: {error}; install nftables", job.consequence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_address_is_in_its_set() {
        let address = |text: &str| ("vrrp.1".to_owned(), text.parse().expect("an address"));
        let refusal = Refusal {
            table: "keepalived".to_owned(),
            priority: -1,
            counters: true,
            addresses: vec![address("10.0.0.1"), address("fd00::1"), address("fe80::1")],
        };
        let text = refusal.ruleset();
        for part in [
            "set vips { type ipv4_addr; elements = { 10.0.0.1 }",
            "set vips6 { type ipv6_addr; elements = { fd00::1 }",
            "elements = { \"vrrp.1\" . fe80::1 }",
            "ip daddr @vips counter drop",
            "priority -1",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
