//! Which part of a report for people a cell, a flow or a host stands in.
//!
//! Nothing is judged here: outcomes and firewall requests are taken as the report holds them and
//! put in the order in which an administrator asks for them.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use foldhash::fast::FixedState;

use crate::diagnosis::{FindingKind, Rule};
use crate::matrix::{Cell, HostRecord, Outcome};
use crate::net::{Address, PortSet, Transport};
use crate::packet::Skipped;
use crate::render::phrase;
use crate::report::{Report, TakenOn};
use crate::verdict::flows::{Called, Lane, Seen};
use crate::verdict::record::{Class, JudgedFlow, Verdict};

/// A part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Failed on the way, as far as the captures tell: the firewall team can look.
    Failed,
    /// Refused by the host itself, dropped by the capturing one, or failed above the path: no rule
    /// on the way mends it.
    NotForFirewall,
    /// Attempts that do not tell.
    CannotTell,
    /// Worked.
    Worked,
    /// Nobody tried.
    NotExercised,
}

/// The cells of one pair of hosts in one part of the report.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    /// Who opens.
    pub(super) from: Address,
    /// Who is called.
    pub(super) to: Address,
    /// The cells, in the order of the sheet.
    pub(super) cells: Vec<&'a Cell>,
}

impl Pair<'_> {
    /// Services with their ports, at most so many: "LDAP udp/389", "DNS tcp+udp/53". Not made
    /// safe.
    pub(super) fn services(&self, most: usize) -> Vec<String> {
        let mut services: Vec<(&str, &str, Vec<&str>)> = Vec::new();
        let mut left_out = 0;
        for cell in &self.cells {
            let (service, ports) = (cell.service.as_str(), cell.ports.as_str());
            let known = services.iter().position(|each| (each.0, each.1) == (service, ports));
            if let Some((_, _, transports)) = known.and_then(|place| services.get_mut(place)) {
                // The same from two rows: a host with several roles.
                if !transports.contains(&cell.transport.as_str()) {
                    transports.push(cell.transport.as_str());
                }
            } else if services.len() < most {
                services.push((service, ports, vec![cell.transport.as_str()]));
            } else {
                left_out += 1;
            }
        }
        let mut texts: Vec<String> = services
            .iter()
            .map(|(service, ports, transports)| {
                format!("{service} {}/{ports}", transports.join("+"))
            })
            .collect();
        if left_out > 0 {
            texts.push(format!("{} more", phrase::number(left_out)));
        }
        texts
    }
}

/// Flows that failed alike and that no requirement covers.
#[derive(Debug)]
pub(super) struct Uncovered<'a> {
    /// The first of them.
    pub(super) first: Cow<'a, JudgedFlow>,
    /// How many there are.
    pub(super) count: u64,
}

/// The ports of one transport of a rule.
#[derive(Debug)]
pub(super) struct RuleRow<'a> {
    /// Number of the rule in the report, from 1.
    pub(super) number: usize,
    /// The rule.
    pub(super) rule: &'a Rule,
    /// The transport.
    pub(super) transport: Transport,
    /// Ports, as "389" or "49152-65535", in order.
    pub(super) ports: Vec<&'a str>,
    /// Services, in the order of the ports, each once.
    pub(super) services: Vec<&'a str>,
}

/// A report's cells and hosts, sorted for reading.
#[derive(Debug)]
pub(super) struct Triage<'a> {
    parts: BTreeMap<Part, Vec<Pair<'a>>>,
    hosts: BTreeMap<Address, &'a HostRecord>,
    roles: BTreeMap<Address, BTreeSet<&'a str>>,
}

