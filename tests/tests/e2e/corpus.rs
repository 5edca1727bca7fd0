//! The same configuration file under keepalived and under xvrrp, on hosts that look the same: both end in the same
//! states and effective priorities, with the same addresses, routes, rules and macvlans, and send the same adverts,
//! byte for byte.
//!
//! The files are those of the configuration corpus (ha-userspace/tests/config): all that are good to keepalived and
//! read alike by both, and some more. What is known of single files stands in [`NOTES`].

#[path = "corpus/facts.rs"]
mod facts;
#[path = "corpus/place.rs"]
mod place;
#[path = "corpus/sniff.rs"]
mod sniff;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Lab, Moment};

use crate::harness::Test;
use crate::hostile::ms;
use facts::Facts;
use place::{DAEMONS, Place, TWINS};

/// Files that `keepalived -t` complains of, or whose header says nothing, and which people run nevertheless.
const MORE: [&str; 25] = [
    "auth_long.conf",
    "field_two_masters.conf",
    "interval_frac.conf",
    "mixed.conf",
    "nopreempt_master.conf",
    "prio0.conf",
    "prio256.conf",
    "routes.conf",
    "sample_shipped.conf",
    "static_all.conf",
    "strict_auth.conf",
    "sync_twice.conf",
    "sync_weights.conf",
    "template_amphora.conf",
    "template_kolla.conf",
    "template_neutron.conf",
    "template_octavia.conf",
    "template_openshift.conf",
    "track_if_w.conf",
    "tutorial-multi-service-as-published.conf",
    "tutorial-multi-service-corrected.conf",
    "tutorial-two-node-backup-unicast.conf",
    "tutorial-two-node-backup.conf",
    "tutorial-two-node-master-unicast.conf",
    "tutorial-two-node-master.conf",
];

/// Two files on neighbours.
const COUPLES: [[&str; 2]; 6] = [
    ["tutorial-two-node-master.conf", "tutorial-two-node-backup.conf"],
    ["tutorial-two-node-master-unicast.conf", "tutorial-two-node-backup-unicast.conf"],
    // Neither preempts, and both have the same priority: the higher address wins.
    ["template_containers.conf", "template_containers.conf"],
    ["sync_before.conf", "prio_missing.conf"],
    ["vmac_bare.conf", "script_sec.conf"],
    ["prio255.conf", "prio_missing.conf"],
];

/// What has to be known of a file.
enum Note {
    /// It is not run, because.
    Left(&'static str),
    /// Facts that begin with these words differ, because.
    Differs(&'static [&'static str], &'static str),
    /// It takes this long to settle.
    Slow(Duration),
}
use Note::{Differs, Left, Slow};

/// `degraded::addresses_that_the_kernel_refuses` shows it.
const WITHOUT_ADDRESSES: Note = Left(
    "the kernel takes none of its addresses: keepalived is master without them, xvrrp is in FAULT and lets others",
);

const NOTES: &[(&str, Note)] = &[
    ("check_lines.conf", Left("its @xvrrp lines are not for keepalived")),
    ("empty.conf", Left("no instance")),
    ("global_lvs.conf", Left("keepalived 2.2.7 crashes on it where the kernel has no IPVS")),
    (
        "global_strict.conf",
        Differs(
            &["instance VI_1 garp_refresh_rep"],
            "shown as 0 with vrrp_min_garp; nothing is refreshed anyway",
        ),
    ),
    ("global_vrrp.conf", Slow(ms(11_000))),
    ("only_global.conf", Left("no instance")),
    ("random_seed.conf", Left("each daemon draws its own numbers")),
    (
        "same_vip_prefix.conf",
        Differs(
            &["address 172.16.1.25/32", "route -4 local 172.16.1.25"],
            "the address is added with the first of its prefixes, keepalived adds it with both",
        ),
    ),
    (
        "static_all.conf",
        Differs(
            &["address 2001:db8::1/64", "route -4 - 203.0.113.0/24 table 6909"],
            "-nodad has no effect; keepalived raises rtt, rttvar and rto_min to 200 ms",
        ),
    ),
    ("top_netns.conf", Left("its network namespace does not exist")),
    ("track_process_noparam.conf", Left("keepalived cannot watch processes of a PID namespace")),
    ("tutorial-multi-service-as-published.conf", SCRIPT_BEHIND_ITS_USE),
    ("tutorial-multi-service-corrected.conf", SCRIPT_BEHIND_ITS_USE),
    (
        "v6_version2.conf",
        Differs(&["instance VI_1 version", "advert"], "VRRPv2 has no IPv6 (RFC 3768), keepalived sends it"),
    ),
    ("vip_nodad.conf", WITHOUT_ADDRESSES),
    ("vip_opts.conf", WITHOUT_ADDRESSES),
    (
        "vmac_v6.conf",
        Differs(
            &[
                "address fe80::ff:fe00:101/64 dev vrrp6.9",
                "route -6 local fe80::ff:fe00:101 table local dev vrrp6.9",
            ],
            "the macvlan has no link-local address: both routers' would be the same",
        ),
    ),
];

const SCRIPT_BEHIND_ITS_USE: Note = Differs(
    &["instance VI_A effective_priority", "advert eth0 to 224.0.0.18 vrid 50"],
    "keepalived ignores the script, which is defined behind its use",
);

/// Only a very busy machine makes a file with an advert a second take longer.
const SETTLE: Duration = ms(5_000);
const PATIENCE: Duration = ms(8_000);

fn note(file: &str) -> Option<&'static Note> {
    NOTES.iter().find(|(name, _)| *name == file).map(|(_, note)| note)
}

