//! What becomes of packets under rules as `nft -j list ruleset` and `iptables-save` print them.

use super::*;

const IN: &[Hook] = &[Hook::Ingress, Hook::Prerouting, Hook::Input];

fn advert(family: Family) -> Packet {
    Packet { family, interface: "ens160".to_owned(), inbound: true, multicast: true, authenticated: false }
}

fn unicast() -> Packet {
    Packet { multicast: false, ..advert(Family::V4) }
}

/// A word for a verdict: where, and whether it is certain.
fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::MayDrop(place) => format!("may drop: {place}"),
        Verdict::Drop(place) => format!("drop: {place}"),
    }
}

/// Rules of a chain `inet filter input`, given by their expressions.
fn input(policy: &str, rules: &[&str]) -> Ruleset {
    let mut text = format!(
        r#"{{"nftables": [{{"metainfo": {{"json_schema_version": 1}}}},
        {{"table": {{"family": "inet", "name": "filter", "handle": 1}}}},
        {{"chain": {{"family": "inet", "table": "filter", "name": "input", "hook": "input", "policy": "{policy}"}}}},
        {{"chain": {{"family": "inet", "table": "filter", "name": "other"}}}}"#
    );
    for (number, rule) in rules.iter().enumerate() {
        let (chain, expressions) = rule.split_once(": ").expect("CHAIN: EXPRESSIONS");
        text += &format!(
            r#", {{"rule": {{"family": "inet", "table": "filter", "chain": "{chain}", "handle": {number},
            "expr": [{expressions}]}}}}"#
        );
    }
    nft::read(&(text + "]}")).expect("valid")
}

