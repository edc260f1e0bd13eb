//! Times as texts tell them: with a date or without, since the first frame, since 1970.
//!
//! A text that tells the time of day only, or seconds since its first frame, has no date. Its
//! times keep their distances and count from the first day of 1970, and the capture says so.

use jiff::civil::{Date, DateTime, Time as OfDay};
use jiff::tz::TimeZone;

use crate::net::{Clock, Timestamp};

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 24 * 3600 * SECOND;

/// Numbers above are seconds since 1970 (this one is in 1973); a capture that lasts three years
/// is rarer.
const LEAST_EPOCH: i128 = 100_000_000 * SECOND;

/// A time as it stands in a text, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Since 1970, UTC.
    Utc(i128),
    /// Since 1970, in a zone that the text does not tell.
    Local(i128),
    /// Since midnight.
    OfDay(i128),
    /// Since the first frame.
    Seconds(i128),
    /// Since the frame before.
    SinceBefore(i128),
}

impl Told {
    /// The seconds since the first frame, where that is what is told.
    pub(super) fn seconds(self) -> Option<i128> {
        match self {
            Told::Seconds(at) => Some(at),
            Told::Utc(_) | Told::Local(_) | Told::OfDay(_) | Told::SinceBefore(_) => None,
        }
    }

    /// The same seconds, counted from the frame before.
    pub(super) fn since_before(self) -> Told {
        match self {
            Told::Seconds(at) => Told::SinceBefore(at),
            Told::Utc(_) | Told::Local(_) | Told::OfDay(_) | Told::SinceBefore(_) => self,
        }
    }
}

/// A time and its digits after the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) told: Told,
    pub(super) digits: u8,
}

/// Reads a cell that holds a time and nothing else.
pub(super) fn read(cell: &str) -> Option<Reading> {
    let (reading, rest) = read_first(cell)?;
    rest.trim().is_empty().then_some(reading)
}

/// Reads the time that a text begins with; gives what follows it.
pub(super) fn read_first(text: &str) -> Option<(Reading, &str)> {
    let text = text.trim_start();
    if text.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        return month_first(text);
    }
    let (word, rest) = word(text);
    let word = word.trim_end_matches([',', ';']);
    if let Some((nanoseconds, digits)) = of_day(word) {
        return Some((Reading { told: Told::OfDay(nanoseconds), digits }, rest));
    }
    if let Some((nanoseconds, digits)) = seconds(word) {
        let told = if nanoseconds >= LEAST_EPOCH {
            Told::Utc(nanoseconds)
        } else {
            Told::Seconds(nanoseconds)
        };
        return Some((Reading { told, digits }, rest));
    }
    if let Some((date, time)) = word.split_once('T') {
        let reading = at(date_of(date)?, time)?;
        return Some((reading, rest));
    }
    let date = date_of(word)?;
    let (time, rest) = self::word(rest.trim_start());
    Some((at(date, time.trim_end_matches([',', ';']))?, rest))
}

/// The first word and what follows it.
fn word(text: &str) -> (&str, &str) {
    text.find(char::is_whitespace).map_or((text, ""), |end| text.split_at(end))
}

/// `Nov 13, 2012 09:30:00.000250000 UTC`, the form of `frame.time`. Only UTC is a zone that can
/// be relied on: the names of others mean several.
fn month_first(text: &str) -> Option<(Reading, &str)> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (month, rest) = word(text);
    let month = MONTHS.iter().position(|name| month == *name)?;
    let (day, rest) = word(rest.trim_start());
    let (year, rest) = word(rest.trim_start());
    let (time, rest) = word(rest.trim_start());
    let month = i8::try_from(month + 1).ok()?;
    let day = day.trim_end_matches(',').parse().ok()?;
    let date = Date::new(year.parse().ok()?, month, day).ok()?;
    let (nanoseconds, digits) = of_day(time)?;
    let at = midnight(date)? + nanoseconds;
    let (zone, after) = word(rest.trim_start());
    if ["UTC", "GMT"].contains(&zone) {
        return Some((Reading { told: Told::Utc(at), digits }, after));
    }
    // Windows' zones have several words, and end the text.
    Some((Reading { told: Told::Local(at), digits }, ""))
}

