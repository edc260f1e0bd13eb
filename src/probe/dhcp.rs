//! DHCP, and the network boot that rides on it: who asks for an address or a boot server, and what
//! is offered (RFC 2131, RFC 2132, Intel's Preboot Execution Environment 2.1).
//!
//! Which side asks is told by the message itself: offers are broadcast too, so that the flow that
//! holds them may have begun with them.

use std::net::Ipv4Addr;

use crate::net::Transport;
use crate::probe::{
    Code, CodeSet, Duty, Framing, Holder, Meaning, Message, Next, Opening, Probe, Recognition,
    Speaker, Talk, text,
};

pub(super) const PROBE: Probe = Probe {
    name: "DHCP",
    ports: &[(Transport::Udp, 67), (Transport::Udp, 68), (Transport::Udp, 4011)],
    recognise,
    begin: |_| Box::new(Leases),
};

/// RFC 2131 figure 1: the fields before the options, with the cookie that begins these.
const FIXED: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

const REQUEST: u8 = 1;
const REPLY: u8 = 2;

/// Options that are looked at.
const MOST_OPTIONS: usize = 128;

/// RFC 2132, RFC 4702: numbers of options.
const HOST_NAME: u8 = 12;
const REQUESTED_ADDRESS: u8 = 50;
const MESSAGE_TYPE: u8 = 53;
const SERVER: u8 = 54;
const REMARK: u8 = 56;
const VENDOR_CLASS: u8 = 60;
const BOOT_SERVER: u8 = 66;
const BOOT_FILE: u8 = 67;
const FULL_NAME: u8 = 81;

/// RFC 2132 9.6: message types that need another subject than the rest.
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const RELEASE: u8 = 7;

#[derive(Debug)]
struct Leases;

impl Talk for Leases {
    fn framing(&self, _: Speaker, _: &[u8]) -> Framing {
        Framing::Lost
    }

    fn remembers(&self) -> bool {
        false
    }

    fn hear(&mut self, message: &Message<'_>, signals: &mut Vec<Meaning>) -> Next {
        if let Some(lease) = Lease::of(message.bytes) {
            lease.tell(signals);
        }
        Next::Stay
    }
}

fn recognise(opening: &Opening<'_>) -> Recognition {
    match Lease::of(opening.bytes) {
        Some(_) if opening.transport == Transport::Udp => Recognition::Yes,
        _ => Recognition::No,
    }
}

/// What a message says.
struct Lease<'a> {
    operation: u8,
    /// Number that the asker chose.
    transaction: u32,
    message_type: Option<u8>,
    /// The asker's hardware address.
    hardware: &'a [u8],
    /// The address that the asker has.
    current: Ipv4Addr,
    /// The address that is given.
    given: Ipv4Addr,
    /// The server that the boot file is on.
    next: Ipv4Addr,
    boot_file: String,
    host_name: Option<&'a [u8]>,
    /// The whole name (RFC 4702).
    full_name: Option<String>,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    remark: Option<&'a [u8]>,
    vendor_class: Option<&'a [u8]>,
    boot_server: Option<&'a [u8]>,
}

/// The text before the first zero byte.
fn zero_ended(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// A whole name: behind flags and two codes, as DNS spells it or as text (RFC 4702 2.1).
fn full_name(value: &[u8]) -> Option<String> {
    const SPELLED: u8 = 4;
    let (fixed, name) = value.split_at_checked(3)?;
    if fixed.first()? & SPELLED == 0 {
        return Some(zero_ended(name));
    }
    let mut labels = Vec::new();
    let mut rest = name;
    while let [length @ 1..=63, after @ ..] = rest {
        let (label, after) = after.split_at_checked(usize::from(*length))?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        rest = after;
    }
    Some(labels.join("."))
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?))
}

