//! Finds the records in a line: where each begins and ends, and what its description says.
//!
//! A record is a row of Network Monitor's frame summary. What makes one is `SrcPort=` and
//! `DstPort=` behind `TCP:Flags=` or `UDP:`, or a protocol's name with a list of conversations. A
//! line may hold several, for blogs lose line ends.

use crate::capture::netmon_text::fields::{
    Conversations, after_key, conversations, find, flags, number_of, port,
};
use crate::capture::netmon_text::protocols;
use crate::capture::{RowNumber, RowRepeat, RowSegment};

/// Bytes between `Flags=` and `SrcPort=`, and between the two ports, at most.
const MOST_FIELD_BYTES: usize = 160;
/// Remarks in brackets before the flags, at most.
const MOST_TAGS: usize = 4;

/// What stands at a place of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A record.
    Record(Record<'a>),
    /// What looks like a record and could not be read.
    NotUnderstood(&'a str),
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// What stands to its left: number, times, process, hosts.
    pub(super) left: &'a str,
    /// The description: protocol and what it says.
    pub(super) description: &'a str,
    /// What the description tells.
    pub(super) body: Body<'a>,
    /// The conversations that it belongs to.
    pub(super) conversations: Conversations,
}

/// What a description tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    /// A TCP segment, with its ports; the destination's is 0 where it is not told.
    Segment { ports: (u16, u16), segment: RowSegment },
    /// A UDP datagram, with its ports and payload bytes.
    Datagram { ports: (u16, u16), length: u32 },
    /// A TCP segment without ports: its conversation must be known.
    SegmentOnly(RowSegment),
    /// Another protocol, and what it says.
    Other { protocol: &'a str, says: &'a str },
}

/// Everything in a line that is a record, or looks like one, in order.
pub(super) fn find_in(line: &str) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (end, told) = match end_of_first(rest) {
            Some((end, told)) => (end, Some(told)),
            None => (rest.len(), None),
        };
        let (part, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        read_part(part, told, &mut found);
        rest = after;
    }
    found
}

/// Where the first list of conversations ends, and what it says.
fn end_of_first(text: &str) -> Option<(usize, Conversations)> {
    let mut from = 0;
    loop {
        let open = from + text.get(from..)?.find('{')?;
        if let Some((told, length)) = conversations(text.get(open..)?) {
            return Some((open + length, told));
        }
        from = open + 1;
    }
}

/// Reads what stands before the end of one list of conversations.
fn read_part<'a>(part: &'a str, told: Option<Conversations>, found: &mut Vec<Found<'a>>) {
    let anchors = anchors(part);
    if anchors.is_empty() {
        if let Some(record) = read_other(part, told) {
            found.push(record);
        }
        return;
    }
    let mut from = 0;
    for (place, anchor) in anchors.iter().enumerate() {
        // A record ends where the description of the next one begins, and its cells before that.
        let next = anchors.get(place + 1).map(|next| next.begins);
        let text = part.get(..next.unwrap_or(part.len())).unwrap_or(part);
        // Only the last record of a part stands at the conversations.
        let told = told.filter(|_| next.is_none()).unwrap_or_default();
        let (Some(left), Some(description)) =
            (text.get(from..anchor.begins), text.get(anchor.begins..))
        else {
            return;
        };
        let cut = next.is_none() && told == Conversations::default();
        if let Some(body) = read_anchored(text, anchor, cut) {
            let description = without_conversations(description, next.is_none());
            let record = Record { left, description, body, conversations: told };
            found.push(Found::Record(record));
        } else if !matches!(anchor.kind, Kind::Unknown) || find(description, "DstPort").is_some() {
            found.push(Found::NotUnderstood(text.get(from..).unwrap_or(text)));
        }
        from = next.map_or(text.len(), |next| end_of_fields(text, anchor.begins).min(next));
    }
}

fn without_conversations(description: &str, at_end: bool) -> &str {
    let end = if at_end { description.rfind('{') } else { None };
    let told = end.filter(|end| description.get(*end..).and_then(conversations).is_some());
    description.get(..told.unwrap_or(description.len())).unwrap_or(description).trim()
}

/// Where the fields of a record end: behind the number of the last `=`. What follows are cells of
/// the next record.
fn end_of_fields(text: &str, begins: usize) -> usize {
    // Only in its own description: lines of many records must not be gone over for each of them.
    let own = text.get(begins..).unwrap_or_default();
    let Some(last) = own.rfind('=').map(|last| begins + last) else { return text.len() };
    let rest = text.get(last + 1..).unwrap_or_default();
    let blanks = rest.len() - rest.trim_start().len();
    let digits = rest.trim_start().bytes().take_while(u8::is_ascii_digit).count();
    last + 1 + blanks + digits
}

