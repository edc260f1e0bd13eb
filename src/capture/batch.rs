//! Frames in batches: one buffer of bytes, and where each frame lies in it.

use std::borrow::Cow;
use std::fmt;

use crate::capture::note::FrameNote;
use crate::net::{FrameNumber, Timestamp};

/// What stands at the beginning of a frame.
///
/// Values up to 65535 are pcap's LINKTYPE numbers. What only Network Monitor has lies above
/// them: [`LinkType::netmon`] of its media code. Above those lie the things that have a frame
/// number in a pcapng file and are no packets: [`LinkType::JOURNAL`] and its neighbours. Last
/// comes what only snoop has: [`LinkType::snoop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(u32);

impl LinkType {
    /// BSD loopback: the address family in the byte order of the capturing machine.
    pub const NULL: LinkType = LinkType(0);
    /// Ethernet.
    pub const ETHERNET: LinkType = LinkType(1);
    /// Raw IPv4 or IPv6, as 12 and 14 on some systems.
    pub const RAW: LinkType = LinkType(101);
    /// OpenBSD loopback: the address family in network byte order.
    pub const LOOP: LinkType = LinkType(108);
    /// Linux "cooked" capture, version 1.
    pub const LINUX_SLL: LinkType = LinkType(113);
    /// Raw IPv4.
    pub const IPV4: LinkType = LinkType(228);
    /// Raw IPv6.
    pub const IPV6: LinkType = LinkType(229);
    /// Linux "cooked" capture, version 2.
    pub const LINUX_SLL2: LinkType = LinkType(276);

    /// An entry of a systemd journal in a pcapng file. No traffic.
    pub const JOURNAL: LinkType = LinkType(0x2_0009);
    /// A block of a vendor's own kind in a pcapng file. No traffic that we could know of.
    pub const CUSTOM_BLOCK: LinkType = LinkType(0x2_0bad);
    /// A system call that Sysdig wrote to a pcapng file. No traffic.
    pub const SYSTEM_CALL: LinkType = LinkType(0x2_0204);
    /// A row of a text that tells of a frame and does not hold its bytes:
    /// [`Row`](crate::capture::Row).
    pub const ROW: LinkType = LinkType(0x2_0001);
    /// A packet of an interface that its pcapng file never describes: it may be anything.
    pub const UNDECLARED: LinkType = LinkType(0x2_ffff);

    const NETMON: u32 = 0x1_0000;
    const SNOOP: u32 = 0x3_0000;

    /// The link type of a pcap LINKTYPE number.
    pub const fn pcap(number: u16) -> LinkType {
        LinkType(number as u32)
    }

    /// The link type of a Network Monitor media code that pcap has no number for.
    pub const fn netmon(media: u16) -> LinkType {
        LinkType(LinkType::NETMON | media as u32)
    }

    /// A data link type of snoop that nobody decodes. Of numbers with more than 16 bits (there
    /// are a few, of Solaris' own) the lower ones are kept.
    pub const fn snoop(data_link: u32) -> LinkType {
        LinkType(LinkType::SNOOP | data_link & 0xffff)
    }

    /// The number that stands for it in this program, and nowhere else.
    pub(super) const fn code(self) -> u32 {
        self.0
    }

    /// The link type that [`LinkType::code`] gave this number.
    pub(super) const fn of_code(code: u32) -> LinkType {
        LinkType(code)
    }

    /// The Network Monitor media code, where this is one.
    pub fn netmon_media(self) -> Option<u16> {
        u16::try_from(self.0.checked_sub(LinkType::NETMON)?).ok()
    }

    /// Whether frames of this type are packets, and not records of the capturing program.
    pub fn holds_traffic(self) -> bool {
        let record = [LinkType::JOURNAL, LinkType::CUSTOM_BLOCK, LinkType::SYSTEM_CALL];
        // From 0xffe0 on Network Monitor's media codes are its own records.
        !record.contains(&self) && self.netmon_media().is_none_or(|media| media < 0xffe0)
    }

