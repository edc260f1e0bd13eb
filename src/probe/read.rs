//! Numbers and texts at places of a message; `None` where it does not reach so far.

use crate::probe::text;

/// The byte at a place.
pub(crate) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// The number of two bytes at a place, least significant byte first.
pub(crate) fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The number of four bytes at a place, least significant byte first.
pub(crate) fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The number of eight bytes at a place, least significant byte first.
pub(crate) fn u64_le(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The number of two bytes at a place, most significant byte first.
pub(crate) fn u16_be(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// So many bytes at a place.
pub(crate) fn part(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

/// The text that UTF-16 code units spell, least significant byte first, up to the first zero.
pub(crate) fn utf16_le(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks();
    let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).take_while(|unit| *unit != 0);
    let letter = |unit: Result<char, _>| unit.unwrap_or(char::REPLACEMENT_CHARACTER);
    text(char::decode_utf16(units).map(letter).take(crate::probe::MOST_TEXT + 1).collect())
}

/// The text of bytes up to the first zero.
pub(crate) fn latin(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let bytes = bytes.get(..crate::probe::MOST_TEXT * 4).unwrap_or(bytes);
    text(String::from_utf8_lossy(bytes).into_owned())
}

/// Where bytes hold others.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_read() {
        let bytes = [1, 2, 3, 4, 5];
        assert_eq!((u16_le(&bytes, 1), u16_be(&bytes, 1)), (Some(0x0302), Some(0x0203)));
        assert_eq!((u16_le(&bytes, 4), u32_le(&bytes, 2), u64_le(&bytes, 0)), (None, None, None));
        assert_eq!((part(&bytes, 3, 2), part(&bytes, 3, usize::MAX)), (Some(&[4, 5][..]), None));
    }

    #[test]
    fn texts_end_at_zero_and_are_cut() {
        assert_eq!(utf16_le(b"I\0P\0C\0$\0\0\0x\0"), "IPC$");
        assert_eq!(utf16_le(&b"a\0".repeat(1000)).len(), crate::probe::MOST_TEXT);
        assert_eq!(latin(b"IPC\0?????"), "IPC");
    }

    #[test]
    fn a_mark_is_found_at_its_first_place() {
        assert_eq!(find(b"a\r\r\nb\r\n", b"\r\n"), Some(2));
        assert_eq!(find(b"ab", b"abc"), None);
    }
}
