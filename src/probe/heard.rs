//! What a flow's application said, in few words: the sum of its signals.
//!
//! Bounded, whatever a flow says: of each kind of thing so many are kept, and the rest is
//! counted.

use std::net::IpAddr;

use thin_vec::ThinVec;

use crate::net::{FrameNumber, KnownName, Label, NameSource, Timestamp};
use crate::probe::{Announcement, Code, Duty, Holder, Meaning, Signal, Speaker, Standing, Uuid};

/// Failures kept that nothing made good.
const MOST_FAILURES: usize = 16;

/// Announcements, names and services kept of each.
const MOST_TOLD: usize = 1024;

/// Duties kept: more than one machine has.
const MOST_DUTIES: usize = 32;

/// An answer, or a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The protocol, by the name of its probe.
    pub protocol: &'static str,
    /// What was asked for.
    pub subject: Label,
    /// The code of the answer.
    pub code: Option<Code>,
    /// What else it says.
    pub detail: Option<Label>,
    /// Frame that shows it.
    pub frame: FrameNumber,
    /// When that was captured.
    pub time: Option<Timestamp>,
}

/// What a host proved to do for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardDuty {
    /// Whose it is, seen from the message that shows it.
    pub holder: Holder,
    /// Who sent that message.
    pub from: Speaker,
    /// The duty.
    pub duty: Duty,
    /// What proves it.
    pub how: String,
    /// Frame that shows it.
    pub frame: FrameNumber,
}

/// What a clock showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Its time, in UTC.
    pub says: Timestamp,
    /// When that was captured, by the clock of the capturing machine.
    pub captured: Option<Timestamp>,
    /// Frame that shows it.
    pub frame: FrameNumber,
}

/// What the application above a flow asked and answered.
// Small, since nearly every flow has one, and of these lists hardly any holds something.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The protocol that was recognised last.
    pub protocol: Option<&'static str>,
    /// The first thing that was asked for.
    pub asked: Option<Answer>,
    /// The newest answer that serves.
    pub served: Option<Answer>,
    /// The newest answer that is neither.
    pub step: Option<Answer>,
    /// Answers that fail, and that no later one about the same subject made good, in order.
    pub failures: ThinVec<Answer>,
    /// Interfaces that were called, in order, each once.
    pub calls: ThinVec<(Uuid, FrameNumber)>,
    /// Endpoints that were announced, each once.
    pub announced: ThinVec<(Announcement, FrameNumber)>,
    /// Names that were given to addresses, each once.
    pub names: ThinVec<KnownName>,
    /// Purposes and the hosts that serve them, each once.
    pub serves: ThinVec<(String, String)>,
    /// Duties that hosts proved, each once.
    pub duties: ThinVec<HeardDuty>,
    /// What the two sides call themselves, each once.
    pub introduced: ThinVec<(Speaker, NameSource, String)>,
    /// What the initiator calls the responder, each once.
    pub called: ThinVec<(NameSource, String)>,
    /// Names of askers of an address, by the number of the question.
    pub leases_asked: ThinVec<(u32, String)>,
    /// Addresses that were given, by the number of the question.
    pub leases_given: ThinVec<(u32, IpAddr)>,
    /// What the responder's clock showed first.
    pub clock: Option<ClockReading>,
    /// Every signal, where somebody wants them.
    pub signals: Option<Vec<Signal>>,
}

impl Heard {
    /// Nothing heard yet. `keep_signals` says whether every signal is kept, without bound.
    pub fn new(keep_signals: bool) -> Heard {
        Heard { signals: keep_signals.then(Vec::new), ..Heard::default() }
    }

