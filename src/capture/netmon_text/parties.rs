//! Who talks to whom in a row: from its cells, else from its conversation.
//!
//! A row without addresses still tells a conversation and ports. Its two hosts are then the
//! initiator and the responder of that conversation: the sender of a SYN is the initiator, and
//! where no SYN tells, the one with the higher port is. Rows that tell no ports take those of
//! their conversation.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::capture::RowPath;
use crate::capture::netmon_text::fields::Conversations;
use crate::net::{Address, ConversationHost, Endpoint, Network, Part, Transport};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const RST: u8 = 0x04;

/// The conversations of a text.
#[derive(Default)]
pub(super) struct Parties {
    /// The newest use of each conversation number.
    known: HashMap<Number, Known, FixedState>,
    /// The newest conversation on each port between each two hosts.
    on_port: HashMap<(Pair, u16), Known, FixedState>,
    /// The conversation between each two hosts; `None` where they have several.
    only: HashMap<Pair, Option<Known>, FixedState>,
    /// Rows that tell neither hosts nor a conversation between hosts.
    pub(super) unnamed: u64,
}

/// A conversation between two ports: its number, and that of its hosts.
type Number = (Transport, u32, Option<(Network, u32)>);

/// Two hosts, the lower address first.
type Pair = (Transport, Address, Address);

fn pair(transport: Transport, one: Address, other: Address) -> Pair {
    (transport, one.min(other), one.max(other))
}

/// The two ends of a conversation.
#[derive(Clone, Copy)]
struct Known {
    initiator: Endpoint,
    responder: Endpoint,
    /// Whether a handshake tells who is who.
    sure: bool,
}

impl Known {
    fn path(&self, from_initiator: bool, conversation: u32) -> RowPath {
        let (source, destination) = if from_initiator {
            (self.initiator, self.responder)
        } else {
            (self.responder, self.initiator)
        };
        RowPath { source, destination, conversation: Some(conversation) }
    }
}

impl Parties {
    /// The path of a row that tells its ports. `flags` are those of a TCP segment.
    pub(super) fn by_ports(
        &mut self,
        transport: Transport,
        (source_port, destination_port): (u16, u16),
        flags: Option<u8>,
        hosts: Option<(Address, Address)>,
        told: Conversations,
    ) -> RowPath {
        let shown_by_handshake = match flags.map(|flags| flags & (SYN | ACK | RST)) {
            Some(SYN) => Some(true),
            Some(both) if both == SYN | ACK => Some(false),
            _ => None,
        };
        let number = told.ports.map(|(_, number)| number);
        if destination_port == 0
            && let Some((source, destination)) = hosts
            && let Some(known) =
                self.on_port.get(&(pair(transport, source, destination), source_port))
        {
            let from_initiator = known.is_initiator(source_port, hosts);
            return RowPath { conversation: number, ..known.path(from_initiator, 0) };
        }
        let earlier = number
            .and_then(|number| self.known.get(&(transport, number, told.hosts)).copied())
            .filter(|known| known.has_ports(source_port, destination_port));
        let from_initiator = shown_by_handshake
            .or_else(|| earlier.map(|known| known.is_initiator(source_port, hosts)))
            .unwrap_or(source_port >= destination_port);
        let (source, destination) = match (hosts, earlier) {
            (Some(hosts), _) => hosts,
            (None, Some(known)) => {
                let path = known.path(known.initiator.port == source_port, 0);
                (path.source.address, path.destination.address)
            }
            (None, None) => self.named_by(told.hosts, from_initiator),
        };
        let source = Endpoint { address: source, port: source_port };
        let destination = Endpoint { address: destination, port: destination_port };
        let (initiator, responder) =
            if from_initiator { (source, destination) } else { (destination, source) };
        let sure = shown_by_handshake.is_some();
        if hosts.is_some() && destination_port != 0 {
            self.remember_hosts(transport, Known { initiator, responder, sure });
        }
        if let Some(number) = number
            && (sure || !earlier.is_some_and(|known| known.sure))
        {
            let known = Known { initiator, responder, sure };
            self.known.insert((transport, number, told.hosts), known);
        }
        RowPath { source, destination, conversation: number }
    }

