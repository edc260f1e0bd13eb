//! Which flows are wanted: `--filter EXPR`.
//!
//! A filter asks for the fields of a flow by the names of the JSON contract:
//!
//! ```text
//! class = timeout and responder.port in 135, 389 and initiator in 10.1.0.0/16
//! ```
//!
//! The grammar, loosest binding first:
//!
//! ```text
//! filter  = also { ("or" | "||") also }
//! also    = negated { ("and" | "&&") negated }
//! negated = ("not" | "!") negated | "(" filter ")" | test
//! test    = field relation value { "," value }
//! ```
//!
//! | relation | with | true where |
//! |---|---|---|
//! | `=` `==` `in` | values, ranges `1-10`, blocks `10.0.0.0/8`, `null` | one of them is the field's |
//! | `!=` `not in` | the same | none of them is |
//! | `<` `<=` `>` `>=` | one number, or one time | as in arithmetic; never of `null` |
//! | `contains` | texts | one of them is part of the field's text |
//!
//! Words and texts are compared without regard to case. Values with spaces, commas or brackets
//! stand in double quotes, within which `\"` and `\\` are a quote and a backslash. Several values
//! may stand in braces: `{135, 389}`. A field of several values (`host`, `port`, `frame`,
//! `encapsulation`) is each of them.
//!
//! A filter is checked as a whole when it is read: an unknown field, an unknown word and a value of
//! the wrong kind are errors that point at their place.

mod error;
mod field;
mod lexer;
mod parser;
mod value;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use error::FilterError;

use crate::filter::field::Field;
use crate::filter::value::Wanted;
use crate::verdict::record::JudgedFlow;

/// A filter that was read. It is the same as another if its text is.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    root: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Test(Test),
}

/// A field, and what is asked of it.
#[derive(Clone, Debug)]
struct Test {
    field: &'static Field,
    relation: Relation,
    wanted: Vec<Wanted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Is,
    Less,
    AtMost,
    More,
    AtLeast,
    Contains,
}

impl Filter {
    /// Whether a flow is wanted.
    pub fn matches(&self, flow: &JudgedFlow) -> bool {
        self.root.matches(flow)
    }

    /// The names of all fields, in the order of the contract.
    pub fn fields() -> impl Iterator<Item = &'static str> {
        field::FIELDS.iter().map(|field| field.name)
    }
}

impl Node {
    fn matches(&self, flow: &JudgedFlow) -> bool {
        match self {
            Node::Any(nodes) => nodes.iter().any(|node| node.matches(flow)),
            Node::All(nodes) => nodes.iter().all(|node| node.matches(flow)),
            Node::Not(node) => !node.matches(flow),
            Node::Test(test) => test.matches(flow),
        }
    }
}

impl Test {
    fn matches(&self, flow: &JudgedFlow) -> bool {
        let mut found = false;
        let mut is_null = true;
        (self.field.visit)(flow, &mut |value| {
            is_null = false;
            found |= self.wanted.iter().any(|wanted| wanted.fits(self.relation, value));
        });
        found || (is_null && self.wanted.iter().any(|wanted| matches!(wanted, Wanted::Null)))
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        Ok(Filter { text: text.to_owned(), root: parser::parse(text)? })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.text == other.text
    }
}

impl Eq for Filter {}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl JsonSchema for Filter {
    fn schema_name() -> Cow<'static, str> {
        "Filter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "A filter, as it was given.", "type": "string" })
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Filter, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::sample::{announced, failing, flow, refused_by, weak};
    use crate::verdict::record::{Origin, ServiceOutcome, Verdict};

    /// Flow 1 was dropped, 2 refused by the host, 3 announced and open, 4 a UDP answer, 5 a failing
    /// service over IPv6.
    fn flows() -> Vec<JudgedFlow> {
        let cas = "10.1.0.5";
        let mut flows = vec![
            weak(flow(1, cas, "10.2.0.10", "tcp", 135, Verdict::NoReply)),
            refused_by(flow(2, cas, "10.2.0.10", "tcp", 389, Verdict::Refused), Origin::Host),
            announced(flow(3, cas, "10.2.0.11", "tcp", 49_158, Verdict::Established), 7),
            flow(4, "10.9.0.1", "10.2.0.10", "udp", 53, Verdict::Answered),
            failing(
                flow(5, "fe80::1", "2001:db8::10", "tcp", 88, Verdict::Established),
                ServiceOutcome::Failed,
            ),
        ];
        if let Some(flow) = flows.get_mut(3) {
            flow.encapsulation = thin_vec::thin_vec!["vlan 42".to_owned(), "vxlan 5001".to_owned()];
            flow.service.name = Some("DNS".into());
        }
        flows
    }

