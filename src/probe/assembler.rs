//! Puts the segments of one direction in order, as far as a probe needs.
//!
//! What comes out is the byte stream (RFC 9293 3.4) in pieces: captured bytes, and after them the
//! bytes that are missing, because the snap length cut them off or the segment was not captured.
//! Of bytes that come twice the first copy counts. What waits for its turn is bounded; beyond the
//! bound the gap before it is given up and told as missing bytes.

use std::collections::VecDeque;

use crate::net::{FrameNumber, SeqNumber, Timestamp};

/// Captured bytes that wait for earlier ones.
const MOST_WAITING_BYTES: usize = 256 << 10;

/// Segments that wait for earlier ones.
const MOST_WAITING: usize = 64;

/// A segment's payload, as it was captured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// Sequence number of its first byte.
    pub seq: SeqNumber,
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// Its length on the wire, at least that of `bytes`.
    pub length: u32,
    pub frame: FrameNumber,
    pub time: Option<Timestamp>,
}

/// The next bytes of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    /// Bytes missing before these.
    pub missing: u32,
    pub bytes: &'a [u8],
    /// Bytes missing after them: cut off by the snap length.
    pub cut: u32,
    pub frame: FrameNumber,
    pub time: Option<Timestamp>,
}

/// One direction of a TCP flow, put in order.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// Sequence number of the next byte; `None` before the first segment.
    next: Option<SeqNumber>,
    /// Segments after a gap, in order.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    seq: SeqNumber,
    bytes: Vec<u8>,
    length: u32,
    frame: FrameNumber,
    time: Option<Timestamp>,
}

impl Waiting {
    fn piece(&self) -> Piece<'_> {
        let Waiting { seq, bytes, length, frame, time } = self;
        Piece { seq: *seq, bytes, length: *length, frame: *frame, time: *time }
    }
}

impl Assembler {
    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.next = None;
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    /// Says where the stream begins. Later calls change nothing.
    pub(super) fn begin(&mut self, seq: SeqNumber) {
        self.next.get_or_insert(seq);
    }

    /// Whether the next byte has this number, and nothing waits for it.
    #[inline]
    pub(super) fn is_next(&self, seq: SeqNumber) -> bool {
        self.next == Some(seq) && self.waiting.is_empty()
    }

    /// Passes over the next bytes, which nobody wants to have.
    #[inline]
    pub(super) fn pass_over(&mut self, length: u32) {
        self.next = self.next.map(|next| next.plus(length));
    }

