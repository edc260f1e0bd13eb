//! Reads a file in big pieces, straight into a batch's buffer, and digests it on the way.
//!
//! A reader marks the frames where they lie. Only what is left over at the end of a piece (the
//! beginning of a frame) is copied, to the front of the next one.

use std::fmt::Write as _;
use std::io;

use sha2::{Digest, Sha256};

use crate::capture::Opened;
use crate::capture::Source;

/// Bytes read at a time: few system calls, and well inside a processor's own cache.
pub(super) const PIECE: usize = 256 << 10;

/// A file that is read from its beginning to its end, once.
pub(super) struct Pieces {
    source: Box<dyn Source>,
    piece: usize,
    carried: Vec<u8>,
    /// Offset in the file of the first byte in the buffer.
    start: u64,
    bytes_read: u64,
    /// `None` where nobody wants it.
    digest: Option<Sha256>,
    /// Whether somebody wants to know how long the whole is: of what is inflated, nobody does.
    counts_all: bool,
    ended: bool,
    failure: Option<io::Error>,
}

impl Pieces {
    /// Begins with the bytes that were read to tell the format.
    pub(super) fn new(opened: Opened) -> Pieces {
        let bytes_read = opened.head.len() as u64;
        // Where everything is there, a big buffer would only be filled with zeros.
        let left = match opened.size {
            Some(size) => size.saturating_sub(bytes_read),
            None if opened.is_whole() => 0,
            None => u64::MAX,
        };
        // One byte more than is left, so that the end is seen at the first read.
        let left = usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1);
        Pieces {
            source: opened.source,
            piece: opened.reading.piece.min(left).max(1),
            digest: opened.reading.digest.then(|| Sha256::new_with_prefix(&opened.head)),
            counts_all: opened.layers == 0,
            carried: opened.head,
            start: 0,
            bytes_read,
            ended: false,
            failure: None,
        }
    }

    /// Puts what was carried over and the next piece into `buffer`; gives the number of bytes.
    pub(super) fn fill(&mut self, buffer: &mut Vec<u8>) -> usize {
        let carried = self.carried.len();
        if buffer.len() < carried {
            buffer.resize(carried, 0);
        }
        if let Some(front) = buffer.get_mut(..carried) {
            front.copy_from_slice(&self.carried);
        }
        self.carried.clear();
        self.extend(buffer, carried)
    }

    /// Puts another piece behind the `filled` bytes of `buffer`; gives the number of bytes, which
    /// is `filled` again where the file has ended.
    pub(super) fn extend(&mut self, buffer: &mut Vec<u8>, filled: usize) -> usize {
        let goal = filled.saturating_add(self.piece);
        if self.ended {
            return filled;
        }
        if buffer.len() < goal {
            buffer.resize(goal, 0);
        }
        let mut end = filled;
        while let Some(space) = buffer.get_mut(end..goal)
            && !space.is_empty()
        {
            let count = self.read(space);
            if count == 0 {
                break;
            }
            end += count;
        }
        end
    }

    /// The next byte alone, for what may not be parted.
    pub(super) fn read_byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        (self.read(&mut byte) == 1).then_some(byte).map(|[byte]| byte)
    }

    /// Says that the buffer was used up to `rest`, which lies `used` bytes behind its beginning
    /// and has to be there again after the next [`Pieces::fill`].
    pub(super) fn carry(&mut self, used: usize, rest: &[u8]) {
        self.start = self.start.saturating_add(used as u64);
        self.carried.extend_from_slice(rest);
    }

    /// Says that the buffer was used, and leaves out the next `count` bytes of the file; gives
    /// the number of those that the file does not have.
    pub(super) fn skip(&mut self, used: usize, mut count: u64) -> u64 {
        self.start = self.start.saturating_add(used as u64).saturating_add(count);
        let mut scratch = vec![0; self.piece];
        while count > 0 {
            let want = usize::try_from(count).unwrap_or(usize::MAX).min(scratch.len());
            let read = self.read(scratch.get_mut(..want).unwrap_or_default());
            if read == 0 {
                break;
            }
            count = count.saturating_sub(read as u64);
        }
        count
    }

    /// Offset in the file of the byte at `position` in the buffer.
    pub(super) fn offset(&self, position: usize) -> u64 {
        self.start.saturating_add(position as u64)
    }

    /// Whether there is nothing behind the bytes that were given.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Why reading stopped before the end of the file, if it did.
    pub(super) fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// Reads what is left. Gives the number of bytes in the file, and its digest if all of it
    /// could be read.
    pub(super) fn finish(mut self) -> (u64, Option<String>) {
        let mut scratch = Vec::new();
        while !self.ended && self.counts_all {
            self.extend(&mut scratch, 0);
        }
        let whole = self.digest.filter(|_| self.failure.is_none());
        (self.bytes_read, whole.map(|digest| hexadecimal(&digest.finalize())))
    }

    /// Reads something into `space`, nothing only at the end.
    fn read(&mut self, space: &mut [u8]) -> usize {
        if self.ended {
            return 0;
        }
        loop {
            match self.source.read(space) {
                Ok(count) => {
                    self.ended = count == 0;
                    self.bytes_read = self.bytes_read.saturating_add(count as u64);
                    if let Some(digest) = &mut self.digest {
                        digest.update(space.get(..count).unwrap_or_default());
                    }
                    return count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    self.failure = Some(error);
                    return 0;
                }
            }
        }
    }
}

/// The digest of a whole source.
pub(super) fn digest(source: &mut dyn Source) -> io::Result<String> {
    source.rewind()?;
    let mut digest = Sha256::new();
    let mut scratch = vec![0; PIECE];
    loop {
        match source.read(&mut scratch) {
            Ok(0) => return Ok(hexadecimal(&digest.finalize())),
            Ok(count) => digest.update(scratch.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bytes as lower case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
