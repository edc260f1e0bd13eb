//! Reads text that was copied out of Network Monitor: rows of its frame summary, as they stand in
//! mails, forums and articles.
//!
//! Every row that tells of a TCP or UDP packet becomes a frame, in the order of the text,
//! whatever was done to it on the way: tabs lost, ellipses, entities, several rows in a line, no
//! addresses. Prose around the rows is passed over. A line that looks like a row and cannot be
//! read is counted and kept, so that nothing is silently missing.
//!
//! Where rows tell no addresses, the hosts are named after their conversation: `IPv4:13 initiator`
//! and `IPv4:13 responder`.

mod cells;
mod clean;
mod detail;
mod fields;
mod parties;
mod protocols;
mod record;
mod when;

use crate::capture::netmon_text::cells::Cells;
use crate::capture::netmon_text::detail::Detail;
use crate::capture::netmon_text::parties::Parties;
use crate::capture::netmon_text::protocols::Meaning;
use crate::capture::netmon_text::record::{Body, Found, Record};
use crate::capture::netmon_text::when::CountedFrom;
use crate::capture::row::{RowSpool, SpooledRows};
use crate::capture::text::{self, Text};
use crate::capture::{
    CaptureReader, CaptureSummary, Error, FrameBatch, Opened, Row, RowContent, RowNumber, RowOther,
    RowPath, RowRepeat, RowSegment, Severity,
};
use crate::net::{Clock, Timestamp, Transport};

/// Bytes of what a description says that are kept.
const MOST_NOTE_BYTES: usize = 160;

/// Payload of a packet of which only the protocol above TCP is told: something, at least.
const SOME_PAYLOAD: u32 = 1;

/// Whether a file that begins like this is text with rows of Network Monitor.
pub(super) fn begins(head: &[u8]) -> bool {
    let Some(text) = text::beginning(head) else { return false };
    // Our own reports quote rows.
    if text.contains("\"portmortem.report/") {
        return false;
    }
    let marks = ["SrcPort", "IPv4:", "IPv6:"];
    if !marks.iter().any(|mark| fields::find(&text, mark).is_some()) {
        return false;
    }
    let cleaned: Vec<String> = text.lines().map(clean::clean).collect();
    let is_row = |found: &Found<'_>| match found {
        Found::Record(record) => match record.body {
            Body::Segment { .. } | Body::Datagram { .. } => true,
            // Its conversations tell it from everything else that has colons.
            Body::SegmentOnly(_) | Body::Other { .. } => record.conversations.ports.is_some(),
        },
        Found::NotUnderstood(_) => false,
    };
    cleaned
        .iter()
        .flat_map(|line| line.split('\n'))
        .any(|line| record::find_in(line).iter().any(is_row))
}

/// Begins to read a text.
#[expect(clippy::unnecessary_wraps, reason = "as the others in the table of formats")]
pub(super) fn open(opened: Opened) -> Result<Box<dyn CaptureReader>, Error> {
    let mut summary = CaptureSummary::of(&opened.shown_as);
    summary.format = Some("Network Monitor text".to_owned());
    summary.clock = Clock { digits: 0, zone_known: false };
    Ok(Box::new(ListingReader { text: Text::new(opened), summary, rows: None, begun: false }))
}

struct ListingReader {
    text: Text,
    summary: CaptureSummary,
    /// The rows, when all of the text was read.
    rows: Option<SpooledRows>,
    begun: bool,
}

impl CaptureReader for ListingReader {
    fn next_batch(&mut self, spare: FrameBatch) -> Option<FrameBatch> {
        if !std::mem::replace(&mut self.begun, true) {
            let listing = Listing::default();
            match listing.read(&mut self.text, &mut self.summary) {
                Ok(rows) => self.rows = Some(rows),
                Err(error) => {
                    let message = format!("the rows cannot be kept in a temporary file: {error}");
                    self.summary.problem(Severity::Error, message, None, None);
                }
            }
        }
        self.rows.as_mut()?.next_batch(spare, &mut self.summary)
    }

    fn finish(self: Box<Self>) -> CaptureSummary {
        let mut summary = self.summary;
        (summary.bytes, summary.sha256) = self.text.finish();
        summary
    }
}

