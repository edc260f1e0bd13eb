//! Rows in, frames out.
//!
//! Whether the frame numbers that a text tells can be used is known only at its end: they must
//! all be there and only grow. So all rows are kept until then, as bytes, and what is more than
//! fits in memory lies in a temporary file.

use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;

use crate::capture::row::attempts::Attempts;
use crate::capture::row::{Row, RowContent};
use crate::capture::{CaptureSummary, FrameBatch, LinkType, Severity};
use crate::net::FrameNumber;

/// Bytes of rows that are kept in memory.
const IN_MEMORY: usize = 64 << 20;
/// Bytes of rows in a batch.
const BATCH_BYTES: usize = 256 << 10;

/// Takes rows, in the order of the text.
pub(in crate::capture) struct RowSpool {
    file: BufWriter<SpooledTempFile>,
    attempts: Attempts,
    scratch: Vec<u8>,
    rows: u64,
    last: FrameNumber,
    /// The first row whose number cannot be used: its line, and whether it has none.
    unusable: Option<(u32, bool)>,
}

impl Default for RowSpool {
    fn default() -> RowSpool {
        RowSpool::new()
    }
}

impl RowSpool {
    /// A spool without rows.
    pub(in crate::capture) fn new() -> RowSpool {
        RowSpool {
            file: BufWriter::new(SpooledTempFile::new(IN_MEMORY)),
            attempts: Attempts::default(),
            scratch: Vec::new(),
            rows: 0,
            last: FrameNumber(0),
            unusable: None,
        }
    }

    /// Number of rows so far.
    pub(in crate::capture) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes the next row, and completes its sequence numbers. Fails where the temporary file
    /// cannot be written.
    pub(in crate::capture) fn push(&mut self, mut row: Row<'_>) -> io::Result<()> {
        if let RowContent::Segment { path, segment } = &mut row.content {
            self.attempts.complete(path, segment);
        }
        self.number(row.number, row.line);
        self.scratch.clear();
        row.write(&mut self.scratch);
        self.keep(LinkType::ROW)
    }

    /// Takes a frame whose bytes the text holds, between the rows. `row` tells its number, line,
    /// time and length on the wire.
    pub(in crate::capture) fn push_frame(
        &mut self,
        row: &Row<'_>,
        link_type: LinkType,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.number(row.number, row.line);
        self.scratch.clear();
        // What a row is written with, without its note, and then the bytes.
        Row { note: "", ..*row }.write(&mut self.scratch);
        let told = u32::try_from(self.scratch.len()).map_err(io::Error::other)?;
        self.scratch.extend_from_slice(bytes);
        self.scratch.extend_from_slice(&told.to_be_bytes());
        self.keep(link_type)
    }

    /// Notes the number that a text tells.
    fn number(&mut self, number: Option<FrameNumber>, line: u32) {
        match number {
            Some(number) if number > self.last => self.last = number,
            number => {
                self.unusable.get_or_insert((line, number.is_none()));
            }
        }
        self.rows += 1;
    }

    /// Writes what is in the scratch to the file.
    fn keep(&mut self, link_type: LinkType) -> io::Result<()> {
        let length = u32::try_from(self.scratch.len()).map_err(io::Error::other)?;
        self.file.write_all(&link_type.code().to_be_bytes())?;
        self.file.write_all(&length.to_be_bytes())?;
        self.file.write_all(&self.scratch)
    }

    /// Ends the text: what follows are its frames. Says in `summary` how they are numbered.
    pub(in crate::capture) fn finish(
        self,
        summary: &mut CaptureSummary,
    ) -> io::Result<SpooledRows> {
        let own_numbers = self.unusable.is_none();
        match self.unusable {
            None => {}
            Some((line, untold)) => {
                let why = match (untold, self.last) {
                    (true, FrameNumber(0)) => "the text tells no frame numbers".to_owned(),
                    (true, _) => format!("not every row tells its frame number (line {line})"),
                    (false, _) => {
                        format!("the frame numbers of the text do not only grow (line {line})")
                    }
                };
                let message = format!(
                    "{why}: rows are numbered by their place, from 1; JSON and --verbose tell the \
                     line of each row that decides a verdict"
                );
                summary.problem(Severity::Info, message, None, None);
            }
        }
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(SpooledRows { file: BufReader::new(file), left: self.rows, own_numbers })
    }
}

/// Gives rows out as frames.
pub(in crate::capture) struct SpooledRows {
    file: BufReader<SpooledTempFile>,
    left: u64,
    own_numbers: bool,
}

impl SpooledRows {
    /// The next batch, never empty; `None` at the end, or where the temporary file cannot be
    /// read, which `summary` then tells. Counts the frames in `summary`.
    pub(in crate::capture) fn next_batch(
        &mut self,
        mut spare: FrameBatch,
        summary: &mut CaptureSummary,
    ) -> Option<FrameBatch> {
        spare.restart(FrameNumber(summary.frames.saturating_add(1)));
        while self.left > 0 && spare.bytes.len() < BATCH_BYTES {
            self.left -= 1;
            if let Err(error) = self.next_row(&mut spare, summary) {
                self.left = 0;
                let message =
                    format!("the rows cannot be read back from a temporary file: {error}");
                summary.problem(Severity::Error, message, None, None);
            }
        }
        (!spare.is_empty()).then_some(spare)
    }

