//! Remote procedure calls as Microsoft does them: who asked for which interface, where the
//! endpoint mapper said that it listens, and whether binds and calls were served.
//!
//! C706 ("DCE 1.1: Remote Procedure Call"), [MS-RPCE] and [MS-DCOM]. Connection-oriented over TCP
//! and named pipes, connectionless over UDP; either byte order, both representations of data.
//! What a service answers inside of a call is read only where it tells of places: the endpoint
//! mapper and the object resolver.

use crate::net::Transport;
use crate::probe::msrpc::pdu::{HEADER, Kind};
use crate::probe::{Framing, Meaning, Message, Next, Opening, Probe, Recognition, Speaker, Talk};

mod bind;
mod calls;
mod datagram;
mod epm;
mod interfaces;
mod ndr;
mod oxid;
mod pdu;
mod wanted;

pub(in crate::probe) use calls::{Calls, Over};
pub use interfaces::Interface;
pub use wanted::asked_interface;

pub(super) const PROBE: Probe = Probe {
    name: "RPC",
    ports: &[(Transport::Tcp, 135), (Transport::Udp, 135)],
    recognise,
    begin: |transport| Box::new(Rpc { transport, calls: Calls::default() }),
};

/// Where a request or a response names its context, and the end of a fault's status.
const CALL_HEADER: usize = 24;
const FAULT: usize = 32;

#[derive(Debug)]
struct Rpc {
    transport: Transport,
    calls: Calls,
}

impl Talk for Rpc {
    fn framing(&self, _: Speaker, bytes: &[u8]) -> Framing {
        if bytes.len() < HEADER {
            let may_be = bytes.iter().zip([5, 0]).all(|(byte, known)| *byte == known);
            return if may_be { Framing::Needs(HEADER) } else { Framing::Lost };
        }
        let Some(header) = pdu::Header::new(bytes) else { return Framing::Lost };
        let length = usize::from(header.length);
        let keep = match header.kind {
            Kind::Request | Kind::Response => match bytes.get(20..22) {
                None => return Framing::Needs(CALL_HEADER),
                Some(context) => {
                    let little = header.little;
                    let number = |pair| {
                        if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
                    };
                    let context = context.first_chunk().copied().map(number).unwrap_or_default();
                    if self.calls.wants(context) { length } else { CALL_HEADER }
                }
            },
            Kind::Fault => FAULT,
            Kind::Bind
            | Kind::BindAck
            | Kind::BindNak
            | Kind::AlterContext
            | Kind::AlterContextResponse
            | Kind::Auth3 => length,
            Kind::Other => HEADER,
        };
        Framing::Message { length: length as u64, keep }
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        let over = match self.transport {
            Transport::Tcp => Over::Tcp,
            Transport::Udp => Over::Udp,
        };
        self.calls.pdu(message.from, message.bytes, over, signals);
        Next::Stay
    }
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    match opening.transport {
        Transport::Tcp => recognise_segment(opening),
        Transport::Udp => match datagram::Header::new(opening.bytes) {
            // The port vouches for one that is cut.
            Some(header) if opening.port_fits || header.fits(opening.bytes) => Recognition::Yes,
            Some(_) | None => Recognition::No,
        },
    }
}

/// Any port may be one of remote procedure calls, so that a header must do: version, kind, label
/// and lengths leave one in some billions to chance.
fn recognise_segment(opening: &Opening<'_>) -> Recognition {
    let bytes = opening.bytes;
    let Some(header) = pdu::Header::new(bytes) else {
        let begins = match *bytes {
            [5] => true,
            [5, 0 | 1, 0..=20] => true,
            [5, 0 | 1, 0..=20, _, ..] => bytes.len() < HEADER,
            _ => false,
        };
        return if begins { Recognition::Perhaps } else { Recognition::No };
    };
    let known = matches!(header.flags & 3, 1 | 3) || opening.port_fits || header.call != 0;
    if known { Recognition::Yes } else { Recognition::No }
}
