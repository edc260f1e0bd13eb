//! Who an endpoint belongs to: an IP address, or a host of which a text tells less than that.
//!
//! Frames of a capture have IP addresses. Rows of text may have host names in their place, or
//! only the number that Network Monitor gave to a conversation between two hosts. An [`Address`]
//! is one of the three. It is as small as an [`IpAddr`], is copied and compared like one, and its
//! text reads back as the same address.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::FixedState;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::net::letters::Letters;

/// What tells one host from the others.
#[derive(Clone, Copy, Debug, Eq)]
pub enum Address {
    /// An IPv4 or IPv6 address. A mapped address (`::ffff:192.0.2.1`) stays IPv6.
    Ip(IpAddr),
    /// One of the two hosts of a numbered conversation, of which nothing else is known.
    Conversation(ConversationHost),
    /// A host of which only the name is known.
    Name(HostName),
}

impl Address {
    /// The IP address, where it is known.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Address::Ip(address) => Some(address),
            Address::Conversation(_) | Address::Name(_) => None,
        }
    }

    /// The host of a numbered conversation, where that is all that is known.
    pub fn conversation(self) -> Option<ConversationHost> {
        match self {
            Address::Conversation(host) => Some(host),
            Address::Ip(_) | Address::Name(_) => None,
        }
    }

    /// Whether packets of this host are known to be IPv6. A name does not tell.
    pub fn is_ipv6(self) -> bool {
        match self {
            Address::Ip(address) => address.is_ipv6(),
            Address::Conversation(host) => host.network == Network::V6,
            Address::Name(_) => false,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Address::Ip(IpAddr::V4(_)) => Kind::V4,
            Address::Ip(IpAddr::V6(_)) => Kind::V6,
            Address::Conversation(_) => Kind::Conversation,
            Address::Name(_) => Kind::Name,
        }
    }

    /// The address as bytes, for [`Address::from_bytes`] in the same run of the program: of a name
    /// they are but a key.
    pub(crate) fn to_bytes(self) -> [u8; 17] {
        let (kind, [high, low]) = self.words();
        let mut bytes = [0; 17];
        let kind = [kind as u8].into_iter();
        let all = kind.chain(high.to_be_bytes()).chain(low.to_be_bytes());
        bytes.iter_mut().zip(all).for_each(|(place, byte)| *place = byte);
        bytes
    }

    /// The address of these bytes; `None` for what [`Address::to_bytes`] does not write.
    pub(crate) fn from_bytes(bytes: [u8; 17]) -> Option<Address> {
        let [kind, words @ ..] = bytes;
        let words = halves(u128::from_be_bytes(words));
        let address = Address::of_words(Kind::of_bits(kind.into()), words);
        (address.to_bytes() == bytes).then_some(address)
    }

    /// Its bits, and the kind of address that they are; read back by [`Address::of_words`].
    pub(super) fn words(self) -> (Kind, [u64; 2]) {
        match self {
            Address::Ip(IpAddr::V4(address)) => (Kind::V4, [0, u64::from(address.to_bits())]),
            Address::Ip(IpAddr::V6(address)) => (Kind::V6, halves(address.to_bits())),
            Address::Conversation(host) => {
                let ConversationHost { network, number, part, capture } = host;
                let of_capture = u64::from(u32::from_be_bytes(capture));
                let of_host =
                    u64::from(network == Network::V6) | u64::from(part == Part::Responder) << 1;
                (
                    Kind::Conversation,
                    [of_capture, u64::from(u32::from_be_bytes(number)) << 2 | of_host],
                )
            }
            Address::Name(HostName(bytes)) => (Kind::Name, halves(u128::from_be_bytes(bytes))),
        }
    }

    /// The address of these bits.
    #[expect(clippy::cast_possible_truncation, reason = "made by `words` from 32 bits")]
    pub(super) fn of_words(kind: Kind, [high, low]: [u64; 2]) -> Address {
        let whole = u128::from(high) << 64 | u128::from(low);
        match kind {
            Kind::V4 => Ipv4Addr::from_bits(low as u32).into(),
            Kind::V6 => Ipv6Addr::from_bits(whole).into(),
            Kind::Conversation => Address::Conversation(ConversationHost {
                network: if low & 1 == 0 { Network::V4 } else { Network::V6 },
                number: ((low >> 2) as u32).to_be_bytes(),
                part: if low & 2 == 0 { Part::Initiator } else { Part::Responder },
                capture: (high as u32).to_be_bytes(),
            }),
            Kind::Name => Address::Name(HostName(whole.to_be_bytes())),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
#[inline]
pub(super) fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

/// The kind of an address, in two bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    V4 = 0,
    V6 = 1,
    Conversation = 2,
    Name = 3,
}

impl Kind {
    pub(super) fn of_bits(bits: u32) -> Kind {
        match bits & 3 {
            0 => Kind::V4,
            1 => Kind::V6,
            2 => Kind::Conversation,
            _ => Kind::Name,
        }
    }
}

// By hand, since nothing is compared and hashed more often: as numbers, where the derived ones go
// byte by byte.
impl PartialEq for Address {
    #[inline]
    fn eq(&self, other: &Address) -> bool {
        match (self, other) {
            (Address::Ip(IpAddr::V4(one)), Address::Ip(IpAddr::V4(other))) => {
                one.to_bits() == other.to_bits()
            }
            (Address::Ip(IpAddr::V6(one)), Address::Ip(IpAddr::V6(other))) => {
                one.to_bits() == other.to_bits()
            }
            (Address::Conversation(one), Address::Conversation(other)) => one == other,
            (Address::Name(one), Address::Name(other)) => one == other,
            _ => false,
        }
    }
}

impl Ord for Address {
    #[inline]
    fn cmp(&self, other: &Address) -> Ordering {
        match (self, other) {
            (Address::Ip(IpAddr::V4(one)), Address::Ip(IpAddr::V4(other))) => {
                one.to_bits().cmp(&other.to_bits())
            }
            (Address::Ip(IpAddr::V6(one)), Address::Ip(IpAddr::V6(other))) => {
                one.to_bits().cmp(&other.to_bits())
            }
            (Address::Conversation(one), Address::Conversation(other)) => one.cmp(other),
            (Address::Name(one), Address::Name(other)) => one.cmp(other),
            (one, other) => one.kind().cmp(&other.kind()),
        }
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Address) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Address {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (kind, [high, low]) = self.words();
        state.write_u64(high ^ kind as u64);
        state.write_u64(low);
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Address {
        Address::Ip(address)
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Address {
        Address::Ip(address.into())
    }
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Address {
        Address::Ip(address.into())
    }
}

impl PartialEq<IpAddr> for Address {
    fn eq(&self, other: &IpAddr) -> bool {
        self.ip() == Some(*other)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(IpAddr::V4(address))
                if out.width().is_none() && out.precision().is_none() =>
            {
                out.write_str(Letters::of_v4(*address).as_str())
            }
            Address::Ip(address) => address.fmt(out),
            Address::Conversation(host) => out.pad(&host.text()),
            Address::Name(name) => out.pad(&name.text()),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    /// Reads what `Display` writes. What is neither an IP address nor a host of a conversation is
    /// a name.
    fn from_str(text: &str) -> Result<Address, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        if let Some(host) = ConversationHost::read(text) {
            return Ok(Address::Conversation(host));
        }
        HostName::new(text).map(Address::Name).ok_or_else(|| {
            format!(
                "{text:?} is no host: neither an address, nor a host of a conversation, nor a name"
            )
        })
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Address::Ip(IpAddr::V4(address)) => {
                serializer.serialize_str(Letters::of_v4(*address).as_str())
            }
            Address::Ip(IpAddr::V6(_)) | Address::Conversation(_) | Address::Name(_) => {
                serializer.collect_str(self)
            }
        }
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A host: an IP address; where a text tells none, a name, or one of the \
                            two hosts of a conversation, as \"IPv4:13 initiator\".",
            "type": "string",
            "minLength": 1
        })
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The version of IP, as the conversation numbers of Network Monitor tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// `IPv4:13`.
    V4,
    /// `IPv6:13`.
    V6,
}

/// Which of the two hosts of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The one that opens flows.
    Initiator,
    /// The one that is called.
    Responder,
}

