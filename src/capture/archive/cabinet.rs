//! Reads cabinet archives ([MS-CAB]), as `netsh trace` leaves them beside its trace: stored, or
//! compressed with MSZIP ([MS-MCI]) or LZX ([MS-PATCH]).
//!
//! Files are compressed together in folders, so a folder is decompressed once, from its
//! beginning, and gives its files in the order in which they lie there.

use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use flate2::read::DeflateDecoder;
use lzxd::{Lzxd, WindowSize};

use crate::capture::archive::{Archive, Member, cut_off, names, stopped};
use crate::capture::bounds::Budget;
use crate::capture::byte_order::ByteOrder;
use crate::capture::error::Error;
use crate::capture::{Opened, Pipe, Source};

const ORDER: ByteOrder = ByteOrder::Little;

/// Bytes of a header, of a folder's, a file's and a block's entry, each without its variable part.
const HEADER_BYTES: usize = 36;
const FOLDER_BYTES: usize = 8;
const FILE_BYTES: usize = 16;
const BLOCK_BYTES: usize = 8;

/// Bytes that a block can hold when it is decompressed.
const MOST_BLOCK_BYTES: usize = 1 << 15;

/// Longest name of a file ([MS-CAB] 2.3), with its end.
const MOST_NAME_BYTES: u64 = 257;

/// Whether a file begins with a cabinet's signature and a reserved field.
pub(super) fn begins(head: &[u8]) -> bool {
    head.starts_with(b"MSCF\0\0\0\0")
}

pub(super) fn open(opened: Opened) -> Result<Box<dyn Archive>, Error> {
    let Opened { head, mut source, size, budget, .. } = opened;
    if size.is_some() {
        source.rewind().map_err(Error::Unreadable)?;
    } else {
        source = Box::new(Pipe(Box::new(Cursor::new(head).chain(source))));
    }
    let mut stream = Stream {
        source: BufReader::with_capacity(64 << 10, source),
        seekable: size.is_some(),
        at: 0,
    };
    let (folders, mut files, reserved) = directory(&mut stream).map_err(unreadable)?;
    // As they lie in the archive; the next is taken from the end.
    files.sort_by_key(|file| std::cmp::Reverse((folders.place(file), file.offset)));
    let block_reserve = reserved;
    Ok(Box::new(Cabinet { stream, folders, files, block_reserve, folder: None, left: 0, budget }))
}

struct Cabinet {
    stream: Stream,
    folders: Folders,
    /// Files that are still to come, the next last.
    files: Vec<FileEntry>,
    /// Bytes before each block's data that belong to other programs.
    block_reserve: usize,
    folder: Option<OpenFolder>,
    /// Bytes of the member that were not read yet.
    left: u64,
    budget: Budget,
}

/// The archive, and where in it the next byte stands.
struct Stream {
    source: BufReader<Box<dyn Source>>,
    seekable: bool,
    at: u64,
}

impl Read for Stream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(space)?;
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

