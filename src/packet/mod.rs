//! Frames in, packets out: what a frame says about a flow.
//!
//! [`decode`] takes the layers off a frame (with etherparse, which is named only here) and
//! gives the flow's key, who sent the packet, and its segment, datagram or ICMP error. What
//! holds no such packet is a [`Skipped`], which is counted by name.
//!
//! Where packets are wrapped in packets (a mirror port, an overlay network, a provider's line) the
//! innermost is the packet: its addresses, time to live and lengths count, and what it was wrapped
//! in is its [`Encapsulation`].
//!
//! Nothing is rejected for a wrong checksum: network cards fill them in after the capture
//! (offload). Lengths are lengths on the wire, whatever the snap length left of them.

mod encapsulation;
mod fast;
mod fragments;
mod link;
mod neighbours;
mod network;
mod row;
mod skipped;
mod transport;
mod tunnel;

pub use encapsulation::{Encapsulation, Layer, LayerKind};
pub use fragments::FragmentTable;
pub use neighbours::{NeighbourRecord, Neighbours};
pub use row::RowBytes;
pub use skipped::{Skipped, SkippedTally};
pub use transport::{Flags, Segment};

use etherparse::ether_type;

use crate::capture::{Frame, FrameNote, LinkType};
use crate::net::{Address, End, Endpoint, FlowKey, FrameNumber, SeqNumber, Timestamp};
use crate::packet::link::Stripped;
use crate::packet::network::Ip;
use crate::packet::transport::Content;

/// A packet of a flow, or an ICMP error about one.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Frame that holds it.
    pub frame: FrameNumber,
    /// When it was captured.
    pub time: Option<Timestamp>,
    /// Flow that it belongs to; for an ICMP error the flow that it quotes.
    pub key: FlowKey,
    /// Who sent it; for an ICMP error who sent the quoted packet.
    pub sender: End,
    /// Time to live or hop limit; 0 where a row of text does not tell it.
    pub ttl: u8,
    /// IPv4 identification; `None` in IPv6.
    pub ip_id: Option<u16>,
    /// What it is.
    pub body: Body,
    /// Captured part of the transport payload.
    pub payload: &'a [u8],
    /// Whether it went to a group of hosts, by its link or IP destination: broadcast, multicast.
    pub to_group: bool,
    /// What it was wrapped in.
    pub encapsulation: Encapsulation,
    /// The link addresses of its frame, the receiver's first; `None` where it was wrapped in
    /// another packet, or the link has no such addresses.
    pub link: Option<&'a [u8; 12]>,
    /// Whether the capturing machine sent it.
    pub heading: Heading,
    /// The row of text that it was read from; see [`Packet::row`].
    pub of_row: Option<RowBytes<'a>>,
    /// What the capture knows of its frame.
    pub note: Option<FrameNote>,
}

/// Which way a packet went, seen from the machine that captured it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Heading {
    /// Nothing tells it.
    #[default]
    Unknown,
    /// That machine sent it: the link header says so, or it was captured before its card had
    /// filled in a checksum.
    Leaving,
    /// It came for that machine, as the link header says.
    Arriving,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// A TCP segment.
    Segment(Segment),
    /// A TCP segment whose flags the snap length cut off; its ports are there.
    CutSegment,
    /// A UDP datagram.
    Datagram {
        /// Payload bytes on the wire.
        length: u32,
    },
    /// A later fragment of a segment or datagram: payload without a header.
    LaterFragment {
        /// Where it stands: of a segment its sequence number, of a datagram the bytes of payload
        /// before it.
        at: SeqNumber,
        /// Payload bytes on the wire.
        length: u32,
    },
    /// An ICMP error that quotes a packet of the flow.
    IcmpError(IcmpError),
}

/// An ICMP error about a packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Who sent the error.
    pub reporter: Address,
    /// ICMP type; `reporter` tells of which IP version.
    pub icmp_type: u8,
    /// ICMP code.
    pub code: u8,
    /// Sequence number of the quoted segment; `None` for UDP, or where the quote ends before it.
    pub quoted_seq: Option<SeqNumber>,
}

/// How many wrappings are taken off; an Ethernet frame in a tunnel counts twice. More of them are
/// made to keep a reader busy.
const DEPTH: usize = 16;

