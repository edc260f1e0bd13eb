//! Generates large captures of made-up enterprise traffic, and counts what is true of them.
//!
//! Flows begin one after another and run side by side: each follows a [`Plan`], act by act,
//! and the earliest act of all flows is always the next frame. The same kind, size and seed
//! give the same frames in every format. No two flows share their endpoints, and the capture runs
//! on for longer than anybody would wait, so the verdict of every flow is known from its plan.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Seek, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header,
    Ipv6Extensions, Ipv6Header, PacketBuilder, TcpHeader, TcpOptionElement,
};

// Said in full, because a test includes this file by its path.
#[path = "traffic/plan.rs"]
mod plan;

#[path = "traffic/store.rs"]
mod store;

#[path = "../support/payload.rs"]
#[allow(dead_code, missing_docs, clippy::unwrap_used, reason = "shared with the tests")]
mod payload;

pub use plan::Kind;
pub use store::Format;

use plan::{Act, Plan, Side};
use store::Store;

/// What is true of a capture.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Frames.
    pub frames: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Segments that were sent again, SYNs among them.
    pub retransmissions: u64,
    /// Flows over IPv6.
    pub ipv6: u64,
    /// Flows by verdict.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// Flows by class, with those that have none.
    pub classes: BTreeMap<&'static str, u64>,
}

/// Writes a capture that takes about `size` bytes as pcap, and says what is true of it.
pub fn generate(
    kind: Kind,
    size: u64,
    seed: u64,
    format: Format,
    out: impl Write + Seek,
) -> io::Result<Truth> {
    let store = Store::new(out, format, kind.snap_length())?;
    let mut file = File { store, truth: Truth::default(), frame: Vec::new() };
    for class in ["success", "timeout", "reject", "inconclusive"] {
        file.truth.classes.insert(class, 0);
    }
    let services = services();
    let mut chance = Chance(seed);
    let mut under_way: BinaryHeap<Reverse<Flow<'_>>> = BinaryHeap::new();
    let mut start = START;
    let mut now = START;
    let mut number = 0;
    loop {
        let more = file.store.bytes_as_pcap < size;
        let first = under_way.peek().map(|Reverse(flow)| flow.due);
        if more && first.is_none_or(|due| start <= due) {
            let flow = Flow::new(kind, number, start, &services, &mut chance);
            *file.truth.verdicts.entry(flow.plan.verdict()).or_default() += 1;
            *file.truth.classes.entry(flow.plan.class()).or_default() += 1;
            file.truth.ipv6 += u64::from(flow.addresses[0].is_ipv6());
            under_way.push(Reverse(flow));
            number += 1;
            start += chance.below(2 * kind.interval()) + 1;
        } else if let Some(Reverse(mut flow)) = under_way.pop() {
            now = flow.due;
            if flow.play(&mut file, &mut chance)? {
                under_way.push(Reverse(flow));
            }
        } else {
            break;
        }
    }
    file.arp(now + 10_000_000_000)?;
    file.truth.bytes = file.store.finish()?;
    Ok(file.truth)
}

/// 2012-11-13 09:30:00 UTC, in nanoseconds.
const START: u64 = 1_352_799_000_000_000_000;

/// A service, and what is said to it.
struct Service {
    port: u16,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// Services over TCP, then over UDP.
struct Services {
    tcp: Vec<Service>,
    udp: Vec<Service>,
    bulk: Vec<u8>,
}

fn services() -> Services {
    let service = |port, request, answer| Service { port, request, answer };
    let name = "dc07.child.corp.example";
    let (query, address) =
        (payload::dns_query(7, name), payload::dns_answer(7, name, [10, 1, 0, 7]));
    let (ticket, proof) = (payload::kerberos_request(), payload::kerberos_preauth_required());
    let (search, entry) = (payload::ldap_search(1), payload::ldap_answer(1));
    let tcp = vec![
        service(445, payload::smb_negotiate(), payload::smb_negotiated()),
        service(135, payload::rpc_bind(), payload::rpc_bind_ack()),
        service(389, search.clone(), entry.clone()),
        service(3268, search.clone(), entry.clone()),
        service(88, payload::with_length::<4>(&ticket), payload::with_length::<4>(&proof)),
        service(53, payload::with_length::<2>(&query), payload::with_length::<2>(&address)),
    ];
    let udp =
        vec![service(53, query, address), service(88, ticket, proof), service(389, search, entry)];
    Services { tcp, udp, bulk: (0..=255).cycle().take(1460).collect() }
}

/// A flow under way. The order is that of the next frame; the number decides between equals.
struct Flow<'a> {
    due: u64,
    number: u64,
    plan: Plan,
    step: u32,
    addresses: [IpAddr; 2],
    ports: [u16; 2],
    next: [u32; 2],
    ip_ids: [u16; 2],
    /// The segment that comes next was sent before.
    again: bool,
    service: &'a Service,
    bulk: &'a [u8],
}

