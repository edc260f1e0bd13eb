//! snoop, of Solaris and of Surveyor.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus { portmortem_fuzz::capture(bytes, &[b"snoop\0\0\0"]) });
