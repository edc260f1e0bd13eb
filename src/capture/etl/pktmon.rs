//! Packets of `pktmon`: events of Microsoft-Windows-PktMon.
//!
//! The monitor sees a packet at every component that it passes, up to thirteen times. Two numbers
//! tell which sightings are of one packet; each packet becomes one frame: the sighting nearest to
//! the network card that is Ethernet, else the nearest of any kind. Its time is that of the
//! sighting nearest to the card. A sighting that says that the packet was dropped is none of its
//! own either, and gives the frame its note. That a packet took microseconds from component to
//! component says nothing of the network.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io;

use foldhash::fast::FixedState;

use crate::capture::LinkType;
use crate::capture::byte_order::ByteOrder;
use crate::capture::etl::drops::{self, Direction, Notes};
use crate::capture::etl::metadata::{Layout, Metadata, Place as FieldPlace};
use crate::capture::etl::packets::{self, Origin, Packet, Place};
use crate::capture::etl::record::{Event, Guid, text};
use crate::capture::etl::spool::Spool;

/// Microsoft-Windows-PktMon.
pub(super) const PROVIDER: Guid =
    Guid::of(0x4d4f_80d9, 0xc8bd, 0x4d73, [0xbb, 0x5b, 0x19, 0xc9, 0x04, 0x02, 0xc5, 0xac]);

pub(super) const PACKET: u16 = 160;
const DROP: u16 = 170;
const COMPONENT: u16 = 20;
const DROP_COUNTERS: u16 = 80;
const FILTER_V4: u16 = 100;
const FILTER_V6: u16 = 110;

/// Components and filters that are kept: a machine has tens of them.
const MOST_KEPT: usize = 1 << 12;

/// Where the fields of a packet's event stand. They may differ between builds of Windows, so the
/// trace's own layout goes before the one known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    group: FieldPlace,
    number: FieldPlace,
    appearance: FieldPlace,
    direction: FieldPlace,
    kind: FieldPlace,
    component: FieldPlace,
    reason: FieldPlace,
    original: FieldPlace,
    logged: FieldPlace,
    payload: usize,
}

impl Fields {
    /// As builds 19041 to 20348 have them.
    pub(super) const KNOWN: Fields = Fields {
        group: FieldPlace::of(0, 8),
        number: FieldPlace::of(8, 2),
        appearance: FieldPlace::of(10, 2),
        direction: FieldPlace::of(12, 2),
        kind: FieldPlace::of(14, 2),
        component: FieldPlace::of(16, 2),
        reason: FieldPlace::of(22, 4),
        original: FieldPlace::of(30, 2),
        logged: FieldPlace::of(32, 2),
        payload: 34,
    };

    /// As a trace itself says; `None` where something is missing.
    pub(super) fn of(layout: &Layout) -> Option<Fields> {
        let (payload, logged) = layout.told("Payload")?;
        Some(Fields {
            group: layout.place("PktGroupId")?,
            number: layout.place("PktNumber")?,
            appearance: layout.place("AppearanceCount")?,
            direction: layout.place("DirTag")?,
            kind: layout.place("PacketType")?,
            component: layout.place("ComponentId")?,
            reason: layout.place("DropReason")?,
            original: layout.place("OriginalPayloadSize")?,
            logged,
            payload,
        })
    }

    fn sighting<'a>(&self, data: &'a [u8], is_drop: bool) -> Option<Sighting<'a>> {
        let short = |place: FieldPlace| u16::try_from(place.number(data)?).ok();
        let logged = usize::try_from(self.logged.number(data)?).ok()?;
        let rest = data.get(self.payload..)?;
        let bytes = rest.get(..logged).unwrap_or(rest);
        let reason = u32::try_from(self.reason.number(data)?).ok()?;
        let component = short(self.component)?;
        let direction = match short(self.direction)? {
            1 | 3 | 5 => Direction::Arriving,
            2 | 4 | 6 => Direction::Leaving,
            _ => Direction::Unknown,
        };
        Some(Sighting {
            group: self.group.number(data)?,
            number: short(self.number)?,
            appearance: short(self.appearance)?,
            direction,
            component,
            link_type: link_type(short(self.kind)?, bytes),
            drop: (is_drop || reason != 0).then_some(Drop { direction, reason, component }),
            original: u32::try_from(self.original.number(data)?).ok()?,
            bytes,
        })
    }
}

/// What bytes are whose event calls them of this kind.
fn link_type(kind: u16, bytes: &[u8]) -> Option<LinkType> {
    const UNKNOWN: u16 = 0;
    const ETHERNET: u16 = 1;
    const WIRELESS: u16 = 2;
    const IP: u16 = 3;
    match kind {
        ETHERNET => Some(LinkType::ETHERNET),
        // The kind is that of the medium; further up the bytes are Ethernet already.
        UNKNOWN | WIRELESS | IP if packets::looks_like_ethernet(bytes) => Some(LinkType::ETHERNET),
        WIRELESS => Some(packets::WIRELESS),
        UNKNOWN | IP if packets::looks_like_ip(bytes) => Some(LinkType::RAW),
        // A TCP segment, say, without what is below it.
        _ => None,
    }
}

