//! Roles by the ports that hosts are called on, where the captures do not show what was said.
//!
//! Two ports of a service, answered by the host or addressed by one caller, make its role likely;
//! so does a ticket of Kerberos for SQL Server on a host that is called on its port. One port
//! that answers makes it weak. Attempts that nobody answered and that stand alone make nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::matrix::explain::list_of;
use crate::matrix::infer::contacts::{Contacts, ListedPorts, Port};
use crate::matrix::infer::{Inferred, Names, addresses};
use crate::net::{Address, Transport};
use crate::verdict::flows::Seen;
use crate::verdict::record::{Confidence, Duty};

const SQL: u8 = 1;
const POINT: u8 = 1 << 1;
const UPDATES: u8 = 1 << 2;
const BOOT: u8 = 1 << 3;
/// A port that many services share: it goes with another one, and never makes a role alone.
const SHARED: u8 = 1 << 7;

const fn tcp(number: u16, services: u8) -> Port {
    Port { transport: Some(Transport::Tcp), number, services }
}

const fn udp(number: u16, services: u8) -> Port {
    Port { transport: Some(Transport::Udp), number, services }
}

const PORTS: [Port; 10] = [
    udp(69, BOOT | SHARED),
    tcp(80, POINT | SHARED),
    tcp(443, POINT | SHARED),
    tcp(1433, SQL),
    udp(1434, SQL),
    udp(4011, BOOT),
    tcp(4022, SQL),
    tcp(8530, UPDATES),
    tcp(8531, UPDATES),
    tcp(10123, POINT),
];

const ROLES: [(u8, Duty); 4] = [
    (SQL, Duty::SqlServer),
    (POINT, Duty::ManagementPoint),
    (UPDATES, Duty::SoftwareUpdatePoint),
    (BOOT, Duty::PxeServer),
];

/// Addresses of hosts that tickets for SQL Server name, with that name.
pub(super) fn tickets(names: &Names<'_>, serves: &[(String, String)]) -> BTreeMap<Address, String> {
    let hosts: BTreeSet<String> = serves
        .iter()
        .filter(|(purpose, host)| purpose == "MSSQLSvc" && !host.contains(char::is_control))
        .map(|(_, host)| host.to_ascii_lowercase())
        .collect();
    let ticket = |(address, names): (&Address, &BTreeSet<&str>)| {
        let name = names.iter().find(|name| hosts.contains(&name.to_ascii_lowercase()))?;
        Some((*address, (*name).to_owned()))
    };
    names.iter().filter_map(ticket).collect()
}

/// Roles by ports, of hosts that have none given.
pub(super) fn infer<'a>(
    flows: impl Into<Seen<'a>>,
    tickets: &BTreeMap<Address, String>,
    given: impl Fn(Address) -> bool,
) -> Vec<(Address, Inferred)> {
    let flows = flows.into();
    let contacts = Contacts::new(flows, &PORTS);
    let mut found = Vec::new();
    for (service, duty) in ROLES {
        // Hosts of which only attempts speak, by caller.
        let mut attempts: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
        for (host, calls) in contacts.of.iter().filter(|(host, _)| !given(**host)) {
            let answered = contacts.answered_by(*host);
            let mut add = |confidence, evidence| {
                found.push((*host, Inferred { role: duty.as_str(), confidence, evidence }));
            };
            if agree(answered, service) {
                let evidence = format!("answered on {}", text(answered, service));
                add(Confidence::Likely, evidence);
                continue;
            }
            let addressed = calls.values().any(|calls| speaks(calls.addressed, service));
            if let Some(name) = tickets.get(host).filter(|_| service == SQL && addressed) {
                let evidence = format!(
                    "a ticket of Kerberos names {name} as SQL Server; addressed on {} by {}",
                    text(all(calls.values().map(|calls| calls.addressed)), service),
                    addresses(calls.keys()),
                );
                add(Confidence::Likely, evidence);
                continue;
            }
            if speaks(answered, service) {
                let evidence = format!("answered on {} alone", text(answered, service));
                add(Confidence::Weak, evidence);
            }
            for (caller, calls) in calls {
                if agree(calls.addressed.union(answered), service) {
                    attempts.entry(*caller).or_default().insert(*host);
                }
            }
        }
        for (host, callers) in contacts.without_scans(flows, attempts) {
            let calls = contacts.of.get(&host).into_iter().flatten();
            let calls = calls.filter(|(caller, _)| callers.contains(caller));
            let evidence = format!(
                "addressed on {} by {}; {}",
                text(all(calls.map(|(_, calls)| calls.addressed)), service),
                addresses(callers.iter()),
                match contacts.answered_by(host) {
                    answered if speaks(answered, service) => {
                        format!("answered on {}", text(answered, service))
                    }
                    _ => "answered on none of them".to_owned(),
                }
            );
            let confidence = Confidence::Likely;
            found.push((host, Inferred { role: duty.as_str(), confidence, evidence }));
        }
    }
    found
}

