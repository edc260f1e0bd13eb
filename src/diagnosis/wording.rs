//! The sentences of findings: what was seen, what it may mean, what to do.
//!
//! Names come from captures and are hostile: a name is shown only where it looks like one, and
//! never stands in a command line.

use std::collections::BTreeMap;

use crate::capture::FrameNote;
use crate::diagnosis::cause::{Weight, answer_of};
use crate::diagnosis::findings::Share;
use crate::diagnosis::{Evidence, FindingKind};
use crate::log::DropEntry;
use crate::matrix::{count_of, list_of, seen, then};
use crate::net::{Address, Transport};
use crate::verdict::record::{Class, EvidenceKind, EvidenceRecord, JudgedFlow, Sender};

/// Services that a sentence names.
const NAMED: usize = 6;
/// Cells whose packets an explanation tells.
const TOLD: usize = 4;

/// What sentences need beside their own cells.
pub(super) struct Words<'e, 'a> {
    evidence: &'e Evidence<'a>,
    names: BTreeMap<Address, &'a str>,
    /// The first success of each host that a finding is about, by host and caller.
    answers: BTreeMap<Address, BTreeMap<Address, &'a JudgedFlow>>,
}

impl<'e, 'a> Words<'e, 'a> {
    pub(super) fn new<K, V>(
        evidence: &'e Evidence<'a>,
        groups: &BTreeMap<(Address, Address, K, V), Vec<Share<'a>>>,
    ) -> Words<'e, 'a> {
        let mut answers: BTreeMap<Address, BTreeMap<Address, &JudgedFlow>> =
            groups.keys().map(|(_, to, _, _)| (*to, BTreeMap::new())).collect();
        for flow in &evidence.flows {
            if flow.class == Class::Success
                && let Some(callers) = answers.get_mut(&flow.responder.address)
            {
                callers.entry(flow.initiator.address).or_insert(flow);
            }
        }
        let hosts = evidence.hosts.iter();
        let names = hosts.filter_map(|host| {
            Some((host.address, host.names.iter().find(|name| looks_like_a_name(name))?.as_str()))
        });
        Words { evidence, names: names.collect(), answers }
    }

    /// "CAS01 (10.0.0.5)".
    pub(super) fn host(&self, address: Address) -> String {
        match self.names.get(&address) {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        }
    }

