//! Which flows are plain: alike to others between the same hosts, so that one of them tells for
//! all.
//!
//! A capture holds millions of flows that worked, and a scan millions that nobody answered. What
//! is found about hosts, requirements and failures needs of those only the first and the last of
//! each kind, and how many there are. Every other flow tells something of its own.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::flow::{Evidence, EvidenceKind, Finished, Flow, LoneSyn, Look, service_name};
use crate::net::{Address, Endpoint, PortSet, Timestamp, Transport};
use crate::probe::{Code, Duty, HeardDuty, Speaker};
use crate::verdict::flows::{CaptureFlows, Hidden};
use crate::verdict::lane::{Lane, Manner, TELLING};
use crate::verdict::record::{Class, Confidence, JudgedFlow, ServiceOutcome, Verdict};
use crate::verdict::{Circumstances, FIXED_RPC_PORTS, elsewhere, is_past, service, verdict_of};

/// Calls that one host repeated in vain and that all tell: whoever has more of them scans, and of
/// hosts that have roles each of these is wanted.
const FEW_REPEATED: u32 = 1_024;

/// Flows whose lanes are looked up together.
const TOGETHER: usize = 32;

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

/// Looks at flows one by one, each by itself: what can be done of telling them apart wherever
/// somebody has time.
pub struct Glancing<'c> {
    circumstances: &'c Circumstances,
    /// Ports at which a call is none of remote procedure calls.
    not_rpc: PortSet,
}

/// What was seen of flows that follow each other.
#[derive(Default)]
pub struct Glances {
    flows: Vec<Glance>,
    /// Ports that [`Glance::again`] counts.
    ports: Vec<u16>,
    /// When the first was seen, and the last.
    seen: Option<(Timestamp, Timestamp)>,
    out_of_order: bool,
    /// Duties that were proven, in the order of the flows.
    duties: Vec<Proven>,
    known: HashSet<Proven, FixedState>,
}

/// A host, its duty, and whether it opened the flow that proves it.
type Proven = (Address, Duty, bool);

struct Glance {
    transport: Transport,
    initiator: Endpoint,
    responder: Endpoint,
    /// It is a lone SYN, and plain.
    is_lone: bool,
    /// What may be answered from elsewhere was asked, and not answered.
    asks: bool,
    /// What it has in common with others, if it is plain, and the hash of that.
    manner: Option<(Manner, u64)>,
    /// How many of the duties it is the first of these flows to prove.
    duties: usize,
    /// How many flows follow of which there is no more to say than what port they call: lone SYNs of
    /// the same hosts, alike but for that. A scan has many in a row.
    again: usize,
}

impl Glances {
    /// For so many flows.
    pub fn with_capacity(flows: usize) -> Glances {
        Glances { flows: Vec::with_capacity(flows), ..Glances::default() }
    }

    /// Sees whether the next flow began no earlier than the one before.
    fn in_time(&mut self, seen: Option<Timestamp>) {
        let Some(seen) = seen else {
            self.out_of_order = true;
            return;
        };
        let (first, last) = self.seen.unwrap_or((seen, seen));
        self.out_of_order |= seen < last;
        self.seen = Some((first, seen));
    }
}

