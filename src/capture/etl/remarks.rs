//! What a trace tells of itself besides its packets, for the person who holds it.

use crate::capture::etl::metadata::Metadata;
use crate::capture::etl::pktmon::{self, Pktmon};
use crate::capture::etl::record::Guid;
use crate::capture::etl::scan::{Damage, Scan};
use crate::capture::etl::trace::Trace;
use crate::capture::etl::{ndis, wfp};
use crate::capture::{CaptureSummary, Severity};

/// How to capture packets with what Windows brings along.
const HOW_TO_CAPTURE: &str = "capture again with: netsh trace start capture=yes \
    tracefile=C:\\trace.etl, then netsh trace stop; or with: pktmon start --capture --pkt-size 0 \
    --file-name C:\\trace.etl, then pktmon stop";

/// Providers, interfaces and filters that are named.
const NAMED: usize = 6;

/// Providers whose names every trace owes to its reader.
const KNOWN_PROVIDERS: [(Guid, &str); 6] = [
    (ndis::PROVIDER, "Microsoft-Windows-NDIS-PacketCapture"),
    (ndis::REMOTE_ACCESS, "the agent of routing and remote access"),
    (pktmon::PROVIDER, "Microsoft-Windows-PktMon"),
    (wfp::PROVIDER, "Microsoft-Pef-WFP-MessageProvider"),
    (
        Guid::of(0x2f07_e2ee, 0x15db, 0x40f1, [0x90, 0xef, 0x9d, 0x7b, 0xa2, 0x82, 0x18, 0x8a]),
        "Microsoft-Windows-TCPIP",
    ),
    (
        Guid::of(0x9e81_4aad, 0x3204, 0x11d2, [0x9a, 0x82, 0x00, 0x60, 0x08, 0xa8, 0x69, 0x39]),
        "the Windows kernel",
    ),
];

/// The format's name, with what captured.
pub(super) fn format(scan: &Scan) -> String {
    let mut by = Vec::new();
    if !scan.pktmon.is_empty() {
        by.push("pktmon");
    }
    if !scan.ndis.is_empty() {
        by.push("netsh trace");
    }
    if !scan.wfp.is_empty() {
        by.push("WFP");
    }
    match by.as_slice() {
        [] => "Windows event trace".to_owned(),
        by => format!("Windows event trace ({})", by.join(", ")),
    }
}

/// Says what is missing or doubtful, and names the interfaces. To be called when the packets were
/// put together.
pub(super) fn tell(summary: &mut CaptureSummary, trace: &Trace, scan: &Scan, packets: usize) {
    for (damage, offset) in &scan.damages {
        let message = match damage {
            Damage::CutOff => "the trace ends in the middle of a buffer: it was cut off or not \
                               copied whole; everything before is read"
                .to_owned(),
            Damage::Buffer => {
                format!("{} could not be read whole", counted(scan.damaged, "buffer"))
            }
            Damage::Bomb => "the compressed buffers hold more than such a file can: what follows \
                             is not read"
                .to_owned(),
            Damage::Unreadable(error) => {
                format!("reading stopped before the end of the file: {error}")
            }
        };
        let severity = match damage {
            Damage::CutOff | Damage::Buffer => Severity::Warning,
            Damage::Bomb | Damage::Unreadable(_) => Severity::Error,
        };
        summary.problem(severity, message, Some(*offset), None);
    }
    // A circular trace has written more than it still holds.
    if scan.damages.is_empty() && !trace.circular && scan.buffers < trace.buffers_written.into() {
        let message = format!(
            "{} of the {} that were written are not here: the file was not copied whole",
            u64::from(trace.buffers_written) - scan.buffers,
            counted(trace.buffers_written.into(), "buffer")
        );
        summary.problem(Severity::Warning, message, None, None);
    }
    lost(summary, trace, scan);
    if !trace.ended {
        let message = "the trace was not stopped when this file was copied, or the machine went \
                       down: its last events may be missing; stop it first (netsh trace stop, \
                       pktmon stop, logman stop NAME -ets)";
        summary.problem(Severity::Warning, message, None, None);
    }
    if packets == 0 {
        let message = format!(
            "this Windows event trace holds no packets, but {}; {HOW_TO_CAPTURE}",
            providers(scan)
        );
        summary.problem(Severity::Error, message, None, None);
    }
    pktmon_remarks(summary, &scan.pktmon);
    other_remarks(summary, scan);
    interfaces(summary, scan);
}

