//! Reads pcapng captures: sections and interfaces of every kind.
//!
//! Frames are numbered as Wireshark numbers them: packets in the order of the file, and the
//! blocks that it shows among them though they are none (systemd journal entries, vendors' own
//! blocks, Sysdig's events). Keys in the file (decryption secrets) are passed over unread.

use std::net::IpAddr;

use pcap_parser::{Block, InterfaceDescriptionBlock, NameRecordType, PcapNGOption};

use crate::capture::byte_order::ByteOrder;
use crate::capture::pcapng::block::Outline;
use crate::capture::pcapng::clock::Ticks;
use crate::capture::pcapng::oddity::{Oddities, Oddity};
use crate::capture::pieces::Pieces;
use crate::capture::{CaptureReader, CaptureSummary, Error, FrameBatch, LinkType, Opened};
use crate::capture::{MOST_FRAME_BYTES, Severity};
use crate::net::{FrameNumber, KnownName, NameSource};

pub use write::PcapngWriter;

mod block;
mod clock;
mod oddity;
mod write;

/// Bytes of a block that we read. A longer one is passed over.
const MOST_BLOCK_BYTES: u32 = MOST_FRAME_BYTES + (64 << 10);

/// Interfaces kept of one section.
const MOST_INTERFACES: usize = 1 << 16;

/// Names kept of one capture.
const MOST_NAMES: usize = 1 << 16;

/// Option code of a comment, in every block.
const COMMENT: u16 = 1;

/// Whether a file that begins like this is a pcapng file.
pub(super) fn begins(head: &[u8]) -> bool {
    head.starts_with(&block::SECTION_HEADER.to_le_bytes())
}

/// Begins to read a pcapng file.
pub(super) fn open(opened: Opened) -> Result<Box<dyn CaptureReader>, Error> {
    let cut_off = Error::CutOff { format: "pcapng", bytes: opened.head.len() };
    let word = opened.head.get(8..12).ok_or(cut_off)?;
    let order = block::byte_order(word)
        .ok_or(Error::Damaged { format: "pcapng", why: "the byte-order word is none" })?;
    if let (Some(major), Some(minor)) = (order.u16(&opened.head, 12), order.u16(&opened.head, 14))
        && !version_known(major, minor)
    {
        return Err(Error::Version { format: "pcapng", major, minor, known: "1.0 and 1.2" });
    }
    let mut summary = CaptureSummary::of(&opened.shown_as);
    summary.format = Some("pcapng".to_owned());
    Ok(Box::new(PcapngReader {
        pieces: Pieces::new(opened),
        summary,
        order,
        interfaces: Vec::new(),
        digits: None,
        unknown_section: false,
        dropped: 0,
        oddities: Oddities::default(),
        ended: false,
    }))
}

/// 1.2 differs from 1.0 in nothing, and was written by nobody for long.
fn version_known(major: u16, minor: u16) -> bool {
    major == 1 && matches!(minor, 0 | 2)
}

struct PcapngReader {
    pieces: Pieces,
    summary: CaptureSummary,
    /// Byte order of the section.
    order: ByteOrder,
    /// Interfaces of the section.
    interfaces: Vec<Interface>,
    /// Most digits of a second that an interface tells apart.
    digits: Option<u8>,
    /// Whether the section is of a version that we do not read.
    unknown_section: bool,
    /// Packets that were lost while capturing, in the sections before this one.
    dropped: u64,
    oddities: Oddities,
    ended: bool,
}

struct Interface {
    link_type: LinkType,
    snap_length: u32,
    ticks: Ticks,
    /// Packets lost, by the latest statistics.
    dropped: u64,
}