    /// What the called host answered otherwise, as that narrows down what silence means.
    fn other_answers(&self, from: Address, to: Address) -> Option<String> {
        let callers = self.answers.get(&to)?;
        let flow = callers.get(&from).or_else(|| callers.values().next())?;
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

/// "LDAP (tcp/389) and DNS (tcp/53, optional)".
fn services(shares: &[Share<'_>]) -> String {
    let service = |share: &Share<'_>| {
        let note = if share.weight == Weight::Optional { ", optional" } else { "" };
        format!("{} ({}{note})", share.cell.service, port_of(share))
    };
    list_of(&shares.iter().map(service).collect::<Vec<_>>(), NAMED)
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
    if [FrameNote::ON_ARRIVAL, DropEntry::ON_ARRIVAL].iter().any(|begins| note.starts_with(begins))
    {
        Some((receiver, sender))
    } else if [FrameNote::ON_LEAVING, DropEntry::ON_LEAVING]
        .iter()
        .any(|begins| note.starts_with(begins))
    {
        Some((sender, sender))
    } else {
        None
    }
}

/// The first drop in the evidence.
fn first_drop<'a>(share: &Share<'a>) -> Option<(&'a JudgedFlow, &'a EvidenceRecord)> {
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

pub(super) fn title(words: &Words<'_, '_>, kind: FindingKind, shares: &[Share<'_>]) -> String {
    let Some(share) = shares.first() else { return String::new() };
    let (from, to) = (words.host(share.cell.from.address), words.host(share.cell.to.address));
    let on = services(shares);
    if share.weight == Weight::NoListener && kind != FindingKind::NotExercised {
        return format!("{from} did not reach {on} of {to}, where nothing is known to listen");
    }
    match kind {
        FindingKind::DroppedHere => match dropper(share) {
            Some((machine, sender)) if machine == sender => {
                let other = if machine == share.cell.from.address { to } else { from };
                format!("{} itself drops what it sends to {other} on {on}", words.host(machine))
            }
            Some((machine, sender)) => {
                let (machine, sender) = (words.host(machine), words.host(sender));
                format!("{machine} itself drops what {sender} sends to it on {on}")
            }
            None => format!("the capturing machine drops what {from} sends to {to} on {on}"),
        },
        FindingKind::Dropped => format!("{from} gets no answer from {to} on {on}"),
        FindingKind::Prohibited => format!("{from} is told that {to} is prohibited on {on}"),
        FindingKind::Refused => format!("{from} is refused by {to}, or on the way, on {on}"),
        FindingKind::Unconfirmed => {
            format!("connections from {from} to {to} stay half open on {on}")
        }
        FindingKind::Unreachable => format!("{from} is told that {to} is unreachable on {on}"),
        FindingKind::RefusedByHost => format!("{to} itself refuses {from} on {on}"),
        FindingKind::ServiceFailed => {
            format!("{from} reaches {to}, and the service fails, on {on}")
        }
        FindingKind::ServiceSilent => {
            format!("{from} reaches {to}, and the service says nothing, on {on}")
        }
        FindingKind::Mixed if shares.iter().all(always_reached) => {
            format!("{from} reaches {to}, and the service fails in some attempts, on {on}")
        }
        FindingKind::Mixed => format!("{from} reaches {to} in some attempts only on {on}"),
        FindingKind::CannotTell => {
            format!("the captures cannot tell whether {from} reaches {to} on {on}")
        }
        FindingKind::AlternativeOpen => {
            format!("{from} does not reach {to} on {on}, and an alternative is open")
        }
        FindingKind::NotExercised => {
            let count = count_of(shares.len(), "requirement");
            format!("nobody tried {count} from {from} to {to}: {on}")
        }
        FindingKind::RpcPortDropped
        | FindingKind::EndpointNotRegistered
        | FindingKind::RpcOutsideRange
        | FindingKind::RpcAddressDiffers
        | FindingKind::RoleNameUnknown
        | FindingKind::NoRoles
        | FindingKind::OtherFailures
        | FindingKind::RolesInferred => String::new(),
    }
}

/// What was seen, then what it may mean.
pub(super) fn explanation(
    words: &Words<'_, '_>,
    kind: FindingKind,
    shares: &[Share<'_>],
) -> String {
    let Some(share) = shares.first() else { return String::new() };
    if kind == FindingKind::NotExercised {
        return format!("no capture holds an attempt. {}", meaning(kind));
    }
    let told: Vec<String> =
        shares.iter().take(TOLD).map(|share| told(words, kind, share)).collect();
    let mut text = told.join("; ");
    if let Some(more) = shares.len().checked_sub(TOLD).filter(|more| *more > 0) {
        text = format!("{text}; {more} more in the requirement sheet");
    }
    if share.weight == Weight::NoListener {
        return then(&text, "The port is listed, and nothing is known to listen on it: no fault");
    }
    let reached = kind == FindingKind::Mixed && shares.iter().all(always_reached);
    // Where every attempt got through, no rule was changed: it is the service that wavers.
    text = then(&text, meaning(if reached { FindingKind::ServiceFailed } else { kind }));
    let silent = matches!(
        kind,
        FindingKind::Dropped
            | FindingKind::Prohibited
            | FindingKind::Refused
            | FindingKind::Unreachable
    );
    let (from, to) = (share.cell.from.address, share.cell.to.address);
    if silent && let Some(answers) = words.other_answers(from, to) {
        text = then(&text, &answers);
    }
    let fails = !matches!(kind, FindingKind::CannotTell | FindingKind::AlternativeOpen);
    let symptom =
        shares.iter().find_map(|share| Some((share, share.requirement.symptom.as_ref()?)));
    if let (true, Some((share, symptom))) = (fails, symptom) {
        let service = &share.cell.service;
        text = then(&text, &format!("Without {service}, setup and logs may show: {symptom}"));
    }
    text
}

fn told(words: &Words<'_, '_>, kind: FindingKind, share: &Share<'_>) -> String {
    let port = port_of(share);
    if kind == FindingKind::Mixed {
        return format!("{port}: {}", share.cell.explanation);
    }
    let Some(first) = share.flows.first() else {
        return format!("{port}: {}", share.cell.explanation);
    };
    let seen = seen(first, words.evidence.several);
    let mut text = match share.flows.len() {
        1 => format!("{port}: {seen}"),
        count => format!("{port}: {}, the first: {seen}", count_of(count, "attempt")),
    };
    if kind == FindingKind::DroppedHere
        && let Some(note) = first_drop(share).and_then(|(_, drop)| drop.note.as_deref())
        && let Some((_, why)) = note.split_once(": ")
    {
        text = format!("{text}; why: {why}");
    }
    if kind == FindingKind::ServiceFailed {
        text = format!("{text}, the service answered: {}", answer_of(first));
    }
    if let (FindingKind::ServiceSilent, Some(detail)) = (kind, &first.service.detail) {
        text = format!("{text}, {detail}");
    }
    text
}

fn meaning(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::DroppedHere => {
            "The machine itself says so, with its reason: this is its own firewall or its own network \
             stack, and no rule of a firewall on the network mends it"
        }
        FindingKind::Dropped => {
            "A firewall that drops looks like this; so does a host that is down, and a service \
             that does not run behind Windows Firewall, which answers nothing for a closed port"
        }
        FindingKind::Prohibited => {
            "A device on the way, or the host, sent an ICMP error that names a rule as the cause"
        }
        FindingKind::Refused => {
            "A firewall that rejects looks like this; so does a host on which nothing listens on \
             that port"
        }
        FindingKind::Unconfirmed => {
            "The call arrives and is answered, and one of the next packets is lost: the way back \
             may differ from the way there, and a firewall on it may know nothing of the call. A \
             responder that is overloaded looks the same"
        }
        FindingKind::Unreachable => {
            "A router knows no way to the host, or the host is down; a firewall may be set to \
             answer so"
        }
        FindingKind::RefusedByHost => {
            "The host was reached and says that nothing listens there: the path is open, and the \
             service is stopped, bound to another address, or not installed"
        }
        FindingKind::ServiceFailed => {
            "The path is open, so this is no matter of ports: the answer of the service tells why"
        }
        FindingKind::ServiceSilent => {
            "The connection is accepted, and no byte comes back: a service that hangs or is \
             overloaded looks like this; so does a device that accepts calls for the host, and \
             lets none through"
        }
        FindingKind::Mixed => {
            "A rule that was changed meanwhile looks like this; so do two paths of which one is \
             closed, a service that was restarted, and a limit that was reached"
        }
        FindingKind::CannotTell => {
            "The capture began too late, ended too early, holds one direction only, or shows no more \
             than a single call"
        }
        FindingKind::AlternativeOpen => {
            "One of these requirements is enough, so this one is not needed"
        }
        FindingKind::NotExercised => {
            "No attempt is neither a failure nor a pass: the ports may be open or closed"
        }
        FindingKind::RpcPortDropped
        | FindingKind::EndpointNotRegistered
        | FindingKind::RpcOutsideRange
        | FindingKind::RpcAddressDiffers
        | FindingKind::RoleNameUnknown
        | FindingKind::NoRoles
        | FindingKind::OtherFailures
        | FindingKind::RolesInferred => "",
    }
}

/// What to do. Command lines hold addresses only, never a name out of a capture.
pub(super) fn next_step(
    words: &Words<'_, '_>,
    kind: FindingKind,
    shares: &[Share<'_>],
    is_asked: bool,
) -> String {
    let Some(share) = shares.first() else { return String::new() };
    let (from, to) = (share.cell.from.address, share.cell.to.address);
    let caller = words.host(from);
    let ports = list_of(&shares.iter().map(port_of).collect::<Vec<_>>(), NAMED);
    if share.weight == Weight::NoListener && kind != FindingKind::NotExercised {
        return "nothing: no firewall request is made for it".to_owned();
    }
    let ask = if is_asked { "ask for the firewall requests of this report; then " } else { "" };
    match kind {
        FindingKind::DroppedHere => {
            let machine = dropper(share)
                .map_or_else(|| "the capturing machine".to_owned(), |(at, _)| words.host(at));
            format!(
                "on {machine} look at what the reason names: Windows Firewall (wf.msc, or \
                 Get-NetFirewallRule) and other filters for {ports}, or whether the service listens \
                 (netstat -ano); nothing is to be asked of the firewall team for this"
            )
        }
        FindingKind::Dropped => format!(
            "{ask}repeat the capture; if the rules are in place already, capture on {to} too and \
             see whether the packets arrive"
        ),
        FindingKind::Prohibited => format!(
            "{ask}repeat the capture; the sender of the ICMP error is the device to look at"
        ),
        FindingKind::Refused => format!(
            "{ask}repeat the capture; meanwhile check on {to} that a service listens on {ports}"
        ),
        FindingKind::Unconfirmed => format!(
            "check the routes and firewalls on the way back from {to} to {from}; capture at both \
             ends at once to see which packet is lost"
        ),
        FindingKind::Unreachable => {
            format!("check that {to} is up, and that the routes from {from} lead to it")
        }
        FindingKind::RefusedByHost => format!(
            "check on {to} that the service listens on {ports} (netstat -ano); no firewall rule \
             can mend this"
        ),
        FindingKind::ServiceFailed => {
            format!("open the frames named here, and look at the service's own log on {to}")
        }
        FindingKind::ServiceSilent => format!(
            "look on {to} whether the request arrives and the service runs; capture there too"
        ),
        FindingKind::Mixed => format!(
            "{ask}compare the attempts that worked with those that failed: time, capture, and what \
             was changed between them"
        ),
        FindingKind::CannotTell => format!(
            "repeat the capture on {caller}: begin before the attempt and end half a minute after it"
        ),
        FindingKind::AlternativeOpen => "nothing, unless this one is wanted".to_owned(),
        FindingKind::NotExercised => exercise(words, shares, from, to),
        FindingKind::RpcPortDropped
        | FindingKind::EndpointNotRegistered
        | FindingKind::RpcOutsideRange
        | FindingKind::RpcAddressDiffers
        | FindingKind::RoleNameUnknown
        | FindingKind::NoRoles
        | FindingKind::OtherFailures
        | FindingKind::RolesInferred => String::new(),
    }
}

/// How to make the attempts that are missing.
fn exercise(words: &Words<'_, '_>, shares: &[Share<'_>], from: Address, to: Address) -> String {
    let mut ports: Vec<u16> = shares
        .iter()
        .filter(|share| share.cell.transport == Transport::Tcp && !share.requirement.rpc_dynamic)
        .filter_map(|share| share.requirement.ports.first())
        .map(|range| range.first)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    let listed: Vec<String> = ports.iter().map(u16::to_string).collect();
    let to = match to {
        Address::Ip(_) | Address::Name(_) => to.to_string(),
        // Whoever has the capture knows the name; we do not.
        Address::Conversation(_) => "ADDRESS".to_owned(),
    };
    let mut ways = Vec::new();
    match listed.as_slice() {
        [] => {}
        [port] => ways.push(format!("Test-NetConnection -ComputerName {to} -Port {port}")),
        ports => ways.push(format!(
            "{} | ForEach-Object {{ Test-NetConnection -ComputerName {to} -Port $_ }}",
            ports.join(",")
        )),
    }
    let udp = |port: u16| {
        let mut shares = shares.iter().filter(|share| share.cell.transport == Transport::Udp);
        shares.any(|share| {
            !share.requirement.rpc_dynamic
                && share.requirement.ports.iter().any(|range| range.contains(port))
        })
    };
    if udp(53) {
        ways.push(format!("nslookup NAME {to} for udp/53"));
    }
    if udp(389) {
        ways.push("nltest /dsgetdc:DOMAIN /force for udp/389".to_owned());
    }
    if shares.iter().any(|share| share.requirement.rpc_dynamic) {
        ways.push("a remote call by RPC or WMI for the dynamic ports".to_owned());
    }
    if ways.is_empty() {
        ways.push("the program that needs it".to_owned());
    }
    format!("during the next capture run on {}: {}", words.host(from), ways.join("; "))
}
