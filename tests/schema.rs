//! What the program prints fits the JSON Schema that it publishes, and nothing else does.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::{Value, json};
use support::calls::{call, seed};
use support::case::{self, Case};

/// What a schema can be asked of, with what prints it.
const DOCUMENTS: [&str; 3] = ["report", "flow", "cell"];

fn schema(of: &str) -> Value {
    let run = call(&["schema", "--of", of]);
    assert_eq!((run.exit, run.stderr.as_str()), (0, ""), "{of}");
    run.json()
}

fn validator(of: &str) -> Validator {
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&schema(of))
        .unwrap_or_else(|fault| panic!("{of}: {fault}"))
}

/// What does not fit, and where.
fn faults(validator: &Validator, value: &Value) -> Vec<String> {
    validator
        .iter_errors(value)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}

/// The options of runs over every case, each in addition to the roles and logs of the case.
fn variants() -> Vec<Vec<&'static str>> {
    vec![
        vec![],
        vec!["--anonymize", "a key that nobody guesses"],
        vec!["--filter", "class != success", "--no-flows"],
        vec!["--profile", "active-directory", "--rpc-range", "50000-50100,135", "--join"],
        vec![
            "--profile",
            "configmgr",
            "--port",
            "sql=1433,50000",
            "--since",
            "2001-01-01",
            "--until",
            "2100-01-01T00:00:00Z",
            "--max-inflated",
            "64GiB",
        ],
    ]
}

fn told(case: &Case, options: &[&str], faults: &[String]) -> Vec<String> {
    faults.iter().map(|fault| format!("{} {options:?}: {fault}", case.name)).collect()
}

/// The arguments of an analysis; another profile need not have the roles of a case.
fn arguments(case: &Case, capture: &str, format: &str, options: &[&str]) -> Vec<String> {
    let fixed = ["analyze", capture, "--quiet", "--no-progress", "--format", format];
    let mut arguments: Vec<String> =
        fixed.into_iter().chain(options.iter().copied()).map(String::from).collect();
    if !options.contains(&"--profile") {
        arguments.extend(case.role_arguments());
    }
    arguments.extend(case.log_arguments());
    arguments
}

fn analyzed(case: &Case, capture: &str, format: &str, options: &[&str]) -> support::program::Run {
    let arguments = arguments(case, capture, format, options);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = call(&words);
    assert_eq!(run.exit, case.exit, "{words:?}: {}", run.stderr);
    run
}

#[test]
fn every_report_fits_the_schema() {
    let report = validator("report");
    let mut found = Vec::new();
    for case in case::all() {
        for (capture, options) in case
            .captures
            .iter()
            .flat_map(|capture| variants().into_iter().map(move |options| (capture, options)))
        {
            let run = analyzed(&case, capture.to_str().unwrap(), "json", &options);
            found.extend(told(&case, &options, &faults(&report, &run.json())));
        }
    }
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_line_fits_the_schema() {
    let (flow, cell) = (validator("flow"), validator("cell"));
    let mut found = Vec::new();
    let mut lines = [0, 0];
    for case in case::all() {
        let capture = case.captures[0].to_str().unwrap();
        for options in variants() {
            for line in analyzed(&case, capture, "ndjson", &options).ndjson() {
                lines[0] += 1;
                found.extend(told(&case, &options, &faults(&cell, &line)));
            }
        }
        for options in [vec![], vec!["--anonymize", "a key that nobody guesses"]] {
            let mut words = vec!["flows", capture, "--quiet", "--format", "ndjson"];
            words.extend(&options);
            for line in call(&words).ndjson() {
                lines[1] += 1;
                found.extend(told(&case, &options, &faults(&flow, &line)));
            }
        }
    }
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
    assert!(lines.iter().all(|count| *count > 100), "{lines:?}");
}

#[test]
fn inputs_that_cannot_be_read_fit_the_schema() {
    let (readme, capture) = (concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"), seed("pcap"));
    let words =
        [&capture, &capture, readme, "/absent.pcap", "--log", readme, "--log", "/absent.log"];
    let words = [&words[..], &["--hosts", readme, "--format", "json"]].concat();
    let run = call(&words);
    assert_eq!(run.exit, 2);
    let report = run.json();
    assert_eq!(faults(&validator("report"), &report), [""; 0]);
    for (list, length) in [("captures", 4), ("logs", 2)] {
        assert_eq!(report[list].as_array().unwrap().len(), length);
    }
    assert_ne!(report["options"]["hosts"][0]["problems"], json!([]));
}

#[test]
fn reports_of_real_captures_fit_the_schema() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures/open");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: {} is not at hand", folder.display());
        return;
    };
    let small = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() < 100_000);
    let mut captures: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(small).collect();
    captures.sort();
    let mut words = vec!["--quiet", "--format", "json", "--profile", "configmgr"];
    words.extend(captures.iter().map(|path| path.to_str().unwrap()));
    let report = call(&words).json();
    assert!(report["flows"].as_array().unwrap().len() > 100);
    assert_eq!(faults(&validator("report"), &report), [""; 0]);
}