impl<'c> Glancing<'c> {
    /// `not_rpc` are ports at which a call is none of remote procedure calls.
    pub fn new(circumstances: &'c Circumstances, not_rpc: &[u16]) -> Glancing<'c> {
        Glancing { circumstances, not_rpc: not_rpc.iter().copied().collect() }
    }

    /// Takes the next flow into account.
    pub fn see(&self, look: Look<'_>, glances: &mut Glances) {
        match look {
            Look::LoneSyn(syn) => {
                glances.in_time(syn.seen);
                self.see_lone(syn, glances);
            }
            Look::Flow(flow) => {
                glances.in_time(flow.first_seen);
                let glance = self.of_flow(flow, glances);
                glances.flows.push(glance);
            }
        }
    }

    fn see_lone(&self, syn: &LoneSyn, glances: &mut Glances) {
        let LoneSyn { initiator, responder, seen, .. } = *syn;
        let waited = is_past(seen, self.circumstances, self.circumstances.syn_wait);
        let is_plain = waited && self.is_call(Transport::Tcp, initiator, responder);
        if is_plain
            && let Some(before) = glances.flows.last_mut()
            && before.is_lone
            && before.initiator.address == initiator.address
            && before.responder.address == responder.address
        {
            before.again += 1;
            return glances.ports.push(responder.port);
        }
        let call = || Manner::of(initiator, responder, Transport::Tcp, Verdict::NoReply);
        let manner = is_plain.then(call).flatten();
        let weak = |manner: Manner| Manner { confidence: Confidence::Weak, ..manner.to_any_port() };
        let manner = manner.map(weak).map(|manner| (manner, hash(&manner)));
        glances.flows.push(Glance {
            transport: Transport::Tcp,
            initiator,
            responder,
            is_lone: manner.is_some(),
            asks: false,
            manner,
            duties: 0,
            again: 0,
        });
    }

    fn of_flow(&self, flow: &Flow, glances: &mut Glances) -> Glance {
        let (verdict, confidence) = verdict_of(flow, self.circumstances);
        let (initiator, responder) = (flow.initiator_endpoint(), flow.responder_endpoint());
        let transport = flow.transport();
        let udp = transport == Transport::Udp;
        let asks = udp
            && verdict.class() != Class::Success
            && elsewhere::ANSWERS_FROM_ELSEWHERE.contains(&responder.port);
        let is_dhcp = udp && [initiator, responder].iter().any(|end| DHCP.contains(&end.port));
        let mut manner = None;
        let mut duties = 0;
        if !is_dhcp && self.is_call(transport, initiator, responder) {
            manner = manner_of(flow, verdict, confidence, self.circumstances);
        }
        if let Some(heard) = flow.heard.as_deref().filter(|_| manner.is_some()) {
            let ends = [initiator, responder].map(|end| end.address);
            for proven in heard.duties.iter().map(|told| proven(told, ends)) {
                if glances.known.insert(proven) {
                    glances.duties.push(proven);
                    duties += 1;
                }
            }
        }
        let manner = manner.map(|manner| (manner, hash(&manner)));
        let (is_lone, again) = (false, 0);
        Glance { transport, initiator, responder, is_lone, asks, manner, duties, again }
    }

    /// Whether its initiator calls from no service's port, or a service's: whether it can be a remote
    /// procedure call is the same for all such flows.
    fn is_call(&self, transport: Transport, initiator: Endpoint, responder: Endpoint) -> bool {
        let from = initiator.port;
        let from_nobodys = from >= 1024
            && !self.circumstances.known_ports.is_service(transport, from)
            && !self.not_rpc.has(from);
        from_nobodys || service_name(responder.port).is_some()
    }
}

fn proven(told: &HeardDuty, [initiator, responder]: [Address; 2]) -> Proven {
    let address = match told.whose() {
        Ok(Speaker::Initiator) => initiator,
        Ok(Speaker::Responder) => responder,
        Err(address) => address.into(),
    };
    (address, told.duty, address == initiator)
}

/// Tells the flows of a capture apart, in their order.
#[derive(Default)]
pub struct Sorting {
    lanes: Lanes,
    lane_of: Vec<u32>,
    before: Option<Timestamp>,
    out_of_order: bool,
}

impl Sorting {
    /// Takes the next flows into account.
    pub fn see(&mut self, glances: &Glances) {
        if let Some((first, last)) = glances.seen {
            // What comes first must also be first in time.
            self.out_of_order |= glances.out_of_order || self.before > Some(first);
            self.before = Some(last);
        }
        self.out_of_order |= glances.out_of_order;
        if self.out_of_order {
            return;
        }
        let (mut duties, mut ports) = (&glances.duties[..], &glances.ports[..]);
        for glances in glances.flows.chunks(TOGETHER) {
            // None of these waits for the one before it, so the processor has many under way.
            let hashes = glances.iter().filter_map(|glance| Some(glance.manner?.1));
            black_box(hashes.fold(0, |sum, hash| sum ^ self.lanes.touch(hash)));
            for glance in glances {
                let (own, rest) = duties.split_at_checked(glance.duties).unwrap_or_default();
                duties = rest;
                let lane = self.lanes.lane_of(self.lane_of.len(), glance, own);
                self.lane_of.push(lane);
                let (again, rest) = ports.split_at_checked(glance.again).unwrap_or_default();
                ports = rest;
                self.see_again(glance, again);
            }
        }
    }

