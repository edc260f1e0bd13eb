//! What tcpdump prints, and pktmon's text, which has a line of its own before each such line.
//!
//! `09:30:00.000000 IP 10.0.0.5.50021 > 10.1.0.10.445: Flags [S], seq 1881075998, …`, with the
//! link header (`-e`), over two lines (`-v`), with dates, numbers and names. Sequence numbers are
//! those of the wire at first and count from there on; here all become those of the wire.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::capture::wireshark::account::{Account, Icmp, Number, flag};
use crate::capture::wireshark::clock;
use crate::capture::wireshark::draft::Draft;
use crate::capture::wireshark::ports;
use crate::net::{Address, Endpoint, Transport};

/// A line of tcpdump or pktmon.
#[derive(Debug)]
pub(super) enum Part {
    /// Begins a frame. Of two lines the first may tell no packet.
    Head {
        draft: Draft,
        /// pktmon's number of the packet, which is shown once for each component it passed.
        packet: Option<PacketId>,
    },
    /// Goes on with the frame: the packet, or what it quotes.
    Rest(Account),
}

/// pktmon's name of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PacketId {
    group: u64,
    number: u64,
    /// Whether this line says that it was dropped here.
    pub(super) dropped: bool,
}

impl PacketId {
    /// Whether this is the same packet at another component.
    pub(super) fn is_again(self, before: PacketId) -> bool {
        (self.group, self.number) == (before.group, before.number)
    }
}

/// What tcpdump calls frames that hold no IP, where it stands in their line.
const OTHER_PROTOCOLS: [&str; 6] =
    [" ARP, ", "ethertype ARP", " STP ", " LLDP, ", " CDPv2, ", " EAPOL "];

/// Reads a line; `None` for one that is neither program's.
pub(super) fn part(line: &str) -> Option<Part> {
    if let Some(head) = pktmon_head(line) {
        return Some(head);
    }
    let (number, rest) = match line.trim_start().split_once(' ') {
        Some((word, rest)) if word.bytes().all(|digit| digit.is_ascii_digit()) => {
            (word.parse().ok(), rest)
        }
        Some(_) | None => (None, line),
    };
    let (time, rest) = match clock::read_first(rest) {
        Some((time, rest)) => (Some(time), rest),
        None => (None, rest),
    };
    // Numbers of frames (`-#`) are indented too.
    if time.is_none() && line.starts_with([' ', '\t']) {
        return packet(line.trim_start()).map(Part::Rest);
    }
    // What is no IP keeps its place in the count.
    if time.is_some()
        && let Some(protocol) = OTHER_PROTOCOLS.iter().find(|name| rest.contains(**name))
    {
        let protocol = protocol.trim().trim_start_matches("ethertype ").trim_end_matches(',');
        let protocol = protocol.to_owned();
        let account = Account { protocol, ..Account::default() };
        let draft = Draft { number, time, account: Some(account), ..Draft::default() };
        return Some(Part::Head { draft, packet: None });
    }
    let network = ["IP ", "IP6 ", "ethertype IPv4", "ethertype IPv6"];
    if !network.iter().any(|word| rest.contains(word)) {
        return None;
    }
    let account = packet(rest);
    if account.is_none() && !rest.contains("(tos ") && !rest.contains("IP6 (") {
        return None;
    }
    let original = rest.split_once(", length ").filter(|_| rest.contains("ethertype"));
    let draft = Draft {
        number,
        time,
        original: original.and_then(|(_, rest)| leading(rest)),
        account: Some(Account {
            ttl: ttl(rest),
            ip_id: ip_id(rest),
            ..account.unwrap_or_default()
        }),
        ..Draft::default()
    };
    Some(Part::Head { draft, packet: None })
}

