//! Hostile input: no panic, a valid report, and no silence about what is missing.
//!
//! Bytes of every kind go through the library as a capture would: arbitrary ones behind each
//! magic number, the captures of `testdata` cut off everywhere and with bytes changed, arbitrary
//! frames of every link type, and arbitrary packets of a few flows.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::fs;
use std::path::PathBuf;

use portmortem::capture::{Frame, FrameNote, LinkType};
use portmortem::flow::{FlowTable, KnownPorts};
use portmortem::matrix::{DEFAULT_PROFILE, Matrix};
use portmortem::net::{
    Clock, End, Endpoint, FlowKey, FrameNumber, SeqNumber, Timestamp, Transport,
};
use portmortem::packet::{
    Body, Encapsulation, Flags, FragmentTable, Heading, IcmpError, Packet, Segment, Skipped, decode,
};
use portmortem::verdict::Circumstances;
use proptest::prelude::*;
use support::case;
use support::recipes::RECIPES;
use support::validity::{check_log, check_report, has_trouble, judged, read, report_of};

fn matrix() -> Matrix {
    Matrix::built_in(DEFAULT_PROFILE).unwrap()
}

/// Reads the bytes in pieces of an odd size; what is said of them must be true, or there must
/// be an error that says something.
fn survive(bytes: &[u8], matrix: &Matrix, known_ports: &KnownPorts, whole_report: bool) {
    match read(bytes, 61, known_ports) {
        Ok(read) if whole_report => check_report(&report_of(read, matrix), matrix),
        Ok(_) => {}
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() > 20 && !message.ends_with('.'), "{message}");
            assert!(!message.contains(char::is_control), "{message:?}");
        }
    }
}

/// Captures of `testdata` with at most so many bytes.
fn captures(most: usize) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = case::all().into_iter().flat_map(|case| case.captures);
    let captures: Vec<_> = paths
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .filter(|(_, bytes)| bytes.len() <= most)
        .collect();
    assert!(captures.len() > 5, "testdata has small captures");
    captures
}

#[test]
fn a_capture_cut_off_anywhere_is_read_up_to_there() {
    let matrix = matrix();
    let known_ports = matrix.known_ports();
    for (path, bytes) in captures(1_200) {
        let all = read(&bytes, 1 << 20, &known_ports).unwrap();
        let mut frames_before = 0;
        for end in 0..bytes.len() {
            survive(&bytes[..end], &matrix, &known_ports, end % 16 == 0);
            let Ok(read) = read(&bytes[..end], 1 << 20, &known_ports) else { continue };
            let frames = read.summary.frames;
            assert!(frames <= all.summary.frames, "{} cut at {end}", path.display());
            // A shorter file never shows more; Network Monitor's table at the end decides
            // between two ways of finding frames, which may differ by the last one.
            let netmon = path.extension().is_some_and(|extension| extension == "cap");
            assert!(netmon || frames >= frames_before, "{} cut at {end}", path.display());
            frames_before = frames;
            // Whatever is missing is either told, or was between two records.
            let at_a_boundary = frames == all.summary.frames || !has_trouble(&read);
            assert!(at_a_boundary || !read.summary.problems.is_empty());
        }
    }
}

#[test]
fn a_pcap_cut_inside_a_record_says_so() {
    let known_ports = matrix().known_ports();
    let path = case::testdata().join("seed-handshake").join("capture.pcap");
    let bytes = fs::read(path).unwrap();
    // Three records, as the file's own lengths tell them.
    let mut boundaries = vec![24];
    while let Some(length) = bytes.get(boundaries.last().unwrap() + 8..) {
        let Some(length) = length.first_chunk::<4>() else { break };
        let next = boundaries.last().unwrap() + 16 + u32::from_le_bytes(*length) as usize;
        boundaries.push(next);
    }
    assert_eq!(boundaries.last(), Some(&bytes.len()));
    for end in 24..bytes.len() {
        // These very bytes are also a whole file of one record with a header of 24 bytes.
        if end == boundaries[1] + 8 {
            continue;
        }
        let read = read(&bytes[..end], 7, &known_ports).unwrap();
        assert_eq!(has_trouble(&read), !boundaries.contains(&end), "cut at {end}");
    }
}

