//! Flows as few bytes, and back, without loss: what is written reads back as the same flow.
//!
//! Numbers are written as the way from one that they are near to: times from the first one,
//! acknowledgment numbers from the other side's first sequence number, and so on. What most flows do
//! not have takes a bit that says so. A SYN without an answer, which scans consist of, is not even
//! a flow: its packet is kept ([`lone`]) and observed again when somebody asks for the flow.

mod arena;
pub(super) mod bytes;
mod evidence;
mod heard;
mod lone;
mod side;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::flow::budget::Budget;
use crate::flow::duplicates::Recent;
use crate::flow::packed::arena::{Arena, LONGEST};
use crate::flow::packed::bytes::{Reader, Writer};
use crate::flow::packed::texts::Texts;
use crate::flow::{Flow, Handshake, History, InitiatorBy, LoneSyn, Sender, TcpFacts};
use crate::net::{End, FlowKey, FrameNumber, Timestamp, Transport};
use crate::packet::{Encapsulation, Packet, Segment};
use crate::probe::Heard;

/// What else there is to know of a flow that is put away, while packets of it may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Aside {
    /// Where its last packets are remembered.
    pub(super) recent: u64,
    /// What listens to it, as a number of the table's own.
    pub(super) listening: u64,
}

/// Numbers of links that are at hand.
const LAST_LINKS: usize = 32;

/// Records of flows, each at a place of its own.
#[derive(Debug, Default)]
pub(super) struct Store {
    arena: Arena,
    /// Link addresses by number.
    links: Vec<[u8; 12]>,
    link_numbers: HashMap<[u8; 12], u32, FixedState>,
    /// Numbers that were asked for last, each at a place that its link tells: a capture has few
    /// links, and each many times.
    last_links: [Option<([u8; 12], u32)>; LAST_LINKS],
    /// What was heard and is too much to be written.
    kept: Vec<Option<Box<Heard>>>,
    /// The time that others are written from.
    base: Option<i64>,
    scratch: Vec<u8>,
    /// What applications said, where many flows say the same.
    texts: Texts,
}

/// What the frames and times of a record are written from.
#[derive(Clone, Copy)]
struct Origin {
    frame: u64,
    time: i64,
}

impl Origin {
    /// Writes a time: the microseconds from the origin, doubled; or 1, and the nanoseconds.
    fn write_time(&self, time: Timestamp, out: &mut Writer<'_>) {
        let way = time.as_nanoseconds().wrapping_sub(self.time);
        if way % 1_000 == 0 {
            out.signed(way / 1_000 * 2);
        } else {
            out.signed(1);
            out.signed(way);
        }
    }

    fn read_time(&self, from: &mut Reader<'_>) -> Option<Timestamp> {
        let way = match from.signed() {
            1 => from.signed(),
            doubled => (doubled / 2).wrapping_mul(1_000),
        };
        Timestamp::from_nanoseconds(self.time.wrapping_add(way).into())
    }
}

/// The first byte of a record that is a flow.
const FLOW: u8 = 0;

// The second byte.
const RESPONDER_LOW: u8 = 1;
const BY_PORT: u8 = 1 << 1;
const BY_FIRST_PACKET: u8 = 1 << 2;
const ANSWERED: u8 = 1 << 3;
const TO_GROUP: u8 = 1 << 4;
const PROHIBITED: u8 = 1 << 5;
const UNREACHABLE: u8 = 1 << 6;
const RARE: u8 = 1 << 7;

// The third byte.
const FIRST_SEEN: u8 = 1;
const LAST_SEEN: u8 = 1 << 1;
const ASKED: u8 = 1 << 2;
const ASKED_TIME: u8 = 1 << 3;
const HEARD: u8 = 1 << 4;
const HEARD_KEPT: u8 = 1 << 5;

fn bit(flag: u8, set: bool) -> u8 {
    if set { flag } else { 0 }
}

impl Store {
    /// What is more than this budget goes to its file.
    pub(super) fn within(budget: Budget) -> Store {
        Store { arena: Arena::within(budget), ..Store::default() }
    }

