//! Two files, a host and what is heard: what is found in them.

use std::net::IpAddr;
use std::time::Duration;

use ha_common::counter::Counter;
use ha_common::types::{Family, Vrid};

use super::host::{Host, Interface};
use super::wire::Heard;
use super::{host, peer, wire};
use crate::config::{LoadOptions, Loaded, Severity, load_str};
use crate::xdp::facts::{DeviceKind, Facts};

fn options() -> LoadOptions {
    LoadOptions { config_id: "host".to_owned(), random_seed: 7, script_check: None, interface_check: None }
}

/// A router, with lines of the instance replaced and added.
fn router(priority: u8, lines: &str) -> String {
    let mut text = format!("priority {priority}\n{lines}\n");
    for (keyword, default) in [
        ("virtual_router_id", "virtual_router_id 9"),
        ("virtual_ipaddress ", "virtual_ipaddress {\n172.16.1.25\n172.16.1.26\n}"),
        ("authentication", "authentication {\nauth_type PASS\nauth_pass 1111\n}"),
    ] {
        // VRRPv3 has no authentication.
        let unfit = keyword == "authentication" && lines.contains("version 3");
        if !lines.contains(keyword) && !unfit {
            text.push_str(default);
            text.push('\n');
        }
    }
    format!("vrrp_instance VI_1 {{\ninterface eth0\n{text}}}\n")
}

fn load(name: &str, text: &str) -> Loaded {
    load_str(name, text.as_bytes(), &options())
}

/// `severity code file: message`, one each.
fn found(loaded: &Loaded) -> Vec<String> {
    let diags = &loaded.diagnostics;
    diags
        .iter()
        .map(|finding| {
            let place = diags.sources.place(finding.span);
            let file = place.file.display().to_string();
            format!("{} {} {file}: {}", finding.severity.name(), finding.code, finding.message)
        })
        .collect()
}

fn compared(own: &str, other: &str) -> Loaded {
    let mut loaded = load("a.conf", own);
    peer::compare(&mut loaded, load("b.conf", other));
    loaded
}

fn differences(own: &str, other: &str) -> Vec<String> {
    found(&compared(own, other))
}

/// The only finding has this severity and code, and its message holds these words.
fn only(found: &[String], start: &str, words: &str) {
    let [one] = found else { panic!("not one finding: {found:#?}") };
    assert!(one.starts_with(start) && one.contains(words), "{one}");
}

#[test]
fn two_files_that_fit_are_not_talked_about() {
    assert_eq!(differences(&router(101, ""), &router(99, "")), [] as [&str; 0]);
    // Other names and interfaces, another way to write the same.
    let other = router(99, "advert_int 1").replace("VI_1", "inside").replace("eth0", "enp1s0");
    assert_eq!(differences(&router(101, ""), &other), [] as [&str; 0]);
    let here = "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}";
    let there = "unicast_src_ip 10.0.0.2\nunicast_peer {\n10.0.0.1\n10.0.0.3\n}";
    assert_eq!(differences(&router(101, here), &router(99, there)), [] as [&str; 0]);
}

#[test]
fn what_makes_two_masters_is_an_error() {
    let plain = router(101, "");
    let cases = [
        ("authentication {\nauth_type PASS\nauth_pass 2222\n}", "XV0904", "another auth_pass"),
        ("authentication {\n}", "XV0904", "does not authenticate there"),
        ("advert_int 3", "XV0905", "every 1000 ms here and every 3000 ms there"),
        ("virtual_router_id 10", "XV0902", "VRID 9 here and 10 there"),
        ("unicast_peer {\n10.0.0.1\n}", "XV0908", "multicast here and unicast there"),
    ];
    for (lines, code, words) in cases {
        let loaded = compared(&plain, &router(99, lines));
        let found = found(&loaded);
        let hit = found.iter().find(|one| one.contains(code)).unwrap_or_else(|| panic!("{code}: {found:#?}"));
        assert!(hit.starts_with(&format!("error {code} a.conf")) && hit.contains(words), "{hit}");
        assert_eq!(loaded.diagnostics.worst(), Some(Severity::Error));
        // A password is nobody's business.
        assert!(!loaded.diagnostics.render(false).contains("2222"), "{lines}");
    }
    let found = differences(&plain, &router(99, "version 3"));
    assert!(found.iter().any(|one| one.starts_with("error XV0903 a.conf")), "{found:#?}");
}

