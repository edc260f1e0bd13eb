//! A page of text: lines, paragraphs and tables that fit its width.

use std::io;
use std::io::Write;

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, TableStyle, Width,
};

use crate::render::terminal::ink::{Ink, inked, painted};
use crate::render::{Style, text};

/// Fewer columns than this hold no table.
const NARROWEST: usize = 64;
/// More columns than this no eye follows; the table of flows alone uses them.
const WIDEST: usize = 1000;

/// A page that is being written.
pub(super) struct Page<'a> {
    out: &'a mut dyn Write,
    style: Style,
}

/// How a column of a table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// As wide as its widest cell.
    Fixed,
    /// As [`Column::Fixed`], with one blank after it instead of two.
    Close,
    /// As [`Column::Fixed`], for numbers.
    Right,
    /// What the other columns leave; its text wraps.
    Rest,
}

impl<'a> Page<'a> {
    /// An empty page.
    pub(super) fn new(out: &'a mut dyn Write, style: Style) -> Page<'a> {
        let width = style.width.clamp(NARROWEST, WIDEST);
        Page { out, style: Style { width, ..style } }
    }

    /// Columns of the page.
    pub(super) fn width(&self) -> usize {
        self.style.width
    }

    /// Whether everything is to be listed.
    pub(super) fn verbose(&self) -> bool {
        self.style.verbose
    }

    /// Whether characters beyond ASCII can be shown.
    pub(super) fn unicode(&self) -> bool {
        self.style.unicode
    }

    /// An arrow from who opens to who is called.
    pub(super) fn arrow(&self) -> &'static str {
        if self.style.unicode { "→" } else { "->" }
    }

    /// What stands for text left out.
    pub(super) fn ellipsis(&self) -> &'static str {
        if self.style.unicode { "…" } else { "..." }
    }

    /// Text of unknown origin, made safe for this page.
    pub(super) fn safe(&self, text: &str) -> String {
        if self.style.unicode { text::plain(text) } else { text::ascii(text) }.into_owned()
    }

    /// As [`Page::safe`], cut to so many columns.
    pub(super) fn short(&self, text: &str, most: usize) -> String {
        text::cut(&self.safe(text), most, self.ellipsis()).into_owned()
    }

    /// A line as it is. It may hold inks.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.out.write_all(painted(line, self.style.color).trim_end().as_bytes())?;
        self.out.write_all(b"\n")
    }

    /// A line that begins with the name of a file, which opens it where it fits and the terminal
    /// shows links; else a paragraph. `name` is how the line calls it, `path` how the report does.
    pub(super) fn linked(
        &mut self,
        indent: usize,
        line: &str,
        name: &str,
        path: &str,
    ) -> io::Result<()> {
        let url = self.style.links.and_then(|links| links.get(path));
        let around = line.split_once(name).filter(|_| !name.is_empty());
        let fits = indent + text::columns(line) <= self.width();
        let (Some(url), Some((before, after)), true) = (url, around, fits) else {
            return self.paragraph(indent, indent + 2, None, line);
        };
        let margin = " ".repeat(indent);
        let name = format!("\x1b]8;;{url}\x1b\\{name}\x1b]8;;\x1b\\");
        self.line(&format!("{margin}{before}{name}{after}"))
    }

    /// A line as it is if it fits, else as a paragraph.
    pub(super) fn spaced(&mut self, line: &str) -> io::Result<()> {
        if text::columns(line) <= self.width() {
            return self.line(line);
        }
        self.paragraph(0, 4, None, line)
    }

    /// An empty line.
    pub(super) fn blank(&mut self) -> io::Result<()> {
        self.line("")
    }

    /// An empty line and the title of a section, with a few words about it.
    pub(super) fn heading(&mut self, title: &str, about: &str) -> io::Result<()> {
        self.blank()?;
        let title_line = inked(Ink::Strong, title);
        if about.is_empty() {
            return self.line(&title_line);
        }
        if text::columns(title) + text::columns(about) + 2 <= self.width() {
            return self.line(&format!("{title_line}  {}", inked(Ink::Faint, about)));
        }
        self.line(&title_line)?;
        self.paragraph(2, 2, Some(Ink::Faint), about)
    }

    /// Safe text in lines that fit, the first indented by `indent` and the others by `hang`.
    pub(super) fn paragraph(
        &mut self,
        indent: usize,
        hang: usize,
        ink: Option<Ink>,
        text: &str,
    ) -> io::Result<()> {
        let lines = wrapped(text, self.width(), indent, hang);
        for (place, line) in lines.iter().enumerate() {
            let margin = " ".repeat(if place == 0 { indent } else { hang });
            let line = ink.map_or_else(|| line.clone(), |ink| inked(ink, line));
            self.line(&format!("{margin}{line}"))?;
        }
        Ok(())
    }

    /// A paragraph that begins with a label in its own ink; `text` hangs below itself.
    pub(super) fn labelled(
        &mut self,
        indent: usize,
        ink: Option<Ink>,
        label: &str,
        text: &str,
    ) -> io::Result<()> {
        let hang = indent + 3;
        let lines = wrapped(&format!("{label} {text}"), self.width(), indent, hang);
        for (place, line) in lines.iter().enumerate() {
            let margin = " ".repeat(if place == 0 { indent } else { hang });
            let line = match (place, ink, line.strip_prefix(label)) {
                (0, Some(ink), Some(rest)) => format!("{}{rest}", inked(ink, label)),
                _ => line.clone(),
            };
            self.line(&format!("{margin}{line}"))?;
        }
        Ok(())
    }

    /// A table of safe text. Cells of [`Column::Fixed`] may hold inks.
    pub(super) fn table(
        &mut self,
        indent: usize,
        columns: &[Column],
        header: Option<&[&str]>,
        rows: Vec<Vec<String>>,
    ) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(TableStyle::new());
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(self.width().saturating_sub(indent)).unwrap_or(u16::MAX));
        if let Some(header) = header {
            table.set_header(Row::from(header.iter().map(|name| inked(Ink::Faint, name))));
        }
        for row in rows {
            table.add_row(Row::from(row));
        }
        let last = columns.len().saturating_sub(1);
        for (place, column) in columns.iter().enumerate() {
            let Some(laid_out) = table.column_mut(place) else { continue };
            let blanks = match column {
                _ if place == last => 0,
                Column::Close => 1,
                Column::Fixed | Column::Right | Column::Rest => 2,
            };
            laid_out.set_padding((0, blanks));
            match column {
                Column::Fixed | Column::Close => {
                    laid_out.set_constraint(ColumnConstraint::ContentWidth);
                }
                Column::Right => {
                    laid_out.set_constraint(ColumnConstraint::ContentWidth);
                    laid_out.set_cell_alignment(CellAlignment::Right);
                }
                Column::Rest => {
                    laid_out.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(8)));
                }
            }
        }
        let margin = " ".repeat(indent);
        for line in table.lines() {
            self.line(&format!("{margin}{line}"))?;
        }
        Ok(())
    }

    /// That a section has more than is shown.
    pub(super) fn more(&mut self, indent: usize, many: u64, what: &str) -> io::Result<()> {
        let many = crate::render::phrase::number(many);
        let text = format!("{} and {many} more {what}", self.ellipsis());
        self.paragraph(indent, indent + 2, Some(Ink::Faint), &text)
    }
}

