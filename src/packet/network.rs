//! What packets keep of their IP header.

use std::net::IpAddr;

use etherparse::{IpNumber, LaxIpv4Slice, LaxIpv6Slice, LenSource, ip_number};

use crate::packet::skipped::Skipped;

/// An IP packet, or a fragment of one.
#[derive(Clone, Copy)]
pub(super) struct Ip<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ttl: u8,
    pub(super) id: Option<u16>,
    pub(super) protocol: IpNumber,
    /// Captured part of what follows the header and its extensions.
    pub(super) payload: &'a [u8],
    /// Length of that on the wire.
    pub(super) length: usize,
    /// Which piece of a packet this is; `None` for a whole packet. Only the first piece has what
    /// stands above IP.
    pub(super) fragment: Option<Fragment>,
    /// Its checksum, or its length, is to be filled in by the card that sends it. No packet on its
    /// way has a checksum of 0 but by a rare chance.
    pub(super) unsummed: bool,
}

/// A piece of a packet that was too long for a link on the way.
#[derive(Clone, Copy)]
pub(super) struct Fragment {
    /// What the pieces of a packet have in common, besides the addresses.
    pub(super) id: u32,
    /// The same of IPv4, where it belongs to the identification (RFC 791 3.2); 0 in IPv6.
    pub(super) protocol: u8,
    /// Where the piece stands in what was cut up, in bytes.
    pub(super) offset: usize,
    /// Bytes of what was cut up that stand before the transport header: headers of extensions.
    pub(super) lead: usize,
}

/// Reads an IPv4 header. `cut` is what the snap length took off the end of the frame.
///
/// The lax parser takes what captures hold: large sends with a length of 0, packets cut by the
/// snap length, lengths that point past the end.
pub(super) fn ipv4(bytes: &[u8], cut: usize) -> Result<Ip<'_>, Skipped> {
    let (slice, _) = LaxIpv4Slice::from_slice(bytes).map_err(|_| Skipped::Broken("IPv4"))?;
    let header = slice.header();
    let payload = slice.payload();
    let extension = slice.extensions().auth.as_ref().map_or(0, |auth| auth.slice().len());
    let behind_header = usize::from(header.total_len()).saturating_sub(header.slice().len());
    let declared = behind_header.saturating_sub(extension);
    let offset = usize::from(header.fragments_offset().value()) * 8;
    let ip = Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        ttl: header.ttl(),
        id: Some(header.identification()),
        protocol: payload.ip_number,
        payload: payload.payload,
        length: wire_length(payload.len_source, payload.incomplete, payload.payload, declared, cut),
        fragment: (offset != 0 || header.more_fragments()).then(|| Fragment {
            id: header.identification().into(),
            protocol: header.protocol().0,
            offset,
            lead: extension,
        }),
        unsummed: header.header_checksum() == 0 || header.total_len() == 0,
    };
    let start = header.slice().len();
    Ok(if offset == 0 { ip } else { ip.with_all_behind(start, bytes, behind_header, cut) })
}

/// Reads an IPv6 header and its extensions. `cut` is what the snap length took off the end of the
/// frame.
pub(super) fn ipv6(bytes: &[u8], cut: usize) -> Result<Ip<'_>, Skipped> {
    let (slice, _) = LaxIpv6Slice::from_slice(bytes).map_err(|_| Skipped::Broken("IPv6"))?;
    let extensions = slice.extensions().slice();
    let header = slice.header();
    let payload = slice.payload();
    let behind_header = usize::from(header.payload_length());
    let declared = behind_header.saturating_sub(extensions.len());
    let found = fragment_header(header.next_header(), extensions);
    let ip = Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        ttl: header.hop_limit(),
        id: None,
        protocol: payload.ip_number,
        payload: payload.payload,
        length: wire_length(payload.len_source, payload.incomplete, payload.payload, declared, cut),
        fragment: found.map(|(fragment, _, _)| fragment),
        unsummed: false,
    };
    Ok(match found {
        // What follows is a piece of something, and no header of an extension.
        Some((Fragment { offset: 1.., .. }, protocol, end)) => {
            let behind = behind_header.saturating_sub(end);
            Ip { protocol, ..ip }.with_all_behind(40 + end, bytes, behind, cut)
        }
        _ => ip,
    })
}

