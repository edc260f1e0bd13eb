//! Packets of `netsh trace` and of VPN connections: events of Microsoft-Windows-NDIS-PacketCapture,
//! and of the agent of routing and remote access.
//!
//! The bits of an event's keyword tell the medium and whether the event begins or ends a packet.
//! The fragments of a packet are written by one thread, one after the other.
//!
//! Windows captures at each filter that is bound to an adapter, so that a packet may be there
//! several times; where bytes, adapter and moment agree and the filter differs, one is kept.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::io;

use foldhash::fast::FixedState;

use crate::capture::LinkType;
use crate::capture::byte_order::ByteOrder;
use crate::capture::etl::metadata::Metadata;
use crate::capture::etl::packets::{self, Origin, Packet, Place};
use crate::capture::etl::record::{Event, Guid, text};
use crate::capture::etl::spool::Spool;
use crate::capture::etl::trace::Trace;

/// Microsoft-Windows-NDIS-PacketCapture.
pub(super) const PROVIDER: Guid =
    Guid::of(0x2ed6_006e, 0x4729, 0x4609, [0xb4, 0x23, 0x3e, 0xe7, 0xbc, 0xd6, 0x78, 0xef]);
/// The agent of routing and remote access.
pub(super) const REMOTE_ACCESS: Guid =
    Guid::of(0xd845_21f7, 0x2235, 0x4237, [0xa7, 0xc0, 0x14, 0xe3, 0xa9, 0x67, 0x62, 0x86]);

const FRAGMENT: u16 = 1_001;
const SWITCH_FRAGMENT: u16 = 1_003;
const SOURCE: u16 = 5_101;
const REMOTE_ACCESS_SEND: u16 = 5_001;
const REMOTE_ACCESS_RECEIVE: u16 = 5_002;

/// Bits of the keyword.
mod keyword {
    pub(super) const WIRELESS_WAN: u64 = 0x200;
    pub(super) const TUNNEL: u64 = 0x8000;
    pub(super) const NATIVE_802_11: u64 = 0x1_0000;
    pub(super) const TRUNCATED: u64 = 0x200_0000;
    pub(super) const START: u64 = 0x4000_0000;
    pub(super) const END: u64 = 0x8000_0000;
}

/// Packets that are put together at once, and bytes of one.
const MOST_OPEN: usize = 1_024;
const MOST_BYTES: usize = 256 << 10;

/// Nanoseconds between two copies of one packet.
const COPIES_WITHIN: u64 = 1_000_000;

/// Where in the machine a packet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layer {
    adapter: u32,
    /// The filter; of a virtual switch the port.
    filter: u32,
}

/// A packet whose end is still to come.
struct Open {
    stamp: i64,
    layer: Layer,
    link_type: LinkType,
    bytes: Vec<u8>,
}

/// A packet, and what copies of it have in common.
struct Seen {
    packet: Packet,
    layer: Layer,
    /// Of all bytes.
    hash: u64,
}

/// Puts packets together.
#[derive(Default)]
pub(super) struct Ndis {
    open: BTreeMap<(u16, u32, u32), Open>,
    seen: Vec<Seen>,
    /// Fragments without a beginning, and packets without an end.
    pub(super) torn: u64,
    /// Packets that the capture cut short on purpose.
    pub(super) truncated: u64,
    /// Copies that were left out.
    pub(super) copies: u64,
    /// Packets by adapter.
    pub(super) adapters: BTreeMap<u32, u64>,
}

/// A part of an event's data.
struct Part<'a> {
    layer: Layer,
    /// Where the bytes begin in the data.
    at: usize,
    bytes: &'a [u8],
}

