//! What bad input gets: a message with the path, what is wrong and what to do, exit status 2, and the
//! rest of the work done all the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use support::calls::{below, call, folder, seed, shell, troubled};
use support::case::testdata;

#[test]
fn an_input_that_cannot_be_read_is_named_with_what_to_do() {
    let folder = folder();
    let absent = below(&folder, "absent.pcap");
    troubled(&call(&[&absent]), &[&absent, "cannot be read", "check the path"]);
    let empty = below(&folder, "empty.cap");
    fs::write(&empty, b"").unwrap();
    troubled(&call(&[&empty]), &[&empty, "the file is empty", "it was not copied"]);
    let text = below(&folder, "notes.txt");
    fs::write(&text, "called the firewall team").unwrap();
    let formats = "it reads pcap, pcapng, Network Monitor .cap, Windows .etl, snoop, and text";
    troubled(&call(&[&text]), &[&text, "not a capture that portmortem reads", formats]);
    // The good one is still reported.
    let run = call(&["-f", "json", &below(&folder, "site.pcap"), &empty]);
    troubled(&run, &[&empty]);
    let report = run.json();
    assert_eq!(report["totals"]["flows"], 15);
    assert_eq!(report["captures"][1]["path"], empty.as_str());
    assert_eq!(report["captures"][1]["problems"][0]["severity"], "error");
}

