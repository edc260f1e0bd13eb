//! Where flows stand while packets of them come, and when they are put away.

use crate::flow::Flow;
use crate::flow::listen::Listening;
use crate::flow::packed::Aside;
use crate::flow::place::Place;
use crate::flow::table::{FlowTable, Slot, UNBOUNDED};
use crate::net::{End, FlowKey};
use crate::packet::{Flags, Segment};

impl FlowTable {
    /// Takes the flow with this number out of this place of the store, and gives its slot.
    pub(super) fn take_out(&mut self, number: u32, at: u64) -> usize {
        let index = self.allocate(number);
        if let Some(slot) = self.slots.get_mut(index) {
            let aside = self.store.take(at, &mut slot.flow);
            let kept = self.remembered.recall(aside.recent, &mut slot.flow);
            let Slot { flow, listening, .. } = slot;
            *listening = Listening::resumed(aside.listening, flow, kept, &mut self.dialogues);
            // A lone SYN was never a flow before.
            slot.returned = aside != Aside::default();
        }
        if let Some(place) = self.places.get_mut(number as usize) {
            *place = Place::slot(index);
        }
        index
    }

    /// Whether so many flows are under way that there is hardly room for more.
    fn is_crowded(&self) -> bool {
        self.slots.len() - self.free.len() > self.room - self.room / 16
    }

    /// A slot for the flow with this number.
    pub(super) fn allocate(&mut self, number: u32) -> usize {
        if self.slots.len() - self.free.len() >= self.room {
            // More than one for each that comes, so that their number falls when it may.
            self.look_for_idle();
            self.look_for_idle();
        }
        let index = self.free.pop().unwrap_or(self.slots.len());
        if index == self.slots.len() {
            let (listening, flow) = (Listening::default(), Flow::blank());
            let (touched, returned) = (false, false);
            self.slots.push(Slot { number: None, touched, returned, listening, flow });
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.number = Some(number);
            slot.touched = true;
            slot.returned = false;
        }
        index
    }

    /// Looks at the next slot, and puts its flow away if nothing came of it since the last time, or
    /// nothing more is to be expected.
    fn look_for_idle(&mut self) {
        self.hand = if self.hand + 1 < self.slots.len() { self.hand + 1 } else { 0 };
        let Some(slot) = self.slots.get_mut(self.hand) else { return };
        let touched = std::mem::take(&mut slot.touched);
        if slot.number.is_some() && (!touched || slot.flow.is_over()) {
            self.put_away(self.hand);
        }
    }

    /// Puts the flow in this slot away, if this was its last segment as far as can be told: what
    /// follows the leave of both sides, or a reset. One that came back is left alone.
    ///
    /// A refused SYN may be sent again, and waits for that as long as there is room. In a scan there is
    /// none, and nothing follows.
    #[inline]
    pub(super) fn leave(&mut self, index: usize, segment: Segment) {
        let flags = segment.flags;
        let may_be_last =
            flags.has(Flags::RST) || segment.length == 0 && !flags.has(Flags::SYN | Flags::FIN);
        if !may_be_last || self.room == UNBOUNDED {
            return;
        }
        if let Some(Slot { returned: false, flow, .. }) = self.slots.get(index)
            && (flow.took_leave() || flow.said_no() && self.is_crowded())
        {
            self.put_away(index);
        }
    }

    /// As [`FlowTable::leave`], of datagrams: that as many came back as were sent is all that tells.
    #[inline]
    pub(super) fn leave_answered(&mut self, index: usize) {
        if let Some(Slot { returned: false, flow, .. }) = self.slots.get(index)
            && flow.answered
            && flow.initiator.packets == flow.responder.packets
            && self.room != UNBOUNDED
        {
            self.put_away(index);
        }
    }

    /// Puts the flow in this slot away, where that is possible.
    pub(super) fn put_away(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let Some(number) = slot.number else { return };
        let Some((listening, memory)) = slot.listening.bookmark() else { return };
        slot.listening.close(&mut self.dialogues);
        let recent = self.remembered.keep(&slot.flow, memory);
        let at = self.store.put(&mut slot.flow, Aside { recent, listening });
        slot.flow.heard = None;
        slot.number = None;
        self.free.push(index);
        if let Some(place) = self.places.get_mut(number as usize) {
            *place = Place::stored(at);
        }
    }

    /// Counts what the table takes, and sends flows away where that is too much.
    #[cold]
    pub(super) fn count(&mut self) {
        let places = self.places.capacity() * size_of::<Place>();
        let slots = self.slots.capacity() * size_of::<Slot>();
        let attempts = self.attempts.capacity() * size_of::<((FlowKey, End, u32), u32)>();
        let beside = self.newest.bytes() + self.remembered.bytes() + self.begun.bytes();
        let bytes = places + slots + attempts + beside;
        self.share.set(bytes);
        self.store.make_room();
    }
}
