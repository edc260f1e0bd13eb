//! One association: interfaces that were bound, and calls that wait for their answers.
//!
//! Bounded: contexts, calls and parameters beyond what honest hosts have at a time are forgotten,
//! the oldest first. Parameters are kept only of the calls that tell where something listens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::probe::msrpc::bind::{self, Proposal};
use crate::probe::msrpc::datagram::Datagrams;
use crate::probe::msrpc::interfaces::Interface;
use crate::probe::msrpc::ndr::Layout;
use crate::probe::msrpc::pdu::{Header, Kind, Protection};
use crate::probe::msrpc::wanted::{self, Asked};
use crate::probe::{Code, CodeSet, Meaning, Speaker, Standing, Uuid, text};

/// What remote procedure calls are carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probe) enum Over<'a> {
    /// TCP: each call of [`Calls::pdu`] brings one PDU, or the beginning of one.
    Tcp,
    /// UDP: each brings one PDU, or the beginning of one.
    Udp,
    /// A named pipe, by its name without `\pipe\`: what was written to it, or read from it, in
    /// order. It may end within a PDU, and hold several.
    Pipe(&'a str),
}

/// Interfaces bound at a time. Hosts have a few.
const MOST_CONTEXTS: usize = 128;

/// Binds and calls that wait for an answer.
const MOST_WAITING: usize = 32;

/// Bytes of parameters of one call.
const MOST_STUB: usize = 256 << 10;

/// Kinds of calls whose success was told.
const MOST_SERVED: usize = 256;

/// What one association has bound, and what it waits for.
#[derive(Debug, Default)]
pub(in crate::probe) struct Calls {
    /// By number.
    contexts: BTreeMap<u16, Context>,
    /// Binds without an answer yet, by call.
    proposed: VecDeque<(u32, Vec<Proposal>)>,
    /// Calls without an answer yet, by number.
    waiting: VecDeque<(u32, Call)>,
    /// Context and number of calls whose success was told, so that it is told once.
    served: BTreeSet<(u16, u16)>,
    /// How the caller signed on.
    sign_on: Option<Protection>,
    /// Beginnings of PDUs in a pipe: written and read.
    begun: [Vec<u8>; 2],
    datagrams: Datagrams,
}

/// An interface that may be called.
#[derive(Clone, Copy, Debug)]
struct Context {
    interface: Uuid,
    /// In the 64-bit representation.
    wide: bool,
}

/// A call.
#[derive(Debug)]
struct Call {
    context: u16,
    number: u16,
    /// What it asks, where we read that.
    asked: Option<Asked>,
    stub: Stub,
}

/// Parameters, put together from their fragments.
#[derive(Debug, Default)]
struct Stub {
    bytes: Vec<u8>,
    /// Bytes are missing: what follows belongs nowhere.
    holed: bool,
}

impl Stub {
    fn add(&mut self, header: &Header, pdu: &[u8]) {
        let bytes = header.stub(pdu).filter(|_| !self.holed);
        self.bytes.extend_from_slice(bytes.unwrap_or_default());
        self.holed |= bytes.is_none()
            || pdu.len() < usize::from(header.length)
            || self.bytes.len() > MOST_STUB;
    }
}

impl Calls {
    /// Takes what one side sent into account.
    pub(in crate::probe) fn pdu(
        &mut self,
        from: Speaker,
        bytes: &[u8],
        over: Over<'_>,
        signals: &mut Vec<Meaning>,
    ) {
        match over {
            Over::Tcp => self.one(bytes, "", signals),
            Over::Udp => self.datagrams.hear(bytes, signals),
            Over::Pipe(name) => {
                let place = text(format!(r" on \pipe\{name}"));
                let mut begun = std::mem::take(self.begun_by(from));
                begun.extend_from_slice(bytes);
                let mut rest = begun.as_slice();
                // What begins no PDU is none of ours: a pipe may carry anything.
                while let Some(header) = Header::new(rest)
                    && let Some((pdu, after)) = rest.split_at_checked(usize::from(header.length))
                {
                    self.one(pdu, &place, signals);
                    rest = after;
                }
                if may_begin(rest) {
                    *self.begun_by(from) = rest.to_vec();
                }
            }
        }
    }

    /// Whether the parameters of calls in this context are worth having.
    pub(super) fn wants(&self, context: u16) -> bool {
        self.contexts.get(&context).is_some_and(|context| wanted::is_wanted(context.interface))
    }

    fn begun_by(&mut self, from: Speaker) -> &mut Vec<u8> {
        let [written, read] = &mut self.begun;
        match from {
            Speaker::Initiator => written,
            Speaker::Responder => read,
        }
    }

