//! Makes a large capture for measuring, and writes what is true of it beside it.
//!
//! ```text
//! cargo run --release --example load -- OUTPUT SIZE KIND [SEED]
//! ```
//!
//! OUTPUT ends with `.pcap`, `.pcapng` or `.cap` (Network Monitor 2.3, less than 4 GiB) and is
//! written in that format. SIZE is that of the same frames as pcap, in bytes, or with `k`, `m` or
//! `g` behind it. KIND is `M` (an enterprise's mix), `F` (short flows: 2 million of them in
//! `1100m`), `N` (a mix cut at 96 bytes a frame) or `X` (a SYN scan: 12 million attempts in `1g`).
//! Drops, refusals, retransmissions and IPv6 are part of each. The truth goes to
//! `OUTPUT.truth.json`: frames, bytes, retransmissions, and flows by class and by verdict.

use std::fs::File;
use std::io::BufWriter;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use serde_json::json;

#[allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a generator makes up its numbers, and there are two sides to every flow"
)]
mod traffic;

use traffic::{Format, Kind, generate};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (output, size, kind, seed) = match &arguments[..] {
        [output, size, kind] => (output, size, kind, "1"),
        [output, size, kind, seed] => (output, size, kind, &**seed),
        _ => bail!("usage: load OUTPUT SIZE KIND [SEED], with KIND one of M, F, N, X"),
    };
    let bytes = bytes_of(size)?;
    let Some(of_kind) = Kind::of(kind) else { bail!("\"{kind}\" is none of M, F, N, X") };
    let seed: u64 = seed.parse().with_context(|| format!("\"{seed}\" is no number"))?;

    let Some(format) = Format::of_path(output) else {
        bail!("{output}: the name ends with none of .pcap, .pcapng and .cap (Network Monitor)")
    };
    let file = File::create(output).with_context(|| format!("{output} cannot be written"))?;
    let file = BufWriter::with_capacity(1 << 20, file);
    let truth = generate(of_kind, bytes, seed, format, file).context(output.clone())?;
    let mut totals = truth.classes;
    totals.insert("flows", truth.verdicts.values().sum());
    let truth = json!({
        "kind": kind,
        "seed": seed,
        "frames": truth.frames,
        "bytes": truth.bytes,
        "retransmissions": truth.retransmissions,
        "ipv6": truth.ipv6,
        "totals": totals,
        "verdicts": truth.verdicts,
    });
    fs::write(format!("{output}.truth.json"), format!("{truth:#}\n"))?;
    Ok(())
}

fn bytes_of(size: &str) -> Result<u64> {
    let (digits, unit) = match size.char_indices().next_back() {
        Some((end, 'k')) => (size.get(..end), 1_000),
        Some((end, 'm')) => (size.get(..end), 1_000_000),
        Some((end, 'g')) => (size.get(..end), 1_000_000_000),
        _ => (Some(size), 1),
    };
    let count: Option<u64> = digits.and_then(|digits| digits.parse().ok());
    let bytes = count.and_then(|count| count.checked_mul(unit));
    bytes.with_context(|| format!("\"{size}\" is no size like 300m"))
}
