//! Keeps bytes of packets that the file does not hold as they are: those of compressed buffers,
//! and those that were put together from fragments.
//!
//! They stay in memory up to a bound, and go to a temporary file beyond it.

use std::io;
use std::io::{Read, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;

/// Bytes that are kept in memory.
const IN_MEMORY: usize = 128 << 20;

/// Bytes that were kept, by where they begin.
pub(super) struct Spool {
    file: SpooledTempFile,
    length: u64,
}

impl Spool {
    pub(super) fn new() -> Spool {
        Spool { file: SpooledTempFile::new(IN_MEMORY), length: 0 }
    }

    /// Keeps bytes; gives where.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let start = self.length;
        self.file.seek(SeekFrom::Start(start))?;
        self.file.write_all(bytes)?;
        self.length = start.saturating_add(bytes.len() as u64);
        Ok(start)
    }

    /// Keeps bytes in the place of others, where they fit into it, else elsewhere; gives where.
    pub(super) fn replace(&mut self, place: u64, room: usize, bytes: &[u8]) -> io::Result<u64> {
        if bytes.len() > room {
            return self.keep(bytes);
        }
        self.file.seek(SeekFrom::Start(place))?;
        self.file.write_all(bytes)?;
        Ok(place)
    }

    /// Gives bytes back.
    pub(super) fn read(&mut self, place: u64, space: &mut [u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(place))?;
        self.file.read_exact(space)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_where_they_were_kept() {
        let mut spool = Spool::new();
        let first = spool.keep(b"first").unwrap();
        let second = spool.keep(b"second").unwrap();
        assert_eq!(spool.replace(first, 5, b"one").unwrap(), first);
        let third = spool.replace(second, 6, b"much longer").unwrap();
        let mut space = [0; 11];
        spool.read(third, &mut space).unwrap();
        assert_eq!(&space, b"much longer");
        spool.read(first, &mut space[..3]).unwrap();
        assert_eq!(&space[..3], b"one");
    }
}
