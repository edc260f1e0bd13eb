//! Names files that we know and do not read, so that nobody has to wonder why.
//!
//! Only what is a capture, or may hold one, is named: a report, a log or a picture beside the
//! captures of a folder is no capture and nobody's trouble.

use crate::capture::byte_order::ByteOrder;
use crate::capture::error::Error;

const DECOMPRESS: &str = "decompress it and give the capture itself";
const UNPACK: &str = "unpack it and give the folder";
const CONVERT: &str = "convert it with Wireshark: editcap -F pcapng IN OUT";
const GIVE_THE_CAPTURE: &str = "give the capture that it was made from";

/// What begins with known bytes: where, which, what it is, what to do.
const BEGINNINGS: &[(usize, &[u8], &str, &str)] = &[
    (0, b"\x28\xb5\x2f\xfd", "a zstd file", DECOMPRESS),
    (0, b"\xfd7zXZ\0", "an xz file", DECOMPRESS),
    (0, b"BZh", "a bzip2 file", DECOMPRESS),
    (0, b"\x04\x22\x4d\x18", "an lz4 file", DECOMPRESS),
    (0, b"PK\x03\x04", "a zip archive", UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (0, b"MSCF\0\0\0\0", "a cabinet archive (as netsh trace makes)", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"TRSNIFF data    \x1a", "a Sniffer capture", CONVERT),
    (0, b"XCP\0", "a NetXray or Sniffer capture", CONVERT),
    (0, b"\x05VNF", "a Visual Networks capture", CONVERT),
    (0, b"\x7fver", "an OmniPeek capture", CONVERT),
    (0, b"iptrace ", "an AIX iptrace capture", CONVERT),
    (0, b"\x0f\0\0\0\x11\0", "an empty NetXray capture", CONVERT),
    (0, b"0xa1b2c3d4", "a text dump of a capture", GIVE_THE_CAPTURE),
];

/// Names the file that begins with `head`, or `None` where it is none that we know. `size` is
/// that of the whole file.
pub(super) fn recognise(head: &[u8], size: Option<u64>) -> Option<Error> {
    let found = BEGINNINGS.iter().find(|(offset, magic, _, _)| {
        head.get(*offset..).is_some_and(|bytes| bytes.starts_with(magic))
    });
    if let Some(&(_, _, what, advice)) = found {
        return Some(Error::NotReadYet { what, advice });
    }
    if is_event_trace(head, size) {
        return Some(Error::NotReadYet {
            what: "a Windows event trace (.etl, from netsh trace or pktmon)",
            advice: "convert it: pktmon etl2pcap IN.etl on Windows 10 and later, or etl2pcapng",
        });
    }
    recognise_text(head)
}

/// Whether this is an event trace. It has no magic: the header of its first buffer, and of the
/// first record in that, must be as they always are.
fn is_event_trace(head: &[u8], size: Option<u64>) -> bool {
    let order = ByteOrder::Little;
    let check = || {
        let stride = order.u32(head, 0)?;
        let buffer_type = order.u16(head, 0x36)?;
        let [_, _, kind, marker] = *head.get(0x48..)?.first_chunk()?;
        let buffer_size = order.u32(head, 0x48 + 0x20)?;
        Some(
            (0x100..=0x400_0000).contains(&stride)
                && size.is_none_or(|size| u64::from(stride) <= size)
                && buffer_type == 4
                && matches!(kind, 1 | 2)
                && marker == 0xc0
                && buffer_size >= stride,
        )
    };
    check().unwrap_or(false)
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
    if has("<pdml") {
        return named("a packet list in XML (PDML)", GIVE_THE_CAPTURE);
    }
    if has("<psml") {
        return named("a packet list in XML (PSML)", GIVE_THE_CAPTURE);
    }
    if has("\"layers\"") && (has("\"_source\"") || has("\"_index\"") || has("\"frame\"")) {
        return named("a packet list in JSON", GIVE_THE_CAPTURE);
    }
    if has("Flags=") && has("SrcPort=") && has("DstPort=") {
        return named("text copied from Network Monitor", GIVE_THE_CAPTURE);
    }
    if has("PktGroupId") && has("Appearance") {
        return named(
            "text made by pktmon",
            "give the capture: pktmon etl2pcap IN.etl makes one from the .etl",
        );
    }
    let list = ["No.", "Time", "Source", "Destination", "Protocol", "Length"];
    if list.iter().all(|title| has(title)) {
        return named("a packet list saved as text by Wireshark", GIVE_THE_CAPTURE);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(head: &[u8]) -> Option<String> {
        recognise(head, None).map(|error| error.to_string())
    }

    #[test]
    fn compressed_and_packed_files_are_named_with_what_to_do() {
        assert_eq!(
            named(b"\x28\xb5\x2f\xfd").unwrap(),
            "this is a zstd file, which portmortem does not read yet; decompress it and give \
             the capture itself"
        );
        let mut tar = vec![0; 257];
        tar.extend(b"ustar\x0000");
        assert!(named(&tar).unwrap().contains("a tar archive"));
    }

    #[test]
    fn text_made_from_a_capture_is_named_in_any_encoding() {
        let row = "TCP:Flags=......S., SrcPort=52702, DstPort=LDAP(389), PayloadLen=0";
        assert!(named(row.as_bytes()).unwrap().contains("Network Monitor"));
        let utf16: Vec<u8> = row.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(named(&utf16).unwrap().contains("Network Monitor"));
    }

    #[test]
    fn a_report_is_known_and_no_capture() {
        let report = b"{\n  \"schema\": \"portmortem.report/1\",";
        assert!(recognise(report, None).unwrap().is_no_capture());
        let sniffer = recognise(b"XCP\0", None).unwrap();
        assert!(!sniffer.is_no_capture());
    }

    #[test]
    fn logs_and_other_files_are_not_named() {
        for text in ["", "hello", "<xml/>", "{\"a\": 1}", "ERROR: SQL Server port 1433 Flags="] {
            assert_eq!(named(text.as_bytes()), None, "{text}");
        }
        assert_eq!(named(&[0; 4096]), None);
    }

    #[test]
    fn an_event_trace_is_told_by_its_first_buffer() {
        let mut buffer = vec![0; 0x1000];
        buffer[..4].copy_from_slice(&0x1000_u32.to_le_bytes());
        buffer[0x36] = 4;
        buffer[0x4a] = 2;
        buffer[0x4b] = 0xc0;
        buffer[0x68..0x6c].copy_from_slice(&0x1000_u32.to_le_bytes());
        assert!(named(&buffer).unwrap().contains("event trace"));
        buffer[0x4b] = 0xc1;
        assert_eq!(named(&buffer), None);
    }
}
