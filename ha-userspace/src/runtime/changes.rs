//! What a reload changes, compared and put into words.
//!
//! Pure. Where things stand in the file is no difference, as [`crate::config::model::Place`] has it: a comment more
//! changes nothing.

use super::vips::vips;
use crate::config::model::{Config, HmacSetting, Instance, Vip};

/// What differs between two settings of one virtual router, in one line; `None` where nothing does.
pub(super) fn of(old: &Instance, new: &Instance) -> Option<String> {
    if old == new {
        return None;
    }
    let mut list = Vec::new();
    let mut say = |differs: bool, text: &dyn Fn() -> String| {
        if differs {
            list.push(text());
        }
    };
    say(old.name != new.name, &|| format!("was called {}", old.name));
    say(old.priority != new.priority, &|| format!("priority {} -> {}", old.priority, new.priority));
    say(old.interval != new.interval, &|| {
        let ms = |instance: &Instance| u32::from(instance.interval.get()) * 10;
        format!("advert_int {} ms -> {} ms", ms(old), ms(new))
    });
    // Never the passwords themselves: this goes into logs.
    say(old.auth != new.auth, &|| "authentication".to_owned());
    say(old.hmac != new.hmac, &|| hmac(&old.hmac, &new.hmac));
    for (word, from, to) in [("removed", old, new), ("added", new, old)] {
        for vip in vips(from).filter(|vip| !vips(to).any(|other| other.address == vip.address)) {
            say(true, &|| format!("{}/{} {word}", vip.address, vip.prefix));
        }
    }
    for vip in vips(new) {
        let changed =
            vips(old).any(|other| other.address == vip.address) && !vips(old).any(|other| other == vip);
        say(changed, &|| format!("{}/{} has new options", vip.address, vip.prefix));
    }
    let same_addresses = vips(old).eq(vips(new));
    say(same_addresses && old.vips != new.vips, &|| "addresses in the adverts".to_owned());
    say(old.source != new.source, &|| "source address".to_owned());
    say(old.unicast != new.unicast, &|| "unicast peers".to_owned());
    say(old.preempt != new.preempt, &|| (if new.preempt { "preempt" } else { "nopreempt" }).to_owned());
    say(old.preempt_delay != new.preempt_delay, &|| format!("preempt_delay {:?}", new.preempt_delay));
    say(old.track_scripts != new.track_scripts, &|| "track_script".to_owned());
    say(old.track_interfaces != new.track_interfaces, &|| "track_interface".to_owned());
    say(old.track_checks != new.track_checks, &|| "track_check".to_owned());
    say(old.track_processes != new.track_processes, &|| "track_process".to_owned());
    say(old.track_files != new.track_files, &|| "track_file".to_owned());
    say(old.track_bfd != new.track_bfd, &|| "track_bfd".to_owned());
    say(old.garp != new.garp, &|| "GARP settings".to_owned());
    say(old.routes != new.routes, &|| "virtual_routes".to_owned());
    say(old.rules != new.rules, &|| "virtual_rules".to_owned());
    say(old.link != new.link || old.vmac_addresses != new.vmac_addresses, &|| "virtual MAC".to_owned());
    say(old.accept != new.accept, &|| (if new.accept { "accept" } else { "no_accept" }).to_owned());
    say(old.hot_standby != new.hot_standby, &|| {
        (if new.hot_standby { "hot_standby on" } else { "hot_standby off" }).to_owned()
    });
    if list.is_empty() {
        list.push("other settings".to_owned());
    }
    Some(format!("({}) {}", new.name, list.join(", ")))
}