    /// The name that tcpdump and Wireshark users know, or the number.
    pub fn name(self) -> Cow<'static, str> {
        if let Some(media) = self.netmon_media() {
            return match media {
                2 => "Token Ring".into(),
                3 => "FDDI".into(),
                4 => "ATM".into(),
                6 => "802.11 (Network Monitor)".into(),
                0xffe0 => "Network Monitor event".into(),
                0xfffb => "Network Monitor network info (extended)".into(),
                0xfffc => "Network Monitor payload header".into(),
                0xfffd => "Network Monitor network info".into(),
                0xfffe => "Network Monitor DNS cache".into(),
                0xffff => "Network Monitor filter".into(),
                other => format!("Network Monitor media {other:#06x}").into(),
            };
        }
        match self.0 {
            0 => "BSD loopback".into(),
            1 => "Ethernet".into(),
            6 => "Token Ring".into(),
            9 => "PPP".into(),
            10 => "FDDI".into(),
            12 | 14 | 101 => "raw IP".into(),
            50 => "PPP in HDLC framing".into(),
            51 => "PPP over Ethernet".into(),
            104 => "Cisco HDLC".into(),
            105 => "802.11".into(),
            107 => "Frame Relay".into(),
            108 => "OpenBSD loopback".into(),
            113 => "Linux cooked v1".into(),
            119 => "802.11 with Prism header".into(),
            122 => "IP over Fibre Channel".into(),
            123 => "ATM (Sun)".into(),
            127 => "802.11 with radiotap header".into(),
            187 | 201 => "Bluetooth".into(),
            189 | 220 => "USB (Linux)".into(),
            192 => "Per-Packet Information".into(),
            195 | 230 => "802.15.4".into(),
            226 => "Solaris ipnet".into(),
            227 => "SocketCAN".into(),
            228 => "raw IPv4".into(),
            229 => "raw IPv6".into(),
            239 => "NFLOG".into(),
            242 => "IP over InfiniBand".into(),
            249 => "USBPcap".into(),
            253 => "netlink".into(),
            271 => "vsock".into(),
            276 => "Linux cooked v2".into(),
            288 => "USB 2.0".into(),
            0x2_0001 => "row of text".into(),
            0x2_0009 => "systemd journal entry".into(),
            0x2_0204 => "Sysdig system call".into(),
            0x2_0bad => "custom pcapng block".into(),
            0x2_ffff => "undeclared interface".into(),
            snoop @ LinkType::SNOOP.. => format!("snoop data link {}", snoop & 0xffff).into(),
            other => format!("link type {other}").into(),
        }
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name())
    }
}

/// A frame: a view into its batch.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its number in the capture, from 1.
    pub number: FrameNumber,
    /// When it was captured; `None` where the capture does not say (pcapng's simple packets).
    pub time: Option<Timestamp>,
    /// What its first bytes are.
    pub link_type: LinkType,
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// Its length on the wire, at least that of `bytes` where the capture is sound.
    pub original_length: u32,
    /// What the format knows of it beside its bytes.
    pub note: Option<FrameNote>,
}

/// Frames that follow each other in a capture, with their bytes in one buffer.
///
/// The buffer may hold bytes between the frames (record headers), so that a reader can fill
/// it with one `read` and mark the frames in place.
#[derive(Debug, Default)]
pub struct FrameBatch {
    /// The bytes the entries point into.
    pub(super) bytes: Vec<u8>,
    first: FrameNumber,
    /// Where the frames have numbers of their own: that of each.
    numbers: Vec<FrameNumber>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    time: Option<Timestamp>,
    start: usize,
    captured: u32,
    original: u32,
    link_type: LinkType,
    note: Option<FrameNote>,
}

impl FrameBatch {
    /// Forgets the frames and the bytes, keeps the memory, and numbers the next frame `first`.
    pub(super) fn restart(&mut self, first: FrameNumber) {
        self.bytes.clear();
        self.restart_in_place(first);
    }

    /// As [`FrameBatch::restart`], but leaves the old bytes standing, for a reader that writes
    /// over them: clearing a buffer only to fill it again costs as much as a copy.
    pub(super) fn restart_in_place(&mut self, first: FrameNumber) {
        self.entries.clear();
        self.numbers.clear();
        self.first = first;
    }

    /// Numbers the frames as if so many others came before them.
    pub(super) fn number_on(&mut self, frames: u64) {
        self.first = FrameNumber(self.first.0.saturating_add(frames));
    }

    /// The number that the next marked frame will have.
    pub(super) fn next_number(&self) -> FrameNumber {
        FrameNumber(self.first.0.saturating_add(self.entries.len() as u64))
    }

    /// Marks `captured` bytes from `start` as the next frame.
    ///
    /// What lies beyond the buffer is left out: [`FrameBatch::frames`] gives such a frame the
    /// bytes that are there.
    pub(super) fn mark(
        &mut self,
        start: usize,
        captured: u32,
        original: u32,
        time: Option<Timestamp>,
        link_type: LinkType,
    ) {
        self.entries.push(Entry { time, start, captured, original, link_type, note: None });
    }

    /// Gives the frame that was marked last a note.
    pub(super) fn note(&mut self, note: FrameNote) {
        if let Some(last) = self.entries.last_mut() {
            last.note = Some(note);
        }
    }

    /// As [`FrameBatch::mark`], for a frame with a number of its own. In one batch either all
    /// frames have one or none.
    pub(super) fn mark_numbered(
        &mut self,
        number: FrameNumber,
        start: usize,
        captured: u32,
        original: u32,
        time: Option<Timestamp>,
        link_type: LinkType,
    ) {
        self.numbers.push(number);
        self.mark(start, captured, original, time, link_type);
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The frames in order.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.entries.iter().zip(self.first.0..).map(|(entry, number)| {
            let rest = self.bytes.get(entry.start..).unwrap_or_default();
            let place = number.wrapping_sub(self.first.0);
            let own = usize::try_from(place).ok().and_then(|place| self.numbers.get(place));
            Frame {
                number: own.copied().unwrap_or(FrameNumber(number)),
                time: entry.time,
                link_type: entry.link_type,
                bytes: rest.get(..entry.captured as usize).unwrap_or(rest),
                original_length: entry.original,
                note: entry.note,
            }
        })
    }
}
