//! Compares what the probes read with what tshark's fields print for the same frames, over the
//! real captures, where both are present.
//!
//! `cargo test --release --test probes -- --nocapture` prints the agreement of each field and what
//! differs. `PORTMORTEM_PROBES=dns,ldap` looks at fields that begin so, `PORTMORTEM_CAPTURES=smb`
//! at captures whose names hold the word.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use portmortem::capture::{FrameBatch, Reading, open};
use portmortem::flow::{FlowTable, KnownPorts};
use portmortem::net::Transport;
use portmortem::packet::decode;
use portmortem::probe::{Announcement, CodeSet, Meaning, Signal};

/// A field of tshark's, and what of a signal it shows.
struct Field {
    name: &'static str,
    /// The values that a signal has for it, as tshark writes them.
    of: fn(&Signal) -> Option<String>,
}

const FIELDS: &[Field] = &[
    Field { name: "dns.flags.rcode", of: |signal| number(signal, CodeSet::DnsRcode) },
    Field { name: "dcerpc.cn_bind_to_uuid", of: called },
    Field { name: "dcerpc.cn_ack_result", of: |signal| half(signal, 16) },
    Field { name: "dcerpc.cn_ack_reason", of: refused },
    Field { name: "dcerpc.cn_reject_reason", of: |signal| number(signal, CodeSet::RpcBindNak) },
    Field { name: "dcerpc.cn_status", of: |signal| number(signal, CodeSet::RpcStatus) },
    Field { name: "epm.rc", of: |signal| number(signal, CodeSet::EndpointMapper) },
    Field { name: "epm.proto.tcp_port", of: |signal| mapped(signal, Transport::Tcp) },
    Field { name: "epm.proto.udp_port", of: |signal| mapped(signal, Transport::Udp) },
    Field { name: "epm.proto.ip", of: mapped_address },
    Field { name: "epm.proto.named_pipe", of: mapped_pipe },
    Field { name: "dcom.dualstringarray.network_addr", of: bound },
];

/// Values of a field that count only in frames where another field has one of these values:
/// questions hold towers too, and places that only a question names are announced by nobody.
const ONLY: &[(&str, &str, &[&str])] = &[
    ("epm.proto.tcp_port", "dcerpc.pkt_type", &["2"]),
    ("epm.proto.udp_port", "dcerpc.pkt_type", &["2"]),
    ("epm.proto.ip", "dcerpc.pkt_type", &["2"]),
    ("epm.proto.named_pipe", "dcerpc.pkt_type", &["2"]),
    ("dcom.dualstringarray.network_addr", "dcerpc.pkt_type", &["2"]),
];

fn called(signal: &Signal) -> Option<String> {
    match &signal.meaning {
        Meaning::Calls { uuid } => Some(uuid.to_string()),
        _ => None,
    }
}

/// Half of the code of an answer to a bind.
fn half(signal: &Signal, shift: u32) -> Option<String> {
    match &signal.meaning {
        Meaning::Answered { code: Some(code), .. } if code.set == CodeSet::RpcContext => {
            Some((code.number >> shift & 0xffff).to_string())
        }
        _ => None,
    }
}

/// Why an interface was refused. Where none was, tshark shows a zero or features.
fn refused(signal: &Signal) -> Option<String> {
    half(signal, 16).filter(|result| ["1", "2"].contains(&result.as_str()))?;
    half(signal, 0)
}

fn announced(signal: &Signal) -> Option<&Announcement> {
    match &signal.meaning {
        Meaning::Announced(announcement) => Some(announcement),
        _ => None,
    }
}

fn mapped(signal: &Signal, transport: Transport) -> Option<String> {
    let place = announced(signal)?;
    let is_plain = place.uuid.is_some() && place.name.is_none();
    (is_plain && place.transport == Some(transport)).then(|| place.port.to_string())
}

fn mapped_address(signal: &Signal) -> Option<String> {
    let place = announced(signal)?;
    place.uuid?;
    Some(place.address?.to_string())
}

fn mapped_pipe(signal: &Signal) -> Option<String> {
    let place = announced(signal)?;
    place.name.clone().filter(|_| place.uuid.is_some() && place.transport.is_none())
}

/// A string binding with its port.
fn bound(signal: &Signal) -> Option<String> {
    let place = announced(signal).filter(|place| place.uuid.is_none())?;
    let host = place.address.map(|address| address.to_string()).or(place.name.clone())?;
    Some(format!("{host}[{}]", place.port))
}

