//! Duties: what a host proves to do for others, by its own words or by how it is talked to.
//!
//! A duty is no role yet: roles come from the matrix in use, and who plays one is told there. Only
//! what the protocol itself says counts here, never a port.

use std::net::IpAddr;

use crate::words::words;

words! {
    /// What a host does for others. Those that roles of the built-in profiles stand for bear their
    /// names.
    Duty {
        /// It holds a domain of Active Directory.
        DomainController = "domain-controller",
        /// It holds the domain that its forest is named after.
        RootController = "root-dc",
        /// It holds a domain below that one.
        ChildController = "child-dc",
        /// It serves a directory that is not Active Directory.
        OtherDirectory = "other-directory",
        /// It resolves names for its callers.
        DnsServer = "dns-server",
        /// It gives addresses.
        DhcpServer = "dhcp-server",
        /// It answers machines that boot from the network.
        PxeServer = "pxe-server",
        /// It is an instance of SQL Server, or tells where one is.
        SqlServer = "sql-server",
        /// It takes requests of ConfigMgr's clients.
        ManagementPoint = "management-point",
        /// It gives content to ConfigMgr's clients.
        DistributionPoint = "distribution-point",
        /// It serves WSUS.
        SoftwareUpdatePoint = "software-update-point",
        /// It takes the state of clients that reach nothing else.
        FallbackStatusPoint = "fallback-status-point",
        /// It gives access to a site's database.
        SmsProvider = "sms-provider",
        /// It stands for management points in the cloud.
        CloudGateway = "cloud-gateway",
        /// It enrolls devices.
        EnrollmentPoint = "enrollment-point",
        /// It takes enrollments for it.
        EnrollmentProxyPoint = "enrollment-proxy-point",
        /// It runs a site.
        SiteServer = "site-server",
        /// It is managed by ConfigMgr.
        Client = "client",
        /// It administers a site.
        Console = "console",
    }
}

/// Whose duty it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The host that sent the message.
    Speaker,
    /// The host that it was sent to.
    Peer,
    /// The host with this address, by the message's own word.
    Host(IpAddr),
}