#[test]
fn two_auth_hmac_understand_each_other_or_not() {
    let keys = |lines: &str| {
        let one = format!("key 1 {}", "a".repeat(32));
        let two = format!("key 2 {}", "b".repeat(32));
        let lines = lines.replace("ONE", &one).replace("TWO", &two);
        format!("version 3\nauth_hmac {{\n{lines}\n}}")
    };
    let (old, both, new) = ("ONE\nactive_key 1", "ONE\nTWO\nactive_key 1", "ONE\nTWO\nactive_key 2");
    let receives = "ONE\nactive_key 1\nmode receive-only";
    let permits = "ONE\nactive_key 1\nmode permissive";
    let cases = [
        (old, old, ""),
        (old, both, "note"),
        (both, new, "note"),
        (old, new, "error"),
        (new, old, "error"),
        (old, receives, "error"),
        (receives, permits, "note"),
        (permits, old, "note"),
        (receives, "", "note"),
        (permits, "", "error"),
        ("", old, "error"),
    ];
    for (here, there, severity) in cases {
        let text = |priority, lines: &str| {
            router(priority, &if lines.is_empty() { "version 3".to_owned() } else { keys(lines) })
        };
        let loaded = compared(&text(101, here), &text(99, there));
        let found: Vec<_> = found(&loaded).into_iter().filter(|one| one.contains("XV0904")).collect();
        match found.as_slice() {
            [] => assert!(severity.is_empty(), "{here} | {there}"),
            [one] => assert!(!severity.is_empty() && one.starts_with(severity), "{here} | {there}: {one}"),
            more => panic!("{more:?}"),
        }
        assert!(!loaded.diagnostics.render(false).contains("aaaa"), "a key is shown");
    }
}

#[test]
fn peers_must_name_each_other() {
    let here = router(101, "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}");
    // Copied, and only half adapted.
    let there = router(99, "unicast_src_ip 10.0.0.2\nunicast_peer {\n10.0.0.2\n}");
    let found = differences(&here, &there);
    only(&found, "error XV0908 a.conf", "does not send to 10.0.0.1, the unicast_src_ip of this one");
    let found = differences(&here, &here.replace("101", "99"));
    assert!(found.iter().any(|one| one.contains("sends from 10.0.0.1 here and there")), "{found:#?}");
}

#[test]
fn lists_of_addresses_are_compared() {
    let plain = router(101, "");
    let less = router(99, "virtual_ipaddress {\n172.16.1.25\n}");
    only(&differences(&plain, &less), "warning XV0906 a.conf", "172.16.1.26 only here (virtual_ipaddress)");
    let order = router(99, "virtual_ipaddress {\n172.16.1.26\n172.16.1.25\n}");
    only(&differences(&plain, &order), "note XV0906 a.conf", "in another order");
    let more = router(99, "virtual_ipaddress_excluded {\n10.0.0.1\n}");
    only(
        &differences(&plain, &more),
        "warning XV0906 a.conf",
        "10.0.0.1 only there (virtual_ipaddress_excluded)",
    );
}

#[test]
fn instances_without_a_partner_are_told_on_both_sides() {
    let two = router(101, "")
        + &router(101, "virtual_router_id 77\nvirtual_ipaddress {\n10.0.0.1\n}").replace("VI_1", "VI_2");
    only(&differences(&two, &router(99, "")), "warning XV0901 a.conf", "b.conf has no instance with VRID 77");
    only(
        &differences(&router(99, ""), &two),
        "warning XV0901 b.conf",
        "only b.conf has an instance with VRID 77",
    );
}

#[test]
fn equal_priorities_and_a_file_that_cannot_run() {
    only(&differences(&router(100, ""), &router(100, "")), "warning XV0907 a.conf", "priority 100 on both");
    let found = differences(&router(100, ""), "vrrp_instance VI_1 {\npriority\n}\n");
    only(&found, "error XV0912 b.conf", "b.conf cannot run: ");
}