impl Ndis {
    /// Takes an event into account.
    pub(super) fn observe(
        &mut self,
        event: &Event<'_>,
        stamp: i64,
        origin: Origin,
        (metadata, spool): (&mut Metadata, &mut Spool),
    ) -> io::Result<()> {
        let whole = keyword::START | keyword::END;
        let (part, bits) = match (event.provider, event.id) {
            (PROVIDER, FRAGMENT) => (fragment(event.data), event.keyword),
            (PROVIDER, SWITCH_FRAGMENT) => (switch_fragment(event.data), event.keyword),
            (REMOTE_ACCESS, REMOTE_ACCESS_SEND | REMOTE_ACCESS_RECEIVE) => {
                (remote_access(event.data), whole)
            }
            (PROVIDER, SOURCE) => {
                if let Some((index, name)) = source(event.data) {
                    metadata.name_interface(index, name);
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Some(part) = part else {
            self.torn += 1;
            return Ok(());
        };
        let key = (origin.processor, event.process, event.thread);
        let link_type = if bits & keyword::NATIVE_802_11 != 0 {
            packets::WIRELESS
        } else if bits & (keyword::WIRELESS_WAN | keyword::TUNNEL) != 0 {
            LinkType::RAW
        } else {
            LinkType::ETHERNET
        };
        if bits & keyword::TRUNCATED != 0 {
            self.truncated += 1;
        }
        if bits & keyword::START != 0 {
            // The end of the one before was lost.
            self.give_up(key, spool)?;
            if bits & keyword::END != 0 {
                let place = origin.keep(event.offset + part.at, part.bytes, spool)?;
                self.add(stamp, place, part.layer, link_type, part.bytes);
            } else if self.open.len() < MOST_OPEN {
                let bytes = part.bytes.to_vec();
                self.open.insert(key, Open { stamp, layer: part.layer, link_type, bytes });
            } else {
                self.torn += 1;
            }
            return Ok(());
        }
        let Some(open) = self.open.get_mut(&key) else {
            self.torn += 1;
            return Ok(());
        };
        if open.bytes.len().saturating_add(part.bytes.len()) <= MOST_BYTES {
            open.bytes.extend_from_slice(part.bytes);
        }
        if bits & keyword::END != 0
            && let Some(open) = self.open.remove(&key)
        {
            self.close(&open, spool)?;
        }
        Ok(())
    }

    /// Ends a packet whose last fragment did not come: its headers are there all the same.
    fn give_up(&mut self, key: (u16, u32, u32), spool: &mut Spool) -> io::Result<()> {
        if let Some(open) = self.open.remove(&key) {
            self.torn += 1;
            self.close(&open, spool)?;
        }
        Ok(())
    }

    fn close(&mut self, open: &Open, spool: &mut Spool) -> io::Result<()> {
        let place = Place::Spool(spool.keep(&open.bytes)?);
        self.add(open.stamp, place, open.layer, open.link_type, &open.bytes);
        Ok(())
    }

    fn add(&mut self, stamp: i64, place: Place, layer: Layer, link_type: LinkType, bytes: &[u8]) {
        let packet = Packet {
            stamp,
            place,
            captured: packets::length(bytes.len()),
            original: packets::length_on_wire(link_type, bytes),
            link_type,
            note: None,
        };
        let hash = FixedState::default().hash_one(bytes);
        self.seen.push(Seen { packet, layer, hash });
    }

    /// Whether no packet came so far.
    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.open.is_empty()
    }

    /// The packets in order of time, each once.
    pub(super) fn finish(&mut self, trace: &Trace, spool: &mut Spool) -> io::Result<Vec<Packet>> {
        while let Some((key, _)) = self.open.first_key_value() {
            self.give_up(*key, spool)?;
        }
        let mut seen = std::mem::take(&mut self.seen);
        seen.sort_by_key(|seen| seen.packet.stamp);
        let mut last: HashMap<(u32, u64), (i64, u32), FixedState> = HashMap::default();
        let mut packets = Vec::new();
        for Seen { packet, layer, hash } in seen {
            let key = (layer.adapter, hash);
            let copy = last.get(&key).is_some_and(|(stamp, filter)| {
                let times = (trace.time(packet.stamp), trace.time(*stamp));
                let apart = match times {
                    (Some(now), Some(then)) => now.since(then).unsigned_abs(),
                    _ => u64::MAX,
                };
                *filter != layer.filter && apart <= COPIES_WITHIN
            });
            if copy {
                self.copies += 1;
                continue;
            }
            last.insert(key, (packet.stamp, layer.filter));
            *self.adapters.entry(layer.adapter).or_default() += 1;
            packets.push(packet);
        }
        Ok(packets)
    }
}

/// Adapter, filter, length, bytes. Newer builds have more behind it.
fn fragment(data: &[u8]) -> Option<Part<'_>> {
    let order = ByteOrder::Little;
    let layer = Layer { adapter: order.u32(data, 0)?, filter: order.u32(data, 4)? };
    part(data, 8, layer)
}

/// The part whose length stands at `at`.
fn part(data: &[u8], at: usize, layer: Layer) -> Option<Part<'_>> {
    let length = usize::try_from(ByteOrder::Little.u32(data, at)?).ok()?;
    let at = at.checked_add(4)?;
    Some(Part { layer, at, bytes: data.get(at..at.checked_add(length)?)? })
}