    /// The path of a row that tells no ports: those of its conversation, else that of the service
    /// which it speaks, and no other. `None` where neither is known.
    pub(super) fn by_conversation(
        &mut self,
        transport: Transport,
        service: Option<u16>,
        is_answer: bool,
        hosts: Option<(Address, Address)>,
        told: Conversations,
    ) -> Option<RowPath> {
        let number = told.ports.map(|(_, number)| number);
        let known =
            number.and_then(|number| self.known.get(&(transport, number, told.hosts)).copied());
        if let (Some(known), Some(number)) = (known, number) {
            let from_initiator = match hosts {
                Some((source, _)) if source == known.initiator.address => true,
                Some((source, _)) if source == known.responder.address => false,
                _ => !is_answer,
            };
            return Some(known.path(from_initiator, number));
        }
        if number.is_none()
            && let Some((source, destination)) = hosts
        {
            let between = pair(transport, source, destination);
            let known = match service {
                Some(port) => self.on_port.get(&(between, port)).copied(),
                // On any port: which of several conversations it was, nobody can tell.
                None => self.only.get(&between).copied().flatten(),
            };
            if let Some(known) = known {
                let from_initiator = source == known.initiator.address;
                return Some(RowPath { conversation: None, ..known.path(from_initiator, 0) });
            }
        }
        let port = service?;
        let (source, destination) = hosts.unwrap_or_else(|| self.named_by(told.hosts, !is_answer));
        let (own, other) = if is_answer { (port, 0) } else { (0, port) };
        Some(RowPath {
            source: Endpoint { address: source, port: own },
            destination: Endpoint { address: destination, port: other },
            conversation: number,
        })
    }

    fn remember_hosts(&mut self, transport: Transport, known: Known) {
        let between = pair(transport, known.initiator.address, known.responder.address);
        for port in [known.initiator.port, known.responder.port] {
            let newest = self.on_port.entry((between, port)).or_insert(known);
            if known.sure || !newest.sure {
                *newest = known;
            }
        }
        let ports = (known.initiator.port, known.responder.port);
        let only = self.only.entry(between).or_insert(Some(known));
        if only.is_some_and(|only| !only.has_ports(ports.0, ports.1)) {
            *only = None;
        }
    }

    /// The hosts of a conversation, or of none.
    fn named_by(
        &mut self,
        told: Option<(Network, u32)>,
        from_initiator: bool,
    ) -> (Address, Address) {
        self.unnamed += u64::from(told.is_none());
        let (network, number) = told.unwrap_or((Network::V4, 0));
        let host = |part| Address::Conversation(ConversationHost::new(network, number, part));
        let (initiator, responder) = (host(Part::Initiator), host(Part::Responder));
        if from_initiator { (initiator, responder) } else { (responder, initiator) }
    }
}

impl Known {
    fn has_ports(&self, one: u16, other: u16) -> bool {
        let ports = (self.initiator.port, self.responder.port);
        ports == (one, other) || ports == (other, one)
    }

