//! LDAP, also of the Global Catalog, and its connectionless form for finding domain controllers
//! (RFC 4511, [MS-ADTS]).
//!
//! What was asked and the code of the result are read, entries are passed over. After a bind with
//! SASL messages may be signed or sealed: signed ones are read (RFC 4121 4.2.4, [MS-NLMP] 3.4.4),
//! sealed ones only counted off.

mod sasl;
mod subject;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::net::{NameSource, Transport};
use crate::probe::asn1::{
    Beginning, ENUMERATED, Element, INTEGER, OCTET_STRING, SEQUENCE, beginning, element, elements,
    split, time,
};
use crate::probe::{
    Code, CodeSet, Framing, Meaning, Message, Next, Opening, Probe, Recognition, Speaker, Standing,
    Talk, kerberos, netlogon, text, tls,
};

pub(super) const PROBE: Probe = Probe {
    name: "LDAP",
    ports: &[(Transport::Tcp, 389), (Transport::Udp, 389), (Transport::Tcp, 3268)],
    recognise,
    begin: |_| Box::new(Ldap::default()),
};

/// Longest message that is believed. Active Directory's own limit for requests is 10 MB.
const MOST_LENGTH: usize = 64 << 20;

/// Requests that wait for their answer. More are asked, the oldest are forgotten.
const MOST_PENDING: usize = 128;

/// Bytes kept of a message that is read: what is asked for stands at its beginning.
const KEPT: usize = 2048;
/// Bytes kept of an entry that is read.
const KEPT_ENTRY: usize = 8 << 10;
/// Bytes kept of a message that is not.
const KEPT_BULK: usize = 16;

/// RFC 4511 4.2 and following: the operations' tags.
const BIND: u8 = 0x60;
const BIND_RESULT: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const SEARCH_RESULT: u8 = 0x65;
const MODIFY: u8 = 0x66;
const MODIFY_RESULT: u8 = 0x67;
const ADD: u8 = 0x68;
const ADD_RESULT: u8 = 0x69;
const DELETE: u8 = 0x4a;
const DELETE_RESULT: u8 = 0x6b;
const RENAME: u8 = 0x6c;
const RENAME_RESULT: u8 = 0x6d;
const COMPARE: u8 = 0x6e;
const COMPARE_RESULT: u8 = 0x6f;
const ABANDON: u8 = 0x50;
const REFERENCE: u8 = 0x73;
const EXTENDED: u8 = 0x77;
const EXTENDED_RESULT: u8 = 0x78;
const INTERMEDIATE: u8 = 0x79;

const REQUESTS: [u8; 10] =
    [BIND, UNBIND, SEARCH, MODIFY, ADD, DELETE, RENAME, COMPARE, ABANDON, EXTENDED];
const RESULTS: [u8; 8] = [
    BIND_RESULT,
    SEARCH_RESULT,
    MODIFY_RESULT,
    ADD_RESULT,
    DELETE_RESULT,
    RENAME_RESULT,
    COMPARE_RESULT,
    EXTENDED_RESULT,
];
const PARTS: [u8; 3] = [ENTRY, REFERENCE, INTERMEDIATE];

const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

const SUCCESS: u32 = 0;
const INVALID_CREDENTIALS: u32 = 49;

#[derive(Debug, Default)]
struct Ldap {
    /// Requests by message id, until their result comes.
    pending: BTreeMap<i64, Pending>,
    /// An entry is awaited that is worth reading.
    wants_entry: bool,
}

#[derive(Debug)]
struct Pending {
    subject: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Plain,
    /// What the host says of itself.
    RootDse,
    /// Netlogon ping, and what an entry told in answer.
    Ping(Option<netlogon::Told>),
    StartTls,
}

impl Talk for Ldap {
    fn framing(&self, _: Speaker, bytes: &[u8]) -> Framing {
        match bytes {
            [SEQUENCE, ..] => self.plain_framing(bytes),
            [0 | 1, ..] => sasl::framing(bytes),
            [] => Framing::Needs(2),
            _ => Framing::Lost,
        }
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        let bytes = match message.bytes {
            [SEQUENCE, ..] => message.bytes,
            wrapped => match sasl::signed(wrapped, message.length) {
                Some(bytes) => bytes,
                None => return Next::Stay,
            },
        };
        // An entry and the result after it come in one datagram, or under one signature.
        for element in elements(bytes).take_while(|element| element.tag == SEQUENCE) {
            if let Some(next) = self.take(&element, signals) {
                return next;
            }
        }
        Next::Stay
    }
}