impl Stream {
    fn go_to(&mut self, place: u64) -> io::Result<()> {
        if let Some(ahead) = place.checked_sub(self.at)
            && (!self.seekable || ahead < 64 << 10)
        {
            let passed = io::copy(&mut self.by_ref().take(ahead), &mut io::sink())?;
            return if passed == ahead { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        if !self.seekable {
            return Err(io::Error::other("its parts are not in order"));
        }
        self.source.seek(SeekFrom::Start(place))?;
        self.at = place;
        Ok(())
    }

    fn take_array<const BYTES: usize>(&mut self) -> io::Result<[u8; BYTES]> {
        let mut bytes = [0; BYTES];
        self.read_exact(&mut bytes).map(|()| bytes)
    }

    /// Text up to a zero byte.
    fn take_text(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for _ in 0..MOST_NAME_BYTES {
            match self.take_array()? {
                [0] => return Ok(text),
                [byte] => text.push(byte),
            }
        }
        Err(io::Error::other("a name in it has no end"))
    }
}

struct Folders(Vec<FolderEntry>);

impl Folders {
    fn of(&self, file: &FileEntry) -> Option<&FolderEntry> {
        self.0.get(usize::from(file.folder))
    }

    /// What to sort files by. Those without a folder of this archive come last.
    fn place(&self, file: &FileEntry) -> u64 {
        self.of(file).map_or(u64::MAX, |folder| folder.at)
    }
}

struct FolderEntry {
    /// Where its first block is.
    at: u64,
    blocks: u16,
    compression: u16,
}

struct FileEntry {
    folder: u16,
    /// Where it begins in the decompressed folder.
    offset: u32,
    size: u32,
    name: String,
}

/// Reads the headers. Gives the bytes that every block reserves besides.
fn directory(stream: &mut Stream) -> io::Result<(Folders, Vec<FileEntry>, usize)> {
    let header: [u8; HEADER_BYTES] = stream.take_array()?;
    let short = |offset| ORDER.u16(&header, offset).unwrap_or_default();
    let files_at = ORDER.u32(&header, 16).unwrap_or_default();
    let (folder_count, file_count, flags) = (short(26), short(28), short(30));
    let (mut folder_reserve, mut block_reserve) = (0, 0);
    if flags & 4 != 0 {
        let [low, high, folder, block] = stream.take_array()?;
        let header_reserve = u16::from_le_bytes([low, high]);
        io::copy(&mut stream.by_ref().take(header_reserve.into()), &mut io::sink())?;
        (folder_reserve, block_reserve) = (u64::from(folder), usize::from(block));
    }
    // Names of the cabinets before and after, and of the disks they are on.
    for flag in [1, 2] {
        if flags & flag != 0 {
            stream.take_text()?;
            stream.take_text()?;
        }
    }
    let mut folders = Vec::new();
    for _ in 0..folder_count {
        let entry: [u8; FOLDER_BYTES] = stream.take_array()?;
        io::copy(&mut stream.by_ref().take(folder_reserve), &mut io::sink())?;
        folders.push(FolderEntry {
            at: ORDER.u32(&entry, 0).unwrap_or_default().into(),
            blocks: ORDER.u16(&entry, 4).unwrap_or_default(),
            compression: ORDER.u16(&entry, 6).unwrap_or_default(),
        });
    }
    stream.go_to(files_at.into())?;
    let mut files = Vec::new();
    for _ in 0..file_count {
        let entry: [u8; FILE_BYTES] = stream.take_array()?;
        files.push(FileEntry {
            size: ORDER.u32(&entry, 0).unwrap_or_default(),
            offset: ORDER.u32(&entry, 4).unwrap_or_default(),
            folder: ORDER.u16(&entry, 8).unwrap_or_default(),
            name: names::utf8_or_437(&stream.take_text()?),
        });
    }
    Ok((Folders(folders), files, block_reserve))
}

/// A folder that is being decompressed.
struct OpenFolder {
    index: u16,
    blocks_left: u16,
    method: Method,
    /// The block, and how much of it was given.
    block: Vec<u8>,
    used: usize,
    /// Where in the decompressed folder the next byte stands.
    at: u64,
}

enum Method {
    Stored,
    /// Each block continues with the window of the one before.
    MsZip,
    Lzx(Box<Lzxd>),
}

impl Method {
    fn of(compression: u16) -> Option<Method> {
        Some(match compression & 0xf {
            0 => Method::Stored,
            1 => Method::MsZip,
            3 => Method::Lzx(Box::new(Lzxd::new(match (compression >> 8) & 0x1f {
                15 => WindowSize::KB32,
                16 => WindowSize::KB64,
                17 => WindowSize::KB128,
                18 => WindowSize::KB256,
                19 => WindowSize::KB512,
                20 => WindowSize::MB1,
                21 => WindowSize::MB2,
                _ => return None,
            }))),
            _ => return None,
        })
    }
}

impl Archive for Cabinet {
    fn next_member(&mut self) -> Result<Option<Member>, Error> {
        let Some(file) = self.files.pop() else { return Ok(None) };
        self.left = 0;
        let unread = |why| {
            let name = file.name.clone();
            Ok(Some(Member { name, unread: Some(Error::MemberNotRead { why }) }))
        };
        let Some(entry) = self.folders.of(&file) else {
            return unread("a part of it is in another cabinet");
        };
        if self.folder.as_ref().is_none_or(|folder| folder.index != file.folder) {
            let Some(method) = Method::of(entry.compression) else {
                return unread("it is compressed in a way that is not known here");
            };
            let (index, blocks_left) = (file.folder, entry.blocks);
            self.stream.go_to(entry.at).map_err(unreadable)?;
            self.folder =
                Some(OpenFolder { index, blocks_left, method, block: Vec::new(), used: 0, at: 0 });
        }
        let Some(folder) = &mut self.folder else { return Ok(None) };
        let Some(mut ahead) = u64::from(file.offset).checked_sub(folder.at) else {
            return unread("it overlaps the file before it");
        };
        while ahead > 0 {
            let most = usize::try_from(ahead).unwrap_or(usize::MAX);
            let passed = folder
                .give(most, &mut self.stream, self.block_reserve, &self.budget)
                .map_err(unreadable)?
                .len();
            if passed == 0 {
                return Err(unreadable(io::ErrorKind::UnexpectedEof.into()));
            }
            ahead -= passed as u64;
        }
        self.left = file.size.into();
        Ok(Some(Member { name: file.name, unread: None }))
    }

    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(space.len());
        let Some(folder) = self.folder.as_mut().filter(|_| most > 0) else { return Ok(0) };
        let bytes = folder.give(most, &mut self.stream, self.block_reserve, &self.budget)?;
        if bytes.is_empty() {
            return Err(cut_off());
        }
        if let Some(space) = space.get_mut(..bytes.len()) {
            space.copy_from_slice(bytes);
        }
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Ok(bytes.len())
    }
}

impl OpenFolder {
    /// The next bytes of the folder, at most so many; none at its end.
    fn give(
        &mut self,
        most: usize,
        stream: &mut Stream,
        reserve: usize,
        budget: &Budget,
    ) -> io::Result<&[u8]> {
        while self.used == self.block.len() && self.blocks_left > 0 {
            self.blocks_left -= 1;
            self.next_block(stream, reserve)?;
            self.used = 0;
            if !matches!(self.method, Method::Stored) {
                budget.count_inflated(self.block.len())?;
            }
        }
        let rest = self.block.get(self.used..).unwrap_or_default();
        let bytes = rest.get(..most).unwrap_or(rest);
        self.used += bytes.len();
        self.at = self.at.saturating_add(bytes.len() as u64);
        Ok(bytes)
    }

