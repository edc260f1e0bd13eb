//! What a silence means: a filter, a host that is down, or nothing that can be told from here.
//!
//! Nobody sees a packet being dropped but who drops it. So everything else that was seen of the
//! silent host is weighed: whether it answers elsewhere, whether its closed ports answer, whether
//! a neighbour ever found it, and on which machine the capture was taken.

use std::collections::BTreeSet;

use crate::diagnosis::Evidence;
use crate::diagnosis::heard::{Heard, Network, Port, port_of};
use crate::matrix::{capture_suffix, count_of, list_of, seen};
use crate::net::{Address, FrameNumber, Transport};
use crate::packet::NeighbourRecord;
use crate::verdict::record::{Course, EvidenceKind, EvidenceRecord, JudgedFlow};

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

/// Ports that a sentence names.
const NAMED: usize = 4;

/// Weighs the silence of flows that got no answer, all between the same two hosts.
pub(super) fn silence_of(evidence: &Evidence<'_>, flows: &[&JudgedFlow]) -> Silence {
    let Some(first) = flows.first() else {
        return Silence { reading: Reading::CannotTell, sentence: String::new() };
    };
    let ports: BTreeSet<Port> = flows.iter().map(|flow| port_of(flow)).collect();
    let (from, to) = (first.initiator.address, first.responder.address);
    let scene = Scene { evidence, flows, ports: &ports, from, to, heard: &evidence.heard };
    let Silence { reading, sentence } = scene
        .dropped_here()
        .or_else(|| scene.host_itself())
        .or_else(|| scene.no_neighbour())
        .or_else(|| scene.no_route())
        .or_else(|| scene.answers_at_times())
        .or_else(|| scene.filter())
        .or_else(|| scene.cannot_tell())
        .unwrap_or_else(|| scene.nothing_heard());
    let is_cut_short = flows.iter().all(|flow| {
        flow.schedule.as_ref().is_some_and(|schedule| schedule.course == Course::CaptureEnded)
    });
    let open = if is_cut_short {
        "; the capture ended before the caller had given up, so an answer may have come later"
    } else {
        ""
    };
    Silence { reading, sentence: format!("{sentence}{open}") }
}

/// A silence and what it is weighed with.
struct Scene<'s, 'a> {
    evidence: &'s Evidence<'a>,
    flows: &'s [&'s JudgedFlow],
    ports: &'s BTreeSet<Port>,
    from: Address,
    to: Address,
    heard: &'s Heard<'a>,
}

impl Scene<'_, '_> {
    /// "tcp/389 (SYN in frame 12, SYN-ACK in frame 13)".
    fn service(&self, flow: &JudgedFlow) -> String {
        let (transport, port) = port_of(flow);
        format!("{transport}/{port} ({})", seen(flow, self.evidence.several))
    }

    /// " of the 2nd capture", where there are several.
    fn of_capture(&self, flow: &JudgedFlow) -> String {
        capture_suffix(flow, self.evidence.several)
    }

    /// "frame 12", with its capture where there are several.
    fn frame(&self, flow: &JudgedFlow, frame: FrameNumber) -> String {
        format!("frame {frame}{}", self.of_capture(flow))
    }

    /// "tcp/389 and tcp/445".
    fn ports(&self) -> String {
        let ports: Vec<String> =
            self.ports.iter().map(|(transport, port)| format!("{transport}/{port}")).collect();
        list_of(&ports, NAMED)
    }

    fn dropped_here(&self) -> Option<Silence> {
        if !self.flows.iter().all(|flow| flow.evidence.has(EvidenceKind::Drop)) {
            return None;
        }
        let flow = self.flows.first()?;
        let drop = flow.evidence.iter().find(|it| it.kind == EvidenceKind::Drop)?;
        let sentence = format!(
            "{} was {}",
            self.frame(flow, drop.frame),
            drop.note.as_deref().unwrap_or("dropped by the capturing machine")
        );
        Some(Silence { reading: Reading::DroppedHere, sentence })
    }

    fn host_itself(&self) -> Option<Silence> {
        let to = self.to.ip()?;
        let flow = self.flows.iter().find(|flow| {
            let vantage = self.evidence.vantages.get(flow.capture);
            vantage.is_some_and(|vantage| vantage.taken_on.contains(&to))
        })?;
        let sentence = format!(
            "the capture was taken on {to} itself, so the packet in {} arrived there: the firewall of \
             {to} dropped it, or nothing listens on {} and the firewall hides that",
            self.frame(flow, flow.first_frame),
            self.ports()
        );
        Some(Silence { reading: Reading::HostItself, sentence })
    }