    /// Takes a signal into account.
    pub fn take(&mut self, signal: Signal) {
        if let Some(signals) = &mut self.signals {
            signals.push(signal.clone());
        }
        let Signal { protocol, frame, time, from, meaning } = signal;
        self.protocol = Some(protocol);
        let answer = |subject: String, code, detail: Option<String>| {
            let (subject, detail) = (subject.into(), detail.map(Label::from));
            Answer { protocol, subject, code, detail, frame, time }
        };
        match meaning {
            Meaning::Asked { subject } => {
                if self.asked.is_none() && from == Speaker::Initiator {
                    self.asked = Some(answer(subject, None, None));
                }
            }
            Meaning::Answered { subject, standing, code, detail } => {
                let answer = answer(subject, code, detail);
                match standing {
                    Standing::Served => {
                        self.failures.retain(|failure| failure.subject != answer.subject);
                        self.served = Some(answer);
                    }
                    Standing::Step => self.step = Some(answer),
                    Standing::Failed => self.fail(answer),
                }
            }
            Meaning::Announced(announcement) => {
                if self.announced.iter().all(|(known, _)| *known != announcement) {
                    keep(&mut self.announced, (announcement, frame));
                }
            }
            Meaning::Calls { uuid } => {
                if self.calls.iter().all(|&(known, _)| known != uuid) {
                    keep(&mut self.calls, (uuid, frame));
                }
            }
            Meaning::Named { address, name } => {
                let known = KnownName { address, source: source_of(protocol), name };
                if !self.names.contains(&known) {
                    keep(&mut self.names, known);
                }
            }
            Meaning::Introduced { name, by } => {
                let whole = (from, by, name);
                if !self.introduced.contains(&whole) {
                    keep(&mut self.introduced, whole);
                }
            }
            Meaning::Called { name, by } => {
                // What is asked of a host behind a proxy is asked of another host.
                let behind =
                    self.asked.as_ref().is_some_and(|it| it.subject.starts_with("CONNECT "));
                let both = (by, name);
                if !behind && !self.called.contains(&both) {
                    keep(&mut self.called, both);
                }
            }
            Meaning::LeaseAsked { transaction, name } => {
                keep(&mut self.leases_asked, (transaction, name));
            }
            Meaning::LeaseGiven { transaction, address } => {
                keep(&mut self.leases_given, (transaction, address));
            }
            Meaning::Clock { says } => {
                if self.clock.is_none() && from == Speaker::Responder {
                    self.clock = Some(ClockReading { says, captured: time, frame });
                }
            }
            Meaning::Serves { purpose, host } => {
                let both = (purpose, host);
                if !self.serves.contains(&both) {
                    keep(&mut self.serves, both);
                }
            }
            Meaning::Does { holder, duty, how } => {
                let new = HeardDuty { holder, from, duty, how, frame };
                if self.duties.len() < MOST_DUTIES
                    && !self.duties.iter().any(|known| known.is_as(&new))
                {
                    self.duties.push(new);
                }
            }
        }
    }

    /// The first failure about a subject counts: repeats say nothing new.
    fn fail(&mut self, answer: Answer) {
        let known =
            |failure: &Answer| failure.subject == answer.subject && failure.code == answer.code;
        if !self.failures.iter().any(known) && self.failures.len() < MOST_FAILURES {
            self.failures.push(answer);
        }
    }
}

impl HeardDuty {
    /// Whether it says nothing else of the same host.
    fn is_as(&self, other: &HeardDuty) -> bool {
        self.duty == other.duty && self.whose() == other.whose()
    }

    /// The side of the flow, or the address, of the host that has the duty.
    pub fn whose(&self) -> Result<Speaker, IpAddr> {
        match (self.holder, self.from) {
            (Holder::Host(address), _) => Err(address),
            (Holder::Speaker, from) => Ok(from),
            (Holder::Peer, Speaker::Initiator) => Ok(Speaker::Responder),
            (Holder::Peer, Speaker::Responder) => Ok(Speaker::Initiator),
        }
    }
}

fn keep<T>(list: &mut ThinVec<T>, item: T) {
    if list.len() < MOST_TOLD {
        list.push(item);
    }
}

/// Who gives a name to an address, by the protocol that does.
fn source_of(protocol: &str) -> NameSource {
    match protocol {
        "LLMNR" => NameSource::Llmnr,
        "mDNS" => NameSource::Mdns,
        "NetBIOS name service" => NameSource::Nbns,
        "DHCP" => NameSource::Dhcp,
        // RPC also goes over pipes of SMB and through HTTP.
        "RPC" | "SMB" | "HTTP" => NameSource::Rpc,
        _ => NameSource::Dns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::CodeSet;

    fn answered(frame: u64, subject: &str, number: u32) -> Signal {
        let code = Code { set: CodeSet::DnsRcode, number };
        Signal {
            protocol: "DNS",
            frame: FrameNumber(frame),
            time: None,
            from: Speaker::Responder,
            meaning: Meaning::Answered {
                subject: subject.to_owned(),
                standing: code.standing(),
                code: Some(code),
                detail: None,
            },
        }
    }

    #[test]
    fn a_failure_stands_until_the_same_thing_is_served() {
        let mut heard = Heard::new(false);
        heard.take(answered(1, "a.example", 2));
        heard.take(answered(2, "b.example", 5));
        heard.take(answered(3, "b.example", 5));
        heard.take(answered(4, "a.example", 0));
        let left: Vec<_> = heard.failures.iter().map(|answer| answer.frame.0).collect();
        assert_eq!(left, [2]);
        assert_eq!(heard.served.unwrap().subject, "a.example");
    }

    #[test]
    fn what_is_heard_is_small() {
        // Nearly every flow has it while packets come, and it is read twice for each afterwards.
        assert!(size_of::<Heard>() <= 312, "{}", size_of::<Heard>());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut heard = Heard::new(false);
        for frame in 0..100 {
            heard.take(answered(frame, &format!("{frame}.example"), 5));
        }
        assert_eq!(heard.failures.len(), MOST_FAILURES);
        assert!(heard.signals.is_none());
    }
}
