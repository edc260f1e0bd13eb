//! TDS, the protocol of SQL Server ([MS-TDS]): the pre-login, the login, and errors.
//!
//! Passwords are never read. Where the login is encrypted, the handshake of TLS inside the
//! pre-login packets is followed, and the login's result cannot be told. Results of queries are
//! looked at as far as errors come before them.

use crate::net::Transport;
use crate::probe::ntlm::Ntlm;
use crate::probe::read::{u8_at, u16_be, u32_le};
use crate::probe::tls::{self, Tls};
use crate::probe::{
    Duty, Framing, Holder, Meaning, Message, Next, Opening, Probe, Recognition, Speaker, Standing,
    Talk,
};

mod login;
mod tokens;

pub(super) const PROBE: Probe = Probe {
    name: "TDS",
    ports: &[(Transport::Tcp, 1433), (Transport::Tcp, 1434)],
    recognise,
    begin: |_| Box::<Tds>::default(),
};

/// Bytes of a packet's header (2.2.3.1).
const HEADER: usize = 8;

/// Longest packet that may be negotiated (2.2.6.4).
const LONGEST: usize = 32_767;

/// Bytes held of a packet: the usual length of one.
const MOST_KEPT: usize = 4096;

/// Bytes held of a TLS record that goes over several packets.
const MOST_HELD: usize = 16 << 10;

const OLD_LOGIN: u8 = 2;
const RESPONSE: u8 = 4;
const LOGIN: u8 = 16;
const SSPI: u8 = 17;
const PRE_LOGIN: u8 = 18;

/// Kinds of packets (2.2.3.1.1).
const KINDS: [u8; 12] = [1, OLD_LOGIN, 3, RESPONSE, 6, 7, 8, 14, 15, LOGIN, SSPI, PRE_LOGIN];

const END_OF_MESSAGE: u8 = 1;

/// What the responder is to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Unknown,
    PreLogin,
    Login,
    Query,
}

#[derive(Debug, Default)]
struct Tds {
    phase: Phase,
    /// What is asked for in this phase.
    subject: String,
    /// The handshake inside pre-login packets, and bytes of records that are not complete.
    tls: Tls,
    held: [Vec<u8>; 2],
    /// Each side's next packet goes on with a message that was begun: initiator, responder.
    goes_on: [bool; 2],
    /// Texts are of one byte a letter: before TDS 7.
    narrow: bool,
}

impl Talk for Tds {
    fn framing(&self, _: Speaker, bytes: &[u8]) -> Framing {
        // Once the login is to be encrypted, it is a bare record of TLS (3.2.5.1).
        if matches!(bytes, [20..=23, ..]) {
            if bytes.len() < tls::HEADER {
                return Framing::Needs(tls::HEADER);
            }
            return match tls::record(bytes) {
                Some((_, length)) => {
                    let length = tls::HEADER + length;
                    Framing::Message { length: length as u64, keep: tls::HEADER }
                }
                None => Framing::Lost,
            };
        }
        if bytes.len() < HEADER {
            return Framing::Needs(HEADER);
        }
        match packet(bytes) {
            Some((_, length)) => {
                Framing::Message { length: length as u64, keep: length.min(MOST_KEPT) }
            }
            None => Framing::Lost,
        }
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        let from = message.from;
        if tls::record(message.bytes).is_some() {
            self.tls.record(from, message.bytes, signals);
            return Next::Stay;
        }
        let Some((kind, _)) = packet(message.bytes) else { return Next::Stay };
        let body = message.bytes.get(HEADER..).unwrap_or_default();
        let ends = u8_at(message.bytes, 1).is_some_and(|status| status & END_OF_MESSAGE != 0);
        let goes_on = match (&mut self.goes_on, from) {
            ([initiator, _], Speaker::Initiator) => initiator,
            ([_, responder], Speaker::Responder) => responder,
        };
        let goes_on = std::mem::replace(goes_on, !ends);
        if goes_on {
            return Next::Stay;
        }
        match (kind, from) {
            (PRE_LOGIN, _) if self.phase == Phase::PreLogin && tls::may_begin(body) => {
                self.pass_tls(from, body, signals);
            }
            (PRE_LOGIN, _) if !self.held(from).is_empty() => self.pass_tls(from, body, signals),
            (PRE_LOGIN, Speaker::Initiator) => {
                self.phase = Phase::PreLogin;
                self.subject = login::pre_login_subject(body);
                signals.push(Meaning::Asked { subject: self.subject.clone() });
            }
            (LOGIN | OLD_LOGIN, Speaker::Initiator) => {
                self.phase = Phase::Login;
                self.narrow = kind == OLD_LOGIN;
                let login = if self.narrow { None } else { login::read(body, signals) };
                self.subject = login.unwrap_or_else(|| "login".to_owned());
                signals.push(Meaning::Asked { subject: self.subject.clone() });
            }
            (SSPI, _) => {
                if let Some(ntlm) = Ntlm::find(body) {
                    ntlm.introduce(signals);
                }
            }
            (RESPONSE, _) if self.phase == Phase::PreLogin && body.first() == Some(&0) => {
                self.answer_pre_login(body, signals);
            }
            (RESPONSE, _) => self.answer(body, signals),
            (_, Speaker::Initiator) => {
                self.phase = Phase::Query;
                "query".clone_into(&mut self.subject);
            }
            _ => {}
        }
        Next::Stay
    }

