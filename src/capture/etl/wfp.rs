//! Packets of Message Analyzer's capture in the Windows Filtering Platform: events of
//! Microsoft-Pef-WFP-MessageProvider.
//!
//! They hold a segment or datagram without an IP header, and what stood in it: addresses and
//! protocol. A header is made of that, so that frames of this kind have time to live 0 and no
//! identification. No trace of this kind was at hand: the layouts are those of the provider's
//! manifest, and a trace's own go before them.

use std::collections::BTreeMap;
use std::io;

use crate::capture::LinkType;
use crate::capture::byte_order::ByteOrder;
use crate::capture::etl::metadata::{Layout, Metadata, Place as FieldPlace};
use crate::capture::etl::packets::{self, Packet, Place};
use crate::capture::etl::record::{Event, Guid};
use crate::capture::etl::spool::Spool;

/// Microsoft-Pef-WFP-MessageProvider.
pub(super) const PROVIDER: Guid =
    Guid::of(0xc22d_1b14, 0xc242, 0x49de, [0x9f, 0x17, 0x1d, 0x76, 0xb8, 0xb9, 0xc4, 0x58]);

/// A part of a message that was too long for one event.
const PART: u16 = 2_000;
/// Messages over IPv4, without and with a handle of their flow.
const MESSAGES_V4: [u16; 2] = [60_011, 60_012];
/// Messages over IPv6.
const MESSAGES_V6: [u16; 2] = [60_021, 60_022];
/// A filter discarded something, of which no more is told than by which filter.
const DISCARD: u16 = 60_050;

/// Messages that are put together at once, and bytes of one.
const MOST_OPEN: usize = 1_024;
const MOST_BYTES: usize = 64 << 10;

/// Where the fields of a message stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    source: FieldPlace,
    destination: FieldPlace,
    protocol: FieldPlace,
    length: FieldPlace,
    message: usize,
}

impl Fields {
    /// As the provider's manifest has them. Addresses, protocol, a handle in some, length.
    fn known(id: u16) -> Option<Fields> {
        let width = if MESSAGES_V4.contains(&id) { 4 } else { 16 };
        let handle = match id {
            60_011 | 60_021 => 0,
            60_012 | 60_022 => 8,
            _ => return None,
        };
        let length = 2 * width + 1 + handle;
        Some(Fields {
            source: FieldPlace::of(0, width),
            destination: FieldPlace::of(width, width),
            protocol: FieldPlace::of(2 * width, 1),
            length: FieldPlace::of(length, 2),
            message: length + 2,
        })
    }

    /// As a trace itself says.
    fn of(layout: &Layout) -> Option<Fields> {
        let (message, length) = layout.told("MessageFrame")?;
        Some(Fields {
            source: layout.place("SourceAddress")?,
            destination: layout.place("DestinationAddress")?,
            protocol: layout.place("Protocol")?,
            length,
            message,
        })
    }
}

/// A message whose end is still to come.
struct Open {
    id: u16,
    stamp: i64,
    data: Vec<u8>,
}

/// Gathers messages.
#[derive(Default)]
pub(super) struct Wfp {
    open: BTreeMap<u32, Open>,
    packets: Vec<Packet>,
    /// Messages that could not be read.
    pub(super) unread: u64,
    /// Packets that a filter of this machine discarded.
    pub(super) discards: u64,
}

impl Wfp {
    /// Takes an event into account.
    pub(super) fn observe(
        &mut self,
        event: &Event<'_>,
        stamp: i64,
        (metadata, spool): (&Metadata, &mut Spool),
    ) -> io::Result<()> {
        if event.id == PART {
            return self.part(event, stamp, (metadata, spool));
        }
        if event.id == DISCARD {
            self.discards += 1;
        }
        if MESSAGES_V4.contains(&event.id) || MESSAGES_V6.contains(&event.id) {
            let own = metadata.layout(PROVIDER, event.id, event.version).and_then(Fields::of);
            return self.message(event.id, own, stamp, event.data, spool);
        }
        Ok(())
    }

    /// What it is a part of, group, length, bytes. The keyword tells the first and the last part.
    fn part(
        &mut self,
        event: &Event<'_>,
        stamp: i64,
        (metadata, spool): (&Metadata, &mut Spool),
    ) -> io::Result<()> {
        const START: u64 = 0x4000_0000;
        const END: u64 = 0x8000_0000;
        let order = ByteOrder::Little;
        let (Some(id), Some(group)) = (order.u16(event.data, 0), order.u32(event.data, 2)) else {
            self.unread += 1;
            return Ok(());
        };
        let bytes = event.data.get(10..).unwrap_or_default();
        if event.keyword & START != 0 && self.open.len() < MOST_OPEN {
            self.open.insert(group, Open { id, stamp, data: bytes.to_vec() });
        } else if let Some(open) = self.open.get_mut(&group)
            && open.data.len().saturating_add(bytes.len()) <= MOST_BYTES
        {
            open.data.extend_from_slice(bytes);
        }
        if event.keyword & END != 0
            && let Some(open) = self.open.remove(&group)
        {
            let own = metadata.layout(PROVIDER, open.id, 0).and_then(Fields::of);
            self.message(open.id, own, open.stamp, &open.data, spool)?;
        }
        Ok(())
    }

