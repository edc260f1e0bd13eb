//! Writes the rows that Network Monitor's frame summary shows, as somebody copies them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use etherparse::{NetSlice, SlicedPacket, TcpHeaderSlice, TransportSlice};

use crate::support::scene::Scene;

/// How the rows came into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Pasted out of the grid: all columns, with tabs between them.
    Pasted,
    /// The same, of which a mail made single blanks.
    Mailed,
    /// In an article: descriptions and conversations only, amid prose, and some of them spoilt as
    /// publishing spoils them.
    Published,
}

/// Names that Network Monitor gives to ports.
fn port(number: u16) -> String {
    let name = match number {
        53 => "DNS",
        88 => "Kerberos",
        135 => "DCE endpoint resolution",
        389 => "LDAP",
        445 => "Microsoft-DS",
        3268 => "Microsoft Global Catalog (LDAP)",
        _ => return number.to_string(),
    };
    format!("{name}({number})")
}

/// Numbers of conversations, in the order in which they begin.
#[derive(Default)]
struct Conversations {
    next: u32,
    hosts: BTreeMap<[String; 2], u32>,
    ports: BTreeMap<(&'static str, [String; 2], [u16; 2]), u32>,
}

impl Conversations {
    /// `{TCP:14, IPv4:13}`.
    fn list(&mut self, transport: &'static str, hosts: [&str; 2], ports: [u16; 2]) -> String {
        let mut pair = hosts.map(str::to_owned);
        pair.sort();
        let mut both = ports;
        both.sort_unstable();
        let next = &mut self.next;
        let mut number = || {
            *next += 1;
            *next
        };
        let family = if hosts[0].contains(':') { "IPv6" } else { "IPv4" };
        let of_hosts = *self.hosts.entry(pair.clone()).or_insert_with(&mut number);
        let of_ports = *self.ports.entry((transport, pair, both)).or_insert_with(&mut number);
        format!("{{{transport}:{of_ports}, {family}:{of_hosts}}}")
    }
}

/// A row.
struct Line {
    source: String,
    destination: String,
    protocol: &'static str,
    description: String,
    conversations: String,
}

pub fn write(scene: &Scene, form: Form) -> Vec<u8> {
    let mut conversations = Conversations::default();
    let mut text = String::new();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for (place, frame) in scene.frames.iter().enumerate() {
        let number = place as u64 + 1;
        let line = summary(&frame.bytes, number, &mut conversations, &mut seen);
        match form {
            Form::Pasted => {
                let cells = cells(number, frame.time, &line);
                let (description, told) = (&line.description, &line.conversations);
                writeln!(text, "{}\t{description}\t{told}", cells.join("\t")).unwrap();
            }
            Form::Mailed => {
                let cells = cells(number, frame.time, &line);
                let cells: Vec<String> =
                    cells.into_iter().filter(|cell| !cell.is_empty()).collect();
                let (description, told) = (&line.description, &line.conversations);
                writeln!(text, "> {} {description} {told}", cells.join(" ")).unwrap();
            }
            Form::Published => publish(&mut text, number, &line),
        }
    }
    text.into_bytes()
}

/// Number, time and date, offset, process, hosts and protocol.
fn cells(number: u64, time: i64, line: &Line) -> Vec<String> {
    let since = time - Scene::START;
    let (second, of_second) = (since / 1_000_000_000, since % 1_000_000_000 / 100);
    let clock = 9 * 3600 + 30 * 60 + second;
    let clock =
        format!("{:02}:{:02}:{:02}.{of_second:07}", clock / 3600, clock / 60 % 60, clock % 60);
    let offset = format!("{second}.{of_second:07}");
    [
        number.to_string(),
        format!("{clock} 11/13/2012"),
        offset,
        if number.is_multiple_of(3) { "lsass.exe".to_owned() } else { String::new() },
        line.source.clone(),
        line.destination.clone(),
        line.protocol.to_owned(),
    ]
    .to_vec()
}

/// Every row in another of the ways in which articles spoil them.
fn publish(text: &mut String, number: u64, line: &Line) {
    if line.conversations.is_empty() {
        text.push_str("\nAnd then – as (Flags=…A..S. and Flags=…A….) above shows – nothing.\n\n");
        return;
    }
    let (protocol, description) = (line.protocol, &line.description);
    let short = description.replace("...", "…");
    let body = match number % 5 {
        0 => format!("{protocol} {description}"),
        1 => format!(" {protocol} {}", description.replace(", ", ",&nbsp;")),
        2 => short,
        3 => short.replace('…', "&#8230;"),
        _ => format!("<span>{description}</span>"),
    };
    let _ = write!(text, "{body} {}", line.conversations);
    // Some line ends are lost.
    text.push_str(if number.is_multiple_of(4) { " " } else { "\n" });
}

fn summary(
    bytes: &[u8],
    number: u64,
    conversations: &mut Conversations,
    seen: &mut BTreeMap<String, u64>,
) -> Line {
    let packet = SlicedPacket::from_ethernet(bytes).unwrap();
    let (source, destination) = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            (header.source_addr().to_string(), header.destination_addr().to_string())
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            (header.source_addr().to_string(), header.destination_addr().to_string())
        }
        _ => ("10.0.0.5".to_owned(), "10.0.0.1".to_owned()),
    };
    let hosts = [source.as_str(), destination.as_str()];
    let (protocol, description, told) = match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let header = TcpHeaderSlice::from_slice(tcp.header_slice()).unwrap();
            let ports = [header.source_port(), header.destination_port()];
            let told = conversations.list("TCP", hosts, ports);
            ("TCP", segment(&header, tcp.payload().len(), number, &told, seen), told)
        }
        Some(TransportSlice::Udp(udp)) => {
            let ports = [udp.source_port(), udp.destination_port()];
            let description = format!(
                "UDP:SrcPort = {}, DstPort = {}, Length = {}",
                port(ports[0]),
                port(ports[1]),
                udp.length()
            );
            ("UDP", description, conversations.list("UDP", hosts, ports))
        }
        _ => ("ARP", format!("ARP:Request, {source} asks for {destination}"), String::new()),
    };
    Line { protocol, description, conversations: told, source, destination }
}