#[test]
fn a_format_that_is_known_and_not_read_is_named() {
    let folder = folder();
    for (name, beginning, what, advice) in [
        ("a.trc", &b"TRSNIFF data    \x1a"[..], "a Sniffer capture", "editcap"),
        ("a.rar", b"Rar!\x1a\x07\x01\0", "a rar archive", "unpack it"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive", "unpack it"),
    ] {
        let path = below(&folder, name);
        fs::write(&path, beginning).unwrap();
        troubled(&call(&[&path]), &[&path, "does not read yet", what, advice]);
        // In a folder it is told too: it may hold what is missing.
        let run = call(&["-q", "-f", "json", folder.path().to_str().unwrap()]);
        assert_eq!(run.exit, 2, "{name}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn damage_is_told_with_its_place() {
    let torn = testdata().join("torn").join("capture.pcap");
    let torn = torn.to_str().unwrap();
    troubled(&call(&[torn]), &[torn, "frame ", "offset ", "ends in the middle of frame"]);
    let folder = folder();
    let path = below(&folder, "long.pcap");
    let mut bytes = fs::read(seed("pcap")).unwrap();
    bytes[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let place = "frame 1: offset 24: ";
    troubled(&call(&[&path]), &[&path, place, "4294967295 bytes", "damaged from here on"]);
}

#[test]
fn a_folder_is_searched_and_says_what_it_left_out() {
    let folder = folder();
    fs::create_dir(folder.path().join("deep")).unwrap();
    fs::copy(seed("cap"), folder.path().join("deep").join("second.cap")).unwrap();
    for name in ["notes.txt", "error.log", "deep/empty.pcap"] {
        fs::write(folder.path().join(name), if name.contains("empty") { "" } else { "x" }).unwrap();
    }
    let root = folder.path().to_str().unwrap();
    let run = call(&["-f", "json", root]);
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""));
    let report = run.json();
    let captures = report["captures"].as_array().unwrap();
    let paths: Vec<&str> =
        captures.iter().map(|capture| capture["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [below(&folder, "deep/second.cap"), below(&folder, "site.pcap"), root.into()]
    );
    let left_out = captures[2]["problems"][0]["message"].as_str().unwrap();
    assert!(left_out.starts_with("3 files left out, because they are no captures"), "{left_out}");
    assert!(left_out.contains("error.log") && left_out.contains("notes.txt"), "{left_out}");
    // A person is told as well.
    assert!(call(&[root]).stdout.contains("3 files left out"));
    let run = call(&["-f", "json", "--no-recursive", root]);
    assert_eq!(run.json()["totals"]["flows"], 15);
}

#[test]
fn a_folder_without_captures_is_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    troubled(&call(&[root]), &[root, "the folder holds no files"]);
    fs::write(folder.path().join("notes.txt"), "x").unwrap();
    troubled(&call(&[root]), &[root, "there is no capture in this folder", "notes.txt"]);
    let deep = folder.path().join("deep");
    fs::create_dir(&deep).unwrap();
    fs::rename(folder.path().join("notes.txt"), deep.join("notes.txt")).unwrap();
    let run = call(&["--no-recursive", root]);
    troubled(&run, &[root, "folders in it are not walked"]);
}

#[test]
fn a_pattern_that_the_shell_left_alone_is_looked_up() {
    let folder = folder();
    fs::copy(seed("cap"), folder.path().join("z.cap")).unwrap();
    let run = call(&["-f", "json", &below(&folder, "*.*cap")]);
    assert_eq!(run.json()["captures"].as_array().unwrap().len(), 2);
    assert_eq!(run.exit, 0);
    let pattern = below(&folder, "*.etl");
    troubled(&call(&[&pattern]), &[&pattern, "no file fits this pattern"]);
    // A file whose name looks like a pattern is a file.
    let path = below(&folder, "[1].pcap");
    fs::copy(seed("pcap"), &path).unwrap();
    assert_eq!(call(&["-q", &path]).exit, 0);
}

#[test]
fn a_matrix_with_a_mistake_is_told_by_line_column_and_the_nearest_name() {
    let folder = folder();
    let (site, path) = (below(&folder, "site.pcap"), below(&folder, "matrix.toml"));
    let text = call(&["matrix", "show", "configmgr-dc"]).stdout;
    let line =
        text.lines().position(|line| line.starts_with("from = \"site-server\"")).unwrap() + 1;
    let wrong = text.replacen("from = \"site-server\"", "from = \"site-sever\"", 1);
    fs::write(&path, &wrong).unwrap();
    let place = format!("{path}: line {line}, column 8: ");
    let meant = "did you mean \"site-server\"?";
    for run in [call(&[&site, "--matrix", &path]), call(&["matrix", "check", &path])] {
        troubled(&run, &[&place, "unknown role \"site-sever\"", meant]);
        assert_eq!(run.stdout, "");
    }
    fs::write(&path, text.replacen("ports = ", "port = ", 1)).unwrap();
    troubled(&call(&["matrix", "check", &path]), &["unknown key \"port\"", "\"ports\""]);
    fs::write(&path, "title = \"x\n").unwrap();
    troubled(&call(&["matrix", "check", &path]), &[&path, "line 1", "this is not TOML"]);
    fs::write(&path, b"title = \"Z\xfcrich\"\n").unwrap();
    troubled(&call(&["matrix", "check", &path]), &[&path, "no text in UTF-8", "save it"]);
    // Nests deeper than any stack.
    fs::write(&path, format!("a = {}", "[".repeat(200_000))).unwrap();
    troubled(&call(&["matrix", "check", &path]), &[&path, "line 1", "this is not TOML"]);
    let absent = below(&folder, "absent.toml");
    troubled(&call(&[&site, "--matrix", &absent]), &[&absent, "the matrix file cannot be read"]);
}

#[test]
fn a_roles_file_with_a_mistake_is_told_by_line_and_column() {
    let folder = folder();
    let (site, path) = (below(&folder, "site.pcap"), below(&folder, "roles.toml"));
    fs::write(&path, "[roles]\ncas = \"10.0.0.5\"\nroot-cd = \"10.1.0.13\"\n").unwrap();
    let run = call(&[&site, "--roles", &path]);
    let place = format!("{path}: line 3, column 1: ");
    troubled(&run, &[&place, "unknown role \"root-cd\"", "did you mean \"root-dc\"?"]);
    fs::write(&path, "[roles]\ncas = [\"10.0.0.5\", \"10.0.0.256\"]\n").unwrap();
    let place = format!("{path}: line 2, column 20: ");
    troubled(&call(&[&site, "--roles", &path]), &[&place, "\"10.0.0.256\" is no address"]);
}

#[test]
fn a_role_that_makes_no_sense_is_told() {
    let site = seed("pcap");
    for (argument, parts) in [
        ("cas", &["\"cas\" names no host", "write ROLE=HOST"][..]),
        ("site-sever=10.0.0.5", &["unknown role \"site-sever\"", "\"site-server\""]),
        ("printer=10.0.0.5", &["unknown role \"printer\"", "known are"]),
        ("cas=10.0.0.256", &["\"10.0.0.256\" is no address", "0 to 255"]),
        ("cas=10.0.0.5:445", &["is no address", "port"]),
        ("cas=", &["a host is missing", "give an address"]),
        ("cas=10.0.0.0/33", &["is no block of addresses like"]),
        ("=10.0.0.5", &["unknown role \"\""]),
        ("cas=\u{1b}[2J", &["is no address"]),
    ] {
        let run = call(&[&site, "--role", argument]);
        troubled(&run, &[&["--role: "], parts].concat());
        assert_eq!(run.stdout, "", "{argument}");
        assert!(!run.stderr.contains('\u{1b}'), "{argument}");
    }
    // A name that no capture shows may be right: it is a finding, not a fault.
    let run = call(&["-f", "json", &site, "--role", "cas=NOBODY"]);
    assert_eq!(run.exit, 0);
    let report = run.json();
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["kind"] == "role_name_unknown"));
}