/// One of the two hosts of a conversation that Network Monitor numbered: `IPv4:13 initiator`.
///
/// Numbers belong to one capture: the same number in two captures are different hosts, so the
/// report adds the capture where there are several ([`ConversationHost::in_capture`]). Number 0,
/// which Network Monitor does not give, stands for rows that do not even tell the conversation.
// Bytes in place of numbers, so that an `Address` needs no alignment and no more than 17 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationHost {
    capture: [u8; 4],
    network: Network,
    number: [u8; 4],
    part: Part,
}

impl ConversationHost {
    /// A host of the conversation with this number.
    pub fn new(network: Network, number: u32, part: Part) -> ConversationHost {
        ConversationHost { network, number: number.to_be_bytes(), part, capture: [0; 4] }
    }

    /// The version of IP.
    pub fn network(self) -> Network {
        self.network
    }

    /// Number of the conversation in its capture.
    pub fn number(self) -> u32 {
        u32::from_be_bytes(self.number)
    }

    /// Which of the two hosts it is.
    pub fn part(self) -> Part {
        self.part
    }

    /// The same host, said to be of the capture with this number, from 1; of the only one with 0.
    #[must_use]
    pub fn in_capture(self, capture: u32) -> ConversationHost {
        ConversationHost { capture: capture.to_be_bytes(), ..self }
    }

