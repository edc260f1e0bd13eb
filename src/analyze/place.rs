//! Where a capture was taken: which addresses stand behind one network card, and which machine
//! captured.
//!
//! Read from the first packet of each side of each flow: its link addresses, its time to live, and
//! whether the capturing machine sent it, which the link header may tell, or a checksum that the
//! card was still to fill in. A time to live at which systems begin means that no router stood
//! between.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::hint::black_box;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::capture::{CaptureSummary, CapturingHost, FrameNote};
use crate::flow::{EvidenceKind, FirstPacket, Look, Sender, Side};
use crate::net::Address;
use crate::packet::Heading;

/// A link address.
type Mac = [u8; 6];

/// What systems begin with: 64 (Unix), 128 (Windows), 255 (network devices).
const BEGINNINGS: [u8; 3] = [64, 128, 255];

/// Addresses with their cards that are kept of one capture.
const MOST_LINKS: usize = 1_024;

/// IPv6 addresses that one card has: its own, and those that Windows makes up anew each day.
const MOST_V6: usize = 8;

/// Flows from which it can be told that one host is at one end of all.
const LEAST_FLOWS: u64 = 3;

/// Addresses of one machine that are told.
const MOST_OWN: usize = 16;

/// One side of a flow that is between two hosts, as its first packet shows it.
struct Sight {
    address: IpAddr,
    mac: Option<Mac>,
    /// `None` where its time to live tells nothing: it is not known, or the packet went to a
    /// group, for which hosts begin with 1 and 4 too.
    near: Option<bool>,
    heading: Heading,
}

/// What a flow shows of where its two ends stand.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Way {
    initiator: Address,
    responder: Address,
    to_group: bool,
    /// The first packet of each side, the initiator first.
    first: [First; 2],
}

/// The first packet of a side, where one was captured, in one number, because a capture has millions of
/// them to compare: its sender's card, its time to live, and where it was heading.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct First(u64);

impl First {
    const CAPTURED: u64 = 1 << 63;
    const HAS_CARD: u64 = 1 << 62;
    const LEAVING: u64 = 1 << 61;
    const ARRIVING: u64 = 1 << 60;

    fn of(packet: &FirstPacket) -> First {
        let heading = match packet.heading {
            Heading::Unknown => 0,
            Heading::Leaving => First::LEAVING,
            Heading::Arriving => First::ARRIVING,
        };
        let card = packet.link.map_or(0, |[_, _, _, _, _, _, a, b, c, d, e, f]| {
            First::HAS_CARD | u64::from_be_bytes([0, 0, a, b, c, d, e, f])
        });
        First(First::CAPTURED | heading | card | u64::from(packet.ttl) << 48)
    }

    fn is_captured(self) -> bool {
        self.0 & First::CAPTURED != 0
    }

    fn card(self) -> Option<Mac> {
        let [_, _, card @ ..] = self.0.to_be_bytes();
        (self.0 & First::HAS_CARD != 0).then_some(card)
    }

    fn ttl(self) -> u8 {
        let [_, ttl, ..] = self.0.to_be_bytes();
        ttl
    }

    fn heading(self) -> Heading {
        match self.0 & (First::LEAVING | First::ARRIVING) {
            0 => Heading::Unknown,
            First::LEAVING => Heading::Leaving,
            _ => Heading::Arriving,
        }
    }
}

/// A packet that the capturing machine said it dropped.
struct Dropped {
    note: Option<FrameNote>,
    by: Sender,
    initiator: Address,
    responder: Address,
}

/// A way, the number of flows that went it, and the place of the first of them.
#[derive(Clone, Copy)]
struct Counted {
    way: Way,
    flows: u64,
    first: usize,
}

impl Counted {
    fn hash(&self) -> u64 {
        FixedState::default().hash_one(self.way)
    }

    /// Adds flows that went the same way.
    fn add(&mut self, others: &Counted) {
        self.flows += others.flows;
        self.first = self.first.min(others.first);
    }
}

