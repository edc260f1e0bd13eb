//! Reads Microsoft Network Monitor captures, versions 1.x and 2.x.
//!
//! Frames come in the order of the file's frame table and are numbered by it, because that is the
//! number that Network Monitor shows. Frames that carry no traffic (events, filters, names) keep
//! their number and come out with a link type of their own. Where the table is cut off, frames
//! are found by walking from one to the next.

use std::io;
use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::capture::byte_order::ByteOrder;
use crate::capture::netmon::header::Header;
use crate::capture::netmon::remarks::Comments;
use crate::capture::pieces;
use crate::capture::{CaptureReader, CaptureSummary, Error, FrameBatch, LinkType, Opened, Reading};
use crate::capture::{MOST_FRAME_BYTES, Severity, Source};
use crate::net::{FrameNumber, Timestamp};

mod header;
mod remarks;

/// Bytes of the file held at a time. Frames are nearly always in order, so that this is a window
/// that slides over the file.
const WINDOW_BYTES: usize = 256 << 10;

/// Entries of the frame table read at a time.
const TABLE_CHUNK: usize = 4096;

/// Frames of a batch.
const MOST_FRAMES: usize = 1 << 15;

/// Bytes that a frame may claim while frames are being looked for without a table.
const SANE_BYTES: u32 = 256 << 10;

/// Nanoseconds between frames that still make sense then: a day.
const SANE_STEP: u64 = 24 * 3600 * 1_000_000_000;

/// Whether a file that begins like this is a Network Monitor file.
pub(super) fn begins(head: &[u8]) -> bool {
    head.starts_with(b"RTSS") || head.starts_with(b"GMBU")
}

/// Begins to read a Network Monitor file.
pub(super) fn open(opened: Opened) -> Result<Box<dyn CaptureReader>, Error> {
    let header = header::read(&opened.head)?;
    let mut summary = CaptureSummary::of(&opened.shown_as);
    summary.format = Some(header.name());
    summary.clock = header.clock();
    let reading = opened.reading.clone();
    // All offsets have 32 bits.
    let (source, size) = opened.into_seekable(1 << 32)?;
    summary.bytes = size;
    let mut source = BufReader::with_capacity(WINDOW_BYTES.min(reading.piece.max(64)), source);
    let utc_start = header::utc_start(&mut source, &header);
    let comments = if header.has_comments() {
        remarks::read_comments(&mut source, header.comments.0, header.comments.1)
    } else {
        Comments::default()
    };
    let comment_frames = vec![None; comments.kept.len()];
    let mut reader = NetmonReader {
        source,
        position: None,
        size,
        reading,
        summary,
        header,
        utc_start,
        table: Table::default(),
        walk_from: None,
        last_delta: None,
        comments,
        comment_frames,
        repaired: None,
        record_bytes: 0,
        ended: false,
    };
    reader.check_table();
    Ok(Box::new(reader))
}

struct NetmonReader {
    source: BufReader<Box<dyn Source>>,
    /// Where in the file the next byte would be read from, while that is known.
    position: Option<u64>,
    size: u64,
    reading: Reading,
    summary: CaptureSummary,
    header: Header,
    /// The capture's start in UTC, in nanoseconds since 1970, where the capture tells it or a
    /// frame gave it away.
    utc_start: Option<i128>,
    table: Table,
    /// Where the next frame is looked for, once the table does not say.
    walk_from: Option<u64>,
    last_delta: Option<i128>,
    comments: Comments,
    /// The number of the frame of each kept comment.
    comment_frames: Vec<Option<FrameNumber>>,
    /// First frame whose trailer was not of the length that the version has, and their count.
    repaired: Option<(FrameNumber, u64)>,
    /// Bytes of all records so far: never more than the file has, unless they overlap.
    record_bytes: u64,
    ended: bool,
}

/// The part of the frame table that was read.
#[derive(Default)]
struct Table {
    /// Entries that the file holds, and how many of them were taken.
    entries: u64,
    taken: u64,
    chunk: Vec<u32>,
    /// Place in the chunk of the next entry.
    next: usize,
}

