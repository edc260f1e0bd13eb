//! The pieces of a description: flags, ports, numbers, conversation numbers.

use crate::net::{Network, Transport};

/// Where `needle` begins in `text`, in any case of its letters. `needle` is ASCII.
pub(super) fn find(text: &str, needle: &str) -> Option<usize> {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    let first = needle.first()?.to_ascii_lowercase();
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = rest.iter().position(|byte| byte.to_ascii_lowercase() == first)?;
        let candidate = rest.get(at..at.checked_add(needle.len())?)?;
        if candidate.eq_ignore_ascii_case(needle) {
            return from.checked_add(at);
        }
        from += at + 1;
    }
}

/// What follows `key` and its `=` or `:` in `text`.
pub(super) fn after_key<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut text = text;
    loop {
        let at = find(text, key)?;
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let rest = text.get(at + key.len()..)?;
        let value = rest.trim_start().strip_prefix(['=', ':']);
        // "Ack" is no key in "Bind Ack:", nor in "SynAck=".
        if let Some(value) = value
            && !before.is_some_and(char::is_alphanumeric)
        {
            return Some(value.trim_start());
        }
        text = rest;
    }
}

/// The number that follows `key`, if something follows the number: at the end of a text it may
/// be cut.
pub(super) fn number_of(text: &str, key: &str) -> Option<u32> {
    let value = after_key(text, key)?;
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = value.split_at_checked(digits)?;
    if rest.is_empty() {
        return None;
    }
    number.parse().ok()
}

/// Flags of a segment, from eight positions `CEUAPRSF` of letters and dots; where some dots are
/// lost, the letters are enough, as they are all different.
pub(super) fn flags(text: &str) -> Option<u8> {
    let mut flags = 0;
    for letter in text.trim().trim_end_matches(',').chars() {
        let bit = match letter {
            'C' => 0x80,
            'E' => 0x40,
            'U' => 0x20,
            'A' => 0x10,
            'P' => 0x08,
            'R' => 0x04,
            'S' => 0x02,
            'F' => 0x01,
            '.' | '·' | ' ' | '-' | '*' | '\\' | '_' => continue,
            _ => return None,
        };
        if flags & bit != 0 {
            return None;
        }
        flags |= bit;
    }
    (flags != 0).then_some(flags)
}

/// A port: a number, or a name and the number in parentheses behind it. Names hold parentheses
/// too: `Microsoft Global Catalog (LDAP)(3268)`. In columns of their own ports also stand in
/// hexadecimal: `62047 (0xF25F)`.
pub(super) fn port(text: &str) -> Option<u16> {
    let text = text.trim().trim_end_matches([',', ';', '.']).trim_end();
    let plain = |text: &str| text.trim().parse::<u16>().ok();
    if let Some(port) = plain(text) {
        return Some(port);
    }
    let open = text.rfind('(')?;
    let (name, inside) = (text.get(..open)?, text.get(open + 1..)?);
    let inside = inside.split(')').next().unwrap_or_default();
    if inside.trim_start().starts_with("0x") {
        return port_before(name);
    }
    plain(inside)
}

/// The port that stands before its own hexadecimal form.
fn port_before(text: &str) -> Option<u16> {
    let text = text.trim();
    match text.parse() {
        Ok(port) => Some(port),
        Err(_) => text.strip_suffix(')')?.rsplit('(').next()?.trim().parse().ok(),
    }
}

/// The conversations that a row belongs to: `{HTTP:41, TCP:40, IPv4:20}`, innermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversations {
    /// The conversation between two ports.
    pub(super) ports: Option<(Transport, u32)>,
    /// The conversation between two hosts.
    pub(super) hosts: Option<(Network, u32)>,
}

/// Conversations in a row, at most. Real ones have up to ten or so.
const MOST_CONVERSATIONS: usize = 32;

