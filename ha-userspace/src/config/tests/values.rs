//! What the keywords of an instance, a script and `global_defs` come to.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::config::Refused;
use crate::config::model::{Weight, XdpMode};
use crate::config::report::{Verdict, verdict};

#[test]
fn numbers_with_leading_zeros_are_decimal() {
    let loaded = loaded("vrrp_instance VI {\ninterface e\nvirtual_router_id 010\npriority 0100\n}\n");
    assert_eq!((only(&loaded.config).vrid.get(), only(&loaded.config).priority.get()), (10, 100));
}

#[test]
fn v2_intervals_are_rounded_to_seconds_and_v3_to_steps() {
    for (lines, centis, complains) in [
        ("advert_int 1", 100, false),
        ("advert_int 1.4", 100, true),
        ("advert_int 1.5", 200, true),
        ("advert_int 0.2", 100, true),
        ("advert_int 255", 25_500, false),
        ("version 3\nadvert_int 0.01", 1, false),
        ("version 3\nadvert_int 0.015", 2, true),
        ("version 3\nadvert_int 40.95", 4095, false),
        ("version 3\nadvert_int 41", 4095, true),
        ("version 3\nadvert_int 0.001", 100, true),
    ] {
        let loaded = instance_with(lines);
        assert_eq!(only(&loaded.config).interval.get(), centis, "{lines}");
        assert_eq!(!complaints(&loaded).is_empty(), complains, "{lines}");
    }
}

#[test]
fn long_passwords_are_cut_with_a_message() {
    let loaded = instance_with("authentication {\nauth_type PASS\nauth_pass serviceA_pass\n}");
    assert_eq!(only(&loaded.config).auth, ha_common::packet::Auth::Password(*b"serviceA"));
    assert_eq!(complaints(&loaded), ["XV0406"]);
}

#[test]
fn an_authentication_header_has_a_key() {
    let loaded = instance_with("authentication {\nauth_type AH\nauth_pass 1111\n}");
    assert_eq!(only(&loaded.config).auth, ha_common::packet::Auth::Header(*b"1111\0\0\0\0"));
    assert!(complaints(&loaded).is_empty());
}

#[test]
fn s28_nopreempt_and_preempt_delay_are_cleared_with_state_master() {
    let loaded = instance_with("state MASTER\nnopreempt\npreempt_delay 10");
    let instance = only(&loaded.config);
    assert!(instance.preempt && instance.preempt_delay.is_zero() && instance.starts_as_master);
    assert_eq!(complaints(&loaded), ["XV0511", "XV0511"]);
    let loaded = instance_with("state BACKUP\npreempt_delay 10.5");
    assert_eq!(only(&loaded.config).preempt_delay, Duration::from_millis(10_500));
}

#[test]
fn s27_priority_255_is_noted_and_its_weights_mean_nothing() {
    let loaded = instance_with("priority 255\ntrack_interface {\neth1 weight 10\n}");
    assert_eq!(complaints(&loaded), ["XV0701"]);
    assert!(findings(&loaded).iter().any(|finding| finding.contains("note[XV0513]")));
}

#[test]
fn s31_state_is_a_hint() {
    assert!(only(&instance_with("state MASTER").config).starts_as_master);
    let loaded = instance_with("state EQUAL");
    assert!(!only(&loaded.config).starts_as_master);
    assert_eq!(complaints(&loaded), ["XV0405"]);
}

#[test]
fn s30_one_vrid_may_serve_both_families() {
    let block = |name: &str, vip: &str| {
        format!(
            "vrrp_instance {name} {{\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {{\n{vip}\n}}\n}}\n"
        )
    };
    assert_eq!(loaded(&(block("A", "10.0.0.1") + &block("B", "fe80::1"))).config.instances.len(), 2);
    let both = loaded(&(block("A", "10.0.0.1") + &block("B", "10.0.0.2")));
    assert_eq!(both.config.instances.len(), 1);
    assert_eq!(complaints(&both), ["XV0504"]);
}

#[test]
fn s19_ttl_limits_turn_the_source_check_on() {
    let loaded = instance_with("unicast_peer {\n10.0.0.2 min_ttl 254\n10.0.0.3\n}\nunicast_ttl 64");
    let unicast = only(&loaded.config).unicast.clone().expect("unicast");
    assert!(unicast.check_source);
    assert_eq!((unicast.ttl, unicast.peers[0].min_ttl, unicast.peers[1].min_ttl), (64, Some(254), None));
    assert_eq!(complaints(&loaded), Vec::<&str>::new());
}

