//! Packets of a few flows, six bytes each, to verdicts that keep the contract.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use portmortem::flow::FlowTable;
use portmortem::net::{End, Endpoint, FlowKey, FrameNumber, SeqNumber, Timestamp, Transport};
use portmortem::packet::{Body, Encapsulation, Flags, Heading, IcmpError, Packet, Segment};

/// Few numbers, close together, so that packets fit each other often.
const NUMBERS: [u32; 8] = [0, 1, 1_000, 1_001, 1_011, 2_000, 2_001, u32::MAX];
const LENGTHS: [u32; 4] = [0, 1, 10, 1_460];
/// Milliseconds from one packet to the next.
const STEPS: [i64; 8] = [0, 1, 40, 500, 3_000, 6_000, 61_000, -1];

/// The element that the lowest bits of `bits` name, which are taken off.
fn take<T: Copy>(of: &[T], bits: &mut u64) -> T {
    let count = of.len() as u64;
    let chosen = of[(*bits % count) as usize];
    *bits /= count;
    chosen
}

fn packet(number: u64, mut bits: u64, now: &mut i64) -> Packet<'static> {
    *now += take(&STEPS, &mut bits) * 1_000_000;
    let back = take(&[false, true], &mut bits);
    let transport =
        take(&[Transport::Tcp, Transport::Tcp, Transport::Tcp, Transport::Udp], &mut bits);
    let (near, far) = take(&[(50_000, 389), (50_000, 50_001)], &mut bits);
    let low = Endpoint { address: IpAddr::from([10, 0, 0, 5]).into(), port: near };
    let high = Endpoint { address: IpAddr::from([10, 1, 0, 10]).into(), port: far };
    let (from, to) = if back { (high, low) } else { (low, high) };
    let (key, sender): (FlowKey, End) = FlowKey::of(transport, from, to);
    let kind = take(&[0_u8, 1, 2, 3, 4, 5, 6, 7], &mut bits);
    let seq = SeqNumber(take(&NUMBERS, &mut bits));
    let ack = SeqNumber(take(&NUMBERS, &mut bits));
    let length = take(&LENGTHS, &mut bits);
    let ip_id = Some(take(&[0_u16, 1, 2, 3], &mut bits));
    let flags = take(
        &[
            Flags::SYN,
            Flags::SYN | Flags::ACK,
            Flags::ACK,
            Flags::ACK,
            Flags::RST,
            Flags::RST | Flags::ACK,
            Flags::FIN | Flags::ACK,
            0xff,
        ],
        &mut bits,
    );
    let (icmp_type, code) = take(&[(3, 1), (3, 13), (3, 3), (11, 0)], &mut bits);
    let to_group = take(&[false, false, false, true], &mut bits);
    let body = match (kind, transport) {
        (0, _) => {
            let reporter = if back { low.address } else { IpAddr::from([10, 9, 9, 9]).into() };
            Body::IcmpError(IcmpError { reporter, icmp_type, code, quoted_seq: Some(seq) })
        }
        (_, Transport::Udp) => Body::Datagram { length },
        (1, Transport::Tcp) => Body::CutSegment,
        (_, Transport::Tcp) => {
            Body::Segment(Segment { seq, ack, flags: Flags(flags), window: 8192, length })
        }
    };
    Packet {
        frame: FrameNumber(number),
        time: Timestamp::from_nanoseconds((*now).into()),
        key,
        sender,
        ttl: 64,
        ip_id,
        body,
        payload: &[],
        to_group,
        encapsulation: Encapsulation::default(),
        link: None,
        heading: Heading::Unknown,
        of_row: None,
        note: None,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut table = FlowTable::new(portmortem_fuzz::known_ports(), 60_000_000_000);
    let mut now = 1_400_000_000_000_000_000;
    let (mut counted, mut last) = (0, None);
    for (number, chunk) in (1..).zip(bytes.chunks_exact(6)) {
        let mut eight = [0; 8];
        eight[..6].copy_from_slice(chunk);
        let packet = packet(number, u64::from_le_bytes(eight), &mut now);
        counted += u64::from(!matches!(packet.body, Body::IcmpError(_)));
        last = last.max(packet.time);
        table.observe(&packet);
    }
    let (flows, _) = table.into_flows();
    let told: u64 = flows
        .iter()
        .map(|flow| flow.initiator.packets + flow.responder.packets + flow.duplicates)
        .sum();
    assert_eq!(told, counted, "every packet is in one flow");
    for flow in &flows {
        portmortem_fuzz::judge(flow, last);
    }
});
