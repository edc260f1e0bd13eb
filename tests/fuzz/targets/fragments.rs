//! Pieces of IP packets in any order: five bytes of header for each, then its payload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portmortem::capture::{Frame, LinkType};
use portmortem::net::{FrameNumber, Timestamp};
use portmortem::packet::{FragmentTable, Skipped, decode};

/// An IPv4 packet between two hosts.
fn packet(id: u8, protocol: u8, place: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + payload.len() as u16).to_be_bytes();
    let [first, second] = place.to_be_bytes();
    let header = [0x45, 0, high, low, 0, id & 3, first, second, 64, protocol, 0, 0];
    [&header[..], &[10, 0, 0, 5], &[10, 1, 0, 10], payload].concat()
}

fuzz_target!(|bytes: &[u8]| {
    let mut table = FragmentTable::default();
    let (mut rest, mut counted, mut number) = (bytes, 0, 0);
    while let [id, protocol, high, low, length, behind @ ..] = rest {
        let (payload, next) = behind.split_at(behind.len().min(usize::from(*length)));
        rest = next;
        number += 1;
        let bytes = packet(*id, *protocol, u16::from_be_bytes([*high, *low]), payload);
        let frame = Frame {
            number: FrameNumber(number),
            // A second for each of the bits above those of the identification.
            time: Timestamp::from_nanoseconds(
                i128::from(number + u64::from(id >> 2)) * 1_000_000_000,
            ),
            link_type: LinkType::RAW,
            bytes: &bytes,
            original_length: bytes.len() as u32,
            note: None,
        };
        counted += match decode(&frame) {
            Err(Skipped::Fragment) => u64::from(table.decode(frame).is_some()),
            Ok(_) | Err(_) => 1,
        };
    }
    let skipped: u64 = table.into_skipped().rows().iter().map(|(_, count, _)| count).sum();
    assert_eq!(counted + skipped, number, "every frame counts once");
});
