//! Answers that come from another port, or to another address, than the request went to.
//!
//! A TFTP server answers from a port of its own choice (RFC 1350 4), and what a DHCP server offers
//! goes to an address that the asker does not have yet (RFC 2131 4.1). Request and answer are two
//! flows then, and only together they tell whether the request was answered. What comes out
//! stands in the records, and doing it again changes nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::net::{Address, Endpoint, FrameNumber, Transport};
use crate::verdict::record::{
    Confidence, EvidenceKind, EvidenceRecord, JudgedFlow, Sender, ServiceOutcome, ServiceRecord,
    Verdict,
};

/// Ports whose services may answer from another one: TFTP, and boot servers.
pub(super) const ANSWERS_FROM_ELSEWHERE: [u16; 2] = [69, 4011];

const TFTP: u16 = 69;
const DHCP_SERVER: u16 = 67;
const DHCP_ASKER: u16 = 68;

/// Requests that are looked at for one offer, the newest first.
const MOST_REQUESTS: usize = 16;

/// Evidence kept of a flow, as elsewhere.
const MOST_EVIDENCE: usize = 9;

/// Joins requests with their answers. `wait` is in nanoseconds; `service` gives what the service
/// answered in the flow with this index.
pub(super) fn join_answers(
    flows: &mut [JudgedFlow],
    wait: i64,
    service: &dyn Fn(usize) -> Option<ServiceRecord>,
) {
    let mut answers: BTreeMap<usize, usize> = BTreeMap::new();
    let requests = Requests::of(flows);
    for (index, flow) in flows.iter().enumerate() {
        let Some(request) = requests.of_answer(flows, flow, wait) else { continue };
        // The first answer counts.
        answers.entry(request).or_insert(index);
    }
    for (request, answer) in answers {
        let Some(told) = flows.get(answer).map(|flow| Answer::of(flow, service(answer))) else {
            continue;
        };
        let Some(flow) = flows.get_mut(request) else { continue };
        if told.is_unheard && flow.responder.port == TFTP {
            unconfirmed(flow, &told);
        } else {
            answered(flow, &told);
        }
    }
}

/// Requests that nothing came back to in their own flow, by whom the answer may go to.
struct Requests {
    /// By capture, asker, and the host that was asked.
    to_host: BTreeMap<(usize, Endpoint, Address), Vec<usize>>,
    /// By capture: for an address.
    leases: BTreeMap<usize, Vec<usize>>,
}

impl Requests {
    fn of(flows: &[JudgedFlow]) -> Requests {
        let mut requests = Requests { to_host: BTreeMap::new(), leases: BTreeMap::new() };
        for (index, flow) in flows.iter().enumerate() {
            let port = flow.responder.port;
            let open =
                matches!(flow.verdict, Verdict::NoReply | Verdict::CaptureEnded | Verdict::OneWay);
            if flow.transport != Transport::Udp || flow.packets.responder > 0 || !open {
                continue;
            }
            if ANSWERS_FROM_ELSEWHERE.contains(&port) {
                let key = (flow.capture, flow.initiator, flow.responder.address);
                requests.to_host.entry(key).or_default().push(index);
            } else if port == DHCP_SERVER && flow.initiator.port == DHCP_ASKER {
                requests.leases.entry(flow.capture).or_default().push(index);
            }
        }
        requests
    }

    /// The request that a flow answers.
    fn of_answer(&self, flows: &[JudgedFlow], flow: &JudgedFlow, wait: i64) -> Option<usize> {
        if flow.transport != Transport::Udp {
            return None;
        }
        let (from, to) = first_way(flow);
        let newest = |indices: &[usize], fits: &dyn Fn(&JudgedFlow) -> bool| {
            let before = indices.partition_point(|&index| {
                flows.get(index).is_some_and(|request| request.first_frame < flow.first_frame)
            });
            let known = indices.get(..before).unwrap_or_default();
            known.iter().rev().take(MOST_REQUESTS).copied().find(|&index| {
                let in_time = |request| is_in_time(request, flow, wait);
                flows.get(index).is_some_and(|request| fits(request) && in_time(request))
            })
        };
        if from.port == DHCP_SERVER && to.port == DHCP_ASKER {
            // An offer goes to everybody, or to the address that it offers.
            return newest(self.leases.get(&flow.capture)?, &|request| {
                let asker = request.initiator.address;
                let has_none = asker.ip().is_some_and(|asker| asker.is_unspecified());
                has_none || asker == to.address || to.address.ip().is_some_and(is_group)
            });
        }
        newest(self.to_host.get(&(flow.capture, to, from.address))?, &|request| {
            request.responder.port != from.port
        })
    }
}

/// Sender and receiver of a flow's first packet.
fn first_way(flow: &JudgedFlow) -> (Endpoint, Endpoint) {
    // Zeek's letters: small ones are the responder's.
    if flow.history.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        (flow.responder, flow.initiator)
    } else {
        (flow.initiator, flow.responder)
    }
}

fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_broadcast() || address.is_multicast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// Whether an answer begins while it is waited for. Without times the order of frames is all there
/// is.
fn is_in_time(request: &JudgedFlow, answer: &JudgedFlow, wait: i64) -> bool {
    match (request.last_seen, answer.first_seen) {
        (Some(asked), Some(answered)) => answered.at.since(asked.at) <= wait,
        _ => true,
    }
}

/// What is taken from the flow of an answer.
struct Answer {
    from: Endpoint,
    evidence: Option<EvidenceRecord>,
    service: Option<ServiceRecord>,
    frame: FrameNumber,
    packets: u64,
    /// It was sent more than once, and nothing came back.
    is_unheard: bool,
}

impl Answer {
    fn of(flow: &JudgedFlow, service: Option<ServiceRecord>) -> Answer {
        let (from, _) = first_way(flow);
        Answer {
            from,
            evidence: flow.evidence.first(),
            service,
            frame: flow.first_frame,
            packets: flow.packets.initiator,
            is_unheard: flow.verdict == Verdict::OneWay
                && flow.packets.initiator > 1
                && flow.packets.responder == 0,
        }
    }
}

/// Makes a request an answered one.
fn answered(flow: &mut JudgedFlow, answer: &Answer) {
    let of_lease = flow.responder.port == DHCP_SERVER;
    flow.verdict = Verdict::Answered;
    flow.class = flow.verdict.class();
    // An offer to everybody may be meant for another asker.
    flow.confidence = if of_lease { Confidence::Likely } else { Confidence::Proven };
    let why = match flow.responder.port {
        DHCP_SERVER => {
            "What a DHCP server offers goes to an address that the asker does not have yet"
        }
        TFTP => {
            "A TFTP server answers from a port of its own choice, so a firewall has to let that \
             through to the port that asked"
        }
        _ => "The server answers from another port than the one that was asked",
    };
    flow.explanation = format!(
        "Request in frame {}, answer from {} in frame {}. {why}.",
        flow.first_frame, answer.from, answer.frame
    )
    .into();
    if let Some(evidence) = &answer.evidence {
        flow.evidence.change(|packets| {
            packets.truncate(MOST_EVIDENCE - 1);
            packets.push(EvidenceRecord {
                from: Sender::Responder,
                kind: EvidenceKind::Data,
                note: Some(format!("from {}", answer.from)),
                ..evidence.clone()
            });
            packets.sort_by_key(|packet| packet.frame);
        });
    }
    if let Some(service) = &answer.service
        && service.outcome != ServiceOutcome::NotExamined
    {
        let name = flow.service.name.take();
        flow.service = ServiceRecord { name, ..service.clone() };
    }
}

/// An answer of TFTP is confirmed packet by packet (RFC 1350 2). One that is sent again and again
/// did not arrive.
fn unconfirmed(flow: &mut JudgedFlow, answer: &Answer) {
    flow.verdict = Verdict::NoReply;
    flow.class = flow.verdict.class();
    flow.confidence = Confidence::Likely;
    flow.explanation = format!(
        "Request in frame {}, answer from {} in frame {}, sent {} times and never confirmed. A \
         firewall that does not know TFTP drops what comes from another port than the one that \
         was asked; an asker that has gone looks the same.",
        flow.first_frame, answer.from, answer.frame, answer.packets
    )
    .into();
}

#[cfg(test)]
mod tests {
    use thin_vec::ThinVec;

    use super::*;
    use crate::net::{Clock, Time, Timestamp};
    use crate::verdict::record::{DisplayFilter, PerSide};

    fn endpoint(text: &str) -> Endpoint {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { address: address.ip().into(), port: address.port() }
    }

    /// A flow of `count` datagrams one way, that begins with this frame and second.
    fn flow(frame: u64, second: i128, from: &str, to: &str, count: u64) -> JudgedFlow {
        let at = Timestamp::from_nanoseconds(second * 1_000_000_000).unwrap();
        let time = Some(Time { at, clock: Clock::MICROSECONDS });
        let verdict = if endpoint(to).port == 69 { Verdict::NoReply } else { Verdict::OneWay };
        JudgedFlow {
            id: 0,
            capture: 0,
            transport: Transport::Udp,
            initiator: endpoint(from),
            responder: endpoint(to),
            class: verdict.class(),
            verdict,
            confidence: Confidence::Weak,
            explanation: "Request.".into(),
            origin: None,
            origin_reasons: ThinVec::new(),
            history: "D".repeat(usize::try_from(count).unwrap()).into(),
            evidence: vec![EvidenceRecord {
                frame: FrameNumber(frame),
                time,
                from: Sender::Initiator,
                kind: EvidenceKind::Data,
                seq: None,
                ack: None,
                window: None,
                ttl: Some(64),
                ip_id: None,
                note: None,
            }]
            .into(),
            schedule: None,
            first_frame: FrameNumber(frame),
            last_frame: FrameNumber(frame),
            first_seen: time,
            last_seen: time,
            packets: PerSide { initiator: count, responder: 0 },
            bytes: PerSide { initiator: 30 * count, responder: 0 },
            duplicates: 0,
            closing: None,
            service: ServiceRecord {
                name: None,
                outcome: ServiceOutcome::NotExamined,
                code: None,
                detail: None,
                frame: None,
            },
            rpc: None,
            announced: ThinVec::new(),
            not_registered: ThinVec::new(),
            duties: ThinVec::new(),
            encapsulation: ThinVec::new(),
            requirement: None,
            display_filter: DisplayFilter::of_texts("", ""),
        }
    }

