//! Remote procedure calls, byte by byte: C706 chapters 12 and 14, [MS-RPCE] 2.2.

/// An interface, as it is written: identifier and major version.
#[derive(Clone, Copy)]
pub struct Interface(pub &'static str, pub u16);

/// The endpoint mapper, C706 appendix O.
pub const MAPPER: Interface = Interface("e1af8308-5d1f-11c9-91a4-08002b14a0fa", 3);
/// Directory replication, [MS-DRSR] 1.9.
pub const DRSUAPI: Interface = Interface("e3514235-4b06-11d1-ab04-00c04fc2dcd2", 4);
/// Domain logon, [MS-NRPC] 1.9.
pub const NETLOGON: Interface = Interface("12345678-1234-abcd-ef00-01234567cffb", 1);
/// File replication, [MS-FRS1] 1.9.
pub const FRS: Interface = Interface("f5cc59b4-4264-101a-8c59-08002b2f8426", 1);
/// DCOM's object resolver, [MS-DCOM] 1.9.
pub const RESOLVER: Interface = Interface("99fcfec4-5260-101b-bbcb-00aa0021347a", 0);
const NDR: Interface = Interface("8a885d04-1ceb-11c9-9fe8-08002b104860", 2);
const NDR64: Interface = Interface("71710533-beba-4937-8319-b5dbef9ccc36", 1);

impl Interface {
    fn bytes(self) -> Vec<u8> {
        let digits: String = self.0.split('-').collect();
        let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
        // The first three groups are numbers, and little-endian like all others here.
        [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(byte).to_vec()
    }
}

fn pdu(kind: u8, call: u32, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(16 + body.len()).unwrap();
    let mut message = vec![5, 0, kind, 3, 0x10, 0, 0, 0];
    message.extend(length.to_le_bytes());
    message.extend([0, 0]);
    message.extend(call.to_le_bytes());
    message.extend(body);
    message
}

fn u32s<const N: usize>(numbers: [u32; N]) -> Vec<u8> {
    numbers.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn u16s<const N: usize>(numbers: [u16; N]) -> Vec<u8> {
    numbers.into_iter().flat_map(u16::to_le_bytes).collect()
}

/// Asks for an interface in both representations, in a context each.
pub fn bind(call: u32, interface: Interface) -> Vec<u8> {
    let mut body = [u16s([5840, 5840]), u32s([0]), vec![2, 0, 0, 0]].concat();
    for (context, syntax) in [(0_u16, NDR), (1, NDR64)] {
        body.extend([u16s([context]), vec![1, 0], interface.bytes()].concat());
        body.extend(u16s([interface.1, 0]));
        body.extend([syntax.bytes(), u32s([u32::from(syntax.1)])].concat());
    }
    pdu(11, call, &body)
}

/// Answers it: result and reason of each context.
pub fn bind_ack(call: u32, port: &str, results: [(u16, u16); 2]) -> Vec<u8> {
    let mut body = [u16s([5840, 5840]), u32s([0x0001_e0d9])].concat();
    body.extend(u16s([u16::try_from(port.len() + 1).unwrap()]));
    body.extend([port.as_bytes(), &[0]].concat());
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend([2, 0, 0, 0]);
    for (result, reason) in results {
        body.extend(u16s([result, reason]));
        // What was refused has no representation.
        let syntax = if result == 0 { [NDR.bytes(), u32s([2])].concat() } else { vec![0; 20] };
        body.extend(syntax);
    }
    pdu(12, call, &body)
}

/// The first context accepted, the other representation not known: as Windows of 32 bits answers.
pub fn accepted(call: u32, port: &str) -> Vec<u8> {
    bind_ack(call, port, [(0, 0), (2, 2)])
}

/// Refuses a bind altogether; lists the one version of the protocol that there is.
pub fn bind_nak(call: u32, reason: u16) -> Vec<u8> {
    pdu(13, call, &[u16s([reason]), vec![1, 5, 0, 0]].concat())
}

pub fn request(call: u32, number: u16, stub: &[u8]) -> Vec<u8> {
    let length = u32::try_from(stub.len()).unwrap();
    pdu(0, call, &[u32s([length]), u16s([0, number]), stub.to_vec()].concat())
}

pub fn response(call: u32, stub: &[u8]) -> Vec<u8> {
    let length = u32::try_from(stub.len()).unwrap();
    pdu(2, call, &[u32s([length]), u16s([0, 0]), stub.to_vec()].concat())
}

pub fn fault(call: u32, status: u32) -> Vec<u8> {
    pdu(3, call, &[u32s([0]), u16s([0, 0]), u32s([status, 0])].concat())
}

/// Transport and port at the end of a tower.
#[derive(Clone, Copy)]
pub enum Place {
    Tcp(u16),
    Udp(u16),
}

fn floor(what: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |part: &[u8]| u16::try_from(part.len()).unwrap();
    [&u16s([length(what)]), what, &u16s([length(value)]), value].concat()
}

/// How an interface is reached: C706 appendices I and L.
fn tower(interface: Interface, place: Place, address: [u8; 4]) -> Vec<u8> {
    let syntax = |interface: Interface| {
        let what = [vec![0x0d], interface.bytes(), u16s([interface.1])].concat();
        floor(&what, &u16s([0]))
    };
    let (protocol, transport, port) = match place {
        Place::Tcp(port) => (0x0b, 0x07, port),
        Place::Udp(port) => (0x0a, 0x08, port),
    };
    [
        u16s([5]),
        syntax(interface),
        syntax(NDR),
        floor(&[protocol], &u16s([0])),
        floor(&[transport], &port.to_be_bytes()),
        floor(&[0x09], &address),
    ]
    .concat()
}

fn counted(tower: &[u8]) -> Vec<u8> {
    let length = u32::try_from(tower.len()).unwrap();
    let mut bytes = [u32s([length, length]), tower.to_vec()].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The parameters of `ept_map`: where does this interface listen? C706 appendix O.
pub fn map(interface: Interface, place: Place) -> Vec<u8> {
    let wanted = counted(&tower(interface, place, [0; 4]));
    [u32s([1]), vec![0; 16], u32s([2]), wanted, vec![0; 20], u32s([4])].concat()
}

/// Its result: at these places.
pub fn mapped(interface: Interface, places: &[(Place, [u8; 4])]) -> Vec<u8> {
    let count = u32::try_from(places.len()).unwrap();
    let mut bytes = [vec![0; 20], u32s([count, 4, 0, count])].concat();
    for index in 0..count {
        bytes.extend(u32s([index + 3]));
    }
    for (place, address) in places {
        bytes.extend(counted(&tower(interface, *place, *address)));
    }
    [bytes, u32s([0])].concat()
}

/// Its result: nowhere.
pub fn not_registered() -> Vec<u8> {
    [vec![0; 20], u32s([0, 4, 0, 0, 0x16c9_a0d6])].concat()
}

/// The result of `ResolveOxid2`: the object's process listens at these places. [MS-DCOM]
/// 3.1.2.5.1.5.
pub fn resolved(places: &[&str]) -> Vec<u8> {
    let mut units: Vec<u16> = Vec::new();
    for place in places {
        units.push(7);
        units.extend(place.encode_utf16());
        units.push(0);
    }
    units.push(0);
    let security = u16::try_from(units.len()).unwrap();
    // NTLM, no authorisation, no name.
    units.extend([10, 0xffff, 0, 0]);
    let count = u16::try_from(units.len()).unwrap();
    let mut bytes = u32s([0x0002_0000, u32::from(count)]);
    bytes.extend(u16s([count, security]));
    bytes.extend(units.into_iter().flat_map(u16::to_le_bytes));
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    // Identifier of the remote unknown, authentication, version 5.7, status.
    [bytes, vec![0x5c; 16], u32s([5]), u16s([5, 7]), u32s([0])].concat()
}

/// A text as a parameter: counts, units, a zero at the end.
fn wide(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    let count = u32::try_from(units.len()).unwrap();
    let mut bytes = u32s([count, 0, count]);
    bytes.extend(units.into_iter().flat_map(u16::to_le_bytes));
    bytes
}

/// The parameters of `NetrServerReqChallenge`, [MS-NRPC] 3.5.4.4.1.
pub fn challenge(host: &str) -> Vec<u8> {
    [u32s([0]), wide(host), vec![0xc1; 8]].concat()
}

/// The parameters of `NetrServerAuthenticate3`, [MS-NRPC] 3.5.4.4.2.
pub fn authenticate(host: &str) -> Vec<u8> {
    // The channel of a workstation is number 2.
    let mut names = [u32s([0]), wide(&format!("{host}$")), u16s([2])].concat();
    names.resize(names.len().next_multiple_of(4), 0);
    names.extend([wide(host), vec![0xc2; 8]].concat());
    [names, u32s([0x6121_ffff])].concat()
}

/// A connectionless PDU: C706 12.5. Idempotent, never a fragment.
pub fn datagram(kind: u8, interface: Interface, number: u16, stub: &[u8]) -> Vec<u8> {
    let mut message = vec![4, kind, 0x20, 0, 0x10, 0, 0, 0];
    message.extend([0; 16]);
    message.extend(interface.bytes());
    message.extend([0x3e; 16]);
    message.extend(u32s([0, u32::from(interface.1), 0]));
    message.extend(u16s([number, 0xffff, 0xffff]));
    message.extend(u16s([u16::try_from(stub.len()).unwrap(), 0]));
    message.extend([0, 0]);
    message.extend(stub);
    message
}
