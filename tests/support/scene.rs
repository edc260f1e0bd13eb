//! Plays network traffic for tests: hosts, a clock, and verbs that read as the story.
//!
//! ```ignore
//! let (cas, dc) = (Host::new("10.0.0.5"), Host::new("10.1.0.13").hops(2));
//! let mut ldap = Tcp::new(cas, 52705, dc, 389).isn(914_145_090, 0);
//! let mut scene = Scene::new();
//! scene.syn(&mut ldap);
//! scene.refuse(&mut ldap, Refusal::CLOSED_PORT);
//! ```
//!
//! Every verb adds one frame and gives its number. Checksums are right, IP identifications
//! count up for each host as Windows counts them, and nothing depends on chance or on the
//! time of day, so the same story gives the same bytes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::icmpv6::DestUnreachableCode;
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, Icmpv4Type, Icmpv6Type, IpHeaders, IpNumber, Ipv4Extensions,
    Ipv4Header, Ipv6Extensions, Ipv6Header, PacketBuilder, PacketBuilderStep, SingleVlanHeader,
    TcpHeader, TcpOptionElement, VlanHeader, VlanId,
};

/// A host on the network. Its MAC address follows from its IP address.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub address: IpAddr,
    mac: [u8; 6],
    ttl: u8,
}

impl Host {
    /// A Windows host on the capturing machine's own network.
    pub fn new(address: &str) -> Host {
        let address: IpAddr = address.parse().unwrap();
        let tail: [u8; 4] = match address {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(address) => *address.octets().last_chunk().unwrap(),
        };
        let [a, b, c, d] = tail;
        Host { address, mac: [0x02, 0, a, b, c, d], ttl: 128 }
    }

    /// The address of its card.
    pub fn mac(self) -> [u8; 6] {
        self.mac
    }

    /// The same host, `count` routers away.
    pub fn hops(self, count: u8) -> Host {
        Host { ttl: self.ttl - count, ..self }
    }
}

/// One side of a TCP flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Initiator,
    Responder,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Initiator => Side::Responder,
            Side::Responder => Side::Initiator,
        }
    }
}

/// A TCP flow in play: both ends, and where each stands in its sequence.
#[derive(Clone, Debug)]
pub struct Tcp {
    ends: [(Host, u16); 2],
    isn: [u32; 2],
    next: [u32; 2],
    syns: u32,
}

impl Tcp {
    /// A flow that `initiator` may open from `from` to `responder`'s port `to`.
    pub fn new(initiator: Host, from: u16, responder: Host, to: u16) -> Tcp {
        let isn = u32::from(from).wrapping_mul(0x0001_e24d).wrapping_add(u32::from(to));
        Tcp { ends: [(initiator, from), (responder, to)], isn: [0; 2], next: [0; 2], syns: 0 }
            .isn(isn, !isn)
    }

    /// With these initial sequence numbers.
    pub fn isn(mut self, initiator: u32, responder: u32) -> Tcp {
        self.isn = [initiator, responder];
        self.next = [initiator.wrapping_add(1), responder.wrapping_add(1)];
        self
    }

    fn end(&self, side: Side) -> (Host, u16) {
        self.ends[side as usize]
    }

    /// A segment of an open connection, at the place where `from` stands.
    fn segment(&self, from: Side) -> TcpHeader {
        let mut header = self.header(from, self.next[from as usize], WINDOW_OPEN);
        header.ack = true;
        header.acknowledgment_number = self.next[from.other() as usize];
        header
    }

    fn header(&self, from: Side, seq: u32, window: u16) -> TcpHeader {
        TcpHeader::new(self.end(from).1, self.end(from.other()).1, seq, window)
    }
}

/// What a reset that answers a SYN looks like.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    pub seq: u32,
    pub window: u16,
}

impl Refusal {
    /// What a closed port sends: RFC 9293, 3.10.7.1, with the usual window.
    pub const CLOSED_PORT: Refusal = Refusal { seq: 0, window: 0 };
}

/// Window of a SYN and a SYN-ACK of Windows Vista to 2012.
const WINDOW_SYN: u16 = 8192;
/// Window after the handshake, scaled by 2^8: 128 KiB.
const WINDOW_OPEN: u16 = 512;

