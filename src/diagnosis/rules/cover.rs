//! Few blocks that cover what is asked for, and nothing else.
//!
//! A block is a set of sources times a set of destinations times a set of ports: what one rule can
//! say. Every cell of a block is asked for, so no block opens anything unasked; only a host's way
//! to itself may be in it, which no firewall sees, and only where the hosts of one side are all
//! on the other as well ("all of these to each of those").
//!
//! Of at most [`HOSTS`] sources and as many destinations the blocks are as few as there can be, unless
//! the search takes more than [`STEPS`] steps. Of more, those that are asked for alike count as one,
//! and the search is over these kinds. Where that is too much as well, cells that differ in one thing
//! are put together: never more blocks than pairs of hosts, but a cleverer choice may need fewer.

use std::collections::{BTreeMap, BTreeSet};

use crate::net::Address;

/// Source, destination, and the place of the ports in a list of the caller.
pub(super) type Cell = (Address, Address, usize);

/// Hosts on one side, or kinds of hosts, of which every choice is tried.
const HOSTS: usize = 6;
/// Kinds of ports, of which every choice is tried.
const PORT_KINDS: usize = 32;
/// Steps of the search for fewer blocks.
const STEPS: usize = 20_000;

/// What one rule can say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block {
    /// Who opens.
    pub(super) sources: BTreeSet<Address>,
    /// Who is called.
    pub(super) destinations: BTreeSet<Address>,
    /// Places of ports.
    pub(super) ports: BTreeSet<usize>,
}

/// Covers `asked`; with `both`, a block covers the way back too. Sorted.
pub(super) fn cover(asked: &BTreeSet<Cell>, both: bool) -> Vec<Block> {
    let mut allowed = asked.clone();
    if both {
        allowed.extend(asked.iter().map(|(from, to, ports)| (*to, *from, *ports)));
    }
    let kinds = Kinds::of(&allowed);
    let found = match Search::new(&kinds, asked, both) {
        Some(search) => search.blocks(),
        None => kinds.merged(asked),
    };
    let mut blocks: Vec<Block> = found.iter().map(|block| kinds.spelled_out(block)).collect();
    if both {
        for block in &mut blocks {
            turn(block, asked);
        }
    }
    blocks.sort();
    blocks
}

/// Turns a block of both directions the way in which most of it was asked for.
fn turn(block: &mut Block, asked: &BTreeSet<Cell>) {
    let within = |sources: &BTreeSet<Address>, destinations: &BTreeSet<Address>| {
        let pairs = sources.iter().flat_map(|from| destinations.iter().map(move |to| (*from, *to)));
        let asked_for = |(from, to): (Address, Address)| {
            block.ports.iter().filter(|ports| asked.contains(&(from, to, **ports))).count()
        };
        pairs.map(asked_for).sum::<usize>()
    };
    let there = within(&block.sources, &block.destinations);
    if there < within(&block.destinations, &block.sources) {
        std::mem::swap(&mut block.sources, &mut block.destinations);
    }
}

/// A block of kinds, by their places, sorted and each once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct KindBlock {
    sources: Vec<usize>,
    destinations: Vec<usize>,
    ports: Vec<usize>,
}

/// Hosts and ports that are asked for alike.
struct Kinds {
    sources: Vec<Vec<Address>>,
    destinations: Vec<Vec<Address>>,
    ports: Vec<Vec<usize>>,
    source_of: BTreeMap<Address, usize>,
    destination_of: BTreeMap<Address, usize>,
    ports_of: BTreeMap<usize, usize>,
    allowed: BTreeSet<(usize, usize, usize)>,
}

