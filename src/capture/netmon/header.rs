//! The header of a Network Monitor capture, and its clocks.

use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::capture::byte_order::ByteOrder;
use crate::capture::{Error, Source};
use crate::net::Clock;

/// Bytes of the header.
pub(super) const BYTES: usize = 72;

/// Bytes of the header as Wireshark writes it, padded with zeros.
const PADDED_BYTES: usize = 128;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Version before the point: 1 or 2.
    pub(super) major: u8,
    /// Version after the point.
    pub(super) minor: u8,
    /// Media code of frames that have none of their own.
    pub(super) media: u16,
    /// The start of the capture by the clock on the wall, in nanoseconds since 1970 as if it were
    /// UTC; `None` where the header does not hold a time.
    pub(super) local_start: Option<i128>,
    /// Offset and bytes of the frame table.
    pub(super) table: (u32, u32),
    /// Offset and bytes of the comments.
    pub(super) comments: (u32, u32),
    extended: (u32, u32),
}

/// Reads the header that the file begins with.
pub(super) fn read(head: &[u8]) -> Result<Header, Error> {
    let order = ByteOrder::Little;
    let short = |offset| order.u16(head, offset).unwrap_or(0);
    let pair =
        |offset| (order.u32(head, offset).unwrap_or(0), order.u32(head, offset + 4).unwrap_or(0));
    let (minor, major) = match head.get(4..BYTES) {
        Some([minor, major, ..]) => (*minor, *major),
        Some(_) | None => {
            return Err(Error::CutOff { format: "Network Monitor", bytes: head.len() });
        }
    };
    let major_of_magic = if head.starts_with(b"RTSS") { 1 } else { 2 };
    if major != major_of_magic {
        return Err(Error::Version {
            format: "Network Monitor",
            major: major.into(),
            minor: minor.into(),
            known: "1.x and 2.x",
        });
    }
    // Some writers of older versions left rubbish in the fields that came later.
    let since = |known: bool, offset| if known { pair(offset) } else { (0, 0) };
    Ok(Header {
        major,
        minor,
        media: short(6) & 0x0fff,
        local_start: system_time([8, 10, 14, 16, 18, 20, 22].map(short)),
        table: pair(24),
        comments: since(major == 2 && minor >= 2, 40),
        extended: since(major == 2 && minor >= 3, 56),
    })
}

impl Header {
    /// How to call the format.
    pub(super) fn name(&self) -> String {
        format!("Network Monitor {}.{}", self.major, self.minor)
    }

    /// How the capture tells time.
    pub(super) fn clock(&self) -> Clock {
        let digits = match (self.major, self.minor) {
            (1, _) => 3,
            (_, 0..=2) => 6,
            (_, _) => 7,
        };
        Clock { digits, zone_known: self.stores_utc() }
    }

    /// Whether each frame has its time in UTC.
    pub(super) fn stores_utc(&self) -> bool {
        self.major == 2 && self.minor >= 3
    }

    /// Whether there are comments.
    pub(super) fn has_comments(&self) -> bool {
        self.comments.1 > 0
    }

    /// Bytes between the beginning of a frame's record and the frame.
    pub(super) fn record_bytes(&self) -> u64 {
        if self.major == 1 { 8 } else { 16 }
    }

    /// Bytes behind a frame: media code (2), process (4), time (8) and zone (1), as they came.
    pub(super) fn trailer_bytes(&self) -> u64 {
        match (self.major, self.minor) {
            (1, _) | (_, 0) => 0,
            (_, 1) => 2,
            (_, 2) => 6,
            (_, _) => 15,
        }
    }
}

/// Where the first frame stands in a file that does not say.
pub(super) fn first_frame(source: &mut BufReader<Box<dyn Source>>) -> u64 {
    let mut padding = [1; PADDED_BYTES - BYTES];
    let read =
        source.seek(SeekFrom::Start(BYTES as u64)).and_then(|_| source.read_exact(&mut padding));
    let padded = read.is_ok() && padding.iter().all(|byte| *byte == 0);
    (if padded { PADDED_BYTES } else { BYTES }) as u64
}

