//! Packets of `pktmon`: events of Microsoft-Windows-PktMon.
//!
//! The monitor sees a packet at every component that it passes, up to thirteen times. Two numbers
//! tell which sightings are of one packet; each packet becomes one frame: the sighting nearest to
//! the network card that is Ethernet, else the nearest of any kind. Its time is that of the
//! sighting nearest to the card. A sighting that says that the packet was dropped is none of its
//! own either, and gives the frame its note. That a packet took microseconds from component to
//! component says nothing of the network.

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

/// Where the fields of a packet's event stand. They differ between builds of Windows, so the trace's
/// own layout goes before the one known here.
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
            PACKET | DROP => match self.fields.sighting(data, event.id == DROP) {
                Some(sighting) => {
                    let at = event.offset + self.fields.payload;
                    return self.see(&sighting, stamp, (origin, at), spool);
                }
                None => {
                    self.unread += 1;
                    None
                }
            },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::etl::metadata::tests::layout;
    use proptest::prelude::*;

    const MANIFEST: Guid =
        Guid::of(0xbbcc_f6c1, 0x6cd1, 0x48c4, [0x80, 0xff, 0x83, 0x94, 0x82, 0xe3, 0x76, 0x71]);
    const GUID: [u8; 16] = [
        0xd9, 0x80, 0x4f, 0x4d, 0xbd, 0xc8, 0x73, 0x4d, 0xbb, 0x5b, 0x19, 0xc9, 0x04, 0x02, 0xc5,
        0xac,
    ];
    const RX: u16 = 3;
    const TX: u16 = 4;

    fn ethernet(mark: u8) -> Vec<u8> {
        let mut bytes = vec![mark; 60];
        bytes[12..15].copy_from_slice(&[8, 0, 0x45]);
        bytes
    }

    fn wireless(mark: u8) -> Vec<u8> {
        let mut bytes = vec![0x08, 0x62];
        bytes.resize(80, mark);
        bytes
    }

    /// Data of an event: group and number, appearance, direction, kind, component, reason, bytes.
    fn sighting(
        (group, number): (u64, u16),
        appearance: u16,
        (direction, kind): (u16, u16),
        component: u16,
        reason: u32,
        bytes: &[u8],
    ) -> Vec<u8> {
        let mut data = group.to_le_bytes().to_vec();
        for short in [number, appearance, direction, kind, component, 1, 0] {
            data.extend(short.to_le_bytes());
        }
        data.extend(reason.to_le_bytes());
        data.extend(0xe000_4138_u32.to_le_bytes());
        let length = u16::try_from(bytes.len()).unwrap();
        data.extend(length.to_le_bytes());
        data.extend(length.to_le_bytes());
        data.extend(bytes);
        data
    }

    struct Trial {
        pktmon: Pktmon,
        spool: Spool,
    }

    impl Trial {
        fn new() -> Trial {
            Trial { pktmon: Pktmon::new(Fields::KNOWN), spool: Spool::new() }
        }

        fn event(&mut self, id: u16, stamp: i64, data: &[u8]) {
            let event = Event {
                provider: PROVIDER,
                id,
                version: 0,
                keyword: 0x10,
                process: 4,
                thread: 8,
                data,
                offset: 0,
            };
            let origin = Origin { records_at: None, processor: 0 };
            self.pktmon.observe(&event, stamp, origin, &mut self.spool).unwrap();
        }

        /// Stamp, link type and bytes of the packets, and their notes.
        fn packets(&mut self) -> Vec<(i64, LinkType, Vec<u8>, Option<String>)> {
            let mut notes = Notes::default();
            let packets = self.pktmon.finish(&Metadata::default(), 20_348, &mut notes);
            let words = notes.into_words();
            packets
                .iter()
                .map(|packet| {
                    let Place::Spool(place) = packet.place else { panic!("not in the spool") };
                    let mut bytes = vec![0; packet.captured as usize];
                    self.spool.read(place, &mut bytes).unwrap();
                    let note = packet.note.map(|note| words[note.index()].clone());
                    (packet.stamp, packet.link_type, bytes, note)
                })
                .collect()
        }
    }

    #[test]
    fn of_many_sightings_the_ethernet_one_nearest_to_the_card_is_the_frame() {
        let mut trial = Trial::new();
        // Received: the first is nearest, and 802.11; the second and third are Ethernet.
        for (stamp, appearance, kind, bytes) in
            [(12, 3, 1, ethernet(3)), (10, 1, 2, wireless(1)), (11, 2, 2, ethernet(2))]
        {
            trial.event(PACKET, stamp, &sighting((7, 1), appearance, (RX, kind), 5, 0, &bytes));
        }
        // Sent: the last is nearest.
        for (stamp, appearance) in [(20, 1), (21, 2), (22, 3)] {
            let bytes = ethernet(u8::try_from(appearance).unwrap());
            trial.event(PACKET, stamp, &sighting((8, 1), appearance, (TX, 1), 6, 0, &bytes));
        }
        // Another packet of the first group, only as 802.11.
        trial.event(PACKET, 30, &sighting((7, 2), 1, (RX, 2), 5, 0, &wireless(9)));
        assert_eq!(
            trial.packets(),
            [
                (10, LinkType::ETHERNET, ethernet(2), None),
                (22, LinkType::ETHERNET, ethernet(3), None),
                (30, packets::WIRELESS, wireless(9), None),
            ]
        );
    }

    #[test]
    fn a_drop_is_no_packet_of_its_own_and_says_why_and_where() {
        let mut trial = Trial::new();
        let utf16 = |text: &str| -> Vec<u8> {
            text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
        };
        let ip = ethernet(1)[14..].to_vec();
        trial.event(PACKET, 1, &sighting((7, 1), 1, (RX, 1), 5, 0, &ethernet(1)));
        trial.event(DROP, 2, &sighting((7, 1), 0, (RX, 3), 65, 909, &ip));
        // A trace of drops only.
        trial.event(DROP, 3, &sighting((8, 1), 0, (TX, 3), 99, 1204, &ip));
        let component = [&[65, 0, 4, 0], &utf16("tcpip.sys")[..], &utf16("TCPIP")].concat();
        trial.event(COMPONENT, 4, &component);
        let found = trial.packets();
        assert_eq!((found.len(), trial.pktmon.drops), (2, 2));
        assert_eq!((found[0].1, &found[0].2), (LinkType::ETHERNET, &ethernet(1)));
        assert_eq!(
            found[0].3.as_deref().unwrap(),
            "dropped by the capturing machine on arrival: NL_InspectionDrop (taken out by \
             inspection: Windows Firewall or another filter driver), at TCPIP (tcpip.sys)"
        );
        assert_eq!(found[1].1, LinkType::RAW);
        assert!(found[1].3.as_deref().unwrap().ends_with("belongs to), at component 99"));
    }

    #[test]
    fn what_has_no_header_of_a_link_or_ip_is_counted_and_no_frame() {
        let mut trial = Trial::new();
        trial.event(PACKET, 1, &sighting((7, 1), 1, (RX, 5), 5, 0, b"a segment"));
        trial.event(PACKET, 1, b"short");
        assert!(trial.packets().is_empty());
        assert_eq!((trial.pktmon.headless, trial.pktmon.unread), (1, 1));
    }

    #[test]
    fn filters_are_told_in_words() {
        let mut data = vec![1, 0];
        data.extend("web\0".encode_utf16().flat_map(u16::to_le_bytes));
        data.extend([0; 16]);
        data.extend([10, 0, 0, 5, 0, 0, 0, 0, 6]);
        data.extend(443_u16.to_le_bytes());
        data.extend([0, 0, 0]);
        let mut trial = Trial::new();
        trial.event(FILTER_V4, 1, &data);
        assert_eq!(trial.pktmon.filters, ["10.0.0.5 TCP port 443"]);
    }

    /// The fields of a packet's event in a trace's own layout.
    fn layout_with(more: &[(&str, u32, u16, u16, u16)]) -> Fields {
        let mut fields = vec![
            ("PktGroupId", 0, 10, 1, 8),
            ("PktNumber", 0, 6, 1, 2),
            ("AppearanceCount", 0, 6, 1, 2),
            ("DirTag", 0, 6, 1, 2),
            ("PacketType", 0, 6, 1, 2),
            ("ComponentId", 0, 6, 1, 2),
            ("EdgeId", 0, 6, 1, 2),
            ("FilterId", 0, 6, 1, 2),
            ("DropReason", 0, 8, 1, 4),
            ("DropLocation", 0, 8, 1, 4),
            ("OriginalPayloadSize", 0, 6, 1, 2),
            ("LoggedPayloadSize", 0, 6, 1, 2),
        ];
        fields.splice(10..10, more.iter().copied());
        let logged = u16::try_from(fields.len() - 1).unwrap();
        fields.push(("Payload", 2, 14, 1, logged));
        let mut metadata = Metadata::default();
        metadata.observe(MANIFEST, 32, &layout(&GUID, 160, &fields));
        Fields::of(metadata.layout(PROVIDER, PACKET, 0).unwrap()).unwrap()
    }

    #[test]
    fn the_layout_in_the_trace_goes_before_the_one_known_here() {
        assert_eq!(layout_with(&[]), Fields::KNOWN);
        let moved = layout_with(&[("Something", 0, 8, 1, 4)]);
        assert_eq!((moved.payload, moved.logged), (38, FieldPlace::of(36, 2)));
    }

    proptest! {
        #[test]
        fn hostile_data_is_survived(
            events in prop::collection::vec(
                (
                    prop::sample::select(vec![
                        PACKET, DROP, COMPONENT, DROP_COUNTERS, FILTER_V4, FILTER_V6,
                    ]),
                    prop::collection::vec(prop_oneof![3 => 0_u8..8, 1 => any::<u8>()], 0..90),
                ),
                0..20,
            ),
        ) {
            let mut trial = Trial::new();
            for (stamp, (id, data)) in (0..).zip(&events) {
                trial.event(*id, stamp, data);
            }
            prop_assert!(trial.packets().len() <= events.len());
        }
    }
}
