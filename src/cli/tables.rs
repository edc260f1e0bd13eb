//! Where Parquet goes: never to a terminal, and of `analyze` into a folder where one is named.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{MAIN_SEPARATOR, Path};

use anyhow::{Context, Result, bail};

use crate::cli::arguments::ShownArguments;
use crate::cli::output::write_whole;
use crate::render::{Format, Style, View, render};
use crate::report::Report;

/// Files of a folder, in the order in which they are written: where the last one stands, all do.
#[derive(Debug)]
pub(super) struct Folder {
    flows: String,
    cells: String,
    report: String,
}

/// Checks, before the work is done, that this format can be written, and to where it goes. It is a
/// folder if one is there, or if the path ends as that of one.
pub(super) fn folder_of(format: Format, arguments: &ShownArguments) -> Result<Option<Folder>> {
    check(format, arguments)?;
    let Some(path) = arguments.output.as_deref().filter(|_| format == Format::Parquet) else {
        return Ok(None);
    };
    if !path.ends_with(['/', MAIN_SEPARATOR]) && !Path::new(path).is_dir() {
        return Ok(None);
    }
    if !Path::new(path).is_dir() {
        fs::create_dir(path).with_context(|| format!("{path}: the folder cannot be made"))?;
    }
    let folder = path.strip_suffix(['/', MAIN_SEPARATOR]).unwrap_or(path);
    let file = |name: &str| format!("{folder}/{name}");
    Ok(Some(Folder {
        flows: file("flows.parquet"),
        cells: file("cells.parquet"),
        report: file("report.json"),
    }))
}

/// Checks, before the work is done, that this format can be written.
pub(super) fn check(format: Format, arguments: &ShownArguments) -> Result<()> {
    if format != Format::Parquet {
        return Ok(());
    }
    if cfg!(not(feature = "parquet")) {
        bail!(
            "--format parquet: this program was built without it: build it with the feature \
             \"parquet\", or use csv"
        );
    }
    if arguments.output.is_none() && io::stdout().is_terminal() {
        bail!(
            "--format parquet: this is binary and nothing for a terminal: name a file with --output, \
             or send it to one"
        );
    }
    Ok(())
}

impl Folder {
    /// The files that are written, each with the option that names it.
    pub(super) fn places(&self) -> [(&'static str, Option<&str>); 3] {
        [&self.flows, &self.cells, &self.report].map(|path| ("--output", Some(path.as_str())))
    }

    /// Writes flows and cells as tables, then the whole report as JSON.
    pub(super) fn write(&self, report: &Report, style: Style) -> Result<()> {
        // What stands there is of an earlier run.
        if Path::new(&self.report).is_file() {
            let failed = || format!("{}: the file cannot be replaced", self.report);
            fs::remove_file(&self.report).with_context(failed)?;
        }
        let write = |path: &str, view, format| {
            write_whole(path, |out: &mut dyn Write| render(report, view, format, style, out))
        };
        write(&self.flows, View::Flows, Format::Parquet)?;
        write(&self.cells, View::Analysis, Format::Parquet)?;
        write(&self.report, View::Analysis, Format::Json)
    }
}