#[test]
fn ttl_limits_that_exclude_everything_are_refused() {
    let loaded = instance_with("unicast_peer {\n10.0.0.2 min_ttl 9 max_ttl 8\n}");
    let peer = only(&loaded.config).unicast.clone().expect("unicast").peers[0];
    assert_eq!((peer.min_ttl, peer.max_ttl), (None, None));
    assert_eq!(complaints(&loaded), ["XV0401"]);
}

#[test]
fn another_multicast_group_does_not_run_and_the_standard_one_does() {
    assert_eq!(findings(&instance_with("mcast_dst_ip 224.0.0.18")), Vec::<String>::new());
    let loaded = instance_with("mcast_dst_ip 224.0.0.19");
    assert!(loaded.config.instances.is_empty());
    assert_eq!(complaints(&loaded), ["XV0518"]);
    assert_eq!(
        instance_with("mcast_dst_ip 224.0.0.19\nunicast_peer {\n10.0.0.2\n}").config.instances.len(),
        1
    );
}

#[test]
fn one_instance_has_one_family() {
    let loaded = instance_with(
        "virtual_ipaddress {\nfe80::1\n}\nunicast_peer {\nfe80::2\n10.0.0.2\n}\nmcast_src_ip fe80::3",
    );
    let instance = only(&loaded.config);
    assert_eq!(instance.vips.iter().map(|vip| vip.address.to_string()).collect::<Vec<_>>(), ["10.0.0.1"]);
    assert_eq!(instance.unicast.as_ref().map(|unicast| unicast.peers.len()), Some(1));
    assert_eq!(instance.source, None);
    assert_eq!(complaints(&loaded), ["XV0507", "XV0403", "XV0403"]);
}

#[test]
fn s21_the_checksum_form_can_be_chosen() {
    use ha_common::packet::ChecksumForm::{MessageOnly, PseudoHeader};
    assert_eq!(only(&instance_with("version 3").config).checksum, PseudoHeader);
    assert_eq!(only(&instance_with("version 3\nv3_checksum_as_v2").config).checksum, MessageOnly);
}

#[test]
fn address_options() {
    let loaded = instance_with(
        "virtual_ipaddress_excluded {\n192.0.2.130/25 brd + dev eth1 scope link label eth1:x noprefixroute\n192.0.2.131/24 brd -\nfe80::5/64 -nodad\n}",
    );
    let list = &only(&loaded.config).excluded;
    assert_eq!(list[0].broadcast, Some([192, 0, 2, 255].into()));
    assert_eq!((list[0].prefix, list[0].scope, list[0].noprefixroute), (25, 253, true));
    assert_eq!((list[0].device.as_deref(), list[0].label.as_deref()), (Some("eth1"), Some("eth1:x")));
    assert_eq!(list[1].broadcast, Some([192, 0, 2, 0].into()));
    assert_eq!((list[2].prefix, list[2].scope), (64, 253));
    assert_eq!(complaints(&loaded), Vec::<&str>::new());
}

#[test]
fn garp_defaults_and_their_order() {
    let garp = only(&instance_with("").config).garp;
    assert_eq!(
        (garp.delay.as_secs(), garp.repeat, garp.refresh_repeat, garp.lower_prio_repeat),
        (5, 5, 1, 5)
    );
    let text =
        "global_defs {\nvrrp_garp_master_delay 9\nvrrp_garp_master_repeat 3\nvrrp_garp_interval 0.001\n}\n";
    let inst = "vrrp_instance V {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\ngarp_master_repeat 2\n}\n";
    // Wherever global_defs stands.
    let garp = only(&loaded(&format!("{inst}{text}")).config).garp;
    assert_eq!(
        (garp.delay.as_secs(), garp.repeat, garp.lower_prio_delay.as_secs(), garp.lower_prio_repeat),
        (9, 2, 9, 3)
    );
    assert_eq!(garp.arp_interval, Duration::from_millis(1));
    let garp = only(&loaded(&format!("global_defs {{\nvrrp_min_garp\n}}\n{inst}")).config).garp;
    assert_eq!((garp.delay, garp.repeat), (Duration::ZERO, 2));
}

#[test]
fn strict_mode_follows_keepalived() {
    let text = "global_defs {\nvrrp_strict\n}\nvrrp_instance V {\nstate MASTER\ninterface e\nvirtual_router_id 1\nauthentication {\nauth_type PASS\nauth_pass 1\n}\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n";
    let loaded = loaded(text);
    let instance = only(&loaded.config);
    assert_eq!(instance.auth, ha_common::packet::Auth::None);
    assert!(instance.lower_prio_no_advert && !instance.starts_as_master);
    assert_eq!((instance.garp.lower_prio_delay, instance.garp.lower_prio_repeat), (Duration::ZERO, 0));
    assert_eq!(complaints(&loaded), ["XV0517", "XV0510"]);
}

