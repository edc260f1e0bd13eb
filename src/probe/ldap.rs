//! LDAP, also of the Global Catalog, and its connectionless form for finding domain controllers
//! (RFC 4511, [MS-ADTS]).
//!
//! What was asked and the code of the result are read, entries are passed over. After a bind with
//! SASL messages may be signed or sealed: signed ones are read (RFC 4121 4.2.4, [MS-NLMP] 3.4.4),
//! sealed ones only counted off.

use std::collections::BTreeMap;

use crate::net::Transport;
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
/// Bytes kept of signed messages.
const KEPT_SIGNED: usize = 128 << 10;

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
const DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";

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
            [0 | 1, ..] => wrapped_framing(bytes),
            [] => Framing::Needs(2),
            _ => Framing::Lost,
        }
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        let bytes = match message.bytes {
            [SEQUENCE, ..] => message.bytes,
            wrapped => match signed(wrapped, message.length) {
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

/// How much of a message in SASL's buffers there is, and is to be kept (RFC 4513 5.2.1.6, RFC
/// 4422 3.7).
fn wrapped_framing(bytes: &[u8]) -> Framing {
    let Some((length, token)) = bytes.split_first_chunk() else { return Framing::Needs(4) };
    let Ok(length) = usize::try_from(u32::from_be_bytes(*length)) else { return Framing::Lost };
    if !(16..=MOST_LENGTH).contains(&length) {
        return Framing::Lost;
    }
    let keep = match *token {
        [5, 4, flags, _, e0, e1, r0, r1, ..] if flags & SEALED == 0 => match [e0, e1] {
            // The text follows the checksum, so what comes next are plain messages.
            checksum if checksum == [r0, r1] && checksum != [0, 0] => {
                let beginning = 20 + u64::from(u16::from_be_bytes(checksum));
                return Framing::Message { length: beginning, keep: KEPT_BULK };
            }
            _ => KEPT_SIGNED,
        },
        [5, 4, flags, ..] if flags & SEALED != 0 => KEPT_BULK,
        [5, 4, _, ..] => return Framing::Needs(12),
        [1, 0, 0, 0, ref rest @ ..] => match rest.get(12) {
            Some(&SEQUENCE) => KEPT_SIGNED,
            Some(_) => KEPT_BULK,
            None => return Framing::Needs(21),
        },
        // The older tokens of RFC 1964.
        [0x60, _, _, ..] => KEPT_BULK,
        [_, _, _, _, ..] => return Framing::Lost,
        _ => return Framing::Needs(8),
    };
    let length = length + 4;
    Framing::Message { length: length as u64, keep: keep.min(length) }
}

/// RFC 4121 4.2.2: a token's flag that says that it is encrypted.
const SEALED: u8 = 2;

/// The messages in a buffer that is signed and not sealed. Of those that Windows signs with
/// Kerberos only the beginning comes here: it rotates the checksum to the front, so that the text
/// is read message by message, however long it is.
fn signed(bytes: &[u8], length: u64) -> Option<&[u8]> {
    let (_, token) = bytes.split_at_checked(4)?;
    let whole = usize::try_from(length).ok()?.checked_sub(4)?;
    match *token {
        // RFC 4121 4.2.4: the checksum follows the text, if nothing was rotated.
        [5, 4, flags, _, e0, e1, 0, 0, ..] if flags & SEALED == 0 => {
            let checksum = usize::from(u16::from_be_bytes([e0, e1]));
            let text = whole.checked_sub(16)?.checked_sub(checksum)?;
            let rest = token.get(16..)?;
            Some(rest.get(..text).unwrap_or(rest))
        }
        // [MS-NLMP] 2.2.2.9: the signature has 16 bytes.
        [1, 0, 0, 0, ..] => {
            let rest = token.get(16..)?;
            operation(rest).map(|_| rest)
        }
        _ => None,
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
            return match wrapped_framing(bytes) {
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
            BIND => (bind_subject(operation), Kind::Plain),
            SEARCH => search_subject(operation),
            MODIFY => (format!("modify {}", first().unwrap_or_default()), Kind::Plain),
            ADD => (format!("add {}", first().unwrap_or_default()), Kind::Plain),
            DELETE => (format!("delete {}", operation.text()), Kind::Plain),
            RENAME => (format!("rename {}", first().unwrap_or_default()), Kind::Plain),
            COMPARE => (format!("compare {}", first().unwrap_or_default()), Kind::Plain),
            EXTENDED => match first().unwrap_or_default() {
                name if name == START_TLS => ("StartTLS".to_owned(), Kind::StartTls),
                name => (extended_subject(&name), Kind::Plain),
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
            None => (subject_of_result(operation), Kind::Plain),
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
            _ => remark.and_then(|remark| detail_of(number, &remark)),
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
            let value = parts.next().and_then(|values| elements(values.content).next());
            let (Some(name), Some(value)) = (name, value) else { continue };
            match (&mut pending.kind, name.as_str()) {
                (Kind::Ping(told), "netlogon") => *told = netlogon::tell(value.content, signals),
                (Kind::RootDse, "dnshostname") => {
                    signals.push(Meaning::Introduced { name: text(value.text()) });
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

/// "bind GSS-SPNEGO", "bind as cn=admin", "bind anonymously".
fn bind_subject(operation: &Element<'_>) -> String {
    let mut parts = elements(operation.content).skip(1);
    let name = parts.next().map(|name| name.text()).unwrap_or_default();
    match parts.next() {
        Some(password) if password.tag == 0x80 => match name.as_str() {
            "" => "bind anonymously".to_owned(),
            name => format!("bind as {name}"),
        },
        Some(sasl) if sasl.tag == 0xa3 => {
            let mechanism = elements(sasl.content).next().map(|mechanism| mechanism.text());
            format!("bind {}", mechanism.unwrap_or_default())
        }
        // [MS-ADTS] 5.1.1.1.3: Sicily, NTLM before there was SASL.
        Some(sicily) if matches!(sicily.tag, 0x89..=0x8b) => "bind NTLM".to_owned(),
        _ => "bind".to_owned(),
    }
}

/// "search rootDSE", "netlogon ping example.com", "search DC=example,DC=com".
fn search_subject(operation: &Element<'_>) -> (String, Kind) {
    let mut parts = elements(operation.content);
    let base = parts.next().map(|base| base.text()).unwrap_or_default();
    let scope = parts.next().and_then(|scope| scope.number());
    let filter = parts.nth(4);
    let attributes = parts.next();
    let asks_for = |wanted: &str| {
        attributes.as_ref().is_some_and(|attributes| {
            let mut names = elements(attributes.content);
            names.any(|name| name.text().eq_ignore_ascii_case(wanted))
        })
    };
    match (base.as_str(), scope) {
        ("", Some(0)) if asks_for("netlogon") => {
            let domain = filter.and_then(|filter| equals(&filter, "DnsDomain", 4));
            let domain = domain.map(|domain| format!(" {}", domain.trim_end_matches('.')));
            (format!("netlogon ping{}", domain.unwrap_or_default()), Kind::Ping(None))
        }
        ("", Some(0)) => ("search rootDSE".to_owned(), Kind::RootDse),
        ("", _) => ("search everything".to_owned(), Kind::Plain),
        (base, _) => (format!("search {base}"), Kind::Plain),
    }
}

/// The value that a filter wants an attribute to equal (RFC 4511 4.5.1.7).
fn equals(filter: &Element<'_>, attribute: &str, depth: u8) -> Option<String> {
    const AND: u8 = 0xa0;
    const EQUALS: u8 = 0xa3;
    match filter.tag {
        AND if depth > 0 => {
            elements(filter.content).take(16).find_map(|inner| equals(&inner, attribute, depth - 1))
        }
        EQUALS => {
            let mut parts = elements(filter.content);
            let name = parts.next()?.text();
            let value = parts.next()?.text();
            name.eq_ignore_ascii_case(attribute).then_some(value)
        }
        _ => None,
    }
}

fn extended_subject(name: &str) -> String {
    let known = match name {
        "1.3.6.1.4.1.4203.1.11.1" => "change a password",
        "1.3.6.1.4.1.4203.1.11.3" => "who am I",
        "1.2.840.113556.1.4.1781" => "fast bind",
        "1.3.6.1.4.1.1466.101.119.1" => "refresh",
        _ => return format!("extended request {name}"),
    };
    known.to_owned()
}

/// The subject of a result whose request was not seen.
fn subject_of_result(operation: &Element<'_>) -> String {
    let subject = match operation.tag {
        BIND_RESULT => "bind",
        SEARCH_RESULT => "search",
        MODIFY_RESULT => "modify",
        ADD_RESULT => "add",
        DELETE_RESULT => "delete",
        RENAME_RESULT => "rename",
        COMPARE_RESULT => "compare",
        _ => {
            let name = elements(operation.content).find(|part| part.tag == 0x8a);
            match name.map(|name| name.text()) {
                Some(name) if name == DISCONNECTION => "connection",
                _ => "extended request",
            }
        }
    };
    subject.to_owned()
}

/// What the remark of a result says. Active Directory tells in it why a bind failed: "data 52e".
fn detail_of(number: u32, remark: &str) -> Option<String> {
    let remark = remark.trim_matches(|letter: char| letter == '\0' || letter.is_whitespace());
    let reason = remark
        .split_once(", data ")
        .filter(|_| number == INVALID_CREDENTIALS)
        .and_then(|(_, rest)| rest.split(|letter: char| !letter.is_ascii_hexdigit()).next())
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .map(|number| Code { set: CodeSet::LdapData, number })
        .and_then(|code| Some(format!("{}: {}", code.name(), code.meaning()?)));
    let remark = (!remark.is_empty()).then(|| remark.to_owned());
    let told: Vec<String> = [reason, remark].into_iter().flatten().collect();
    (!told.is_empty()).then(|| text(told.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::FrameNumber;
    use crate::probe::asn1::tests::write;
    use proptest::prelude::*;

    fn message(id: u8, operation: u8, parts: &[Vec<u8>]) -> Vec<u8> {
        let operation = write(operation, &parts.concat());
        write(SEQUENCE, &[write(INTEGER, &[id]), operation].concat())
    }

    fn string(text: &str) -> Vec<u8> {
        write(OCTET_STRING, text.as_bytes())
    }

    fn result(id: u8, operation: u8, code: u8, remark: &str) -> Vec<u8> {
        message(id, operation, &[write(ENUMERATED, &[code]), string(""), string(remark)])
    }

    fn bind(id: u8, name: &str, auth: &[u8]) -> Vec<u8> {
        message(id, BIND, &[write(INTEGER, &[3]), string(name), auth.to_vec()])
    }

    fn search(id: u8, base: &str, scope: u8, attribute: &str) -> Vec<u8> {
        let equals = |name, value| write(0xa3, &[string(name), string(value)].concat());
        let filter = [equals("Host", "PC1"), equals("DnsDomain", "example.com.")].concat();
        let parts = [
            string(base),
            write(ENUMERATED, &[scope]),
            write(ENUMERATED, &[0]),
            write(INTEGER, &[0]),
            write(INTEGER, &[0]),
            write(1, &[0]),
            write(0xa0, &filter),
            write(SEQUENCE, &string(attribute)),
        ];
        message(id, SEARCH, &parts)
    }

    fn entry(id: u8, attribute: &str, value: &[u8]) -> Vec<u8> {
        let values = write(0x31, &write(OCTET_STRING, value));
        let attribute = write(SEQUENCE, &[string(attribute), values].concat());
        message(id, ENTRY, &[string(""), write(SEQUENCE, &attribute)])
    }

    fn told(messages: &[Vec<u8>]) -> (Vec<Meaning>, bool) {
        let mut talk = Ldap::default();
        let mut signals = Vec::new();
        let mut done = false;
        for bytes in messages {
            let message = Message {
                from: Speaker::Responder,
                bytes,
                length: bytes.len() as u64,
                frame: FrameNumber(1),
                time: None,
            };
            done |= matches!(talk.hear(&message, &mut signals), Next::Become(_));
        }
        (signals, done)
    }

    /// Subject, code and standing of each answer, and what else it says.
    fn answers(messages: &[Vec<u8>]) -> Vec<(String, u32, Standing, Option<String>)> {
        let (signals, _) = told(messages);
        let answer = |meaning| match meaning {
            Meaning::Answered { subject, standing, code, detail } => {
                Some((subject, code?.number, standing, detail))
            }
            _ => None,
        };
        signals.into_iter().filter_map(answer).collect()
    }

    #[test]
    fn a_bind_goes_on_step_by_step_under_one_subject() {
        let spnego = write(0xa3, &string("GSS-SPNEGO"));
        let messages = [
            bind(5, "", &spnego),
            result(5, BIND_RESULT, 14, ""),
            bind(6, "", &spnego),
            result(6, BIND_RESULT, 0, ""),
        ];
        let subject = "bind GSS-SPNEGO".to_owned();
        assert_eq!(
            answers(&messages),
            [(subject.clone(), 14, Standing::Step, None), (subject, 0, Standing::Served, None)]
        );
    }

    #[test]
    fn active_directory_tells_why_a_bind_fails() {
        let remark = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, \
                      data 533, v1db1\0";
        let messages =
            [bind(1, "CN=alice", &write(0x80, b"secret")), result(1, BIND_RESULT, 49, remark)];
        let [(subject, 49, Standing::Failed, Some(detail))] = &answers(&messages)[..] else {
            panic!()
        };
        assert_eq!(subject, "bind as CN=alice");
        let expected = "ERROR_ACCOUNT_DISABLED: the account is disabled; 80090308: LdapErr";
        assert!(detail.starts_with(expected), "{detail}");
        assert!(detail.ends_with("v1db1"), "no zero byte");
    }

    #[test]
    fn an_error_of_kerberos_within_a_refusal_comes_first() {
        let token = crate::probe::kerberos::tests::error(37, &[]);
        let refusal = message(
            1,
            BIND_RESULT,
            &[write(ENUMERATED, &[49]), string(""), string(""), write(SASL_ANSWER, &token)],
        );
        let (signals, _) = told(&[refusal]);
        let Meaning::Answered { subject, code: Some(code), .. } = &signals[0] else { panic!() };
        assert_eq!((subject.as_str(), code.set, code.number), ("bind", CodeSet::Kerberos, 37));
    }

    #[test]
    fn searches_are_told_by_their_base_and_a_referral_is_a_step() {
        let referral = message(
            9,
            SEARCH_RESULT,
            &[
                write(ENUMERATED, &[10]),
                string(""),
                string("0000202B: RefErr"),
                write(REFERRAL, &string("ldap://child.example.com/DC=child")),
            ],
        );
        let messages = [
            search(7, "", 0, "supportedSASLMechanisms"),
            result(7, SEARCH_RESULT, 0, ""),
            search(9, "DC=child", 2, "cn"),
            referral,
        ];
        assert_eq!(
            answers(&messages),
            [
                ("search rootDSE".to_owned(), 0, Standing::Served, None),
                (
                    "search DC=child".to_owned(),
                    10,
                    Standing::Step,
                    Some("to be asked at ldap://child.example.com/DC=child".to_owned())
                )
            ]
        );
    }

    #[test]
    fn a_netlogon_ping_is_answered_by_an_entry_that_names_the_host() {
        let value = netlogon::tests::answer(23, 4);
        // Both in one datagram, as Windows sends them.
        let answer = [entry(1, "Netlogon", &value), result(1, SEARCH_RESULT, 0, "")].concat();
        let messages = [search(1, "", 0, "Netlogon"), answer];
        let [(subject, 0, Standing::Served, Some(detail))] = &answers(&messages)[..] else {
            panic!()
        };
        assert_eq!(subject, "netlogon ping example.com");
        assert!(detail.starts_with("dc1.example.com of example.com"), "{detail}");
        let (signals, _) = told(&messages);
        let introduced = Meaning::Introduced { name: "dc1.example.com".to_owned() };
        assert!(signals.contains(&introduced));
        let empty = [search(2, "", 0, "Netlogon"), result(2, SEARCH_RESULT, 0, "")];
        assert_eq!(answers(&empty)[0].2, Standing::Failed, "no controller of this domain");
    }

    #[test]
    fn a_host_says_its_name_and_its_time_in_its_root() {
        let (signals, _) = told(&[
            search(1, "", 0, "*"),
            entry(1, "dnsHostName", b"dc1.example.com"),
            entry(1, "currentTime", b"20140527101500.0Z"),
        ]);
        assert!(matches!(&signals[1..], [Meaning::Introduced { name }, Meaning::Clock { .. }]
                if name == "dc1.example.com"));
    }

    #[test]
    fn encryption_is_for_another_probe_to_read() {
        let request = message(3, EXTENDED, &[write(0x80, START_TLS.as_bytes())]);
        let yes = [request.clone(), result(3, EXTENDED_RESULT, 0, "")];
        assert!(told(&yes).1);
        assert_eq!(answers(&yes)[0].0, "StartTLS");
        let no = [request, result(3, EXTENDED_RESULT, 52, "")];
        assert!(!told(&no).1);
        assert_eq!(answers(&no)[0].2, Standing::Failed);
    }

    #[test]
    fn a_notice_of_disconnection_fails() {
        let parts = [
            write(ENUMERATED, &[52]),
            string(""),
            string("the server is shutting down"),
            write(0x8a, DISCONNECTION.as_bytes()),
        ];
        let told = answers(&[message(0, EXTENDED_RESULT, &parts)]);
        assert_eq!((told[0].0.as_str(), told[0].2), ("connection", Standing::Failed));
    }

    #[test]
    fn signed_messages_are_read_and_sealed_ones_are_not() {
        let plain = [bind(1, "", &[]), result(1, BIND_RESULT, 0, "")].concat();
        let wrap = |token: Vec<u8>| {
            let length = u32::try_from(token.len()).unwrap().to_be_bytes();
            [&length[..], &token].concat()
        };
        // RFC 4121 4.2.6.2: flags, checksum of 12 bytes, rotated by 12 or not at all.
        let header =
            |flags, rotated| [&[5, 4, flags, 0xff, 0, 12, 0, rotated][..], &[0; 8]].concat();
        let checksum = vec![0xaa; 12];
        let in_front = wrap([header(1, 12), checksum.clone(), plain.clone()].concat());
        let framing = Ldap::default().framing(Speaker::Initiator, &in_front);
        assert_eq!(framing, Framing::Message { length: 32, keep: KEPT_BULK }, "then plain ones");
        assert!(answers(&[in_front[..32].to_vec()]).is_empty());
        for (token, count) in [
            ([header(1, 0), plain.clone(), checksum.clone()].concat(), 1),
            ([header(3, 28), plain.clone()].concat(), 0),
            ([&[1, 0, 0, 0][..], &[7; 12], &plain].concat(), 1),
            ([&[1, 0, 0, 0][..], &[7; 40]].concat(), 0),
        ] {
            let bytes = wrap(token);
            let framing = Ldap::default().framing(Speaker::Initiator, &bytes);
            let Framing::Message { length, .. } = framing else { panic!("{framing:?}") };
            assert_eq!(length, bytes.len() as u64);
            assert_eq!(answers(&[bytes]).len(), count);
        }
    }

    #[test]
    fn entries_are_passed_over_and_what_is_read_is_kept() {
        let talk = Ldap::default();
        let entry = entry(1, "cn", &[b'x'; 9000]);
        let Framing::Message { length, keep } = talk.framing(Speaker::Responder, &entry[..20])
        else {
            panic!()
        };
        assert_eq!((length, keep), (entry.len() as u64, KEPT_BULK));
        let result = result(1, SEARCH_RESULT, 0, "");
        for end in 0..result.len() {
            match talk.framing(Speaker::Responder, &result[..end]) {
                Framing::Needs(count) => assert!(count > end),
                Framing::Message { keep, .. } => assert_eq!(keep, result.len()),
                Framing::Until { .. } | Framing::Lost => panic!("{end}"),
            }
        }
        assert_eq!(talk.framing(Speaker::Responder, b"GET / HTTP"), Framing::Lost);
    }

    #[test]
    fn only_ldap_is_recognised() {
        let on_tcp = |bytes: &[u8], port_fits, from| {
            recognise(&Opening { transport: Transport::Tcp, from, port_fits, bytes })
        };
        let bind = bind(1, "", &write(0x80, b""));
        let result = result(1, BIND_RESULT, 0, "");
        use Speaker::{Initiator, Responder};
        assert_eq!(on_tcp(&bind, false, Initiator), Recognition::Yes);
        assert_eq!(on_tcp(&bind, false, Responder), Recognition::No);
        assert_eq!(on_tcp(&result, false, Responder), Recognition::Yes);
        assert_eq!(on_tcp(&result, true, Initiator), Recognition::Yes);
        assert_eq!(on_tcp(&bind[..3], false, Initiator), Recognition::Perhaps);
        // SNMP begins alike (RFC 3416): version, community, and a request.
        let snmp = b"\x30\x0f\x02\x01\x01\x04\x06public\xa0\x02\x02\x00";
        assert_eq!(on_tcp(snmp, true, Initiator), Recognition::No);
        let message = entry(1, "cn", b"x");
        assert_eq!(on_tcp(&message, false, Responder), Recognition::No, "too little to tell");
    }

    proptest! {
        #[test]
        fn any_change_to_a_message_is_survived(
            which in 0..4_usize,
            at in any::<prop::sample::Index>(),
            to in any::<u8>(),
            end in any::<prop::sample::Index>(),
        ) {
            let mut bytes = match which {
                0 => search(1, "", 0, "Netlogon"),
                1 => entry(1, "Netlogon", &netlogon::tests::answer(23, 4)),
                2 => result(1, BIND_RESULT, 49, "comment: error, data 52e, v1db1"),
                _ => bind(1, "", &write(0xa3, &string("GSS-SPNEGO"))),
            };
            let place = at.index(bytes.len());
            bytes[place] = to;
            bytes.truncate(end.index(bytes.len() + 1));
            told(&[search(1, "", 0, "Netlogon"), bytes.clone()]);
            Ldap::default().framing(Speaker::Initiator, &bytes);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            told(&[bytes.clone()]);
            Ldap::default().framing(Speaker::Initiator, &bytes);
            for transport in [Transport::Tcp, Transport::Udp] {
                let from = Speaker::Initiator;
                recognise(&Opening { transport, from, port_fits: true, bytes: &bytes });
            }
        }
    }
}
