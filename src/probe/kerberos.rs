//! Kerberos: what a key distribution centre is asked for and answers (RFC 4120).
//!
//! Tickets and keys are encrypted and of no interest: who asks for which service, in which realm,
//! and with which error it is refused, stands in the clear. Windows adds an NT status to some
//! errors ([MS-KILE] 2.2.1).

use crate::net::{Clock, NameSource, Time, Timestamp, Transport, looks_like_a_name};
use crate::probe::asn1::{
    Element, GENERALIZED_TIME, INTEGER, OCTET_STRING, SEQUENCE, application, context, element,
    elements, time,
};
use crate::probe::read::find;
use crate::probe::{
    Code, CodeSet, Framing, Meaning, Message, Next, Opening, Probe, Recognition, Speaker, Standing,
    Talk, called, text,
};

pub(super) const PROBE: Probe = Probe {
    name: "Kerberos",
    ports: &[(Transport::Tcp, 88), (Transport::Udp, 88)],
    recognise,
    begin: |transport| Box::new(Kerberos { over_tcp: transport == Transport::Tcp, asked: None }),
};

/// Longest message over TCP. Tickets with many groups reach some 100 KB.
const MOST_LENGTH: usize = 1 << 20;

/// Bytes kept of a message: the ticket of a request stands before what is asked for.
const MOST_KEPT: usize = 128 << 10;

/// RFC 4120 5.10: a message's type is also its application tag.
const AS_REQ: u8 = 10;
const AS_REP: u8 = 11;
const TGS_REQ: u8 = 12;
const TGS_REP: u8 = 13;
const AP_REQ: u8 = 14;
const AP_REP: u8 = 15;
const ERROR: u8 = 30;

/// `KDC_ERR_PREAUTH_REQUIRED`, whose data is no NT status but a list of methods.
const PREAUTH_REQUIRED: u32 = 25;
const CLOCK_SKEW: u32 = 37;
const SERVICE_UNKNOWN: u32 = 7;

/// Services (the first part of their names) that signing on, the directory, file shares, remote
/// procedures and SQL Server need. Callers of all others go on with NTLM when the name is unknown.
const NEEDED: &[&str] = &[
    "krbtgt",
    "kadmin",
    "ldap",
    "gc",
    "cifs",
    "host",
    "dns",
    "rpcss",
    "mssqlsvc",
    "e3514235-4b06-11d1-ab04-00c04fc2dcd2",
];

#[derive(Debug)]
struct Kerberos {
    /// Each message is preceded by its length (RFC 4120 7.2.2).
    over_tcp: bool,
    /// Subject of the newest request.
    asked: Option<Asked>,
}

#[derive(Clone, Debug)]
struct Asked {
    subject: String,
    /// The service's name alone.
    service: String,
}

impl Talk for Kerberos {
    fn framing(&self, _: Speaker, bytes: &[u8]) -> Framing {
        let Some(length) = bytes.first_chunk() else { return Framing::Needs(4) };
        match usize::try_from(u32::from_be_bytes(*length)) {
            Ok(length) if length <= MOST_LENGTH => {
                let keep = (length + 4).min(MOST_KEPT);
                Framing::Message { length: length as u64 + 4, keep }
            }
            _ => Framing::Lost,
        }
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        let bytes = if self.over_tcp { message.bytes.get(4..) } else { Some(message.bytes) };
        if let Some((kind, body)) = bytes.and_then(open) {
            self.tell(kind, &body, signals);
        }
        Next::Stay
    }
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    let bytes = match opening.transport {
        Transport::Udp => opening.bytes,
        Transport::Tcp => match opening.bytes.split_at_checked(4) {
            Some((length, bytes)) => {
                if !matches!(length, [0, 0, ..]) && !matches!(length, [0, 1..16, ..]) {
                    return Recognition::No;
                }
                bytes
            }
            None => return Recognition::Perhaps,
        },
    };
    let known = |tag| [AS_REQ, AS_REP, TGS_REQ, TGS_REP, ERROR].map(application).contains(&tag);
    match bytes.first() {
        Some(&tag) if !known(tag) => Recognition::No,
        _ if open(bytes).is_some() => Recognition::Yes,
        _ if opening.transport == Transport::Tcp && bytes.len() < 32 => Recognition::Perhaps,
        _ => Recognition::No,
    }
}

