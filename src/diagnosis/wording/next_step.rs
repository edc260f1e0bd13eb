//! What to do. Command lines hold addresses only, never a name out of a capture.

use std::collections::BTreeSet;

use crate::diagnosis::FindingKind;
use crate::diagnosis::grouping::Group;
use crate::diagnosis::shares::{Facet, Share};
use crate::diagnosis::silence::Reading;
use crate::diagnosis::wording::explanation::silence;
use crate::diagnosis::wording::{Words, dropper, ports};
use crate::matrix::list_of;
use crate::net::{Address, Transport};

/// Hosts that a step names.
const NAMED: usize = 4;

#[expect(clippy::too_many_lines, reason = "a table")]
pub(in crate::diagnosis) fn next_step(
    words: &Words<'_, '_>,
    group: &Group<'_>,
    is_asked: bool,
) -> String {
    let shares = &group.shares;
    let Some(share) = shares.first() else { return String::new() };
    let pairs = group.pairs();
    let addresses = |hosts: BTreeSet<Address>| {
        let named: Vec<String> = hosts.iter().map(Address::to_string).collect();
        list_of(&named, NAMED)
    };
    let from = addresses(pairs.iter().map(|(from, _)| *from).collect());
    let to = addresses(pairs.iter().map(|(_, to)| *to).collect());
    let ports = ports(shares);
    if group.facet() == Facet::NoListener {
        return "nothing: no firewall request is made for it".to_owned();
    }
    let ask = if is_asked { "ask for the firewall requests of this report; then " } else { "" };
    match group.kind {
        FindingKind::CallerCutOff => {
            let after =
                if is_asked { "; then ask for the firewall requests of this report" } else { "" };
            format!(
                "check address, gateway and firewall of {from}, and that the capture holds both \
                 directions{after}"
            )
        }
        FindingKind::HostUnreachable => {
            let after = if is_asked {
                "; if it is up and called by others, ask for the firewall requests of this report"
            } else {
                ""
            };
            format!("check that {to} is up, has this address, and that a route leads to it{after}")
        }
        FindingKind::NameServerSilent => format!(
            "{ask}check that DNS runs on {to} and answers (Resolve-DnsName -Server), and that \
             {from} is meant to ask it"
        ),
        FindingKind::DroppedHere => {
            let machine = dropper(share)
                .map_or_else(|| "the capturing machine".to_owned(), |(at, _)| words.host(at));
            format!(
                "on {machine} look at what the reason names: Windows Firewall (wf.msc, or \
                 Get-NetFirewallRule) and other filters for {ports}, or whether the service listens \
                 (netstat -ano); nothing is to be asked of the firewall team for this"
            )
        }
        FindingKind::PortBlocked => format!(
            "{ask}repeat the capture; if the rules are in place already, capture on one of {to} too \
             and see whether the packets arrive"
        ),
        FindingKind::Dropped if arrives(words, group) => format!(
            "the calls arrive at {to}: look at its own firewall (wf.msc, or Get-NetFirewallRule) for \
             {ports}, and whether the service listens (netstat -ano)"
        ),
        FindingKind::Dropped => format!(
            "{ask}repeat the capture; if the rules are in place already, capture on {to} too and \
             see whether the packets arrive"
        ),
        FindingKind::UdpUnanswered if is_asked => {
            "ask for the firewall requests of this report; what uses TCP works meanwhile".to_owned()
        }
        FindingKind::UdpUnanswered => "nothing, unless UDP is wanted".to_owned(),
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
        FindingKind::ServiceFailed if group.explained_by.is_some() => {
            "mend what explains it first, then repeat the capture".to_owned()
        }
        FindingKind::ServiceFailed if shares.iter().all(is_clock_skew) => format!(
            "set the clocks of {from} and {to} right (w32tm /query /status on both; time comes over \
             udp/123), then repeat the capture"
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
            "repeat the capture on {}: begin before the attempt and end half a minute after it",
            if pairs.len() == 1 { words.host(share.cell.from.address) } else { from }
        ),
        FindingKind::AlternativeOpen => "nothing, unless this one is wanted".to_owned(),
        FindingKind::NotExercised if group.explained_by.is_some() => {
            "mend what explains it, then repeat the capture".to_owned()
        }
        FindingKind::NotExercised => exercise(words, group),
        FindingKind::RpcPortDropped
        | FindingKind::EndpointNotRegistered
        | FindingKind::RpcOutsideRange
        | FindingKind::RpcAddressDiffers
        | FindingKind::NameNotFound
        | FindingKind::RoleNameUnknown
        | FindingKind::NoRoles
        | FindingKind::OtherFailures
        | FindingKind::RolesInferred => String::new(),
    }
}

/// Whether the clocks are too far apart (`KRB_AP_ERR_SKEW`, RFC 4120 7.5.9).
fn is_clock_skew(share: &Share<'_>) -> bool {
    let mut flows = share.flows.iter();
    flows.any(|flow| flow.service.code.as_deref() == Some("KRB_AP_ERR_SKEW"))
}

/// Whether the capture was taken on the host that does not answer.
fn arrives(words: &Words<'_, '_>, group: &Group<'_>) -> bool {
    silence(words, group).is_some_and(|silence| silence.reading == Reading::HostItself)
}

/// How to make the attempts that are missing: of several pairs, towards the first.
fn exercise(words: &Words<'_, '_>, group: &Group<'_>) -> String {
    let Some((from, to)) = group.shares.first().map(Share::pair) else { return String::new() };
    let shares: Vec<&Share<'_>> =
        group.shares.iter().filter(|share| share.pair() == (from, to)).collect();
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
        shares.any(|share| share.is_on(port))
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
    let others = match group.pairs().len() {
        0 | 1 => "",
        _ => "; and likewise for the others",
    };
    format!("during the next capture run on {}: {}{others}", words.host(from), ways.join("; "))
}
