//! Which flows are plain: alike to others between the same hosts, so that one of them tells for
//! all.
//!
//! A capture holds millions of flows that worked, and a scan millions that nobody answered. What
//! is found about hosts, requirements and failures needs of those only the first and the last of
//! each kind, and how many there are. Every other flow tells something of its own.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::flow::{EvidenceKind, Finished, Flow, service_name};
use crate::net::{Address, Endpoint, Timestamp, Transport};
use crate::probe::{Code, Duty, Speaker};
use crate::verdict::flows::{CaptureFlows, Hidden, Lane, Manner, TELLING};
use crate::verdict::record::{Class, Confidence, JudgedFlow, ServiceOutcome, Verdict};
use crate::verdict::{Circumstances, elsewhere, service, verdict_of};

const DNS: u16 = 53;
const DHCP: [u16; 2] = [67, 68];

/// The flows of a capture, told apart: those that tell something of their own, and the lanes of the
/// others.
#[derive(Debug, Default)]
pub struct Sorted {
    lanes: Vec<Lane>,
    /// The lane of each flow, or [`TELLING`]; empty where all tell.
    lane_of: Vec<u32>,
}

impl Sorted {
    /// Places of the flows that tell, of `count` flows.
    pub fn telling(&self, count: usize) -> Vec<usize> {
        let is_telling = |place: &usize| self.lane_of.get(*place).is_none_or(|it| *it == TELLING);
        (0..count).filter(is_telling).collect()
    }

    /// The flows of the capture. `telling` are the places of those that tell and `judged` what they
    /// did.
    pub fn flows(
        self,
        finished: Finished,
        circumstances: Circumstances,
        telling: &[usize],
        mut judged: Vec<JudgedFlow>,
    ) -> CaptureFlows {
        let service = |index: usize| {
            let flow = telling.get(index).and_then(|place| finished.get(*place))?;
            Some(service::service_of(&flow, Verdict::Answered, &circumstances))
        };
        elsewhere::join_answers(&mut judged, circumstances.udp_reply_wait, &service);
        for (flow, place) in judged.iter_mut().zip(telling) {
            flow.id = *place as u64 + 1;
        }
        let count = finished.len() as u64;
        let Sorted { lanes, lane_of } = self;
        let hidden = (judged.len() < finished.len()).then(|| Hidden {
            finished: Arc::new(finished),
            circumstances,
            lanes,
            lane_of,
        });
        CaptureFlows { telling: judged, count, hidden }
    }
}

/// Tells the flows of a capture apart, one by one, in their order.
pub struct Sorting<'c> {
    circumstances: &'c Circumstances,
    lanes: Lanes,
    lane_of: Vec<u32>,
    before: Option<Timestamp>,
    is_ordered: bool,
}

impl<'c> Sorting<'c> {
    /// `not_rpc` are ports at which a call is none of remote procedure calls.
    pub fn new(circumstances: &'c Circumstances, not_rpc: &[u16]) -> Sorting<'c> {
        let lanes = Lanes { not_rpc: not_rpc.iter().copied().collect(), ..Lanes::default() };
        Sorting { circumstances, lanes, lane_of: Vec::new(), before: None, is_ordered: true }
    }

    /// Takes the next flow into account.
    pub fn see(&mut self, flow: &Flow) {
        // What comes first must also be first in time.
        self.is_ordered &= flow.first_seen.is_some() && flow.first_seen >= self.before;
        self.before = flow.first_seen;
        if self.is_ordered {
            let lane = self.lanes.lane_of(self.lane_of.len(), flow, self.circumstances);
            self.lane_of.push(lane);
        }
    }

    /// What came of it. Of plain flows the first and the last of each kind tell.
    pub fn finish(self) -> Sorted {
        let Sorting { mut lanes, mut lane_of, is_ordered, .. } = self;
        if !is_ordered {
            return Sorted::default();
        }
        for ((number, lane), last) in (0..).zip(&mut lanes.all).zip(&lanes.last) {
            lane.ports.sort_unstable();
            lane.ports.dedup();
            lane.ports.shrink_to_fit();
            if let Some(slot) = lane_of.get_mut(*last)
                && *slot == number
                && !lane.manner.is_unanswered()
            {
                *slot = TELLING;
                lane.hidden -= 1;
            }
        }
        Sorted { lanes: lanes.all, lane_of }
    }
}

#[derive(Default)]
struct Lanes {
    not_rpc: HashSet<u16, FixedState>,
    all: Vec<Lane>,
    /// The place of the last flow of each lane.
    last: Vec<usize>,
    numbers: HashMap<Manner, u32, FixedState>,
    /// Hosts that opened a flow which tells.
    initiators: HashSet<Address, FixedState>,
    duties: HashSet<(Address, Duty, bool), FixedState>,
    /// Who asked what may be answered from elsewhere.
    askers: HashSet<Endpoint, FixedState>,
}

impl Lanes {
    fn lane_of(&mut self, place: usize, flow: &Flow, circumstances: &Circumstances) -> u32 {
        let (verdict, confidence) = verdict_of(flow, circumstances);
        let (initiator, responder) = (flow.initiator_endpoint(), flow.responder_endpoint());
        let asks = flow.transport() == Transport::Udp
            && verdict.class() != Class::Success
            && elsewhere::ANSWERS_FROM_ELSEWHERE.contains(&responder.port);
        if asks {
            self.askers.insert(initiator);
        }
        let manner = manner_of(flow, verdict, confidence, circumstances)
            .filter(|_| self.is_call(flow, circumstances));
        let is_new = self.initiators.insert(initiator.address);
        let Some(manner) = manner.filter(|_| !self.tells(flow)) else { return TELLING };
        let next = u32::try_from(self.all.len()).unwrap_or(TELLING);
        let mut begins = is_new;
        let number = *self.numbers.entry(manner).or_insert_with(|| {
            begins |= !manner.is_unanswered();
            self.all.push(Lane::of(manner));
            self.last.push(place);
            next
        });
        let index = number as usize;
        let (Some(lane), Some(last)) = (self.all.get_mut(index), self.last.get_mut(index)) else {
            return TELLING;
        };
        if begins {
            return TELLING;
        }
        if manner.is_unanswered() && lane.ports.last() != Some(&responder.port) {
            lane.ports.push(responder.port);
        }
        *last = place;
        lane.hidden += 1;
        number
    }