    /// Puts a flow away.
    pub(super) fn put(&mut self, flow: &mut Flow, aside: Aside) -> u64 {
        let mut record = std::mem::take(&mut self.scratch);
        record.clear();
        let fits = flow.heard.as_deref().is_none_or(heard::fits);
        if fits {
            self.write(flow, aside, &mut record, false);
        }
        if !fits || record.len() > LONGEST {
            record.clear();
            self.write(flow, aside, &mut record, true);
            self.kept.push(flow.heard.take());
        }
        let at = self.arena.put(&record);
        self.scratch = record;
        at
    }

    /// Takes the flow at this place out, into `flow`.
    pub(super) fn take(&mut self, at: u64, flow: &mut Flow) -> Aside {
        let (length, aside, kept) = self.read_into(at, flow);
        if let Some(kept) = kept {
            flow.heard = self.kept.get_mut(kept).and_then(Option::take);
        }
        self.arena.free(at, length);
        aside
    }

    /// The flow at this place, in place of `flow`. Its last packets are not remembered.
    pub(super) fn read(&self, at: u64, flow: &mut Flow) {
        let (_, _, kept) = self.read_into(at, flow);
        flow.initiator.recent = Recent::default();
        if let Some(kept) = kept {
            flow.heard = self.kept.get(kept).cloned().flatten();
        }
    }

    /// As [`Store::read`], without what was heard.
    pub(super) fn read_unheard(&self, at: u64, flow: &mut Flow) {
        self.read_record(at, flow, false);
        flow.initiator.recent = Recent::default();
    }

    /// What most ask of the flow at this place, where it is one SYN; else the flow, in place of
    /// `flow`.
    pub(super) fn look(&self, at: u64, flow: &mut Flow) -> Option<LoneSyn> {
        let lone = self.arena.with(at, |bytes| {
            let mut from = Reader(bytes, None);
            let kind = from.byte();
            let link = |number| self.link(number);
            let base = self.base.unwrap_or_default();
            (kind != FLOW).then(|| lone::look(kind, &mut from, base, link))
        });
        if lone.is_none() {
            self.read(at, flow);
        }
        lone
    }

    /// Puts a flow away that is one SYN so far, if it is as plain as that.
    pub(super) fn put_lone(&mut self, packet: &Packet<'_>, segment: Segment) -> Option<u64> {
        let base = self.base_at(packet.time?);
        let link = self.link_number(*packet.link?);
        let syn = lone::Syn::of(packet, segment, base, link)?;
        let (at, record) = self.arena.place(syn.length());
        syn.write(record);
        Some(at)
    }

    /// The first byte of the record at this place, if it is in memory. To have it in the processor's
    /// cache.
    #[inline]
    pub(super) fn first_byte_at(&self, at: u64) -> u8 {
        self.arena.here(at).and_then(|bytes| bytes.first().copied()).unwrap_or_default()
    }

    /// The key of the flow at this place.
    pub(super) fn key_at(&self, at: u64) -> FlowKey {
        self.arena.with(at, |bytes| {
            let mut from = Reader(bytes, None);
            match from.byte() {
                FLOW => {
                    from.array::<2>();
                    read_key(&mut from)
                }
                kind => lone::key(kind, &mut from),
            }
        })
    }

    /// The first frame of the flow at this place.
    pub(super) fn first_frame_at(&self, at: u64) -> FrameNumber {
        self.arena.with(at, |bytes| {
            let mut from = Reader(bytes, None);
            match from.byte() {
                FLOW => {
                    from.array::<2>();
                    read_key(&mut from);
                    FrameNumber(from.number())
                }
                kind => lone::frame(kind, &mut from),
            }
        })
    }

    /// Sends what nothing came of for longest to the file, as long as too much memory is used.
    pub(super) fn make_room(&mut self) {
        self.arena.make_room();
    }

    #[cfg(test)]
    pub(super) fn send_all_away(&mut self) {
        self.arena.send_all_away();
    }

    /// The budget that it keeps to.
    pub(super) fn budget(&self) -> &Budget {
        self.arena.budget()
    }

    #[cfg(test)]
    pub(super) fn length_at(&self, at: u64) -> usize {
        self.read_into(at, &mut Flow::blank()).0
    }

