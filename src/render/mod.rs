//! Reports in, bytes out: layout only, nothing is judged here.
//!
//! Every format prints the same [`Report`]. [`Format::Table`], [`Format::Markdown`] and
//! [`Format::Html`] are for people, and say what was seen and what it may mean in different
//! sentences; the others are for programs and hold all there is. All but [`Format::Parquet`] are
//! text. Whatever the capture says, no
//! format lets it act: see the first lines of `text.rs`.

mod csv;
mod html;
mod json;
mod logbook;
mod markdown;
#[cfg(feature = "parquet")]
mod parquet;
mod phrase;
mod probe_script;
mod rules;
mod rung;
#[cfg(test)]
mod samples;
mod schema;
mod seen;
mod terminal;
mod text;
mod triage;

pub use probe_script::probe_script;
pub use rules::{Syntax, requests};
pub use schema::{Document, schema};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::io::{BufWriter, Write};

use crate::report::Report;
use crate::words::words;

words! {
    /// How a report is written.
    Format {
        /// Text for a terminal.
        Table = "table",
        /// One JSON document: the published contract.
        Json = "json",
        /// One JSON value a line.
        Ndjson = "ndjson",
        /// RFC 4180, for spreadsheets.
        Csv = "csv",
        /// Markdown, for tickets.
        Markdown = "markdown",
        /// One page for a browser, with all that it needs.
        Html = "html",
        /// A table for programs that analyse many: binary.
        Parquet = "parquet",
    }
}

impl Format {
    /// What to say where Parquet is asked of a program that was built without it.
    #[cfg(not(feature = "parquet"))]
    const LEFT_OUT: &str =
        "this program was built without Parquet: build it with the feature \"parquet\", or use csv";

    /// All that is text.
    pub fn texts() -> impl Iterator<Item = Format> {
        Format::ALL.iter().copied().filter(|format| *format != Format::Parquet)
    }
}

/// Which part of a report is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// What `analyze` prints: the requirement sheet and what follows from it.
    Analysis,
    /// What `flows` prints: the flows alone.
    Flows,
    /// As [`View::Flows`]; on a terminal each with its deciding packets, for a few chosen ones.
    Ladders,
}

impl View {
    /// Whether it shows in this format what explains and mends what went wrong; else a report without
    /// its diagnosis is printed alike.
    pub fn shows_diagnosis(self, format: Format) -> bool {
        match self {
            View::Analysis => !matches!(format, Format::Ndjson | Format::Csv | Format::Parquet),
            View::Flows | View::Ladders => false,
        }
    }
}

/// Addresses (URLs) of files, by the paths that reports show. They hold nothing that a terminal
/// obeys.
pub type Links = BTreeMap<String, String>;

/// How text for a terminal looks; the other formats do not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns to fill. Fewer than 64 count as 64.
    pub width: usize,
    /// Whether to colour. What colours say is also said by words.
    pub color: bool,
    /// Whether characters beyond ASCII can be shown.
    pub unicode: bool,
    /// Whether to list everything, and each flow with all that is known of it.
    pub verbose: bool,
    /// Where files that the report names can be opened, on a terminal that shows links.
    pub links: Option<&'static Links>,
}

/// One line of text, made safe to show on any terminal.
pub fn safe_for_terminal(text: &str) -> Cow<'_, str> {
    text::plain(text)
}

