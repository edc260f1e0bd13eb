//! TFTP: which file is asked for, and whether it is given (RFC 1350, RFC 2347).
//!
//! A server answers from a port of its own choice, so a flow to port 69 holds the request alone,
//! and another flow the transfer. Of that the first answer is heard, which tells whether the
//! server serves, and an error that ends it.

use crate::net::Transport;
use crate::probe::{
    Code, CodeSet, Framing, Meaning, Message, Next, Opening, Probe, Recognition, Speaker, Standing,
    Talk, text,
};

pub(super) const PROBE: Probe = Probe {
    name: "TFTP",
    ports: &[(Transport::Udp, 69)],
    recognise,
    begin: |_| Box::new(Transfer { server: None, subject: None, serves: false }),
};

/// RFC 1350 5, RFC 2347: kinds of packets.
const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS: u16 = 6;

/// Bytes of a packet with a whole block, where no other size was agreed on.
const WHOLE_BLOCK: usize = 516;

#[derive(Debug)]
struct Transfer {
    /// Who gives or takes the file.
    server: Option<Speaker>,
    subject: Option<String>,
    /// The server answered.
    serves: bool,
}

impl Talk for Transfer {
    fn framing(&self, _: Speaker, _: &[u8]) -> Framing {
        Framing::Lost
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        let Some((kind, rest)) = split(message.bytes) else { return Next::Stay };
        if matches!(kind, READ | WRITE) {
            let what = if kind == READ { "read" } else { "write" };
            let subject = text(format!("{what} {}", zero_ended(rest)));
            self.subject = Some(subject.clone());
            self.server = Some(opposite(message.from));
            self.serves = false;
            signals.push(Meaning::Asked { subject });
            return Next::Stay;
        }
        let server = *self.server.get_or_insert(message.from);
        // What the asker says, also that it breaks off, is no answer.
        if message.from != server {
            return Next::Stay;
        }
        let subject = self.subject.clone().unwrap_or_else(|| "transfer".to_owned());
        match kind {
            DATA | ACK | OPTIONS if !self.serves => {
                self.serves = true;
                let standing = Standing::Served;
                signals.push(Meaning::Answered { subject, standing, code: None, detail: None });
            }
            ERROR => {
                let Some((number, remark)) = split(rest) else { return Next::Stay };
                let code = Code { set: CodeSet::Tftp, number: u32::from(number) };
                let remark = zero_ended(remark);
                let detail = (!remark.is_empty()).then(|| text(remark));
                let standing = code.standing();
                signals.push(Meaning::Answered { subject, standing, code: Some(code), detail });
            }
            _ => {}
        }
        Next::Stay
    }
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    let bytes = opening.bytes;
    let fits = opening.transport == Transport::Udp
        && match split(bytes) {
            Some((READ | WRITE, rest)) => opening.port_fits && is_request(rest),
            // Far from port 69 only what is hardly anything else: a list of options, a first
            // block of the usual size, an error in words.
            Some((OPTIONS, rest)) => is_options(rest),
            Some((DATA, rest)) => bytes.len() == WHOLE_BLOCK && rest.starts_with(&[0, 1]),
            Some((ERROR, [0, 0..=8, remark @ .., 0])) => {
                remark.len() > 3 && remark.iter().all(|byte| (0x20..0x7f).contains(byte))
            }
            _ => false,
        };
    if fits { Recognition::Yes } else { Recognition::No }
}

/// The number that a packet or its rest begins with.
fn split(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), rest))
}

fn opposite(speaker: Speaker) -> Speaker {
    match speaker {
        Speaker::Initiator => Speaker::Responder,
        Speaker::Responder => Speaker::Initiator,
    }
}