impl Kinds {
    fn of(allowed: &BTreeSet<Cell>) -> Kinds {
        let mut from: BTreeMap<Address, BTreeSet<(Address, usize)>> = BTreeMap::new();
        let mut to: BTreeMap<Address, BTreeSet<(Address, usize)>> = BTreeMap::new();
        let mut by_ports: BTreeMap<usize, BTreeSet<(Address, Address)>> = BTreeMap::new();
        for (source, destination, ports) in allowed {
            from.entry(*source).or_default().insert((*destination, *ports));
            to.entry(*destination).or_default().insert((*source, *ports));
            by_ports.entry(*ports).or_default().insert((*source, *destination));
        }
        let few = from.len() <= HOSTS && to.len() <= HOSTS;
        let kinds = |peers: &BTreeMap<Address, BTreeSet<(Address, usize)>>| {
            if few { peers.keys().map(|host| vec![*host]).collect() } else { twins(peers) }
        };
        let (sources, destinations) = (kinds(&from), kinds(&to));
        let mut alike: BTreeMap<&BTreeSet<(Address, Address)>, Vec<usize>> = BTreeMap::new();
        for (ports, pairs) in &by_ports {
            alike.entry(pairs).or_default().push(*ports);
        }
        let mut ports: Vec<Vec<usize>> = alike.into_values().collect();
        ports.sort();
        let mut kinds = Kinds {
            source_of: places(&sources),
            destination_of: places(&destinations),
            ports_of: places(&ports),
            sources,
            destinations,
            ports,
            allowed: BTreeSet::new(),
        };
        kinds.allowed = allowed.iter().filter_map(|cell| kinds.kind_of(cell)).collect();
        kinds
    }

    fn kind_of(&self, (source, destination, ports): &Cell) -> Option<(usize, usize, usize)> {
        Some((
            *self.source_of.get(source)?,
            *self.destination_of.get(destination)?,
            *self.ports_of.get(ports)?,
        ))
    }

    /// Whether everything of these kinds may be opened: it is asked for, or leads a host to itself.
    fn may(&self, source: usize, destination: usize, ports: usize) -> bool {
        let itself = || match (self.sources.get(source), self.destinations.get(destination)) {
            (Some(source), Some(destination)) => source.len() == 1 && source == destination,
            _ => false,
        };
        self.allowed.contains(&(source, destination, ports)) || itself()
    }

    /// Puts cells together that differ in one thing, in every order of the three, and takes the
    /// order that leaves the fewest.
    fn merged(&self, asked: &BTreeSet<Cell>) -> Vec<KindBlock> {
        use Side::{Destinations, Ports, Sources};
        let cells: BTreeSet<_> = asked.iter().filter_map(|cell| self.kind_of(cell)).collect();
        let single = |(source, destination, ports)| KindBlock {
            sources: vec![source],
            destinations: vec![destination],
            ports: vec![ports],
        };
        let cells: Vec<KindBlock> = cells.into_iter().map(single).collect();
        [
            // The ports of a pair first: its rules read best.
            [Ports, Sources, Destinations],
            [Ports, Destinations, Sources],
            [Sources, Destinations, Ports],
            [Destinations, Sources, Ports],
        ]
        .into_iter()
        .map(|order| merge(cells.clone(), order))
        .min_by_key(Vec::len)
        .unwrap_or_default()
    }

    fn spelled_out(&self, block: &KindBlock) -> Block {
        fn all<T: Copy + Ord>(kinds: &[Vec<T>], chosen: &[usize]) -> BTreeSet<T> {
            chosen.iter().filter_map(|kind| kinds.get(*kind)).flatten().copied().collect()
        }
        Block {
            sources: all(&self.sources, &block.sources),
            destinations: all(&self.destinations, &block.destinations),
            ports: all(&self.ports, &block.ports),
        }
    }
}

fn places<T: Copy + Ord>(kinds: &[Vec<T>]) -> BTreeMap<T, usize> {
    let placed = kinds.iter().enumerate();
    placed.flat_map(|(place, kind)| kind.iter().map(move |member| (*member, place))).collect()
}

/// Hosts by what they are asked for with: those with the same peers, and those that are each
/// other's peers and have the same others.
fn twins(peers: &BTreeMap<Address, BTreeSet<(Address, usize)>>) -> Vec<Vec<Address>> {
    let mut apart: BTreeMap<&BTreeSet<(Address, usize)>, Vec<Address>> = BTreeMap::new();
    for (host, peers) in peers {
        apart.entry(peers).or_default().push(*host);
    }
    let mut together: BTreeMap<BTreeSet<(Address, usize)>, Vec<Address>> = BTreeMap::new();
    let mut kinds = Vec::new();
    for (peers, hosts) in apart {
        if let [host] = hosts.as_slice() {
            let itself = peers.iter().map(|(_, ports)| (*host, *ports));
            together.entry(peers.iter().copied().chain(itself).collect()).or_default().push(*host);
        } else {
            kinds.push(hosts);
        }
    }
    for hosts in together.into_values() {
        // Of two that call each other one is the source, unless both call alike: that is found
        // without them being one kind.
        if let [a, b] = hosts.as_slice() {
            kinds.extend([vec![*a], vec![*b]]);
        } else {
            kinds.push(hosts);
        }
    }
    kinds.sort();
    kinds
}