/// A frame's record.
struct Record {
    /// Since the start of the capture, in nanoseconds.
    delta: i128,
    original: u32,
    captured: u32,
}

/// What follows a frame's bytes.
#[derive(Default)]
struct Trailer {
    media: Option<u16>,
    /// Nanoseconds since 1970.
    utc: Option<i128>,
}

impl CaptureReader for NetmonReader {
    fn next_batch(&mut self, mut spare: FrameBatch) -> Option<FrameBatch> {
        spare.restart(FrameNumber(self.summary.frames.saturating_add(1)));
        while !self.ended && spare.bytes.len() < self.reading.piece && spare.len() < MOST_FRAMES {
            self.next_frame(&mut spare);
        }
        (!spare.is_empty()).then_some(spare)
    }

    fn finish(self: Box<Self>) -> CaptureSummary {
        let mut summary = self.summary;
        if let Some((frame, count)) = self.repaired {
            let message = format!(
                "{count} frames are not followed by what version 2.{} stores there: what is \
                 missing was taken from the header",
                self.header.minor
            );
            summary.problem(Severity::Info, message, None, Some(frame));
        }
        for ((_, text), frame) in self.comments.kept.iter().zip(self.comment_frames) {
            summary.comment(frame, text);
        }
        summary.comments_left_out += self.comments.left_out;
        let mut source = self.source.into_inner();
        if self.reading.digest {
            summary.sha256 = pieces::digest(&mut source).ok();
        }
        summary
    }
}

impl NetmonReader {
    /// Finds out how much of the frame table is there.
    fn check_table(&mut self) {
        let (offset, length) = self.header.table;
        let promised = u64::from(length / 4);
        let present = self.size.saturating_sub(offset.into()).min(length.into()) / 4;
        self.table.entries = present;
        if present < promised {
            let message = format!(
                "{} of {promised} entries of the frame table are missing, because the file is cut \
                 off: frames are looked for without it",
                promised - present
            );
            self.summary.problem(Severity::Warning, message, Some(offset.into()), None);
        } else if length % 4 != 0 {
            let message = format!(
                "the frame table has {length} bytes, which is no whole number of entries: the last \
                 one is left out"
            );
            self.summary.problem(Severity::Warning, message, Some(offset.into()), None);
        }
        if present == 0 && promised > 0 {
            self.walk_from = Some(header::first_frame(&mut self.source));
        }
    }

