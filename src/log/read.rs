//! Files in, [`LogRecord`]s out.

use std::collections::BTreeSet;
use std::path::Path;

use crate::capture::{Bounds, Error, Input, Severity, TextFile, expand};
use crate::log::firewall::{Columns, FirewallLine, is_of_firewall};
use crate::log::message::{Message, Messages, Told};
use crate::log::record::{DropEntry, LogEntry, LogKind, LogRecord};
use crate::log::sign::signs;
use crate::net::{Address, Time};
use crate::verdict::record::JudgedFlow;

/// Pairs of hosts that talk in the captures, in either order. What a firewall dropped between
/// others is kept only as far as there is room.
#[derive(Clone, Debug, Default)]
pub struct HostPairs(BTreeSet<(Address, Address)>);

impl HostPairs {
    /// The pairs of hosts that these flows are between.
    pub fn of(flows: &[JudgedFlow]) -> HostPairs {
        let mut pairs = HostPairs::default();
        for flow in flows {
            pairs.add(flow.initiator.address, flow.responder.address);
        }
        pairs
    }

    /// Adds a pair.
    pub fn add(&mut self, one: Address, other: Address) {
        self.0.insert((one.min(other), one.max(other)));
    }

    pub(super) fn has(&self, drop: &DropEntry) -> bool {
        let (one, other) = (drop.source.address, drop.destination.address);
        self.0.contains(&(one.min(other), one.max(other)))
    }
}

/// Problems about single lines that a record names; the others are counted.
const NAMED_LINES: usize = 5;

/// Reads all logs that `arguments` mean: files, folders and patterns, as for captures. In a folder
/// only what is a log counts.
pub fn read_all(
    arguments: &[String],
    recursive: bool,
    bounds: Bounds,
    pairs: &HostPairs,
) -> Vec<LogRecord> {
    let mut records = Vec::new();
    // A folder, and how many logs were found in it.
    let mut folders: Vec<(String, usize)> = Vec::new();
    for input in expand(arguments, recursive) {
        match &input {
            Input::Named { path, shown_as } => {
                records.push(read_opened(TextFile::open(path, bounds), shown_as, pairs));
            }
            Input::Found { path, shown_as, folder } => {
                if !folders.iter().any(|(known, _)| known == folder) {
                    folders.push((folder.clone(), 0));
                }
                let record = read_opened(TextFile::open(path, bounds), shown_as, pairs);
                if record.kind.is_some() {
                    records.push(record);
                    for (_, count) in folders.iter_mut().filter(|(known, _)| known == folder) {
                        *count += 1;
                    }
                }
            }
            Input::StandardInput => {
                let mut record = LogRecord::of("-");
                let message = "logs are not read from standard input: give a file";
                record.problem(Severity::Error, message, None);
                records.push(record);
            }
            Input::Missing { shown_as, message } => {
                let mut record = LogRecord::of(shown_as);
                record.problem(Severity::Error, message.clone(), None);
                records.push(record);
            }
        }
    }
    for (folder, _) in folders.iter().filter(|(_, count)| *count == 0) {
        let mut record = LogRecord::of(folder);
        record.problem(Severity::Error, format!("there is no log in this folder: {NO_LOG}"), None);
        records.push(record);
    }
    records
}

/// What logs are.
const NO_LOG: &str = "portmortem reads ConfigMgrSetup.log, ConfigMgrPrereq.log and the other logs of \
                      Configuration Manager, and pfirewall.log of Windows; give one as it was written";

/// Reads a log that is open already; `shown_as` is the path that reports show.
pub fn read_file(file: TextFile, shown_as: &str, pairs: &HostPairs) -> LogRecord {
    let mut reader = Reader::new(shown_as, pairs);
    let mut file = file;
    reader.record.kind = file.beginning().and_then(kind_of);
    match reader.record.kind {
        None => reader.record.problem(Severity::Error, format!("this is no log: {NO_LOG}"), None),
        Some(LogKind::Firewall) => reader.firewall(&mut file),
        Some(LogKind::Setup | LogKind::Component) => reader.messages(&mut file),
    }
    reader.finish(file)
}

/// Whether a file is a log, by its content; false too where it cannot be read.
pub fn is_log(path: &Path) -> bool {
    let file = TextFile::open(path, Bounds::default());
    file.is_ok_and(|file| file.beginning().and_then(kind_of).is_some())
}