#[test]
fn weights_are_judged_with_the_numbers_of_both() {
    let script = |weight: &str| format!("vrrp_script chk {{\nscript \"/bin/true\"\nweight {weight}\n}}\n");
    let tracked = |priority, weight: &str| script(weight) + &router(priority, "track_script {\nchk\n}");
    let secure = |text: String| format!("global_defs {{\nenable_script_security\n}}\n{text}");
    // 101 + 2 against 99 + 2: the failure makes it 101 against 101, and the master stays.
    let found = differences(&secure(tracked(101, "2")), &secure(tracked(99, "2")));
    only(&found, "warning XV0911 a.conf", "script `chk` with weight 2 does not change the master");
    let loaded = compared(&secure(tracked(101, "2")), &secure(tracked(99, "2")));
    let text = loaded.diagnostics.render(false);
    assert!(
        text.contains("103 while it succeeds and 101 while it fails; the other router has 101"),
        "{text}"
    );
    assert!(text.contains("at least 3 or at most -3"), "{text}");
    // One more is enough, and then the general remark is not made either.
    assert_eq!(differences(&secure(tracked(101, "3")), &secure(tracked(99, "3"))), [] as [&str; 0]);
    assert_eq!(differences(&secure(tracked(101, "-3")), &secure(tracked(99, "-3"))), [] as [&str; 0]);
    // The other router is the master: its line is the one to change.
    let found = differences(&secure(tracked(99, "2")), &secure(tracked(101, "2")));
    assert!(found.iter().any(|one| one.starts_with("warning XV0911 b.conf")), "{found:#?}");
}

fn host_with(addresses: &[(&str, u8)]) -> Host {
    let addresses =
        addresses.iter().map(|(text, prefix)| (text.parse().expect("an address"), *prefix)).collect();
    Host {
        interfaces: vec![Interface { name: "eth0".to_owned(), up: true, addresses, facts: None }],
        resolution: Some(Duration::from_nanos(1)),
        no_realtime: None,
        processors: 2,
        firewall: None,
    }
}

fn on(host: &Host, text: &str) -> Vec<String> {
    let mut loaded = load("a.conf", text);
    host::check(&mut loaded, host);
    let found = found(&loaded);
    assert_eq!(loaded.diagnostics.worst().unwrap_or(Severity::Note), Severity::Note, "{found:#?}");
    found
}

#[test]
fn a_host_that_fits_is_not_talked_about() {
    let plain = router(100, "");
    assert_eq!(on(&host_with(&[("172.16.1.1", 24)]), &plain), [] as [&str; 0]);
    // Another address of the interface has the network.
    assert_eq!(on(&host_with(&[("10.0.0.1", 8), ("172.16.1.1", 24)]), &plain), [] as [&str; 0]);
    // An interface that is not there is the parser's finding; addresses that are put elsewhere are nobody's.
    assert_eq!(on(&host_with(&[("10.0.0.1", 8)]), &plain.replace("eth0", "eth1")), [] as [&str; 0]);
    for vip in ["10.9.9.9/24", "10.9.9.9 dev lo", "169.254.1.1", "127.0.0.2"] {
        let text = router(100, &format!("virtual_ipaddress {{\n{vip}\n}}"));
        assert_eq!(on(&host_with(&[("172.16.1.1", 24)]), &text), [] as [&str; 0], "{vip}");
    }
}