    /// Ids of the flows that a filter wants.
    fn wanted(text: &str) -> Vec<u64> {
        let filter: Filter = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(filter.to_string(), text);
        flows().iter().filter(|flow| filter.matches(flow)).map(|flow| flow.id).collect()
    }

    #[test]
    fn the_example_of_the_contract_is_read() {
        let text = "class = timeout and responder.port in 135,389 and initiator in 10.1.0.0/16";
        assert_eq!(wanted(text), [1]);
    }

    #[test]
    fn each_kind_of_field_has_its_relations() {
        for (text, ids) in [
            ("verdict = no_reply", vec![1]),
            ("verdict == NO_REPLY", vec![1]),
            ("verdict != no_reply", vec![2, 3, 4, 5]),
            ("class in timeout, reject", vec![1, 2]),
            ("class in {timeout, reject}", vec![1, 2]),
            ("class not in timeout, reject", vec![3, 4, 5]),
            ("responder.port = 53", vec![4]),
            ("responder.port in 100-400", vec![1, 2]),
            ("responder.port < 135", vec![4, 5]),
            ("responder.port <= 135", vec![1, 4, 5]),
            ("responder.port > 389", vec![3]),
            ("responder.port >= 389", vec![2, 3]),
            ("initiator = 10.1.0.5", vec![1, 2, 3]),
            ("initiator.address in 10.9.0.0/16, fe80::/10", vec![4, 5]),
            ("host in 10.2.0.10", vec![1, 2, 4]),
            ("host != 10.2.0.10", vec![3, 5]),
            ("port = 52702", vec![1, 2, 3, 4, 5]),
            ("frame = 12", vec![1]),
            ("origin = host", vec![2]),
            ("origin = null", vec![1, 3, 4, 5]),
            ("origin != null", vec![2]),
            ("service.name = dns", vec![4]),
            ("service.detail contains \"invalid cred\"", vec![5]),
            ("service.code = 49", vec![5]),
            ("encapsulation contains vxlan", vec![4]),
            ("encapsulation = \"vlan 42\"", vec![4]),
            ("rpc.interface = drsuapi", vec![3]),
            ("schedule.seen = null", vec![1, 2, 3, 4, 5]),
            ("confidence = weak", vec![1]),
            ("transport = udp", vec![4]),
            ("id in 2-3", vec![2, 3]),
            ("first_seen >= 2014-05-27T10:15:40Z", vec![4, 5]),
            ("first_seen < \"2014-05-27 10:15:20\"", vec![1]),
        ] {
            assert_eq!(wanted(text), ids, "{text}");
        }
    }

    #[test]
    fn and_binds_closer_than_or_and_not_closer_than_both() {
        for (text, ids) in [
            ("id = 1 or id = 2 and class = success", vec![1]),
            ("(id = 1 or id = 2) and class = reject", vec![2]),
            ("not id = 1 and not id = 2", vec![3, 4, 5]),
            ("not (id = 1 or id = 2)", vec![3, 4, 5]),
            ("!id=1&&!id=2||id=1", vec![1, 3, 4, 5]),
            ("NOT id = 5 AND class = success OR id = 1", vec![1, 3, 4]),
        ] {
            assert_eq!(wanted(text), ids, "{text}");
        }
    }

