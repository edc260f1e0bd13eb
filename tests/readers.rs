//! Reads real captures, where the folder with them is present, and compares what is read with
//! what Wireshark's capinfos and sha256sum say of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use portmortem::capture::{CaptureSummary, Error, FrameBatch, Reading, Severity, open};

/// Where the captures are; `None`, said aloud, where they are not.
fn captures() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    if folder.join("INDEX.tsv").is_file() {
        Some(folder)
    } else {
        // Not `eprintln`, which the test runner keeps to itself where a test passes.
        let line = format!("skipped: the captures are not here ({})\n", folder.display());
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        None
    }
}

/// Frames given, and what is said of the capture.
fn read(path: &Path) -> Result<(u64, CaptureSummary), Error> {
    let mut reader = open(path, "capture", Reading::default())?;
    let mut frames = 0;
    let mut spare = FrameBatch::default();
    while let Some(batch) = reader.next_batch(spare) {
        for frame in batch.frames() {
            frames += 1;
            assert_eq!(frame.number.0, frames, "{}", path.display());
        }
        spare = batch;
    }
    Ok((frames, reader.finish()))
}

/// Files of which we give more frames than capinfos 4.0.17 counts, and why.
const COUNTED_OTHERWISE: [(&str, u64, &str); 7] = [
    ("airbusetl__AMSITrace.etl", 0, "Wireshark takes the event trace for an MPEG film"),
    ("gopacket__be_test901.pcapng", 2, "a section of version 2.0 is left out, the next is read"),
    ("gopacket__le_test901.pcapng", 2, "a section of version 2.0 is left out, the next is read"),
    ("libpcap__dsa.pcap", 8, "Wireshark does not know its link type"),
    (
        "pcapplusplus__crash-pcapng-epb-unbounded-length",
        1,
        "a packet is longer than its block: it keeps its number",
    ),
    ("pcapnggen__be_test202.pcapng", 11, "capinfos leaves out three custom blocks, tshark not"),
    ("pcapnggen__le_test202.pcapng", 11, "capinfos leaves out three custom blocks, tshark not"),
];

/// Files that cannot be read, and a word of what is said of them.
const REFUSED: [(&str, &str); 2] = [
    ("libpcap__pcap-invalid-version-1.pcap", "version 1.4"),
    ("libpcap__pcapng-invalid-vers-2.pcapng", "version 1.1"),
];

/// What is refused, in the order of the list.
fn refusal(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(file, _)| *file == name).map(|(_, word)| *word)
}

#[test]
fn frames_and_digests_are_those_of_capinfos_and_sha256sum() {
    let Some(folder) = captures() else { return };
    let index = fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let mut lines = index.lines();
    let titles: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let column = |title: &str| titles.iter().position(|it| *it == title).unwrap();
    let (file, place) = (column("file"), column("folder"));
    let (packets, bytes, sha256) = (column("packets"), column("bytes"), column("sha256"));
    let mut compared = 0;
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let name = cells[file];
        let path = folder.join(cells[place]).join(name);
        match read(&path) {
            Err(error) => {
                let word = refusal(name).unwrap_or_else(|| panic!("{name}: {error}"));
                assert!(error.to_string().contains(word), "{name}: {error}");
            }
            Ok((frames, summary)) => {
                let further = COUNTED_OTHERWISE.iter().find(|(file, ..)| *file == name);
                let expected = further.map_or_else(
                    || cells[packets].parse().unwrap_or_else(|_| panic!("{name}: no count")),
                    |(_, frames, _)| *frames,
                );
                assert_eq!(frames, expected, "{name}");
                assert_eq!(summary.frames, expected, "{name}");
                assert_eq!(summary.bytes.to_string(), cells[bytes], "{name}");
                assert_eq!(summary.sha256.as_deref(), Some(cells[sha256]), "{name}");
                compared += 1;
            }
        }
    }
    assert!(compared > 150, "{compared} captures compared");
}

#[test]
fn captures_that_were_cut_off_say_so_and_nothing_worse() {
    let Some(folder) = captures() else { return };
    // The files that tshark calls cut short in the middle of a packet.
    for (name, frames) in [
        ("derived__otrf_getsession.cut200001.pcap", 258),
        ("otrf__covenant_psremoting_command.cap", 153),
        ("otrf__covenant_sharpsc_create_dcerpc_smb_svcctl.cap", 253),
        ("otrf__covenant_sharpsc_start_dcerpc_smb_svcctl.cap", 187),
        ("scapy__bad_rsn_parsing_overrides_ssid.pcap", 1),
    ] {
        let (read, summary) = read(&folder.join("open").join(name)).unwrap();
        assert_eq!(read, frames, "{name}");
        let [problem] = &summary.problems[..] else { panic!("{name}: {:?}", summary.problems) };
        assert_eq!(problem.severity, Severity::Warning, "{name}");
        assert!(problem.message.contains("was probably stopped while writing"), "{name}");
    }
}

