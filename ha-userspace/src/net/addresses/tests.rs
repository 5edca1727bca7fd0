use super::*;

#[test]
fn the_virtual_address_of_the_configuration_is_taken_over() {
    let vip = |address: &str, prefix| Vip {
        scope: 253,
        label: Some("ens160:1".to_owned()),
        noprefixroute: true,
        ..Vip::plain(address.parse().expect("an address"), prefix)
    };
    let spec = AddressSpec::new(7, &vip("172.16.1.25", 32));
    assert_eq!((spec.ifindex, spec.prefix, spec.scope, spec.noprefixroute), (7, 32, 253, true));
    assert_eq!(spec.label.as_deref(), Some("ens160:1"));
    assert_eq!(spec.preferred, None);
    let with_peer = Vip { peer: Some(("10.0.0.2".parse().expect("an address"), 30)), ..vip("10.0.0.1", 32) };
    assert_eq!(AddressSpec::new(7, &with_peer).prefix, 30, "the prefix is that of the other end");
}

#[test]
fn a_batch_asks_for_one_answer_per_buffer() {
    let spec = |number: u16| AddressSpec {
        ifindex: 2,
        address: Ipv4Addr::from_bits(0x0a00_0000 + u32::from(number)).into(),
        prefix: 32,
        broadcast: None,
        scope: 0,
        label: None,
        noprefixroute: false,
        preferred: None,
        peer: None,
        flags: Flags::default(),
    };
    let batch = Batch::prepare(&(0..1500).map(spec).collect::<Vec<_>>());
    let counts: Vec<_> = batch.chunks().iter().map(|chunk| chunk.count).collect();
    assert_eq!(counts, [1024, 476]);
    for chunk in batch.chunks() {
        let mut rest = &chunk.bytes[..];
        let mut flags = Vec::new();
        while let Ok(header) = netlink_packet_core::NetlinkBuffer::new_checked(rest) {
            flags.push(header.flags() & netlink_packet_core::NLM_F_ACK != 0);
            rest = &rest[usize::try_from(header.length()).expect("small").next_multiple_of(4)..];
        }
        assert_eq!((rest.len(), flags.len()), (0, usize::try_from(chunk.count).expect("small")));
        assert_eq!(flags.iter().filter(|&&ack| ack).count(), 1);
        assert_eq!(flags.last(), Some(&true));
    }
    assert_eq!(Batch::prepare(&[]).chunks().len(), 0);
}
