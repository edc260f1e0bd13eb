//! What was heard of the hosts that leave calls unanswered.

use std::hash::Hash;
use std::net::IpAddr;

use crate::diagnosis::{Known, Table};
use crate::net::{Address, Transport};
use crate::verdict::record::{
    Class, EvidenceKind, EvidenceRecord, JudgedFlow, Origin, Sender, Verdict,
};

/// A port that was called, of one transport.
pub(super) type Port = (Transport, u16);

/// What was heard of the hosts that leave calls unanswered; of each kind the first flow.
#[derive(Default)]
pub(super) struct Heard<'a> {
    /// A flow that the host opened.
    pub(super) opened: Table<Address, &'a JudgedFlow>,
    /// Successes, by host, port and caller.
    pub(super) answers: Table<(Address, Port, Address), &'a JudgedFlow>,
    /// Of those of a port, the one of the caller that sorts first.
    pub(super) answers_on: Table<(Address, Port), &'a JudgedFlow>,
    /// Successes, by host and caller.
    pub(super) answered: Table<(Address, Address), &'a JudgedFlow>,
    /// Of those of a host, the one of the caller that sorts first.
    pub(super) answered_by: Table<Address, &'a JudgedFlow>,
    /// Refusals of closed ports, which are the host's own, by host, transport and caller.
    pub(super) refusals: Table<(Address, Transport, Address), &'a JudgedFlow>,
    /// Of those of a transport, the one of the caller that sorts first.
    pub(super) refused_by: Table<(Address, Transport), &'a JudgedFlow>,
    /// The first success of a caller in a network, by both.
    pub(super) networks: Table<(Address, Network), &'a JudgedFlow>,
}

/// The network that an address is in, where nobody knows its mask: as most have it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network {
    is_v6: bool,
    bits: u64,
}

impl Network {
    pub(super) fn of(address: Address) -> Option<Network> {
        Some(match address.ip()? {
            IpAddr::V4(address) => {
                Network { is_v6: false, bits: u64::from(address.to_bits() >> 8) }
            }
            IpAddr::V6(address) => {
                let bits = u64::try_from(address.to_bits() >> 64).unwrap_or_default();
                Network { is_v6: true, bits }
            }
        })
    }
}

impl<'a> Heard<'a> {
    /// Flows come by id.
    pub(super) fn of(flows: &[&'a JudgedFlow]) -> Heard<'a> {
        let unanswered = || flows.iter().filter(|flow| flow.class == Class::Timeout);
        let callers: Known<Address> = unanswered().map(|flow| flow.initiator.address).collect();
        let silent: Known<Address> = unanswered().map(|flow| flow.responder.address).collect();
        let (mut heard, (opened, networks)) = rayon::join(
            || Heard::answers_of(&silent, flows),
            || (opened_by(&silent, flows), networks_of(&callers, flows)),
        );
        (heard.opened, heard.networks) = (opened, networks);
        heard
    }

    /// What the silent hosts answered at other times, and what they refused.
    fn answers_of(silent: &Known<Address>, flows: &[&'a JudgedFlow]) -> Heard<'a> {
        let of_silent = || flows.iter().filter(|flow| silent.contains(&flow.responder.address));
        let answered = || of_silent().filter(|flow| flow.class == Class::Success);
        let refused = || of_silent().filter(|flow| is_refused_by_host(flow));
        let by_port = |flow: &JudgedFlow| (flow.responder.address, port_of(flow));
        let by_host = |flow: &JudgedFlow| flow.responder.address;
        let by_transport = |flow: &JudgedFlow| (flow.responder.address, flow.transport);
        let ((answers, answers_on), ((answered, answered_by), (refusals, refused_by))) =
            rayon::join(
                || firsts(answered(), by_port, |(to, port), from| (to, port, from)),
                || {
                    rayon::join(
                        || firsts(answered(), by_host, |to, from| (to, from)),
                        || firsts(refused(), by_transport, |(to, over), from| (to, over, from)),
                    )
                },
            );
        Heard {
            answers,
            answers_on,
            answered,
            answered_by,
            refusals,
            refused_by,
            ..Heard::default()
        }
    }
}

/// The first flow of each key and caller, and of each key that of the caller that sorts first.
fn firsts<'a: 'f, 'f, K: Copy + Eq + Hash, L: Eq + Hash>(
    flows: impl Iterator<Item = &'f &'a JudgedFlow>,
    key: impl Fn(&JudgedFlow) -> K,
    and_caller: impl Fn(K, Address) -> L,
) -> (Table<L, &'a JudgedFlow>, Table<K, &'a JudgedFlow>) {
    let (mut by_caller, mut least) = (Table::default(), Table::default());
    for flow in flows.copied() {
        let key = key(flow);
        by_caller.entry(and_caller(key, flow.initiator.address)).or_insert(flow);
        keep_least(&mut least, key, flow);
    }
    (by_caller, least)
}

/// The first flow that each of the silent hosts opened.
fn opened_by<'a>(
    silent: &Known<Address>,
    flows: &[&'a JudgedFlow],
) -> Table<Address, &'a JudgedFlow> {
    let mut opened = Table::default();
    for flow in flows.iter().filter(|flow| flow.packets.initiator > 0) {
        if silent.contains(&flow.initiator.address) {
            opened.entry(flow.initiator.address).or_insert(*flow);
        }
    }
    opened
}

/// The first success of each of these callers in each network.
fn networks_of<'a>(
    callers: &Known<Address>,
    flows: &[&'a JudgedFlow],
) -> Table<(Address, Network), &'a JudgedFlow> {
    let mut networks = Table::default();
    for flow in flows.iter().filter(|flow| flow.class == Class::Success) {
        if callers.contains(&flow.initiator.address)
            && let Some(network) = Network::of(flow.responder.address)
        {
            networks.entry((flow.initiator.address, network)).or_insert(*flow);
        }
    }
    networks
}

/// Keeps the first flow of the caller that sorts first.
fn keep_least<'a, K: Eq + Hash>(kept: &mut Table<K, &'a JudgedFlow>, key: K, flow: &'a JudgedFlow) {
    let least = kept.entry(key).or_insert(flow);
    if flow.initiator.address < least.initiator.address {
        *least = flow;
    }
}

pub(super) fn port_of(flow: &JudgedFlow) -> Port {
    (flow.transport, flow.responder.port)
}

/// Whether the host itself says that a port is closed.
pub(super) fn is_refused_by_host(flow: &JudgedFlow) -> bool {
    match flow.verdict {
        Verdict::Refused => flow.origin == Some(Origin::Host),
        Verdict::Unreachable => {
            let by_host =
                |it: EvidenceRecord| it.kind == EvidenceKind::Icmp && it.from == Sender::Responder;
            flow.evidence.iter().any(by_host)
        }
        Verdict::Established
        | Verdict::EstablishedUnseen
        | Verdict::Probed
        | Verdict::Answered
        | Verdict::NoReply
        | Verdict::Unconfirmed
        | Verdict::Prohibited
        | Verdict::Challenged
        | Verdict::HalfOpen
        | Verdict::Abandoned
        | Verdict::CaptureEnded
        | Verdict::OneWay
        | Verdict::HeadersCut => false,
    }
}
