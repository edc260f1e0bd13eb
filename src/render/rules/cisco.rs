//! Rules as an extended access list of Cisco IOS, which many other firewalls read or resemble: one
//! line for each pair of hosts and port.

use std::io;
use std::io::Write;
use std::net::IpAddr;

use crate::diagnosis::Rule;
use crate::render::rules::{about, numbered, preface, ranges, ways};
use crate::render::triage::rows_of;
use crate::report::Report;

/// Longer remarks are refused.
const LONGEST_REMARK: usize = 100;

pub(super) fn list(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for text in preface(report, "Rules as an extended access list") {
        writeln!(out, "! {text}")?;
    }
    for text in [
        "Answers must pass as well: a firewall that keeps state lets them through by itself; a",
        "plain access list the other way needs an entry for them (permit tcp ... established).",
    ] {
        writeln!(out, "! {text}")?;
    }
    let missing = numbered(report).flat_map(|(number, rule)| {
        let told = about(report, number, rule).into_iter();
        told.filter(|line| line.contains("not written")).map(move |line| (number, line))
    });
    for (number, text) in missing {
        writeln!(
            out,
            "! Rule {number}:{}",
            text.trim_start_matches(' ').replace("not written", " not written")
        )?;
    }
    for (version, title) in
        [(4, "ip access-list extended PORTMORTEM"), (6, "ipv6 access-list PORTMORTEM6")]
    {
        let mut lines = Vec::new();
        for (number, rule) in numbered(report) {
            let mut of_rule = Vec::new();
            for (from, to) in ways(rule) {
                for from in from.iter().filter(|host| of_version(host, version)) {
                    let to = to.iter().filter(|host| of_version(host, version));
                    for to in to.filter(|to| *to != from) {
                        of_rule.extend(entries(number, rule, *from, *to));
                    }
                }
            }
            if !of_rule.is_empty() {
                for text in about(report, number, rule) {
                    lines.push(format!(" remark {}", remark(&text)));
                }
                lines.extend(of_rule);
            }
        }
        if !lines.is_empty() {
            writeln!(out, "{title}")?;
            for line in lines {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

fn of_version(address: &IpAddr, version: u8) -> bool {
    address.is_ipv4() == (version == 4)
}

fn entries(number: usize, rule: &Rule, from: IpAddr, to: IpAddr) -> Vec<String> {
    let mut entries = Vec::new();
    for row in rows_of(number, rule) {
        for range in ranges(&row) {
            let ports = match range.split_once('-') {
                Some((first, last)) => format!("range {first} {last}"),
                None => format!("eq {range}"),
            };
            entries.push(format!(" permit {} host {from} host {to} {ports}", row.transport));
        }
    }
    entries
}

/// A remark of the length that is taken, cut between words.
fn remark(text: &str) -> &str {
    let text = text.trim();
    match text.get(..LONGEST_REMARK) {
        Some(cut) if text.len() > LONGEST_REMARK => {
            cut.rsplit_once(' ').map_or(cut, |(cut, _)| cut)
        }
        Some(_) | None => text,
    }
}
