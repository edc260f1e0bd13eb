//! The program as people and scripts call it: exit statuses, where the report goes, and the commands
//! beside the analysis. What bad input gets is in `bad_input.rs`.
//!
//! Exit status: 0 analysed, 1 with `--fail-on` when a named outcome occurred, 2 trouble.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::calls::{below, call, folder, piped, seed, shell, troubled};
use support::case::testdata;

// ---- Exit statuses.

#[test]
fn fail_on_asks_for_outcomes_and_trouble_is_stronger() {
    let site = seed("pcap");
    let torn = testdata().join("torn").join("capture.pcap");
    let torn = torn.to_str().unwrap();
    // The seed's ports: dropped and refused ones, and an open one.
    for (words, exit) in [
        (&[&*site][..], 0),
        (&[&*site, "--fail-on", "dropped"], 1),
        (&[&*site, "--fail-on", "mixed,refused"], 1),
        (&[&*site, "--fail-on", "mixed", "--fail-on", "open"], 1),
        (&[&*site, "--fail-on", "service_failed,mixed"], 0),
        (&["analyze", &*site, "--fail-on", "dropped", "--no-flows"], 1),
        (&["flows", &*site, "--fail-on", "dropped"], 1),
        (&[&*site, torn, "--fail-on", "dropped"], 2),
        (&[torn], 2),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        let run = call(words);
        assert_eq!(run.exit, exit, "{words:?}: {}", run.stderr);
        assert!(!run.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn a_log_that_a_folder_or_pattern_names_is_not_written_over() {
    let folder = folder();
    let site = below(&folder, "site.pcap");
    fs::create_dir(folder.path().join("logs")).unwrap();
    let log = below(&folder, "logs/ConfigMgrSetup.log");
    fs::copy(testdata().join("firewall-log/ConfigMgrSetup.log"), &log).unwrap();
    let before = fs::read(&log).unwrap();
    for (given, option) in [
        (below(&folder, "logs"), "--output"),
        (below(&folder, "logs/*.log"), "--output"),
        (below(&folder, "logs"), "--probe-script"),
        (below(&folder, "logs"), "--evidence"),
    ] {
        let run = call(&[&site, "--log", &given, option, &log]);
        troubled(&run, &[&log, "not written over what it is made from", option]);
        assert_eq!(fs::read(&log).unwrap(), before, "{given}");
    }
    // An older report in the same folder is no log.
    let report = below(&folder, "logs/report.txt");
    for _ in 0..2 {
        assert_eq!(call(&[&site, "--log", &below(&folder, "logs"), "-o", &report]).exit, 0);
    }
}

#[test]
fn a_host_that_answers_flows_left_out_by_a_filter_is_not_called_silent() {
    let site = testdata().join("firewall-log/capture.pcap");
    let words = ["--role", "site-server=10.0.0.5", "--role", "domain-controller=10.1.0.10"];
    let asked = [site.to_str().unwrap(), "-f", "json", "--filter", "class = timeout"];
    let run = call(&[&asked[..], &words].concat());
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    // 10.1.0.10 accepts SMB in frame 2, which the filter leaves out.
    assert!(findings.iter().any(|finding| finding["severity"] == "error"));
    for finding in findings {
        assert_ne!(finding["kind"], "host_unreachable");
        assert!(!finding["explanation"].as_str().unwrap().contains("othing at all is heard"));
    }
}

#[test]
fn a_filter_that_fits_nothing_is_told_and_not_called_a_capture_without_flows() {
    let run = call(&[&seed("pcap"), "--filter", "port = 4"]);
    assert_eq!(run.exit, 0);
    assert!(run.stderr.contains("no flow in 120 frames fits --filter"), "{}", run.stderr);
    assert!(run.stdout.contains("fits the filter"), "{}", run.stdout);
    assert!(!run.stdout.contains("no TCP or UDP"), "{}", run.stdout);
}

#[test]
fn a_call_without_a_command_is_an_analysis() {
    let site = seed("pcap");
    for format in ["table", "json", "ndjson", "csv", "markdown"] {
        let short = call(&[&site, "-f", format]);
        let long = call(&["analyze", "--format", format, &site]);
        assert_eq!(short.stdout, long.stdout, "{format}");
        assert!(!short.stdout.is_empty());
    }
    assert_ne!(call(&["flows", &site]).stdout, call(&[&site]).stdout);
}

#[test]
fn quiet_prints_no_problems_and_still_tells_by_the_status() {
    let torn = testdata().join("torn").join("capture.pcap");
    let torn = torn.to_str().unwrap();
    let (quiet, loud) = (call(&["-q", torn]), call(&[torn]));
    assert_eq!((quiet.exit, quiet.stderr.as_str()), (2, ""));
    assert_eq!(quiet.stdout, loud.stdout);
    // The report itself never keeps silent.
    assert!(quiet.stdout.contains("ends in the middle of frame"), "{}", quiet.stdout);
}

#[test]
fn no_flows_leaves_them_out_and_nothing_else() {
    let site = seed("pcap");
    let (mut with, without) =
        (call(&["-f", "json", &site]).json(), call(&["-f", "json", &site, "--no-flows"]).json());
    assert_eq!(without["flows"], Value::Array(Vec::new()));
    assert_eq!(without["totals"]["flows"], 15);
    with["flows"] = without["flows"].clone();
    assert_eq!(with, without);
}

#[test]
fn more_threads_than_can_be_are_no_trouble() {
    let site = seed("pcap");
    let expected = call(&["-f", "json", &site]);
    for threads in ["1", "100000", "18446744073709551615"] {
        let found = call(&["-f", "json", &site, "--threads", threads]);
        assert_eq!((found.exit, found.stdout), (0, expected.stdout.clone()), "{threads}");
    }
}

#[test]
fn little_memory_is_no_trouble_and_leaves_no_file_behind() {
    let site = seed("pcap");
    let temporary = tempfile::tempdir().unwrap();
    for words in [&["-f", "json"][..], &["flows", "-f", "csv"], &["--filter", "class = timeout"]] {
        let expected = call(&[words, &[&*site]].concat());
        for memory in ["0", "1KiB", "2G"] {
            let given = [words, &[&*site, "--max-memory", memory]].concat();
            let (exit, stdout, stderr) = with_folder(&given, temporary.path());
            assert_eq!((exit, &stdout), (0, &expected.stdout), "{given:?}: {stderr}");
            assert_eq!(stderr, expected.stderr, "{given:?}");
        }
    }
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn where_no_temporary_file_can_be_written_flows_stay_in_memory() {
    let site = seed("pcap");
    let absent = tempfile::tempdir().unwrap().path().join("absent");
    let words = ["-f", "json", &*site, "--max-memory", "0"];
    let (exit, stdout, stderr) = with_folder(&words, &absent);
    assert_eq!((exit, stdout), (0, call(&["-f", "json", &site]).stdout));
    for part in ["--max-memory", "in memory", absent.to_str().unwrap(), "set TMP"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert_eq!(stderr.lines().count(), 1);
    let quiet = with_folder(&[&words[..], &["-q"]].concat(), &absent);
    assert_eq!((quiet.0, quiet.2.as_str()), (0, ""));
    // Enough of it needs no file.
    let enough = with_folder(&["-f", "json", &*site, "--max-memory", "1GiB"], &absent);
    assert_eq!((enough.0, enough.2.as_str()), (0, ""));
}

/// Runs with a folder for temporary files.
fn with_folder(words: &[&str], temporary: &Path) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_portmortem"))
        .args(words)
        .env_clear()
        .env("TMPDIR", temporary)
        .env("TMP", temporary)
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

// ---- Where the report goes.

#[test]
fn a_report_is_written_whole_or_not_at_all() {
    let folder = folder();
    let (site, report) = (below(&folder, "site.pcap"), below(&folder, "report.json"));
    let expected = call(&["-f", "json", &site]).stdout;
    let run = call(&["-f", "json", &site, "-o", &report]);
    assert_eq!((run.exit, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    assert_eq!(fs::read_to_string(&report).unwrap(), expected);
    // Over an older one.
    assert_eq!(call(&["-f", "csv", &site, "--output", &report]).exit, 0);
    assert_ne!(fs::read_to_string(&report).unwrap(), expected);
    let missing = below(&folder, "missing/report.json");
    let run = call(&[&site, "-o", &missing]);
    troubled(&run, &[&missing, "there is no folder", "make it first"]);
    assert!(!run.stderr.contains(".portmortem-"), "{}", run.stderr);
    let root = folder.path().to_str().unwrap();
    troubled(&call(&[&site, "-o", root]), &[root, "this is a folder", "give a file in it"]);
    troubled(&call(&[&site, "-o", ""]), &["--output", "the path is empty"]);
    // With trouble of the input the report is written, and the status tells.
    let run = call(&[&site, &below(&folder, "absent.pcap"), "-o", &report]);
    assert_eq!(run.exit, 2);
    assert!(fs::read_to_string(&report).unwrap().contains("absent.pcap"));
    let names: Vec<OsString> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left behind: {names:?}");
}

#[test]
fn a_report_is_never_written_over_what_it_is_made_from() {
    let folder = folder();
    let site = below(&folder, "site.pcap");
    let (matrix, roles) = (below(&folder, "matrix.toml"), below(&folder, "roles.toml"));
    fs::write(&matrix, call(&["matrix", "show"]).stdout).unwrap();
    fs::write(&roles, "[roles]\ncas = \"10.0.0.5\"\n").unwrap();
    let root = folder.path().to_str().unwrap();
    let round = below(&folder, "../") + folder.path().file_name().unwrap().to_str().unwrap();
    let roundabout = format!("{round}/site.pcap");
    let pattern = below(&folder, "*.pcap");
    for (words, place) in [
        (vec![&*site], &site),
        (vec![root], &site),
        (vec![&*pattern], &site),
        (vec![&*site], &roundabout),
        (vec![&*site, "--matrix", &*matrix], &matrix),
        (vec![&*site, "--roles", &*roles], &roles),
    ] {
        let before = fs::read(place).unwrap();
        let run = call(&[&words[..], &["-o", place]].concat());
        troubled(&run, &[place, "not written over what it is made from", "another name"]);
        assert_eq!(fs::read(place).unwrap(), before, "{words:?}");
    }
    // As a file beside the captures of a folder it is fine, also the second time.
    for format in ["table", "json", "json", "csv", "markdown"] {
        let run = call(&["-f", format, root, "-o", &below(&folder, "report.txt")]);
        assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{format}");
    }
}

#[cfg(unix)]
#[test]
fn a_report_is_never_written_over_standard_input() {
    let folder = folder();
    let site = below(&folder, "site.pcap");
    let before = fs::read(&site).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_portmortem"))
        .args(["-", "-o", &site])
        .stdin(fs::File::open(&site).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read(&site).unwrap(), before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_trouble_and_named() {
    let site = seed("pcap");
    let run = call(&[&site, "-o", "/dev/full"]);
    troubled(&run, &["/dev/full: the report cannot be written", "No space left"]);
    let output = Command::new(env!("CARGO_BIN_EXE_portmortem"))
        .arg(&site)
        .stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("standard output: the report cannot be written"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn a_broken_pipe_is_quiet_success() {
    for command in [
        "$P $S",
        "$P flows -v $S",
        "$P -f json $S",
        "$P -f csv $S",
        "$P matrix show",
        "$P matrix list",
        "$P schema",
        "$P man",
        "$P completions bash",
        "$P --help",
    ] {
        // The reader is gone before the program begins.
        let line =
            format!("exec 3>&1; {{ sleep 0.1; {command} 2>&3; echo \"status $?\" >&3; }} | true");
        let (_, told) = shell(&line);
        assert_eq!(told, "status 0\n", "{command}");
    }
}

#[cfg(unix)]
#[test]
fn problems_that_nobody_hears_take_nothing_from_the_report() {
    let (exit, expected) = shell("$P $S /absent.pcap 2>/dev/null");
    assert_eq!(exit, 2);
    assert!(expected.contains("/absent.pcap"));
    let (exit, found) =
        shell("exec 3>&1; { sleep 0.1; $P $S /absent.pcap 2>&1 >&3; echo $? >&3; } | true");
    assert_eq!((exit, found), (0, format!("{expected}2\n")));
    if cfg!(target_os = "linux") {
        assert_eq!(shell("$P $S /absent.pcap 2>/dev/full"), (2, expected));
    }
}

// ---- Standard input.

#[test]
fn every_format_is_read_from_a_pipe_as_from_a_file() {
    for extension in ["pcap", "pcapng", "cap"] {
        let path = seed(extension);
        let bytes = fs::read(&path).unwrap();
        let mut expected = call(&["-f", "json", &path]).json();
        let run = piped(&["-f", "json", "-"], &bytes);
        assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{extension}");
        expected["captures"][0]["path"] = "-".into();
        assert_eq!(run.json(), expected, "{extension}");
    }
    troubled(&piped(&["-"], b""), &["-: ", "empty"]);
    troubled(&piped(&["-"], b"hello"), &["-: ", "not a capture that portmortem reads"]);
    // The rest of a long pipe that is no capture is nobody's concern.
    troubled(&piped(&["-"], &vec![b'x'; 1 << 20]), &["-: "]);
}

#[test]
fn a_device_without_bytes_is_empty() {
    if Path::new("/dev/null").exists() {
        troubled(&call(&["/dev/null"]), &["/dev/null", "empty"]);
    }
}

// ---- Times.

#[test]
fn frames_outside_the_time_are_left_out_and_counted() {
    let site = seed("pcap");
    let whole = call(&["-f", "json", &site]).json();
    let frames = whole["captures"][0]["frames"].as_u64().unwrap();
    let outside = |report: &Value| -> u64 {
        let skipped = report["captures"][0]["skipped"].as_array().unwrap();
        let rows = skipped.iter().filter(|row| row["what"] == "outside --since and --until");
        rows.map(|row| row["count"].as_u64().unwrap()).sum()
    };
    assert_eq!(outside(&whole), 0);
    // The scene begins at 09:30:00 and goes on for 2 min 12 s.
    let early = call(&["-f", "json", &site, "--until", "2012-11-13T09:31:00Z"]).json();
    let late = call(&["-f", "json", &site, "--since", "2012-11-13 09:31"]).json();
    assert_eq!(outside(&early) + outside(&late), frames);
    assert!(outside(&early) > 0 && outside(&late) > 0);
    assert_eq!(early["options"]["filters"]["until"], "2012-11-13T09:31:00.000000000Z");
    assert_eq!(early["captures"][0]["frames"], frames);
    // What was left out is on the page.
    let page = call(&[&site, "--until", "2012-11-13T09:31:00Z"]).stdout;
    assert!(page.contains("outside --since and --until"), "{page}");
    let page = call(&[&site, "--since", "2020-01-01"]).stdout;
    let expected = format!("no flow was found: all {frames} frames lie outside");
    assert!(page.starts_with(&expected), "{page}");
}

#[test]
fn the_end_of_the_time_asked_for_is_the_end_of_the_capture() {
    let folder = folder();
    let path = below(&folder, "syn.pcap");
    let mut scene = support::scene::Scene::new();
    let host = support::scene::Host::new;
    let mut ldap = support::scene::Tcp::new(host("10.0.0.5"), 50_000, host("10.1.0.10"), 389);
    scene.syn(&mut ldap);
    scene.wait(60_000);
    scene.arp(host("10.0.0.5"), host("10.1.0.10"));
    let form = support::files::pcap::Form::USUAL;
    fs::write(&path, support::files::pcap::write(&scene, form)).unwrap();
    let verdict = |until: &str| {
        let run = call(&["flows", "-f", "ndjson", &path, "--until", until]);
        let flow = &run.ndjson()[0];
        (
            flow["verdict"].as_str().unwrap().to_owned(),
            flow["confidence"].as_str().unwrap().to_owned(),
        )
    };
    let text = |verdict: &str, confidence: &str| (verdict.to_owned(), confidence.to_owned());
    // A lone SYN: after 3 s of capture it counts as unanswered, weakly.
    assert_eq!(verdict("2012-11-13T09:31:00Z"), text("no_reply", "weak"));
    assert_eq!(verdict("2012-11-13T09:30:03Z"), text("no_reply", "weak"));
    assert_eq!(verdict("2012-11-13T09:30:02.5Z"), text("capture_ended", "proven"));
}

// ---- The other commands.

#[test]
fn a_built_in_matrix_comes_back_as_a_file() {
    let folder = folder();
    let (site, path) = (below(&folder, "site.pcap"), below(&folder, "matrix.toml"));
    let list = call(&["matrix", "list"]).stdout;
    assert!(list.contains("configmgr-dc"), "{list}");
    let names: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in names {
        let text = call(&["matrix", "show", name]).stdout;
        let built_in = call(&["-f", "json", &site, "--profile", name]).json();
        let utf16: Vec<u8> =
            [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        for (kind, bytes) in [("UTF-8", text.clone().into_bytes()), ("UTF-16", utf16)] {
            fs::write(&path, bytes).unwrap();
            let own = call(&["-f", "json", &site, "--matrix", &path]).json();
            assert_eq!(own["matrix"]["cells"], built_in["matrix"]["cells"], "{name}, {kind}");
            assert_eq!(own["matrix"]["title"], built_in["matrix"]["title"], "{name}, {kind}");
            assert_eq!(own["findings"], built_in["findings"], "{name}, {kind}");
            assert_eq!(own["firewall_requests"], built_in["firewall_requests"], "{name}");
        }
        let run = call(&["matrix", "check", &path]);
        assert_eq!(run.exit, 0);
        assert!(run.stdout.contains(&path) && run.stdout.contains("no mistakes"), "{}", run.stdout);
        // A file that is shown comes back the same, too.
        let shown = call(&["matrix", "show", &path]).stdout;
        fs::write(&path, &shown).unwrap();
        assert_eq!(call(&["matrix", "show", &path]).stdout, shown);
    }
    assert_eq!(call(&["matrix", "show"]).stdout, call(&["matrix", "show", "configmgr-dc"]).stdout);
}

#[test]
fn ports_that_a_site_really_uses_are_given_by_name() {
    let folder = folder();
    let (site, path) = (below(&folder, "site.pcap"), below(&folder, "roles.toml"));
    fs::write(&path, "[ports]\nsql = 50000\nwsus-http = [80]\n").unwrap();
    let call_with = |more: &[&str]| {
        let first = ["-f", "json", "--profile", "configmgr", &site, "--roles", &path];
        call(&[&first, more].concat())
    };
    let given = call_with(&["--port", "sql=50001,1433"]).json()["options"]["ports"].to_string();
    let both = r#"[{"name":"sql","ports":[1433,50001]},{"name":"wsus-http","ports":[80]}]"#;
    assert_eq!(given, both, "the command line comes after the file");
    let run = call_with(&["--port", "slq=1433"]);
    assert_eq!((run.exit, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("did you mean \"sql\"?; known are: "), "{}", run.stderr);
    fs::write(&path, "[ports]\n\nsql = 0\n").unwrap();
    let run = call_with(&[]);
    assert_eq!(run.exit, 2);
    let place = format!("{path}: line 3, column 7: 0 is no port");
    assert!(run.stderr.contains(&place), "{}", run.stderr);
}

#[test]
fn packagers_get_completions_and_a_manual_page() {
    for (shell, part) in [
        ("bash", "complete -F _portmortem"),
        ("zsh", "#compdef portmortem"),
        ("fish", "complete -c portmortem"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let run = call(&["completions", shell]);
        assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{shell}");
        assert!(run.stdout.contains(part), "{shell}");
        assert!(run.stdout.contains("fail-on"), "{shell}");
    }
    let page = call(&["man"]);
    assert_eq!(page.exit, 0);
    for part in [".TH portmortem 1", ".SH NAME", ".SH SYNOPSIS", "Exit status"] {
        assert!(page.stdout.contains(part), "{part} is not in the manual page");
    }
}

// ---- Rows of text.

#[test]
fn lines_that_could_not_be_read_are_counted_and_shown_when_asked_for() {
    let article = testdata().join("article").join("capture.txt");
    let article = article.to_str().unwrap();
    let cut = "not understood: TCP:Flags=......S., SrcPort=51099, DstPort=DCE endpo";
    let short = call(&[article]);
    assert!(short.stdout.contains("1 text looks like a row of Network Monitor"));
    assert!(!short.stdout.contains(cut));
    assert!(call(&[article, "--verbose"]).stdout.contains(cut));
    let report = call(&[article, "--format", "json"]).json();
    let capture = &report["captures"][0];
    assert_eq!(capture["lines_not_understood"], 1);
    assert_eq!(capture["zone"], "unknown");
    // Where to find the SYN of the first row: behind a heading, a sentence and blank lines.
    assert_eq!(report["flows"][0]["evidence"][0]["note"], "line 5");
    assert_eq!(report["flows"][0]["evidence"][0]["time"], Value::Null);
}

// ---- Rules to ask for, and lines to run.

const ROLES: [&str; 4] = ["--role", "cas=10.0.0.5", "--role", "child-dc=10.1.0.13"];

#[test]
fn requests_prints_the_rules_alone_in_every_syntax() {
    let site = seed("pcap");
    // By hand: from the seed's site server to the domain controller that does not answer.
    for (syntax, expected) in [
        ("table", "10.0.0.5  10.1.0.13    tcp       one-way    53, 88, 135, 389, 3268"),
        ("csv", "1,10.0.0.5,CAS01,10.1.0.13,,tcp,\"53, 88, 135, 389, 3268\",one-way,"),
        ("markdown", "| CAS01 10.0.0.5 | 10.1.0.13 | tcp | 53, 88, 135, 389, 3268 | one-way |"),
        ("powershell", "-LocalPort '53','88','135','389','3268' -RemoteAddress '10.0.0.5'"),
        ("netsh", "localip=10.1.0.13 localport=53,88,135,389,3268 remoteip=10.0.0.5"),
        ("cisco", " permit tcp host 10.0.0.5 host 10.1.0.13 eq 3268"),
    ] {
        let run = call(&["requests", &site, "-f", syntax]);
        assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{syntax}");
        assert!(run.stdout.contains(expected), "{syntax}: {}", run.stdout);
        assert!(!run.stdout.contains("FAILED"), "{syntax}");
    }
    let run = call(&["requests", &site, "-f", "json"]);
    assert_eq!(run.exit, 2);
    assert_eq!(call(&["requests", &site, "--fail-on", "dropped"]).exit, 1);
}

#[test]
fn the_script_has_a_block_for_each_host_and_tries_what_nobody_tried() {
    let folder = folder();
    let (site, script) = (below(&folder, "site.pcap"), below(&folder, "try.ps1"));
    let plain = call(&[&[&*site, "-f", "json"], &ROLES[..]].concat());
    let run = call(&[&[&*site, "-f", "json", "--probe-script", &script], &ROLES[..]].concat());
    assert_eq!((run.exit, &run.stdout), (0, &plain.stdout));
    let text = fs::read_to_string(&script).unwrap();
    // Nor does it say less beside a format that shows cells alone.
    call(&[&[&*site, "-f", "csv", "--probe-script", &script], &ROLES[..]].concat());
    assert_eq!(fs::read_to_string(&script).unwrap(), text);
    for to_try in plain.json()["to_try"].as_array().unwrap() {
        assert!(text.contains(&format!("Test-Here @('{}')", to_try["host"].as_str().unwrap())));
        for line in to_try["tries"].as_array().unwrap() {
            assert!(text.contains(line["command"].as_str().unwrap()), "{line}");
        }
    }
    // SMB to the silent domain controller is in no frame of the seed.
    assert!(text.contains("Test-NetConnection -ComputerName 10.1.0.13 -Port 445"), "{text}");
    assert!(text.is_ascii() && text.lines().count() == text.matches("\r\n").count());
}

#[test]
fn the_script_is_written_over_nothing_that_matters() {
    let folder = folder();
    let site = below(&folder, "site.pcap");
    let before = fs::read(&site).unwrap();
    let run = call(&[&site, "--probe-script", &site]);
    troubled(&run, &[&site, "not written over what it is made from", "--probe-script"]);
    assert_eq!(fs::read(&site).unwrap(), before);
    let same = below(&folder, "same.txt");
    troubled(&call(&[&site, "-o", &same, "--probe-script", &same]), &[&same, "another name"]);
    assert!(!Path::new(&same).exists());
    troubled(&call(&[&site, "--probe-script", ""]), &["--probe-script", "the path is empty"]);
}

// ---- Chosen flows.

#[test]
fn show_draws_a_flow_packet_by_packet() {
    // Frames, sequence numbers and times to live by tshark.
    let run = call(&["flows", &seed("cap"), "--show", "11"]);
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""));
    let line = |frame: &str| {
        let mut lines = run.stdout.lines().filter(|line| line.trim_start().starts_with(frame));
        lines.next().unwrap_or_else(|| panic!("no frame {frame} in {}", run.stdout)).to_owned()
    };
    assert!(line("106 ").contains("SYN") && line("106 ").contains("▶│  seq 914145090"));
    assert!(line("107 ").contains("│◀") && line("107 ").contains("RST ───│  seq 251831252"));
    for part in ["flow 11  LDAP  refused", "10.0.0.5:52705 → 10.1.0.13:389", "tcp.port == 52705"]
    {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    assert!(!run.stdout.contains("52702"), "{}", run.stdout);
}

#[test]
fn show_leaves_all_other_flows_out_of_every_format() {
    let site = seed("pcap");
    let shown = |format: &str| call(&["flows", &site, "--show", "10,11", "-f", format]).stdout;
    let flows: Value = serde_json::from_str(&shown("json")).unwrap();
    let ids: Vec<_> = flows.as_array().unwrap().iter().map(|flow| flow["id"].clone()).collect();
    assert_eq!(ids, [10, 11]);
    assert_eq!(shown("ndjson").lines().count(), 2);
    assert_eq!(shown("csv").lines().count(), 3);
    assert!(shown("markdown").contains("2 flows: 0 success, 1 timeout, 1 reject, 0 inconclusive"));
}

#[test]
fn show_says_which_flows_there_are() {
    let site = seed("pcap");
    let run = call(&["flows", &site, "--show", "11,99"]);
    troubled(&run, &["--show: there is no flow 99", "ids are 1 to 15"]);
    assert!(run.stdout.is_empty());
    let none = call(&["flows", &site, "--filter", "port = 1", "--show", "1"]);
    troubled(&none, &["--show: there is no flow 1"]);
}

// ---- Progress.

/// Runs a line of shell on a terminal of its own, and gives what stood there; `None` without
/// `script` of util-linux.
#[cfg(unix)]
fn on_terminal(line: &str) -> Option<String> {
    let output = Command::new("script")
        .args(["-qec", line, "/dev/null"])
        .env("P", env!("CARGO_BIN_EXE_portmortem"))
        .env("S", seed("pcap"))
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no script of util-linux");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
#[cfg(unix)]
fn long_work_shows_its_progress_on_a_terminal_and_leaves_nothing_of_it() {
    let slow = "(head -c 2000 $S; sleep 1.5; tail -c +2001 $S) | $P -";
    let Some(told) = on_terminal(&format!("{slow} > /dev/null")) else { return };
    assert!(told.contains("reading"), "{told:?}");
    // What is drawn is wiped out (ECMA-48 8.3.39 EL, 8.3.41 EL 2), and nothing comes after.
    assert!(told.trim_end_matches('\r').ends_with("\x1b[2K"), "{told:?}");
    for unwanted in ["--quiet", "--no-progress"] {
        let told = on_terminal(&format!("{slow} {unwanted} > /dev/null")).unwrap();
        assert_eq!(told, "", "{unwanted}");
    }
    let quick = on_terminal("$P $S > /dev/null").unwrap();
    assert_eq!(quick, "");
    // Standard error in a pipe: nothing at all.
    assert_eq!(shell(&format!("({slow}) 2>&1 > /dev/null")), (0, String::new()));
}
