//! Writes frames as a pcapng file, with remarks, as Wireshark opens it.
//!
//! Little-endian, one section, an interface for each capture and link type that frames come from,
//! times in nanoseconds (draft-ietf-opsawg-pcapng, sections 4.1 to 4.3).

use std::collections::BTreeMap;
use std::io;
use std::io::Write;

use crate::capture::Frame;
use crate::capture::LinkType;
use crate::net::Timestamp;

/// Bytes of one remark that are written.
const LONGEST_COMMENT: usize = 4096;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const OPTION_COMMENT: u16 = 1;
const OPTION_APPLICATION: u16 = 4;
const OPTION_INTERFACE_NAME: u16 = 2;
const OPTION_TIME_RESOLUTION: u16 = 9;

/// A pcapng file in the making.
pub struct PcapngWriter<W> {
    out: W,
    /// Interfaces that were described, by capture and link type.
    interfaces: BTreeMap<(usize, LinkType), u32>,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a file, with remarks about all of it.
    pub fn new(mut out: W, application: &str, comments: &[String]) -> io::Result<PcapngWriter<W>> {
        let mut body = Vec::new();
        body.extend(0x1a2b_3c4d_u32.to_le_bytes());
        body.extend(1_u16.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        // The section's length is not told.
        body.extend(u64::MAX.to_le_bytes());
        for comment in comments {
            option(&mut body, OPTION_COMMENT, comment.as_bytes());
        }
        option(&mut body, OPTION_APPLICATION, application.as_bytes());
        end_of_options(&mut body);
        block(&mut out, SECTION_HEADER, &body)?;
        Ok(PcapngWriter { out, interfaces: BTreeMap::new() })
    }

    /// Whether frames of a link type have a place in such a file.
    pub fn holds(link_type: LinkType) -> bool {
        u16::try_from(link_type.code()).is_ok()
    }

    /// Adds a frame of a capture, with remarks. A frame without a time gets that of 1970.
    ///
    /// # Errors
    ///
    /// Of writing; and of kind `InvalidInput` where pcapng has no number for the link type
    /// ([`PcapngWriter::holds`]).
    pub fn frame(
        &mut self,
        frame: Frame<'_>,
        capture: usize,
        capture_name: &str,
        comments: &[String],
    ) -> io::Result<()> {
        let interface = self.interface(capture, capture_name, frame.link_type)?;
        let since_1970 = frame.time.map_or(0, Timestamp::as_nanoseconds);
        let ticks = u64::try_from(since_1970).unwrap_or_default().to_le_bytes();
        let [low @ .., _, _, _, _] = ticks;
        let [_, _, _, _, high @ ..] = ticks;
        let captured = u32::try_from(frame.bytes.len()).map_err(io::Error::other)?;
        let mut body = Vec::with_capacity(frame.bytes.len() + 64);
        body.extend(interface.to_le_bytes());
        body.extend(high);
        body.extend(low);
        body.extend(captured.to_le_bytes());
        body.extend(frame.original_length.max(captured).to_le_bytes());
        body.extend(frame.bytes);
        pad(&mut body);
        for comment in comments {
            option(&mut body, OPTION_COMMENT, comment.as_bytes());
        }
        if !comments.is_empty() {
            end_of_options(&mut body);
        }
        block(&mut self.out, ENHANCED_PACKET, &body)
    }

    /// The number of an interface, which is described first where it is new.
    fn interface(&mut self, capture: usize, name: &str, link_type: LinkType) -> io::Result<u32> {
        if let Some(interface) = self.interfaces.get(&(capture, link_type)) {
            return Ok(*interface);
        }
        let number = u16::try_from(link_type.code()).map_err(|_| {
            let message = format!("pcapng has no number for {}", link_type.name());
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        let mut body = Vec::new();
        body.extend(number.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        // No snap length: what was cut was cut before.
        body.extend(0_u32.to_le_bytes());
        option(&mut body, OPTION_INTERFACE_NAME, name.as_bytes());
        option(&mut body, OPTION_TIME_RESOLUTION, &[9]);
        end_of_options(&mut body);
        block(&mut self.out, INTERFACE, &body)?;
        let interface = u32::try_from(self.interfaces.len()).map_err(io::Error::other)?;
        self.interfaces.insert((capture, link_type), interface);
        Ok(interface)
    }
}

/// A block: its type, its length, the body, and its length again.
fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 12).map_err(io::Error::other)?.to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}

/// An option, cut to a length that fits.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let mut length = value.len().min(LONGEST_COMMENT);
    // Not within a character of UTF-8.
    while length < value.len()
        && length > 0
        && value.get(length).is_some_and(|it| it & 0xc0 == 0x80)
    {
        length -= 1;
    }
    let value = value.get(..length).unwrap_or_default();
    body.extend(code.to_le_bytes());
    body.extend(u16::try_from(length).unwrap_or_default().to_le_bytes());
    body.extend(value);
    pad(body);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

/// Zeros up to a multiple of four.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{FrameBatch, Reading, open_source};
    use crate::net::FrameNumber;

    fn frame(number: u64, link_type: LinkType, bytes: &[u8]) -> Frame<'_> {
        Frame {
            number: FrameNumber(number),
            time: Timestamp::from_nanoseconds(1_401_185_700_123_456_789),
            link_type,
            bytes,
            original_length: 1500,
            note: None,
        }
    }

    #[test]
    fn what_is_written_reads_back_with_its_remarks() {
        let mut file = Vec::new();
        let long = "ä".repeat(5000);
        let mut writer = PcapngWriter::new(&mut file, "portmortem", &["why".to_owned()]).unwrap();
        writer
            .frame(frame(101, LinkType::ETHERNET, b"abc"), 0, "a.cap", &["one".into(), long])
            .unwrap();
        writer.frame(frame(7, LinkType::RAW, b"defgh"), 1, "b.cap", &[]).unwrap();
        writer.frame(frame(102, LinkType::ETHERNET, b""), 0, "a.cap", &[]).unwrap();
        let row = writer.frame(frame(1, LinkType::ROW, b"x"), 0, "a.txt", &[]);
        assert_eq!(row.unwrap_err().kind(), io::ErrorKind::InvalidInput);

        let source = Box::new(io::Cursor::new(file));
        let mut reader = open_source(source, "x.pcapng", Reading::default()).unwrap();
        let batch = reader.next_batch(FrameBatch::default()).unwrap();
        let frames: Vec<(LinkType, &[u8], u32)> =
            batch.frames().map(|it| (it.link_type, it.bytes, it.original_length)).collect();
        let expected: [(LinkType, &[u8], u32); 3] = [
            (LinkType::ETHERNET, b"abc", 1500),
            (LinkType::RAW, b"defgh", 1500),
            (LinkType::ETHERNET, b"", 1500),
        ];
        assert_eq!(frames, expected);
        let time = batch.frames().next().and_then(|frame| frame.time).unwrap();
        assert_eq!(time.as_nanoseconds(), 1_401_185_700_123_456_789);
        let summary = reader.finish();
        assert_eq!(summary.problems.len(), 0);
        let comments: Vec<_> =
            summary.comments.iter().map(|it| (it.frame.map(|it| it.0), it.text.len())).collect();
        assert_eq!(comments, [(None, 3), (Some(1), 3), (Some(1), 4096)]);
    }
}