/// `[07]1234.5678::2021-03-04 10:11:12.123456789 [Microsoft-Windows-PktMon] PktGroupId 1, …`
fn pktmon_head(line: &str) -> Option<Part> {
    let (before, text) = line.split_once("PktGroupId ")?;
    let after = |name: &str| leading::<u64>(text.split_once(name)?.1);
    let (_, time) = before.split_once("::")?;
    let packet = PacketId {
        group: leading(text)?,
        number: after("PktNumber ")?,
        dropped: before.contains("Drop:") || text.contains("DropReason "),
    };
    let mut account = Account::default();
    if let Some((_, reason)) = text.split_once("DropReason ") {
        let reason = reason.split(',').next().unwrap_or_default().trim();
        account.info = format!("dropped on this machine: {reason}");
    }
    let draft = Draft {
        time: clock::read_first(time).map(|(time, _)| time),
        original: after("OriginalSize ").and_then(|size| u32::try_from(size).ok()),
        account: Some(account),
        ..Draft::default()
    };
    Some(Part::Head { draft, packet: Some(packet) })
}

/// The number that a text begins with.
fn leading<T: std::str::FromStr>(text: &str) -> Option<T> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

fn ttl(text: &str) -> Option<u8> {
    let value = text.split_once(", ttl ").or_else(|| text.split_once("hlim "))?.1;
    leading(value)
}

fn ip_id(text: &str) -> Option<u16> {
    leading(text.split_once(", id ")?.1)
}

/// The packet that a line tells of: who sent it to whom, and what.
fn packet(text: &str) -> Option<Account> {
    // MAC addresses come first with -e, and are followed by a comma.
    let (from, to, what) = text.match_indices(" > ").find_map(|(place, arrow)| {
        let (before, after) = text.split_at_checked(place)?;
        let from = before.rsplit([' ', '\t']).next()?;
        let (to, what) = after.get(arrow.len()..)?.split_once(": ")?;
        (!to.contains(' ') && !to.contains(',') && !from.is_empty()).then_some((from, to, what))
    })?;
    let what = what.trim_start();
    let mut account = Account::default();
    let (source, source_port) = end(from)?;
    let (destination, destination_port) = end(to)?;
    (account.source, account.destination) = (Some(source), Some(destination));
    if what.starts_with("ICMP") {
        account.icmp = icmp(what);
        account.about = about(what);
        "ICMP".clone_into(&mut account.protocol);
        what.clone_into(&mut account.info);
        return Some(account);
    }
    (account.source_port, account.destination_port) = (source_port, destination_port);
    source_port.or(destination_port)?;
    if let Some(flags) = what.strip_prefix("Flags [").and_then(|rest| rest.split_once(']')) {
        account.flags = Some(letters(flags.0)?);
    } else if let Some(flags) = old_flags(what) {
        account.flags = Some(flags);
    } else if what.starts_with("[|tcp]") {
        // A quote that was cut: its ports are all that counts.
        account.transport = Some(Transport::Tcp);
        return Some(account);
    }
    if account.flags.is_some() || what.starts_with("tcp ") {
        account.transport = Some(Transport::Tcp);
        segment(&mut account, what);
    } else {
        account.transport = Some(Transport::Udp);
        let length = what.split_once("length ").and_then(|(_, rest)| leading(rest));
        let in_brackets = || leading(what.trim_end().strip_suffix(')')?.rsplit_once('(')?.1);
        account.length = length.or_else(in_brackets);
        what.clone_into(&mut account.info);
    }
    Some(account)
}

/// What is said of a segment behind its flags.
fn segment(account: &mut Account, what: &str) {
    let told = |value| Number { value, relative: true };
    let after = |word: &str| leading(what.split_once(word)?.1);
    account.seq = after(" seq ").map(told);
    account.ack = after(" ack ").map(told);
    account.window = after(" win ");
    account.length = what
        .rsplit_once(", length ")
        .and_then(|(_, rest)| leading(rest))
        .or_else(|| leading(what.strip_prefix("tcp ")?));
    // Before 2009: `P 1:62(61) ack 1 win 512`.
    if account.seq.is_none()
        && let Some(numbers) = what.split(' ').nth(1)
    {
        account.seq = leading(numbers).filter(|_| numbers.contains(':')).map(told);
        account.length =
            account.length.or_else(|| numbers.split_once('(').and_then(|(_, rest)| leading(rest)));
    }
}

