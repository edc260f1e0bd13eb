//! Roles of callers, by whom they call. Those that they call must be known first.
//!
//! - A host that keeps a management point's notification port busy is a client.
//! - A host that calls SQL Server and, on SMB or the RPC endpoint mapper, another machine that
//!   serves ConfigMgr's clients, installs or feeds that one: a site server. Programs that use SQL
//!   Server are many, and none of them calls distribution points so.

use std::collections::BTreeMap;

use crate::matrix::infer::{Found, Inferred, addresses};
use crate::matrix::roles::is_host;
use crate::net::{Address, Transport};
use crate::verdict::flows::Seen;
use crate::verdict::record::{Confidence, Duty};

/// TCP ports by which clients are notified, SQL Server is asked, and site systems are installed.
const NOTIFICATION: u16 = 10123;
const SQL: u16 = 1433;
const INSTALLS: [u16; 2] = [135, 445];

/// Roles of the machines that a site server installs.
const SITE_SYSTEMS: [Duty; 5] = [
    Duty::ManagementPoint,
    Duty::DistributionPoint,
    Duty::SoftwareUpdatePoint,
    Duty::FallbackStatusPoint,
    Duty::SmsProvider,
];

/// What one caller does.
#[derive(Default)]
struct Calls {
    notified_by: Vec<Address>,
    asks: Vec<Address>,
    installs: Vec<Address>,
}

/// Roles of callers of hosts whose roles are known.
pub(super) fn infer<'a>(flows: impl Into<Seen<'a>>, found: &Found) -> Vec<(Address, Inferred)> {
    let is = |host: Address, duty: Duty| {
        let role = found.get(&host).and_then(|roles| roles.get(duty.as_str()));
        role.is_some_and(|role| role.confidence <= Confidence::Likely)
    };
    let mut callers: BTreeMap<Address, Calls> = BTreeMap::new();
    let flows = flows.into();
    let telling = flows.telling.iter().filter(|flow| flow.transport == Transport::Tcp);
    let calls =
        telling.map(|flow| (flow.initiator.address, flow.responder.address, flow.responder.port));
    let unanswered = flows.unanswered().flat_map(|lane| {
        let ports = [NOTIFICATION, SQL].into_iter().chain(INSTALLS);
        ports.filter(|port| lane.has_port(*port)).map(|port| (lane.from(), lane.to(), port))
    });
    for (caller, host, port) in calls.chain(unanswered) {
        let tells = port == NOTIFICATION || port == SQL || INSTALLS.contains(&port);
        if !tells || caller == host || !is_host(caller) || !found.contains_key(&host) {
            continue;
        }
        let mut note = |list: fn(&mut Calls) -> &mut Vec<Address>| {
            let list = list(callers.entry(caller).or_default());
            if !list.contains(&host) {
                list.push(host);
            }
        };
        if port == NOTIFICATION && is(host, Duty::ManagementPoint) {
            note(|calls| &mut calls.notified_by);
        } else if port == SQL && is(host, Duty::SqlServer) {
            note(|calls| &mut calls.asks);
        } else if INSTALLS.contains(&port) && SITE_SYSTEMS.iter().any(|duty| is(host, *duty)) {
            note(|calls| &mut calls.installs);
        }
    }
    let mut roles = Vec::new();
    for (caller, calls) in callers {
        let mut add = |duty: Duty, evidence| {
            let confidence = Confidence::Likely;
            roles.push((caller, Inferred { role: duty.as_str(), confidence, evidence }));
        };
        if !calls.notified_by.is_empty() {
            let points = addresses(calls.notified_by.iter());
            add(
                Duty::Client,
                format!(
                    "calls the management point {points} on tcp/{NOTIFICATION}, for notifications"
                ),
            );
        }
        // A machine that is both may be called for its files by whoever uses its databases.
        let other = calls.installs.iter().any(|host| !calls.asks.contains(host));
        if !calls.asks.is_empty() && other {
            let asked = addresses(calls.asks.iter());
            let installed = addresses(calls.installs.iter());
            let evidence = format!(
                "calls SQL Server on {asked}, and the site system {installed} on SMB or the RPC \
                 endpoint mapper"
            );
            add(Duty::SiteServer, evidence);
        }
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::infer::tests::{does, told};
    use crate::matrix::roles::Told;
    use crate::matrix::sample::flow;
    use crate::verdict::record::JudgedFlow;
    use crate::verdict::record::Verdict;

    const CALLER: &str = "10.0.0.5";
    const SERVER: &str = "10.0.0.9";
    const POINT: &str = "10.0.0.10";
    const OPEN: Verdict = Verdict::Established;

    fn sql() -> JudgedFlow {
        does(flow(1, CALLER, SERVER, "tcp", 1433, OPEN), SERVER, Duty::SqlServer)
    }

    fn point() -> JudgedFlow {
        let other = "10.0.0.77";
        does(flow(2, other, POINT, "tcp", 80, OPEN), POINT, Duty::DistributionPoint)
    }

    fn roles_of_caller(flows: &[JudgedFlow]) -> Vec<String> {
        let mut roles = told(flows, Told::default());
        roles.retain(|role| role.starts_with("10.0.0.5 "));
        roles
    }

    #[test]
    fn who_uses_sql_server_and_installs_site_systems_is_a_site_server() {
        let install = flow(3, CALLER, POINT, "tcp", 445, Verdict::NoReply);
        let flows = [sql(), point(), install.clone()];
        assert_eq!(roles_of_caller(&flows), ["10.0.0.5 site-server likely"]);
        assert_eq!(roles_of_caller(&[sql(), point()]), [""; 0]);
        assert_eq!(roles_of_caller(&[point(), install]), [""; 0]);
    }

    #[test]
    fn a_machine_that_serves_itself_is_none_by_that() {
        let flows = [sql(), does(sql(), CALLER, Duty::DistributionPoint)];
        assert_eq!(roles_of_caller(&flows), ["10.0.0.5 distribution-point likely"]);
    }

    #[test]
    fn who_waits_for_notifications_is_a_client() {
        let served =
            does(flow(1, "10.0.0.77", POINT, "tcp", 80, OPEN), POINT, Duty::ManagementPoint);
        let flows = [served, flow(2, CALLER, POINT, "tcp", 10123, Verdict::NoReply)];
        assert_eq!(roles_of_caller(&flows), ["10.0.0.5 client likely"]);
    }
}
