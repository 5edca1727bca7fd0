//! What can be wrong with one virtual router.

use super::{age, finding};
use crate::control::protocol::{
    CompetitorStatus, Finding, ForeignStatus, InstanceStatus, Severity, StandbyStatus,
};

/// A standby that is restarted, or replaced, is away for a moment.
const STANDBY_AWAY_MS: u64 = 3_000;
/// A backup may have no master for as long as it starts, or its sync group waits.
const NO_MASTER_MS: u64 = 10_000;
/// One advert that is rejected may have been damaged.
const SEVERAL: u64 = 2;

/// Everything, in the order in which it is told.
pub(super) fn findings(instance: &InstanceStatus) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(fault(instance));
    found.extend(instance.competing.iter().filter_map(|other| competing(instance, other)));
    found.extend(instance.foreign.iter().filter_map(|other| foreign(instance, other)));
    found.extend(misplaced(instance));
    found.extend(instance.standby.as_ref().and_then(|standby| no_standby(instance, standby)));
    found.extend(no_master(instance));
    found
}

fn fault(instance: &InstanceStatus) -> Option<Finding> {
    let why = if instance.fault.is_empty() { instance.reason.clone() } else { instance.fault.join("; ") };
    (instance.state == "FAULT").then(|| {
        let advice = "remove the cause: the instance runs again by itself";
        finding(Severity::Critical, "fault", &instance.name, format!("in FAULT: {why}"), advice)
    })
}

/// How often something comes that was last seen so long ago: it goes on, if it is no later than three times that.
fn goes_on(instance: &InstanceStatus, last_ms_ago: f64, every_ms: Option<f64>) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "an interval")]
    let own = instance.interval_ms.max(100) as f64;
    last_ms_ago <= 3.0 * every_ms.unwrap_or(0.0).max(own)
}

fn competing(instance: &InstanceStatus, other: &CompetitorStatus) -> Option<Finding> {
    if other.count < SEVERAL || !goes_on(instance, other.last_ms_ago, other.every_ms) {
        return None;
    }
    let adverts = format!("{} adverts, last {} ago", other.count, age(other.last_ms_ago));
    let (what, advice) = problem(&other.problem);
    let (name, address) = (&instance.name, &other.address);
    let harmless = ["own_packet", "carp", "hmac_replay", "other_destination", "address_list_mismatch"];
    if instance.state == "MASTER" && !harmless.contains(&other.problem.as_str()) {
        #[expect(clippy::cast_precision_loss, reason = "a time")]
        let settled = instance.since_ms as f64 >= 3.0 * other.every_ms.unwrap_or(0.0);
        let message = format!("{address} is master too ({what}: {adverts})");
        return (other.problem != "accepted" || settled)
            .then(|| finding(Severity::Critical, "competing_master", name, message, advice));
    }
    let told = ["MASTER", "BACKUP"].contains(&instance.state.as_str()) && other.problem != "accepted";
    let message = format!("adverts of {address} are rejected ({what}: {adverts})");
    told.then(|| finding(Severity::Warning, "rejected_adverts", name, message, advice))
}

