//! Turns what stands on the command line into captures to read: files, folders, patterns.
//!
//! The order is that of the arguments, and in a folder that of the names, byte by byte: the same
//! on every machine. What cannot be found is an entry of the list like any other, so that it is
//! reported in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::capture::{Bounds, Contents, Error, Reading};

/// Something to read, or the reason why there is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input, given as `-`.
    StandardInput,
    /// A file that was named, or that fits a pattern that was: it must be a capture.
    Named {
        /// Where it is.
        path: PathBuf,
        /// How the reports call it.
        shown_as: String,
    },
    /// A file that was found in a folder: it may well be something else.
    Found {
        /// The folder that was named.
        folder: String,
        /// Where it is.
        path: PathBuf,
        /// How the reports call it.
        shown_as: String,
    },
    /// An argument, or a part of a folder, that leads to nothing.
    Missing {
        /// How the reports call it.
        shown_as: String,
        /// Why; lower case, no full stop, without the path.
        message: String,
    },
}

impl Input {
    /// The contents of an input; otherwise why there are none.
    pub fn contents(&self, reading: Reading, bounds: Bounds) -> Result<Contents, String> {
        match self {
            Input::StandardInput => {
                let pipe: Box<dyn Read + Send> = Box::new(std::io::stdin());
                Ok(Contents::of_pipe(pipe, "-", reading, bounds))
            }
            Input::Named { path, shown_as } | Input::Found { path, shown_as, .. } => {
                Contents::of_file(path, shown_as, reading, bounds)
                    .map_err(|error: Error| error.to_string())
            }
            Input::Missing { message, .. } => Err(message.clone()),
        }
    }

    /// Whether it can be read a second time, as a pipe cannot.
    pub fn opens_again(&self) -> bool {
        match self {
            Input::Named { path, .. } | Input::Found { path, .. } => path.is_file(),
            Input::StandardInput | Input::Missing { .. } => false,
        }
    }

    /// How the reports call it.
    pub fn shown_as(&self) -> &str {
        match self {
            Input::StandardInput => "-",
            Input::Named { shown_as, .. }
            | Input::Found { shown_as, .. }
            | Input::Missing { shown_as, .. } => shown_as,
        }
    }

    /// Digests of captures among the contents of the input, by their numbers.
    pub fn digests(&self, numbers: &BTreeSet<usize>, bounds: Bounds) -> BTreeMap<usize, String> {
        let reading = Reading { digest: true, ..Reading::default() };
        let Ok(contents) = self.contents(reading, bounds) else { return BTreeMap::new() };
        let most = numbers.last().map_or(0, |last| last.saturating_add(1));
        contents
            .take(most)
            .enumerate()
            .filter(|(number, _)| numbers.contains(number))
            .filter_map(|(number, content)| Some((number, content.opened.ok()?.finish().sha256?)))
            .collect()
    }
}

/// The inputs that `arguments` mean. `recursive` says whether folders in folders are walked.
///
/// A file that can be reached twice through links in folders is given once.
pub fn expand(arguments: &[String], recursive: bool) -> Vec<Input> {
    let mut expansion = Expansion { recursive, inputs: Vec::new(), seen: BTreeSet::new() };
    // Named files first, so that a folder does not give them again.
    for path in arguments.iter().map(Path::new).filter(|path| path.is_file()) {
        expansion.is_new(path);
    }
    for argument in arguments {
        expansion.argument(argument);
    }
    expansion.inputs
}

struct Expansion {
    recursive: bool,
    inputs: Vec<Input>,
    /// Files given so far, by their path without links.
    seen: BTreeSet<PathBuf>,
}

