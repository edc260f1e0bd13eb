//! `pfirewall.log`, which the firewall of Windows writes: a head that names the columns, then a
//! line for each packet that it dropped, or connection that it allowed.
//!
//! The form is that of Microsoft's *Interpreting the Windows Firewall Log*. Columns are found by
//! the head, because new versions of Windows add some (`pid`).

use crate::log::record::DropEntry;
use crate::log::when;
use crate::net::{Address, Endpoint, Time, Transport};

/// Begins the line that names the columns.
const FIELDS: &str = "#Fields:";
/// The columns of version 1.5, for a log whose head was cut off.
const USUAL: &str = "date time action protocol src-ip dst-ip src-port dst-port size tcpflags \
                     tcpsyn tcpack tcpwin icmptype icmpcode info path";

/// Places of the columns that matter, and what else the head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    names: Vec<String>,
    is_utc: bool,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FirewallLine {
    /// Nothing about a packet of TCP or UDP that was dropped.
    Other(Option<Time>),
    /// A packet was dropped.
    Drop(Option<Time>, DropEntry),
    /// The firewall could not write down so many lines.
    Lost(Option<Time>, u64),
    /// It is of no form that we know.
    NotUnderstood,
}

impl Columns {
    /// The columns where no head tells them.
    pub(super) fn usual() -> Columns {
        Columns { names: USUAL.split_whitespace().map(str::to_owned).collect(), is_utc: false }
    }

    fn of<'a>(&self, cells: &[&'a str], name: &str) -> Option<&'a str> {
        let place = self.names.iter().position(|column| column == name)?;
        cells.get(place).copied().filter(|cell| *cell != "-")
    }

    /// Reads a line; those of the head change how the next ones are read.
    pub(super) fn line(&mut self, line: &str) -> FirewallLine {
        let line = line.trim();
        if let Some(head) = line.strip_prefix('#') {
            if let Some(names) = line.strip_prefix(FIELDS) {
                self.names =
                    names.split_whitespace().take(64).map(str::to_ascii_lowercase).collect();
            } else if let Some((name, value)) = head.split_once(':')
                && name.replace(' ', "").eq_ignore_ascii_case("timeformat")
            {
                self.is_utc =
                    ["utc", "gmt"].iter().any(|zone| value.trim().eq_ignore_ascii_case(zone));
            }
            return FirewallLine::Other(None);
        }
        if line.is_empty() {
            return FirewallLine::Other(None);
        }
        self.read(line).unwrap_or(FirewallLine::NotUnderstood)
    }

    fn read(&self, line: &str) -> Option<FirewallLine> {
        let cells: Vec<&str> = line.split_whitespace().take(64).collect();
        let time =
            when::of_firewall(self.of(&cells, "date")?, self.of(&cells, "time")?, self.is_utc);
        let time = Some(time?);
        let action = self.of(&cells, "action")?;
        if action.eq_ignore_ascii_case("INFO-EVENTS-LOST") {
            let lost = self.of(&cells, "info").and_then(|count| count.parse().ok());
            return Some(FirewallLine::Lost(time, lost.unwrap_or(1)));
        }
        let protocol = self.of(&cells, "protocol")?;
        let is =
            |name: &str, number: &str| protocol.eq_ignore_ascii_case(name) || protocol == number;
        let transport = if is("TCP", "6") {
            Transport::Tcp
        } else if is("UDP", "17") {
            Transport::Udp
        } else {
            return Some(FirewallLine::Other(time));
        };
        if !action.eq_ignore_ascii_case("DROP") {
            return Some(FirewallLine::Other(time));
        }
        let end = |address: &str, port: &str| -> Option<Endpoint> {
            let address = self.of(&cells, address)?;
            // A link-local address may have its interface behind it.
            let address = address.split_once('%').map_or(address, |(address, _)| address);
            let address: std::net::IpAddr = address.parse().ok()?;
            let port = self.of(&cells, port)?.parse().ok()?;
            Some(Endpoint { address: Address::from(address), port })
        };
        let sent = match self.of(&cells, "path") {
            Some(path) if path.eq_ignore_ascii_case("SEND") => Some(true),
            Some(path) if path.eq_ignore_ascii_case("RECEIVE") => Some(false),
            // What is forwarded came from others and was meant for others.
            Some(_) | None => None,
        };
        let (source, destination) = (end("src-ip", "src-port")?, end("dst-ip", "dst-port")?);
        Some(FirewallLine::Drop(time, DropEntry { transport, source, destination, sent }))
    }
}