fn read_opened(opened: Result<TextFile, Error>, shown_as: &str, pairs: &HostPairs) -> LogRecord {
    match opened {
        Ok(file) => read_file(file, shown_as, pairs),
        Err(error) => {
            let mut record = LogRecord::of(shown_as);
            let message = if matches!(error, Error::Empty) {
                "the file is empty: nothing was logged, or it was not copied".to_owned()
            } else {
                error.to_string()
            };
            record.problem(Severity::Error, message, None);
            record
        }
    }
}

/// What wrote a file that begins like this.
fn kind_of(beginning: &str) -> Option<LogKind> {
    let mut messages = Messages::default();
    for (number, line) in (1..).zip(beginning.lines()) {
        if is_of_firewall(line) {
            return Some(LogKind::Firewall);
        }
        for told in messages.line(number, line) {
            if let Told::Message(message) = told {
                return Some(kind_of_message(&message));
            }
        }
    }
    // A message that ends with the file, or with what was looked at.
    let (told, _) = messages.finish();
    told.into_iter().find_map(|told| match told {
        Told::Message(message) => Some(kind_of_message(&message)),
        Told::NotUnderstood { .. } => None,
    })
}

fn kind_of_message(message: &Message) -> LogKind {
    match &message.component {
        // ConfigMgrPrereq.log names no component.
        None => LogKind::Setup,
        Some(name) if name.starts_with("Configuration Manager") => LogKind::Setup,
        Some(_) => LogKind::Component,
    }
}

/// A log that is being read.
struct Reader<'a> {
    record: LogRecord,
    pairs: &'a HostPairs,
    telling: usize,
    others: usize,
    /// Lines that could not be read, and how often such problems were named.
    not_understood: u64,
    named: usize,
    /// Messages without a time that could be read, and the first of them.
    timeless: u64,
    first_timeless: u64,
}

impl Reader<'_> {
    fn new<'a>(path: &str, pairs: &'a HostPairs) -> Reader<'a> {
        let record = LogRecord::of(path);
        Reader {
            record,
            pairs,
            telling: 0,
            others: 0,
            not_understood: 0,
            named: 0,
            timeless: 0,
            first_timeless: 0,
        }
    }

    fn firewall(&mut self, file: &mut TextFile) {
        let mut columns = Columns::usual();
        let mut lost = 0_u64;
        while let Some(line) = file.line() {
            let number = file.line_number();
            match columns.line(&line) {
                FirewallLine::Other(time) => self.saw(time),
                FirewallLine::Lost(time, count) => {
                    self.saw(time);
                    lost = lost.saturating_add(count);
                }
                FirewallLine::NotUnderstood => self.not_understood(number, 1),
                FirewallLine::Drop(time, drop) => {
                    self.saw(time);
                    let entry = LogEntry {
                        line: number,
                        time,
                        severity: Severity::Warning,
                        component: None,
                        text: cut(&line),
                        drop: Some(drop),
                    };
                    self.keep(entry, self.pairs.has(&drop));
                }
            }
        }
        if lost > 0 {
            let message =
                format!("the firewall could not log {lost} events: more may have been dropped");
            self.record.problem(Severity::Info, message, None);
        }
    }

    fn messages(&mut self, file: &mut TextFile) {
        let mut messages = Messages::default();
        while let Some(line) = file.line() {
            for told in messages.line(file.line_number(), &line) {
                self.told(told);
            }
        }
        let (told, open) = messages.finish();
        for told in told {
            self.told(told);
        }
        if open.is_some() {
            let message = "the log ends in the middle of a message: it was copied while it was written; \
                           everything before is read";
            self.record.problem(Severity::Info, message, open);
        }
    }

    fn told(&mut self, told: Told) {
        let message = match told {
            Told::Message(message) => message,
            Told::NotUnderstood { line, lines } => return self.not_understood(line, lines),
        };
        self.saw(message.time);
        if message.time.is_none() {
            if self.timeless == 0 {
                self.first_timeless = message.line;
            }
            self.timeless += 1;
        }
        let is_telling = !signs(&message.text).is_empty();
        let severity = message.severity.unwrap_or_else(|| severity_by_words(&message.text));
        if severity == Severity::Info && !is_telling {
            return;
        }
        let entry = LogEntry {
            line: message.line,
            time: message.time,
            severity,
            component: message.component.map(|name| cut(&name)),
            text: cut(&message.text),
            drop: None,
        };
        self.keep(entry, is_telling);
    }

    fn saw(&mut self, time: Option<Time>) {
        let Some(time) = time else { return };
        let (first, last) = (&mut self.record.first_seen, &mut self.record.last_seen);
        if first.is_none_or(|first| time.at < first.at) {
            *first = Some(time);
        }
        if last.is_none_or(|last| time.at > last.at) {
            *last = Some(time);
        }
    }

    /// Keeps an entry as far as there is room.
    fn keep(&mut self, entry: LogEntry, is_telling: bool) {
        let (count, most) = if is_telling {
            (&mut self.telling, LogRecord::MOST_TELLING)
        } else {
            (&mut self.others, LogRecord::MOST_OTHERS)
        };
        if *count < most {
            *count += 1;
            self.record.entries.push(entry);
        } else {
            self.record.entries_left_out += 1;
        }
    }

    fn not_understood(&mut self, line: u64, lines: u64) {
        self.not_understood = self.not_understood.saturating_add(lines);
        self.named += 1;
        if self.named <= NAMED_LINES {
            let what = match lines {
                1 => "this line is".to_owned(),
                lines => format!("{lines} lines from here on are"),
            };
            let message = format!(
                "{what} of no form that is known of such logs: look whether the file was edited or damaged"
            );
            self.record.problem(Severity::Warning, message, Some(line));
        }
    }

    fn finish(mut self, file: TextFile) -> LogRecord {
        self.record.lines = file.line_number();
        let cut = file.lines_cut();
        if cut > 0 {
            let many = if cut == 1 { "1 line is".to_owned() } else { format!("{cut} lines are") };
            let message = format!("{many} longer than a mebibyte, and cut there");
            self.record.problem(Severity::Warning, message, None);
        }
        if self.timeless > 0 {
            let message =
                format!("{} messages tell no time that can be read, the first here", self.timeless);
            self.record.problem(Severity::Info, message, Some(self.first_timeless));
        }
        if self.named > NAMED_LINES {
            let message = format!("{} lines in all could not be read", self.not_understood);
            self.record.problem(Severity::Warning, message, None);
        }
        let end = file.finish();
        self.record.sha256 = end.sha256;
        if let Some(why) = end.failure {
            let message = format!("reading stopped before the end of the file: {why}");
            self.record.problem(Severity::Error, message, Some(self.record.lines));
        }
        // Messages of several lines end, and come, after those within them.
        self.record.entries.sort_by_key(|entry| entry.line);
        self.record
    }
}

