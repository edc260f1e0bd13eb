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
            [5] | [5, 0 | 1] => true,
            [5, 0 | 1, 0..=20, ..] => bytes.len() < HEADER,
            _ => false,
        };
        return if begins { Recognition::Perhaps } else { Recognition::No };
    };
    let known = matches!(header.flags & 3, 1 | 3) || opening.port_fits || header.call != 0;
    if known { Recognition::Yes } else { Recognition::No }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::msrpc::epm::tests::{answers, asks, drsuapi_at};
    use crate::probe::msrpc::ndr::Layout;
    use crate::probe::msrpc::pdu::tests::pdu;
    use crate::probe::{Announcement, Dialogue, Signal};
    use proptest::prelude::*;

    /// The endpoint mapper's identifier as a little-endian host writes it.
    const MAPPER: [u8; 16] =
        [8, 0x83, 0xaf, 0xe1, 0x1f, 0x5d, 0xc9, 0x11, 0x91, 0xa4, 8, 0, 0x2b, 0x14, 0xa0, 0xfa];
    const LITTLE: Layout = Layout { little: true, wide: false };

    const BIND: u8 = 11;
    const BIND_ACK: u8 = 12;

    /// Asks for the endpoint mapper in these contexts, in a representation that nobody knows.
    fn bind(contexts: &[u8]) -> Vec<u8> {
        let mut body = vec![0xd0, 0x16, 0xd0, 0x16, 0, 0, 0, 0];
        body.extend([u8::try_from(contexts.len()).unwrap(), 0, 0, 0]);
        for context in contexts {
            body.extend([*context, 0, 1, 0]);
            body.extend(MAPPER);
            body.extend([3, 0, 0, 0]);
            body.extend([0x11; 20]);
        }
        pdu(BIND, 3, 1, &body)
    }

    /// Answers it: result and reason of each context.
    fn bind_ack(results: &[(u8, u8)]) -> Vec<u8> {
        let mut body = vec![0xd0, 0x16, 0xd0, 0x16, 7, 0, 0, 0];
        body.extend([4, 0, b'1', b'3', b'5', 0, 0, 0]);
        body.extend([u8::try_from(results.len()).unwrap(), 0, 0, 0]);
        for (result, reason) in results {
            body.extend([*result, 0, *reason, 0]);
            body.extend([0; 20]);
        }
        pdu(BIND_ACK, 3, 1, &body)
    }

    fn request(flags: u8, call: u32, number: u8, stub: &[u8]) -> Vec<u8> {
        pdu(0, flags, call, &[&[0, 0, 0, 0, 0, 0, number, 0], stub].concat())
    }

    fn response(flags: u8, call: u32, stub: &[u8]) -> Vec<u8> {
        pdu(2, flags, call, &[&[0; 8], stub].concat())
    }

    fn fault(call: u32, status: u32) -> Vec<u8> {
        pdu(3, 3, call, &[&[0; 8], &status.to_le_bytes()[..], &[0; 4]].concat())
    }

    /// Who says it, and what.
    type Said = (Speaker, Vec<u8>);

    fn ask(bytes: Vec<u8>) -> Said {
        (Speaker::Initiator, bytes)
    }

    fn say(bytes: Vec<u8>) -> Said {
        (Speaker::Responder, bytes)
    }

    fn told(over: Over<'_>, messages: &[Said]) -> Vec<Meaning> {
        let mut calls = Calls::default();
        let mut signals = Vec::new();
        for (from, bytes) in messages {
            calls.pdu(*from, bytes, over, &mut signals);
        }
        signals
    }

    /// Answers as "standing subject: code", and ports that were announced.
    fn answers_of(signals: &[Meaning]) -> Vec<String> {
        let text = |signal: &Meaning| match signal {
            Meaning::Answered { subject, standing, code, .. } => {
                let code = code.map(|code| format!(": {code}")).unwrap_or_default();
                Some(format!("{standing} {subject}{code}"))
            }
            Meaning::Announced(Announcement { port, .. }) => Some(format!("port {port}")),
            Meaning::Asked { .. }
            | Meaning::Calls { .. }
            | Meaning::Named { .. }
            | Meaning::Introduced { .. }
            | Meaning::Called { .. }
            | Meaning::LeaseAsked { .. }
            | Meaning::LeaseGiven { .. }
            | Meaning::Clock { .. }
            | Meaning::Serves { .. }
            | Meaning::Does { .. } => None,
        };
        signals.iter().filter_map(text).collect()
    }

    fn asked_for_drsuapi() -> Vec<u8> {
        asks(&drsuapi_at(135, [0; 4]), LITTLE)
    }

    fn found(port: u16) -> Vec<u8> {
        answers(&[drsuapi_at(port, [10, 1, 0, 13])], 0, LITTLE)
    }

    #[test]
    fn an_interface_is_refused_only_when_all_its_representations_are() {
        for (results, expected) in [
            (
                [(0, 0), (2, 2)],
                [
                    "served bind endpoint mapper: accepted",
                    "step bind endpoint mapper: representation not known",
                ],
            ),
            (
                [(2, 2), (3, 3)],
                [
                    "failed bind endpoint mapper: representation not known",
                    "step bind endpoint mapper: features negotiated",
                ],
            ),
            (
                [(2, 1), (2, 1)],
                [
                    "failed bind endpoint mapper: interface not known",
                    "failed bind endpoint mapper: interface not known",
                ],
            ),
        ] {
            let messages = [ask(bind(&[0, 1])), say(bind_ack(&results))];
            assert_eq!(answers_of(&told(Over::Tcp, &messages)), expected);
        }
    }

    #[test]
    fn a_bind_is_refused_with_its_reason() {
        let nak = pdu(13, 3, 1, &[8, 0, 1, 5, 0]);
        assert_eq!(
            answers_of(&told(Over::Tcp, &[ask(bind(&[0])), say(nak)])),
            ["failed bind endpoint mapper: authentication type not recognized"]
        );
    }

    #[test]
    fn the_endpoint_mapper_is_asked_and_answers() {
        let opened = [ask(bind(&[0])), say(bind_ack(&[(0, 0)]))];
        let nowhere = answers(&[], 0x16c9_a0d6, LITTLE);
        for (answer, expected) in [
            (response(3, 2, &found(49_155)), vec!["served endpoint of DRSUAPI: ok", "port 49155"]),
            (response(3, 2, &nowhere), vec!["failed endpoint of DRSUAPI: endpoint not registered"]),
            (fault(2, 5), vec!["failed endpoint of DRSUAPI: access denied"]),
            (fault(2, 0x1234), vec!["failed endpoint of DRSUAPI: status 0x00001234"]),
        ] {
            let messages =
                [&opened[..], &[ask(request(3, 2, 3, &asked_for_drsuapi())), say(answer)]].concat();
            assert_eq!(answers_of(&told(Over::Tcp, &messages))[1..], expected);
        }
    }

    #[test]
    fn fragments_are_put_together() {
        let (question, result) = (asked_for_drsuapi(), found(49_155));
        let messages = [
            ask(bind(&[0])),
            say(bind_ack(&[(0, 0)])),
            ask(request(1, 2, 3, &question[..30])),
            ask(request(2, 2, 3, &question[30..])),
            say(response(1, 2, &result[..40])),
            say(response(0, 2, &result[40..80])),
            say(response(2, 2, &result[80..])),
        ];
        let told = answers_of(&told(Over::Tcp, &messages));
        assert_eq!(told[1..], ["served endpoint of DRSUAPI: ok", "port 49155"]);
    }

    #[test]
    fn what_was_not_captured_is_not_guessed() {
        let result = response(3, 2, &found(49_155));
        let cut = result[..60].to_vec();
        let messages = [
            ask(bind(&[0])),
            say(bind_ack(&[(0, 0)])),
            ask(request(3, 2, 3, &asked_for_drsuapi())),
            say(cut),
        ];
        assert_eq!(answers_of(&told(Over::Tcp, &messages)).len(), 1, "only the bind's");
    }

    #[test]
    fn a_call_whose_bind_was_missed_still_tells_that_it_was_served() {
        let messages = [ask(request(3, 9, 3, &[1; 8])), say(response(3, 9, &[1; 8]))];
        let expected = "served call 3 of an interface that was bound earlier";
        assert_eq!(answers_of(&told(Over::Tcp, &messages)), [expected]);
    }

    #[test]
    fn pipes_are_named_and_cut_anywhere() {
        let asked = [bind(&[0]), request(3, 2, 3, &asked_for_drsuapi())].concat();
        let said = [bind_ack(&[(0, 0)]), response(3, 2, &found(49_155))].concat();
        for at in [1, 15, 40, asked.len()] {
            let (first, second) = asked.split_at(at);
            let (begin, end) = said.split_at(at.min(said.len()));
            let messages =
                [ask(first.to_vec()), ask(second.to_vec()), say(begin.to_vec()), say(end.to_vec())];
            assert_eq!(
                answers_of(&told(Over::Pipe("epmapper"), &messages)),
                [
                    r"served bind endpoint mapper on \pipe\epmapper: accepted",
                    r"served endpoint of DRSUAPI on \pipe\epmapper: ok",
                    "port 49155"
                ],
                "{at}"
            );
        }
    }

    /// A connectionless PDU of the endpoint mapper.
    fn datagram(kind: u8, stub: &[u8]) -> Vec<u8> {
        let mut bytes = vec![4, kind, 0x20, 0, 0x10, 0, 0, 0];
        bytes.extend([0; 16]);
        bytes.extend(MAPPER);
        bytes.extend([0x3e; 16]);
        bytes.extend([0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([3, 0, 0xff, 0xff, 0xff, 0xff]);
        bytes.extend(u16::try_from(stub.len()).unwrap().to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(stub);
        bytes
    }

    #[test]
    fn datagrams_need_no_bind() {
        let question = datagram(0, &asked_for_drsuapi());
        for (answer, expected) in [
            (datagram(2, &found(49_155)), vec!["served endpoint of DRSUAPI: ok", "port 49155"]),
            (
                datagram(6, &0x1c01_0003_u32.to_le_bytes()),
                vec!["failed endpoint of DRSUAPI: nca_unk_if"],
            ),
        ] {
            let told = told(Over::Udp, &[ask(question.clone()), say(answer)]);
            assert_eq!(answers_of(&told), expected);
        }
    }

    #[test]
    fn the_protocol_is_told_by_its_header() {
        let opening = |transport, bytes: &[u8], port_fits| {
            recognise(&Opening { transport, from: Speaker::Initiator, port_fits, bytes })
        };
        let (bind, question) = (bind(&[0]), datagram(0, &asked_for_drsuapi()));
        let tcp = Transport::Tcp;
        assert_eq!(opening(tcp, &bind, false), Recognition::Yes);
        assert_eq!(opening(tcp, &bind[..9], false), Recognition::Perhaps);
        assert_eq!(opening(Transport::Udp, &question, false), Recognition::Yes);
        assert_eq!(opening(Transport::Udp, &question[..100], false), Recognition::No);
        assert_eq!(opening(Transport::Udp, &question[..100], true), Recognition::Yes);
        // SOCKS (RFC 1928), TLS, HTTP, SMB, LDAP.
        for other in [
            &[5, 1, 0, 1, 10, 0, 0, 1, 0, 80, 0, 0, 0, 0, 0, 0][..],
            &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0],
            b"GET / HTTP/1.1\r\n",
            &[0, 0, 0, 0x54, 0xfe, b'S', b'M', b'B', 64, 0, 0, 0, 0, 0, 0, 0],
            &[0x30, 0x84, 0, 0, 0, 5, 2, 1, 1, 0x42, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(opening(tcp, other, false), Recognition::No, "{other:?}");
            assert_eq!(opening(tcp, other, true), Recognition::No, "{other:?}");
        }
    }

    /// Everything that a conversation says, cut into segments at these places.
    fn dialogue(messages: &[Said], cut: usize) -> Vec<Signal> {
        let mut dialogue = Dialogue::new(Transport::Tcp, [50_000, 135]);
        let mut signals = Vec::new();
        let mut seqs = [0_u32; 2];
        for (from, bytes) in messages {
            let place = usize::from(*from == Speaker::Responder);
            let end = [crate::net::End::Low, crate::net::End::High][place];
            for segment in bytes.chunks(cut) {
                let length = u32::try_from(segment.len()).unwrap();
                let seq = crate::net::SeqNumber(seqs[place]);
                let frame = crate::net::FrameNumber(1);
                dialogue.segment(end, *from, seq, segment, length, frame, None, &mut |signal| {
                    signals.push(signal);
                });
                seqs[place] += length;
            }
        }
        signals
    }

    fn conversation() -> Vec<Said> {
        vec![
            ask(bind(&[0, 1])),
            say(bind_ack(&[(0, 0), (2, 2)])),
            ask(request(3, 2, 3, &asked_for_drsuapi())),
            say(response(3, 2, &found(49_155))),
            ask(request(3, 3, 2, &[0; 60])),
            say(fault(3, 0x1c01_0002)),
        ]
    }

    #[test]
    fn segments_may_cut_a_conversation_anywhere() {
        let meanings =
            |signals: Vec<Signal>| signals.into_iter().map(|it| it.meaning).collect::<Vec<_>>();
        let whole = meanings(dialogue(&conversation(), usize::MAX));
        assert!(whole.len() > 6, "{whole:?}");
        for cut in [1, 2, 7, 16, 23, 25, 100] {
            assert_eq!(meanings(dialogue(&conversation(), cut)), whole, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for transport in [Transport::Tcp, Transport::Udp] {
                for from in [Speaker::Initiator, Speaker::Responder] {
                    recognise(&Opening { transport, from, port_fits: true, bytes: &bytes });
                }
            }
            for over in [Over::Tcp, Over::Udp, Over::Pipe("lsarpc")] {
                told(over, &[ask(bytes.clone()), say(bytes.clone())]);
            }
        }

        #[test]
        fn conversations_may_be_changed_anywhere(
            changes in prop::collection::vec((0..6_usize, any::<u16>(), any::<u8>()), 1..12),
            ends in any::<[u8; 6]>(),
            cut in 1..200_usize,
        ) {
            let mut messages = conversation();
            for (message, at, value) in changes {
                let bytes = &mut messages[message].1;
                let at = usize::from(at) % bytes.len();
                bytes[at] = value;
            }
            for ((_, bytes), end) in messages.iter_mut().zip(ends) {
                // Most stay whole.
                if end < 60 {
                    bytes.truncate(usize::from(end) + 8);
                }
            }
            dialogue(&messages, cut);
            for over in [Over::Tcp, Over::Udp, Over::Pipe("lsarpc")] {
                told(over, &messages);
            }
        }
    }
}
