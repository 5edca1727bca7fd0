//! Virtual addresses against the kernel of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use ha_userspace::net::addresses::{AddressOutcome, AddressSpec, Addresses, Batch, Flags, Marks, Removal};

mod net_lab;
use net_lab::{Namespace, best};

fn main() -> std::process::ExitCode {
    net_lab::main(
        tests![
            s36_three_hundred_addresses_come_and_go_in_one_batch,
            s36_leftovers_of_an_earlier_run_are_known,
            s36_only_what_is_named_goes_when_it_was_the_first_of_its_subnet,
            s36_only_what_is_named_goes_with_promote_secondaries,
            s36_a_whole_subnet_of_ours_goes,
            s37_an_address_of_the_operator_stays,
            s36_s37_what_a_kernel_without_marks_does_not_know_is_on_file,
            a_prepared_batch_can_be_run_again,
            fifteen_hundred_refusals_are_all_told,
            every_attribute_arrives,
            an_error_names_thing_place_cause_and_next_step,
            how_long_255_addresses_take,
        ],
        tests![],
    )
}

fn spec(ifindex: u32, address: impl Into<IpAddr>, prefix: u8) -> AddressSpec {
    AddressSpec {
        ifindex,
        address: address.into(),
        prefix,
        broadcast: None,
        scope: 0,
        label: None,
        noprefixroute: false,
        preferred: None,
        peer: None,
        flags: Flags::default(),
    }
}

fn v4(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 1, high, low)
}

fn v6(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, number)
}

/// One interface `ens160` that is up, and its index.
fn host() -> (Namespace, Namespace, u32) {
    let (host, other) = (Namespace::new(), Namespace::new());
    host.cable("ens160", &other);
    let index = host.index("ens160");
    (host, other, index)
}

fn add(host: &Namespace, specs: &[AddressSpec]) -> Vec<AddressOutcome> {
    let specs = specs.to_vec();
    host.run(move || Addresses::open().expect("netlink").add(&specs))
}

fn remove(host: &Namespace, specs: &[AddressSpec]) -> Vec<Removal> {
    let specs = specs.to_vec();
    host.run(move || Addresses::open().expect("netlink").remove(&specs))
}

/// What a process that knows of nothing takes for ours.
fn ours(host: &Namespace) -> Vec<AddressSpec> {
    host.run(|| Addresses::open().expect("netlink").ours().expect("a list"))
}

/// Addresses of `ens160` other than the kernel's own link-local one, as `ip` writes them.
fn shown(host: &Namespace) -> Vec<String> {
    host.addresses("ens160")
        .iter()
        .map(|entry| format!("{}/{}", entry["local"].as_str().expect("an address"), entry["prefixlen"]))
        .filter(|address| !address.starts_with("fe80"))
        .collect()
}

fn s36_three_hundred_addresses_come_and_go_in_one_batch() {
    let (host, _other, index) = host();
    let mut specs: Vec<_> = (1..=200).map(|n| spec(index, v4(n), 32)).collect();
    specs.extend((1..=100).map(|n| spec(index, v6(n), 128)));

    assert_eq!(add(&host, &specs), vec![AddressOutcome::Added; 300]);
    let entries = host.addresses("ens160");
    for spec in &specs {
        let address = spec.address.to_string();
        let entry =
            entries.iter().find(|entry| entry["local"] == address.as_str()).expect("on the interface");
        assert_ne!(entry["tentative"], true, "{address} needs no duplicate address detection");
    }
    assert_eq!(ours(&host).len(), 300, "all carry the mark");
    assert_eq!(remove(&host, &specs), vec![Removal::Removed; 300]);
    assert_eq!(shown(&host), [""; 0]);
    assert_eq!(remove(&host, &specs), vec![Removal::NotThere; 300]);
}

fn s36_leftovers_of_an_earlier_run_are_known() {
    let (host, _other, index) = host();
    host.ip("addr add 10.1.0.200/24 dev ens160");
    host.ip("addr add fd00:16::200/64 dev ens160");
    let specs = [spec(index, v4(1), 24), spec(index, v6(1), 64)];
    add(&host, &specs);

    // A process that is killed takes nothing along: what counts is in the kernel.
    let ours = ours(&host);
    let keys: Vec<_> = ours.iter().map(|spec| (spec.ifindex, spec.address, spec.prefix)).collect();
    assert_eq!(keys, specs.each_ref().map(|spec| (spec.ifindex, spec.address, spec.prefix)));
    assert_eq!(remove(&host, &ours), [Removal::Removed, Removal::Removed]);
    assert_eq!(shown(&host), ["10.1.0.200/24", "fd00:16::200/64"]);
}

