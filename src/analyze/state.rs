//! Keeps what files gave, so that they need not be read again (`--state DIR`).
//!
//! Each file that was read to its end leaves one result in the folder, named by its content and by
//! all that can change what comes out of it: the version of the program, waits, times, known
//! ports. A result is written beside its place and moved there as soon as the file is done, so
//! that a run that is killed loses only what it was at. It carries a checksum; one that is damaged
//! is told, and its file read anew.
//!
//! A file is known by the SHA-256 of its content. To find that, it is not read where path, size and
//! time of change (on Unix the time that nobody can set, and the inode too) are those of a file that
//! gave a result, nor where no result fits its size and its first bytes.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::analyze::Config;
use crate::analyze::heap::Analysed;
use crate::capture::{Input, Progress};
use crate::report::{CaptureRecord, SCHEMA};
use crate::verdict::flows::CaptureFlows;

/// Begins every result; the number changes with the way it is written.
const MAGIC: &[u8] = b"portmortem state 1\n";
/// Ends the name of every result.
const ENDING: &str = ".portmortem";
/// Begins the name of a result that is being written.
const UNDER_WAY: &str = ".portmortem-";
/// First bytes of a file that tell it from others of its size.
const HEAD_BYTES: u64 = 64 << 10;
/// Places that a result remembers for one content.
const MOST_PLACES: usize = 16;
/// A file that was changed so recently may be changed once more without looking so.
const SETTLED: Duration = Duration::from_secs(2);
/// What is still under way after so long was left behind by a run that was killed.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A folder of results. Clones count together.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
    /// Digests of the contents that are known, by what is cheap to look at.
    known: Arc<BTreeMap<Beginning, Vec<String>>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    known: AtomicU64,
    read: AtomicU64,
    failed: AtomicBool,
    problems: Mutex<Vec<String>>,
}

/// What is cheap to look at of a file, and how it is read: the first part of a result's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Beginning(String);

/// A place at which a content was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    path: PathBuf,
    size: u64,
    /// Nanoseconds since 1970.
    modified: i128,
    /// Unix: when the inode was changed, which no program sets, and which inode it is.
    changed: Option<(i64, i64, u64)>,
}

/// A result as it is written.
#[derive(Serialize)]
struct Written<'a> {
    digest: &'a str,
    places: &'a [Place],
    contents: Vec<WrittenContent<'a>>,
}

#[derive(Serialize)]
struct WrittenContent<'a> {
    /// Path below that of the input.
    below: &'a str,
    record: &'a CaptureRecord,
    flows: &'a CaptureFlows,
    head: Option<u64>,
    is_member: bool,
    no_capture: bool,
}

/// A result as it is read.
#[derive(Deserialize)]
struct Kept {
    digest: String,
    places: Vec<Place>,
    contents: Vec<KeptContent>,
}

#[derive(Deserialize)]
struct KeptContent {
    below: String,
    record: CaptureRecord,
    flows: CaptureFlows,
    head: Option<u64>,
    is_member: bool,
    no_capture: bool,
}

