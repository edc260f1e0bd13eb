//! Roles that the traffic tells, each with what tells it and how sure it is.
//!
//! A false role is worse than a missing one, so there are three degrees:
//!
//! - **proven**: the protocol itself said so: a netlogon answer, a pre-login of SQL Server that was
//!   answered, a path of a management point that was served (`duties`);
//! - **likely**: two ports agree, or the word of one host about another does (`controller`,
//!   `services`, `callers`);
//! - **weak**: a single port. Such a role is told, and nobody is judged by it.
//!
//! Attempts of scanners prove nothing (`contacts`). Which of these roles a host then plays is told
//! by the matrix in use and by the roles that were given.

mod callers;
mod contacts;
mod controller;
mod duties;
mod services;

use std::collections::{BTreeMap, BTreeSet};

use crate::matrix::explain::list_of;
use crate::matrix::roles::Told;
use crate::net::Address;
use crate::verdict::flows::Seen;
use crate::verdict::record::{Confidence, Duty};

/// A role that traffic tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inferred {
    /// Role, in the words of the built-in profiles.
    pub(super) role: &'static str,
    /// How sure it is.
    pub(super) confidence: Confidence,
    /// What tells it, as a sentence.
    pub(super) evidence: String,
}

/// The role of a host that calls domain controllers.
pub(super) const DOMAIN_MEMBER: &str = "domain-member";

/// Roles by host; each role once, and in the order of their names.
type Found = BTreeMap<Address, BTreeMap<&'static str, Inferred>>;

/// Names that captures tell, by address.
pub(super) type Names<'a> = BTreeMap<Address, BTreeSet<&'a str>>;

/// The roles that traffic tells, the surest first.
///
/// `given` tells of a host that has a given role whether that makes it a domain controller.
/// Nothing is guessed of such a host from ports; what the protocols prove of it is told.
pub(super) fn infer<'a>(
    flows: impl Into<Seen<'a>>,
    names: &Names<'_>,
    told: Told<'_>,
    given: impl Fn(Address) -> Option<bool> + Sync,
) -> BTreeMap<Address, Vec<Inferred>> {
    let flows = flows.into();
    let mut found = Found::new();
    let proofs = duties::proofs(flows.telling);
    for (address, duties) in &proofs {
        for (duty, proof) in duties {
            // Controllers have a rule of their own.
            if !is_controller(*duty) && *duty != Duty::OtherDirectory {
                let (confidence, evidence) = (proof.confidence, proof.evidence.clone());
                add(&mut found, *address, Inferred { role: duty.as_str(), confidence, evidence });
            }
        }
    }
    let by_dns = controller::named(names, told.serves);
    let tickets = services::tickets(names, told.serves);
    let (controllers, services) = rayon::join(
        || controller::infer(flows, &proofs, &by_dns, &given),
        || services::infer(flows, &tickets, |host| given(host).is_some()),
    );
    for (address, inferred) in controllers.into_iter().chain(services) {
        add(&mut found, address, inferred);
    }
    for (address, inferred) in callers::infer(flows, &found) {
        add(&mut found, address, inferred);
    }
    let surest_first = |roles: BTreeMap<&str, Inferred>| {
        let mut roles: Vec<Inferred> = roles.into_values().collect();
        // Names and addresses are given by many machines that do more than that.
        let aside = |role: &str| matches!(role, "dns-server" | "dhcp-server");
        roles.sort_by_key(|inferred| (inferred.confidence, aside(inferred.role)));
        roles
    };
    found.into_iter().map(|(address, roles)| (address, surest_first(roles))).collect()
}

/// Adds a role; of two ways to know the same, the surer one counts.
fn add(found: &mut Found, address: Address, inferred: Inferred) {
    let roles = found.entry(address).or_default();
    match roles.get(inferred.role) {
        Some(known) if known.confidence <= inferred.confidence => {}
        _ => {
            roles.insert(inferred.role, inferred);
        }
    }
}

fn is_controller(duty: Duty) -> bool {
    matches!(duty, Duty::DomainController | Duty::RootController | Duty::ChildController)
}

/// "10.0.0.5 and 10.0.0.6".
fn addresses<'a>(addresses: impl Iterator<Item = &'a Address>) -> String {
    let addresses: Vec<String> = addresses.map(Address::to_string).collect();
    list_of(&addresses, 3)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::matrix::sample::{address, flow};
    use crate::net::FrameNumber;
    use crate::verdict::record::{DutyRecord, JudgedFlow, Verdict};

    pub(in crate::matrix) fn does(mut flow: JudgedFlow, host: &str, duty: Duty) -> JudgedFlow {
        flow.duties.push(DutyRecord {
            frame: FrameNumber(flow.id * 10 + 4),
            address: address(host),
            duty,
            how: format!("did what a {duty} does"),
        });
        flow
    }

    /// Roles as "host role confidence".
    pub(super) fn told(flows: &[JudgedFlow], told: Told<'_>) -> Vec<String> {
        let mut names = Names::new();
        for (address, name) in told.names {
            names.entry(*address).or_default().insert(name);
        }
        let inferred = infer(flows, &names, told, |_| None);
        let line = |(host, roles): (Address, Vec<Inferred>)| {
            let line = move |it: Inferred| format!("{host} {} {}", it.role, it.confidence);
            roles.into_iter().map(line).collect::<Vec<_>>()
        };
        inferred.into_iter().flat_map(line).collect()
    }

    #[test]
    fn the_surest_sign_of_a_role_counts() {
        let (app, sql) = ("10.0.0.5", "10.0.0.9");
        let open = Verdict::Established;
        let weak = flow(1, app, sql, "tcp", 1433, open);
        let roles = told(std::slice::from_ref(&weak), Told::default());
        assert_eq!(roles, ["10.0.0.9 sql-server weak"]);
        let proven = does(flow(2, app, sql, "tcp", 1433, open), sql, Duty::SqlServer);
        let roles = told(&[weak, proven], Told::default());
        assert_eq!(roles, ["10.0.0.9 sql-server proven"]);
    }

    #[test]
    fn a_machine_may_play_several_roles() {
        let (app, all) = ("10.0.0.5", "10.0.0.9");
        let open = Verdict::Established;
        let flows = [
            does(flow(1, app, all, "tcp", 1433, open), all, Duty::SqlServer),
            does(flow(2, app, all, "tcp", 80, open), all, Duty::ManagementPoint),
            does(flow(3, app, all, "udp", 53, open), all, Duty::DnsServer),
        ];
        let expected = ["management-point", "sql-server", "dns-server"];
        let expected = expected.map(|role| format!("10.0.0.9 {role} proven"));
        assert_eq!(told(&flows, Told::default()), expected);
    }
}
