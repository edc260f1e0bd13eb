//! What an input holds: one capture, or the members of an archive, and of archives in it.
//!
//! One member is open at a time, in the order of the archive, so that an archive takes no more
//! memory than a capture, whatever its size. Members are shown as `archive.zip/folder/b.pcap.gz`.

use std::fs::File;
use std::hash::BuildHasher;
use std::io::Read;
use std::path::Path;

use foldhash::fast::FixedState;

use crate::capture::archive::{Kind, MemberBytes, Members};
use crate::capture::bounds::{Bounds, Budget};
use crate::capture::error::Error;
use crate::capture::inflate::Compression;
use crate::capture::{CaptureReader, Found, HEAD_BYTES, Opened, Pipe, Reading, begin};

/// Archives in archives that are opened. Each may be compressed besides.
const MOST_DEPTH: usize = 8;

/// A file in an input: a capture, or what is none.
pub struct Content {
    /// How the reports call it.
    pub shown_as: String,
    /// Whether it was found in an archive: it may well be something else.
    pub is_member: bool,
    /// Hash of its first bytes. Equal captures have equal ones; unequal captures nearly always
    /// have not, unless somebody made them so.
    pub head: u64,
    /// The capture, or why there is none.
    pub opened: Result<Box<dyn CaptureReader>, Error>,
}

/// The files in an input, one after the other.
///
/// A capture must be read to its end before the next is asked for: there it ends.
pub struct Contents {
    /// The input itself, as long as nobody asked for it.
    input: Option<Opened>,
    /// The archives that are being read, the outermost first.
    archives: Vec<Unpacked>,
    reading: Reading,
    budget: Budget,
}

struct Unpacked {
    shown_as: String,
    members: Members,
    is_empty: bool,
}

impl Contents {
    /// The contents of a file. `shown_as` is the path that the reports show.
    pub fn of_file(
        path: &Path,
        shown_as: &str,
        reading: Reading,
        bounds: Bounds,
    ) -> Result<Contents, Error> {
        Opened::path(path, shown_as, reading, bounds).map(Contents::of)
    }

    /// The contents of what can be read only once, from front to back.
    pub fn of_pipe(
        pipe: Box<dyn Read + Send>,
        shown_as: &str,
        reading: Reading,
        bounds: Bounds,
    ) -> Contents {
        Contents::of(Opened::pipe(pipe, shown_as, reading, bounds))
    }

    fn of(input: Opened) -> Contents {
        // Members of what can be read only once have no second chance to be compared with others.
        let digest = input.reading.digest || input.size.is_none();
        let (reading, budget) = (Reading { digest, ..input.reading.clone() }, input.budget.clone());
        Contents { input: Some(input), archives: Vec::new(), reading, budget }
    }

    /// A member, of which nothing is read yet.
    fn member(&self, shown_as: &str, bytes: MemberBytes) -> Opened {
        Opened {
            shown_as: shown_as.to_owned(),
            head: Vec::new(),
            source: Box::new(Pipe(Box::new(bytes))),
            size: None,
            reading: self.reading.clone(),
            layers: 0,
            is_member: true,
            budget: self.budget.clone(),
        }
    }

    /// Opens a file; gives it unless it is an archive, whose members follow.
    fn open(&mut self, mut opened: Opened, is_member: bool) -> Option<Content> {
        let shown_as = opened.shown_as.clone();
        let head = opened.read_head();
        let hash = FixedState::with_seed(0).hash_one(&opened.head);
        let opened = match head.and_then(|()| begin(opened)) {
            Ok(Found::Archive(_)) if self.archives.len() >= MOST_DEPTH => Err(Error::TooDeep),
            Ok(Found::Archive(members)) => {
                self.archives.push(Unpacked { shown_as, members, is_empty: true });
                return None;
            }
            Ok(Found::Capture(reader)) => Ok(reader),
            Err(error) => Err(error),
        };
        Some(Content { shown_as, is_member, head: hash, opened })
    }

    /// Ends the innermost archive; gives what there is to say of it.
    fn leave(&mut self, failure: Option<Error>) -> Option<Content> {
        let archive = self.archives.pop()?;
        let error = failure.or(archive.is_empty.then_some(Error::EmptyArchive))?;
        let is_member = !self.archives.is_empty();
        Some(Content { shown_as: archive.shown_as, is_member, head: 0, opened: Err(error) })
    }
}

/// Whether a file is compressed or an archive, and so read by one thread, whatever its size.
pub fn is_packed(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    read.is_ok() && (Compression::of(&head).is_some() || Kind::of(&head).is_some())
}

impl Iterator for Contents {
    type Item = Content;

    fn next(&mut self) -> Option<Content> {
        if let Some(input) = self.input.take()
            && let Some(content) = self.open(input, false)
        {
            return Some(content);
        }
        loop {
            let archive = self.archives.last_mut()?;
            if let Some(message) = self.budget.exceeded() {
                // Nothing can be read any more, of the archives around it neither.
                self.archives.truncate(1);
                return self.leave(Some(Error::BoundReached(message)));
            }
            let next = match archive.members.next() {
                Ok(Some((member, bytes))) => {
                    archive.is_empty = false;
                    let shown_as = format!("{}/{}", archive.shown_as, member.name);
                    if let Some(error) = member.unread {
                        Some(Content { shown_as, is_member: true, head: 0, opened: Err(error) })
                    } else {
                        let opened = self.member(&shown_as, bytes);
                        self.open(opened, true)
                    }
                }
                Ok(None) => self.leave(None),
                // The bound tells better, once it is asked.
                Err(_) if self.budget.exceeded().is_some() => None,
                Err(error) => self.leave(Some(error)),
            };
            if next.is_some() {
                return next;
            }
        }
    }
}