impl CaptureReader for PcapngReader {
    fn next_batch(&mut self, mut spare: FrameBatch) -> Option<FrameBatch> {
        if self.ended {
            return None;
        }
        spare.restart_in_place(FrameNumber(self.summary.frames.saturating_add(1)));
        let mut filled = self.pieces.fill(&mut spare.bytes);
        let mut at = 0;
        loop {
            let rest = spare.bytes.get(at..filled).unwrap_or_default();
            match block::outline(rest, self.order, MOST_BLOCK_BYTES) {
                Outline::Whole { kind: block::ENHANCED_PACKET, length }
                    if !self.unknown_section =>
                {
                    let block = rest.get(..length).unwrap_or_default();
                    let packet = block::enhanced_packet(block, self.order);
                    self.packet(&mut spare, at, length, packet);
                    at += length;
                }
                Outline::Whole { kind, length } => {
                    self.block(&mut spare, at, kind, length);
                    at += length;
                }
                Outline::Part if spare.is_empty() => {
                    if self.pieces.ended() {
                        self.end(at, filled);
                        break;
                    }
                    filled = self.pieces.extend(&mut spare.bytes, filled);
                }
                Outline::Part => {
                    self.pieces.carry(at, rest);
                    break;
                }
                Outline::Long(length) => {
                    let (offset, behind) = (self.pieces.offset(at), length as usize - rest.len());
                    if self.pieces.skip(filled, behind as u64) > 0 {
                        self.stop(self.why_lacking(length), offset);
                        break;
                    }
                    self.odd(Oddity::Long, offset);
                    if !spare.is_empty() {
                        break;
                    }
                    (filled, at) = (self.pieces.fill(&mut spare.bytes), 0);
                }
                Outline::Damaged(why) => {
                    self.stop(
                        format!(
                            "no block can begin here ({why}): the capture is damaged from here on, \
                             and only what stands before is read"
                        ),
                        self.pieces.offset(at),
                    );
                    break;
                }
            }
        }
        (!spare.is_empty()).then_some(spare)
    }

    fn finish(mut self: Box<Self>) -> CaptureSummary {
        self.end_section();
        let mut summary = self.summary;
        if let Some(digits) = self.digits {
            summary.clock.digits = digits;
        }
        summary.problems.extend(self.oddities.problems());
        if self.dropped > 0 {
            let message = format!(
                "the capturing program lost {} packets that it could not keep up with: what is \
                 missing here may have been on the wire",
                self.dropped
            );
            summary.problem(Severity::Info, message, None, None);
        }
        (summary.bytes, summary.sha256) = self.pieces.finish();
        summary
    }
}

impl PcapngReader {
    /// Reads a block that is all there, at `at` in the batch.
    fn block(&mut self, batch: &mut FrameBatch, at: usize, kind: u32, length: usize) {
        let range = at..at.saturating_add(length);
        // Lent, so that frames can be marked in the batch while its bytes are looked at.
        let bytes = std::mem::take(&mut batch.bytes);
        let block = bytes.get(range).unwrap_or_default();
        if kind == block::SECTION_HEADER {
            self.section(block, at);
        } else if !self.unknown_section {
            match kind {
                block::OBSOLETE_PACKET => {
                    let packet = block::obsolete_packet(block, self.order);
                    batch.bytes = bytes;
                    return self.packet(batch, at, length, packet);
                }
                block::SIMPLE_PACKET => self.simple_packet(batch, block, at),
                block::INTERFACE => self.interface(block, at),
                block::NAMES => self.names(block, at),
                block::STATISTICS => self.statistics(block, at),
                block::JOURNAL => self.no_packet(batch, at, length, 0, LinkType::JOURNAL),
                block::SYSTEM_CALL => self.no_packet(batch, at, length, 0, LinkType::SYSTEM_CALL),
                block::CUSTOM | block::CUSTOM_PRIVATE => {
                    // The vendor's number comes first.
                    self.no_packet(batch, at, length, 4, LinkType::CUSTOM_BLOCK);
                }
                _ => {}
            }
        }
        batch.bytes = bytes;
    }

    /// Marks the packet of the block at `at`, if its fields could be read.
    #[inline]
    fn packet(
        &mut self,
        batch: &mut FrameBatch,
        at: usize,
        length: usize,
        packet: Option<block::Packet>,
    ) {
        let Some(packet) = packet else {
            return self.odd(Oddity::Unreadable, self.pieces.offset(at));
        };
        let block = batch.bytes.get(at..at.saturating_add(length)).unwrap_or_default();
        let present = packet.present(block);
        let options = packet.options(block);
        if !options.is_empty() {
            let number = batch.next_number();
            self.comments(options, Some(number));
        }
        let (time, link_type) =
            if let Some(interface) = self.interfaces.get(packet.interface as usize) {
                (interface.ticks.time(packet.ticks), interface.link_type)
            } else {
                self.odd(Oddity::Undeclared, self.pieces.offset(at));
                (None, LinkType::UNDECLARED)
            };
        if present < packet.captured {
            self.odd(Oddity::Overlong, self.pieces.offset(at));
        }
        batch.mark(at + packet.frame_start, present, packet.original, time, link_type);
        self.summary.count_frame(time, link_type);
    }

