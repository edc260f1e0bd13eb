//! Connectionless calls, over UDP: C706 12.5. There is no bind: each PDU names its interface.

use std::collections::VecDeque;

use crate::probe::msrpc::calls::served;
use crate::probe::msrpc::interfaces::Interface;
use crate::probe::msrpc::ndr::{Layout, Values};
use crate::probe::msrpc::pdu::is_little;
use crate::probe::msrpc::wanted::{self, Asked};
use crate::probe::{Code, CodeSet, Meaning, Uuid};

/// What every PDU begins with.
const HEADER: usize = 80;

/// Calls that wait for an answer.
const MOST_WAITING: usize = 32;

/// Kinds of PDUs that we tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
    /// A fault or a reject: both hold a status.
    Failure,
    Other,
}

/// A PDU's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    kind: Kind,
    layout: Layout,
    /// It is one of several that belong together.
    is_fragment: bool,
    interface: Uuid,
    activity: Uuid,
    sequence: u32,
    call: u16,
    /// Bytes after this header, the security part left out.
    length: u16,
    /// Somebody vouches for the caller.
    is_protected: bool,
}

impl Header {
    /// The header that these bytes begin with; `None` where they begin none.
    pub(super) fn new(bytes: &[u8]) -> Option<Header> {
        let [4, kind, flags, _, order, floats, 0, _, ..] = *bytes else { return None };
        let kind = match kind {
            0 => Kind::Request,
            2 => Kind::Response,
            3 | 6 => Kind::Failure,
            1 | 4 | 5 | 7..=10 => Kind::Other,
            _ => return None,
        };
        let layout = Layout { little: is_little(order, floats)?, wide: false };
        let mut values = Values::new(bytes.get(..HEADER)?, layout);
        values.bytes(8)?;
        let _object = values.uuid()?;
        let (interface, activity) = (values.uuid()?, values.uuid()?);
        let (_boot, _version, sequence) = (values.u32()?, values.u32()?, values.u32()?);
        let call = values.u16()?;
        let _hints = values.bytes(4)?;
        let (length, _fragment) = (values.u16()?, values.u16()?);
        let is_protected = values.u8()? != 0;
        let is_fragment = flags & 0x04 != 0;
        Some(Header {
            kind,
            layout,
            is_fragment,
            interface,
            activity,
            sequence,
            call,
            length,
            is_protected,
        })
    }

    /// Whether it is as long as its datagram, as one of another protocol would hardly be.
    pub(super) fn fits(&self, datagram: &[u8]) -> bool {
        let length = HEADER + usize::from(self.length);
        let exact = length == datagram.len() || self.is_protected && length < datagram.len();
        exact && self.interface != Uuid(0)
    }
}

/// Calls without an answer yet.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    waiting: VecDeque<(Uuid, u32, Option<Asked>)>,
    /// Interfaces that were told.
    told: Vec<Uuid>,
}

impl Datagrams {
    /// Takes a datagram into account.
    pub(super) fn hear(&mut self, bytes: &[u8], signals: &mut Vec<Meaning>) {
        let Some(header) = Header::new(bytes) else { return };
        let end = HEADER + usize::from(header.length);
        let body = bytes.get(HEADER..end.min(bytes.len())).unwrap_or_default();
        // Encrypted or not, there is no telling without the security part; and a fragment alone
        // makes no sense.
        let is_readable = !header.is_protected && !header.is_fragment;
        let Header { layout, interface, call, .. } = header;
        match header.kind {
            Kind::Request => {
                if !self.told.contains(&interface) && self.told.len() < MOST_WAITING {
                    self.told.push(interface);
                    signals.push(Meaning::Calls { uuid: interface });
                }
                let wanted = is_readable && wanted::is_wanted(interface);
                let asked = wanted.then(|| wanted::asked(interface, call, body, layout)).flatten();
                let subject = subject(&header, asked.as_ref());
                signals.push(Meaning::Asked { subject });
                if self.waiting.len() >= MOST_WAITING {
                    self.waiting.pop_front();
                }
                self.waiting.push_back((header.activity, header.sequence, asked));
            }
            Kind::Response => {
                let asked = self.take(&header);
                match &asked {
                    Some(asked) if is_readable => {
                        wanted::answer(interface, asked, body, layout, "", signals);
                    }
                    _ => signals.push(served(subject(&header, asked.as_ref()))),
                }
            }
            Kind::Failure => {
                let asked = self.take(&header);
                if let Some(number) = Values::new(body, layout).u32() {
                    let code = Code { set: CodeSet::RpcStatus, number };
                    let subject = subject(&header, asked.as_ref());
                    let (standing, code) = (code.standing(), Some(code));
                    signals.push(Meaning::Answered { subject, standing, code, detail: None });
                }
            }
            Kind::Other => {}
        }
    }

    fn take(&mut self, header: &Header) -> Option<Asked> {
        let place = self.waiting.iter().position(|(activity, sequence, _)| {
            *activity == header.activity && *sequence == header.sequence
        })?;
        self.waiting.remove(place).and_then(|(_, _, asked)| asked)
    }
}

fn subject(header: &Header, asked: Option<&Asked>) -> String {
    match asked {
        Some(asked) => asked.subject.clone(),
        None => format!("{} call {}", Interface::name_of(header.interface), header.call),
    }
}
