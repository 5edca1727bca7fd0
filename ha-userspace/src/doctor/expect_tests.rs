//! From what is known of interface and kernel to what can be expected.

use crate::xdp::Occupant;
use crate::xdp::facts::{DeviceKind, Features as DriverFeatures, Offloads};

use super::super::kernel::BpfFs;
use super::super::kernel::tests::{new as new_kernel, refused};
use super::*;

pub(crate) fn card(driver: &str) -> Facts {
    Facts {
        interface: "ens160".to_owned(),
        kind: DeviceKind::Physical,
        driver: driver.to_owned(),
        mac: [2, 0, 0, 0, 0, 1],
        ethernet: true,
        controller: None,
        members: Vec::new(),
        bond_mode: None,
        mtu: 1500,
        up: true,
        carrier: true,
        vlans: Vec::new(),
        offloads: Offloads::default(),
        queues: None,
        processors: 2,
        programs: Vec::new(),
        features: Some(DriverFeatures::BASIC),
    }
}

fn wanted() -> Expected {
    Expected::plain("ens160", &Global::default())
}

fn on(facts: &Facts) -> Found {
    Found::There(Box::new(facts.clone()))
}

fn config(text: &str) -> Config {
    let options = crate::config::LoadOptions::for_host();
    crate::config::load_str("test.conf", text.as_bytes(), &options).config
}

#[test]
fn a_card_with_native_mode_lacks_nothing() {
    let expected = expect(&wanted(), &on(&card("virtio_net")), &new_kernel(), true);
    assert_eq!((expected.level, expected.mode, expected.fence), (Level::Ok, "native", "armed"));
    assert_eq!(
        expected.text(),
        "native XDP, a dead master is noticed within 10.0 ms, 1.5 ms on a quiet network (after 3.6 s where it does not run xvrrp), fence armed"
    );
}

#[test]
fn the_next_better_mode_is_named_with_the_way_to_it() {
    let expected = expect(&wanted(), &on(&Facts { mtu: 9000, ..card("virtio_net") }), &new_kernel(), true);
    assert_eq!((expected.level, expected.mode), (Level::Ok, "generic"));
    assert!(expected.better.as_deref().is_some_and(|better| better.contains("mtu 3506")), "{expected:?}");
    let veth = Facts { kind: DeviceKind::Veth, ..card("veth") };
    let expected = expect(&wanted(), &on(&veth), &new_kernel(), true);
    assert_eq!((expected.level, expected.mode, &expected.better), (Level::Ok, "generic", &None));
    assert!(expected.text().contains("veth"), "{expected:?}");
}

#[test]
fn without_xdp_the_rfc_s_timers_count_and_the_reason_is_said() {
    let occupant = Occupant { id: 7, name: Some("xdp_filter".to_owned()), attached: Attached::Native };
    let busy = Facts { programs: vec![occupant], ..card("virtio_net") };
    let off = Expected { mode: XdpMode::Off, ..wanted() };
    let (new, old) = (new_kernel(), refused(libc::EPERM));
    let native = Expected { mode: XdpMode::Native, ..wanted() };
    let beside = expect(&wanted(), &on(&busy), &new, true);
    assert_eq!((beside.level, beside.mode, beside.fence), (Level::Ok, "tc", "armed"));
    assert!(beside.text().contains("traffic control") && beside.text().contains("xdp_filter"), "{beside:?}");
    assert!(beside.better.is_some_and(|better| better.contains("xdp off")));
    for (wanted, facts, kernel, reason, better) in [
        (&native, &busy, &new, "xdp_filter", Some("xdp off")),
        (&off, &card("virtio_net"), &new, "xdp_mode", Some("xdp_mode off")),
        (&wanted(), &card("virtio_net"), &old, "bpf(2) is refused", Some("CAP_BPF")),
        (&wanted(), &Facts { ethernet: false, ..card("") }, &new, "Ethernet", None),
    ] {
        let expected = expect(wanted, &on(facts), kernel, true);
        assert_eq!(
            (expected.level, expected.mode, expected.fence),
            (Level::Warn, "raw-socket", "none"),
            "{reason}"
        );
        assert_eq!((expected.detection_ms, expected.lost.as_slice()), (None, &lost::WITHOUT_XDP[..]));
        let text = expected.text();
        assert!(
            text.contains("after 3.6 s; no fast failover, no fence: ") && text.contains(reason),
            "{text}"
        );
        assert_eq!(expected.better.is_some(), better.is_some());
        assert!(text.contains(better.unwrap_or_default()), "{text}");
    }
    // What an ordinary user is refused, the daemon is not.
    assert_eq!(expect(&wanted(), &on(&card("virtio_net")), &old, false).mode, "native");
}

