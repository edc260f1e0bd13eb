//! LDAP messages made by hand, as RFC 4511 writes them.

use super::*;
use crate::net::NameSource;
use crate::probe::Duty;
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
        let message =
            Message { from: Speaker::Responder, bytes, length: bytes.len() as u64, time: None };
        done |= matches!(talk.hear(&message, &mut signals), Next::Become(_));
    }
    (signals, done)
}

/// Subject, code and standing of each answer, and what else it says.
fn answers(messages: &[Vec<u8>]) -> Vec<(String, u32, Standing, Option<String>)> {
    let (signals, _) = told(messages);
    let answer = |meaning| {
        let Meaning::Answered { subject, standing, code, detail } = meaning else {
            return None;
        };
        Some((subject, code?.number, standing, detail))
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
    let [(subject, 49, Standing::Failed, Some(detail))] = &answers(&messages)[..] else { panic!() };
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
    let [(subject, 0, Standing::Served, Some(detail))] = &answers(&messages)[..] else { panic!() };
    assert_eq!(subject, "netlogon ping example.com");
    assert!(detail.starts_with("dc1.example.com of example.com"), "{detail}");
    let (signals, _) = told(&messages);
    let introduced =
        Meaning::Introduced { name: "dc1.example.com".to_owned(), by: NameSource::Ldap };
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
    assert!(matches!(&signals[1..], [Meaning::Introduced { name, .. }, Meaning::Clock { .. }]
            if name == "dc1.example.com"));
}

#[test]
fn a_root_tells_whose_directory_it_is() {
    // [MS-ADTS] 3.1.1.3.4.3: the first is that of domain controllers, and AD LDS has one more.
    for (attribute, value, expected) in [
        ("supportedCapabilities", "1.2.840.113556.1.4.800", Some(Duty::DomainController)),
        ("supportedCapabilities", "1.2.840.113556.1.4.1851", Some(Duty::OtherDirectory)),
        ("supportedCapabilities", "1.2.3", None),
        ("vendorName", "389 Project", Some(Duty::OtherDirectory)),
        ("vendorName", "Samba Team (https://samba.org)", None),
        ("objectClass", "OpenLDAProotDSE", Some(Duty::OtherDirectory)),
        ("objectClass", "top", None),
    ] {
        let (signals, _) = told(&[search(1, "", 0, "*"), entry(1, attribute, value.as_bytes())]);
        let duty = signals.iter().find_map(|signal| {
            if let Meaning::Does { duty, .. } = signal { Some(*duty) } else { None }
        });
        assert_eq!(duty, expected, "{attribute} {value}");
    }
    let elsewhere = [search(1, "DC=example", 0, "*"), entry(1, "vendorName", b"389 Project")];
    assert!(!told(&elsewhere).0.iter().any(|it| matches!(it, Meaning::Does { .. })));
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
        write(0x8a, b"1.3.6.1.4.1.1466.20036"),
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
    let header = |flags, rotated| [&[5, 4, flags, 0xff, 0, 12, 0, rotated][..], &[0; 8]].concat();
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
    let Framing::Message { length, keep } = talk.framing(Speaker::Responder, &entry[..20]) else {
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
    assert_eq!(on_tcp(&bind, false, Speaker::Initiator), Recognition::Yes);
    assert_eq!(on_tcp(&bind, false, Speaker::Responder), Recognition::No);
    assert_eq!(on_tcp(&result, false, Speaker::Responder), Recognition::Yes);
    assert_eq!(on_tcp(&result, true, Speaker::Initiator), Recognition::Yes);
    assert_eq!(on_tcp(&bind[..3], false, Speaker::Initiator), Recognition::Perhaps);
    // SNMP begins alike (RFC 3416): version, community, and a request.
    let snmp = b"\x30\x0f\x02\x01\x01\x04\x06public\xa0\x02\x02\x00";
    assert_eq!(on_tcp(snmp, true, Speaker::Initiator), Recognition::No);
    let message = entry(1, "cn", b"x");
    assert_eq!(on_tcp(&message, false, Speaker::Responder), Recognition::No, "too little to tell");
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
        told(std::slice::from_ref(&bytes));
        Ldap::default().framing(Speaker::Initiator, &bytes);
        for transport in [Transport::Tcp, Transport::Udp] {
            let from = Speaker::Initiator;
            recognise(&Opening { transport, from, port_fits: true, bytes: &bytes });
        }
    }
}
