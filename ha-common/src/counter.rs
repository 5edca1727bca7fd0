//! One flat list of everything that can happen to a received frame.
//!
//! The same list is the counters of the map `HA_COUNTERS` (what the XDP program decides) and of `HA_JUDGED` (what
//! user space decides), the reject reason that user space reports, and the word in logs, in `xvrrp counters` and
//! in `bpftool map dump`: each map has one entry, a structure with one field per counter, because bpftool prints
//! the names of fields and not those of array indices.

use bytemuck::{Pod, Zeroable};

macro_rules! counters {
    ($($(#[$struct_doc:meta])* $struct:ident { $($(#[$doc:meta])* $name:ident = $word:ident,)+ })+) => {
        /// What happened to a frame.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Counter { $($($(#[$doc])* $name,)+)+ }

        impl Counter {
            /// Every counter, in the order of the indices.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)+)+];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The counter's word in logs and output.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $($(Self::$name => stringify!($word),)+)+ }
            }

            /// The index in [`Counter::ALL`].
            #[must_use]
            pub const fn index(self) -> u32 {
                self as u32
            }
        }

        $(
            $(#[$struct_doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
            #[repr(C)]
            pub struct $struct { $($(#[$doc])* pub $word: u64,)+ }

            impl $struct {
                /// The counters in here, in the order of the fields.
                pub const ALL: &'static [Counter] = &[$(Counter::$name,)+];
            }
        )+
    };
}

counters! {
    /// What the XDP program counts: the one entry of `HA_COUNTERS`, per CPU, and the start of [`Counter::ALL`].
    XdpCounters {
        /// Advert with the fingerprint of the tracked master: stamped, nobody woken.
        Stamped = stamped,
        /// Handed to user space through the ring buffer.
        ToUser = to_user,
        /// Would have gone to user space, but the VRID's rate limit was used up.
        RateLimited = rate_limited,
        /// Would have gone to user space, but the ring buffer was full.
        RingFull = ring_full,
        /// VRRP for a VRID that is not configured on this interface, or for VRID 0, which no router has.
        UnknownVrid = unknown_vrid,
        /// VRRP inside a VLAN that is not this interface's.
        OtherVlan = other_vlan,
        /// A fragment of a VRRP packet, which no router sends.
        Fragment = fragment,
        /// Too short for the headers that it claims to have, or headers that contradict themselves.
        Truncated = truncated,
        /// A chain of IP extension headers that is longer than any router sends.
        ExtensionHeaders = extension_headers,
        /// VRRP in a packet longer than 255 addresses need, which no router sends.
        Oversized = oversized,
        /// A liveness probe that was reflected.
        ProbeAnswered = probe_answered,
        /// VRID 0 and the length of a probe, but not in its exact form: hop limit, MAC address, type, a field.
        ProbeRejected = probe_rejected,
        /// A probe or reply whose tag does not match `fast_key`.
        ProbeTag = probe_tag,
        /// A probe with the right tag that had come before, or is older than one that had: replayed.
        ProbeReplayed = probe_replayed,
        /// A probe that was not answered, because its sender had used up its rate limit.
        ProbeRateLimited = probe_rate_limited,
        /// A reply to a probe of ours, believed.
        ReplyBelieved = reply_believed,
        /// A reply that is none to the probes on their way: replayed, late, or from somebody else.
        ReplyIgnored = reply_ignored,
        /// Traffic for a virtual address, dropped because the fence was closed.
        Fenced = fenced,
        /// Traffic for a virtual address that is here for a takeover to come (`hot_standby`), and another router's now.
        HotStandby = hot_standby,
        /// A solicitation for a virtual address that is being handed over, left to the successor.
        Suppressed = suppressed,
        /// Traffic for a virtual address of a router with `no_accept`.
        Refused = refused,
        /// An advert that closed the fence of its virtual router: its sender has taken over. Counted besides what
        /// else became of it.
        Superseded = superseded,
        /// VRRP that nobody was there to judge: the daemon had gone.
        Unattended = unattended,
    }

    /// What user space counts after judging (events and the raw-socket fallback alike): the one entry of
    /// `HA_JUDGED`, and the rest of [`Counter::ALL`].
    JudgedCounters {
        /// A valid advert that was accepted.
        Accepted = accepted,
        /// TTL or hop limit is not 255 (RFC 9568 section 7.1), or outside min_ttl/max_ttl on unicast.
        BadTtl = bad_ttl,
        /// Version is not the configured one.
        BadVersion = bad_version,
        /// Type is not 1 (ADVERTISEMENT).
        BadType = bad_type,
        /// Length does not fit the address count, or trailing bytes.
        BadLength = bad_length,
        /// Checksum does not match.
        BadChecksum = bad_checksum,
        /// Address count zero.
        NoAddresses = no_addresses,
        /// VRRPv3 interval zero.
        BadInterval = bad_interval,
        /// VRRPv2 interval differs from the local one (RFC 3768 section 7.1).
        IntervalMismatch = interval_mismatch,
        /// VRRPv2 authentication type is none of the known ones.
        InvalidAuthType = invalid_auth_type,
        /// VRRPv2 authentication type differs from the configured one.
        AuthTypeMismatch = auth_type_mismatch,
        /// VRRPv2 password or authentication header does not match.
        AuthFailure = auth_failure,
        /// No trailer, where `auth_hmac` wants one.
        HmacMissing = hmac_missing,
        /// A trailer of another form.
        HmacMalformed = hmac_malformed,
        /// A trailer with a key id that is not configured.
        HmacUnknownKey = hmac_unknown_key,
        /// A trailer with another HMAC: another key, or something was changed on the way.
        HmacInvalid = hmac_invalid,
        /// A trailer from outside of `time_window`.
        HmacStale = hmac_stale,
        /// A trailer whose sequence its sender has used before.
        HmacReplay = hmac_replay,
        /// No trailer, accepted all the same: `auth_hmac` is in a mode for migration.
        HmacUnsigned = hmac_unsigned,
        /// CARP, which uses protocol 112 and 224.0.0.18 too.
        Carp = carp,
        /// Multicast advert for a unicast instance.
        MulticastAtUnicast = multicast_at_unicast,
        /// Unicast advert for a multicast instance.
        UnicastAtMulticast = unicast_at_multicast,
        /// Multicast advert for another group than the instance's.
        OtherGroup = other_group,
        /// Unicast advert for an address that this host does not have: a switch floods what it knows no port for.
        OtherDestination = other_destination,
        /// Source is not among `unicast_peer`, where `check_unicast_src` is set, or not among `check_source`.
        UnknownPeer = unknown_peer,
        /// Our own advert came back (a bridge loop, or a mirrored port).
        OwnPacket = own_packet,
        /// Address list differs from ours. Accepted all the same, unless the two have no address in common.
        AddressListMismatch = address_list_mismatch,
        /// VRRPv3 interval differs from ours: accepted and learned.
        IntervalLearned = interval_learned,
        /// Priority zero received: the master resigned.
        PriorityZero = priority_zero,
    }
}

const _: () = assert!(size_of::<XdpCounters>() == XdpCounters::ALL.len() * size_of::<u64>());
const _: () = assert!(size_of::<JudgedCounters>() == JudgedCounters::ALL.len() * size_of::<u64>());
const _: () = assert!(XdpCounters::ALL[0].index() == 0);
const _: () = assert!(JudgedCounters::ALL[0].index() as usize == XdpCounters::ALL.len());

#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "aya's marker trait has no derive")]
mod user {
    use super::{JudgedCounters, XdpCounters};

    // SAFETY: plain integers without padding, as bytemuck's derive checked.
    unsafe impl aya::Pod for XdpCounters {}
    // SAFETY: plain integers without padding, as bytemuck's derive checked.
    unsafe impl aya::Pod for JudgedCounters {}
}
