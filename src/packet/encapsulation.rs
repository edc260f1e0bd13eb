//! What packets were wrapped in, outermost first.

use std::fmt;
use std::iter;

/// One wrapping of a packet: a tag or a tunnel header, with its number where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it is.
    pub kind: LayerKind,
    /// VLAN, network identifier, label, key: what tells this wrapping from others of its kind.
    pub number: Option<u32>,
}

/// What wrapped a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// A VLAN tag of any tag protocol (IEEE 802.1Q, 802.1ad), with its VLAN.
    Vlan,
    /// MACsec without encryption (IEEE 802.1AE).
    Macsec,
    /// Cisco's VN-Tag, which names a virtual interface.
    VnTag,
    /// An E-tag of a port extender (IEEE 802.1BR).
    ETag,
    /// A backbone service tag (IEEE 802.1ah), with its service.
    ITag,
    /// Cisco's `TrustSec` tag, with its security group.
    SecurityGroup,
    /// A label of an MPLS stack (RFC 3032), with its value.
    Mpls,
    /// PPP over Ethernet (RFC 2516), with the identifier that both ends agreed on.
    Pppoe,
    /// GRE (RFC 2784), with its key (RFC 2890) if it has one.
    Gre,
    /// PPTP's kind of GRE (RFC 2637), with its call.
    Pptp,
    /// A switch's mirror (ERSPAN) over GRE, with its mirror number, which type I does not have.
    Erspan,
    /// IPv4 in IPv4 (RFC 2003).
    Ipip,
    /// IPv6 in IPv4 (RFC 4213).
    SixInFour,
    /// IPv4 in IPv6 (RFC 2473).
    FourInSix,
    /// IPv6 in IPv6 (RFC 2473).
    SixInSix,
    /// Ethernet in IP (RFC 3378).
    EtherIp,
    /// VXLAN (RFC 7348), with its network.
    Vxlan,
    /// Geneve (RFC 8926), with its network.
    Geneve,
    /// The user plane of mobile networks (3GPP TS 29.281), with its tunnel.
    GtpU,
    /// IPv6 through address translation (RFC 4380).
    Teredo,
}

impl LayerKind {
    /// All kinds. [`Encapsulation`] keeps a kind by its place here, in five bits.
    const ALL: [LayerKind; 20] = [
        LayerKind::Vlan,
        LayerKind::Macsec,
        LayerKind::VnTag,
        LayerKind::ETag,
        LayerKind::ITag,
        LayerKind::SecurityGroup,
        LayerKind::Mpls,
        LayerKind::Pppoe,
        LayerKind::Gre,
        LayerKind::Pptp,
        LayerKind::Erspan,
        LayerKind::Ipip,
        LayerKind::SixInFour,
        LayerKind::FourInSix,
        LayerKind::SixInSix,
        LayerKind::EtherIp,
        LayerKind::Vxlan,
        LayerKind::Geneve,
        LayerKind::GtpU,
        LayerKind::Teredo,
    ];

    fn name(self) -> &'static str {
        match self {
            LayerKind::Vlan => "vlan",
            LayerKind::Macsec => "macsec",
            LayerKind::VnTag => "vn-tag",
            LayerKind::ETag => "e-tag",
            LayerKind::ITag => "i-tag",
            LayerKind::SecurityGroup => "sgt",
            LayerKind::Mpls => "mpls",
            LayerKind::Pppoe => "pppoe",
            LayerKind::Gre => "gre",
            LayerKind::Pptp => "pptp",
            LayerKind::Erspan => "erspan",
            LayerKind::Ipip => "ipip",
            LayerKind::SixInFour => "6in4",
            LayerKind::FourInSix => "4in6",
            LayerKind::SixInSix => "6in6",
            LayerKind::EtherIp => "etherip",
            LayerKind::Vxlan => "vxlan",
            LayerKind::Geneve => "geneve",
            LayerKind::GtpU => "gtp-u",
            LayerKind::Teredo => "teredo",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.kind.name())?;
        match self.number {
            None => Ok(()),
            // As Wireshark shows tunnel endpoint identifiers.
            Some(number) if self.kind == LayerKind::GtpU => write!(out, " {number:#010x}"),
            Some(number) => write!(out, " {number}"),
        }
    }
}

/// The wrappings of a packet, outermost first.
///
/// Every packet carries one, so it is small: 16 bytes hold at least three layers, and five or
/// more of usual ones. Inner layers that find no room are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encapsulation {
    /// Layer after layer: a byte with the kind (its place from 1, times 8) and the count of
    /// bytes of its number, then those. Zero ends the list.
    bytes: [u8; 15],
    used: u8,
}

