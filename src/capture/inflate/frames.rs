//! Formats whose streams consist of frames: decodes one after the other, to the end of the file.

use std::io::{self, BufRead, BufReader, Read};

use lz4_flex::frame::FrameDecoder as Lz4Decoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder as ZstdDecoder};

use crate::capture::inflate::MOST_WINDOW_KIB;

/// Frames of zstd (RFC 8878), and notes between them, which are passed over.
pub(in crate::capture) struct ZstdFrames<R> {
    source: R,
    decoder: ZstdDecoder,
    /// Whether the decoder is within a frame.
    within: bool,
    /// Whether the first frame is all that is wanted.
    single: bool,
    ended: bool,
    /// Why decoding stopped. What was decoded before is given first.
    failure: Option<io::Error>,
}

/// An empty last block (RFC 8878 3.1.1.2), and room for a checksum: makes the decoder hand out
/// what it keeps back as the window of the next block.
const LAST_BLOCK: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

impl<R: BufRead> ZstdFrames<R> {
    /// All frames of a file.
    pub(in crate::capture) fn new(source: R) -> ZstdFrames<R> {
        let mut decoder = ZstdDecoder::new();
        decoder.set_max_window_size(u64::from(MOST_WINDOW_KIB) << 10);
        ZstdFrames { source, decoder, within: false, single: false, ended: false, failure: None }
    }

    /// The one frame that is next in a longer stream.
    pub(in crate::capture) fn single(source: R) -> ZstdFrames<R> {
        ZstdFrames { single: true, ..ZstdFrames::new(source) }
    }

    /// The stream behind what was decoded.
    pub(in crate::capture) fn into_inner(self) -> R {
        self.source
    }

    /// Begins the next frame; false where there is none.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut note = self.source.by_ref().take(length.into());
                    let passed = io::copy(&mut note, &mut io::sink())?;
                    if passed < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }

    fn check(&self) -> io::Result<()> {
        match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
            (Some(stored), Some(found)) if stored != found => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum does not fit"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if space.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.within {
                if self.ended || !self.next_frame()? {
                    return Ok(0);
                }
                self.within = true;
                self.ended = self.single;
            }
            let one = || BlockDecodingStrategy::UptoBlocks(1);
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                if let Err(error) = self.decoder.decode_blocks(&mut self.source, one()) {
                    self.failure = Some(io::Error::new(io::ErrorKind::InvalidData, error));
                    if self.decoder.decode_blocks(&LAST_BLOCK[..], one()).is_err() {
                        break;
                    }
                }
            }
            let count = self.decoder.read(space)?;
            if count > 0 {
                return Ok(count);
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            self.check()?;
            self.within = false;
        }
    }
}

/// Frames of LZ4.
pub(super) struct Lz4Frames<R: Read> {
    decoder: Lz4Decoder<BufReader<Unending<R>>>,
    ended: bool,
}

impl<R: Read> Lz4Frames<R> {
    pub(super) fn new(source: R) -> Lz4Frames<R> {
        let source = BufReader::new(Unending { source, asked: false });
        Lz4Frames { decoder: Lz4Decoder::new(source), ended: false }
    }
}

impl<R: Read> Read for Lz4Frames<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if space.is_empty() || self.ended {
            return Ok(0);
        }
        loop {
            let count = self.decoder.read(space)?;
            if count > 0 {
                return Ok(count);
            }
            // A frame has ended: is there another?
            let source = self.decoder.get_mut();
            source.get_mut().asked = true;
            let more = !source.fill_buf()?.is_empty();
            source.get_mut().asked = false;
            if !more {
                self.ended = true;
                return Ok(0);
            }
        }
    }
}

/// A source whose end is a failure unless somebody asks for it: the decoder takes an end within
/// a frame for that of the frame.
struct Unending<R> {
    source: R,
    asked: bool,
}

impl<R: Read> Read for Unending<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self.source.read(space)? {
            0 if !self.asked && !space.is_empty() => {
                let why = "the lz4 frame is not complete";
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
            count => Ok(count),
        }
    }
}