/// Differences that were looked at: capture, field, frame, and who is right. A frame of 0 stands
/// for the whole capture.
const EXPLAINED: &[(&str, &str, u64, &str)] = &[
    ("capture.pcap", "dcerpc.cn_bind_to_uuid", 37, NAMES_ITSELF),
    (
        "msprotod__MS-RMSOD_Example2_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "dcerpc.cn_bind_to_uuid",
        11,
        LARGE_SEND,
    ),
    (
        "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "dcerpc.cn_bind_to_uuid",
        86,
        LARGE_SEND,
    ),
    (
        "msprotod__MS-WMOD_Example4_WS2016_X64_Win10_X64_Domain_Hagala.cap",
        "dcerpc.cn_bind_to_uuid",
        29,
        LARGE_SEND,
    ),
];

const NAMES_ITSELF: &str =
    "a connectionless call names its interface itself: tshark shows that as dcerpc.dg_if_id";

const LARGE_SEND: &str = "the IPv6 length is 0, as cards that split the segment leave it: tshark 4.0 \
                          gives the packet up, and the next acknowledgment covers the bind";

/// The number of a code of this set.
fn number(signal: &Signal, set: CodeSet) -> Option<String> {
    match &signal.meaning {
        Meaning::Answered { code: Some(code), .. } if code.set == set => {
            Some(code.number.to_string())
        }
        _ => None,
    }
}

/// Frame and value, each as often as it occurs.
type Values = BTreeMap<(u64, String), usize>;

/// Cases of `testdata` that are read too, for what no real capture here shows.
const MADE: &[&str] = &["rpc-answers", "rpc-dynamic-dropped"];

fn wanted(name: &str, variable: &str) -> bool {
    env::var(variable).is_ok_and(|words| words.split(',').any(|word| name.contains(word)))
        || env::var(variable).is_err()
}

fn fields() -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(|field| wanted(field.name, "PORTMORTEM_PROBES"))
}

fn only() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static [&'static str])> {
    ONLY.iter().filter(|(name, ..)| fields().any(|field| field.name == *name))
}

fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(entries) = fs::read_dir(root.join("../shared/captures/open")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // Cases that real captures do not show.
    paths.extend(MADE.iter().map(|case| root.join("testdata").join(case).join("capture.pcap")));
    paths.retain(|path| wanted(path.to_str().unwrap(), "PORTMORTEM_CAPTURES"));
    paths.sort();
    paths
}

/// What tshark prints, by field; `None` where it cannot read the capture.
fn theirs(path: &Path) -> Option<BTreeMap<&'static str, Values>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-o", "http.desegment_body:FALSE", "-r"]).arg(path);
    command.args(["-T", "fields", "-E", "occurrence=a", "-E", "aggregator=|"]);
    command.args(["-e", "frame.number"]);
    for field in fields() {
        command.args(["-e", field.name]);
    }
    // A field that is asked for twice is printed once.
    let others: BTreeSet<&str> = only().map(|(_, other, _)| *other).collect();
    for other in &others {
        command.args(["-e", other]);
    }
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found: BTreeMap<&str, Values> = BTreeMap::new();
    for line in text.lines() {
        let mut cells = line.split('\t');
        let frame = cells.next()?.parse().ok()?;
        let cells: Vec<&str> = cells.collect();
        let beside = cells.get(fields().count()..).unwrap_or_default();
        let beside: BTreeMap<&str, &str> =
            others.iter().copied().zip(beside.iter().copied()).collect();
        for (field, cell) in fields().zip(&cells) {
            let unfit = only().any(|(name, other, values)| {
                let found = beside.get(other).copied().unwrap_or_default();
                *name == field.name && !found.split('|').any(|it| values.contains(&it))
            });
            if unfit {
                continue;
            }
            let counts = |value: &&str| !value.is_empty() && is_wanted(field.name, value);
            for value in cell.split('|').filter(counts) {
                let values = found.entry(field.name).or_default();
                *values.entry((frame, plain(value))).or_default() += 1;
            }
        }
    }
    // Of a capture that is cut off tshark prints what there is, and complains.
    (output.status.success() || !text.is_empty()).then_some(found)
}

/// Whether a value is one that we read too.
fn is_wanted(field: &str, value: &str) -> bool {
    match field {
        // What names no port leads nowhere.
        "dcom.dualstringarray.network_addr" => value.ends_with(']'),
        // Ports of calls within a host are told the same way.
        "epm.proto.named_pipe" => value.starts_with("\\pipe\\") || value.starts_with("\\PIPE\\"),
        // Stands for the address that was called.
        "epm.proto.ip" => value != "0.0.0.0",
        _ => true,
    }
}

