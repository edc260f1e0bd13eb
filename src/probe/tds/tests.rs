use super::*;
use crate::net::NameSource;
use crate::probe::tls::tests::client_hello;
use crate::probe::{Code, CodeSet};
use proptest::prelude::*;

fn packet_of(kind: u8, status: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + body.len()).unwrap().to_be_bytes();
    [&[kind, status][..], &length, &[0, 0, 1, 0], body].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A pre-login with a version, an encryption and an instance ([MS-TDS] 2.2.6.5).
fn pre_login(version: [u8; 6], encryption: u8, instance: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 16, 0, 6, 1, 0, 22, 0, 1, 2, 0, 23, 0];
    body.push(u8::try_from(instance.len()).unwrap());
    body.push(0xff);
    body.extend(version);
    body.push(encryption);
    body.extend(instance);
    body
}

/// A login with the words at their places ([MS-TDS] 2.2.6.4).
fn login(words: &[(usize, &str)]) -> Vec<u8> {
    let mut body = vec![0; 94];
    for (at, word) in words {
        let offset = u16::try_from(body.len()).unwrap().to_le_bytes();
        let letters = u16::try_from(word.len()).unwrap().to_le_bytes();
        body[*at..at + 4].copy_from_slice(&[offset, letters].concat());
        body.extend(wide(word));
    }
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    body[..4].copy_from_slice(&length);
    body[7] = 0x74;
    body
}

/// An ERROR token ([MS-TDS] 2.2.7.10).
fn error(number: u32, class: u8, shown: &str) -> Vec<u8> {
    let mut token = number.to_le_bytes().to_vec();
    token.extend([1, class]);
    token.extend(u16::try_from(shown.len()).unwrap().to_le_bytes());
    token.extend(wide(shown));
    token.extend([0, 0, 1, 0, 0, 0]);
    let length = u16::try_from(token.len()).unwrap().to_le_bytes();
    [&[0xaa][..], &length, &token].concat()
}

fn told(tds: &mut Tds, from: Speaker, bytes: &[u8]) -> Vec<Meaning> {
    let mut signals = Vec::new();
    let length = bytes.len() as u64;
    tds.hear(&Message { from, bytes, length, time: None }, &mut signals);
    signals
}

fn answered(subject: &str, standing: Standing, number: Option<u32>, detail: &str) -> Meaning {
    let code = number.map(|number| Code { set: CodeSet::SqlError, number });
    let (subject, detail) = (subject.to_owned(), Some(detail.to_owned()));
    Meaning::Answered { subject, standing, code, detail }
}

fn is_sql_server() -> Meaning {
    let how = "answered a pre-login of SQL Server".to_owned();
    Meaning::Does { holder: Holder::Speaker, duty: Duty::SqlServer, how }
}

#[test]
fn a_pre_login_is_served_by_the_instance_that_was_asked_for() {
    let ask = packet_of(PRE_LOGIN, 1, &pre_login([0; 6], 0, b"CM\0"));
    for (wrong, standing, detail) in [
        (0, Standing::Served, "SQL Server 15.0.2000, nothing is encrypted"),
        (
            1,
            Standing::Failed,
            "SQL Server 15.0.2000, nothing is encrypted, another instance listens on this port \
             than the one that was asked for",
        ),
    ] {
        let mut tds = Tds::default();
        let subject = "pre-login to instance CM";
        let asked = told(&mut tds, Speaker::Initiator, &ask);
        assert_eq!(asked, [Meaning::Asked { subject: subject.to_owned() }]);
        let answer = packet_of(RESPONSE, 1, &pre_login([15, 0, 7, 0xd0, 0, 0], 2, &[wrong]));
        assert_eq!(
            told(&mut tds, Speaker::Responder, &answer),
            [answered(subject, standing, None, detail), is_sql_server()]
        );
    }
}

#[test]
fn a_refused_login_tells_its_error_and_never_the_password() {
    let mut tds = Tds::default();
    let words = [(36, "CM01"), (40, "sa"), (44, "secret"), (68, "CM_P01")];
    let asked = told(&mut tds, Speaker::Initiator, &packet_of(LOGIN, 1, &login(&words)));
    let subject = "login sa, database CM_P01";
    assert_eq!(
        asked,
        [
            Meaning::Introduced { name: "CM01".to_owned(), by: NameSource::Tds },
            Meaning::Asked { subject: subject.to_owned() },
        ]
    );
    let shown = "Login failed for user 'sa'.";
    let answer = packet_of(RESPONSE, 1, &error(18456, 14, shown));
    let detail = format!("state 1: {shown}");
    assert_eq!(
        told(&mut tds, Speaker::Responder, &answer),
        [answered(subject, Standing::Failed, Some(18456), &detail)]
    );
}

#[test]
fn a_login_names_the_responder_as_the_caller_wrote_it() {
    for (written, expected) in [
        ("tcp:sql1.example.com\\CM,1433", Some("sql1.example.com")),
        ("10.1.0.7", None),
        ("(local)", None),
    ] {
        let words = [(36, "CM01"), (52, written)];
        let asked =
            told(&mut Tds::default(), Speaker::Initiator, &packet_of(LOGIN, 1, &login(&words)));
        let expected =
            expected.map(|name| Meaning::Called { name: name.to_owned(), by: NameSource::Tds });
        let called = asked.into_iter().find(|it| matches!(it, Meaning::Called { .. }));
        assert_eq!(called, expected, "{written}");
    }
}

