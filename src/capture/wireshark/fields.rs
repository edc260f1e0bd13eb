//! Wireshark's field names (`tcp.srcport`), as JSON, EK, PDML and `-T fields` have them.
//!
//! Fields come in the order of the packet, from the outermost layer to the innermost. What is
//! wrapped in something else counts, so a later address takes the place of an earlier one, unless
//! it belongs to the packet that an ICMP error quotes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::capture::LinkType;
use crate::capture::RowRepeat;
use crate::capture::wireshark::account::{Account, Icmp, Number, flag};
use crate::capture::wireshark::clock;
use crate::capture::wireshark::draft::Draft;
use crate::capture::wireshark::{hex, info, ports};
use crate::net::Transport;

/// A field that says something about a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    FrameNumber,
    /// Seconds since 1970, or in the newest versions a date.
    Epoch,
    /// A date, which may be of any zone.
    Date,
    /// Seconds since the first frame.
    Relative,
    /// A time of a kind that its title does not tell.
    Time,
    FrameLength,
    Encapsulation,
    FrameBytes,
    ColumnSource,
    ColumnDestination,
    ColumnProtocol,
    ColumnInfo,
    LinkDestination,
    Ttl,
    IpId,
    IpProtocol,
    HopLimit,
    Source,
    Destination,
    Source6,
    Destination6,
    IcmpType,
    IcmpCode,
    Icmp6Type,
    Icmp6Code,
    /// Before those of TCP: what is wrapped in UDP comes out last, and counts.
    UdpSource,
    UdpDestination,
    UdpLength,
    TcpSource,
    TcpDestination,
    /// Ports of a transport that the title does not tell.
    SourcePort,
    DestinationPort,
    TcpLength,
    Seq,
    SeqRaw,
    Ack,
    AckRaw,
    Flags,
    /// One of the flags alone, by its bit.
    Flag(u8),
    FlagLetters,
    Window,
    PortPairUsedAgain,
    Retransmission,
}

/// Names of the fields. `tcp.window_size_value` is the header's, `tcp.window_size` is scaled.
const NAMES: [(&str, Field); 54] = [
    ("frame.number", Field::FrameNumber),
    ("frame.time_epoch", Field::Epoch),
    ("frame.time_utc", Field::Date),
    ("frame.time", Field::Date),
    ("frame.time_relative", Field::Relative),
    ("frame.len", Field::FrameLength),
    ("frame.encap_type", Field::Encapsulation),
    ("frame_raw", Field::FrameBytes),
    ("_ws.col.def_src", Field::ColumnSource),
    ("_ws.col.def_dst", Field::ColumnDestination),
    ("_ws.col.source", Field::ColumnSource),
    ("_ws.col.destination", Field::ColumnDestination),
    ("_ws.col.protocol", Field::ColumnProtocol),
    ("_ws.col.info", Field::ColumnInfo),
    ("eth.dst", Field::LinkDestination),
    ("ip.ttl", Field::Ttl),
    ("ip.id", Field::IpId),
    ("ipv6.hlim", Field::HopLimit),
    ("ip.src", Field::Source),
    ("ip.dst", Field::Destination),
    ("ip.src_host", Field::ColumnSource),
    ("ip.dst_host", Field::ColumnDestination),
    ("ipv6.src", Field::Source6),
    ("ipv6.dst", Field::Destination6),
    ("icmp.type", Field::IcmpType),
    ("icmp.code", Field::IcmpCode),
    ("icmpv6.type", Field::Icmp6Type),
    ("icmpv6.code", Field::Icmp6Code),
    ("tcp.srcport", Field::TcpSource),
    ("tcp.dstport", Field::TcpDestination),
    ("tcp.len", Field::TcpLength),
    ("tcp.seq", Field::Seq),
    ("tcp.seq_raw", Field::SeqRaw),
    ("tcp.ack", Field::Ack),
    ("tcp.ack_raw", Field::AckRaw),
    ("tcp.flags", Field::Flags),
    ("tcp.flags.cwr", Field::Flag(flag::CWR)),
    ("tcp.flags.ece", Field::Flag(flag::ECE)),
    ("tcp.flags.urg", Field::Flag(flag::URG)),
    ("tcp.flags.ack", Field::Flag(flag::ACK)),
    ("tcp.flags.push", Field::Flag(flag::PSH)),
    ("tcp.flags.reset", Field::Flag(flag::RST)),
    ("tcp.flags.syn", Field::Flag(flag::SYN)),
    ("tcp.flags.fin", Field::Flag(flag::FIN)),
    ("tcp.flags.str", Field::FlagLetters),
    ("tcp.window_size_value", Field::Window),
    ("tcp.analysis.reused_ports", Field::PortPairUsedAgain),
    ("tcp.analysis.retransmission", Field::Retransmission),
    ("tcp.analysis.fast_retransmission", Field::Retransmission),
    ("ip.proto", Field::IpProtocol),
    ("ipv6.nxt", Field::IpProtocol),
    ("udp.srcport", Field::UdpSource),
    ("udp.dstport", Field::UdpDestination),
    ("udp.length", Field::UdpLength),
];