    fn message(
        &mut self,
        id: u16,
        own: Option<Fields>,
        stamp: i64,
        data: &[u8],
        spool: &mut Spool,
    ) -> io::Result<()> {
        let packet = own.or_else(|| Fields::known(id)).and_then(|fields| ip_packet(&fields, data));
        let Some(bytes) = packet else {
            self.unread += 1;
            return Ok(());
        };
        self.packets.push(Packet {
            stamp,
            place: Place::Spool(spool.keep(&bytes)?),
            captured: packets::length(bytes.len()),
            original: packets::length_on_wire(LinkType::RAW, &bytes),
            link_type: LinkType::RAW,
            note: None,
        });
        Ok(())
    }

    /// Whether no packet came so far.
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// The packets, in no order.
    pub(super) fn finish(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.packets)
    }
}

/// Makes an IP packet of a message (RFC 791, RFC 8200).
fn ip_packet(fields: &Fields, data: &[u8]) -> Option<Vec<u8>> {
    let (source, destination) = (fields.source.bytes(data)?, fields.destination.bytes(data)?);
    let protocol = u8::try_from(fields.protocol.number(data)?).ok()?;
    let told = u16::try_from(fields.length.number(data)?).ok()?;
    let rest = data.get(fields.message..)?;
    let message = rest.get(..usize::from(told)).unwrap_or(rest);
    let mut packet = match source.len() {
        4 => {
            let total = told.saturating_add(20).to_be_bytes();
            vec![0x45, 0, total[0], total[1], 0, 0, 0, 0, 0, protocol, 0, 0]
        }
        16 => {
            let length = told.to_be_bytes();
            vec![0x60, 0, 0, 0, length[0], length[1], protocol, 0]
        }
        _ => return None,
    };
    for part in [source, destination, message] {
        packet.extend_from_slice(part);
    }
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the packets of these events: id, keyword, data.
    fn packets_of(events: &[(u16, u64, &[u8])]) -> (Wfp, Vec<Vec<u8>>) {
        let (mut wfp, metadata, mut spool) = (Wfp::default(), Metadata::default(), Spool::new());
        for (id, keyword, data) in events {
            let event = Event {
                provider: PROVIDER,
                id: *id,
                version: 0,
                keyword: *keyword,
                process: 4,
                thread: 8,
                data,
                offset: 0,
            };
            wfp.observe(&event, 1, (&metadata, &mut spool)).unwrap();
        }
        let packets = wfp.finish();
        let bytes = packets
            .iter()
            .map(|packet| {
                let Place::Spool(place) = packet.place else { panic!("not in the spool") };
                let mut bytes = vec![0; packet.captured as usize];
                spool.read(place, &mut bytes).unwrap();
                bytes
            })
            .collect();
        (wfp, bytes)
    }

    /// Addresses 10.0.0.5 and 10.1.0.10, UDP, and a message of eight bytes.
    const MESSAGE: &[u8] = b"\x0a\0\0\x05\x0a\x01\0\x0a\x11\x08\0\xc3\x50\0\x35\0\x08\0\0";

    #[test]
    fn a_message_becomes_an_ip_packet() {
        let (_, packets) = packets_of(&[(60_011, 1 << 32, MESSAGE)]);
        // RFC 791: version and words, total length 28, protocol 17, then both addresses.
        let expected =
            b"\x45\0\0\x1c\0\0\0\0\0\x11\0\0\x0a\0\0\x05\x0a\x01\0\x0a\xc3\x50\0\x35\0\x08\0\0";
        assert_eq!(packets, [expected]);
        let mut v6 = vec![0x20; 16];
        v6.extend([0x30; 16]);
        v6.extend(&MESSAGE[8..]);
        let (_, packets) = packets_of(&[(60_021, 1 << 32, &v6)]);
        assert_eq!(packets[0][..8], [0x60, 0, 0, 0, 0, 8, 17, 0]);
        assert_eq!(packets[0].len(), 48);
    }

    #[test]
    fn parts_of_a_message_are_put_together() {
        let header = |bytes: &[u8]| {
            let length = u32::try_from(bytes.len()).unwrap();
            [&60_011_u16.to_le_bytes()[..], &7_u32.to_le_bytes(), &length.to_le_bytes(), bytes]
                .concat()
        };
        let (first, second) = MESSAGE.split_at(13);
        let (first, second) = (header(first), header(second));
        let (_, parts) = packets_of(&[(PART, 0x4000_0000, &first), (PART, 0x8000_0000, &second)]);
        assert_eq!(parts, packets_of(&[(60_011, 0, MESSAGE)]).1);
    }

    #[test]
    fn discards_are_counted_and_short_messages_too() {
        let (wfp, packets) = packets_of(&[(DISCARD, 0, &[0; 13]), (60_012, 0, b"short")]);
        assert_eq!((wfp.discards, wfp.unread, packets.len()), (1, 1, 0));
    }
}
