//! Reads a whole trace, buffer by buffer, and gathers what it holds.
//!
//! Events are in order of time in a buffer and not between buffers, and the names of things stand
//! at the end, so that nothing can be said before all of it was read.

use std::collections::BTreeMap;
use std::io;
use std::io::{Read, SeekFrom};

use crate::capture::Source;
use crate::capture::etl::buffer::{self, Header};
use crate::capture::etl::metadata::Metadata;
use crate::capture::etl::ndis::{self, Ndis};
use crate::capture::etl::packets::Origin;
use crate::capture::etl::pktmon::{self, Fields, Pktmon};
use crate::capture::etl::record::{Body, Event, Guid, Records};
use crate::capture::etl::spool::Spool;
use crate::capture::etl::wfp::{self, Wfp};

/// Bytes that compressed buffers may inflate to in all, for each byte of the file and on top. Real
/// ones have grown seven times; more is made to keep a reader busy.
const MOST_GROWTH: u64 = 128;
const ALWAYS_INFLATED: u64 = 64 << 20;

/// Providers that are counted.
const MOST_PROVIDERS: usize = 4_096;

/// What went wrong while reading.
#[derive(Debug)]
pub(super) enum Damage {
    /// The file ends in the middle of a buffer.
    CutOff,
    /// A buffer, or a record in it, makes no sense.
    Buffer,
    /// The buffers inflate to more than can be.
    Bomb,
    /// The file, or the temporary one, could not be read or written.
    Unreadable(io::Error),
}

/// What a trace holds.
pub(super) struct Scan {
    pub(super) metadata: Metadata,
    pub(super) ndis: Ndis,
    pub(super) pktmon: Pktmon,
    pub(super) wfp: Wfp,
    pub(super) spool: Spool,
    /// Events by who wrote them.
    pub(super) providers: BTreeMap<Guid, u64>,
    /// Whether a buffer says that events or buffers before it were lost.
    pub(super) says_lost: bool,
    /// The first damage of each kind and its offset; and how many buffers are damaged.
    pub(super) damages: Vec<(Damage, u64)>,
    pub(super) damaged: u64,
    /// Buffers that were found.
    pub(super) buffers: u64,
}

/// The file that is being read.
struct Reading<'a> {
    source: &'a mut dyn Source,
    size: u64,
    /// Size of the trace's buffers in memory, and on disk where they are not compressed.
    nominal: u64,
    body: Vec<u8>,
    inflated: Vec<u8>,
    inflated_in_all: u64,
}

impl Scan {
    /// Reads a trace of this size. Where the trace has a layout of its own for the events of
    /// `pktmon`, and tells it too late, it is read once more.
    pub(super) fn of(source: &mut dyn Source, size: u64, nominal: u32) -> Scan {
        let scan = Scan::with(source, size, nominal, Fields::KNOWN);
        let mut layouts = (0..8).filter_map(|version| {
            scan.metadata.layout(pktmon::PROVIDER, pktmon::PACKET, version).and_then(Fields::of)
        });
        match layouts.next() {
            Some(own) if own != Fields::KNOWN => Scan::with(source, size, nominal, own),
            _ => scan,
        }
    }

    fn with(source: &mut dyn Source, size: u64, nominal: u32, fields: Fields) -> Scan {
        let mut scan = Scan {
            metadata: Metadata::default(),
            ndis: Ndis::default(),
            pktmon: Pktmon::new(fields),
            wfp: Wfp::default(),
            spool: Spool::new(),
            providers: BTreeMap::new(),
            says_lost: false,
            damages: Vec::new(),
            damaged: 0,
            buffers: 0,
        };
        let mut reading = Reading {
            source,
            size,
            nominal: nominal.into(),
            body: Vec::new(),
            inflated: Vec::new(),
            inflated_in_all: 0,
        };
        let mut offset = 0;
        while offset < size {
            match scan.buffer(&mut reading, offset) {
                Ok(Some(next)) => offset = next,
                Ok(None) => break,
                Err(error) => {
                    scan.damages.push((Damage::Unreadable(error), offset));
                    break;
                }
            }
        }
        scan
    }

