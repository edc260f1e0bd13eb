//! DNS: questions, response codes, names and addresses (RFC 1035), services (RFC 2782), dynamic
//! updates (RFC 2136, RFC 3645); and its relatives on the link, LLMNR (RFC 4795) and mDNS (RFC
//! 6762).

mod outside;

pub(crate) use outside::is_outside;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::Transport;
use crate::probe::{
    Code, CodeSet, Duty, Framing, Holder, Meaning, Message, Next, Opening, Probe, Recognition,
    Speaker, Standing, Talk, text,
};

pub(super) const PROBE: Probe = Probe {
    name: "DNS",
    ports: &[(Transport::Udp, 53), (Transport::Tcp, 53)],
    recognise,
    begin: |transport| Box::new(Dns { over_tcp: transport == Transport::Tcp }),
};

pub(super) const LLMNR: Probe = Probe {
    name: "LLMNR",
    ports: &[(Transport::Udp, 5355), (Transport::Tcp, 5355)],
    recognise: recognise_on_link,
    ..PROBE
};

pub(super) const MDNS: Probe =
    Probe { name: "mDNS", ports: &[(Transport::Udp, 5353)], recognise: recognise_on_link, ..PROBE };

const HEADER: usize = 12;

/// Questions that are passed over in one message. Only mDNS asks more than one.
const MOST_QUESTIONS: usize = 64;

/// RFC 2136 1.3: the operation that changes a zone.
const UPDATE: u16 = 5;

/// Kinds of records: keys, and signatures (RFC 2930, RFC 8945).
const TKEY: u16 = 249;
const TSIG: u16 = 250;

/// Labels of one name, pointers included. A name has at most 127.
const MOST_LABELS: usize = 128;

/// Records that are looked at in one message.
const MOST_RECORDS: usize = 256;

const RESPONSE: u16 = 0x8000;
/// Recursion was desired and is available: what a host does for those that it resolves names for,
/// and the servers of the internet do not (RFC 1035 4.1.1).
const RESOLVED: u16 = 0x0180;
const TRUNCATED: u16 = 0x0200;
const SERVFAIL: u32 = 2;
const NAME_ERROR: u32 = 3;
const REFUSED: u32 = 5;

#[derive(Debug)]
struct Dns {
    /// Each message is preceded by its length (RFC 1035 4.2.2).
    over_tcp: bool,
}

impl Talk for Dns {
    fn framing(&self, _: Speaker, bytes: &[u8]) -> Framing {
        match *bytes {
            [high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low])) + 2;
                Framing::Message { length: length as u64, keep: length }
            }
            _ => Framing::Needs(2),
        }
    }

    fn remembers(&self) -> bool {
        false
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        let bytes = if self.over_tcp { message.bytes.get(2..) } else { Some(message.bytes) };
        if let Some(message) = bytes.and_then(Reader::new) {
            message.tell(signals);
        }
        Next::Stay
    }
}

/// Far from their ports, LLMNR and mDNS are taken for DNS.
fn recognise_on_link(opening: &Opening<'_>) -> Recognition {
    if !opening.port_fits {
        return Recognition::No;
    }
    let bytes = match opening.transport {
        Transport::Udp => Some(opening.bytes),
        Transport::Tcp => opening.bytes.get(2..),
    };
    let Some(reader) = bytes.and_then(Reader::new) else { return Recognition::No };
    let fits = reader.questions <= MOST_QUESTIONS && reader.records <= MOST_RECORDS;
    if fits { Recognition::Yes } else { Recognition::No }
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    let bytes = match opening.transport {
        Transport::Udp => opening.bytes,
        Transport::Tcp => match opening.bytes.get(2..) {
            Some(bytes) => bytes,
            None => return Recognition::Perhaps,
        },
    };
    let Some(reader) = Reader::new(bytes) else {
        let may_grow = opening.transport == Transport::Tcp && opening.port_fits;
        return if may_grow { Recognition::Perhaps } else { Recognition::No };
    };
    let from_responder = opening.from == Speaker::Responder;
    let plain =
        || reader.questions == 1 && reader.flags & 0x7840 == 0 && reader.is_question_plain();
    let fits = if opening.port_fits {
        // Dynamic updates and the like have other counts; the port vouches for them.
        reader.questions <= 1 && reader.records <= MOST_RECORDS
    } else {
        // Bytes of another protocol rarely spell a name and its class.
        from_responder == reader.is_response() && plain()
    };
    if fits { Recognition::Yes } else { Recognition::No }
}

