//! What a trace tells of its own events: their layouts, the names of numbers, the providers, and
//! the interfaces of the machine.
//!
//! Windows writes it into a trace when it merges or rewrites it (`netsh trace stop`, `pktmon
//! stop`); `logman` does not. What is not there, the readers of events know by heart.

use std::collections::BTreeMap;

use crate::capture::byte_order::ByteOrder;
use crate::capture::etl::record::{Guid, text};

/// Layouts of events and names of numbers: one `TRACE_EVENT_INFO` or `EVENT_MAP_INFO` a record.
const MANIFEST: Guid =
    Guid::of(0xbbcc_f6c1, 0x6cd1, 0x48c4, [0x80, 0xff, 0x83, 0x94, 0x82, 0xe3, 0x76, 0x71]);
/// The machine: its interfaces among other things.
const SYSTEM: Guid =
    Guid::of(0x9b79_ee91, 0xb5fd, 0x41c0, [0xa2, 0x43, 0x42, 0x48, 0xe2, 0x66, 0xe9, 0xd0]);

const LAYOUT: u8 = 32;
const NAMES_OF_NUMBERS: u8 = 33;
const INTERFACE: u8 = 36;

/// Fields of an event that are read.
const MOST_FIELDS: usize = 1_024;
/// Numbers of a map that are read.
const MOST_NUMBERS: usize = 1 << 16;
/// Layouts, maps and interfaces that are kept: far more than Windows writes.
const MOST_KEPT: usize = 1 << 14;

/// How long a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// So many bytes, always.
    Fixed(usize),
    /// Text up to a zero.
    Text,
    /// As many bytes as the field with this index says.
    Told(usize),
    /// Something that is not read here.
    Unknown,
}

/// A field of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) length: Length,
}

/// A field that always stands at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    offset: usize,
    width: usize,
}

impl Place {
    /// So many bytes from `offset`.
    pub(super) const fn of(offset: usize, width: usize) -> Place {
        Place { offset, width }
    }

    /// The bytes of the field.
    pub(super) fn bytes(self, data: &[u8]) -> Option<&[u8]> {
        data.get(self.offset..)?.get(..self.width)
    }

    /// The number in the field.
    pub(super) fn number(self, data: &[u8]) -> Option<u64> {
        let bytes = self.bytes(data).filter(|bytes| bytes.len() <= 8)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// The fields of an event in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout(Vec<Field>);

impl Layout {
    /// Where a field of fixed length stands; `None` where there is none, or something before it
    /// has no fixed length.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        let (offset, field) = self.find(name)?;
        match field.length {
            Length::Fixed(width) => Some(Place { offset, width }),
            Length::Text | Length::Told(_) | Length::Unknown => None,
        }
    }

    /// Where a field begins whose length another one tells, and where that one stands.
    pub(super) fn told(&self, name: &str) -> Option<(usize, Place)> {
        let (offset, field) = self.find(name)?;
        let Length::Told(index) = field.length else { return None };
        Some((offset, self.place(&self.0.get(index)?.name)?))
    }

    fn find(&self, name: &str) -> Option<(usize, &Field)> {
        let mut offset = 0_usize;
        for field in &self.0 {
            if field.name == name {
                return Some((offset, field));
            }
            let Length::Fixed(width) = field.length else { return None };
            offset = offset.checked_add(width)?;
        }
        None
    }
}

/// An interface of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    /// As "Ethernet 2".
    pub(super) alias: String,
    /// What the driver calls itself.
    pub(super) description: String,
}

/// What a trace tells of its own events.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    layouts: BTreeMap<(Guid, u16, u8), Layout>,
    maps: BTreeMap<(Guid, String), BTreeMap<u32, String>>,
    providers: BTreeMap<Guid, String>,
    interfaces: BTreeMap<u32, Interface>,
}

impl Metadata {
    /// Takes a classic event into account; false where it is no metadata.
    pub(super) fn observe(&mut self, guid: Guid, opcode: u8, data: &[u8]) -> bool {
        // What makes no sense is left out.
        let _ = match (guid, opcode) {
            (MANIFEST, LAYOUT) => self.layout_of(data),
            (MANIFEST, NAMES_OF_NUMBERS) => self.map_of(data),
            (SYSTEM, INTERFACE) => self.interface_of(data),
            (MANIFEST | SYSTEM, _) => None,
            _ => return false,
        };
        true
    }

    /// The layout of an event.
    pub(super) fn layout(&self, provider: Guid, id: u16, version: u8) -> Option<&Layout> {
        self.layouts.get(&(provider, id, version))
    }

