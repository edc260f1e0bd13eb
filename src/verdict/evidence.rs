//! The packets that decide a verdict, in a few bytes for as long as nobody asks for them.
//!
//! A report holds three for each of a million flows. As records they are 80 bytes each; as the way
//! from the one before, which is short, they are 20.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::net::{Clock, FrameNumber, SeqNumber, Time, Timestamp, varint};
use crate::verdict::record::{EvidenceKind, EvidenceRecord, Sender};

/// Packets, in their order.
///
/// Each is made when it is asked for. What is put in comes out, whatever it is, and two lists are the
/// same if their packets are.
#[derive(Clone)]
pub struct EvidenceList(Kept);

#[derive(Clone)]
enum Kept {
    Packed {
        /// Which kinds they are, a bit each: asked of millions of flows, and here no miss of the cache.
        kinds: u8,
        /// The number of packets, and they; nothing where there is none.
        bytes: Box<[u8]>,
    },
    Whole(Box<[EvidenceRecord]>),
}

impl Default for EvidenceList {
    fn default() -> EvidenceList {
        EvidenceList(Kept::Packed { kinds: 0, bytes: Box::default() })
    }
}

// What a packet has, in its first byte.
const TIME: u8 = 1;
/// The clock of its time is told: it is the first, or another than that of the one before.
const CLOCK: u8 = 1 << 1;
const SEQ: u8 = 1 << 2;
const ACK: u8 = 1 << 3;
const WINDOW: u8 = 1 << 4;
const TTL: u8 = 1 << 5;
const IP_ID: u8 = 1 << 6;
const NOTE: u8 = 1 << 7;

/// In the byte of a clock.
const ZONE_KNOWN: u8 = 1 << 7;

/// Bits of the kind, in the byte that tells it beside the sender.
const KIND_BITS: u32 = 4;

fn bit(kind: EvidenceKind) -> u8 {
    const { assert!(EvidenceKind::ALL.len() <= 8, "a bit for each") };
    1 << kind as u8
}

/// What the numbers of the next packet are near to.
#[derive(Clone, Copy)]
struct Near {
    frame: u64,
    time: i64,
    clock: Option<Clock>,
    /// The sequence number that the initiator sent last, the responder, and the network.
    seq: [u32; 3],
}

impl Near {
    const NOTHING: Near = Near { frame: 0, time: 0, clock: None, seq: [0; 3] };

    /// The sequence numbers of this sender, and those that it acknowledges.
    fn seqs(&mut self, from: Sender) -> (&mut u32, u32) {
        let [initiator, responder, network] = &mut self.seq;
        match from {
            Sender::Initiator => (initiator, *responder),
            Sender::Responder => (responder, *initiator),
            Sender::Network => (network, *initiator),
        }
    }
}