/// Splits safe text into lines of at most `width` columns. A word that fits no line is cut.
pub(super) fn wrapped(text: &str, width: usize, indent: usize, hang: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let room = |lines: &[String]| {
            width.saturating_sub(if lines.is_empty() { indent } else { hang }).max(8)
        };
        let mut word = word;
        if used > 0 && used + 1 + text::columns(word) > room(&lines) {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        while text::columns(word) > room(&lines) {
            let head = text::cut(word, room(&lines), "").into_owned();
            let rest = word.get(head.len()..).filter(|_| !head.is_empty());
            let Some(rest) = rest else { break };
            lines.push(head);
            word = rest;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += text::columns(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Links;

    #[test]
    fn words_wrap_where_they_fit_no_more() {
        assert_eq!(
            wrapped("SYN in frame 101, sent again in 108", 20, 0, 2),
            ["SYN in frame 101,", "sent again in 108"]
        );
    }

    #[test]
    fn a_word_longer_than_a_line_is_cut() {
        assert_eq!(wrapped("2001:db8:1234:5678::9", 10, 0, 2), ["2001:db8:1", "234:5678", "::9"]);
        assert_eq!(wrapped("", 10, 0, 0), Vec::<String>::new());
    }

    #[test]
    fn a_table_fits_its_page() {
        let mut bytes = Vec::new();
        let style = Style { width: 64, color: false, unicode: true, verbose: false, links: None };
        let mut page = Page::new(&mut bytes, style);
        let rows = vec![vec!["SMB".to_owned(), "one two three ".repeat(12)]];
        page.table(2, &[Column::Fixed, Column::Rest], Some(&["service", "seen"]), rows).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.lines().count() > 3, "{text}");
        for line in text.lines() {
            assert!(text::columns(line) <= 64, "{line}");
        }
    }

    #[test]
    fn a_line_with_a_link_is_as_wide_as_without() {
        let links = Links::from([("a.cap".to_owned(), "file:///srv/a.cap".to_owned())]);
        let style = Style {
            width: 64,
            color: false,
            unicode: true,
            verbose: false,
            links: Some(Box::leak(Box::new(links))),
        };
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, style);
        page.linked(2, "[1] a.cap: pcap", "a.cap", "a.cap").unwrap();
        page.linked(0, "b.cap: pcap", "b.cap", "b.cap").unwrap();
        // No line that wraps has a link.
        page.linked(0, &format!("a.cap: {}", "long ".repeat(20)), "a.cap", "a.cap").unwrap();
        let text = String::from_utf8(out).unwrap();
        let linked = "  [1] \x1b]8;;file:///srv/a.cap\x1b\\a.cap\x1b]8;;\x1b\\: pcap\nb.cap: pcap\na.cap: long";
        assert!(text.starts_with(linked), "{text:?}");
    }
}
