//! pcapng.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus { portmortem_fuzz::capture(bytes, &[b"\x0a\x0d\x0d\x0a"]) });
