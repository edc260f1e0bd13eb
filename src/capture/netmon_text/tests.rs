//! Whole texts, in the shapes in which they are found. All of them are made up.

use super::*;
use crate::capture::Reading;
use crate::capture::tests::{problems, read};
use crate::net::{FrameNumber, Time};
use proptest::prelude::*;

/// A row as one line: number, line, flags and ports, path.
fn shown(bytes: &[u8]) -> Vec<String> {
    let (frames, _) = read(bytes);
    frames
        .iter()
        .map(|(number, _, _, bytes, _)| {
            let row = Row::read(bytes).unwrap();
            let (what, path) = match row.content {
                RowContent::Segment { path, segment } => {
                    (format!("tcp {:02x} +{}", segment.flags, segment.length), path)
                }
                RowContent::Datagram { path, length } => (format!("udp +{length}"), path),
                RowContent::IcmpError { .. } => return format!("{number} icmp error"),
                RowContent::Other(other) => return format!("{number} {other:?}"),
            };
            format!("{number} {what} {} > {}", path.source, path.destination)
        })
        .collect()
}

fn opens(bytes: &[u8]) -> bool {
    let source = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let opened = crate::capture::open_source(source, "trial", Reading::default());
    opened.is_ok_and(|reader| reader.finish().format.as_deref() == Some("Network Monitor text"))
}

const SYN: &str = "SrcPort=51000, DstPort=LDAP(389), PayloadLen=0, Seq=7001, Ack=0, Win=8192 ( \
                   Negotiating scale factor 0x8 ) = 8192 {TCP:5, IPv4:2}";
const RESET: &str = "SrcPort=LDAP(389), DstPort=51000, PayloadLen=0, Seq=0, Ack=7002, Win=0 \
                     {TCP:5, IPv4:2}";

const CALL: &str = "tcp 02 +0 [IPv4:2 initiator]:51000 > [IPv4:2 responder]:389";
const REFUSAL: &str = "tcp 14 +0 [IPv4:2 responder]:389 > [IPv4:2 initiator]:51000";

#[test]
fn an_article_yields_its_rows_and_nothing_of_its_prose() {
    let text = format!(
        "A story\n\nThe SYN (Flags=…A..S. and Flags=…A….) has no answer. TCP 389 (LDAP)\n\n\
         Tcp: Flags=......S., {SYN}\n\
          TCP TCP:[SynReTransmit #101]Flags=......S., {SYN}\n\n\
         It means: see https://example.org/x?Flags=1\n\
         TCP:Flags=……S., {SYN} TCP:Flags=…A.R.., {RESET}\n"
    );
    assert_eq!(
        shown(text.as_bytes()),
        [format!("1 {CALL}"), format!("2 {CALL}"), format!("3 {CALL}"), format!("4 {REFUSAL}")]
    );
    let (_, summary) = read(text.as_bytes());
    assert_eq!(summary.lines_not_understood, 0);
    assert_eq!(
        problems(&summary),
        [
            (
                Severity::Info,
                "the rows tell no times: how long an answer was waited for is not known",
                0,
                0
            ),
            (
                Severity::Info,
                "the text tells no frame numbers: rows are numbered by their place, from 1; JSON \
                 and --verbose tell the line of each row that decides a verdict",
                0,
                0
            ),
        ]
    );
}

#[test]
fn every_encoding_is_read_alike() {
    let text = format!("TCP:Flags=…..S., {SYN}\r\nTCP:Flags=…A.R.., {RESET}\r\n");
    let expected = [format!("1 {CALL}"), format!("2 {REFUSAL}")];
    let utf16 = |units: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(units).collect()
    };
    let windows: Vec<u8> = text
        .chars()
        .map(|letter| if letter == '…' { 0x85 } else { u8::try_from(letter).unwrap() })
        .collect();
    for bytes in [
        text.clone().into_bytes(),
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        windows,
    ] {
        assert_eq!(shown(&bytes), expected);
    }
}

#[test]
fn rows_with_cells_have_hosts_times_and_numbers() {
    for between in ["\t", "   ", " "] {
        let cells = ["101", "7:34:33 PM 11/18/2019", "2.2623281", "lsass.exe", "CAS", "DC1", "TCP"];
        let first = format!("{}{between}TCP:Flags=......S., {SYN}", cells.join(between));
        let cells = ["108", "7:34:36 PM 11/18/2019", "5.2623281", "lsass.exe", "DC1", "CAS", "TCP"];
        let second = format!("{}{between}TCP:Flags=...A.R.., {RESET}", cells.join(between));
        let text = format!("{first}\n{second}\n");
        assert_eq!(
            shown(text.as_bytes()),
            ["101 tcp 02 +0 CAS:51000 > DC1:389", "108 tcp 14 +0 DC1:389 > CAS:51000"],
            "{between:?}"
        );
        let (frames, summary) = read(text.as_bytes());
        let times: Vec<String> = frames
            .iter()
            .map(|frame| {
                let at = Timestamp::from_nanoseconds(frame.1.unwrap().into()).unwrap();
                Time { at, clock: summary.clock }.to_string()
            })
            .collect();
        assert_eq!(times, ["2019-11-18T19:34:33", "2019-11-18T19:34:36"]);
        assert_eq!(summary.problems, []);
    }
}

