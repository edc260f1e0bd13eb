//! Puts in the sequence numbers that rows do not tell.
//!
//! A flow is told from the next one between the same ports by the number of its SYN. Wireshark
//! counts numbers from 0 in each connection, so that all SYNs have the same, and a row that was
//! cut short has none. Here each attempt gets numbers of its own: those that are relative are
//! moved, those that are missing are made to fit what came before.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::capture::row::{RowNumber, RowPath, RowRepeat, RowSegment};
use crate::net::{End, FlowKey, SeqNumber, Transport};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The newest attempt between each pair of ports.
#[derive(Default)]
pub(super) struct Attempts {
    newest: HashMap<FlowKey, Attempt, FixedState>,
}

/// What is needed of an attempt to number its segments.
#[derive(Clone, Copy, Default)]
struct Attempt {
    /// Attempts before it.
    earlier: u32,
    /// Who sent the SYN.
    initiator: Option<End>,
    /// The number of each end's SYN, the lower end first.
    isn: [Option<SeqNumber>; 2],
    /// The number that each end sends next.
    next: [Option<SeqNumber>; 2],
    answered: bool,
    /// Beyond its handshake: a SYN now is another attempt.
    under_way: bool,
}

impl Attempt {
    /// What relative numbers are counted from. Multiples of an odd number: as many attempts as
    /// there are sequence numbers have different ones (0 for the first).
    fn base(self) -> u32 {
        self.earlier.wrapping_mul(0x9e37_79b1)
    }

    /// The number of an end's SYN, and the one that it sends next.
    fn sent(&mut self, end: End) -> (&mut Option<SeqNumber>, &mut Option<SeqNumber>) {
        let ([low_isn, high_isn], [low, high]) = (&mut self.isn, &mut self.next);
        match end {
            End::Low => (low_isn, low),
            End::High => (high_isn, high),
        }
    }
}

impl RowPath {
    /// The key of the flow, and who sent the packet.
    pub fn key(&self, transport: Transport) -> (FlowKey, End) {
        let (key, sender) = FlowKey::of(transport, self.source, self.destination);
        match self.conversation {
            Some(number) if self.source.port == 0 || self.destination.port == 0 => {
                (key.of_conversation(number), sender)
            }
            _ => (key, sender),
        }
    }
}

impl Attempts {
    /// Completes a segment. Segments must come in the order of the text.
    pub(super) fn complete(&mut self, path: &RowPath, segment: &mut RowSegment) {
        let (key, sender) = path.key(Transport::Tcp);
        let attempt = self.newest.entry(key).or_default();
        let flags = segment.flags;
        let syn = flags & (SYN | ACK | RST) == SYN;
        if syn && is_new(*attempt, sender, segment) {
            let earlier = attempt.earlier.wrapping_add(u32::from(attempt.initiator.is_some()));
            *attempt = Attempt { earlier, initiator: Some(sender), ..Attempt::default() };
        }
        let base = attempt.base();
        let moved = |number: u32| RowNumber::Fitted(number.wrapping_add(base));
        match segment.seq {
            RowNumber::Relative(number) => segment.seq = moved(number),
            RowNumber::Untold => {
                let (isn, next) = attempt.sent(sender);
                let own = if flags & SYN != 0 { isn } else { next };
                segment.seq = RowNumber::Fitted(own.map_or(base, |own| own.0));
            }
            RowNumber::Wire(_) | RowNumber::Fitted(_) => {}
        }
        match segment.ack {
            RowNumber::Relative(number) if flags & ACK != 0 => segment.ack = moved(number),
            RowNumber::Untold if flags & ACK != 0 => {
                let heard = *attempt.sent(sender.opposite()).1;
                segment.ack = RowNumber::Fitted(heard.map_or(base, |next| next.0));
            }
            RowNumber::Relative(_) | RowNumber::Untold => segment.ack = RowNumber::Fitted(0),
            RowNumber::Wire(_) | RowNumber::Fitted(_) => {}
        }
        attempt.take(sender, segment);
    }
}

/// Whether a SYN begins an attempt. Numbers from the wire decide by themselves, later.
fn is_new(attempt: Attempt, sender: End, segment: &RowSegment) -> bool {
    let Some(initiator) = attempt.initiator else { return true };
    match segment.repeat {
        RowRepeat::Reused => true,
        RowRepeat::Retransmitted => false,
        // Windows repeats a SYN that was refused, so that a reset alone ends nothing.
        RowRepeat::Unsaid => initiator == sender && attempt.under_way,
    }
}