#[test]
fn a_changed_byte_anywhere_breaks_nothing() {
    let matrix = matrix();
    let known_ports = matrix.known_ports();
    for (_, bytes) in captures(480) {
        for at in 0..bytes.len() {
            let was = bytes[at];
            let mut changed = bytes.clone();
            for to in [0x00, 0xff, was ^ 0x01, was ^ 0x10, was ^ 0x80] {
                if to != was {
                    changed[at] = to;
                    survive(&changed, &matrix, &known_ports, (at + usize::from(to)) % 61 == 0);
                }
            }
        }
    }
}

#[test]
fn a_frame_table_that_points_to_one_frame_again_and_again_is_not_followed() {
    let known_ports = matrix().known_ports();
    let (frame, entries) = (60_000_u32, 200_000_u32);
    let mut bytes = b"GMBU\x00\x02\x01\x00".to_vec();
    bytes.resize(24, 0);
    bytes.extend([72 + 16 + frame, entries * 4].map(u32::to_le_bytes).concat());
    bytes.resize(72 + 8, 0);
    bytes.extend([frame, frame].map(u32::to_le_bytes).concat());
    bytes.resize(bytes.len() + frame as usize, 0);
    bytes.extend(72_u32.to_le_bytes().repeat(entries as usize));
    let read = read(&bytes, 1 << 20, &known_ports).unwrap();
    // As many as would fit into the file without overlapping.
    assert_eq!(read.summary.frames, bytes.len() as u64 / u64::from(frame + 16));
    let problem = read.summary.problems.first().unwrap();
    assert!(problem.message.contains("the same bytes again and again"), "{problem:?}");
    assert_eq!(problem.offset, Some(72));
}

/// So many cases, and no file beside the sources for those that fail: what fails is printed.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// The beginnings of files that are read, as far as a reader must believe them.
fn beginnings() -> Vec<Vec<u8>> {
    let pcap = |magic: u32, minor: u16, network: u32| {
        let mut header = magic.to_le_bytes().to_vec();
        header.extend([2, 0]);
        header.extend(minor.to_le_bytes());
        header.extend([0; 8]);
        header.extend(0x0004_0000_u32.to_le_bytes());
        header.extend(network.to_le_bytes());
        header
    };
    let mut all = Vec::new();
    for magic in [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34, 0xa1e2_cb12, 0x1c00_01ab, 0x1c00_01ac] {
        for (minor, network) in [(4, 1), (3, 113), (2, 6), (4, 101), (4, 276), (4, 13)] {
            let little = pcap(magic, minor, network);
            // The same header with its most significant bytes first.
            let mut big: Vec<u8> = little[..4].iter().rev().copied().collect();
            big.extend([0, 2]);
            big.extend(minor.to_be_bytes());
            big.extend([0; 8]);
            big.extend(0x0004_0000_u32.to_be_bytes());
            big.extend(network.to_be_bytes());
            all.extend([little, big]);
        }
    }
    for recipe in &RECIPES {
        for (name, bytes) in recipe.files() {
            let length = if name == "capture.cap" { 72 } else { 48 };
            all.push(bytes[..length.min(bytes.len())].to_vec());
        }
    }
    for data_link in [0, 2, 4, 8, 18, 99] {
        all.push([b"snoop\0\0\0\0\0\0\x02\0\0\0".as_slice(), &[data_link]].concat());
    }
    for (magic, versions) in [(b"RTSS", 1), (b"GMBU", 2)] {
        for minor in 0..=3 {
            let mut header = magic.to_vec();
            header.extend([minor, versions, 1, 0]);
            all.push(header);
        }
    }
    all
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn arbitrary_bytes_behind_a_magic_number_are_survived(
        beginning in prop::sample::select(beginnings()),
        rest in prop::collection::vec(prop_oneof![3 => any::<u8>(), 2 => 0_u8..4], 0..300),
    ) {
        let matrix = matrix();
        let bytes = [beginning, rest].concat();
        survive(&bytes, &matrix, &matrix.known_ports(), true);
    }

    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let matrix = matrix();
        survive(&bytes, &matrix, &matrix.known_ports(), true);
    }
}

