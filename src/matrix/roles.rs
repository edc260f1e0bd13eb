//! Who is a domain controller, who a site server, and how we know.
//!
//! Given roles come first: to addresses, to hosts of a block that flows show, and to names that
//! the captures store. Others come from traffic, as `infer` tells, if the matrix knows them; what
//! is inferred of a host with a given role must be proven and must not contradict it. Weak roles
//! are told, and nobody is judged by them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::matrix::Matrix;
use crate::matrix::given::GivenHost;
use crate::matrix::infer::{DOMAIN_MEMBER, Inferred, infer};
use crate::matrix::names::{SameHost, shown};
use crate::net::Address;
use crate::verdict::flows::{Lane, Seen};
use crate::verdict::record::Confidence;
use crate::words::words;

/// The role that controllers of any domain are a kind of.
pub(super) const DOMAIN_CONTROLLER: &str = "domain-controller";
/// The role whose rows a domain member is judged by, where no host was given it.
pub(super) const SITE_SERVER: &str = "site-server";

/// Roles of hosts that only call.
const CALLERS: [&str; 3] = [DOMAIN_MEMBER, "client", "console"];

words! {
    /// How a host's role is known.
    RoleSource {
        /// The user said so.
        Given = "given",
        /// Its traffic says so.
        Inferred = "inferred",
    }
}

/// A role of a host, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleRecord {
    /// Role.
    pub role: String,
    /// Given or inferred.
    pub source: RoleSource,
    /// How sure an inferred role is; `None` where it is given.
    pub confidence: Option<Confidence>,
    /// What it is inferred from, as a sentence; `None` where it is given to this very address.
    pub evidence: Option<String>,
}

/// A role that the user gave, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenRole {
    /// Role.
    pub role: String,
    /// Addresses, blocks and host names, as given.
    pub hosts: Vec<String>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostRecord {
    /// Its address.
    pub address: Address,
    /// Its names, the best first.
    pub names: Vec<String>,
    /// Other addresses of the same machine, as far as the traffic proves it, sorted.
    pub same_host: Vec<Address>,
    /// What proves it, as a sentence; `None` where there is no other address.
    pub same_host_evidence: Option<String>,
    /// Its roles.
    pub roles: Vec<RoleRecord>,
}

impl HostRecord {
    /// Whether a role was given to it.
    fn is_given(&self) -> bool {
        self.roles.iter().any(|role| role.source == RoleSource::Given)
    }
}

/// A host name or block that was given a role, and that no capture shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmatchedHost {
    /// The role it was given.
    pub role: String,
    /// The host, as given.
    pub host: String,
}

/// What the captures tell of hosts, beside their flows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// Names for addresses, the best of each first.
    pub names: &'a [(Address, String)],
    /// Addresses that are one host.
    pub same_host: &'a [SameHost],
    /// Purposes, as name servers know them, and the names of hosts that serve them.
    pub serves: &'a [(String, String)],
}

/// The role that a host plays where a row names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'m> {
    /// The narrowest role that the host has and that is a kind of the row's.
    pub(super) role: &'m str,
    /// Whether the user gave it.
    pub(super) given: bool,
    /// Whether a domain member stands in for a site server: only what it asks of domain
    /// controllers is judged so.
    pub(super) candidate: bool,
}

/// All hosts with a role or a name.
pub(super) struct Cast<'m> {
    /// The hosts, by address.
    pub(super) hosts: Vec<HostRecord>,
    /// What each host plays, by place of the row's role in the matrix.
    parts: BTreeMap<Address, BTreeMap<usize, Part<'m>>>,
    /// What was given and matches nothing, in the order given.
    pub(super) unmatched: Vec<UnmatchedHost>,
}