impl<'a> Lease<'a> {
    fn of(bytes: &'a [u8]) -> Option<Lease<'a>> {
        let (fixed, mut options) = bytes.split_at_checked(FIXED)?;
        let [operation, _, hardware_length, ..] = *fixed else { return None };
        if !matches!(operation, REQUEST | REPLY) || fixed.last_chunk() != Some(&COOKIE) {
            return None;
        }
        let mut lease = Lease {
            operation,
            transaction: fixed.get(4..)?.first_chunk().map(|it| u32::from_be_bytes(*it))?,
            message_type: None,
            hardware: fixed.get(28..28 + usize::from(hardware_length.min(16)))?,
            current: address(fixed.get(12..)?)?,
            given: address(fixed.get(16..)?)?,
            next: address(fixed.get(20..)?)?,
            boot_file: zero_ended(fixed.get(108..236)?),
            host_name: None,
            full_name: None,
            requested: None,
            server: None,
            remark: None,
            vendor_class: None,
            boot_server: None,
        };
        for _ in 0..MOST_OPTIONS {
            match *options {
                [] | [255, ..] => break,
                [0, ref rest @ ..] => options = rest,
                [number, length, ref rest @ ..] => {
                    let Some((value, after)) = rest.split_at_checked(usize::from(length)) else {
                        break;
                    };
                    lease.option(number, value);
                    options = after;
                }
                [_] => break,
            }
        }
        Some(lease)
    }

    fn option(&mut self, number: u8, value: &'a [u8]) {
        match number {
            HOST_NAME => self.host_name = Some(value),
            FULL_NAME => self.full_name = full_name(value),
            REQUESTED_ADDRESS => self.requested = address(value),
            MESSAGE_TYPE => self.message_type = value.first().copied(),
            SERVER => self.server = address(value),
            REMARK => self.remark = Some(value),
            VENDOR_CLASS => self.vendor_class = Some(value),
            BOOT_SERVER => self.boot_server = Some(value),
            // The field of the same purpose may hold other options (RFC 2132 9.3).
            BOOT_FILE => self.boot_file = zero_ended(value),
            _ => {}
        }
    }

    /// "address for 00:15:5d:01:02:03".
    fn subject(&self) -> String {
        let hardware: Vec<String> =
            self.hardware.iter().map(|byte| format!("{byte:02x}")).collect();
        let what = match self.message_type {
            None => "boot file",
            Some(DECLINE | RELEASE) => "end of lease",
            Some(_) if self.is_boot_only() => "network boot",
            Some(_) => "address",
        };
        format!("{what} for {}", hardware.join(":"))
    }

    /// Whether it is between a host that has an address and a boot server.
    fn is_boot_only(&self) -> bool {
        let boots = self.vendor_class.is_some_and(|class| class.starts_with(b"PXEClient"));
        boots && self.given.is_unspecified() && self.message_type != Some(DISCOVER)
    }

    fn tell(&self, signals: &mut Vec<Meaning>) {
        let subject = self.subject();
        let transaction = self.transaction;
        if self.operation == REQUEST {
            signals.push(Meaning::Asked { subject });
            let ends = matches!(self.message_type, Some(DECLINE | RELEASE));
            match self.name().filter(|_| !ends) {
                None => {}
                // It has the address already.
                Some(name) if !self.current.is_unspecified() => {
                    signals.push(Meaning::Named { address: self.current.into(), name });
                }
                Some(name) => signals.push(Meaning::LeaseAsked { transaction, name }),
            }
            return;
        }
        let code =
            self.message_type.map(|number| Code { set: CodeSet::Dhcp, number: u32::from(number) });
        let standing = code.map_or(crate::probe::Standing::Served, Code::standing);
        let detail = Some(self.detail()).filter(|detail| !detail.is_empty());
        signals.push(Meaning::Answered { subject, standing, code, detail });
        signals.extend(self.duty());
        if self.message_type == Some(ACK) && !self.given.is_unspecified() {
            let address = self.given.into();
            signals.push(match self.name() {
                Some(name) => Meaning::Named { address, name },
                None => Meaning::LeaseGiven { transaction, address },
            });
        }
    }

    /// What a reply proves of the server that it names. Not of its sender, which may be a relay
    /// (RFC 2131 4.1).
    fn duty(&self) -> Option<Meaning> {
        let server = self.server.filter(|server| !server.is_unspecified())?;
        let holder = Holder::Host(server.into());
        let boots = self.vendor_class.is_some_and(|class| class.starts_with(b"PXEClient"));
        let (duty, how) = match self.message_type? {
            OFFER | ACK if boots => (Duty::PxeServer, "answered a network boot"),
            OFFER if !self.given.is_unspecified() => (Duty::DhcpServer, "offered an address"),
            ACK if !self.given.is_unspecified() => (Duty::DhcpServer, "gave an address"),
            _ => return None,
        };
        Some(Meaning::Does { holder, duty, how: how.to_owned() })
    }

    /// The asker's name, the whole one where it is told.
    fn name(&self) -> Option<String> {
        let short = || self.host_name.map(zero_ended);
        let name = self.full_name.clone().filter(|name| name.contains('.')).or_else(short);
        name.or_else(|| self.full_name.clone()).map(text).filter(|name| !name.is_empty())
    }

    /// "10.0.0.50 by 10.0.0.1; boot file boot\x64\wdsnbp.com on 10.0.0.2".
    fn detail(&self) -> String {
        let mut told = Vec::new();
        let server = self.server.map(|server| format!(" by {server}")).unwrap_or_default();
        match (self.given.is_unspecified(), self.requested) {
            (false, _) => told.push(format!("{}{server}", self.given)),
            (true, Some(requested)) => told.push(format!("{requested}{server}")),
            (true, None) if !self.current.is_unspecified() => {
                told.push(format!("{}{server}", self.current));
            }
            (true, None) if self.server.is_some() => told.push(server.trim_start().to_owned()),
            (true, None) => {}
        }
        if !self.boot_file.is_empty() {
            let server = match self.boot_server {
                Some(name) => format!(" on {}", zero_ended(name)),
                None if self.next.is_unspecified() => String::new(),
                None => format!(" on {}", self.next),
            };
            told.push(format!("boot file {}{server}", self.boot_file));
        }
        told.extend(self.remark.map(zero_ended).filter(|remark| !remark.is_empty()));
        text(told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Standing;
    use proptest::prelude::*;

    fn message(operation: u8, given: [u8; 4], options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; FIXED];
        bytes[..3].copy_from_slice(&[operation, 1, 6]);
        bytes[16..20].copy_from_slice(&given);
        bytes[28..34].copy_from_slice(&[0, 0x15, 0x5d, 1, 2, 3]);
        bytes[236..].copy_from_slice(&COOKIE);
        for (number, value) in options {
            bytes.extend([*number, u8::try_from(value.len()).unwrap()]);
            bytes.extend(*value);
        }
        bytes.push(255);
        bytes
    }

    fn told(bytes: &[u8]) -> Vec<Meaning> {
        let mut signals = Vec::new();
        let message =
            Message { from: Speaker::Initiator, bytes, length: bytes.len() as u64, time: None };
        Leases.hear(&message, &mut signals);
        signals
    }

    #[test]
    fn the_name_in_a_question_is_that_of_the_address_in_its_answer() {
        let (name, by_hand) = (&b"CAS01"[..], [&[0, 0, 0][..], b"cas01.example.com"].concat());
        // RFC 4702 2.1: flag E, and the name as DNS spells it.
        let spelled = [&[4, 0, 0][..], b"\x05cas01\x07example\x03com\x00"].concat();
        let asks =
            |options: &[(u8, &[u8])]| told(&message(REQUEST, [0; 4], options)).pop().unwrap();
        for (options, expected) in [
            (vec![(MESSAGE_TYPE, &[3][..]), (HOST_NAME, name)], "CAS01"),
            (
                vec![(MESSAGE_TYPE, &[3]), (HOST_NAME, name), (FULL_NAME, &by_hand)],
                "cas01.example.com",
            ),
            (vec![(MESSAGE_TYPE, &[3]), (FULL_NAME, &spelled)], "cas01.example.com"),
        ] {
            let name = expected.to_owned();
            assert_eq!(asks(&options), Meaning::LeaseAsked { transaction: 0, name });
        }
        let mut renewal = message(REQUEST, [0; 4], &[(MESSAGE_TYPE, &[3]), (HOST_NAME, name)]);
        renewal[12..16].copy_from_slice(&[10, 0, 0, 50]);
        let address: std::net::IpAddr = "10.0.0.50".parse().unwrap();
        let named = Meaning::Named { address, name: "CAS01".to_owned() };
        assert_eq!(told(&renewal).pop(), Some(named));
        let given = told(&message(REPLY, [10, 0, 0, 50], &[(MESSAGE_TYPE, &[ACK])])).pop();
        assert_eq!(given, Some(Meaning::LeaseGiven { transaction: 0, address }));
        let released =
            told(&message(REQUEST, [0; 4], &[(MESSAGE_TYPE, &[RELEASE]), (HOST_NAME, name)]));
        assert_eq!(released.len(), 1);
    }

    #[test]
    fn a_lease_is_asked_for_offered_and_given_under_one_subject() {
        let subject = "address for 00:15:5d:01:02:03".to_owned();
        let asked = told(&message(REQUEST, [0; 4], &[(0, &[]), (MESSAGE_TYPE, &[DISCOVER])]));
        assert_eq!(asked, [Meaning::Asked { subject: subject.clone() }]);
        for (number, expected) in [(2, Standing::Step), (5, Standing::Served)] {
            let options: [(u8, &[u8]); 3] =
                [(MESSAGE_TYPE, &[number]), (SERVER, &[10, 0, 0, 1]), (HOST_NAME, b"PC1")];
            let told = told(&message(REPLY, [10, 0, 0, 50], &options));
            let Meaning::Answered { subject: of, standing, code, detail } = &told[0] else {
                panic!()
            };
            assert_eq!((of, *standing), (&subject, expected));
            assert_eq!(code.unwrap().number, u32::from(number));
            assert_eq!(detail.as_deref(), Some("10.0.0.50 by 10.0.0.1"));
            let server = Meaning::Does {
                holder: Holder::Host([10, 0, 0, 1].into()),
                duty: Duty::DhcpServer,
                how: if number == ACK { "gave an address" } else { "offered an address" }
                    .to_owned(),
            };
            assert_eq!(told[1], server, "not who sends it, which may be a relay");
            assert_eq!(told.len() > 2, number == ACK, "the name of a host that has its address");
        }
    }

    #[test]
    fn a_refusal_fails_and_tells_why() {
        let options: [(u8, &[u8]); 2] = [(MESSAGE_TYPE, &[6]), (REMARK, b"wrong subnet")];
        let told = told(&message(REPLY, [0; 4], &options));
        assert!(matches!(
            &told[..],
            [Meaning::Answered { standing: Standing::Failed, detail: Some(detail), .. }]
                if detail == "wrong subnet"
        ));
    }

    #[test]
    fn a_boot_server_is_another_subject_than_an_address() {
        let options: [(u8, &[u8]); 4] = [
            (MESSAGE_TYPE, &[5]),
            (VENDOR_CLASS, b"PXEClient"),
            (BOOT_SERVER, b"wds.example.com"),
            (BOOT_FILE, b"boot\\x64\\wdsnbp.com\0"),
        ];
        let told = told(&message(REPLY, [0; 4], &options));
        assert!(matches!(
            &told[..],
            [Meaning::Answered { subject, detail: Some(detail), .. }]
                if subject == "network boot for 00:15:5d:01:02:03"
                    && detail == "boot file boot\\x64\\wdsnbp.com on wds.example.com"
        ));
    }

    proptest! {
        #[test]
        fn any_options_are_read(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            end in 0..300_usize,
        ) {
            let mut whole = message(REPLY, [0; 4], &[]);
            whole.pop();
            whole.extend(bytes);
            told(&whole[..end.min(whole.len())]);
            told(&whole);
        }
    }
}
