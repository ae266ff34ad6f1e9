//! Which network addresses may be dialled for an address that an operator wrote.
//!
//! Responsible for telling the public internet from what lies behind it: this machine, its private networks, the
//! metadata service of a cloud. Refuses nothing by itself. Invariant: an IPv4 address that is written inside an IPv6
//! one counts as what it is, so that no notation is a way around.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Says whether an address is reachable from anywhere, and so no door into a private network.
///
/// # Source
/// IANA's special-purpose registries for IPv4 (RFC 6890 and its successors) and IPv6; NAT64 RFC 6052, 6to4 RFC 3056,
/// Teredo RFC 4380. Anything of IPv6 outside 2000::/3 is not assigned to the public.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Says whether an address is this machine.
#[must_use]
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let special = match first {
        // this network, private, loopback, multicast, reserved, broadcast
        0 | 10 | 127 | 224..=255 => true,
        // shared by carriers (RFC 6598)
        100 => second & 0xc0 == 64,
        // link-local, the cloud's metadata service
        169 => second == 254,
        172 => second & 0xf0 == 16,
        // private; protocol assignments and TEST-NET-1; the 6to4 relay
        192 => matches!((second, third), (168, _) | (0, 0 | 2) | (88, 99)),
        // benchmarks (RFC 2544); TEST-NET-2
        198 => second & 0xfe == 18 || (second, third) == (51, 100),
        // TEST-NET-3
        203 => (second, third) == (0, 113),
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let [first, second, third, fourth, .., seventh, eighth] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (first, second) {
        // NAT64 reaches what the IPv4 address inside reaches
        (0x64, 0xff9b) => (third, fourth) == (0, 0) && v4(seventh, eighth),
        // 6to4 likewise
        (0x2002, _) => v4(second, third),
        // protocol assignments, Teredo and ORCHID among them; documentation
        (0x2001, 0..=0x1ff | 0xdb8) => false,
        // documentation (RFC 9637)
        (0x3fff, 0..=0x0fff) => false,
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REFUSED: [&str; 45] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2001:20::1",
        "2002:7f00:1::",
        "2002:c0a8:101::",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "5f00::1",
    ];

    #[test]
    fn what_lies_behind_the_public_internet_is_told_from_it() {
        for text in REFUSED {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.0.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn no_way_of_writing_an_ipv4_address_changes_what_it_is(bits in any::<u32>(), tail in any::<u64>()) {
            let inner = Ipv4Addr::from_bits(bits);
            let [high, low] = [(bits >> 16) as u16, bits as u16];
            let expected = is_public(inner.into());
            // the standard library's own words are a lower bound for what is refused
            if inner.is_private() || inner.is_loopback() || inner.is_link_local() || inner.is_multicast()
                || inner.is_broadcast() || inner.is_documentation() || inner.is_unspecified() {
                prop_assert!(!expected);
            }
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            let within = Ipv6Addr::new(0x2002, high, low, tail as u16, 0, 0, 0, 1);
            for wrapped in [inner.to_ipv6_mapped(), nat64, within] {
                prop_assert_eq!(is_public(wrapped.into()), expected, "{}", wrapped);
            }
        }

        #[test]
        fn of_ipv6_only_what_is_assigned_to_the_public_is_public(bits in any::<u128>()) {
            let address = Ipv6Addr::from_bits(bits);
            if is_public(address.into()) {
                let wrapped = address.to_ipv4_mapped().is_some() || address.segments()[0] == 0x64;
                prop_assert!(wrapped || address.segments()[0] & 0xe000 == 0x2000);
            }
        }
    }
}