/// How bad a line without a mark is, by its words, as `CMTrace` colours it.
fn severity_by_words(text: &str) -> Severity {
    let lower = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    // "completed with 0 errors" is good news.
    let none = has(&[
        "0 error",
        "no error",
        "error 0",
        "error: 0",
        "error = 0",
        "error=0",
        "errors: 0",
        "errors = 0",
    ]);
    if has(&["fail", "fatal", "unable to", "cannot ", "could not", "refused", "unauthorized"])
        || (has(&["error"]) && !none)
    {
        Severity::Error
    } else if has(&["warning", "timed out", "timeout", "retry"]) {
        Severity::Warning
    } else {
        Severity::Info
    }
}

fn cut(text: &str) -> String {
    text.trim().chars().take(LogEntry::MOST_LETTERS).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn record_of(bytes: &[u8], pairs: &HostPairs) -> LogRecord {
        let file = TextFile::open_source(Box::new(Cursor::new(bytes.to_vec())));
        read_opened(file, "logs/trial.log", pairs)
    }

    fn record(text: &str) -> LogRecord {
        record_of(text.as_bytes(), &HostPairs::default())
    }

    /// Severity, line and beginning of each problem.
    fn problems(record: &LogRecord) -> Vec<(Severity, Option<u64>, String)> {
        let shown = |text: &str| text.split([':', ',']).next().unwrap_or_default().to_owned();
        record.problems.iter().map(|it| (it.severity, it.line, shown(&it.message))).collect()
    }

    fn marked(text: &str) -> String {
        format!(
            "{text}  $$<Configuration Manager Setup><05-27-2014 10:15:02.123-120><thread=1234 (0x4D2)>\n"
        )
    }

    #[test]
    fn a_log_of_setup_keeps_what_matters() {
        let text = [
            marked("INFO: Setup has started"),
            marked("ERROR: Failed to connect to DC1, error 1722"),
            marked("WARNING: Schema is not extended"),
            marked("INFO: connection ended with [10054]"),
            marked("Setup cannot continue"),
        ];
        let record = record(&text.concat());
        assert_eq!(record.kind, Some(LogKind::Setup));
        assert_eq!((record.lines, record.entries_left_out), (5, 0));
        assert_eq!(record.first_seen.unwrap().to_string(), "2014-05-27T08:15:02.123Z");
        let kept: Vec<(u64, Severity)> =
            record.entries.iter().map(|entry| (entry.line, entry.severity)).collect();
        let expected = [
            (2, Severity::Error),
            (3, Severity::Warning),
            (4, Severity::Info),
            (5, Severity::Error),
        ];
        assert_eq!(kept, expected);
        assert_eq!(record.problems, []);
        assert_eq!(record.entry(3).unwrap().text, "WARNING: Schema is not extended");
        assert_eq!((record.file_name(), record.entry(1)), ("trial.log", None));
    }

    #[test]
    fn kinds_are_told_by_content_in_every_encoding() {
        let cmtrace = "<![LOG[text]LOG]!><time=\"10:15:02.123-120\" date=\"05-27-2014\" component=\"ccmsetup\" \
                       context=\"\" type=\"1\" thread=\"1\" file=\"x\">\n";
        let firewall =
            "#Version: 1.5\n#Software: Microsoft Windows Firewall\n#Time Format: Local\n";
        for (text, expected) in [
            (marked("text").as_str(), Some(LogKind::Setup)),
            ("<05-27-2014 10:15:02> text\n", Some(LogKind::Setup)),
            ("<05-27-2014 10:15:02> text", Some(LogKind::Setup)),
            (cmtrace, Some(LogKind::Component)),
            (firewall, Some(LogKind::Firewall)),
            ("just a text\n", None),
        ] {
            let marked: String = format!("\u{feff}{text}");
            let utf16: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
            for bytes in [text.as_bytes(), marked.as_bytes(), &utf16] {
                let record = record_of(bytes, &HostPairs::default());
                assert_eq!(record.kind, expected, "{text}");
                assert_eq!(record.problems.is_empty(), expected.is_some(), "{:?}", record.problems);
            }
        }
    }

    #[test]
    fn what_is_no_log_is_an_error_with_advice() {
        for bytes in [&b"MZ\0\x01"[..], b"a capture\nof nothing\n", b""] {
            let record = record_of(bytes, &HostPairs::default());
            let [problem] = record.problems.as_slice() else { panic!("{:?}", record.problems) };
            assert_eq!((problem.severity, problem.line), (Severity::Error, None));
            assert_eq!((record.kind, record.lines), (None, 0));
        }
    }

    #[test]
    fn lines_that_cannot_be_read_have_numbers_and_are_counted() {
        let head = "#Fields: date time action protocol src-ip dst-ip src-port dst-port\n";
        let good = "2014-05-27 10:15:02 DROP TCP 10.0.0.5 10.1.0.10 50081 389\n";
        let text = format!("{head}{good}rubbish\n{good}{}", "more rubbish\n".repeat(7));
        let record = record(&text);
        assert_eq!(record.entries.len(), 2);
        let line = |line| {
            (
                Severity::Warning,
                Some(line),
                "this line is of no form that is known of such logs".to_owned(),
            )
        };
        let all = (Severity::Warning, None, "8 lines in all could not be read".to_owned());
        assert_eq!(problems(&record), [line(3), line(5), line(6), line(7), line(8), all]);
    }

    #[test]
    fn drops_between_hosts_of_the_captures_come_before_others() {
        let mut text =
            String::from("#Fields: date time action protocol src-ip dst-ip src-port dst-port\n");
        for port in 0..LogRecord::MOST_OTHERS + 10 {
            let line = format!("2014-05-27 10:15:02 DROP UDP 10.0.0.9 224.0.0.252 {port} 5355\n");
            text.push_str(&line);
        }
        text += "2014-05-27 10:15:02 DROP TCP 10.0.0.5 10.1.0.10 50081 389\n";
        let mut pairs = HostPairs::default();
        pairs.add("10.1.0.10".parse().unwrap(), "10.0.0.5".parse().unwrap());
        let record = record_of(text.as_bytes(), &pairs);
        assert_eq!(record.entries.len(), LogRecord::MOST_OTHERS + 1);
        assert_eq!(record.entries_left_out, 10);
        assert_eq!(record.entries.last().unwrap().drop.unwrap().destination.port, 389);
    }

    #[test]
    fn a_message_that_is_cut_off_is_told_and_is_no_trouble() {
        let record = record(&format!("{}half a li", marked("ERROR: x")));
        let expected =
            (Severity::Info, Some(2), "the log ends in the middle of a message".to_owned());
        assert_eq!(problems(&record), [expected]);
    }
}
