//! Rows of text: what they tell, as packets.
//!
//! A row has no bytes of the packet, so there is no payload to look at. What it does not tell is
//! filled in with what does least harm, and [`Packet::row`] says what it was.

use crate::capture::{Frame, LinkType, Row, RowContent, RowOther};
use crate::net::{SeqNumber, Transport};
use crate::packet::network;
use crate::packet::skipped::Skipped;
use crate::packet::transport::{Flags, Segment};
use crate::packet::{Body, Encapsulation, Heading, IcmpError, Packet};

/// The bytes of the row that a packet was read from.
#[derive(Clone, Copy, Debug)]
pub struct RowBytes<'a>(&'a [u8]);

impl<'a> RowBytes<'a> {
    /// What the text says of the layers above.
    pub(crate) fn note(self) -> &'a str {
        Row::read(self.0).map_or("", |row| row.note)
    }
}

impl<'a> Packet<'a> {
    /// The row that it was read from; `None` where it was read from a frame's bytes.
    pub fn row(&self) -> Option<Row<'a>> {
        Row::read(self.of_row?.0)
    }
}

/// Decodes a frame of [`LinkType::ROW`].
pub(super) fn decode(frame: Frame<'_>) -> Result<Packet<'_>, Skipped> {
    let row = Row::read(frame.bytes).ok_or(Skipped::Broken("row"))?;
    let (path, transport, body) = match row.content {
        RowContent::Segment { path, segment } => {
            let body = Body::Segment(Segment {
                seq: SeqNumber(segment.seq.value()),
                ack: SeqNumber(segment.ack.value()),
                flags: Flags(segment.flags),
                window: segment.window.unwrap_or_default(),
                length: segment.length,
            });
            (path, Transport::Tcp, body)
        }
        RowContent::Datagram { path, length } => (path, Transport::Udp, Body::Datagram { length }),
        RowContent::IcmpError { reporter, icmp_type, code, transport, quoted, quoted_seq } => {
            let error = IcmpError { reporter, icmp_type, code, quoted_seq };
            (quoted, transport, Body::IcmpError(error))
        }
        RowContent::Other(other) => {
            return Err(match other {
                RowOther::Arp => Skipped::Arp,
                RowOther::Icmp => Skipped::Icmp,
                RowOther::IpProtocol(number) => Skipped::IpProtocol(number),
                RowOther::EtherType(number) => Skipped::EtherType(number),
                RowOther::NoPorts => Skipped::RowWithoutPorts,
                RowOther::NoTraffic => Skipped::NoTraffic(LinkType::ROW),
            });
        }
    };
    let (key, sender) = path.key(transport);
    let to = key.endpoint(sender.opposite()).address.ip();
    Ok(Packet {
        frame: frame.number,
        time: frame.time,
        key,
        sender,
        // No packet on its way has 0.
        ttl: row.ttl.unwrap_or_default(),
        ip_id: row.ip_id,
        body,
        payload: &[],
        to_group: row.to_group || to.is_some_and(network::is_group),
        encapsulation: Encapsulation::default(),
        link: None,
        heading: Heading::Unknown,
        of_row: Some(RowBytes(frame.bytes)),
        note: frame.note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{RowNumber, RowPath, RowRepeat, RowSegment};
    use crate::net::{Endpoint, FrameNumber};

    fn path() -> RowPath {
        RowPath {
            source: Endpoint { address: "CAS".parse().unwrap(), port: 52702 },
            destination: Endpoint { address: "10.1.0.10".parse().unwrap(), port: 135 },
            conversation: Some(14),
        }
    }

    fn row(content: RowContent) -> Row<'static> {
        Row {
            number: Some(FrameNumber(101)),
            line: 7,
            time: None,
            ttl: None,
            ip_id: None,
            wire_length: None,
            to_group: false,
            content,
            note: "a note",
        }
    }

    fn decoded<T>(content: RowContent, look: impl FnOnce(Result<Packet<'_>, Skipped>) -> T) -> T {
        let mut bytes = Vec::new();
        row(content).write(&mut bytes);
        look(decode(Frame {
            number: FrameNumber(3),
            time: None,
            link_type: LinkType::ROW,
            bytes: &bytes,
            original_length: 66,
            note: None,
        }))
    }

    #[test]
    fn a_row_becomes_the_packet_that_it_tells_of() {
        let segment = RowSegment {
            flags: 2,
            seq: RowNumber::Wire(1_000),
            ack: RowNumber::Wire(0),
            window: None,
            length: 0,
            repeat: RowRepeat::Unsaid,
        };
        decoded(RowContent::Segment { path: path(), segment }, |packet| {
            let packet = packet.unwrap();
            let Body::Segment(read) = packet.body else { panic!("{:?}", packet.body) };
            assert!(read.flags.is_syn());
            assert_eq!(read.seq, SeqNumber(1_000));
            assert_eq!(packet.key.endpoint(packet.sender), path().source);
            assert_eq!(packet.frame, FrameNumber(3));
            let row = packet.row().unwrap();
            assert_eq!((row.line, row.note), (7, "a note"));
        });
    }

    #[test]
    fn conversations_without_ports_are_told_apart_by_their_number() {
        let key = |port, conversation| {
            let mut path = RowPath { conversation, ..path() };
            path.source.port = port;
            decoded(RowContent::Datagram { path, length: 0 }, |packet| packet.unwrap().key)
        };
        assert_ne!(key(0, Some(69)), key(0, Some(70)));
        assert_eq!(key(50_000, Some(69)), key(50_000, Some(70)));
    }

    #[test]
    fn an_icmp_error_in_a_row_belongs_to_the_flow_that_it_quotes() {
        let content = RowContent::IcmpError {
            reporter: "10.0.0.1".parse().unwrap(),
            icmp_type: 3,
            code: 13,
            transport: Transport::Tcp,
            quoted: path(),
            quoted_seq: None,
        };
        decoded(content, |packet| {
            let packet = packet.unwrap();
            assert!(matches!(packet.body, Body::IcmpError(IcmpError { code: 13, .. })));
            assert_eq!(packet.key, path().key(Transport::Tcp).0);
        });
    }

    #[test]
    fn rows_of_other_protocols_are_counted_by_name() {
        for (other, expected) in [
            (RowOther::Arp, "ARP"),
            (RowOther::NoPorts, "rows that tell no ports"),
            (RowOther::IpProtocol(89), "OSPF (IP protocol 89)"),
        ] {
            decoded(RowContent::Other(other), |packet| {
                assert_eq!(packet.unwrap_err().to_string(), expected);
            });
        }
    }
}