/// The text before the first zero byte.
fn zero_ended(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Whether a file's name and a mode follow (RFC 1350 5).
fn is_request(rest: &[u8]) -> bool {
    let mut texts = rest.split(|byte| *byte == 0);
    let name = texts.next().is_some_and(|name| !name.is_empty());
    let mode = texts.next().unwrap_or_default();
    name && ["octet", "netascii", "mail"]
        .iter()
        .any(|known| mode.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether names and values of options follow (RFC 2347), the first of them one that is known.
fn is_options(rest: &[u8]) -> bool {
    let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    let known = ["blksize", "tsize", "timeout", "windowsize", "msftwindow"];
    known.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) && rest.last() == Some(&0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(messages: &[(Speaker, &[u8])]) -> Vec<Meaning> {
        let mut talk = (PROBE.begin)(Transport::Udp);
        let mut signals = Vec::new();
        for &(from, bytes) in messages {
            let length = bytes.len() as u64;
            let message = Message { from, bytes, length, time: None };
            talk.hear(&message, &mut signals);
        }
        signals
    }

    fn standings(signals: &[Meaning]) -> Vec<Standing> {
        let of = |meaning: &Meaning| {
            let Meaning::Answered { standing, .. } = meaning else { return None };
            Some(*standing)
        };
        signals.iter().filter_map(of).collect()
    }

    use Speaker::{Initiator, Responder};

    #[test]
    fn a_file_is_asked_for_by_name() {
        let asked = told(&[(Initiator, b"\0\x01boot\\x64\\wdsnbp.com\0octet\0tsize\x000\0")]);
        assert_eq!(asked, [Meaning::Asked { subject: "read boot\\x64\\wdsnbp.com".to_owned() }]);
    }

    #[test]
    fn the_first_answer_serves_and_an_error_fails() {
        // The transfer is a flow of its own, which the server begins.
        let served = told(&[
            (Initiator, b"\0\x06tsize\x0031124\0"),
            (Responder, b"\0\x04\0\0"),
            (Initiator, b"\0\x03\0\x01MZ"),
        ]);
        assert_eq!(standings(&served), [Standing::Served]);
        let failed = told(&[(Initiator, b"\0\x05\0\x01File not found\0")]);
        assert_eq!(standings(&failed), [Standing::Failed]);
        let Meaning::Answered { code, detail, .. } = &failed[0] else { panic!() };
        assert_eq!((code.unwrap().number, detail.as_deref()), (1, Some("File not found")));
    }

    #[test]
    fn an_asker_that_breaks_off_is_no_failure() {
        // Boot programs ask for the size, and then again for the file.
        let signals = told(&[
            (Initiator, b"\0\x06tsize\x0031124\0"),
            (Responder, b"\0\x05\0\0TFTP Aborted\0"),
        ]);
        assert_eq!(standings(&signals), [Standing::Served]);
    }

    #[test]
    fn only_what_is_hardly_anything_else_is_recognised_on_other_ports() {
        let block = [&[0, 3, 0, 1][..], &[7; 512]].concat();
        for (bytes, port_fits, expected) in [
            (&b"\0\x01file\0octet\0"[..], true, Recognition::Yes),
            (b"\0\x01file\0octet\0", false, Recognition::No),
            (b"\0\x01file\0sound\0", true, Recognition::No),
            (b"\0\x06blksize\x001456\0", false, Recognition::Yes),
            (b"\0\x06colour\0red\0", false, Recognition::No),
            (&block, false, Recognition::Yes),
            (&block[..500], false, Recognition::No),
            (b"\0\x05\0\x02Access violation\0", false, Recognition::Yes),
            (b"\0\x05\0\x02\xff\xfe\0", false, Recognition::No),
            (b"\0\x04\0\0", false, Recognition::No),
        ] {
            let (transport, from) = (Transport::Udp, Initiator);
            let opening = Opening { transport, from, port_fits, bytes };
            assert_eq!(recognise(&opening), expected, "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            kind in 0..8_u8,
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let bytes = [&[0, kind][..], &bytes].concat();
            prop_assert!(told(&[(Initiator, &bytes)]).len() <= 1);
            let (transport, from) = (Transport::Udp, Initiator);
            recognise(&Opening { transport, from, port_fits: true, bytes: &bytes });
        }
    }
}