#[test]
fn times_without_a_date_are_said_to_have_none() {
    let text = format!("1 00:59:30.0738430 10.0.0.5 10.0.0.9 TCP TCP:Flags=......S., {SYN}");
    let (frames, summary) = read(text.as_bytes());
    assert_eq!(frames[0].1, Some(3_570_073_843_000));
    assert_eq!(summary.clock, Clock { digits: 7, zone_known: false });
    assert!(summary.problems[0].message.contains("no date: times are shown as of 1970-01-01"));
}

#[test]
fn markup_tables_quotes_and_csv_are_taken_off() {
    let row = format!("TCP:Flags=......S., {SYN}");
    for text in [
        format!("> > 66 10.0.0.5 10.0.0.9 TCP {row}"),
        format!("| 66 | CAS | DC1 | TCP | {row} |"),
        format!("<tr><td>66</td><td>CAS</td><td>DC1</td><td>TCP</td><td>{row}</td></tr>"),
        format!("<p>66&nbsp;CAS DC1 TCP <span>TCP:Flags</span>=&#8230;&#8230;S.,{SYN}</p>"),
        format!("\"66\",\"CAS\",\"DC1\",\"TCP\",\"{row}\""),
        format!("66 CAS DC1 TCP TCP:Flags=\\......S\\., {SYN}"),
    ] {
        let found = shown(text.as_bytes());
        assert_eq!(found.len(), 1, "{text}");
        assert!(found[0].starts_with("66 tcp 02 +0 "), "{text}: {found:?}");
        assert!(found[0].ends_with(":389") && !found[0].contains("IPv4"), "{text}: {found:?}");
    }
}

#[test]
fn protocols_above_tcp_are_payload_of_their_conversation() {
    let text = "TCP:Flags=......S., SrcPort=50100, DstPort=DCE endpoint resolution(135), Seq=1, Ack=0, Win=9 {TCP:36, IPv4:7}\n\
        MSRPC MSRPC:c/o Bind: IX(Y) UUID{99FCFEC4-5260-101B} Call=0x2 {MSRPC:37, TCP:36, IPv4:7}\n\
        MSRPC MSRPC:c/o Bind Ack: IX(Y) UUID{99FCFEC4-5260-101B} Call=0x2 {MSRPC:37, TCP:36, IPv4:7}\n\
        LDAP LDAP:Search Request, MessageID: 3 {LDAP:9, TCP:8, IPv4:7}\n";
    assert_eq!(
        shown(text.as_bytes()),
        [
            "1 tcp 02 +0 [IPv4:7 initiator]:50100 > [IPv4:7 responder]:135",
            "2 tcp 18 +1 [IPv4:7 initiator]:50100 > [IPv4:7 responder]:135",
            "3 tcp 18 +1 [IPv4:7 responder]:135 > [IPv4:7 initiator]:50100",
            // Its conversation was not seen, and LDAP is on several ports.
            "4 NoPorts",
        ]
    );
}

#[test]
fn datagrams_are_read_with_their_ports_or_by_their_protocol() {
    let text = "UDP:SrcPort = 53141, DstPort = DNS(53), Length = 40 {UDP:3, IPv4:1}\n\
        DNS DNS:QueryId = 0x1, QUERY (Standard query), Response - Success {DNS:4, UDP:3, IPv4:1}\n\
        KerberosV5 KerberosV5: {UDP:69, IPv4:13}\n\
        66 CAS DC1 DNS:QueryId = 0x1234, QUERY (Standard query), Query  for x\n\
        NbtNs NbtNs:Query Request for X   <0x1C> Domain Controllers {UDP:9, IPv4:2}\n\
        ARP\tARP:Request, 10.0.0.5 asks for 10.0.0.9\n";
    assert_eq!(
        shown(text.as_bytes()),
        [
            "1 udp +32 [IPv4:1 initiator]:53141 > [IPv4:1 responder]:53",
            "2 udp +1 [IPv4:1 responder]:53 > [IPv4:1 initiator]:53141",
            "3 udp +1 [IPv4:13 initiator]:? > [IPv4:13 responder]:88",
            "4 udp +1 CAS:? > DC1:53",
            "5 udp +1 [IPv4:2 initiator]:? > [IPv4:2 responder]:137",
            "6 Arp",
        ]
    );
}

#[test]
fn the_detail_pane_tells_number_and_addresses_before_the_segment() {
    let text = "  Frame: Number = 231, Captured Frame Length = 66, MediaType = ETHERNET\n\
        + Ethernet: Etype = Internet IP (IPv4),DestinationAddress:[02-00],SourceAddress:[02-01]\n\
        + Ipv4: Src = 10.0.0.5, Dest = 10.1.0.10, Next Protocol = TCP, Packet ID = 77, Total IP Length = 52\n\
        - Tcp: Flags=......S., SrcPort=50100, DstPort=HTTP(80), PayloadLen=0, Seq=7, Ack=0, Win=8192\n\
            SrcPort: 50100\n\
            SequenceNumber: 7 (0x7)\n";
    assert_eq!(shown(text.as_bytes()), ["231 tcp 02 +0 10.0.0.5:50100 > 10.1.0.10:80"]);
    let (frames, _) = read(text.as_bytes());
    assert_eq!(Row::read(&frames[0].3).unwrap().ip_id, Some(77));
}