/// Whether a line is of such a log: of its head, or of a packet.
pub(super) fn is_of_firewall(line: &str) -> bool {
    let line = line.trim();
    let heads = [
        "#Software: Microsoft Windows Firewall",
        "#Software: Microsoft Internet Connection Firewall",
    ];
    if heads.iter().any(|head| line.starts_with(head))
        || line.starts_with("#Fields: date time action")
    {
        return true;
    }
    let actions = ["DROP", "ALLOW", "OPEN", "CLOSE", "OPEN-INBOUND", "INFO-EVENTS-LOST"];
    let cells: Vec<&str> = line.split_whitespace().take(64).collect();
    // All that there are up to the ports.
    let is_known = cells.get(2).is_some_and(|action| actions.contains(action));
    is_known && cells.len() >= 8 && Columns::usual().read(line).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "#Fields: date time action protocol src-ip dst-ip src-port dst-port size \
                        tcpflags tcpsyn tcpack tcpwin icmptype icmpcode info path";

    fn drop_of(line: &FirewallLine) -> (String, DropEntry) {
        let FirewallLine::Drop(Some(time), entry) = line else { panic!("{line:?}") };
        (time.to_string(), *entry)
    }

    #[test]
    fn a_dropped_packet_has_ends_and_direction() {
        let mut columns = Columns::usual();
        assert_eq!(columns.line("#Time Format: Local"), FirewallLine::Other(None));
        assert_eq!(columns.line(HEAD), FirewallLine::Other(None));
        let line = "2014-05-27 10:15:02 DROP TCP 10.0.0.5 10.1.0.10 50081 389 52 S 251831252 0 8192 - - - RECEIVE";
        let (time, entry) = drop_of(&columns.line(line));
        assert_eq!(time, "2014-05-27T10:15:02");
        assert_eq!(entry.transport, Transport::Tcp);
        assert_eq!(entry.source.to_string(), "10.0.0.5:50081");
        assert_eq!(entry.destination.to_string(), "10.1.0.10:389");
        assert_eq!(entry.sent, Some(false));
        let line = "2014-05-27 10:15:02 DROP UDP fe80::1%12 ff02::1:3 50081 5355 0 - - - - - - - SEND 1360";
        let (_, entry) = drop_of(&columns.line(line));
        assert_eq!(entry.source.to_string(), "[fe80::1]:50081");
        assert_eq!(entry.sent, Some(true));
    }

    #[test]
    fn the_head_tells_columns_and_zone() {
        let mut columns = Columns::usual();
        columns.line("#TimeFormat: UTC");
        columns.line("#Fields: action time date protocol src-port src-ip dst-ip dst-port");
        let (time, entry) =
            drop_of(&columns.line("DROP 10:15:02 2014-05-27 17 53 10.0.0.5 10.1.0.10 389"));
        assert_eq!(time, "2014-05-27T10:15:02Z");
        assert_eq!((entry.transport, entry.sent), (Transport::Udp, None));
    }

    #[test]
    fn what_is_allowed_or_lost_or_no_port_is_no_drop() {
        let mut columns = Columns::usual();
        for line in [
            "2014-05-27 10:15:02 ALLOW TCP 10.0.0.5 10.1.0.10 50081 389 0 - 0 0 0 - - - SEND",
            "2014-05-27 10:15:02 DROP ICMP 10.0.0.5 10.1.0.10 - - 60 - - - - 8 0 - RECEIVE",
            "2014-05-27 10:15:02 DROP 2 10.0.0.5 224.0.0.22 - - 40 - - - - - - - RECEIVE",
        ] {
            assert!(matches!(columns.line(line), FirewallLine::Other(Some(_))), "{line}");
        }
        let lost = "2014-05-27 10:15:02 INFO-EVENTS-LOST - - - - - - - - - - - - 12 -";
        assert!(matches!(columns.line(lost), FirewallLine::Lost(Some(_), 12)));
        for line in [
            "text",
            "2014-05-27 10:15:02 DROP TCP 10.0.0.5",
            "2014-05-27 10:15:02 DROP TCP a b 1 2",
        ] {
            assert_eq!(columns.line(line), FirewallLine::NotUnderstood, "{line}");
        }
    }

    #[test]
    fn a_log_is_told_by_its_head_or_any_of_its_lines() {
        assert!(is_of_firewall("#Software: Microsoft Windows Firewall"));
        assert!(is_of_firewall(HEAD));
        assert!(is_of_firewall(
            "2014-05-27 10:15:02 DROP TCP 10.0.0.5 10.1.0.10 50081 389 52 S 1 0 8192 - - - RECEIVE"
        ));
        assert!(!is_of_firewall("2014-05-27 10:15:02 10.0.0.5 GET /sms_mp/.sms_aut - 80"));
        assert!(!is_of_firewall("2014-05-27 10:15:02 DROP table"));
    }
}