/// A message whose header was read.
struct Reader<'a> {
    bytes: &'a [u8],
    flags: u16,
    questions: usize,
    /// Records after the questions.
    records: usize,
}

/// A record's owner, type and the place of its data.
struct Record<'a> {
    owner: String,
    kind: u16,
    at: usize,
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Option<Reader<'a>> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let [_, _, f0, f1, q0, q1, a0, a1, n0, n1, r0, r1] = *header;
        let count = |pair| usize::from(u16::from_be_bytes(pair));
        Some(Reader {
            bytes,
            flags: u16::from_be_bytes([f0, f1]),
            questions: count([q0, q1]),
            records: count([a0, a1]) + count([n0, n1]) + count([r0, r1]),
        })
    }

    fn is_response(&self) -> bool {
        self.flags & RESPONSE != 0
    }

    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }

    /// The name at a place, and the place after it.
    fn name(&self, at: usize) -> Option<(String, usize)> {
        name_at(self.bytes, at)
    }

    /// Name and type of the question, and the place after it.
    fn question(&self) -> Option<(String, u16, usize)> {
        let (name, at) = self.name(HEADER)?;
        Some((name, self.u16(at)?, at + 4))
    }

    /// Whether the question asks the internet's or any class for a name that people could have
    /// given.
    fn is_question_plain(&self) -> bool {
        self.question().is_some_and(|(name, _, after)| {
            let class = self.u16(after - 2).map(|class| class & 0x7fff);
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_graphic())
                && matches!(class, Some(1 | 255))
        })
    }

    fn operation(&self) -> u16 {
        self.flags >> 11 & 0xf
    }

    /// The place of the first record. `None` where the questions do not end.
    fn after_questions(&self) -> Option<usize> {
        let mut at = HEADER;
        for _ in 0..self.questions {
            (_, at) = self.name(at)?;
            at += 4;
        }
        Some(at)
    }

    fn tell(&self, signals: &mut Vec<Meaning>) {
        if self.questions > MOST_QUESTIONS {
            return;
        }
        let question = if self.questions > 0 { self.question() } else { None };
        let records = match &question {
            Some((.., after)) if self.questions == 1 => Some(*after),
            _ => self.after_questions(),
        };
        let is_asked = question.is_some();
        let subject = match (self.operation(), &question) {
            (UPDATE, Some((zone, ..))) => format!("update {zone}"),
            (_, Some((name, kind, _))) => format!("{} {name}", kind_name(*kind)),
            // What mDNS answers, or tells unasked, repeats no question.
            (_, None) => match records.and_then(|at| self.record(at)) {
                Some((record, _)) => format!("{} {}", kind_name(record.kind), record.owner),
                None => "no question".to_owned(),
            },
        };
        if !self.is_response() {
            return signals.push(Meaning::Asked { subject });
        }
        let is_outside = || question.as_ref().is_some_and(|(name, ..)| is_outside(name));
        let code = Code { set: CodeSet::DnsRcode, number: u32::from(self.flags & 0xf) };
        let key_error = records.and_then(|at| self.key_error(at));
        let (standing, detail) = match (code.standing(), key_error) {
            (_, Some(Some(error))) => {
                let meaning = error.meaning().map(|meaning| format!(": {meaning}"));
                let detail = format!("{error}{}", meaning.unwrap_or_default());
                (Standing::Failed, Some(detail))
            }
            // Windows asks for an update without a signature first, and signs it when refused
            // ([MS-DNSP] does not tell; RFC 3645 shows the dialogue).
            (Standing::Failed, None) if self.operation() == UPDATE && code.number == REFUSED => {
                let detail = "refused without a signature: a signed update is to follow";
                (Standing::Step, Some(detail.to_owned()))
            }
            (Standing::Failed, None) if code.number == SERVFAIL && is_outside() => {
                let detail = "the DNS server serves, and could not ask the internet or find a name \
                              for an address";
                (Standing::Step, Some(detail.to_owned()))
            }
            (Standing::Served, _) if self.flags & TRUNCATED != 0 => {
                let detail = "the answer does not fit: the question is to be asked over TCP";
                (Standing::Step, Some(detail.to_owned()))
            }
            (standing, _) => (standing, None),
        };
        signals.push(Meaning::Answered { subject, standing, code: Some(code), detail });
        if let Some(at) = records.filter(|_| self.operation() != UPDATE) {
            self.tell_records(at, signals);
        }
        if self.flags & RESOLVED == RESOLVED && is_asked && matches!(code.number, 0 | NAME_ERROR) {
            signals.push(Meaning::Does {
                holder: Holder::Speaker,
                duty: Duty::DnsServer,
                how: "resolved a name".to_owned(),
            });
        }
    }

    /// The error in a key or signature: `None` without either, `Some(None)` where all is well.
    #[expect(clippy::option_option, reason = "no signature and no error are two things")]
    fn key_error(&self, mut at: usize) -> Option<Option<Code>> {
        for _ in 0..self.records.min(MOST_RECORDS) {
            let (record, after) = self.record(at)?;
            at = after;
            let place = match record.kind {
                // Algorithm, two times, mode (RFC 2930 2).
                TKEY => self.name(record.at)?.1 + 10,
                // Algorithm, time, its tolerance, the signature, a message id (RFC 8945 4.2).
                TSIG => {
                    let place = self.name(record.at)?.1 + 8;
                    place + 4 + usize::from(self.u16(place)?)
                }
                _ => continue,
            };
            let number = u32::from(self.u16(place)?);
            return Some((number != 0).then_some(Code { set: CodeSet::DnsRcode, number }));
        }
        None
    }

    fn tell_records(&self, mut at: usize, signals: &mut Vec<Meaning>) {
        for _ in 0..self.records.min(MOST_RECORDS) {
            let Some((record, after)) = self.record(at) else { return };
            at = after;
            signals.extend(self.meaning(record));
        }
    }

    fn record(&self, at: usize) -> Option<(Record<'a>, usize)> {
        let (owner, at) = self.name(at)?;
        let kind = self.u16(at)?;
        let length = usize::from(self.u16(at + 8)?);
        let at = at + 10;
        let data = self.bytes.get(at..at + length)?;
        Some((Record { owner, kind, at, data }, at + length))
    }

    fn meaning(&self, record: Record<'_>) -> Option<Meaning> {
        match record.kind {
            1 => {
                let address = Ipv4Addr::from(*record.data.first_chunk::<4>()?);
                Some(Meaning::Named { address: address.into(), name: record.owner })
            }
            28 => {
                let address = Ipv6Addr::from(*record.data.first_chunk::<16>()?);
                Some(Meaning::Named { address: address.into(), name: record.owner })
            }
            12 => {
                let (name, _) = self.name(record.at)?;
                Some(Meaning::Named { address: reverse(&record.owner)?, name })
            }
            // Priority, weight and port stand before the name (RFC 2782).
            33 => {
                let (host, _) = self.name(record.at + 6)?;
                Some(Meaning::Serves { purpose: record.owner, host })
            }
            _ => None,
        }
    }
}

