//! Microsoft Network Monitor 1.x and 2.x.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus { portmortem_fuzz::capture(bytes, &[b"RTSS", b"GMBU"]) });
