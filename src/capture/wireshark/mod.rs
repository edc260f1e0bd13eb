//! Reads what people save out of Wireshark, tshark and tcpdump as text.
//!
//! Where a text holds the bytes of its frames (hex dumps, K12, JSON with raw bytes), the frames are
//! given as they were. Where the text does not tell something, it is unknown and never made up;
//! what had to be inferred is said in the capture's problems.
//!
//! To add a shape: write `src/capture/wireshark/<name>.rs` with a reader of [`Draft`]s, and add a
//! line to `SHAPES`.

use std::collections::VecDeque;
use std::io;

use crate::capture::row::{RowSpool, SpooledRows};
use crate::capture::text::{self, Text};
use crate::capture::wireshark::account::Account;
use crate::capture::wireshark::clock::Watch;
use crate::capture::wireshark::draft::{Draft, Drafts};
use crate::capture::wireshark::neighbours::Neighbours;
use crate::capture::wireshark::notes::Notes;
use crate::capture::{
    CaptureReader, CaptureSummary, Error, FrameBatch, LinkType, Opened, Severity,
};
use crate::capture::{MOST_FRAME_BYTES, Reading, Row, RowContent, RowOther};
use crate::net::FrameNumber;

mod account;
mod clock;
mod columns;
mod csv;
mod detail;
mod draft;
mod fields;
mod guess;
mod hex;
mod info;
mod json;
mod k12;
mod lines;
mod list;
mod neighbours;
mod notes;
mod ports;
mod rows;
mod tcpdump;
mod xml;

/// A shape of text that holds frames.
struct Shape {
    /// Its name, where a text that begins like this is of this shape.
    name: fn(&str) -> Option<&'static str>,
    /// Its reader, made after a look at the beginning.
    reader: fn(&str) -> Box<dyn Drafts>,
}

/// Every shape that we read. The first that knows the beginning reads the text.
const SHAPES: [Shape; 5] = [
    Shape { name: csv::name, reader: csv::reader },
    Shape { name: xml::name, reader: xml::reader },
    Shape { name: json::name, reader: json::reader },
    Shape { name: k12::name, reader: k12::reader },
    Shape { name: lines::name, reader: lines::reader },
];

fn shape_of(beginning: &str) -> Option<(&'static Shape, &'static str)> {
    SHAPES.iter().find_map(|shape| Some((shape, (shape.name)(beginning)?)))
}

/// Whether a file that begins like this is a text that we read.
pub(super) fn begins(head: &[u8]) -> bool {
    text::beginning(head).is_some_and(|beginning| shape_of(&beginning).is_some())
}

/// Begins to read a text.
pub(super) fn open(opened: Opened) -> Result<Box<dyn CaptureReader>, Error> {
    let beginning = text::beginning(&opened.head).unwrap_or_default();
    let Some((shape, name)) = shape_of(&beginning) else { return Err(Error::Unknown) };
    let mut summary = CaptureSummary::of(&opened.shown_as);
    summary.format = Some(name.to_owned());
    Ok(Box::new(TextReader {
        drafts: (shape.reader)(&beginning),
        reading: opened.reading.clone(),
        text: Text::new(opened),
        summary,
        watch: Watch::default(),
        notes: Notes::default(),
        stage: Stage::Begin,
    }))
}

/// Rows that are looked at to tell how their times are meant.
const MOST_LOOKED_AT: usize = 500;

/// Frames of a batch.
const MOST_FRAMES: usize = 1 << 15;

struct TextReader {
    text: Text,
    drafts: Box<dyn Drafts>,
    reading: Reading,
    summary: CaptureSummary,
    watch: Watch,
    notes: Notes,
    stage: Stage,
}

/// How far reading came, and how it goes on.
enum Stage {
    Begin,
    /// Frames are given as they come. This one is the next.
    Frames(Option<Draft>),
    /// The whole text was read, for the numbers of its frames.
    Rows(SpooledRows),
    Ended,
}

impl CaptureReader for TextReader {
    fn next_batch(&mut self, spare: FrameBatch) -> Option<FrameBatch> {
        if matches!(self.stage, Stage::Begin) {
            self.stage = self.begin();
        }
        match &mut self.stage {
            Stage::Frames(_) => self.next_frames(spare),
            Stage::Rows(rows) => rows.next_batch(spare, &mut self.summary),
            Stage::Begin | Stage::Ended => None,
        }
    }

    fn finish(self: Box<Self>) -> CaptureSummary {
        let mut summary = self.summary;
        summary.clock = self.watch.clock();
        if let Some(failure) = self.text.failure() {
            let message = format!("reading stopped before the end of the file: {failure}");
            summary.problem(Severity::Error, message, None, None);
        }
        if self.watch.dateless() {
            let message = "the text tells times without a date: they are shown as if it had \
                           begun on 1970-01-01";
            summary.problem(Severity::Info, message, None, None);
        }
        self.notes.tell(self.text.lines_cut(), &mut summary);
        (summary.bytes, summary.sha256) = self.text.finish();
        summary
    }
}

