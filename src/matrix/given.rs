//! Roles that the user gives: `--role` and roles files, which may give ports too.
//!
//! What is given is an address, a block of addresses or a host name. What is none of them is
//! told at once, with what is wrong about it, and never taken for a name that happens to match
//! nothing.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::de::DeValue;

use crate::matrix::fault::{Error, Fault, quoted, suggestion};
use crate::matrix::reader::{Reader, get};
use crate::matrix::{GivenPort, GivenRole, Matrix};
use crate::net::Address;

/// A host as the user gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GivenHost {
    /// One address, or a host of a conversation as reports name it.
    Address(Address),
    /// All addresses of a block.
    Block(IpNet),
    /// A name, short or fully qualified.
    Name(String),
}

impl GivenHost {
    /// Reads a host; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<GivenHost, String> {
        let shown = quoted(text);
        if text.is_empty() {
            return Err("a host is missing: give an address, a block or a name".to_owned());
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(GivenHost::Address(address.into()));
        }
        if let Ok(host @ Address::Conversation(_)) = text.parse() {
            return Ok(GivenHost::Address(host));
        }
        if text.contains('/') {
            let block = text.parse::<IpNet>();
            return match block {
                Ok(block) if block.prefix_len() == block.max_prefix_len() => {
                    Ok(GivenHost::Address(block.addr().into()))
                }
                Ok(block) => Ok(GivenHost::Block(block.trunc())),
                Err(_) => Err(format!("{shown} is no block of addresses like \"10.2.0.0/24\"")),
            };
        }
        if text.contains([':', '%', '[']) {
            let advice = "give an IPv6 address without brackets, port or zone";
            return Err(format!("{shown} is no address: {advice}"));
        }
        if let Some(('*', _) | (_, '*')) = text.chars().next().zip(text.chars().last()) {
            return Err(format!("{shown} is no host: give a block of addresses instead of \"*\""));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let last_label = name.rsplit('.').next().unwrap_or(name);
        // A name that ends in a number is an address with a slip in it (RFC 1123 section 2.1).
        if last_label.chars().all(|letter| letter.is_ascii_digit()) {
            let advice = "an IPv4 address has four parts, each 0 to 255 without leading zeros";
            return Err(format!("{shown} is no address: {advice}"));
        }
        let fits = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(fits)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() <= 253 && name.split('.').all(label) {
            return Ok(GivenHost::Name(name.to_owned()));
        }
        Err(format!(
            "{shown} is neither an address, nor a block like \"10.2.0.0/24\", nor a host name"
        ))
    }
}

/// What a roles file gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolesFile {
    /// Roles and their hosts, in the order of the file.
    pub roles: Vec<GivenRole>,
    /// Ports of services whose port can be configured.
    pub ports: Vec<GivenPort>,
}

/// Reads a roles file: a `[roles]` table of roles and their hosts, a `[ports]` table, or both.
pub fn parse_roles_file(text: &str, path: &str, matrix: &Matrix) -> Result<RolesFile, Error> {
    let mut reader = Reader::new(text, path);
    let mut given: Vec<(usize, GivenRole)> = Vec::new();
    let Some(document) = reader.document() else { return reader.finish(None) };
    for (key, _) in &document {
        let name = key.get_ref().as_ref();
        if matrix.role_index(name).is_some() {
            reader.fault(key.span().start, format!("write [roles] above {}", quoted(name)));
        } else if !["roles", "ports"].contains(&name) {
            let end = suggestion(name, ["roles", "ports"]);
            reader.fault(key.span().start, format!("unknown key {}{end}", quoted(name)));
        }
    }
    if let Some(roles) = get(&document, "roles") {
        if let DeValue::Table(table) = roles.get_ref() {
            for (key, value) in table {
                let (name, place) = (key.get_ref().as_ref(), key.span().start);
                if let Err(message) = known_role(name, matrix) {
                    reader.fault(place, message);
                }
                let mut hosts = Vec::new();
                for entry in Reader::one_or_many(value) {
                    let Some(host) = reader.text(entry, "a host") else { continue };
                    match GivenHost::parse(host.trim()) {
                        Ok(_) => hosts.push(host.trim().to_owned()),
                        Err(message) => reader.fault(entry.span().start, message),
                    }
                }
                if Reader::one_or_many(value).is_empty() {
                    reader.fault(value.span().start, format!("role {} has no host", quoted(name)));
                }
                given.push((place, GivenRole { role: name.to_owned(), hosts }));
            }
        } else {
            reader.fault(roles.span().start, "write [roles], and the roles below".to_owned());
        }
    } else if get(&document, "ports").is_none() {
        let advice = "add [roles], and below it lines like cas = [\"10.0.0.5\"]";
        reader.fault(0, format!("no roles are given: {advice}"));
    }
    let ports = get(&document, "ports");
    let ports = ports.map(|value| reader.given_ports(value, matrix)).unwrap_or_default();
    given.sort_by_key(|(place, _)| *place);
    let roles = given.into_iter().map(|(_, given)| given).collect();
    reader.finish(Some(RolesFile { roles, ports }))
}

