//! The DHCP probe.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use portmortem::net::Transport;

fuzz_target!(|bytes: &[u8]| -> Corpus { portmortem_fuzz::probe(Transport::Udp, 67, bytes) });
