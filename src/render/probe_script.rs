//! A script that tries what no capture tried, for PowerShell 5.1 or newer.
//!
//! Plain ASCII with the line ends of Windows, so that every editor there shows it and every
//! version of PowerShell reads it alike. It starts, stops and changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::io::{BufWriter, Write};

use crate::diagnosis::{HostTries, is_host_name};
use crate::net::Address;
use crate::render::rules::inert;
use crate::report::Report;

/// A computer's NetBIOS name, which PowerShell tells, has so many letters at most.
const LONGEST_COMPUTER_NAME: usize = 15;

/// Asks the machine for its own addresses, and prints the time beside each line.
const FUNCTIONS: &str = r"$addresses = @([System.Net.NetworkInformation.NetworkInterface]::GetAllNetworkInterfaces() |
    ForEach-Object { $_.GetIPProperties().UnicastAddresses } |
    ForEach-Object { $_.Address.IPAddressToString -replace '%.*$', '' })
$ran = $false

function Test-Here([string[]] $itsAddresses, [string[]] $itsNames) {
    $common = @($itsAddresses | Where-Object { $addresses -contains $_ })
    ($common.Count -gt 0) -or ($itsNames -contains $env:COMPUTERNAME)
}

function Invoke-Line([string] $requirements, [scriptblock] $line) {
    Write-Output ''
    Write-Output ([DateTime]::UtcNow.ToString('o') + '  ' + $requirements)
    Write-Output ('> ' + $line.ToString().Trim())
    try { & $line 2>&1 | Out-String -Width 200 | Write-Output }
    catch { Write-Output ('failed: ' + $_.Exception.Message) }
}
";

/// Writes the script. Fails only where `out` does.
pub fn probe_script(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let (name, version) = (&report.generator.name, &report.generator.version);
    let lines: usize = report.to_try.iter().map(|host| host.tries.len()).sum();
    let mut text = format!(
        "# Tries what no capture tried yet. Made by {} {}.\n\
         # Run it in PowerShell 5.1 or newer on each host named below, while a capture runs there.\n\
         # It starts, stops and changes nothing. Each line is printed with the time in UTC at which\n\
         # it began, to be found in the capture. PortQry is a download of Microsoft; where it is\n\
         # missing, the lines that need it say so and the others run.\n\n",
        inert(name),
        inert(version)
    );
    if lines == 0 {
        text.push_str(
            "Write-Output 'nothing is left to try between hosts whose roles were given'\n",
        );
    } else {
        text.push_str(FUNCTIONS);
        let names = computer_names(report);
        for host in &report.to_try {
            block(&mut text, report, host, &names);
        }
        text.push_str(
            "\nif (-not $ran) {\n    Write-Warning ('no line is for this host: ' + $env:COMPUTERNAME \
             + ', ' + ($addresses -join ', '))\n}\n",
        );
    }
    out.write_all(text.replace('\n', "\r\n").as_bytes())?;
    out.flush()
}

/// Names by which the machines know themselves, where no two hosts to run on share one.
fn computer_names(report: &Report) -> BTreeMap<Address, Vec<String>> {
    let mut owners: BTreeMap<String, Vec<Address>> = BTreeMap::new();
    for host in &report.to_try {
        let record = report.hosts.iter().find(|record| record.address == host.host);
        let names = record.map_or(&[][..], |record| &record.names);
        let own = match host.host {
            Address::Name(name) => Some(name.text().to_string()),
            Address::Ip(_) | Address::Conversation(_) => None,
        };
        for name in names.iter().chain(&own).filter(|name| is_host_name(name)) {
            let label = name.split('.').next().unwrap_or_default();
            let name: String = label.chars().take(LONGEST_COMPUTER_NAME).collect();
            let owners = owners.entry(name.to_ascii_uppercase()).or_default();
            if !owners.contains(&host.host) {
                owners.push(host.host);
            }
        }
    }
    let mut names: BTreeMap<Address, Vec<String>> = BTreeMap::new();
    for (name, owners) in owners {
        if let [owner] = owners.as_slice() {
            names.entry(*owner).or_default().push(name);
        }
    }
    names
}

