//! Single lines, as they are found. All of them are made up.

use super::*;
use crate::net::{Network, Transport};
use proptest::prelude::*;

fn one(line: &str) -> Record<'_> {
    match find_in(line).as_slice() {
        [Found::Record(record)] => record.clone(),
        other => panic!("{line}: {other:?}"),
    }
}

fn segment_of(line: &str) -> ((u16, u16), RowSegment) {
    let Body::Segment { ports, segment } = one(line).body else { panic!("{line}") };
    (ports, segment)
}

const SYN: &str = "SrcPort=51000, DstPort=LDAP(389), PayloadLen=0, Seq=1000, Ack=0, Win=8192 \
                   ( Negotiating scale factor 0x8 ) = 8192 {TCP:5, IPv4:2}";

#[test]
fn a_segment_is_read_with_all_its_fields() {
    let line = format!("TCP:Flags=......S., {SYN}");
    let (ports, segment) = segment_of(&line);
    assert_eq!(ports, (51000, 389));
    assert_eq!(
        segment,
        RowSegment {
            flags: 2,
            seq: RowNumber::Wire(1000),
            ack: RowNumber::Wire(0),
            window: Some(8192),
            length: 0,
            repeat: RowRepeat::Unsaid
        }
    );
    let told = one(&line).conversations;
    assert_eq!(told.ports, Some((Transport::Tcp, 5)));
    assert_eq!(told.hosts, Some((Network::V4, 2)));
}

#[test]
fn the_beginning_may_look_in_many_ways() {
    for beginning in [
        "Tcp: Flags=......S., ",
        "TCP:Flags=......S., ",
        "TCP: Flags = ......S., ",
        "TCP:[Bad CheckSum]Flags=......S., ",
        "TCP: [Bad CheckSum]Flags=......S., ",
        "TCP:[SynReTransmit #12]Flags=......S., ",
        "TCP:[SynReTransmit #12] Flags=......S., ",
        "TCP:[Segment Lost] [Bad CheckSum]Flags=......S.,",
        "Flags=......S. ",
        "TCP:Flags=......S.",
        "TCP:Flags: ......S., ",
    ] {
        let line = format!("DC TCP {beginning}{SYN}");
        let (ports, segment) = segment_of(&line);
        assert_eq!((ports, segment.flags), ((51000, 389), 2), "{beginning}");
        let retransmitted = beginning.contains("ReTransmit");
        assert_eq!(segment.repeat == RowRepeat::Retransmitted, retransmitted, "{beginning}");
        assert_eq!(one(&line).left, "DC TCP ", "{beginning}");
    }
}

#[test]
fn the_end_may_look_in_many_ways() {
    let begin = "TCP:Flags=...A...., SrcPort=Microsoft Global Catalog (LDAP)(3268), DstPort=";
    for (end, ack, window) in [
        (
            "51000, PayloadLen=0, Seq=7, Ack=9, Win=512 (scale factor 0x8) = 131072",
            Some(9),
            Some(512),
        ),
        ("51000, PayloadLen=0, Seq=7, Ack=9, Win=8192 (  ) = 8192", Some(9), Some(8192)),
        ("51000, PayloadLen=0, Seq=7, Ack=9, Win=0 {TCP:1, IPv4:2}", Some(9), Some(0)),
        ("51000, PayloadLen=0, Seq=7, Ack=9", None, None),
        ("51000, PayloadLen=0, Seq=7, Ack=9,", Some(9), None),
        ("51000, PayloadLen=0, Seq=7, Ac", None, None),
        ("51000 PayloadLen=0 Seq=7 Ack=9 Win=5 {TCP:1, IPv4:2}", Some(9), Some(5)),
        ("51000,PayloadLen=0,Seq=7,Ack=9,Win=5{TCP:1,IPv4:2}", Some(9), Some(5)),
        ("51000 (0xC738), PayloadLen=0, Seq=7 - 8, Ack=9, Win=5 ", Some(9), Some(5)),
    ] {
        let line = format!("{begin}{end}");
        let (ports, segment) = segment_of(&line);
        assert_eq!(ports, (3268, 51000), "{end}");
        assert_eq!(segment.seq, RowNumber::Wire(7), "{end}");
        assert_eq!(segment.ack, ack.map_or(RowNumber::Untold, RowNumber::Wire), "{end}");
        assert_eq!(segment.window, window, "{end}");
    }
}

#[test]
fn several_records_in_a_line_come_apart() {
    let line = "TCP:Flags=......S., SrcPort=51000, DstPort=LDAP(389), Seq=5, Ack=0, Win=1 {TCP:1, IPv4:2} \
                7 A B TCP TCP:Flags=...A.R.., SrcPort=LDAP(389), DstPort=51000, Seq=0, Ack=6, Win=0 {TCP:1, IPv4:2}";
    let found = find_in(line);
    assert_eq!(found.len(), 2);
    let Found::Record(second) = &found[1] else { panic!() };
    assert_eq!(second.left.trim(), "7 A B TCP");
    // And without anything between them but their own fields.
    let line = line.replace(" {TCP:1, IPv4:2}", "");
    let found = find_in(&line);
    assert_eq!(found.len(), 2);
    let Found::Record(second) = &found[1] else { panic!() };
    assert_eq!(second.left.trim(), "7 A B TCP");
    assert!(matches!(second.body, Body::Segment { ports: (389, 51000), .. }));
}

