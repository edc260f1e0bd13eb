//! A pipe that can be given up while nothing comes from it.
//!
//! Reading a pipe waits as long as its other end likes, and no signal ends that. So a thread of
//! its own waits, and who reads looks now and then whether the run was interrupted. The thread is
//! left behind then; it ends with the process, or when something comes.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::capture::Progress;

/// Bytes read at a time: what a pipe holds.
const PIECE: usize = 64 << 10;
/// Pieces that may lie ready.
const AHEAD: usize = 16;
/// Time between two looks.
const TICK: Duration = Duration::from_millis(50);

/// The end of a pipe.
pub(super) struct Waiting {
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// Pieces that were read, to be filled again.
    spares: SyncSender<Vec<u8>>,
    present: Vec<u8>,
    /// Bytes of it that were given.
    given: usize,
    progress: Progress,
}

impl Waiting {
    pub(super) fn new(pipe: Box<dyn Read + Send>, progress: Progress) -> Waiting {
        let (full, pieces) = sync_channel(AHEAD);
        let (spares, empty) = sync_channel(AHEAD);
        thread::spawn(move || fill(pipe, &full, &empty));
        Waiting { pieces, spares, present: Vec::new(), given: 0, progress }
    }
}

fn fill(
    mut pipe: Box<dyn Read + Send>,
    full: &SyncSender<io::Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) {
    loop {
        let mut piece: Vec<u8> = empty.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let read = match pipe.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(count) => {
                piece.truncate(count);
                Ok(piece)
            }
            Err(error) => Err(error),
        };
        let is_last = read.as_ref().map_or(true, Vec::is_empty);
        if full.send(read).is_err() || is_last {
            return;
        }
    }
}

impl Read for Waiting {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        while self.given >= self.present.len() {
            match self.pieces.recv_timeout(TICK) {
                Ok(piece) => {
                    let done = std::mem::replace(&mut self.present, piece?);
                    // Nobody waits for it when the pipe has ended.
                    let _ = self.spares.try_send(done);
                    self.given = 0;
                    if self.present.is_empty() {
                        return Ok(0);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.progress.go_on()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
        let mut rest = self.present.get(self.given..).unwrap_or_default();
        let count = rest.read(space)?;
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives some bytes, and then nothing, for ever.
    struct Stalls(bool);

    impl Read for Stalls {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            if self.0 {
                thread::park();
            }
            self.0 = true;
            space[..3].copy_from_slice(b"abc");
            Ok(3)
        }
    }

    #[test]
    fn a_pipe_that_stalls_gives_what_came_and_can_be_given_up() {
        let progress = Progress::default();
        let mut pipe = Waiting::new(Box::new(Stalls(false)), progress.clone());
        let mut space = [0; 3];
        pipe.read_exact(&mut space).unwrap();
        assert_eq!(&space, b"abc");
        progress.begin([]);
        assert!(progress.interrupt());
        let error = pipe.read(&mut space).unwrap_err();
        assert_eq!(error.to_string(), Progress::INTERRUPTED);
    }

    #[test]
    fn everything_comes_through_in_order() {
        let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let source = Box::new(io::Cursor::new(bytes.clone()));
        let mut pipe = Waiting::new(source, Progress::default());
        let mut found = Vec::new();
        pipe.read_to_end(&mut found).unwrap();
        assert!(found == bytes);
        assert_eq!(pipe.read(&mut [0; 8]).unwrap(), 0);
    }
}
