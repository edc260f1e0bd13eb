//! Protocols by the names that Network Monitor gives them.

use crate::capture::RowOther;
use crate::net::Transport;

/// What the name of a protocol tells of a row that tells neither ports nor conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It has this port, wherever it is spoken, and this transport where only one is in use.
    Service(u16, Option<Transport>),
    /// It stands above TCP or UDP, on any port.
    AnyPort,
    /// It is no part of a flow.
    NoFlow(RowOther),
}

const UDP: Option<Transport> = Some(Transport::Udp);
const TCP: Option<Transport> = Some(Transport::Tcp);

/// Names in lower case, sorted. LDAP, HTTP and TLS are on several ports each, so their name
/// tells none.
const PROTOCOLS: [(&str, Meaning); 63] = [
    ("arp", Meaning::NoFlow(RowOther::Arp)),
    ("cldap", Meaning::Service(389, UDP)),
    ("dfsc", Meaning::AnyPort),
    ("dhcp", Meaning::Service(67, UDP)),
    ("dhcpv6", Meaning::Service(547, UDP)),
    ("dns", Meaning::Service(53, UDP)),
    ("drsr", Meaning::AnyPort),
    ("eap", Meaning::NoFlow(RowOther::EtherType(0x888e))),
    ("epm", Meaning::Service(135, TCP)),
    ("esp", Meaning::NoFlow(RowOther::IpProtocol(50))),
    ("ftp", Meaning::Service(21, TCP)),
    ("gre", Meaning::NoFlow(RowOther::IpProtocol(47))),
    ("gssapi", Meaning::AnyPort),
    ("http", Meaning::AnyPort),
    ("https", Meaning::AnyPort),
    ("icmp", Meaning::NoFlow(RowOther::Icmp)),
    ("icmpv6", Meaning::NoFlow(RowOther::Icmp)),
    ("igmp", Meaning::NoFlow(RowOther::IpProtocol(2))),
    ("kerberosv5", Meaning::Service(88, None)),
    ("ldap", Meaning::AnyPort),
    ("ldapmessage", Meaning::AnyPort),
    ("ldapsaslbuffer", Meaning::AnyPort),
    ("lldp", Meaning::NoFlow(RowOther::EtherType(0x88cc))),
    ("lldtd", Meaning::NoFlow(RowOther::EtherType(0x88d9))),
    ("llmnr", Meaning::Service(5355, UDP)),
    ("lltd", Meaning::NoFlow(RowOther::EtherType(0x88d9))),
    ("lsad", Meaning::AnyPort),
    ("lsat", Meaning::AnyPort),
    ("msrpc", Meaning::AnyPort),
    ("mstds", Meaning::AnyPort),
    ("nbtds", Meaning::Service(138, UDP)),
    ("nbtns", Meaning::Service(137, UDP)),
    ("nbtss", Meaning::Service(139, TCP)),
    ("netbios", Meaning::AnyPort),
    ("netevent", Meaning::NoFlow(RowOther::NoTraffic)),
    ("netlogon", Meaning::AnyPort),
    ("netmonfilter", Meaning::NoFlow(RowOther::NoTraffic)),
    ("networkinfo", Meaning::NoFlow(RowOther::NoTraffic)),
    ("networkinfoex", Meaning::NoFlow(RowOther::NoTraffic)),
    ("nlmp", Meaning::AnyPort),
    ("nrpc", Meaning::AnyPort),
    ("ntp", Meaning::Service(123, UDP)),
    ("ospf", Meaning::NoFlow(RowOther::IpProtocol(89))),
    ("rdp", Meaning::AnyPort),
    ("rpch", Meaning::AnyPort),
    ("samr", Meaning::AnyPort),
    ("smb", Meaning::AnyPort),
    ("smb2", Meaning::Service(445, TCP)),
    ("smtp", Meaning::Service(25, TCP)),
    ("snmp", Meaning::Service(161, UDP)),
    ("sntp", Meaning::Service(123, UDP)),
    ("soap", Meaning::AnyPort),
    ("spnego", Meaning::AnyPort),
    ("srvs", Meaning::AnyPort),
    ("ssdp", Meaning::Service(1900, UDP)),
    ("ssl", Meaning::AnyPort),
    ("svcctl", Meaning::AnyPort),
    ("tcp", Meaning::AnyPort),
    ("tds", Meaning::AnyPort),
    ("tls", Meaning::AnyPort),
    ("udp", Meaning::AnyPort),
    ("winreg", Meaning::AnyPort),
    ("wmi", Meaning::AnyPort),
];