/// One of the three sets of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Sources,
    Destinations,
    Ports,
}

fn side_of(block: &mut KindBlock, side: Side) -> &mut Vec<usize> {
    match side {
        Side::Sources => &mut block.sources,
        Side::Destinations => &mut block.destinations,
        Side::Ports => &mut block.ports,
    }
}

/// Puts blocks together that differ in one side alone, until none do.
fn merge(mut blocks: Vec<KindBlock>, order: [Side; 3]) -> Vec<KindBlock> {
    loop {
        let before = blocks.len();
        for side in order {
            let take_out = |mut block: KindBlock| {
                let taken = std::mem::take(side_of(&mut block, side));
                (block, taken)
            };
            let mut alike: Vec<(KindBlock, Vec<usize>)> =
                blocks.into_iter().map(take_out).collect();
            alike.sort_unstable();
            alike.dedup_by(|(block, taken), (kept, all)| {
                let is_alike = block == kept;
                if is_alike {
                    all.append(taken);
                }
                is_alike
            });
            let put_back = |(mut block, mut taken): (KindBlock, Vec<usize>)| {
                taken.sort_unstable();
                taken.dedup();
                *side_of(&mut block, side) = taken;
                block
            };
            blocks = alike.into_iter().map(put_back).collect();
        }
        if blocks.len() == before {
            return blocks;
        }
    }
}

/// A block of few kinds, as sets of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bits {
    sources: u32,
    destinations: u32,
    ports: u32,
}

fn has(bits: u32, place: usize) -> bool {
    u32::try_from(place)
        .is_ok_and(|place| bits.checked_shr(place).is_some_and(|bits| bits & 1 == 1))
}

fn bit(place: usize) -> u32 {
    u32::try_from(place).ok().and_then(|place| 1_u32.checked_shl(place)).unwrap_or(0)
}

/// What must be covered: a source, a destination and ports; and the same on the way back, where a
/// block of both directions covers either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Element {
    there: (usize, usize, usize),
    back: Option<(usize, usize)>,
}

impl Bits {
    fn covers(self, element: &Element) -> bool {
        let (source, destination, ports) = element.there;
        let leads =
            |source, destination| has(self.sources, source) && has(self.destinations, destination);
        has(self.ports, ports)
            && (leads(source, destination)
                || element.back.is_some_and(|(source, destination)| leads(source, destination)))
    }
}

/// The hosts of kinds.
struct Sides {
    sources: Vec<Vec<Address>>,
    destinations: Vec<Vec<Address>>,
}

impl Sides {
    fn of(kinds: &Kinds) -> Sides {
        Sides { sources: kinds.sources.clone(), destinations: kinds.destinations.clone() }
    }

    /// Whether sources and destinations have no host in common, or one of them has all of the
    /// other.
    fn fit(&self, sources: u32, destinations: u32) -> bool {
        fn all(kinds: &[Vec<Address>], chosen: u32) -> BTreeSet<Address> {
            let chosen = kinds.iter().enumerate().filter(|(place, _)| has(chosen, *place));
            chosen.flat_map(|(_, hosts)| hosts).copied().collect()
        }
        let (from, to) = (all(&self.sources, sources), all(&self.destinations, destinations));
        from.is_disjoint(&to) || from.is_subset(&to) || to.is_subset(&from)
    }
}

/// The search for the fewest blocks.
struct Search {
    /// What must be covered, and how many cells each stands for.
    elements: Vec<(Element, usize)>,
    /// Blocks that cannot grow, those that cover the most first.
    candidates: Vec<Bits>,
    sides: Sides,
}