impl TextReader {
    /// Looks at the first frame. Where frames have numbers, or no bytes, all of the text is read.
    fn begin(&mut self) -> Stage {
        let Some(first) = self.drafts.next(&mut self.text, &mut self.notes) else {
            return Stage::Ended;
        };
        if first.number.is_none() && first.account.is_none() {
            return Stage::Frames(Some(first));
        }
        self.spool(first).map(Stage::Rows).unwrap_or_else(|error| {
            let message = format!("the rows cannot be kept in a temporary file: {error}");
            self.summary.problem(Severity::Error, message, None, None);
            Stage::Ended
        })
    }

    /// Reads all of the text.
    fn spool(&mut self, first: Draft) -> io::Result<SpooledRows> {
        let mut spool = RowSpool::new();
        let mut neighbours = Neighbours::default();
        // Whether seconds count from the first frame or from the one before shows in many rows.
        let mut looked_at = VecDeque::from([first]);
        while looked_at.len() < MOST_LOOKED_AT
            && let Some(draft) = self.drafts.next(&mut self.text, &mut self.notes)
        {
            looked_at.push_back(draft);
        }
        let deltas = tells_deltas(&looked_at);
        let mut next = looked_at.pop_front();
        while let Some(mut draft) = next {
            if let Some(time) = draft.time.as_mut().filter(|_| deltas) {
                time.told = time.told.since_before();
            }
            neighbours.push(draft, &mut self.notes);
            while let Some(draft) = neighbours.pop(false, &mut self.notes) {
                self.keep(&mut spool, &draft)?;
            }
            next =
                looked_at.pop_front().or_else(|| self.drafts.next(&mut self.text, &mut self.notes));
        }
        while let Some(draft) = neighbours.pop(true, &mut self.notes) {
            self.keep(&mut spool, &draft)?;
        }
        spool.finish(&mut self.summary)
    }

    fn keep(&mut self, spool: &mut RowSpool, draft: &Draft) -> io::Result<()> {
        let nothing = Account::default();
        let account = draft.account.as_ref().unwrap_or(&nothing);
        let note = rows::note(account);
        let row = Row {
            number: draft.number.map(FrameNumber),
            line: u32::try_from(draft.line).unwrap_or(u32::MAX),
            time: draft.time.and_then(|told| self.watch.read(told)),
            ttl: account.ttl,
            ip_id: account.ip_id,
            wire_length: draft.original,
            to_group: rows::to_group(account),
            content: RowContent::Other(RowOther::NoPorts),
            note: &note,
        };
        if draft.bytes.is_empty() {
            let content = rows::content(account, draft.line, &mut self.notes);
            spool.push(Row { content, ..row })
        } else {
            let link_type = self.link_type(draft);
            spool.push_frame(&row, link_type, most(&draft.bytes))
        }
    }

    /// Gives frames as they come.
    fn next_frames(&mut self, mut spare: FrameBatch) -> Option<FrameBatch> {
        spare.restart(FrameNumber(self.summary.frames.saturating_add(1)));
        while spare.bytes.len() < self.reading.piece && spare.len() < MOST_FRAMES {
            let held = if let Stage::Frames(held) = &mut self.stage { held.take() } else { None };
            let next = held.or_else(|| self.drafts.next(&mut self.text, &mut self.notes));
            let Some(draft) = next else {
                self.stage = Stage::Ended;
                break;
            };
            self.put(&mut spare, &draft);
        }
        (!spare.is_empty()).then_some(spare)
    }

    /// Puts a frame into the batch.
    fn put(&mut self, batch: &mut FrameBatch, draft: &Draft) {
        let time = draft.time.and_then(|told| self.watch.read(told));
        let start = batch.bytes.len();
        let bytes = most(&draft.bytes);
        let captured = u32::try_from(bytes.len()).unwrap_or(MOST_FRAME_BYTES);
        batch.bytes.extend_from_slice(bytes);
        let link_type = self.link_type(draft);
        let original = draft.original.unwrap_or(captured).max(captured);
        batch.mark(start, captured, original, time, link_type);
        self.summary.count_frame(time, link_type);
    }

    /// The link type that the text tells, or that the bytes look like.
    fn link_type(&mut self, draft: &Draft) -> LinkType {
        draft.link_type.unwrap_or_else(|| {
            let guessed = guess::link_type(&draft.bytes);
            self.notes.guessed(guessed);
            guessed.unwrap_or(LinkType::ETHERNET)
        })
    }
}

/// Whether seconds count from the frame before: then they go up and down.
fn tells_deltas(drafts: &VecDeque<Draft>) -> bool {
    let seconds = |draft: &Draft| draft.time.and_then(|time| time.told.seconds());
    let times: Vec<i128> = drafts.iter().filter_map(seconds).collect();
    let falls = times.windows(2).filter(|pair| pair.first() > pair.last()).count();
    // Copies and several adapters make a capture fall now and then.
    times.len() > 2 && falls * 8 >= times.len()
}

/// As many bytes as a frame can have.
fn most(bytes: &[u8]) -> &[u8] {
    bytes.get(..MOST_FRAME_BYTES as usize).unwrap_or(bytes)
}
