//! Sync groups, trackers, notifications, routes, rules, virtual links: what their lines come to.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::config::model::{
    Encap, FileWeight, InitFile, IpvlanMode, ParamMatch, Probe, RouteKind, RouteMetric, RuleAction,
    VirtualLink, Weight,
};

const PLAIN: Weight = Weight { value: 0, reverse: false };

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Two sound instances, then `lines`.
fn pair_with(lines: &str) -> Loaded {
    let instance = |name: &str, interface: &str| {
        format!(
            "vrrp_instance {name} {{\ninterface {interface}\nvirtual_router_id 9\nTRACK {name}\nvirtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"
        )
    };
    let text = instance("A", "eth0") + &instance("B", "eth1") + lines;
    loaded(&text.replace("TRACK A\n", "").replace("TRACK B\n", ""))
}

#[test]
fn a_sync_group_knows_its_members_and_what_it_says() {
    let loaded = pair_with(
        "vrrp_script s {\nscript /bin/true\n}\nvrrp_sync_group G {\ngroup {\nA\nB\n}\nnotify \"/bin/n 'a b'\" u g\ntrack_script {\ns weight 4\n}\n}\n",
    );
    let [group] = loaded.config.sync_groups.as_slice() else { panic!("{:?}", findings(&loaded)) };
    assert_eq!((group.name.as_str(), group.members.as_slice()), ("G", &["A".to_owned(), "B".to_owned()][..]));
    let notify = group.notify.any.clone().expect("a script");
    assert_eq!(notify.argv, ["/bin/n", "a b"]);
    let user = notify.user.expect("a user");
    assert_eq!((user.user.as_str(), user.group.as_deref()), ("u", Some("g")));
    assert_eq!(group.trackers.scripts[0].weight, Weight { value: 4, reverse: false });
    assert!(!group.tracking_weight && !group.global_tracking);
}

#[test]
fn groups_of_nobody_are_given_up_and_lonely_ones_are_reported() {
    let loaded = pair_with("vrrp_sync_group G {\ngroup {\nX\n}\n}\nvrrp_sync_group H {\ngroup {\nA\n}\n}\n");
    assert_eq!(loaded.config.sync_groups.len(), 1);
    assert_eq!(loaded.config.sync_groups[0].members, ["A"]);
    assert_eq!(complaints(&loaded).iter().filter(|code| **code == "XV0521").count(), 3);
}

#[test]
fn weights_of_members_go_as_keepalived_does_it() {
    let text = "vrrp_script s {\nscript /bin/true\n}\ntrack_file f {\nfile /tmp/f\n}\n\
        vrrp_instance A {\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {\n10.0.0.1\n}\n\
        track_script {\ns weight 4\n}\ntrack_file {\nf\n}\ntrack_interface {\neth2 weight 3\n}\n}\n\
        vrrp_instance B {\ninterface eth1\nvirtual_router_id 9\nvirtual_ipaddress {\n10.0.0.2\n}\n}\n\
        vrrp_sync_group G {\nMORE\ngroup {\nA\nB\n}\n}\n";
    let zeroed = loaded(&text.replace("MORE\n", ""));
    let a = &zeroed.config.instances[0];
    assert!(a.track_scripts.is_empty());
    assert_eq!(a.track_files[0].weight.value, 0);
    assert_eq!(a.track_interfaces[0].weight, PLAIN);
    assert_eq!(complaints(&zeroed).iter().filter(|code| **code == "XV0608").count(), 3);
    let kept = loaded(&text.replace("MORE", "sync_group_tracking_weight"));
    assert_eq!(kept.config.instances[0].track_scripts[0].weight.value, 4);
    assert_eq!(kept.config.instances[0].track_files[0].weight, FileWeight::default());
}

