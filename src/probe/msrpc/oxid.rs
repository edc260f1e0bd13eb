//! Objects of DCOM: on which addresses and ports does the process that holds an object listen?
//! [MS-DCOM] 2.2.19 (string bindings), 2.2.22 (activation), 3.1.2.5.1 (object resolver).

use std::net::IpAddr;

use crate::net::Transport;
use crate::probe::msrpc::ndr::{Layout, Values, uuid};
use crate::probe::{Announcement, Meaning, Uuid, text};

/// The object resolver's interface, and its calls that tell bindings.
pub(super) const RESOLVER: Uuid = Uuid(0x99fc_fec4_5260_101b_bbcb_00aa_0021_347a);
const RESOLVE: u16 = 0;
const RESOLVE_2: u16 = 4;
const ALIVE_2: u16 = 5;

/// Activation as Windows does it today, and its calls.
pub(super) const ACTIVATOR: Uuid = Uuid(0x0000_01a0_0000_0000_c000_0000_0000_0046);
const GET_CLASS: u16 = 3;
const CREATE: u16 = 4;

/// Activation as Windows NT 4 did it.
pub(super) const OLD_ACTIVATOR: Uuid = Uuid(0x4d9f_4ab8_7d1c_11cf_861e_0020_af6e_7c57);
const ACTIVATE: u16 = 0;

/// The part of an activation's result that names the process ([MS-DCOM] 2.2.22.2.8).
const REPLY: Uuid = Uuid(0x0000_01b6_0000_0000_c000_0000_0000_0046);

/// Bindings that are looked at in one answer.
const MOST_BINDINGS: usize = 64;

/// Parts of an activation's result.
const MOST_PARTS: u32 = 64;

/// What a call asks for, for its subject; `None` for one that we do not read.
pub(super) fn purpose(interface: Uuid, call: u16) -> Option<&'static str> {
    match (interface, call) {
        (RESOLVER, RESOLVE | RESOLVE_2) => Some("where a DCOM object listens"),
        (RESOLVER, ALIVE_2) => Some("addresses of the DCOM host"),
        (ACTIVATOR, GET_CLASS | CREATE) | (OLD_ACTIVATOR, ACTIVATE) => {
            Some("activation of a DCOM object")
        }
        _ => None,
    }
}

/// A place that is told as a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// Kind of the transport: a protocol identifier of C706 appendix I.
    kind: u16,
    /// Address or name of the host.
    host: String,
    port: Option<u16>,
}

/// The result of a call, as far as it was captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub bindings: Vec<Binding>,
    /// How it went.
    pub status: Option<u32>,
}

impl Answer {
    /// Puts what the bindings tell.
    pub(super) fn tell(&self, signals: &mut Vec<Meaning>) {
        for binding in &self.bindings {
            let transport = match binding.kind {
                0x07 => Transport::Tcp,
                0x08 => Transport::Udp,
                _ => continue,
            };
            let Some(port) = binding.port else { continue };
            let address = binding.host.parse().ok();
            let name = if address.is_some() { None } else { Some(binding.host.clone()) };
            let transport = Some(transport);
            signals.push(Meaning::Announced(Announcement {
                uuid: None,
                transport,
                address,
                port,
                name,
            }));
        }
        self.tell_name(signals);
    }

    /// One name beside addresses is that of the host that has them all.
    fn tell_name(&self, signals: &mut Vec<Meaning>) {
        let hosts = || self.bindings.iter().filter(|binding| binding.kind == 0x07);
        let names = || hosts().filter(|binding| binding.host.parse::<IpAddr>().is_err());
        let Some(name) = names().next().map(|binding| &binding.host) else { return };
        if names().all(|binding| binding.host == *name) {
            for address in hosts().filter_map(|binding| binding.host.parse().ok()) {
                signals.push(Meaning::Named { address, name: name.clone() });
            }
        }
    }
}

/// Reads the result of a call.
pub(super) fn answer(interface: Uuid, call: u16, stub: &[u8], layout: Layout) -> Answer {
    let mut answer = Answer::default();
    let mut values = Values::new(stub, layout);
    answer.status = match (interface, call) {
        (RESOLVER, RESOLVE | RESOLVE_2) => {
            resolved(&mut values, call == RESOLVE_2, &mut answer.bindings)
        }
        (RESOLVER, ALIVE_2) => alive(&mut values, &mut answer.bindings),
        (ACTIVATOR, GET_CLASS | CREATE) => activated(&mut values, &mut answer.bindings),
        (OLD_ACTIVATOR, ACTIVATE) => activated_the_old_way(&mut values, &mut answer.bindings),
        _ => None,
    };
    answer
}

