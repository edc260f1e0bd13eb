//! Reads the header of a pcap file, and tells which of the many layouts its records have.
//!
//! Most writers of pcap that wanted more in a record changed the magic number, some did not.
//! Those are told by trying: the layout is the first one whose next records all make sense.

use pcap_parser::{PcapHeader, parse_pcap_header};
use pcap_parser::{parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified};

use crate::capture::byte_order::ByteOrder;
use crate::capture::{Error, LinkType, MOST_FRAME_BYTES};

/// Bytes of the header in nearly every file.
const HEADER_BYTES: usize = 24;

/// Records tried to tell a layout.
const RECORDS_TRIED: usize = 4;

/// Captured bytes that a record may claim while a layout is being told. What one writer limits
/// frames to (the "maximum snapshot length" of libpcap).
const SANE_BYTES: u32 = 256 << 10;

/// Bytes that are enough to tell a layout. More are not looked at, so that what is told does not
/// depend on how much was read.
pub(super) const ENOUGH_BYTES: usize = 64 << 10;

/// Seconds between two records that still make sense while a layout is being told: ten years.
const SANE_STEP: u32 = 10 * 366 * 24 * 3600;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of it.
    pub(super) bytes: usize,
    /// How to call the format.
    pub(super) name: &'static str,
    /// What the frames begin with.
    pub(super) link_type: LinkType,
    /// How the records are laid out.
    pub(super) layout: Layout,
}

/// How the records are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    framing: Framing,
    /// Whether fractions of a second are nanoseconds, else microseconds.
    pub(super) nanoseconds: bool,
    lengths: Lengths,
    /// Bytes between the record header and the frame that the captured length counts in.
    inner: u32,
}

/// Who takes a record apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// pcap-parser: 16 bytes of header, least significant byte first.
    Little,
    /// pcap-parser: 16 bytes of header, most significant byte first.
    Big,
    /// pcap-parser: 24 bytes of header, least significant byte first.
    Modified,
    /// We, because pcap-parser knows no such layout: a header of that many bytes which begins
    /// with the four usual fields.
    Own(ByteOrder, usize),
}

/// Order of the two lengths in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    /// Captured, then original.
    Usual,
    /// Original, then captured.
    Swapped,
    /// Either: both were written under version 2.3. The captured length is the smaller one.
    Either,
}

/// A record whose bytes are all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) seconds: u32,
    pub(super) fraction: u32,
    /// Bytes from the beginning of the record to the frame.
    pub(super) frame_start: usize,
    /// Bytes of the frame in the file.
    pub(super) captured: u32,
    /// Bytes of the frame on the wire.
    pub(super) original: u32,
    /// Bytes of the record.
    pub(super) bytes: usize,
}

/// The magic numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Magic {
    /// The usual one, of several writers.
    Microseconds,
    Nanoseconds,
    /// Alexey Kuznetzov's patch, in Linux distributions of the 1990s.
    Modified,
    /// Daniel Borkmann's netsniff-ng.
    Netsniff,
    /// IXIA's hardware and software, which add a total length to the header.
    Ixia,
}

/// The magic number and byte order that a file begins with.
fn magic(bytes: &[u8]) -> Option<(Magic, ByteOrder)> {
    let kind = |number: u32| match number {
        0xa1b2_c3d4 => Some(Magic::Microseconds),
        0xa1b2_3c4d => Some(Magic::Nanoseconds),
        0xa1b2_cd34 => Some(Magic::Modified),
        0xa1e2_cb12 => Some(Magic::Netsniff),
        0x1c00_01ab | 0x1c00_01ac => Some(Magic::Ixia),
        _ => None,
    };
    [ByteOrder::Little, ByteOrder::Big]
        .into_iter()
        .find_map(|order| Some((kind(order.u32(bytes, 0)?)?, order)))
}

/// Whether a file that begins like this is a pcap file.
pub(super) fn begins(bytes: &[u8]) -> bool {
    magic(bytes).is_some()
}

/// Whether a record that begins like this is the header of a second file, joined to the first.
///
/// As a record it would be an empty frame, with the magic number for its time and the version
/// for the fraction: every other field of a header is as good as always zero.
pub(super) fn is_second_header(bytes: &[u8]) -> bool {
    let check = || {
        let (_, order) = magic(bytes)?;
        let version = (order.u16(bytes, 4)?, order.u16(bytes, 6)?);
        let zero = order.u64(bytes, 8)? == 0;
        let snap_length = order.u32(bytes, 16)?;
        Some(zero && version.0 == 2 && version.1 <= 4 && snap_length <= MOST_FRAME_BYTES)
    };
    check().unwrap_or(false)
}

