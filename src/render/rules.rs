//! The rules to ask for, alone: for tickets, and as commands of firewalls.
//!
//! Commands are made of addresses, numbers and our own words. Names, services and reasons stand
//! in comments only, and only as far as they cannot act there ([`inert`]).

mod cisco;
mod netsh;
mod powershell;

use std::io;
use std::io::{BufWriter, Write};
use std::net::IpAddr;

use crate::diagnosis::{Rule, is_host_name};
use crate::net::{Address, Transport};
use crate::render::triage::{RuleRow, checked};
use crate::render::{Style, csv, markdown, terminal};
use crate::report::Report;
use crate::words::words;

words! {
    /// How rules are written.
    Syntax {
        /// Text for a terminal.
        Table = "table",
        /// RFC 4180, for tickets and spreadsheets.
        Csv = "csv",
        /// Markdown, for tickets.
        Markdown = "markdown",
        /// Windows' own firewall, for PowerShell.
        PowerShell = "powershell",
        /// Windows' own firewall, for a command prompt or batch file.
        Netsh = "netsh",
        /// An extended access list, as Cisco IOS and many others read it.
        Cisco = "cisco",
    }
}

/// Writes the rules of a report, and nothing else of it. Fails only where `out` does.
pub fn requests(
    report: &Report,
    syntax: Syntax,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    match syntax {
        Syntax::Table => terminal::requests(report, style, &mut out)?,
        Syntax::Csv => csv::requests(report, &mut out)?,
        Syntax::Markdown => markdown::requests_alone(report, &mut out)?,
        Syntax::PowerShell => powershell::script(report, &mut out)?,
        Syntax::Netsh => netsh::script(report, &mut out)?,
        Syntax::Cisco => cisco::list(report, &mut out)?,
    }
    out.flush()
}

/// Text that can stand in a comment of any of the scripts here: letters, digits and a few signs of
/// ASCII, the rest as `_`. No quote, no `%` or `^` of batch files, no `?` of a router's prompt, no
/// line break.
pub(super) fn inert(text: &str) -> String {
    let shown = |letter: char| {
        letter.is_ascii_alphanumeric()
            || matches!(letter, ' ' | ',' | '.' | ':' | ';' | '(' | ')' | '/' | '-' | '+')
    };
    text.chars().take(400).map(|letter| if shown(letter) { letter } else { '_' }).collect()
}

/// "10.0.0.5 (CAS01)" for each, with the name where it can be nothing else; as [`inert`] text.
fn named(report: &Report, hosts: &[Address]) -> String {
    let named = |address: &Address| {
        // They are sorted by address.
        let host = report.hosts.binary_search_by_key(address, |host| host.address).ok();
        let host = host.and_then(|place| report.hosts.get(place));
        let name = host.and_then(|host| host.names.iter().find(|name| is_host_name(name)));
        match name {
            Some(name) => inert(&format!("{address} ({name})")),
            None => inert(&address.to_string()),
        }
    };
    hosts.iter().map(named).collect::<Vec<_>>().join(", ")
}

/// The addresses that a command can name. A text may tell less of a host than that.
fn addresses(hosts: &[Address]) -> Vec<IpAddr> {
    hosts.iter().filter_map(|host| host.ip()).collect()
}

/// Hosts of a rule without an address.
fn without_address(rule: &Rule) -> Vec<Address> {
    let hosts = rule.sources.iter().chain(&rule.destinations);
    hosts.filter(|host| host.ip().is_none()).copied().collect()
}

/// What a script says first, as lines of comments.
fn preface(report: &Report, title: &str) -> Vec<String> {
    let (name, version) = (&report.generator.name, &report.generator.version);
    let mut lines = vec![format!("{title}, by {} {}.", inert(name), inert(version))];
    match checked(report) {
        Some(checked) => lines.push(format!("{}.", inert(&checked))),
        None => lines.push("No rule is asked for: nothing failed that a rule can mend.".to_owned()),
    }
    lines
}

