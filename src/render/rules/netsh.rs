//! Rules for Windows' own firewall, as commands of `netsh advfirewall` (Windows Vista and Server
//! 2008 or newer), for a command prompt or a batch file.

use std::io;
use std::io::Write;
use std::net::IpAddr;

use crate::render::rules::{about, numbered, preface, protocol, ranges, ways};
use crate::render::triage::rows_of;
use crate::report::Report;

/// Addresses on one side of a command: a line of `cmd` holds 8191 characters.
const MOST_ADDRESSES: usize = 60;

pub(super) fn script(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for text in preface(report, "Rules for the Windows firewall") {
        remark(out, &text)?;
    }
    for text in [
        "Run this as administrator on the hosts that are called. A rule names its host, so that it",
        "matches nothing on another one. Firewalls on the way are not touched by it.",
        "To take a rule back: netsh advfirewall firewall delete rule name=NAME",
    ] {
        remark(out, text)?;
    }
    for (number, rule) in numbered(report) {
        line(out, "")?;
        for text in about(report, number, rule) {
            remark(out, &text)?;
        }
        for (from, to) in ways(rule) {
            for row in rows_of(number, rule) {
                let (protocol, ports) = (protocol(row.transport), ranges(&row).join(","));
                for to in to.chunks(MOST_ADDRESSES) {
                    for from in from.chunks(MOST_ADDRESSES) {
                        let command = format!(
                            "netsh advfirewall firewall add rule name=\"portmortem rule {number} \
                             {protocol}\" dir=in action=allow protocol={protocol} localip={} \
                             localport={ports} remoteip={}",
                            list(to),
                            list(from)
                        );
                        line(out, &command)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",")
}

fn remark(out: &mut dyn Write, text: &str) -> io::Result<()> {
    line(out, &format!("rem {text}"))
}

fn line(out: &mut dyn Write, text: &str) -> io::Result<()> {
    write!(out, "{text}\r\n")
}
