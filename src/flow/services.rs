//! Well-known service ports: who is called, where no handshake tells, and what for.

use std::sync::Arc;

use crate::net::{PortSet, Transport};

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
#[derive(Clone, Debug)]
pub struct KnownPorts(Arc<Known>);

#[derive(Clone, Debug)]
struct Known {
    tcp: PortSet,
    udp: PortSet,
    /// UDP ports at which a request is to be answered.
    answering: PortSet,
}

impl Default for KnownPorts {
    /// The built-in ones.
    fn default() -> KnownPorts {
        let services: PortSet = SERVICES.iter().map(|(port, _)| *port).collect();
        let answering = ANSWERING.iter().copied().collect();
        KnownPorts(Arc::new(Known { tcp: services.clone(), udp: services, answering }))
    }
}

impl KnownPorts {
    /// The built-in ones and these: those of the matrix in use.
    pub fn with(also: impl IntoIterator<Item = (Transport, u16)>) -> KnownPorts {
        let mut ports = KnownPorts::default();
        let known = Arc::make_mut(&mut ports.0);
        for (transport, port) in also {
            known.services(transport).extend([port]);
            if transport == Transport::Udp {
                known.answering.extend([port]);
            }
        }
        ports
    }

    /// And these, where nobody answers what is sent.
    #[must_use]
    pub fn and_unanswered(
        mut self,
        ports: impl IntoIterator<Item = (Transport, u16)>,
    ) -> KnownPorts {
        let known = Arc::make_mut(&mut self.0);
        for (transport, port) in ports {
            known.services(transport).extend([port]);
        }
        self
    }

    /// Whether a service is known to listen there.
    #[inline]
    pub fn is_service(&self, transport: Transport, port: u16) -> bool {
        match transport {
            Transport::Tcp => self.0.tcp.has(port),
            Transport::Udp => self.0.udp.has(port),
        }
    }

    /// Whether a request to this UDP port is to be answered.
    pub fn answers(&self, port: u16) -> bool {
        self.0.answering.has(port)
    }
}

impl Known {
    fn services(&mut self, transport: Transport) -> &mut PortSet {
        match transport {
            Transport::Tcp => &mut self.tcp,
            Transport::Udp => &mut self.udp,
        }
    }
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