/// A frame of a scene.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Nanoseconds since 1970.
    pub time: i64,
    pub bytes: Vec<u8>,
    pub comment: Option<String>,
}

/// Traffic, frame by frame.
#[derive(Clone, Debug)]
pub struct Scene {
    pub frames: Vec<Frame>,
    /// Names for addresses, for formats that store them.
    pub names: Vec<(IpAddr, String)>,
    now: i64,
    tags: Vec<u16>,
    ip_ids: BTreeMap<IpAddr, u16>,
}

impl Scene {
    /// 2012-11-13 09:30:00 UTC.
    pub const START: i64 = 1_352_799_000_000_000_000;
    /// From one frame to the next where the story does not [wait](Scene::wait).
    const STEP: i64 = 250_000;

    pub fn new() -> Scene {
        Scene {
            frames: Vec::new(),
            names: Vec::new(),
            now: Scene::START,
            tags: Vec::new(),
            ip_ids: BTreeMap::new(),
        }
    }

    /// Number of the last frame.
    pub fn last(&self) -> usize {
        self.frames.len()
    }

    /// Lets the next frame follow the last one by `milliseconds`.
    pub fn wait(&mut self, milliseconds: i64) {
        let last = self.frames.last().map_or(Scene::START, |frame| frame.time);
        self.now = last + milliseconds * 1_000_000;
    }

    /// Puts the following frames into these VLANs, outermost first; at most two.
    pub fn vlans(&mut self, tags: &[u16]) {
        self.tags = tags.to_vec();
    }

    /// Remarks on the last frame.
    pub fn comment(&mut self, text: &str) {
        self.frames.last_mut().unwrap().comment = Some(text.to_owned());
    }

    /// Gives a host a name.
    pub fn name(&mut self, host: Host, name: &str) {
        self.names.push((host.address, name.to_owned()));
    }

    /// SYN. Said again it is a retransmission: the third of a row has no window scale, as in
    /// Windows since Vista.
    pub fn syn(&mut self, tcp: &mut Tcp) -> usize {
        tcp.syns += 1;
        let mut header = tcp.header(Side::Initiator, tcp.isn[0], WINDOW_SYN);
        header.syn = true;
        header.set_options(syn_options(tcp.syns < 3)).unwrap();
        self.send(tcp, Side::Initiator, header, &[])
    }

    pub fn syn_ack(&mut self, tcp: &Tcp) -> usize {
        let mut header = tcp.header(Side::Responder, tcp.isn[1], WINDOW_SYN);
        header.syn = true;
        header.ack = true;
        header.acknowledgment_number = tcp.isn[0].wrapping_add(1);
        header.set_options(syn_options(tcp.syns < 3)).unwrap();
        self.send(tcp, Side::Responder, header, &[])
    }

    pub fn ack(&mut self, tcp: &Tcp, from: Side) -> usize {
        self.send(tcp, from, tcp.segment(from), &[])
    }

    pub fn data(&mut self, tcp: &mut Tcp, from: Side, payload: &[u8]) -> usize {
        let mut header = tcp.segment(from);
        header.psh = true;
        tcp.next[from as usize] = header.sequence_number.wrapping_add(payload.len() as u32);
        self.send(tcp, from, header, payload)
    }

    pub fn fin(&mut self, tcp: &mut Tcp, from: Side) -> usize {
        let mut header = tcp.segment(from);
        header.fin = true;
        tcp.next[from as usize] = header.sequence_number.wrapping_add(1);
        self.send(tcp, from, header, &[])
    }

    /// Resets an open connection.
    pub fn rst(&mut self, tcp: &Tcp, from: Side) -> usize {
        let mut header = tcp.segment(from);
        header.rst = true;
        header.window_size = 0;
        self.send(tcp, from, header, &[])
    }

    /// A reset that answers the SYN.
    pub fn refuse(&mut self, tcp: &Tcp, refusal: Refusal) -> usize {
        let mut header = tcp.header(Side::Responder, refusal.seq, refusal.window);
        header.rst = true;
        header.ack = true;
        header.acknowledgment_number = tcp.isn[0].wrapping_add(1);
        self.send(tcp, Side::Responder, header, &[])
    }

    /// SYN, SYN-ACK, ACK: three frames.
    pub fn handshake(&mut self, tcp: &mut Tcp) {
        self.syn(tcp);
        self.syn_ack(tcp);
        self.ack(tcp, Side::Initiator);
    }