/// The short way round from one 32-bit number to another.
fn push_step(bytes: &mut Vec<u8>, from: u32, to: u32) {
    varint::push_signed(bytes, i64::from(to.wrapping_sub(from).cast_signed()));
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as written")]
fn take_step(bytes: &mut &[u8], from: u32) -> u32 {
    from.wrapping_add(varint::take_signed(bytes) as u32)
}

fn take_pair(bytes: &mut &[u8]) -> Option<u16> {
    let (pair, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u16::from_le_bytes(*pair))
}

fn push(bytes: &mut Vec<u8>, near: &mut Near, packet: &EvidenceRecord) {
    let EvidenceRecord { frame, time, from, kind, seq, ack, window, ttl, ip_id, ref note } =
        *packet;
    let clock = time.map(|time| time.clock).filter(|clock| near.clock != Some(*clock));
    let has = [
        (TIME, time.is_some()),
        (CLOCK, clock.is_some()),
        (SEQ, seq.is_some()),
        (ACK, ack.is_some()),
        (WINDOW, window.is_some()),
        (TTL, ttl.is_some()),
        (IP_ID, ip_id.is_some()),
        (NOTE, note.is_some()),
    ];
    bytes.push(has.iter().filter(|(_, has)| *has).fold(0, |all, (flag, _)| all | flag));
    bytes.push((from as u8) << KIND_BITS | kind as u8);
    varint::push_signed(bytes, frame.0.wrapping_sub(near.frame).cast_signed());
    near.frame = frame.0;
    if let Some(clock) = clock {
        bytes.push(clock.digits | if clock.zone_known { ZONE_KNOWN } else { 0 });
        near.clock = Some(clock);
    }
    if let Some(time) = time {
        let time = time.at.as_nanoseconds();
        varint::push_signed(bytes, time.wrapping_sub(near.time));
        near.time = time;
    }
    let (own, other) = near.seqs(from);
    if let Some(SeqNumber(seq)) = seq {
        push_step(bytes, *own, seq);
        *own = seq;
    }
    if let Some(SeqNumber(ack)) = ack {
        push_step(bytes, other, ack);
    }
    bytes.extend(window.iter().flat_map(|window| window.to_le_bytes()));
    bytes.extend(ttl);
    bytes.extend(ip_id.iter().flat_map(|ip_id| ip_id.to_le_bytes()));
    if let Some(note) = note {
        varint::push(bytes, note.len() as u64);
        bytes.extend_from_slice(note.as_bytes());
    }
}

/// `None` where there is no more.
fn take(bytes: &mut &[u8], near: &mut Near) -> Option<EvidenceRecord> {
    let [has, who, rest @ ..] = *bytes else { return None };
    *bytes = rest;
    let has = |flag| has & flag != 0;
    let from = *Sender::ALL.get(usize::from(who >> KIND_BITS))?;
    let kind = *EvidenceKind::ALL.get(usize::from(who & ((1 << KIND_BITS) - 1)))?;
    near.frame = near.frame.wrapping_add(varint::take_signed(bytes).cast_unsigned());
    if has(CLOCK) {
        let clock = *bytes.split_off_first()?;
        let (digits, zone_known) = (clock & !ZONE_KNOWN, clock & ZONE_KNOWN != 0);
        near.clock = Some(Clock { digits, zone_known });
    }
    let mut time = None;
    if has(TIME) {
        near.time = near.time.wrapping_add(varint::take_signed(bytes));
        let at = Timestamp::from_nanoseconds(near.time.into())?;
        time = Some(Time { at, clock: near.clock? });
    }
    let (own, other) = near.seqs(from);
    let seq = has(SEQ).then(|| {
        *own = take_step(bytes, *own);
        SeqNumber(*own)
    });
    let ack = has(ACK).then(|| SeqNumber(take_step(bytes, other)));
    let window = if has(WINDOW) { Some(take_pair(bytes)?) } else { None };
    let ttl = if has(TTL) { Some(*bytes.split_off_first()?) } else { None };
    let ip_id = if has(IP_ID) { Some(take_pair(bytes)?) } else { None };
    let note = if has(NOTE) {
        let length = usize::try_from(varint::take(bytes)).ok()?;
        Some(str::from_utf8(bytes.split_off(..length)?).ok()?.to_owned())
    } else {
        None
    };
    let frame = FrameNumber(near.frame);
    Some(EvidenceRecord { frame, time, from, kind, seq, ack, window, ttl, ip_id, note })
}

impl EvidenceList {
    /// Packets as they are: for those that are soon printed and forgotten.
    pub fn whole(packets: Vec<EvidenceRecord>) -> EvidenceList {
        EvidenceList(Kept::Whole(packets.into()))
    }

    /// Keeps the packets in a few bytes from now on.
    pub fn pack(&mut self) {
        if let Kept::Whole(packets) = &self.0 {
            *self = EvidenceList::of(packets);
        }
    }

    /// Keeps packets in a few bytes.
    pub fn of(packets: &[EvidenceRecord]) -> EvidenceList {
        if packets.is_empty() {
            return EvidenceList::default();
        }
        let (mut bytes, mut near) = (Vec::with_capacity(32 * packets.len()), Near::NOTHING);
        varint::push(&mut bytes, packets.len() as u64);
        let kinds = packets.iter().fold(0, |kinds, packet| kinds | bit(packet.kind));
        for packet in packets {
            push(&mut bytes, &mut near, packet);
        }
        // A copy takes no more room than it fills.
        EvidenceList(Kept::Packed { kinds, bytes: Box::from(&bytes[..]) })
    }

    /// The packets.
    pub fn iter(&self) -> Packets<'_> {
        Packets(match &self.0 {
            Kept::Packed { bytes, .. } => {
                let mut rest = &bytes[..];
                let left = usize::try_from(varint::take(&mut rest)).unwrap_or_default();
                Rest::Packed { left, rest, near: Near::NOTHING }
            }
            Kept::Whole(packets) => Rest::Whole(packets.iter()),
        })
    }

    /// All packets at once.
    pub fn list(&self) -> Vec<EvidenceRecord> {
        self.iter().collect()
    }

    /// Changes the packets.
    pub fn change(&mut self, change: impl FnOnce(&mut Vec<EvidenceRecord>)) {
        let mut packets = self.list();
        change(&mut packets);
        *self = EvidenceList::of(&packets);
    }

    /// Whether a packet is of this kind.
    pub fn has(&self, kind: EvidenceKind) -> bool {
        match &self.0 {
            Kept::Packed { kinds, .. } => kinds & bit(kind) != 0,
            Kept::Whole(packets) => packets.iter().any(|packet| packet.kind == kind),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Kept::Packed { kinds, .. } => *kinds == 0,
            Kept::Whole(packets) => packets.is_empty(),
        }
    }

    /// The first packet.
    pub fn first(&self) -> Option<EvidenceRecord> {
        self.iter().next()
    }

    /// The last packet.
    pub fn last(&self) -> Option<EvidenceRecord> {
        self.iter().last()
    }
}