fn resolved(
    values: &mut Values<'_>,
    has_version: bool,
    bindings: &mut Vec<Binding>,
) -> Option<u32> {
    if values.pointer()? {
        string_bindings(values, bindings)?;
    }
    let _remote_unknown = values.uuid()?;
    let _authentication = values.u32()?;
    if has_version {
        values.bytes(4)?;
    }
    values.u32()
}

fn alive(values: &mut Values<'_>, bindings: &mut Vec<Binding>) -> Option<u32> {
    values.bytes(4)?;
    if values.pointer()? {
        string_bindings(values, bindings)?;
    }
    let _reserved = values.u32()?;
    values.u32()
}

fn activated_the_old_way(values: &mut Values<'_>, bindings: &mut Vec<Binding>) -> Option<u32> {
    no_extensions(values)?;
    let _exporter = values.u64()?;
    if values.pointer()? {
        string_bindings(values, bindings)?;
    }
    let _remote_unknown = values.uuid()?;
    let _authentication = values.u32()?;
    values.bytes(4)?;
    values.u32()
}

fn activated(values: &mut Values<'_>, bindings: &mut Vec<Binding>) -> Option<u32> {
    no_extensions(values)?;
    if values.pointer()? {
        let _most = values.count()?;
        let length = usize::try_from(values.u32()?).ok()?;
        // A result without the part that we want is none of our business.
        let _ = properties(values.bytes(length)?, bindings);
        values.align(4)?;
    }
    values.u32()
}

/// What every result of DCOM begins with, where it has no extensions.
fn no_extensions(values: &mut Values<'_>) -> Option<()> {
    let _flags = values.u32()?;
    (!values.pointer()?).then_some(())
}

/// The list of bindings, each of which ends with a zero, and the list with another. Security
/// providers follow it.
fn string_bindings(values: &mut Values<'_>, bindings: &mut Vec<Binding>) -> Option<()> {
    let _most = values.count()?;
    let (entries, security) = (values.u16()?, values.u16()?);
    let mut list = Vec::new();
    for _ in 0..entries {
        list.push(values.u16()?);
    }
    values.align(4)?;
    let mut rest = list.get(..usize::from(security)).unwrap_or(&list);
    while let [kind, text @ ..] = rest
        && *kind != 0
    {
        let end = text.iter().position(|&unit| unit == 0)?;
        let (place, after) = text.split_at(end);
        if bindings.len() < MOST_BINDINGS {
            bindings.push(binding(*kind, &String::from_utf16_lossy(place)));
        }
        rest = after.get(1..)?;
    }
    Some(())
}

/// `host[port]`, or a host alone.
fn binding(kind: u16, place: &str) -> Binding {
    let told = place.strip_suffix(']').and_then(|place| place.rsplit_once('['));
    match told.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => Binding { kind, host: text(host.to_owned()), port: Some(port) },
        None => Binding { kind, host: text(place.to_owned()), port: None },
    }
}

/// An object reference that holds the parts of an activation's result ([MS-DCOM] 2.2.22).
fn properties(bytes: &[u8], bindings: &mut Vec<Binding>) -> Option<()> {
    // Signature, flags, two identifiers, sizes of extension and data, size of what follows twice.
    const BEFORE: usize = 4 + 4 + 16 + 16 + 4 + 4 + 4 + 4;
    let serialized = bytes.get(BEFORE..)?;
    let mut values = Values::new(serialized, Layout::DCOM);
    values.bytes(SERIALIZATION)?;
    let _size = values.u32()?;
    let header_size = usize::try_from(values.u32()?).ok()?;
    let (_reserved, _context) = (values.u32()?, values.u32()?);
    let count = values.u32()?.min(MOST_PARTS);
    let _class = values.uuid()?;
    let (_identifiers, _sizes, _reserved) = (values.u32()?, values.u32()?, values.u32()?);
    let mut identifiers = Vec::new();
    let _most = values.u32()?;
    for _ in 0..count {
        identifiers.push(uuid(values.bytes(16)?.first_chunk()?, true));
    }
    let _most = values.u32()?;
    let mut begin = header_size;
    for identifier in identifiers {
        let end = begin.checked_add(usize::try_from(values.u32()?).ok()?)?;
        if identifier == REPLY {
            return reply(serialized.get(begin..end)?, bindings);
        }
        begin = end;
    }
    None
}

/// Headers of a serialized value: [MS-RPCE] 2.2.6.
const SERIALIZATION: usize = 16;

