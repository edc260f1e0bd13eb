//! Finds the flow that a packet belongs to, or begins it.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::flow::listen::Listening;
use crate::flow::{Finished, Flow, Handshake, InitiatorBy, KnownPorts};
use crate::net::{End, FlowKey, SeqNumber, Timestamp, Transport};
use crate::packet::{Body, Flags, IcmpError, Packet, Segment, Skipped, SkippedTally};

/// All flows of a capture, or of a shard of it.
///
/// Packets must come in the order of the capture. Flows come out in the order in which they
/// began. A fixed hash seed is safe here: reports do not depend on the order of the table, and a
/// capture made to collide slows down only its own analysis.
#[derive(Debug)]
pub struct FlowTable {
    known_ports: KnownPorts,
    /// Nanoseconds of silence that end a UDP flow.
    udp_idle: i64,
    flows: Vec<Flow>,
    /// The newest flow of each key.
    newest: HashMap<FlowKey, usize, FixedState>,
    /// Attempts by initial sequence number, of keys that hold several.
    attempts: HashMap<(FlowKey, End, u32), usize, FixedState>,
    skipped: SkippedTally,
    /// What listens to each flow.
    listening: Vec<Listening>,
    hearing: Hearing,
}

/// How well a table hears what the payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// Payload is left alone: to measure what the probes cost.
    Nothing,
    /// Flows keep what their probes heard, in sum.
    Sums,
    /// Flows keep every signal too, without bound: to compare them with what others read.
    Signals,
}

impl FlowTable {
    /// A table without flows. `udp_idle` is in nanoseconds.
    pub fn new(known_ports: KnownPorts, udp_idle: i64) -> FlowTable {
        FlowTable {
            known_ports,
            udp_idle,
            flows: Vec::new(),
            newest: HashMap::default(),
            attempts: HashMap::default(),
            skipped: SkippedTally::default(),
            listening: Vec::new(),
            hearing: Hearing::Sums,
        }
    }

    /// The same table, hearing more or less.
    #[must_use]
    pub fn hearing(self, hearing: Hearing) -> FlowTable {
        FlowTable { hearing, ..self }
    }

    /// Takes a packet into account.
    pub fn observe(&mut self, packet: &Packet<'_>) {
        match packet.body {
            Body::Segment(segment) => self.observe_segment(packet, segment),
            Body::CutSegment => {
                let index = self.newest_or_begin(packet);
                if let Some(flow) = self.flows.get_mut(index)
                    && flow.count(packet, 0)
                {
                    if !flow.tcp.cut {
                        flow.keep_evidence(packet);
                    }
                    flow.tcp.cut = true;
                }
            }
            Body::Datagram { length } => {
                let idle = self.udp_idle;
                let silent = |flow: &Flow| is_silent(flow.last_seen, packet.time, idle);
                if self.newest_of(&packet.key).is_some_and(silent) {
                    self.newest.remove(&packet.key);
                }
                let index = self.newest_or_begin(packet);
                let both = (self.flows.get_mut(index), self.listening.get_mut(index));
                if let (Some(flow), Some(listening)) = both
                    && flow.observe_datagram(packet, length)
                {
                    listening.datagram(flow, packet, length, self.hearing);
                }
            }
            Body::LaterFragment { at, length } => {
                let index = self.newest.get(&packet.key).copied();
                let Some(index) = index else {
                    return self.skipped.count(Skipped::HeadlessFragment, packet.frame);
                };
                if let Some(flow) = self.flows.get_mut(index) {
                    flow.observe_later_fragment(packet, at, length);
                }
                // A datagram's payload is heard as far as its first fragment holds it.
                if packet.key.transport() == Transport::Tcp {
                    let (flags, ack) = (Flags(0), SeqNumber(0));
                    let segment = Segment { seq: at, ack, flags, window: 0, length };
                    self.listen(index, packet, segment);
                }
            }
            Body::IcmpError(error) => self.observe_icmp_error(packet, error),
        }
    }

    /// The flows in the order in which they began, and the packets that belong to none.
    pub fn into_flows(mut self) -> (Vec<Flow>, SkippedTally) {
        for (flow, listening) in self.flows.iter_mut().zip(&mut self.listening) {
            listening.finish(flow, self.hearing);
        }
        (self.flows, self.skipped)
    }

    /// The flows, and the packets that belong to none.
    pub fn finish(self) -> (Finished, SkippedTally) {
        let (flows, skipped) = self.into_flows();
        (Finished::of_flows(flows), skipped)
    }

