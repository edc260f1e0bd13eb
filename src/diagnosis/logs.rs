//! Logs beside the flows: which lines tell of the same failures, and which prove more than the
//! captures show.
//!
//! A line belongs to a finding when it was written while its attempts failed and what it says fits:
//! the host, the port, the kind of error. A line that names another host belongs to another
//! finding, and one that could be about several belongs to none.

mod clock;
mod proof;

pub use clock::set_clocks;
pub(super) use proof::proven;

use std::collections::{BTreeMap, BTreeSet};

use crate::capture::Severity;
use crate::diagnosis::logs::clock::{SentPackets, Windows, sent_packets};
use crate::diagnosis::logs::proof::packets_of;
use crate::diagnosis::{Evidence, Finding, FindingKind, LinePlace};
use crate::log::{LogEntry, LogRecord, Named, Sign, Tells, signs};
use crate::matrix::{bounded, count_of, list_of, then};
use crate::net::Address;

/// Lines that a finding lists, and that its explanation names.
const LISTED: usize = 12;
const TOLD: usize = 3;
/// A line is written at most so long after the last packet of the attempt. A login to SQL Server
/// and a call by RPC try again before they give up.
const WRITTEN_WITHIN: i64 = 90_000_000_000;
/// And at most so long before the first, as clocks differ.
const WRITTEN_BEFORE: i64 = 2_000_000_000;

/// Findings about attempts that did not fail, or about none.
const NO_FAILURES: [FindingKind; 7] = [
    FindingKind::RpcOutsideRange,
    FindingKind::RpcAddressDiffers,
    FindingKind::RoleNameUnknown,
    FindingKind::NoRoles,
    FindingKind::AlternativeOpen,
    FindingKind::RolesInferred,
    FindingKind::NotExercised,
];

/// What a finding is about, as a log may name it.
struct Subject {
    kind: FindingKind,
    flows: BTreeSet<u64>,
    callers: BTreeSet<Address>,
    called: BTreeSet<Address>,
    ports: BTreeSet<u16>,
    windows: Windows,
    /// Whether the captures tell their zone.
    zone_known: bool,
}

/// What a line says.
struct Line<'a> {
    place: LinePlace,
    log: &'a LogRecord,
    entry: &'a LogEntry,
    signs: Vec<&'static Sign>,
    /// Hosts of the captures that it names.
    hosts: BTreeSet<Address>,
    ports: BTreeSet<u16>,
}

/// Sets lines of the logs beside the findings that they belong to.
pub(super) fn beside(evidence: &Evidence<'_>, findings: &mut [Finding]) {
    if evidence.logs.is_empty() {
        return;
    }
    let subjects: Vec<Option<Subject>> =
        findings.iter().map(|finding| Subject::of(evidence, finding)).collect();
    let packets = sent_packets(evidence.logs, evidence.flows.iter().copied());
    let names = Names::new(evidence);
    let mut found: Vec<Vec<Line<'_>>> = findings.iter().map(|_| Vec::new()).collect();
    for (index, log) in evidence.logs.iter().enumerate() {
        for entry in &log.entries {
            let line = Line::of(index, log, entry, &names);
            for place in line.subjects(&subjects, &packets) {
                if let Some(lines) = found.get_mut(place) {
                    lines.push(Line::of(index, log, entry, &names));
                }
            }
        }
    }
    for (finding, lines) in findings.iter_mut().zip(found) {
        tell(finding, lines);
    }
}

/// Hosts of the captures, as texts name them.
struct Names {
    /// Names and addresses of each.
    of: BTreeMap<Address, BTreeSet<String>>,
    /// Hosts of which a word may be the name, or its first part.
    by_word: BTreeMap<String, BTreeSet<Address>>,
}

