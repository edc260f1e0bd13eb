//! What the protocols themselves prove of hosts.

use std::collections::BTreeMap;

use crate::matrix::explain::several_captures;
use crate::matrix::roles::is_host;
use crate::net::Address;
use crate::verdict::record::{Confidence, Duty, DutyRecord, JudgedFlow};

/// The first sign of a duty.
pub(super) struct Proof {
    pub(super) confidence: Confidence,
    /// "answered a pre-login of SQL Server on tcp/1433 in frame 12".
    pub(super) evidence: String,
}

/// The duties of each host.
pub(super) type Proofs = BTreeMap<Address, BTreeMap<Duty, Proof>>;

/// Gathers what flows prove.
pub(super) fn proofs(flows: &[JudgedFlow]) -> Proofs {
    let several = several_captures(flows);
    let mut proofs = Proofs::new();
    for flow in flows {
        for record in flow.duties.iter().filter(|record| is_host(record.address)) {
            let confidence = confidence_of(flow, record);
            let known = proofs.entry(record.address).or_default();
            if known.get(&record.duty).is_none_or(|known| confidence < known.confidence) {
                known.insert(record.duty, proof(flow, record, several));
            }
        }
    }
    proofs
}

fn confidence_of(flow: &JudgedFlow, record: &DutyRecord) -> Confidence {
    // A caller may ask for anything, an administrator with a script as well as a client. And a
    // share is called after a site by whoever makes it.
    if record.address == flow.initiator.address || record.duty == Duty::SiteServer {
        Confidence::Likely
    } else {
        Confidence::Proven
    }
}

fn proof(flow: &JudgedFlow, record: &DutyRecord, several: bool) -> Proof {
    let (caller, responder) = (flow.initiator.address, flow.responder.address);
    let confidence = confidence_of(flow, record);
    let place = if record.address == responder {
        format!(" on {}/{}", flow.transport, flow.responder.port)
    } else if record.address == caller && is_host(responder) {
        format!(" of {responder}")
    } else {
        String::new()
    };
    let flow = if several { format!(" of flow {}", flow.id) } else { String::new() };
    let evidence = format!("{}{place} in frame {}{flow}", record.how, record.frame);
    Proof { confidence, evidence }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::infer::tests::does;
    use crate::matrix::sample::{address, flow};
    use crate::verdict::record::Verdict;

    const APP: &str = "10.0.0.5";
    const SQL: &str = "10.0.0.9";

    fn pre_login() -> JudgedFlow {
        does(flow(1, APP, SQL, "tcp", 1433, Verdict::Established), SQL, Duty::SqlServer)
    }

    #[test]
    fn evidence_tells_port_and_frame() {
        let proofs = proofs(&[pre_login()]);
        let proof = &proofs[&address(SQL)][&Duty::SqlServer];
        assert_eq!(proof.evidence, "did what a sql-server does on tcp/1433 in frame 14");
        assert_eq!(proof.confidence, Confidence::Proven);
    }

    #[test]
    fn in_several_captures_it_tells_the_flow_too() {
        let mut other = flow(2, APP, SQL, "tcp", 445, Verdict::Established);
        other.capture = 1;
        let proofs = proofs(&[pre_login(), other]);
        let proof = &proofs[&address(SQL)][&Duty::SqlServer];
        assert_eq!(proof.evidence, "did what a sql-server does on tcp/1433 in frame 14 of flow 1");
    }

    #[test]
    fn what_a_caller_asks_for_makes_a_role_likely() {
        let open = Verdict::Established;
        let flow = does(flow(1, APP, SQL, "tcp", 80, open), APP, Duty::Client);
        let proof = &proofs(&[flow])[&address(APP)][&Duty::Client];
        assert_eq!(proof.confidence, Confidence::Likely);
        assert_eq!(proof.evidence, "did what a client does of 10.0.0.9 in frame 14");
    }

    #[test]
    fn groups_and_oneself_have_no_duty() {
        let flow = does(pre_login(), "127.0.0.1", Duty::DnsServer);
        let flow = does(flow, "255.255.255.255", Duty::DhcpServer);
        assert_eq!(proofs(&[flow]).into_keys().collect::<Vec<_>>(), [address(SQL)]);
    }
}