/// The packets of an [`EvidenceList`], one after the other.
#[derive(Clone)]
pub struct Packets<'a>(Rest<'a>);

#[derive(Clone)]
enum Rest<'a> {
    Packed { left: usize, rest: &'a [u8], near: Near },
    Whole(std::slice::Iter<'a, EvidenceRecord>),
}

impl Iterator for Packets<'_> {
    type Item = EvidenceRecord;

    fn next(&mut self) -> Option<EvidenceRecord> {
        match &mut self.0 {
            Rest::Packed { left, rest, near } => {
                *left = left.checked_sub(1)?;
                take(rest, near)
            }
            Rest::Whole(packets) => packets.next().cloned(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Rest::Packed { left, .. } => (*left, Some(*left)),
            Rest::Whole(packets) => packets.size_hint(),
        }
    }
}

impl ExactSizeIterator for Packets<'_> {}

impl<'a> IntoIterator for &'a EvidenceList {
    type Item = EvidenceRecord;
    type IntoIter = Packets<'a>;

    fn into_iter(self) -> Packets<'a> {
        self.iter()
    }
}

impl From<Vec<EvidenceRecord>> for EvidenceList {
    fn from(packets: Vec<EvidenceRecord>) -> EvidenceList {
        EvidenceList::of(&packets)
    }
}

impl PartialEq for EvidenceList {
    fn eq(&self, other: &EvidenceList) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for EvidenceList {}

impl fmt::Debug for EvidenceList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self).finish()
    }
}

impl Serialize for EvidenceList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Kept::Packed { .. } => serializer.collect_seq(self),
            Kept::Whole(packets) => packets.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for EvidenceList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EvidenceList, D::Error> {
        Vec::deserialize(deserializer).map(EvidenceList::from)
    }
}

impl JsonSchema for EvidenceList {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "EvidenceList".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<EvidenceRecord>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::script::play;
    use crate::verdict::judge;
    use crate::verdict::tests::long_after;

    #[test]
    fn packets_of_the_most_frequent_flows_take_few_bytes() {
        for (script, most) in [("ShADdFf", 64), ("SSS", 64), ("Sr", 40)] {
            let mut evidence = judge(&play(script), 0, &long_after()).evidence;
            evidence.pack();
            let Kept::Packed { bytes, .. } = &evidence.0 else { unreachable!("it is packed") };
            assert!(bytes.len() <= most, "{script}: {} bytes", bytes.len());
        }
        assert_eq!(size_of::<EvidenceList>(), 24);
        assert_eq!(EvidenceList::default(), EvidenceList::of(&[]));
    }

    fn any_time() -> impl Strategy<Value = Time> {
        (any::<i64>(), 0..10_u8, any::<bool>()).prop_filter_map(
            "in range",
            |(at, digits, known)| {
                let at = Timestamp::from_nanoseconds(at.into())?;
                Some(Time { at, clock: Clock { digits, zone_known: known } })
            },
        )
    }

    fn any_packet() -> impl Strategy<Value = EvidenceRecord> {
        (
            (any::<u64>(), prop::option::of(any_time())),
            (prop::sample::select(Sender::ALL), prop::sample::select(EvidenceKind::ALL)),
            (prop::option::of(any::<u32>()), prop::option::of(any::<u32>())),
            (prop::option::of(any::<u16>()), prop::option::of(any::<u8>())),
            (prop::option::of(any::<u16>()), prop::option::of(".{0,9}")),
        )
            .prop_map(
                |((frame, time), (from, kind), (seq, ack), (window, ttl), (ip_id, note))| {
                    let (seq, ack) = (seq.map(SeqNumber), ack.map(SeqNumber));
                    let frame = FrameNumber(frame);
                    EvidenceRecord { frame, time, from, kind, seq, ack, window, ttl, ip_id, note }
                },
            )
    }

    proptest! {
        #[test]
        fn any_packets_come_out_as_they_went_in(
            packets in prop::collection::vec(any_packet(), 0..12),
        ) {
            let whole = EvidenceList::whole(packets.clone());
            let mut packed = whole.clone();
            packed.pack();
            prop_assert_eq!(&whole, &packed);
            for list in [whole, packed] {
                prop_assert_eq!(list.iter().len(), packets.len());
                prop_assert_eq!(&list.list(), &packets);
                prop_assert_eq!(list.first(), packets.first().cloned());
                prop_assert_eq!(list.last(), packets.last().cloned());
                prop_assert_eq!(list.is_empty(), packets.is_empty());
                for kind in EvidenceKind::ALL {
                    prop_assert_eq!(list.has(*kind), packets.iter().any(|it| it.kind == *kind));
                }
                let json = serde_json::to_string(&list).unwrap();
                prop_assert_eq!(&json, &serde_json::to_string(&packets).unwrap());
            }
        }
    }
}
