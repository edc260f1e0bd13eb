//! What the user may write, and what it means.

use std::ffi::OsString;

use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::filter::Filter;
use crate::matrix::{DEFAULT_PROFILE, Outcome, PortRange};
use crate::net::{Clock, Time, Timestamp};
use crate::render::{Document, Format, Syntax};

/// A post-mortem for ports: reads packet captures and says which required connections worked,
/// which were silently dropped and which were refused.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Exit status: 0 analysed, whatever was found; 1 with --fail-on, when a named \
                  outcome occurred; 2 trouble."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) analyze: AnalyzeArguments,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The requirement sheet, the findings and the firewall requests (the default)
    Analyze(AnalyzeArguments),
    /// One row a flow
    Flows(FlowsArguments),
    /// The firewall rules to ask for, alone: for tickets, or as commands
    Requests(RequestsArguments),
    /// The port matrices
    #[command(subcommand)]
    Matrix(MatrixCommand),
    /// Prints the JSON Schema of what --format json and ndjson print
    Schema {
        /// What to describe: the report, or a line of ndjson: of `flows` a flow, of `analyze` a
        /// cell of the matrix
        #[arg(long, value_name = "WHAT", default_value = "report")]
        of: DocumentArgument,
    },
    /// Reserved: two captures of the same traffic, or of two times
    #[command(hide = true)]
    Compare(Rest),
    /// Adds up JSON reports of analyze that were made apart: the same as one run over all their
    /// inputs
    Merge(MergeArguments),
    /// Prints a PySpark job that runs this program over an archive of captures on a cluster
    SparkJob,
    /// Prints a completion script for a shell
    Completions {
        /// Shell to complete for
        shell: Shell,
    },
    /// Prints the manual page, for man(1)
    Man,
}

/// Whatever follows a reserved name.
#[derive(Debug, Args)]
pub(super) struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum MatrixCommand {
    /// Lists the built-in profiles
    List,
    /// Prints a profile or a file as TOML that --matrix takes back
    Show {
        /// Built-in profile, or path of a matrix file
        #[arg(default_value = DEFAULT_PROFILE)]
        matrix: String,
    },
    /// Checks a matrix file
    Check {
        /// Path of the matrix file
        #[arg(value_hint = ValueHint::FilePath)]
        file: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct AnalyzeArguments {
    #[command(flatten)]
    pub(super) input: InputArguments,
    /// Format of the report
    #[arg(short, long, default_value = "table", help_heading = "Output")]
    pub(super) format: FormatArgument,
    /// Write a PowerShell script that tries what no capture tried: whole, or not at all
    #[arg(long, value_name = "FILE.ps1", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(super) probe_script: Option<String>,
    /// Log of the failing machine to set beside the flows: of setup or another part of
    /// Configuration Manager, or pfirewall.log of Windows
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath, help_heading = "Reading")]
    pub(super) log: Vec<String>,
    /// Count flows that are like others instead of listing them in JSON
    #[arg(long, conflicts_with_all = ["anonymize", "filter", "log", "no_flows", "state"])]
    pub(super) fold: bool,
    /// Leave the list of flows out of JSON
    #[arg(long)]
    pub(super) no_flows: bool,
    /// Write the packets that decide what failed to a capture (pcapng), with remarks that say why
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) evidence: Option<String>,
    /// Of these flows, by id, instead of all that failed
    #[arg(long, value_name = "ID[,ID...]", value_delimiter = ',', requires = "evidence")]
    pub(super) evidence_for: Vec<u64>,
}

#[derive(Debug, Args)]
pub(super) struct FlowsArguments {
    #[command(flatten)]
    pub(super) input: InputArguments,
    /// Show these flows alone, by id; in a table each packet that decides, as a ladder
    #[arg(long, value_name = "ID[,ID...]", value_delimiter = ',')]
    pub(super) show: Vec<u64>,
    /// Write all packets of the flows that are shown to a capture (pcapng)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) write: Option<String>,
    /// Format of the report
    #[arg(short, long, default_value = "table", help_heading = "Output")]
    pub(super) format: FormatArgument,
}

#[derive(Debug, Args)]
pub(super) struct RequestsArguments {
    #[command(flatten)]
    pub(super) input: InputArguments,
    /// Log of the failing machine to set beside the flows: what its own firewall dropped is asked of
    /// nobody
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath, help_heading = "Reading")]
    pub(super) log: Vec<String>,
    /// How to write the rules
    #[arg(short, long, default_value = "table", help_heading = "Output")]
    pub(super) format: SyntaxArgument,
}