const SCRIPT: &str = "vrrp_script s {\nscript \"/bin/x 'a b' c\"\ninterval 3\nweight -20 reverse\nrise 2\nfall 4\nuser nobody\ninit_fail\n}\n";

#[test]
fn scripts_and_trackers() {
    let text = format!(
        "vrrp_instance V {{\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {{\n10.0.0.1\n}}\ntrack_script {{\ns\nt\n}}\n}}\n{SCRIPT}"
    );
    let loaded = loaded(&text);
    let script = &loaded.config.scripts[0];
    assert_eq!(script.argv, ["/bin/x", "a b", "c"]);
    assert_eq!((script.interval.as_secs(), script.timeout.as_secs(), script.rise, script.fall), (3, 3, 2, 4));
    assert!(script.init_fail && script.user.as_ref().is_some_and(|user| user.user == "nobody"));
    assert_eq!(only(&loaded.config).track_scripts[0].weight, Weight { value: -20, reverse: true });
    // `t` does not exist: a message, and the tracker is ignored.
    assert_eq!(only(&loaded.config).track_scripts.len(), 1);
    assert_eq!(complaints(&loaded), ["XV0602", "XV0603"]);
    assert_eq!(verdict(&loaded), Verdict::Insecure);
}

#[test]
fn a_script_that_the_host_refuses_is_reported_at_its_line() {
    let mut options = options();
    options.script_check = Some(Box::new(|script, _| {
        Err(Refused { message: format!("{} is missing", script.argv[0].display()), help: None })
    }));
    let text = format!("global_defs {{\nenable_script_security\n}}\n{SCRIPT}");
    let loaded = load_str("x", text.as_bytes(), &options);
    assert_eq!(
        findings(&loaded),
        ["x:5:8: error[XV0604]: script `s` would not run: /bin/x is missing (its trackers do nothing)"]
    );
}

#[test]
fn xdp_mode_is_global_or_of_an_instance() {
    let loaded = loaded(
        "global_defs {\nxdp_mode native\n}\nvrrp_instance V {\ninterface e\nvirtual_router_id 1\n}\nvrrp_instance W {\nxdp_mode off\ninterface e\nvirtual_router_id 2\n}\n",
    );
    let modes: Vec<_> = loaded.config.instances.iter().map(|instance| instance.xdp_mode).collect();
    assert_eq!(modes, [XdpMode::Native, XdpMode::Off]);
    assert_eq!(complaints(&super::loaded("global_defs {\nxdp_mode natve\n}\n")), ["XV0405"]);
}

#[test]
fn a_missing_parameter_cannot_run_and_everything_else_is_reported_too() {
    let loaded = instance_with("bogus\npriority\nvirtual_router_id 300");
    assert!(loaded.fatal && loaded.config.instances.is_empty());
    assert_eq!(complaints(&loaded), ["XV0301", "XV0305", "XV0401"]);
    assert_eq!(verdict(&loaded), Verdict::CannotRun);
}

#[test]
fn load_balancing_is_one_message_and_the_rest_works() {
    let text = "virtual_server 10.0.0.1 80 {\nlb_algo rr\nreal_server 10.0.0.2 80 {\nweight 1\n}\n}\nvrrp_instance V {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n";
    let loaded = loaded(text);
    assert_eq!(complaints(&loaded), ["XV0303"]);
    assert_eq!(loaded.config.instances.len(), 1);
}

#[test]
fn unknown_words_get_the_nearest_known_one() {
    let loaded = instance_with("virtual_adresses\npriorty 5\ntrack_scirpt {\nx\n}\nzzz");
    let found = findings(&loaded);
    assert!(found[1].contains("did you mean `priority`?"), "{found:?}");
    assert!(found[2].contains("did you mean `track_script`?"), "{found:?}");
    assert!(!found[3].contains("did you mean"), "{found:?}");
}

#[test]
fn weights_that_are_wide_enough_are_no_finding() {
    let text = |weight: &str| {
        format!(
            "global_defs {{\nenable_script_security\n}}\nvrrp_script s {{\nscript /bin/x\nweight {weight}\n}}\nvrrp_instance V {{\ninterface e\nvirtual_router_id 1\npriority 150\nvirtual_ipaddress {{\n10.0.0.1\n}}\ntrack_script {{\ns\n}}\n}}\n"
        )
    };
    assert_eq!(findings(&loaded(&text("-60"))), Vec::<String>::new());
    assert_eq!(findings(&loaded(&text("0"))), Vec::<String>::new());
    let found = findings(&loaded(&text("-3")));
    assert!(found[0].contains("150 while it succeeds and 147 while it fails"), "{found:?}");
    assert!(found[0].contains("takes over only if its priority is 148 or more"), "{found:?}");
}