/// `2012-11-13`, or `2012/318` with the day of the year.
fn date_of(text: &str) -> Option<Date> {
    if let Some((year, day)) = text.split_once('/') {
        let first = Date::new(year.parse().ok()?, 1, 1).ok()?;
        let day: i64 = day.parse().ok()?;
        let days = jiff::Span::new().try_days(day.checked_sub(1)?).ok()?;
        let date = first.checked_add(days).ok()?;
        return (date.year() == first.year()).then_some(date);
    }
    let mut parts = text.splitn(3, '-');
    let year = parts.next().filter(|year| year.len() == 4)?.parse().ok()?;
    Date::new(year, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?).ok()
}

/// A date with a time that may have a zone behind it: `Z`, `+0200`, `-05:00`.
fn at(date: Date, time: &str) -> Option<Reading> {
    let utc = time.strip_suffix('Z');
    let sign = time.find(['+', '-']).filter(|_| utc.is_none());
    let (clock, offset) = match sign {
        Some(place) => {
            let (clock, offset) = time.split_at(place);
            (clock, Some(offset_of(offset)?))
        }
        None => (utc.unwrap_or(time), utc.map(|_| 0)),
    };
    let (nanoseconds, digits) = of_day(clock)?;
    let local = midnight(date)? + nanoseconds;
    let told = offset.map_or(Told::Local(local), |offset| Told::Utc(local - offset));
    Some(Reading { told, digits })
}

/// `+02:00` or `-0500` in nanoseconds.
fn offset_of(text: &str) -> Option<i128> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let digits = rest.replace(':', "");
    let (hours, minutes) = (digits.get(..2)?, digits.get(2..4)?);
    let minutes = hours.parse::<i128>().ok()? * 60 + minutes.parse::<i128>().ok()?;
    (digits.len() == 4).then_some(sign * minutes * 60 * SECOND)
}

fn midnight(date: Date) -> Option<i128> {
    let start = DateTime::from_parts(date, OfDay::midnight());
    Some(start.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond())
}

/// `09:30:00.000250`, or with a comma, or with `ms,µs` behind two commas as K12 writes it.
fn of_day(text: &str) -> Option<(i128, u8)> {
    let mut parts = text.splitn(3, ':');
    let hours: u8 = short(parts.next()?)?;
    let minutes: u8 = short(parts.next()?)?;
    let (whole, fraction) = match parts.next()?.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, fraction.replace([',', '.'], "")),
        None => (text.rsplit(':').next()?, String::new()),
    };
    let seconds: u8 = short(whole)?;
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let whole = (i128::from(hours) * 60 + i128::from(minutes)) * 60 + i128::from(seconds);
    let (fraction, digits) = fraction_of(&fraction)?;
    Some((whole * SECOND + fraction, digits))
}

/// A number of one or two digits.
fn short(text: &str) -> Option<u8> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// `0.000250`, with a point or a decimal comma, perhaps negative.
fn seconds(text: &str) -> Option<(i128, u8)> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    if whole.is_empty() || whole.len() > 12 || !whole.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (fraction, digits) = fraction_of(fraction)?;
    let whole: i128 = whole.parse().ok()?;
    Some((sign * (whole * SECOND + fraction), digits))
}

/// Nanoseconds, and the number of digits. More than nine are cut.
fn fraction_of(digits: &str) -> Option<(i128, u8)> {
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let kept = digits.get(..9).unwrap_or(digits);
    let count = u8::try_from(kept.len()).ok()?;
    let value: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    Some((value * 10_i128.pow(9_u32.saturating_sub(count.into())), count))
}

/// Turns the times of one text into points in time, one after the other.
#[derive(Debug, Default)]
pub(super) struct Watch {
    digits: u8,
    /// Whether a time without zone was met.
    zoneless: bool,
    dateless: bool,
    /// Midnights that passed, in nanoseconds.
    days: i128,
    last: Option<i128>,
}

