//! Runs the command line of portmortem.

use std::process::ExitCode;

/// Flows are many small things that are made and let go by several threads: with this allocator an
/// analysis takes a fifth less time than with that of the system (Linux, glibc).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portmortem::cli::run()
}