/// Ways that are looked up together.
const TOGETHER: usize = 32;

/// What the flows of a capture show of where hosts stand.
#[derive(Default)]
pub(super) struct Sights {
    /// Each once, in the order of their first flows. Empty until all is seen.
    ways: Vec<Counted>,
    /// The same while more comes.
    counted: HashTable<Counted>,
    /// Ways that are to be counted, with their hashes.
    next: Vec<(u64, Counted)>,
    /// The way of the last flow, not among them yet.
    last: Option<Counted>,
    dropped: Vec<Dropped>,
}

impl Sights {
    /// Takes a flow into account.
    pub(super) fn see(&mut self, place: usize, look: Look<'_>) {
        let flow = match look {
            Look::Flow(flow) => flow,
            Look::LoneSyn(syn) => {
                let (initiator, responder) = (syn.initiator.address, syn.responder.address);
                let first = [First::of(&syn.first), First::default()];
                let way = Way { initiator, responder, to_group: false, first };
                return self.add(Counted { way, flows: 1, first: place });
            }
        };
        let (initiator, responder) =
            (flow.initiator_endpoint().address, flow.responder_endpoint().address);
        let of_side =
            |side: &Side| if side.packets > 0 { First::of(&side.first) } else { First::default() };
        let first = [of_side(&flow.initiator), of_side(&flow.responder)];
        let way = Way { initiator, responder, to_group: flow.to_group, first };
        self.add(Counted { way, flows: 1, first: place });
        let drops = flow.evidence.iter().filter(|packet| packet.kind == EvidenceKind::Drop);
        self.dropped.extend(drops.map(|drop| Dropped {
            note: drop.note,
            by: drop.sender,
            initiator,
            responder,
        }));
    }

    fn add(&mut self, counted: Counted) {
        // Whoever scans goes the same way many times in a row.
        if let Some(last) = self.last.as_mut().filter(|last| last.way == counted.way) {
            last.add(&counted);
        } else if let Some(before) = self.last.replace(counted) {
            self.count(before);
        }
    }

    fn count(&mut self, counted: Counted) {
        self.next.push((counted.hash(), counted));
        if self.next.len() >= TOGETHER {
            self.count_next();
        }
    }

    fn count_next(&mut self) {
        // None of these waits for the one before it, so the processor has many under way.
        let known = self.next.iter().filter_map(|(hash, _)| self.counted.find(*hash, |_| true));
        black_box(known.fold(0, |sum, known| sum ^ known.flows));
        for (hash, counted) in self.next.drain(..) {
            self.counted
                .entry(hash, |known| known.way == counted.way, Counted::hash)
                .and_modify(|known| known.add(&counted))
                .or_insert(counted);
        }
    }

    /// Adds what other flows show, earlier and later ones, of which not all is seen either.
    pub(super) fn append(&mut self, others: Sights) {
        let next = others.next.into_iter().map(|(_, counted)| counted);
        let all = others.counted.into_iter().chain(next).chain(others.last);
        all.for_each(|counted| self.count(counted));
        self.dropped.extend(others.dropped);
    }

    /// Says that all is seen.
    pub(super) fn close(&mut self) {
        if let Some(last) = self.last.take() {
            self.count(last);
        }
        self.count_next();
        self.ways = std::mem::take(&mut self.counted).into_iter().collect();
        // The order of a table is nobody's; that of the flows is.
        self.ways.sort_unstable_by_key(|counted| counted.first);
    }

    /// The ways that packets went, from whom to whom.
    pub(super) fn ways(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        self.ways.iter().flat_map(|Counted { way, .. }| {
            let ends = way.initiator.ip().zip(way.responder.ip());
            let [initiator, responder] = way.first;
            let there = ends.filter(|_| initiator.is_captured());
            let back = ends.filter(|_| responder.is_captured()).map(|(from, to)| (to, from));
            there.into_iter().chain(back)
        })
    }
}