impl Names {
    fn new(evidence: &Evidence<'_>) -> Names {
        let mut of: BTreeMap<Address, BTreeSet<String>> = BTreeMap::new();
        for flow in &evidence.flows {
            for end in [flow.initiator, flow.responder] {
                of.entry(end.address).or_insert_with(|| BTreeSet::from([end.address.to_string()]));
            }
        }
        for host in evidence.hosts {
            let all = of.entry(host.address).or_default();
            all.insert(host.address.to_string());
            all.extend(host.names.iter().cloned());
            all.extend(host.same_host.iter().map(Address::to_string));
        }
        let mut by_word: BTreeMap<String, BTreeSet<Address>> = BTreeMap::new();
        for (address, names) in &of {
            for name in names {
                let name = name.to_lowercase();
                let short = name.split('.').next().unwrap_or_default().to_owned();
                for word in [short, name] {
                    by_word.entry(word).or_default().insert(*address);
                }
            }
        }
        Names { of, by_word }
    }

    /// The hosts that a text names.
    fn of_text(&self, named: &Named) -> BTreeSet<Address> {
        let words = named.words.iter().filter_map(|word| self.by_word.get(word)).flatten();
        let is_named = |address: &&Address| {
            self.of.get(*address).is_some_and(|names| names.iter().any(|name| named.has(name)))
        };
        words.filter(is_named).copied().collect()
    }
}

impl Subject {
    /// `None` where it is about no attempts that failed.
    fn of(evidence: &Evidence<'_>, finding: &Finding) -> Option<Subject> {
        let kind = *FindingKind::ALL.iter().find(|kind| kind.as_str() == finding.kind)?;
        let flows = evidence.flows_of(&finding.flows);
        let first = flows.first().filter(|_| !NO_FAILURES.contains(&kind))?;
        let spans = flows.iter().filter_map(|flow| {
            let (first, last) = (flow.first_seen?, flow.last_seen?);
            let start = first.at.as_nanoseconds().saturating_sub(WRITTEN_BEFORE);
            Some((start, last.at.as_nanoseconds().saturating_add(WRITTEN_WITHIN)))
        });
        Some(Subject {
            kind,
            flows: flows.iter().map(|flow| flow.id).collect(),
            callers: flows.iter().map(|flow| flow.initiator.address).collect(),
            called: flows.iter().map(|flow| flow.responder.address).collect(),
            ports: flows.iter().map(|flow| flow.responder.port).collect(),
            windows: Windows::of(spans),
            zone_known: first.first_seen.is_some_and(|time| time.clock.zone_known),
        })
    }

    fn has_dynamic_port(&self) -> bool {
        // The ranges of Windows since 2008 and before (KB 929851).
        self.ports.iter().any(|port| matches!(port, 1025..=5000 | 49_152..))
    }

    /// Whether a sign can be about such attempts.
    fn fits(&self, sign: &Sign) -> bool {
        let kind = match sign.tells {
            Tells::Silence => !matches!(
                self.kind,
                FindingKind::Refused
                    | FindingKind::RefusedByHost
                    | FindingKind::EndpointNotRegistered
            ),
            Tells::Refusal => matches!(
                self.kind,
                FindingKind::Refused
                    | FindingKind::RefusedByHost
                    | FindingKind::Mixed
                    | FindingKind::OtherFailures
            ),
            Tells::Cut => matches!(
                self.kind,
                FindingKind::ServiceFailed
                    | FindingKind::Mixed
                    | FindingKind::Unconfirmed
                    | FindingKind::OtherFailures
            ),
            Tells::NotRegistered => {
                matches!(
                    self.kind,
                    FindingKind::EndpointNotRegistered | FindingKind::RpcPortDropped
                )
            }
            Tells::Unreached | Tells::NoName => self.kind != FindingKind::EndpointNotRegistered,
        };
        let port = sign.ports.is_empty()
            || sign.ports.iter().any(|port| self.ports.contains(port))
            || (sign.dynamic && self.has_dynamic_port());
        kind && port
    }
}