#[test]
fn a_log_that_cannot_be_read_is_told_by_line_and_the_rest_still_works() {
    let folder = folder();
    let capture = testdata().join("firewall-log").join("capture.pcap");
    let capture = capture.to_str().unwrap();
    let absent = below(&folder, "absent.log");
    troubled(&call(&[capture, "--log", &absent]), &[&absent, "cannot be read", "check the path"]);
    let text = below(&folder, "notes.txt");
    fs::write(&text, "called the firewall team").unwrap();
    let what = "this is no log: portmortem reads ConfigMgrSetup.log";
    troubled(&call(&[capture, "--log", &text]), &[&text, what]);
    // A bad line, beside good ones that still prove.
    let good = testdata().join("firewall-log").join("pfirewall.log");
    let good = fs::read_to_string(good).unwrap();
    let damaged = below(&folder, "pfirewall.log");
    fs::write(&damaged, good.replacen("\r\n\r\n", "\r\nrubbish\r\n", 1)).unwrap();
    let run = call(&[capture, "--log", &damaged, "-f", "json"]);
    troubled(&run, &[&damaged, "line 5: ", "of no form that is known", "look whether"]);
    let report = run.json();
    assert_eq!(report["logs"][0]["problems"][0]["line"], 5);
    // 10:30:05 in the log is 09:30:01 in the capture.
    assert_eq!(report["logs"][0]["clock_offset"]["milliseconds"], -3_604_000);
    let proven = report["findings"].as_array().unwrap().iter();
    let proven: Vec<&Value> = proven.filter(|finding| finding["kind"] == "dropped_here").collect();
    assert_eq!(proven.len(), 1);
    let lines = proven[0]["log_lines"].as_array().unwrap();
    assert_eq!(lines.iter().map(|line| &line["line"]).collect::<Vec<_>>(), [7, 8, 9]);
    let asked = report["firewall_requests"].as_array().unwrap();
    assert!(asked.iter().all(|request| request["ports"] != "389"), "{asked:?}");
}

#[test]
fn a_wrong_call_is_trouble_and_prints_no_report() {
    let site = seed("pcap");
    for (words, part) in [
        (&[][..], "<INPUT>"),
        (&["analyze"], "<INPUT>"),
        (&["flows"], "<INPUT>"),
        (&[&*site, "--format", "xml"], "possible values: table"),
        (&[&*site, "--fail-on", "drop"], "'dropped'"),
        (&[&*site, "--syn-wait", "1e99"], "no number of seconds"),
        (&[&*site, "--udp-idle", "-1"], "'-1'"),
        (&[&*site, "--threads", "many"], "invalid value 'many'"),
        (&[&*site, "--max-memory", "much"], "\"much\" is no size like 64GiB"),
        (&[&*site, "--max-memory", "-1"], "'-1'"),
        (&[&*site, "--since", "yesterday"], "no time like"),
        (&[&*site, "--until", "10:00"], "no time like"),
        (&[&*site, "--profile", "sccm"], "\"sccm\" is no built-in matrix"),
        (&[&*site, "--profile", "configmgr-dc", "--matrix", "x"], "cannot be used with"),
        (&[&*site, "--nonsense"], "'--nonsense'"),
        (&["matrix", "show", "sccm"], "the built-in ones are: configmgr-dc"),
        (&["matrix", "check", "absent.toml"], "absent.toml: the matrix file cannot be read"),
        (&["completions", "cmd"], "possible values"),
        (&["compare", "a.cap", "b.cap"], "compare: not in this version"),
        (&["merge"], "<REPORT.json>"),
        (&["merge", "absent.json"], "absent.json: "),
    ] {
        let run = call(words);
        troubled(&run, &[part]);
        assert_eq!(run.stdout, "", "{words:?}");
    }
    let late = ["--since", "2012-11-14", "--until", "2012-11-13"];
    let run = call(&[&[&*site], &late[..]].concat());
    troubled(&run, &["--since 2012-11-14T00:00:00", "is not before --until 2012-11-13T00:00:00"]);
}

