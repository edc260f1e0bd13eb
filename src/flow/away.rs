//! A temporary file for what memory is too dear for.
//!
//! What is written stays as it is, so that nothing of it is ever written twice. It is read by the
//! page; pages that were asked for last are kept. The file has no name and is gone with the program,
//! however that ends. Where it cannot be written, nothing goes there, and where it cannot be read
//! again, that is remembered: who uses this asks for both.

use std::collections::HashMap;
use std::env;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use foldhash::fast::FixedState;

/// Bytes that are read at once: some hundred flows, and still read in a microsecond or two where
/// somebody asks for flows all over the file. (Measured where each of three million flows came back in
/// another order: with four times as much, reading took eighty seconds.)
pub(super) const PAGE: usize = 1 << 14;

/// Parts of the pages that are kept, so that threads seldom wait for each other.
const CACHES: u64 = 16;

/// Pages that each of them keeps: one for each thread that goes through flows in their order, and
/// not more than helps those that do not.
const FEWEST: usize = 16;
const MOST: usize = 256;

/// Bytes that were read.
pub(super) type Page = Arc<Vec<u8>>;

/// A file that is made when it is needed.
#[derive(Debug, Default)]
pub(super) struct Away {
    file: Mutex<Option<Written>>,
    caches: Vec<Mutex<Cache>>,
    trouble: OnceLock<String>,
    lost: OnceLock<String>,
}

#[derive(Debug)]
struct Written {
    file: File,
    end: u64,
}

impl Written {
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.end;
        self.file.seek(SeekFrom::Start(at))?;
        if let Err(error) = self.file.write_all(bytes) {
            // Others may need what little room there is.
            let _ = self.file.set_len(at);
            return Err(error);
        }
        self.end += bytes.len() as u64;
        Ok(at)
    }

    fn read(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(bytes)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What sets the folder of temporary files.
const VARIABLE: &str = if cfg!(windows) { "TMP" } else { "TMPDIR" };

impl Away {
    /// Keeps pages of about this many bytes.
    pub(super) fn new(bytes: usize) -> Away {
        let pages = bytes / PAGE / 16;
        let cache = || Mutex::new(Cache { most: pages.clamp(FEWEST, MOST), ..Cache::default() });
        Away { caches: (0..CACHES).map(|_| cache()).collect(), ..Away::default() }
    }

    /// Why something could not be written.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }

    /// Why something that was written could not be read.
    pub(super) fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Writes something and says where; `None` where that is not possible, now or before.
    pub(super) fn write(&self, bytes: &[u8]) -> Option<u64> {
        if self.trouble().is_some() {
            return None;
        }
        match self.append(bytes) {
            Ok(at) => Some(at),
            Err(error) => {
                let folder = env::temp_dir();
                let _ = self.trouble.set(format!(
                    "--max-memory: flows stay in memory, and more of it is taken: no temporary file can \
                     be written in {}: {error}: set {VARIABLE} to a folder with room",
                    folder.display()
                ));
                None
            }
        }
    }

    fn append(&self, bytes: &[u8]) -> io::Result<u64> {
        let mut file = lock(&self.file);
        let written = match &mut *file {
            Some(written) => written,
            None => file.insert(Written { file: tempfile::tempfile()?, end: 0 }),
        };
        written.append(bytes)
    }

    /// What was written at this place; nothing where it cannot be read. Callers always ask for the
    /// same length at the same place.
    pub(super) fn page(&self, at: u64, length: usize) -> Page {
        let number = usize::try_from(at / PAGE as u64 % CACHES).unwrap_or_default();
        let Some(cache) = self.caches.get(number) else { return Page::default() };
        let mut cache = lock(cache);
        if let Some(page) = cache.get(at) {
            return page;
        }
        let mut page = cache.spare();
        let bytes = Arc::make_mut(&mut page);
        bytes.resize(length, 0);
        if let Err(error) = self.read(at, bytes) {
            let _ = self.lost.set(format!(
                "--max-memory: flows that went to a temporary file in {} cannot be read again: {error}: \
                 run it again with more memory, or set {VARIABLE} to another folder",
                env::temp_dir().display()
            ));
            return Page::default();
        }
        cache.insert(at, Arc::clone(&page));
        page
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        match &mut *lock(&self.file) {
            Some(written) => written.read(at, bytes),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Some pages, those that were asked for last.
#[derive(Debug, Default)]
struct Cache {
    most: usize,
    pages: Vec<Cached>,
    /// Where each page is.
    places: HashMap<u64, usize, FixedState>,
    /// The page that is looked at next for one to give up.
    hand: usize,
    /// A page that was given up.
    spare: Option<Page>,
}

#[derive(Debug)]
struct Cached {
    at: u64,
    page: Page,
    /// Whether it was asked for since it was looked at last.
    touched: bool,
}

impl Cache {
    fn get(&mut self, at: u64) -> Option<Page> {
        let place = *self.places.get(&at)?;
        let cached = self.pages.get_mut(place)?;
        cached.touched = true;
        Some(Arc::clone(&cached.page))
    }

    /// Memory for a page.
    fn spare(&mut self) -> Page {
        let spare = self.spare.take().filter(|page| Arc::strong_count(page) == 1);
        spare.unwrap_or_default()
    }

    fn insert(&mut self, at: u64, page: Page) {
        let cached = Cached { at, page, touched: true };
        if self.pages.len() < self.most {
            self.places.insert(at, self.pages.len());
            self.pages.push(cached);
            return;
        }
        loop {
            self.hand = if self.hand + 1 < self.pages.len() { self.hand + 1 } else { 0 };
            let Some(oldest) = self.pages.get_mut(self.hand) else { return };
            if !std::mem::take(&mut oldest.touched) {
                let given_up = std::mem::replace(oldest, cached);
                self.places.remove(&given_up.at);
                self.places.insert(at, self.hand);
                self.spare = Some(given_up.page);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_though_few_pages_are_kept() {
        let away = Away::new(0);
        let places: Vec<u64> =
            (0..400_u32).map(|it| away.write(&it.to_le_bytes().repeat(900)).unwrap()).collect();
        for round in 0..2_usize {
            for (number, at) in (0..400_u32).zip(&places).step_by(1 + round * 6) {
                assert_eq!(*away.page(*at, 3_600), number.to_le_bytes().repeat(900));
            }
        }
        assert_eq!((away.trouble(), away.lost()), (None, None));
        let kept: usize = away.caches.iter().map(|cache| lock(cache).pages.len()).sum();
        assert!(kept <= FEWEST * 16);
    }

    #[test]
    fn a_page_that_somebody_holds_stays_as_it_is() {
        let away = Away::new(0);
        let places: Vec<u64> = (0..200_u8).map(|it| away.write(&[it; 100]).unwrap()).collect();
        let held = away.page(places[3], 100);
        for at in &places {
            away.page(*at, 100);
        }
        assert_eq!(*held, [3; 100]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let away = Away::new(0);
        away.write(b"short").unwrap();
        assert!(away.page(0, 100).is_empty());
        assert!(away.lost().unwrap().contains("cannot be read again"));
    }
}
