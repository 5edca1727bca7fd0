//! Routes and rules against the kernel of this machine.

use std::time::Instant;

use ha_userspace::config::model::{Config, Route, Rule};
use ha_userspace::config::{LoadOptions, load_str};
use ha_userspace::net::routing::{Entry, RouteOutcome, Routing, Watch};

mod net_lab;
use net_lab::{Namespace, best};

fn main() -> std::process::ExitCode {
    net_lab::main(
        tests![
            every_option_of_a_route_arrives,
            every_option_of_a_rule_arrives,
            s36_leftovers_are_known_and_nothing_is_doubled,
            a_foreign_route_is_never_removed,
            a_removal_is_noticed_and_others_are_not,
            errors_name_the_route,
            how_long_255_routes_take,
        ],
        tests![],
    )
}

/// `ens160` with 10.1.0.1/24 and fd00:16::1/64, up.
fn host() -> (Namespace, Namespace) {
    let (host, other) = (Namespace::new(), Namespace::new());
    host.cable("ens160", &other);
    host.ip("addr add 10.1.0.1/24 dev ens160");
    host.ip("addr add fd00:16::1/64 dev ens160 nodad");
    (host, other)
}

fn load(routes: &str, rules: &str) -> (Vec<Route>, Vec<Rule>) {
    let options = LoadOptions {
        config_id: "test".to_owned(),
        random_seed: 1,
        script_check: None,
        interface_check: None,
    };
    let text = format!("static_routes {{\n{routes}\n}}\nstatic_rules {{\n{rules}\n}}\n");
    let loaded = load_str("test.conf", text.as_bytes(), &options);
    let Config { static_routes, static_rules, .. } = loaded.config;
    (static_routes, static_rules)
}

/// Entries of the lines of a configuration. Must be called inside the namespace.
fn entries(routes: &str, rules: &str) -> Vec<Entry> {
    let (routes, rules) = load(routes, rules);
    let index = |name: &str| nix::net::if_::if_nametoindex(name).ok();
    let routes = routes.iter().map(|route| Entry::route(route, None, index).expect("its devices exist"));
    routes.chain(rules.iter().map(Entry::rule)).collect()
}

fn add(host: &Namespace, routes: &'static str, rules: &'static str) -> Vec<RouteOutcome> {
    host.run(move || Routing::open().expect("netlink").add(&entries(routes, rules)))
}

fn remove(host: &Namespace, routes: &'static str, rules: &'static str) -> Vec<RouteOutcome> {
    host.run(move || Routing::open().expect("netlink").remove(&entries(routes, rules)))
}

fn every_option_of_a_route_arrives() {
    let (host, _other) = host();
    let lines = [
        ("10.2.0.0/24 via 10.1.0.9 dev ens160", "10.2.0.0/24 via 10.1.0.9 dev ens160 proto 112"),
        (
            "10.3.0.0/24 dev ens160 table 77 metric 12 scope link",
            "10.3.0.0/24 dev ens160 table 77 proto 112 scope link metric 12",
        ),
        (
            "src 10.1.0.1 to 10.4.0.0/24 via 10.1.0.9 tos 4 mtu 1300 advmss lock 1200 initcwnd 20 features ecn",
            "10.4.0.0/24 tos 0x04 via 10.1.0.9 dev ens160 proto 112 src 10.1.0.1 mtu 1300 advmss lock 1200 initcwnd 20 features ecn",
        ),
        ("blackhole 10.5.0.0/24", "blackhole 10.5.0.0/24 proto 112"),
        ("unreachable 10.6.0.0/24 metric 5", "unreachable 10.6.0.0/24 proto 112 metric 5"),
        (
            "10.7.0.0/24 via 10.9.9.9 dev ens160 onlink",
            "10.7.0.0/24 via 10.9.9.9 dev ens160 proto 112 onlink",
        ),
        (
            "10.8.0.0/24 nexthop via 10.1.0.8 dev ens160 weight 2 nexthop via 10.1.0.9 dev ens160",
            "10.8.0.0/24 proto 112 nexthop via 10.1.0.8 dev ens160 weight 2 nexthop via 10.1.0.9 dev ens160 weight 1",
        ),
        (
            "10.11.0.0/24 via inet6 fd00:16::9 dev ens160",
            "10.11.0.0/24 via inet6 fd00:16::9 dev ens160 proto 112",
        ),
        ("10.12.0.0/24 dev ens160 protocol 100 no_track", "10.12.0.0/24 dev ens160 proto 100"),
        ("10.13.0.7/24 dev ens160", "10.13.0.0/24 dev ens160 proto 112"),
        (
            "2001:db8:1::/64 via fd00:16::9 dev ens160 metric 7 pref high",
            "2001:db8:1::/64 via fd00:16::9 dev ens160 proto 112 metric 7 pref high",
        ),
        (
            "2001:db8:2::/64 dev ens160 mtu 1400",
            "2001:db8:2::/64 dev ens160 proto 112 metric 1024 mtu 1400 pref medium",
        ),
    ];
    for (line, shown) in lines {
        assert_eq!(add(&host, line, ""), [RouteOutcome::Done], "{line}");
        let text = host.ip("route show table all") + &host.ip("-6 route show table all");
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(shown), "{line}: {shown}\nis not in\n{text}");
        assert_eq!(add(&host, line, ""), [RouteOutcome::Already], "{line} once more");
        assert_eq!(remove(&host, line, ""), [RouteOutcome::Done], "{line}");
        assert_eq!(remove(&host, line, ""), [RouteOutcome::Already], "{line}");
        let text = host.ip("route show table all") + &host.ip("-6 route show table all");
        assert!(!text.contains("proto 112") && !text.contains("proto 100"), "{line}:\n{text}");
    }
}

