//! What the packets of a capture tell of hosts, beside its flows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::capture::CaptureSummary;
use crate::flow::Flow;
use crate::net::Address;
use crate::probe::Speaker;

/// Names and purposes kept of those that the packets of one capture tell.
const MOST_LEARNED: usize = 10_000;

/// Adds what the packets tell of hosts to what the capture stores of them, each once.
pub(super) fn learn(summary: &mut CaptureSummary, flows: &[Flow]) {
    let heard = || flows.iter().filter_map(|flow| flow.heard.as_deref());
    let mut known: BTreeSet<_> = summary.names.iter().cloned().collect();
    let names = heard().flat_map(|heard| &heard.names);
    let new = names.filter(|name| known.insert((*name).clone())).take(MOST_LEARNED);
    summary.names.extend(new.cloned());
    let own = own_names(&summary.names, flows);
    summary.names.extend(own);
    let mut known = BTreeSet::new();
    let serves = heard().flat_map(|heard| &heard.serves);
    let new = serves.filter(|serves| known.insert((*serves).clone())).take(MOST_LEARNED);
    summary.serves.extend(new.cloned());
}

/// What responders call themselves, where no name with the same first label is known of their
/// address. What an initiator says of itself is left out: whoever calls may claim any name.
fn own_names(known: &[(IpAddr, String)], flows: &[Flow]) -> Vec<(IpAddr, String)> {
    let mut labels: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for (address, name) in known {
        labels.entry(*address).or_default().insert(first_label(name));
    }
    let mut own = Vec::new();
    for flow in flows {
        let (Some(heard), Address::Ip(address)) =
            (flow.heard.as_deref(), flow.responder_endpoint().address)
        else {
            continue;
        };
        let said = heard.introduced.iter().filter(|(speaker, _)| *speaker == Speaker::Responder);
        for (_, name) in said {
            let label = first_label(name);
            if own.len() < MOST_LEARNED
                && !label.is_empty()
                && labels.entry(address).or_default().insert(label)
            {
                own.push((address, name.clone()));
            }
        }
    }
    own
}

/// "dc1" of "DC1.example.com" and of "DC1": a host tells its short or its long name by protocol.
fn first_label(name: &str) -> String {
    name.split('.').next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::script::play;
    use crate::probe::Heard;

    #[test]
    fn a_responder_that_says_its_name_is_known_by_it_once() {
        let mut flow = play("S");
        let introduced = [
            (Speaker::Initiator, "anybody"),
            (Speaker::Responder, "DC1"),
            (Speaker::Responder, "dc1.example.com"),
        ];
        let introduced = introduced.map(|(from, name)| (from, name.to_owned())).to_vec();
        flow.heard = Some(Box::new(Heard { introduced, ..Heard::default() }));
        let address = flow.responder_endpoint().address.ip().unwrap();
        let flows = [flow];

        let mut summary = CaptureSummary::of("site.cap");
        learn(&mut summary, &flows);
        assert_eq!(summary.names, [(address, "DC1".to_owned())]);

        let mut summary = CaptureSummary::of("site.cap");
        summary.names.push((address, "dc1.example.com".to_owned()));
        learn(&mut summary, &flows);
        assert_eq!(summary.names, [(address, "dc1.example.com".to_owned())]);
    }
}