/// An end: `10.0.0.5.50021`, `2001:db8::5.53341`, `cas01.microsoft-ds`, or an address alone.
fn end(text: &str) -> Option<(Address, Option<u16>)> {
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Some((address.into(), None));
    }
    if let Some((host, port)) = text.rsplit_once('.')
        && let Some(port) = ports::read(port)
    {
        return Some((host.parse().ok()?, Some(port)));
    }
    // A name without a port, or with one that nobody knows.
    Some((text.parse().ok()?, None))
}

/// The flags of `[S.]`, `[P.]`, `[none]`.
fn letters(text: &str) -> Option<u8> {
    if text == "none" {
        return Some(0);
    }
    text.chars().try_fold(0, |flags, letter| {
        Some(
            flags
                | match letter {
                    'F' => flag::FIN,
                    'S' => flag::SYN,
                    'R' => flag::RST,
                    'P' => flag::PSH,
                    '.' => flag::ACK,
                    'U' => flag::URG,
                    'E' => flag::ECE,
                    'W' => flag::CWR,
                    // Accurate ECN.
                    'e' => 0,
                    _ => return None,
                },
        )
    })
}

/// The flags of the old form, in which an acknowledgment shows only in what follows.
fn old_flags(what: &str) -> Option<u8> {
    let (word, rest) = what.split_once(' ')?;
    let numbers = rest.contains(" win ") || rest.starts_with("ack ");
    let flags = letters(word).filter(|_| numbers && !word.is_empty())?;
    Some(if rest.contains("ack ") { flags | flag::ACK } else { flags & !flag::ACK })
}

/// The ICMP message that tcpdump words so; `None` for one that is of no account here.
fn icmp(text: &str) -> Option<Icmp> {
    if let Some(rest) = text.strip_prefix("ICMP6, destination unreachable, ") {
        // RFC 4443 3.1.
        let reasons = [
            "unreachable route",
            "unreachable prohibited",
            "beyond scope",
            "unreachable address",
            "unreachable port",
        ];
        let code = reasons.iter().position(|reason| rest.starts_with(reason))?;
        return Some(Icmp { version6: true, kind: 1, code: u8::try_from(code).ok()? });
    }
    let rest = text.strip_prefix("ICMP ").filter(|rest| rest.contains("unreachable"))?;
    let has = |word: &str| rest.contains(word);
    let of_host = rest.starts_with("host ");
    let of_net = rest.starts_with("net ");
    // Codes of RFC 792, RFC 1122 3.2.2.1 and RFC 1812 5.2.7.1.
    let code = match () {
        () if has(" port ") => 3,
        () if has(" protocol ") => 2,
        () if has("need to frag") => 4,
        () if has("source route failed") => 5,
        () if has("admin prohibited filter") => 13,
        () if has("admin prohibited") => {
            if of_net {
                9
            } else {
                10
            }
        }
        () if has("tos prohibited") => {
            if of_net {
                11
            } else {
                12
            }
        }
        () if has("source isolated") => 8,
        () if has("- unknown") => {
            if of_net {
                6
            } else {
                7
            }
        }
        () if of_host => 1,
        () if of_net => 0,
        // tcpdump names neither where it prints an address alone.
        () => 1,
    };
    Some(Icmp { version6: false, kind: 3, code })
}

/// The host that an ICMP error is about.
fn about(text: &str) -> Option<Address> {
    let mut words = text.split([' ', ',']).skip(1);
    let is_address = |word: &&str| word.parse::<std::net::IpAddr>().is_ok();
    words.find(is_address)?.parse().ok()
}

/// The numbers from which tcpdump counts, by conversation.
#[derive(Default)]
pub(super) struct Bases(HashMap<(Endpoint, Endpoint), u32, FixedState>);

/// Conversations that are remembered. Beyond, all are forgotten.
const MOST_CONVERSATIONS: usize = 1 << 17;

