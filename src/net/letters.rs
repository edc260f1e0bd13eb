//! Short texts of numbers, addresses and times, on the stack.
//!
//! A report holds millions of them, and the machinery of formatting costs more than their digits.
//! What is written here is what the standard library writes, of times what `jiff` does: the tests
//! prove it.

use std::net::{IpAddr, Ipv4Addr};

use crate::net::{Address, Time};

/// Room for the longest of them: a time, of 30 letters.
const MOST: usize = 32;

/// A few ASCII letters.
#[derive(Clone, Copy)]
pub(crate) struct Letters {
    bytes: [u8; MOST],
    length: usize,
}

impl Letters {
    const NONE: Letters = Letters { bytes: [b'0'; MOST], length: 0 };

    /// A number in decimal.
    pub(crate) fn of_number(number: u64) -> Letters {
        let mut letters = Letters::NONE;
        letters.number(number);
        letters
    }

    /// An IPv4 address.
    pub(super) fn of_v4(address: Ipv4Addr) -> Letters {
        let mut letters = Letters::NONE;
        for (index, octet) in address.octets().into_iter().enumerate() {
            if index > 0 {
                letters.push(b'.');
            }
            letters.number(octet.into());
        }
        letters
    }

    /// A time: RFC 3339 with the digits of its clock.
    pub(crate) fn of_time(time: Time) -> Letters {
        const DAY: i64 = 86_400;
        let nanoseconds = time.at.as_nanoseconds();
        let seconds = nanoseconds.div_euclid(1_000_000_000);
        let fraction = nanoseconds.rem_euclid(1_000_000_000).unsigned_abs();
        let of_day = seconds.rem_euclid(DAY).unsigned_abs();
        let (year, month, day) = date_of(seconds.div_euclid(DAY));
        let mut letters = Letters::NONE;
        letters.padded(year, 4);
        for (before, number) in [
            (b'-', month),
            (b'-', day),
            (b'T', of_day / 3_600),
            (b':', of_day / 60 % 60),
            (b':', of_day % 60),
        ] {
            letters.push(before);
            letters.padded(number, 2);
        }
        let digits = time.clock.digits.min(9);
        if digits > 0 {
            letters.push(b'.');
            letters.padded(fraction / 10_u64.pow(9 - u32::from(digits)), digits.into());
        }
        if time.clock.zone_known {
            letters.push(b'Z');
        }
        letters
    }

    pub(crate) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or_default()
    }

    fn push(&mut self, letter: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = letter;
            self.length += 1;
        }
    }

    fn number(&mut self, number: u64) {
        let digits = number.checked_ilog10().unwrap_or_default() as usize + 1;
        self.padded(number, digits);
    }

    /// The last digits of a number, with zeros before it.
    fn padded(&mut self, mut number: u64, digits: usize) {
        let end = self.length.saturating_add(digits);
        let Some(places) = self.bytes.get_mut(self.length..end) else { return };
        for place in places.iter_mut().rev() {
            *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
        self.length = end;
    }
}

/// Year, month and day of a day counted from 1970, in the Gregorian calendar.
///
/// Years begin with March here, so that the leap day is the last of its year: 400 of them have
/// 146,097 days, 100 have 36,524, four 1,461; and from March on, months alternate so that five of
/// them have 153 days.
fn date_of(day: i64) -> (u64, u64, u64) {
    // From the first of March of the year 0.
    let day = day.saturating_add(719_468);
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    // Leap days are taken out, so that all years are equally long.
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    (year.unsigned_abs(), month.unsigned_abs(), of_month.unsigned_abs())
}

/// Writes a number at the end of a text.
pub(crate) fn push_number(text: &mut String, number: u64) {
    text.push_str(Letters::of_number(number).as_str());
}

/// Writes an address at the end of a text.
pub(crate) fn push_address(text: &mut String, address: Address) {
    use std::fmt::Write as _;
    match address {
        Address::Ip(IpAddr::V4(address)) => text.push_str(Letters::of_v4(address).as_str()),
        Address::Ip(IpAddr::V6(_)) | Address::Conversation(_) | Address::Name(_) => {
            // Writing to a string does not fail.
            let _ = write!(text, "{address}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Clock, Timestamp};
    use proptest::prelude::*;

    /// As `jiff` tells it.
    fn by_jiff(time: Time) -> String {
        let nanoseconds = i128::from(time.at.as_nanoseconds());
        let told = jiff::Timestamp::from_nanosecond(nanoseconds).unwrap();
        let told = told.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        let digits = usize::from(time.clock.digits.min(9));
        let fraction = format!("{:09}", told.subsec_nanosecond());
        let point = if digits > 0 { "." } else { "" };
        let zone = if time.clock.zone_known { "Z" } else { "" };
        let whole = told.strftime("%Y-%m-%dT%H:%M:%S");
        format!("{whole}{point}{}{zone}", &fraction[..digits])
    }

    fn time(nanoseconds: i64, digits: u8, zone_known: bool) -> Time {
        let at = Timestamp::from_nanoseconds(nanoseconds.into()).unwrap();
        Time { at, clock: Clock { digits, zone_known } }
    }

    #[test]
    fn every_day_that_a_time_can_hold_has_its_date() {
        const DAY: i64 = 86_400_000_000_000;
        let (first, last) = (i64::MIN / DAY, i64::MAX / DAY);
        for day in first..=last {
            let time = time(day * DAY, 0, true);
            assert_eq!(Letters::of_time(time).as_str(), by_jiff(time));
        }
    }

    #[test]
    fn the_first_and_the_last_time_are_told_whole() {
        let told = |nanoseconds| Letters::of_time(time(nanoseconds, 9, true)).as_str().to_owned();
        assert_eq!(told(i64::MIN + 1), "1677-09-21T00:12:43.145224193Z");
        assert_eq!(told(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }

    proptest! {
        #[test]
        fn times_are_told_as_by_jiff(
            nanoseconds in i64::MIN + 1..=i64::MAX, digits in 0..12_u8, zone_known: bool
        ) {
            let time = time(nanoseconds, digits, zone_known);
            let told = Letters::of_time(time);
            prop_assert_eq!(told.as_str(), by_jiff(time));
        }

        #[test]
        fn numbers_and_addresses_are_told_as_by_the_standard_library(number: u64, bits: u32) {
            for number in [number, number % 1_000, 0, u64::MAX] {
                let told = Letters::of_number(number);
                prop_assert_eq!(told.as_str(), number.to_string());
            }
            let address = Ipv4Addr::from_bits(bits);
            let told = Letters::of_v4(address);
            prop_assert_eq!(told.as_str(), address.to_string());
        }
    }
}
