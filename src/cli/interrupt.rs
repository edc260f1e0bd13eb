//! Ctrl-C: the first ends reading, so that the report tells what was read; the second ends all.

use std::io::{self, IsTerminal, Write};
use std::process;

use crate::capture::Progress;

/// Exit status of a program that was ended by an interrupt, as shells have it: 128 and the number
/// of the signal.
const INTERRUPTED: i32 = 130;

/// From here on an interrupt ends what is counted by `progress`. Where the process was told to
/// ignore interrupts, it goes on ignoring them.
pub(super) fn heed(progress: &Progress, quiet: bool) {
    let heeded = progress.clone();
    let handler = move || {
        if !heeded.interrupt() {
            // Nothing is being read any more, or somebody means it.
            #[expect(clippy::exit, reason = "somebody wants it to end at once")]
            process::exit(INTERRUPTED);
        }
        if !quiet {
            let mut out = io::stderr().lock();
            // Behind the progress that stands there, and what the terminal shows of the key.
            let line = if out.is_terminal() { "\n" } else { "" };
            let _ = writeln!(
                out,
                "{line}portmortem: interrupted: the report tells what was read so far; press \
                 Ctrl-C again to end at once"
            );
        }
    };
    if ctrlc::try_set_handler(handler).is_ok() {
        progress.heed_interrupts();
    }
}