    /// Reads the buffer at an offset; gives where the next one is.
    fn buffer(&mut self, reading: &mut Reading<'_>, offset: u64) -> io::Result<Option<u64>> {
        reading.source.seek(SeekFrom::Start(offset))?;
        let mut head = [0; buffer::HEADER];
        let there = read_up_to(reading.source, &mut head)?;
        // Room that was reserved and never used.
        if head.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if there < head.len() {
            self.damages.push((Damage::CutOff, offset));
            return Ok(None);
        }
        let Some(header) = Header::read(&head) else {
            self.damage(offset);
            // Buffers that are not compressed stand at multiples of their size.
            let next =
                offset.checked_add(1).and_then(|at| at.checked_next_multiple_of(reading.nominal));
            return Ok(next.filter(|_| reading.nominal >= buffer::HEADER as u64));
        };
        self.buffers += 1;
        self.says_lost |= header.says_lost();
        let end = offset.saturating_add(header.size.into());
        let length = u64::from(header.size).saturating_sub(buffer::HEADER as u64);
        reading.body.clear();
        Read::take(&mut *reading.source, length).read_to_end(&mut reading.body)?;
        let whole = reading.body.len() as u64 == length;
        if !whole {
            self.damages.push((Damage::CutOff, offset));
        }
        let filled = (header.filled as usize).saturating_sub(buffer::HEADER);
        let processor = header.processor;
        if header.is_compressed() {
            reading.inflated_in_all += filled as u64;
            let most = reading.size.saturating_mul(MOST_GROWTH).saturating_add(ALWAYS_INFLATED);
            if reading.inflated_in_all > most {
                self.damages.push((Damage::Bomb, offset));
                return Ok(None);
            }
            if !buffer::inflate(&reading.body, filled, &mut reading.inflated) && whole {
                self.damage(offset);
            }
            let origin = Origin { records_at: None, processor };
            self.records(&reading.inflated, origin, offset)?;
        } else {
            let records_at = Some(offset + buffer::HEADER as u64);
            let origin = Origin { records_at, processor };
            let bytes = reading.body.get(..filled).unwrap_or(&reading.body);
            self.records(bytes, origin, offset)?;
        }
        Ok(whole.then_some(end))
    }

    fn damage(&mut self, offset: u64) {
        self.damaged += 1;
        if !self.damages.iter().any(|(damage, _)| matches!(damage, Damage::Buffer)) {
            self.damages.push((Damage::Buffer, offset));
        }
    }

    fn records(&mut self, bytes: &[u8], origin: Origin, offset: u64) -> io::Result<()> {
        let mut records = Records::of(bytes);
        for record in records.by_ref() {
            match record.body {
                Body::Event(event) => self.event(&event, record.time, origin)?,
                Body::Classic { guid, opcode, data } => {
                    if !self.metadata.observe(guid, opcode, data) {
                        self.count(guid);
                    }
                }
                Body::System { .. } | Body::Other => {}
            }
        }
        // Where the buffer ends, there may be half a record, if the file ends there too.
        if records.damage().is_some() && !matches!(self.damages.last(), Some((Damage::CutOff, _))) {
            self.damage(offset);
        }
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>, stamp: i64, origin: Origin) -> io::Result<()> {
        self.count(event.provider);
        match event.provider {
            pktmon::PROVIDER => self.pktmon.observe(event, stamp, origin, &mut self.spool),
            ndis::PROVIDER | ndis::REMOTE_ACCESS => {
                let stores = (&mut self.metadata, &mut self.spool);
                self.ndis.observe(event, stamp, origin, stores)
            }
            wfp::PROVIDER => self.wfp.observe(event, stamp, (&self.metadata, &mut self.spool)),
            _ => Ok(()),
        }
    }

    fn count(&mut self, provider: Guid) {
        if self.providers.len() < MOST_PROVIDERS || self.providers.contains_key(&provider) {
            *self.providers.entry(provider).or_default() += 1;
        }
    }
}

/// Fills `space` as far as there are bytes; gives how many there were.
fn read_up_to(source: &mut dyn Source, space: &mut [u8]) -> io::Result<usize> {
    let mut there = 0;
    while let Some(rest) = space.get_mut(there..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(count) => there += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(there)
}
