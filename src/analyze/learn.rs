//! What the packets of a capture tell of hosts, beside its flows: their names, what they serve.
//!
//! Name servers and hosts themselves are believed. What a caller says of itself counts where it
//! says one thing only, and what it calls others counts least: whoever calls may claim any name.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::fast::FixedState;

use crate::analyze::place::{Sights, links, taken_on};
use crate::capture::CaptureSummary;
use crate::flow::{Flow, Look};
use crate::net::{Address, Endpoint, KnownName, NameSource, first_label, without_root};
use crate::probe::{Heard, Speaker};

/// Names and purposes kept of those that the packets of one capture tell.
const MOST_LEARNED: usize = 10_000;

/// Names kept of what callers call one address. Web sites share theirs by the hundred.
const MOST_CALLED: usize = 4;

/// What the flows of a capture tell of hosts, gathered flow by flow.
#[derive(Default)]
pub(super) struct Learned {
    sights: Sights,
    telling: Telling,
}

impl Learned {
    /// Takes the flow at this place into account. Flows come in their order.
    pub(super) fn see(&mut self, place: usize, look: Look<'_>) {
        self.sights.see(place, look);
        if let Look::Flow(flow) = look {
            self.telling.see(place, flow);
        }
    }

    /// All that was gathered of the flows of a capture, each time of some of them.
    pub(super) fn of_parts(parts: Vec<Learned>) -> Learned {
        let mut parts = parts.into_iter();
        let mut all = parts.next().unwrap_or_default();
        let mut told = std::mem::take(&mut all.telling).flows;
        for part in parts {
            all.sights.append(part.sights);
            told.extend(part.telling.flows);
        }
        all.sights.close();
        told.sort_by_key(|said| said.place);
        for said in told {
            if all.telling.said.insert(said.hash) {
                all.telling.flows.push(said);
            }
        }
        all
    }

    /// The ways that packets went, from whom to whom.
    pub(super) fn ways(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        self.sights.ways()
    }

    /// Adds what was told of hosts to what the capture stores of them, each once.
    pub(super) fn tell(&self, summary: &mut CaptureSummary) {
        let telling: Vec<&Flow> = self.telling.flows.iter().map(|said| &said.flow).collect();
        of_heard(summary, &telling);
        summary.links = links(&self.sights);
        summary.taken_on = taken_on(&self.sights, summary);
    }
}

/// Flows that say something that no flow between the same hosts said before.
#[derive(Default)]
struct Telling {
    flows: Vec<Said>,
    said: HashSet<u64, FixedState>,
}

/// A flow that says something.
struct Said {
    place: usize,
    /// Of what it says.
    hash: u64,
    flow: Flow,
}

impl Telling {
    fn see(&mut self, place: usize, flow: &Flow) {
        let Some(heard) = flow.heard.as_deref() else { return };
        let Heard { names, serves, introduced, called, leases_asked, leases_given, .. } = heard;
        let silent = names.is_empty()
            && serves.is_empty()
            && introduced.is_empty()
            && called.is_empty()
            && leases_asked.is_empty()
            && leases_given.is_empty();
        if silent {
            return;
        }
        let ends = [flow.initiator_endpoint().address, flow.responder_endpoint().address];
        let said = (ends, names, serves, introduced, called, leases_asked, leases_given);
        let hash = FixedState::default().hash_one(said);
        if self.said.insert(hash) {
            self.flows.push(Said { place, hash, flow: flow.clone() });
        }
    }
}

/// Adds what these flows said of hosts.
fn of_heard(summary: &mut CaptureSummary, flows: &[&Flow]) {
    let heard = || flows.iter().filter_map(|flow| flow.heard.as_deref());
    let mut serves = BTreeSet::new();
    let new = heard().flat_map(|heard| &heard.serves);
    let new = new.filter(|it| serves.insert((*it).clone())).take(MOST_LEARNED);
    summary.serves.extend(new.cloned());
    let mut names = Names::of(std::mem::take(&mut summary.names));
    for known in heard().flat_map(|heard| &heard.names) {
        names.add(known.address, known.source, &known.name);
    }
    leases(heard(), &mut names);
    own_names(flows, &mut names);
    claimed_names(flows, &mut names);
    called_names(flows, &summary.serves, &mut names);
    summary.names = names.all;
}

