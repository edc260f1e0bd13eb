//! What Windows hosts say to each other: payloads that Wireshark reads without complaint.

/// An RPC bind to the endpoint mapper's port for `IObjectExporter`, call 2, with the sizes of
/// the seed: [MS-RPCE] 2.2, C706 chapter 12.
pub fn rpc_bind() -> Vec<u8> {
    let mut body = rpc_sizes(0);
    body.extend([1, 0, 0, 0]); // one context
    body.extend([0, 0, 1, 0]); // number 0, one transfer syntax
    body.extend(OBJECT_EXPORTER);
    body.extend([0; 4]); // version 0.0
    body.extend(NDR);
    body.extend(2_u32.to_le_bytes());
    rpc(11, &body)
}

/// The answer to [`rpc_bind`]: accepted, association group 0x1E0D9.
pub fn rpc_bind_ack() -> Vec<u8> {
    let mut body = rpc_sizes(0x0001_e0d9);
    body.extend([4, 0]);
    body.extend(b"135\0");
    body.extend([0, 0]); // up to a multiple of four
    body.extend([1, 0, 0, 0]); // one result
    body.extend([0; 4]); // acceptance, no reason
    body.extend(NDR);
    body.extend(2_u32.to_le_bytes());
    rpc(12, &body)
}

/// 99FCFEC4-5260-101B-BBCB-00AA0021347A
const OBJECT_EXPORTER: [u8; 16] = [
    0xc4, 0xfe, 0xfc, 0x99, 0x60, 0x52, 0x1b, 0x10, 0xbb, 0xcb, 0x00, 0xaa, 0x00, 0x21, 0x34, 0x7a,
];
/// 8A885D04-1CEB-11C9-9FE8-08002B104860
const NDR: [u8; 16] = [
    0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60,
];

fn rpc_sizes(association_group: u32) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0x16d0_u16.to_le_bytes()); // largest fragment sent
    body.extend(0x16d0_u16.to_le_bytes()); // largest fragment received
    body.extend(association_group.to_le_bytes());
    body
}

fn rpc(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(16 + body.len()).unwrap();
    let mut message = vec![5, 0, kind, 3, 0x10, 0, 0, 0]; // whole message, little-endian
    message.extend(length.to_le_bytes());
    message.extend([0, 0]); // no authentication
    message.extend(2_u32.to_le_bytes()); // call
    message.extend(body);
    message
}

/// A DNS question for the address of `name`: RFC 1035, 4.1.
pub fn dns_query(id: u16, name: &str) -> Vec<u8> {
    let mut message = dns_header(id, 0x0100, 0);
    message.extend(dns_question(name));
    message
}

/// The answer to it: one address.
pub fn dns_answer(id: u16, name: &str, address: [u8; 4]) -> Vec<u8> {
    let mut message = dns_header(id, 0x8580, 1);
    message.extend(dns_question(name));
    message.extend([0xc0, 12, 0, 1, 0, 1]); // the name of the question, A, IN
    message.extend(600_u32.to_be_bytes());
    message.extend([0, 4]);
    message.extend(address);
    message
}

/// An answer without records, with this response code.
pub fn dns_failure(id: u16, name: &str, code: u16) -> Vec<u8> {
    let mut message = dns_header(id, 0x8180 | code, 0);
    message.extend(dns_question(name));
    message
}

/// The same for the hosts that serve a purpose (SRV, RFC 2782), as a message that was made for an
/// address.
pub fn dns_about_services(mut message: Vec<u8>) -> Vec<u8> {
    let kind = message.len() - 3;
    message[kind] = 33;
    message
}

fn dns_header(id: u16, flags: u16, answers: u16) -> Vec<u8> {
    [id, flags, 1, answers, 0, 0].into_iter().flat_map(u16::to_be_bytes).collect()
}

fn dns_question(name: &str) -> Vec<u8> {
    let mut question = Vec::new();
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]); // end of the name, A, IN
    question
}

/// A DNS message over TCP, and a Kerberos message too, has its length in front, with two bytes
/// and with four (RFC 1035, 4.2.2; RFC 4120, 7.2.2).
pub fn with_length<const WIDTH: usize>(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&length[4 - WIDTH..], message].concat()
}