    fn newest_of(&self, key: &FlowKey) -> Option<&Flow> {
        self.flows.get(*self.newest.get(key)?)
    }

    fn observe_segment(&mut self, packet: &Packet<'_>, segment: Segment) {
        let Some(&index) = self.newest.get(&packet.key) else {
            self.begin_segment(packet, segment);
            return;
        };
        let index = if segment.flags.has(Flags::RST) {
            self.refused_attempt(packet, segment).or(Some(index))
        } else if segment.flags.has(Flags::SYN) {
            self.attempt_of(packet, segment, index)
        } else {
            Some(index)
        };
        let Some(index) = index else {
            self.begin_segment(packet, segment);
            return;
        };
        let Some(flow) = self.flows.get_mut(index) else { return };
        // A handshake that was captured after other segments corrects a guess.
        let opens = segment.flags.is_syn() && !segment.flags.has(Flags::RST);
        let accepts = segment.flags.is_syn_ack() && !segment.flags.has(Flags::RST);
        let from_initiator = flow.is_from_initiator(packet);
        if flow.initiator_by != InitiatorBy::Handshake
            && (opens && !from_initiator || accepts && from_initiator)
        {
            flow.swap_sides();
        }
        flow.observe_segment(packet, segment);
        self.listen(index, packet, segment);
    }

    /// Lets the probes hear a segment.
    fn listen(&mut self, index: usize, packet: &Packet<'_>, segment: Segment) {
        let both = (self.flows.get_mut(index), self.listening.get_mut(index));
        if let (Some(flow), Some(listening)) = both {
            listening.segment(flow, packet, segment, self.hearing);
        }
    }

    /// The attempt that a reset refuses, where its key holds several.
    fn refused_attempt(&self, packet: &Packet<'_>, segment: Segment) -> Option<usize> {
        let initiator = packet.sender.opposite();
        let isn = segment.ack.plus(u32::MAX);
        self.attempts.get(&(packet.key, initiator, isn.0)).copied()
    }

    /// The attempt that a SYN or SYN-ACK belongs to; `None` where it begins one.
    fn attempt_of(&self, packet: &Packet<'_>, segment: Segment, newest: usize) -> Option<usize> {
        let flow = self.flows.get(newest)?;
        let from_initiator = flow.is_from_initiator(packet);
        if segment.flags.is_syn() {
            let sender = if from_initiator { &flow.initiator } else { &flow.responder };
            if sender.isn == Some(segment.seq) {
                return Some(newest);
            }
            let simultaneous = !from_initiator
                && flow.tcp.handshake == Handshake::SynSent
                && flow.responder.packets == 0;
            if simultaneous {
                return Some(newest);
            }
            return self.attempts.get(&(packet.key, packet.sender, segment.seq.0)).copied();
        }
        if from_initiator {
            let joins = flow.tcp.simultaneous
                || flow.initiator_by != InitiatorBy::Handshake
                    && flow.responder.isn.is_some_and(|isn| segment.ack == isn.plus(1));
            return joins.then_some(newest);
        }
        if flow.acknowledges_syn(segment) {
            return Some(newest);
        }
        let isn = segment.ack.plus(u32::MAX);
        let initiator = packet.sender.opposite();
        let earlier = self.attempts.get(&(packet.key, initiator, isn.0)).copied();
        // A SYN-ACK of another connection in answer to a SYN is a challenge to it.
        let unanswered = matches!(
            flow.tcp.handshake,
            Handshake::SynSent | Handshake::Refused | Handshake::Abandoned
        );
        earlier.or(unanswered.then_some(newest))
    }

    /// Begins a TCP flow with this segment.
    fn begin_segment(&mut self, packet: &Packet<'_>, segment: Segment) {
        let reset = segment.flags.has(Flags::RST);
        let mut flow = if segment.flags.is_syn() && !reset {
            Flow::begin(packet, packet.sender, InitiatorBy::Handshake)
        } else if segment.flags.is_syn_ack() && !reset {
            let mut flow = Flow::begin(packet, packet.sender.opposite(), InitiatorBy::Handshake);
            flow.initiator.isn = Some(segment.ack.plus(u32::MAX));
            flow
        } else {
            let (initiator, by) = self.guess_initiator(packet);
            Flow::begin(packet, initiator, by)
        };
        flow.observe_segment(packet, segment);
        let index = self.add(flow);
        self.listen(index, packet, segment);
    }

