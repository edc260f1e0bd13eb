//! How far a TCP handshake came, segment by segment (RFC 9293 3.5, 3.10).

use crate::flow::{Flow, InitiatorBy, Sender, Side};
use crate::net::SeqNumber;
use crate::packet::{Flags, Packet, Segment};

/// How far the handshake came. The last decisive segment wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handshake {
    /// Neither SYN nor SYN-ACK was captured.
    #[default]
    Unseen,
    /// The SYN has no answer.
    SynSent,
    /// A reset answered the SYN.
    Refused,
    /// The initiator reset its own SYN.
    Abandoned,
    /// A SYN-ACK answered the SYN, or was captured without it.
    Answered,
    /// The initiator reset the connection in answer to the SYN-ACK.
    Probed,
    /// The responder reset the connection before its SYN-ACK was confirmed.
    Withdrawn,
    /// Segments show that both sides had the connection.
    Confirmed,
}

/// What is known of a TCP flow besides its counts.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct TcpFacts {
    /// How far the handshake came.
    pub handshake: Handshake,
    /// SYNs of the initiator, repeats included.
    pub syns: u32,
    /// SYN-ACKs that acknowledge the SYN, repeats included.
    pub syn_acks: u32,
    /// Resets that refused the SYN.
    pub refusals: u32,
    /// Resets of the responder that acknowledge no SYN, and that the initiator therefore ignores
    /// (RFC 9293 3.10.7.3).
    pub ignored_resets: u32,
    /// The SYN was answered by a segment of another connection.
    pub challenged: bool,
    /// Both sides sent a SYN (simultaneous open, RFC 9293 3.5).
    pub simultaneous: bool,
    /// A segment without its flags was captured.
    pub cut: bool,
    /// Payload that the SYN carried (TCP Fast Open, RFC 7413).
    pub(super) syn_length: u32,
    /// The first reset after the handshake: by whom.
    pub reset_by: Option<Sender>,
    /// That reset came from the responder, before a byte of its own, and the initiator had not
    /// taken leave without a byte either.
    pub reset_before_answer: bool,
}

impl Flow {
    /// Takes a segment of this flow into account.
    pub(super) fn observe_segment(&mut self, packet: &Packet<'_>, segment: Segment) {
        if !self.count(packet, segment.length) {
            return;
        }
        // Nothing moves on in a connection that both sides have: most packets end here.
        if self.tcp.handshake == Handshake::Confirmed
            && !segment.flags.has(Flags::SYN | Flags::FIN | Flags::RST)
        {
            let from_initiator = self.is_from_initiator(packet);
            self.write_history(segment, from_initiator);
            return self.sides(from_initiator).0.remember(segment);
        }
        self.observe_counted(packet, segment);
    }

    /// Takes a segment into account that was counted.
    fn observe_counted(&mut self, packet: &Packet<'_>, segment: Segment) {
        let from_initiator = self.is_from_initiator(packet);
        let flags = segment.flags;
        let before = self.tcp;
        if flags.has(Flags::RST) {
            self.observe_reset(segment, from_initiator);
        } else if flags.is_syn() {
            self.observe_syn(segment, from_initiator);
        } else if flags.is_syn_ack() {
            self.observe_syn_ack(segment, from_initiator);
        } else {
            self.observe_other(segment, from_initiator);
        }
        self.write_history(segment, from_initiator);
        if self.decides(segment, from_initiator, before) {
            self.keep_evidence(packet);
        }
        let (sender, _) = self.sides(from_initiator);
        sender.remember(segment);
    }

    fn observe_syn(&mut self, segment: Segment, from_initiator: bool) {
        if !from_initiator {
            self.tcp.simultaneous = true;
            self.responder.isn = Some(segment.seq);
            return;
        }
        self.initiator.isn = Some(segment.seq);
        self.initiator_by = InitiatorBy::Handshake;
        self.tcp.syns = self.tcp.syns.saturating_add(1);
        self.tcp.syn_length = self.tcp.syn_length.max(segment.length);
        match self.tcp.handshake {
            Handshake::Unseen | Handshake::Abandoned => self.tcp.handshake = Handshake::SynSent,
            // Windows repeats a refused SYN; that alone changes nothing.
            Handshake::SynSent
            | Handshake::Refused
            | Handshake::Answered
            | Handshake::Probed
            | Handshake::Withdrawn
            | Handshake::Confirmed => {}
        }
    }