/// The same, in lower case, and as EK writes them: `tcp_tcp_srcport`, or `tcp_srcport` where the
/// fields were chosen.
static BY_NAME: LazyLock<BTreeMap<String, Field>> = LazyLock::new(|| {
    let mut names = BTreeMap::new();
    for (name, field) in NAMES {
        let flat = name.replace('.', "_");
        let layer = name.split('.').next().unwrap_or_default();
        names.insert(format!("{layer}_{flat}"), field);
        names.insert(flat, field);
        names.insert(name.to_owned(), field);
    }
    names
});

impl Field {
    /// The field of this name.
    pub(super) fn named(name: &str) -> Option<Field> {
        // Only a column's name has capitals.
        match BY_NAME.get(name) {
            Some(field) => Some(*field),
            None if name.starts_with("_ws") => BY_NAME.get(&name.to_ascii_lowercase()).copied(),
            None => None,
        }
    }
}

/// Puts a packet together from its fields.
#[derive(Debug, Default)]
pub(super) struct Packet {
    pub(super) draft: Draft,
    account: Account,
    /// Which field the time is from: the best of them counts.
    time_of: Option<Field>,
    /// Whether a network layer was met.
    network_seen: bool,
}

impl Packet {
    /// Takes a field.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are of `set_in`")]
    pub(super) fn set(&mut self, field: Field, value: &str) {
        let value = value.trim();
        match field {
            Field::FrameNumber => self.draft.number = value.parse().ok(),
            Field::Epoch | Field::Date | Field::Relative | Field::Time => {
                self.set_time(field, value);
            }
            Field::FrameLength => self.draft.original = value.parse().ok(),
            Field::Encapsulation => {
                self.draft.link_type = value.parse().ok().and_then(link_type);
            }
            Field::FrameBytes => self.draft.bytes = hex::decode(value).unwrap_or_default(),
            Field::ColumnProtocol => value.clone_into(&mut self.account.protocol),
            Field::ColumnInfo => value.clone_into(&mut self.account.info),
            Field::ColumnSource if !self.network_seen => {
                self.account.source = value.parse().ok();
            }
            Field::ColumnDestination if !self.network_seen => {
                self.account.destination = value.parse().ok();
            }
            Field::ColumnSource | Field::ColumnDestination => {}
            Field::LinkDestination => {
                // The lowest bit of the first byte (IEEE 802.3 3.2.3).
                let first = value.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                self.account.link_group = first.map(|first| first & 1 == 1);
            }
            Field::IcmpType | Field::Icmp6Type => {
                self.account.icmp.get_or_insert(Icmp {
                    version6: field == Field::Icmp6Type,
                    kind: number(value).unwrap_or(u8::MAX),
                    code: 0,
                });
            }
            Field::IcmpCode | Field::Icmp6Code => {
                if let Some(icmp) = &mut self.account.icmp {
                    icmp.code = number(value).unwrap_or(icmp.code);
                }
            }
            Field::Source | Field::Source6 => {
                self.network_seen = true;
                let account = self.inner();
                // Another network layer: what was said of the transport is of the wrapping.
                account.source = value.parse().ok();
                account.destination = None;
                account.transport = None;
                (account.source_port, account.destination_port) = (None, None);
                if field == Field::Source6 {
                    account.ip_id = None;
                }
            }
            _ => {
                set_in(self.inner(), field, value);
            }
        }
    }

