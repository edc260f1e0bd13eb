//! Completes rows by the rows around them.
//!
//! A packet list shows ports only where TCP or UDP is the highest protocol: `KRB5 AS-REQ` tells
//! none, and an ICMP error does not tell what it is about. The rows before usually do: the row
//! belongs to the connection that these hosts have open for that protocol, the error to what its
//! receiver sent last without an answer. What cannot be told so keeps its port untold.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::capture::wireshark::account::{Account, Icmp, flag};
use crate::capture::wireshark::draft::Draft;
use crate::capture::wireshark::notes::{Note, Notes};
use crate::capture::wireshark::ports::{self, Service};
use crate::capture::wireshark::rows;
use crate::net::{Address, Endpoint, Transport};

/// Rows that are held while one of them waits for a row that tells its ports.
const MOST_HELD: usize = 256;
/// Connections remembered between two hosts, and packets of a host.
const MOST_REMEMBERED: usize = 32;
/// Pairs of hosts and hosts remembered. Beyond, all is forgotten: a scan needs no memory.
const MOST_HOSTS: usize = 1 << 16;

/// Protocols that are above neither TCP nor UDP, or say nothing of what they are above.
const NOT_APPLICATIONS: [&str; 22] = [
    "", "AH", "ARP", "CDP", "EAPOL", "EIGRP", "ESP", "GRE", "ICMP", "ICMPv6", "IGMPv2", "IGMPv3",
    "IPv4", "IPv6", "LLDP", "OSPF", "PIMv2", "RARP", "SCTP", "STP", "TCP", "UDP",
];

/// What was seen of the rows so far.
#[derive(Default)]
pub(super) struct Neighbours {
    connections: HashMap<(Address, Address), Vec<Connection>, FixedState>,
    sent: HashMap<Address, Vec<Sent>, FixedState>,
    /// Rows in order, from the first that waits for its ports.
    held: VecDeque<Held>,
    /// Rows that wait among those.
    waiting: usize,
    /// Whether numbers are those of the wire: a SYN had another than 0.
    absolute: bool,
}

struct Held {
    draft: Draft,
    waits: bool,
}

/// A TCP connection between two hosts.
#[derive(Clone, Copy)]
struct Connection {
    /// The ports, that of the host that sorts first before the other.
    ports: (u16, u16),
    /// Whether its beginning was seen.
    begun: bool,
    /// Whether more was seen than attempts to open it.
    opened: bool,
    closed: bool,
}

/// A packet that a host sent.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sent {
    transport: Transport,
    from: Endpoint,
    to: Endpoint,
    conversation: Option<u32>,
    answered: bool,
}

impl Neighbours {
    /// Takes the next row.
    pub(super) fn push(&mut self, mut draft: Draft, notes: &mut Notes) {
        let mut waits = false;
        let (line, original) = (draft.line, draft.original);
        if let Some(account) = draft.account.as_mut().filter(|_| draft.bytes.is_empty()) {
            self.count_from_the_wire(account);
            if account.icmp.is_some_and(|icmp| icmp.is_error() && account.quoted.is_none()) {
                self.settle(notes);
                self.quote(account, line, notes);
            } else if is_application(account) {
                waits = !self.complete(account, original, line, notes);
            }
            self.remember(account);
        }
        if !waits && let Some(account) = draft.account.as_ref() {
            let account = account.clone();
            self.resolve(&account, notes);
        }
        self.waiting += usize::from(waits);
        self.held.push_back(Held { draft, waits });
    }

    /// The next row that is complete, or that waited long enough; with `ended` any.
    pub(super) fn pop(&mut self, ended: bool, notes: &mut Notes) -> Option<Draft> {
        let full = self.held.len() > MOST_HELD;
        let first = self.held.front_mut()?;
        if first.waits {
            if !full && !ended {
                return None;
            }
            self.waiting = self.waiting.saturating_sub(1);
            if let Some(account) = &mut first.draft.account {
                give_up(account, first.draft.original, first.draft.line, notes);
            }
        }
        self.held.pop_front().map(|held| held.draft)
    }

