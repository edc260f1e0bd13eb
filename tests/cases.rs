//! The program finds in every capture of `testdata` what a person wrote down for it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::path::Path;

use serde_json::Value;
use support::case::{self, Case, Cell, Comment, Flow};
use support::program::run;

/// Runs a check on every capture of every case, and says all that is wrong.
fn check(what: fn(&Case, &Path, &mut Vec<String>)) {
    let mut faults = Vec::new();
    for case in case::all() {
        for capture in &case.captures {
            let mut found = Vec::new();
            what(&case, capture, &mut found);
            let name = format!("{}/{}", case.name, file_name(capture));
            faults.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn flows_of_every_case_are_those_written_down() {
    check(|case, capture, faults| {
        let arguments = ["flows", "--format", "ndjson", "--no-progress", capture.to_str().unwrap()];
        let run = run(arguments);
        expect_exit(case, run.exit, &run.stderr, faults);
        let found = run.ndjson();
        let list: Vec<String> = found.iter().map(summary).collect();
        if found.len() != case.flows.len() {
            faults.push(format!("{} flows, not {}: {list:#?}", found.len(), case.flows.len()));
            return;
        }
        for (expected, found) in case.flows.iter().zip(&found) {
            compare_flow(expected, found, faults);
        }
    });
}

#[test]
fn outcomes_of_every_case_are_those_written_down() {
    check(|case, capture, faults| {
        let mut arguments = case.role_arguments();
        arguments.extend(case.log_arguments());
        let fixed = ["analyze", "--format", "json", "--no-progress", capture.to_str().unwrap()];
        arguments.splice(0..0, fixed.map(String::from));
        let run = run(&arguments);
        expect_exit(case, run.exit, &run.stderr, faults);
        if run.stdout.is_empty() {
            faults.push(format!("no report: {}", run.stderr));
            return;
        }
        let report = run.json();
        compare_captures(case, &report, faults);
        compare_totals(case, &report, faults);
        compare_outcomes(case, &report, faults);
        compare_names(case, &report, faults);
        compare_findings(case, &report, faults);
    });
}

fn expect_exit(case: &Case, exit: i32, stderr: &str, faults: &mut Vec<String>) {
    if exit != case.exit {
        faults.push(format!("exit status {exit}, not {}: {stderr}", case.exit));
    }
    if case.exit != 0 && stderr.trim().is_empty() {
        faults.push("exit status without a word about why".to_owned());
    }
}

fn summary(flow: &Value) -> String {
    format!(
        "{} {} -> {} {}/{} from frame {}",
        text(&flow["transport"]),
        endpoint(&flow["initiator"]),
        endpoint(&flow["responder"]),
        text(&flow["class"]),
        text(&flow["verdict"]),
        flow["first_frame"]
    )
}

fn compare_flow(expected: &Flow, found: &Value, faults: &mut Vec<String>) {
    let name = summary(found);
    let mut differs = |what: &str, expected: &str, found: &str| {
        if expected != found {
            faults.push(format!("{name}: {what} is {found}, not {expected}"));
        }
    };
    differs("transport", &expected.transport, text(&found["transport"]));
    differs("initiator", &expected.initiator, &endpoint(&found["initiator"]));
    differs("responder", &expected.responder, &endpoint(&found["responder"]));
    differs("class", &expected.class, text(&found["class"]));
    differs("verdict", &expected.verdict, text(&found["verdict"]));
    for (what, expected) in [
        ("confidence", &expected.confidence),
        ("origin", &expected.origin),
        ("closing", &expected.closing),
    ] {
        if let Some(expected) = expected {
            differs(what, expected, text(&found[what]));
        }
    }
    if let Some(expected) = &expected.service {
        let found = &found["service"];
        differs("service outcome", &expected.outcome, text(&found["outcome"]));
        if let Some(code) = &expected.code {
            differs("service code", code, text(&found["code"]));
        }
        if let Some(frame) = expected.frame {
            differs("service frame", &frame.to_string(), &found["frame"].to_string());
        }
    }
    for (what, expected) in [("packets", expected.packets), ("bytes", expected.bytes)] {
        if let Some([initiator, responder]) = expected {
            let sides = [("initiator", initiator), ("responder", responder)];
            for (side, expected) in sides {
                differs(what, &expected.to_string(), &found[what][side].to_string());
            }
        }
    }
    if let Some(expected) = expected.duplicates {
        differs("duplicates", &expected.to_string(), &found["duplicates"].to_string());
    }
    if let Some(expected) = &expected.told {
        let explanation = text(&found["explanation"]);
        let told = if explanation.contains(expected) { expected } else { explanation };
        differs("the explanation", expected, told);
    }
    if let Some(expected) = &expected.service_name {
        differs("the service", expected, text(&found["service"]["name"]));
    }
    if let Some(expected) = &expected.interface {
        differs("the interface", expected, text(&found["rpc"]["interface"]));
    }
    if let Some(expected) = expected.announced_frame {
        let announced = found["rpc"]["announced_frame"].to_string();
        differs("the announcing frame", &expected.to_string(), &announced);
    }
    let announced: Vec<String> = array(&found["announced"]).iter().map(place).collect();
    differs("what it announces", &expected.announced.join(", "), &announced.join(", "));
    if let Some(expected) = &expected.encapsulation {
        let found = &found["encapsulation"];
        differs("encapsulation", &Value::from(expected.clone()).to_string(), &found.to_string());
    }
    let evidence: Vec<u64> = array(&found["evidence"])
        .iter()
        .filter_map(|evidence| evidence["frame"].as_u64())
        .collect();
    if let Some(missing) = expected.frames.iter().find(|frame| !evidence.contains(frame)) {
        faults.push(format!("{name}: frame {missing} is not in the evidence {evidence:?}"));
    }
    let first = expected.frames.first().copied();
    if found["first_frame"].as_u64() != first {
        faults.push(format!("{name}: the first frame is not {first:?}"));
    }
}

/// "7 DRSUAPI tcp/49158 10.1.0.10"; without the address where none was announced.
fn place(announced: &Value) -> String {
    let (frame, interface) = (&announced["frame"], text(&announced["interface"]));
    let (transport, port) = (text(&announced["transport"]), &announced["port"]);
    let address = announced["address"].as_str().map(|address| format!(" {address}"));
    format!("{frame} {interface} {transport}/{port}{}", address.unwrap_or_default())
}

fn compare_findings(case: &Case, report: &Value, faults: &mut Vec<String>) {
    let titles: Vec<&str> =
        array(&report["findings"]).iter().map(|finding| text(&finding["title"])).collect();
    for expected in &case.findings {
        if !titles.contains(&expected.as_str()) {
            faults.push(format!("no finding \"{expected}\" among {titles:#?}"));
        }
    }
    let rank = |finding: &Value| {
        let explained = finding["explained_by"].as_u64().map(|cause| format!(" < {}", cause + 1));
        let (severity, kind) = (text(&finding["severity"]), text(&finding["kind"]));
        format!("{severity} {kind}{}", explained.unwrap_or_default())
    };
    let ranked: Vec<String> = array(&report["findings"]).iter().map(rank).collect();
    if case.ranked.as_ref().is_some_and(|expected| *expected != ranked) {
        faults.push(format!("findings are {ranked:#?}, not {:#?}: {titles:#?}", case.ranked));
    }
}

fn compare_captures(case: &Case, report: &Value, faults: &mut Vec<String>) {
    let [capture] = array(&report["captures"]) else {
        faults.push(format!("not one capture: {}", report["captures"]));
        return;
    };
    let frames = capture["frames"].as_u64();
    if case.frames.is_some_and(|expected| frames != Some(expected)) {
        faults.push(format!("{frames:?} frames, not {:?}", case.frames));
    }
    let troubles = array(&capture["problems"]).iter().any(|problem| problem["severity"] != "info");
    if troubles != (case.exit == 2) {
        faults.push(format!("exit status {}, problems {}", case.exit, capture["problems"]));
    }
    if !case.comments.is_empty() {
        let found: Vec<Comment> = array(&capture["comments"])
            .iter()
            .map(|comment| Comment {
                frame: comment["frame"].as_u64(),
                text: text(&comment["text"]).to_owned(),
            })
            .collect();
        if found != case.comments {
            faults.push(format!("comments are {found:?}, not {:?}", case.comments));
        }
    }
}

fn compare_totals(case: &Case, report: &Value, faults: &mut Vec<String>) {
    let totals = &report["totals"];
    let count = |class: &str| case.flows.iter().filter(|flow| flow.class == class).count();
    for class in ["success", "timeout", "reject", "inconclusive"] {
        if totals[class] != count(class) {
            faults.push(format!("totals: {class} is {}, not {}", totals[class], count(class)));
        }
    }
    if totals["flows"] != case.flows.len() {
        faults.push(format!("totals: flows is {}, not {}", totals["flows"], case.flows.len()));
    }
}

fn compare_outcomes(case: &Case, report: &Value, faults: &mut Vec<String>) {
    let mut found: Vec<Cell> = array(&report["matrix"]["cells"])
        .iter()
        .filter(|cell| cell["outcome"] != "not_exercised")
        .map(|cell| Cell {
            from: text(&cell["from"]["address"]).to_owned(),
            to: text(&cell["to"]["address"]).to_owned(),
            requirement: text(&cell["requirement"]).to_owned(),
            outcome: text(&cell["outcome"]).to_owned(),
        })
        .collect();
    found.sort();
    for outcome in &found {
        if !case.outcomes.contains(outcome) {
            faults.push(format!("not written down: {outcome:?}"));
        }
    }
    for outcome in &case.outcomes {
        if !found.contains(outcome) {
            faults.push(format!("not found: {outcome:?}"));
        }
    }
    // Roles are given, so what nobody tried must be there too, and say so.
    let not_exercised = array(&report["matrix"]["cells"]).len() - found.len();
    if not_exercised == 0 && !case.roles.is_empty() {
        faults.push("no cell is not_exercised, but no case exercises all rows".to_owned());
    }
}

fn compare_names(case: &Case, report: &Value, faults: &mut Vec<String>) {
    for (address, names) in &case.names {
        let host = array(&report["hosts"]).iter().find(|host| host["address"] == address.as_str());
        let found = host.map(|host| host["names"].to_string());
        let expected = Value::from(names.clone()).to_string();
        if found.as_deref() != Some(&expected) {
            faults.push(format!("names of {address} are {found:?}, not {expected}"));
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("(none)")
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn endpoint(value: &Value) -> String {
    let (address, port) = (text(&value["address"]), &value["port"]);
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}