#[derive(Debug, Args)]
pub(super) struct MergeArguments {
    /// Reports of analyze --format json, in the order of their inputs
    #[arg(required = true, value_name = "REPORT.json", value_hint = ValueHint::FilePath)]
    pub(super) reports: Vec<OsString>,
    #[command(flatten)]
    pub(super) shown: ShownArguments,
    /// Format of the report
    #[arg(short, long, default_value = "table", help_heading = "Output")]
    pub(super) format: FormatArgument,
    /// Write a PowerShell script that tries what no capture tried: whole, or not at all
    #[arg(long, value_name = "FILE.ps1", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(super) probe_script: Option<String>,
    /// Leave the list of flows out of JSON
    #[arg(long)]
    pub(super) no_flows: bool,
}

/// Where a report goes, and how it looks there.
#[derive(Debug, Args)]
pub(super) struct ShownArguments {
    /// Write the report to a file: whole, or not at all. With --format parquet, analyze and merge
    /// take a folder too, for flows.parquet, cells.parquet and report.json
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(super) output: Option<String>,
    /// Replace addresses, names and realms by pseudonyms, which are the same for the same key
    #[arg(long, value_name = "KEY", help_heading = "Output")]
    pub(super) anonymize: Option<String>,
    /// Colour the table
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "Output")]
    pub(super) color: ColorArgument,
    /// List everything in the table, and each flow with all that is known of it
    #[arg(short, long, help_heading = "Output")]
    pub(super) verbose: bool,
    /// Print no problems and no progress on standard error; the exit status still tells
    #[arg(short, long, help_heading = "Output")]
    pub(super) quiet: bool,
    /// Print no progress
    #[arg(long, help_heading = "Output")]
    pub(super) no_progress: bool,
    /// Exit with 1 when one of these outcomes occurs
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', help_heading = "Output")]
    pub(super) fail_on: Vec<OutcomeArgument>,
}

/// What the commands that read captures have in common.
#[derive(Debug, Args)]
pub(super) struct InputArguments {
    /// Captures, folders, patterns such as *.cap, or - for standard input
    #[arg(required = true, value_name = "INPUT", value_hint = ValueHint::AnyPath)]
    pub(super) inputs: Vec<OsString>,

    #[command(flatten)]
    pub(super) shown: ShownArguments,

    /// Built-in matrix to assess
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PROFILE, help_heading = "Requirements")]
    pub(super) profile: String,
    /// Matrix of your own, instead of a built-in one
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "profile",
        value_hint = ValueHint::FilePath,
        help_heading = "Requirements"
    )]
    pub(super) matrix: Option<String>,
    /// Give a role to hosts: addresses, blocks or names
    #[arg(long, value_name = "ROLE=HOST[,HOST...]", help_heading = "Requirements")]
    pub(super) role: Vec<String>,
    /// Read roles from a file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Requirements")]
    pub(super) roles: Vec<String>,
    /// Give the ports of a service that is not on its usual one, as sql=1433,50000
    #[arg(long, value_name = "NAME=PORT[,PORT...]", help_heading = "Requirements")]
    pub(super) port: Vec<String>,

    /// Read names of hosts from a hosts file, or lines of ADDRESS,NAME
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Requirements")]
    pub(super) hosts: Vec<String>,

    /// Ports that dynamic RPC is configured for and allowed to use; others are told
    #[arg(long, value_name = "PORTS", value_delimiter = ',', help_heading = "Requirements")]
    pub(super) rpc_range: Vec<PortRange>,

    /// Leave out frames before this time
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Reading")]
    pub(super) since: Option<Time>,
    /// Leave out frames from this time on
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Reading")]
    pub(super) until: Option<Time>,
    /// Show only flows of which this is true, as "class = timeout and responder.port in 135,389"
    #[arg(long, value_name = "EXPR", help_heading = "Reading")]
    pub(super) filter: Option<Filter>,
    /// How long a SYN that is not repeated must wait to count as unanswered
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "3", help_heading = "Reading")]
    pub(super) syn_wait: Milliseconds,
    /// Silence after which UDP endpoints begin a new flow
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60", help_heading = "Reading")]
    pub(super) udp_idle: Milliseconds,
    /// Read the captures as pieces of one, such as a ring buffer, in the order of their times
    #[arg(long, help_heading = "Reading")]
    pub(super) join: bool,
    /// Bytes that one compressed input may inflate to, as 64GiB or 500M
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Reading")]
    pub(super) max_inflated: Option<Bytes>,
    /// Memory to take, about: where flows that are over need more, they go to a temporary file and are
    /// read from there; what is printed is the same [default: a quarter of the machine's memory]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Reading")]
    pub(super) max_memory: Option<Bytes>,
    /// Keep what each file gives in this folder, by its content, and read another time only what is
    /// new; a run that was ended goes on where it was
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "join",
        value_hint = ValueHint::DirPath,
        help_heading = "Reading"
    )]
    pub(super) state: Option<String>,
    /// Do not read folders below a folder
    #[arg(long, help_heading = "Reading")]
    pub(super) no_recursive: bool,
    /// Threads to use; 0 for as many as the machine has
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Reading")]
    pub(super) threads: usize,
}

