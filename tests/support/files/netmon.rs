//! Writes Network Monitor captures: 1.1 and 2.0 to 2.3.

use std::fmt::Write;

use super::{Bytes, Order};
use crate::support::scene::{Frame, Scene};

/// Which Network Monitor capture.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub version: Version,
    /// Minutes that the clock on the wall is ahead of UTC. The file's header has that time and
    /// does not tell the zone; from 2.3 on every frame has UTC beside it.
    pub zone_minutes: i64,
}

/// Version of the format. Each has what the ones before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Milliseconds.
    V1_1,
    /// Microseconds.
    V2_0,
    /// Every frame has its media type.
    V2_1,
    /// Every frame has its process, and there may be comments.
    V2_2,
    /// Every frame has its UTC time, to 100 ns.
    V2_3,
}

impl Form {
    /// What Network Monitor 3.4 writes, in Seattle in winter.
    pub const USUAL: Form = Form { version: Version::V2_3, zone_minutes: -480 };
}

/// Length of the file's header.
pub const HEADER: usize = 72;
/// Length of a 2.x record's header.
pub const RECORD: usize = 16;
/// Length of what follows a 2.3 record's bytes.
pub const TRAILER: usize = 15;

/// From 1601 to 1970, in units of 100 ns.
const FILETIME_1970: i64 = 116_444_736_000_000_000;

pub fn write(scene: &Scene, form: Form) -> Vec<u8> {
    let start = scene.frames.first().map_or(Scene::START, |frame| frame.time);
    let start = start - start % 1_000_000; // the header has whole milliseconds
    let mut file = Bytes::new(Order::Little);
    file.raw(&[0; HEADER]);

    let mut table = Vec::new();
    for frame in &scene.frames {
        table.push(file.offset());
        record(&mut file, frame, start, form.version);
    }
    let comments = file.offset();
    if form.version >= Version::V2_2 {
        for (frame, offset) in scene.frames.iter().zip(&table) {
            if let Some(text) = &frame.comment {
                comment(&mut file, *offset, text);
            }
        }
    }
    let comments_length = file.offset() - comments;
    let extended = file.offset();
    if form.version >= Version::V2_3 {
        file.u16(1);
        file.u64(filetime(start));
        file.raw(&[0]); // no zones
    }
    let extended_length = file.offset() - extended;
    // The frame table ends the file, so that a copy that was cut off has none.
    let frame_table = file.offset();
    for offset in &table {
        file.u32(*offset);
    }

    let mut header = Bytes::new(Order::Little);
    let (magic, minor, major) = match form.version {
        Version::V1_1 => (b"RTSS", 1, 1),
        Version::V2_0 => (b"GMBU", 0, 2),
        Version::V2_1 => (b"GMBU", 1, 2),
        Version::V2_2 => (b"GMBU", 2, 2),
        Version::V2_3 => (b"GMBU", 3, 2),
    };
    header.raw(magic);
    header.raw(&[minor, major]);
    header.u16(1); // Ethernet
    system_time(&mut header, start + form.zone_minutes * 60_000_000_000);
    header.u32(frame_table);
    header.u32(file.offset() - frame_table);
    header.raw(&[0; 8]); // user data
    if comments_length > 0 {
        header.u32(comments);
        header.u32(comments_length);
    } else {
        header.raw(&[0; 8]);
    }
    header.raw(&[0; 8]); // process table
    if extended_length > 0 {
        header.u32(extended);
        header.u32(extended_length);
    } else {
        header.raw(&[0; 8]);
    }
    header.raw(&[0; 8]); // statistics
    file.out[..HEADER].copy_from_slice(&header.out);
    file.out
}

fn record(file: &mut Bytes, frame: &Frame, start: i64, version: Version) {
    let length = u32::try_from(frame.bytes.len()).unwrap();
    let elapsed = u64::try_from(frame.time - start).unwrap();
    if version == Version::V1_1 {
        file.u32(u32::try_from(elapsed / 1_000_000).unwrap());
        file.u16(u16::try_from(length).unwrap());
        file.u16(u16::try_from(length).unwrap());
    } else {
        file.u64(elapsed / 1_000);
        file.u32(length);
        file.u32(length);
    }
    file.raw(&frame.bytes);
    if version >= Version::V2_1 {
        file.u16(1); // Ethernet
    }
    if version >= Version::V2_2 {
        file.u32(u32::MAX); // no process
    }
    if version >= Version::V2_3 {
        file.u64(filetime(frame.time));
        file.raw(&[0xff]); // no zone
    }
}

/// A comment on one frame: a title in UTF-16, and a description in RTF.
fn comment(file: &mut Bytes, frame_offset: u32, text: &str) {
    let title: Vec<u8> = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let mut description = String::from("{\\rtf1\\ansi ");
    for letter in text.chars() {
        match letter {
            '\\' | '{' | '}' => description.extend(['\\', letter]),
            '\n' => description.push_str("\\par "),
            ' '..='~' => description.push(letter),
            // A signed UTF-16 unit, and what a reader without Unicode shows.
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    write!(description, "\\u{}?", unit.cast_signed()).unwrap();
                }
            }
        }
    }
    description.push_str("}\0");
    file.u32(1);
    file.u32(frame_offset);
    file.u32(u32::try_from(title.len()).unwrap());
    file.raw(&title);
    file.u32(u32::try_from(description.len()).unwrap());
    file.raw(description.as_bytes());
}

fn filetime(time: i64) -> u64 {
    u64::try_from(time / 100 + FILETIME_1970).unwrap()
}

/// Year, month, day of the week from Sunday, day, hour, minute, second, millisecond.
fn system_time(header: &mut Bytes, local: i64) {
    let time = jiff::Timestamp::from_nanosecond(i128::from(local)).unwrap();
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    for field in [
        time.year(),
        time.month().into(),
        time.weekday().to_sunday_zero_offset().into(),
        time.day().into(),
        time.hour().into(),
        time.minute().into(),
        time.second().into(),
        time.millisecond(),
    ] {
        header.u16(u16::try_from(field).unwrap());
    }
}
