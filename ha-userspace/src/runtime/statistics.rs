//! keepalived's statistics of a virtual router.

use ha_common::counter::Counter;

use super::router::Router;

impl Router {
    /// An advert was dropped.
    pub(super) fn count_reject(&mut self, reason: Counter) {
        let field = match reason {
            Counter::BadLength | Counter::NoAddresses => &mut self.stats.packet_len_err,
            Counter::BadInterval | Counter::IntervalMismatch => &mut self.stats.advert_interval_err,
            Counter::BadTtl => &mut self.stats.ip_ttl_err,
            Counter::BadType => &mut self.stats.invalid_type_rcvd,
            Counter::InvalidAuthType => &mut self.stats.invalid_authtype,
            Counter::AuthTypeMismatch => &mut self.stats.authtype_mismatch,
            Counter::AuthFailure => &mut self.stats.auth_failure,
            Counter::HmacMissing => &mut self.stats.auth_ext_missing,
            Counter::HmacMalformed => &mut self.stats.auth_ext_malformed,
            Counter::HmacUnknownKey => &mut self.stats.auth_ext_unknown_key,
            Counter::HmacInvalid => &mut self.stats.auth_ext_invalid_hmac,
            Counter::HmacStale => &mut self.stats.auth_ext_stale,
            Counter::HmacReplay => &mut self.stats.auth_ext_replay,
            Counter::AddressListMismatch => &mut self.stats.addr_list_err,
            _ => return,
        };
        *field += 1;
    }
}
