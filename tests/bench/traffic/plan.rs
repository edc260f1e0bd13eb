//! What flows do, and how much of it is in each kind of traffic.

/// What kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bulk transfers between small exchanges, as in an enterprise.
    Mix,
    /// Short flows only.
    Short,
    /// A mix cut at 96 bytes a frame.
    Cut,
    /// A SYN scan.
    Scan,
}

impl Kind {
    /// The kind of a letter: M, F, N or X.
    pub fn of(letter: &str) -> Option<Kind> {
        match letter {
            "M" => Some(Kind::Mix),
            "F" => Some(Kind::Short),
            "N" => Some(Kind::Cut),
            "X" => Some(Kind::Scan),
            _ => None,
        }
    }

    /// Bytes kept of a frame.
    pub fn snap_length(self) -> usize {
        if self == Kind::Cut { 96 } else { 262_144 }
    }

    /// Nanoseconds from the beginning of one flow to that of the next, on average.
    pub fn interval(self) -> u64 {
        match self {
            Kind::Mix => 2_000_000,
            Kind::Short | Kind::Cut => 100_000,
            Kind::Scan => 10_000,
        }
    }

    /// Plans, each with its share of a hundred.
    pub fn plans(self) -> &'static [(u64, Plan)] {
        match self {
            Kind::Mix => &[
                (58, Plan::Exchange { times: 3 }),
                (16, Plan::Ask { answered: true }),
                (13, Plan::Bulk { pairs: 40 }),
                (1, Plan::Bulk { pairs: 800 }),
                (7, Plan::Dropped),
                (4, Plan::Refused),
                (1, Plan::Ask { answered: false }),
            ],
            Kind::Short => &[
                (53, Plan::Exchange { times: 1 }),
                (31, Plan::Ask { answered: true }),
                (7, Plan::Dropped),
                (6, Plan::Refused),
                (3, Plan::Ask { answered: false }),
            ],
            Kind::Cut => &[
                (40, Plan::Exchange { times: 4 }),
                (10, Plan::Ask { answered: true }),
                (42, Plan::Bulk { pairs: 26 }),
                (5, Plan::Dropped),
                (3, Plan::Refused),
            ],
            Kind::Scan => {
                &[(90, Plan::Silent), (6, Plan::SilentTwice), (3, Plan::Closed), (1, Plan::Open)]
            }
        }
    }
}

/// What a flow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plan {
    /// TCP: handshake, requests with their answers, FIN.
    Exchange { times: u32 },
    /// TCP: handshake, a request, pairs of full segments each with an ACK, FIN.
    Bulk { pairs: u32 },
    /// TCP: three SYNs, no answer.
    Dropped,
    /// TCP: three SYNs, three resets.
    Refused,
    /// UDP: a request, perhaps an answer.
    Ask { answered: bool },
    /// A scanner's SYN without an answer.
    Silent,
    /// A scanner's SYN, sent again after a second, without an answer.
    SilentTwice,
    /// A scanner's SYN, and a reset.
    Closed,
    /// A scanner's SYN, a SYN-ACK, and the scanner's reset.
    Open,
}

#[derive(Clone, Copy)]
pub enum Side {
    Initiator = 0,
    Responder = 1,
}

/// One frame of a plan.
#[derive(Clone, Copy)]
pub enum Act {
    Syn,
    SynAck,
    Ack,
    Request,
    Answer,
    Segment,
    Fin(Side),
    Refuse,
    Abort,
    Ask,
    Reply,
}

impl Plan {
    /// What the program must say of it.
    pub fn verdict(self) -> &'static str {
        match self {
            Plan::Exchange { .. } | Plan::Bulk { .. } => "established",
            Plan::Dropped | Plan::Ask { answered: false } | Plan::Silent | Plan::SilentTwice => {
                "no_reply"
            }
            Plan::Refused | Plan::Closed => "refused",
            Plan::Ask { answered: true } => "answered",
            Plan::Open => "probed",
        }
    }

    /// The class of that verdict.
    pub fn class(self) -> &'static str {
        match self.verdict() {
            "no_reply" => "timeout",
            "refused" => "reject",
            _ => "success",
        }
    }

    /// Whether a scanner does it.
    pub fn is_scan(self) -> bool {
        matches!(self, Plan::Silent | Plan::SilentTwice | Plan::Closed | Plan::Open)
    }

    /// Whether such a frame may be lost on its way: full segments, and where there are none the
    /// request.
    pub fn may_lose(self, act: Act) -> bool {
        matches!(act, Act::Segment)
            || matches!((self, act), (Plan::Exchange { times: 1 }, Act::Request))
    }

    /// Act number `step`, and the milliseconds before the next one where that is no mere round
    /// trip.
    pub fn act(self, step: u32) -> Option<(Act, u64)> {
        use Act::{Abort, Ack, Answer, Ask, Refuse, Reply, Request, Segment, Syn, SynAck};
        let index = step as usize;
        let act = match self {
            Plan::Dropped => return [(Syn, 3_000), (Syn, 6_000), (Syn, 0)].get(index).copied(),
            Plan::Refused => return (step < 6).then(|| [(Syn, 0), (Refuse, 500)][index % 2]),
            Plan::Ask { answered: true } => *[Ask, Reply].get(index)?,
            Plan::Ask { answered: false } => *[Ask].get(index)?,
            Plan::Silent => *[Syn].get(index)?,
            Plan::SilentTwice => return [(Syn, 1_000), (Syn, 0)].get(index).copied(),
            Plan::Closed => *[Syn, Refuse].get(index)?,
            Plan::Open => *[Syn, SynAck, Abort].get(index)?,
            Plan::Exchange { times } => {
                connection(step, 2 * times, |step| [Request, Answer][step % 2])?
            }
            Plan::Bulk { pairs } => connection(step, 3 * pairs + 1, |step| match step {
                0 => Request,
                step => [Ack, Segment, Segment][step % 3],
            })?,
        };
        Some((act, 0))
    }
}

/// A handshake, so many acts, FIN both ways.
fn connection(step: u32, count: u32, middle: impl Fn(usize) -> Act) -> Option<Act> {
    let opening = [Act::Syn, Act::SynAck, Act::Ack];
    if let Some(act) = opening.get(step as usize) {
        return Some(*act);
    }
    let step = step - 3;
    if step < count {
        return Some(middle(step as usize));
    }
    let closing = [Act::Fin(Side::Initiator), Act::Fin(Side::Responder), Act::Ack];
    closing.get((step - count) as usize).copied()
}