/// A search for the root of a directory's tree, over TCP or UDP: RFC 4511, 4.5.1.
pub fn ldap_search(id: u8) -> Vec<u8> {
    let search = der(
        0x63,
        &[
            der(0x04, b""),            // base object: the root
            der(0x0a, &[0]),           // that object only
            der(0x0a, &[0]),           // no aliases followed
            der(0x02, &[0]),           // no limit of size
            der(0x02, &[120]),         // two minutes
            der(0x01, &[0]),           // values too
            der(0x87, b"objectClass"), // present
            der(0x30, &der(0x04, b"defaultNamingContext")),
        ]
        .concat(),
    );
    der(0x30, &[der(0x02, &[id]), search].concat())
}

/// The answer to it: an entry, and success.
pub fn ldap_answer(id: u8) -> Vec<u8> {
    let values = der(0x31, &der(0x04, b"DC=child,DC=corp,DC=example"));
    let attribute = der(0x30, &[der(0x04, b"defaultNamingContext"), values].concat());
    let entry = der(0x64, &[der(0x04, b""), der(0x30, &attribute)].concat());
    let done = der(0x65, &[der(0x0a, &[0]), der(0x04, b""), der(0x04, b"")].concat());
    [entry, done].map(|answer| der(0x30, &[der(0x02, &[id]), answer].concat())).concat()
}

/// A simple bind: RFC 4511, 4.2.
pub fn ldap_bind(id: u8, name: &str) -> Vec<u8> {
    let bind = [der(0x02, &[3]), der(0x04, name.as_bytes()), der(0x80, b"not shown")].concat();
    der(0x30, &[der(0x02, &[id]), der(0x60, &bind)].concat())
}

/// The answer to it: a result code, and the diagnostic message of Active Directory.
pub fn ldap_bound(id: u8, code: u8, message: &str) -> Vec<u8> {
    let result = [der(0x0a, &[code]), der(0x04, b""), der(0x04, message.as_bytes())].concat();
    der(0x30, &[der(0x02, &[id]), der(0x61, &result)].concat())
}

/// A request for a ticket without proof of the password, as Windows asks first: RFC 4120, 5.4.1.
pub fn kerberos_request() -> Vec<u8> {
    let body = [
        der(0xa0, &der(0x03, &[0, 0x40, 0x81, 0x00, 0x10])),
        der(0xa1, &kerberos_name(1, &["CAS01$"])),
        der(0xa2, &der(0x1b, REALM)),
        der(0xa3, &kerberos_name(2, &["krbtgt", "CHILD.CORP.EXAMPLE"])),
        der(0xa5, &der(0x18, b"20370913024805Z")),
        der(0xa7, &der(0x02, &[0x1f, 0x2e, 0x3d, 0x4c])),
        der(0xa8, &der(0x30, &[der(0x02, &[18]), der(0x02, &[17])].concat())),
    ]
    .concat();
    let request =
        [der(0xa1, &der(0x02, &[5])), der(0xa2, &der(0x02, &[10])), der(0xa4, &der(0x30, &body))]
            .concat();
    der(0x6a, &der(0x30, &request))
}

/// What a healthy domain controller answers first: error 25, "prove the password" (RFC 4120,
/// 7.5.9). The service works.
pub fn kerberos_preauth_required() -> Vec<u8> {
    kerberos_error(25, b"20121113093000Z")
}

/// Another error of the key distribution centre, by its clock: RFC 4120, 5.9.1.
pub fn kerberos_error(code: u8, at: &[u8]) -> Vec<u8> {
    let error = [
        der(0xa0, &der(0x02, &[5])),
        der(0xa1, &der(0x02, &[30])),
        der(0xa4, &der(0x18, at)),
        der(0xa5, &der(0x02, &[0])),
        der(0xa6, &der(0x02, &[code])),
        der(0xa9, &der(0x1b, REALM)),
        der(0xaa, &kerberos_name(2, &["krbtgt", "CHILD.CORP.EXAMPLE"])),
    ]
    .concat();
    der(0x7e, &der(0x30, &error))
}

const REALM: &[u8] = b"CHILD.CORP.EXAMPLE";