    /// The newest flow of a packet's key, begun with this packet where there is none.
    fn newest_or_begin(&mut self, packet: &Packet<'_>) -> usize {
        if let Some(&index) = self.newest.get(&packet.key) {
            return index;
        }
        let (initiator, by) = self.guess_initiator(packet);
        self.add(Flow::begin(packet, initiator, by))
    }

    fn add(&mut self, flow: Flow) -> usize {
        let index = self.flows.len();
        if let Some(earlier) = self.newest.insert(flow.key, index)
            && flow.transport() == Transport::Tcp
        {
            for index in [earlier, index] {
                let flow =
                    if index == self.flows.len() { Some(&flow) } else { self.flows.get(index) };
                if let Some((key, end, isn)) = flow.and_then(attempt_key) {
                    self.attempts.entry((key, end, isn.0)).or_insert(index);
                }
            }
        }
        self.flows.push(flow);
        self.listening.push(Listening::default());
        index
    }

    /// Who opened a flow without a handshake: the side whose peer has the known service port; for
    /// TCP else the one with the higher port; else the first sender.
    fn guess_initiator(&self, packet: &Packet<'_>) -> (End, InitiatorBy) {
        let transport = packet.key.transport();
        let (sender, receiver) = (packet.sender, packet.sender.opposite());
        let from = packet.key.endpoint(sender).port;
        let to = packet.key.endpoint(receiver).port;
        let known = |port| self.known_ports.is_service(transport, port);
        // Nobody but its sender opens what goes to a group.
        if transport == Transport::Udp && packet.to_group {
            return (sender, InitiatorBy::FirstPacket);
        }
        match (known(from), known(to)) {
            (true, false) => (receiver, InitiatorBy::Port),
            (false, true) => (sender, InitiatorBy::Port),
            _ if transport == Transport::Udp || from == to => (sender, InitiatorBy::FirstPacket),
            _ if from < to => (receiver, InitiatorBy::Port),
            _ => (sender, InitiatorBy::Port),
        }
    }

    fn observe_icmp_error(&mut self, packet: &Packet<'_>, error: IcmpError) {
        let by_seq = error
            .quoted_seq
            .and_then(|seq| self.attempts.get(&(packet.key, packet.sender, seq.0)).copied());
        let index = by_seq.or_else(|| self.newest.get(&packet.key).copied());
        let Some(flow) = index.and_then(|index| self.flows.get_mut(index)) else {
            self.skipped.count(Skipped::QuotedOnly, packet.frame);
            return;
        };
        flow.last_frame = packet.frame;
        flow.last_seen = packet.time.or(flow.last_seen);
        flow.keep_evidence(packet);
        if flow.is_from_initiator(packet) {
            match meaning(error) {
                IcmpMeaning::Prohibited => flow.prohibited = true,
                IcmpMeaning::Unreachable => flow.unreachable = true,
                IcmpMeaning::Other => {}
            }
        }
    }
}

/// The initiator's end and initial sequence number of a flow whose handshake was captured.
fn attempt_key(flow: &Flow) -> Option<(FlowKey, End, SeqNumber)> {
    let known = flow.tcp.syns > 0 || flow.tcp.syn_acks > 0;
    known.then_some((flow.key, flow.initiator_end, flow.initiator.isn?))
}

fn is_silent(last: Option<Timestamp>, now: Option<Timestamp>, idle: i64) -> bool {
    matches!((last, now), (Some(last), Some(now)) if now.since(last) >= idle)
}

enum IcmpMeaning {
    Prohibited,
    Unreachable,
    Other,
}

/// What an ICMP error says of the quoted packet (RFC 792, RFC 1812 5.2.7.1, RFC 4443 3.1).
fn meaning(error: IcmpError) -> IcmpMeaning {
    match (!error.reporter.is_ipv6(), error.icmp_type, error.code) {
        (true, 3, 9 | 10 | 13) | (false, 1, 1 | 5 | 6) => IcmpMeaning::Prohibited,
        // 3/4 asks for smaller packets: path MTU discovery at work.
        (true, 3, 4) => IcmpMeaning::Other,
        (true, 3, _) | (false, 1, _) => IcmpMeaning::Unreachable,
        _ => IcmpMeaning::Other,
    }
}

#[cfg(test)]
mod tests {
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
                    crate::net::Timestamp::from_nanoseconds(
                        i128::from(time.as_nanoseconds()) + 40_000,
                    )
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
}