/// Names, each once from each source.
struct Names {
    all: Vec<KnownName>,
    known: BTreeSet<KnownName>,
    /// First labels by address.
    labels: BTreeMap<IpAddr, BTreeSet<String>>,
    /// How many may still be added.
    room: usize,
}

impl Names {
    fn of(all: Vec<KnownName>) -> Names {
        let known = all.iter().cloned().collect();
        let mut labels: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        for name in &all {
            labels.entry(name.address).or_default().insert(first_label(&name.name));
        }
        Names { all, known, labels, room: MOST_LEARNED }
    }

    fn add(&mut self, address: IpAddr, source: NameSource, name: &str) {
        let name = without_root(name);
        if self.room == 0 || name.is_empty() {
            return;
        }
        let known = KnownName { address, source, name: name.to_owned() };
        if self.known.insert(known.clone()) {
            self.room -= 1;
            self.labels.entry(address).or_default().insert(first_label(name));
            self.all.push(known);
        }
    }

    /// Whether an address has a name that begins like this one.
    fn knows_label(&self, address: IpAddr, name: &str) -> bool {
        self.labels.get(&address).is_some_and(|labels| labels.contains(&first_label(name)))
    }
}

/// The IP address of a host; the address that stands for none yet is none.
fn host(endpoint: Endpoint) -> Option<IpAddr> {
    match endpoint.address {
        Address::Ip(address) => {
            let nobody =
                address.is_unspecified() || address.is_multicast() || address.is_loopback();
            (!nobody).then_some(address)
        }
        Address::Conversation(_) | Address::Name(_) => None,
    }
}

/// Names of hosts that were given an address. The question is broadcast and the answer often too,
/// so that they are flows of their own; the number of the question joins them.
fn leases<'a>(heard: impl Iterator<Item = &'a Heard>, names: &mut Names) {
    let mut asked: BTreeMap<u32, &str> = BTreeMap::new();
    let mut given: Vec<(u32, IpAddr)> = Vec::new();
    for heard in heard {
        asked.extend(heard.leases_asked.iter().map(|(number, name)| (*number, name.as_str())));
        given.extend(&heard.leases_given);
    }
    for (number, address) in given {
        if let Some(name) = asked.get(&number) {
            names.add(address, NameSource::Dhcp, name);
        }
    }
}

/// What responders call themselves. Of a short and a whole name the whole one is kept: a host
/// tells one or the other by protocol.
fn own_names(flows: &[&Flow], names: &mut Names) {
    for whole in [true, false] {
        for flow in flows {
            let Some(heard) = flow.heard.as_deref() else { continue };
            let Some(address) = host(flow.responder_endpoint()) else { continue };
            for (speaker, source, name) in &heard.introduced {
                let wanted = *speaker == Speaker::Responder
                    && name.contains('.') == whole
                    && (whole || !names.knows_label(address, name));
                if wanted {
                    names.add(address, *source, name);
                }
            }
        }
    }
}

/// What initiators call themselves, where one address has one name only: behind an address that
/// is translated there are many.
fn claimed_names(flows: &[&Flow], names: &mut Names) {
    let mut claims: BTreeMap<IpAddr, BTreeMap<String, (NameSource, &str)>> = BTreeMap::new();
    for flow in flows {
        let Some(heard) = flow.heard.as_deref() else { continue };
        let Some(address) = host(flow.initiator_endpoint()) else { continue };
        for (speaker, source, name) in &heard.introduced {
            // A workstation has a NetBIOS name. A whole one would pass for what a host proves.
            if *speaker == Speaker::Initiator && !name.is_empty() && !name.contains('.') {
                let of_address = claims.entry(address).or_default();
                if of_address.len() < 2 {
                    of_address.entry(first_label(name)).or_insert((*source, name));
                }
            }
        }
    }
    for (address, claims) in claims {
        if let (1, Some((source, name))) = (claims.len(), claims.values().next())
            && !names.knows_label(address, name)
        {
            names.add(address, *source, name);
        }
    }
}

