//! Well-known service ports: who is called, where no handshake tells, and what for.

use crate::net::Transport;

/// Services by transport and port, sorted: those of domain members, domain controllers, ConfigMgr's
/// site systems and SQL Server, and a few that captures are full of. Names as in Microsoft's port
/// lists, else as in the registry of assigned ports.
const SERVICES: &[(u16, &str)] = &[
    (20, "FTP data"),
    (21, "FTP"),
    (22, "SSH"),
    (23, "Telnet"),
    (25, "SMTP"),
    (53, "DNS"),
    (67, "DHCP server"),
    (69, "TFTP"),
    (80, "HTTP"),
    (88, "Kerberos"),
    (110, "POP3"),
    (111, "portmapper"),
    (119, "NNTP"),
    (123, "NTP"),
    (135, "RPC endpoint mapper"),
    (137, "NetBIOS name service"),
    (138, "NetBIOS datagram service"),
    (139, "NetBIOS session service"),
    (143, "IMAP"),
    (161, "SNMP"),
    (162, "SNMP trap"),
    (179, "BGP"),
    (389, "LDAP"),
    (443, "HTTPS"),
    (445, "SMB"),
    (464, "Kerberos password change"),
    (500, "IKE"),
    (502, "Modbus"),
    (514, "syslog"),
    (515, "LPD"),
    (554, "RTSP"),
    (587, "SMTP submission"),
    (593, "RPC over HTTP"),
    (631, "IPP"),
    (636, "LDAPS"),
    (853, "DNS over TLS"),
    (993, "IMAPS"),
    (995, "POP3S"),
    (1194, "OpenVPN"),
    (1433, "SQL Server"),
    (1434, "SQL Server Browser"),
    (1723, "PPTP"),
    (1812, "RADIUS"),
    (1883, "MQTT"),
    (1900, "SSDP"),
    (2049, "NFS"),
    (2701, "ConfigMgr remote control"),
    (3128, "HTTP proxy"),
    (3268, "Global Catalog LDAP"),
    (3269, "Global Catalog LDAPS"),
    (3306, "MySQL"),
    (3389, "Remote Desktop"),
    (3478, "STUN"),
    (3702, "WS-Discovery"),
    (4011, "PXE"),
    (4022, "SQL Server Service Broker"),
    (5022, "SQL Server mirroring endpoint"),
    (5060, "SIP"),
    (5353, "mDNS"),
    (5355, "LLMNR"),
    (5432, "PostgreSQL"),
    (5985, "WinRM"),
    (5986, "WinRM over TLS"),
    (6379, "Redis"),
    (8080, "HTTP alternate"),
    (8443, "HTTPS alternate"),
    (8530, "WSUS HTTP"),
    (8531, "WSUS HTTPS"),
    (9389, "AD Web Services"),
    (10123, "ConfigMgr client notification"),
];

/// UDP ports whose protocol answers every request (contract section 3).
const ANSWERING: &[u16] = &[53, 67, 69, 88, 123, 135, 137, 389, 464, 1434, 4011];

/// The name of the service that a port is known for.
pub fn service_name(port: u16) -> Option<&'static str> {
    let index = SERVICES.binary_search_by_key(&port, |&(port, _)| port).ok()?;
    SERVICES.get(index).map(|&(_, name)| name)
}

/// Ports that tell who is called, and UDP ports that answer.
#[derive(Clone, Debug, Default)]
pub struct KnownPorts {
    /// Ports beside [`SERVICES`], sorted: those of the matrix in use.
    also: Vec<(Transport, u16)>,
    /// The same, where nothing that is sent there is answered.
    unanswered: Vec<(Transport, u16)>,
}

impl KnownPorts {
    /// The built-in ones and these.
    pub fn with(also: impl IntoIterator<Item = (Transport, u16)>) -> KnownPorts {
        KnownPorts { also: sorted(also), unanswered: Vec::new() }
    }

    /// And these, where nobody answers what is sent.
    #[must_use]
    pub fn and_unanswered(self, ports: impl IntoIterator<Item = (Transport, u16)>) -> KnownPorts {
        KnownPorts { unanswered: sorted(ports), ..self }
    }

    /// Whether a service is known to listen there.
    pub fn is_service(&self, transport: Transport, port: u16) -> bool {
        let listed = |ports: &[(Transport, u16)]| ports.binary_search(&(transport, port)).is_ok();
        service_name(port).is_some() || listed(&self.also) || listed(&self.unanswered)
    }

    /// Whether a request to this UDP port is to be answered.
    pub fn answers(&self, port: u16) -> bool {
        ANSWERING.contains(&port) || self.also.binary_search(&(Transport::Udp, port)).is_ok()
    }
}

fn sorted(ports: impl IntoIterator<Item = (Transport, u16)>) -> Vec<(Transport, u16)> {
    let mut ports: Vec<_> = ports.into_iter().collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(SERVICES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(ANSWERING.is_sorted());
    }

    #[test]
    fn ports_of_the_matrix_count_as_services() {
        let ports = KnownPorts::with([(Transport::Udp, 50_001), (Transport::Tcp, 50_000)]);
        assert!(ports.is_service(Transport::Tcp, 50_000));
        assert!(!ports.is_service(Transport::Udp, 50_000));
        assert!(ports.answers(50_001) && ports.answers(88));
        let ports = ports.and_unanswered([(Transport::Udp, 9)]);
        assert!(ports.is_service(Transport::Udp, 9) && !ports.answers(9));
        assert!(!ports.answers(514));
        assert_eq!(service_name(3268), Some("Global Catalog LDAP"));
    }
}