/// A packet at one component.
struct Sighting<'a> {
    group: u64,
    number: u16,
    /// 1, 2, 3 … on the packet's way through the machine.
    appearance: u16,
    direction: Direction,
    component: u16,
    link_type: Option<LinkType>,
    drop: Option<Drop>,
    original: u32,
    bytes: &'a [u8],
}

impl Sighting<'_> {
    /// The greater, the nearer to the network card.
    fn nearness(&self) -> u16 {
        match self.direction {
            // Drops are not counted as appearances.
            _ if self.drop.is_some() || self.appearance == 0 => 0,
            Direction::Leaving => self.appearance,
            Direction::Arriving | Direction::Unknown => u16::MAX - self.appearance,
        }
    }
}

/// The better, the more of the packet can be read.
fn rank(link_type: Option<LinkType>) -> u8 {
    match link_type {
        Some(LinkType::ETHERNET) => 3,
        Some(packets::WIRELESS) => 2,
        Some(_) => 1,
        None => 0,
    }
}

/// That a packet was dropped.
#[derive(Clone, Copy, Debug)]
struct Drop {
    direction: Direction,
    reason: u32,
    component: u16,
}

/// A packet, as far as its sightings came.
struct Group {
    stamp: i64,
    /// Nearness of the sighting that gave the stamp, and that gave the bytes.
    stamp_nearness: u16,
    bytes_nearness: u16,
    /// The component of the sighting nearest to the card.
    component: u16,
    link_type: Option<LinkType>,
    place: Place,
    captured: u32,
    original: u32,
    drop: Option<Drop>,
}

/// A component: a driver, or a layer of one.
#[derive(Debug)]
struct Component {
    driver: String,
    description: String,
}

/// Gathers the sightings of each packet.
pub(super) struct Pktmon {
    pub(super) fields: Fields,
    groups: Vec<Group>,
    known: HashMap<(u64, u16), usize, FixedState>,
    components: BTreeMap<u16, Component>,
    /// The filters that were set, in words.
    pub(super) filters: Vec<String>,
    /// Packets of the drop counters.
    pub(super) counted_drops: u64,
    /// Events of drops.
    pub(super) drops: u64,
    /// Events that could not be read.
    pub(super) unread: u64,
    /// Packets of which less was kept than there was.
    pub(super) truncated: u64,
    /// Packets that hold no header that could be read.
    pub(super) headless: u64,
    /// Packets by what the component nearest to the card is called.
    pub(super) cards: BTreeMap<String, u64>,
}

impl Pktmon {
    /// A trace whose packets' events have these fields.
    pub(super) fn new(fields: Fields) -> Pktmon {
        Pktmon {
            fields,
            groups: Vec::new(),
            known: HashMap::default(),
            components: BTreeMap::new(),
            filters: Vec::new(),
            counted_drops: 0,
            drops: 0,
            unread: 0,
            truncated: 0,
            headless: 0,
            cards: BTreeMap::new(),
        }
    }

    /// Takes an event into account.
    pub(super) fn observe(
        &mut self,
        event: &Event<'_>,
        stamp: i64,
        origin: Origin,
        spool: &mut Spool,
    ) -> io::Result<()> {
        let data = event.data;
        // What makes no sense in the description of the machine is left out.
        let _ = match event.id {
            PACKET | DROP => {
                if let Some(sighting) = self.fields.sighting(data, event.id == DROP) {
                    let at = event.offset + self.fields.payload;
                    return self.see(&sighting, stamp, (origin, at), spool);
                }
                self.unread += 1;
                None
            }
            COMPONENT => self.component(data),
            DROP_COUNTERS => self.counters(data),
            FILTER_V4 => self.filter(data, 4),
            FILTER_V6 => self.filter(data, 16),
            _ => None,
        };
        Ok(())
    }

    fn see(
        &mut self,
        sighting: &Sighting<'_>,
        stamp: i64,
        (origin, at): (Origin, usize),
        spool: &mut Spool,
    ) -> io::Result<()> {
        self.drops += u64::from(sighting.drop.is_some());
        let nearness = sighting.nearness();
        let captured = packets::length(sighting.bytes.len());
        let key = (sighting.group, sighting.number);
        let known = self.known.get(&key).and_then(|index| self.groups.get_mut(*index));
        let Some(group) = known else {
            // Packets without numbers are each its own.
            if key != (0, 0) {
                self.known.insert(key, self.groups.len());
            }
            self.groups.push(Group {
                stamp,
                stamp_nearness: nearness,
                bytes_nearness: nearness,
                component: sighting.component,
                link_type: sighting.link_type,
                place: origin.keep(at, sighting.bytes, spool)?,
                captured,
                original: sighting.original.max(captured),
                drop: sighting.drop,
            });
            return Ok(());
        };
        group.drop = group.drop.or(sighting.drop);
        if nearness > group.stamp_nearness {
            group.stamp = stamp;
            group.stamp_nearness = nearness;
            group.component = sighting.component;
        }
        let better = (rank(sighting.link_type), nearness);
        if better > (rank(group.link_type), group.bytes_nearness) {
            let old = (group.place, group.captured as usize);
            group.place = origin.replace(old, at, sighting.bytes, spool)?;
            group.bytes_nearness = nearness;
            group.link_type = sighting.link_type;
            group.captured = captured;
            group.original = sighting.original.max(captured);
        }
        Ok(())
    }