fn every_option_of_a_rule_arrives() {
    let (host, _other) = host();
    let lines = [
        ("from 10.2.0.0/24 table 77 priority 50", "50: from 10.2.0.0/24 lookup 77"),
        ("to 10.2.0.0/24 table 77 priority 50", "50: from all to 10.2.0.0/24 lookup 77"),
        (
            "iif ens160 fwmark 3/7 tos 4 table 79 priority 51",
            "51: from all tos 0x04 fwmark 0x3/0x7 iif ens160 lookup 79",
        ),
        ("from 10.3.0.0/24 blackhole priority 52", "52: from 10.3.0.0/24 blackhole"),
        ("from 10.4.0.0/24 goto 32766 priority 53", "53: from 10.4.0.0/24 goto 32766"),
        (
            "from 10.5.0.0/24 table 80 suppress_prefixlength 8 priority 54",
            "54: from 10.5.0.0/24 lookup 80 suppress_prefixlength 8",
        ),
        (
            "from 10.6.0.0/24 uidrange 10-19 ip_proto udp sport 5-6 dport 7 table 80 priority 55",
            "55: from 10.6.0.0/24 uidrange 10-19 ipproto udp sport 5-6 dport 7 lookup 80",
        ),
        ("not from 10.7.0.0/24 table 81 priority 56", "56: not from 10.7.0.0/24 lookup 81"),
        ("from 2001:db8::/32 table 82 priority 57", "57: from 2001:db8::/32 lookup 82"),
    ];
    for (line, shown) in lines {
        assert_eq!(add(&host, "", line), [RouteOutcome::Done], "{line}");
        let text = host.ip("rule show") + &host.ip("-6 rule show");
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(shown), "{line}: {shown}\nis not in\n{text}");
        assert_eq!(add(&host, "", line), [RouteOutcome::Already], "{line} once more");
        let found = host.run(move || {
            let mut routing = Routing::open().expect("netlink");
            let ours = routing.ours().expect("a list");
            let wanted = entries("", line);
            ours.len() == 1 && ours[0].same(&wanted[0])
        });
        assert!(found, "{line} is not recognised");
        assert_eq!(remove(&host, "", line), [RouteOutcome::Done], "{line}");
        assert_eq!(remove(&host, "", line), [RouteOutcome::Already], "{line}");
    }
}

const ROUTES: &str = "10.2.0.0/24 via 10.1.0.9\nblackhole 10.5.0.0/24\n2001:db8:1::/64 dev ens160\n\
    10.8.0.0/24 table 9 nexthop via 10.1.0.8 nexthop via 10.1.0.9";
const RULES: &str = "from 10.2.0.0/24 table 77 priority 50\nfrom 2001:db8::/32 table 82 priority 57";