impl State {
    /// Opens a folder of results, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// Of the file system.
    pub fn open(folder: &Path) -> io::Result<State> {
        fs::create_dir_all(folder)?;
        let mut known: BTreeMap<Beginning, Vec<String>> = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(UNDER_WAY) {
                let age = entry.metadata().and_then(|it| it.modified()).ok();
                let age = age.and_then(|modified| modified.elapsed().ok());
                if age.is_some_and(|age| age > ABANDONED) {
                    // Who could not remove it can do without.
                    let _ = fs::remove_file(entry.path());
                }
            } else if let Some((beginning, digest)) =
                name.strip_suffix(ENDING).and_then(|name| name.rsplit_once('-'))
            {
                known.entry(Beginning(beginning.to_owned())).or_default().push(digest.to_owned());
            }
        }
        for digests in known.values_mut() {
            digests.sort();
        }
        Ok(State { folder: folder.to_owned(), known: Arc::new(known), counts: Arc::default() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Files with captures that were known, and that were read anew.
    pub fn known_and_read(&self) -> (u64, u64) {
        let counts = &self.counts;
        (counts.known.load(Ordering::Relaxed), counts.read.load(Ordering::Relaxed))
    }

    /// What is wrong with results, each with the path.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.lock().clone();
        problems.sort();
        problems
    }

    /// Whether a result could not be written.
    pub fn has_failed(&self) -> bool {
        self.counts.failed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.counts.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the input gave, where that is known; else what it gives now, which is kept.
    pub(super) fn contents(
        &self,
        config: &Config,
        input: &Input,
        read: impl FnOnce() -> Vec<Analysed>,
    ) -> Vec<Analysed> {
        let (path, is_found) = match input {
            Input::Named { path, .. } => (path, false),
            Input::Found { path, .. } => (path, true),
            Input::StandardInput | Input::Missing { .. } => return read(),
        };
        let Some((place, beginning)) = look(path, config, is_found) else { return read() };
        let progress = &config.progress;
        if let Some(contents) = self.recall(&place, &beginning, input.shown_as(), progress) {
            self.counts.known.fetch_add(1, Ordering::Relaxed);
            progress.pass(place.size);
            return contents;
        }
        let contents = read();
        // What is no capture is seen at its beginning.
        if !contents.iter().any(|it| it.head.is_some()) {
            return contents;
        }
        self.counts.read.fetch_add(1, Ordering::Relaxed);
        if progress.is_interrupted() {
            return contents;
        }
        // Of a file that changes while it is read, nobody knows what was read.
        if !look(path, config, is_found).is_some_and(|(after, _)| after == place) {
            return contents;
        }
        let digest = match contents.as_slice() {
            [alone] if !alone.is_member => alone.record.sha256.clone(),
            _ => digest(path, progress),
        };
        let written: Option<Vec<WrittenContent<'_>>> =
            contents.iter().map(|it| WrittenContent::of(it, input.shown_as())).collect();
        if let (Some(digest), Some(written)) = (digest, written) {
            let places = place.settled().map(std::slice::from_ref).unwrap_or_default();
            self.keep(&beginning, &Written { digest: &digest, places, contents: written });
        }
        contents
    }

    /// The result for the content of a file.
    fn recall(
        &self,
        place: &Place,
        beginning: &Beginning,
        shown_as: &str,
        progress: &Progress,
    ) -> Option<Vec<Analysed>> {
        let digests = self.known.get(beginning)?;
        let kept = digests.iter().filter_map(|digest| {
            let kept = self.read(beginning, digest);
            kept.map_err(|why| self.damaged(beginning, digest, &why)).ok()
        });
        let mut kept: Vec<Kept> = kept.collect();
        let at = if let Some(at) = kept.iter().position(|it| it.places.contains(place)) {
            at
        } else if kept.is_empty() {
            return None;
        } else {
            let digest = digest(&place.path, progress)?;
            let at = kept.iter().position(|it| it.digest == digest)?;
            if let (Some(known), Some(place)) = (kept.get_mut(at), place.settled()) {
                known.places.retain(|it| it.path != place.path);
                known.places.push(place.clone());
                let too_many = known.places.len().saturating_sub(MOST_PLACES);
                known.places.drain(..too_many);
                let contents = known.contents.iter().map(WrittenContent::again).collect();
                let (digest, places) = (&known.digest, &known.places);
                self.keep(beginning, &Written { digest, places, contents });
            }
            at
        };
        let contents = kept.swap_remove(at).contents;
        Some(contents.into_iter().map(|it| it.into_analysed(shown_as)).collect())
    }

    fn path_of(&self, beginning: &Beginning, digest: &str) -> PathBuf {
        self.folder.join(format!("{}-{digest}{ENDING}", beginning.0))
    }

    fn read(&self, beginning: &Beginning, digest: &str) -> Result<Kept, String> {
        let bytes = fs::read(self.path_of(beginning, digest)).map_err(|error| error.to_string())?;
        let kept = from_bytes(&bytes)?;
        if kept.digest == digest { Ok(kept) } else { Err("its name was changed".to_owned()) }
    }

    fn damaged(&self, beginning: &Beginning, digest: &str, why: &str) {
        let path = self.path_of(beginning, digest);
        let problem = format!("{}: {why}: the capture is read anew", path.display());
        let mut problems = self.lock();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Writes a result: whole, or not at all.
    fn keep(&self, beginning: &Beginning, written: &Written<'_>) {
        let path = self.path_of(beginning, written.digest);
        let write = || -> io::Result<()> {
            let bytes = to_bytes(written)?;
            let mut file = tempfile::Builder::new().prefix(UNDER_WAY).tempfile_in(&self.folder)?;
            file.write_all(&bytes)?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        // One is enough to know that the disk is full.
        if let Err(error) = write()
            && !self.counts.failed.swap(true, Ordering::Relaxed)
        {
            let folder = self.folder.display();
            let kind = error.kind();
            self.lock().push(format!("{folder}: what was found cannot be kept here: {kind}"));
        }
    }
}

impl<'a> WrittenContent<'a> {
    /// `None` where it is not known by a path below that of its input.
    fn of(analysed: &'a Analysed, shown_as: &str) -> Option<WrittenContent<'a>> {
        let Analysed { record, flows, head, is_member, no_capture } = analysed;
        let below = record.path.strip_prefix(shown_as)?;
        let (head, is_member, no_capture) = (*head, *is_member, *no_capture);
        Some(WrittenContent { below, record, flows, head, is_member, no_capture })
    }

    fn again(kept: &'a KeptContent) -> WrittenContent<'a> {
        let KeptContent { below, record, flows, head, is_member, no_capture } = kept;
        let (head, is_member, no_capture) = (*head, *is_member, *no_capture);
        WrittenContent { below, record, flows, head, is_member, no_capture }
    }
}

impl KeptContent {
    fn into_analysed(self, shown_as: &str) -> Analysed {
        let KeptContent { below, mut record, flows, head, is_member, no_capture } = self;
        record.path = format!("{shown_as}{below}");
        Analysed { record, flows, head, is_member, no_capture }
    }
}

impl Place {
    /// `None` where the file was changed too recently to be known by its time.
    fn settled(&self) -> Option<&Place> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let age = i128::try_from(now).ok()?.checked_sub(self.modified)?;
        (age > i128::try_from(SETTLED.as_nanos()).ok()?).then_some(self)
    }
}

/// What is cheap to look at; `None` for what is no file, or cannot be looked at.
fn look(path: &Path, config: &Config, is_found: bool) -> Option<(Place, Beginning)> {
    let metadata = path.metadata().ok().filter(Metadata::is_file)?;
    let modified = match metadata.modified().ok()?.duration_since(UNIX_EPOCH) {
        Ok(after) => i128::try_from(after.as_nanos()).ok()?,
        Err(before) => -i128::try_from(before.duration().as_nanos()).ok()?,
    };
    let place = Place {
        path: path.canonicalize().ok()?,
        size: metadata.len(),
        modified,
        changed: changed(&metadata),
    };
    let mut head = Vec::new();
    File::open(path).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    let (head, settings) = (Sha256::digest(&head), Sha256::digest(settings(config, is_found)));
    let name = format!("{:x}-{}-{}", place.size, short(&head), short(&settings));
    Some((place, Beginning(name)))
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems do not tell it")]
fn changed(metadata: &Metadata) -> Option<(i64, i64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.ctime(), metadata.ctime_nsec(), metadata.ino()))
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> Option<(i64, i64, u64)> {
    None
}

/// All that can change what a file gives, before it is seen beside others.
fn settings(config: &Config, is_found: bool) -> String {
    let options = &config.options;
    format!(
        "{} {SCHEMA} {:?} {:?} {:?} {:?} {:?} {is_found}",
        env!("CARGO_PKG_VERSION"),
        options.waits,
        options.max_inflated,
        config.since,
        config.until,
        config.matrix.known_ports(),
    )
}

/// The first digits of a digest.
fn short(digest: &[u8]) -> String {
    hexadecimal(digest.get(..8).unwrap_or(digest))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digest of a file; `None` where it cannot be read, or the run is interrupted.
fn digest(path: &Path, progress: &Progress) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    while !progress.is_interrupted() {
        match file.read(&mut piece) {
            Ok(0) => return Some(hexadecimal(&digest.finalize())),
            Ok(count) => digest.update(piece.get(..count)?),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    None
}

fn to_bytes(written: &Written<'_>) -> io::Result<Vec<u8>> {
    let plain = postcard::to_stdvec(written).map_err(io::Error::other)?;
    let mut packed = FrameEncoder::new(Vec::new());
    packed.write_all(&plain)?;
    let packed = packed.finish().map_err(io::Error::other)?;
    let checksum = Sha256::digest(&packed);
    Ok([MAGIC, checksum.as_slice(), packed.as_slice()].concat())
}

fn from_bytes(bytes: &[u8]) -> Result<Kept, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("not written by this version of portmortem")?;
    let damaged = || "the result that was kept is damaged".to_owned();
    let (checksum, packed) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
    if Sha256::digest(packed).as_slice() != checksum {
        return Err(damaged());
    }
    let mut plain = Vec::new();
    FrameDecoder::new(packed).read_to_end(&mut plain).map_err(|_| damaged())?;
    postcard::from_bytes(&plain).map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::CaptureSummary;
    use crate::matrix::sample;
    use crate::packet::SkippedTally;
    use crate::verdict::record::Verdict;

    const DIGEST: &str = "00ff";

    fn result() -> Vec<u8> {
        let record =
            CaptureRecord::of(CaptureSummary::of("case.zip/a.pcap"), &SkippedTally::default());
        let flow = sample::flow(1, "10.0.0.5", "fe80::1", "tcp", 135, Verdict::NoReply);
        let analysed =
            Analysed { head: Some(7), is_member: true, ..Analysed::of(record, vec![flow].into()) };
        let contents = vec![WrittenContent::of(&analysed, "case.zip").unwrap()];
        to_bytes(&Written { digest: DIGEST, places: &[], contents }).unwrap()
    }

    #[test]
    fn a_result_comes_back_as_it_was_under_the_path_of_today() {
        let kept = from_bytes(&result()).unwrap();
        assert_eq!(kept.digest, DIGEST);
        let again: Vec<Analysed> =
            kept.contents.into_iter().map(|it| it.into_analysed("/srv/case.zip")).collect();
        let [found] = again.as_slice() else { panic!("one") };
        assert_eq!(found.record.path, "/srv/case.zip/a.pcap");
        assert_eq!((found.head, found.is_member, found.no_capture), (Some(7), true, false));
        let flow = sample::flow(1, "10.0.0.5", "fe80::1", "tcp", 135, Verdict::NoReply);
        let text = |flows| serde_json::to_string(flows).unwrap();
        assert_eq!(text(&found.flows), text(&CaptureFlows::from(vec![flow])));
    }

    #[test]
    fn a_result_with_any_byte_changed_or_missing_is_not_believed() {
        let whole = result();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(from_bytes(&changed).is_err(), "byte {at}");
            assert!(from_bytes(&whole[..at]).is_err(), "cut at {at}");
        }
    }
}