/// Why a fact of a file differs, if that is known.
fn reason(file: &str, fact: &str) -> Option<&'static str> {
    match note(file)? {
        Differs(known, reason) if known.iter().any(|known| fact.starts_with(known)) => Some(reason),
        _ => None,
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ha-userspace/tests/config")
}

/// The files to run alone, in order; none where there is no corpus.
fn files() -> Vec<String> {
    let entries = std::fs::read_dir(directory()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<_> = names.filter(|name| name.ends_with(".conf") && runs(name)).collect();
    files.sort();
    files
}

fn runs(name: &str) -> bool {
    if matches!(note(name), Some(Left(_))) {
        return false;
    }
    let text = std::fs::read(directory().join(name)).unwrap_or_default();
    let header: Vec<_> =
        text.split(|byte| *byte == b'\n').take_while(|line| line.starts_with(b"# ")).collect();
    let says = |words: &str| header.iter().any(|line| line.trim_ascii_end().starts_with(words.as_bytes()));
    MORE.contains(&name) || says("# keepalived: 0") && says("# expect: 0") && !says("# differs: ")
}

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![Test::new("corpus::the_files_are_there", |_| there())];
    for (number, files) in files().chunks(TWINS).enumerate() {
        let files: Vec<String> = files.to_vec();
        let name = format!("corpus::same_outcome_{:02}", number + 1);
        tests.push(
            Test::new(name, move |lab| compare(lab, &files, false)).needs(DAEMONS).on(place::singles).long(),
        );
    }
    let couples: Vec<String> = COUPLES.into_iter().flatten().map(str::to_owned).collect();
    let body = move |lab: &Lab| compare(lab, &couples, true);
    tests
        .push(Test::new("corpus::same_outcome_of_neighbours", body).needs(DAEMONS).on(place::couples).long());
    tests
}

fn there() -> Result<()> {
    let files = files();
    ensure!(files.len() >= 100, "{} files in {}", files.len(), directory().display());
    for name in MORE.iter().chain(COUPLES.iter().flatten()).chain(NOTES.iter().map(|(name, _)| name)) {
        ensure!(directory().join(name).exists(), "{name} does not exist");
    }
    for (name, note) in NOTES {
        if let Left(reason) = note {
            println!("{name:44} not run: {reason}");
        }
    }
    Ok(())
}

/// One file, and the two daemons that run it.
struct Twins<'a> {
    file: &'a str,
    places: [Place<'a>; 2],
    settled: Moment,
}

