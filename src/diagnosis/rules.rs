//! Firewall requests in, rules for groups of hosts out, and the check that they mend what they
//! are meant to and open nothing else.
//!
//! A rule is sources times destinations times ports, all of which is asked for. How few rules there
//! are is the matter of [`mod@cover`]. No block of addresses is made up: a rule lists the addresses
//! that called and were called, since nobody knows who else lives in their network.

mod cover;

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnosis::cause::Weight;
use crate::diagnosis::record::{FirewallRequest, Rule, RuleCheck, RulePorts, RuleSet};
use crate::diagnosis::requests::{first_seen, what_failed};
use crate::diagnosis::rules::cover::{Cell, cover};
use crate::diagnosis::{Evidence, Ids};
use crate::matrix::{Direction, Outcome, PortRange, in_order_of_time};
use crate::net::{Address, Transport};
use crate::verdict::record::JudgedFlow;

/// Stands behind services that nobody requires.
const OPTIONAL: &str = " (optional)";

/// Transport, and ports that are asked for together, sorted.
type Ports = (Transport, Vec<PortRange>);

pub(super) fn rule_set(evidence: &Evidence<'_>, requests: &[FirewallRequest]) -> RuleSet {
    let optional = optional(evidence, requests);
    let mut rules = rules(requests, |request| {
        let all_optional = request.flows.iter().all(|flow| optional.contains(flow));
        if all_optional && !request.flows.is_empty() {
            format!("{}{OPTIONAL}", request.service)
        } else {
            request.service.clone()
        }
    });
    for rule in &mut rules {
        rule.reason = reason(evidence, rule, requests);
    }
    let check = check(evidence, requests, &rules);
    RuleSet { rules, check }
}

/// Flows of requests that exercise nothing that is required.
fn optional(evidence: &Evidence<'_>, requests: &[FirewallRequest]) -> Ids {
    let mut optional: Ids = requests.iter().flat_map(|request| &request.flows).copied().collect();
    let failing = evidence.sheet.cells.iter().filter(|cell| {
        cell.outcome != Outcome::NotExercised
            && cell.counts.timeout + cell.counts.reject > 0
            && evidence.weights.weight(cell) == Weight::Required
    });
    for flow in failing.flat_map(|cell| &cell.flows) {
        optional.remove(flow);
    }
    optional
}

/// What a request asks for.
fn ports_of(request: &FirewallRequest) -> Ports {
    (request.transport, ranges(&request.ports))
}

/// The ranges of a text as "389" or "1025-5000,49152-65535".
fn ranges(text: &str) -> Vec<PortRange> {
    let mut ranges: Vec<PortRange> =
        text.split(',').filter_map(|range| range.trim().parse().ok()).collect();
    ranges.sort_unstable();
    ranges
}

fn is_both(direction: &str) -> bool {
    direction == Direction::Both.as_str()
}

/// Whether these ranges have every port of a range.
fn hold(ranges: &[PortRange], wanted: PortRange) -> bool {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    // The first port that no range seen so far has.
    let mut next = u32::from(wanted.first);
    for range in ranges {
        if u32::from(range.first) <= next {
            next = next.max(u32::from(range.last) + 1);
        }
    }
    next > u32::from(wanted.last)
}

/// What may be opened, by source, destination and transport.
#[derive(Default)]
struct Asked(BTreeMap<(Address, Address, Transport), Vec<PortRange>>);

impl Asked {
    fn of<'a>(requests: impl IntoIterator<Item = &'a FirewallRequest>) -> Asked {
        let mut asked = Asked::default();
        for request in requests {
            let (transport, ranges) = ports_of(request);
            let (from, to) = (request.source, request.destination);
            asked.0.entry((from, to, transport)).or_default().extend(&ranges);
            if is_both(&request.direction) {
                asked.0.entry((to, from, transport)).or_default().extend(&ranges);
            }
        }
        asked
    }

    fn holds(&self, from: Address, to: Address, transport: Transport, range: PortRange) -> bool {
        self.0.get(&(from, to, transport)).is_some_and(|ranges| hold(ranges, range))
    }

    /// Whether all that a request asks for is in it.
    fn fulfils(&self, request: &FirewallRequest) -> bool {
        let (transport, ranges) = ports_of(request);
        let (from, to) = (request.source, request.destination);
        let ways = [Some((from, to)), is_both(&request.direction).then_some((to, from))];
        !ranges.is_empty()
            && ways.into_iter().flatten().all(|(from, to)| {
                ranges.iter().all(|range| self.holds(from, to, transport, *range))
            })
    }
}