#[test]
fn fast_settings_have_units_ranges_and_a_place_of_their_own() {
    let text = "global_defs {\n@xvrrp fast_probe_interval 500us\nfast_lease 50ms\n\
                fast_key 00112233445566778899aabbccddeeff\n}\n\
                vrrp_instance V {\ninterface e\nvirtual_router_id 1\nvirtual_ipaddress { 192.0.2.1 }\nfast_window 4.5ms\nfast_probe_misses 5\n}\n\
                vrrp_instance W {\ninterface e\nvirtual_router_id 2\nvirtual_ipaddress { 192.0.2.2 }\nfast_failover off\nfast_window 3ms fixed\n}\n";
    let loaded = loaded(text);
    assert!(complaints(&loaded).is_empty(), "{:?}", complaints(&loaded));
    let [v, w] = &*loaded.config.instances else { panic!("two instances") };
    assert_eq!(v.fast.probe_interval, Duration::from_micros(500));
    assert_eq!((v.fast.window, v.fast.window_fixed), (Duration::from_micros(4500), false));
    assert_eq!((w.fast.window, w.fast.window_fixed), (Duration::from_millis(3), true));
    assert_eq!((v.fast.probe_misses, w.fast.probe_misses), (5, 3));
    assert_eq!(v.fast.lease, Duration::from_millis(50));
    assert_eq!((v.fast.enabled, w.fast.enabled), (true, false));
    let key = ha_common::probe::key(b"00112233445566778899aabbccddeeff");
    assert_eq!(v.fast.key.unwrap().0, key);

    for (line, code) in [
        ("fast_probe_interval 1", "XV0401"),
        ("fast_probe_interval 50us", "XV0401"),
        ("fast_probe_interval 2s", "XV0401"),
        ("fast_window ms", "XV0401"),
        ("fast_window 2ms steady", "XV0405"),
        ("fast_probe_misses 0", "XV0401"),
        ("fast_failover maybe", "XV0402"),
        ("fast_key 1234", "XV0405"),
    ] {
        let loaded = super::loaded(&format!("global_defs {{\n{line}\n}}\n"));
        assert_eq!(complaints(&loaded), [code], "{line}");
    }
}

#[test]
fn the_longer_delay_counts_and_a_restart_long_after_boot_has_none() {
    for (startup, after_boot, uptime, expected) in [
        ("0", "0", 5, (Duration::ZERO, "vrrp_startup_delay")),
        ("5", "15.5", 4, (Duration::from_millis(11_500), "vrrp_delay_after_boot")),
        ("5", "15.5", 12, (Duration::from_secs(5), "vrrp_startup_delay")),
        ("0", "4294", 5000, (Duration::ZERO, "vrrp_startup_delay")),
    ] {
        let loaded = loaded(&format!(
            "global_defs {{\nvrrp_startup_delay {startup}\nvrrp_delay_after_boot {after_boot}\n}}\n"
        ));
        let global = &loaded.config.global;
        assert_eq!(
            global.start_delay(Duration::from_secs(uptime)),
            expected,
            "{startup} {after_boot} {uptime}"
        );
    }
}

#[test]
fn a_prefix_length_behind_a_host_is_passed_over() {
    let loaded = instance_with(
        "unicast_src_ip 192.0.2.1/24\nunicast_peer {\n192.0.2.2/24\n192.0.2.3/255.255.255.0 min_ttl 3\n}",
    );
    assert_eq!(complaints(&loaded), [] as [&str; 0]);
    let instance = only(&loaded.config);
    assert_eq!(instance.source, "192.0.2.1".parse().ok());
    let peers: Vec<_> = instance.unicast.iter().flat_map(|unicast| &unicast.peers).collect();
    let peers: Vec<_> = peers.iter().map(|peer| (peer.address.to_string(), peer.min_ttl)).collect();
    assert_eq!(peers, [("192.0.2.2".to_owned(), None), ("192.0.2.3".to_owned(), Some(3))]);
    let loaded = instance_with("mcast_src_ip fe80::1/64\nmcast_src_ip 192.0.2.1/24");
    assert_eq!(only(&loaded.config).source, "192.0.2.1".parse().ok());
}

