//! The network's own words: endpoints, flow keys, sequence numbers, times, frame numbers.
//!
//! Small values with no behaviour beyond their arithmetic. Everything above imports this
//! module.

mod address;
mod label;
pub(crate) mod letters;
mod name;
mod ports;
pub(crate) mod varint;

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use address::{Address, ConversationHost, HostName, Network, Part};
pub use label::Label;
pub use name::{KnownName, NameSource, first_label, looks_like_a_name, without_root};
pub use ports::{PortCounts, PortSet};

use crate::net::address::Kind;
use crate::net::letters::Letters;
use crate::words::words;

/// Number of a frame in its capture, from 1, counting every frame in the file.
///
/// It is the number that Wireshark and Network Monitor show, so frames that hold no
/// traffic are counted too.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct FrameNumber(pub u64);

impl fmt::Display for FrameNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(Letters::of_number(self.0).as_str())
    }
}

words! {
    /// The transport protocols of flows.
    Transport {
        /// Transmission Control Protocol, RFC 9293.
        Tcp = "tcp",
        /// User Datagram Protocol, RFC 768.
        Udp = "udp",
    }
}

/// An address and a port.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Whose it is.
    pub address: Address,
    /// Port number; 0 where a text does not tell it.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match address {
            Address::Ip(address) if address.is_ipv4() => write!(out, "{address}:")?,
            Address::Name(name) if !name.text().contains(':') => write!(out, "{address}:")?,
            // A colon is part of these.
            Address::Ip(_) | Address::Conversation(_) | Address::Name(_) => {
                write!(out, "[{address}]:")?;
            }
        }
        if self.port == 0 { out.write_str("?") } else { write!(out, "{}", self.port) }
    }
}

/// One end of a [`FlowKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The endpoint that sorts first.
    Low,
    /// The endpoint that sorts last.
    High,
}

impl End {
    /// The other end.
    #[must_use]
    #[inline]
    pub fn opposite(self) -> End {
        match self {
            End::Low => End::High,
            End::High => End::Low,
        }
    }
}

/// The two endpoints and the transport of a conversation, without direction.
///
/// Both directions have the same key. Stored as plain words (40 bytes) so that hashing and
/// comparing it, which happens once a packet, is cheap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    low: [u64; 2],
    high: [u64; 2],
    ports: [u16; 2],
    kind: u32,
}

/// Bits of `kind`: the transport, the kinds of the two addresses, and the rest for
/// [`FlowKey::of_conversation`].
const KIND_UDP: u32 = 1;
const LOW_ADDRESS: u32 = 1;
const HIGH_ADDRESS: u32 = 3;
const CONVERSATION: u32 = 5;

impl FlowKey {
    /// The key of a packet, and the end that sent it.
    ///
    /// Where both endpoints are the same (a land attack, or a loop), the sender is [`End::Low`].
    pub fn of(transport: Transport, source: Endpoint, destination: Endpoint) -> (FlowKey, End) {
        let transport = if transport == Transport::Udp { KIND_UDP } else { 0 };
        let (from, to) = (source.address.words(), destination.address.words());
        let from_sorts_first = (from, source.port) <= (to, destination.port);
        let (low, high, ports, sender) = if from_sorts_first {
            (from, to, [source.port, destination.port], End::Low)
        } else {
            (to, from, [destination.port, source.port], End::High)
        };
        let ((low_kind, low), (high_kind, high)) = (low, high);
        let kind =
            transport | (low_kind as u32) << LOW_ADDRESS | (high_kind as u32) << HIGH_ADDRESS;
        (FlowKey { low, high, ports, kind }, sender)
    }

    /// As [`FlowKey::of`], of two IPv4 addresses with their ports.
    #[inline]
    pub(crate) fn of_ipv4(
        transport: Transport,
        source: (u32, u16),
        destination: (u32, u16),
    ) -> (FlowKey, End) {
        // In one number each, which sort as address and port do.
        let word = |(address, port): (u32, u16)| u64::from(address) << 16 | u64::from(port);
        let (from, to) = (word(source), word(destination));
        let (low, high) = (from.min(to), from.max(to));
        let port = |word: u64| u16::try_from(word & 0xffff).unwrap_or_default();
        let key = FlowKey {
            low: [0, low >> 16],
            high: [0, high >> 16],
            ports: [port(low), port(high)],
            kind: FlowKey::kind_of_one(transport, Kind::V4),
        };
        (key, if from <= to { End::Low } else { End::High })
    }