/// Message id and operation, if these bytes begin a message.
fn operation(bytes: &[u8]) -> Option<(i64, Element<'_>)> {
    let message = element(bytes, SEQUENCE)?;
    let (id, rest) = split(message.content)?;
    let id = Some(id).filter(|id| id.tag == INTEGER && id.content.len() <= 4)?.number()?;
    let (operation, after) = split(rest)?;
    let known = REQUESTS.contains(&operation.tag)
        || RESULTS.contains(&operation.tag)
        || PARTS.contains(&operation.tag);
    let controls = after.first().is_none_or(|&tag| tag == 0xa0);
    let fits = message.cut || !operation.cut;
    (id >= 0 && known && controls && fits).then_some((id, operation))
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    let bytes = opening.bytes;
    let over_tcp = opening.transport == Transport::Tcp;
    match bytes {
        [SEQUENCE, ..] => {}
        [0 | 1, ..] if over_tcp && opening.port_fits => {
            return match sasl::framing(bytes) {
                Framing::Message { .. } => Recognition::Yes,
                Framing::Needs(_) => Recognition::Perhaps,
                Framing::Until { .. } | Framing::Lost => Recognition::No,
            };
        }
        _ => return Recognition::No,
    }
    let Some((_, operation)) = operation(bytes) else {
        let short = over_tcp && bytes.len() < 16 && beginning(bytes) != Beginning::Wrong;
        return if short { Recognition::Perhaps } else { Recognition::No };
    };
    let mut parts = elements(operation.content).map(|part| (part.tag, part.number()));
    let sure = match operation.tag {
        _ if opening.port_fits => true,
        BIND => {
            opening.from == Speaker::Initiator
                && matches!(parts.next(), Some((INTEGER, Some(2 | 3))))
                && matches!(parts.next(), Some((OCTET_STRING, _)))
        }
        SEARCH => {
            opening.from == Speaker::Initiator
                && matches!(parts.next(), Some((OCTET_STRING, _)))
                && matches!(parts.next(), Some((ENUMERATED, Some(0..=3))))
                && matches!(parts.next(), Some((ENUMERATED, Some(0..=3))))
        }
        BIND_RESULT | SEARCH_RESULT => {
            opening.from == Speaker::Responder
                && matches!(parts.next(), Some((ENUMERATED, Some(_))))
                && matches!(parts.next(), Some((OCTET_STRING, _)))
        }
        _ => false,
    };
    if sure { Recognition::Yes } else { Recognition::No }
}

impl Ldap {
    fn plain_framing(&self, bytes: &[u8]) -> Framing {
        let header = match beginning(bytes) {
            Beginning::Known(header) => header,
            Beginning::Needs(count) => return Framing::Needs(count),
            Beginning::Wrong => return Framing::Lost,
        };
        let length = header.total();
        if length > MOST_LENGTH || header.length < 5 {
            return Framing::Lost;
        }
        // As far as the tag of the operation, after an id of up to four bytes.
        let enough = length.min(header.size + 7);
        let Some(inside) = bytes.get(header.size..enough) else { return Framing::Needs(enough) };
        let [INTEGER, size @ 1..=4, rest @ ..] = inside else { return Framing::Lost };
        let keep = match rest.get(usize::from(*size)) {
            Some(&ENTRY) if self.wants_entry => KEPT_ENTRY,
            Some(tag) if PARTS.contains(tag) => KEPT_BULK,
            _ => KEPT,
        };
        Framing::Message { length: length as u64, keep: keep.min(length) }
    }

    /// Takes one message.
    fn take(&mut self, message: &Element<'_>, signals: &mut Vec<Meaning>) -> Option<Next> {
        let mut parts = elements(message.content);
        let id = parts.next().filter(|id| id.tag == INTEGER)?.number()?;
        let operation = parts.next()?;
        match operation.tag {
            ENTRY => {
                if self.wants_entry {
                    self.read_entry(id, &operation, signals);
                }
                None
            }
            tag if RESULTS.contains(&tag) => self.result(id, &operation, signals),
            tag if REQUESTS.contains(&tag) => {
                self.request(id, &operation, signals);
                None
            }
            _ => None,
        }
    }

