//! How far reading has come, for whoever shows it while it goes on.
//!
//! Counted where bytes come from the disk, a piece at a time: nothing is paid for it per frame.
//! It changes no result, and is exact only at the end: some formats read parts of a file twice.
//!
//! In the same place reading can be interrupted: from then on every read fails, which ends each
//! capture with what was read of it.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::capture::{Input, Source};

/// What was read of all inputs, and what there is. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    files: AtomicU64,
    all_bytes: AtomicU64,
    all_files: AtomicU64,
    /// Nobody knows how long a pipe is.
    endless: AtomicBool,
    /// Whether somebody may interrupt.
    heeds: AtomicBool,
    /// Whether something is being read.
    reading: AtomicBool,
    interrupted: AtomicBool,
}

/// How far reading has come at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes of all files; `None` where one of the inputs is a pipe.
    pub all_bytes: Option<u64>,
    /// Inputs that were read to their end.
    pub files: u64,
    /// All inputs; 0 until they are known.
    pub all_files: u64,
}

impl Progress {
    /// Why a read failed that was interrupted.
    pub const INTERRUPTED: &str = "the run was interrupted";

    /// Says that somebody may interrupt reading, so that it has to wait for nothing without end.
    pub fn heed_interrupts(&self) {
        self.0.heeds.store(true, Ordering::Relaxed);
    }

    /// Whether somebody may interrupt reading.
    pub fn heeds_interrupts(&self) -> bool {
        self.0.heeds.load(Ordering::Relaxed)
    }

    /// Interrupts reading. False where nothing is being read, or it was interrupted already.
    pub fn interrupt(&self) -> bool {
        self.0.reading.load(Ordering::Relaxed) && !self.0.interrupted.swap(true, Ordering::Relaxed)
    }

    /// Whether reading was interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.0.interrupted.load(Ordering::Relaxed)
    }

    /// An error where reading was interrupted.
    pub(super) fn go_on(&self) -> io::Result<()> {
        // Not of the kind `Interrupted`, after which everybody tries again.
        if self.is_interrupted() { Err(io::Error::other(Progress::INTERRUPTED)) } else { Ok(()) }
    }

    /// Counts a file of this size as read.
    pub fn pass(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.files.fetch_add(1, Ordering::Relaxed);
    }

    /// Says that everything was read.
    pub fn end(&self) {
        self.0.reading.store(false, Ordering::Relaxed);
    }

    /// Begins anew: all of these inputs are to be read, once.
    pub fn begin<'a>(&self, inputs: impl IntoIterator<Item = &'a Input>) {
        let (mut bytes, mut files, mut endless) = (0_u64, 0, false);
        for input in inputs {
            match input {
                Input::Named { path, .. } | Input::Found { path, .. } => {
                    let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file);
                    endless |= metadata.is_none();
                    bytes = bytes.saturating_add(metadata.map_or(0, |metadata| metadata.len()));
                }
                Input::StandardInput => endless = true,
                Input::Missing { .. } => continue,
            }
            files += 1;
        }
        let counts = &self.0;
        counts.bytes.store(0, Ordering::Relaxed);
        counts.files.store(0, Ordering::Relaxed);
        counts.all_bytes.store(bytes, Ordering::Relaxed);
        counts.endless.store(endless, Ordering::Relaxed);
        counts.all_files.store(files, Ordering::Relaxed);
        counts.reading.store(true, Ordering::Relaxed);
    }

    /// How far reading has come.
    pub fn reached(&self) -> Reached {
        let counts = &self.0;
        let all_bytes = counts.all_bytes.load(Ordering::Relaxed);
        let endless = counts.endless.load(Ordering::Relaxed);
        Reached {
            bytes: counts.bytes.load(Ordering::Relaxed),
            all_bytes: (!endless).then_some(all_bytes),
            files: counts.files.load(Ordering::Relaxed),
            all_files: counts.all_files.load(Ordering::Relaxed),
        }
    }
}

/// An input whose reading is counted. When it is let go, all of it counts as read: what nobody
/// needed to look at is done with too.
pub(super) struct Watched {
    source: Box<dyn Source>,
    progress: Progress,
    /// Size of the file; `None` for a pipe.
    size: Option<u64>,
    counted: u64,
}

impl Watched {
    pub(super) fn new(source: Box<dyn Source>, progress: Progress, size: Option<u64>) -> Watched {
        Watched { source, progress, size, counted: 0 }
    }

    /// Counts bytes, but none twice in sum: never more than the file has.
    fn count(&mut self, bytes: u64) {
        let left = self.size.map_or(u64::MAX, |size| size.saturating_sub(self.counted));
        let bytes = bytes.min(left);
        self.counted = self.counted.saturating_add(bytes);
        self.progress.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Read for Watched {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.progress.go_on()?;
        let count = self.source.read(space)?;
        self.count(count as u64);
        Ok(count)
    }
}

impl Seek for Watched {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.source.seek(place)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.size.is_some() {
            self.count(u64::MAX);
        }
        self.progress.0.files.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::path::PathBuf;

    fn watched(progress: &Progress, bytes: usize, size: Option<u64>) -> Watched {
        Watched::new(Box::new(Cursor::new(vec![0; bytes])), progress.clone(), size)
    }

    #[test]
    fn what_is_read_twice_counts_once_and_what_is_passed_over_counts_too() {
        let progress = Progress::default();
        let mut file = watched(&progress, 100, Some(100));
        let mut space = [0; 60];
        file.read_exact(&mut space).unwrap();
        assert_eq!(progress.reached().bytes, 60);
        file.rewind().unwrap();
        file.read_exact(&mut space).unwrap();
        assert_eq!((progress.reached().bytes, progress.reached().files), (100, 0));
        drop(file);
        drop(watched(&progress, 30, Some(30)));
        assert_eq!((progress.reached().bytes, progress.reached().files), (130, 2));
    }

    #[test]
    fn a_pipe_counts_what_came() {
        let progress = Progress::default();
        progress.begin(&[Input::StandardInput]);
        let mut pipe = watched(&progress, 7, None);
        io::copy(&mut pipe, &mut io::sink()).unwrap();
        drop(pipe);
        let reached = Reached { bytes: 7, all_bytes: None, files: 1, all_files: 1 };
        assert_eq!(progress.reached(), reached);
    }

    #[test]
    fn what_is_not_there_is_not_waited_for() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0; 12]).unwrap();
        let progress = Progress::default();
        progress.begin(&[
            Input::Named { path: PathBuf::from(file.path()), shown_as: "a".to_owned() },
            Input::Missing { shown_as: "b".to_owned(), message: "no such file".to_owned() },
        ]);
        let reached = Reached { bytes: 0, all_bytes: Some(12), files: 0, all_files: 1 };
        assert_eq!(progress.reached(), reached);
    }
}