    /// As [`FlowKey::of`], of two IPv6 addresses with their ports.
    #[inline]
    pub(crate) fn of_ipv6(
        transport: Transport,
        source: (u128, u16),
        destination: (u128, u16),
    ) -> (FlowKey, End) {
        let is_low = source <= destination;
        let (low, low_port) = if is_low { source } else { destination };
        let (high, high_port) = if is_low { destination } else { source };
        let key = FlowKey {
            low: address::halves(low),
            high: address::halves(high),
            ports: [low_port, high_port],
            kind: FlowKey::kind_of_one(transport, Kind::V6),
        };
        (key, if is_low { End::Low } else { End::High })
    }

    /// The kind of a key between two addresses of one kind.
    #[inline]
    fn kind_of_one(transport: Transport, kind: Kind) -> u32 {
        let transport = if transport == Transport::Udp { KIND_UDP } else { 0 };
        transport | (kind as u32) << LOW_ADDRESS | (kind as u32) << HIGH_ADDRESS
    }

    /// A number that keys hardly share: all its bits depend on all of the key.
    #[inline]
    pub(crate) fn mixed(&self) -> u64 {
        // The upper and the lower half of a product, so that no bit gets lost (as wyhash does).
        let fold = |a: u64, b: u64| {
            let [high, low] = address::halves(u128::from(a) * u128::from(b));
            high ^ low
        };
        let [a, b] = self.low;
        let [c, d] = self.high;
        let [low_port, high_port] = self.ports;
        let rest = u64::from(low_port) << 48 | u64::from(high_port) << 32 | u64::from(self.kind);
        // Digits of the golden ratio and of the square roots of 2, 3 and 5.
        let low = fold(a ^ 0x9e37_79b9_7f4a_7c15, b ^ 0x6a09_e667_f3bc_c908);
        let high = fold(c ^ 0xbb67_ae85_84ca_a73b, d ^ 0x3c6e_f372_fe94_f82b);
        fold(low.rotate_left(32) ^ high ^ 0xa54f_f53a_5f1d_36f1, rest ^ low ^ 0x510e_527f_ade6_82d1)
    }

    /// A number whose upper bits depend on addresses and ports, for a fraction of what
    /// [`FlowKey::mixed`] takes: to deal keys out, not to tell them apart.
    #[inline]
    pub(crate) fn rough(&self) -> u64 {
        let [a, b] = self.low;
        let [c, d] = self.high;
        let [low_port, high_port] = self.ports;
        let ports = u64::from(low_port) << 16 ^ u64::from(high_port);
        // Multiplicative mixing (Fibonacci hashing).
        (a ^ b ^ c.rotate_left(32) ^ d.rotate_left(32) ^ ports).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// The same key, for one conversation of several between these endpoints.
    ///
    /// For rows of a text that tell no ports, but number the conversations between two ports. Only
    /// the lower 27 bits of the number count.
    #[must_use]
    pub fn of_conversation(self, number: u32) -> FlowKey {
        let others = self.kind & ((1 << CONVERSATION) - 1);
        FlowKey { kind: others | number << CONVERSATION, ..self }
    }

    /// All of it as numbers: kind, addresses and ports, of the low end first.
    #[inline]
    pub(crate) fn parts(&self) -> (u32, [[u64; 2]; 2], [u16; 2]) {
        (self.kind, [self.low, self.high], self.ports)
    }

    /// What [`FlowKey::parts`] gave.
    #[inline]
    pub(crate) fn of_parts(kind: u32, [low, high]: [[u64; 2]; 2], ports: [u16; 2]) -> FlowKey {
        FlowKey { low, high, ports, kind }
    }

    /// Whether the address at each end is an IPv4 address, by the kind: of those only 32 bits are
    /// not zero.
    #[inline]
    pub(crate) fn are_ipv4(kind: u32) -> [bool; 2] {
        [kind >> LOW_ADDRESS & 3 == Kind::V4 as u32, kind >> HIGH_ADDRESS & 3 == Kind::V4 as u32]
    }

    /// The kind of a key between two IPv4 or two IPv6 addresses.
    pub(crate) fn plain_tcp(is_ipv4: bool) -> u32 {
        if is_ipv4 { 0 } else { 1 << LOW_ADDRESS | 1 << HIGH_ADDRESS }
    }

    /// Whether it is of TCP between two IPv4 addresses (true) or two IPv6 addresses (false), and
    /// says nothing else.
    pub(crate) fn is_plain_tcp(&self) -> Option<bool> {
        [true, false].into_iter().find(|&is_ipv4| self.kind == FlowKey::plain_tcp(is_ipv4))
    }

    /// The endpoint at one end.
    pub fn endpoint(&self, end: End) -> Endpoint {
        let [low_port, high_port] = self.ports;
        let (words, shift, port) = match end {
            End::Low => (self.low, LOW_ADDRESS, low_port),
            End::High => (self.high, HIGH_ADDRESS, high_port),
        };
        Endpoint { address: Address::of_words(Kind::of_bits(self.kind >> shift), words), port }
    }

    /// The transport.
    #[inline]
    pub fn transport(&self) -> Transport {
        if self.kind & KIND_UDP == 0 { Transport::Tcp } else { Transport::Udp }
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.endpoint(End::Low), self.endpoint(End::High));
        write!(out, "{} {low} - {high}", self.transport())
    }
}

