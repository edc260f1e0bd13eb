//! What packets keep of TCP, UDP and ICMP.
//!
//! etherparse reads whole headers. Headers that are cut off (by the snap length, at the end of
//! an ICMP quote, in a first fragment) are read here, as far as they go.

use std::net::IpAddr;

use etherparse::{Icmpv4Slice, Icmpv6Slice, IpNumber, TcpSlice, ip_number};

use crate::net::{End, Endpoint, FlowKey, SeqNumber, Transport};
use crate::packet::network::{self, Ip};
use crate::packet::skipped::Skipped;
use crate::packet::{Body, IcmpError};

/// Flags of a TCP segment, RFC 9293 3.1 and RFC 3168.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgment number is significant.
    pub const ACK: u8 = 0x10;

    /// Whether any of these is set.
    #[inline]
    pub fn has(self, flags: u8) -> bool {
        self.0 & flags != 0
    }

    /// Opens a connection: SYN without ACK, whatever else is set. SYNs that offer ECN carry CWR
    /// and ECE too (RFC 3168 6.1.1), so flags must never be compared with 2.
    #[inline]
    pub fn is_syn(self) -> bool {
        self.has(Flags::SYN) && !self.has(Flags::ACK)
    }

    /// Accepts a connection: SYN and ACK.
    #[inline]
    pub fn is_syn_ack(self) -> bool {
        self.has(Flags::SYN) && self.has(Flags::ACK)
    }
}

/// A TCP segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number.
    pub seq: SeqNumber,
    /// Acknowledgment number, meaningful with the ACK flag.
    pub ack: SeqNumber,
    /// Flags.
    pub flags: Flags,
    /// Window, not scaled.
    pub window: u16,
    /// Payload bytes on the wire.
    pub length: u32,
}

/// What stands above an IP header.
pub(super) struct Content<'a> {
    pub(super) transport: Transport,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) body: Body,
    pub(super) payload: &'a [u8],
    /// The flow that an ICMP error quotes, and who sent the quoted packet.
    pub(super) quoted: Option<(FlowKey, End)>,
    /// Its checksum is to be filled in by the card that sends it.
    pub(super) unsummed: bool,
}

impl Content<'_> {
    /// The same without payload, which may then come from elsewhere.
    pub(super) fn without_payload<'b>(self) -> Content<'b> {
        Content { payload: &[], ..self }
    }
}

/// Reads what stands above an IP header.
pub(super) fn content<'a>(ip: &Ip<'a>) -> Result<Content<'a>, Skipped> {
    let broken = Skipped::Broken("ICMP");
    match ip.protocol {
        ip_number::TCP => match TcpSlice::from_slice(ip.payload) {
            Ok(tcp) => Ok(whole_segment(ip, &tcp)),
            Err(_) => cut_segment(ip),
        },
        ip_number::UDP => datagram(ip),
        ip_number::ICMP => {
            let icmp = Icmpv4Slice::from_slice(ip.payload).map_err(|_| broken)?;
            icmp_error(ip, icmp.type_u8(), icmp.code_u8(), icmp.payload())
        }
        ip_number::IPV6_ICMP => {
            let icmp = Icmpv6Slice::from_slice(ip.payload).map_err(|_| broken)?;
            icmp_error(ip, icmp.type_u8(), icmp.code_u8(), icmp.payload())
        }
        IpNumber(other) => Err(Skipped::IpProtocol(other)),
    }
}

fn whole_segment<'a>(ip: &Ip<'a>, tcp: &TcpSlice<'a>) -> Content<'a> {
    let header = tcp.header_slice();
    Content {
        transport: Transport::Tcp,
        source_port: tcp.source_port(),
        destination_port: tcp.destination_port(),
        body: Body::Segment(Segment {
            seq: SeqNumber(tcp.sequence_number()),
            ack: SeqNumber(tcp.acknowledgment_number()),
            flags: Flags(header.get(13).copied().unwrap_or_default()),
            window: tcp.window_size(),
            length: length_above(ip, header.len()),
        }),
        payload: tcp.payload(),
        quoted: None,
        unsummed: is_unsummed(ip, tcp),
    }
}

/// Whether a SYN has for a checksum only the sum of what its card does not know, which leaves the
/// rest to it (RFC 9293 3.1 has the pseudo-header). Others are not looked at, for speed.
fn is_unsummed(ip: &Ip<'_>, tcp: &TcpSlice<'_>) -> bool {
    if !tcp.syn() {
        return false;
    }
    let words = |bytes: &[u8]| -> u32 {
        bytes.as_chunks().0.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum()
    };
    let of = |address: IpAddr| match address {
        IpAddr::V4(address) => words(&address.octets()),
        IpAddr::V6(address) => words(&address.octets()),
    };
    let Ok(length) = u16::try_from(ip.length) else { return false };
    let sum = of(ip.source) + of(ip.destination) + 6 + u32::from(length);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    u32::from(tcp.checksum()) == folded
}