#[test]
fn what_looks_like_a_row_and_cannot_be_read_is_kept() {
    let text =
        format!("TCP:Flags=......S., {SYN}\n\nTCP:Flags=......S., SrcPort=51000, DstPort=DCE en\n");
    let (frames, summary) = read(text.as_bytes());
    assert_eq!(frames.len(), 1);
    assert_eq!(summary.lines_not_understood, 1);
    assert_eq!(summary.not_understood[0].line, 3);
    assert!(summary.not_understood[0].text.starts_with("TCP:Flags"));
    let told = problems(&summary).iter().any(|problem| {
        problem.1 == "1 text looks like a row of Network Monitor and could not be read (line 3): --verbose shows it"
    });
    assert!(told, "{:?}", summary.problems);
}

#[test]
fn rows_without_hosts_and_conversation_are_said_to_be_so() {
    let text = "TCP:Flags=......S., SrcPort=51000, DstPort=LDAP(389), PayloadLen=0, Seq=7, Ack=0";
    assert_eq!(
        shown(text.as_bytes()),
        ["1 tcp 02 +0 [unnamed IPv4 initiator]:51000 > [unnamed IPv4 responder]:389"]
    );
    let (_, summary) = read(text.as_bytes());
    let told = "1 of 1 rows tell neither hosts nor a conversation of hosts";
    assert!(summary.problems.iter().any(|problem| problem.message.starts_with(told)));
}

#[test]
fn line_and_description_stay_with_each_row() {
    let text = format!("x\n\nTCP:[SynReTransmit #9]Flags=......S., {SYN}\n");
    let (frames, _) = read(text.as_bytes());
    let row = Row::read(&frames[0].3).unwrap();
    assert_eq!(row.line, 3);
    assert!(row.note.starts_with("TCP:[SynReTransmit #9]Flags=......S., SrcPort=51000, Dst"));
    assert_eq!(row.number, None::<FrameNumber>);
    let RowContent::Segment { segment, .. } = row.content else { panic!("{row:?}") };
    assert_eq!(segment.repeat, RowRepeat::Retransmitted);
    assert_eq!(segment.seq, RowNumber::Wire(7001));
}

#[test]
fn other_texts_are_not_taken_for_rows() {
    for text in [
        "hello",
        "The flags (Flags=......S.) and SrcPort are explained below",
        "ERROR: SQL Server port 1433 Flags=",
        "{\"schema\": \"portmortem.report/1\", \"text\": \"TCP:Flags=......S., SrcPort=1, DstPort=2, \"}",
        "IPv4: yes\nIPv6: no\n",
        "Note: {IPv4:5} is a conversation, and IPv4: is a word",
    ] {
        assert!(!opens(text.as_bytes()), "{text}");
    }
    assert!(opens(format!("TCP:Flags=......S., {SYN}").as_bytes()));
}

fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "TCP:Flags=......S., SrcPort=1, DstPort=2, Seq=3, Ack=0, Win=5 {TCP:1, IPv4:2}",
            "TCP:Flags=",
            "UDP:SrcPort = 5, DstPort = 6, Length = 7",
            "KerberosV5:",
            "{TCP:1, IPv4:2}",
            "Frame: Number = 5,",
            "+ Ipv4: Src = 1.2.3.4, Dest = 5.6.7.8, Packet ID = 7,",
            "\n",
            "\t",
            "  ",
            " ",
            "101",
            "7:34:33 AM",
            "DC1",
            "…",
            "&#8230;",
            "<td>",
            "</p>",
            "\"",
            "|",
            "[",
            "]",
            "SrcPort=",
            "DstPort=",
            "(",
            ")",
            "{",
            "}",
            "Seq=4294967295,",
            "-",
            "> ",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_stops_the_reader_and_none_is_lost(text in hostile_text()) {
        // The first row makes it a text of rows.
        let text = format!("TCP:Flags=......S., {SYN}\n{text}");
        let (frames, summary) = read(text.as_bytes());
        prop_assert!(!frames.is_empty());
        for frame in &frames {
            let row = Row::read(&frame.3).unwrap();
            prop_assert!(text.lines().count() >= row.line as usize);
        }
        prop_assert!(summary.not_understood.len() as u64 <= summary.lines_not_understood);
    }

    #[test]
    fn a_row_cut_anywhere_is_read_or_counted(cut in 0_usize..170) {
        // Behind the beginning that makes it a row.
        let row = format!("TCP:Flags=......S., {SYN}");
        let end = cut.clamp("TCP:Flags=......S., SrcPort=".len(), row.len());
        let text = format!("TCP:Flags=......S., {SYN}\n{}", &row[..end]);
        let (frames, summary) = read(text.as_bytes());
        prop_assert_eq!(frames.len() as u64 - 1 + summary.lines_not_understood, 1);
    }
}