    /// A Simple Packet Block has no time, no captured length, and is of the first interface.
    fn simple_packet(&mut self, batch: &mut FrameBatch, block: &[u8], at: usize) {
        let Some(Block::SimplePacket(packet)) = block::read(block, self.order) else {
            return self.odd(Oddity::Unreadable, self.pieces.offset(at));
        };
        let room = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
        let mut captured = packet.origlen.min(room);
        let link_type = if let Some(interface) = self.interfaces.first() {
            if interface.snap_length > 0 {
                captured = captured.min(interface.snap_length);
            }
            interface.link_type
        } else {
            self.odd(Oddity::Undeclared, self.pieces.offset(at));
            LinkType::UNDECLARED
        };
        batch.mark(at + block::BEFORE_BODY + 4, captured, packet.origlen, None, link_type);
        self.summary.count_frame(None, link_type);
    }

    /// Gives a block that is no packet the frame number that Wireshark gives it. Its contents
    /// begin `inside` bytes behind the beginning of its body.
    fn no_packet(
        &mut self,
        batch: &mut FrameBatch,
        at: usize,
        length: usize,
        inside: usize,
        link_type: LinkType,
    ) {
        let body = length.saturating_sub(block::BEFORE_BODY + inside + 4);
        let body = u32::try_from(body).unwrap_or(0);
        batch.mark(at + block::BEFORE_BODY + inside, body, body, None, link_type);
        self.summary.count_frame(None, link_type);
    }

    fn section(&mut self, block: &[u8], at: usize) {
        self.end_section();
        let order = block.get(8..12).and_then(block::byte_order).unwrap_or(self.order);
        self.order = order;
        let Some(Block::SectionHeader(header)) = block::read(block, order) else {
            self.unknown_section = true;
            return self.odd(Oddity::Unreadable, self.pieces.offset(at));
        };
        self.unknown_section = !version_known(header.major_version, header.minor_version);
        if self.unknown_section {
            return self.odd(Oddity::Version, self.pieces.offset(at));
        }
        self.comments_of(&header.options);
    }

    fn interface(&mut self, block: &[u8], at: usize) {
        if self.interfaces.len() >= MOST_INTERFACES {
            return self.odd(Oddity::Interfaces, self.pieces.offset(at));
        }
        let Some(Block::InterfaceDescription(description)) = block::read(block, self.order) else {
            self.interfaces.push(Interface::UNKNOWN);
            return self.odd(Oddity::Unreadable, self.pieces.offset(at));
        };
        let interface = Interface::of(&description, self.order);
        self.digits = Some(
            self.digits.map_or(interface.ticks.digits, |digits| digits.max(interface.ticks.digits)),
        );
        self.interfaces.push(interface);
        self.comments_of(&description.options);
        for option in &description.options {
            let Ok(bytes) = option.as_bytes() else { continue };
            // if_IPv4addr and if_IPv6addr: an address, and its mask or the length of its prefix.
            let address: Option<IpAddr> = match option.code.0 {
                4 => bytes.first_chunk::<4>().map(|address| (*address).into()),
                5 => bytes.first_chunk::<16>().map(|address| (*address).into()),
                _ => None,
            };
            if let Some(address) = address
                && self.summary.own_addresses.len() < MOST_INTERFACES
                && !self.summary.own_addresses.contains(&address)
            {
                self.summary.own_addresses.push(address);
            }
        }
        // The option's first byte tells the kind of filter; 0 is the text that was typed.
        for option in description.options.iter().filter(|option| option.code.0 == 11) {
            if let Ok([0, text @ ..]) = option.as_bytes() {
                let text = String::from_utf8_lossy(text);
                self.summary.comment(None, &format!("captured with filter {text}"));
            }
        }
    }

