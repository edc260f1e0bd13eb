//! Texts: addresses and words that are not the program's own become pseudonyms.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::anonymize::address::address;

/// The words of the program's own sentences, tables and profiles, in lower case; `build.rs` finds
/// them.
const WORDS: &str = include_str!(concat!(env!("OUT_DIR"), "/words.txt"));

/// Letters of pseudonyms: no vowels, so that they are no words, and no letters that look alike.
const LETTERS: [char; 20] = [
    'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'y',
    'z',
];

/// Letters of one pseudonym: of 20^7, two of 10,000 names are alike once in 25 reports.
const LENGTH: usize = 7;

/// What pseudonyms are made from.
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn new(key: &str) -> Key {
        Key(Sha256::digest(key.as_bytes()).into())
    }

    /// A digest of a message that nobody can make without the key. The key is of fixed length and
    /// comes first, and only a part of the digest is ever shown.
    pub(super) fn digest(&self, message: &[u8]) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.0);
        digest.update(message);
        digest.finalize().into()
    }
}

/// Pseudonyms of one key.
pub(super) struct Pseudonyms {
    key: Key,
    own: BTreeSet<&'static str>,
    /// Addresses that were asked for: a pseudonym of one takes a hundred digests.
    known: RefCell<BTreeMap<IpAddr, IpAddr>>,
}

impl Pseudonyms {
    pub(super) fn new(key: &str) -> Pseudonyms {
        Pseudonyms { key: Key::new(key), own: WORDS.lines().collect(), known: RefCell::default() }
    }

    /// The text with pseudonyms in place of addresses and of words that are not the program's own.
    pub(super) fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let (length, replaced) = if let Some((length, address)) =
                self.address_at(rest, &out).or_else(|| self.card_at(rest, &out))
            {
                (length, address)
            } else if letter.is_alphanumeric() || letter == '_' {
                let ends = |letter: char| !(letter.is_alphanumeric() || letter == '_');
                let length = rest.find(ends).unwrap_or(rest.len());
                (length, self.word(rest.get(..length).unwrap_or_default()))
            } else {
                (letter.len_utf8(), letter.to_string())
            };
            out.push_str(&replaced);
            rest = rest.get(length..).unwrap_or_default();
        }
        out
    }

    /// An address, or a block of them, at the beginning of a text: its length, and its pseudonym.
    fn address_at(&self, rest: &str, before: &str) -> Option<(usize, String)> {
        // Within a word or a number there begins no address.
        if before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '.') {
            return None;
        }
        let fits = |letter: char| letter.is_ascii_hexdigit() || letter == '.' || letter == ':';
        let length = rest.find(|letter| !fits(letter)).unwrap_or(rest.len());
        let mut run = rest.get(..length)?;
        // "10.0.0.5.", "10.0.0.5: " and "10.0.0.5:389" end a sentence, a phrase, an endpoint.
        let found: IpAddr = loop {
            if run.len() < 2 {
                return None;
            }
            if let Ok(address) = run.parse() {
                break address;
            }
            run = run.get(..run.rfind(['.', ':'])?)?;
        };
        let address = self.address(found);
        let behind = rest.get(run.len()..)?;
        if let Some(slash) = behind.strip_prefix('/') {
            let digits = slash.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(slash.len());
            let prefix: Option<u8> = slash.get(..digits)?.parse().ok();
            if let Some(block) = prefix.and_then(|it| ipnet::IpNet::new(address, it).ok()) {
                return Some((run.len() + 1 + digits, block.trunc().to_string()));
            }
        }
        Some((run.len(), address.to_string()))
    }

    /// The address of a network card at the beginning of a text, `02:00:0a:00:00:05`: its length,
    /// and its pseudonym, which no maker has given out (IEEE 802 8.2.2).
    fn card_at(&self, rest: &str, before: &str) -> Option<(usize, String)> {
        const LENGTH: usize = 17;
        let card = rest.get(..LENGTH)?;
        let fits = |(place, letter): (usize, char)| match place % 3 {
            2 => letter == ':',
            _ => letter.is_ascii_hexdigit(),
        };
        let goes_on = |letter: char| letter.is_alphanumeric() || letter == ':';
        let alone = !before.ends_with(goes_on)
            && !rest.get(LENGTH..).is_some_and(|behind| behind.starts_with(goes_on));
        if !alone || !card.chars().enumerate().all(fits) {
            return None;
        }
        let digest = self.key.digest(format!("card {}", card.to_lowercase()).as_bytes());
        let bytes: Vec<String> = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        Some((LENGTH, format!("02:{}", bytes.join(":"))))
    }

    fn address(&self, found: IpAddr) -> IpAddr {
        if let Some(address) = self.known.borrow().get(&found) {
            return *address;
        }
        let pseudonym = address(&self.key, found);
        self.known.borrow_mut().insert(found, pseudonym);
        pseudonym
    }

    /// A word, or its pseudonym. Numbers stay, also with a unit or in hexadecimal, and times.
    fn word(&self, word: &str) -> String {
        let lower = word.to_lowercase();
        let is_number = lower.chars().all(|letter| letter.is_ascii_digit());
        let is_time = lower.chars().all(|it| it.is_ascii_digit() || it == 't' || it == 'z')
            && lower.chars().any(|letter| letter.is_ascii_digit());
        let is_hexadecimal = lower.strip_prefix("0x").is_some_and(|digits| {
            digits.len() <= 8 && digits.chars().all(|digit| digit.is_ascii_hexdigit())
        });
        // One letter names nobody: a drive, an axis, a possessive.
        let is_short = lower.chars().count() == 1;
        let stays = is_number || is_time || is_hexadecimal || is_short;
        if stays || self.own.contains(lower.as_str()) {
            return word.to_owned();
        }
        let digest = self.key.digest(format!("word {lower}").as_bytes());
        let mut number = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let mut pseudonym = String::with_capacity(LENGTH);
        for _ in 0..LENGTH {
            let place = usize::try_from(number % LETTERS.len() as u64).unwrap_or_default();
            pseudonym.extend(LETTERS.get(place));
            number /= LETTERS.len() as u64;
        }
        pseudonym
    }
}

#[cfg(test)]
mod tests;
