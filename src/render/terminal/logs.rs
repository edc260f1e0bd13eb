//! Logs beside the captures: what they are, how their clocks stand, and their lines at findings.

use std::io;

use crate::diagnosis::Finding;
use crate::log::{LogEntry, LogRecord};
use crate::render::terminal::background::ink_of;
use crate::render::terminal::ink::Ink;
use crate::render::terminal::page::Page;
use crate::render::{logbook, phrase};
use crate::report::Report;

/// Lines listed at a finding, and problems at a log, unless all are asked for.
const MOST_LINES: usize = 3;
const MOST_PROBLEMS: usize = 8;
/// Lines listed of a log where all are asked for.
const MOST_ENTRIES: usize = 200;

/// Lines that tell of a finding.
pub(super) fn of_finding(
    report: &Report,
    finding: &Finding,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let most = if page.verbose() { usize::MAX } else { MOST_LINES };
    let (lines, more) = logbook::lines(report, finding, most);
    for (log, entry) in lines {
        let name = page.short(log.file_name(), 60);
        let line = format!("{name} line {}{}", entry.line, said(entry, page));
        page.paragraph(3, 9, Some(Ink::Faint), &line)?;
    }
    if more > 0 {
        page.more(3, phrase::count(more), "lines of logs (use --verbose for all)")?;
    }
    Ok(())
}

/// " at 2014-05-27T10:15:02Z: text".
fn said(entry: &LogEntry, page: &Page<'_>) -> String {
    // A line of the firewall begins with its time.
    let time = entry.time.filter(|_| entry.drop.is_none());
    let time = time.map(|time| format!(" at {time}")).unwrap_or_default();
    format!("{time}: {}", page.short(&entry.text, 200))
}

/// All logs.
pub(super) fn write(report: &Report, page: &mut Page<'_>) -> io::Result<()> {
    if report.logs.is_empty() {
        return Ok(());
    }
    page.heading("LOGS", "")?;
    for log in &report.logs {
        let mut facts = vec![logbook::kind(log).to_owned()];
        if log.kind.is_some() {
            facts.push(phrase::counted(log.lines, "line"));
            let kept = phrase::count(log.entries.len()).saturating_add(log.entries_left_out);
            facts.push(format!("{} with errors, warnings or drops", phrase::number(kept)));
        }
        let line = format!("{}: {}", page.short(&log.path, 200), facts.join(", "));
        page.paragraph(2, 4, None, &line)?;
        details(log, page)?;
    }
    Ok(())
}

fn details(log: &LogRecord, page: &mut Page<'_>) -> io::Result<()> {
    if let Some(span) = logbook::span(log) {
        page.paragraph(4, 6, None, &format!("from {span}"))?;
    }
    if let Some(offset) = &log.clock_offset {
        let clock = page.short(&logbook::clock(offset), 240);
        page.paragraph(4, 6, None, &format!("clock: {clock}"))?;
    }
    if let (true, Some(digest)) = (page.verbose(), &log.sha256) {
        page.paragraph(4, 6, None, &format!("SHA-256 {}", page.short(digest, 80)))?;
    }
    let most = if page.verbose() { usize::MAX } else { MOST_PROBLEMS };
    for problem in log.problems.iter().take(most) {
        let place = problem.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let label = format!("{}:", problem.severity);
        let text = format!("{place}{}", page.short(&problem.message, 600));
        page.labelled(4, Some(ink_of(problem.severity)), &label, &text)?;
    }
    if page.verbose() {
        for entry in log.entries.iter().take(MOST_ENTRIES) {
            let label = format!("{}:", entry.severity);
            let text = format!("line {}{}", entry.line, said(entry, page));
            page.labelled(4, Some(ink_of(entry.severity)), &label, &text)?;
        }
        let listed = phrase::count(log.entries.len().min(MOST_ENTRIES));
        let all = phrase::count(log.entries.len()).saturating_add(log.entries_left_out);
        if all > listed {
            page.more(4, all - listed, "lines (use --format json)")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::capture::Severity;
    use crate::diagnosis::LinePlace;
    use crate::log::{ClockOffset, LogEntry, LogKind, LogProblem, LogRecord};
    use crate::render::{Format, Style, View, render, samples};
    use crate::report::Report;

    /// The seed with a log at its first finding, whose lines would like to do harm.
    fn report() -> Report {
        let mut report = samples::seed();
        let entry = |line: u64, text: &str| LogEntry {
            line,
            time: Some("2014-05-27T12:15:02".parse().unwrap()),
            severity: Severity::Error,
            component: None,
            text: text.to_owned(),
            drop: None,
        };
        report.logs.push(LogRecord {
            kind: Some(LogKind::Setup),
            lines: 812,
            first_seen: Some("2014-05-27T12:15:02".parse().unwrap()),
            last_seen: Some("2014-05-27T12:20:02".parse().unwrap()),
            clock_offset: Some(ClockOffset {
                milliseconds: -7_200_000,
                evidence: "line 7 is the packet of frame 3".to_owned(),
            }),
            entries: vec![
                entry(7, "error 1722 \u{1b}[2J\u{202e} <script>alert(1)</script> | x"),
                entry(9, "second\nline"),
            ],
            problems: vec![LogProblem {
                severity: Severity::Warning,
                message: "this line is of no form that is known".to_owned(),
                line: Some(11),
            }],
            ..LogRecord::of("C:\\logs\\ConfigMgrSetup.log")
        });
        if let Some(finding) = report.findings.first_mut() {
            finding.log_lines = vec![LinePlace { log: 0, line: 7 }, LinePlace { log: 0, line: 9 }];
        }
        report
    }

    fn written(format: Format, verbose: bool) -> String {
        let style = Style { width: 200, color: false, unicode: true, verbose, links: None };
        let mut bytes = Vec::new();
        render(&report(), View::Analysis, format, style, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_finding_shows_the_lines_of_logs_that_tell_of_it() {
        let table = written(Format::Table, false);
        let line = "ConfigMgrSetup.log line 7 at 2014-05-27T12:15:02: error 1722 \\x1b[2J\\u{202e}";
        assert!(table.contains(line), "{table}");
        assert!(table.contains("second\\nline"), "{table}");
        let block = "C:\\logs\\ConfigMgrSetup.log: log of setup, 812 lines, 2 with errors";
        assert!(table.contains(block), "{table}");
        let clock = "clock: 2 h ahead of the captures: line 7 is the packet of frame 3";
        assert!(table.contains(clock), "{table}");
        assert!(table.contains("warning: line 11: this line is of no form"), "{table}");
    }

    #[test]
    fn lines_of_logs_do_no_harm_in_any_format() {
        for format in [Format::Table, Format::Markdown, Format::Csv] {
            let text = written(format, true);
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{format:?}");
            assert!(format == Format::Table || !text.contains("<script>"), "{format:?}");
        }
        let markdown = written(Format::Markdown, false);
        assert!(markdown.contains("ConfigMgrSetup.log") && markdown.contains("&lt;script&gt;"));
        assert!(markdown.contains("2 h ahead of the captures"), "{markdown}");
    }
}