#[test]
fn a_login_is_acknowledged_after_changes_of_the_environment() {
    let mut tds = Tds::default();
    told(&mut tds, Speaker::Initiator, &packet_of(LOGIN, 1, &login(&[(36, "CM01")])));
    let name = wide("Microsoft SQL Server");
    let mut acknowledged = vec![1, 0x74, 0, 0, 4, 20];
    acknowledged.extend(name);
    acknowledged.extend([15, 0, 7, 0xd0]);
    let length = u16::try_from(acknowledged.len()).unwrap().to_le_bytes();
    let tokens = [&[0xe3, 3, 0, 1, 0, 0, 0xad][..], &length, &acknowledged].concat();
    let answer = told(&mut tds, Speaker::Responder, &packet_of(RESPONSE, 1, &tokens));
    let detail = "Microsoft SQL Server 15.0.2000";
    assert_eq!(answer, [answered("Windows login", Standing::Served, None, detail)]);
}

#[test]
fn a_query_that_is_wrong_in_itself_is_no_failure_of_the_service() {
    for (number, class, expected) in
        [(208, 16, Standing::Step), (824, 24, Standing::Failed), (916, 14, Standing::Failed)]
    {
        let mut tds = Tds::default();
        told(&mut tds, Speaker::Initiator, &packet_of(1, 1, b"s\0"));
        let answer = packet_of(RESPONSE, 1, &error(number, class, "x"));
        let answer = told(&mut tds, Speaker::Responder, &answer);
        assert_eq!(answer, [answered("query", expected, Some(number), "state 1: x")]);
    }
}

#[test]
fn the_handshake_inside_pre_login_packets_is_read() {
    let mut tds = Tds::default();
    told(&mut tds, Speaker::Initiator, &packet_of(PRE_LOGIN, 1, &pre_login([0; 6], 1, b"\0")));
    let hello = client_hello("sql1.example.com");
    let (first, second) = hello.split_at(30);
    assert_eq!(told(&mut tds, Speaker::Initiator, &packet_of(PRE_LOGIN, 1, first)), []);
    let asked = told(&mut tds, Speaker::Initiator, &packet_of(PRE_LOGIN, 1, second));
    let subject = "TLS handshake sql1.example.com".to_owned();
    assert_eq!(asked[0], Meaning::Asked { subject });
    let alert = packet_of(PRE_LOGIN, 1, &[21, 3, 3, 0, 2, 2, 70]);
    let [Meaning::Answered { standing, code, .. }] =
        &told(&mut tds, Speaker::Responder, &alert)[..]
    else {
        panic!()
    };
    let number = code.map(|code| (code.set, code.number));
    assert_eq!((*standing, number), (Standing::Failed, Some((CodeSet::TlsAlert, 70))));
}

#[test]
fn an_encrypted_login_is_framed_as_a_record() {
    let tds = Tds::default();
    let record = [&[23, 3, 3, 0, 50][..], &[0; 50]].concat();
    let expected = Framing::Message { length: 55, keep: 5 };
    assert_eq!(tds.framing(Speaker::Initiator, &record), expected);
}

#[test]
fn off_its_ports_only_a_first_packet_is_recognised() {
    let seen = |bytes: &[u8], port_fits| {
        let (transport, from) = (Transport::Tcp, Speaker::Initiator);
        recognise(&Opening { transport, from, port_fits, bytes })
    };
    let first = packet_of(PRE_LOGIN, 1, &pre_login([0; 6], 0, b"\0"));
    assert_eq!(seen(&first, false), Recognition::Yes);
    let named = packet_of(LOGIN, 1, &login(&[(36, "CM01")]));
    assert_eq!(seen(&named, false), Recognition::Yes);
    let query = packet_of(1, 1, b"s\0");
    assert_eq!((seen(&query, true), seen(&query, false)), (Recognition::Yes, Recognition::No));
}

proptest! {
    #[test]
    fn any_bytes_are_read(
        kind in 0..20_u8,
        status in 0..2_u8,
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        at in 0..120_usize,
        value in any::<u8>(),
    ) {
        let mut tds = Tds::default();
        let mut packets = vec![
            packet_of(PRE_LOGIN, 1, &pre_login([0; 6], 1, b"CM\0")),
            packet_of(RESPONSE, 1, &pre_login([0; 6], 1, b"\0")),
            packet_of(LOGIN, 1, &login(&[(36, "CM01"), (68, "CM_P01")])),
            packet_of(RESPONSE, 1, &error(18456, 14, "no")),
            packet_of(kind, status, &bytes),
        ];
        packets.push(bytes);
        for mut packet in packets {
            if let Some(byte) = packet.get_mut(at) {
                *byte = value;
            }
            tds.framing(Speaker::Initiator, &packet);
            for from in [Speaker::Initiator, Speaker::Responder] {
                told(&mut tds, from, &packet);
                let bytes = &packet;
                recognise(&Opening { transport: Transport::Tcp, from, port_fits: false, bytes });
            }
        }
    }
}