#[test]
fn every_variant_of_a_format_gives_the_same_seven_frames() {
    let Some(folder) = captures() else { return };
    // The variants were all made of the seven frames of tiny.pcap.
    for name in [
        "tiny.pcap",
        "tiny_nm1.cap",
        "tiny_nm2.cap",
        "tiny_ns_be.pcap",
        "v_aix.pcap",
        "v_fcs.pcap",
        "v_modified_be.pcap",
        "v_modified_le.pcap",
        "v_nokia.pcap",
        "v_swaplen.pcap",
    ] {
        let (frames, summary) = read(&folder.join("made").join(name)).unwrap();
        assert_eq!(frames, 7, "{name}");
        assert_eq!(summary.problems, [], "{name}");
    }
    for (name, frames) in [
        ("syn_21.cap", 10),
        ("syn_22.cap", 10),
        ("syn_23.cap", 10),
        ("mixed.pcapng", 19),
        ("v_sections.pcapng", 21),
    ] {
        assert_eq!(read(&folder.join("made").join(name)).unwrap().0, frames, "{name}");
    }
    assert_eq!(read(&folder.join("made/tiny.k12.txt")).unwrap().0, 7);
}

/// Frames by capinfos; `None` where it is not installed, or does not know the file.
fn frames_by_capinfos(path: &Path) -> Option<u64> {
    let output = Command::new("capinfos").args(["-c", "-M", "-T"]).arg(path).output().ok()?;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    table.lines().nth(1)?.split('\t').nth(1)?.parse().ok()
}

#[test]
fn every_file_of_every_folder_is_read_whole_or_named() {
    let Some(captures) = captures() else { return };
    // What stands beside the captures and is none.
    let beside = ["EXPECTED.tsv"];
    let (mut read_whole, mut compared) = (0, 0);
    for folder in ["etl", "lab", "made", "open"] {
        for entry in fs::read_dir(captures.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            match read(&path) {
                Err(error) if beside.contains(&name) => {
                    assert!(error.is_no_capture(), "{name}: {error}");
                }
                Err(error) => assert!(!error.is_no_capture(), "{name}: {error}"),
                Ok((frames, summary)) => {
                    assert_eq!(frames, summary.frames, "{name}");
                    read_whole += 1;
                    let format = summary.format.unwrap_or_else(|| panic!("{name}: no format"));
                    let known = ["pcap", "Network Monitor", "snoop"];
                    let by_capinfos = known.iter().any(|known| format.contains(known));
                    let listed = folder == "open";
                    if by_capinfos
                        && !listed
                        && let Some(expected) = frames_by_capinfos(&path)
                    {
                        assert_eq!(frames, expected, "{name}");
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(read_whole > 250, "{read_whole} captures read");
    let line = format!("{read_whole} captures read, {compared} of them compared with capinfos\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

#[test]
fn each_packet_of_pktmon_is_read_once() {
    let Some(folder) = captures() else { return };
    // Counted, with the times, by a program that was written for it: 114 events, two of each of 19
    // packets received and four of each of 19 sent.
    let (frames, summary) = read(&folder.join("etl/demikernel_d63bc8dc.etl")).unwrap();
    assert_eq!(frames, 38);
    let nanoseconds = |time: Option<portmortem::net::Timestamp>| time.unwrap().as_nanoseconds();
    // 2024-06-10 20:18:35.4891721 and 20:18:53.9074185 UTC.
    assert_eq!(nanoseconds(summary.first_seen), 1_718_050_715_489_172_100);
    assert_eq!(nanoseconds(summary.last_seen), 1_718_050_733_907_418_500);
    assert!(summary.problems.iter().all(|problem| problem.severity == Severity::Info));
}

#[test]
fn event_traces_without_packets_say_what_they_hold() {
    let Some(folder) = captures() else { return };
    for (name, provider) in [
        ("AMSITrace.etl", "8e805eb3-6a8f-4a1e-90fa-a831d94e54a1} (19)"),
        ("lxcore_kernel.etl", "0cd1c309-0878-4515-83db-749843b3f5c9} (2)"),
    ] {
        let (frames, summary) = read(&folder.join("etl").join(name)).unwrap();
        assert_eq!(frames, 0, "{name}");
        let problem = summary.problems.iter().find(|it| it.severity == Severity::Error).unwrap();
        assert!(problem.message.contains(provider), "{problem:?}");
        assert!(problem.message.contains("netsh trace start capture=yes"), "{problem:?}");
    }
}