    /// Whether its initiator calls from no service's port, or a service's: whether it can be a remote
    /// procedure call is the same for all such flows.
    fn is_call(&self, flow: &Flow, circumstances: &Circumstances) -> bool {
        let from = flow.initiator_endpoint().port;
        service_name(flow.responder_endpoint().port).is_some()
            || from >= 1024
                && service_name(from).is_none()
                && !self.not_rpc.contains(&from)
                && !circumstances.known_ports.is_service(flow.transport(), from)
    }

    /// Whether a flow tells something that no flow before it did, or that only it can tell.
    fn tells(&mut self, flow: &Flow) -> bool {
        let udp = flow.transport() == Transport::Udp;
        let ends = [flow.initiator_endpoint(), flow.responder_endpoint()];
        if udp && ends.iter().any(|end| DHCP.contains(&end.port) || self.askers.contains(end)) {
            return true;
        }
        let Some(heard) = flow.heard.as_deref() else { return false };
        let mut new = false;
        for told in &heard.duties {
            let [initiator, responder] = ends.map(|end| end.address);
            let address = match told.whose() {
                Ok(Speaker::Initiator) => initiator,
                Ok(Speaker::Responder) => responder,
                Err(address) => address.into(),
            };
            new |= self.duties.insert((address, told.duty, address == initiator));
        }
        new
    }
}

/// What a plain flow has in common with others; `None` for one that tells.
fn manner_of(
    flow: &Flow,
    verdict: Verdict,
    confidence: Confidence,
    circumstances: &Circumstances,
) -> Option<Manner> {
    let (initiator, responder) = (flow.initiator_endpoint(), flow.responder_endpoint());
    let (from, to) = (host(initiator.address)?, host(responder.address)?);
    let rows = flow.evidence.iter().any(|it| it.kind == EvidenceKind::Drop || it.line.is_some());
    if rows || from == to {
        return None;
    }
    let manner = Manner {
        from,
        to,
        port: responder.port,
        transport: flow.transport(),
        verdict,
        outcome: ServiceOutcome::NotExamined,
        code: None,
        question: 0,
    };
    match (verdict, confidence) {
        (Verdict::NoReply, Confidence::Weak)
            if flow.transport() == Transport::Tcp && flow.heard.is_none() =>
        {
            Some(Manner { port: 0, ..manner })
        }
        (Verdict::Established | Verdict::Answered | Verdict::Probed, Confidence::Proven) => {
            let (outcome, code, question) = served(flow, verdict, circumstances)?;
            Some(Manner { outcome, code, question, ..manner })
        }
        _ => None,
    }
}

/// The address of a single host.
fn host(address: Address) -> Option<Address> {
    let ip = address.ip()?;
    let group = ip.is_multicast() || matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    (!group && !ip.is_unspecified()).then_some(address)
}

/// How a service served; `None` where it did not, or said more than that.
fn served(
    flow: &Flow,
    verdict: Verdict,
    circumstances: &Circumstances,
) -> Option<(ServiceOutcome, Option<Code>, u64)> {
    if flow.tcp.reset_before_answer {
        return None;
    }
    let answer = match flow.heard.as_deref() {
        Some(heard) => {
            if !(heard.failures.is_empty() && heard.calls.is_empty() && heard.announced.is_empty())
            {
                return None;
            }
            heard.served.as_ref().or(heard.step.as_ref())
        }
        None => None,
    };
    let Some(answer) = answer else {
        let outcome = service::service_of(flow, verdict, circumstances).outcome;
        return (outcome == ServiceOutcome::NotExamined).then_some((outcome, None, 0));
    };
    // Lookups are told apart by what they ask for.
    let is_lookup = flow.responder_endpoint().port == DNS;
    let question = if is_lookup { hash(&(&answer.subject, &answer.detail)) } else { 0 };
    Some((ServiceOutcome::Served, answer.code, question))
}

fn hash(value: &impl Hash) -> u64 {
    FixedState::with_seed(0x706c_6169).hash_one(value)
}
