//! pcap in all its variants.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    portmortem_fuzz::capture(
        bytes,
        &[
            b"\xd4\xc3\xb2\xa1",
            b"\xa1\xb2\xc3\xd4",
            b"\x4d\x3c\xb2\xa1",
            b"\xa1\xb2\x3c\x4d",
            b"\x34\xcd\xb2\xa1",
            b"\xa1\xb2\xcd\x34",
            b"\x12\xcb\xe2\xa1",
            b"\xab\x01\x00\x1c",
            b"\xac\x01\x00\x1c",
        ],
    )
});
