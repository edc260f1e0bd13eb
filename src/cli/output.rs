//! Where the report goes, and how it looks there.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::analyze;
use crate::analyze::{Config, Selection, WrittenPackets};
use crate::capture::{Input, Reading, expand, open};
use crate::cli::arguments::{ColorArgument, ShownArguments};
use crate::cli::meter;
use crate::log::is_log;
use crate::render::{Links, Style, safe_for_terminal};
use crate::report::Report;

/// Columns of a table that goes to no terminal.
const WIDTH_OF_FILES: usize = 100;

/// How a table looks in a file.
pub(super) fn style_of_file(arguments: &ShownArguments) -> Style {
    Style {
        width: WIDTH_OF_FILES,
        color: arguments.color == ColorArgument::Always,
        unicode: true,
        verbose: arguments.verbose,
        links: None,
    }
}

/// How a table looks on standard output.
pub(super) fn style_of_stdout(arguments: &ShownArguments, report: &Report) -> Style {
    let is_terminal = io::stdout().is_terminal();
    // <https://no-color.org>: set and not empty.
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    let columns = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let asked = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    Style {
        width: if is_terminal { columns.or(asked) } else { asked }.unwrap_or(WIDTH_OF_FILES),
        color: match arguments.color {
            ColorArgument::Always => true,
            ColorArgument::Never => false,
            ColorArgument::Auto => is_terminal && !unwanted && !dumb,
        },
        unicode: !locale_is_ascii(),
        verbose: arguments.verbose,
        links: links(arguments, report),
    }
}

/// Where the captures can be opened, if standard output is a terminal that shows links and nobody
/// asked for plain text.
fn links(arguments: &ShownArguments, report: &Report) -> Option<&'static Links> {
    let shown = supports_hyperlinks::on(supports_hyperlinks::Stream::Stdout);
    if !shown || arguments.color == ColorArgument::Never || arguments.anonymize.is_some() {
        return None;
    }
    let mut links = Links::new();
    for capture in &report.captures {
        // Members of archives have no place of their own.
        let path = Path::new(&capture.path);
        if let Some(url) =
            path.canonicalize().ok().filter(|it| it.is_file()).and_then(|it| url_of(&it))
        {
            links.insert(capture.path.clone(), url);
        }
    }
    // Once in a run, for its last use.
    Some(Box::leak(Box::new(links)))
}

/// `file:///srv/site.cap` (RFC 8089), with everything encoded that is not plainly a part of a path.
fn url_of(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    // What Windows puts before a path that it made whole.
    let text = text.strip_prefix(r"\\?\").unwrap_or(text).replace('\\', "/");
    let mut url = String::from(if text.starts_with('/') { "file://" } else { "file:///" });
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~:".contains(&byte) {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").ok()?;
        }
    }
    Some(url)
}

/// Whether the locale asks for plain ASCII (POSIX.1 8.2: the first of these that is set counts).
pub(super) fn locale_is_ascii() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
        .is_some_and(|locale| locale == "C" || locale == "POSIX")
}

/// Checks, before the work is done, that a report can be written to `path` and destroys nothing
/// that it is made from. `option` is the one that names it.
pub(super) fn check_place<'a>(
    option: &str,
    path: &str,
    inputs: &[String],
    logs: &[String],
    recursive: bool,
    read: impl IntoIterator<Item = &'a String>,
) -> Result<()> {
    let place = Path::new(path);
    let (folder, folder_shown) = match place.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => (parent, parent.display().to_string()),
        _ => (Path::new("."), "the current folder".to_owned()),
    };
    if path.is_empty() {
        bail!("{option}: the path is empty: give the name of a file");
    }
    if place.is_dir() {
        bail!("{path}: the report cannot be written: this is a folder; give a file in it");
    }
    if !folder.is_dir() {
        bail!(
            "{path}: the report cannot be written: there is no folder {folder_shown}; make it first"
        );
    }
    // What is no regular file keeps nothing that could be lost.
    let Some(target) = place.canonicalize().ok().filter(|target| target.is_file()) else {
        return Ok(());
    };
    let inputs = expand(inputs, recursive);
    let is_target = |source: &Path| source.canonicalize().is_ok_and(|source| source == target);
    let from_capture = inputs.iter().any(|input| match input {
        Input::Named { path, .. } => is_target(path),
        // An older report may stand in the folder that it was made from.
        Input::Found { path, shown_as, .. } => {
            is_target(path)
                && !open(path, shown_as, Reading::default())
                    .is_err_and(|error| error.is_no_capture())
        }
        Input::StandardInput | Input::Missing { .. } => false,
    });
    let from_log = expand(logs, recursive).iter().any(|log| match log {
        Input::Named { path, .. } => is_target(path),
        Input::Found { path, .. } => is_target(path) && is_log(path),
        Input::StandardInput | Input::Missing { .. } => false,
    });
    let from_text = read.into_iter().any(|path| is_target(Path::new(path)));
    let from_input = inputs.contains(&Input::StandardInput) && is_standard_input(&target);
    if from_capture || from_log || from_text || from_input {
        bail!(
            "{path}: the report is not written over what it is made from; give {option} another \
             name"
        );
    }
    Ok(())
}

