use super::*;
use crate::config::{LoadOptions, load_str};

fn resolved(text: &str) -> (Config, Vec<LinkPlan>) {
    let options = LoadOptions {
        config_id: "test".to_owned(),
        random_seed: 1,
        script_check: None,
        interface_check: None,
    };
    let loaded = load_str("test.conf", text.as_bytes(), &options);
    assert!(!loaded.fatal, "{}", loaded.diagnostics.render(false));
    let mut config = loaded.config;
    let plans = resolve(&mut config, &Links::default());
    (config, plans)
}

fn instance(name: &str, vrid: u8, lines: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\npriority 100\nversion 3\n{lines}\n}}\n"
    )
}

fn devices(config: &Instance) -> Vec<Option<&str>> {
    config.vips.iter().chain(&config.excluded).map(|vip| vip.device.as_deref()).collect()
}

const VIPS: &str = "virtual_ipaddress {\n10.0.0.1\n10.0.0.2 dev eth0\n10.0.0.3 dev eth1\n}\n\
    virtual_ipaddress_excluded {\nfd00::1\n}";

#[test]
fn addresses_of_the_family_are_on_the_virtual_interface() {
    let (config, plans) = resolved(&instance("A", 51, &format!("use_vmac\n{VIPS}")));
    let own = Some("vrrp.51");
    assert_eq!(devices(&config.instances[0]), [own, own, Some("eth1"), None]);
    let kind = LinkKind::Macvlan([0, 0, 0x5e, 0, 1, 51]);
    assert_eq!(plans, [LinkPlan { name: "vrrp.51".to_owned(), base: "eth0".to_owned(), kind }]);
    assert_eq!(of_instance(&config.instances[0]), "vrrp.51");
    assert_eq!(advert_mac(&config.instances[0]), Some([0, 0, 0x5e, 0, 1, 51]));
}

#[test]
fn use_vmac_addr_makes_one_for_every_other_interface_and_family() {
    let (config, plans) = resolved(&instance("A", 51, &format!("use_vmac\nuse_vmac_addr\n{VIPS}")));
    let own = Some("vrrp.51");
    // As keepalived names them.
    assert_eq!(devices(&config.instances[0]), [own, own, Some("vrrp1.51"), Some("vrrp6.51")]);
    let bases: Vec<_> = plans.iter().map(|plan| (plan.name.as_str(), plan.base.as_str())).collect();
    assert_eq!(bases, [("vrrp.51", "eth0"), ("vrrp1.51", "eth1"), ("vrrp6.51", "eth0")]);
    assert_eq!(plans[2].kind, LinkKind::Macvlan([0, 0, 0x5e, 0, 2, 51]));
}

#[test]
fn names_are_never_given_twice() {
    let named = instance("A", 51, "use_vmac vrrp.52\nvirtual_ipaddress {\n10.0.0.1\n}");
    let unnamed = instance("B", 52, "use_vmac\nvirtual_ipaddress {\n10.0.0.2\n}");
    let (_, plans) = resolved(&(unnamed + &named));
    let names: Vec<_> = plans.iter().map(|plan| plan.name.as_str()).collect();
    assert_eq!(names, ["vrrp1.52", "vrrp.52"]);
}

#[test]
fn xmit_base_advertises_from_the_interface_below() {
    let (config, plans) =
        resolved(&instance("A", 51, "use_vmac v\nvmac_xmit_base\nvirtual_ipaddress {\n10.0.0.1\n}"));
    assert_eq!((advert_mac(&config.instances[0]), plans[0].name.as_str()), (None, "v"));
}

#[test]
fn without_virtual_interfaces_nothing_is_changed() {
    let (config, plans) = resolved(&instance("A", 51, VIPS));
    assert_eq!(devices(&config.instances[0]), [None, Some("eth0"), Some("eth1"), None]);
    assert!(plans.is_empty());
}
