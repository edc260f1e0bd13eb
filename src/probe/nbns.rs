//! NetBIOS name service: names asked for, registered, and what hosts call themselves (RFC 1001,
//! RFC 1002).

use std::net::Ipv4Addr;

use crate::net::{NameSource, Transport};
use crate::probe::{
    Code, CodeSet, Framing, Meaning, Message, Next, Opening, Probe, Recognition, Speaker, Standing,
    Talk, dns, text,
};

pub(super) const PROBE: Probe = Probe {
    name: "NetBIOS name service",
    ports: &[(Transport::Udp, 137)],
    recognise,
    begin: |_| Box::new(Names),
};

const HEADER: usize = 12;

const RESPONSE: u16 = 0x8000;

/// RFC 1002 4.2.1.1: operations.
const QUERY: u16 = 0;
const REGISTRATION: u16 = 5;
const RELEASE: u16 = 6;
const WAIT: u16 = 7;
const REFRESH: u16 = 8;
/// The number that Windows uses for it too.
const ALTERNATE_REFRESH: u16 = 9;
const MULTIHOMED: u16 = 15;

/// RFC 1002 4.2.1.3: kinds of records.
const NB: u16 = 0x20;
const STATUS: u16 = 0x21;

/// Of a record's flags: the name is one of a group (RFC 1002 4.2.1.3).
const GROUP: u16 = 0x8000;

/// Suffixes of names: what a host's name stands for.
const WORKSTATION: u8 = 0x00;
const SERVER: u8 = 0x20;
/// The group of a domain's controllers.
const DOMAIN_CONTROLLERS: u8 = 0x1c;

/// Records and names that are looked at in one message.
const MOST_ITEMS: usize = 32;

#[derive(Debug)]
struct Names;

impl Talk for Names {
    fn framing(&self, _: Speaker, _: &[u8]) -> Framing {
        Framing::Lost
    }

    fn remembers(&self) -> bool {
        false
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        tell(message.bytes, signals);
        Next::Stay
    }
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    let known = opening.port_fits && opening.transport == Transport::Udp;
    match Header::of(opening.bytes) {
        Some(header) if known && header.asks() => Recognition::Yes,
        _ => Recognition::No,
    }
}

struct Header {
    flags: u16,
    questions: u16,
    /// Records after the questions.
    records: usize,
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Header> {
        let [_, _, f0, f1, q0, q1, a0, a1, n0, n1, r0, r1] = *bytes.first_chunk()?;
        let count = |pair| usize::from(u16::from_be_bytes(pair));
        Some(Header {
            flags: u16::from_be_bytes([f0, f1]),
            questions: u16::from_be_bytes([q0, q1]),
            records: count([a0, a1]) + count([n0, n1]) + count([r0, r1]),
        })
    }

    fn operation(&self) -> u16 {
        self.flags >> 11 & 0xf
    }

    /// Whether it is of an operation that there is, with counts that there can be.
    fn asks(&self) -> bool {
        let known = [QUERY, REGISTRATION, RELEASE, WAIT, REFRESH, ALTERNATE_REFRESH, MULTIHOMED];
        known.contains(&self.operation()) && self.questions <= 1 && self.records <= MOST_ITEMS
    }
}

/// A name and the byte after its fifteen letters, which says what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    name: String,
    suffix: u8,
}

impl Name {
    /// Each byte stands in two letters from `A` to `P` (RFC 1001 14.1).
    fn of(spelled: &str) -> Option<Name> {
        let letters: &[u8; 32] = spelled.as_bytes().first_chunk()?;
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(letters.as_chunks::<2>().0) {
            let [high, low] = pair.map(|letter| letter.wrapping_sub(b'A'));
            if high > 15 || low > 15 {
                return None;
            }
            *byte = high << 4 | low;
        }
        Some(Name::plain(&bytes))
    }

    fn plain(bytes: &[u8; 16]) -> Name {
        let [letters @ .., suffix] = bytes;
        let name = String::from_utf8_lossy(letters);
        let name = name.trim_end_matches([' ', '\0']).to_owned();
        Name { name, suffix: *suffix }
    }

    fn told(&self) -> String {
        format!("{}<{:02X}>", self.name, self.suffix)
    }

    /// Whether it is a host's own name.
    fn is_host(&self) -> bool {
        matches!(self.suffix, WORKSTATION | SERVER) && !self.name.starts_with('\u{1}')
    }
}