    /// Says that no more flows come, and how many bytes are kept beside the store for them.
    pub(super) fn close(&mut self, beside: usize) {
        self.arena.close(beside);
        self.link_numbers = HashMap::default();
        self.scratch = Vec::new();
        self.texts.close();
    }

    /// Bytes of memory, but for what was heard and is too much to be written.
    pub(super) fn bytes(&self) -> usize {
        self.arena.bytes() + self.texts.bytes() + self.links.capacity() * size_of::<[u8; 12]>()
    }

    fn base_at(&mut self, time: Timestamp) -> i64 {
        *self.base.get_or_insert(time.as_nanoseconds())
    }

    fn link_number(&mut self, link: [u8; 12]) -> u32 {
        // The last bytes of both addresses are those that differ.
        let [.., to, _, _, _, _, _, from] = link;
        let place = usize::from(to.rotate_left(3) ^ from) % LAST_LINKS;
        if let Some(Some((last, number))) = self.last_links.get(place)
            && *last == link
        {
            return *number;
        }
        let next = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        let number = *self.link_numbers.entry(link).or_insert(next);
        if number == next {
            self.links.push(link);
        }
        if let Some(last) = self.last_links.get_mut(place) {
            *last = Some((link, number));
        }
        number
    }

    fn link(&self, number: u32) -> Option<[u8; 12]> {
        self.links.get(usize::try_from(number).ok()?).copied()
    }

    fn write(&mut self, flow: &Flow, aside: Aside, record: &mut Vec<u8>, keep_heard: bool) {
        let first = flow.first_seen.map_or(0, Timestamp::as_nanoseconds);
        let base = flow.first_seen.map_or(0, |time| self.base_at(time));
        let mut texts = std::mem::take(&mut self.texts);
        let mut out = Writer(record, &mut texts);
        let rare = flow.duplicates != 0
            || flow.also_in.is_some()
            || flow.encapsulation != Encapsulation::default();
        out.byte(FLOW);
        out.byte(
            bit(RESPONDER_LOW, flow.initiator_end == End::High)
                | bit(BY_PORT, flow.initiator_by == InitiatorBy::Port)
                | bit(BY_FIRST_PACKET, flow.initiator_by == InitiatorBy::FirstPacket)
                | bit(ANSWERED, flow.answered)
                | bit(TO_GROUP, flow.to_group)
                | bit(PROHIBITED, flow.prohibited)
                | bit(UNREACHABLE, flow.unreachable)
                | bit(RARE, rare),
        );
        out.byte(
            bit(FIRST_SEEN, flow.first_seen.is_some())
                | bit(LAST_SEEN, flow.last_seen.is_some())
                | bit(ASKED, flow.asked.is_some())
                | bit(ASKED_TIME, flow.asked.is_some_and(|(_, time)| time.is_some()))
                | bit(HEARD, flow.heard.is_some() && !keep_heard)
                | bit(HEARD_KEPT, keep_heard),
        );
        write_key(&flow.key, &mut out);
        out.number(flow.first_frame.0);
        out.number(aside.recent);
        out.number(aside.listening);
        out.number(flow.last_frame.0.wrapping_sub(flow.first_frame.0));
        let origin = Origin { frame: flow.first_frame.0, time: first };
        if let Some(time) = flow.first_seen {
            Origin { time: base, ..origin }.write_time(time, &mut out);
        }
        if let Some(time) = flow.last_seen {
            origin.write_time(time, &mut out);
        }
        if let Some((frame, time)) = flow.asked {
            out.number(frame.0.wrapping_sub(origin.frame));
            if let Some(time) = time {
                origin.write_time(time, &mut out);
            }
        }
        let is_tcp = flow.transport() == Transport::Tcp;
        for (own, other) in [(&flow.initiator, &flow.responder), (&flow.responder, &flow.initiator)]
        {
            let link = own.first.link.map(|link| self.link_number(link));
            side::write(own, other.isn, link, is_tcp, &mut out);
        }
        if is_tcp {
            write_tcp(&flow.tcp, &mut out);
        }
        flow.history.write(out.0);
        evidence::write(flow, origin, &mut out);
        if rare {
            out.number(flow.duplicates);
            out.bytes(&flow.encapsulation.to_bytes());
            out.byte(flow.also_in.is_some().into());
            if let Some(also_in) = flow.also_in {
                out.bytes(&also_in.to_bytes());
            }
        }
        if keep_heard {
            out.number(self.kept.len() as u64);
        } else if let Some(heard) = &flow.heard {
            heard::write(heard, &origin, &mut out);
        }
        self.texts = texts;
    }