/// Length on the wire of what follows a header of `header` bytes.
fn length_above(ip: &Ip<'_>, header: usize) -> u32 {
    u32::try_from(ip.length.saturating_sub(header)).unwrap_or(u32::MAX)
}

/// A TCP header that is cut off, or whose length field is wrong.
fn cut_segment<'a>(ip: &Ip<'a>) -> Result<Content<'a>, Skipped> {
    let (source_port, destination_port) = ports(ip.payload).ok_or(Skipped::PortsCut)?;
    let body = match ip.payload.first_chunk::<14>() {
        Some(&[_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags]) => {
            let header = usize::from(offset >> 4) * 4;
            Body::Segment(Segment {
                seq: SeqNumber(u32::from_be_bytes([s0, s1, s2, s3])),
                ack: SeqNumber(u32::from_be_bytes([a0, a1, a2, a3])),
                flags: Flags(flags),
                window: match ip.payload.get(14..16) {
                    Some(&[high, low]) => u16::from_be_bytes([high, low]),
                    _ => 0,
                },
                // A length field below the least (5 words) or past the packet says nothing
                // about the payload.
                length: if header < 20 { 0 } else { length_above(ip, header) },
            })
        }
        None => Body::CutSegment,
    };
    Ok(Content {
        transport: Transport::Tcp,
        source_port,
        destination_port,
        body,
        payload: &[],
        quoted: None,
        unsummed: false,
    })
}

/// UDP, whole or cut off. Its length field is believed where it fits in the packet (RFC 768);
/// 0 is what large sends write.
fn datagram<'a>(ip: &Ip<'a>) -> Result<Content<'a>, Skipped> {
    let (source_port, destination_port) = ports(ip.payload).ok_or(Skipped::PortsCut)?;
    let declared = match ip.payload.get(4..6) {
        Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let total = if (8..=ip.length).contains(&declared) { declared } else { ip.length };
    let payload = ip.payload.get(8..).unwrap_or_default();
    let length = total.saturating_sub(8);
    Ok(Content {
        transport: Transport::Udp,
        source_port,
        destination_port,
        body: Body::Datagram { length: u32::try_from(length).unwrap_or(u32::MAX) },
        payload: payload.get(..length).unwrap_or(payload),
        quoted: None,
        unsummed: false,
    })
}

fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let [s0, s1, d0, d1] = *bytes.first_chunk()?;
    Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
}

/// An ICMP error and the packet that it quotes: its IP header and at least eight bytes more (RFC
/// 792), which for TCP are the ports and the sequence number.
fn icmp_error<'a>(
    ip: &Ip<'a>,
    icmp_type: u8,
    code: u8,
    quote: &'a [u8],
) -> Result<Content<'a>, Skipped> {
    let is_error = match ip.protocol {
        // Destination unreachable, source quench, redirect, time exceeded, parameter problem.
        ip_number::ICMP => matches!(icmp_type, 3 | 4 | 5 | 11 | 12),
        // In ICMPv6 the types below 128 are the errors (RFC 4443 2.1).
        _ => icmp_type < 128,
    };
    if !is_error {
        return Err(Skipped::Icmp);
    }
    let broken = Skipped::Broken("ICMP quote");
    let inner = network::either(quote, 0).map_err(|_| broken)?;
    if inner.fragment.is_some_and(|fragment| fragment.offset != 0) {
        return Err(broken);
    }
    let transport = match inner.protocol {
        ip_number::TCP => Transport::Tcp,
        ip_number::UDP => Transport::Udp,
        _ => return Err(Skipped::Icmp),
    };
    let (source_port, destination_port) = ports(inner.payload).ok_or(broken)?;
    let quoted_seq = match (transport, inner.payload.get(4..8)) {
        (Transport::Tcp, Some(&[s0, s1, s2, s3])) => {
            Some(SeqNumber(u32::from_be_bytes([s0, s1, s2, s3])))
        }
        _ => None,
    };
    let source = Endpoint { address: inner.source.into(), port: source_port };
    let destination = Endpoint { address: inner.destination.into(), port: destination_port };
    Ok(Content {
        transport,
        source_port,
        destination_port,
        body: Body::IcmpError(IcmpError {
            reporter: ip.source.into(),
            icmp_type,
            code,
            quoted_seq,
        }),
        payload: &[],
        quoted: Some(FlowKey::of(transport, source, destination)),
        unsummed: false,
    })
}
