//! Tells domain controllers and their callers by their traffic.
//!
//! Members call a domain controller on Kerberos (88, 464), LDAP (389, 636) and the Global Catalog
//! (3268, 3269), which are its directory services, and beside them on DNS (53), the RPC endpoint
//! mapper (135) and SMB (445). The rule:
//!
//! - A host is a domain controller if two of these six services, at least one of them a directory
//!   service, were **answered** by it; whoever asked, a listener is proven.
//! - A controller behind a firewall answers nothing. So it is one, too, if **one caller addressed
//!   it** on two of the services, at least one a directory service. What the host answered to
//!   others counts as addressed.
//! - A host that a name server names for finding domain controllers is one
//!   (`_ldap._tcp.dc._msdcs.example.com`, [MS-ADTS] 6.3.2.3).
//! - Attempts of a scanner prove nothing. A caller's attempts do not count towards a host on which
//!   it tried more than [`SCANNED_PORTS`] other ports, nor if they alone would make more than
//!   [`SWEPT_HOSTS`] hosts controllers.
//! - Whoever calls a domain controller on one of these services, and is none, is a domain member.
//!
//! So a file server, called on 445 and 135, is none; neither is a lone LDAP service.

use std::collections::{BTreeMap, BTreeSet};

use crate::matrix::explain::list_of;
use crate::matrix::roles::is_host;
use crate::net::{Address, Transport};
use crate::verdict::record::{Class, JudgedFlow};

/// Other ports that a member may try on its controller. Time, names, remote management, the web
/// and remote desktop make about ten.
const SCANNED_PORTS: usize = 12;
/// Controllers that may be silent to one caller.
const SWEPT_HOSTS: usize = 32;
/// Dynamic ports of current Windows begin here; calling many of them is no scan.
const FIRST_DYNAMIC: u16 = 49152;

/// Ports by which members call a domain controller, sorted, with the service's bit.
const PORTS: [(u16, u8); 9] = [
    (53, DNS),
    (88, KERBEROS),
    (135, RPC),
    (389, LDAP),
    (445, SMB),
    (464, KERBEROS),
    (636, LDAP),
    (3268, CATALOG),
    (3269, CATALOG),
];
const KERBEROS: u8 = 1;
const LDAP: u8 = 1 << 1;
const CATALOG: u8 = 1 << 2;
const DNS: u8 = 1 << 3;
const RPC: u8 = 1 << 4;
const SMB: u8 = 1 << 5;
const DIRECTORY: u8 = KERBEROS | LDAP | CATALOG;

/// A role that traffic tells, with the sentence that says from what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inferred {
    /// A domain controller.
    Controller(String),
    /// A host that calls one.
    Member(String),
}

/// A set of [`PORTS`], one bit each.
#[derive(Clone, Copy, Default)]
struct PortSet(u16);