/// The name at a place, and the place after it.
fn name_at(bytes: &[u8], at: usize) -> Option<(Name, usize)> {
    let (spelled, after) = dns::name_at(bytes, at)?;
    Some((Name::of(&spelled)?, after))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn tell(bytes: &[u8], signals: &mut Vec<Meaning>) {
    let Some(header) = Header::of(bytes) else { return };
    let mut at = HEADER;
    let mut asked = None;
    if header.questions > 0 {
        let Some((name, after)) = name_at(bytes, at) else { return };
        asked = Some((name, u16_at(bytes, after).unwrap_or(NB)));
        at = after.saturating_add(4);
    }
    let mut records = Vec::new();
    for _ in 0..header.records.min(MOST_ITEMS) {
        let Some((record, after)) = record(bytes, at) else { break };
        records.push(record);
        at = after;
    }
    let first = records.first();
    let (name, kind) = match (&asked, first) {
        (Some((name, kind)), _) => (Some(name), *kind),
        (None, Some(record)) => (Some(&record.name), record.kind),
        (None, None) => (None, NB),
    };
    let name = name.map_or_else(|| "a name".to_owned(), Name::told);
    let subject = text(match header.operation() {
        _ if kind == STATUS => "node status".to_owned(),
        REGISTRATION | MULTIHOMED | WAIT => format!("register {name}"),
        REFRESH | ALTERNATE_REFRESH => format!("refresh {name}"),
        RELEASE => format!("release {name}"),
        _ => format!("name {name}"),
    });
    if header.flags & RESPONSE == 0 {
        signals.push(Meaning::Asked { subject });
    } else {
        let code = Code { set: CodeSet::Netbios, number: u32::from(header.flags & 0xf) };
        let waits = header.operation() == WAIT;
        let standing = if waits { Standing::Step } else { code.standing() };
        let detail = waits.then(|| "the name server asks for patience".to_owned());
        signals.push(Meaning::Answered { subject, standing, code: Some(code), detail });
    }
    for record in records {
        record.tell(&header, signals);
    }
}

struct Record<'a> {
    name: Name,
    kind: u16,
    data: &'a [u8],
}

fn record(bytes: &[u8], at: usize) -> Option<(Record<'_>, usize)> {
    let (name, at) = name_at(bytes, at)?;
    let kind = u16_at(bytes, at)?;
    let length = usize::from(u16_at(bytes, at.checked_add(8)?)?);
    let at = at.checked_add(10)?;
    let data = bytes.get(at..at.checked_add(length)?)?;
    Some((Record { name, kind, data }, at + length))
}