/// A message's type and its fields, if it is of version 5 and says the same type as its tag.
pub(super) fn open(bytes: &[u8]) -> Option<(u8, Element<'_>)> {
    let kind = bytes.first()? & 0x1f;
    let body = element(bytes, application(kind))?;
    let body = element(body.content, SEQUENCE)?;
    // Requests count their fields from 1, everything else from 0.
    let first = u8::from(matches!(kind, AS_REQ | TGS_REQ));
    let mut fields = elements(body.content);
    let mut field = |number| number_in(&fields.next().filter(|it| it.tag == context(number))?);
    let fits = field(first) == Some(5) && field(first + 1) == Some(i64::from(kind));
    fits.then_some((kind, body))
}

/// The number in a tagged field.
fn number_in(field: &Element<'_>) -> Option<i64> {
    element(field.content, INTEGER)?.number()
}

/// The text in a tagged field.
fn text_in(field: &Element<'_>) -> Option<String> {
    // GeneralString, or the UTF8String that some write.
    let string = elements(field.content).next().filter(|it| matches!(it.tag, 0x1b | 0x0c))?;
    Some(text(string.text()))
}

/// A principal's name in a tagged field: "krbtgt/EXAMPLE.COM" (RFC 4120 5.2.2).
fn name_in(field: &Element<'_>) -> Option<String> {
    let name = element(field.content, SEQUENCE)?.child(context(1))?;
    let parts = element(name.content, SEQUENCE)?;
    let mut parts = elements(parts.content).take(8);
    let mut whole = parts.next()?.text();
    for part in parts {
        whole.push('/');
        whole.push_str(&String::from_utf8_lossy(part.content));
    }
    Some(text(whole))
}

/// A time in a tagged field.
fn time_in(field: &Element<'_>) -> Option<Timestamp> {
    time(&element(field.content, GENERALIZED_TIME)?.text())
}

/// "cifs/dc1.example.com@EXAMPLE.COM"; of a realm's own service "krbtgt/EXAMPLE.COM" alone.
fn service_of(name: Option<String>, realm: Option<&str>) -> String {
    let name = name.unwrap_or_else(|| "a service".to_owned());
    let of = name.strip_prefix("krbtgt/");
    match realm {
        Some(realm) if of.is_none_or(|of| !of.eq_ignore_ascii_case(realm)) => {
            format!("{name}@{realm}")
        }
        _ => name,
    }
}

impl Kerberos {
    fn tell(&mut self, kind: u8, body: &Element<'_>, signals: &mut Vec<Meaning>) {
        match kind {
            AS_REQ | TGS_REQ => {
                let what = if kind == AS_REQ { "AS-REQ" } else { "TGS-REQ" };
                let service = service_asked(body);
                let subject = match &service {
                    Some(service) => format!("{what} {service}"),
                    None => what.to_owned(),
                };
                let subject = text(subject);
                let service = service.unwrap_or_default();
                self.asked = Some(Asked { subject: subject.clone(), service });
                signals.push(Meaning::Asked { subject });
                let name = asker(body).filter(|name| looks_like_a_name(name));
                let by = NameSource::Kerberos;
                signals.extend(name.map(|name| Meaning::Introduced { name, by }));
            }
            AS_REP | TGS_REP => self.tell_ticket(kind, body, signals),
            ERROR => {
                let asked = self.asked.as_ref().map(|asked| asked.subject.as_str());
                tell_error(body, asked, signals);
            }
            _ => {}
        }
    }

