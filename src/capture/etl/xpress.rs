//! XPRESS, as [MS-XCA] describes it: plain LZ77 (2.3, 2.4) and with Huffman codes (2.1, 2.2).
//!
//! Both stop at the end of the input, at the length asked for, or at the first thing that makes no
//! sense; what was written until then stays. No length in the input makes them allocate: the
//! output grows by what is copied, up to the length asked for.

use crate::capture::byte_order::ByteOrder;

/// Shortest match that is written as such.
const SHORTEST: usize = 3;

/// Appends `count` bytes that begin `distance` before the end, at most up to `length` bytes in all.
/// `None` where there are not so many bytes.
pub(super) fn repeat(
    output: &mut Vec<u8>,
    distance: usize,
    count: usize,
    length: usize,
) -> Option<()> {
    let start = output.len().checked_sub(distance)?;
    if distance == 0 {
        return None;
    }
    let mut left = count.min(length.saturating_sub(output.len()));
    // A match may overlap itself: what was copied is copied again, in the same phase.
    while left > 0 {
        let take = left.min(output.len() - start);
        output.extend_from_within(start..start + take);
        left -= take;
    }
    Some(())
}

/// Reads bytes from front to back.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn u8(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn u16(&mut self) -> Option<u16> {
        let number = ByteOrder::Little.u16(self.bytes, self.at)?;
        self.at += 2;
        Some(number)
    }

    fn u32(&mut self) -> Option<u32> {
        let number = ByteOrder::Little.u32(self.bytes, self.at)?;
        self.at += 4;
        Some(number)
    }

    /// A length that a byte, or two or four where they do not do, hold; `base` is what a longer
    /// one counts in and a single byte does not.
    fn length(&mut self, base: usize) -> Option<usize> {
        let short = usize::from(self.u8()?);
        if short < 255 {
            return Some(short);
        }
        let long = match self.u16()? {
            0 => usize::try_from(self.u32()?).ok()?,
            long => usize::from(long),
        };
        long.checked_sub(base)
    }
}

/// Inflates plain LZ77 into at most `length` bytes; gives the number of input bytes that were
/// used.
pub(super) fn plain(input: &[u8], length: usize, output: &mut Vec<u8>) -> usize {
    let mut input = Input { bytes: input, at: 0 };
    // Running out of input ends it, in the middle of anything.
    let _ = plain_tokens(&mut input, length, output);
    input.at
}

fn plain_tokens(input: &mut Input<'_>, length: usize, output: &mut Vec<u8>) -> Option<()> {
    let mut flags = 0;
    let mut flags_left = 0_u32;
    // Where the byte lies whose upper half is not used yet.
    let mut half: Option<usize> = None;
    while output.len() < length {
        if flags_left == 0 {
            flags = input.u32()?;
            flags_left = 32;
        }
        flags_left -= 1;
        if flags >> flags_left & 1 == 0 {
            output.push(input.u8()?);
            continue;
        }
        let token = usize::from(input.u16()?);
        let distance = (token >> 3) + 1;
        let mut count = token & 7;
        if count == 7 {
            count = if let Some(at) = half.take() {
                usize::from(input.bytes.get(at)? >> 4)
            } else {
                half = Some(input.at);
                usize::from(input.u8()? & 15)
            };
            if count == 15 {
                count = input.length(15 + 7)?.checked_add(15)?;
            }
            count = count.checked_add(7)?;
        }
        repeat(output, distance, count.checked_add(SHORTEST)?, length)?;
    }
    Some(())
}

/// Symbols of the Huffman code: 256 literals, 256 matches.
const SYMBOLS: usize = 512;
/// Bytes of the table of code lengths, half a byte a symbol.
const TABLE: usize = SYMBOLS / 2;
/// Bits of the longest code.
const LONGEST: u32 = 15;
/// Bytes of output after which a new table comes.
const BLOCK: usize = 1 << 16;

/// Inflates LZ77 with Huffman codes into at most `length` bytes; gives the number of input bytes
/// that were used.
pub(super) fn huffman(input: &[u8], length: usize, output: &mut Vec<u8>) -> usize {
    let mut input = Input { bytes: input, at: 0 };
    while output.len() < length {
        if huffman_block(&mut input, length, output).is_none() {
            break;
        }
    }
    input.at
}

fn huffman_block(input: &mut Input<'_>, length: usize, output: &mut Vec<u8>) -> Option<()> {
    let table = input.bytes.get(input.at..input.at.checked_add(TABLE)?)?;
    let codes = decoding_table(table)?;
    input.at += TABLE;
    let mut bits = Bits { next: 0, extra: 0 };
    bits.next = u32::from(input.u16()?) << 16;
    bits.next |= u32::from(input.u16()?);
    bits.extra = 16;
    let end = output.len().saturating_add(BLOCK);
    while output.len() < end.min(length) {
        let (symbol, code_length) = *codes.get(usize::try_from(bits.next >> 17).ok()?)?;
        bits.drop(code_length.into(), input);
        let Some(symbol) = usize::from(symbol).checked_sub(256) else {
            output.push(u8::try_from(symbol).ok()?);
            continue;
        };
        let mut count = symbol & 15;
        let distance_bits = u32::try_from(symbol >> 4).ok()?;
        if count == 15 {
            count = input.length(15)?.checked_add(15)?;
        }
        // A shift by 32 is no shift.
        let low = bits.next.checked_shr(32 - distance_bits).unwrap_or(0);
        let distance = usize::try_from(low).ok()?.checked_add(1 << distance_bits)?;
        bits.drop(distance_bits, input);
        repeat(output, distance, count.checked_add(SHORTEST)?, length)?;
    }
    Some(())
}