impl Search {
    /// `None` where there are too many kinds to try every choice.
    fn new(kinds: &Kinds, asked: &BTreeSet<Cell>, both: bool) -> Option<Search> {
        let (sources, destinations) = (kinds.sources.len(), kinds.destinations.len());
        if sources > HOSTS || destinations > HOSTS || kinds.ports.len() > PORT_KINDS {
            return None;
        }
        let element = |cell: &Cell| {
            let there = kinds.kind_of(cell)?;
            let back = kinds.kind_of(&(cell.1, cell.0, cell.2)).filter(|_| both);
            Some(Element {
                there,
                back: back.map(|(source, destination, _)| (source, destination)),
            })
        };
        let mut weights: BTreeMap<Element, usize> = BTreeMap::new();
        for element in asked.iter().filter_map(element) {
            *weights.entry(element).or_default() += 1;
        }
        // By set of sources and single destination: the ports that may be opened between them.
        let row = |chosen: u32| -> Vec<u32> {
            let between = |destination: usize| {
                let open = |ports: &usize| {
                    (0..sources)
                        .filter(|source| has(chosen, *source))
                        .all(|source| kinds.may(source, destination, *ports))
                };
                (0..kinds.ports.len()).filter(open).fold(0, |ports, place| ports | bit(place))
            };
            (0..destinations).map(between).collect()
        };
        let rows: Vec<Vec<u32>> = (0..bit(sources)).map(row).collect();
        let ports_of = |chosen: u32, called: u32| {
            let row = usize::try_from(chosen).ok().and_then(|chosen| rows.get(chosen));
            let row = row.map_or(&[][..], Vec::as_slice).iter().enumerate();
            let called = row.filter(|(destination, _)| has(called, *destination));
            called.fold(u32::MAX, |all, (_, ports)| all & ports)
        };
        let sides = Sides::of(kinds);
        let mut candidates = Vec::new();
        for chosen in 1..bit(sources) {
            for called in 1..bit(destinations) {
                let ports = ports_of(chosen, called);
                if ports == 0 || !sides.fit(chosen, called) {
                    continue;
                }
                // One that can grow stands in another.
                let as_good = |chosen: u32, called: u32| {
                    ports_of(chosen, called) == ports && sides.fit(chosen, called)
                };
                let grows = (0..sources)
                    .any(|source| !has(chosen, source) && as_good(chosen | bit(source), called))
                    || (0..destinations).any(|destination| {
                        !has(called, destination) && as_good(chosen, called | bit(destination))
                    });
                if !grows {
                    candidates.push(Bits { sources: chosen, destinations: called, ports });
                }
            }
        }
        let mut search = Search { elements: weights.into_iter().collect(), candidates, sides };
        let mut candidates = std::mem::take(&mut search.candidates);
        candidates.sort_by_cached_key(|block| (std::cmp::Reverse(search.weight(*block)), *block));
        Some(Search { candidates, ..search })
    }

    fn blocks(&self) -> Vec<KindBlock> {
        let mut best = self.greedy();
        let mut steps = STEPS;
        let all: Vec<usize> = (0..self.elements.len()).collect();
        self.improve(&mut best, &mut Vec::new(), &all, &mut steps);
        // What stands in two blocks stays in the larger one.
        best.sort_by_cached_key(|block| (std::cmp::Reverse(self.weight(*block)), *block));
        self.trim(&mut best);
        let spelled = |bits: u32| (0..32).filter(|place| has(bits, *place)).collect();
        let block = |block: Bits| KindBlock {
            sources: spelled(block.sources),
            destinations: spelled(block.destinations),
            ports: spelled(block.ports),
        };
        best.into_iter().map(block).collect()
    }

    fn covers(&self, block: Bits, element: usize) -> bool {
        self.elements.get(element).is_some_and(|(element, _)| block.covers(element))
    }

    /// Cells that a block covers.
    fn weight(&self, block: Bits) -> usize {
        let covered = self.elements.iter().filter(|(element, _)| block.covers(element));
        covered.map(|(_, cells)| cells).sum()
    }

    fn without(&self, left: &[usize], block: Bits) -> Vec<usize> {
        left.iter().copied().filter(|element| !self.covers(block, *element)).collect()
    }

    /// Always the block that covers the most of what is left.
    fn greedy(&self) -> Vec<Bits> {
        let mut left: Vec<usize> = (0..self.elements.len()).collect();
        let mut chosen = Vec::new();
        while !left.is_empty() {
            // The first of those that cover alike.
            let most = self.candidates.iter().rev().max_by_key(|block| {
                left.iter().filter(|element| self.covers(**block, **element)).count()
            });
            let Some(block) = most else { break };
            let rest = self.without(&left, *block);
            // Every element is in a candidate; were it not so, this would not end.
            if rest.len() == left.len() {
                break;
            }
            left = rest;
            chosen.push(*block);
        }
        chosen
    }

