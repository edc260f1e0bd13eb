//! What is wrong in a matrix or roles file, and where.
//!
//! A file is read to its end and all its faults are told at once, each with its line and column
//! and, where a word was meant that we know, that word.

use std::fmt;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The place of a byte of `text`.
    pub(super) fn of(text: &str, offset: usize) -> Position {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        Position { line: before.matches('\n').count().saturating_add(1), column: column + 1 }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where; `None` for an argument of the command line.
    pub position: Option<Position>,
    /// What, and what to do.
    pub message: String,
}

/// All that is wrong in a matrix file, a roles file or a `--role`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Path of the file, or the name of the option.
    pub path: String,
    /// What is wrong, in the order of the text; never empty.
    pub faults: Vec<Fault>,
}

/// Faults that are printed; a file with more is not the file that was meant.
const PRINTED_FAULTS: usize = 20;

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().take(PRINTED_FAULTS).enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            write!(out, "{newline}{}: ", self.path)?;
            if let Some(Position { line, column }) = fault.position {
                write!(out, "line {line}, column {column}: ")?;
            }
            out.write_str(&fault.message)?;
        }
        match self.faults.len().saturating_sub(PRINTED_FAULTS) {
            0 => Ok(()),
            more => write!(out, "\n{}: and {more} more", self.path),
        }
    }
}

impl std::error::Error for Error {}

/// A word of the user's, made fit for a message: short, and without control characters.
pub(crate) fn quoted(word: &str) -> String {
    let mut text: String = word.chars().take(60).collect();
    if text.len() < word.len() {
        text.push('…');
    }
    format!("\"{}\"", text.escape_debug())
}

/// The end of a message about a word that we do not know: the known word that was probably
/// meant, else all known words where they are few.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(word, &known) {
        return format!("; did you mean {}?", quoted(near));
    }
    let listed: Vec<String> = known.iter().take(12).map(|word| quoted(word)).collect();
    match listed.split_last() {
        Some((last, rest)) if !rest.is_empty() && known.len() <= 12 => {
            format!("; known are {} and {last}", rest.join(", "))
        }
        Some(_) | None => String::new(),
    }
}

/// The known word that is most like this one, if one is like it at all.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = plain(word);
    if word.is_empty() {
        return None;
    }
    known
        .iter()
        .filter_map(|candidate| Some((unlikeness(&word, candidate)?, *candidate)))
        .min_by_key(|(unlikeness, _)| *unlikeness)
        .map(|(_, candidate)| candidate)
}

/// Letters and digits in lower case: "Site Server" and "site-server" are the same. Bounded, so
/// that comparing is.
fn plain(word: &str) -> Vec<char> {
    let letters = word.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).take(40).collect()
}

/// How unlike a known word is; `None` where nobody would mean it.
fn unlikeness(word: &[char], candidate: &str) -> Option<usize> {
    let initials: Vec<char> =
        candidate.split(['-', '_', ' ']).filter_map(|part| part.chars().next()).collect();
    // "dc" for "domain-controller".
    if word.len() > 1 && word == initials {
        return Some(1);
    }
    let candidate = plain(candidate);
    // Letters in another order, as in "tpc", are one slip.
    let distance = if same_letters(word, &candidate) { 1 } else { edit_distance(word, &candidate) };
    if distance <= 1 + word.len().min(candidate.len()) / 4 {
        return Some(distance);
    }
    // "controller" for "domain-controller", "requirements" for "requirement".
    let (short, long) =
        if word.len() < candidate.len() { (word, &*candidate) } else { (&*candidate, word) };
    let part = short.len() >= 4 && long.windows(short.len()).any(|window| window == short);
    part.then_some(100 + distance)
}

fn same_letters(a: &[char], b: &[char]) -> bool {
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    let same = a == b;
    a.sort_unstable();
    b.sort_unstable();
    a == b && !same
}

/// Letters to change, add or leave out (Levenshtein), row by row.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, letter) in a.iter().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (above, other) in row.iter_mut().skip(1).zip(b) {
            let changed = diagonal + usize::from(letter != other);
            diagonal = *above;
            left = changed.min(diagonal + 1).min(left + 1);
            *above = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "a\näb\n";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 4), Position { line: 2, column: 2 });
        assert_eq!(Position::of(text, 99), Position { line: 3, column: 1 });
    }

    #[test]
    fn distance_is_the_number_of_letters_to_change() {
        for (a, b, distance) in
            [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
        {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            assert_eq!(edit_distance(&a, &b), distance);
        }
    }

    #[test]
    fn the_word_that_was_meant_is_found() {
        let known = ["site-server", "cas", "domain-controller", "domain-member", "requirement"];
        for (word, meant) in [
            ("dc", Some("domain-controller")),
            ("controller", Some("domain-controller")),
            ("Site Server", Some("site-server")),
            ("siteserver", Some("site-server")),
            ("domain-controler", Some("domain-controller")),
            ("requirements", Some("requirement")),
            ("requierment", Some("requirement")),
            ("printer", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
    }

    #[test]
    fn a_hostile_word_is_shortened_and_escaped() {
        let word = format!("\u{1b}[2J{}", "x".repeat(1_000_000));
        let text = quoted(&word);
        assert!(text.starts_with("\"\\u{1b}[2Jxxx"), "{text}");
        assert!(text.chars().count() < 80);
    }

    #[test]
    fn a_file_full_of_faults_is_not_printed_whole() {
        let fault = Fault { position: Some(Position { line: 1, column: 2 }), message: "no".into() };
        let error = Error { path: "x.toml".into(), faults: vec![fault; 23] };
        let text = error.to_string();
        assert_eq!(text.lines().count(), 21);
        assert!(text.starts_with("x.toml: line 1, column 2: no\n"));
        assert!(text.ends_with("x.toml: and 3 more"));
    }
}