/// A text on its way to rows.
#[derive(Default)]
struct Listing {
    spool: RowSpool,
    parties: Parties,
    /// What times are counted from: as in the first row that tells one.
    from: Option<CountedFrom>,
    digits: u8,
    /// Frame and addresses of detail lines whose transport has not come yet.
    detail: Detail,
}

impl Listing {
    fn read(
        mut self,
        text: &mut Text,
        summary: &mut CaptureSummary,
    ) -> std::io::Result<SpooledRows> {
        while let Some(line) = text.line() {
            let number = u32::try_from(text.line_number()).unwrap_or(u32::MAX);
            let cleaned = clean::clean(&line);
            for part in cleaned.split('\n') {
                self.take(part, number, summary)?;
            }
        }
        if let Some(failure) = text.failure() {
            let message = format!("reading stopped before the end of the file: {failure}");
            summary.problem(Severity::Error, message, None, None);
        }
        self.report(text, summary);
        self.spool.finish(summary)
    }

    /// Takes a line, or what markup made a line of.
    fn take(
        &mut self,
        line: &str,
        number: u32,
        summary: &mut CaptureSummary,
    ) -> std::io::Result<()> {
        if self.detail.take(line) {
            return Ok(());
        }
        for found in record::find_in(line) {
            match found {
                Found::NotUnderstood(text) => summary.not_understood(number, text),
                Found::Record(record) => {
                    let detail = self.detail.end();
                    let cells = cells::read(record.left, protocol_of(&record));
                    let is_row = is_row(&record, &cells);
                    let Some(content) = is_row.then(|| self.content(&record, &cells, &detail))
                    else {
                        continue;
                    };
                    let row = Row {
                        number: cells.number.or(detail.number),
                        line: number,
                        time: self.time(&cells),
                        ttl: None,
                        ip_id: detail.ip_id,
                        wire_length: None,
                        to_group: to_group(&content),
                        content,
                        note: note(record.description),
                    };
                    self.spool.push(row)?;
                }
            }
        }
        Ok(())
    }

    /// What the frame of a record holds.
    fn content(&mut self, record: &Record<'_>, cells: &Cells, detail: &Detail) -> RowContent {
        let told = record.conversations;
        let hosts = cells.hosts.or(detail.hosts);
        match record.body {
            Body::Segment { ports, segment } => {
                let flags = Some(segment.flags);
                let path = self.parties.by_ports(Transport::Tcp, ports, flags, hosts, told);
                RowContent::Segment { path, segment }
            }
            Body::Datagram { ports, length } => {
                let path = self.parties.by_ports(Transport::Udp, ports, None, hosts, told);
                RowContent::Datagram { path, length }
            }
            Body::SegmentOnly(segment) => {
                let answer = segment.flags & 0x12 == 0x12;
                match self.parties.by_conversation(Transport::Tcp, None, answer, hosts, told) {
                    Some(path) => RowContent::Segment { path, segment },
                    None => RowContent::Other(RowOther::NoPorts),
                }
            }
            Body::Other { protocol, says } => {
                let (service, usual) = match protocols::meaning_of(protocol) {
                    Meaning::NoFlow(other) => return RowContent::Other(other),
                    // Nearly all of them run over TCP only.
                    Meaning::AnyPort => (None, Some(Transport::Tcp)),
                    Meaning::Service(port, transport) => (Some(port), transport),
                };
                let transport = told.ports.map(|(transport, _)| transport).or(usual);
                let answer = protocols::is_answer(protocol, says);
                let path = transport.and_then(|transport| {
                    let path =
                        self.parties.by_conversation(transport, service, answer, hosts, told)?;
                    Some((transport, path))
                });
                match path {
                    Some((Transport::Tcp, path)) => {
                        RowContent::Segment { path, segment: carrying_payload() }
                    }
                    Some((Transport::Udp, path)) => {
                        RowContent::Datagram { path, length: SOME_PAYLOAD }
                    }
                    None => RowContent::Other(RowOther::NoPorts),
                }
            }
        }
    }