#[test]
fn addresses_out_of_place_are_noted() {
    let found = on(&host_with(&[("172.16.2.1", 24)]), &router(100, "virtual_ipaddress {\n172.16.1.25\n}"));
    only(&found, "note XV0801 a.conf", "172.16.1.25 lies in no network of interface `eth0`");
    // Once for an interface, however many there are.
    let found = on(&host_with(&[("172.16.2.1", 24)]), &router(100, ""));
    only(
        &found,
        "note XV0801 a.conf",
        "172.16.1.25 lies in no network of interface `eth0` (nor do 1 others)",
    );
    only(&on(&host_with(&[]), &router(100, "")), "note XV0804 a.conf", "no IPv4 address");
    // The virtual address itself is none to send from.
    let own = on(&host_with(&[("172.16.1.25", 32)]), &router(100, ""));
    assert!(own.iter().any(|one| one.contains("XV0804")), "{own:#?}");
    let copied = "unicast_src_ip 172.16.1.2\nunicast_peer {\n172.16.1.1\n}";
    let found = on(&host_with(&[("172.16.1.1", 24)]), &router(100, copied));
    assert!(
        found.iter().any(|one| one.contains("XV0805") && one.contains("172.16.1.2 is not")),
        "{found:#?}"
    );
    assert!(found.iter().any(|one| one.contains("XV0807") && one.contains("172.16.1.1 is an")), "{found:#?}");
    let mut down = host_with(&[("172.16.1.1", 24)]);
    down.interfaces[0].up = false;
    only(&on(&down, &router(100, "")), "note XV0806 a.conf", "is down");
}

#[test]
fn a_virtual_address_that_is_always_there_is_noted() {
    let host = host_with(&[("172.16.1.1", 24), ("172.16.1.25", 24)]);
    let found = on(&host, &router(100, "virtual_ipaddress {\n172.16.1.25\n}"));
    only(&found, "note XV0808 a.conf", "172.16.1.25 is an ordinary address of interface `eth0` already");
    let both = host_with(&[("172.16.1.1", 24), ("172.16.1.25", 24), ("172.16.1.26", 32)]);
    only(&on(&both, &router(100, "")), "note XV0808 a.conf", "already (and so are 1 others)");
    let excluded = "virtual_ipaddress_excluded {\n172.16.1.1/24\n}";
    only(
        &on(&host_with(&[("172.16.1.1", 24)]), &router(100, excluded)),
        "note XV0808",
        "172.16.1.1 is an ordinary",
    );
    // The owner's, and one that is put elsewhere.
    only(&on(&host, &router(255, "")), "note XV0513 a.conf", "priority 255");
    let elsewhere = router(100, "virtual_ipaddress {\n172.16.1.25/32 dev lo\n}");
    assert_eq!(on(&host, &elsewhere), [] as [&str; 0]);
}

#[test]
fn xdp_that_could_be_better_is_noted_once_for_an_interface() {
    let mut host = host_with(&[("172.16.1.1", 24)]);
    let mut facts = Facts::of("lo").expect("lo is there");
    // Without hardware there is nothing to change.
    host.interfaces[0].facts = Some(facts.clone());
    assert_eq!(on(&host, &router(100, "")), [] as [&str; 0]);
    (facts.kind, facts.driver, facts.features) = (DeviceKind::Physical, "vmxnet3".to_owned(), None);
    facts.mtu = 9000;
    host.interfaces[0].facts = Some(facts);
    let second =
        router(100, "virtual_router_id 10\nvirtual_ipaddress {\n172.16.1.27\n}").replace("VI_1", "VI_2");
    let twice = format!("{}{second}", router(100, ""));
    only(&on(&host, &twice), "note XV0809 a.conf", "interface `eth0` gets generic XDP");
    // A mode that is named is not doubted.
    assert_eq!(on(&host, &router(100, "xdp_mode generic")), [] as [&str; 0]);
}

#[test]
fn timers_that_a_host_cannot_hold_are_noted() {
    let fast = router(100, "version 3\nadvert_int 0.01");
    let fits = host_with(&[("172.16.1.1", 24)]);
    assert_eq!(on(&fits, &fast), [] as [&str; 0]);
    let coarse = Host { resolution: Some(Duration::from_millis(4)), ..fits.clone() };
    only(&on(&coarse, &fast), "note XV0802 a.conf", "more than this host's timers can do");
    assert_eq!(on(&coarse, &router(100, "")), [] as [&str; 0]);
    let modest = Host { no_realtime: Some("run as root".to_owned()), ..fits.clone() };
    only(&on(&modest, &fast), "note XV0803 a.conf", "an advert every 10ms needs real-time scheduling");
    assert_eq!(on(&modest, &router(100, "")), [] as [&str; 0]);
    // Hundreds of instances at 10 ms: 25,500 adverts a second are too many for one processor.
    let many: String = (1..=255)
        .map(|id| {
            fast.replace("VI_1", &format!("VI_{id}"))
                .replace("virtual_router_id 9", &format!("virtual_router_id {id}"))
                .replace("172.16.1.", &format!("172.16.{id}."))
        })
        .collect();
    let one = Host { processors: 1, ..host_with(&[("172.16.1.1", 16)]) };
    only(&on(&one, &many), "note XV0802 a.conf", "255 instances send 25500 adverts a second");
}

