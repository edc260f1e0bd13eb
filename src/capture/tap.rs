//! A stream that two hold: a decoder reads it, and who opened it learns afterwards how long it
//! was, its digest, and why reading it stopped.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::capture::pieces::{PIECE, hexadecimal};

/// A handle on the stream.
#[derive(Clone)]
pub(super) struct Tap(Arc<Mutex<Tapped>>);

struct Tapped {
    source: Box<dyn Read + Send>,
    bytes: u64,
    /// `None` where nobody wants it, or not everything could be read.
    digest: Option<Sha256>,
    ended: bool,
    /// What the decoder above complained of.
    complaint: Option<String>,
}

impl Tap {
    pub(super) fn new(source: Box<dyn Read + Send>, digest: bool) -> Tap {
        let digest = digest.then(Sha256::new);
        Tap(Arc::new(Mutex::new(Tapped {
            source,
            bytes: 0,
            digest,
            ended: false,
            complaint: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Tapped> {
        // After a panic in a decoder the stream is where it was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes why the decoder could not go on.
    pub(super) fn complain(&self, why: String) {
        self.lock().complaint.get_or_insert(why);
    }

    /// Why the decoder could not go on, if it could not.
    pub(super) fn complaint(&self) -> Option<String> {
        self.lock().complaint.clone()
    }

    /// Reads what is left. Gives the number of bytes, and the digest if all of them could be
    /// read and somebody wants it.
    pub(super) fn finish(&self) -> (u64, Option<String>) {
        let mut tapped = self.lock();
        let mut scratch = vec![0; PIECE];
        while !tapped.ended {
            if let Err(error) = tapped.read(&mut scratch)
                && error.kind() != io::ErrorKind::Interrupted
            {
                break;
            }
        }
        let digest = tapped.digest.take().filter(|_| tapped.ended);
        (tapped.bytes, digest.map(|digest| hexadecimal(&digest.finalize())))
    }
}

impl Tapped {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(space)?;
        self.ended |= count == 0 && !space.is_empty();
        self.bytes = self.bytes.saturating_add(count as u64);
        if let Some(digest) = &mut self.digest {
            digest.update(space.get(..count).unwrap_or_default());
        }
        Ok(count)
    }
}

impl Read for Tap {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.lock().read(space)
    }
}