impl<'m> Cast<'m> {
    /// Finds out who plays what.
    pub(super) fn new(
        matrix: &'m Matrix,
        given: &[GivenRole],
        told: Told<'_>,
        flows: Seen<'_>,
    ) -> Cast<'m> {
        let mut hosts: BTreeMap<Address, BTreeSet<&str>> = BTreeMap::new();
        for (address, name) in told.names {
            hosts.entry(*address).or_default().insert(name);
        }
        let (given, unmatched) = apply(matrix, given, &hosts, flows);
        // Name servers tell of half the world: a host that nobody talks to is of no interest.
        let mut silent: BTreeSet<Address> = hosts.keys().copied().collect();
        for flow in flows.telling {
            silent.remove(&flow.initiator.address);
            silent.remove(&flow.responder.address);
        }
        for lane in flows.unanswered() {
            silent.remove(&lane.to());
        }
        hosts.retain(|address, _| !silent.contains(address) || given.contains_key(address));
        let controller = |roles: &BTreeSet<usize>| {
            roles.iter().any(|role| is_kind_of(matrix, *role, DOMAIN_CONTROLLER))
        };
        let inferred = infer(flows, &hosts, told, |address| given.get(&address).map(controller));
        let site_server_given =
            given.values().flatten().any(|role| is_kind_of(matrix, *role, SITE_SERVER));

