//! The command line: arguments in, exit status out.
//!
//! Only here is anything printed. Exit status: 0 analysed, whatever was found; 1 only with
//! `--fail-on`, when a named outcome occurred; 2 trouble: a wrong call, an input unreadable or
//! readable only in part, an output not written. A broken pipe is quiet success.

mod arguments;
mod interrupt;
mod machine;
mod matrix;
mod merge;
mod meter;
mod output;
mod tables;
mod text_file;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::{CommandFactory, Parser};

use crate::analyze::{Config, Depth, NOT_BEGUN, Selection, State, analyze};
use crate::anonymize::anonymize;
use crate::capture::{Progress, Severity};
use crate::cli::arguments::{AnalyzeArguments, Arguments, Command, InputArguments, ShownArguments};
use crate::flow::Budget;
use crate::matrix::{
    effective, parse_hosts_file, parse_port_argument, parse_role_argument, parse_roles_file,
};
use crate::render::{Format, Style, View, probe_script, render, requests, schema};
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
            tables::check(flows.format.0, &flows.input.shown)?;
            let packets = flows.write.as_deref();
            let mut config = config_of(&flows.input, &[("--write", packets)], &[], false)?;
            if !View::Flows.shows_diagnosis(flows.format.0) {
                config.depth = Depth::Assessment;
            }
            let shown = &flows.input.shown;
            let mut report = read(shown, &config)?;
            let mut view = View::Flows;
            if !flows.show.is_empty() {
                report.check_ids(&flows.show).map_err(|message| anyhow!("--show: {message}"))?;
                report.keep_flows(&flows.show);
                view = View::Ladders;
            }
            let is_whole = match packets {
                Some(path) => {
                    let selection = Selection::whole(&report);
                    output::write_packets(path, &config, &report, &selection, shown)?
                }
                None => true,
            };
            let report = shareable(shown, report)?;
            let status = finish(shown, &report, |style, out| {
                render(&report, view, flows.format.0, style, out)
            })?;
            leave(report);
            Ok(if is_whole && is_kept(&config) { status } else { Status::Trouble })
        }
        Some(Command::Requests(arguments)) => {
            let config = config_of(&arguments.input, &[], &arguments.log, false)?;
            let shown = &arguments.input.shown;
            let report = shareable(shown, read(shown, &config)?)?;
            finish(shown, &report, |style, out| requests(&report, arguments.format.0, style, out))
        }
        Some(Command::Matrix(command)) => matrix::run(&command).map(|()| Status::Analysed),
        Some(Command::Schema { of }) => {
            let mut text = Vec::new();
            schema(of.0, &mut text)?;
            io::stdout().write_all(&text)?;
            Ok(Status::Analysed)
        }
        Some(Command::Compare(_)) => bail!("compare: not in this version; the name is reserved"),
        Some(Command::Merge(arguments)) => merge::run(&arguments),
        Some(Command::SparkJob) => {
            io::stdout().write_all(include_bytes!("spark_job.py"))?;
            Ok(Status::Analysed)
        }
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
    let shown = &arguments.input.shown;
    let folder = tables::folder_of(arguments.format.0, shown)?;
    // Half of the time of a run, so only for formats that print it.
    let digest = match arguments.format.0 {
        Format::Json | Format::Markdown | Format::Html => true,
        Format::Table => shown.verbose,
        Format::Parquet => folder.is_some(),
        Format::Ndjson | Format::Csv => false,
    };
    let packets = arguments.evidence.as_deref();
    let script = arguments.probe_script.as_deref();
    let mut written = vec![("--evidence", packets), ("--probe-script", script)];
    written.extend(folder.iter().flat_map(tables::Folder::places));
    let mut config = config_of(&arguments.input, &written, &arguments.log, digest)?;
    // What is written beside the cells asks for more than they do.
    let is_alone = written.iter().all(|(_, path)| path.is_none());
    if is_alone && !View::Analysis.shows_diagnosis(arguments.format.0) {
        config.depth = Depth::Assessment;
    }
    let report = read(shown, &config)?;
    let mut is_whole = true;
    if let Some(path) = packets {
        let selection = match arguments.evidence_for.as_slice() {
            [] => Selection::deciding(&report),
            ids => Selection::deciding_for(&report, ids)
                .map_err(|message| anyhow!("--evidence-for: {message}"))?,
        };
        is_whole = output::write_packets(path, &config, &report, &selection, shown)?;
    }
    let (format, no_flows) = (arguments.format.0, arguments.no_flows);
    let told = Analysis { format, folder: folder.as_ref(), script, no_flows, fold: arguments.fold };
    let status = tell(shown, report, told)?;
    Ok(if is_whole && is_kept(&config) { status } else { Status::Trouble })
}

