//! Probes: what the application above a flow asked and answered.
//!
//! A probe reads the messages of one protocol, as far as they tell whether the service serves:
//! byte slices in, [`Signal`]s out. Which protocol a flow speaks is told by the bytes; its ports
//! only say which probe to ask first. Messages are put together by [`Dialogue`] in bounded memory,
//! bulk data is counted and never kept, and what the capture does not hold is never guessed: a
//! message of which only the beginning was captured comes with the bytes there are.
//!
//! To add a protocol: write `src/probe/<name>.rs` with a `Probe`, and add a line to `PROBES`.
//! Its codes go to [`Code`]'s tables. Nothing else learns of it, because signals tell meanings
//! (asked, served, failed, announced, named) and not protocols.

use std::fmt;
use std::net::IpAddr;

use crate::net::{FrameNumber, NameSource, Timestamp, Transport, looks_like_a_name, without_root};

mod asn1;
mod assembler;
mod certificate;
mod code;
mod dhcp;
mod dialogue;
mod dns;
mod duty;
mod heard;
mod http;
mod kerberos;
mod kpasswd;
mod ldap;
mod msrpc;
mod nbns;
mod netlogon;
mod ntlm;
mod ntp;
mod read;
mod service_broker;
mod smb;
mod sql_browser;
mod tds;
mod tftp;
mod tls;

pub use code::{Code, CodeSet, Standing};
pub use dialogue::Dialogue;
pub(crate) use dialogue::Memory;
pub(crate) use dns::is_outside;
pub use duty::{Duty, Holder};
pub use heard::{Answer, ClockReading, Heard, HeardDuty};
pub use msrpc::{Interface, asked_interface};

/// Every protocol that we read, in the order in which they are tried.
const PROBES: &[&Probe] = &[
    &dns::PROBE,
    &dns::LLMNR,
    &dns::MDNS,
    &nbns::PROBE,
    &kerberos::PROBE,
    &kpasswd::PROBE,
    &ldap::PROBE,
    &ntp::PROBE,
    &dhcp::PROBE,
    &tftp::PROBE,
    &msrpc::PROBE,
    &smb::PROBE,
    &http::PROBE,
    &tls::PROBE,
    &tds::PROBE,
    &sql_browser::PROBE,
    &service_broker::PROBE,
];

/// The place of a protocol's probe in the list, by the protocol's name.
pub(crate) fn protocol_place(name: &str) -> u8 {
    let place = PROBES.iter().position(|probe| probe.name == name);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or_default()
}

/// The name of the protocol whose probe is at this place.
pub(crate) fn protocol_at(place: u8) -> &'static str {
    PROBES.get(usize::from(place)).map_or("", |probe| probe.name)
}

/// A protocol that we read.
pub(crate) struct Probe {
    /// Its name, as administrators call it.
    pub name: &'static str,
    /// Ports that it is asked for first.
    pub ports: &'static [(Transport, u16)],
    /// Whether a flow speaks it.
    pub recognise: fn(&Opening<'_>) -> Recognition,
    /// Begins to listen to a flow.
    pub begin: fn(Transport) -> Box<dyn Talk>,
}

impl fmt::Debug for Probe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

/// The first bytes of one direction of a flow, or of a segment of it, or a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub transport: Transport,
    /// Who sent them.
    pub from: Speaker,
    /// Whether one of the flow's ports is one of the probe's.
    pub port_fits: bool,
    /// What was captured of them.
    pub bytes: &'a [u8],
}

/// Whether bytes are of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recognition {
    No,
    /// They may be: more bytes will tell.
    Perhaps,
    Yes,
}

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speaker {
    /// The side that opened the flow.
    Initiator,
    /// The side that was called.
    Responder,
}

/// Follows the messages of one flow. Holds what later messages need to be understood, and no
/// more.
pub(crate) trait Talk: Send + fmt::Debug {
    /// How long the message is that begins with these bytes, all that are there of it so far. Not
    /// asked for datagrams: each is a message.
    fn framing(&self, from: Speaker, bytes: &[u8]) -> Framing;

    /// Takes a message into account.
    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next;

    /// Whether it holds anything of the messages before: else a new one does as well.
    fn remembers(&self) -> bool {
        true
    }

    /// Bytes of a direction are missing, or make no sense: the next message may begin anywhere.
    fn lose(&mut self, _from: Speaker) {}
}

/// How long a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// At least so many bytes of it are needed to tell.
    Needs(usize),
    /// So long, of which the first `keep` bytes are worth having.
    Message { length: u64, keep: usize },
    /// It ends with this mark, and has at most so many bytes.
    Until { mark: &'static [u8], most: usize },
    /// These bytes begin no message. Listening goes on with the next segment.
    Lost,
}

/// What follows a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// Another message of this protocol.
    Stay,
    /// Another protocol, from the next byte on (`StartTLS` and its like).
    Become(&'static Probe),
    /// Nothing that we could read, or want to.
    Done,
}

/// A message: a datagram, or what a protocol puts into the stream of a TCP flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// Who sent it.
    pub from: Speaker,
    /// What there is of it, from its beginning: less than `length` where the rest was not wanted,
    /// not captured, or cut off.
    pub bytes: &'a [u8],
    /// Its length on the wire.
    pub length: u64,
    /// When that was captured.
    pub time: Option<Timestamp>,
}

