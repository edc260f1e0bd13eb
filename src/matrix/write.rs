//! Writes a matrix as TOML that reads back as the same matrix.

use std::fmt::Write as _;

use crate::matrix::{Matrix, Need, PortRange, Requirement};

impl Matrix {
    /// The matrix as TOML, in one normal form: every key written out, one row a transport.
    ///
    /// [`Matrix::parse`] makes an equal matrix of it, given the same name. Comments of the file
    /// it was read from are not kept; for a built-in profile see [`Matrix::built_in_text`].
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        line(&mut out, "title", &text(&self.title));
        let dynamic: Vec<String> = self.rpc_dynamic.iter().map(|range| port(*range)).collect();
        line(&mut out, "rpc_dynamic", &format!("[{}]", dynamic.join(", ")));
        let not_rpc: Vec<String> = self.not_rpc.iter().map(u16::to_string).collect();
        line(&mut out, "not_rpc", &format!("[{}]", not_rpc.join(", ")));
        for role in &self.roles {
            out.push_str("\n[[role]]\n");
            line(&mut out, "name", &text(&role.name));
            if let Some(wider) = &role.kind_of {
                line(&mut out, "kind_of", &text(wider));
            }
        }
        for requirement in &self.requirements {
            self.write_row(&mut out, requirement);
        }
        out
    }

    fn write_row(&self, out: &mut String, row: &Requirement) {
        out.push_str("\n[[requirement]]\n");
        line(out, "id", &text(&row.id));
        line(out, "service", &text(&row.service));
        line(out, "from", &text(&row.from));
        line(out, "to", &text(&row.to));
        line(out, "transport", &text(row.transport.as_str()));
        let own = row.ports.iter();
        let own = own.filter(|range| !(row.rpc_dynamic && self.rpc_dynamic.contains(range)));
        let mut ports: Vec<String> = own.map(|range| port(*range)).collect();
        if row.rpc_dynamic {
            ports.push(text("rpc-dynamic"));
        }
        line(out, "ports", &format!("[{}]", ports.join(", ")));
        line(out, "direction", &text(row.direction.as_str()));
        match &row.need {
            Need::Required | Need::Optional => line(out, "need", &text(&row.need.to_string())),
            Need::OneOf(group) => line(out, "need", &format!("{{ one_of = {} }}", text(group))),
        }
        if let Some(condition) = &row.condition {
            line(out, "condition", &text(condition));
        }
        if let Some(name) = &row.configurable {
            line(out, "configurable", &text(name));
        }
        if !row.answered {
            line(out, "answered", "false");
        }
        if !row.listener_known {
            line(out, "listener_known", "false");
        }
        if let Some(symptom) = &row.symptom {
            line(out, "symptom", &text(symptom));
        }
        if let Some(source) = &row.source {
            line(out, "source", &text(source));
        }
    }
}

fn line(out: &mut String, key: &str, value: &str) {
    out.push_str(key);
    out.push_str(" = ");
    out.push_str(value);
    out.push('\n');
}

fn port(range: PortRange) -> String {
    if range.first == range.last { range.to_string() } else { text(&range.to_string()) }
}

/// A basic string of TOML 1.0: quotes, backslashes and control characters are escaped.
fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            letter if letter.is_control() => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{:04X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matrix::{Direction, Role};
    use crate::net::Transport;

    #[test]
    fn a_built_in_profile_survives_being_written() {
        for name in Matrix::built_in_names() {
            let matrix = Matrix::built_in(name).unwrap();
            assert_eq!(Matrix::parse(&matrix.to_toml(), name), Ok(matrix));
        }
    }

    fn range() -> impl Strategy<Value = PortRange> {
        (1_u16..=65535, 0_u16..300)
            .prop_map(|(first, more)| PortRange { first, last: first.saturating_add(more) })
    }

    /// Ranges that do not overlap, sorted.
    fn ranges(most: usize) -> impl Strategy<Value = Vec<PortRange>> {
        prop::collection::vec(range(), 1..most).prop_map(|mut ranges| {
            ranges.sort_unstable();
            let mut apart: Vec<PortRange> = Vec::new();
            for range in ranges {
                if apart.last().is_none_or(|last| last.last < range.first) {
                    apart.push(range);
                }
            }
            apart
        })
    }

    prop_compose! {
        fn row(role: &'static str, dynamic: Vec<PortRange>)(
            service in "\\PC{0,20}[A-Z]",
            udp: bool,
            own in ranges(4),
            rpc_dynamic: bool,
            both: bool,
            need in prop_oneof![
                Just(Need::Required),
                Just(Need::Optional),
                "[a-z]{1,5}".prop_map(Need::OneOf),
            ],
            condition in prop::option::of("(?s).{0,40}"),
            configurable in prop::option::of("[a-z][a-z-]{0,8}"),
            (answered, listener_known) in any::<(bool, bool)>(),
            symptom in prop::option::of("(?s).{0,40}"),
            source in prop::option::of("(?s).{0,40}"),
        ) -> Requirement {
            let overlaps = |range: &PortRange| {
                dynamic.iter().any(|other| other.first <= range.last && range.first <= other.last)
            };
            let mut ports = own;
            let rpc_dynamic = rpc_dynamic && !dynamic.is_empty();
            if rpc_dynamic {
                ports.retain(|range| !overlaps(range));
                ports.extend(&dynamic);
                ports.sort_unstable();
            }
            Requirement {
                id: String::new(),
                service,
                from: role.to_owned(),
                to: "other".to_owned(),
                transport: if udp { Transport::Udp } else { Transport::Tcp },
                ports,
                rpc_dynamic,
                direction: if both { Direction::Both } else { Direction::OneWay },
                need,
                condition,
                configurable,
                answered,
                listener_known,
                symptom,
                source,
            }
        }
    }

    fn matrix() -> impl Strategy<Value = Matrix> {
        (ranges(3), "(?s).{0,30}", prop::collection::vec(1_u16.., 0..5)).prop_flat_map(
            |(rpc_dynamic, title, mut not_rpc)| {
                not_rpc.sort_unstable();
                not_rpc.dedup();
                prop::collection::vec(row("one", rpc_dynamic.clone()), 1..6).prop_map(
                    move |mut requirements| {
                        for (index, row) in requirements.iter_mut().enumerate() {
                            row.id = format!("row-{index}");
                        }
                        let role = |name: &str, kind_of: Option<&str>| Role {
                            name: name.to_owned(),
                            kind_of: kind_of.map(str::to_owned),
                        };
                        Matrix {
                            name: "site.toml".to_owned(),
                            title: title.clone(),
                            roles: vec![role("one", None), role("other", Some("one"))],
                            rpc_dynamic: rpc_dynamic.clone(),
                            not_rpc: not_rpc.clone(),
                            requirements,
                        }
                    },
                )
            },
        )
    }

    proptest! {
        #[test]
        fn any_matrix_survives_being_written(matrix in matrix()) {
            let text = matrix.to_toml();
            prop_assert_eq!(Matrix::parse(&text, "site.toml"), Ok(matrix), "{}", text);
        }
    }
}