fn compare(lab: &Lab, files: &[String], couples: bool) -> Result<()> {
    place::wire(lab, files.len(), couples)?;
    let mut own = Facts::new();
    for host in lab.hosts().iter().take(DAEMONS.len() * 2) {
        facts::network(host, &mut own)?;
    }
    let mut all = Vec::new();
    let (first, second): (Vec<_>, Vec<_>) =
        files.iter().enumerate().partition(|(twin, _)| !couples || twin % 2 == 0);
    for (number, (twin, file)) in first.into_iter().chain(second).enumerate() {
        if couples && number * 2 == files.len() {
            // Who is there first is no race.
            std::thread::sleep(ms(1_000));
        }
        let text = std::fs::read(directory().join(file)).with_context(|| file.clone())?;
        let text = String::from_utf8_lossy(&text);
        let [theirs, ours] = DAEMONS.map(|daemon| Place::start(lab, twin, daemon, &text));
        let settle = if let Some(Slow(settle)) = note(file) { *settle } else { SETTLE };
        all.push(Twins { file, places: [theirs?, ours?], settled: Moment::now().plus(settle) });
    }
    // A neighbour that came later has a say in what becomes of the first one.
    if let (true, Some(last)) = (couples, all.last().map(|twins| twins.settled)) {
        all.iter_mut().for_each(|twins| twins.settled = last);
    }
    let (mut table, mut wrong) = (String::new(), Vec::new());
    for twins in &mut all {
        let (theirs, differences) = twins.settle().with_context(|| twins.file.to_owned())?;
        table += &row(twins.file, &theirs, &own);
        for (name, values) in differences {
            match reason(twins.file, &name) {
                Some(reason) => table += &format!("{:44} {name}: {reason}\n", ""),
                None => wrong.push(format!("{}: {name}: {values}", twins.file)),
            }
        }
    }
    print!("{table}");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

impl Twins<'_> {
    /// Waits until both look the same, or as long as anybody would; keepalived's facts, and what differs.
    fn settle(&mut self) -> Result<(Facts, Vec<(String, String)>)> {
        std::thread::sleep(self.settled.since(Moment::now()));
        let end = Moment::now().plus(PATIENCE);
        loop {
            let [theirs, ours] = [self.places[0].look()?, self.places[1].look()?];
            let names = facts::differences(&theirs, &ours);
            if names.iter().all(|name| reason(self.file, name).is_some()) || Moment::now() > end {
                let value =
                    |facts: &Facts, name: &str| facts.get(name).map_or("nothing".to_owned(), Clone::clone);
                let values = |name: &String| {
                    format!("keepalived {}; xvrrp {}", value(&theirs, name), value(&ours, name))
                };
                let differences = names.into_iter().map(|name| (name.clone(), values(&name))).collect();
                return Ok((theirs, differences));
            }
            std::thread::sleep(ms(500));
        }
    }
}

/// A line for a reader: states and effective priorities, and how many addresses, routes and rules are not the host's
/// own.
fn row(file: &str, facts: &Facts, own: &Facts) -> String {
    let instances: BTreeSet<_> =
        facts.keys().filter_map(|key| key.strip_prefix("instance ")?.strip_suffix(" vrid")).collect();
    let of = |name: &str, key: &str| facts.get(&format!("instance {name} {key}")).map_or("-", String::as_str);
    let states: Vec<_> = instances
        .iter()
        .map(|name| format!("{:.20} {} {}", name, of(name, "state"), of(name, "effective_priority")))
        .collect();
    let count =
        |kind: &str| facts.keys().filter(|key| key.starts_with(kind) && !own.contains_key(*key)).count();
    let (addresses, rules) = (count("address "), count("rule "));
    // The kernel's own routes to the addresses are left out.
    let routes =
        facts.iter().filter(|(key, value)| key.starts_with("route ") && value.contains("the daemon's"));
    format!(
        "{file:44} {:50} VIPs {addresses:3} routes {:2} rules {rules}\n",
        states.join(", "),
        routes.count()
    )
}
