//! ICMP errors about packets of a flow.

use crate::flow::Flow;
use crate::packet::{IcmpError, Packet};

impl Flow {
    /// Takes an error about one of its packets into account.
    pub(super) fn observe_icmp_error(&mut self, packet: &Packet<'_>, error: IcmpError) {
        self.last_frame = packet.frame;
        self.last_seen = packet.time.or(self.last_seen);
        self.keep_evidence(packet);
        if self.is_from_initiator(packet) {
            match meaning(error) {
                IcmpMeaning::Prohibited => self.prohibited = true,
                IcmpMeaning::Unreachable => self.unreachable = true,
                IcmpMeaning::Other => {}
            }
        }
    }
}

enum IcmpMeaning {
    Prohibited,
    Unreachable,
    Other,
}

/// What an ICMP error says of the quoted packet (RFC 792, RFC 1812 5.2.7.1, RFC 4443 3.1).
fn meaning(error: IcmpError) -> IcmpMeaning {
    match (!error.reporter.is_ipv6(), error.icmp_type, error.code) {
        (true, 3, 9 | 10 | 13) | (false, 1, 1 | 5 | 6) => IcmpMeaning::Prohibited,
        // 3/4 asks for smaller packets: path MTU discovery at work.
        (true, 3, 4) => IcmpMeaning::Other,
        (true, 3, _) | (false, 1, _) => IcmpMeaning::Unreachable,
        _ => IcmpMeaning::Other,
    }
}