    /// A request and its answer: two frames.
    pub fn exchange(&mut self, tcp: &mut Tcp, request: &[u8], answer: &[u8]) {
        self.data(tcp, Side::Initiator, request);
        self.data(tcp, Side::Responder, answer);
    }

    /// FIN, FIN, ACK, begun by the initiator: three frames.
    pub fn close(&mut self, tcp: &mut Tcp) {
        self.fin(tcp, Side::Initiator);
        self.fin(tcp, Side::Responder);
        self.ack(tcp, Side::Initiator);
    }

    /// Any segment.
    pub fn send(&mut self, tcp: &Tcp, from: Side, header: TcpHeader, payload: &[u8]) -> usize {
        let ip = self.ip(tcp.end(from).0, tcp.end(from.other()).0);
        let mut bytes = Vec::new();
        ip.tcp_header(header).write(&mut bytes, payload).unwrap();
        self.raw(bytes)
    }

    /// A datagram.
    pub fn udp(&mut self, (from, port): (Host, u16), to: (Host, u16), payload: &[u8]) -> usize {
        let ip = self.ip(from, to.0);
        let mut bytes = Vec::new();
        ip.udp(port, to.1).write(&mut bytes, payload).unwrap();
        self.raw(bytes)
    }

    /// A router, or a host, tells the sender of `frame` that it cannot be delivered. `code` is
    /// that of ICMP type 3, or for IPv6 that of `ICMPv6` type 1. IPv4 routers quote the header
    /// and eight bytes (RFC 792), IPv6 ones as much as fits (RFC 4443, 3.1).
    pub fn icmp_unreachable(&mut self, from: Host, code: u8, frame: usize) -> usize {
        let quoted = &self.frames[frame - 1].bytes;
        let packet = &quoted[14 + 4 * self.tags.len()..];
        let mac: [u8; 6] = quoted[6..12].try_into().unwrap();
        let mut bytes = Vec::new();
        if from.address.is_ipv4() {
            let quote = packet[..28].to_vec();
            let sender: [u8; 4] = packet[12..16].try_into().unwrap();
            let to = Host { address: sender.into(), mac, ttl: 128 };
            let header = DestUnreachableHeader::from_values(code, 0).unwrap();
            let ip = self.ip(from, to);
            ip.icmpv4(Icmpv4Type::DestinationUnreachable(header))
                .write(&mut bytes, &quote)
                .unwrap();
        } else {
            let quote = packet.to_vec();
            let sender: [u8; 16] = packet[8..24].try_into().unwrap();
            let to = Host { address: sender.into(), mac, ttl: 128 };
            let code = DestUnreachableCode::from_u8(code).unwrap();
            let ip = self.ip(from, to);
            ip.icmpv6(Icmpv6Type::DestinationUnreachable(code)).write(&mut bytes, &quote).unwrap();
        }
        self.raw(bytes)
    }

    /// A host asks who has an address: traffic that belongs to no flow.
    pub fn arp(&mut self, from: Host, wanted: Host) -> usize {
        let (IpAddr::V4(sender), IpAddr::V4(target)) = (from.address, wanted.address) else {
            panic!("ARP is IPv4's");
        };
        let packet = ArpEthIpv4Packet {
            operation: ArpOperation::REQUEST,
            sender_mac: from.mac,
            sender_ipv4: sender.octets(),
            target_mac: [0; 6],
            target_ipv4: target.octets(),
        };
        let mut bytes = Vec::new();
        let ethernet = PacketBuilder::ethernet2(from.mac, [0xff; 6]);
        ethernet.arp(packet.into()).write(&mut bytes).unwrap();
        self.raw(bytes)
    }