    fn observe_syn_ack(&mut self, segment: Segment, from_initiator: bool) {
        if from_initiator {
            // Simultaneous open: each side answers the other's SYN.
            if self.responder.isn.is_some_and(|isn| segment.ack == isn.plus(1)) {
                self.confirm();
            }
            return;
        }
        if !self.acknowledges_syn(segment) {
            self.tcp.challenged = true;
            return;
        }
        self.initiator_by = InitiatorBy::Handshake;
        self.tcp.syn_acks = self.tcp.syn_acks.saturating_add(1);
        self.responder.isn = Some(segment.seq);
        match self.tcp.handshake {
            Handshake::Unseen
            | Handshake::SynSent
            | Handshake::Refused
            | Handshake::Abandoned
            | Handshake::Probed
            | Handshake::Withdrawn => {
                self.tcp.handshake = Handshake::Answered;
                // The initiator's ACK may stand before the SYN-ACK in the file.
                let confirmed = self.initiator.ack.is_some_and(|ack| ack.is_after(segment.seq));
                if confirmed {
                    self.tcp.handshake = Handshake::Confirmed;
                }
            }
            Handshake::Answered | Handshake::Confirmed => {}
        }
    }

    /// Whether a segment of the responder acknowledges the SYN, or the SYN and some of its payload.
    pub(super) fn acknowledges_syn(&self, segment: Segment) -> bool {
        self.initiator.isn.is_some_and(|isn| {
            let beyond = segment.ack.0.wrapping_sub(isn.plus(1).0);
            beyond <= self.tcp.syn_length
        })
    }

    fn observe_reset(&mut self, segment: Segment, from_initiator: bool) {
        match (self.tcp.handshake, from_initiator) {
            // A reset answers a challenge: the SYN will be sent again.
            (Handshake::SynSent, true) if !self.tcp.challenged => {
                self.tcp.handshake = Handshake::Abandoned;
            }
            (Handshake::SynSent | Handshake::Refused | Handshake::Abandoned, false)
                if segment.flags.has(Flags::ACK) && self.acknowledges_syn(segment) =>
            {
                self.tcp.handshake = Handshake::Refused;
                self.tcp.refusals = self.tcp.refusals.saturating_add(1);
            }
            (Handshake::SynSent | Handshake::Abandoned, false) => {
                self.tcp.ignored_resets = self.tcp.ignored_resets.saturating_add(1);
            }
            (Handshake::Answered, true) => self.tcp.handshake = Handshake::Probed,
            (Handshake::Answered, false) => self.tcp.handshake = Handshake::Withdrawn,
            (Handshake::Confirmed | Handshake::Unseen, _)
                if self.tcp.reset_by.is_none() && !self.both_said_fin() =>
            {
                self.tcp.reset_by =
                    Some(if from_initiator { Sender::Initiator } else { Sender::Responder });
                let left = self.initiator.has_sent(Flags::FIN) && self.initiator.bytes == 0;
                self.tcp.reset_before_answer =
                    !from_initiator && self.responder.bytes == u64::from(segment.length) && !left;
            }
            _ => {}
        }
    }

    fn both_said_fin(&self) -> bool {
        self.initiator.has_sent(Flags::FIN) && self.responder.has_sent(Flags::FIN)
    }

    /// A segment that carries neither SYN nor RST.
    fn observe_other(&mut self, segment: Segment, from_initiator: bool) {
        let acknowledges = segment.flags.has(Flags::ACK);
        match (self.tcp.handshake, from_initiator) {
            (Handshake::Answered, true) => {
                let confirms = match self.responder.isn {
                    Some(isn) if acknowledges => segment.ack.is_after(isn),
                    _ => segment.length > 0 || segment.flags.has(Flags::FIN),
                };
                if confirms {
                    self.tcp.handshake = Handshake::Confirmed;
                }
            }
            // The SYN-ACK's sender goes on: it must have heard from the initiator, if it sends
            // payload or acknowledges more than the SYN.
            (Handshake::Answered, false) => {
                let beyond_syn = self
                    .initiator
                    .isn
                    .is_some_and(|isn| segment.ack.is_after(isn.plus(1).plus(self.tcp.syn_length)));
                if segment.length > 0 || (acknowledges && beyond_syn) {
                    self.confirm();
                }
            }
            // It acknowledges what the responder must have sent, though that was not captured.
            (Handshake::SynSent, true) if acknowledges && !self.tcp.challenged => self.confirm(),
            (Handshake::SynSent | Handshake::Refused | Handshake::Abandoned, false) => {
                let beyond =
                    self.initiator.isn.map(|isn| segment.ack.0.wrapping_sub(isn.plus(1).0));
                let sent = self.sent_by_initiator();
                if acknowledges && beyond.is_some_and(|beyond| beyond <= sent) {
                    self.confirm();
                } else {
                    self.tcp.challenged = true;
                }
            }
            (Handshake::Unseen, _) if self.shows_connection(segment, from_initiator) => {
                self.confirm();
            }
            _ => {}
        }
    }

