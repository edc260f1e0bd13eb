//! Frames that hold no packet of a flow, counted by what they hold.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use crate::capture::{Frame, LinkType};
use crate::net::FrameNumber;
use crate::packet::neighbours::Neighbours;

/// Why a frame holds no packet of a flow. The `Display` text is what reports count it under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skipped {
    /// Address resolution, RFC 826.
    Arp,
    /// An ICMP message that is no error about a TCP or UDP packet.
    Icmp,
    /// A piece of an IP packet, which only a [`FragmentTable`](crate::packet::FragmentTable) can
    /// make something of.
    Fragment,
    /// A fragment after the first, of a packet that was counted whole with its first: in a tunnel,
    /// or of 802.11.
    LaterFragment,
    /// A fragment that came before the one with the ports, and whose bytes were counted with it.
    EarlyFragment,
    /// A fragment of a packet of which the part with the ports was not captured.
    HeadlessFragment,
    /// A fragment whose packet was forgotten, because too many others were in pieces.
    FragmentGivenUp,
    /// A protocol above IP other than TCP, UDP and ICMP.
    IpProtocol(u8),
    /// A protocol above the link other than IP and ARP.
    EtherType(u16),
    /// An 802.3 frame with an LLC header, as of spanning tree.
    Llc,
    /// Packets wrapped in a tunnel that is not opened.
    Tunnel(&'static str),
    /// What is inside is encrypted, or compressed with a state that only its ends have.
    Encrypted(&'static str),
    /// By what a link runs itself: beacons of a radio network, negotiation of PPP.
    LinkControl(&'static str),
    /// A protocol above PPP other than IP.
    PppProtocol(u16),
    /// A link type that is not decoded.
    LinkType(LinkType),
    /// A record of the capturing program without traffic.
    NoTraffic(LinkType),
    /// The headers of this layer are cut off or contradict themselves.
    Broken(&'static str),
    /// The snap length cut off the ports.
    PortsCut,
    /// A row of text that tells a protocol, and neither its ports nor enough to find them.
    RowWithoutPorts,
    /// An ICMP error about a flow of which no packet was captured before it.
    QuotedOnly,
    /// Outside the time asked for.
    OutsideTime,
}

impl fmt::Display for Skipped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skipped::Arp => out.write_str("ARP"),
            Skipped::Icmp => out.write_str("ICMP that is no error about TCP or UDP"),
            Skipped::Fragment => out.write_str("fragments of IP packets"),
            Skipped::LaterFragment => out.write_str("later fragments, counted with their first"),
            Skipped::EarlyFragment => {
                out.write_str("fragments captured before their header was whole, counted with it")
            }
            Skipped::HeadlessFragment => {
                out.write_str("fragments of packets whose ports were not captured")
            }
            Skipped::FragmentGivenUp => {
                out.write_str("fragments given up, because too many packets were in pieces")
            }
            Skipped::IpProtocol(number) => match ip_protocol_name(*number) {
                Some(name) => write!(out, "{name} (IP protocol {number})"),
                None => write!(out, "IP protocol {number}"),
            },
            Skipped::EtherType(number) => match ether_type_name(*number) {
                Some(name) => write!(out, "{name} (EtherType {number:#06x})"),
                None => write!(out, "EtherType {number:#06x}"),
            },
            Skipped::Llc => out.write_str("802.3 with LLC"),
            Skipped::Tunnel(name) => write!(out, "{name} tunnel, not opened"),
            Skipped::Encrypted(layer) => write!(out, "encrypted or compressed: {layer}"),
            Skipped::LinkControl(link) => write!(out, "link control: {link}"),
            Skipped::PppProtocol(number) => write!(out, "PPP protocol {number:#06x}"),
            Skipped::LinkType(link_type) => write!(out, "link type not decoded: {link_type}"),
            Skipped::NoTraffic(link_type) => write!(out, "no traffic: {link_type}"),
            Skipped::Broken(layer) => write!(out, "broken or cut off: {layer} header"),
            Skipped::PortsCut => out.write_str("ports cut off by the snap length"),
            Skipped::RowWithoutPorts => out.write_str("rows that tell no ports"),
            Skipped::QuotedOnly => out.write_str("ICMP errors about flows not captured"),
            Skipped::OutsideTime => out.write_str("outside --since and --until"),
        }
    }
}

