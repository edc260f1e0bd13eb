//! Archives, and what is in them: zip, cab and tar, whose mark stands behind the first name.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let is_tar = bytes.get(257..).is_some_and(|mark| mark.starts_with(b"ustar"));
    let is_other = bytes.starts_with(b"PK") || bytes.starts_with(b"MSCF");
    if is_tar || is_other { portmortem_fuzz::members(bytes) } else { Corpus::Reject }
});
