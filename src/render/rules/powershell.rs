//! Rules for Windows' own firewall, as commands of PowerShell (`New-NetFirewallRule`, Windows 8 and
//! Server 2012 or newer).
//!
//! Every value stands in single quotes, where PowerShell expands nothing; none has a quote in it.

use std::io;
use std::io::Write;
use std::net::IpAddr;

use crate::render::rules::{about, numbered, preface, protocol, ranges, ways};
use crate::render::triage::rows_of;
use crate::report::Report;

const GROUP: &str = "portmortem";

pub(super) fn script(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for line in preface(report, "Rules for the Windows firewall") {
        comment(out, &line)?;
    }
    for line in [
        "Run this as administrator on the hosts that are called. A rule names its host, so that it",
        "matches nothing on another one. Firewalls on the way are not touched by it.",
    ] {
        comment(out, line)?;
    }
    comment(out, &format!("To take the rules back: Remove-NetFirewallRule -Group '{GROUP}'"))?;
    for (number, rule) in numbered(report) {
        line(out, "")?;
        for text in about(report, number, rule) {
            comment(out, &text)?;
        }
        for (from, to) in ways(rule) {
            for row in rows_of(number, rule) {
                let protocol = protocol(row.transport);
                let ports = quoted(&ranges(&row));
                let (from, to) = (quoted_addresses(&from), quoted_addresses(&to));
                let rule = format!(
                    "New-NetFirewallRule -Group '{GROUP}' -DisplayName '{GROUP} rule {number}, {protocol}'"
                );
                line(
                    out,
                    &format!(
                        "{rule} -Direction Inbound -Action Allow -Protocol {protocol} -LocalAddress {to} \
                         -LocalPort {ports} -RemoteAddress {from}"
                    ),
                )?;
                comment(
                    out,
                    "Only where outgoing connections are blocked, on the hosts that open:",
                )?;
                comment(
                    out,
                    &format!(
                        "{rule} -Direction Outbound -Action Allow -Protocol {protocol} -LocalAddress \
                         {from} -RemoteAddress {to} -RemotePort {ports}"
                    ),
                )?;
            }
        }
    }
    Ok(())
}

fn quoted_addresses(addresses: &[IpAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    quoted(&addresses.iter().map(String::as_str).collect::<Vec<_>>())
}

fn quoted(values: &[&str]) -> String {
    values.iter().map(|value| format!("'{value}'")).collect::<Vec<_>>().join(",")
}

fn comment(out: &mut dyn Write, text: &str) -> io::Result<()> {
    line(out, &format!("# {text}"))
}

fn line(out: &mut dyn Write, text: &str) -> io::Result<()> {
    write!(out, "{text}\r\n")
}