// ---- Names of files.

#[test]
fn names_of_files_may_hold_anything() {
    let folder = folder();
    let names = [
        "two words.pcap",
        "line\nbreak.pcap",
        "\u{1b}[2J\u{1b}]0;title\u{7}.pcap",
        "right\u{202e}pacp.pcap",
        "Zürich 東京.pcap",
        "-q",
        "--help",
        "=cmd|' /C calc'!A0.pcap",
        "<script>alert(1)</script>",
        "| `x` |.pcap",
    ];
    if cfg!(windows) {
        return;
    }
    let deep = folder.path().join("deep");
    fs::create_dir(&deep).unwrap();
    for name in names {
        // Slashes are the only thing that a name cannot hold.
        fs::copy(seed("pcap"), deep.join(name.replace('/', "_"))).unwrap();
    }
    let root = deep.to_str().unwrap();
    for format in ["table", "json", "ndjson", "csv", "markdown"] {
        for command in ["analyze", "flows"] {
            let run = call(&[command, "-v", "-f", format, root]);
            assert_eq!((run.exit, run.stderr.as_str()), (0, ""));
            let acts = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\r');
            assert!(!run.stdout.contains(acts), "{command} {format}");
            if format != "json" && format != "ndjson" {
                assert!(!run.stdout.contains('\u{202e}'), "{command} {format}");
            }
        }
    }
    let report = call(&["-f", "json", root]).json();
    let captures = report["captures"].as_array().unwrap();
    assert_eq!(captures.len(), names.len());
    let paths: Vec<PathBuf> =
        captures.iter().map(|capture| capture["path"].as_str().unwrap().into()).collect();
    for path in &paths {
        assert!(path.is_file(), "JSON has the true name: {path:?}");
        // And named alone, behind the end of the options where it needs that.
        assert_eq!(call(&["-q", "--", path.to_str().unwrap()]).exit, 0);
    }
    let absent = "\u{1b}[31m\nabsent.pcap";
    let run = call(&[absent]);
    troubled(&run, &["\\x1b[31m\\nabsent.pcap"]);
    assert!(!run.stderr.contains('\u{1b}') && !run.stdout.contains('\u{1b}'));
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_utf_8_is_read_in_its_folder_and_told_when_named() {
    use std::os::unix::ffi::OsStringExt;
    let folder = folder();
    let name = OsString::from_vec(b"Z\xfcrich.pcap".to_vec());
    let path = folder.path().join(&name);
    fs::rename(folder.path().join("site.pcap"), &path).unwrap();
    let run = call(&["-f", "json", folder.path().to_str().unwrap()]);
    assert_eq!(run.json()["totals"]["flows"], 15);
    let run = support::program::run([path.as_os_str()]);
    troubled(&run, &["rich.pcap", "not in UTF-8", "rename it, or give the folder"]);
}

#[cfg(unix)]
#[test]
fn links_lead_nowhere_twice() {
    use std::os::unix::fs::symlink;
    let folder = folder();
    symlink(folder.path(), folder.path().join("round")).unwrap();
    symlink(folder.path().join("site.pcap"), folder.path().join("again.pcap")).unwrap();
    let run = call(&["-f", "json", folder.path().to_str().unwrap()]);
    assert_eq!(run.exit, 0, "{}", run.stderr);
    assert_eq!(run.json()["captures"].as_array().unwrap().len(), 1);
    symlink("b", folder.path().join("a")).unwrap();
    symlink("a", folder.path().join("b")).unwrap();
    let (a, b) = (below(&folder, "a"), below(&folder, "b"));
    let run = call(&["-f", "json", folder.path().to_str().unwrap()]);
    troubled(&run, &[&a, "cannot be read"]);
    troubled(&run, &[&b, "cannot be read"]);
    assert_eq!(run.json()["totals"]["flows"], 15);
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let is_root = fs::read_dir(&closed).is_ok();
    let run = call(&["-f", "json", folder.path().to_str().unwrap()]);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    if is_root {
        let line = b"skipped: root may read every folder\n";
        std::io::stderr().write_all(line).unwrap();
        return;
    }
    let shown = closed.to_str().unwrap();
    troubled(&run, &[shown, "cannot be read", "as a user who may read it"]);
    assert_eq!(run.json()["totals"]["flows"], 15);
}

// ---- Sizes.

/// Captures of a few bytes that claim to hold a lot.
fn liars() -> Vec<(&'static str, Vec<u8>)> {
    let block = |kind: u32, body: &[u8]| {
        let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &length, body, &length].concat()
    };
    let section =
        [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let pcapng = [block(0x0a0d_0d0a, &section), block(1, &[1, 0, 0, 0, 0, 0, 0, 0])].concat();
    let pcap = fs::read(seed("pcap")).unwrap()[..24].to_vec();
    let number = |numbers: &[u32]| -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    };
    let mut netmon = fs::read(seed("cap")).unwrap();
    netmon.truncate(400);
    let mut table = netmon.clone();
    table[24..32].copy_from_slice(&number(&[72, u32::MAX - 3]));
    let mut comments = netmon.clone();
    comments[40..48].copy_from_slice(&number(&[72, u32::MAX]));
    comments[72..76].copy_from_slice(&number(&[u32::MAX]));
    let mut frame = netmon.clone();
    frame[80..88].copy_from_slice(&number(&[u32::MAX, u32::MAX]));
    vec![
        ("frame.pcap", [pcap.clone(), number(&[1, 1, u32::MAX, u32::MAX, 0])].concat()),
        ("large.pcap", [pcap, number(&[1, 1, 16 << 20, 16 << 20, 0])].concat()),
        ("block.pcapng", [pcapng.clone(), number(&[6, u32::MAX - 3, 0, 0, 0])].concat()),
        ("large.pcapng", [pcapng.clone(), number(&[6, 16 << 20, 0, 0, 0])].concat()),
        ("inside.pcapng", [pcapng, block(6, &number(&[0, 0, 0, u32::MAX, u32::MAX, 0]))].concat()),
        ("table.cap", table),
        ("comments.cap", comments),
        ("frame.cap", frame),
    ]
}