impl Bases {
    /// Makes the numbers of a segment those of the wire. tcpdump shows them as they are in a SYN
    /// and in the first segment of a conversation that acknowledges anything.
    pub(super) fn count_on(&mut self, account: &mut Account) {
        let (Some(Transport::Tcp), Some(flags)) = (account.transport, account.flags) else {
            return;
        };
        let (Some(source), Some(destination)) = (account.source, account.destination) else {
            return;
        };
        let from = Endpoint { address: source, port: account.source_port.unwrap_or_default() };
        let to =
            Endpoint { address: destination, port: account.destination_port.unwrap_or_default() };
        let seq = account.seq.map(|seq| seq.value);
        let ack = account.ack.map(|ack| ack.value);
        let wire = |value| Some(Number { value, relative: false });
        let base = self.0.get(&(from, to)).copied();
        if flags & flag::ACK == 0 {
            account.seq = seq.and_then(wire);
            return;
        }
        let (Some(base), Some(other), 0) =
            (base, self.0.get(&(to, from)).copied(), flags & flag::SYN)
        else {
            if self.0.len() > MOST_CONVERSATIONS {
                self.0.clear();
            }
            if let Some(ack) = ack {
                // A segment without payload tells no number of its own.
                let own = seq.or(base).unwrap_or_default();
                self.0.insert((from, to), own);
                self.0.insert((to, from), ack.wrapping_sub(1));
            }
            account.seq = seq.and_then(wire);
            account.ack = ack.and_then(wire);
            return;
        };
        account.seq = seq.and_then(|seq| wire(absolute(seq, base)));
        account.ack = ack.and_then(|ack| wire(absolute(ack, other)));
    }
}