    /// Takes one PDU, or the beginning of one. `place` is where it was seen, for subjects.
    fn one(&mut self, bytes: &[u8], place: &str, signals: &mut Vec<Meaning>) {
        let Some(header) = Header::new(bytes) else { return };
        let pdu = bytes.get(..usize::from(header.length)).unwrap_or(bytes);
        match header.kind {
            Kind::Bind | Kind::AlterContext => self.propose(&header, pdu, place, signals),
            Kind::BindAck | Kind::AlterContextResponse => {
                self.agree(&header, pdu, place, signals);
            }
            Kind::BindNak => self.refuse(&header, pdu, place, signals),
            Kind::Request => self.ask(&header, pdu, place, signals),
            Kind::Response => self.answer(&header, pdu, place, signals),
            Kind::Fault => self.fault(&header, pdu, place, signals),
            Kind::Auth3 => self.sign_on = header.protection(pdu).or(self.sign_on),
            Kind::Other => {}
        }
    }

    fn propose(&mut self, header: &Header, pdu: &[u8], place: &str, signals: &mut Vec<Meaning>) {
        let proposals = bind::proposals(header, pdu);
        self.sign_on = header.protection(pdu).or(self.sign_on);
        for (index, &Proposal { context, interface }) in proposals.iter().enumerate() {
            signals.push(Meaning::Calls { uuid: interface });
            if index == 0 {
                signals.push(Meaning::Asked { subject: bind_subject(interface, place) });
            }
            if self.contexts.len() < MOST_CONTEXTS || self.contexts.contains_key(&context) {
                self.contexts.insert(context, Context { interface, wide: false });
            }
        }
        keep(&mut self.proposed, (header.call, proposals));
    }

