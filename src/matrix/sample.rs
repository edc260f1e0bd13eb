//! Judged flows for the tests of this module and of those above it.

use smol_str::SmolStr;
use thin_vec::ThinVec;

use crate::net::{Address, Clock, Endpoint, FrameNumber, Time, Timestamp, Transport};
use crate::verdict::record::{
    Confidence, DisplayFilter, EvidenceKind, EvidenceRecord, JudgedFlow, Origin, PerSide,
    RpcRecord, Sender, ServiceOutcome, ServiceRecord, Verdict,
};

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// A flow with the verdict's own class. Its frames begin at ten times its id, its time at as many
/// seconds.
pub(crate) fn flow(
    id: u64,
    from: &str,
    to: &str,
    transport: &str,
    port: u16,
    verdict: Verdict,
) -> JudgedFlow {
    use EvidenceKind::{Data, Icmp, Rst, Syn, SynAck};
    let transport = if transport == "udp" { Transport::Udp } else { Transport::Tcp };
    let first = id * 10;
    let packet = |offset: u64, from: Sender, kind: EvidenceKind| EvidenceRecord {
        frame: FrameNumber(first + offset),
        time: None,
        from,
        kind,
        seq: None,
        ack: None,
        window: None,
        ttl: None,
        ip_id: None,
        note: None,
    };
    let (initiator, responder) = (Sender::Initiator, Sender::Responder);
    let evidence = match (verdict, transport) {
        (Verdict::Established | Verdict::Unconfirmed, _) => {
            vec![packet(0, initiator, Syn), packet(1, responder, SynAck)]
        }
        (Verdict::Answered, _) => vec![packet(0, initiator, Data), packet(1, responder, Data)],
        (Verdict::NoReply, Transport::Udp) => vec![packet(0, initiator, Data)],
        (Verdict::NoReply, Transport::Tcp) => {
            vec![packet(0, initiator, Syn), packet(1, initiator, Syn), packet(2, initiator, Syn)]
        }
        (Verdict::Refused, _) => vec![packet(0, initiator, Syn), packet(1, responder, Rst)],
        (Verdict::Prohibited | Verdict::Unreachable, _) => {
            vec![packet(0, initiator, Syn), packet(1, Sender::Network, Icmp)]
        }
        _ => Vec::new(),
    };
    let seconds = 1_401_185_700 + i128::from(id) * 10;
    let at = Timestamp::from_nanoseconds(seconds * 1_000_000_000).unwrap();
    let time = Time { at, clock: Clock { digits: 0, zone_known: true } };
    JudgedFlow {
        id,
        capture: 0,
        transport,
        initiator: Endpoint { address: address(from), port: 52702 },
        responder: Endpoint { address: address(to), port },
        class: verdict.class(),
        verdict,
        confidence: Confidence::Proven,
        explanation: format!("what flow {id} did").into(),
        origin: (verdict == Verdict::Refused).then_some(Origin::Unknown),
        origin_reasons: ThinVec::new(),
        history: SmolStr::default(),
        evidence: evidence.into(),
        schedule: None,
        first_frame: FrameNumber(first),
        last_frame: FrameNumber(first + 2),
        first_seen: Some(time),
        last_seen: Some(time),
        packets: PerSide::default(),
        bytes: PerSide::default(),
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

/// A flow that was answered, and whose service then failed.
pub(crate) fn failing(mut flow: JudgedFlow, outcome: ServiceOutcome) -> JudgedFlow {
    flow.service.outcome = outcome;
    flow.service.code = Some("49".into());
    flow.service.detail = Some("invalid credentials".into());
    flow.service.frame = Some(FrameNumber(flow.id * 10 + 4));
    flow
}

/// A flow of a single SYN that nobody answered.
pub(crate) fn weak(mut flow: JudgedFlow) -> JudgedFlow {
    flow.confidence = Confidence::Weak;
    flow.evidence.change(|packets| packets.truncate(1));
    flow
}

pub(crate) fn refused_by(mut flow: JudgedFlow, origin: Origin) -> JudgedFlow {
    flow.origin = Some(origin);
    flow
}

/// A flow to a port that was announced for DRSUAPI in this frame of flow 100.
pub(crate) fn announced(mut flow: JudgedFlow, frame: u64) -> JudgedFlow {
    flow.rpc = Some(Box::new(RpcRecord {
        interface: Some("DRSUAPI".to_owned()),
        uuid: Some("e3514235-4b06-11d1-ab04-00c04fc2dcd2".to_owned()),
        bound: false,
        announced_frame: Some(FrameNumber(frame)),
        endpoint_mapper_flow: Some(100),
    }));
    flow
}