/// Something that a message said, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The protocol, by the name of its probe.
    pub protocol: &'static str,
    /// The frame that the message ends in.
    pub frame: FrameNumber,
    /// When that was captured.
    pub time: Option<Timestamp>,
    /// Who said it.
    pub from: Speaker,
    /// What it said.
    pub meaning: Meaning,
}

/// What a message said.
///
/// A *subject* is what is asked for: two answers with one subject are about the same thing, so
/// that a later one that serves makes an earlier one that fails good. Texts are hostile: they are
/// what the capture holds, at most [`MOST_TEXT`] characters of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The initiator asked for something.
    Asked {
        /// What for.
        subject: String,
    },
    /// The responder answered.
    Answered {
        /// What was asked for.
        subject: String,
        /// What the answer is worth.
        standing: Standing,
        /// The code that says so, where the protocol has one: also that of success.
        code: Option<Code>,
        /// What else the answer says, in words for an administrator.
        detail: Option<String>,
    },
    /// Where a service listens: an endpoint mapper's or object resolver's answer.
    Announced(Announcement),
    /// The remote procedures that the flow calls, by interface.
    Calls {
        /// Identifier of the interface.
        uuid: Uuid,
    },
    /// A name of an address.
    Named {
        /// The address.
        address: IpAddr,
        /// A name that the message gives it.
        name: String,
    },
    /// What the speaker calls itself (netlogon answers, NetBIOS node status).
    Introduced {
        /// Its name.
        name: String,
        /// What kind of message says so: a sign-on may stand inside another protocol.
        by: NameSource,
    },
    /// What the initiator calls the responder: a name that it may have been told, or made up.
    Called {
        /// The name.
        name: String,
        /// What kind of message says so.
        by: NameSource,
    },
    /// The asker of an address told its name (DHCP); which address it got, the answer tells, which
    /// may be another flow.
    LeaseAsked {
        /// Number that the asker chose, and that the answer repeats.
        transaction: u32,
        /// Its name.
        name: String,
    },
    /// An address was given (DHCP).
    LeaseGiven {
        /// Number that the asker chose.
        transaction: u32,
        /// The address.
        address: IpAddr,
    },
    /// What the speaker's clock showed when it spoke.
    Clock {
        /// Its time, in UTC.
        says: Timestamp,
    },
    /// A host that serves a purpose (DNS SRV records: `_ldap._tcp.dc._msdcs.example.com`).
    Serves {
        /// The purpose, as it was asked for.
        purpose: String,
        /// Name of the host.
        host: String,
    },
    /// What a host proves to do for others.
    Does {
        /// Whose duty it is.
        holder: Holder,
        /// The duty.
        duty: Duty,
        /// What proves it, as what the host did: "answered a pre-login of SQL Server".
        how: String,
    },
}

/// Characters kept of a text.
pub const MOST_TEXT: usize = 256;

/// Where a service listens, by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its interface, if it is one of remote procedure calls.
    pub uuid: Option<Uuid>,
    /// Transport; `None` where it is not reached over IP directly (a named pipe).
    pub transport: Option<Transport>,
    /// Address as announced; `None` where none was, or a name was.
    pub address: Option<IpAddr>,
    /// Port; 0 for none.
    pub port: u16,
    /// A named pipe, a host name instead of an address, or an instance of SQL Server on the host
    /// that says so.
    pub name: Option<String>,
}

/// A universally unique identifier (RFC 9562), in the order in which it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub u128);

impl Uuid {
    /// Reads one as it is written: groups of digits with hyphens between them.
    pub fn parse(text: &str) -> Option<Uuid> {
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        let plain = groups.iter().all(|group| group.bytes().all(|it| it.is_ascii_hexdigit()));
        if lengths != [8, 4, 4, 4, 12] || !plain {
            return None;
        }
        u128::from_str_radix(&groups.concat(), 16).ok().map(Uuid)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let mut rest = digits.as_str();
        for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
            let (part, after) = rest.split_at(length);
            rest = after;
            write!(out, "{}{part}", if index == 0 { "" } else { "-" })?;
        }
        Ok(())
    }
}

/// Tells what an initiator calls the responder, if that is a name.
pub(crate) fn called(name: &str, by: NameSource) -> Option<Meaning> {
    let name = without_root(name);
    let says_something = looks_like_a_name(name) && !name.eq_ignore_ascii_case("localhost");
    says_something.then(|| Meaning::Called { name: name.to_owned(), by })
}

/// Cuts a text to what is kept of one.
pub(crate) fn text(mut text: String) -> String {
    // A character has at least one byte.
    if text.len() > MOST_TEXT
        && let Some((end, _)) = text.char_indices().nth(MOST_TEXT)
    {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_written_in_groups() {
        // The endpoint mapper's own interface, C706 appendix O.
        let mapper = Uuid(0xe1af_8308_5d1f_11c9_91a4_0800_2b14_a0fa);
        assert_eq!(mapper.to_string(), "e1af8308-5d1f-11c9-91a4-08002b14a0fa");
        assert_eq!(Uuid::parse("E1AF8308-5D1F-11C9-91A4-08002B14A0FA"), Some(mapper));
        for wrong in [
            "",
            "e1af8308",
            "e1af83085d1f11c991a408002b14a0fa",
            "+1af8308-5d1f-11c9-91a4-08002b14a0fa",
        ] {
            assert_eq!(Uuid::parse(wrong), None);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(text("é".repeat(300)), "é".repeat(MOST_TEXT));
        assert_eq!(text("short".to_owned()), "short");
    }
}
