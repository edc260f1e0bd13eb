//! What should work: roles, requirements, and what the flows prove of them.
//!
//! A [`Matrix`] comes from a built-in profile or from a user's file. [`assess()`] lays flows over
//! it and gives an [`Assessment`]: who plays which role, and one [`Cell`] for each requirement
//! between two hosts. It is a pure function of the matrix, the given roles, the names that the
//! captures store, and the flows, so that a report can be made again from its own records.
//!
//! To add a profile: write `src/matrix/<name>.toml` and add a line to `BUILT_INS`.

mod assess;
mod exercised;
mod explain;
mod fault;
mod file;
mod given;
mod hosts_file;
mod infer;
mod names;
mod ports;
mod reader;
mod roles;
mod rows;
#[cfg(test)]
pub(crate) mod sample;
mod sheet;
mod untried;
mod write;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

pub use assess::{Assessment, assess};
pub(crate) use assess::{assess_all, assess_some, in_order_of_time};
pub(crate) use explain::{
    bounded, capture_suffix, count_of, is_weak, list_and, list_of, seen, service_failed,
    several_captures, then,
};
pub use fault::{Error, Fault, Position};
pub(crate) use fault::{quoted, suggestion};
pub use given::{RolesFile, parse_role_argument, parse_roles_file};
pub use hosts_file::{GivenNames, HostsFile, parse_hosts_file};
pub use names::{SameHost, ranked, same_hosts};
pub use ports::{GivenPort, effective, parse_port_argument};
pub use roles::{GivenRole, HostRecord, RoleRecord, RoleSource, Told, UnmatchedHost};
pub use sheet::{Cell, CellCounts, CellEnd, Outcome, Sheet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::flow::KnownPorts;
use crate::net::Transport;
use crate::words::words;

/// A role that a host plays, as "primary" or "domain-controller".
///
/// A role may be a kind of another, and that of a third: a host of the narrower role has the
/// wider one too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Name.
    pub name: String,
    /// The wider role that it is a kind of.
    pub kind_of: Option<String>,
}

/// Ports of a requirement. As text "389", or "49152-65535".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port, the same for a single one.
    pub last: u16,
}

impl PortRange {
    /// Whether the range has this port.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(out, "{}", self.first)
        } else {
            write!(out, "{}-{}", self.first, self.last)
        }
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> String {
        range.to_string()
    }
}

impl JsonSchema for PortRange {
    fn schema_name() -> Cow<'static, str> {
        "PortRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A port, as \"389\", or a range of ports, as \"49152-65535\".",
            "type": "string",
            "pattern": "^[0-9]{1,5}(-[0-9]{1,5})?$"
        })
    }
}

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<PortRange, String> {
        text.parse()
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<PortRange, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.trim().parse().ok().filter(|&port: &u16| port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(PortRange { first, last }),
            (Some(first), Some(last)) => {
                Err(format!("\"{text}\" ends before it begins; write {last}-{first}"))
            }
            _ => Err(format!("\"{text}\" is no port or range of ports like 50000-50100")),
        }
    }
}

words! {
    /// Who opens the connections of a requirement.
    Direction {
        /// Only the side named in `from`.
        OneWay = "one-way",
        /// Either side.
        Both = "both",
    }
}

/// How much a requirement is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Setup fails without it.
    Required,
    /// It helps, or only some systems use it.
    Optional,
    /// One of the requirements of this group is enough.
    OneOf(String),
}

impl fmt::Display for Need {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Required => out.write_str("required"),
            Need::Optional => out.write_str("optional"),
            Need::OneOf(group) => write!(out, "one_of {group}"),
        }
    }
}

