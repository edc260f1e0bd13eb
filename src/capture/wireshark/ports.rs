//! Ports by the names that Wireshark and tcpdump put in their place.

use crate::net::Transport;

/// Names of ports in the registry of assigned ports (RFC 6335), as programs print them, sorted:
/// those of domain members and controllers, and those that captures are full of.
const NAMES: &[(&str, u16)] = &[
    ("bgp", 179),
    ("bootpc", 68),
    ("bootps", 67),
    ("domain", 53),
    ("epmap", 135),
    ("ftp", 21),
    ("ftp-data", 20),
    ("http", 80),
    ("http-alt", 8080),
    ("https", 443),
    ("imap", 143),
    ("imaps", 993),
    ("ipp", 631),
    ("isakmp", 500),
    ("kerberos", 88),
    ("kerberos-sec", 88),
    ("kpasswd", 464),
    ("kpasswd5", 464),
    ("ldap", 389),
    ("ldaps", 636),
    ("llmnr", 5355),
    ("loc-srv", 135),
    ("mdns", 5353),
    ("microsoft-ds", 445),
    ("ms-sql-m", 1434),
    ("ms-sql-s", 1433),
    ("ms-wbt-server", 3389),
    ("msft-gc", 3268),
    ("msft-gc-ssl", 3269),
    ("mysql", 3306),
    ("nat-stun-port", 3478),
    ("netbios-dgm", 138),
    ("netbios-ns", 137),
    ("netbios-ssn", 139),
    ("nntp", 119),
    ("ntp", 123),
    ("pop3", 110),
    ("pop3s", 995),
    ("postgresql", 5432),
    ("radius", 1812),
    ("rdp", 3389),
    ("rtsp", 554),
    ("smtp", 25),
    ("smtps", 465),
    ("snmp", 161),
    ("snmp-trap", 162),
    ("snmptrap", 162),
    ("ssdp", 1900),
    ("ssh", 22),
    ("submission", 587),
    ("sunrpc", 111),
    ("syslog", 514),
    ("telnet", 23),
    ("tftp", 69),
    ("ws-discovery", 3702),
    ("wsman", 5985),
    ("wsmans", 5986),
];

/// The port that a text names: a number, a name, or both (`epmap(135)`).
pub(super) fn read(text: &str) -> Option<u16> {
    if let Some((_, number)) = text.strip_suffix(')').and_then(|text| text.rsplit_once('(')) {
        return number.trim().parse().ok();
    }
    text.parse().ok().or_else(|| {
        let index = NAMES.binary_search_by_key(&text, |(name, _)| name).ok()?;
        NAMES.get(index).map(|(_, port)| *port)
    })
}

/// Where a protocol's service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// The transport that is meant where nothing else tells.
    pub(super) transport: Transport,
    /// Its ports, the usual one first.
    pub(super) ports: &'static [u16],
    /// Whether it uses the other transport too, as a matter of course.
    pub(super) both: bool,
    /// Whether it is found on any other port as well.
    pub(super) anywhere: bool,
}

/// Services by the name of the protocol in a packet list, in capitals, sorted.
const PROTOCOLS: &[(&str, Transport, &[u16])] = &[
    ("BROWSER", Transport::Udp, &[138]),
    ("CLDAP", Transport::Udp, &[389]),
    ("DCERPC", Transport::Tcp, &[135]),
    ("DHCP", Transport::Udp, &[67]),
    ("DHCPV6", Transport::Udp, &[547]),
    ("DNS", Transport::Udp, &[53]),
    ("EPM", Transport::Tcp, &[135]),
    ("FTP", Transport::Tcp, &[21]),
    ("HTTP", Transport::Tcp, &[80, 8080, 5985, 8530]),
    ("IMAP", Transport::Tcp, &[143]),
    ("KPASSWD", Transport::Udp, &[464]),
    ("KRB5", Transport::Udp, &[88]),
    ("LDAP", Transport::Tcp, &[389, 3268]),
    ("LLMNR", Transport::Udp, &[5355]),
    ("MDNS", Transport::Udp, &[5353]),
    ("NBDS", Transport::Udp, &[138]),
    ("NBNS", Transport::Udp, &[137]),
    ("NBSS", Transport::Tcp, &[139, 445]),
    ("NTP", Transport::Udp, &[123]),
    ("POP", Transport::Tcp, &[110]),
    ("RADIUS", Transport::Udp, &[1812]),
    ("RDP", Transport::Tcp, &[3389]),
    ("SMB", Transport::Tcp, &[445, 139]),
    ("SMB2", Transport::Tcp, &[445, 139]),
    ("SMTP", Transport::Tcp, &[25, 587]),
    ("SNMP", Transport::Udp, &[161]),
    ("SSDP", Transport::Udp, &[1900]),
    ("SSH", Transport::Tcp, &[22]),
    ("SSHV2", Transport::Tcp, &[22]),
    ("SSL", Transport::Tcp, &[443]),
    ("SSLV2", Transport::Tcp, &[443]),
    ("SSLV3", Transport::Tcp, &[443]),
    ("SYSLOG", Transport::Udp, &[514]),
    ("TDS", Transport::Tcp, &[1433]),
    ("TFTP", Transport::Udp, &[69]),
    ("TLSV1", Transport::Tcp, &[443]),
    ("TLSV1.1", Transport::Tcp, &[443]),
    ("TLSV1.2", Transport::Tcp, &[443]),
    ("TLSV1.3", Transport::Tcp, &[443]),
];

/// The service that a protocol's name in a packet list stands for. `None` for what may be above
/// anything: RPC interfaces, files, messages.
pub(super) fn of_protocol(protocol: &str) -> Option<Service> {
    let protocol = protocol.to_ascii_uppercase();
    let index = PROTOCOLS.binary_search_by_key(&protocol.as_str(), |(name, ..)| name).ok()?;
    PROTOCOLS.get(index).map(|&(name, transport, ports)| Service {
        transport,
        ports,
        both: ["KRB5", "KPASSWD"].contains(&name),
        anywhere: ["DCERPC", "HTTP"].contains(&name) || ports == [443],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(PROTOCOLS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn ports_are_read_by_number_and_by_name() {
        for (text, port) in [
            ("135", Some(135)),
            ("epmap(135)", Some(135)),
            ("microsoft-ds", Some(445)),
            ("nobody-knows", None),
            ("65536", None),
            ("", None),
        ] {
            assert_eq!(read(text), port, "{text}");
        }
        assert_eq!(of_protocol("KRB5").unwrap().ports, [88]);
        assert_eq!(of_protocol("TLSv1.2").unwrap().ports, [443]);
        assert_eq!(of_protocol("SAMR"), None);
    }
}
