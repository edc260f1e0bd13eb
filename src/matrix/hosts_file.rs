//! Names that the user gives: a hosts file (`--hosts`).
//!
//! An address and its names in a line, as in `/etc/hosts` and
//! `C:\Windows\System32\drivers\etc\hosts`, or with commas between them, as tables are saved. A
//! line that makes no sense is told with its number, and the others count.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::matrix::fault::quoted;
use crate::net::{looks_like_a_name, without_root};

/// Lines that are read. More is not the file that was meant.
const MOST_LINES: usize = 1_000_000;
/// Lines about which is told what is wrong.
const MOST_PROBLEMS: usize = 100;

/// Names that the user gave to an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenNames {
    /// The address.
    pub address: IpAddr,
    /// Its names, as given: the first is the one it is shown by.
    pub names: Vec<String>,
}

/// A hosts file: what could be read of it, and what could not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostsFile {
    /// Its path.
    pub path: String,
    /// What it gives, in its order.
    pub hosts: Vec<GivenNames>,
    /// What is wrong with other lines, each with its place: "line 2, column 1: ...".
    pub problems: Vec<String>,
}

/// Reads a hosts file.
pub fn parse_hosts_file(text: &str, path: &str) -> HostsFile {
    let mut hosts = Vec::new();
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.lines().take(MOST_LINES)) {
        match read_line(line, number == 1) {
            Ok(line) => hosts.extend(line),
            Err((column, message)) if problems.len() < MOST_PROBLEMS => {
                problems.push(format!("line {number}, column {column}: {message}"));
            }
            Err(_) => {}
        }
    }
    HostsFile { path: path.to_owned(), hosts, problems }
}

/// What a line gives; the error is a column, from 1, and what is wrong there.
fn read_line(line: &str, is_first: bool) -> Result<Option<GivenNames>, (usize, String)> {
    let content = line.split('#').next().unwrap_or_default();
    let separates =
        |letter: char| letter.is_whitespace() || matches!(letter, ',' | ';' | '\u{feff}');
    let mut words =
        content.split(separates).map(|word| word.trim_matches('"')).filter(|it| !it.is_empty());
    let Some(first) = words.next() else { return Ok(None) };
    let column = |word: &str| {
        let at = (word.as_ptr().addr()).saturating_sub(line.as_ptr().addr());
        line.get(..at).unwrap_or_default().chars().count() + 1
    };
    // Addresses of IPv6 may have a zone behind them, which counts on one machine only.
    let plain = first.split('%').next().unwrap_or(first);
    let Ok(address) = plain.parse::<IpAddr>() else {
        // Tables begin with the names of their columns.
        if is_first && content.contains([',', ';']) {
            return Ok(None);
        }
        let message = format!("{} is no address: write ADDRESS NAME", quoted(first));
        return Err((column(first), message));
    };
    let mut names = Vec::new();
    for word in words {
        let name = without_root(word);
        if !looks_like_a_name(name) {
            let message = format!("{} is no name of a host", quoted(word));
            return Err((column(word), message));
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err((column(first), format!("{} has no name: write ADDRESS NAME", quoted(first))));
    }
    Ok(Some(GivenNames { address, names }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let HostsFile { hosts, problems, .. } = parse_hosts_file(text, "hosts");
        let line = |given: &GivenNames| format!("{} {}", given.address, given.names.join(" "));
        (hosts.iter().map(line).collect(), problems)
    }

    #[test]
    fn a_hosts_file_gives_names_to_addresses() {
        let text = "\u{feff}# made by hand\r\n10.0.0.5\tCAS01.corp.example. cas01 # the CAS\r\n\r\n\
                    fe80::5%12 cas01\r\n";
        let expected = ["10.0.0.5 CAS01.corp.example cas01", "fe80::5 cas01"];
        assert_eq!(read(text), (expected.map(str::to_owned).to_vec(), Vec::new()));
    }

    #[test]
    fn a_table_may_have_commas_quotes_and_a_heading() {
        let text = "Address,Name\n10.0.0.5,CAS01\n\"10.1.0.10\";\"DC1.corp.example\"\n";
        let expected = ["10.0.0.5 CAS01", "10.1.0.10 DC1.corp.example"];
        assert_eq!(read(text), (expected.map(str::to_owned).to_vec(), Vec::new()));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_told_and_the_others_count() {
        let text = "10.0.0.5 cas01\n10.0.0.999 dc1\n10.1.0.10\n10.1.0.11 <dc2>\n10.1.0.12 dc3\n";
        let (given, faults) = read(text);
        assert_eq!(given, ["10.0.0.5 cas01", "10.1.0.12 dc3"]);
        assert_eq!(
            faults,
            [
                "line 2, column 1: \"10.0.0.999\" is no address: write ADDRESS NAME",
                "line 3, column 1: \"10.1.0.10\" has no name: write ADDRESS NAME",
                "line 4, column 11: \"<dc2>\" is no name of a host",
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,80}") {
            let file = parse_hosts_file(&text, "x");
            proptest::prop_assert!(file.hosts.iter().all(|it| it.names.iter().all(|name| looks_like_a_name(name))));
        }
    }
}
