//! Kerberos password change (RFC 3244): who answers, and what an error says.
//!
//! The result of a change that was understood is encrypted. Only that it was answered can be told,
//! and why a request was refused before it came to that.

use crate::net::Transport;
use crate::probe::{
    Framing, Meaning, Message, Next, Opening, Probe, Recognition, Speaker, Standing, Talk, kerberos,
};

pub(super) const PROBE: Probe = Probe {
    name: "Kerberos password change",
    ports: &[(Transport::Tcp, 464), (Transport::Udp, 464)],
    recognise,
    begin: |transport| Box::new(PasswordChange { over_tcp: transport == Transport::Tcp }),
};

/// The version of a request that changes (draft of Horowitz) and of every reply.
const CHANGE: u16 = 1;
/// The version of a request that may also set another's password.
const SET: u16 = 0xff80;

const SUBJECT: &str = "password change";

#[derive(Debug)]
struct PasswordChange {
    /// Each message is preceded by its length in four bytes, as Kerberos does it.
    over_tcp: bool,
}

impl Talk for PasswordChange {
    fn framing(&self, _: Speaker, bytes: &[u8]) -> Framing {
        match *bytes {
            [0, 0, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low])) + 4;
                Framing::Message { length: length as u64, keep: length }
            }
            [_, _, _, _, ..] => Framing::Lost,
            _ => Framing::Needs(4),
        }
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        let bytes = if self.over_tcp { message.bytes.get(4..) } else { Some(message.bytes) };
        match bytes.and_then(part) {
            Some(Part::Request) => signals.push(Meaning::Asked { subject: SUBJECT.to_owned() }),
            Some(Part::Reply) => signals.push(Meaning::Answered {
                subject: SUBJECT.to_owned(),
                standing: Standing::Served,
                code: None,
                detail: Some("answered; the result is encrypted".to_owned()),
            }),
            Some(Part::Error(error)) => {
                if let Some((_, body)) = kerberos::open(error) {
                    kerberos::tell_error(&body, Some(SUBJECT), signals);
                }
            }
            None => {}
        }
        Next::Stay
    }
}

enum Part<'a> {
    Request,
    Reply,
    Error(&'a [u8]),
}

/// What a message is, without the length that TCP puts before it.
fn part(bytes: &[u8]) -> Option<Part<'_>> {
    // Some answer an error with a plain Kerberos message.
    if kerberos::open(bytes).is_some() {
        return Some(Part::Error(bytes));
    }
    let ([_, _, v0, v1, t0, t1], rest) = bytes.split_first_chunk()?;
    let version = u16::from_be_bytes([*v0, *v1]);
    let ticket = usize::from(u16::from_be_bytes([*t0, *t1]));
    if ticket == 0 && version == CHANGE {
        return kerberos::open(rest).map(|_| Part::Error(rest));
    }
    if !kerberos::is_authentication(rest) {
        return None;
    }
    // AP-REQ and AP-REP tell the direction.
    match (version, rest.first()) {
        (CHANGE | SET, Some(0x6e)) => Some(Part::Request),
        (CHANGE, Some(0x6f)) => Some(Part::Reply),
        _ => None,
    }
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    if !opening.port_fits {
        return Recognition::No;
    }
    let bytes = match opening.transport {
        Transport::Udp => opening.bytes,
        Transport::Tcp => match opening.bytes.get(4..) {
            Some(bytes) => bytes,
            None => return Recognition::Perhaps,
        },
    };
    // A message is whole, or its first part does not tell the length of the ticket.
    match part(bytes) {
        Some(_) => Recognition::Yes,
        None if bytes.len() < 32 => Recognition::Perhaps,
        None => Recognition::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::asn1::SEQUENCE;
    use crate::probe::asn1::tests::write;
    use crate::probe::kerberos::tests::error;
    use proptest::prelude::*;

    fn told(bytes: &[u8]) -> Vec<Meaning> {
        let mut signals = Vec::new();
        let message =
            Message { from: Speaker::Responder, bytes, length: bytes.len() as u64, time: None };
        PasswordChange { over_tcp: false }.hear(&message, &mut signals);
        signals
    }

    /// A message of this version around an AP-REQ (14) or AP-REP (15).
    fn message(version: u16, kind: u8) -> Vec<u8> {
        let fields = [write(0xa0, &[2, 1, 5]), write(0xa1, &[2, 1, kind])].concat();
        let ticket = write(0x60 | kind, &write(SEQUENCE, &fields));
        let length = u16::try_from(ticket.len()).unwrap();
        [length + 6, version, length]
            .map(u16::to_be_bytes)
            .concat()
            .into_iter()
            .chain(ticket)
            .collect()
    }

    #[test]
    fn requests_and_replies_are_told_apart() {
        assert!(matches!(&told(&message(SET, 14))[..], [Meaning::Asked { .. }]));
        assert!(matches!(
            &told(&message(CHANGE, 15))[..],
            [Meaning::Answered { standing: Standing::Served, .. }]
        ));
        assert!(told(&message(7, 15)).is_empty());
    }

    #[test]
    fn an_error_fails_the_change() {
        let inner = error(37, &[]);
        let length = u16::try_from(inner.len()).unwrap() + 6;
        let bytes = [&[length, CHANGE, 0].map(u16::to_be_bytes).concat()[..], &inner].concat();
        assert!(matches!(
            &told(&bytes)[0],
            Meaning::Answered { subject, standing: Standing::Failed, .. } if subject == SUBJECT
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            told(&bytes);
            told(&[&[0, 0, 0, 1, 0, 0][..], &bytes].concat());
        }
    }
}
