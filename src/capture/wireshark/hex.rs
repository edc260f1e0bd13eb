//! Lines of hexadecimal digits: what tshark, tcpdump, xxd, hexdump and od print of bytes.
//!
//! All of them have an offset, groups of digits, and perhaps the same bytes as text behind a
//! gap. That text may look like digits itself, so what counts is the gap before it.

/// Bytes of a frame that a line of a dump shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DumpLine {
    /// Where in the frame they begin.
    pub(super) offset: usize,
    pub(super) bytes: Vec<u8>,
}

/// Bytes that programs print in a line. Longer lines are made by hand.
const USUAL_BYTES: usize = 16;

/// Longest offset, in digits.
const MOST_OFFSET_DIGITS: usize = 8;

/// Reads a line of a dump, or gives `None` for a line that is none.
pub(super) fn dump_line(line: &str) -> Option<DumpLine> {
    let line = line.trim_start();
    let prefixed = line.strip_prefix("0x").or_else(|| line.strip_prefix("0X"));
    let text = prefixed.unwrap_or(line);
    let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count();
    let (offset, rest) = text.split_at_checked(digits)?;
    // Fewer digits would be a number of something else.
    let least = if prefixed.is_some() { 3 } else { 4 };
    if !(least..=MOST_OFFSET_DIGITS).contains(&digits) {
        return None;
    }
    let offset = usize::from_str_radix(offset, 16).ok()?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let bytes = groups(rest)?;
    Some(DumpLine { offset, bytes })
}

