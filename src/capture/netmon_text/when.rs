//! Times as the columns of Network Monitor and the languages of Windows write them.

use jiff::civil::Date;

use crate::net::Timestamp;

const SECOND: i128 = 1_000_000_000;

/// What a row tells of its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct When {
    date: Option<Date>,
    /// Nanoseconds since midnight.
    time_of_day: Option<i128>,
    afternoon: Option<bool>,
    /// Nanoseconds since the capture began.
    offset: Option<i128>,
    /// Digits behind the point, of the time of day and of the offset.
    digits: (u8, u8),
}

/// What times are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountedFrom {
    /// A date and a time of day are told.
    Date,
    /// Only the time of day is told.
    Midnight,
    /// Only the time since the capture began is told.
    Beginning,
}

impl When {
    /// Takes a word of a row's left part; false where it has nothing to do with time.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let word = word.trim_matches(|edge| matches!(edge, ',' | ';' | '(' | ')' | '"' | '\''));
        if let Some((date, time)) = word.split_once('T')
            && let (Some(date), Some((time, digits))) =
                (read_date(date), read_time(time.trim_end_matches('Z')))
        {
            self.set(date, time, digits);
            return true;
        }
        if word.eq_ignore_ascii_case("am") || word.eq_ignore_ascii_case("pm") {
            self.afternoon.get_or_insert(word.eq_ignore_ascii_case("pm"));
            return true;
        }
        if let Some((time, digits)) = read_time(word) {
            self.time_of_day.get_or_insert(time);
            self.digits.0 = self.digits.0.max(digits);
            return true;
        }
        if let Some(date) = read_date(word) {
            self.date.get_or_insert(date);
            return true;
        }
        if let Some((offset, digits)) = read_decimal(word) {
            // The first is the time since the beginning, the second that since the last frame.
            if self.offset.is_none() {
                self.offset = Some(offset);
                self.digits.1 = digits;
            }
            return true;
        }
        false
    }

    fn set(&mut self, date: Date, time: i128, digits: u8) {
        self.date.get_or_insert(date);
        self.time_of_day.get_or_insert(time);
        self.digits.0 = self.digits.0.max(digits);
    }

    /// Digits behind the point of a time that is counted from there.
    pub(super) fn digits(&self, from: CountedFrom) -> u8 {
        match from {
            CountedFrom::Date | CountedFrom::Midnight => self.digits.0,
            CountedFrom::Beginning => self.digits.1,
        }
    }

    /// What the time is counted from; `None` where no time is told.
    pub(super) fn counted_from(&self) -> Option<CountedFrom> {
        match (self.time_of_day, self.date, self.offset) {
            (Some(_), Some(_), _) => Some(CountedFrom::Date),
            // Of two clocks the finer one, if it is the same for all rows: that is the offset.
            (_, _, Some(_)) => Some(CountedFrom::Beginning),
            (Some(_), None, None) => Some(CountedFrom::Midnight),
            (None, _, None) => None,
        }
    }

    /// The time, on the first of January 1970 where no date is told. `None` where it is not
    /// counted from there.
    pub(super) fn timestamp(&self, from: CountedFrom) -> Option<Timestamp> {
        let nanoseconds = match from {
            CountedFrom::Beginning => self.offset?,
            CountedFrom::Midnight => self.of_day()?,
            CountedFrom::Date => {
                let midnight = self.date?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
                midnight.timestamp().as_nanosecond().checked_add(self.of_day()?)?
            }
        };
        Timestamp::from_nanoseconds(nanoseconds)
    }

    fn of_day(&self) -> Option<i128> {
        const NOON: i128 = 12 * 3600 * SECOND;
        let time = self.time_of_day?;
        Some(match self.afternoon {
            Some(true) if time < NOON => time + NOON,
            Some(false) if time >= NOON => time - NOON,
            _ => time,
        })
    }
}

/// `7:34:33`, `00:59:30.0738430`, `7:34`: nanoseconds since midnight and digits behind the point.
fn read_time(text: &str) -> Option<(i128, u8)> {
    let mut parts = text.split(':');
    let hours = whole(parts.next()?, 2)?;
    let minutes = whole(parts.next()?, 2)?;
    let (seconds, fraction, digits) = match parts.next() {
        Some(seconds) => {
            let (seconds, fraction) = split_fraction(seconds);
            let (fraction, digits) = read_fraction(fraction)?;
            (whole(seconds, 2)?, fraction, digits)
        }
        None => (0, 0, 0),
    };
    // A leap second is 60.
    let fits = hours < 24 && minutes < 60 && seconds <= 60 && parts.next().is_none();
    let of_day = ((hours * 60 + minutes) * 60 + seconds) * SECOND + fraction;
    fits.then_some((of_day, digits))
}

