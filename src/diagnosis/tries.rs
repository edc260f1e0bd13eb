//! What nobody tried: the lines to run during the next capture, by the host to run them on.
//!
//! Lines are for PowerShell 5.1 or newer and name hosts by address. `PortQry` is a download of
//! Microsoft; everything else is part of Windows. Of what the captures say only names of domains
//! get into a line, and only if they can be nothing but that.

use std::collections::BTreeMap;

use crate::diagnosis::Evidence;
use crate::diagnosis::record::{HostTries, Try};
use crate::matrix::{Cell, HostRecord, Outcome, Requirement};
use crate::net::{Address, Transport};

pub(super) fn to_try(evidence: &Evidence<'_>) -> Vec<HostTries> {
    let requirements: BTreeMap<&str, &Requirement> =
        evidence.matrix.requirements.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut by_host: BTreeMap<Address, HostTries> = BTreeMap::new();
    let mut known: BTreeMap<(Address, String), usize> = BTreeMap::new();
    let untried = evidence.sheet.cells.iter().filter(|cell| {
        // Where nobody listens, a try teaches nothing.
        cell.outcome == Outcome::NotExercised && cell.listener_known
    });
    let untried: Vec<&Cell> = untried.collect();
    let pair = |cell: &Cell| (cell.from.address, cell.to.address);
    for cells in untried.chunk_by(|a, b| pair(a) == pair(b)) {
        let Some(first) = cells.first() else { continue };
        let rows: Vec<&Requirement> = cells
            .iter()
            .filter_map(|cell| requirements.get(cell.requirement.as_str()).copied())
            .collect();
        // They are sorted by address.
        let host = evidence.hosts.binary_search_by_key(&first.to.address, |host| host.address);
        let host = host.ok().and_then(|place| evidence.hosts.get(place));
        let tries = of_pair(first.to.address, host, &rows);
        if tries.is_empty() {
            continue;
        }
        let of_host = by_host.entry(first.from.address).or_insert_with(|| HostTries {
            host: first.from.address,
            role: first.from.role.to_string(),
            tries: Vec::new(),
        });
        for line in tries {
            // One search for a domain serves all of its domain controllers.
            let key = (first.from.address, line.command.clone());
            let place = *known.entry(key).or_insert(of_host.tries.len());
            match of_host.tries.get_mut(place) {
                Some(earlier) => {
                    for row in line.requirements {
                        if !earlier.requirements.contains(&row) {
                            earlier.requirements.push(row);
                        }
                    }
                }
                None => of_host.tries.push(line),
            }
        }
    }
    by_host.into_values().collect()
}

/// The lines that try these rows on one host.
fn of_pair(to: Address, host: Option<&HostRecord>, rows: &[&Requirement]) -> Vec<Try> {
    // Of a host without an address, a command can use the name, if it is one.
    let target = match to {
        Address::Ip(address) => address.to_string(),
        Address::Name(name) if is_host_name(&name.text()) => name.text().to_string(),
        Address::Name(_) | Address::Conversation(_) => return Vec::new(),
    };
    let domain = host.and_then(domain_of);
    let mut lines = Lines { to, tries: Vec::new() };
    lines.tcp_ports(&target, rows);
    for row in rows.iter().filter(|row| row.transport == Transport::Udp && !row.rpc_dynamic) {
        for range in &row.ports {
            lines.udp_port(&target, range.first, domain, &row.id);
        }
    }
    for row in rows.iter().filter(|row| row.transport == Transport::Tcp && row.rpc_dynamic) {
        lines.add(rpc_ports(&target), &row.id);
    }
    lines.tries
}

struct Lines {
    to: Address,
    tries: Vec<Try>,
}

impl Lines {
    /// Adds a line, or a row to the line that is there already.
    fn add(&mut self, command: String, requirement: &str) {
        let requirement = requirement.to_owned();
        match self.tries.iter_mut().find(|line| line.command == command) {
            Some(line) if line.requirements.contains(&requirement) => {}
            Some(line) => line.requirements.push(requirement),
            None => self.tries.push(Try { to: self.to, requirements: vec![requirement], command }),
        }
    }

