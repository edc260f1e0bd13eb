//! Headers of connection-oriented PDUs: C706 12.6, [MS-RPCE] 2.2.2.

use crate::probe::msrpc::ndr::Layout;

/// What every PDU begins with.
pub(super) const HEADER: usize = 16;

/// The flag of a call's first PDU, and that of its last.
pub(super) const FIRST: u8 = 1;
pub(super) const LAST: u8 = 2;

/// A request names an object after its header.
const OBJECT: u8 = 0x80;

/// Kinds of PDUs that we tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    Fault,
    Bind,
    BindAck,
    BindNak,
    AlterContext,
    AlterContextResponse,
    Auth3,
    /// Shutdown, cancel, orphaned and the control of RPC over HTTP: they answer nothing.
    Other,
}

impl Kind {
    fn of(number: u8) -> Option<Kind> {
        Some(match number {
            0 => Kind::Request,
            2 => Kind::Response,
            3 => Kind::Fault,
            11 => Kind::Bind,
            12 => Kind::BindAck,
            13 => Kind::BindNak,
            14 => Kind::AlterContext,
            15 => Kind::AlterContextResponse,
            16 => Kind::Auth3,
            17..=20 => Kind::Other,
            _ => return None,
        })
    }

    /// The least length of such a PDU.
    fn least(self) -> u16 {
        match self {
            Kind::Request | Kind::Response => 24,
            Kind::Fault => 28,
            Kind::Bind | Kind::BindAck | Kind::AlterContext | Kind::AlterContextResponse => 26,
            Kind::BindNak => 18,
            Kind::Auth3 | Kind::Other => 16,
        }
    }
}

/// A PDU's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    pub flags: u8,
    pub little: bool,
    /// Length of the PDU, this header included.
    pub length: u16,
    /// Length of the security provider's part at its end; 0 for none.
    pub auth_length: u16,
    pub call: u32,
}

impl Header {
    /// The header that these bytes begin with; `None` where they begin none, or are too few.
    pub(super) fn new(bytes: &[u8]) -> Option<Header> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let [version, minor, kind, flags, order, floats, r0, r1, l0, l1, a0, a1, call @ ..] =
            *header;
        let kind = Kind::of(kind)?;
        let little = is_little(order, floats)?;
        let u16 = |pair| if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) };
        let (length, auth_length) = (u16([l0, l1]), u16([a0, a1]));
        let call = if little { u32::from_le_bytes(call) } else { u32::from_be_bytes(call) };
        // The security part has eight bytes before it that are not counted.
        let trailer = if auth_length > 0 { u32::from(auth_length) + 8 } else { 0 };
        let fits = u32::from(length) >= u32::from(kind.least()) + trailer;
        let plain = version == 5 && minor <= 1 && [r0, r1] == [0, 0] && fits;
        plain.then_some(Header { kind, flags, little, length, auth_length, call })
    }

    pub(super) fn is_first(&self) -> bool {
        self.flags & FIRST != 0
    }

    pub(super) fn is_last(&self) -> bool {
        self.flags & LAST != 0
    }

    pub(super) fn layout(&self) -> Layout {
        Layout { little: self.little, wide: false }
    }

    /// Where the parameters of a call begin.
    pub(super) fn stub_begin(&self) -> usize {
        let object = self.kind == Kind::Request && self.flags & OBJECT != 0;
        if object { 40 } else { 24 }
    }

    /// Who vouches for the caller, and how; `None` where nobody does, or it was not captured.
    pub(super) fn protection(&self, pdu: &[u8]) -> Option<Protection> {
        if self.auth_length == 0 {
            return None;
        }
        let begin = usize::from(self.length).checked_sub(usize::from(self.auth_length) + 8)?;
        match *pdu.get(begin..)? {
            [provider, level, padding, ..] => Some(Protection { provider, level, padding, begin }),
            _ => None,
        }
    }

    /// The parameters of a call, as far as they were captured and can be read; `None` where they
    /// are encrypted, or it is not known whether they are.
    pub(super) fn stub<'a>(&self, pdu: &'a [u8]) -> Option<&'a [u8]> {
        let begin = self.stub_begin();
        let mut end = usize::from(self.length);
        if self.auth_length > 0 {
            let protection = self.protection(pdu)?;
            if protection.level == Protection::PRIVACY {
                return None;
            }
            end = protection.begin.checked_sub(usize::from(protection.padding))?;
        }
        pdu.get(begin..end.min(pdu.len()))
    }
}

/// Byte order from the first two bytes of a data representation label (C706 14.1); `None` for
/// what is none.
pub(super) fn is_little(order: u8, floats: u8) -> Option<bool> {
    match (order, floats) {
        // ASCII or EBCDIC; IEEE, VAX, Cray or IBM.
        (0x10 | 0x11, 0..=3) => Some(true),
        (0x00 | 0x01, 0..=3) => Some(false),
        _ => None,
    }
}

/// The security part's own header ([MS-RPCE] 2.2.2.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protection {
    provider: u8,
    level: u8,
    padding: u8,
    begin: usize,
}

impl Protection {
    /// The level at which parameters are encrypted ([MS-RPCE] 2.2.1.1.8).
    const PRIVACY: u8 = 6;

    /// How the caller signed on, in words ([MS-RPCE] 2.2.1.1.7).
    pub(super) fn words(self) -> &'static str {
        match self.provider {
            9 => "the caller signed on by negotiation (SPNEGO)",
            10 => "the caller signed on with NTLM",
            14 => "the caller signed on with TLS",
            16 => "the caller signed on with Kerberos",
            68 => "the caller signed on with a Netlogon secure channel",
            _ => "the caller signed on",
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A PDU of little-endian order. Kind as its number.
    pub(crate) fn pdu(kind: u8, flags: u8, call: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![5, 0, kind, flags, 0x10, 0, 0, 0];
        bytes.extend(u16::try_from(HEADER + body.len()).unwrap().to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(call.to_le_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn both_byte_orders_are_read() {
        let little = pdu(2, 3, 7, &[0; 8]);
        let header = Header::new(&little).unwrap();
        assert_eq!((header.kind, header.length, header.call), (Kind::Response, 24, 7));
        let big = [5, 0, 2, 3, 0, 0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 7];
        let header = Header::new(&big).unwrap();
        assert_eq!((header.kind, header.length, header.call), (Kind::Response, 24, 7));
    }

    #[test]
    fn what_is_no_header_is_not_read() {
        let good = pdu(0, 3, 1, &[0; 8]);
        for (at, wrong) in [(0, 4), (1, 2), (2, 1), (2, 21), (4, 0x20), (6, 1), (8, 23), (10, 1)] {
            let mut bytes = good.clone();
            bytes[at] = wrong;
            assert_eq!(Header::new(&bytes), None, "byte {at} is {wrong}");
        }
        assert_eq!(Header::new(&good[..15]), None);
    }

    #[test]
    fn encrypted_parameters_are_not_read_and_signed_ones_are() {
        let mut body = vec![0; 8];
        body.extend(b"parameters\0\0");
        for (level, expected) in [(5, Some(&b"parameters"[..])), (6, None)] {
            let mut bytes =
                pdu(0, 3, 1, &[&body[..], &[10, level, 2, 0, 0, 0, 0, 0, 9, 9]].concat());
            bytes[10] = 2;
            let header = Header::new(&bytes).unwrap();
            assert_eq!(header.stub(&bytes), expected, "level {level}");
        }
    }
}