/// `2.2623281`, or with a comma where Windows speaks so.
fn read_decimal(text: &str) -> Option<(i128, u8)> {
    let at = text.find(['.', ','])?;
    let (seconds, fraction) = split_fraction(text);
    let (fraction, digits) = read_fraction(fraction)?;
    (digits > 0).then_some(())?;
    // "1,284" is a number of something.
    if text.as_bytes().get(at) == Some(&b',') && digits < 6 {
        return None;
    }
    Some((whole(seconds, 9)?.checked_mul(SECOND)?.checked_add(fraction)?, digits))
}

fn split_fraction(text: &str) -> (&str, &str) {
    text.split_once(['.', ',']).unwrap_or((text, ""))
}

/// Nanoseconds of the digits behind a point, and how many digits there are, 9 at most.
fn read_fraction(text: &str) -> Option<(i128, u8)> {
    if text.is_empty() {
        return Some((0, 0));
    }
    if text.len() > 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = text.get(..9).unwrap_or(text);
    let padded = format!("{kept:0<9}");
    Some((padded.parse().ok()?, u8::try_from(kept.len()).ok()?))
}

fn whole(text: &str, most_digits: usize) -> Option<i128> {
    let digits =
        (1..=most_digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// `11/18/2019`, `18-11-2019`, `18.11.2019`, `2019-11-18`. With slashes the month comes first, as
/// in the United States, and else the day, unless that makes no date.
fn read_date(text: &str) -> Option<Date> {
    let separator = text.chars().find(|letter| !letter.is_ascii_digit())?;
    if !matches!(separator, '/' | '-' | '.') {
        return None;
    }
    let mut parts = text.split(separator);
    let parts = (parts.next()?, parts.next()?, parts.next()?, parts.next());
    let (first, second, third, None) = parts else { return None };
    let number = |text: &str, most| i16::try_from(whole(text, most)?).ok();
    let of = |year: i16, month: i16, day: i16| {
        Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    };
    if first.len() == 4 {
        return of(number(first, 4)?, number(second, 2)?, number(third, 2)?);
    }
    let year = match third.len() {
        4 => number(third, 4)?,
        2 => number(third, 2)?.checked_add(2000)?,
        _ => return None,
    };
    let (first, second) = (number(first, 2)?, number(second, 2)?);
    let (us, other) = (of(year, first, second), of(year, second, first));
    if separator == '/' { us.or(other) } else { other.or(us) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Clock, Time};
    use proptest::prelude::*;

    fn told(words: &str) -> Option<(CountedFrom, String)> {
        let mut when = When::default();
        for word in words.split(' ') {
            assert!(when.take(word), "{word}");
        }
        let from = when.counted_from()?;
        let clock = Clock { digits: when.digits(from), zone_known: false };
        Some((from, Time { at: when.timestamp(from)?, clock }.to_string()))
    }

    #[test]
    fn times_are_read_as_windows_writes_them() {
        for (words, from, expected) in [
            ("7:34:33 AM 11/18/2019", CountedFrom::Date, "2019-11-18T07:34:33"),
            ("7:34:33 PM 11/18/2019 2.2623281", CountedFrom::Date, "2019-11-18T19:34:33"),
            ("12:00:01 AM 1/2/2014", CountedFrom::Date, "2014-01-02T00:00:01"),
            ("12:00:01 PM 1/2/2014", CountedFrom::Date, "2014-01-02T12:00:01"),
            ("18-11-2019 19:34:33", CountedFrom::Date, "2019-11-18T19:34:33"),
            ("18.11.2019 19:34:33,5", CountedFrom::Date, "2019-11-18T19:34:33.5"),
            ("19:34:33 11/18/2019", CountedFrom::Date, "2019-11-18T19:34:33"),
            ("25/11/2019 19:34:33", CountedFrom::Date, "2019-11-25T19:34:33"),
            ("2019-11-18T19:34:33.0738430Z", CountedFrom::Date, "2019-11-18T19:34:33.0738430"),
            ("00:59:30.0738430", CountedFrom::Midnight, "1970-01-01T00:59:30.0738430"),
            ("1.4523 0.0001", CountedFrom::Beginning, "1970-01-01T00:00:01.4523"),
            ("2,2623281", CountedFrom::Beginning, "1970-01-01T00:00:02.2623281"),
        ] {
            assert_eq!(told(words), Some((from, expected.to_owned())), "{words}");
        }
    }

    #[test]
    fn what_is_no_time_is_left_alone() {
        for word in [
            "10.0.0.5",
            "svchost.exe",
            "101",
            "DC1",
            "1,284",
            "25:00:00",
            "<DateTime>",
            "fe80::1",
            "",
        ] {
            assert!(!When::default().take(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_word_stops_it(word in "[0-9:./,T-]{0,20}|\\PC{0,20}") {
            let mut when = When::default();
            when.take(&word);
            if let Some(from) = when.counted_from() {
                let _ = when.timestamp(from);
            }
        }
    }
}
