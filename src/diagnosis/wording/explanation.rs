//! What was seen, then what it may mean.

use std::collections::BTreeSet;

use crate::diagnosis::FindingKind;
use crate::diagnosis::cause::answer_of;
use crate::diagnosis::grouping::Group;
use crate::diagnosis::shares::{Facet, Share};
use crate::diagnosis::silence::{Reading, Silence, silence_of};
use crate::diagnosis::wording::{Words, always_reached, first_drop, port_of};
use crate::matrix::{count_of, list_of, seen, then};
use crate::net::Address;
use crate::verdict::record::{Brief, JudgedFlow, Origin};

/// Signs of a made-up refusal that an explanation tells.
const TOLD_SIGNS: usize = 3;

/// Cells whose packets an explanation tells.
const TOLD: usize = 4;

pub(in crate::diagnosis) fn explanation(words: &Words<'_, '_>, group: &Group<'_>) -> String {
    let shares = &group.shares;
    let kind = group.kind;
    if kind == FindingKind::NotExercised {
        return format!("no capture holds an attempt. {}", meaning(kind, group.cause));
    }
    let several_pairs = group.pairs().len() > 1;
    let told: Vec<String> = chosen(shares)
        .into_iter()
        .map(|share| {
            let told = told(words, kind, share);
            if !several_pairs {
                return told;
            }
            let (from, to) = share.pair();
            format!("{from} to {to}, {told}")
        })
        .collect();
    let mut text = told.join("; ");
    if let Some(more) = shares.len().checked_sub(told.len()).filter(|more| *more > 0) {
        text = format!("{text}; {more} more in the requirement sheet");
    }
    if group.facet() == Facet::NoListener {
        return then(&text, "The port is listed, and nothing is known to listen on it: no fault");
    }
    let reached = kind == FindingKind::Mixed && shares.iter().all(always_reached);
    // Where every attempt got through, no rule was changed: it is the service that wavers.
    let (kind, cause) = if reached {
        (FindingKind::ServiceFailed, FindingKind::ServiceFailed)
    } else {
        (kind, group.cause)
    };
    if let Some(silence) = silence(words, group).filter(|silence| !silence.sentence.is_empty()) {
        text = then(&text, &capitalized(&silence.sentence));
        // The sentence weighs what the silence of this host may mean; what is left to say is what
        // the failures of several have in common.
        let is_told = kind == cause || is_decisive(silence.reading);
        return if is_told { text } else { then(&text, meaning(kind, cause)) };
    }
    text = match made_up(group) {
        Some(signs) => then(&then(&text, &signs), MADE_UP),
        None => then(&text, meaning(kind, cause)),
    };
    let unanswered = matches!(
        cause,
        FindingKind::Dropped
            | FindingKind::Prohibited
            | FindingKind::Refused
            | FindingKind::Unreachable
    );
    let told_by_title = matches!(kind, FindingKind::HostUnreachable | FindingKind::CallerCutOff);
    if unanswered && !told_by_title {
        let answers = match shares.first().map(Share::pair) {
            Some((from, to)) if !several_pairs => words.other_answers(from, to),
            _ => hosts_that_answer(words, group),
        };
        text = then(&text, &answers.unwrap_or_default());
    }
    text
}

/// What a refusal means that bears signs of a device in between.
const MADE_UP: &str = "So a device on the way may have made it up, as a firewall that rejects does; \
                       the host itself may never have seen the call";

/// The signs that a device made up a refusal, where one of a group bears them.
fn made_up(group: &Group<'_>) -> Option<String> {
    let mut flows = group.shares.iter().flat_map(|share| &share.flows);
    let flow = flows.find(|flow| {
        group.cause == FindingKind::Refused && flow.origin == Some(Origin::Middlebox)
    })?;
    let signs = flow.origin_reasons.iter().take(TOLD_SIGNS).map(Brief::text);
    let signs = signs.collect::<Vec<_>>().join("; ");
    (!signs.is_empty()).then(|| capitalized(&signs))
}

/// What the silence of a group means, weighed for its first pair of hosts; `None` where it was not
/// silence that failed.
pub(super) fn silence(words: &Words<'_, '_>, group: &Group<'_>) -> Option<Silence> {
    if !matches!(group.cause, FindingKind::Dropped | FindingKind::UdpUnanswered)
        || group.kind == FindingKind::CallerCutOff
    {
        return None;
    }
    let pair = group.shares.first().map(Share::pair)?;
    let shares = group.shares.iter().filter(|share| share.pair() == pair);
    let flows: Vec<&JudgedFlow> = shares.flat_map(|share| &share.flows).copied().collect();
    Some(silence_of(words.evidence, &flows))
}

