//! Wireshark's column Info, in the words of all its versions.
//!
//! `52702 → 135 [SYN] Seq=0 Win=8192 Len=0`, with `>` in place of the arrow in old versions, with
//! names in place of ports, with `[TCP Retransmission]` and the like before it.

use crate::capture::wireshark::account::{Account, Icmp, Number, flag};
use crate::capture::wireshark::{ports, rows};
use crate::net::Transport;

/// Completes an account by what its column Info says. What is known from elsewhere stays.
pub(super) fn complete(account: &mut Account) {
    let info = std::mem::take(&mut account.info);
    if account.icmp.is_none() && account.protocol.starts_with("ICMP") {
        account.icmp = icmp(&info, account.protocol == "ICMPv6");
    }
    let (tags, text) = split_tags(&info);
    if account.repeat == crate::capture::RowRepeat::Unsaid {
        account.repeat = rows::repeat(tags);
    }
    if account.icmp.is_none()
        && let Some(told) = transport(text, &account.protocol)
    {
        account.transport = account.transport.or(Some(told.transport));
        account.source_port = account.source_port.or(told.source_port);
        account.destination_port = account.destination_port.or(told.destination_port);
        account.flags = account.flags.or(told.flags);
        account.length = account.length.or(told.length);
        account.window = account.window.or(told.window);
        account.seq = account.seq.or(told.seq);
        account.ack = account.ack.or(told.ack);
    }
    account.info = info;
}

/// The remarks of the analysis in front of a text, and the rest.
fn split_tags(info: &str) -> (&str, &str) {
    let mut rest = info.trim_start();
    while let Some(tag) = rest.strip_prefix('[')
        && let Some((_, after)) = tag.split_once(']')
    {
        rest = after.trim_start_matches([' ', ',']);
    }
    let length = info.len().saturating_sub(rest.len());
    (info.get(..length).unwrap_or_default(), rest)
}

/// What a text says of a segment or datagram.
struct Told {
    transport: Transport,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    flags: Option<u8>,
    seq: Option<Number>,
    ack: Option<Number>,
    window: Option<u32>,
    length: Option<u32>,
}

