//! XML of Wireshark and tshark: PDML, which has every field, and PSML, which has the columns.
//!
//! Read event by event: nothing is held but one packet, whatever the size of the document.

use std::io::Read;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::capture::text::Text;
use crate::capture::wireshark::columns::Columns;
use crate::capture::wireshark::draft::{Draft, Drafts};
use crate::capture::wireshark::fields::{Field, Packet};
use crate::capture::wireshark::notes::{Note, Notes};

/// Bytes of a packet in XML. The largest frame has fields of many times its size.
const MOST_PACKET_BYTES: u64 = 256 << 20;

/// Values of a packet that are passed over because they are no UTF-8.
const MOST_LEFT_OUT: u32 = 10_000;

/// The shape's name, where a text begins like this.
pub(super) fn name(beginning: &str) -> Option<&'static str> {
    if !beginning.trim_start().starts_with('<') {
        None
    } else if beginning.contains("<pdml") {
        Some("PDML")
    } else if beginning.contains("<psml") {
        Some("PSML")
    } else {
        None
    }
}

pub(super) fn reader(_: &str) -> Box<dyn Drafts> {
    Box::new(Xml { columns: None, line: 0, events: Vec::new() })
}

struct Xml {
    /// The columns of PSML.
    columns: Option<Columns>,
    /// The line that the packet begins in.
    line: u64,
    /// The event being read.
    events: Vec<u8>,
}

/// What was read of a packet, or of PSML's titles.
#[derive(Default)]
struct Element {
    packet: Packet,
    /// Whether fields are of `geninfo`, whose names are too short to be told elsewhere.
    general: bool,
    /// PSML's cells.
    cells: Vec<String>,
    in_cell: bool,
    fields_seen: bool,
}

/// What ended an element.
enum End {
    Packet,
    Titles,
    /// The text ended, in good order or in the middle of a packet.
    Text {
        in_packet: bool,
    },
    Damage,
}

impl Drafts for Xml {
    fn next(&mut self, text: &mut Text, notes: &mut Notes) -> Option<Draft> {
        loop {
            let mut element = Element::default();
            match self.read(text, &mut element) {
                End::Titles => {
                    self.columns = Columns::of_titles(element.cells.iter().map(String::as_str));
                }
                End::Packet => {
                    if element.fields_seen {
                        return Some(Draft { line: self.line, ..element.packet.finish() });
                    }
                    if let Some(columns) = &self.columns {
                        let draft = columns.draft(element.cells.iter().map(String::as_str));
                        return Some(Draft { line: self.line, ..draft });
                    }
                    notes.count(Note::Element, self.line);
                }
                End::Text { in_packet } => {
                    if in_packet {
                        notes.cut_off();
                    }
                    return None;
                }
                End::Damage => {
                    notes.count(Note::Element, text.line_number() + 1);
                    return None;
                }
            }
        }
    }
}

impl Xml {
    /// Reads up to the end of the next packet, or of PSML's titles.
    fn read(&mut self, text: &mut Text, element: &mut Element) -> End {
        let mut reader = Reader::from_reader(text.take(MOST_PACKET_BYTES));
        let config = reader.config_mut();
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        let (mut in_packet, mut left_out) = (false, 0);
        loop {
            self.events.clear();
            match reader.read_event_into(&mut self.events) {
                Ok(Event::Start(tag)) => {
                    if tag.name().as_ref() == "packet" {
                        in_packet = true;
                        // The tag stands in the line that the text has come to.
                        self.line = reader.get_ref().get_ref().line_number() + 1;
                    }
                    element.open(&tag);
                }
                Ok(Event::Empty(tag)) => element.open(&tag),
                Ok(Event::End(tag)) => match tag.name().as_ref() {
                    "packet" => return End::Packet,
                    "structure" => return End::Titles,
                    "section" => element.in_cell = false,
                    _ => {}
                },
                Ok(Event::Text(text)) => element.text(&text),
                Ok(Event::GeneralRef(name)) => element.text(entity(&name)),
                Ok(Event::Eof) => return End::Text { in_packet },
                Ok(
                    Event::CData(_)
                    | Event::Comment(_)
                    | Event::Decl(_)
                    | Event::PI(_)
                    | Event::DocType(_),
                ) => {}
                Err(quick_xml::Error::Syntax(_)) => return End::Text { in_packet: true },
                // A value that is no UTF-8 was passed over.
                Err(quick_xml::Error::Encoding(_)) if left_out < MOST_LEFT_OUT => left_out += 1,
                Err(_) => return End::Damage,
            }
        }
    }
}

impl Element {
    fn open(&mut self, tag: &BytesStart<'_>) {
        match tag.name().as_ref() {
            "section" => {
                self.cells.push(String::new());
                self.in_cell = true;
            }
            "proto" => self.general = attribute(tag, "name").as_deref() == Some("geninfo"),
            "field" => self.field(tag),
            _ => {}
        }
    }