/// The name at a place of a message, and the place after it (RFC 1035 4.1.4).
pub(super) fn name_at(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::with_capacity(48);
    let mut after = None;
    for _ in 0..MOST_LABELS {
        let length = *bytes.get(at)?;
        match length >> 6 {
            0 if length == 0 => {
                return Some((text(name), after.unwrap_or(at + 1)));
            }
            0 => {
                let label = bytes.get(at + 1..at + 1 + usize::from(length))?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(label));
                at += 1 + usize::from(length);
            }
            3 => {
                after = after.or(Some(at + 2));
                let pointer = u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
                at = usize::from(pointer & 0x3fff);
            }
            _ => return None,
        }
    }
    None
}

/// The address that a name of `in-addr.arpa` or `ip6.arpa` stands for (RFC 1035 3.5, RFC 3596
/// 2.5).
fn reverse(name: &str) -> Option<IpAddr> {
    let name = name.to_ascii_lowercase();
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<u8> = digits.rsplit('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        return Some(Ipv4Addr::from(<[u8; 4]>::try_from(parts).ok()?).into());
    }
    let digits: Vec<&str> = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    if digits.len() != 32 || digits.iter().any(|digit| digit.len() != 1) {
        return None;
    }
    Some(Ipv6Addr::from_bits(u128::from_str_radix(&digits.concat(), 16).ok()?).into())
}

