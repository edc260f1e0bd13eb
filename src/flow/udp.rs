//! UDP: requests and answers.

use crate::flow::Flow;
use crate::packet::Packet;

impl Flow {
    /// Takes a datagram of this flow into account; false where it is a copy of one that was.
    pub(super) fn observe_datagram(&mut self, packet: &Packet<'_>, length: u32) -> bool {
        if !self.count(packet, length) {
            return false;
        }
        let from_initiator = self.is_from_initiator(packet);
        self.history.push(b'D', from_initiator);
        if from_initiator {
            self.to_group |= packet.to_group;
            if !self.answered {
                self.keep_evidence(packet);
            }
        } else if !self.answered {
            // What the capturing machine dropped on arrival answers nobody.
            self.answered = self.initiator.packets > 0 && packet.note.is_none();
            if self.answered || self.responder.packets == 1 {
                self.keep_evidence(packet);
            }
        }
        true
    }
}