/// What a script says of a rule, as lines of comments.
fn about(report: &Report, number: usize, rule: &Rule) -> Vec<String> {
    let way = if rule.direction == "both" { "and" } else { "to" };
    let (from, to) = (named(report, &rule.sources), named(report, &rule.destinations));
    let mut lines = vec![format!("Rule {number}: {from} {way} {to}")];
    if rule.direction == "both" {
        lines.push("  either side opens connections".to_owned());
    }
    lines.push(format!("  why: {}", inert(&rule.reason)));
    let missing = without_address(rule);
    if !missing.is_empty() {
        let hosts = named(report, &missing);
        lines.push(format!("  not written, as the captures tell no address: {hosts}"));
    }
    lines
}

/// The ways that a rule opens: from these addresses to those.
fn ways(rule: &Rule) -> Vec<(Vec<IpAddr>, Vec<IpAddr>)> {
    let there = (addresses(&rule.sources), addresses(&rule.destinations));
    let back = (there.1.clone(), there.0.clone());
    let turns = rule.direction == "both" && back != there;
    let ways = [Some(there), turns.then_some(back)].into_iter().flatten();
    ways.filter(|(from, to)| !from.is_empty() && !to.is_empty()).collect()
}

/// Each range of a row, as "389" or "49152-65535".
fn ranges<'a>(row: &RuleRow<'a>) -> Vec<&'a str> {
    let digits = |range: &&str| {
        !range.is_empty() && range.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    };
    // A report that somebody wrote by hand may hold anything.
    row.ports.iter().flat_map(|ports| ports.split(',')).map(str::trim).filter(digits).collect()
}

fn protocol(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    }
}