    /// Cuts the last frame, of IPv4 and in no VLAN, up behind so many bytes above its IP header,
    /// multiples of eight. The pieces stand in `order`.
    pub fn cut_up(&mut self, behind: &[usize], order: &[usize]) {
        let whole = self.frames.pop().unwrap();
        self.now = whole.time;
        let (headers, rest) = whole.bytes.split_at(14 + 20);
        let begins = [&[0], behind].concat();
        let ends = [behind, &[rest.len()]].concat();
        for &place in order {
            let (begin, end) = (begins[place], ends[place]);
            let (mac, ip) = headers.split_at(14);
            let mut ip = Ipv4Header::from_slice(ip).unwrap().0;
            ip.dont_fragment = false;
            ip.more_fragments = end < rest.len();
            ip.fragment_offset = u16::try_from(begin / 8).unwrap().try_into().unwrap();
            ip.set_payload_len(end - begin).unwrap();
            ip.header_checksum = ip.calc_header_checksum();
            self.raw([mac, &ip.to_bytes(), &rest[begin..end]].concat());
        }
    }

    /// The frame `number` once more, inside VXLAN `network` between two hosts, after `microseconds`
    /// and one router.
    pub fn inside_vxlan(
        &mut self,
        number: usize,
        network: u8,
        (from, to): (Host, Host),
        microseconds: i64,
    ) -> usize {
        let frame = &self.frames[number - 1];
        let mut inner = frame.bytes.clone();
        self.now = frame.time + microseconds * 1_000;
        let mut ip = Ipv4Header::from_slice(&inner[14..]).unwrap().0;
        ip.time_to_live -= 1;
        ip.header_checksum = ip.calc_header_checksum();
        inner[14..34].copy_from_slice(&ip.to_bytes());
        let vxlan = [&[8, 0, 0, 0, 0, 0, network, 0][..], &inner].concat();
        self.udp((from, 61_000), (to, 4789), &vxlan)
    }

    /// A frame of any bytes.
    pub fn raw(&mut self, bytes: Vec<u8>) -> usize {
        self.frames.push(Frame { time: self.now, bytes, comment: None });
        self.now += Scene::STEP;
        self.frames.len()
    }

    /// Ethernet, VLAN and IP headers.
    fn ip(&mut self, from: Host, to: Host) -> PacketBuilderStep<IpHeaders> {
        let ethernet = PacketBuilder::ethernet2(from.mac, to.mac);
        let headers = self.ip_headers(from, to);
        match self.tags[..] {
            [] => ethernet.ip(headers),
            [tag] => ethernet.vlan(VlanHeader::Single(vlan(tag))).ip(headers),
            [outer, inner] => {
                let [outer, inner] = [outer, inner].map(|tag| VlanId::try_new(tag).unwrap());
                ethernet.double_vlan(outer, inner).ip(headers)
            }
            _ => panic!("more than two VLAN tags"),
        }
    }

    fn ip_headers(&mut self, from: Host, to: Host) -> IpHeaders {
        match (from.address, to.address) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [.., seed] = from.mac;
                let id = self.ip_ids.entry(from.address).or_insert(u16::from(seed) << 8);
                *id = id.wrapping_add(1);
                let mut header = Ipv4Header {
                    identification: *id,
                    time_to_live: from.ttl,
                    source: source.octets(),
                    destination: destination.octets(),
                    protocol: IpNumber::TCP,
                    ..Ipv4Header::default()
                };
                header.dont_fragment = true;
                IpHeaders::Ipv4(header, Ipv4Extensions::default())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => IpHeaders::Ipv6(
                Ipv6Header {
                    hop_limit: from.ttl,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Ipv6Header::default()
                },
                Ipv6Extensions::default(),
            ),
            (from, to) => panic!("{from} cannot talk to {to}"),
        }
    }
}

fn vlan(tag: u16) -> SingleVlanHeader {
    SingleVlanHeader { vlan_id: VlanId::try_new(tag).unwrap(), ..SingleVlanHeader::default() }
}

/// MSS 1460, window scale 8, SACK permitted, as Windows orders them.
fn syn_options(window_scale: bool) -> &'static [TcpOptionElement] {
    use TcpOptionElement::{
        MaximumSegmentSize, Noop, SelectiveAcknowledgementPermitted, WindowScale,
    };
    const FULL: [TcpOptionElement; 6] = [
        MaximumSegmentSize(1460),
        Noop,
        WindowScale(8),
        Noop,
        Noop,
        SelectiveAcknowledgementPermitted,
    ];
    const PLAIN: [TcpOptionElement; 4] =
        [MaximumSegmentSize(1460), Noop, Noop, SelectiveAcknowledgementPermitted];
    if window_scale { &FULL } else { &PLAIN }
}