/// A `SrcPort=`, and the description that it stands in.
struct Anchor<'a> {
    /// Where the description begins.
    begins: usize,
    /// Where the value of `SrcPort` begins.
    value: usize,
    kind: Kind<'a>,
}

enum Kind<'a> {
    /// TCP, with its flags and what stands in brackets before them.
    Tcp {
        flags: u8,
        tags: &'a str,
    },
    Udp,
    Unknown,
}

fn anchors(part: &str) -> Vec<Anchor<'_>> {
    const KEY: &str = "SrcPort";
    let mut anchors = Vec::new();
    let mut from = 0;
    while let Some(at) = part.get(from..).and_then(|rest| find(rest, KEY)) {
        let (begin, end) = (from + at, from + at + KEY.len());
        let rest = part.get(end..).unwrap_or_default();
        let blanks = rest.len() - rest.trim_start().len();
        if rest.trim_start().starts_with(['=', ':']) {
            let (begins, kind) = description_before(part, from, begin);
            anchors.push(Anchor { begins, value: end + blanks + 1, kind });
        }
        from = end;
    }
    anchors
}

/// Where the description begins that goes on at `end`, and what it is. Looks back no further than
/// `from`.
fn description_before(part: &str, from: usize, end: usize) -> (usize, Kind<'_>) {
    let mut near = from.max(end.saturating_sub(MOST_FIELD_BYTES));
    while !part.is_char_boundary(near) {
        near += 1;
    }
    let before = part.get(near..end).unwrap_or_default();
    if let Some(at) = rfind(before, "Flags") {
        let value = before.get(at + "Flags".len()..).unwrap_or_default().trim_start();
        if let Some(flags) = value.strip_prefix(['=', ':']).and_then(flags) {
            let (begins, tags) = prefix_before(before.get(..at).unwrap_or_default(), "TCP", at);
            return (near + begins, Kind::Tcp { flags, tags });
        }
    }
    let whole = before.len();
    let (begins, _) = prefix_before(before, "UDP", whole);
    let kind = if begins < whole { Kind::Udp } else { Kind::Unknown };
    (near + begins, kind)
}

fn rfind(text: &str, needle: &str) -> Option<usize> {
    let mut last = None;
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| find(rest, needle)) {
        last = Some(from + at);
        from += at + needle.len();
    }
    last
}

/// Goes back over remarks in brackets and the protocol's name: where it begins (`end` where there
/// is none), and the remarks.
fn prefix_before<'a>(before: &'a str, protocol: &str, end: usize) -> (usize, &'a str) {
    let mut rest = before.trim_end();
    for _ in 0..MOST_TAGS {
        if rest.ends_with(']')
            && let Some(open) = rest.rfind('[')
        {
            rest = rest.get(..open).unwrap_or_default().trim_end();
        }
    }
    let tags = before.get(rest.len()..).unwrap_or_default();
    let Some(name) = rest.strip_suffix(':').map(str::trim_end) else { return (end, tags) };
    let begins = name.len().saturating_sub(protocol.len());
    match name.get(begins..) {
        Some(word) if word.eq_ignore_ascii_case(protocol) => (begins, tags),
        _ => (end, tags),
    }
}

/// What the description at an anchor tells. `cut` where it may have been cut short at the end.
fn read_anchored<'a>(text: &'a str, anchor: &Anchor<'a>, cut: bool) -> Option<Body<'a>> {
    let value = text.get(anchor.value..)?;
    let Some(destination) = find(value, "DstPort") else {
        return one_port(value, anchor);
    };
    if destination > MOST_FIELD_BYTES {
        return None;
    }
    let source = port(value.get(..destination)?)?;
    let rest = after_key(value.get(destination..)?, "DstPort")?;
    let end = end_of_port(rest);
    let told = rest.get(..end)?;
    if cut && end == rest.len() && told.trim_end().ends_with(|last: char| last.is_ascii_digit()) {
        // "DstPort=33" may have been 3389.
        return None;
    }
    let ports = (source, port(told)?);
    let rest = rest.get(end..)?;
    match anchor.kind {
        Kind::Tcp { flags, tags } => {
            Some(Body::Segment { ports, segment: segment(flags, tags, rest) })
        }
        Kind::Udp => {
            // The field counts the header of 8 bytes too (RFC 768).
            let length = number_of_last(rest, "Length").unwrap_or(8).saturating_sub(8);
            Some(Body::Datagram { ports, length })
        }
        Kind::Unknown => None,
    }
}