/// What initiators call the hosts that they call. The name of a domain is that of no host, though
/// its controllers are called by it.
fn called_names(flows: &[&Flow], serves: &[(String, String)], names: &mut Names) {
    let purposes = serves.iter().map(|(purpose, _)| purpose.as_str());
    let known: Vec<String> =
        names.all.iter().map(|known| known.name.to_ascii_lowercase()).collect();
    let mut domains: BTreeSet<String> = BTreeSet::new();
    for name in purposes.map(str::to_ascii_lowercase).chain(known) {
        let mut rest = name.as_str();
        while let Some((_, parent)) = rest.split_once('.') {
            domains.insert(parent.to_owned());
            rest = parent;
        }
    }
    let mut called: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for flow in flows {
        let Some(heard) = flow.heard.as_deref() else { continue };
        let Some(address) = host(flow.responder_endpoint()) else { continue };
        for (source, name) in &heard.called {
            let lower = name.to_ascii_lowercase();
            if domains.contains(&lower) || names.knows_label(address, name) {
                continue;
            }
            let of_address = called.entry(address).or_default();
            if of_address.len() < MOST_CALLED && of_address.insert(lower) {
                names.add(address, *source, name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::script::play;

    fn spoken(heard: Heard) -> Flow {
        let mut flow = play("S");
        flow.heard = Some(Box::new(heard));
        flow
    }

    fn learned(flows: &[Flow], stored: &[(&str, &str)]) -> Vec<String> {
        let mut summary = CaptureSummary::of("site.cap");
        let stored = stored.iter().map(|(address, name)| KnownName {
            address: address.parse().unwrap(),
            source: NameSource::Capture,
            name: (*name).to_owned(),
        });
        summary.names.extend(stored);
        of_heard(&mut summary, &flows.iter().collect::<Vec<_>>());
        let told = |known: &KnownName| format!("{} {} {}", known.address, known.name, known.source);
        summary.names.iter().map(told).collect()
    }

    fn introduced(said: &[(Speaker, NameSource, &str)]) -> Flow {
        let said = said.iter().map(|(from, by, name)| (*from, *by, (*name).to_owned()));
        spoken(Heard { introduced: said.collect(), ..Heard::default() })
    }

    use NameSource::{Http, Ldap, Nbns, Ntlm, Tds};
    use Speaker::{Initiator, Responder};

    // The script's flow goes from 10.0.0.5 to 10.1.0.10.

    #[test]
    fn a_responder_is_known_by_the_whole_name_that_it_says() {
        let flow = introduced(&[
            (Responder, Nbns, "DC1"),
            (Responder, Ntlm, "dc1.example.com"),
            (Responder, Ldap, "dc1.example.com"),
        ]);
        let expected = ["10.1.0.10 dc1.example.com ntlm", "10.1.0.10 dc1.example.com ldap"];
        assert_eq!(learned(&[flow], &[]), expected);
        let flow = introduced(&[(Responder, Nbns, "DC1")]);
        assert_eq!(
            learned(&[flow], &[("10.1.0.10", "dc1.example.com")]),
            ["10.1.0.10 dc1.example.com capture"]
        );
    }

    #[test]
    fn an_initiator_is_known_by_what_it_says_of_itself_if_that_is_one_thing() {
        let one = introduced(&[(Initiator, Ntlm, "CAS01"), (Initiator, Tds, "cas01")]);
        assert_eq!(learned(std::slice::from_ref(&one), &[]), ["10.0.0.5 CAS01 ntlm"]);
        let other = introduced(&[(Initiator, Ntlm, "OTHER")]);
        assert!(learned(&[one, other], &[]).is_empty());
        // No caller can pass for a host that proves its name.
        assert!(learned(&[introduced(&[(Initiator, Ntlm, "dc1.example.com")])], &[]).is_empty());
    }

    #[test]
    fn what_callers_call_a_host_counts_unless_it_is_a_domain() {
        let called = [(Http, "mp.example.com"), (NameSource::Smb, "example.com")];
        let called = called.map(|(by, name)| (by, name.to_owned())).to_vec();
        let flow = spoken(Heard { called: called.into(), ..Heard::default() });
        let stored = [("10.1.0.10", "dc1.example.com")];
        assert_eq!(
            learned(&[flow], &stored),
            ["10.1.0.10 dc1.example.com capture", "10.1.0.10 mp.example.com http"]
        );
    }

    #[test]
    fn a_lease_names_the_host_that_asked_for_it_in_another_flow() {
        let asked = spoken(Heard {
            leases_asked: vec![(7, "CAS01".to_owned()), (8, "PC2".to_owned())].into(),
            ..Heard::default()
        });
        let address = "10.0.0.50".parse().unwrap();
        let given = spoken(Heard { leases_given: vec![(7, address)].into(), ..Heard::default() });
        assert_eq!(learned(&[asked, given], &[]), ["10.0.0.50 CAS01 dhcp"]);
    }
}
