//! Neighbours that were asked for and never answered: address resolution (RFC 826) and neighbour
//! discovery (RFC 4861).
//!
//! Questions go to everybody, answers to the asker alone, so a capture taken elsewhere on the network
//! shows the questions and misses the answers. Only askers count to whom the capture shows what
//! others send.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::AddAssign;

use etherparse::{ether_type, ip_number};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capture::{Frame, LinkType};
use crate::net::{FrameNumber, Timestamp};
use crate::packet::network::{self, Ip};
use crate::packet::skipped::Skipped;
use crate::packet::{DEPTH, Encapsulation, link, tunnel};

/// A neighbour that never answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeighbourRecord {
    /// The address that was asked for.
    pub address: IpAddr,
    /// Who asked first.
    pub asked_by: IpAddr,
    /// How often it was asked for.
    pub asked: u64,
    /// The first question.
    pub first_frame: FrameNumber,
    /// The last question.
    pub last_frame: FrameNumber,
}

/// What a frame says about neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    /// Who sends it, and therefore is there.
    from: IpAddr,
    /// Who is asked for.
    wanted: Option<IpAddr>,
    /// Who is answered.
    to: Option<IpAddr>,
}

/// Questions by one asker for one neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    count: u64,
    first: FrameNumber,
    last: FrameNumber,
    since: Option<Timestamp>,
}

/// From whom a host was sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reached {
    by: IpAddr,
    by_others: bool,
}

/// Who asked for whom, and who was heard. What parts of a capture show adds up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// By neighbour and asker.
    wanted: BTreeMap<(IpAddr, IpAddr), Asked>,
    /// Who sent anything.
    heard: BTreeSet<IpAddr>,
    reached: BTreeMap<IpAddr, Reached>,
    /// More addresses than are kept were heard, so nobody can be called silent.
    too_many: bool,
}

/// Addresses kept of each kind: more are made to fill our memory.
const MOST: usize = 65_536;
/// Silent neighbours that are told.
const MOST_TOLD: usize = 256;
/// Nanoseconds that the capture must go on after a question that was asked once.
const WAIT: i64 = 1_000_000_000;

impl Neighbours {
    /// Takes a frame into account that holds no packet of a flow, for this reason.
    pub fn observe(&mut self, frame: Frame<'_>, reason: Skipped) {
        if self.too_many || !matches!(reason, Skipped::Arp | Skipped::Icmp) {
            return;
        }
        let Some(Word { from, wanted, to }) = word_of(frame) else { return };
        if from.is_unspecified() {
            // Somebody asks whether its own address is taken (RFC 5227, RFC 4862 5.4).
            return;
        }
        self.heard.insert(from);
        if let Some(to) = to {
            self.reach(from, to);
        }
        if let Some(wanted) = wanted.filter(|wanted| *wanted != from) {
            let (number, since) = (frame.number, frame.time);
            let asked = Asked { count: 1, first: number, last: number, since };
            self.ask((wanted, from), asked);
        }
        self.bound();
    }