fn heard(source: &str, priority: u8, addresses: &[&str]) -> Heard {
    Heard {
        interface: "eth0".to_owned(),
        family: Family::V4,
        source: source.parse().expect("an address"),
        vrid: Vrid::new(9).expect("not zero"),
        version: 2,
        priority,
        addresses: addresses.iter().map(|text| text.parse::<IpAddr>().expect("an address")).collect(),
        rejected: None,
        count: 5,
    }
}

fn listening(heard: &[Heard]) -> Vec<String> {
    let mut loaded = load("a.conf", &router(100, ""));
    wire::check(&mut loaded, heard, 5.0);
    found(&loaded)
}

#[test]
fn who_is_heard_is_explained() {
    let vips = ["172.16.1.25", "172.16.1.26"];
    only(&listening(&[]), "note XV1005 a.conf", "nobody was heard for `VI_1` in 5.0 s");
    only(
        &listening(&[heard("172.16.1.2", 150, &vips)]),
        "note XV1004",
        "172.16.1.2 sends VRID 9 on eth0 with priority 150",
    );
    only(&listening(&[heard("172.16.1.2", 100, &vips)]), "warning XV1003", "as `VI_1` has");
    only(
        &listening(&[heard("172.16.1.9", 100, &["172.16.1.99"])]),
        "warning XV1001",
        "another service uses this VRID",
    );
    let carp = Heard { rejected: Some(Counter::Carp), ..heard("172.16.1.9", 0, &[]) };
    only(&listening(&[carp]), "warning XV1001", "another service uses this VRID");
    let password = Heard { rejected: Some(Counter::AuthFailure), ..heard("172.16.1.2", 150, &vips) };
    only(&listening(&[password]), "warning XV1002", "would drop it: auth failure");
    // Somebody else's business.
    let other = Heard { vrid: Vrid::new(8).expect("not zero"), ..heard("172.16.1.2", 150, &vips) };
    only(&listening(&[other]), "note XV1005", "nobody was heard");
}

#[test]
fn a_firewall_that_drops_adverts_is_named() {
    use crate::doctor::netfilter::{Action, Chain, Hook, Rule, Ruleset, Test, Words};
    let chain = |hook, tests: Vec<Test>| {
        let rule = Rule { tests, action: Action::Drop, name: "handle 7".to_owned() };
        Chain {
            table: "inet filter".to_owned(),
            family: "inet".to_owned(),
            name: "vrrp".to_owned(),
            hook: Some(hook),
            rules: vec![rule],
            ..Chain::default()
        }
    };
    let protocol = || Test::Protocol(Words { known: vec!["vrrp".to_owned()], others: false });
    let host = |chain| Host { firewall: Some(Ruleset(vec![chain])), ..host_with(&[("172.16.1.1", 24)]) };
    let stranger = Test::Unknown;
    let config = router(100, "");
    let named = router(100, "check_source {\n172.16.1.2\n}");
    let dropped = host(chain(Hook::Input, vec![protocol()]));
    only(
        &on(&dropped, &config),
        "note XV0810 a.conf",
        "inet filter vrrp (handle 7) drops adverts that come in through `eth0`",
    );
    let some = host(chain(Hook::Input, vec![protocol(), stranger]));
    only(&on(&some, &config), "note XV0810 a.conf", "may drop adverts that come in");
    assert_eq!(on(&some, &named), [] as [&str; 0]);
    let out = host(chain(Hook::Output, vec![protocol()]));
    only(&on(&out, &config), "note XV0810 a.conf", "drops the adverts of `VI_1`");
    let other = Test::Protocol(Words { known: vec!["tcp".to_owned()], others: false });
    assert_eq!(on(&host(chain(Hook::Input, vec![other])), &config), [] as [&str; 0]);
}
