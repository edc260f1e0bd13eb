//! The contents of a member of a zip archive, decompressed.

use std::io::{self, BufRead, BufReader, Read, Take};

use bzip2::bufread::BzDecoder;
use deflate64::InflaterManaged;
use flate2::bufread::DeflateDecoder;
use lzma_rust2::XzReader;

use crate::capture::Source;
use crate::capture::inflate::{MOST_WINDOW_KIB, ZstdFrames};

/// The archive from where it was read to, bounded by the contents of a member where their size is
/// known.
pub(super) type Stream = Take<BufReader<Box<dyn Source>>>;

/// A decoder over the archive, which gives it back when it is done with. Each reads exactly
/// what belongs to the member.
pub(super) enum Unpacker {
    Stored(Stream),
    Deflate(DeflateDecoder<Stream>),
    Deflate64(Box<Deflate64>),
    Bzip2(BzDecoder<Stream>),
    Zstd(Box<ZstdFrames<Stream>>),
    Xz(Box<XzReader<Stream>>),
}

impl Unpacker {
    /// The decoder of a method; the stream again where there is none.
    pub(super) fn new(method: u16, stream: Stream) -> Result<Unpacker, Stream> {
        Ok(match method {
            0 => Unpacker::Stored(stream),
            8 => Unpacker::Deflate(DeflateDecoder::new(stream)),
            9 => Unpacker::Deflate64(Box::new(Deflate64::new(stream))),
            12 => Unpacker::Bzip2(BzDecoder::new(stream)),
            93 => Unpacker::Zstd(Box::new(ZstdFrames::single(stream))),
            95 => {
                let most = MOST_WINDOW_KIB + 1024;
                Unpacker::Xz(Box::new(XzReader::new_mem_limit(stream, false, most)))
            }
            _ => return Err(stream),
        })
    }

    pub(super) fn is_compressed(&self) -> bool {
        !matches!(self, Unpacker::Stored(_))
    }

    pub(super) fn into_stream(self) -> Stream {
        match self {
            Unpacker::Stored(stream) => stream,
            Unpacker::Deflate(decoder) => decoder.into_inner(),
            Unpacker::Deflate64(decoder) => decoder.stream,
            Unpacker::Bzip2(decoder) => decoder.into_inner(),
            Unpacker::Zstd(decoder) => decoder.into_inner(),
            Unpacker::Xz(decoder) => decoder.into_inner(),
        }
    }
}

impl Read for Unpacker {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Unpacker::Stored(stream) => stream.read(space),
            Unpacker::Deflate(decoder) => decoder.read(space),
            Unpacker::Deflate64(decoder) => decoder.read(space),
            Unpacker::Bzip2(decoder) => decoder.read(space),
            Unpacker::Zstd(decoder) => decoder.read(space),
            Unpacker::Xz(decoder) => decoder.read(space),
        }
    }
}

/// The larger window that Windows' own zip folders use beyond 2 GiB.
pub(super) struct Deflate64 {
    stream: Stream,
    inflater: Box<InflaterManaged>,
}

impl Deflate64 {
    fn new(stream: Stream) -> Deflate64 {
        Deflate64 { stream, inflater: Box::new(InflaterManaged::new()) }
    }

    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if space.is_empty() {
            return Ok(0);
        }
        loop {
            let input = self.stream.fill_buf()?;
            let at_end = input.is_empty();
            let result = self.inflater.inflate(input, space);
            self.stream.consume(result.bytes_consumed);
            if result.data_error {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "corrupt deflate64 stream"));
            }
            if result.bytes_written > 0 || self.inflater.finished() {
                return Ok(result.bytes_written);
            }
            if at_end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