fn segment(
    header: &TcpHeaderSlice<'_>,
    payload: usize,
    number: u64,
    told: &str,
    seen: &mut BTreeMap<String, u64>,
) -> String {
    let flags: String = [
        (header.cwr(), 'C'),
        (header.ece(), 'E'),
        (header.urg(), 'U'),
        (header.ack(), 'A'),
        (header.psh(), 'P'),
        (header.rst(), 'R'),
        (header.syn(), 'S'),
        (header.fin(), 'F'),
    ]
    .map(|(set, letter)| if set { letter } else { '.' })
    .iter()
    .collect();
    let (seq, ack, window) =
        (header.sequence_number(), header.acknowledgment_number(), header.window_size());
    let tag = if header.syn() && !header.ack() {
        let first = *seen.entry(format!("{told} {seq}")).or_insert(number);
        if first == number { String::new() } else { format!("[SynReTransmit #{first}]") }
    } else {
        String::new()
    };
    let range = if payload > 0 {
        format!("{seq} - {}", seq.wrapping_add(payload as u32))
    } else {
        seq.to_string()
    };
    let scale = match (header.syn(), header.ack(), header.rst()) {
        (_, _, true) => String::new(),
        (true, false, _) => format!(" ( Negotiating scale factor 0x8 ) = {window}"),
        (true, true, _) => {
            format!(" ( Negotiated scale factor 0x8 ) = {}", u32::from(window) << 8)
        }
        _ => format!(" (scale factor 0x8) = {}", u32::from(window) << 8),
    };
    format!(
        "TCP:{tag}Flags={flags}, SrcPort={}, DstPort={}, PayloadLen={payload}, Seq={range}, \
         Ack={ack}, Win={window}{scale}",
        port(header.source_port()),
        port(header.destination_port())
    )
}
