//! Which flow a packet belongs to, from played letters.

use super::*;
use crate::flow::script::{flows, packets, play};
use crate::net::Endpoint;

/// A script with another initial sequence number, some seconds later.
fn attempt(script: &str, isn: u32, later: usize) -> Vec<Packet<'static>> {
    let mut packets = packets(script);
    for packet in &mut packets {
        packet.frame.0 += later as u64;
        packet.time =
            Some(crate::flow::script::second(usize::try_from(packet.frame.0).unwrap() - 1));
        packet.ip_id = packet.ip_id.map(|id| id + u16::try_from(later).unwrap());
        if let Body::Segment(segment) = &mut packet.body {
            let from_initiator = packet.key.endpoint(packet.sender).port == 52702;
            let number = if from_initiator { &mut segment.seq } else { &mut segment.ack };
            *number = number.plus(isn.wrapping_sub(1_000));
        }
    }
    packets
}

#[test]
fn a_syn_with_another_number_begins_the_next_flow() {
    let all = [attempt("SSS", 1_000, 0), attempt("ShA", 9_000, 3)].concat();
    let flows = flows(&all);
    let histories: Vec<String> = flows.iter().map(|flow| flow.history.to_string()).collect();
    assert_eq!(histories, ["SSS", "ShA"]);
}

#[test]
fn a_syn_with_the_same_number_is_a_retransmission_however_late() {
    let mut late = attempt("S", 1_000, 4_000);
    late[0].time = crate::net::Timestamp::from_nanoseconds(86_400_000_000_000);
    let all = [attempt("S", 1_000, 0), attempt("Sr", 9_000, 1), late].concat();
    let flows = flows(&all);
    let histories: Vec<String> = flows.iter().map(|flow| flow.history.to_string()).collect();
    assert_eq!(histories, ["SS", "Sr"]);
}

#[test]
fn a_reset_refuses_the_attempt_that_it_acknowledges() {
    let answer = attempt("Sr", 1_000, 5).split_off(1);
    let all = [attempt("S", 1_000, 0), attempt("S", 9_000, 1), answer].concat();
    let flows = flows(&all);
    let histories: Vec<String> = flows.iter().map(|flow| flow.history.to_string()).collect();
    assert_eq!(histories, ["Sr", "S"]);
}

#[test]
fn a_syn_ack_stored_before_its_syn_joins_it() {
    let mut all = packets("ShA");
    all.swap(0, 1);
    let flows = flows(&all);
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].tcp.handshake, Handshake::Confirmed);
    assert_eq!(flows[0].initiator_endpoint().port, 52702);
}

#[test]
fn the_initiators_ack_stored_before_the_syn_ack_confirms_it() {
    let mut all = packets("ShA");
    all.swap(1, 2);
    let flows = flows(&all);
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].tcp.handshake, Handshake::Confirmed);
    assert_eq!(flows[0].tcp.syn_acks, 1);
}

#[test]
fn a_handshake_that_corrects_who_called_corrects_who_reset() {
    let mut all = packets("rHa");
    let Body::Segment(reset) = &mut all[0].body else { panic!("a segment") };
    // Where the SYN that was not captured ended, so that the SYN-ACK answers it.
    reset.seq = SeqNumber(5_000);
    let flows = flows(&all);
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].initiator_endpoint().port, 135);
    assert_eq!(flows[0].tcp.reset_by, Some(crate::flow::Sender::Initiator));
    assert!(!flows[0].tcp.reset_before_answer);
}

#[test]
fn copies_are_counted_apart() {
    let mut all = Vec::new();
    for packet in packets("SSS") {
        let copy = Packet {
            ttl: packet.ttl - 1,
            time: packet.time.and_then(|time| {
                crate::net::Timestamp::from_nanoseconds(i128::from(time.as_nanoseconds()) + 40_000)
            }),
            ..packet
        };
        all.extend([packet, copy]);
    }
    let flows = flows(&all);
    assert_eq!((flows[0].tcp.syns, flows[0].duplicates), (3, 3));
    assert_eq!(flows[0].history.to_string(), "SSS");
}

#[test]
fn many_attempts_on_one_pair_of_ports_are_found_by_their_numbers() {
    let mut all = Vec::new();
    for number in 0..500 {
        all.extend(attempt("S", number * 7_919, number as usize));
    }
    for number in 0..500 {
        all.extend(attempt("S", number * 7_919, 1_000 + number as usize));
    }
    let flows = flows(&all);
    assert_eq!(flows.len(), 500);
    assert!(flows.iter().all(|flow| flow.tcp.syns == 2));
}

#[test]
fn without_a_handshake_the_known_port_tells_who_was_called() {
    let flow = play("dD");
    assert_eq!(flow.initiator_endpoint().port, 52702);
    assert_eq!(flow.initiator_by, InitiatorBy::Port);
}