    /// Whether the sender from this port is the initiator.
    fn is_initiator(&self, source_port: u16, hosts: Option<(Address, Address)>) -> bool {
        match hosts {
            Some((source, _)) if self.initiator.address != self.responder.address => {
                source == self.initiator.address
            }
            _ => source_port == self.initiator.port,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(number: u32) -> Conversations {
        Conversations { ports: Some((Transport::Tcp, number)), hosts: Some((Network::V4, 13)) }
    }

    fn shown(path: RowPath) -> String {
        format!("{} > {}", path.source, path.destination)
    }

    #[test]
    fn the_sender_of_a_syn_is_the_initiator_of_its_conversation() {
        let mut parties = Parties::default();
        let mut row = |ports, flags| {
            shown(parties.by_ports(Transport::Tcp, ports, Some(flags), None, told(36)))
        };
        // To a high port, where the ports would tell otherwise.
        assert_eq!(row((2000, 50000), SYN), "[IPv4:13 initiator]:2000 > [IPv4:13 responder]:50000");
        assert_eq!(
            row((50000, 2000), ACK | RST),
            "[IPv4:13 responder]:50000 > [IPv4:13 initiator]:2000"
        );
        assert_eq!(row((2000, 50000), ACK), "[IPv4:13 initiator]:2000 > [IPv4:13 responder]:50000");
    }

    #[test]
    fn without_a_handshake_the_ports_tell() {
        let mut parties = Parties::default();
        let path = parties.by_ports(Transport::Udp, (53, 50000), None, None, told(3));
        assert_eq!(shown(path), "[IPv4:13 responder]:53 > [IPv4:13 initiator]:50000");
    }

    #[test]
    fn rows_without_ports_take_those_of_their_conversation() {
        let mut parties = Parties::default();
        parties.by_ports(Transport::Tcp, (50000, 135), Some(SYN), None, told(36));
        let mut row = |answer| {
            parties.by_conversation(Transport::Tcp, None, answer, None, told(36)).map(shown)
        };
        let request = "[IPv4:13 initiator]:50000 > [IPv4:13 responder]:135";
        assert_eq!(row(false).unwrap(), request);
        let answer = "[IPv4:13 responder]:135 > [IPv4:13 initiator]:50000";
        assert_eq!(row(true).unwrap(), answer);
        // Another conversation is another pair of ports.
        assert!(parties.by_conversation(Transport::Tcp, None, false, None, told(37)).is_none());
    }

    #[test]
    fn hosts_in_cells_tell_the_direction() {
        let mut parties = Parties::default();
        let (cas, dc): (Address, Address) = ("CAS".parse().unwrap(), "DC1".parse().unwrap());
        parties.by_ports(Transport::Tcp, (50000, 389), Some(SYN), Some((cas, dc)), told(5));
        let answer =
            parties.by_conversation(Transport::Tcp, None, false, Some((dc, cas)), told(5)).unwrap();
        assert_eq!(shown(answer), "DC1:389 > CAS:50000");
        // A row that lost its cells.
        let lost = parties.by_ports(Transport::Tcp, (389, 50000), Some(ACK), None, told(5));
        assert_eq!(shown(lost), "DC1:389 > CAS:50000");
    }

    #[test]
    fn rows_without_numbers_belong_to_what_their_hosts_have_open() {
        let mut parties = Parties::default();
        let (cas, dc): (Address, Address) =
            ("x.x.1.1".parse().unwrap(), "x.x.1.2".parse().unwrap());
        let none = Conversations::default();
        let tcp = Transport::Tcp;
        let mut by_ports = |ports, flags, hosts| {
            shown(parties.by_ports(tcp, ports, Some(flags), Some(hosts), none))
        };
        by_ports((50206, 135), SYN, (cas, dc));
        // The answer tells its own port only.
        assert_eq!(by_ports((135, 0), SYN | ACK, (dc, cas)), "x.x.1.2:135 > x.x.1.1:50206");
        let mut above = |service, hosts| {
            parties.by_conversation(tcp, service, false, Some(hosts), none).map(shown)
        };
        assert_eq!(above(None, (dc, cas)).unwrap(), "x.x.1.2:135 > x.x.1.1:50206");
        assert_eq!(above(Some(135), (cas, dc)).unwrap(), "x.x.1.1:50206 > x.x.1.2:135");
        // With two conversations nobody can tell which.
        parties.by_ports(tcp, (50207, 389), Some(SYN), Some((cas, dc)), none);
        assert_eq!(parties.by_conversation(tcp, None, false, Some((cas, dc)), none), None);
    }

    #[test]
    fn a_service_alone_tells_one_port() {
        let mut parties = Parties::default();
        let path =
            parties.by_conversation(Transport::Udp, Some(88), false, None, told(69)).unwrap();
        assert_eq!((path.source.port, path.destination.port), (0, 88));
        assert_eq!(path.conversation, Some(69));
        let none = Conversations::default();
        let path = parties.by_conversation(Transport::Udp, Some(53), true, None, none).unwrap();
        assert_eq!(path.destination.address.to_string(), "unnamed IPv4 initiator");
        assert_eq!(parties.unnamed, 1);
    }
}
