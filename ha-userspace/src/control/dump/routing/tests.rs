//! Lines of a configuration, and what keepalived 2.2.7 writes into its JSON of them.

use crate::config::model::Instance;
use crate::config::{LoadOptions, load_str};

const ROUTES: &[(&str, &str)] = &[
    (
        "10.9.0.0/24 via 10.1.0.9 dev d0 metric 5 src 10.1.0.5 table 100 scope global onlink tos 0x10 realms 3/4",
        "prepend 10.9.0.0/24 src 10.1.0.5 tos 16 via inet 10.1.0.9 dev d0 table 100 proto 18 scope 0 metric 5 \
         onlink realms 3/4",
    ),
    (
        "append 10.9.1.0/24 dev d0 mtu lock 1400 hoplimit 10 advmss 1000 reordering 3 window 1000 cwnd lock 10 \
         ssthresh 100 rto_min 200ms initcwnd 10 initrwnd 11 features ecn quickack 1 congctl cubic no_track",
        "append 10.9.1.0/24 dev d0 congctl cubic rto_min 200ms features ecn mtu lock 1400 window 1000 ssthresh 100 \
         cwnd lock 10 advmss 1000 reordering 3 hoplimit 10 initcwnd 10 initrwnd 11 quickack 1 no_track",
    ),
    ("blackhole 10.7.0.0/16", "add blackhole 10.7.0.0/16 proto 18 no_track"),
    ("unreachable 10.7.1.0/24 metric 3", "add unreachable 10.7.1.0/24 proto 18 metric 3 no_track"),
    ("local 10.7.3.0/24 dev lo", "add local 10.7.3.0/24 dev lo proto 18"),
    (
        "2001:db8:9::/48 via 2001:db8::1 dev d0 pref high table 9 metric 10",
        "prepend 2001:db8:9::/48 via inet6 2001:db8::1 dev d0 table 9 proto 18 metric 10 pref high",
    ),
    (
        "2001:db8:9::/48 from 2001:db8:7::/64 via 2001:db8::1 dev d0 expires 60 pref low",
        "prepend 2001:db8:9::/48 from 2001:db8:7::/64 via inet6 2001:db8::1 dev d0 proto 18 expires 60sec pref low",
    ),
    ("default via 10.1.0.1", "prepend 0.0.0.0/0 via inet 10.1.0.1 proto 18 no_track"),
    ("10.9.0.7 via 10.1.0.9 dev d0", "prepend 10.9.0.7 via inet 10.1.0.9 dev d0 proto 18"),
    ("10.6.0.0/24 dev d0 scope link mtu 1400", "prepend 10.6.0.0/24 dev d0 proto 18 scope 253 mtu 1400"),
    (
        "10.9.3.0/24 via 10.1.0.9 dev d0 realms 7",
        "prepend 10.9.3.0/24 via inet 10.1.0.9 dev d0 proto 18 realm 7",
    ),
    (
        "10.5.0.0/24 nexthop via 10.1.0.1 dev d0 weight 2 onlink nexthop dev d1 weight 3 realms 5",
        "prepend 10.5.0.0/24 proto 18 nexthop via inet 10.1.0.1 dev d0 weight 2 onlink nexthop dev d1 weight 3 \
         realm 5 no_track",
    ),
    (
        "10.3.0.0/24 via 10.1.0.1 encap ip id 5 dst 10.1.0.7",
        "prepend 10.3.0.0/24 encap ip id 5 dst 10.1.0.7 via inet 10.1.0.1 proto 18 no_track",
    ),
];

const RULES: &[(&str, &str)] = &[
    (
        "not from 10.1.0.0/24 to 10.8.0.0/16 tos 0x10 iif d0 oif d1 fwmark 5/0xff table main priority 700 \
         suppress_prefixlength 3 realms 4/5",
        "not from 10.1.0.0/24 to 10.8.0.0/16 priority 700 tos 0x10 fwmark 0x5/0xff iif d0 oif d1 \
         suppress_prefixlen 3 protocol 18 realms 4/5 lookup 254",
    ),
    ("from 10.1.0.5/32 table 100 priority 700", "from 10.1.0.5 priority 700 tos 0x0 protocol 18 lookup 100"),
    ("from 10.1.0.5 blackhole priority 701", "from 10.1.0.5 priority 701 tos 0x0 protocol 18 type blackhole"),
    ("from 10.1.0.5 goto 710 priority 703", "from 10.1.0.5 priority 703 tos 0x0 protocol 18 goto 710"),
    ("from 10.1.0.5 nop priority 705", "from 10.1.0.5 priority 705 tos 0x0 protocol 18 nop"),
    (
        "from 10.1.0.5 table 9 priority 707 uidrange 1-5 no_track",
        "from 10.1.0.5 priority 707 tos 0x0 uidrange 1-5 lookup 9 no_track",
    ),
    (
        "from 10.1.0.5 table 9 priority 708 ipproto udp sport 5-6 dport 7-7",
        "from 10.1.0.5 priority 708 tos 0x0 protocol 18 ipproto 17 sport 5-6 dport 7-7 lookup 9",
    ),
    ("from 10.1.0.5 l3mdev priority 711", "from 10.1.0.5 priority 711 tos 0x0 l3mdev protocol 18 lookup 0"),
    (
        "to 10.8.0.0/16 priority 709 lookup 9 suppress_ifgroup 3",
        "from all to 10.8.0.0/16 priority 709 tos 0x0 suppress_ifgroup 3 protocol 18 lookup 9",
    ),
];

fn instance(routes: &str, rules: &str) -> Instance {
    let text = format!(
        "vrrp_instance VI {{\ninterface d0\nvirtual_router_id 9\nvirtual_ipaddress {{\n10.1.0.5/24\n}}\n\
         virtual_routes {{\n{routes}\n}}\nvirtual_rules {{\n{rules}\n}}\n}}\n"
    );
    let options =
        LoadOptions { config_id: String::new(), random_seed: 0, script_check: None, interface_check: None };
    let mut loaded = load_str("test.conf", text.as_bytes(), &options);
    loaded.config.instances.pop().expect("an instance")
}

#[test]
fn routes_are_written_as_keepalived_writes_them() {
    for (line, expected) in ROUTES {
        let instance = instance(line, "");
        let shown: Vec<String> = instance.routes.iter().map(super::route).collect();
        assert_eq!(shown, [*expected], "{line}");
    }
}

#[test]
fn rules_are_written_as_keepalived_writes_them() {
    for (line, expected) in RULES {
        let instance = instance("", line);
        let shown: Vec<String> = instance.rules.iter().map(super::rule).collect();
        assert_eq!(shown, [*expected], "{line}");
    }
}
