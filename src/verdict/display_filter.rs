//! Filters that show a flow in other programs.
//!
//! Every flow has them and hardly anybody asks, so they are written when they are wanted, out of
//! what they are made of.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddrV4};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::letters::{Letters, push_address};
use crate::net::{Address, Endpoint, Transport};

/// Filters that show a flow in other programs.
///
/// They are for the conversation: a reused pair of ports shows all its flows, and the frame numbers
/// tell them apart. Two are the same if their texts are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "FilterTexts", into = "FilterTexts")]
pub struct DisplayFilter(Of);

#[derive(Clone, Debug)]
enum Of {
    /// The two ends of a flow, by far the most in place.
    V4(Transport, [SocketAddrV4; 2]),
    Ends(Box<(Transport, [Endpoint; 2])>),
    /// What a report said.
    Texts(Box<FilterTexts>),
}

/// Filters that show a flow in other programs.
// The texts, as they stand in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DisplayFilter")]
pub(super) struct FilterTexts {
    /// For Wireshark and tshark.
    wireshark: String,
    /// For Microsoft Network Monitor.
    netmon: String,
}

/// The words of a program.
struct Words {
    ipv4: &'static str,
    ipv6: &'static str,
    port: [&'static str; 2],
    and: &'static str,
    /// All of a transport.
    transport: [&'static str; 2],
}

const WIRESHARK: Words = Words {
    ipv4: "ip.addr == ",
    ipv6: "ipv6.addr == ",
    port: ["tcp.port == ", "udp.port == "],
    and: " && ",
    transport: ["tcp", "udp"],
};

const NETMON: Words = Words {
    ipv4: "IPv4.Address == ",
    ipv6: "IPv6.Address == ",
    port: ["TCP.Port == ", "UDP.Port == "],
    and: " AND ",
    transport: ["TCP", "UDP"],
};

impl DisplayFilter {
    /// The filters of a flow between these ends.
    ///
    /// A host whose address is not known is left out, and so is a port that is not: what is left
    /// shows the flow and perhaps others.
    pub fn of(transport: Transport, ends: [Endpoint; 2]) -> DisplayFilter {
        DisplayFilter(match ends.map(v4) {
            [Some(one), Some(other)] => Of::V4(transport, [one, other]),
            _ => Of::Ends(Box::new((transport, ends))),
        })
    }

    /// Filters of these texts.
    #[cfg(test)]
    pub(crate) fn of_texts(wireshark: &str, netmon: &str) -> DisplayFilter {
        let (wireshark, netmon) = (wireshark.to_owned(), netmon.to_owned());
        FilterTexts { wireshark, netmon }.into()
    }

    /// For Wireshark and tshark.
    pub fn wireshark(&self) -> Cow<'_, str> {
        match &self.0 {
            Of::Texts(texts) => texts.wireshark.as_str().into(),
            Of::V4(..) | Of::Ends(_) => self.made(&WIRESHARK).into(),
        }
    }

    /// For Microsoft Network Monitor.
    pub fn netmon(&self) -> Cow<'_, str> {
        match &self.0 {
            Of::Texts(texts) => texts.netmon.as_str().into(),
            Of::V4(..) | Of::Ends(_) => self.made(&NETMON).into(),
        }
    }

    /// The filter in the words of a program; empty where texts were read.
    fn made(&self, words: &Words) -> String {
        match &self.0 {
            Of::V4(transport, ends) => words.filter(*transport, ends.map(endpoint)),
            Of::Ends(of) => {
                let (transport, ends) = **of;
                words.filter(transport, ends)
            }
            Of::Texts(_) => String::new(),
        }
    }
}

impl PartialEq for DisplayFilter {
    fn eq(&self, other: &DisplayFilter) -> bool {
        self.wireshark() == other.wireshark() && self.netmon() == other.netmon()
    }
}

impl Eq for DisplayFilter {}

impl From<FilterTexts> for DisplayFilter {
    fn from(texts: FilterTexts) -> DisplayFilter {
        DisplayFilter(Of::Texts(Box::new(texts)))
    }
}