impl<'a> Triage<'a> {
    /// Sorts a report.
    pub(super) fn of(report: &'a Report) -> Triage<'a> {
        let asked: HashSet<_, FixedState> = report
            .firewall_requests
            .iter()
            .map(|request| {
                (request.source, request.destination, request.transport, request.ports.as_str())
            })
            .collect();
        let asked_flows: HashSet<u64, FixedState> =
            report.firewall_requests.iter().flat_map(|request| &request.flows).copied().collect();
        let requested = |cell: &Cell| {
            asked.contains(&(
                cell.from.address,
                cell.to.address,
                cell.transport,
                cell.ports.as_str(),
            )) || cell.flows.iter().any(|flow| asked_flows.contains(flow))
        };
        let mut cells: Vec<((Part, Address, Address), &Cell)> =
            Vec::with_capacity(report.matrix.cells.len());
        let mut roles: BTreeMap<Address, BTreeSet<&str>> = BTreeMap::new();
        let here = FindingKind::DroppedHere.as_str();
        let dropped_here: BTreeSet<usize> = report
            .findings
            .iter()
            .filter(|finding| finding.kind == here)
            .flat_map(|finding| &finding.cells)
            .copied()
            .collect();
        for (index, cell) in report.matrix.cells.iter().enumerate() {
            let part = part_of(cell, || requested(cell), dropped_here.contains(&index));
            cells.push(((part, cell.from.address, cell.to.address), cell));
            for end in [&cell.from, &cell.to] {
                let of_host = roles.entry(end.address).or_default();
                if of_host.last() != Some(&end.role.as_str()) {
                    of_host.insert(&end.role);
                }
            }
        }
        // Stable: the cells of a pair stay in the order of the sheet.
        cells.sort_by_key(|(key, _)| *key);
        let mut parts: BTreeMap<Part, Vec<Pair<'_>>> = BTreeMap::new();
        for pair in cells.chunk_by(|(one, _), (other, _)| one == other) {
            let Some(((part, from, to), _)) = pair.first() else { continue };
            let cells = pair.iter().map(|(_, cell)| *cell).collect();
            parts.entry(*part).or_default().push(Pair { from: *from, to: *to, cells });
        }
        for pairs in parts.values_mut() {
            // The pair with the most to say first: its cause is worth the most.
            pairs.sort_by_key(|pair| std::cmp::Reverse(pair.cells.len()));
        }
        let hosts = report.hosts.iter().map(|host| (host.address, host)).collect();
        Triage { parts, hosts, roles }
    }

    /// The pairs of one part, those with the most cells first.
    pub(super) fn pairs(&self, part: Part) -> &[Pair<'a>] {
        self.parts.get(&part).map_or(&[], Vec::as_slice)
    }

    /// The cells of one part.
    pub(super) fn cells(&self, part: Part) -> impl Iterator<Item = &'a Cell> {
        self.pairs(part).iter().flat_map(|pair| pair.cells.iter().copied())
    }

    /// How many cells a part has.
    pub(super) fn count(&self, part: Part) -> u64 {
        self.pairs(part).iter().map(|pair| phrase::count(pair.cells.len())).sum()
    }

    /// A host as people know it: "CAS01 10.0.0.5". Not made safe.
    pub(super) fn name(&self, address: Address) -> String {
        match self.hosts.get(&address).and_then(|host| host.names.first()) {
            Some(name) => format!("{} {address}", cut_name(name)),
            None => address.to_string(),
        }
    }

    /// The machine that captured, as people know it: "CAS01 10.0.0.5". Not made safe.
    pub(super) fn taken_on(&self, taken_on: &TakenOn) -> String {
        let named = |address: &&IpAddr| {
            self.hosts.get(&Address::Ip(**address)).is_some_and(|host| !host.names.is_empty())
        };
        let addresses = &taken_on.addresses;
        match addresses.iter().find(named).or(addresses.first()) {
            Some(address) => self.name(Address::Ip(*address)),
            None => String::new(),
        }
    }

    /// A host with the roles it plays in the sheet: "CAS01 10.0.0.5 (site-server)". Not made
    /// safe.
    pub(super) fn title(&self, address: Address) -> String {
        let name = self.name(address);
        match self.roles.get(&address) {
            Some(roles) if !roles.is_empty() => {
                let roles: Vec<&str> = roles.iter().copied().collect();
                format!("{name} ({})", roles.join(", "))
            }
            _ => name,
        }
    }

