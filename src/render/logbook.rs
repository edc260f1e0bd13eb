//! Words about logs that table and Markdown share. Nothing here is made safe.

use crate::diagnosis::{Finding, LinePlace};
use crate::log::{ClockOffset, LogEntry, LogKind, LogRecord};
use crate::render::phrase;
use crate::report::Report;

/// What a log is: "log of setup".
pub(super) fn kind(log: &LogRecord) -> &'static str {
    match log.kind {
        Some(LogKind::Setup) => "log of setup",
        Some(LogKind::Component) => "log of Configuration Manager",
        Some(LogKind::Firewall) => "log of Windows Firewall",
        None => "not a log that can be read",
    }
}

/// How its clock stands to that of the captures: "2 h 4 s ahead of the captures: …".
pub(super) fn clock(offset: &ClockOffset) -> String {
    let ahead = offset.milliseconds < 0;
    let milliseconds = offset.milliseconds.unsigned_abs();
    let direction = if ahead { "ahead of" } else { "behind" };
    let stands = match milliseconds {
        0 => "as the captures tell time".to_owned(),
        _ => format!("{} {direction} the captures", apart(milliseconds)),
    };
    format!("{stands}: {}", offset.evidence)
}

/// "2 h 4 s": a zone and a clock that is a little fast, so every unit counts.
fn apart(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let units = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let units: Vec<String> = units
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{} {unit}", phrase::number(*count)))
        .collect();
    if units.is_empty() { format!("{milliseconds} ms") } else { units.join(" ") }
}

/// The time of the first and of the last line: "2014-05-27T10:15:02 to 2014-05-27T10:20:11, local".
pub(super) fn span(log: &LogRecord) -> Option<String> {
    let (first, last) = (log.first_seen?, log.last_seen?);
    let zone = if first.clock.zone_known { "" } else { ", local time" };
    Some(format!("{first} to {last}{zone}"))
}

/// A line that a finding names, and its log.
pub(super) fn line<'a>(
    report: &'a Report,
    place: &LinePlace,
) -> Option<(&'a LogRecord, &'a LogEntry)> {
    let log = report.logs.get(place.log)?;
    Some((log, log.entry(place.line)?))
}

/// The lines that a finding names, with how many there are beyond `most`.
pub(super) fn lines<'a>(
    report: &'a Report,
    finding: &Finding,
    most: usize,
) -> (Vec<(&'a LogRecord, &'a LogEntry)>, usize) {
    let shown = finding.log_lines.iter().take(most);
    let more = finding.log_lines.len().saturating_sub(most);
    (shown.filter_map(|place| line(report, place)).collect(), more)
}
