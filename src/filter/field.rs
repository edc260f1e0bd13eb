//! The fields of a flow that a filter may ask for, by their names in JSON.

use std::fmt;

use crate::filter::value::Value;
use crate::net::Transport;
use crate::verdict::record::{
    Class, Closing, Confidence, Course, JudgedFlow, Origin, ServiceOutcome, Verdict,
};

/// Takes each value that a field has; a field that is null has none.
type Visit = fn(&JudgedFlow, &mut dyn FnMut(Value<'_>));

/// A field.
pub(super) struct Field {
    /// Its name.
    pub(super) name: &'static str,
    /// What its values are.
    pub(super) kind: Kind,
    /// Its values in a flow.
    pub(super) visit: Visit,
}

/// What values of a field are.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Number,
    /// One of the words of the contract.
    Word(fn() -> Vec<&'static str>),
    Text,
    Address,
    Time,
}

impl fmt::Debug for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

/// The field of this name.
pub(super) fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name.eq_ignore_ascii_case(name))
}

macro_rules! words_of {
    ($of:ty) => {
        Kind::Word(|| <$of>::ALL.iter().map(|word| word.as_str()).collect())
    };
}

const fn field(name: &'static str, kind: Kind, visit: Visit) -> Field {
    Field { name, kind, visit }
}

