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

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use portmortem::capture::{FrameBatch, Reading, open};
use portmortem::flow::{FlowTable, Hearing, KnownPorts};
use portmortem::net::Transport;
use portmortem::packet::decode;
use portmortem::probe::{Announcement, CodeSet, Meaning, Signal};
use support::files::pcap;
use support::payload;
use support::scene::{Host, Scene, Tcp};

/// A field of tshark's, and what of a signal it shows.
struct Field {
    name: &'static str,
    /// The values that a signal has for it, as tshark writes them.
    of: fn(&Signal) -> Option<String>,
    /// Of what tshark shows only what is in frames where this field has one of these values; no
    /// value for all.
    among: (&'static str, &'static [&'static str]),
}

const ALL: (&str, &[&str]) = ("", &[]);

const FIELDS: &[Field] = &[
    Field { name: "dns.flags.rcode", of: |signal| number(signal, CodeSet::DnsRcode), among: ALL },
    Field {
        name: "kerberos.error_code",
        of: |signal| number(signal, CodeSet::Kerberos),
        among: ALL,
    },
    // Tickets within other protocols, and within requests, are not told.
    Field {
        name: "kerberos.msg_type",
        of: kerberos_type,
        among: ("kerberos.msg_type", &["10", "11", "12", "13", "30"]),
    },
    Field { name: "ldap.resultCode", of: |signal| number(signal, CodeSet::Ldap), among: ALL },
    Field { name: "nbns.flags.rcode", of: |signal| number(signal, CodeSet::Netbios), among: ALL },
    Field {
        name: "dhcp.option.dhcp",
        of: |signal| number(signal, CodeSet::Dhcp),
        among: ("dhcp.type", &["2"]),
    },
    Field { name: "ntp.stratum", of: stratum, among: ("ntp.flags.mode", &["2", "4"]) },
    Field { name: "tftp.opcode", of: tftp_request, among: ("tftp.opcode", &["1", "2"]) },
    Field { name: "dcerpc.cn_bind_to_uuid", of: called, among: ALL },
    Field { name: "dcerpc.cn_ack_result", of: |signal| half(signal, 16), among: ALL },
    Field { name: "dcerpc.cn_ack_reason", of: refused, among: ALL },
    Field {
        name: "dcerpc.cn_reject_reason",
        of: |signal| number(signal, CodeSet::RpcBindNak),
        among: ALL,
    },
    Field { name: "dcerpc.cn_status", of: |signal| number(signal, CodeSet::RpcStatus), among: ALL },
    Field { name: "epm.rc", of: |signal| number(signal, CodeSet::EndpointMapper), among: ALL },
    Field {
        name: "epm.proto.tcp_port",
        of: |signal| mapped(signal, Transport::Tcp),
        among: ("dcerpc.pkt_type", &["2"]),
    },
    Field {
        name: "epm.proto.udp_port",
        of: |signal| mapped(signal, Transport::Udp),
        among: ("dcerpc.pkt_type", &["2"]),
    },
    Field { name: "epm.proto.ip", of: mapped_address, among: ("dcerpc.pkt_type", &["2"]) },
    Field { name: "epm.proto.named_pipe", of: mapped_pipe, among: ("dcerpc.pkt_type", &["2"]) },
    Field {
        name: "dcom.dualstringarray.network_addr",
        of: bound,
        among: ("dcerpc.pkt_type", &["2"]),
    },
    // SMB's status is in requests too, where it means nothing.
    Field {
        name: "smb2.nt_status",
        of: |signal| number(signal, CodeSet::NtStatus),
        among: ("smb2.flags.response", RESPONSE),
    },
    Field {
        name: "http.response.code",
        of: |signal| number(signal, CodeSet::HttpStatus),
        among: ALL,
    },
    Field {
        name: "tls.alert_message.desc",
        of: |signal| number(signal, CodeSet::TlsAlert),
        among: ALL,
    },
    Field { name: "tls.handshake.extensions_server_name", of: server_name, among: ALL },
    Field { name: "tds.error.number", of: |signal| number(signal, CodeSet::SqlError), among: ALL },
    Field {
        name: "nbss.error_code",
        of: |signal| number(signal, CodeSet::NetbiosSession),
        among: ALL,
    },
];

/// A field of tshark's that counts as another one, which we give the same name: its own name, and
/// where it counts.
type Alias = (&'static str, &'static str, (&'static str, &'static [&'static str]));

const ALIASES: &[Alias] = &[("smb2.nt_status", "smb.nt_status", ("smb.flags.response", RESPONSE))];

/// How versions of tshark write that a message is a response.
const RESPONSE: &[&str] = &["1", "True"];

/// tshark's own list, and the ports of WSUS: it tells HTTP by the port.
const HTTP_PORTS: &str =
    "http.tcp.port:80,3128,3132,5985,8080,8088,11371,1900,2869,2710,8530,8531,10123";

/// Every field to ask tshark for, with the field that it counts as.
fn sources() -> impl Iterator<Item = Alias> {
    let aliases = ALIASES.iter().filter(|(name, ..)| wanted(name, "PORTMORTEM_PROBES")).copied();
    fields().map(|field| (field.name, field.name, field.among)).chain(aliases)
}

/// The name that a hello of TLS asks for.
fn server_name(signal: &Signal) -> Option<String> {
    match &signal.meaning {
        Meaning::Asked { subject } => subject.strip_prefix("TLS handshake ").map(str::to_owned),
        _ => None,
    }
}

/// The kind of a TFTP request: RFC 1350 5.
fn tftp_request(signal: &Signal) -> Option<String> {
    let Meaning::Asked { subject } = &signal.meaning else { return None };
    let kind = if subject.starts_with("read") { "1" } else { "2" };
    (signal.protocol == "TFTP").then(|| kind.to_owned())
}

/// The type of a Kerberos message: RFC 4120 5.10.
fn kerberos_type(signal: &Signal) -> Option<String> {
    let (subject, is_answer, is_error) =
        if let Meaning::Answered { subject, code, .. } = &signal.meaning {
            (subject, true, code.is_some())
        } else if let Meaning::Asked { subject } = &signal.meaning {
            (subject, false, false)
        } else {
            return None;
        };
    let kind = match (subject.starts_with("AS-REQ"), is_answer) {
        _ if is_error => "30",
        (true, false) => "10",
        (true, true) => "11",
        (false, false) => "12",
        (false, true) => "13",
    };
    (signal.protocol == "Kerberos").then(|| kind.to_owned())
}

/// The stratum of an NTP answer.
fn stratum(signal: &Signal) -> Option<String> {
    let Meaning::Answered { detail: Some(detail), .. } = &signal.meaning else { return None };
    let digits = detail.strip_prefix("stratum ").filter(|_| signal.protocol == "NTP")?;
    digits.split(|letter: char| !letter.is_ascii_digit()).next().map(str::to_owned)
}

/// Why tshark shows nothing: which SASL mechanism signs is only told by a bind before the capture
/// began, but the buffer begins with a token of RFC 4121, and plain messages follow it.
const UNSEEN_BIND: &str = "the bind was not captured, so tshark does not open the SASL buffer";

/// Why tshark shows nothing: it takes an IPv6 payload length of 0, as large sends leave it.
const LARGE_SEND: &str = "tshark 4.0 calls an IPv6 packet of length 0 malformed";

/// Why we show nothing: the same packet came twice.
const COPY: &str = "the same packet captured twice counts once";

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
const RMSOD_2: &str = "msprotod__MS-RMSOD_Example2_Win2016_X64_Win10_X64_Domain_v-yvrich.cap";
const RMSOD_4: &str = "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap";
const WMOD_6: &str = "msprotod__MS-WMOD_Example6_WS2016_X64_Win10_X64_Domain_Hagala.cap";
const DECRYPTS: &str = "the capture holds the keys, and tshark decrypts";

const NAMES_ITSELF: &str =
    "a connectionless call names its interface itself: tshark shows that as dcerpc.dg_if_id";

/// Differences that were looked at: capture, field, frame, and who is right. A frame of 0 stands
/// for the whole capture.
const EXPLAINED: &[(&str, &str, u64, &str)] = &[
    ("suricata__smb-filename.pcap", "smb2.nt_status", 91, "late: the initiator has reset the flow"),
    ("derived__suricata_smb-filename.netmon1.cap", "smb2.nt_status", 91, "the same frames"),
    (
        "msprotod__MS-GPOD_Example2_Win2016_X64_Win10_X64.cap",
        "smb2.nt_status",
        352,
        "the card splits the segment, so IPv6 tells a length of 0, which tshark takes at its word",
    ),
    (
        "wireshark__smb311-lz77-lz77huff-lznt1.pcap.gz",
        "smb2.nt_status",
        0,
        "compressed messages, which are not examined",
    ),
    // tshark is told not to put bodies together, and then takes a response for a continuation
    // where bytes before it are missing for it. Each of these frames begins with a status line.
    (RMSOD_2, "http.response.code", 0, "tshark lost the place: the card splits segments"),
    (RMSOD_4, "http.response.code", 0, "tshark lost the place: the card splits segments"),
    (WMOD_6, "http.response.code", 0, "tshark lost the place: the card splits segments"),
    (
        "zeek__erspan.pcap",
        "http.response.code",
        0,
        "IP fragments: the first holds the whole head, tshark shows it at the last",
    ),
    ("wireshark__challenge01_ooo_stream.pcapng.gz", "http.response.code", 0, DECRYPTS),
    ("wireshark__challenge01_ooo_stream.pcapng.gz", "tls.alert_message.desc", 0, DECRYPTS),
    ("wireshark__tls12-dsb.pcapng", "http.response.code", 0, DECRYPTS),
    ("wireshark__tls12-dsb.pcapng", "tls.alert_message.desc", 0, DECRYPTS),
    (
        "ndpi__rdp.pcap",
        "tls.handshake.extensions_server_name",
        7,
        "a hello after RDP's negotiation, which tshark takes for more of RDP",
    ),
    (
        "petitpotam__UnPatchedDCOpenFileRaw.pcapng",
        "tls.handshake.extensions_server_name",
        2536,
        "QUIC, which is not examined",
    ),
    (
        "msprotod__MS-ADOD_Example2_18_WS2019v2004_X64_Win10v2004_X64_Domain_ManageAccessControlOnDirectoryObjects.pcapng",
        "ldap.resultCode",
        5605,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-ADOD_Example2_18_WS2019v2004_X64_Win10v2004_X64_Domain_ManageAccessControlOnDirectoryObjects.pcapng",
        "ldap.resultCode",
        5704,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-ADOD_Example2_18_WS2019v2004_X64_Win10v2004_X64_Domain_ManageAccessControlOnDirectoryObjects.pcapng",
        "ldap.resultCode",
        5709,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-ADOD_Example2_18_WS2019v2004_X64_Win10v2004_X64_Domain_ManageAccessControlOnDirectoryObjects.pcapng",
        "ldap.resultCode",
        5712,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-ADOD_Example2_18_WS2019v2004_X64_Win10v2004_X64_Domain_ManageAccessControlOnDirectoryObjects.pcapng",
        "ldap.resultCode",
        5715,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-ADOD_Example2_18_WS2019v2004_X64_Win10v2004_X64_Domain_ManageAccessControlOnDirectoryObjects.pcapng",
        "ldap.resultCode",
        5762,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-ADOD_Example2_18_Win2016_X64_Win2016_X64_Domain_ManageAccessControlOnDirectoryObjects.cap",
        "ldap.resultCode",
        78,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-ADOD_Example2_18_Win2016_X64_Win2016_X64_Domain_ManageAccessControlOnDirectoryObjects.cap",
        "ldap.resultCode",
        80,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-ADOD_Example2_18_Win2016_X64_Win2016_X64_Domain_ManageAccessControlOnDirectoryObjects.cap",
        "ldap.resultCode",
        99,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-ADOD_Example2_18_Win2016_X64_Win2016_X64_Domain_ManageAccessControlOnDirectoryObjects.cap",
        "ldap.resultCode",
        101,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-ADOD_Example2_18_Win2016_X64_Win2016_X64_Domain_ManageAccessControlOnDirectoryObjects.cap",
        "ldap.resultCode",
        103,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-ADOD_Example2_18_Win2016_X64_Win2016_X64_Domain_ManageAccessControlOnDirectoryObjects.cap",
        "ldap.resultCode",
        108,
        UNSEEN_BIND,
    ),
    ("msprotod__MS-GPOD_Example2_Win2016_X64_Win10_X64.cap", "ldap.resultCode", 140, LARGE_SEND),
    ("msprotod__MS-GPOD_Example2_Win2016_X64_Win10_X64.cap", "ldap.resultCode", 191, LARGE_SEND),
    (
        "msprotod__MS-RMSOD_Example2_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "ldap.resultCode",
        41,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-RMSOD_Example2_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "ldap.resultCode",
        44,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-RMSOD_Example2_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "ldap.resultCode",
        103,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-RMSOD_Example2_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "ldap.resultCode",
        106,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-RMSOD_Example2_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "ldap.resultCode",
        134,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-RMSOD_Example2_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "ldap.resultCode",
        137,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "ldap.resultCode",
        114,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "ldap.resultCode",
        117,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "ldap.resultCode",
        175,
        UNSEEN_BIND,
    ),
    (
        "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "ldap.resultCode",
        178,
        UNSEEN_BIND,
    ),
    ("petitpotam__UnPatchedDCOpenFileRaw.pcapng", "ldap.resultCode", 1058, UNSEEN_BIND),
    ("msprotod__MS-GPOD_Example2_Win2016_X64_Win10_X64.cap", "kerberos.msg_type", 91, LARGE_SEND),
    ("msprotod__MS-GPOD_Example2_Win2016_X64_Win10_X64.cap", "kerberos.msg_type", 102, LARGE_SEND),
    ("msprotod__MS-GPOD_Example2_Win2016_X64_Win10_X64.cap", "kerberos.msg_type", 119, LARGE_SEND),
    ("msprotod__MS-GPOD_Example2_Win2016_X64_Win10_X64.cap", "kerberos.msg_type", 408, LARGE_SEND),
    ("msprotod__MS-GPOD_Example2_Win2016_X64_Win10_X64.cap", "kerberos.msg_type", 419, LARGE_SEND),
    ("msprotod__MS-GPOD_Example2_Win2016_X64_Win10_X64.cap", "kerberos.msg_type", 487, LARGE_SEND),
    ("msprotod__MS-GPOD_Example2_Win2016_X64_Win10_X64.cap", "kerberos.msg_type", 496, LARGE_SEND),
    (
        "msprotod__MS-RMSOD_Example2_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "kerberos.msg_type",
        64,
        LARGE_SEND,
    ),
    (
        "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "kerberos.msg_type",
        17,
        LARGE_SEND,
    ),
    (
        "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "kerberos.msg_type",
        41,
        LARGE_SEND,
    ),
    (
        "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "kerberos.msg_type",
        137,
        LARGE_SEND,
    ),
    (
        "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "dns.flags.rcode",
        5,
        COPY,
    ),
    (
        "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "dns.flags.rcode",
        203,
        COPY,
    ),
    (
        "msprotod__MS-RMSOD_Example4_Win2016_X64_Win10_X64_Domain_v-yvrich.cap",
        "dns.flags.rcode",
        204,
        COPY,
    ),
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
        47,
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

/// The number of a code of this set.
fn number(signal: &Signal, set: CodeSet) -> Option<String> {
    let Meaning::Answered { code: Some(code), .. } = &signal.meaning else { return None };
    (code.set == set).then(|| code.number.to_string())
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

/// A capture of what no real one holds: a refused login to SQL Server, a refused NetBIOS session.
fn made() -> PathBuf {
    let mut scene = Scene::new();
    let (site, other) = (Host::new("10.0.0.5"), Host::new("10.0.0.6"));
    let mut sql = Tcp::new(site, 50_000, other, 1433);
    scene.handshake(&mut sql);
    scene.exchange(&mut sql, &payload::tds_pre_login(18), &payload::tds_pre_login(4));
    let refusal = payload::tds_error(18456, "Login failed for user 'sa'.");
    scene.exchange(&mut sql, &payload::tds_login("sa"), &refusal);
    scene.close(&mut sql);
    let mut netbios = Tcp::new(site, 50_001, other, 139);
    scene.handshake(&mut netbios);
    scene.exchange(&mut netbios, &payload::netbios_request(), &payload::netbios_refusal());
    scene.close(&mut netbios);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("made_refusals.pcap");
    fs::write(&path, pcap::write(&scene, pcap::Form::USUAL)).unwrap();
    path
}

/// What tshark prints, by field; `None` where it cannot read the capture.
fn theirs(path: &Path) -> Option<BTreeMap<&'static str, Values>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-o", "http.desegment_body:FALSE", "-o", HTTP_PORTS, "-r"]).arg(path);
    // What an ICMP error quotes, nobody said.
    command.args([
        "-Y",
        "!icmp && !icmpv6",
        "-T",
        "fields",
        "-E",
        "occurrence=a",
        "-E",
        "aggregator=|",
    ]);
    command.args(["-e", "frame.number"]);
    // A field that is named twice is printed once.
    let mut columns: Vec<&str> =
        sources().flat_map(|(_, column, (other, _))| [column, other]).collect();
    columns.retain(|column| !column.is_empty());
    columns.sort_unstable();
    columns.dedup();
    for column in &columns {
        command.args(["-e", column]);
    }
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found: BTreeMap<&str, Values> = BTreeMap::new();
    for line in text.lines() {
        let mut cells = line.split('\t');
        let frame = cells.next()?.parse().ok()?;
        let cells: BTreeMap<&str, &str> = columns.iter().copied().zip(cells).collect();
        for (name, column, (other, wanted)) in sources() {
            let Some(cell) = cells.get(column) else { continue };
            let is_wanted = |value: &str| wanted.iter().any(|wanted| plain(wanted) == plain(value));
            let fits = |value: &str| match cells.get(other) {
                None => true,
                // Where the field itself is looked at, each of its values counts alone.
                Some(_) if other == column => is_wanted(value),
                Some(cell) => cell.split('|').any(is_wanted),
            };
            let values = cell.split('|').filter(|value| !value.is_empty());
            for value in values.filter(|value| fits(value) && is_wanted_of(name, value)) {
                let values = found.entry(name).or_default();
                *values.entry((frame, plain(value))).or_default() += 1;
            }
        }
    }
    // A capture that is cut off is read up to there, and tshark says so by its exit status.
    (output.status.success() || !text.is_empty()).then_some(found)
}

/// Whether a value is one that we read too.
fn is_wanted_of(field: &str, value: &str) -> bool {
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
    let mut table = FlowTable::new(KnownPorts::default(), 60_000_000_000).hearing(Hearing::Signals);
    let mut spare = FrameBatch::default();
    while let Some(batch) = reader.next_batch(spare) {
        for packet in batch.frames().filter_map(|frame| decode(&frame).ok()) {
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
    let mut captures = captures();
    let tshark = Command::new("tshark").arg("--version").output();
    if captures.is_empty() || tshark.is_err() {
        // Not `eprintln`, which the test runner keeps to itself where a test passes.
        std::io::stderr().write_all(b"skipped: the captures or tshark are not here\n").unwrap();
        return;
    }
    captures.push(made());
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