    fn no_neighbour(&self) -> Option<Silence> {
        let to = self.to.ip()?;
        let (flow, record) = self.flows.iter().find_map(|flow| {
            let vantage = self.evidence.vantages.get(flow.capture)?;
            let silent = vantage.silent_neighbours.iter().find(|it| it.address == to)?;
            Some((flow, silent))
        })?;
        let NeighbourRecord { asked_by, asked, first_frame, last_frame, .. } = record;
        let frames = if first_frame == last_frame {
            self.frame(flow, *first_frame)
        } else {
            format!("frames {first_frame} to {last_frame}{}", self.of_capture(flow))
        };
        let times = count_of(usize::try_from(*asked).unwrap_or(usize::MAX), "question");
        let sentence = format!(
            "on its own network nobody answers for {to}: {times} in {frames}, first by {asked_by}, so \
             the host is down, or has another address"
        );
        Some(Silence { reading: Reading::NoNeighbour, sentence })
    }

    fn no_route(&self) -> Option<Silence> {
        let circles = |packet: &EvidenceRecord| {
            let says = |note: &str| note.contains("hop limit exceeded in transit");
            packet.kind == EvidenceKind::Icmp && packet.note.as_deref().is_some_and(says)
        };
        let (flow, error) =
            self.flows.iter().find_map(|flow| Some((flow, flow.evidence.iter().find(circles)?)))?;
        let sentence = format!(
            "{} says that the packet passed more routers than it may: routers send it in \
             circles, and no rule of a firewall mends that",
            self.frame(flow, error.frame)
        );
        Some(Silence { reading: Reading::NoRoute, sentence })
    }

    fn answers_at_times(&self) -> Option<Silence> {
        let answer = |port: &Port| self.heard.answers.get(&(self.to, *port, self.from)).copied();
        let answers: Option<Vec<&JudgedFlow>> = self.ports.iter().map(answer).collect();
        let service = self.service(answers?.first()?);
        let sentence = format!(
            "{} did answer {} at another time on {service}, so the port is not closed for good",
            self.to, self.from
        );
        Some(Silence { reading: Reading::AnswersAtTimes, sentence })
    }

    fn filter(&self) -> Option<Silence> {
        let (from, to) = (self.from, self.to);
        let others = self.ports.iter().find_map(|port| self.heard.answers_on.get(&(to, *port)));
        if let Some(flow) = others {
            let sentence = format!(
                "{to} did answer {} on {}, so the service runs: a filter that does not let {from} \
                 through looks like this, and so does a broken way between the two",
                flow.initiator.address,
                self.service(flow)
            );
            return Some(Silence { reading: Reading::Filter, sentence });
        }
        let transport = self.ports.first()?.0;
        let own = self.heard.refusals.get(&(to, transport, from));
        if let Some(flow) = own.or_else(|| self.heard.refused_by.get(&(to, transport))) {
            let sentence = format!(
                "{to} does say so where a port is closed, as it said to {} on {}, so this silence is \
                 rather a filter's, on the way or on the host itself",
                flow.initiator.address,
                self.service(flow)
            );
            return Some(Silence { reading: Reading::Filter, sentence });
        }
        // Windows begins with 128, and only there a closed port is hidden by default.
        let answer = self.heard.answered.get(&(to, from))?;
        let syn_ack = answer.evidence.iter().find(|it| it.kind == EvidenceKind::SynAck)?;
        let ttl = syn_ack.ttl.filter(|ttl| *ttl <= 64 && transport == Transport::Tcp)?;
        let sentence = format!(
            "{to} did answer {from} on {}, with a time to live of {ttl}, which is not that of \
             Windows; other systems refuse where a port is closed, so this silence is rather a \
             filter's, on the way or on the host itself",
            self.service(answer)
        );
        Some(Silence { reading: Reading::Filter, sentence })
    }

    fn cannot_tell(&self) -> Option<Silence> {
        let (from, to) = (self.from, self.to);
        let sentence = if let Some(flow) = self.heard.answered.get(&(to, from)) {
            let stopped = match self.ports.first()?.0 {
                Transport::Tcp => {
                    "the service does not run and Windows Firewall hides that, as it does by default"
                }
                Transport::Udp => "the service does not run or ignores the request",
            };
            format!(
                "{to} did answer {from} on {}, so it is up and there is a way to it; whether a filter \
                 drops {}, or {stopped}, cannot be told from this side",
                self.service(flow),
                self.ports()
            )
        } else if let Some(flow) = self.heard.answered_by.get(&to) {
            format!(
                "{to} did answer {} on {}, so it was up then; what lies between it and {from}, a \
                 filter or a missing way, cannot be told from this side",
                flow.initiator.address,
                self.service(flow)
            )
        } else {
            let flow = *self.heard.opened.get(&to)?;
            format!(
                "{to} itself sends ({}), so it was up then; whether a filter drops {}, or the \
                 service does not run and a firewall on the host hides that, cannot be told from this \
                 side",
                self.frame(flow, flow.first_frame),
                self.ports()
            )
        };
        Some(Silence { reading: Reading::CannotTell, sentence })
    }