/// The rules for these requests, without their reasons; `named` says what a request is for.
pub(super) fn rules(
    requests: &[FirewallRequest],
    named: impl Fn(&FirewallRequest) -> String,
) -> Vec<Rule> {
    // A request that others fulfil together needs no room of its own. Of several that are alike
    // the first one stays.
    let mut kept: BTreeSet<usize> = (0..requests.len()).collect();
    let mut by_pair: BTreeMap<(Address, Address, Transport), Vec<usize>> = BTreeMap::new();
    for (place, request) in requests.iter().enumerate() {
        let (from, to) = (request.source, request.destination);
        let pair = (from.min(to), from.max(to), request.transport);
        by_pair.entry(pair).or_default().push(place);
    }
    for (place, request) in requests.iter().enumerate().rev() {
        let (from, to) = (request.source, request.destination);
        let pair = by_pair.get(&(from.min(to), from.max(to), request.transport));
        let others = pair.into_iter().flatten().filter(|other| **other != place);
        let others =
            others.filter(|other| kept.contains(other)).filter_map(|other| requests.get(*other));
        if Asked::of(others).fulfils(request) {
            kept.remove(&place);
        }
    }
    let places: Vec<Ports> =
        requests.iter().map(ports_of).collect::<BTreeSet<Ports>>().into_iter().collect();
    let mut rules = Vec::new();
    for direction in [Direction::OneWay, Direction::Both] {
        let both = direction == Direction::Both;
        let asked: BTreeSet<Cell> = kept
            .iter()
            .filter_map(|place| requests.get(*place))
            .filter(|request| is_both(&request.direction) == both)
            .filter_map(|request| {
                let ports = places.binary_search(&ports_of(request)).ok()?;
                Some((request.source, request.destination, ports))
            })
            .collect();
        for block in cover(&asked, both) {
            let ports = block.ports.iter().filter_map(|place| places.get(*place));
            let rule = Rule {
                sources: block.sources.into_iter().collect(),
                destinations: block.destinations.into_iter().collect(),
                ports: ports
                    .map(|(transport, ranges)| RulePorts {
                        transport: *transport,
                        ports: ranges
                            .iter()
                            .map(PortRange::to_string)
                            .collect::<Vec<_>>()
                            .join(","),
                        service: String::new(),
                    })
                    .collect(),
                direction: direction.to_string(),
                reason: String::new(),
                requests: Vec::new(),
            };
            rules.push(rule);
        }
    }
    // By source and destination, as the requests are; stable, so one-way comes first.
    rules.sort_by(|a, b| (&a.sources, &a.destinations).cmp(&(&b.sources, &b.destinations)));
    credit(&mut rules, requests, named);
    rules
}

/// Notes which requests a rule has a part in, and for which services its ports are.
fn credit(
    rules: &mut [Rule],
    requests: &[FirewallRequest],
    named: impl Fn(&FirewallRequest) -> String,
) {
    let ways = Ways::of(rules);
    let mut services: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    for (place, request) in requests.iter().enumerate() {
        let (transport, wanted) = ports_of(request);
        for number in ways.between(request.source, request.destination) {
            let Some(rule) = rules.get_mut(*number) else { continue };
            let mut has_part = false;
            for (entry, ports) in rule.ports.iter().enumerate() {
                let opened = ranges(&ports.ports);
                if ports.transport == transport && wanted.iter().any(|range| hold(&opened, *range))
                {
                    has_part = true;
                    add_service(services.entry((*number, entry)).or_default(), named(request));
                }
            }
            if has_part {
                rule.requests.push(place);
            }
        }
    }
    for ((number, entry), services) in services {
        let rule = rules.get_mut(number);
        if let Some(ports) = rule.and_then(|rule| rule.ports.get_mut(entry)) {
            ports.service = services.join(", ");
        }
    }
}

