//! The table of links and addresses against the kernel of this machine.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ha_userspace::net::addresses::{AddressSpec, Addresses, Batch};
use ha_userspace::net::monitor::{Change, Link, Monitor, What};

mod net_lab;
use net_lab::{Namespace, ip};

fn main() -> std::process::ExitCode {
    net_lab::main(
        tests![
            the_first_dump_has_everything,
            down_and_up_are_told,
            a_lost_carrier_is_down,
            down_and_up_in_one_burst_are_two_changes,
            removed_and_created_again_is_another_link,
            a_new_name_mac_and_mtu_are_told,
            many_addresses_are_one_change,
            a_link_local_address_is_usable_when_duplicate_detection_is_over,
            a_duplicate_address_is_never_usable,
            a_port_that_leaves_its_bridge_is_not_gone,
            nothing_wakes_when_nothing_changes,
            lost_notifications_are_made_up_for,
        ],
        tests![],
    )
}

const SOON: Duration = Duration::from_secs(5);

/// Waits for changes until one of `ens160` is `what`; returns all that came on the way.
async fn wait_for(monitor: &mut Monitor, what: What) -> Vec<What> {
    let mut seen = Vec::new();
    let all = async {
        while !seen.contains(&what) {
            let changes = monitor.changed().await.expect("netlink");
            seen.extend(
                changes.into_iter().filter(|change| change.name == "ens160").map(|change| change.what),
            );
        }
    };
    tokio::time::timeout(SOON, all).await.unwrap_or_else(|_| panic!("{what:?} was not told"));
    seen
}

/// Waits until `ask` is content with `ens160`.
async fn wait_until(monitor: &mut Monitor, ask: impl Fn(&Link) -> bool) {
    let all = async {
        while !monitor.links().by_name("ens160").is_some_and(&ask) {
            monitor.changed().await.expect("netlink");
        }
    };
    let done = tokio::time::timeout(SOON, all).await.is_ok();
    assert!(done, "{:?}", monitor.links().by_name("ens160"));
}

fn pair() -> (Namespace, Namespace) {
    let (host, other) = (Namespace::new(), Namespace::new());
    host.cable("ens160", &other);
    (host, other)
}

fn spec(ifindex: u32, number: u16) -> AddressSpec {
    let [high, low] = number.to_be_bytes();
    AddressSpec {
        ifindex,
        address: Ipv4Addr::new(10, 1, high, low).into(),
        prefix: 32,
        broadcast: None,
        scope: 0,
        label: None,
        noprefixroute: false,
        preferred: None,
        peer: None,
        flags: Default::default(),
    }
}

fn the_first_dump_has_everything() {
    let (host, _other) = pair();
    host.ip("link set ens160 address 02:00:00:00:00:01 mtu 1400");
    host.ip("addr add 172.16.1.2/24 dev ens160");
    host.ip("addr add 172.16.1.3/24 dev ens160");
    host.ip("link add mac0 link ens160 type macvlan");
    let index = host.index("ens160");
    host.block_on(move || async move {
        let vip = AddressSpec { prefix: 24, ..spec(index, 25) };
        Addresses::open().expect("netlink").add(&[vip]);
        let monitor = Monitor::start().await.expect("netlink");
        let link = monitor.links().by_name("ens160").expect("there");
        assert_eq!((link.index, link.kind.as_str(), link.up, link.mtu), (index, "veth", true, 1400));
        assert_eq!(link.lower, None, "the other end is in another namespace");
        assert_eq!(link.mac, Some([2, 0, 0, 0, 0, 1]));
        let v4: Vec<_> = link
            .v4
            .iter()
            .map(|held| (held.address.octets()[3], held.prefix, held.secondary, held.ours))
            .collect();
        assert_eq!(v4, [(2, 24, false, false), (25, 24, false, true), (3, 24, true, false)]);
        assert_eq!(link.primary_v4(&[]), Some(Ipv4Addr::new(172, 16, 1, 2)));
        let exclude = [Ipv4Addr::new(172, 16, 1, 2)];
        assert_eq!(link.primary_v4(&exclude), Some(Ipv4Addr::new(172, 16, 1, 3)), "our own is no source");
        let upper = monitor.links().by_name("mac0").expect("there");
        assert_eq!((upper.kind.as_str(), upper.lower, upper.up), ("macvlan", Some(index), false));
    });
}

