//! The endpoint mapper: where on this host does an interface listen? C706 appendices I, L and O,
//! [MS-RPCE] 2.2.1.2.

use std::net::{IpAddr, Ipv4Addr};

use crate::net::Transport;
use crate::probe::msrpc::ndr::{Layout, Values, uuid};
use crate::probe::{Announcement, Uuid, text};

/// Its interface.
pub(super) const INTERFACE: Uuid = Uuid(0xe1af_8308_5d1f_11c9_91a4_0800_2b14_a0fa);

/// Numbers of its calls.
pub(super) const LOOKUP: u16 = 2;
pub(super) const MAP: u16 = 3;

/// Towers that are looked at in one answer. A domain controller lists some hundreds.
const MOST_TOWERS: usize = 2048;

/// Floors of one tower. Those in use have five.
const MOST_FLOORS: u16 = 16;

/// What a caller asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The interface; `None` for a list of all.
    pub interface: Option<Uuid>,
    /// It asks for the rest of an earlier answer.
    pub goes_on: bool,
}

/// Reads the parameters of a call.
pub(super) fn question(call: u16, stub: &[u8], layout: Layout) -> Option<Question> {
    let mut values = Values::new(stub, layout);
    match call {
        LOOKUP => {
            let _kind = values.u32()?;
            let object = values.pointer()?;
            if object {
                values.uuid()?;
            }
            let interface = if values.pointer()? {
                let interface = values.uuid()?;
                values.bytes(4)?;
                Some(interface)
            } else {
                None
            };
            let _versions = values.u32()?;
            let goes_on = goes_on(&mut values)?;
            Some(Question { interface, goes_on })
        }
        MAP => {
            if values.pointer()? {
                values.uuid()?;
            }
            let wanted = if values.pointer()? { tower(&mut values)? } else { Tower::default() };
            values.align(4)?;
            Some(Question { interface: wanted.interface, goes_on: goes_on(&mut values)? })
        }
        _ => None,
    }
}

/// Reads a handle, and says whether an earlier answer gave it.
fn goes_on(values: &mut Values<'_>) -> Option<bool> {
    let (kind, handle) = (values.u32()?, values.uuid()?);
    Some(kind != 0 || handle.0 != 0)
}

/// What the endpoint mapper answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Where the interfaces listen.
    pub towers: Vec<Tower>,
    /// How it went; `None` where it was not captured.
    pub status: Option<u32>,
}

/// Reads the result of a call, as far as it was captured.
pub(super) fn answer(call: u16, stub: &[u8], layout: Layout) -> Answer {
    let mut answer = Answer::default();
    let mut values = Values::new(stub, layout);
    answer.status = match call {
        LOOKUP => entries(&mut values, &mut answer.towers),
        MAP => towers(&mut values, &mut answer.towers),
        _ => None,
    };
    answer
}

/// Reads a handle and how many results follow; gives the count of those that are there.
fn results(values: &mut Values<'_>) -> Option<usize> {
    values.u32()?;
    values.uuid()?;
    let _count = values.u32()?;
    let (_most, _first, count) = (values.count()?, values.count()?, values.count()?);
    usize::try_from(count).ok()
}

fn towers(values: &mut Values<'_>, towers: &mut Vec<Tower>) -> Option<u32> {
    let count = results(values)?;
    let mut there = 0;
    for _ in 0..count {
        there += usize::from(values.pointer()?);
    }
    follow(values, there, towers)
}

fn entries(values: &mut Values<'_>, towers: &mut Vec<Tower>) -> Option<u32> {
    let count = results(values)?;
    let mut there = 0;
    for _ in 0..count {
        values.align_structure()?;
        let _object = values.uuid()?;
        there += usize::from(values.pointer()?);
        // A remark for people.
        let (_first, length) = (values.count()?, values.count()?);
        values.bytes(usize::try_from(length).ok()?)?;
    }
    follow(values, there, towers)
}

/// The towers that pointers pointed to, and the status after them.
fn follow(values: &mut Values<'_>, count: usize, towers: &mut Vec<Tower>) -> Option<u32> {
    for _ in 0..count {
        let tower = tower(values)?;
        if towers.len() < MOST_TOWERS {
            towers.push(tower);
        }
    }
    values.u32()
}

/// How an interface is reached, floor by floor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tower {
    interface: Option<Uuid>,
    port: Option<(Transport, u16)>,
    address: Option<IpAddr>,
    /// A named pipe, or the host's name.
    name: Option<String>,
}

impl Tower {
    /// The place that it tells of; `None` where nothing can be reached over the network.
    pub(super) fn announcement(self) -> Option<Announcement> {
        let Tower { interface, port, address, name } = self;
        if port.is_none() && name.is_none() {
            return None;
        }
        Some(Announcement {
            uuid: interface,
            transport: port.map(|(transport, _)| transport),
            address,
            port: port.map_or(0, |(_, port)| port),
            name,
        })
    }
}

