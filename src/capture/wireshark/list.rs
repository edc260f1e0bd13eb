//! Rows of a packet list as plain text: tshark's one line a packet, and what Wireshark's window
//! prints, exports and copies.
//!
//! tshark puts an arrow between the hosts (`→`, once `->`), the window does not. Columns are as
//! wide as they please, so cells are told by what they hold, from left to right.

use crate::capture::wireshark::clock;
use crate::capture::wireshark::columns::Columns;
use crate::capture::wireshark::draft::Draft;
use crate::capture::wireshark::fields::Field;

/// The columns of a line of titles (`No.     Time           Source …`).
pub(super) fn titles(line: &str) -> Option<Columns> {
    let line = line.trim();
    if !line.starts_with("No") && !line.starts_with('#') && !line.starts_with("Time") {
        return None;
    }
    let mut titles = Vec::new();
    for piece in pieces(line) {
        // Narrow columns have one blank between their titles, as some titles have in themselves.
        if Columns::knows(piece) {
            titles.push(piece);
        } else {
            titles.extend(piece.split(' '));
        }
    }
    Columns::of_titles(titles)
}

/// What lies between two blanks or more, or tabs.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    line.split('\t').flat_map(|part| part.split("  ")).map(str::trim).filter(|it| !it.is_empty())
}

/// Reads a row: with an arrow between the hosts, or as these columns have it.
pub(super) fn row(line: &str, columns: Option<&Columns>) -> Option<Draft> {
    arrow_row(line).or_else(|| match columns {
        Some(columns) => column_row(line, columns),
        None => plain_row(line),
    })
}

/// The next word of a text, and what follows it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The number and the time that a row begins with, where it has them.
fn beginning(line: &str) -> (Option<&str>, Option<&str>, &str) {
    let (number, rest) = match word(line) {
        Some((word, rest)) if word.bytes().all(|digit| digit.is_ascii_digit()) => {
            (Some(word), rest)
        }
        Some(_) | None => (None, line),
    };
    match clock::read_first(rest) {
        Some((_, after)) => {
            let time = rest.get(..rest.len().saturating_sub(after.len())).unwrap_or_default();
            (number, Some(time.trim()), after)
        }
        None => (number, None, rest),
    }
}

/// `7   0.001500   10.0.0.5 → 10.1.0.7   TCP 66 …`
fn arrow_row(line: &str) -> Option<Draft> {
    let (number, time, rest) = beginning(line);
    let (source, rest) = word(rest)?;
    let (arrow, rest) = word(rest)?;
    // Names of hosts may be in front of it, ports may not: that is a summary.
    let is_port = source.bytes().all(|digit| digit.is_ascii_digit());
    if !["→", "->"].contains(&arrow) || is_port {
        return None;
    }
    let (destination, rest) = word(rest)?;
    let (protocol, rest) = word(rest)?;
    if number.is_none() && time.is_none() {
        return None;
    }
    Some(draft(number, time, source, destination, protocol, rest))
}

/// The same without an arrow, as the window copies it: told by its addresses.
fn plain_row(line: &str) -> Option<Draft> {
    let (number, time, rest) = beginning(line);
    let (source, rest) = word(rest)?;
    let (destination, rest) = word(rest)?;
    let (protocol, rest) = word(rest)?;
    let is_address = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
    let whole = number.is_some() && time.is_some() && protocol.starts_with(char::is_alphabetic);
    (whole && is_address(source) && is_address(destination))
        .then(|| draft(number, time, source, destination, protocol, rest))
}

/// A row of Wireshark's own columns. `rest` is the length, which old versions do not show, and
/// the summary.
fn draft(
    number: Option<&str>,
    time: Option<&str>,
    source: &str,
    destination: &str,
    protocol: &str,
    rest: &str,
) -> Draft {
    let (length, info) = match word(rest) {
        Some((length, info)) if length.bytes().all(|digit| digit.is_ascii_digit()) => {
            // "52702 → 135": no length, but a port.
            let arrow = word(info).is_some_and(|(word, _)| ["→", "->", ">"].contains(&word));
            if arrow { ("", rest) } else { (length, info) }
        }
        Some(_) | None => ("", rest),
    };
    Columns::usual().draft([
        number.unwrap_or_default(),
        time.unwrap_or_default(),
        source,
        destination,
        protocol,
        length,
        info,
    ])
}