    /// The packet that fields belong to: the one that an ICMP error quotes, once it was met.
    fn inner(&mut self) -> &mut Account {
        if self.account.icmp.is_some_and(Icmp::is_error) {
            self.account.quoted.get_or_insert_default()
        } else {
            &mut self.account
        }
    }

    fn set_time(&mut self, field: Field, value: &str) {
        // In the order of trust.
        if self.time_of.is_none_or(|of| field <= of)
            && let Some(time) = clock::read(value)
        {
            self.time_of = Some(field);
            self.draft.time = Some(time);
        }
    }

    /// Takes fields that were chosen one by one, each with all its values: in an ICMP error those
    /// of the error and of the packet that it quotes, in a tunnel those of each layer.
    pub(super) fn set_chosen(&mut self, mut fields: Vec<(Field, Vec<String>)>) {
        fields.sort_by_key(|(field, _)| *field);
        let quotes = fields.iter().any(|(field, values)| {
            let told = values.iter().any(|value| !value.is_empty());
            told && matches!(field, Field::IcmpType | Field::Icmp6Type)
        });
        // The error itself, and then what it quotes; or the innermost layers at once.
        let passes: &[bool] = if quotes { &[true, false] } else { &[false] };
        for error_itself in passes {
            for (field, values) in &fields {
                let of_network = (Field::Ttl..=Field::Destination6).contains(field);
                let value = match (quotes, error_itself) {
                    (true, true) if *field < Field::UdpSource => values.first(),
                    (true, true) => None,
                    (true, false) if of_network => values.get(1..).and_then(<[_]>::last),
                    (true, false) if *field < Field::UdpSource => None,
                    _ => values.last(),
                };
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    self.set(*field, value);
                }
            }
        }
    }

    /// The draft with what was said of the packet.
    pub(super) fn finish(mut self) -> Draft {
        let account = &mut self.account;
        info::complete(account);
        // A column of flags is of TCP, and so is a protocol of that name.
        let ports_told = account.source_port.is_some() || account.destination_port.is_some();
        if account.transport.is_none() && account.icmp.is_none() && ports_told {
            account.transport = match (account.ip_protocol, account.protocol.as_str()) {
                (Some(6), _) | (_, "TCP") => Some(Transport::Tcp),
                (Some(17), _) | (_, "UDP") => Some(Transport::Udp),
                _ if account.flags.is_some() => Some(Transport::Tcp),
                (_, protocol) => ports::of_protocol(protocol).map(|service| service.transport),
            };
        }
        self.draft.account = Some(self.account);
        self.draft
    }
}

