//! The JSON Schema (draft 2020-12) of what `--format json` and `--format ndjson` print.
//!
//! It is made from the types of the records, and their comments are its descriptions, so it cannot
//! fall behind them. Every key is required and no other is allowed, which holds for one version of
//! the program: a later one may print more. Only formats of the standard are named, because strict
//! validators stop at others.

use std::io;
use std::io::Write;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, json_schema};
use serde_json::Value;

use crate::matrix::Cell;
use crate::report::Report;
use crate::verdict::record::JudgedFlow;
use crate::words::words;

words! {
    /// What a schema is wanted of.
    Document {
        /// What `analyze --format json` prints; flows and cells are among its definitions.
        Report = "report",
        /// A line of `flows --format ndjson`, and an item of `flows --format json`.
        Flow = "flow",
        /// A line of `analyze --format ndjson`.
        Cell = "cell",
    }
}

/// Writes the schema of a document. Fails only where `out` does.
pub fn schema(of: Document, out: &mut dyn Write) -> io::Result<()> {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with_transform(RecursiveTransform(settle as fn(&mut Schema)));
    let generator = settings.into_generator();
    let schema = match of {
        Document::Report => generator.into_root_schema_for::<Report>(),
        Document::Flow => generator.into_root_schema_for::<JudgedFlow>(),
        Document::Cell => generator.into_root_schema_for::<Cell>(),
    };
    serde_json::to_writer_pretty(&mut *out, &schema)?;
    out.write_all(b"\n")
}

/// Puts one level of a schema into the words of the standard and of readers of JSON.
fn settle(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = description(text);
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("ip") => {
            schema.remove("format");
            let either = json_schema!({ "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] });
            for (key, value) in either.as_object().into_iter().flatten() {
                schema.insert(key.clone(), value.clone());
            }
        }
        // The size of an integer; what it means for values stands in `minimum` and `maximum`.
        Some(format) if format.starts_with("int") || format.starts_with("uint") => {
            schema.remove("format");
        }
        Some(_) | None => {}
    }
}

/// A comment of the sources as a description: paragraphs in one line, without links, and with the
/// word of JSON for what is not there.
fn description(comment: &str) -> String {
    let paragraphs: Vec<String> =
        comment.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
    paragraphs.join("\n\n").replace("[`", "`").replace("`]", "`").replace("`None`", "`null`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(of: Document) -> Value {
        let mut bytes = Vec::new();
        schema(of, &mut bytes).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn comments_become_sentences_about_json() {
        assert_eq!(
            description("A [`Filter`] as given;\n`None` for none.\n\nIn\ntwo lines."),
            "A `Filter` as given; `null` for none.\n\nIn two lines."
        );
    }

    #[test]
    fn a_report_defines_flows_and_cells_as_they_are_on_lines() {
        let report = written(Document::Report);
        for (of, name) in [(Document::Flow, "Flow"), (Document::Cell, "Cell")] {
            let alone = written(of);
            assert_eq!(alone["title"], name);
            assert!(alone["properties"].is_object());
            assert_eq!(report["$defs"][name]["properties"], alone["properties"]);
        }
    }

    #[test]
    fn words_are_explained_one_by_one() {
        let flow = written(Document::Flow);
        let words = flow["$defs"]["Class"]["oneOf"].as_array().unwrap();
        let timeout = words.iter().find(|word| word["const"] == "timeout").unwrap();
        assert!(timeout["description"].as_str().unwrap().contains("no answer"));
        assert_eq!(words.len(), 4);
    }
}