/// Reads a tower: its length twice, then its floors.
fn tower(values: &mut Values<'_>) -> Option<Tower> {
    let _most = values.count()?;
    let length = usize::try_from(values.u32()?).ok()?;
    let mut tower = Tower::default();
    // One that makes no sense has no floors; its neighbours are read nevertheless.
    let _ = floors(values.bytes(length)?, &mut tower);
    Some(tower)
}

fn floors(bytes: &[u8], tower: &mut Tower) -> Option<()> {
    // A tower is little-endian and packed, whatever the call is (C706 appendix L).
    let mut floors = Values::new(bytes, Layout::DCOM);
    let count = floors.u16()?;
    for index in 0..count.min(MOST_FLOORS) {
        let what = part(&mut floors)?;
        let value = part(&mut floors)?;
        // Protocol identifiers: C706 appendix I, [MS-RPCE] 2.2.1.2 and Windows' own.
        match what {
            [0x0d, identifier @ ..] if index == 0 => {
                tower.interface = identifier.first_chunk().map(|bytes| uuid(bytes, true));
            }
            [0x07, ..] => tower.port = Some((Transport::Tcp, port(value)?)),
            [0x08, ..] => tower.port = Some((Transport::Udp, port(value)?)),
            // RPC over HTTP listens on a TCP port too.
            [0x1f, ..] => {
                tower.port = Some((Transport::Tcp, port(value)?));
                tower.name = Some("ncacn_http".to_owned());
            }
            [0x09, ..] => {
                let address = Ipv4Addr::from(*value.first_chunk::<4>()?);
                tower.address = (!address.is_unspecified()).then_some(address.into());
            }
            [0x0f, ..] => tower.name = name(value),
            [0x11, ..] if tower.name.is_none() => tower.name = name(value),
            _ => {}
        }
    }
    Some(())
}

fn part<'a>(floors: &mut Values<'a>) -> Option<&'a [u8]> {
    let length = u16::from_le_bytes(*floors.bytes(2)?.first_chunk()?);
    floors.bytes(usize::from(length))
}

/// A port is written as on the wire of TCP: most significant byte first.
fn port(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*value.first_chunk()?))
}