    /// Looks for fewer blocks than `best`, which begin with `chosen` and leave `left`.
    fn improve(
        &self,
        best: &mut Vec<Bits>,
        chosen: &mut Vec<Bits>,
        left: &[usize],
        steps: &mut usize,
    ) {
        if left.is_empty() {
            if chosen.len() < best.len() {
                best.clone_from(chosen);
            }
            return;
        }
        if chosen.len() + 1 >= best.len() || *steps == 0 {
            return;
        }
        *steps -= 1;
        // The element with the fewest ways to cover it.
        let ways = |element: &usize| {
            self.candidates.iter().filter(|block| self.covers(**block, *element)).count()
        };
        let Some(hardest) = left.iter().min_by_key(|element| ways(element)) else { return };
        for block in self.candidates.iter().filter(|block| self.covers(**block, *hardest)) {
            chosen.push(*block);
            self.improve(best, chosen, &self.without(left, *block), steps);
            chosen.pop();
        }
    }

    /// Takes out of each block what the others cover, so that nothing is said twice.
    fn trim(&self, blocks: &mut [Bits]) {
        let whole = |blocks: &[Bits]| {
            (0..self.elements.len())
                .all(|element| blocks.iter().any(|block| self.covers(*block, element)))
        };
        for place in (0..blocks.len()).rev() {
            for number in 0..3 * 32 {
                let (side, member) = (number / 32, bit(number % 32));
                let Some(block) = blocks.get_mut(place) else { continue };
                let before = *block;
                match side {
                    0 => block.ports &= !member,
                    1 => block.sources &= !member,
                    _ => block.destinations &= !member,
                }
                let after = *block;
                let said = after.sources != 0 && after.destinations != 0 && after.ports != 0;
                let fits = said && self.sides.fit(after.sources, after.destinations);
                if after != before
                    && !(fits && whole(blocks))
                    && let Some(block) = blocks.get_mut(place)
                {
                    *block = before;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(number: u32) -> Address {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    fn cells(cells: &[(u32, u32, usize)]) -> BTreeSet<Cell> {
        cells.iter().map(|(from, to, ports)| (host(*from), host(*to), *ports)).collect()
    }

    /// Pairs of two hosts and ports that a block opens.
    fn opened(block: &Block, both: bool) -> BTreeSet<Cell> {
        let mut opened = BTreeSet::new();
        for source in &block.sources {
            for destination in block.destinations.iter().filter(|to| *to != source) {
                for ports in &block.ports {
                    opened.insert((*source, *destination, *ports));
                    if both {
                        opened.insert((*destination, *source, *ports));
                    }
                }
            }
        }
        opened
    }

    fn both_ways(asked: &BTreeSet<Cell>, both: bool) -> BTreeSet<Cell> {
        let back = asked.iter().filter(|_| both).map(|(from, to, ports)| (*to, *from, *ports));
        asked.iter().copied().chain(back).collect()
    }

    /// How many of these blocks cover what is left, at least; of more than `most` no matter.
    fn least(left: &BTreeSet<Cell>, blocks: &[&BTreeSet<Cell>], most: usize) -> usize {
        let Some(first) = left.first() else { return 0 };
        if most == 0 {
            return 1;
        }
        let mut best = most;
        for block in blocks.iter().filter(|block| block.contains(first)) {
            let rest: BTreeSet<Cell> = left.difference(block).copied().collect();
            best = best.min(1 + least(&rest, blocks, best.saturating_sub(1)));
        }
        best
    }

    /// The fewest blocks there can be, by trying all sets of all blocks of hosts.
    fn fewest(asked: &BTreeSet<Cell>, both: bool, hosts: u32, ports: u32) -> usize {
        let allowed = both_ways(asked, both);
        let chosen = |bits: u32, count: u32| (0..count).filter(move |place| bits >> place & 1 == 1);
        let mut all: Vec<BTreeSet<Cell>> = Vec::new();
        for sources in 1..1_u32 << hosts {
            for destinations in 1..1_u32 << hosts {
                for bits in 1..1_u32 << ports {
                    let block = Block {
                        sources: chosen(sources, hosts).map(host).collect(),
                        destinations: chosen(destinations, hosts).map(host).collect(),
                        ports: chosen(bits, ports).map(|place| place as usize).collect(),
                    };
                    let (from, to) = (&block.sources, &block.destinations);
                    if !(from.is_disjoint(to) || from.is_subset(to) || to.is_subset(from)) {
                        continue;
                    }
                    let opened = opened(&block, both);
                    if !opened.is_empty() && opened.is_subset(&allowed) {
                        all.push(opened);
                    }
                }
            }
        }
        let maximal: Vec<&BTreeSet<Cell>> = all
            .iter()
            .filter(|block| {
                !all.iter().any(|other| other.len() > block.len() && block.is_subset(other))
            })
            .collect();
        let mut maximal: Vec<&BTreeSet<Cell>> = maximal;
        maximal.sort();
        maximal.dedup();
        least(&allowed, &maximal, asked.len())
    }

    #[test]
    fn hosts_that_are_asked_for_alike_share_a_block() {
        // Two site servers, three domain controllers, two ports.
        let mut asked = BTreeSet::new();
        for from in [1, 2] {
            for to in [11, 12, 13] {
                asked.extend([(host(from), host(to), 0), (host(from), host(to), 1)]);
            }
        }
        let blocks = cover(&asked, false);
        assert_eq!(blocks.len(), 1);
        assert_eq!((blocks[0].sources.len(), blocks[0].destinations.len()), (2, 3));
        // One pair less: no block may hold it.
        asked.remove(&(host(2), host(13), 1));
        let blocks = cover(&asked, false);
        assert_eq!(blocks.len(), 3);
        assert!(blocks.iter().all(|block| opened(block, false).is_subset(&asked)));
    }

    #[test]
    fn hosts_that_all_call_each_other_share_a_block() {
        let asked = cells(&[(1, 2, 0), (1, 3, 0), (2, 3, 0)]);
        let blocks = cover(&asked, true);
        assert_eq!(blocks.len(), 1);
        assert_eq!(opened(&blocks[0], true), both_ways(&asked, true));
    }

    #[test]
    fn a_block_of_both_directions_is_turned_as_it_was_asked_for() {
        let asked = cells(&[(21, 1, 0), (22, 1, 0)]);
        let block = &cover(&asked, true)[0];
        assert_eq!(block.destinations, BTreeSet::from([host(1)]));
    }

    #[test]
    fn nothing_is_said_twice() {
        // The second host is asked for with more.
        let asked = cells(&[(1, 11, 0), (1, 12, 0), (1, 12, 1)]);
        let blocks = cover(&asked, false);
        let said: usize = blocks.iter().map(|block| opened(block, false).len()).sum();
        assert_eq!((blocks.len(), said), (2, 3));
    }

    #[test]
    fn many_hosts_that_have_nothing_in_common_are_quick() {
        let asked: BTreeSet<Cell> =
            (0..3000).map(|place| (host(place), host(100_000 + place), place as usize)).collect();
        assert_eq!(cover(&asked, false).len(), 3000);
        assert_eq!(cover(&BTreeSet::new(), false), []);
    }

    fn requests() -> impl Strategy<Value = Vec<(u32, u32, usize)>> {
        prop::collection::vec((0..9_u32, 0..9_u32, 0..4_usize), 0..60)
    }

    proptest! {
        #[test]
        fn everything_asked_for_is_open_and_nothing_else(asked in requests(), both: bool) {
            let asked: Vec<_> = asked.into_iter().filter(|(from, to, _)| from != to).collect();
            let asked = cells(&asked);
            let blocks = cover(&asked, both);
            let all: BTreeSet<Cell> = blocks.iter().flat_map(|block| opened(block, both)).collect();
            prop_assert_eq!(&all, &both_ways(&asked, both));
            let pairs: BTreeSet<_> = asked.iter().map(|(from, to, _)| (*from, *to)).collect();
            prop_assert!(blocks.len() <= pairs.len());
        }
    }

    proptest! {
        // Trying everything takes its time.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn of_few_hosts_the_blocks_are_as_few_as_there_can_be(
            asked in prop::collection::vec((0..4_u32, 0..4_u32, 0..2_usize), 1..14),
            both: bool,
        ) {
            let asked: Vec<_> = asked.into_iter().filter(|(from, to, _)| from != to).collect();
            prop_assume!(!asked.is_empty());
            let asked = cells(&asked);
            prop_assert_eq!(cover(&asked, both).len(), fewest(&asked, both, 4, 2));
        }
    }
}
