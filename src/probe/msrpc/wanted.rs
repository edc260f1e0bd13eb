//! Calls whose parameters we read: those that tell where something listens.

use std::fmt::Write;

use crate::probe::msrpc::interfaces::Interface;
use crate::probe::msrpc::ndr::Layout;
use crate::probe::msrpc::{epm, oxid};
use crate::probe::{Announcement, Code, CodeSet, Meaning, Standing, Uuid};

/// The endpoint mapper knows no (further) place ([MS-RPCE] 2.2.1.2.5: `EP_S_NOT_REGISTERED`).
const NOT_REGISTERED: u32 = 0x16c9_a0d6;

/// How the subject of a question to the endpoint mapper begins.
const ENDPOINT: &str = "endpoint of ";

/// Name of the interface that the endpoint mapper was asked for, else its identifier; `None` where
/// the subject of an answer is about something else.
pub fn asked_interface(subject: &str) -> Option<&str> {
    let interface = subject.strip_prefix(ENDPOINT)?;
    Some(interface.split_once(" on ").map_or(interface, |(interface, _)| interface))
}

/// What a call asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    call: u16,
    /// In words.
    pub subject: String,
    /// It asks for the rest of an earlier answer.
    goes_on: bool,
}

/// Whether calls of this interface are worth reading.
pub(super) fn is_wanted(interface: Uuid) -> bool {
    [epm::INTERFACE, oxid::RESOLVER, oxid::ACTIVATOR, oxid::OLD_ACTIVATOR].contains(&interface)
}

/// Reads the parameters of a call; `None` for one that tells nothing of places.
pub(super) fn asked(interface: Uuid, call: u16, stub: &[u8], layout: Layout) -> Option<Asked> {
    if interface != epm::INTERFACE {
        let subject = oxid::purpose(interface, call)?.to_owned();
        return Some(Asked { call, subject, goes_on: false });
    }
    if ![epm::LOOKUP, epm::MAP].contains(&call) {
        return None;
    }
    let question = epm::question(call, stub, layout);
    let subject = match question.and_then(|question| question.interface) {
        Some(interface) => format!("{ENDPOINT}{}", Interface::name_of(interface)),
        None if call == epm::LOOKUP => "list of endpoints".to_owned(),
        None => "endpoint".to_owned(),
    };
    Some(Asked { call, subject, goes_on: question.is_some_and(|question| question.goes_on) })
}

/// Reads the result of a call, as far as it is there. `place` is where it was seen, for subjects.
pub(super) fn answer(
    interface: Uuid,
    asked: &Asked,
    stub: &[u8],
    layout: Layout,
    place: &str,
    signals: &mut Vec<Meaning>,
) {
    let subject = format!("{}{place}", asked.subject);
    if interface != epm::INTERFACE {
        let answer = oxid::answer(interface, asked.call, stub, layout);
        answer.tell(signals);
        if let Some(number) = answer.status {
            let code = Code { set: CodeSet::DcomStatus, number };
            let (standing, code) = (code.standing(), Some(code));
            signals.push(Meaning::Answered { subject, standing, code, detail: None });
        }
        return;
    }
    let answer = epm::answer(asked.call, stub, layout);
    let places: Vec<Announcement> =
        answer.towers.into_iter().filter_map(epm::Tower::announcement).collect();
    if let Some(number) = answer.status {
        let code = Code { set: CodeSet::EndpointMapper, number };
        let standing = match (code.standing(), number) {
            // So ends a list that was fetched in parts.
            (_, NOT_REGISTERED) if asked.goes_on => Standing::Step,
            (Standing::Served, _) if places.is_empty() => Standing::Step,
            (standing, _) => standing,
        };
        let detail = (asked.call == epm::MAP).then(|| listens(&places)).flatten();
        let code = Some(code);
        signals.push(Meaning::Answered { subject, standing, code, detail });
    }
    signals.extend(places.into_iter().map(Meaning::Announced));
}

/// Where the interface listens, in words.
fn listens(places: &[Announcement]) -> Option<String> {
    let place = places.first()?;
    let mut words = "it listens on ".to_owned();
    match (place.transport, &place.name) {
        (Some(transport), _) => {
            let _ = write!(words, "{transport} port {}", place.port);
        }
        (None, Some(name)) => words.push_str(name),
        (None, None) => return None,
    }
    if let Some(address) = place.address {
        let _ = write!(words, " at {address}");
    }
    Some(words)
}