/// Reads a list of conversations that begins with `{`; gives it and its length.
pub(super) fn conversations(text: &str) -> Option<(Conversations, usize)> {
    let inside = text.strip_prefix('{')?;
    let length = inside.bytes().take(1000).position(|byte| matches!(byte, b'}' | b'{'))?;
    let inside = inside.get(..length)?;
    if text.as_bytes().get(length + 1) != Some(&b'}') {
        return None;
    }
    let mut found = Conversations::default();
    for (place, item) in inside.split(',').enumerate() {
        let (name, number) = item.trim().split_once(':')?;
        let number: u32 = number.trim().parse().ok()?;
        let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !named || place >= MOST_CONVERSATIONS {
            return None;
        }
        match name.to_ascii_lowercase().as_str() {
            "tcp" => found.ports = found.ports.or(Some((Transport::Tcp, number))),
            "udp" => found.ports = found.ports.or(Some((Transport::Udp, number))),
            "ipv4" => found.hosts = found.hosts.or(Some((Network::V4, number))),
            "ipv6" => found.hosts = found.hosts.or(Some((Network::V6, number))),
            _ => {}
        }
    }
    Some((found, length + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_by_their_letters() {
        // RFC 9293 3.1: CWR ECE URG ACK PSH RST SYN FIN, from the highest bit to the lowest.
        for (text, expected) in [
            ("......S.", Some(0x02)),
            ("...A..S.", Some(0x12)),
            ("...A.R..", Some(0x14)),
            (".....R..", Some(0x04)),
            ("...AP..F", Some(0x19)),
            ("CE....S.", Some(0xc2)),
            ("...A...., ", Some(0x10)),
            // Dots lost.
            ("..A.R..", Some(0x14)),
            ("S", Some(0x02)),
            ("........", None),
            ("and", None),
            ("...A..S.S", None),
        ] {
            assert_eq!(flags(text), expected, "{text}");
        }
    }

    #[test]
    fn ports_stand_in_the_last_parentheses() {
        for (text, expected) in [
            ("52702", Some(52702)),
            ("LDAP(389)", Some(389)),
            ("DCE endpoint resolution(135)", Some(135)),
            ("Microsoft Global Catalog (LDAP)(3268)", Some(3268)),
            ("62047 (0xF25F)", Some(62047)),
            ("DNS(53) (0x35)", Some(53)),
            ("HTTP(80),", Some(80)),
            ("Kerberos", None),
            ("70000", None),
            ("(LDAP)", None),
            ("", None),
        ] {
            assert_eq!(port(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_that_may_be_cut_are_not_believed() {
        let text = "PayloadLen=1460, Seq=100 - 1560, Ack = 7, Win=8192 ( x ) = 9";
        assert_eq!(number_of(text, "PayloadLen"), Some(1460));
        assert_eq!(number_of(text, "Seq"), Some(100));
        assert_eq!(number_of(text, "Ack"), Some(7));
        assert_eq!(number_of("Seq=1, Ack=72", "Ack"), None);
        assert_eq!(number_of("Bind Ack: 5, SynAck=4, Ack=3,", "Ack"), Some(5));
        assert_eq!(number_of("Seq=99999999999,", "Seq"), None);
    }

    #[test]
    fn conversations_are_numbers_in_braces() {
        let (found, length) = conversations("{HTTP:41, TCP:40, IPv4:20} x").unwrap();
        assert_eq!(length, 26);
        assert_eq!(found.ports, Some((Transport::Tcp, 40)));
        assert_eq!(found.hosts, Some((Network::V4, 20)));
        let (found, _) = conversations("{UDP:69,IPv6:13}").unwrap();
        assert_eq!(found.ports, Some((Transport::Udp, 69)));
        assert_eq!(found.hosts, Some((Network::V6, 13)));
        for text in ["{99FCFEC4-5260}", "{}", "{TCP:x}", "{TCP:1", "{TCP:1 {IPv4:2}", "TCP:1}"] {
            assert_eq!(conversations(text), None, "{text}");
        }
    }
}