fn reply(part: &[u8], bindings: &mut Vec<Binding>) -> Option<()> {
    let mut values = Values::new(part, Layout::DCOM);
    values.bytes(SERIALIZATION)?;
    let (_reserved, there) = (values.pointer()?, values.pointer()?);
    if !there {
        return None;
    }
    let _exporter = values.u64()?;
    let listed = values.pointer()?;
    let _remote_unknown = values.uuid()?;
    let (_authentication, _version) = (values.u32()?, values.u32()?);
    if listed { string_bindings(&mut values, bindings) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Layout = Layout::DCOM;

    /// A list of bindings, and NTLM without a name as security binding, as [MS-DCOM] 2.2.19 lays
    /// them out.
    fn list(bindings: &[(u16, &str)]) -> Vec<u8> {
        let mut units: Vec<u16> = Vec::new();
        for (kind, place) in bindings {
            units.push(*kind);
            units.extend(place.encode_utf16());
            units.push(0);
        }
        units.push(0);
        let security = units.len();
        units.extend([10, 0xffff, 0, 0]);
        let mut bytes = u32::try_from(units.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend(u16::try_from(units.len()).unwrap().to_le_bytes());
        bytes.extend(u16::try_from(security).unwrap().to_le_bytes());
        bytes.extend(units.into_iter().flat_map(u16::to_le_bytes));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn told(answer: &Answer) -> Vec<String> {
        let mut signals = Vec::new();
        answer.tell(&mut signals);
        signals
            .iter()
            .map(|signal| match signal {
                Meaning::Announced(Announcement { address: Some(address), port, .. }) => {
                    format!("{address} {port}")
                }
                Meaning::Announced(Announcement { name, port, .. }) => {
                    format!("{} {port}", name.as_deref().unwrap())
                }
                Meaning::Named { address, name } => format!("{address} is {name}"),
                Meaning::Asked { .. }
                | Meaning::Answered { .. }
                | Meaning::Calls { .. }
                | Meaning::Introduced { .. }
                | Meaning::Called { .. }
                | Meaning::LeaseAsked { .. }
                | Meaning::LeaseGiven { .. }
                | Meaning::Clock { .. }
                | Meaning::Serves { .. }
                | Meaning::Does { .. } => panic!("{signal:?}"),
            })
            .collect()
    }

    #[test]
    fn the_resolver_tells_ports_and_a_name() {
        let places = [(7, "DC1[49155]"), (7, "10.1.0.13[49155]"), (31, "DC1[593]")];
        let stub = [&[0, 0, 2, 0], &list(&places)[..], &[0; 16 + 4 + 4 + 4]].concat();
        let answer = answer(RESOLVER, RESOLVE_2, &stub, LITTLE);
        assert_eq!(answer.status, Some(0));
        assert_eq!(told(&answer), ["DC1 49155", "10.1.0.13 49155", "10.1.0.13 is DC1"]);
    }

    #[test]
    fn a_resolver_that_does_not_know_the_object_says_so() {
        let stub = [&[0; 4 + 16 + 4 + 4][..], &1910_u32.to_le_bytes()].concat();
        assert_eq!(
            answer(RESOLVER, RESOLVE_2, &stub, LITTLE),
            Answer { bindings: Vec::new(), status: Some(1910) }
        );
    }

    #[test]
    fn a_live_host_tells_its_addresses() {
        let places = [(7, "DC1"), (7, "10.1.0.13"), (7, "fd00::13")];
        let stub = [&[5, 0, 7, 0, 0, 0, 2, 0], &list(&places)[..], &[0; 8]].concat();
        let answer = answer(RESOLVER, ALIVE_2, &stub, LITTLE);
        assert_eq!(told(&answer), ["10.1.0.13 is DC1", "fd00::13 is DC1"]);
        assert_eq!(answer.status, Some(0));
    }

    #[test]
    fn an_activation_tells_where_the_object_is() {
        // The part that names the process, after one that does not.
        let part = [
            &[0; 16][..],
            &[0, 0, 0, 0, 0, 0, 2, 0], // reserved, the process
            &[0xab; 8],                // its number
            &[4, 0, 2, 0],             // bindings
            &[0x11; 16],
            &[0; 8],
            &list(&[(7, "10.1.0.13[49664]")]),
        ]
        .concat();
        let other = [0x33; 24];
        let mut clsids = vec![0x39, 3, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];
        clsids.extend([0xb6, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46]);
        let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes().to_vec();
        let header = [
            vec![0; 16],
            number(0),
            number(16 + 48 + 4 + 32 + 4 + 8),
            vec![0; 8],
            number(2),
            vec![0; 16],
            [number(1), number(2), number(0)].concat(),
            number(2),
            clsids,
            number(2),
            number(other.len()),
            number(part.len()),
        ]
        .concat();
        let object = [vec![0; 56], header, other.to_vec(), part].concat();
        let stub =
            [vec![0; 8], number(2), number(object.len()), number(object.len()), object, number(0)]
                .concat();
        let answer = answer(ACTIVATOR, CREATE, &stub, LITTLE);
        assert_eq!(told(&answer), ["10.1.0.13 49664"]);
        assert_eq!(answer.status, Some(0));
    }
}
