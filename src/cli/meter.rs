//! How far long work has come, on a terminal.
//!
//! Shown on standard error, only where that is a terminal, and only once the work has lasted a
//! while: short runs, files and pipes never see it. It is gone before anything else is printed.

use std::env;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::capture::{Progress, Reached};
use crate::cli::arguments::ShownArguments;
use crate::cli::output;

/// Work that is done sooner needs no meter.
const PATIENCE: Duration = Duration::from_millis(500);
/// Time between two looks.
const TICK: Duration = Duration::from_millis(100);

/// Does the work, and shows how far it has come where somebody may be waiting for it.
pub(super) fn shown<T>(
    arguments: &ShownArguments,
    progress: &Progress,
    doing: &'static str,
    work: impl FnOnce() -> T,
) -> T {
    if !is_wanted(arguments) {
        return work();
    }
    let (working, done) = channel();
    thread::scope(|scope| {
        scope.spawn(move || show(progress, doing, &done));
        let result = work();
        drop(working);
        result
    })
}

fn is_wanted(arguments: &ShownArguments) -> bool {
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    !arguments.quiet && !arguments.no_progress && !dumb && io::stderr().is_terminal()
}

/// Shows progress until nobody works any more.
fn show(progress: &Progress, doing: &'static str, done: &Receiver<()>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    let mut pause = PATIENCE;
    while done.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let reached = progress.reached();
        bar.set_position(reached.bytes);
        let message = message(reached, bar.per_sec(), bar.eta());
        match reached.all_bytes {
            Some(all) => bar.set_length(all),
            None => bar.unset_length(),
        }
        bar.set_message(message);
        if pause == PATIENCE {
            bar.set_prefix(doing);
            bar.set_style(style(reached.all_bytes.is_some()));
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            pause = TICK;
        }
        bar.tick();
    }
    bar.finish_and_clear();
}

fn style(has_length: bool) -> ProgressStyle {
    let ascii = output::locale_is_ascii();
    let template = if has_length { "{prefix} {bar:20} {msg}" } else { "{spinner} {prefix} {msg}" };
    // The templates are ours and sound; a plain line would serve as well.
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    if ascii {
        style.progress_chars("=> ").tick_chars("|/-\\ ")
    } else {
        style.progress_chars("━╸ ").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
    }
}

/// "1.20 GiB of 3.40 GiB, 412.00 MiB/s, 5 s left, 12 of 200 files".
fn message(reached: Reached, per_second: f64, left: Duration) -> String {
    let Reached { bytes, all_bytes, files, all_files } = reached;
    let mut parts = match all_bytes {
        Some(all) => vec![format!("{} of {}", HumanBytes(bytes.min(all)), HumanBytes(all))],
        None => vec![HumanBytes(bytes).to_string()],
    };
    if all_files > 0 && files >= all_files {
        parts.push("working out the report".to_owned());
        return parts.join(", ");
    }
    if let Some(rate) = whole(per_second) {
        parts.push(format!("{}/s", HumanBytes(rate)));
        if all_bytes.is_some() {
            parts.push(format!("{} left", in_words(left)));
        }
    }
    if all_files > 1 {
        parts.push(format!("{files} of {all_files} files"));
    }
    parts.join(", ")
}

/// A rate in whole bytes; `None` where nothing was read yet.
fn whole(rate: f64) -> Option<u64> {
    // A rate beyond 2^53 bytes a second, where this would be inexact, is no rate.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within the numbers that a float holds exactly"
    )]
    (1.0..9e15).contains(&rate).then_some(rate as u64)
}

/// "5 s", "2 min 5 s", "3 h 12 min".
fn in_words(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Reached =
        Reached { bytes: 512 << 20, all_bytes: Some(1 << 30), files: 3, all_files: 8 };

    #[test]
    fn the_meter_tells_bytes_rate_time_left_and_files() {
        let told = message(HALF, f64::from(256 << 20), Duration::from_secs(2));
        assert_eq!(told, "512.00 MiB of 1.00 GiB, 256.00 MiB/s, 2 s left, 3 of 8 files");
    }

    #[test]
    fn of_a_pipe_nobody_knows_the_time_left() {
        let pipe = Reached { all_bytes: None, files: 0, all_files: 1, ..HALF };
        let told = message(pipe, f64::from(1 << 20), Duration::ZERO);
        assert_eq!(told, "512.00 MiB, 1.00 MiB/s");
    }

    #[test]
    fn nothing_is_guessed_before_anything_is_read_and_nothing_is_left_at_the_end() {
        let begun = Reached { bytes: 0, files: 0, ..HALF };
        assert_eq!(message(begun, 0.0, Duration::MAX), "0 B of 1.00 GiB, 0 of 8 files");
        let ended = Reached { bytes: 1 << 30, files: 8, ..HALF };
        let told = message(ended, 9.0, Duration::ZERO);
        assert_eq!(told, "1.00 GiB of 1.00 GiB, working out the report");
    }

    #[test]
    fn the_time_left_has_two_units() {
        for (seconds, words) in [(59, "59 s"), (125, "2 min 5 s"), (11_520, "3 h 12 min")] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