#[cfg(target_os = "linux")]
#[test]
fn a_length_field_alone_takes_no_memory() {
    let folder = folder();
    for (name, bytes) in liars() {
        let path = below(&folder, name);
        fs::write(&path, &bytes).unwrap();
        // 200 MB of addresses: threads and their stacks have room, four GiB have not.
        let (exit, report) = shell(&format!(
            "ulimit -v 200000; $P -q -f json --threads 2 '{path}'; s=$?; \
             $P -q --threads 2 - <'{path}' >/dev/null; [ $? = $s ] && exit $s"
        ));
        let report: Value = serde_json::from_str(&report).unwrap();
        let problems = report["captures"][0]["problems"].as_array().unwrap();
        assert!(exit == 2 && !problems.is_empty(), "{name}: {exit}, {problems:?}");
    }
}

#[test]
fn any_width_makes_a_table() {
    let site = seed("pcap");
    for columns in ["0", "1", "63", "100000", "18446744073709551615", "99999999999999999999", "x"] {
        for command in ["analyze", "flows"] {
            let output = Command::new(env!("CARGO_BIN_EXE_portmortem"))
                .args([command, &site, "-v"])
                .env("COLUMNS", columns)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(0), "{columns}");
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("10.1.0.13"), "{columns}");
            assert!(text.lines().all(|line| line.chars().count() <= 1_000), "{columns}");
        }
    }
}