    /// The name of a number in a map.
    pub(super) fn name_of(&self, provider: Guid, map: &str, number: u32) -> Option<&str> {
        Some(self.maps.get(&(provider, map.to_owned()))?.get(&number)?.as_str())
    }

    /// The name of a provider.
    pub(super) fn provider(&self, provider: Guid) -> Option<&str> {
        self.providers.get(&provider).map(String::as_str)
    }

    /// The interface with this index.
    pub(super) fn interface(&self, index: u32) -> Option<&Interface> {
        self.interfaces.get(&index)
    }

    /// Names an interface that the machine's own list does not.
    pub(super) fn name_interface(&mut self, index: u32, name: String) {
        if self.interfaces.len() < MOST_KEPT {
            let interface = Interface { alias: name, description: String::new() };
            self.interfaces.entry(index).or_insert(interface);
        }
    }

    fn layout_of(&mut self, data: &[u8]) -> Option<()> {
        let order = ByteOrder::Little;
        let provider = Guid::at(data, 0)?;
        let (id, version) = (order.u16(data, 32)?, *data.get(34)?);
        if self.layouts.len() >= MOST_KEPT {
            return None;
        }
        if let Some((name, _)) = text(data, offset(data, 52)?).filter(|(name, _)| !name.is_empty())
        {
            self.providers.insert(provider, name);
        }
        let count = offset(data, 100)?.min(MOST_FIELDS);
        let fields = (0..count).map_while(|index| field(data, 112 + 24 * index)).collect();
        self.layouts.insert((provider, id, version), Layout(fields));
        Some(())
    }

    fn map_of(&mut self, data: &[u8]) -> Option<()> {
        let provider = Guid::at(data, 0)?;
        let map = data.get(16..)?;
        let (name, _) = text(map, offset(map, 0)?)?;
        if self.maps.len() >= MOST_KEPT {
            return None;
        }
        let count = offset(map, 8)?.min(MOST_NUMBERS);
        let mut names = BTreeMap::new();
        for index in 0..count {
            let entry = 16 + 8 * index;
            let (Some(at), Some(number)) =
                (offset(map, entry), ByteOrder::Little.u32(map, entry + 4))
            else {
                break;
            };
            if let Some((name, _)) = text(map, at) {
                names.insert(number, name);
            }
        }
        self.maps.insert((provider, name), names);
        Some(())
    }

    fn interface_of(&mut self, data: &[u8]) -> Option<()> {
        let index = ByteOrder::Little.u32(data, 8)?;
        let fixed = |from: usize| text(data.get(..from + 514)?, from).map(|(text, _)| text);
        let interface = Interface { alias: fixed(28)?, description: fixed(542)? };
        if self.interfaces.len() < MOST_KEPT {
            self.interfaces.insert(index, interface);
        }
        Some(())
    }
}

/// The number at an offset, as an offset or a count of its own.
fn offset(data: &[u8], at: usize) -> Option<usize> {
    usize::try_from(ByteOrder::Little.u32(data, at)?).ok()
}

