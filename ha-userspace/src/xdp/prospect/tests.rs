use super::*;
use crate::xdp::facts::{Features, Member, Offload, Offloads, QueueCounts};
use crate::xdp::occupant::Occupant;

/// A card on a kernel that says what its driver does (6.3).
fn card(driver: &str) -> Facts {
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
        features: Some(Features::BASIC),
    }
}

fn device(kind: DeviceKind) -> Facts {
    Facts { kind, driver: String::new(), features: Some(Features(0)), ..card("") }
}

const ON: Option<Offload> = Some(Offload { on: true, fixed: false });
const BOTH: &[Attached] = &[Attached::Native, Attached::Generic];
const NATIVE: &[Attached] = &[Attached::Native];
const GENERIC: &[Attached] = &[Attached::Generic];
const TC: &[Attached] = &[Attached::Tc];
const NONE: &[Attached] = &[];

/// What is on the interface, the mode that is configured; what is tried, what will work, the first finding.
type Case = (Facts, XdpMode, &'static [Attached], Option<Attached>, Option<Why>);

#[test]
fn modes_follow_from_the_facts() {
    use XdpMode::{Auto, Generic, Native, Off, Tc};
    let port =
        |kind| Facts { controller: Some(Controller { kind, name: "up0".to_owned() }), ..card("vmxnet3") };
    let bond = |drivers: &[&str], features| Facts {
        kind: DeviceKind::Bond,
        features,
        members: drivers
            .iter()
            .map(|driver| Member { name: format!("{driver}0"), driver: (*driver).to_owned() })
            .collect(),
        ..card("bonding")
    };
    let vlans = Facts {
        vlans: vec!["ens160.7".to_owned()],
        offloads: Offloads { rx_vlan: ON, ..Offloads::default() },
        ..card("vmxnet3")
    };
    let ours = Occupant { id: 7, name: Some("ha_xdp".to_owned()), attached: Attached::Native };
    let theirs = Occupant { id: 7, name: Some("xdp_dispatcher".to_owned()), attached: Attached::Native };
    let lro = Offloads { lro: ON, ..Offloads::default() };
    let gro_hw = |fixed| Offloads { gro_hw: Some(Offload { on: true, fixed }), ..Offloads::default() };
    let queues =
        |max_combined, combined| Some(QueueCounts { max_combined, combined, ..QueueCounts::default() });
    let taken = Facts { programs: vec![theirs], ..card("virtio_net") };
    let old = |driver| Facts { features: None, ..card(driver) };
    let sg = Some(Features(Features::BASIC.0 | Features::RX_SG.0));
    let cases: &[Case] = &[
        (card("vmxnet3"), Off, NONE, None, Some(Why::Off)),
        (card("virtio_net"), Auto, BOTH, Some(Attached::Native), None),
        (card("virtio_net"), Generic, GENERIC, Some(Attached::Generic), None),
        (card("vmxnet3"), Auto, BOTH, Some(Attached::Native), Some(Why::QueueRestart)),
        // What the kernel says comes before what is known of the driver.
        (
            Facts { features: Some(Features(0)), ..card("vmxnet3") },
            Auto,
            GENERIC,
            Some(Attached::Generic),
            Some(Why::NoNative),
        ),
        (Facts { features: Some(Features(0)), ..card("vmxnet3") }, Native, NATIVE, None, Some(Why::NoNative)),
        (card("brandnew"), Auto, BOTH, Some(Attached::Native), None),
        (old("brandnew"), Auto, BOTH, Some(Attached::Generic), Some(Why::UnknownDriver)),
        (old("e1000e"), Auto, GENERIC, Some(Attached::Generic), Some(Why::NoNative)),
        (old("virtio_net"), Auto, BOTH, Some(Attached::Native), None),
        // Native mode costs the link.
        (card("igb"), Auto, GENERIC, Some(Attached::Generic), Some(Why::LinkRestart)),
        (card("igb"), Native, NATIVE, Some(Attached::Native), Some(Why::LinkRestart)),
        (card("igb"), Generic, GENERIC, Some(Attached::Generic), None),
        // Native mode will be refused.
        (Facts { mtu: 9000, ..card("vmxnet3") }, Auto, BOTH, Some(Attached::Generic), Some(Why::Mtu)),
        (Facts { mtu: 9000, ..card("vmxnet3") }, Native, NATIVE, None, Some(Why::Mtu)),
        (Facts { mtu: 9000, features: sg, ..card("virtio_net") }, Auto, BOTH, Some(Attached::Native), None),
        (Facts { offloads: lro, ..card("mlx5_core") }, Auto, BOTH, Some(Attached::Generic), Some(Why::Lro)),
        (Facts { offloads: lro, ..card("hv_netvsc") }, Auto, BOTH, Some(Attached::Generic), Some(Why::Lro)),
        (
            Facts { offloads: gro_hw(false), ..card("mlx5_core") },
            Auto,
            BOTH,
            Some(Attached::Generic),
            Some(Why::GroHw),
        ),
        // These stop it themselves, unless they cannot.
        (
            Facts { offloads: lro, ..card("vmxnet3") },
            Auto,
            BOTH,
            Some(Attached::Native),
            Some(Why::QueueRestart),
        ),
        (Facts { offloads: gro_hw(false), ..card("virtio_net") }, Auto, BOTH, Some(Attached::Native), None),
        (
            Facts { offloads: gro_hw(true), ..card("virtio_net") },
            Auto,
            BOTH,
            Some(Attached::Generic),
            Some(Why::GroHw),
        ),
        (Facts { offloads: lro, ..card("brandnew") }, Auto, BOTH, Some(Attached::Native), None),
        (
            Facts { queues: queues(8, 8), ..card("ena") },
            Auto,
            BOTH,
            Some(Attached::Generic),
            Some(Why::Queues),
        ),
        (
            Facts { queues: queues(8, 4), ..card("ena") },
            Auto,
            BOTH,
            Some(Attached::Native),
            Some(Why::QueueRestart),
        ),
        // Too few queues cost speed only, or native mode on old kernels.
        (
            Facts { queues: queues(2, 2), ..card("virtio_net") },
            Auto,
            BOTH,
            Some(Attached::Native),
            Some(Why::Queues),
        ),
        (
            Facts { queues: queues(2, 2), ..old("virtio_net") },
            Auto,
            BOTH,
            Some(Attached::Generic),
            Some(Why::Queues),
        ),
        (Facts { queues: queues(4, 2), ..old("virtio_net") }, Auto, BOTH, Some(Attached::Native), None),
        // Devices without hardware.
        (device(DeviceKind::Veth), Auto, GENERIC, Some(Attached::Generic), Some(Why::Virtual)),
        (device(DeviceKind::Veth), Native, NATIVE, None, Some(Why::Virtual)),
        (device(DeviceKind::Vlan), Auto, GENERIC, Some(Attached::Generic), Some(Why::Virtual)),
        (device(DeviceKind::Bridge), Auto, GENERIC, Some(Attached::Generic), Some(Why::Virtual)),
        (device(DeviceKind::Team), Auto, GENERIC, Some(Attached::Generic), Some(Why::Virtual)),
        (device(DeviceKind::Loopback), Auto, GENERIC, Some(Attached::Generic), Some(Why::Virtual)),
        (Facts { ethernet: false, ..device(DeviceKind::Tun) }, Auto, NONE, None, Some(Why::NotEthernet)),
        // Below something else.
        (port(DeviceKind::Bond), Auto, NONE, None, Some(Why::Member)),
        (port(DeviceKind::Team), Auto, NONE, None, Some(Why::Member)),
        (port(DeviceKind::Bond), Generic, GENERIC, Some(Attached::Generic), Some(Why::Member)),
        (port(DeviceKind::Bridge), Auto, GENERIC, Some(Attached::Generic), Some(Why::BridgePort)),
        (port(DeviceKind::Virtual), Auto, BOTH, Some(Attached::Native), Some(Why::QueueRestart)),
        // Above something else.
        (bond(&["virtio_net", "virtio_net"], sg), Auto, BOTH, Some(Attached::Native), None),
        (bond(&["virtio_net", "igb"], sg), Auto, GENERIC, Some(Attached::Generic), Some(Why::LinkRestart)),
        (
            bond(&["virtio_net"], Some(Features(0))),
            Auto,
            GENERIC,
            Some(Attached::Generic),
            Some(Why::BondMode),
        ),
        (bond(&["virtio_net"], None), Auto, BOTH, Some(Attached::Generic), Some(Why::UnknownDriver)),
        // Tags are gone before XDP.
        (vlans.clone(), Auto, TC, Some(Attached::Tc), Some(Why::HiddenVlans)),
        (vlans.clone(), Generic, GENERIC, Some(Attached::Generic), Some(Why::HiddenVlans)),
        (
            Facts { offloads: Offloads::default(), ..vlans },
            Auto,
            BOTH,
            Some(Attached::Native),
            Some(Why::QueueRestart),
        ),
        // Programs that are there.
        (taken.clone(), Auto, TC, Some(Attached::Tc), Some(Why::Busy)),
        (taken.clone(), Tc, TC, Some(Attached::Tc), Some(Why::Busy)),
        (taken.clone(), Generic, NONE, None, Some(Why::Busy)),
        (Facts { ethernet: false, ..taken }, Auto, NONE, None, Some(Why::NotEthernet)),
        (card("virtio_net"), Tc, TC, Some(Attached::Tc), None),
        (Facts { programs: vec![ours], ..card("virtio_net") }, Auto, BOTH, Some(Attached::Native), None),
    ];
    for (facts, mode, attempts, expected, first) in cases {
        let prospect = prospect(facts, *mode);
        let what = format!("{facts:?} {mode:?} -> {prospect:?}");
        assert_eq!(prospect.attempts, *attempts, "{what}");
        assert_eq!(prospect.expected, *expected, "{what}");
        assert_eq!(prospect.findings.first().map(|finding| finding.why), *first, "{what}");
        assert_eq!(prospect.refusal().is_some(), prospect.attempts.is_empty(), "{what}");
    }
}

#[test]
fn a_bond_costs_what_its_worst_member_costs() {
    let member = |driver: &str| Member { name: "eth0".to_owned(), driver: driver.to_owned() };
    let cost = |drivers: &[&str]| {
        let members = drivers.iter().map(|driver| member(driver)).collect();
        prospect(&Facts { kind: DeviceKind::Bond, members, ..card("bonding") }, XdpMode::Auto).native_cost
    };
    assert_eq!(cost(&["virtio_net", "igb", "brandnew"]), LinkCost::Link);
    assert_eq!(cost(&["virtio_net", "brandnew"]), LinkCost::Unknown);
    assert_eq!(cost(&["virtio_net"]), LinkCost::Nothing);
    assert_eq!(cost(&[]), LinkCost::Unknown);
}

#[test]
fn notes_are_about_the_mode_that_was_reached() {
    let facts = Facts { mtu: 9000, ..card("vmxnet3") };
    let prospect = prospect(&facts, XdpMode::Auto);
    let generic = prospect.notes(Attached::Generic);
    assert_eq!(
        generic,
        [
            "its MTU is 9000, and the driver vmxnet3 does native mode up to 3506; `ip link set dev ens160 mtu 3506`, on \
          every host of the link, makes it possible"
        ]
    );
    // The driver took it after all.
    let native = prospect.notes(Attached::Native);
    assert!(native.len() == 1 && native[0].contains("queues"), "{native:?}");
    // Nothing can be done about a veth.
    let veth = super::prospect(&device(DeviceKind::Veth), XdpMode::Auto);
    assert!(veth.notes(Attached::Generic).is_empty());
}

#[test]
fn check_speaks_of_what_can_be_changed() {
    let said = |facts: &Facts| {
        let prospect = prospect(facts, XdpMode::Auto);
        prospect.worth_saying().map(|finding| finding.why).collect::<Vec<_>>()
    };
    assert_eq!(said(&card("vmxnet3")), []);
    assert_eq!(said(&device(DeviceKind::Veth)), []);
    assert_eq!(said(&Facts { up: false, ..card("vmxnet3") }), []);
    assert_eq!(said(&card("igb")), [Why::LinkRestart]);
    assert_eq!(said(&Facts { mtu: 9000, ..card("vmxnet3") }), [Why::Mtu]);
}
