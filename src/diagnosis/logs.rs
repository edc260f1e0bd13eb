//! Logs beside the flows: which lines tell of the same failures, and which prove more than the
//! captures show.
//!
//! A line belongs to a finding when it was written while its attempts failed and what it says fits:
//! the host, the port, the kind of error. A line that names another host belongs to another
//! finding, and one that could be about several belongs to none.

mod clock;
mod hosts;
mod proof;
#[cfg(test)]
mod samples;

pub use clock::set_clocks;
pub(super) use proof::proven;

use std::collections::BTreeSet;

use crate::capture::Severity;
use crate::diagnosis::logs::clock::{SentPackets, Windows, sent_packets};
use crate::diagnosis::logs::hosts::{Names, Others};
use crate::diagnosis::logs::proof::packets_of;
use crate::diagnosis::{Evidence, Finding, FindingKind, LinePlace};
use crate::log::{LogEntry, LogRecord, Named, Sign, Tells, signs};
use crate::matrix::{bounded, count_of, list_of, then};
use crate::net::Address;

/// Lines that a finding lists, and that its explanation names.
const LISTED: usize = 12;
const TOLD: usize = 2;
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
    /// What it names beside them.
    others: Others,
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
            return Line {
                place,
                log,
                entry,
                signs: Vec::new(),
                hosts,
                others: Others::None,
                ports,
            };
        }
        let said = Named::of(&entry.text);
        let hosts = names.of_text(&said);
        let (others, signs) = (names.others(&said), signs(&entry.text));
        Line { place, log, entry, signs, hosts, others, ports: said.ports }
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
        if (names_others || self.others == Others::Address) && !names_called {
            return None;
        }
        if !self.ports.is_empty() && self.ports.is_disjoint(&subject.ports) {
            return None;
        }
        let fits = self.signs.iter().any(|sign| subject.fits(sign));
        let names_port = !self.ports.is_empty()
            || self.signs.iter().any(|sign| !sign.ports.is_empty() && subject.fits(sign));
        match self.is_of_time(subject) {
            Some(true) if fits => Some(names_called || (names_port && self.others == Others::None)),
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
    // A drop that proves is told as the reason already.
    if finding.kind == FindingKind::DroppedHere.as_str() {
        lines.retain(|line| line.entry.drop.is_none());
    }
    if lines.is_empty() {
        return;
    }
    let told: Vec<String> = lines.iter().take(TOLD).map(Line::told).collect();
    let more = lines.len().saturating_sub(TOLD);
    let more =
        if more > 0 { format!(", and {}", count_of(more, "more line")) } else { String::new() };
    let text = format!("The logs tell of it too: {}{more}", list_of(&told, TOLD));
    finding.explanation = then(&finding.explanation, &text);
}

#[cfg(test)]
mod tests {
    use super::samples::{drop_line, error_line, log, syns};
    use super::*;
    use crate::diagnosis::{Beside, Diagnosis, diagnose};
    use crate::matrix::sample::{address, flow};
    use crate::matrix::{Assessment, DEFAULT_PROFILE, GivenRole, Matrix, Told, assess};
    use crate::verdict::record::{JudgedFlow, Verdict};

    const CAS: &str = "10.0.0.5";
    const DC: &str = "10.1.0.10";
    const OTHER: &str = "10.1.0.11";

    fn call(id: u64, to: &str, port: u16, verdict: Verdict) -> JudgedFlow {
        syns(flow(id, CAS, to, "tcp", port, verdict), &[2_300, 5_300, 11_300])
    }

