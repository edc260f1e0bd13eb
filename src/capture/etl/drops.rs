//! Packets that the capturing machine itself dropped, in words.

mod reasons;

use std::collections::BTreeMap;

use crate::capture::FrameNote;

/// The first build of Windows that counts the reasons as the table does.
const TABLE_SINCE: u32 = 19_041;

/// Notes that are kept of a capture. Reasons and components are few.
const MOST_NOTES: usize = 4_096;

/// Letters of a name that are shown.
const LONGEST_NAME: usize = 60;

/// Which way a packet was going when it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the network to this machine.
    Arriving,
    /// From this machine to the network.
    Leaving,
    /// Nobody knows.
    Unknown,
}

/// A reason in words: "NAME (what it comes to)".
///
/// `label` is what the trace itself calls it.
pub(super) fn reason(number: u32, label: Option<&str>, build: u32) -> String {
    let known = reasons::REASONS
        .binary_search_by_key(&number, |(number, ..)| *number)
        .ok()
        .and_then(|place| reasons::REASONS.get(place))
        .filter(|_| build >= TABLE_SINCE);
    match (label.map(as_name).filter(|name| !name.is_empty()), known) {
        (Some(name), Some((_, _, words))) => format!("{name} ({words})"),
        (None, Some((_, name, words))) => format!("{name} ({words})"),
        (Some(name), None) => name,
        (None, None) => format!("reason {number}, which portmortem has no words for"),
    }
}

/// A label as a name: what a trace says is hostile, and a name is easier to look up.
fn as_name(label: &str) -> String {
    let letters = label.chars().map(|letter| {
        if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' }
    });
    let mut name = String::new();
    for letter in letters {
        let doubled = letter == '_' && (name.is_empty() || name.ends_with('_'));
        if !doubled && name.len() < LONGEST_NAME {
            name.push(letter);
        }
    }
    name.trim_end_matches('_').to_owned()
}

/// What there is to say of a packet that this machine dropped.
pub(super) fn note(direction: Direction, reason: &str, component: &str) -> String {
    let when = match direction {
        Direction::Arriving => FrameNote::ON_ARRIVAL,
        Direction::Leaving => FrameNote::ON_LEAVING,
        Direction::Unknown => FrameNote::SOMEWHERE,
    };
    format!("{when}: {reason}, at {component}")
}

/// The words of a capture's notes, each once.
#[derive(Debug, Default)]
pub(super) struct Notes {
    words: Vec<String>,
    known: BTreeMap<String, u32>,
}

impl Notes {
    /// The note with these words.
    pub(super) fn note(&mut self, words: String) -> FrameNote {
        if let Some(index) = self.known.get(&words) {
            return FrameNote::dropped(*index);
        }
        let words = if self.words.len() < MOST_NOTES {
            words
        } else {
            format!("{}, one of very many ways", FrameNote::SOMEWHERE)
        };
        let index = self.known.entry(words).or_insert_with_key(|words| {
            self.words.push(words.clone());
            u32::try_from(self.words.len() - 1).unwrap_or(u32::MAX)
        });
        FrameNote::dropped(*index)
    }

    /// The words by index.
    pub(super) fn into_words(self) -> Vec<String> {
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_in_order_and_have_words() {
        let numbers: Vec<u32> = reasons::REASONS.iter().map(|(number, ..)| *number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b));
        for (number, name, words) in reasons::REASONS {
            assert!(!name.contains(' '), "{number}");
            assert!(!words.is_empty() && !words.ends_with('.') && words.is_ascii(), "{number}");
        }
    }

    #[test]
    fn what_the_trace_calls_a_reason_comes_first() {
        let words = "taken out by inspection: Windows Firewall or another filter driver";
        assert_eq!(
            reason(909, Some("Inspection drop "), 20_348),
            format!("INSPECTION_DROP ({words})")
        );
        assert_eq!(reason(909, None, 20_348), format!("NL_InspectionDrop ({words})"));
        // A preview counted otherwise: 101 was what is 201 now.
        assert_eq!(reason(101, Some("Adapter paused"), 17_763), "ADAPTER_PAUSED");
        assert_eq!(reason(909, Some("Whatever"), 17_763), "WHATEVER");
        assert_eq!(reason(909, None, 17_763), "reason 909, which portmortem has no words for");
    }

    #[test]
    fn labels_of_a_trace_are_hostile() {
        assert_eq!(as_name("\u{1b}[2J<b>INET: no such thing</b> "), "2J_B_INET_NO_SUCH_THING_B");
        assert_eq!(as_name(&"x".repeat(1000)).len(), LONGEST_NAME);
        assert_eq!(as_name("?!"), "");
    }

    #[test]
    fn equal_words_are_one_note_and_there_is_a_most() {
        let mut notes = Notes::default();
        let first = notes.note("a".to_owned());
        assert_ne!(notes.note("b".to_owned()), first);
        assert_eq!(notes.note("a".to_owned()), first);
        for number in 0..10_000 {
            notes.note(number.to_string());
        }
        assert_eq!(notes.into_words().len(), MOST_NOTES + 1);
    }
}
