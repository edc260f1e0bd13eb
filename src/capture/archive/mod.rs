//! Reads archives from front to back: one member at a time, nothing unpacked to disk.
//!
//! An archive gives the names of its members and the bytes of the one that it is at. Names are
//! labels for reports and nothing else: no path is made of them. What is in a member is told by
//! content, as for a file.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::capture::Opened;
use crate::capture::error::Error;

mod cabinet;
mod names;
mod tar;
mod zip;

/// A file in an archive.
pub(super) struct Member {
    /// Its name, as far as it can be decoded.
    pub(super) name: String,
    /// Why its bytes cannot be read, if they cannot.
    pub(super) unread: Option<Error>,
}

/// An archive that is read from front to back.
trait Archive: Send {
    /// Goes to the next member; `None` at the end. What was not read of the one before is passed
    /// over. After a failure nothing more can be read.
    fn next_member(&mut self) -> Result<Option<Member>, Error>;

    /// Reads bytes of the member; nothing at its end.
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize>;
}

/// A kind of archive.
pub(super) struct Kind {
    begins: fn(&[u8]) -> bool,
    open: fn(Opened) -> Result<Box<dyn Archive>, Error>,
}

/// Every kind of archive that we read. Their beginnings exclude each other.
const KINDS: [Kind; 3] = [
    Kind { begins: zip::begins, open: zip::open },
    Kind { begins: tar::begins, open: tar::open },
    Kind { begins: cabinet::begins, open: cabinet::open },
];

impl Kind {
    /// The kind of archive of a file that begins like this.
    pub(super) fn of(head: &[u8]) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| (kind.begins)(head))
    }

    pub(super) fn open(&self, opened: Opened) -> Result<Members, Error> {
        let archive = (self.open)(opened)?;
        Ok(Members(Arc::new(Mutex::new(Walk { archive, place: 0 }))))
    }
}

/// The members of an archive, one after the other.
pub(super) struct Members(Arc<Mutex<Walk>>);

struct Walk {
    archive: Box<dyn Archive>,
    /// Number of the member, from 1.
    place: u64,
}

fn lock(walk: &Mutex<Walk>) -> MutexGuard<'_, Walk> {
    // After a panic in a decoder, the next member tells whether the archive still makes sense.
    walk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Members {
    /// Goes to the next member and gives its bytes, which end when the one after it is asked for.
    pub(super) fn next(&mut self) -> Result<Option<(Member, MemberBytes)>, Error> {
        let mut walk = lock(&self.0);
        walk.place += 1;
        let member = walk.archive.next_member()?;
        let (walk_again, place) = (Arc::clone(&self.0), walk.place);
        let bytes = MemberBytes { walk: walk_again, place, failure: None };
        Ok(member.map(|member| (member, bytes)))
    }
}

/// The bytes of a member. What failed once fails again at every read, so that damage is not
/// mistaken for the end.
pub(super) struct MemberBytes {
    walk: Arc<Mutex<Walk>>,
    place: u64,
    failure: Option<(io::ErrorKind, String)>,
}

impl Read for MemberBytes {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut walk = lock(&self.walk);
        if walk.place != self.place {
            return Ok(0);
        }
        if let Some((kind, message)) = &self.failure {
            return Err(io::Error::new(*kind, message.clone()));
        }
        walk.archive.read(space).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failure = Some((error.kind(), error.to_string()));
            }
        })
    }
}

/// The failure of an archive that ends within a member.
fn cut_off() -> io::Error {
    let why = "the archive ends in the middle of this file: it was not copied whole";
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}

/// Why an archive cannot be read on.
fn stopped(what: &'static str, error: &io::Error) -> Error {
    let is_cut_off = error.kind() == io::ErrorKind::UnexpectedEof;
    let why = if is_cut_off {
        "it is cut off: it was not copied whole".to_owned()
    } else {
        error.to_string()
    };
    Error::ArchiveDamaged { what, why }
}
