//! Packet lists as tables: CSV of Wireshark's window, `tshark -T fields -E header=y`, and what
//! spreadsheets make of them.

use crate::capture::text::Text;
use crate::capture::wireshark::columns::Columns;
use crate::capture::wireshark::draft::{Draft, Drafts};
use crate::capture::wireshark::fields::Field;
use crate::capture::wireshark::notes::Notes;

/// Separators, in the order in which they are tried.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// The shape's name, where a text begins like this.
pub(super) fn name(beginning: &str) -> Option<&'static str> {
    table(beginning).map(|_| "packet list with columns")
}

pub(super) fn reader(beginning: &str) -> Box<dyn Drafts> {
    let table = table(beginning);
    Box::new(Csv { table, titles: None })
}

/// The separator and the columns of a text's first line.
fn table(beginning: &str) -> Option<(char, Columns)> {
    let titles = beginning.lines().find(|line| !line.trim().is_empty())?;
    SEPARATORS.into_iter().find_map(|separator| {
        let cells = split(titles, separator);
        // One word with a separator in it is no table.
        let columns = Columns::of_titles(cells.iter().map(String::as_str))?;
        (columns.len() > 2).then_some((separator, columns))
    })
}

struct Csv {
    table: Option<(char, Columns)>,
    /// The line of titles, which may be repeated.
    titles: Option<String>,
}

impl Drafts for Csv {
    fn next(&mut self, text: &mut Text, notes: &mut Notes) -> Option<Draft> {
        let (separator, columns) = self.table.as_ref()?;
        while let Some(line) = text.line() {
            if line.trim().is_empty() {
                continue;
            }
            let Some(titles) = &self.titles else {
                self.titles = Some(line);
                continue;
            };
            if line == *titles {
                continue;
            }
            match cells(&line, *separator, columns) {
                Some(cells) => {
                    let draft = columns.draft(cells.iter().map(String::as_str));
                    return Some(Draft { line: text.line_number(), ..draft });
                }
                None => notes.not_understood(text.line_number(), &line),
            }
        }
        None
    }
}

/// The cells of a line, as many as there are columns.
fn cells(line: &str, separator: char, columns: &Columns) -> Option<Vec<String>> {
    let mut cells = split(line, separator);
    if cells.len() == columns.len() {
        return Some(cells);
    }
    // tshark does not double quotes inside of quotes.
    let lax = split_lax(line, separator);
    if lax.len() == columns.len() {
        return Some(lax);
    }
    // Without quotes, what is left over belongs to the summary at the end.
    let last = columns.len().checked_sub(1)?;
    if cells.len() > columns.len() && columns.field(last) == Some(Field::ColumnInfo) {
        let info = cells.split_off(last).join(&separator.to_string());
        cells.push(info);
        return Some(cells);
    }
    None
}

/// Splits as RFC 4180 has it: a quote inside of quotes is doubled. One that is not doubled and not
/// at the end of a cell stays.
fn split(line: &str, separator: char) -> Vec<String> {
    let mut cells = Vec::new();
    let mut letters = line.chars().peekable();
    loop {
        let mut cell = String::new();
        if letters.next_if_eq(&'"').is_some() {
            while let Some(letter) = letters.next() {
                if letter != '"' {
                    cell.push(letter);
                } else if letters.next_if_eq(&'"').is_some() {
                    cell.push('"');
                } else if letters.peek().is_none_or(|next| *next == separator) {
                    break;
                } else {
                    cell.push('"');
                }
            }
        }
        while let Some(letter) = letters.next_if(|letter| *letter != separator) {
            cell.push(letter);
        }
        cells.push(cell);
        if letters.next().is_none() {
            return cells;
        }
    }
}

/// Splits where a quote, the separator and a quote meet.
fn split_lax(line: &str, separator: char) -> Vec<String> {
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if cell.is_empty() && !quoted => quoted = true,
            '"' if quoted && letters.peek().is_none_or(|next| *next == separator) => quoted = false,
            _ if letter == separator && !quoted => cells.push(std::mem::take(&mut cell)),
            _ => cell.push(letter),
        }
    }
    cells.push(cell);
    cells
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns(line: &str) -> Columns {
        table(line).unwrap().1
    }

    #[test]
    fn quotes_are_read_whether_doubled_or_not() {
        let of_window = columns("\"No.\",\"Source\",\"Destination\",\"Info\"");
        for line in [
            r#""7","A","B","search ""<ROOT>"" base, x""#,
            r#""7","A","B","search "<ROOT>" base, x""#,
            r#"7,A,B,search "<ROOT>" base, x"#,
        ] {
            let found = cells(line, ',', &of_window).unwrap();
            assert_eq!(found, ["7", "A", "B", "search \"<ROOT>\" base, x"], "{line}");
        }
        let found = cells(r#""7","say "hi"","B","x""#, ',', &of_window).unwrap();
        assert_eq!(found[1], "say \"hi\"");
        assert_eq!(cells("\"7\",\"A\"", ',', &of_window), None);
    }

    #[test]
    fn every_separator_is_found_by_the_titles() {
        for separator in SEPARATORS {
            let titles = ["No.", "Time", "Source", "Destination", "Info"];
            let line = titles.join(&separator.to_string());
            assert_eq!(table(&format!("{line}\n1")).unwrap().0, separator);
        }
        for text in ["", "name,port\nldap,389", "Date;Level;Message", "a,b,c,d"] {
            assert!(table(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in "[\"a,;\t ]{0,40}") {
            let columns = columns("No.,Source,Destination,Info");
            if let Some(cells) = cells(&line, ',', &columns) {
                prop_assert_eq!(cells.len(), 4);
            }
        }

        #[test]
        fn what_is_quoted_as_it_should_be_is_read_back(
            written in prop::collection::vec("[a\", ;→]{0,6}", 1..6),
        ) {
            let quoted: Vec<String> =
                written.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            prop_assert_eq!(split(&quoted.join(","), ','), written);
        }
    }
}
