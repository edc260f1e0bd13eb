//! Packets of a trace before they become frames: when, what, and where their bytes lie.

use std::io;

use crate::capture::etl::spool::Spool;
use crate::capture::{FrameNote, LinkType};

/// 802.11, without a radio header.
pub(super) const WIRELESS: LinkType = LinkType::pcap(105);

/// Where bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file, at this offset.
    File(u64),
    /// In the spool.
    Spool(u64),
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    /// Stamp of the trace's clock.
    pub(super) stamp: i64,
    pub(super) place: Place,
    pub(super) captured: u32,
    pub(super) original: u32,
    pub(super) link_type: LinkType,
    pub(super) note: Option<FrameNote>,
}

/// The buffer that a record comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// Where in the file its first record begins; `None` for a compressed buffer.
    pub(super) records_at: Option<u64>,
    /// The processor that wrote it.
    pub(super) processor: u16,
}

impl Origin {
    /// Keeps bytes that begin at this place behind the first record: by where they are, if the
    /// file holds them as they are.
    pub(super) fn keep(self, at: usize, bytes: &[u8], spool: &mut Spool) -> io::Result<Place> {
        match self.records_at {
            Some(start) => Ok(Place::File(start.saturating_add(at as u64))),
            None => spool.keep(bytes).map(Place::Spool),
        }
    }

    /// As [`Origin::keep`], in place of other bytes that are not needed any more.
    pub(super) fn replace(
        self,
        (old, room): (Place, usize),
        at: usize,
        bytes: &[u8],
        spool: &mut Spool,
    ) -> io::Result<Place> {
        match (self.records_at, old) {
            (None, Place::Spool(place)) => spool.replace(place, room, bytes).map(Place::Spool),
            _ => self.keep(at, bytes, spool),
        }
    }
}

/// A length as frames have it.
pub(super) fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Whether bytes are an Ethernet frame that holds what hosts send: the label of a packet tells of
/// the medium where it was seen, and is often wrong about the bytes.
pub(super) fn looks_like_ethernet(bytes: &[u8]) -> bool {
    match bytes.get(12..15) {
        Some(&[0x08, 0x00, first]) => first >> 4 == 4 && first & 15 >= 5,
        Some(&[0x86, 0xdd, first]) => first >> 4 == 6,
        // ARP; a VLAN tag, and what stands outside another one; LLDP, 802.1X and their like.
        Some(&[0x08, 0x06, _] | &[0x81, 0x00, _] | &[0x88, _, _]) => true,
        _ => false,
    }
}

/// Whether bytes begin with an IP header.
pub(super) fn looks_like_ip(bytes: &[u8]) -> bool {
    match bytes.first().map(|first| (first >> 4, first & 15)) {
        Some((4, words)) => words >= 5 && bytes.len() >= 20,
        Some((6, _)) => bytes.len() >= 40,
        _ => false,
    }
}

/// The length that a packet had on the wire, where less of it was captured: no trace stores it, but
/// the IP header tells.
pub(super) fn length_on_wire(link_type: LinkType, bytes: &[u8]) -> u32 {
    let big = |at: usize| bytes.get(at..at + 2)?.first_chunk().copied().map(u16::from_be_bytes);
    let start = match link_type {
        LinkType::RAW => Some(0),
        LinkType::ETHERNET => match big(12) {
            Some(0x0800 | 0x86dd) => Some(14),
            Some(0x8100) if matches!(big(16), Some(0x0800 | 0x86dd)) => Some(18),
            _ => None,
        },
        _ => None,
    };
    let told = start.and_then(|start| {
        let header = bytes.get(start..)?;
        match header.first()? >> 4 {
            4 => Some(start + usize::from(big(start + 2)?)),
            6 => Some(start + 40 + usize::from(big(start + 4)?)),
            _ => None,
        }
    });
    length(told.unwrap_or(0).max(bytes.len()))
}

/// Makes an 802.11 frame readable: the driver has decrypted it, and the bit that says that it is
/// encrypted is still there.
pub(super) fn clear_protected(bytes: &mut [u8]) {
    const DATA: u8 = 0x08;
    const PROTECTED: u8 = 0x40;
    if let [control, flags, ..] = bytes
        && *control & 0x0c == DATA
    {
        *flags &= !PROTECTED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Ethernet frame of so many bytes whose IPv4 header tells a length.
    fn ethernet(captured: usize, total: u16) -> Vec<u8> {
        let mut bytes = vec![0; captured.max(18)];
        bytes[12..15].copy_from_slice(&[8, 0, 0x45]);
        bytes[16..18].copy_from_slice(&total.to_be_bytes());
        bytes.truncate(captured);
        bytes
    }

    #[test]
    fn ethernet_is_told_from_802_11_by_its_bytes() {
        assert!(looks_like_ethernet(&ethernet(60, 46)));
        // A data frame from an access point: its first addresses stand where the type would.
        let mut wireless = vec![0x08, 0x62, 0, 0];
        wireless.extend([2; 20]);
        wireless.extend([0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 0x45]);
        assert!(!looks_like_ethernet(&wireless));
        assert!(!looks_like_ethernet(&ethernet(13, 46)));
    }

    #[test]
    fn the_ip_header_tells_what_was_cut_off() {
        assert_eq!(length_on_wire(LinkType::ETHERNET, &ethernet(128, 1_500)), 1_514);
        // A large send has no length, and short frames are padded.
        assert_eq!(length_on_wire(LinkType::ETHERNET, &ethernet(128, 0)), 128);
        assert_eq!(length_on_wire(LinkType::ETHERNET, &ethernet(60, 40)), 60);
        assert_eq!(length_on_wire(LinkType::RAW, &ethernet(128, 1_500)[14..]), 1_500);
        assert_eq!(length_on_wire(LinkType::ETHERNET, &[]), 0);
    }

    #[test]
    fn only_data_frames_lose_their_protected_bit() {
        let mut data = [0x88, 0x41, 0];
        clear_protected(&mut data);
        assert_eq!(data, [0x88, 0x01, 0]);
        let mut beacon = [0x80, 0x40, 0];
        clear_protected(&mut beacon);
        assert_eq!(beacon, [0x80, 0x40, 0]);
    }
}