/// Decodes a frame: the innermost packet counts, what it is wrapped in is kept by name.
///
/// Pieces of IP packets are [`Skipped::Fragment`]: each means something only beside the others, so
/// a [`FragmentTable`] decodes them, in the order of the capture.
#[inline]
pub fn decode<'a>(frame: &Frame<'a>) -> Result<Packet<'a>, Skipped> {
    match fast::plain(frame) {
        Some(packet) => Ok(packet),
        None => decode_any(frame),
    }
}

/// As [`decode`], and puts the packet where it is to be: a packet is large, and here it is written
/// only once.
#[inline]
pub fn decode_to<'a>(frame: &Frame<'a>, put: impl FnOnce(Packet<'a>)) -> Result<(), Skipped> {
    match fast::plain(frame) {
        Some(packet) => put(packet),
        None => put(decode_any(frame)?),
    }
    Ok(())
}

/// Decodes a frame of any kind.
#[inline(never)]
fn decode_any<'a>(frame: &Frame<'a>) -> Result<Packet<'a>, Skipped> {
    if frame.link_type == LinkType::ROW {
        return row::decode(*frame);
    }
    decode_with(*frame, None)
}

/// What stands above an IP header.
enum Above<'a> {
    /// Another packet.
    Wrapped(Stripped<'a>),
    /// A transport's.
    Content(Content<'a>),
}

fn above<'a>(ip: &Ip<'a>, encapsulation: &mut Encapsulation) -> Result<Above<'a>, Skipped> {
    match tunnel::above_ip(ip, encapsulation)? {
        Some(inner) => Ok(Above::Wrapped(inner)),
        None => transport::content(ip).map(Above::Content),
    }
}

