//! Flows for tests, played from letters: `SSrShA` is a SYN, its repeat, a reset, and so on.
//!
//! Letters as in [`crate::flow::History`], and `x`: a pure ACK of the responder with a foreign
//! number; `z`: a reset of the responder that acknowledges nothing; `p`, `u`: ICMP errors that
//! say prohibited and unreachable. One packet a second from the time 0; the initiator is
//! 10.0.0.5:52702, the responder 10.1.0.10:135.

use crate::flow::{Flow, FlowTable, KnownPorts};
use crate::net::{End, Endpoint, FlowKey, FrameNumber, SeqNumber, Timestamp, Transport};
use crate::packet::{Body, Encapsulation, Flags, Heading, IcmpError, Packet, Segment};

/// Time of the packet at this place of a script.
pub(crate) fn second(place: usize) -> Timestamp {
    Timestamp::from_nanoseconds(i128::try_from(place).unwrap() * 1_000_000_000).unwrap()
}

/// One side of a script.
#[derive(Clone, Copy)]
struct Voice {
    next: SeqNumber,
    flags_sent: u8,
}

/// The packets of a script.
pub(crate) fn packets(script: &str) -> Vec<Packet<'static>> {
    let initiator = Endpoint { address: "10.0.0.5".parse().unwrap(), port: 52702 };
    let responder = Endpoint { address: "10.1.0.10".parse().unwrap(), port: 135 };
    let (key, initiator_end) = FlowKey::of(Transport::Tcp, initiator, responder);
    let mut voices = [Voice { next: SeqNumber(1_000), flags_sent: 0 }; 2];
    voices[1].next = SeqNumber(5_000);
    let mut packets = Vec::new();
    for (place, letter) in script.chars().enumerate() {
        let from_initiator = letter.is_ascii_uppercase();
        let (us, them) = if from_initiator { (0, 1) } else { (1, 0) };
        let (isn, theirs) = ([1_000, 5_000][us], voices[them]);
        let heard = if theirs.flags_sent == 0 { SeqNumber(0) } else { theirs.next };
        let us = &mut voices[us];
        let mut segment =
            Segment { seq: us.next, ack: heard, flags: Flags(Flags::ACK), window: 512, length: 0 };
        match letter.to_ascii_uppercase() {
            'S' | 'H' => {
                segment.seq = SeqNumber(isn);
                segment.flags = Flags(if letter.eq_ignore_ascii_case(&'S') {
                    Flags::SYN
                } else {
                    Flags::SYN | Flags::ACK
                });
                us.next = SeqNumber(isn + 1);
            }
            'D' => {
                segment.length = 100;
                us.next = us.next.plus(100);
            }
            'F' => {
                segment.flags = Flags(Flags::ACK | Flags::FIN);
                us.next = us.next.plus(1);
            }
            'R' => {
                segment.flags = Flags(Flags::ACK | Flags::RST);
                segment.window = 0;
                if us.flags_sent == 0 {
                    segment.seq = SeqNumber(0);
                }
            }
            'X' => segment.ack = SeqNumber(77_777),
            'Z' => segment.flags = Flags(Flags::RST),
            'A' | 'P' | 'U' => {}
            other => panic!("no such letter: {other}"),
        }
        let (sender, body) = match letter {
            'p' | 'u' => {
                let code = if letter == 'p' { 13 } else { 1 };
                let reporter = "10.0.0.1".parse().unwrap();
                let quoted_seq = Some(SeqNumber(1_000));
                (
                    initiator_end,
                    Body::IcmpError(IcmpError { reporter, icmp_type: 3, code, quoted_seq }),
                )
            }
            _ => {
                us.flags_sent |= segment.flags.0;
                let end = if from_initiator { initiator_end } else { initiator_end.opposite() };
                (end, Body::Segment(segment))
            }
        };
        packets.push(packet(place, key, sender, body));
    }
    packets
}

/// A packet at this place of a script.
pub(crate) fn packet(place: usize, key: FlowKey, sender: End, body: Body) -> Packet<'static> {
    Packet {
        frame: FrameNumber(place as u64 + 1),
        time: Some(second(place)),
        key,
        sender,
        ttl: 128,
        ip_id: Some(u16::try_from(place + 1).unwrap()),
        body,
        payload: &[],
        to_group: false,
        encapsulation: Encapsulation::default(),
        link: None,
        heading: Heading::Unknown,
        of_row: None,
        note: None,
    }
}

/// All flows of these packets.
pub(crate) fn flows(packets: &[Packet<'_>]) -> Vec<Flow> {
    let mut table = FlowTable::new(KnownPorts::default(), 60_000_000_000);
    for packet in packets {
        table.observe(packet);
    }
    table.into_flows().0
}

/// The one flow of a script.
pub(crate) fn play(script: &str) -> Flow {
    let mut flows = flows(&packets(script));
    assert_eq!(flows.len(), 1, "{script}");
    flows.remove(0)
}