/// As [`number_of`], also at the very end: a length that is cut does no harm.
fn number_of_last(text: &str, key: &str) -> Option<u32> {
    let value = after_key(text, key)?;
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    value.get(..digits)?.parse().ok()
}

/// A segment of which only the sender's port is told, whole, and nothing else.
fn one_port<'a>(value: &str, anchor: &Anchor<'a>) -> Option<Body<'a>> {
    let Kind::Tcp { flags, tags } = anchor.kind else { return None };
    let told = value.get(..value.find('{').unwrap_or(value.len()))?;
    // A number at the end may have been cut, and so may a name.
    let ended = told.trim_end().ends_with(')') && told.len() <= MOST_FIELD_BYTES;
    let ports = (port(told).filter(|_| ended)?, 0);
    Some(Body::Segment { ports, segment: segment(flags, tags, "") })
}

fn end_of_port(text: &str) -> usize {
    let ends = [",", ";", "{", "\t", "PayloadLen", " Seq", " Length", " Ack", " Win"];
    let found = ends.iter().filter_map(|end| find(text, end)).min();
    found.unwrap_or(text.len())
}

fn segment(flags: u8, tags: &str, rest: &str) -> RowSegment {
    let seq = number_of(rest, "Seq").or_else(|| number_of(rest, "Seq Range"));
    let payload = number_of(rest, "PayloadLen").or_else(|| number_of(rest, "Length"));
    RowSegment {
        flags,
        seq: seq.map_or(RowNumber::Untold, RowNumber::Wire),
        ack: number_of(rest, "Ack").map_or(RowNumber::Untold, RowNumber::Wire),
        // Behind it stands what it is worth with its scale factor, which is not on the wire.
        window: number_of(rest, "Win").and_then(|window| u16::try_from(window).ok()),
        length: payload.unwrap_or_default(),
        repeat: if find(tags, "ReTransmit").is_some() {
            RowRepeat::Retransmitted
        } else {
            RowRepeat::Unsaid
        },
    }
}

/// Reads a record that tells no ports, by the name of its protocol.
fn read_other(part: &str, told: Option<Conversations>) -> Option<Found<'_>> {
    let conversations = told.unwrap_or_default();
    let before = without_conversations(part, told.is_some());
    let indent = part.len() - part.trim_start().len();
    let named = protocol_in(before, false);
    let Some((begins, protocol)) = named.or_else(|| told.and_then(|_| protocol_in(before, true)))
    else {
        return told.map(|_| Found::NotUnderstood(part.trim()));
    };
    let begins = begins + indent;
    let left = part.get(..begins)?;
    let description = without_conversations(part.get(begins..)?, told.is_some());
    let says = description.get(protocol.len()..)?.trim_start().strip_prefix(':')?.trim();
    let is_tcp = protocol.eq_ignore_ascii_case("TCP");
    if is_tcp || protocol.eq_ignore_ascii_case("UDP") {
        let value = after_key(says, "Flags")?;
        let end = value.find([',', '{', '\t']).unwrap_or(value.len());
        // Prose that names flags is no record.
        let flags = flags(value.get(..end)?)?;
        if !is_tcp || conversations.ports.is_none() {
            return Some(Found::NotUnderstood(part.trim()));
        }
        let tags = says.get(..find(says, "Flags")?)?;
        let rest = value.get(end..)?;
        let body = Body::SegmentOnly(segment(flags, tags, rest));
        return Some(Found::Record(Record { left, description, body, conversations }));
    }
    let body = Body::Other { protocol, says };
    Some(Found::Record(Record { left, description, body, conversations }))
}

/// The first word with a colon behind it that may be a protocol's name, and where it begins. Where
/// no conversations tell a record from prose, only names that are known count.
fn protocol_in(part: &str, any_name: bool) -> Option<(usize, &str)> {
    let mut from = 0;
    loop {
        let rest = part.get(from..)?;
        let colon = rest.find(':')?;
        let before = rest.get(..colon)?.trim_end_matches(' ');
        let length = before
            .bytes()
            .rev()
            .take(32)
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .count();
        let begins = before.len() - length;
        let name = before.get(begins..)?;
        let alone =
            before.get(..begins)?.chars().next_back().is_none_or(|letter| {
                letter.is_whitespace() || matches!(letter, '"' | '|' | '}' | '>')
            });
        let next = rest.get(colon + 1..).and_then(|after| after.chars().next());
        let url = matches!(next, Some(':' | '/' | '\\'));
        let fits = name.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && (any_name || protocols::is_known(name));
        if alone && fits && !url {
            return Some((from + begins, name));
        }
        from += colon + 1;
    }
}

#[cfg(test)]
mod tests;