/// Writes a report. Fails only where `out` does.
pub fn render(
    report: &Report,
    view: View,
    format: Format,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    // What shows every flow beside the others needs all of them at once.
    let shows_all = match format {
        Format::Markdown | Format::Html => true,
        Format::Table => style.verbose || view != View::Analysis,
        Format::Json | Format::Ndjson | Format::Csv | Format::Parquet => false,
    };
    let mut whole;
    let report = if shows_all && report.flows.has_plain() {
        whole = report.clone();
        whole.flows.promote_all();
        &whole
    } else {
        report
    };
    match format {
        Format::Table => terminal::page(report, view, style, &mut out)?,
        Format::Json => json::document(report, view, &mut out)?,
        Format::Ndjson => json::lines(report, view, &mut out)?,
        Format::Csv => csv::table(report, view, &mut out)?,
        Format::Markdown => markdown::page(report, view, &mut out)?,
        Format::Html => html::page(report, view, &mut out)?,
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::table(report, view, &mut out)?,
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => return Err(io::Error::other(Format::LEFT_OUT)),
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::RuleSet;
    use crate::matrix::Outcome;
    use crate::net::FrameNumber;
    use crate::report::SkippedRecord;

    const NARROW: Style =
        Style { width: 80, color: false, unicode: true, verbose: false, links: None };
    const WIDE: Style = Style { width: 160, ..NARROW };

    fn rendered(report: &Report, view: View, format: Format, style: Style) -> String {
        let mut bytes = Vec::new();
        render(report, view, format, style, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn table(report: &Report, view: View, style: Style) -> String {
        rendered(report, view, Format::Table, style)
    }

    /// Line breaks apart, nothing that acts on a terminal.
    fn only_stands_there(text: &str) -> bool {
        !text.contains(|character| character != '\n' && super::text::acts(character))
    }

    /// Text without the escapes that set a colour.
    fn colourless(text: &str) -> String {
        let mut parts = text.split("\x1b[");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
    }

    #[test]
    fn the_first_screen_answers_what_failed_and_what_to_ask_for() {
        let page = table(&samples::seed(), View::Analysis, NARROW);
        let screen: Vec<&str> = page.lines().take(24).collect();
        let has = |text: &str| screen.iter().any(|line| line.contains(text));
        assert!(has("5 of 6 exercised requirements failed"));
        assert!(has("CAS01 10.0.0.5 (site-server) → ROOTDC1 10.1.0.10 (root-dc)"));
        assert!(has("RPC endpoint mapper  tcp/135   dropped  SYN 101, again 108, 131"));
        assert!(has("LDAP                 tcp/389   refused  SYN 210, RST 211"));
        assert!(has("10.0.0.5  10.1.0.10    tcp       one-way    53, 88, 135, 389, 3268"));
        assert!(has("1. error: 4 ports from 10.0.0.5 to 10.1.0.10 got no answer"));
        // The source port of the seed's endpoint mapper flow is in no request and on no screen.
        assert!(!page.contains("52702"));
    }

    #[test]
    fn the_seed_on_a_narrow_and_a_wide_page() {
        insta::assert_snapshot!("seed_80", table(&samples::seed(), View::Analysis, NARROW));
        insta::assert_snapshot!("seed_160", table(&samples::seed(), View::Analysis, WIDE));
        insta::assert_snapshot!("seed_flows_80", table(&samples::seed(), View::Flows, NARROW));
        insta::assert_snapshot!("seed_flows_160", table(&samples::seed(), View::Flows, WIDE));
    }

    #[test]
    fn every_outcome_with_long_addresses_and_two_captures() {
        insta::assert_snapshot!("busy_80", table(&samples::busy(), View::Analysis, NARROW));
        insta::assert_snapshot!("busy_160", table(&samples::busy(), View::Analysis, WIDE));
        insta::assert_snapshot!("busy_flows_80", table(&samples::busy(), View::Flows, NARROW));
    }

    #[test]
    fn all_that_is_known_of_a_flow() {
        let style = Style { verbose: true, ..NARROW };
        insta::assert_snapshot!("seed_flows_verbose", table(&samples::seed(), View::Flows, style));
    }

    #[test]
    fn the_packets_of_a_flow_as_a_ladder() {
        let mut report = samples::seed();
        report
            .flows
            .telling_mut()
            .retain(|flow| flow.class != crate::verdict::record::Class::Success);
        let page = table(&report, View::Ladders, NARROW);
        let has = |text: &str| page.lines().any(|line| line.trim_end() == text);
        let again = "   2320         +8.000 s  │─── SYN again ───────▶│  seq 2557920356";
        assert!(has(again), "{page}");
        insta::assert_snapshot!("seed_ladders_80", page);
        insta::assert_snapshot!("seed_ladders_160", table(&report, View::Ladders, WIDE));
        let ascii = Style { unicode: false, ..NARROW };
        insta::assert_snapshot!(
            "busy_ladders_ascii",
            table(&samples::busy(), View::Ladders, ascii)
        );
    }

    #[test]
    fn nothing_failed() {
        insta::assert_snapshot!(table(&samples::good(), View::Analysis, NARROW));
    }

    #[test]
    fn nobody_has_a_role() {
        insta::assert_snapshot!(table(&samples::strangers(), View::Analysis, NARROW));
    }

    #[test]
    fn without_flows_the_page_says_so() {
        let mut report = samples::empty();
        assert_eq!(
            table(&report, View::Flows, NARROW),
            "no capture was read: name a capture, or a folder that holds some\n"
        );
        report.captures.push(samples::capture("arp.pcap", 1284));
        let page = table(&report, View::Analysis, NARROW);
        assert!(page.starts_with("no flow was found: 1,284 frames hold no TCP or UDP\n"), "{page}");
        let outside = SkippedRecord {
            what: "outside --since and --until".to_owned(),
            count: 1283,
            first_frame: FrameNumber(1),
        };
        report.captures[0].skipped = vec![outside];
        let page = table(&report, View::Analysis, NARROW);
        let expected = "no flow was found: 1 frame holds no TCP or UDP, and 1,283 frames lie";
        assert!(page.starts_with(expected), "{page}");
        report.captures[0].frames = 1283;
        let page = table(&report, View::Analysis, NARROW);
        let expected = "no flow was found: all 1,283 frames lie outside --since and --until\n";
        assert!(page.starts_with(expected), "{page}");
        let mut report = samples::seed();
        report.flows.clear();
        let page = table(&report, View::Flows, NARROW);
        assert!(page.starts_with("6 flows were found, but "), "{page}");
        // The sheet still says how it is known.
        let page = table(&report, View::Analysis, NARROW);
        assert!(page.contains("dropped  SYN in frames 101, 108, 131"), "{page}");
    }

    #[test]
    fn who_shows_no_diagnosis_prints_the_same_without_it() {
        for report in samples::all() {
            let without = Report {
                findings: Vec::new(),
                firewall_requests: Vec::new(),
                rule_set: RuleSet::default(),
                to_try: Vec::new(),
                ..report.clone()
            };
            for view in [View::Analysis, View::Flows, View::Ladders] {
                for format in Format::ALL {
                    let page = |report| {
                        let mut bytes = Vec::new();
                        render(report, view, *format, NARROW, &mut bytes).unwrap();
                        bytes
                    };
                    let same = page(&report) == page(&without);
                    assert!(same || view.shows_diagnosis(*format), "{view:?} {format}");
                }
            }
        }
    }

    #[test]
    fn a_hostile_capture_moves_no_cursor() {
        for view in [View::Analysis, View::Flows, View::Ladders] {
            for verbose in [false, true] {
                let style = Style { verbose, ..NARROW };
                for format in Format::texts() {
                    let text = rendered(&samples::hostile(), view, format, style);
                    assert!(only_stands_there(&text.replace("\r\n", "\n")), "{format}: {text}");
                }
            }
        }
        insta::assert_snapshot!("hostile_80", table(&samples::hostile(), View::Analysis, NARROW));
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        for report in samples::all() {
            for view in [View::Analysis, View::Flows, View::Ladders] {
                let coloured = table(&report, view, Style { color: true, ..NARROW });
                assert_eq!(colourless(&coloured), table(&report, view, NARROW));
            }
        }
        let page = table(&samples::seed(), View::Analysis, Style { color: true, ..NARROW });
        assert!(page.contains("\x1b[1;31mdropped\x1b[0m"));
        assert!(page.contains("\x1b[32mopen\x1b[0m"));
    }

    #[test]
    fn without_unicode_a_page_is_ascii() {
        for report in samples::all() {
            for view in [View::Analysis, View::Flows, View::Ladders] {
                let page = table(&report, view, Style { unicode: false, ..NARROW });
                let shown = |byte: u8| byte == b'\n' || (0x20..0x7f).contains(&byte);
                assert!(page.bytes().all(shown), "{page}");
            }
        }
    }

    #[test]
    fn no_line_is_longer_than_the_page() {
        for report in samples::all() {
            for width in [64, 72, 80, 100, 132, 160, 250] {
                for (view, verbose) in [
                    (View::Analysis, false),
                    (View::Analysis, true),
                    (View::Flows, false),
                    (View::Flows, true),
                    (View::Ladders, false),
                    (View::Ladders, true),
                ] {
                    let page = table(&report, view, Style { width, verbose, ..NARROW });
                    for line in page.lines() {
                        assert!(super::text::columns(line) <= width, "{width}: {line}");
                    }
                }
            }
        }
    }

    #[test]
    fn long_sections_are_cut_and_say_where_the_rest_is() {
        let page = table(&samples::large(1000, 400), View::Analysis, NARROW);
        // Five pairs with a line and a row each make the first screen's part of 500.
        assert!(page.contains("… and 495 more below"), "{page}");
        assert!(page.contains("more (use --format csv for all)"));
        assert!(page.lines().count() < 500);
        // Without requests the same failures, now refused, are the hosts' own; they stand in one
        // section only, so nothing is promised below it.
        let mut report = samples::large(1000, 400);
        report.firewall_requests.clear();
        report.rule_set = crate::diagnosis::RuleSet::default();
        for cell in &mut report.matrix.cells {
            cell.outcome = Outcome::Refused;
        }
        let page = table(&report, View::Analysis, NARROW);
        assert!(page.contains("NOT FOR THE FIREWALL TEAM"), "{page}");
        assert!(!page.contains("more below"), "{page}");
    }

    #[test]
    fn documents_for_tickets_and_spreadsheets() {
        let page = |view, format| rendered(&samples::seed(), view, format, NARROW);
        insta::assert_snapshot!("seed_markdown", page(View::Analysis, Format::Markdown));
        insta::assert_snapshot!("seed_csv", page(View::Analysis, Format::Csv));
        insta::assert_snapshot!("seed_flows_csv", page(View::Flows, Format::Csv));
    }
}