    /// One sentence that answers the question: what failed, between whom. Not made safe.
    pub(super) fn headline(&self, report: &Report) -> String {
        if report.matrix.cells.is_empty() {
            return without_cells(report);
        }
        let failed = self.count(Part::Failed) + self.count(Part::NotForFirewall);
        let cannot_tell = self.count(Part::CannotTell);
        let tried = failed + cannot_tell + self.count(Part::Worked);
        let untried = self.count(Part::NotExercised);
        let mut text = if tried == 0 {
            "no requirement was exercised: nobody tried one in these captures".to_owned()
        } else if failed > 0 {
            let mixed = self.cells(Part::Failed).filter(|cell| cell.outcome == Outcome::Mixed);
            let in_part = match mixed.count() {
                0 => String::new(),
                mixed => format!(" ({} in part)", phrase::number(phrase::count(mixed))),
            };
            format!(
                "{} of {} failed{in_part}{}",
                phrase::number(failed),
                phrase::counted(tried, "exercised requirement"),
                self.between()
            )
        } else if cannot_tell > 0 {
            format!(
                "nothing failed: of {}, {} worked and {} cannot be told",
                phrase::counted(tried, "exercised requirement"),
                phrase::number(self.count(Part::Worked)),
                phrase::number(cannot_tell)
            )
        } else if tried == 1 {
            "nothing failed: the only exercised requirement worked".to_owned()
        } else {
            format!("nothing failed: all {} exercised requirements worked", phrase::number(tried))
        };
        if failed > 0 && cannot_tell > 0 {
            text = format!("{text}; {} cannot be told", phrase::number(cannot_tell));
        }
        if untried > 0 && tried > 0 {
            let was = phrase::was(untried);
            text = format!("{text}; {} {was} not exercised", phrase::number(untried));
        }
        text
    }

    fn between(&self) -> String {
        let pairs: BTreeSet<(Address, Address)> = [Part::Failed, Part::NotForFirewall]
            .iter()
            .flat_map(|part| self.pairs(*part))
            .map(|pair| (pair.from, pair.to))
            .collect();
        match (pairs.first(), pairs.len()) {
            (Some((from, to)), 1) => format!(", from {} to {}", self.name(*from), self.name(*to)),
            (_, many) => format!(", between {}", phrase::counted(phrase::count(many), "host pair")),
        }
    }
}

/// Names beyond this many characters say more about their maker than about the host.
const LONGEST_NAME: usize = 48;

fn cut_name(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((at, _)) => format!("{}...", name.get(..at).unwrap_or_default()),
        None => name.to_owned(),
    }
}

fn part_of(cell: &Cell, requested: impl Fn() -> bool, dropped_here: bool) -> Part {
    match cell.outcome {
        Outcome::Open => Part::Worked,
        // Nobody listens there as far as is known, so silence says nothing.
        Outcome::Dropped if !cell.listener_known => Part::CannotTell,
        // The capturing machine says that it dropped it itself.
        Outcome::Dropped if dropped_here && !requested() => Part::NotForFirewall,
        Outcome::Dropped | Outcome::Mixed => Part::Failed,
        Outcome::Refused if requested() => Part::Failed,
        Outcome::Refused | Outcome::ServiceFailed => Part::NotForFirewall,
        Outcome::CannotTell => Part::CannotTell,
        Outcome::NotExercised => Part::NotExercised,
    }
}

/// What can be said where nothing is judged by a requirement. Holds no text from a capture.
pub(super) fn without_cells(report: &Report) -> String {
    let totals = &report.totals;
    let frames = report.frames();
    if report.captures.is_empty() {
        "no capture was read: name a capture, or a folder that holds some".to_owned()
    } else if totals.flows == 0 && frames == 0 {
        "no frame was read, so nothing can be said".to_owned()
    } else if totals.flows == 0 {
        no_flow(report, frames)
    } else {
        let failed = totals.timeout + totals.reject;
        let flows = phrase::counted(totals.flows, "flow");
        let failed = match failed {
            0 => format!("none of {flows} failed"),
            _ => format!("{} of {flows} failed", phrase::number(failed)),
        };
        format!("{failed}; no requirement was judged: no host is known to play a role")
    }
}