fn down_and_up_are_told() {
    let (host, _other) = pair();
    host.block_on(|| async {
        let mut monitor = Monitor::start().await.expect("netlink");
        ip("link set ens160 down");
        wait_for(&mut monitor, What::Down).await;
        assert!(!monitor.links().by_name("ens160").expect("there").up);
        ip("link set ens160 up");
        wait_for(&mut monitor, What::Up).await;
        assert!(monitor.links().by_name("ens160").expect("there").up);
    });
}

fn a_lost_carrier_is_down() {
    let (host, other) = pair();
    let other = std::sync::Arc::new(other);
    let cable = std::sync::Arc::clone(&other);
    host.block_on(move || async move {
        let mut monitor = Monitor::start().await.expect("netlink");
        cable.ip("link set ens160 down");
        wait_for(&mut monitor, What::Down).await;
        cable.ip("link set ens160 up");
        wait_for(&mut monitor, What::Up).await;
    });
}

fn down_and_up_in_one_burst_are_two_changes() {
    let (host, _other) = pair();
    host.block_on(|| async {
        let mut monitor = Monitor::start().await.expect("netlink");
        // The runtime is not polled in between, so all notifications are read in one go.
        ip("link set ens160 down");
        ip("link set ens160 up");
        let seen = wait_for(&mut monitor, What::Up).await;
        assert!(seen.contains(&What::Down), "{seen:?}");
    });
}

fn removed_and_created_again_is_another_link() {
    let (host, _other) = pair();
    host.ip("addr add 172.16.1.2/24 dev ens160");
    host.block_on(|| async {
        let mut monitor = Monitor::start().await.expect("netlink");
        let before = monitor.links().by_name("ens160").expect("there").index;
        ip("link del ens160");
        ip("link add ens160 type veth peer name peer");
        wait_for(&mut monitor, What::Appeared).await;
        let link = monitor.links().by_name("ens160").expect("there");
        assert_ne!(link.index, before);
        assert_eq!((link.v4.len(), link.up), (0, false));
        assert!(monitor.links().get(before).is_none());
    });
}

fn a_new_name_mac_and_mtu_are_told() {
    let (host, _other) = pair();
    host.block_on(|| async {
        let mut monitor = Monitor::start().await.expect("netlink");
        ip("link set ens160 mtu 1300");
        wait_for(&mut monitor, What::Mtu).await;
        ip("link set ens160 address 02:00:00:00:00:09");
        wait_for(&mut monitor, What::Mac).await;
        ip("link set ens160 down");
        ip("link set ens160 name lan0");
        ip("link set lan0 name ens160");
        wait_for(&mut monitor, What::Renamed { from: "lan0".to_owned() }).await;
        assert!(monitor.links().by_name("lan0").is_none());
    });
}

fn many_addresses_are_one_change() {
    let (host, _other) = pair();
    let index = host.index("ens160");
    host.block_on(move || async move {
        let mut monitor = Monitor::start().await.expect("netlink");
        let mut addresses = Addresses::open().expect("netlink");
        let specs: Vec<_> = (1..=255).map(|number| spec(index, number)).collect();
        addresses.add(&specs);
        let changes = tokio::time::timeout(SOON, monitor.changed()).await.expect("soon").expect("netlink");
        assert_eq!(changes, [Change { index, name: "ens160".to_owned(), what: What::Addresses }]);
        let link = monitor.links().by_name("ens160").expect("there");
        assert_eq!(link.v4.iter().filter(|held| held.ours).count(), 255);
        addresses.remove(&specs);
        wait_until(&mut monitor, |link| link.v4.is_empty()).await;
    });
}

