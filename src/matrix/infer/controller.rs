//! Tells domain controllers and their callers by their traffic.
//!
//! Members call a domain controller on Kerberos (88, 464), LDAP (389, 636) and the Global Catalog
//! (3268, 3269), which are its directory services, and beside them on DNS (53), the RPC endpoint
//! mapper (135) and SMB (445). The rule:
//!
//! - A host that says that it is one is one: in the answer to a netlogon ping, in its root entry,
//!   by sharing SYSVOL. The first tells also whether it holds the forest's root.
//! - A host is a domain controller if two of these six services, at least one of them a directory
//!   service, were **answered** by it; whoever asked, a listener is proven.
//! - A controller behind a firewall answers nothing. So it is one, too, if **one caller addressed
//!   it** on two of the services, at least one a directory service. What the host answered to
//!   others counts as addressed.
//! - A host that a name server names for finding domain controllers is one
//!   (`_ldap._tcp.dc._msdcs.example.com`, [MS-ADTS] 6.3.2.3); it is proven if it answers, too.
//! - A host that says that its directory is another one is none, whatever its ports.
//! - Attempts of a scanner prove nothing.
//! - Whoever calls a domain controller on one of these services, and is none, is a domain member.
//!   Names alone, and files alone, are asked for by all sorts of machines: such a role is weak.
//!
//! So a file server, called on 445 and 135, is none; neither is a lone LDAP service.

use std::collections::{BTreeMap, BTreeSet};

use crate::matrix::infer::contacts::{Contacts, ListedPorts, Port};
use crate::matrix::infer::duties::{Proof, Proofs};
use crate::matrix::infer::{DOMAIN_MEMBER, Inferred, Names, addresses};
use crate::net::Address;
use crate::verdict::flows::Seen;
use crate::verdict::record::{Confidence, Duty};

/// Ports by which members call a domain controller, sorted.
const PORTS: [Port; 9] = [
    port(53, DNS),
    port(88, KERBEROS),
    port(135, RPC),
    port(389, LDAP),
    port(445, SMB),
    port(464, KERBEROS),
    port(636, LDAP),
    port(3268, CATALOG),
    port(3269, CATALOG),
];
const KERBEROS: u8 = 1;
const LDAP: u8 = 1 << 1;
const CATALOG: u8 = 1 << 2;
const DNS: u8 = 1 << 3;
const RPC: u8 = 1 << 4;
const SMB: u8 = 1 << 5;
const DIRECTORY: u8 = KERBEROS | LDAP | CATALOG;

const fn port(number: u16, services: u8) -> Port {
    Port { transport: None, number, services }
}

/// Whether these are the ports of a domain controller.
fn of_controller(ports: ListedPorts) -> bool {
    let services = ports.services(&PORTS);
    services & DIRECTORY != 0 && services.count_ones() >= 2
}

/// Domain controllers and domain members.
///
/// `named` are hosts that a name server names as controllers; `given` tells of a host that has a
/// role whether it is one.
pub(super) fn infer<'a>(
    flows: impl Into<Seen<'a>>,
    proofs: &Proofs,
    named: &BTreeMap<Address, String>,
    given: &impl Fn(Address) -> Option<bool>,
) -> BTreeMap<Address, Inferred> {
    let flows = flows.into();
    let contacts = Contacts::new(flows, &PORTS);
    let proven = proven(proofs);
    let other = |host: &Address| {
        proofs.get(host).is_some_and(|duties| duties.contains_key(&Duty::OtherDirectory))
    };
    let mut controllers = by_ports(&contacts, flows, given);
    controllers.retain(|host, _| !other(host));
    let told = named.keys().filter(|host| given(**host).is_none() && !other(host));
    for host in told.chain(proven.keys()) {
        controllers.entry(*host).or_default();
    }
    let mut roles: BTreeMap<Address, Inferred> = BTreeMap::new();
    for (host, callers) in &controllers {
        let (proof, named) = (proven.get(host), named.get(host));
        let answered = contacts.answered_by(*host);
        let role = proof.map_or(Duty::DomainController, |(duty, _)| *duty).as_str();
        let confidence = match (proof, named) {
            (Some((_, proof)), _) => proof.confidence,
            (None, Some(_)) if !answered.is_empty() => Confidence::Proven,
            (None, _) => Confidence::Likely,
        };
        let mut evidence: Vec<String> = Vec::new();
        evidence.extend(proof.map(|(_, proof)| proof.evidence.clone()));
        evidence.extend(named.cloned());
        if let Some(calls) = contacts.of.get(host) {
            // A host that is known by its own or a name server's word was called by whoever called.
            let callers: Vec<Address> = match callers.as_slice() {
                [] => calls.keys().copied().collect(),
                callers => callers.to_vec(),
            };
            let addressed = callers.iter().filter_map(|caller| calls.get(caller));
            let addressed =
                addressed.fold(ListedPorts::default(), |all, one| all.union(one.addressed));
            evidence.push(format!(
                "addressed on {} by {}",
                addressed.text(&PORTS),
                addresses(callers.iter())
            ));
            evidence.push(match answered {
                none if none.is_empty() => "answered on none of them".to_owned(),
                answered => format!("answered on {}", answered.text(&PORTS)),
            });
        }
        roles.insert(*host, Inferred { role, confidence, evidence: evidence.join("; ") });
    }
    let is_one = |host: &Address| match given(*host) {
        Some(is_one) => is_one,
        None => controllers.contains_key(host),
    };
    roles.extend(members(&contacts, is_one, given));
    roles
}