/// Reads the header at the beginning of `bytes`. `whole` says that no byte follows them.
pub(super) fn read(bytes: &[u8], whole: bool) -> Result<Header, Error> {
    let whole = whole && bytes.len() <= ENOUGH_BYTES;
    let bytes = bytes.get(..ENOUGH_BYTES).unwrap_or(bytes);
    let cut_off = || Error::CutOff { format: "pcap", bytes: bytes.len() };
    let (magic, order) = magic(bytes).ok_or(Error::Unknown)?;
    let fields = parse(bytes, order).ok_or_else(cut_off)?;
    let (major, minor) = (fields.version_major, fields.version_minor);
    if major != 2 {
        return Err(Error::Version { format: "pcap", major, minor, known: "2.0 to 2.4" });
    }
    // The upper half of the field tells how many bytes of each frame's end are its check
    // sequence. They are counted in the lengths, and no layer reads that far.
    let link = fields.network.0 & 0xffff;
    let lengths = match minor {
        0..=2 => Lengths::Swapped,
        3 => Lengths::Either,
        _ => Lengths::Usual,
    };
    let usual = match (order, lengths) {
        (ByteOrder::Little, Lengths::Usual) => Framing::Little,
        (ByteOrder::Big, Lengths::Usual) => Framing::Big,
        // pcap-parser takes the first length for the captured one.
        (_, Lengths::Swapped | Lengths::Either) => Framing::Own(order, 16),
    };
    let mut header = Header {
        bytes: HEADER_BYTES,
        name: "pcap",
        link_type: LinkType::pcap(u16::try_from(link).unwrap_or(u16::MAX)),
        layout: Layout { framing: usual, nanoseconds: false, lengths, inner: 0 },
    };
    match magic {
        Magic::Microseconds => {
            if let (2, Some(link_type)) = (minor, aix_link_type(link)) {
                header.name = "AIX pcap";
                header.link_type = link_type;
                header.layout.nanoseconds = true;
                header.layout.lengths = Lengths::Usual;
            } else {
                let records = bytes.get(header.bytes..).unwrap_or_default();
                header.tell_plain_layout(records, whole, order, link == NOKIA_ATM);
            }
        }
        Magic::Nanoseconds => header.layout.nanoseconds = true,
        Magic::Modified => {
            header.name = "modified pcap";
            let records = bytes.get(header.bytes..).unwrap_or_default();
            header.tell_modified_layout(records, whole, order);
        }
        Magic::Netsniff => {
            // Fields of its `pcap_pkthdr_bkm`: seconds, nanoseconds, captured, original, clock
            // source, interface, protocol, hardware and packet type.
            header.name = "netsniff-ng pcap";
            header.layout.nanoseconds = true;
            header.layout.framing = Framing::Own(order, 24);
        }
        Magic::Ixia => {
            header.name = "IXIA pcap";
            header.bytes = HEADER_BYTES + 4;
            if bytes.len() < header.bytes {
                return Err(cut_off());
            }
        }
    }
    Ok(header)
}

/// Reads the fields of the header with pcap-parser, which knows five of the magic numbers: the
/// others stand before the same fields, so it is shown a magic number that it knows.
fn parse(bytes: &[u8], order: ByteOrder) -> Option<PcapHeader> {
    let mut copy: [u8; HEADER_BYTES] = *bytes.first_chunk()?;
    let known: u32 = 0xa1b2_c3d4;
    *copy.first_chunk_mut()? = match order {
        ByteOrder::Little => known.to_le_bytes(),
        ByteOrder::Big => known.to_be_bytes(),
    };
    parse_pcap_header(&copy).ok().map(|(_, header)| header)
}

/// ATM, as Nokia's firewalls capture it under the plain magic.
const NOKIA_ATM: i32 = 13;

/// AIX writes the interface types of RFC 1573 for link types.
fn aix_link_type(interface_type: i32) -> Option<LinkType> {
    match interface_type {
        6 => Some(LinkType::ETHERNET),
        9 => Some(LinkType::pcap(6)),
        15 => Some(LinkType::pcap(10)),
        24 => Some(LinkType::NULL),
        _ => None,
    }
}

impl Header {
    /// Tells the layout under the plain magic: Red Hat 6.1 and others wrote Kuznetzov's records
    /// there, and Nokia four bytes more than usual.
    fn tell_plain_layout(&mut self, records: &[u8], whole: bool, order: ByteOrder, nokia: bool) {
        let usual = self.layout;
        // Wireshark takes the first four bytes of such a frame for an ATM header.
        let longer = Layout { framing: Framing::Own(order, 20), inner: 4, ..usual };
        let modified = Layout { framing: modified_framing(order), ..usual };
        if usual.fit(records, whole) != Fit::No {
            return;
        }
        if nokia && longer.fit(records, whole) == Fit::Whole {
            (self.name, self.layout) = ("Nokia pcap", longer);
        } else if modified.fit(records, whole) == Fit::Whole {
            (self.name, self.layout) = ("modified pcap", modified);
        }
    }

