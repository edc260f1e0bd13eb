//! Finds the flow that a packet belongs to, or begins it.

use std::collections::HashMap;
use std::hint::black_box;

use foldhash::fast::FixedState;

use crate::flow::begun::Begun;
use crate::flow::budget::{Budget, Share};
use crate::flow::duplicates::{NEAR, Recent, Remembered};
use crate::flow::keys::Keys;
use crate::flow::listen::{Listening, Spare};
use crate::flow::packed::{Aside, Store};
use crate::flow::place::Place;
use crate::flow::{Finished, Flow, Handshake, InitiatorBy, KnownPorts};
use crate::net::{End, FlowKey, SeqNumber, Timestamp, Transport};
use crate::packet::{Body, Flags, IcmpError, Packet, Segment, Skipped, SkippedTally};

/// Flows that are left as they are, however long nothing comes of them: putting a flow away and
/// taking it out again costs more than the memory of so many is worth.
const ROOM: usize = 8_192;

/// Room without bound: nothing is ever put away.
pub(super) const UNBOUNDED: usize = usize::MAX;

/// Flows that begin before it is counted again what the table takes beside the flows that were put
/// away.
const COUNTED: usize = 1 << 14;

/// Packets that are looked up together, so that the processor fetches what they need at once.
const TOGETHER: usize = 32;

/// All flows of a capture, or of a shard of it.
///
/// Packets must come in the order of the capture. Flows come out in the order in which they
/// began. A fixed hash is safe here: reports do not depend on the order of the table, and a
/// capture made to collide slows down only its own analysis.
///
/// Flows of which packets come stand in slots. One that took leave is put away with its last packet,
/// in a tenth of the space and as long as the processor still has it at hand; where there are many,
/// so are those of which nothing came for a while. They are taken out again when something comes:
/// that changes where they are, and nothing else.
#[derive(Debug)]
pub struct FlowTable {
    known_ports: KnownPorts,
    /// Nanoseconds of silence that end a UDP flow.
    udp_idle: i64,
    /// The newest flow of each key.
    newest: Keys,
    /// Where each flow is, in the order in which they began.
    places: Vec<Place>,
    begun: Begun,
    slots: Vec<Slot>,
    /// Slots without a flow.
    free: Vec<usize>,
    /// The slot that is looked at next for a flow to put away.
    hand: usize,
    room: usize,
    store: Store,
    /// The last packets of flows that were put away.
    remembered: Remembered,
    /// Attempts by initial sequence number, of keys that hold several.
    attempts: HashMap<(FlowKey, End, u32), u32, FixedState>,
    skipped: SkippedTally,
    hearing: Hearing,
    /// To be used again.
    dialogues: Spare,
    /// What is in memory beside the store.
    share: Share,
}

/// A flow that is under way, and what listens to it.
#[derive(Debug)]
struct Slot {
    /// Its number; `None` where there is no flow.
    number: Option<u32>,
    /// Whether a packet of it came since it was looked at last.
    touched: bool,
    /// Whether it was put away before, and came back.
    returned: bool,
    listening: Listening,
    flow: Flow,
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

/// The hash of a key that tables go by.
///
/// [`FlowKey::rough`], by which keys are dealt out to shards, is another one: else each shard's table
/// would fill only every n-th of its places.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn hash_of(key: &FlowKey) -> u32 {
    key.mixed() as u32
}

