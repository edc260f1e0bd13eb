//! Packets saved by Wireshark and tshark as text, in each of its shapes: the first byte chooses
//! one, whose beginning stands before the other bytes.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

/// A beginning of each shape, so that what follows is taken for text of this kind.
const SHAPES: [&str; 8] = [
    // The packet list.
    "No.     Time           Source                Destination           Protocol Length Info\n      \
     1 0.000000       10.0.0.5              10.1.0.10             TCP      66     51000 → 389 \
     [SYN] Seq=0 Win=8192 Len=0\n",
    // What tshark prints.
    "    1   0.000000     10.0.0.5 → 10.1.0.10    TCP 66 51000 → 389 [SYN] Seq=0 Win=8192 Len=0\n",
    "\"No.\",\"Time\",\"Source\",\"Destination\",\"Protocol\",\"Length\",\"Info\"\n\
     \"1\",\"0.000000\",\"10.0.0.5\",\"10.1.0.10\",\"TCP\",\"66\",\"51000 > 389 [SYN] Seq=0 Len=0\"\n",
    "[\n  {\n    \"_index\": \"packets\",\n    \"_source\": {\n      \"layers\": {\n",
    "{\"index\":{\"_index\":\"packets\",\"_type\":\"doc\"}}\n",
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<pdml version=\"0\" creator=\"wireshark/4.0.17\">\n\
     <packet>\n",
    "0000  00 11 22 33 44 55 66 77  88 99 aa bb 08 00 45 00   ..\"3DUfw......E.\n",
    "+---------+---------------+----------+\n10:00:00,000,000   ETHER\n|0   |",
];

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let [shape, rest @ ..] = bytes else { return Corpus::Reject };
    let beginning = SHAPES[usize::from(*shape) % SHAPES.len()];
    portmortem_fuzz::capture(&[beginning.as_bytes(), rest].concat(), &[b""])
});