/// The sides of a flow that were captured, the initiator first.
fn sights(way: &Way) -> impl Iterator<Item = Sight> + use<> {
    let [initiator, responder] = way.first;
    let sides = [(way.initiator, initiator), (way.responder, responder)];
    let to_group = way.to_group;
    sides.into_iter().filter_map(move |(address, first)| {
        let address = host(address).filter(|_| first.is_captured())?;
        let (mac, ttl, heading) = (first.card(), first.ttl(), first.heading());
        Some(Sight {
            address,
            // Loopback interfaces have zeros, and no group sends.
            mac: mac
                .filter(|mac: &Mac| *mac != [0; 6] && mac.first().is_some_and(|it| it & 1 == 0)),
            near: (ttl > 0 && !to_group).then(|| BEGINNINGS.contains(&ttl)),
            heading,
        })
    })
}

/// The IP address of a single host.
fn host(address: Address) -> Option<IpAddr> {
    let address = address.ip()?;
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let nobody =
        broadcast || address.is_unspecified() || address.is_multicast() || address.is_loopback();
    (!nobody).then_some(address)
}

/// Addresses and the network cards that alone have them, by address.
///
/// A router's card sends for many, most of them far away: a card counts that sends for one IPv4
/// address at most, and always with a time to live that no router has touched.
pub(super) fn links(seen: &Sights) -> Vec<(IpAddr, Mac)> {
    #[derive(Default)]
    struct Card {
        v4: BTreeSet<IpAddr>,
        v6: BTreeSet<IpAddr>,
        known_near: bool,
        far: bool,
    }
    let mut cards: BTreeMap<Mac, Card> = BTreeMap::new();
    let mut cards_of: BTreeMap<IpAddr, BTreeSet<Mac>> = BTreeMap::new();
    for sight in seen.ways.iter().flat_map(|counted| sights(&counted.way)) {
        let Some(mac) = sight.mac else { continue };
        let card = cards.entry(mac).or_default();
        let (of_kind, most) = match sight.address {
            IpAddr::V4(_) => (&mut card.v4, 1),
            IpAddr::V6(_) => (&mut card.v6, MOST_V6),
        };
        // One more is enough to know that there are too many.
        if of_kind.len() <= most {
            of_kind.insert(sight.address);
        }
        card.known_near |= sight.near == Some(true);
        card.far |= sight.near == Some(false);
        let of_address = cards_of.entry(sight.address).or_default();
        if of_address.len() <= 1 {
            of_address.insert(mac);
        }
    }
    cards.retain(|_, card| {
        card.known_near && !card.far && card.v4.len() <= 1 && card.v6.len() <= MOST_V6
    });
    // What comes from two cards is captured on both sides of a router, or moved.
    let alone = cards_of.into_iter().filter_map(|(address, macs)| {
        let mac = macs.first().filter(|_| macs.len() == 1)?;
        cards.contains_key(mac).then_some((address, *mac))
    });
    alone.take(MOST_LINKS).collect()
}

/// The machine that captured, if one sign decides it or two agree.
pub(super) fn taken_on(seen: &Sights, summary: &CaptureSummary) -> Option<CapturingHost> {
    if !summary.own_addresses.is_empty() {
        let evidence = "the capture tells the addresses of its interface";
        return told(summary.own_addresses.iter().copied(), evidence.to_owned());
    }
    by_drops(seen, summary)
        .or_else(|| by_heading(seen, &summary.links))
        .or_else(|| by_place(seen, &summary.links))
}

fn told(addresses: impl Iterator<Item = IpAddr>, evidence: String) -> Option<CapturingHost> {
    let addresses: BTreeSet<IpAddr> = addresses.collect();
    let addresses: Vec<IpAddr> = addresses.into_iter().take(MOST_OWN).collect();
    (!addresses.is_empty()).then_some(CapturingHost { addresses, evidence })
}