/// One row of a port matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Unique name of the row, as "ldap-tcp".
    pub id: String,
    /// Service, as "LDAP".
    pub service: String,
    /// Role of the side that opens the connection.
    pub from: String,
    /// Role of the side that is called.
    pub to: String,
    /// Transport.
    pub transport: Transport,
    /// Ports that are called, sorted; for "rpc-dynamic" the dynamic ranges of the matrix, beside
    /// ports that the row names itself.
    pub ports: Vec<PortRange>,
    /// Whether the dynamic RPC ranges are among `ports`.
    pub rpc_dynamic: bool,
    /// Who opens.
    pub direction: Direction,
    /// How much it is needed.
    pub need: Need,
    /// When it applies, in a few words; `None` for always. A row with a condition is judged where
    /// a flow exercises it, and never listed as not exercised: whether anybody should have tried,
    /// the captures do not tell.
    pub condition: Option<String>,
    /// The name by which `--port` and `[ports]` give other ports than these.
    pub configurable: Option<String>,
    /// Whether what is sent there is answered. It is not for datagrams such as wake-on-LAN, whose
    /// silence proves nothing.
    pub answered: bool,
    /// Whether anything is known to listen there. Nothing is on UDP 135: a failure is told, and
    /// neither blamed nor made a firewall request.
    pub listener_known: bool,
    /// What setup shows when it is blocked.
    pub symptom: Option<String>,
    /// Where the row comes from.
    pub source: Option<String>,
}

impl Requirement {
    /// The ports as one text: "389" or "1025-5000,49152-65535".
    pub fn ports_text(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(PortRange::to_string).collect();
        ports.join(",")
    }
}

/// A port matrix: what should work between which roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Name of a built-in profile, or path of the user's file.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// Roles, those that rows name and their kinds.
    pub roles: Vec<Role>,
    /// What "rpc-dynamic" stands for, sorted.
    pub rpc_dynamic: Vec<PortRange>,
    /// Ports of other services inside those ranges, sorted: a call to one is not taken for RPC.
    pub not_rpc: Vec<u16>,
    /// Rows, in the order of the file.
    pub requirements: Vec<Requirement>,
}

/// The built-in profiles: name and text.
const BUILT_INS: [(&str, &str); 3] = [
    ("configmgr-dc", include_str!("configmgr-dc.toml")),
    ("configmgr", include_str!("configmgr.toml")),
    ("active-directory", include_str!("active-directory.toml")),
];

/// The profile that is used where the user names none.
pub const DEFAULT_PROFILE: &str = "configmgr-dc";

