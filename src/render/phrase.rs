//! Numbers, durations and words as people read them.

use crate::filter::Filter;

/// A number with its thousands apart: "1,284".
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length as the number type of [`number`].
pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// So many of a thing: "1 frame", "1,284 frames".
pub(super) fn counted(many: u64, thing: &str) -> String {
    let plural = if many == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", number(many))
}

/// "was" or "were".
pub(super) fn was(many: u64) -> &'static str {
    if many == 1 { "was" } else { "were" }
}

/// A duration of nanoseconds in its two largest units: "7 min 29 s".
pub(super) fn duration(nanoseconds: i64) -> String {
    let milliseconds = nanoseconds.max(0) / 1_000_000;
    let seconds = milliseconds / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..10 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", number(days.unsigned_abs()), hours % 24),
    }
}

/// A word of the contract as people write it: "not exercised" for `not_exercised`.
pub(super) fn words(word: &str) -> String {
    word.replace('_', " ")
}

/// The first sentence of a text.
pub(super) fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

/// That a report is not about everything.
pub(super) fn filtered(filter: &Filter) -> String {
    format!("only flows of which this is true: {filter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (value, expected) in [
            (0, "0"),
            (999, "999"),
            (1284, "1,284"),
            (100_000, "100,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!(counted(1, "frame"), "1 frame");
        assert_eq!(counted(0, "frame"), "0 frames");
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        for (nanoseconds, expected) in [
            (-5, "0 ms"),
            (840_000_000, "840 ms"),
            (2_190_000_000, "2.1 s"),
            (21_000_000_000, "21 s"),
            (449_000_000_000, "7 min 29 s"),
            (11_520_000_000_000, "3 h 12 min"),
            (187_200_000_000_000, "2 d 4 h"),
        ] {
            assert_eq!(duration(nanoseconds), expected);
        }
    }

    #[test]
    fn a_sentence_ends_before_the_next() {
        assert_eq!(first_sentence("No answer in 21.0 s. It may be down."), "No answer in 21.0 s");
        assert_eq!(first_sentence("No answer."), "No answer");
    }
}
