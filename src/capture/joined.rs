//! Several captures read as one: a ring buffer, or a capture that was taken in pieces.
//!
//! They come in the order of their first frames, those of one time in that of their names, and
//! one is read to its end before the next. Frames are numbered on over the borders, as they are
//! in the file that `mergecap -a` makes of the captures in this order.

use crate::capture::{
    Bounds, CaptureReader, CaptureSummary, Contents, FrameBatch, Input, Reading, Severity,
};
use crate::net::{FrameNumber, Timestamp};

/// A capture that is to be joined with others.
pub struct Part {
    /// The input that it stands in.
    pub input: Input,
    /// Its number among the contents of the input, from 0.
    pub number: usize,
    /// How the reports call it.
    pub shown_as: String,
    /// Hash of its first bytes.
    pub head: u64,
    /// Time of its first frame that has one.
    first_seen: Option<Timestamp>,
    /// The open capture, where it cannot be opened again, and what was read of it.
    kept: Option<(Box<dyn CaptureReader>, Option<FrameBatch>)>,
}

impl Part {
    /// Looks for the first frame of an open capture. What can be read only once is kept open.
    pub fn look(
        mut reader: Box<dyn CaptureReader>,
        input: &Input,
        number: usize,
        shown_as: String,
        head: u64,
    ) -> Part {
        let batch = reader.next_batch(FrameBatch::default());
        let first_seen = batch.as_ref().and_then(|it| it.frames().find_map(|frame| frame.time));
        let kept = (!input.opens_again()).then_some((reader, batch));
        Part { input: input.clone(), number, shown_as, head, first_seen, kept }
    }
}

/// Captures read as one.
pub struct Joined {
    /// What is still to be read, the next last.
    parts: Vec<Part>,
    present: Option<Present>,
    /// The archive, or file, that the last part came from, and how many of its contents are behind us.
    contents: Option<(Input, Contents, usize)>,
    reading: Reading,
    bounds: Bounds,
    frames: u64,
    done: Vec<JoinedPart>,
}

struct Present {
    reader: Box<dyn CaptureReader>,
    batch: Option<FrameBatch>,
}

/// A part that was read.
pub struct JoinedPart {
    /// What is known of it; frames are counted as in the file itself.
    pub summary: CaptureSummary,
    /// Number of its first frame among those of all parts.
    pub first_frame: FrameNumber,
}

impl Joined {
    /// Puts captures in the order of their first frames.
    pub fn new(mut parts: Vec<Part>, reading: Reading, bounds: Bounds) -> Joined {
        // What has no time comes last. The order of equal ones is that of the inputs.
        parts.sort_by(|one, other| {
            let key = |part: &Part| (part.first_seen.is_none(), part.first_seen);
            key(one).cmp(&key(other)).then_with(|| one.shown_as.cmp(&other.shown_as))
        });
        parts.reverse();
        Joined {
            parts,
            present: None,
            contents: None,
            reading,
            bounds,
            frames: 0,
            done: Vec::new(),
        }
    }

    /// What is known of all, and of each, in order. To be called after the last batch.
    pub fn into_summaries(mut self) -> (CaptureSummary, Vec<JoinedPart>) {
        while self.present.is_some() || self.open_next() {
            self.end_present();
        }
        let name = self.done.first().map(|part| part.summary.path.clone()).unwrap_or_default();
        let more = self.done.len().saturating_sub(1);
        let mut joined = CaptureSummary::of(&format!("{name} and {more} more, joined"));
        let mut formats: Vec<String> = Vec::new();
        for part in &mut self.done {
            let summary = &mut part.summary;
            if let (Some(last), Some(first)) = (joined.last_seen, summary.first_seen)
                && first < last
            {
                let message = "it begins before the files in front of it end; frames are read file \
                               by file";
                summary.problem(Severity::Info, message, None, None);
            }
            joined.add(summary);
            if let Some(format) = &summary.format
                && !formats.contains(format)
            {
                formats.push(format.clone());
            }
        }
        joined.format = (!formats.is_empty()).then(|| formats.join(", "));
        let zones = |known: bool| {
            self.done
                .iter()
                .any(|part| part.summary.frames > 0 && part.summary.clock.zone_known == known)
        };
        if zones(true) && zones(false) {
            let message = "some of the files tell local time and others UTC: their order, and the \
                           time between them, may be wrong";
            joined.problem(Severity::Warning, message, None, None);
        }
        (joined, self.done)
    }

    /// Opens the next part; false where there is none.
    fn open_next(&mut self) -> bool {
        while let Some(part) = self.parts.pop() {
            let shown_as = part.shown_as.clone();
            match self.opened(part) {
                Ok(present) => {
                    self.present = Some(present);
                    return true;
                }
                Err(message) => {
                    let mut summary = CaptureSummary::of(&shown_as);
                    summary.problem(Severity::Error, message, None, None);
                    self.push(summary);
                }
            }
        }
        false
    }

    fn opened(&mut self, part: Part) -> Result<Present, String> {
        if let Some((reader, batch)) = part.kept {
            return Ok(Present { reader, batch });
        }
        let (mut contents, behind) = match self.contents.take() {
            Some((input, contents, behind)) if input == part.input && behind <= part.number => {
                (contents, behind)
            }
            _ => (part.input.contents(self.reading.clone(), self.bounds)?, 0),
        };
        let content = contents.nth(part.number.saturating_sub(behind));
        self.contents = Some((part.input, contents, part.number.saturating_add(1)));
        let changed = || "the file was changed while it was read".to_owned();
        let reader = content.ok_or_else(changed)?.opened.map_err(|error| error.to_string())?;
        Ok(Present { reader, batch: None })
    }

    fn end_present(&mut self) {
        if let Some(present) = self.present.take() {
            let summary = present.reader.finish();
            self.push(summary);
        }
    }

    fn push(&mut self, summary: CaptureSummary) {
        let first_frame = FrameNumber(self.frames.saturating_add(1));
        self.frames = self.frames.saturating_add(summary.frames);
        self.done.push(JoinedPart { summary, first_frame });
    }
}

impl CaptureReader for Joined {
    fn next_batch(&mut self, mut spare: FrameBatch) -> Option<FrameBatch> {
        loop {
            if let Some(present) = &mut self.present {
                let batch = match present.batch.take() {
                    Some(batch) => Some(batch),
                    None => present.reader.next_batch(std::mem::take(&mut spare)),
                };
                if let Some(mut batch) = batch {
                    batch.number_on(self.frames);
                    return Some(batch);
                }
                self.end_present();
            }
            if !self.open_next() {
                return None;
            }
        }
    }

    fn finish(self: Box<Self>) -> CaptureSummary {
        self.into_summaries().0
    }
}
