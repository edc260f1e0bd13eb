//! Brings the fragments of IP packets to the flows that only the first of each can name.
//!
//! Fragments must come in the order of the capture. From the one with the ports on, each is a
//! packet of its flow with its own bytes; those that came before are counted with it. Nothing is
//! put together but headers that were cut up themselves, as nobody but a scanner does, so the table
//! holds no payload: it is bounded in packets, and what waits is forgotten after a minute.
//!
//! A fragment that has the ports counts even where the rest of its packet never comes. No host
//! takes such a packet, but it was sent, and an attempt to talk is what a flow is.
//!
//! Where fragments overlap, those that came first are believed. An IPv6 host takes none of them (RFC
//! 5722); for us they were sent all the same.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use etherparse::{IpNumber, ip_number};
use foldhash::fast::FixedState;

use crate::capture::Frame;
use crate::net::{FrameNumber, SeqNumber, Timestamp, Transport};
use crate::packet::encapsulation::Encapsulation;
use crate::packet::network::{Fragment, Ip};
use crate::packet::skipped::{Skipped, SkippedTally};
use crate::packet::transport::{Content, Flags, content};
use crate::packet::{Above, Body, Packet, decode_with};

/// Packets in pieces that are remembered.
const MOST_PACKETS: usize = 4_096;

/// Fragments of one packet that may come before the one with its header; 64 KiB on Ethernet are 45.
const MOST_EARLY: usize = 64;

/// Nanoseconds that a packet may take to arrive (RFC 8200 4.5).
const LIFETIME: i64 = 60_000_000_000;

/// Bytes that are kept of a header in pieces: the longest TCP header, and what makes them fit into
/// the bits of a number.
const MOST_HEADER: usize = 64;

/// What is known of packets that came in pieces.
#[derive(Debug, Default)]
pub struct FragmentTable {
    packets: HashMap<Key, Entry, FixedState>,
    /// Packets by age, with their birth: one that began anew stands here again.
    ages: VecDeque<(Key, u64)>,
    births: u64,
    skipped: SkippedTally,
}

/// What the pieces of a packet have in common (RFC 791 3.2, RFC 8200 4.5).
///
/// Not what they are wrapped in: the pieces of a packet that was captured on both sides of a tunnel
/// are copies, and found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    protocol: u8,
}

#[derive(Debug)]
struct Entry {
    birth: u64,
    since: Option<Timestamp>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The header is not there yet.
    Waiting(Box<Early>),
    /// What becomes of the pieces that are still to come.
    Known(Later),
}

/// The pieces that came before the header was there.
#[derive(Debug)]
struct Early {
    /// The first bytes, and which of them came.
    header: [u8; MOST_HEADER],
    known: u64,
    /// Offset and length of each, copies left out.
    pieces: Vec<(usize, usize)>,
    frames: u64,
    first_frame: FrameNumber,
}

/// What becomes of later fragments.
#[derive(Clone, Copy, Debug)]
enum Later {
    /// They belong to a flow.
    Flow {
        transport: Transport,
        source_port: u16,
        destination_port: u16,
        /// Where the payload begins: its sequence number.
        begins_at: SeqNumber,
        /// Bytes of headers before it.
        headers: usize,
    },
    /// They are counted as nothing but this.
    Skipped(Skipped),
}

