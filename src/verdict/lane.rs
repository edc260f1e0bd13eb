//! What plain flows have in common, and what is kept of all flows that have the same in common.

use crate::net::{Address, Transport};
use crate::probe::Code;
use crate::verdict::record::{Confidence, ServiceOutcome, Verdict};

/// The lane of a flow that tells something of its own.
pub(super) const TELLING: u32 = u32::MAX;

/// What plain flows have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Manner {
    pub(super) from: Address,
    pub(super) to: Address,
    /// Who was called; 0 for calls of any port that nobody answered.
    pub(super) port: u16,
    pub(super) transport: Transport,
    pub(super) verdict: Verdict,
    pub(super) confidence: Confidence,
    pub(super) outcome: ServiceOutcome,
    pub(super) code: Option<Code>,
    /// What was asked, where that matters.
    pub(super) question: u64,
}

impl Manner {
    /// Whether nobody answered.
    pub(super) fn is_unanswered(self) -> bool {
        self.verdict == Verdict::NoReply
    }

    /// Whether it was repeated, and still nobody answered.
    pub(super) fn is_repeated(self) -> bool {
        self.is_unanswered() && self.confidence == Confidence::Proven
    }
}

/// Plain flows of one capture: one way, one port, one result.
///
/// The first and the last of those that worked, and the first calls that a host repeated in vain, are
/// among the telling flows and not counted here.
#[derive(Clone, Debug)]
pub struct Lane {
    pub(super) manner: Manner,
    /// How many flows are known by this lane alone.
    pub hidden: u64,
    /// Of calls that nobody answered: the ports, sorted.
    pub ports: Vec<u16>,
    /// Place of the row that they exercise in the matrix.
    pub(super) row: Option<usize>,
}

/// Who called whom, and what came of it.
pub type Way = (Address, Address, Transport, Verdict);

impl Lane {
    /// The callers' ports differ; this one stands for them. None of them is a service's where the
    /// port that they call is none's.
    pub const CALLING_PORT: u16 = 65_000;

    pub(super) fn of(manner: Manner) -> Lane {
        Lane { manner, hidden: 0, ports: Vec::new(), row: None }
    }

    /// What it has in common with lanes of other ports.
    pub fn way(&self) -> Way {
        (self.from(), self.to(), self.transport(), self.manner.verdict)
    }

    /// Whether no port was called twice, where these are calls that nobody answered.
    pub(super) fn called_each_once(&self) -> bool {
        self.ports.len() as u64 == self.hidden
    }

    /// Who called.
    pub fn from(&self) -> Address {
        self.manner.from
    }

    /// Who was called.
    pub fn to(&self) -> Address {
        self.manner.to
    }

    /// Transport.
    pub fn transport(&self) -> Transport {
        self.manner.transport
    }

    /// The port that was called; of calls that nobody answered see `ports`.
    pub fn port(&self) -> u16 {
        self.manner.port
    }

    /// Whether these are calls that nobody answered; else all of them worked.
    pub fn is_unanswered(&self) -> bool {
        self.manner.is_unanswered()
    }

    /// Whether these are calls that were repeated, and that nobody answered.
    pub fn is_repeated(&self) -> bool {
        self.manner.is_repeated()
    }

    /// Whether this port was called.
    pub fn has_port(&self, port: u16) -> bool {
        if self.is_unanswered() {
            self.ports.binary_search(&port).is_ok()
        } else {
            self.manner.port == port
        }
    }
}

/// Ids of plain flows, by the place of their lane among [`super::flows::Flows::lanes`].
#[derive(Default)]
pub(crate) struct LaneIds {
    /// Those of each lane behind those of the one before, in order.
    pub(super) ids: Vec<u64>,
    /// Where those of each lane end.
    pub(super) ends: Vec<usize>,
}

impl LaneIds {
    /// The ids of the flows of a lane.
    pub(crate) fn of_lane(&self, lane: usize) -> &[u64] {
        let start = lane.checked_sub(1).map_or(Some(&0), |before| self.ends.get(before));
        let range = start.zip(self.ends.get(lane)).map(|(start, end)| *start..*end);
        range.and_then(|range| self.ids.get(range)).unwrap_or_default()
    }
}
