//! What a text says of a packet, as a row.

use std::net::IpAddr;

use crate::capture::wireshark::account::{Account, Icmp, Number, flag};
use crate::capture::wireshark::notes::{Note, Notes};
use crate::capture::{RowContent, RowNumber, RowOther, RowPath, RowRepeat, RowSegment};
use crate::net::{Address, Endpoint, Transport};

/// Bytes of a note. What matters of a summary stands at its beginning.
const MOST_NOTE_BYTES: usize = 200;

/// The content of the row that an account makes.
pub(super) fn content(account: &Account, line: u64, notes: &mut Notes) -> RowContent {
    if let Some(icmp) = account.icmp {
        return error_content(account, icmp).unwrap_or(RowContent::Other(RowOther::Icmp));
    }
    let Some(path) = path(account) else { return other(account) };
    match (account.transport, account.flags) {
        (Some(Transport::Udp), _) => {
            RowContent::Datagram { path, length: account.length.unwrap_or(0) }
        }
        (Some(Transport::Tcp), Some(flags)) => RowContent::Segment {
            path,
            segment: RowSegment {
                flags,
                seq: number(account.seq),
                ack: if flags & flag::ACK == 0 { RowNumber::Wire(0) } else { number(account.ack) },
                window: account.window.and_then(|window| u16::try_from(window).ok()),
                length: account.length.unwrap_or(0),
                repeat: account.repeat,
            },
        },
        (Some(Transport::Tcp), None) => {
            notes.count(Note::NoFlags, line);
            RowContent::Other(RowOther::NoPorts)
        }
        (None, _) => other(account),
    }
}

fn number(number: Option<Number>) -> RowNumber {
    match number {
        Some(Number { value, relative: true }) => RowNumber::Relative(value),
        Some(Number { value, relative: false }) => RowNumber::Wire(value),
        None => RowNumber::Untold,
    }
}

/// Who sent the packet and to whom; port 0 where the text does not tell it, `None` where it tells
/// neither.
fn path(account: &Account) -> Option<RowPath> {
    if account.source_port.is_none() && account.destination_port.is_none() {
        return None;
    }
    Some(RowPath {
        source: Endpoint {
            address: account.source?,
            port: account.source_port.unwrap_or_default(),
        },
        destination: Endpoint {
            address: account.destination?,
            port: account.destination_port.unwrap_or_default(),
        },
        conversation: account.conversation,
    })
}

fn error_content(account: &Account, icmp: Icmp) -> Option<RowContent> {
    let quoted = account.quoted.as_ref().filter(|_| icmp.is_error())?;
    Some(RowContent::IcmpError {
        reporter: account.source?,
        icmp_type: icmp.kind,
        code: icmp.code,
        transport: quoted.transport?,
        quoted: path(quoted)?,
        quoted_seq: number(quoted.seq).on_wire(),
    })
}

fn other(account: &Account) -> RowContent {
    RowContent::Other(match account.protocol.as_str() {
        "ARP" => RowOther::Arp,
        "ICMP" | "ICMPv6" => RowOther::Icmp,
        _ => match account.ip_protocol {
            Some(6 | 17) | None => RowOther::NoPorts,
            Some(1 | 58) => RowOther::Icmp,
            Some(protocol) => RowOther::IpProtocol(protocol),
        },
    })
}

/// What the text says of the layers above, cut to a bound.
pub(super) fn note(account: &Account) -> String {
    let mut note = match (account.protocol.as_str(), account.info.as_str()) {
        ("", info) => info.to_owned(),
        (protocol, "") => protocol.to_owned(),
        (protocol, info) => format!("{protocol}: {info}"),
    };
    while note.len() > MOST_NOTE_BYTES {
        note.pop();
    }
    note
}

/// Whether it went to a group of hosts.
pub(super) fn to_group(account: &Account) -> bool {
    if account.link_group.is_some() {
        return account.link_group == Some(true);
    }
    match account.destination {
        Some(Address::Ip(IpAddr::V4(address))) =>
        // The text does not tell the mask, but hardly any host has this number.
        {
            address.is_multicast() || address.octets()[3] == 255
        }
        Some(Address::Ip(IpAddr::V6(address))) => address.is_multicast(),
        Some(Address::Name(_) | Address::Conversation(_)) | None => false,
    }
}

/// What Wireshark says of a SYN between ports that had one before.
pub(super) fn repeat(tags: &str) -> RowRepeat {
    if tags.contains("[TCP Port numbers reused]") {
        RowRepeat::Reused
    } else if tags.contains("Retransmission]") {
        RowRepeat::Retransmitted
    } else {
        RowRepeat::Unsaid
    }
}
