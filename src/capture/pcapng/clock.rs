//! The clock of a pcapng interface: what a tick is, and from when ticks are counted.
//!
//! Not taken from pcap-parser, which knows no power-of-two clocks, reads the offset in the wrong
//! byte order in big-endian sections, and keeps seconds in 32 bits.

use crate::net::Timestamp;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    scale: Scale,
    /// Nanoseconds added to every time.
    offset: i128,
    /// Digits of a second that a tick tells apart, at most 9.
    pub(super) digits: u8,
}

/// From ticks to nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Nanoseconds of a tick.
    Multiply(u64),
    /// Ticks of a nanosecond.
    Divide(u128),
    /// Ticks of a second, as a power of two.
    Shift(u8),
}

impl Ticks {
    /// The clock of an interface that does not say: microseconds since 1970.
    pub(super) const MICROSECONDS: Ticks =
        Ticks { scale: Scale::Multiply(1000), offset: 0, digits: 6 };

    /// The clock of the options `if_tsresol` (one byte) and `if_tsoffset` (seconds).
    ///
    /// The highest bit of `resolution` makes the rest a power of two, else it is one of ten.
    pub(super) fn new(resolution: u8, offset: i64) -> Ticks {
        let power = resolution & 0x7f;
        let offset = i128::from(offset) * i128::from(SECOND);
        if resolution & 0x80 != 0 {
            // A tick of 2^-n s needs n * log10(2) digits: 7 for the usual 2^-20.
            let digits = (u32::from(power) * 30_103).div_ceil(100_000).min(9);
            let digits = u8::try_from(digits).unwrap_or(9);
            return Ticks { scale: Scale::Shift(power), offset, digits };
        }
        let scale = match power.checked_sub(9) {
            None | Some(0) => Scale::Multiply(10_u64.pow(9 - u32::from(power.min(9)))),
            // Beyond the range of the division every time is less than a nanosecond.
            Some(more) => Scale::Divide(10_u128.checked_pow(u32::from(more)).unwrap_or(u128::MAX)),
        };
        Ticks { scale, offset, digits: power.min(9) }
    }

    /// The time after `count` ticks; `None` where it lies outside of what [`Timestamp`] holds.
    #[inline]
    pub(super) fn time(&self, count: u64) -> Option<Timestamp> {
        let nanoseconds = match self.scale {
            Scale::Multiply(factor) => u128::from(count) * u128::from(factor),
            Scale::Divide(divisor) => u128::from(count) / divisor,
            Scale::Shift(power) => (u128::from(count) * u128::from(SECOND)) >> power,
        };
        // At most 2^64 * 10^9: far inside of an i128.
        Timestamp::from_nanoseconds(i128::try_from(nanoseconds).ok()? + self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(resolution: u8, offset: i64, count: u64) -> Option<i64> {
        Ticks::new(resolution, offset).time(count).map(Timestamp::as_nanoseconds)
    }

    #[test]
    fn decimal_clocks_of_every_power() {
        for (resolution, count, expected) in [
            (0, 7, 7_000_000_000),
            (6, 1_700_000_000_000_150, 1_700_000_000_000_150_000),
            (9, 1_700_000_000_000_150_000, 1_700_000_000_000_150_000),
            (12, 1_999, 1),
            (127, u64::MAX, 0),
        ] {
            assert_eq!(time(resolution, 0, count), Some(expected), "10^-{resolution}");
        }
    }

    #[test]
    fn binary_clocks_which_pcap_parser_has_none_for() {
        assert_eq!(pcap_parser::build_ts_resolution(0x94), None);
        assert_eq!(time(0x94, 0, 3 << 19), Some(1_500_000_000));
        assert_eq!(time(0x80, 0, 2), Some(2_000_000_000));
        assert_eq!(time(0xff, 0, u64::MAX), Some(0));
        assert_eq!(Ticks::new(0x94, 0).digits, 7);
        assert_eq!(Ticks::new(0x8a, 0).digits, 4);
    }

    #[test]
    fn offsets_are_signed_seconds() {
        // tshark 4.0.17 shows -3599 for one second with an offset of -3600.
        assert_eq!(time(6, -3600, 1_000_000), Some(-3_599_000_000_000));
        assert_eq!(time(6, 3600, 1_000_000), Some(3_601_000_000_000));
        assert_eq!(time(6, i64::MIN, 0), None);
        assert_eq!(time(0, 0, u64::MAX), None);
    }
}