/// Ours first, then the operator's and another of ours in the same subnet; then only the first is removed.
fn remove_the_first(promote: &str) {
    let (host, _other, index) = host();
    host.sysctl("net/ipv4/conf/ens160/promote_secondaries", promote);
    add(&host, &[spec(index, v4(1), 24)]);
    host.ip("addr add 10.1.0.200/24 brd 10.1.0.255 label ens160:op dev ens160");
    host.ip("addr add 10.1.0.201/24 dev ens160 valid_lft 1000 preferred_lft 900");
    add(&host, &[spec(index, v4(2), 24)]);
    let before = host.addresses("ens160");

    assert_eq!(remove(&host, &[spec(index, v4(1), 24)]), [Removal::Removed]);

    assert_eq!(shown(&host), ["10.1.0.200/24", "10.1.0.201/24", "10.1.0.2/24"]);
    let after = host.addresses("ens160");
    let of = |entries: &[serde_json::Value], address: &str| {
        let entry = entries.iter().find(|entry| entry["local"] == address).expect("there").clone();
        let lifetime = entry["valid_life_time"].as_u64().expect("a number");
        (entry["broadcast"].clone(), entry["label"].clone(), lifetime)
    };
    for address in ["10.1.0.200", "10.1.0.201", "10.1.0.2"] {
        let (was, is) = (of(&before, address), of(&after, address));
        assert_eq!((&was.0, &was.1), (&is.0, &is.1), "{address} is as it was");
        assert!(was.2.abs_diff(is.2) <= 2, "{address} lives as long as it would have");
    }
    let ours: Vec<_> = ours(&host).iter().map(|spec| spec.address).collect();
    assert_eq!(ours, [IpAddr::from(v4(2))]);
}

fn s36_only_what_is_named_goes_when_it_was_the_first_of_its_subnet() {
    remove_the_first("0");
}

fn s36_only_what_is_named_goes_with_promote_secondaries() {
    remove_the_first("1");
}

fn s36_a_whole_subnet_of_ours_goes() {
    let (host, _other, index) = host();
    let specs: Vec<_> = (1..=20).map(|n| spec(index, v4(n), 24)).collect();
    add(&host, &specs);
    assert_eq!(remove(&host, &specs), vec![Removal::Removed; 20]);
    assert_eq!(shown(&host), [""; 0]);
}

fn s37_an_address_of_the_operator_stays() {
    let (host, _other, index) = host();
    host.ip("addr add 10.1.0.1/24 dev ens160");
    host.ip("addr add fd00:16::1/64 dev ens160");
    let specs = [spec(index, v4(1), 24), spec(index, v6(1), 128), spec(index, v4(2), 24)];
    assert_eq!(
        add(&host, &specs),
        [
            AddressOutcome::AlreadyThere { ours: false },
            AddressOutcome::AlreadyThere { ours: false },
            AddressOutcome::Added,
        ]
    );
    // The prefix of the operator's IPv6 address is another one, so it is not even the address that was meant.
    assert_eq!(remove(&host, &specs), [Removal::Foreign, Removal::NotThere, Removal::Removed]);
    assert_eq!(remove(&host, &[spec(index, v6(1), 64)]), [Removal::Foreign]);
    assert_eq!(shown(&host), ["10.1.0.1/24", "fd00:16::1/64"]);
}

fn s36_s37_what_a_kernel_without_marks_does_not_know_is_on_file() {
    let (host, _other, index) = host();
    host.ip("addr add 10.1.0.9/24 dev ens160");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("addresses");
    let specs = [spec(index, v4(1), 24), spec(index, v4(9), 24), spec(index, v6(1), 64)];
    let foreign = AddressOutcome::AlreadyThere { ours: false };
    let run = {
        let (file, specs) = (file.clone(), specs.clone());
        move || {
            let open = || Addresses::open_remembering(file.clone(), Marks::Withheld).expect("netlink");
            // A run that dies leaves its addresses and the file.
            let mut first = open();
            assert!(!first.keeps_marks());
            assert_eq!(first.add(&specs), [AddressOutcome::Added, foreign.clone(), AddressOutcome::Added]);
            drop(first);
            let mut second = open();
            let mut ours: Vec<_> =
                second.ours().expect("a list").into_iter().map(|spec| spec.address).collect();
            ours.sort();
            assert_eq!(ours, [specs[0].address, specs[2].address]);
            assert_eq!(second.add(&specs)[0], AddressOutcome::AlreadyThere { ours: true });
            assert_eq!(second.remove(&specs), [Removal::Removed, Removal::Foreign, Removal::Removed]);
        }
    };
    host.run(run);
    assert!(!file.exists(), "nothing of ours is left, nor a file");
    assert_eq!(shown(&host), ["10.1.0.9/24"]);

    // This kernel keeps marks, as its loopback address shows, and needs no file.
    std::fs::write(&file, "").expect("a file");
    let keeps = {
        let file = file.clone();
        host.run(move || Addresses::open_remembering(file, Marks::Used).expect("netlink").keeps_marks())
    };
    assert!(keeps && !file.exists());
}