#[test]
fn check_source_names_whom_a_multicast_instance_hears() {
    let sources = |loaded: &Loaded| only(&loaded.config).check_source.clone();
    let loaded = instance_with("check_source {\n192.0.2.2\n192.0.2.3/24\n}");
    assert_eq!(sources(&loaded), ["192.0.2.2".parse::<IpAddr>(), "192.0.2.3".parse()].map(Result::unwrap));
    let loaded = instance_with("check_source {\n192.0.2.2\n}\nunicast_peer {\n192.0.2.2\n}");
    assert_eq!(sources(&loaded), [] as [IpAddr; 0]);
    // Nobody to hear is a mistake, and hearing everybody is not what was meant.
    for empty in ["check_source {\n}", "check_source {\nfe80::1\n}", "check_source"] {
        assert_eq!(instance_with(empty).config.instances.len(), 0, "{empty}");
    }
}

#[test]
fn names_that_no_interface_can_have_are_explained() {
    let config = |interface: &str, lines: &str| {
        loaded(&format!(
            "vrrp_instance V {{\ninterface {interface}\nvirtual_router_id 9\nvirtual_ipaddress {{\n{lines}\n}}\n}}\n"
        ))
    };
    for alias in [config("eth0:1", "10.0.0.1"), config("eth0", "10.0.0.1 dev eth1:vip")] {
        assert_eq!(complaints(&alias), ["XV0516"]);
        assert!(findings(&alias)[0].contains("is no interface but an alias"), "{:?}", findings(&alias));
    }
    assert_eq!(complaints(&config("eth0", "10.0.0.1 label eth0:1")), [] as [&str; 0]);
    let lo = config("lo", "10.0.0.1");
    assert_eq!((complaints(&lo), lo.config.instances.len()), (vec!["XV0501"], 0));
    assert_eq!(complaints(&config("eth0", "10.0.0.1 dev lo")), [] as [&str; 0]);
}

#[test]
fn strict_mode_is_said_to_drop_packets_where_it_does() {
    let said = |global: &str, lines: &str| {
        let loaded = loaded(&format!(
            "global_defs {{\n{global}\n}}\nvrrp_instance V {{\ninterface eth0\nvirtual_router_id 9\n{lines}\n\
             virtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"
        ));
        let drops = !only(&loaded.config).accept;
        let found = loaded.diagnostics.iter().filter(|finding| finding.code.0 == "XV0702").count();
        (drops, found)
    };
    assert_eq!(said("vrrp_strict", ""), (true, 1));
    assert_eq!(said("", "strict_mode on"), (true, 1));
    assert_eq!(said("vrrp_strict", "accept"), (false, 0));
    assert_eq!(said("vrrp_strict", "strict_mode off"), (false, 0));
    // Asked for.
    assert_eq!(said("vrrp_strict", "no_accept"), (true, 0));
}

#[test]
fn an_address_of_two_instances_is_said() {
    let two = |second: &str, address: &str| {
        let one = |name: &str, id: u8, device: &str, address: &str| {
            format!(
                "vrrp_instance {name} {{\ninterface {device}\nvirtual_router_id {id}\nvirtual_ipaddress {{\n{address}\n}}\n}}\n"
            )
        };
        complaints(&loaded(&(one("A", 1, "eth0", "10.0.0.1/24") + &one("B", 2, second, address))))
    };
    assert_eq!(two("eth0", "10.0.0.1"), ["XV0506"]);
    assert_eq!(two("eth1", "10.0.0.1/24 dev eth0"), ["XV0506"]);
    assert_eq!(two("eth1", "10.0.0.1/24"), [] as [&str; 0]);
    assert_eq!(two("eth0", "10.0.0.2/24"), [] as [&str; 0]);
}

#[test]
fn a_word_behind_a_script_that_is_no_user_was_meant_as_argument() {
    let mut options = options();
    options.script_check = Some(Box::new(|script, _| match &script.user {
        Some(user) => {
            let message = format!("there is no user '{}'", user.user);
            Err(Refused { message, help: Some("run: useradd".to_owned()) })
        }
        None => Ok(()),
    }));
    let text = "vrrp_instance V {\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {\n10.0.0.1\n}\n\
                notify_backup \"/bin/x a\" BACKUP\n}\n";
    let loaded = load_str("x", text.as_bytes(), &options);
    let help: Vec<_> = loaded.diagnostics.iter().filter_map(|finding| finding.help.clone()).collect();
    assert_eq!(help.len(), 1, "{help:?}");
    assert!(
        help[0].ends_with("put arguments inside the quotes: notify_backup \"/bin/x a BACKUP\""),
        "{help:?}"
    );
}