/// Takes a field of the network or transport layer.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are of `Packet::set`")]
fn set_in(account: &mut Account, field: Field, value: &str) {
    let relative = |value| Number { value, relative: true };
    let raw = |value| Number { value, relative: false };
    match field {
        Field::Ttl | Field::HopLimit => account.ttl = number(value),
        Field::IpId => account.ip_id = number(value),
        Field::Destination | Field::Destination6 => account.destination = value.parse().ok(),
        Field::TcpSource => {
            account.transport = Some(Transport::Tcp);
            account.source_port = number(value);
        }
        Field::TcpDestination | Field::UdpDestination => account.destination_port = number(value),
        Field::UdpSource => {
            account.transport = Some(Transport::Udp);
            account.source_port = number(value);
        }
        Field::SourcePort => account.source_port = ports::read(value),
        Field::DestinationPort => account.destination_port = ports::read(value),
        Field::TcpLength => account.length = number(value),
        // The header's own 8 bytes are counted too (RFC 768).
        Field::UdpLength => account.length = number(value).map(|it: u32| it.saturating_sub(8)),
        // The raw number is better, whichever comes first.
        Field::Seq if account.seq.is_none_or(|seq| seq.relative) => {
            account.seq = number(value).map(relative);
        }
        Field::Ack if account.ack.is_none_or(|ack| ack.relative) => {
            account.ack = number(value).map(relative);
        }
        Field::SeqRaw => account.seq = number(value).map(raw),
        Field::AckRaw => account.ack = number(value).map(raw),
        Field::Flags => {
            // 12 bits; the upper four are reserved, or of experiments.
            let bits = number::<u16>(value).map(|flags| flags.to_le_bytes()[0]);
            let words = || info::flags(value.trim_matches(['[', ']']));
            account.flags = bits.or_else(|| letters(value)).or_else(words);
        }
        Field::Flag(bit) => {
            let set = ["1", "true", "True", "Set"].contains(&value);
            let flags = account.flags.unwrap_or(0);
            account.flags = Some(if set { flags | bit } else { flags & !bit });
        }
        Field::FlagLetters => account.flags = account.flags.or_else(|| letters(value)),
        Field::Window => account.window = number(value),
        Field::PortPairUsedAgain => account.repeat = RowRepeat::Reused,
        Field::Retransmission if account.repeat == RowRepeat::Unsaid => {
            account.repeat = RowRepeat::Retransmitted;
        }
        Field::IpProtocol => account.ip_protocol = number(value),
        _ => {}
    }
}

/// The flags of `······CE·AP·SF` (`tcp.flags.str`): letters at their places, else dots.
fn letters(text: &str) -> Option<u8> {
    const LETTERS: [(char, u8); 8] = [
        ('C', flag::CWR),
        ('E', flag::ECE),
        ('U', flag::URG),
        ('A', flag::ACK),
        ('P', flag::PSH),
        ('R', flag::RST),
        ('S', flag::SYN),
        ('F', flag::FIN),
    ];
    // The first four places are of reserved bits, of which one is also called R.
    let letter = |letter| LETTERS.iter().find(|(name, _)| *name == letter).map_or(0, |it| it.1);
    (text.chars().count() == 12)
        .then(|| text.chars().skip(4).fold(0, |flags, it| flags | letter(it)))
}

/// A number, decimal or hexadecimal with `0x`.
pub(super) fn number<T: TryFrom<u64>>(text: &str) -> Option<T> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => text.parse().ok()?,
    };
    T::try_from(number).ok()
}