/// A machine that says of packets that it dropped them on arrival, or before they left. One that
/// forwards for others says so too, of more than one host.
fn by_drops(seen: &Sights, summary: &CaptureSummary) -> Option<CapturingHost> {
    let mut own = BTreeSet::new();
    let mut drops = 0_u64;
    for drop in &seen.dropped {
        let note = drop.note.and_then(|note| summary.notes.get(note.index()))?;
        let sent_by_initiator = match drop.by {
            Sender::Initiator => true,
            Sender::Responder => false,
            Sender::Network => continue,
        };
        let initiator = if note.starts_with(FrameNote::ON_LEAVING) {
            sent_by_initiator
        } else if note.starts_with(FrameNote::ON_ARRIVAL) {
            !sent_by_initiator
        } else {
            continue;
        };
        own.extend(host(if initiator { drop.initiator } else { drop.responder }));
        drops += 1;
    }
    let one_of_a_kind =
        own.iter().filter(|it| it.is_ipv4()).count() <= 1 && own.len() <= 1 + MOST_V6;
    let evidence = format!(
        "it says itself that it dropped {} on arrival or before leaving",
        if drops == 1 { "a packet".to_owned() } else { format!("{drops} packets") }
    );
    if one_of_a_kind { told(own.into_iter(), evidence) } else { None }
}

/// A machine whose packets were captured as it sends them.
fn by_heading(seen: &Sights, links: &[(IpAddr, Mac)]) -> Option<CapturingHost> {
    #[derive(Default)]
    struct Count {
        sides: u64,
        leaving: u64,
        arriving: u64,
        /// It was sent to, as the link header says.
        called: u64,
        macs: BTreeSet<Mac>,
    }
    let mut counts: BTreeMap<IpAddr, Count> = BTreeMap::new();
    let mut heading_known = false;
    for Counted { way, flows, .. } in &seen.ways {
        let ends = [way.initiator, way.responder];
        for sight in sights(way) {
            heading_known |= sight.heading != Heading::Unknown;
            if sight.heading == Heading::Arriving {
                let [initiator, responder] = ends.map(host);
                let other = if initiator == Some(sight.address) { responder } else { initiator };
                if let Some(other) = other {
                    counts.entry(other).or_default().called += flows;
                }
            }
            let count = counts.entry(sight.address).or_default();
            count.sides += flows;
            count.leaving += flows * u64::from(sight.heading == Heading::Leaving);
            count.arriving += flows * u64::from(sight.heading == Heading::Arriving);
            if count.macs.len() <= 1 {
                count.macs.extend(sight.mac);
            }
        }
        if !heading_known && counts.len() > 100_000 {
            // Where so much tells nothing, the rest will not either.
            return None;
        }
    }
    if !heading_known {
        return None;
    }
    // One checksum of 65,536 is 0 by chance. What leaves and arrives is forwarded.
    let own: BTreeMap<&IpAddr, &Count> = counts
        .iter()
        .filter(|(_, count)| count.arriving == 0)
        .filter(|(_, count)| count.leaving * 10 >= count.sides.max(1) || count.called > 0)
        .collect();
    let macs: BTreeSet<&Mac> = own.values().flat_map(|count| &count.macs).collect();
    let within = seen.ways.iter().any(|Counted { way, .. }| {
        let ends = [way.initiator, way.responder].map(host);
        let [Some(one), Some(other)] = ends else { return false };
        one != other && own.contains_key(&one) && own.contains_key(&other)
    });
    let v4 = own.keys().filter(|address| address.is_ipv4()).count();
    // Whoever made up a capture may have left all checksums out.
    let others_differ =
        counts.iter().any(|(address, it)| it.sides > 0 && !own.contains_key(address));
    // A machine that runs others captures what each of them sends.
    let alone = others_differ && !within && macs.len() <= 1;
    if own.is_empty()
        || !alone
        || (v4 > 1 && macs.is_empty() && own.values().all(|it| it.called == 0))
    {
        return None;
    }
    let leaving: u64 = own.values().map(|count| count.leaving).sum();
    let by_link = own.values().any(|count| count.called > 0);
    let evidence = if by_link {
        "the link headers tell which packets it sent and which came to it".to_owned()
    } else {
        format!(
            "{} of its flows {} captured before its network card had filled in a checksum, and no \
             other host's",
            leaving,
            if leaving == 1 { "was" } else { "were" }
        )
    };
    let same_card = links.iter().filter(|(_, mac)| macs.contains(mac)).map(|(address, _)| *address);
    told(own.keys().map(|address| **address).chain(same_card), evidence)
}