    /// Reads the next frame into the batch, or ends.
    fn next_frame(&mut self, batch: &mut FrameBatch) {
        let number = FrameNumber(self.summary.frames.saturating_add(1));
        let result = match self.next_offset() {
            Ok(Some(offset)) => self.read_frame(batch, offset, number),
            Ok(None) => {
                self.ended = true;
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.ended = true;
            let message = format!("reading stopped before the end of the file: {error}");
            self.summary.problem(Severity::Error, message, None, Some(number));
        }
    }

    /// Where the next frame's record is.
    fn next_offset(&mut self) -> io::Result<Option<u64>> {
        if let Some(offset) = self.walk_from {
            let end = self.walk_end();
            return Ok((offset < end).then_some(offset));
        }
        if self.table.next == self.table.chunk.len() && !self.read_table()? {
            return Ok(None);
        }
        let entry = self.table.chunk.get(self.table.next).copied();
        self.table.next += 1;
        Ok(entry.map(u64::from))
    }

    /// Where no more frames can stand.
    fn walk_end(&self) -> u64 {
        let table = u64::from(self.header.table.0);
        // A table before the first frame, or beyond the end, bounds nothing.
        if table > header::BYTES as u64 && table < self.size { table } else { self.size }
    }

    /// Reads the next entries of the table; false where there are no more.
    fn read_table(&mut self) -> io::Result<bool> {
        let left = self.table.entries.saturating_sub(self.table.taken);
        let count = left.min(TABLE_CHUNK as u64);
        let offset = u64::from(self.header.table.0) + self.table.taken * 4;
        let mut bytes = Vec::new();
        // The window moves to the table and back; that is rare enough.
        self.position = None;
        self.source.seek(SeekFrom::Start(offset))?;
        self.source.by_ref().take(count * 4).read_to_end(&mut bytes)?;
        self.table.chunk.clear();
        self.table.chunk.extend(bytes.as_chunks().0.iter().map(|entry| u32::from_le_bytes(*entry)));
        self.table.taken += self.table.chunk.len() as u64;
        self.table.next = 0;
        Ok(!self.table.chunk.is_empty())
    }

    fn read_frame(
        &mut self,
        batch: &mut FrameBatch,
        offset: u64,
        number: FrameNumber,
    ) -> io::Result<()> {
        let walking = self.walk_from.is_some();
        let record_bytes = self.header.record_bytes();
        let data = offset + record_bytes;
        if data > self.size {
            if walking {
                self.summary.cut_off(offset, number);
            } else {
                self.stop("the frame table points past the end of the file", offset, number);
            }
            self.ended = true;
            return Ok(());
        }
        self.seek(offset)?;
        let record = self.read_record()?;
        if walking && !self.is_sane(&record) {
            self.ended = true;
            return Ok(());
        }
        if record.captured > MOST_FRAME_BYTES {
            let why = format!("the frame claims {} bytes, more than it can have", record.captured);
            self.stop(&why, offset, number);
            return Ok(());
        }
        let end = data + u64::from(record.captured);
        // Without its trailer, the last frame before a cut could be of any medium.
        let trailer = if walking { self.header.trailer_bytes() } else { 0 };
        if end + trailer > self.size {
            self.ended = true;
            self.summary.cut_off(offset, number);
            return Ok(());
        }
        // Such a table could make a small file take days.
        self.record_bytes = self.record_bytes.saturating_add(end - offset);
        if self.record_bytes > self.size {
            self.stop("the frame table points to the same bytes again and again", offset, number);
            return Ok(());
        }
        let start = batch.bytes.len();
        batch.bytes.resize(start + record.captured as usize, 0);
        self.source.read_exact(batch.bytes.get_mut(start..).unwrap_or_default())?;
        self.position = Some(end);
        let trailer = self.read_trailer(offset, end, number)?;
        if walking {
            self.walk_from = Some(end + self.header.trailer_bytes());
        }
        self.last_delta = Some(record.delta);
        let time = self.time(&record, &trailer);
        let media = trailer.media.unwrap_or(self.header.media);
        let link_type = link_type(media);
        batch.mark(start, record.captured, record.original, time, link_type);
        self.summary.count_frame(time, link_type);
        self.remark(batch.bytes.get(start..).unwrap_or_default(), media, offset, number);
        if !walking && self.table_is_used_up() {
            self.walk_from = Some(end + self.header.trailer_bytes());
        }
        Ok(())
    }

    /// Whether the entries that the file holds are used up, and fewer than it promises.
    fn table_is_used_up(&self) -> bool {
        self.table.entries < u64::from(self.header.table.1 / 4)
            && self.table.taken == self.table.entries
            && self.table.next == self.table.chunk.len()
    }

    /// Moves the window to `offset`, which is nearly always in it: then without a system call.
    fn seek(&mut self, offset: u64) -> io::Result<()> {
        let distance =
            self.position.take().map(|position| i128::from(offset) - i128::from(position));
        match distance.and_then(|distance| i64::try_from(distance).ok()) {
            Some(distance) => self.source.seek_relative(distance),
            None => self.source.seek(SeekFrom::Start(offset)).map(|_| ()),
        }
    }

    fn read_record(&mut self) -> io::Result<Record> {
        let order = ByteOrder::Little;
        let mut bytes = [0; 16];
        let size = usize::try_from(self.header.record_bytes()).unwrap_or(bytes.len());
        self.source.read_exact(bytes.get_mut(..size).unwrap_or_default())?;
        let long = |offset| order.u32(&bytes, offset).unwrap_or(0);
        let short = |offset| u32::from(order.u16(&bytes, offset).unwrap_or(0));
        if self.header.major == 1 {
            let delta = i128::from(long(0)) * 1_000_000;
            return Ok(Record { delta, original: short(4), captured: short(6) });
        }
        // Frames that were there before the capture began have times before it.
        let delta = order.u64(&bytes, 0).unwrap_or(0).cast_signed();
        Ok(Record { delta: i128::from(delta) * 1000, original: long(8), captured: long(12) })
    }

    /// Whether a record that no table points to can be one.
    fn is_sane(&self, record: &Record) -> bool {
        record.captured <= record.original
            && record.original <= SANE_BYTES
            && self
                .last_delta
                .is_none_or(|last| record.delta.abs_diff(last) <= u128::from(SANE_STEP))
    }

    /// Reads what follows the frame, as much of it as there is before the next thing in the file.
    fn read_trailer(&mut self, offset: u64, end: u64, number: FrameNumber) -> io::Result<Trailer> {
        let expected = self.header.trailer_bytes();
        if expected == 0 {
            return Ok(Trailer::default());
        }
        let next = self.table.chunk.get(self.table.next).copied().map(u64::from);
        let table = u64::from(self.header.table.0);
        let bound = next
            .into_iter()
            .chain([table, self.size])
            .filter(|bound| *bound > offset)
            .min()
            .unwrap_or(self.size);
        let present = bound.saturating_sub(end).min(expected);
        if present < expected {
            let (_, count) = self.repaired.get_or_insert((number, 0));
            *count += 1;
        }
        let order = ByteOrder::Little;
        let mut bytes = [0; 15];
        let size = usize::try_from(present).unwrap_or(0);
        let bytes = bytes.get_mut(..size).unwrap_or_default();
        self.source.read_exact(bytes)?;
        self.position = Some(end.saturating_add(present));
        let utc = order.u64(bytes, 6).filter(|time| *time != 0).map(header::unix_time);
        Ok(Trailer { media: order.u16(bytes, 0), utc })
    }

    fn time(&mut self, record: &Record, trailer: &Trailer) -> Option<Timestamp> {
        if self.header.stores_utc() {
            if let Some(utc) = trailer.utc {
                self.utc_start.get_or_insert(utc - record.delta);
                return Timestamp::from_nanoseconds(utc);
            }
            return Timestamp::from_nanoseconds(self.utc_start?.checked_add(record.delta)?);
        }
        Timestamp::from_nanoseconds(self.header.local_start?.checked_add(record.delta)?)
    }

    /// Ties comments to the frame, and notes the filter of a filter frame.
    fn remark(&mut self, bytes: &[u8], media: u16, offset: u64, number: FrameNumber) {
        for ((at, _), frame) in self.comments.kept.iter().zip(&mut self.comment_frames) {
            if u64::from(*at) == offset {
                *frame = Some(number);
            }
        }
        if media == FILTER
            && let Some(filter) = remarks::filter(bytes)
        {
            self.summary.comment(Some(number), &filter);
        }
    }

    fn stop(&mut self, why: &str, offset: u64, number: FrameNumber) {
        self.ended = true;
        let message = format!(
            "{why}: the capture is damaged from here on, and only what stands before is read"
        );
        self.summary.problem(Severity::Error, message, Some(offset), Some(number));
    }
}

/// Media code of a frame that tells a filter.
const FILTER: u16 = 0xffff;

/// What a frame of a media code begins with.
fn link_type(media: u16) -> LinkType {
    match media {
        0 | 1 => LinkType::ETHERNET,
        7..=9 => LinkType::RAW,
        // Message Analyzer's own, which collide with link types that nobody meets.
        0xe080..=0xe08a => LinkType::netmon(media),
        0xe000..=0xefff => LinkType::pcap(media & 0x0fff),
        _ => LinkType::netmon(media),
    }
}

#[cfg(test)]
mod tests;
