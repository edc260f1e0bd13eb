//! Lets the probes hear what a flow's payload says.

use crate::flow::Flow;
use crate::flow::table::Hearing;
use crate::net::{End, Transport};
use crate::packet::{Flags, Packet, Segment};
use crate::probe::{Dialogue, Heard, Signal, Speaker};

/// Stands for a dialogue that was kept as it is.
pub(super) const KEPT: u64 = 2;

/// Dialogues that are over and kept to be used again.
const MOST_SPARE: usize = 64;

/// Memory of dialogues that are over.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "the boxes are what is used again")]
pub(super) struct Spare(Vec<Box<Dialogue>>);

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
        spare: &mut Spare,
    ) {
        if hearing == Hearing::Nothing {
            return;
        }
        // What a reset carries says why (RFC 9293 3.5.3), or is an echo of a device that forged
        // it: it is no part of the dialogue.
        if segment.length > 0
            && !segment.flags.has(Flags::RST)
            && let Some(dialogue) = self.dialogue(flow, spare)
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
                self.close(spare);
            }
        }
        if segment.flags.has(Flags::RST) || segment.flags.has(Flags::FIN) && flow.is_finished() {
            self.finish(flow, hearing, spare);
        }
    }

    /// Takes a datagram of the flow.
    pub(super) fn datagram(
        &mut self,
        flow: &mut Flow,
        packet: &Packet<'_>,
        length: u32,
        hearing: Hearing,
        spare: &mut Spare,
    ) {
        if length == 0 || hearing == Hearing::Nothing {
            return;
        }
        if let Some(dialogue) = self.dialogue(flow, spare) {
            let from = speaker(flow, packet.sender);
            let Packet { payload, frame, time, .. } = *packet;
            let heard = &mut flow.heard;
            dialogue.datagram(from, payload, length, frame, time, &mut |it| {
                tell(heard, hearing, it);
            });
            if dialogue.is_done() {
                self.close(spare);
            }
        }
    }

    /// The flow is over, or the capture is.
    pub(super) fn finish(&mut self, flow: &mut Flow, hearing: Hearing, spare: &mut Spare) {
        if let Listening::Open(dialogue) = self {
            let speakers = [speaker(flow, End::Low), speaker(flow, End::High)];
            let heard = &mut flow.heard;
            dialogue.finish(speakers, &mut |it| tell(heard, hearing, it));
            self.close(spare);
        }
    }

    /// Hears no more, and leaves the memory to others.
    pub(super) fn close(&mut self, spare: &mut Spare) {
        if let Listening::Open(dialogue) = std::mem::replace(self, Listening::Over)
            && spare.0.len() < MOST_SPARE
        {
            spare.0.push(dialogue);
        }
    }

    /// Where it stands, for [`Listening::resumed`]; `None` where that is more than a number can
    /// tell.
    pub(super) fn bookmark(&self) -> Option<u64> {
        match self {
            Listening::Waiting => Some(0),
            Listening::Over => Some(1),
            Listening::Open(dialogue) => Some(dialogue.bookmark()? + 3),
        }
    }

    /// The dialogue, to be kept as it is: that of datagrams, which has no end that could be seen.
    /// [`KEPT`] stands for it.
    pub(super) fn take_dialogue(&mut self, flow: &Flow) -> Option<Box<Dialogue>> {
        if flow.transport() == Transport::Tcp {
            return None;
        }
        match std::mem::replace(self, Listening::Over) {
            Listening::Open(dialogue) => Some(dialogue),
            Listening::Waiting | Listening::Over => None,
        }
    }

    /// Begins anew, where datagrams come after a long silence.
    pub(super) fn forget(&mut self, flow: &Flow) {
        if flow.transport() == Transport::Udp && matches!(self, Listening::Open(_)) {
            *self = Listening::Waiting;
        }
    }

    /// What stands where another one stood; `kept` is its dialogue, where that was kept and not
    /// forgotten.
    pub(super) fn resumed(bookmark: u64, flow: &Flow, kept: Option<Box<Dialogue>>) -> Listening {
        match bookmark {
            0 => Listening::Waiting,
            1 => Listening::Over,
            KEPT => kept.map_or(Listening::Waiting, Listening::Open),
            open => Listening::Open(Box::new(Dialogue::resumed(ports(flow), open - 3))),
        }
    }

    fn dialogue(&mut self, flow: &Flow, spare: &mut Spare) -> Option<&mut Dialogue> {
        if let Listening::Waiting = self {
            let mut dialogue = Dialogue::new(flow.transport(), ports(flow));
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
            *self = Listening::Open(match spare.0.pop() {
                Some(mut spare) => {
                    *spare = dialogue;
                    spare
                }
                None => Box::new(dialogue),
            });
        }
        match self {
            Listening::Open(dialogue) => Some(dialogue),
            Listening::Waiting | Listening::Over => None,
        }
    }
}

/// Ports of both ends: low, high.
fn ports(flow: &Flow) -> [u16; 2] {
    [End::Low, End::High].map(|end| flow.key.endpoint(end).port)
}

fn speaker(flow: &Flow, end: End) -> Speaker {
    if end == flow.initiator_end { Speaker::Initiator } else { Speaker::Responder }
}

fn tell(heard: &mut Option<Box<Heard>>, hearing: Hearing, signal: Signal) {
    heard.get_or_insert_with(|| Box::new(Heard::new(hearing == Hearing::Signals))).take(signal);
}
