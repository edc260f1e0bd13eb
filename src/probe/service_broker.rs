//! SQL Server's endpoints for Service Broker (4022) and for mirroring and availability groups
//! (5022).
//!
//! Their protocol is not published. What can be told: whether the responder answers the first
//! bytes of the initiator, and who signs on where it shows an NTLM message.

use crate::net::Transport;
use crate::probe::ntlm::Ntlm;
use crate::probe::{
    Framing, Meaning, Message, Next, Opening, Probe, Recognition, Speaker, Standing, Talk,
};

pub(super) const PROBE: Probe = Probe {
    name: "Service Broker",
    ports: &[(Transport::Tcp, 4022), (Transport::Tcp, 5022)],
    recognise,
    begin: |_| Box::<Endpoint>::default(),
};

const SUBJECT: &str = "endpoint handshake";

/// Segments of the responder that are looked at for an NTLM message.
const MOST_ANSWERS: u8 = 4;

#[derive(Debug, Default)]
struct Endpoint {
    asked: bool,
    answers: u8,
}

impl Talk for Endpoint {
    fn framing(&self, _: Speaker, bytes: &[u8]) -> Framing {
        // Where messages end is not known: each segment stands for one.
        Framing::Message { length: bytes.len() as u64, keep: bytes.len() }
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        if let Some(ntlm) = Ntlm::find(message.bytes) {
            ntlm.introduce(signals);
        }
        let subject = SUBJECT.to_owned();
        match message.from {
            Speaker::Initiator if !self.asked => {
                self.asked = true;
                signals.push(Meaning::Asked { subject });
            }
            Speaker::Initiator => {}
            Speaker::Responder => {
                if self.answers == 0 && self.asked {
                    let standing = Standing::Served;
                    signals.push(Meaning::Answered { subject, standing, code: None, detail: None });
                }
                self.answers += 1;
            }
        }
        if self.answers >= MOST_ANSWERS { Next::Done } else { Next::Stay }
    }
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    // Only its ports tell it: the others have been asked before.
    let fits = opening.transport == Transport::Tcp && opening.port_fits;
    if fits { Recognition::Yes } else { Recognition::No }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_heard_and_told_at_most_once(
            messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..80)), 0..8),
        ) {
            let mut endpoint = Endpoint::default();
            let mut signals = Vec::new();
            for (asks, bytes) in &messages {
                let from = if *asks { Speaker::Initiator } else { Speaker::Responder };
                let length = bytes.len() as u64;
                let message = Message { from, bytes, length, time: None };
                if matches!(endpoint.hear(&message, &mut signals), Next::Done) {
                    break;
                }
            }
            let answers = signals.iter().filter(|it| matches!(it, Meaning::Answered { .. }));
            prop_assert!(answers.count() <= 1);
        }
    }

    fn told(endpoint: &mut Endpoint, from: Speaker) -> Vec<Meaning> {
        let mut signals = Vec::new();
        let message = Message { from, bytes: &[1], length: 1, time: None };
        endpoint.hear(&message, &mut signals);
        signals
    }

    #[test]
    fn an_endpoint_serves_when_it_answers() {
        let mut endpoint = Endpoint::default();
        let subject = SUBJECT.to_owned();
        let asked = told(&mut endpoint, Speaker::Initiator);
        assert_eq!(asked, [Meaning::Asked { subject: subject.clone() }]);
        let standing = Standing::Served;
        let answered = Meaning::Answered { subject, standing, code: None, detail: None };
        assert_eq!(told(&mut endpoint, Speaker::Responder), [answered]);
        assert_eq!(told(&mut endpoint, Speaker::Responder), [], "told once");
    }

    #[test]
    fn only_its_ports_tell_it() {
        for (port_fits, expected) in [(true, Recognition::Yes), (false, Recognition::No)] {
            let (transport, from) = (Transport::Tcp, Speaker::Initiator);
            let opening = Opening { transport, from, port_fits, bytes: &[1, 2] };
            assert_eq!(recognise(&opening), expected);
        }
    }
}
