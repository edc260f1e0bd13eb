//! Addresses for addresses, prefix by prefix.
//!
//! Two addresses that share their first n bits share the first n bits of their pseudonyms (as in
//! Xu, Fan, Ammar and Moon, "Prefix-Preserving IP Address Anonymization", 2002): each bit is
//! flipped or not as a keyed digest of the bits before it says. What an address is for stays
//! legible: private, link-local and multicast ranges keep the bits that say so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::anonymize::text::Key;

/// The pseudonym of an address.
pub(super) fn address(key: &Key, address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let kept = kept_v4(address);
            let bits = u128::from(address.to_bits()) << 96;
            let bits = bits_of(key, 4, bits, kept, 32) >> 96;
            IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or_default()))
        }
        IpAddr::V6(address) => {
            let kept = kept_v6(address);
            IpAddr::V6(Ipv6Addr::from_bits(bits_of(key, 6, address.to_bits(), kept, 128)))
        }
    }
}

/// The first `length` of `bits`, those from `kept` on replaced.
fn bits_of(key: &Key, family: u8, bits: u128, kept: u32, length: u32) -> u128 {
    let mut result = bits;
    for place in kept..length {
        let bit = 1_u128 << (127 - place);
        // The bits before this one, and how many they are.
        let before = if place == 0 { 0 } else { bits & (u128::MAX << (128 - place)) };
        let mut message = [0; 19];
        let [first, second, rest @ ..] = &mut message;
        *first = family;
        *second = u8::try_from(place).unwrap_or_default();
        for (to, from) in rest.iter_mut().zip(before.to_be_bytes()) {
            *to = from;
        }
        if key.digest(&message).first().is_some_and(|byte| byte & 1 == 1) {
            result ^= bit;
        }
    }
    result
}

/// How many leading bits tell what the address is for (IANA's special-purpose registry).
fn kept_v4(address: Ipv4Addr) -> u32 {
    match address.octets() {
        // Nobody, everybody, oneself, and groups.
        [0 | 127 | 224..=255, ..] => 32,
        [10, ..] => 8,
        [172, 16..=31, ..] => 12,
        [169, 254, ..] | [192, 168, ..] => 16,
        [100, 64..=127, ..] => 10,
        _ => 0,
    }
}

fn kept_v6(address: Ipv6Addr) -> u32 {
    let first = address.segments()[0];
    if address.is_multicast() || address.is_loopback() || address.is_unspecified() {
        128
    } else if first & 0xffc0 == 0xfe80 {
        // Link-local addresses begin with 64 fixed bits.
        64
    } else if first & 0xfe00 == 0xfc00 {
        8
    } else {
        // Global unicast, 2000::/3.
        3
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shared(a: u128, b: u128) -> u32 {
        (a ^ b).leading_zeros()
    }

    proptest! {
        #[test]
        fn prefixes_are_kept_and_nothing_more(a: u32, b: u32) {
            let key = Key::new("a key");
            // Public addresses: what others are for is kept.
            let (a, b) = (a & 0x3fff_ffff | 0x4000_0000, b & 0x3fff_ffff | 0x4000_0000);
            prop_assume!([a, b].iter().all(|it| kept_v4(Ipv4Addr::from_bits(*it)) == 0));
            let map = |bits: u32| match address(&key, IpAddr::V4(Ipv4Addr::from_bits(bits))) {
                IpAddr::V4(address) => u128::from(address.to_bits()),
                IpAddr::V6(_) => unreachable!(),
            };
            prop_assert_eq!(shared(u128::from(a), u128::from(b)), shared(map(a), map(b)));
        }

        #[test]
        fn prefixes_of_version_6_are_kept_too(a: u128, b: u128) {
            let key = Key::new("a key");
            let global = |bits: u128| bits >> 3 | 1 << 125;
            let (a, b) = (global(a), global(b));
            let map = |bits: u128| match address(&key, IpAddr::V6(Ipv6Addr::from_bits(bits))) {
                IpAddr::V6(address) => address.to_bits(),
                IpAddr::V4(_) => unreachable!(),
            };
            prop_assert_eq!(shared(a, b), shared(map(a), map(b)));
        }
    }

    #[test]
    fn what_an_address_is_for_stays_legible() {
        let key = Key::new("a key");
        let map = |text: &str| address(&key, text.parse().unwrap());
        for text in ["127.0.0.1", "255.255.255.255", "224.0.0.252", "::1", "ff02::1:3", "0.0.0.0"] {
            assert_eq!(map(text).to_string(), text);
        }
        for (text, begins) in [
            ("10.1.2.3", "10."),
            ("192.168.7.9", "192.168."),
            ("169.254.1.1", "169.254."),
            ("fe80::1234", "fe80::"),
        ] {
            assert!(map(text).to_string().starts_with(begins), "{text}");
            assert_ne!(map(text).to_string(), text);
        }
        assert_ne!(map("10.1.2.3"), address(&Key::new("another key"), "10.1.2.3".parse().unwrap()));
    }
}