    #[test]
    fn an_error_points_at_its_place() {
        for (text, place, message) in [
            ("", "", "the filter is empty"),
            ("clas = timeout", "clas", "unknown field \"clas\"; did you mean \"class\"?"),
            ("class", "", "\"class\" wants a relation: =, !=, in, not in or contains"),
            ("class =", "", "a value is missing"),
            ("class = tiemout", "tiemout", "unknown class \"tiemout\"; did you mean \"timeout\"?"),
            ("class < timeout", "<", "a word has no order: use =, !=, in, not in or contains"),
            (
                "responder.port = ldap",
                "ldap",
                "\"ldap\" is no number or range of numbers like 135 or 49152-65535",
            ),
            ("responder.port = 9-5", "9-5", "range 9-5 runs backwards; did you mean \"5-9\"?"),
            (
                "responder.port contains 5",
                "contains",
                "a number has no parts: use =, !=, in, <, <=, > or >=",
            ),
            (
                "initiator in 10.0.0.0/40",
                "10.0.0.0/40",
                "\"10.0.0.0/40\" is no address or block of addresses like 10.1.0.5 or 10.1.0.0/16",
            ),
            ("first_seen > noon", "noon", "\"noon\" is no time like 2014-05-27T10:15:00Z"),
            ("responder.port < 1, 2", "1, 2", "< wants one value"),
            ("responder.port < null", "null", "null has no order"),
            ("(id = 1", "(", "this bracket is not closed"),
            ("id = 1)", ")", "nothing opens this bracket"),
            ("id = 1 id = 2", "id", "\"and\" or \"or\" is missing before this"),
            ("service.name = \"dns", "\"dns", "this quote is not closed"),
            ("id = 1 and", "", "a test is missing"),
            ("id in {1, 2", "{", "this bracket is not closed"),
            ("= 1", "=", "a field is missing before this"),
        ] {
            let error = text.parse::<Filter>().unwrap_err();
            assert_eq!((error.place(), error.message()), (place, message), "{text}");
        }
    }

    #[test]
    fn carets_stand_below_what_is_wrong() {
        let error = "id = 1 and clas = ä and x = 1".parse::<Filter>().unwrap_err();
        let shown = "unknown field \"clas\"; did you mean \"class\"?\n  \
                     id = 1 and clas = ä and x = 1\n             ^^^^";
        assert_eq!(error.to_string(), shown);
        let error = "class = ".parse::<Filter>().unwrap_err();
        assert_eq!(error.to_string(), "a value is missing\n  class = \n          ^");
    }

    #[test]
    fn every_name_of_a_flow_in_json_can_be_asked_for() {
        let flow = flows().remove(4);
        let json = serde_json::to_value(&flow).unwrap();
        let known: Vec<&str> = Filter::fields().collect();
        for (key, value) in json.as_object().unwrap() {
            let inner = value.as_object().map(|object| object.keys().collect::<Vec<_>>());
            let names: Vec<String> = match inner {
                Some(keys) => keys.iter().map(|inner| format!("{key}.{inner}")).collect(),
                None => vec![key.clone()],
            };
            // Lists of records, and filters made for other programs.
            let told = [
                "announced",
                "not_registered",
                "duties",
                "evidence",
                "origin_reasons",
                "rpc",
                "schedule",
            ];
            if told.contains(&key.as_str()) || key == "display_filter" {
                continue;
            }
            for name in names {
                assert!(known.contains(&name.as_str()), "{name}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_filter_or_an_error_with_a_place(text in ".{0,60}") {
            if let Err(error) = text.parse::<Filter>() {
                assert!(error.to_string().contains('\n'));
                assert!(text.contains(error.place()));
            }
        }

        #[test]
        fn any_mixture_of_words_is_a_filter_or_an_error(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "class", "=", "timeout", "(", ")", "and", "or", "not", "in", "{", "}", ",",
                    "responder.port", "135", "<", "1-5", "\"x y\"", "null", "!", "contains", "id",
                ]),
                0..400,
            )
        ) {
            let text = words.join(" ");
            if let Ok(filter) = text.parse::<Filter>() {
                for flow in flows() {
                    filter.matches(&flow);
                }
            }
        }
    }

    #[test]
    fn brackets_without_end_are_an_error_and_no_overflow() {
        let text = "(".repeat(1_000_000);
        let error = text.parse::<Filter>().unwrap_err();
        assert_eq!(error.message(), "brackets and \"not\" are nested more than 64 deep");
        assert!("not ".repeat(1_000_000).parse::<Filter>().is_err());
    }
}
