//! What stands to the left of a description: number, times, process, hosts, protocol.
//!
//! Network Monitor's grid has columns that the user chooses, and copies them with tabs between.
//! Mails and blogs make blanks of the tabs. So cells are found from the right: the protocol's
//! name, two hosts, a process, and times; the frame's number stands first.

use crate::capture::netmon_text::when::When;
use crate::net::{Address, FrameNumber};

/// What the cells of a row tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cells {
    /// Number of the frame.
    pub(super) number: Option<FrameNumber>,
    /// When it was captured.
    pub(super) when: When,
    /// Source and destination.
    pub(super) hosts: Option<(Address, Address)>,
    /// Whether the protocol's name stands in a cell of its own.
    pub(super) protocol_named: bool,
}

/// How sure it is that a word is a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hostlike {
    No,
    /// A name: many words of prose could be one.
    Name,
    /// An address, whole or with parts crossed out.
    Address,
}

/// Reads the cells left of a description of this protocol.
pub(super) fn read(left: &str, protocol: &str) -> Cells {
    let left = unquoted(left);
    let mut cells = Cells::default();
    let (mut words, separated) = words_of(&left);
    take_protocol(&mut cells, &mut words, protocol);
    if !take_hosts(&mut cells, &mut words, separated) && separated {
        // Only one blank was left between some of them.
        let mut again = words_between_blanks(&words);
        take_protocol(&mut cells, &mut again, protocol);
        if take_hosts(&mut cells, &mut again, false) {
            take_rest(&mut cells, &again);
            return cells;
        }
    }
    take_rest(&mut cells, &words);
    cells
}

/// Takes the last word, where it is the protocol's name in a cell of its own.
fn take_protocol(cells: &mut Cells, words: &mut Vec<&str>, protocol: &str) {
    if words.last().is_some_and(|last| last.eq_ignore_ascii_case(protocol)) {
        cells.protocol_named = true;
        words.pop();
    }
}

/// The line without what makes quoted mails, lists, tables and CSV of it.
fn unquoted(left: &str) -> String {
    let mut left = left.trim_start_matches([' ', '>', '*', '+', '•', '·', '#', '"']);
    if let Some(rest) = left.strip_prefix("- ") {
        left = rest;
    }
    let left = left.replace("\",\"", "\t").replace("\";\"", "\t");
    let left = if left.contains('|') { left.replace('|', "\t") } else { left };
    left.trim_end_matches(['"', '\'', ',', ';']).to_owned()
}

/// The words of the cells, and whether more than one blank stands between them.
fn words_of(left: &str) -> (Vec<&str>, bool) {
    let trimmed = left.trim();
    if trimmed.contains('\t') {
        let cells = trimmed.split('\t').map(str::trim).filter(|cell| !cell.is_empty());
        return (cells.collect(), true);
    }
    if trimmed.contains("  ") {
        let cells = trimmed.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        return (cells.collect(), true);
    }
    (trimmed.split(' ').filter(|word| !word.is_empty()).collect(), false)
}

fn words_between_blanks<'a>(cells: &[&'a str]) -> Vec<&'a str> {
    cells.iter().flat_map(|cell| cell.split(' ')).filter(|word| !word.is_empty()).collect()
}

/// Takes the last two words for the hosts, if they can be. Where only blanks stand between the
/// words, names need something beside them that prose does not have.
fn take_hosts(cells: &mut Cells, words: &mut Vec<&str>, separated: bool) -> bool {
    let [before @ .., source, destination] = words.as_slice() else { return false };
    let like = hostlike(source).min(hostlike(destination));
    let numbered = before.first().is_some_and(|first| frame_number(first).is_some());
    let orderly = before.iter().all(|word| is_orderly(word));
    let sure = match like {
        Hostlike::No => false,
        Hostlike::Address => true,
        Hostlike::Name => {
            let named = cells.protocol_named;
            separated || numbered && (orderly || named) || named && orderly
        }
    };
    let hosts = (address(source), address(destination));
    let (true, (Some(source), Some(destination))) = (sure, hosts) else { return false };
    let left = before.len();
    // Crossed out alike, they tell no more than that there were two.
    if source != destination || source.ip().is_some() {
        cells.hosts = Some((source, destination));
    }
    words.truncate(left);
    true
}

/// Whether a word is one of those that stand left of the hosts.
fn is_orderly(word: &str) -> bool {
    frame_number(word).is_some() || When::default().take(word) || is_process(word)
}

fn is_process(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    lower.rsplit_once('.').is_some_and(|(_, extension)| extension == "exe")
        || lower == "unavailable"
        || word.starts_with('(') && word.ends_with(')')
}

/// Takes what stands left of the hosts.
fn take_rest(cells: &mut Cells, words: &[&str]) {
    let words = words_between_blanks(words);
    for (place, word) in words.iter().enumerate() {
        match frame_number(word) {
            Some(number) if place == 0 => cells.number = Some(number),
            _ => {
                cells.when.take(word);
            }
        }
    }
}

fn frame_number(word: &str) -> Option<FrameNumber> {
    let digits = (1..=10).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { word.parse().ok()? } else { return None };
    (number > 0).then_some(FrameNumber(number))
}