/// What differs between two `auth_hmac`, by the numbers of the keys.
fn hmac(old: &HmacSetting, new: &HmacSetting) -> String {
    let (old, new) = match (old, new) {
        (HmacSetting::On(old), HmacSetting::On(new)) => (old, new),
        (_, HmacSetting::On(_)) => return "auth_hmac is added".to_owned(),
        (_, HmacSetting::Off) => return "auth_hmac is removed".to_owned(),
        (HmacSetting::On(_), HmacSetting::Unusable) => {
            return "auth_hmac cannot be used as it is written, the keys before stay".to_owned();
        }
        (HmacSetting::Off | HmacSetting::Unusable, HmacSetting::Unusable) => {
            return "auth_hmac cannot be used as it is written".to_owned();
        }
    };
    let mut list = Vec::new();
    if old.keys != new.keys {
        list.push("keys".to_owned());
    }
    if old.active.0 != new.active.0 {
        list.push(format!("active_key {} -> {}", old.active.0, new.active.0));
    }
    if old.mode != new.mode {
        list.push(format!("mode {} -> {}", old.mode.word(), new.mode.word()));
    }
    if old.anti_replay != new.anti_replay {
        list.push("anti_replay".to_owned());
    }
    format!("auth_hmac: {}", list.join(", "))
}

/// What differs outside the instances: one line for each script, and one for `global_defs`.
pub(super) fn around(old: &Config, new: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    compare(&mut lines, "script", &old.scripts, &new.scripts, |script| &script.name);
    compare(&mut lines, "check", &old.checks, &new.checks, |check| &check.name);
    compare(&mut lines, "process", &old.track_processes, &new.track_processes, |process| &process.name);
    compare(&mut lines, "file", &old.track_files, &new.track_files, |file| &file.name);
    compare(&mut lines, "bfd", &old.bfd, &new.bfd, |bfd| &bfd.name);
    for (differs, what) in [
        (old.static_addresses != new.static_addresses, "static_ipaddress"),
        (old.static_routes != new.static_routes, "static_routes"),
        (old.static_rules != new.static_rules, "static_rules"),
        (old.track_groups != new.track_groups, "track_group"),
    ] {
        if differs {
            lines.push(what.to_owned());
        }
    }
    if old.global != new.global {
        lines.push("global settings".to_owned());
    }
    if old.sync_groups != new.sync_groups {
        lines.push("sync groups".to_owned());
    }
    lines
}

/// One line for each thing of a kind that was added, removed or changed.
fn compare<T: PartialEq>(
    lines: &mut Vec<String>,
    kind: &str,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &String,
) {
    let find = |list: &'_ [T], wanted: &T| list.iter().position(|one| name(one) == name(wanted));
    for gone in old.iter().filter(|one| find(new, one).is_none()) {
        lines.push(format!("{kind} {} is removed", name(gone)));
    }
    for one in new {
        match find(old, one) {
            None => lines.push(format!("{kind} {} is added", name(one))),
            Some(at) if old[at] != *one => lines.push(format!("{kind} {} has new settings", name(one))),
            Some(_) => {}
        }
    }
}

/// Whether other addresses are to be on the interfaces, or the same ones in another way.
pub(super) fn addresses_differ(old: &Instance, new: &Instance) -> bool {
    !vips(old).eq(vips(new))
}