impl FragmentTable {
    /// Decodes a frame that [`decode`](crate::packet::decode) calls a [`Skipped::Fragment`]. Gives
    /// `None` where it holds no packet of a flow, or not yet.
    pub fn decode<'a>(&mut self, frame: Frame<'a>) -> Option<Packet<'a>> {
        match decode_with(frame, Some(self)) {
            Ok(packet) => Some(packet),
            // It waits, and is counted when it is clear what for.
            Err(Skipped::Fragment) => None,
            Err(reason) => {
                self.skipped.count(reason, frame.number);
                None
            }
        }
    }

    /// The frames that hold no packet of a flow, at the end of the capture.
    pub fn into_skipped(mut self) -> SkippedTally {
        while let Some((key, birth)) = self.ages.pop_front() {
            self.forget(&key, birth, Skipped::HeadlessFragment);
        }
        self.skipped
    }

    /// What stands above the header of a fragment.
    pub(super) fn above<'a>(
        &mut self,
        ip: &Ip<'a>,
        fragment: Fragment,
        frame: &Frame<'_>,
        layers: &mut Encapsulation,
    ) -> Result<Above<'a>, Skipped> {
        let key = Key {
            source: ip.source,
            destination: ip.destination,
            id: fragment.id,
            protocol: fragment.protocol,
        };
        self.forget_outlived(&key, frame.time);
        let enough = enough_header(ip.protocol);
        // Headers behind those of extensions are not put together: nothing sends such pieces.
        if fragment.offset == 0 && (ip.length >= enough || fragment.lead > 0) {
            let early = self.early(&key).map_or(0, Early::length);
            let all = Ip { length: ip.length.saturating_add(early), ..*ip };
            let above = super::above(&all, layers);
            let headers = fragment.lead + header_length(ip.protocol, ip.payload);
            self.know(key, frame.time, Later::after(&above, headers));
            return above;
        }
        if let Some(Entry { state: State::Known(later), .. }) = self.packets.get(&key) {
            return later.content(ip, fragment.offset).map(Above::Content);
        }
        let Some(early) = self.wait(key, frame) else { return Err(Skipped::HeadlessFragment) };
        early.add(fragment.offset, ip);
        let Some(header) = early.header(enough) else {
            early.frames += 1;
            return Err(Skipped::Fragment);
        };
        let headers = header_length(ip.protocol, header);
        let whole = Ip { payload: header, length: early.length(), ..*ip };
        let found = content(&whole).map(|found| {
            let payload = match headers.checked_sub(fragment.offset) {
                Some(inside) => ip.payload.get(inside..).unwrap_or_default(),
                None => &[],
            };
            Above::Content(Content { payload, ..found.without_payload() })
        });
        self.know(key, frame.time, Later::after(&found, headers));
        found
    }

    fn early(&self, key: &Key) -> Option<&Early> {
        match &self.packets.get(key)?.state {
            State::Waiting(early) => Some(early),
            State::Known(_) => None,
        }
    }

    /// The place of a piece whose header is not there yet.
    fn wait(&mut self, key: Key, frame: &Frame<'_>) -> Option<&mut Early> {
        if self.early(&key).is_none() {
            let early = Box::new(Early {
                header: [0; MOST_HEADER],
                known: 0,
                pieces: Vec::new(),
                frames: 0,
                first_frame: frame.number,
            });
            self.begin(key, frame.time, State::Waiting(early));
        }
        match &mut self.packets.get_mut(&key)?.state {
            State::Waiting(early) => Some(early),
            State::Known(_) => None,
        }
    }

    /// Remembers what becomes of the pieces still to come. A first fragment that comes again may
    /// belong to a new packet with an old identification, so the last one counts.
    fn know(&mut self, key: Key, now: Option<Timestamp>, later: Later) {
        if let Some(birth) = self.packets.get(&key).map(|entry| entry.birth) {
            self.forget(&key, birth, Skipped::EarlyFragment);
        }
        self.begin(key, now, State::Known(later));
    }

    fn begin(&mut self, key: Key, since: Option<Timestamp>, state: State) {
        self.births += 1;
        let birth = self.births;
        self.packets.insert(key, Entry { birth, since, state });
        self.ages.push_back((key, birth));
        while self.ages.len() > MOST_PACKETS
            && let Some((oldest, birth)) = self.ages.pop_front()
        {
            self.forget(&oldest, birth, Skipped::FragmentGivenUp);
        }
    }

    fn forget_outlived(&mut self, key: &Key, now: Option<Timestamp>) {
        if let Some(Entry { birth, since: Some(since), .. }) = self.packets.get(key)
            && now.is_some_and(|now| now.since(*since) > LIFETIME)
        {
            self.forget(key, *birth, Skipped::HeadlessFragment);
        }
    }

    /// Forgets a packet, if it is still the one that was born then. What waits in it is counted.
    fn forget(&mut self, key: &Key, birth: u64, reason: Skipped) {
        if self.packets.get(key).is_some_and(|entry| entry.birth == birth)
            && let Some(Entry { state: State::Waiting(early), .. }) = self.packets.remove(key)
            && early.frames > 0
        {
            self.skipped.add(reason, early.frames, early.first_frame);
        }
    }
}