#[test]
fn files_processes_and_bfd_sessions() {
    let text = "track_file f {\nfile \"/run/f\"\nweight -2 reverse\ninit_file 7 overwrite\n}\n\
        vrrp_track_process p {\nprocess /bin/a \"b c\"\nparam_match initial\nquorum 2\nquorum_max 4\ndelay 1.5\nfork_delay 0.25\n}\n\
        bfd_instance b {\nneighbor_ip 10.0.0.2\nsource_ip 10.0.0.1\nmin_rx 3.312\nmultiplier 3\nmax_hops 1\nweight 5\n}\n\
        bfd_instance six {\nneighbour_ip fe80::2\n}\n";
    let config = loaded(text).config;
    let file = &config.track_files[0];
    assert_eq!(
        (file.weight, file.init),
        (FileWeight { value: -2, reverse: true }, Some(InitFile { value: 7, overwrite: true }))
    );
    let process = &config.track_processes[0];
    assert_eq!(
        (process.process.as_str(), process.parameters.as_slice()),
        ("/bin/a", &["b c".to_owned()][..])
    );
    assert_eq!((process.param_match, process.quorum, process.quorum_max), (ParamMatch::Initial, 2, Some(4)));
    assert_eq!(process.fork_delay, Duration::from_millis(250));
    assert_eq!(process.terminate_delay, Duration::from_millis(1500));
    assert!(process.full_command);
    let [bfd, six] = config.bfd.as_slice() else { panic!("two sessions") };
    assert_eq!((bfd.min_rx, bfd.min_tx), (Duration::from_micros(3312), Duration::from_millis(10)));
    assert_eq!((bfd.ttl, six.ttl, six.multiplier, bfd.max_hops), (255, 255, 5, 1));
}

#[test]
fn a_tracker_keeps_the_direction_of_what_it_names_unless_it_says_another() {
    let text = "vrrp_script s {\nscript /bin/true\nweight 10 reverse\n}\n\
        track_file f {\nfile /run/f\nweight -2 reverse\n}\n\
        vrrp_track_process p {\nprocess a\nweight -10 reverse\n}\n\
        bfd_instance b {\nneighbor_ip 10.0.0.2\nweight -10 reverse\n}\n\
        vrrp_check c {\ntcp 127.0.0.1:80\nweight -10 reverse\n}\n\
        vrrp_instance V {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\n\
        track_script {\ns weight 5 WAY\n}\ntrack_file {\nf weight 5 WAY\n}\ntrack_process {\np weight 5 WAY\n}\n\
        track_bfd {\nb weight 5 WAY\n}\ntrack_check {\nc weight 5 WAY\n}\ntrack_interface {\nx weight 5 WAY\n}\n}\n";
    for (word, of_names, of_interfaces) in [
        ("", true, false),
        ("noreverse", false, false),
        ("no_reverse", false, false),
        ("reverse", true, true),
    ] {
        let config = loaded(&text.replace("WAY", word)).config;
        let [instance] = config.instances.as_slice() else { panic!("one instance") };
        let weight = |reverse| Weight { value: 5, reverse };
        let named = [&instance.track_processes, &instance.track_bfd, &instance.track_checks]
            .map(|list| list[0].weight);
        assert_eq!(named, [weight(of_names); 3], "{word}");
        assert_eq!(instance.track_scripts[0].weight, weight(of_names), "{word}");
        assert_eq!(instance.track_files[0].weight, FileWeight { value: 5, reverse: of_names }, "{word}");
        assert_eq!(instance.track_interfaces[0].weight, weight(of_interfaces), "{word}");
    }
}

#[test]
fn an_address_that_stands_twice_is_one_address_and_two_in_adverts() {
    let config = |lines: &str| {
        loaded(&format!(
            "vrrp_instance V {{\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {{\n{lines}}}\n}}\n"
        ))
        .config
    };
    let twice = config("10.0.0.1\n10.0.0.2\n10.0.0.1/24\n10.0.0.1 dev eth1\n");
    let lines = |config: &Config| config.instances[0].vips.iter().map(|vip| vip.lines).collect::<Vec<_>>();
    assert_eq!(lines(&twice), [2, 1, 1]);
    // As many as an advert holds, without the repetition.
    let many: String = (0..255).map(|n| format!("10.0.1.{n}\n")).collect();
    assert_eq!(lines(&config(&(many + "10.0.1.0\n"))), [1; 255]);
}