    fn next_row(&mut self, batch: &mut FrameBatch, summary: &mut CaptureSummary) -> io::Result<()> {
        let link_type = LinkType::of_code(self.read_word()?);
        let mut length = self.read_word()?;
        let start = batch.bytes.len();
        // Our own length: `keep` wrote it.
        (&mut self.file).take(length.into()).read_to_end(&mut batch.bytes)?;
        let mut bytes = batch.bytes.get(start..).unwrap_or_default();
        let mut frame_start = start;
        if link_type != LinkType::ROW {
            let (rest, told) = bytes.split_last_chunk().ok_or(io::ErrorKind::InvalidData)?;
            let told = usize::try_from(u32::from_be_bytes(*told)).unwrap_or(usize::MAX);
            let (row, frame) = rest.split_at_checked(told).ok_or(io::ErrorKind::InvalidData)?;
            frame_start = start.saturating_add(told);
            length = u32::try_from(frame.len()).map_err(io::Error::other)?;
            bytes = row;
        }
        let row = Row::read(bytes).ok_or(io::ErrorKind::InvalidData)?;
        let (time, number, wire_length) = (row.time, row.number, row.wire_length);
        summary.count_frame(time, link_type);
        let original = wire_length.unwrap_or(length);
        match number.filter(|_| self.own_numbers) {
            Some(number) => {
                batch.mark_numbered(number, frame_start, length, original, time, link_type);
            }
            None => batch.mark(frame_start, length, original, time, link_type),
        }
        Ok(())
    }

    fn read_word(&mut self) -> io::Result<u32> {
        let mut word = [0; 4];
        self.file.read_exact(&mut word)?;
        Ok(u32::from_be_bytes(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::row::RowOther;

    fn row(number: Option<u64>, line: u32) -> Row<'static> {
        Row {
            number: number.map(FrameNumber),
            line,
            time: None,
            ttl: None,
            ip_id: None,
            wire_length: None,
            to_group: false,
            content: RowContent::Other(RowOther::Arp),
            note: "ARP:Request, A asks for B",
        }
    }

    /// Numbers of the frames, and the problems.
    fn numbered(numbers: &[Option<u64>]) -> (Vec<u64>, Vec<String>) {
        let mut spool = RowSpool::new();
        for (number, line) in numbers.iter().zip(1..) {
            spool.push(row(*number, line)).unwrap();
        }
        let mut summary = CaptureSummary::of("text");
        let mut rows = spool.finish(&mut summary).unwrap();
        let mut found = Vec::new();
        let mut spare = FrameBatch::default();
        while let Some(batch) = rows.next_batch(spare, &mut summary) {
            found.extend(batch.frames().map(|frame| frame.number.0));
            assert!(batch.frames().all(|frame| Row::read(frame.bytes).is_some()));
            spare = batch;
        }
        assert_eq!(summary.frames, numbers.len() as u64);
        (found, summary.problems.into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn rows_keep_the_frame_numbers_that_only_grow() {
        assert_eq!(numbered(&[Some(101), Some(108), Some(131)]), (vec![101, 108, 131], vec![]));
    }

    #[test]
    fn other_rows_are_numbered_by_their_place() {
        for (numbers, why) in [
            (vec![None, None], "the text tells no frame numbers: "),
            (vec![Some(7), None, Some(9)], "not every row tells its frame number (line 2): "),
            (vec![Some(7), Some(7)], "the frame numbers of the text do not only grow (line 2): "),
        ] {
            let (found, problems) = numbered(&numbers);
            assert!(found.into_iter().eq(1..=numbers.len() as u64));
            assert!(problems[0].starts_with(why), "{problems:?}");
        }
    }

    #[test]
    fn frames_keep_their_bytes_between_rows() {
        let mut spool = RowSpool::new();
        spool.push(row(Some(5), 1)).unwrap();
        let told = Row { wire_length: Some(60), ..row(Some(9), 2) };
        spool.push_frame(&told, LinkType::ETHERNET, b"frame").unwrap();
        let mut summary = CaptureSummary::of("text");
        let mut rows = spool.finish(&mut summary).unwrap();
        let batch = rows.next_batch(FrameBatch::default(), &mut summary).unwrap();
        let frames: Vec<_> = batch.frames().collect();
        assert_eq!(frames[0].link_type, LinkType::ROW);
        assert_eq!((frames[1].number.0, frames[1].bytes), (9, &b"frame"[..]));
        assert_eq!((frames[1].link_type, frames[1].original_length), (LinkType::ETHERNET, 60));
    }

    #[test]
    fn many_rows_come_out_in_many_batches() {
        let numbers: Vec<Option<u64>> = (1..20_000).map(|number| Some(number * 3)).collect();
        assert!(numbered(&numbers).0.into_iter().map(Some).eq(numbers));
    }
}
