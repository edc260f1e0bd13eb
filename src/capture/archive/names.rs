//! Names of members, in the encodings that archives have.

/// Letters of a name that are kept. No file system allows more bytes in a path.
const MOST_LETTERS: usize = 4096;

/// What the upper half of code page 437 holds: the encoding of names in zip archives that do not
/// say otherwise (APPNOTE.TXT, appendix D).
const CODE_PAGE_437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// A name that should be in UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(bytes))
}

/// A name in UTF-8, which many tools write without saying so, or else in code page 437.
pub(super) fn utf8_or_437(bytes: &[u8]) -> String {
    if let Ok(name) = std::str::from_utf8(bytes) {
        return shortened(name);
    }
    let upper =
        |byte: u8| CODE_PAGE_437.chars().nth(usize::from(byte & 0x7f)).unwrap_or('\u{fffd}');
    let letter = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { upper(*byte) };
    shortened(&bytes.iter().map(letter).collect::<String>())
}

fn shortened(name: &str) -> String {
    if name.is_empty() {
        return "(a file without a name)".to_owned();
    }
    match name.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}...", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_as_the_tools_wrote_them() {
        assert_eq!(utf8_or_437("Zürich.pcap".as_bytes()), "Zürich.pcap");
        assert_eq!(utf8_or_437(b"Z\x81rich.pcap"), "Zürich.pcap");
        assert_eq!(utf8_or_437(b"\xe1\xff"), "ß\u{a0}");
        assert_eq!(CODE_PAGE_437.chars().count(), 128);
        assert_eq!(utf8(b"a\xff"), "a\u{fffd}");
    }

    #[test]
    fn names_have_an_end() {
        assert_eq!(utf8(&[b'a'; 5000]).len(), 4096 + 3);
        assert_eq!(utf8(b""), "(a file without a name)");
    }
}
