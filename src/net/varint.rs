//! Numbers in as few bytes as they take: seven bits a byte, the lowest first; the highest bit says that
//! more follow (LEB128, as DWARF and WebAssembly write them).
//!
//! What is read was written by the same program in the same run; where bytes run out they count as
//! zeros.

/// Appends a number.
#[expect(clippy::cast_possible_truncation, reason = "the lower bits are meant")]
#[inline]
pub(crate) fn push(bytes: &mut Vec<u8>, mut value: u64) {
    // Two bytes at once, which most take that do not fit into one.
    if (0x80..0x4000).contains(&value) {
        return bytes.extend_from_slice(&[value as u8 | 0x80, (value >> 7) as u8]);
    }
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Takes a number off the beginning.
#[inline]
pub(crate) fn take(bytes: &mut &[u8]) -> u64 {
    let mut value = 0_u64;
    let mut shift = 0_u32;
    loop {
        let byte = bytes.split_off_first().copied().unwrap_or_default();
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

/// Appends a number that is near zero on either side.
#[inline]
pub(crate) fn push_signed(bytes: &mut Vec<u8>, value: i64) {
    push(bytes, (value << 1 ^ value >> 63).cast_unsigned());
}

/// Takes a number off the beginning that may be below zero.
#[inline]
pub(crate) fn take_signed(bytes: &mut &[u8]) -> i64 {
    let value = take(bytes);
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_seven_bits_a_byte() {
        // DWARF 5, table 7.7.
        for (number, written) in
            [(2, &[2][..]), (127, &[127]), (128, &[0x80, 1]), (12_857, &[0xb9, 0x64])]
        {
            let mut bytes = Vec::new();
            push(&mut bytes, number);
            assert_eq!(bytes, written);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let numbers = (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1, u64::MAX >> bit]);
        let mut bytes = Vec::new();
        numbers.clone().for_each(|number| push(&mut bytes, number));
        let mut rest = &bytes[..];
        for number in numbers {
            assert_eq!(take(&mut rest), number);
        }
        assert_eq!((rest, take(&mut rest)), (&[][..], 0));
    }

    #[test]
    fn numbers_near_zero_are_one_byte_on_either_side() {
        for (number, length) in [(0, 1), (-1, 1), (63, 1), (-64, 1), (64, 2), (i64::MIN, 10)] {
            let mut bytes = Vec::new();
            push_signed(&mut bytes, number);
            assert_eq!(bytes.len(), length, "{number}");
            assert_eq!(take_signed(&mut &bytes[..]), number);
        }
    }
}