/// Names of the protocols met most, from the registry of assigned IP protocol numbers.
fn ip_protocol_name(number: u8) -> Option<&'static str> {
    Some(match number {
        2 => "IGMP",
        50 => "ESP",
        51 => "AH",
        59 => "no next header",
        88 => "EIGRP",
        89 => "OSPF",
        103 => "PIM",
        112 => "VRRP",
        115 => "L2TPv3",
        132 => "SCTP",
        _ => return None,
    })
}

/// Names of the protocols met most, from the registry of IEEE 802 numbers.
fn ether_type_name(number: u16) -> Option<&'static str> {
    Some(match number {
        0x2000 => "CDP",
        0x2001 => "NHRP",
        0x8035 => "RARP or SLARP",
        0x88cc => "LLDP",
        0x888e => "802.1X",
        0x8863 => "PPPoE discovery",
        0x88e5 => "MACsec",
        0x9000 => "loopback test",
        _ => return None,
    })
}

/// How often each reason occurred, and where first. Tallies of parts of a capture add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkippedTally {
    counts: BTreeMap<Skipped, (u64, FrameNumber)>,
    /// What those of address resolution and neighbour discovery say.
    pub neighbours: Neighbours,
}

impl SkippedTally {
    /// Counts a frame, and hears what it says about neighbours.
    pub fn observe(&mut self, skipped: Skipped, frame: Frame<'_>) {
        self.count(skipped, frame.number);
        self.neighbours.observe(frame, skipped);
    }

    /// Counts one frame.
    pub fn count(&mut self, skipped: Skipped, frame: FrameNumber) {
        self.add(skipped, 1, frame);
    }

    /// Counts several frames.
    pub(super) fn add(&mut self, skipped: Skipped, count: u64, frame: FrameNumber) {
        let entry = self.counts.entry(skipped).or_insert((0, frame));
        entry.0 += count;
        entry.1 = entry.1.min(frame);
    }

    /// Reason, count and first frame, by first frame.
    pub fn rows(&self) -> Vec<(Skipped, u64, FrameNumber)> {
        let mut rows: Vec<_> =
            self.counts.iter().map(|(&skipped, &(count, first))| (skipped, count, first)).collect();
        rows.sort_by_key(|&(skipped, _, first)| (first, skipped));
        rows
    }
}

impl AddAssign for SkippedTally {
    fn add_assign(&mut self, other: SkippedTally) {
        for (skipped, (count, first)) in other.counts {
            self.add(skipped, count, first);
        }
        self.neighbours += other.neighbours;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_of_parts_add_up_to_the_tally_of_the_whole() {
        let rows = [(Skipped::Arp, 3), (Skipped::Icmp, 1), (Skipped::Arp, 2), (Skipped::Llc, 9)];
        let tally_of = |rows: &[(Skipped, u64)]| {
            let mut tally = SkippedTally::default();
            for &(skipped, frame) in rows {
                tally.count(skipped, FrameNumber(frame));
            }
            tally
        };
        let whole = tally_of(&rows);
        for at in 0..=rows.len() {
            let (left, right) = rows.split_at(at);
            let mut sum = tally_of(right);
            sum += tally_of(left);
            assert_eq!(sum, whole);
        }
        assert_eq!(
            whole.rows(),
            [
                (Skipped::Icmp, 1, FrameNumber(1)),
                (Skipped::Arp, 2, FrameNumber(2)),
                (Skipped::Llc, 1, FrameNumber(9)),
            ]
        );
    }
}