        let knows_site_servers = matrix.role_index(SITE_SERVER).is_some();
        let mut cast = Cast { hosts: Vec::new(), parts: BTreeMap::new(), unmatched };
        let mut records: BTreeMap<Address, Vec<RoleRecord>> = BTreeMap::new();
        for (address, roles) in &given {
            let record = |role: &usize| {
                let role = matrix.roles.get(*role)?.name.clone();
                Some(RoleRecord {
                    role,
                    source: RoleSource::Given,
                    confidence: None,
                    evidence: None,
                })
            };
            records.insert(*address, roles.iter().filter_map(record).collect());
            cast.parts.insert(*address, parts_of(matrix, roles, true));
        }
        for (address, found) in inferred {
            let given = given.get(&address);
            let mut played = BTreeSet::new();
            // Who is known as a mere caller of site systems is no candidate.
            let stands_in = is_candidate(&found) && knows_site_servers && !site_server_given;
            for Inferred { role: name, confidence, mut evidence } in found {
                let role = known_role(matrix, name);
                if role.is_none() && !(name == DOMAIN_MEMBER && knows_site_servers) {
                    continue;
                }
                if let (Some(given), Some(role)) = (given, role)
                    && !may_join(matrix, given, role, confidence)
                {
                    continue;
                }
                if confidence == Confidence::Weak {
                    evidence.push_str("; not judged by it");
                } else {
                    played.extend(role);
                }
                if name == DOMAIN_MEMBER && stands_in {
                    evidence.push_str("; judged as a candidate site server, as none was given");
                    cast.stand_in(matrix, address);
                }
                let name = role.and_then(|role| matrix.roles.get(role));
                records.entry(address).or_default().push(RoleRecord {
                    role: name.map_or(DOMAIN_MEMBER, |role| &role.name).to_owned(),
                    source: RoleSource::Inferred,
                    confidence: Some(confidence),
                    evidence: Some(evidence),
                });
            }
            cast.play(address, parts_of(matrix, &played, false));
        }
        for address in records.keys() {
            hosts.entry(*address).or_default();
        }
        let record = |(address, names): (Address, BTreeSet<&str>)| HostRecord {
            address,
            names: names.into_iter().map(str::to_owned).collect(),
            same_host: Vec::new(),
            same_host_evidence: None,
            roles: records.remove(&address).unwrap_or_default(),
        };
        cast.hosts = hosts.into_iter().map(record).collect();
        cast.settle(told);
        cast
    }

    /// Adds what a host plays to what it was given. A role that it has itself goes before one that
    /// it only stands in for.
    fn play(&mut self, address: Address, parts: BTreeMap<usize, Part<'m>>) {
        for (role, part) in parts {
            let known = self.parts.entry(address).or_default();
            if known.get(&role).is_none_or(|known| known.candidate) {
                known.insert(role, part);
            }
        }
    }

    /// Has a domain member stand in for a site server.
    fn stand_in(&mut self, matrix: &'m Matrix, address: Address) {
        if let Some(index) = matrix.role_index(SITE_SERVER) {
            let part = Part { role: DOMAIN_MEMBER, given: false, candidate: true };
            self.play(address, BTreeMap::from([(index, part)]));
        }
    }

    /// Puts the best names first, and lets all addresses of a host have its roles: given ones
    /// before those that are inferred of another of its addresses.
    fn settle(&mut self, told: Told<'_>) {
        let mut hosts: BTreeMap<Address, HostRecord> =
            std::mem::take(&mut self.hosts).into_iter().map(|host| (host.address, host)).collect();
        for same in told.same_host {
            let of = |address: &Address| hosts.get(address).filter(|host| !host.roles.is_empty());
            let mut speaks: Vec<HostRecord> =
                same.addresses.iter().filter_map(of).cloned().collect();
            speaks.sort_by_key(|host| !host.is_given());
            for address in &same.addresses {
                let host = hosts.entry(*address).or_insert_with(|| HostRecord {
                    address: *address,
                    names: Vec::new(),
                    same_host: Vec::new(),
                    same_host_evidence: None,
                    roles: Vec::new(),
                });
                host.same_host =
                    same.addresses.iter().filter(|it| *it != address).copied().collect();
                host.same_host_evidence = Some(same.evidence.clone());
                for speaker in speaks.iter().filter(|it| it.address != *address) {
                    self.pass_on(speaker, host);
                }
            }
        }
        let mut shown = shown(told.names, told.same_host);
        for host in hosts.values_mut() {
            host.names = shown.remove(&host.address).unwrap_or_default();
        }
        self.hosts = hosts.into_values().collect();
        // Captures also name everybody (255.255.255.255 is "broadcasthost").
        self.hosts.retain(|host| {
            !host.roles.is_empty() || !host.names.is_empty() && is_host(host.address)
        });
    }

    /// Lets another address of a machine have the roles of one: given ones in place of inferred
    /// ones, and inferred ones beside others, where it does more than call.
    fn pass_on(&mut self, speaker: &HostRecord, host: &mut HostRecord) {
        let caller = |role: &RoleRecord| CALLERS.contains(&role.role.as_str());
        match (speaker.is_given(), host.is_given()) {
            (_, true) => return,
            (true, false) => {
                host.roles.clear();
                self.parts.remove(&host.address);
            }
            // A machine that does more than call, over whichever address, is no mere caller.
            (false, false) if !speaker.roles.iter().all(caller) => {
                if host.roles.iter().all(caller) {
                    host.roles.clear();
                    self.parts.remove(&host.address);
                }
            }
            (false, false) if !host.roles.is_empty() => return,
            (false, false) => {}
        }
        for role in &speaker.roles {
            let known = host.roles.iter().any(|known| known.role == role.role);
            if known || (caller(role) && !host.roles.is_empty()) {
                continue;
            }
            let same = format!("{} is the same host", speaker.address);
            let evidence = Some(match &role.evidence {
                Some(evidence) => format!("{same}: {evidence}"),
                None => format!("{same}, to which it was given"),
            });
            host.roles.push(RoleRecord { evidence, ..role.clone() });
        }
        // What nobody tried over this address too is no gap.
        let parts = self.parts.get(&speaker.address).cloned().unwrap_or_default();
        let parts = parts.into_iter().map(|(at, part)| (at, Part { given: false, ..part }));
        self.play(host.address, parts.collect());
    }

    /// What a host plays, by place of the row's role in the matrix; `None` for most hosts.
    pub(super) fn parts_of(&self, address: Address) -> Option<&BTreeMap<usize, Part<'m>>> {
        self.parts.get(&address)
    }

    /// All hosts that play any role.
    pub(super) fn all_players(&self) -> impl Iterator<Item = Address> {
        self.parts.keys().copied()
    }

    /// All hosts that play a role.
    pub(super) fn players(&self, role: usize) -> impl Iterator<Item = (Address, Part<'m>)> {
        self.parts.iter().filter_map(move |(address, parts)| Some((*address, *parts.get(&role)?)))
    }
}