    fn lose(&mut self, from: Speaker) {
        self.held(from).clear();
    }
}

impl Tds {
    fn held(&mut self, from: Speaker) -> &mut Vec<u8> {
        let [initiator, responder] = &mut self.held;
        match from {
            Speaker::Initiator => initiator,
            Speaker::Responder => responder,
        }
    }

    /// Records of TLS in a pre-login packet: several, or a part of one.
    fn pass_tls(&mut self, from: Speaker, body: &[u8], signals: &mut Vec<Meaning>) {
        let mut held = std::mem::take(self.held(from));
        held.extend_from_slice(body);
        let mut rest = &held[..];
        while let Some((_, length)) = tls::record(rest) {
            let Some((record, after)) = rest.split_at_checked(tls::HEADER + length) else { break };
            self.tls.record(from, record, signals);
            rest = after;
        }
        if rest.len() <= MOST_HELD && tls::may_begin(rest) {
            *self.held(from) = rest.to_vec();
        }
    }

    fn answer_pre_login(&mut self, body: &[u8], signals: &mut Vec<Meaning>) {
        let answer = login::PreLogin::read(body);
        let standing = if answer.wrong_instance { Standing::Failed } else { Standing::Served };
        let detail = answer.detail();
        let subject = self.subject.clone();
        signals.push(Meaning::Answered { subject, standing, code: None, detail });
        signals.push(Meaning::Does {
            holder: Holder::Speaker,
            duty: Duty::SqlServer,
            how: "answered a pre-login of SQL Server".to_owned(),
        });
    }

    fn answer(&mut self, body: &[u8], signals: &mut Vec<Meaning>) {
        let subject = match self.phase {
            Phase::Unknown => "query",
            Phase::PreLogin | Phase::Login | Phase::Query => &self.subject,
        };
        tokens::read(body, subject, self.phase == Phase::Query, self.narrow, signals);
    }
}

/// Kind and length of a packet, from its header.
fn packet(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, status, high, low, ..] = *bytes.first_chunk::<HEADER>()?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let fits = KINDS.contains(&kind) && status < 0x20 && (HEADER..=LONGEST).contains(&length);
    fits.then_some((kind, length))
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    let bytes = opening.bytes;
    if opening.transport == Transport::Udp {
        return Recognition::No;
    }
    let Some((kind, length)) = packet(bytes) else {
        let begins = bytes.len() < HEADER && bytes.first().is_some_and(|kind| KINDS.contains(kind));
        let may_grow = begins && opening.port_fits;
        return if may_grow { Recognition::Perhaps } else { Recognition::No };
    };
    // The window byte is always zero (2.2.3.1.7).
    let plain = u8_at(bytes, 7) == Some(0);
    let fits = match kind {
        // The first option is the version, of six bytes behind the list of options (2.2.6.5).
        PRE_LOGIN => {
            u8_at(bytes, HEADER) == Some(0)
                && u16_be(bytes, HEADER + 3) == Some(6)
                && u16_be(bytes, HEADER + 1)
                    .is_some_and(|at| at % 5 == 1 && usize::from(at) < length)
        }
        // Its own length, and a version of TDS 7 (2.2.6.4).
        LOGIN => {
            u32_le(bytes, HEADER).is_some_and(|own| own as usize + HEADER >= length)
                && matches!(u8_at(bytes, HEADER + 7), Some(0x70..=0x74))
        }
        _ => false,
    };
    let fits = plain && (fits || opening.port_fits);
    if fits { Recognition::Yes } else { Recognition::No }
}

#[cfg(test)]
mod tests;
