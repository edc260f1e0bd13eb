//! The sentences of findings: what was seen, what it may mean, what to do.
//!
//! Names come from captures and are hostile: a name is shown only where it looks like one, and
//! never stands in a command line.

mod explanation;
mod next_step;
mod title;

pub(super) use explanation::{explanation, meaning};
pub(super) use next_step::next_step;
pub(super) use title::title;

use std::collections::BTreeSet;

use crate::capture::FrameNote;
use crate::diagnosis::cause::Weight;
use crate::diagnosis::grouping::Group;
use crate::diagnosis::shares::Share;
use crate::diagnosis::{Evidence, FindingKind, Table};
use crate::log::DropEntry;
use crate::matrix::{bounded, list_of, seen};
use crate::net::Address;
use crate::verdict::record::{Class, EvidenceKind, EvidenceRecord, JudgedFlow, Sender};

/// Services that a sentence names.
const NAMED: usize = 6;
/// Hosts that a sentence names.
const NAMED_HOSTS: usize = 3;

/// What sentences need beside their own cells.
pub(super) struct Words<'e, 'a> {
    evidence: &'e Evidence<'a>,
    names: Table<Address, &'a str>,
    /// What each host is to the sheet, else its first role.
    roles: Table<Address, &'a str>,
    /// The first success of each called host, by host and caller.
    answers: Table<(Address, Address), &'a JudgedFlow>,
    /// The one of the caller that sorts first, by host.
    answers_of: Table<Address, Option<&'a JudgedFlow>>,
}

impl<'e, 'a> Words<'e, 'a> {
    pub(super) fn new(evidence: &'e Evidence<'a>) -> Words<'e, 'a> {
        let mut answers: Table<(Address, Address), &JudgedFlow> = Table::default();
        let called = evidence.sheet.cells.iter().map(|cell| (cell.to.address, None));
        let mut answers_of: Table<Address, Option<&JudgedFlow>> = called.collect();
        for &flow in &evidence.flows {
            let (from, to) = (flow.initiator.address, flow.responder.address);
            if flow.class == Class::Success
                && let Some(least) = answers_of.get_mut(&to)
            {
                answers.entry((to, from)).or_insert(flow);
                if least.is_none_or(|least: &JudgedFlow| from < least.initiator.address) {
                    *least = Some(flow);
                }
            }
        }
        let hosts = evidence.hosts.iter();
        let names = hosts.filter_map(|host| {
            Some((host.address, host.names.iter().find(|name| looks_like_a_name(name))?.as_str()))
        });
        let mut roles: Table<Address, &str> = Table::default();
        for cell in &evidence.sheet.cells {
            for end in [&cell.from, &cell.to] {
                roles.entry(end.address).or_insert(&end.role);
            }
        }
        for host in evidence.hosts {
            if let Some(first) = host.roles.first() {
                roles.entry(host.address).or_insert(&first.role);
            }
        }
        Words { evidence, names: names.collect(), roles, answers, answers_of }
    }

    /// "CAS01 (10.0.0.5)".
    pub(super) fn host(&self, address: Address) -> String {
        match self.names.get(&address) {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        }
    }

    /// "CAS01 (10.0.0.5, cas)", as titles name hosts.
    pub(super) fn titled(&self, address: Address) -> String {
        match (self.names.get(&address), self.roles.get(&address)) {
            (Some(name), Some(role)) => format!("{name} ({address}, {role})"),
            (Some(name), None) => format!("{name} ({address})"),
            (None, Some(role)) => format!("{address} ({role})"),
            (None, None) => address.to_string(),
        }
    }

    /// One host as [`Words::titled`]; of several how many, and the first few.
    pub(super) fn titled_all(&self, hosts: &BTreeSet<Address>) -> String {
        let mut each = hosts.iter();
        if let (Some(only), None) = (each.next(), each.next()) {
            return self.titled(*only);
        }
        let named: Vec<String> = hosts.iter().map(|host| self.host(*host)).collect();
        format!("{} hosts ({})", hosts.len(), list_of(&named, NAMED_HOSTS))
    }

