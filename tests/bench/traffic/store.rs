//! Stores frames as a capture, in the formats that loads are made in.
//!
//! Frames are written as they come and nothing of them is kept, but for four bytes each where the
//! file ends with a table of them (Network Monitor).

use std::io::{self, Seek, SeekFrom, Write};

/// A format of captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// pcap, microseconds.
    Pcap,
    /// pcapng with one interface, microseconds.
    Pcapng,
    /// Network Monitor 2.3. Its offsets have 32 bits, so a file ends before 4 GiB.
    NetMon,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 3] = [Format::Pcap, Format::Pcapng, Format::NetMon];

    /// The format of a file name, by its end: `.pcap`, `.pcapng` or `.cap`.
    pub fn of_path(path: &str) -> Option<Format> {
        let (_, end) = path.rsplit_once('.')?;
        Format::ALL.into_iter().find(|format| format.extension() == end)
    }

    /// What names of such files end with.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Pcap => "pcap",
            Format::Pcapng => "pcapng",
            Format::NetMon => "cap",
        }
    }
}

/// A capture in the making.
pub struct Store<W> {
    out: W,
    format: Format,
    snap: usize,
    /// Bytes written.
    bytes: u64,
    /// Bytes that a pcap of the same frames has.
    pub bytes_as_pcap: u64,
    /// Where each frame of a Network Monitor capture begins.
    offsets: Vec<u32>,
    /// Time of the first frame.
    start: Option<u64>,
    /// What stands before a frame, and after it.
    head: Vec<u8>,
    tail: Vec<u8>,
}

const NETMON_HEADER: usize = 72;
/// From 1601 to 1970, in units of 100 ns.
const FILETIME_1970: u64 = 116_444_736_000_000_000;

impl<W: Write + Seek> Store<W> {
    /// Begins a capture whose frames are cut at `snap` bytes.
    pub fn new(out: W, format: Format, snap: usize) -> io::Result<Store<W>> {
        let (head, tail) = (Vec::new(), Vec::new());
        let (offsets, start) = (Vec::new(), None);
        let bytes_as_pcap = 24;
        let mut store =
            Store { out, format, snap, bytes: 0, bytes_as_pcap, offsets, start, head, tail };
        let mut header = Vec::new();
        match format {
            Format::Pcap => {
                header.extend(0xa1b2_c3d4_u32.to_le_bytes());
                header.extend([2, 0, 4, 0]);
                header.extend([0; 8]);
                header.extend((snap as u32).to_le_bytes());
                header.extend(1_u32.to_le_bytes()); // Ethernet
            }
            Format::Pcapng => {
                // Section: type, length, byte order, version 1.0, length not told, length.
                words(&mut header, &[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28]);
                // Interface: type, length, Ethernet, snap length, length.
                words(&mut header, &[1, 20, 1, snap as u32, 20]);
            }
            // Told when all is known.
            Format::NetMon => header.resize(NETMON_HEADER, 0),
        }
        store.write(&header)?;
        Ok(store)
    }

    /// Adds a frame, captured at so many nanoseconds since 1970.
    pub fn frame(&mut self, time: u64, frame: &[u8]) -> io::Result<()> {
        let start = *self.start.get_or_insert(time - time % 1_000_000);
        let captured = frame.get(..self.snap).unwrap_or(frame);
        let lengths = [captured.len() as u32, frame.len() as u32];
        let micros = time / 1000;
        let (mut head, mut tail) = (std::mem::take(&mut self.head), std::mem::take(&mut self.tail));
        head.clear();
        tail.clear();
        match self.format {
            Format::Pcap => {
                words(&mut head, &[(micros / 1_000_000) as u32, (micros % 1_000_000) as u32]);
                words(&mut head, &lengths);
            }
            Format::Pcapng => {
                let padding = captured.len().next_multiple_of(4) - captured.len();
                let length = (32 + captured.len() + padding) as u32;
                words(&mut head, &[6, length, 0, (micros >> 32) as u32, micros as u32]);
                words(&mut head, &lengths);
                tail.resize(padding, 0);
                words(&mut tail, &[length]);
            }
            Format::NetMon => {
                self.offsets.push(netmon_offset(self.bytes)?);
                head.extend((micros - start / 1000).to_le_bytes());
                let [captured, original] = lengths;
                words(&mut head, &[original, captured]); // the other way round
                tail.extend(1_u16.to_le_bytes()); // Ethernet
                words(&mut tail, &[u32::MAX]); // no process
                tail.extend((time / 100 + FILETIME_1970).to_le_bytes());
                tail.push(0xff); // no zone
            }
        }
        self.bytes_as_pcap += 16 + captured.len() as u64;
        self.write(&head)?;
        self.write(captured)?;
        self.write(&tail)?;
        (self.head, self.tail) = (head, tail);
        Ok(())
    }

    /// Ends the capture, and says how many bytes it has.
    pub fn finish(mut self) -> io::Result<u64> {
        if self.format == Format::NetMon {
            self.finish_netmon()?;
        }
        self.out.flush()?;
        Ok(self.bytes)
    }

    /// Adds what follows the frames, and the header, which says where that is.
    fn finish_netmon(&mut self) -> io::Result<()> {
        let start = self.start.unwrap_or_default();
        let extended = netmon_offset(self.bytes)?;
        let mut text = 1_u16.to_le_bytes().to_vec();
        text.extend((start / 100 + FILETIME_1970).to_le_bytes());
        text.push(0); // no zones
        let extended_length = text.len() as u32;
        self.write(&text)?;
        let table = netmon_offset(self.bytes)?;
        let offsets = std::mem::take(&mut self.offsets);
        for some in offsets.chunks(4096) {
            let mut bytes = Vec::new();
            words(&mut bytes, some);
            self.write(&bytes)?;
        }

        let mut header = b"GMBU\x03\x02".to_vec();
        header.extend(1_u16.to_le_bytes()); // Ethernet
        header.extend(system_time(start));
        words(&mut header, &[table, (offsets.len() * 4) as u32]);
        words(&mut header, &[0; 6]); // user data, comments, processes
        words(&mut header, &[extended, extended_length]);
        header.resize(NETMON_HEADER, 0);
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

fn words(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend(word.to_le_bytes());
    }
}

fn netmon_offset(bytes: u64) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| {
        io::Error::other(
            "a Network Monitor capture counts its bytes with 32 bits and ends before 4 GiB: make a \
             smaller load, or one as pcap",
        )
    })
}

/// A `SYSTEMTIME` in UTC: year, month, day of the week from Sunday, day, hour, minute, second,
/// millisecond.
fn system_time(time: u64) -> Vec<u8> {
    let (days, milliseconds) = (time / 86_400_000_000_000, time / 1_000_000 % 86_400_000);
    // Howard Hinnant's civil_from_days, for years that begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * march + 2) / 5 + 1, (march + 2) % 12 + 1);
    let year = era * 400 + year + u64::from(month <= 2);
    let seconds = milliseconds / 1000;
    [
        year,
        month,
        (days + 4) % 7, // 1970 began on a Thursday
        day,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        milliseconds % 1000,
    ]
    .into_iter()
    .flat_map(|field| (field as u16).to_le_bytes())
    .collect()
}