// ---- What does not fit.

/// Reports that have something at nearly every place between them.
fn rich() -> Vec<Value> {
    ["seed", "firewall-log", "services-fail", "rpc-answers", "comments-and-names", "article"]
        .map(|name| case::all().into_iter().find(|case| case.name == name).unwrap())
        .map(|case| {
            let ports = ["--rpc-range", "50000-50100"];
            analyzed(&case, case.captures[0].to_str().unwrap(), "json", &ports).json()
        })
        .into()
}

/// The places of all values in a document, as JSON pointers (RFC 6901): of those that have the same
/// keys above them the first.
fn places(
    value: &Value,
    place: &str,
    shape: &str,
    seen: &mut BTreeSet<String>,
    found: &mut Vec<String>,
) {
    let is_new = seen.insert(shape.to_owned());
    if is_new {
        found.push(place.to_owned());
    }
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                places(value, &format!("{place}/{key}"), &format!("{shape}/{key}"), seen, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{place}/{index}"), &format!("{shape}/[]"), seen, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Asserts that a document fits, and no longer does when one of its values is changed.
fn expect_fault(
    validator: &Validator,
    document: &mut Value,
    place: &str,
    change: impl FnOnce(&mut Value),
    what: &str,
) {
    let value = document.pointer_mut(place).unwrap();
    let before = value.clone();
    change(value);
    assert!(!validator.is_valid(document), "{place}: {what}, and it still fits");
    *document.pointer_mut(place).unwrap() = before;
}

#[test]
fn nothing_may_be_missing_added_or_of_another_type() {
    let report = validator("report");
    let mut seen = BTreeSet::new();
    for mut document in rich() {
        let mut found = Vec::new();
        places(&document, "", "", &mut seen, &mut found);
        for place in found {
            let fields = document.pointer(&place).unwrap().as_object();
            let keys: Vec<String> =
                fields.into_iter().flatten().map(|(key, _)| key.clone()).collect();
            for key in &keys {
                let change = |value: &mut Value| {
                    value.as_object_mut().unwrap().remove(key);
                };
                expect_fault(&report, &mut document, &place, change, &format!("{key} is gone"));
            }
            if !keys.is_empty() {
                let change = |value: &mut Value| value["unheard_of"] = Value::Null;
                expect_fault(&report, &mut document, &place, change, "a key is added");
            }
            // No value is an object with keys of anybody's choice.
            let change = |value: &mut Value| *value = json!({ "unheard_of": 1 });
            expect_fault(&report, &mut document, &place, change, "it is another object");
        }
        assert!(report.is_valid(&document));
    }
    for shape in [
        "/captures/[]/problems",
        "/captures/[]/names/[]/source",
        "/captures/[]/comments/[]/text",
        "/captures/[]/not_understood/[]/line",
        "/logs/[]/clock_offset/milliseconds",
        "/logs/[]/entries/[]/drop/source/port",
        "/hosts/[]/roles/[]/evidence",
        "/matrix/cells/[]/counts/timeout",
        "/findings/[]/log_lines/[]/line",
        "/findings/[]/frames/[]/frame",
        "/firewall_requests/[]/ports",
        "/rule_set/rules/[]/ports/[]/service",
        "/to_try/[]/tries/[]/command",
        "/flows/[]/evidence/[]/seq",
        "/flows/[]/rpc/uuid",
        "/flows/[]/announced/[]/port",
    ] {
        assert!(seen.contains(shape), "no report has {shape}: nothing was tried there");
    }
}

#[test]
fn words_numbers_and_times_of_others_do_not_fit() {
    let report = validator("report");
    let mut document = rich().remove(0);
    for (place, wrong) in [
        ("/schema", json!("portmortem.report/2")),
        ("/captures/0/sha256", json!("ABC")),
        ("/captures/0/zone", json!("local")),
        ("/captures/0/frames", json!(-1)),
        ("/captures/0/frames", json!(1.5)),
        ("/captures/0/first_seen", json!("27.05.2014 10:15")),
        ("/captures/0/first_seen", json!("2014-05-27T10:15:00+02:00")),
        ("/options/rpc_range/0", json!("all")),
        ("/options/rpc_range/0", json!(50_000)),
        ("/findings/0/kind", json!("blocked")),
        ("/findings/0/severity", json!("fatal")),
        ("/findings/0/rung", json!("cable")),
        ("/firewall_requests/0/direction", json!("inbound")),
        ("/matrix/cells/0/outcome", json!("Open")),
        ("/matrix/cells/0/ports", json!("any")),
        ("/flows/0/verdict", json!("blocked")),
        ("/flows/0/initiator/port", json!(65_536)),
        ("/flows/0/initiator/address", json!("")),
        ("/flows/0/evidence/0/ttl", json!(256)),
        ("/flows/0/evidence/0/frame", Value::Null),
    ] {
        let what = format!("it is {wrong}");
        expect_fault(&report, &mut document, place, |value| *value = wrong, &what);
    }
}

// ---- The schema itself.

/// All schemas of objects in a schema.
fn objects<'a>(schema: &'a Value, found: &mut Vec<&'a Value>) {
    match schema {
        Value::Object(fields) => {
            if fields.get("type").is_some_and(|kind| kind == "object") {
                found.push(schema);
            }
            fields.values().for_each(|value| objects(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| objects(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_key_is_required_explained_and_no_other_allowed() {
    for of in DOCUMENTS {
        let schema = schema(of);
        let mut found = Vec::new();
        objects(&schema, &mut found);
        assert!(found.len() > 2, "{of}");
        for object in found {
            let keys: Vec<&String> = object["properties"].as_object().unwrap().keys().collect();
            assert_eq!(object["additionalProperties"], false, "{of}: {keys:?}");
            assert_eq!(object["required"], json!(keys), "{of}");
            for (key, value) in object["properties"].as_object().unwrap() {
                let text = value["description"].as_str().unwrap_or_default();
                assert!(text.ends_with('.'), "{of}: {key} is not explained: {text:?}");
                assert!(!text.contains("::") && !text.contains("[`"), "{of}: {key}: {text}");
            }
        }
    }
}

#[test]
fn keys_stand_in_the_order_of_reports() {
    let (schema, report) = (schema("report"), rich().remove(0));
    for (schema, value) in [
        (&schema["properties"], &report),
        (&schema["$defs"]["Flow"]["properties"], &report["flows"][0]),
        (&schema["$defs"]["Cell"]["properties"], &report["matrix"]["cells"][0]),
    ] {
        let keys =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(keys(schema), keys(value));
    }
}

#[test]
fn the_schema_is_of_its_draft_and_the_same_every_time() {
    for of in DOCUMENTS {
        let (run, again) = (call(&["schema", "--of", of]), call(&["schema", "--of", of]));
        assert_eq!(run.stdout, again.stdout);
        assert!(run.stdout.ends_with("}\n"));
        assert!(!run.stdout.contains(env!("CARGO_MANIFEST_DIR")));
        let schema = run.json();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert!(jsonschema::draft202012::meta::is_valid(&schema), "{of}");
    }
    assert_eq!(call(&["schema"]).stdout, call(&["schema", "--of", "report"]).stdout);
    let wrong = call(&["schema", "--of", "finding"]);
    assert_eq!(wrong.exit, 2);
    assert!(wrong.stderr.contains("possible values: report, flow, cell"), "{}", wrong.stderr);
}

/// Validators differ in what they do with a format that no standard knows: the strict ones stop.
#[test]
fn only_formats_of_the_standard_are_named() {
    for of in DOCUMENTS {
        let text = call(&["schema", "--of", of]).stdout;
        let formats: BTreeSet<&str> =
            text.lines().filter_map(|line| line.trim().strip_prefix("\"format\": \"")).collect();
        let known = formats
            .iter()
            .all(|format| format.starts_with("ipv4\"") || format.starts_with("ipv6\""));
        assert!(known, "{formats:?}");
    }
}
