//! What an ICMP error says, in words.

use crate::packet::IcmpError;

/// "ICMP 3/13 (communication administratively prohibited) from 10.0.0.1".
pub(super) fn note(error: IcmpError) -> String {
    let version = if error.reporter.is_ipv6() { "ICMPv6" } else { "ICMP" };
    let name = name(error).map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{version} {}/{}{name} from {}", error.icmp_type, error.code, error.reporter)
}

/// Names of RFC 792, RFC 1812 5.2.7.1 and RFC 4443.
fn name(error: IcmpError) -> Option<&'static str> {
    Some(match (!error.reporter.is_ipv6(), error.icmp_type, error.code) {
        (true, 3, 0) => "network unreachable",
        (true, 3, 1) => "host unreachable",
        (true, 3, 2) => "protocol unreachable",
        (true, 3, 3) | (false, 1, 4) => "port unreachable",
        (true, 3, 4) => "fragmentation needed",
        (true, 3, 5) => "source route failed",
        (true, 3, 6) => "network unknown",
        (true, 3, 7) => "host unknown",
        (true, 3, 9) => "network administratively prohibited",
        (true, 3, 10) => "host administratively prohibited",
        (true, 3, 13) | (false, 1, 1) => "communication administratively prohibited",
        (true, 4, _) => "source quench",
        (true, 5, _) => "redirect",
        (true, 11, 0) | (false, 3, 0) => "hop limit exceeded in transit",
        (true, 11, 1) | (false, 3, 1) => "fragment reassembly time exceeded",
        (true, 12, _) | (false, 4, _) => "parameter problem",
        (false, 1, 0) => "no route to destination",
        (false, 1, 2) => "beyond scope of source address",
        (false, 1, 3) => "address unreachable",
        (false, 1, 5) => "source address failed policy",
        (false, 1, 6) => "reject route to destination",
        (false, 2, _) => "packet too big",
        _ => return None,
    })
}
