//! Lets the probes hear what a flow's payload says.

use crate::flow::Flow;
use crate::flow::table::Hearing;
use crate::net::{End, Transport};
use crate::packet::{Flags, Packet, Segment};
use crate::probe::{Dialogue, Heard, Memory, Signal, Speaker};

/// Dialogues that are over and kept to be used again.
const MOST_SPARE: usize = 64;

/// Memory of dialogues that are over.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "the boxes are what is used again")]
pub(super) struct Spare(Vec<Box<Dialogue>>);

impl Spare {
    /// A dialogue that has heard nothing of this flow yet.
    fn take(&mut self, flow: &Flow) -> Box<Dialogue> {
        let (transport, ports) = (flow.transport(), ports(flow));
        match self.0.pop() {
            Some(mut dialogue) => {
                dialogue.restart(transport, ports);
                dialogue
            }
            None => Box::new(Dialogue::new(transport, ports)),
        }
    }

    fn put(&mut self, mut dialogue: Box<Dialogue>) {
        if self.0.len() < MOST_SPARE {
            dialogue.clear();
            self.0.push(dialogue);
        }
    }
}

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
        if let Listening::Open(dialogue) = std::mem::replace(self, Listening::Over) {
            spare.put(dialogue);
        }
    }

    /// Where it stands, for [`Listening::resumed`], as a number and what the probe remembers; `None`
    /// where that is more. Datagrams may come after a long time: they have no end that could be seen.
    pub(super) fn bookmark(&mut self) -> Option<(u64, Option<Memory>)> {
        match self {
            Listening::Waiting => Some((0, None)),
            Listening::Over => Some((1, None)),
            Listening::Open(dialogue) => {
                let (bookmark, memory) = dialogue.bookmark()?;
                Some((bookmark + 2, memory))
            }
        }
    }

    /// Begins anew, where datagrams come after a long silence.
    pub(super) fn forget(&mut self, flow: &Flow) {
        if flow.transport() == Transport::Udp && matches!(self, Listening::Open(_)) {
            *self = Listening::Waiting;
        }
    }

    /// What stands where another one stood; `memory` is what its probe remembered, where that was
    /// not forgotten since.
    pub(super) fn resumed(
        bookmark: u64,
        flow: &Flow,
        memory: Option<Memory>,
        spare: &mut Spare,
    ) -> Listening {
        match bookmark {
            0 => Listening::Waiting,
            1 => Listening::Over,
            open => {
                let bookmark = open - 2;
                if Dialogue::remembered(bookmark) && memory.is_none() {
                    return Listening::Waiting;
                }
                let mut dialogue = spare.take(flow);
                dialogue.resume(bookmark, memory);
                Listening::Open(dialogue)
            }
        }
    }

    fn dialogue(&mut self, flow: &Flow, spare: &mut Spare) -> Option<&mut Dialogue> {
        if let Listening::Waiting = self {
            let mut dialogue = spare.take(flow);
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
            *self = Listening::Open(dialogue);
        }
        match self {
            Listening::Open(dialogue) => Some(dialogue),
            Listening::Waiting | Listening::Over => None,
        }
    }
}

/// Ports of both ends: low, high.
fn ports(flow: &Flow) -> [u16; 2] {
    let (_, _, ports) = flow.key.parts();
    ports
}

fn speaker(flow: &Flow, end: End) -> Speaker {
    if end == flow.initiator_end { Speaker::Initiator } else { Speaker::Responder }
}

fn tell(heard: &mut Option<Box<Heard>>, hearing: Hearing, signal: Signal) {
    heard.get_or_insert_with(|| Box::new(Heard::new(hearing == Hearing::Signals))).take(signal);
}