#[test]
fn addresses_that_are_like_keepalived_s() {
    let text = "static_ipaddress {\n2001:db8::1/128 dev e\n2001:db8::2/64 dev e\n}\n\
        vrrp_instance V {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {\n127.0.0.1\n}\nMORE\n}\n";
    let config = |more: &str| loaded(&text.replace("MORE", more)).config;
    let plain = config("mcast_src_ip 10.0.0.1");
    assert_eq!(
        plain.static_addresses.iter().map(|vip| vip.preferred_lft).collect::<Vec<_>>(),
        [Some(0), None]
    );
    assert_eq!(plain.instances[0].vips[0].scope, 0);
    assert!(!plain.instances[0].track_source);
    // Nobody hears a peer that sends from an address which it does not have.
    let unicast = config("unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n}");
    assert!(unicast.instances[0].track_source);
}

#[test]
fn checks_have_units_and_share_the_names_of_scripts() {
    let text = "vrrp_check web { http https://[::1]/h?x=1 status 200-204,301 body \"all good\" interval 50ms timeout 20ms weight -5 }\n\
        vrrp_check db {\ntcp db.example.com:5432\ninterval 1.5\nrise 2\nfall 3\ninit_fail\n}\n\
        vrrp_instance V {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\ntrack_script {\ndb weight 7\n}\ntrack_check { web }\n}\n";
    let config = loaded(text).config;
    let [web, db] = config.checks.as_slice() else { panic!("two checks") };
    assert_eq!((web.interval, web.timeout), (Duration::from_millis(50), Duration::from_millis(20)));
    let Probe::Http(http) = &web.probe else { panic!("{web:?}") };
    assert_eq!((http.server.host.as_str(), http.server.port, http.path.as_str()), ("::1", 443, "/h?x=1"));
    assert_eq!((http.host_header.as_str(), http.status.as_slice()), ("[::1]", &[(200, 204), (301, 301)][..]));
    assert_eq!(http.body.as_deref(), Some("all good"));
    assert!(http.tls.as_ref().is_some_and(|tls| tls.verify));
    assert_eq!((db.interval, db.timeout), (Duration::from_millis(1500), Duration::from_millis(1500)));
    assert_eq!((db.rise, db.fall, db.init_fail), (2, 3, true));
    let tracks: Vec<_> =
        config.instances[0].track_checks.iter().map(|t| (t.name.as_str(), t.weight.value)).collect();
    assert_eq!(tracks, [("db", 7), ("web", -5)]);
    assert!(config.instances[0].track_scripts.is_empty());
}

#[test]
fn notifications_and_their_defaults() {
    let text = "global_defs {\nsmtp_alert on\nsmtp_alert_vrrp off\nvrrp_notify_priority_changes on\n}\n";
    let instance = |lines: &str| {
        let text = format!(
            "{text}vrrp_instance V {{\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {{\n10.0.0.1\n}}\n{lines}\n}}\n"
        );
        only(&loaded(&text).config).notify.clone()
    };
    let plain = instance("notify_deleted");
    assert!(!plain.smtp_alert && plain.priority_changes && plain.tells_deleted && plain.deleted.is_none());
    let own = instance("smtp_alert\nnotify_priority_changes off\nnotify_master /bin/a\nnotify_master /bin/b");
    assert!(own.smtp_alert && !own.priority_changes && !own.tells_deleted);
    // keepalived keeps the first.
    assert_eq!(own.master.expect("a script").argv, ["/bin/a"]);
}

