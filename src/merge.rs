//! Adds up reports that were made apart, by other processes or machines.
//!
//! The sum is, byte for byte, the report of one run over all the inputs in their order with the
//! same options. Captures, logs and flows are put together as one run does; everything else in a
//! report follows from those three and the options, and is found again by [`Report::build`]. What
//! cannot be added up so is refused with the reason, never added up nearly.
//!
//! Inputs that overlap, as a folder in one report and a file of it in another, are copies of each
//! other here, counted once and told; one run would have seen that they are one file.

use std::collections::BTreeMap;

use serde_json::Value;
use thiserror::Error;

use crate::analyze::{InPlace, become_copy, left_out};
use crate::capture::Severity;
use crate::flow::service_name;
use crate::log::{HostPairs, LogRecord};
use crate::matrix::Matrix;
use crate::net::Label;
use crate::report::{CaptureRecord, Filters, Options, Report, Waits};
use crate::verdict::record::JudgedFlow;

/// Why a report cannot be added up with others.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// Another version may have judged otherwise.
    #[error(
        "made by portmortem {made_by}, and this is {this}: merge with the version that made the \
         reports, and make all of them with the same one"
    )]
    Version {
        /// Its version.
        made_by: String,
        /// Ours.
        this: &'static str,
    },
    /// It was made with other options than the first.
    #[error(
        "made with {option} {value}, and {first} with {value_of_first}: reports are added up only where \
         all options are alike"
    )]
    Unlike {
        /// The option, as it is written.
        option: &'static str,
        /// Its value.
        value: String,
        /// Path of the first report.
        first: String,
        /// The value there.
        value_of_first: String,
    },
    /// Its flows are not, or not all, in it.
    #[error(
        "{held} of its {counted} flows are in it, and all are needed: make it again, without \
         --no-flows and --fold"
    )]
    WithoutFlows {
        /// Flows in it.
        held: usize,
        /// Flows that it counts.
        counted: u64,
    },
    /// It holds only the flows that a filter left.
    #[error(
        "holds only flows of which this is true: {filter}; what the others tell of hosts is lost, so \
         make it again without --filter"
    )]
    Filtered {
        /// The filter.
        filter: String,
    },
    /// Captures of a joined report follow each other in time.
    #[error(
        "its captures were read as one (--join), and so cannot be added to others: a flow may run on \
         from one into the next; give all captures to one run with --join"
    )]
    Joined,
    /// A capture has no digest, though it was read to its end.
    #[error(
        "{path} has no digest in it, as in a report that was made anonymous: nobody could tell copies, \
         or who is who; merge first, and make the sum anonymous (merge --anonymize)"
    )]
    Anonymous {
        /// The capture.
        path: String,
    },
    /// The user's own matrix is not what it was.
    #[error(
        "{matrix} is not the matrix that it was made with: give the file of then, or make the report \
         again"
    )]
    OtherMatrix {
        /// Path of the matrix.
        matrix: String,
    },
    /// A log told of more drops than a report keeps.
    #[error(
        "{log} tells of more drops than a report keeps, and which of them matter is to be seen beside \
         all flows: analyse all captures in one run with this log, or leave --log out"
    )]
    LongLog {
        /// Path of the log.
        log: String,
    },
}

/// Reports that are being added up.
pub struct Sum {
    matrix: Matrix,
    /// Options of the first report, and its path.
    first: Option<(String, Options)>,
    reports: usize,
    captures: Vec<CaptureRecord>,
    /// What was left out of folders and archives, by their path.
    places: BTreeMap<String, InPlace>,
    /// The first capture with each digest.
    first_with: BTreeMap<String, usize>,
    logs: Vec<LogRecord>,
    flows: Vec<JudgedFlow>,
}

impl Sum {
    /// The sum of no reports. `matrix` is that of their options, with the ports given there.
    pub fn new(matrix: Matrix) -> Sum {
        Sum {
            matrix,
            first: None,
            reports: 0,
            captures: Vec::new(),
            places: BTreeMap::new(),
            first_with: BTreeMap::new(),
            logs: Vec::new(),
            flows: Vec::new(),
        }
    }