    /// Gives the length of the record, what else there is to know, and where what was heard is kept.
    fn read_into(&self, at: u64, flow: &mut Flow) -> (usize, Aside, Option<usize>) {
        self.read_record(at, flow, true)
    }

    /// What was heard stands last; the length is told only where it is wanted.
    fn read_record(&self, at: u64, flow: &mut Flow, heard: bool) -> (usize, Aside, Option<usize>) {
        self.arena.with(at, |bytes| self.read_bytes(bytes, flow, heard))
    }

    fn read_bytes(
        &self,
        bytes: &[u8],
        flow: &mut Flow,
        heard: bool,
    ) -> (usize, Aside, Option<usize>) {
        let mut from = Reader(bytes, Some(&self.texts));
        let kind = from.byte();
        if kind != FLOW {
            let link = |number| self.link(number);
            lone::read(kind, &mut from, self.base.unwrap_or_default(), link, flow);
            return (bytes.len() - from.0.len(), Aside::default(), None);
        }
        let [flags, parts] = from.array();
        let spare = flow.heard.take();
        flow.initiator_end = if flags & RESPONDER_LOW == 0 { End::Low } else { End::High };
        flow.initiator_by = match flags & (BY_PORT | BY_FIRST_PACKET) {
            0 => InitiatorBy::Handshake,
            BY_PORT => InitiatorBy::Port,
            _ => InitiatorBy::FirstPacket,
        };
        flow.answered = flags & ANSWERED != 0;
        flow.to_group = flags & TO_GROUP != 0;
        flow.prohibited = flags & PROHIBITED != 0;
        flow.unreachable = flags & UNREACHABLE != 0;
        flow.key = read_key(&mut from);
        flow.first_frame = FrameNumber(from.number());
        let aside = Aside { recent: from.number(), listening: from.number() };
        flow.last_frame = FrameNumber(flow.first_frame.0.wrapping_add(from.number()));
        let base = Origin { frame: flow.first_frame.0, time: self.base.unwrap_or_default() };
        let has = |part: u8| parts & part != 0;
        flow.first_seen = if has(FIRST_SEEN) { base.read_time(&mut from) } else { None };
        let first = flow.first_seen.map_or(0, Timestamp::as_nanoseconds);
        let origin = Origin { time: first, ..base };
        flow.last_seen = if has(LAST_SEEN) { origin.read_time(&mut from) } else { None };
        flow.asked = has(ASKED).then(|| {
            let frame = FrameNumber(origin.frame.wrapping_add(from.number()));
            (frame, if has(ASKED_TIME) { origin.read_time(&mut from) } else { None })
        });
        let is_tcp = flow.transport() == Transport::Tcp;
        let link = |number| self.link(number);
        // The initiator's acknowledgment number is told from the responder's first number, which
        // stands behind it.
        let initiator = side::read(&mut from, is_tcp, link, &mut flow.initiator);
        let responder = side::read(&mut from, is_tcp, link, &mut flow.responder);
        let isns = (flow.initiator.isn, flow.responder.isn);
        side::resolve(&mut flow.initiator, initiator, isns.1);
        side::resolve(&mut flow.responder, responder, isns.0);
        flow.tcp = if is_tcp { read_tcp(&mut from) } else { TcpFacts::default() };
        flow.history = History::read(&mut from.0);
        evidence::read(&mut from, origin, flow);
        if flags & RARE != 0 {
            flow.duplicates = from.number();
            flow.encapsulation = Encapsulation::of_bytes(from.array());
            flow.also_in = (from.byte() != 0).then(|| Encapsulation::of_bytes(from.array()));
        } else {
            flow.duplicates = 0;
            flow.encapsulation = Encapsulation::default();
            flow.also_in = None;
        }
        let kept = has(HEARD_KEPT).then(|| usize::try_from(from.number()).unwrap_or(usize::MAX));
        if has(HEARD) && heard {
            let mut told = spare.unwrap_or_default();
            *told = heard::read(&mut from, &origin);
            flow.heard = Some(told);
        }
        (bytes.len() - from.0.len(), aside, kept)
    }
}

