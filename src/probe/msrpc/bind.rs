//! Binding: which interfaces the initiator wants to call, and what the responder says to each.
//! C706 12.6.4.3 to 12.6.4.5, [MS-RPCE] 2.2.2.

use crate::probe::Uuid;
use crate::probe::msrpc::ndr::Values;
use crate::probe::msrpc::pdu::{HEADER, Header};

/// The 64-bit representation ([MS-RPCE] 2.2.5). Every other that we can read is the plain one.
const NDR64: Uuid = Uuid(0x7171_0533_beba_4937_8319_b5db_ef9c_cc36);

/// An interface that is asked for, in one representation or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    pub context: u16,
    pub interface: Uuid,
}

/// The proposals of a bind or an alter context, as far as they were captured.
pub(super) fn proposals(header: &Header, pdu: &[u8]) -> Vec<Proposal> {
    let mut proposals = Vec::new();
    let mut values = Values::new(pdu, header.layout());
    let mut read = || {
        // Sizes of fragments, association group.
        values.bytes(HEADER + 8)?;
        let count = values.u8()?;
        for _ in 0..count {
            values.align(4)?;
            let context = values.u16()?;
            let representations = values.u8()?;
            let interface = values.uuid()?;
            // Its version, then identifier and version of each representation.
            values.bytes(4)?;
            proposals.push(Proposal { context, interface });
            values.bytes(20 * usize::from(representations))?;
        }
        Some(())
    };
    // Cut off by the snap length, or by the sender: what was read counts.
    let _ = read();
    proposals
}

/// What the responder says to one proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub result: u16,
    /// Why not; for a result of 3 the features that both know.
    pub reason: u16,
    /// The interface will be called in the 64-bit representation.
    pub wide: bool,
}

impl Answer {
    pub(super) fn is_accepted(self) -> bool {
        self.result == 0
    }

    /// The answer to an offer of features, which is no interface ([MS-RPCE] 3.3.1.5.3).
    pub(super) fn is_features(self) -> bool {
        self.result == 3
    }
}

/// The answers to the proposals, in their order, and whether that is all of them.
pub(super) fn answers(header: &Header, pdu: &[u8]) -> (Vec<Answer>, bool) {
    let mut answers = Vec::new();
    let mut values = Values::new(pdu, header.layout());
    let mut read = || {
        values.bytes(HEADER + 8)?;
        // The port or pipe once more, as a text.
        let length = values.u16()?;
        values.bytes(usize::from(length))?;
        values.align(4)?;
        let count = values.u8()?;
        values.align(4)?;
        for _ in 0..count {
            let (result, reason) = (values.u16()?, values.u16()?);
            let wide = values.uuid()? == NDR64;
            values.bytes(4)?;
            answers.push(Answer { result, reason, wide });
        }
        Some(())
    };
    let whole = read().is_some();
    (answers, whole)
}

/// Why a bind was refused altogether.
pub(super) fn refusal(header: &Header, pdu: &[u8]) -> Option<u16> {
    let mut values = Values::new(pdu, header.layout());
    values.bytes(HEADER)?;
    values.u16()
}