#[test]
fn datagrams_have_blanks_around_their_signs() {
    for line in [
        "UDP:SrcPort = 53141, DstPort = DNS(53), Length = 166 {UDP:3, IPv4:1}",
        "+ Udp: SrcPort = 53141, DstPort = DNS(53), Length = 166",
        "UDP UDP:[Bad CheckSum]SrcPort=53141, DstPort=DNS(53), Length=166",
    ] {
        // 8 of them are the header's.
        let body = Body::Datagram { ports: (53141, 53), length: 158 };
        assert_eq!(one(line).body, body, "{line}");
    }
}

#[test]
fn other_protocols_need_a_conversation_or_a_known_name() {
    let record =
        one("MSRPC MSRPC:c/o Bind: If(Svc) UUID{99FC-1} Call=0x2 {MSRPC:3, TCP:2, IPv4:1}");
    assert_eq!(
        record.body,
        Body::Other { protocol: "MSRPC", says: "c/o Bind: If(Svc) UUID{99FC-1} Call=0x2" }
    );
    assert_eq!(record.left.trim(), "MSRPC");
    assert_eq!(record.conversations.ports, Some((Transport::Tcp, 2)));
    let record = one("KerberosV5 KerberosV5: {UDP:69, IPv4:13}");
    assert_eq!(record.body, Body::Other { protocol: "KerberosV5", says: "" });
    let record = one("7:34:33 AM fe80::1 fe80::2 XYZ:hello {UDP:69, IPv6:13}");
    assert_eq!(record.body, Body::Other { protocol: "XYZ", says: "hello" });
    let record = one("66 DC1 DC2 DNS:QueryId = 0x1, QUERY (Standard query), Query  for x");
    assert_eq!(record.left, "66 DC1 DC2 ");
}

#[test]
fn a_segment_without_ports_needs_its_conversation() {
    let record = one("TCP:Flags=...A..S., Seq=7, Ack=9, Win=5 {TCP:1, IPv4:2}");
    assert!(matches!(record.body, Body::SegmentOnly(RowSegment { flags: 0x12, .. })));
    let line = "TCP:Flags=...A..S., Seq=7, Ack=9";
    assert!(matches!(find_in(line).as_slice(), [Found::NotUnderstood(_)]));
}

#[test]
fn prose_is_no_record() {
    for line in [
        "no answer, as in the trace (Flags=...A..S. and Flags=...A....)",
        "The Flags=...A.R.. mean a reset",
        "TCP 445 (SMB)",
        "Note: open http://x.example/y and C:\\temp",
        "see https://x.example/?SrcPort",
        "",
    ] {
        assert_eq!(find_in(line), [], "{line}");
    }
}

#[test]
fn the_port_of_the_sender_may_be_all_that_is_told() {
    let body =
        one("6 x.x.1.2 x.x.1.1 TCP:Flags=...A..S., SrcPort=DCE endpoint resolution(135)").body;
    assert!(matches!(body, Body::Segment { ports: (135, 0), .. }), "{body:?}");
}

#[test]
fn single_fields_of_the_detail_pane_are_no_records() {
    for line in [
        "  SrcPort: 50100",
        "    SrcPort: LDAP(389)",
        "  DstPort: 389",
        "+ Flags: ......S. ---> SYN",
    ] {
        assert_eq!(find_in(line), [], "{line}");
    }
}

#[test]
fn what_is_cut_in_a_port_is_not_understood() {
    for line in [
        "TCP:Flags=......S., SrcPort=51000, DstPort=33",
        "TCP:Flags=......S., SrcPort=51000, DstPort=DCE endp",
        "TCP:Flags=......S., SrcPort=510",
        "SrcPort=1, DstPort=2, x",
        "12 A B {TCP:1, IPv4:2}",
    ] {
        assert!(matches!(find_in(line).as_slice(), [Found::NotUnderstood(_)]), "{line}");
    }
}

#[test]
fn long_lines_take_no_longer_than_their_length() {
    // Going over the whole line for each of these would take hours.
    for piece in ["SrcPort:", "SrcPort=1,DstPort:", "Flags=SrcPort=", "{TCP:1,", "A:", "]: [", "="]
    {
        let line = piece.repeat((1 << 20) / piece.len());
        assert!(find_in(&line).len() <= line.len());
    }
}

proptest! {
    #[test]
    fn no_line_stops_it(
        pieces in prop::collection::vec(prop_oneof![
            prop::sample::select(vec![
                "TCP:", "UDP:", "Flags=", "......S.", "SrcPort=", "DstPort=", "LDAP(389)", ", ",
                "{TCP:1, IPv4:2}", "{", "}", "[SynReTransmit #1]", "[", "]", "Seq=", "1", " - ",
                "(", ")", "=", ":", " ", "\t", "é", "…", "MSRPC", "Length", "PayloadLen", "0x",
            ]).prop_map(str::to_owned),
            "\\PC{0,4}",
        ], 0..40)
    ) {
        let line = pieces.concat();
        for found in find_in(&line) {
            let Found::Record(record) = found else { continue };
            prop_assert!(line.contains(record.description));
            prop_assert!(line.contains(record.left));
        }
    }
}
