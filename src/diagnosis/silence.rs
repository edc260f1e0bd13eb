//! What a silence means: a filter, a host that is down, or nothing that can be told from here.
//!
//! Nobody sees a packet being dropped but who drops it. So everything else that was seen of the
//! silent host is weighed: whether it answers elsewhere, whether its closed ports answer, whether
//! a neighbour ever found it, and on which machine the capture was taken.

use crate::diagnosis::Evidence;
use crate::verdict::record::JudgedFlow;

/// What a silence most likely means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The capturing machine says that it dropped the packets itself.
    DroppedHere,
    /// The capture was taken on the called host: the packets arrived there, and the host itself does
    /// not answer.
    HostItself,
    /// On its own network nobody answers for the address (ARP, neighbour discovery).
    NoNeighbour,
    /// The packets went in circles.
    NoRoute,
    /// The same port answered the same caller at another time.
    AnswersAtTimes,
    /// The host is up and would say so if the port were merely closed, or the service answers others:
    /// a filter, on the way or on the host.
    Filter,
    /// Nothing at all was heard of the host: it is down, no route leads to it, or everything to it is
    /// dropped.
    NothingHeard,
    /// It answers elsewhere. A filter looks like this, and so does a service that does not run behind
    /// Windows Firewall, which answers nothing for a closed port.
    CannotTell,
}

/// A silence, weighed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) reading: Reading,
    /// Why, with frames: a sentence without its capital and full stop, as findings join them.
    pub(super) sentence: String,
}

/// Weighs the silence of flows that got no answer, all between the same two hosts.
#[allow(dead_code, reason = "for the findings")]
pub(super) fn silence_of(_evidence: &Evidence<'_>, _flows: &[&JudgedFlow]) -> Silence {
    Silence { reading: Reading::CannotTell, sentence: String::new() }
}
