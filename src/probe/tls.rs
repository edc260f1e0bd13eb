//! TLS: who is asked for, which version comes out, and alerts (RFC 8446, RFC 5246).
//!
//! Only what is in the clear is read: hellos, and alerts before encryption begins. The handshake
//! has worked when both sides encrypt and the responder goes on after the initiator's first
//! encrypted record; a TLS 1.3 alert is encrypted and looks like data, so a single record of the
//! initiator proves nothing.

use crate::net::{NameSource, Transport};
use crate::probe::read::{latin, part, u8_at, u16_be};
use crate::probe::{
    Code, CodeSet, Framing, Meaning, Message, Next, Opening, Probe, Recognition, Speaker, Standing,
    Talk, called, certificate, text,
};

pub(super) const PROBE: Probe = Probe {
    name: "TLS",
    ports: &[
        (Transport::Tcp, 443),
        (Transport::Tcp, 8531),
        (Transport::Tcp, 10123),
        (Transport::Tcp, 636),
        (Transport::Tcp, 3269),
        (Transport::Tcp, 5986),
    ],
    recognise,
    begin: |_| Box::<Tls>::default(),
};

/// Bytes of a record's header.
pub(crate) const HEADER: usize = 5;

/// Longest record (RFC 5246 6.2.3: 2^14 and what encryption may add).
const LONGEST: usize = (16 << 10) + 2048;

/// Bytes held of a handshake message that goes over several records.
const MOST_HELD: usize = 16 << 10;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// Kind and length of a record, from its header.
pub(crate) fn record(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, 3, minor, high, low] = *bytes.first_chunk()? else { return None };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let fits = (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&kind) && minor <= 4;
    (fits && length <= LONGEST && length > 0).then_some((kind, length))
}

/// Whether a record may begin with these bytes, as far as they go.
pub(crate) fn may_begin(bytes: &[u8]) -> bool {
    let header = [CHANGE_CIPHER_SPEC..=APPLICATION_DATA, 3..=3, 0..=4];
    bytes.iter().zip(header).all(|(byte, range)| range.contains(byte))
}

/// One direction of a TLS dialogue.
#[derive(Debug, Default)]
struct Side {
    /// Handshake bytes whose message is not complete.
    held: Vec<u8>,
    /// Encryption has begun: records tell nothing any more.
    encrypts: bool,
    /// Its records hold application data, or what looks like it.
    data: bool,
}

/// A TLS dialogue, also inside another protocol.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    initiator: Side,
    responder: Side,
    /// What the responder was asked for by.
    name: Option<String>,
    version: Option<u16>,
    protocol: Option<String>,
    served: bool,
}

impl Talk for Tls {
    fn framing(&self, _: Speaker, bytes: &[u8]) -> Framing {
        if bytes.len() < HEADER {
            return Framing::Needs(HEADER);
        }
        let Some((kind, length)) = record(bytes) else { return Framing::Lost };
        let keep = if kind == APPLICATION_DATA { HEADER } else { HEADER + length };
        Framing::Message { length: (HEADER + length) as u64, keep }
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        self.record(message.from, message.bytes, signals);
        // All that follows is encrypted.
        if self.served { Next::Done } else { Next::Stay }
    }

    fn lose(&mut self, from: Speaker) {
        self.side(from).held.clear();
    }
}

impl Tls {
    fn side(&mut self, from: Speaker) -> &mut Side {
        match from {
            Speaker::Initiator => &mut self.initiator,
            Speaker::Responder => &mut self.responder,
        }
    }

    /// Takes a record into account, or the beginning of one.
    pub(crate) fn record(&mut self, from: Speaker, bytes: &[u8], signals: &mut Vec<Meaning>) {
        let Some((kind, _)) = record(bytes) else { return };
        let body = bytes.get(HEADER..).unwrap_or_default();
        match kind {
            CHANGE_CIPHER_SPEC => {
                self.side(from).encrypts = true;
                // In TLS 1.3 it means nothing (RFC 8446 5).
                if self.version.is_some_and(|version| version < 0x0304)
                    && self.initiator.encrypts
                    && self.responder.encrypts
                {
                    self.serve(signals);
                }
            }
            ALERT => self.alert(from, body, signals),
            HANDSHAKE => self.handshake(from, body, signals),
            _ => {
                let initiator_first = from == Speaker::Responder && self.initiator.data;
                self.side(from).data = true;
                if initiator_first {
                    self.serve(signals);
                }
            }
        }
    }

    /// The handshake is over, or was before the capture began.
    fn serve(&mut self, signals: &mut Vec<Meaning>) {
        if self.served {
            return;
        }
        self.served = true;
        let detail = self.version.map(|version| {
            let protocol = self.protocol.as_ref().map(|name| format!(", {name}"));
            format!("{}{}", version_name(version), protocol.unwrap_or_default())
        });
        let (subject, standing) = (self.subject(), Standing::Served);
        signals.push(Meaning::Answered { subject, standing, code: None, detail });
    }