impl PartialEq for Flow<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.number) == (other.due, other.number)
    }
}

impl Eq for Flow<'_> {}

impl PartialOrd for Flow<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flow<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl<'a> Flow<'a> {
    fn new(
        kind: Kind,
        number: u64,
        due: u64,
        services: &'a Services,
        chance: &mut Chance,
    ) -> Flow<'a> {
        const INITIATORS: u64 = 500;
        let mut draw = chance.below(100);
        let mut plan = Plan::Silent;
        for (share, candidate) in kind.plans() {
            plan = *candidate;
            let Some(rest) = draw.checked_sub(*share) else { break };
            draw = rest;
        }
        let list = if matches!(plan, Plan::Ask { .. }) { &services.udp } else { &services.tcp };
        // Files come from the file service, the first.
        let kinds = if matches!(plan, Plan::Bulk { .. }) { 1 } else { list.len() };
        let service = &list[chance.below(kinds as u64) as usize];
        let (addresses, ports) = if kind == Kind::Scan {
            // One scanner, a thousand ports of each host.
            let host = number / 1000;
            let addresses = if host.is_multiple_of(16) {
                [site(9, 9), site(64, host + 1)]
            } else {
                let responder = Ipv4Addr::from_bits(0x0a40_0000 + host as u32);
                [Ipv4Addr::new(10, 9, 9, 9).into(), responder.into()]
            };
            (addresses, [40_125, (number % 1000) as u16 + 1])
        } else {
            let (initiator, port) = (number % INITIATORS, number / INITIATORS % 55_000 + 10_000);
            let host = chance.below(40);
            let addresses = if initiator % 8 == 0 {
                [site(1, initiator + 1), site(2, host + 1)]
            } else {
                let site = |net: u32, host: u64| Ipv4Addr::from_bits(net + host as u32);
                [site(0x0a00_0001, initiator).into(), site(0x0a01_0001, host).into()]
            };
            (addresses, [port as u16, service.port])
        };
        let (isn, id) = (chance.draw(), chance.draw());
        Flow {
            due,
            number,
            plan,
            step: 0,
            addresses,
            ports,
            next: [isn as u32, (isn >> 32) as u32],
            ip_ids: [id as u16, (id >> 16) as u16],
            again: false,
            service,
            bulk: &services.bulk,
        }
    }

    /// Plays the next act; false when it was the last.
    fn play(
        &mut self,
        file: &mut File<impl Write + Seek>,
        chance: &mut Chance,
    ) -> io::Result<bool> {
        let Some((act, wait)) = self.plan.act(self.step) else { return Ok(false) };
        let (service, bulk) = (self.service, self.bulk);
        match act {
            Act::Syn => self.segment(file, Side::Initiator, "S", &[])?,
            Act::SynAck => self.segment(file, Side::Responder, "SA", &[])?,
            Act::Ack => self.segment(file, Side::Initiator, "A", &[])?,
            Act::Request => self.segment(file, Side::Initiator, "AP", &service.request)?,
            Act::Answer => self.segment(file, Side::Responder, "AP", &service.answer)?,
            Act::Segment => self.segment(file, Side::Responder, "A", bulk)?,
            Act::Fin(side) => self.segment(file, side, "AF", &[])?,
            Act::Refuse => self.segment(file, Side::Responder, "AR", &[])?,
            Act::Abort => self.segment(file, Side::Initiator, "R", &[])?,
            Act::Ask => self.datagram(file, Side::Initiator, &service.request)?,
            Act::Reply => self.datagram(file, Side::Responder, &service.answer)?,
        }
        // One in 64 is lost after it was captured, and sent again.
        self.again = self.plan.may_lose(act) && !self.again && chance.below(64) == 0;
        if self.again {
            file.truth.retransmissions += 1;
            self.due += 30_000_000;
            return Ok(true);
        }
        self.step += 1;
        self.due += wait * 1_000_000 + 50_000 + chance.below(500_000);
        Ok(self.plan.act(self.step).is_some())
    }

    fn segment(
        &mut self,
        file: &mut File<impl Write + Seek>,
        from: Side,
        flags: &str,
        payload: &[u8],
    ) -> io::Result<()> {
        let (own, peer) = (from as usize, 1 - from as usize);
        let mut header = TcpHeader::new(self.ports[own], self.ports[peer], self.next[own], 512);
        header.syn = flags.contains('S');
        header.ack = flags.contains('A');
        header.psh = flags.contains('P');
        header.fin = flags.contains('F');
        header.rst = flags.contains('R');
        if header.ack {
            header.acknowledgment_number = self.next[peer];
        }
        if header.syn {
            header.window_size = 8192;
            // A repeat begins where the first SYN did.
            if self.step > 0 && !header.ack {
                header.sequence_number = header.sequence_number.wrapping_sub(1);
                self.next[own] = header.sequence_number;
                file.truth.retransmissions += 1;
            }
            // Scanners build their own SYNs, and spare what they do not need.
            let options = if self.plan.is_scan() { &SYN_OPTIONS[..1] } else { &SYN_OPTIONS };
            header.set_options(options).map_err(io::Error::other)?;
        }
        if header.rst && header.ack {
            (header.sequence_number, header.window_size) = (0, 0); // RFC 9293, 3.10.7.1
        }
        if self.again {
            header.sequence_number = header.sequence_number.wrapping_sub(payload.len() as u32);
        } else {
            let length = payload.len() as u32 + u32::from(header.syn) + u32::from(header.fin);
            self.next[own] = self.next[own].wrapping_add(length);
        }
        let ip = self.ip(from);
        file.frame.clear();
        PacketBuilder::ethernet2(MACS[own], MACS[peer])
            .ip(ip)
            .tcp_header(header)
            .write(&mut file.frame, payload)
            .map_err(io::Error::other)?;
        file.record(self.due)
    }

    fn datagram(
        &mut self,
        file: &mut File<impl Write + Seek>,
        from: Side,
        payload: &[u8],
    ) -> io::Result<()> {
        let (own, peer) = (from as usize, 1 - from as usize);
        let ip = self.ip(from);
        file.frame.clear();
        PacketBuilder::ethernet2(MACS[own], MACS[peer])
            .ip(ip)
            .udp(self.ports[own], self.ports[peer])
            .write(&mut file.frame, payload)
            .map_err(io::Error::other)?;
        file.record(self.due)
    }

    fn ip(&mut self, from: Side) -> IpHeaders {
        let (own, peer) = (from as usize, 1 - from as usize);
        let hops = [0, 2][own];
        match (self.addresses[own], self.addresses[peer]) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.ip_ids[own] = self.ip_ids[own].wrapping_add(1);
                let header = Ipv4Header {
                    identification: self.ip_ids[own],
                    dont_fragment: true,
                    time_to_live: 128 - hops,
                    protocol: IpNumber::TCP,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Ipv4Header::default()
                };
                IpHeaders::Ipv4(header, Ipv4Extensions::default())
            }
            (source, destination) => {
                let octets = |address| match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                    IpAddr::V6(address) => address.octets(),
                };
                let header = Ipv6Header {
                    hop_limit: 128 - hops,
                    source: octets(source),
                    destination: octets(destination),
                    ..Ipv6Header::default()
                };
                IpHeaders::Ipv6(header, Ipv6Extensions::default())
            }
        }
    }
}