    const WAIT: i64 = 2_000_000_000;

    fn joined(mut flows: Vec<JudgedFlow>) -> Vec<JudgedFlow> {
        let services: Vec<ServiceRecord> = flows.iter().map(|flow| flow.service.clone()).collect();
        let service = |index: usize| services.get(index).cloned();
        join_answers(&mut flows, WAIT, &service);
        let once = flows.clone();
        join_answers(&mut flows, WAIT, &service);
        assert_eq!(flows, once, "doing it again changes nothing");
        flows
    }

    #[test]
    fn a_transfer_answers_the_request_that_asked_from_its_port() {
        let mut transfer = flow(2, 1, "10.1.0.10:1047", "10.0.0.5:2070", 3);
        transfer.packets.responder = 3;
        transfer.verdict = Verdict::Answered;
        transfer.service.outcome = ServiceOutcome::Failed;
        transfer.service.code = Some("file not found".into());
        let flows = joined(vec![flow(1, 0, "10.0.0.5:2070", "10.1.0.10:69", 1), transfer.clone()]);
        assert_eq!(flows[0].verdict, Verdict::Answered);
        assert_eq!(flows[0].evidence.last().unwrap().frame, FrameNumber(2));
        assert_eq!(flows[0].service.code.as_deref(), Some("file not found"));
        let expected = "Request in frame 1, answer from 10.1.0.10:1047 in frame 2. A TFTP server \
                        answers from a port of its own choice, so a firewall has to let that \
                        through to the port that asked.";
        assert_eq!(flows[0].explanation, expected);
        assert_eq!(flows[1], transfer, "the transfer speaks for itself");
    }

    #[test]
    fn what_comes_from_elsewhere_or_too_late_is_no_answer() {
        let request = || flow(2, 10, "10.0.0.5:2070", "10.1.0.10:69", 1);
        for other in [
            flow(3, 11, "10.1.0.11:1047", "10.0.0.5:2070", 1), // another host
            flow(3, 11, "10.1.0.10:1047", "10.0.0.5:2071", 1), // another port
            flow(3, 13, "10.1.0.10:1047", "10.0.0.5:2070", 1), // too late
            flow(1, 9, "10.1.0.10:1047", "10.0.0.5:2070", 1),  // too early
            JudgedFlow { capture: 1, ..flow(3, 11, "10.1.0.10:1047", "10.0.0.5:2070", 1) },
            JudgedFlow {
                transport: Transport::Tcp,
                ..flow(3, 11, "10.1.0.10:1047", "10.0.0.5:2070", 1)
            },
        ] {
            let mut flows = vec![request(), other];
            flows.sort_by_key(|flow| flow.first_frame);
            let flows = joined(flows);
            assert!(flows.iter().all(|flow| flow.verdict != Verdict::Answered), "{flows:?}");
        }
    }

    #[test]
    fn an_answer_that_nobody_confirms_did_not_arrive() {
        let flows = joined(vec![
            flow(1, 0, "10.0.0.5:2070", "10.1.0.10:69", 1),
            flow(2, 1, "10.1.0.10:1047", "10.0.0.5:2070", 5),
        ]);
        assert_eq!((flows[0].verdict, flows[0].confidence), (Verdict::NoReply, Confidence::Likely));
        let expected = "Request in frame 1, answer from 10.1.0.10:1047 in frame 2, sent 5 times and \
                        never confirmed. ";
        assert!(flows[0].explanation.text().starts_with(expected), "{}", flows[0].explanation);
        assert_eq!(flows[1].verdict, Verdict::OneWay);
    }

    #[test]
    fn an_offer_answers_who_asked_everybody_for_an_address() {
        for (to, history, answers) in [
            ("255.255.255.255:68", "D", true),
            ("10.0.0.50:68", "D", true),
            // The flow of an offer to one host is taken for one that this host opened.
            ("10.0.0.50:68", "d", true),
            ("10.0.0.50:70", "D", false),
        ] {
            let mut offer = flow(2, 1, "10.0.0.1:67", to, 1);
            if history == "d" {
                std::mem::swap(&mut offer.initiator, &mut offer.responder);
            }
            offer.history = history.into();
            let request = flow(1, 0, "0.0.0.0:68", "255.255.255.255:67", 1);
            let flows = joined(vec![request, offer]);
            assert_eq!(flows[0].verdict == Verdict::Answered, answers, "{to} {history}");
            assert_eq!(flows[1].verdict, Verdict::OneWay);
        }
    }
}