/// Reads an `EVENT_PROPERTY_INFO`.
fn field(data: &[u8], at: usize) -> Option<Field> {
    const IS_STRUCTURE: u32 = 1;
    const LENGTH_IS_TOLD: u32 = 2;
    const COUNT_IS_TOLD: u32 = 4;
    let order = ByteOrder::Little;
    let flags = order.u32(data, at)?;
    let (name, _) = text(data, offset(data, at + 4)?)?;
    let kind = order.u16(data, at + 8)?;
    let count = usize::from(order.u16(data, at + 16)?);
    let length = usize::from(order.u16(data, at + 18)?);
    // Kinds as in TDH_IN_TYPE.
    let width = match kind {
        3 | 4 => Some(1),
        5 | 6 => Some(2),
        7 | 8 | 11 | 13 | 20 => Some(4),
        9 | 10 | 12 | 17 | 21 => Some(8),
        15 | 18 => Some(16),
        14 if length > 0 => Some(length),
        _ => None,
    };
    let length = match (kind, width) {
        _ if flags & (IS_STRUCTURE | COUNT_IS_TOLD) != 0 => Length::Unknown,
        (14, _) if flags & LENGTH_IS_TOLD != 0 => Length::Told(length),
        (_, Some(width)) => width.checked_mul(count.max(1)).map_or(Length::Unknown, Length::Fixed),
        (1, None) if length == 0 => Length::Text,
        _ => Length::Unknown,
    };
    Some(Field { name, length })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROVIDER: Guid = Guid::of(1, 2, 3, [4; 8]);

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    /// The data of a layout record: fields as name, flags, kind, count, length.
    pub(in crate::capture::etl) fn layout(
        provider: &[u8; 16],
        id: u8,
        fields: &[(&str, u32, u16, u16, u16)],
    ) -> Vec<u8> {
        let mut data = provider.to_vec();
        data.resize(112 + 24 * fields.len(), 0);
        data[32] = id;
        data[100] = u8::try_from(fields.len()).unwrap();
        let name = u32::try_from(data.len()).unwrap();
        data[52..56].copy_from_slice(&name.to_le_bytes());
        data.extend(utf16("A provider "));
        for (index, (name, flags, kind, count, length)) in fields.iter().enumerate() {
            let offset = u32::try_from(data.len()).unwrap();
            let row = [
                &flags.to_le_bytes()[..],
                &offset.to_le_bytes(),
                &kind.to_le_bytes(),
                &[0; 6],
                &count.to_le_bytes(),
                &length.to_le_bytes(),
            ]
            .concat();
            let at = 112 + 24 * index;
            data[at..at + row.len()].copy_from_slice(&row);
            data.extend(utf16(name));
        }
        data
    }

    const GUID: [u8; 16] = [1, 0, 0, 0, 2, 0, 3, 0, 4, 4, 4, 4, 4, 4, 4, 4];

    #[test]
    fn places_of_fields_follow_from_the_lengths_before_them() {
        let fields = [
            ("Group", 0, 10, 1, 8),
            ("Number", 0, 6, 1, 2),
            ("Mac", 0x10, 14, 1, 6),
            ("Size", 0, 6, 1, 2),
            ("Payload", 2, 14, 1, 3),
            ("Behind", 0, 6, 1, 2),
        ];
        let mut metadata = Metadata::default();
        assert!(metadata.observe(MANIFEST, LAYOUT, &layout(&GUID, 160, &fields)));
        assert_eq!(metadata.provider(PROVIDER), Some("A provider"));
        let layout = metadata.layout(PROVIDER, 160, 0).unwrap();
        assert_eq!(layout.place("Number"), Some(Place::of(8, 2)));
        assert_eq!(layout.place("Mac"), Some(Place::of(10, 6)));
        assert_eq!(layout.told("Payload"), Some((18, Place::of(16, 2))));
        assert_eq!(layout.place("Behind"), None);
        assert_eq!(layout.place("Nothing"), None);
    }

    #[test]
    fn numbers_have_the_names_of_their_map() {
        // Offsets count from the map itself, which begins behind the provider.
        let mut map = vec![0; 16 + 8];
        map[0] = 24;
        map[8] = 1;
        map[16] = 24 + 14;
        map[20..22].copy_from_slice(&909_u16.to_le_bytes());
        map.extend(utf16("Reason"));
        map.extend(utf16("Inspection drop "));
        let mut metadata = Metadata::default();
        metadata.observe(MANIFEST, NAMES_OF_NUMBERS, &[&GUID[..], &map].concat());
        assert_eq!(metadata.name_of(PROVIDER, "Reason", 909), Some("Inspection drop"));
        assert_eq!(metadata.name_of(PROVIDER, "Reason", 910), None);
    }

    #[test]
    fn interfaces_have_two_names() {
        let mut row = vec![0; 1352];
        row[8] = 12;
        let (alias, description) = (utf16("Ethernet 2"), utf16("A fast card"));
        row[28..28 + alias.len()].copy_from_slice(&alias);
        row[542..542 + description.len()].copy_from_slice(&description);
        let mut metadata = Metadata::default();
        metadata.observe(SYSTEM, INTERFACE, &row);
        metadata.name_interface(12, "another".to_owned());
        let interface = metadata.interface(12).unwrap();
        assert_eq!((&*interface.alias, &*interface.description), ("Ethernet 2", "A fast card"));
    }

    proptest! {
        #[test]
        fn hostile_metadata_is_left_out(
            data in prop::collection::vec(prop_oneof![3 => 0_u8..40, 1 => any::<u8>()], 0..400),
            opcode in prop::sample::select(vec![LAYOUT, NAMES_OF_NUMBERS, INTERFACE]),
        ) {
            let mut metadata = Metadata::default();
            for guid in [MANIFEST, SYSTEM] {
                metadata.observe(guid, opcode, &data);
            }
            for layout in metadata.layouts.values() {
                for field in &layout.0 {
                    if let Some(place) = layout.place(&field.name) {
                        prop_assert!(place.bytes(&data).is_none_or(|bytes| bytes.len() <= 400));
                    }
                }
            }
        }
    }
}