/// A row of the columns that a line of titles tells.
fn column_row(line: &str, columns: &Columns) -> Option<Draft> {
    let mut cells: Vec<&str> = Vec::new();
    let mut rest = line;
    let last = columns.len().checked_sub(1)?;
    for place in 0..columns.len() {
        rest = rest.trim_start();
        let field = columns.field(place);
        let (cell, after) = if place == last {
            (rest, "")
        } else if matches!(field, Some(Field::Time | Field::Date)) {
            let (_, after) = clock::read_first(rest)?;
            rest.split_at_checked(rest.len().saturating_sub(after.len()))?
        } else {
            word(rest)?
        };
        let digits = || !cell.is_empty() && cell.bytes().all(|digit| digit.is_ascii_digit());
        if matches!(field, Some(Field::FrameNumber | Field::FrameLength)) && !digits() {
            return None;
        }
        cells.push(cell);
        rest = after;
    }
    Some(columns.draft(cells))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::Transport;

    fn check(line: &str, columns: Option<&Columns>) {
        let draft = row(line, columns).unwrap_or_else(|| panic!("not read: {line}"));
        assert_eq!(draft.number, Some(6), "{line}");
        assert!(draft.time.is_some(), "{line}");
        let account = draft.account.unwrap();
        assert_eq!(account.source, Some("10.0.0.5".parse().unwrap()), "{line}");
        assert_eq!(account.destination, Some("10.1.0.7".parse().unwrap()), "{line}");
        assert_eq!(account.transport, Some(Transport::Tcp), "{line}");
        assert_eq!((account.source_port, account.destination_port), (Some(52690), Some(389)));
        assert_eq!(account.flags, Some(2), "{line}");
    }

    #[test]
    fn rows_of_tshark_are_read_in_every_form() {
        let info = "52690 → 389 [SYN] Seq=0 Win=8192 Len=0 MSS=1460";
        for time in ["0.001250", "09:30:00.001250", "2012-11-13 09:30:00.001250", "1352799000.5"] {
            check(&format!("    6 {time:>10}     10.0.0.5 → 10.1.0.7     TCP 66 {info}"), None);
        }
        check(&format!("6\t  0.001250\t    10.0.0.5\t→\t10.1.0.7    \tTCP\t66\t{info}"), None);
        let old = "52690 > ldap [SYN] Seq=0 Win=8192 Len=0 MSS=1460";
        check(&format!("  6   0.001250     10.0.0.5 -> 10.1.0.7     TCP 66 {old}"), None);
        check(&format!("  6   0.001250     10.0.0.5 -> 10.1.0.7     TCP {old}"), None);
        check(&format!("  6   0.001250     10.0.0.5 -> 10.1.0.7     TCP {info}"), None);
    }

    #[test]
    fn rows_of_the_window_are_read_with_and_without_their_titles() {
        let usual = "No.     Time           Source                Destination           Protocol \
                     Length Info";
        let line = "      6 0.001250       10.0.0.5              10.1.0.7              TCP      66     \
                    52690 → 389 [SYN] Seq=0 Win=8192 Len=0 MSS=1460";
        check(line, Some(&titles(usual).unwrap()));
        check(line, None);
        let own = titles("No.  Time  Source  Src Port  Destination  Protocol Info").unwrap();
        check(
            "  6  2012-11-13 09:30:00.5  10.0.0.5  52690  10.1.0.7  TCP  52690 → 389 [SYN] Seq=0",
            Some(&own),
        );
    }

    #[test]
    fn other_lines_are_no_rows() {
        for line in [
            "",
            "    Source Port: 52702",
            "52702 → 135 [SYN] Seq=0 Win=8192 Len=0",
            "1 2 3",
            "09:30:00.000250 IP 10.0.0.5.53211 > 10.1.0.7.53: 7994+ A? dc07. (41)",
            "see section 6 -> and then what",
        ] {
            assert!(row(line, None).is_none(), "{line}");
        }
        assert!(titles("Not a line of titles, Source or Destination").is_none());
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in "\\PC{0,60}", words in prop::collection::vec(
            prop::sample::select(vec!["6", "0.5", "10.0.0.5", "→", "->", ">", "TCP", "[SYN]", " ", "\t"]), 0..16,
        )) {
            let columns = titles("No. Time Source Destination Protocol Length Info");
            for text in [line, words.join(" ")] {
                let _ = (row(&text, columns.as_ref()), row(&text, None), titles(&text));
            }
        }
    }
}
