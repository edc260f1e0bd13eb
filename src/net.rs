//! The network's own words: endpoints, flow keys, sequence numbers, times, frame numbers.
//!
//! Small values with no behaviour beyond their arithmetic. Everything above imports this
//! module.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::words::words;

/// Number of a frame in its capture, from 1, counting every frame in the file.
///
/// It is the number that Wireshark and Network Monitor show, so frames that hold no
/// traffic are counted too.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FrameNumber(pub u64);

impl fmt::Display for FrameNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// IPv4 or IPv6 address. A mapped address (`::ffff:192.0.2.1`) stays IPv6.
    pub address: IpAddr,
    /// Port number.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(out, "{address}:{}", self.port),
            IpAddr::V6(address) => write!(out, "[{address}]:{}", self.port),
        }
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

const KIND_UDP: u32 = 1;
const KIND_V6: u32 = 2;

impl FlowKey {
    /// The key of a packet, and the end that sent it.
    ///
    /// Both addresses are of one family, as in every IP packet. Where both endpoints are the
    /// same (a land attack, or a loop), the sender is [`End::Low`].
    pub fn of(transport: Transport, source: Endpoint, destination: Endpoint) -> (FlowKey, End) {
        let mut kind = if transport == Transport::Udp { KIND_UDP } else { 0 };
        if source.address.is_ipv6() {
            kind |= KIND_V6;
        }
        let (from, to) = (words(source.address), words(destination.address));
        if (from, source.port) <= (to, destination.port) {
            let ports = [source.port, destination.port];
            (FlowKey { low: from, high: to, ports, kind }, End::Low)
        } else {
            let ports = [destination.port, source.port];
            (FlowKey { low: to, high: from, ports, kind }, End::High)
        }
    }

    /// The endpoint at one end.
    pub fn endpoint(&self, end: End) -> Endpoint {
        let [low_port, high_port] = self.ports;
        let (address, port) = match end {
            End::Low => (self.low, low_port),
            End::High => (self.high, high_port),
        };
        Endpoint { address: address_of(address, self.kind & KIND_V6 != 0), port }
    }

    /// The transport.
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

fn words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => [0, u64::from(address.to_bits())],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            #[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
            [(bits >> 64) as u64, bits as u64]
        }
    }
}

fn address_of([high, low]: [u64; 2], is_v6: bool) -> IpAddr {
    if is_v6 {
        Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "an IPv4 address, from `words`")]
        Ipv4Addr::from_bits(low as u32).into()
    }
}

/// A TCP sequence number: arithmetic and order are modulo 2^32 (RFC 9293, 3.4).
///
/// It has no `Ord`: of two numbers half the space apart neither is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeqNumber(pub u32);

impl SeqNumber {
    /// The number `count` bytes later.
    #[must_use]
    pub fn plus(self, count: u32) -> SeqNumber {
        SeqNumber(self.0.wrapping_add(count))
    }

    /// Whether this number is later than `other`, less than half the space away.
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
    pub fn from_nanoseconds(nanoseconds: i128) -> Option<Timestamp> {
        let stored = u64::try_from(nanoseconds.checked_add(1 << 63)?).ok()?;
        NonZeroU64::new(stored).map(Timestamp)
    }

    /// Nanoseconds since 1970.
    pub fn as_nanoseconds(self) -> i64 {
        self.0.get().cast_signed() ^ i64::MIN
    }

    /// Nanoseconds from `earlier` to this time, negative where this one is earlier.
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
        let nanoseconds = i128::from(self.at.as_nanoseconds());
        let Ok(time) = jiff::Timestamp::from_nanosecond(nanoseconds) else {
            return Err(fmt::Error);
        };
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        write!(
            out,
            "{}T{:02}:{:02}:{:02}",
            time.date(),
            time.hour(),
            time.minute(),
            time.second()
        )?;
        let digits = usize::from(self.clock.digits.min(9));
        if digits > 0 {
            let fraction = format!("{:09}", time.subsec_nanosecond());
            write!(out, ".{}", fraction.get(..digits).unwrap_or_default())?;
        }
        if self.clock.zone_known { out.write_str("Z") } else { Ok(()) }
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
        serializer.collect_str(self)
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
        Endpoint { address: address.ip(), port: address.port() }
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
