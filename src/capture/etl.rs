//! Reads Windows event traces (`.etl`) as packet captures: what `netsh trace`, `pktmon`,
//! `New-NetEventSession` and Message Analyzer write.
//!
//! A trace holds events of any kind, of which few are packets, in buffers that are in no order. The
//! whole file is read before the first frame; only where packets lie is kept of what the file
//! holds as it is. Frames come in order of time and are numbered from 1, **each packet once**: of
//! the many places where Windows saw it, the one nearest to the network card counts. (Converters
//! make a frame of each sighting, so their numbers are others; the times agree.)
//!
//! What this machine itself dropped comes as the [`FrameNote`](crate::capture::FrameNote) of the
//! packet's frame.

mod buffer;
mod drops;
mod lznt1;
mod metadata;
mod ndis;
mod packets;
mod pktmon;
mod record;
mod remarks;
mod scan;
mod spool;
mod trace;
mod wfp;
mod xpress;

use std::io;
use std::io::SeekFrom;

use crate::capture::etl::drops::Notes;
use crate::capture::etl::packets::{Packet, Place};
use crate::capture::etl::record::{Body, Records};
use crate::capture::etl::scan::Scan;
use crate::capture::etl::spool::Spool;
use crate::capture::etl::trace::Trace;
use crate::capture::pieces;
use crate::capture::{CaptureReader, CaptureSummary, Error, FrameBatch, Opened, Reading};
use crate::capture::{Severity, Source};
use crate::net::{Clock, FrameNumber};

/// Bytes of a trace that comes through a pipe, which has to be held in memory.
const MOST_PIPED: u64 = 4 << 30;

/// Frames of a batch.
const MOST_FRAMES: usize = 1 << 15;

/// Whether a file that begins like this is an event trace.
pub(super) fn begins(head: &[u8]) -> bool {
    buffer::begins_trace(head)
}

/// Begins to read an event trace.
pub(super) fn open(opened: Opened) -> Result<Box<dyn CaptureReader>, Error> {
    let trace = trace_of(&opened.head)?;
    let mut summary = CaptureSummary::of(&opened.shown_as);
    // Windows counts in units of 100 ns.
    summary.clock = Clock { digits: 7, zone_known: true };
    let reading = opened.reading.clone();
    let (source, size) = opened.into_seekable(MOST_PIPED)?;
    summary.bytes = size;
    let state = State::Opened;
    Ok(Box::new(EtlReader { source, size, reading, summary, trace, state }))
}

/// The trace's own header, in the first record of the first buffer.
fn trace_of(head: &[u8]) -> Result<Trace, Error> {
    const FORMAT: &str = "event trace";
    let records = head.get(buffer::HEADER..).unwrap_or_default();
    let Some(record) = Records::of(records).next() else {
        return Err(Error::CutOff { format: FORMAT, bytes: head.len() });
    };
    let trace = match record.body {
        Body::System { group: 0, opcode: 0, data } => Trace::read(data, record.time),
        Body::System { .. } | Body::Classic { .. } | Body::Event(_) | Body::Other => None,
    };
    trace.ok_or(Error::Damaged { format: FORMAT, why: "its first record is too short" })
}

struct EtlReader {
    source: Box<dyn Source>,
    size: u64,
    reading: Reading,
    summary: CaptureSummary,
    trace: Trace,
    state: State,
}

/// How far reading came.
enum State {
    /// Nothing but the header was read.
    Opened,
    /// All events were read: the packets in order of time, and the next to give.
    Scanned { packets: Vec<Packet>, next: usize, spool: Spool },
}

impl CaptureReader for EtlReader {
    fn next_batch(&mut self, mut spare: FrameBatch) -> Option<FrameBatch> {
        self.scan();
        spare.restart(FrameNumber(self.summary.frames.saturating_add(1)));
        while spare.bytes.len() < self.reading.piece && spare.len() < MOST_FRAMES {
            if !self.next_frame(&mut spare) {
                break;
            }
        }
        (!spare.is_empty()).then_some(spare)
    }

    fn finish(mut self: Box<Self>) -> CaptureSummary {
        self.scan();
        let mut summary = self.summary;
        if self.reading.digest {
            summary.sha256 = pieces::digest(self.source.as_mut()).ok();
        }
        summary
    }
}

impl EtlReader {
    /// Reads all events, unless that was done.
    fn scan(&mut self) {
        let State::Opened = self.state else { return };
        let mut scan = Scan::of(self.source.as_mut(), self.size, self.trace.buffer_size);
        self.summary.format = Some(remarks::format(&scan));
        let mut notes = Notes::default();
        let mut packets = scan.pktmon.finish(&scan.metadata, self.trace.build, &mut notes);
        match scan.ndis.finish(&self.trace, &mut scan.spool) {
            Ok(found) => packets.extend(found),
            Err(error) => self.unreadable(&error),
        }
        packets.extend(scan.wfp.finish());
        // Stable: events of one moment stay in the order of the file.
        packets.sort_by_key(|packet| packet.stamp);
        self.summary.notes = notes.into_words();
        remarks::tell(&mut self.summary, &self.trace, &scan, packets.len());
        self.state = State::Scanned { packets, next: 0, spool: scan.spool };
    }

    /// Reads the next frame into the batch; false where there is none.
    fn next_frame(&mut self, batch: &mut FrameBatch) -> bool {
        let State::Scanned { packets, next, spool } = &mut self.state else { return false };
        let Some(packet) = packets.get(*next).copied() else { return false };
        *next += 1;
        let start = batch.bytes.len();
        batch.bytes.resize(start.saturating_add(packet.captured as usize), 0);
        let space = batch.bytes.get_mut(start..).unwrap_or_default();
        let read = match packet.place {
            Place::Spool(place) => spool.read(place, space),
            Place::File(place) => read_at(self.source.as_mut(), place, space),
        };
        if let Err(error) = read {
            *next = usize::MAX;
            self.unreadable(&error);
            return false;
        }
        if packet.link_type == packets::WIRELESS {
            packets::clear_protected(space);
        }
        let time = self.trace.time(packet.stamp);
        batch.mark(start, packet.captured, packet.original, time, packet.link_type);
        if let Some(note) = packet.note {
            batch.note(note);
        }
        self.summary.count_frame(time, packet.link_type);
        true
    }

    fn unreadable(&mut self, error: &io::Error) {
        let message = format!("reading stopped before the end of the file: {error}");
        self.summary.problem(Severity::Error, message, None, None);
    }
}

fn read_at(source: &mut dyn Source, place: u64, space: &mut [u8]) -> io::Result<()> {
    source.seek(SeekFrom::Start(place))?;
    source.read_exact(space)
}