/// Whether this is the name of a protocol that Network Monitor shows.
pub(super) fn is_known(name: &str) -> bool {
    look_up(name).is_some()
}

/// What a protocol's name tells. One that is not known may be on any port.
pub(super) fn meaning_of(name: &str) -> Meaning {
    look_up(name).unwrap_or(Meaning::AnyPort)
}

fn look_up(name: &str) -> Option<Meaning> {
    if name.len() > 32 {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let place = PROTOCOLS.binary_search_by_key(&name.as_str(), |(name, _)| name).ok()?;
    PROTOCOLS.get(place).map(|(_, meaning)| *meaning)
}

/// Whether a description is that of an answer. Requests and answers are told apart only where no
/// hosts are.
pub(super) fn is_answer(protocol: &str, says: &str) -> bool {
    let says: String = says.trim_start().chars().take(160).flat_map(char::to_lowercase).collect();
    let begins = |words: &[&str]| words.iter().any(|word| says.starts_with(word));
    let has = |words: &[&str]| words.iter().any(|word| says.contains(word));
    match protocol.to_ascii_lowercase().as_str() {
        "msrpc" => begins(&[
            "c/o bind ack",
            "c/o bind nack",
            "c/o bind nak",
            "c/o alter cont resp",
            "c/o alter context resp",
            "c/o response",
            "c/o fault",
            "c/o shutdown",
        ]),
        "smb" | "smb2" => begins(&["r;", "r "]),
        "dns" | "llmnr" | "nbtns" => has(&["response"]),
        "kerberosv5" => has(&["response", "krb_error", " rep"]),
        "ldap" | "ldapmessage" | "cldap" | "netlogon" => has(&[
            "response",
            "result entry",
            "result done",
            "result reference",
            "samlogonresponse",
        ]),
        "dhcp" => has(&["offer", "msgtype = ack", "msgtype = nak", "reply"]),
        "tls" | "ssl" => has(&["server hello", "certificate request", "server key"]),
        _ => begins(&["response", "reply", "resp"]) || has(&[" response", ": response"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(PROTOCOLS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(meaning_of("KerberosV5"), Meaning::Service(88, None));
        assert!(!is_known("Note"));
    }

    #[test]
    fn answers_are_told_from_requests() {
        for (protocol, says, expected) in [
            ("MSRPC", "c/o Bind: If(Svc) UUID{1} Call=0x2", false),
            ("MSRPC", "c/o Bind Ack: If(Svc) UUID{1} Call=0x2", true),
            ("MSRPC", "c/o Alter Cont: x", false),
            ("MSRPC", "c/o Alter Cont Resp: x", true),
            ("MSRPC", "c/o Fault: Call=0x2 Status=0x5", true),
            ("SMB2", "C   NEGOTIATE (0x0), GUID={x}", false),
            ("SMB2", "R  - NT Status: System - Error", true),
            ("SMB", "C; Negotiate, Dialect = x", false),
            ("SMB", "R; Negotiate, Dialect is y", true),
            ("DNS", "QueryId = 0x1, QUERY (Standard query), Query  for x", false),
            ("DNS", "QueryId = 0x1, QUERY (Standard query), Response - Name Error", true),
            ("KerberosV5", "", false),
            ("KerberosV5", "AS Request Cname: u Realm: R", false),
            ("KerberosV5", "KRB_ERROR  - KDC_ERR_PREAUTH_REQUIRED (25)", true),
            ("LDAP", "Search Request, MessageID: 3", false),
            ("LDAPMessage", "Search Result Entry", true),
            ("EPM", "Request: ept_map: x", false),
            ("EPM", "Response: ept_map: x", true),
            ("HTTP", "Request, GET /x", false),
            ("HTTP", "Response, HTTP/1.1, Status: Ok", true),
            ("NbtNs", "Query Request for NAME   <0x1C> Domain Controllers", false),
        ] {
            assert_eq!(is_answer(protocol, says), expected, "{protocol} {says}");
        }
    }
}
