//! The details of a frame as text: `tshark -V`, and exports of the window with details.
//!
//! Every layer is a head (`Transmission Control Protocol, Src Port: …`) and lines that are
//! indented below it; layers that an ICMP error quotes are indented as a whole.

use crate::capture::wireshark::fields::{Field, Packet};
use crate::capture::wireshark::ports;

/// The layer that a line belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Layer {
    Frame,
    Network,
    Tcp,
    Udp,
    Icmp,
    Icmp6,
    #[default]
    Other,
}

/// Reads the details of one frame.
#[derive(Debug, Default)]
pub(super) struct Detail {
    pub(super) packet: Packet,
    layer: Layer,
}

/// Whether a line is the first of a frame's details: `Frame 2: 66 bytes on wire (528 bits), …`,
/// and before version 1.4 `Frame 2 (66 bytes on wire, 66 bytes captured)`.
pub(super) fn is_head(line: &str) -> bool {
    head(line).is_some()
}

/// The number of a frame, and its length on the wire.
fn head(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("Frame ")?;
    let (number, rest) = rest.split_once([':', ' '])?;
    let rest = rest.trim_start().trim_start_matches('(');
    let (length, rest) = rest.split_once(' ')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let wire = rest.starts_with("bytes on wire") || rest.starts_with("byte on wire");
    (digits(number) && digits(length) && wire).then_some((number, length))
}

impl Detail {
    /// Takes a line; false where it cannot belong to details.
    pub(super) fn take(&mut self, line: &str) -> bool {
        if let Some((number, length)) = head(line) {
            self.layer = Layer::Frame;
            self.packet.set(Field::FrameNumber, number);
            self.packet.set(Field::FrameLength, length);
            return true;
        }
        let text = line.trim();
        let indented = line.len() > line.trim_start().len();
        if self.layer_head(text) {
            return true;
        }
        if !indented {
            self.layer = Layer::Other;
            return true;
        }
        if let Some((field, value)) = self.field(text.trim_matches(['[', ']'])) {
            self.packet.set(field, value);
        }
        true
    }

    /// Takes the head of a layer that tells something.
    fn layer_head(&mut self, text: &str) -> bool {
        let (name, values) = text.split_once(", ").unwrap_or((text, ""));
        let (layer, ends) = match name {
            "Internet Protocol Version 4" | "Internet Protocol" => {
                (Layer::Network, [Field::Source, Field::Destination])
            }
            "Internet Protocol Version 6" => {
                (Layer::Network, [Field::Source6, Field::Destination6])
            }
            "Transmission Control Protocol" => {
                (Layer::Tcp, [Field::TcpSource, Field::TcpDestination])
            }
            "User Datagram Protocol" => (Layer::Udp, [Field::UdpSource, Field::UdpDestination]),
            "Internet Control Message Protocol" => {
                self.layer = Layer::Icmp;
                return true;
            }
            "Internet Control Message Protocol v6" => {
                self.layer = Layer::Icmp6;
                return true;
            }
            _ => return false,
        };
        self.layer = layer;
        for (word, field) in ["Src", "Dst"].into_iter().zip(ends) {
            let port = matches!(layer, Layer::Tcp | Layer::Udp);
            let title = if port { format!("{word} Port: ") } else { format!("{word}: ") };
            let Some((_, value)) = values.split_once(title.as_str()) else { continue };
            let value = value.split(", ").next().unwrap_or_default();
            if port {
                // `epmap (135)` with names.
                let port = ports::read(&value.replace(' ', ""));
                self.packet.set(field, &port.map(|port| port.to_string()).unwrap_or_default());
            } else {
                self.packet.set(field, in_brackets(value).unwrap_or(value));
            }
        }
        if layer == Layer::Tcp
            && let Some((_, length)) = values.split_once("Len: ")
        {
            self.packet.set(Field::TcpLength, length);
        }
        true
    }

    /// The field of a line inside a layer.
    fn field<'a>(&self, text: &'a str) -> Option<(Field, &'a str)> {
        let (name, value) = text.split_once(": ")?;
        let first = value.split_whitespace().next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        Some(match (self.layer, name.as_str()) {
            (Layer::Frame, "epoch time" | "epoch arrival time") => (Field::Epoch, first),
            (Layer::Frame, "arrival time" | "utc arrival time") => (Field::Date, value),
            (Layer::Frame, "time since reference or first frame") => (Field::Relative, first),
            (Layer::Frame, "encapsulation type") => (Field::Encapsulation, in_brackets(value)?),
            (Layer::Network, "identification") => (Field::IpId, first),
            (Layer::Network, "time to live" | "hop limit") => (Field::Ttl, first),
            (Layer::Network, "protocol" | "next header") => {
                (Field::IpProtocol, in_brackets(value)?)
            }
            (Layer::Tcp, "sequence number" | "sequence number (relative)") => (Field::Seq, first),
            (Layer::Tcp, "sequence number (raw)") => (Field::SeqRaw, first),
            (Layer::Tcp, "acknowledgment number") => (Field::Ack, first),
            (Layer::Tcp, "acknowledgment number (raw)") => (Field::AckRaw, first),
            (Layer::Tcp, "flags") => (Field::Flags, first),
            (Layer::Tcp, "window" | "window size value") => (Field::Window, first),
            (Layer::Tcp, "tcp segment len") => (Field::TcpLength, first),
            (Layer::Udp, "length") => (Field::UdpLength, first),
            (Layer::Icmp, "type") => (Field::IcmpType, first),
            (Layer::Icmp, "code") => (Field::IcmpCode, first),
            (Layer::Icmp6, "type") => (Field::Icmp6Type, in_brackets(value)?),
            (Layer::Icmp6, "code") => (Field::Icmp6Code, first),
            _ => return None,
        })
    }
}