/// Why there is no flow, though frames were read.
fn no_flow(report: &Report, frames: u64) -> String {
    let skipped = report.counted().flat_map(|capture| &capture.skipped);
    let outside = Skipped::OutsideTime.to_string();
    let left_out: u64 = skipped.filter(|row| row.what == outside).map(|row| row.count).sum();
    let rest = frames.saturating_sub(left_out);
    let hold = if rest == 1 { "holds" } else { "hold" };
    let lie = if left_out == 1 { "lies" } else { "lie" };
    let (rest, out) = (phrase::counted(rest, "frame"), phrase::counted(left_out, "frame"));
    if report.options.filters.filter.is_some() {
        // Flows that the filter leaves out are not in the report.
        format!("no flow is shown: none in {} fits the filter", phrase::counted(frames, "frame"))
    } else if left_out == 0 {
        format!("no flow was found: {rest} {hold} no TCP or UDP")
    } else if left_out == frames {
        format!("no flow was found: all {out} {lie} {outside}")
    } else {
        format!("no flow was found: {rest} {hold} no TCP or UDP, and {out} {lie} {outside}")
    }
}

/// Failed flows that no requirement covers, by initiator, responder and port: at most so many
/// groups of them, and how many groups there are.
pub(super) fn uncovered(report: &Report, most: usize) -> (Vec<Uncovered<'_>>, usize) {
    type Key = (Address, Address, Transport, u16, Verdict);
    // Single calls that nobody answered are counted, and only those that are shown are looked for.
    let mut lanes: Vec<&Lane> = Seen::from(&report.flows).unanswered().collect();
    lanes.sort_unstable_by_key(|lane| (lane.from(), lane.to()));
    let same_way =
        |one: &&Lane, other: &&Lane| one.to() == other.to() && one.from() == other.from();
    let ways: Vec<&[&Lane]> = lanes.chunk_by(same_way).collect();
    let is_call = |(from, to, transport, port, verdict): &Key| {
        if (*transport, *verdict) != (Transport::Tcp, Verdict::NoReply) {
            return false;
        }
        let first = lanes.partition_point(|lane| (lane.from(), lane.to()) < (*from, *to));
        let of_way = lanes.iter().skip(first);
        let mut of_way = of_way.take_while(|lane| (lane.from(), lane.to()) == (*from, *to));
        of_way.any(|lane| lane.has_port(*port))
    };
    let mut all: usize = ways.iter().map(|lanes| ports_of(lanes).len()).sum();
    // Hosts by number, for there may be hundreds of thousands of groups and a host has many.
    let mut hosts: HashMap<Address, usize, FixedState> = HashMap::default();
    let mut number = |host: Address| {
        let next = hosts.len();
        u32::try_from(*hosts.entry(host).or_insert(next)).unwrap_or(u32::MAX)
    };
    let mut met: HashSet<(u32, u32, Transport, u16, Verdict), FixedState> = HashSet::default();
    // The first groups so far: one that leaves never comes back.
    let mut groups: BTreeMap<Key, Uncovered<'_>> = BTreeMap::new();
    for flow in report.flows.telling() {
        let failed = flow.class == Class::Timeout || flow.class == Class::Reject;
        if !failed || flow.requirement.is_some() {
            continue;
        }
        let (from, to) = (flow.initiator.address, flow.responder.address);
        let key = (from, to, flow.transport, flow.responder.port, flow.verdict);
        let short = (number(from), number(to), flow.transport, flow.responder.port, flow.verdict);
        if met.insert(short) && !is_call(&key) {
            all += 1;
        }
        if groups.len() < most || groups.last_key_value().is_some_and(|(last, _)| key <= *last) {
            let group = groups.entry(key);
            group.or_insert(Uncovered { first: Cow::Borrowed(flow), count: 0 }).count += 1;
            if groups.len() > most {
                groups.pop_last();
            }
        }
    }
    let calls = ways.iter().filter_map(|lanes| Some((lanes.first()?, lanes)));
    let calls = calls.flat_map(|(lane, lanes)| {
        let ports = ports_of(lanes).into_owned();
        ports.into_iter().map(|port| (lane.from(), lane.to(), port))
    });
    let shown: Vec<Called> = calls.take(most).collect();
    for ((from, to, port), (flow, count)) in report.flows.unanswered(&shown) {
        let key = (from, to, Transport::Tcp, port, Verdict::NoReply);
        match groups.entry(key) {
            Entry::Vacant(place) => {
                place.insert(Uncovered { first: Cow::Owned(flow), count });
            }
            Entry::Occupied(mut group) => {
                let group = group.get_mut();
                group.count += count;
                if flow.id < group.first.id {
                    group.first = Cow::Owned(flow);
                }
            }
        }
    }
    (groups.into_values().take(most).collect(), all)
}