    fn subject(&self) -> String {
        match &self.name {
            Some(name) => text(format!("TLS handshake {name}")),
            None => "TLS handshake".to_owned(),
        }
    }

    fn alert(&mut self, from: Speaker, body: &[u8], signals: &mut Vec<Meaning>) {
        // Two bytes in the clear; encrypted ones are longer.
        let (&[level, number], false) = (body, self.side(from).encrypts) else { return };
        if !matches!(level, 1 | 2) {
            return;
        }
        let code = Code { set: CodeSet::TlsAlert, number: u32::from(number) };
        let standing = if level == 1 { Standing::Step } else { code.standing() };
        let teller = match from {
            Speaker::Initiator => "the initiator says so",
            Speaker::Responder => "the responder says so",
        };
        let detail = (number != 0).then(|| teller.to_owned());
        let subject = self.subject();
        signals.push(Meaning::Answered { subject, standing, code: Some(code), detail });
    }

    fn handshake(&mut self, from: Speaker, body: &[u8], signals: &mut Vec<Meaning>) {
        let mut held = std::mem::take(&mut self.side(from).held);
        let encrypts = self.side(from).encrypts;
        let bytes = if held.is_empty() {
            body
        } else {
            held.extend_from_slice(body);
            &held
        };
        let mut rest = bytes;
        while let Some((kind, length)) = message(rest) {
            // After encryption began only a second hello is in the clear (RFC 8446 4.1.4).
            let plausible = !encrypts || kind == CLIENT_HELLO && length + 4 == rest.len();
            if !plausible || length > MOST_HELD {
                rest = &[];
                break;
            }
            let Some(contents) = part(rest, 4, length) else { break };
            match kind {
                CLIENT_HELLO => self.client_hello(contents, signals),
                SERVER_HELLO => self.server_hello(contents, signals),
                CERTIFICATE if from == Speaker::Responder => tell_host(contents, signals),
                _ => {}
            }
            rest = rest.get(4 + length..).unwrap_or_default();
        }
        let left = rest.to_vec();
        if !encrypts && left.len() <= MOST_HELD {
            self.side(from).held = left;
        }
    }

    fn client_hello(&mut self, hello: &[u8], signals: &mut Vec<Meaning>) {
        let extensions = client_extensions(hello).unwrap_or_default();
        self.name = find_extension(extensions, SERVER_NAME).and_then(server_name);
        signals.push(Meaning::Asked { subject: self.subject() });
        signals.extend(self.name.as_deref().and_then(|name| called(name, NameSource::Tls)));
    }

    fn server_hello(&mut self, hello: &[u8], signals: &mut Vec<Meaning>) {
        let extensions = server_extensions(hello).unwrap_or_default();
        let version = find_extension(extensions, SUPPORTED_VERSIONS)
            .and_then(|value| u16_be(value, 0))
            .or_else(|| u16_be(hello, 0));
        self.version = version;
        self.protocol = find_extension(extensions, ALPN)
            .and_then(|value| part(value, 3, usize::from(u8_at(value, 2)?)))
            .map(latin);
        let detail = version.map(version_name);
        let (subject, standing) = (self.subject(), Standing::Step);
        signals.push(Meaning::Answered { subject, standing, code: None, detail });
    }
}

/// Tells the name in the first of a list of certificates, the responder's own (RFC 5246 7.4.2).
/// From TLS 1.3 on they are encrypted.
fn tell_host(list: &[u8], signals: &mut Vec<Meaning>) {
    let length = usize::from(u8_at(list, 3).unwrap_or_default()) << 16
        | usize::from(u16_be(list, 4).unwrap_or_default());
    let name = part(list, 6, length).and_then(certificate::host);
    signals.extend(name.map(|name| Meaning::Introduced { name, by: NameSource::Tls }));
}

/// Kind and length of a handshake message.
fn message(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, high, middle, low] = *bytes.first_chunk()?;
    Some((kind, usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)))
}

/// The extensions of a client's hello (RFC 8446 4.1.2).
fn client_extensions(hello: &[u8]) -> Option<&[u8]> {
    let at = 35 + usize::from(u8_at(hello, 34)?);
    let at = at + 2 + usize::from(u16_be(hello, at)?);
    let at = at + 1 + usize::from(u8_at(hello, at)?);
    part(hello, at + 2, usize::from(u16_be(hello, at)?))
}

/// The extensions of a server's hello (RFC 8446 4.1.3).
fn server_extensions(hello: &[u8]) -> Option<&[u8]> {
    let at = 35 + usize::from(u8_at(hello, 34)?) + 3;
    part(hello, at + 2, usize::from(u16_be(hello, at)?))
}