fn lost(summary: &mut CaptureSummary, trace: &Trace, scan: &Scan) {
    let mut what = Vec::new();
    for (count, thing) in [(trace.events_lost, "event"), (trace.buffers_lost, "buffer")] {
        if count > 0 {
            what.push(counted(count.into(), thing));
        }
    }
    if what.is_empty() && scan.says_lost {
        what.push("some events".to_owned());
    }
    if what.is_empty() {
        return;
    }
    let message = format!(
        "{} were lost while capturing, because they came faster than they could be written: \
         packets are missing here that were on the wire; capture again with a filter, or with \
         packets cut short",
        what.join(" and ")
    );
    summary.problem(Severity::Warning, message, None, None);
}

fn pktmon_remarks(summary: &mut CaptureSummary, pktmon: &Pktmon) {
    let mut info = |message: String| summary.problem(Severity::Info, message, None, None);
    if !pktmon.filters.is_empty() {
        info(format!(
            "a filter was set while capturing ({}): what it leaves out is not here, and that it \
             is missing proves nothing",
            first_of(&pktmon.filters, "; ")
        ));
    }
    let packets: u64 = pktmon.cards.values().sum();
    if pktmon.truncated * 2 > packets {
        info(format!(
            "{} of {} are cut short: the handshakes are whole, and what services answered may not \
             be; capture with --pkt-size 0 to keep all of it",
            pktmon.truncated,
            counted(packets, "packet")
        ));
    }
    if pktmon.counted_drops > pktmon.drops {
        info(format!(
            "the machine counted {} while capturing, and the trace holds {} of them; capture with \
             --type all, and with larger files, to see the others",
            counted(pktmon.counted_drops, "dropped packet"),
            pktmon.drops
        ));
    }
    if pktmon.headless > 0 {
        info(format!(
            "{} hold neither a link header nor an IP header and are left out",
            counted(pktmon.headless, "packet")
        ));
    }
    if pktmon.unread > 0 {
        let message = format!(
            "{} could not be read: they are shorter than their fields",
            counted(pktmon.unread, "event of packets")
        );
        summary.problem(Severity::Warning, message, None, None);
    }
}

fn other_remarks(summary: &mut CaptureSummary, scan: &Scan) {
    let mut info = |message: String| summary.problem(Severity::Info, message, None, None);
    if scan.ndis.truncated > 0 {
        info(format!(
            "{} were cut short on purpose (packettruncatebytes): what services answered may not be \
             whole",
            counted(scan.ndis.truncated, "packet")
        ));
    }
    if scan.ndis.torn > 0 {
        info(format!(
            "{} without a beginning or an end, as where older events made room for newer ones",
            counted(scan.ndis.torn, "packet")
        ));
    }
    if scan.ndis.copies > 0 {
        info(format!(
            "{} seen at several filters of an adapter and counted once",
            counted(scan.ndis.copies, "packet")
        ));
    }
    if scan.wfp.discards > 0 {
        info(format!(
            "filters of this machine discarded {}, of which the trace does not say more",
            counted(scan.wfp.discards, "packet")
        ));
    }
    if scan.wfp.unread > 0 {
        let message = format!("{} could not be read", counted(scan.wfp.unread, "message"));
        summary.problem(Severity::Warning, message, None, None);
    }
}

/// Names the interfaces that packets were seen at.
fn interfaces(summary: &mut CaptureSummary, scan: &Scan) {
    let mut rows: Vec<(String, u64)> =
        scan.pktmon.cards.iter().map(|(name, count)| (name.clone(), *count)).collect();
    rows.extend(
        scan.ndis.adapters.iter().map(|(index, count)| (adapter(&scan.metadata, *index), *count)),
    );
    // Stable: of one count in order of their names.
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (name, count) in rows.iter().take(NAMED) {
        summary.comment(None, &format!("{} seen at {name}", counted(*count, "packet")));
    }
}

fn adapter(metadata: &Metadata, index: u32) -> String {
    match metadata.interface(index) {
        Some(known) if known.description.is_empty() => known.alias.clone(),
        Some(known) => format!("{} ({})", known.alias, known.description),
        None => format!("interface {index}"),
    }
}

/// "events of A (19) and B (2)".
fn providers(scan: &Scan) -> String {
    let mut most: Vec<(&Guid, &u64)> = scan.providers.iter().collect();
    most.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let names: Vec<String> = most
        .iter()
        .map(|(guid, count)| {
            let known = KNOWN_PROVIDERS.iter().find(|(known, _)| known == *guid);
            let name = match (known, scan.metadata.provider(**guid)) {
                (Some((_, name)), _) => (*name).to_owned(),
                (None, Some(name)) => name.to_owned(),
                (None, None) => format!("{{{guid}}}"),
            };
            format!("{name} ({count})")
        })
        .collect();
    if names.is_empty() {
        "no events of any provider".to_owned()
    } else {
        format!("events of {}", first_of(&names, ", "))
    }
}

/// The first few of a list, and how many more there are.
fn first_of(list: &[String], between: &str) -> String {
    let shown = list.get(..NAMED).unwrap_or(list).join(between);
    match list.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn counted(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}