    /// One line for all ports that a row names. Of a range the first: whether it is dropped on
    /// the way shows on any of them.
    fn tcp_ports(&mut self, target: &str, rows: &[&Requirement]) {
        let fixed = || {
            let tcp = rows.iter().filter(|row| row.transport == Transport::Tcp && !row.rpc_dynamic);
            tcp.flat_map(|row| row.ports.iter().map(move |range| (range.first, row)))
        };
        let mut ports: Vec<u16> = fixed().map(|(port, _)| port).collect();
        ports.sort_unstable();
        ports.dedup();
        let command = match ports.as_slice() {
            [] => return,
            [port] => format!("Test-NetConnection -ComputerName {target} -Port {port}"),
            ports => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                format!(
                    "{} | ForEach-Object {{ Test-NetConnection -ComputerName {target} -Port $_ }}",
                    ports.join(",")
                )
            }
        };
        for (_, row) in fixed() {
            self.add(command.clone(), &row.id);
        }
    }

    /// A service on UDP answers its own protocol only, so each has a program that speaks it.
    fn udp_port(&mut self, target: &str, port: u16, domain: Option<&str>, row: &str) {
        let portqry = || format!("portqry -n {target} -p udp -e {port}");
        match (port, domain) {
            (53, Some(domain)) => self.add(
                format!(
                    "Resolve-DnsName -Name _ldap._tcp.dc._msdcs.{domain} -Type SRV -Server {target} \
                     -DnsOnly -NoHostsFile"
                ),
                row,
            ),
            // The root has a start of authority on every name server, or an error that is an answer.
            (53, None) => self.add(format!("nslookup -type=SOA . {target}"), row),
            (123, _) => self.add(
                format!("w32tm /stripchart /computer:{target} /samples:3 /dataonly"),
                row,
            ),
            (137, _) => self.add(format!("nbtstat -A {target}"), row),
            // PortQry asks as a domain member does; the second line is the member's own search,
            // which asks whichever domain controller it finds.
            (389, Some(domain)) => {
                self.add(portqry(), row);
                self.add(format!("nltest /dsgetdc:{domain} /force"), row);
            }
            // Broadcast: nobody can be asked alone.
            (67 | 68, _) => {}
            _ => self.add(portqry(), row),
        }
    }
}

/// Asks the endpoint mapper which ports there are, then tries them all.
fn rpc_ports(target: &str) -> String {
    // PortQry prints "ncacn_ip_tcp:10.1.0.10[49155]" for each.
    format!(
        "portqry -n {target} -p tcp -e 135 | Select-String 'ncacn_ip_tcp:.*\\[(\\d+)\\]' | \
         ForEach-Object {{ $_.Matches[0].Groups[1].Value }} | Sort-Object -Unique | ForEach-Object \
         {{ Test-NetConnection -ComputerName {target} -Port $_ }}"
    )
}

/// The domain of a host, by its first name that has one.
fn domain_of(host: &HostRecord) -> Option<&str> {
    host.names.iter().find_map(|name| {
        let name = name.strip_suffix('.').unwrap_or(name);
        let (_, domain) = name.split_once('.').filter(|_| is_host_name(name))?;
        Some(domain).filter(|domain| domain.contains('.'))
    })
}

