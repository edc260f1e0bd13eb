//! Reads what people save out of Wireshark, tshark and tcpdump as text.
//!
//! Where a text holds the bytes of its frames (hex dumps, K12, JSON with raw bytes), the frames are
//! given as they were. Where the text does not tell something, it is unknown and never made up;
//! what had to be inferred is said in the capture's problems.
//!
//! To add a shape: write `src/capture/wireshark/<name>.rs` with a reader of [`Draft`]s, and add a
//! line to `SHAPES`.

use crate::capture::text::{self, Text};
use crate::capture::wireshark::clock::Watch;
use crate::capture::wireshark::draft::{Draft, Drafts};
use crate::capture::wireshark::notes::Notes;
use crate::capture::{
    CaptureReader, CaptureSummary, Error, FrameBatch, LinkType, Opened, Severity,
};
use crate::capture::{MOST_FRAME_BYTES, Reading};
use crate::net::FrameNumber;

mod account;
mod clock;
mod draft;
mod fields;
mod guess;
mod hex;
mod json;
mod k12;
mod lines;
mod notes;

/// A shape of text that holds frames.
struct Shape {
    /// Its name, where a text that begins like this is of this shape.
    name: fn(&str) -> Option<&'static str>,
    /// Its reader, made after a look at the beginning.
    reader: fn(&str) -> Box<dyn Drafts>,
}

/// Every shape that we read. The first that knows the beginning reads the text.
const SHAPES: [Shape; 3] = [
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
        reading: opened.reading,
        text: Text::new(opened),
        summary,
        watch: Watch::default(),
        notes: Notes::default(),
        ended: false,
    }))
}

/// Frames of a batch.
const MOST_FRAMES: usize = 1 << 15;

struct TextReader {
    text: Text,
    drafts: Box<dyn Drafts>,
    reading: Reading,
    summary: CaptureSummary,
    watch: Watch,
    notes: Notes,
    ended: bool,
}

impl CaptureReader for TextReader {
    fn next_batch(&mut self, mut spare: FrameBatch) -> Option<FrameBatch> {
        spare.restart(FrameNumber(self.summary.frames.saturating_add(1)));
        while !self.ended && spare.bytes.len() < self.reading.piece && spare.len() < MOST_FRAMES {
            match self.drafts.next(&mut self.text, &mut self.notes) {
                Some(draft) => self.put(&mut spare, draft),
                None => self.ended = true,
            }
        }
        (!spare.is_empty()).then_some(spare)
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
    /// Puts a draft into the batch.
    fn put(&mut self, batch: &mut FrameBatch, draft: Draft) {
        let time = draft.time.and_then(|told| self.watch.read(told));
        let start = batch.bytes.len();
        let bytes = draft.bytes.get(..MOST_FRAME_BYTES as usize).unwrap_or(&draft.bytes);
        let captured = u32::try_from(bytes.len()).unwrap_or(MOST_FRAME_BYTES);
        batch.bytes.extend_from_slice(bytes);
        let link_type = draft.link_type.unwrap_or_else(|| {
            let guessed = guess::link_type(bytes);
            self.notes.guessed(guessed);
            guessed.unwrap_or(LinkType::ETHERNET)
        });
        let original = draft.original.unwrap_or(captured).max(captured);
        batch.mark(start, captured, original, time, link_type);
        self.summary.count_frame(time, link_type);
    }
}