    fn next_block(&mut self, stream: &mut Stream, reserve: usize) -> io::Result<()> {
        let header: [u8; BLOCK_BYTES] = stream.take_array()?;
        let checksum = ORDER.u32(&header, 0).unwrap_or_default();
        let stored = ORDER.u16(&header, 4).unwrap_or_default();
        let size = usize::from(ORDER.u16(&header, 6).unwrap_or_default());
        let lengths = ORDER.u32(&header, 4).unwrap_or_default();
        io::copy(&mut stream.by_ref().take(reserve as u64), &mut io::sink())?;
        let mut data = vec![0; usize::from(stored)];
        stream.read_exact(&mut data)?;
        if checksum != 0 && reserve == 0 && checksum != lengths ^ checksum_of(&data) {
            return Err(damaged("the checksum of a block does not fit"));
        }
        if size > MOST_BLOCK_BYTES || size == 0 {
            return Err(damaged("a block has a size that none can have"));
        }
        match &mut self.method {
            Method::Stored => self.block = data,
            Method::MsZip => self.block = mszip(&self.block, &data, size)?,
            Method::Lzx(decoder) => {
                // The library asserts where the data contradict themselves.
                let next_block =
                    AssertUnwindSafe(|| decoder.decompress_next(&data, size).map(<[u8]>::to_vec));
                self.block = match catch_unwind(next_block) {
                    Ok(Ok(block)) => block,
                    Ok(Err(error)) => return Err(io::Error::other(error.to_string())),
                    Err(_) => return Err(damaged("corrupt LZX stream")),
                };
            }
        }
        if self.block.len() == size { Ok(()) } else { Err(damaged("a block is too short")) }
    }
}

/// Decompresses a block of MSZIP: Deflate behind two letters, with the block before as a
/// dictionary, which is given as a block that is stored.
fn mszip(before: &[u8], data: &[u8], size: usize) -> io::Result<Vec<u8>> {
    let data = data.strip_prefix(b"CK").ok_or_else(|| damaged("a block is not MSZIP"))?;
    let length = u16::try_from(before.len()).map_err(|_| damaged("a block is too long"))?;
    let mut dictionary = vec![0];
    if length > 0 {
        dictionary.extend(length.to_le_bytes());
        dictionary.extend((!length).to_le_bytes());
        dictionary.extend_from_slice(before);
    } else {
        dictionary.clear();
    }
    let mut decoder = DeflateDecoder::new(dictionary.chain(data));
    io::copy(&mut decoder.by_ref().take(length.into()), &mut io::sink())?;
    let mut block = Vec::new();
    decoder.take(size as u64).read_to_end(&mut block)?;
    Ok(block)
}

/// The exclusive or of all words; of the last, incomplete one the first byte is the highest
/// ([MS-CAB] 3.1).
fn checksum_of(data: &[u8]) -> u32 {
    let (words, rest) = data.as_chunks();
    let sum = words.iter().fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
    sum ^ rest.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[expect(clippy::needless_pass_by_value, reason = "so that it fits map_err")]
fn unreadable(error: io::Error) -> Error {
    stopped("cabinet archive", &error)
}