    fn text(self) -> String {
        let part = match self.part {
            Part::Initiator => "initiator",
            Part::Responder => "responder",
        };
        let network = match self.network {
            Network::V4 => "IPv4",
            Network::V6 => "IPv6",
        };
        let capture = match u32::from_be_bytes(self.capture) {
            0 => String::new(),
            capture => format!(" of capture {capture}"),
        };
        match self.number() {
            0 => format!("unnamed {network} {part}{capture}"),
            number => format!("{network}:{number} {part}{capture}"),
        }
    }

    /// Reads what `text` writes, and nothing else.
    fn read(text: &str) -> Option<ConversationHost> {
        let (host, capture) = match text.split_once(" of capture ") {
            Some((host, capture)) => (host, capture.parse().ok()?),
            None => (text, 0),
        };
        let (conversation, part) = host.rsplit_once(' ')?;
        let (network, number) = match conversation.strip_prefix("unnamed ") {
            Some(network) => (network, 0),
            None => conversation
                .split_once(':')
                .and_then(|(network, number)| Some((network, number.parse::<u32>().ok()?)))?,
        };
        let network = match network {
            "IPv4" => Network::V4,
            "IPv6" => Network::V6,
            _ => return None,
        };
        let part = match part {
            "initiator" => Part::Initiator,
            "responder" => Part::Responder,
            _ => return None,
        };
        let host = ConversationHost::new(network, number, part).in_capture(capture);
        // Not "IPv4:+7" or "IPv4:007": one host has one text.
        (host.text() == text).then_some(host)
    }
}

/// The name of a host of which nothing else is known, in whatever case it is written.
///
/// Holds the first letters, for the order, and a hash; the whole text is in a table of the
/// process that only grows. Order, equality and text are the same whichever name came first: the
/// text is the first of its spellings in the order of bytes (`DC1` before `dc1`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostName([u8; 16]);

/// A name in the table.
struct Spelling {
    /// In lower case: what makes it this name.
    folded: Arc<str>,
    /// As it is shown.
    shown: Arc<str>,
}

static NAMES: RwLock<BTreeMap<[u8; 16], Spelling>> = RwLock::new(BTreeMap::new());

impl HostName {
    /// Bytes of a name, at most: as many as a domain name may have (RFC 1035 2.3.4).
    pub const MOST_BYTES: usize = 255;

    /// The name of a host; `None` for nothing, for what is too long to be one, and for what holds
    /// a character that is in no name.
    ///
    /// Names come from captures and end up in sentences and in commands to copy. So beside letters
    /// and digits only these are taken: `-`, `_` and `.` of names, and `:`, `%` and `*` of addresses
    /// that somebody cut or crossed out (`10.x.*.5`, `fe80::x%3`).
    pub fn new(text: &str) -> Option<HostName> {
        let fits = |letter: char| {
            letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':' | '%' | '*')
        };
        let whole = text.len() <= HostName::MOST_BYTES && text.chars().all(fits);
        if text.is_empty() || text.starts_with('-') || !whole {
            return None;
        }
        let folded = text.to_lowercase();
        let mut key = [0; 16];
        let hash = FixedState::with_seed(0x686f_7374).hash_one(folded.as_str()).to_be_bytes();
        let letters = folded.bytes().chain(std::iter::repeat(0)).take(8);
        for (place, byte) in key.iter_mut().zip(letters.chain(hash)) {
            *place = byte;
        }
        let name = HostName(key);
        let known = name.look_up(|found| &*found.shown <= text).unwrap_or(false);
        if !known {
            let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
            let new = || Spelling { folded: folded.as_str().into(), shown: text.into() };
            let found = names.entry(key).or_insert_with(new);
            if *found.folded == *folded && text < &*found.shown {
                found.shown = text.into();
            }
        }
        Some(name)
    }

    /// The name as it was written.
    pub fn text(self) -> Arc<str> {
        self.look_up(|found| Arc::clone(&found.shown)).unwrap_or_else(|| "unknown host".into())
    }

    fn look_up<T>(self, read: impl FnOnce(&Spelling) -> T) -> Option<T> {
        NAMES.read().unwrap_or_else(PoisonError::into_inner).get(&self.0).map(read)
    }
}