impl Record<'_> {
    fn tell(&self, header: &Header, signals: &mut Vec<Meaning>) {
        let said_no = header.flags & RESPONSE != 0 && header.flags & 0xf != 0;
        match self.kind {
            NB if !said_no && header.operation() != RELEASE => {
                for entry in self.data.as_chunks::<6>().0.iter().take(MOST_ITEMS) {
                    let [f0, f1, address @ ..] = *entry;
                    let in_group = u16::from_be_bytes([f0, f1]) & GROUP != 0;
                    let address = Ipv4Addr::from(address);
                    if self.name.suffix == DOMAIN_CONTROLLERS {
                        let purpose = self.name.told();
                        let host = address.to_string();
                        signals.push(Meaning::Serves { purpose, host });
                    } else if !in_group && self.name.is_host() {
                        let name = self.name.name.clone();
                        signals.push(Meaning::Named { address: address.into(), name });
                    }
                }
            }
            // RFC 1002 4.2.18: a count, and names of sixteen bytes with two of flags.
            STATUS if header.flags & RESPONSE != 0 => {
                let names = self.data.get(1..).unwrap_or_default().as_chunks::<18>().0;
                let count = self.data.first().copied().map_or(0, usize::from);
                let own = names.iter().take(count.min(MOST_ITEMS)).find_map(|entry| {
                    let [name @ .., f0, f1] = entry;
                    let in_group = u16::from_be_bytes([*f0, *f1]) & GROUP != 0;
                    let name = Name::plain(name);
                    (!in_group && name.is_host() && !name.name.is_empty()).then_some(name)
                });
                let by = NameSource::Nbns;
                signals.extend(own.map(|own| Meaning::Introduced { name: own.name, by }));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spelled(name: &str, suffix: u8) -> Vec<u8> {
        let mut bytes = format!("{name:15}").into_bytes();
        bytes.push(suffix);
        let letters: Vec<u8> =
            bytes.iter().flat_map(|byte| [b'A' + (byte >> 4), b'A' + (byte & 15)]).collect();
        [&[32][..], &letters, &[0]].concat()
    }

    fn message(flags: u16, questions: u16, records: u16, rest: &[&[u8]]) -> Vec<u8> {
        let header = [7, flags, questions, records, 0, 0].map(u16::to_be_bytes).concat();
        [header, rest.concat()].concat()
    }

    fn query(name: &str, suffix: u8, kind: u16) -> Vec<u8> {
        let tail = [kind, 1].map(u16::to_be_bytes).concat();
        message(0x0110, 1, 0, &[&spelled(name, suffix), &tail])
    }

    fn answer(flags: u16, name: &str, suffix: u8, kind: u16, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap();
        let tail = [kind, 1, 0, 60, length].map(u16::to_be_bytes).concat();
        message(flags, 0, 1, &[&spelled(name, suffix), &tail, data])
    }

    fn told(bytes: &[u8]) -> Vec<Meaning> {
        let mut signals = Vec::new();
        let message =
            Message { from: Speaker::Responder, bytes, length: bytes.len() as u64, time: None };
        Names.hear(&message, &mut signals);
        signals
    }

    #[test]
    fn letters_are_read_as_rfc_1001_spells_them() {
        // RFC 1001 14.1: "The NetBIOS name". It writes GH for the `h`, which is GI.
        let name = Name::of("FEGIGFCAEOGFHEECEJEPFDCAGOGBGNGF").unwrap();
        assert_eq!(name, Name { name: "The NetBIOS nam".to_owned(), suffix: b'e' });
        assert_eq!(Name::of("FEGIGFCAEOGFHEECEJEPFDCAGOGBGNG1"), None);
    }

    #[test]
    fn a_query_and_its_answer_have_one_subject() {
        let subject = "name DC1<20>".to_owned();
        assert_eq!(told(&query("DC1", SERVER, NB)), [Meaning::Asked { subject: subject.clone() }]);
        let positive = told(&answer(0x8580, "DC1", SERVER, NB, &[0, 0, 10, 1, 0, 13]));
        assert!(matches!(
            &positive[0],
            Meaning::Answered { subject: of, standing: Standing::Served, .. } if *of == subject
        ));
        let address = "10.1.0.13".parse().unwrap();
        assert_eq!(positive[1], Meaning::Named { address, name: "DC1".to_owned() });
    }

    #[test]
    fn a_name_that_is_not_there_is_an_answer_and_a_conflict_a_failure() {
        // RFC 1002 4.2.14: a negative response has an empty record.
        for (flags, expected) in [(0x8583, Standing::Served), (0xad86, Standing::Failed)] {
            let told = told(&answer(flags, "DC1", SERVER, 0x0a, &[]));
            assert!(
                matches!(&told[..], [Meaning::Answered { standing, .. }] if *standing == expected),
                "{flags:x}"
            );
        }
    }

    #[test]
    fn domain_controllers_are_told_and_groups_are_no_hosts() {
        let data = [0x80, 0, 10, 1, 0, 13, 0x80, 0, 10, 1, 0, 14];
        let controllers = told(&answer(0x8580, "EXAMPLE", DOMAIN_CONTROLLERS, NB, &data));
        let hosts = ["10.1.0.13", "10.1.0.14"].map(|host| Meaning::Serves {
            purpose: "EXAMPLE<1C>".to_owned(),
            host: host.to_owned(),
        });
        assert_eq!(controllers[1..], hosts);
        assert_eq!(told(&answer(0x8580, "EXAMPLE", WORKSTATION, NB, &data)).len(), 1);
    }

    #[test]
    fn a_host_tells_its_own_name() {
        let mut data = vec![2];
        data.extend(b"EXAMPLE        \x00\x84\x00");
        data.extend(b"DC1            \x00\x04\x00");
        let status = told(&answer(0x8400, "*", WORKSTATION, STATUS, &data));
        assert!(
            matches!(&status[0], Meaning::Answered { subject, .. } if subject == "node status")
        );
        assert_eq!(status[1], Meaning::Introduced { name: "DC1".to_owned(), by: NameSource::Nbns });
    }

    proptest! {
        #[test]
        fn any_change_to_a_message_is_survived(
            at in any::<prop::sample::Index>(),
            to in any::<u8>(),
            end in any::<prop::sample::Index>(),
        ) {
            let mut bytes = answer(0x8580, "DC1", SERVER, NB, &[0, 0, 10, 1, 0, 13]);
            let place = at.index(bytes.len());
            bytes[place] = to;
            bytes.truncate(end.index(bytes.len() + 1));
            told(&bytes);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            told(&bytes);
            let (transport, from) = (Transport::Udp, Speaker::Initiator);
            recognise(&Opening { transport, from, port_fits: true, bytes: &bytes });
        }
    }
}
