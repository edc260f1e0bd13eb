//! Names files that we know and do not read, so that nobody has to wonder why.
//!
//! Only what is a capture, or may hold one, is named: a report, a log or a picture beside the
//! captures of a folder is no capture and nobody's trouble.

use crate::capture::error::Error;

const DECOMPRESS: &str = "decompress it and give the capture itself";
const UNPACK: &str = "unpack it and give the folder";
const CONVERT: &str = "convert it with Wireshark: editcap -F pcapng IN OUT";
const GIVE_THE_CAPTURE: &str = "give the capture that it was made from";

/// What begins with known bytes: where, which, what it is, what to do.
const BEGINNINGS: &[(usize, &[u8], &str, &str)] = &[
    (0, b"\x1f\x9d", "a file of compress (.Z)", DECOMPRESS),
    (0, b"\x02\x21\x4c\x18", "a file of lz4 before version 1.4", DECOMPRESS),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (0, b"TRSNIFF data    \x1a", "a Sniffer capture", CONVERT),
    (0, b"XCP\0", "a NetXray or Sniffer capture", CONVERT),
    (0, b"\x05VNF", "a Visual Networks capture", CONVERT),
    (0, b"\x7fver", "an OmniPeek capture", CONVERT),
    (0, b"iptrace ", "an AIX iptrace capture", CONVERT),
    (0, b"\x0f\0\0\0\x11\0", "an empty NetXray capture", CONVERT),
    (0, b"0xa1b2c3d4", "a text dump of a capture", GIVE_THE_CAPTURE),
];

/// Names the file that begins with `head`, or `None` where it is none that we know.
pub(super) fn recognise(head: &[u8]) -> Option<Error> {
    let found = BEGINNINGS.iter().find(|(offset, magic, _, _)| {
        head.get(*offset..).is_some_and(|bytes| bytes.starts_with(magic))
    });
    if let Some(&(_, _, what, advice)) = found {
        return Some(Error::NotReadYet { what, advice });
    }
    recognise_text(head)
}

/// Names text that was made from a capture. The words looked for do not occur together in a log
/// or a manual.
fn recognise_text(head: &[u8]) -> Option<Error> {
    // UTF-16, as Windows' clipboard and PowerShell write it, is close enough to ASCII.
    let text: Vec<u8> = head.iter().copied().filter(|byte| !matches!(byte, 0 | b'\r')).collect();
    let named = |what, advice| Some(Error::NotReadYet { what, advice });
    let has = |word: &str| text.windows(word.len()).any(|window| window == word.as_bytes());
    if has("\"portmortem.report/") {
        return Some(Error::Report);
    }
    if columns_without_titles(&text) {
        return named(
            "a table without titles, as tshark's -T fields prints it",
            "export it again with -E header=y, or give the capture that it was made from",
        );
    }
    None
}

/// Whether the first line is a row of columns with the addresses of two hosts.
fn columns_without_titles(text: &[u8]) -> bool {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let is_address = |cell: &&str| cell.trim_matches('"').parse::<std::net::IpAddr>().is_ok();
    [',', ';', '\t'].into_iter().any(|separator| {
        let cells = line.split(separator);
        cells.clone().count() > 3 && cells.filter(is_address).count() >= 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(head: &[u8]) -> Option<String> {
        recognise(head).map(|error| error.to_string())
    }

    #[test]
    fn packed_files_are_named_with_what_to_do() {
        assert_eq!(
            named(b"7z\xbc\xaf\x27\x1c").unwrap(),
            "this is a 7z archive, which portmortem does not read yet; unpack it and give the folder"
        );
    }

    #[test]
    fn a_table_without_titles_is_named_with_what_to_do() {
        let row = b"1\t10.0.0.5\t10.1.0.10\t50021\t445\n";
        assert!(named(row).unwrap().contains("-E header=y"));
        let utf16: Vec<u8> = row.iter().flat_map(|byte| [*byte, 0]).collect();
        assert!(named(&utf16).unwrap().contains("-E header=y"));
        assert_eq!(named(b"10.0.0.5 called 10.1.0.10, or so they say"), None);
    }

    #[test]
    fn a_report_is_known_and_no_capture() {
        let report = b"{\n  \"schema\": \"portmortem.report/1\",";
        assert!(recognise(report).unwrap().is_no_capture());
        let sniffer = recognise(b"XCP\0").unwrap();
        assert!(!sniffer.is_no_capture());
    }

    #[test]
    fn logs_and_other_files_are_not_named() {
        for text in ["", "hello", "<xml/>", "{\"a\": 1}", "ERROR: SQL Server port 1433 Flags="] {
            assert_eq!(named(text.as_bytes()), None, "{text}");
        }
        assert_eq!(named(&[0; 4096]), None);
    }
}