/// A change to a capture.
#[derive(Clone, Debug)]
enum Change {
    Byte(prop::sample::Index, u8),
    Number(prop::sample::Index, u32),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<prop::sample::Index>;
    let lies = prop_oneof![
        any::<u32>(),
        Just(0),
        Just(u32::MAX),
        Just(u32::MAX - 3),
        Just(0x8000_0000),
        0_u32..2_000,
        Just(16 << 20),
    ];
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, to)| Change::Byte(at, to)),
        (place(), lies).prop_map(|(at, to)| Change::Number(at, to)),
        (place(), 1_usize..40).prop_map(|(at, count)| Change::Remove(at, count)),
        (place(), 1_usize..200).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    match change {
        Change::Byte(at, to) => {
            let at = at.index(bytes.len());
            bytes[at] = *to;
        }
        Change::Number(at, to) => {
            // Numbers mostly stand at multiples of four.
            let at = at.index(bytes.len()) / 4 * 4;
            for (byte, to) in bytes[at..].iter_mut().zip(to.to_le_bytes()) {
                *byte = to;
            }
        }
        Change::Remove(at, count) => {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Change::Repeat(at, count) => {
            let at = at.index(bytes.len());
            let again = bytes[at..(at + count).min(bytes.len())].to_vec();
            bytes.splice(at..at, again);
        }
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn captures_with_several_changes_are_survived(
        (_, mut bytes) in prop::sample::select(captures(9_000)),
        changes in prop::collection::vec(change(), 1..8),
    ) {
        let matrix = matrix();
        for change in &changes {
            apply(&mut bytes, change);
        }
        survive(&bytes, &matrix, &matrix.known_ports(), true);
    }
}

/// Every link type that is decoded, some that are not, and what no writer would write.
fn link_types() -> Vec<LinkType> {
    let mut all: Vec<LinkType> = (0..300).map(LinkType::pcap).collect();
    all.extend([u16::MAX, 0x1000].map(LinkType::pcap));
    all.extend([0, 1, 6, 0x1001, 0xe001, 0xffe0, 0xfffb, u16::MAX].map(LinkType::netmon));
    all.extend([LinkType::JOURNAL, LinkType::CUSTOM_BLOCK, LinkType::UNDECLARED]);
    all
}

/// Link types whose frames hold IP packets.
const DECODED: [LinkType; 8] = [
    LinkType::ETHERNET,
    LinkType::RAW,
    LinkType::IPV4,
    LinkType::IPV6,
    LinkType::NULL,
    LinkType::LOOP,
    LinkType::LINUX_SLL,
    LinkType::LINUX_SLL2,
];

/// Whatever comes out of `decode` points into the frame and has a length that fits.
fn check_decoding(link_type: LinkType, bytes: &[u8], original_length: u32) {
    let number = FrameNumber(7);
    let frame = Frame { number, time: None, link_type, bytes, original_length, note: None };
    match decode(&frame) {
        Ok(packet) => {
            assert_eq!(packet.frame, number);
            assert!(packet.payload.len() <= bytes.len());
            let wire = usize::try_from(original_length).unwrap().max(bytes.len()).max(0x1_0000);
            let length = match packet.body {
                Body::Segment(segment) => segment.length,
                Body::Datagram { length } | Body::LaterFragment { length, .. } => length,
                Body::CutSegment | Body::IcmpError(_) => 0,
            };
            assert!(length as usize <= wire, "{length} bytes of {wire}");
        }
        Err(reason) => {
            let text = reason.to_string();
            assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
        }
    }
}

/// Frames as hosts send them.
fn sent_frames() -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> =
        RECIPES.iter().flat_map(|recipe| recipe.scene().frames).map(|frame| frame.bytes).collect();
    frames.sort();
    frames.dedup();
    assert!(frames.len() > 100);
    frames
}