fn matches(left: &str, op: &str, right: &str) -> String {
    format!(r#"{{"match": {{"op": "{op}", "left": {left}, "right": {right}}}}}"#)
}

const PROTOCOL: &str = r#"{"meta": {"key": "l4proto"}}"#;
const DADDR: &str = r#"{"payload": {"protocol": "ip", "field": "daddr"}}"#;
const STATE: &str = r#"{"ct": {"key": "state"}}"#;

#[test]
fn one_rule_of_a_chain_decides() {
    let saddr = r#"{"payload": {"protocol": "ip", "field": "saddr"}}"#;
    let interface = r#"{"meta": {"key": "iifname"}}"#;
    let fib_type = r#"{"fib": {"result": "type", "flags": ["daddr"]}}"#;
    let fib_way = r#"{"fib": {"result": "oif", "flags": ["saddr", "iif"]}}"#;
    // The test of a rule that drops, and what becomes of an advert in a chain that accepts.
    for (left, op, right, becomes) in [
        (PROTOCOL, "==", r#""vrrp""#, "drop"),
        (PROTOCOL, "==", "112", "drop"),
        (PROTOCOL, "!=", r#""vrrp""#, "accept"),
        (PROTOCOL, "==", r#"{"set": ["tcp", "vrrp"]}"#, "drop"),
        (PROTOCOL, "==", r#"{"set": ["tcp", "udp"]}"#, "accept"),
        (PROTOCOL, "==", r#"{"set": [{"range": [100, 120]}]}"#, "drop"),
        (PROTOCOL, "==", r#""@protocols""#, "may drop"),
        (r#"{"payload": {"protocol": "ip6", "field": "nexthdr"}}"#, "==", "112", "accept"),
        (r#"{"payload": {"protocol": "tcp", "field": "dport"}}"#, "==", "112", "accept"),
        (r#"{"payload": {"protocol": "th", "field": "dport"}}"#, "==", "112", "may drop"),
        (DADDR, "==", r#""224.0.0.18""#, "drop"),
        (DADDR, "==", r#"{"prefix": {"addr": "224.0.0.0", "len": 4}}"#, "drop"),
        (DADDR, "!=", r#"{"prefix": {"addr": "224.0.0.0", "len": 4}}"#, "accept"),
        (DADDR, "==", r#"{"range": ["10.0.0.0", "10.0.0.9"]}"#, "accept"),
        (saddr, "==", r#""10.0.0.1""#, "may drop"),
        (interface, "==", r#""ens160""#, "drop"),
        (interface, "==", r#""ens*""#, "drop"),
        (interface, "!=", r#""ens160""#, "accept"),
        (interface, "==", r#"{"set": ["lo", "eth0"]}"#, "accept"),
        (r#"{"meta": {"key": "pkttype"}}"#, "==", r#""multicast""#, "drop"),
        (r#"{"meta": {"key": "pkttype"}}"#, "==", r#""host""#, "accept"),
        (r#"{"meta": {"key": "nfproto"}}"#, "==", r#""ipv6""#, "accept"),
        (r#"{"meta": {"key": "mark"}}"#, "==", "7", "may drop"),
        (r#"{"payload": {"protocol": "ip", "field": "ttl"}}"#, "!=", "255", "accept"),
        (STATE, "in", r#""invalid""#, "accept"),
        (STATE, "in", r#"["new", "untracked"]"#, "drop"),
        (STATE, "in", r#"["established", "related"]"#, "accept"),
        (fib_type, "==", r#""multicast""#, "drop"),
        (fib_type, "!=", r#"{"set": ["local", "multicast"]}"#, "may drop"),
        (fib_way, "==", "false", "accept"),
    ] {
        let rule = format!(
            r#"input: {}, {{"counter": {{"packets": 0}}}}, {{"drop": null}}"#,
            matches(left, op, right)
        );
        let verdict = word(&input("accept", &[&rule]).verdict(&advert(Family::V4), IN));
        let wanted = if becomes == "accept" {
            becomes.to_owned()
        } else {
            format!("{becomes}: inet filter input (handle 0)")
        };
        assert_eq!(verdict, wanted, "{left} {op} {right}");
    }
}

#[test]
fn adverts_behind_an_authentication_header_have_another_protocol() {
    let packet = Packet { authenticated: true, ..advert(Family::V4) };
    for (left, right, becomes) in [
        (PROTOCOL, r#""vrrp""#, "accept"),
        (PROTOCOL, "51", "drop"),
        (r#"{"payload": {"protocol": "ah", "field": "spi"}}"#, "5", "may drop"),
    ] {
        let rule = format!(r#"input: {}, {{"drop": null}}"#, matches(left, "==", right));
        assert!(word(&input("accept", &[&rule]).verdict(&packet, IN)).starts_with(becomes), "{left} {right}");
    }
}

#[test]
fn a_policy_that_drops_needs_a_rule_that_accepts() {
    let accept = |left: &str, op: &str, right: &str| {
        format!(r#"input: {}, {{"accept": null}}"#, matches(left, op, right))
    };
    let (vrrp, ssh) = (
        accept(PROTOCOL, "==", "112"),
        accept(r#"{"payload": {"protocol": "tcp", "field": "dport"}}"#, "==", "22"),
    );
    let known = accept(STATE, "in", r#"["established", "related"]"#);
    let of = |rules: &[&str], packet: &Packet| word(&input("drop", rules).verdict(packet, IN));
    let advert = advert(Family::V4);
    assert_eq!(of(&[&ssh, &known], &advert), "drop: inet filter input (its policy)");
    assert_eq!(of(&[&ssh, &known, &vrrp], &advert), "accept");
    // Peers that send each other adverts are known to connection tracking after the first ones.
    assert_eq!(of(&[&known], &unicast()), "may drop: inet filter input (its policy)");
    let map = format!(
        r#"input: {{"vmap": {{"key": {STATE}, "data": {{"set": [["invalid", {{"drop": null}}], ["established",
        {{"accept": null}}], ["new", {{"jump": {{"target": "other"}}}}]]}}}}}}"#
    );
    let other = r#"other: {"accept": null}"#;
    assert_eq!(of(&[&map], &advert), "drop: inet filter input (its policy)");
    assert_eq!(of(&[&map, other], &advert), "accept");
    let named = r#"input: {"vmap": {"key": {"meta": {"key": "iifname"}}, "data": "@zones"}}"#;
    assert_eq!(of(&[named], &advert), "may drop: inet filter input (its policy)");
}

#[test]
fn jumps_are_followed_and_return() {
    let of = |rules: &[&str]| word(&input("accept", rules).verdict(&advert(Family::V4), IN));
    let (jump, goto) = (r#"input: {"jump": {"target": "other"}}"#, r#"input: {"goto": {"target": "other"}}"#);
    let (drop_all, leave) = (r#"other: {"drop": null}"#, r#"other: {"return": null}"#);
    let (last, missing) = (r#"input: {"drop": null}"#, r#"input: {"jump": {"target": "nowhere"}}"#);
    assert_eq!(of(&[jump, drop_all]), "drop: inet filter other (handle 1)");
    assert_eq!(of(&[jump, leave, drop_all]), "accept");
    assert_eq!(of(&[jump, leave, last]), "drop: inet filter input (handle 2)");
    assert_eq!(of(&[goto, leave, last]), "accept");
    assert_eq!(of(&[missing]), "accept");
    let limited = r#"input: {"limit": {"rate": 1}}, {"jump": {"target": "other"}}"#;
    assert_eq!(of(&[limited, drop_all]), "may drop: inet filter other (handle 1)");
    // Who may have left before may not be dropped after.
    let limited = r#"input: {"limit": {"rate": 1}}, {"accept": null}"#;
    assert_eq!(of(&[limited, last]), "may drop: inet filter input (handle 1)");
    // Chains that lead to each other, which the kernel would refuse.
    let back = r#"other: {"jump": {"target": "other"}}"#;
    assert_eq!(of(&[jump, back]), "accept");
}

#[test]
fn a_chain_of_one_interface_is_no_other_s_business() {
    let chain = |dev: &str| {
        let text = format!(
            r#"{{"nftables": [{{"chain": {{"family": "netdev", "table": "t", "name": "c", "hook": "ingress"{dev}}}}},
            {{"rule": {{"family": "netdev", "table": "t", "chain": "c", "handle": 1, "expr": [{{"drop": null}}]}}}}]}}"#
        );
        word(&nft::read(&text).expect("valid").verdict(&advert(Family::V4), IN))
    };
    assert_eq!(chain(r#", "dev": "ens160""#), "drop: netdev t c (handle 1)");
    assert_eq!(chain(r#", "dev": ["ens160", "eth0"]"#), "drop: netdev t c (handle 1)");
    assert_eq!(chain(r#", "dev": "eth0""#), "accept");
    assert_eq!(chain(""), "may drop: netdev t c (handle 1)");
}

#[test]
fn rules_of_iptables_are_understood() {
    let save = |policy: &str, rules: &[&str]| {
        let rules: String = rules.iter().map(|rule| format!("-A INPUT {rule}\n")).collect();
        format!(
            "# Generated\n*filter\n:INPUT {policy} [0:0]\n:OUTPUT ACCEPT [0:0]\n:mine - [0:0]\n{rules}-A mine -j DROP\nCOMMIT\n"
        )
    };
    let of = |policy: &str, rules: &[&str]| {
        word(&iptables::read(&save(policy, rules), Family::V4).verdict(&advert(Family::V4), IN))
    };
    let policy = "drop: iptables filter INPUT (its policy)";
    assert_eq!(of("ACCEPT", &[]), "accept");
    assert_eq!(of("DROP", &["-p tcp -m tcp --dport 22 -j ACCEPT"]), policy);
    assert_eq!(of("DROP", &["-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]), policy);
    assert_eq!(of("DROP", &["-p vrrp -j ACCEPT"]), "accept");
    assert_eq!(of("DROP", &["-d 224.0.0.0/8 -i ens160 -p 112 -j ACCEPT"]), "accept");
    assert_eq!(of("DROP", &["-d 224.0.0.0/255.0.0.0 -m comment --comment \"to all\" -j ACCEPT"]), "accept");
    assert_eq!(of("DROP", &["-i eth+ -p 112 -j ACCEPT"]), policy);
    assert_eq!(of("ACCEPT", &["! -i ens160 -j DROP"]), "accept");
    assert_eq!(of("ACCEPT", &["! -p tcp -j DROP"]), "drop: iptables filter INPUT (-A … ! -p tcp -j DROP)");
    assert_eq!(
        of("ACCEPT", &["-p 112 -j LOG --log-prefix \"a b\"", "-p 112 -j mine"]),
        "drop: iptables filter mine (-A … -j DROP)"
    );
    assert_eq!(
        of("ACCEPT", &["-s 10.0.0.1/32 -j DROP"]),
        "may drop: iptables filter INPUT (-A … -s 10.0.0.1/32 -j DROP)"
    );
    // They concern one family.
    let v6 = Packet { family: Family::V6, ..advert(Family::V4) };
    assert_eq!(word(&iptables::read(&save("DROP", &[]), Family::V4).verdict(&v6, IN)), "accept");
}

#[test]
fn what_is_no_list_of_rules_is_refused_and_nothing_panics() {
    for text in ["", "[]", "{}", "{\"nftables\": 7}", "nft: command"] {
        assert!(nft::read(text).is_err(), "{text}");
    }
    for text in [
        r#"{"nftables": [7, null, {"rule": 3}, {"chain": []}, {"rule": {"expr": [[], 1, {"match": 5}]}}]}"#,
        r#"{"nftables": [{"chain": {"hook": "input"}}, {"rule": {"expr": [{"vmap": {"data": {"set": [1, [], [2]]}}}]}}]}"#,
    ] {
        let _ = nft::read(text).expect("a list").verdict(&advert(Family::V4), IN);
    }
    for text in [
        "-A",
        "*\n:\n-A  -j",
        "*filter\n:INPUT DROP\n-A INPUT -d 1.2.3/99 -m -j",
        "*f\n:INPUT -\n-A INPUT --comment \"x",
    ] {
        let _ = iptables::read(text, Family::V4).verdict(&advert(Family::V4), IN);
    }
}
