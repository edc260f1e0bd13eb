//! The times that logs tell, with their zones.

use jiff::civil::Date;

use crate::net::{Clock, Time, Timestamp};

/// Minutes in the widest zone that there is, and some more.
const MOST_BIAS: i32 = 24 * 60;

/// The time of a line of Configuration Manager: date as "05-27-2014", time as
/// "10:15:02.123+120" or without the last part.
///
/// The last part is what Windows calls the bias: minutes to *add* to the local time to have UTC
/// (`TIME_ZONE_INFORMATION`), so that "+420" is the summer of Seattle and "-120" that of Berlin.
/// Scripts that imitate the format write "+-120".
pub(super) fn of_configmgr(date: &str, time: &str) -> Option<Time> {
    let mut parts = date.trim().split('-');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    let time = time.trim();
    let (time, bias) = match time.find(['+', '-']) {
        Some(at) => {
            let (time, bias) = time.split_at_checked(at)?;
            (time, Some(minutes(bias)?))
        }
        None => (time, None),
    };
    of_parts(date, time, bias)
}

/// The time of a line of the firewall: "2014-05-27", "10:15:02". `is_utc` as its head tells.
pub(super) fn of_firewall(date: &str, time: &str, is_utc: bool) -> Option<Time> {
    let date: Date = date.parse().ok()?;
    of_parts(date, time, is_utc.then_some(0))
}

fn minutes(bias: &str) -> Option<i32> {
    let (sign, digits) = match bias.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, bias.strip_prefix('-')?),
    };
    let (sign, digits) = digits.strip_prefix('-').map_or((sign, digits), |rest| (-sign, rest));
    let minutes: i32 = digits.parse().ok().filter(|_| is_number(digits))?;
    (minutes <= MOST_BIAS).then_some(sign * minutes)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn of_parts(date: Date, time: &str, bias: Option<i32>) -> Option<Time> {
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = whole.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let numbers = [hour, minute, second].into_iter().all(|part| is_number(part) && part.len() < 3);
    if parts.next().is_some() || !numbers || !(fraction.is_empty() || is_number(fraction)) {
        return None;
    }
    let digits = fraction.len().min(9);
    let fraction: i32 = format!("{:0<9}", fraction.get(..digits)?).parse().ok()?;
    let (hour, minute, second) = (hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?);
    let local = date.to_datetime(jiff::civil::Time::new(hour, minute, second, fraction).ok()?);
    let local = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_nanosecond();
    let at = local.checked_add(i128::from(bias.unwrap_or(0)) * 60_000_000_000)?;
    let clock = Clock { digits: u8::try_from(digits).ok()?, zone_known: bias.is_some() };
    Some(Time { at: Timestamp::from_nanoseconds(at)?, clock })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configmgr(date: &str, time: &str) -> String {
        of_configmgr(date, time).map_or("none".to_owned(), |time| time.to_string())
    }

    #[test]
    fn the_bias_is_added_to_have_utc() {
        for (time, expected) in [
            // A quarter past four in Seattle's summer, as Microsoft's article on SQL Server
            // drivers shows it.
            ("04:15:01.917+420", "2016-08-22T11:15:01.917Z"),
            ("04:15:01.917-120", "2016-08-22T02:15:01.917Z"),
            ("04:15:01.917+-120", "2016-08-22T02:15:01.917Z"),
            ("04:15:01.917+000", "2016-08-22T04:15:01.917Z"),
            ("04:15:01.91-330", "2016-08-21T22:45:01.91Z"),
            ("04:15:01.9171234+0", "2016-08-22T04:15:01.9171234Z"),
            ("04:15:01", "2016-08-22T04:15:01"),
        ] {
            assert_eq!(configmgr("08-22-2016", time), expected, "{time}");
        }
        assert_eq!(configmgr("8-2-2016", "4:15:01.917"), "2016-08-02T04:15:01.917");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for (date, time) in [
            ("13-22-2016", "04:15:01.917+420"),
            ("08-32-2016", "04:15:01.917+420"),
            ("08-22-2016", "24:15:01.917+420"),
            ("08-22-2016", "04:60:01"),
            ("08-22-2016", "04:15:61"),
            ("08-22-2016", "04:15"),
            ("08-22-2016", "04:15:01.917+99999"),
            ("08-22-2016", "04:15:01.917+"),
            ("08-22-99999", "04:15:01"),
            ("", ""),
        ] {
            assert_eq!(configmgr(date, time), "none", "{date} {time}");
        }
    }

    #[test]
    fn the_firewall_tells_whole_seconds_without_a_zone() {
        let time = |is_utc| of_firewall("2014-05-27", "10:15:02", is_utc).unwrap().to_string();
        assert_eq!(time(false), "2014-05-27T10:15:02");
        assert_eq!(time(true), "2014-05-27T10:15:02Z");
        assert_eq!(of_firewall("27.05.2014", "10:15:02", false), None);
    }
}
