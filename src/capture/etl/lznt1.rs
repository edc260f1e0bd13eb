//! LZNT1, as [MS-XCA] 2.5 describes it: chunks of 4 KiB, each on its own.
//!
//! Stops as the functions of [`super::xpress`] do.

use crate::capture::byte_order::ByteOrder;
use crate::capture::etl::xpress::repeat;

/// Bytes that a chunk inflates to.
const CHUNK: usize = 4096;

/// Inflates into at most `length` bytes; gives the number of input bytes that were used.
pub(super) fn inflate(input: &[u8], length: usize, output: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while output.len() < length {
        let Some(header) = ByteOrder::Little.u16(input, at).filter(|header| *header != 0) else {
            break;
        };
        let start = at + 2;
        let end = start.saturating_add(usize::from(header & 0x0fff) + 1);
        let data = input.get(start..).unwrap_or_default();
        let data = data.get(..end - start).unwrap_or(data);
        // Bits 12 to 14 are always 3.
        if header >> 12 & 7 != 3 {
            break;
        }
        let limit = length.min(output.len().saturating_add(CHUNK));
        at = start + data.len();
        if header & 0x8000 == 0 {
            output.extend(data.iter().take(limit - output.len()));
        } else if chunk(data, limit, output).is_none() {
            break;
        }
    }
    at
}

/// Inflates one chunk; `None` where it makes no sense.
fn chunk(data: &[u8], limit: usize, output: &mut Vec<u8>) -> Option<()> {
    let begin = output.len();
    let mut at = 0;
    while at < data.len() {
        let flags = *data.get(at)?;
        at += 1;
        for flag in 0..8 {
            if at >= data.len() || output.len() >= limit {
                break;
            }
            if flags >> flag & 1 == 0 {
                output.push(*data.get(at)?);
                at += 1;
                continue;
            }
            let token = usize::from(ByteOrder::Little.u16(data, at)?);
            at += 2;
            // The further into the chunk, the more bits the distance has, and the fewer the count.
            let written = output.len() - begin;
            let distance_bits =
                (written.max(1) - 1).checked_ilog2().map_or(4, |log| log + 1).max(4);
            let count_bits = 16_u32.checked_sub(distance_bits)?;
            let distance = (token >> count_bits) + 1;
            let count = token & ((1 << count_bits) - 1);
            if distance > written {
                return None;
            }
            repeat(output, distance, count + 3, limit)?;
        }
        if output.len() >= limit {
            break;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inflated(input: &[u8], length: usize) -> (Vec<u8>, usize) {
        let mut output = Vec::new();
        let used = inflate(input, length, &mut output);
        (output, used)
    }

    #[test]
    fn the_example_of_the_specification_comes_out() {
        // [MS-XCA] 3.3.
        let input = *b"\x38\xb0\x88F# \x00 G A\x00\x10\xa2G\x01\xa0E D\x00\x08E\x01\x50\x79\x00\
                       \xc0E \x05\x24\x13\x88\x05\xb4\x02JD\xef\x03X\x02\x8c\x09\x16\x01HE\x00\xbe\
                       \x00\x9e\x00\x04\x01\x18\x90\x00";
        let tune = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D \
                    E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D\0";
        let (output, used) = inflated(&input, tune.len());
        assert_eq!(String::from_utf8_lossy(&output), tune);
        assert_eq!(used, input.len());
    }

    #[test]
    fn chunks_follow_each_other_and_may_be_stored() {
        // Stored: "abc"; compressed: one literal and a match of its distance 1 and count 3.
        let input = *b"\x02\x30abc\x03\xb0\x02d\x00\x00\x00\x00";
        assert_eq!(inflated(&input, 7), (b"abcdddd".to_vec(), 11));
    }

    proptest! {
        #[test]
        fn hostile_input_never_gives_more_than_was_asked_for(
            input in prop::collection::vec(any::<u8>(), 0..700),
            length in 0_usize..20_000,
        ) {
            let (output, used) = inflated(&input, length);
            prop_assert!(output.len() <= length && used <= input.len());
        }
    }
}