    /// Takes flows into account that are like this one, but that they call these ports.
    fn see_again(&mut self, glance: &Glance, mut ports: &[u16]) {
        // Until the lane is begun, each is a call like any other.
        while let Some((port, rest)) = ports.split_first() {
            if let Some(number) = self.lanes.as_before(glance) {
                let before = self.lane_of.len();
                self.lane_of.resize(before + ports.len(), number);
                return self.lanes.add_calls(ports, self.lane_of.len() - 1);
            }
            let responder = Endpoint { port: *port, ..glance.responder };
            let glance = Glance { responder, again: 0, ..*glance };
            let lane = self.lanes.lane_of(self.lane_of.len(), &glance, &[]);
            self.lane_of.push(lane);
            ports = rest;
        }
    }

    /// What came of it. Of plain flows the first and the last of each kind tell.
    pub fn finish(self) -> Sorted {
        let Sorting { mut lanes, mut lane_of, out_of_order, .. } = self;
        if out_of_order {
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
    all: Vec<Lane>,
    /// The place of the last flow of each lane.
    last: Vec<usize>,
    /// The lane of each manner, by its hash.
    numbers: HashTable<(u32, u64)>,
    /// The lane of the flow before.
    before: usize,
    /// Hosts that opened a flow which tells, and how many calls each repeated in vain.
    initiators: HashMap<Address, u32, FixedState>,
    duties: HashSet<Proven, FixedState>,
    /// Who asked what may be answered from elsewhere.
    askers: HashSet<Endpoint, FixedState>,
}

impl Lanes {
    fn lane_of(&mut self, place: usize, glance: &Glance, duties: &[Proven]) -> u32 {
        let Glance { initiator, responder, transport, .. } = *glance;
        if glance.asks {
            self.askers.insert(initiator);
        }
        let Some((manner, hash)) = glance.manner else {
            self.initiators.entry(initiator.address).or_default();
            return TELLING;
        };
        // Whoever opened the flow before is known.
        let as_before = self.all.get(self.before).is_some_and(|lane| lane.manner == manner);
        let mut is_new = false;
        if !as_before || manner.is_repeated() {
            let known = self.initiators.entry(initiator.address);
            is_new = matches!(known, Entry::Vacant(_));
            let repeated = known.or_default();
            if manner.is_repeated() && *repeated < FEW_REPEATED {
                *repeated += 1;
                return TELLING;
            }
        }
        let known = self.duties.len();
        self.duties.extend(duties);
        let new_duty = self.duties.len() > known;
        let of_asker = transport == Transport::Udp
            && [initiator, responder].iter().any(|end| self.askers.contains(end));
        if new_duty || of_asker {
            return TELLING;
        }
        let (number, begins) =
            if as_before { (self.before, false) } else { self.number_of(manner, hash, place) };
        if is_new || begins {
            return TELLING;
        }
        let (Some(lane), Some(last)) = (self.all.get_mut(number), self.last.get_mut(number)) else {
            return TELLING;
        };
        self.before = number;
        if manner.is_unanswered() && lane.ports.last() != Some(&responder.port) {
            lane.ports.push(responder.port);
        }
        *last = place;
        lane.hidden += 1;
        u32::try_from(number).unwrap_or(TELLING)
    }

    /// The number of the lane of the flow before, if flows like this one belong to it.
    fn as_before(&self, glance: &Glance) -> Option<u32> {
        let lane = self.all.get(self.before)?;
        let is_it = glance.manner.is_some_and(|(manner, _)| manner == lane.manner);
        u32::try_from(self.before).ok().filter(|_| is_it)
    }

    /// Adds lone SYNs to these ports to the lane of the flow before; the last is at this place.
    fn add_calls(&mut self, ports: &[u16], place: usize) {
        if let (Some(lane), Some(last)) =
            (self.all.get_mut(self.before), self.last.get_mut(self.before))
        {
            lane.ports.extend(ports);
            lane.hidden += ports.len() as u64;
            *last = place;
        }
    }

    /// Reads something of the lane with this hash, to have it in the processor's cache.
    #[inline]
    fn touch(&self, hash: u64) -> u64 {
        let number = self.numbers.find(hash, |known| known.1 == hash).map(|known| known.0 as usize);
        let lane = number.and_then(|number| self.all.get(number).zip(self.last.get(number)));
        lane.map_or(0, |(lane, last)| lane.manner.question ^ lane.hidden ^ *last as u64)
    }

    /// The number of a lane, and whether a flow that tells begins it.
    fn number_of(&mut self, manner: Manner, hash: u64, place: usize) -> (usize, bool) {
        let Lanes { all, numbers, last, .. } = self;
        let is_it = |number: u32| all.get(number as usize).is_some_and(|it| it.manner == manner);
        if let Some((number, _)) = numbers.find(hash, |known| known.1 == hash && is_it(known.0)) {
            return (*number as usize, false);
        }
        let next = all.len();
        numbers.insert_unique(hash, (u32::try_from(next).unwrap_or(TELLING), hash), |it| it.1);
        all.push(Lane::of(manner));
        last.push(place);
        (next, !manner.is_unanswered())
    }
}

impl Manner {
    /// Of a call from one host to another, whose service is not examined.
    fn of(
        initiator: Endpoint,
        responder: Endpoint,
        transport: Transport,
        verdict: Verdict,
    ) -> Option<Manner> {
        let (from, to) = (host(initiator.address)?, host(responder.address)?);
        (from != to).then_some(Manner {
            from,
            to,
            port: responder.port,
            transport,
            verdict,
            confidence: Confidence::Proven,
            outcome: ServiceOutcome::NotExamined,
            code: None,
            question: 0,
        })
    }

    fn to_any_port(self) -> Manner {
        Manner { port: 0, ..self }
    }
}

/// What a plain flow has in common with others; `None` for one that tells.
fn manner_of(
    flow: &Flow,
    verdict: Verdict,
    confidence: Confidence,
    circumstances: &Circumstances,
) -> Option<Manner> {
    let is_row = |it: &Evidence| it.kind == EvidenceKind::Drop || it.line.is_some();
    if flow.evidence.iter().any(is_row) {
        return None;
    }
    let (initiator, responder) = (flow.initiator_endpoint(), flow.responder_endpoint());
    let manner = Manner::of(initiator, responder, flow.transport(), verdict)?;
    match (verdict, confidence) {
        (Verdict::NoReply, _) if flow.transport() == Transport::Tcp && flow.heard.is_none() => {
            // What is proven of a name server is told by itself.
            let weak = confidence == Confidence::Weak;
            let silent = flow.responder.packets == 0 && responder.port != DNS;
            (weak || silent).then_some(Manner { confidence, ..manner.to_any_port() })
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
    let port = flow.responder_endpoint().port;
    let answer = match flow.heard.as_deref() {
        Some(heard) => {
            // Calls of a dynamic port say what listens there.
            let is_called = !heard.calls.is_empty() && !FIXED_RPC_PORTS.contains(&port);
            if is_called || !heard.failures.is_empty() || !heard.announced.is_empty() {
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
    // Lookups are told apart by what they ask for, and calls by what they call.
    let calls = flow.heard.iter().flat_map(|heard| &heard.calls);
    let question = if port == DNS {
        hash(&(&answer.subject, &answer.detail))
    } else {
        calls.fold(0, |before, (interface, _)| hash(&(before, interface)))
    };
    Some((ServiceOutcome::Served, answer.code, question))
}

fn hash(value: &impl Hash) -> u64 {
    FixedState::with_seed(0x706c_6169).hash_one(value)
}