impl Watch {
    /// The point in time that is meant; `None` for what no capture can hold.
    pub(super) fn read(&mut self, reading: Reading) -> Option<Timestamp> {
        self.digits = self.digits.max(reading.digits);
        let nanoseconds = match reading.told {
            Told::Utc(at) => at,
            Told::Local(at) => {
                self.zoneless = true;
                at
            }
            Told::OfDay(at) => {
                self.dateless = true;
                // Frames may be a little out of order; half a day is not a little.
                if self.last.is_some_and(|last| at + self.days + DAY / 2 < last) {
                    self.days += DAY;
                }
                at + self.days
            }
            Told::Seconds(at) => {
                self.dateless = true;
                at
            }
            Told::SinceBefore(at) => {
                self.dateless = true;
                self.last.unwrap_or(0) + at
            }
        };
        self.last = Some(nanoseconds);
        Timestamp::from_nanoseconds(nanoseconds)
    }

    /// How the text told time.
    pub(super) fn clock(&self) -> Clock {
        Clock { digits: self.digits, zone_known: !self.zoneless && !self.dateless }
    }

    /// Whether the text told times without a date.
    pub(super) fn dateless(&self) -> bool {
        self.dateless
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Time;

    #[test]
    fn every_form_of_time_that_tshark_prints_is_read() {
        // The same moment by date -u -d @1352799000.00025, and 2012/318 by date +%Y/%j.
        const AT: i128 = 1_352_799_000_000_250_000;
        const OF_DAY: i128 = 34_200_000_250_000;
        for (text, told, digits) in [
            ("0.000250", Told::Seconds(250_000), 6),
            ("0,000250", Told::Seconds(250_000), 6),
            ("-0.5", Told::Seconds(-500_000_000), 1),
            ("1352799000.000250", Told::Utc(AT), 6),
            ("1352799000.000250000", Told::Utc(AT), 9),
            ("09:30:00.000250", Told::OfDay(OF_DAY), 6),
            ("09:30:00,000,250", Told::OfDay(OF_DAY), 6),
            ("09:30:00", Told::OfDay(OF_DAY - 250_000), 0),
            ("2012-11-13 09:30:00.000250", Told::Local(AT), 6),
            ("2012/318 09:30:00.000250", Told::Local(AT), 6),
            ("2012-11-13T09:30:00.000250Z", Told::Utc(AT), 6),
            ("2012-11-13T10:30:00.000250+0100", Told::Utc(AT), 6),
            ("2012-11-13 04:30:00.000250-05:00", Told::Utc(AT), 6),
            ("Nov 13, 2012 09:30:00.000250000 UTC", Told::Utc(AT), 9),
            ("Nov 13, 2012 09:30:00.000250000 W. Europe Standard Time", Told::Local(AT), 9),
        ] {
            assert_eq!(read(text), Some(Reading { told, digits }), "{text}");
        }
        for text in ["", "soon", "10.0.0.5", "25:00:00", "1:2", "2012-13-01 00:00:00", "2012/400"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_follows_a_time_is_left_standing() {
        let (_, rest) = read_first("2012-11-13 09:30:00.000000 10.0.0.5 x").unwrap();
        assert_eq!(rest, " 10.0.0.5 x");
        assert_eq!(read_first("  0.5   10.0.0.5").unwrap().1, "   10.0.0.5");
    }

    #[test]
    fn the_time_of_day_goes_on_after_midnight() {
        let mut watch = Watch::default();
        let mut at = |text| {
            let time = watch.read(read(text).unwrap()).unwrap();
            Time { at: time, clock: watch.clock() }.to_string()
        };
        assert_eq!(at("23:59:59.9"), "1970-01-01T23:59:59.9");
        assert_eq!(at("23:59:59.8"), "1970-01-01T23:59:59.8");
        assert_eq!(at("00:00:00.1"), "1970-01-02T00:00:00.1");
    }

    #[test]
    fn seconds_since_the_frame_before_add_up() {
        let mut watch = Watch::default();
        let times = [0, 500_000_000, 3_000_000_000].map(|nanoseconds| {
            let told = Told::SinceBefore(nanoseconds);
            watch.read(Reading { told, digits: 1 }).unwrap()
        });
        assert_eq!(times.map(Timestamp::as_nanoseconds), [0, 500_000_000, 3_500_000_000]);
    }
}