fn find_extension(mut extensions: &[u8], wanted: u16) -> Option<&[u8]> {
    for _ in 0..64 {
        let kind = u16_be(extensions, 0)?;
        let length = usize::from(u16_be(extensions, 2)?);
        let value = part(extensions, 4, length)?;
        if kind == wanted {
            return Some(value);
        }
        extensions = extensions.get(4 + length..)?;
    }
    None
}

/// The host name in a server name list (RFC 6066 3).
fn server_name(list: &[u8]) -> Option<String> {
    let name = part(list, 5, usize::from(u16_be(list, 3)?))?;
    (u8_at(list, 2) == Some(0) && !name.is_empty()).then(|| latin(name))
}

fn version_name(version: u16) -> String {
    match version {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        other => format!("TLS version {other:#06x}"),
    }
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    let bytes = opening.bytes;
    if opening.transport == Transport::Udp {
        return Recognition::No;
    }
    if !may_begin(bytes) {
        return Recognition::No;
    }
    if bytes.len() < HEADER + 6 {
        let whole = record(bytes).is_some_and(|(_, length)| bytes.len() >= HEADER + length);
        return match (opening.port_fits, whole) {
            (true, true) => Recognition::Yes,
            (true, false) => Recognition::Perhaps,
            (false, _) if bytes.first() == Some(&HANDSHAKE) => Recognition::Perhaps,
            (false, _) => Recognition::No,
        };
    }
    let Some((kind, length)) = record(bytes) else { return Recognition::No };
    let hello = || match (u8_at(bytes, 5), message(bytes.get(HEADER..).unwrap_or_default())) {
        (Some(CLIENT_HELLO | SERVER_HELLO), Some((_, message))) => {
            // A hello comes first in its record, and tells a version of its own.
            (message + 4 <= length || message > length) && u8_at(bytes, 9) == Some(3)
        }
        _ => false,
    };
    let fits = opening.port_fits || kind == HANDSHAKE && hello();
    if fits { Recognition::Yes } else { Recognition::No }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A record with this body.
    pub(crate) fn sealed(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind, 3, 3][..], &length, body].concat()
    }

    fn with_length(size: usize, bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length[4 - size..], bytes].concat()
    }

    /// A handshake message: a hello with these extensions.
    fn hello(kind: u8, extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        let suites: &[u8] =
            if kind == CLIENT_HELLO { &[0, 2, 0x13, 1, 1, 0] } else { &[0x13, 1, 0] };
        body.extend(suites);
        let list: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, value)| [&kind.to_be_bytes()[..], &with_length(2, value)].concat())
            .collect();
        body.extend(with_length(2, &list));
        [&[kind][..], &with_length(3, &body)].concat()
    }

    /// A record with a client's hello that asks for this name.
    pub(crate) fn client_hello(name: &str) -> Vec<u8> {
        let entry = [&[0][..], &with_length(2, name.as_bytes())].concat();
        sealed(HANDSHAKE, &hello(CLIENT_HELLO, &[(SERVER_NAME, with_length(2, &entry))]))
    }

    fn told(tls: &mut Tls, from: Speaker, bytes: &[u8]) -> Vec<Meaning> {
        let mut signals = Vec::new();
        let length = bytes.len() as u64;
        tls.hear(&Message { from, bytes, length, time: None }, &mut signals);
        signals
    }

    fn answered(standing: Standing, number: Option<u32>, detail: &str) -> Meaning {
        let code = number.map(|number| Code { set: CodeSet::TlsAlert, number });
        let subject = "TLS handshake cm01.example.com".to_owned();
        Meaning::Answered { subject, standing, code, detail: Some(detail.to_owned()) }
    }

    #[test]
    fn a_handshake_of_tls_1_2_is_over_when_both_encrypt() {
        let mut tls = Tls::default();
        let asked = told(&mut tls, Speaker::Initiator, &client_hello("cm01.example.com"));
        let called = called("cm01.example.com", NameSource::Tls).unwrap();
        let subject = "TLS handshake cm01.example.com".into();
        assert_eq!(asked, [Meaning::Asked { subject }, called]);
        let hello = sealed(HANDSHAKE, &hello(SERVER_HELLO, &[(ALPN, b"\0\x03\x02h2".to_vec())]));
        let step = answered(Standing::Step, None, "TLS 1.2");
        assert_eq!(told(&mut tls, Speaker::Responder, &hello), [step]);
        let change = sealed(CHANGE_CIPHER_SPEC, &[1]);
        assert_eq!(told(&mut tls, Speaker::Initiator, &change), []);
        let served = answered(Standing::Served, None, "TLS 1.2, h2");
        assert_eq!(told(&mut tls, Speaker::Responder, &change), [served]);
    }

    #[test]
    fn a_handshake_of_tls_1_3_is_over_when_the_responder_goes_on() {
        let mut tls = Tls::default();
        told(&mut tls, Speaker::Initiator, &client_hello("cm01.example.com"));
        let versions = (SUPPORTED_VERSIONS, vec![3, 4]);
        let step = answered(Standing::Step, None, "TLS 1.3");
        let hello = sealed(HANDSHAKE, &hello(SERVER_HELLO, &[versions]));
        assert_eq!(told(&mut tls, Speaker::Responder, &hello), [step]);
        for (from, kind) in [
            (Speaker::Responder, CHANGE_CIPHER_SPEC),
            (Speaker::Responder, APPLICATION_DATA),
            (Speaker::Initiator, CHANGE_CIPHER_SPEC),
            (Speaker::Initiator, APPLICATION_DATA),
        ] {
            assert_eq!(told(&mut tls, from, &sealed(kind, &[1])), [], "{kind}");
        }
        let served = answered(Standing::Served, None, "TLS 1.3");
        assert_eq!(told(&mut tls, Speaker::Responder, &sealed(APPLICATION_DATA, &[1])), [served]);
    }

    #[test]
    fn an_alert_is_a_failure_of_the_handshake() {
        let mut tls = Tls::default();
        told(&mut tls, Speaker::Initiator, &client_hello("cm01.example.com"));
        let failed = answered(Standing::Failed, Some(70), "the responder says so");
        assert_eq!(told(&mut tls, Speaker::Responder, &sealed(ALERT, &[2, 70])), [failed]);
        let failed = answered(Standing::Failed, Some(48), "the initiator says so");
        assert_eq!(told(&mut tls, Speaker::Initiator, &sealed(ALERT, &[2, 48])), [failed]);
        tls.responder.encrypts = true;
        assert_eq!(told(&mut tls, Speaker::Responder, &sealed(ALERT, &[2, 70])), []);
    }

    #[test]
    fn a_hello_may_go_over_several_records() {
        let whole = client_hello("cm01.example.com");
        let (first, second) = whole[HEADER..].split_at(20);
        let mut tls = Tls::default();
        assert_eq!(told(&mut tls, Speaker::Initiator, &sealed(HANDSHAKE, first)), []);
        let asked = told(&mut tls, Speaker::Initiator, &sealed(HANDSHAKE, second));
        assert_eq!(asked[0], Meaning::Asked { subject: "TLS handshake cm01.example.com".into() });
    }

    #[test]
    fn a_certificate_in_the_clear_names_the_responder() {
        let certificate = certificate::tests::certificate("ignored", &["cm01.example.com"]);
        let first = with_length(3, &certificate);
        let other = with_length(3, &certificate::tests::certificate("CA", &["ca.example.com"]));
        let list = with_length(3, &[first, other].concat());
        let message = [&[CERTIFICATE][..], &with_length(3, &list)].concat();
        let mut tls = Tls::default();
        let expected = Meaning::Introduced { name: "cm01.example.com".into(), by: NameSource::Tls };
        let record = sealed(HANDSHAKE, &message);
        assert_eq!(told(&mut tls, Speaker::Responder, &record), [expected]);
        // What a caller shows is about somebody else.
        assert_eq!(told(&mut Tls::default(), Speaker::Initiator, &record), []);
    }

    #[test]
    fn off_its_ports_only_a_hello_is_recognised() {
        let seen = |bytes: &[u8], port_fits| {
            let (transport, from) = (Transport::Tcp, Speaker::Initiator);
            recognise(&Opening { transport, from, port_fits, bytes })
        };
        assert_eq!(seen(&client_hello("a"), false), Recognition::Yes);
        assert_eq!(seen(&client_hello("a")[..4], false), Recognition::Perhaps);
        let data = sealed(APPLICATION_DATA, &[0; 20]);
        assert_eq!((seen(&data, true), seen(&data, false)), (Recognition::Yes, Recognition::No));
        assert_eq!(seen(b"GET / HTTP/1.1", true), Recognition::No);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            kind in CHANGE_CIPHER_SPEC..=APPLICATION_DATA,
            at in 0..100_usize,
            value in any::<u8>(),
        ) {
            let mut valid = client_hello("cm01.example.com");
            if let Some(byte) = valid.get_mut(at) {
                *byte = value;
            }
            let server = sealed(HANDSHAKE, &[&[2, 0, 0, 80, 3, 3][..], &bytes].concat());
            let mut tls = Tls::default();
            for bytes in [valid, server, sealed(kind, &bytes), bytes] {
                let bytes = &bytes[..];
                tls.framing(Speaker::Initiator, bytes);
                for from in [Speaker::Initiator, Speaker::Responder] {
                    told(&mut tls, from, bytes);
                    let transport = Transport::Tcp;
                    recognise(&Opening { transport, from, port_fits: false, bytes });
                }
            }
        }
    }
}