#[test]
fn routes_have_their_ways_and_metrics() {
    let loaded = instance_with(
        "virtual_routes {\nsrc 10.0.0.9 to 198.51.100.0/24 via 10.0.0.254 dev eth0 metric 5 mtu lock 1400 rtt 100ms realms 3/4\n\
         203.0.113.0/24 no_track nexthop via 10.0.0.2 dev eth0 onlink weight 2 nexthop via 10.0.0.3 dev eth1\n\
         blackhole 192.0.2.0/24 no_track\n\
         default via fe80::1 dev eth0\n\
         198.51.100.0/25 via 10.0.0.1 or 10.0.0.2 dev eth0\n\
         198.51.100.0/26 dev eth0 encap mpls 100/200 ttl 9\n}",
    );
    let routes = &only(&loaded.config).routes;
    assert_eq!(routes.len(), 6, "{:?}", findings(&loaded));
    assert_eq!((routes[0].source, routes[0].metric), (Some(address("10.0.0.9")), Some(5)));
    assert_eq!(routes[0].metrics.values, [(RouteMetric::Mtu, 1400), (RouteMetric::Rtt, 800)]);
    assert_eq!(
        (routes[0].metrics.locked.as_slice(), routes[0].realms),
        (&[RouteMetric::Mtu][..], Some(3 << 16 | 4))
    );
    let hops: Vec<_> = routes[1].hops.iter().map(|hop| (hop.via, hop.weight, hop.onlink)).collect();
    assert_eq!(hops, [(Some(address("10.0.0.2")), 2, true), (Some(address("10.0.0.3")), 1, false)]);
    assert_eq!((routes[2].kind, routes[2].hops.len()), (RouteKind::Blackhole, 0));
    assert_eq!((routes[3].to.address, routes[3].to.length), (address("::"), 0));
    let devices: Vec<_> = routes[4].hops.iter().map(|hop| hop.device.as_deref()).collect();
    assert_eq!(devices, [Some("eth0"), Some("eth0")]);
    assert_eq!(routes[5].hops[0].encap, Some(Encap::Mpls { labels: vec![100, 200], ttl: Some(9) }));
}

#[test]
fn rules_get_a_preference_each() {
    let loaded = instance_with(
        "virtual_rules {\nfrom 10.0.0.0/8 table main\nto fd00::/64 table 5\nfrom 10.0.0.0/8 fwmark 0x10/0xff blackhole preference 7\n\
         from all uidrange 10-20 ip_proto tcp dport 80-90 preference 9 goto 12\n}",
    );
    let rules = &only(&loaded.config).rules;
    let seen: Vec<_> = rules.iter().map(|rule| (rule.priority, rule.action)).collect();
    assert_eq!(
        seen,
        [
            (Some(16_384), RuleAction::Table(254)),
            (Some(16_383), RuleAction::Table(5)),
            (Some(7), RuleAction::Blackhole),
            (Some(9), RuleAction::Goto(12)),
        ]
    );
    assert_eq!((rules[2].fwmark, rules[3].ip_proto), (Some((0x10, 0xff)), Some(6)));
    assert_eq!((rules[3].uidrange, rules[3].dport, rules[3].from), (Some((10, 20)), Some((80, 90)), None));
    assert_eq!(complaints(&loaded), ["XV0520", "XV0520"]);
}

#[test]
fn virtual_links() {
    let link = |lines: &str| only(&instance_with(lines).config).link.clone();
    let Some(VirtualLink::Vmac(vmac)) = link("use_vmac") else { panic!("no vmac") };
    assert_eq!((vmac.name, vmac.mac, vmac.xmit_base), (None, [0, 0, 0x5e, 0, 1, 9], false));
    let Some(VirtualLink::Vmac(vmac)) = link("use_vmac v.9 02:00:00:00:07\nvmac_xmit_base") else { panic!() };
    assert_eq!((vmac.name.as_deref(), vmac.mac, vmac.xmit_base), (Some("v.9"), [2, 0, 0, 0, 7, 9], true));
    let Some(VirtualLink::Vmac(vmac)) = link("use_vmac\nunicast_peer {\n10.0.0.2\n}") else { panic!() };
    assert!(vmac.xmit_base);
    let Some(VirtualLink::Ipvlan(ipvlan)) = link("use_ipvlan i.9 10.0.0.9/24 vepa") else { panic!() };
    assert_eq!((ipvlan.name.as_deref(), ipvlan.mode), (Some("i.9"), IpvlanMode::Vepa));
    assert_eq!(ipvlan.address, Some((address("10.0.0.9"), 24)));
    assert!(instance_with("use_ipvlan i.9").config.instances.is_empty());
}