    fn tell_ticket(&self, kind: u8, body: &Element<'_>, signals: &mut Vec<Meaning>) {
        let what = if kind == AS_REP { "AS-REQ" } else { "TGS-REQ" };
        let ticket = body.child(context(5));
        let ticket = ticket.and_then(|ticket| element(ticket.content, application(1)));
        let ticket = ticket.and_then(|ticket| element(ticket.content, SEQUENCE));
        let field = |number| ticket.as_ref().and_then(|ticket| ticket.child(context(number)));
        let name = field(2).and_then(|it| name_in(&it));
        let realm = field(1).and_then(|it| text_in(&it));
        let given = service_of(name.clone(), realm.as_deref());
        signals.extend(name.as_deref().and_then(sql_server));
        let asked = self.asked.as_ref().filter(|asked| asked.subject.starts_with(what));
        // Who asks for a service of another realm gets a ticket for the next one on the way
        // (RFC 4120 3.3.1, RFC 6806).
        let referral = name
            .as_deref()
            .and_then(|name| name.strip_prefix("krbtgt/"))
            .filter(|_| asked.is_some_and(|asked| !asked.service.starts_with("krbtgt/")))
            .map(|realm| format!("the way goes on to the realm {realm}"));
        let subject = match asked {
            Some(asked) => asked.subject.clone(),
            None => text(format!("{what} {given}")),
        };
        let standing = Standing::Served;
        signals.push(Meaning::Answered { subject, standing, code: None, detail: referral });
    }
}

/// The host that a ticket for SQL Server names: "MSSQLSvc/sql01.example.com:1433".
fn sql_server(name: &str) -> Option<Meaning> {
    const PURPOSE: &str = "MSSQLSvc";
    let (kind, host) = name.split_once('/')?;
    let host = host.split([':', '/']).next().filter(|host| !host.is_empty())?;
    kind.eq_ignore_ascii_case(PURPOSE).then(|| {
        let (purpose, host) = (PURPOSE.to_owned(), host.to_owned());
        Meaning::Serves { purpose, host }
    })
}

/// The name of the machine that asks, where it tells it: its NetBIOS name among its addresses (RFC
/// 4120 7.5.3, type 20), or the account of a machine, which only that machine knows the password
/// of. A managed service account looks like one, so this is weak.
fn asker(body: &Element<'_>) -> Option<String> {
    const NETBIOS: i64 = 20;
    let body = element(body.child(context(4))?.content, SEQUENCE)?;
    let addresses = body.child(context(9)).and_then(|it| element(it.content, SEQUENCE));
    let addresses = addresses.iter().flat_map(|it| elements(it.content)).take(16);
    let mut netbios =
        addresses.filter(|it| it.child(context(0)).and_then(|it| number_in(&it)) == Some(NETBIOS));
    let text = |it: Element<'_>| {
        let name = element(it.child(context(1))?.content, OCTET_STRING)?.text();
        // Fifteen letters, and one for its kind.
        Some(name.get(..15).unwrap_or(&name).trim_end().to_owned())
    };
    let account = || body.child(context(1)).and_then(|it| name_in(&it));
    netbios.find_map(text).or_else(|| Some(account()?.strip_suffix('$')?.to_owned()))
}

/// Tells the host whose service a token is for: the ticket in it says so in the clear, and no other
/// service can read the rest.
pub(super) fn called_within(token: &[u8]) -> Option<Meaning> {
    // The mark of a first token stands before it (RFC 4121 4.1).
    let at = find(token, &[1, 0, application(AP_REQ)])? + 2;
    let (kind, body) = open(token.get(at..)?)?;
    let ticket =
        element(body.child(context(3)).filter(|_| kind == AP_REQ)?.content, application(1))?;
    let service = name_in(&element(ticket.content, SEQUENCE)?.child(context(2))?)?;
    called(service.split('/').nth(1)?, NameSource::Kerberos)
}

/// What a request asks for. `None` where that was not captured.
fn service_asked(body: &Element<'_>) -> Option<String> {
    let body = element(body.child(context(4))?.content, SEQUENCE)?;
    let realm = body.child(context(2)).and_then(|it| text_in(&it));
    let name = body.child(context(3)).and_then(|it| name_in(&it));
    (name.is_some() || realm.is_some()).then(|| service_of(name, realm.as_deref()))
}