    /// What the called host answered otherwise, as that narrows down what silence means.
    fn other_answers(&self, from: Address, to: Address) -> Option<String> {
        let flow = self.answers.get(&(to, from)).copied().or(*self.answers_of.get(&to)?)?;
        let host = self.host(to);
        let service = format!("{}/{}", flow.transport, flow.responder.port);
        let seen = seen(flow, self.evidence.several);
        Some(if flow.initiator.address == from {
            format!("{host} did answer on {service} ({seen}), so it is up and there is a way to it")
        } else {
            let other = self.host(flow.initiator.address);
            format!("{host} did answer {other} on {service} ({seen}), so it was up then")
        })
    }
}

/// Who calls and who is called, as titles name them.
fn sides(words: &Words<'_, '_>, group: &Group<'_>) -> (String, String) {
    let pairs = group.pairs();
    let callers: BTreeSet<Address> = pairs.iter().map(|(from, _)| *from).collect();
    let called: BTreeSet<Address> = pairs.iter().map(|(_, to)| *to).collect();
    (words.titled_all(&callers), words.titled_all(&called))
}

/// Letters, digits, dots, hyphens and underscores; no address, as that would mislead.
fn looks_like_a_name(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    (1..=64).contains(&name.len())
        && name.chars().all(fits)
        && name.contains(|letter: char| letter.is_ascii_alphabetic())
        && name.parse::<std::net::IpAddr>().is_err()
}

/// "tcp/389", or "tcp dynamic" for the dynamic ranges.
fn port_of(share: &Share<'_>) -> String {
    let transport = share.cell.transport;
    match share.flows.first() {
        Some(first)
            if share.flows.iter().all(|flow| flow.responder.port == first.responder.port) =>
        {
            format!("{transport}/{}", first.responder.port)
        }
        _ if share.requirement.rpc_dynamic => format!("{transport}/dynamic"),
        _ => format!("{transport}/{}", share.cell.ports),
    }
}

/// Ports of all shares, each once, in the order of the sheet.
fn ports(shares: &[Share<'_>]) -> String {
    list_of(&once(shares.iter().map(port_of)), NAMED)
}

/// "LDAP (tcp/389) and DNS (tcp/53, optional)", each once; what failed with its answer.
fn services(shares: &[Share<'_>]) -> String {
    let service = |share: &Share<'_>| {
        let note = if share.weight == Weight::Optional { ", optional" } else { "" };
        // What a service answers says more than that it fails.
        let answer = share.flows.first().filter(|_| share.cause == FindingKind::ServiceFailed);
        let answer = answer.and_then(|flow| flow.service.code.as_deref());
        let answer = answer.map(|code| format!(": {}", bounded(code, 60))).unwrap_or_default();
        format!("{} ({}{note}{answer})", share.cell.service, port_of(share))
    };
    list_of(&once(shares.iter().map(service)), NAMED)
}

fn once(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut known = BTreeSet::new();
    texts.filter(|text| known.insert(text.clone())).collect()
}

/// The machine that dropped packets, and who sent them; `None` where that is not told.
///
/// What was dropped on arrival was dropped by its receiver. A machine that forwards for others is
/// neither, which its capture does not tell: the explanation names the component.
fn dropper(share: &Share<'_>) -> Option<(Address, Address)> {
    let (flow, drop) = first_drop(share)?;
    let note = drop.note.as_deref()?;
    let (sender, receiver) = match drop.from {
        Sender::Initiator => (flow.initiator.address, flow.responder.address),
        Sender::Responder => (flow.responder.address, flow.initiator.address),
        Sender::Network => return None,
    };
    let begins = |with: &[&str]| with.iter().any(|with| note.starts_with(with));
    if begins(&[FrameNote::ON_ARRIVAL, DropEntry::ON_ARRIVAL]) {
        Some((receiver, sender))
    } else if begins(&[FrameNote::ON_LEAVING, DropEntry::ON_LEAVING]) {
        Some((sender, sender))
    } else {
        None
    }
}

/// The first drop in the evidence.
fn first_drop<'a>(share: &Share<'a>) -> Option<(&'a JudgedFlow, EvidenceRecord)> {
    share.flows.iter().find_map(|flow| {
        let drop = flow.evidence.iter().find(|packet| packet.kind == EvidenceKind::Drop)?;
        Some((*flow, drop))
    })
}

/// Whether every attempt that tells something reached the service.
fn always_reached(share: &Share<'_>) -> bool {
    let counts = share.cell.counts;
    counts.timeout == 0 && counts.reject == 0
}