/// A host of a network of IPv6.
fn site(net: u64, host: u64) -> IpAddr {
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(net) << 64 | u128::from(host)).into()
}

const SYN_OPTIONS: [TcpOptionElement; 6] = [
    TcpOptionElement::MaximumSegmentSize(1460),
    TcpOptionElement::Noop,
    TcpOptionElement::WindowScale(8),
    TcpOptionElement::Noop,
    TcpOptionElement::Noop,
    TcpOptionElement::SelectiveAcknowledgementPermitted,
];
const MACS: [[u8; 6]; 2] = [[0x02, 0, 10, 0, 0, 5], [0x02, 0, 10, 1, 0, 7]];

/// The capture in the making.
struct File<W> {
    store: Store<W>,
    truth: Truth,
    frame: Vec<u8>,
}

impl<W: Write + Seek> File<W> {
    /// Writes the frame that was built.
    fn record(&mut self, time: u64) -> io::Result<()> {
        self.truth.frames += 1;
        self.store.frame(time, &self.frame)
    }

    /// A last sign of life, so that nothing was cut short by the end of the capture.
    fn arp(&mut self, time: u64) -> io::Result<()> {
        let packet = ArpEthIpv4Packet {
            operation: ArpOperation::REQUEST,
            sender_mac: MACS[0],
            sender_ipv4: [10, 0, 0, 5],
            target_mac: [0; 6],
            target_ipv4: [10, 0, 0, 1],
        };
        self.frame.clear();
        PacketBuilder::ethernet2(MACS[0], [0xff; 6])
            .arp(packet.into())
            .write(&mut self.frame)
            .map_err(io::Error::other)?;
        self.record(time)
    }
}

/// Numbers that look like chance and are the same every time: `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }
}