/// Tells an error message. Without a request before it, the service that it names is the subject.
pub(super) fn tell_error(body: &Element<'_>, asked: Option<&str>, signals: &mut Vec<Meaning>) {
    let field = |number| body.child(context(number));
    let Some(number) = field(6).and_then(|it| number_in(&it)) else { return };
    let code = Code { set: CodeSet::Kerberos, number: u32::try_from(number).unwrap_or(u32::MAX) };
    let realm = field(9).and_then(|it| text_in(&it));
    let name = field(10).and_then(|it| name_in(&it));
    let is_needed = name.as_deref().is_none_or(is_needed);
    let service = service_of(name, realm.as_deref());
    let mut told = Vec::new();
    let clock = field(4).and_then(|it| time_in(&it));
    if code.number == CLOCK_SKEW {
        told.extend(skew(clock, field(2).and_then(|it| time_in(&it))));
    }
    if let Some(name) = field(8).and_then(|it| name_in(&it)) {
        let realm = field(7).and_then(|it| text_in(&it));
        told.push(match realm {
            Some(realm) => format!("asked by {name}@{realm}"),
            None => format!("asked by {name}"),
        });
    }
    told.extend(field(11).and_then(|it| text_in(&it)).filter(|it| !it.trim().is_empty()));
    if code.number != PREAUTH_REQUIRED {
        told.extend(field(12).and_then(|it| nt_status(&it)));
    }
    let subject = match asked {
        Some(asked) => asked.to_owned(),
        None => text(format!("ticket for {service}")),
    };
    let detail = (!told.is_empty()).then(|| text(told.join("; ")));
    let standing = match code.number {
        SERVICE_UNKNOWN if !is_needed => Standing::Step,
        _ => code.standing(),
    };
    signals.push(Meaning::Answered { subject, standing, code: Some(code), detail });
    signals.extend(clock.map(|says| Meaning::Clock { says }));
}

/// Whether a service name that the domain does not know is worth a word. Names without a kind
/// ("alice") are accounts that Windows tries to reach as a service before it goes another way.
fn is_needed(name: &str) -> bool {
    let kind = name.split_once('/').map(|(kind, _)| kind);
    kind.is_some_and(|kind| NEEDED.iter().any(|needed| kind.eq_ignore_ascii_case(needed)))
}

/// What the two clocks show, where both are told.
fn skew(responder: Option<Timestamp>, initiator: Option<Timestamp>) -> Option<String> {
    let clock = Clock { digits: 0, zone_known: true };
    let responder = responder?;
    let shown = Time { at: responder, clock };
    Some(match initiator {
        None => format!("the responder's clock shows {shown}"),
        Some(initiator) => {
            let apart = responder.since(initiator).unsigned_abs() / 1_000_000_000;
            let theirs = Time { at: initiator, clock };
            format!(
                "the responder's clock shows {shown}, the initiator's {theirs}: {} min {} s apart",
                apart / 60,
                apart % 60
            )
        }
    })
}

/// The NT status that Windows puts into an error's data: KERB-ERROR-DATA, or among the methods
/// under the number 3 ([MS-KILE] 2.2.1, 2.2.2).
fn nt_status(field: &Element<'_>) -> Option<String> {
    const EXTENDED: i64 = 3;
    let data = element(field.content, OCTET_STRING)?;
    let outer = element(data.content, SEQUENCE)?;
    let holds_status = |it: &Element<'_>| {
        let is_extended = it.child(context(1)).and_then(|it| number_in(&it)) == Some(EXTENDED);
        let value = it.child(context(2)).filter(|_| is_extended)?;
        let value = element(value.content, OCTET_STRING)?;
        Some(u32::from_le_bytes(*value.content.first_chunk()?))
    };
    let status = holds_status(&outer).or_else(|| {
        elements(outer.content).filter(|it| it.tag == SEQUENCE).find_map(|it| holds_status(&it))
    })?;
    (status != 0).then(|| format!("NT status 0x{status:08x}"))
}

/// Whether bytes are a message of authentication to a service: AP-REQ or AP-REP.
pub(super) fn is_authentication(bytes: &[u8]) -> bool {
    open(bytes).is_some_and(|(kind, _)| matches!(kind, AP_REQ | AP_REP))
}

