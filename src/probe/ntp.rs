//! Time service: whether a server has the time and gives it (RFC 5905, [MS-SNTP]).

use crate::net::{Timestamp, Transport};
use crate::probe::{
    Code, CodeSet, Framing, Meaning, Message, Next, Opening, Probe, Recognition, Speaker, Standing,
    Talk,
};

pub(super) const PROBE: Probe = Probe {
    name: "NTP",
    ports: &[(Transport::Udp, 123)],
    recognise,
    begin: |_| Box::new(TimeService),
};

/// RFC 5905 7.3: the packet without extensions and signature.
const LENGTH: usize = 48;

const SUBJECT: &str = "time";

/// RFC 5905 figure 10: who speaks.
const ACTIVE: u8 = 1;
const PASSIVE: u8 = 2;
const ASKER: u8 = 3;
const SERVER: u8 = 4;

/// The leap indicator of a clock that is not set.
const NOT_SET: u8 = 3;

/// The stratum from which on a clock counts as not set.
const TOO_FAR: u8 = 16;

/// Seconds until counting begins again.
const TURN: i128 = 1 << 32;

/// Seconds from 1900, which NTP counts from, to 1970.
const TO_1970: i128 = 2_208_988_800;

#[derive(Debug)]
struct TimeService;

impl Talk for TimeService {
    fn framing(&self, _: Speaker, _: &[u8]) -> Framing {
        Framing::Lost
    }

    fn remembers(&self) -> bool {
        false
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        if let Some(packet) = Packet::of(message.bytes) {
            packet.tell(message.time, signals);
        }
        Next::Stay
    }
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    match Packet::of(opening.bytes) {
        Some(_) if opening.port_fits && opening.transport == Transport::Udp => Recognition::Yes,
        _ => Recognition::No,
    }
}

struct Packet {
    leap: u8,
    mode: u8,
    stratum: u8,
    reference: u32,
    /// Seconds since 1900, modulo 2^32, and their fraction, when it was sent.
    sent: [u32; 2],
}

impl Packet {
    fn of(bytes: &[u8]) -> Option<Packet> {
        let bytes: &[u8; LENGTH] = bytes.first_chunk()?;
        let [first, stratum, ..] = *bytes;
        let word = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let (leap, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
        let known = (1..=4).contains(&version) && (ACTIVE..=5).contains(&mode);
        known.then_some(())?;
        let sent = [word(40)?, word(44)?];
        Some(Packet { leap, mode, stratum, reference: word(12)?, sent })
    }

    fn tell(&self, captured: Option<Timestamp>, signals: &mut Vec<Meaning>) {
        let subject = SUBJECT.to_owned();
        match self.mode {
            ACTIVE | ASKER => signals.push(Meaning::Asked { subject }),
            PASSIVE | SERVER => {
                let (standing, code, detail) = self.worth();
                signals.push(Meaning::Answered { subject, standing, code, detail: Some(detail) });
                if standing == Standing::Served {
                    signals.extend(self.clock(captured).map(|says| Meaning::Clock { says }));
                }
            }
            _ => {}
        }
    }

    fn worth(&self) -> (Standing, Option<Code>, String) {
        let code = Code { set: CodeSet::NtpKiss, number: self.reference };
        match self.stratum {
            // RFC 5905 7.4: the reference tells why there is no time.
            0 if self.reference != 0 => {
                (code.standing(), Some(code), "stratum 0: no time is given".to_owned())
            }
            stratum if stratum == 0 || stratum >= TOO_FAR || self.leap == NOT_SET => {
                let detail = format!("stratum {stratum}: the server's own clock is not set");
                (Standing::Failed, None, detail)
            }
            stratum => (Standing::Served, None, format!("stratum {stratum}")),
        }
    }

    /// When the packet was sent, by the server's clock. Which turn of its 136 years it is in is
    /// told by the capture's time, or taken for that of 2036 to 1968.
    fn clock(&self, captured: Option<Timestamp>) -> Option<Timestamp> {
        let [seconds, fraction] = self.sent.map(i128::from);
        if seconds == 0 {
            return None;
        }
        let near = captured.map_or(1_500_000_000, |captured| {
            i128::from(captured.as_nanoseconds()).div_euclid(1_000_000_000)
        });
        let since_1970 = seconds - TO_1970;
        let turns = (near - since_1970 + TURN / 2).div_euclid(TURN);
        let nanoseconds =
            (since_1970 + turns * TURN) * 1_000_000_000 + ((fraction * 1_000_000_000) >> 32);
        Timestamp::from_nanoseconds(nanoseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Time;
    use proptest::prelude::*;

    fn packet(first: u8, stratum: u8, reference: [u8; 4], sent: u32) -> Vec<u8> {
        let mut bytes = vec![first, stratum, 6, 0xec];
        bytes.extend([0; 8]);
        bytes.extend(reference);
        bytes.extend([0; 24]);
        bytes.extend(sent.to_be_bytes());
        bytes.extend([0x80, 0, 0, 0]);
        bytes
    }

    fn told(bytes: &[u8]) -> Vec<Meaning> {
        let mut signals = Vec::new();
        let message =
            Message { from: Speaker::Responder, bytes, length: bytes.len() as u64, time: None };
        TimeService.hear(&message, &mut signals);
        signals
    }

    #[test]
    fn a_server_with_the_time_serves_and_shows_its_clock() {
        // RFC 5905 figure 4: 1 January 1970 is 2,208,988,800.
        let told = told(&packet(0x24, 3, [10, 0, 0, 1], 2_208_988_800 + 1_401_185_700));
        let [Meaning::Answered { standing, detail, .. }, Meaning::Clock { says }] = &told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!((*standing, detail.as_deref()), (Standing::Served, Some("stratum 3")));
        let expected: Time = "2014-05-27T10:15:00.500Z".parse().unwrap();
        assert_eq!(*says, expected.at);
    }

    #[test]
    fn after_2036_counting_begins_again() {
        // RFC 5905 figure 4: the second era begins on 7 February 2036, 06:28:16.
        let packet = Packet::of(&packet(0x24, 3, [10, 0, 0, 1], 16)).unwrap();
        let near: Time = "2036-02-07T06:30:00Z".parse().unwrap();
        let expected: Time = "2036-02-07T06:28:32.500Z".parse().unwrap();
        assert_eq!(packet.clock(Some(near.at)), Some(expected.at));
    }

    #[test]
    fn a_refusal_and_a_clock_that_is_not_set_fail() {
        for (first, stratum, reference, name) in [
            (0xe4, 0, *b"RATE", Some("RATE")),
            (0xe4, 0, [0; 4], None),
            (0xe4, 3, [10, 0, 0, 1], None),
            (0x24, 16, [0; 4], None),
        ] {
            let told = told(&packet(first, stratum, reference, 0));
            let [Meaning::Answered { standing: Standing::Failed, code, .. }] = &told[..] else {
                panic!("{told:?}")
            };
            assert_eq!(code.map(|code| code.name().into_owned()).as_deref(), name);
        }
    }

    #[test]
    fn a_request_asks() {
        assert!(matches!(&told(&packet(0xdb, 0, [0; 4], 0))[..], [Meaning::Asked { .. }]));
        assert!(told(&packet(0x26, 0, [0; 4], 0)).is_empty(), "control messages");
        assert!(told(&packet(0x24, 0, [0; 4], 0)[..40]).is_empty(), "cut");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 40..70)) {
            told(&bytes);
        }
    }
}