/// The number of the wire. With `-S`, numbers are that already: close to where they began.
fn absolute(value: u32, base: u32) -> u32 {
    const CLOSE: u32 = 1 << 26;
    if base > CLOSE && value.wrapping_sub(base) < CLOSE { value } else { value.wrapping_add(base) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(line: &str) -> Draft {
        match part(line) {
            Some(Part::Head { draft, .. }) => draft,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn segments_are_read_in_every_form() {
        let what = "10.0.0.5.50021 > 10.1.0.10.445: Flags [S], seq 1881075998, win 8192, \
                    options [mss 1460], length 0";
        for line in [
            format!("09:30:00.000000 IP {what}"),
            format!("2012-11-13 09:30:00.000000 IP {what}"),
            format!("    1  1352799000.000000 IP {what}"),
            format!(
                "09:30:00.000000 02:00:0a:00:00:05 > 02:00:0a:01:00:0a, ethertype IPv4 (0x0800), \
                 length 66: {what}"
            ),
            format!("09:30:00.000000 eth0  Out IP {what}"),
            "09:30:00.000000 IP 10.0.0.5.50021 > 10.1.0.10.microsoft-ds: S \
             1881075998:1881075998(0) win 8192"
                .to_owned(),
        ] {
            let draft = head(&line);
            assert!(draft.time.is_some(), "{line}");
            let account = draft.account.unwrap();
            assert_eq!(account.source, Some("10.0.0.5".parse().unwrap()), "{line}");
            assert_eq!((account.source_port, account.destination_port), (Some(50021), Some(445)));
            assert_eq!((account.flags, account.length), (Some(flag::SYN), Some(0)), "{line}");
            assert_eq!(account.seq.unwrap().value, 1_881_075_998);
        }
    }

    #[test]
    fn datagrams_and_names_are_read() {
        let account = head(
            "09:30:00.0 IP6 2001:db8:0:1::5.53341 > dc10.child.corp.example.domain: 11073+ A? x. (41)",
        )
        .account
        .unwrap();
        assert_eq!(account.transport, Some(Transport::Udp));
        assert_eq!(account.destination, Some("dc10.child.corp.example".parse().unwrap()));
        assert_eq!((account.destination_port, account.length), (Some(53), Some(41)));
    }

    #[test]
    fn icmp_errors_are_read_by_their_words() {
        for (text, kind, code) in [
            ("ICMP host 10.1.0.10 unreachable - admin prohibited filter, length 36", 3, 13),
            ("ICMP host 10.1.0.10 unreachable - admin prohibited, length 36", 3, 10),
            ("ICMP 10.1.0.10 udp port 389 unreachable, length 36", 3, 3),
            ("ICMP net 10.1.0.10 unreachable, length 36", 3, 0),
            (
                "ICMP6, destination unreachable, unreachable port, 2001:db8::a udp port 53, length 9",
                1,
                4,
            ),
        ] {
            let account =
                head(&format!("09:30:00.0 IP 10.0.0.1 > 10.0.0.5: {text}")).account.unwrap();
            let icmp = account.icmp.unwrap();
            assert_eq!((icmp.kind, icmp.code), (kind, code), "{text}");
            assert!(account.about.is_some(), "{text}");
        }
    }

    #[test]
    fn numbers_become_those_of_the_wire() {
        // What tcpdump prints of a handshake and 61 bytes, without -S.
        let mut bases = Bases::default();
        let mut numbers = |from: &str, to: &str, what: &str| {
            let mut account =
                head(&format!("09:30:00.0 IP {from} > {to}: Flags {what}")).account.unwrap();
            bases.count_on(&mut account);
            let value = |number: Option<Number>| number.map(|number| number.value);
            (value(account.seq), value(account.ack))
        };
        let (a, b) = ("10.0.0.5.1", "10.1.0.10.2");
        assert_eq!(numbers(a, b, "[S], seq 1000, win 1, length 0").0, Some(1000));
        let answer = numbers(b, a, "[S.], seq 5000, ack 1001, win 1, length 0");
        assert_eq!(answer, (Some(5000), Some(1001)));
        assert_eq!(numbers(a, b, "[.], ack 1, win 1, length 0"), (None, Some(5001)));
        let data = numbers(a, b, "[P.], seq 1:62, ack 1, win 1, length 61");
        assert_eq!(data, (Some(1001), Some(5001)));
    }

    #[test]
    fn pktmon_lines_come_in_two() {
        let line = "[07]1234.5678::2021-03-04 10:11:12.123456789 [Microsoft-Windows-PktMon] \
                    PktGroupId 1, PktNumber 2, Appearance 1, Direction Rx , Type Ethernet , \
                    Component 59, Edge 1, Filter 1, OriginalSize 98, LoggedSize 98 ";
        let Some(Part::Head { draft, packet: Some(packet) }) = part(line) else { panic!() };
        assert_eq!(draft.original, Some(98));
        assert_eq!(draft.time.unwrap().digits, 9);
        assert!(!packet.dropped);
        let rest = "\t00-11-22 > 33-44-55, ethertype IPv4 (0x0800), length 98: \
                    10.0.0.5.1 > 10.1.0.10.2: Flags [S.], seq 7, ack 8, win 9, length 0";
        let Some(Part::Rest(account)) = part(rest) else { panic!() };
        assert_eq!(account.flags, Some(flag::SYN | flag::ACK));
        let drop = "[07]1234.5678::2021-03-04 10:11:12.2 [Microsoft-Windows-PktMon] Drop: \
                    PktGroupId 1, PktNumber 2, Appearance 3, DropReason INET: no listener , \
                    DropLocation 0xE0005033";
        let Some(Part::Head { draft, packet: Some(again) }) = part(drop) else { panic!() };
        assert!(again.dropped && again.is_again(packet));
        assert!(draft.account.unwrap().info.contains("INET: no listener"));
    }

    #[test]
    fn what_is_no_ip_counts_as_a_frame() {
        let draft = head("09:30:00.0 ARP, Request who-has 10.0.0.1 tell 10.0.0.5, length 28");
        assert_eq!(draft.account.unwrap().protocol, "ARP");
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "10.0.0.5 > 10.1.0.10",
            "    Source Port: 5",
            "IP address: a > b: c",
            "09:30:00.0 ERROR",
        ] {
            let found = part(line);
            assert!(!matches!(found, Some(Part::Head { .. })), "{line}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in "\\PC{0,60}", words in prop::collection::vec(prop::sample::select(vec![
            "09:30:00.0 IP ", "10.0.0.5.1", " > ", "10.1.0.10.2: ", "Flags [S.]", ", seq 5", ", ack ",
            "4294967295", "ICMP ", "host 10.0.0.1", " unreachable", " port ", "(tos ", ", length ", ")", "é",
            "PktGroupId ", "PktNumber 1", "::", "DropReason ",
        ]), 0..14)) {
            let mut bases = Bases::default();
            for text in [line, words.concat()] {
                if let Some(Part::Head { draft, .. }) = part(&text) {
                    bases.count_on(&mut draft.account.unwrap());
                }
            }
        }
    }
}