fn s36_leftovers_are_known_and_nothing_is_doubled() {
    let (host, _other) = host();
    host.ip("route add 10.99.0.0/24 via 10.1.0.9 proto keepalived");
    host.ip("rule add from 10.99.0.0/24 table 7");
    assert_eq!(add(&host, ROUTES, RULES), vec![RouteOutcome::Done; 6]);
    // A process that is killed takes nothing along.
    assert_eq!(add(&host, ROUTES, RULES), vec![RouteOutcome::Already; 6]);
    let removed = host.run(|| {
        let mut routing = Routing::open().expect("netlink");
        let ours = routing.ours().expect("a list");
        let wanted = entries(ROUTES, RULES);
        assert_eq!(ours.len(), 6, "{ours:?}");
        for wanted in &wanted {
            assert_eq!(ours.iter().filter(|entry| entry.same(wanted)).count(), 1, "{}", wanted.name());
        }
        routing.remove(&ours)
    });
    assert_eq!(removed, vec![RouteOutcome::Done; 6]);
    assert!(host.ip("route show").contains("10.99.0.0/24"));
    assert!(host.ip("rule show").contains("10.99.0.0/24"));
}

fn a_foreign_route_is_never_removed() {
    let (host, _other) = host();
    host.ip("route add 10.2.0.0/24 via 10.1.0.9 dev ens160");
    host.ip("-6 route add 2001:db8:1::/64 dev ens160");
    host.ip("rule add from 10.2.0.0/24 table 77 priority 50");
    let (routes, rules) = (
        "10.2.0.0/24 via 10.1.0.9 dev ens160\n2001:db8:1::/64 dev ens160",
        "from 10.2.0.0/24 table 77 priority 50",
    );
    add(&host, routes, rules);
    remove(&host, routes, rules);
    assert_eq!(host.ip("route show 10.2.0.0/24").trim(), "10.2.0.0/24 via 10.1.0.9 dev ens160");
    assert!(host.ip("-6 route show 2001:db8:1::/64").contains("2001:db8:1::/64 dev ens160"));
    assert_eq!(host.ip("rule show from 10.2.0.0/24").lines().count(), 1);
}

fn a_removal_is_noticed_and_others_are_not() {
    let (host, _other) = host();
    assert_eq!(add(&host, ROUTES, RULES), vec![RouteOutcome::Done; 6]);
    host.ip("route add 10.99.0.0/24 via 10.1.0.9");
    host.block_on(|| async {
        let watch = Watch::open().expect("netlink");
        net_lab::ip("route del 10.99.0.0/24");
        net_lab::ip("route add 10.98.0.0/24 via 10.1.0.9 proto 112");
        let quiet = tokio::time::timeout(std::time::Duration::from_millis(50), watch.removed()).await;
        assert!(quiet.is_err(), "somebody else's route is nobody's business");
        for removal in
            ["route del 10.2.0.0/24", "-6 route del 2001:db8:1::/64", "rule del from 10.2.0.0/24 table 77"]
        {
            net_lab::ip(removal);
            tokio::time::timeout(std::time::Duration::from_secs(1), watch.removed()).await.expect(removal);
        }
    });
}

fn errors_name_the_route() {
    let (host, _other) = host();
    let outcomes = add(&host, "10.2.0.0/24 via 192.0.2.1\n10.3.0.0/24 via 10.1.0.9", "");
    let [RouteOutcome::Failed(error), RouteOutcome::Done] = outcomes.as_slice() else {
        panic!("{outcomes:?}")
    };
    let text = error.to_string();
    assert!(text.starts_with("cannot add route 10.2.0.0/24 via 192.0.2.1: Network is unreachable"), "{text}");
}

fn how_long_255_routes_take() {
    let (host, _other) = host();
    let [add, remove, one_by_one] = host.run(|| {
        let lines: Vec<_> = (0..255).map(|n| format!("10.2.{n}.0/24 via 10.1.0.9")).collect();
        let entries = entries(&lines.join("\n"), "");
        let mut routing = Routing::open().expect("netlink");
        best(|| {
            let start = Instant::now();
            assert_eq!(routing.add(&entries), vec![RouteOutcome::Done; 255]);
            let added = start.elapsed();
            let start = Instant::now();
            assert_eq!(routing.remove(&entries), vec![RouteOutcome::Done; 255]);
            let removed = start.elapsed();
            let start = Instant::now();
            for entry in &entries {
                assert_eq!(routing.add(std::slice::from_ref(entry)), [RouteOutcome::Done]);
            }
            let one_by_one = start.elapsed();
            assert_eq!(routing.remove(&entries), vec![RouteOutcome::Done; 255]);
            [added, removed, one_by_one]
        })
    });
    println!("255 routes: {add:?} to add, {remove:?} to remove, {one_by_one:?} to add one by one");
    assert!(add < one_by_one * 2, "{add:?}, {one_by_one:?}");
}