/// Bytes of a transport header that say what the flow needs: TCP's up to the window, all of UDP's.
/// Others are taken as they come.
fn enough_header(protocol: IpNumber) -> usize {
    match protocol {
        ip_number::TCP => 16,
        ip_number::UDP => 8,
        _ => 0,
    }
}

/// Bytes of a transport header, by what it says itself, and at least its fixed part.
fn header_length(protocol: IpNumber, header: &[u8]) -> usize {
    match protocol {
        ip_number::TCP => header.get(12).map_or(20, |offset| usize::from(offset >> 4) * 4).max(20),
        ip_number::UDP => 8,
        _ => 0,
    }
}

impl Early {
    /// Takes a piece into account.
    fn add(&mut self, offset: usize, ip: &Ip<'_>) {
        let piece = (offset, ip.length);
        if self.pieces.len() < MOST_EARLY && !self.pieces.contains(&piece) {
            self.pieces.push(piece);
        }
        let places = self.header.iter_mut().enumerate().skip(offset);
        for ((place, byte), &new) in places.zip(ip.payload) {
            let bit = 1 << place;
            if self.known & bit == 0 {
                self.known |= bit;
                *byte = new;
            }
        }
    }

    /// The header, as far as it came, if at least `enough` bytes of it did.
    fn header(&self, enough: usize) -> Option<&[u8]> {
        let came = self.known.trailing_ones() as usize;
        self.header.get(..came).filter(|_| enough > 0 && came >= enough)
    }

    /// Bytes of all pieces.
    fn length(&self) -> usize {
        self.pieces.iter().fold(0, |sum, (_, length)| sum.saturating_add(*length))
    }
}

impl Later {
    /// What follows from the first fragment, behind whose `headers` bytes the payload stands.
    fn after(first: &Result<Above<'_>, Skipped>, headers: usize) -> Later {
        let found = match first {
            Ok(Above::Content(content)) => content,
            // The packet inside says itself how long it is.
            Ok(Above::Wrapped(_)) | Err(Skipped::Fragment) => {
                return Later::Skipped(Skipped::LaterFragment);
            }
            Err(reason) => return Later::Skipped(*reason),
        };
        let begins_at = match found.body {
            Body::Segment(segment) => segment.seq.plus(u32::from(segment.flags.has(Flags::SYN))),
            Body::Datagram { .. } => SeqNumber(0),
            Body::CutSegment | Body::IcmpError(_) | Body::LaterFragment { .. } => {
                return Later::Skipped(Skipped::LaterFragment);
            }
        };
        Later::Flow {
            transport: found.transport,
            source_port: found.source_port,
            destination_port: found.destination_port,
            begins_at,
            headers,
        }
    }

