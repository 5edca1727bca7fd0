//! Virtual routers and sync groups.

use std::time::SystemTime;

use super::super::families::{
    ADVERT_AGE, ADVERTS_RECEIVED, ADVERTS_SENT, AUTH_FAILURE, AUTH_INVALID, AUTH_MISMATCH, BECOME_MASTER,
    COMPETING, EXCLUDED_STATE, FOREIGN, Family, GARP_DELAY, GROUP_STATE, HELD, HMAC_REJECTED, HOT_STANDBY,
    INSTANCE_STATE, INTERVAL_ERRORS, LENGTH_ERRORS, LIST_ERRORS, MASTER_DOWN, MISPLACED, PRESENT, PRIORITY,
    PRIORITY_CONFIGURED, RELEASE_MASTER, STANDBY_ABSENT, STANDBY_READY, STATE, STATE_TIME, TAKEOVER,
    TRANSITIONS, TTL_ERRORS, TYPE_ERRORS, UNSIGNED, WINDOW, ZERO_RECEIVED, ZERO_SENT,
};
use super::super::page::{Page, float};
use super::{ago, flag};
use crate::control::protocol::{GroupStatus, InstanceStats, InstanceStatus};

const STATES: [&str; 5] = ["INIT", "BACKUP", "MASTER", "FAULT", "LEAVING"];

/// A statistic, and where it is.
type Statistic = (&'static Family, fn(&InstanceStats) -> u64);

const STATISTICS: [Statistic; 14] = [
    (&ADVERTS_RECEIVED, |stats| stats.advert_rcvd),
    (&ADVERTS_SENT, |stats| stats.advert_sent),
    (&BECOME_MASTER, |stats| stats.become_master),
    (&RELEASE_MASTER, |stats| stats.release_master),
    (&LENGTH_ERRORS, |stats| stats.packet_len_err),
    (&INTERVAL_ERRORS, |stats| stats.advert_interval_err),
    (&TTL_ERRORS, |stats| stats.ip_ttl_err),
    (&TYPE_ERRORS, |stats| stats.invalid_type_rcvd),
    (&LIST_ERRORS, |stats| stats.addr_list_err),
    (&AUTH_INVALID, |stats| stats.invalid_authtype),
    (&AUTH_MISMATCH, |stats| stats.authtype_mismatch),
    (&AUTH_FAILURE, |stats| stats.auth_failure),
    (&ZERO_RECEIVED, |stats| stats.pri_zero_rcvd),
    (&ZERO_SENT, |stats| stats.pri_zero_sent),
];

/// An instance, its VRID as text, and whether it is master.
struct Named<'a> {
    of: &'a InstanceStatus,
    vrid: String,
}

impl<'a> Named<'a> {
    fn labels(&'a self) -> [&'a str; 3] {
        [&self.of.name, &self.of.interface, &self.vrid]
    }

    fn and(&'a self, more: &'a str) -> [&'a str; 4] {
        let [name, interface, vrid] = self.labels();
        [name, interface, vrid, more]
    }
}

fn named(instances: &[InstanceStatus]) -> Vec<Named<'_>> {
    instances.iter().map(|of| Named { of, vrid: of.vrid.to_string() }).collect()
}

