//! One flow's messages: puts them together, finds the protocol, and asks its probe.
//!
//! Memory is bounded: of a message at most [`MOST_KEPT`] bytes are held, and of a flow whose
//! protocol is not known yet at most [`MOST_UNKNOWN`].

use crate::net::{End, FrameNumber, SeqNumber, Timestamp, Transport};
use crate::probe::assembler::{Assembler, Chunk, Piece};
use crate::probe::read::find;
use crate::probe::{
    Framing, Meaning, Message, Next, Opening, PROBES, Probe, Recognition, Signal, Speaker, Talk,
    protocol_place,
};

/// Bytes held of one message, whatever a probe asks for.
const MOST_KEPT: usize = 128 << 10;

/// Bytes held of one direction until its protocol is known.
const MOST_UNKNOWN: usize = 512;

/// Beginnings of segments, or datagrams, that are looked at before a flow is given up.
const MOST_TRIES: u16 = 12;

/// Segments of a known protocol in which no message begins, one after the other, before the flow
/// is given up: what a capture that begins inside a file's transfer shows first.
const MOST_LOST: u16 = 1024;

/// Bytes of a buffer that are kept for the next dialogue.
const MOST_SPARE: usize = 4 << 10;

/// In a bookmark: the place of the probe, and whether it had a memory.
const PROBE_BITS: u32 = 8;
const REMEMBERS: u64 = 1 << 7;

/// What the probe of a dialogue remembers of the messages before.
#[derive(Debug)]
pub(crate) struct Memory(Box<dyn Talk>);

/// Listens to both directions of a flow.
#[derive(Debug)]
pub struct Dialogue {
    transport: Transport,
    /// Ports of both ends: low, high.
    ports: [u16; 2],
    talk: Option<(&'static Probe, Box<dyn Talk>)>,
    /// The low end's direction and the high end's.
    lanes: [Lane; 2],
    /// Beginnings that no probe knew, since the last message.
    tries: u16,
    done: bool,
    /// What one message said, before it is handed on.
    meanings: Vec<Meaning>,
}

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    assembler: Assembler,
    /// The beginning of the message under way.
    buffer: Vec<u8>,
    /// Its length and the bytes of it worth keeping, once they are known.
    framed: Option<(u64, usize)>,
    /// Bytes of it that have passed.
    passed: u64,
    /// Bytes of it are missing: nothing more can be added to the buffer.
    holed: bool,
    /// No message begins before the next segment.
    lost: bool,
}

impl Lane {
    fn next_message(&mut self) {
        self.buffer.clear();
        self.framed = None;
        self.passed = 0;
        self.holed = false;
    }

    fn lose(&mut self) {
        self.next_message();
        self.lost = true;
    }

    /// Counts a segment inside of a message of which no more is kept, which most segments of a
    /// transfer are; false where there is more to do.
    #[inline]
    fn passes_by(&mut self, seq: SeqNumber, captured: usize, length: u32) -> bool {
        let Some((whole, keep)) = self.framed else { return false };
        let Some(cut) = (length as usize).checked_sub(captured) else { return false };
        let passed = self.passed + u64::from(length);
        let has_enough = self.holed || self.buffer.len() >= keep;
        if passed >= whole || !has_enough || !self.assembler.is_next(seq) {
            return false;
        }
        self.assembler.pass_over(length);
        self.passed = passed;
        self.holed |= cut > 0;
        self.lost = false;
        true
    }
}

/// Where and when bytes were captured, and who sent them.
#[derive(Clone, Copy)]
struct Place {
    from: Speaker,
    frame: FrameNumber,
    time: Option<Timestamp>,
}

impl Dialogue {
    /// Listens to a flow of this transport between these ports, the low end's first.
    pub fn new(transport: Transport, ports: [u16; 2]) -> Dialogue {
        Dialogue {
            transport,
            ports,
            talk: None,
            lanes: [Lane::default(), Lane::default()],
            tries: 0,
            done: false,
            meanings: Vec::new(),
        }
    }

    /// Forgets all, and keeps the memory for another one.
    pub(crate) fn clear(&mut self) {
        self.talk = None;
        self.meanings.clear();
        for Lane { assembler, buffer, .. } in &mut self.lanes {
            assembler.clear();
            buffer.clear();
            buffer.shrink_to(MOST_SPARE);
        }
    }