/// The start of the capture in UTC, in nanoseconds since 1970, from the extended information.
pub(super) fn utc_start(source: &mut BufReader<Box<dyn Source>>, header: &Header) -> Option<i128> {
    let (offset, length) = header.extended;
    // A version (2), the time (8), the number of zones (1).
    let mut bytes = [0; 10];
    if (length as usize) < bytes.len() {
        return None;
    }
    source.seek(SeekFrom::Start(offset.into())).ok()?;
    source.read_exact(&mut bytes).ok()?;
    ByteOrder::Little.u64(&bytes, 2).filter(|time| *time != 0).map(unix_time)
}

/// Nanoseconds since 1970, of a Windows FILETIME: units of 100 ns since 1601 ([MS-DTYP] 2.3.3).
pub(super) fn unix_time(file_time: u64) -> i128 {
    const SECONDS_FROM_1601: i128 = 11_644_473_600;
    i128::from(file_time) * 100 - SECONDS_FROM_1601 * 1_000_000_000
}

/// Nanoseconds since 1970 of year, month, day, hour, minute, second and millisecond, as Windows'
/// SYSTEMTIME has them ([MS-DTYP] 2.3.13); `None` where they are no time.
fn system_time([year, month, day, hour, minute, second, millisecond]: [u16; 7]) -> Option<i128> {
    let small = |value| i8::try_from(value).ok();
    let time = jiff::civil::DateTime::new(
        i16::try_from(year).ok().filter(|year| *year >= 1970)?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        0,
    );
    let time = time.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    // Old versions of Ethereal wrote anything here.
    let millisecond = if millisecond > 999 { 0 } else { millisecond };
    Some(time.timestamp().as_nanosecond() + i128::from(millisecond) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(magic: [u8; 4], minor: u8, major: u8) -> Vec<u8> {
        let mut bytes = magic.to_vec();
        bytes.extend([minor, major, 1, 0xe0]);
        for field in [2023_u16, 11, 2, 14, 22, 13, 20, 5] {
            bytes.extend(field.to_le_bytes());
        }
        for field in 1..=12_u32 {
            bytes.extend(field.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_start_is_local_time_and_its_zone_unknown_before_2_3() {
        for (magic, minor, major, digits, zone_known) in [
            (*b"RTSS", 1, 1, 3, false),
            (*b"GMBU", 0, 2, 6, false),
            (*b"GMBU", 2, 2, 6, false),
            (*b"GMBU", 3, 2, 7, true),
        ] {
            let read = read(&header(magic, minor, major)).unwrap();
            assert_eq!(read.clock(), Clock { digits, zone_known });
            // 2023-11-14 22:13:20, as `date -d @1700000000 -u` has it, and 5 ms.
            assert_eq!(read.local_start, Some(1_700_000_000_005_000_000));
            assert_eq!(read.media, 1);
            assert_eq!(read.table, (1, 2));
        }
    }

    #[test]
    fn fields_that_came_later_are_not_believed_in_older_versions() {
        assert!(!read(&header(*b"GMBU", 1, 2)).unwrap().has_comments());
        assert!(read(&header(*b"GMBU", 2, 2)).unwrap().has_comments());
    }

    #[test]
    fn rubbish_in_the_start_time_is_no_time() {
        assert_eq!(system_time([0; 7]), None);
        assert_eq!(system_time([2023, 13, 1, 0, 0, 0, 0]), None);
        assert_eq!(system_time([1970, 1, 1, 0, 0, 1, 60_000]), Some(1_000_000_000));
    }

    #[test]
    fn a_version_must_fit_its_magic() {
        assert!(matches!(read(&header(*b"RTSS", 0, 2)), Err(Error::Version { .. })));
        assert!(matches!(read(&header(*b"GMBU", 0, 2)[..71]), Err(Error::CutOff { .. })));
    }

    #[test]
    fn file_times_count_from_1601() {
        // The example of 1970 in Microsoft's knowledge base: 0x019DB1DED53E8000.
        assert_eq!(unix_time(0x019d_b1de_d53e_8000), 0);
    }
}