/// Whether a reading leaves nothing to guess.
fn is_decisive(reading: Reading) -> bool {
    matches!(
        reading,
        Reading::DroppedHere | Reading::HostItself | Reading::NoNeighbour | Reading::NoRoute
    )
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The shares to tell of: of several pairs the first of each, as they fail alike.
fn chosen<'s, 'a>(shares: &'s [Share<'a>]) -> Vec<&'s Share<'a>> {
    let mut pairs = BTreeSet::new();
    let first = shares.iter().filter(|share| pairs.insert(share.pair()));
    let mut chosen: Vec<&Share<'_>> = first.take(TOLD).collect();
    if let [only] = chosen.as_slice() {
        let pair = only.pair();
        chosen = shares.iter().filter(|share| share.pair() == pair).take(TOLD).collect();
    }
    chosen
}

/// How many of the called hosts answer otherwise.
fn hosts_that_answer(words: &Words<'_, '_>, group: &Group<'_>) -> Option<String> {
    let called: BTreeSet<Address> = group.pairs().into_iter().map(|(_, to)| to).collect();
    let answering: Vec<Address> = called
        .iter()
        .copied()
        .filter(|host| words.answers_of.get(host).is_some_and(Option::is_some))
        .collect();
    let named: Vec<String> = answering.iter().map(|host| words.host(*host)).collect();
    Some(match (answering.len(), called.len()) {
        (0, _) => return None,
        (all, called) if all == called && called > 1 => {
            "All of these hosts did answer on other ports, so they are up".to_owned()
        }
        _ => format!("{} did answer otherwise", list_of(&named, 3)),
    })
}

fn told(words: &Words<'_, '_>, kind: FindingKind, share: &Share<'_>) -> String {
    let port = port_of(share);
    if kind == FindingKind::Mixed {
        return format!("{port}: {}", share.cell.explanation.text().trim_end_matches('.'));
    }
    let Some(first) = share.flows.first() else {
        return format!("{port}: {}", share.cell.explanation.text().trim_end_matches('.'));
    };
    let seen = seen(first, words.evidence.several);
    let mut text = match share.flows.len() {
        1 => format!("{port}: {seen}"),
        count => format!("{port}: {}, the first: {seen}", count_of(count, "attempt")),
    };
    if kind == FindingKind::DroppedHere
        && let Some(note) = first_drop(share).and_then(|(_, drop)| drop.note)
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

/// What a kind of finding may mean; of ports that fail everywhere, by what went wrong with each.
pub(in crate::diagnosis) fn meaning(kind: FindingKind, cause: FindingKind) -> &'static str {
    match kind {
        FindingKind::CallerCutOff => {
            "Its calls leave and nothing comes back from anybody: its own address, gateway or \
             firewall, a firewall that drops all it sends, or a capture that holds one direction only"
        }
        FindingKind::HostUnreachable => {
            "Nothing was ever heard of it, on any port, by anybody who called: a host that is down, \
             an address that is wrong, or a route that is missing looks like this; so does a \
             firewall that drops everything to it"
        }
        FindingKind::NameServerSilent => {
            "A host that finds no name calls nobody, so mend this first. A DNS service that is down \
             looks like this; so does a firewall that drops"
        }
        FindingKind::PortBlocked if cause == FindingKind::Prohibited => {
            "The same ports to several hosts, each with an ICMP error that names a rule as the \
             cause: one rule on the way"
        }
        FindingKind::PortBlocked if cause == FindingKind::Unconfirmed => {
            "The same ports to several hosts: the way back of these calls is what they have in \
             common"
        }
        FindingKind::PortBlocked => {
            "The same ports fail alike towards several hosts: that is more likely one rule on the \
             way than a fault of each host"
        }
        FindingKind::UdpUnanswered => {
            "TCP of the same service works, and Windows turns to it where UDP fails, some seconds \
             later. A firewall that drops UDP looks like this; so do lost datagrams"
        }
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
        | FindingKind::NameNotFound
        | FindingKind::RoleNameUnknown
        | FindingKind::NoRoles
        | FindingKind::OtherFailures
        | FindingKind::RolesInferred => "",
    }
}
