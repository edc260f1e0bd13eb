//! Makes text safe to show, format by format.
//!
//! Host names, file names, comments and messages may come out of a capture, so whoever made the
//! capture chose them. What leaves this module cannot move a cursor, hide or reorder what stands
//! beside it, become a formula, a link or markup, or begin a new line. Nothing is removed: what
//! may not be shown as it is stands there in escaped form, as `\x1b` or `\u{202e}`.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether a character acts on its surroundings instead of only standing there.
///
/// Control characters (C0, DEL, C1), line and paragraph separators, and what Unicode gives no
/// shape: bidirectional controls (UAX #9), zero-width characters, tags and their like. Two names
/// that differ only in these look the same, and one reordered by them looks like another.
pub(super) fn acts(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

fn push_escaped(shown: &mut String, character: char) {
    let code = u32::from(character);
    // Writing to a String cannot fail.
    let _ = match character {
        '\n' => shown.write_str("\\n"),
        '\r' => shown.write_str("\\r"),
        '\t' => shown.write_str("\\t"),
        _ if code < 0x100 => write!(shown, "\\x{code:02x}"),
        _ => write!(shown, "\\u{{{code:x}}}"),
    };
}

fn escaped_where(text: &str, unsafe_here: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&unsafe_here) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if unsafe_here(character) {
            push_escaped(&mut shown, character);
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// One line, safe on any terminal and in any file.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if is_printed_ascii(text) {
        return Cow::Borrowed(text);
    }
    escaped_where(text, acts)
}

/// Whether text is printed ASCII, of which nothing acts: nearly all text is.
// Without a way out in the middle, sixteen bytes and more are looked at in one step.
pub(super) fn is_printed_ascii(text: impl AsRef<[u8]>) -> bool {
    text.as_ref().iter().fold(true, |printed, byte| printed & matches!(byte, 0x20..0x7f))
}

/// As [`plain`], in ASCII alone: for terminals that would show anything else as rubbish.
pub(super) fn ascii(text: &str) -> Cow<'_, str> {
    escaped_where(text, |character| !character.is_ascii() || character.is_control())
}

/// One cell of CSV, before quoting (which the writer does).
///
/// A spreadsheet takes a cell that begins with one of these for a formula, and some formulas run
/// programs; a leading apostrophe makes it text. The wide forms count for spreadsheets set to
/// East Asian languages.
pub(super) fn csv(text: &str) -> Cow<'_, str> {
    let shown = plain(text);
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        Cow::Owned(format!("'{shown}"))
    } else {
        shown
    }
}

/// Text within a line of Markdown, or within a cell of a table; it reads as it is and does
/// nothing.
///
/// Escaping alone would not stop `@name` and `#12` from calling people and linking tickets:
/// that is done on the finished page, where the escape is gone. Such signs become code.
pub(super) fn markdown(text: &str) -> String {
    let text = plain(text);
    let text = text.trim();
    let mut shown = String::with_capacity(text.len() + 8);
    let mut before = "";
    for (at, character) in text.char_indices() {
        let after = text.get(at + character.len_utf8()..).unwrap_or_default();
        match character {
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '&' => shown.push_str("&amp;"),
            '`' => shown.push_str("&#96;"),
            // Two code spans must not touch: their backticks would become one longer fence.
            // The last sign of a row is the one that calls.
            '@' | '#' | '!' if !after.starts_with(['@', '#', '!']) => {
                shown.push('`');
                shown.push(character);
                shown.push('`');
            }
            '@' => shown.push_str("\\@"),
            '#' => shown.push_str("\\#"),
            '!' => shown.push_str("\\!"),
            '\\' | '*' | '_' | '[' | ']' | '|' | '~' | '^' | '$' | '{' | '}' => {
                shown.push('\\');
                shown.push(character);
            }
            // What would begin a list, a heading's underline or a rule.
            '-' | '+' | '=' if at == 0 => {
                shown.push('\\');
                shown.push(character);
            }
            // A number begins a list only where a blank follows (CommonMark 5.2): an address may
            // stay as it is.
            '.' | ')'
                if !after.starts_with(|next: char| !next.is_whitespace())
                    && !before.is_empty()
                    && before.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                shown.push('\\');
                shown.push(character);
            }
            // What would become a link on its own.
            ':' if after.starts_with("//") => shown.push_str("\\:"),
            '.' if before.len() >= 3 && ends_with_www(before) => shown.push_str("\\."),
            _ => shown.push(character),
        }
        before = text.get(..at + character.len_utf8()).unwrap_or_default();
    }
    shown
}

fn ends_with_www(text: &str) -> bool {
    text.len()
        .checked_sub(3)
        .and_then(|at| text.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case("www"))
}

/// A name, path or value as code in Markdown: shown letter by letter, never a link or a mention.
///
/// Backticks and pipes are escaped as control characters are, because how they are written
/// inside code depends on whether it stands in a table.
pub(super) fn markdown_code(text: &str) -> String {
    let shown = escaped_where(text, |character| acts(character) || matches!(character, '`' | '|'));
    // Code of blanks alone, or of nothing, is no code.
    if shown.trim().is_empty() { "(blank)".to_owned() } else { format!("`{}`", shown.trim()) }
}

