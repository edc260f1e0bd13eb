//! Columns with titles: packet lists as CSV, `-T fields`, PSML, or plain text.
//!
//! Titles are those of Wireshark's window, names of fields, or what people call their own columns.

use crate::capture::wireshark::draft::Draft;
use crate::capture::wireshark::fields::{Field, Packet};

/// Titles beside the names of fields, in lower case.
const TITLES: &[(&str, Field)] = &[
    ("no.", Field::FrameNumber),
    ("no", Field::FrameNumber),
    ("#", Field::FrameNumber),
    ("number", Field::FrameNumber),
    ("frame", Field::FrameNumber),
    ("frame number", Field::FrameNumber),
    ("packet", Field::FrameNumber),
    ("packet number", Field::FrameNumber),
    ("messagenumber", Field::FrameNumber),
    ("time", Field::Time),
    ("timestamp", Field::Time),
    ("date", Field::Time),
    ("date and time", Field::Time),
    ("time and date", Field::Time),
    ("arrival time", Field::Time),
    ("absolute time", Field::Time),
    ("utc time", Field::Time),
    ("epoch", Field::Time),
    ("epoch time", Field::Time),
    ("time of day", Field::Time),
    ("_ws.col.time", Field::Time),
    ("source", Field::ColumnSource),
    ("src", Field::ColumnSource),
    ("source address", Field::ColumnSource),
    ("source ip", Field::ColumnSource),
    ("src ip", Field::ColumnSource),
    ("source host", Field::ColumnSource),
    ("destination", Field::ColumnDestination),
    ("dest", Field::ColumnDestination),
    ("dst", Field::ColumnDestination),
    ("destination address", Field::ColumnDestination),
    ("destination ip", Field::ColumnDestination),
    ("dest ip", Field::ColumnDestination),
    ("dst ip", Field::ColumnDestination),
    ("destination host", Field::ColumnDestination),
    ("protocol", Field::ColumnProtocol),
    ("proto", Field::ColumnProtocol),
    ("module", Field::ColumnProtocol),
    ("length", Field::FrameLength),
    ("frame length", Field::FrameLength),
    ("info", Field::ColumnInfo),
    ("information", Field::ColumnInfo),
    ("summary", Field::ColumnInfo),
    ("description", Field::ColumnInfo),
    ("source port", Field::SourcePort),
    ("src port", Field::SourcePort),
    ("srcport", Field::SourcePort),
    ("sport", Field::SourcePort),
    ("destination port", Field::DestinationPort),
    ("dest port", Field::DestinationPort),
    ("dst port", Field::DestinationPort),
    ("destport", Field::DestinationPort),
    ("dstport", Field::DestinationPort),
    ("dport", Field::DestinationPort),
    ("flags", Field::Flags),
    ("tcp flags", Field::Flags),
    ("ttl", Field::Ttl),
    ("time to live", Field::Ttl),
    ("seq", Field::Seq),
    ("sequence number", Field::Seq),
    ("ack", Field::Ack),
    ("acknowledgment number", Field::Ack),
    ("window", Field::Window),
    ("tcp segment len", Field::TcpLength),
];

/// What the columns of a table hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns(Vec<Option<Field>>);

impl Columns {
    /// The columns of these titles; `None` where they are not those of a packet list.
    pub(super) fn of_titles<'a>(titles: impl IntoIterator<Item = &'a str>) -> Option<Columns> {
        let fields: Vec<_> = titles.into_iter().map(field).collect();
        let has = |wanted: &[Field]| fields.iter().flatten().any(|field| wanted.contains(field));
        let hosts = has(&[Field::ColumnSource, Field::Source, Field::Source6])
            && has(&[Field::ColumnDestination, Field::Destination, Field::Destination6]);
        let ports = has(&[
            Field::ColumnInfo,
            Field::TcpDestination,
            Field::UdpDestination,
            Field::DestinationPort,
        ]);
        (hosts && ports).then_some(Columns(fields))
    }

    /// The columns of Wireshark's window, as long as nobody changed them.
    pub(super) fn usual() -> Columns {
        let fields = [
            Field::FrameNumber,
            Field::Time,
            Field::ColumnSource,
            Field::ColumnDestination,
            Field::ColumnProtocol,
            Field::FrameLength,
            Field::ColumnInfo,
        ];
        Columns(fields.map(Some).to_vec())
    }

    /// Whether a title is known.
    pub(super) fn knows(title: &str) -> bool {
        field(title).is_some()
    }

    /// Number of columns.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The field of a column.
    pub(super) fn field(&self, place: usize) -> Option<Field> {
        self.0.get(place).copied().flatten()
    }

    /// The frame that a row of cells tells of.
    #[expect(clippy::wildcard_enum_match_arm, reason = "few fields hold text with commas")]
    pub(super) fn draft<'a>(&self, cells: impl IntoIterator<Item = &'a str>) -> Draft {
        let mut chosen: Vec<(Field, Vec<String>)> = Vec::new();
        for (field, cell) in self.0.iter().zip(cells) {
            let Some(field) = *field else { continue };
            let cell = cell.trim();
            // The first of two columns of the same kind counts, as it does for a reader.
            if cell.is_empty() || chosen.iter().any(|(other, _)| *other == field) {
                continue;
            }
            let values = match field {
                Field::ColumnInfo | Field::ColumnProtocol | Field::Time | Field::Date => {
                    vec![cell.to_owned()]
                }
                _ => cell.split(',').map(|value| value.trim().to_owned()).collect(),
            };
            chosen.push((field, values));
        }
        let mut packet = Packet::default();
        packet.set_chosen(chosen);
        packet.finish()
    }
}

fn field(title: &str) -> Option<Field> {
    let title = title.trim().trim_matches('"').trim().to_ascii_lowercase();
    let known = TITLES.iter().find(|(name, _)| *name == title).map(|(_, field)| *field);
    known.or_else(|| Field::named(&title))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Transport;

    #[test]
    fn titles_of_the_window_and_names_of_fields_are_known() {
        for titles in [
            "No.,Time,Source,Destination,Protocol,Length,Info",
            "frame.number,frame.time_epoch,ip.src,ip.dst,tcp.srcport,tcp.dstport,tcp.flags",
            "Time,Src IP,Dst IP,Source Port,Destination Port,Flags",
        ] {
            assert!(Columns::of_titles(titles.split(',')).is_some(), "{titles}");
        }
        for titles in ["name,port", "No.,Time,Source,Destination", "Date,Level,Message"] {
            assert_eq!(Columns::of_titles(titles.split(',')), None, "{titles}");
        }
    }

    #[test]
    fn a_row_is_read_by_its_titles() {
        let columns =
            Columns::of_titles(["No.", "Time", "Delta", "Source", "Destination", "Info"]).unwrap();
        let draft =
            columns.draft(["7", "0.5", "0.1", "CAS01", "10.1.0.10", "1 → 135 [SYN] Seq=0 Len=0"]);
        assert_eq!(draft.number, Some(7));
        let account = draft.account.unwrap();
        assert_eq!(account.source, Some("CAS01".parse().unwrap()));
        assert_eq!(account.transport, Some(Transport::Tcp));
        assert_eq!(account.destination_port, Some(135));
    }
}
