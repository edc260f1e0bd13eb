//! Windows event traces.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    // There is no magic: the kind of the first buffer, and the marker of its first record.
    if bytes.get(0x36) != Some(&4) || bytes.get(0x4b) != Some(&0xc0) {
        return Corpus::Reject;
    }
    portmortem_fuzz::capture(bytes, &[b""])
});