    /// Lets no row wait any longer: what they say is asked for.
    fn settle(&mut self, notes: &mut Notes) {
        if self.waiting == 0 {
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        for held in held.iter_mut().filter(|held| held.waits) {
            held.waits = false;
            if let Some(account) = &mut held.draft.account {
                give_up(account, held.draft.original, held.draft.line, notes);
                self.remember(account);
            }
        }
        self.held = held;
        self.waiting = 0;
    }

    /// Takes numbers for those of the wire, once a SYN shows that they are.
    fn count_from_the_wire(&mut self, account: &mut Account) {
        let syn = account.flags.is_some_and(|flags| flags & (flag::SYN | flag::ACK) == flag::SYN);
        self.absolute |= syn && account.seq.is_some_and(|seq| seq.relative && seq.value != 0);
        if self.absolute {
            for number in [&mut account.seq, &mut account.ack].into_iter().flatten() {
                number.relative = false;
            }
        }
    }

    /// Finds the ports of an application's row; false where it has to wait for them.
    fn complete(
        &self,
        account: &mut Account,
        original: Option<u32>,
        line: u64,
        notes: &mut Notes,
    ) -> bool {
        let service = ports::of_protocol(&account.protocol);
        let (Some(from), Some(to)) = (account.source, account.destination) else { return true };
        let (pair, from_low) = pair(from, to);
        let open = self.connections.get(&pair).and_then(|all| pick(all, service));
        if let Some(connection) = open {
            let (low, high) = connection.ports;
            let (source, destination) = if from_low { (low, high) } else { (high, low) };
            on_connection(account, source, destination, original);
            notes.count(Note::PortsOfNeighbours, line);
            return true;
        }
        match service {
            Some(Service { transport: Transport::Udp, both: false, .. }) => {
                give_up(account, original, line, notes);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Remembers what a row with ports tells of the hosts.
    fn remember(&mut self, account: &Account) {
        let Some((transport, from, to)) = told(account) else { return };
        if self.connections.len() > MOST_HOSTS || self.sent.len() > MOST_HOSTS {
            self.connections.clear();
            self.sent.clear();
        }
        let conversation = account.conversation;
        let sent = Sent { transport, from, to, conversation, answered: false };
        let packets = self.sent.entry(from.address).or_default();
        packets.retain(|other| (other.transport, other.from, other.to) != (transport, from, to));
        push_bounded(packets, sent);
        for answered in self.sent.get_mut(&to.address).into_iter().flatten() {
            answered.answered |=
                (answered.transport, answered.from, answered.to) == (transport, to, from);
        }
        let whole = transport == Transport::Tcp && from.port != 0 && to.port != 0;
        let Some(flags) = account.flags.filter(|_| whole) else { return };
        let (pair, from_low) = pair(from.address, to.address);
        let ports = if from_low { (from.port, to.port) } else { (to.port, from.port) };
        let all = self.connections.entry(pair).or_default();
        let before = all.iter().position(|connection| connection.ports == ports);
        let mut connection = match before {
            Some(place) => all.remove(place),
            None => Connection { ports, begun: false, opened: false, closed: false },
        };
        connection.begun |= flags & flag::SYN != 0;
        match flags & (flag::SYN | flag::ACK | flag::RST) {
            flag::SYN => (connection.opened, connection.closed) = (false, false),
            flags if flags & flag::RST != 0 => connection.closed = true,
            _ => {
                connection.opened = true;
                connection.closed |= flags & flag::FIN != 0;
            }
        }
        push_bounded(all, connection);
    }

    /// Completes rows that wait for what this row tells.
    fn resolve(&mut self, account: &Account, notes: &mut Notes) {
        let Some((Transport::Tcp, from, to)) = told(account) else { return };
        if from.port == 0 || to.port == 0 {
            return;
        }
        // What was said before a SYN was not said on its connection.
        let (pair, from_low) = pair(from.address, to.address);
        let ports = if from_low { (from.port, to.port) } else { (to.port, from.port) };
        let all = self.connections.get(&pair).map(Vec::as_slice).unwrap_or_default();
        let begun = all.iter().any(|connection| connection.ports == ports && connection.begun);
        if self.waiting == 0 || begun {
            return;
        }
        for held in self.held.iter_mut().filter(|held| held.waits) {
            let (line, original) = (held.draft.line, held.draft.original);
            let Some(waiting) = &mut held.draft.account else { continue };
            let along =
                waiting.source == Some(from.address) && waiting.destination == Some(to.address);
            let against =
                waiting.source == Some(to.address) && waiting.destination == Some(from.address);
            let service = ports::of_protocol(&waiting.protocol);
            let fits = |service: Service| {
                service.anywhere
                    || service.ports.contains(&from.port)
                    || service.ports.contains(&to.port)
            };
            if (along || against) && service.is_none_or(fits) {
                let (source, destination) =
                    if along { (from.port, to.port) } else { (to.port, from.port) };
                on_connection(waiting, source, destination, original);
                notes.count(Note::PortsOfNeighbours, line);
                held.waits = false;
                self.waiting = self.waiting.saturating_sub(1);
            }
        }
    }

    /// Finds what an ICMP error is about: what its receiver sent last without an answer.
    fn quote(&self, account: &mut Account, line: u64, notes: &mut Notes) {
        let (Some(reporter), Some(receiver)) = (account.source, account.destination) else {
            return;
        };
        let port_unreachable = account.icmp.is_some_and(is_port_unreachable);
        let about = account.about;
        let all = self.sent.get(&receiver).map(Vec::as_slice).unwrap_or_default();
        let sent: Vec<Sent> = all
            .iter()
            .filter(|sent| about.is_none_or(|host| sent.to.address == host))
            .copied()
            .collect();
        let to_reporter = |sent: &&Sent| sent.to.address == reporter;
        let found = if port_unreachable {
            let datagrams = || sent.iter().rev().filter(to_reporter);
            datagrams().find(|sent| sent.transport == Transport::Udp).or_else(|| datagrams().next())
        } else {
            let silent = || sent.iter().rev().filter(|sent| !sent.answered);
            silent().find(to_reporter).or_else(|| silent().next())
        };
        if let Some(sent) = found {
            notes.count(Note::QuoteOfNeighbours, line);
            account.quoted = Some(Box::new(Account {
                source: Some(sent.from.address),
                destination: Some(sent.to.address),
                transport: Some(sent.transport),
                source_port: Some(sent.from.port),
                destination_port: Some(sent.to.port),
                conversation: sent.conversation,
                ..Account::default()
            }));
        }
    }
}

/// Adds to a list that forgets its oldest.
fn push_bounded<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= MOST_REMEMBERED {
        list.remove(0);
    }
    list.push(item);
}

/// The two hosts in order, and whether the first is the one named first.
fn pair(from: Address, to: Address) -> ((Address, Address), bool) {
    if from <= to { ((from, to), true) } else { ((to, from), false) }
}

/// Who sent a row's packet, and to whom, where one port is told at least; the other is 0 then.
fn told(account: &Account) -> Option<(Transport, Endpoint, Endpoint)> {
    account.source_port.or(account.destination_port)?;
    let port = |port: Option<u16>| port.unwrap_or_default();
    let from = Endpoint { address: account.source?, port: port(account.source_port) };
    let to = Endpoint { address: account.destination?, port: port(account.destination_port) };
    Some((account.transport?, from, to))
}

/// Whether a row is of something above TCP or UDP, and does not tell its ports.
fn is_application(account: &Account) -> bool {
    account.source_port.is_none()
        && account.destination_port.is_none()
        && account.icmp.is_none()
        && !NOT_APPLICATIONS.contains(&account.protocol.as_str())
        && ![account.source, account.destination].iter().flatten().any(is_hardware)
}

/// Whether a host is named by its hardware address, which is above no IP. `Broadcast` is, too.
fn is_hardware(address: &Address) -> bool {
    match address {
        Address::Name(name) => {
            let text = Address::Name(*name).to_string();
            text == "Broadcast" || text.split(':').count() == 6
        }
        Address::Ip(_) | Address::Conversation(_) => false,
    }
}

fn is_port_unreachable(icmp: Icmp) -> bool {
    (icmp.version6, icmp.kind, icmp.code) == (true, 1, 4)
        || (icmp.version6, icmp.kind, icmp.code) == (false, 3, 3)
}

/// The connection that a row of a service belongs to: the newest that is open.
fn pick(all: &[Connection], service: Option<Service>) -> Option<Connection> {
    let fits = |connection: &&Connection| {
        let (low, high) = connection.ports;
        let known = |ports: &[u16]| ports.contains(&low) || ports.contains(&high);
        service.is_none_or(|service| known(service.ports))
    };
    // Nothing is said on a connection that nobody answered.
    let newest_first = || all.iter().rev().filter(|connection| connection.opened);
    let open = newest_first().filter(|connection| !connection.closed).find(fits);
    let anywhere = || {
        newest_first()
            .find(|connection| service.is_none_or(|service| service.anywhere) && !connection.closed)
    };
    // The last words of a connection come with or after its end.
    let closed = || {
        newest_first()
            .filter(|_| service.is_none_or(|service| service.transport == Transport::Tcp))
            .find(fits)
    };
    open.or_else(anywhere).or_else(closed).copied()
}

/// Makes a row a segment with payload.
fn on_connection(account: &mut Account, source: u16, destination: u16, original: Option<u32>) {
    account.transport = Some(Transport::Tcp);
    account.source_port = Some(source);
    account.destination_port = Some(destination);
    account.flags = account.flags.or(Some(flag::PSH | flag::ACK));
    account.length = account.length.or_else(|| Some(payload(account, original, 20)));
}

/// Payload of a frame of this length: without Ethernet's header, the network's, and the
/// transport's of so many bytes. At least 1, or it would not be an application's row.
fn payload(account: &Account, original: Option<u32>, transport: u32) -> u32 {
    let network = if account.source.is_some_and(Address::is_ipv6) { 40 } else { 20 };
    original.unwrap_or(0).saturating_sub(14 + network + transport).max(1)
}

/// Gives a row the port of its service and leaves the other untold.
fn give_up(account: &mut Account, original: Option<u32>, line: u64, notes: &mut Notes) {
    let Some(service) = ports::of_protocol(&account.protocol) else { return };
    notes.count(Note::PortOfProtocol, line);
    let port = service.ports.first().copied();
    if !rows::to_group(account) && is_answer(&account.info) {
        account.source_port = port;
    } else {
        account.destination_port = port;
    }
    account.transport = Some(service.transport);
    account.conversation = transaction(&account.info);
    match service.transport {
        Transport::Tcp => {
            account.flags = Some(flag::PSH | flag::ACK);
            account.length = Some(payload(account, original, 20));
        }
        Transport::Udp => account.length = Some(payload(account, original, 8)),
    }
}

/// Whether a summary is of an answer, in the words of Wireshark.
fn is_answer(info: &str) -> bool {
    const WORDS: [&str; 14] = [
        "response",
        "reply",
        "-rep",
        "error",
        "resentry",
        "resdone",
        "offer",
        "dhcp ack",
        "dhcp nak",
        "server",
        "accept",
        "reject",
        "advertise",
        "bind_ack",
    ];
    let info = info.to_lowercase();
    WORDS.iter().any(|word| info.contains(word))
}

/// The number that a question and its answer share (`0x1f3a` of DNS), which tells conversations
/// apart that have no ports.
fn transaction(info: &str) -> Option<u32> {
    let digits = info.split_whitespace().find_map(|word| word.strip_prefix("0x"))?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::capture::tests::read;
    use crate::capture::{Row, RowContent, RowOther};

    /// Transport and ports of each row: `tcp 52716-88`, or what it is instead.
    fn told(rows: &[&str]) -> Vec<String> {
        let lines: Vec<String> =
            (1..).zip(rows).map(|(number, row)| format!("{number} 0.{number} {row}\n")).collect();
        let numbered = lines.concat();
        let (frames, _) = read(numbered.as_bytes());
        let content = |bytes: &[u8]| match Row::read(bytes).unwrap().content {
            RowContent::Segment { path, .. } => {
                format!("tcp {}-{}", path.source.port, path.destination.port)
            }
            RowContent::Datagram { path, .. } => {
                format!("udp {}-{}", path.source.port, path.destination.port)
            }
            RowContent::IcmpError { quoted, .. } => {
                format!("icmp {}-{}", quoted.source.port, quoted.destination.port)
            }
            RowContent::Other(RowOther::NoPorts) => "nothing".to_owned(),
            RowContent::Other(other) => format!("{other:?}"),
        };
        frames.iter().map(|frame| content(&frame.3)).collect()
    }

    const SYN: &str = "10.0.0.5 → 10.1.0.13 TCP 66 52716 → 88 [SYN] Seq=0 Len=0";
    const SYN_ACK: &str = "10.1.0.13 → 10.0.0.5 TCP 66 88 → 52716 [SYN, ACK] Seq=0 Ack=1 Len=0";
    const ASK: &str = "10.0.0.5 → 10.1.0.13 KRB5 194 AS-REQ";
    const ANSWER: &str = "10.1.0.13 → 10.0.0.5 KRB5 152 KRB Error: KRB5KDC_ERR_PREAUTH_REQUIRED";

    #[test]
    fn an_application_is_heard_on_the_connection_that_is_open() {
        assert_eq!(told(&[SYN, SYN_ACK, ASK, ANSWER])[2..], ["tcp 52716-88", "tcp 88-52716"]);
    }

    #[test]
    fn nothing_is_said_on_a_connection_that_nobody_answered() {
        assert_eq!(told(&[SYN, ASK]), ["tcp 52716-88", "udp 0-88"]);
        assert_eq!(told(&[ASK, ANSWER, SYN, SYN_ACK])[..2], ["udp 0-88", "udp 88-0"]);
    }

    #[test]
    fn a_row_before_all_others_waits_for_its_ports() {
        let ask = "10.0.0.5 → 10.1.0.10 SMB2 126 KeepAlive Request";
        let confirm = "10.0.0.5 → 10.1.0.10 TCP 54 50031 → 445 [ACK] Seq=145 Ack=145 Win=512 Len=0";
        assert_eq!(told(&[ask, confirm]), ["tcp 50031-445", "tcp 50031-445"]);
        assert_eq!(told(&[ask]), ["tcp 0-445"]);
        assert_eq!(told(&["10.0.0.5 → 10.1.0.10 SAMR 126 Connect5 request"]), ["nothing"]);
    }

    #[test]
    fn an_icmp_error_is_about_what_was_not_answered() {
        let refused = "10.0.0.1 → 10.0.0.5 ICMP 70 Destination unreachable (Host unreachable)";
        let other = "10.0.0.5 → 10.1.0.7 TCP 66 52717 → 445 [SYN] Seq=0 Len=0";
        let answer = "10.1.0.7 → 10.0.0.5 TCP 66 445 → 52717 [SYN, ACK] Seq=0 Ack=1 Len=0";
        assert_eq!(told(&[SYN, other, answer, refused])[3], "icmp 52716-88");
        assert_eq!(told(&[refused]), ["Icmp"]);
    }

    proptest! {
        #[test]
        fn every_row_comes_out_in_its_place(
            chosen in prop::collection::vec(0..6_usize, 1..600),
        ) {
            let rows = [
                SYN, SYN_ACK, ASK, ANSWER,
                "10.0.0.5 → 10.1.0.13 SMB2 126 KeepAlive Request",
                "10.0.0.1 → 10.0.0.5 ICMP 70 Destination unreachable (Port unreachable)",
            ];
            let lines: Vec<String> = (1..)
                .zip(&chosen)
                .map(|(number, place)| format!("{number} 0.5 {}\n", rows[*place]))
                .collect();
            let numbered = lines.concat();
            let (frames, _) = crate::capture::tests::read_in(numbered.as_bytes(), 4096);
            prop_assert!(frames.iter().map(|frame| frame.0).eq(1..=chosen.len() as u64));
        }
    }
}