/// Declares an argument whose values are the words of an enum of another module, which does not
/// know of the command line.
macro_rules! word_argument {
    ($(#[$outer:meta])* $name:ident($of:ty)) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name(pub(super) $of);

        impl ValueEnum for $name {
            fn value_variants<'a>() -> &'a [$name] {
                static VARIANTS: std::sync::LazyLock<Vec<$name>> =
                    std::sync::LazyLock::new(|| <$of>::ALL.iter().copied().map($name).collect());
                &VARIANTS
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(PossibleValue::new(self.0.as_str()))
            }
        }
    };
}

word_argument! {
    /// A [`Format`].
    FormatArgument(Format)
}

word_argument! {
    /// A [`Syntax`].
    SyntaxArgument(Syntax)
}

word_argument! {
    /// A [`Document`].
    DocumentArgument(Document)
}

word_argument! {
    /// An [`Outcome`].
    OutcomeArgument(Outcome)
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorArgument {
    /// On a terminal that can.
    Auto,
    /// Even into a file or pipe.
    Always,
    /// Never.
    Never,
}

/// A duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Milliseconds(pub(super) u64);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// Reads a size: bytes, or a number with a unit of 1000 (k, M, G, T) or 1024 (Ki, Mi, Gi, Ti).
fn size(text: &str) -> Result<Bytes, String> {
    let fail = || format!("\"{text}\" is no size like 64GiB, 500M or 1000000");
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| fail())?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let factor: u64 = match unit.strip_suffix('b').unwrap_or(&unit) {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "t" => 1_000_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        "ti" => 1 << 40,
        _ => return Err(fail()),
    };
    number.checked_mul(factor).map(Bytes).ok_or_else(fail)
}

/// Reads seconds with at most three digits after the point.
fn seconds(text: &str) -> Result<Milliseconds, String> {
    let fail = || format!("\"{text}\" is no number of seconds like 3 or 0.5");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return Err(fail());
    }
    let whole: u64 = whole.parse().map_err(|_| fail())?;
    let fraction: u64 = format!("{fraction:0<3}").parse().map_err(|_| fail())?;
    whole
        .checked_mul(1000)
        .and_then(|milliseconds| milliseconds.checked_add(fraction))
        .map(Milliseconds)
        .ok_or_else(fail)
}

/// Reads a time: with a zone, or without one as the capture tells it (UTC for most).
fn time(text: &str) -> Result<Time, String> {
    let fail = || {
        format!(
            "\"{text}\" is no time like 2014-05-27T10:15:00Z, 2014-05-27T12:15:00+02:00 or \
             \"2014-05-27 10:15\""
        )
    };
    let nanoseconds = if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        instant.as_nanosecond()
    } else {
        let local: jiff::civil::DateTime = text.parse().map_err(|_| fail())?;
        let zoned = local.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| fail())?;
        zoned.timestamp().as_nanosecond()
    };
    let at = Timestamp::from_nanoseconds(nanoseconds).ok_or_else(fail)?;
    Ok(Time { at, clock: Clock::NANOSECONDS })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_call_without_command_is_an_analysis() {
        let arguments = Arguments::try_parse_from(["portmortem", "a.cap", "b.cap"]).unwrap();
        assert!(arguments.command.is_none());
        assert_eq!(arguments.analyze.input.inputs, ["a.cap", "b.cap"]);
        assert!(Arguments::try_parse_from(["portmortem"]).is_err());
        assert!(Arguments::try_parse_from(["portmortem", "flows"]).is_err());
    }

    #[test]
    fn seconds_have_three_digits_at_most() {
        assert_eq!(seconds("3"), Ok(Milliseconds(3_000)));
        assert_eq!(seconds("0.5"), Ok(Milliseconds(500)));
        assert_eq!(seconds("1.025"), Ok(Milliseconds(1_025)));
        for wrong in ["", ".", "1.", "-1", "1e3", "0.0001", "99999999999999999999"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_the_units_that_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("1234", 1_234),
            ("500M", 500_000_000),
            ("500 MB", 500_000_000),
            ("64GiB", 64 << 30),
            ("64gi", 64 << 30),
            ("1T", 1_000_000_000_000),
            ("4KiB", 4096),
        ] {
            assert_eq!(size(text), Ok(Bytes(bytes)), "{text}");
        }
        for wrong in ["", "M", "-1", "1.5G", "1 GiBs", "1e9", "99999999999999999999", "17000000Ti"]
        {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_may_have_a_zone() {
        for text in [
            "2014-05-27T10:15:00Z",
            "2014-05-27T12:15:00+02:00",
            "2014-05-27 10:15",
            "2014-05-27T10:15:00",
        ] {
            assert_eq!(time(text).unwrap().to_string(), "2014-05-27T10:15:00.000000000Z", "{text}");
        }
        assert!(time("10:15").is_err());
    }
}
