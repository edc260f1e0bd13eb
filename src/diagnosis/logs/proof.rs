//! Packets that the log of a host's own firewall says it dropped.
//!
//! That is proof, as where the capturing machine says so: the flow then counts as dropped by that
//! host, and nothing is asked of the firewall team. The flow's record stays as the capture shows
//! it; only the diagnosis sees the drops, as evidence of the kind that `pktmon` gives.

use std::collections::BTreeMap;

use crate::diagnosis::logs::clock::{Sent, SentPackets, sent, sent_packets, way_of};
use crate::diagnosis::record::LinePlace;
use crate::log::{DropEntry, LogEntry, LogRecord};
use crate::verdict::record::{EvidenceKind, EvidenceRecord, JudgedFlow, Verdict};

/// A line and its packet are at most so far apart: the log tells whole seconds, and the offset is
/// as rough.
const NEAR: i64 = 2_500_000_000;

/// The line that proves that packets of a flow were dropped.
struct Proof<'a> {
    place: LinePlace,
    log: &'a LogRecord,
    drop: DropEntry,
    sent: Sent,
}

/// Flows that logs prove to be dropped by a host, with these drops in their evidence, by id.
pub(in crate::diagnosis) fn proven(
    logs: &[LogRecord],
    flows: &[JudgedFlow],
) -> BTreeMap<u64, JudgedFlow> {
    let proofs = proofs(logs, flows);
    if proofs.is_empty() {
        return BTreeMap::new();
    }
    let is_open =
        |flow: &&JudgedFlow| matches!(flow.verdict, Verdict::NoReply | Verdict::Unconfirmed);
    let proven = flows.iter().filter(is_open).filter_map(|flow| {
        let proof = proofs.get(&flow.id)?;
        Some((flow.id, with_drops(flow, proof)))
    });
    proven.collect()
}

/// The lines about packets of each flow, the first of each.
fn proofs<'a>(logs: &'a [LogRecord], flows: &[JudgedFlow]) -> BTreeMap<u64, Proof<'a>> {
    let packets = sent_packets(logs, flows.iter());
    let mut proofs = BTreeMap::new();
    for (index, log) in logs.iter().enumerate() {
        for entry in &log.entries {
            // Without a direction nobody can tell which of the two hosts it was.
            let Some(drop) = entry.drop.filter(|drop| drop.sent.is_some()) else { continue };
            for sent in packets_of(log, entry, &packets) {
                let place = LinePlace { log: index, line: entry.line };
                proofs.entry(sent.flow).or_insert(Proof { place, log, drop, sent });
            }
        }
    }
    proofs
}

/// The packets that a line is about: of the same ends, at the same time.
pub(super) fn packets_of<'p>(
    log: &LogRecord,
    entry: &LogEntry,
    packets: &'p SentPackets,
) -> impl Iterator<Item = Sent> + use<'p> {
    let offset =
        log.clock_offset.as_ref().map(|offset| offset.milliseconds.saturating_mul(1_000_000));
    let found = entry.drop.and_then(|drop| packets.get(&way_of(&drop))).into_iter().flatten();
    let time = entry.time.zip(offset);
    found.copied().filter(move |sent| {
        time.is_some_and(|(time, offset)| {
            sent.time.at.since(time.at).saturating_sub(offset).abs() <= NEAR
        })
    })
}

fn with_drops(flow: &JudgedFlow, proof: &Proof<'_>) -> JudgedFlow {
    let begins =
        if proof.drop.sent == Some(true) { DropEntry::ON_LEAVING } else { DropEntry::ON_ARRIVAL };
    let (line, name) = (proof.place.line, proof.log.file_name());
    let note = format!("{begins}: line {line} of {name} says DROP");
    let drops: Vec<EvidenceRecord> = sent(flow)
        .filter(|packet| packet.from == proof.sent.from)
        .map(|packet| EvidenceRecord {
            kind: EvidenceKind::Drop,
            note: Some(note.clone()),
            ..packet
        })
        .collect();
    let mut flow = flow.clone();
    flow.evidence.change(|packets| packets.extend(drops));
    flow
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::logs::samples::{drop_line, log, syns};
    use crate::diagnosis::set_clocks;
    use crate::matrix::sample::flow;

    fn call(id: u64, verdict: Verdict) -> JudgedFlow {
        syns(flow(id, "10.0.0.5", "10.1.0.10", "tcp", 389, verdict), &[2_300, 5_300, 11_300])
    }

    fn proven_by(lines: Vec<LogEntry>, flows: &[JudgedFlow]) -> BTreeMap<u64, JudgedFlow> {
        let mut logs = vec![log(lines)];
        set_clocks(&mut logs, flows);
        proven(&logs, flows)
    }

    #[test]
    fn a_line_about_a_packet_makes_drops_of_its_flow() {
        let flows = [call(1, Verdict::NoReply)];
        let line = drop_line(7, "10:15:05", "10.0.0.5:52702", "10.1.0.10:389", false);
        let proven = proven_by(vec![line], &flows);
        let drops = proven[&1].evidence.iter().filter(|packet| packet.kind == EvidenceKind::Drop);
        let notes: Vec<String> = drops.filter_map(|packet| packet.note).collect();
        let expected = format!("{}: line 7 of trial.log says DROP", DropEntry::ON_ARRIVAL);
        assert_eq!(notes, [expected.as_str(); 3]);
    }

    #[test]
    fn answers_that_are_dropped_count_too() {
        let flows = [call(1, Verdict::Unconfirmed)];
        let answered = flows[0].evidence.iter().any(|packet| packet.kind == EvidenceKind::SynAck);
        assert!(answered);
        let line = drop_line(7, "10:15:05", "10.1.0.10:389", "10.0.0.5:52702", true);
        let proven = proven_by(vec![line], &flows);
        let note = proven[&1].evidence.last().and_then(|packet| packet.note.clone()).unwrap();
        assert!(note.starts_with(DropEntry::ON_LEAVING), "{note}");
    }

    #[test]
    fn nothing_is_proven_by_other_times_directions_or_for_what_was_answered() {
        let line = |at: &str| drop_line(7, at, "10.0.0.5:52702", "10.1.0.10:389", false);
        let undirected = |mut line: LogEntry| {
            line.drop.as_mut().unwrap().sent = None;
            line
        };
        let late = vec![line("10:15:02"), line("10:15:05"), line("10:15:11"), line("10:17:30")];
        let open = [call(1, Verdict::NoReply)];
        assert_eq!(proven_by(vec![undirected(line("10:15:02"))], &open).len(), 0);
        assert_eq!(proven_by(vec![line("10:15:02")], &[call(1, Verdict::Established)]).len(), 0);
        let mut logs = vec![log(late)];
        set_clocks(&mut logs, &open);
        let packets = sent_packets(&logs, open.iter());
        let near: Vec<usize> = logs[0]
            .entries
            .iter()
            .map(|entry| packets_of(&logs[0], entry, &packets).count())
            .collect();
        assert_eq!(near, [1, 1, 1, 0]);
    }
}
