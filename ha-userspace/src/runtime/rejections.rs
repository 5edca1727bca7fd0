//! Why an advert was dropped, in a sentence: what is wrong, and where to look.

use ha_common::counter::Counter;

/// A reject reason in a sentence, with what to do.
pub(super) fn explain(reason: Counter) -> String {
    let hint = match reason {
        Counter::AuthFailure => {
            "the password differs; is it a neighbour's virtual router with the same VRID?"
        }
        Counter::AuthTypeMismatch => "one side has authentication and the other has not, or another kind",
        Counter::BadLength => {
            "the length does not fit the number of addresses; has one side an auth_hmac and the other none?"
        }
        Counter::HmacMissing => {
            "it is not signed, and auth_hmac wants it to be; in a migration, begin with mode receive-only"
        }
        Counter::HmacMalformed => "its trailer is of another kind, such as that of keepalived before 2.4.2",
        Counter::HmacUnknownKey => "it is signed under a key number that is not in auth_hmac here",
        Counter::HmacInvalid => {
            "it is signed under another key of the same number, by keepalived before 2.4.2, or was changed on the way"
        }
        Counter::HmacStale => {
            "the clocks differ by more than time_window, or it is an old one; compare NTP on both"
        }
        Counter::HmacReplay => "its sender has sent a newer one: it was repeated, or overtaken on the way",
        Counter::BadTtl => "the TTL is not 255, so it may have come through a router",
        Counter::BadVersion => {
            "it is of the other VRRP version; compare vrrp_version or version of both routers"
        }
        Counter::IntervalMismatch => "advert_int differs, and VRRPv2 wants it to be the same on all routers",
        Counter::BadChecksum => "the checksum is wrong",
        Counter::Carp => "it is CARP, which uses the same protocol number",
        Counter::MulticastAtUnicast => "it is multicast, and this router has unicast_peer",
        Counter::UnicastAtMulticast => "it is unicast, and this router has no unicast_peer",
        Counter::OtherDestination => "it is addressed to another host",
        Counter::UnknownPeer => "the sender is not among unicast_peer or check_source",
        Counter::AddressListMismatch => {
            "none of its addresses is one of ours: another service with this VRID; skip_check_adv_addr takes it"
        }
        Counter::OwnPacket => "it has our own source address: a loop, or another host with our address",
        _ => return reason.word().to_owned(),
    };
    format!("{} ({hint})", reason.word())
}
