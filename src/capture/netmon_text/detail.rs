//! Lines of the detail pane: each layer of one frame on a line of its own.
//!
//! `+ Ipv4: Src = …` and its kin come before the line of the transport, which then is a record
//! like any other; what they told is added to it.

use crate::capture::netmon_text::fields::{after_key, find, number_of};
use crate::net::{Address, FrameNumber};

/// What the lines of the lower layers told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Detail {
    /// Number of the frame.
    pub(super) number: Option<FrameNumber>,
    /// Source and destination.
    pub(super) hosts: Option<(Address, Address)>,
    /// IPv4 identification.
    pub(super) ip_id: Option<u16>,
}

impl Detail {
    /// Takes a line; false where it is none of a lower layer.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let line = line.trim_start_matches([' ', '\t', '+', '-', '>']);
        let begins = |word: &str| {
            line.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
        };
        if begins("Frame:") && find(line, "Number").is_some() {
            let number = number_of(line, "Number").filter(|number| *number > 0);
            *self = Detail {
                number: number.map(|number| FrameNumber(number.into())),
                ..Detail::default()
            };
            return true;
        }
        if begins("Ethernet:") {
            return true;
        }
        if !begins("Ipv4:") && !begins("Ipv6:") {
            return false;
        }
        let address = |key| {
            let value = after_key(line, key)?;
            let end = value.find([',', ' ']).unwrap_or(value.len());
            value.get(..end)?.parse::<Address>().ok()
        };
        let destination = address("Dest").or_else(|| address("DestinationAddress"));
        let source = address("Src").or_else(|| address("SourceAddress"));
        let (Some(source), Some(destination)) = (source, destination) else { return false };
        self.hosts = Some((source, destination));
        self.ip_id = number_of(line, "Packet ID").and_then(|id| u16::try_from(id).ok());
        true
    }

    /// What was told, for the record that it belongs to.
    pub(super) fn end(&mut self) -> Detail {
        std::mem::take(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_below_tell_frame_and_hosts() {
        let mut detail = Detail::default();
        for line in [
            "  Frame: Number = 231, Captured Frame Length = 66, MediaType = ETHERNET",
            "+ Ethernet: Etype = Internet IP (IPv4),DestinationAddress:[x],SourceAddress:[y]",
            "+ Ipv4: Src = 10.0.0.5, Dest = 10.1.0.10, Next Protocol = TCP, Packet ID = 77, Total IP Length = 52",
        ] {
            assert!(detail.take(line), "{line}");
        }
        let told = detail.end();
        assert_eq!(told.number, Some(FrameNumber(231)));
        let (source, destination) = told.hosts.unwrap();
        assert_eq!(format!("{source} {destination}"), "10.0.0.5 10.1.0.10");
        assert_eq!(told.ip_id, Some(77));
        assert_eq!(detail, Detail::default());
        assert!(!detail.take("- Tcp: Flags=......S., SrcPort=1, DstPort=2"));
    }
}