/// What stands in the last brackets of a text: the number behind a name.
fn in_brackets(text: &str) -> Option<&str> {
    let (_, inside) = text.trim_end().strip_suffix(')')?.rsplit_once('(')?;
    Some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::wireshark::account::{Icmp, Number};
    use crate::net::Transport;

    const SYN: &str = "\
Frame 7: 66 bytes on wire (528 bits), 66 bytes captured (528 bits)
    Encapsulation type: Ethernet (1)
    Arrival Time: Nov 13, 2012 09:30:09.001000000 UTC
    Epoch Time: 1352799009.001000000 seconds
Ethernet II, Src: 02:00:0a:00:00:05 (02:00:0a:00:00:05), Dst: 02:00:0a:01:00:0a (02:00:0a:01:00:0a)
    Type: IPv4 (0x0800)
Internet Protocol Version 4, Src: cas01.corp.example (10.0.0.5), Dst: 10.1.0.10
    0100 .... = Version: 4
    Identification: 0x0504 (1284)
    Time to Live: 128
    Protocol: TCP (6)
Transmission Control Protocol, Src Port: 50022, Dst Port: kerberos (88), Seq: 0, Len: 0
    Sequence Number: 0    (relative sequence number)
    Sequence Number (raw): 1881199110
    Acknowledgment Number: 0
    Flags: 0x002 (SYN)
        .... .... ..1. = Syn: Set
    Window: 8192
";

    fn read(text: &str) -> crate::capture::wireshark::draft::Draft {
        let mut detail = Detail::default();
        for line in text.lines() {
            detail.take(line);
        }
        detail.packet.finish()
    }

    #[test]
    fn a_segment_is_read_with_its_absolute_numbers() {
        let draft = read(SYN);
        assert_eq!((draft.number, draft.original), (Some(7), Some(66)));
        let account = draft.account.unwrap();
        assert_eq!(account.source, Some("10.0.0.5".parse().unwrap()));
        assert_eq!((account.ttl, account.ip_id), (Some(128), Some(0x504)));
        assert_eq!(account.transport, Some(Transport::Tcp));
        assert_eq!((account.source_port, account.destination_port), (Some(50022), Some(88)));
        assert_eq!(account.seq, Some(Number { value: 1_881_199_110, relative: false }));
        assert_eq!((account.flags, account.length), (Some(2), Some(0)));
    }

    #[test]
    fn an_icmp_error_keeps_its_quote() {
        let account = read(
            "Frame 8: 70 bytes on wire (560 bits), 70 bytes captured (560 bits)\n\
             Internet Protocol Version 4, Src: 10.0.0.1, Dst: 10.0.0.5\n\
             Internet Control Message Protocol\n    Type: 3 (Destination unreachable)\n    \
             Code: 1 (Host unreachable)\n    \
             Internet Protocol Version 4, Src: 10.0.0.5, Dst: 10.1.0.10\n        \
             Time to Live: 127\n    \
             Transmission Control Protocol, Src Port: 50022, Dst Port: 88\n",
        )
        .account
        .unwrap();
        assert_eq!(account.icmp, Some(Icmp { version6: false, kind: 3, code: 1 }));
        assert_eq!(account.source, Some("10.0.0.1".parse().unwrap()));
        let quoted = account.quoted.unwrap();
        assert_eq!(quoted.destination, Some("10.1.0.10".parse().unwrap()));
        assert_eq!(quoted.destination_port, Some(88));
    }

    #[test]
    fn heads_of_all_versions_begin_a_frame() {
        assert!(is_head("Frame 2: 66 bytes on wire (528 bits), 66 bytes captured (528 bits)"));
        assert!(is_head("Frame 2 (66 bytes on wire, 66 bytes captured)"));
        for line in [
            "Frame Number: 2",
            "Frame (66 bytes):",
            "Frame 2: what",
            "    Frame 2: 66 bytes on wire",
        ] {
            assert!(!is_head(line), "{line}");
        }
    }
}