/// What is wanted of an analysis.
#[derive(Clone, Copy)]
struct Analysis<'a> {
    format: Format,
    /// Where to write tables, if not to one file.
    folder: Option<&'a tables::Folder>,
    /// Where to write a script that tries what no capture tried.
    script: Option<&'a str>,
    no_flows: bool,
    /// Whether plain flows are counted only.
    fold: bool,
}

/// Prints an analysis.
fn tell(shown: &ShownArguments, report: Report, wanted: Analysis<'_>) -> Result<Status> {
    let mut report = shareable(shown, report)?;
    if let Some(path) = wanted.script {
        output::write_whole(path, |out| probe_script(&report, out))?;
    }
    if wanted.fold {
        report.fold();
    }
    if wanted.no_flows {
        report.flows.clear();
    }
    let status = match wanted.folder {
        Some(folder) => {
            finish_by(shown, &report, || folder.write(&report, output::style_of_file(shown)))
        }
        None => finish(shown, &report, |style, out| {
            render(&report, View::Analysis, wanted.format, style, out)
        }),
    };
    leave(report);
    status
}

/// The program ends with its report: handing a million flows back one by one takes a twentieth of the
/// time of the whole run, and nobody waits for the memory.
fn leave(report: Report) {
    std::mem::forget(report);
}

/// The report of what the arguments ask for.
fn read(arguments: &ShownArguments, config: &Config) -> Result<Report> {
    interrupt::heed(&config.progress, arguments.quiet);
    let report = meter::shown(arguments, &config.progress, "reading", || analyze(config));
    if let Some(lost) = config.budget.lost() {
        bail!("{lost}");
    }
    if let Some(trouble) = config.budget.trouble().filter(|_| !arguments.quiet) {
        // The report is whole all the same.
        let _ = writeln!(
            io::stderr(),
            "{}",
            crate::render::safe_for_terminal(&format!("portmortem: {trouble}"))
        );
    }
    if let Some(state) = config.state.as_ref().filter(|_| !arguments.quiet) {
        // Where nobody hears of it, the report tells the same.
        let _ = print_state(state);
    }
    Ok(report)
}

/// Refuses a report whose flows could not all be read while it was written.
fn intact(report: &Report) -> io::Result<()> {
    report.flows.lost().map_or(Ok(()), |lost| Err(io::Error::other(lost)))
}

fn print_state(state: &State) -> io::Result<()> {
    let mut out = io::stderr().lock();
    let (known, read) = state.known_and_read();
    let many = if known + read == 1 { "file" } else { "files" };
    let mut lines = state.problems();
    lines.push(format!(
        "{known} of {} {many} with captures known from {}, {read} read",
        known + read,
        state.folder().display()
    ));
    for line in lines {
        writeln!(out, "{}", crate::render::safe_for_terminal(&format!("portmortem: {line}")))?;
    }
    Ok(())
}

/// Whether everything was kept that was to be.
fn is_kept(config: &Config) -> bool {
    !config.state.as_ref().is_some_and(State::has_failed)
}