    /// Times of the entries are UTC unless `zone_known` is false.
    fn diagnosed(mut entries: Vec<LogEntry>, zone_known: bool, flows: &[JudgedFlow]) -> Diagnosis {
        for entry in &mut entries {
            entry.time = entry.time.map(|time| samples::time(time.at, zone_known));
        }
        let mut logs = vec![log(entries)];
        set_clocks(&mut logs, flows);
        let role = |role: &str, hosts: &[&str]| GivenRole {
            role: role.to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        let given = [role("cas", &[CAS]), role("child-dc", &[DC, OTHER])];
        let names =
            [(address(DC), "DC10.corp.example".to_owned()), (address(OTHER), "DC11".to_owned())];
        let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
        let told = Told { names: &names, ..Told::default() };
        let Assessment { hosts, sheet, unmatched, .. } = assess(&matrix, &given, told, flows);
        let beside = Beside { logs: &logs, ..Beside::default() };
        diagnose(&matrix, &sheet, &hosts, flows, &unmatched, beside)
    }

    /// Kind, and lines of the log, of each finding that has some.
    fn lines(diagnosis: &Diagnosis) -> Vec<(&str, Vec<u64>)> {
        let with_lines = diagnosis.findings.iter().filter(|finding| !finding.log_lines.is_empty());
        with_lines
            .map(|finding| {
                (finding.kind.as_str(), finding.log_lines.iter().map(|it| it.line).collect())
            })
            .collect()
    }

    #[test]
    fn a_drop_in_the_log_of_a_host_changes_the_finding_and_asks_for_nothing() {
        let flows = [call(1, DC, 389, Verdict::NoReply)];
        let before = diagnosed(Vec::new(), true, &flows);
        assert_eq!((before.findings[0].kind.as_str(), before.requests.len()), ("dropped", 1));
        for (sent, title) in [
            (
                false,
                "DC10.corp.example (10.1.0.10, child-dc) itself drops what 10.0.0.5 (cas) sends to it on LDAP (tcp/389)",
            ),
            (
                true,
                "10.0.0.5 (cas) itself drops what it sends to DC10.corp.example (10.1.0.10, child-dc) on LDAP (tcp/389)",
            ),
        ] {
            let line = drop_line(7, "12:15:05", "10.0.0.5:52702", "10.1.0.10:389", sent);
            let after = diagnosed(vec![line], false, &flows);
            let finding = &after.findings[0];
            assert_eq!((finding.kind.as_str(), finding.title.as_str()), ("dropped_here", title));
            assert!(
                finding.explanation.contains("why: line 7 of trial.log says DROP"),
                "{finding:?}"
            );
            assert_eq!(lines(&after), [("dropped_here", vec![7])]);
            assert_eq!(after.requests, []);
        }
        // Another port, and another time.
        for line in [
            drop_line(7, "12:15:05", "10.0.0.5:52702", "10.1.0.10:445", false),
            drop_line(7, "12:25:05", "10.0.0.5:52702", "10.1.0.10:389", false),
        ] {
            let after = diagnosed(vec![line], false, &flows);
            assert_eq!((after.findings[0].kind.as_str(), after.requests.len()), ("dropped", 1));
            assert_eq!(lines(&after), []);
        }
    }

    #[test]
    fn errors_stand_at_the_finding_whose_host_port_and_time_fit() {
        // Both hosts are up, so each failure is a finding of its own.
        let flows = [
            call(1, DC, 135, Verdict::NoReply),
            call(2, OTHER, 389, Verdict::NoReply),
            call(3, DC, 53, Verdict::Established),
            call(4, OTHER, 53, Verdict::Established),
        ];
        for (at, text, expected) in [
            // By name, by the first part of the name, by address.
            ("10:15:20", "Failed to connect to DC10.corp.example: error 1722", Some("135")),
            ("10:15:20", "Failed to connect to \\\\dc10\\root, error 0x800706ba", Some("135")),
            ("10:15:20", "timed out (10060) to 10.1.0.11:389", Some("389")),
            // By the kind of error alone.
            ("10:15:20", "error 1722", Some("135")),
            ("10:15:20", "The server is not operational.", Some("389")),
            // Of these nobody can tell which.
            ("10:15:20", "error 10060", None),
            // Another host, time, port or kind.
            ("10:15:20", "Failed to connect to 10.9.9.9: error 1722", None),
            ("10:19:20", "Failed to connect to DC10.corp.example: error 1722", None),
            ("10:15:20", "Failed to connect to DC10.corp.example port 1433: error 10060", None),
            ("10:15:20", "DC10.corp.example: the target machine actively refused it", None),
            ("10:15:20", "Failed to write a file", None),
            // An error without a number must name the host.
            ("10:15:20", "Failed to read from DC11", Some("389")),
        ] {
            let diagnosis = diagnosed(vec![error_line(4, at, text)], true, &flows);
            let found: Vec<&Finding> =
                diagnosis.findings.iter().filter(|finding| !finding.log_lines.is_empty()).collect();
            match (expected, found.as_slice()) {
                (None, []) => {}
                (Some(port), [finding]) => {
                    assert!(
                        finding.title.contains(&format!("tcp/{port}")),
                        "{text}: {}",
                        finding.title
                    );
                    assert!(
                        finding
                            .explanation
                            .contains("The logs tell of it too: line 4 of trial.log")
                    );
                }
                (_, found) => panic!("{text}: {found:#?}"),
            }
        }
    }

    #[test]
    fn where_clocks_cannot_be_compared_host_and_error_must_fit() {
        let flows = [call(1, DC, 135, Verdict::NoReply)];
        let of = |text: &str| {
            lines(&diagnosed(vec![error_line(4, "13:25:20", text)], false, &flows)).len()
        };
        assert_eq!(of("Failed to connect to DC10.corp.example: error 1722"), 1);
        assert_eq!(of("error 1722"), 0);
        assert_eq!(of("Failed to read from DC10.corp.example"), 0);
    }

    #[test]
    fn many_lines_are_bounded_and_counted() {
        let flows = [call(1, DC, 135, Verdict::NoReply)];
        let entries = (1..=50).map(|line| error_line(line, "10:15:20", "error 1722"));
        let diagnosis = diagnosed(entries.collect(), true, &flows);
        let finding = &diagnosis.findings[0];
        assert_eq!(finding.log_lines.len(), LISTED);
        assert!(finding.explanation.ends_with("and 48 more lines"), "{}", finding.explanation);
    }
}