/// Hosts that proved themselves to be controllers, by the narrowest of their words.
fn proven(proofs: &Proofs) -> BTreeMap<Address, (Duty, &Proof)> {
    let narrowest_first = [Duty::RootController, Duty::ChildController, Duty::DomainController];
    let mut proven = BTreeMap::new();
    for (host, duties) in proofs {
        let mut words = narrowest_first.iter().filter_map(|duty| duties.get_key_value(duty));
        proven.extend(words.next().map(|(duty, proof)| (*host, (*duty, proof))));
    }
    proven
}

/// Callers of controllers that are none themselves.
fn members(
    contacts: &Contacts,
    is_controller: impl Fn(&Address) -> bool,
    given: &impl Fn(Address) -> Option<bool>,
) -> BTreeMap<Address, Inferred> {
    let mut members: BTreeMap<Address, (ListedPorts, Vec<Address>)> = BTreeMap::new();
    for (host, calls) in contacts.of.iter().filter(|(host, _)| is_controller(host)) {
        for (caller, calls) in calls {
            if given(*caller).is_none() && !is_controller(caller) {
                let (ports, hosts) = members.entry(*caller).or_default();
                *ports = ports.union(calls.addressed);
                hosts.push(*host);
            }
        }
    }
    let member = |(caller, (ports, hosts)): (Address, (ListedPorts, Vec<Address>))| {
        let many = if hosts.len() == 1 { "" } else { "s" };
        let hosts = addresses(hosts.iter());
        let evidence =
            format!("calls the domain controller{many} {hosts} on {}", ports.text(&PORTS));
        let services = ports.services(&PORTS);
        let likely = services & (DIRECTORY | RPC) != 0 || services == DNS | SMB;
        let confidence = if likely { Confidence::Likely } else { Confidence::Weak };
        (caller, Inferred { role: DOMAIN_MEMBER, confidence, evidence })
    };
    members.into_iter().map(member).collect()
}

/// Hosts that are domain controllers by their ports, with the callers that show it.
fn by_ports(
    contacts: &Contacts,
    flows: Seen<'_>,
    given: &impl Fn(Address) -> Option<bool>,
) -> BTreeMap<Address, Vec<Address>> {
    let mut controllers: BTreeMap<Address, Vec<Address>> = BTreeMap::new();
    // Hosts that only attempts speak for, by caller.
    let mut attempts: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
    for (host, calls) in contacts.of.iter().filter(|(host, _)| given(**host).is_none()) {
        let answered = contacts.answered_by(*host);
        if of_controller(answered) {
            controllers.insert(*host, calls.keys().copied().collect());
            continue;
        }
        for (caller, calls) in calls {
            if of_controller(calls.addressed.union(answered)) {
                attempts.entry(*caller).or_default().insert(*host);
            }
        }
    }
    controllers.extend(contacts.without_scans(flows, attempts));
    controllers
}

