//! The JSON contract, `portmortem.report/1`, for other programs.
//!
//! `analyze --format json` is one [`Report`] and `flows --format json` the array of its flows,
//! both indented by two spaces. `--format ndjson` is one value a line: a flow, or a cell of the
//! matrix. Each ends with a line feed, and the same report always gives the same bytes.
//!
//! - **Keys** stand in the order of the types' fields. None is ever left out: what is not known
//!   is `null`, what is none is `[]`.
//! - **Names and words** do not change while [`schema`](crate::report::SCHEMA) stays the same.
//!   New keys may come, so readers should ignore those they do not know.
//! - **Flows** are counted from 1 (`id`), captures and cells by their index from 0 (`capture`,
//!   `cells`). Frames are counted from 1 in each capture, as Wireshark and Network Monitor do.
//! - **Times** are RFC 3339 in UTC with the capture's own precision. Where the capture does not
//!   tell its zone they are local times without `Z`, and its `zone` is `"unknown"`.
//! - **Text from a capture** keeps every character, but those that act on a terminal are
//!   written as `\u009b` and the like, so that it is safe to print and reads back the same.
//!
//! | key | type |
//! |---|---|
//! | the document | [`Report`] |
//! | `captures[]` | [`CaptureRecord`](crate::report::CaptureRecord) |
//! | `hosts[]` | [`HostRecord`](crate::matrix::HostRecord) |
//! | `matrix`, `matrix.cells[]` | [`Sheet`](crate::matrix::Sheet), [`Cell`](crate::matrix::Cell) |
//! | `findings[]` | [`Finding`](crate::diagnosis::Finding) |
//! | `firewall_requests[]` | [`FirewallRequest`](crate::diagnosis::FirewallRequest) |
//! | `flows[]` | [`JudgedFlow`](crate::verdict::record::JudgedFlow) |

use std::io;
use std::io::Write;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::render::{View, text};
use crate::report::Report;

/// Writes one document. `out` is to be buffered: it is handed a few bytes at a time.
pub(super) fn document<W: Write>(report: &Report, view: View, out: &mut W) -> io::Result<()> {
    let mut writer = Serializer::with_formatter(&mut *out, Guarded(PrettyFormatter::new()));
    match view {
        View::Analysis => report.serialize(&mut writer)?,
        View::Flows | View::Ladders => report.flows.serialize(&mut writer)?,
    }
    out.write_all(b"\n")
}

/// Writes one value a line.
pub(super) fn lines<W: Write>(report: &Report, view: View, out: &mut W) -> io::Result<()> {
    match view {
        View::Analysis => each_on_a_line(&report.matrix.cells, out),
        View::Flows | View::Ladders => each_on_a_line(report.flows.iter(), out),
    }
}

/// Asks for each value once.
fn each_on_a_line<W: Write>(
    values: impl IntoIterator<Item = impl Serialize>,
    out: &mut W,
) -> io::Result<()> {
    let mut line = Vec::new();
    for value in values {
        line.clear();
        value.serialize(&mut Serializer::new(&mut line))?;
        // There may be millions of lines, and hardly one that holds what is to be guarded against: to
        // look at all of a line at once takes less than to look at each of its texts.
        if !text::is_printed_ascii(&line) {
            line.clear();
            value
                .serialize(&mut Serializer::with_formatter(&mut line, Guarded(CompactFormatter)))?;
        }
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(())
}

/// A formatter that also escapes what JSON allows but a terminal obeys.
///
/// JSON (RFC 8259, 7) asks only for the escape of U+0000 to U+001F. DEL, the C1 controls and
/// bidirectional controls may stand as they are, and act when the document is printed.
struct Guarded<F>(F);

impl<F: Formatter> Formatter for Guarded<F> {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        // What else is to be escaped is not in a fragment.
        if text::is_printed_ascii(fragment) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(text::acts) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut characters = from.chars();
            if let Some(character) = characters.next() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_key(writer)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matrix::Cell;
    use crate::render::samples;
    use crate::verdict::record::JudgedFlow;

    fn written(
        write: fn(&Report, View, &mut Vec<u8>) -> io::Result<()>,
        report: &Report,
        view: View,
    ) -> String {
        let mut bytes = Vec::new();
        write(report, view, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_report_reads_back_as_it_was() {
        for report in samples::all() {
            let json = written(document, &report, View::Analysis);
            assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
            assert!(json.starts_with("{\n  \"schema\": \"portmortem.report/1\",\n"));
            assert!(json.ends_with("\n}\n"));
        }
    }

    #[test]
    fn flows_read_back_from_an_array_and_from_lines() {
        let report = samples::seed();
        let array = written(document, &report, View::Flows);
        assert_eq!(
            serde_json::from_str::<Vec<JudgedFlow>>(&array).unwrap(),
            report.flows.telling()
        );
        let text = written(lines, &report, View::Flows);
        let read: Vec<JudgedFlow> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, report.flows.telling());
    }

    #[test]
    fn cells_read_back_from_lines() {
        let report = samples::seed();
        let text = written(lines, &report, View::Analysis);
        let read: Vec<Cell> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, report.matrix.cells);
    }

    #[test]
    fn keys_stand_in_the_order_of_the_contract() {
        let json = written(document, &samples::seed(), View::Analysis);
        let keys: Vec<&str> = json
            .lines()
            .filter_map(|line| line.strip_prefix("  \"")?.split_once('"'))
            .map(|(key, _)| key)
            .collect();
        assert_eq!(
            keys,
            [
                "schema",
                "generator",
                "options",
                "captures",
                "logs",
                "totals",
                "hosts",
                "matrix",
                "findings",
                "firewall_requests",
                "rule_set",
                "to_try",
                "folded",
                "flows"
            ]
        );
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        let json = written(document, &samples::hostile(), View::Analysis);
        assert!(!json.contains(|character| character != '\n' && text::acts(character)));
        assert!(json.contains("\\u001b[2J"));
        assert!(json.contains("\\u202e"));
        let lines = written(lines, &samples::hostile(), View::Flows);
        assert!(!lines.contains(|character| character != '\n' && text::acts(character)));
        assert!(lines.contains("\\u001b[2J"));
        assert!(lines.contains("\\u202e"));
    }

    proptest! {
        #[test]
        fn any_text_reads_back_the_same(text in any::<String>()) {
            let mut report = samples::empty();
            report.matrix.title.clone_from(&text);
            let json = written(document, &report, View::Analysis);
            let read: Report = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read.matrix.title, text);
        }
    }
}