/// Whether a text can be nothing but the name of a host, in a command as well (RFC 1123 2.1, and the
/// underscore that Windows allows).
pub(crate) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(letters)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && text.split('.').all(label)
        // Else it could be an address.
        && last.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::{Beside, diagnose};
    use crate::matrix::sample::{address, flow};
    use crate::matrix::{Assessment, DEFAULT_PROFILE, GivenRole, Matrix, Told, assess};
    use crate::verdict::record::{JudgedFlow, Verdict};

    const CAS: &str = "10.0.0.5";
    const DC: &str = "10.1.0.10";

    fn tried(flows: &[JudgedFlow], dc: &str, names: &[&str]) -> Vec<HostTries> {
        let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
        let role = |role: &str, host: &str| GivenRole {
            role: role.to_owned(),
            hosts: vec![host.to_owned()],
        };
        let names: Vec<(Address, String)> =
            names.iter().map(|name| (address(dc), (*name).to_owned())).collect();
        let told = Told { names: &names, ..Told::default() };
        let given = [role("cas", CAS), role("child-dc", dc)];
        let Assessment { hosts, sheet, .. } = assess(&matrix, &given, told, flows);
        diagnose(&matrix, &sheet, &hosts, flows, &[], Beside::default()).to_try
    }

    fn lines(of_host: &HostTries) -> Vec<&str> {
        of_host.tries.iter().map(|line| line.command.as_str()).collect()
    }

    #[test]
    fn every_row_that_nobody_tried_has_a_line_on_the_host_that_opens() {
        let all = tried(&[], DC, &["DC10.child.corp.example"]);
        let hosts: Vec<(Address, &str)> =
            all.iter().map(|host| (host.host, host.role.as_str())).collect();
        // Only dynamic RPC is opened from the other side.
        assert_eq!(hosts, [(address(CAS), "cas"), (address(DC), "child-dc")]);
        let rpc = |to: &str| {
            format!(
                "portqry -n {to} -p tcp -e 135 | Select-String 'ncacn_ip_tcp:.*\\[(\\d+)\\]' | \
                 ForEach-Object {{ $_.Matches[0].Groups[1].Value }} | Sort-Object -Unique | \
                 ForEach-Object {{ Test-NetConnection -ComputerName {to} -Port $_ }}"
            )
        };
        assert_eq!(
            lines(&all[0]),
            [
                "53,88,135,389,445,3268 | ForEach-Object { Test-NetConnection -ComputerName \
                 10.1.0.10 -Port $_ }",
                "portqry -n 10.1.0.10 -p udp -e 88",
                "portqry -n 10.1.0.10 -p udp -e 389",
                "nltest /dsgetdc:child.corp.example /force",
                "Resolve-DnsName -Name _ldap._tcp.dc._msdcs.child.corp.example -Type SRV -Server \
                 10.1.0.10 -DnsOnly -NoHostsFile",
                &rpc(DC),
            ]
        );
        assert_eq!(lines(&all[1]), [rpc(CAS)]);
        let rows = ["smb", "kerberos-tcp", "rpc-epm-tcp", "ldap-tcp", "gc-ldap", "dns-tcp"];
        assert_eq!(all[0].tries[0].requirements, rows);
    }

    #[test]
    fn what_was_tried_is_not_tried_again() {
        let exercised = |id: u64, transport: &str, port: u16| {
            flow(id, CAS, DC, transport, port, Verdict::NoReply)
        };
        let mut flows: Vec<JudgedFlow> = [53, 88, 135, 389, 3268, 50_000]
            .into_iter()
            .zip(1..)
            .map(|(port, id)| exercised(id, "tcp", port))
            .collect();
        flows.extend(
            [53, 88, 389].into_iter().zip(7..).map(|(port, id)| exercised(id, "udp", port)),
        );
        flows.push(flow(10, DC, CAS, "tcp", 50_000, Verdict::NoReply));
        let all = tried(&flows, DC, &[]);
        assert_eq!(all.len(), 1);
        assert_eq!(lines(&all[0]), ["Test-NetConnection -ComputerName 10.1.0.10 -Port 445"]);
    }

    #[test]
    fn without_a_domain_the_name_server_is_asked_for_the_root() {
        let all = tried(&[], DC, &["DC10"]);
        assert!(lines(&all[0]).contains(&"nslookup -type=SOA . 10.1.0.10"));
        assert!(!lines(&all[0]).iter().any(|line| line.starts_with("nltest")));
    }

    #[test]
    fn hostile_names_are_in_no_command() {
        for name in [
            "x; Remove-Item C:\\.corp.example",
            "dc1.corp.example;calc",
            "dc1.$(calc).example",
            "dc1.corp.example\nreboot",
            "dc1.'corp'.example",
            "dc1.\u{2019}corp.example",
            "-dc1.-corp.example",
            "dc1.10.9.9.9",
            &format!("dc1.{}.example", "x".repeat(64)),
        ] {
            let all = tried(&[], DC, &[name]);
            let lines = lines(&all[0]);
            assert!(
                !lines.iter().any(|line| line.contains("_msdcs") || line.contains("nltest")),
                "{name}"
            );
        }
    }

    #[test]
    fn hosts_without_an_address_are_called_by_their_name_or_not_at_all() {
        let smb = |dc: &str| tried(&[flow(1, CAS, dc, "tcp", 445, Verdict::NoReply)], dc, &[]);
        assert!(lines(&smb("DC1")[0])[0].contains("-ComputerName DC1 -Port $_"));
        for dc in ["DC1%calc%", "IPv4:13 responder"] {
            let to = |host: &HostTries| host.tries.iter().any(|line| line.to == address(dc));
            assert!(!smb(dc).iter().any(to), "{dc}");
        }
        // The way back is to an address.
        assert_eq!(smb("IPv4:13 responder")[0].tries[0].to, address(CAS));
    }
}
