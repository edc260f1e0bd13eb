//! Hosts have names, addresses of one host are joined, and the capturing machine is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::calls::{below, folder};
use support::files::pcap;
use support::payload::{dhcp, dns_answer, dns_query, http_get, http_status};
use support::program::run;
use support::scene::{Host, Scene, Tcp};
use tempfile::TempDir;

fn stored(folder: &TempDir, scene: &Scene) -> String {
    let path = below(folder, "site.pcap");
    fs::write(&path, pcap::write(scene, pcap::Form::USUAL)).unwrap();
    path
}

/// The record of a host of a report.
fn host<'a>(report: &'a Value, address: &str) -> &'a Value {
    let hosts = report["hosts"].as_array().unwrap();
    hosts.iter().find(|host| host["address"] == address).unwrap_or_else(|| panic!("{hosts:?}"))
}

/// A controller that DNS names and that a caller calls otherwise.
fn named() -> Scene {
    let (cas, dns, dc) =
        (Host::new("10.0.0.5"), Host::new("10.0.0.2"), Host::new("10.1.0.10").hops(2));
    let mut scene = Scene::new();
    scene.udp((cas, 50_000), (dns, 53), &dns_query(1, "dc1.corp.example"));
    scene.udp((dns, 53), (cas, 50_000), &dns_answer(1, "dc1.corp.example", [10, 1, 0, 10]));
    let mut http = Tcp::new(cas, 50_001, dc, 80);
    scene.handshake(&mut http);
    scene.exchange(&mut http, &http_get("/", "pki.corp.example"), &http_status(200, "OK"));
    scene.close(&mut http);
    scene
}

#[test]
fn every_name_says_who_gives_it_and_the_most_trusted_stands_first() {
    let folder = folder();
    let path = stored(&folder, &named());
    let report = run(["-f", "json", &path]).json();
    assert_eq!(
        report["captures"][0]["names"],
        json!([
            { "address": "10.1.0.10", "name": "dc1.corp.example", "source": "dns" },
            { "address": "10.1.0.10", "name": "pki.corp.example", "source": "http" },
        ])
    );
    let names = json!(["dc1.corp.example", "pki.corp.example"]);
    assert_eq!(host(&report, "10.1.0.10")["names"], names);
}

#[test]
fn a_hosts_file_comes_first_and_its_faults_are_told() {
    let folder = folder();
    let path = stored(&folder, &named());
    let hosts = below(&folder, "hosts.txt");
    fs::write(&hosts, "10.1.0.10 ROOTDC1 rootdc1.corp.example\n10.0.0 cas01\n10.0.0.5 CAS01\n")
        .unwrap();
    let found = run(["-f", "json", "--hosts", &hosts, &path]);
    let fault = "line 2, column 1: \"10.0.0\" is no address: write ADDRESS NAME";
    assert_eq!(found.exit, 2);
    assert!(found.stderr.contains(fault), "{}", found.stderr);
    let report = found.json();
    assert_eq!(host(&report, "10.0.0.5")["names"], json!(["CAS01"]));
    assert_eq!(host(&report, "10.1.0.10")["names"][0], "ROOTDC1");
    assert_eq!(report["options"]["hosts"][0]["problems"], json!([fault]));
    // Roles may be given by these names.
    let given = run(["-f", "json", "--hosts", &hosts, "--role", "cas=cas01", &path]).json();
    assert_eq!(host(&given, "10.0.0.5")["roles"][0]["source"], "given");
    let missing = run(["--hosts", &below(&folder, "none"), &path]);
    assert_eq!(missing.exit, 2);
    assert!(missing.stderr.contains("the hosts file cannot be read"), "{}", missing.stderr);
}

#[test]
fn a_role_holds_for_all_addresses_of_a_host() {
    // The addresses end alike, so that the scene gives them one card.
    let (v4, v6) = (Host::new("10.0.0.5"), Host::new("2001:db8::a00:5"));
    let (dc4, dc6) = (Host::new("10.0.0.10"), Host::new("2001:db8::a00:a"));
    assert_eq!(v4.mac(), v6.mac());
    let mut scene = Scene::new();
    for (from, to) in [(v4, dc4), (v6, dc6)] {
        let mut smb = Tcp::new(from, 50_001, to, 445);
        scene.handshake(&mut smb);
    }
    let folder = folder();
    let path = stored(&folder, &scene);
    let roles = ["--role", "cas=10.0.0.5", "--role", "child-dc=10.0.0.10"];
    let report = run([&["-f", "json"][..], &roles, &[&path]].concat()).json();
    let other = host(&report, "2001:db8::a00:5");
    assert_eq!(other["same_host"], json!(["10.0.0.5"]));
    let evidence =
        "one network card on the capture's own network sends for them, 02:00:0a:00:00:05";
    assert_eq!(other["same_host_evidence"], evidence);
    assert_eq!(other["roles"][0]["role"], "cas");
    let evidence = "10.0.0.5 is the same host, to which it was given";
    assert_eq!(other["roles"][0]["evidence"], evidence);
    let cells = report["matrix"]["cells"].as_array().unwrap();
    let of_v6 = |cell: &&Value| cell["from"]["address"] == "2001:db8::a00:5";
    // What was tried over IPv6 is judged; what was not is no gap.
    let outcomes: Vec<&Value> = cells.iter().filter(of_v6).map(|cell| &cell["outcome"]).collect();
    assert_eq!(outcomes, ["open"]);
}