    fn agree(&mut self, header: &Header, pdu: &[u8], place: &str, signals: &mut Vec<Meaning>) {
        let proposals = take(&mut self.proposed, header.call).unwrap_or_default();
        let (answers, whole) = bind::answers(header, pdu);
        let accepted: BTreeSet<Uuid> = proposals
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| answer.is_accepted())
            .map(|(proposal, _)| proposal.interface)
            .collect();
        for (index, answer) in answers.iter().enumerate() {
            let proposal = proposals.get(index);
            if answer.is_accepted()
                && let Some(Proposal { context, .. }) = proposal
                && let Some(context) = self.contexts.get_mut(context)
            {
                context.wide = answer.wide;
            }
            // A refusal of one representation is none of the interface.
            let elsewhere = proposal.is_none_or(|it| accepted.contains(&it.interface)) || !whole;
            let standing = if answer.is_accepted() {
                Standing::Served
            } else if answer.is_features() || elsewhere {
                Standing::Step
            } else {
                Standing::Failed
            };
            let reason = if answer.is_features() { 0 } else { answer.reason };
            let number = u32::from(answer.result) << 16 | u32::from(reason);
            let subject = match proposal {
                Some(proposal) => bind_subject(proposal.interface, place),
                None => format!("bind{place}"),
            };
            let code = Some(Code { set: CodeSet::RpcContext, number });
            let detail = (standing == Standing::Failed).then(|| self.sign_on_words()).flatten();
            signals.push(Meaning::Answered { subject, standing, code, detail });
        }
    }

    fn refuse(&mut self, header: &Header, pdu: &[u8], place: &str, signals: &mut Vec<Meaning>) {
        let proposals = take(&mut self.proposed, header.call).unwrap_or_default();
        let Some(reason) = bind::refusal(header, pdu) else { return };
        let subject = match proposals.first() {
            Some(proposal) => bind_subject(proposal.interface, place),
            None => format!("bind{place}"),
        };
        let code = Code { set: CodeSet::RpcBindNak, number: u32::from(reason) };
        let (standing, detail) = (code.standing(), self.sign_on_words());
        signals.push(Meaning::Answered { subject, standing, code: Some(code), detail });
    }

    fn ask(&mut self, header: &Header, pdu: &[u8], place: &str, signals: &mut Vec<Meaning>) {
        let Some([c0, c1, n0, n1]) = pdu.get(20..24).and_then(<[u8]>::first_chunk) else { return };
        let (context, number) = (u16_of(header, [*c0, *c1]), u16_of(header, [*n0, *n1]));
        let mut call = match take(&mut self.waiting, header.call) {
            Some(call) if !header.is_first() => call,
            _ => Call { context, number, asked: None, stub: Stub::default() },
        };
        if self.wants(context) {
            call.stub.add(header, pdu);
            if header.is_last() {
                let stub = std::mem::take(&mut call.stub);
                call.asked = self.asked(context, number, &stub, header.layout());
                if let Some(asked) = &call.asked {
                    signals.push(Meaning::Asked { subject: format!("{}{place}", asked.subject) });
                }
            }
        }
        keep(&mut self.waiting, (header.call, call));
    }

    fn asked(&self, context: u16, number: u16, stub: &Stub, layout: Layout) -> Option<Asked> {
        let context = self.contexts.get(&context)?;
        let layout = Layout { wide: context.wide, ..layout };
        wanted::asked(context.interface, number, &stub.bytes, layout)
    }

    fn answer(&mut self, header: &Header, pdu: &[u8], place: &str, signals: &mut Vec<Meaning>) {
        let Some(bytes) = pdu.get(20..22).and_then(<[u8]>::first_chunk) else { return };
        let context = u16_of(header, *bytes);
        let Some(mut call) = take(&mut self.waiting, header.call) else {
            // The call was not captured. That it was answered is worth something.
            if header.is_last() {
                let subject = self.subject(context, None, place);
                signals.push(served(subject));
            }
            return;
        };
        if call.asked.is_some() {
            call.stub.add(header, pdu);
        }
        if !header.is_last() {
            return keep(&mut self.waiting, (header.call, call));
        }
        if let Some(asked) = &call.asked
            && let Some(context) = self.contexts.get(&context)
        {
            let layout = Layout { wide: context.wide, ..header.layout() };
            let interface = context.interface;
            if header.stub(pdu).is_some() {
                let stub = &call.stub.bytes;
                return wanted::answer(interface, asked, stub, layout, place, signals);
            }
        }
        if self.served.insert((context, call.number)) {
            signals.push(served(self.subject(context, Some(call.number), place)));
            if self.served.len() > MOST_SERVED {
                self.served.clear();
            }
        }
    }

    fn fault(&mut self, header: &Header, pdu: &[u8], place: &str, signals: &mut Vec<Meaning>) {
        let call = take(&mut self.waiting, header.call);
        let Some(bytes) = pdu.get(24..28).and_then(<[u8]>::first_chunk) else { return };
        let number =
            if header.little { u32::from_le_bytes(*bytes) } else { u32::from_be_bytes(*bytes) };
        let context = pdu.get(20..22).and_then(<[u8]>::first_chunk);
        let context = context.map(|bytes| u16_of(header, *bytes)).unwrap_or_default();
        let subject = match &call {
            Some(Call { asked: Some(asked), .. }) => format!("{}{place}", asked.subject),
            Some(call) => self.subject(call.context, Some(call.number), place),
            None => self.subject(context, None, place),
        };
        if let Some(call) = call {
            self.served.remove(&(call.context, call.number));
        }
        let code = Code { set: CodeSet::RpcStatus, number };
        let (standing, detail) = (code.standing(), self.sign_on_words());
        signals.push(Meaning::Answered { subject, standing, code: Some(code), detail });
    }

    fn sign_on_words(&self) -> Option<String> {
        self.sign_on.map(|protection| protection.words().to_owned())
    }

    /// A call, by its interface and number, as far as they are known.
    fn subject(&self, context: u16, number: Option<u16>, place: &str) -> String {
        let number = number.map(|number| format!(" {number}")).unwrap_or_default();
        match self.contexts.get(&context) {
            Some(context) => {
                format!("{} call{number}{place}", Interface::name_of(context.interface))
            }
            None => format!("call{number} of an interface that was bound earlier{place}"),
        }
    }
}

pub(super) fn served(subject: String) -> Meaning {
    Meaning::Answered { subject, standing: Standing::Served, code: None, detail: None }
}

fn bind_subject(interface: Uuid, place: &str) -> String {
    format!("bind {}{place}", Interface::name_of(interface))
}

fn u16_of(header: &Header, bytes: [u8; 2]) -> u16 {
    if header.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
}

/// Whether these bytes may be the beginning of a PDU.
fn may_begin(bytes: &[u8]) -> bool {
    let known = [5, 0];
    !bytes.is_empty() && (bytes.len() < 16 && known.starts_with(bytes.get(..2).unwrap_or(bytes)))
        || Header::new(bytes).is_some()
}

/// Takes out what waits under a number.
fn take<T>(waiting: &mut VecDeque<(u32, T)>, call: u32) -> Option<T> {
    let place = waiting.iter().position(|(number, _)| *number == call)?;
    waiting.remove(place).map(|(_, item)| item)
}

/// Lets something wait, and forgets the oldest that did if they are too many.
fn keep<T>(waiting: &mut VecDeque<(u32, T)>, item: (u32, T)) {
    if waiting.len() >= MOST_WAITING {
        waiting.pop_front();
    }
    waiting.push_back(item);
}
