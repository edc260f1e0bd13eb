//! Resets that are alike, though they come in the names of many hosts.

use std::collections::{BTreeMap, HashSet};

use foldhash::fast::FixedState;
use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;

use crate::net::{Address, FrameNumber};
use crate::verdict::origin::Answer;
use crate::verdict::origin::usual::Usual;
use crate::verdict::record::{JudgedFlow, Verdict};

/// Hosts that make a kind of reset one of many.
const MANY: usize = 3;

/// What a reset looks like whose sender builds it always in the same way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    capture: usize,
    ttl: u8,
    odd_seq: bool,
    /// The SYN's own, or this one.
    window: Option<u16>,
    copied_id: bool,
}

impl Kind {
    fn of(flow: &JudgedFlow, answer: Answer<'_>) -> Option<Kind> {
        Some(Kind {
            capture: flow.capture,
            ttl: answer.reset.ttl?,
            odd_seq: answer.odd_seq().is_some(),
            window: match answer.copied_window() {
                Some(_) => None,
                None => Some(answer.reset.window?),
            },
            copied_id: answer.copied_id().is_some(),
        })
    }

    /// Whether no closed port sends it.
    fn is_odd(self) -> bool {
        self.odd_seq || self.window.is_none() || self.copied_id
    }

    fn told(self) -> String {
        let seq = if self.odd_seq { "a sequence number other than 0" } else { "sequence number 0" };
        let window = match self.window {
            Some(window) => format!("window {window}"),
            None => "the window of the SYN".to_owned(),
        };
        let id = if self.copied_id { ", the IP identification of the SYN" } else { "" };
        format!("time to live {}, {seq}, {window}{id}", self.ttl)
    }
}

/// Resets of one kind.
#[derive(Default)]
struct Resets {
    hosts: HashSet<Address, FixedState>,
    /// The first, and in whose name it came.
    first: Option<(FrameNumber, Address)>,
    /// The first whose time to live is none of the host's.
    foreign: Option<(FrameNumber, Address)>,
}

impl Resets {
    /// Adds what came later.
    fn append(&mut self, later: Resets) {
        self.hosts.extend(later.hosts);
        self.first = self.first.or(later.first);
        self.foreign = self.foreign.or(later.foreign);
    }
}

/// The kinds of resets that refused somebody.
pub(super) struct Alike(BTreeMap<Kind, Resets>);

impl Alike {
    /// Flows come by capture and first frame.
    pub(super) fn of(flows: &[JudgedFlow], usual: &Usual) -> Alike {
        let part = flows.len().div_ceil(rayon::current_num_threads()).max(1);
        let parts = flows.par_chunks(part).map(|flows| Alike::of_part(flows, usual));
        let mut parts = parts.collect::<Vec<_>>().into_iter();
        let mut kinds = parts.next().unwrap_or_default();
        for (kind, resets) in parts.flatten() {
            kinds.entry(kind).or_default().append(resets);
        }
        kinds.retain(|kind, resets| {
            resets.hosts.len() >= MANY && (kind.is_odd() || resets.foreign.is_some())
        });
        Alike(kinds)
    }

    fn of_part(flows: &[JudgedFlow], usual: &Usual) -> BTreeMap<Kind, Resets> {
        let mut kinds: BTreeMap<Kind, Resets> = BTreeMap::new();
        for flow in flows.iter().filter(|flow| flow.verdict == Verdict::Refused) {
            let packets = flow.evidence.list();
            let Some(answer) = Answer::of(&packets) else { continue };
            let Some(kind) = Kind::of(flow, answer) else { continue };
            let resets = kinds.entry(kind).or_default();
            let place = (answer.reset.frame, flow.responder.address);
            resets.hosts.insert(flow.responder.address);
            resets.first.get_or_insert(place);
            if resets.foreign.is_none() && usual.is_foreign(flow, answer) {
                resets.foreign = Some(place);
            }
        }
        kinds
    }

    /// That resets like this one came in the names of many.
    ///
    /// Closed ports of hosts that are equally far away send like resets too. So only such count that
    /// no closed port sends, or that came in the name of another host with a time to live that is
    /// not its own.
    pub(super) fn sign(
        &self,
        flow: &JudgedFlow,
        answer: Answer<'_>,
        is_foreign: bool,
        is_known: bool,
    ) -> Option<String> {
        let kind = Kind::of(flow, answer)?;
        let resets = self.0.get(&kind)?;
        let count = resets.hosts.len();
        if kind.is_odd() || is_foreign {
            let (frame, host) = resets.first?;
            let told = kind.told();
            return Some(format!(
                "the same kind of reset ({told}) came for {count} hosts, first for {host} in frame \
                 {frame}"
            ));
        }
        // What is known of this host speaks for it.
        let (frame, host) = resets.foreign.filter(|_| !is_known)?;
        let told = kind.told();
        Some(format!(
            "the same kind of reset ({told}) came for {count} hosts, for {host} in frame {frame} with \
             a time to live that is not that host's"
        ))
    }
}