fn kerberos_name(kind: u8, parts: &[&str]) -> Vec<u8> {
    let parts: Vec<u8> = parts.iter().flat_map(|part| der(0x1b, part.as_bytes())).collect();
    let name = [der(0xa0, &der(0x02, &[kind])), der(0xa1, &der(0x30, &parts))].concat();
    der(0x30, &name)
}

/// Tag, length, contents: X.690, 8.1.
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut value = vec![tag];
    match u8::try_from(contents.len()) {
        Ok(length @ ..0x80) => value.push(length),
        Ok(length) => value.extend([0x81, length]),
        Err(_) => {
            value.push(0x82);
            value.extend(u16::try_from(contents.len()).unwrap().to_be_bytes());
        }
    }
    value.extend(contents);
    value
}

/// An SMB 2 negotiation, dialects 2.0.2 and 2.1: [MS-SMB2] 2.2.3.
pub fn smb_negotiate() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend([36, 0, 2, 0, 1, 0, 0, 0]); // size, two dialects, signing enabled
    body.extend([0; 4]); // no capabilities
    body.extend([0x5a; 16]); // its GUID
    body.extend([0; 8]);
    body.extend([0x02, 0x02, 0x10, 0x02]);
    smb(0, 0, &body)
}

/// The answer to it: dialect 2.1, no token.
pub fn smb_negotiated() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend([65, 0, 1, 0, 0x10, 0x02, 0, 0]); // size, signing enabled, dialect 2.1
    body.extend([0xa5; 16]); // its GUID
    body.extend(7_u32.to_le_bytes()); // capabilities
    for limit in [1_048_576_u32; 3] {
        body.extend(limit.to_le_bytes());
    }
    body.extend(129_972_726_000_000_000_u64.to_le_bytes()); // 2012-11-13 09:30:00
    body.extend([0; 8]);
    body.extend([128, 0, 0, 0, 0, 0, 0, 0]); // an empty token after the header
    smb(0, 1, &body)
}

/// An echo, which keeps a connection alive: [MS-SMB2] 2.2.28.
pub fn smb_echo(message: u8) -> Vec<u8> {
    smb_numbered(13, 0, message, &[4, 0, 0, 0])
}

/// The answer to it.
pub fn smb_echoed(message: u8) -> Vec<u8> {
    smb_numbered(13, 1, message, &[4, 0, 0, 0])
}

/// A session setup with a token that says nothing: [MS-SMB2] 2.2.5.
pub fn smb_session_setup(message: u8) -> Vec<u8> {
    let mut body = vec![25, 0, 0, 1]; // size, flags, signing enabled
    body.extend([0; 8]); // capabilities, channel
    body.extend([88, 0, 4, 0]); // the token's place and length
    body.extend([0; 8]); // no earlier session
    body.extend([0x60, 0x02, 0x06, 0x00]);
    smb_numbered(1, 0, message, &body)
}

/// The answer to it: an NTSTATUS, and no token.
pub fn smb_session_refused(message: u8, status: u32) -> Vec<u8> {
    let mut packet = smb_numbered(1, 1, message, &[9, 0, 0, 0, 0, 0, 0, 0, 0]);
    packet[4 + 8..4 + 12].copy_from_slice(&status.to_le_bytes());
    packet
}

/// A request of a ConfigMgr client for its management points.
pub fn http_get(path: &str, host: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: SMS CCM 5.0\r\n\r\n").into_bytes()
}

/// An answer with this status, and its number as body.
pub fn http_status(status: u16, reason: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} {reason}\r\nContent-Length: 3\r\n\r\n{status}").into_bytes()
}

/// A hello of TLS 1.0 with one cipher suite and no extension: RFC 2246, 7.4.1.2.
pub fn tls_hello() -> Vec<u8> {
    let mut hello = vec![3, 1];
    hello.extend([0x5a; 32]); // random
    hello.extend([0, 0, 2, 0, 0x0a, 1, 0]); // no session, one suite, no compression
    let mut handshake = vec![1, 0, 0, u8::try_from(hello.len()).unwrap()];
    handshake.extend(hello);
    [&[22, 3, 1, 0, u8::try_from(handshake.len()).unwrap()], &handshake[..]].concat()
}

/// A fatal alert: RFC 5246, 7.2.
pub fn tls_alert(description: u8) -> Vec<u8> {
    vec![21, 3, 1, 0, 2, 2, description]
}