/// Hosts that a name server names for finding domain controllers ([MS-ADTS] 6.3.2.3), with the
/// sentence that says so.
pub(super) fn named(names: &Names<'_>, serves: &[(String, String)]) -> BTreeMap<Address, String> {
    let mut purposes: BTreeMap<String, &str> = BTreeMap::new();
    for (purpose, host) in serves {
        let asked = purpose.to_ascii_lowercase();
        // What people cannot have named shall not stand in a sentence.
        if purpose.contains(char::is_control) || host.contains(char::is_control) {
            continue;
        }
        if asked.contains("._msdcs.")
            && [".dc.", ".gc.", ".pdc."].iter().any(|it| asked.contains(it))
        {
            purposes.entry(host.to_ascii_lowercase()).or_insert(purpose);
        }
    }
    let mut controllers = BTreeMap::new();
    for (address, names) in names {
        let found = names.iter().find_map(|name| {
            let purpose = purposes.get(&name.to_ascii_lowercase())?;
            Some(format!("DNS names {name} for {purpose}"))
        });
        controllers.extend(found.map(|sentence| (*address, sentence)));
    }
    controllers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::infer::duties::proofs;
    use crate::matrix::infer::tests::does;
    use crate::matrix::sample::{address, flow};
    use crate::verdict::record::JudgedFlow;
    use crate::verdict::record::Verdict;

    const CAS: &str = "10.0.0.5";
    const DC: &str = "10.1.0.10";

    /// Flows from `CAS` to `DC`.
    fn calls(ports: &[(u16, Verdict)]) -> Vec<JudgedFlow> {
        let ports = ports.iter().zip(1..);
        ports.map(|((port, verdict), id)| flow(id, CAS, DC, "tcp", *port, *verdict)).collect()
    }

    fn inferred(flows: &[JudgedFlow]) -> BTreeMap<Address, Inferred> {
        infer(flows, &proofs(flows), &BTreeMap::new(), &|_| None)
    }

    fn likely(role: &'static str, evidence: &str) -> Inferred {
        Inferred { role, confidence: Confidence::Likely, evidence: evidence.to_owned() }
    }

    #[test]
    fn a_host_called_as_members_call_a_controller_is_one() {
        let flows =
            calls(&[(88, Verdict::NoReply), (389, Verdict::Established), (445, Verdict::NoReply)]);
        let roles = inferred(&flows);
        let evidence = "addressed on 88, 389 and 445 by 10.0.0.5; answered on 389";
        assert_eq!(roles[&address(DC)], likely("domain-controller", evidence));
        let evidence = "calls the domain controller 10.1.0.10 on 88, 389 and 445";
        assert_eq!(roles[&address(CAS)], likely("domain-member", evidence));
    }

    #[test]
    fn a_controller_behind_a_firewall_never_answers() {
        let roles = inferred(&calls(&[(135, Verdict::NoReply), (3268, Verdict::NoReply)]));
        let evidence = "addressed on 135 and 3268 by 10.0.0.5; answered on none of them";
        assert_eq!(roles[&address(DC)], likely("domain-controller", evidence));
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
        assert!(inferred(&calls(&ports))[&address(DC)].role == "domain-controller");
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
        assert!(roles.values().all(|role| role.role == "domain-controller"));
    }

    #[test]
    fn a_controller_that_says_what_it_holds_is_proven() {
        let ping = flow(1, CAS, DC, "udp", 389, Verdict::Answered);
        for (duty, role) in [
            (Duty::DomainController, "domain-controller"),
            (Duty::RootController, "root-dc"),
            (Duty::ChildController, "child-dc"),
        ] {
            let told = does(ping.clone(), DC, duty);
            let told = does(told, DC, Duty::DomainController);
            let found = &inferred(&[told])[&address(DC)];
            assert_eq!((found.role, found.confidence), (role, Confidence::Proven));
        }
        assert_eq!(inferred(&[ping]), BTreeMap::new(), "a lone LDAP service");
    }

    #[test]
    fn another_directory_is_no_controller_whatever_its_ports() {
        let mut flows = calls(&[88, 389, 53, 464].map(|port| (port, Verdict::Established)));
        assert_eq!(inferred(&flows).len(), 2);
        flows.push(does(flows[1].clone(), DC, Duty::OtherDirectory));
        assert_eq!(inferred(&flows), BTreeMap::new());
    }

    #[test]
    fn a_name_servers_word_is_proven_by_any_answer() {
        let named = BTreeMap::from([(address(DC), "DNS names DC1 for it".to_owned())]);
        for (verdict, expected) in
            [(Verdict::NoReply, Confidence::Likely), (Verdict::Established, Confidence::Proven)]
        {
            let flows = calls(&[(445, verdict)]);
            let found = infer(&flows, &proofs(&flows), &named, &|_| None);
            assert_eq!(found[&address(DC)].confidence, expected);
        }
    }

    #[test]
    fn who_only_asks_for_names_or_files_is_hardly_a_member() {
        for (port, expected) in
            [(53, Confidence::Weak), (445, Confidence::Weak), (389, Confidence::Likely)]
        {
            let mut flows = calls(&[(88, Verdict::Established), (389, Verdict::Established)]);
            flows.push(flow(9, "10.0.0.6", DC, "tcp", port, Verdict::Established));
            let found = &inferred(&flows)[&address("10.0.0.6")];
            assert_eq!((found.role, found.confidence), ("domain-member", expected), "{port}");
        }
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