impl<'a> Line<'a> {
    fn of(index: usize, log: &'a LogRecord, entry: &'a LogEntry, names: &Names) -> Line<'a> {
        let place = LinePlace { log: index, line: entry.line };
        if entry.drop.is_some() {
            // Its ends are told exactly, so nothing is to be looked for in its words.
            let (hosts, ports) = (BTreeSet::new(), BTreeSet::new());
            return Line { place, log, entry, signs: Vec::new(), hosts, ports };
        }
        let said = Named::of(&entry.text);
        let hosts = names.of_text(&said);
        Line { place, log, entry, signs: signs(&entry.text), hosts, ports: said.ports }
    }

    /// Places of the subjects that it belongs to.
    fn subjects(&self, subjects: &[Option<Subject>], packets: &SentPackets) -> Vec<usize> {
        let all = || (0..).zip(subjects).filter_map(|(place, it)| Some((place, it.as_ref()?)));
        if self.entry.drop.is_some() {
            let flows: BTreeSet<u64> =
                packets_of(self.log, self.entry, packets).map(|sent| sent.flow).collect();
            let about = all().filter(|(_, subject)| !subject.flows.is_disjoint(&flows));
            return about.map(|(place, _)| place).collect();
        }
        let fitting: Vec<(usize, bool)> =
            all().filter_map(|(place, subject)| Some((place, self.belongs_to(subject)?))).collect();
        let named: Vec<usize> =
            fitting.iter().filter(|(_, is_named)| *is_named).map(|(place, _)| *place).collect();
        match (named.is_empty(), fitting.as_slice()) {
            (false, _) => named,
            // It names nothing: only if it can be about nothing else.
            (true, [(place, _)]) => vec![*place],
            (true, _) => Vec::new(),
        }
    }

    /// Whether it can be about a subject, and if so whether it names it: by host, or by an error
    /// that only such a port gives.
    fn belongs_to(&self, subject: &Subject) -> Option<bool> {
        let names_called = !self.hosts.is_disjoint(&subject.called);
        let names_others = self
            .hosts
            .iter()
            .any(|host| !subject.called.contains(host) && !subject.callers.contains(host));
        if names_others && !names_called {
            return None;
        }
        if !self.ports.is_empty() && self.ports.is_disjoint(&subject.ports) {
            return None;
        }
        let fits = self.signs.iter().any(|sign| subject.fits(sign));
        let names_port = !self.ports.is_empty()
            || self.signs.iter().any(|sign| !sign.ports.is_empty() && subject.fits(sign));
        match self.is_of_time(subject) {
            Some(true) if fits => Some(names_called || names_port),
            // An error without a sign must name the host to be about it.
            Some(true) if self.signs.is_empty() && names_called => {
                (self.entry.severity != Severity::Info).then_some(true)
            }
            // Nobody knows when it was: host and error must fit.
            None if fits && names_called => Some(true),
            Some(_) | None => None,
        }
    }

    /// Whether it was written while the attempts failed; `None` where clocks cannot be compared.
    fn is_of_time(&self, subject: &Subject) -> Option<bool> {
        let time = self.entry.time?;
        let offset = match &self.log.clock_offset {
            Some(offset) => offset.milliseconds.saturating_mul(1_000_000),
            None if time.clock.zone_known && subject.zone_known => 0,
            None => return None,
        };
        Some(subject.windows.hold(time.at.as_nanoseconds().saturating_add(offset)))
    }

    /// "line 812 of ConfigMgrSetup.log (error 1722, the RPC server is unavailable)".
    fn told(&self) -> String {
        let place = format!("line {} of {}", self.entry.line, bounded(self.log.file_name(), 80));
        match self.signs.first() {
            Some(sign) => format!("{place} ({}: {})", sign.code, sign.meaning),
            None if self.entry.drop.is_some() => format!("{place} (DROP)"),
            None => place,
        }
    }
}

