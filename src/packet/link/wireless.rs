//! 802.11 data frames, and the headers that tell of the radio before them.

use crate::packet::link::{Stripped, llc};
use crate::packet::skipped::Skipped;

/// Radiotap: version 0, padding, length in little-endian order.
pub(super) fn after_radiotap(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let broken = Skipped::Broken("radiotap");
    let Some(&[0, _, low, high]) = bytes.first_chunk::<4>() else { return Err(broken) };
    let length = usize::from(u16::from_le_bytes([low, high]));
    wireless(bytes.get(length.max(8)..).ok_or(broken)?)
}

/// Network Monitor: version, length in little-endian order.
pub(super) fn after_netmon(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let broken = Skipped::Broken("802.11 radio");
    let Some(&[_, low, high]) = bytes.first_chunk::<3>() else { return Err(broken) };
    let length = usize::from(u16::from_le_bytes([low, high]));
    wireless(bytes.get(length.max(3)..).ok_or(broken)?)
}

/// Prism, whose 144 bytes are in the order of the capturing machine, or AVS, which is in network
/// order: both begin with a number that says so, and a length.
pub(super) fn after_prism(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let broken = Skipped::Broken("Prism");
    let Some(&[k0, k1, k2, k3, l0, l1, l2, l3]) = bytes.first_chunk::<8>() else {
        return Err(broken);
    };
    let length = match [k0, k1, k2, k3] {
        // AVS, versions 1 and 2; Prism monitor messages.
        [0x80, 0x21, 0x10, 1 | 2] | [0, 0, 0, 0x41 | 0x44] => u32::from_be_bytes([l0, l1, l2, l3]),
        [0x41 | 0x44, 0, 0, 0] => u32::from_le_bytes([l0, l1, l2, l3]),
        // Some drivers write no header at all.
        _ => return wireless(bytes),
    };
    let length = usize::try_from(length).map_err(|_| broken)?;
    wireless(bytes.get(length.max(8)..).ok_or(broken)?)
}

/// An 802.11 frame (IEEE 802.11 9.2 and 9.3.2).
pub(in crate::packet) fn wireless(bytes: &[u8]) -> Result<Stripped<'_>, Skipped> {
    let broken = Skipped::Broken("802.11");
    let Some(&[control, flags]) = bytes.first_chunk::<2>() else { return Err(broken) };
    match control & 0x0f {
        0x08 => {}
        0x00 => return Err(Skipped::LinkControl("802.11 management")),
        0x04 => return Err(Skipped::LinkControl("802.11 control")),
        _ => return Err(broken),
    }
    let subtype = control >> 4;
    // Bit 2 of the subtype: no data, as stations send to say that they sleep.
    if subtype & 4 != 0 {
        return Err(Skipped::LinkControl("802.11 without data"));
    }
    let header = bytes.first_chunk::<24>().ok_or(broken)?;
    let [_, _, _, _, first, _, _, _, _, _, _, _, _, _, _, _, third, .., sequence, _] = *header;
    if sequence & 0x0f != 0 {
        return Err(Skipped::LaterFragment);
    }
    let (to_ds, from_ds) = (flags & 1 != 0, flags & 2 != 0);
    // To the distribution system the receiver stands third, else first.
    let receiver = if to_ds { third } else { first };
    let mut length = 24;
    if to_ds && from_ds {
        length += 6;
    }
    let mut aggregated = false;
    if subtype & 8 != 0 {
        // Bit 7 of the quality of service field: several packets in one frame.
        aggregated = bytes.get(length).ok_or(broken)? & 0x80 != 0;
        length += 2;
        if flags & 0x80 != 0 {
            length += 4;
        }
    }
    let body = bytes.get(length..).ok_or(broken)?;
    let protected = flags & 0x40 != 0;
    // Of several packets the first is read; each has addresses and a length of its own.
    let (body, receiver) = match (aggregated, body) {
        (true, [receiver, ..]) if !protected => (body.get(14..).ok_or(broken)?, *receiver),
        _ => (body, receiver),
    };
    let stripped = unpack(body, protected)?;
    Ok(Stripped { to_group: receiver & 1 != 0, ..stripped })
}