    /// What a later fragment holds, which stands at `offset` in its packet.
    fn content<'a>(&self, ip: &Ip<'a>, offset: usize) -> Result<Content<'a>, Skipped> {
        let (transport, source_port, destination_port, begins_at, headers) = match *self {
            Later::Skipped(reason) => return Err(reason),
            Later::Flow { transport, source_port, destination_port, begins_at, headers } => {
                (transport, source_port, destination_port, begins_at, headers)
            }
        };
        // Options of TCP may reach into it.
        let of_header = headers.saturating_sub(offset).min(ip.length);
        let before = offset.saturating_sub(headers);
        Ok(Content {
            transport,
            source_port,
            destination_port,
            body: Body::LaterFragment {
                at: begins_at.plus(u32::try_from(before).unwrap_or_default()),
                length: u32::try_from(ip.length - of_header).unwrap_or(u32::MAX),
            },
            payload: ip.payload.get(of_header..).unwrap_or_default(),
            quoted: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::LinkType;
    use crate::packet::decode;
    use etherparse::PacketBuilder;

    const A: [u8; 4] = [10, 0, 0, 5];
    const B: [u8; 4] = [10, 1, 0, 10];

    /// 1,000 bytes of payload from port 52702 to 135, from sequence number 5,000 on.
    fn segment() -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(A, B, 128)
            .tcp(52702, 135, 5_000, 8192)
            .ack(7_000)
            .write(&mut bytes, &[7; 1_000])
            .unwrap();
        bytes
    }

    fn datagram() -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(A, B, 128).udp(50_000, 88).write(&mut bytes, &[7; 1_000]).unwrap();
        bytes
    }

    /// Cuts an IPv4 packet up behind so many bytes above its header, multiples of eight.
    fn cut(packet: &[u8], behind: &[usize]) -> Vec<Vec<u8>> {
        let (header, rest) = packet.split_at(20);
        let begins = [&[0], behind].concat();
        let ends = [behind, &[rest.len()]].concat();
        let piece = |(begin, end): (usize, usize)| {
            let mut piece = [header, &rest[begin..end]].concat();
            let length = u16::try_from(piece.len()).unwrap();
            piece[2..4].copy_from_slice(&length.to_be_bytes());
            let more = if end < rest.len() { 0x2000 } else { 0 };
            let field = u16::try_from(begin / 8).unwrap() | more;
            piece[6..8].copy_from_slice(&field.to_be_bytes());
            piece
        };
        begins.into_iter().zip(ends).map(piece).collect()
    }

    fn frame(number: u64, second: i128, bytes: &[u8]) -> Frame<'_> {
        Frame {
            number: FrameNumber(number),
            time: Timestamp::from_nanoseconds(second * 1_000_000_000),
            link_type: LinkType::RAW,
            bytes,
            original_length: u32::try_from(bytes.len()).unwrap(),
        }
    }

    /// Frame, body and captured payload of each packet that comes out, and what was skipped.
    type Told = (Vec<(u64, Body, usize)>, Vec<(Skipped, u64, u64)>);

    /// Gives the frames to a table at the seconds told.
    fn told(frames: &[(i128, &[u8])]) -> Told {
        let mut table = FragmentTable::default();
        let mut packets = Vec::new();
        for (number, (second, bytes)) in (1..).zip(frames) {
            let frame = frame(number, *second, bytes);
            assert_eq!(decode(frame).unwrap_err(), Skipped::Fragment);
            let packet = table.decode(frame);
            packets.extend(packet.map(|it| {
                let from = it.key.endpoint(it.sender);
                assert_eq!(from.address, IpAddr::from(A));
                assert!([52702, 50_000].contains(&from.port), "{from:?}");
                (it.frame.0, it.body, it.payload.len())
            }));
        }
        let skipped = table.into_skipped().rows().into_iter();
        (packets, skipped.map(|(reason, count, first)| (reason, count, first.0)).collect())
    }

    fn at_once(pieces: &[&Vec<u8>]) -> Told {
        told(&pieces.iter().map(|piece| (1, &piece[..])).collect::<Vec<_>>())
    }

    fn first(length: u32) -> Body {
        Body::Segment(crate::packet::Segment {
            seq: SeqNumber(5_000),
            ack: SeqNumber(7_000),
            flags: Flags(Flags::ACK),
            window: 8192,
            length,
        })
    }

    fn later(at: u32, length: u32) -> Body {
        Body::LaterFragment { at: SeqNumber(at), length }
    }

    #[test]
    fn later_fragments_are_packets_of_the_flow_that_the_first_one_names() {
        let pieces = cut(&segment(), &[520, 800]);
        let expected =
            [(1, first(500), 500), (2, later(5_500, 280), 280), (3, later(5_780, 220), 220)];
        let (packets, skipped) = at_once(&[&pieces[0], &pieces[1], &pieces[2]]);
        assert_eq!((&packets[..], &skipped[..]), (&expected[..], &[][..]));

        let pieces = cut(&datagram(), &[808]);
        let (packets, _) = at_once(&[&pieces[0], &pieces[1]]);
        let expected = [(1, Body::Datagram { length: 800 }, 800), (2, later(800, 200), 200)];
        assert_eq!(packets, expected);
    }

    #[test]
    fn those_that_came_early_are_counted_with_the_first() {
        let pieces = cut(&segment(), &[520, 800]);
        // The third comes twice.
        let (packets, skipped) = at_once(&[&pieces[2], &pieces[2], &pieces[0], &pieces[1]]);
        assert_eq!(packets, [(3, first(720), 500), (4, later(5_500, 280), 280)]);
        assert_eq!(skipped, [(Skipped::EarlyFragment, 2, 1)]);
    }

    #[test]
    fn a_header_in_pieces_is_put_together() {
        // The flags stand in the second piece.
        let pieces = cut(&segment(), &[8, 16, 24]);
        let (packets, skipped) = at_once(&[&pieces[0], &pieces[1], &pieces[2], &pieces[3]]);
        // After 16 bytes the header is known, but for the last four; 1,020 bytes come in all.
        let expected = [(2, first(0), 0), (3, later(5_000, 4), 4), (4, later(5_004, 996), 996)];
        assert_eq!(packets, expected);
        assert_eq!(skipped, [(Skipped::EarlyFragment, 1, 1)]);
        // In the other order all is known at the end.
        let (packets, skipped) = at_once(&[&pieces[3], &pieces[2], &pieces[1], &pieces[0]]);
        assert_eq!(packets, [(4, first(1_000), 0)]);
        assert_eq!(skipped, [(Skipped::EarlyFragment, 3, 1)]);
    }

    #[test]
    fn overlapping_pieces_change_no_header_that_came_before() {
        let mut other = segment();
        other[20 + 13] = Flags::SYN;
        // Two pieces that overlap: the second says 8 to 16, the third 8 to 24.
        let (pieces, others) = (cut(&segment(), &[8, 16]), cut(&other, &[8, 24]));
        let (packets, _) = at_once(&[&pieces[1], &others[1], &pieces[0]]);
        let [(3, Body::Segment(segment), _)] = packets[..] else { panic!("{packets:?}") };
        assert_eq!(segment.flags, Flags(Flags::ACK));
    }

    #[test]
    fn without_the_first_there_is_no_flow() {
        let pieces = cut(&segment(), &[520, 800]);
        let (packets, skipped) = at_once(&[&pieces[1], &pieces[2]]);
        assert_eq!((packets.len(), skipped), (0, vec![(Skipped::HeadlessFragment, 2, 1)]));
        // Nor with a first that has no flags, and no second.
        let pieces = cut(&segment(), &[8, 16]);
        let (packets, skipped) = at_once(&[&pieces[0], &pieces[2]]);
        assert_eq!((packets.len(), skipped), (0, vec![(Skipped::HeadlessFragment, 2, 1)]));
    }

    #[test]
    fn a_packet_is_forgotten_after_a_minute() {
        let pieces = cut(&segment(), &[520, 800]);
        let (packets, skipped) = told(&[(1, &pieces[0]), (61, &pieces[1]), (62, &pieces[2])]);
        assert_eq!(packets, [(1, first(500), 500), (2, later(5_500, 280), 280)]);
        assert_eq!(skipped, [(Skipped::HeadlessFragment, 1, 3)]);
    }

    #[test]
    fn so_many_packets_are_remembered_and_no_more() {
        let mut table = FragmentTable::default();
        let piece = &cut(&segment(), &[520])[1];
        for number in 0..10_000_u16 {
            let mut piece = piece.clone();
            piece[4..6].copy_from_slice(&number.to_be_bytes());
            assert!(table.decode(frame(u64::from(number) + 1, 1, &piece)).is_none());
        }
        assert!(table.packets.len() <= MOST_PACKETS && table.ages.len() <= MOST_PACKETS);
        let most = MOST_PACKETS as u64;
        let rows = [
            (Skipped::FragmentGivenUp, 10_000 - most, FrameNumber(1)),
            (Skipped::HeadlessFragment, most, FrameNumber(10_001 - most)),
        ];
        assert_eq!(table.into_skipped().rows(), rows);
    }

    #[test]
    fn what_is_no_flow_is_counted_as_what_its_first_fragment_is() {
        let mut ping = Vec::new();
        PacketBuilder::ipv4(A, B, 128)
            .icmpv4_echo_request(1, 1)
            .write(&mut ping, &[7; 1_000])
            .unwrap();
        let pieces = cut(&ping, &[520, 800]);
        let (packets, skipped) = at_once(&[&pieces[0], &pieces[1], &pieces[2]]);
        assert_eq!((packets.len(), skipped), (0, vec![(Skipped::Icmp, 3, 1)]));
    }

    #[test]
    fn a_packet_in_a_tunnel_in_pieces_is_counted_once_and_whole() {
        let mut outer = Vec::new();
        PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .write(&mut outer, ip_number::IPV4, &segment())
            .unwrap();
        let pieces = cut(&outer, &[520, 800]);
        let (packets, skipped) = at_once(&[&pieces[0], &pieces[1], &pieces[2]]);
        // Of 520 bytes 40 are the inner headers.
        assert_eq!(packets, [(1, first(1_000), 480)]);
        assert_eq!(skipped, [(Skipped::LaterFragment, 2, 2)]);
    }

    #[test]
    fn ipv6_has_a_header_for_it() {
        let mut whole = Vec::new();
        let mut a = [0; 16];
        a[12..].copy_from_slice(&A);
        PacketBuilder::ipv6(a, [0x30; 16], 64)
            .udp(50_000, 88)
            .write(&mut whole, &[7; 1_000])
            .unwrap();
        // Destination options, which say 4 bytes of padding, are cut up with what follows.
        let options = [17, 0, 1, 4, 0, 0, 0, 0];
        let piece = |begin: usize, end: usize, id: u8| {
            let rest = [&options, &whole[40..]].concat();
            let field = u16::try_from(begin).unwrap() | u16::from(end < rest.len());
            let [high, low] = field.to_be_bytes();
            let mut piece = whole[..40].to_vec();
            let length = u16::try_from(end - begin + 8).unwrap();
            piece[4..6].copy_from_slice(&length.to_be_bytes());
            piece[6] = 44;
            piece.extend([60, 0, high, low, 0, 0, 0, id]);
            piece.extend(&rest[begin..end]);
            piece
        };
        let mut table = FragmentTable::default();
        let mut bodies = Vec::new();
        for (number, bytes) in
            (1..).zip([piece(0, 512, 1), piece(512, 1_016, 1), piece(512, 1_016, 2)])
        {
            bodies.extend(table.decode(frame(number, 1, &bytes)).map(|packet| {
                let port = packet.key.endpoint(packet.sender.opposite()).port;
                (port, packet.body, packet.payload.len())
            }));
        }
        // 16 bytes of the first are the options and the header of UDP.
        let expected = [(88, Body::Datagram { length: 496 }, 496), (88, later(496, 504), 504)];
        assert_eq!(bodies, expected);
        let rows = [(Skipped::HeadlessFragment, 1, FrameNumber(3))];
        assert_eq!(table.into_skipped().rows(), rows);
        // In one piece after all (RFC 6946).
        let atomic = piece(0, 1_016, 3);
        let packet = decode(frame(1, 1, &atomic)).unwrap();
        assert_eq!(packet.body, Body::Datagram { length: 1_000 });
    }
}
