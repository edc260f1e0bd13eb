//! Putting flows away and taking them out again changes nothing.

use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use crate::capture::FrameNote;
use crate::flow::script::packet;
use crate::flow::table::{FlowTable, UNBOUNDED};
use crate::flow::{Budget, Flow, KnownPorts, Look, packed::Store};
use crate::net::{Endpoint, FlowKey, SeqNumber, Timestamp, Transport};
use crate::packet::{Body, Encapsulation, Flags, Heading, IcmpError, LayerKind, Packet, Segment};

/// A question for the address of a name (RFC 1035 4.1.1), and an answer that it does not exist.
const QUESTION: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03dc1\x07example\x03com\0\0\x01\0\x01";
const NO_SUCH: &[u8] = b"\0\x07\x81\x83\0\x01\0\0\0\0\0\0\x03dc1\x07example\x03com\0\0\x01\0\x01";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: cm01.example.com\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

const LINKS: [[u8; 12]; 2] = [[2; 12], [4; 12]];

/// What both kinds of looks tell.
fn looked_at(look: Look<'_>) -> String {
    let of_flow = |flow: &Flow| {
        let counts = (flow.initiator.packets, flow.responder.packets, flow.tcp.syns);
        let ends = (flow.initiator_endpoint(), flow.responder_endpoint());
        format!("{:?}", (counts, ends, flow.first_seen, flow.initiator.first))
    };
    match look {
        Look::Flow(flow) => of_flow(flow),
        Look::LoneSyn(syn) => {
            format!("{:?}", ((1, 0, 1), (syn.initiator, syn.responder), syn.seen, syn.first))
        }
    }
}

fn ends() -> impl Strategy<Value = (Endpoint, Endpoint)> {
    let endpoint =
        |(address, port): (&str, u16)| Endpoint { address: address.parse().unwrap(), port };
    let few = [
        (("10.0.0.5", 50_000), ("10.1.0.10", 445)),
        (("10.0.0.5", 50_001), ("10.1.0.10", 80)),
        (("2001:db8::5", 50_000), ("2001:db8::10", 53)),
        (("10.0.0.5", 50_002), ("10.1.0.10", 53)),
        (("DC1", 1_000), ("10.1.0.10", 88)),
    ];
    (prop::sample::select(few.to_vec()), any::<bool>()).prop_map(move |((a, b), back)| {
        let (a, b) = (endpoint(a), endpoint(b));
        if back { (b, a) } else { (a, b) }
    })
}

fn body() -> impl Strategy<Value = (Transport, Body, &'static [u8])> {
    let flags = prop::sample::select(vec![
        Flags::SYN,
        Flags::SYN,
        Flags::SYN,
        Flags::SYN | Flags::ACK,
        Flags::ACK,
        Flags::ACK,
        Flags::ACK | Flags::FIN,
        Flags::RST,
        Flags::RST | Flags::ACK,
        Flags::SYN | Flags::FIN,
    ]);
    let number = prop_oneof![Just(0_u32), 1_000..1_003_u32, 5_000..5_003_u32, any::<u32>()];
    let text = prop::sample::select(vec![&b""[..], REQUEST, ANSWER, QUESTION, NO_SUCH]);
    let more = prop_oneof![Just(0_u32), Just(0), 1..2_000_u32];
    let segment = (flags, number.clone(), number.clone(), any::<u16>(), text.clone(), more.clone())
        .prop_map(|(flags, seq, ack, window, payload, more)| {
            let length = u32::try_from(payload.len()).unwrap() + more;
            let (seq, ack) = (SeqNumber(seq), SeqNumber(ack));
            let segment = Segment { seq, ack, flags: Flags(flags), window, length };
            (Transport::Tcp, Body::Segment(segment), payload)
        });
    let datagram = (text, more).prop_map(|(payload, more)| {
        let length = u32::try_from(payload.len()).unwrap() + more;
        (Transport::Udp, Body::Datagram { length }, payload)
    });
    let error = (3..6_u8, 0..14_u8, prop::option::of(number.clone()), any::<bool>()).prop_map(
        |(icmp_type, code, seq, udp)| {
            let reporter = "10.9.9.9".parse().unwrap();
            let quoted_seq = seq.map(SeqNumber);
            let transport = if udp { Transport::Udp } else { Transport::Tcp };
            let error = IcmpError { reporter, icmp_type, code, quoted_seq };
            (transport, Body::IcmpError(error), &b""[..])
        },
    );
    let fragment = (number, 0..2_000_u32, any::<bool>()).prop_map(|(at, length, udp)| {
        let transport = if udp { Transport::Udp } else { Transport::Tcp };
        (transport, Body::LaterFragment { at: SeqNumber(at), length }, &b""[..])
    });
    prop_oneof![
        12 => segment,
        4 => datagram,
        1 => error,
        1 => fragment,
        1 => Just((Transport::Tcp, Body::CutSegment, &b""[..])),
    ]
}

