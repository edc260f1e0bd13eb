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
        note: None,
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
        assert_eq!(decode(&frame).unwrap_err(), Skipped::Fragment);
        let packet = table.decode(frame);
        packets.extend(packet.map(|it| {
            let from = it.key.endpoint(it.sender);
            assert_eq!(from.address, std::net::IpAddr::from(A));
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
    let expected = [(1, first(500), 500), (2, later(5_500, 280), 280), (3, later(5_780, 220), 220)];
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
    PacketBuilder::ipv4(A, B, 128).icmpv4_echo_request(1, 1).write(&mut ping, &[7; 1_000]).unwrap();
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
    PacketBuilder::ipv6(a, [0x30; 16], 64).udp(50_000, 88).write(&mut whole, &[7; 1_000]).unwrap();
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
    for (number, bytes) in (1..).zip([piece(0, 512, 1), piece(512, 1_016, 1), piece(512, 1_016, 2)])
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
    let packet = decode(&frame(1, 1, &atomic)).unwrap();
    assert_eq!(packet.body, Body::Datagram { length: 1_000 });
}