/// Whether standard input is this file.
fn is_standard_input(target: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use std::os::unix::fs::MetadataExt;
        let input = io::stdin().as_fd().try_clone_to_owned().map(fs::File::from);
        let same = input.and_then(|input| {
            let (input, target) = (input.metadata()?, target.metadata()?);
            Ok((input.dev(), input.ino()) == (target.dev(), target.ino()))
        });
        same.unwrap_or(false)
    }
    #[cfg(not(unix))]
    {
        // A file that is open for reading cannot be replaced there.
        let _ = target;
        false
    }
}

/// Writes a file whole or not at all: beside its place first, then into it.
///
/// What is no regular file (a device, a pipe) is written directly, since it cannot be replaced.
pub(super) fn write_whole(
    path: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let failed = || format!("{path}: the report cannot be written");
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let mut file = OpenOptions::new().write(true).open(path).with_context(failed)?;
        return write(&mut file).with_context(failed);
    }
    let folder = match Path::new(path).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As for any new file; the process's mask still applies.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    // The name of the file beside it is nobody's concern.
    let nameless = |error: io::Error| io::Error::from(error.kind());
    let file = builder.prefix(".portmortem-").tempfile_in(folder).map_err(nameless);
    let mut file = file.with_context(failed)?;
    write(file.as_file_mut()).with_context(failed)?;
    file.persist(path).map_err(|error| error.error).with_context(failed)?;
    Ok(())
}

/// Writes packets to a file, whole or not at all, and says how many on standard error. False where
/// some of them are missing.
pub(super) fn write_packets(
    path: &str,
    config: &Config,
    report: &Report,
    selection: &Selection,
    arguments: &ShownArguments,
) -> Result<bool> {
    let mut written = WrittenPackets::default();
    write_whole(path, |out| {
        let write = || analyze::write_packets(config, report, selection, out);
        written = meter::shown(arguments, &config.progress, "copying", write)?;
        Ok(())
    })?;
    let is_whole = written.problems.is_empty();
    if !arguments.quiet {
        let many = if written.frames == 1 { "packet" } else { "packets" };
        let mut lines = vec![format!("wrote {} {many} to {path}", written.frames)];
        lines.extend(written.problems);
        for line in lines {
            // Where nobody hears of it, the file still tells.
            let _ = writeln!(io::stderr(), "{}", safe_for_terminal(&format!("portmortem: {line}")));
        }
    }
    Ok(is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_hold_nothing_that_a_terminal_obeys() {
        let url = url_of(Path::new("/srv/my captures/a\u{1b}]8;;x\u{7}ä.cap"));
        let expected = "file:///srv/my%20captures/a%1B%5D8%3B%3Bx%07%C3%A4.cap";
        assert_eq!(url.as_deref(), Some(expected));
    }

    #[test]
    fn a_report_that_fails_midway_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.txt");
        let shown = path.to_str().unwrap();
        write_whole(shown, |out| out.write_all(b"first")).unwrap();
        let error = write_whole(shown, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(format!("{:#}", error.unwrap_err()).contains("disk full"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