/// What is wrong with somebody's adverts, by the word of the counter, and what to do.
fn problem(word: &str) -> (&str, &'static str) {
    match word {
        "accepted" => (
            "it goes on although its priority is lower, so it does not hear this router",
            "look for what keeps this router's adverts from it: a firewall, IGMP snooping, its check_source",
        ),
        "auth_failure" => ("its password differs", "make auth_pass the same on both routers"),
        "auth_type_mismatch" => {
            ("its kind of authentication differs", "make auth_type the same on both routers")
        }
        "invalid_auth_type" => {
            ("its kind of authentication is not known", "compare auth_type on both routers")
        }
        "bad_version" => {
            ("its VRRP version differs", "make vrrp_version or version the same on both routers")
        }
        "interval_mismatch" => ("its interval differs", "make advert_int the same on both routers"),
        "bad_interval" => ("its interval is zero", "look at what sends these adverts"),
        "bad_checksum" => (
            "its checksum is another one",
            "compare vrrp_version; if it is another make of router, see how it counts the checksum of VRRPv3",
        ),
        "bad_length" | "no_addresses" | "bad_type" => {
            ("its adverts have another form", "compare auth_hmac and virtual_ipaddress on both routers")
        }
        "hmac_missing" | "hmac_malformed" | "hmac_unknown_key" | "hmac_invalid" => {
            ("its signature is not right", "compare auth_hmac on both routers; docs/authentication.md")
        }
        "hmac_stale" => ("its clock differs", "compare the time (NTP) of both routers"),
        "hmac_replay" => ("they are repeated", "find out who repeats adverts on this link"),
        "bad_ttl" => {
            ("its TTL is wrong", "adverts must not be routed; for unicast compare min_ttl and max_ttl")
        }
        "unicast_at_multicast" => {
            ("it sends to unicast_peer, and this router does not", "make both the same")
        }
        "multicast_at_unicast" => ("it has no unicast_peer, and this router has", "make both the same"),
        "other_group" => ("it sends to another multicast group", "make vrrp_mcast_group4 the same"),
        "other_destination" => ("they are for another host", "look at the switch: it floods them"),
        "unknown_peer" => ("it is not in unicast_peer or check_source", "name it there, or stop it"),
        "address_list_mismatch" => (
            "none of its addresses is one of ours: another service has this VRID",
            "give one of the two another virtual_router_id",
        ),
        "own_packet" => (
            "they come from this router's own address",
            "look for another host with this address, or a loop in the network",
        ),
        "carp" => ("it is CARP", "give the CARP router another number than this VRID"),
        other => (other, "`xvrrp counters` and the log have more"),
    }
}

fn foreign(instance: &InstanceStatus, other: &ForeignStatus) -> Option<Finding> {
    // They are looked at now and then only, as long as there are many.
    if !["MASTER", "BACKUP"].contains(&instance.state.as_str()) || other.last_ms_ago > 10_000.0 {
        return None;
    }
    let severity = if instance.state == "MASTER" { Severity::Critical } else { Severity::Warning };
    let ForeignStatus { vrid, family, source, address, .. } = other;
    let which = if *vrid == instance.vrid { format!(" over {family}") } else { String::new() };
    let message = format!(
        "{source} advertises {address} as VRID {vrid}{which}, which is not configured here ({} adverts, last {} ago)",
        other.count,
        age(other.last_ms_ago)
    );
    let advice = "make virtual_router_id and the family of the first address the same on both routers";
    Some(finding(severity, "foreign_vrid", &instance.name, message, advice))
}

fn misplaced(instance: &InstanceStatus) -> impl Iterator<Item = Finding> {
    let list = |addresses: &[String]| addresses.join(", ");
    let missing = (!instance.missing.is_empty()).then(|| {
        let message = format!("is master, and not there: {}", list(&instance.missing));
        let advice = "the log says why it could not be added; `xvrrp doctor` says which rights are missing";
        finding(Severity::Critical, "address_missing", &instance.name, message, advice)
    });
    let held = (!instance.held.is_empty()).then(|| {
        let message = format!("is not master, and still there: {}", list(&instance.held));
        let advice = "remove it (`ip addr del`), and from whatever else configures it at boot";
        finding(Severity::Critical, "address_held", &instance.name, message, advice)
    });
    missing.into_iter().chain(held)
}

fn no_standby(instance: &InstanceStatus, standby: &StandbyStatus) -> Option<Finding> {
    let since_ms = standby.since_ms.filter(|ms| *ms >= STANDBY_AWAY_MS)?;
    if standby.state != "none" {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "an age")]
    let ago = age(since_ms as f64);
    let since = standby.since.as_deref().unwrap_or_default();
    let message = format!("nobody would take over, for {ago} now (since {since})");
    let advice = "look at the other router: `xvrrp status` there, its link, and fast_key on both";
    Some(finding(Severity::Warning, "no_standby", &instance.name, message, advice))
}

fn no_master(instance: &InstanceStatus) -> Option<Finding> {
    if instance.state != "BACKUP" || instance.since_ms < NO_MASTER_MS {
        return None;
    }
    let message = match &instance.master {
        None => "is backup, and no master is known".to_owned(),
        Some(master) if master.last_advert_age_ms > 2.0 * instance.master_down_ms.max(1_000.0) => format!(
            "is backup, and {} has been silent for {}",
            master.address,
            age(master.last_advert_age_ms)
        ),
        Some(_) => return None,
    };
    let advice = "where it is in a sync group, another member keeps it from taking over: see `fault` there";
    Some(finding(Severity::Warning, "no_master", &instance.name, message, advice))
}
