//! Who refused, who is silent and whose SYNs were seen to the end: the same in every format.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::files::{netmon, pcap, pcapng};
use support::program::run;
use support::scene::{Host, Refusal, Scene, Side, Tcp};

/// The report on a scene, from each of three formats.
fn reports(scene: &Scene) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("scene.pcap", pcap::write(scene, pcap::Form::USUAL)),
        ("scene.pcapng", pcapng::write(scene, pcapng::Form::USUAL)),
        ("scene.cap", netmon::write(scene, netmon::Form::USUAL)),
    ];
    let report = |(name, bytes): (&str, Vec<u8>)| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let fixed = ["analyze", "--format", "json", "--no-progress"];
        run(fixed.into_iter().chain([path.to_str().unwrap()])).json()
    };
    files.into_iter().map(report).collect()
}

/// The flow to a port.
fn flow(report: &Value, port: u16) -> &Value {
    let flows = report["flows"].as_array().unwrap();
    flows.iter().find(|flow| flow["responder"]["port"] == port).unwrap()
}

#[test]
fn a_reset_from_elsewhere_is_a_device_s_and_one_like_the_rest_the_host_s() {
    let cas = Host::new("10.0.0.5");
    let dc = Host::new("10.1.0.10").hops(2);
    // Its time to live is 62: no packet of the host comes with that.
    let device = Host::new("10.1.0.10").hops(66);
    let mut scene = Scene::new();
    scene.handshake(&mut Tcp::new(cas, 50_001, dc, 135));
    for (from, refuser, port) in [(50_002, dc, 445), (50_003, device, 389)] {
        let mut tcp = Tcp::new(cas, from, refuser, port);
        scene.syn(&mut tcp);
        scene.refuse(&tcp, Refusal::CLOSED_PORT);
    }
    for report in reports(&scene) {
        assert_eq!(flow(&report, 445)["origin"], "host");
        assert_eq!(flow(&report, 389)["origin"], "middlebox");
        let expected = "SYN in frame 6, reset in frame 7. The reset comes with a time to live of 62, \
                        the host's SYN-ACK in frame 2 with 126, so a device on the way may have sent it \
                        in the host's name.";
        assert_eq!(flow(&report, 389)["explanation"], expected);
    }
}

#[test]
fn a_device_that_ends_an_open_connection_is_told() {
    let cas = Host::new("10.0.0.5");
    let mut tcp = Tcp::new(cas, 50_001, Host::new("10.1.0.10").hops(2), 389);
    let mut scene = Scene::new();
    scene.handshake(&mut tcp);
    scene.data(&mut tcp, Side::Initiator, b"request");
    let device = Tcp::new(cas, 50_001, Host::new("10.1.0.10").hops(66), 389);
    let mut reset = device.clone();
    scene.data(&mut reset, Side::Initiator, b"request");
    scene.frames.pop();
    scene.rst(&reset, Side::Responder);
    for report in reports(&scene) {
        let flow = flow(&report, 389);
        assert_eq!(flow["service"]["outcome"], "reset_before_answer");
        let explanation = flow["explanation"].as_str().unwrap();
        let expected = "The path works, and a device on the way may have ended the connection: the \
                        reset in frame 5 comes with a time to live of 62, the SYN-ACK in frame 2 with \
                        126.";
        assert!(explanation.ends_with(expected), "{explanation}");
    }
}

#[test]
fn the_schedule_of_repeated_syns_says_whether_the_attempt_was_seen_to_its_end() {
    let (cas, dc) = (Host::new("10.0.0.5"), Host::new("10.1.0.10"));
    let (mut whole, mut cut) = (Tcp::new(cas, 50_001, dc, 389), Tcp::new(cas, 50_002, dc, 88));
    let mut scene = Scene::new();
    scene.syn(&mut whole);
    scene.wait(3_000);
    scene.syn(&mut whole);
    scene.wait(6_000);
    scene.syn(&mut whole);
    scene.syn(&mut cut);
    scene.wait(3_000);
    scene.syn(&mut cut);
    for report in reports(&scene) {
        let schedule = |seen: u32, course: &str| {
            let name = "Windows 2000 to Server 2016";
            json!({ "name": name, "expected": 3, "seen": seen, "course": course })
        };
        assert_eq!(flow(&report, 389)["schedule"], schedule(3, "complete"));
        assert_eq!(flow(&report, 88)["schedule"], schedule(2, "capture_ended"));
        let explanation = flow(&report, 88)["explanation"].as_str().unwrap();
        let expected = "(at 0 and 3 s: 2 of the 3 SYNs of Windows 2000 to Server 2016, and the capture \
                        ended 6.0 s before the next was due)";
        assert!(explanation.contains(expected), "{explanation}");
    }
}

#[test]
fn a_neighbour_that_never_answers_is_named() {
    let (cas, gone) = (Host::new("10.0.0.5"), Host::new("10.0.0.99"));
    let mut scene = Scene::new();
    // Two hosts answer the one that asks, so the capture shows what is sent to it.
    for (port, server) in [(50_001, "10.0.0.10"), (50_002, "10.0.0.11")] {
        scene.udp((cas, port), (Host::new(server), 53), b"");
        scene.udp((Host::new(server), 53), (cas, port), b"");
    }
    scene.arp(cas, gone);
    scene.wait(1_000);
    scene.arp(cas, gone);
    // This one sends something.
    scene.arp(cas, Host::new("10.0.0.10"));
    for report in reports(&scene) {
        let expected = json!([{
            "address": "10.0.0.99", "asked_by": "10.0.0.5", "asked": 2,
            "first_frame": 5, "last_frame": 6,
        }]);
        assert_eq!(report["captures"][0]["silent_neighbours"], expected);
    }
}