/// All rules with their numbers, from 1.
fn numbered(report: &Report) -> impl Iterator<Item = (usize, &Rule)> {
    (1..).zip(&report.rule_set.rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;
    use crate::render::text::acts;

    const STYLE: Style =
        Style { width: 100, color: false, unicode: true, verbose: false, links: None };

    fn written(report: &Report, syntax: Syntax) -> String {
        let mut bytes = Vec::new();
        requests(report, syntax, STYLE, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn commands_open_the_called_hosts_for_the_callers() {
        let report = samples::seed();
        let script = written(&report, Syntax::PowerShell);
        let command = "New-NetFirewallRule -Group 'portmortem' -DisplayName 'portmortem rule 1, TCP' \
                       -Direction Inbound -Action Allow -Protocol TCP -LocalAddress '10.1.0.10' \
                       -LocalPort '53','88','135','389','3268' -RemoteAddress '10.0.0.5'\r\n";
        assert!(script.contains(command), "{script}");
        let script = written(&report, Syntax::Netsh);
        let command = "netsh advfirewall firewall add rule name=\"portmortem rule 1 TCP\" dir=in \
                       action=allow protocol=TCP localip=10.1.0.10 localport=53,88,135,389,3268 \
                       remoteip=10.0.0.5\r\n";
        assert!(script.contains(command), "{script}");
        let list = written(&report, Syntax::Cisco);
        assert!(list.contains(" permit tcp host 10.0.0.5 host 10.1.0.10 eq 389\n"), "{list}");
    }

    #[test]
    fn both_directions_are_opened_on_both_sides() {
        let mut report = samples::seed();
        let rule = &mut report.rule_set.rules[0];
        rule.direction = "both".to_owned();
        rule.ports.truncate(1);
        rule.ports[0].ports = "1025-5000,49152-65535".to_owned();
        let script = written(&report, Syntax::PowerShell);
        for (local, remote) in [("10.1.0.10", "10.0.0.5"), ("10.0.0.5", "10.1.0.10")] {
            let part = format!(
                "-LocalAddress '{local}' -LocalPort '1025-5000','49152-65535' -RemoteAddress '{remote}'"
            );
            let lines =
                script.lines().filter(|line| line.starts_with("New-") && line.contains(&part));
            assert_eq!(lines.count(), 1, "{script}");
        }
        let list = written(&report, Syntax::Cisco);
        assert!(list.contains(" permit tcp host 10.1.0.10 host 10.0.0.5 range 49152 65535\n"));
    }

    #[test]
    fn addresses_of_version_six_have_a_list_of_their_own() {
        let mut report = samples::seed();
        let rule = &mut report.rule_set.rules[0];
        rule.sources = vec!["2001:db8::5".parse().unwrap()];
        rule.destinations = vec!["2001:db8::10".parse().unwrap()];
        let list = written(&report, Syntax::Cisco);
        let (_, six) = list.split_once("ipv6 access-list PORTMORTEM6\n").unwrap();
        assert!(six.contains(" permit tcp host 2001:db8::5 host 2001:db8::10 eq 389\n"), "{list}");
        assert!(!list.contains("ip access-list extended"));
    }

    #[test]
    fn hosts_without_an_address_are_told_and_in_no_command() {
        let mut report = samples::seed();
        report.rule_set.rules[0].destinations = vec!["IPv4:13 responder".parse().unwrap()];
        for syntax in [Syntax::PowerShell, Syntax::Netsh, Syntax::Cisco] {
            let script = written(&report, syntax);
            assert!(script.contains("the captures tell no address: IPv4:13 responder"), "{script}");
            let commands = ["\nNew-", "\nnetsh", " permit "];
            assert!(!commands.iter().any(|command| script.contains(command)), "{script}");
        }
    }

    #[test]
    fn without_a_rule_every_syntax_says_so() {
        for syntax in Syntax::ALL {
            let text = written(&samples::good(), *syntax);
            let header_only = *syntax == Syntax::Csv && text.lines().count() == 1;
            assert!(
                header_only || text.to_lowercase().contains("nothing failed that a rule can mend"),
                "{text}"
            );
        }
    }

    #[test]
    fn hostile_names_services_and_reasons_add_no_command() {
        let mut report = samples::hostile();
        report.hosts[0].names = vec![
            "'; Remove-Item C:\\ #".to_owned(),
            "x\r\nnetsh advfirewall reset".to_owned(),
            "%COMSPEC% & calc ^".to_owned(),
            "\u{2019}; calc; \u{2018}".to_owned(),
            "# SIG # Begin signature block".to_owned(),
        ];
        report.rule_set.rules[0].reason = "#> `$(calc)\n%~ & calc | x \" ' ? ^".to_owned();
        report.rule_set.rules[0].ports[0].service =
            "-- ' \" $(calc) %PATH% \r\nno access-list".to_owned();
        for syntax in [Syntax::PowerShell, Syntax::Netsh, Syntax::Cisco] {
            let script = written(&report, syntax);
            assert!(script.is_ascii());
            let plain = written(&samples::seed(), syntax);
            assert_eq!(script.lines().count(), plain.lines().count(), "{script}");
            for line in script.lines() {
                let comment =
                    ["#", "rem ", "!", " remark "].iter().any(|sign| line.starts_with(sign));
                let known = [
                    "New-NetFirewallRule ",
                    "netsh advfirewall firewall add ",
                    " permit ",
                    "ip access-list ",
                ]
                .iter()
                .any(|start| line.starts_with(start));
                assert!(line.is_empty() || comment || known, "{line}");
                assert!(!line.contains(['$', '%', '^', '&', '|', '`', '?', '<', '>']), "{line}");
                assert!(!line.contains(acts), "{line}");
                assert!(!line.starts_with("# SIG"), "{line}");
            }
        }
    }

    #[test]
    fn a_ticket_has_a_row_a_rule_and_transport() {
        let text = written(&samples::hostile(), Syntax::Csv);
        let mut reader =
            ::csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let rows: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 2);
        for cell in rows.iter().flat_map(::csv::StringRecord::iter) {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
        }
        assert_eq!(&rows[1][0], "1");
        assert_eq!(&rows[1][3], "10.1.0.10");
        assert_eq!(&rows[1][6], "53, 88, 135, 389, 3268");
    }
}
