//! Small captures, written by hand, block by block.

use super::*;
use crate::capture::tests::{problems, read};

/// Writes blocks in one byte order.
#[derive(Clone, Copy)]
struct Writer(ByteOrder);

const LITTLE: Writer = Writer(ByteOrder::Little);
const BIG: Writer = Writer(ByteOrder::Big);

impl Writer {
    fn u16(self, value: u16) -> [u8; 2] {
        match self.0 {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        match self.0 {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        }
    }

    fn block(self, kind: u32, words: &[u32], rest: &[u8]) -> Vec<u8> {
        let mut body: Vec<u8> = words.iter().flat_map(|word| self.u32(*word)).collect();
        body.extend(rest);
        body.resize(body.len().next_multiple_of(4), 0);
        let length = self.u32(u32::try_from(body.len() + 12).unwrap());
        [&self.u32(kind), &length, body.as_slice(), &length].concat()
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let length = self.u16(u16::try_from(value.len()).unwrap());
        let mut option = [&self.u16(code), &length, value].concat();
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    fn section(self, options: &[u8]) -> Vec<u8> {
        let version = [self.u16(1), self.u16(0)].concat();
        let rest = [version.as_slice(), &[0xff; 8], options].concat();
        self.block(block::SECTION_HEADER, &[0x1a2b_3c4d], &rest)
    }

    fn interface(self, link: u16, snap_length: u32, options: &[u8]) -> Vec<u8> {
        let fields = [self.u16(link), self.u16(0)].concat();
        let rest = [&fields, self.u32(snap_length).as_slice(), options].concat();
        self.block(block::INTERFACE, &[], &rest)
    }

    fn packet(self, interface: u32, ticks: u64, bytes: &[u8], options: &[u8]) -> Vec<u8> {
        let captured = u32::try_from(bytes.len()).unwrap();
        let high = u32::try_from(ticks >> 32).unwrap();
        let low = u32::try_from(ticks & 0xffff_ffff).unwrap();
        let mut rest = bytes.to_vec();
        rest.resize(rest.len().next_multiple_of(4), 0);
        rest.extend(options);
        self.block(block::ENHANCED_PACKET, &[interface, high, low, captured, 60], &rest)
    }

    /// A section with one Ethernet interface.
    fn beginning(self) -> Vec<u8> {
        [self.section(&[]), self.interface(1, 0, &[])].concat()
    }
}

/// Numbers, times and link types.
fn outline(file: &[u8]) -> Vec<(u64, Option<i64>, LinkType)> {
    read(file).0.into_iter().map(|(number, time, link, ..)| (number, time, link)).collect()
}

#[test]
fn packets_come_with_number_time_lengths_and_link_type() {
    for writer in [LITTLE, BIG] {
        let file = [
            writer.beginning(),
            writer.packet(0, 1_700_000_000_000_150, b"abcde", &[]),
            writer.packet(0, 1, b"", &[]),
        ]
        .concat();
        let (frames, summary) = read(&file);
        let time = Some(1_700_000_000_000_150_000);
        assert_eq!(
            frames,
            [
                (1, time, LinkType::ETHERNET, b"abcde".to_vec(), 60),
                (2, Some(1000), LinkType::ETHERNET, vec![], 60)
            ]
        );
        assert_eq!(summary.clock.digits, 6);
        assert_eq!(summary.problems, []);
    }
}

#[test]
fn each_section_has_its_own_order_interfaces_and_clocks() {
    // Big-endian with an offset: pcap-parser would read it the other way round.
    let offset = BIG.option(14, &(-3600_i64).to_be_bytes());
    let binary = LITTLE.option(9, &[0x94]);
    let nanoseconds = LITTLE.option(9, &[9]);
    let file = [
        BIG.section(&[]),
        BIG.interface(101, 0, &offset),
        BIG.packet(0, 3_601_000_000, b"a", &[]),
        LITTLE.section(&[]),
        LITTLE.interface(1, 0, &binary),
        LITTLE.interface(228, 0, &nanoseconds),
        LITTLE.packet(0, 3 << 19, b"b", &[]),
        LITTLE.packet(1, 7, b"c", &[]),
    ]
    .concat();
    assert_eq!(
        outline(&file),
        [
            (1, Some(1_000_000_000), LinkType::RAW),
            (2, Some(1_500_000_000), LinkType::ETHERNET),
            (3, Some(7), LinkType::IPV4)
        ]
    );
    assert_eq!(read(&file).1.clock.digits, 9);
}

#[test]
fn obsolete_and_simple_packets_are_frames_too() {
    let obsolete = LITTLE.block(block::OBSOLETE_PACKET, &[0xffff_0000, 0, 5, 3, 60], b"abc");
    let simple = LITTLE.block(block::SIMPLE_PACKET, &[60], b"0123456789");
    let file = [LITTLE.section(&[]), LITTLE.interface(1, 4, &[]), obsolete, simple].concat();
    let (frames, _) = read(&file);
    assert_eq!(
        frames,
        [
            (1, Some(5000), LinkType::ETHERNET, b"abc".to_vec(), 60),
            (2, None, LinkType::ETHERNET, b"0123".to_vec(), 60),
        ]
    );
}

#[test]
fn what_wireshark_numbers_has_a_number_and_the_rest_has_none() {
    // tshark 4.0.17 on the same blocks: frames 1 to 5, of which 2 to 4 are no packets.
    let file = [
        LITTLE.beginning(),
        LITTLE.packet(0, 1, b"a", &[]),
        LITTLE.block(block::JOURNAL, &[], b"MESSAGE=hi\n"),
        LITTLE.block(block::CUSTOM, &[12345], b"abcd"),
        LITTLE.block(block::CUSTOM_PRIVATE, &[12345], b"abcd"),
        LITTLE.block(0x777, &[], b"abcd"),
        LITTLE.block(0x8000_0001, &[7], b""),
        LITTLE.packet(0, 2, b"b", &[]),
    ]
    .concat();
    assert_eq!(
        outline(&file),
        [
            (1, Some(1000), LinkType::ETHERNET),
            (2, None, LinkType::JOURNAL),
            (3, None, LinkType::CUSTOM_BLOCK),
            (4, None, LinkType::CUSTOM_BLOCK),
            (5, Some(2000), LinkType::ETHERNET)
        ]
    );
}

#[test]
fn comments_names_filters_and_losses_are_kept() {
    let names = [
        [1, 0, 7, 0, 10, 0, 0, 5, b'd', b'c', 0, 0].as_slice(),
        &[1, 0, 9, 0, 10, 0, 0, 6, b'a', 0, b'b', b'c', 0, 0, 0, 0],
        &[0; 4],
    ]
    .concat();
    let lost =
        [LITTLE.option(5, &3_u64.to_le_bytes()), LITTLE.option(7, &[4, 0, 0, 0, 0, 0, 0, 0])];
    let file = [
        LITTLE.section(&LITTLE.option(1, b"from site A")),
        LITTLE.interface(1, 0, &LITTLE.option(11, b"\0tcp port 88")),
        LITTLE.packet(
            0,
            1,
            b"abc",
            &[LITTLE.option(2, &[0; 4]), LITTLE.option(1, b"late")].concat(),
        ),
        LITTLE.block(block::NAMES, &[], &names),
        LITTLE.block(block::STATISTICS, &[0, 0, 0], &lost.concat()),
    ]
    .concat();
    let (_, summary) = read(&file);
    let comments: Vec<_> =
        summary.comments.iter().map(|it| (it.frame.map(|it| it.0), &*it.text)).collect();
    assert_eq!(
        comments,
        [(None, "from site A"), (None, "captured with filter tcp port 88"), (Some(1), "late")]
    );
    let names: Vec<_> =
        summary.names.iter().map(|known| format!("{} {}", known.address, known.name)).collect();
    assert_eq!(names, ["10.0.0.5 dc", "10.0.0.6 a", "10.0.0.6 bc"]);
    assert!(problems(&summary)[0].1.contains("lost 7 packets"), "{:?}", summary.problems);
}

#[test]
fn keys_in_a_capture_are_shown_to_nobody() {
    let secrets = LITTLE.block(10, &[0x544c_534b, 12], b"CLIENT_RANDO");
    let (frames, summary) = read(&[LITTLE.beginning(), secrets].concat());
    assert_eq!(frames, []);
    assert!(!format!("{summary:?}").contains("CLIENT"));
}

#[test]
fn a_packet_of_an_undeclared_interface_is_counted_and_keeps_its_number() {
    let file = [
        LITTLE.beginning(),
        LITTLE.packet(5, 1, b"a", &[]),
        LITTLE.packet(0, 1, b"b", &[]),
        LITTLE.packet(u32::MAX, 1, b"c", &[]),
    ]
    .concat();
    assert_eq!(
        outline(&file),
        [
            (1, None, LinkType::UNDECLARED),
            (2, Some(1000), LinkType::ETHERNET),
            (3, None, LinkType::UNDECLARED)
        ]
    );
    let (_, summary) = read(&file);
    let [(Severity::Warning, message, 48, 1)] = problems(&summary)[..] else {
        panic!("{:?}", summary.problems)
    };
    assert!(message.starts_with("2 times a packet of an interface"), "{message}");
}

#[test]
fn a_packet_with_too_large_a_length_gives_what_is_there_and_the_rest_is_read() {
    let bad = LITTLE.block(block::ENHANCED_PACKET, &[0, 0, 1, 100, 100], b"abcd");
    let file = [LITTLE.beginning(), bad, LITTLE.packet(0, 1, b"b", &[])].concat();
    let (frames, summary) = read(&file);
    assert_eq!(frames[0].3, b"abcd");
    assert_eq!(frames.len(), 2);
    assert_eq!(problems(&summary)[0].0, Severity::Warning);
}

#[test]
fn a_block_whose_inside_makes_no_sense_is_left_out() {
    let short = LITTLE.block(block::ENHANCED_PACKET, &[0, 0], b"");
    let file = [LITTLE.beginning(), short, LITTLE.packet(0, 1, b"b", &[])].concat();
    let (frames, summary) = read(&file);
    assert_eq!(frames.len(), 1);
    assert_eq!(summary.problems.len(), 1);
}

#[test]
fn damaged_framing_ends_the_capture_with_its_place() {
    let mut file = [LITTLE.beginning(), LITTLE.packet(0, 1, b"a", &[])].concat();
    let offset = file.len() as u64;
    file.extend([6, 36, 0, 0, 0, 0, 0, 0, 40].map(u32::to_le_bytes).concat());
    let (frames, summary) = read(&file);
    assert_eq!(frames.len(), 1);
    let [(Severity::Error, message, place, 2)] = problems(&summary)[..] else {
        panic!("{:?}", summary.problems)
    };
    assert_eq!(place, offset);
    assert!(message.contains("lengths at its two ends differ"), "{message}");
}

#[test]
fn a_block_that_is_too_long_is_left_out_or_ends_the_capture() {
    let mut file = LITTLE.beginning();
    let offset = file.len() as u64;
    file.extend(LITTLE.block(0x777, &[], &vec![0; 17 << 20]));
    file.extend(LITTLE.packet(0, 1, b"a", &[]));
    let (frames, summary) = crate::capture::tests::read_in(&file, 1 << 20);
    assert_eq!(frames.len(), 1);
    assert_eq!(problems(&summary)[0].0, Severity::Warning);

    file.truncate(1000);
    let (frames, summary) = read(&file);
    assert_eq!(frames.len(), 0);
    let [(Severity::Error, message, place, 1)] = problems(&summary)[..] else {
        panic!("{:?}", summary.problems)
    };
    assert_eq!(place, offset);
    assert!(message.contains("more than the file has"), "{message}");
}

#[test]
fn a_section_of_an_unknown_version_is_left_out_and_the_next_is_read() {
    let mut unknown = LITTLE.section(&[]);
    unknown[12] = 2;
    let file = [
        LITTLE.beginning(),
        LITTLE.packet(0, 1, b"a", &[]),
        unknown.clone(),
        LITTLE.packet(0, 2, b"b", &[]),
        LITTLE.beginning(),
        LITTLE.packet(0, 3, b"c", &[]),
    ]
    .concat();
    let times: Vec<_> = outline(&file).into_iter().map(|frame| frame.1).collect();
    assert_eq!(times, [Some(1000), Some(3000)]);
    assert_eq!(read(&file).1.problems.len(), 1);
}

#[test]
fn interfaces_are_bounded() {
    let mut file = LITTLE.section(&[]);
    for _ in 0..=MOST_INTERFACES {
        file.extend(LITTLE.interface(1, 0, &[]));
    }
    file.extend(LITTLE.packet(u32::try_from(MOST_INTERFACES).unwrap(), 1, b"a", &[]));
    let (frames, summary) = crate::capture::tests::read_in(&file, 1 << 20);
    assert_eq!(frames[0].2, LinkType::UNDECLARED);
    assert_eq!(summary.problems.len(), 2);
}

#[test]
fn a_file_cut_anywhere_gives_the_frames_before() {
    let options = LITTLE.option(1, b"late");
    let mut file = LITTLE.beginning();
    let mut ends = vec![LITTLE.section(&[]).len(), file.len()];
    let header = ends[0];
    for bytes in [b"abcd".as_slice(), b"", b"0123456789"] {
        file.extend(LITTLE.packet(0, 1, bytes, &options));
        ends.push(file.len());
    }
    for cut in header..=file.len() {
        let (frames, summary) = read(&file[..cut]);
        let whole = ends[2..].iter().filter(|end| **end <= cut).count();
        assert_eq!(frames.len(), whole, "cut at {cut}");
        let severities: Vec<_> = problems(&summary).iter().map(|it| it.0).collect();
        let expected: &[Severity] = if ends.contains(&cut) { &[] } else { &[Severity::Warning] };
        assert_eq!(severities, expected, "cut at {cut}");
    }
}