/// Puts the lines into a finding.
fn tell(finding: &mut Finding, mut lines: Vec<Line<'_>>) {
    if lines.is_empty() {
        return;
    }
    lines.sort_by_key(|line| line.place);
    finding.log_lines = lines.iter().take(LISTED).map(|line| line.place).collect();
    // What is told is best told by an error that has a number.
    lines.sort_by_key(|line| (line.entry.drop.is_some(), line.signs.is_empty(), line.place));
    let told: Vec<String> = lines.iter().take(TOLD).map(Line::told).collect();
    let mut text = format!("The logs tell of it too: {}", list_of(&told, TOLD));
    if let Some(more) = lines.len().checked_sub(TOLD).filter(|more| *more > 0) {
        text = format!("{text}; {}", count_of(more, "more line"));
    }
    finding.explanation = then(&finding.explanation, &text);
}

#[cfg(test)]
pub(crate) mod samples {
    //! Logs and flows for the tests of this module.

    use super::*;
    use crate::log::DropEntry;
    use crate::net::{Clock, Endpoint, FrameNumber, Time, Timestamp, Transport};
    use crate::verdict::record::{EvidenceKind, EvidenceRecord, JudgedFlow};

    pub(crate) fn time(at: Timestamp, zone_known: bool) -> Time {
        Time { at, clock: Clock { digits: 0, zone_known } }
    }

    /// A time of 27 May 2014, as "10:15:02".
    fn at(text: &str) -> Timestamp {
        format!("2014-05-27T{text}").parse::<Time>().unwrap().at
    }

    fn endpoint(text: &str) -> Endpoint {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Endpoint { address: address.ip().into(), port: address.port() }
    }

    pub(crate) fn drop_line(
        line: u64,
        when: &str,
        source: &str,
        destination: &str,
        sent: bool,
    ) -> LogEntry {
        let (source, destination) = (endpoint(source), endpoint(destination));
        let drop = DropEntry { transport: Transport::Tcp, source, destination, sent: Some(sent) };
        LogEntry {
            drop: Some(drop),
            severity: Severity::Warning,
            ..error_line(line, when, "DROP TCP")
        }
    }

    pub(crate) fn error_line(line: u64, when: &str, text: &str) -> LogEntry {
        LogEntry {
            line,
            time: Some(time(at(when), false)),
            severity: Severity::Error,
            component: None,
            text: text.to_owned(),
            drop: None,
        }
    }

    pub(crate) fn log(entries: Vec<LogEntry>) -> LogRecord {
        let first_seen = entries.first().and_then(|entry| entry.time);
        LogRecord { first_seen, entries, ..LogRecord::of("logs/trial.log") }
    }

    /// The flow with its calls at these milliseconds after 10:15:00.
    pub(crate) fn syns(mut flow: JudgedFlow, milliseconds: &[i64]) -> JudgedFlow {
        let when = |offset: i64| {
            let start = i128::from(at("10:15:00").as_nanoseconds());
            let clock = Clock { digits: 3, zone_known: true };
            let at = Timestamp::from_nanoseconds(start + i128::from(offset) * 1_000_000).unwrap();
            Time { at, clock }
        };
        let from_initiator =
            flow.evidence.iter().position(|packet| packet.kind == EvidenceKind::Syn);
        let syn = flow.evidence[from_initiator.unwrap()].clone();
        let answers: Vec<_> =
            flow.evidence.drain(..).filter(|packet| packet.kind != EvidenceKind::Syn).collect();
        flow.evidence = (flow.first_frame.0..)
            .zip(milliseconds)
            .map(|(frame, offset)| EvidenceRecord {
                frame: FrameNumber(frame),
                time: Some(when(*offset)),
                ..syn.clone()
            })
            .collect();
        flow.evidence.extend(
            answers.into_iter().map(|packet| EvidenceRecord { time: Some(when(5_300)), ..packet }),
        );
        flow.first_seen = milliseconds.first().map(|offset| when(*offset));
        flow.last_seen = milliseconds.last().map(|offset| when(*offset));
        flow
    }
}
