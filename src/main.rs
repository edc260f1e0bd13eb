//! Runs the command line of portmortem.

use std::process::ExitCode;

fn main() -> ExitCode {
    portmortem::cli::run()
}