/// Opens the folder in which results are kept; it may not be among what is read.
fn state_of(folder: &str, inputs: &[String]) -> Result<State> {
    let failed = || format!("{folder}: results cannot be kept here");
    let state = State::open(Path::new(folder)).with_context(failed)?;
    let whole = state.folder().canonicalize().with_context(failed)?;
    for input in inputs {
        let input_folder = Path::new(input).canonicalize().ok().filter(|path| path.is_dir());
        if input_folder.is_some_and(|input| whole.starts_with(input)) {
            bail!("{folder}: it lies in {input}, which is read: give --state another folder");
        }
    }
    Ok(state)
}

/// The report as it may be shown: with pseudonyms, where they are asked for.
fn shareable(arguments: &ShownArguments, report: Report) -> Result<Report> {
    let Some(key) = &arguments.anonymize else { return Ok(report) };
    let made = anonymize(&report, key);
    made.context("the report could not be made anonymous, so nothing is printed")
}

/// What the arguments ask for. `written` are files that are written beside the report, each with
/// the option that names it.
fn config_of(
    arguments: &InputArguments,
    written: &[(&str, Option<&str>)],
    logs: &[String],
    digest: bool,
) -> Result<Config> {
    check_times(arguments)?;
    let inputs = inputs_of(arguments)?;
    // A folder is no place of a report, but the files are that are written into it.
    let is_folder = written.iter().any(|(option, _)| *option == "--output");
    let named = [("--output", arguments.shown.output.as_deref().filter(|_| !is_folder))];
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    for (option, path) in named.iter().chain(written) {
        let Some(path) = *path else { continue };
        let read = arguments.roles.iter().chain(&arguments.hosts).chain(&arguments.matrix);
        output::check_place(option, path, &inputs, logs, !arguments.no_recursive, read)?;
        if let Some(other) = places.insert(path, option) {
            bail!("{path}: both {other} and {option} name it; give one of them another name");
        }
    }
    let of_packets = ["--evidence", "--write"];
    let mut packets = written.iter().filter(|(option, _)| of_packets.contains(option));
    let packets = packets.find_map(|(_, path)| *path);
    if packets.is_some() && arguments.shown.anonymize.is_some() {
        bail!("--anonymize: packets are written as they are: leave --evidence or --write out");
    }
    if let Some(path) = packets
        && inputs.iter().any(|input| input == "-")
    {
        bail!(
            "{path}: packets are found by reading the captures a second time, and standard input can \
             be read only once: give a file instead of -"
        );
    }
    let matrix = match (&arguments.matrix, &arguments.profile) {
        (Some(path), _) => matrix::read(path)?,
        (None, name) => matrix::built_in(name)?,
    };
    let (mut roles, mut ports) = (Vec::new(), Vec::new());
    for path in &arguments.roles {
        let text = text_file::read(path, "roles file")?;
        let file = parse_roles_file(&text, path, &matrix)?;
        roles.extend(file.roles);
        ports.extend(file.ports);
    }
    for argument in &arguments.role {
        roles.push(parse_role_argument(argument, &matrix)?);
    }
    let mut hosts = Vec::new();
    for path in &arguments.hosts {
        hosts.push(parse_hosts_file(&text_file::read(path, "hosts file")?, path));
    }
    for argument in &arguments.port {
        ports.push(parse_port_argument(argument, &matrix)?);
    }
    let state = arguments.state.as_deref().map(|folder| state_of(folder, &inputs)).transpose()?;
    let ports = effective(ports);
    let matrix = matrix.with_ports(&ports);
    let options = Options {
        profile: arguments.matrix.is_none().then(|| arguments.profile.clone()),
        matrix: arguments.matrix.clone(),
        roles,
        hosts,
        ports,
        rpc_range: arguments.rpc_range.clone(),
        waits: Waits {
            syn_ms: arguments.syn_wait.0,
            udp_reply_ms: Waits::UDP_REPLY_MS,
            udp_idle_ms: arguments.udp_idle.0,
        },
        filters: Filters {
            since: arguments.since.map(|time| time.to_string()),
            until: arguments.until.map(|time| time.to_string()),
            filter: arguments.filter.clone(),
        },
        join: arguments.join,
        max_inflated: arguments.max_inflated.map(|size| size.0),
    };
    Ok(Config {
        inputs,
        logs: logs.to_vec(),
        recursive: !arguments.no_recursive,
        threads: arguments.threads,
        progress: Progress::default(),
        budget: Budget::of_bytes(arguments.max_memory.map_or_else(machine::share, |it| it.0)),
        big_capture: Config::BIG_CAPTURE,
        depth: Depth::Diagnosis,
        whole: false,
        // A file is known by its digest.
        digest: digest || state.is_some(),
        state,
        matrix,
        since: arguments.since.map(|time| time.at),
        until: arguments.until.map(|time| time.at),
        options,
    })
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

/// Prints problems and the report, as `write` does, and tells the exit status.
fn finish(
    arguments: &ShownArguments,
    report: &Report,
    write: impl FnOnce(Style, &mut dyn Write) -> io::Result<()>,
) -> Result<Status> {
    let write = |style, out: &mut dyn Write| {
        write(style, out)?;
        intact(report)
    };
    finish_by(arguments, report, || {
        if let Some(path) = &arguments.output {
            let style = output::style_of_file(arguments);
            output::write_whole(path, |out| write(style, out))
        } else {
            let style = output::style_of_stdout(arguments, report);
            write(style, &mut io::stdout().lock())
                .context("standard output: the report cannot be written")
        }
    })
}

/// Prints problems, has the report written, and tells the exit status.
fn finish_by(
    arguments: &ShownArguments,
    report: &Report,
    write: impl FnOnce() -> Result<()>,
) -> Result<Status> {
    if !arguments.quiet {
        // Where nobody hears of them, the report and the exit status still tell.
        let _ = print_problems(report);
    }
    intact(report)?;
    write()?;
    intact(report)?;
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
    let mut not_begun = Vec::new();
    for capture in &report.captures {
        for problem in capture.problems.iter().filter(|problem| problem.severity != Severity::Info)
        {
            if problem.message == NOT_BEGUN {
                not_begun.push(&capture.path);
                continue;
            }
            let frame = problem.frame.map(|frame| format!("frame {frame}: ")).unwrap_or_default();
            let offset = problem.offset.map(|offset| format!("offset {offset}: "));
            let place = frame + &offset.unwrap_or_default();
            let line = format!("portmortem: {}: {place}{}", capture.path, problem.message);
            writeln!(out, "{}", crate::render::safe_for_terminal(&line))?;
        }
    }
    if let Some(first) = not_begun.first() {
        // Of a heap they would fill the screen; reports list them.
        let more = match not_begun.len() {
            1 => String::new(),
            many => format!(" and {} more", many - 1),
        };
        let line = format!("portmortem: {first}{more}: {NOT_BEGUN}");
        writeln!(out, "{}", crate::render::safe_for_terminal(&line))?;
    }
    for file in &report.options.hosts {
        for problem in &file.problems {
            let line = format!("portmortem: {}: {problem}", file.path);
            writeln!(out, "{}", crate::render::safe_for_terminal(&line))?;
        }
    }
    for log in &report.logs {
        for problem in log.problems.iter().filter(|problem| problem.severity != Severity::Info) {
            let place = problem.line.map(|line| format!("line {line}: ")).unwrap_or_default();
            let line = format!("portmortem: {}: {place}{}", log.path, problem.message);
            writeln!(out, "{}", crate::render::safe_for_terminal(&line))?;
        }
    }
    // A format for programs would show nothing at all.
    if report.totals.flows == 0 && !report.has_trouble() {
        let frames = report.frames();
        let many = if frames == 1 { "frame" } else { "frames" };
        match report.options.filters.filter {
            Some(_) => {
                writeln!(
                    out,
                    "portmortem: no flow in {frames} {many} fits --filter: mend it, or leave it out"
                )?;
            }
            None => writeln!(out, "portmortem: no TCP or UDP flow in {frames} {many}")?,
        }
    }
    Ok(())
}