fn write_key(key: &FlowKey, out: &mut Writer<'_>) {
    let (kind, addresses, ports) = key.parts();
    out.number(kind.into());
    for (is_v4, [high, low]) in FlowKey::are_ipv4(kind).into_iter().zip(addresses) {
        if is_v4 {
            let [.., a, b, c, d] = low.to_be_bytes();
            out.bytes(&[a, b, c, d]);
        } else {
            out.bytes(&high.to_be_bytes());
            out.bytes(&low.to_be_bytes());
        }
    }
    for port in ports {
        out.bytes(&port.to_be_bytes());
    }
}

#[inline]
fn read_address(is_v4: bool, from: &mut Reader<'_>) -> [u64; 2] {
    if is_v4 {
        [0, u32::from_be_bytes(from.array()).into()]
    } else {
        [u64::from_be_bytes(from.array()), u64::from_be_bytes(from.array())]
    }
}

#[inline]
fn read_key(from: &mut Reader<'_>) -> FlowKey {
    let kind = from.small();
    let [low_is_v4, high_is_v4] = FlowKey::are_ipv4(kind);
    let addresses = [read_address(low_is_v4, from), read_address(high_is_v4, from)];
    let ports = [u16::from_be_bytes(from.array()), u16::from_be_bytes(from.array())];
    FlowKey::of_parts(kind, addresses, ports)
}

const HANDSHAKES: [Handshake; 8] = [
    Handshake::Unseen,
    Handshake::SynSent,
    Handshake::Refused,
    Handshake::Abandoned,
    Handshake::Answered,
    Handshake::Probed,
    Handshake::Withdrawn,
    Handshake::Confirmed,
];

fn write_tcp(tcp: &TcpFacts, out: &mut Writer<'_>) {
    out.byte(
        tcp.handshake as u8
            | bit(1 << 3, tcp.challenged)
            | bit(1 << 4, tcp.simultaneous)
            | bit(1 << 5, tcp.cut)
            | bit(1 << 6, tcp.reset_before_answer),
    );
    let reset_by = match tcp.reset_by {
        None => 0,
        Some(Sender::Initiator) => 1,
        Some(Sender::Responder) => 2,
        Some(Sender::Network) => 3,
    };
    let counts = [tcp.syns, tcp.syn_acks, tcp.refusals, tcp.ignored_resets, tcp.syn_length];
    // Nearly all flows have one SYN, and one answer to it at most.
    let few = counts.iter().all(|count| *count < 2) && tcp.syn_length == 0;
    let digits = counts.iter().enumerate().map(|(place, count)| bit(1 << place, *count != 0));
    let digits = if few { digits.fold(0, |sum, digit| sum | digit) } else { 0 };
    out.byte(reset_by | bit(1 << 2, few) | digits << 3);
    if !few {
        for count in counts {
            out.number(count.into());
        }
    }
}

fn read_tcp(from: &mut Reader<'_>) -> TcpFacts {
    let [facts, more] = from.array();
    let mut count = |place: u32| {
        if more & 1 << 2 == 0 { from.small() } else { u32::from(more >> (3 + place) & 1) }
    };
    TcpFacts {
        handshake: HANDSHAKES.get(usize::from(facts & 7)).copied().unwrap_or_default(),
        challenged: facts & 1 << 3 != 0,
        simultaneous: facts & 1 << 4 != 0,
        cut: facts & 1 << 5 != 0,
        reset_before_answer: facts & 1 << 6 != 0,
        syns: count(0),
        syn_acks: count(1),
        refusals: count(2),
        ignored_resets: count(3),
        syn_length: count(4),
        reset_by: match more & 3 {
            0 => None,
            1 => Some(Sender::Initiator),
            2 => Some(Sender::Responder),
            _ => Some(Sender::Network),
        },
    }
}
