//! Logs of setup, of components and of the firewall, beside a capture with the flows that they may
//! tell of.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus { portmortem_fuzz::log(bytes) });