impl Matrix {
    /// Names of the built-in profiles, the default first.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_INS.iter().map(|(name, _)| *name)
    }

    /// Text of a built-in profile, with its comments, as `--matrix` takes it back.
    pub fn built_in_text(name: &str) -> Option<&'static str> {
        BUILT_INS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// A built-in profile; `None` where no profile has this name.
    pub fn built_in(name: &str) -> Option<Matrix> {
        // That every one of them parses is tested below.
        Matrix::parse(Matrix::built_in_text(name)?, name).ok()
    }

    /// Ports where a service of the matrix listens. Not those of the dynamic ranges, which any
    /// program may use, nor of other ranges among them: they do not tell who is called.
    pub fn known_ports(&self) -> KnownPorts {
        let is_dynamic = |range: &PortRange| {
            let mut dynamic = self.rpc_dynamic.iter();
            dynamic.any(|other| other.first <= range.last && range.first <= other.last)
        };
        let fixed = |range: &&PortRange| {
            let single = range.first == range.last && !self.rpc_dynamic.contains(range);
            single || !is_dynamic(range)
        };
        let of = |row: &Requirement| -> Vec<(Transport, u16)> {
            let ranges = row.ports.iter().filter(fixed);
            let ports = ranges.flat_map(|range| range.first..=range.last);
            ports.map(|port| (row.transport, port)).collect()
        };
        let (answered, unanswered): (Vec<&Requirement>, Vec<&Requirement>) =
            self.requirements.iter().partition(|row| row.answered);
        KnownPorts::with(answered.into_iter().flat_map(of))
            .and_unanswered(unanswered.into_iter().flat_map(of))
    }

    /// Place of a role in `roles`.
    fn role_index(&self, name: &str) -> Option<usize> {
        self.roles.iter().position(|role| role.name == name)
    }

    /// Whether a host of `role` plays `wider`, as a row names it.
    pub(crate) fn plays(&self, role: &str, wider: &str) -> bool {
        let (Some(role), Some(wider)) = (self.role_index(role), self.role_index(wider)) else {
            return false;
        };
        self.role_and_wider(role).contains(&wider)
    }

    /// A role and those that it is a kind of, narrowest first.
    fn role_and_wider(&self, index: usize) -> Vec<usize> {
        let mut chain = vec![index];
        let mut next = Some(index);
        while let Some(role) = next.and_then(|index| self.roles.get(index)) {
            next = role.kind_of.as_deref().and_then(|wider| self.role_index(wider));
            match next {
                // A matrix that was parsed has no circle; one that was built by hand may.
                Some(index) if !chain.contains(&index) => chain.push(index),
                Some(_) | None => break,
            }
        }
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_parses() {
        for name in Matrix::built_in_names() {
            let text = Matrix::built_in_text(name).unwrap();
            let matrix = Matrix::parse(text, name).map_err(|error| error.to_string());
            assert_eq!(matrix.map(|matrix| matrix.name), Ok(name.to_owned()));
        }
        assert!(Matrix::built_in(DEFAULT_PROFILE).is_some());
        assert_eq!(Matrix::built_in("configmgr-xy"), None);
    }

    /// The table of the contract's section 7, row by row.
    #[test]
    fn the_default_profile_is_the_published_table() {
        let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
        let rows: Vec<String> = matrix
            .requirements
            .iter()
            .map(|row| {
                let (service, transport, need) = (&row.service, row.transport, &row.need);
                let ports = row.ports_text();
                format!("{} {service} {transport} {ports} {} {need}", row.id, row.direction)
            })
            .collect();
        let expected = [
            "smb SMB tcp 445 one-way required",
            "kerberos-tcp Kerberos tcp 88 one-way required",
            "kerberos-udp Kerberos udp 88 one-way optional",
            "rpc-epm-tcp RPC endpoint mapper tcp 135 one-way required",
            "rpc-epm-udp RPC endpoint mapper udp 135 one-way optional",
            "ldap-tcp LDAP tcp 389 one-way required",
            "ldap-udp LDAP udp 389 one-way required",
            "gc-ldap Global Catalog LDAP tcp 3268 one-way required",
            "dns-tcp DNS tcp 53 one-way optional",
            "dns-udp DNS udp 53 one-way required",
            "rpc-dynamic-tcp RPC dynamic tcp 1025-5000,49152-65535 both required",
            "rpc-dynamic-udp RPC dynamic udp 1025-5000,49152-65535 both optional",
        ];
        assert_eq!(rows, expected);
        for row in &matrix.requirements {
            assert_eq!((row.from.as_str(), row.to.as_str()), ("site-server", "domain-controller"));
            assert_eq!(row.listener_known, row.id != "rpc-epm-udp");
            assert!(row.source.is_some(), "{} has no source", row.id);
        }
    }

    #[test]
    fn what_is_never_answered_is_a_service_all_the_same() {
        let ports = Matrix::built_in("configmgr").unwrap().known_ports();
        for (transport, port, answers) in [
            (Transport::Udp, 9, false),
            (Transport::Udp, 547, true),
            (Transport::Tcp, 10_130, false),
        ] {
            assert!(ports.is_service(transport, port), "{transport}/{port}");
            assert_eq!(ports.answers(port), answers, "{transport}/{port}");
        }
        assert!(!ports.is_service(Transport::Tcp, 49_155), "dynamic ports are anybody's");
        assert!(!ports.is_service(Transport::Udp, 63_500), "nor is a range among them a sign");
        assert!(!ports.is_service(Transport::Udp, 68), "the side that asks for an address");
    }

    #[test]
    fn ranges_of_ports_are_read_as_they_are_written() {
        for text in ["389", "50000-50100", "1-65535"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
        assert_eq!("50000-50000".parse::<PortRange>().unwrap().to_string(), "50000");
        for wrong in ["", "-", "0", "65536", "50100-50000", "a-b", "1-2-3"] {
            let read = wrong.parse::<PortRange>();
            assert!(read.is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_narrow_role_leads_to_the_wider_ones() {
        let matrix = Matrix::built_in(DEFAULT_PROFILE).unwrap();
        let cas = matrix.role_index("cas").unwrap();
        let site_server = matrix.role_index("site-server").unwrap();
        assert_eq!(matrix.role_and_wider(cas), [cas, site_server]);
        assert_eq!(matrix.role_and_wider(site_server), [site_server]);
        let matrix = Matrix::built_in("configmgr").unwrap();
        let chain = matrix.role_and_wider(matrix.role_index("pxe-server").unwrap());
        let names: Vec<&str> = chain.iter().map(|role| &*matrix.roles[*role].name).collect();
        assert_eq!(names, ["pxe-server", "distribution-point", "site-system", "domain-member"]);
    }
}