impl Expansion {
    fn argument(&mut self, argument: &str) {
        if argument == "-" {
            return self.inputs.push(Input::StandardInput);
        }
        let path = Path::new(argument);
        // A file whose name looks like a pattern is a file.
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => self.folder(path),
            Ok(_) => self.named(path),
            Err(_) if argument.contains(['*', '?', '[']) => self.pattern(argument),
            Err(error) => self.missing(path, Error::Unreadable(error).to_string()),
        }
    }

    fn named(&mut self, path: &Path) {
        self.is_new(path);
        let shown_as = path.to_string_lossy().into_owned();
        self.inputs.push(Input::Named { path: path.to_owned(), shown_as });
    }

    fn missing(&mut self, path: &Path, message: String) {
        let shown_as = path.to_string_lossy().into_owned();
        self.inputs.push(Input::Missing { shown_as, message });
    }

    /// A pattern that the shell left alone, as all do on Windows, and as some do when nothing
    /// fits.
    fn pattern(&mut self, pattern: &str) {
        let options = glob::MatchOptions {
            case_sensitive: !cfg!(windows),
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let paths = match glob::glob_with(pattern, options) {
            Ok(paths) => paths,
            Err(error) => {
                let message = format!("is neither a file nor a pattern: {}", error.msg);
                return self.missing(Path::new(pattern), message);
            }
        };
        let mut fitting = Vec::new();
        for path in paths {
            match path {
                Ok(path) => fitting.push(path),
                Err(error) => {
                    let path = error.path().to_owned();
                    self.missing(&path, Error::Unreadable(error.into()).to_string());
                }
            }
        }
        if fitting.is_empty() {
            return self.missing(Path::new(pattern), "no file fits this pattern".to_owned());
        }
        fitting.sort();
        for path in fitting {
            if path.is_dir() { self.folder(&path) } else { self.named(&path) }
        }
    }

    fn folder(&mut self, folder: &Path) {
        let depth = if self.recursive { usize::MAX } else { 1 };
        let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().max_depth(depth);
        let before = self.inputs.len();
        let mut repeated = false;
        for entry in walk {
            match entry {
                // Pipes and devices are left alone: reading them may never end.
                Ok(entry) if entry.file_type().is_file() => {
                    if self.is_new(entry.path()) {
                        let shown_as = entry.path().to_string_lossy().into_owned();
                        let folder = folder.to_string_lossy().into_owned();
                        let path = entry.into_path();
                        self.inputs.push(Input::Found { folder, path, shown_as });
                    } else {
                        repeated = true;
                    }
                }
                Ok(_) => {}
                // A link to a folder that it stands in: what is there is being walked.
                Err(error) if error.loop_ancestor().is_some() => {}
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_owned();
                    let told = error.to_string();
                    let message = error
                        .into_io_error()
                        .map_or(told, |error| Error::Unreadable(error).to_string());
                    self.missing(&path, message);
                }
            }
        }
        if self.inputs.len() == before && !repeated {
            let message = if self.recursive {
                "the folder holds no files"
            } else {
                "the folder itself holds no files, and folders in it are not walked"
            };
            self.missing(folder, message.to_owned());
        }
    }

    /// Whether the file was not given before. Remembers it.
    fn is_new(&mut self, path: &Path) -> bool {
        // What has no such path cannot be opened either: then let the opening say why.
        path.canonicalize().map_or(true, |path| self.seen.insert(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Kind and name, below the folder, of what the arguments expand to.
    fn expanded(folder: &Path, arguments: &[&str], recursive: bool) -> Vec<String> {
        let root = folder.to_str().unwrap();
        let arguments: Vec<String> =
            arguments.iter().map(|argument| format!("{root}/{argument}")).collect();
        let below = |path: &str| path.strip_prefix(root).unwrap_or(path).replace('\\', "/");
        expand(&arguments, recursive)
            .into_iter()
            .map(|input| match input {
                Input::StandardInput => "-".to_owned(),
                Input::Named { shown_as, .. } => format!("named {}", below(&shown_as)),
                Input::Found { shown_as, .. } => format!("found {}", below(&shown_as)),
                Input::Missing { shown_as, message } => {
                    format!("missing {}: {message}", below(&shown_as))
                }
            })
            .collect()
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.pcap", "a/z.cap", "a/B.cap", ".hidden.pcap", "a[1].cap"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        fs::create_dir(folder.path().join("empty")).unwrap();
        folder
    }

    #[test]
    fn folders_are_walked_in_the_order_of_bytes_hidden_files_too() {
        let folder = folder();
        assert_eq!(
            expanded(folder.path(), [""].as_slice(), true),
            [
                "found /.hidden.pcap",
                "found /a/B.cap",
                "found /a/z.cap",
                "found /a[1].cap",
                "found /b.pcap"
            ]
        );
        assert_eq!(
            expanded(folder.path(), [""].as_slice(), false),
            ["found /.hidden.pcap", "found /a[1].cap", "found /b.pcap"]
        );
    }

    #[test]
    fn patterns_that_the_shell_left_alone_name_files() {
        let folder = folder();
        assert_eq!(
            expanded(folder.path(), &["**/*.cap", "a[1].cap"], true),
            ["named /a/B.cap", "named /a/z.cap", "named /a[1].cap", "named /a[1].cap"]
        );
    }

    #[test]
    fn what_leads_nowhere_is_reported_in_its_place() {
        let folder = folder();
        let inputs = expanded(folder.path(), &["none.pcap", "*.etl", "empty", "b.pcap"], true);
        assert!(inputs[0].starts_with("missing /none.pcap: "), "{}", inputs[0]);
        assert_eq!(inputs[1], "missing /*.etl: no file fits this pattern");
        assert_eq!(inputs[2], "missing /empty: the folder holds no files");
        assert_eq!(inputs[3], "named /b.pcap");
    }

    #[test]
    fn a_file_that_was_named_is_not_found_again() {
        let folder = folder();
        assert_eq!(
            expanded(folder.path(), &["a", "a/z.cap"], true),
            ["found /a/B.cap", "named /a/z.cap"]
        );
    }

    #[test]
    fn a_dash_is_standard_input() {
        assert_eq!(expand(&["-".to_owned()], true), [Input::StandardInput]);
    }

    #[cfg(unix)]
    #[test]
    fn links_in_circles_end_and_give_each_file_once() {
        let folder = folder();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/up")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("b.pcap"), folder.path().join("latest"))
            .unwrap();
        assert_eq!(
            expanded(folder.path(), [""].as_slice(), true),
            [
                "found /.hidden.pcap",
                "found /a/B.cap",
                "found /a/z.cap",
                "found /a[1].cap",
                "found /b.pcap"
            ]
        );
    }
}