impl FlowTable {
    /// A table without flows. `udp_idle` is in nanoseconds.
    pub fn new(known_ports: KnownPorts, udp_idle: i64) -> FlowTable {
        FlowTable {
            known_ports,
            udp_idle,
            newest: Keys::default(),
            places: Vec::new(),
            begun: Begun::default(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
            room: ROOM,
            store: Store::default(),
            remembered: Remembered::default(),
            attempts: HashMap::default(),
            skipped: SkippedTally::default(),
            hearing: Hearing::Sums,
            dialogues: Spare::default(),
            share: Share::default(),
        }
    }

    /// The same table, which keeps to this budget. To be said before it has flows.
    #[must_use]
    pub fn within(self, budget: Budget) -> FlowTable {
        FlowTable { store: Store::within(budget.clone()), share: Share::of(budget), ..self }
    }

    /// The same table, hearing more or less.
    #[must_use]
    pub fn hearing(self, hearing: Hearing) -> FlowTable {
        FlowTable { hearing, ..self }
    }

    /// Takes packets into account, one after the other: faster than each alone.
    pub fn observe_all(&mut self, packets: &[Packet<'_>]) {
        for packets in packets.chunks(TOGETHER) {
            let mut hashes = [0; TOGETHER];
            let mut flows = [None; TOGETHER];
            // None of these waits for the one before it, so the processor has many under way; one
            // that decides about the next would end that.
            let mut ahead = 0;
            for (packet, hash) in packets.iter().zip(&mut hashes) {
                *hash = hash_of(&packet.key);
                ahead ^= self.newest.touch(*hash);
            }
            for ((hash, flow), _) in hashes.iter().zip(&mut flows).zip(packets) {
                *flow = self.newest.any(*hash);
            }
            let touched = flows.iter().flatten().fold(0, |sum, flow| sum ^ self.touch(*flow));
            // Payload may lie in the cache of the processor that decoded it.
            let said = packets.iter().filter_map(|packet| packet.payload.first());
            black_box((ahead, touched, said.fold(0, |sum, byte| sum ^ byte)));
            let begun = self.places.len();
            for ((packet, hash), flow) in packets.iter().zip(hashes).zip(flows) {
                // As long as no flow begins, the newest ones stay that.
                let still = self.places.len() == begun
                    && flow.is_none_or(|number| self.has_key(number, &packet.key));
                let newest = if still { flow } else { self.newest_of(&packet.key, hash) };
                self.observe_with(packet, hash, newest);
            }
        }
    }

    /// Reads something of where a flow is.
    fn touch(&self, number: u32) -> u64 {
        let place = self.places.get(number as usize).map(|place| place.get());
        match place {
            Some(Ok(slot)) => self.slots.get(slot).map_or(0, |slot| {
                let Flow { key, initiator, responder, last_frame, .. } = &slot.flow;
                let [low, high] = key.parts().2;
                last_frame.0 ^ initiator.packets ^ responder.packets ^ u64::from(low ^ high)
            }),
            Some(Err(at)) => self.store.first_byte_at(at).into(),
            None => 0,
        }
    }

    /// Takes a packet into account.
    pub fn observe(&mut self, packet: &Packet<'_>) {
        let hash = hash_of(&packet.key);
        let newest = self.newest_of(&packet.key, hash);
        self.observe_with(packet, hash, newest);
    }

    /// Takes a packet into account; `newest` is the newest flow of its key.
    fn observe_with(&mut self, packet: &Packet<'_>, hash: u32, newest: Option<u32>) {
        match packet.body {
            Body::Segment(segment) => self.observe_segment(packet, segment, hash, newest),
            Body::CutSegment => {
                let index = self.newest_or_begin(packet, hash, newest);
                if let Some(Slot { flow, .. }) = self.slots.get_mut(index)
                    && flow.count(packet, 0)
                {
                    if !flow.tcp.cut {
                        flow.keep_evidence(packet);
                    }
                    flow.tcp.cut = true;
                }
            }
            Body::Datagram { length } => self.observe_datagram(packet, length, hash, newest),
            Body::LaterFragment { at, length } => {
                let Some(newest) = newest else {
                    return self.skipped.count(Skipped::HeadlessFragment, packet.frame);
                };
                let index = self.slot_of(newest, packet);
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.flow.observe_later_fragment(packet, at, length);
                }
                // A datagram's payload is heard as far as its first fragment holds it.
                if packet.key.transport() == Transport::Tcp {
                    let (flags, ack) = (Flags(0), SeqNumber(0));
                    let segment = Segment { seq: at, ack, flags, window: 0, length };
                    self.listen(index, packet, segment);
                }
            }
            Body::IcmpError(error) => self.observe_icmp_error(packet, error, newest),
        }
    }

    /// The flows in the order in which they began, and the packets that belong to none.
    pub fn into_flows(self) -> (Vec<Flow>, SkippedTally) {
        let (finished, skipped) = self.finish();
        (finished.iter().collect(), skipped)
    }

    /// The flows, and the packets that belong to none.
    pub fn finish(mut self) -> (Finished, SkippedTally) {
        for slot in &mut self.slots {
            if let (Some(number), Slot { flow, listening, .. }) = (slot.number, slot) {
                listening.finish(flow, self.hearing, &mut self.dialogues);
                let at = self.store.put(flow, Aside::default());
                if let Some(place) = self.places.get_mut(number as usize) {
                    *place = Place::stored(at);
                }
            }
        }
        let FlowTable { mut places, begun, store, skipped, .. } = self;
        let FlowTable { newest, slots, remembered, share, .. } = self;
        // What is not needed any more goes first: the last steps take memory too.
        drop((newest, slots, remembered, share));
        places.shrink_to_fit();
        (Finished::of(store, places, begun), skipped)
    }

    /// The number of the newest flow of a key.
    #[inline]
    fn newest_of(&self, key: &FlowKey, hash: u32) -> Option<u32> {
        self.newest.get(hash, |number| self.has_key(number, key))
    }

    /// Whether a flow has this key.
    #[inline]
    fn has_key(&self, number: u32, key: &FlowKey) -> bool {
        match self.places.get(number as usize).map(|place| place.get()) {
            Some(Ok(slot)) => self.slots.get(slot).is_some_and(|slot| slot.flow.key == *key),
            Some(Err(at)) => self.store.key_at(at) == *key,
            None => false,
        }
    }

    /// The slot of a flow, which is taken out of the store where it was put away, so that this
    /// packet can be observed or compared with it.
    fn slot_of(&mut self, number: u32, packet: &Packet<'_>) -> usize {
        let Some(place) = self.places.get(number as usize).map(|place| place.get()) else {
            return usize::MAX;
        };
        let index = place.unwrap_or_else(|at| self.take_out(number, at));
        if let Some(Slot { touched, flow, listening, .. }) = self.slots.get_mut(index) {
            *touched = true;
            if packet.frame.0.saturating_sub(flow.last_frame.0) > NEAR {
                flow.initiator.recent = Recent::default();
                flow.responder.recent = Recent::default();
                listening.forget(flow);
            }
        }
        index
    }

    fn observe_datagram(
        &mut self,
        packet: &Packet<'_>,
        length: u32,
        hash: u32,
        newest: Option<u32>,
    ) {
        let index = match newest {
            None => self.begin_guessed(packet, hash, None),
            Some(number) => {
                let index = self.slot_of(number, packet);
                let last = self.slots.get(index).and_then(|slot| slot.flow.last_seen);
                if is_silent(last, packet.time, self.udp_idle) {
                    self.begin_guessed(packet, hash, newest)
                } else {
                    index
                }
            }
        };
        if let Some(Slot { flow, listening, .. }) = self.slots.get_mut(index)
            && flow.observe_datagram(packet, length)
        {
            listening.datagram(flow, packet, length, self.hearing, &mut self.dialogues);
            self.leave_answered(index);
        }
    }

    fn observe_segment(
        &mut self,
        packet: &Packet<'_>,
        segment: Segment,
        hash: u32,
        newest: Option<u32>,
    ) {
        let Some(newest) = newest else {
            self.begin_segment(packet, segment, hash, None);
            return;
        };
        let number = if segment.flags.has(Flags::RST) {
            self.refused_attempt(packet, segment).or(Some(newest))
        } else if segment.flags.has(Flags::SYN) {
            self.attempt_of(packet, segment, newest)
        } else {
            Some(newest)
        };
        let Some(number) = number else {
            self.begin_segment(packet, segment, hash, Some(newest));
            return;
        };
        let index = self.slot_of(number, packet);
        let Some(Slot { flow, .. }) = self.slots.get_mut(index) else { return };
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
        self.leave(index, segment);
    }

    /// Lets the probes hear a segment.
    #[inline]
    fn listen(&mut self, index: usize, packet: &Packet<'_>, segment: Segment) {
        if let Some(Slot { flow, listening, .. }) = self.slots.get_mut(index) {
            listening.segment(flow, packet, segment, self.hearing, &mut self.dialogues);
        }
    }

    /// The attempt that a reset refuses, where its key holds several.
    fn refused_attempt(&self, packet: &Packet<'_>, segment: Segment) -> Option<u32> {
        let initiator = packet.sender.opposite();
        let isn = segment.ack.plus(u32::MAX);
        self.attempts.get(&(packet.key, initiator, isn.0)).copied()
    }

    /// The attempt that a SYN or SYN-ACK belongs to; `None` where it begins one.
    fn attempt_of(&mut self, packet: &Packet<'_>, segment: Segment, newest: u32) -> Option<u32> {
        let index = self.slot_of(newest, packet);
        let flow = &self.slots.get(index)?.flow;
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

    /// Begins a TCP flow with this segment. `earlier` is the newest flow of its key so far.
    fn begin_segment(
        &mut self,
        packet: &Packet<'_>,
        segment: Segment,
        hash: u32,
        earlier: Option<u32>,
    ) {
        if earlier.is_none()
            && self.room != UNBOUNDED
            && segment.flags.is_syn()
            && let Some(at) = self.store.put_lone(packet, segment)
        {
            self.add(packet, Place::stored(at), hash, None);
            return;
        }
        // Where its key holds several flows, each is found by its number too.
        if let Some(earlier) = earlier {
            let index = self.slot_of(earlier, packet);
            let attempt = self.slots.get(index).and_then(|slot| attempt_key(&slot.flow));
            self.know_attempt(attempt, earlier);
        }
        let reset = segment.flags.has(Flags::RST);
        let (initiator, by) = if segment.flags.is_syn() && !reset {
            (packet.sender, InitiatorBy::Handshake)
        } else if segment.flags.is_syn_ack() && !reset {
            (packet.sender.opposite(), InitiatorBy::Handshake)
        } else {
            self.guess_initiator(packet)
        };
        let (number, index) = self.begin(packet, hash, earlier, initiator, by);
        let Some(Slot { flow, .. }) = self.slots.get_mut(index) else { return };
        if segment.flags.is_syn_ack() && !reset {
            flow.initiator.isn = Some(segment.ack.plus(u32::MAX));
        }
        flow.observe_segment(packet, segment);
        if earlier.is_some() {
            let attempt = attempt_key(flow);
            self.know_attempt(attempt, number);
        }
        self.listen(index, packet, segment);
    }

    fn know_attempt(&mut self, attempt: Option<(FlowKey, End, SeqNumber)>, number: u32) {
        if let Some((key, end, isn)) = attempt {
            self.attempts.entry((key, end, isn.0)).or_insert(number);
        }
    }

    /// The slot of the newest flow of a packet's key, begun with this packet where there is none.
    fn newest_or_begin(&mut self, packet: &Packet<'_>, hash: u32, newest: Option<u32>) -> usize {
        match newest {
            Some(number) => self.slot_of(number, packet),
            None => self.begin_guessed(packet, hash, None),
        }
    }

    fn begin_guessed(&mut self, packet: &Packet<'_>, hash: u32, earlier: Option<u32>) -> usize {
        let (initiator, by) = self.guess_initiator(packet);
        self.begin(packet, hash, earlier, initiator, by).1
    }

    /// Begins a flow with this packet, which is still to be observed; gives its number and slot.
    fn begin(
        &mut self,
        packet: &Packet<'_>,
        hash: u32,
        earlier: Option<u32>,
        initiator: End,
        by: InitiatorBy,
    ) -> (u32, usize) {
        let index = self.allocate(u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        if let Some(slot) = self.slots.get_mut(index) {
            slot.flow.restart(packet, initiator, by);
            slot.listening = Listening::default();
        }
        (self.add(packet, Place::slot(index), hash, earlier), index)
    }

    /// Gives a flow its number, and makes it the newest of its key.
    fn add(&mut self, packet: &Packet<'_>, place: Place, hash: u32, earlier: Option<u32>) -> u32 {
        self.begun.push(packet.frame);
        // Four thousand million flows would need four hundred gigabytes.
        let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        if self.places.len() % COUNTED == COUNTED - 1 {
            self.count();
        }
        self.places.push(place);
        match earlier {
            None => self.newest.insert(hash, number),
            Some(earlier) => self.newest.replace(hash, earlier, number),
        }
        number
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

    fn observe_icmp_error(&mut self, packet: &Packet<'_>, error: IcmpError, newest: Option<u32>) {
        let by_seq = error
            .quoted_seq
            .and_then(|seq| self.attempts.get(&(packet.key, packet.sender, seq.0)).copied());
        let index = by_seq.or(newest).map(|number| self.slot_of(number, packet));
        let Some(Slot { flow, .. }) = index.and_then(|index| self.slots.get_mut(index)) else {
            self.skipped.count(Skipped::QuotedOnly, packet.frame);
            return;
        };
        flow.observe_icmp_error(packet, error);
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

#[cfg(test)]
impl FlowTable {
    pub(super) fn with_room(self, room: usize) -> FlowTable {
        FlowTable { room, ..self }
    }

    pub(super) fn put_all_away(&mut self) {
        (0..self.slots.len()).for_each(|index| self.put_away(index));
    }

    pub(super) fn send_all_away(&mut self) {
        self.put_all_away();
        self.store.send_all_away();
    }

    /// Length of the longest record.
    pub(super) fn longest_record(&self) -> usize {
        let stored = self.places.iter().filter_map(|place| place.get().err());
        stored.map(|at| self.store.length_at(at)).max().unwrap()
    }

    /// The flows of a table that never put one away, as text, and the packets that belong to none.
    pub(super) fn into_texts(mut self) -> (Vec<String>, SkippedTally) {
        let mut flows = Vec::new();
        for Slot { flow, listening, .. } in &mut self.slots {
            listening.finish(flow, self.hearing, &mut self.dialogues);
            flow.initiator.forget();
            flow.responder.forget();
            flows.push((flow.first_frame, format!("{flow:?}")));
        }
        flows.sort();
        (flows.into_iter().map(|(_, text)| text).collect(), self.skipped)
    }
}

mod slots;
#[cfg(test)]
mod tests;