#[test]
fn a_frame_cut_off_anywhere_is_decoded_as_far_as_it_goes() {
    for frame in sent_frames() {
        let original_length = u32::try_from(frame.len()).unwrap();
        for end in 0..=frame.len() {
            check_decoding(LinkType::ETHERNET, &frame[..end], original_length);
            if let Some(packet) = frame.get(14..end) {
                check_decoding(LinkType::RAW, packet, original_length - 14);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn arbitrary_frames_of_every_link_type_are_survived(
        link_type in prop::sample::select(link_types()),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        original_length in any::<u32>(),
    ) {
        check_decoding(link_type, &bytes, original_length);
    }

    #[test]
    fn changed_frames_of_decoded_link_types_are_survived(
        link_type in prop::sample::select(DECODED.to_vec()),
        mut bytes in prop::sample::select(sent_frames()),
        changes in prop::collection::vec(change(), 1..6),
        extra in 0_u32..100,
    ) {
        let header: &[u8] = match link_type {
            LinkType::ETHERNET => &bytes[..14],
            LinkType::NULL | LinkType::LOOP => &[2, 0, 0, 0],
            LinkType::LINUX_SLL => &[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0],
            LinkType::LINUX_SLL2 => &[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0],
            _ => &[],
        };
        bytes = [header, &bytes[14..]].concat();
        for change in &changes {
            apply(&mut bytes, change);
        }
        let original_length = u32::try_from(bytes.len()).unwrap() + extra;
        check_decoding(link_type, &bytes, original_length);
    }
}

/// An IPv4 packet with a header that fits its payload.
fn piece_of(id: u8, protocol: u8, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let place = (offset | if more { 0x2000 } else { 0 }).to_be_bytes();
    let header = [0x45, 0, length[0], length[1], 0, id, place[0], place[1], 64, protocol, 0, 0];
    [&header[..], &[10, 0, 0, 5], &[10, 1, 0, 10], payload].concat()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn fragments_of_any_kind_in_any_order_are_each_counted_once(
        pieces in prop::collection::vec(
            (
                0_u8..3,
                prop::sample::select(vec![6_u8, 17, 1, 4, 51]),
                prop_oneof![3 => 0_u16..5, 1 => 0_u16..0x2000],
                any::<bool>(),
                prop::collection::vec(prop_oneof![any::<u8>(), Just(0x45)], 0..70),
                0_i128..70,
            ),
            1..30,
        ),
    ) {
        let mut table = FragmentTable::default();
        let mut flows = FlowTable::new(KnownPorts::default(), 60_000_000_000);
        let (mut second, mut packets, mut others) = (1_400_000_000_i128, 0, 0);
        for (number, (id, protocol, offset, more, payload, later)) in (1..).zip(&pieces) {
            second += later / 10;
            let bytes = piece_of(*id, *protocol, *offset, *more, payload);
            let frame = Frame {
                number: FrameNumber(number),
                time: Timestamp::from_nanoseconds(second * 1_000_000_000),
                link_type: LinkType::RAW,
                bytes: &bytes,
                original_length: u32::try_from(bytes.len()).unwrap(),
                note: None,
            };
            let decoded = match decode(&frame) {
                Err(Skipped::Fragment) => table.decode(frame),
                Err(_) => {
                    others += 1;
                    None
                }
                Ok(packet) => Some(packet),
            };
            if let Some(packet) = decoded {
                prop_assert!(packet.payload.len() <= payload.len());
                packets += 1;
                flows.observe(&packet);
            }
        }
        let skipped: u64 = table.into_skipped().rows().iter().map(|(_, count, _)| count).sum();
        prop_assert_eq!(packets + others + skipped, pieces.len() as u64);
        flows.into_flows();
    }
}

/// Pairs of endpoints that packets are drawn for: a known service, two of them, none, two
/// equal ports, and an endpoint that talks to itself.
const PAIRS: [(&str, &str); 6] = [
    ("10.0.0.5:50000", "10.1.0.10:389"),
    ("10.0.0.5:135", "10.1.0.10:389"),
    ("10.0.0.5:50000", "10.1.0.10:50001"),
    ("10.0.0.5:53", "10.1.0.10:53"),
    ("10.0.0.5:88", "10.0.0.5:88"),
    ("[2001:db8::5]:50000", "[2001:db8::10]:3268"),
];

fn endpoint(text: &str) -> Endpoint {
    let address: std::net::SocketAddr = text.parse().unwrap();
    Endpoint { address: address.ip().into(), port: address.port() }
}

/// What is drawn for a packet.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn on its own")]
struct Drawn {
    pair: usize,
    back: bool,
    udp: bool,
    body: Body,
    ip_id: u16,
    step: Option<i64>,
    to_group: bool,
    dropped: bool,
}

fn body() -> impl Strategy<Value = Body> {
    let flags = prop_oneof![
        5 => prop::sample::select(vec![
            Flags::SYN,
            Flags::SYN | Flags::ACK,
            Flags::ACK,
            Flags::RST,
            Flags::RST | Flags::ACK,
            Flags::FIN | Flags::ACK,
            Flags::SYN | 0xc0,
        ]),
        1 => any::<u8>(),
    ];
    // Few numbers, close together, so that packets fit each other often.
    let number =
        || prop::sample::select(vec![0, 1, 1_000, 1_001, 1_002, 1_011, 2_000, 2_001, u32::MAX]);
    let length = prop::sample::select(vec![0_u32, 0, 0, 1, 10]);
    let segment = (flags, number(), number(), length).prop_map(|(flags, seq, ack, length)| {
        Body::Segment(Segment {
            seq: SeqNumber(seq),
            ack: SeqNumber(ack),
            flags: Flags(flags),
            window: 8192,
            length,
        })
    });
    let icmp = (0_u8..13, 0_u8..15, prop::option::of(number()), any::<bool>()).prop_map(
        |(icmp_type, code, seq, from_peer)| {
            let reporter = if from_peer { "10.1.0.10" } else { "10.9.9.9" };
            Body::IcmpError(IcmpError {
                reporter: reporter.parse().unwrap(),
                icmp_type,
                code,
                quoted_seq: seq.map(SeqNumber),
            })
        },
    );
    prop_oneof![16 => segment, 2 => icmp, 1 => Just(Body::CutSegment)]
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let pair = prop_oneof![4 => Just(0), 1 => 0..PAIRS.len()];
    let step = prop::option::weighted(
        0.95,
        prop_oneof![
            Just(0),
            0_i64..1_000_000,
            0_i64..5_000_000_000,
            -2_000_000_000_i64..0,
            Just(70_000_000_000),
            Just(i64::MAX / 64),
        ],
    );
    let udp = prop::bool::weighted(0.2);
    let rarely = || prop::bool::weighted(0.1);
    (pair, any::<bool>(), udp, body(), 0_u16..4, step, rarely(), rarely()).prop_map(
        |(pair, back, udp, body, ip_id, step, to_group, dropped)| Drawn {
            pair,
            back,
            udp,
            body,
            ip_id,
            step,
            to_group,
            dropped,
        },
    )
}

/// The packets in order, and the time of the last frame.
fn packets(all: &[Drawn]) -> (Vec<Packet<'static>>, Option<Timestamp>) {
    let mut now = 1_400_000_000_000_000_000_i64;
    let mut last: Option<Timestamp> = None;
    let mut packets = Vec::new();
    for (number, drawn) in (1..).zip(all) {
        now = now.saturating_add(drawn.step.unwrap_or(0));
        let time = drawn.step.and_then(|_| Timestamp::from_nanoseconds(now.into()));
        last = last.max(time);
        let (low, high) = PAIRS[drawn.pair];
        let (from, to) = if drawn.back { (high, low) } else { (low, high) };
        let transport = if drawn.udp { Transport::Udp } else { Transport::Tcp };
        let (key, sender) = FlowKey::of(transport, endpoint(from), endpoint(to));
        let body = match (drawn.udp, drawn.body) {
            (true, Body::Segment(segment)) => Body::Datagram { length: segment.length },
            (true, Body::CutSegment) => Body::Datagram { length: 0 },
            (_, body) => body,
        };
        packets.push(Packet {
            frame: FrameNumber(number),
            time,
            key,
            sender: if low == high { End::Low } else { sender },
            ttl: 64,
            ip_id: Some(drawn.ip_id),
            body,
            payload: &[],
            to_group: drawn.to_group,
            encapsulation: Encapsulation::default(),
            link: None,
            heading: Heading::Unknown,
            of_row: None,
            note: drawn.dropped.then(|| FrameNote::dropped(0)),
        });
    }
    (packets, last)
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn any_packets_give_flows_that_keep_the_contract(
        all in prop::collection::vec(drawn(), 1..40),
        goes_on in 0_i128..10_000_000_000,
    ) {
        let known_ports = matrix().known_ports();
        let (packets, last) = packets(&all);
        let mut table = FlowTable::new(known_ports.clone(), 60_000_000_000);
        for packet in &packets {
            table.observe(packet);
        }
        let (flows, skipped) = table.into_flows();
        let capture_end = last.and_then(|last| {
            Timestamp::from_nanoseconds(i128::from(last.as_nanoseconds()) + goes_on)
        });
        let circumstances = Circumstances {
            capture_end,
            clock: Clock::NANOSECONDS,
            syn_wait: 3_000_000_000,
            udp_reply_wait: 2_000_000_000,
            known_ports,
            notes: vec!["dropped by the capturing machine: for a test".to_owned()],
        };
        let mut counted = 0;
        for (id, flow) in (1..).zip(&flows) {
            let flow = judged(id, flow, &circumstances);
            counted += flow.packets.initiator + flow.packets.responder + flow.duplicates;
        }
        let errors = packets.iter().filter(|packet| matches!(packet.body, Body::IcmpError(_)));
        prop_assert_eq!(counted, (packets.len() - errors.count()) as u64);
        prop_assert!(skipped.rows().len() <= 1);
        prop_assert!(flows.is_sorted_by(|a, b| a.first_frame < b.first_frame));
    }

    #[test]
    fn flows_of_one_pair_do_not_depend_on_other_pairs(
        all in prop::collection::vec(drawn(), 1..30),
    ) {
        let known_ports = matrix().known_ports();
        let (packets, _) = packets(&all);
        let told = |packets: &mut dyn Iterator<Item = &Packet<'static>>| {
            let mut table = FlowTable::new(known_ports.clone(), 60_000_000_000);
            packets.for_each(|packet| table.observe(packet));
            let mut flows: Vec<(FrameNumber, String)> = table
                .into_flows()
                .0
                .iter()
                .map(|flow| (flow.first_frame, format!("{flow:?}")))
                .collect();
            flows.sort();
            flows
        };
        let together = told(&mut packets.iter());
        let mut keys: Vec<FlowKey> = packets.iter().map(|packet| packet.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut apart: Vec<_> = keys
            .into_iter()
            .flat_map(|key| told(&mut packets.iter().filter(|packet| packet.key == key)))
            .collect();
        apart.sort();
        prop_assert_eq!(together, apart);
    }
}

/// Pieces of which logs are made, and some of which they are not.
fn piece_of_log() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"<![LOG[",
        b"]LOG]!>",
        b"<time=\"10:15:02.123-120\" date=\"05-27-2014\" component=\"C\" context=\"\" type=\"3\" thread=\"1\" file=\"f\">",
        b"$$<Configuration Manager Setup><05-27-2014 10:15:02.123+0><thread=1 (0x1)>",
        b"<05-27-2014 10:15:02> ",
        b"#Software: Microsoft Windows Firewall\n",
        b"#Fields: date time action protocol src-ip dst-ip src-port dst-port path\n",
        b"2012-11-13 10:30:05 DROP TCP 10.0.0.5 10.1.0.10 50102 389 52 S 1 0 8192 - - - RECEIVE",
        b"ERROR: error 1722 [08001] -2147023174 \\\\DC1 10.1.0.10:135 0x80070035 = (",
        b"\n",
        b"\r\n",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xc3\xbc\xe2\x86\x92\xfc",
        b"\0",
        b"-",
        b"99999999999999999999",
    ];
    prop_oneof![
        5 => prop::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn logs_of_any_bytes_are_survived_and_keep_within_their_bounds(
        pieces in prop::collection::vec(piece_of_log(), 0..40),
    ) {
        let capture = fs::read(case::testdata().join("firewall-log/capture.pcap")).unwrap();
        let matrix = matrix();
        let read = read(&capture, 1 << 20, &matrix.known_ports()).unwrap();
        check_log(&pieces.concat(), read, &matrix);
    }
}