impl From<DisplayFilter> for FilterTexts {
    fn from(filter: DisplayFilter) -> FilterTexts {
        match filter.0 {
            Of::Texts(texts) => *texts,
            Of::V4(..) | Of::Ends(_) => {
                FilterTexts { wireshark: filter.made(&WIRESHARK), netmon: filter.made(&NETMON) }
            }
        }
    }
}

impl Words {
    fn filter(&self, transport: Transport, ends: [Endpoint; 2]) -> String {
        // Room for two IPv4 addresses and ports.
        let mut filter = String::with_capacity(100);
        for address in ends.iter().filter_map(|end| end.address.ip()) {
            self.begin_term(&mut filter, if address.is_ipv4() { self.ipv4 } else { self.ipv6 });
            push_address(&mut filter, address.into());
        }
        for port in ends.iter().map(|end| end.port).filter(|port| *port != 0) {
            self.begin_term(&mut filter, of(transport, self.port));
            filter.push_str(Letters::of_number(port.into()).as_str());
        }
        if filter.is_empty() {
            filter.push_str(of(transport, self.transport));
        }
        filter
    }

    fn begin_term(&self, filter: &mut String, name: &str) {
        if !filter.is_empty() {
            filter.push_str(self.and);
        }
        filter.push_str(name);
    }
}

/// The end of an IPv4 flow.
fn v4(end: Endpoint) -> Option<SocketAddrV4> {
    match end.address {
        Address::Ip(IpAddr::V4(address)) => Some(SocketAddrV4::new(address, end.port)),
        Address::Ip(IpAddr::V6(_)) | Address::Conversation(_) | Address::Name(_) => None,
    }
}

fn endpoint(end: SocketAddrV4) -> Endpoint {
    Endpoint { address: (*end.ip()).into(), port: end.port() }
}

/// Of the words for TCP and for UDP the one that is meant.
fn of(transport: Transport, [tcp, udp]: [&'static str; 2]) -> &'static str {
    match transport {
        Transport::Tcp => tcp,
        Transport::Udp => udp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(address: &str, port: u16) -> Endpoint {
        Endpoint { address: address.parse().unwrap(), port }
    }

    #[test]
    fn a_filter_asks_for_what_is_known_of_both_ends() {
        for (transport, ends, wireshark, netmon) in [
            (
                Transport::Tcp,
                [end("10.0.0.5", 49_200), end("10.0.0.10", 389)],
                "ip.addr == 10.0.0.5 && ip.addr == 10.0.0.10 && tcp.port == 49200 && tcp.port == \
                 389",
                "IPv4.Address == 10.0.0.5 AND IPv4.Address == 10.0.0.10 AND TCP.Port == 49200 AND \
                 TCP.Port == 389",
            ),
            (
                Transport::Udp,
                [end("2001:db8::5", 0), end("dc1.corp.example", 53)],
                "ipv6.addr == 2001:db8::5 && udp.port == 53",
                "IPv6.Address == 2001:db8::5 AND UDP.Port == 53",
            ),
            (
                Transport::Udp,
                [end("IPv4:13 initiator", 0), end("IPv4:13 responder", 0)],
                "udp",
                "UDP",
            ),
        ] {
            let filter = DisplayFilter::of(transport, ends);
            assert_eq!((&*filter.wireshark(), &*filter.netmon()), (wireshark, netmon));
        }
    }

    #[test]
    fn a_filter_that_was_read_equals_the_one_that_was_made() {
        for ends in [
            [end("10.0.0.5", 49_200), end("10.0.0.10", 389)],
            [end("2001:db8::5", 49_200), end("2001:db8::a", 389)],
            [end("dc1.corp.example", 0), end("10.0.0.10", 389)],
        ] {
            let made = DisplayFilter::of(Transport::Tcp, ends);
            let json = serde_json::to_string(&made).unwrap();
            let read: DisplayFilter = serde_json::from_str(&json).unwrap();
            assert_eq!(read, made);
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
            assert_ne!(read, DisplayFilter::of(Transport::Udp, ends));
        }
    }

    #[test]
    fn texts_of_others_stay_as_they_were_read() {
        let json = r#"{"wireshark":"=\u001b[1m","netmon":""}"#;
        let read: DisplayFilter = serde_json::from_str(json).unwrap();
        assert_eq!(read.wireshark(), "=\u{1b}[1m");
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }
}