impl PortSet {
    fn add(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    fn union(self, other: PortSet) -> PortSet {
        PortSet(self.0 | other.0)
    }

    fn of(self) -> impl Iterator<Item = (u16, u8)> {
        let ports = PORTS.iter().enumerate();
        ports.filter(move |(index, _)| self.0 & (1 << index) != 0).map(|(_, port)| *port)
    }

    /// Whether these are the ports of a domain controller.
    fn of_controller(self) -> bool {
        let services = self.of().fold(0, |services, (_, service)| services | service);
        services & DIRECTORY != 0 && services.count_ones() >= 2
    }

    fn text(self) -> String {
        let ports: Vec<String> = self.of().map(|(port, _)| port.to_string()).collect();
        list_of(&ports, PORTS.len())
    }
}

/// What one caller did to one host.
#[derive(Clone, Copy, Default)]
struct Calls {
    addressed: PortSet,
    answered: PortSet,
}

/// The roles of hosts that have none given. `named` are hosts that a name server names as domain
/// controllers, with the sentence that says so; `given` tells of a host that has a role whether it
/// is a domain controller.
pub(super) fn infer(
    flows: &[JudgedFlow],
    named: &BTreeMap<Address, String>,
    given: impl Fn(Address) -> Option<bool>,
) -> BTreeMap<Address, Inferred> {
    // By host, then by caller.
    let mut contacts: BTreeMap<Address, BTreeMap<Address, Calls>> = BTreeMap::new();
    for flow in flows {
        let (caller, host) = (flow.initiator.address, flow.responder.address);
        let port = PORTS.iter().position(|(port, _)| *port == flow.responder.port);
        if let Some(index) = port
            && caller != host
            && is_host(caller)
            && is_host(host)
        {
            let calls = contacts.entry(host).or_default().entry(caller).or_default();
            calls.addressed.add(index);
            if flow.class == Class::Success {
                calls.answered.add(index);
            }
        }
    }
    let mut controllers = controllers(&contacts, flows, &given);
    for host in named.keys().filter(|host| given(**host).is_none()) {
        controllers.entry(*host).or_default();
    }
    let mut roles: BTreeMap<Address, Inferred> = BTreeMap::new();
    for (host, callers) in &controllers {
        let named = named.get(host);
        let Some(calls) = contacts.get(host) else {
            roles.extend(named.map(|named| (*host, Inferred::Controller(named.clone()))));
            continue;
        };
        // A host that only a name server speaks for was called by whoever called it.
        let callers: Vec<Address> = match callers.as_slice() {
            [] => calls.keys().copied().collect(),
            callers => callers.to_vec(),
        };
        let addressed = callers.iter().filter_map(|caller| calls.get(caller));
        let addressed = addressed.fold(PortSet::default(), |all, one| all.union(one.addressed));
        let evidence = format!(
            "{}addressed on {} by {}; {}",
            named.map(|named| format!("{named}; ")).unwrap_or_default(),
            addressed.text(),
            addresses(callers.iter()),
            match answered_by(calls) {
                PortSet(0) => "answered on none of them".to_owned(),
                answered => format!("answered on {}", answered.text()),
            }
        );
        roles.insert(*host, Inferred::Controller(evidence));
    }
    let mut members: BTreeMap<Address, (PortSet, Vec<Address>)> = BTreeMap::new();
    for (host, calls) in &contacts {
        if controllers.contains_key(host) || given(*host) == Some(true) {
            for (caller, calls) in calls {
                if given(*caller).is_none() && !controllers.contains_key(caller) {
                    let (ports, hosts) = members.entry(*caller).or_default();
                    *ports = ports.union(calls.addressed);
                    hosts.push(*host);
                }
            }
        }
    }
    for (caller, (ports, hosts)) in members {
        let many = if hosts.len() == 1 { "" } else { "s" };
        let hosts = addresses(hosts.iter());
        let evidence = format!("calls the domain controller{many} {hosts} on {}", ports.text());
        roles.insert(caller, Inferred::Member(evidence));
    }
    roles
}

/// Hosts that are domain controllers, with the callers that show it.
fn controllers(
    contacts: &BTreeMap<Address, BTreeMap<Address, Calls>>,
    flows: &[JudgedFlow],
    given: &impl Fn(Address) -> Option<bool>,
) -> BTreeMap<Address, Vec<Address>> {
    let mut controllers: BTreeMap<Address, Vec<Address>> = BTreeMap::new();
    // Hosts that only attempts speak for, by caller.
    let mut attempts: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
    for (host, calls) in contacts.iter().filter(|(host, _)| given(**host).is_none()) {
        let answered = answered_by(calls);
        if answered.of_controller() {
            controllers.insert(*host, calls.keys().copied().collect());
            continue;
        }
        for (caller, calls) in calls {
            if calls.addressed.union(answered).of_controller() {
                attempts.entry(*caller).or_default().insert(*host);
            }
        }
    }
    attempts.retain(|_, hosts| hosts.len() <= SWEPT_HOSTS);
    let scans = scans(flows, &attempts);
    for (caller, hosts) in attempts {
        for host in hosts {
            if !scans.contains(&(caller, host)) {
                controllers.entry(host).or_default().push(caller);
            }
        }
    }
    controllers
}

fn answered_by(calls: &BTreeMap<Address, Calls>) -> PortSet {
    calls.values().fold(PortSet::default(), |all, calls| all.union(calls.answered))
}

/// Which of these attempts (hosts by caller) belong to a port scan: caller and host.
fn scans(
    flows: &[JudgedFlow],
    attempts: &BTreeMap<Address, BTreeSet<Address>>,
) -> BTreeSet<(Address, Address)> {
    let mut others: BTreeMap<(Address, Address), BTreeSet<(Transport, u16)>> = BTreeMap::new();
    if attempts.is_empty() {
        return BTreeSet::new();
    }
    for flow in flows {
        let (caller, host) = (flow.initiator.address, flow.responder.address);
        let port = flow.responder.port;
        let other = port < FIRST_DYNAMIC && PORTS.iter().all(|(known, _)| *known != port);
        if other && attempts.get(&caller).is_some_and(|hosts| hosts.contains(&host)) {
            others.entry((caller, host)).or_default().insert((flow.transport, port));
        }
    }
    others.retain(|_, ports| ports.len() > SCANNED_PORTS);
    others.into_keys().collect()
}

fn addresses<'a>(addresses: impl Iterator<Item = &'a Address>) -> String {
    let addresses: Vec<String> = addresses.map(Address::to_string).collect();
    list_of(&addresses, 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::sample::{address, flow};
    use crate::verdict::record::Verdict;

    const CAS: &str = "10.0.0.5";
    const DC: &str = "10.1.0.10";

    /// Flows from `CAS` to `DC`.
    fn calls(ports: &[(u16, Verdict)]) -> Vec<JudgedFlow> {
        let ports = ports.iter().zip(1..);
        ports.map(|((port, verdict), id)| flow(id, CAS, DC, "tcp", *port, *verdict)).collect()
    }

    fn inferred(flows: &[JudgedFlow]) -> BTreeMap<Address, Inferred> {
        infer(flows, &BTreeMap::new(), |_| None)
    }

    #[test]
    fn a_host_called_as_members_call_a_controller_is_one() {
        let flows =
            calls(&[(88, Verdict::NoReply), (389, Verdict::Established), (445, Verdict::NoReply)]);
        let roles = inferred(&flows);
        let evidence = "addressed on 88, 389 and 445 by 10.0.0.5; answered on 389";
        assert_eq!(roles[&address(DC)], Inferred::Controller(evidence.to_owned()));
        let evidence = "calls the domain controller 10.1.0.10 on 88, 389 and 445";
        assert_eq!(roles[&address(CAS)], Inferred::Member(evidence.to_owned()));
    }

    #[test]
    fn a_controller_behind_a_firewall_never_answers() {
        let roles = inferred(&calls(&[(135, Verdict::NoReply), (3268, Verdict::NoReply)]));
        let evidence = "addressed on 135 and 3268 by 10.0.0.5; answered on none of them";
        assert_eq!(roles[&address(DC)], Inferred::Controller(evidence.to_owned()));
    }

    #[test]
    fn other_hosts_are_no_controllers() {
        let open = Verdict::Established;
        for (what, ports) in [
            ("a file server", [445, 135]),
            ("an LDAP service", [389, 636]),
            ("a Kerberos service", [88, 464]),
            ("a name server with SMB", [53, 445]),
            ("a web server", [80, 443]),
        ] {
            let roles = inferred(&calls(&ports.map(|port| (port, open))));
            assert_eq!(roles, BTreeMap::new(), "{what}");
        }
    }

    #[test]
    fn a_scan_of_one_host_makes_no_controller() {
        let ports: Vec<(u16, Verdict)> = (1..1024).map(|port| (port, Verdict::NoReply)).collect();
        assert_eq!(inferred(&calls(&ports)), BTreeMap::new());
        // What the host answers to it is proof all the same.
        let ports: Vec<(u16, Verdict)> = (1..1024)
            .map(|port| {
                (port, if port == 88 || port == 389 { Verdict::Probed } else { Verdict::NoReply })
            })
            .collect();
        assert!(matches!(inferred(&calls(&ports))[&address(DC)], Inferred::Controller(_)));
    }

    #[test]
    fn a_sweep_of_many_hosts_makes_no_controllers() {
        let sweep = |hosts: u64| -> Vec<JudgedFlow> {
            (0..hosts)
                .flat_map(|host| {
                    let to = format!("10.9.0.{}", host + 1);
                    [88, 389].map(|port| flow(host + 1, CAS, &to, "tcp", port, Verdict::NoReply))
                })
                .collect()
        };
        assert_eq!(inferred(&sweep(200)), BTreeMap::new());
        assert_eq!(inferred(&sweep(3)).len(), 4);
    }

    #[test]
    fn controllers_that_call_each_other_are_no_members() {
        let other = "10.1.0.11";
        let flows: Vec<JudgedFlow> =
            [(DC, other, 88), (DC, other, 389), (other, DC, 389), (other, DC, 135)]
                .into_iter()
                .zip(1..)
                .map(|((from, to, port), id)| flow(id, from, to, "tcp", port, Verdict::Established))
                .collect();
        let roles = inferred(&flows);
        assert_eq!(roles.len(), 2);
        assert!(roles.values().all(|role| matches!(role, Inferred::Controller(_))));
    }

    #[test]
    fn groups_everybody_and_oneself_are_no_hosts() {
        for host in ["224.0.0.252", "255.255.255.255", "127.0.0.1", "ff02::1", "::1", "0.0.0.0"] {
            let flows = [88, 389]
                .map(|port| flow(u64::from(port), CAS, host, "udp", port, Verdict::OneWay));
            assert_eq!(inferred(&flows), BTreeMap::new(), "{host}");
        }
    }
}