fn datagram(place: usize, from: u16, to: u16) -> Packet<'static> {
    let endpoint = |port| {
        let address = if port < 10_000 { "10.1.0.10" } else { "10.0.0.5" };
        Endpoint { address: address.parse().unwrap(), port }
    };
    let (key, sender) = FlowKey::of(Transport::Udp, endpoint(from), endpoint(to));
    crate::flow::script::packet(place, key, sender, Body::Datagram { length: 40 })
}

#[test]
fn later_fragments_count_in_the_flow_of_their_first() {
    let piece = |at, ip_id| Packet {
        ip_id: Some(ip_id),
        body: Body::LaterFragment { at: SeqNumber(at), length: 10 },
        ..datagram(1, 50_000, 53)
    };
    // One of them was captured twice.
    let found = flows(&[datagram(0, 50_000, 53), piece(40, 7), piece(40, 7), piece(50, 7)]);
    let [flow] = &found[..] else { panic!("{} flows", found.len()) };
    assert_eq!((flow.initiator.packets, flow.initiator.bytes, flow.duplicates), (3, 60, 1));
    assert_eq!(flow.history.to_string(), "D");
    // Without its flow it is none.
    assert!(flows(&[piece(40, 7)]).is_empty());
}

#[test]
fn what_is_acknowledged_may_have_come_in_fragments() {
    let mut all = attempt("Dd", 1_000, 0);
    let Body::Segment(data) = all[0].body else { panic!("a segment") };
    let at = data.seq.plus(data.length);
    all.truncate(1);
    all.push(Packet { body: Body::LaterFragment { at, length: 500 }, ..all[0] });
    let mut answer = attempt("a", 1_000, 2).remove(0);
    let Body::Segment(segment) = &mut answer.body else { panic!("a segment") };
    segment.ack = at.plus(500);
    all.push(answer);
    assert_eq!(flows(&all)[0].tcp.handshake, Handshake::Confirmed);
}

#[test]
fn udp_flows_end_with_a_minute_of_silence() {
    let all = [datagram(0, 50_000, 53), datagram(59, 50_000, 53), datagram(120, 50_000, 53)];
    let flows = flows(&all);
    assert_eq!(flows.iter().map(|flow| flow.initiator.packets).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn datagrams_are_told_apart_by_their_payload() {
    // Records of DTLS begin alike for ten bytes and follow each other at once.
    let record = |number: u8, microseconds: i128| Packet {
        ip_id: None,
        time: crate::net::Timestamp::from_nanoseconds(microseconds * 1_000),
        payload: match number {
            0 => b"\x17\xfe\xfd\0\x01\0\0\0\0\0\0aaaa",
            _ => b"\x17\xfe\xfd\0\x01\0\0\0\0\0\x01aaaa",
        },
        ..datagram(0, 50_000, 443)
    };
    let flows = flows(&[record(0, 0), record(1, 200), record(1, 220)]);
    assert_eq!((flows[0].initiator.packets, flows[0].duplicates), (2, 1));
}

#[test]
fn what_goes_to_a_group_is_opened_by_its_sender() {
    let offer = Packet { to_group: true, ..datagram(0, 67, 50_000) };
    assert_eq!(flows(&[offer])[0].initiator_endpoint().port, 67);
}

#[test]
fn a_udp_answer_alone_names_its_asker() {
    let flows = flows(&[datagram(0, 53, 50_000)]);
    assert_eq!(flows[0].initiator_endpoint().port, 50_000);
    assert!(!flows[0].answered);
}

/// A table with a flow for each of these frames, in this order.
fn begun_in(frames: impl Iterator<Item = usize>) -> Finished {
    let mut table = FlowTable::new(KnownPorts::default(), 60_000_000_000);
    for frame in frames {
        let isn = u32::try_from(frame).unwrap() * 1_000;
        for packet in attempt("S", isn, frame - 1) {
            table.observe(&packet);
        }
    }
    table.finish().0
}

fn first_frames(flows: &Finished) -> Vec<u64> {
    flows.iter().map(|flow| flow.first_frame.0).collect()
}

/// As in texts whose rows have numbers of their own.
#[test]
fn flows_stand_by_their_first_frames_though_packets_come_in_another_order() {
    assert_eq!(first_frames(&begun_in([10, 3, 7].into_iter())), [3, 7, 10]);
}

#[test]
fn flows_of_all_shards_stand_by_their_first_frames() {
    // One shard has every third frame, one those that are left up to 100, one the rest, backwards; and
    // one has none.
    let rest = || (1..=400).filter(|frame| frame % 3 != 0);
    let shards = vec![
        begun_in((1..=400).filter(|frame| frame % 3 == 0)),
        begun_in(rest().filter(|frame| *frame <= 100)),
        begun_in(rest().filter(|frame| *frame > 100).rev()),
        begun_in(std::iter::empty()),
    ];
    let expected: Vec<u64> = (1..=400).collect();
    assert_eq!(first_frames(&Finished::of_shards(shards)), expected);
    assert!(
        Finished::of_shards(vec![begun_in(std::iter::empty()), Finished::default()]).is_empty()
    );
}