/// One sample for each instance that has such a value.
fn each(
    page: &mut Page,
    family: &'static Family,
    instances: &[Named<'_>],
    value: impl Fn(&InstanceStatus) -> Option<f64>,
) {
    let mut samples = page.family(family);
    for instance in instances {
        if let Some(value) = value(instance.of) {
            samples.put(&instance.labels(), value);
        }
    }
}

/// What the usual exporter for keepalived has too.
pub(super) fn keepalived(page: &mut Page, instances: &[InstanceStatus]) {
    let instances = named(instances);
    let advertised = |of: &InstanceStatus| of.vips.len().saturating_sub(of.measured.excluded);
    let mut samples = page.family(&STATE);
    for instance in &instances {
        let (value, count) = (state(&instance.of.state), advertised(instance.of));
        if count == 0 {
            samples.put(&instance.and(""), value);
        }
        instance.of.vips.iter().take(count).for_each(|vip| samples.put(&instance.and(vip), value));
    }
    let mut samples = page.family(&EXCLUDED_STATE);
    for instance in &instances {
        let (value, count) = (state(&instance.of.state), advertised(instance.of));
        instance.of.vips.iter().skip(count).for_each(|vip| samples.put(&instance.and(vip), value));
    }
    for (family, count) in STATISTICS {
        each(page, family, &instances, |of| Some(float(count(&of.stats))));
    }
    each(page, &GARP_DELAY, &instances, |of| Some(of.measured.garp_delay_s));
}

/// keepalived's number. One that leaves has the addresses until its successor is heard.
fn state(word: &str) -> f64 {
    match word {
        "BACKUP" => 1.0,
        "MASTER" | "LEAVING" => 2.0,
        "FAULT" => 3.0,
        _ => 0.0,
    }
}

/// What only this daemon has.
pub(super) fn own(page: &mut Page, instances: &[InstanceStatus], now: SystemTime) {
    let instances = named(instances);
    let mut samples = page.family(&INSTANCE_STATE);
    for instance in &instances {
        for state in STATES {
            samples.put(&instance.and(state), flag(instance.of.state == state));
        }
    }
    each(page, &STATE_TIME, &instances, |of| Some(ago(now, of.since_ms)));
    transitions(page, &instances);
    each(page, &PRIORITY, &instances, |of| Some(f64::from(of.priority.effective)));
    each(page, &PRIORITY_CONFIGURED, &instances, |of| Some(f64::from(of.priority.configured)));
    let mut samples = page.family(&HELD);
    for instance in &instances {
        if let Some(hold) = &instance.of.hold {
            samples.put(&instance.and(&hold.kind), 1.0);
        }
    }
    failover(page, &instances);
    each(page, &COMPETING, &instances, |of| Some(length(&of.competing)));
    each(page, &FOREIGN, &instances, |of| Some(length(&of.foreign)));
    addresses(page, &instances);
    hmac(page, &instances);
}

fn length<T>(list: &[T]) -> f64 {
    float(u64::try_from(list.len()).unwrap_or(u64::MAX))
}

fn transitions(page: &mut Page, instances: &[Named<'_>]) {
    let mut samples = page.family(&TRANSITIONS);
    for instance in instances {
        let [name, interface, vrid] = instance.labels();
        for one in &instance.of.measured.transitions {
            samples.put(&[name, interface, vrid, one.from, one.to, one.reason], float(one.count));
        }
    }
}

/// Who would take over, and when.
fn failover(page: &mut Page, instances: &[Named<'_>]) {
    each(page, &STANDBY_READY, instances, |of| match of.standby.as_ref()?.state.as_str() {
        "ready" => Some(1.0),
        "none" => Some(0.0),
        _ => None,
    });
    each(page, &STANDBY_ABSENT, instances, |of| Some(float(of.standby.as_ref()?.since_ms?) / 1000.0));
    each(page, &HOT_STANDBY, instances, |of| Some(flag(of.hot_standby.as_ref()? != "impossible")));
    each(page, &TAKEOVER, instances, |of| Some(of.fast_takeover_ms? / 1000.0));
    each(page, &WINDOW, instances, |of| of.fast.then_some(of.measured.window_s));
    each(page, &MASTER_DOWN, instances, |of| Some(of.master_down_ms / 1000.0));
    each(page, &ADVERT_AGE, instances, |of| Some(of.master.as_ref()?.last_advert_age_ms / 1000.0));
}

fn addresses(page: &mut Page, instances: &[Named<'_>]) {
    // What is misplaced is listed without a prefix where it is found on the host.
    let is_in = |list: &[String], vip: &String| {
        let address = |text: &str| text.split(['/', ' ']).next().unwrap_or_default().to_owned();
        list.iter().any(|listed| address(listed) == address(vip))
    };
    let holds = |of: &InstanceStatus| matches!(of.state.as_str(), "MASTER" | "LEAVING");
    let mut samples = page.family(&PRESENT);
    for instance in instances {
        let InstanceStatus { vips, missing, held, .. } = instance.of;
        for vip in vips {
            let present = if holds(instance.of) { !is_in(missing, vip) } else { is_in(held, vip) };
            samples.put(&instance.and(vip), flag(present));
        }
    }
    let mut samples = page.family(&MISPLACED);
    for instance in instances {
        let InstanceStatus { vips, missing, held, .. } = instance.of;
        for vip in vips {
            samples.put(&instance.and(vip), flag(is_in(missing, vip) || is_in(held, vip)));
        }
    }
}

fn hmac(page: &mut Page, instances: &[Named<'_>]) {
    let signed: Vec<_> = instances.iter().filter(|instance| instance.of.hmac.is_some()).collect();
    let mut samples = page.family(&HMAC_REJECTED);
    for instance in &signed {
        let stats = &instance.of.stats;
        for (reason, count) in [
            ("missing", stats.auth_ext_missing),
            ("malformed", stats.auth_ext_malformed),
            ("unknown key", stats.auth_ext_unknown_key),
            ("invalid", stats.auth_ext_invalid_hmac),
            ("stale", stats.auth_ext_stale),
            ("replay", stats.auth_ext_replay),
        ] {
            samples.put(&instance.and(reason), float(count));
        }
    }
    each(page, &UNSIGNED, instances, |of| Some(float(of.hmac.as_ref()?.unsigned)));
}

/// Sync groups.
pub(super) fn groups(page: &mut Page, groups: &[GroupStatus]) {
    let mut samples = page.family(&GROUP_STATE);
    for group in groups {
        for state in STATES {
            samples.put(&[&group.name, state], flag(group.state == state));
        }
    }
}