fn a_prepared_batch_can_be_run_again() {
    let (host, _other, index) = host();
    let specs = [spec(index, v4(1), 32), spec(index, v6(1), 128)];
    let (first, second, third) = host.run(move || {
        let batch = Batch::prepare(&specs);
        let mut addresses = Addresses::open().expect("netlink");
        let first = addresses.run(&batch);
        let second = addresses.run(&batch);
        addresses.remove(batch.specs());
        (first, second, addresses.run(&batch))
    });
    assert_eq!(first, [AddressOutcome::Added, AddressOutcome::Added]);
    assert_eq!(second, vec![AddressOutcome::AlreadyThere { ours: true }; 2]);
    assert_eq!(third, [AddressOutcome::Added, AddressOutcome::Added]);
}

fn fifteen_hundred_refusals_are_all_told() {
    let (host, _other, index) = host();
    let specs: Vec<_> = (1..=1500).map(|n| spec(index, v4(n), 32)).collect();
    assert_eq!(add(&host, &specs), vec![AddressOutcome::Added; 1500]);
    assert_eq!(add(&host, &specs), vec![AddressOutcome::AlreadyThere { ours: true }; 1500]);
    assert_eq!(remove(&host, &specs), vec![Removal::Removed; 1500]);
    host.sysctl("net/ipv6/conf/ens160/disable_ipv6", "1");
    let specs: Vec<_> = (1..=1500).map(|n| spec(index, v6(n), 128)).collect();
    assert!(add(&host, &specs).iter().all(|outcome| matches!(outcome, AddressOutcome::Failed(_))));
}

fn every_attribute_arrives() {
    let (host, _other, index) = host();
    let specs = [
        AddressSpec {
            broadcast: Some(Ipv4Addr::new(10, 1, 0, 255)),
            scope: 253,
            label: Some("ens160:vip".to_owned()),
            noprefixroute: true,
            ..spec(index, v4(1), 24)
        },
        AddressSpec { peer: Some(v4(9).into()), label: Some("ens160".to_owned()), ..spec(index, v4(8), 30) },
        AddressSpec {
            flags: Flags { home: true, mngtmpaddr: true, autojoin: false },
            ..spec(index, v6(2), 64)
        },
        AddressSpec { preferred: Some(0), ..spec(index, v6(1), 128) },
    ];
    assert_eq!(add(&host, &specs), vec![AddressOutcome::Added; 4]);
    let text = host.ip("addr show dev ens160");
    let line =
        |address: &str| text.lines().find(|line| line.contains(address)).expect("there").trim().to_owned();
    assert_eq!(line("10.1.0.1/24"), "inet 10.1.0.1/24 brd 10.1.0.255 scope link noprefixroute ens160:vip");
    let line = line("fd00:16::1/128");
    assert!(line.contains("nodad") && line.contains("deprecated"), "{line}");
    assert!(!host.ip("route show").contains("10.1.0.0/24"), "no route for the prefix");

    // The kernel's order of IPv6 addresses is its own.
    let mut ours = ours(&host);
    ours.sort_by_key(|spec| specs.iter().position(|other| other.address == spec.address));
    assert_eq!(ours, specs);
}

fn an_error_names_thing_place_cause_and_next_step() {
    let (host, _other, index) = host();
    host.sysctl("net/ipv6/conf/ens160/disable_ipv6", "1");
    let outcomes = add(&host, &[spec(4711, v4(1), 24), spec(index, v6(1), 64), spec(index, v4(1), 24)]);
    let text = |outcome: &AddressOutcome| match outcome {
        AddressOutcome::Failed(error) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        text(&outcomes[0]),
        "cannot add 10.1.0.1/24 on interface number 4711: No such device (ipv4: Device not found); the interface is gone"
    );
    let refused = text(&outcomes[1]);
    assert!(refused.starts_with("cannot add fd00:16::1/64 on interface ens160: "), "{refused}");
    assert!(refused.ends_with("see sysctl net.ipv6.conf.*.disable_ipv6"), "{refused}");
    assert_eq!(outcomes[2], AddressOutcome::Added, "what is behind a refused address is added all the same");
}

fn how_long_255_addresses_take() {
    let (host, _other, index) = host();
    let specs: Vec<_> = (1..=255).map(|n| spec(index, v4(n), 32)).collect();
    let [add, remove, one_by_one] = host.run(move || {
        let batch = Batch::prepare(&specs);
        let mut addresses = Addresses::open().expect("netlink");
        best(|| {
            let start = Instant::now();
            assert_eq!(addresses.run(&batch), vec![AddressOutcome::Added; 255]);
            let added = start.elapsed();
            let start = Instant::now();
            assert_eq!(addresses.remove(batch.specs()), vec![Removal::Removed; 255]);
            let removed = start.elapsed();
            let start = Instant::now();
            for spec in &specs {
                assert_eq!(
                    addresses.run(&Batch::prepare(std::slice::from_ref(spec))),
                    [AddressOutcome::Added]
                );
            }
            let one_by_one = start.elapsed();
            assert_eq!(addresses.remove(batch.specs()), vec![Removal::Removed; 255]);
            [added, removed, one_by_one]
        })
    });
    println!("255 addresses: {add:?} to add, {remove:?} to remove, {one_by_one:?} to add one by one");
    // The kernel's part is the same; a batch must not cost more around it.
    assert!(add < one_by_one * 2, "{add:?}, {one_by_one:?}");
}