/// A TCP sequence number: arithmetic and order are modulo 2^32 (RFC 9293, 3.4).
// It has no `Ord`: of two numbers half the space apart neither is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SeqNumber(pub u32);

impl SeqNumber {
    /// The number `count` bytes later.
    #[must_use]
    #[inline]
    pub fn plus(self, count: u32) -> SeqNumber {
        SeqNumber(self.0.wrapping_add(count))
    }

    /// Whether this number is later than `other`, less than half the space away.
    #[inline]
    pub fn is_after(self, other: SeqNumber) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }
}

impl fmt::Display for SeqNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// A point in time, in nanoseconds since 1970, from the year 1677 to 2262.
///
/// In UTC, or, for captures whose zone is not known, in local time of the capturing machine;
/// the capture's [`Clock`] says which. Stored with an offset, so that `Option<Timestamp>` is
/// eight bytes and the order of the stored numbers is that of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    /// From nanoseconds since 1970; `None` for what the type cannot hold.
    #[inline]
    pub fn from_nanoseconds(nanoseconds: i128) -> Option<Timestamp> {
        let stored = u64::try_from(nanoseconds.checked_add(1 << 63)?).ok()?;
        NonZeroU64::new(stored).map(Timestamp)
    }

    /// Nanoseconds since 1970.
    #[inline]
    pub fn as_nanoseconds(self) -> i64 {
        self.0.get().cast_signed() ^ i64::MIN
    }

    /// Nanoseconds from `earlier` to this time, negative where this one is earlier.
    #[inline]
    pub fn since(self, earlier: Timestamp) -> i64 {
        self.as_nanoseconds().saturating_sub(earlier.as_nanoseconds())
    }
}

/// How a capture tells time: the number of digits it keeps of a second, and whether its zone is
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Digits after the point, 0 to 9.
    pub digits: u8,
    /// False where times are local to a machine whose zone the capture does not tell.
    pub zone_known: bool,
}

impl Clock {
    /// A capture that keeps microseconds, in UTC.
    pub const MICROSECONDS: Clock = Clock { digits: 6, zone_known: true };
    /// A capture that keeps nanoseconds, in UTC.
    pub const NANOSECONDS: Clock = Clock { digits: 9, zone_known: true };
}

/// A [`Timestamp`] as its capture tells it: RFC 3339 with the capture's own precision, and
/// without `Z` where the zone is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// When.
    pub at: Timestamp,
    /// How the capture tells it.
    pub clock: Clock,
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(Letters::of_time(*self).as_str())
    }
}

impl FromStr for Time {
    type Err = String;