#[test]
fn without_pins_the_fence_goes_with_the_daemon() {
    let kernel = Kernel { bpffs: BpfFs::Refused("it cannot be mounted".to_owned()), ..new_kernel() };
    let expected = expect(&wanted(), &on(&card("virtio_net")), &kernel, true);
    assert_eq!((expected.level, expected.fence), (Level::Warn, "not pinned"));
    assert_eq!(expected.lost, [Lost::FenceAfterDeath]);
    assert!(
        expected.text().contains("fence not pinned; no fence when the daemon dies: it cannot be mounted")
    );
}

#[test]
fn an_interface_that_is_not_there_fails() {
    let expected = expect(&wanted(), &Found::Missing("there is none".to_owned()), &new_kernel(), true);
    assert_eq!((expected.level, expected.mode), (Level::Fail, "none"));
    assert_eq!(expected.text(), "nothing: there is none");
}

#[test]
fn who_wants_no_fast_failover_loses_nothing() {
    let config = config(
        "global_defs {\n fast_failover off\n xdp_mode off\n}\nvrrp_instance A {\n interface ens160\n version 3\n \
         advert_int 0.1\n virtual_router_id 1\n priority 200\n virtual_ipaddress { 10.0.0.1 }\n}\n",
    );
    let wanted = Expected::of(&config).remove(0);
    let expected = expect(&wanted, &on(&card("virtio_net")), &new_kernel(), true);
    assert_eq!((expected.level, expected.lost.len()), (Level::Note, 0));
    assert_eq!(
        expected.text(),
        "raw sockets, a dead master is replaced after 321.9 ms (fast_failover is off): XDP is switched off by \
         xdp_mode; remove `xdp_mode off`"
    );
}

#[test]
fn instances_of_one_interface_are_looked_at_together() {
    let config = config(
        "vrrp_instance A {\n interface ens160\n virtual_router_id 1\n fast_failover off\n priority 100\n \
         virtual_ipaddress { 10.0.0.1 }\n}\nvrrp_instance B {\n interface ens160\n version 3\n virtual_router_id 2\n \
         priority 100\n advert_int 4\n fast_window 20ms\n virtual_ipaddress { fe80::1 }\n}\nvrrp_instance C {\n \
         interface ens161\n virtual_router_id 3\n priority 100\n unicast_src_ip 10.0.0.2\n unicast_peer { 10.0.0.3 }\n \
         virtual_ipaddress { 10.0.0.4 }\n}\n",
    );
    let all = Expected::of(&config);
    assert_eq!(all.iter().map(|wanted| wanted.interface.as_str()).collect::<Vec<_>>(), ["ens160", "ens161"]);
    let first = &all[0];
    assert!(first.fast.enabled && first.multicast && !first.unicast);
    assert_eq!(first.families, [Family::V4, Family::V6]);
    assert_eq!(first.detection(), [Duration::from_micros(1_500), Duration::from_millis(20)]);
    assert_eq!(first.down, Span::from_millis(12_000 + 2_437).plus(Span::from_micros(500)));
    assert!(all[1].unicast && !all[1].multicast);
}

#[test]
fn long_probe_intervals_and_many_misses_take_longer_than_the_window() {
    let mut wanted = wanted();
    assert_eq!(wanted.detection()[1], Duration::from_millis(10));
    wanted.fast.window_fixed = true;
    assert_eq!(wanted.detection(), [Duration::from_millis(10); 2]);
    wanted.fast.probe_interval = Duration::from_millis(10);
    assert_eq!(wanted.detection(), [Duration::from_micros(14_100); 2]);
    wanted.fast.probe_misses = 5;
    assert_eq!(wanted.detection(), [Duration::from_micros(18_100); 2]);
}