    fn names(&mut self, block: &[u8], at: usize) {
        let Some(Block::NameResolution(names)) = block::read(block, self.order) else {
            return self.odd(Oddity::Unreadable, self.pieces.offset(at));
        };
        for record in names.nr {
            let bytes = record.record_value;
            let (address, names): (IpAddr, _) = match record.record_type {
                NameRecordType::Ipv4 => match bytes.split_first_chunk::<4>() {
                    Some((address, names)) => ((*address).into(), names),
                    None => continue,
                },
                NameRecordType::Ipv6 => match bytes.split_first_chunk::<16>() {
                    Some((address, names)) => ((*address).into(), names),
                    None => continue,
                },
                _ => continue,
            };
            // pcap-parser leaves the padding on: zeros, as are the ends of the names.
            for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
                if self.summary.names.len() < MOST_NAMES {
                    let name = String::from_utf8_lossy(name).into_owned();
                    let source = NameSource::Capture;
                    self.summary.names.push(KnownName { address, source, name });
                }
            }
        }
        self.comments_of(&names.options);
    }

    fn statistics(&mut self, block: &[u8], at: usize) {
        let Some(Block::InterfaceStatistics(statistics)) = block::read(block, self.order) else {
            return self.odd(Oddity::Unreadable, self.pieces.offset(at));
        };
        let Some(interface) = self.interfaces.get_mut(statistics.if_id as usize) else { return };
        // Packets that the interface (5) and the operating system (7) had no room for.
        let lost = |code| {
            let option = statistics.options.iter().find(|option| option.code.0 == code)?;
            self.order.u64(option.as_bytes().ok()?, 0)
        };
        interface.dropped = lost(5).unwrap_or(0).saturating_add(lost(7).unwrap_or(0));
        self.comments_of(&statistics.options);
    }

    /// Keeps the comments among the options of a packet.
    fn comments(&mut self, options: &[u8], frame: Option<FrameNumber>) {
        for (_, text) in block::options(options, self.order).filter(|(code, _)| *code == COMMENT) {
            self.summary.comment(frame, &String::from_utf8_lossy(text));
        }
    }

    /// Keeps the comments among the options of a block that is no packet.
    fn comments_of(&mut self, options: &[PcapNGOption<'_>]) {
        for option in options.iter().filter(|option| option.code.0 == COMMENT) {
            if let Ok(text) = option.as_bytes() {
                self.summary.comment(None, &String::from_utf8_lossy(text));
            }
        }
    }

    fn odd(&mut self, oddity: Oddity, offset: u64) {
        let frame = self.next_frame();
        self.oddities.note(oddity, offset, frame);
    }

    /// Forgets the section's interfaces. Their statistics count from its beginning.
    fn end_section(&mut self) {
        for interface in self.interfaces.drain(..) {
            self.dropped = self.dropped.saturating_add(interface.dropped);
        }
    }

    /// Ends at damage.
    fn stop(&mut self, message: String, offset: u64) {
        self.ended = true;
        let frame = self.next_frame();
        self.summary.problem(Severity::Error, message, Some(offset), Some(frame));
    }

    /// Ends where the file does, in good order or in the middle of a block.
    fn end(&mut self, at: usize, filled: usize) {
        if let Some(failure) = self.pieces.failure() {
            let message = format!("reading stopped before the end of the file: {failure}");
            self.stop(message, self.pieces.offset(filled));
        } else if at < filled {
            let (offset, frame) = (self.pieces.offset(at), self.next_frame());
            self.summary.cut_off(offset, frame);
        }
        self.ended = true;
    }

    /// Why a long block could not be passed over.
    fn why_lacking(&self, length: u32) -> String {
        match self.pieces.failure() {
            Some(failure) => format!("reading stopped before the end of the file: {failure}"),
            None => format!(
                "the block claims {length} bytes, more than the file has: the capture is damaged \
                 from here on, and only what stands before is read"
            ),
        }
    }

    fn next_frame(&self) -> FrameNumber {
        FrameNumber(self.summary.frames.saturating_add(1))
    }
}

impl Interface {
    /// An interface whose description makes no sense. It keeps the place of a real one, so that
    /// those after it keep their numbers.
    const UNKNOWN: Interface = Interface {
        link_type: LinkType::UNDECLARED,
        snap_length: 0,
        ticks: Ticks::MICROSECONDS,
        dropped: 0,
    };

    fn of(description: &InterfaceDescriptionBlock<'_>, order: ByteOrder) -> Interface {
        let option = |code| {
            let option = description.options.iter().find(|option| option.code.0 == code)?;
            option.as_bytes().ok()
        };
        let resolution = option(9).and_then(|bytes| bytes.first()).copied().unwrap_or(6);
        let offset = option(14).and_then(|bytes| order.u64(bytes, 0)).unwrap_or(0);
        Interface {
            link_type: LinkType::pcap(u16::try_from(description.linktype.0).unwrap_or(u16::MAX)),
            snap_length: description.snaplen,
            ticks: Ticks::new(resolution, offset.cast_signed()),
            dropped: 0,
        }
    }
}

#[cfg(test)]
mod tests;