/// Addresses of `old` that must go, each with its device: those that the kernel cannot tell from one of `new` and that
/// must go first, and all others.
pub(super) fn gone(old: &Instance, new: &Instance) -> (Vec<Vip>, Vec<Vip>) {
    // To write the device that is meant anyway changes nothing.
    let placed = |instance: &Instance| -> Vec<Vip> {
        let named = |vip: &Vip| Vip { device: Some(instance.device_of(vip).to_owned()), ..vip.clone() };
        vips(instance).map(named).collect()
    };
    let wanted = placed(new);
    // To IPv4 the prefix is part of the address; an IPv6 address exists once on an interface.
    let confused = |vip: &Vip| {
        wanted.iter().any(|other| {
            (&other.device, other.address) == (&vip.device, vip.address)
                && (other.prefix == vip.prefix || vip.address.is_ipv6())
        })
    };
    placed(old).into_iter().filter(|vip| !wanted.contains(vip)).partition(confused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, load_str};

    fn load(text: &str) -> Config {
        let options = LoadOptions {
            config_id: "test".to_owned(),
            random_seed: 1,
            script_check: None,
            interface_check: None,
        };
        let loaded = load_str("test.conf", text.as_bytes(), &options);
        assert!(!loaded.fatal, "{}", loaded.diagnostics.render(false));
        loaded.config
    }

    const INSTANCE: &str = "vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\npriority 100\n\
        advert_int 1\nauthentication {\nauth_type PASS\nauth_pass secret\n}\n\
        virtual_ipaddress {\n10.0.0.1/24 label eth0:a\n10.0.0.2/24\n}\n}\n";
    const SCRIPT: &str = "vrrp_script chk {\nscript \"/bin/true\"\ninterval 2\n}\n";

    /// Old and new instance after replacements in the text.
    fn pair(replacements: &[(&str, &str)]) -> (Instance, Instance) {
        let new = replacements.iter().fold(INSTANCE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from} is not in the text");
            text.replace(from, to)
        });
        (load(INSTANCE).instances.remove(0), load(&new).instances.remove(0))
    }

    fn said(replacements: &[(&str, &str)]) -> Option<String> {
        let (old, new) = pair(replacements);
        of(&old, &new)
    }

    #[test]
    fn places_are_no_difference() {
        assert_eq!(said(&[("interface eth0", "# more\n\n  interface eth0")]), None);
        let config = SCRIPT.to_owned() + INSTANCE;
        assert!(around(&load(&config), &load(&format!("# more\n{config}"))).is_empty());
    }

    #[test]
    fn each_change_is_named() {
        let table: [(&[(&str, &str)], &str); 8] = [
            (&[("priority 100", "priority 90")], "(A) priority 100 -> 90"),
            (&[("instance A", "instance B")], "(B) was called A"),
            (&[("advert_int 1", "advert_int 2")], "(A) advert_int 1000 ms -> 2000 ms"),
            (&[("10.0.0.2/24", "10.0.0.3")], "(A) 10.0.0.2/24 removed, 10.0.0.3/32 added"),
            (&[("label eth0:a", "label eth0:b")], "(A) 10.0.0.1/24 has new options"),
            (&[("advert_int 1", "nopreempt")], "(A) nopreempt"),
            (
                &[("\n10.0.0.2/24\n}", "\n}\nvirtual_ipaddress_excluded {\n10.0.0.2/24\n}")],
                "(A) addresses in the adverts",
            ),
            (&[("advert_int 1", "state MASTER")], "(A) other settings"),
        ];
        for (replacements, wanted) in table {
            assert_eq!(said(replacements).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(said(&[("secret", "hidden")]).as_deref(), Some("(A) authentication"));
    }

    #[test]
    fn scripts_are_named() {
        let none = load(INSTANCE);
        let one = load(&(SCRIPT.to_owned() + INSTANCE));
        let other = load(&(SCRIPT.replace("interval 2", "interval 3") + INSTANCE));
        assert_eq!(around(&none, &one), ["script chk is added"]);
        assert_eq!(around(&one, &other), ["script chk has new settings"]);
        assert_eq!(around(&one, &none), ["script chk is removed"]);
        let secured = load(&("global_defs {\nenable_script_security\n}\n".to_owned() + INSTANCE));
        assert_eq!(around(&none, &secured), ["global settings"]);
    }

    #[test]
    fn what_the_kernel_cannot_tell_apart_goes_first() {
        let split = |replacements: &[(&str, &str)]| {
            let (old, new) = pair(replacements);
            let (replaced, gone) = gone(&old, &new);
            (replaced.len(), gone.len())
        };
        assert_eq!(split(&[("priority 100", "priority 90")]), (0, 0));
        assert_eq!(split(&[("10.0.0.2/24", "10.0.0.3/24")]), (0, 1));
        assert_eq!(split(&[("label eth0:a", "label eth0:b")]), (1, 0));
        // Another prefix is another IPv4 address.
        assert_eq!(split(&[("10.0.0.2/24", "10.0.0.2/32")]), (0, 1));
        assert_eq!(split(&[("10.0.0.2/24", "10.0.0.2/24 dev eth1")]), (0, 1));
        // To write the device that is meant anyway changes nothing.
        assert_eq!(split(&[("10.0.0.2/24", "10.0.0.2/24 dev eth0")]), (0, 0));
    }
}