/// Adds a service to those of a port. What one pair requires is required.
fn add_service(services: &mut Vec<String>, service: String) {
    let optional = |service: &str| service.strip_suffix(OPTIONAL).map(str::to_owned);
    if let Some(required) = optional(&service)
        && services.contains(&required)
    {
        return;
    }
    services.retain(|known| optional(known).as_ref() != Some(&service));
    if !services.contains(&service) {
        services.push(service);
    }
}

/// Which rules lead from one host to another, by their places.
struct Ways(BTreeMap<(Address, Address), Vec<usize>>);

impl Ways {
    fn of(rules: &[Rule]) -> Ways {
        let mut ways: BTreeMap<(Address, Address), Vec<usize>> = BTreeMap::new();
        for (number, rule) in rules.iter().enumerate() {
            for (from, to) in rule
                .sources
                .iter()
                .flat_map(|from| rule.destinations.iter().map(move |to| (from, to)))
            {
                let back = is_both(&rule.direction).then_some((*to, *from));
                for way in std::iter::once((*from, *to)).chain(back) {
                    let numbers = ways.entry(way).or_default();
                    if numbers.last() != Some(&number) {
                        numbers.push(number);
                    }
                }
            }
        }
        Ways(ways)
    }

    fn between(&self, from: Address, to: Address) -> &[usize] {
        self.0.get(&(from, to)).map_or(&[], Vec::as_slice)
    }
}

/// Whether a rule leads from one host to another.
fn leads(rule: &Rule, from: Address, to: Address) -> bool {
    let has = |hosts: &[Address], host| hosts.binary_search(&host).is_ok();
    (has(&rule.sources, from) && has(&rule.destinations, to))
        || (is_both(&rule.direction) && has(&rule.sources, to) && has(&rule.destinations, from))
}

/// The ports that a rule lets pass.
struct Passed(Vec<(Transport, Vec<PortRange>)>);

impl Passed {
    fn of(rule: &Rule) -> Passed {
        let ports = rule.ports.iter();
        Passed(ports.map(|ports| (ports.transport, ranges(&ports.ports))).collect())
    }
}

/// Whether a firewall with this rule lets an attempt through.
fn lets_through(rule: &Rule, passed: &Passed, flow: &JudgedFlow) -> bool {
    leads(rule, flow.initiator.address, flow.responder.address)
        && passed.0.iter().any(|(transport, ranges)| {
            *transport == flow.transport
                && ranges.iter().any(|range| range.contains(flow.responder.port))
        })
}

/// "5 attempts without an answer; the first: SYN in frame 101, sent again in 108, no answer".
fn reason(evidence: &Evidence<'_>, rule: &Rule, requests: &[FirewallRequest]) -> String {
    let asked = rule.requests.iter().filter_map(|place| requests.get(*place));
    let ids: BTreeSet<u64> = asked.flat_map(|request| &request.flows).copied().collect();
    let ids: Vec<u64> = ids.into_iter().collect();
    let mut flows = evidence.flows_of(&ids);
    let passed = Passed::of(rule);
    flows.retain(|flow| lets_through(rule, &passed, flow));
    in_order_of_time(&mut flows);
    format!("{}{}", what_failed(&flows), first_seen(evidence, &flows))
}