impl Ord for HostName {
    fn cmp(&self, other: &HostName) -> Ordering {
        let ([a, ..], [b, ..]) = (self.halves(), other.halves());
        if self == other {
            return Ordering::Equal;
        }
        let whole = |name: &HostName| name.look_up(|found| Arc::clone(&found.folded));
        a.cmp(&b).then_with(|| whole(self).cmp(&whole(other))).then_with(|| self.0.cmp(&other.0))
    }
}

impl HostName {
    /// The first letters, and the hash.
    #[inline]
    fn halves(self) -> [u64; 2] {
        halves(u128::from_be_bytes(self.0))
    }
}

impl PartialOrd for HostName {
    fn partial_cmp(&self, other: &HostName) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text(), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_no_larger_than_an_ip_address() {
        assert_eq!(size_of::<Address>(), size_of::<IpAddr>());
        assert_eq!(align_of::<Address>(), align_of::<IpAddr>());
    }

    #[test]
    fn each_kind_reads_back_from_its_text() {
        let conversation = |network, number, part| {
            Address::Conversation(ConversationHost::new(network, number, part))
        };
        for (text, expected) in [
            ("10.0.0.5", "10.0.0.5".parse::<IpAddr>().unwrap().into()),
            ("2001:db8::5", "2001:db8::5".parse::<IpAddr>().unwrap().into()),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4".parse::<IpAddr>().unwrap().into()),
            ("IPv4:13 initiator", conversation(Network::V4, 13, Part::Initiator)),
            ("IPv6:4294967295 responder", conversation(Network::V6, u32::MAX, Part::Responder)),
            ("unnamed IPv4 responder", conversation(Network::V4, 0, Part::Responder)),
            ("DC-1.corp.example", Address::Name(HostName::new("DC-1.corp.example").unwrap())),
            ("192.x.x.x", Address::Name(HostName::new("192.x.x.x").unwrap())),
        ] {
            assert_eq!(address(text), expected);
            assert_eq!(expected.to_string(), text);
            let json = serde_json::to_string(&expected).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), expected);
        }
        for text in
            ["", " ", "\u{7}", "a\nb", "$(id)", "two words", "a;b", "`b`", "<b>", "'", "=1", "-x"]
        {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_conversation_is_none() {
        for text in ["IPv4:013 initiator", "IPv4:+1 initiator", "IPv5:1 initiator", "IPv4:1 me"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn conversations_of_two_captures_are_two() {
        let host = ConversationHost::new(Network::V4, 13, Part::Initiator);
        let second = Address::Conversation(host.in_capture(2));
        assert_ne!(Address::Conversation(host), second);
        assert_eq!(second.to_string(), "IPv4:13 initiator of capture 2");
        assert_eq!(address("IPv4:13 initiator of capture 2"), second);
    }

    #[test]
    fn names_are_one_in_any_case_and_shown_in_one_spelling() {
        // Whichever comes first, so no other test may use this name.
        let (small, large) = (address("spelling-test"), address("SPELLING-Test"));
        assert_eq!(small, large);
        assert_eq!(small.to_string(), "SPELLING-Test");
        assert_eq!(address("spelling-test").to_string(), "SPELLING-Test");
    }

    #[test]
    fn names_sort_by_their_letters_however_long_they_are() {
        let sorted =
            ["10.9.9.9", "CHILDDC02.corp", "childdc1.corp", "childdc10.corp", "z"].map(address);
        let mut names = sorted;
        names.reverse();
        names.sort();
        assert_eq!(names, sorted);
    }

    proptest! {
        #[test]
        fn every_text_that_is_taken_reads_back(text in "\\PC{0,20}|[a-zA-Z0-9:.*-]{1,20}|IPv[46]:[0-9]{1,10} (initiator|responder)") {
            if let Ok(read) = text.parse::<Address>() {
                prop_assert_eq!(read.to_string().parse::<Address>().unwrap(), read);
                let (kind, words) = read.words();
                prop_assert_eq!(Address::of_words(Kind::of_bits(kind as u32), words), read);
                prop_assert_eq!(Address::from_bytes(read.to_bytes()), Some(read));
            }
        }
    }
}