/// A machine that is at one end of everything, and nearer than the others. A mirror of its port
/// shows the same, which the sentence says.
fn by_place(seen: &Sights, links: &[(IpAddr, Mac)]) -> Option<CapturingHost> {
    let card_of: BTreeMap<IpAddr, Mac> = links.iter().copied().collect();
    // One address stands for all that its card has.
    let mut first_of: BTreeMap<Mac, IpAddr> = BTreeMap::new();
    for (address, mac) in links {
        first_of.entry(*mac).or_insert(*address);
    }
    let stands_for = |address: IpAddr| {
        card_of.get(&address).and_then(|mac| first_of.get(mac)).copied().unwrap_or(address)
    };
    let mut flows_of: BTreeMap<IpAddr, u64> = BTreeMap::new();
    let mut near_of: BTreeMap<IpAddr, bool> = BTreeMap::new();
    let mut all = 0_u64;
    for Counted { way, flows, .. } in seen.ways.iter().filter(|it| !it.way.to_group) {
        let [Some(one), Some(other)] = [way.initiator, way.responder].map(host) else { continue };
        all += flows;
        for end in BTreeSet::from([stands_for(one), stands_for(other)]) {
            *flows_of.entry(end).or_default() += flows;
        }
        for sight in sights(way) {
            if let Some(near) = sight.near {
                *near_of.entry(stands_for(sight.address)).or_insert(true) &= near;
            }
        }
    }
    let mut at_all =
        flows_of.iter().filter(|(_, count)| **count == all).map(|(address, _)| *address);
    let (candidate, None) = (at_all.next()?, at_all.next()) else { return None };
    // With one other host, each is at one end of everything.
    let others = flows_of.len() - 1;
    if others < 2 || all < LEAST_FLOWS {
        return None;
    }
    let nearer = near_of.get(&candidate) == Some(&true) && near_of.values().any(|near| !near);
    let own_card = card_of.contains_key(&candidate);
    let why = match (nearer, own_card) {
        (true, _) => "its packets came over no router, and those of others did",
        (false, true) => "all its packets come from one network card, which has no other address",
        (false, false) => return None,
    };
    let addresses = flows_of.keys().chain(card_of.keys()).copied();
    let addresses = addresses.filter(|address| stands_for(*address) == candidate);
    let evidence = format!(
        "it is at one end of all {all} flows between hosts, with {others} others; {why}; a \
                 mirror of its port would look the same"
    );
    told(addresses, evidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Flow;
    use crate::flow::script::{flows, packets, play};
    use crate::net::{Endpoint, FlowKey, Transport};
    use crate::packet::Packet;

    const OWN: Mac = [2, 0, 0, 0, 0, 1];
    const ROUTER: Mac = [2, 0, 0, 0, 0, 2];
    const UNKNOWN: Heading = Heading::Unknown;

    /// A side of a flow: the card it sends from, its time to live, its heading.
    type Sent = (Mac, u8, Heading);

    fn sights_of(flows: &[Flow]) -> Sights {
        let mut sights = Sights::default();
        for (place, flow) in flows.iter().enumerate() {
            sights.see(place, Look::Flow(flow));
        }
        sights.close();
        sights
    }

    /// A flow between two hosts that both sent.
    fn flow(ends: [(&str, Sent); 2]) -> Flow {
        let endpoint =
            |at: usize| Endpoint { address: ends[at].0.parse().unwrap(), port: [50_000, 445][at] };
        let packets: Vec<Packet<'_>> = packets("Sh")
            .into_iter()
            .enumerate()
            .map(|(at, packet)| {
                let (key, sender) = FlowKey::of(Transport::Tcp, endpoint(at), endpoint(1 - at));
                Packet { key, sender, ..packet }
            })
            .collect();
        let mut flow = flows(&packets).remove(0);
        let first = |(mac, ttl, heading): Sent, to: Mac| FirstPacket {
            link: Some([to, mac].concat().try_into().unwrap()),
            ttl,
            heading,
        };
        flow.initiator.first = first(ends[0].1, ends[1].1.0);
        flow.responder.first = first(ends[1].1, ends[0].1.0);
        flow
    }

    /// Addresses of the capturing machine.
    fn machine(flows: &[Flow]) -> Vec<String> {
        let mut summary = CaptureSummary::of("site.cap");
        summary.links = links(&sights_of(flows));
        let found = taken_on(&sights_of(flows), &summary);
        found.iter().flat_map(|it| &it.addresses).map(ToString::to_string).collect()
    }

    #[test]
    fn a_card_with_one_ipv4_address_and_no_router_behind_it_is_a_hosts() {
        let flows = [
            flow([("10.0.0.5", (OWN, 128, UNKNOWN)), ("10.1.0.10", (ROUTER, 126, UNKNOWN))]),
            flow([("fe80::5", (OWN, 128, UNKNOWN)), ("fe80::1", (ROUTER, 255, UNKNOWN))]),
        ];
        let found: Vec<String> =
            links(&sights_of(&flows)).iter().map(|(it, _)| it.to_string()).collect();
        assert_eq!(found, ["10.0.0.5", "fe80::5"]);
        // Two addresses near by behind one card: a host with both, or a device between.
        let flows = [
            flow([("10.0.0.5", (OWN, 128, UNKNOWN)), ("10.1.0.10", (ROUTER, 64, UNKNOWN))]),
            flow([("10.0.0.5", (OWN, 128, UNKNOWN)), ("10.1.0.11", (ROUTER, 64, UNKNOWN))]),
        ];
        assert_eq!(links(&sights_of(&flows)).len(), 1);
    }

    #[test]
    fn whose_checksums_are_not_filled_in_captured() {
        let leaves = Heading::Leaving;
        let pair = |own: Heading, other: Heading| {
            flow([("10.0.0.5", (OWN, 128, own)), ("10.0.0.6", (ROUTER, 128, other))])
        };
        assert_eq!(machine(&[pair(leaves, UNKNOWN)]), ["10.0.0.5"]);
        assert_eq!(machine(&[pair(UNKNOWN, leaves)]), ["10.0.0.6"]);
        assert_eq!(machine(&[pair(UNKNOWN, Heading::Arriving)]), ["10.0.0.5"]);
        // A made-up capture, and one of a machine that runs both.
        assert!(machine(&[pair(leaves, leaves)]).is_empty());
        assert!(machine(&[pair(UNKNOWN, UNKNOWN)]).is_empty());
    }

    #[test]
    fn who_is_at_one_end_of_everything_and_nearer_than_others_captured() {
        let far = |address: &'static str| {
            flow([("10.0.0.5", (OWN, 128, UNKNOWN)), (address, (ROUTER, 126, UNKNOWN))])
        };
        assert_eq!(machine(&[far("10.1.0.10"), far("10.1.0.11"), far("10.1.0.12")]), ["10.0.0.5"]);
        // Of two hosts each is at one end of everything.
        assert!(machine(&[far("10.1.0.10")]).is_empty());
        let elsewhere =
            flow([("10.0.0.7", (OWN, 128, UNKNOWN)), ("10.1.0.12", (ROUTER, 126, UNKNOWN))]);
        assert!(machine(&[far("10.1.0.10"), far("10.1.0.11"), elsewhere]).is_empty());
    }

    #[test]
    fn a_capture_that_tells_nothing_is_nobodys() {
        assert!(machine(&[]).is_empty());
        assert!(machine(&[play("S")]).is_empty());
    }
}