fn smb(command: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    smb_numbered(command, flags, 0, body)
}

/// The length in front, SMB 2 header, body.
fn smb_numbered(command: u8, flags: u8, message: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(u32::try_from(64 + body.len()).unwrap().to_be_bytes());
    packet.extend([0xfe, b'S', b'M', b'B', 64, 0, 0, 0]);
    packet.extend([0; 4]); // status
    packet.extend([command, 0, 1, 0]); // command, credits
    packet.extend([flags, 0, 0, 0, 0, 0, 0, 0]);
    packet.extend(u64::from(message).to_le_bytes());
    packet.extend([0xff, 0xfe, 0, 0, 0, 0, 0, 0]); // process, tree
    packet.extend([0; 8]); // no user yet
    packet.extend([0; 16]); // not signed
    packet.extend(body);
    packet
}

/// A message of DHCP: request (1) or reply (2), the address given, the type. RFC 2131 2, RFC 2132
/// 9.6.
pub fn dhcp(operation: u8, given: [u8; 4], kind: u8) -> Vec<u8> {
    let mut message = vec![operation, 1, 6, 0];
    message.extend(0x1234_5678_u32.to_be_bytes());
    message.extend([0; 8]); // no time has passed; no address yet
    message.extend(given);
    message.extend([0; 8]); // no boot server, no relay
    message.extend([0x00, 0x15, 0x5d, 0x00, 0x00, 0x50]);
    message.extend([0; 10 + 64 + 128]);
    message.extend([99, 130, 83, 99]);
    message.extend([53, 1, kind]);
    if operation == 2 {
        message.extend([54, 4, 10, 0, 0, 20]);
    }
    message.push(255);
    message
}

/// A packet of SQL Server's protocol, the last of its message: [MS-TDS] 2.2.3.1.
pub fn tds(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&[kind, 1][..], &length, &[0, 0, 1, 0], body].concat()
}

/// A pre-login, or the answer to it, with version 15.0.2000 and no encryption: 2.2.6.5.
pub fn tds_pre_login(kind: u8) -> Vec<u8> {
    tds(kind, &[0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 15, 0, 7, 0xd0, 0, 0, 2])
}

/// A login of `user` with no password from a host CM01: 2.2.6.4.
pub fn tds_login(user: &str) -> Vec<u8> {
    let mut body = vec![0; 94];
    body[4..8].copy_from_slice(&[4, 0, 0, 0x74]);
    for (place, word) in [
        (36, "CM01"),
        (40, user),
        (44, ""),
        (48, "SMS"),
        (52, "SQL1"),
        (56, ""),
        (60, ""),
        (64, ""),
        (68, ""),
        (78, ""),
        (82, ""),
        (86, ""),
    ] {
        let offset = u16::try_from(body.len()).unwrap().to_le_bytes();
        let letters = u16::try_from(word.len()).unwrap().to_le_bytes();
        body[place..place + 4].copy_from_slice(&[offset, letters].concat());
        body.extend(word.encode_utf16().flat_map(u16::to_le_bytes));
    }
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    body[..4].copy_from_slice(&length);
    tds(16, &body)
}

/// An answer with one error: 2.2.7.10, then the end, 2.2.7.6.
pub fn tds_error(number: u32, text: &str) -> Vec<u8> {
    let mut token = number.to_le_bytes().to_vec();
    token.extend([1, 14]);
    token.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
    token.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    token.extend([4, b'S', 0, b'Q', 0, b'L', 0, b'1', 0, 0, 1, 0, 0, 0]);
    let length = u16::try_from(token.len()).unwrap().to_le_bytes();
    let done = [0xfd, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    tds(4, &[&[0xaa][..], &length, &token, &done].concat())
}

/// A request for a NetBIOS session with `*SMBSERVER`: RFC 1002, 4.3.2.
pub fn netbios_request() -> Vec<u8> {
    let name = b"\x20CKFDENECFDEFFCFGEFFCCACACACACACA\0";
    [&[0x81, 0, 0, 68][..], name, name].concat()
}

/// The answer that there is nobody of that name: RFC 1002, 4.3.4.
pub fn netbios_refusal() -> Vec<u8> {
    vec![0x83, 0, 0, 1, 0x82]
}