    /// Id, type, driver, description.
    fn component(&mut self, data: &[u8]) -> Option<()> {
        let id = ByteOrder::Little.u16(data, 0)?;
        let (driver, next) = text(data, 4)?;
        let (description, _) = text(data, next).unwrap_or_default();
        if self.components.len() < MOST_KEPT {
            self.components.insert(id, Component { driver, description });
        }
        Some(())
    }

    /// Component, then for each way its tag, packets and bytes: what it dropped since the monitor
    /// was started.
    fn counters(&mut self, data: &[u8]) -> Option<()> {
        let order = ByteOrder::Little;
        let dropped = order.u64(data, 4)?.saturating_add(order.u64(data, 22)?);
        self.counted_drops = self.counted_drops.saturating_add(dropped);
        Some(())
    }

    /// Id, name, two MAC addresses, `EtherType`, VLAN, two IP addresses, protocol, two ports.
    fn filter(&mut self, data: &[u8], width: usize) -> Option<()> {
        let order = ByteOrder::Little;
        let (name, at) = text(data, 2)?;
        let mut words = Vec::new();
        for mac in [data.get(at..at + 6)?, data.get(at + 6..at + 12)?] {
            if mac.iter().any(|byte| *byte != 0) {
                let bytes: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
                words.push(bytes.join("-"));
            }
        }
        for (what, number) in
            [("EtherType", order.u16(data, at + 12)?), ("vlan", order.u16(data, at + 14)?)]
        {
            if number != 0 {
                words.push(format!("{what} {number:#x}"));
            }
        }
        for address in [at + 16, at + 16 + width] {
            let bytes = data.get(address..address + width)?;
            if bytes.iter().any(|byte| *byte != 0) {
                words.push(ip_address(bytes)?);
            }
        }
        let end = at + 16 + 2 * width;
        match *data.get(end)? {
            0 => {}
            6 => words.push("TCP".to_owned()),
            17 => words.push("UDP".to_owned()),
            other => words.push(format!("protocol {other}")),
        }
        for port in [order.u16(data, end + 1)?, order.u16(data, end + 3)?] {
            if port != 0 {
                words.push(format!("port {port}"));
            }
        }
        if words.is_empty() {
            words.push(format!("\"{name}\""));
        }
        if self.filters.len() < MOST_KEPT {
            self.filters.push(words.join(" "));
        }
        Some(())
    }

    /// Whether no packet came so far.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// A component in words: "TCPIP (tcpip.sys)".
    fn name_of(&self, component: u16) -> String {
        match self.components.get(&component) {
            Some(Component { driver, description }) if description.is_empty() => driver.clone(),
            Some(Component { driver, description }) => format!("{description} ({driver})"),
            None => format!("component {component}"),
        }
    }

    /// The packets, each once, in no order.
    pub(super) fn finish(
        &mut self,
        metadata: &Metadata,
        build: u32,
        notes: &mut Notes,
    ) -> Vec<Packet> {
        let mut packets = Vec::new();
        for group in std::mem::take(&mut self.groups) {
            let Some(link_type) = group.link_type else {
                self.headless += 1;
                continue;
            };
            self.truncated += u64::from(group.captured < group.original);
            let card = self.name_of(group.component);
            *self.cards.entry(card).or_default() += 1;
            let note = group.drop.map(|drop| {
                let label = metadata.name_of(PROVIDER, "DropReason", drop.reason);
                let reason = drops::reason(drop.reason, label, build);
                notes.note(drops::note(drop.direction, &reason, &self.name_of(drop.component)))
            });
            packets.push(Packet {
                stamp: group.stamp,
                place: group.place,
                captured: group.captured,
                original: group.original,
                link_type,
                note,
            });
        }
        packets
    }
}

fn ip_address(bytes: &[u8]) -> Option<String> {
    let v4 = || bytes.first_chunk::<4>().map(|bytes| std::net::Ipv4Addr::from(*bytes).to_string());
    let v6 = || bytes.first_chunk::<16>().map(|bytes| std::net::Ipv6Addr::from(*bytes).to_string());
    v6().or_else(v4)
}