impl Encapsulation {
    /// Adds an inner layer without a number.
    pub fn push(&mut self, kind: LayerKind) {
        self.write(kind, &[]);
    }

    /// Adds an inner layer with its number.
    pub fn push_numbered(&mut self, kind: LayerKind, number: u32) {
        match number.to_be_bytes() {
            [0, 0, 0, low] => self.write(kind, &[low]),
            [0, 0, high, low] => self.write(kind, &[high, low]),
            [0, high, middle, low] => self.write(kind, &[high, middle, low]),
            whole => self.write(kind, &whole),
        }
    }

    fn write(&mut self, kind: LayerKind, digits: &[u8]) {
        let start = usize::from(self.used);
        let end = start + 1 + digits.len();
        let Some([tag, number @ ..]) = self.bytes.get_mut(start..end) else {
            // A later layer that is shorter must not take the place of this one.
            self.used = u8::MAX;
            return;
        };
        #[expect(clippy::cast_possible_truncation, reason = "20 kinds, 15 bytes")]
        {
            *tag = (kind as u8 + 1) << 3 | digits.len() as u8;
            self.used = end as u8;
        }
        number.copy_from_slice(digits);
    }

    /// All of it, for [`Encapsulation::of_bytes`].
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let all = self.bytes.into_iter().chain([self.used]);
        bytes.iter_mut().zip(all).for_each(|(place, byte)| *place = byte);
        bytes
    }

    /// What [`Encapsulation::to_bytes`] gave.
    pub(crate) fn of_bytes([bytes @ .., used]: [u8; 16]) -> Encapsulation {
        Encapsulation { bytes, used }
    }

    /// The layers, outermost first.
    pub fn layers(&self) -> impl Iterator<Item = Layer> {
        let mut rest = self.bytes.as_slice();
        iter::from_fn(move || {
            let (&tag, after) = rest.split_first()?;
            let &kind = LayerKind::ALL.get(usize::from(tag >> 3).checked_sub(1)?)?;
            let (digits, after) = after.split_at_checked(usize::from(tag & 7))?;
            rest = after;
            let value = digits.iter().fold(0, |value, &digit| value << 8 | u32::from(digit));
            Some(Layer { kind, number: (!digits.is_empty()).then_some(value) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(encapsulation: &Encapsulation) -> Vec<String> {
        encapsulation.layers().map(|layer| layer.to_string()).collect()
    }

    #[test]
    fn every_kind_comes_back_as_it_was_pushed() {
        for kind in LayerKind::ALL {
            for number in [None, Some(0), Some(1), Some(255), Some(256), Some(1 << 23), Some(!0)] {
                let mut encapsulation = Encapsulation::default();
                match number {
                    Some(number) => encapsulation.push_numbered(kind, number),
                    None => encapsulation.push(kind),
                }
                let layers: Vec<Layer> = encapsulation.layers().collect();
                assert_eq!(layers, [Layer { kind, number }]);
            }
        }
    }

    #[test]
    fn layers_read_as_people_write_them() {
        let mut encapsulation = Encapsulation::default();
        assert!(texts(&encapsulation).is_empty());
        encapsulation.push_numbered(LayerKind::Vlan, 4094);
        encapsulation.push(LayerKind::Gre);
        encapsulation.push_numbered(LayerKind::Vxlan, 5001);
        encapsulation.push_numbered(LayerKind::GtpU, 0x1a);
        assert_eq!(texts(&encapsulation), ["vlan 4094", "gre", "vxlan 5001", "gtp-u 0x0000001a"]);
    }

    #[test]
    fn what_finds_no_room_is_left_out_with_all_that_is_inside_it() {
        let mut encapsulation = Encapsulation::default();
        for _ in 0..3 {
            encapsulation.push_numbered(LayerKind::Gre, u32::MAX - 1);
        }
        assert_eq!(texts(&encapsulation).len(), 3);
        encapsulation.push(LayerKind::Ipip);
        assert_eq!(texts(&encapsulation).len(), 3);
        let mut encapsulation = Encapsulation::default();
        for vlan in [1, 2, 3, 4, 5, 6, 7, 256] {
            encapsulation.push_numbered(LayerKind::Vlan, vlan);
        }
        // One byte is left, which would hold this one, but it stood inside VLAN 256.
        encapsulation.push(LayerKind::Ipip);
        assert_eq!(texts(&encapsulation).last().unwrap(), "vlan 7");
        assert_eq!(size_of::<Encapsulation>(), 16);
    }
}