    /// Tells the layout under Kuznetzov's magic: a patch of his patch wrote four bytes more.
    fn tell_modified_layout(&mut self, records: &[u8], whole: bool, order: ByteOrder) {
        let modified = Layout { framing: modified_framing(order), ..self.layout };
        let longer = Layout { framing: Framing::Own(order, 28), ..self.layout };
        let is_longer =
            modified.fit(records, whole) != Fit::Whole && longer.fit(records, whole) == Fit::Whole;
        self.layout = if is_longer { longer } else { modified };
    }
}

/// pcap-parser takes Kuznetzov's records apart in one byte order only.
fn modified_framing(order: ByteOrder) -> Framing {
    match order {
        ByteOrder::Little => Framing::Modified,
        ByteOrder::Big => Framing::Own(order, 24),
    }
}

impl Layout {
    /// The record at the beginning of `bytes`; `None` where not all of it is there.
    #[inline]
    pub(super) fn record(&self, bytes: &[u8]) -> Option<Record> {
        let (header, seconds, fraction, first, second) = match self.framing {
            Framing::Little => {
                let (_, block) = parse_pcap_frame(bytes).ok()?;
                (16, block.ts_sec, block.ts_usec, block.caplen, block.origlen)
            }
            Framing::Big => {
                let (_, block) = parse_pcap_frame_be(bytes).ok()?;
                (16, block.ts_sec, block.ts_usec, block.caplen, block.origlen)
            }
            Framing::Modified => {
                let (_, block) = parse_pcap_frame_modified(bytes).ok()?;
                (24, block.ts_sec, block.ts_usec, block.caplen, block.origlen)
            }
            Framing::Own(order, header) => (
                header,
                order.u32(bytes, 0)?,
                order.u32(bytes, 4)?,
                order.u32(bytes, 8)?,
                order.u32(bytes, 12)?,
            ),
        };
        let (captured, original) = self.lengths.sort(first, second);
        let end = header.checked_add(usize::try_from(captured).ok()?)?;
        if end > bytes.len() {
            return None;
        }
        let inner = self.inner.min(captured);
        Some(Record {
            seconds,
            fraction,
            frame_start: header + inner as usize,
            captured: captured - inner,
            original: original.saturating_sub(inner),
            bytes: end,
        })
    }

    /// The record at the beginning of `bytes` by its header alone, whether its frame is there or
    /// not; `None` where the header is not there.
    pub(super) fn promised(&self, bytes: &[u8]) -> Option<Record> {
        let (order, header) = match self.framing {
            Framing::Little => (ByteOrder::Little, 16),
            Framing::Big => (ByteOrder::Big, 16),
            Framing::Modified => (ByteOrder::Little, 24),
            Framing::Own(order, header) => (order, header),
        };
        let (first, second) = (order.u32(bytes, 8)?, order.u32(bytes, 12)?);
        let (captured, original) = self.lengths.sort(first, second);
        (bytes.len() >= header).then_some(Record {
            seconds: order.u32(bytes, 0)?,
            fraction: order.u32(bytes, 4)?,
            frame_start: header,
            captured,
            original,
            bytes: header.saturating_add(captured as usize),
        })
    }

    /// How well the next records make sense in this layout. `whole` says that no byte follows.
    fn fit(&self, records: &[u8], whole: bool) -> Fit {
        let second = if self.nanoseconds { 1_000_000_000 } else { 1_000_000 };
        let mut rest = records;
        let mut before = None;
        for tried in 0..RECORDS_TRIED {
            if rest.is_empty() && whole {
                // All layouts have the same first header: it proves nothing.
                return if tried < 2 { Fit::Cut } else { Fit::Whole };
            }
            let Some(record) = self.promised(rest) else {
                return Fit::Cut;
            };
            let sane = record.captured <= SANE_BYTES
                && record.captured <= record.original
                && record.fraction < second
                && before.is_none_or(|seconds| record.seconds.abs_diff(seconds) <= SANE_STEP);
            if !sane {
                return Fit::No;
            }
            let Some(next) = rest.get(record.bytes..) else {
                return if whole || tried < 1 { Fit::Cut } else { Fit::Whole };
            };
            before = Some(record.seconds);
            rest = next;
        }
        Fit::Whole
    }
}

/// How well records make sense in a layout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// All that were tried do, or all there are.
    Whole,
    /// There are too few to tell, or the file ends in the middle of one.
    Cut,
    /// One does not.
    No,
}

