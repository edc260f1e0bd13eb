//! The text of a filter, cut into tokens.

use std::ops::Range;

use crate::filter::error::FilterError;

/// A token, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) place: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A bare word, a number, an address.
    Word(String),
    /// What stood in quotes.
    Quoted(String),
    /// `=`, `!=`, `<`, `&&` and so on; `==` is `=`.
    Sign(&'static str),
}

/// Signs, the longer before those that they begin with, with the one that stands for them.
const SIGNS: [(&str, &str); 16] = [
    ("==", "="),
    ("!=", "!="),
    ("<=", "<="),
    (">=", ">="),
    ("&&", "&&"),
    ("||", "||"),
    ("=", "="),
    ("<", "<"),
    (">", ">"),
    ("!", "!"),
    ("(", "("),
    (")", ")"),
    ("{", "{"),
    ("}", "}"),
    (",", ","),
    ("&", "&&"),
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(letter) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or_default();
        if letter.is_whitespace() {
            at += letter.len_utf8();
            continue;
        }
        let (kind, length) = if letter == '"' {
            quoted(rest)
                .ok_or_else(|| FilterError::new(text, at..text.len(), "this quote is not closed"))?
        } else if let Some((sign, meant)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            (TokenKind::Sign(meant), sign.len())
        } else {
            let length = rest.find(ends_word).unwrap_or(rest.len());
            // A lone sign that means nothing is a word that no field is called by.
            let length = if length == 0 { letter.len_utf8() } else { length };
            (TokenKind::Word(rest.get(..length).unwrap_or_default().to_owned()), length)
        };
        tokens.push(Token { kind, place: at..at + length });
        at += length;
    }
    Ok(tokens)
}

fn ends_word(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(letter, '"' | '=' | '!' | '<' | '>' | '(' | ')' | '{' | '}' | ',' | '&' | '|')
}

/// A text in quotes at the beginning of `rest`, and its length with them.
fn quoted(rest: &str) -> Option<(TokenKind, usize)> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((TokenKind::Quoted(text), at + 1)),
            '\\' => match letters.next() {
                Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                // A path of Windows needs no doubling.
                Some((_, other)) => text.extend(['\\', other]),
                None => return None,
            },
            _ => text.push(letter),
        }
    }
    None
}
