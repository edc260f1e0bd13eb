//! Values: those of a flow, and those that a filter wants.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::filter::Relation;
use crate::net::{Address, Time, Timestamp};

/// A value of a flow's field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Number(u64),
    Text(&'a str),
    Address(Address),
    Time(Time),
}

/// A value that a filter asks for.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// Numbers from the first to the last.
    Numbers(RangeInclusive<u64>),
    /// A text, in lower case.
    Text(String),
    /// One host.
    Address(Address),
    /// All hosts of a block.
    Block(IpNet),
    /// A time, in UTC or as the capture tells it.
    Time(Timestamp),
    /// No value at all.
    Null,
}

impl Wanted {
    /// Whether a value stands in this relation to the wanted one.
    pub(super) fn fits(&self, relation: Relation, value: Value<'_>) -> bool {
        match (self, value) {
            (Wanted::Numbers(range), Value::Number(number)) => match relation {
                Relation::Is => range.contains(&number),
                Relation::Less => number < *range.start(),
                Relation::AtMost => number <= *range.end(),
                Relation::More => number > *range.end(),
                Relation::AtLeast => number >= *range.start(),
                Relation::Contains => false,
            },
            (Wanted::Time(wanted), Value::Time(time)) => match relation {
                Relation::Is => time.at == *wanted,
                Relation::Less => time.at < *wanted,
                Relation::AtMost => time.at <= *wanted,
                Relation::More => time.at > *wanted,
                Relation::AtLeast => time.at >= *wanted,
                Relation::Contains => false,
            },
            (Wanted::Text(wanted), Value::Text(text)) => {
                let text = text.to_lowercase();
                match relation {
                    Relation::Is => text == *wanted,
                    Relation::Contains => text.contains(wanted.as_str()),
                    Relation::Less | Relation::AtMost | Relation::More | Relation::AtLeast => false,
                }
            }
            (Wanted::Address(wanted), Value::Address(address)) => address == *wanted,
            (Wanted::Block(block), Value::Address(address)) => {
                address.ip().is_some_and(|address| block.contains(&address))
            }
            // Kinds are checked when a filter is read.
            (
                Wanted::Numbers(_)
                | Wanted::Time(_)
                | Wanted::Text(_)
                | Wanted::Address(_)
                | Wanted::Block(_)
                | Wanted::Null,
                _,
            ) => false,
        }
    }
}