fn kind_name(kind: u16) -> Cow<'static, str> {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        64 => "SVCB",
        65 => "HTTPS",
        TKEY => "TKEY",
        TSIG => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        other => return format!("TYPE{other}").into(),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A message with one question, with the records given as owner, type and data.
    fn message(flags: u16, name: &str, kind: u16, records: &[(&str, u16, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = [7, flags, 1, u16::try_from(records.len()).unwrap(), 0, 0]
            .map(u16::to_be_bytes)
            .concat();
        bytes.extend(spelled(name));
        bytes.extend([kind, 1].map(u16::to_be_bytes).concat());
        for (owner, kind, data) in records {
            bytes.extend(spelled(owner));
            bytes.extend(
                [*kind, 1, 0, 60, u16::try_from(data.len()).unwrap()]
                    .map(u16::to_be_bytes)
                    .concat(),
            );
            bytes.extend(data);
        }
        bytes
    }

    fn spelled(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    fn told(bytes: &[u8]) -> Vec<Meaning> {
        let mut signals = Vec::new();
        let message =
            Message { from: Speaker::Responder, bytes, length: bytes.len() as u64, time: None };
        Dns { over_tcp: false }.hear(&message, &mut signals);
        signals
    }

    #[test]
    fn a_question_and_its_answer_have_one_subject() {
        let asked = told(&message(0x0100, "dc1.example.com", 1, &[]));
        assert_eq!(asked, [Meaning::Asked { subject: "A dc1.example.com".to_owned() }]);
        let answer =
            message(0x8180, "dc1.example.com", 1, &[("dc1.example.com", 1, vec![10, 1, 0, 13])]);
        let [Meaning::Answered { subject, standing, .. }, named, _] = &told(&answer)[..] else {
            panic!()
        };
        assert_eq!((subject.as_str(), *standing), ("A dc1.example.com", Standing::Served));
        let address = "10.1.0.13".parse().unwrap();
        assert_eq!(*named, Meaning::Named { address, name: "dc1.example.com".to_owned() });
    }

    #[test]
    fn who_resolves_names_for_others_is_a_name_server() {
        // RFC 1035 4.1.1: 0x0100 is desired, 0x0080 is available.
        for (flags, expected) in
            [(0x8180, true), (0x8183, true), (0x8400, false), (0x8500, false), (0x8182, false)]
        {
            let told = told(&message(flags, "example.com", 1, &[]));
            let resolves = |it: &Meaning| {
                matches!(it, Meaning::Does { holder: Holder::Speaker, duty: Duty::DnsServer, .. })
            };
            assert_eq!(told.iter().any(resolves), expected, "{flags:x}");
        }
    }

    #[test]
    fn a_truncated_answer_is_a_step_and_a_refusal_a_failure() {
        for (flags, expected) in
            [(0x8380, Standing::Step), (0x8185, Standing::Failed), (0x8183, Standing::Served)]
        {
            let told = told(&message(flags, "example.com", 1, &[]));
            assert!(
                matches!(&told[0], Meaning::Answered { standing, .. } if *standing == expected),
                "{flags:x}"
            );
        }
    }

    #[test]
    fn a_lookup_that_nobody_needs_may_fail_and_one_of_the_directory_may_not() {
        for (name, kind, expected) in [
            ("www.bing.com", 1, Standing::Step),
            ("2.69.168.192.in-addr.arpa", 12, Standing::Step),
            ("_ldap._tcp.dc._msdcs.root.example.com", 33, Standing::Failed),
            ("appserver", 1, Standing::Failed),
        ] {
            let told = told(&message(0x8182, name, kind, &[]));
            let Meaning::Answered { standing, code, .. } = &told[0] else { panic!() };
            assert_eq!((*standing, code.unwrap().number), (expected, 2), "{name}");
        }
    }

    #[test]
    fn an_update_is_refused_until_it_is_signed() {
        let refused = told(&message(0xa885, "example.com", 6, &[]));
        let Meaning::Answered { subject, standing, .. } = &refused[0] else { panic!() };
        assert_eq!((subject.as_str(), *standing), ("update example.com", Standing::Step));
        // RFC 8945 4.2: algorithm, time, tolerance, signature, message id, error, other data.
        let signature = |error: u16| {
            let mut data = spelled("gss-tsig");
            data.extend([0, 0, 0x53, 0x84, 0, 0, 1, 44, 0, 2, 9, 9, 0, 7]);
            data.extend(error.to_be_bytes());
            data.extend([0, 0]);
            data
        };
        for (flags, error, expected) in [
            (0xa889, 18, Standing::Failed), // BADTIME: the clocks differ
            (0xa885, 0, Standing::Failed),
            (0xa880, 0, Standing::Served),
        ] {
            let records = [("key", TSIG, signature(error))];
            let told = told(&message(flags, "example.com", 6, &records));
            let Meaning::Answered { standing, detail, .. } = &told[0] else { panic!() };
            assert_eq!(*standing, expected, "{flags:x}");
            let expected =
                (error == 18).then_some("BADTIME: the clocks of the two hosts are too far apart");
            assert_eq!(detail.as_deref(), expected);
        }
    }

    #[test]
    fn what_is_told_without_a_question_is_named_by_its_first_record() {
        let mut bytes = message(0x8400, "", 1, &[("printer.local", 1, vec![10, 0, 0, 9])]);
        // No question: the header's count, and the empty name with its type and class.
        bytes[5] = 0;
        bytes.drain(HEADER..HEADER + 5);
        let told = told(&bytes);
        assert!(
            matches!(&told[0], Meaning::Answered { subject, .. } if subject == "A printer.local")
        );
        assert_eq!(
            told[1],
            Meaning::Named {
                address: "10.0.0.9".parse().unwrap(),
                name: "printer.local".to_owned()
            }
        );
    }

    #[test]
    fn services_and_reverse_names_are_told() {
        let srv = [vec![0, 0, 0, 100, 1, 133], spelled("dc1.example.com")].concat();
        let purpose = "_ldap._tcp.dc._msdcs.example.com";
        let told_by_srv = told(&message(0x8180, purpose, 33, &[(purpose, 33, srv)]));
        let host = "dc1.example.com".to_owned();
        assert_eq!(
            told_by_srv[1],
            Meaning::Serves { purpose: purpose.to_owned(), host: host.clone() }
        );
        let pointer = "13.0.1.10.in-addr.arpa";
        let told_by_ptr = told(&message(0x8180, pointer, 12, &[(pointer, 12, spelled(&host))]));
        assert_eq!(
            told_by_ptr[1],
            Meaning::Named { address: "10.1.0.13".parse().unwrap(), name: host }
        );
    }

    #[test]
    fn names_that_point_in_circles_end() {
        let mut bytes = message(0x8180, "a", 1, &[]);
        bytes.truncate(HEADER);
        bytes.extend([0xc0, 12, 0, 1, 0, 1]);
        assert!(
            matches!(&told(&bytes)[..], [Meaning::Answered { subject, .. }] if subject == "no question")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            told(&bytes);
            for transport in [Transport::Tcp, Transport::Udp] {
                let from = Speaker::Initiator;
                recognise(&Opening { transport, from, port_fits: true, bytes: &bytes });
            }
        }
    }
}