    fn request(&mut self, id: i64, operation: &Element<'_>, signals: &mut Vec<Meaning>) {
        let first = || elements(operation.content).next().map(|name| name.text());
        let (subject, kind) = match operation.tag {
            BIND => (subject::bind_subject(operation), Kind::Plain),
            SEARCH => subject::search_subject(operation),
            MODIFY => (format!("modify {}", first().unwrap_or_default()), Kind::Plain),
            ADD => (format!("add {}", first().unwrap_or_default()), Kind::Plain),
            DELETE => (format!("delete {}", operation.text()), Kind::Plain),
            RENAME => (format!("rename {}", first().unwrap_or_default()), Kind::Plain),
            COMPARE => (format!("compare {}", first().unwrap_or_default()), Kind::Plain),
            EXTENDED => match first().unwrap_or_default() {
                name if name == START_TLS => ("StartTLS".to_owned(), Kind::StartTls),
                name => (subject::extended_subject(&name), Kind::Plain),
            },
            // Nothing is answered to these.
            _ => return,
        };
        let subject = text(subject);
        if self.pending.len() >= MOST_PENDING {
            self.pending.pop_first();
        }
        self.pending.insert(id, Pending { subject: subject.clone(), kind });
        self.note_wants();
        signals.push(Meaning::Asked { subject });
    }

    fn note_wants(&mut self) {
        self.wants_entry = self
            .pending
            .values()
            .any(|pending| matches!(pending.kind, Kind::RootDse | Kind::Ping(_)));
    }

    fn result(
        &mut self,
        id: i64,
        operation: &Element<'_>,
        signals: &mut Vec<Meaning>,
    ) -> Option<Next> {
        let pending = self.pending.remove(&id);
        self.note_wants();
        let (subject, kind) = match pending {
            Some(pending) => (pending.subject, pending.kind),
            None => (subject::subject_of_result(operation), Kind::Plain),
        };
        let mut parts = elements(operation.content);
        let number = parts.next().filter(|code| code.tag == ENUMERATED)?.number()?;
        let number = u32::try_from(number).ok()?;
        let code = Code { set: CodeSet::Ldap, number };
        let (_, remark) = (parts.next(), parts.next().map(|remark| remark.text()));
        let mut standing = code.standing();
        let mut detail = match (number, kind) {
            (SUCCESS, Kind::Ping(Some(told))) => {
                standing = told.standing;
                Some(told.detail)
            }
            (SUCCESS, Kind::Ping(None)) => {
                standing = Standing::Failed;
                Some("it does not say that it is a domain controller of this domain".to_owned())
            }
            (SUCCESS, Kind::StartTls) => {
                signals.push(Meaning::Answered {
                    subject,
                    standing,
                    code: Some(code),
                    detail: None,
                });
                return Some(Next::Become(&tls::PROBE));
            }
            (SUCCESS, _) => None,
            _ => remark.and_then(|remark| subject::detail_of(number, &remark)),
        };
        for part in parts {
            match part.tag {
                REFERRAL if detail.is_none() || standing == Standing::Step => {
                    let place = elements(part.content).next().map(|place| place.text());
                    detail = place.map(|place| text(format!("to be asked at {place}"))).or(detail);
                }
                // What SASL answers: an error of Kerberos says more than "invalid credentials".
                SASL_ANSWER if standing == Standing::Failed => {
                    if let Some(error) = kerberos::error_within(part.content) {
                        kerberos::tell_error(&error, Some(&subject), signals);
                    }
                }
                _ => {}
            }
        }
        signals.push(Meaning::Answered { subject, standing, code: Some(code), detail });
        None
    }

    /// Reads what a host says of itself.
    fn read_entry(&mut self, id: i64, operation: &Element<'_>, signals: &mut Vec<Meaning>) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let Some(attributes) = elements(operation.content).nth(1) else { return };
        for attribute in elements(attributes.content).take(64) {
            let mut parts = elements(attribute.content);
            let name = parts.next().map(|name| name.text().to_ascii_lowercase());
            let values = parts.next();
            let value = values.as_ref().and_then(|values| elements(values.content).next());
            let (Some(name), Some(values), Some(value)) = (name, values, value) else { continue };
            if matches!(pending.kind, Kind::RootDse) {
                let told = elements(values.content).take(64).map(|value| value.text());
                signals.extend(subject::duty_of(&name, told));
            }
            match (&mut pending.kind, name.as_str()) {
                (Kind::Ping(told), "netlogon") => *told = netlogon::tell(value.content, signals),
                (Kind::RootDse, "dnshostname") => {
                    let (name, by) = (text(value.text()), NameSource::Ldap);
                    signals.push(Meaning::Introduced { name, by });
                }
                (Kind::RootDse, "currenttime") => {
                    signals.extend(time(&value.text()).map(|says| Meaning::Clock { says }));
                }
                _ => {}
            }
        }
    }
}

const REFERRAL: u8 = 0xa3;
const SASL_ANSWER: u8 = 0x87;