    /// Whether anybody was asked for.
    pub fn has_questions(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Takes into account that packets were captured from one host to another.
    pub fn see(&mut self, packets: impl Iterator<Item = (IpAddr, IpAddr)>) {
        let neighbours: BTreeSet<IpAddr> = self.wanted.keys().map(|(wanted, _)| *wanted).collect();
        let askers: BTreeSet<IpAddr> = self.wanted.keys().map(|(_, asker)| *asker).collect();
        for (from, to) in packets {
            if neighbours.contains(&from) {
                self.heard.insert(from);
            }
            if askers.contains(&to) {
                self.reach(from, to);
            }
        }
        self.bound();
    }

    /// Gives up where too much is to be kept. However a capture is taken apart, this comes to the
    /// same: what is kept only grows.
    fn bound(&mut self) {
        let lengths = [self.heard.len(), self.reached.len(), self.wanted.len()];
        if self.too_many || lengths.iter().any(|length| *length > MOST) {
            *self = Neighbours { too_many: true, ..Neighbours::default() };
        }
    }

    fn reach(&mut self, by: IpAddr, to: IpAddr) {
        let reached = self.reached.entry(to).or_insert(Reached { by, by_others: false });
        reached.by_others |= reached.by != by;
    }

    fn ask(&mut self, who: (IpAddr, IpAddr), asked: Asked) {
        self.wanted
            .entry(who)
            .and_modify(|known| {
                known.count += asked.count;
                known.first = known.first.min(asked.first);
                known.last = known.last.max(asked.last);
                known.since = known.since.or(asked.since);
            })
            .or_insert(asked);
    }

    /// Those that were asked for and never heard, by first frame. `end` is the latest time of the
    /// capture.
    pub fn silent(&self, end: Option<Timestamp>) -> Vec<NeighbourRecord> {
        let mut silent: BTreeMap<IpAddr, (NeighbourRecord, bool)> = BTreeMap::new();
        for (&(address, asked_by), asked) in &self.wanted {
            let hears = self.reached.get(&asked_by).is_some_and(|reached| reached.by_others);
            if !hears || self.heard.contains(&address) {
                continue;
            }
            let Asked { count, first, last, since } = *asked;
            let waited =
                since.zip(end).is_some_and(|(since, end)| end.since(since) >= WAIT) || count > 1;
            let record = NeighbourRecord {
                address,
                asked_by,
                asked: count,
                first_frame: first,
                last_frame: last,
            };
            silent
                .entry(address)
                .and_modify(|(known, known_waited)| {
                    if first < known.first_frame {
                        (known.asked_by, known.first_frame) = (asked_by, first);
                    }
                    known.asked += count;
                    known.last_frame = known.last_frame.max(last);
                    *known_waited |= waited;
                })
                .or_insert((record, waited));
        }
        let mut silent: Vec<NeighbourRecord> =
            silent.into_values().filter(|(_, waited)| *waited).map(|(record, _)| record).collect();
        silent.sort_by_key(|record| (record.first_frame, record.address));
        silent.truncate(MOST_TOLD);
        silent
    }
}

impl AddAssign for Neighbours {
    /// Adds what a later part of the capture shows.
    fn add_assign(&mut self, later: Neighbours) {
        self.too_many |= later.too_many;
        self.heard.extend(later.heard);
        for (to, Reached { by, by_others }) in later.reached {
            self.reach(by, to);
            if by_others && let Some(reached) = self.reached.get_mut(&to) {
                reached.by_others = true;
            }
        }
        for (who, asked) in later.wanted {
            self.ask(who, asked);
        }
        self.bound();
    }
}

/// What a frame says about neighbours, if it is one of address resolution or of ICMP.
fn word_of(frame: Frame<'_>) -> Option<Word> {
    if frame.link_type == LinkType::ROW {
        return None;
    }
    let mut wrapped = link::strip(frame.link_type, frame.bytes).ok()?;
    let mut layers = Encapsulation::default();
    for _ in 0..DEPTH {
        let ip = match wrapped.ether_type {
            ether_type::ARP => return of_arp(wrapped.bytes),
            ether_type::IPV4 => network::ipv4(wrapped.bytes, 0).ok()?,
            ether_type::IPV6 => network::ipv6(wrapped.bytes, 0).ok()?,
            _ => {
                wrapped = tunnel::above_link(wrapped, &mut layers).ok()?;
                continue;
            }
        };
        if ip.fragment.is_some() {
            return None;
        }
        match ip.protocol {
            ip_number::ICMP => {
                return Some(Word { from: ip.source, wanted: None, to: Some(ip.destination) });
            }
            ip_number::IPV6_ICMP => return Some(of_icmp_v6(&ip)),
            _ => wrapped = tunnel::above_ip(&ip, &mut layers).ok()??,
        }
    }
    None
}

/// RFC 826, for IPv4 over links with addresses of six bytes.
fn of_arp(bytes: &[u8]) -> Option<Word> {
    let [_, _, 0x08, 0, 6, 4, 0, operation, rest @ ..] = bytes else { return None };
    let (_, rest) = rest.split_first_chunk::<6>()?;
    let (sender, rest) = rest.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<6>()?;
    let from = IpAddr::from(Ipv4Addr::from(*sender));
    let target = IpAddr::from(Ipv4Addr::from(*rest.first_chunk::<4>()?));
    match operation {
        1 => Some(Word { from, wanted: Some(target), to: None }),
        2 => Some(Word { from, wanted: None, to: Some(target) }),
        _ => None,
    }
}

/// RFC 4861 4.3 and 4.4: type, code, checksum and four bytes more, then the target.
fn of_icmp_v6(ip: &Ip<'_>) -> Word {
    let target = || {
        let (_, rest) = ip.payload.split_first_chunk::<8>()?;
        Some(IpAddr::from(Ipv6Addr::from(*rest.first_chunk::<16>()?)))
    };
    let to = Some(ip.destination);
    match ip.payload.first() {
        Some(135) => Word { from: ip.source, wanted: target(), to: None },
        // It may come from another address of the neighbour.
        Some(136) => Word { from: target().unwrap_or(ip.source), wanted: None, to },
        _ => Word { from: ip.source, wanted: None, to },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// An ARP packet in an Ethernet frame, laid out as in RFC 826.
    fn arp(number: u64, operation: u8, from: [u8; 4], target: [u8; 4]) -> (u64, Vec<u8>) {
        let link = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[0x08, 0x06]].concat();
        let head = [0, 1, 8, 0, 6, 4, 0, operation];
        (number, [&link[..], &head, &[2; 6], &from, &[0; 6], &target].concat())
    }

    /// A neighbour message in an Ethernet frame (RFC 4861 4.3, 4.4), hop limit 255.
    fn neighbour(number: u64, kind: u8, from: &str, to: &str, target: &str) -> (u64, Vec<u8>) {
        let octets = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        let link = [&[0x33; 6][..], &[2, 0, 0, 0, 0, 1], &[0x86, 0xdd]].concat();
        let header = [0x60, 0, 0, 0, 0, 24, 58, 255];
        let message = [kind, 0, 0, 0, 0, 0, 0, 0];
        (
            number,
            [&link[..], &header, &octets(from), &octets(to), &message, &octets(target)].concat(),
        )
    }

    /// What is known after these frames, one a second, taken in parts of this many.
    fn observed(frames: &[(u64, Vec<u8>)], part: usize) -> Neighbours {
        let mut all = Neighbours::default();
        for frames in frames.chunks(part) {
            let mut neighbours = Neighbours::default();
            for (number, bytes) in frames {
                let time = Timestamp::from_nanoseconds(i128::from(*number) * 1_000_000_000);
                let frame = Frame {
                    number: FrameNumber(*number),
                    time,
                    link_type: LinkType::ETHERNET,
                    bytes,
                    original_length: u32::try_from(bytes.len()).unwrap(),
                    note: None,
                };
                neighbours.observe(frame, Skipped::Arp);
            }
            all += neighbours;
        }
        all
    }

    fn see(neighbours: &mut Neighbours, from: &str, to: &str) {
        neighbours.see([(ip(from), ip(to))].into_iter());
    }

    fn end(second: i128) -> Option<Timestamp> {
        Timestamp::from_nanoseconds(second * 1_000_000_000)
    }

    const CAS: [u8; 4] = [10, 0, 0, 5];
    const DC: [u8; 4] = [10, 0, 0, 10];
    const ROUTER: [u8; 4] = [10, 0, 0, 1];
    const GONE: [u8; 4] = [10, 0, 0, 99];

    #[test]
    fn a_neighbour_that_nobody_hears_is_silent() {
        let frames = [
            arp(1, 1, CAS, DC),
            arp(2, 2, DC, CAS),
            arp(3, 1, CAS, GONE),
            arp(4, 1, CAS, GONE),
            arp(5, 1, CAS, ROUTER),
            arp(6, 2, ROUTER, CAS),
        ];
        let expected = NeighbourRecord {
            address: ip("10.0.0.99"),
            asked_by: ip("10.0.0.5"),
            asked: 2,
            first_frame: FrameNumber(3),
            last_frame: FrameNumber(4),
        };
        for part in [1, 2, 6] {
            let silent = observed(&frames, part).silent(end(6));
            assert_eq!(silent, std::slice::from_ref(&expected), "{part}");
        }
    }

    #[test]
    fn questions_whose_answers_the_capture_would_not_show_prove_nothing() {
        // Everybody hears the router ask; its answers go to it alone. What is captured to it comes
        // from one host, and that may be the one that captures.
        let mut overheard = observed(&[arp(1, 1, ROUTER, GONE), arp(9, 1, ROUTER, GONE)], 8);
        see(&mut overheard, "10.0.0.5", "10.0.0.1");
        assert_eq!(overheard.silent(end(20)), []);
        see(&mut overheard, "10.0.0.10", "10.0.0.1");
        assert_eq!(overheard.silent(end(20)).len(), 1);
    }

    #[test]
    fn whoever_sends_anything_is_there() {
        let mut neighbours = observed(&[arp(1, 1, CAS, GONE), arp(2, 1, CAS, GONE)], 8);
        see(&mut neighbours, "10.0.0.10", "10.0.0.5");
        see(&mut neighbours, "10.0.0.1", "10.0.0.5");
        assert_eq!(neighbours.silent(end(9)).len(), 1);
        see(&mut neighbours, "10.0.0.99", "10.0.0.7");
        assert_eq!(neighbours.silent(end(9)), []);
    }

    #[test]
    fn one_question_at_the_end_of_a_capture_may_yet_be_answered() {
        let mut neighbours = observed(&[arp(5, 1, CAS, GONE)], 8);
        see(&mut neighbours, "10.0.0.10", "10.0.0.5");
        see(&mut neighbours, "10.0.0.1", "10.0.0.5");
        assert_eq!(neighbours.silent(end(5)), []);
        assert_eq!(neighbours.silent(end(6)).len(), 1);
    }

    #[test]
    fn nobody_is_to_answer_who_asks_for_its_own_address() {
        let frames = [arp(1, 1, [0; 4], GONE), arp(2, 1, [0; 4], GONE), arp(3, 1, CAS, CAS)];
        assert!(!observed(&frames, 8).has_questions());
        let probe = neighbour(1, 135, "::", "ff02::1:ff00:9", "fe80::9");
        assert!(!observed(&[probe], 8).has_questions());
    }

    #[test]
    fn neighbour_discovery_is_told_like_address_resolution() {
        let frames = [
            neighbour(1, 135, "fe80::5", "ff02::1:ff00:9", "fe80::9"),
            neighbour(2, 135, "fe80::5", "ff02::1:ff00:a", "fe80::a"),
            neighbour(3, 136, "fe80::a", "fe80::5", "fe80::a"),
            neighbour(4, 136, "fe80::1", "fe80::5", "fe80::1"),
        ];
        let silent = observed(&frames, 8).silent(end(4));
        assert_eq!(silent.len(), 1);
        assert_eq!((silent[0].address, silent[0].first_frame), (ip("fe80::9"), FrameNumber(1)));
    }

    #[test]
    fn cut_off_frames_say_nothing() {
        let (number, bytes) = arp(1, 1, CAS, GONE);
        for length in 0..bytes.len() {
            let frames = [(number, bytes[..length].to_vec())];
            assert!(!observed(&frames, 8).has_questions(), "{length}");
        }
        let (number, bytes) = neighbour(1, 135, "fe80::5", "ff02::1:ff00:9", "fe80::9");
        for length in 0..bytes.len() {
            let frames = [(number, bytes[..length].to_vec())];
            assert!(!observed(&frames, 8).has_questions(), "{length}");
        }
    }

    #[test]
    fn more_addresses_than_are_kept_prove_nothing() {
        let mut neighbours = observed(&[arp(1, 1, CAS, GONE), arp(2, 1, CAS, GONE)], 8);
        see(&mut neighbours, "10.0.0.10", "10.0.0.5");
        see(&mut neighbours, "10.0.0.1", "10.0.0.5");
        assert_eq!(neighbours.silent(end(9)).len(), 1);
        let flood: Vec<(u64, Vec<u8>)> = (0..=u32::try_from(MOST).unwrap())
            .map(|address| arp(3, 2, Ipv4Addr::from(0x0b00_0000 + address).octets(), CAS))
            .collect();
        neighbours += observed(&flood, 1_000);
        assert_eq!(neighbours.silent(end(9)), []);
    }
}