/// Ports of so many calls are sorted faster than noted one by one.
const FEW_PORTS: usize = 256;

/// Ports that were called in these lanes, sorted. There are several of one way where other captures show
/// the same hosts, and where some calls were repeated.
fn ports_of<'l>(lanes: &[&'l Lane]) -> Cow<'l, [u16]> {
    if let [lane] = lanes {
        return Cow::Borrowed(&lane.ports);
    }
    let calls = || lanes.iter().flat_map(|lane| &lane.ports).copied();
    if calls().count() > FEW_PORTS {
        return Cow::Owned(calls().collect::<PortSet>().iter().collect());
    }
    let mut ports: Vec<u16> = calls().collect();
    ports.sort_unstable();
    ports.dedup();
    Cow::Owned(ports)
}

/// The rules to ask for, a row for each of their transports.
pub(super) fn rule_rows(report: &Report) -> Vec<RuleRow<'_>> {
    let rules = (1..).zip(&report.rule_set.rules);
    rules.flat_map(|(number, rule)| rows_of(number, rule)).collect()
}

/// The rows of one rule.
pub(super) fn rows_of(number: usize, rule: &Rule) -> Vec<RuleRow<'_>> {
    let row = |transport: &Transport| {
        let mut row = RuleRow {
            number,
            rule,
            transport: *transport,
            ports: Vec::new(),
            services: Vec::new(),
        };
        for ports in rule.ports.iter().filter(|ports| ports.transport == *transport) {
            row.ports.push(&ports.ports);
            if !row.services.contains(&ports.service.as_str()) {
                row.services.push(&ports.service);
            }
        }
        (!row.ports.is_empty()).then_some(row)
    };
    Transport::ALL.iter().filter_map(row).collect()
}

/// What became of the attempts when they were played against the rules; `None` without rules.
pub(super) fn checked(report: &Report) -> Option<String> {
    let check = report.rule_set.check;
    if report.rule_set.rules.is_empty() {
        return None;
    }
    let unasked = match check.opened_unasked {
        0 => "nothing else opens".to_owned(),
        many => format!("{} would open that nobody asked for", phrase::counted(many, "port")),
    };
    Some(format!(
        "checked: {} of {} would pass; {unasked}",
        phrase::number(check.mended),
        phrase::counted(check.mendable, "failing attempt")
    ))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::render::samples;

    #[test]
    fn the_first_groups_are_counted_whole_though_later_ones_come_before_them() {
        // Every other flow fails; callers come from the last to the first, and then once more.
        let mut report = samples::large(0, 2_000);
        for (number, flow) in (0..).zip(report.flows.telling_mut()) {
            let from = Ipv4Addr::from_bits(0x0a00_0000 + 998 - number % 1_000);
            flow.initiator.address = from.into();
        }
        let (groups, all) = uncovered(&report, 3);
        let told =
            groups.iter().map(|it| (it.first.initiator.address.to_string(), it.first.id, it.count));
        let expected = [("10.0.0.0", 999, 2), ("10.0.0.2", 997, 2), ("10.0.0.4", 995, 2)];
        assert!(told.eq(expected.map(|(host, first, count)| (host.to_owned(), first, count))));
        assert_eq!(all, 500);
    }
}