/// What else may differ: milliseconds since the packet before, and things that few packets have.
fn rest() -> impl Strategy<Value = (i64, u8, u8)> {
    let step = prop_oneof![Just(0_i64), Just(1), 2..3_000_i64, Just(70_000), -2_000..0_i64];
    (step, any::<u8>(), prop_oneof![3 => Just(0_u8), 1 => any::<u8>()])
}

fn packets() -> impl Strategy<Value = Vec<Packet<'static>>> {
    prop::collection::vec((ends(), body(), rest()), 1..40).prop_map(|all| {
        let mut now = 1_400_000_000_000_i64;
        let mut left_out = 0;
        let make = |(place, ((from, to), (transport, body, payload), (step, few, rare)))| {
            let (key, sender) = FlowKey::of(transport, from, to);
            let mut packet: Packet<'static> = packet(place, key, sender, body);
            now += step;
            // Other flows' frames, so many that what was said before them is forgotten.
            if rare & 0x48 == 0x48 {
                left_out += 300_000;
            }
            packet.frame.0 += left_out;
            packet.payload = payload;
            // Nanoseconds in some.
            let odd = if few & 1 == 0 { 0 } else { 123 };
            packet.time = Timestamp::from_nanoseconds(i128::from(now) * 1_000_000 + odd);
            let (few, rare): (u8, u8) = (few, rare);
            packet.ttl = 60 + (few >> 6);
            let is_v6 = from.address.is_ipv6();
            packet.ip_id = (!is_v6).then_some(u16::from(few & 6));
            packet.link = LINKS.get(usize::from(few >> 3 & 3));
            packet.to_group = rare & 0x11 == 0x11;
            packet.heading = match rare >> 1 & 3 {
                0 | 1 => Heading::Unknown,
                2 => Heading::Leaving,
                _ => Heading::Arriving,
            };
            if rare & 0x18 == 0x18 {
                let mut vlan = Encapsulation::default();
                vlan.push_numbered(LayerKind::Vlan, u32::from(rare >> 5));
                packet.encapsulation = vlan;
            }
            packet.note = (rare & 0x64 == 0x64).then(|| FrameNote::dropped(7));
            if rare & 0xa0 == 0xa0 {
                packet.time = None;
            }
            packet
        };
        all.into_iter().enumerate().map(make).collect()
    })
}

fn table() -> FlowTable {
    FlowTable::new(KnownPorts::default(), 60_000_000_000)
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1_000))]

    #[test]
    fn flows_that_are_put_away_after_every_packet_are_the_same(packets in packets()) {
        let mut still = table().with_room(UNBOUNDED);
        let mut moving = table().with_room(0);
        let mut usual = table();
        for packet in &packets {
            still.observe(packet);
            moving.observe(packet);
            moving.put_all_away();
        }
        usual.observe_all(&packets);
        // All of them in the file, and read from there again when the next packet comes.
        let budget = Budget::of_bytes(0);
        let mut gone = table().with_room(0).within(budget.clone());
        for packet in &packets {
            gone.observe(packet);
            gone.send_all_away();
        }
        let (expected, skipped) = still.into_texts();
        for other in [moving, usual, gone] {
            let (finished, also_skipped) = other.finish();
            let flows: Vec<String> = finished.iter().map(|flow| format!("{flow:?}")).collect();
            prop_assert_eq!(&flows, &expected);
            prop_assert_eq!(&also_skipped, &skipped);
            let mut walked = Vec::new();
            finished.each(0..finished.len(), |_, look| walked.push(looked_at(look)));
            let seen: Vec<String> = finished.iter().map(|flow| looked_at(Look::Flow(&flow))).collect();
            prop_assert_eq!(&walked, &seen);
        }
        prop_assert_eq!((budget.trouble(), budget.lost()), (None, None));
    }
}

#[test]
fn plain_flows_are_small() {
    for (script, most) in [("S", 36), ("ShADFdfA", 112), ("SrSrSr", 140)] {
        let mut packets = crate::flow::script::packets(script);
        for packet in &mut packets {
            packet.link = LINKS.first();
        }
        let mut table = table();
        table.observe_all(&packets);
        table.put_all_away();
        let bytes = table.longest_record();
        assert!(bytes <= most, "{script}: {bytes}");
    }
}

#[test]
fn an_empty_store_takes_no_memory() {
    assert_eq!(Store::default().bytes(), 0);
}