    fn confirm(&mut self) {
        self.tcp.handshake = Handshake::Confirmed;
    }

    /// Bytes that the initiator was seen to send after its SYN.
    fn sent_by_initiator(&self) -> u32 {
        match (self.initiator.isn, self.initiator.next_seq) {
            (Some(isn), Some(next)) => next.0.wrapping_sub(isn.plus(1).0),
            _ => 0,
        }
    }

    /// Whether a segment in the middle of a connection proves it: payload both ways, or one side
    /// acknowledging what the other must have sent.
    fn shows_connection(&self, segment: Segment, from_initiator: bool) -> bool {
        let (sender, receiver) = if from_initiator {
            (&self.initiator, &self.responder)
        } else {
            (&self.responder, &self.initiator)
        };
        let acknowledges = segment.flags.has(Flags::ACK);
        let payload_both_ways = sender.bytes > 0 && receiver.bytes > 0;
        let ack_advanced = acknowledges && sender.ack.is_some_and(|ack| segment.ack.is_after(ack));
        let agrees = acknowledges && receiver.next_seq == Some(segment.ack);
        payload_both_ways || ack_advanced || agrees
    }

    #[inline]
    fn write_history(&mut self, segment: Segment, from_initiator: bool) {
        let flags = segment.flags;
        if flags.is_syn() {
            self.history.push(b'S', from_initiator);
        } else if flags.is_syn_ack() {
            self.history.push(b'H', from_initiator);
        }
        if segment.length > 0 {
            self.history.push(b'D', from_initiator);
        }
        if flags.has(Flags::FIN) {
            self.history.push(b'F', from_initiator);
        }
        if flags.has(Flags::RST) {
            self.history.push(b'R', from_initiator);
        } else if flags.0 & (Flags::SYN | Flags::FIN | Flags::ACK) == Flags::ACK
            && segment.length == 0
        {
            self.history.push(b'A', from_initiator);
        }
    }

    /// Whether a segment belongs to the evidence: the handshake, resets, and what moved the
    /// handshake on or stands first where there is none.
    fn decides(&self, segment: Segment, from_initiator: bool, before: TcpFacts) -> bool {
        let after = &self.tcp;
        let side = if from_initiator { &self.initiator } else { &self.responder };
        segment.flags.has(Flags::SYN | Flags::RST)
            || after.handshake != before.handshake
            || after.challenged != before.challenged
            || (after.handshake == Handshake::Unseen && side.packets == 1)
    }
}

impl Side {
    /// Remembers how far the sequence and acknowledgment numbers came.
    #[inline]
    fn remember(&mut self, segment: Segment) {
        let flags = segment.flags;
        self.flags |= flags.0;
        let control = u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
        let next = segment.seq.plus(segment.length).plus(control);
        if self.isn.is_none() {
            self.isn = Some(segment.seq.plus(u32::MAX));
        }
        self.next_seq = Some(later(self.next_seq, next));
        if flags.has(Flags::ACK) && !flags.has(Flags::RST) {
            self.ack = Some(later(self.ack, segment.ack));
        }
    }
}

fn later(known: Option<SeqNumber>, new: SeqNumber) -> SeqNumber {
    match known {
        Some(known) if !new.is_after(known) => known,
        _ => new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::script::packets;
    use crate::packet::Body;
    use proptest::prelude::{prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn a_segment_that_only_counts_would_change_nothing_else(
            script in "[Sd][hA]?[AD]?[ADFRadfrSHsh]{0,20}",
        ) {
            let packets = packets(&script);
            let mut flow = Flow::blank();
            flow.restart(&packets[0], packets[0].sender, InitiatorBy::Handshake);
            let mut long = flow.clone();
            for packet in &packets {
                let Body::Segment(segment) = packet.body else { panic!("a segment") };
                flow.observe_segment(packet, segment);
                if long.count(packet, segment.length) {
                    long.observe_counted(packet, segment);
                }
                prop_assert_eq!(format!("{flow:?}"), format!("{long:?}"));
            }
        }
    }
}
