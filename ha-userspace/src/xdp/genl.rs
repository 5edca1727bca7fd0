//! Questions about an interface over generic netlink: its features and queues (`ethtool`, Linux 5.6), what its driver
//! does for XDP (`netdev`, Linux 6.3).
//!
//! A kernel that does not know a question is no error: the answer is then `None`.

use std::os::fd::AsFd;
use std::time::Duration;

use netlink_packet_core::NlasIterator;
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use socket2::SockRef;

use super::facts::{Features, Offload, Offloads, QueueCounts};

/// The kernel answers before the call that asks returns; a safety net.
const PATIENCE: Duration = Duration::from_secs(1);

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// Length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// Command, version, reserved.
const GENERIC_HEADER: usize = 4;
/// Length and type of an attribute.
const NLA_HEADER: usize = 4;
const NESTED: u16 = 1 << 15;

const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

const ETHTOOL_HEADER: u16 = 1;
const ETHTOOL_HEADER_IFINDEX: u16 = 1;
const FEATURES_GET: u8 = 11;
const FEATURES_CHANGEABLE: u16 = 2;
const FEATURES_ACTIVE: u16 = 4;
const BITSET_BITS: u16 = 3;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;
const BITSET_NOMASK: u16 = 1;
const CHANNELS_GET: u8 = 17;

const DEV_GET: u8 = 1;
const DEV_IFINDEX: u16 = 1;
const DEV_XDP_FEATURES: u16 = 3;

/// The offloads that matter for XDP.
pub(super) fn offloads(ifindex: u32) -> Offloads {
    let Some(answer) = ask_ethtool(ifindex, FEATURES_GET) else { return Offloads::default() };
    let (active, changeable) = (names(&answer, FEATURES_ACTIVE), names(&answer, FEATURES_CHANGEABLE));
    let offload = |name: &str| {
        Some(Offload {
            on: active.iter().any(|active| active == name),
            fixed: !changeable.iter().any(|changeable| changeable == name),
        })
    };
    Offloads { rx_vlan: offload("rx-vlan-hw-parse"), lro: offload("rx-lro"), gro_hw: offload("rx-gro-hw") }
}

/// The queues; `None` where the device has none that can be told.
pub(super) fn queues(ifindex: u32) -> Option<QueueCounts> {
    let answer = ask_ethtool(ifindex, CHANNELS_GET)?;
    let count = |kind| attribute(&answer, kind).and_then(number).unwrap_or(0);
    Some(QueueCounts { max_combined: count(5), rx: count(6), tx: count(7), combined: count(9) })
}

/// What the driver does for XDP, as it stands at the moment.
pub(super) fn xdp_features(ifindex: u32) -> Option<Features> {
    let answer = ask("netdev", DEV_GET, &encode(DEV_IFINDEX, &ifindex.to_ne_bytes()))?;
    let bits = attribute(&answer, DEV_XDP_FEATURES)?;
    Some(Features(u64::from_ne_bytes(bits.try_into().ok()?)))
}

fn ask_ethtool(ifindex: u32, command: u8) -> Option<Vec<u8>> {
    let which = encode(ETHTOOL_HEADER_IFINDEX, &ifindex.to_ne_bytes());
    ask("ethtool", command, &encode(ETHTOOL_HEADER | NESTED, &which))
}

/// The attributes of the answer to one question.
fn ask(family: &str, command: u8, attributes: &[u8]) -> Option<Vec<u8>> {
    let mut socket = Socket::new(NETLINK_GENERIC).ok()?;
    socket.bind_auto().ok()?;
    SockRef::from(&socket.as_fd()).set_read_timeout(Some(PATIENCE)).ok()?;
    let name = encode(FAMILY_NAME, format!("{family}\0").as_bytes());
    let answer = exchange(&socket, CONTROLLER, GET_FAMILY, &name)?;
    let id = u16::from_ne_bytes(attribute(&answer, FAMILY_ID)?.try_into().ok()?);
    exchange(&socket, id, command, attributes)
}

fn exchange(socket: &Socket, family: u16, command: u8, attributes: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(HEADER + GENERIC_HEADER + attributes.len()).ok()?;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(family.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend(attributes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).ok()?;
    let (answer, _) = socket.recv_from_full().ok()?;
    payload(&answer, family).map(<[u8]>::to_vec)
}

/// The attributes of a message, if it is the family's and no error.
fn payload(answer: &[u8], family: u16) -> Option<&[u8]> {
    let length = u32::from_ne_bytes(answer.get(..4)?.try_into().ok()?);
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    (kind == family).then_some(())?;
    answer.get(HEADER + GENERIC_HEADER..usize::try_from(length).ok()?)
}

/// One attribute, padded.
fn encode(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(NLA_HEADER + value.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let nla = NlasIterator::new(attributes).map_while(Result::ok).find(|nla| nla.kind() == kind)?;
    let length = nla.value_length();
    nla.into_inner().get(NLA_HEADER..NLA_HEADER + length)
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.get(..4)?.try_into().ok()?))
}

/// The names of the bits that are set in a bitset.
fn names(attributes: &[u8], bitset: u16) -> Vec<String> {
    let Some(bitset) = attribute(attributes, bitset) else { return Vec::new() };
    let listed_is_set = attribute(bitset, BITSET_NOMASK).is_some();
    let Some(bits) = attribute(bitset, BITSET_BITS) else { return Vec::new() };
    NlasIterator::new(bits)
        .map_while(Result::ok)
        .filter_map(|bit| {
            let bit = bit.value();
            (listed_is_set || attribute(bit, BIT_VALUE).is_some()).then_some(())?;
            let name = attribute(bit, BIT_NAME)?;
            Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_attribute_is_found_again() {
        let mut bytes = encode(7, b"abc");
        bytes.extend(encode(9, &1234u32.to_ne_bytes()));
        assert_eq!(attribute(&bytes, 7), Some(&b"abc"[..]));
        assert_eq!(attribute(&bytes, 9).and_then(number), Some(1234));
        assert_eq!(attribute(&bytes, 8), None);
        // Cut off anywhere, it is not found, and nothing panics.
        for length in 0..8 {
            assert_eq!(attribute(&bytes[..length], 9), None);
        }
    }

    #[test]
    fn bits_are_set_by_their_flag_or_by_being_listed() {
        let bit = |name: &[u8], set: bool| {
            let mut bit = encode(BIT_NAME, name);
            if set {
                bit.extend(encode(BIT_VALUE, &[]));
            }
            encode(1 | NESTED, &bit)
        };
        let bits = [bit(b"rx-lro\0", true), bit(b"rx-gro-hw\0", false)].concat();
        let masked = encode(FEATURES_ACTIVE | NESTED, &encode(BITSET_BITS | NESTED, &bits));
        assert_eq!(names(&masked, FEATURES_ACTIVE), ["rx-lro"]);
        let listed = [encode(BITSET_NOMASK, &[]), encode(BITSET_BITS | NESTED, &bits)].concat();
        assert_eq!(
            names(&encode(FEATURES_ACTIVE | NESTED, &listed), FEATURES_ACTIVE),
            ["rx-lro", "rx-gro-hw"]
        );
    }

    #[test]
    fn messages_of_others_and_errors_are_no_answers() {
        let mut answer = vec![0; HEADER + GENERIC_HEADER];
        answer[0] = 20;
        answer[4] = 20;
        assert_eq!(payload(&answer, 20), Some(&[][..]));
        assert_eq!(payload(&answer, 2), None);
        answer[0] = 24;
        assert_eq!(payload(&answer, 20), None);
        assert_eq!(payload(&answer[..10], 20), None);
    }
}
