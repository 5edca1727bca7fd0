//! What a transition does to the schedule of announcements.

use super::*;
use crate::config::{LoadOptions, load_str};

#[test]
fn a_leaving_router_keeps_its_addresses_and_announces_them_no_more() {
    let text = b"vrrp_instance V {
        interface eth0
        virtual_router_id 9
        garp_master_refresh 1
        virtual_ipaddress {
            192.0.2.1
        }
    }";
    let config = load_str("test", text, &LoadOptions::for_host()).config;
    let mut router = Router::new(config.instances[0].clone(), 0, Time(0));
    transition(&mut router, State::Backup, State::Master, Time(1));
    assert!(router.holding && router.arp.next().is_some() && router.na.next().is_some());
    transition(&mut router, State::Master, State::Leaving, Time(2));
    assert!(router.holding);
    assert_eq!((router.arp.next(), router.na.next()), (None, None));
    transition(&mut router, State::Leaving, State::Init, Time(3));
    assert!(!router.holding);
}