    /// Adds the report at `path`. Reports come in the order of their inputs.
    ///
    /// # Errors
    ///
    /// Why it cannot be added up.
    pub fn add(&mut self, path: &str, report: Report) -> Result<(), Refusal> {
        self.check(&report)?;
        if report.options.matrix.is_some() && !is_made_with(&self.matrix, &report) {
            let matrix = report.options.matrix.unwrap_or_default();
            return Err(Refusal::OtherMatrix { matrix });
        }
        let Report { captures, logs, flows, options, .. } = report;
        let places = self.add_captures(captures, options.join);
        for flow in flows.into_whole() {
            if let Some(capture) = places.get(flow.capture).copied().flatten() {
                self.flows.push(as_judged(flow, capture));
            }
        }
        self.add_logs(logs);
        self.reports += 1;
        self.first.get_or_insert((path.to_owned(), options));
        Ok(())
    }

    fn check(&self, report: &Report) -> Result<(), Refusal> {
        const THIS: &str = env!("CARGO_PKG_VERSION");
        if report.generator.version != THIS {
            let made_by = report.generator.version.clone();
            return Err(Refusal::Version { made_by, this: THIS });
        }
        if let Some((first, options)) = &self.first {
            for ((option, value), (_, of_first)) in
                told(&report.options).into_iter().zip(told(options))
            {
                if value != of_first {
                    let (value, value_of_first) = (short(&value), short(&of_first));
                    let first = first.clone();
                    return Err(Refusal::Unlike { option, value, first, value_of_first });
                }
            }
        }
        if let Some(filter) = &report.options.filters.filter {
            return Err(Refusal::Filtered { filter: filter.to_string() });
        }
        // One alone is what it is.
        if report.options.join && self.first.is_some() {
            return Err(Refusal::Joined);
        }
        let (held, counted) = (report.flows.len(), report.totals.flows);
        if u64::try_from(held) != Ok(counted) {
            return Err(Refusal::WithoutFlows { held, counted });
        }
        let undigested = |capture: &&CaptureRecord| {
            let is_whole = capture.problems.iter().all(|it| it.severity == Severity::Info);
            let was_read = capture.format.is_some() && is_whole && !report.options.join;
            was_read && capture.same_as.is_none() && capture.sha256.is_none()
        };
        if let Some(capture) = report.captures.iter().find(undigested) {
            return Err(Refusal::Anonymous { path: capture.path.clone() });
        }
        Ok(())
    }

    /// Adds captures behind those that are there. Gives the new place of each whose flows count.
    fn add_captures(&mut self, records: Vec<CaptureRecord>, joined: bool) -> Vec<Option<usize>> {
        let base = self.captures.len();
        let mut places = Vec::with_capacity(records.len());
        for mut record in records {
            if !record.left_out.is_empty() {
                places.push(None);
                self.add_left_out(record);
                continue;
            }
            let place = self.captures.len();
            let known = record.sha256.as_ref().and_then(|it| self.first_with.get(it)).copied();
            // A copy of what turns out to be a copy itself is one of the same first.
            let in_report = record.same_as.map(|first| base.saturating_add(first));
            let first = known.or(in_report).filter(|first| !joined && *first < place);
            if let Some(first) = first {
                let path = self.captures.get(first).map(|first| first.path.clone());
                become_copy(&mut record, first, &path.unwrap_or_default());
            } else if let Some(digest) = &record.sha256 {
                self.first_with.insert(digest.clone(), place);
            }
            places.push(first.is_none().then_some(place));
            self.captures.push(record);
        }
        places
    }

    fn add_left_out(&mut self, record: CaptureRecord) {
        // It is told as trouble only where there was no capture beside it.
        let lone = record.problems.iter().find(|problem| problem.severity == Severity::Error);
        let place = self.places.entry(record.path).or_default();
        match lone {
            Some(problem) => {
                let is_archive = problem.message.starts_with(&InPlace::without_capture("archive"));
                place.what = if is_archive { "archive" } else { "folder" };
            }
            None => place.captures += 1,
        }
        place.left_out.extend(record.left_out);
    }

    /// Adds logs; one that several reports were made with counts once.
    fn add_logs(&mut self, logs: Vec<LogRecord>) {
        let mut met = vec![false; self.logs.len()];
        for log in logs {
            let is_it = |(known, met): (&LogRecord, &bool)| {
                let same = known.path == log.path && known.sha256 == log.sha256;
                !met && same && (known.sha256.is_some() || known.problems == log.problems)
            };
            if let Some(place) = self.logs.iter().zip(&met).position(is_it) {
                if let Some(met) = met.get_mut(place) {
                    *met = true;
                }
                if let Some(known) = self.logs.get_mut(place)
                    && log.entries_left_out < known.entries_left_out
                {
                    *known = log;
                }
            } else {
                self.logs.push(log);
                met.push(true);
            }
        }
    }

