//! What packets keep of their IP header.

use std::net::IpAddr;

use etherparse::{IpNumber, LaxIpv4Slice, LaxIpv6Slice, LenSource, ip_number};

use crate::packet::skipped::Skipped;

/// An IP packet that is whole, or the first fragment of one.
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
}

/// Reads an IPv4 header. `cut` is what the snap length took off the end of the frame.
///
/// The lax parser takes what captures hold: large sends with a length of 0, packets cut by the
/// snap length, lengths that point past the end.
pub(super) fn ipv4(bytes: &[u8], cut: usize) -> Result<Ip<'_>, Skipped> {
    let (slice, _) = LaxIpv4Slice::from_slice(bytes).map_err(|_| Skipped::Broken("IPv4"))?;
    let header = slice.header();
    if header.fragments_offset().value() != 0 {
        return Err(Skipped::LaterFragment);
    }
    let payload = slice.payload();
    let extension = slice.extensions().auth.as_ref().map_or(0, |auth| auth.slice().len());
    let declared = usize::from(header.total_len())
        .saturating_sub(header.slice().len())
        .saturating_sub(extension);
    Ok(Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        ttl: header.ttl(),
        id: Some(header.identification()),
        protocol: payload.ip_number,
        payload: payload.payload,
        length: wire_length(payload.len_source, payload.incomplete, payload.payload, declared, cut),
    })
}

/// Reads an IPv6 header and its extensions. `cut` is what the snap length took off the end of the
/// frame.
pub(super) fn ipv6(bytes: &[u8], cut: usize) -> Result<Ip<'_>, Skipped> {
    let (slice, _) = LaxIpv6Slice::from_slice(bytes).map_err(|_| Skipped::Broken("IPv6"))?;
    let extensions = slice.extensions().slice();
    if is_later_fragment(slice.header().next_header(), extensions) {
        return Err(Skipped::LaterFragment);
    }
    let header = slice.header();
    let payload = slice.payload();
    let declared = usize::from(header.payload_length()).saturating_sub(extensions.len());
    Ok(Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        ttl: header.hop_limit(),
        id: None,
        protocol: payload.ip_number,
        payload: payload.payload,
        length: wire_length(payload.len_source, payload.incomplete, payload.payload, declared, cut),
    })
}

/// Whether the extension headers, as far as they were captured, say that this is a fragment after
/// the first (RFC 8200 4.5).
///
/// Walked here, because etherparse's own iterator (0.21) reads past the end of the frame where the
/// lax parser found a header cut off.
fn is_later_fragment(first: IpNumber, headers: &[u8]) -> bool {
    let (mut kind, mut rest) = (first, headers);
    loop {
        let (next, bytes) = match (kind, rest) {
            (ip_number::IPV6_FRAGMENTATION_HEADER, [next, _, high, low, ..]) => {
                if u16::from_be_bytes([*high, *low]) >> 3 != 0 {
                    return true;
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
            _ => return false,
        };
        let Some(behind) = rest.get(bytes..) else { return false };
        (kind, rest) = (IpNumber(next), behind);
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

impl Ip<'_> {
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