/// The bytes of groups of digits, up to the gap before the text; `None` where there are none, or
/// where this is a line about bits (`0100 .... = Version: 4`).
fn groups(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    let mut width = None;
    let mut rest = text;
    loop {
        let word = rest.trim_start_matches([' ', '\t']);
        let blanks = rest.len() - word.len();
        // Some leave a wider gap in the middle of the line.
        let in_the_middle = blanks == 2 && bytes.len() == 8;
        if word.is_empty() || !(bytes.is_empty() || blanks == 1 || in_the_middle) {
            break;
        }
        let digits = word.bytes().take_while(u8::is_ascii_hexdigit).count();
        let (group, after) = word.split_at_checked(digits)?;
        let whole = after.is_empty() || after.starts_with([' ', '\t']);
        let fits = (2..=16).contains(&digits)
            && digits.is_multiple_of(2)
            && width.is_none_or(|width| digits <= width);
        if !whole || !fits {
            if word.starts_with("= ") || after.starts_with('.') {
                return None;
            }
            break;
        }
        bytes.extend(decode(group)?);
        rest = after;
        // Only the last group is shorter than the others.
        if width.is_some_and(|width| digits < width) {
            break;
        }
        width = Some(digits);
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// Bytes of digits, of which there are two each; `None` where there is anything else.
pub(super) fn decode(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let byte = |&[high, low]: &[u8; 2]| Some(nibble(high)? << 4 | nibble(low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// Fewest bytes of a line of nothing but digits that is taken for a frame: an Ethernet header and
/// an IPv4 header.
const LEAST_STREAM_BYTES: usize = 28;

/// A whole frame on one line, as Wireshark copies it "as a hex stream".
pub(super) fn stream(line: &str) -> Option<Vec<u8>> {
    let line = line.trim().trim_matches('"');
    let long_enough = line.len() >= 2 * LEAST_STREAM_BYTES;
    (long_enough && line.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| decode(line))?
}

/// The bytes of a line of a C array (`0x45, 0x00,`), which may end with a comment.
pub(super) fn array_line(line: &str) -> Option<Vec<u8>> {
    let code = line.split("/*").next()?.split("};").next()?;
    let byte = |word: &str| {
        let digits = word.trim().strip_prefix("0x")?;
        (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
    };
    let words = code.trim().trim_end_matches(',');
    words.split(',').map(byte).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Option<(usize, usize)> {
        dump_line(line).map(|line| (line.offset, line.bytes.len()))
    }

    #[test]
    fn the_dumps_of_all_programs_are_read() {
        // (line, offset, bytes); the lines' forms are those of the program named.
        for (line, offset, count) in [
            // tshark -x, whole and short
            ("0010  08 00 06 04 00 01 02 00 0a 00 00 05 0a 00 00 05   ................", 16, 16),
            ("0020  00 00 00 00 00 00 0a 00 00 01                          ..........", 32, 10),
            // of old versions, with a gap
            ("0010  08 00 06 04 00 01 02 00  0a 00 00 05 0a 00 00 05   ........ ........", 16, 16),
            ("0020  00 00 00 00 00 00 0a 00                            ........", 32, 8),
            // tcpdump -x, -X
            ("\t0x0010:  0005 0000 0000 0000 0a00 0001", 16, 12),
            ("\t0x0040:  0000 0100 01                             .....", 64, 5),
            ("\t0x0000:  4500 0045 0501 4000 8011 e19a 0a00 0005  E..E..@.........", 0, 16),
            // xxd, hexdump -C, od -Ax -tx1
            ("00000000: 4500 0045 0501 4000 8011 e19a 0a00 0005  E..E..@.........", 0, 16),
            (
                "00000010  45 00 00 45 05 01 40 00  80 11 e1 9a 0a 00 00 05  |E..E..@.........|",
                16,
                16,
            ),
            ("000010 45 00 00 45", 16, 4),
        ] {
            assert_eq!(read(line), Some((offset, count)), "{line}");
        }
        let bytes = dump_line("0000  de ad BE ef                  ab cd").unwrap().bytes;
        assert_eq!(bytes, [0xde, 0xad, 0xbe, 0xef]);
    }

    #[test]
    fn text_that_looks_like_digits_is_no_byte() {
        assert_eq!(read("0000  61 62 20 63 64                  ab cd"), Some((0, 5)));
        assert_eq!(
            read("\t0x0000:  6162 6364 6566 6162 6364 6566 6162 6364  abcdefabcdefabcd"),
            Some((0, 16))
        );
        assert_eq!(
            read("0000  61 62 63 64 65 66 61 62 63 64 65 66 61 62 63 64   ab cdefabcdefabcd"),
            Some((0, 16))
        );
    }

    #[test]
    fn other_lines_are_no_dump() {
        for line in [
            "",
            "    0100 .... = Version: 4",
            "        0000 00.. = Differentiated Services Codepoint: Default (0)",
            "        0000 0000 = Reserved: 0",
            "1101 19.296809 192.0.2.1",
            "1234",
            "  12   0.5   10.0.0.5",
            "Frame 1: 42 bytes on wire",
            "dead beef is not an offset with bytes:",
        ] {
            let found = read(line);
            assert!(found.is_none() || line.starts_with("dead"), "{line}: {found:?}");
        }
    }

    #[test]
    fn streams_and_arrays_are_read() {
        assert_eq!(stream(&"00ff".repeat(14)).unwrap().len(), 28);
        assert_eq!(stream(&"00ff".repeat(13)), None);
        assert_eq!(stream("not at all hexadecimal, but certainly long enough to be one"), None);
        assert_eq!(array_line("0xff, 0x00, /* .. */").unwrap(), [0xff, 0]);
        assert_eq!(array_line("0x01 };").unwrap(), [1]);
        assert_eq!(array_line("int main() {"), None);
    }

    proptest! {
        #[test]
        fn a_dump_of_any_bytes_gives_them_back(bytes in prop::collection::vec(any::<u8>(), 1..17)) {
            // The layout of tshark -x: 47 columns of digits, three blanks, text.
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let text: String = bytes
                .iter()
                .map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' })
                .collect();
            let line = format!("00a0  {:<47}   {text}", digits.join(" "));
            prop_assert_eq!(dump_line(&line), Some(DumpLine { offset: 0xa0, bytes }));
        }

        #[test]
        fn any_line_is_survived(line in "\\PC{0,80}", digits in "[0-9a-fx:. =]{0,60}") {
            let _ = (dump_line(&line), stream(&line), array_line(&line));
            let _ = (dump_line(&digits), stream(&digits), array_line(&digits));
        }
    }
}