/// The link type of Wireshark's own number for it (`frame.encap_type`), for those that are
/// decoded. Found by letting tshark 4.0 read a capture of each link type.
pub(super) fn link_type(encapsulation: u16) -> Option<LinkType> {
    let number = match encapsulation {
        1 => 1,
        2 => 6,
        4 => 9,
        5 | 6 => 10,
        7 => 101,
        15 => 0,
        20 => 105,
        21 => 119,
        23 => 127,
        25 => 113,
        26 => 107,
        28 => 104,
        97 => 192,
        129 => 228,
        130 => 229,
        139 => 51,
        141 => 239,
        174 => 108,
        210 => 276,
        _ => return None,
    };
    Some(LinkType::pcap(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(fields: &[(&str, &str)]) -> Account {
        let mut packet = Packet::default();
        for (name, value) in fields {
            packet.set(Field::named(name).unwrap(), value);
        }
        packet.finish().account.unwrap()
    }

    #[test]
    fn names_are_known_in_every_spelling() {
        for name in ["tcp.srcport", "tcp_tcp_srcport", "tcp_srcport"] {
            assert_eq!(Field::named(name), Some(Field::TcpSource), "{name}");
        }
        for name in ["_ws.col.Info", "_ws.col.info", "_ws_col_Info"] {
            assert_eq!(Field::named(name), Some(Field::ColumnInfo), "{name}");
        }
        assert_eq!(Field::named("tcp.port"), None);
    }

    #[test]
    fn the_innermost_packet_counts() {
        let account = account(&[
            ("ip.ttl", "64"),
            ("ip.src", "192.0.2.1"),
            ("ip.dst", "192.0.2.2"),
            ("udp.srcport", "5000"),
            ("udp.dstport", "4789"),
            ("ip.ttl", "128"),
            ("ip.src", "10.0.0.5"),
            ("ip.dst", "10.1.0.10"),
            ("tcp.srcport", "52705"),
            ("tcp.dstport", "389"),
            ("tcp.seq", "0"),
            ("tcp.seq_raw", "100"),
            ("tcp.flags", "0x0002"),
        ]);
        assert_eq!(account.source, Some("10.0.0.5".parse().unwrap()));
        assert_eq!(account.transport, Some(Transport::Tcp));
        assert_eq!((account.source_port, account.destination_port), (Some(52705), Some(389)));
        assert_eq!(account.seq, Some(Number { value: 100, relative: false }));
        assert_eq!((account.flags, account.ttl), (Some(flag::SYN), Some(128)));
    }

    #[test]
    fn what_an_icmp_error_quotes_is_kept_apart() {
        let account = account(&[
            ("ip.src", "10.0.0.1"),
            ("ip.dst", "10.0.0.5"),
            ("icmp.type", "3"),
            ("icmp.code", "13"),
            ("ip.src", "10.0.0.5"),
            ("ip.dst", "10.1.0.10"),
            ("tcp.srcport", "50021"),
            ("tcp.dstport", "445"),
        ]);
        assert_eq!(account.source, Some("10.0.0.1".parse().unwrap()));
        assert_eq!(account.icmp, Some(Icmp { version6: false, kind: 3, code: 13 }));
        let quoted = account.quoted.unwrap();
        assert_eq!(quoted.destination, Some("10.1.0.10".parse().unwrap()));
        assert_eq!(quoted.destination_port, Some(445));
    }

    #[test]
    fn chosen_fields_have_the_values_of_all_layers_together() {
        let chosen = |fields: &[(&str, &str)]| {
            let fields = fields.iter().map(|(name, values)| {
                (Field::named(name).unwrap(), values.split(',').map(str::to_owned).collect())
            });
            let mut packet = Packet::default();
            packet.set_chosen(fields.collect());
            packet.finish().account.unwrap()
        };
        let quoting = chosen(&[
            ("tcp.dstport", "445"),
            ("ip.dst", "10.0.0.5,10.1.0.10"),
            ("ip.src", "10.0.0.1,10.0.0.5"),
            ("icmp.code", "13"),
            ("icmp.type", "3"),
        ]);
        assert_eq!(quoting.source, Some("10.0.0.1".parse().unwrap()));
        assert_eq!(quoting.icmp, Some(Icmp { version6: false, kind: 3, code: 13 }));
        let quoted = quoting.quoted.unwrap();
        assert_eq!(quoted.source, Some("10.0.0.5".parse().unwrap()));
        assert_eq!(quoted.destination_port, Some(445));
        let wrapped = chosen(&[
            ("udp.dstport", "4789,53"),
            ("ip.src", "192.0.2.1,10.0.0.5"),
            ("icmp.type", ""),
        ]);
        assert_eq!(wrapped.source, Some("10.0.0.5".parse().unwrap()));
        assert_eq!((wrapped.destination_port, wrapped.icmp), (Some(53), None));
    }

    #[test]
    fn flags_are_read_in_every_form() {
        for (name, value) in
            [("tcp.flags", "0x012"), ("tcp.flags", "18"), ("tcp.flags.str", "·······A··S·")]
        {
            assert_eq!(account(&[(name, value)]).flags, Some(0x12), "{value}");
        }
        let alone = account(&[("tcp.flags.syn", "1"), ("tcp.flags.ack", "False")]);
        assert_eq!(alone.flags, Some(flag::SYN));
    }

    #[test]
    fn the_best_time_counts() {
        for order in [[0, 1], [1, 0]] {
            let times = [("frame.time_epoch", "1352799000.5"), ("frame.time_relative", "3.000000")];
            let mut packet = Packet::default();
            for place in order {
                packet.set(Field::named(times[place].0).unwrap(), times[place].1);
            }
            let time = packet.draft.time.unwrap();
            assert_eq!(time.told, clock::Told::Utc(1_352_799_000_500_000_000));
        }
    }
}