#[test]
fn the_machine_that_captured_leaves_its_checksums_to_its_card() {
    let mut scene = named();
    let folder = folder();
    for frame in &mut scene.frames {
        // RFC 791 3.1: source at 12, checksum at 10 of the IPv4 header.
        if frame.bytes[14 + 12..14 + 16] == [10, 0, 0, 5] {
            frame.bytes[14 + 10..14 + 12].fill(0);
        }
    }
    let path = stored(&folder, &scene);
    let report = run(["-f", "json", &path]).json();
    assert_eq!(report["captures"][0]["taken_on"]["addresses"], json!(["10.0.0.5"]));
    let page = run([&path]).stdout;
    assert!(page.contains("taken on 10.0.0.5"), "{page}");
    let hosts = below(&folder, "hosts.csv");
    fs::write(&hosts, "address,name\n10.0.0.5,CAS01\n").unwrap();
    for format in ["table", "markdown"] {
        let page = run(["--hosts", &hosts, "-f", format, &path]).stdout;
        assert!(page.contains("taken on CAS01 10.0.0.5"), "{page}");
    }
}

#[test]
fn a_host_is_named_by_the_lease_that_it_asked_for() {
    let (nobody, server) = (Host::new("0.0.0.0"), Host::new("10.0.0.1"));
    let everybody = Host::new("255.255.255.255");
    let (cas, dc) = (Host::new("10.0.0.50"), Host::new("10.1.0.10"));
    let mut asked = dhcp(1, [0; 4], 3);
    // RFC 2132 3.14: option 12, before the end mark.
    assert_eq!(asked.pop(), Some(255));
    asked.extend(b"\x0c\x05CAS01\xff");
    let mut scene = Scene::new();
    scene.udp((nobody, 68), (everybody, 67), &asked);
    scene.udp((server, 67), (everybody, 68), &dhcp(2, [10, 0, 0, 50], 5));
    let mut smb = Tcp::new(cas, 50_001, dc, 445);
    scene.handshake(&mut smb);
    let folder = folder();
    let report = run(["-f", "json", &stored(&folder, &scene)]).json();
    assert_eq!(
        report["captures"][0]["names"],
        json!([{ "address": "10.0.0.50", "name": "CAS01", "source": "dhcp" }])
    );
    assert_eq!(host(&report, "10.0.0.50")["names"], json!(["CAS01"]));
}

/// Names that tshark takes from answers of name servers, as "address name".
fn by_tshark(path: &str) -> Option<Vec<String>> {
    let output = Command::new("tshark")
        .args(["-r", path, "-N", "d", "-q", "-z", "hosts"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let address: std::net::IpAddr = words.next()?.parse().ok()?;
        Some(format!("{address} {}", words.next()?))
    };
    Some(text.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect())
}

#[test]
fn what_name_servers_say_is_what_tshark_resolves() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures/open");
    let Ok(entries) = fs::read_dir(folder) else {
        eprintln!("skipped: the shared captures are not here");
        return;
    };
    if Command::new("tshark").arg("-v").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: tshark is not installed");
        return;
    }
    let (mut compared, mut missing) = (0, Vec::new());
    let mut paths: Vec<String> =
        entries.map(|entry| entry.unwrap().path().display().to_string()).collect();
    paths.sort();
    for path in paths {
        let is_small = fs::metadata(&path).unwrap().len() < 2_000_000;
        let is_pcap = [".pcap", ".pcapng", ".cap"].iter().any(|end| path.ends_with(end));
        let expected = if is_small && is_pcap { by_tshark(&path) } else { None };
        let Some(expected) = expected.filter(|names| !names.is_empty()) else { continue };
        let found = run(["-q", "-f", "json", "--no-flows", &path]);
        let Ok(report) = serde_json::from_str::<Value>(&found.stdout) else { continue };
        let names: Vec<String> = report["captures"][0]["names"]
            .as_array()
            .unwrap()
            .iter()
            .map(|known| {
                format!(
                    "{} {}",
                    known["address"].as_str().unwrap(),
                    known["name"].as_str().unwrap()
                )
            })
            .collect();
        // tshark cuts long names, and shows the empty one so.
        for name in expected.iter().filter(|name| !name.ends_with("<Root>")) {
            compared += 1;
            let name = name.to_ascii_lowercase();
            if !names.iter().any(|known| known.to_ascii_lowercase().starts_with(&name)) {
                missing.push(format!("{path}: {name}"));
            }
        }
    }
    eprintln!("{compared} names compared");
    assert!(compared > 150, "{compared}");
    assert!(missing.is_empty(), "{missing:#?}");
}
