//! Small captures, written by hand, frame by frame.

use super::*;
use crate::capture::tests::{problems, read};

/// A frame to be written: time since the start, media code, bytes.
type Written<'a> = (i64, u16, &'a [u8]);

/// 2023-11-14 22:13:20 and 5 ms, as the header has it.
const START: i64 = 1_700_000_000_005_000_000;

/// Writes a capture, its frames in the order given and the table behind them. The UTC times
/// of version 2.3 are eight hours after the local ones.
fn write(major: u8, minor: u8, frames: &[Written<'_>]) -> Vec<u8> {
    let mut file = if major == 1 { b"RTSS".to_vec() } else { b"GMBU".to_vec() };
    file.extend([minor, major, 1, 0]);
    for field in [2023_u16, 11, 2, 14, 22, 13, 20, 5] {
        file.extend(field.to_le_bytes());
    }
    file.resize(72, 0);
    let mut offsets = Vec::new();
    for (delta, media, bytes) in frames {
        offsets.push(file.len());
        let length = u32::try_from(bytes.len()).unwrap();
        if major == 1 {
            let length = u16::try_from(length).unwrap().to_le_bytes();
            file.extend(u32::try_from(*delta).unwrap().to_le_bytes());
            file.extend([length, length].concat());
        } else {
            file.extend(delta.to_le_bytes());
            file.extend([length, length].map(u32::to_le_bytes).concat());
        }
        file.extend(*bytes);
        let mut trailer = media.to_le_bytes().to_vec();
        trailer.extend([0xff; 4]);
        let utc = (START + 8 * 3_600_000_000_000) / 100 + delta * 10 + 116_444_736_000_000_000;
        trailer.extend(utc.to_le_bytes());
        trailer.push(0xff);
        trailer.truncate(match (major, minor) {
            (1, _) | (_, 0) => 0,
            (_, 1) => 2,
            (_, 2) => 6,
            (_, _) => 15,
        });
        file.extend(trailer);
    }
    table(&mut file, &offsets);
    file
}

/// Puts a frame table at the end.
fn table(file: &mut Vec<u8>, offsets: &[usize]) {
    let at = u32::try_from(file.len()).unwrap();
    let length = u32::try_from(offsets.len() * 4).unwrap();
    file[24..32].copy_from_slice(&[at, length].map(u32::to_le_bytes).concat());
    for offset in offsets {
        file.extend(u32::try_from(*offset).unwrap().to_le_bytes());
    }
}

#[test]
fn every_version_has_its_records_trailers_and_clock() {
    const UTC: i64 = START + 8 * 3_600_000_000_000;
    for (major, minor, first, second, link_type) in [
        (1, 1, START, START + 7_000_000, LinkType::ETHERNET),
        (2, 0, START, START + 7_000, LinkType::ETHERNET),
        (2, 1, START, START + 7_000, LinkType::RAW),
        (2, 2, START, START + 7_000, LinkType::RAW),
        (2, 3, UTC, UTC + 7_000, LinkType::RAW),
    ] {
        let file = write(major, minor, &[(0, 1, b"abcd"), (7, 9, b"")]);
        let (frames, summary) = read(&file);
        assert_eq!(
            frames,
            [
                (1, Some(first), LinkType::ETHERNET, b"abcd".to_vec(), 4),
                (2, Some(second), link_type, vec![], 0)
            ],
            "{major}.{minor}"
        );
        assert_eq!(summary.format, Some(format!("Network Monitor {major}.{minor}")));
        assert_eq!(summary.problems, []);
        assert_eq!(summary.bytes, file.len() as u64);
        assert_eq!(summary.sha256, pieces::digest(&mut std::io::Cursor::new(file.clone())).ok());
    }
}

#[test]
fn the_table_gives_the_order_whatever_stands_between_the_frames() {
    let mut file = write(2, 1, &[(2, 1, b"second"), (1, 1, b"first")]);
    file.extend([0xee; 9]);
    table(&mut file, &[72 + 16 + 6 + 2, 72]);
    let bytes: Vec<_> = read(&file).0.into_iter().map(|frame| frame.3).collect();
    assert_eq!(bytes, [b"first".to_vec(), b"second".to_vec()]);
}

#[test]
fn media_codes_become_link_types_and_special_frames_keep_their_number() {
    let codes = [0, 1, 6, 7, 8, 9, 0xe071, 0xe083, 0xffe0, 0xffff];
    let frames: Vec<Written<'_>> =
        codes.iter().map(|code| (0, *code, b"abcd".as_slice())).collect();
    let (frames, summary) = read(&write(2, 3, &frames));
    let types: Vec<_> = frames.into_iter().map(|frame| frame.2).collect();
    let netmon = LinkType::netmon;
    assert_eq!(
        types,
        [
            LinkType::ETHERNET,
            LinkType::ETHERNET,
            netmon(6),
            LinkType::RAW,
            LinkType::RAW,
            LinkType::RAW,
            LinkType::LINUX_SLL,
            netmon(0xe083),
            netmon(0xffe0),
            netmon(0xffff)
        ]
    );
    assert_eq!(summary.problems, []);
}

#[test]
fn frames_older_than_the_capture_have_times_before_its_start() {
    let (frames, _) = read(&write(2, 0, &[(-291_345, 1, b"a")]));
    assert_eq!(frames[0].1, Some(START - 291_345_000));
}

#[test]
fn a_trailer_that_is_not_all_there_is_made_up_for() {
    // The second frame has its media code and process, and no time: 6 of 15 bytes.
    let mut file = write(2, 3, &[(0, 1, b"abcd"), (5, 9, b"efgh")]);
    file.truncate(72 + 2 * 20 + 15 + 6);
    table(&mut file, &[72, 72 + 20 + 15]);
    let (frames, summary) = read(&file);
    assert_eq!(frames[1].1, Some(START + 8 * 3_600_000_000_000 + 5000));
    assert_eq!(frames[1].2, LinkType::RAW);
    assert_eq!(problems(&summary)[0].0, Severity::Info);
}

#[test]
fn a_capture_without_its_table_is_read_by_walking() {
    let frames = [(0, 1, b"abcd".as_slice()), (5, 1, b""), (9, 9, b"efghij")];
    for (major, minor) in [(1, 1), (2, 0), (2, 1), (2, 2), (2, 3)] {
        let file = write(major, minor, &frames);
        let expected = read(&file).0;
        let table = file.len() - 12;
        for cut in 72..file.len() {
            let (read, summary) = read(&file[..cut]);
            assert_eq!(read[..], expected[..read.len()], "{major}.{minor} cut at {cut}");
            assert!(!summary.problems.is_empty());
            if cut >= table {
                assert_eq!(read.len(), 3, "{major}.{minor} cut at {cut}");
            }
        }
    }
}

#[test]
fn a_table_that_points_past_the_end_stops_there() {
    let mut file = write(2, 1, &[(0, 1, b"abcd")]);
    file.truncate(72 + 22);
    table(&mut file, &[72, 5000, 72]);
    let (frames, summary) = read(&file);
    assert_eq!(frames.len(), 1);
    assert_eq!(problems(&summary)[0].0, Severity::Error);
    assert_eq!((problems(&summary)[0].2, problems(&summary)[0].3), (5000, 2));
}

#[test]
fn an_absurd_length_is_not_believed() {
    let mut file = write(2, 0, &[(0, 1, b"abcd")]);
    file[72 + 8..72 + 16].fill(0xff);
    let (frames, summary) = read(&file);
    assert_eq!(frames.len(), 0);
    assert_eq!(problems(&summary)[0].0, Severity::Error);
}

#[test]
fn comments_name_their_frame_by_number() {
    let mut file = write(2, 2, &[(0, 1, b"abcd"), (1, 1, b"efgh")]);
    let at = u32::try_from(file.len()).unwrap();
    // One frame, the second; no title; four bytes of text.
    let comment = [1_u32, 72 + 26, 0, 4].map(u32::to_le_bytes).concat();
    file.extend([comment, b"slow".to_vec()].concat());
    file[40..48].copy_from_slice(&[at, 20].map(u32::to_le_bytes).concat());
    let (_, summary) = read(&file);
    assert_eq!(summary.comments.len(), 1);
    assert_eq!(summary.comments[0].frame, Some(FrameNumber(2)));
    assert_eq!(summary.comments[0].text, "slow");
}