    /// Takes a segment, and hands out what is in order now.
    pub(super) fn take(&mut self, piece: Piece<'_>, out: &mut dyn FnMut(Chunk<'_>)) {
        let next = *self.next.get_or_insert(piece.seq);
        if piece.seq.is_after(next) {
            self.wait(piece);
            while self.waiting.len() > MOST_WAITING || self.waiting_bytes > MOST_WAITING_BYTES {
                self.give_up_gap(out);
            }
            return;
        }
        self.pass(piece, 0, out);
        self.pass_waiting(out);
    }

    /// Hands out what still waits, with the gaps before it: nothing more will come.
    pub(super) fn finish(&mut self, out: &mut dyn FnMut(Chunk<'_>)) {
        while !self.waiting.is_empty() {
            self.give_up_gap(out);
        }
    }

    fn wait(&mut self, piece: Piece<'_>) {
        let place = self.waiting.iter().position(|waiting| waiting.seq.is_after(piece.seq));
        let Piece { seq, bytes, length, frame, time } = piece;
        self.waiting_bytes += bytes.len();
        let waiting = Waiting { seq, bytes: bytes.to_vec(), length, frame, time };
        self.waiting.insert(place.unwrap_or(self.waiting.len()), waiting);
    }

    /// Hands out a piece that begins at the next byte or before it.
    fn pass(&mut self, piece: Piece<'_>, missing: u32, out: &mut dyn FnMut(Chunk<'_>)) {
        let next = self.next.unwrap_or(piece.seq);
        let known = next.0.wrapping_sub(piece.seq.0);
        if known >= piece.length {
            // Sent again, or a keep-alive.
            return;
        }
        let length = piece.length - known;
        let bytes = piece.bytes.get(known as usize..).unwrap_or_default();
        let captured = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.next = Some(next.plus(length));
        let cut = length.saturating_sub(captured);
        out(Chunk { missing, bytes, cut, frame: piece.frame, time: piece.time });
    }

    fn pass_waiting(&mut self, out: &mut dyn FnMut(Chunk<'_>)) {
        while let (Some(first), Some(next)) = (self.waiting.front(), self.next) {
            if first.seq.is_after(next) {
                return;
            }
            self.pass_first(0, out);
        }
    }

    fn pass_first(&mut self, missing: u32, out: &mut dyn FnMut(Chunk<'_>)) {
        if let Some(first) = self.waiting.pop_front() {
            self.waiting_bytes -= first.bytes.len();
            self.pass(first.piece(), missing, out);
        }
    }

    /// Takes the bytes before the first waiting segment for lost.
    fn give_up_gap(&mut self, out: &mut dyn FnMut(Chunk<'_>)) {
        let (Some(first), Some(next)) = (self.waiting.front(), self.next) else { return };
        let missing = first.seq.0.wrapping_sub(next.0);
        self.next = Some(first.seq);
        self.pass_first(missing, out);
        self.pass_waiting(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(seq: u32, bytes: &[u8]) -> Piece<'_> {
        let length = u32::try_from(bytes.len()).unwrap();
        Piece { seq: SeqNumber(seq), bytes, length, frame: FrameNumber(1), time: None }
    }

    /// The stream that comes out; missing bytes as dots.
    fn stream(begin: u32, pieces: &[Piece<'_>]) -> String {
        let mut text = String::new();
        let mut out = |chunk: Chunk<'_>| {
            text.extend((0..chunk.missing).map(|_| '.'));
            text.push_str(std::str::from_utf8(chunk.bytes).unwrap());
            text.extend((0..chunk.cut).map(|_| '.'));
        };
        let mut assembler = Assembler::default();
        assembler.begin(SeqNumber(begin));
        for piece in pieces {
            assembler.take(*piece, &mut out);
        }
        assembler.finish(&mut out);
        text
    }

    #[test]
    fn segments_come_out_in_order_and_once() {
        let order = [piece(13, b"DEF"), piece(10, b"abc"), piece(10, b"XYZ"), piece(16, b"g")];
        assert_eq!(stream(10, &order), "abcDEFg");
        assert_eq!(stream(10, &[piece(10, b"abc"), piece(12, b"CDE")]), "abcDE", "overlap");
        assert_eq!(stream(10, &[piece(10, b"abc"), piece(12, b"\0"), piece(13, b"d")]), "abcd");
    }

    #[test]
    fn sequence_numbers_wrap() {
        let first = u32::MAX - 1;
        assert_eq!(stream(first, &[piece(1, b"d"), piece(first, b"abc")]), "abcd");
    }

    #[test]
    fn what_was_never_captured_is_missing_and_counted() {
        assert_eq!(stream(10, &[piece(10, b"ab"), piece(15, b"fg")]), "ab...fg");
        let cut = Piece { length: 5, ..piece(10, b"ab") };
        assert_eq!(stream(10, &[cut, piece(15, b"fg")]), "ab...fg");
    }

    #[test]
    fn a_gap_is_given_up_when_too_much_waits() {
        let mut text = Vec::new();
        let mut assembler = Assembler::default();
        assembler.begin(SeqNumber(0));
        for index in 1..=u32::try_from(MOST_WAITING).unwrap() + 1 {
            let mut out = |chunk: Chunk<'_>| text.push((chunk.missing, chunk.bytes.len()));
            assembler.take(piece(index, b"x"), &mut out);
        }
        assert_eq!(text.len(), MOST_WAITING + 1);
        assert_eq!(text[0], (1, 1));
        assert_eq!(assembler.waiting_bytes, 0);
    }

    proptest! {
        #[test]
        fn any_order_of_any_cuts_gives_the_stream(
            begin in any::<u32>(),
            cuts in prop::collection::vec((0..60_u32, 1..12_u32), 0..40),
        ) {
            let whole: Vec<u8> = (0..72_u8).map(|byte| b'0' + byte).collect();
            let mut pieces: Vec<Piece<'_>> = cuts
                .iter()
                .map(|&(at, length)| {
                    let bytes = &whole[at as usize..(at + length) as usize];
                    Piece { seq: SeqNumber(begin).plus(at), ..piece(0, bytes) }
                })
                .collect();
            pieces.extend((0..12).map(|part| Piece {
                seq: SeqNumber(begin).plus(part * 6),
                ..piece(0, &whole[part as usize * 6..][..6])
            }));
            prop_assert_eq!(stream(begin, &pieces), String::from_utf8(whole.clone()).unwrap());
        }
    }
}