/// The bits that come next, from the top.
struct Bits {
    next: u32,
    /// Bits beyond the 16 that must be there.
    extra: i32,
}

impl Bits {
    fn drop(&mut self, count: u32, input: &mut Input<'_>) {
        self.next = self.next.checked_shl(count).unwrap_or(0);
        self.extra -= count.cast_signed();
        if self.extra < 0 {
            // Behind the end stand zeros: the last codes may be read without their words.
            let word = u32::from(input.u16().unwrap_or(0));
            self.next |= word.checked_shl(self.extra.unsigned_abs()).unwrap_or(0);
            self.extra += 16;
        }
    }
}

/// For each 15 bits the symbol whose code they begin with, and its length; `None` where the
/// lengths are those of no code.
fn decoding_table(lengths: &[u8]) -> Option<Vec<(u16, u8)>> {
    let length_of = |symbol: usize| {
        let pair = lengths.get(symbol / 2).copied().unwrap_or(0);
        u32::from(if symbol.is_multiple_of(2) { pair & 15 } else { pair >> 4 })
    };
    let mut codes = Vec::with_capacity(1 << LONGEST);
    for length in 1..=LONGEST {
        for symbol in (0..SYMBOLS).filter(|symbol| length_of(*symbol) == length) {
            let filled = codes.len().checked_add(1 << (LONGEST - length))?;
            if filled > 1 << LONGEST {
                return None;
            }
            codes.resize(filled, (u16::try_from(symbol).ok()?, u8::try_from(length).ok()?));
        }
    }
    (codes.len() == 1 << LONGEST).then_some(codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

    fn three_hundred() -> Vec<u8> {
        b"abc".repeat(100)
    }

    /// Inflates with each of the two functions: output, and bytes used.
    fn inflated(
        inflate: fn(&[u8], usize, &mut Vec<u8>) -> usize,
        input: &[u8],
        length: usize,
    ) -> (Vec<u8>, usize) {
        let mut output = Vec::new();
        let used = inflate(input, length, &mut output);
        (output, used)
    }

    #[test]
    fn plain_examples_of_the_specification_come_out() {
        // [MS-XCA] 3.1: 26 literals.
        let input = [&[0x3f, 0, 0, 0], ALPHABET].concat();
        assert_eq!(inflated(plain, &input, 26), (ALPHABET.to_vec(), input.len()));
        // Three literals and one match of 297 bytes, whose length needs two bytes.
        let input = *b"\xff\xff\xff\x1fabc\x17\x00\x0f\xff\x26\x01";
        assert_eq!(inflated(plain, &input, 300), (three_hundred(), input.len()));
    }

    #[test]
    fn huffman_examples_of_the_specification_come_out() {
        // [MS-XCA] 3.2: codes of five bits for a to v, of four for w to z and the end.
        let mut table = [0; TABLE];
        table[48] = 0x50;
        table[49..59].fill(0x55);
        table[59..61].copy_from_slice(&[0x45, 0x44]);
        table[61] = 0x04;
        table[128] = 0x04;
        let data = *b"\xd8\x52\x3e\xd7\x94\x11\x5b\xe9\x19\x5f\xf9\xd6\x7c\xdf\x8d\x04\0\0\0\0";
        let input = [&table[..], &data].concat();
        let (output, used) = inflated(huffman, &input, 26);
        assert_eq!(output, ALPHABET);
        assert!(used <= input.len());
        let mut table = [0; TABLE];
        table[48] = 0x30;
        table[49] = 0x23;
        table[128] = 0x02;
        table[143] = 0x20;
        let data = *b"\xa8\xdc\x00\x00\xff\x26\x01";
        let input = [&table[..], &data].concat();
        assert_eq!(inflated(huffman, &input, 300).0, three_hundred());
    }

    #[test]
    fn halves_of_a_byte_are_used_by_two_matches() {
        // "ab", a match of 2 + (7 + 3) and one of 2 + (7 + 5): both lengths in the byte 0x53.
        let input = *b"\xff\xff\xff\x3fab\x0f\x00\x53\x0f\x00";
        assert_eq!(inflated(plain, &input, 30).0, b"ab".repeat(15)[..30]);
    }

    #[test]
    fn a_code_that_is_too_full_or_not_full_is_none() {
        assert!(decoding_table(&[0x11; TABLE]).is_none());
        assert!(decoding_table(&[0; TABLE]).is_none());
    }

    proptest! {
        #[test]
        fn hostile_input_never_gives_more_than_was_asked_for(
            input in prop::collection::vec(any::<u8>(), 0..700),
            length in 0_usize..100_000,
        ) {
            for inflate in [plain, huffman] {
                let (output, used) = inflated(inflate, &input, length);
                prop_assert!(output.len() <= length && used <= input.len());
            }
        }

        #[test]
        fn literals_come_out_as_they_went_in(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let mut input = Vec::new();
            for literals in bytes.chunks(32) {
                input.extend([0; 4]);
                input.extend(literals);
            }
            prop_assert_eq!(inflated(plain, &input, bytes.len()), (bytes, input.len()));
        }
    }
}