/// Plays every attempt that a rule can mend against the rules, and looks for what they open beyond
/// the requests.
fn check(evidence: &Evidence<'_>, requests: &[FirewallRequest], rules: &[Rule]) -> RuleCheck {
    let range: Vec<String> = evidence.rpc_range.iter().map(PortRange::to_string).collect();
    let range = range.join(",");
    let mut mendable: Vec<u64> = Vec::new();
    for request in requests {
        let (_, ranges) = ports_of(request);
        let flows = request.flows.iter().copied().filter(|id| {
            // What RPC called outside of the range that it is meant to use is mended by that range,
            // and by no rule.
            request.ports != range
                || evidence.flow(*id).is_none_or(|flow| {
                    ranges.iter().any(|range| range.contains(flow.responder.port))
                })
        });
        mendable.extend(flows);
    }
    mendable.sort_unstable();
    mendable.dedup();
    let ways = Ways::of(rules);
    let passed: Vec<Passed> = rules.iter().map(Passed::of).collect();
    let mended = |id: &&u64| {
        evidence.flow(**id).is_some_and(|flow| {
            let between = ways.between(flow.initiator.address, flow.responder.address);
            let mut between = between
                .iter()
                .filter_map(|number| Some((rules.get(*number)?, passed.get(*number)?)));
            between.any(|(rule, passed)| lets_through(rule, passed, flow))
        })
    };
    let count = |many: usize| u64::try_from(many).unwrap_or(u64::MAX);
    RuleCheck {
        mended: count(mendable.iter().filter(mended).count()),
        mendable: count(mendable.len()),
        opened_unasked: opened_unasked(requests, rules),
    }
}

