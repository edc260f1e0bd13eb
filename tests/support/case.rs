//! Reads what is expected of a case: `testdata/<case>/case.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A case: its captures, and what a person says the program must find in them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Name of its folder.
    #[serde(skip)]
    pub name: String,
    /// Its captures, sorted by name.
    #[serde(skip)]
    pub captures: Vec<PathBuf>,

    /// What the case is for.
    pub purpose: String,
    /// Where its captures come from.
    pub source: String,
    /// Exit status of `analyze`.
    pub exit: i32,
    /// Frames that can be read, where that is the same in every capture.
    pub frames: Option<u64>,
    /// Titles that must be among those of the findings.
    #[serde(default)]
    pub findings: Vec<String>,
    /// All findings in order of rank, as "error dropped"; with "< 1" what finding 1 explains.
    pub ranked: Option<Vec<String>>,
    /// Why the captures do not all give the same report, where they do not.
    pub reports_differ: Option<String>,
    /// Roles, given with `--role`.
    #[serde(default)]
    pub roles: BTreeMap<String, Vec<String>>,
    /// Names of hosts, by address.
    #[serde(default)]
    pub names: BTreeMap<String, Vec<String>>,
    /// Remarks stored in the capture.
    #[serde(default)]
    pub comments: Vec<Comment>,
    /// All flows, in order of their first frame.
    #[serde(default, rename = "flow")]
    pub flows: Vec<Flow>,
    /// All outcomes but `not_exercised`, which all other cells must have.
    #[serde(default, rename = "outcome")]
    pub outcomes: Vec<Cell>,
}

/// A flow; what is left out is not looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    pub transport: String,
    pub initiator: String,
    pub responder: String,
    pub class: String,
    pub verdict: String,
    /// Frames that must be among the evidence; the first is the first of the flow.
    pub frames: Vec<u64>,
    pub confidence: Option<String>,
    pub origin: Option<String>,
    pub closing: Option<String>,
    pub encapsulation: Option<Vec<String>>,
    /// Of the initiator and of the responder.
    pub packets: Option<[u64; 2]>,
    /// Payload bytes, of the initiator and of the responder.
    pub bytes: Option<[u64; 2]>,
    pub duplicates: Option<u64>,
    /// A part of the explanation.
    pub told: Option<String>,
    /// Name of the service.
    pub service_name: Option<String>,
    /// Name of the interface of remote procedure calls.
    pub interface: Option<String>,
    /// Frame that announced the port.
    pub announced_frame: Option<u64>,
    /// What it announces, as "7 DRSUAPI tcp/49158 10.1.0.10".
    #[serde(default)]
    pub announced: Vec<String>,
    pub service: Option<Service>,
}

/// What the application above a flow answered; what is left out is not looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub outcome: String,
    pub code: Option<String>,
    pub frame: Option<u64>,
}

/// What becomes of a requirement between two hosts.
#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    pub from: String,
    pub to: String,
    pub requirement: String,
    pub outcome: String,
}

/// A remark on a frame, or without one on the capture.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Comment {
    pub frame: Option<u64>,
    pub text: String,
}

/// The folder of cases.
pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// All cases, sorted by name: every folder of `testdata`.
pub fn all() -> Vec<Case> {
    let mut folders: Vec<PathBuf> = fs::read_dir(testdata())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders.iter().map(|folder| read(folder)).collect()
}

fn read(folder: &Path) -> Case {
    let path = folder.join("case.toml");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    let mut case: Case =
        toml::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    folder.file_name().unwrap().to_str().unwrap().clone_into(&mut case.name);
    case.captures = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name() != Some("case.toml".as_ref()))
        .collect();
    case.captures.sort();
    assert!(!case.captures.is_empty(), "{} holds no capture", folder.display());
    case
}

impl Case {
    /// The roles as arguments.
    pub fn role_arguments(&self) -> Vec<String> {
        self.roles
            .iter()
            .flat_map(|(role, hosts)| ["--role".into(), format!("{role}={}", hosts.join(","))])
            .collect()
    }
}