    fn field(&mut self, tag: &BytesStart<'_>) {
        self.fields_seen = true;
        let Some(name) = attribute(tag, "name") else { return };
        let (field, from) = match name.as_str() {
            "num" if self.general => (Field::FrameNumber, "show"),
            "len" if self.general => (Field::FrameLength, "show"),
            // What is shown is a date in some zone.
            "timestamp" if self.general => (Field::Epoch, "value"),
            name => match Field::named(name) {
                Some(field) => (field, "show"),
                None => return,
            },
        };
        if let Some(value) = attribute(tag, from) {
            self.packet.set(field, &value);
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(cell) = self.cells.last_mut().filter(|_| self.in_cell) {
            cell.push_str(text);
        }
    }
}

/// The value of an attribute. Entities in it stay: what is looked for has none.
fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = tag.attributes();
    let attributes = attributes.with_checks(false).flatten();
    let mut values = attributes.filter(|attribute| attribute.key.as_ref() == name);
    values.next().map(|attribute| attribute.value.into_owned())
}

/// The character of an entity. Those that are none that Wireshark writes become a blank.
fn entity(name: &str) -> &'static str {
    match name {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => " ",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::capture::tests::{problems, read};
    use crate::capture::{LinkType, Row, RowContent, RowNumber};

    /// A packet in the layout of `tshark -T pdml`, with only what is looked at.
    const PACKET: &str = r#"<packet>
  <proto name="geninfo" pos="0" showname="General information" size="42">
    <field name="num" pos="0" show="7" showname="Number" value="7" size="42"/>
    <field name="len" pos="0" show="66" showname="Frame Length" value="42" size="42"/>
    <field name="timestamp" show="Nov 13, 2012 09:30:00.000000000 UTC" value="1352799000.000000000"/>
  </proto>
  <proto name="ip" showname="Internet Protocol Version 4">
    <field name="ip.src" show="10.0.0.5" value="0a000005"/>
    <field name="ip.dst" show="10.1.0.10" value="0a01000a"/>
  </proto>
  <proto name="tcp">
    <field name="tcp.srcport" show="50021"/><field name="tcp.dstport" show="445"/>
    <field name="tcp.seq" show="0"/><field name="tcp.seq_raw" show="1000"/>
    <field name="tcp.flags" showname="Flags: 0x002 (SYN)" show="0x0002" value="2">
      <field name="tcp.flags.syn" show="1" value="1"/>
    </field>
  </proto>
</packet>
"#;

    #[test]
    fn the_fields_of_pdml_are_rows() {
        let text =
            format!("<?xml version=\"1.0\"?>\n<!-- x --><pdml version=\"0\">\n{PACKET}</pdml>");
        let source = std::io::Cursor::new(text.into_bytes());
        let reading = crate::capture::Reading::default();
        let mut reader = crate::capture::open_source(Box::new(source), "x", reading).unwrap();
        let batch = reader.next_batch(crate::capture::FrameBatch::default()).unwrap();
        let frame = batch.frames().next().unwrap();
        assert_eq!((frame.number.0, frame.link_type), (7, LinkType::ROW));
        let row = Row::read(frame.bytes).unwrap();
        let RowContent::Segment { path, segment } = row.content else { panic!("{row:?}") };
        assert_eq!(path.destination.to_string(), "10.1.0.10:445");
        assert_eq!((segment.flags, segment.seq), (2, RowNumber::Wire(1_000)));
        assert_eq!(row.wire_length, Some(66));
    }

    #[test]
    fn a_document_that_is_cut_off_gives_what_comes_before() {
        let text = format!("<pdml>\n{PACKET}{}", PACKET.split_at(200).0);
        let source = std::io::Cursor::new(text.into_bytes());
        let reading = crate::capture::Reading::default();
        let mut reader = crate::capture::open_source(Box::new(source), "x", reading).unwrap();
        while reader.next_batch(crate::capture::FrameBatch::default()).is_some() {}
        let summary = reader.finish();
        assert_eq!(summary.frames, 1);
        assert!(problems(&summary)[0].1.contains("ends in the middle"), "{summary:?}");
    }

    #[test]
    fn the_columns_of_psml_are_rows() {
        let titles = ["No.", "Source", "Destination", "Protocol", "Info"];
        let row = ["1", "10.0.0.5", "10.1.0.10", "TCP", "1 \u{2192} 2 [SYN] Seq=0 &lt;&amp;&gt;"];
        let sections =
            |cells: [&str; 5]| cells.map(|cell| format!("<section>{cell}</section>\n")).concat();
        let text = format!(
            "<?xml version=\"1.0\"?><psml version=\"0\">\n<structure>\n{}</structure>\n\n\
             <packet>\n{}</packet>\n</psml>",
            sections(titles),
            sections(row)
        );
        let (frames, _) = read(text.as_bytes());
        let row = Row::read(&frames[0].3).unwrap();
        assert!(matches!(row.content, RowContent::Segment { .. }), "{row:?}");
        assert_eq!(row.note, "TCP: 1 → 2 [SYN] Seq=0 <&>");
    }

    proptest! {
        #[test]
        fn any_xml_like_text_is_survived(
            words in prop::collection::vec(prop::sample::select(vec![
                "<", ">", "/", "<packet>", "</packet>", "<section>", "</section>", "<structure>",
                "</structure>", "<proto name=\"geninfo\">", "<field name=\"num\" show=\"1\"/>",
                "<field ", "name=\"ip.src\"", " show='10.0.0.5'", "&amp;", "&", "<!--", "-->",
                "<![CDATA[", "]]>", "\u{2192}", "<!DOCTYPE x [", "No.", "Source", "Info",
            ]), 0..60),
        ) {
            read(format!("<pdml>{}", words.concat()).as_bytes());
            read(format!("<psml>{}", words.concat()).as_bytes());
        }
    }
}
