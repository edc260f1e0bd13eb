//! The command line: arguments in, exit status out.
//!
//! Only here is anything printed. Exit status: 0 analysed, whatever was found; 1 only with
//! `--fail-on`, when a named outcome occurred; 2 trouble: a wrong call, an input unreadable or
//! readable only in part, an output not written. A broken pipe is quiet success.

mod arguments;
mod matrix;
mod output;
mod text_file;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{CommandFactory, Parser};

use crate::analyze::{Config, analyze};
use crate::capture::Severity;
use crate::cli::arguments::{AnalyzeArguments, Arguments, Command, InputArguments};
use crate::matrix::{parse_role_argument, parse_roles_file};
use crate::render::{Format, View, render};
use crate::report::{Filters, Options, Report, Waits};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Analysed,
    OutcomeNamed,
    Trouble,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(match status {
            Status::Analysed => 0,
            Status::OutcomeNamed => 1,
            Status::Trouble => 2,
        })
    }
}

/// Runs the program with the arguments of the process.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for; everything else is a wrong call.
            let status = if error.use_stderr() { Status::Trouble } else { Status::Analysed };
            let _ = error.print();
            return status.into();
        }
    };
    match dispatch(arguments) {
        Ok(status) => status.into(),
        Err(error) if is_broken_pipe(&error) => Status::Analysed.into(),
        Err(error) => {
            let _ = writeln!(io::stderr(), "portmortem: {error:#}");
            Status::Trouble.into()
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn dispatch(arguments: Arguments) -> Result<Status> {
    match arguments.command {
        None => analysis(&arguments.analyze),
        Some(Command::Analyze(analyze)) => analysis(&analyze),
        Some(Command::Flows(flows)) => {
            let report = report_of(&flows.input, false)?;
            finish(&flows.input, &report, View::Flows)
        }
        Some(Command::Matrix(command)) => matrix::run(&command).map(|()| Status::Analysed),
        Some(Command::Compare(_)) => bail!("compare: not in this version; the name is reserved"),
        Some(Command::Merge(_)) => bail!("merge: not in this version; the name is reserved"),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "portmortem", &mut script);
            io::stdout().write_all(&script)?;
            Ok(Status::Analysed)
        }
        Some(Command::Man) => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
            io::stdout().write_all(&page)?;
            Ok(Status::Analysed)
        }
    }
}

fn analysis(arguments: &AnalyzeArguments) -> Result<Status> {
    // Half of the time of a run, so only for formats that print it.
    let digest = match arguments.input.format.0 {
        Format::Json | Format::Markdown | Format::Html => true,
        Format::Table => arguments.input.verbose,
        Format::Ndjson | Format::Csv => false,
    };
    let mut report = report_of(&arguments.input, digest)?;
    if arguments.no_flows {
        report.flows.clear();
    }
    finish(&arguments.input, &report, View::Analysis)
}

/// Reads what the arguments name, and analyses.
fn report_of(arguments: &InputArguments, digest: bool) -> Result<Report> {
    check_times(arguments)?;
    let inputs = inputs_of(arguments)?;
    if let Some(path) = &arguments.output {
        let read = arguments.roles.iter().chain(&arguments.matrix);
        output::check_place(path, &inputs, !arguments.no_recursive, read)?;
    }
    let matrix = match (&arguments.matrix, &arguments.profile) {
        (Some(path), _) => matrix::read(path)?,
        (None, name) => matrix::built_in(name)?,
    };
    let mut roles = Vec::new();
    for path in &arguments.roles {
        let text = text_file::read(path, "roles file")?;
        roles.extend(parse_roles_file(&text, path, &matrix)?);
    }
    for argument in &arguments.role {
        roles.push(parse_role_argument(argument, &matrix)?);
    }
    let options = Options {
        profile: arguments.matrix.is_none().then(|| arguments.profile.clone()),
        matrix: arguments.matrix.clone(),
        roles,
        rpc_range: arguments.rpc_range.clone(),
        waits: Waits {
            syn_ms: arguments.syn_wait.0,
            udp_reply_ms: Waits::UDP_REPLY_MS,
            udp_idle_ms: arguments.udp_idle.0,
        },
        filters: Filters {
            since: arguments.since.map(|time| time.to_string()),
            until: arguments.until.map(|time| time.to_string()),
        },
        join: arguments.join,
        max_inflated: arguments.max_inflated.map(|size| size.0),
    };
    Ok(analyze(&Config {
        inputs,
        recursive: !arguments.no_recursive,
        threads: arguments.threads,
        big_capture: Config::BIG_CAPTURE,
        digest,
        matrix,
        since: arguments.since.map(|time| time.at),
        until: arguments.until.map(|time| time.at),
        options,
    }))
}

/// The inputs as text, as reports show them.
fn inputs_of(arguments: &InputArguments) -> Result<Vec<String>> {
    let inputs = arguments.inputs.iter().map(|input| match input.to_str() {
        Some(input) => Ok(input.to_owned()),
        None => bail!(
            "{}: this name is not in UTF-8 and cannot be given here: rename it, or give the folder \
             it stands in",
            input.display()
        ),
    });
    inputs.collect()
}

/// Times between which no frame can lie are a slip, not a wish for an empty report.
fn check_times(arguments: &InputArguments) -> Result<()> {
    if let (Some(since), Some(until)) = (arguments.since, arguments.until)
        && since.at >= until.at
    {
        bail!("--since {since} is not before --until {until}: exchange them, or leave one out");
    }
    Ok(())
}

/// Prints problems and the report, and tells the exit status.
fn finish(arguments: &InputArguments, report: &Report, view: View) -> Result<Status> {
    if !arguments.quiet {
        // Where nobody hears of them, the report and the exit status still tell.
        let _ = print_problems(report);
    }
    let format = arguments.format.0;
    if let Some(path) = &arguments.output {
        let style = output::style_of_file(arguments);
        output::write_whole(path, |out| render(report, view, format, style, out))?;
    } else {
        let style = output::style_of_stdout(arguments);
        render(report, view, format, style, &mut io::stdout().lock())
            .context("standard output: the report cannot be written")?;
    }
    let named = |outcome| arguments.fail_on.iter().any(|named| named.0 == outcome);
    Ok(if report.has_trouble() {
        Status::Trouble
    } else if report.matrix.cells.iter().any(|cell| named(cell.outcome)) {
        Status::OutcomeNamed
    } else {
        Status::Analysed
    })
}

fn print_problems(report: &Report) -> io::Result<()> {
    let mut out = io::stderr().lock();
    for capture in &report.captures {
        for problem in capture.problems.iter().filter(|problem| problem.severity != Severity::Info)
        {
            let frame = problem.frame.map(|frame| format!("frame {frame}: ")).unwrap_or_default();
            let offset = problem.offset.map(|offset| format!("offset {offset}: "));
            let place = frame + &offset.unwrap_or_default();
            let line = format!("portmortem: {}: {place}{}", capture.path, problem.message);
            writeln!(out, "{}", crate::render::safe_for_terminal(&line))?;
        }
    }
    // A format for programs would show nothing at all.
    if report.totals.flows == 0 && !report.has_trouble() {
        let frames = report.frames();
        writeln!(out, "portmortem: no TCP or UDP flow in {frames} frames")?;
    }
    Ok(())
}