/// Whether an address can be that of a host: not of a group, of everybody or of oneself.
pub(super) fn is_host(address: Address) -> bool {
    let Some(address) = address.ip() else { return true };
    let broadcast = match address {
        IpAddr::V4(address) => address.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    !(broadcast || address.is_multicast() || address.is_loopback() || address.is_unspecified())
}

pub(super) fn is_kind_of(matrix: &Matrix, role: usize, wider: &str) -> bool {
    let wider = matrix.role_index(wider);
    wider.is_some_and(|wider| matrix.role_and_wider(role).contains(&wider))
}

/// The place of an inferred role in the matrix, or of the nearest that it knows.
fn known_role(matrix: &Matrix, role: &str) -> Option<usize> {
    let nearest = match role {
        "root-dc" | "child-dc" => DOMAIN_CONTROLLER,
        // What was seen of it is WSUS.
        "software-update-point" => "wsus",
        _ => role,
    };
    matrix.role_index(role).or_else(|| matrix.role_index(nearest))
}

/// Whether a host with these roles is judged as a candidate site server: a domain member that is
/// not known to be a client or console, nor to be a site server itself.
fn is_candidate(found: &[Inferred]) -> bool {
    let plays = |role: &str| {
        found.iter().any(|found| found.role == role && found.confidence != Confidence::Weak)
    };
    plays(DOMAIN_MEMBER) && !CALLERS.iter().skip(1).any(|role| plays(role)) && !plays(SITE_SERVER)
}

/// Whether an inferred role may stand beside given ones: it is proven, says something new, and
/// contradicts none of them. Who is said to be a site server is not taken for a controller, nor
/// the other way round, and who is said to be anything is not called a mere caller.
fn may_join(matrix: &Matrix, given: &BTreeSet<usize>, role: usize, confidence: Confidence) -> bool {
    let of = |wider: &str| given.iter().any(|role| is_kind_of(matrix, *role, wider));
    let related = |given: &usize| {
        matrix.role_and_wider(*given).contains(&role) || matrix.role_and_wider(role).contains(given)
    };
    let name_of = |role: usize| matrix.roles.get(role).map_or("", |role| &role.name);
    let calls_only = given.iter().all(|role| CALLERS.contains(&name_of(*role)));
    let contradicts = calls_only
        || CALLERS.contains(&name_of(role))
        || (is_kind_of(matrix, role, DOMAIN_CONTROLLER) && of(SITE_SERVER))
        || (is_kind_of(matrix, role, SITE_SERVER) && of(DOMAIN_CONTROLLER));
    confidence == Confidence::Proven && !contradicts && !given.iter().any(related)
}

/// What a host with these roles plays: for each role the narrowest kind of it.
fn parts_of<'m>(
    matrix: &'m Matrix,
    roles: &BTreeSet<usize>,
    given: bool,
) -> BTreeMap<usize, Part<'m>> {
    let mut chains: Vec<Vec<usize>> =
        roles.iter().map(|role| matrix.role_and_wider(*role)).collect();
    // The longest chain begins with the narrowest role; the sort keeps the matrix's order.
    chains.sort_by_key(|chain| std::cmp::Reverse(chain.len()));
    let mut parts = BTreeMap::new();
    for chain in chains {
        let Some(role) = chain.first().and_then(|index| matrix.roles.get(*index)) else { continue };
        for wider in chain {
            let part = Part { role: &role.name, given, candidate: false };
            parts.entry(wider).or_insert(part);
        }
    }
    parts
}