    /// Listens to a flow of this transport between these ports, after [`Dialogue::clear`].
    pub(crate) fn restart(&mut self, transport: Transport, ports: [u16; 2]) {
        self.transport = transport;
        self.ports = ports;
        self.tries = 0;
        self.done = false;
        for lane in &mut self.lanes {
            lane.next_message();
            lane.lost = false;
        }
    }

    /// Where a dialogue of datagrams stands, for [`Dialogue::resume`]: a capture has many of those,
    /// and they have no end that could be seen. What cannot be told by a number, the probe's memory,
    /// is taken out of it.
    pub(crate) fn bookmark(&mut self) -> Option<(u64, Option<Memory>)> {
        if self.transport == Transport::Tcp || self.done || !self.meanings.is_empty() {
            return None;
        }
        let Some((probe, talk)) = self.talk.take() else {
            return Some((u64::from(self.tries) << PROBE_BITS, None));
        };
        let place = u64::from(protocol_place(probe.name)) + 1;
        let memory = talk.remembers().then_some(Memory(talk));
        let remembers = if memory.is_some() { REMEMBERS } else { 0 };
        Some((u64::from(self.tries) << PROBE_BITS | remembers | place, memory))
    }

    /// Whether a probe had a memory, by the bookmark.
    pub(crate) fn remembered(bookmark: u64) -> bool {
        bookmark & REMEMBERS != 0
    }

    /// Goes on where another dialogue stood, after [`Dialogue::restart`].
    pub(crate) fn resume(&mut self, bookmark: u64, memory: Option<Memory>) {
        let place = usize::try_from(bookmark & (REMEMBERS - 1)).unwrap_or_default().checked_sub(1);
        let probe = place.and_then(|place| PROBES.get(place));
        let begin = |probe: &Probe| (probe.begin)(self.transport);
        self.talk =
            probe.map(|&probe| (probe, memory.map_or_else(|| begin(probe), |memory| memory.0)));
        self.tries = u16::try_from(bookmark >> PROBE_BITS).unwrap_or(u16::MAX);
    }

    /// Whether nothing more will be heard.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Says with which sequence number the payload of one end begins.
    pub fn begin(&mut self, end: End, seq: SeqNumber) {
        self.lane(end).assembler.begin(seq);
    }

    /// Takes a segment's payload. `length` is that on the wire; `from` who sent it.
    #[expect(clippy::too_many_arguments, reason = "each is one fact of a segment")]
    pub fn segment(
        &mut self,
        end: End,
        from: Speaker,
        seq: SeqNumber,
        bytes: &[u8],
        length: u32,
        frame: FrameNumber,
        time: Option<Timestamp>,
        tell: &mut dyn FnMut(Signal),
    ) {
        if self.done || self.lane(end).passes_by(seq, bytes.len(), length) {
            return;
        }
        let assembler = &mut self.lane(end).assembler;
        if length > 0 && assembler.is_next(seq) {
            // In order, as nearly all are: nothing has to wait.
            assembler.pass_over(length);
            let cut = length.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            return self.chunk(end, from, Chunk { missing: 0, bytes, cut, frame, time }, tell);
        }
        self.assemble(end, from, Piece { seq, bytes, length, frame, time }, tell);
    }

    /// Takes a segment that may be out of order.
    fn assemble(
        &mut self,
        end: End,
        from: Speaker,
        piece: Piece<'_>,
        tell: &mut dyn FnMut(Signal),
    ) {
        let mut assembler = std::mem::take(&mut self.lane(end).assembler);
        assembler.take(piece, &mut |chunk| self.chunk(end, from, chunk, tell));
        self.lane(end).assembler = assembler;
    }

    /// Takes a datagram.
    pub fn datagram(
        &mut self,
        from: Speaker,
        bytes: &[u8],
        length: u32,
        frame: FrameNumber,
        time: Option<Timestamp>,
        tell: &mut dyn FnMut(Signal),
    ) {
        if self.done {
            return;
        }
        let place = Place { from, frame, time };
        if self.talk.is_none() {
            match self.recognise(from, bytes) {
                Ok(probe) => self.talk = Some((probe, (probe.begin)(self.transport))),
                Err(_) => return self.count_try(),
            }
        }
        self.hear(bytes, u64::from(length), place, tell);
    }