    /// The report of all of them; `None` where none was added.
    ///
    /// # Errors
    ///
    /// Why it cannot be made.
    pub fn into_report(mut self) -> Result<Option<Report>, Refusal> {
        let Some((_, options)) = self.first else { return Ok(None) };
        if self.reports > 1 && !self.logs.is_empty() {
            let pairs = HostPairs::of(&self.flows);
            for log in &mut self.logs {
                if !log.choose_again(&pairs) {
                    return Err(Refusal::LongLog { log: log.path.clone() });
                }
            }
        }
        self.captures.extend(left_out(self.places));
        let Sum { captures, logs, flows, matrix, .. } = self;
        Ok(Some(Report::build(options, &matrix, captures, logs, flows)))
    }
}

/// Takes back what [`Report::build`] tells of a flow beside others, and puts it into its capture.
fn as_judged(flow: JudgedFlow, capture: usize) -> JudgedFlow {
    let was_announced = flow.rpc.as_ref().is_some_and(|rpc| rpc.announced_frame.is_some());
    let was_renamed = flow.requirement.is_some() || was_announced;
    let mut flow = JudgedFlow { id: 0, capture, requirement: None, ..flow };
    if was_renamed {
        // The protocol that was heard names it where the port does not. Of others than RPC it is lost
        // with the new name, which stays wherever the flow exercises the requirement here too.
        let heard = || flow.rpc.as_ref().is_some_and(|rpc| rpc.bound).then_some("RPC");
        let name = service_name(flow.responder.port).or_else(heard);
        flow.service.name = name.map(Label::of);
    }
    flow
}

/// Whether a report comes out as it is when it is built again with this matrix.
fn is_made_with(matrix: &Matrix, report: &Report) -> bool {
    let flows: Vec<JudgedFlow> = report
        .flows
        .iter()
        .map(|flow| {
            let capture = flow.capture;
            as_judged(flow.into_owned(), capture)
        })
        .collect();
    let (captures, logs) = (report.captures.clone(), report.logs.clone());
    let again = Report::build(report.options.clone(), matrix, captures, logs, flows);
    again.matrix == report.matrix && again.hosts == report.hosts
}

/// Every option as it is written, with its value.
fn told(options: &Options) -> Vec<(&'static str, Value)> {
    // Without `..`: whoever adds an option has to say here how it is called.
    let Options {
        profile,
        matrix,
        roles,
        hosts,
        ports,
        rpc_range,
        waits: Waits { syn_ms, udp_reply_ms, udp_idle_ms },
        filters: Filters { since, until, filter },
        join,
        max_inflated,
    } = options;
    // What serializes in a report does so here.
    let value = |value: serde_json::Result<Value>| value.unwrap_or_default();
    vec![
        ("--profile", value(serde_json::to_value(profile))),
        ("--matrix", value(serde_json::to_value(matrix))),
        ("--role or --roles", value(serde_json::to_value(roles))),
        ("--hosts", value(serde_json::to_value(hosts))),
        ("--port", value(serde_json::to_value(ports))),
        ("--rpc-range", value(serde_json::to_value(rpc_range))),
        ("--syn-wait (milliseconds)", value(serde_json::to_value(syn_ms))),
        ("a wait for answers (milliseconds) of", value(serde_json::to_value(udp_reply_ms))),
        ("--udp-idle (milliseconds)", value(serde_json::to_value(udp_idle_ms))),
        ("--since", value(serde_json::to_value(since))),
        ("--until", value(serde_json::to_value(until))),
        ("--filter", value(serde_json::to_value(filter))),
        ("--join", value(serde_json::to_value(join))),
        ("--max-inflated", value(serde_json::to_value(max_inflated))),
    ]
}

/// A value in a message.
fn short(value: &Value) -> String {
    const MOST_LETTERS: usize = 200;
    match value {
        Value::Null => "not given".to_owned(),
        Value::Array(values) if values.is_empty() => "not given".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            match text.char_indices().nth(MOST_LETTERS) {
                Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
                None => text,
            }
        }
    }
}