    fn time(&mut self, cells: &Cells) -> Option<Timestamp> {
        let from = *self.from.get_or_insert(cells.when.counted_from()?);
        let time = cells.when.timestamp(from)?;
        self.digits = self.digits.max(cells.when.digits(from));
        Some(time)
    }

    /// Says what the text does not tell.
    fn report(&self, text: &Text, summary: &mut CaptureSummary) {
        summary.clock.digits = self.digits;
        let info = |summary: &mut CaptureSummary, message: &str| {
            summary.problem(Severity::Info, message, None, None);
        };
        if self.spool.rows() == 0 {
            let message = "no row of Network Monitor could be read";
            summary.problem(Severity::Warning, message, None, None);
        }
        match self.from {
            None => info(
                summary,
                "the rows tell no times: how long an answer was waited for is not known",
            ),
            Some(CountedFrom::Date) => {}
            Some(CountedFrom::Midnight) => info(
                summary,
                "the rows tell the time of day and no date: times are shown as of 1970-01-01",
            ),
            Some(CountedFrom::Beginning) => info(
                summary,
                "the rows tell the time since the capture began: it is shown as if that had been \
                 1970-01-01T00:00:00",
            ),
        }
        if self.parties.unnamed > 0 {
            let message = format!(
                "{} of {} rows tell neither hosts nor a conversation of hosts: all of them are \
                 taken for the same two",
                self.parties.unnamed,
                self.spool.rows()
            );
            info(summary, &message);
        }
        if summary.lines_not_understood > 0 {
            let lines: Vec<String> =
                summary.not_understood.iter().take(8).map(|line| line.line.to_string()).collect();
            let count = summary.lines_not_understood;
            let more = if count > lines.len() as u64 { ", ..." } else { "" };
            let message = format!(
                "{count} {} like a row of Network Monitor and could not be read ({} {}{more}): \
                 --verbose shows {}",
                if count == 1 { "text looks" } else { "texts look" },
                if lines.len() == 1 { "line" } else { "lines" },
                lines.join(", "),
                if count == 1 { "it" } else { "them" },
            );
            info(summary, &message);
        }
        if text.lines_cut() > 0 {
            let message = format!("{} lines are too long to be read whole", text.lines_cut());
            summary.problem(Severity::Warning, message, None, None);
        }
    }
}

/// Whether a record is a row, and not prose with a protocol's name and a colon.
fn is_row(record: &Record<'_>, cells: &Cells) -> bool {
    match record.body {
        Body::Segment { .. } | Body::Datagram { .. } | Body::SegmentOnly(_) => true,
        Body::Other { .. } => {
            let told = record.conversations;
            told.hosts.is_some()
                || told.ports.is_some()
                || cells.protocol_named
                || cells.hosts.is_some()
        }
    }
}

fn protocol_of<'a>(record: &Record<'a>) -> &'a str {
    match record.body {
        Body::Segment { .. } | Body::SegmentOnly(_) => "TCP",
        Body::Datagram { .. } => "UDP",
        Body::Other { protocol, .. } => protocol,
    }
}

/// A segment of which only the protocol above is told.
fn carrying_payload() -> RowSegment {
    RowSegment {
        flags: 0x18, // ACK and PSH
        seq: RowNumber::Untold,
        ack: RowNumber::Untold,
        window: None,
        length: SOME_PAYLOAD,
        repeat: RowRepeat::Unsaid,
    }
}

/// Whether a row's packet goes to many hosts, by its address.
fn to_group(content: &RowContent) -> bool {
    let path: &RowPath = match content {
        RowContent::Segment { path, .. } | RowContent::Datagram { path, .. } => path,
        RowContent::IcmpError { .. } | RowContent::Other(_) => return false,
    };
    match path.destination.address.ip() {
        Some(std::net::IpAddr::V4(address)) => address.is_multicast() || address.is_broadcast(),
        Some(std::net::IpAddr::V6(address)) => address.is_multicast(),
        None => false,
    }
}

/// What is kept of a description.
fn note(description: &str) -> &str {
    let mut end = MOST_NOTE_BYTES.min(description.len());
    while !description.is_char_boundary(end) {
        end -= 1;
    }
    description.get(..end).unwrap_or(description)
}

#[cfg(test)]
mod tests;