/// An error message within the bytes of an authentication token, if there is one.
pub(super) fn error_within(bytes: &[u8]) -> Option<Element<'_>> {
    // Tokens of some hundred bytes; what is longer is a ticket.
    let bytes = bytes.get(..2048).unwrap_or(bytes);
    let mut places = bytes.iter().enumerate().filter(|(_, byte)| **byte == application(ERROR));
    places.find_map(|(at, _)| {
        open(bytes.get(at..)?).filter(|(kind, _)| *kind == ERROR).map(|(_, body)| body)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::probe::asn1::tests::write;
    use proptest::prelude::*;

    fn integer(number: u8) -> Vec<u8> {
        write(INTEGER, &[number])
    }

    fn string(text: &str) -> Vec<u8> {
        write(0x1b, text.as_bytes())
    }

    fn stamp(text: &str) -> Vec<u8> {
        write(GENERALIZED_TIME, text.as_bytes())
    }

    fn name(parts: &[&str]) -> Vec<u8> {
        let parts: Vec<u8> = parts.iter().flat_map(|part| string(part)).collect();
        let name = [write(context(0), &integer(2)), write(context(1), &write(SEQUENCE, &parts))];
        write(SEQUENCE, &name.concat())
    }

    fn message(kind: u8, fields: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let fields: Vec<u8> =
            fields.iter().flat_map(|(number, field)| write(context(*number), field)).collect();
        write(application(kind), &write(SEQUENCE, &fields))
    }

    fn request(kind: u8, service: &[&str], realm: &str) -> Vec<u8> {
        let body = [
            write(context(0), &write(0x03, &[0, 0x40, 0x81, 0, 0x10])),
            write(context(2), &string(realm)),
            write(context(3), &name(service)),
        ];
        let body = write(SEQUENCE, &body.concat());
        message(kind, &[(1, integer(5)), (2, integer(kind)), (4, body)])
    }

    #[test]
    fn a_machine_that_asks_is_known_by_its_netbios_name_or_its_account() {
        let asked = |more: &[(u8, Vec<u8>)]| {
            let mut fields = vec![(2, string("EXAMPLE.COM"))];
            fields.extend_from_slice(more);
            let fields: Vec<u8> =
                fields.iter().flat_map(|(at, value)| write(context(*at), value)).collect();
            let body = write(SEQUENCE, &fields);
            let request = [(1, integer(5)), (2, integer(AS_REQ)), (4, body)];
            told(&[message(AS_REQ, &request)]).into_iter().nth(1)
        };
        let by = NameSource::Kerberos;
        let introduced = |name: &str| Some(Meaning::Introduced { name: name.to_owned(), by });
        let address = [
            write(context(0), &integer(20)),
            write(context(1), &write(OCTET_STRING, b"CAS01           ")),
        ];
        let addresses = write(SEQUENCE, &write(SEQUENCE, &address.concat()));
        assert_eq!(asked(&[(1, name(&["admin"])), (9, addresses)]), introduced("CAS01"));
        assert_eq!(asked(&[(1, name(&["CAS01$"]))]), introduced("CAS01"));
        assert_eq!(asked(&[(1, name(&["admin"]))]), None);
    }

    #[test]
    fn a_ticket_that_is_handed_over_names_the_responder() {
        let inner = [
            write(context(0), &integer(5)),
            write(context(1), &string("EXAMPLE.COM")),
            write(context(2), &name(&["cifs", "dc1.example.com"])),
        ];
        let inner = write(application(1), &write(SEQUENCE, &inner.concat()));
        let request = message(AP_REQ, &[(0, integer(5)), (1, integer(AP_REQ)), (3, inner)]);
        let token = [&b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00"[..], &request].concat();
        let expected =
            Meaning::Called { name: "dc1.example.com".to_owned(), by: NameSource::Kerberos };
        assert_eq!(called_within(&token), Some(expected));
        for end in 0..token.len() {
            called_within(&token[..end]);
        }
    }

    fn ticket(kind: u8, service: &[&str], realm: &str) -> Vec<u8> {
        let ticket = [
            write(context(0), &integer(5)),
            write(context(1), &string(realm)),
            write(context(2), &name(service)),
        ];
        let ticket = write(application(1), &write(SEQUENCE, &ticket.concat()));
        message(kind, &[(0, integer(5)), (1, integer(kind)), (3, string(realm)), (5, ticket)])
    }

    /// An error for krbtgt/EXAMPLE.COM, with further fields.
    pub(in crate::probe) fn error(number: u8, more: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut fields = vec![
            (0, integer(5)),
            (1, integer(ERROR)),
            (4, stamp("20140527101500Z")),
            (5, integer(1)),
            (6, integer(number)),
            (9, string("EXAMPLE.COM")),
            (10, name(&["krbtgt", "EXAMPLE.COM"])),
        ];
        fields.extend(more.iter().cloned());
        fields.sort_by_key(|(number, _)| *number);
        message(ERROR, &fields)
    }

    fn told(messages: &[Vec<u8>]) -> Vec<Meaning> {
        let mut talk = Kerberos { over_tcp: false, asked: None };
        let mut signals = Vec::new();
        for bytes in messages {
            let message =
                Message { from: Speaker::Responder, bytes, length: bytes.len() as u64, time: None };
            talk.hear(&message, &mut signals);
        }
        signals
    }

    fn answer(signals: &[Meaning]) -> (&str, Standing, Option<&str>) {
        let found = signals.iter().find_map(|meaning| {
            let Meaning::Answered { subject, standing, detail, .. } = meaning else { return None };
            Some((subject.as_str(), *standing, detail.as_deref()))
        });
        found.unwrap()
    }

    #[test]
    fn pre_authentication_is_a_step_and_the_ticket_serves_the_same_subject() {
        let service = ["krbtgt", "EXAMPLE.COM"];
        let asked = request(AS_REQ, &service, "EXAMPLE.COM");
        let first = told(&[asked.clone(), error(25, &[])]);
        let subject = "AS-REQ krbtgt/EXAMPLE.COM";
        assert_eq!(answer(&first), (subject, Standing::Step, None));
        let then = told(&[asked, ticket(AS_REP, &service, "EXAMPLE.COM")]);
        assert_eq!(then[0], Meaning::Asked { subject: subject.to_owned() });
        assert_eq!(answer(&then), (subject, Standing::Served, None));
    }

    #[test]
    fn an_answer_that_does_not_fit_is_a_step_and_a_wrong_password_a_failure() {
        for (number, standing) in [
            (52, Standing::Step),
            (24, Standing::Failed),
            (7, Standing::Failed),
            (18, Standing::Failed),
        ] {
            let asked = request(AS_REQ, &["krbtgt", "EXAMPLE.COM"], "EXAMPLE.COM");
            assert_eq!(answer(&told(&[asked, error(number, &[])])).1, standing, "{number}");
        }
    }

    #[test]
    fn an_unknown_service_is_a_failure_only_where_a_sign_on_needs_it() {
        for (service, expected) in [
            (&["ldap", "dc1.example.com"][..], Standing::Failed),
            (&["MSSQLSvc", "sql1.example.com:1433"], Standing::Failed),
            (&["HTTP", "example.com"], Standing::Step),
            (&["alice"], Standing::Step),
        ] {
            let fields = [
                (0, integer(5)),
                (1, integer(ERROR)),
                (6, integer(7)),
                (9, string("EXAMPLE.COM")),
                (10, name(service)),
            ];
            assert_eq!(answer(&told(&[message(ERROR, &fields)])).1, expected, "{service:?}");
        }
    }

    #[test]
    fn clock_skew_is_told_with_both_times() {
        let late = error(37, &[(2, stamp("20140527102413Z"))]);
        let signals = told(&[late]);
        let (subject, standing, detail) = answer(&signals);
        assert_eq!(subject, "ticket for krbtgt/EXAMPLE.COM");
        assert_eq!(standing, Standing::Failed);
        let expected = "the responder's clock shows 2014-05-27T10:15:00Z, the initiator's \
                        2014-05-27T10:24:13Z: 9 min 13 s apart";
        assert_eq!(detail, Some(expected));
        let says: Time = "2014-05-27T10:15:00Z".parse().unwrap();
        assert_eq!(signals[1], Meaning::Clock { says: says.at });
    }

    #[test]
    fn an_error_tells_who_asked_and_the_status_of_windows() {
        // KERB-ERROR-DATA with a KERB-EXT-ERROR: STATUS_ACCOUNT_DISABLED.
        let status = [&0xc000_0072_u32.to_le_bytes()[..], &[0; 8]].concat();
        let data = [write(context(1), &integer(3)), write(context(2), &write(4, &status))];
        let data = write(4, &write(SEQUENCE, &data.concat()));
        let more = [(7, string("EXAMPLE.COM")), (8, name(&["alice"])), (12, data)];
        let signals = told(&[error(18, &more)]);
        assert_eq!(answer(&signals).2, Some("asked by alice@EXAMPLE.COM; NT status 0xc0000072"));
    }

    #[test]
    fn a_ticket_for_the_next_realm_is_a_referral() {
        let asked = request(TGS_REQ, &["cifs", "dc1.child.example.com"], "EXAMPLE.COM");
        let given = ticket(TGS_REP, &["krbtgt", "CHILD.EXAMPLE.COM"], "EXAMPLE.COM");
        let signals = told(&[asked, given]);
        assert_eq!(
            answer(&signals),
            (
                "TGS-REQ cifs/dc1.child.example.com@EXAMPLE.COM",
                Standing::Served,
                Some("the way goes on to the realm CHILD.EXAMPLE.COM")
            )
        );
    }

    #[test]
    fn only_kerberos_is_recognised() {
        let message = error(25, &[]);
        let over_tcp = [&u32::try_from(message.len()).unwrap().to_be_bytes()[..], &message];
        let over_tcp = over_tcp.concat();
        for (transport, bytes, expected) in [
            (Transport::Udp, &message[..], Recognition::Yes),
            (Transport::Udp, &over_tcp, Recognition::No),
            (Transport::Tcp, &over_tcp, Recognition::Yes),
            (Transport::Tcp, &over_tcp[..3], Recognition::Perhaps),
            (Transport::Tcp, &over_tcp[..9], Recognition::Perhaps),
            (Transport::Tcp, b"GET / HTTP/1.1\r\n", Recognition::No),
            (Transport::Udp, &[0x7e, 3, 0x30, 1, 0], Recognition::No),
        ] {
            let from = Speaker::Responder;
            let opening = Opening { transport, from, port_fits: true, bytes };
            assert_eq!(recognise(&opening), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn an_error_is_found_within_a_token() {
        let token = [&[0x60, 0x7e, 0x30, 0x03, 0x7e][..], &error(37, &[])].concat();
        let mut signals = Vec::new();
        tell_error(&error_within(&token).unwrap(), Some("bind"), &mut signals);
        assert_eq!(answer(&signals).0, "bind");
        assert!(error_within(&token[..5]).is_none());
    }

    proptest! {
        #[test]
        fn any_change_to_a_message_is_survived(
            kind in prop::sample::select(vec![AS_REQ, TGS_REQ, AS_REP, ERROR]),
            at in any::<prop::sample::Index>(),
            to in any::<u8>(),
            end in any::<prop::sample::Index>(),
        ) {
            let service = ["krbtgt", "EXAMPLE.COM"];
            let mut bytes = match kind {
                ERROR => error(37, &[(2, stamp("20140527102413Z"))]),
                AS_REP => ticket(kind, &service, "EXAMPLE.COM"),
                _ => request(kind, &service, "EXAMPLE.COM"),
            };
            let place = at.index(bytes.len());
            bytes[place] = to;
            bytes.truncate(end.index(bytes.len() + 1));
            prop_assert!(told(&[bytes.clone()]).len() <= 2);
            error_within(&bytes);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            told(std::slice::from_ref(&bytes));
            for transport in [Transport::Tcp, Transport::Udp] {
                let from = Speaker::Initiator;
                recognise(&Opening { transport, from, port_fits: true, bytes: &bytes });
            }
        }
    }
}
