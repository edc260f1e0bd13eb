//! What a text says of a packet. What it does not say is `None`, and stays unknown.

use crate::capture::RowRepeat;
use crate::net::{Address, Transport};

/// A sequence or acknowledgment number as a text tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) value: u32,
    /// Whether it counts from the first number of its direction, as Wireshark shows it unless
    /// told otherwise.
    pub(super) relative: bool,
}

/// What a text says of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) source: Option<Address>,
    pub(super) destination: Option<Address>,
    pub(super) transport: Option<Transport>,
    pub(super) source_port: Option<u16>,
    pub(super) destination_port: Option<u16>,
    /// Flags of the TCP header, FIN being 1 (RFC 9293 3.1).
    pub(super) flags: Option<u8>,
    pub(super) seq: Option<Number>,
    pub(super) ack: Option<Number>,
    pub(super) window: Option<u32>,
    /// Payload bytes of the transport on the wire.
    pub(super) length: Option<u32>,
    pub(super) ttl: Option<u8>,
    pub(super) ip_id: Option<u16>,
    /// ICMP type and code, and whether it is of version 6.
    pub(super) icmp: Option<Icmp>,
    /// The packet that an ICMP error quotes.
    pub(super) quoted: Option<Box<Account>>,
    /// Whether the link's address is that of a group.
    pub(super) link_group: Option<bool>,
    /// The host that an ICMP error names.
    pub(super) about: Option<Address>,
    /// What Wireshark noticed of a SYN between ports that had one before.
    pub(super) repeat: RowRepeat,
    /// Tells conversations apart of which a port is not told.
    pub(super) conversation: Option<u32>,
    /// Number of the protocol above IP.
    pub(super) ip_protocol: Option<u8>,
    /// The highest protocol, as `KRB5`, and what is said of it.
    pub(super) protocol: String,
    pub(super) info: String,
}

impl Default for Account {
    fn default() -> Account {
        Account {
            source: None,
            destination: None,
            transport: None,
            source_port: None,
            destination_port: None,
            flags: None,
            seq: None,
            ack: None,
            window: None,
            length: None,
            ttl: None,
            ip_id: None,
            icmp: None,
            quoted: None,
            link_group: None,
            about: None,
            repeat: RowRepeat::Unsaid,
            conversation: None,
            ip_protocol: None,
            protocol: String::new(),
            info: String::new(),
        }
    }
}

/// Type and code of an ICMP message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Icmp {
    pub(super) version6: bool,
    pub(super) kind: u8,
    pub(super) code: u8,
}

impl Icmp {
    /// Whether it is an error, which quotes a packet (RFC 792, RFC 4443 2.1).
    pub(super) fn is_error(self) -> bool {
        if self.version6 { self.kind < 128 } else { matches!(self.kind, 3 | 4 | 5 | 11 | 12) }
    }
}

/// Flags of the TCP header.
pub(super) mod flag {
    pub(in crate::capture::wireshark) const FIN: u8 = 0x01;
    pub(in crate::capture::wireshark) const SYN: u8 = 0x02;
    pub(in crate::capture::wireshark) const RST: u8 = 0x04;
    pub(in crate::capture::wireshark) const PSH: u8 = 0x08;
    pub(in crate::capture::wireshark) const ACK: u8 = 0x10;
    pub(in crate::capture::wireshark) const URG: u8 = 0x20;
    pub(in crate::capture::wireshark) const ECE: u8 = 0x40;
    pub(in crate::capture::wireshark) const CWR: u8 = 0x80;
}
