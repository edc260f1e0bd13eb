//! A frame of any link type: two bytes choose it, four are the length on the wire.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use portmortem::capture::{Frame, LinkType};
use portmortem::net::FrameNumber;
use portmortem::packet::{Body, decode};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let [high, low, l0, l1, l2, l3, bytes @ ..] = bytes else { return Corpus::Reject };
    // Numbers from 0x8000 on are Network Monitor's media.
    let link_type = match u16::from_be_bytes([*high, *low]) {
        pcap @ 0..0x8000 => LinkType::pcap(pcap),
        netmon => LinkType::netmon(netmon & 0x7fff),
    };
    let original_length = u32::from_be_bytes([*l0, *l1, *l2, *l3]);
    let frame =
        Frame { number: FrameNumber(1), time: None, link_type, bytes, original_length, note: None };
    match decode(&frame) {
        Ok(packet) => {
            assert!(packet.payload.len() <= bytes.len());
            assert!(packet.encapsulation.layers().count() <= 16);
            let length = match packet.body {
                Body::Segment(segment) => segment.length,
                Body::Datagram { length } | Body::LaterFragment { length, .. } => length,
                Body::CutSegment | Body::IcmpError(_) => 0,
            };
            let wire = (original_length as usize).max(bytes.len()).max(0x1_0000);
            assert!(length as usize <= wire, "{length} bytes of {wire}");
        }
        Err(reason) => assert!(!reason.to_string().is_empty()),
    }
    Corpus::Keep
});