fn transport(text: &str, protocol: &str) -> Option<Told> {
    if let Some(rest) = text.strip_prefix("Source port: ") {
        // UDP before version 2.
        let (source, rest) = rest.split_once(' ')?;
        let destination = rest.trim_start().strip_prefix("Destination port: ")?;
        return Some(Told {
            transport: Transport::Udp,
            source_port: ports::read(source),
            destination_port: ports::read(destination.split_whitespace().next()?),
            flags: None,
            seq: None,
            ack: None,
            window: None,
            length: None,
        });
    }
    let (source, rest) = text.split_once(' ')?;
    let (arrow, rest) = rest.split_once(' ')?;
    if !["→", "->", ">", "\u{2192}"].contains(&arrow) {
        return None;
    }
    let (destination, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (source_port, destination_port) = (ports::read(source), ports::read(destination));
    let rest = rest.trim_start();
    let flags = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let value = |name: &str| {
        let words = rest.split_whitespace();
        let mut values = words.filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        values.find_map(|value| value.trim_end_matches(',').parse().ok())
    };
    let relative = |value| Number { value, relative: true };
    let (transport, flags) = match flags.and_then(|(flags, _)| self::flags(flags)) {
        Some(flags) => (Transport::Tcp, Some(flags)),
        None if value("Len").is_some() || protocol == "UDP" => (Transport::Udp, None),
        None => return None,
    };
    Some(Told {
        transport,
        source_port,
        destination_port,
        flags,
        seq: value("Seq").map(relative),
        ack: value("Ack").map(relative),
        window: value("Win"),
        length: value("Len"),
    })
}

/// Flags by name (`SYN, ACK`); `None` where there is a word that is none.
pub(super) fn flags(text: &str) -> Option<u8> {
    let mut flags = 0;
    for name in text.split([',', ' ']).filter(|name| !name.is_empty()) {
        flags |= match name {
            "FIN" => flag::FIN,
            "SYN" => flag::SYN,
            "RST" => flag::RST,
            "PSH" => flag::PSH,
            "ACK" => flag::ACK,
            "URG" => flag::URG,
            // ECN was the name of ECE once.
            "ECE" | "ECN" => flag::ECE,
            "CWR" => flag::CWR,
            // Reserved bits and experiments.
            "AE" | "NS" | "NONCE" | "Reserved" | "<None>" => 0,
            _ => return None,
        };
    }
    (!text.trim().is_empty()).then_some(flags)
}

/// Codes of ICMP's destination unreachable (RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1), in
/// order, as Wireshark words them.
const UNREACHABLE: [&str; 16] = [
    "Network unreachable",
    "Host unreachable",
    "Protocol unreachable",
    "Port unreachable",
    "Fragmentation needed",
    "Source route failed",
    "Destination network unknown",
    "Destination host unknown",
    "Source host isolated",
    "Network administratively prohibited",
    "Host administratively prohibited",
    "Network unreachable for TOS",
    "Host unreachable for TOS",
    "Communication administratively filtered",
    "Host precedence violation",
    "Precedence cutoff in effect",
];

/// Codes of `ICMPv6`'s destination unreachable (RFC 4443 3.1), in order, in lower case.
const UNREACHABLE_6: [&str; 7] = [
    "no route to destination",
    "administratively prohibited",
    "beyond scope of source address",
    "address unreachable",
    "port unreachable",
    "source address failed ingress/egress policy",
    "reject route to destination",
];

/// The ICMP message that a text names; `None` for one that is of no account here.
fn icmp(info: &str, version6: bool) -> Option<Icmp> {
    let lower = info.to_ascii_lowercase();
    let rest = lower.strip_prefix("destination unreachable")?;
    let reason = rest.trim_start().strip_prefix('(')?;
    let place = |reasons: &[&str]| {
        reasons.iter().position(|name| reason.starts_with(&name.to_ascii_lowercase()))
    };
    let code = if version6 { place(&UNREACHABLE_6) } else { longest(reason) };
    let kind = if version6 { 1 } else { 3 };
    Some(Icmp { version6, kind, code: u8::try_from(code?).ok()? })
}

/// The code whose words a reason begins with: the longest, since "host unreachable for tos" begins
/// like another.
fn longest(reason: &str) -> Option<usize> {
    let fits = |(_, name): &(usize, &&str)| reason.starts_with(&name.to_ascii_lowercase());
    let found = UNREACHABLE.iter().enumerate().filter(fits).max_by_key(|(_, name)| name.len());
    found.map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::RowRepeat;

    fn told(protocol: &str, info: &str) -> Account {
        let mut account =
            Account { protocol: protocol.to_owned(), info: info.to_owned(), ..Account::default() };
        complete(&mut account);
        account
    }

    #[test]
    fn segments_are_read_in_the_words_of_all_versions() {
        for info in [
            "52702 → 135 [SYN, ACK] Seq=0 Ack=1 Win=8192 Len=0 MSS=1460 WS=256 SACK_PERM",
            "52702 > epmap [SYN, ACK] Seq=0 Ack=1 Win=8192 Len=0 MSS=1460",
            "52702 -> epmap(135) [SYN,ACK] Seq=0 Ack=1 Win=8192 Len=0",
            "[TCP Retransmission] 52702 → 135 [SYN, ACK] Seq=0 Ack=1 Win=8192 Len=0",
        ] {
            let account = told("TCP", info);
            let relative = |value| Some(Number { value, relative: true });
            assert_eq!(account.transport, Some(Transport::Tcp), "{info}");
            assert_eq!((account.source_port, account.destination_port), (Some(52702), Some(135)));
            assert_eq!(account.flags, Some(flag::SYN | flag::ACK));
            assert_eq!((account.seq, account.ack), (relative(0), relative(1)));
            assert_eq!((account.window, account.length), (Some(8192), Some(0)));
        }
    }

    #[test]
    fn datagrams_are_read_in_the_words_of_all_versions() {
        for info in ["53211 → 53 Len=41", "Source port: 53211  Destination port: domain"] {
            let account = told("UDP", info);
            assert_eq!(account.transport, Some(Transport::Udp), "{info}");
            assert_eq!((account.source_port, account.destination_port), (Some(53211), Some(53)));
        }
    }

    #[test]
    fn remarks_of_the_analysis_are_understood() {
        let repeat = |info: &str| told("TCP", info).repeat;
        let syn = "1 → 2 [SYN] Seq=0 Len=0";
        assert_eq!(repeat(&format!("[TCP Retransmission] {syn}")), RowRepeat::Retransmitted);
        assert_eq!(repeat(&format!("[TCP Port numbers reused] {syn}")), RowRepeat::Reused);
        assert_eq!(
            repeat(&format!("[TCP Previous segment not captured] {syn}")),
            RowRepeat::Unsaid
        );
        let both = told("TCP", &format!("[TCP ACKed unseen segment] [TCP Keep-Alive] , {syn}"));
        assert_eq!(both.destination_port, Some(2));
    }

    #[test]
    fn icmp_errors_are_read_by_their_words() {
        for (protocol, info, kind, code) in [
            ("ICMP", "Destination unreachable (Port unreachable)", 3, 3),
            ("ICMP", "Destination unreachable (Host unreachable for TOS)", 3, 12),
            ("ICMP", "Destination unreachable (Communication administratively filtered)", 3, 13),
            ("ICMPv6", "Destination Unreachable (Port unreachable)", 1, 4),
            ("ICMPv6", "Destination Unreachable (Administratively prohibited)", 1, 1),
        ] {
            let icmp = told(protocol, info).icmp.unwrap();
            assert_eq!((icmp.kind, icmp.code), (kind, code), "{info}");
        }
        assert_eq!(told("ICMP", "Echo (ping) request  id=0x0001, seq=1/256").icmp, None);
    }

    #[test]
    fn other_texts_tell_no_ports() {
        for (protocol, info) in [
            ("KRB5", "AS-REQ"),
            ("DNS", "Standard query 0x1f3a A dc07.child.corp.example"),
            ("DCCP", "1 → 2 [Request] Seq=0"),
            ("HTTP", "GET / HTTP/1.1 "),
            ("TCP", ""),
        ] {
            assert_eq!(told(protocol, info).source_port, None, "{info}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(
            protocol in prop::sample::select(vec!["TCP", "UDP", "ICMP", "ICMPv6", ""]),
            info in "\\PC{0,60}",
            words in prop::collection::vec(prop::sample::select(vec![
                "[TCP", "]", "[", "→", ">", "1", "epmap", "SYN]", "Seq=", "Len=5", "(", ")", " ",
                "Destination unreachable", "Source port: ",
            ]), 0..20),
        ) {
            told(protocol, &info);
            told(protocol, &words.concat());
            told(protocol, &words.join(" "));
        }
    }
}
