//! The bytes of ASN.1: tags and lengths, as LDAP and Kerberos write them (X.690, BER and DER).
//!
//! Only definite lengths and tag numbers below 31, which is all that RFC 4511 (5.1) and RFC 4120
//! allow. An element of which the end is missing is given as far as it goes.

use crate::net::{Time, Timestamp};

/// Bytes of a length after its first byte. More than four is a length that nobody sends.
const MOST_LENGTH_BYTES: usize = 4;

/// A constructed element's bit of its tag.
const CONSTRUCTED: u8 = 0x20;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;

/// The tag of a constructed element of the context class: `[number]`.
pub(super) const fn context(number: u8) -> u8 {
    0x80 | CONSTRUCTED | number
}

/// The tag of a constructed element of the application class: `[APPLICATION number]`.
pub(super) const fn application(number: u8) -> u8 {
    0x40 | CONSTRUCTED | number
}

/// The beginning of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub tag: u8,
    /// Bytes of tag and length.
    pub size: usize,
    /// Bytes of the content.
    pub length: usize,
}

impl Header {
    /// Bytes of the whole element.
    pub(super) fn total(self) -> usize {
        self.size.saturating_add(self.length)
    }
}

/// What bytes say of the element that begins with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    Known(Header),
    /// At least so many bytes are needed to tell.
    Needs(usize),
    /// They begin no element.
    Wrong,
}

/// Reads tag and length (X.690 8.1.2, 8.1.3).
pub(super) fn beginning(bytes: &[u8]) -> Beginning {
    let [tag, first, rest @ ..] = bytes else { return Beginning::Needs(2) };
    let (tag, first) = (*tag, *first);
    if tag & 0x1f == 0x1f {
        return Beginning::Wrong;
    }
    if first < 0x80 {
        return Beginning::Known(Header { tag, size: 2, length: usize::from(first) });
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > MOST_LENGTH_BYTES {
        return Beginning::Wrong;
    }
    let size = 2 + count;
    let Some(digits) = rest.get(..count) else { return Beginning::Needs(size) };
    let length = digits.iter().fold(0_u64, |length, &digit| length << 8 | u64::from(digit));
    match usize::try_from(length) {
        Ok(length) => Beginning::Known(Header { tag, size, length }),
        Err(_) => Beginning::Wrong,
    }
}

/// An element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub tag: u8,
    /// Its content, as far as it is there.
    pub content: &'a [u8],
    /// Bytes of the content are missing.
    pub cut: bool,
}

impl<'a> Element<'a> {
    /// The first of the elements inside that has this tag.
    pub(super) fn child(&self, tag: u8) -> Option<Element<'a>> {
        elements(self.content).find(|element| element.tag == tag)
    }

    /// Its content as a small number (two's complement); `None` where it is not whole.
    pub(super) fn number(&self) -> Option<i64> {
        if self.cut || self.content.is_empty() || self.content.len() > 8 {
            return None;
        }
        let negative = self.content.first().is_some_and(|byte| byte & 0x80 != 0);
        let start = if negative { -1 } else { 0 };
        Some(self.content.iter().fold(start, |number, &byte| number << 8 | i64::from(byte)))
    }

    /// The content as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.content).into_owned()
    }
}

/// A time as "20140527101500Z" or "20140527101500.0Z" (X.680 46, as RFC 4120 5.2.3 and RFC 4517
/// 3.3.13 have it), to the second.
pub(super) fn time(written: &str) -> Option<Timestamp> {
    let digits = written.strip_suffix('Z')?;
    let digits = digits.split_once('.').map_or(digits, |(seconds, _)| seconds);
    if digits.len() != 14 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let mut text = String::with_capacity(20);
    let parts = [(0..4, '-'), (4..6, '-'), (6..8, 'T'), (8..10, ':'), (10..12, ':'), (12..14, 'Z')];
    for (part, after) in parts {
        text.push_str(digits.get(part).unwrap_or_default());
        text.push(after);
    }
    text.parse::<Time>().ok().map(|time| time.at)
}

/// The elements that follow each other in these bytes.
pub(super) fn elements(bytes: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (element, after) = split(rest)?;
        rest = after;
        Some(element)
    })
}

/// The first element of these bytes, and what follows it.
pub(super) fn split(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let Beginning::Known(header) = beginning(bytes) else { return None };
    let there = bytes.get(header.size..)?;
    let (content, after) = there.split_at_checked(header.length).unwrap_or((there, &[]));
    let cut = content.len() < header.length;
    Some((Element { tag: header.tag, content, cut }, after))
}

/// The element that these bytes begin with, if it has this tag.
pub(super) fn element(bytes: &[u8], tag: u8) -> Option<Element<'_>> {
    split(bytes).map(|(element, _)| element).filter(|element| element.tag == tag)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes an element.
    pub(in crate::probe) fn write(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut bytes = vec![tag];
        match u8::try_from(length) {
            Ok(short) if short < 0x80 => bytes.push(short),
            _ => {
                bytes.push(0x82);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        bytes.extend(content);
        bytes
    }

    #[test]
    fn short_and_long_lengths_are_read() {
        // X.690 8.1.3.5 shows the length 201 as 81 c9.
        for (bytes, size, length) in [
            (&[0x30, 0x05][..], 2, 5),
            (&[0x30, 0x81, 0xc9], 3, 201),
            (&[0x30, 0x84, 0, 0, 1, 2], 6, 258), // as Windows writes them
        ] {
            let expected = Header { tag: SEQUENCE, size, length };
            assert_eq!(beginning(bytes), Beginning::Known(expected));
        }
        assert_eq!(beginning(&[0x30]), Beginning::Needs(2));
        assert_eq!(beginning(&[0x30, 0x84, 0, 0]), Beginning::Needs(6));
        assert_eq!(beginning(&[0x30, 0x80]), Beginning::Wrong, "indefinite");
        assert_eq!(beginning(&[0x3f, 0x81, 1]), Beginning::Wrong, "a long tag");
        assert_eq!(beginning(&[0x30, 0x85, 0, 0, 0, 0, 1]), Beginning::Wrong);
    }

    #[test]
    fn numbers_have_a_sign() {
        for (content, number) in
            [(&[0x7f][..], 127), (&[0, 0x80], 128), (&[0xff], -1), (&[0x80, 0], -32768)]
        {
            let element = Element { tag: INTEGER, content, cut: false };
            assert_eq!(element.number(), Some(number));
            assert_eq!(Element { cut: true, ..element }.number(), None);
        }
    }

    #[test]
    fn what_is_cut_off_is_given_as_far_as_it_goes() {
        let bytes = [0x30, 6, 2, 1, 7, 4, 9, b'a'];
        let outer = element(&bytes, SEQUENCE).unwrap();
        assert!(!outer.cut);
        let inner: Vec<_> = elements(outer.content).collect();
        assert_eq!(inner.len(), 2);
        assert_eq!(inner[0].number(), Some(7));
        assert_eq!((inner[1].text().as_str(), inner[1].cut), ("a", true));
    }

    #[test]
    fn times_are_read_to_the_second() {
        for written in ["20140527101500Z", "20140527101500.0Z"] {
            let at = time(written).unwrap().as_nanoseconds();
            assert_eq!(at, 1_401_185_700_000_000_000); // date -u -d "2014-05-27 10:15"
        }
        for wrong in ["20140527101500", "20141327101500Z", "2014052710150Z", "+0140527101500Z"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let there: usize = elements(&bytes).map(|element| element.content.len()).sum();
            prop_assert!(there <= bytes.len());
        }
    }
}