/// A number without its base, as some versions of tshark write it; else the text itself.
fn plain(value: &str) -> String {
    match value.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16)) {
        Some(Ok(number)) => number.to_string(),
        _ => value.to_ascii_lowercase(),
    }
}

/// What the probes say, by field.
fn ours(path: &Path) -> BTreeMap<&'static str, Values> {
    let mut found: BTreeMap<&str, Values> = BTreeMap::new();
    let Ok(mut reader) = open(path, "capture", Reading::default()) else { return found };
    let mut table = FlowTable::new(KnownPorts::default(), 60_000_000_000).keeping_signals();
    let mut spare = FrameBatch::default();
    while let Some(batch) = reader.next_batch(spare) {
        for packet in batch.frames().filter_map(|frame| decode(frame).ok()) {
            table.observe(&packet);
        }
        spare = batch;
    }
    let (flows, _) = table.into_flows();
    for signal in flows.iter().filter_map(|flow| flow.heard.as_ref()?.signals.as_ref()).flatten() {
        for field in fields() {
            if let Some(value) = (field.of)(signal) {
                let values = found.entry(field.name).or_default();
                *values.entry((signal.frame.0, plain(&value))).or_default() += 1;
            }
        }
    }
    found
}

/// How two sides agree on a field.
#[derive(Default)]
struct Agreement {
    agree: usize,
    explained: usize,
    differences: Vec<String>,
}

fn compare(capture: &str, agreements: &mut BTreeMap<&'static str, Agreement>, path: &Path) {
    let Some(theirs) = theirs(path) else { return };
    let ours = ours(path);
    let nothing = Values::new();
    for field in fields() {
        let theirs = theirs.get(field.name).unwrap_or(&nothing);
        let ours = ours.get(field.name).unwrap_or(&nothing);
        let agreement = agreements.entry(field.name).or_default();
        let keys: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
        for key in keys {
            let (their, our) =
                (theirs.get(key).copied().unwrap_or(0), ours.get(key).copied().unwrap_or(0));
            agreement.agree += their.min(our);
            let explained = EXPLAINED.iter().any(|(of, name, frame, _)| {
                *of == capture && *name == field.name && (*frame == 0 || *frame == key.0)
            });
            if their != our && explained {
                agreement.explained += their.abs_diff(our);
            } else {
                for _ in 0..their.abs_diff(our) {
                    let who = if their > our { "tshark only" } else { "only here" };
                    let line =
                        format!("{capture} frame {} {} = {}: {who}", key.0, field.name, key.1);
                    agreement.differences.push(line);
                }
            }
        }
    }
}

#[test]
fn what_the_probes_read_is_what_tshark_reads() {
    let captures = captures();
    let tshark = Command::new("tshark").arg("--version").output();
    if captures.is_empty() || tshark.is_err() {
        eprintln!("skipped: the captures or tshark are not here");
        return;
    }
    let left = Mutex::new(captures.iter());
    let all: Mutex<BTreeMap<&'static str, Agreement>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                loop {
                    let Some(path) = left.lock().unwrap().next() else { return };
                    let mut found = BTreeMap::new();
                    compare(path.file_name().unwrap().to_str().unwrap(), &mut found, path);
                    let mut all = all.lock().unwrap();
                    for (name, agreement) in found {
                        let sum = all.entry(name).or_default();
                        sum.agree += agreement.agree;
                        sum.explained += agreement.explained;
                        sum.differences.extend(agreement.differences);
                    }
                }
            });
        }
    });
    let mut poor = Vec::new();
    for (name, mut agreement) in all.into_inner().unwrap() {
        agreement.differences.sort();
        let differ = agreement.differences.len();
        let sum = agreement.agree + differ;
        #[expect(clippy::cast_precision_loss, reason = "counts of frames")]
        let share = agreement.agree as f64 / sum.max(1) as f64;
        println!(
            "{name}: {share:.4} ({} agree, {differ} differ, {} more are explained)",
            agreement.agree, agreement.explained
        );
        for line in agreement.differences.iter().take(40) {
            println!("  {line}");
        }
        if share < 0.99 || sum == 0 && env::var("PORTMORTEM_CAPTURES").is_err() {
            poor.push(name);
        }
    }
    assert!(poor.is_empty(), "agree on less than 0.99, or on nothing: {poor:?}");
}