/// Given roles by address, and what matches nothing.
fn apply(
    matrix: &Matrix,
    given: &[GivenRole],
    names: &BTreeMap<Address, BTreeSet<&str>>,
    flows: Seen<'_>,
) -> (BTreeMap<Address, BTreeSet<usize>>, Vec<UnmatchedHost>) {
    let mut roles: BTreeMap<Address, BTreeSet<usize>> = BTreeMap::new();
    let mut unmatched = Vec::new();
    // What the flows show, and by which names it is known: looked for only where it is needed.
    let mut seen: Option<BTreeSet<Address>> = None;
    let mut directory: Option<Directory> = None;
    let all_seen = || {
        let telling = flows.telling.iter();
        let ends = telling.flat_map(|flow| [flow.initiator.address, flow.responder.address]);
        ends.chain(flows.unanswered().map(Lane::to)).collect::<BTreeSet<Address>>()
    };
    for given in given {
        let Some(role) = matrix.role_index(&given.role) else {
            let lost = given.hosts.iter();
            unmatched.extend(
                lost.map(|host| UnmatchedHost { role: given.role.clone(), host: host.clone() }),
            );
            continue;
        };
        for host in &given.hosts {
            let found: Vec<Address> = match GivenHost::parse(host) {
                Ok(GivenHost::Address(address)) => vec![address],
                Ok(GivenHost::Block(block)) => members(block, seen.get_or_insert_with(all_seen)),
                Ok(GivenHost::Name(name)) => {
                    let seen = seen.get_or_insert_with(all_seen);
                    directory.get_or_insert_with(|| Directory::new(names, seen)).find(&name)
                }
                Err(_) => Vec::new(),
            };
            if found.is_empty() {
                unmatched.push(UnmatchedHost { role: given.role.clone(), host: host.clone() });
            }
            for address in found {
                roles.entry(address).or_default().insert(role);
            }
        }
    }
    (roles, unmatched)
}

/// Hosts of a block that flows show.
fn members(block: IpNet, seen: &BTreeSet<Address>) -> Vec<Address> {
    let directed_broadcast = |address: IpAddr| matches!(block, IpNet::V4(block) if block.prefix_len() <= 30 && IpAddr::V4(block.broadcast()) == address);
    seen.range(Address::Ip(block.network())..=Address::Ip(block.broadcast()))
        .filter(|address| is_host(**address) && !address.ip().is_some_and(directed_broadcast))
        .copied()
        .collect()
}

/// Addresses by name, in lower case.
struct Directory {
    full: BTreeMap<String, BTreeSet<Address>>,
    /// By first label, with the whole names.
    short: BTreeMap<String, Vec<(String, Address)>>,
}

impl Directory {
    /// The names that captures store, and the hosts that flows show by nothing but their name.
    fn new(names: &BTreeMap<Address, BTreeSet<&str>>, seen: &BTreeSet<Address>) -> Directory {
        let mut directory = Directory { full: BTreeMap::new(), short: BTreeMap::new() };
        for (address, names) in names {
            for name in names {
                directory.add(name, *address);
            }
        }
        for address in seen {
            if let Address::Name(name) = address {
                directory.add(&name.text(), *address);
            }
        }
        directory
    }

    fn add(&mut self, name: &str, address: Address) {
        let name = name.strip_suffix('.').unwrap_or(name);
        let lower = name.to_lowercase();
        let label = lower.split('.').next().unwrap_or_default().to_owned();
        self.full.entry(lower).or_default().insert(address);
        self.short.entry(label).or_default().push((name.to_owned(), address));
    }

    /// A short name finds whole names that begin with it; a whole name finds short ones only
    /// where it finds no whole one.
    fn find(&self, name: &str) -> Vec<Address> {
        let lower = name.to_lowercase();
        let mut found = self.full.get(&lower).cloned().unwrap_or_default();
        let is_short = !lower.contains('.');
        if is_short || found.is_empty() {
            let label = lower.split('.').next().unwrap_or_default();
            let same_label = self.short.get(label).into_iter().flatten();
            found.extend(
                same_label
                    .filter(|(stored, _)| is_short || !stored.contains('.'))
                    .map(|(_, address)| *address),
            );
        }
        found.into_iter().collect()
    }
}
