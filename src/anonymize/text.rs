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
            let special = self
                .address_at(rest, &out)
                .or_else(|| self.card_at(rest, &out))
                .or_else(|| self.four_at(rest, &out))
                .or_else(|| self.security_identifier_at(rest, &out));
            let (length, replaced) = if let Some(special) = special {
                special
            } else if letter.is_alphanumeric() || letter == '_' {
                let ends = |letter: char| !(letter.is_alphanumeric() || letter == '_');
                let length = rest.find(ends).unwrap_or(rest.len());
                self.address_behind_letters(rest, length)
                    .unwrap_or_else(|| (length, self.word(rest.get(..length).unwrap_or_default())))
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
        if is_within(before) {
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

    /// An address of version 4 as names of hosts and files hold it, at the beginning of a text:
    /// `10-1-0-10`, or `010.001.000.010`.
    fn four_at(&self, rest: &str, before: &str) -> Option<(usize, String)> {
        if is_within(before) {
            return None;
        }
        let (length, sign, found) = four(rest)?;
        Some((length, self.address(found).to_string().replace('.', sign)))
    }

    /// A word of so many bytes that ends in the first number of an address: `trace_10.1.0.10`.
    fn address_behind_letters(&self, rest: &str, length: usize) -> Option<(usize, String)> {
        let word = rest.get(..length)?;
        let letters = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
        if letters.is_empty() || letters.len() == word.len() {
            return None;
        }
        let (four_length, sign, found) = four(rest.get(letters.len()..)?)?;
        // In "dc01.10.1.0.10" the address begins later.
        if rest.get(length..)?.strip_prefix(sign).and_then(four).is_some() {
            return None;
        }
        let address = self.address(found).to_string().replace('.', sign);
        Some((letters.len() + four_length, self.word(letters) + &address))
    }

    /// A security identifier of an account at the beginning of a text, `S-1-5-21-...`: the numbers
    /// behind are those of the domain and the account (`[MS-DTYP]` 2.4.2.4).
    fn security_identifier_at(&self, rest: &str, before: &str) -> Option<(usize, String)> {
        const BEGIN: &str = "S-1-5-21-";
        let begin = rest.get(..BEGIN.len()).filter(|it| it.eq_ignore_ascii_case(BEGIN))?;
        if before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '-') {
            return None;
        }
        let numbers = rest.get(BEGIN.len()..)?;
        let ends = |letter: char| !(letter.is_ascii_digit() || letter == '-');
        let numbers = numbers.get(..numbers.find(ends).unwrap_or(numbers.len()))?;
        let pseudonyms: Vec<String> = numbers
            .split('-')
            .map(|number| {
                let digest = self.key.digest(format!("identifier {number}").as_bytes());
                let bits = digest.iter().take(4).fold(0, |sum, byte| sum << 8 | u32::from(*byte));
                if number.is_empty() { String::new() } else { bits.to_string() }
            })
            .collect();
        Some((BEGIN.len() + numbers.len(), format!("{begin}{}", pseudonyms.join("-"))))
    }

    /// The address of a network card at the beginning of a text, `02:00:0a:00:00:05`, or with
    /// hyphens as Windows writes it: its length, and its pseudonym, which no maker has given out
    /// (IEEE 802 8.2.2).
    fn card_at(&self, rest: &str, before: &str) -> Option<(usize, String)> {
        const LENGTH: usize = 17;
        let card = rest.get(..LENGTH)?;
        let sign = card.chars().nth(2).filter(|sign| matches!(sign, ':' | '-'))?;
        let fits = |(place, letter): (usize, char)| match place % 3 {
            2 => letter == sign,
            _ => letter.is_ascii_hexdigit(),
        };
        let goes_on = |letter: char| letter.is_alphanumeric() || letter == sign;
        let alone = !before.ends_with(goes_on)
            && !rest.get(LENGTH..).is_some_and(|behind| behind.starts_with(goes_on));
        if !alone || !card.chars().enumerate().all(fits) {
            return None;
        }
        let card = card.to_lowercase().replace('-', ":");
        let digest = self.key.digest(format!("card {card}").as_bytes());
        let bytes: Vec<String> = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        Some((LENGTH, format!("02:{}", bytes.join(":")).replace(':', &sign.to_string())))
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

/// Whether a text ends within a word or a number with points, where no address begins: that in
/// `2.10.0.0.5` is none, and that in `dc1.10.0.0.5` is one.
fn is_within(before: &str) -> bool {
    let Some(whole) = before.strip_suffix('.') else {
        return before.ends_with(char::is_alphanumeric);
    };
    let is_number =
        |part: &&str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_digit());
    let parts = whole.rsplit(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    // Behind a whole address there may be another.
    parts.take_while(is_number).count() % 4 != 0
}

/// Four numbers of an address at the beginning of a text, all with the same sign between: their
/// length, the sign, and the address.
fn four(text: &str) -> Option<(usize, &'static str, IpAddr)> {
    let digits = |text: &str| text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let sign = match text.get(digits(text)..)?.chars().next() {
        Some('.') => ".",
        Some('-') => "-",
        Some(_) | None => return None,
    };
    let mut rest = text;
    let mut octets = [0; 4];
    for (place, octet) in octets.iter_mut().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(sign)?;
        }
        let (number, behind) = rest.split_at_checked(digits(rest))?;
        if number.len() > 3 {
            return None;
        }
        *octet = number.parse().ok()?;
        rest = behind;
    }
    Some((text.len().saturating_sub(rest.len()), sign, IpAddr::from(octets)))
}

#[cfg(test)]
mod tests;
