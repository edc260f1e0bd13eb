//! Reads the text files that a user writes: matrices and roles.

use anyhow::{Context, Result, bail};

/// Reads a text file. `what` it is, for messages.
///
/// UTF-8 or, with a byte order mark, UTF-16: what `>` writes in Windows PowerShell, and Notepad
/// as "Unicode".
pub(super) fn read(path: &str, what: &str) -> Result<String> {
    let bytes =
        std::fs::read(path).with_context(|| format!("{path}: the {what} cannot be read"))?;
    match decoded(bytes) {
        Some(text) => Ok(text),
        None => bail!("{path}: the {what} is no text in UTF-8: save it in that encoding"),
    }
}

fn decoded(bytes: Vec<u8>) -> Option<String> {
    let utf16 = |units: &[u8], number: fn([u8; 2]) -> u16| {
        let (pairs, rest) = units.as_chunks();
        let units: Vec<u16> = pairs.iter().map(|pair| number(*pair)).collect();
        String::from_utf16(&units).ok().filter(|_| rest.is_empty())
    };
    match bytes.as_slice() {
        [0xff, 0xfe, units @ ..] => utf16(units, u16::from_le_bytes),
        [0xfe, 0xff, units @ ..] => utf16(units, u16::from_be_bytes),
        _ => String::from_utf8(bytes).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_the_encodings_that_windows_writes() {
        let text = "title = \"Zürich\"\n";
        let little = text.encode_utf16().flat_map(u16::to_le_bytes);
        let big = text.encode_utf16().flat_map(u16::to_be_bytes);
        for bytes in [
            text.as_bytes().to_vec(),
            [0xff, 0xfe].into_iter().chain(little).collect(),
            [0xfe, 0xff].into_iter().chain(big).collect(),
        ] {
            assert_eq!(decoded(bytes).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for bytes in [&b"Z\xfcrich"[..], b"\xff\xfea", b"\xff\xfe\x00\xd8"] {
            assert_eq!(decoded(bytes.to_vec()), None);
        }
    }
}
