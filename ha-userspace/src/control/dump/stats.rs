//! Statistics: keepalived's labels, line for line, because people scrape them. The lines of `auth_hmac`, which 2.4 always
//! has, are there where an instance has one.

use std::fmt::Write;

use super::Content;

/// The text of `keepalived.stats`.
#[must_use]
pub fn text(content: &Content) -> String {
    let mut text = String::new();
    for instance in &content.status.instances {
        let stats = &instance.stats;
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "VRRP Instance: {}\n  Advertisements:\n    Received: {}\n    Sent: {}\n  Became master: {}\n  \
             Released master: {}\n  Packet Errors:\n    Length: {}\n    TTL: {}\n    Invalid Type: {}\n    \
             Advertisement Interval: {}\n    Address List: {}\n  Authentication Errors:\n    Invalid Type: {}\n    \
             Type Mismatch: {}\n    Failure: {}\n",
            instance.name,
            stats.advert_rcvd,
            stats.advert_sent,
            stats.become_master,
            stats.release_master,
            stats.packet_len_err,
            stats.ip_ttl_err,
            stats.invalid_type_rcvd,
            stats.advert_interval_err,
            stats.addr_list_err,
            stats.invalid_authtype,
            stats.authtype_mismatch,
            stats.auth_failure,
        );
        if instance.hmac.is_some() {
            let _ = write!(
                text,
                "  Authentication Extension Errors:\n    Missing: {}\n    Malformed: {}\n    Unknown Key: {}\n    \
                 Invalid HMAC: {}\n    Stale: {}\n    Replay: {}\n",
                stats.auth_ext_missing,
                stats.auth_ext_malformed,
                stats.auth_ext_unknown_key,
                stats.auth_ext_invalid_hmac,
                stats.auth_ext_stale,
                stats.auth_ext_replay,
            );
        }
        let _ = write!(
            text,
            "  Priority Zero:\n    Received: {}\n    Sent: {}\n",
            stats.pri_zero_rcvd, stats.pri_zero_sent
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{HmacStatus, InstanceStats, InstanceStatus, Status};

    #[test]
    fn the_lines_of_auth_hmac_are_those_of_keepalived_2_4() {
        let stats = InstanceStats { auth_ext_missing: 1, auth_ext_replay: 2, ..InstanceStats::default() };
        let plain = InstanceStatus { name: "V1".to_owned(), stats, ..InstanceStatus::default() };
        let signed = InstanceStatus { hmac: Some(HmacStatus::default()), ..plain.clone() };
        let text = |instance: InstanceStatus| {
            text(&Content {
                status: Status { instances: vec![instance], ..Status::default() },
                config: crate::config::model::Config::default(),
                sources: Vec::new(),
                groups: Vec::new(),
                at: std::time::UNIX_EPOCH,
            })
        };
        let lines = "  Authentication Extension Errors:\n    Missing: 1\n    Malformed: 0\n    Unknown Key: 0\n    \
                     Invalid HMAC: 0\n    Stale: 0\n    Replay: 2\n  Priority Zero:\n";
        assert!(text(signed).contains(lines));
        assert!(!text(plain).contains("Extension"));
    }
}