fn all(sets: impl Iterator<Item = ListedPorts>) -> ListedPorts {
    sets.fold(ListedPorts::default(), ListedPorts::union)
}

/// Whether a port of this service alone is among these.
fn speaks(ports: ListedPorts, service: u8) -> bool {
    ports.of(&PORTS).any(|port| port.services == service)
}

/// Whether two ports of a service are among these, at least one of them its own.
fn agree(ports: ListedPorts, service: u8) -> bool {
    let count = ports.of(&PORTS).filter(|port| port.services & service != 0).count();
    count >= 2 && speaks(ports, service)
}

/// "tcp/1433 and udp/1434".
fn text(ports: ListedPorts, service: u8) -> String {
    let ports = ports.of(&PORTS).filter(|port| port.services & service != 0);
    let named = |port: &Port| match port.transport {
        Some(transport) => format!("{transport}/{}", port.number),
        None => port.number.to_string(),
    };
    let ports: Vec<String> = ports.map(named).collect();
    list_of(&ports, PORTS.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::infer::tests::told;
    use crate::matrix::roles::Told;
    use crate::matrix::sample::{address, flow};
    use crate::verdict::record::JudgedFlow;
    use crate::verdict::record::Verdict;

    const APP: &str = "10.0.0.5";
    const HOST: &str = "10.0.0.9";

    fn calls(ports: &[(&str, u16, Verdict)]) -> Vec<JudgedFlow> {
        let ports = ports.iter().zip(1..);
        ports
            .map(|((transport, port, verdict), id)| flow(id, APP, HOST, transport, *port, *verdict))
            .collect()
    }

    #[test]
    fn two_ports_make_a_role_likely_also_behind_a_firewall() {
        for (role, ports) in [
            ("sql-server", [("tcp", 1433), ("udp", 1434)]),
            ("sql-server", [("tcp", 1433), ("tcp", 4022)]),
            ("management-point", [("tcp", 443), ("tcp", 10123)]),
            ("software-update-point", [("tcp", 8530), ("tcp", 8531)]),
            ("pxe-server", [("udp", 69), ("udp", 4011)]),
        ] {
            let flows = calls(&ports.map(|(it, port)| (it, port, Verdict::NoReply)));
            let mut roles = told(&flows, Told::default());
            roles.retain(|role| role.starts_with(HOST));
            assert_eq!(roles, [format!("{HOST} {role} likely")]);
        }
    }

    #[test]
    fn one_port_makes_it_weak_where_it_answers_and_else_nothing() {
        let flows = calls(&[("tcp", 8530, Verdict::Established)]);
        let expected = [format!("{HOST} software-update-point weak")];
        assert_eq!(told(&flows, Told::default()), expected);
        let flows = calls(&[("tcp", 8530, Verdict::NoReply)]);
        assert_eq!(told(&flows, Told::default()), [""; 0]);
    }

    #[test]
    fn web_servers_and_boot_files_alone_are_no_role() {
        let open = Verdict::Established;
        let flows = calls(&[("tcp", 80, open), ("tcp", 443, open), ("udp", 69, Verdict::Answered)]);
        assert_eq!(told(&flows, Told::default()), [""; 0]);
    }

    #[test]
    fn a_ticket_and_a_call_that_is_dropped_make_an_sql_server_likely() {
        let names = [(address(HOST), "SQL01.example.com".to_owned())];
        let serves = [("MSSQLSvc".to_owned(), "sql01.example.com".to_owned())];
        let what = Told { names: &names, serves: &serves, ..Told::default() };
        let flows = calls(&[("tcp", 1433, Verdict::NoReply)]);
        assert_eq!(told(&flows, what), [format!("{HOST} sql-server likely")]);
        assert_eq!(told(&calls(&[("tcp", 445, Verdict::NoReply)]), what), [""; 0]);
    }

    #[test]
    fn a_scan_makes_no_role_of_what_is_silent() {
        let ports: Vec<_> = (1..12_000).map(|port| ("tcp", port, Verdict::NoReply)).collect();
        let flows = calls(&ports);
        let roles = infer(&flows, &BTreeMap::new(), |_| false);
        assert_eq!(roles, []);
    }
}
