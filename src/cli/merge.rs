//! `portmortem merge`: adds up reports that were made apart.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::capture::{Input, Reading, expand, open};
use crate::cli::arguments::MergeArguments;
use crate::cli::{Analysis, Status, matrix, output, tables, tell, text_file};
use crate::matrix::Matrix;
use crate::merge::Sum;
use crate::report::{Options, Report, SCHEMA};

/// Bytes of a report that are read at a time.
const PIECE: usize = 1 << 20;

pub(super) fn run(arguments: &MergeArguments) -> Result<Status> {
    let paths = paths_of(&arguments.reports)?;
    let script = arguments.probe_script.as_deref();
    let folder = tables::folder_of(arguments.format.0, &arguments.shown)?;
    let mut written: Vec<&str> = Vec::new();
    let output = [("--output", arguments.shown.output.as_deref().filter(|_| folder.is_none()))];
    let tables = folder.iter().flat_map(tables::Folder::places);
    for (option, path) in output.into_iter().chain(tables).chain([("--probe-script", script)]) {
        let Some(path) = path else { continue };
        output::check_place(option, path, &[], &[], false, &paths)?;
        if written.contains(&path) {
            bail!("{path}: both --output and {option} name it; give one of them another name");
        }
        written.push(path);
    }
    let mut sum: Option<Sum> = None;
    for path in &paths {
        let report = read(path)?;
        let sum = match &mut sum {
            Some(sum) => sum,
            None => sum.insert(Sum::new(matrix_of(&report.options)?)),
        };
        sum.add(path, report).map_err(|refusal| anyhow!("{path}: {refusal}"))?;
    }
    let report = sum.map(Sum::into_report).transpose().map_err(|refusal| anyhow!("{refusal}"))?;
    let Some(report) = report.flatten() else { bail!("there is no report to add up") };
    let (format, no_flows) = (arguments.format.0, arguments.no_flows);
    let told = Analysis { format, folder: folder.as_ref(), script, no_flows, fold: false };
    tell(&arguments.shown, report, told)
}

/// The reports that arguments mean: files, and patterns that the shell left alone.
fn paths_of(arguments: &[OsString]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for name in arguments {
        match name.to_str() {
            Some(name) => names.push(name.to_owned()),
            None => bail!("{}: this name is not in UTF-8: rename it", name.display()),
        }
    }
    let paths = expand(&names, false).into_iter().map(|input| match input {
        Input::Named { shown_as, .. } | Input::Found { shown_as, .. } => Ok(shown_as),
        Input::Missing { shown_as, message } => bail!("{shown_as}: {message}"),
        Input::StandardInput => bail!("-: reports are read from files: write it to one first"),
    });
    paths.collect()
}

/// The matrix that reports with these options are made with.
fn matrix_of(options: &Options) -> Result<Matrix> {
    let matrix = match (&options.matrix, &options.profile) {
        (Some(path), _) => matrix::read(path).context("the reports were made with this matrix")?,
        (None, Some(name)) => matrix::built_in(name)?,
        (None, None) => bail!("the reports name no matrix: they were not made by portmortem"),
    };
    Ok(matrix.with_ports(&options.ports))
}

fn read(path: &str) -> Result<Report> {
    let failed = || format!("{path}: the report cannot be read");
    let mut reader = BufReader::with_capacity(PIECE, File::open(path).with_context(failed)?);
    let parsed = match reader.fill_buf().with_context(failed)? {
        [] => bail!("{path}: the file is empty: the report was not written"),
        // What `>` writes in Windows PowerShell.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            serde_json::from_str(&text_file::read(path, "report")?)
        }
        start => {
            let mark = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
            reader.consume(mark);
            serde_json::from_reader(reader)
        }
    };
    let report: Report = match parsed {
        Ok(report) => report,
        Err(error) => bail!("{path}: {}", why(path, &error)),
    };
    if report.schema != SCHEMA {
        bail!("{path}: {}", other_schema(&report.schema));
    }
    Ok(report)
}

/// What a file is that is no report.
fn why(path: &str, error: &serde_json::Error) -> String {
    #[derive(Deserialize)]
    struct Head {
        schema: Option<Value>,
    }
    if error.is_io() {
        return format!("the report cannot be read: {error}");
    }
    if open(Path::new(path), path, Reading::default()).is_ok() {
        return "this is a capture and no report: give it to analyze".to_owned();
    }
    let no_report = "merge adds up reports of analyze --format json";
    let beginning = File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(PIECE as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let beginning = beginning.unwrap_or_default();
    match beginning.trim_ascii_start().first() {
        Some(b'[') => return format!("this is a list of flows or cells: {no_report}"),
        Some(b'{') => {}
        Some(_) | None => return format!("this is no JSON ({error}): {no_report}"),
    }
    let head = File::open(path).ok().and_then(|file| {
        let reader = BufReader::with_capacity(PIECE, file);
        serde_json::Deserializer::from_reader(reader).into_iter::<Head>().next()
    });
    match head {
        Some(Ok(Head { schema: None })) => {
            format!("this has no schema, as the lines of --format ndjson have none: {no_report}")
        }
        Some(Ok(Head { schema: Some(Value::String(schema)) })) if schema != SCHEMA => {
            other_schema(&schema)
        }
        _ if error.is_eof() => {
            format!(
                "the report ends in the middle ({error}): it was not written whole; make it again"
            )
        }
        _ => format!("the report is damaged, or was changed by hand: {error}"),
    }
}

fn other_schema(schema: &str) -> String {
    format!("its schema is \"{schema}\", and this version adds up \"{SCHEMA}\": make it again")
}
