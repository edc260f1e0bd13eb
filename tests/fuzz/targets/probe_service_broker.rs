//! SQL Server's endpoints.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use portmortem::net::Transport;

fuzz_target!(|bytes: &[u8]| -> Corpus { portmortem_fuzz::probe(Transport::Tcp, 4022, bytes) });