fn text(value: Option<&str>, take: &mut dyn FnMut(Value<'_>)) {
    if let Some(value) = value {
        take(Value::Text(value));
    }
}

/// In the order of the contract; `host`, `port` and `frame` stand for several of them.
pub(super) static FIELDS: [Field; 46] = [
    field("id", Kind::Number, |flow, take| take(Value::Number(flow.id))),
    field("capture", Kind::Number, |flow, take| take(Value::Number(flow.capture as u64))),
    field("transport", words_of!(Transport), |flow, take| {
        take(Value::Text(flow.transport.as_str()));
    }),
    field("host", Kind::Address, |flow, take| {
        take(Value::Address(flow.initiator.address));
        take(Value::Address(flow.responder.address));
    }),
    field("port", Kind::Number, |flow, take| {
        take(Value::Number(flow.initiator.port.into()));
        take(Value::Number(flow.responder.port.into()));
    }),
    field("initiator", Kind::Address, |flow, take| take(Value::Address(flow.initiator.address))),
    field("initiator.address", Kind::Address, |flow, take| {
        take(Value::Address(flow.initiator.address));
    }),
    field("initiator.port", Kind::Number, |flow, take| {
        take(Value::Number(flow.initiator.port.into()));
    }),
    field("responder", Kind::Address, |flow, take| take(Value::Address(flow.responder.address))),
    field("responder.address", Kind::Address, |flow, take| {
        take(Value::Address(flow.responder.address));
    }),
    field("responder.port", Kind::Number, |flow, take| {
        take(Value::Number(flow.responder.port.into()));
    }),
    field("class", words_of!(Class), |flow, take| take(Value::Text(flow.class.as_str()))),
    field("verdict", words_of!(Verdict), |flow, take| take(Value::Text(flow.verdict.as_str()))),
    field("confidence", words_of!(Confidence), |flow, take| {
        take(Value::Text(flow.confidence.as_str()));
    }),
    field("explanation", Kind::Text, |flow, take| take(Value::Text(&flow.explanation.text()))),
    field("origin", words_of!(Origin), |flow, take| text(flow.origin.map(Origin::as_str), take)),
    field("history", Kind::Text, |flow, take| take(Value::Text(&flow.history))),
    field("frame", Kind::Number, |flow, take| {
        for packet in &flow.evidence {
            take(Value::Number(packet.frame.0));
        }
        take(Value::Number(flow.first_frame.0));
        take(Value::Number(flow.last_frame.0));
    }),
    field("first_frame", Kind::Number, |flow, take| take(Value::Number(flow.first_frame.0))),
    field("last_frame", Kind::Number, |flow, take| take(Value::Number(flow.last_frame.0))),
    field("first_seen", Kind::Time, |flow, take| {
        if let Some(time) = flow.first_seen {
            take(Value::Time(time));
        }
    }),
    field("last_seen", Kind::Time, |flow, take| {
        if let Some(time) = flow.last_seen {
            take(Value::Time(time));
        }
    }),
    field("packets.initiator", Kind::Number, |flow, take| {
        take(Value::Number(flow.packets.initiator));
    }),
    field("packets.responder", Kind::Number, |flow, take| {
        take(Value::Number(flow.packets.responder));
    }),
    field("bytes.initiator", Kind::Number, |flow, take| take(Value::Number(flow.bytes.initiator))),
    field("bytes.responder", Kind::Number, |flow, take| take(Value::Number(flow.bytes.responder))),
    field("duplicates", Kind::Number, |flow, take| take(Value::Number(flow.duplicates))),
    field("closing", words_of!(Closing), |flow, take| {
        text(flow.closing.map(Closing::as_str), take);
    }),
    field("service", Kind::Text, |flow, take| text(flow.service.name.as_deref(), take)),
    field("service.name", Kind::Text, |flow, take| text(flow.service.name.as_deref(), take)),
    field("service.outcome", words_of!(ServiceOutcome), |flow, take| {
        take(Value::Text(flow.service.outcome.as_str()));
    }),
    field("service.code", Kind::Text, |flow, take| text(flow.service.code.as_deref(), take)),
    field("service.detail", Kind::Text, |flow, take| text(flow.service.detail.as_deref(), take)),
    field("service.frame", Kind::Number, |flow, take| {
        if let Some(frame) = flow.service.frame {
            take(Value::Number(frame.0));
        }
    }),
    field("rpc.interface", Kind::Text, |flow, take| {
        text(flow.rpc.as_ref().and_then(|rpc| rpc.interface.as_deref()), take);
    }),
    field("rpc.uuid", Kind::Text, |flow, take| {
        text(flow.rpc.as_ref().and_then(|rpc| rpc.uuid.as_deref()), take);
    }),
    field("rpc.announced_frame", Kind::Number, |flow, take| {
        if let Some(frame) = flow.rpc.as_ref().and_then(|rpc| rpc.announced_frame) {
            take(Value::Number(frame.0));
        }
    }),
    field("rpc.endpoint_mapper_flow", Kind::Number, |flow, take| {
        if let Some(id) = flow.rpc.as_ref().and_then(|rpc| rpc.endpoint_mapper_flow) {
            take(Value::Number(id));
        }
    }),
    field("schedule.name", Kind::Text, |flow, take| {
        text(flow.schedule.as_ref().map(|schedule| schedule.name.as_str()), take);
    }),
    field("schedule.expected", Kind::Number, |flow, take| {
        if let Some(expected) = flow.schedule.as_ref().and_then(|schedule| schedule.expected) {
            take(Value::Number(expected.into()));
        }
    }),
    field("schedule.seen", Kind::Number, |flow, take| {
        if let Some(schedule) = &flow.schedule {
            take(Value::Number(schedule.seen.into()));
        }
    }),
    field("schedule.course", words_of!(Course), |flow, take| {
        text(flow.schedule.as_ref().map(|schedule| schedule.course.as_str()), take);
    }),
    field("encapsulation", Kind::Text, |flow, take| {
        for layer in &flow.encapsulation {
            take(Value::Text(layer));
        }
    }),
    field("requirement", Kind::Text, |flow, take| text(flow.requirement.as_deref(), take)),
    field("display_filter.wireshark", Kind::Text, |flow, take| {
        take(Value::Text(&flow.display_filter.wireshark()));
    }),
    field("display_filter.netmon", Kind::Text, |flow, take| {
        take(Value::Text(&flow.display_filter.netmon()));
    }),
];
