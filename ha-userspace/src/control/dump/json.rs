//! The JSON dump: keepalived's names for what it shows of each instance, without its file descriptors and timers.

use std::ffi::OsString;

use serde_json::{Value, json};

use super::Content;
use super::data::vmac;
use crate::config::model::{Config, Instance, Vip};
use crate::control::protocol::InstanceStatus;

/// The text of `keepalived.json`: an array of instances, or, with `json_version 2`, an object that has it as `vrrp`.
#[must_use]
pub fn text(content: &Content) -> String {
    let config = &content.config;
    let instances = content.status.instances.iter().filter_map(|status| {
        let instance = config.instances.iter().find(|instance| instance.name == status.name)?;
        let stats = serde_json::to_value(status.stats).unwrap_or_default();
        Some(json!({ "data": data(content, config, instance, status), "stats": stats }))
    });
    let instances: Vec<Value> = instances.collect();
    match config.global.dump.json_version {
        Some(2) => json!({ "vrrp": instances }).to_string(),
        _ => Value::from(instances).to_string(),
    }
}

fn data(content: &Content, config: &Config, instance: &Instance, status: &InstanceStatus) -> Value {
    let addresses = |vips: &[Vip]| -> Vec<String> {
        vips.iter().map(|vip| super::data::vip(vip, instance, status)).collect()
    };
    let mut data = json!({
        "iname": instance.name,
        "dont_track_primary": i32::from(!instance.track_primary),
        "skip_check_adv_addr": i32::from(instance.skip_check_adv_addr),
        "strict_mode": i32::from(instance.strict),
        "vmac_ifname": vmac(instance).unwrap_or_default(),
        "ifp_ifname": vmac(instance).unwrap_or(&instance.interface),
        "master_priority": status.master.as_ref().map_or(0, |master| master.priority),
        "last_transition": super::data::last_transition(content, status).1,
        "garp_delay": instance.garp.delay.as_secs(),
        "garp_refresh": instance.garp.refresh.as_secs(),
        "garp_rep": instance.garp.repeat,
        "garp_refresh_rep": instance.garp.refresh_repeat,
        "garp_lower_prio_delay": instance.garp.lower_prio_delay.as_secs(),
        "garp_lower_prio_rep": instance.garp.lower_prio_repeat,
        "lower_prio_no_advert": i32::from(instance.lower_prio_no_advert),
        "higher_prio_send_advert": i32::from(instance.higher_prio_send_advert),
        "vrid": instance.vrid.get(),
        "base_priority": instance.priority.get(),
        "effective_priority": status.priority.effective,
        "vipset": status.state == "MASTER",
        "promote_secondaries": instance.promote_secondaries,
        "adver_int": number_of(super::data::seconds(instance.interval)),
        "master_adver_int": number_of(status.master.as_ref().map_or(
            super::data::seconds(instance.interval),
            |master| std::time::Duration::from_millis(master.interval_ms).as_secs_f64(),
        )),
        "accept": i32::from(instance.accept),
        "nopreempt": !instance.preempt,
        "preempt_delay": instance.preempt_delay.as_secs(),
        "state": number(&status.state),
        "wantstate": number(&status.state),
        "version": instance.version.number(),
        "smtp_alert": instance.notify.smtp_alert,
        "notify_deleted": instance.notify.tells_deleted,
        "auth_type": instance.auth.number(),
        "vips": addresses(&instance.vips),
    });
    if let Some(fields) = data.as_object_mut() {
        fields.extend(scripts(instance).map(|(name, argv)| (name.to_owned(), Value::from(quoted(argv)))));
        for (name, list) in [
            ("evips", addresses(&instance.excluded)),
            ("vroutes", instance.routes.iter().map(super::routing::route).collect()),
            ("vrules", instance.rules.iter().map(super::routing::rule).collect()),
            ("track_ifp", instance.track_interfaces.iter().map(|track| track.interface.clone()).collect()),
            ("track_script", tracked_scripts(config, instance)),
        ] {
            if !list.is_empty() {
                fields.insert(name.to_owned(), Value::from(list));
            }
        }
        if let Some(group) = config.sync_groups.iter().find(|group| group.members.contains(&instance.name)) {
            fields.insert("sync_group".to_owned(), Value::from(group.name.clone()));
        }
    }
    data
}

/// The command lines of the scripts that it has.
fn scripts(instance: &Instance) -> impl Iterator<Item = (&'static str, &[OsString])> {
    let notify = &instance.notify;
    let scripts = [
        ("script_backup", &notify.backup),
        ("script_master", &notify.master),
        ("script_fault", &notify.fault),
        ("script_stop", &notify.stop),
        ("script_deleted", &notify.deleted),
        ("script", &notify.any),
        ("script_master_rx_lower_pri", &notify.master_rx_lower_pri),
    ];
    scripts.into_iter().filter_map(|(name, script)| Some((name, script.as_ref()?.argv.as_slice())))
}

fn tracked_scripts(config: &Config, instance: &Instance) -> Vec<String> {
    let scripts = instance.track_scripts.iter().filter_map(|track| {
        let script = config.scripts.iter().find(|script| script.name == track.script)?;
        Some(quoted(&script.argv))
    });
    scripts.collect()
}

/// Seconds without a fraction where there is none: programs that read the file have a whole number there.
fn number_of(seconds: f64) -> Value {
    let text = seconds.to_string();
    text.parse::<u64>().map_or_else(|_| Value::from(seconds), Value::from)
}

/// keepalived's numbers of the states; a router that leaves is on its way to INIT.
fn number(state: &str) -> i32 {
    match state {
        "BACKUP" => 1,
        "MASTER" => 2,
        "FAULT" => 3,
        _ => 0,
    }
}

/// A command line, each word in quotes.
pub(super) fn quoted(argv: &[OsString]) -> String {
    let words: Vec<String> = argv.iter().map(|word| format!("'{}'", word.to_string_lossy())).collect();
    words.join(" ")
}