    /// The flow is over: hands on what waits for segments that were never captured.
    pub fn finish(&mut self, speakers: [Speaker; 2], tell: &mut dyn FnMut(Signal)) {
        for (end, from) in [End::Low, End::High].into_iter().zip(speakers) {
            let mut assembler = std::mem::take(&mut self.lane(end).assembler);
            assembler.finish(&mut |chunk| self.chunk(end, from, chunk, tell));
        }
    }

    fn lane(&mut self, end: End) -> &mut Lane {
        let [low, high] = &mut self.lanes;
        match end {
            End::Low => low,
            End::High => high,
        }
    }

    /// Takes the next bytes of a direction.
    fn chunk(&mut self, end: End, from: Speaker, chunk: Chunk<'_>, tell: &mut dyn FnMut(Signal)) {
        let place = Place { from, frame: chunk.frame, time: chunk.time };
        self.skip(end, u64::from(chunk.missing), place, tell);
        // A new segment: a message may begin here, if none is under way.
        self.lane(end).lost = false;
        self.bytes(end, chunk.bytes, place, tell);
        self.skip(end, u64::from(chunk.cut), place, tell);
    }

    /// Takes bytes that are not there.
    fn skip(&mut self, end: End, mut count: u64, place: Place, tell: &mut dyn FnMut(Signal)) {
        while count > 0 && !self.done {
            let ahead = self.length_ahead(end, place.from);
            let lane = self.lane(end);
            let Some((length, _)) = lane.framed.or(ahead) else {
                // The beginning of another message is among them.
                return self.lose(end, place.from);
            };
            lane.framed = lane.framed.or(ahead);
            let now = count.min(length - lane.passed);
            lane.passed += now;
            lane.holed = true;
            count -= now;
            self.end_message(end, place, tell);
        }
    }

    /// Length of the next message and what to keep of it, where that is known before its first
    /// byte is seen (a body whose header told it).
    fn length_ahead(&mut self, end: End, from: Speaker) -> Option<(u64, usize)> {
        let lane = self.lane(end);
        if lane.framed.is_some() || !lane.buffer.is_empty() {
            return None;
        }
        match self.talk.as_ref()?.1.framing(from, &[]) {
            Framing::Message { length, keep } if length > 0 => Some((length, keep.min(MOST_KEPT))),
            Framing::Message { .. } | Framing::Needs(_) | Framing::Until { .. } | Framing::Lost => {
                None
            }
        }
    }

    /// No message begins before the next segment.
    fn lose(&mut self, end: End, from: Speaker) {
        self.lane(end).lose();
        if let Some((_, talk)) = &mut self.talk {
            talk.lose(from);
        }
    }

    fn bytes(&mut self, end: End, mut bytes: &[u8], place: Place, tell: &mut dyn FnMut(Signal)) {
        while !bytes.is_empty() && !self.done && !self.lane(end).lost {
            if self.talk.is_none() {
                return self.look(end, bytes, place, tell);
            }
            if self.lane(end).framed.is_none() {
                let Some(rest) = self.frame(end, bytes, place) else { return };
                bytes = rest;
            }
            let Some((length, keep)) = self.lane(end).framed else { return };
            let lane = self.lane(end);
            let left = usize::try_from(length - lane.passed).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(left.min(bytes.len()));
            // Where all of it is here, nothing is copied.
            if lane.buffer.is_empty() && now.len() as u64 == length {
                lane.next_message();
                self.hear(now, length, place, tell);
            } else {
                if !lane.holed {
                    let wanted = keep.saturating_sub(lane.buffer.len()).min(now.len());
                    lane.buffer.extend_from_slice(now.get(..wanted).unwrap_or_default());
                }
                lane.passed += now.len() as u64;
                self.end_message(end, place, tell);
            }
            bytes = rest;
        }
    }