impl Lengths {
    /// The captured and the original length, of the two in the order of the record.
    #[inline]
    fn sort(self, first: u32, second: u32) -> (u32, u32) {
        match self {
            Lengths::Usual => (first, second),
            Lengths::Swapped => (second, first),
            Lengths::Either => (first.min(second), first.max(second)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header: magic number, version, link field.
    fn header(order: ByteOrder, magic: u32, minor: u16, link: u32) -> Vec<u8> {
        let number = |value: u32| match order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        };
        let version = match order {
            ByteOrder::Little => [2, 0, minor.to_le_bytes()[0], 0],
            ByteOrder::Big => [0, 2, 0, minor.to_le_bytes()[0]],
        };
        [number(magic), version, number(0), number(0), number(65535), number(link)].concat()
    }

    /// Records of `header` bytes with 40 bytes of frame each, one second apart.
    fn records(order: ByteOrder, header: usize, count: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..count {
            for value in [1_700_000_000 + number, 5, 40, 60] {
                bytes.extend(match order {
                    ByteOrder::Little => value.to_le_bytes(),
                    ByteOrder::Big => value.to_be_bytes(),
                });
            }
            bytes.resize(bytes.len() + header - 16, 0);
            bytes.extend([0xff; 40]);
        }
        bytes
    }

    #[test]
    fn every_layout_is_told_in_both_byte_orders() {
        // Record lengths and names as tshark 4.0.17 reads such files; netsniff-ng's from its
        // sources.
        for (magic, minor, link, record, count, name) in [
            (0xa1b2_c3d4, 4, 1, 16, 3, "pcap"),
            (0xa1b2_c3d4, 4, 1, 16, 1, "pcap"),
            (0xa1b2_c3d4, 4, 1, 16, 0, "pcap"),
            (0xa1b2_3c4d, 4, 1, 16, 3, "pcap"),
            (0xa1b2_c3d4, 4, 1, 24, 3, "modified pcap"),
            (0xa1b2_cd34, 4, 1, 24, 3, "modified pcap"),
            (0xa1b2_cd34, 4, 1, 28, 3, "modified pcap"),
            (0xa1e2_cb12, 4, 1, 24, 3, "netsniff-ng pcap"),
            (0xa1b2_c3d4, 4, 13, 16, 3, "pcap"),
            (0xa1b2_c3d4, 4, 13, 20, 3, "Nokia pcap"),
            (0xa1b2_c3d4, 2, 6, 16, 3, "AIX pcap"),
        ] {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                let mut file = header(order, magic, minor, link);
                file.extend(records(order, record, count));
                let told = read(&file, true).unwrap();
                assert_eq!(told.name, name, "{magic:#x} {record}");
                let mut rest = &file[told.bytes..];
                let mut read = 0;
                while let Some(record) = told.layout.record(rest) {
                    rest = &rest[record.bytes..];
                    read += 1;
                }
                assert_eq!((read, rest.len()), (count, 0), "{magic:#x} {record} {order:?}");
            }
        }
    }

    #[test]
    fn link_types_are_freed_of_the_check_sequence_bits() {
        let file = header(ByteOrder::Little, 0xa1b2_c3d4, 4, 0x2400_0001);
        assert_eq!(read(&file, true).unwrap().link_type, LinkType::ETHERNET);
    }

    #[test]
    fn aix_numbers_its_interfaces_in_its_own_way() {
        // As tshark 4.0.17: 6 is Ethernet and 24 the BSD loopback.
        for (number, link_type) in [(6, LinkType::ETHERNET), (24, LinkType::NULL)] {
            let told = read(&header(ByteOrder::Big, 0xa1b2_c3d4, 2, number), true).unwrap();
            assert_eq!((told.link_type, told.layout.nanoseconds), (link_type, true));
        }
    }

    #[test]
    fn lengths_were_swapped_before_version_2_4() {
        // libpcap and tshark: always before 2.3, and in 2.3 where the first is the larger.
        for (minor, first, second, expected) in [
            (2, 60, 40, (40, 60)),
            (3, 60, 40, (40, 60)),
            (3, 40, 60, (40, 60)),
            (4, 40, 60, (40, 60)),
        ] {
            let file = header(ByteOrder::Little, 0xa1b2_c3d4, minor, 1);
            let layout = read(&file, true).unwrap().layout;
            let mut record = [1_u32, 0, first, second].map(u32::to_le_bytes).concat();
            record.resize(16 + 40, 0);
            let record = layout.record(&record).unwrap();
            assert_eq!((record.captured, record.original), expected, "version 2.{minor}");
        }
    }

    #[test]
    fn a_version_that_nobody_wrote_is_refused() {
        let mut file = header(ByteOrder::Little, 0xa1b2_c3d4, 4, 1);
        file[4] = 1;
        assert!(matches!(read(&file, true), Err(Error::Version { major: 1, minor: 4, .. })));
        assert!(matches!(read(&file[..23], true), Err(Error::CutOff { bytes: 23, .. })));
    }
}