/// Reads the argument of `--role`: `ROLE=HOST[,HOST…]`.
pub fn parse_role_argument(text: &str, matrix: &Matrix) -> Result<GivenRole, Error> {
    read_argument(text, matrix).map_err(|messages| Error {
        path: "--role".to_owned(),
        faults: messages.into_iter().map(|message| Fault { position: None, message }).collect(),
    })
}

fn read_argument(text: &str, matrix: &Matrix) -> Result<GivenRole, Vec<String>> {
    let Some((role, hosts)) = text.split_once('=') else {
        let example = "write ROLE=HOST, as in domain-controller=10.1.0.10";
        return Err(vec![format!("{} names no host: {example}", quoted(text))]);
    };
    let role = role.trim();
    let mut messages: Vec<String> = known_role(role, matrix).err().into_iter().collect();
    let mut given = GivenRole { role: role.to_owned(), hosts: Vec::new() };
    for host in hosts.split(',').map(str::trim) {
        match GivenHost::parse(host) {
            Ok(_) => given.hosts.push(host.to_owned()),
            Err(message) => messages.push(message),
        }
    }
    if messages.is_empty() { Ok(given) } else { Err(messages) }
}

fn known_role(name: &str, matrix: &Matrix) -> Result<(), String> {
    if matrix.role_index(name).is_some() {
        return Ok(());
    }
    let end = suggestion(name, matrix.roles.iter().map(|role| role.name.as_str()));
    Err(format!("unknown role {}{end}", quoted(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::DEFAULT_PROFILE;

    fn matrix() -> Matrix {
        Matrix::built_in(DEFAULT_PROFILE).unwrap()
    }

    #[test]
    fn hosts_are_addresses_blocks_or_names() {
        let address = |text: &str| GivenHost::Address(text.parse().unwrap());
        for (text, host) in [
            ("10.0.0.5", address("10.0.0.5")),
            ("2001:db8::5", address("2001:db8::5")),
            ("10.0.0.5/32", address("10.0.0.5")),
            ("10.2.0.7/24", GivenHost::Block("10.2.0.0/24".parse().unwrap())),
            ("2001:db8::/64", GivenHost::Block("2001:db8::/64".parse().unwrap())),
            ("CAS01", GivenHost::Name("CAS01".to_owned())),
            ("cas01.corp.example.", GivenHost::Name("cas01.corp.example".to_owned())),
            ("bücher_1", GivenHost::Name("bücher_1".to_owned())),
            ("3com", GivenHost::Name("3com".to_owned())),
            ("IPv4:13 initiator", address("IPv4:13 initiator")),
        ] {
            assert_eq!(GivenHost::parse(text), Ok(host));
        }
    }

    #[test]
    fn what_is_no_host_is_told() {
        for (text, about) in [
            ("", "a host is missing"),
            ("10.0.0.999", "is no address"),
            ("010.0.0.5", "is no address"),
            ("10.0.0", "is no address"),
            ("10.0.0.1-10.0.0.9", "is no address"),
            ("10.0.0.0/33", "is no block"),
            ("corp/24", "is no block"),
            ("10.0.0.5:445", "without brackets, port or zone"),
            ("fe80::1%eth0", "without brackets, port or zone"),
            ("[2001:db8::1]", "without brackets, port or zone"),
            ("*.corp.example", "instead of \"*\""),
            ("two words", "neither"),
            ("a..b", "neither"),
            ("-x", "neither"),
            ("\u{1b}[31m", "without brackets"),
            ("x\u{7}", "neither"),
        ] {
            let message = GivenHost::parse(text).unwrap_err();
            assert!(message.contains(about), "{text}: {message}");
            assert!(!message.contains(char::is_control));
        }
    }

    #[test]
    fn a_roles_file_keeps_its_order() {
        let text = "[roles]\nroot-dc = \"10.1.0.10\"\ncas = [\"10.0.0.5\", \"10.2.0.0/24\"]\n\
                    domain-member = [\"pc1.corp.example\"]\n";
        let given = parse_roles_file(text, "roles.toml", &matrix()).unwrap().roles;
        let roles: Vec<&str> = given.iter().map(|given| given.role.as_str()).collect();
        assert_eq!(roles, ["root-dc", "cas", "domain-member"]);
        assert_eq!(given[1].hosts, ["10.0.0.5", "10.2.0.0/24"]);
    }

    #[test]
    fn faults_of_a_roles_file_have_their_place() {
        for (text, expected) in [
            (
                "[roles]\ndc = [\"10.1.0.10\"]\n",
                "roles.toml: line 2, column 1: unknown role \"dc\"; did you mean \"domain-controller\"?",
            ),
            (
                "[roles]\ncas = [\"10.0.0.5\",\n  \"10.0.0.999\"]\n",
                "roles.toml: line 3, column 3: \"10.0.0.999\" is no address",
            ),
            ("[roles]\ncas = []\n", "roles.toml: line 2, column 7: role \"cas\" has no host"),
            ("[roles]\ncas = [5]\n", "roles.toml: line 2, column 8: a host is a text in quotes"),
            (
                "cas = \"10.0.0.5\"\n[roles]\n",
                "roles.toml: line 1, column 1: write [roles] above \"cas\"",
            ),
            (
                "[role]\ncas = \"10.0.0.5\"\n",
                "roles.toml: line 1, column 2: unknown key \"role\"; did you mean \"roles\"?",
            ),
            ("roles = 3\n", "roles.toml: line 1, column 9: write [roles]"),
            ("", "roles.toml: line 1, column 1: no roles are given"),
            ("[roles\n", "roles.toml: line 1, column 7: this is not TOML"),
        ] {
            let error = parse_roles_file(text, "roles.toml", &matrix()).unwrap_err().to_string();
            assert!(error.lines().any(|line| line.starts_with(expected)), "{error}");
        }
    }

    #[test]
    fn a_role_argument_names_a_role_and_its_hosts() {
        let given = parse_role_argument("cas=10.0.0.5, CAS01", &matrix()).unwrap();
        assert_eq!(
            (given.role.as_str(), given.hosts),
            ("cas", vec!["10.0.0.5".into(), "CAS01".into()])
        );
        for (text, expected) in [
            (
                "10.0.0.5",
                "--role: \"10.0.0.5\" names no host: write ROLE=HOST, as in domain-controller=10.1.0.10",
            ),
            (
                "site-sever=CAS01",
                "--role: unknown role \"site-sever\"; did you mean \"site-server\"?",
            ),
            ("cas=", "--role: a host is missing: give an address, a block or a name"),
            ("cas=CAS01,", "--role: a host is missing: give an address, a block or a name"),
            (
                "cas=10.0.0.0/33",
                "--role: \"10.0.0.0/33\" is no block of addresses like \"10.2.0.0/24\"",
            ),
        ] {
            assert_eq!(parse_role_argument(text, &matrix()).unwrap_err().to_string(), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,80}") {
            let accepted = GivenHost::parse(&text).is_ok();
            // Nothing with a control character is a host.
            proptest::prop_assert!(!(accepted && text.contains(char::is_control)));
            let _ = parse_role_argument(&text, &matrix());
            let _ = parse_roles_file(&text, "x", &matrix());
        }
    }
}