fn opened_unasked(requests: &[FirewallRequest], rules: &[Rule]) -> u64 {
    let asked = Asked::of(requests);
    let mut unasked = 0;
    for rule in rules {
        let both = is_both(&rule.direction);
        for from in &rule.sources {
            // A host's way to itself leads through no firewall.
            for to in rule.destinations.iter().filter(|to| *to != from) {
                for ports in &rule.ports {
                    for range in ranges(&ports.ports) {
                        let there = asked.holds(*from, *to, ports.transport, range);
                        let back = !both || asked.holds(*to, *from, ports.transport, range);
                        unasked += u64::from(!there) + u64::from(!back);
                    }
                }
            }
        }
    }
    unasked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(
        from: u32,
        to: u32,
        transport: Transport,
        ports: &str,
        direction: Direction,
    ) -> FirewallRequest {
        let host = |number: u32| std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into();
        FirewallRequest {
            source: host(from),
            destination: host(to),
            transport,
            ports: ports.to_owned(),
            direction: direction.to_string(),
            service: format!("service of {ports}"),
            reason: String::new(),
            flows: Vec::new(),
        }
    }

    fn tcp(from: u32, to: u32, ports: &str) -> FirewallRequest {
        request(from, to, Transport::Tcp, ports, Direction::OneWay)
    }

    /// "10.0.0.1 > 10.0.0.11 10.0.0.12: tcp/389".
    fn told(rules: &[Rule]) -> Vec<String> {
        let hosts = |hosts: &[Address]| {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            hosts.join(" ")
        };
        let tell = |rule: &Rule| {
            let ports: Vec<String> =
                rule.ports.iter().map(|it| format!("{}/{}", it.transport, it.ports)).collect();
            let arrow = if rule.direction == "both" { "<>" } else { ">" };
            let (from, to) = (hosts(&rule.sources), hosts(&rule.destinations));
            format!("{from} {arrow} {to}: {}", ports.join(" "))
        };
        rules.iter().map(tell).collect()
    }

    fn made(requests: &[FirewallRequest]) -> Vec<Rule> {
        rules(requests, |request| request.service.clone())
    }

    #[test]
    fn a_rule_is_for_all_who_need_the_same() {
        let mut requests = Vec::new();
        for to in [11, 12] {
            requests.extend([tcp(1, to, "389"), tcp(1, to, "88")]);
            requests.push(request(1, to, Transport::Udp, "53", Direction::OneWay));
            requests.push(request(1, to, Transport::Tcp, "49152-65535", Direction::Both));
        }
        requests.push(tcp(1, 12, "445"));
        let rules = made(&requests);
        assert_eq!(
            told(&rules),
            [
                "10.0.0.1 > 10.0.0.11 10.0.0.12: tcp/88 tcp/389 udp/53",
                "10.0.0.1 <> 10.0.0.11 10.0.0.12: tcp/49152-65535",
                "10.0.0.1 > 10.0.0.12: tcp/445",
            ]
        );
        assert_eq!(rules[0].requests, [0, 1, 2, 4, 5, 6]);
        assert_eq!(rules[1].requests, [3, 7]);
        assert_eq!(rules[0].ports[0].service, "service of 88");
    }

    #[test]
    fn what_a_wider_request_holds_needs_no_room_of_its_own() {
        let requests = [
            tcp(1, 11, "49158"),
            request(1, 11, Transport::Tcp, "49152-65535", Direction::Both),
            tcp(11, 1, "50000-50100"),
            tcp(1, 11, "1025-5000"),
        ];
        let rules = made(&requests);
        assert_eq!(
            told(&rules),
            ["10.0.0.1 > 10.0.0.11: tcp/1025-5000", "10.0.0.1 <> 10.0.0.11: tcp/49152-65535"]
        );
        assert_eq!(rules[1].requests, [0, 1, 2]);
        assert_eq!(rules[1].ports[0].service.matches("service of").count(), 3);
    }

    #[test]
    fn many_requests_with_little_in_common_are_quick() {
        // A hundred hosts that call a hundred others, each pair on a choice of its own.
        let mut requests = Vec::new();
        for from in 0..100 {
            for to in 100..200 {
                let choice = (from * 7919 + to * 104_729) % 31;
                let ports = ["88", "135", "389", "445", "3268"];
                let chosen = ports.iter().enumerate().filter(|(bit, _)| choice >> bit & 1 == 1);
                requests.extend(chosen.map(|(_, ports)| tcp(from, to, ports)));
            }
        }
        let rules = made(&requests);
        assert_eq!(opened_unasked(&requests, &rules), 0);
        assert!(rules.len() < 10_000, "{}", rules.len());
    }

    #[test]
    fn ranges_are_held_by_ranges_together() {
        let ranges: Vec<PortRange> =
            ["200-300", "1-100", "101-150"].map(|it| it.parse().unwrap()).into();
        assert!(hold(&ranges, "50-150".parse().unwrap()));
        assert!(!hold(&ranges, "50-151".parse().unwrap()));
        assert!(!hold(&ranges, "150-200".parse().unwrap()));
        assert!(hold(&["1-65535".parse().unwrap()], "65535".parse().unwrap()));
    }

    #[test]
    fn a_rule_that_opens_too_much_is_counted() {
        let requests = [tcp(1, 11, "389"), tcp(1, 12, "88")];
        let mut rules = made(&requests);
        assert_eq!(opened_unasked(&requests, &rules), 0);
        let destinations = rules[1].destinations.clone();
        rules[0].destinations.extend(destinations);
        assert_eq!(opened_unasked(&requests, &rules), 1);
    }

    fn any_request() -> impl Strategy<Value = FirewallRequest> {
        let ports = prop::sample::select(vec![
            "88",
            "389",
            "49152-65535",
            "49158",
            "1025-5000,49152-65535",
        ]);
        (0..6_u32, 0..6_u32, any::<bool>(), ports, any::<bool>())
            .prop_filter("two hosts", |(from, to, ..)| from != to)
            .prop_map(|(from, to, udp, ports, both)| {
                let transport = if udp { Transport::Udp } else { Transport::Tcp };
                let direction = if both { Direction::Both } else { Direction::OneWay };
                request(from, to, transport, ports, direction)
            })
    }

    proptest! {
        #[test]
        fn rules_open_all_that_is_asked_for_and_nothing_else(
            requests in prop::collection::vec(any_request(), 0..40),
        ) {
            let rules = made(&requests);
            prop_assert_eq!(opened_unasked(&requests, &rules), 0);
            prop_assert!(rules.len() <= requests.len());
            // Read as requests, the rules ask for everything that was asked for.
            let mut asked = Asked::default();
            for rule in &rules {
                for (from, to) in rule.sources.iter().flat_map(|from| rule.destinations.iter().map(move |to| (*from, *to))) {
                    for ports in &rule.ports {
                        let ranges = ranges(&ports.ports);
                        asked.0.entry((from, to, ports.transport)).or_default().extend(&ranges);
                        if rule.direction == "both" {
                            asked.0.entry((to, from, ports.transport)).or_default().extend(&ranges);
                        }
                    }
                }
            }
            for (place, request) in requests.iter().enumerate() {
                prop_assert!(asked.fulfils(request), "{:?} by {:?}", request, told(&rules));
                prop_assert!(rules.iter().any(|rule| rule.requests.contains(&place)));
            }
        }
    }
}
