//! Colour, put into text before it is laid out and turned into escapes after.
//!
//! Marks are characters without width, so tables and paragraphs are laid out as if they were not
//! there, and the same layout serves with and without colour. Text from outside cannot hold
//! them: [`text::plain`](crate::render::text::plain) escapes every one.

/// What a colour stands for. Each is also said by a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// Works.
    Good,
    /// No answer.
    Silent,
    /// Something said no, or the service failed.
    Refused,
    /// Nobody knows.
    Doubt,
    /// A heading.
    Strong,
    /// Worth less attention.
    Faint,
}

const INKS: [(Ink, char, &str); 6] = [
    (Ink::Good, '\u{206a}', "\x1b[32m"),
    (Ink::Silent, '\u{206b}', "\x1b[1;31m"),
    (Ink::Refused, '\u{206c}', "\x1b[1;35m"),
    (Ink::Doubt, '\u{206d}', "\x1b[33m"),
    (Ink::Strong, '\u{206e}', "\x1b[1m"),
    (Ink::Faint, '\u{206f}', "\x1b[2m"),
];

const END: char = '\u{2064}';
const PLAIN: &str = "\x1b[0m";

/// Safe text in an ink. Nothing within it may have an ink of its own.
pub(super) fn inked(ink: Ink, text: &str) -> String {
    let mark = INKS.iter().find(|(each, _, _)| *each == ink).map_or(END, |(_, mark, _)| *mark);
    format!("{mark}{text}{END}")
}

/// A line with its marks turned into escapes, or into nothing. No ink outlasts its line.
pub(super) fn painted(line: &str, color: bool) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut open = false;
    for character in line.chars() {
        if character == END {
            if color && open {
                shown.push_str(PLAIN);
            }
            open = false;
        } else if let Some((_, _, escape)) = INKS.iter().find(|(_, mark, _)| *mark == character) {
            if color {
                shown.push_str(escape);
            }
            open = true;
        } else {
            shown.push(character);
        }
    }
    if color && open {
        shown.push_str(PLAIN);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::text;

    #[test]
    fn marks_take_no_columns_and_cannot_come_from_outside() {
        for (_, mark, _) in INKS.into_iter().chain([(Ink::Good, END, "")]) {
            assert_eq!(text::columns(&mark.to_string()), 0);
            assert!(text::acts(mark));
        }
    }

    #[test]
    fn without_colour_no_escape_is_left() {
        let line = format!("a {} b", inked(Ink::Good, "open"));
        assert_eq!(painted(&line, false), "a open b");
        assert_eq!(painted(&line, true), "a \x1b[32mopen\x1b[0m b");
    }

    #[test]
    fn an_ink_ends_with_its_line() {
        let line = inked(Ink::Strong, "one two").replace(END, "");
        assert_eq!(painted(&line, true), "\x1b[1mone two\x1b[0m");
    }
}