impl Attempt {
    /// Remembers how far a segment brought it.
    fn take(&mut self, sender: End, segment: &RowSegment) {
        let flags = segment.flags;
        let from_initiator = self.initiator == Some(sender);
        if flags & (SYN | ACK | RST) == SYN | ACK {
            self.answered = true;
            if self.initiator.is_none() {
                self.initiator = Some(sender.opposite());
            }
        }
        let confirms = from_initiator && self.answered && flags & (SYN | RST) == 0;
        let goes_on =
            self.initiator.is_none() || confirms || segment.length > 0 && flags & SYN == 0;
        self.under_way |= goes_on || flags & FIN != 0;
        if flags & RST != 0 {
            return;
        }
        let control = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        let after = SeqNumber(segment.seq.value()).plus(segment.length).plus(control);
        let (isn, next) = self.sent(sender);
        if flags & SYN != 0 {
            isn.get_or_insert(SeqNumber(segment.seq.value()));
        }
        *next = Some(next.filter(|next| !after.is_after(*next)).unwrap_or(after));
        if flags & ACK != 0 {
            // What was captured does not show all that was sent.
            let (_, other) = self.sent(sender.opposite());
            other.get_or_insert(SeqNumber(segment.ack.value()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Endpoint;

    fn path(from_initiator: bool) -> RowPath {
        let initiator = Endpoint { address: "CAS".parse().unwrap(), port: 52702 };
        let responder = Endpoint { address: "DC1".parse().unwrap(), port: 135 };
        let (source, destination) =
            if from_initiator { (initiator, responder) } else { (responder, initiator) };
        RowPath { source, destination, conversation: None }
    }

    /// Rows as letters, as in Zeek's histories, the initiator's in capitals; `!` after one says
    /// that the ports are reused, `+` that it is a retransmission. Gives seq and ack of each.
    fn play(script: &str, of: fn(u32) -> RowNumber) -> Vec<(u32, u32)> {
        let mut attempts = Attempts::default();
        let mut sent = [0_u32; 2];
        let letters: Vec<char> = script.chars().collect();
        let mut completed = Vec::new();
        for (place, letter) in letters.iter().enumerate() {
            let repeat = match letters.get(place + 1) {
                Some('!') => RowRepeat::Reused,
                Some('+') => RowRepeat::Retransmitted,
                _ => RowRepeat::Unsaid,
            };
            let from_initiator = letter.is_ascii_uppercase();
            let (us, them) = if from_initiator { (0, 1) } else { (1, 0) };
            let (flags, length) = match letter.to_ascii_uppercase() {
                'S' => (SYN, 0),
                'H' => (SYN | ACK, 0),
                'A' => (ACK, 0),
                'D' => (ACK, 100),
                'F' => (ACK | FIN, 0),
                'R' => (ACK | RST, 0),
                _ => continue,
            };
            if flags & SYN != 0 {
                sent[us] = 0;
                if flags & ACK == 0 {
                    sent[them] = 0;
                }
            }
            let mut segment = RowSegment {
                flags,
                seq: of(sent[us]),
                ack: of(sent[them]),
                window: None,
                length,
                repeat,
            };
            sent[us] = match flags & SYN {
                0 => sent[us] + length + u32::from(flags & FIN),
                _ => 1,
            };
            attempts.complete(&path(from_initiator), &mut segment);
            completed.push((segment.seq.value(), segment.ack.value()));
        }
        completed
    }

    /// Places of the SYNs that have the number of the first one.
    fn of_the_first_attempt(script: &str, of: fn(u32) -> RowNumber) -> Vec<bool> {
        let numbers = play(script, of);
        let letters: Vec<char> = script.chars().filter(char::is_ascii_alphabetic).collect();
        let syns = letters.iter().zip(&numbers).filter(|(letter, _)| **letter == 'S');
        syns.map(|(_, (seq, _))| *seq == numbers[0].0).collect()
    }

    #[test]
    fn a_syn_after_a_connection_is_another_attempt_though_its_number_is_the_same() {
        for of in [RowNumber::Relative, |_| RowNumber::Untold] {
            for (script, expected) in [
                // Repeats, also after refusals, are one attempt.
                ("SSS", vec![true, true, true]),
                ("SrSrS", vec![true, true, true]),
                ("ShSh", vec![true, true]),
                // After what was open, they are not.
                ("ShADdFfS", vec![true, false]),
                ("ShARS", vec![true, false]),
                // Unless the text knows better.
                ("SS!", vec![true, false]),
                ("ShADS+", vec![true, true]),
            ] {
                assert_eq!(of_the_first_attempt(script, of), expected, "{script}");
            }
        }
    }

    #[test]
    fn relative_numbers_keep_their_distances() {
        let numbers = play("ShADdS!hADd", RowNumber::Relative);
        let (first, second) = numbers.split_at(5);
        assert_eq!(first, [(0, 0), (0, 1), (1, 1), (1, 1), (1, 101)]);
        let base = second[0].0;
        assert_ne!(base, 0);
        let moved: Vec<_> = second
            .iter()
            .map(|(seq, ack)| (seq.wrapping_sub(base), ack.wrapping_sub(base)))
            .collect();
        // The SYN acknowledges nothing, whatever its attempt.
        assert_eq!(second[0].1, 0);
        assert_eq!(moved[1..], [(0, 1), (1, 1), (1, 1), (1, 101)]);
    }

    #[test]
    fn numbers_that_are_not_told_acknowledge_what_came_before() {
        // SYN 0, SYN-ACK 0/1, ACK 1/1, 100 bytes, 100 bytes back that acknowledge 101.
        let numbers = play("ShADd", |_| RowNumber::Untold);
        assert_eq!(numbers, [(0, 0), (0, 1), (1, 1), (1, 1), (1, 101)]);
        // A reset acknowledges the SYN that it refuses.
        assert_eq!(play("Sr", |_| RowNumber::Untold)[1].1, 1);
    }

    #[test]
    fn numbers_of_the_wire_stay() {
        let numbers = play("SSrSh", |number| RowNumber::Wire(number + 7));
        assert_eq!(numbers, [(7, 7), (7, 7), (7, 8), (7, 7), (7, 8)]);
    }
}