fn block(
    text: &mut String,
    report: &Report,
    host: &HostTries,
    names: &BTreeMap<Address, Vec<String>>,
) {
    let record = report.hosts.iter().find(|record| record.address == host.host);
    let others = record.map_or(&[][..], |record| &record.same_host);
    let addresses: Vec<String> = std::iter::once(&host.host)
        .chain(others)
        .filter_map(|address| address.ip())
        .map(|address| address.to_string())
        .collect();
    let own_names = names.get(&host.host).map_or(&[][..], Vec::as_slice);
    let shown: Vec<&str> = std::iter::once(&addresses)
        .flatten()
        .map(String::as_str)
        .chain(own_names.iter().map(String::as_str))
        .collect();
    let _ = write!(
        text,
        "\n# On {} ({})\nif (Test-Here {} {}) {{\n    $ran = $true\n",
        inert(&shown.join(", ")),
        inert(&host.role),
        array(&addresses),
        array(own_names)
    );
    // Nothing that portmortem made itself is left out here.
    for line in host.tries.iter().filter(|line| is_one_line(&line.command)) {
        let requirements = inert(&line.requirements.join(", "));
        let to = inert(&line.to.to_string());
        let _ = writeln!(text, "    Invoke-Line '{requirements} to {to}' {{ {} }}", line.command);
    }
    text.push_str("}\n");
}

/// Whether a command is a line of ASCII that ends no quote and no block of its own.
fn is_one_line(command: &str) -> bool {
    let shown = |byte: u8| (0x20..0x7f).contains(&byte);
    let count = |sign: char| command.matches(sign).count();
    command.bytes().all(shown) && count('{') == count('}') && count('\'').is_multiple_of(2)
}

fn array(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
    format!("@({})", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::Try;
    use crate::render::samples;

    fn report() -> Report {
        let mut report = samples::seed();
        let line = |command: &str| Try {
            to: "10.1.0.10".parse().unwrap(),
            requirements: vec!["smb".to_owned(), "gc-ldap".to_owned()],
            command: command.to_owned(),
        };
        report.to_try = vec![HostTries {
            host: "10.0.0.5".parse().unwrap(),
            role: "site-server".to_owned(),
            tries: vec![
                line("Test-NetConnection -ComputerName 10.1.0.10 -Port 445"),
                line(
                    "1,2 | ForEach-Object { Test-NetConnection -ComputerName 10.1.0.10 -Port $_ }",
                ),
            ],
        }];
        report
    }

    fn written(report: &Report) -> String {
        let mut bytes = Vec::new();
        probe_script(report, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_host_has_its_block_and_each_line_its_requirements() {
        let script = written(&report());
        for expected in [
            "# On 10.0.0.5, CAS01 (site-server)\r\n",
            "if (Test-Here @('10.0.0.5') @('CAS01')) {\r\n",
            "    Invoke-Line 'smb, gc-ldap to 10.1.0.10' { Test-NetConnection -ComputerName 10.1.0.10 \
             -Port 445 }\r\n",
        ] {
            assert!(script.contains(expected), "{expected}\n{script}");
        }
    }

    #[test]
    fn the_script_is_ascii_with_the_line_ends_of_windows() {
        let script = written(&report());
        assert!(script.is_ascii());
        assert_eq!(script.matches('\n').count(), script.matches("\r\n").count());
        assert_eq!(script.matches('{').count(), script.matches('}').count());
        assert_eq!(script.matches('\'').count() % 2, 0);
    }

    #[test]
    fn a_name_that_two_hosts_share_picks_neither() {
        let mut report = report();
        let mut other = report.to_try[0].clone();
        other.host = "10.1.0.10".parse().unwrap();
        report.to_try.push(other);
        report.hosts[0].names = vec!["dc01.root.example".to_owned()];
        report.hosts[1].names = vec!["DC01.child.example".to_owned()];
        let script = written(&report);
        assert!(script.contains("(Test-Here @('10.0.0.5') @())"), "{script}");
        assert!(script.contains("(Test-Here @('10.1.0.10') @())"), "{script}");
    }

    #[test]
    fn hostile_text_runs_nothing() {
        let mut report = report();
        report.hosts[0].names =
            vec!["'); calc; ('".to_owned(), "x\r\ncalc".to_owned(), "\u{2019}calc".to_owned()];
        report.to_try[0].role = "a)\r\ncalc #".to_owned();
        report.to_try[0].tries[0].requirements =
            vec!["'; calc; '".to_owned(), "$(calc)".to_owned()];
        // As in a report that somebody wrote by hand.
        report.to_try[0].tries[1].command = "x }\ncalc\n{".to_owned();
        let script = written(&report);
        let clean = written(&self::report());
        assert_eq!(script.lines().count() + 1, clean.lines().count(), "{script}");
        assert!(!script.contains("$(calc)") && !script.contains("'; calc"), "{script}");
        assert!(!script.lines().any(|line| line.trim_start().starts_with("calc")), "{script}");
        assert!(script.is_ascii());
    }

    #[test]
    fn where_nothing_is_left_to_try_the_script_says_so() {
        assert!(written(&samples::good()).contains("nothing is left to try"));
    }
}
