//! Lets the probes hear what a flow's payload says.

use crate::flow::Flow;
use crate::flow::table::Hearing;
use crate::net::{End, Transport};
use crate::packet::{Flags, Packet, Segment};
use crate::probe::{Dialogue, Heard, Signal, Speaker};

/// Whether a flow is being listened to.
#[derive(Debug, Default)]
pub(super) enum Listening {
    /// No payload was captured yet.
    #[default]
    Waiting,
    /// Its payload goes to a probe.
    Open(Box<Dialogue>),
    /// The flow has ended, or has nothing more to say that we could read.
    Over,
}

impl Listening {
    /// Takes a segment of the flow.
    pub(super) fn segment(
        &mut self,
        flow: &mut Flow,
        packet: &Packet<'_>,
        segment: Segment,
        hearing: Hearing,
    ) {
        if hearing == Hearing::Nothing {
            return;
        }
        // What a reset carries says why (RFC 9293 3.5.3), or is an echo of a device that forged
        // it: it is no part of the dialogue.
        if segment.length > 0
            && !segment.flags.has(Flags::RST)
            && let Some(dialogue) = self.dialogue(flow)
        {
            let from = speaker(flow, packet.sender);
            let syn = u32::from(segment.flags.has(Flags::SYN));
            let seq = segment.seq.plus(syn);
            let Packet { sender, payload, frame, time, .. } = *packet;
            let heard = &mut flow.heard;
            dialogue.segment(sender, from, seq, payload, segment.length, frame, time, &mut |it| {
                tell(heard, hearing, it);
            });
            if dialogue.is_done() {
                *self = Listening::Over;
            }
        }
        if segment.flags.has(Flags::RST) || segment.flags.has(Flags::FIN) && flow.is_finished() {
            self.finish(flow, hearing);
        }
    }

    /// Takes a datagram of the flow.
    pub(super) fn datagram(
        &mut self,
        flow: &mut Flow,
        packet: &Packet<'_>,
        length: u32,
        hearing: Hearing,
    ) {
        if length == 0 || hearing == Hearing::Nothing {
            return;
        }
        if let Some(dialogue) = self.dialogue(flow) {
            let from = speaker(flow, packet.sender);
            let Packet { payload, frame, time, .. } = *packet;
            let heard = &mut flow.heard;
            dialogue.datagram(from, payload, length, frame, time, &mut |it| {
                tell(heard, hearing, it);
            });
            if dialogue.is_done() {
                *self = Listening::Over;
            }
        }
    }

    /// The flow is over, or the capture is.
    pub(super) fn finish(&mut self, flow: &mut Flow, hearing: Hearing) {
        if let Listening::Open(dialogue) = self {
            let speakers = [speaker(flow, End::Low), speaker(flow, End::High)];
            let heard = &mut flow.heard;
            dialogue.finish(speakers, &mut |it| tell(heard, hearing, it));
            *self = Listening::Over;
        }
    }

    fn dialogue(&mut self, flow: &Flow) -> Option<&mut Dialogue> {
        if let Listening::Waiting = self {
            let ports = [End::Low, End::High].map(|end| flow.key.endpoint(end).port);
            let mut dialogue = Dialogue::new(flow.transport(), ports);
            if flow.transport() == Transport::Tcp {
                let initiator = flow.initiator_end;
                for (end, side) in
                    [(initiator, &flow.initiator), (initiator.opposite(), &flow.responder)]
                {
                    if let Some(isn) = side.isn {
                        dialogue.begin(end, isn.plus(1));
                    }
                }
            }
            *self = Listening::Open(Box::new(dialogue));
        }
        match self {
            Listening::Open(dialogue) => Some(dialogue),
            Listening::Waiting | Listening::Over => None,
        }
    }
}

fn speaker(flow: &Flow, end: End) -> Speaker {
    if end == flow.initiator_end { Speaker::Initiator } else { Speaker::Responder }
}

fn tell(heard: &mut Option<Box<Heard>>, hearing: Hearing, signal: Signal) {
    heard.get_or_insert_with(|| Box::new(Heard::new(hearing == Hearing::Signals))).take(signal);
}
