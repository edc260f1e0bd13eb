//! Rows: what a text or a list tells of one frame.
//!
//! A text that was made from a capture has a row where the capture has a frame: numbers, times,
//! hosts, ports, flags, and never the bytes. A reader of such texts makes a [`Row`] of each and
//! hands it to a [`RowSpool`], which gives them out as frames of [`LinkType::ROW`]. The rest of
//! the program takes them for what they are when it decodes them, and needs to know nothing else.
//!
//! What a row does not tell is `None`, [`RowNumber::Untold`] or port 0, never a guess of the
//! reader; the spool then puts in numbers that fit, and marks them as such.
//!
//! [`LinkType::ROW`]: crate::capture::LinkType::ROW

mod attempts;
mod code;
mod spool;

pub(super) use spool::{RowSpool, SpooledRows};

use crate::net::{Address, Endpoint, FrameNumber, SeqNumber, Timestamp, Transport};

/// What a text tells of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Number of the frame, where the text tells it.
    pub number: Option<FrameNumber>,
    /// Line of the text that it begins in, from 1; 0 where the text has no lines to speak of.
    pub line: u32,
    /// When the frame was captured.
    pub time: Option<Timestamp>,
    /// Time to live or hop limit.
    pub ttl: Option<u8>,
    /// IPv4 identification.
    pub ip_id: Option<u16>,
    /// Length of the frame on the wire.
    pub wire_length: Option<u32>,
    /// Whether it went to a group of hosts: broadcast, multicast.
    pub to_group: bool,
    /// What the frame holds.
    pub content: RowContent,
    /// What the text says of the layers above: protocol and summary. Hostile, as everything from
    /// a capture. Empty for nothing.
    pub note: &'a str,
}

/// What the frame of a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowContent {
    /// A TCP segment.
    Segment {
        /// Who sent it, and to whom.
        path: RowPath,
        /// Its header.
        segment: RowSegment,
    },
    /// A UDP datagram.
    Datagram {
        /// Who sent it, and to whom.
        path: RowPath,
        /// Payload bytes on the wire; 0 where they are not told.
        length: u32,
    },
    /// An ICMP error about a segment or datagram.
    IcmpError {
        /// Who sent the error.
        reporter: Address,
        /// ICMP type.
        icmp_type: u8,
        /// ICMP code.
        code: u8,
        /// Transport of the packet that it quotes.
        transport: Transport,
        /// Who sent that packet, and to whom.
        quoted: RowPath,
        /// Sequence number of the quoted segment, if it is not relative.
        quoted_seq: Option<SeqNumber>,
    },
    /// Nothing of a flow.
    Other(RowOther),
}

/// Who sent a row's packet, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPath {
    /// The sender; port 0 where it is not told.
    pub source: Endpoint,
    /// The receiver; port 0 where it is not told.
    pub destination: Endpoint,
    /// Number of the conversation between the two ports. Counts only where a port is not told, to
    /// tell conversations apart.
    pub conversation: Option<u32>,
}

/// The header of a row's TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSegment {
    /// Flags, RFC 9293 3.1 and RFC 3168.
    pub flags: u8,
    /// Sequence number.
    pub seq: RowNumber,
    /// Acknowledgment number.
    pub ack: RowNumber,
    /// Window, not scaled.
    pub window: Option<u16>,
    /// Payload bytes on the wire; 0 where they are not told.
    pub length: u32,
    /// What the text says of a SYN that has been there before.
    pub repeat: RowRepeat,
}

/// A sequence or acknowledgment number, as far as a row tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowNumber {
    /// As it was on the wire.
    Wire(u32),
    /// Counted from the first one of its direction, as Wireshark shows it.
    Relative(u32),
    /// Not told.
    Untold,
    /// Put in so that it fits the other rows of the flow. Not to be shown.
    Fitted(u32),
}

impl RowNumber {
    /// The number, whatever it is worth; 0 for none.
    pub fn value(self) -> u32 {
        match self {
            RowNumber::Wire(number) | RowNumber::Relative(number) | RowNumber::Fitted(number) => {
                number
            }
            RowNumber::Untold => 0,
        }
    }

    /// The number as it was on the wire.
    pub fn on_wire(self) -> Option<SeqNumber> {
        match self {
            RowNumber::Wire(number) => Some(SeqNumber(number)),
            RowNumber::Relative(_) | RowNumber::Untold | RowNumber::Fitted(_) => None,
        }
    }
}

/// What a text says of a SYN between ports that had one before. Without a word, the numbers and
/// what came between the two decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowRepeat {
    /// Nothing.
    Unsaid,
    /// The same SYN again: `[SynReTransmit #101]`, `[TCP Retransmission]`.
    Retransmitted,
    /// A new connection: `[TCP Port numbers reused]`.
    Reused,
}

/// What the frame of a row holds where it is nothing of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOther {
    /// Address resolution.
    Arp,
    /// An ICMP message that is no error about TCP or UDP, or does not tell about what.
    Icmp,
    /// Another protocol above IP, by its number.
    IpProtocol(u8),
    /// Another protocol above the link, by its number.
    EtherType(u16),
    /// A protocol of which the row does not tell the ports.
    NoPorts,
    /// A record of the capturing program.
    NoTraffic,
}
