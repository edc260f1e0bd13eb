//! Sightings of packets, from events as Windows writes them.

use super::*;
use crate::capture::etl::metadata::tests::layout;
use proptest::prelude::*;

const MANIFEST: Guid =
    Guid::of(0xbbcc_f6c1, 0x6cd1, 0x48c4, [0x80, 0xff, 0x83, 0x94, 0x82, 0xe3, 0x76, 0x71]);
const GUID: [u8; 16] = [
    0xd9, 0x80, 0x4f, 0x4d, 0xbd, 0xc8, 0x73, 0x4d, 0xbb, 0x5b, 0x19, 0xc9, 0x04, 0x02, 0xc5, 0xac,
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
