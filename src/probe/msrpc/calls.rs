//! One association: interfaces that were bound, calls that wait for their answers.

use crate::probe::{Meaning, Speaker};

/// What remote procedure calls are carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probe) enum Over<'a> {
    /// TCP: each call of [`Calls::pdu`] brings one PDU, or the beginning of one.
    Tcp,
    /// UDP: each brings one PDU, or the beginning of one.
    Udp,
    /// A named pipe, by its name without `\pipe\`: what was written to it, or read from it, in
    /// order. It may end within a PDU, and hold several.
    Pipe(&'a str),
}

/// What one association has bound, and what it waits for.
#[derive(Debug, Default)]
pub(in crate::probe) struct Calls {}

impl Calls {
    /// Takes what one side sent into account.
    pub(in crate::probe) fn pdu(
        &mut self,
        _from: Speaker,
        _bytes: &[u8],
        _over: Over<'_>,
        _signals: &mut Vec<Meaning>,
    ) {
    }
}