fn a_link_local_address_is_usable_when_duplicate_detection_is_over() {
    let (host, _other) = pair();
    host.sysctl("net/ipv6/conf/ens160/accept_dad", "1");
    host.block_on(|| async {
        ip("addr flush dev ens160");
        ip("addr add fe80::16/64 dev ens160");
        // The dump shows tentative addresses; a notification comes only when the detection is over.
        let mut monitor = Monitor::start().await.expect("netlink");
        let link = monitor.links().by_name("ens160").expect("there");
        assert_eq!((link.v6.len(), link.v6[0].tentative, link.link_local_v6(&[])), (1, true, None));
        let usable = Some("fe80::16".parse().expect("an address"));
        wait_until(&mut monitor, |link| link.link_local_v6(&[]) == usable).await;
    });
}

fn a_duplicate_address_is_never_usable() {
    let (host, other) = pair();
    other.ip("addr add fe80::16/64 dev ens160 nodad");
    host.sysctl("net/ipv6/conf/ens160/accept_dad", "1");
    host.ip("addr flush dev ens160");
    host.block_on(|| async {
        let mut monitor = Monitor::start().await.expect("netlink");
        ip("addr add fe80::16/64 dev ens160");
        wait_until(&mut monitor, |link| link.v6.iter().any(|held| held.dad_failed)).await;
        let link = monitor.links().by_name("ens160").expect("there");
        assert_eq!(link.v6[0].address, "fe80::16".parse::<Ipv6Addr>().expect("an address"));
        assert_eq!(link.link_local_v6(&[]), None);
    });
}

fn a_port_that_leaves_its_bridge_is_not_gone() {
    let (host, _other) = pair();
    host.ip("link add br0 type bridge");
    host.ip("link set ens160 master br0");
    host.block_on(|| async {
        let mut monitor = Monitor::start().await.expect("netlink");
        let bridge = monitor.links().by_name("br0").expect("there");
        assert_eq!(bridge.kind, "bridge");
        assert_eq!(monitor.links().by_name("ens160").expect("there").controller, Some(bridge.index));
        ip("link set ens160 nomaster");
        ip("link set ens160 mtu 1300");
        let seen = wait_for(&mut monitor, What::Mtu).await;
        assert!(!seen.contains(&What::Gone), "{seen:?}");
        assert_eq!(monitor.links().by_name("ens160").expect("there").controller, None);
    });
}

fn nothing_wakes_when_nothing_changes() {
    let (host, _other) = pair();
    host.block_on(|| async {
        let mut monitor = Monitor::start().await.expect("netlink");
        // What the start of the interfaces still has to say.
        while tokio::time::timeout(Duration::from_millis(300), monitor.changed()).await.is_ok() {}
        let switches = || {
            nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD)
                .expect("readable")
                .voluntary_context_switches()
        };
        // The reference waits for nothing at all.
        let (mut waiting, mut reference) = (i64::MAX, i64::MAX);
        for _ in 0..3 {
            let before = switches();
            let quiet = tokio::time::timeout(Duration::from_millis(300), monitor.changed()).await;
            assert!(quiet.is_err(), "{quiet:?}");
            waiting = waiting.min(switches() - before);
            let before = switches();
            let quiet = tokio::time::timeout(Duration::from_millis(300), std::future::pending::<()>()).await;
            assert!(quiet.is_err());
            reference = reference.min(switches() - before);
        }
        assert!(waiting <= reference * 2, "{waiting} switches, and {reference} without a monitor");
    });
}

fn lost_notifications_are_made_up_for() {
    let (host, _other) = pair();
    let index = host.index("ens160");
    host.block_on(move || async move {
        let mut monitor = Monitor::start().await.expect("netlink");
        let batch = Batch::prepare(&(1..=1000).map(|number| spec(index, number)).collect::<Vec<_>>());
        let mut addresses = Addresses::open().expect("netlink");
        // 20,000 notifications that nobody reads are more than the socket holds.
        for _ in 0..10 {
            addresses.run(&batch);
            addresses.remove(batch.specs());
        }
        addresses.run(&batch);
        ip("link set ens160 mtu 1300");
        wait_for(&mut monitor, What::Mtu).await;
        wait_until(&mut monitor, |link| link.v4.len() == 1000).await;
    });
}