/// Columns that safe text takes on a terminal.
pub(super) fn columns(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Safe text cut to so many columns, with `ellipsis` at the end where something is missing.
///
/// Also bounds the number of characters: marks that combine take no columns.
pub(super) fn cut<'a>(text: &'a str, most: usize, ellipsis: &str) -> Cow<'a, str> {
    let most_characters = most.saturating_mul(4);
    if columns(text) <= most && text.chars().nth(most_characters).is_none() {
        return Cow::Borrowed(text);
    }
    let room = most.saturating_sub(columns(ellipsis));
    let mut used = 0;
    let mut end = 0;
    for (at, character) in text.char_indices().take(most_characters) {
        used += character.width().unwrap_or(0);
        if used > room {
            break;
        }
        end = at + character.len_utf8();
    }
    let kept = text.get(..end).unwrap_or_default().trim_end();
    Cow::Owned(format!("{kept}{ellipsis}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

    use super::*;

    /// Strings in which trouble is likely.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            any::<String>(),
            "[-=+@\t\r\n|`*_<>&#!\\[\\]()~$\\\\ .:/w0-9a]{0,12}",
            Just("\x1b[2J".to_owned()),
            Just("\u{202e}".to_owned()),
            Just("https://example.com".to_owned()),
            Just("www.example.com".to_owned()),
            Just("<img src=x onerror=alert(1)>".to_owned()),
            Just("![x](javascript:y)".to_owned()),
            Just("@everyone #12".to_owned()),
        ];
        prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
    }

    /// What a reader of the page sees, and every event that is not text.
    fn read_markdown(page: &str) -> (String, Vec<String>) {
        let mut seen = String::new();
        let mut others = Vec::new();
        for event in Parser::new_ext(page, Options::all() - Options::ENABLE_SMART_PUNCTUATION) {
            let of_a_table = matches!(
                event,
                Event::Start(Tag::Table(_) | Tag::TableHead | Tag::TableRow | Tag::TableCell)
                    | Event::End(
                        TagEnd::Table | TagEnd::TableHead | TagEnd::TableRow | TagEnd::TableCell,
                    )
            );
            if let Event::Text(text) | Event::Code(text) = &event {
                seen.push_str(text);
            } else if !of_a_table {
                others.push(format!("{event:?}"));
            }
        }
        (seen, others)
    }

    #[test]
    fn control_and_bidirectional_characters_are_shown_escaped() {
        assert_eq!(plain("a\x1b[31mb"), "a\\x1b[31mb");
        assert_eq!(plain("\u{9b}2J"), "\\x9b2J");
        assert_eq!(plain("one\ntwo\tthree\r"), "one\\ntwo\\tthree\\r");
        assert_eq!(plain("exe.\u{202e}cod\u{2066}"), "exe.\\u{202e}cod\\u{2066}");
        assert_eq!(plain("Zürich 東京"), "Zürich 東京");
        assert_eq!(ascii("Zürich"), "Z\\xfcrich");
        assert_eq!(ascii("東"), "\\u{6771}");
    }

    #[test]
    fn a_formula_becomes_text() {
        assert_eq!(csv("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(csv("\t=1"), "'\\t=1");
        assert_eq!(csv("\r=1"), "'\\r=1");
        assert_eq!(csv("-1"), "'-1");
        assert_eq!(csv("10.0.0.5"), "10.0.0.5");
    }

    #[test]
    fn markdown_reads_as_the_text_it_came_from() {
        assert_eq!(markdown("a|b"), "a\\|b");
        assert_eq!(markdown("<script>"), "&lt;script&gt;");
        assert_eq!(markdown("mail @team"), "mail `@`team");
        assert_eq!(markdown("frames 12-14 in 7.2 s"), "frames 12-14 in 7.2 s");
        assert_eq!(markdown_code("a`b|c"), "`a\\x60b\\x7cc`");
        assert_eq!(markdown_code("\u{20}"), "(blank)");
    }

    #[test]
    fn cutting_counts_columns_not_characters() {
        assert_eq!(cut("CAS01", 5, "…"), "CAS01");
        assert_eq!(cut("CAS0123", 5, "…"), "CAS0…");
        // Each of these takes two columns.
        assert_eq!(cut("東京都庁", 6, "…"), "東京…");
        let marks = format!("a{}", "\u{301}".repeat(10_000));
        assert!(cut(&marks, 10, "…").chars().count() <= 41);
    }

    #[test]
    fn raised_text_stays_on_its_line() {
        assert_eq!(markdown("^A^"), "\\^A\\^");
    }

    proptest! {
        #[test]
        fn a_terminal_gets_one_line_that_only_stands_there(text in hostile()) {
            let shown = plain(&text);
            prop_assert!(!shown.contains(acts));
            prop_assert!(ascii(&text).bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        }

        #[test]
        fn a_csv_cell_begins_no_formula_and_reads_back(text in hostile()) {
            let cell = csv(&text).into_owned();
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
            prop_assert!(!cell.contains(acts));
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record([cell.as_str(), "end"]).unwrap();
            let bytes = writer.into_inner().unwrap();
            let mut reader =
                csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
            let read = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(read.iter().collect::<Vec<_>>(), [cell.as_str(), "end"]);
        }

        #[test]
        fn markdown_holds_the_text_and_nothing_else(text in hostile()) {
            for shown in [markdown(&text), markdown_code(&text)] {
                prop_assert!(!shown.contains('\n'));
                let (seen, others) = read_markdown(&format!("| head |\n|---|\n| :{shown} |\n"));
                prop_assert!(others.is_empty(), "{shown}: {others:?}");
                let expected = if shown == markdown(&text) {
                    plain(&text).trim().to_owned()
                } else {
                    shown.trim_matches('`').to_owned()
                };
                prop_assert_eq!(seen, format!("head:{expected}"));
            }
        }

        #[test]
        fn a_paragraph_of_markdown_stays_a_paragraph(text in hostile()) {
            let (seen, others) = read_markdown(&markdown(&text));
            for event in &others {
                prop_assert!(event.contains("Paragraph"), "{event}");
            }
            let expected = plain(&text);
            prop_assert_eq!(seen, expected.trim());
        }
    }
}