    /// Reads what `Display` writes: the zone is known where the text ends with `Z`.
    fn from_str(text: &str) -> Result<Time, String> {
        let fail = || format!("\"{text}\" is no time like 2014-05-27T10:15:00.123456Z");
        let (local, zone_known) = match text.strip_suffix('Z') {
            Some(local) => (local, true),
            None => (text, false),
        };
        let digits = local.rsplit_once('.').map_or(0, |(_, fraction)| fraction.len());
        let time: jiff::civil::DateTime = local.parse().map_err(|_| fail())?;
        let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| fail())?;
        let at = Timestamp::from_nanoseconds(zoned.timestamp().as_nanosecond()).ok_or_else(fail)?;
        let digits = u8::try_from(digits).map_err(|_| fail())?;
        Ok(Time { at, clock: Clock { digits, zone_known } })
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Letters::of_time(*self).as_str())
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time as its capture or log tells it: RFC 3339 in UTC, and a local \
                            date and time without Z where the zone is not known.",
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?Z?$"
        })
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { address: address.ip().into(), port: address.port() }
    }

    fn named(address: &str, port: u16) -> Endpoint {
        Endpoint { address: address.parse().unwrap(), port }
    }

    #[test]
    fn both_directions_have_one_key() {
        for (a, b) in [
            ("10.0.0.5:52702", "10.1.0.10:135"),
            ("[2001:db8::5]:52702", "[2001:db8::10]:135"),
            ("10.0.0.5:1", "10.0.0.5:2"),
        ] {
            let (a, b) = (endpoint(a), endpoint(b));
            let (there, sender) = FlowKey::of(Transport::Tcp, a, b);
            let (back, answerer) = FlowKey::of(Transport::Tcp, b, a);
            assert_eq!(there, back);
            assert_eq!(sender, answerer.opposite());
            assert_eq!(there.endpoint(sender), a);
            assert_eq!(there.endpoint(answerer), b);
            assert_ne!(there, FlowKey::of(Transport::Udp, a, b).0);
        }
    }

    #[test]
    fn keys_of_plain_addresses_are_the_same_the_short_way() {
        let four = [
            ("10.0.0.5:1", "10.0.0.9:2"),
            ("10.0.0.9:2", "10.0.0.5:1"),
            ("1.1.1.1:9", "1.1.1.1:8"),
        ];
        for transport in [Transport::Tcp, Transport::Udp] {
            for (a, b) in four {
                let [(a, whole_a), (b, whole_b)] = [a, b].map(|text| {
                    let address: std::net::SocketAddrV4 = text.parse().unwrap();
                    ((address.ip().to_bits(), address.port()), endpoint(text))
                });
                assert_eq!(
                    FlowKey::of_ipv4(transport, a, b),
                    FlowKey::of(transport, whole_a, whole_b)
                );
            }
            for (a, b) in [("[::5]:1", "[2001::9]:2"), ("[2001::9]:2", "[::5]:1")] {
                let [(a, whole_a), (b, whole_b)] = [a, b].map(|text| {
                    let address: std::net::SocketAddrV6 = text.parse().unwrap();
                    ((address.ip().to_bits(), address.port()), endpoint(text))
                });
                assert_eq!(
                    FlowKey::of_ipv6(transport, a, b),
                    FlowKey::of(transport, whole_a, whole_b)
                );
            }
        }
    }

    #[test]
    fn keys_are_dealt_out_evenly_whatever_differs() {
        let caller = (0x0a00_0005, 50_000);
        for (host, own, called) in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)] {
            let upper_half = (0_u16..4_096).filter(|count| {
                let from = (caller.0, caller.1 + own * count);
                let to = (0x0a01_0000 + host * u32::from(*count), 1 + called * count);
                FlowKey::of_ipv4(Transport::Tcp, from, to).0.rough() >> 63 == 1
            });
            let upper_half = upper_half.count();
            assert!((1_640..=2_456).contains(&upper_half), "{host} {own} {called}: {upper_half}");
        }
    }

    #[test]
    fn keys_that_differ_a_little_are_mixed_apart() {
        let mut seen = std::collections::BTreeSet::new();
        for host in 0..64 {
            for port in 0..64 {
                let (key, _) = FlowKey::of_ipv4(
                    Transport::Tcp,
                    (0x0a00_0000 + host, 1000 + port),
                    (0x0a01_0000, 445),
                );
                // The lower and the upper half each tell them apart.
                seen.insert((0, key.mixed() & 0xffff_ffff));
                seen.insert((1, key.mixed() >> 32));
            }
        }
        assert_eq!(seen.len(), 2 * 64 * 64);
    }

    #[test]
    fn keys_hold_every_kind_of_address() {
        let ends = [
            endpoint("10.0.0.5:52702"),
            endpoint("[2001:db8::5]:52702"),
            named("IPv4:13 initiator", 52702),
            named("IPv4:13 responder", 135),
            named("IPv6:13 responder", 135),
            named("DC1", 135),
        ];
        for a in ends {
            for b in ends {
                let (key, sender) = FlowKey::of(Transport::Udp, a, b);
                assert_eq!((key.endpoint(sender), key.endpoint(sender.opposite())), (a, b));
                assert_eq!(FlowKey::of(Transport::Udp, b, a).0, key);
                let numbered = key.of_conversation(7);
                assert_ne!(numbered, key);
                assert_ne!(numbered, key.of_conversation(8));
                assert_eq!(numbered.endpoint(sender), a);
                assert_eq!(numbered.transport(), Transport::Udp);
                assert_eq!(numbered.of_conversation(0), key);
            }
        }
    }

    #[test]
    fn a_flow_key_is_forty_bytes() {
        assert_eq!(size_of::<FlowKey>(), 40);
        assert_eq!(size_of::<Endpoint>(), 20);
    }

    #[test]
    fn endpoints_are_written_so_that_the_port_stands_out() {
        for (endpoint, expected) in [
            (endpoint("10.0.0.5:135"), "10.0.0.5:135"),
            (endpoint("[2001:db8::5]:135"), "[2001:db8::5]:135"),
            (named("IPv4:13 initiator", 135), "[IPv4:13 initiator]:135"),
            (named("DC1", 135), "DC1:135"),
            (named("fe80:x:1", 135), "[fe80:x:1]:135"),
            (named("DC1", 0), "DC1:?"),
        ] {
            assert_eq!(endpoint.to_string(), expected);
        }
    }

    #[test]
    fn a_mapped_address_is_not_its_ipv4_address() {
        let (plain, _) = FlowKey::of(Transport::Tcp, endpoint("1.2.3.4:1"), endpoint("1.2.3.5:2"));
        let (mapped, _) = FlowKey::of(
            Transport::Tcp,
            endpoint("[::ffff:1.2.3.4]:1"),
            endpoint("[::ffff:1.2.3.5]:2"),
        );
        assert_ne!(plain, mapped);
    }

    #[test]
    fn sequence_numbers_wrap() {
        assert!(SeqNumber(3).is_after(SeqNumber(u32::MAX)));
        assert!(!SeqNumber(u32::MAX).is_after(SeqNumber(3)));
        assert_eq!(SeqNumber(u32::MAX).plus(2), SeqNumber(1));
    }

    #[test]
    fn times_keep_their_order_around_1970() {
        let times = [i128::from(i64::MIN) + 1, -1, 0, 1, i128::from(i64::MAX)]
            .map(|nanoseconds| Timestamp::from_nanoseconds(nanoseconds).unwrap());
        assert!(times.is_sorted());
        assert_eq!(times.map(Timestamp::as_nanoseconds)[1], -1);
        assert_eq!(Timestamp::from_nanoseconds(i128::from(i64::MIN)), None);
        assert_eq!(Timestamp::from_nanoseconds(1 << 63), None);
    }

    #[test]
    fn times_are_written_with_the_captures_precision() {
        let at = Timestamp::from_nanoseconds(1_401_185_700_123_456_789).unwrap();
        for (digits, zone_known, expected) in [
            (9, true, "2014-05-27T10:15:00.123456789Z"),
            (6, true, "2014-05-27T10:15:00.123456Z"),
            (7, false, "2014-05-27T10:15:00.1234567"),
            (0, true, "2014-05-27T10:15:00Z"),
        ] {
            let time = Time { at, clock: Clock { digits, zone_known } };
            assert_eq!(time.to_string(), expected);
            assert_eq!(expected.parse::<Time>().unwrap().to_string(), expected);
        }
        let before = Timestamp::from_nanoseconds(-1).unwrap();
        let time = Time { at: before, clock: Clock::NANOSECONDS };
        assert_eq!(time.to_string(), "1969-12-31T23:59:59.999999999Z");
        assert!("yesterday".parse::<Time>().is_err());
    }
}