/// A host as it is written, without the brackets of somebody who crossed it out.
fn address(word: &str) -> Option<Address> {
    bare(word).parse().ok()
}

fn bare(word: &str) -> &str {
    word.trim_matches(|edge| matches!(edge, '[' | ']' | '<' | '>' | '(' | ')' | '"' | '\'' | ','))
}

fn hostlike(word: &str) -> Hostlike {
    if word.starts_with('(') || is_process(word) || When::default().take(word) {
        return Hostlike::No;
    }
    let word = bare(word);
    let Some(address) = address(word) else { return Hostlike::No };
    let crossed_out = || {
        let parts: Vec<&str> = word.split('.').collect();
        let part = |part: &&str| {
            part.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'x' | b'X' | b'*'))
                && !part.is_empty()
        };
        parts.len() == 4 && parts.iter().all(part)
    };
    match address {
        Address::Ip(_) => Hostlike::Address,
        Address::Conversation(_) | Address::Name(_) if crossed_out() => Hostlike::Address,
        Address::Conversation(_) | Address::Name(_) => {
            let letters = word.contains(char::is_alphabetic);
            if letters && !word.ends_with(':') { Hostlike::Name } else { Hostlike::No }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(left: &str) -> String {
        let cells = read(left, "TCP");
        let number = cells.number.map_or("-".to_owned(), |number| number.to_string());
        let time = if cells.when.counted_from().is_some() { "time" } else { "-" };
        let hosts = match cells.hosts {
            Some((source, destination)) => format!("{source}>{destination}"),
            None => "-".to_owned(),
        };
        format!("{number} {time} {hosts}")
    }

    #[test]
    fn cells_are_found_however_they_are_separated() {
        for (left, expected) in [
            ("101\t7:34:33 AM 11/18/2019\t2.26\tlsass.exe\tCAS\tDC1\tTCP\t", "101 time CAS>DC1"),
            ("101   7:34:33 AM   2.26   lsass.exe   CAS   DC1   TCP   ", "101 time CAS>DC1"),
            ("101 7:34:33 AM 11/18/2019 2.26 lsass.exe CAS DC1 TCP ", "101 time CAS>DC1"),
            ("PortQry.exe\tCAS\tDC1 \tTCP\t", "- - CAS>DC1"),
            ("66 CAS DC1 ", "66 - CAS>DC1"),
            ("101 00:59:30.0738430 (828) 10.0.0.5 10.1.0.10 TCP ", "101 time 10.0.0.5>10.1.0.10"),
            ("101\t18-11-2019\t19:34:33\tUnavailable\tCAS\tDC1\tTCP\t", "101 time CAS>DC1"),
            ("10.0.0.5 10.1.0.10 ", "- - 10.0.0.5>10.1.0.10"),
            ("fe80::1 fe80::2 TCP ", "- - fe80::1>fe80::2"),
            ("192.x.x.x x.x.1.1 TCP ", "- - 192.x.x.x>x.x.1.1"),
            ("*.*.*.* *.*.*.* TCP ", "- - -"),
            ("SERVER CLIENT TCP ", "- - SERVER>CLIENT"),
            ("7 1.4523 0.0001 <srv-a> [cli-b] TCP ", "7 time srv-a>cli-b"),
            ("> 7 CAS DC1 TCP ", "7 - CAS>DC1"),
            ("* CAS DC1 TCP ", "- - CAS>DC1"),
            ("| 12 | CAS | DC1 | TCP | ", "12 - CAS>DC1"),
            ("\"12\",\"7:34:33 AM\",\"CAS\",\"DC1\",\"TCP\",\"", "12 time CAS>DC1"),
            ("101\t7:34:33\tMS Agent\tCAS\tDC1\tTCP\t", "101 time CAS>DC1"),
            ("12  7:34:33  svchost.exe  CAS DC1  TCP  ", "12 time CAS>DC1"),
            ("DC1   10.0.0.5 TCP ", "- - DC1>10.0.0.5"),
            ("12 CAS         DC1.corp.example  TCP        ", "12 - CAS>DC1.corp.example"),
            // Times crossed out, unlike any time.
            (
                "12 hh:mm:ss hh:mm:ss yyyy/mm/dd 7.25  (0) DC1   10.0.0.5 TCP ",
                "12 time DC1>10.0.0.5",
            ),
        ] {
            assert_eq!(shown(left), expected, "{left}");
        }
    }

    #[test]
    fn rows_without_hosts_have_none() {
        for (left, expected) in [
            ("", "- - -"),
            ("TCP ", "- - -"),
            ("101 TCP ", "101 - -"),
            ("101\t7:34:33 AM\tsvchost.exe\tTCP\t", "101 time -"),
            ("The entry below means ", "- - -"),
            ("- ", "- - -"),
            ("Here is what came next: TCP ", "- - -"),
        ] {
            assert_eq!(shown(left), expected, "{left}");
        }
    }

    proptest! {
        #[test]
        fn no_text_stops_it(left in "[ \\t|\"0-9a-zA-Z:.,*<>()-]{0,60}|\\PC{0,40}") {
            let _ = read(&left, "TCP");
        }
    }
}
