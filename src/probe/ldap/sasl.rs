//! Messages that SASL signs or seals: a length, a token, and in signed ones the messages themselves.

use crate::probe::Framing;
use crate::probe::asn1::SEQUENCE;
use crate::probe::ldap::{KEPT_BULK, MOST_LENGTH, operation};

/// Bytes kept of signed messages that are not read one by one.
pub(super) const KEPT_SIGNED: usize = 128 << 10;

/// How much of a message in SASL's buffers there is, and is to be kept (RFC 4513 5.2.1.6, RFC
/// 4422 3.7).
pub(super) fn framing(bytes: &[u8]) -> Framing {
    let Some((length, token)) = bytes.split_first_chunk() else { return Framing::Needs(4) };
    let Ok(length) = usize::try_from(u32::from_be_bytes(*length)) else { return Framing::Lost };
    if !(16..=MOST_LENGTH).contains(&length) {
        return Framing::Lost;
    }
    let keep = match *token {
        [5, 4, flags, _, e0, e1, r0, r1, ..] if flags & SEALED == 0 => match [e0, e1] {
            // The text follows the checksum, so what comes next are plain messages.
            checksum if checksum == [r0, r1] && checksum != [0, 0] => {
                let beginning = 20 + u64::from(u16::from_be_bytes(checksum));
                return Framing::Message { length: beginning, keep: KEPT_BULK };
            }
            _ => KEPT_SIGNED,
        },
        [5, 4, flags, ..] if flags & SEALED != 0 => KEPT_BULK,
        [5, 4, _, ..] => return Framing::Needs(12),
        [1, 0, 0, 0, ref rest @ ..] => match rest.get(12) {
            Some(&SEQUENCE) => KEPT_SIGNED,
            Some(_) => KEPT_BULK,
            None => return Framing::Needs(21),
        },
        // The older tokens of RFC 1964.
        [0x60, _, _, ..] => KEPT_BULK,
        [_, _, _, _, ..] => return Framing::Lost,
        _ => return Framing::Needs(8),
    };
    let length = length + 4;
    Framing::Message { length: length as u64, keep: keep.min(length) }
}

/// RFC 4121 4.2.2: a token's flag that says that it is encrypted.
const SEALED: u8 = 2;

/// The messages in a buffer that is signed and not sealed. Of those that Windows signs with
/// Kerberos only the beginning comes here: it rotates the checksum to the front, so that the text
/// is read message by message, however long it is.
pub(super) fn signed(bytes: &[u8], length: u64) -> Option<&[u8]> {
    let (_, token) = bytes.split_at_checked(4)?;
    let whole = usize::try_from(length).ok()?.checked_sub(4)?;
    match *token {
        // RFC 4121 4.2.4: the checksum follows the text, if nothing was rotated.
        [5, 4, flags, _, e0, e1, 0, 0, ..] if flags & SEALED == 0 => {
            let checksum = usize::from(u16::from_be_bytes([e0, e1]));
            let text = whole.checked_sub(16)?.checked_sub(checksum)?;
            let rest = token.get(16..)?;
            Some(rest.get(..text).unwrap_or(rest))
        }
        // [MS-NLMP] 2.2.2.9: the signature has 16 bytes.
        [1, 0, 0, 0, ..] => {
            let rest = token.get(16..)?;
            operation(rest).map(|_| rest)
        }
        _ => None,
    }
}