/// The fragment header (RFC 8200 4.5), if the extension headers have one as far as they were
/// captured: what it says, the protocol that it names, and where it ends.
///
/// Walked here, because etherparse's own iterator (0.21) reads past the end of the frame where the
/// lax parser found a header cut off.
fn fragment_header(first: IpNumber, headers: &[u8]) -> Option<(Fragment, IpNumber, usize)> {
    let (mut kind, mut rest) = (first, headers);
    loop {
        let (next, bytes) = match (kind, rest) {
            (
                ip_number::IPV6_FRAGMENTATION_HEADER,
                [next, _, high, low, i0, i1, i2, i3, behind @ ..],
            ) => {
                let field = u16::from_be_bytes([*high, *low]);
                // Neither an offset nor more to come: a whole packet in one piece (RFC 6946).
                if field & !0b110 != 0 {
                    let fragment = Fragment {
                        id: u32::from_be_bytes([*i0, *i1, *i2, *i3]),
                        protocol: 0,
                        offset: usize::from(field & !0b111),
                        lead: behind.len(),
                    };
                    let end = headers.len() - behind.len();
                    return Some((fragment, IpNumber(*next), end));
                }
                (*next, 8)
            }
            // Its length is in units of 4 bytes, of which two are not counted (RFC 4302 2.2).
            (ip_number::AUTHENTICATION_HEADER, [next, length, ..]) => {
                (*next, (usize::from(*length) + 2) * 4)
            }
            (
                ip_number::IPV6_HEADER_HOP_BY_HOP
                | ip_number::IPV6_ROUTE_HEADER
                | ip_number::IPV6_DESTINATION_OPTIONS
                | ip_number::MOBILITY_HEADER
                | ip_number::HIP
                | ip_number::SHIM6,
                [next, length, ..],
            ) => (*next, (usize::from(*length) + 1) * 8),
            _ => return None,
        };
        (kind, rest) = (IpNumber(next), rest.get(bytes..)?);
    }
}

/// Length of an IP payload on the wire.
fn wire_length(
    source: LenSource,
    incomplete: bool,
    captured: &[u8],
    declared: usize,
    cut: usize,
) -> usize {
    match (source, incomplete) {
        // Cut by the snap length: the header still tells.
        (LenSource::Slice, true) => declared,
        // Windows writes a length of 0 where the card splits the segment (large send offload):
        // only the frame knows.
        (LenSource::Slice, false) => captured.len().saturating_add(cut),
        _ => captured.len(),
    }
}

/// Reads the IP header that these bytes begin with, of either version.
pub(super) fn either(bytes: &[u8], cut: usize) -> Result<Ip<'_>, Skipped> {
    match bytes.first().map(|first| first >> 4) {
        Some(6) => ipv6(bytes, cut),
        _ => ipv4(bytes, cut),
    }
}

impl<'a> Ip<'a> {
    /// The same with everything from `start` on as its payload, of which the header declares
    /// `declared` bytes: a later fragment, whose first bytes are no header of anything.
    fn with_all_behind(self, start: usize, bytes: &'a [u8], declared: usize, cut: usize) -> Ip<'a> {
        let rest = bytes.get(start..).unwrap_or_default();
        match declared {
            // As in `wire_length`, though no card sends such fragments.
            0 => Ip { payload: rest, length: rest.len().saturating_add(cut), ..self },
            _ => Ip { payload: rest.get(..declared).unwrap_or(rest), length: declared, ..self },
        }
    }

    /// Bytes of the payload that were on the wire and are not in the capture.
    pub(super) fn cut(&self) -> usize {
        self.length.saturating_sub(self.payload.len())
    }
}

/// Whether an address stands for many hosts. A broadcast to a subnet is not known from its address
/// alone; the link header tells it.
pub(super) fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}