/// The same behind the ports of a virtual switch that the packet came from and goes to.
fn switch_fragment(data: &[u8]) -> Option<Part<'_>> {
    let order = ByteOrder::Little;
    let layer = Layer { adapter: order.u32(data, 0)?, filter: order.u32(data, 8)? };
    let mut at = skip_texts(data, 12, 3)?;
    let count = order.u32(data, at)?;
    at += 4;
    for _ in 0..count {
        at = skip_texts(data, at.checked_add(4)?, 3)?;
    }
    part(data, at, layer)
}

/// A connection's domain and user, length, bytes.
fn remote_access(data: &[u8]) -> Option<Part<'_>> {
    let layer = Layer { adapter: 0, filter: 0 };
    part(data, skip_texts(data, 0, 2)?, layer)
}

/// What is behind so many texts.
fn skip_texts(data: &[u8], mut at: usize, count: usize) -> Option<usize> {
    for _ in 0..count {
        (_, at) = text(data, at).filter(|(_, end)| *end <= data.len())?;
    }
    Some(at)
}

/// Index and name of an interface.
fn source(data: &[u8]) -> Option<(u32, String)> {
    let (name, end) = text(data, 1)?;
    Some((ByteOrder::Little.u32(data, end)?, name)).filter(|(_, name)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: u64 = keyword::START | keyword::END;

    /// The data of an event 1001.
    fn fragment_of(adapter: u32, filter: u32, bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap();
        let header = [adapter, filter, length].map(u32::to_le_bytes).concat();
        // What newer builds put behind it.
        [&header, bytes, &[0xee; 16]].concat()
    }

    struct Trial {
        ndis: Ndis,
        metadata: Metadata,
        spool: Spool,
    }

    impl Trial {
        fn new() -> Trial {
            let (ndis, metadata) = (Ndis::default(), Metadata::default());
            Trial { ndis, metadata, spool: Spool::new() }
        }

        fn event(&mut self, id: u16, keyword: u64, thread: u32, stamp: i64, data: &[u8]) {
            let event = Event {
                provider: PROVIDER,
                id,
                version: 0,
                keyword,
                process: 4,
                thread,
                data,
                offset: 0,
            };
            let origin = Origin { records_at: None, processor: 0 };
            let stores = (&mut self.metadata, &mut self.spool);
            self.ndis.observe(&event, stamp, origin, stores).unwrap();
        }

        /// Stamp, link type and bytes of the packets. The clock counts microseconds.
        fn packets(&mut self) -> Vec<(i64, LinkType, Vec<u8>)> {
            let mut header = vec![0; 280];
            header[256..264].copy_from_slice(&1_000_000_i64.to_le_bytes());
            header[264..272].copy_from_slice(&133_624_551_079_225_833_i64.to_le_bytes());
            header[272] = 1;
            header[44] = 8;
            let trace = Trace::read(&header, 0).unwrap();
            let packets = self.ndis.finish(&trace, &mut self.spool).unwrap();
            packets
                .iter()
                .map(|packet| {
                    let Place::Spool(place) = packet.place else { panic!("not in the spool") };
                    let mut bytes = vec![0; packet.captured as usize];
                    self.spool.read(place, &mut bytes).unwrap();
                    (packet.stamp, packet.link_type, bytes)
                })
                .collect()
        }
    }

    #[test]
    fn keywords_tell_the_medium() {
        let mut trial = Trial::new();
        for (mark, bits) in [(1_u8, 1), (2, keyword::WIRELESS_WAN), (3, keyword::TUNNEL)] {
            let data = fragment_of(12, 12, &[mark; 60]);
            trial.event(FRAGMENT, BOTH | bits, 1, mark.into(), &data);
        }
        trial.event(FRAGMENT, 0x8000_0601_c001_0000, 1, 4, &fragment_of(12, 12, &[4; 60]));
        let types: Vec<LinkType> = trial.packets().into_iter().map(|packet| packet.1).collect();
        assert_eq!(types, [LinkType::ETHERNET, LinkType::RAW, LinkType::RAW, packets::WIRELESS]);
    }

    #[test]
    fn fragments_of_two_threads_are_put_together_each() {
        let mut trial = Trial::new();
        trial.event(FRAGMENT, keyword::START, 1, 10, &fragment_of(12, 12, b"one "));
        trial.event(FRAGMENT, keyword::START, 2, 11, &fragment_of(12, 12, b"two "));
        trial.event(FRAGMENT, 0, 1, 12, &fragment_of(12, 12, b"goes "));
        trial.event(FRAGMENT, keyword::END, 2, 13, &fragment_of(12, 12, b"ends"));
        trial.event(FRAGMENT, keyword::END, 1, 14, &fragment_of(12, 12, b"on"));
        let found = trial.packets();
        assert_eq!(found[0].2, b"one goes on");
        assert_eq!(found[1].2, b"two ends");
        assert_eq!(trial.ndis.torn, 0);
    }

    #[test]
    fn a_packet_without_its_end_is_kept_and_counted() {
        let mut trial = Trial::new();
        trial.event(FRAGMENT, keyword::END, 1, 1, &fragment_of(12, 12, b"no beginning"));
        trial.event(FRAGMENT, keyword::START, 1, 2, &fragment_of(12, 12, b"no end"));
        trial.event(FRAGMENT, BOTH, 1, 3, &fragment_of(12, 12, b"whole"));
        trial.event(FRAGMENT, keyword::START, 1, 4, &fragment_of(12, 12, b"still open"));
        let found: Vec<Vec<u8>> = trial.packets().into_iter().map(|packet| packet.2).collect();
        assert_eq!(found, [&b"no end"[..], b"whole", b"still open"]);
        assert_eq!(trial.ndis.torn, 3);
    }

    #[test]
    fn one_packet_at_two_filters_is_one_and_sent_twice_it_is_two() {
        let mut trial = Trial::new();
        for (stamp, adapter, filter) in [(0, 12, 12), (300, 12, 14), (400, 13, 14), (700, 12, 12)] {
            trial.event(FRAGMENT, BOTH, 1, stamp, &fragment_of(adapter, filter, b"the same"));
        }
        // Too late for a copy.
        trial.event(FRAGMENT, BOTH, 1, 2_000, &fragment_of(12, 14, b"the same"));
        let stamps: Vec<i64> = trial.packets().into_iter().map(|packet| packet.0).collect();
        assert_eq!(stamps, [0, 400, 700, 2_000]);
        assert_eq!(trial.ndis.copies, 1);
        assert_eq!(trial.ndis.adapters, [(12, 3), (13, 1)].into());
    }

    #[test]
    fn packets_of_a_virtual_switch_stand_behind_its_ports() {
        let utf16 = |text: &str| -> Vec<u8> {
            text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
        };
        let names = [utf16("port"), utf16("nic"), utf16("type")].concat();
        let mut data = [12_u32, 12, 5].map(u32::to_le_bytes).concat();
        data.extend(&names);
        data.extend(2_u32.to_le_bytes());
        for port in [6_u32, 7] {
            data.extend(port.to_le_bytes());
            data.extend(&names);
        }
        data.extend(6_u32.to_le_bytes());
        data.extend(b"packet");
        data.extend([0; 12]);
        let mut trial = Trial::new();
        trial.event(SWITCH_FRAGMENT, BOTH | 0x100_0000, 1, 1, &data);
        assert_eq!(trial.packets()[0].2, b"packet");
    }

    proptest! {
        #[test]
        fn hostile_data_is_survived(
            events in prop::collection::vec(
                (
                    prop::sample::select(vec![FRAGMENT, SWITCH_FRAGMENT, SOURCE]),
                    prop::sample::select(vec![0, keyword::START, keyword::END, BOTH]),
                    0_u32..3,
                    prop::collection::vec(prop_oneof![3 => 0_u8..20, 1 => any::<u8>()], 0..80),
                ),
                0..20,
            ),
        ) {
            let mut trial = Trial::new();
            let length: usize = events.iter().map(|event| event.3.len()).sum();
            for (id, keyword, thread, data) in &events {
                trial.event(*id, *keyword, *thread, 0, data);
            }
            let kept: usize = trial.packets().iter().map(|packet| packet.2.len()).sum();
            prop_assert!(kept <= length);
        }
    }
}