    fn nothing_heard(&self) -> Silence {
        let (from, to) = (self.from, self.to);
        let near = Network::of(to)
            .and_then(|network| self.evidence.heard.networks.get(&(from, network)).copied());
        let way = near.map(|flow| {
            format!(
                "; its neighbour {} did answer {from} on {}, so there is a way into that network",
                flow.responder.address,
                self.service(flow)
            )
        });
        let tried = match self.ports.len() {
            1 => String::new(),
            several => format!(", though {several} ports of it were called"),
        };
        let sentence = format!(
            "nothing is heard of {to} itself in the captures{tried}: it is down, no way leads to it, or \
             all that goes to it is dropped{}",
            way.unwrap_or_default()
        );
        Silence { reading: Reading::NothingHeard, sentence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::FrameNote;
    use crate::diagnosis::Vantage;
    use crate::matrix::sample::{address, flow, refused_by};
    use crate::matrix::{DEFAULT_PROFILE, Matrix, Told, assess};
    use crate::verdict::record::ScheduleRecord;
    use crate::verdict::record::{Origin, Verdict};

    const CAS: &str = "10.0.0.5";
    const DC: &str = "10.1.0.10";

    /// What the silence of the first flow, and of those like it, means beside the others.
    fn weighed(flows: &[JudgedFlow], vantage: Vantage<'_>) -> (Reading, String) {
        let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
        let found = assess(&matrix, &[], Told::default(), flows);
        let by_id: Vec<&JudgedFlow> = flows.iter().collect();
        let evidence = Evidence {
            matrix: &matrix,
            sheet: &found.sheet,
            hosts: &found.hosts,
            weights: crate::diagnosis::cause::Weights::default(),
            heard: Heard::of(&by_id),
            places: crate::diagnosis::place::Places::of(&by_id),
            flows: by_id,
            left_out: &[],
            plain: flows.into(),
            several: false,
            rpc_range: &[],
            logs: &[],
            vantages: &[vantage],
        };
        let silent: Vec<&JudgedFlow> = flows
            .iter()
            .filter(|it| it.verdict == Verdict::NoReply)
            .filter(|it| it.responder.address == flows[0].responder.address)
            .filter(|it| it.initiator.address == flows[0].initiator.address)
            .collect();
        let Silence { reading, sentence } = silence_of(&evidence, &silent);
        (reading, sentence)
    }

    fn reading(flows: &[JudgedFlow]) -> Reading {
        weighed(flows, Vantage::default()).0
    }

    fn silent() -> JudgedFlow {
        flow(1, CAS, DC, "tcp", 389, Verdict::NoReply)
    }

    fn call(id: u64, from: &str, port: u16, verdict: Verdict) -> JudgedFlow {
        flow(id, from, DC, "tcp", port, verdict)
    }

    fn with_ttl(mut flow: JudgedFlow, ttl: u8) -> JudgedFlow {
        flow.evidence.change(|packets| packets.iter_mut().for_each(|it| it.ttl = Some(ttl)));
        flow
    }

    #[test]
    fn a_host_that_answers_elsewhere_may_hide_a_closed_port() {
        let (reading, sentence) = weighed(
            &[silent(), with_ttl(call(2, CAS, 135, Verdict::Established), 126)],
            Vantage::default(),
        );
        assert_eq!(reading, Reading::CannotTell);
        assert_eq!(
            sentence,
            "10.1.0.10 did answer 10.0.0.5 on tcp/135 (SYN in frame 20, SYN-ACK in frame 21), so \
             it is up and there is a way to it; whether a filter drops tcp/389, or the service does \
             not run and Windows Firewall hides that, as it does by default, cannot be told from \
             this side"
        );
    }

    #[test]
    fn a_host_whose_closed_ports_refuse_is_silent_only_behind_a_filter() {
        let refused = |origin| refused_by(call(2, CAS, 445, Verdict::Refused), origin);
        assert_eq!(reading(&[silent(), refused(Origin::Host)]), Reading::Filter);
        // What a device said in its name tells nothing of the host.
        assert_eq!(reading(&[silent(), refused(Origin::Middlebox)]), Reading::NothingHeard);
        // A closed port of TCP says nothing of one of UDP.
        let udp = flow(1, CAS, DC, "udp", 389, Verdict::NoReply);
        assert_eq!(reading(&[udp, refused(Origin::Host)]), Reading::NothingHeard);
        // Linux hides no closed port.
        let linux = with_ttl(call(2, CAS, 22, Verdict::Established), 62);
        assert_eq!(reading(&[silent(), linux]), Reading::Filter);
    }

    #[test]
    fn a_service_that_answers_others_runs() {
        let other = call(2, "10.0.0.6", 389, Verdict::Established);
        let (reading, sentence) = weighed(&[silent(), other], Vantage::default());
        assert_eq!(reading, Reading::Filter);
        let expected = "10.1.0.10 did answer 10.0.0.6 on tcp/389 (SYN in frame 20, SYN-ACK in frame \
                        21), so the service runs: ";
        assert!(sentence.starts_with(expected), "{sentence}");
    }

    #[test]
    fn a_port_that_answers_at_times_is_not_closed_for_good() {
        let flows = [silent(), call(2, CAS, 389, Verdict::Established)];
        assert_eq!(reading(&flows), Reading::AnswersAtTimes);
        // Of two ports one never answered.
        let flows =
            [silent(), call(2, CAS, 389, Verdict::Established), call(3, CAS, 88, Verdict::NoReply)];
        assert_ne!(reading(&flows), Reading::AnswersAtTimes);
    }

    #[test]
    fn a_host_that_is_not_heard_at_all_may_be_down() {
        let flows = [silent(), call(2, CAS, 445, Verdict::NoReply)];
        let (reading, sentence) = weighed(&flows, Vantage::default());
        assert_eq!(reading, Reading::NothingHeard);
        assert_eq!(
            sentence,
            "nothing is heard of 10.1.0.10 itself in the captures, though 2 ports of it were \
             called: it is down, no way leads to it, or all that goes to it is dropped"
        );
        let near = flow(3, CAS, "10.1.0.11", "tcp", 389, Verdict::Established);
        let (reading, sentence) = weighed(&[silent(), near], Vantage::default());
        assert_eq!(reading, Reading::NothingHeard);
        assert!(sentence.ends_with("so there is a way into that network"), "{sentence}");
        // It calls others, so it is up.
        let up = flow(3, DC, "10.1.0.11", "udp", 53, Verdict::Answered);
        let mut up = [silent(), up];
        up[1].packets.initiator = 1;
        assert_eq!(weighed(&up, Vantage::default()).0, Reading::CannotTell);
    }

    #[test]
    fn where_the_capture_was_taken_tells_who_did_not_answer() {
        let on = |host: &str| address(host).ip().unwrap();
        let dc = [on(DC)];
        let taken_on = Vantage { taken_on: &dc, ..Vantage::default() };
        assert_eq!(weighed(&[silent()], taken_on).0, Reading::HostItself);
        let cas = [on(CAS)];
        let taken_on = Vantage { taken_on: &cas, ..Vantage::default() };
        assert_eq!(weighed(&[silent()], taken_on).0, Reading::NothingHeard);
    }

    #[test]
    fn a_neighbour_that_nobody_finds_is_down() {
        let neighbours = [NeighbourRecord {
            address: address(DC).ip().unwrap(),
            asked_by: address("10.1.0.1").ip().unwrap(),
            asked: 3,
            first_frame: FrameNumber(4),
            last_frame: FrameNumber(9),
        }];
        let vantage = Vantage { silent_neighbours: &neighbours, ..Vantage::default() };
        let (reading, sentence) = weighed(&[silent()], vantage);
        assert_eq!(reading, Reading::NoNeighbour);
        assert_eq!(
            sentence,
            "on its own network nobody answers for 10.1.0.10: 3 questions in frames 4 to 9, first by \
             10.1.0.1, so the host is down, or has another address"
        );
    }

    #[test]
    fn what_the_packets_themselves_tell_comes_first() {
        let noted = |kind: EvidenceKind, note: &str| {
            let mut flow = silent();
            let first = flow.evidence.first().unwrap();
            let packet = EvidenceRecord { kind, note: Some(note.to_owned()), ..first };
            flow.evidence.change(|packets| packets.push(packet));
            reading(&[flow, call(2, CAS, 135, Verdict::Established)])
        };
        let dropped = format!("{}: WHY, at WHERE", FrameNote::ON_ARRIVAL);
        assert_eq!(noted(EvidenceKind::Drop, &dropped), Reading::DroppedHere);
        let circles = "ICMP 11/0 (hop limit exceeded in transit) from 10.0.0.1";
        assert_eq!(noted(EvidenceKind::Icmp, circles), Reading::NoRoute);
    }

    #[test]
    fn a_capture_that_ends_too_early_leaves_it_open() {
        let mut flow = silent();
        flow.schedule = Some(Box::new(ScheduleRecord {
            name: "newer Windows".into(),
            expected: Some(5),
            seen: 2,
            course: Course::CaptureEnded,
        }));
        let (_, sentence) = weighed(&[flow], Vantage::default());
        assert!(sentence.ends_with("so an answer may have come later"), "{sentence}");
    }
}
