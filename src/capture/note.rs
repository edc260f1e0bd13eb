//! What a capture's format knows of a frame beside its bytes.

use std::num::NonZeroU32;

/// What a capture's format knows of a frame beside its bytes: a number small enough to travel with
/// every packet. The words stand in [`CaptureSummary::notes`](super::CaptureSummary::notes), which
/// is complete when the capture was read to its end.
///
/// So far there is one kind: the capturing machine itself dropped the packet, as `pktmon` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameNote(NonZeroU32);

impl FrameNote {
    /// Begins the words where the packet came from the network.
    pub const ON_ARRIVAL: &str = "dropped by the capturing machine on arrival";
    /// Begins the words where the packet was on its way to the network.
    pub const ON_LEAVING: &str = "dropped by the capturing machine before it left";
    /// Begins the words where nobody knows, and all others.
    pub const SOMEWHERE: &str = "dropped by the capturing machine";

    /// The capturing machine itself dropped the packet; the words are those at `index`.
    pub fn dropped(index: u32) -> FrameNote {
        FrameNote(NonZeroU32::MIN.saturating_add(index))
    }

    /// Which of the capture's notes it is.
    pub fn index(self) -> usize {
        usize::try_from(self.0.get() - 1).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_costs_a_packet_four_bytes() {
        assert_eq!(size_of::<Option<FrameNote>>(), 4);
        assert_eq!(FrameNote::dropped(0).index(), 0);
        assert_eq!(FrameNote::dropped(7).index(), 7);
    }
}