    /// Finds the length of the message that begins in the buffer, or with these bytes. Gives the
    /// bytes that are still to be taken; `None` where more are needed, or it is no message.
    fn frame<'a>(&mut self, end: End, bytes: &'a [u8], place: Place) -> Option<&'a [u8]> {
        let (_, talk) = self.talk.as_ref()?;
        let lane = match end {
            End::Low => &mut self.lanes[0],
            End::High => &mut self.lanes[1],
        };
        let mut bytes = bytes;
        let lost = loop {
            let known = if lane.buffer.is_empty() { bytes } else { &lane.buffer };
            match talk.framing(place.from, known) {
                // A message that is shorter than the bytes that told its length is none.
                Framing::Message { length, keep }
                    if length > 0 && lane.buffer.len() as u64 <= length =>
                {
                    lane.framed = Some((length, keep.min(MOST_KEPT)));
                    lane.passed = lane.buffer.len() as u64;
                    break false;
                }
                Framing::Needs(needed) if needed > known.len() && needed <= MOST_KEPT => {
                    let wanted = (needed - lane.buffer.len()).min(bytes.len());
                    let (now, rest) = bytes.split_at(wanted);
                    lane.buffer.extend_from_slice(now);
                    bytes = rest;
                    if lane.buffer.len() < needed {
                        return None;
                    }
                }
                Framing::Until { mark, most } if most <= MOST_KEPT => {
                    let before = lane.buffer.len();
                    let wanted = most.saturating_sub(before).min(bytes.len());
                    let (now, rest) = bytes.split_at(wanted);
                    lane.buffer.extend_from_slice(now);
                    // What was there before held no mark, but may hold the beginning of one.
                    let begin = (before + 1).saturating_sub(mark.len());
                    let found = lane.buffer.get(begin..).and_then(|bytes| find(bytes, mark));
                    match found.map(|at| begin + at + mark.len()) {
                        Some(length) if length >= before => {
                            bytes = bytes.get(length - before..).unwrap_or(rest);
                            lane.buffer.truncate(length);
                            lane.framed = Some((length as u64, length));
                            lane.passed = length as u64;
                            break false;
                        }
                        None if lane.buffer.len() < most => return None,
                        _ => break true,
                    }
                }
                Framing::Message { .. }
                | Framing::Needs(_)
                | Framing::Until { .. }
                | Framing::Lost => break true,
            }
        };
        if lost {
            self.lose(end, place.from);
            self.count_try();
            return None;
        }
        self.tries = 0;
        Some(bytes)
    }

    /// Hands on the message under way, if it is whole.
    fn end_message(&mut self, end: End, place: Place, tell: &mut dyn FnMut(Signal)) {
        let lane = self.lane(end);
        if lane.framed.is_none_or(|(length, _)| lane.passed < length) {
            return;
        }
        let length = lane.passed;
        let mut buffer = std::mem::take(&mut lane.buffer);
        lane.next_message();
        self.hear(&buffer, length, place, tell);
        buffer.clear();
        self.lane(end).buffer = buffer;
    }

    fn hear(&mut self, bytes: &[u8], length: u64, place: Place, tell: &mut dyn FnMut(Signal)) {
        let Some((probe, talk)) = &mut self.talk else { return };
        let Place { from, frame, time } = place;
        let message = Message { from, bytes, length, time };
        let next = talk.hear(&message, &mut self.meanings);
        let protocol = probe.name;
        for meaning in self.meanings.drain(..) {
            tell(Signal { protocol, frame, time, from, meaning });
        }
        match next {
            Next::Stay => {}
            Next::Become(probe) => self.talk = Some((probe, (probe.begin)(self.transport))),
            Next::Done => self.done = true,
        }
    }

    /// Looks for the protocol. Nothing is copied but a beginning that may be of one.
    fn look(&mut self, end: End, bytes: &[u8], place: Place, tell: &mut dyn FnMut(Signal)) {
        let mut joined = std::mem::take(&mut self.lane(end).buffer);
        let known = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        match self.recognise(place.from, known) {
            Ok(probe) => {
                self.talk = Some((probe, (probe.begin)(self.transport)));
                let other = end.opposite();
                let earlier = std::mem::take(&mut self.lane(other).buffer);
                let opposite = match place.from {
                    Speaker::Initiator => Speaker::Responder,
                    Speaker::Responder => Speaker::Initiator,
                };
                self.bytes(other, &earlier, Place { from: opposite, ..place }, tell);
                self.bytes(end, known, place, tell);
            }
            Err(true) if known.len() < MOST_UNKNOWN => self.lane(end).buffer = known.to_vec(),
            Err(_) => self.count_try(),
        }
    }

    /// The probe that knows these bytes; else whether more bytes may help.
    fn recognise(&self, from: Speaker, bytes: &[u8]) -> Result<&'static Probe, bool> {
        let fits = |probe: &&'static Probe| {
            probe
                .ports
                .iter()
                .any(|&(transport, port)| transport == self.transport && self.ports.contains(&port))
        };
        let mut perhaps = false;
        for port_fits in [true, false] {
            for probe in PROBES.iter().filter(|probe| fits(probe) == port_fits) {
                let opening = Opening { transport: self.transport, from, port_fits, bytes };
                match (probe.recognise)(&opening) {
                    Recognition::Yes => return Ok(probe),
                    Recognition::Perhaps => perhaps = true,
                    Recognition::No => {}
                }
            }
        }
        Err(perhaps)
    }

    /// Counts bytes that began no message.
    fn count_try(&mut self) {
        self.tries += 1;
        let most = if self.talk.is_some() { MOST_LOST } else { MOST_TRIES };
        self.done |= self.tries >= most;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Heard;
    use proptest::prelude::*;

    /// Beginnings of several protocols, so that their probes get to hear what follows.
    const BEGINNINGS: [&[u8]; 9] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x05\x00\x0b\x03\x10\x00\x00\x00\x14\x00\x00\x00\x01\x00\x00\x00\0\0\0\0",
        b"\x00\x00\x00\x24\xfeSMB\x40\x00",
        b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00",
        b"\x12\x01\x00\x2f\x00\x00\x01\x00",
        b"\x00\x00\x00\x04\x6a\x02\x30\x00",
        // Long ones, of which only the beginning is kept.
        b"POST / HTTP/1.1\r\nContent-Length: 700\r\n\r\n",
        b"\x00\x00\x20\x00\xfeSMB\x40\x00",
    ];

    proptest! {
        #[test]
        fn any_bytes_in_any_segments_to_any_port_are_heard_in_bounds(
            port in prop::sample::select(vec![53_u16, 80, 88, 135, 139, 389, 443, 445, 464, 1433, 4022, 50_000]),
            beginning in prop::sample::select(BEGINNINGS.to_vec()),
            segments in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(any::<u8>(), 0..120), 0..3_u32, 0..200_u32),
                0..12,
            ),
        ) {
            let mut dialogue = Dialogue::new(Transport::Tcp, [50_001, port]);
            let mut heard = Heard::new(false);
            // The same without the short ways.
            let mut long = Dialogue::new(Transport::Tcp, [50_001, port]);
            let mut heard_long = Heard::new(false);
            let mut next = [SeqNumber(0), SeqNumber(0)];
            let first = (false, beginning.to_vec(), 0, 0);
            for (number, (back, bytes, gap, cut)) in (1..).zip([first].into_iter().chain(segments)) {
                let (end, from) =
                    if back { (End::High, Speaker::Responder) } else { (End::Low, Speaker::Initiator) };
                let length = u32::try_from(bytes.len()).unwrap() + cut;
                let seq = next[usize::from(back)].plus(gap);
                next[usize::from(back)] = seq.plus(length);
                let frame = FrameNumber(number);
                dialogue.segment(end, from, seq, &bytes, length, frame, None, &mut |it| heard.take(it));
                let held: usize = dialogue.lanes.iter().map(|lane| lane.buffer.len()).sum();
                prop_assert!(held <= 2 * MOST_KEPT);
                if !long.is_done() {
                    let piece = Piece { seq, bytes: &bytes, length, frame, time: None };
                    long.assemble(end, from, piece, &mut |it| heard_long.take(it));
                }
                prop_assert_eq!(format!("{dialogue:?}"), format!("{long:?}"));
                prop_assert_eq!(format!("{heard:?}"), format!("{heard_long:?}"));
            }
            dialogue.finish([Speaker::Initiator, Speaker::Responder], &mut |it| heard.take(it));
            prop_assert!(heard.failures.len() <= 16);
        }
    }
}