/// Finds the LLC header: cards may pad the frame's header to a multiple of four, and those that
/// decrypt may leave the mark of protection, and the 8 bytes (CCMP, TKIP) or 4 bytes (WEP) that
/// came before the encrypted part.
fn unpack(body: &[u8], protected: bool) -> Result<Stripped<'_>, Skipped> {
    const SNAP: [u8; 6] = [0xaa, 0xaa, 3, 0, 0, 0];
    let gaps: &[usize] = if protected { &[0, 2, 8, 4] } else { &[0, 2] };
    let found = gaps.iter().filter_map(|&gap| body.get(gap..)).find(|rest| rest.starts_with(&SNAP));
    match found {
        Some(rest) => llc(rest),
        None if protected => Err(Skipped::Encrypted("802.11")),
        None => llc(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAP: [u8; 8] = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];

    /// A data frame's header: addresses of 1s, 2s and 3s, sequence control.
    fn header(control: u8, flags: u8) -> Vec<u8> {
        let addresses = [[0x10; 6], [0x20; 6], [0x31; 6]].concat();
        [&[control, flags, 0, 0][..], &addresses, &[0, 0]].concat()
    }

    fn ip_in(bytes: &[u8]) -> Result<(u16, Vec<u8>), Skipped> {
        wireless(bytes).map(|stripped| (stripped.ether_type.0, stripped.bytes.to_vec()))
    }

    #[test]
    fn the_header_is_as_long_as_its_bits_say() {
        let plain = header(0x08, 1);
        let four_addresses = [header(0x08, 3), vec![4; 6]].concat();
        let quality = [header(0x88, 2), vec![0; 2]].concat();
        let padded = [header(0x88, 2), vec![0; 4]].concat();
        let throughput = [header(0x88, 0x82), vec![0; 6]].concat();
        let aggregate = [header(0x88, 2), vec![0x80, 0], vec![0x10; 12], vec![0, 9]].concat();
        for before in [plain, four_addresses, quality, padded, throughput, aggregate] {
            let bytes = [&before[..], &SNAP, &[0x45]].concat();
            assert_eq!(ip_in(&bytes), Ok((0x800, vec![0x45])), "{before:x?}");
        }
    }

    #[test]
    fn the_receiver_stands_where_the_direction_says() {
        // The third address is a group's (its lowest bit is set), the first is not.
        for (flags, to_group) in [(0, false), (1, true), (2, false), (3, true)] {
            let extra = if flags == 3 { &[4; 6][..] } else { &[] };
            let bytes = [&header(0x08, flags)[..], extra, &SNAP].concat();
            assert_eq!(wireless(&bytes).unwrap().to_group, to_group, "{flags}");
        }
    }

    #[test]
    fn protected_frames_are_counted_unless_the_card_has_decrypted_them() {
        let encrypted = [&header(0x08, 0x41)[..], &[0x77; 40]].concat();
        assert_eq!(ip_in(&encrypted), Err(Skipped::Encrypted("802.11")));
        for gap in [0, 4, 8] {
            let bytes = [&header(0x08, 0x41)[..], &[0x77; 8][..gap], &SNAP, &[0x45]].concat();
            assert_eq!(ip_in(&bytes), Ok((0x800, vec![0x45])), "{gap}");
        }
    }

    #[test]
    fn frames_without_a_packet_are_named() {
        for (control, name) in
            [(0x80, "802.11 management"), (0xd4, "802.11 control"), (0x48, "802.11 without data")]
        {
            assert_eq!(ip_in(&header(control, 0)), Err(Skipped::LinkControl(name)));
        }
        assert_eq!(ip_in(&[0x08]), Err(Skipped::Broken("802.11")));
        assert_eq!(ip_in(&header(0x88, 0)), Err(Skipped::Broken("802.11")));
        let mut later = header(0x08, 1);
        later[22] = 0x12;
        assert_eq!(ip_in(&later), Err(Skipped::LaterFragment));
    }

    #[test]
    fn radio_headers_are_taken_off() {
        let frame = [&header(0x08, 1)[..], &SNAP, &[0x45]].concat();
        let radiotap = [&[0, 0, 12, 0, 0, 0, 0, 0, 1, 2, 3, 4][..], &frame].concat();
        let netmon = [&[2, 32, 0][..], &[0; 29], &frame].concat();
        let mut prism = [&[0; 144][..], &frame].concat();
        prism[..8].copy_from_slice(&[0x44, 0, 0, 0, 144, 0, 0, 0]);
        let mut avs = [&[0; 64][..], &frame].concat();
        avs[..8].copy_from_slice(&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64]);
        for stripped in [
            after_radiotap(&radiotap),
            after_netmon(&netmon),
            after_prism(&prism),
            after_prism(&avs),
        ] {
            let stripped = stripped.unwrap();
            assert_eq!((stripped.ether_type.0, stripped.bytes), (0x800, &[0x45][..]));
        }
    }
}