fn name(value: &[u8]) -> Option<String> {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    let name = String::from_utf8_lossy(value.get(..end)?).into_owned();
    (!name.is_empty()).then(|| text(name))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// DRSUAPI, [MS-DRSR] 1.9.
    pub(crate) const DRSUAPI: Uuid = Uuid(0xe351_4235_4b06_11d1_ab04_00c0_4fc2_dcd2);

    const LITTLE: Layout = Layout { little: true, wide: false };

    fn floor(what: &[u8], value: &[u8]) -> Vec<u8> {
        let length = |part: &[u8]| u16::try_from(part.len()).unwrap().to_le_bytes().to_vec();
        [length(what), what.to_vec(), length(value), value.to_vec()].concat()
    }

    fn little_uuid(uuid: Uuid) -> Vec<u8> {
        let bytes = uuid.0.to_be_bytes();
        let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        order.iter().map(|&at| bytes[at]).collect()
    }

    /// The tower of DRSUAPI over TCP, at this port and address.
    pub(crate) fn drsuapi_at(port: u16, address: [u8; 4]) -> Vec<u8> {
        let ndr = Uuid(0x8a88_5d04_1ceb_11c9_9fe8_0800_2b10_4860);
        [
            5_u16.to_le_bytes().to_vec(),
            floor(&[&[0x0d], &little_uuid(DRSUAPI)[..], &[4, 0]].concat(), &[0, 0]),
            floor(&[&[0x0d], &little_uuid(ndr)[..], &[2, 0]].concat(), &[0, 0]),
            floor(&[0x0b], &[0, 0]),
            floor(&[7], &port.to_be_bytes()),
            floor(&[9], &address),
        ]
        .concat()
    }

    fn numbers<const N: usize>(numbers: [u64; N], layout: Layout) -> Vec<u8> {
        numbers
            .into_iter()
            .flat_map(|number| {
                let narrow = u32::try_from(number).unwrap();
                match layout {
                    Layout { little: true, wide: true } => number.to_le_bytes().to_vec(),
                    Layout { little: false, wide: true } => number.to_be_bytes().to_vec(),
                    Layout { little: true, wide: false } => narrow.to_le_bytes().to_vec(),
                    Layout { little: false, wide: false } => narrow.to_be_bytes().to_vec(),
                }
            })
            .collect()
    }

    fn padded(mut bytes: Vec<u8>, layout: Layout) -> Vec<u8> {
        bytes.resize(bytes.len().next_multiple_of(if layout.wide { 8 } else { 4 }), 0);
        bytes
    }

    fn written_tower(tower: &[u8], layout: Layout) -> Vec<u8> {
        let narrow = Layout { wide: false, ..layout };
        let length = tower.len() as u64;
        [numbers([length], layout), numbers([length], narrow), tower.to_vec()].concat()
    }

    /// An `ept_map` call for this tower.
    pub(crate) fn asks(tower: &[u8], layout: Layout) -> Vec<u8> {
        let narrow = Layout { wide: false, ..layout };
        let object = [numbers([1], layout), vec![0; 16], numbers([2], layout)].concat();
        let begin = [object, written_tower(tower, layout)].concat();
        let mut begin = begin;
        begin.resize(begin.len().next_multiple_of(4), 0);
        [begin, vec![0; 20], numbers([4], narrow)].concat()
    }

    /// The answer to it.
    pub(crate) fn answers(towers: &[Vec<u8>], status: u32, layout: Layout) -> Vec<u8> {
        let narrow = Layout { wide: false, ..layout };
        let count = towers.len() as u64;
        let mut bytes = [vec![0; 20], numbers([count], narrow)].concat();
        bytes = padded(bytes, layout);
        bytes.extend(numbers([4, 0, count], layout));
        for index in 0..count {
            bytes.extend(numbers([index + 3], layout));
        }
        for tower in towers {
            bytes = padded(bytes, layout);
            bytes.extend(written_tower(tower, layout));
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(numbers([u64::from(status)], narrow));
        bytes
    }

    fn announced(port: u16, address: &str) -> Announcement {
        Announcement {
            uuid: Some(DRSUAPI),
            transport: Some(Transport::Tcp),
            address: Some(address.parse().unwrap()),
            port,
            name: None,
        }
    }

    #[test]
    fn question_and_answer_are_read_in_every_representation() {
        let tower = drsuapi_at(135, [0; 4]);
        let towers = [drsuapi_at(49_155, [10, 1, 0, 13]), drsuapi_at(49_158, [10, 1, 0, 13])];
        for (little, wide) in [(true, false), (false, false), (true, true), (false, true)] {
            let layout = Layout { little, wide };
            let asked = question(MAP, &asks(&tower, layout), layout);
            let expected = Question { interface: Some(DRSUAPI), goes_on: false };
            assert_eq!(asked, Some(expected), "{layout:?}");
            let got = answer(MAP, &answers(&towers, 0, layout), layout);
            assert_eq!(got.status, Some(0), "{layout:?}");
            let places: Vec<_> = got.towers.into_iter().filter_map(Tower::announcement).collect();
            assert_eq!(
                places,
                [announced(49_155, "10.1.0.13"), announced(49_158, "10.1.0.13")],
                "{layout:?}"
            );
        }
    }

    #[test]
    fn an_answer_that_was_cut_tells_what_it_has_and_no_status() {
        let whole = answers(&[drsuapi_at(49_155, [10, 1, 0, 13])], 0x16c9_a0d6, LITTLE);
        assert_eq!(answer(MAP, &whole, LITTLE).status, Some(0x16c9_a0d6));
        let cut = answer(MAP, &whole[..whole.len() - 1], LITTLE);
        assert_eq!((cut.status, cut.towers.len()), (None, 1));
        let shorter = answer(MAP, &whole[..whole.len() - 20], LITTLE);
        assert_eq!((shorter.status, shorter.towers.len()), (None, 0));
    }

    #[test]
    fn a_count_that_nothing_follows_costs_nothing() {
        let mut bytes = answers(&[], 0, LITTLE);
        for at in [20, 24, 32] {
            bytes[at..at + 4].fill(0xff);
        }
        assert_eq!(answer(MAP, &bytes, LITTLE), Answer::default());
    }

    #[test]
    fn pipes_and_unknown_addresses_are_told_as_such() {
        let pipe = [
            4_u16.to_le_bytes().to_vec(),
            floor(&[&[0x0d], &little_uuid(DRSUAPI)[..], &[4, 0]].concat(), &[0, 0]),
            floor(&[0x0b], &[0, 0]),
            floor(&[0x0f], b"\\pipe\\lsass\0"),
            floor(&[0x11], b"\\\\DC1\0"),
        ]
        .concat();
        let towers = [pipe, drsuapi_at(49_155, [0; 4])];
        let got = answer(MAP, &answers(&towers, 0, LITTLE), LITTLE);
        let places: Vec<_> = got.towers.into_iter().filter_map(Tower::announcement).collect();
        assert_eq!((places[0].transport, places[0].name.as_deref()), (None, Some("\\pipe\\lsass")));
        assert_eq!((places[1].address, places[1].port), (None, 49_155));
    }
}