fn decode_with<'a>(
    frame: Frame<'a>,
    mut fragments: Option<&mut FragmentTable>,
) -> Result<Packet<'a>, Skipped> {
    let mut wrapped = link::strip(frame.link_type, frame.bytes)?;
    let (mut link, mut heading) = (wrapped.link, wrapped.heading);
    // Bytes that the snap length cut off the end of the frame.
    let mut cut = (frame.original_length as usize).saturating_sub(frame.bytes.len());
    let mut encapsulation = Encapsulation::default();
    for _ in 0..DEPTH {
        let ip = match wrapped.ether_type {
            ether_type::IPV4 => network::ipv4(wrapped.bytes, cut)?,
            ether_type::IPV6 => network::ipv6(wrapped.bytes, cut)?,
            _ => {
                if !tunnel::is_vlan(wrapped.ether_type) {
                    link = None;
                }
                wrapped = tunnel::above_link(wrapped, &mut encapsulation)?;
                continue;
            }
        };
        let above = match (ip.fragment, fragments.as_deref_mut()) {
            (None, _) => above(&ip, &mut encapsulation)?,
            (Some(_), None) => return Err(Skipped::Fragment),
            (Some(fragment), Some(table)) => {
                table.above(&ip, fragment, &frame, &mut encapsulation)?
            }
        };
        let content = match above {
            Above::Content(content) => content,
            Above::Wrapped(inner) => {
                wrapped = inner;
                cut = ip.cut();
                // The ends of a tunnel are others than those of what is inside.
                (link, heading) = (None, Heading::Unknown);
                continue;
            }
        };
        let Content { transport, source_port, destination_port, body, payload, quoted, unsummed } =
            content;
        if heading == Heading::Unknown && (ip.unsummed || unsummed) {
            heading = Heading::Leaving;
        }
        let (key, sender) = quoted.unwrap_or_else(|| {
            let source = Endpoint { address: ip.source.into(), port: source_port };
            let destination = Endpoint { address: ip.destination.into(), port: destination_port };
            FlowKey::of(transport, source, destination)
        });
        return Ok(Packet {
            frame: frame.number,
            time: frame.time,
            key,
            sender,
            ttl: ip.ttl,
            ip_id: ip.id,
            body,
            payload,
            to_group: wrapped.to_group || network::is_group(ip.destination),
            encapsulation,
            link,
            heading,
            of_row: None,
            note: frame.note,
        });
    }
    Err(Skipped::Tunnel("too deep"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Transport;
    use etherparse::{IpFragOffset, Ipv4Header, PacketBuilder};

    const A: [u8; 4] = [10, 0, 0, 5];
    const B: [u8; 4] = [10, 1, 0, 10];

    fn frame(link_type: LinkType, bytes: &[u8]) -> Frame<'_> {
        Frame {
            number: FrameNumber(7),
            time: None,
            link_type,
            bytes,
            original_length: u32::try_from(bytes.len()).unwrap(),
            note: None,
        }
    }

    /// A SYN over IPv4, without link header.
    fn syn(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(A, B, 128)
            .tcp(52702, 135, 1_000, 8192)
            .syn()
            .write(&mut bytes, payload)
            .unwrap();
        bytes
    }

    fn segment(packet: &Packet<'_>) -> Segment {
        let Body::Segment(segment) = packet.body else { panic!("{:?}", packet.body) };
        segment
    }

    #[test]
    fn vlan_tags_are_kept_outermost_first() {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .double_vlan(42.try_into().unwrap(), 7.try_into().unwrap())
            .ipv4(A, B, 128)
            .tcp(52702, 135, 1_000, 8192)
            .syn()
            .write(&mut bytes, &[])
            .unwrap();
        let packet = decode(&frame(LinkType::ETHERNET, &bytes)).unwrap();
        let layers: Vec<String> =
            packet.encapsulation.layers().map(|layer| layer.to_string()).collect();
        assert_eq!(layers, ["vlan 42", "vlan 7"]);
        assert_eq!(packet.key.endpoint(packet.sender).port, 52702);
        assert!(segment(&packet).flags.is_syn());
    }

    #[test]
    fn broadcasts_are_known_by_their_link_address() {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [0xff; 6])
            .ipv4(A, [10, 0, 0, 255], 128)
            .udp(137, 137)
            .write(&mut bytes, &[0; 50])
            .unwrap();
        let packet = decode(&frame(LinkType::ETHERNET, &bytes)).unwrap();
        assert!(packet.to_group);
        assert_eq!(packet.body, Body::Datagram { length: 50 });
        assert!(!decode(&frame(LinkType::RAW, &syn(&[]))).unwrap().to_group);
    }

    #[test]
    fn lengths_are_those_of_the_wire() {
        let whole = syn(&[0; 500]);
        // Cut by the snap length: the IP header tells.
        let cut = Frame { original_length: 540, ..frame(LinkType::RAW, &whole[..60]) };
        let packet = decode(&cut).unwrap();
        assert_eq!((segment(&packet).length, packet.payload.len()), (500, 20));
        // Large send offload: a total length of 0, and only the frame tells.
        let mut large = whole.clone();
        large[2..4].copy_from_slice(&[0, 0]);
        assert_eq!(segment(&decode(&frame(LinkType::RAW, &large)).unwrap()).length, 500);
        let cut_large = Frame { original_length: 540, ..frame(LinkType::RAW, &large[..60]) };
        assert_eq!(segment(&decode(&cut_large).unwrap()).length, 500);
        // Ethernet pads short frames: what follows the IP packet is no payload.
        let padded = [&syn(&[])[..], &[0; 6]].concat();
        assert_eq!(segment(&decode(&frame(LinkType::RAW, &padded)).unwrap()).length, 0);
    }

    #[test]
    fn a_tcp_header_cut_by_the_snap_length_is_read_as_far_as_it_goes() {
        let whole = syn(&[]);
        // (bytes, what is known)
        let window_cut = decode(&frame(LinkType::RAW, &whole[..34])).unwrap();
        assert!(segment(&window_cut).flags.is_syn());
        assert_eq!(segment(&window_cut).window, 0);
        let flags_cut = decode(&frame(LinkType::RAW, &whole[..33])).unwrap();
        assert_eq!(flags_cut.body, Body::CutSegment);
        assert_eq!(flags_cut.key.endpoint(flags_cut.sender.opposite()).port, 135);
        let ports_cut = decode(&frame(LinkType::RAW, &whole[..23]));
        assert_eq!(ports_cut.unwrap_err(), Skipped::PortsCut);
    }

    #[test]
    fn fragments_are_left_to_the_table_of_them() {
        let mut first = syn(&[0; 100]);
        first[6] = 0x20; // more fragments
        assert_eq!(decode(&frame(LinkType::RAW, &first)).unwrap_err(), Skipped::Fragment);
        let mut header = Ipv4Header::new(40, 64, etherparse::ip_number::TCP, A, B).unwrap();
        header.fragment_offset = IpFragOffset::try_new(10).unwrap();
        let later = [header.to_bytes().to_vec(), vec![0; 40]].concat();
        assert_eq!(decode(&frame(LinkType::RAW, &later)).unwrap_err(), Skipped::Fragment);
    }

    #[test]
    fn an_icmp_error_belongs_to_the_flow_that_it_quotes() {
        let syn = syn(&[]);
        for quoted in [28, syn.len()] {
            let mut bytes = Vec::new();
            PacketBuilder::ipv4([10, 0, 0, 1], A, 64)
                .icmpv4_raw(3, 13, [0; 4])
                .write(&mut bytes, &syn[..quoted])
                .unwrap();
            let packet = decode(&frame(LinkType::RAW, &bytes)).unwrap();
            let expected = IcmpError {
                reporter: "10.0.0.1".parse().unwrap(),
                icmp_type: 3,
                code: 13,
                quoted_seq: Some(SeqNumber(1_000)),
            };
            assert_eq!(packet.body, Body::IcmpError(expected), "{quoted} bytes quoted");
            let syn = decode(&frame(LinkType::RAW, &syn)).unwrap();
            assert_eq!((packet.key, packet.sender), (syn.key, syn.sender));
        }
    }

    #[test]
    fn an_icmpv6_error_belongs_to_the_flow_that_it_quotes() {
        let (a, b) = ([0x20; 16], [0x30; 16]);
        let mut request = Vec::new();
        PacketBuilder::ipv6(a, b, 64).udp(50_000, 53).write(&mut request, &[0; 30]).unwrap();
        let mut bytes = Vec::new();
        PacketBuilder::ipv6(b, a, 64).icmpv6_raw(1, 4, [0; 4]).write(&mut bytes, &request).unwrap();
        let packet = decode(&frame(LinkType::RAW, &bytes)).unwrap();
        assert_eq!(packet.key.transport(), Transport::Udp);
        assert_eq!(packet.key.endpoint(packet.sender).port, 50_000);
    }

    #[test]
    fn an_echo_request_is_no_packet_of_a_flow() {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(A, B, 64).icmpv4_echo_request(1, 1).write(&mut bytes, &[]).unwrap();
        assert_eq!(decode(&frame(LinkType::RAW, &bytes)).unwrap_err(), Skipped::Icmp);
    }

    #[test]
    fn ipv6_extension_headers_are_taken_off() {
        let mut bytes = Vec::new();
        PacketBuilder::ipv6([0x20; 16], [0x30; 16], 64)
            .tcp(52702, 135, 1_000, 8192)
            .syn()
            .write(&mut bytes, &[])
            .unwrap();
        // Hop-by-hop options (RFC 8200 4.3): next header, length 0 (8 bytes), a PadN option.
        let options = [bytes[6], 0, 1, 4, 0, 0, 0, 0];
        bytes[6] = 0;
        bytes[5] += 8;
        bytes.splice(40..40, options);
        let packet = decode(&frame(LinkType::RAW, &bytes)).unwrap();
        assert!(segment(&packet).flags.is_syn());
        assert_eq!(segment(&packet).length, 0);
    }

    #[test]
    fn ipv6_extension_headers_may_be_cut_off_anywhere() {
        let mut bytes = Vec::new();
        PacketBuilder::ipv6([0x20; 16], [0x30; 16], 64)
            .udp(50_000, 53)
            .write(&mut bytes, &[0; 16])
            .unwrap();
        let udp = std::mem::replace(&mut bytes[6], 0);
        // Hop-by-hop options, destination options and a fragment header (RFC 8200 4.3, 4.6, 4.5).
        let headers = |offset: u8| {
            let options = [1, 4, 0, 0, 0, 0];
            let hop_by_hop = [&[60, 0], &options[..]].concat();
            let destination = [&[44, 0], &options[..]].concat();
            [hop_by_hop, destination, vec![udp, 0, 0, offset << 3 | 1, 0, 0, 0, 9]].concat()
        };
        bytes[5] += 24;
        for (offset, whole) in [(0, Some(53)), (2, None)] {
            let mut bytes = bytes.clone();
            bytes.splice(40..40, headers(offset));
            let original_length = u32::try_from(bytes.len()).unwrap();
            let port_at = |end| {
                let cut = Frame { original_length, ..frame(LinkType::RAW, &bytes[..end]) };
                let packet = decode(&cut).ok().or_else(|| FragmentTable::default().decode(cut));
                packet.map(|packet| packet.key.endpoint(packet.sender.opposite()).port)
            };
            for end in 0..bytes.len() {
                let found = port_at(end);
                assert!(found.is_none() || found == whole, "cut at {end}: {found:?}");
            }
            assert_eq!(port_at(bytes.len()), whole);
        }
    }
}