#[test]
fn no_accept_is_strict_modes_default() {
    let accept = |lines: &str| only(&instance_with(lines).config).accept;
    assert_eq!(
        [accept(""), accept("no_accept"), accept("strict_mode"), accept("strict_mode\naccept")],
        [true, false, false, true]
    );
}

#[test]
fn static_lines_have_a_device_and_a_group_that_exists() {
    let text = "global_defs {\ndefault_interface eth7\n}\nstatic_ipaddress {\n10.9.0.1/24\n10.9.0.2/24 dev eth1 track_group T\n\
        10.9.0.3/24 track_group NONE\n}\ntrack_group T {\ngroup {\nA\n}\n}\n";
    let loaded = pair_with(text);
    let devices: Vec<_> = loaded
        .config
        .static_addresses
        .iter()
        .map(|vip| (vip.device.as_deref(), vip.track_group.as_deref()))
        .collect();
    assert_eq!(devices, [(Some("eth7"), None), (Some("eth1"), Some("T")), (Some("eth7"), None)]);
    assert_eq!(complaints(&loaded).iter().filter(|code| **code == "XV0606").count(), 1);
}

#[test]
fn load_balancing_is_mentioned_once() {
    let loaded = loaded("virtual_server 10.0.0.1 80 {\n}\nvirtual_server 10.0.0.2 80 {\n}\n");
    assert_eq!(complaints(&loaded), ["XV0303"]);
}

#[test]
fn a_seed_in_the_file_repeats_random_numbers() {
    let text = "global_defs {\nrandom_seed 42\n}\nvrrp_instance V {\ninterface e\nvirtual_router_id ${_RANDOM 1 255}\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n";
    let drawn = |seed| {
        let options = LoadOptions { random_seed: seed, ..options() };
        let config = load_str("/nonexistent/x", text.as_bytes(), &options).config;
        only(&config).vrid
    };
    assert_eq!(drawn(1), drawn(999));
}

#[test]
fn scripts_that_cannot_run_need_no_protection() {
    let text = "vrrp_script s {\nscript /bad/s\n}\nvrrp_instance V {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\nnotify NOTIFY\n}\n";
    let check = |program: &str| {
        let refuse: crate::config::ScriptCheck = Box::new(|script, _| {
            let bad = script.argv[0].to_string_lossy().starts_with("/bad");
            let refused = crate::config::Refused { message: "it is bad".to_owned(), help: None };
            if bad { Err(refused) } else { Ok(()) }
        });
        let options = LoadOptions { script_check: Some(refuse), ..options() };
        let loaded = load_str("/nonexistent/x", text.replace("NOTIFY", program).as_bytes(), &options);
        complaints(&loaded)
    };
    assert_eq!(check("/bad/n"), ["XV0604", "XV0604"]);
    assert_eq!(check("/good/n"), ["XV0604", "XV0603"]);
}

#[test]
fn the_name_that_is_suggested_is_always_the_same() {
    // As near to one as to the other: which one must not depend on the order in a hash table.
    let text = || {
        let loaded = pair_with("vrrp_sync_group G {\ngroup {\nC\nA\nB\n}\n}\n");
        loaded.diagnostics.render(false)
    };
    let first = text();
    assert!(first.contains("did you mean `A`?"), "{first}");
    assert!((0..50).all(|_| text() == first));
}

#[test]
fn metrics_are_served_at_an_address_or_a_path() {
    let of = |word: &str| {
        let loaded = loaded(&format!("global_defs {{\n@xvrrp metrics {word}\n}}\n"));
        let found = complaints(&loaded).contains(&"XV0403");
        (loaded.config.global.metrics.map(|at| at.to_string()), found)
    };
    for good in ["127.0.0.1:9650", "[::1]:9650", "0.0.0.0:1", "unix:/run/xvrrp/metrics.sock"] {
        assert_eq!(of(good), (Some(good.to_owned()), false), "{good}");
    }
    let long = format!("unix:/{}", "x".repeat(107));
    for bad in [
        "9650",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "::1:x",
        "localhost:9650",
        "unix:metrics.sock",
        &long,
    ] {
        assert_eq!(of(bad), (None, true), "{bad}");
    }
}
