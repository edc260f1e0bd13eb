//! The trace's own header: the first record of the first buffer (`TRACE_LOGFILE_HEADER`).
//!
//! It tells the clock, what was lost, and which Windows wrote it.

use crate::capture::byte_order::ByteOrder;
use crate::capture::etl::record;
use crate::net::Timestamp;

/// Length of its first part, up to the pointers.
const FIRST_PART: usize = 56;
/// A time zone, and what fills it up to a multiple of eight.
const TIME_ZONE: usize = 176;
/// 100 ns between 1601, where Windows begins to count, and 1970.
const EPOCH: i128 = 116_444_736_000_000_000;
/// 100 ns in a second.
const SECOND: i128 = 10_000_000;

/// What a trace says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    /// Size of its buffers, as they were in memory.
    pub(super) buffer_size: u32,
    /// The build number of Windows, as 20348.
    pub(super) build: u32,
    /// Events that no buffer had room for.
    pub(super) events_lost: u32,
    /// Buffers that could not be written.
    pub(super) buffers_lost: u32,
    /// Buffers that were written to the file; 0 while the trace is running.
    pub(super) buffers_written: u32,
    /// Whether it was ended: a trace that is still running has no end.
    pub(super) ended: bool,
    /// Whether its oldest events make room for the newest.
    pub(super) circular: bool,
    /// The program or the name under which it was taken.
    pub(super) logger: String,
    clock: Clock,
}

/// How the numbers in records become times.
///
/// The clock's stamp of the header's own record and the start time are of one moment. Counting
/// from the time of boot instead is seconds to minutes off, because the counter does not run while
/// a machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    /// Stamp of the header's record.
    anchor: i64,
    /// 100 ns since 1601 at that stamp.
    start: i64,
    /// 100 ns, as numerator and denominator, of a step of the clock.
    step: (i128, i128),
}

impl Trace {
    /// Reads the header from the data of its record, which has this time.
    pub(super) fn read(data: &[u8], anchor: i64) -> Option<Trace> {
        const CIRCULAR: u32 = 2;
        let order = ByteOrder::Little;
        let pointer = match order.u32(data, 44)? {
            4 => 4,
            _ => 8,
        };
        // Two pointers, which mean nothing in a file, and the zone of the machine: times are UTC.
        let times = FIRST_PART + 2 * pointer + TIME_ZONE;
        let signed = |offset| order.u64(data, offset).map(u64::cast_signed);
        let frequency = i128::from(signed(times + 8)?);
        let megahertz = i128::from(order.u32(data, 52)?);
        let step = match order.u32(data, times + 24)? {
            // The time of day itself; the processor's cycles; else the performance counter.
            2 => (1, 1),
            3 => (10, megahertz),
            _ => (SECOND, frequency),
        };
        Some(Trace {
            buffer_size: order.u32(data, 0)?,
            build: order.u32(data, 8)?,
            events_lost: order.u32(data, 48)?,
            buffers_lost: order.u32(data, times + 28)?,
            buffers_written: order.u32(data, 36)?,
            ended: signed(16)? != 0,
            circular: order.u32(data, 32)? & CIRCULAR != 0,
            logger: record::text(data, times + 32).map(|(text, _)| text).unwrap_or_default(),
            clock: Clock { anchor, start: signed(times + 16)?, step },
        })
    }

    /// The time of a stamp; `None` where the header's numbers make none.
    pub(super) fn time(&self, stamp: i64) -> Option<Timestamp> {
        let Clock { anchor, start, step: (numerator, denominator) } = self.clock;
        let steps = i128::from(stamp) - i128::from(anchor);
        let since_start = steps.checked_mul(numerator)?.checked_div(denominator)?;
        let since_1970 = i128::from(start) + since_start - EPOCH;
        Timestamp::from_nanoseconds(since_1970.checked_mul(100)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with a clock, written by a machine with pointers of so many bytes.
    fn header(pointer: u32, clock: u32, frequency: i64) -> Vec<u8> {
        let mut data = vec![0; FIRST_PART + 2 * pointer as usize + TIME_ZONE];
        let mut number = |at: usize, number: u32| {
            data[at..at + 4].copy_from_slice(&number.to_le_bytes());
        };
        number(0, 0x1_0000);
        number(8, 20_348);
        number(32, 2);
        number(44, pointer);
        number(48, 17);
        number(52, 2_594);
        data.extend(0_i64.to_le_bytes());
        data.extend(frequency.to_le_bytes());
        // 2024-06-10 01:05:07.922583 3 UTC, as 100 ns since 1601.
        data.extend(133_624_551_079_225_833_i64.to_le_bytes());
        data.extend(clock.to_le_bytes());
        data.extend(3_u32.to_le_bytes());
        data.extend("Relogger\0trace.etl\0".encode_utf16().flat_map(u16::to_le_bytes));
        data
    }

    fn nanoseconds(data: &[u8], stamp: i64) -> Option<i64> {
        Trace::read(data, 1_000).unwrap().time(stamp).map(Timestamp::as_nanoseconds)
    }

    #[test]
    fn both_widths_of_pointers_are_read() {
        for pointer in [4, 8] {
            let trace = Trace::read(&header(pointer, 1, 10_000_000), 0).unwrap();
            assert_eq!((trace.build, trace.events_lost, trace.buffers_lost), (20_348, 17, 3));
            assert_eq!(trace.logger, "Relogger");
            assert!(trace.circular && !trace.ended);
        }
        assert_eq!(Trace::read(&header(8, 1, 1)[..279], 0), None);
    }

    #[test]
    fn stamps_count_from_the_header_in_the_steps_of_the_clock() {
        // 133,624,551,079,225,833 - 116,444,736,000,000,000 = 17,179,815,079,225,833.
        const START: i64 = 1_717_981_507_922_583_300;
        let counter = header(8, 1, 2_500_000);
        assert_eq!(nanoseconds(&counter, 1_000), Some(START));
        assert_eq!(nanoseconds(&counter, 1_000 + 2_500_000), Some(START + 1_000_000_000));
        assert_eq!(nanoseconds(&counter, 995), Some(START - 2_000));
        assert_eq!(nanoseconds(&header(8, 2, 1), 1_007), Some(START + 700));
        // 2,594 cycles are a microsecond.
        assert_eq!(nanoseconds(&header(8, 3, 1), 1_000 + 25_940), Some(START + 10_000));
    }

    #[test]
    fn a_clock_without_a_frequency_has_no_times() {
        assert_eq!(nanoseconds(&header(8, 1, 0), 5_000), None);
        assert_eq!(nanoseconds(&header(8, 1, 1), i64::MAX), None);
    }
}
