//! What a reload changes, compared and put into words.
//!
//! Pure. Where things stand in the file is no difference: a comment more changes nothing.

use super::links::vips;
use crate::config::model::{Config, Instance, Script, Vip};

/// What differs between two settings of one virtual router, in one line; `None` where nothing does.
pub(super) fn of(old: &Instance, new: &Instance) -> Option<String> {
    let (old, new) = (unplaced(old), unplaced(new));
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
        format!("advert_int {} ms -> {} ms", ms(&old), ms(&new))
    });
    // Never the passwords themselves: this goes into logs.
    say(old.auth != new.auth, &|| "authentication".to_owned());
    for (word, from, to) in [("removed", &old, &new), ("added", &new, &old)] {
        for vip in vips(from).filter(|vip| !vips(to).any(|other| other.address == vip.address)) {
            say(true, &|| format!("{}/{} {word}", vip.address, vip.prefix));
        }
    }
    for vip in vips(&new) {
        let changed =
            vips(&old).any(|other| other.address == vip.address) && !vips(&old).any(|other| other == vip);
        say(changed, &|| format!("{}/{} has new options", vip.address, vip.prefix));
    }
    let same_addresses = vips(&old).eq(vips(&new));
    say(same_addresses && old.vips != new.vips, &|| "addresses in the adverts".to_owned());
    say(old.source != new.source, &|| "source address".to_owned());
    say(old.unicast != new.unicast, &|| "unicast peers".to_owned());
    say(old.preempt != new.preempt, &|| (if new.preempt { "preempt" } else { "nopreempt" }).to_owned());
    say(old.preempt_delay != new.preempt_delay, &|| format!("preempt_delay {:?}", new.preempt_delay));
    say(old.track_scripts != new.track_scripts, &|| "track_script".to_owned());
    say(old.track_interfaces != new.track_interfaces, &|| "track_interface".to_owned());
    say(old.garp != new.garp, &|| "GARP settings".to_owned());
    if list.is_empty() {
        list.push("other settings".to_owned());
    }
    Some(format!("({}) {}", new.name, list.join(", ")))
}

/// What differs outside the instances: one line for each script, and one for `global_defs`.
pub(super) fn around(old: &Config, new: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    let find = |config: &Config, name: &str| {
        config.scripts.iter().find(|script| script.name == name).map(unplaced_script)
    };
    for script in &old.scripts {
        if find(new, &script.name).is_none() {
            lines.push(format!("script {} is removed", script.name));
        }
    }
    for script in &new.scripts {
        match find(old, &script.name) {
            None => lines.push(format!("script {} is added", script.name)),
            Some(before) if before != unplaced_script(script) => {
                lines.push(format!("script {} has new settings", script.name));
            }
            Some(_) => {}
        }
    }
    if old.global != new.global {
        lines.push("global settings".to_owned());
    }
    lines
}

/// Whether other addresses are to be on the interfaces, or the same ones in another way.
pub(super) fn addresses_differ(old: &Instance, new: &Instance) -> bool {
    let (old, new) = (unplaced(old), unplaced(new));
    !vips(&old).eq(vips(&new))
}

/// Addresses of `old` that must go: those that the kernel cannot tell from one of `new` and that must go first,
/// and all others.
pub(super) fn gone(old: &Instance, new: &Instance) -> (Vec<Vip>, Vec<Vip>) {
    let (old, new) = (unplaced(old), unplaced(new));
    let device =
        |instance: &Instance, vip: &Vip| vip.device.clone().unwrap_or_else(|| instance.interface.clone());
    let (mut replaced, mut gone) = (Vec::new(), Vec::new());
    for vip in vips(&old) {
        let kept = vips(&new).any(|other| {
            device(&new, other) == device(&old, vip)
                && Vip { device: None, ..other.clone() } == Vip { device: None, ..vip.clone() }
        });
        // To IPv4 the prefix is part of the address; an IPv6 address exists once on an interface.
        let confused = vips(&new).any(|other| {
            device(&new, other) == device(&old, vip)
                && other.address == vip.address
                && (other.prefix == vip.prefix || vip.address.is_ipv6())
        });
        match (kept, confused) {
            (true, _) => {}
            (false, true) => replaced.push(vip.clone()),
            (false, false) => gone.push(vip.clone()),
        }
    }
    (replaced, gone)
}

/// An instance without the places where things were written, which change when a comment does.
fn unplaced(instance: &Instance) -> Instance {
    let mut copy = instance.clone();
    copy.place = Default::default();
    for vip in copy.vips.iter_mut().chain(&mut copy.excluded) {
        vip.place = Default::default();
    }
    copy
}

fn unplaced_script(script: &Script) -> Script {
    Script { place: Default::default(), ..script.clone() }
}
