//! Rows copied out of Network Monitor, with anything around them.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

/// A row, so that what follows is taken for text of this kind.
const ROW: &[u8] = b"TCP:Flags=......S., SrcPort=51000, DstPort=LDAP(389), PayloadLen=0, Seq=7, \
    Ack=0, Win=8192 {TCP:5, IPv4:2}\n";

fuzz_target!(|bytes: &[u8]| -> Corpus {
    portmortem_fuzz::capture(&[ROW, bytes].concat(), &[b"TCP:"])
});
